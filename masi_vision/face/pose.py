"""How the head is turned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from masi_vision.face.atlas import N_MESH, Floats

# Landmarks that hardly move with expression: forehead, temples, nose, cheekbones, ear side.
_STIFF = (
    10,
    338,
    297,
    109,
    67,
    21,
    251,
    127,
    356,
    234,
    454,
    168,
    6,
    197,
    195,
    5,
    4,
    33,
    133,
    362,
    263,
    117,
    346,
)


@dataclass(frozen=True)
class HeadPose:
    """Angles of the head in degrees.

    Parameters
    ----------
    yaw_deg : float
        Positive when the patient's right side faces the camera.
    pitch_deg : float
        Positive when the chin is lowered.
    roll_deg : float
        Positive when the head leans clockwise in the photo.
    """

    yaw_deg: float
    pitch_deg: float
    roll_deg: float


def head_pose(landmarks: Floats, landmark_mean: Floats) -> HeadPose:
    """Angles between a face and the mean face.

    Parameters
    ----------
    landmarks : (478, 3)
        In pixels; z grows away from the camera, in the same unit.
    landmark_mean : (478, 3)
        The mean face, looking at the camera.

    Notes
    -----
    Rotation of least squares over 23 points that hardly move with expression (Kabsch 1976,
    DOI 10.1107/S0567739476001873), then R = Rz(roll) Rx(pitch) Ry(yaw), with
    Ry = [[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]]: a positive yaw turns the nose to the patient's left.
    """
    assert max(_STIFF) < N_MESH
    face, mean = landmarks[list(_STIFF)].astype(np.float64), landmark_mean[list(_STIFF)].astype(np.float64)
    u, _, vt = np.linalg.svd((face - face.mean(axis=0)).T @ (mean - mean.mean(axis=0)))
    flip = np.diag([1, 1, np.sign(np.linalg.det(u @ vt))])
    r = u @ flip @ vt
    pitch = np.arcsin(np.clip(r[2, 1], -1, 1))
    yaw = np.arctan2(r[2, 0], r[2, 2])
    roll = np.arctan2(-r[0, 1], r[1, 1])
    return HeadPose(*(float(np.degrees(angle)) for angle in (yaw, pitch, roll)))
