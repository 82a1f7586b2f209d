"""Pigment as an annotator drew it, carried onto the aligned face, beside what the models measure there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from masi_vision.config import ScaleSettings, Settings
from masi_vision.evaluation.region_figures import Mask, RegionFigures
from masi_vision.face.align import Alignment, skin_area
from masi_vision.face.atlas import FaceAtlas, Floats
from masi_vision.labels.dataset import UNKNOWN, Codes, PigmentTruth
from masi_vision.pigment.measure import RegionMeasure, measure_region, share_of_area
from masi_vision.scale import MASI_REGIONS
from masi_vision.visit.measure import PhotoMeasures, among, region_members
from masi_vision.visit.models import Models
from masi_vision.visit.region import graded_as
from masi_vision.visit.score import mmasi_of

# A region of which the truth shows less than this share of the mean face's skin has no true fraction.
_LEAST_SKIN = 0.02


@dataclass(frozen=True, eq=False)
class TruthOnFace:
    """What is known of the pigment, in the aligned frame.

    Parameters
    ----------
    atlas : FaceAtlas
    codes : (H, W) uint8
        Subunit codes of visible skin: the annotator's, or the models' where there are no labels.
    known, lesion : (H, W) bool
    density_od : (H, W) float32 or None
    """

    atlas: FaceAtlas
    codes: Codes
    known: Mask
    lesion: Mask
    density_od: Floats | None

    @property
    def skin(self) -> Mask:
        """Visible skin of which something is known."""
        return (self.codes > 0) & self.known

    def region(self, members: list[int]) -> Mask | None:
        """Known visible skin of a region; None where there is too little of it."""
        area, inside = skin_area(self.atlas), among(self.codes, members) & self.known
        whole = area[among(self.atlas.labels, members)].sum()
        return inside if area[inside].sum() > _LEAST_SKIN * whole else None


@dataclass(frozen=True)
class LesionAreas:
    """Areas of pigment in shares of the mean face's scored skin: found and true at once, found, true."""

    both: float = 0.0
    found: float = 0.0
    true: float = 0.0


def truth_on_face(
    truth: PigmentTruth, labels: Codes | None, over: Alignment, codes: Codes | None
) -> TruthOnFace:
    """Carry the truth of a photo into the aligned frame.

    Parameters
    ----------
    over : Alignment
        Of the photo, by the data set's landmarks where it has them.
    codes : (H, W) uint8 or None
        The models' own regions in the aligned frame, for a photo without labels; where they found no face
        either, the regions of the mean face stand in: its pigment is missed, not away.
    """
    if labels is not None:
        codes = np.asarray(_carried(np.where(labels == UNKNOWN, 0, labels).astype(np.uint8), over), np.uint8)
    elif codes is None:
        codes = over.atlas.labels
    known = _carried(truth.known.astype(np.uint8), over) > 0
    lesion = (_carried(truth.lesion.astype(np.uint8), over) > 0) & known
    density = None if truth.density_od is None else _carried(truth.density_od, over).astype(np.float32)
    return TruthOnFace(over.atlas, codes, known, lesion, density)


def _carried(layer: npt.NDArray[np.generic], over: Alignment) -> npt.NDArray[np.float32]:
    return np.asarray(over.to_frame(layer, nearest=True), np.float32)


def with_pigment(
    regions: Mapping[str, RegionFigures],
    truth: TruthOnFace,
    measures: PhotoMeasures | None,
    settings: Settings,
    models: Models,
) -> dict[str, RegionFigures]:
    """The regions with found and true pigment of those that MASI counts, both where the truth is known."""
    out = dict(regions)
    members = region_members(settings.scale)
    for name in MASI_REGIONS:
        inside = truth.region(members[name])
        if inside is not None:
            known = _true_values(out.get(name, RegionFigures()), truth, inside)
            found = None if measures is None else _measured(measures, members[name], truth, models)
            visible = None if measures is None else measures.regions[name]
            out[name] = known if visible is None else _with_measure(known, found, visible, settings)
    return out


def _measured(
    measures: PhotoMeasures, members: list[int], truth: TruthOnFace, models: Models
) -> RegionMeasure | None:
    """What the models find in their own region, as far as the truth of it is known."""
    pigment, atlas = measures.pigment, truth.atlas
    return measure_region(
        pigment,
        among(measures.codes, members) & truth.known,
        whole=among(atlas.labels, members),
        area=skin_area(atlas),
        error=models.pigment.errors[pigment.method],
    )


def _true_values(region: RegionFigures, truth: TruthOnFace, inside: Mask) -> RegionFigures:
    lesion = truth.lesion & inside
    contrast = None
    if truth.density_od is not None:
        contrast = float(np.median(truth.density_od[lesion])) if lesion.any() else 0.0
    share = share_of_area(lesion, inside, skin_area(truth.atlas))
    return replace(region, true_fraction=share, true_contrast_od=contrast)


def _with_measure(
    region: RegionFigures, found: RegionMeasure | None, visible: RegionMeasure, settings: Settings
) -> RegionFigures:
    """The region with what was found in it; one that is not visible is not graded."""
    if found is None or region.true_fraction is None:
        return region
    least = settings.quality.visible_fraction.fail
    full = replace(
        region,
        fraction=found.pigmented_fraction,
        fraction_low=found.pigmented_fraction_low,
        fraction_high=found.pigmented_fraction_high,
        contrast_od=found.contrast_od,
        graded=visible.visible_fraction >= least,
    )
    return _with_grades(full, settings.scale)


def _with_grades(region: RegionFigures, scale: ScaleSettings) -> RegionFigures:
    found = graded_as(region.fraction or 0.0, region.contrast_od or 0.0, 0.0, scale)
    true = graded_as(region.true_fraction or 0.0, region.true_contrast_od or 0.0, 0.0, scale)
    dark = None if region.true_contrast_od is None else found.darkness - true.darkness
    return replace(region, area_difference=found.area - true.area, darkness_difference=dark)


def lesion_areas(truth: TruthOnFace, measures: PhotoMeasures | None) -> LesionAreas:
    """How much pigment is found, true, and both, on the skin of which something is known."""
    skin, area = truth.skin, skin_area(truth.atlas)
    true = truth.lesion & skin
    found = np.zeros_like(skin) if measures is None else measures.pigment.lesion & skin
    whole = truth.atlas.labels > 0
    return LesionAreas(*(share_of_area(mask, whole, area) for mask in (found & true, found, true)))


def mmasi_pair(regions: Mapping[str, RegionFigures], settings: Settings) -> tuple[float | None, float | None]:
    """mMASI found and true; None where a region is not graded or the density is not known."""
    masi = {name: regions.get(name, RegionFigures()) for name in MASI_REGIONS}
    if not all(one.graded and one.true_contrast_od is not None for one in masi.values()):
        return None, None
    found = {name: (one.fraction or 0.0, one.contrast_od or 0.0) for name, one in masi.items()}
    true = {name: (one.true_fraction or 0.0, one.true_contrast_od or 0.0) for name, one in masi.items()}
    return mmasi_of(found, settings.scale), mmasi_of(true, settings.scale)
