"""Colour profiles: from the colours a camera wrote to sRGB.

A profile of three curves and a matrix (every camera and phone space: Display P3, Adobe RGB) is applied in
floating point, at 8 or 16 bits, three times as fast as LittleCMS and held to it on a cube of colours.
A profile made of tables goes through LittleCMS, relative colorimetric with black-point compensation, which
keeps in-gamut skin exactly; at 8 bits, because Pillow's LittleCMS has no 16-bit RGB. What lies outside
sRGB is clipped.

References
----------
ICC.1:2022 (profile version 4.4): sections 9.2 (tags), 10.6 (curveType), 10.18 (parametricCurveType).
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from masi_vision.photo.colour import Pixels, decode_curve, encode_curve, linear_to_srgb8

Floats = npt.NDArray[np.float64]
Curve = Callable[[Floats], Floats]

SRGB_TO_XYZ_D50 = np.array(
    [[0.4360747, 0.3850649, 0.1430804], [0.2225045, 0.7168786, 0.0606169], [0.0139322, 0.0971045, 0.7141733]]
)
"""sRGB primaries adapted to the ICC white D50 by Bradford (brucelindbloom.com, RGB/XYZ matrices)."""

D65 = (0.3127, 0.3290)
"""White point of sRGB, Display P3 and Adobe RGB (1998)."""

SRGB_TOLERANCE = 1
"""A profile that moves no probed colour by more levels of 255 than this is sRGB (chosen here)."""

MATRIX_TOLERANCE = 2
"""Levels of 255 by which our own reading of a profile may differ from LittleCMS (chosen here)."""

STRIP_ROWS = 128
"""Rows converted at a time, so that the float copies stay small."""


class BadProfileError(Exception):
    """The profile is damaged, or not one of an RGB image."""


@dataclass(frozen=True, eq=False)
class RgbSpace:
    """An RGB space of three curves and a matrix.

    Parameters
    ----------
    name : str
    curves : three functions from encoded [0, 1] to linear [0, 1]
    to_linear_srgb : array, 3 x 3
        From its linear RGB to linear sRGB.
    """

    name: str
    curves: tuple[Curve, Curve, Curve]
    to_linear_srgb: Floats

    def to_srgb(self, pixels: Pixels) -> Pixels:
        """Convert to sRGB at the same depth; colours outside sRGB are clipped."""
        top = int(np.iinfo(pixels.dtype).max)
        codes = np.arange(top + 1) / top
        tables = np.stack([curve(codes) for curve in self.curves], axis=-1).astype(np.float32)[None]
        srgb = np.empty_like(pixels)
        for start in range(0, len(pixels), STRIP_ROWS):
            strip = np.ascontiguousarray(pixels[start : start + STRIP_ROWS])
            linear = cv2.transform(cv2.LUT(strip, tables), self.to_linear_srgb)
            srgb[start : start + STRIP_ROWS] = _encode(linear.astype(np.float32, copy=False), top)
        return srgb


def _encode(linear: npt.NDArray[np.float32], top: int) -> Pixels:
    """Encode linear light as sRGB of 8 or 16 bits."""
    if top == 255:
        return linear_to_srgb8(linear)
    return np.rint(encode_curve(np.clip(linear, 0, 1).astype(np.float64)) * top).astype(np.uint16)


def known_space(name: str) -> RgbSpace:
    """Give "Display P3" or "Adobe RGB (1998)" from its published primaries."""
    red, green, blue, curve = _PUBLISHED[name]
    matrix = np.linalg.inv(_to_xyz(*_SRGB_PRIMARIES)) @ _to_xyz(red, green, blue)
    return RgbSpace(name, (curve, curve, curve), matrix)


def icc_to_srgb(pixels: Pixels, icc: bytes) -> tuple[Pixels, str]:
    """Convert pixels by their embedded profile, and name it; BadProfileError where that cannot be done."""
    convert, name = _conversion(icc)
    return convert(pixels), name


def matrix_space(icc: bytes, name: str) -> RgbSpace | None:
    """Read a matrix profile's curves and primaries; None for a profile made of tables."""
    try:
        tags = _tags(icc)
        if b"A2B0" in tags:
            return None
        to_xyz = np.array([_xyz(tags[key]) for key in (b"rXYZ", b"gXYZ", b"bXYZ")]).T
        red, green, blue = (_curve(tags[key]) for key in (b"rTRC", b"gTRC", b"bTRC"))
    except (KeyError, struct.error, ValueError):
        return None
    matrix = np.linalg.inv(SRGB_TO_XYZ_D50) @ to_xyz
    return RgbSpace(name, (red, green, blue), matrix / matrix.sum(axis=1, keepdims=True))


