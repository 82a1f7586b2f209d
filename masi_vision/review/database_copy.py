"""Copies of the database of a reading: one to keep, and one to look through."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from masi_vision.errors import ReadingError, reason_of
from masi_vision.review.database import (
    OWNERS_ALONE,
    engine_of,
    file_of,
    migrate,
    open_database,
    opening,
    why_not_written,
)
from masi_vision.written import PART

_TRIED = 3


def copy_database(engine: Engine, file: Path) -> None:
    """Copy an SQLite database as it is at this moment, whoever writes it meanwhile.

    Raises
    ------
    ReadingError
        It is no SQLite database, or the copy cannot be written.
    """
    if engine.dialect.name != "sqlite":
        raise ReadingError(f"The database is of {engine.dialect.name}. Expected SQLite. Use pg_dump.")
    if file.exists():
        raise ReadingError(f"{file} is there already. Expected a new file. Name another.")
    part = file.with_name(f".{file.name}{PART}")
    connection = engine.raw_connection()
    try:
        part.touch(mode=OWNERS_ALONE)
        with closing(sqlite3.connect(part)) as copy:
            connection.driver_connection.backup(copy)  # type: ignore[union-attr]
        part.replace(file)
    except (OSError, sqlite3.Error) as error:
        why = reason_of(error) if isinstance(error, OSError) else str(error)
        raise ReadingError(
            f"{file} cannot be written ({why}). Expected a new file, free space and the permission to write. "
            "Name another."
        ) from error
    finally:
        connection.close()
        part.unlink(missing_ok=True)


@contextmanager
def opened_to_verify(address: str, tell: Callable[[str], object]) -> Iterator[Engine]:
    """Open a database and bring its tables to the newest form: of an SQLite file, those of a copy.

    Parameters
    ----------
    tell : callable
        Called with a sentence where the tables were of an earlier form.

    Raises
    ------
    ReadingError
        It cannot be opened or copied, or there is no reading in it.
    """
    file = file_of(address)
    with ExitStack() as stack:
        if file is None:
            engine = open_database(address, may_be_new=False, tell=tell)
            stack.callback(engine.dispose)
        else:
            copy = Path(stack.enter_context(TemporaryDirectory())) / "copy.db"
            with opening(address) as shown:
                _copy_to_look_through(address, file, copy)
                engine = engine_of(str(copy), shown, may_be_new=False)
                stack.callback(engine.dispose)
                # Without a row of it, which a trail that has one past its end would not take.
                before, form = migrate(engine, is_noted=False)
            if before not in ("", form):
                tell(
                    f"The tables of {shown} are of form {before}, of an earlier version. A copy that was "
                    f"brought to form {form} is looked through, and they stay as they are."
                )
        yield engine


def _copy_to_look_through(address: str, file: Path, copy: Path) -> None:
    """Copy an SQLite database, also from where it cannot be opened: SQLite writes beside it to read it."""
    try:
        engine = engine_of(address, str(file), may_be_new=False)
    except (DBAPIError, OSError) as error:
        if isinstance(error, DBAPIError) and why_not_written(error) != "full":
            raise
        _copy_unopened(file, copy)
    else:
        try:
            copy_database(engine, copy)
        finally:
            engine.dispose()


def _copy_unopened(file: Path, copy: Path) -> None:
    """Copy the file and its -wal, of one moment: SQLite does not see to it, and of two they seem altered."""
    wal, wal_copy = Path(f"{file}-wal"), Path(f"{copy}-wal")
    for _ in range(_TRIED):
        before = _last_written(file), _last_written(wal)
        shutil.copyfile(file, copy)
        wal_copy.unlink(missing_ok=True)
        with suppress(FileNotFoundError):  # none, where the page was stopped
            shutil.copyfile(wal, wal_copy)
        if before == (_last_written(file), _last_written(wal)):
            return
    raise ReadingError(
        f"The database {file} is being written. Expected that it stays as it is while it is copied. Stop the "
        "page, and try again."
    )


def _last_written(file: Path) -> tuple[int, int] | None:
    try:
        status = file.stat()
    except FileNotFoundError:
        return None
    return status.st_size, status.st_mtime_ns
