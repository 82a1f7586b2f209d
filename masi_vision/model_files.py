"""Files of models: cards, hashes, networks opened; whatever a network is for.

A folder of models holds networks as ONNX files and a card for each part, a JSON file that names them with
their SHA-256. Nothing is unpickled, and nothing is opened that is not the file of its card.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnxruntime as ort

from masi_vision.errors import ModelError, SettingsError, reason_of
from masi_vision.onnx_file import has_weights_elsewhere
from masi_vision.shipped import shipped_file

CARD = "face.json"
"""The card that every folder of models has."""
SHIPPED = "shipped"
"""Name of the models that come with masi_vision."""
Shapes = Mapping[str, tuple[int, ...]]
"""Name of what a network gives to its shape."""


# Beside the variable that masi_vision sets, for who imported ONNX Runtime before.
ort.disable_telemetry_events()


def shipped_folder() -> Path:
    """Folder of the models that come with masi_vision.

    Raises
    ------
    ModelError
        There are none.
    """
    try:
        return shipped_file("models", CARD).parent
    except SettingsError as error:
        raise ModelError(str(error)) from error


def is_shipped(folder: Path) -> bool:
    """Whether these are the models that come with masi_vision."""
    return folder.resolve() == shipped_folder().resolve()


def remedy(folder: Path) -> str:
    """What to do about models that cannot be used, by where they are from."""
    if is_shipped(folder):
        return "Install masi_vision again."
    return "Copy the models again from where they were made, or train them again."


def read_card(
    folder: Path, name: str, expected_format: int, needed: tuple[str, ...] = ()
) -> tuple[dict[str, Any], dict[str, Path]]:
    """A model card, and the verified files that it names.

    Parameters
    ----------
    needed : tuple of str
        Files that it must name.

    Raises
    ------
    ModelError
        A file is missing, was altered, or is for another version of the code.
    """
    card = read_card_alone(folder, name, expected_format)
    if missing := [file for file in needed if file not in card["sha256"]]:
        raise ModelError(
            f"{folder.name}/{name} names no {missing[0]}. Expected {', '.join(needed)}, each with its "
            f"SHA-256. {remedy(folder)}"
        )
    return card, {file: verified(folder / file, digest) for file, digest in card["sha256"].items()}


def read_card_alone(folder: Path, name: str, expected_format: int) -> dict[str, Any]:
    """A model card, its form checked, but not the files that it names.

    Raises
    ------
    ModelError
        It cannot be read, is no card, or is for another version of the code.
    """
    card = read_json(folder / name)
    files = card.get("sha256")
    if "format" not in card or not isinstance(card.get("atlas"), str) or not isinstance(files, dict):
        raise ModelError(
            f"{folder.name}/{name} is no model card. Expected the keys format, atlas and sha256. "
            f"{remedy(folder)}"
        )
    if card["format"] != expected_format:
        wrote = card.get("masi_vision")
        by = f" (it was written by masi_vision {str(wrote)!a})" if wrote and not is_shipped(folder) else ""
        raise ModelError(
            f"{folder.name}/{name} has format {card['format']!r}. Expected format {expected_format}. "
            f"Use models that belong to this version of masi_vision{by}."
        )
    for file, digest in files.items():
        if Path(file).name != file or not isinstance(digest, str):
            raise ModelError(
                f"{folder.name}/{name} names {file!r}. Expected names of files beside it, each with its "
                f"SHA-256. {remedy(folder)}"
            )
    return card


def read_json(file: Path) -> dict[str, Any]:
    """The object in a JSON file of a folder of models.

    Raises
    ------
    ModelError
        It cannot be read, or holds none.
    """
    place = f"{file.parent.name}/{file.name}"
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(
            f"{place} cannot be read ({reason_of(error)}). Expected a model card. {remedy(file.parent)}"
        ) from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{place} is not JSON. Expected a model card. {remedy(file.parent)}") from error
    if not isinstance(values, dict):
        raise ModelError(f"{place} holds no object of JSON. Expected a model card. {remedy(file.parent)}")
    return values


def verified(file: Path, sha256: str) -> Path:
    """Refuse a model file that is not the one its card describes."""
    place = f"{file.parent.name}/{file.name}"
    try:
        found = hashlib.sha256(file.read_bytes()).hexdigest()
    except FileNotFoundError as error:
        raise ModelError(f"{place} is missing. Expected it beside its card. {remedy(file.parent)}") from error
    except OSError as error:
        raise ModelError(
            f"{place} cannot be read ({reason_of(error)}). Expected a model file. {remedy(file.parent)}"
        ) from error
    if found != sha256:
        raise ModelError(
            f"{place} has SHA-256 {found[:12]}. Expected {sha256[:12]}, as in its card. {remedy(file.parent)}"
        )
    return file


def open_session(file: Path, takes: tuple[int, ...], gives: Shapes) -> ort.InferenceSession:
    """Open a network, with one thread per process.

    So results do not depend on the number of threads, and processes do not fight.

    Parameters
    ----------
    takes : tuple of int
        Shape of the one image that it takes.
    gives : mapping of str to tuple of int
        Names and shapes of what it gives, in order.

    Raises
    ------
    ModelError
        The file is no network, or not the one that is expected.
    """
    place = f"{file.parent.name}/{file.name}"
    session = _whole_network(file.read_bytes(), place, remedy(file.parent))
    found = [
        {one.name: (*one.shape, one.type) for one in side}
        for side in (session.get_inputs(), session.get_outputs())
    ]
    expected = [
        {name: (*shape, "tensor(float)") for name, shape in side.items()}
        for side in ({"image": (1, *takes)}, gives)
    ]
    if [list(side.items()) for side in found] != [list(side.items()) for side in expected]:
        raise ModelError(
            f"{place} takes {_told(found[0])} and gives {_told(found[1])}. Expected it to take "
            f"{_told(expected[0])} and give {_told(expected[1])}. Train and export it with this version."
        )
    return session


def _whole_network(content: bytes, place: str, remedy_words: str) -> ort.InferenceSession:
    """A network whose weights all stand in its own file."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        if has_weights_elsewhere(content):
            raise ModelError(
                f"{place} keeps weights in another file, which no hash covers. Expected a network in one "
                "file. Export it again, whole."
            )
        return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except ModelError:
        raise
    except Exception as error:  # ONNX Runtime raises many kinds
        raise ModelError(
            f"{place} is no network that ONNX Runtime can open. Expected an ONNX file. {remedy_words}"
        ) from error


def _told(tensors: Mapping[str, tuple[object, ...]]) -> str:
    """Names and shapes, in words."""
    words = []
    for name, (*shape, kind) in tensors.items():
        other = "" if kind == "tensor(float)" else f" of {kind}"
        words.append(f"{name} ({', '.join(map(str, shape))}){other}")
    return " and ".join(words) or "nothing"
