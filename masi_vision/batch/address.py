"""Where files lie: a path of this machine, or an address such as ``s3://bucket/study`` through fsspec."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from masi_vision.errors import StudyError, how_to_install
from masi_vision.names import View

if TYPE_CHECKING:
    from upath import UPath


_USER = re.compile(r"(?<=://)(?:[^/\n]*@|[^\[/:\s]*:(?!\d*(?:/|\s|$)|:)\S*@)")
"""Of an address. A password with a slash, which should be written %2F, is taken off too, but one that begins
with digits and a slash, which are taken for a port."""
_SIGNED_IN = re.compile(r"ftp://([^/:]*)(?::([^/]*))?@")
"""User and password of an FTP address, which fsspec takes as they are written."""
_QUERY = re.compile(r"(?<=://)([^\s?]*)\?[^\s'\"]*")
"""Of an address: signed links carry their secret there."""


def is_remote(address: str) -> bool:
    """Whether it is no path of this machine's own file system."""
    return "://" in address and not address.lower().startswith("file:")


def shown(text: str) -> str:
    """An address, or a sentence with addresses, without user, password and query: fit to be shown or kept."""
    return _QUERY.sub(r"\1", _USER.sub("", text))


def local_path(address: str) -> Path:
    """The path behind a local address: ``file:`` and this machine's name are taken off, %20 is a space."""
    if not address.lower().startswith("file:"):
        return Path(address)
    path = re.sub(r"^//(localhost)?(?=/)|^/(?=/)", "", address[len("file:") :], flags=re.IGNORECASE)
    path = path.lstrip("/") if os.name == "nt" else path  # file:///C:/study is C:/study
    if "%00" in path:
        raise StudyError(f"{shown(address)} has a zero byte. Expected a path. Write it out.")
    return Path(path) if os.path.exists(path) else Path(_decoded(path))  # noqa: PTH110


def _decoded(text: str) -> str:
    """Part of an address with %20 as a space, and so on."""
    plain = re.sub(rb"%([0-9A-Fa-f]{2})", lambda found: bytes.fromhex(found[1].decode()), os.fsencode(text))
    return os.fsdecode(plain)


def remote(address: str) -> UPath:
    """An address as universal-pathlib takes it.

    Raises
    ------
    StudyError
        The extra ``cluster``, or the package for this kind of address, is not installed.
    Exception
        It cannot be reached, or is none: every kind of storage has its own errors.
    """
    try:
        from upath import UPath

        # A listing that is remembered hides changes.
        place = UPath(address, use_listings_cache=False, **_signed_in(address))
        place.fs  # noqa: B018 (opens the file system, or says what is missing)
    except ImportError as error:
        raise StudyError(
            f"{shown(address)} cannot be opened ({shown(str(error))}). Expected a path, or an address whose "
            f"package is installed. {how_to_install('s3' if address.startswith('s3:') else 'cluster')}; with "
            "the latter also gcsfs for gs://, adlfs for abfs://."
        ) from error
    return place


def _signed_in(address: str) -> dict[str, str]:
    """User and password of an FTP address in clear, for they may hold what an address cannot: %40 is an @."""
    found = _SIGNED_IN.match(address)
    return {"username": _decoded(found[1]), "password": _decoded(found[2] or "")} if found else {}


def mark_of(address: str) -> str | None:
    """What changes when a file changes: a hash of its size and of when it was written; None where none is.

    A hash, so that a ledger does not tell when a photo was taken.
    """
    if is_remote(address):
        try:
            place = remote(address)
            return _remote_mark(place.fs.info(place.path))
        except StudyError:
            raise
        except Exception:  # every kind of storage has its own errors
            return None
    try:
        status = os.stat(address)  # noqa: PTH116 (a string comes in, thousands of them)
    except OSError:
        return None
    # When it was changed at all too: renaming swaps two files of one size and of a ZIP's coarse times.
    return _hashed(status.st_size, status.st_mtime_ns, status.st_ctime_ns)


_WRITTEN = (
    *("ETag", "LastModified", "mtime", "modify", "Last-Modified"),
    *("modified", "last_modified", "etag", "created"),
)
"""As the kinds of storage call what changes when a file is written again: FTP says modify. What WebDAV calls
created does not change then: last, for a storage that tells nothing else."""
_FTP_TIME = re.compile(r"\d{14}")
"""Begins FTP's modify, to the second; of a server without MLSD fsspec puts there the minute of ``ls -l``."""


