"""The clinical scale: grades of a facial region, and MASI, mMASI, hemi-MASI and MSI from them.

Start reading here: no images, only the clinic. A region of the face is graded for

- **area** (0-6): how much of the region's skin is pigmented,
- **darkness** (0-4): how much darker the lesion is than the normal skin beside it,
- **homogeneity** (0-4): how evenly the lesion fills what it covers; optional, part of MASI only,

and the weighted grades add up to the score. Sides are the patient's own: `right_malar` is the
patient's right cheek. Sums are kept as whole tenths, so 0.1 + 0.2 is 0.3 and scores compare exactly.

Only what is published stands here as a number. The cut points of darkness and homogeneity are not
published: they are arguments, and come from the settings (``configs/scoring.yaml``).

References
----------
.. [1] Kimbrough-Green CK, et al. Arch Dermatol 1994;130(6):727-733. PMID 8002642. (MASI)
.. [2] Pandya AG, et al. J Am Acad Dermatol 2011;64(1):78-83.e2. DOI 10.1016/j.jaad.2009.10.051.
   (mMASI; darkness as a difference to adjacent normal skin)
.. [3] Majid I, et al. Indian J Dermatol 2016;61(1):39-44. DOI 10.4103/0019-5154.174024. (MSI)

The weights, bands and formulas of [1] and [2] were read as quoted at medicalalgorithms.com, altmeyers.org
(entry 16838), plasticsurgerykey.com and clincalcpro.com, which agree; not in the papers' full text.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf
from typing import Literal, get_args

import numpy as np

MasiRegion = Literal["forehead", "right_malar", "left_malar", "chin"]
"""A region of MASI, on the patient's own side."""

MASI_REGIONS: tuple[MasiRegion, ...] = get_args(MasiRegion)

Side = Literal["right", "left"]
"""The patient's own side."""

# Share of the face, in tenths: 0.3, 0.3, 0.3, 0.1. Source: [1].
REGION_TENTHS: dict[MasiRegion, int] = {"forehead": 3, "right_malar": 3, "left_malar": 3, "chin": 1}

# Area grades begin at: 1 above 0, then 2 at 10 %, 3 at 30 %, ... 6 at 90 %. Source: [1, 2] (<10, 10-29,
# 30-49, 50-69, 70-89, 90-100 %). The published words leave gaps (9.5 %?); half-open intervals close them.
AREA_EDGES = (0.10, 0.30, 0.50, 0.70, 0.90)

# The one half of a face, in twentieths: 0.15 half forehead, 0.30 malar, 0.05 half chin. NOT published:
# split-face trials use a hemi-MASI without printing its weights; these are the weights of [1], halved.
HALF_FOREHEAD_TWENTIETHS, MALAR_TWENTIETHS, HALF_CHIN_TWENTIETHS = 3, 6, 1

# Share of each site in the Melasma Severity Index, in tenths: 0.4, 0.4, 0.2. Source: [3].
MSI_LEFT_TENTHS, MSI_RIGHT_TENTHS, MSI_NOSE_TENTHS = 4, 4, 2


def _whole(name: str, value: int, highest: int) -> int:
    """A whole number of the scale, also of numpy or pandas; True is none."""
    is_whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not is_whole or not 0 <= value <= highest:
        raise ValueError(f"{name} must be a whole number in 0..{highest}, got {value!r}")
    return int(value)


def _check_between(name: str, value: float, highest: float) -> None:
    if not 0 <= value <= highest or value == inf:  # NaN lies in no interval
        allowed = "0 or more and finite" if highest == inf else f"in [0, {highest}]"
        raise ValueError(f"{name} must be {allowed}, got {value}")


