"""`masi outcome`: did treatment work, as the protocol of the trial asks it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from masi_vision.cli.door import DONE, SOME_NOT_SCORED, verb
from masi_vision.cli.extras import need_extra
from masi_vision.cli.left_out import LeftOut, Without, left_out_of
from masi_vision.cli.options import Overwrite, make_ready
from masi_vision.cli.provenance import PROVENANCE, WAYS_MADE, made_by, provenance_of_analysis
from masi_vision.cli.tables import check_run, say_open, say_two_names, say_two_sets
from masi_vision.csv_table import Row, csv_text, guarded
from masi_vision.errors import StatsError
from masi_vision.names import in_order, natural_key, told_apart
from masi_vision.reads_table import AMOUNT, is_adjudication, is_closed, rows_of, rows_sha256
from masi_vision.written import json_text, write_file

if TYPE_CHECKING:
    from masi_vision.stats.courses import Course, EndpointValue
    from masi_vision.stats.outcome import Gain, OutcomeFigure
    from masi_vision.stats.outcome_protocol import OutcomeProtocol

OUTCOME, PATIENTS, PROTOCOL = "outcome.csv", "patients.csv", "protocol.json"
ENDPOINT = "endpoint.csv"
_DIGITS = 6
"""Of a figure in a table."""


@verb
def outcome(
    table: Annotated[
        Path,
        typer.Argument(
            metavar="TABLE.csv", help="Reads or scores, after masi unblind, or changes of masi compare."
        ),
    ],
    out: Annotated[Path, typer.Option(help=f"Folder for {OUTCOME}, {PATIENTS}, {ENDPOINT} and {PROTOCOL}.")],
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
    without: Without = None,
    overwrite: Overwrite = False,
) -> int:
    """Compare the arms of a trial: ANCOVA, MMRM, improvement, responders, what is missing."""
    need_extra("stats", "statistics")
    from masi_vision.stats.courses import EndpointValue, courses_of, endpoint_values, kind_of, strata_of
    from masi_vision.stats.outcome import NOT_FITTED, Gain, OutcomeFigure, gains
    from masi_vision.stats.outcome_protocol import load_outcome_protocol

    make_ready(out, (OUTCOME, PATIENTS, ENDPOINT, PROTOCOL), overwrite=overwrite)
    rules = load_outcome_protocol(protocol)
    left = left_out_of(without)
    rows = left.rows(rows_of(table))
    if not (rows and "reader" in rows[0]):  # a read rests on no run of the software
        check_run(table, rows)
    allocated = None if allocation is None else left.rows(rows_of(allocation))
    arms = _arms(rows, allocated, (allocation or table).name, table.name)
    strata = strata_of(rows if allocated is None else allocated, rules.strata, (allocation or table).name)
    courses = [
        replace(one, strata=strata[one.patient])
        for one in courses_of(rows, arms, rules.endpoint, table.name, rules.adjudicated)
    ]
    found = [_as_written(one) for one in _figures(courses, arms, rules, others, events, left)]
    left.say()
    written = {
        OUTCOME: _csv(OutcomeFigure, found, rules),
        PATIENTS: _csv(Gain, gains(courses, rules), rules),
        # Whole, so that another program fits what was fitted here.
        ENDPOINT: _csv(EndpointValue, endpoint_values(courses, rules.course), rules, digits=15),
    }
    for name, text in written.items():
        write_file(out / name, text, private=True)
    kind = kind_of(rows, courses, rules.adjudicated)
    went_in = {"table": table, "allocation": allocation, "others": others, "events": events}
    asked = rules.model_dump(mode="json") | {
        "protocol_sha256": rules.sha256,
        "table": kind,
        "table_sha256": rows_sha256(rows),
        WAYS_MADE: _ways_made(rows, rules.endpoint),
        PROVENANCE: provenance_of_analysis(went_in, rows, written, left),
    }
    write_file(out / PROTOCOL, json_text(asked), private=True)
    _say_unused(allocated or (), (allocation or table).name, rules)
    say_open(rows, table.name)
    say_two_sets(rows, table.name)
    say_two_names({one.patient for one in courses})
    typer.echo(f"Of {kind}.")
    _say(found, rules)
    _say_missing(found, courses, rules, table.name)
    _say_limits(courses, rules, table.name)
    _say_order(courses, rules)
    if rules.adjudicated == "replaces":
        _say_adjudicated(rows, courses, table.name)
    typer.echo(
        f"All figures: {out / OUTCOME}. Every patient: {out / PATIENTS}. Every value: {out / ENDPOINT}"
    )
    lacking = any(one.measure.startswith(NOT_FITTED) for one in found)
    return SOME_NOT_SCORED if lacking else DONE


def _ways_made(rows: Sequence[Mapping[str, str]], endpoint: str) -> list[dict[str, str]]:
    """What made the rows that have the endpoint; nothing made a read, which is a person's."""
    if rows and "reader" in rows[0]:
        return []
    column = "amount_before_od" if endpoint == AMOUNT else endpoint
    return made_by(row for row in rows if row.get(column))


