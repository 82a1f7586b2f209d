"""The facial subunits, drawn once on a mean face: the frame in which every face is measured.

A face is described by 478 landmarks in the order of MediaPipe's Face Landmarker, the order in which
the atlas of regions is written. They end below the hairline, so the forehead is carried up by 26 more
nodes, extrapolated along the face's own vertical. All nodes of the mean face, joined to triangles, are
the *aligned frame*; a label image in that frame says which subunit each of its pixels is.

Sides are the patient's own: the right malar region lies on the left of a frontal photograph.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from masi_vision.scale import MASI_REGIONS, MasiRegion

Floats = npt.NDArray[np.float32]


class Subunit(IntEnum):
    """Codes of the label images; 0 is no scored skin."""

    NONE = 0
    FOREHEAD = 1
    RIGHT_MALAR = 2
    LEFT_MALAR = 3
    CHIN = 4
    NOSE = 5
    UPPER_LIP = 6


SUBUNITS: tuple[Subunit, ...] = tuple(s for s in Subunit if s is not Subunit.NONE)
SUBUNIT_OF_REGION: dict[MasiRegion, Subunit] = {name: Subunit[name.upper()] for name in MASI_REGIONS}
MASI_SUBUNITS = tuple(SUBUNIT_OF_REGION.values())
MIRRORED_CODE = np.array([0, 1, 3, 2, 4, 5, 6], np.uint8)
"""The code that each code takes when the photo is mirrored."""

N_LANDMARKS = 478
N_MESH = 468
"""Landmarks from here on are the irises: they follow the gaze, not the face."""

RIGHT_EYE_OUTER, LEFT_EYE_OUTER = 33, 263
FOREHEAD_TOP, BROW_CENTRE, CHIN_TIP = 10, 9, 152
_CHEEKS = 234, 454  # outermost
_HEIGHT_TO_WIDTH = 0.85  # width of a face for its height: foreshortening of a turned head is undone by it

FOREHEAD_ARC = (162, 21, 54, 103, 67, 109, 10, 338, 297, 332, 284, 251, 389)
"""The topmost landmarks, from the right temple to the left."""
# How far each point of the arc is carried up, as a share of the full extension: the temples turn
# backwards and carry hair, so they are carried less. Chosen here, on the synthetic training faces.
_ARC_SHARE = np.array([0.25, 0.55, 0.8, 0.95, 1, 1, 1, 1, 1, 0.95, 0.8, 0.55, 0.25], np.float32)
# Full extension in units of the distance between landmarks 9 and 10 (brow centre to top landmark).
# 0.62 reaches the hairline of nearly all training faces without reaching the crown.
_EXTENSION = 0.62
_ROWS = (0.5, 1.0)
N_NODES = N_LANDMARKS + len(_ROWS) * len(FOREHEAD_ARC)


def with_forehead(landmarks: Floats) -> Floats:
    """Carry the forehead up to the height of a high hairline.

    Parameters
    ----------
    landmarks : (478, D) array
        Landmarks in any unit, D = 2 or 3.

    Returns
    -------
    (504, D) array
        The landmarks, then two rows of 13 forehead nodes.

    Notes
    -----
    node = top + row * share * 0.62 * (landmark 10 - landmark 9). Linear in the landmarks, so it
    commutes with any scaling, turn or shift of the photo.
    """
    top = landmarks[list(FOREHEAD_ARC)]
    up = landmarks[FOREHEAD_TOP] - landmarks[BROW_CENTRE]
    rows = [top + (row * _EXTENSION * _ARC_SHARE)[:, None] * up for row in _ROWS]
    return np.concatenate([landmarks, *rows]).astype(np.float32)


def outer_eye_distance(landmarks: Floats) -> float:
    """Distance between the outer eye corners, in the unit of the landmarks."""
    return float(np.linalg.norm(landmarks[RIGHT_EYE_OUTER, :2] - landmarks[LEFT_EYE_OUTER, :2]))


def face_span(landmarks: Floats) -> float:
    """Size of a face that turning leaves alone: the larger of its width and 0.85 of its height.

    Parameters
    ----------
    landmarks : (478, 2 or 3) array
        In pixels, as is the result. Width is taken between landmarks 234 and 454, height from the top of the
        forehead to the tip of the chin.
    """
    width = float(np.linalg.norm(landmarks[_CHEEKS[0], :2] - landmarks[_CHEEKS[1], :2]))
    height = float(np.linalg.norm(landmarks[FOREHEAD_TOP, :2] - landmarks[CHIN_TIP, :2]))
    return max(width, _HEIGHT_TO_WIDTH * height)


@dataclass(frozen=True, eq=False)
class FaceAtlas:
    """The mean face, its triangles and its map of subunits.

    Parameters
    ----------
    nodes : (504, 2) float32
        Nodes of the mean face in pixels of the aligned frame, x then y.
    triangles : (T, 3) int32
        Numbers of the corner nodes; clockwise as seen on the mean face.
    labels : (H, W) uint8
        Subunit code of every pixel of the aligned frame; eyes, brows, lips and nostrils are 0.
    landmark_mean : (478, 3) float32
        Mean landmarks, centred, unit: outer eye distance; x right, y down, z away from the camera.
    version : str
        Named in every result: another map of regions is another score.
    """

    nodes: Floats
    triangles: npt.NDArray[np.int32]
    labels: npt.NDArray[np.uint8]
    landmark_mean: Floats
    version: str

    def __post_init__(self) -> None:
        """Refuse an atlas whose parts do not fit together, and make them read-only."""
        if self.nodes.shape != (N_NODES, 2):
            raise ValueError(f"nodes must have shape ({N_NODES}, 2), got {self.nodes.shape}")
        if self.triangles.max() >= N_NODES:
            raise ValueError(f"triangles must name nodes below {N_NODES}, got {self.triangles.max()}")
        if self.labels.max() > max(Subunit):
            raise ValueError(f"labels must be 0..{max(Subunit)}, got {self.labels.max()}")
        for part in (self.nodes, self.triangles, self.labels, self.landmark_mean):
            part.setflags(write=False)  # every later score of the process rests on them

    @property
    def face_width_px(self) -> float:
        """Ear to ear width of the mean face in the aligned frame (landmarks 234 and 454)."""
        return float(np.linalg.norm(self.nodes[234] - self.nodes[454]))
