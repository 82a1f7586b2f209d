"""The database of a reading: opened, and brought to the newest form."""

from __future__ import annotations

import os
import ssl
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session

from masi_vision.errors import ReadingError, reason_of
from masi_vision.review.audit import Act, note_tool
from masi_vision.review.tables import Event, Fact, Head
from masi_vision.version import __version__

_MIGRATIONS = Path(__file__).parent / "migrations"
_BUSY_S = 30
OWNERS_ALONE = 0o600
_TAKEN_BY_DRIVER = ("unix_sock", "application_name")
_DAMAGED = ("malformed", "not a database")
_ALTERED = ("CHECK constraint failed in", "NULL value in")
"""Of a value that somebody put past the rules of a table: not damage, but for masi audit verify to find."""
PASSWORD_VARIABLE = "MASI_DB_PASSWORD"
"""Holds the password of a server's database, which in --db everybody could read in the list of processes."""


def file_of(address: str) -> Path | None:
    """The SQLite file behind an address; None of a server's."""
    url = _url(address)
    return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None


def _url(address: str) -> URL:
    """A path is a path: in a URL ? begins its query, and % a letter.

    Raises
    ------
    ReadingError
        It is neither a path nor the URL of a database, or one that nothing would be left of.
    """
    try:
        url = make_url(address) if "://" in address else URL.create("sqlite", database=address)
    except ArgumentError:
        url = None
    place = "" if url is None else url.database or ""
    is_server = url is not None and url.get_backend_name() != "sqlite"
    if url is None or not (is_server or place) or place == ":memory:" or place.startswith("file:"):
        raise ReadingError(  # without the address, in which a password may stand
            "What --db names is no database of a reading. Expected the path of an SQLite file on a local "
            "disk, or a PostgreSQL database by URL."
        )
    return url


def _of_server(url: URL) -> tuple[URL, dict[str, Any]]:
    """The address of a PostgreSQL database as its driver takes it, with TLS where the address asks for it.

    Raises
    ------
    ReadingError
        The address asks for what is not known.
    """
    asked = {name: str(value) for name, value in url.query.items()}
    mode, root = asked.pop("sslmode", "disable"), asked.pop("sslrootcert", None)
    kept = {name: asked.pop(name) for name in _TAKEN_BY_DRIVER if name in asked}
    if asked or mode not in ("disable", "verify-full") or (root and mode == "disable"):
        raise ReadingError(
            f"--db asks for {', '.join(asked) or f'sslmode={mode}'}. Expected behind the database's name "
            f"nothing, {', '.join(_TAKEN_BY_DRIVER)} or sslmode=verify-full, with sslrootcert=FILE where the "
            "server's certificate is from an authority of your own."
        )
    options: dict[str, Any] = {}
    if mode == "verify-full":
        try:
            options["ssl_context"] = ssl.create_default_context(cafile=root)
        except OSError as error:
            raise ReadingError(
                f"sslrootcert {root} cannot be read ({reason_of(error)}). Expected a certificate in PEM form."
            ) from error
    url = url.set(drivername="postgresql+pg8000", query=kept)
    secret = os.environ.get(PASSWORD_VARIABLE)
    return (url.set(password=secret) if secret and url.password is None else url), options


def open_database(
    address: str, *, may_be_new: bool = True, tell: Callable[[str], object] | None = None
) -> Engine:
    """Open a database by URL or path of an SQLite file, and bring its tables to the newest form.

    Parameters
    ----------
    may_be_new : bool
        Make it, or its tables, where there are none yet: else a misspelt name would be an empty reading.
    tell : callable, optional
        Called with a sentence where the tables were of an earlier form.

    Raises
    ------
    ReadingError
        It cannot be opened, or there is no reading in it.
    """
    with opening(address) as shown:
        engine = engine_of(address, shown, may_be_new=may_be_new)
        before, form = migrate(engine)
    if tell and before not in ("", form):
        tell(
            f"The tables of {shown} were brought from form {before} to form {form} by masi_vision "
            f"{__version__}; an earlier version may not open it any more."
        )
    return engine


@contextmanager
def using(address: str) -> Iterator[None]:
    """Turn damage of a database, and what keeps it from being read and written, into a sentence."""
    try:
        yield
    except DBAPIError as error:
        if (why := _why_not_used(address, error)) is None:
            raise
        raise ReadingError(why) from error


