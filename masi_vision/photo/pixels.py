"""Laws that hold for the pixels of every format: size, colour, opacity; and turning and shrinking them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from masi_vision.photo.colour import Pixels
from masi_vision.photo.exif import CaptureFacts
from masi_vision.photo.formats import UndecodableError

SMALLEST_SIDE_PX = 64
"""A face cannot be found on fewer pixels (chosen here)."""

GRAY_SPREAD, COLOURED_SHARE = 2, 0.01
"""Channels that differ by more levels of 255 than this nowhere but in so small a share of the pixels (a date
in a corner) make a grayscale picture (chosen here)."""

_TRANSPARENT = (
    "has transparent parts, whose colour is unknown. "
    "Expected an opaque photograph. Use the camera's original file."
)
GRAY = (
    "is a grayscale image; pigment and redness cannot be told apart without colour. "
    "Expected a colour photograph. Use the camera's original file."
)


@dataclass(frozen=True)
class Limits:
    """How many pixels may come in, and how few are wanted."""

    max_pixels: float
    min_side_px: int | None = None

    def factor(self, width: int, height: int) -> int:
        """By how much this picture may shrink, a whole number."""
        return max(1, min(width, height) // self.min_side_px) if self.min_side_px else 1

    def check(self, width: int, height: int) -> None:
        """Refuse a picture by the size its header declares, before memory is taken."""
        if width * height > self.max_pixels:
            raise UndecodableError(
                "too_large",
                f"is {width} x {height} px. Expected at most {self.max_pixels / 1e6:g} megapixels. "
                "Use the camera's original file, or raise reading.max_megapixels in the settings.",
            )
        if min(width, height) < SMALLEST_SIDE_PX:
            raise UndecodableError(
                "too_small",
                f"is {width} x {height} px. Expected at least {SMALLEST_SIDE_PX} px on the short side. "
                "Use the camera's original file.",
            )


@dataclass(frozen=True, eq=False)
class Decoded:
    """Upright sRGB pixels, the upright full size (height, width) and the facts of the capture."""

    srgb: Pixels
    full_size: tuple[int, int]
    capture: CaptureFacts


def check_opaque(rgba: Pixels) -> Pixels:
    """Drop an alpha channel that hides nothing; refuse another."""
    if rgba[..., 3].min() < np.iinfo(rgba.dtype).max:
        raise UndecodableError("unsupported_format", _TRANSPARENT)
    return np.ascontiguousarray(rgba[..., :3])


def reduce(pixels: Pixels, limits: Limits) -> Pixels:
    """Average blocks of whole pixels; a cut block at the edge is filled up with its last row or column."""
    height, width = pixels.shape[:2]
    factor = limits.factor(width, height)
    if factor == 1:
        return pixels
    down, right = -height % factor, -width % factor
    filled = cv2.copyMakeBorder(pixels, 0, down, 0, right, cv2.BORDER_REPLICATE)
    size = (filled.shape[1] // factor, filled.shape[0] // factor)
    return np.asarray(cv2.resize(filled, size, interpolation=cv2.INTER_AREA), pixels.dtype)


def check_colour(pixels: Pixels) -> None:
    """Refuse a grayscale picture stored as RGB; a look at every 16th row and column settles most."""
    level = np.iinfo(pixels.dtype).max / 255
    for part, least in ((pixels[::16, ::16], 2 * COLOURED_SHARE), (pixels, COLOURED_SHARE)):
        is_coloured = part.max(axis=2) - part.min(axis=2) > GRAY_SPREAD * level
        if is_coloured.mean() > least:
            return
    raise UndecodableError("not_colour", GRAY)


def upright(pixels: Pixels, orientation: int) -> Pixels:
    """Turn and mirror as EXIF orientation 1 to 8 asks."""
    turned = cv2.transpose(pixels) if orientation > 4 else pixels
    flip = _FLIPS.get(orientation)
    flipped = turned if flip is None else cv2.flip(turned, flip)
    return flipped.astype(pixels.dtype, copy=False)


_FLIPS = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}  # after the transposition; 0 up-down, 1 left-right, -1 both
