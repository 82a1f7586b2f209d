"""Reads as a table: units by raters, with who and when behind every unit."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from masi_vision.csv_table import NOTHING, number_in, whole_number
from masi_vision.errors import StatsError
from masi_vision.reads_table import (
    is_adjudication,
    is_latest,
    is_locked,
    need_columns,
    of_masi,
    refuse_other_total,
    refuse_spelled_alike,
    refuse_total_alone,
    refuse_two_reads,
    that_count,
)
from masi_vision.scale import MASI_REGIONS, RegionGrade, mmasi

Values = npt.NDArray[np.float64]
NEEDED_GRADES = ("area", "darkness")
Grades = dict[tuple[str, str], int]
"""Of region and name."""
_GREATEST = {"mmasi": 24.0, "masi": 48.0}
"""Of a column that begins so; of any other nobody knows the range here."""
NEEDED = ("patient", "visit", "reader")


@dataclass(frozen=True)
class Read:
    """One rater's last locked read of a unit.

    Parameters
    ----------
    repeat : bool
        Whether the unit was a hidden repeat of another.
    mmasi : float
        NaN where the rater could not grade it.
    grades : dict
        Region and name ("area", "darkness") to grade.
    """

    patient: str
    visit: str
    rater: str
    repeat: bool
    mmasi: float
    grades: Grades


@dataclass(frozen=True)
class ReadTable:
    """What raters say of the same units.

    Parameters
    ----------
    patients, visits : tuple of U str
        Of every unit.
    raters : tuple of R str
    values : (U, R) float
        NaN where a rater has none.
    """

    patients: tuple[str, ...]
    visits: tuple[str, ...]
    raters: tuple[str, ...]
    values: Values

    def of(self, rater: str) -> Values:
        """One rater's values, (U,)."""
        return np.asarray(self.values[:, self.raters.index(rater)])

    def only(self, raters: Sequence[str]) -> ReadTable:
        """The same of some raters, in this order."""
        columns = [self.raters.index(name) for name in raters]
        return ReadTable(self.patients, self.visits, tuple(raters), self.values[:, columns])


def reads_from(rows: Iterable[Mapping[str, str]], name: str) -> list[Read]:
    """Reads of a table whose code was broken, or that a study without a code has.

    Parameters
    ----------
    rows : iterable of mapping
        Either a row for every read, as ``reads.csv`` of the reading page after `masi unblind` (columns
        ``forehead_area`` and so on; of several entries only the last blind one counts), or a row for every
        region (columns ``region``, ``area``, ``darkness``).
    name : str
        Of the table, for errors.

    Raises
    ------
    StatsError
        A column is missing, a grade is none, or the column ``mmasi`` says otherwise than the grades.
    """
    return _reads(that_count(_checked(rows, name), name), name)


def adjudications_from(rows: Iterable[Mapping[str, str]], name: str) -> list[Read]:
    """Every adjudicator's last locked reads, of the same table; none where nobody adjudicated.

    Raises
    ------
    StatsError
        As of `reads_from`.
    """
    return _reads(
        [row for row in _checked(rows, name) if is_adjudication(row) and is_locked(row) and is_latest(row)],
        name,
    )


def _checked(rows: Iterable[Mapping[str, str]], name: str) -> list[Mapping[str, str]]:
    """Rows of a table of reads, each with its patient."""
    rows = list(rows)
    if not rows or set(NEEDED) - rows[0].keys():
        found = ", ".join(rows[0]) if rows else "no rows"
        raise StatsError(
            f"{name} has {found}. Expected the columns {', '.join(NEEDED)} and grades: reads after "
            "masi unblind."
        )
    rows = list[Mapping[str, str]](with_patients(rows))
    for row in rows:
        if is_locked(row) and (blank := [column for column in NEEDED if not row[column]]):
            raise StatsError(
                f"{name} has a row without {' and '.join(blank)}: {', '.join(filter(None, row.values()))!r}. "
                f"Expected {', '.join(NEEDED)} in each. Complete it; {NOTHING}"
            )
    for column in ("patient", "reader"):
        refuse_spelled_alike((row[column] for row in rows), column)
    by_region = "region" in rows[0]
    wanted = (
        NEEDED_GRADES
        if by_region
        else [f"{region}_{grade}" for region in MASI_REGIONS for grade in NEEDED_GRADES]
    )
    need_columns(rows, wanted, name)
    return rows


def _reads(counted: Sequence[Mapping[str, str]], name: str) -> list[Read]:
    """What these rows say; two of one unit by one rater are refused."""
    by_region = bool(counted) and "region" in counted[0]
    made = _by_region(counted, name) if by_region else [_of_row(row, name) for row in counted]
    refuse_two_reads(((read.patient, read.visit, read.rater, read.repeat) for read in made), name)
    return made


