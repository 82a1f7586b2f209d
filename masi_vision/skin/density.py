"""Optical density of skin and the directions in which its pigments change it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

# Absorbance of melanin and of haemoglobin as a camera's red, green and blue see them, up to a factor:
# independent components of skin photographs, after Tsumura 2003, DOI 10.1145/882262.882344, in the
# values by which peers use them. Here the mean over the channels is one.
_MELANIN_RGB = np.array([0.0246, 0.0316, 0.0394])
_HAEMOGLOBIN_RGB = np.array([0.0193, 0.0755, 0.0666])

MELANIN: Floats = (_MELANIN_RGB / _MELANIN_RGB.mean()).astype(np.float32)
"""Optical density (R, G, B) added by one unit of pigment: its mean over the channels is one."""
HAEMOGLOBIN: Floats = (_HAEMOGLOBIN_RGB / _HAEMOGLOBIN_RGB.mean()).astype(np.float32)
SHADING: Floats = np.ones(3, np.float32)

# Spread of each part on faces, in optical density, and of what is left over. Chosen here on 70 synthetic
# faces: a smaller rest trusts small differences in hue, which on ordinary photographs come from the light.
_SPREAD_OD = {"melanin": 0.06, "haemoglobin": 0.05, "shading": 0.05, "rest": 0.03}
_DARKEST = 1e-3


def optical_density(linear_rgb: Floats) -> Floats:
    """-log10 of linear reflectance, (..., 3); values below 0.001 count as 0.001.

    Raises
    ------
    ValueError
        Of whole numbers, as a file holds them: those are not linear (`masi_vision.photo.srgb_to_linear`).

    Notes
    -----
    A factor in exposure or white balance adds a constant per channel, so a difference of two
    densities in one photo does not depend on it.
    """
    linear_rgb = np.asarray(linear_rgb)
    if not np.issubdtype(linear_rgb.dtype, np.floating):
        raise ValueError(f"linear_rgb must be linear light in [0, 1], got {linear_rgb.dtype}")
    light = np.maximum(linear_rgb, np.float32(_DARKEST))
    return np.asarray(np.log(light) * np.float32(-1 / np.log(10)), np.float32)  # faster than log10


def melanin_filter() -> Floats:
    """Weights (3,) that estimate pigment from a difference in optical density.

    Notes
    -----
    The difference is taken as m * MELANIN + h * HAEMOGLOBIN + s * SHADING + noise, all four normal
    with the spreads above; the weights give the expectation of m (Wiener filter), scaled so that pure
    melanin keeps its value: w = (A S A' + N)^-1 A S e_m. With these
    spreads one unit of redness counts as 0.64 and one of shading as 0.87 of a unit of melanin: less than
    melanin, far from nothing. Three channels under ordinary light tell no more.
    """
    parts = np.stack([MELANIN, HAEMOGLOBIN, SHADING], axis=1).astype(np.float64)
    spread = np.diag([_SPREAD_OD[name] ** 2 for name in ("melanin", "haemoglobin", "shading")])
    total = parts @ spread @ parts.T + _SPREAD_OD["rest"] ** 2 * np.eye(3)
    weights = np.linalg.solve(total, parts @ spread @ np.array([1.0, 0, 0]))
    return np.asarray(weights / (weights @ MELANIN), np.float32)
