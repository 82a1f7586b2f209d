"""Results at an address: made in a folder of this machine, and brought there when a run ends."""

from __future__ import annotations

import getpass
import hashlib
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from masi_vision.batch.address import is_remote, local_path, remote, shown, words_of
from masi_vision.batch.history import HISTORY, merged
from masi_vision.batch.ledger import LEDGER
from masi_vision.batch.results import LOCK
from masi_vision.errors import OutputError, StudyError
from masi_vision.report.pictures import MASKS, OVERLAYS
from masi_vision.report.tables import TABLES
from masi_vision.visit.folder import SHARDS

if TYPE_CHECKING:
    from upath import UPath

_THERE = "at-the-address"


@contextmanager
def mirrored(out: str, *, write: bool) -> Iterator[Path]:
    """A folder of this machine for results that belong at `out`; `out` itself where that is near.

    Notes
    -----
    The folder here is taken away once its results are at the address. It stays after a run that was killed,
    and the next run on this machine goes on from it: the ledger at the address then counts as that of a
    shard.

    Raises
    ------
    OutputError
        Another run holds the address, or it cannot be read or written.
    """
    if not is_remote(out):
        yield local_path(out)
        return
    with _said(out):
        there = remote(out)
    here = _folder_here(out)
    if not write:
        with tempfile.TemporaryDirectory() as made:
            copy = Path(made)
            if (here / LEDGER).exists():
                shutil.copy2(here / LEDGER, copy / LEDGER)
            with _said(out):
                _fetch(there, copy, pictures=False)
            yield copy
        return
    with _held(there, out):
        with _said(out):
            _fetch(there, here, pictures=True)
        try:
            yield here
        finally:
            with _said(out):
                _store(here, remote(out))  # anew: servers end a connection that is idle as long as a run
            shutil.rmtree(here, ignore_errors=True)


def _folder_here(out: str) -> Path:
    digest = hashlib.sha256(out.rstrip("/").encode()).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"masi-{_user()}-{digest}"
    folder.mkdir(mode=0o700, exist_ok=True)
    facts = folder.lstat()
    owned = os.name != "posix" or (facts.st_uid == os.getuid() and not facts.st_mode & 0o077)
    if folder.is_symlink() or not owned:
        raise OutputError(
            f"{folder} is not a folder of yours alone. Expected one, for results with faces lie there while "
            "a run is at work. Take it away, or set TMPDIR."
        )
    return folder


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's account may be a number alone
        return f"uid{os.getuid()}"


def _fetch(there: UPath, here: Path, *, pictures: bool) -> None:
    """Ledger and history, beside our own where a killed run left them, and the pictures in place of ours."""
    if (there / LEDGER).exists() and not (here / LEDGER).exists():
        there.fs.get_file((there / LEDGER).path, str(here / LEDGER))
    elif (there / LEDGER).exists():
        beside = here / SHARDS / _THERE
        beside.mkdir(parents=True, exist_ok=True)
        there.fs.get_file((there / LEDGER).path, str(beside / LEDGER))
    if (there / HISTORY).exists():
        ours = (here / HISTORY).read_bytes() if (here / HISTORY).exists() else b""
        (here / HISTORY).write_bytes(merged((there / HISTORY).read_bytes(), ours))
    for kind in (OVERLAYS, MASKS) if pictures else ():
        for old in (here / kind).glob("*"):
            old.unlink()
        for file in (there / kind).iterdir() if (there / kind).exists() else ():
            (here / kind).mkdir(exist_ok=True)
            there.fs.get_file(file.path, str(here / kind / file.name))


def _store(here: Path, there: UPath) -> None:
    """Tables and pictures first, the ledger last: it never speaks of what is not there. Then what is gone."""
    pictures = [file for kind in (OVERLAYS, MASKS) for file in sorted((here / kind).glob("[!.]*"))]
    for file in [*pictures, *(here / name for name in (*TABLES, HISTORY)), here / LEDGER]:
        if file.exists():
            relative = file.relative_to(here).as_posix()
            there.fs.makedirs((there / relative).parent.path, exist_ok=True)
            there.fs.put_file(str(file), (there / relative).path)
    kept = {file.relative_to(here).as_posix() for file in pictures}
    for kind in (OVERLAYS, MASKS):  # all that were there were fetched
        for old in (there / kind).iterdir() if (there / kind).exists() else ():
            if f"{kind}/{old.name}" not in kept:
                old.unlink()


@contextmanager
def _held(there: UPath, out: str) -> Iterator[None]:
    """Hold the address by an object, which no system takes away when a run dies."""
    lock = there / LOCK
    with _said(out):
        there.fs.makedirs(there.path, exist_ok=True)
        if lock.exists():
            who = lock.read_text(encoding="utf-8")
            raise OutputError(
                f"Another run works in {shown(out)}, or was killed: {who}. Expected none. Wait until it is "
                f"done; if it is dead, take away {LOCK} there."
            )
        since = datetime.now(UTC).isoformat(timespec="seconds")
        lock.write_text(f"process {os.getpid()} on {platform.node()} since {since}", encoding="utf-8")
    try:
        yield
    finally:
        with _said(out):
            (remote(out) / LOCK).unlink(missing_ok=True)


@contextmanager
def _said(out: str) -> Iterator[None]:
    try:
        yield
    except (OutputError, StudyError):
        raise
    except Exception as error:  # every kind of storage has its own errors
        raise OutputError(
            f"{shown(out)} cannot be read or written ({words_of(error)}). Expected an address that "
            "you may write to. Check the address, the network and the credentials, and run again: what was "
            "done is kept."
        ) from error
