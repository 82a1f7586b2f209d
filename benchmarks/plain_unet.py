"""A plain U-Net on upright crops, the usual way, as a baseline.

    python benchmarks/plain_unet.py --faces FACES --out runs/plain-unet

Fitted on the same training people, families of melasma, distractors and camera as the shipped network, with
the same loss; but it sees the face as a photograph: sRGB in an upright crop, no warp to the mean face, no
position, no optical density. It is fitted for minutes, from nothing, on faces as they are, and read once at a
probability of 0.5; the shipped one for twenty on a graphics card, on twins and blends too, and its cut was
chosen.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import get_args

from page import parser_of

from masi_vision.training import torchvision_compat  # isort: skip

import cv2
import numpy as np
import segmentation_models_pytorch as smp
import torch

from masi_vision.face.align import Alignment
from masi_vision.face.atlas import FaceAtlas, Floats
from masi_vision.face.crop import KEY_LANDMARKS, READER_SIDE_PX, apply, crop_template, photo_to_crop
from masi_vision.labels.dataset import UNKNOWN
from masi_vision.phantom.capture import taken
from masi_vision.phantom.distractor import Distraction, Distractor, distraction
from masi_vision.phantom.plant import transmitted
from masi_vision.photo import srgb_to_linear
from masi_vision.pigment.learned import DENSITY_UNIT_OD, NETWORK_SHAPE
from masi_vision.training.cache import TrainingSet, prepare
from masi_vision.training.data import LabelledFace, Pixels, Sample, Samples
from masi_vision.training.experiment import load_experiment
from masi_vision.training.fit import CHECKPOINT, fit, with_weights
from masi_vision.training.losses import pigment_loss
from masi_vision.training.phantom_photos import Mask, Picture
from masi_vision.training.pigment_data import draw_phantom, frame_capture, in_colour
from masi_vision.visit.seen import srgb8

torchvision_compat.make_importable()

NAME = "plain U-Net, unaligned crop"
SIDE_PX = 128
_CUT = 0.5
_FITTED_AS = load_experiment("pigment")


class PlainUnet(torch.nn.Module):
    """segmentation-models-pytorch's U-Net as it comes: (B, 3, H, W) sRGB to lesion logit and density."""

    def __init__(self) -> None:
        super().__init__()
        self.unet = smp.Unet("resnet18", encoder_weights=None, in_channels=3, classes=2)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Lesion logits and density in units of 0.1 OD, (B, 2, H, W)."""
        logit, density = self.unet(image).float().unbind(dim=1)
        return torch.stack([logit, torch.nn.functional.softplus(density)], dim=1)


@dataclass(frozen=True)
class CropFace:
    """A training face in an upright crop, and where each pixel lies in the aligned frame."""

    linear_rgb: Floats
    codes: Pixels
    frame_x: Floats
    frame_y: Floats
    skin_rgb: Floats


def crop_face(face: LabelledFace, atlas: FaceAtlas, side_px: int = SIDE_PX) -> CropFace | None:
    """Cut a face out; None if it has no colour or hardly any visible skin."""
    template = crop_template(atlas.landmark_mean)
    to_crop = photo_to_crop(face.landmarks[list(KEY_LANDMARKS), :2], template, side_px)
    size = (side_px, side_px)
    pixels = cv2.warpAffine(face.pixels, to_crop, size, flags=cv2.INTER_AREA)
    labels = np.where(face.labels == UNKNOWN, 0, face.labels).astype(np.uint8)
    codes = cv2.warpAffine(labels, to_crop, size, flags=cv2.INTER_NEAREST)
    if not in_colour(face.pixels) or (codes > 0).sum() < 500:
        return None
    over = Alignment(atlas, apply(to_crop, face.landmarks)).frame_positions((0, 0, side_px, side_px))
    height, width = atlas.labels.shape
    at = np.nan_to_num((over + 0.5) * (NETWORK_SHAPE[1] / width, NETWORK_SHAPE[0] / height) - 0.5, nan=-1e4)
    linear = np.asarray(srgb_to_linear(pixels), np.float32)
    skin = np.median(linear[codes > 0], axis=0).astype(np.float32)
    x, y = np.moveaxis(at.astype(np.float32), -1, 0)
    return CropFace(
        linear, np.asarray(codes, np.uint8), np.ascontiguousarray(x), np.ascontiguousarray(y), skin
    )


class CropSamples(Samples):
    """The phantoms of the training families, on upright crops that lie a little wrong."""

    def __init__(self, faces: list[CropFace], *, seed: int) -> None:
        super().__init__(seed, len(faces))
        self.faces = faces

    def draw(self, rng: np.random.Generator) -> Sample:
        """Crop (3, S, S) 8-bit sRGB; lesion, density in units of 0.1 OD and region codes, each (S, S)."""
        face = self.faces[rng.integers(len(self.faces))]
        melasma = draw_phantom(face.skin_rgb, rng)
        picture = face.linear_rgb * transmitted(_carried(melasma.taken_od, face))
        for kind in get_args(Distractor):
            if rng.random() < _FITTED_AS.augmentation.distracted:
                extra = distraction(kind, NETWORK_SHAPE, rng, strength=rng.uniform(0.3, 1.2))
                added = _carried(extra.added_light, face).reshape(SIDE_PX, SIDE_PX, 1)
                picture = Distraction(_carried(extra.taken_od, face), added).laid_on(picture)
        pixels = taken(np.asarray(picture, np.float32), frame_capture(rng), rng)
        lesion = _carried(melasma.lesion.astype(np.float32), face)
        density = _carried(melasma.density_od, face) / np.float32(DENSITY_UNIT_OD)
        way = cv2.getRotationMatrix2D(
            (SIDE_PX / 2, SIDE_PX / 2), rng.normal(0, 4), np.exp(rng.normal(0, 0.05))
        )
        way[:, 2] += rng.normal(0, 0.02 * SIDE_PX, 2)
        if rng.random() < 0.5:
            way[0] = (0, 0, SIDE_PX - 1) - way[0]
        image, lesion, density = (
            cv2.warpAffine(np.ascontiguousarray(one), way, (SIDE_PX, SIDE_PX))
            for one in (pixels, lesion, density)
        )
        codes = cv2.warpAffine(face.codes, way, (SIDE_PX, SIDE_PX), flags=cv2.INTER_NEAREST)
        return {
            "image": np.ascontiguousarray(image.transpose(2, 0, 1)),
            "lesion": lesion,
            "density": density,
            "codes": codes.astype(np.int64),
            "known": np.ones_like(lesion),
            "density_known": np.ones_like(lesion),
        }


def _carried(frame: Floats, face: CropFace) -> Floats:
    return np.asarray(cv2.remap(frame, face.frame_x, face.frame_y, cv2.INTER_LINEAR), np.float32)


def train(data: TrainingSet, run: Path, phantoms: int) -> None:
    """Fit it, going on from a checkpoint."""
    made = [crop_face(face, data.atlas) for face in data.part("train")]
    samples = CropSamples([face for face in made if face is not None], seed=1)
    few = {"samples": phantoms, "batch": 16, "peak_rate": 1e-3, "average_steps": 500}
    schedule = _FITTED_AS.schedule.model_copy(update=few)
    experiment = _FITTED_AS.model_copy(update={"schedule": schedule, "workers": 1})
    fit(PlainUnet(), samples, partial(pigment_loss, weights=experiment.loss), experiment, run)


@lru_cache(maxsize=1)
def plain_unet(run: Path) -> PlainUnet:
    """The fitted network."""
    torch.set_num_threads(1)
    return with_weights(PlainUnet(), run / CHECKPOINT)


def by_plain_unet(picture: Picture, run: Path) -> tuple[Mask, Floats]:
    """Lesion and density in OD of a photograph, in the frame of its measures."""
    network = plain_unet(run)
    measures = picture.measures
    shrink = SIDE_PX / READER_SIDE_PX
    to_crop = measures.face.crop * shrink
    to_crop[:, 2] += shrink / 2 - 0.5
    crop = cv2.warpAffine(srgb8(measures.photo), to_crop, (SIDE_PX, SIDE_PX), flags=cv2.INTER_AREA)
    with torch.inference_mode():
        given = torch.from_numpy(np.ascontiguousarray(crop.transpose(2, 0, 1))).float()[None] / 255
        logit, density = network(given)[0].numpy()
    at = measures.face.alignment.photo_positions() @ to_crop[:, :2].T.astype(np.float32) + to_crop[:, 2]
    at = np.nan_to_num(at, nan=-1e4).astype(np.float32)
    logit, density = (cv2.remap(one, at, None, cv2.INTER_LINEAR) for one in (logit, density))
    likely = 1 / (1 + np.exp(-logit)) >= _CUT
    return (picture.codes > 0) & likely, np.asarray(density * DENSITY_UNIT_OD, np.float32)


def main() -> None:
    parser = parser_of(__doc__, cache=True)
    parser.add_argument("--out", type=Path, required=True, help="folder of checkpoint and log")
    parser.add_argument("--phantoms", type=int, default=6400)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    train(prepare(arguments.faces, arguments.cache), arguments.out, arguments.phantoms)


if __name__ == "__main__":
    main()
