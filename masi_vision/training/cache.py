"""Labels are made once and kept beside the run: reading 1,298 photos and labelling them takes minutes."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from hashlib import sha256
from inspect import getfile
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import yaml

from masi_vision.face.align import Alignment
from masi_vision.face.atlas import FaceAtlas, Subunit
from masi_vision.labels.dataset import UNKNOWN, Split
from masi_vision.shipped import shipped_file
from masi_vision.training.atlas import build_atlas
from masi_vision.training.data import LabelledFace, Pixels
from masi_vision.training.faces import AtlasPolygons, Face, load_faces, load_polygons, split_by_person
from masi_vision.training.labels import label_face
from masi_vision.written import make_private_folder

LONGEST_SIDE_PX = 512
DOUBTFUL, CORRECTIONS = "training/doubtful_labels.yaml", "training/label_corrections.yaml"


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
        """The faces of one split in the order of the index, to learn from.

        Labels are as corrected by eye, what is unclear marked `UNKNOWN`; doubtful photos are left out.
        """
        ids = [face.id for face in self.faces if self.split[face.id] == split]
        return [self._to_learn(one) for one in ids if one not in self.doubtful]

    def _to_learn(self, one: str) -> LabelledFace:
        face, unclear = self.judged(one)
        if not unclear:
            return face
        regions = np.array([Subunit[region.upper()] for region in unclear], np.uint8)
        labels = np.where(np.isin(drawn_codes(face, self.atlas), regions), UNKNOWN, face.labels)
        return replace(face, labels=labels.astype(np.uint8))

    def judged(self, one: str) -> tuple[LabelledFace, frozenset[str]]:
        """A photo with its label as corrected by eye, and the regions of which no label is right."""
        verdicts = label_corrections().get(one, {})
        face = self.labelled[one]
        labels = relabelled(face, verdicts, self.atlas) if verdicts else face.labels
        unclear = frozenset(region for region, verdict in verdicts.items() if verdict == "unclear")
        return replace(face, labels=labels), unclear


@lru_cache(maxsize=1)
def label_corrections() -> dict[str, dict[str, str]]:
    """By photo and region: whole, hidden or unclear, where the label made by rules is plainly wrong."""
    listed = yaml.safe_load(shipped_file("configs", CORRECTIONS).read_text(encoding="utf-8"))
    return {str(one): dict(verdicts) for one, verdicts in listed.items()}


def relabelled(face: LabelledFace, verdicts: dict[str, str], atlas: FaceAtlas) -> Pixels:
    """The label with the regions judged whole filled and those judged hidden cleared."""
    drawn = drawn_codes(face, atlas)
    labels = face.labels.copy()
    for region, verdict in verdicts.items():
        code = Subunit[region.upper()]
        if verdict in ("whole", "hidden"):
            labels[labels == code] = Subunit.NONE
        if verdict == "whole":
            labels[drawn == code] = code
    return labels


def drawn_codes(face: LabelledFace, atlas: FaceAtlas) -> Pixels:
    """The whole subunits where the landmarks put them, whatever is visible of them."""
    height, width = face.labels.shape
    drawn = Alignment(atlas, face.landmarks).to_photo(atlas.labels, (0, 0, height, width), nearest=True)
    return np.asarray(drawn, np.uint8)


def doubtful_labels() -> frozenset[str]:
    """Training photos whose labels were found plainly wrong when they were looked at."""
    listed = yaml.safe_load(shipped_file("configs", DOUBTFUL).read_text(encoding="utf-8"))
    return frozenset(one for ids in listed.values() for one in ids)


def faces_sha256(folder: Path) -> str:
    """SHA-256 of what the labels of a folder of faces are made from, the rules among it.

    Notes
    -----
    A photo is in it by its landmarks, which were found in it.
    """
    files = (folder / "index.csv", folder / "landmarks.npz", folder / "atlas.json", Path(getfile(label_face)))
    return sha256(b"".join(sha256(file.read_bytes()).digest() for file in files)).hexdigest()


def _label(face: Face, atlas: FaceAtlas, polygons: AtlasPolygons) -> tuple[str, Pixels]:
    cv2.setNumThreads(1)
    return face.id, label_face(face, face.read(), atlas, polygons)


def prepare(folder: Path, cache: Path, *, workers: int = 2) -> TrainingSet:
    """Load the faces, draw the atlas, and label every photo, or read the labels made before."""
    faces, polygons = load_faces(folder), load_polygons(folder)
    split = split_by_person(faces)
    atlas = build_atlas([face for face in faces if split[face.id] == "train"], polygons)
    labels_file = cache / f"labels-{atlas.version}-{faces_sha256(folder)[:12]}.npz"
    if labels_file.exists():
        with np.load(labels_file) as stored:
            labels = {name: stored[name] for name in stored.files}
    else:
        # Started afresh, not forked: OpenCV's thread pool, in use by now, does not survive a fork.
        with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
            labels = dict(pool.map(partial(_label, atlas=atlas, polygons=polygons), faces, chunksize=16))
        make_private_folder(cache)
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