@lru_cache(maxsize=32)
def _conversion(icc: bytes) -> tuple[Callable[[Pixels], Pixels], str]:
    """Choose the way from this profile to sRGB, and name the profile."""
    transform, name = _littlecms(icc)
    probe = _probe()
    exact = _apply(transform, probe).astype(int)
    if np.abs(exact - probe).max() <= SRGB_TOLERANCE:
        return lambda pixels: pixels, "sRGB"
    space = matrix_space(icc, name)
    if space is not None and np.abs(exact - space.to_srgb(probe)).max() <= MATRIX_TOLERANCE:
        return space.to_srgb, name
    return lambda pixels: _apply(transform, pixels), name


def _littlecms(icc: bytes) -> tuple[ImageCms.ImageCmsTransform, str]:
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        transform = ImageCms.buildTransform(
            profile,
            _srgb_profile(),
            "RGB",
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        return transform, ImageCms.getProfileDescription(profile).strip() or "embedded profile"
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
        raise BadProfileError(str(error)) from error


def _apply(transform: ImageCms.ImageCmsTransform, pixels: Pixels) -> npt.NDArray[np.uint8]:
    if pixels.dtype == np.uint16:
        pixels = cv2.convertScaleAbs(pixels, alpha=1 / 257).astype(np.uint8, copy=False)
    image = Image.fromarray(pixels)
    ImageCms.applyTransform(image, transform, inPlace=True)
    return np.asarray(image)


@cache
def _srgb_profile() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


@cache
def _probe() -> npt.NDArray[np.uint8]:
    """A 9 x 9 x 9 cube of colours as a picture."""
    steps = np.linspace(0, 255, 9).astype(np.uint8)
    return np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(27, 27, 3)


def _tags(icc: bytes) -> dict[bytes, bytes]:
    (count,) = struct.unpack_from(">I", icc, 128)
    entries = (struct.unpack_from(">4sII", icc, 132 + 12 * i) for i in range(min(count, 100)))
    return {key: icc[start : start + size] for key, start, size in entries}


def _xyz(tag: bytes) -> tuple[float, ...]:
    return tuple(number / 65536 for number in struct.unpack_from(">3i", tag, 8))


def _curve(tag: bytes) -> Curve:
    if tag[:4] == b"para":
        return _parametric(tag)
    if tag[:4] != b"curv":
        raise ValueError(f"unknown curve type {tag[:4]!r}")
    (count,) = struct.unpack_from(">I", tag, 8)
    if count == 0:
        return lambda encoded: encoded
    table = np.array(struct.unpack_from(f">{count}H", tag, 12), dtype=float)
    if count == 1:
        return lambda encoded: encoded ** (table[0] / 256)
    return lambda encoded: np.interp(encoded, np.linspace(0, 1, count), table / 65535)


def _parametric(tag: bytes) -> Curve:
    """(a x + b)^g + e from d on, c x + f below; the shorter kinds leave parameters out."""
    (kind,) = struct.unpack_from(">H", tag, 8)
    count = (1, 3, 4, 5, 7)[min(kind, 4)]
    given = [number / 65536 for number in struct.unpack_from(f">{count}i", tag, 12)]
    g, a, b, c, d, e, f = 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0
    if kind in (1, 2):
        g, a, b = given[:3]
        d, e = -b / a, sum(given[3:])
        f = e
    else:
        g, a, b, c, d, e, f = given + [1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0][count:]
    return lambda x: np.where(x >= d, np.maximum(a * x + b, 0) ** g + e, c * x + f)


def _to_xyz(*primaries: tuple[float, float]) -> Floats:
    """Linear RGB to XYZ from the chromaticities of the primaries, white D65."""
    columns = np.array([_xyz_of(point) for point in primaries]).T
    return columns * np.linalg.solve(columns, np.array(_xyz_of(D65)))


def _xyz_of(chromaticity: tuple[float, float]) -> tuple[float, float, float]:
    x, y = chromaticity
    return x / y, 1.0, (1 - x - y) / y


_SRGB_PRIMARIES = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))  # IEC 61966-2-1
_PUBLISHED = {
    # SMPTE EG 432-1 primaries with the sRGB curve, as Apple defines Display P3
    "Display P3": ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), decode_curve),
    # Adobe RGB (1998) Color Image Encoding, version 2005-05
    "Adobe RGB (1998)": (
        (0.64, 0.33),
        (0.21, 0.71),
        (0.15, 0.06),
        lambda encoded: encoded ** (563 / 256),
    ),
}
