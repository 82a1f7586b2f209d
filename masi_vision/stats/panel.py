"""What a panel of readers agrees on, how near the software comes to it, and whether both see one change."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import numpy.typing as npt

from masi_vision.errors import StatsError
from masi_vision.scale import MASI_REGIONS
from masi_vision.stats.agreement import (
    LEAST_PAIRS,
    Estimate,
    bland_altman,
    concordance,
    correlation,
    grade_agreement,
    wilson,
    within_unit_sd,
)
from masi_vision.stats.icc import Form, complete_rows, reliability
from masi_vision.stats.reads import NEEDED_GRADES, Read, ReadTable, table_of
from masi_vision.stats.resampling import DRAWS, LEAST_PATIENTS, Rows, by_patient

Values = npt.NDArray[np.float64]
SOFTWARE, PANEL = "software", "mean of the readers"
Formulas = Callable[[Values], dict[str, Estimate]]
"""From a table of units to figures by name, each with the interval of a formula, NaN where there is none."""
_FORMS: dict[Form, str] = {
    "2,1": "ICC(2,1), absolute agreement of one reader",
    "3,1": "ICC(3,1), consistency of one reader",
    "1,1": "ICC(1,1), one reader, each unit by others",
    "2,k": "ICC(2,k), absolute agreement of the mean",
    "3,k": "ICC(3,k), consistency of the mean",
    "1,k": "ICC(1,k), mean, each unit by others",
}
_EXACT, _WITHIN_ONE = "exact agreement", "agreement within one grade"
_WHO = ("reader", "software")
_DECIMALS = 9
"""Scores are tenths: what a mean or a difference has beyond is the rounding of floating point."""


@dataclass(frozen=True)
class Figure:
    """One figure.

    Parameters
    ----------
    topic : str
        "readers", "grades", "repeats", "software", "leave one out" or "change".
    between : str
        Whose, or between whom.
    measure : str
    units, patients : int
        On how many it rests.
    estimate : Estimate
        Its interval, 95 %, is NaN where none is made.
    """

    topic: str
    between: str
    measure: str
    units: int
    patients: int
    estimate: Estimate


def findings(
    reads: Sequence[Read],
    scores: Mapping[tuple[str, str], float] | None = None,
    *,
    baseline: str,
    final: str,
    draws: int = DRAWS,
) -> list[Figure]:
    """All figures of a panel, and of the software beside it.

    Parameters
    ----------
    scores : mapping, optional
        The software's mMASI by patient and visit.
    baseline, final : str
        Visits between which the change is taken; none where they are one.

    Raises
    ------
    StatsError
        There are fewer than two readers, one is called as the software is, or no two share three units.
    """
    table = table_of(reads, scores=scores, software=SOFTWARE)
    readers = [name for name in table.raters if name != SOFTWARE]
    if SOFTWARE in {read.rater for read in reads}:
        raise StatsError(f"A reader is called {SOFTWARE!r}. Expected another name. Change it in the table.")
    panel = table.only(readers)
    shared = [int(complete_rows(panel.only(pair).values).sum()) for pair in combinations(readers, 2)]
    if max(shared, default=0) < LEAST_PAIRS:
        raise StatsError(
            f"The readers are {', '.join(readers)}, and no two share more than {max(shared, default=0)} "
            f"graded units. Expected two who share {LEAST_PAIRS} or more. Let them grade the same visits."
        )
    made = [*_of_readers(panel, draws), *_of_grades(reads, draws), *_of_repeats(reads, draws)]
    if scores is not None:
        made += [*_of_software(table, readers, draws), *_left_out(table, readers, draws)]
    return [*made, *_of_change(table, readers, baseline, final, draws)]


def _figures(topic: str, between: str, table: ReadTable, formulas: Formulas, draws: int) -> Iterator[Figure]:
    """Figures of the units that all raters of a table graded, drawn by patient.

    Notes
    -----
    Where a formula has an interval, each end is the farther one of both. Drawn intervals are too narrow of
    few patients, and know of these readers alone; a formula knows nothing of visits that are alike: of fewer
    patients than can be drawn it is asked only where each has one.
    """
    there = complete_rows(table.values)
    values, patients = table.values[there], list(np.array(table.patients, dtype=object)[there])

    def of(rows: Rows) -> dict[str, float]:
        return {name: one.value for name, one in formulas(values[rows]).items()}

    several = LEAST_PATIENTS > len(set(patients)) < len(patients)
    by_formula = formulas(values) if len(values) >= LEAST_PAIRS and not several else {}
    for measure, drawn in by_patient(of, patients, draws=draws).items():
        estimate = _wider(drawn, by_formula.get(measure, drawn))
        yield Figure(topic, between, measure, len(patients), len(set(patients)), estimate)


def _wider(one: Estimate, other: Estimate) -> Estimate:
    return Estimate(one.value, float(np.fmin(one.low, other.low)), float(np.fmax(one.high, other.high)))


def _alone(value: float) -> Estimate:
    """A figure of which no formula has an interval here."""
    return Estimate(value, np.nan, np.nan)


def _iccs(words: Mapping[Form, str]) -> Formulas:
    """Some forms of the ICC, by what they are called."""

    def of(values: Values) -> dict[str, Estimate]:
        icc = reliability(values).icc
        return {name: icc[form] for form, name in words.items()}

    return of


def _reliability(values: Values) -> dict[str, Estimate]:
    """Of all readers: every form of the ICC, and what one read may be off by."""
    found = reliability(values)
    return {name: found.icc[form] for form, name in _FORMS.items()} | {
        "standard error of one read, mMASI": found.sem_agreement,
        "smallest detectable change, mMASI": found.smallest_detectable_change,
    }


def _agreement(words: str) -> Formulas:
    """Bias, limits of agreement, and slope of the difference of two raters."""

    def of(values: Values) -> dict[str, Estimate]:
        limits = bland_altman(values[:, 0], values[:, 1])
        return {
            f"{words}bias, mMASI": limits.bias,
            f"{words}lower limit of agreement, mMASI": limits.lower,
            f"{words}upper limit of agreement, mMASI": limits.upper,
            f"{words}slope of the difference on the mean": limits.slope,
        }

    return of


def _concordance(words: str) -> Formulas:
    return lambda values: {f"{words}Lin's concordance": concordance(values[:, 0], values[:, 1])}


def _grades(grade: str) -> Formulas:
    def of(values: Values) -> dict[str, Estimate]:
        found = grade_agreement(values[:, 0], values[:, 1])
        return {
            f"{grade}: quadratic weighted kappa": _alone(found.kappa),
            f"{grade}: {_EXACT}": _alone(found.exact),
            f"{grade}: {_WITHIN_ONE}": _alone(found.within_one),
        }

    return of


def _of_readers(panel: ReadTable, draws: int) -> Iterator[Figure]:
    yield from _of_all_readers(panel, draws)
    for one, other in combinations(panel.raters, 2):
        yield from _pair("readers", panel.only((one, other)), draws)


def _of_all_readers(panel: ReadTable, draws: int) -> Iterator[Figure]:
    """Reliability of the whole panel; nothing where all of it graded fewer than three units."""
    if complete_rows(panel.values).sum() < LEAST_PAIRS:
        return
    yield from _figures("readers", ", ".join(panel.raters), panel, _reliability, draws)


def _pair(topic: str, two: ReadTable, draws: int, words: str = "") -> Iterator[Figure]:
    """Limits of agreement and concordance of two raters; nothing where they share fewer than three units."""
    if complete_rows(two.values).sum() < LEAST_PAIRS:
        return
    yield from _figures(topic, " less ".join(two.raters), two, _agreement(words), draws)
    yield from _figures(topic, ", ".join(two.raters), two, _concordance(words), draws)


def _of_grades(reads: Sequence[Read], draws: int) -> Iterator[Figure]:
    """Every pair of readers, all regions together, each region's grade one unit."""
    for grade in NEEDED_GRADES:
        tables = [table_of(reads, (region, grade)) for region in MASI_REGIONS]
        patients, visits = tables[0].patients * len(tables), tables[0].visits * len(tables)
        whole = ReadTable(
            patients, visits, tables[0].raters, np.concatenate([table.values for table in tables])
        )
        for pair in combinations(whole.raters, 2):
            two = whole.only(pair)
            if complete_rows(two.values).sum() < LEAST_PAIRS:
                continue
            for one in _figures("grades", ", ".join(pair), two, _grades(grade), draws):
                is_share = one.measure.endswith((_EXACT, _WITHIN_ONE))
                yield _with_wilson(one) if is_share else one


