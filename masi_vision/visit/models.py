"""Everything learned that a score depends on: the face's models, and the network of the pigment map.

They lie in a folder: two cards, which name the other files with their hashes, and perhaps ``model.json``,
which says what they are (docs/models.md). One such folder comes with masi_vision.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from masi_vision.errors import ModelError
from masi_vision.face.atlas import Floats
from masi_vision.face.models import FORMAT, FaceModels, face_models, forget_face_models
from masi_vision.model_files import (
    CARD,
    SHIPPED,
    Shapes,
    is_shipped,
    open_session,
    read_card,
    read_card_alone,
    read_json,
    remedy,
    shipped_folder,
)
from masi_vision.photo import printable
from masi_vision.pigment import learned, rules
from masi_vision.pigment.interval import Band, ChangeError, Distances, MeasureError
from masi_vision.pigment.learned import INPUT_CHANNELS, NETWORK_SHAPE
from masi_vision.version import __version__

PIGMENT_FORMAT = 1
"""Version of the pigment network's input and output that this code understands."""
PIGMENT_CARD = "pigment.json"
PIGMENT_READER = "pigment_reader.onnx"
ABOUT = "model.json"
CARDS = {CARD: FORMAT, PIGMENT_CARD: PIGMENT_FORMAT}
"""The cards of a folder of models, and the format that this code understands."""
PIGMENT_GIVES: Shapes = {"drawn": (1, 2, *NETWORK_SHAPE)}
LEARNED_PHOTOS = "learned_photos"
"""In a card: marks of the photos (`Dataset.photo_marks`) that a network learned from or was chosen by, and of
those of the models that it was trained on."""
UNFINISHED = "unfinished"
"""In the card of models whose training has not come to its end."""
ERRORS = f"{PIGMENT_CARD} (errors)"
"""Stands among the model files for the tables of known errors: intervals depend on them."""


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
        ``shipped``, or that of the folder they lie in: never where it lies. It stands beside every score.
    made_with : str
        Version of masi_vision that wrote them, or that they come with; "" where that is not said.
    description : str
        What they are, or learned from.
    remarks : tuple of str
        What a person should know before using them.
    """

    face: FaceModels
    pigment: PigmentModel
    name: str = SHIPPED
    made_with: str = ""
    description: str = ""
    remarks: tuple[str, ...] = ()

    @property
    def sha256(self) -> dict[str, str]:
        """File name to hash of all model files."""
        return {**self.face.sha256, **self.pigment.sha256}


def shipped_models() -> Models:
    """Open the models that come with masi_vision, once per process.

    Raises
    ------
    ModelError
        A file is missing, was altered, or is for another version of the code.
    """
    return open_models()


def open_models(folder: str | PathLike[str] | None = None) -> Models:
    """Open the models of a folder, once per process; without one, those that come with masi_vision.

    Parameters
    ----------
    folder : path, optional
        As `masi train` writes it. What ``masi models use`` chose holds for the command line alone.

    Raises
    ------
    ModelError
        A file is missing, was altered, or is for another version of the code.
    """
    return _open_models((shipped_folder() if folder is None else Path(folder)).resolve())


def forget_opened() -> None:
    """Open every folder anew from now on: one of them was written again."""
    _open_models.cache_clear()
    forget_face_models()


@lru_cache(maxsize=4)
def _open_models(folder: Path) -> Models:
    face = face_models(folder)
    card, files = read_card(folder, PIGMENT_CARD, PIGMENT_FORMAT, (PIGMENT_READER,))
    if card["atlas"] != face.atlas.version:
        raise ModelError(
            f"{folder.name}/{PIGMENT_CARD} is for atlas {printable(card['atlas'])}. Expected "
            f"{face.atlas.version}, that of the face models. {remedy(folder)}"
        )
    errors, change = _known_errors(card, folder)
    pigment = PigmentModel(
        open_pigment_reader(files[PIGMENT_READER]),
        errors,
        change,
        card["sha256"] | {ERRORS: _hash_of_errors(card)},
    )
    about, written_by = about_models(folder), _written_by(folder)
    remarks = [_newer(one) for one in written_by if _numbers(one)[:2] > _numbers(__version__)[:2]]
    if card.get(UNFINISHED):
        remarks.append(
            "The call of masi train that wrote the models did not finish: some networks may still be those "
            "that were trained on, and the intervals may not have been held against the site's photographs. "
            "Make the same call again."
        )
    made_with = __version__ if is_shipped(folder) else max(written_by, key=_numbers, default="")
    return Models(
        face,
        pigment,
        name_of(folder),
        about.get("made_with", made_with),
        about.get("description", _learned_from(folder, card)),
        tuple(remarks),
    )


def _known_errors(card: Mapping[str, Any], folder: Path) -> tuple[dict[str, MeasureError], ChangeError]:
    try:
        errors = {method: _error(values) for method, values in card["errors"].items()}
        change = _change_error(card["change_error"])
        if lacking := {learned.METHOD, rules.METHOD} - errors.keys():
            raise KeyError(min(lacking))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        by = f", written by masi_vision {card['masi_vision']}" if card.get("masi_vision") else ""
        raise ModelError(
            f"{folder.name}/{PIGMENT_CARD}{by}, has no usable tables of errors ({type(error).__name__}: "
            f"{error}). Expected errors by {learned.METHOD} and {rules.METHOD}, and change_error, as "
            f"masi_vision {__version__} writes them. {remedy(folder)}"
        ) from error
    return errors, change


def _change_error(values: Mapping[str, Any]) -> ChangeError:
    # Cards of before by_clear have one table, those of before share the whole distance.
    tables = values.get("by_clear", [(1.0, values)])
    by_clear = tuple(
        (float(share), Distances(tuple(table["size_od"]), tuple(table["within_od"])))
        for share, table in tables
    )
    return ChangeError(by_clear, float(values.get("share", 1.0)))


def _error(values: Mapping[str, Any]) -> MeasureError:
    fraction, contrast_od = (_band(values[name]) for name in ("fraction", "contrast_od"))
    by_doubt = tuple((float(share), _band(numbers)) for share, numbers in values.get("by_doubt", ()))
    # Cards of before change_share have the whole interval.
    change_share = float(values.get("change_share", 1.0))
    return MeasureError(fraction, contrast_od, float(values["share"]), by_doubt, change_share)


def _band(values: Mapping[str, Any]) -> Band:
    return Band(**{key: tuple(numbers) for key, numbers in values.items()})


def _hash_of_errors(card: Mapping[str, Any]) -> str:
    """Of the tables alone: what else a card tells may be corrected without another score."""
    tables = {name: card[name] for name in ("errors", "change_error")}
    return hashlib.sha256(json.dumps(tables, sort_keys=True).encode()).hexdigest()


def open_pigment_reader(file: Path) -> ort.InferenceSession:
    """Open the network that draws the pigment map.

    Raises
    ------
    ModelError
        The file is no network, or another one.
    """
    return open_session(file, (INPUT_CHANNELS, *NETWORK_SHAPE), PIGMENT_GIVES)


def name_of(folder: Path) -> str:
    """The name of a folder's models beside their scores: fit for any table, and without where they lie."""
    if is_shipped(folder):
        return SHIPPED
    plain = re.sub(r"[^\w.-]+", "-", folder.resolve().name).lstrip("-.")[:64]
    return f"another-{SHIPPED}" if plain == SHIPPED else plain or "unnamed"


