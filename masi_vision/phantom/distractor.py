"""What looks like melasma and is not: its truth is zero, and whoever counts it is wrong.

Each distractor is what it takes from the light, in optical density, and what it adds to it (gloss).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from masi_vision.phantom.pattern import Shape
from masi_vision.phantom.plant import Floats, Rng, smooth_noise, transmitted

Distractor = Literal[
    "shading",
    "turned_light",
    "redness",
    "acne",
    "gloss",
    "stubble",
    "freckles",
    "moles",
    "make_up",
    "coloured_light",
    "vignetting",
]

# What blood takes from red, green and blue, up to a factor: green and blue far more than red. After the
# absorption of oxygenated haemoglobin (Prahl's tables); varied at each draw.
_BLOOD: Floats = np.array([0.25, 1.5, 1.25], np.float32)


@dataclass(frozen=True)
class Distraction:
    """One distractor drawn: out = in * 10 ** -taken_od + added_light.

    Parameters
    ----------
    taken_od : (H, W, 3) float32
    added_light : (H, W, 1) float32
        Linear light, of the colour of the lamp.
    """

    taken_od: Floats
    added_light: Floats

    def laid_on(self, linear_rgb: Floats) -> Floats:
        """The face with this distractor, (H, W, 3) linear RGB."""
        return np.asarray(linear_rgb * transmitted(self.taken_od) + self.added_light, np.float32)


def distraction(kind: Distractor, shape: Shape, rng: Rng, *, strength: float = 1.0) -> Distraction:
    """Draw a distractor over a face in the aligned frame; strength 1 is plainly to be seen."""
    none = np.zeros((*shape, 1), np.float32)
    if kind == "gloss":
        return Distraction(np.zeros((*shape, 3), np.float32), strength * _gloss(shape, rng)[..., None])
    return Distraction(np.asarray(strength * _TAKEN[kind](shape, rng), np.float32), none)


def _axes(shape: Shape) -> tuple[Floats, Floats]:
    """x and y over the frame, -1 to 1."""
    y, x = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j].astype(np.float32)
    return x, y


def _spot(shape: Shape, x: float, y: float, radius_x: float, radius_y: float) -> Floats:
    """A soft round spot; positions and radii in shares of the frame."""
    height, width = shape
    across = np.exp(-(((np.arange(width, dtype=np.float32) / width - x) / radius_x) ** 2) / 2)
    down = np.exp(-(((np.arange(height, dtype=np.float32) / height - y) / radius_y) ** 2) / 2)
    return np.asarray(np.outer(down, across), np.float32)


def _grey(field: Floats) -> Floats:
    return np.repeat(field[..., None], 3, axis=2)


def _shading(shape: Shape, rng: Rng) -> Floats:
    """Soft light and shade with no direction: hollows of cheeks and temples."""
    scale = rng.uniform(0.08, 0.2) * shape[1]
    return _grey(0.05 * smooth_noise(shape, scale, rng))


def _turned_light(shape: Shape, rng: Rng) -> Floats:
    """Light from one side: the far cheek turns away from it, with a soft terminator."""
    x, y = _axes(shape)
    angle = rng.uniform(-np.pi, np.pi)
    along = x * np.cos(angle) + 0.6 * y * np.sin(angle) + rng.uniform(-0.4, 0.4)
    return _grey(rng.uniform(0.08, 0.2) * np.tanh(along * rng.uniform(0.8, 3)))


def _blood(rng: Rng) -> Floats:
    colour = _BLOOD * np.exp(rng.normal(0, 0.12, 3)).astype(np.float32)
    return np.asarray(colour / colour.mean(), np.float32)


def _redness(shape: Shape, rng: Rng) -> Floats:
    """Flush on cheeks, nose or chin, as after a laser treatment."""
    places = [(0.22, 0.57), (0.78, 0.57), (0.5, 0.5), (0.5, 0.88), (0.5, 0.15)]
    chosen = [place for place in places if rng.random() < 0.5] or places[:2]
    field = sum(_spot(shape, x, y, rng.uniform(0.06, 0.14), rng.uniform(0.05, 0.12)) for x, y in chosen)
    field = np.asarray(field, np.float32) * (1 + 0.3 * smooth_noise(shape, 0.02 * shape[1], rng))
    return np.maximum(field, 0)[..., None] * _blood(rng) * rng.uniform(0.03, 0.09)


def _acne(shape: Shape, rng: Rng) -> Floats:
    field = np.zeros(shape, np.float32)
    for _ in range(int(rng.integers(5, 30))):
        size = rng.uniform(0.004, 0.012)
        field += rng.uniform(0.4, 1) * _spot(shape, rng.uniform(0.1, 0.9), rng.uniform(0.1, 0.95), size, size)
    return field[..., None] * _blood(rng) * rng.uniform(0.05, 0.14)


def _gloss(shape: Shape, rng: Rng) -> Floats:
    """Reflections of the lamp where the face bulges: forehead, nose, cheekbones, chin."""
    places = [(0.5, 0.15), (0.5, 0.5), (0.25, 0.47), (0.75, 0.47), (0.5, 0.87)]
    field = sum(
        _spot(shape, x, y, rng.uniform(0.02, 0.08), rng.uniform(0.02, 0.06))
        for x, y in places
        if rng.random() < 0.7
    )
    broken = 1 + 0.3 * smooth_noise(shape, 0.01 * shape[1], rng)
    return np.asarray(np.maximum(field * broken * rng.uniform(0.04, 0.2), 0), np.float32)


def _stubble(shape: Shape, rng: Rng) -> Floats:
    """Short hair of the beard: a bluish-grey tint of fine dark dots over jaw, chin and upper lip."""
    x, y = _axes(shape)
    side = np.abs(x)
    starts = 0.2 + 0.25 * np.exp(-(((side - 0.5) / 0.18) ** 2)) - 0.8 * np.maximum(side - 0.7, 0)
    zone = 1 / (1 + np.exp(-(y - starts) / 0.06))  # from the upper lip, under the cheeks, up to the ears
    zone = np.asarray(zone * (1 + 0.25 * smooth_noise(shape, 0.05 * shape[1], rng)), np.float32)
    dots = np.clip(smooth_noise(shape, 0.004 * shape[1], rng), -1, 2) * 0.3
    field = np.maximum(zone * (1 + dots), 0) * rng.uniform(0.03, 0.12)
    return np.asarray(field[..., None] * np.array([1.12, 1.0, 0.88]), np.float32)


def _brown(rng: Rng) -> Floats:
    colour = np.array([0.7, 1.05, 1.25]) + rng.normal(0, 0.08, 3)
    return np.asarray(colour / colour.mean(), np.float32)


def _freckles(shape: Shape, rng: Rng) -> Floats:
    """Many small brown spots over nose and cheeks: pigment, but not melasma."""
    field = np.zeros(shape, np.uint8)
    for _ in range(int(rng.integers(60, 300))):
        x = np.clip(rng.normal(0.5, 0.2), 0.05, 0.95) * shape[1]
        y = np.clip(rng.normal(0.5, 0.12), 0.1, 0.9) * shape[0]
        cv2.circle(field, (int(x), int(y)), max(0, round(rng.uniform(0.001, 0.005) * shape[1])), 255, -1)
    soft = cv2.GaussianBlur(field.astype(np.float32) / 255, (0, 0), max(0.5, 0.003 * shape[1]))
    return np.asarray(soft[..., None] * _brown(rng) * rng.uniform(0.06, 0.2), np.float32)


def _moles(shape: Shape, rng: Rng) -> Floats:
    field = np.zeros(shape, np.float32)
    for _ in range(int(rng.integers(1, 6))):
        size = rng.uniform(0.004, 0.009)
        field = np.maximum(
            field,
            _spot(shape, rng.uniform(0.1, 0.9), rng.uniform(0.05, 0.95), size, size * rng.uniform(0.7, 1.4)),
        )
    return field[..., None] * _brown(rng) * rng.uniform(0.2, 0.6)


def _make_up(shape: Shape, rng: Rng) -> Floats:
    """Blush on the cheeks and contour under them."""
    blush = sum(_spot(shape, x, 0.55, rng.uniform(0.06, 0.1), rng.uniform(0.05, 0.08)) for x in (0.2, 0.8))
    contour = sum(_spot(shape, x, 0.68, 0.05, 0.06) for x in (0.17, 0.83))
    rose = np.array([0.35, 1.4, 1.25], np.float32)
    return np.asarray(
        np.asarray(blush)[..., None] * rose * rng.uniform(0, 0.08)
        + np.asarray(contour)[..., None] * _brown(rng) * rng.uniform(0, 0.04),
        np.float32,
    )


def _coloured_light(shape: Shape, rng: Rng) -> Floats:
    """Lamps of two colours from two sides."""
    x, y = _axes(shape)
    angle = rng.uniform(-np.pi, np.pi)
    along = np.tanh((x * np.cos(angle) + y * np.sin(angle)) * rng.uniform(0.5, 2))
    tint = rng.normal(0, 0.05, 3).astype(np.float32)
    return np.asarray(along[..., None] * tint, np.float32)


def _vignetting(shape: Shape, rng: Rng) -> Floats:
    x, y = _axes(shape)
    centre = rng.normal(0, 0.2, 2)
    away = (x - centre[0]) ** 2 + (y - centre[1]) ** 2
    return _grey(np.asarray(rng.uniform(0.03, 0.12) * away, np.float32))


_TAKEN: Mapping[str, Callable[[Shape, Rng], Floats]] = {
    "shading": _shading,
    "turned_light": _turned_light,
    "redness": _redness,
    "acne": _acne,
    "stubble": _stubble,
    "freckles": _freckles,
    "moles": _moles,
    "make_up": _make_up,
    "coloured_light": _coloured_light,
    "vignetting": _vignetting,
}