def _with_wilson(share: Figure) -> Figure:
    """A share no narrower than Wilson's interval, as if each patient were counted once."""
    return replace(share, estimate=_wider(share.estimate, wilson(share.estimate.value, share.patients)))


def _of_repeats(reads: Sequence[Read], draws: int) -> Iterator[Figure]:
    """How far a reader agrees with himself, from units that came twice under other codes."""
    for rater, table in _read_twice(reads).items():
        if complete_rows(table.values).sum() >= LEAST_PAIRS:
            yield from _figures("repeats", rater, table, _of_himself, draws)


def repeat_pairs(reads: Sequence[Read]) -> dict[str, int]:
    """How often each reader graded both of a unit and its hidden repeat; nothing where none is a repeat."""
    are_there = any(read.repeat for read in reads)
    tables = _read_twice(reads) if are_there else {}
    return {rater: int(complete_rows(table.values).sum()) for rater, table in tables.items()}


def _read_twice(reads: Sequence[Read]) -> dict[str, ReadTable]:
    """By reader the mMASI of units that came twice, the first and the repeat."""
    found: dict[str, ReadTable] = {}
    first = {(read.rater, read.patient, read.visit): read for read in reads if not read.repeat}
    for rater in sorted({read.rater for read in reads}):
        again = [read for read in reads if read.repeat and read.rater == rater]
        pairs = [
            (first[rater, read.patient, read.visit], read)
            for read in again
            if (rater, read.patient, read.visit) in first
        ]
        values = np.array([[one.mmasi, other.mmasi] for one, other in pairs], np.float64).reshape(-1, 2)
        names, visits = (tuple(getattr(one, of) for one, _ in pairs) for of in ("patient", "visit"))
        found[rater] = ReadTable(names, visits, ("first", "repeat"), values)
    return found


