"""`masi blind codes`, `masi blind reseal`, `masi blind log`: what the keeper of a key does with it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from masi_vision.cli.door import DONE, MUST_CHANGE, verb
from masi_vision.cli.options import secret
from masi_vision.cli.sealed_key import (
    CODED,
    NamedKey,
    PassphraseFile,
    journal_of,
    noted,
    passphrase_of,
    tell_end,
    why_not_last_sealed,
)
from masi_vision.errors import KeyFileError

if TYPE_CHECKING:
    from masi_vision.blinding.key import Key

_LEAST_NAME = 3  # within a word; shorter ones stand in most words by chance
_PARTED = r"[\W_]*"
_NOT_BEGUN = (
    "The log does not begin with the coding of this set: it was begun anew, or the key is a copy, or of a "
    "version that noted no coding."
)
_DATE = re.compile(r"(?<!\d)\d{4}-\d{2}-\d{2}(?!\d)")


@verb
def codes(
    key: NamedKey,
    patient: Annotated[str, typer.Option(metavar="NAME", help="As the study names the patient.")],
    reason: Annotated[str, typer.Option(help="Why it is asked, without a name; noted beside the key.")],
    passphrase_file: PassphraseFile = None,
) -> int:
    """Print the codes of one patient, as where consent is withdrawn; all others stay sealed."""
    from masi_vision.blinding.key import opened
    from masi_vision.blinding.record import FINGERPRINTS

    if not reason.strip():
        raise KeyFileError("The reason is empty. Expected why the codes are asked for, in words.")
    if any(_stands_in(reason, part) for part in patient.split("/")):
        raise KeyFileError(
            "The reason names the patient, or the site. Expected one without: it stands in the log beside "
            "the key. Write it without the name."
        )
    noted(key, "asked for a patient's codes", reason)
    opened_key = opened(key, passphrase_of(passphrase_file))
    name = _as_in_key(opened_key, patient)
    found = sorted(unit.code for unit in opened_key.units if unit.patient == name)
    left_out = [one for one in opened_key.left_out if one.patient == name]
    if not found and not left_out:
        raise KeyFileError(
            f"The key has no patient {patient!r}. Expected one of the study, as its folder or manifest is "
            "called. Look for a misspelt name."
        )
    listed = opened_key.fingerprint("".join(f"{code}\n" for code in found).encode())
    end = noted(key, "told a patient's codes", reason, units=len(found), **{FINGERPRINTS: {"codes": listed}})
    for code in found:
        typer.echo(code)
    if left_out:
        typer.echo(f"{len(left_out)} photos or visits of this patient were left out of the set.", err=True)
    tell_end(key, end)
    return DONE


def _stands_in(text: str, name: str) -> bool:
    """Whether a name is a word of a text, however it is parted, or a longer one within a word."""
    from masi_vision.names import folded

    plain, within = (folded(unicodedata.normalize("NFKC", one)) for one in (name, text))
    within = _DATE.sub(" ", within)  # the day of a date is no patient 12
    if len(plain) == 1 and plain.isascii() and plain.isalpha():  # nor is an article a site
        return False
    pieces = re.findall(r"[^\W\d_]|\d+", plain)  # a letter, or a number: 3 is 03
    signs = [rf"(?:0{_PARTED})*{_PARTED.join(one.lstrip('0') or '0')}" for one in pieces]
    whole = rf"(?<![^\W_]){_PARTED.join(signs)}(?![^\W_])"
    return bool(pieces and re.search(whole, within)) or (len(plain) >= _LEAST_NAME and plain in within)


def _as_in_key(key: Key, patient: str) -> str:
    """The patient's name as the study wrote it: an accented letter may be typed otherwise."""
    from masi_vision.names import as_known

    names = {unit.patient for unit in key.units} | {one.patient for one in key.left_out}
    return as_known(patient, names)


@verb
def reseal(
    key: NamedKey,
    passphrase_file: PassphraseFile = None,
    new_passphrase_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="File whose first line is the new one; asked for where omitted."),
    ] = None,
) -> int:
    """Give a key another passphrase. Copies that were made of it before open with the old one."""
    from hashlib import sha256

    from masi_vision.blinding.key import check_passphrase, opened, sealed
    from masi_vision.written import write_file

    noted(key, "asked to reseal", "another passphrase")
    old = passphrase_of(passphrase_file)
    opened_key = opened(key, old)
    new = secret("new passphrase", new_passphrase_file, "--new-passphrase-file", KeyFileError, twice=True)
    check_passphrase(new, before=old)
    content = sealed(opened_key, new)
    write_file(key.resolve(), content, private=True)
    end = noted(key, "resealed", "another passphrase", key_sha256=sha256(content).hexdigest())
    typer.echo(f"{key} has another passphrase. Take away every copy that opens with the old one.")
    tell_end(key, end)
    return DONE


