"""What adjudicators say of units on which readers differ: an endpoint may rest on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from masi_vision.errors import StatsError
from masi_vision.reads_table import is_adjudication, is_latest, is_locked
from masi_vision.stats.reads import Read, adjudications_from, with_patients

Adjudicated = Literal["ignored", "replaces"]
"""What an adjudicator's grades are to the endpoint: nothing, or what stands in place of the readers' mean."""
NOT_ADJUDICATED, NOT_GRADABLE = "not adjudicated", "the adjudicator could not grade it"


@dataclass(frozen=True)
class Verdict:
    """What stands in place of the readers' mean of a unit.

    Parameters
    ----------
    mmasi : float
        Mean of the adjudicators who graded it; NaN where none did.
    adjudicators : tuple of str
        Whose mean it is.
    why_missing : str
        `NOT_ADJUDICATED` or `NOT_GRADABLE`; "" where there is a mean.
    """

    mmasi: float
    adjudicators: tuple[str, ...] = ()
    why_missing: str = ""


def verdicts_of(rows: Sequence[Mapping[str, str]], name: str) -> dict[tuple[str, str], Verdict]:
    """Of every unit that went to an adjudicator, by patient and visit; hidden repeats are left out.

    Parameters
    ----------
    rows : sequence of mapping
        Reads of every stage. A row of the stage adjudication that is not locked awaits the adjudicator.
    name : str
        Of the table, for errors.

    Raises
    ------
    StatsError
        A row does not say of which unit it is, or as of `masi_vision.stats.reads.adjudications_from`.
    """
    reads = adjudications_from(rows, name)
    graded: dict[tuple[str, str], bool] = {}
    for row in with_patients(rows):
        if is_adjudication(row) and not row.get("repeat_of"):
            unit = (row["patient"], row["visit"])
            if not all(unit):
                raise StatsError(
                    f"{name} has a row of the stage adjudication without patient or visit. Expected both in "
                    "each: its endpoint is the adjudicator's. Complete it."
                )
            graded[unit] = graded.get(unit, False) or (is_locked(row) and is_latest(row))
    given: dict[tuple[str, str], list[Read]] = {}
    for read in reads:
        if not read.repeat and read.mmasi == read.mmasi:
            given.setdefault((read.patient, read.visit), []).append(read)
    return {unit: _verdict(given.get(unit, ()), is_done=is_done) for unit, is_done in graded.items()}


def _verdict(given: Sequence[Read], *, is_done: bool) -> Verdict:
    if not given:
        return Verdict(float("nan"), why_missing=NOT_GRADABLE if is_done else NOT_ADJUDICATED)
    mean = sum(read.mmasi for read in given) / len(given)
    return Verdict(mean, tuple(sorted(read.rater for read in given)))
