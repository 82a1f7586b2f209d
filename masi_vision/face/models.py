"""Face models, of those that come with masi_vision or of a folder: verified, opened once per process."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from masi_vision.errors import ModelError
from masi_vision.face.atlas import N_LANDMARKS, FaceAtlas, Floats, Subunit
from masi_vision.face.crop import FINDER_SIDE_PX, READER_SIDE_PX
from masi_vision.model_files import CARD, Shapes, open_session, read_card, remedy, shipped_folder

FORMAT = 1
"""Version of the models' inputs and outputs that this code understands."""
ATLAS, FINDER, READER = "face_atlas.npz", "face_finder.onnx", "face_reader.onnx"
FINDER_GIVES: Shapes = {"presence": (1,), "heat": (1, 6, 32, 32)}
READER_GIVES: Shapes = {
    "shares": (1, len(Subunit), READER_SIDE_PX, READER_SIDE_PX),
    "landmarks": (1, N_LANDMARKS, 3),
}


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


def face_models(folder: Path | None = None) -> FaceModels:
    """Open the face models of a folder, once per process; None opens the shipped ones.

    Raises
    ------
    ModelError
        A file is missing, was altered, or is for another version of the code.
    """
    return _face_models((shipped_folder() if folder is None else folder).resolve())


def forget_face_models() -> None:
    """Open every folder anew from now on."""
    _face_models.cache_clear()


@lru_cache(maxsize=4)
def _face_models(folder: Path) -> FaceModels:
    card, files = read_card(folder, CARD, FORMAT, (ATLAS, FINDER, READER))
    return FaceModels(
        read_atlas(files[ATLAS]),
        open_session(files[FINDER], (3, FINDER_SIDE_PX, FINDER_SIDE_PX), FINDER_GIVES),
        open_session(files[READER], (3, READER_SIDE_PX, READER_SIDE_PX), READER_GIVES),
        dict(card["sha256"]),
    )


def read_atlas(file: Path) -> FaceAtlas:
    """Read the atlas from its .npz file.

    Raises
    ------
    ModelError
        It is no atlas.
    """
    try:
        with np.load(file, allow_pickle=False) as stored:
            return FaceAtlas(
                stored["nodes"],
                stored["triangles"],
                stored["labels"],
                stored["landmark_mean"],
                str(stored["version"]),
            )
    except (OSError, KeyError, ValueError, TypeError, AttributeError, EOFError, BadZipFile) as error:
        raise ModelError(
            f"{file.parent.name}/{file.name} is no atlas of the face ({error}). Expected nodes, triangles, "
            f"labels, landmark_mean and version. {remedy(file.parent)}"
        ) from error
