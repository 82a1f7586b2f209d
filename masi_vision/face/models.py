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
from masi_vision.face.crop import FINDER_SIDE_PX, READER_SIDE_PX

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


SHIPPED = "shipped"
"""Name of the models that come with masi_vision."""


def face_models(folder: Path | None = None) -> FaceModels:
    """Open the face models of a folder, once per process; None opens the shipped ones.

    Raises
    ------
    ModelError
        A file is missing, was altered, or is for another version of the code.
    """
    return _face_models(_place(folder))


@lru_cache(maxsize=4)
def _face_models(folder: Path) -> FaceModels:
    card, files = read_card(folder, CARD, FORMAT)
    try:
        atlas = read_atlas(files["face_atlas.npz"])
        finder, reader = files["face_finder.onnx"], files["face_reader.onnx"]
    except KeyError as error:
        raise ModelError(
            f"{CARD} of {folder.name} names no {error.args[0]}. Expected atlas, finder and reader. {_REMEDY}"
        ) from error
    return FaceModels(
        atlas,
        open_session(finder, (3, FINDER_SIDE_PX, FINDER_SIDE_PX), ("presence", "heat")),
        open_session(reader, (3, READER_SIDE_PX, READER_SIDE_PX), ("shares", "landmarks")),
        dict(card["sha256"]),
    )


_REMEDY = "Install masi_vision again, or copy the folder of models again from where it was made."


def shipped_folder() -> Path:
    """Folder of the models that come with masi_vision."""
    return shipped_file("models", CARD).parent


def _place(folder: Path | None) -> Path:
    return (shipped_folder() if folder is None else folder).resolve()


def read_card(folder: Path, name: str, expected_format: int) -> tuple[dict[str, Any], dict[str, Path]]:
    """A model card, and the verified files that it names.

    Raises
    ------
    ModelError
        A file is missing, was altered, or is for another version of the code.
    """
    try:
        card = dict(json.loads((folder / name).read_text(encoding="utf-8")))
        found, hashes = card["format"], {str(file): str(digest) for file, digest in card["sha256"].items()}
        str(card["atlas"])
    except OSError as error:
        raise ModelError(
            f"{name} of {folder.name} cannot be read ({error.strerror}). Expected a model card. {_REMEDY}"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"{name} of {folder.name} is no model card ({error!r}). Expected format, atlas and hashes. "
            f"{_REMEDY}"
        ) from error
    if found != expected_format:
        raise ModelError(
            f"models/{name} has format {found}. Expected format {expected_format}. "
            "Install the models that belong to this version of masi_vision."
        )
    if odd := [file for file in hashes if Path(file).name != file]:
        raise ModelError(f"{name} of {folder.name} names {odd[0]!r}. Expected files beside it. {_REMEDY}")
    return card, {file: verified(folder / file, digest) for file, digest in hashes.items()}


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


def open_session(file: Path, takes: tuple[int, ...], gives: tuple[str, ...]) -> ort.InferenceSession:
    """Open a network, with one thread per process.

    So results do not depend on the number of threads, and processes do not fight.

    Parameters
    ----------
    takes : tuple of int
        Shape of the one image that it takes.
    gives : tuple of str
        Names of what it gives.

    Raises
    ------
    ModelError
        The file is no network, or not the one that is expected.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises many kinds
        raise ModelError(f"{file.name} is no network that ONNX Runtime can open. {_REMEDY}") from error
    inputs = {one.name: tuple(one.shape) for one in session.get_inputs()}
    outputs = tuple(one.name for one in session.get_outputs())
    if inputs != {"image": (1, *takes)} or outputs != gives:
        raise ModelError(
            f"{file.name} takes {inputs} and gives {outputs}. Expected an image of {(1, *takes)} and "
            f"{gives}. {_REMEDY}"
        )
    return session
