"""The figures that an evaluation gives: what each one is, and how it is made of many photographs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from masi_vision.evaluation.photo_figures import PhotoFigures
from masi_vision.evaluation.region_figures import RegionFigures
from masi_vision.face.atlas import SUBUNITS
from masi_vision.scale import MASI_REGIONS

Sums = npt.NDArray[np.float64]
OfRegion = Callable[[PhotoFigures, RegionFigures], float | None]
"""A number of a region of a photo; None where nothing is known of it."""

_REGIONS = tuple(one.name.lower() for one in SUBUNITS)


@dataclass(frozen=True)
class Measure:
    """How a figure is made of photos: sums of parts of each, and what becomes of the sums.

    Parameters
    ----------
    title, meaning : str
        For people.
    better : {1, -1, 0}
        Whether more is better, worse, or neither.
    parts : callable
        From a photo to numbers that are added over photos; all 0 where nothing is counted.
    made_of : callable
        From the sums (..., N) to the figure (...); NaN where nothing was counted.
    unit : {"share", "percent", ""}
        A share is told in per cent.
    """

    title: str
    meaning: str
    better: int
    parts: Callable[[PhotoFigures], Sequence[float]]
    made_of: Callable[[Sums], Sums]
    unit: Literal["share", "percent", ""] = ""

    def text(self, value: float) -> str:
        """A value as it is read."""
        return self.text_apart(value) + ("%" if self.unit else "")

    def text_apart(self, value: float) -> str:
        """A difference of two values as it is read; of what is told in per cent in points."""
        told = 100 * value if self.unit == "share" else value
        digits = {"share": 1, "percent": 2, "": 3}[self.unit]
        return f"{round(told, digits) + 0.0:.{digits}f}"  # + 0.0: no minus before a zero

    @property
    def points(self) -> str:
        """Name of the unit of a difference, with a blank before it."""
        return " points" if self.unit else ""


def _ratio(sums: Sums) -> Sums:
    """First over second."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(sums[..., 1] > 0, sums[..., 0] / sums[..., 1], np.nan)


def _dice(sums: Sums) -> Sums:
    """First over second; of nobody who drew any, third, nothing is known: one false pixel would make it 0."""
    return np.where(sums[..., 2] > 0, _ratio(sums), np.nan)


def _mean_ratio(sums: Sums) -> Sums:
    """Mean of first over second, third over fourth, ...; of those that were counted."""
    pairs = np.stack([_ratio(sums[..., place : place + 2]) for place in range(0, sums.shape[-1], 2)], axis=-1)
    counted = np.isfinite(pairs)
    total = np.where(counted, pairs, 0).sum(axis=-1)
    return _ratio(np.stack([total, counted.sum(axis=-1)], axis=-1))


def _one(value: float | None) -> tuple[float, float]:
    """Sum and count of a value of which nothing may be known."""
    return (0.0, 0.0) if value is None else (float(value), 1.0)


def _over_regions(of: OfRegion) -> Callable[[PhotoFigures], Sequence[float]]:
    """Sum and count over the regions of MASI of which something is known."""

    def parts(photo: PhotoFigures) -> Sequence[float]:
        known = [value for name in MASI_REGIONS if (value := of(photo, photo.region(name))) is not None]
        return float(sum(known)), float(len(known))

    return parts


def _areas(photo: PhotoFigures, name: str) -> tuple[float, float]:
    one = photo.region(name)
    return (one.overlap, one.union) if photo.labelled else (0.0, 0.0)


def _areas_twice(photo: PhotoFigures, name: str) -> tuple[float, float]:
    one = photo.region(name)
    return (2 * one.overlap, one.found_area + one.true_area) if photo.labelled else (0.0, 0.0)


def _fraction_error(photo: PhotoFigures, region: RegionFigures) -> float | None:
    return None if photo.clear else region.fraction_error


def _fraction_excess(photo: PhotoFigures, region: RegionFigures) -> float | None:
    if photo.clear or region.fraction_error is None:
        return None
    return (region.fraction or 0.0) - (region.true_fraction or 0.0)


def _interval_held(photo: PhotoFigures, region: RegionFigures) -> float | None:
    return None if photo.clear or region.interval_held is None else float(region.interval_held)


def _false(photo: PhotoFigures, region: RegionFigures) -> float | None:
    return region.fraction if photo.clear and region.graded else None


def _contrast_error(photo: PhotoFigures, region: RegionFigures) -> float | None:
    both = region.graded and region.fraction and region.true_fraction
    if not both or region.true_contrast_od is None:
        return None
    return abs((region.contrast_od or 0.0) - region.true_contrast_od)


def _within(key: Literal["area_difference", "darkness_difference"], most: int) -> OfRegion:
    def of(photo: PhotoFigures, region: RegionFigures) -> float | None:
        apart: int | None = getattr(region, key)
        if apart is None or photo.clear or not region.graded:
            return None
        return float(abs(apart) <= most)

    return of


def _not_graded(photo: PhotoFigures, region: RegionFigures) -> float | None:
    return None if region.true_fraction is None else float(not region.graded)


def _mmasi_apart(photo: PhotoFigures) -> float | None:
    if photo.mmasi is None or photo.true_mmasi is None:
        return None
    return photo.mmasi - photo.true_mmasi