def about_models(folder: Path) -> dict[str, str]:
    """What ``model.json`` says of the whole set, of name, made_with and description; it may be missing.

    Raises
    ------
    ModelError
        It cannot be read.
    """
    if not (folder / ABOUT).exists():
        return {}
    told = read_json(folder / ABOUT)
    return {key: printable(str(told[key])) for key in ("name", "made_with", "description") if told.get(key)}


def datasets_learned(folder: Path) -> set[str]:
    """Hashes of the data sets that a site's networks learned from."""
    cards = (read_json(folder / name) for name in CARDS)
    made = (one for card in cards for one in card.get("networks", {}).values())
    return {str(one["dataset_sha256"]) for one in made if "dataset_sha256" in one}


def photos_learned(folder: Path) -> set[str]:
    """Marks of the photos that the networks, or those before them, learned from or were chosen by."""
    return {str(mark) for name in CARDS for mark in read_json(folder / name).get(LEARNED_PHOTOS, ())}


def _learned_from(folder: Path, card: Mapping[str, Any]) -> str:
    """What the networks learned from; of a site's models either may still be the shipped one."""
    if is_shipped(folder):
        return printable(str(card.get("trained_on", "")))
    told = []
    for what, name, one in (
        ("regions", CARD, read_card_alone(folder, CARD, FORMAT)),
        ("pigment", PIGMENT_CARD, card),
    ):
        ours = read_card_alone(shipped_folder(), name, CARDS[name])
        same = one["sha256"] == ours["sha256"]
        told.append(f"{what}: {'as shipped' if same else printable(str(one.get('trained_on', 'unknown')))}")
    return "; ".join(told)


def _written_by(folder: Path) -> list[str]:
    """The versions of masi_vision that wrote the cards, each once, where they say so."""
    told = [read_json(folder / name).get("masi_vision") for name in CARDS]
    told.append(about_models(folder).get("made_with"))
    return sorted({printable(str(one)) for one in told if one})


def _numbers(version: str) -> tuple[int, ...]:
    """Major, minor and further numbers of a version."""
    return tuple(int(one) for one in re.findall(r"\d+", version))


def _newer(version: str) -> str:
    return (
        f"The models were written by masi_vision {version}, and this is {__version__}. They can be read, but "
        "newer code may measure otherwise. Install that version to be sure."
    )
