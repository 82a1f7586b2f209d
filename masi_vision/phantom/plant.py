"""Plants pigment of known density on a photograph, in optical density."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Rng = np.random.Generator

COLOUR: Floats = np.array([0.72, 1.02, 1.26], np.float32)
"""Optical density (R, G, B) of planted pigment per unit; mean one. A shift of -6 in L* comes with about
+1.5 in a* and +1 in b* on light skin, within what is measured around melasma."""


@dataclass(frozen=True)
class Site:
    """One place where pigment is planted.

    Parameters
    ----------
    centre, radius : (2,) tuples
        x, y in shares of the frame's width and height.
    density_od : float
        Mean optical density at full strength.
    """

    centre: tuple[float, float]
    radius: tuple[float, float]
    density_od: float


def pigment_patches(shape: tuple[int, int], sites: list[Site], rng: Rng) -> Floats:
    """Irregular patches with soft borders, (H, W) optical density.

    Parameters
    ----------
    shape : (int, int)
        Height and width of the frame.
    """
    height, width = shape
    grain_px = 0.04 * width
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    density = np.zeros(shape, np.float32)
    for site in sites:
        away = np.hypot(
            (columns / width - site.centre[0]) / site.radius[0],
            (rows / height - site.centre[1]) / site.radius[1],
        )
        ragged = (
            away + 0.28 * smooth_noise(shape, grain_px, rng) + 0.2 * smooth_noise(shape, grain_px / 4, rng)
        )
        mottled = 1 + 0.15 * smooth_noise(shape, grain_px / 3, rng)
        patch = 1 / (1 + np.exp(np.minimum((ragged - 0.85) / 0.1, 50)))
        density = np.maximum(density, site.density_od * patch * mottled)
    return np.asarray(np.maximum(density, 0), np.float32)


def smooth_noise(shape: tuple[int, int], sigma_px: float, rng: Rng) -> Floats:
    """Gaussian noise of unit spread, smooth over sigma_px."""
    noise = cv2.GaussianBlur(rng.standard_normal(shape, dtype=np.float32), (0, 0), max(sigma_px, 0.5))
    return np.asarray((noise - noise.mean()) / noise.std(), np.float32)


def transmitted(taken_od: Floats) -> Floats:
    """Share of the light that is left, 10 ** -taken_od."""
    return np.asarray(np.exp(np.float32(-np.log(10)) * taken_od), np.float32)


def planted(linear_rgb: Floats, density_od: Floats) -> Floats:
    """The photo with pigment laid on, (H, W, 3) linear RGB.

    Raises
    ------
    ValueError
        The photo holds whole numbers, as a file does: those are not linear.

    Notes
    -----
    Optical densities add: out = in * 10 ** (-density * COLOUR).
    """
    if not np.issubdtype(linear_rgb.dtype, np.floating):
        raise ValueError(f"linear_rgb must be linear light in [0, 1], got {linear_rgb.dtype}")
    return np.asarray(linear_rgb * transmitted(density_od[..., None] * COLOUR), np.float32)
