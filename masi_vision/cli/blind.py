"""`masi blind`, `masi blind check`: coded sets, and whether they are clean and those of their key."""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from masi_vision.cli.custody import codes, log, reseal
from masi_vision.cli.default_verb import unless_named
from masi_vision.cli.door import DONE, MUST_CHANGE, SOME_NOT_SCORED, verb
from masi_vision.cli.options import SettingsFile
from masi_vision.cli.sealed_key import (
    CODED,
    KeyFile,
    PassphraseFile,
    journal_of,
    noted,
    passphrase_of,
    tell_end,
)
from masi_vision.errors import BlindingError, KeyFileError, OutputError, reason_of

if TYPE_CHECKING:
    from masi_vision.blinding.coded_set import CodingPlan, SetContents
    from masi_vision.blinding.key import Key

_MAKE, _SHOWN = "make", 20

blind = typer.Typer(
    cls=unless_named(_MAKE),
    help="Code a study for blinded reading: masi blind STUDY --out SET --key KEY; masi blind check SET.",
    no_args_is_help=True,
)
blind.command("codes")(codes)
blind.command("reseal")(reseal)
blind.command("log")(log)


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
    from masi_vision.blinding.check import problems_of, warnings_of
    from masi_vision.blinding.coded_set import CodingPlan, coding
    from masi_vision.blinding.journal import read_journal
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
    views = load_settings(settings).views
    visits = visits_of(study, views)
    read_journal(journal_of(key))  # of a key that lay here before: what was changed is told before the work
    passphrase = passphrase_of(passphrase_file, new=True)
    check_passphrase(passphrase)
    with screen.progress("Coding", "visits") as progress, ExitStack() as undo:
        with coding(visits, out, plan, progress) as made:  # a kill may leave a key alone, and no set alone
            content = sealed(made, passphrase)
            _write_key(key, content, out, made.set_id, undo)
            facts = _facts_of(made, plan) | {"view_words": views.model_dump()}
            end = noted(key, CODED, "coded a study", **facts, key_sha256=sha256(content).hexdigest())
        undo.pop_all()
    for why in made.left_out[:_SHOWN]:
        typer.echo(f"Left out: {why}", err=True)
    found = problems_of(out, made)
    if found:
        noted(key, "found the set not clean", "checked what was coded")
        raise OutputError(f"The set is not clean: {found[0]} {_taken_away(out, key)}")
    told = warnings_of(out, made)
    _warn(told)
    repeated = sum(unit.repeat_of is not None for unit in made.units)
    typer.echo(
        f"{len(made.units)} units in {out}, {repeated} of them hidden repeats, for {', '.join(made.orders)}; "
        f"{len(made.left_out)} left out. Key: {key}. Keep it and its passphrase apart from the set.\n"
        "Next: where the set will be read from, masi blind check SET. Then, for each of those who read, masi "
        "review account add NAME --set SET --db FILE (docs/review.md)."
    )
    tell_end(key, end)
    return SOME_NOT_SCORED if made.left_out or told else DONE


def _facts_of(made: Key, plan: CodingPlan) -> dict[str, Any]:
    """What the log tells of a coding: enough to hold set and study against it, and nobody's name."""
    from masi_vision.blinding.coded_set import SetContents
    from masi_vision.blinding.originals import originals_sha256
    from masi_vision.version import __version__

    return {
        "version": __version__,
        "readers": list(made.orders),
        "repeat_share": plan.repeat_share,
        "units": len(made.units),
        "hidden_repeats": sum(unit.repeat_of is not None for unit in made.units),
        "photos": len(made.coded),
        "left_out": len(made.left_out),
        "photos_sha256": SetContents(made.set_id, plan.readers, made.coded).sha256,
        "originals_sha256": originals_sha256(made),
    }


