"""The outcome of a trial: arms against the control, what each patient gained, what is missing."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from masi_vision.csv_table import number_in
from masi_vision.errors import StatsError
from masi_vision.names import folded, in_order, natural_key, nearly_alike
from masi_vision.reads_table import AMOUNT, need_columns, refuse_spelled_alike
from masi_vision.stats.agreement import spread_of, wilson
from masi_vision.stats.ancova import Ancova, adjusted_p, ancova, intervals_together, stratum_columns
from masi_vision.stats.courses import Course
from masi_vision.stats.mmrm import Contrast, Mmrm, contrast_of, fit_mmrm
from masi_vision.stats.outcome_protocol import OutcomeProtocol

Values = npt.NDArray[np.float64]
NOT_FITTED, NOT_COMPARED = "not fitted:", "not compared:"
NOT_PRIMARY = "patients without the baseline or the primary visit"
WITHOUT_VALUE = "in the table, and nobody could grade it"
INEFFECTIVE, NONE = "ineffective", "no rate: baseline 0"


@dataclass(frozen=True)
class OutcomeFigure:
    """One figure of the outcome.

    Parameters
    ----------
    analysis : str
        "primary", "sensitivity: ...", "trajectory", "improvement", "class", "responder", "missing",
        "complication", "readers", "strata" or a further outcome.
    arm : str
        "B less A" for a comparison.
    visit : str
    measure : str
    patients : int
    value : float
    low, high, p, p_adjusted, standard_error, df : float
        NaN where there is none.
    low_together, high_together : float
        95 % interval for all comparisons together, by Dunnett; NaN where there is none.
    """

    analysis: str
    arm: str
    visit: str
    measure: str
    patients: int
    value: float
    low: float = float("nan")
    high: float = float("nan")
    p: float = float("nan")
    p_adjusted: float = float("nan")
    standard_error: float = float("nan")
    df: float = float("nan")
    low_together: float = float("nan")
    high_together: float = float("nan")


@dataclass(frozen=True)
class Gain:
    """What one patient gained from baseline to the primary visit; NaN and blank where a visit is missing."""

    patient: str
    arm: str
    baseline: float
    primary: float
    change: float
    improvement_rate: float
    improvement_class: str


def outcome(courses: Sequence[Course], protocol: OutcomeProtocol) -> list[OutcomeFigure]:
    """Every figure of the outcome.

    Raises
    ------
    StatsError
        A visit or the control of the protocol is not there, or too few patients are.
    """
    seen = {visit for one in courses for visit in one.values}
    arms = {one.arm for one in courses}
    for name, known, what in (
        (protocol.baseline, seen, "visit"),
        (protocol.primary, seen, "visit"),
        *((visit, seen, "visit") for visit in protocol.visits or ()),
        (protocol.control, arms, "arm"),
    ):
        if name not in known:
            _refuse_not_adjudicated(courses, name)
            raise StatsError(
                f"The protocol names the {what} {name!r}; the table has {', '.join(sorted(known))}. Expected "
                "the names of the table. Change the protocol."
            )
    refuse_spelled_alike(seen.union(*(one.verdicts for one in courses)), "visit", nearly=True)
    for one in courses:
        if len(one.strata) != len(protocol.strata):
            raise StatsError(
                f"{one.patient} has the strata {one.strata}, and the protocol names {protocol.strata}. "
                "Expected one of each. Take courses with the strata of this protocol."
            )
    refuse_spelled_alike(arms, "arm")
    if len(arms) < 2:
        raise StatsError(
            f"The table has one arm, {protocol.control}. Expected two or more: an outcome is a difference "
            "between arms. Give the list of who is in which (--allocation)."
        )
    refuse_spelled_alike((one.patient for one in courses), "patient")
    return [
        *_compared("primary", courses, protocol),
        *_compared("sensitivity: baseline carried forward", courses, protocol, carried=True),
        *_by_mmrm(courses, protocol),
        *_trajectories(courses, protocol),
        *(() if protocol.endpoint == AMOUNT else _improvement(courses, protocol)),
        *_missing(courses, protocol),
        *_readers(courses, protocol),
        *_strata(courses, protocol),
    ]


def _refuse_not_adjudicated(courses: Sequence[Course], visit: str) -> None:
    """Refuse a visit at which nobody has a value for the want of an adjudicator's."""
    whys = Counter(one.verdicts[visit].why_missing for one in courses if visit in one.verdicts)
    if whys:
        counted = ", ".join(f"{count} ({why})" for why, count in sorted(whys.items()))
        raise StatsError(
            f"Nobody has a value at {visit!r}, for the want of the adjudicator's grades: {counted}. The "
            "protocol says adjudicated: replaces, and expected some of this visit. Look whether the reads "
            "were exported before the adjudicator finished."
        )


