"""`masi unblind`: the way back from a coded set, and what is noted of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from masi_vision.cli.door import DONE, verb
from masi_vision.cli.options import Overwrite, make_ready
from masi_vision.cli.sealed_key import KeyFile, PassphraseFile, journal_of, noted, passphrase_of, tell_end
from masi_vision.errors import KeyFileError, OutputError

if TYPE_CHECKING:
    from masi_vision.blinding.key import Key


@verb
def unblind(
    results: Annotated[Path, typer.Argument(help="Folder with tables of a coded set, or one table.")],
    key: KeyFile,
    reason: Annotated[str, typer.Option(help="Why the code is broken; noted beside the key.")],
    out: Annotated[Path, typer.Option(help="Folder for the tables with patients and visits.")],
    allocation: Annotated[
        Path | None, typer.Option(metavar="FILE", help="CSV with patient,arm: adds the arm.")
    ] = None,
    before_lock: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Why before all reads are locked.")
    ] = None,
    passphrase_file: PassphraseFile = None,
    overwrite: Overwrite = False,
) -> int:
    """Break the code: put patients, visits and arms back into tables of a coded set, and note who did it."""
    from hashlib import sha256

    from masi_vision.blinding.key import opened
    from masi_vision.blinding.record import FINGERPRINTS, content_of
    from masi_vision.blinding.unblind import (
        CODING,
        coding,
        read_allocation,
        read_tables,
        unblinded,
        unlocked_reads,
        unread,
        unscored,
    )
    from masi_vision.csv_table import csv_text

    if not reason.strip() or (before_lock is not None and not before_lock.strip()):
        raise KeyFileError("The reason is empty. Expected why the code is broken, in words.")
    tables = read_tables(results)
    allocated = content_of(allocation) if allocation else b""
    arms = read_allocation(allocation) if allocation else None
    names = [table.name for table in tables]
    _refuse_early([*unlocked_reads(tables), *_not_whole(results, set(names))], before_lock)
    _refuse_sources(out, results, names)
    make_ready(out, (), overwrite=overwrite)
    facts = {
        "results": results.name,
        "arms": "yes" if arms is not None else "no",
        "before_lock": before_lock or "",
        "read": {table.name: sha256(table.content).hexdigest() for table in tables if not table.is_opened},
    }
    noted(key, "asked to unblind", reason, **facts)
    opened_key = opened(key, passphrase_of(passphrase_file))
    made = [*(unblinded(table, opened_key, arms) for table in tables), coding(opened_key)]
    _refuse_early([*unread(tables, opened_key), *unscored(tables, opened_key)], before_lock)
    texts = {table.name: csv_text(table.columns, table.rows).encode() for table in made}
    texts |= _run_of(results, names)
    earlier = _in_the_way(out, texts, key, opened_key, overwrite=overwrite)
    read = {table.name: table.content for table in tables if table.is_opened}
    read |= {"allocation": allocated} if allocation else {}
    files = {"read": read, "written": texts, "taken_away": {file.name: content_of(file) for file in earlier}}
    end = noted(key, "unblinded", reason, **facts, **{FINGERPRINTS: _fingerprints(opened_key, files)})
    _write(texts, out, earlier)
    typer.echo(f"{len(tables)} tables and {CODING} in {out}. Noted in {journal_of(key).name}.")
    tell_end(key, end)
    return DONE


def _run_of(results: Path, tables: Sequence[str]) -> dict[str, bytes]:
    """What says how the software's tables were made, and whether its run was whole: it goes with them."""
    from masi_vision.report.tables import REGIONS_CSV, RUN_JSON, SCORES_CSV

    file = (results if results.is_dir() else results.parent) / RUN_JSON
    goes = file.is_file() and not {SCORES_CSV, REGIONS_CSV}.isdisjoint(tables)
    return {RUN_JSON: file.read_bytes()} if goes else {}


def _in_the_way(
    out: Path, texts: Mapping[str, bytes], key: Path, opened_key: Key, *, overwrite: bool
) -> list[Path]:
    """What earlier calls of this key wrote and this one takes away; refused is what must not be lost."""
    from masi_vision.blinding.journal import read_journal
    from masi_vision.blinding.record import Record, content_of
    from masi_vision.blinding.unblind import of_earlier_calls

    if overwrite:
        return of_earlier_calls(out, texts, Record(opened_key, read_journal(journal_of(key))))
    for name, text in texts.items():
        if (out / name).exists() and content_of(out / name) != text:
            raise OutputError(
                f"{out / name} is there already, and is another. Expected a new folder, or --overwrite."
            )
    return []


def _fingerprints(key: Key, files: Mapping[str, Mapping[str, bytes]]) -> dict[str, dict[str, str]]:
    """Of files by what is done with them; what is done with none is left out."""
    return {
        how: {name: key.fingerprint(content) for name, content in of.items()}
        for how, of in files.items()
        if of
    }


def _write(texts: Mapping[str, bytes], out: Path, earlier: Sequence[Path]) -> None:
    """Write tables in place of those of earlier calls."""
    from masi_vision.written import write_file, writing

    for file in earlier:
        with writing(file):
            file.unlink()
        typer.echo(f"{file.name} of an earlier call was taken away: {out} holds one call's tables.", err=True)
    for name, text in texts.items():
        write_file(out / name, text, private=True)


def _refuse_sources(out: Path, results: Path, names: Sequence[str]) -> None:
    """Names beside codes break the code for who has the codes; tables over their source lose it."""
    from masi_vision.blinding.unblind import CODING

    folder = results if results.is_dir() else results.parent
    if out.resolve() == folder.resolve():
        raise OutputError(f"{out} holds what is read. Expected a folder of its own. Name another.")
    if CODING in names:
        raise OutputError(
            f"{results.name} holds {CODING}, which this command writes. Expected results of a coded set. "
            "Take it out, or call it otherwise."
        )


def _not_whole(results: Path, tables: set[str]) -> Iterator[str]:
    """What speaks against the scores of a run that was stopped, or that lost rows since, a phrase each."""
    from masi_vision.report.tables import REGIONS_CSV, SCORES_CSV, why_cut_short, why_stopped

    folder = results if results.is_dir() else results.parent
    if tables.isdisjoint((SCORES_CSV, REGIONS_CSV)):
        return
    yield from filter(None, (why_stopped(folder), why_cut_short(folder) if SCORES_CSV in tables else ""))


def _refuse_early(against: Iterable[str], before_lock: str | None) -> None:
    found = list(against)
    if found and before_lock is None:
        raise KeyFileError(
            f"The code is not broken: {'; '.join(found)}. Expected locked reads, and scores of a "
            "run that is finished. Complete what still can be, or say why it must be now with --before-lock."
        )