@verb
def log(
    key: NamedKey,
    head: Annotated[
        str | None,
        typer.Option(metavar="SHA256", help="A hash that a command ended with: it must be in the log."),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A table: which lines name it? Opens the key."),
    ] = None,
    passphrase_file: PassphraseFile = None,
) -> int:
    """Look whether the log of a key is as it was written; without --file nothing is opened."""
    from masi_vision.blinding.journal import clock_set_back, read_journal
    from masi_vision.blinding.record import content_of

    sought = _sha256_in(head) if head is not None else None
    content = content_of(file) if file is not None else b""
    entries = read_journal(journal_of(key))
    code = _said_of_log(key, entries, sought)
    moments = [(number, entry["utc"].partition("+")[0]) for number, entry in enumerate(entries, 1)]
    for one in clock_set_back(moments, "Line", "machine's"):
        typer.echo(one)
    if other := why_not_last_sealed(key, entries):
        typer.echo(f"masi: {other}", err=True)
        code = MUST_CHANGE
    if file is not None and entries:
        return max(code, _said_of_file(key, file.name, content, passphrase_file))
    if code == DONE:
        tell_end(key, entries[-1]["sha256"])
    return code


def _said_of_log(key: Path, entries: Sequence[Mapping[str, Any]], head: str | None) -> int:
    """Print whether a log is whole; the exit code."""
    lacks_coding = bool(entries) and CODED not in _told_of_set(key, entries)
    if lacks_coding:
        typer.echo(_NOT_BEGUN)
    found = list(_faults(key, entries, head))
    for one in found:
        typer.echo(one)
    if found:
        typer.echo(
            "masi: the log is not whole. Find out who changed it, and look for an earlier copy.", err=True
        )
    elif lacks_coding:
        typer.echo(
            f"masi: the {len(entries)} lines that are there follow each other; the coding is not among them.",
            err=True,
        )
    else:
        last = entries[-1]
        lines = f"{len(entries)} lines, the last of {last['utc']} ({last['what']})"
        typer.echo(f"The log is as it was written: {lines}.")
    return MUST_CHANGE if found or lacks_coding else DONE


def _told_of_set(key: Path, entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the lines of a log tell of the set of its key."""
    from masi_vision.blinding.key import set_of

    set_id = set_of(key)
    return [entry["what"] for entry in entries if entry.get("set") == set_id]


def _sha256_in(typed: str) -> str:
    """A hash as it was copied from a screen or a letter."""
    digest = typed.strip().casefold()
    if not re.fullmatch("[0-9a-f]{64}", digest):
        raise KeyFileError(
            f"--head {typed.strip()!r} is no SHA-256. Expected the 64 digits and letters from a to f that a "
            "command ended with. Look for one that was lost or mistyped."
        )
    return digest


def _faults(key: Path, entries: Sequence[Mapping[str, Any]], head: str | None) -> Iterator[str]:
    """What speaks against a log whose lines follow each other, a sentence each."""
    if not entries:
        yield (
            f"There is no {journal_of(key).name} beside the key, or it is empty: it was taken away, or never "
            "begun."
        )
    told = _told_of_set(key, entries)
    if CODED in told and told[0] != CODED:
        yield "The coding of this set is not the first that was noted of it: lines were put before it."
    if head is not None and head not in {entry["sha256"] for entry in entries}:
        yield f"No line has the hash {head[:16]}...: lines were taken off the end, or written anew."


def _said_of_file(key: Path, name: str, content: bytes, passphrase_file: Path | None) -> int:
    """Print which lines of the log name a file; the exit code."""
    from masi_vision.blinding.journal import read_journal
    from masi_vision.blinding.key import opened
    from masi_vision.blinding.record import Record

    why = "held a file against the log"
    noted(key, "asked which lines name a file", why)
    opened_key = opened(key, passphrase_of(passphrase_file))
    lines = Record(opened_key, read_journal(journal_of(key))).lines_naming(content)
    end = noted(key, "told which lines name a file", why, lines=len(lines))
    for line in lines:
        typer.echo(f"{name}: {line}")
    if not lines:
        typer.echo(f"masi: no line of {journal_of(key).name} names {name} as it is now.", err=True)
    tell_end(key, end)
    return DONE if lines else MUST_CHANGE
