"""Phantoms without end: training faces in the aligned frame, melasma and distractors planted anew."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import numpy.typing as npt

from masi_vision.face.align import Alignment
from masi_vision.face.atlas import MIRRORED_CODE, FaceAtlas, Floats
from masi_vision.labels.dataset import UNKNOWN, Split
from masi_vision.phantom.capture import Capture, taken
from masi_vision.phantom.colour import colour_from_lab_shift, density_for_delta_l
from masi_vision.phantom.distractor import Distractor, distraction
from masi_vision.phantom.melasma import Melasma, draw_melasma, no_melasma
from masi_vision.phantom.pattern import Distribution, Pattern, Shape
from masi_vision.phantom.plant import transmitted
from masi_vision.photo import srgb_to_linear
from masi_vision.pigment.learned import DENSITY_UNIT_OD, LEAST_SKIN_PX, NETWORK_SHAPE, density_input
from masi_vision.skin.density import optical_density
from masi_vision.skin.tone import lab
from masi_vision.training.cache import TrainingSet
from masi_vision.training.data import LabelledFace, Pixels, Sample, Samples
from masi_vision.training.experiment import PigmentAugmentation

Mask = npt.NDArray[np.bool_]

_P_CLEAR = 0.2
_P_SECOND_SITE = 0.3
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
    positions = alignment.photo_positions()
    linear = np.asarray(alignment.to_frame(srgb_to_linear(face.pixels)), np.float32)
    labels = np.where(face.labels == UNKNOWN, 0, face.labels).astype(np.uint8)
    codes = np.asarray(alignment.to_frame(labels, nearest=True), np.uint8)
    codes[np.isnan(positions[..., 0])] = 0
    size = NETWORK_SHAPE[::-1]
    small = np.asarray(cv2.resize(linear, size, interpolation=cv2.INTER_AREA), np.float32)
    codes = np.asarray(cv2.resize(codes, size, interpolation=cv2.INTER_NEAREST), np.uint8)
    if (codes > 0).sum() < 20 * LEAST_SKIN_PX:
        return None
    return FrameFace(face.id, small, codes, np.median(small[codes > 0], axis=0).astype(np.float32))


def frame_faces(data: TrainingSet, split: Split, cache: Path) -> list[FrameFace]:
    """The faces of a split in the aligned frame, made once and kept in the cache."""
    file = cache / f"frames-{split}-{data.atlas.version}-{NETWORK_SHAPE[0]}.npz"
    if not file.exists():
        made = [frame_face(face, data.atlas) for face in data.part(split)]
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

    Samples come as twins: the same face on the same occasion, with another melasma or none. Whatever differs
    between the two is pigment: learnt side by side, it is the difference that is learnt.
    """

    def __init__(self, faces: list[FrameFace], how: PigmentAugmentation, *, seed: int) -> None:
        super().__init__(seed, len(faces))
        self.how = how
        self.faces = [_shrunk(face, 2 if how.half_size else 1) for face in faces]

    def __getitem__(self, number: int) -> Sample:
        """Give the sample of this number: an even one and the next are twins."""
        occasion = int(np.random.default_rng((self.seed, number // 2)).integers(2**62))
        return self._taken(occasion, np.random.default_rng((self.seed, number, 1)))

    def draw(self, rng: np.random.Generator) -> Sample:
        """Input (15, H, W); lesion, density in units of 0.1 OD, region codes and what is known, (H, W)."""
        return self._taken(int(rng.integers(2**62)), rng)

    def _frame(self, number: int) -> SiteFrame:
        """The photo of this number with what is known of its pigment: here there is none."""
        face = self.faces[number]
        clear, all_of_it = np.zeros(face.codes.shape, np.float32), np.ones(face.codes.shape, bool)
        return SiteFrame(face, clear, all_of_it, clear, all_of_it)

    def _face(self, rng: np.random.Generator) -> SiteFrame:
        one, other = (self._frame(int(i)) for i in rng.integers(self.photos, size=2))
        return blended(one, other, rng) if rng.random() < self.how.blended else one

    def _planted(self, _rng: np.random.Generator) -> bool:
        return True

    def _taken(self, occasion: int, rng: np.random.Generator) -> Sample:
        """A phantom: its pigment drawn from ``rng``, face, distractors and camera from the occasion."""
        same, how = np.random.default_rng(occasion), self.how
        frame = self._face(same)
        if same.random() < 0.5:
            frame = _mirrored(frame)
        shape = (frame.lesion.shape[0], frame.lesion.shape[1])
        melasma = no_melasma(shape)
        if self._planted(rng):
            melasma = draw_phantom(frame.face.skin_rgb, rng, shape, darker=how.darker)
        picture = frame.face.linear_rgb * transmitted(melasma.taken_od)
        for kind in get_args(Distractor):
            if same.random() < how.distracted:
                strength = same.uniform(*how.distractor_strength)
                picture = distraction(kind, shape, same, strength=strength).laid_on(picture)
        pixels = taken(picture, frame_capture(same, strength=how.camera), same)
        density = optical_density(srgb_to_linear(pixels))
        x, y = _misplaced(shape, same)

        def moved(layer: npt.NDArray[np.generic], how: int = cv2.INTER_LINEAR) -> Floats:
            return np.asarray(cv2.remap(np.ascontiguousarray(layer), x, y, how), np.float32)

        density = cv2.remap(density, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        codes = moved(frame.face.codes, cv2.INTER_NEAREST)
        planted = moved(melasma.density_od + frame.density_od)
        return {
            "image": density_input(density, codes > 0),
            "lesion": moved(np.maximum(melasma.lesion.astype(np.float32), frame.lesion)),
            "density": planted / np.float32(DENSITY_UNIT_OD),
            "codes": codes.astype(np.int64),
            "known": moved(frame.known.astype(np.uint8), cv2.INTER_NEAREST),
            "density_known": moved(frame.density_known.astype(np.uint8), cv2.INTER_NEAREST),
        }

    def plain(self, number: int) -> Sample:
        """A sample to judge a network by; the same for the same number."""
        return self[number]


class SitePigmentSamples(PigmentSamples):
    """The same on annotated photographs: as they are, or with more pigment planted beside what is there."""

    def __init__(self, frames: list[SiteFrame], how: PigmentAugmentation, *, seed: int) -> None:
        if how.half_size:
            frames = [_half(frame) for frame in frames]
        super().__init__([], how, seed=seed)
        self.frames, self.photos = frames, len(frames)

    def _frame(self, number: int) -> SiteFrame:
        return self.frames[number]

    def _planted(self, rng: np.random.Generator) -> bool:
        return bool(rng.random() < self.how.planted)

    def plain(self, number: int) -> Sample:
        """The photo of this number as it is."""
        frame = self.frames[number]
        codes = frame.face.codes
        return {
            "image": density_input(optical_density(frame.face.linear_rgb), codes > 0),
            "lesion": frame.lesion,
            "density": frame.density_od / np.float32(DENSITY_UNIT_OD),
            "codes": codes.astype(np.int64),
            "known": frame.known.astype(np.float32),
            "density_known": frame.density_known.astype(np.float32),
        }


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


def _half(frame: SiteFrame) -> SiteFrame:
    face = _shrunk(frame.face, 2)
    size = face.codes.shape[::-1]
    lesion, density = (
        np.asarray(cv2.resize(layer, size, interpolation=cv2.INTER_AREA), np.float32)
        for layer in (frame.lesion, frame.density_od)
    )
    return SiteFrame(face, lesion, frame.known[::2, ::2], density, frame.density_known[::2, ::2])


def blended(one: SiteFrame, other: SiteFrame, rng: np.random.Generator) -> SiteFrame:
    """A face that never was: parts of two, or their mean, lit more or less evenly, with their pigment.

    Notes
    -----
    A few hundred faces are soon known by heart, and with them which of their shadows is no pigment. In the
    aligned frame the optical densities of two faces can be mixed, with a share that changes smoothly from
    place to place; one of the two is mirrored as often as not. Then every density is drawn towards the median
    of the skin, or away from it, by a factor from 0.5 to 1.2.
    """
    if rng.random() < 0.5:
        other = _mirrored(other)
    skin = (one.face.codes > 0) & (other.face.codes > 0)
    if 2 * skin.sum() < (one.face.codes > 0).sum():
        other, skin = one, one.face.codes > 0
    size = (skin.shape[1], skin.shape[0])
    coarse = (rng.uniform() + rng.normal(0, 0.5, (4, 3))).astype(np.float32)
    share = np.clip(cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC), 0, 1)

    def mixed(first: Floats, second: Floats) -> Floats:
        part = share[..., None] if first.ndim > 2 else share
        return np.asarray(first + part * (second - first), np.float32)

    density = mixed(*(optical_density(frame.face.linear_rgb) for frame in (one, other)))
    median = np.median(density[skin], axis=0)
    spread = np.float32(np.exp(rng.uniform(np.log(0.5), np.log(1.2))))
    linear = np.clip(10 ** -(median + spread * (density - median)), 0, 1).astype(np.float32)
    codes = np.where(skin, one.face.codes, 0).astype(np.uint8)
    return SiteFrame(
        FrameFace(one.face.id, linear, codes, 10**-median),
        mixed(one.lesion, other.lesion),
        one.known & other.known,
        spread * mixed(one.density_od, other.density_od),
        one.density_known & other.density_known,
    )


def _shrunk(face: FrameFace, by: int) -> FrameFace:
    if by == 1:
        return face
    size = (face.codes.shape[1] // by, face.codes.shape[0] // by)
    linear = cv2.resize(face.linear_rgb, size, interpolation=cv2.INTER_AREA)
    return FrameFace(face.id, linear, np.ascontiguousarray(face.codes[::by, ::by]), face.skin_rgb)


def draw_phantom(
    skin_rgb: Floats, rng: np.random.Generator, shape: Shape = NETWORK_SHAPE, *, darker: float = 1.0
) -> Melasma:
    """Melasma of any site, pattern, colour and density of the training families, or none."""
    if rng.random() < _P_CLEAR:
        return no_melasma(shape)
    skin = np.maximum(skin_rgb, np.float32(0.02))
    colour = colour_from_lab_shift(skin, rng)
    delta_l = darker * float(np.exp(rng.uniform(np.log(2.5), np.log(16))))
    density = min(0.5 * darker, density_for_delta_l(skin, colour, min(delta_l, 0.8 * float(lab(skin)[0]))))
    whole = _one_site(shape, colour, density, rng)
    if rng.random() < _P_SECOND_SITE:
        other = _one_site(shape, colour, density, rng)
        whole = Melasma(np.maximum(whole.density_od, other.density_od), whole.lesion | other.lesion, colour)
    return whole


def _one_site(shape: Shape, colour: Floats, density_od: float, rng: np.random.Generator) -> Melasma:
    distribution: Distribution = rng.choice(get_args(Distribution), p=[0.4, 0.3, 0.14, 0.1, 0.06])
    pattern: Pattern = rng.choice(get_args(Pattern), p=[0.3, 0.25, 0.2, 0.12, 0.13])
    symmetric = bool(rng.random() < 0.75)
    return draw_melasma(shape, distribution, pattern, colour, density_od, rng, symmetric=symmetric)


def frame_capture(rng: np.random.Generator, *, strength: float = 1.0) -> Capture:
    """What a camera does to the colours, and so much blur as is left at the network's size."""
    return Capture(
        exposure=float(np.exp(strength * rng.uniform(-0.4, 0.25))),
        balance=tuple(float(f) for f in np.exp(strength * rng.normal(0, 0.08, 3))),  # type: ignore[arg-type]
        tone=float(np.exp(strength * rng.normal(0, 0.12))),
        blur_px=float(rng.uniform(0.2, 0.9)) if rng.random() < 0.5 else 0.0,
        noise=float(rng.uniform(0, 2)),
        jpeg_quality=int(rng.integers(75, 97)) if rng.random() < 0.3 else None,
    )


def _misplaced(shape: Shape, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Where each pixel is from when the landmarks lie a little wrong: a smooth, small displacement."""
    height, width = shape
    coarse = (rng.normal(0, 0.01, (6, 5, 2)) + rng.normal(0, 0.006, 2)).astype(np.float32) * width
    shift = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    return x + shift[..., 0], y + shift[..., 1]
