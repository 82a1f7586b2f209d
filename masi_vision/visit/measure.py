"""One photo, measured: reading, face, pigment, and the measures of every region."""

from __future__ import annotations

from dataclasses import dataclass, replace
from os import PathLike

import numpy as np
import numpy.typing as npt

from masi_vision.config import PigmentSettings, ScaleSettings, Settings
from masi_vision.face.align import Window, skin_area
from masi_vision.face.atlas import MASI_SUBUNITS, FaceAtlas, Floats, Subunit
from masi_vision.face.find import FaceRegions
from masi_vision.names import View
from masi_vision.photo import Photo
from masi_vision.photo.colour_correction import Correction, Refusal
from masi_vision.pigment.learned import map_by_network
from masi_vision.pigment.map import PigmentMap
from masi_vision.pigment.measure import RegionMeasure, measure_region, share_of_area
from masi_vision.pigment.rules import map_by_rules
from masi_vision.visit.models import Models
from masi_vision.visit.seen import CLIPPED, SeenPhoto, named, see_photo


@dataclass(frozen=True, eq=False)
class PhotoMeasures:
    """Everything measured in one photo.

    Parameters
    ----------
    photo : Photo
    view : {"front", "left", "right"}
    face : FaceRegions
    pigment : PigmentMap
        In the aligned frame.
    codes : (H, W) uint8
        Subunit codes in the aligned frame.
    regions : dict
        Name of each subunit to its measure; None where none of it is visible.
    second_fraction : dict
        Name of each subunit to its pigmented fraction by the second opinion; None where there is none.
    corrected_rgb : (H, W, 3)
        The face in the aligned frame as it was measured: corrected, where a colour card is used.
    burnt_out : (H, W) bool
        Where a channel of the photo is as bright as the file can tell.
    card : Correction, Refusal or None
        What the photo's colour card asked for.
    """

    photo: Photo
    view: View
    face: FaceRegions
    pigment: PigmentMap
    codes: npt.NDArray[np.uint8]
    regions: dict[str, RegionMeasure | None]
    second_fraction: dict[str, float | None]
    corrected_rgb: Floats
    burnt_out: npt.NDArray[np.bool_]
    card: Correction | Refusal | None = None

    def __post_init__(self) -> None:
        """Make read-only what a later comparison reads again."""
        for part in (self.codes, self.corrected_rgb, self.burnt_out):
            part.setflags(write=False)

    def photo_lesion(self, window: Window) -> Floats:
        """How far each pixel of a window of the photo lies in a lesion, (h, w): above 0.5 it does."""
        drawn = self.face.alignment.to_photo(self.pigment.lesion.astype(np.float32), window)
        return np.asarray(drawn, np.float32)


def measure_photo(
    source: str | PathLike[str] | Photo, view: View, settings: Settings, models: Models
) -> PhotoMeasures:
    """Read a photo, find the face, and measure it, however bad the photo is.

    Raises
    ------
    NotScorable
        With the reason.
    """
    return measure_seen(see_photo(source, settings, models), view, settings, models)


def measure_seen(seen: SeenPhoto, view: View, settings: Settings, models: Models) -> PhotoMeasures:
    """Map the pigment of a photo and measure every region.

    Raises
    ------
    NotScorable
        With the reason; `score_photo` and `score_visit` turn it into a result.
    """
    photo, codes = seen.photo, seen.codes
    with named(photo):
        pigment, second = pigment_maps(seen.corrected_rgb, codes, settings.pigment, models)
    error = models.pigment.errors[pigment.method]
    atlas = models.face.atlas
    area = skin_area(atlas)
    regions: dict[str, RegionMeasure | None] = {}
    opinions: dict[str, float | None] = {}
    for name, members in region_members(settings.scale).items():
        region, whole = among(codes, members), among(atlas.labels, members)
        measure = measure_region(pigment, region, whole=whole, area=area, error=error)
        if measure is not None and len(members) > 1:
            measure = replace(measure, visible_fraction=visible_share(codes, members, atlas))
        regions[name] = measure
        opinions[name] = None
        if second is not None and region.any():
            opinions[name] = share_of_area(second.lesion & region, region, area)
    return PhotoMeasures(
        photo=photo,
        view=view,
        face=seen.face,
        pigment=pigment,
        codes=codes,
        regions=regions,
        second_fraction=opinions,
        corrected_rgb=seen.corrected_rgb,
        burnt_out=seen.brightest >= CLIPPED,
        card=seen.card,
    )


def pigment_maps(
    linear_rgb: Floats, codes: npt.NDArray[np.uint8], settings: PigmentSettings, models: Models
) -> tuple[PigmentMap, PigmentMap | None]:
    """The pigment map by the chosen method, and by rules as a second opinion beside the learned one.

    Raises
    ------
    NotScorable
        There is hardly any visible skin.
    """
    by_rules = classical_map(linear_rgb, codes, settings, models)
    if settings.method == "classical":
        return by_rules, None
    learned = map_by_network(
        linear_rgb,
        codes,
        models.pigment.read,
        lesion_probability=settings.lesion_probability,
        raised_by_doubt=settings.raised_by_doubt,
    )
    return learned, by_rules


def classical_map(
    linear_rgb: Floats, codes: npt.NDArray[np.uint8], settings: PigmentSettings, models: Models
) -> PigmentMap:
    """The pigment map by rules, under the settings."""
    return map_by_rules(
        linear_rgb,
        codes,
        face_width_px=models.face.atlas.face_width_px,
        shading_scale_fraction=settings.shading_scale_fraction,
        detection_threshold_od=settings.detection_threshold_od,
    )


def visible_share(codes: npt.NDArray[np.uint8], members: list[int], atlas: FaceAtlas) -> float:
    """Visible skin over the whole of a region, `region_members`, by area.

    Notes
    -----
    Where nose or upper lip count toward a region, what is visible of the region without them bounds it: a
    nose does not stand for a hidden forehead.
    """
    area = skin_area(atlas)
    parts = [members] if len(members) == 1 else [members, members[:1]]
    shares = [share_of_area(among(codes, part), among(atlas.labels, part), area) for part in parts]
    return min(1.0, *shares)


def among(codes: npt.NDArray[np.uint8], members: list[int]) -> npt.NDArray[np.bool_]:
    """Where the codes are one of a few."""
    found = np.asarray(codes == members[0])
    for code in members[1:]:
        found |= codes == code
    return found


def region_members(scale: ScaleSettings) -> dict[str, list[int]]:
    """Subunit codes that make up each region; nose and upper lip may count toward a MASI region too."""
    members = {
        subunit.name.lower(): [int(subunit)] for subunit in (*MASI_SUBUNITS, Subunit.NOSE, Subunit.UPPER_LIP)
    }
    for subunit, toward in (
        (Subunit.NOSE, scale.nose_counts_toward),
        (Subunit.UPPER_LIP, scale.upper_lip_counts_toward),
    ):
        if toward is not None:
            members[toward].append(int(subunit))
    return members
