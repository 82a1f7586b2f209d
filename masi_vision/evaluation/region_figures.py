"""Regions as models draw them beside the annotator's: overlap, distance of the outlines, sides swapped."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from masi_vision.face.atlas import SUBUNITS, FaceAtlas, Floats, Subunit, face_span
from masi_vision.labels.dataset import UNKNOWN, Codes

Mask = npt.NDArray[np.bool_]

LEAST_AREA = 0.003
"""A region counts in a photo when truth or drawing cover more than this share of the squared face span: less
is a rim of a hidden region, on which an overlap says nothing."""
_ROUNDED = 1e-9
_BESIDE = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)  # a thin line: a thick one is nearer
_AROUND = np.ones((3, 3), np.uint8)


@dataclass(frozen=True)
class RegionFigures:
    """A region as found and as drawn by the annotator; None where nothing can be said.

    Parameters
    ----------
    overlap, found_area, true_area : float
        Common area, area found, and area drawn by the annotator, in shares of the squared face span.
    boundary_error_percent : float or None
        Mean distance between the two outlines, both ways, in per cent of the face span.
    fraction, true_fraction : float or None
        Pigmented share of the visible skin, by area of skin.
    fraction_low, fraction_high : float or None
        The interval beside it.
    contrast_od, true_contrast_od : float or None
        Median density of the pigmented skin; 0 where there is none.
    area_difference, darkness_difference : int or None
        Grade found less grade true.
    graded : bool
        Whether the models see enough of the region to grade it.
    """

    overlap: float = 0.0
    found_area: float = 0.0
    true_area: float = 0.0
    boundary_error_percent: float | None = None
    fraction: float | None = None
    fraction_low: float | None = None
    fraction_high: float | None = None
    true_fraction: float | None = None
    contrast_od: float | None = None
    true_contrast_od: float | None = None
    area_difference: int | None = None
    darkness_difference: int | None = None
    graded: bool = False

    def __post_init__(self) -> None:
        """Refuse an overlap that is larger than either region."""
        if not 0 <= self.overlap <= min(self.found_area, self.true_area) + 1e-9:
            raise ValueError(
                f"overlap must be in [0, the smaller area], got {self.overlap} of "
                f"{self.found_area} and {self.true_area}"
            )

    @property
    def union(self) -> float:
        """Area that either of them covers."""
        return self.found_area + self.true_area - self.overlap

    @property
    def counts(self) -> bool:
        """Whether the region is large enough for its overlap to say anything."""
        return max(self.found_area, self.true_area) > LEAST_AREA

    @property
    def iou(self) -> float | None:
        """Intersection over union; None where the region does not count."""
        return self.overlap / self.union if self.counts else None

    @property
    def dice(self) -> float | None:
        """Twice the common area over the sum of both; None where the region does not count."""
        return 2 * self.overlap / (self.found_area + self.true_area) if self.counts else None

    @property
    def fraction_error(self) -> float | None:
        """How far the pigmented fraction is off, as a share; None where one of the two is not known."""
        if self.fraction is None or self.true_fraction is None or not self.graded:
            return None
        return abs(self.fraction - self.true_fraction)

    @property
    def interval_held(self) -> bool | None:
        """Whether the interval holds the true fraction; None where one of them is not known."""
        if self.true_fraction is None or self.fraction_low is None or self.fraction_high is None:
            return None
        inside = self.fraction_low - _ROUNDED <= self.true_fraction <= self.fraction_high + _ROUNDED
        return inside if self.graded else None

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self) | {"iou": self.iou, "dice": self.dice, "fraction_error": self.fraction_error}


def span_by_labels(labels: Codes, atlas: FaceAtlas) -> float:
    """The face span in px where no landmark is known: what the mean face has for as much labelled skin."""
    labelled = int(np.count_nonzero((labels > 0) & (labels != UNKNOWN)))
    on_mean_face = np.count_nonzero(atlas.labels) / face_span(atlas.nodes) ** 2
    return float(np.sqrt(max(labelled, 1) / on_mean_face))


def region_overlaps(drawn: Codes, labels: Codes, span_px: float) -> dict[str, RegionFigures]:
    """Overlap and distance of the outlines of the six regions, by name.

    Parameters
    ----------
    drawn, labels : (H, W) uint8
        Codes as the models and the annotator draw them; pixels where `labels` is 255 count nowhere, and a
        region that nobody could draw (most of what the models draw of it is 255) not at all.
    """
    known = labels != UNKNOWN
    return {one.name.lower(): _overlap(drawn == one, labels == one, known, span_px) for one in SUBUNITS}


def _overlap(ours: Mask, theirs: Mask, known: Mask, span_px: float) -> RegionFigures:
    seen = ours & known
    if not theirs.any() and 2 * np.count_nonzero(seen) < np.count_nonzero(ours):
        return RegionFigures()  # the rim of what is not known is no mistake
    common, found, true = (float(np.count_nonzero(mask)) for mask in (seen & theirs, seen, theirs))
    made = RegionFigures(common / span_px**2, found / span_px**2, true / span_px**2)
    if not made.counts:
        return made
    apart = boundary_distance_px(ours, theirs, known)
    error = None if apart is None else 100 * apart / span_px
    return RegionFigures(made.overlap, made.found_area, made.true_area, error)


def boundary_distance_px(one: Mask, other: Mask, known: Mask | None = None) -> float | None:
    """Mean distance between the outlines of two masks: from each to the other, and the mean of both ways.

    Parameters
    ----------
    known : (H, W) bool, optional
        Outlines elsewhere, or beside such pixels, say nothing.

    Returns
    -------
    float or None
        In pixels; None where either has no outline.
    """
    rows, columns = np.nonzero(one | other)
    if not rows.size:
        return None
    part = np.s_[max(0, rows.min() - 1) : rows.max() + 2, max(0, columns.min() - 1) : columns.max() + 2]
    lines = [_outline(mask[part]) for mask in (one, other)]
    if known is not None:
        sure = cv2.erode(known[part].astype(np.uint8), _AROUND, borderValue=1) > 0
        lines = [line & sure for line in lines]
    if not all(line.any() for line in lines):
        return None
    away = [
        cv2.distanceTransform((~line).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE) for line in lines
    ]
    there, back = (_mean_distance(away[1 - side][lines[side]]) for side in (0, 1))
    return (there + back) / 2


def _mean_distance(away_px: Floats) -> float:
    """Mean of distances between pixels: roots of whole numbers, which OpenCV rounds otherwise each time."""
    return float(np.sqrt(np.rint(away_px.astype(np.float64) ** 2)).mean())


def _outline(mask: Mask) -> Mask:
    """Pixels of a mask beside pixels that are none."""
    inner = cv2.erode(mask.astype(np.uint8), _BESIDE, borderValue=0)
    return np.asarray(mask & (inner == 0))


def sides_swapped(drawn: Codes, labels: Codes, span_px: float) -> bool:
    """Whether either malar region lies more on the other's label than on its own, by more than a rim."""
    right, left = Subunit.RIGHT_MALAR, Subunit.LEFT_MALAR
    for side, other in ((right, left), (left, right)):
        ours = drawn == side
        astray, right_place = (int(np.count_nonzero(ours & (labels == code))) for code in (other, side))
        if astray > right_place and astray > LEAST_AREA * span_px**2:
            return True
    return False
