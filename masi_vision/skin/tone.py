"""Tone of skin: CIE L*a*b* and the individual typology angle."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

# Linear sRGB to CIE XYZ under D65 (IEC 61966-2-1), and the white point of that matrix.
_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
_WHITE = _TO_XYZ.sum(axis=1)


def lab(linear_rgb: npt.ArrayLike) -> Floats:
    """CIE L*, a*, b* (D65) of linear sRGB in [0, 1], (..., 3).

    References
    ----------
    CIE 15:2004, section 8.2.1.
    """
    ratio = np.asarray(linear_rgb, np.float64) @ _TO_XYZ.T / _WHITE
    root = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio * (29 / 6) ** 2 / 3 + 4 / 29)
    x, y, z = np.moveaxis(root, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def ita_deg(lab_colour: npt.ArrayLike) -> Floats:
    """Individual typology angle in degrees, lighter is higher: atan2(L* - 50, b*) * 180 / pi."""
    colour = np.asarray(lab_colour, np.float64)
    return np.asarray(np.degrees(np.arctan2(colour[..., 0] - 50, colour[..., 2])))
