"""The course of every patient through a trial: the arm, and the endpoint at the visits that are there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from masi_vision.csv_table import MISSING, number_in
from masi_vision.errors import StatsError
from masi_vision.reads_table import AMOUNT, refuse_mixed
from masi_vision.stats.reads import reads_from, scores_table

Rows = Sequence[Mapping[str, str]]
_MOST_OD = 4.0
"""Darker than any skin."""


@dataclass(frozen=True)
class Course:
    """One patient: the arm, and the endpoint at the visits that are there.

    Parameters
    ----------
    readers : mapping
        Visit to the readers whose mean it is; empty of a table that is not of reads.
    """

    patient: str
    arm: str
    values: Mapping[str, float]
    readers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


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


def _amounts(rows: Rows, name: str) -> dict[tuple[str, str], float]:
    """Amount of pigment at each visit: the baseline's own, and of a follow-up that and its change.

    The baseline's own error is then that of all visits of a patient, and no difference between arms.
    """
    columns = ("patient", "baseline", "follow_up", "amount_before_od", "amount_change_od")
    if lacking := [column for column in columns if column not in rows[0]]:
        raise StatsError(
            f"{name} lacks {', '.join(lacking)}. Expected changes.csv of masi compare of this version. "
            "Compare the visits again."
        )
    seen: set[tuple[str, str]] = set()
    made: dict[tuple[str, str], float] = {}
    baselines: dict[str, tuple[str, float]] = {}
    for row in rows:
        patient, baseline, follow_up, *texts = (row.get(column, "").strip() for column in columns)
        if not all((patient, baseline, follow_up)):
            raise StatsError(f"{name} has a row without patient, baseline or follow_up. Complete it.")
        if (patient, follow_up) in seen or follow_up == baseline:
            raise StatsError(f"{name} has {patient} {follow_up} twice. Expected one row. Take one out.")
        seen.add((patient, follow_up))
        before, change = (_density(text, f"{name}, {patient} {follow_up}") for text in texts)
        if before is None:
            continue
        if baselines.setdefault(patient, (baseline, before)) != (baseline, before):
            raise StatsError(f"{name} has two baselines of {patient!r}. Expected one. Compare them again.")
        made[patient, baseline] = before
        if change is not None:
            made[patient, follow_up] = before + change
    return made


def _density(text: str, what: str) -> float | None:
    """An amount or a change, which may be below 0; None of a blank."""
    if text.lower() in MISSING:
        return None
    value = number_in(text, -_MOST_OD, _MOST_OD)
    if value is None:
        raise StatsError(
            f"{what}: {text!r} is no amount. Expected a number with a decimal point, or a blank."
        )
    return value


def kind_of(rows: Rows, courses: Sequence[Course]) -> str:
    """What a table of endpoints is of, in words; of reads, whose: an adjudicator's count nowhere."""
    columns = rows[0].keys() if rows else ()
    if "follow_up" in columns:
        return "visits laid over each other by the software"
    if "reader" in columns:
        readers = {who for one in courses for several in one.readers.values() for who in several}
        return f"the mean of the readers {', '.join(sorted(readers))}"
    return "the software's scores"


def graded_otherwise(courses: Sequence[Course], baseline: str, primary: str) -> dict[str, int]:
    """By arm, how many patients were graded by other readers at the primary visit than at the baseline."""
    apart: dict[str, int] = {}
    for one in courses:
        both = one.readers.get(baseline), one.readers.get(primary)
        if None not in both and both[0] != both[1]:
            apart[one.arm] = apart.get(one.arm, 0) + 1
    return apart


def courses_of(rows: Rows, arms: Mapping[str, str], endpoint: str, name: str) -> list[Course]:
    """The endpoint of every patient at every visit; of several readers their mean.

    Raises
    ------
    StatsError
        The table has no such endpoint, a patient without an arm, or scores that do not compare.
    """
    given: dict[tuple[str, str], list[float]] = {}
    raters: dict[str, dict[str, tuple[str, ...]]] = {}
    is_changes = bool(rows) and "follow_up" in rows[0]
    if rows and "reader" not in rows[0]:
        refuse_mixed(rows, name, "amount_before_od" if is_changes else endpoint)
    if is_changes or endpoint == AMOUNT:
        if not (is_changes and endpoint == AMOUNT):
            raise StatsError(
                f"{name} does not fit endpoint: {endpoint} of the protocol. Expected endpoint: {AMOUNT} of "
                "changes.csv of masi compare, and of that no other."
            )
        given = {unit: [value] for unit, value in _amounts(rows, name).items()}
    elif rows and "reader" in rows[0]:
        if endpoint != "mmasi":
            raise StatsError(f"{name} is a table of reads. Expected endpoint: mmasi in the protocol.")
        for read in reads_from(rows, name):
            if not read.repeat and read.mmasi == read.mmasi:
                given.setdefault((read.patient, read.visit), []).append(read.mmasi)
                of = raters.setdefault(read.patient, {})
                of[read.visit] = tuple(sorted((*of.get(read.visit, ()), read.rater)))
    else:
        given = {unit: [value] for unit, value in scores_table(rows, name, endpoint).items()}
    if unknown := sorted({patient for patient, _ in given} - arms.keys()):
        raise StatsError(f"No arm is known of {', '.join(unknown[:5])}. Expected one for every patient.")
    values: dict[str, dict[str, float]] = {patient: {} for patient in arms}
    for (patient, visit), several in given.items():
        values[patient][visit] = sum(several) / len(several)
    return [
        Course(patient, arms[patient], visits, raters.get(patient, {}))
        for patient, visits in sorted(values.items())
    ]
