"""Builds the aligned frame: the mean face, its triangles and its map of subunits, from training faces."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from scipy.spatial import Delaunay

from masi_vision.face.atlas import (
    BROW_CENTRE,
    FOREHEAD_ARC,
    FOREHEAD_TOP,
    LEFT_EYE_OUTER,
    N_LANDMARKS,
    N_MESH,
    RIGHT_EYE_OUTER,
    FaceAtlas,
    Floats,
    Subunit,
    outer_eye_distance,
    with_forehead,
)
from masi_vision.training.faces import AtlasPolygons, Face

FRAME_HEIGHT, FRAME_WIDTH = 448, 384
_MARGIN_PX = 8
_VERSION = "sfhq-atlas-1"
# The rim kept free around eyes, brows, lips and nostrils, as a share of the face width: there the
# mesh is least sure and lashes, liner and vermilion border spill over. Chosen here, by eye.
_EXCLUDE_RIM = 0.012


# The atlas' mirror ends before the irises: centre, then four points of the rim, right eye then left.
_IRIS_MIRROR = (473, 476, 475, 474, 477, 468, 471, 470, 469, 472)


def symmetric_mirror(mirror: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Opposite of each of the 478 landmarks; where the source is no involution, a landmark is its own."""
    whole = np.concatenate([mirror[:N_MESH], _IRIS_MIRROR])
    own = np.arange(len(whole))
    return np.where(whole[whole] == own, whole, own)


def mirror_of(landmark_mean: Floats) -> npt.NDArray[np.int64]:
    """Opposite of each landmark of a symmetric mean face; its own where it has no partner."""
    flipped = landmark_mean * np.array([-1, 1, 1], np.float32)
    nearest = np.array([np.linalg.norm(flipped - point, axis=1).argmin() for point in landmark_mean])
    own = np.arange(len(nearest))
    return np.where(nearest[nearest] == own, nearest, own)


def upright(landmarks: Floats) -> Floats:
    """Centre, turn the outer eye corners level and scale their distance to one; (478, 3)."""
    across = landmarks[LEFT_EYE_OUTER, :2] - landmarks[RIGHT_EYE_OUTER, :2]
    angle = np.arctan2(across[1], across[0])
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]], np.float32)
    out = landmarks - landmarks.mean(axis=0)
    out[:, :2] = out[:, :2] @ turn.T
    return np.asarray(out / outer_eye_distance(landmarks), np.float32)


def mean_landmarks(faces: list[Face], mirror: npt.NDArray[np.int64]) -> Floats:
    """Mirror-symmetric mean of the upright frontal faces, unit: outer eye distance."""
    frontal = [f for f in faces if abs(f.yaw_deg) < 10 and abs(f.pitch_deg) < 12]
    mean = np.mean([upright(f.landmarks) for f in frontal], axis=0)
    flipped = mean[mirror] * (-1, 1, 1)
    return np.asarray(upright(((mean + flipped) / 2).astype(np.float32)), np.float32)


def build_atlas(faces: list[Face], polygons: AtlasPolygons) -> FaceAtlas:
    """Mean face, triangles and subunit map from the training faces and the polygons of the atlas."""
    mean = mean_landmarks(faces, symmetric_mirror(polygons.mirror))
    nodes = with_forehead(mean[:, :2])
    low, high = nodes.min(axis=0), nodes.max(axis=0)
    free = np.array([FRAME_WIDTH, FRAME_HEIGHT]) - 2 * _MARGIN_PX
    scale = float((free / (high - low)).min())
    nodes = (nodes - (low + high) / 2) * scale + np.array([FRAME_WIDTH, FRAME_HEIGHT]) / 2 - 0.5
    nodes = nodes.astype(np.float32)
    return FaceAtlas(nodes, _triangles(nodes), subunit_map(nodes, polygons), mean, _VERSION)


def _triangles(nodes: Floats) -> npt.NDArray[np.int32]:
    """Delaunay triangles of all nodes but the irises, long slivers of the rim left out."""
    used = np.r_[0:N_MESH, N_LANDMARKS : len(nodes)]
    triangles = [_clockwise(nodes, used[corners]) for corners in Delaunay(nodes[used]).simplices]
    return np.array([t for t in triangles if _is_compact(nodes[t])], np.int32)


def _clockwise(nodes: Floats, corners: npt.NDArray[np.int64]) -> list[int]:
    a, b, c = (int(n) for n in corners)
    ab, ac = nodes[b] - nodes[a], nodes[c] - nodes[a]
    return [a, b, c] if ab[0] * ac[1] - ab[1] * ac[0] > 0 else [a, c, b]


def _is_compact(corners: Floats) -> bool:
    edges = corners - np.roll(corners, 1, axis=0)
    ab, ac = corners[1] - corners[0], corners[2] - corners[0]
    area = abs(ab[0] * ac[1] - ab[1] * ac[0]) / 2
    return bool(area > 0.03 * (edges**2).sum(axis=1).max() or area > 60)


def subunit_map(nodes: Floats, polygons: AtlasPolygons) -> npt.NDArray[np.uint8]:
    """Draw the subunits on the mean face; what is never skin, with its rim, is 0."""
    codes = np.zeros((FRAME_HEIGHT, FRAME_WIDTH), np.uint8)
    outlines = {name: nodes[numbers] for name, numbers in polygons.regions.items()}
    outlines["forehead"] = _forehead_outline(nodes, polygons.regions["forehead"])
    for name, outline in outlines.items():
        _fill(codes, outline, Subunit[name.upper()])
    never = np.zeros_like(codes)
    for numbers in polygons.exclude.values():
        _fill(never, nodes[numbers], 1)
    rim = max(1, round(_EXCLUDE_RIM * float(np.linalg.norm(nodes[234] - nodes[454]))))
    never = cv2.dilate(never, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * rim + 1, 2 * rim + 1)))
    codes[never > 0] = Subunit.NONE
    return codes


def _forehead_outline(nodes: Floats, numbers: list[int]) -> Floats:
    """The atlas' forehead with its upper border carried up to the last row of forehead nodes."""
    lower = [n for n in numbers if n not in FOREHEAD_ARC and n != FOREHEAD_TOP]
    right = [n for n in lower if nodes[n, 0] <= nodes[BROW_CENTRE, 0]]
    left = [n for n in lower if nodes[n, 0] > nodes[BROW_CENTRE, 0]]
    ends = [FOREHEAD_ARC.index(54), FOREHEAD_ARC.index(284)]
    top = nodes[len(nodes) - len(FOREHEAD_ARC) :][ends[0] : ends[1] + 1]
    right.sort(key=lambda n: float(nodes[n, 0]))
    left.sort(key=lambda n: float(nodes[n, 0]))
    sides = nodes[[54, 21]], nodes[[251, 284]]
    return np.concatenate([nodes[right], nodes[left], sides[1], top[::-1], sides[0]])


def _fill(picture: npt.NDArray[np.uint8], outline: Floats, code: int) -> None:
    cv2.fillPoly(picture, [np.round(outline * 16).astype(np.int32)], int(code), cv2.LINE_8, 4)
