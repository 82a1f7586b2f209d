"""Masks in the photo's own upright pixels, for measuring elsewhere what was measured here."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from masi_vision.visit.measure import PhotoMeasures
from masi_vision.written import write_file

_Level = TypeVar("_Level", np.uint8, np.uint16)

OD_PER_LEVEL = 0.0001
"""Optical density of one level of the pigment mask; 16 bits reach 6.5 OD, more than skin can have."""


def region_mask(measures: PhotoMeasures) -> npt.NDArray[np.uint8]:
    """Subunit codes on visible skin (`face.atlas.Subunit`), (H, W) of the full-size photo."""
    window = measures.face.window(measures.photo.srgb.shape)
    return _full_size(measures.face.photo_codes(window), measures)


def pigment_mask(measures: PhotoMeasures) -> npt.NDArray[np.uint16]:
    """Pigment above normal skin in units of 0.0001 OD, (H, W) of the full-size photo; 0 off the regions."""
    window = measures.face.window(measures.photo.srgb.shape)
    density = measures.face.alignment.to_photo(measures.pigment.density_od, window).astype(np.float64)
    levels = np.clip(np.rint(density / OD_PER_LEVEL), 0, np.iinfo(np.uint16).max)
    levels[measures.face.photo_codes(window) == 0] = 0
    return _full_size(levels.astype(np.uint16), measures)


def lesion_mask(measures: PhotoMeasures) -> npt.NDArray[np.uint8]:
    """1 where skin of a region counts as pigmented, (H, W) of the full-size photo."""
    window = measures.face.window(measures.photo.srgb.shape)
    found = (measures.photo_lesion(window) > 0.5) & (measures.face.photo_codes(window) > 0)
    return _full_size(found.astype(np.uint8), measures)


def write_masks(measures: PhotoMeasures, folder: Path, name: str) -> None:
    """Write ``NAME_regions.png`` and ``NAME_lesion.png`` (8 bits) and ``NAME_pigment.png`` (16 bits)."""
    write_file(folder / f"{name}_regions.png", _png(region_mask(measures)))
    write_file(folder / f"{name}_pigment.png", _png(pigment_mask(measures)))
    write_file(folder / f"{name}_lesion.png", _png(lesion_mask(measures)))


def _full_size(part: npt.NDArray[_Level], measures: PhotoMeasures) -> npt.NDArray[_Level]:
    """Put a window of the reduced photo back into the whole one, each pixel as large as it was read."""
    photo = measures.photo
    top, left, bottom, right = measures.face.window(photo.srgb.shape)
    height, width = photo.srgb.shape[:2]
    whole = np.zeros((height, width), part.dtype)
    whole[top:bottom, left:right] = part
    factor = round(1 / photo.scale)
    rows = np.minimum(np.arange(photo.full_size[0]) // factor, height - 1)
    columns = np.minimum(np.arange(photo.full_size[1]) // factor, width - 1)
    return np.asarray(whole[rows[:, None], columns], part.dtype)


def _png(mask: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]) -> bytes:
    return cv2.imencode(".png", mask)[1].tobytes()
