"""A trial that never was: patients, arms, visits, their melasma with its truth, and readers who grade it.

Arms whose effects are set, as many patients in each, and visits of which the first is before treatment: four
arms and three visits (before the first treatment, at the last one, six months later) unless told otherwise.
What is drawn here is truth; nothing measures.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import cv2
import numpy as np
import numpy.typing as npt

from masi_vision.phantom.colour import colour_from_depth, density_for_delta_l
from masi_vision.phantom.melasma import Melasma, RegionTruth, draw_melasma, region_truth
from masi_vision.phantom.pattern import Distribution, HeldOutPattern, Shape
from masi_vision.phantom.plant import Floats, Rng
from masi_vision.scale import MASI_REGIONS, MasiRegion, continuous_area, continuous_darkness

Codes = npt.NDArray[np.uint8]

VISITS = 3
"""Before the first treatment; at the last, three months later; six months after that."""
_EFFECT_AT_LAST_TREATMENT = 0.6

_PATIENT_SPREAD, _REGION_SPREAD = 0.15, 0.08
_SEAM_WIDTH = 0.015  # standard deviation of what blurs the borders between effects, over the frame's width
_LEAST_AMOUNT_OD = 0.004
_LEAST_FRACTION = 0.05
"""Of one region at least: below, a reader may well see none."""


@dataclass(frozen=True)
class Arm:
    """One arm of the trial; ``effect`` is the mean share of pigment that is gone at the last visit."""

    name: str
    effect: float

    def __post_init__(self) -> None:
        """Refuse effects that no treatment has."""
        if not 0 <= self.effect <= 1:
            raise ValueError(f"effect must be in [0, 1], got {self.effect}")


ARMS = (Arm("A", 0.10), Arm("B", 0.25), Arm("C", 0.40), Arm("D", 0.55))
"""A loses as much as melasma under a vehicle does (10 %: Kimbrough-Green 1994, PMID 8002642); the others are
chosen here, far enough apart to be told from one another."""


@dataclass(frozen=True)
class Patient:
    """One patient: the melasma before treatment, and how it answers to it.

    Parameters
    ----------
    remaining : (H, W) float32
        Share of the density that is left at the last visit.
    """

    name: str
    arm: Arm
    melasma: Melasma
    remaining: Floats

    def at(self, visit: int, visits: int = VISITS) -> Melasma:
        """The melasma at a visit, counted from 0, of so many."""
        left = 1 + effect_so_far(visit, visits) * (self.remaining - 1)
        return self.melasma.after_treatment(np.asarray(left, np.float32))


def effect_so_far(visit: int, visits: int) -> float:
    """Share of the whole effect that is there at a visit: none at the first, all at the last.

    Notes
    -----
    The visits between are treatments, evenly spaced, the last of them with 60 % of the effect. Chosen here.
    """
    if visit in (0, visits - 1):
        return float(visit > 0)
    return _EFFECT_AT_LAST_TREATMENT * visit / (visits - 2)


def allocation(patients: int, arms: Sequence[Arm], rng: Rng) -> list[Arm]:
    """The arm of each patient, in blocks that hold every arm once."""
    blocks = -(-patients // len(arms))
    order = [arms[place] for _ in range(blocks) for place in rng.permutation(len(arms))]
    return order[:patients]


def draw_patient(
    name: str, arm: Arm, skin_rgb: Floats, codes: Codes, graded: Collection[int], rng: Rng
) -> Patient:
    """Draw a patient with melasma that a trial would take in, of families that no network was trained on.

    Parameters
    ----------
    skin_rgb : (3,)
        Own normal skin, linear RGB.
    codes : (H, W) uint8
        Subunits of the mean face.
    graded : collection of int
        Codes of those that MASI grades: pigment on the nose alone makes no score.
    """
    shape: Shape = (codes.shape[0], codes.shape[1])
    skin = np.maximum(skin_rgb, np.float32(0.02)).astype(np.float32)
    while True:
        colour = colour_from_depth(float(rng.random()))
        density = min(0.5, density_for_delta_l(skin, colour, float(rng.uniform(5, 14))))
        distribution: Distribution = rng.choice(get_args(Distribution), p=[0.6, 0.35, 0.05, 0, 0])
        pattern: HeldOutPattern = rng.choice(get_args(HeldOutPattern))
        melasma = draw_melasma(
            shape, distribution, pattern, colour, density, rng, symmetric=bool(rng.random() < 0.85)
        )
        is_plain = melasma.density_od[codes > 0].mean() > _LEAST_AMOUNT_OD
        if is_plain and max(melasma.lesion[codes == code].mean() for code in graded) > _LEAST_FRACTION:
            break
    effect = arm.effect + rng.normal(0, _PATIENT_SPREAD)
    of_code = np.zeros(256, np.float32)
    for code in np.unique(codes[codes > 0]):
        of_code[code] = 1 - np.clip(effect + rng.normal(0, _REGION_SPREAD), -0.3, 1)
    remaining = cv2.GaussianBlur(of_code[_nearest(codes)], (0, 0), _SEAM_WIDTH * shape[1])
    return Patient(name, arm, melasma, np.asarray(remaining, np.float32))


def _nearest(codes: Codes) -> Codes:
    """The region of every pixel, or the one that lies nearest: what is treated does not end at its border."""
    outside = (codes == 0).astype(np.uint8)
    _, place = cv2.distanceTransformWithLabels(
        outside, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    at_place = np.zeros(place.max() + 1, np.uint8)
    at_place[place[codes > 0]] = codes[codes > 0]
    return at_place[place]


# From light to dark, linear RGB.
_LIGHT, _DARK = np.array([0.52, 0.34, 0.26]), np.array([0.12, 0.062, 0.036])


def draw_skin(rng: Rng) -> Floats:
    """Skin of a patient without a photograph, of any tone: (3,) linear RGB."""
    share = rng.random()
    return np.asarray(np.exp(share * np.log(_LIGHT) + (1 - share) * np.log(_DARK)), np.float32)


def truth_of(
    melasma: Melasma, codes: Codes, regions: Mapping[MasiRegion, int], area: Floats
) -> dict[MasiRegion, RegionTruth]:
    """Truth of the regions of MASI on the skin that codes show; one that shows none is left out.

    `area` (H, W) is the skin behind each pixel."""
    return {
        name: region_truth(melasma, codes == code, area)
        for name, code in regions.items()
        if (codes == code).any()
    }


@dataclass(frozen=True)
class Reader:
    """One who grades by eye: how much too high on the whole, and how unsteady, in grades."""

    name: str
    bias: float
    area_spread: float
    darkness_spread: float


def draw_readers(count: int, rng: Rng) -> list[Reader]:
    """Readers who agree as dermatologists do: inter-rater ICC of the mMASI about 0.8.

    Notes
    -----
    Spreads chosen here so that the ICC(2,1) of a drawn cohort comes out near the 0.82 that is published for
    trained raters.
    """
    return [Reader(f"R{number + 1}", float(rng.normal(0, 0.15)), 0.5, 0.4) for number in range(count)]


@dataclass(frozen=True)
class Read:
    """Grades that a reader gave to a region."""

    reader: str
    region: MasiRegion
    area: int
    darkness: int


def read(
    reader: Reader,
    truth: Mapping[MasiRegion, RegionTruth],
    area_cut_points: Sequence[float],
    darkness_cut_points_od: Sequence[float],
    rng: Rng,
) -> Iterator[Read]:
    """Grade a face: the true grade on a continuous scale, misjudged, and rounded."""
    for name in MASI_REGIONS:
        if name not in truth:
            continue
        true = truth[name]
        area = continuous_area(true.pigmented_fraction, area_cut_points)
        dark = continuous_darkness(true.contrast_od, darkness_cut_points_od)
        seen = 0 if area < 0.15 else 1
        guessed = area + seen * (reader.bias + rng.normal(0, reader.area_spread))
        depth = dark + seen * (reader.bias + rng.normal(0, reader.darkness_spread))
        grade = int(np.clip(round(guessed), 0, 6))
        yield Read(reader.name, name, grade, int(np.clip(round(depth), 1, 4)) if grade else 0)
