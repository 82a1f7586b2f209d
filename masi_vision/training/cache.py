"""Labels are made once and kept beside the run: reading 1,298 photos and labelling them takes minutes."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import yaml

from masi_vision.config import shipped_file
from masi_vision.face.atlas import FaceAtlas
from masi_vision.training.atlas import build_atlas
from masi_vision.training.data import LabelledFace, Pixels
from masi_vision.training.faces import AtlasPolygons, Face, Split, load_faces, load_polygons, split_by_person
from masi_vision.training.labels import label_face

LONGEST_SIDE_PX = 512
DOUBTFUL = "training/doubtful_labels.yaml"


@dataclass(frozen=True)
class TrainingSet:
    """All faces with labels and splits, the atlas drawn from the training part, and the polygons."""

    faces: list[Face]
    labelled: dict[str, LabelledFace]
    split: dict[str, Split]
    atlas: FaceAtlas
    polygons: AtlasPolygons
    doubtful: frozenset[str]

    def part(self, split: Split) -> list[LabelledFace]:
        """The faces of one split in the order of the index, without those whose labels are doubtful."""
        ids = [face.id for face in self.faces if self.split[face.id] == split]
        return [self.labelled[one] for one in ids if one not in self.doubtful]

    def doubtful_in(self, split: Split) -> int:
        """How many photos of a split are left out for their labels."""
        return sum(self.split[face.id] == split for face in self.faces if face.id in self.doubtful)


def doubtful_labels() -> frozenset[str]:
    """Photos whose labels were found plainly wrong when every label was looked at."""
    listed = yaml.safe_load(shipped_file("configs", DOUBTFUL).read_text(encoding="utf-8"))
    return frozenset(one for ids in listed.values() for one in ids)


def _label(face: Face, atlas: FaceAtlas, polygons: AtlasPolygons) -> tuple[str, Pixels]:
    cv2.setNumThreads(1)
    return face.id, label_face(face, face.read(), atlas, polygons)


def prepare(folder: Path, cache: Path, *, workers: int = 2) -> TrainingSet:
    """Load the faces, draw the atlas, and label every photo, or read the labels made before."""
    faces, polygons = load_faces(folder), load_polygons(folder)
    split = split_by_person(faces)
    atlas = build_atlas([face for face in faces if split[face.id] == "train"], polygons)
    labels_file = cache / f"labels-{atlas.version}.npz"
    if labels_file.exists():
        with np.load(labels_file) as stored:
            labels = {name: stored[name] for name in stored.files}
    else:
        with ProcessPoolExecutor(workers) as pool:
            labels = dict(pool.map(partial(_label, atlas=atlas, polygons=polygons), faces, chunksize=16))
        cache.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(labels_file, **labels)
    return TrainingSet(
        faces, {f.id: _labelled(f, labels[f.id]) for f in faces}, split, atlas, polygons, doubtful_labels()
    )


def _labelled(face: Face, labels: Pixels) -> LabelledFace:
    pixels = face.read()
    scale = min(1.0, LONGEST_SIDE_PX / max(pixels.shape[:2]))
    if scale < 1:
        size = (round(pixels.shape[1] * scale), round(pixels.shape[0] * scale))
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
        labels = np.asarray(cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST), np.uint8)
    return LabelledFace(face.id, pixels, labels, face.landmarks * np.float32(scale), face.yaw_deg)