def ancova_of(courses: Sequence[Course], protocol: OutcomeProtocol, *, carried: bool = False) -> Ancova:
    """The comparison at the primary visit.

    Parameters
    ----------
    carried : bool
        Take the baseline for whom the primary visit is missing: no change; else leave the patient out.
    """
    there = _with_both(courses, protocol, carried=carried)
    if protocol.control not in {one.arm for one in there}:
        raise StatsError(
            f"Nobody of the control {protocol.control!r} has both {protocol.baseline} and {protocol.primary}."
            " Expected some patients. Wait for the visit, or look for other names of the visits."
        )
    if {one.arm for one in there} == {protocol.control}:
        raise StatsError(
            f"Nobody but the control has both {protocol.baseline} and {protocol.primary}. Expected patients "
            "of another arm. Wait for the visit, or look for other names of the visits."
        )
    before = np.array([one.values[protocol.baseline] for one in there], np.float64)
    after = np.array(
        [one.values.get(protocol.primary, one.values[protocol.baseline]) for one in there], np.float64
    )
    arms = [one.arm for one in there]
    strata = [one.strata for one in there]
    return ancova(after, before, arms, protocol.control, multiplicity=protocol.multiplicity, strata=strata)


def _with_both(courses: Sequence[Course], protocol: OutcomeProtocol, *, carried: bool) -> list[Course]:
    there = [one for one in courses if protocol.baseline in one.values]
    both = [one for one in there if protocol.primary in one.values]
    if not carried:
        return both
    arms = {one.arm for one in both}  # of an arm that nobody finished all would be made up
    return [one for one in there if one.arm in arms]


def _compared(
    analysis: str, courses: Sequence[Course], protocol: OutcomeProtocol, *, carried: bool = False
) -> Iterator[OutcomeFigure]:
    visit = protocol.primary
    try:
        found = ancova_of(courses, protocol, carried=carried)
    except StatsError as error:  # the rest stands
        yield OutcomeFigure(analysis, "all", visit, f"{NOT_FITTED} {error}", len(courses), float("nan"))
        return
    compared = {one.arm for one in _with_both(courses, protocol, carried=carried)}
    for arm in sorted({one.arm for one in courses} - compared):
        why = f"{NOT_COMPARED} nobody has both visits; p for all comparisons is of the other arms"
        yield OutcomeFigure(analysis, f"{arm} less {protocol.control}", visit, why, 0, float("nan"))
    for mean in found.means:
        yield _of(analysis, mean.arm, visit, "adjusted mean", mean.patients, mean.mean)
    patients = {mean.arm: mean.patients for mean in found.means}
    for one in found.comparisons:
        both, name = patients[one.arm] + patients[one.control], f"{one.arm} less {one.control}"
        yield _difference(analysis, name, visit, both, one.difference, one.p_adjusted, one.together)
        yield OutcomeFigure(
            analysis=analysis,
            arm=name,
            visit=visit,
            measure="difference in residual standard deviations",
            patients=both,
            value=one.effect_size,
            low=one.difference.low / found.residual_sd,
            high=one.difference.high / found.residual_sd,
        )