def _arms(
    rows: Sequence[Mapping[str, str]], allocated: Sequence[Mapping[str, str]] | None, by: str, name: str
) -> dict[str, str]:
    """Arm of every patient, by the allocation where there is one; the table must not contradict it."""
    from masi_vision.stats.courses import arms_of

    if allocated is None:
        return arms_of(rows, name)
    arms = arms_of(allocated, by)
    if rows and "arm" in rows[0]:
        _refuse_other_arms(arms, arms_of(rows, name), by, name)
    return arms


def _figures(
    courses: Sequence[Course],
    arms: Mapping[str, str],
    rules: OutcomeProtocol,
    others: Path | None,
    events: Path | None,
    left: LeftOut,
) -> list[OutcomeFigure]:
    from masi_vision.stats.outcome import event_results, other_results
    from masi_vision.stats.outcome import outcome as figures

    found = figures(courses, rules)
    if others is not None:
        visits = {visit for one in courses for visit in one.values}
        told = left.rows(_not_empty(others))
        found += other_results(told, arms, rules, others.name, visits)
        _say_other_visits({row["visit"] for row in told} - visits, others.name)
    if events is not None:
        found += event_results(left.rows(_not_empty(events)), arms, events.name)
    return found


def _not_empty(file: Path) -> list[Row]:
    """Rows of a further table; one without any would leave its outcome out of every result, unsaid."""
    if not (rows := rows_of(file)):
        raise StatsError(
            f"{file.name} has no row. Expected one for each value or event. Export it again; where there was "
            "none, leave the option out."
        )
    return rows


def _say_other_visits(visits: Collection[str], name: str) -> None:
    """Say which visits of the further outcomes the table of the trial lacks."""
    if visits:
        typer.echo(
            f"masi: {name} has the visits {', '.join(sorted(visits, key=natural_key))}, which the table of "
            "the trial lacks. Expected so of a visit without photographs. Look for a misspelt name.",
            err=True,
        )


def _refuse_other_arms(arms: Mapping[str, str], told: Mapping[str, str], by: str, name: str) -> None:
    for patient, arm in sorted(told.items()):
        if arms.get(patient, arm) != arm:
            raise StatsError(
                f"{patient} is in arm {arms[patient]} by {by} and in {arm} by {name}. Expected one arm of "
                "each patient. Find out which is right, and correct the other."
            )


def _as_written(figure: OutcomeFigure) -> OutcomeFigure:
    """With the digits of the table: rounded again, screen and page tell the same."""
    digits: dict[str, Any] = {
        name: float(f"{value:.{_DIGITS}g}")
        for name, value in vars(figure).items()
        if isinstance(value, float)
    }
    return replace(figure, **digits)