@dataclass(frozen=True, slots=True)
class RegionGrade:
    """The grades of one region, as a rater writes them down.

    Parameters
    ----------
    area : int
        0 to 6.
    darkness : int
        0 to 4. May be 0 where area is not: pigment too faint for grade 1.
    homogeneity : int or None
        0 to 4; None where it was not graded (mMASI does not use it).

    Notes
    -----
    What covers nothing is neither dark nor homogeneous: with area 0 the other grades must be 0
    (homogeneity 0 or None). Use `ABSENT` for such a region.
    """

    area: int
    darkness: int
    homogeneity: int | None = None

    def __post_init__(self) -> None:
        """Refuse a grade that the scale does not have."""
        object.__setattr__(self, "area", _whole("area", self.area, 6))
        object.__setattr__(self, "darkness", _whole("darkness", self.darkness, 4))
        if self.homogeneity is not None:
            object.__setattr__(self, "homogeneity", _whole("homogeneity", self.homogeneity, 4))
        if self.area == 0 and (self.darkness or self.homogeneity):
            raise ValueError(
                "a region with area 0 must have darkness 0 and homogeneity 0, "
                f"got darkness {self.darkness} and homogeneity {self.homogeneity}"
            )


ABSENT = RegionGrade(area=0, darkness=0, homogeneity=0)
"""The grade of a region without melasma."""


@dataclass(frozen=True, slots=True)
class ContinuousGrade:
    """The grades of one region without banding, on the same scales; made by the functions `continuous_*`."""

    area: float
    darkness: float
    homogeneity: float | None = None

    def __post_init__(self) -> None:
        """Refuse a number outside the scale."""
        _check_between("area", self.area, 6)
        _check_between("darkness", self.darkness, 4)
        if self.homogeneity is not None:
            _check_between("homogeneity", self.homogeneity, 4)


@dataclass(frozen=True, slots=True)
class MsiGrade:
    """The grades of one site in MSI, each 0 to 4. How each grade looks was not found in a source."""

    area: int
    pigmentation: int

    def __post_init__(self) -> None:
        """Refuse a grade that the index does not have."""
        object.__setattr__(self, "area", _whole("area", self.area, 4))
        object.__setattr__(self, "pigmentation", _whole("pigmentation", self.pigmentation, 4))


@dataclass(frozen=True, slots=True)
class MasiScore:
    """mMASI (0-24) and, where homogeneity was graded everywhere, MASI (0-48), as whole tenths."""

    mmasi_tenths: int
    masi_tenths: int | None = None

    def __post_init__(self) -> None:
        """Refuse a score that no face can have."""
        _whole("mmasi_tenths", self.mmasi_tenths, 240)
        if self.masi_tenths is not None:
            _whole("masi_tenths", self.masi_tenths, 480)
            if self.masi_tenths < self.mmasi_tenths:
                raise ValueError(f"MASI must be mMASI or more, got {self.masi} and {self.mmasi}")

    @property
    def mmasi(self) -> float:
        """Modified MASI, 0 to 24."""
        return self.mmasi_tenths / 10

    @property
    def masi(self) -> float | None:
        """MASI, 0 to 48; None where a homogeneity is missing."""
        return None if self.masi_tenths is None else self.masi_tenths / 10


def area_grade(fraction: float, *, noise_floor: float = 0.01, edges: Sequence[float] = AREA_EDGES) -> int:
    """Grade the pigmented fraction of a region from 0 to 6.

    Parameters
    ----------
    fraction : float
        Pigmented skin over visible skin of the region, 0 to 1.
    noise_floor : float
        Below this fraction the region counts as free. Default 0.01, from the wording "1-9 %" of grade 1.
    edges : sequence of 5 floats
        Where grades 2 to 6 begin; as published where omitted.

    Notes
    -----
    Half-open intervals: 0.01 is grade 1 and 0.0099 is grade 0; 0.10 is grade 2 and 0.0999 is grade 1;
    0.90 is grade 6 and 0.8999 is grade 5. A fraction of 0 is grade 0 whatever the floor.
    """
    _check_between("fraction", fraction, 1)
    _check_edges(edges)
    _check_between("noise_floor", noise_floor, edges[0])
    if fraction == 0 or fraction < noise_floor:
        return 0
    return 1 + bisect_right(edges, fraction)


def darkness_grade(contrast: float, cut_points: Sequence[float]) -> int:
    """Grade a lesion's contrast to the person's own normal skin from 0 to 4.

    Parameters
    ----------
    contrast : float
        Lesion minus normal skin, 0 or more, in the unit of the cut points. 0 where there is no lesion.
    cut_points : sequence of 4 floats
        Where grades 1, 2, 3 and 4 begin; a contrast on a cut point has the higher grade.
    """
    return _grade("contrast", contrast, inf, cut_points)


