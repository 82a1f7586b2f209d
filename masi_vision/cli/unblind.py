"""`masi unblind`: the way back from a coded set, and what is noted of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from masi_vision.cli.door import DONE, verb
from masi_vision.cli.options import Overwrite, make_ready
from masi_vision.cli.sealed_key import KeyFile, PassphraseFile, journal_of, noted, passphrase_of, tell_end
from masi_vision.errors import KeyFileError, OutputError


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
    from masi_vision.blinding.key import opened
    from masi_vision.blinding.unblind import (
        CODING,
        coding,
        opened_before,
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
    arms = read_allocation(allocation) if allocation else None
    names = [table.name for table in tables]
    _refuse_early([*unlocked_reads(tables), *_not_whole(results, set(names))], before_lock)
    _refuse_sources(out, results, names)
    earlier, run = opened_before(out, names), _run_of(results, names)
    make_ready(out, (*names, CODING, *run, *(file.name for file in earlier)), overwrite=overwrite)
    facts = {
        "results": results.name,
        "arms": "yes" if arms is not None else "no",
        "before_lock": before_lock or "",
        "read": {table.name: table.sha256 for table in tables}
        | ({"allocation": _sha256_of(allocation)} if allocation else {}),
    }
    noted(key, "asked to unblind", reason, **facts)
    opened_key = opened(key, passphrase_of(passphrase_file))
    made = [*(unblinded(table, opened_key, arms) for table in tables), coding(opened_key)]
    _refuse_early([*unread(tables, opened_key), *unscored(tables, opened_key)], before_lock)
    texts = {table.name: csv_text(table.columns, table.rows).encode() for table in made} | run
    end = _written(texts, out, earlier, lambda more: noted(key, "unblinded", reason, **facts, **more))
    typer.echo(f"{len(tables)} tables and {CODING} in {out}. Noted in {journal_of(key).name}.")
    tell_end(key, end)
    return DONE


def _run_of(results: Path, tables: Sequence[str]) -> dict[str, bytes]:
    """What says how the software's tables were made, and whether its run was whole: it goes with them."""
    from masi_vision.report.tables import REGIONS_CSV, RUN_JSON, SCORES_CSV

    file = (results if results.is_dir() else results.parent) / RUN_JSON
    goes = file.is_file() and not {SCORES_CSV, REGIONS_CSV}.isdisjoint(tables)
    return {RUN_JSON: file.read_bytes()} if goes else {}


def _written(
    texts: Mapping[str, bytes], out: Path, earlier: Sequence[Path], note: Callable[[dict[str, Any]], str]
) -> str:
    """Write tables in place of those of an earlier call, once it is noted; the log's last hash."""
    from hashlib import sha256

    from masi_vision.written import write_file, writing

    facts: dict[str, Any] = {"written": {name: sha256(text).hexdigest() for name, text in texts.items()}}
    if earlier:
        facts["taken_away"] = {file.name: _sha256_of(file) for file in earlier}
    end = note(facts)
    for file in earlier:
        with writing(file):
            file.unlink()
        typer.echo(f"{file.name} of an earlier call was taken away: {out} holds one call's tables.", err=True)
    for name, text in texts.items():
        write_file(out / name, text, private=True)
    return end


def _sha256_of(file: Path) -> str:
    from masi_vision.batch.job import sha256_of

    return sha256_of(file) or ""


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