def _csv(
    kind: type[OutcomeFigure] | type[Gain] | type[EndpointValue],
    rows: Sequence[OutcomeFigure] | Sequence[Gain] | Sequence[EndpointValue],
    rules: OutcomeProtocol,
    *,
    digits: int = _DIGITS,
) -> str:
    """The figures, each with the hash of the protocol that asked for it."""
    columns = [field.name for field in fields(kind)]
    cells = (
        {name: _cell(value, digits) for name, value in asdict(row).items()}
        | {"protocol_sha256": rules.sha256}
        for row in rows
    )
    return csv_text([*columns, "protocol_sha256"], cells)


def _cell(value: object, digits: int) -> object:
    if isinstance(value, str):
        return guarded(value)
    if not isinstance(value, float):
        return value
    return f"{value:.{digits}g}" if value == value else ""


def _say_unused(allocated: Sequence[Mapping[str, str]], name: str, rules: OutcomeProtocol) -> None:
    """Say which columns of the allocation are in no analysis: a stratum may be among them.

    What has no name, or differs within a patient, as in a table with a row for each visit, is none.
    """
    others = {name for row in allocated for name in row} - {"", "patient", "arm", *rules.strata}
    patients = len({row["patient"] for row in allocated})
    unused = [one for one in sorted(others) if len({(r["patient"], r[one]) for r in allocated}) == patients]
    if unused:
        typer.echo(
            f"masi: {name} has {', '.join(unused)}, which no analysis takes. Expected patient, arm, and what "
            "strata of the protocol names. Where patients were randomised by it, name it there.",
            err=True,
        )


def _say_missing(
    found: Sequence[OutcomeFigure], courses: Sequence[Course], rules: OutcomeProtocol, name: str
) -> None:
    """Say who is not in the primary analysis, and which visits are in the table and not in the protocol."""
    from masi_vision.stats.outcome import NOT_PRIMARY, WITHOUT_VALUE

    lost = [one for one in found if one.measure == NOT_PRIMARY]
    if any(one.value for one in lost):
        told = ", ".join(f"{one.value:g} of {one.patients} of {one.arm}" for one in lost)
        typer.echo(f"Not in the primary analysis, without {rules.baseline} or {rules.primary}: {told}.")
    for visit in (rules.baseline, rules.primary):
        if ungraded := Counter(one.arm for one in courses if visit in one.without_value):
            typer.echo(f"Patients with {visit} {WITHOUT_VALUE}: {_by_arm(ungraded)}.")
    named = {rules.baseline, rules.primary, *(rules.visits or ())}
    patients = Counter(visit for one in courses for visit in one.values if visit not in named)
    if patients:
        told = ", ".join(
            f"{visit} ({patients[visit]} patients)" for visit in sorted(patients, key=natural_key)
        )
        taken = ", and the MMRM takes (visits: null)" * (rules.visits is None)
        typer.echo(f"Visits of {name} that the protocol does not name{taken}: {told}.")
    analysed = {
        visit
        for one in courses
        if {rules.baseline, rules.primary} <= one.values.keys()
        for visit in one.values
    }
    if strange := sorted(patients.keys() - analysed, key=natural_key):
        shown = told_apart(rules.baseline, rules.primary, *strange)
        typer.echo(
            f"masi: {name} has {', '.join(shown[2:])}, which nobody in the primary analysis has. Expected "
            f"{shown[0]} and {shown[1]} to be called so at every centre. Look whether these are "
            "such visits under another name; then correct the table.",
            err=True,
        )


def _say_order(courses: Sequence[Course], rules: OutcomeProtocol) -> None:
    """Say in which order the visits are drawn, where the primary one is not the last."""
    known = rules.course if rules.visits else [visit for one in courses for visit in one.values]
    if (visits := in_order(known, rules.course))[-1] != rules.primary:
        typer.echo(
            f"masi: the visits follow each other as {', '.join(visits)}, and after the primary one, "
            f"{rules.primary}, comes {visits[-1]}. Expected the primary one last, but where patients are "
            "seen after it. If it is the last, list the visits after the baseline in their order (visits of "
            "the protocol).",
            err=True,
        )