def _of(analysis: str, arm: str, visit: str, measure: str, patients: int, found: Contrast) -> OutcomeFigure:
    """An estimate; its p is that of a comparison alone."""
    return OutcomeFigure(
        analysis=analysis,
        arm=arm,
        visit=visit,
        measure=measure,
        patients=patients,
        value=found.value,
        low=found.low,
        high=found.high,
        standard_error=found.standard_error,
        df=found.df,
    )


def _difference(
    analysis: str,
    arms: str,
    visit: str,
    patients: int,
    found: Contrast,
    p_adjusted: float,
    together: tuple[float, float],
) -> OutcomeFigure:
    return replace(
        _of(analysis, arms, visit, "difference", patients, found),
        p=found.p,
        p_adjusted=p_adjusted,
        low_together=together[0],
        high_together=together[1],
    )


def mmrm_of(
    courses: Sequence[Course], protocol: OutcomeProtocol
) -> tuple[Mmrm, dict[str, Values], list[str]]:
    """The model of all visits after the baseline: arm and baseline at every visit, the strata alike at all.

    Returns
    -------
    (Mmrm, dict, list)
        The model, what weighs its coefficients to the adjusted mean of each arm at the primary visit, and the
        visits that it has.
    """
    there = [one for one in courses if protocol.baseline in one.values]
    visits = visits_modelled(courses, protocol)
    _check_cells(there, visits, protocol)
    arms = [protocol.control, *sorted({one.arm for one in there} - {protocol.control})]
    there = _modelled(there, visits)
    mean = float(np.mean([one.values[protocol.baseline] for one in there]))
    before = np.array([one.values[protocol.baseline] for one in there])
    of_arm = np.array([[float(one.arm == arm) for arm in arms] for one in there])
    strata = stratum_columns([one.strata for one in there], np.column_stack([of_arm, before - mean]))
    values, design, names, numbers = [], [], [], []
    for one, of_strata in zip(there, strata, strict=True):
        for number, visit in enumerate(visits):
            if visit in one.values:
                line = np.zeros((len(visits), len(arms) + 1))
                line[number, arms.index(one.arm)] = 1
                line[number, -1] = one.values[protocol.baseline] - mean
                values.append(one.values[visit])
                design.append(np.append(line, of_strata))
                names.append(one.patient)
                numbers.append(number)
    model = fit_mmrm(np.array(values), np.array(design), names, np.array(numbers))
    weights = {}
    for place, arm in enumerate(arms):
        at = np.zeros((len(visits), len(arms) + 1))
        at[visits.index(protocol.primary), place] = 1
        weights[arm] = np.append(at, np.zeros(strata.shape[1]))
    return model, weights, visits


def _modelled(with_baseline: Sequence[Course], visits: Sequence[str]) -> list[Course]:
    """Patients who have a visit of the model; of others it knows nothing, their baseline neither."""
    return [one for one in with_baseline if not one.values.keys().isdisjoint(visits)]


def visits_modelled(courses: Sequence[Course], protocol: OutcomeProtocol) -> list[str]:
    """Visits that the model of all visits has, in their order."""
    there = {visit for one in courses for visit in one.values} - {protocol.baseline}
    if protocol.visits is not None:
        there &= set(protocol.visits)
    return in_order(there, protocol.course)


def _check_cells(with_baseline: Sequence[Course], visits: Sequence[str], protocol: OutcomeProtocol) -> None:
    """Refuse a visit at which an arm has nobody: its mean there cannot be told."""
    for arm in sorted({one.arm for one in with_baseline}):
        for visit in visits:
            if not any(one.arm == arm and visit in one.values for one in with_baseline):
                is_primary = visit == protocol.primary
                remedy = "Wait for it." if is_primary else "Name the visits in the protocol (visits)."
                raise StatsError(
                    f"Nobody of arm {arm} has a value at {visit} and one at {protocol.baseline}. Expected "
                    f"every arm at every visit of the model. {remedy}"
                )


