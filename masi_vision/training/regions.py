"""From a folder of faces to the two shipped face models."""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import version
from pathlib import Path
from typing import Literal, TypeVar

import cv2
import numpy as np
import onnxruntime as ort
import torch
from torch import Tensor, nn

from masi_vision.face.atlas import Floats
from masi_vision.face.crop import FINDER_SIDE_PX, KEY_LANDMARKS, apply, crop_template, photo_to_crop
from masi_vision.face.models import CARD, FORMAT
from masi_vision.training.atlas import symmetric_mirror
from masi_vision.training.cache import TrainingSet, prepare
from masi_vision.training.data import FinderSamples, ReaderSamples
from masi_vision.training.fit import (
    Schedule,
    choose_anchors,
    finder_loss,
    fit,
    new_finder,
    new_reader,
    reader_loss,
)
from masi_vision.training.networks import FaceFinder, FaceReader

N_ANCHORS = 128
FINDER_BATCH, READER_BATCH = 64, 24


def train(
    what: Literal["finder", "reader"], faces: Path, cache: Path, run: Path, minutes: float, threads: int
) -> FaceFinder | FaceReader:
    """Fit one of the two networks; a run that was stopped goes on from its checkpoint."""
    cv2.setNumThreads(1)  # before any picture is touched: OpenCV's thread pool does not survive a fork
    data = prepare(faces, cache)
    mirror = symmetric_mirror(data.polygons.mirror)
    mean, part = data.atlas.landmark_mean, data.part("train")
    if what == "finder":
        schedule = Schedule(minutes, batch=FINDER_BATCH, peak_rate=3e-3, threads=threads)
        return fit(new_finder(), FinderSamples(part, mean, mirror, seed=1), finder_loss, schedule, run)
    schedule = Schedule(minutes, batch=READER_BATCH, peak_rate=2e-3, threads=threads)
    return fit(untrained_reader(data), ReaderSamples(part, mean, mirror, seed=1), reader_loss, schedule, run)


def untrained_reader(data: TrainingSet) -> FaceReader:
    """A reader that knows the shapes of the training faces and nothing of pictures yet."""
    crops = np.stack([_in_crop(face.landmarks, data.atlas.landmark_mean) for face in data.part("train")])
    return new_reader(crops, choose_anchors(data.atlas.landmark_mean, N_ANCHORS))


def _in_crop(landmarks: Floats, mean: Floats) -> Floats:
    placed = apply(photo_to_crop(landmarks[list(KEY_LANDMARKS), :2], crop_template(mean)), landmarks)
    placed[:, 2] -= placed[:, 2].mean()
    return placed


def export(faces: Path, cache: Path, runs: Path, out: Path) -> None:
    """Write the atlas, both networks as ONNX and the card with their hashes; metrics are added by evaluation.

    Raises
    ------
    ValueError
        ONNX Runtime and PyTorch differ by more than 1e-4 in a probability or 0.01 px in a landmark.
    """
    data = prepare(faces, cache)
    out.mkdir(parents=True, exist_ok=True)
    atlas = data.atlas
    np.savez_compressed(
        out / "face_atlas.npz",
        nodes=atlas.nodes,
        triangles=atlas.triangles,
        labels=atlas.labels,
        landmark_mean=atlas.landmark_mean,
        version=np.array(atlas.version),
    )
    finder, steps_finder = _averaged(new_finder(), runs / "finder")
    reader, steps_reader = _averaged(untrained_reader(data), runs / "reader")
    checks = ReaderSamples(
        data.part("validation"), atlas.landmark_mean, symmetric_mirror(data.polygons.mirror), seed=7
    )
    rng = np.random.default_rng(7)
    crops = torch.stack([torch.from_numpy(checks.draw(rng)["image"]).float() / 255 for _ in range(8)])
    small = nn.functional.interpolate(crops, size=(FINDER_SIDE_PX, FINDER_SIDE_PX), mode="area")
    parity = write_onnx(finder, small, ["presence", "heat"], out / "face_finder.onnx")
    parity |= write_onnx(_Delivered(reader), crops, ["shares", "landmarks"], out / "face_reader.onnx")
    if parity["shares"] > 1e-4 or parity["landmarks"] > 1e-2:
        raise ValueError(f"the exported networks differ from the trained ones by {parity}")
    card = {
        "format": FORMAT,
        "atlas": atlas.version,
        "licence": "Apache-2.0",
        "trained_on": "synthetic faces of SFHQ and SFHQ-T2I (David Beniaguev, MIT)",
        "test_ids": [face.id for face in data.faces if data.split[face.id] == "test"],
        "samples_drawn": {"finder": steps_finder * FINDER_BATCH, "reader": steps_reader * READER_BATCH},
        "largest_difference_to_pytorch": parity,
        "versions": {
            "torch": torch.__version__,
            "segmentation-models-pytorch": version("segmentation-models-pytorch"),
        },
        "sha256": {
            name: _sha256(out / name) for name in ("face_atlas.npz", "face_finder.onnx", "face_reader.onnx")
        },
    }
    (out / CARD).write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")


class _Delivered(nn.Module):
    """The reader as it is delivered: probabilities and landmarks."""

    def __init__(self, reader: FaceReader) -> None:
        super().__init__()
        self.reader = reader

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        logits, landmarks, _ = self.reader(image)
        return logits.softmax(dim=1), landmarks


_Network = TypeVar("_Network", FaceFinder, FaceReader)


def _averaged(network: _Network, run: Path) -> tuple[_Network, int]:
    """The averaged weights of a run's checkpoint, and after how many steps they were saved."""
    state = torch.load(run / "checkpoint.pt", map_location="cpu", weights_only=True)
    prefix = "module."
    weights = {k.removeprefix(prefix): v for k, v in state["average"].items() if k.startswith(prefix)}
    network.load_state_dict(weights)
    return network.eval(), int(state["step"])


def write_onnx(network: nn.Module, pictures: Tensor, outputs: list[str], file: Path) -> dict[str, float]:
    """Export with a batch of one; return each output's largest difference to PyTorch over the pictures."""
    with torch.inference_mode():
        torch.onnx.export(
            network.eval(),
            (pictures[:1],),
            str(file),
            input_names=["image"],
            output_names=outputs,
            opset_version=20,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
        session = ort.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        worst = dict.fromkeys(outputs, 0.0)
        for picture in pictures:
            ours = network(picture[None])
            theirs = session.run(None, {"image": picture[None].numpy()})
            for name, our, their in zip(outputs, ours, theirs, strict=True):
                worst[name] = max(worst[name], float(np.abs(our.numpy() - their).max()))
    return worst


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
