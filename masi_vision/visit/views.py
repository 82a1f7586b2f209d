"""One region seen in several views: each patch of skin counts as much as the camera saw it squarely."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from masi_vision.face.align import skin_area
from masi_vision.face.atlas import Floats
from masi_vision.face.register import likeness, register
from masi_vision.pigment.interval import MeasureError
from masi_vision.pigment.map import PigmentMap
from masi_vision.pigment.measure import RegionMeasure, measure_region
from masi_vision.skin.density import optical_density
from masi_vision.visit.measure import PhotoMeasures
from masi_vision.visit.seen import SeenPhoto

_WHOLLY = 0.9  # share of a reduced pixel that must be skin


@dataclass(frozen=True)
class JoinedMeasure:
    """A region measured in several views at once.

    Parameters
    ----------
    measure : RegionMeasure
    shares : tuple of float
        How much each view weighs in it; their sum is 1.
    """

    measure: RegionMeasure
    shares: tuple[float, ...]


def joined(
    views: Sequence[PhotoMeasures],
    members: Sequence[int],
    *,
    error: MeasureError,
) -> JoinedMeasure:
    """Measure a region in the mean of the pigment maps of several views, in the aligned frame.

    Parameters
    ----------
    views : sequence of PhotoMeasures
        Each shows some skin of the region.
    members : sequence of int
        Subunit codes of the region.
    error : MeasureError
        That of one view: what two views gain is not counted on.

    Notes
    -----
    Density, probability and normal skin of a pixel are means over the views that show it, weighted by the
    cosine between the skin's normal and the line to the camera: the photo's pixels per area of skin. The
    probability from which on it is lesion is the mean over the views, each weighted as in the whole region.
    """
    shown = [np.isin(view.codes, members) & view.pigment.skin for view in views]
    weights = np.stack(shown) * np.stack([view.face.alignment.squareness() for view in views])
    total = weights.sum(axis=0)
    seen = total > 0
    by_pixel = np.asarray(weights / np.where(seen, total, 1), np.float32)
    first = views[0]
    maps = [view.pigment for view in views]
    shares = weights.sum(axis=(1, 2)) / total.sum()
    joint = PigmentMap(
        density_od=_mean([one.density_od for one in maps], by_pixel),
        probability=_mean([one.probability for one in maps], by_pixel),
        lesion_probability=float(shares @ [one.lesion_probability for one in maps]),
        skin=seen,
        normal_rgb=_mean([one.normal_rgb for one in maps], np.asarray(by_pixel[..., None])),
        method=first.pigment.method,
    )
    atlas = first.face.atlas
    whole = np.isin(atlas.labels, members)
    measure = measure_region(joint, seen, whole=whole, area=skin_area(atlas), error=error)
    assert measure is not None, "a view without any skin of the region"
    return JoinedMeasure(measure, tuple(float(share) for share in shares))


def _mean(parts: Sequence[Floats], weights: Floats) -> Floats:
    return np.asarray((np.stack(parts) * weights).sum(axis=0), np.float32)


@dataclass(frozen=True, eq=False)
class SkinDetail:
    """What tells whose skin it is, at half the frame's size: five times as fast, and as telling.

    Parameters
    ----------
    density_od : (H, W, 3) float32
    skin : (H, W) bool
    """

    density_od: Floats
    skin: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, photo: SeenPhoto | PhotoMeasures) -> SkinDetail:
        """That of a photograph."""
        size = tuple(side // 2 for side in photo.codes.shape[::-1])
        share = cv2.resize((photo.codes > 0).astype(np.float32), size, interpolation=cv2.INTER_AREA)
        rgb = cv2.resize(photo.corrected_rgb, size, interpolation=cv2.INTER_AREA)
        return cls(optical_density(rgb), share > _WHOLLY)


def likeness_of(front: SeenPhoto | PhotoMeasures, side: SeenPhoto | PhotoMeasures) -> float | None:
    """How alike two photographs of a visit are once the side view is laid over the front; see `likeness`."""
    return alike(SkinDetail.of(front), SkinDetail.of(side))


def alike(first: SkinDetail, second: SkinDetail) -> float | None:
    """How alike two photographs are once the second is laid over the first; see `likeness`."""
    laid = register(first.density_od, second.density_od, first.skin & second.skin)
    there = np.asarray(laid.to_baseline(second.skin.view(np.uint8), nearest=True), np.uint8) > 0
    moved = np.asarray(laid.to_baseline(second.density_od), np.float32)
    return likeness(first.density_od, moved, first.skin & there)


def differ(measures: Sequence[RegionMeasure]) -> bool:
    """Whether two views disagree about a region beyond what either could be wrong by."""
    low = max(one.pigmented_fraction_low for one in measures)
    high = min(one.pigmented_fraction_high for one in measures)
    return low > high