def _by_mmrm(courses: Sequence[Course], protocol: OutcomeProtocol) -> Iterator[OutcomeFigure]:
    """Adjusted means and comparisons by the model of all visits; where it cannot be fitted, why, and the rest
    stands."""
    analysis, visit = "sensitivity: MMRM", protocol.primary
    try:
        model, weights, visits = mmrm_of(courses, protocol)
        others = [arm for arm in weights if arm != protocol.control]
        apart = [weights[arm] - weights[protocol.control] for arm in others]
        means = {arm: model.contrast(one) for arm, one in weights.items()}
        found = [model.contrast(one) for one in apart]
    except StatsError as error:
        yield OutcomeFigure(analysis, "all", visit, f"{NOT_FITTED} {error}", len(courses), float("nan"))
        return
    there = _modelled([one for one in courses if protocol.baseline in one.values], visits)
    patients = Counter(one.arm for one in there)
    for arm, mean in means.items():
        yield _of(analysis, arm, visit, "adjusted mean", patients[arm], mean)
    covariance = np.array([[one @ model.covariance @ other for other in apart] for one in apart])
    judged = (found, covariance, min(one.df for one in found), protocol.multiplicity)
    p_adjusted, together = adjusted_p(*judged), intervals_together(*judged)
    for arm, one, p, ends in zip(others, found, p_adjusted, together, strict=True):
        both = patients[arm] + patients[protocol.control]
        yield _difference(analysis, f"{arm} less {protocol.control}", visit, both, one, p, ends)


def _trajectories(courses: Sequence[Course], protocol: OutcomeProtocol) -> Iterator[OutcomeFigure]:
    """Mean of every arm at every visit, with its interval by Student's t."""
    visits = in_order((visit for one in courses for visit in one.values), protocol.course)
    for arm in sorted({one.arm for one in courses}):
        for visit in visits:
            values = np.array(
                [one.values[visit] for one in courses if one.arm == arm and visit in one.values]
            )
            if len(values):
                yield _mean("trajectory", arm, visit, "mean", values)


def _mean(analysis: str, arm: str, visit: str, measure: str, values: Values) -> OutcomeFigure:
    mean, n = float(values.mean()), len(values)
    if n < 2 or not spread_of(values):  # nobody knows the spread of what is all alike
        return OutcomeFigure(analysis, arm, visit, measure, n, mean)
    found = contrast_of(mean, float(values.std(ddof=1) / np.sqrt(n)), n - 1)
    return _of(analysis, arm, visit, measure, n, found)


def gains(courses: Sequence[Course], protocol: OutcomeProtocol) -> list[Gain]:
    """What every patient gained."""
    return [_gain(one, protocol) for one in sorted(courses, key=lambda one: one.patient)]


def _gain(one: Course, protocol: OutcomeProtocol) -> Gain:
    nan = float("nan")
    before, after = one.values.get(protocol.baseline, nan), one.values.get(protocol.primary, nan)
    if protocol.endpoint == AMOUNT:  # rates and their classes are of a graded score
        return Gain(one.patient, one.arm, before, after, after - before, nan, "")
    rate = (before - after) / before if before else nan
    return Gain(
        one.patient, one.arm, before, after, after - before, rate, _class(before, after, rate, protocol)
    )


def _class(before: float, after: float, rate: float, protocol: OutcomeProtocol) -> str:
    if before == 0 and not np.isnan(after):
        return NONE
    if np.isnan(rate):
        return ""
    # A rate is a quotient of grades: 0.3 must not be missed by the last bit.
    return next((name for name, least in protocol.classes.items() if rate >= least - 1e-12), INEFFECTIVE)


