"""`masi outcome`: did treatment work, as the protocol of the trial asks it."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import astuple, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from masi_vision.cli.agree import rows_of
from masi_vision.cli.door import DONE, verb
from masi_vision.cli.extras import need_extra
from masi_vision.cli.options import Overwrite
from masi_vision.errors import OutputError, StatsError

if TYPE_CHECKING:
    from masi_vision.stats.outcome import Course, Gain, OutcomeProtocol, Result

OUTCOME, PATIENTS, PROTOCOL = "outcome.csv", "patients.csv", "protocol.json"
Rows = Sequence[Mapping[str, str]]


@verb
def outcome(
    table: Annotated[
        Path,
        typer.Argument(metavar="TABLE.csv", help="Reads or scores, after masi unblind."),
    ],
    out: Annotated[Path, typer.Option(help=f"Folder for {OUTCOME}, {PATIENTS} and {PROTOCOL}.")],
    protocol: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What is compared; the shipped one where omitted.")
    ] = None,
    allocation: Annotated[
        Path | None, typer.Option(metavar="FILE", help="patient,arm; where the table has no column arm.")
    ] = None,
    others: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Further outcomes: patient,visit,item,value.")
    ] = None,
    events: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Complications: patient,visit,event.")
    ] = None,
    overwrite: Overwrite = False,
) -> int:
    """Compare the arms of a trial: ANCOVA, MMRM, improvement, responders, what is missing."""
    need_extra("stats", "statistics")
    from masi_vision.report.tables import json_text, write_file, writing
    from masi_vision.stats.outcome import Gain, Result, event_results, gains, load_protocol, other_results
    from masi_vision.stats.outcome import outcome as figures

    if any((out / name).exists() for name in (OUTCOME, PATIENTS, PROTOCOL)) and not overwrite:
        raise OutputError(f"{out} holds an outcome already. Expected a new folder, or --overwrite.")
    rules = load_protocol(protocol)
    rows = rows_of(table)
    arms = arms_of(rows_of(allocation) if allocation else rows, (allocation or table).name)
    courses = courses_of(rows, arms, rules, table.name)
    found = figures(courses, rules)
    if others is not None:
        found += other_results(rows_of(others), arms, rules, others.name)
    if events is not None:
        found += event_results(rows_of(events), arms, events.name)
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        write_file(out / OUTCOME, _csv(Result, found, rules))
        write_file(out / PATIENTS, _csv(Gain, gains(courses, rules), rules))
        asked = rules.model_dump(mode="json") | {"protocol_sha256": rules.sha256}
        write_file(out / PROTOCOL, json_text(asked))
    _say(found, rules)
    typer.echo(f"All figures: {out / OUTCOME}. Every patient: {out / PATIENTS}")
    return DONE


def arms_of(rows: Rows, name: str) -> dict[str, str]:
    """Arm of every patient.

    Raises
    ------
    StatsError
        There is no column for it, or a patient has two.
    """
    arms: dict[str, str] = {}
    for row in rows:
        if not row.get("patient") or not row.get("arm"):
            raise StatsError(
                f"{name} does not say the arm of every patient. Expected the columns patient and arm: break "
                "the code with --allocation, or name that file here."
            )
        if arms.setdefault(row["patient"], row["arm"]) != row["arm"]:
            raise StatsError(f"{name} names two arms of {row['patient']!r}. Expected one. Correct it.")
    return arms


def courses_of(rows: Rows, arms: Mapping[str, str], rules: OutcomeProtocol, name: str) -> list[Course]:
    """The endpoint of every patient at every visit; of several readers their mean.

    Raises
    ------
    StatsError
        The table has no such endpoint, or a patient without an arm.
    """
    from masi_vision.stats.outcome import Course
    from masi_vision.stats.reads import reads_from, scores_table

    given: dict[tuple[str, str], list[float]] = {}
    if rows and "reader" in rows[0]:
        if rules.endpoint != "mmasi":
            raise StatsError(f"{name} is a table of reads. Expected endpoint: mmasi in the protocol.")
        for read in reads_from(rows, name):
            if not read.repeat and read.mmasi == read.mmasi:
                given.setdefault((read.patient, read.visit), []).append(read.mmasi)
    else:
        given = {unit: [value] for unit, value in scores_table(rows, name, rules.endpoint).items()}
    if unknown := sorted({patient for patient, _ in given} - arms.keys()):
        raise StatsError(f"No arm is known of {', '.join(unknown[:5])}. Expected one for every patient.")
    values: dict[str, dict[str, float]] = {patient: {} for patient in arms}
    for (patient, visit), several in given.items():
        values[patient][visit] = sum(several) / len(several)
    return [Course(patient, arms[patient], visits) for patient, visits in sorted(values.items())]


def _csv(
    kind: type[Result] | type[Gain], rows: Sequence[Result] | Sequence[Gain], rules: OutcomeProtocol
) -> str:
    """The figures, each with the hash of the protocol that asked for it."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*(field.name for field in fields(kind)), "protocol_sha256"])
    for row in rows:
        writer.writerow([*(_cell(value) for value in astuple(row)), rules.sha256])
    return text.getvalue()


def _cell(value: object) -> object:
    from masi_vision.report.tables import text

    if isinstance(value, str):
        return text(value)
    if not isinstance(value, float):
        return value
    return f"{value:.6g}" if value == value else ""


def _say(found: Sequence[Result], rules: OutcomeProtocol) -> None:
    from masi_vision.report.study import p_text
    from masi_vision.stats.outcome import NOT_COMPARED, NOT_FITTED

    typer.echo(f"{rules.endpoint} at {rules.primary}, by {rules.baseline}, against {rules.control}:")
    for one in found:
        if one.measure.startswith((NOT_FITTED, NOT_COMPARED)):
            typer.echo(f"  {one.analysis}: {one.arm} {one.measure}")
        if one.measure == "difference":
            p = f"p {p_text(one.p)}, for all comparisons {p_text(one.p_adjusted)}"
            interval = f"(95 % {one.low:.2f} to {one.high:.2f})"
            typer.echo(
                f"  {one.analysis}: {one.arm} {one.value:.2f} {interval}, {p}, {one.patients} patients"
            )
