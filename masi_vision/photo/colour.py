"""The sRGB transfer curve, both ways, fast enough for a whole photograph.

References
----------
IEC 61966-2-1:1999, sections 5.2 and 5.3: the piecewise curve and its constants.
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8 | np.uint16]
"""Encoded pixel values, 8 or 16 bits deep."""
Numbers = npt.NDArray[np.integer | np.floating]
"""Pixel values of any kind."""

LINEAR_SLOPE = 12.92
"""Slope of the straight part near black (IEC 61966-2-1)."""
LINEAR_END = 0.0031308
"""Linear value at which the straight part ends (IEC 61966-2-1)."""


def srgb_to_linear(srgb: Pixels) -> npt.NDArray[np.float32]:
    """Decode sRGB values to linear light.

    Parameters
    ----------
    srgb : array of uint8 or uint16, any shape
        0 is black, 255 or 65535 is white.

    Returns
    -------
    array of float32, same shape
        0 to 1, proportional to light.
    """
    if srgb.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"srgb must be uint8 or uint16, got {srgb.dtype}")
    table = _linear_table(int(np.iinfo(srgb.dtype).max) + 1)
    return _look_up(srgb, table).astype(np.float32, copy=False)


def linear_to_srgb8(linear: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Encode linear light as 8-bit sRGB.

    Parameters
    ----------
    linear : array of float32, any shape
        0 to 1; what lies outside (up to 10,000) is clipped, NaN becomes 0.

    Returns
    -------
    array of uint8, same shape

    Notes
    -----
    Linear light is rounded to 1/65535 first, 20 steps per 8-bit level at the steepest part of the curve,
    so `linear_to_srgb8(srgb_to_linear(x))` is `x` for every 8-bit `x`.
    """
    if linear.size == 0:
        return np.zeros(linear.shape, np.uint8)
    rows = _as_rows(linear.astype(np.float32, copy=False))
    steps = cv2.addWeighted(rows, 32767.5, rows, 32767.5, 0.0, dtype=cv2.CV_16U)
    return _look_up(steps, _srgb8_table()).reshape(linear.shape).astype(np.uint8, copy=False)


def decode_curve(encoded: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Decode sRGB values in [0, 1] by the exact formula."""
    straight = encoded / LINEAR_SLOPE
    power = ((np.maximum(encoded, 0.0) + 0.055) / 1.055) ** 2.4
    return np.where(encoded <= LINEAR_END * LINEAR_SLOPE, straight, power)


def encode_curve(linear: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Encode linear light in [0, 1] as sRGB by the exact formula."""
    power = 1.055 * np.maximum(linear, 0.0) ** (1 / 2.4) - 0.055
    return np.where(linear <= LINEAR_END, LINEAR_SLOPE * linear, power)


@cache
def _linear_table(levels: int) -> npt.NDArray[np.float32]:
    return decode_curve(np.arange(levels) / (levels - 1)).astype(np.float32)


@cache
def _srgb8_table() -> npt.NDArray[np.uint8]:
    return np.rint(255 * encode_curve(np.arange(65536) / 65535)).astype(np.uint8)


def _look_up(values: Numbers, table: Numbers) -> Numbers:
    """`table[values]`, about three times as fast as NumPy."""
    if values.size == 0:
        return np.zeros(values.shape, table.dtype)
    return np.asarray(cv2.LUT(_as_rows(values), table), table.dtype).reshape(values.shape)


def _as_rows(values: Numbers) -> Numbers:
    """Two dimensions, one channel: the shape that OpenCV never mistakes for another."""
    return np.ascontiguousarray(values).reshape(values.shape[0] if values.ndim > 1 else 1, -1)