@contextmanager
def opening(address: str) -> Iterator[str]:
    """How a database is called; what stands against opening it becomes a sentence."""
    shown = _shown(address)
    try:
        yield shown
    except CommandError as error:
        raise ReadingError(
            f"{shown} was written by a newer masi_vision ({error}). Expected one of this version "
            "or older. Use the version that wrote it."
        ) from error
    except (SQLAlchemyError, OSError, ImportError) as error:
        raise ReadingError(
            _why_not_used(address, error)
            or f"The database {shown} cannot be opened ({_words(error)}). "
            "Expected an SQLite file on a local disk, or a PostgreSQL database by URL."
        ) from error


def _shown(address: str) -> str:
    file = file_of(address)
    return str(file) if file else _url(address).render_as_string(hide_password=True)


def _why_not_used(address: str, error: Exception) -> str | None:
    """A sentence, as far as a database is damaged, cannot be written or is held; None of all else."""
    shown, words, is_file = _shown(address), _words(error), file_of(address) is not None
    if is_file and isinstance(error, DBAPIError) and any(map(words.__contains__, _DAMAGED)):
        return _damage(shown, words)
    why = why_not_written(error) if isinstance(error, DBAPIError) else None
    if why == "busy":
        return (
            f"The database {shown} is held by another program ({words}). Expected it free. Try again later."
        )
    if is_file and isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return (
            f"The folder of the database {shown} is not there ({words}). Expected one that is. Look for a "
            "misspelt name, or make the folder."
        )
    if is_file and (why == "full" or isinstance(error, OSError)):
        return (
            f"The database {shown} cannot be used ({words}). Expected a local disk with free space, and the "
            "right to write the file and its folder, without which SQLite does not read it either. See to "
            "both, or copy the file, with the one beside it that ends in -wal, to where they are."
        )
    if why == "full":
        return (
            f"The database {shown} cannot be used ({words}). Expected a server that answers, takes the "
            "name and the password, and has free space. See whether it runs, and what its log says."
        )
    return None


def _damage(shown: str, words: str) -> str:
    return (
        f"The database {shown} is damaged, or is none ({words}). Expected a whole SQLite file. Look for a "
        "misspelt name; else stop the page, put the file aside, together with those beside it that end in "
        "-wal and -shm, and put the last backup in its place."
    )


def engine_of(address: str, shown: str, *, may_be_new: bool) -> Engine:
    """Connections to a database, whatever form its tables have."""
    url, options = _url(address), dict[str, Any]()
    if url.get_backend_name() == "postgresql":
        url, options = _of_server(url)
    file = file_of(address)
    nothing = ReadingError(
        f"{shown} holds no reading. Expected the database to which accounts were added. Look for a misspelt "
        "name, or begin with masi review account add."
    )
    if url.get_backend_name() == "sqlite":
        if not may_be_new and file and not (file.is_file() and file.stat().st_size):
            raise nothing
        if file and not file.exists():
            file.touch(mode=OWNERS_ALONE)  # grades, hashes of passwords; what lies beside it gets the same
        engine = create_engine(url, connect_args={"timeout": _BUSY_S}, pool_size=30, max_overflow=30)
        _for_many_at_once(engine)
    else:
        engine = create_engine(url, connect_args=options, pool_size=10, max_overflow=20, pool_pre_ping=True)
    is_reading = inspect(engine).has_table("alembic_version")
    if not may_be_new and not is_reading:
        engine.dispose()
        raise nothing
    if file and is_reading:  # no other file, which a misspelt name may be of
        _shut_to_others(file.resolve())
        _refuse_damaged(engine, shown)
    return engine


def _refuse_damaged(engine: Engine, shown: str) -> None:
    """Look through all pages of an SQLite file: what is done next may not need the damaged one."""
    with engine.connect().execution_options(reads_only=True) as connection:
        found = connection.exec_driver_sql("PRAGMA integrity_check(100)").scalars().all()
    if damage := [one for one in found if one != "ok" and not one.startswith(_ALTERED)]:
        engine.dispose()
        raise ReadingError(_damage(shown, damage[0].splitlines()[-1]))


def _shut_to_others(file: Path) -> None:
    """Take a file of ours, and what lies beside it, from others: earlier versions made it for all to read."""
    if sys.platform == "win32":
        return
    for one in (file.with_name(file.name + ending) for ending in ("", "-wal", "-shm")):
        try:
            status = one.stat()
        except FileNotFoundError:
            continue
        if status.st_uid == os.geteuid() and stat.S_IMODE(status.st_mode) & ~OWNERS_ALONE:
            one.chmod(status.st_mode & OWNERS_ALONE)