def _improvement(courses: Sequence[Course], protocol: OutcomeProtocol) -> Iterator[OutcomeFigure]:
    of_arm: dict[str, list[Gain]] = {}
    for one in gains(courses, protocol):
        of_arm.setdefault(one.arm, []).append(one)
    for arm, all_of_arm in sorted(of_arm.items()):
        here = [one for one in all_of_arm if one.improvement_class]
        rates = np.array([one.improvement_rate for one in here if not np.isnan(one.improvement_rate)])
        if len(rates):
            yield _mean("improvement", arm, protocol.primary, "mean improvement rate", rates)
        for name in (*protocol.classes, INEFFECTIVE, NONE) if here else ():
            share = sum(one.improvement_class == name for one in here)
            yield _share("class", arm, protocol.primary, name, share, len(here))
        responders = int((rates >= protocol.responder - 1e-12).sum())
        words = f"improvement rate of {protocol.responder:g} or more, of "
        for of, count in (
            ("those with both visits", len(here)),
            ("all patients, missing as non-responder", len(all_of_arm)),
        ):
            if count:
                yield _share("responder", arm, protocol.primary, words + of, responders, count)


def _share(analysis: str, arm: str, visit: str, measure: str, count: int, of: int) -> OutcomeFigure:
    """A share with Wilson's interval."""
    found = wilson(count / of, of)
    return OutcomeFigure(
        analysis=analysis,
        arm=arm,
        visit=visit,
        measure=measure,
        patients=of,
        value=found.value,
        low=found.low,
        high=found.high,
    )


def _missing(courses: Sequence[Course], protocol: OutcomeProtocol) -> Iterator[OutcomeFigure]:
    """How many have no value, why as far as the table tells, and who is not in the primary analysis."""
    named = (visit for one in courses for visit in (*one.values, *one.verdicts, *one.without_value))
    visits = in_order(named, protocol.course)
    for arm in sorted({one.arm for one in courses}):
        here = [one for one in courses if one.arm == arm]
        for visit in visits:
            count = sum(visit not in one.values for one in here)
            yield OutcomeFigure("missing", arm, visit, "patients without a value", len(here), float(count))
            whys = Counter(one.verdicts[visit].why_missing for one in here if visit in one.verdicts)
            whys[WITHOUT_VALUE] = sum(visit in one.without_value for one in here)
            for why in sorted((+whys).keys() - {""}):
                yield OutcomeFigure("missing", arm, visit, f"of these: {why}", len(here), float(whys[why]))
        count = len(here) - len(_with_both(here, protocol, carried=False))
        yield OutcomeFigure("missing", arm, protocol.primary, NOT_PRIMARY, len(here), float(count))


def _readers(courses: Sequence[Course], protocol: OutcomeProtocol) -> Iterator[OutcomeFigure]:
    """Who graded how many of an arm at a visit, where not all graded all, or an adjudicator some."""
    units: Counter[tuple[str, str, str]] = Counter()
    for one in courses:
        for visit, readers in one.readers.items():
            units[one.arm, visit, f"graded by {', '.join(readers)}"] += 1
        for visit, verdict in one.verdicts.items():
            if verdict.is_given:
                units[one.arm, visit, f"adjudicated by {', '.join(verdict.adjudicators)}"] += 1
    if len({who for _, _, who in units}) < 2:
        return
    place = in_order((visit for _, visit, _ in units), protocol.course).index
    for arm, visit, who in sorted(units, key=lambda key: (key[0], place(key[1]), key[2])):
        here = sum(one.arm == arm for one in courses)
        yield OutcomeFigure("readers", arm, visit, who, here, float(units[arm, visit, who]))


def _strata(courses: Sequence[Course], protocol: OutcomeProtocol) -> Iterator[OutcomeFigure]:
    """How many patients of the primary analysis are in each stratum."""
    both = _with_both(courses, protocol, carried=False)
    for arm in sorted({one.arm for one in both}):
        here = [one for one in both if one.arm == arm]
        for number, column in enumerate(protocol.strata):
            counts = Counter(one.strata[number] for one in here)
            for stratum in sorted(counts, key=natural_key):
                told = (f"{column}: {stratum}", len(here), float(counts[stratum]))
                yield OutcomeFigure("strata", arm, protocol.primary, *told)