_OF_SIZE_ALONE = "size "
"""Begins a mark where a storage tells nothing else of a file."""


def _remote_mark(facts: Mapping[str, Any]) -> str:
    written = next((facts[name] for name in _WRITTEN if _tells_time(name, facts.get(name))), "")
    return ("" if written else _OF_SIZE_ALONE) + _hashed(facts.get("size"), written)


def _tells_time(name: str, value: object) -> bool:
    return bool(value) and (name != "modify" or bool(_FTP_TIME.match(str(value))))


def is_same_file(mark: str | None, known: str | None) -> bool:
    """Whether marks say that a file was not written again; never by its size alone."""
    return mark is not None and mark == known and not mark.startswith(_OF_SIZE_ALONE)


def _hashed(*facts: object) -> str:
    return hashlib.sha256(":".join(map(str, facts)).encode()).hexdigest()[:16]


def files_below(address: str) -> dict[Path, tuple[str, str | None]]:
    """Files below a remote folder, by one listing: path from the folder on, address, and mark (`mark_of`).

    The mark is None where the listing does not tell when a file was written: a web server tells it of each
    file when it is asked for that one.

    Raises
    ------
    StudyError
        The folder cannot be listed.
    """
    try:
        place = remote(address)
        found = place.fs.find(place.path, detail=True)
    except StudyError:
        raise
    except Exception as error:  # every kind of storage has its own errors
        raise StudyError(
            f"{shown(address)} cannot be listed ({words_of(error)}). Expected a folder that you "
            "may read. Check the address, the network and the credentials."
        ) from error
    root = place.path.rstrip("/")
    below = {file: file.removeprefix(root).lstrip("/") for file in found}
    listed = {file: place.fs.unstrip_protocol(file) for file in found}
    return {
        Path(below[file]): (
            # FTP and its like list paths on a host, and tell neither the host nor who signs in there.
            f"{address.rstrip('/')}/{below[file]}" if ":///" in listed[file] else listed[file],
            None if (mark := _remote_mark(facts)).startswith(_OF_SIZE_ALONE) else mark,
        )
        for file, facts in found.items()
    }


@contextmanager
def at_hand(photos: Mapping[View, str]) -> Iterator[dict[View, Path]]:
    """Photos as files of this machine: remote ones are fetched, and taken away again.

    Raises
    ------
    OSError
        One cannot be fetched.
    StudyError
        The package for an address is not installed.
    """
    with ExitStack() as stack:
        near: dict[View, Path] = {}
        if any(is_remote(address) for address in photos.values()):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="masi-")))
            with ThreadPoolExecutor(len(photos)) as at_once:  # each waits for the network
                fetched = at_once.map(lambda view: _fetched(photos[view], folder / view), photos)
                near = dict(zip(photos, fetched, strict=True))
        else:
            near = {view: Path(address) for view, address in photos.items()}
            for file in list(near.values())[1:]:
                _read_ahead(file)
        yield near


def _fetched(address: str, folder: Path) -> Path:
    if not is_remote(address):
        return Path(address)
    folder.mkdir()
    name = shown(address).rsplit("/", 1)[-1]
    try:
        place = remote(address)
        place.fs.get_file(place.path, str(folder / place.name))
    except StudyError:
        raise
    except FileNotFoundError as error:
        raise OSError(f"{name} is not at its address") from error
    except Exception as error:  # every kind of storage has its own errors
        raise OSError(f"{name} cannot be fetched ({type(error).__name__})") from error
    return folder / place.name


def _read_ahead(file: Path) -> None:
    """Let the system read a file while the one before is scored, where it can."""
    if hasattr(os, "posix_fadvise"):
        with contextlib.suppress(OSError):
            handle = os.open(file, os.O_RDONLY | os.O_NONBLOCK)  # a pipe, which is no photo, would wait
            try:
                os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_WILLNEED)
            finally:
                os.close(handle)


def words_of(error: Exception) -> str:
    """What a storage says, short and without user and password."""
    return (shown(str(error)).partition("\n")[0] or type(error).__name__)[:120]
