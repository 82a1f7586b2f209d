"""The shipped face models: found, verified, opened once per process."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from masi_vision.config import shipped_file
from masi_vision.errors import ModelError
from masi_vision.face.atlas import FaceAtlas, Floats

FORMAT = 1
"""Version of the models' inputs and outputs that this code understands."""
CARD = "face.json"


@dataclass(frozen=True)
class FaceModels:
    """Atlas and networks of the face.

    Parameters
    ----------
    atlas : FaceAtlas
    finder, reader : onnxruntime.InferenceSession
        The coarse and the fine pass; what they take and give stands in the model card.
    sha256 : dict
        File name to hash, as verified.
    """

    atlas: FaceAtlas
    finder: ort.InferenceSession
    reader: ort.InferenceSession
    sha256: dict[str, str]

    def find(self, picture: npt.NDArray[np.uint8]) -> tuple[float, Floats]:
        """Presence probability and heat maps (6, 32, 32) of a (128, 128, 3) sRGB picture."""
        presence, heat = self.finder.run(None, {"image": _as_input(picture)})
        return float(1 / (1 + np.exp(-presence[0]))), np.asarray(heat[0], np.float32)

    def read(self, picture: npt.NDArray[np.uint8]) -> tuple[Floats, Floats]:
        """Region probabilities (7, S, S) and landmarks (478, 3) px of an (S, S, 3) upright crop."""
        shares, landmarks = self.reader.run(None, {"image": _as_input(picture)})
        return np.asarray(shares[0], np.float32), np.asarray(landmarks[0], np.float32)


def _as_input(picture: npt.NDArray[np.uint8]) -> Floats:
    return np.ascontiguousarray(picture.transpose(2, 0, 1)[None], np.float32) / np.float32(255)


@lru_cache(maxsize=1)
def face_models() -> FaceModels:
    """Open the shipped models, once per process.

    Raises
    ------
    ModelError
        A file is missing, was altered, or is for another version of the code.
    """
    card, files = read_card(CARD, FORMAT)
    return FaceModels(
        read_atlas(files["face_atlas.npz"]),
        open_session(files["face_finder.onnx"]),
        open_session(files["face_reader.onnx"]),
        dict(card["sha256"]),
    )


def read_card(name: str, expected_format: int) -> tuple[dict[str, Any], dict[str, Path]]:
    """A model card, and the verified files that it names.

    Raises
    ------
    ModelError
        A file is missing, was altered, or is for another version of the code.
    """
    card_file = shipped_file("models", name)
    card = json.loads(card_file.read_text(encoding="utf-8"))
    if card["format"] != expected_format:
        raise ModelError(
            f"models/{name} has format {card['format']}. Expected format {expected_format}. "
            "Install the models that belong to this version of masi_vision."
        )
    return card, {
        file: verified(card_file.with_name(file), digest) for file, digest in card["sha256"].items()
    }


def verified(file: Path, sha256: str) -> Path:
    """Refuse a model file that is not the one its card describes."""
    if not file.is_file():
        raise ModelError(
            f"models/{file.name} is missing. Expected it beside its card. Install masi_vision again."
        )
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    if found != sha256:
        raise ModelError(
            f"models/{file.name} has SHA-256 {found[:12]}. Expected {sha256[:12]}, as in its card. "
            "Install masi_vision again, or restore the file."
        )
    return file


def read_atlas(file: Path) -> FaceAtlas:
    """Read the atlas from its .npz file."""
    with np.load(file, allow_pickle=False) as stored:
        return FaceAtlas(
            stored["nodes"],
            stored["triangles"],
            stored["labels"],
            stored["landmark_mean"],
            str(stored["version"]),
        )


def open_session(file: Path) -> ort.InferenceSession:
    """One thread per process: results do not depend on the number of threads, and processes do not fight."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