def other_results(
    rows: Sequence[Mapping[str, str]],
    arms: Mapping[str, str],
    protocol: OutcomeProtocol,
    name: str,
    visits: Collection[str] = (),
) -> list[OutcomeFigure]:
    """Further outcomes by arm and visit: mean with its interval, and median.

    Parameters
    ----------
    rows : sequence of mapping
        ``patient, visit, item, value``.
    arms : mapping
        Arm of every patient.
    visits : collection of str
        Of the trial: one that is written like one of them must be it.

    Raises
    ------
    StatsError
        A column is missing, an item, a value or a patient is none of the trial, or there are two values of
        one.
    """
    need_columns(rows, ("patient", "visit", "item", "value"), name)
    told = {row["visit"] for row in rows}
    refuse_spelled_alike(told, "visit", nearly=True)
    misspelt = _written_otherwise(told, set(visits))
    groups: dict[tuple[str, str, str], list[float]] = {}
    seen: set[tuple[str, str, str]] = set()
    for row in rows:
        item, patient, visit = (row.get(name, "") for name in ("item", "patient", "visit"))
        if item not in protocol.others or patient not in arms:
            raise StatsError(
                f"{name} has item {item!r} of patient {patient!r}. Expected the items "
                f"{', '.join(protocol.others)} and patients of the trial."
            )
        if not visit or visit in misspelt:
            raise StatsError(
                f"{name} has {item} of {patient} at the visit {visit!r}. Expected one as the trial's table "
                f"has it: {', '.join(sorted(visits, key=natural_key)) or 'any name'}. Correct it."
            )
        if not row.get("value", ""):
            continue
        if (item, patient, visit) in seen:
            raise StatsError(f"{name} has two values of {item} of {patient} at {visit}. Expected one.")
        seen.add((item, patient, visit))
        low, high = protocol.others[item]
        value = number_in(row.get("value", ""), low, high)
        if value is None:
            raise StatsError(
                f"{name} has {item} {row.get('value')!r} of {patient} at {visit}. "
                f"Expected a number from {low:g} to {high:g}."
            )
        groups.setdefault((item, arms[patient], visit), []).append(value)
    made = []
    place = in_order((visit for _, _, visit in groups), protocol.course).index
    for item, arm, visit in sorted(groups, key=lambda group: (*group[:2], place(group[2]))):
        values = np.array(groups[item, arm, visit])
        made.append(_mean(item, arm, visit, "mean", values))
        made.append(OutcomeFigure(item, arm, visit, "median", len(values), float(np.median(values))))
    return made


def _written_otherwise(told: set[str], visits: set[str]) -> set[str]:
    """Which visits are those of the trial in another spelling."""
    alike = {visit for group in nearly_alike(told | visits) if visits & set(group) for visit in group}
    squeezed = set(map(_squeezed, visits))
    return {visit for visit in told - visits if visit in alike or _squeezed(visit) in squeezed}


def _squeezed(visit: str) -> str:
    return re.sub(r"[\s_-]", "", folded(visit))


def event_results(
    rows: Sequence[Mapping[str, str]], arms: Mapping[str, str], name: str
) -> list[OutcomeFigure]:
    """Complications by arm: share of patients who had each at least once.

    Raises
    ------
    StatsError
        A column is missing, a patient is none of the trial, or an event has no name.
    """
    need_columns(rows, ("patient", "event"), name)
    had: dict[str, set[str]] = {}
    for row in rows:
        event, patient = row.get("event", "").strip(), row.get("patient", "")
        if not event or patient not in arms:
            raise StatsError(
                f"{name} has the event {event!r} of patient {patient!r}. Expected patient,visit,event of "
                "patients of the trial."
            )
        had.setdefault(event, set()).add(patient)
    refuse_spelled_alike(had, "event")
    made = []
    for event, patients in sorted(had.items()):
        for arm in sorted(set(arms.values())):
            of = [patient for patient, his in arms.items() if his == arm]
            made.append(_share("complication", arm, "any", event, len(patients & set(of)), len(of)))
    return made
