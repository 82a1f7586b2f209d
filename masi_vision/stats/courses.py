"""The course of every patient through a trial: the arm, and the endpoint at the visits that are there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Literal, TypeVar

from masi_vision.csv_table import NOTHING, is_no_name, number_in
from masi_vision.errors import StatsError
from masi_vision.names import in_order
from masi_vision.reads_table import (
    AMOUNT,
    is_locked,
    is_not_counted,
    refuse_mixed,
    refuse_other_stages,
    refuse_spelled_alike,
)
from masi_vision.stats.reads import reads_from, scores_table, with_patients
from masi_vision.stats.verdicts import NOT_ADJUDICATED, NOT_GRADABLE, Adjudicated, Verdict, verdicts_of

Rows = Sequence[Mapping[str, str]]
_Unit = tuple[str, str]
_Of = TypeVar("_Of")
_NAMED = 5  # of the patients without an arm
_MOST_OD = 4.0
"""Darker than any skin."""


@dataclass(frozen=True)
class Course:
    """One patient: the arm, and the endpoint at the visits that are there.

    Parameters
    ----------
    readers : mapping
        Visit to the readers whose mean it is; empty of a table that is not of reads.
    verdicts : mapping
        Visit to what an adjudicator's grades put in place of the readers' mean.
    strata : tuple of str
        By each of what the protocol names, as the centre.
    without_value : frozenset of str
        Visits in the table that nobody could grade; at a visit that is not in it nobody was photographed.
    """

    patient: str
    arm: str
    values: Mapping[str, float]
    readers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)
    strata: tuple[str, ...] = ()
    without_value: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        """Refuse values that are no numbers: a visit without one is left out."""
        if strange := [visit for visit, value in self.values.items() if value is None or not isfinite(value)]:
            raise StatsError(
                f"{self.patient or 'A patient'} has {self.values[strange[0]]} at {strange[0]}. Expected a "
                "number. Leave a visit out that has none."
            )


@dataclass(frozen=True)
class EndpointValue:
    """The endpoint of one patient at one visit, as the analyses take it.

    Parameters
    ----------
    baseline : float
        The patient's; NaN where it is missing.
    raters : str
        Readers, or adjudicators in their place; empty of a table that is not of reads.
    strata : str
        With a ; between them; empty where the protocol names none.
    """

    patient: str
    arm: str
    visit: str
    baseline: float
    value: float
    raters: str
    strata: str = ""


def endpoint_values(courses: Sequence[Course], course: Sequence[str]) -> list[EndpointValue]:
    """Every value that is there, the baselines too; the values of the model of all visits are among them.

    Parameters
    ----------
    course : sequence of str
        Visits as they follow each other, from the baseline on; others stand after them.
    """
    made = []
    for one in sorted(courses, key=lambda one: one.patient):
        before = one.values.get(course[0], float("nan"))
        for visit in in_order(one.values, course):
            raters = _raters(one, visit)
            names = ";".join(raters.names) if raters else ""
            told = (before, one.values[visit], names, ";".join(one.strata))
            made.append(EndpointValue(one.patient, one.arm, visit, *told))
    return made


def arms_of(rows: Rows, name: str) -> dict[str, str]:
    """Arm of every patient.

    Raises
    ------
    StatsError
        There is no column for it, or a patient has two or none.
    """
    if rows and (not {"patient", "arm"} <= rows[0].keys() or not all(row["patient"] for row in rows)):
        raise StatsError(
            f"{name} does not say the arm of every patient. Expected the columns patient and arm: break the "
            f"code with --allocation, or name that file here. {NOTHING}"
        )
    _refuse_without_arm({row["patient"] for row in rows if not row["arm"]}, f" by {name}")
    arms: dict[str, str] = {}
    for row in rows:
        if arms.setdefault(row["patient"], row["arm"]) != row["arm"]:
            raise StatsError(f"{name} names two arms of {row['patient']!r}. Expected one. Correct it.")
    return arms


def strata_of(rows: Rows, columns: Sequence[str], name: str) -> dict[str, tuple[str, ...]]:
    """Strata of every patient, by each of the columns.

    Raises
    ------
    StatsError
        A column is missing, or a patient has two strata of one or none, or one with a ``;``.
    """
    if lacking := [column for column in columns if rows and column not in rows[0]]:
        raise StatsError(
            f"{name} lacks {', '.join(lacking)}, which the protocol names as strata; it has "
            f"{', '.join(rows[0])}. Expected a column of each beside patient and arm. Name an allocation "
            "that has it."
        )
    strata: dict[str, tuple[str, ...]] = {}
    for row in rows:
        own = tuple(row[column] for column in columns)
        if any(";" in one for one in own):
            raise StatsError(
                f"{name} has the stratum {';'.join(own)!r}. Expected none with a ;, which stands between "
                "strata in endpoint.csv. Call it otherwise."
            )
        if nothing := list(filter(is_no_name, own)):
            raise StatsError(
                f"{name} has the stratum {nothing[0]!r} of {row['patient']!r}, which programs write where "
                "there is nothing. Expected one of each. Correct it."
            )
        if not all(own) or strata.setdefault(row["patient"], own) != own:
            raise StatsError(
                f"{name} has {'two strata' if all(own) else 'no stratum'} of {row['patient']!r} "
                f"({', '.join(columns)}). Expected one of each. Correct it."
            )
    for number, column in enumerate(columns):
        refuse_spelled_alike((own[number] for own in strata.values()), column, nearly=True)
    return strata


def _refuse_without_arm(patients: Collection[str], by: str = "") -> None:
    """Refuse patients of whom no arm is known; photos that do not count are to be left out."""
    forgotten = set(filter(is_not_counted, patients))
    told = []
    if forgotten:
        told.append(
            f"Photos that are not to be counted stand in the table: {_first(forgotten)}. Expected them in "
            "the file of --without. Name them there."
        )
    if others := set(patients) - forgotten:
        told.append(
            f"No arm is known of {_first(others)}{by}. Expected one of every patient: break the code with an "
            "--allocation that has it, or add it where you name that file here."
        )
    if told:
        raise StatsError(" ".join(told))


def _first(patients: Collection[str]) -> str:
    return ", ".join(sorted(patients)[:_NAMED]) + " and others" * (len(patients) > _NAMED)


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
            raise StatsError(
                f"{name} has a row without patient, baseline or follow_up. Complete it; {NOTHING}"
            )
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
    if not text:
        return None
    value = number_in(text, -_MOST_OD, _MOST_OD)
    if value is None:
        raise StatsError(
            f"{what}: {text!r} is no amount. Expected a number with a decimal point, or a blank."
        )
    return value


def kind_of(rows: Rows, courses: Sequence[Course], adjudicated: Adjudicated = "ignored") -> str:
    """What a table of endpoints is of, in words; of reads, whose, and in how many units the adjudicator's."""
    columns = rows[0].keys() if rows else ()
    if "follow_up" in columns:
        return "visits laid over each other by the software"
    if "reader" not in columns:
        return "the software's scores"
    readers = sorted({who for one in courses for several in one.readers.values() for who in several})
    told = f"the mean of the readers {', '.join(readers) or '(of no unit)'}"
    return told if adjudicated == "ignored" else f"{told}; {_verdicts_said(courses)}"