def _refuse_beside(out: Path, key: Path) -> None:
    """A key within the set would go to the readers with it; an old key or set would be lost."""
    partial = out.with_name(f"{out.name}.part")
    if out.exists():
        lost = f" {key} is not there: if no key of that set lies elsewhere, nobody can open it: delete it."
        raise OutputError(
            f"{out} is there already. Expected a new folder: two sets must not mix. Name another."
            + ("" if key.exists() else lost)
        )
    if key.exists():
        half = (
            f" It is of a run that was stopped, as {partial} is, if no set of it lies elsewhere: delete it."
        )
        raise OutputError(
            f"{key} is there already. Expected a new file: without it a set stays coded. Name another."
            + (half if partial.exists() else "")
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


def _take_away_alone(key: Path, out: Path, set_id: str) -> None:
    """Delete a key, whole or half, whose set does not stand: it would be in the way."""
    from masi_vision.blinding.coded_set import read_contents

    try:
        stands = read_contents(out).set_id == set_id
    except BlindingError:
        stands = False
    if not stands:
        key.unlink(missing_ok=True)


def _write_key(file: Path, content: bytes, out: Path, set_id: str, undo: ExitStack) -> None:
    """Write the key of a set to the disk; undone it goes, unless the set stands."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("xb") as stream:
            undo.callback(_take_away_alone, file, out, set_id)
            file.chmod(0o600)
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise OutputError(
            f"{file} cannot be written ({reason_of(error)}), and no set was made. Expected free space and "
            "the permission to write. Name another place."
        ) from error


@blind.command("check")
@verb
def check(
    folder: Annotated[Path, typer.Argument(metavar="SET", help="A coded set.")],
    key: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Its key: names, photos and orders are held against it too."),
    ] = None,
    study: Annotated[
        str | None,
        typer.Option(help="The study: its photos as they are now are held against those that were coded."),
    ] = None,
    settings: SettingsFile = None,
    passphrase_file: PassphraseFile = None,
) -> int:
    """Look for every leak that is known, and whether set and study are those that the key was sealed with."""
    from masi_vision.blinding.check import problems_of, warnings_of
    from masi_vision.blinding.coded_set import read_contents
    from masi_vision.blinding.key import opened

    contents = read_contents(folder)
    if key is None:
        if study is not None:
            raise KeyFileError("--study is given without --key. Expected both: the key knows what was coded.")
        return _said(contents, problems_of(folder), [], "")
    noted(key, "asked to check", "checked the coded set", study="yes" if study is not None else "no")
    opened_key = opened(key, passphrase_of(passphrase_file))
    found = problems_of(folder, opened_key)
    others, added = _since_coding(study, settings, opened_key) if study is not None else ([], [])
    end = noted(
        key,
        "checked",
        "checked the coded set",
        photos_sha256=contents.sha256,
        faults=len(found),
        **({"originals_changed_or_gone": len(others), "added": len(added)} if study is not None else {}),
    )
    unknown = (
        ""
        if opened_key.coded
        else " Not known: whether the photos are those that were coded; the key is of a version that kept no "
        "hashes of them."
    )
    code = _said(contents, found, [] if found else warnings_of(folder, opened_key), unknown, key)
    code = max(code, _said_of_study(others, added)) if study is not None else code
    tell_end(key, end)
    return code


def _said(
    contents: SetContents, found: list[str], told: list[str], unknown: str, key: Path | None = None
) -> int:
    """Print what was found in a set; the exit code."""
    for one in found:
        typer.echo(one)
    if found:
        typer.echo(f"masi: {len(found)} leaks or faults. Do not hand the set out.", err=True)
        return MUST_CHANGE
    _warn(told)
    held = unknown if key else " Names, photos and orders were not held against the key: name it with --key."
    clean = "Clean but for what was warned of" if told else "Clean"
    typer.echo(f"{clean}: {len(contents.codes)} units, {len(contents.photos)} photos.{held}")
    return SOME_NOT_SCORED if told else DONE


def _since_coding(study: str, settings: Path | None, key: Key) -> tuple[list[str], list[str]]:
    """Photos of a study that are not those that were coded any more, and what has no code, in sentences."""
    from masi_vision.batch.study import visits_of
    from masi_vision.blinding.originals import added, photos_differing
    from masi_vision.config import load_settings

    visits = visits_of(study, load_settings(settings).views)
    return [str(one) for one in photos_differing(visits, key)], [str(one) for one in added(visits, key)]


def _said_of_study(others: list[str], added: list[str]) -> int:
    """Print which photos of the study are others now, or new; the exit code."""
    _warn(added)
    for one in others:
        typer.echo(one)
    if others:
        typer.echo(
            f"masi: {len(others)} photos of the study are not those that were coded. Expected them as they "
            "were. Find out who changed them.",
            err=True,
        )
        return MUST_CHANGE
    typer.echo("The study has every photo that was coded, as it was.")
    return SOME_NOT_SCORED if added else DONE


def _warn(told: list[str]) -> None:
    for one in told:
        typer.echo(f"Warning: {one}", err=True)
