"""`masi blind`, `masi blind check`, `masi unblind`: coded sets, and the way back."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from masi_vision.cli.default_verb import unless_named
from masi_vision.cli.door import DONE, SOME_NOT_SCORED, verb
from masi_vision.cli.options import Overwrite, SettingsFile, make_ready, secret
from masi_vision.errors import KeyFileError, OutputError, reason_of

_JOURNAL = ".log"
_MAKE, _SHOWN = "make", 20

KeyFile = Annotated[Path, typer.Option("--key", metavar="FILE", help="The sealed key.")]
PassphraseFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="File whose first line is the passphrase; asked for where omitted."),
]


blind = typer.Typer(
    cls=unless_named(_MAKE),
    help="Code a study for blinded reading: masi blind STUDY --out SET --key KEY; masi blind check SET.",
    no_args_is_help=True,
)


def _passphrase(file: Path | None, *, new: bool = False) -> str:
    return secret("passphrase", file, "--passphrase-file", KeyFileError, twice=new)


@blind.command(_MAKE)
@verb
def make(
    study: Annotated[str, typer.Argument(help="STUDY/PATIENT/VISIT folders, or a manifest (.csv).")],
    out: Annotated[Path, typer.Option(help="Folder of the coded set; made new.")],
    key: KeyFile,
    readers: Annotated[
        list[str] | None,
        typer.Option("--reader", metavar="NAME", help="A reader; once for each. Two where omitted."),
    ] = None,
    repeats: Annotated[
        float, typer.Option(min=0, max=1, help="Hidden repeats, as a share of the visits.")
    ] = 0.2,
    settings: SettingsFile = None,
    passphrase_file: PassphraseFile = None,
) -> int:
    """Copy every visit under a code, without metadata, with hidden repeats; seal who is behind the codes."""
    from masi_vision.batch.address import is_remote, local_path
    from masi_vision.batch.study import visits_of
    from masi_vision.blinding.check import problems_of, tells_visits
    from masi_vision.blinding.coded_set import CodingPlan, make_set
    from masi_vision.blinding.key import check_passphrase, sealed
    from masi_vision.cli import screen
    from masi_vision.config import load_settings

    _refuse_beside(out, key)
    place = local_path(study)
    if not is_remote(study) and place.is_dir() and out.resolve().is_relative_to(place.resolve()):
        raise OutputError(
            f"{out} lies within the study, and its copies would be taken for photos of patients. "
            "Expected a place apart from it. Name another."
        )
    plan = CodingPlan(tuple(readers), repeats) if readers else CodingPlan(repeat_share=repeats)
    visits = visits_of(study, load_settings(settings).views)
    passphrase = _passphrase(passphrase_file, new=True)
    check_passphrase(passphrase)
    with screen.progress("Coding", "visits") as progress:
        made = make_set(visits, out, plan, progress)
    _write_key(key, sealed(made, passphrase))
    for why in made.left_out[:_SHOWN]:
        typer.echo(f"Left out: {why}", err=True)
    found = problems_of(out, made)
    if found:
        raise OutputError(f"The set is not clean: {found[0]} {_taken_away(out, key)}")
    told = tells_visits(out, made)
    _warn(told)
    repeated = sum(unit.repeat_of is not None for unit in made.units)
    typer.echo(
        f"{len(made.units)} units in {out}, {repeated} of them hidden repeats, for {', '.join(made.orders)}; "
        f"{len(made.left_out)} left out. Key: {key}. Keep it and its passphrase apart from the set."
    )
    return SOME_NOT_SCORED if made.left_out or told else DONE


def _refuse_beside(out: Path, key: Path) -> None:
    """A key within the set would go to the readers with it; an old key or set would be lost."""
    if out.exists():
        raise OutputError(
            f"{out} is there already. Expected a new folder: two sets must not mix. Name another."
        )
    if key.exists():
        raise OutputError(
            f"{key} is there already. Expected a new file: without it a set stays coded. Name another."
        )
    if key.resolve().is_relative_to(out.resolve()):
        raise OutputError(f"{key} lies within the set. Expected a place apart from it. Name another.")


def _taken_away(out: Path, key: Path) -> str:
    """Delete a set and a key that were made just now: they would stand in the way of the next ones."""
    try:
        shutil.rmtree(out)
        key.unlink()
    except OSError as error:
        return (
            f"Set and key cannot be taken away ({reason_of(error)}): delete {out} and {key}, and do not hand "
            "them out."
        )
    return (
        "Set and key were deleted. Expected that nothing tells a patient or visit. Code the study again: "
        "what chance made is another then. If the same is said, call that reader, patient or visit otherwise."
    )


def _write_key(file: Path, content: bytes) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("xb") as stream:
            file.chmod(0o600)
            stream.write(content)
    except OSError as error:
        raise OutputError(
            f"{file} cannot be written ({reason_of(error)}). The set is useless without it: take it "
            "away and code the study anew."
        ) from error


@blind.command("check")
@verb
def check(
    folder: Annotated[Path, typer.Argument(metavar="SET", help="A coded set.")],
    key: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Its key: names and orders are held against it too."),
    ] = None,
    passphrase_file: PassphraseFile = None,
) -> int:
    """Look for every leak that is known: metadata, names, times, order, files that give a repeat away."""
    from masi_vision.blinding.check import problems_of, tells_visits
    from masi_vision.blinding.coded_set import read_contents
    from masi_vision.blinding.key import opened

    contents = read_contents(folder)
    opened_key = None
    if key is not None:
        _noted(key, "check", "checked the coded set")
        opened_key = opened(key, _passphrase(passphrase_file))
    found = problems_of(folder, opened_key)
    for one in found:
        typer.echo(one)
    if found:
        typer.echo(f"masi: {len(found)} leaks or faults. Do not hand the set out.", err=True)
        return 2
    told = tells_visits(folder, opened_key) if opened_key else []
    _warn(told)
    held = "" if key else " Names and orders were not held against the key: name it with --key."
    clean = "Clean but for what was warned of" if told else "Clean"
    typer.echo(f"{clean}: {len(contents.codes)} units, {len(contents.photos)} photos.{held}")
    return SOME_NOT_SCORED if told else DONE


def _warn(told: list[str]) -> None:
    for one in told:
        typer.echo(f"Warning: {one}", err=True)


def _noted(key: Path, what: str, reason: str, **facts: Any) -> None:
    from masi_vision.blinding.journal import note, system_user
    from masi_vision.blinding.key import set_of

    key = key.resolve()  # one key has one journal, by whatever link it is named
    note(
        key.with_name(key.name + _JOURNAL),
        who=system_user(),
        what=what,
        reason=reason,
        set=set_of(key),
        **facts,
    )


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
        read_allocation,
        read_tables,
        unblinded,
        unlocked_reads,
        unread,
    )
    from masi_vision.csv_table import csv_text
    from masi_vision.written import write_file

    if not reason.strip() or (before_lock is not None and not before_lock.strip()):
        raise KeyFileError("The reason is empty. Expected why the code is broken, in words.")
    tables = read_tables(results)
    arms = read_allocation(allocation) if allocation else None
    _refuse_early([*unlocked_reads(tables), *_not_whole(results, {one.name for one in tables})], before_lock)
    _refuse_sources(out, results)
    make_ready(out, (table.name for table in tables), overwrite=overwrite)
    facts = {"arms": "yes" if arms is not None else "no", "before_lock": before_lock or ""}
    _noted(key, "asked to unblind", reason, results=results.name, **facts)
    opened_key = opened(key, _passphrase(passphrase_file))
    made = [unblinded(table, opened_key, arms) for table in tables]
    _refuse_early(unread(tables, opened_key), before_lock)
    _noted(key, "unblinded", reason, results=results.name, **facts)
    for table in made:
        write_file(out / table.name, csv_text(table.columns, table.rows), private=True)
    typer.echo(f"{len(made)} tables in {out}. Noted in {key.name + _JOURNAL}.")
    return DONE


def _refuse_sources(out: Path, results: Path) -> None:
    """Names beside codes break the code for who has the codes; tables over their source lose it."""
    folder = results if results.is_dir() else results.parent
    if out.resolve() == folder.resolve():
        raise OutputError(f"{out} holds what is read. Expected a folder of its own. Name another.")


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
