"""Who made and opened a sealed key, when and why: a file of lines, each chained to the one before."""

from __future__ import annotations

import getpass
import hashlib
import json
import os
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from masi_vision.errors import OutputError, reason_of

_START = "0" * 64
_HASH = "sha256"
_PATIENCE_S = 10.0


def system_user() -> str:
    """The system's user, whatever the environment calls him."""
    if os.name != "posix":
        return getpass.getuser()
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"


def note(journal: Path, **facts: Any) -> str:
    """Add a line: the facts, the time in UTC, and the hash of everything before.

    Returns
    -------
    str
        The hash that the journal ends with now.

    Raises
    ------
    OutputError
        The journal cannot be written, or was changed: nothing is opened without a trace.
    """
    try:
        with FileLock(f"{journal}.lock", timeout=_PATIENCE_S):  # two lines at once would follow the same one
            return _add(journal, facts)
    except Timeout as error:
        raise OutputError(
            f"{journal.name} is being written by another run. Expected none. Try again when it is done."
        ) from error
    except OSError as error:
        raise OutputError(
            f"{journal} cannot be written ({reason_of(error)}). Expected to note who breaks the code. "
            "Make free space, and the folder of the key writable."
        ) from error


def _add(journal: Path, facts: dict[str, Any]) -> str:
    entries = read_journal(journal)
    entry = {"utc": datetime.now(UTC).isoformat(timespec="seconds"), **facts}
    digest = _hash_of(entry, entries[-1][_HASH] if entries else _START)
    line = json.dumps({**entry, _HASH: digest}, ensure_ascii=False) + "\n"
    journal.touch(mode=0o600)  # a new one is for its owner alone to read
    before = journal.read_bytes()
    if before and not before.endswith(b"\n"):  # an editor or a power cut took it
        line = "\n" + line
    try:
        with journal.open("ab") as file:
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        os.truncate(journal, len(before))  # half a line would look like a change
        raise
    return digest


def read_journal(journal: Path) -> list[dict[str, Any]]:
    """What stands in it, line by line, each with its hash as ``sha256``; nothing where there is none.

    Raises
    ------
    OutputError
        It was changed, ends in half a line, or cannot be read.
    """
    try:
        # What is no UTF-8, as half a letter, reads as no JSON then: its line is told as broken.
        text = journal.read_text(encoding="utf-8", errors="backslashreplace") if journal.exists() else ""
    except OSError as error:
        raise OutputError(
            f"{journal} cannot be read ({reason_of(error)}). Expected the log of the key. Make it readable."
        ) from error
    # Lines end at a line feed alone: what a person wrote may hold other ends of a line (U+2028).
    lines = text.removesuffix("\n").split("\n") if text else []
    broken = first_broken(lines)
    if broken == len(lines) and not text.endswith("\n"):
        raise OutputError(
            f"{journal.name} ends in half a line ({broken}), as where the disk was full or the power failed. "
            "Expected whole lines. Keep a copy of it, take that piece off its end, and hold the rest against "
            "the hash that you kept."
        )
    if broken is not None:
        raise OutputError(
            f"{journal.name} was changed at line {broken}. Expected it as it was written. Find out who "
            "changed it, and put it aside before you go on."
        )
    return [json.loads(line) for line in lines]


def clock_set_back(moments: Iterable[tuple[int, str]], what: str, whose: str) -> list[str]:
    """Where a clock was set back, a sentence each: nothing is altered, but times there mislead.

    Parameters
    ----------
    moments : iterable of (int, str)
        Number and time in UTC of each, in the order in which they were written.
    what, whose : str
        What they are, as "Row", and whose clock it is.
    """
    return [
        f"{what} {after} is of {later[:23]} and {what.lower()} {before} of {earlier[:23]} UTC: the {whose} "
        "clock was set back between them."
        for (before, earlier), (after, later) in pairwise(moments)
        if later < earlier
    ]


def first_broken(lines: list[str]) -> int | None:
    """Number of the first line that is not as it was written, from 1; None where all are.

    Notes
    -----
    Lines taken off the end leave no trace within the file: keep a copy of the last hash elsewhere.
    """
    before = _START
    for number, line in enumerate(lines, 1):
        try:
            entry = json.loads(line)
            told = entry.pop(_HASH)
        except (ValueError, KeyError, AttributeError, TypeError):
            return number
        if told != _hash_of(entry, before):
            return number
        before = told
    return None


def _hash_of(entry: dict[str, Any], before: str) -> str:
    text = json.dumps(entry, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(f"{before}\n{text}".encode()).hexdigest()
