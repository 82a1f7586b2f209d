"""The shipped models: the face's, and the network that draws the pigment map with its known errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import onnxruntime as ort

from masi_vision.errors import ModelError
from masi_vision.face.atlas import Floats
from masi_vision.face.models import FaceModels, face_models, open_session, read_card
from masi_vision.pigment.interval import Band, ChangeError, MeasureError

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
    """Everything learned that a score depends on."""

    face: FaceModels
    pigment: PigmentModel

    @property
    def sha256(self) -> dict[str, str]:
        """File name to hash of all model files."""
        return {**self.face.sha256, **self.pigment.sha256}


@lru_cache(maxsize=1)
def shipped_models() -> Models:
    """Open the shipped models, once per process.

    Raises
    ------
    ModelError
        A file is missing, was altered, or is for another version of the code.
    """
    card, files = read_card(PIGMENT_CARD, PIGMENT_FORMAT)
    face = face_models()
    if card["atlas"] != face.atlas.version:
        raise ModelError(
            f"models/{PIGMENT_CARD} is for atlas {card['atlas']}. Expected {face.atlas.version}, as in the "
            "face models. Install models that belong together."
        )
    errors = {method: _error(values) for method, values in card["errors"].items()}
    change = ChangeError(**{name: tuple(values) for name, values in card["change_error"].items()})
    pigment = PigmentModel(open_session(files[PIGMENT_READER]), errors, change, dict(card["sha256"]))
    return Models(face, pigment)


def _error(values: Mapping[str, object]) -> MeasureError:
    bands = {
        name: Band(**{key: tuple(numbers) for key, numbers in values[name].items()})  # type: ignore[attr-defined]
        for name in ("fraction", "contrast_od")
    }
    return MeasureError(**bands, share=float(values["share"]))  # type: ignore[arg-type]
