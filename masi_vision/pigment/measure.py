"""What is measured of the pigment in a region, before anything is graded."""

from __future__ import annotations

from dataclasses import dataclass, fields

import cv2
import numpy as np
import numpy.typing as npt

from masi_vision.pigment.interval import MeasureError
from masi_vision.pigment.map import PigmentMap
from masi_vision.skin.density import MELANIN
from masi_vision.skin.tone import ita_deg, lab


@dataclass(frozen=True)
class RegionMeasure:
    """Measures of one region in one view.

    Parameters
    ----------
    visible_fraction : float
        Visible skin over the whole region, by area on the mean face.
    pigmented_fraction : float
        Pigmented over visible skin; 0 when none is.
    contrast_od : float
        Median density over the pigmented skin; 0 when there is none.
    contrast_delta_l, contrast_ita_deg : float
        The same contrast as a drop in L* and in ITA from this region's normal skin.
    largest_patch_fraction : float
        Largest connected patch over all pigmented skin of the region.
    normal_ita_deg : float
        ITA of the region's normal skin as photographed; light and camera are in it.
    pigmented_fraction_low, pigmented_fraction_high, contrast_od_low, contrast_od_high : float
        Where the truth lay in 90 % of the phantoms that measured like this; see `MeasureError`.
    integrated_od : float
        Integrated pigment: mean density over all visible skin, lesion or not. It needs no threshold, and
        follows a change where the fraction jumps.
    """

    visible_fraction: float
    pigmented_fraction: float
    contrast_od: float
    contrast_delta_l: float
    contrast_ita_deg: float
    largest_patch_fraction: float
    normal_ita_deg: float
    pigmented_fraction_low: float
    pigmented_fraction_high: float
    contrast_od_low: float
    contrast_od_high: float
    integrated_od: float

    def __post_init__(self) -> None:
        """Refuse what cannot be measured."""
        for field in fields(self):
            value = getattr(self, field.name)
            if not np.isfinite(value):
                raise ValueError(f"{field.name} must be a number, got {value}")
            if field.name.find("fraction") >= 0 and not 0 <= value <= 1:
                raise ValueError(f"{field.name} must be in [0, 1], got {value}")


def measure_region(
    pigment: PigmentMap, region: npt.NDArray[np.bool_], *, whole_px: int, error: MeasureError
) -> RegionMeasure | None:
    """Measure one region; None if no skin of it is visible.

    Parameters
    ----------
    region : (H, W) bool
        The region's visible skin in the aligned frame.
    whole_px : int
        Pixels that the region has on the mean face, hidden or not.
    error : MeasureError
        How far the map's measures have been from the truth.
    """
    visible = region & pigment.skin
    n_visible = int(visible.sum())
    if n_visible == 0:
        return None
    lesion = visible & pigment.lesion
    fraction = int(lesion.sum()) / n_visible
    contrast = float(np.median(pigment.density_od[lesion])) if lesion.any() else 0.0
    fraction_low, fraction_high = error.fraction.around(fraction)
    contrast_low, contrast_high = error.contrast_od.around(contrast)
    normal = np.median(pigment.normal_rgb[visible], axis=0)
    before, after = lab(normal), lab(normal * 10 ** (-contrast * MELANIN))
    return RegionMeasure(
        visible_fraction=min(1.0, n_visible / whole_px),
        pigmented_fraction=fraction,
        contrast_od=contrast,
        contrast_delta_l=float(before[0] - after[0]),
        contrast_ita_deg=float(ita_deg(before) - ita_deg(after)),
        largest_patch_fraction=_largest_patch(lesion),
        normal_ita_deg=float(ita_deg(before)),
        pigmented_fraction_low=fraction_low,
        pigmented_fraction_high=min(1.0, fraction_high),
        contrast_od_low=contrast_low,
        contrast_od_high=contrast_high,
        integrated_od=float(pigment.density_od[visible].mean()),
    )


def _largest_patch(pigmented: npt.NDArray[np.bool_]) -> float:
    _, _, facts, _ = cv2.connectedComponentsWithStats(pigmented.astype(np.uint8), connectivity=8)
    areas = facts[1:, cv2.CC_STAT_AREA]
    return float(areas.max() / areas.sum()) if areas.size else 0.0
