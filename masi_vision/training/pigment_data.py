"""Phantoms without end: training faces in the aligned frame, melasma and distractors planted anew."""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, get_args

import cv2
import numpy as np
import numpy.typing as npt
import torch

from masi_vision.face.align import Alignment
from masi_vision.face.atlas import MASI_SUBUNITS, MIRRORED_CODE, SUBUNITS, FaceAtlas, Floats, Subunit
from masi_vision.labels.dataset import UNKNOWN, Split
from masi_vision.phantom.capture import Capture
from masi_vision.phantom.colour import colour_from_lab_shift, density_for_delta_l
from masi_vision.phantom.distractor import Distractor, distraction
from masi_vision.phantom.melasma import Melasma, draw_melasma, draw_sheet, no_melasma
from masi_vision.phantom.pattern import Distribution, Pattern, Shape
from masi_vision.photo import srgb_to_linear
from masi_vision.pigment import learned
from masi_vision.pigment.learned import LEAST_SKIN_PX, NETWORK_SHAPE
from masi_vision.skin.density import optical_density
from masi_vision.skin.tone import lab
from masi_vision.source_code import code_sha256
from masi_vision.training.cache import TrainingSet
from masi_vision.training.data import LabelledFace, Pixels, Sample, Samples
from masi_vision.training.experiment import PigmentAugmentation
from masi_vision.training.phantom_batch import TWINS, Batch, photographed, recombined

Mask = npt.NDArray[np.bool_]

_P_CLEAR = 0.2
_P_SECOND_SITE = 0.3
_P_COVERED, _P_BOTH_CHEEKS = 0.3, 0.8  # of a sheet: each region, and both cheeks alike
_LARGEST = 3.0  # times as wide and as high as usual
_MISPLACED = 0.01  # of the width, by landmarks that lie a little wrong
_FACE_MOVED = 0.02  # of the width, the second face of a blend
_SPREAD = (0.55, 1.6)  # of a blend's light and shade: the mean of two faces is softer than either
_LARGE = 1000
_LEAST_SATURATION = 12.0  # mean difference of the channels, 8 bits: below it a photo has no colour


@dataclass(frozen=True)
class FrameFace:
    """A training face in the aligned frame, at the network's size.

    Parameters
    ----------
    linear_rgb : (144, 128, 3) float32
    codes : (144, 128) uint8
        Region of every pixel of visible skin.
    skin_rgb : (3,) float32
        Median of the visible skin.
    """

    id: str
    linear_rgb: Floats
    codes: Pixels
    skin_rgb: Floats


def in_colour(pixels: Pixels) -> bool:
    """Whether a photo has colour: not grey, not toned in one."""
    return bool(np.ptp(pixels.astype(np.int16), axis=2).mean() >= _LEAST_SATURATION)


def frame_face(face: LabelledFace, atlas: FaceAtlas) -> FrameFace | None:
    """Lay a face over the mean face; None if it has no colour or hardly any visible skin."""
    if not in_colour(face.pixels):
        return None
    alignment = Alignment(atlas, face.landmarks)
    linear = np.asarray(alignment.to_frame(srgb_to_linear(face.pixels)), np.float32)
    labels = np.where(face.labels == UNKNOWN, 0, face.labels).astype(np.uint8)
    codes = np.asarray(alignment.to_frame(labels, nearest=True), np.uint8)
    size = NETWORK_SHAPE[::-1]
    small = np.asarray(cv2.resize(linear, size, interpolation=cv2.INTER_AREA), np.float32)
    codes = np.asarray(cv2.resize(codes, size, interpolation=cv2.INTER_NEAREST), np.uint8)
    if (codes > 0).sum() < 20 * LEAST_SKIN_PX:
        return None
    return FrameFace(face.id, small, codes, np.median(small[codes > 0], axis=0).astype(np.float32))


def frame_faces(data: TrainingSet, split: Split, cache: Path) -> list[FrameFace]:
    """The faces of a split in the aligned frame, made once and kept in the cache."""
    part = data.part(split)
    file = cache / f"frames-{split}-{data.atlas.version}-{_made_from(part, data.atlas)[:12]}.npz"
    if not file.exists():
        made = [frame_face(face, data.atlas) for face in part]
        faces = [face for face in made if face is not None]
        np.savez_compressed(
            file,
            ids=np.array([face.id for face in faces]),
            linear=np.stack([face.linear_rgb for face in faces]).astype(np.float16),
            codes=np.stack([face.codes for face in faces]),
        )
    with np.load(file) as stored:
        ids, linear, codes = stored["ids"], stored["linear"].astype(np.float32), stored["codes"]
    return [
        FrameFace(str(one), rgb, code, np.median(rgb[code > 0], axis=0))
        for one, rgb, code in zip(ids, linear, codes, strict=True)
    ]