def with_patients(rows: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """Rows as they are; where no patient is named at all, every visit is a patient of its own."""
    named = any(row["patient"] for row in rows)
    return [{**row, "patient": row["patient"] if named else row["visit"]} for row in rows]


def _of_row(row: Mapping[str, str], name: str) -> Read:
    grades: Grades = {
        (region, grade): _grade(text, f"{region}_{grade}", row, name)
        for region in MASI_REGIONS
        for grade in NEEDED_GRADES
        if (text := row.get(f"{region}_{grade}", ""))
    }
    return _read(row, grades, name)


def _by_region(rows: Sequence[Mapping[str, str]], name: str) -> list[Read]:
    made: dict[tuple[str, ...], tuple[Mapping[str, str], Grades]] = {}
    refuse_two_reads(
        (
            (row["patient"], f"{row['visit']}, {row['region']},", row["reader"], row.get("repeat_of", ""))
            for row in rows
        ),
        name,
    )
    for row in of_masi(rows, name):
        key, region = (row["patient"], row["visit"], row["reader"], row.get("repeat_of", "")), row["region"]
        grades = made.setdefault(key, (row, {}))[1]
        for grade in NEEDED_GRADES:
            if text := row.get(grade, ""):
                grades[region, grade] = _grade(text, f"{grade} of {region}", row, name)
    return [_read(row, grades, name) for row, grades in made.values()]


def _grade(text: str, what: str, row: Mapping[str, str], name: str) -> int:
    grade = whole_number(text)
    if grade is None:
        raise StatsError(
            f"{name}, {row['patient']} {row['visit']} by {row['reader']}: {what} is {text!r}. Expected a "
            "whole number of the scale. Correct it."
        )
    return grade


def _read(row: Mapping[str, str], grades: Grades, name: str) -> Read:
    what = f"{name}, {row['patient']} {row['visit']} by {row['reader']}"
    told = row.get("mmasi", "")
    lacking = [region.replace("_", " ") for region in MASI_REGIONS if not _is_graded(grades, region)]
    score = float("nan") if lacking else _mmasi(grades, what)
    if told and lacking:
        refuse_total_alone(lacking, what)
    if told:
        refuse_other_total("mmasi", told, score, what)
    return Read(row["patient"], row["visit"], row["reader"], bool(row.get("repeat_of")), score, grades)


def _mmasi(grades: Grades, what: str) -> float:
    """Of all regions; where there is no pigment a darkness counts nowhere."""
    try:
        return mmasi(
            {
                r: RegionGrade(grades[r, "area"], grades.get((r, "darkness"), 0) if grades[r, "area"] else 0)
                for r in MASI_REGIONS
            }
        )
    except ValueError as error:
        raise StatsError(f"{what}: the read is none ({error}). Expected grades of the scale.") from error


def _is_graded(grades: Grades, region: str) -> bool:
    """A region without pigment has no darkness."""
    return grades.get((region, "area")) == 0 or {(region, "area"), (region, "darkness")} <= grades.keys()


def scores_table(
    rows: Iterable[Mapping[str, str]], name: str, column: str = "mmasi"
) -> dict[tuple[str, str], float]:
    """The software's scores by patient and visit, of ``scores.csv`` after `masi unblind` or of an open study.

    Raises
    ------
    StatsError
        A column is missing, a value is no score, or a visit has two that differ.
    """
    rows = list(rows)
    if not rows or {"patient", "visit", column} - rows[0].keys():
        raise StatsError(f"{name} lacks patient, visit or {column}. Expected scores.csv of masi score.")
    rows = list[Mapping[str, str]](with_patients(rows))
    greatest = next(
        (most for start, most in _GREATEST.items() if column.startswith(start)), sys.float_info.max
    )
    made: dict[tuple[str, str], float] = {}
    for row in rows:
        unit, text = (row["patient"], row["visit"]), row[column]
        if not row["visit"]:
            raise StatsError(
                f"{name} has a row of {unit[0]!r} without a visit. Expected one. Complete it; {NOTHING}"
            )
        if not text or row.get("repeat_of"):
            continue
        score = _score(text, greatest, f"{name}, {' '.join(unit)}: {column}")
        if unit in made and (
            "region" not in row or made[unit] != score
        ):  # a row for every region has it again
            raise StatsError(f"{name} has two rows of {' '.join(unit)}. Expected one. Take the other out.")
        made[unit] = score
    return made


def _score(text: str, greatest: float, what: str) -> float:
    value = number_in(text, 0, greatest)
    if value is None:
        raise StatsError(
            f"{what} is {text!r}. Expected a number from 0 to {greatest:g} with a decimal point, or a blank "
            "where there is none."
        )
    return value


def _grade_of(read: Read, region: str, name: str) -> float:
    """A grade; NaN where it was not given, and for the darkness of what is not there, though it says 0."""
    if name == "darkness" and read.grades.get((region, "area")) == 0:
        return float("nan")
    return read.grades.get((region, name), float("nan"))


def table_of(
    reads: Sequence[Read],
    value: str | tuple[str, str] = "mmasi",
    *,
    scores: Mapping[tuple[str, str], float] | None = None,
    software: str = "software",
) -> ReadTable:
    """Units by raters; hidden repeats are left out.

    Parameters
    ----------
    value : "mmasi" or (region, name)
        A grade of a region is NaN where it was not given; the darkness of a region without pigment too.
    scores : mapping, optional
        The software's, by patient and visit: one more rater, the last.
    """
    kept = [read for read in reads if not read.repeat]
    units = sorted({(read.patient, read.visit) for read in kept})
    raters = sorted({read.rater for read in kept})
    place = {unit: number for number, unit in enumerate(units)}
    values = np.full((len(units), len(raters)), np.nan)
    for read in kept:
        one = read.mmasi if isinstance(value, str) else _grade_of(read, *value)
        values[place[read.patient, read.visit], raters.index(read.rater)] = one
    if scores is not None:
        column = [scores.get(unit, np.nan) for unit in units]
        values = np.column_stack([values, column])
        raters.append(software)
    patients, visits = (tuple(unit[k] for unit in units) for k in (0, 1))
    return ReadTable(patients, visits, tuple(raters), values)
