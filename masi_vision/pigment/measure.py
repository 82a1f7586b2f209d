"""What is measured of the pigment in a region, before anything is graded."""

from __future__ import annotations

from dataclasses import dataclass, fields

import cv2
import numpy as np
import numpy.typing as npt

from masi_vision.pigment.interval import MeasureError
from masi_vision.pigment.map import PigmentMap, undecided
from masi_vision.skin.density import MELANIN, Floats
from masi_vision.skin.tone import ita_deg, lab


@dataclass(frozen=True)
class RegionMeasure:
    """Measures of one region in one view.

    Parameters
    ----------
    visible_fraction : float
        Visible skin over the whole region. This and all other shares and means are by area of skin on the
        mean face, so that a turned cheek counts as much as a square one.
    pigmented_fraction : float
        Pigmented over visible skin; 0 when none is.
    contrast_od : float
        Median density over the pigmented skin; 0 when there is none.
    contrast_delta_l, contrast_ita_deg : float
        The same contrast as a drop in L* and in ITA from this region's normal skin, by pigment of the colour
        of `MELANIN`, not by the lesion's own. Exposure is in them: compare visits by ``contrast_od``.
    largest_patch_fraction : float
        Largest connected patch over all pigmented skin of the region.
    normal_ita_deg : float
        ITA of the region's normal skin as photographed; light and camera are in it.
    pigmented_fraction_low, pigmented_fraction_high, contrast_od_low, contrast_od_high : float
        Where the truth lay in 90 % of the phantoms that measured like this; see `MeasureError`.
    integrated_od : float
        Integrated pigment: mean density over all visible skin, lesion or not, less the share of it that the
        map is undecided of. It needs no threshold, and follows a change where the fraction jumps.
    undecided_fraction : float
        Share of the visible skin of which the map is undecided (`UNDECIDED_PROBABILITY` of pigment/map.py).
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
    undecided_fraction: float

    def __post_init__(self) -> None:
        """Refuse what cannot be measured."""
        for field in fields(self):
            value = getattr(self, field.name)
            if not np.isfinite(value):
                raise ValueError(f"{field.name} must be a number, got {value}")
            if field.name.find("fraction") >= 0 and not 0 <= value <= 1:
                raise ValueError(f"{field.name} must be in [0, 1], got {value}")


def measure_region(
    pigment: PigmentMap,
    region: npt.NDArray[np.bool_],
    *,
    whole: npt.NDArray[np.bool_],
    area: Floats,
    error: MeasureError,
) -> RegionMeasure | None:
    """Measure one region; None if no skin of it is visible.

    Parameters
    ----------
    region : (H, W) bool
        The region's visible skin in the aligned frame.
    whole : (H, W) bool
        The whole region on the mean face, hidden or not.
    area : (H, W) float32
        Skin behind each pixel, see `masi_vision.face.align.skin_area`.
    error : MeasureError
        How far the map's measures have been from the truth.
    """
    box = _box_around(region | whole)  # an eighth of the frame: the rest holds nothing of it
    region, whole, area = region[box], whole[box], area[box]
    density = pigment.density_od[box]
    visible = region & pigment.skin[box]
    if not visible.any():
        return None
    lesion = visible & pigment.lesion[box]
    fraction = share_of_area(lesion, visible, area)
    contrast = float(np.median(density[lesion])) if lesion.any() else 0.0
    unsure = share_of_area(visible & undecided(pigment.probability[box]), visible, area)
    fraction_low, fraction_high = error.around_fraction(fraction, unsure)
    contrast_low, contrast_high = error.contrast_od.around(contrast)
    normal = np.median(np.ascontiguousarray(pigment.normal_rgb[box][visible].T), axis=1)
    before, after = lab(normal), lab(normal * 10 ** (-contrast * MELANIN))
    return RegionMeasure(
        visible_fraction=min(1.0, share_of_area(visible, whole, area)),
        pigmented_fraction=fraction,
        contrast_od=contrast,
        contrast_delta_l=float(before[0] - after[0]),
        contrast_ita_deg=_turned_deg(float(ita_deg(before) - ita_deg(after))),
        largest_patch_fraction=_largest_patch(lesion, area),
        normal_ita_deg=float(ita_deg(before)),
        pigmented_fraction_low=fraction_low,
        pigmented_fraction_high=fraction_high,
        contrast_od_low=contrast_low,
        contrast_od_high=contrast_high,
        integrated_od=integrated_od(mean_over_area(density, visible, area), unsure),
        undecided_fraction=unsure,
    )


def _turned_deg(difference: float) -> float:
    """A difference of two angles, within half a turn: skin bluer than grey has one beyond 90 degrees."""
    return (difference + 180) % 360 - 180


def integrated_od(mean_density_od: float, undecided_fraction: float) -> float:
    """Integrated pigment of a region: the mean density of a map, times the share that the map is decided of.

    Notes
    -----
    On faces on which it was not fitted, the network's density is too high where it is undecided; on phantoms
    of validation people the amount of a person followed the planted one best so (docs/tried/pigment.md).
    """
    return mean_density_od * (1 - undecided_fraction)


def _box_around(part: npt.NDArray[np.bool_]) -> tuple[slice, slice]:
    left, top, width, height = cv2.boundingRect(part.view(np.uint8))
    return slice(top, top + height), slice(left, left + width)


def share_of_area(part: npt.NDArray[np.bool_], whole: npt.NDArray[np.bool_], area: Floats) -> float:
    """Skin of a part over that of the whole."""
    return float(area[part].sum(dtype=np.float64) / area[whole].sum(dtype=np.float64))


def mean_over_area(values: npt.NDArray[np.floating], region: npt.NDArray[np.bool_], area: Floats) -> float:
    """Mean of a map over the skin of a region."""
    return float(np.average(values[region].astype(np.float64), weights=area[region]))


def _largest_patch(pigmented: npt.NDArray[np.bool_], area: Floats) -> float:
    _, patches = cv2.connectedComponents(pigmented.astype(np.uint8), connectivity=8)
    areas = np.bincount(patches[pigmented], weights=area[pigmented])[1:]
    return float(areas.max() / areas.sum()) if areas.size else 0.0