def _made_from(faces: list[LabelledFace], atlas: FaceAtlas) -> str:
    """SHA-256 of all that their frames are made from, by this code: a label may be corrected afterwards."""
    whole = sha256(code_sha256().encode())
    for face in faces:
        whole.update(face.id.encode())
        for part in (face.pixels, face.labels, face.landmarks):
            whole.update(np.ascontiguousarray(part).data)
    whole.update(np.ascontiguousarray(atlas.nodes).data)
    return whole.hexdigest()


@dataclass(frozen=True)
class SiteFrame:
    """An annotated photograph in the aligned frame, at the network's size.

    Parameters
    ----------
    lesion : (H, W) float32
        Share of each pixel that is pigmented.
    known : (H, W) bool
        Where anything is said of it.
    density_od : (H, W) float32
        0 where it is clear, and where nobody knows it.
    density_known : (H, W) bool
    """

    face: FrameFace
    lesion: Floats
    known: Mask
    density_od: Floats
    density_known: Mask


class PigmentSamples(Samples):
    """Phantoms drawn from the training families of pattern and colour.

    A sample is an occasion: two faces to blend or one, distractors, a camera, and two melasmas, or none, to
    plant. The twins that come of it differ in their pigment alone: learnt side by side, it is the difference
    that is learnt. `ready` takes their pictures.
    """

    def __init__(self, faces: list[FrameFace], how: PigmentAugmentation, *, seed: int) -> None:
        super().__init__(seed, len(faces))
        self.how, self.faces = how, faces

    def draw(self, rng: np.random.Generator) -> Sample:
        """What `masi_vision.training.phantom_batch.photographed` takes, without the leading axis."""
        how = self.how
        number, second = (int(i) for i in rng.integers(self.photos, size=2))
        blend = rng.random() < how.blended
        one, other = self._frame(number), self._frame(second if blend else number)
        if blend and rng.random() < 0.5:
            other = _mirrored(other)
        if rng.random() < 0.5:
            one, other = _mirrored(one), _mirrored(other)
        shape = (one.known.shape[0], one.known.shape[1])
        shares = self._shares(rng) if blend else np.zeros((2, 4, 3))
        part = float(np.clip(shares[0], 0, 1).mean())
        skin = one.face.skin_rgb ** (1 - part) * other.face.skin_rgb**part
        melasmas = [self._melasma(skin, one.face.codes, rng) for _ in range(TWINS)]
        taken, added = np.zeros((*shape, 3), np.float32), np.zeros((*shape, 1), np.float32)
        for kind in get_args(Distractor):
            if rng.random() < how.distracted:
                drawn = distraction(kind, shape, rng, strength=rng.uniform(*how.distractor_strength))
                taken, added = taken + drawn.taken_od, added + drawn.added_light
        # Twins of one occasion differ in their pigment alone, but for noise; else they are two visits.
        occasions = 1 if rng.random() < how.one_occasion else TWINS
        cameras = [
            _as_row(frame_capture(rng, strength=how.camera, filed=how.filed)) for _ in range(occasions)
        ]
        misplaced = [_displacement(rng, _MISPLACED) for _ in range(occasions)]
        sample: Sample = {
            "linear": np.stack([one.face.linear_rgb, other.face.linear_rgb]).transpose(0, 3, 1, 2),
            "codes": np.stack([one.face.codes, other.face.codes]),
            "share": shares,
            "moved": _displacement(rng, _FACE_MOVED if blend else 0.0),
            "spread": np.array(np.exp(rng.uniform(*np.log(_SPREAD))) if blend else 1.0),
            "pigment": np.stack([melasma.density_od for melasma in melasmas]),
            "lesion": np.stack([melasma.lesion for melasma in melasmas]),
            "colour": np.stack([melasma.colour for melasma in melasmas]),
            "taken": taken.transpose(2, 0, 1),
            "added": added.transpose(2, 0, 1),
            "camera": np.stack(cameras * (TWINS // occasions)),
            "misplaced": np.stack(misplaced * (TWINS // occasions)),
            "seed": np.array(rng.integers(2**62)),
        }
        sample |= self._known(one, other)
        return {name: _travelling(one) for name, one in sample.items()}

    def ready(self, batch: Batch) -> Batch:
        """Take the pictures of a batch of occasions, on the device where it lies."""
        return photographed(recombined(batch, self.how.recombined), self.how.magnified)

    def plain(self, number: int) -> Sample:
        """A phantom to judge a network by; the same for the same number."""
        drawn = {name: torch.from_numpy(one)[None] for name, one in self[number // TWINS].items()}
        taken = photographed(drawn, self.how.magnified)
        return {name: one[number % TWINS].numpy() for name, one in taken.items()}

    def _frame(self, number: int) -> SiteFrame:
        """The photo of this number with what is known of its pigment: here there is none."""
        face = self.faces[number]
        clear, all_of_it = np.zeros(face.codes.shape, np.float32), np.ones(face.codes.shape, bool)
        return SiteFrame(face, clear, all_of_it, clear, all_of_it)

    def _shares(self, rng: np.random.Generator) -> Floats:
        """How much of the other face, (2, 4, 3), coarse: of its light and shade, and of its detail."""
        first, second = (rng.uniform() + rng.normal(0, 0.5, (4, 3)) for _ in range(2))
        return np.stack([first, first if rng.random() < 0.5 else second])

    def _known(self, _one: SiteFrame, _other: SiteFrame) -> Sample:
        """What is known of two faces' own pigment: these have none."""
        return {}

    def _melasma(self, skin_rgb: Floats, codes: Pixels, rng: np.random.Generator) -> Melasma:
        how = self.how
        return draw_phantom(skin_rgb, rng, codes, darker=how.darker, enlarged=how.enlarged, sheets=how.sheets)


class SitePigmentSamples(PigmentSamples):
    """The same on annotated photographs: as they are, or with more pigment planted beside what is there."""

    def __init__(self, frames: list[SiteFrame], how: PigmentAugmentation, *, seed: int) -> None:
        super().__init__([], how, seed=seed)
        self.frames, self.photos = frames, len(frames)

    def plain(self, number: int) -> Sample:
        """The photo of this number as it is."""
        frame = self.frames[number]
        codes = frame.face.codes
        return {
            "image": learned.density_input(optical_density(frame.face.linear_rgb), codes > 0),
            "lesion": frame.lesion,
            "density": frame.density_od / np.float32(learned.DENSITY_UNIT_OD),
            "codes": codes.astype(np.int64),
            "known": frame.known.astype(np.float32),
            "density_known": frame.density_known.astype(np.float32),
        }

    def _frame(self, number: int) -> SiteFrame:
        return self.frames[number]

    def _shares(self, rng: np.random.Generator) -> Floats:
        """One share: pigment is both shade and detail, and its truth is one."""
        return np.repeat(super()._shares(rng)[:1], 2, axis=0)

    def _known(self, one: SiteFrame, other: SiteFrame) -> Sample:
        return {
            "own_lesion": np.stack([one.lesion, other.lesion]),
            "own_density": np.stack([one.density_od, other.density_od]),
            "known": np.stack([one.known, other.known]),
            "density_known": np.stack([one.density_known, other.density_known]),
        }

    def _melasma(self, skin_rgb: Floats, codes: Pixels, rng: np.random.Generator) -> Melasma:
        if rng.random() >= self.how.planted:
            return no_melasma((codes.shape[0], codes.shape[1]))
        return super()._melasma(skin_rgb, codes, rng)


def _mirrored(frame: SiteFrame) -> SiteFrame:
    face = frame.face
    turned = replace(face, linear_rgb=face.linear_rgb[:, ::-1], codes=MIRRORED_CODE[face.codes[:, ::-1]])
    return SiteFrame(
        turned,
        frame.lesion[:, ::-1],
        frame.known[:, ::-1],
        frame.density_od[:, ::-1],
        frame.density_known[:, ::-1],
    )


def _travelling(one: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """As it goes from a worker to the device: pictures in half precision, masks in bytes."""
    if one.dtype == bool:
        one = one.astype(np.uint8)
    elif np.issubdtype(one.dtype, np.floating):
        one = one.astype(np.float16 if one.size > _LARGE else np.float32)
    return np.array(one, order="C")


def _displacement(rng: np.random.Generator, most: float) -> Floats:
    """A smooth, small displacement, coarse, (2, 6, 5) in shares of the width: x, y."""
    coarse = most * (rng.normal(0, 1, (2, 6, 5)) + rng.normal(0, 0.6, (2, 1, 1)))
    return np.asarray(coarse, np.float32)


def draw_phantom(
    skin_rgb: Floats,
    rng: np.random.Generator,
    codes: Pixels | None = None,
    *,
    darker: float = 1.0,
    enlarged: float = 0.0,
    sheets: float = 0.0,
) -> Melasma:
    """Melasma of any site, pattern, colour and density of the training families, or none.

    Parameters
    ----------
    codes : (H, W) uint8
        Regions of the face on which sheets lie; None if none are drawn.
    darker, enlarged, sheets : float
        As of `masi_vision.training.experiment.PigmentAugmentation`.
    """
    shape = NETWORK_SHAPE if codes is None else (codes.shape[0], codes.shape[1])
    if rng.random() < _P_CLEAR:
        return no_melasma(shape)
    skin = np.maximum(skin_rgb, np.float32(0.02))
    colour = colour_from_lab_shift(skin, rng)
    delta_l = darker * float(np.exp(rng.uniform(np.log(2.5), np.log(16))))
    density = min(0.5 * darker, density_for_delta_l(skin, colour, min(delta_l, 0.8 * float(lab(skin)[0]))))
    # Asked in this order, so that an experiment without them draws what it always drew.
    if codes is not None and sheets and rng.random() < sheets:
        return draw_sheet(_some_regions(codes, rng), colour, density, rng)
    larger = float(np.exp(rng.uniform(0, np.log(_LARGEST)))) if enlarged and rng.random() < enlarged else 1.0
    whole = _one_site(shape, colour, density, rng, larger)
    if rng.random() < _P_SECOND_SITE:
        other = _one_site(shape, colour, density, rng)
        whole = Melasma(np.maximum(whole.density_od, other.density_od), whole.lesion | other.lesion, colour)
    return whole


def _some_regions(codes: Pixels, rng: np.random.Generator) -> Mask:
    """Regions for a sheet to cover, one at least; most often both cheeks or neither."""
    drawn = {one: bool(rng.random() < _P_COVERED) for one in SUBUNITS}
    if rng.random() < _P_BOTH_CHEEKS:
        drawn[Subunit.LEFT_MALAR] = drawn[Subunit.RIGHT_MALAR]
    chosen = [one for one in SUBUNITS if drawn[one]] or [rng.choice(MASI_SUBUNITS)]
    return np.isin(codes, chosen)


def _one_site(
    shape: Shape, colour: Floats, density_od: float, rng: np.random.Generator, larger: float = 1.0
) -> Melasma:
    distribution: Distribution = rng.choice(get_args(Distribution), p=[0.4, 0.3, 0.14, 0.1, 0.06])
    pattern: Pattern = rng.choice(get_args(Pattern), p=[0.3, 0.25, 0.2, 0.12, 0.13])
    symmetric = bool(rng.random() < 0.75)
    return draw_melasma(
        shape, distribution, pattern, colour, density_od, rng, symmetric=symmetric, larger=larger
    )


def _as_row(camera: Capture) -> Floats:
    """Exposure, balance, tone, blur, noise and quality, as `photographed` takes them."""
    first = [camera.exposure, *camera.balance, camera.tone, camera.blur_px, camera.noise]
    return np.array([*first, camera.jpeg_quality or 0], np.float32)


def frame_capture(rng: np.random.Generator, *, strength: float = 1.0, filed: float = 0.0) -> Capture:
    """What camera and file do to the colours, and so much blur as is left at the network's size."""
    return Capture(
        exposure=float(np.exp(strength * rng.uniform(-0.4, 0.25))),
        balance=tuple(float(f) for f in np.exp(strength * rng.normal(0, 0.08, 3))),  # type: ignore[arg-type]
        tone=float(np.exp(strength * rng.normal(0, 0.12))),
        blur_px=float(rng.uniform(0.2, 0.9)) if rng.random() < 0.5 else 0.0,
        noise=float(rng.uniform(0, 2)),
        jpeg_quality=int(rng.integers(55, 97)) if rng.random() < filed else None,
    )
