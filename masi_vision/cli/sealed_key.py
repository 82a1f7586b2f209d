"""What the verbs that hold a sealed key share: its file, its passphrase, and the log beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

import typer

from masi_vision.cli.options import secret
from masi_vision.errors import KeyFileError

_JOURNAL = ".log"
CODED = "coded"
"""What the log of a key begins with."""

KeyFile = Annotated[Path, typer.Option("--key", metavar="FILE", help="The sealed key.")]
NamedKey = Annotated[Path, typer.Argument(metavar="KEY", help="The sealed key.")]
PassphraseFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="File whose first line is the passphrase; asked for where omitted."),
]


def passphrase_of(file: Path | None, *, new: bool = False) -> str:
    """The passphrase, from a file or typed; a new one is typed twice."""
    return secret("passphrase", file, "--passphrase-file", KeyFileError, twice=new)


def journal_of(key: Path) -> Path:
    """The log of a key: one key has one, by whatever link it is named."""
    key = key.resolve()
    return key.with_name(key.name + _JOURNAL)


def noted(key: Path, what: str, reason: str, **facts: Any) -> str:
    """Note what is done with a key, and return the hash that its log ends with.

    A lost log is told, and, where it is asked to open the key, an old key.
    """
    from masi_vision.blinding.journal import note, read_journal, system_user
    from masi_vision.blinding.key import set_of

    set_id, journal = set_of(key), journal_of(key)
    entries = read_journal(journal)
    if what != CODED and not entries:
        typer.echo(
            f"Warning: there is no {journal.name} beside the key, or it is empty: it is begun anew, and what "
            "was done with the key before stands nowhere. Expected the log that masi blind begins, but for a "
            "copy of a key and for a key of a version that noted no coding. Find out where it is.",
            err=True,
        )
        facts = {**facts, "log": "begun anew: there was none"}
    if what.startswith("asked") and (told := why_not_last_sealed(key, entries)):
        typer.echo(f"Warning: {told}", err=True)
        facts = {**facts, "key": "not the one last sealed"}
    return note(journal, who=system_user(), what=what, reason=reason, set=set_id, **facts)


def why_not_last_sealed(key: Path, entries: Sequence[Mapping[str, Any]]) -> str:
    """That a key is another file than its log tells of last; blank where it is that, or the log is silent."""
    from masi_vision.blinding.key import set_of

    set_id = set_of(key)
    hashes = [one["key_sha256"] for one in entries if one.get("set") == set_id and "key_sha256" in one]
    if not hashes or sha256(key.read_bytes()).hexdigest() == hashes[-1]:
        return ""
    return (
        f"{key.name} is not the file that was last sealed, as its log tells: an old copy, which opens with "
        "the passphrase of then, or masi blind reseal was stopped. Expected the last one. Put it back, or "
        "reseal this one."
    )


def tell_end(key: Path, digest: str) -> None:
    """Print the hash that the log ends with: nothing within it tells that lines were taken off its end."""
    typer.echo(f"{journal_of(key).name} ends with {digest}. Keep this hash elsewhere.")
