"""What is written to disk: whole or not at all, and what a disk can answer as a sentence."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from masi_vision.errors import OutputError, reason_of

PART = ".part"
"""Ending of a file that is being written; what a killed run leaves behind is no result."""


def json_text(values: object) -> str:
    """Lay values out as JSON; NaN is refused."""
    return json.dumps(values, ensure_ascii=False, allow_nan=False, indent=1) + "\n"


def json_items(values: Sequence[object]) -> str:
    """The items of a list as `json_text` lays them out, without its brackets."""
    return json_text(values)[2:-3]


def write_file(path: Path, content: str | bytes, *, private: bool = False) -> None:
    """Write a file whole or not at all: a reader never sees half of it; its folder is made."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_pieces(path, [content.encode() if isinstance(content, str) else content], private=private)


def write_pieces(path: Path, pieces: Iterable[bytes], *, private: bool = False) -> None:
    """Write a file whole or not at all, piece by piece, into a folder that is there.

    Parameters
    ----------
    private : bool
        For nobody else on this machine to read.
    """
    with being_written(path, private=private) as part, part.open("r+b") as file:
        file.writelines(pieces)


@contextmanager
def being_written(path: Path, *, private: bool = False) -> Iterator[Path]:
    """An empty file to fill, for a library that asks for a path; it takes the place of ``path`` at the end.

    Parameters
    ----------
    private : bool
        For nobody else on this machine to read.
    """
    part = path.with_name(f".{path.name}.{uuid4().hex[:8]}{PART}")  # two who write do not mix
    with writing(path):
        try:
            part.touch(mode=0o600 if private else 0o666)
            yield part
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


def half_written(*folders: Path) -> list[Path]:
    """Files in these folders that a killed run was writing."""
    return [part for folder in folders for part in folder.glob(f".*{PART}")]


def make_private_folder(folder: Path) -> None:
    """Make a folder that nobody else on this machine can look into; one that is there keeps its mode."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def try_to_write(folder: Path) -> None:
    """Make a folder, write into it, and leave nothing: better told before an hour of work than after.

    Raises
    ------
    OutputError
        It cannot be written.
    """
    with writing(folder):
        is_new = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f".{uuid4().hex[:8]}{PART}"
        file.touch()
        file.unlink()
        if is_new:
            folder.rmdir()


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what a disk can answer into a sentence."""
    try:
        yield
    except FileExistsError as error:
        raise OutputError(
            f"{path} cannot be written: where a folder is expected stands something else, as a link that "
            "leads nowhere. Name another."
        ) from error
    except OSError as error:
        words = reason_of(error)
        raise OutputError(
            f"{path} cannot be written ({words}). Expected free space and the permission to write. "
            "Name another folder, or close the program that holds the file open."
        ) from error
