"""The photograph of a face whose lamp stands elsewhere, made from one: visits in another light."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from masi_vision.face.align import Alignment
from masi_vision.face.atlas import FaceAtlas, Floats, with_forehead

_LAMP_DEG = (3.0, 2.0)
"""Standard deviations, across and down, of where the lamp stands at another visit. Of trials none is known
(a head turned by as much does the same): chosen here."""
_AMBIENT = 0.3  # of the lamp's own light: from walls, where it stands makes no difference
_HEIGHT_DEG = 20.0  # of the lamp above the camera
_SOFT = 0.01  # of the face's width: between triangles, and where the face ends


def draw_lamp(rng: np.random.Generator) -> tuple[float, float]:
    """Where the lamp stands at a visit, in degrees across and down from where it should."""
    across_deg, down_deg = rng.normal(0, _LAMP_DEG)
    return float(across_deg), float(down_deg)


def moved_lamp_photo(
    linear_rgb: Floats, landmarks: Floats, atlas: FaceAtlas, lamp_deg: tuple[float, float]
) -> Floats:
    """Light a photographed face from elsewhere.

    Parameters
    ----------
    linear_rgb : (H, W, 3)
    landmarks : (478, 3)
        In its pixels; the depth is taken at face value.
    lamp_deg : (across, down)
        By how much the lamp moves about the head, to the picture's right and downwards.

    Returns
    -------
    (H, W, 3)
        Beyond the mesh of the landmarks as it was. Skin throws no shadow on skin.

    Notes
    -----
    Matt skin (Lambert) under a lamp 20 degrees above the camera and even light from all around:
    ``light * (0.3 + max(0, normal . there)) / (0.3 + max(0, normal . before))``, by the person's own
    landmarks.
    """
    normals = _normals(landmarks, atlas)
    there, before = (_AMBIENT + np.maximum(normals @ _lamp(*at), 0) for at in (lamp_deg, (0.0, 0.0)))
    height, width = linear_rgb.shape[:2]
    shares = Alignment(atlas, landmarks).to_photo(
        (there / before - 1).astype(np.float32), (0, 0, height, width)
    )
    soft = _SOFT * float(np.ptp(landmarks[:, 0]))
    factor = 1 + cv2.GaussianBlur(np.asarray(shares, np.float32), (0, 0), soft)
    return np.asarray(linear_rgb * factor[..., None], np.float32)


def _lamp(across_deg: float, down_deg: float) -> npt.NDArray[np.float64]:
    """The way to the lamp from the face: right, down and away in the picture."""
    across, up = np.deg2rad(across_deg), np.deg2rad(_HEIGHT_DEG - down_deg)
    return np.array([np.sin(across) * np.cos(up), -np.sin(up), -np.cos(across) * np.cos(up)])


def _normals(landmarks: Floats, atlas: FaceAtlas) -> npt.NDArray[np.float64]:
    """Where this face turns to, in the aligned frame: (H, W, 3), of every node the mean of its triangles'."""
    nodes = with_forehead(landmarks).astype(np.float64)
    corners = nodes[atlas.triangles]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    across[across[:, 2] > 0] *= -1
    of_node = np.zeros_like(nodes)
    np.add.at(of_node, atlas.triangles.ravel(), np.repeat(across, 3, axis=0))
    of_node /= np.maximum(np.linalg.norm(of_node, axis=1, keepdims=True), 1e-12)
    shape = atlas.labels.shape
    drawn = np.zeros((*shape, 3))
    drawn[..., 2] = -1
    for nodes_of in atlas.triangles:
        cv2.fillConvexPoly(
            drawn, np.round(atlas.nodes[nodes_of]).astype(np.int32), of_node[nodes_of].mean(axis=0).tolist()
        )
    smooth = cv2.GaussianBlur(drawn, (0, 0), _SOFT * shape[1])
    return np.asarray(smooth / np.linalg.norm(smooth, axis=2, keepdims=True))
