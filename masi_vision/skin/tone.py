"""Tone of skin: CIE L*a*b*, the individual typology angle and the difference of two colours."""

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


TONES: tuple[tuple[str, float], ...] = (
    ("light (ITA > 41)", 41.0),
    ("intermediate (28 to 41)", 28.0),
    ("tan (10 to 28)", 10.0),
    ("brown and dark (< 10)", -np.inf),
)
"""Classes of the individual typology angle, each with the angle above which it lies.

After Del Bino S, Bernerd F. Br J Dermatol 2013;169 Suppl 3:33-40, DOI 10.1111/bjd.12529: very light and light
are one here, and so are brown and dark. The photo's own light is in the angle, so these are classes of how
light the skin is in the photo."""


def tone_of(linear_rgb: npt.ArrayLike) -> str:
    """Class of skin tone of the median colour of skin, (N, 3) linear RGB of at least one pixel."""
    angle = float(ita_deg(lab(np.median(np.asarray(linear_rgb), axis=0))))
    return next(name for name, above_deg in TONES if angle > above_deg)


def ita_deg(lab_colour: npt.ArrayLike) -> Floats:
    """Individual typology angle in degrees, lighter is higher: atan2(L* - 50, b*) * 180 / pi."""
    colour = np.asarray(lab_colour, np.float64)
    return np.asarray(np.degrees(np.arctan2(colour[..., 0] - 50, colour[..., 2])))


def delta_e00(lab1: npt.ArrayLike, lab2: npt.ArrayLike) -> Floats:
    """CIEDE2000 difference of two colours; about 1 is just seen side by side.

    Parameters
    ----------
    lab1, lab2 : (..., 3)
        CIE L*, a*, b*; shapes that broadcast.

    Returns
    -------
    (...) array
        0 where they are alike; the order does not matter. With kL = kC = kH = 1.

    Notes
    -----
    dE = sqrt(dL^2 + dC^2 + dH^2 + R dC dH), each difference over its own tolerance. A hue difference is
    taken the short way round; a colour without chroma has no hue, and none is counted.

    References
    ----------
    Sharma G, Wu W, Dalal EN. Color Res Appl 2005;30(1):21-30, DOI 10.1002/col.20070, equations 2 to 22.
    """
    (l1, a1, b1), (l2, a2, b2) = (np.moveaxis(np.asarray(c, np.float64), -1, 0) for c in (lab1, lab2))
    stretch = 1.5 - 0.5 * _blue_rise((np.hypot(a1, b1) + np.hypot(a2, b2)) / 2)
    a1, a2 = stretch * a1, stretch * a2
    chroma1, chroma2 = np.hypot(a1, b1), np.hypot(a2, b2)
    hue1, hue2 = np.arctan2(b1, a1) % (2 * np.pi), np.arctan2(b2, a2) % (2 * np.pi)
    hued = (chroma1 > 0) & (chroma2 > 0)
    wraps = hued & (np.abs(hue2 - hue1) > np.pi)
    turn = np.where(hued, hue2 - hue1 - 2 * np.pi * np.sign(hue2 - hue1) * wraps, 0.0)
    hue = np.where(hued, (hue1 + hue2) / 2 + np.pi * wraps, hue1 + hue2)
    lightness, chroma = (l1 + l2) / 2 - 50, (chroma1 + chroma2) / 2
    tint = (
        1
        - 0.17 * np.cos(hue - np.pi / 6)
        + 0.24 * np.cos(2 * hue)
        + 0.32 * np.cos(3 * hue + np.pi / 30)
        - 0.20 * np.cos(4 * hue - np.radians(63))
    )
    light_step = (l2 - l1) / (1 + 0.015 * lightness**2 / np.sqrt(20 + lightness**2))
    chroma_step = (chroma2 - chroma1) / (1 + 0.045 * chroma)
    hue_step = 2 * np.sqrt(chroma1 * chroma2) * np.sin(turn / 2) / (1 + 0.015 * chroma * tint)
    from_blue = (np.degrees(hue) % 360 - 275) / 25
    twist = -2 * _blue_rise(chroma) * np.sin(np.radians(60) * np.exp(-(from_blue**2)))
    square = light_step**2 + chroma_step**2 + hue_step**2 + twist * chroma_step * hue_step
    return np.asarray(np.sqrt(np.maximum(square, 0.0)))


def _blue_rise(chroma: Floats) -> Floats:
    return np.asarray(np.sqrt(chroma**7 / (chroma**7 + 25.0**7)))
