"""One photo, seen: read, its face found, its skin carried into the aligned frame. Nothing is measured yet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from math import ceil
from os import PathLike

import cv2
import numpy as np
import numpy.typing as npt

from masi_vision.config import Settings
from masi_vision.errors import NotScorable
from masi_vision.face.atlas import Floats, Subunit
from masi_vision.face.find import FaceRegions, find_face, widest_other
from masi_vision.photo import Photo, read_photo, srgb_to_linear
from masi_vision.photo.colour_correction import (
    Correction,
    Refusal,
    corrected,
    correction_by_card,
)
from masi_vision.visit.models import Models

READ_SIDE_PX = 720
"""Short side to which a photo may be reduced while it is read: a face that fills 45 % of it has the
pixels of the aligned frame. A smaller face makes the photo be read again, larger."""
_NEARLY = 1.1
"""By so much the face may be smaller than in the aligned frame, and counts as of its size."""
CLIPPED = 0.9516
"""249.5 of 255 in linear light, so that 250 is clipped. Chosen here."""


@dataclass(frozen=True, eq=False)
class SeenPhoto:
    """A photo with its face.

    Parameters
    ----------
    photo : Photo
    face : FaceRegions
    codes : (H, W) uint8
        Subunit codes of visible skin in the aligned frame.
    card : Correction, Refusal or None
        What its colour card asks for, or why it is not trusted; None: none was found or looked for.
    other_width_px : float
        Of the widest other face beside it; 0 where none is seen.
    """

    photo: Photo
    face: FaceRegions
    codes: npt.NDArray[np.uint8]
    card: Correction | Refusal | None = None
    other_width_px: float = 0.0

    @cached_property
    def linear_rgb(self) -> Floats:
        """The face in the aligned frame as photographed, (H, W, 3)."""
        return linear_face(self.photo, self.face)

    @cached_property
    def brightest(self) -> Floats:
        """The greatest of its three channels, (H, W): NumPy is slow along an axis of three."""
        red, green, blue = cv2.split(self.linear_rgb)
        return np.asarray(np.maximum(np.maximum(red, green), blue), np.float32)

    @cached_property
    def corrected_rgb(self) -> Floats:
        """The same corrected by the colour card, where there is one that is trusted."""
        return corrected(self.linear_rgb, self.card) if isinstance(self.card, Correction) else self.linear_rgb


def see_photo(source: str | PathLike[str] | Photo, settings: Settings, models: Models) -> SeenPhoto:
    """Read a photo and find the face.

    Raises
    ------
    NotScorable
        It cannot be read, or shows no face.
    """
    photo, face = _photo_and_face(source, settings, models)
    codes = np.where(_within(photo, face), face.frame_codes(), Subunit.NONE).astype(np.uint8)
    other_width_px = widest_other(srgb8(photo), face, models.face)
    return SeenPhoto(photo, face, codes, _colour_card(source, settings), other_width_px)


def _colour_card(source: str | PathLike[str] | Photo, settings: Settings) -> Correction | Refusal | None:
    """What the photo's colour card asks for, from all pixels of the file."""
    chosen = settings.quality.colour_card
    if chosen.use == "ignore":
        return None
    limit = settings.reading.max_megapixels
    photo = source if isinstance(source, Photo) else read_photo(source, max_megapixels=limit)
    return correction_by_card(photo.srgb, chosen)


def _photo_and_face(
    source: str | PathLike[str] | Photo, settings: Settings, models: Models
) -> tuple[Photo, FaceRegions]:
    """Read no more pixels than the aligned frame needs."""
    if isinstance(source, Photo):
        face = _find(source, settings, models)
        _refuse_reduced(source, face, settings)
        return source, face
    limit = settings.reading.max_megapixels
    photo = read_photo(source, min_side_px=READ_SIDE_PX, max_megapixels=limit)
    face = _find(photo, settings, models)
    lacking = models.face.atlas.face_width_px / face.face_width_px
    if lacking > _NEARLY and photo.scale < 1:
        larger = ceil(min(photo.srgb.shape[:2]) * lacking)
        photo = read_photo(source, min_side_px=larger, max_megapixels=limit)
        face = _find(photo, settings, models)
    return photo, face


def _refuse_reduced(photo: Photo, face: FaceRegions, settings: Settings) -> None:
    """Refuse a photo that was read smaller than scoring would have read it: its score would be another."""
    lacks = face.face_width_px < face.atlas.face_width_px / _NEARLY
    if photo.scale < 1 and (lacks or settings.quality.colour_card.use != "ignore"):
        raise ValueError(
            f"{photo.name} was read at {photo.scale:.3g} of its size, its face {face.face_width_px:.0f} px "
            f"wide. Expected {face.atlas.face_width_px:.0f} px, and all pixels where a colour card is looked "
            "for. Give its path, or read it without min_side_px."
        )


def _find(photo: Photo, settings: Settings, models: Models) -> FaceRegions:
    with named(photo):
        return find_face(srgb8(photo), models.face, min_probability=settings.face.min_face_probability)


@contextmanager
def named(photo: Photo) -> Iterator[None]:
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