def _of_himself(values: Values) -> dict[str, Estimate]:
    off = within_unit_sd(values[:, 0], values[:, 1])
    return _iccs({"2,1": "ICC(2,1) with himself"})(values) | {"standard error of one read, mMASI": off}


def _mean_of(table: ReadTable, readers: Sequence[str]) -> Values:
    """Mean of some readers, NaN where one is missing."""
    return np.asarray(np.round(table.only(readers).values.mean(axis=1), _DECIMALS))


def _with_software(table: ReadTable, readers: Sequence[str]) -> ReadTable:
    """The software beside the mean of the readers."""
    both = np.column_stack([table.of(SOFTWARE), _mean_of(table, readers)])
    return ReadTable(table.patients, table.visits, (SOFTWARE, PANEL), both)


def _of_software(table: ReadTable, readers: Sequence[str], draws: int) -> Iterator[Figure]:
    both = _with_software(table, readers)
    yield from _near("software", both, draws)


def _near(topic: str, both: ReadTable, draws: int, words: str = "") -> Iterator[Figure]:
    """How near two raters are; nothing where they share fewer than three units."""
    if complete_rows(both.values).sum() < LEAST_PAIRS:
        return
    between = ", ".join(both.raters)
    iccs = _iccs({"2,1": f"{words}ICC(2,1), absolute agreement", "3,1": f"{words}ICC(3,1), consistency"})

    def near(values: Values) -> dict[str, Estimate]:
        return iccs(values) | {f"{words}correlation r": correlation(values[:, 0], values[:, 1])}

    yield from _figures(topic, between, both, near, draws)
    yield from _pair(topic, both, draws, words)


def _left_out(table: ReadTable, readers: Sequence[str], draws: int) -> Iterator[Figure]:
    """Is the software as near to the other readers as the one who is left out?"""
    there = table.values[complete_rows(table.values)]
    if len(there) < LEAST_PAIRS:
        return
    numbers = range(len(readers))

    def others(values: Values, left_out: int) -> Values:
        return np.asarray(np.delete(values[:, :-1], left_out, axis=1).mean(axis=1))

    def near(values: Values, rater: int, left_out: int) -> float:
        beside = np.column_stack([values[:, rater], others(values, left_out)])
        return reliability(beside).icc["2,1"].value

    def of_both(values: Values) -> dict[str, Estimate]:
        pairs = [(near(values, number, number), near(values, -1, number)) for number in numbers]
        found = {
            f"{n} {who}": _alone(one)
            for n, pair in enumerate(pairs)
            for who, one in zip(_WHO, pair, strict=True)
        }
        return found | {"ahead": _alone(float(np.mean([software - reader for reader, software in pairs])))}

    found = {one.measure: one for one in _figures("leave one out", SOFTWARE, table, of_both, draws)}
    for number, name in enumerate(readers):
        words = f"ICC(2,1) with the mean of the readers but {name}"
        for who, between in zip(_WHO, (name, SOFTWARE), strict=True):
            yield replace(found[f"{number} {who}"], between=between, measure=words)
    words = "ICC(2,1) with the others: software less reader, mean over the readers"
    yield replace(found["ahead"], measure=words)


def _of_change(
    table: ReadTable, readers: Sequence[str], baseline: str, final: str, draws: int
) -> Iterator[Figure]:
    """Change from baseline to the final visit, a patient a unit."""
    if baseline == final:
        return
    changed = change_table(table, baseline, final)
    panel = changed.only(readers)
    words = f"change from {baseline} to {final}: "
    if complete_rows(panel.values).sum() >= LEAST_PAIRS:
        iccs = _iccs({"2,1": f"{words}ICC(2,1) of one reader"})
        yield from _figures("change", ", ".join(readers), panel, iccs, draws)
    if SOFTWARE in changed.raters:
        yield from _near("change", _with_software(changed, readers), draws, words)


def change_table(table: ReadTable, baseline: str, final: str) -> ReadTable:
    """Final less baseline of every patient, by rater.

    Raises
    ------
    StatsError
        Nobody has one of the visits.
    """
    for name in (baseline, final):
        if name not in table.visits:
            raise StatsError(
                f"No read is of visit {name!r}. Expected one of {', '.join(sorted(set(table.visits)))}. Name "
                "the visits with --baseline and --final."
            )
    place = {unit: row for row, unit in enumerate(zip(table.patients, table.visits, strict=True))}
    both = [p for p in sorted(set(table.patients)) if (p, baseline) in place and (p, final) in place]
    values = [table.values[place[p, final]] - table.values[place[p, baseline]] for p in both]
    empty = np.zeros((0, len(table.raters)))
    changes = np.round(values, _DECIMALS) if values else empty
    return ReadTable(tuple(both), (final,) * len(both), table.raters, changes)