def homogeneity_grade(value: float, cut_points: Sequence[float]) -> int:
    """Grade a measure of homogeneity (a fraction, 0 to 1) from 0 to 4; see `darkness_grade`."""
    return _grade("homogeneity value", value, 1, cut_points)


def continuous_area(fraction: float, edges: Sequence[float] = AREA_EDGES) -> float:
    """Place the pigmented fraction of a region on the area scale, 0 to 6, without banding.

    Notes
    -----
    The edge between grade k-1 and grade k is k - 0.5, with straight lines between: 0 at 0, 1.5 at 0.10,
    2.5 at 0.30, ... 5.5 at 0.90, and 6 at 1. So the middle of each of the bands 2 to 5 is its grade, and
    rounding (a half up) gives back the published grade, save for traces (under 0.033). There is no noise
    floor.
    """
    _check_between("fraction", fraction, 1)
    _check_edges(edges)
    return float(np.interp(fraction, (0, *edges, 1), (0, 1.5, 2.5, 3.5, 4.5, 5.5, 6)))


def continuous_darkness(contrast: float, cut_points: Sequence[float]) -> float:
    """Place a contrast on the darkness scale, 0 to 4, without banding.

    Notes
    -----
    As in `continuous_area`: 0 at 0 and k - 0.5 at the k-th cut point, so that rounding (a half up)
    gives back the grade. Grade 4 is open above; it is taken to be as wide as grade 3, with 4 in its middle
    and beyond.
    """
    _check_between("contrast", contrast, inf)
    points = _checked_cut_points(cut_points)
    return _interpolated(contrast, points, full=points[3] + (points[3] - points[2]) / 2)


def continuous_homogeneity(value: float, cut_points: Sequence[float]) -> float:
    """Place a measure of homogeneity (a fraction, 0 to 1) on the scale, 0 to 4; 4 at 1.

    The cut points must lie below 1. Otherwise as in `continuous_darkness`.
    """
    _check_between("homogeneity value", value, 1)
    points = _checked_cut_points(cut_points)
    if points[3] >= 1:
        raise ValueError(f"cut_points of homogeneity must be below 1, got {points}")
    return _interpolated(value, points, full=1)


def masi_score(grades: Mapping[MasiRegion, RegionGrade]) -> MasiScore:
    """Score a face: mMASI, and MASI where all four regions have a homogeneity.

    Parameters
    ----------
    grades : mapping of MasiRegion to RegionGrade
        All four regions and no other. A missing region is refused, for it is not a region without melasma.

    Notes
    -----
    With area A, darkness D and homogeneity H, MASI [1]_ and mMASI [2]_ are::

        mMASI = 0.3 A D forehead + 0.3 A D right malar + 0.3 A D left malar + 0.1 A D chin
        MASI  = the same with D + H in place of D
    """
    _check_regions(grades)
    parts = [(weight, grades[region]) for region, weight in REGION_TENTHS.items()]
    mmasi_tenths = sum(weight * grade.area * grade.darkness for weight, grade in parts)
    if any(grade.homogeneity is None for _, grade in parts):
        return MasiScore(mmasi_tenths)
    homogeneity_tenths = sum(weight * grade.area * (grade.homogeneity or 0) for weight, grade in parts)
    return MasiScore(mmasi_tenths, mmasi_tenths + homogeneity_tenths)


def mmasi(grades: Mapping[MasiRegion, RegionGrade]) -> float:
    """Modified MASI (0-24) of all four regions; see `masi_score`."""
    return masi_score(grades).mmasi


def masi(grades: Mapping[MasiRegion, RegionGrade]) -> float | None:
    """MASI (0-48) of all four regions, None if any has no homogeneity; see `masi_score`."""
    return masi_score(grades).masi


def mmasi_continuous(grades: Mapping[MasiRegion, ContinuousGrade]) -> float:
    """Modified MASI (0-24) without banding: the formula of `masi_score` on continuous grades."""
    _check_regions(grades)
    parts = [(weight, grades[region]) for region, weight in REGION_TENTHS.items()]
    return sum(weight * grade.area * grade.darkness for weight, grade in parts) / 10


