"""Makes one training face into many: other cameras, light, positions, turned heads, things in the way."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from masi_vision.face.atlas import Floats

Pixels = npt.NDArray[np.uint8]
Rng = np.random.Generator

_COARSE = 32
_RIM = (10, 338, 284, 356, 454, 361, 397, 378, 152, 149, 172, 132, 234, 127, 54, 109)
_NOSE_AND_EYES = (*(1, 4, 5, 195, 197, 6, 2, 98, 327, 48, 278, 64, 294, 19, 94), *(33, 263, 61, 291, 50, 280))
_KNOTS = tuple(dict.fromkeys((*_RIM, *_NOSE_AND_EYES, *range(0, 468, 4))))
"""Landmarks that carry the warp of a turned head: the rim, what stands out, and every fourth."""
_REACH = 0.035  # of one knot, as a share of the face


def turned(landmarks: Floats, yaw_deg: float, pitch_deg: float) -> Floats:
    """Turn a head about its own centre; (478, 3) px, the depth taken at face value."""
    yaw, pitch = np.deg2rad([yaw_deg, pitch_deg])
    about_y = np.array([[np.cos(yaw), 0, -np.sin(yaw)], [0, 1, 0], [np.sin(yaw), 0, np.cos(yaw)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
    centre = landmarks.mean(axis=0)
    return np.asarray((landmarks - centre) @ (about_x @ about_y).T + centre, np.float32)


def backward_map(
    crop_to_photo: npt.NDArray[np.float64], side_px: int, before: Floats, after: Floats
) -> tuple[Floats, Floats]:
    """Photo x and y for every pixel of a crop, through the warp that moved landmarks before -> after.

    The displacement is interpolated between the landmarks by normalized Gaussian weights and fades
    away from the face. ``before is after`` leaves the plain similarity.
    """
    columns, rows = np.meshgrid(np.arange(side_px, dtype=np.float32), np.arange(side_px, dtype=np.float32))
    turn = crop_to_photo.astype(np.float32)
    x = turn[0, 0] * columns + turn[0, 1] * rows + turn[0, 2]
    y = turn[1, 0] * columns + turn[1, 1] * rows + turn[1, 2]
    if after is before:
        return x, y
    shift = cv2.resize(_displacement(crop_to_photo, side_px, before, after), (side_px, side_px))
    return x + shift[..., 0], y + shift[..., 1]


def _displacement(
    crop_to_photo: npt.NDArray[np.float64], side_px: int, before: Floats, after: Floats
) -> Floats:
    """Where from minus where to, in photo pixels, on a coarse grid over the crop (32, 32, 2)."""
    axis = (np.arange(_COARSE) + 0.5) * side_px / _COARSE - 0.5
    columns, rows = np.meshgrid(axis, axis)
    grid = np.stack([columns.ravel(), rows.ravel()], axis=1) @ crop_to_photo[:, :2].T + crop_to_photo[:, 2]
    knots = after[list(_KNOTS), :2]
    span = float(np.ptp(knots, axis=0).max())
    nearness = -((grid[:, None] - knots[None]) ** 2).sum(axis=2) / (2 * (_REACH * span) ** 2)
    nearest = nearness.max(axis=1)
    weight = np.exp(nearness - nearest[:, None])
    weight /= weight.sum(axis=1, keepdims=True)
    fade = np.exp(np.minimum(nearest * (_REACH / 0.07) ** 2 / 12 + 0.35, 0))
    moved = fade[:, None] * (weight @ (before[list(_KNOTS), :2] - knots))
    return np.asarray(moved.reshape(_COARSE, _COARSE, 2), np.float32)


def something_in_the_way(picture: Pixels, labels: Pixels, other: Pixels, rng: Rng) -> None:
    """Cover part of the face with a shape cut from another photo; covered skin is not skin. In place."""
    side = len(picture)
    patch = cv2.resize(other, (side, side), interpolation=cv2.INTER_AREA)
    angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(4, 9)))
    radius = side * rng.uniform(0.06, 0.24) * rng.uniform(0.6, 1.4, len(angles))
    stretch = rng.uniform(0.4, 1.6)
    centre = rng.uniform(0.1, 0.9, 2) * side
    outline = centre + np.stack(
        [np.cos(angles) * radius * stretch, np.sin(angles) * radius / stretch], axis=1
    )
    mask = np.zeros((side, side), np.uint8)
    cv2.fillPoly(mask, [outline.astype(np.int32)], 255, cv2.LINE_AA)
    alpha = cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.5, 2)) / 255.0
    picture[:] = (picture * (1 - alpha[..., None]) + patch * alpha[..., None]).astype(np.uint8)
    labels[alpha > 0.5] = 0


def other_camera(picture: Pixels, rng: Rng, *, strength: float = 1.0) -> Pixels:
    """Exposure, white balance, tone, saturation, grayscale, uneven light, blur, size, noise, JPEG.

    A strength below 1 stays nearer to the camera that took the picture: the first four change by less, the
    others are made less often.
    """
    tone = (picture.astype(np.float32) + 0.5) / 256
    tone = tone ** np.exp(strength * rng.uniform(-0.4, 0.4)).astype(np.float32)
    tone *= np.exp(strength * (rng.normal(0, 0.1, 3) + rng.uniform(-0.5, 0.35))).astype(np.float32)
    grey = tone.mean(axis=2, keepdims=True)
    saturation = 0.0 if rng.random() < 0.08 * strength else rng.uniform(0.45, 1.4) ** strength
    tone = grey + saturation * (tone - grey)
    if rng.random() < 0.35 * strength:
        tone *= _light_from_one_side(len(picture), rng)[..., None]
    out = np.clip(tone * 255, 0, 255).astype(np.uint8)
    if rng.random() < 0.35 * strength:
        out = cv2.GaussianBlur(out, (0, 0), rng.uniform(0.4, 1.8))
    if rng.random() < 0.3 * strength:
        small = round(len(out) * rng.uniform(0.3, 0.8))
        out = cv2.resize(cv2.resize(out, (small, small), interpolation=cv2.INTER_AREA), out.shape[1::-1])
    if rng.random() < 0.35 * strength:
        cv2.setRNGSeed(int(rng.integers(2**31)))
        spread = rng.uniform(1, 12)  # for each channel: of one number OpenCV makes noise of the first alone
        noise = cv2.randn(np.empty(out.shape, np.int16), (0, 0, 0), (spread, spread, spread))
        out = np.clip(out + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.4 * strength:
        _, coded = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(35, 95))])
        out = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)
    return out


def _light_from_one_side(side_px: int, rng: Rng) -> Floats:
    axis = np.linspace(-1, 1, side_px, dtype=np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    ramp = axis[None] * np.cos(angle) + axis[:, None] * np.sin(angle) + rng.uniform(-0.5, 0.5)
    strength = rng.uniform(0.2, 0.9)
    return np.exp(strength * np.tanh(ramp * rng.uniform(0.7, 4))).astype(np.float32)