def _verdicts_said(courses: Sequence[Course]) -> str:
    """Of how many units the endpoint is an adjudicator's, and of how many it is missing for one."""
    verdicts = [verdict for one in courses for verdict in one.verdicts.values()]
    whose = ", ".join(sorted({who for verdict in verdicts for who in verdict.adjudicators}))
    units = sum(verdict.is_given for verdict in verdicts)
    missing = ", ".join(
        f"{count} ({why})"
        for why in (NOT_ADJUDICATED, NOT_GRADABLE)
        if (count := sum(verdict.why_missing == why for verdict in verdicts))
    )
    by, plural = f" by {whose}" * bool(whose), "s" * (units != 1)
    told = f"in its place, of {units or 'no'} unit{plural}, the adjudicator's grades{by}"
    return f"{told}; missing for the want of them: {missing}" if missing else told


def adjudicated_units(courses: Sequence[Course]) -> dict[str, int]:
    """By arm, how many endpoints are an adjudicator's."""
    return Counter(one.arm for one in courses for verdict in one.verdicts.values() if verdict.is_given)


def units_not_adjudicated(courses: Sequence[Course]) -> dict[str, int]:
    """By arm, how many endpoints are missing, as no adjudicator locked a read of what went there."""
    return Counter(
        one.arm
        for one in courses
        for verdict in one.verdicts.values()
        if verdict.why_missing == NOT_ADJUDICATED
    )


def graded_otherwise(courses: Sequence[Course], baseline: str, primary: str) -> dict[str, int]:
    """By arm, how many patients were graded by other readers, or another adjudicator, at the primary visit
    than at the baseline."""
    return Counter(
        arm
        for arm, before, after in _raters_of_both(courses, baseline, primary)
        if before != after and before.kind == after.kind
    )


def adjudicated_at_one(courses: Sequence[Course], baseline: str, primary: str) -> dict[str, int]:
    """By arm, of how many patients one of the two visits is an adjudicator's and the other the readers'."""
    return Counter(
        arm for arm, before, after in _raters_of_both(courses, baseline, primary) if before.kind != after.kind
    )