def _say_limits(courses: Sequence[Course], rules: OutcomeProtocol, name: str) -> None:
    """Say who is in no comparison, and where arms had other raters."""
    from masi_vision.stats.courses import adjudicated_at_one, graded_otherwise

    if rules.endpoint == AMOUNT and (alone := sum(not one.values for one in courses)):
        typer.echo(
            f"{alone} patients are not in {name}, or their baseline has no amount. Who has one visit "
            "alone is in no comparison, and so in no analysis, the baseline carried forward neither."
        )
    visits = (rules.baseline, rules.primary)
    another = " or another adjudicator" * (rules.adjudicated == "replaces")
    if apart := graded_otherwise(courses, *visits):
        typer.echo(
            f"Graded by other readers{another} at {rules.primary} than at {rules.baseline}: "
            f"{_by_arm(apart)}. A reader who grades higher then looks like an effect of treatment. "
            f"Who graded whom: {OUTCOME}, readers."
        )
    if apart := adjudicated_at_one(courses, *visits):
        typer.echo(
            f"Graded by an adjudicator at one of {' and '.join(visits)}, and by the readers at the other: "
            f"{_by_arm(apart)}. An adjudicator is another rater, and one who grades higher than the readers "
            f"then looks like an effect of treatment. Who graded whom: {OUTCOME}, readers."
        )


def _say_adjudicated(rows: Sequence[Mapping[str, str]], courses: Sequence[Course], name: str) -> None:
    """Say of which units the endpoint is an adjudicator's, or missing for one; and where none is."""
    from masi_vision.stats.courses import adjudicated_units, units_not_adjudicated

    if not any(map(is_adjudication, rows)):
        typer.echo(
            f"masi: {name} has no row of the stage adjudication: every endpoint is the readers' mean. "
            "The protocol says adjudicated: replaces, and expected one of each unit on which readers differ. "
            "Either no unit differed, or the rows were taken out, or the reading had no adjudicator: look.",
            err=True,
        )
    if units := adjudicated_units(courses):
        typer.echo(f"Units of which the endpoint is the adjudicator's: {_by_arm(units)}.")
    if awaited := units_not_adjudicated(courses):
        so = (
            "The reading is closed, so that it stays so."
            if is_closed(rows)
            else "Of what is graded from now on the record must say that arms were known."
        )
        typer.echo(
            f"masi: units that went to the adjudicator and were not graded there: {_by_arm(awaited)}. The "
            "protocol says adjudicated: replaces, so their endpoint is missing. Expected an adjudicator's "
            "locked read of each before the code is broken: these reads were exported before the adjudicator "
            f"finished. {so}",
            err=True,
        )


def _by_arm(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} of {arm}" for arm, count in sorted(counts.items()))


def _say(found: Sequence[OutcomeFigure], rules: OutcomeProtocol) -> None:
    from masi_vision.report.figures import interval_text, p_text
    from masi_vision.stats.outcome import NOT_COMPARED, NOT_FITTED

    by = " and ".join((rules.baseline, *rules.strata))
    typer.echo(f"{rules.endpoint} at {rules.primary}, by {by}, against {rules.control}:")
    for one in found:
        if one.measure.startswith((NOT_FITTED, NOT_COMPARED)):
            typer.echo(f"  {one.analysis}: {one.arm} {one.measure}")
        if one.measure == "difference":
            together = one.p_adjusted == one.p_adjusted
            p = f"p {p_text(one.p)}" + together * f", for all comparisons {p_text(one.p_adjusted)}"
            told = interval_text((one.value, one.low, one.high), rules.endpoint).replace("(", "(95 % ")
            typer.echo(f"  {one.analysis}: {one.arm} {told}, {p}, {one.patients} patients")
