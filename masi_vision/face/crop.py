"""The upright crop in which a face is read: one similarity transform between photo and crop."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from masi_vision.face.atlas import Floats, with_forehead

FINDER_SIDE_PX = 128
READER_SIDE_PX = 192
KEY_LANDMARKS = (33, 263, 1, 61, 291, 152)
"""Outer eye corners, tip of the nose, corners of the mouth, chin: the six points of the coarse pass."""

# The mean outer eye distance spans this share of the crop; the whole face with its forehead then
# fills about two thirds of it.
_EYE_DISTANCE_SHARE = 62 / 192


def crop_template(landmark_mean: Floats) -> Floats:
    """Where the six key landmarks of the mean face lie in the crop, (6, 2) in shares of its side."""
    nodes = with_forehead(landmark_mean)[:, :2]
    centre = (nodes.min(axis=0) + nodes.max(axis=0)) / 2
    return np.asarray(
        (landmark_mean[list(KEY_LANDMARKS), :2] - centre) * _EYE_DISTANCE_SHARE + 0.5, np.float32
    )


def similarity(source: Floats, target: Floats) -> npt.NDArray[np.float64]:
    """(2, 3) turn, scale and shift that takes source points to target points with least squares.

    Notes
    -----
    In complex numbers, target = a * source + b with a = <s', t'> / <s', s'> over centred points.
    """
    s = source[:, 0].astype(np.float64) + 1j * source[:, 1]
    t = target[:, 0].astype(np.float64) + 1j * target[:, 1]
    sc, tc = s - s.mean(), t - t.mean()
    a = np.vdot(sc, tc) / np.vdot(sc, sc)
    b = t.mean() - a * s.mean()
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def photo_to_crop(
    key_points: Floats, template: Floats, side_px: int = READER_SIDE_PX
) -> npt.NDArray[np.float64]:
    """(2, 3) transform from photo pixels to crop pixels, from the six key points in the photo."""
    return similarity(key_points, template * side_px - 0.5)


def apply(transform: npt.NDArray[np.float64], points: Floats) -> Floats:
    """Carry (N, 2) points, or (N, 3) with depth, through a similarity; depth is scaled with it."""
    xy = points[:, :2] @ transform[:, :2].T + transform[:, 2]
    if points.shape[1] == 2:
        return np.asarray(xy, np.float32)
    scale = float(np.hypot(transform[0, 0], transform[1, 0]))
    return np.column_stack([xy, points[:, 2] * scale]).astype(np.float32)


def inverse(transform: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The (2, 3) transform back."""
    back = np.linalg.inv(transform[:, :2])
    return np.column_stack([back, -back @ transform[:, 2]])
