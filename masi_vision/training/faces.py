"""The synthetic training faces: photos, landmarks, facts, and who belongs to which split.

The folder is described by its own README: ``photos/ID.jpg``, ``landmarks.npz``, ``index.csv``,
``atlas.json``.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from masi_vision.face.atlas import Floats
from masi_vision.labels.dataset import Split

Polygons = dict[str, list[int]]

# Two photos whose aligned, flattened inner faces correlate more than this count as one person.
# Chosen by looking at the pairs: above it the faces are one person or a near copy.
_SAME_PERSON = 0.75
_SIZE = 48


@dataclass(frozen=True)
class Face:
    """One synthetic photograph with its landmarks and facts."""

    id: str
    photo: Path
    landmarks: Floats  # (478, 3) px
    yaw_deg: float
    pitch_deg: float
    roll_deg: float
    sheet: str
    even_frontal: bool

    @property
    def view(self) -> Literal["frontal", "between", "turned", "profile"]:
        """Frontal below 15 degrees of yaw, turned from 20 to 45, profile above."""
        yaw = abs(self.yaw_deg)
        return "frontal" if yaw < 15 else "between" if yaw < 20 else "turned" if yaw <= 45 else "profile"

    def read(self) -> npt.NDArray[np.uint8]:
        """(H, W, 3) sRGB pixels."""
        pixels = cv2.imread(str(self.photo), cv2.IMREAD_COLOR_RGB)
        if pixels is None:
            raise FileNotFoundError(
                f"{self.photo.name} does not decode. Expected the face photos' folder as delivered."
            )
        return np.asarray(pixels, np.uint8)


@dataclass(frozen=True)
class AtlasPolygons:
    """Facial subunits as closed polygons of landmark numbers."""

    regions: Polygons
    exclude: Polygons
    mirror: npt.NDArray[np.int64]


def load_faces(folder: Path) -> list[Face]:
    """Read the index and landmarks; photos are read when asked for."""
    with (folder / "index.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    with np.load(folder / "landmarks.npz") as landmarks:
        return [
            Face(
                id=row["id"],
                photo=folder / "photos" / f"{row['id']}.jpg",
                landmarks=landmarks[row["id"]].astype(np.float32),
                yaw_deg=float(row["yaw_deg"]),
                pitch_deg=float(row["pitch_deg"]),
                roll_deg=float(row["roll_deg"]),
                sheet=row["sheet"],
                even_frontal=row["even_frontal"] == "1",
            )
            for row in rows
        ]


def load_polygons(folder: Path) -> AtlasPolygons:
    """Read ``atlas.json``; its mirror is as the file has it (see `symmetric_mirror`)."""
    atlas = json.loads((folder / "atlas.json").read_text(encoding="utf-8"))
    return AtlasPolygons(atlas["regions"], atlas["exclude"], np.array(atlas["mirror"]))


def inner_face(face: Face) -> Floats:
    """(48, 48) grey inner face, upright, with slow shading taken out, zero mean and unit length."""
    from_points = face.landmarks[[33, 263, 152], :2].astype(np.float32)
    to_points = np.array([[12, 14], [35, 14], [23.5, 44]], np.float32)
    grey = cv2.cvtColor(face.read(), cv2.COLOR_RGB2GRAY)
    small = cv2.warpAffine(
        grey, cv2.getAffineTransform(from_points, to_points), (_SIZE, _SIZE), flags=cv2.INTER_AREA
    )
    tone = np.log(small.astype(np.float32) + 8)
    tone -= cv2.GaussianBlur(tone, (0, 0), 8)
    inner = tone[8:44, 6:42]
    inner = inner - inner.mean()
    return np.asarray(inner / np.linalg.norm(inner), np.float32)


def persons(faces: list[Face]) -> list[int]:
    """Number the persons: photos linked by a chain of look-alike inner faces are one person."""
    rows = np.stack([inner_face(face).ravel() for face in faces])
    alike = rows @ rows.T > _SAME_PERSON
    number = np.full(len(faces), -1)
    for start in range(len(faces)):
        if number[start] >= 0:
            continue
        number[start] = start
        queue = [start]
        while queue:
            for other in np.flatnonzero(alike[queue.pop()] & (number < 0)):
                number[other] = start
                queue.append(int(other))
    return [int(n) for n in number]


def split_by_person(faces: list[Face]) -> dict[str, Split]:
    """Give every photo its split: 20 % of the persons of each view test, 8 % validation.

    Drawn by person within the views, so that turned heads are in every part. The draw depends on
    the order of ``index.csv`` and on who looks alike.
    """
    number = persons(faces)
    rng = np.random.default_rng(1)
    split: dict[str, Split] = {}
    split_of: dict[int, Split] = {}
    for view in ("turned", "profile", "between", "frontal"):
        here = sorted(
            {n for n, face in zip(number, faces, strict=True) if face.view == view and n not in split_of}
        )
        shuffled = rng.permutation(here)
        n_test, n_validation = round(0.20 * len(here)), round(0.08 * len(here))
        for place, person in enumerate(shuffled):
            split_of[int(person)] = (
                "test" if place < n_test else "validation" if place < n_test + n_validation else "train"
            )
    for n, face in zip(number, faces, strict=True):
        split[face.id] = split_of[n]
    return split