@dataclass(frozen=True)
class _Raters:
    kind: Literal["readers", "adjudicators"]
    names: tuple[str, ...]


def _raters_of_both(
    courses: Sequence[Course], baseline: str, primary: str
) -> Iterator[tuple[str, _Raters, _Raters]]:
    """Arm, and who graded each of the two visits, of every patient of whom both were graded."""
    for one in courses:
        before, after = _raters(one, baseline), _raters(one, primary)
        if before and after:
            yield one.arm, before, after


def _raters(one: Course, visit: str) -> _Raters | None:
    """Who graded a visit; None where nobody did."""
    if visit in one.readers:
        return _Raters("readers", one.readers[visit])
    verdict = one.verdicts.get(visit)
    return _Raters("adjudicators", verdict.adjudicators) if verdict and verdict.is_given else None


def courses_of(
    rows: Rows, arms: Mapping[str, str], endpoint: str, name: str, adjudicated: Adjudicated = "ignored"
) -> list[Course]:
    """The endpoint of every patient at every visit; of several readers their mean.

    Parameters
    ----------
    adjudicated : {"ignored", "replaces"}
        Whether the endpoint of a unit that went to an adjudicator is the adjudicator's, and missing where
        none graded it.

    Raises
    ------
    StatsError
        The table has no such endpoint, a patient without an arm, or scores that do not compare.
    """
    verdicts: Mapping[_Unit, Verdict] = {}
    if adjudicated == "replaces":
        refuse_other_stages(rows, name)
        verdicts = verdicts_of(rows, name)
    given, raters = _given(rows, endpoint, name)
    _refuse_without_arm({patient for patient, _ in (*given, *verdicts)} - arms.keys())
    given |= {unit: verdict.mmasi for unit, verdict in verdicts.items()}
    values = _by_patient({unit: value for unit, value in given.items() if value == value})
    readers = _by_patient({unit: who for unit, who in raters.items() if unit not in verdicts})
    settled = _by_patient(verdicts)
    lacking = _by_patient(dict.fromkeys(_units(rows) - given.keys()))
    return [
        Course(
            one,
            arms[one],
            values.get(one, {}),
            readers.get(one, {}),
            settled.get(one, {}),
            without_value=frozenset(lacking.get(one, ())),
        )
        for one in sorted(arms)
    ]


def _units(rows: Rows) -> set[_Unit]:
    """Every unit that the table has, with a value or without, but for what waits for a reader."""
    visits = [name for name in ("visit", "baseline", "follow_up") if rows and name in rows[0]]
    read, awaited = set[_Unit](), set[_Unit]()
    for row in with_patients(rows):
        if not row.get("repeat_of"):
            (read if is_locked(row) else awaited).update((row["patient"], row[name]) for name in visits)
    return read - awaited


def _by_patient(of_units: Mapping[_Unit, _Of]) -> dict[str, dict[str, _Of]]:
    """Of every patient by visit."""
    made: dict[str, dict[str, _Of]] = {}
    for (patient, visit), one in of_units.items():
        made.setdefault(patient, {})[visit] = one
    return made


def _given(rows: Rows, endpoint: str, name: str) -> tuple[dict[_Unit, float], dict[_Unit, tuple[str, ...]]]:
    """The endpoint of every unit, and the readers whose mean it is."""
    is_changes = bool(rows) and "follow_up" in rows[0]
    if rows and "reader" not in rows[0]:
        refuse_mixed(rows, name, "amount_before_od" if is_changes else endpoint)
    if is_changes or endpoint == AMOUNT:
        if not (is_changes and endpoint == AMOUNT):
            raise StatsError(
                f"{name} does not fit endpoint: {endpoint} of the protocol. Expected endpoint: {AMOUNT} of "
                "changes.csv of masi compare, and of that no other."
            )
        return _amounts(rows, name), {}
    if not (rows and "reader" in rows[0]):
        return scores_table(rows, name, endpoint), {}
    if endpoint != "mmasi":
        raise StatsError(f"{name} is a table of reads. Expected endpoint: mmasi in the protocol.")
    several: dict[_Unit, list[float]] = {}
    raters: dict[_Unit, list[str]] = {}
    for read in reads_from(rows, name):
        if not read.repeat and read.mmasi == read.mmasi:
            several.setdefault((read.patient, read.visit), []).append(read.mmasi)
            raters.setdefault((read.patient, read.visit), []).append(read.rater)
    means = {unit: sum(values) / len(values) for unit, values in several.items()}
    return means, {unit: tuple(sorted(who)) for unit, who in raters.items()}
