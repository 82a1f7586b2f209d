"""One photo, measured: reading, face, pigment, and the measures of every region."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from os import PathLike
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from masi_vision.config import FaceSettings, PigmentSettings, ScaleSettings, Settings
from masi_vision.errors import NotScorable
from masi_vision.face.atlas import MASI_SUBUNITS, Floats, Subunit
from masi_vision.face.find import FaceRegions, find_face
from masi_vision.photo import Photo, read_photo, srgb_to_linear
from masi_vision.pigment.learned import LEAST_SKIN_PX, map_by_network
from masi_vision.pigment.map import PigmentMap
from masi_vision.pigment.measure import RegionMeasure, measure_region
from masi_vision.pigment.rules import map_by_rules
from masi_vision.visit.models import Models

View = Literal["front", "left", "right"]
"""The patient's side that faces the camera."""

_WRONG_SIDE_DEG = 12.0
"""A side view turned further than this to the other side is named wrongly. Chosen here."""

READ_SIDE_PX = 720
"""Short side to which a photo may be reduced while it is read: a face that fills 45 % of it has the
pixels of the aligned frame. A smaller face makes the photo be read again, larger."""


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
    """

    photo: Photo
    view: View
    face: FaceRegions
    pigment: PigmentMap
    codes: npt.NDArray[np.uint8]
    regions: dict[str, RegionMeasure | None]
    second_fraction: dict[str, float | None]


def measure_photo(
    source: str | PathLike[str] | Photo, view: View, settings: Settings, models: Models
) -> PhotoMeasures:
    """Read a photo, find the face, map its pigment and measure every region.

    Raises
    ------
    NotScorable
        With the reason; `score_photo` and `score_visit` turn it into a result.
    """
    photo, face = _photo_and_face(source, settings, models)
    with _named(photo):
        _check_face(face, photo, view, settings.face)
    codes = np.where(_within(photo, face), face.frame_codes(), Subunit.NONE).astype(np.uint8)
    with _named(photo):
        pigment, second = pigment_maps(linear_face(photo, face), codes, settings.pigment, models)
    error = models.pigment.errors[pigment.method]
    whole = models.face.atlas.labels
    regions, opinions = {}, {}
    for name, members in region_members(settings.scale).items():
        region = np.isin(codes, members)
        whole_px = int(np.isin(whole, members).sum())
        regions[name] = measure_region(pigment, region, whole_px=whole_px, error=error)
        opinions[name] = float(second.lesion[region].mean()) if second and region.any() else None
    return PhotoMeasures(photo, view, face, pigment, codes, regions, opinions)


def pigment_maps(
    linear_rgb: Floats, codes: npt.NDArray[np.uint8], settings: PigmentSettings, models: Models
) -> tuple[PigmentMap, PigmentMap | None]:
    """The pigment map by the chosen method, and by rules as a second opinion beside the learned one."""
    by_rules = classical_map(linear_rgb, codes, settings, models)
    if settings.method == "classical":
        return by_rules, None
    try:
        learned = map_by_network(
            linear_rgb, codes, models.pigment.read, lesion_probability=settings.lesion_probability
        )
    except ValueError as why:
        raise NotScorable(
            "region_hidden",
            f"Hardly any facial skin is visible ({why}). Expected at least {LEAST_SKIN_PX} pixels of it on "
            "the aligned face. Uncover hair, glasses or hands.",
        ) from why
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


def _photo_and_face(
    source: str | PathLike[str] | Photo, settings: Settings, models: Models
) -> tuple[Photo, FaceRegions]:
    """Read no more pixels than the aligned frame needs."""
    if isinstance(source, Photo):
        return source, _find(source, settings, models)
    limit = settings.reading.max_megapixels
    photo = read_photo(source, min_side_px=READ_SIDE_PX, max_megapixels=limit)
    face = _find(photo, settings, models)
    lacking = models.face.atlas.face_width_px / face.face_width_px
    if lacking > 1.1 and photo.scale < 1:
        larger = ceil(min(photo.srgb.shape[:2]) * lacking)
        photo = read_photo(source, min_side_px=larger, max_megapixels=limit)
        face = _find(photo, settings, models)
    return photo, face


def _find(photo: Photo, settings: Settings, models: Models) -> FaceRegions:
    with _named(photo):
        return find_face(srgb8(photo), models.face, min_probability=settings.face.min_face_probability)


@contextmanager
def _named(photo: Photo) -> Iterator[None]:
    """A refusal names the photo by its hash."""
    try:
        yield
    except NotScorable as why:
        why.photo_sha256 = photo.sha256
        raise


def _within(photo: Photo, face: FaceRegions) -> npt.NDArray[np.bool_]:
    """Where the aligned frame shows a part of the photo: beyond its edge there is no skin to see."""
    x, y = np.moveaxis(face.alignment.photo_positions(), -1, 0)
    height, width = photo.srgb.shape[:2]
    with np.errstate(invalid="ignore"):  # NaN: nothing faces us there
        return np.asarray((x >= 0) & (y >= 0) & (x <= width - 1) & (y <= height - 1))


def srgb8(photo: Photo) -> npt.NDArray[np.uint8]:
    """The photo's pixels with 8 bits, for the networks and for pictures."""
    if photo.srgb.dtype == np.uint8:
        return np.asarray(photo.srgb, np.uint8)
    return np.asarray((photo.srgb.astype(np.uint32) * 255 + 32767) // 65535, np.uint8)


def _check_face(face: FaceRegions, photo: Photo, view: View, limits: FaceSettings) -> None:
    width = face.face_width_px / photo.scale
    if width < limits.min_face_width_px:
        raise NotScorable(
            "too_small",
            f"The face is {width:.0f} px wide. Expected at least {limits.min_face_width_px} px. "
            "Use the camera's original file, or photograph from nearer.",
        )
    shown = {"left": -face.pose.yaw_deg, "right": face.pose.yaw_deg}.get(view, 0.0)
    if shown < -_WRONG_SIDE_DEG:
        raise NotScorable(
            "pose",
            f"The photo named {view} shows the patient's other side, turned by {-shown:.1f} degrees. "
            "Expected the side that faces the camera, the patient's own. Rename the photos.",
        )
    most = limits.max_abs_yaw_deg_front if view == "front" else limits.max_abs_yaw_deg_oblique
    if abs(face.pose.yaw_deg) > most:
        raise NotScorable(
            "pose",
            f"The head is turned {abs(face.pose.yaw_deg):.1f} degrees sideways. "
            f"Expected at most {most:g} in the {view} view. "
            "Take the photo again, or name it by the side that faces the camera.",
        )
    if abs(face.pose.pitch_deg) > limits.max_abs_pitch_deg:
        raise NotScorable(
            "pose",
            f"The head is tilted {abs(face.pose.pitch_deg):.1f} degrees up or down. Expected at most "
            f"{limits.max_abs_pitch_deg:g}. Take the photo again with the camera at eye level.",
        )


def linear_face(photo: Photo, face: FaceRegions) -> Floats:
    """The face in the aligned frame, linear RGB (H, W, 3); pixels are averaged, not skipped, on the way."""
    top, left, bottom, right = face.window(photo.srgb.shape)
    positions = face.alignment.photo_positions() - np.array([left, top], np.float32)
    skin = srgb_to_linear(np.ascontiguousarray(photo.srgb[top:bottom, left:right]))
    shrink = face.face_width_px / face.atlas.face_width_px
    if shrink > 1.2:
        size = (max(1, round((right - left) / shrink)), max(1, round((bottom - top) / shrink)))
        scale = np.array([size[0] / (right - left), size[1] / (bottom - top)], np.float32)
        skin = cv2.resize(skin, size, interpolation=cv2.INTER_AREA)
        positions = (positions + 0.5) * scale - 0.5
    at = np.nan_to_num(positions, nan=-1e4).astype(np.float32)
    return np.asarray(cv2.remap(skin, at, None, cv2.INTER_LINEAR, borderValue=0), np.float32)
