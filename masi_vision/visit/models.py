"""The shipped models: the face's, and the network that draws the pigment map with its known errors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import onnxruntime as ort

from masi_vision.errors import ModelError
from masi_vision.face.atlas import Floats
from masi_vision.face.models import (
    SHIPPED,
    FaceModels,
    face_models,
    open_session,
    read_card,
    shipped_folder,
)
from masi_vision.pigment.interval import Band, ChangeError, MeasureError
from masi_vision.pigment.learned import INPUT_CHANNELS, NETWORK_SHAPE
from masi_vision.version import __version__

PIGMENT_FORMAT = 1
"""Version of the pigment network's input and output that this code understands."""
PIGMENT_CARD = "pigment.json"
PIGMENT_READER = "pigment_reader.onnx"


@dataclass(frozen=True)
class PigmentModel:
    """The network that draws the pigment map.

    Parameters
    ----------
    reader : onnxruntime.InferenceSession
    errors : mapping
        Method of the pigment map to the errors of its measures.
    change_error : ChangeError
        Of the change between two visits laid over each other.
    sha256 : mapping
        File name to hash, as verified.
    """

    reader: ort.InferenceSession
    errors: Mapping[str, MeasureError]
    change_error: ChangeError
    sha256: Mapping[str, str]

    def read(self, frame: Floats) -> Floats:
        """Lesion logit and density in units of 0.1 OD, (2, 144, 128), of `network_input`."""
        (drawn,) = self.reader.run(None, {"image": frame[None]})
        return np.asarray(drawn[0], np.float32)


@dataclass(frozen=True)
class Models:
    """Everything learned that a score depends on.

    Parameters
    ----------
    name : str
        ``shipped``, or that of the folder they lie in: never where it lies.
    newer_than_code : str
        The version of masi_vision that wrote them, if it is newer than this one; else "".
    """

    face: FaceModels
    pigment: PigmentModel
    name: str = SHIPPED
    newer_than_code: str = ""

    @property
    def sha256(self) -> dict[str, str]:
        """File name to hash of all model files."""
        return {**self.face.sha256, **self.pigment.sha256}


def shipped_models() -> Models:
    """Open the shipped models, once per process.

    Raises
    ------
    ModelError
        A file is missing, was altered, or is for another version of the code.
    """
    return open_models()


def open_models(folder: Path | None = None) -> Models:
    """Open the models of a folder, once per process; None opens the shipped ones.

    Raises
    ------
    ModelError
        A file is missing, was altered, or is for another version of the code.
    """
    return _open_models((shipped_folder() if folder is None else folder).resolve())


@lru_cache(maxsize=4)
def _open_models(folder: Path) -> Models:
    face = face_models(folder)
    card, files = read_card(folder, PIGMENT_CARD, PIGMENT_FORMAT)
    if card["atlas"] != face.atlas.version:
        raise ModelError(
            f"models/{PIGMENT_CARD} is for atlas {card['atlas']}. Expected {face.atlas.version}, as in the "
            "face models. Install models that belong together."
        )
    try:
        errors = {method: _error(values) for method, values in card["errors"].items()}
        change = ChangeError(**{name: tuple(values) for name, values in card["change_error"].items()})
        reader = files[PIGMENT_READER]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(
            f"models/{PIGMENT_CARD} lacks something ({error!r}). Expected the network and its errors. "
            "Copy the models again from where they were made."
        ) from error
    pigment = PigmentModel(open_pigment_reader(reader), errors, change, dict(card["sha256"]))
    name = SHIPPED if folder == shipped_folder().resolve() else folder.name
    return Models(face, pigment, name, _newer(str(card.get("masi_vision", ""))))


def open_pigment_reader(file: Path) -> ort.InferenceSession:
    """Open the network that draws the pigment map.

    Raises
    ------
    ModelError
        The file is no network, or another one.
    """
    return open_session(file, (INPUT_CHANNELS, *NETWORK_SHAPE), ("drawn",))


def _newer(written_by: str) -> str:
    """The version that wrote a card, if it is newer than this code."""
    numbers = [tuple(int(n) for n in re.findall(r"\d+", v)[:3]) for v in (written_by, __version__)]
    return written_by if numbers[0] > numbers[1] else ""


def _error(values: Mapping[str, object]) -> MeasureError:
    bands = {
        name: Band(**{key: tuple(numbers) for key, numbers in values[name].items()})  # type: ignore[attr-defined]
        for name in ("fraction", "contrast_od")
    }
    return MeasureError(**bands, share=float(values["share"]))  # type: ignore[arg-type]