def masi_continuous(grades: Mapping[MasiRegion, ContinuousGrade]) -> float | None:
    """MASI (0-48) without banding, None if any region has no homogeneity; see `masi_score`."""
    _check_regions(grades)
    parts = [(weight, grades[region]) for region, weight in REGION_TENTHS.items()]
    if any(grade.homogeneity is None for _, grade in parts):
        return None
    return sum(w * grade.area * (grade.darkness + (grade.homogeneity or 0)) for w, grade in parts) / 10


def hemi_masi(side: Side, grades: Mapping[MasiRegion, RegionGrade]) -> float | None:
    """MASI of one half of the face (0-24), for split-face trials; None if a homogeneity is missing.

    Parameters
    ----------
    side : "right" or "left"
        The patient's own side.
    grades : mapping of MasiRegion to RegionGrade
        Forehead and chin, each graded **on this half only**, and the malar region of this side.

    Notes
    -----
    ``0.15 A(D + H) half forehead + 0.30 A(D + H) malar + 0.05 A(D + H) half chin``. Split-face trials use a
    hemi-MASI, but **its weights were not found in print**: these make two alike halves add up to MASI.
    """
    if side not in get_args(Side):
        raise ValueError(f"side must be 'right' or 'left', got {side!r}")
    malar: MasiRegion = "right_malar" if side == "right" else "left_malar"
    _check_present(grades, ("forehead", malar, "chin"))
    parts = (
        (HALF_FOREHEAD_TWENTIETHS, grades["forehead"]),
        (MALAR_TWENTIETHS, grades[malar]),
        (HALF_CHIN_TWENTIETHS, grades["chin"]),
    )
    if any(grade.homogeneity is None for _, grade in parts):
        return None
    return sum(w * grade.area * (grade.darkness + (grade.homogeneity or 0)) for w, grade in parts) / 20


def msi(left: MsiGrade, right: MsiGrade, nose: MsiGrade) -> float:
    """Melasma Severity Index (0-64), which has a nose where MASI has none.

    Notes
    -----
    With area a and pigmentation p, ``MSI = 0.4 a p² left + 0.4 a p² right + 0.2 a p² nose`` [3]_.
    """
    parts = ((MSI_LEFT_TENTHS, left), (MSI_RIGHT_TENTHS, right), (MSI_NOSE_TENTHS, nose))
    return sum(weight * grade.area * grade.pigmentation**2 for weight, grade in parts) / 10


def _grade(name: str, value: float, highest: float, cut_points: Sequence[float]) -> int:
    _check_between(name, value, highest)
    return bisect_right(_checked_cut_points(cut_points), value)


def _interpolated(value: float, points: tuple[float, ...], full: float) -> float:
    return float(np.interp(value, (0, *points, full), (0, 0.5, 1.5, 2.5, 3.5, 4)))


def _check_edges(edges: Sequence[float]) -> None:
    if len(edges) != 5 or not all(low < high for low, high in pairwise((0, *edges, 1))):
        raise ValueError(f"edges must be 5 numbers between 0 and 1, each above the one before, got {edges}")


def _checked_cut_points(cut_points: Sequence[float]) -> tuple[float, ...]:
    points = tuple(cut_points)
    if len(points) != 4 or not all(low < high < inf for low, high in zip((0, *points), points, strict=False)):
        raise ValueError(f"cut_points must be 4 positive numbers, each above the one before, got {points}")
    return points


def _check_present(grades: Mapping[MasiRegion, object], regions: Sequence[MasiRegion]) -> None:
    for region in regions:
        if region not in grades:
            raise ValueError(f"{region} has no grade; expected one for each of {', '.join(regions)}")


def _check_regions(grades: Mapping[MasiRegion, object]) -> None:
    _check_present(grades, MASI_REGIONS)
    for name in grades:
        if name not in MASI_REGIONS:
            raise ValueError(
                f"{name} is not a region of MASI; expected {', '.join(MASI_REGIONS)} and no other"
            )
