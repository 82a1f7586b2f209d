"""`masi unblind`: the way back from a coded set, and what is noted of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from masi_vision.cli.door import DONE, verb
from masi_vision.cli.options import Overwrite, make_ready
from masi_vision.cli.sealed_key import KeyFile, PassphraseFile, journal_of, noted, passphrase_of, tell_end
from masi_vision.errors import KeyFileError, OutputError

if TYPE_CHECKING:
    from masi_vision.blinding.correction import FilingCorrection, Place
    from masi_vision.blinding.key import Key
    from masi_vision.blinding.unblind import Table

CORRECTIONS, UNBLINDED = "corrections", "unblinded"
"""How the log calls the table of corrections, and a code that was broken."""


@verb
def unblind(
    results: Annotated[Path, typer.Argument(help="Folder with tables of a coded set, or one table.")],
    key: KeyFile,
    reason: Annotated[str, typer.Option(help="Why the code is broken; noted beside the key.")],
    out: Annotated[Path, typer.Option(help="Folder for the tables with patients and visits.")],
    allocation: Annotated[
        Path | None, typer.Option(metavar="FILE", help="CSV with patient,arm: adds the arm.")
    ] = None,
    corrections: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="CSV of visits whose photos were filed wrong: "
            "patient,visit,correct_patient,correct_visit,reason; set where it is to hold for that set alone.",
        ),
    ] = None,
    before_lock: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Why before all reads are locked.")
    ] = None,
    passphrase_file: PassphraseFile = None,
    overwrite: Overwrite = False,
) -> int:
    """Break the code: put patients, visits and arms back into tables of a coded set, and note who did it."""
    from hashlib import sha256

    from masi_vision.blinding.correction import read_corrections, settled
    from masi_vision.blinding.key import opened
    from masi_vision.blinding.record import FINGERPRINTS, content_of
    from masi_vision.blinding.unblind import (
        CODING,
        read_allocation,
        read_tables,
        unlocked_reads,
        unread,
        unscored,
    )
    from masi_vision.csv_table import csv_text

    if not reason.strip() or (before_lock is not None and not before_lock.strip()):
        raise KeyFileError("The reason is empty. Expected why the code is broken, in words.")
    _refuse_beside(results, corrections)
    tables = read_tables(results)
    beside = {"allocation": allocation, CORRECTIONS: corrections}
    given = {what: content_of(file) for what, file in beside.items() if file is not None}
    arms = read_allocation(allocation) if allocation else None
    told = read_corrections(corrections) if corrections else []
    names = [table.name for table in tables]
    _refuse_early([*unlocked_reads(tables), *_not_whole(results, set(names))], before_lock)
    _refuse_sources(out, results, names)
    make_ready(out, (), overwrite=overwrite)
    facts = {
        "results": results.name,
        "arms": "yes" if arms is not None else "no",
        "before_lock": before_lock or "",
        "read": {table.name: sha256(table.content).hexdigest() for table in tables if not table.is_opened},
        **({CORRECTIONS: len(told)} if told else {}),
    }
    noted(key, "asked to unblind", reason, **facts)
    opened_key = opened(key, passphrase_of(passphrase_file))
    changes = settled(told, opened_key, corrections.name if corrections else "")
    made = _opened_tables(tables, opened_key, arms, changes)
    _refuse_early([*unread(tables, opened_key), *unscored(tables, opened_key)], before_lock)
    texts = {table.name: csv_text(table.columns, table.rows).encode() for table in made}
    texts |= _run_of(results, names)
    earlier = _in_the_way(out, texts, key, opened_key, overwrite=overwrite)
    read = {table.name: table.content for table in tables if table.is_opened} | given
    files = {"read": read, "written": texts, "taken_away": {file.name: content_of(file) for file in earlier}}
    _say_other_corrections(key, opened_key, given.get(CORRECTIONS))
    end = noted(key, UNBLINDED, reason, **facts, **{FINGERPRINTS: _fingerprints(opened_key, files)})
    _write(texts, out, earlier)
    typer.echo(f"{len(tables)} tables and {CODING} in {out}. Noted in {journal_of(key).name}.")
    _say_corrected(changes, opened_key, is_allocated=arms is not None)
    _say_copied(opened_key, changes)
    tell_end(key, end)
    return DONE


def _opened_tables(
    tables: Sequence[Table],
    key: Key,
    arms: Mapping[str, str] | None,
    changes: Mapping[Place, FilingCorrection],
) -> list[Table]:
    """The tables by the corrected names, and the coding, which tells those of the key too."""
    from masi_vision.blinding.correction import filed_right
    from masi_vision.blinding.unblind import coding_table, unblinded

    as_corrected = filed_right(key, changes)
    if arms is not None:
        arms = {**arms, **dict.fromkeys(_not_counted(changes), "")}
    moved = {unit.code for unit in key.units if (unit.patient, unit.visit) in changes} if changes else None
    return [*(unblinded(table, as_corrected, arms, moved) for table in tables), coding_table(key, changes)]


def _not_counted(changes: Mapping[Place, FilingCorrection]) -> list[str]:
    """How those are called whose photos are not to be counted."""
    return [one.correct[0] for one in changes.values() if not one.is_counted]


def _say_corrected(changes: Mapping[Place, FilingCorrection], key: Key, *, is_allocated: bool) -> None:
    """Say how much was corrected, whom to leave out, and which names the key does not have."""
    from masi_vision.blinding.unblind import CODING

    if not changes:
        return
    moved = [unit for unit in key.units if (unit.patient, unit.visit) in changes]
    repeats = sum(unit.repeat_of is not None for unit in moved)
    typer.echo(
        f"Corrected: {len(moved)} of {len(key.units)} units, hidden repeats among them: {repeats}. {CODING} "
        "has both names, and why."
    )
    if not_counted := _not_counted(changes):
        typer.echo(
            f"Not to be counted: {', '.join(not_counted)}, in every table and without an arm. Leave them out "
            "with --without of the verbs that read the tables."
        )
    unknown = {one.correct[1] for one in changes.values()} - {unit.visit for unit in key.units}
    if not is_allocated:  # whom it does not name has no arm, and is refused
        patients = {one.correct[0] for one in changes.values()} - {unit.patient for unit in key.units}
        unknown |= patients - set(not_counted)
    if unknown:
        typer.echo(
            f"masi: nothing was coded under the name {', '.join(sorted(unknown))}, which a correction gives. "
            "Expected it of who has no photo but those that were filed wrong. Look for a misspelt name.",
            err=True,
        )


def _say_copied(key: Key, changes: Mapping[Place, FilingCorrection]) -> None:
    """Say which photos stand in the tables as those of two places, for all that was corrected."""
    from masi_vision.blinding.correction import filed_right
    from masi_vision.blinding.originals import copied

    remedy = "Find out whose it is, and break the code again with --corrections: the others do not count."
    for one in copied(filed_right(key, changes), remedy, within_visits=False):
        typer.echo(f"Warning: {one}", err=True)


def _say_other_corrections(key: Path, opened_key: Key, content: bytes | None) -> None:
    """Say that the last opening corrected otherwise, or nothing: its tables and these do not go together."""
    from masi_vision.blinding.journal import read_journal
    from masi_vision.blinding.record import FINGERPRINTS

    entries = [one for one in read_journal(journal_of(key)) if one["what"] == UNBLINDED]
    last: Mapping[str, Any] = next(
        (one for one in reversed(entries) if one.get("set") == opened_key.set_id), {}
    )
    before = last.get(FINGERPRINTS, {}).get("read", {}).get(CORRECTIONS)
    now = None if content is None else opened_key.fingerprint(content)
    if last and before != now:
        applied = f"applied {last[CORRECTIONS]} corrections" if before else "applied no corrections"
        here = "others" if before and now else "some" if now else "none"
        typer.echo(
            f"Warning: the call of {last['utc']} {applied}, and this one {here}. Expected the same, but for "
            "what was found since. Use no table of that call, and nothing that was made of one, beside "
            "these.",
            err=True,
        )


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


def _refuse_beside(results: Path, corrections: Path | None) -> None:
    """A table of visits among the results would be taken for one of codes."""
    if corrections and results.is_dir() and corrections.resolve().parent == results.resolve():
        raise OutputError(
            f"{corrections.name} lies among the results, and is none. Expected it elsewhere, apart from what "
            "holds codes. Move it."
        )


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
    if its_own := sorted(tables & {SCORES_CSV, REGIONS_CSV}):
        yield from filter(None, (why_stopped(folder), *(why_cut_short(folder / name) for name in its_own)))


def _refuse_early(against: Iterable[str], before_lock: str | None) -> None:
    found = list(against)
    if found and before_lock is None:
        raise KeyFileError(
            f"The code is not broken: {'; '.join(found)}. Expected locked reads, and scores of a "
            "run that is finished. Complete what still can be, or say why it must be now with --before-lock."
        )