def _mmasi_error(photo: PhotoFigures) -> Sequence[float]:
    apart = _mmasi_apart(photo)
    return _one(None if apart is None else abs(apart))


def _of_region(name: str) -> Measure:
    words = name.replace("_", " ")
    return Measure(f"IoU, {words}", "of this region alone", 1, lambda photo: _areas(photo, name), _ratio)


MEASURES: dict[str, Measure] = {
    "found": Measure(
        "Faces found",
        "share of the photos in which a face was found; one without counts below as drawing nothing",
        1,
        lambda photo: (float(photo.found), 1.0),
        _ratio,
        "share",
    ),
    "mean_iou": Measure(
        "Mean IoU",
        "common over united area with the annotator's regions: areas summed over the photos, each scaled by "
        "the size of its face, then the mean over forehead, both malars and chin; 1 is a perfect overlap",
        1,
        lambda photo: [value for name in MASI_REGIONS for value in _areas(photo, name)],
        _mean_ratio,
    ),
    "mean_dice": Measure(
        "Mean Dice",
        "the same, as twice the common area over the sum of both",
        1,
        lambda photo: [value for name in MASI_REGIONS for value in _areas_twice(photo, name)],
        _mean_ratio,
    ),
    "photo_mean_iou": Measure(
        "Mean IoU, photo by photo",
        "mean over the photos of each photo's mean, so that every photo counts alike",
        1,
        lambda photo: _one(photo.mean_iou),
        _ratio,
    ),
    "boundary_error_percent": Measure(
        "Boundary error, of face width",
        "mean distance between the outlines of a region, found and drawn, where both show it",
        -1,
        _over_regions(lambda photo, region: region.boundary_error_percent),
        _ratio,
        "percent",
    ),
    "swapped": Measure(
        "Sides swapped",
        "share of the photos on which a malar region lies more on the other's label than on its own",
        -1,
        lambda photo: _one(float(photo.swapped) if photo.labelled else None),
        _ratio,
        "share",
    ),
    "fraction_error": Measure(
        "Error of pigmented fraction",
        "how far the pigmented share of a region's skin is off, either way; photos with pigment, regions "
        "that the models see enough of",
        -1,
        _over_regions(_fraction_error),
        _ratio,
        "share",
    ),
    "fraction_excess": Measure(
        "Excess of pigmented fraction",
        "the same with its sign: above 0, too much is found",
        0,
        _over_regions(_fraction_excess),
        _ratio,
        "share",
    ),
    "interval_held": Measure(
        "Interval held the fraction",
        "share of the same regions whose interval holds the fraction drawn; 90 % where the models' intervals "
        "fit these photos, less where they promise too much",
        0,
        _over_regions(_interval_held),
        _ratio,
        "share",
    ),
    "false_fraction": Measure(
        "False fraction",
        "pigmented share found in the regions of photos on which the annotator saw no pigment",
        -1,
        _over_regions(_false),
        _ratio,
        "share",
    ),
    "lesion_dice": Measure(
        "Dice of pigment",
        "twice the common area over the sum of both, of all pigment found and drawn, on the aligned face",
        1,
        lambda photo: (2 * photo.lesion.both, photo.lesion.found + photo.lesion.true, photo.lesion.true),
        _dice,
    ),
    "contrast_error_od": Measure(
        "Error of contrast, OD",
        "how far the median density of the pigment of a region is off, where both show some",
        -1,
        _over_regions(_contrast_error),
        _ratio,
    ),
    "area_exact": Measure(
        "Area grade exact",
        "share of the regions of photos with pigment that get the grade that their true fraction has",
        1,
        _over_regions(_within("area_difference", 0)),
        _ratio,
        "share",
    ),
    "area_within_one": Measure(
        "Area grade within one",
        "the same, one grade more or less",
        1,
        _over_regions(_within("area_difference", 1)),
        _ratio,
        "share",
    ),
    "darkness_exact": Measure(
        "Darkness grade exact",
        "as the area's; where the density of the pigment is known",
        1,
        _over_regions(_within("darkness_difference", 0)),
        _ratio,
        "share",
    ),
    "darkness_within_one": Measure(
        "Darkness grade within one",
        "the same, one grade more or less",
        1,
        _over_regions(_within("darkness_difference", 1)),
        _ratio,
        "share",
    ),
    "mmasi_error": Measure(
        "Error of mMASI",
        "how far mMASI (0 to 24) of a photo is off, either way, where all four regions are graded and the "
        "density of the pigment is known",
        -1,
        _mmasi_error,
        _ratio,
    ),
    "mmasi_excess": Measure(
        "Excess of mMASI",
        "the same with its sign: above 0, too much is found",
        0,
        lambda photo: _one(_mmasi_apart(photo)),
        _ratio,
    ),
    "not_graded": Measure(
        "Regions not graded",
        "share of the regions with known pigment of which the models see too little to grade them; they "
        "count in no figure of the pigment but its Dice",
        0,
        _over_regions(_not_graded),
        _ratio,
        "share",
    ),
} | {f"iou_{name}": _of_region(name) for name in _REGIONS}
HEADLINES = (
    "found",
    "mean_iou",
    "boundary_error_percent",
    "fraction_error",
    "false_fraction",
    "lesion_dice",
    "area_within_one",
    "mmasi_error",
)
