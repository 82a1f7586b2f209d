"""What adjudicators say of units on which readers differ: an endpoint may rest on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from masi_vision.errors import StatsError
from masi_vision.reads_table import is_adjudication
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

    @property
    def is_given(self) -> bool:
        """Whether there is a mean."""
        return not self.why_missing


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
    locked = [read for read in adjudications_from(rows, name) if not read.repeat]
    by_unit: dict[tuple[str, str], list[Read]] = {}
    for row in with_patients(rows):
        if is_adjudication(row) and not row.get("repeat_of"):
            unit = (row["patient"], row["visit"])
            if not all(unit):
                raise StatsError(
                    f"{name} has a row of the stage adjudication without patient or visit. Expected both in "
                    "each: its endpoint is the adjudicator's. Complete it."
                )
            by_unit[unit] = []
    for read in locked:
        by_unit[read.patient, read.visit].append(read)
    return {unit: _verdict(reads) for unit, reads in by_unit.items()}


def _verdict(locked: Sequence[Read]) -> Verdict:
    given = [read for read in locked if read.mmasi == read.mmasi]
    if not given:
        return Verdict(float("nan"), why_missing=NOT_GRADABLE if locked else NOT_ADJUDICATED)
    mean = sum(read.mmasi for read in given) / len(given)
    return Verdict(mean, tuple(sorted(read.rater for read in given)))
