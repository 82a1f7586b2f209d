"""The course of every patient through a trial: the arm, and the endpoint at the visits that are there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from masi_vision.errors import StatsError
from masi_vision.stats.reads import reads_from, scores_table

Rows = Sequence[Mapping[str, str]]


@dataclass(frozen=True)
class Course:
    """One patient: the arm, and the endpoint at the visits that are there."""

    patient: str
    arm: str
    values: Mapping[str, float]


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


def courses_of(rows: Rows, arms: Mapping[str, str], endpoint: str, name: str) -> list[Course]:
    """The endpoint of every patient at every visit; of several readers their mean.

    Raises
    ------
    StatsError
        The table has no such endpoint, or a patient without an arm.
    """
    given: dict[tuple[str, str], list[float]] = {}
    if rows and "reader" in rows[0]:
        if endpoint != "mmasi":
            raise StatsError(f"{name} is a table of reads. Expected endpoint: mmasi in the protocol.")
        for read in reads_from(rows, name):
            if not read.repeat and read.mmasi == read.mmasi:
                given.setdefault((read.patient, read.visit), []).append(read.mmasi)
    else:
        given = {unit: [value] for unit, value in scores_table(rows, name, endpoint).items()}
    if unknown := sorted({patient for patient, _ in given} - arms.keys()):
        raise StatsError(f"No arm is known of {', '.join(unknown[:5])}. Expected one for every patient.")
    values: dict[str, dict[str, float]] = {patient: {} for patient in arms}
    for (patient, visit), several in given.items():
        values[patient][visit] = sum(several) / len(several)
    return [Course(patient, arms[patient], visits) for patient, visits in sorted(values.items())]
