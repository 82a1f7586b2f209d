"""Where planted pigment lies: the sites of melasma, and the patterns in which it lies there.

Everything is drawn in the aligned frame, positions and sizes in shares of its width and height. Sides are
the patient's own: the right cheek lies on the left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from masi_vision.phantom.plant import Floats, Rng, smooth_noise

Shape = tuple[int, int]
Distribution = Literal["centrofacial", "malar", "mandibular", "upper_lip", "nose"]
Pattern = Literal["confluent", "diffuse", "islands", "reticulate", "speckled"]
HeldOutPattern = Literal["cells", "strokes", "discs"]
"""Drawn by other means than the patterns above, and never trained on: for benchmarks."""


@dataclass(frozen=True)
class Ellipse:
    """One place where pigment may lie: centre and radii in shares of the frame, strength in (0, 1]."""

    x: float
    y: float
    radius_x: float
    radius_y: float
    strength: float = 1.0

    def mirrored(self) -> Ellipse:
        """The same place on the other side of the face."""
        return Ellipse(1 - self.x, self.y, self.radius_x, self.radius_y, self.strength)


# Melasma by site, as the clinic divides it: centrofacial, malar, mandibular; upper lip and nose alone are
# drawn too. (x, y, radius_x, radius_y) on the patient's right, or in the middle where x is 0.5. Chosen
# here, from the places on the mean face.
_PLACES: Mapping[str, tuple[float, float, float, float]] = {
    "forehead": (0.50, 0.16, 0.22, 0.06),
    "temple_side": (0.30, 0.17, 0.12, 0.06),
    "medial_cheek": (0.28, 0.52, 0.09, 0.07),
    "cheek": (0.20, 0.57, 0.11, 0.09),
    "lateral_cheek": (0.14, 0.60, 0.07, 0.11),
    "nose": (0.50, 0.50, 0.07, 0.08),
    "upper_lip": (0.50, 0.66, 0.15, 0.03),
    "lip_side": (0.38, 0.67, 0.08, 0.03),
    "chin": (0.50, 0.89, 0.12, 0.06),
    "jaw": (0.24, 0.80, 0.07, 0.07),
}
_SITES: Mapping[Distribution, tuple[str, ...]] = {
    "centrofacial": ("forehead", "temple_side", "medial_cheek", "cheek", "nose", "upper_lip", "chin"),
    "malar": ("medial_cheek", "cheek", "lateral_cheek", "nose"),
    "mandibular": ("jaw", "lateral_cheek", "chin"),
    "upper_lip": ("upper_lip", "lip_side"),
    "nose": ("nose",),
}


def places(
    distribution: Distribution, rng: Rng, *, symmetric: bool = True, larger: float = 1.0
) -> list[Ellipse]:
    """Draw the places of one person's melasma; at least one.

    Symmetric melasma lies on both sides, alike but not equal; else each side is drawn for itself. All are
    ``larger`` times as wide and as high as they would be.
    """
    names = [name for name in _SITES[distribution] if rng.random() < 0.7] or [_SITES[distribution][0]]
    size = larger * np.exp(rng.normal(0, 0.35))
    drawn: list[Ellipse] = []
    for name in names:
        x, y, radius_x, radius_y = _PLACES[name]
        place = _varied(Ellipse(x, y, radius_x * size, radius_y * size), rng, 0.25)
        if x == 0.5:
            drawn.append(place)
        elif symmetric:
            drawn += [place, _varied(place.mirrored(), rng, 0.12)]
        else:
            drawn += [one for one in (place, place.mirrored()) if rng.random() < 0.55]
    return drawn or [place]


def _varied(place: Ellipse, rng: Rng, spread: float) -> Ellipse:
    x, y = place.x + 0.12 * spread * rng.normal(), place.y + 0.12 * spread * rng.normal()
    wide, tall = np.exp(rng.normal(0, spread, 2))
    strength = float(np.clip(place.strength * (1 - spread * rng.random()), 0.3, 1))
    return Ellipse(float(x), float(y), place.radius_x * wide, place.radius_y * tall, strength)


def membership(
    shape: Shape, within: list[Ellipse], pattern: Pattern | HeldOutPattern, rng: Rng
) -> tuple[Floats, Floats]:
    """How far each pixel belongs to a lesion, and how strong the pigment of its place is.

    Returns
    -------
    inside, strength : (H, W) float32
        ``inside`` in [0, 1]; a pixel is lesion where it is above one half, the middle of the border.
        ``strength`` is that of the nearest place, varied a little from spot to spot.
    """
    depth, strength = _depth(shape, within)
    inside = _DRAW[pattern](shape, depth, rng)
    mottle = 1 + 0.12 * smooth_noise(shape, 0.013 * shape[1], rng)
    return np.clip(inside, 0, 1).astype(np.float32), np.maximum(strength * mottle, 0.1).astype(np.float32)


def sheet(over: npt.NDArray[np.bool_], rng: Rng) -> tuple[Floats, Floats]:
    """An even sheet over whole regions, its rim a little inside theirs or outside: as `membership`.

    Parameters
    ----------
    over : (H, W) bool
        The regions.
    """
    shape, width = (over.shape[0], over.shape[1]), over.shape[1]
    on = over.astype(np.uint8)
    inwards, outwards = (cv2.distanceTransform(side, cv2.DIST_L2, cv2.DIST_MASK_5) for side in (on, 1 - on))
    ragged = rng.uniform(0.0, 0.02) * smooth_noise(shape, 0.05 * width, rng)
    outwards = np.minimum(outwards, width)  # of no region at all it is the largest number that there is
    field = (inwards - outwards) / width + rng.uniform(-0.02, 0.05) + ragged
    uneven = rng.uniform(0.0, 0.15) * smooth_noise(shape, 0.15 * width, rng)
    inside = _edge(np.asarray(field, np.float32), float(rng.uniform(0.004, 0.03)))
    return inside, np.asarray(np.clip(1 + uneven, 0.3, 1.3), np.float32)


def _depth(shape: Shape, within: list[Ellipse]) -> tuple[Floats, Floats]:
    """One in the middle of a place, 0 at its rim, negative outside; and the strength of the deepest place."""
    height, width = shape
    x = (np.arange(width, dtype=np.float32)[None] + 0.5) / width
    y = (np.arange(height, dtype=np.float32)[:, None] + 0.5) / height
    deepest = np.full(shape, -np.inf, np.float32)
    strength = np.zeros(shape, np.float32)
    for place in within:
        across = ((x - np.float32(place.x)) / np.float32(place.radius_x)) ** 2
        down = ((y - np.float32(place.y)) / np.float32(place.radius_y)) ** 2
        depth = 1 - np.sqrt(across + down)
        strength = np.where(depth > deepest, np.float32(place.strength), strength)
        deepest = np.maximum(deepest, depth)
    return deepest, cv2.GaussianBlur(strength, (0, 0), 0.03 * width)


def _edge(field: Floats, softness: float) -> Floats:
    return np.asarray(1 / (1 + np.exp(np.clip(-field / softness, -40, 40))), np.float32)


def _soft(drawn: npt.NDArray[np.generic], sigma_px: float) -> Floats:
    return np.asarray(cv2.GaussianBlur(drawn.astype(np.float32), (0, 0), sigma_px), np.float32)


def _ragged(shape: Shape, depth: Floats, rng: Rng) -> Floats:
    width = shape[1]
    return np.asarray(
        depth + 0.30 * smooth_noise(shape, 0.04 * width, rng) + 0.15 * smooth_noise(shape, 0.01 * width, rng),
        np.float32,
    )


def _confluent(shape: Shape, depth: Floats, rng: Rng) -> Floats:
    return _edge(_ragged(shape, depth, rng), float(rng.uniform(0.04, 0.15)))


def _diffuse(shape: Shape, depth: Floats, rng: Rng) -> Floats:
    smooth = depth + 0.3 * smooth_noise(shape, 0.06 * shape[1], rng)
    return _edge(np.asarray(smooth, np.float32), float(rng.uniform(0.2, 0.4)))


def _islands(shape: Shape, depth: Floats, rng: Rng) -> Floats:
    grain = rng.uniform(0.025, 0.05) * shape[1]
    gaps = 0.6 * smooth_noise(shape, grain, rng) + rng.uniform(-0.2, 0.3)
    field = np.minimum(2 * _ragged(shape, depth, rng), gaps)
    return _edge(np.asarray(field, np.float32), float(rng.uniform(0.08, 0.2)))


def _reticulate(shape: Shape, depth: Floats, rng: Rng) -> Floats:
    meshes = rng.uniform(0.4, 0.7) - np.abs(smooth_noise(shape, rng.uniform(0.014, 0.03) * shape[1], rng))
    field = np.minimum(2 * _ragged(shape, depth, rng), meshes)
    return _edge(np.asarray(field, np.float32), float(rng.uniform(0.06, 0.14)))


def _speckled(shape: Shape, depth: Floats, rng: Rng) -> Floats:
    spots = smooth_noise(shape, rng.uniform(0.009, 0.018) * shape[1], rng) - rng.uniform(0.0, 0.7)
    field = np.minimum(2 * _ragged(shape, depth, rng), spots)
    return _edge(np.asarray(field, np.float32), float(rng.uniform(0.1, 0.25)))


def _cells(shape: Shape, depth: Floats, rng: Rng) -> Floats:
    """Polygons around random points, some of them dark: a patchwork."""
    height, width = shape
    count = int(rng.integers(150, 700))
    at = (rng.random((count, 2)) * (width, height)).astype(np.float32)
    seeds = np.full(shape, 255, np.uint8)
    columns, rows = np.clip(at.astype(int), 0, (width - 1, height - 1)).T
    seeds[rows, columns] = 0
    _, cell = cv2.distanceTransformWithLabels(
        seeds, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    how_deep = depth[rows, columns]
    dark = rng.random(count) < np.clip(0.5 * (how_deep > 0) + 0.45 * how_deep, 0, 0.95)
    of_cell = np.zeros(int(cell.max()) + 1, np.float32)
    of_cell[cell[rows, columns]] = dark
    return _soft(of_cell[cell], rng.uniform(0.003, 0.012) * width)


def _strokes(shape: Shape, depth: Floats, rng: Rng) -> Floats:
    """Random walks of a soft brush that start inside the places and turn back at their rims."""
    height, width = shape
    inside = np.argwhere(depth > 0)
    canvas = np.zeros(shape, np.uint8)
    if not len(inside):
        return canvas.astype(np.float32)
    for _ in range(int(rng.integers(4, 16))):
        point = inside[rng.integers(len(inside))][::-1].astype(np.float64)
        heading = rng.uniform(0, 2 * np.pi)
        brush = max(1, round(rng.uniform(0.008, 0.035) * width))
        for _ in range(int(rng.integers(5, 30))):
            heading += rng.normal(0, 0.7)
            step = point + 0.03 * width * np.array([np.cos(heading), np.sin(heading)])
            column, row = np.clip(step.astype(int), 0, (width - 1, height - 1))
            if depth[row, column] < -0.1:
                heading += np.pi
                continue
            cv2.line(canvas, tuple(point.astype(int)), tuple(step.astype(int)), 1, brush)
            point = step
    return _soft(canvas, rng.uniform(0.004, 0.015) * width)


def _discs(shape: Shape, depth: Floats, rng: Rng) -> Floats:
    """Round spots of all sizes, the more the deeper inside; where many meet they flow together."""
    height, width = shape
    canvas = np.zeros(shape, np.uint8)
    for _ in range(int(rng.integers(200, 1200))):
        column, row = int(rng.integers(width)), int(rng.integers(height))
        if depth[row, column] > rng.uniform(-0.1, 0.6):
            radius = max(1, round(0.011 * width * float(np.exp(rng.normal(0, 0.6)))))
            cv2.circle(canvas, (column, row), radius, 1, -1)
    return _soft(canvas, rng.uniform(0.003, 0.01) * width)


_DRAW: Mapping[str, Callable[[Shape, Floats, Rng], npt.NDArray[np.float32]]] = {
    "confluent": _confluent,
    "diffuse": _diffuse,
    "islands": _islands,
    "reticulate": _reticulate,
    "speckled": _speckled,
    "cells": _cells,
    "strokes": _strokes,
    "discs": _discs,
}
