"""Models that a user added: named, verified, and chosen for the command line.

They lie in a folder of the user's own, ``MASI_MODELS`` if that is set. Which of them the command line scores
with stands in a small file beside them. The functions of Python know nothing of it: they take the models that
come with masi_vision, or those that they are given.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from platformdirs import user_data_path

from masi_vision.errors import ModelError, OutputError, reason_of
from masi_vision.face.crop import FINDER_SIDE_PX, READER_SIDE_PX
from masi_vision.model_files import CARD, SHIPPED, read_card_alone, remedy, shipped_folder, verified
from masi_vision.photo import printable
from masi_vision.pigment.learned import INPUT_CHANNELS, NETWORK_SHAPE
from masi_vision.visit.models import ABOUT, CARDS, Models, about_models, open_models, shipped_models
from masi_vision.written import PART

VARIABLE = "MASI_MODELS"
_IN_USE = "in_use"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(frozen=True)
class StoredModels:
    """Models by name, and whether they can be used.

    Parameters
    ----------
    models : Models or None
        None where they cannot be opened.
    problem : str
        Why they cannot; "" where they can.
    """

    name: str
    in_use: bool
    models: Models | None
    problem: str = ""


@dataclass(frozen=True)
class FileCheck:
    """A file of a folder of models, and whether it is the one that its card describes.

    Parameters
    ----------
    sha256 : str
        As in the card; "" for a card itself.
    problem : str
        What is wrong with it; "" where nothing is.
    """

    name: str
    sha256: str
    problem: str = ""


def store_folder() -> Path:
    """Where added models lie.

    Raises
    ------
    ModelError
        The account has no home folder, as that of a container may.
    """
    own = os.environ.get(VARIABLE)
    try:
        folder = Path(own) if own else user_data_path("masi_vision", appauthor=False) / "models"
        return folder.expanduser()
    except RuntimeError as error:
        raise ModelError(
            "This account has no home folder. Expected one, where models of its own lie. Set the environment "
            f"variable {VARIABLE} to a folder, by its full path."
        ) from error


def has_store() -> bool:
    """Whether models can have been added: there is a home folder, or a store was named."""
    try:
        return bool(os.environ.get(VARIABLE) or store_folder())
    except ModelError:
        return False


def in_use() -> str:
    """Name of the models that the command line scores with.

    Raises
    ------
    ModelError
        The choice cannot be read.
    """
    if not has_store():
        return SHIPPED
    try:
        return printable((store_folder() / _IN_USE).read_text(encoding="utf-8").strip()) or SHIPPED
    except FileNotFoundError:
        return SHIPPED
    except PermissionError as error:  # sudo may keep the HOME of another account
        raise ModelError(
            f"{store_folder() / _IN_USE} cannot be read by this account. Expected its own store. Set HOME "
            f"to its home folder, or {VARIABLE} to a folder that it may read, or name models with --models."
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(
            f"{store_folder() / _IN_USE} cannot be read ({reason_of(error)}). Expected the name of the "
            "models in use. Choose again with masi models use NAME."
        ) from error


def folder_of(choice: str | Path | None = None) -> Path | None:
    """Folder of models by name or path; None for the shipped ones.

    Parameters
    ----------
    choice : str or Path, optional
        ``shipped``, the name of models that were added, or else a folder; those in use where omitted. A Path
        is always a folder.

    Raises
    ------
    ModelError
        There are no such models.
    """
    if isinstance(choice, Path):
        return _own_folder(choice)
    asked = in_use() if choice is None else choice
    if asked == SHIPPED:
        return None
    if asked in added():
        return store_folder() / asked
    if choice is not None and (Path(asked).is_dir() or _is_being_made(Path(asked))):
        return _own_folder(Path(asked))
    known = ", ".join((SHIPPED, *added()))
    if choice is None:
        raise ModelError(
            f"The models in use, {asked}, are gone from {store_folder()}. Expected one of {known}. Choose "
            "with masi models use NAME."
        )
    raise ModelError(f"There are no models {asked}. Expected one of {known}, or a folder of models.")


def _is_being_made(folder: Path) -> bool:
    """Whether a call of `masi train` was to write models there, and has not come to its end."""
    return not folder.exists() and folder.with_name(f"{folder.name}{PART}").is_dir()


def _own_folder(folder: Path) -> Path:
    if _is_being_made(folder):
        raise ModelError(
            f"{folder} is not there: the training did not finish. Expected models, as masi train writes them "
            "at its end. Make the same call of masi train again: it goes on."
        )
    if not (folder / CARD).is_file():
        raise ModelError(
            f"{folder} holds no {CARD}. Expected a folder of models, as masi train writes it at its end. "
            "Name another."
        )
    return folder


def added() -> tuple[str, ...]:
    """Names of the models that were added."""
    if not has_store():
        return ()
    try:
        found = [one.name for one in store_folder().iterdir() if (one / CARD).is_file()]
    except OSError:
        return ()
    return tuple(sorted(name for name in found if _NAME.fullmatch(name)))


def stored_models() -> Iterator[StoredModels]:
    """The shipped models, those that were added, and those in use if they are gone."""
    chosen = in_use()
    for name in (SHIPPED, *added()):
        try:
            yield StoredModels(name, name == chosen, _opened(folder_of(name)))
        except ModelError as error:
            yield StoredModels(name, name == chosen, None, str(error))
    if chosen not in (SHIPPED, *added()):
        yield StoredModels(chosen, True, None, "It is gone. Choose another with masi models use NAME.")


def _opened(folder: Path | None) -> Models:
    """Open models though they were opened before: their files may have changed since."""
    for one in check_files(folder):
        if one.problem:
            raise ModelError(one.problem)
    return open_models(folder)


def check_files(folder: Path | None) -> list[FileCheck]:
    """Hold every file of a folder of models against its card, whatever is wrong with the others."""
    folder = shipped_folder() if folder is None else folder.resolve()
    found = []
    for name, expected_format in CARDS.items():
        try:
            files = read_card_alone(folder, name, expected_format)["sha256"]
        except ModelError as error:
            found.append(FileCheck(name, "", str(error)))
            continue
        found += [FileCheck(name, ""), *(_checked(folder / file, digest) for file, digest in files.items())]
    return found


def _checked(file: Path, sha256: str) -> FileCheck:
    try:
        verified(file, sha256)
    except ModelError as error:
        return FileCheck(file.name, sha256, str(error))
    return FileCheck(file.name, sha256)


def verify(folder: Path | None) -> Models:
    """Open models, with every hash and version checked, and run each network once.

    Raises
    ------
    ModelError
        Something is missing, altered, of another version, or gives no numbers.
    """
    models = _opened(folder)
    finder = np.zeros((FINDER_SIDE_PX, FINDER_SIDE_PX, 3), np.uint8)
    reader = np.zeros((READER_SIDE_PX, READER_SIDE_PX, 3), np.uint8)
    frame = np.zeros((INPUT_CHANNELS, *NETWORK_SHAPE), np.float32)
    try:
        given = (*models.face.find(finder), *models.face.read(reader), models.pigment.read(frame))
        well = all(np.isfinite(one).all() for one in given)
    except Exception as error:  # ONNX Runtime raises many kinds
        raise ModelError(
            f"A network of {models.name} does not run ({str(error).partition(chr(10))[0]}). Expected numbers "
            f"for an empty picture. {remedy(folder or shipped_folder())}"
        ) from error
    if not well:
        raise ModelError(
            f"A network of {models.name} gives no finite numbers for an empty picture. Expected some. Train "
            "it again."
        )
    return models


def is_shipped_by_another_name(models: Models) -> bool:
    """Whether each network is the shipped one: nothing was learned, or other models were meant."""
    shipped = shipped_models().sha256
    networks = [file for file in shipped if file.endswith(".onnx")]
    return models.name != SHIPPED and all(models.sha256.get(file) == shipped[file] for file in networks)


def add(folder: Path, name: str | None = None) -> str:
    """Copy verified models into the store; gives their name there.

    Parameters
    ----------
    folder : Path
    name : str, optional
        Where omitted, the one in their ``model.json``, or that of the folder.

    Raises
    ------
    ModelError
        They cannot be used.
    OutputError
        The name is taken or is none, or the store cannot be written.
    """
    folder = _own_folder(folder).resolve()
    chosen = name if name is not None else about_models(folder).get("name", folder.name.lower())
    target = _free(chosen)
    verify(folder)
    with _writing():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".adding-") as place:
            made = Path(place) / chosen
            made.mkdir()
            for file in _files(folder):
                shutil.copyfile(folder / file, made / file)
            verify(made)
            made.rename(target)
    return chosen


def _free(name: str) -> Path:
    """Where models of this name will lie."""
    if not _NAME.fullmatch(name) or name in (SHIPPED, _IN_USE):
        raise OutputError(
            f"{printable(name)!r} is no name for models. Expected small letters, digits, dot, dash and "
            f"underscore, and neither {SHIPPED} nor {_IN_USE}. Name them with --name."
        )
    if (store_folder() / name).exists():
        if not (store_folder() / name / CARD).is_file():
            raise OutputError(
                f"{store_folder() / name} is there and holds no {CARD}: no models. Expected a new name, or "
                "that folder gone. Remove it, or name them otherwise with --name."
            )
        raise OutputError(
            f"There are models called {name} already. Expected a new name. Name them with --name."
        )
    return store_folder() / name


def _files(folder: Path) -> list[str]:
    """Files that belong to models: the cards, what they name, the pages beside them, and ``model.json``."""
    named = [name for card, form in CARDS.items() for name in read_card_alone(folder, card, form)["sha256"]]
    perhaps = [ABOUT, *(Path(card).with_suffix(".md").name for card in CARDS)]
    return list(dict.fromkeys([*CARDS, *named, *(name for name in perhaps if (folder / name).is_file())]))


def use(name: str) -> Models:
    """Choose the models that the command line scores with from now on.

    Raises
    ------
    ModelError
        There are none of that name, or they cannot be used.
    OutputError
        The choice cannot be written down.
    """
    if name != SHIPPED and name not in added() and Path(name).is_dir():
        raise ModelError(
            f"{name} is a folder. Expected the name of added models. Add it first: masi models add {name}"
        )
    models = verify(folder_of(name))
    with _writing():
        store_folder().mkdir(parents=True, exist_ok=True)
        part = store_folder() / f".{_IN_USE}.{os.getpid()}"
        part.write_text(f"{name}\n", encoding="utf-8")
        part.replace(store_folder() / _IN_USE)
    return models


@contextmanager
def _writing() -> Iterator[None]:
    """Turn what a disk can answer into a sentence."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{store_folder()} cannot be written ({reason_of(error)}). Expected free "
            f"space and the permission to write. Set {VARIABLE} to another folder."
        ) from error