def _words(error: Exception) -> str:
    if isinstance(error, OSError):
        return reason_of(error)
    cause = error.orig if isinstance(error, DBAPIError) else error
    told = cause.args[0] if cause is not None and cause.args else ""
    words = str(told["M"] if isinstance(told, dict) else cause)  # a dict of PostgreSQL
    return words.splitlines()[0] if words else type(cause).__name__


def _for_many_at_once(engine: Engine) -> None:
    """Readers do not wait for writers, and whoever writes takes the right to at once."""

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begun(connection: Any) -> None:
        reads_only = connection.get_execution_options().get("reads_only", False)
        connection.exec_driver_sql("BEGIN" if reads_only else "BEGIN IMMEDIATE")


def put_away(engine: Engine) -> None:
    """Write everything into the one file of an SQLite database, and close it: a copy of it is then whole."""
    try:
        if engine.dialect.name == "sqlite":
            with engine.connect().execution_options(reads_only=True) as connection:
                connection.exec_driver_sql("COMMIT")
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
                connection.exec_driver_sql("BEGIN")
    except SQLAlchemyError as error:
        raise ReadingError(
            f"The last reads lie in the file beside the database that ends in -wal ({_words(error)}). "
            "Expected free space. Make some, and copy with masi review backup, not the file alone."
        ) from error
    finally:
        engine.dispose()


def migrate(engine: Engine, *, is_noted: bool = True) -> tuple[str, str]:
    """Bring the tables to the newest form, with a row of the audit trail where they had an earlier one.

    Returns
    -------
    (str, str)
        The form that they had, "" where there were none, and the one that they have.
    """
    from alembic import command

    with engine.begin() as connection:
        before = _form_of(connection)
        config = _alembic()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        form = _form_of(connection)
        if is_noted and before not in ("", form):
            with Session(connection) as session, session.begin():
                _note_brought(session, before, form)
    return before, form


def _note_brought(session: Session, before: str, form: str) -> None:
    """Add the row; refuse a trail that has no room for it, before the database says so in its own words."""
    end = session.execute(select(Head.number)).scalar_one()
    if session.get(Event, end + 1) is not None:
        raise ReadingError(
            f"The audit trail is written as far as row {end}, and there is a row {end + 1}: it was altered. "
            f"Expected one that takes a row more. The tables stay of form {before}: look for an earlier copy."
        )
    note_tool(session, Act.TABLES_BROUGHT, f"masi_vision {__version__}", old=before, new=form)


def _alembic() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    return config


def _form_of(connection: Connection) -> str:
    """Which form the tables have; "" where there are none."""
    return MigrationContext.configure(connection).get_current_revision() or ""


@contextmanager
def writing(engine: Engine) -> Iterator[Session]:
    """One transaction: all of it or nothing."""
    with Session(engine, expire_on_commit=False) as session, session.begin():
        yield session


@contextmanager
def looking(engine: Engine) -> Iterator[Session]:
    """A look at the database, all of it of one moment."""
    options: dict[str, Any] = {"reads_only": True}
    if engine.dialect.name == "postgresql":
        options["isolation_level"] = "REPEATABLE READ"
    with Session(engine.execution_options(**options), expire_on_commit=False) as session:
        yield session


def why_not_written(error: DBAPIError) -> Literal["full", "busy"] | None:
    """Why the database took nothing, as far as it is no fault of ours: full or away, or held by another.

    Notes
    -----
    SQLite says so in words, PostgreSQL by the class of its SQLSTATE: 53 lacks resources, 58 and 08 are of the
    system and the connection, 57 of a server that stops, 55 and 40 of others at work.
    """
    cause = error.orig
    told = cause.args[0] if cause is not None and cause.args else ""
    state = str(told.get("C", ""))[:2] if isinstance(told, dict) else ""
    words = str(cause).lower()
    if state in ("55", "40") or "locked" in words:
        return "busy"
    is_away = error.connection_invalidated or type(cause).__name__ == "InterfaceError"
    lacks = ("disk is full", "readonly", "disk i/o error", "unable to open")
    return (
        "full"
        if is_away or state in ("53", "58", "08", "57") or any(map(words.__contains__, lacks))
        else None
    )


def fact(session: Session, name: str) -> str:
    """A fact of the reading; empty where it is not known."""
    return session.execute(select(Fact.value).where(Fact.name == name)).scalar_one_or_none() or ""


def minute_of(utc: str) -> str:
    """A moment as people read it."""
    return f"{utc[:16].replace('T', ' ')} UTC"


def closed_utc(session: Session) -> str:
    """Since when a reading is closed; "" while it is open."""
    return fact(session, "closed")
