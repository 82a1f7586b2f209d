"""Follow-up by arm with the baseline as covariate, each arm against the control, for several at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri
from scipy.stats import chi, qmc
from scipy.stats import t as t_distribution

from masi_vision.errors import StatsError
from masi_vision.stats.agreement import TAIL
from masi_vision.stats.mmrm import LEAST_REST, Contrast, contrast_of

Values = npt.NDArray[np.float64]
Multiplicity = Literal["dunnett", "holm", "none"]
_POINTS = 15
"""Of Dunnett's integral, as a power of 2: it is then off by less than 5e-6 of two to four comparisons, and by
less than 1e-4 of ten."""


@dataclass(frozen=True)
class Comparison:
    """One arm less the control.

    Parameters
    ----------
    difference : Contrast
        Of the adjusted means; p and interval of this comparison alone.
    p_adjusted : float
        For all comparisons together.
    together : (float, float)
        95 % interval for all comparisons together.
    effect_size : float
        Difference in standard deviations of what the model leaves.
    """

    arm: str
    control: str
    difference: Contrast
    p_adjusted: float
    together: tuple[float, float]
    effect_size: float


@dataclass(frozen=True)
class AdjustedMean:
    """Mean of an arm at the mean baseline, and over the strata, of all."""

    arm: str
    patients: int
    mean: Contrast


@dataclass(frozen=True)
class Ancova:
    """Comparisons with the control, and the adjusted means."""

    comparisons: tuple[Comparison, ...]
    means: tuple[AdjustedMean, ...]
    residual_sd: float
    baseline_slope: Contrast


def ancova(
    follow_up: Values,
    baseline: Values,
    arms: Sequence[str],
    control: str,
    *,
    multiplicity: Multiplicity = "dunnett",
    strata: Sequence[Sequence[str]] = (),
) -> Ancova:
    """Analysis of covariance by least squares.

    Parameters
    ----------
    follow_up, baseline : (N,)
        Without missing values.
    arms : sequence of N str
    control : str
    strata : sequence of N sequences of str
        Of every patient the stratum by each of what the randomisation was stratified by, as the centre.

    Raises
    ------
    StatsError
        The control or another arm is missing, a value is no number, too few patients are left, all baselines
        are the same within their arms, or the follow-ups leave no rest.

    Notes
    -----
    follow-up = arm + strata + slope x (baseline - mean baseline) + rest; the most powerful of the usual
    analyses where baseline and follow-up are taken (Vickers, BMC Medical Research Methodology 1 (2001) 6).
    An arm's adjusted mean is at the mean baseline, and over the strata by their shares. Of arms and strata
    there is no interaction (ICH E9, 5.7).
    """
    follow_up, baseline = np.asarray(follow_up, np.float64), np.asarray(baseline, np.float64)
    arms = list(arms)  # of a column of pandas, `in` asks for a row's name
    names = [control, *sorted(set(arms) - {control})]
    if not (np.isfinite(follow_up).all() and np.isfinite(baseline).all()):
        raise StatsError("A follow-up or baseline is no number. Expected patients who have both.")
    if control not in arms or len(names) < 2:
        raise StatsError(
            f"The arms are {', '.join(sorted(set(arms)))}. Expected the control {control!r} and another."
        )
    of_arm = np.array([[float(arm == name) for name in names] for arm in arms])
    own = np.column_stack([of_arm, baseline - baseline.mean()])
    of_strata = stratum_columns(strata or [()] * len(arms), own)
    design = np.column_stack([own, of_strata])
    df = len(arms) - design.shape[1]
    if df < 1:
        among = " and their strata" * bool(of_strata.size)
        raise StatsError(f"{len(arms)} patients in {len(names)} arms{among} are too few. Expected more.")
    if np.linalg.matrix_rank(own) < own.shape[1]:
        raise StatsError("All baselines are the same within their arms. Expected patients who differ.")
    inverse = np.linalg.inv(design.T @ design)
    beta = inverse @ design.T @ follow_up
    variance = float(((follow_up - design @ beta) ** 2).sum() / df)
    if variance <= (LEAST_REST * np.abs(follow_up).max()) ** 2:
        raise StatsError("The values follow the model without rest. Expected patients who differ.")

    def tested(weights: Values) -> Contrast:
        return contrast_of(
            float(weights @ beta), float(np.sqrt(variance * (weights @ inverse @ weights))), df
        )

    unit = np.eye(design.shape[1])
    weights = [unit[k] - unit[0] for k in range(1, len(names))]
    differences = [tested(one) for one in weights]
    covariance = np.array([[one @ inverse @ other for other in weights] for one in weights])
    adjusted = adjusted_p(differences, covariance, df, multiplicity)
    together = intervals_together(differences, covariance, df, multiplicity)
    comparisons = tuple(
        Comparison(name, control, one, p, ends, one.value / float(np.sqrt(variance)))
        for name, one, p, ends in zip(names[1:], differences, adjusted, together, strict=True)
    )
    means = tuple(
        AdjustedMean(name, int(of_arm[:, k].sum()), tested(unit[k])) for k, name in enumerate(names)
    )
    return Ancova(comparisons, means, float(np.sqrt(variance)), tested(unit[len(names)]))


def stratum_columns(strata: Sequence[Sequence[str]], beside: Values) -> Values:
    """Whether a patient is in each stratum but the first of its kind, less the share of it, (N, S).

    Parameters
    ----------
    strata : sequence of N sequences of str
        Of every patient the stratum of each kind, as centre and sex.
    beside : (N, K)
        What else the model has of each patient.

    Raises
    ------
    StatsError
        Arms and strata cannot be told from each other.

    Notes
    -----
    What the strata before it tell already has no column: of centres within countries the country's.
    """
    columns = [
        [float(one == stratum) for one in kind]
        for kind in zip(*strata, strict=True)
        for stratum in sorted(set(kind))[1:]
    ]
    found = np.array(columns, np.float64).reshape(len(columns), len(strata)).T
    own = np.empty((len(strata), 0))
    for column in (found - found.mean(axis=0)).T:
        if np.linalg.matrix_rank(more := np.column_stack([own, column])) > own.shape[1]:
            own = more
    if np.linalg.matrix_rank(np.column_stack([beside, own])) < np.linalg.matrix_rank(beside) + own.shape[1]:
        raise StatsError(
            "Arms and strata cannot be told from each other. Expected strata that are no arms. Leave out a "
            "stratum of the protocol."
        )
    return own


def adjusted_p(
    differences: Sequence[Contrast], covariance: Values, df: float, multiplicity: Multiplicity
) -> list[float]:
    """p values for all comparisons together; NaN where nothing is to be adjusted.

    Parameters
    ----------
    covariance : (C, C)
        Of the comparisons, up to a factor.

    Notes
    -----
    Dunnett: the chance that the largest of the correlated t values is as far from 0 by chance. Holm: stepwise
    Bonferroni; needs no distribution.
    """
    p = [one.p for one in differences]
    if multiplicity not in get_args(Multiplicity):
        raise StatsError(
            f"multiplicity is {multiplicity!r}. Expected one of {', '.join(get_args(Multiplicity))}."
        )
    if multiplicity == "none":
        return [float("nan")] * len(p)
    if len(p) == 1:
        return p
    if multiplicity == "holm":
        order, made, largest = np.argsort(p), [0.0] * len(p), 0.0
        for rank, place in enumerate(order):
            largest = max(largest, min(1.0, p[place] * (len(p) - rank)))
            made[place] = largest
        return made
    made = []
    for one in differences:
        inside = _all_within(abs(one.value / one.standard_error), covariance, df)
        # Its own p below and Bonferroni's above bound it. Those have its own degrees of freedom, which may be
        # more than the fewest, which the integral takes.
        made.append(float(np.clip(1 - inside, one.p, min(1.0, len(p) * one.p))))
    return made


def intervals_together(
    differences: Sequence[Contrast], covariance: Values, df: float, multiplicity: Multiplicity
) -> list[tuple[float, float]]:
    """95 % intervals for all comparisons together; NaN where p is not adjusted after Dunnett.

    Parameters as of `adjusted_p`: a p of that below 0.05 and an interval without 0 are one.
    """
    count = len(differences)
    if multiplicity != "dunnett":
        return [(float("nan"), float("nan"))] * count
    if count == 1:
        return [(one.low, one.high) for one in differences]
    bonferroni = 1 - (1 - TAIL) / count
    ends = t_distribution.ppf([TAIL, bonferroni], df)
    critical = brentq(lambda t: _all_within(t, covariance, df) - (2 * TAIL - 1), *ends, xtol=1e-7)
    made = []
    for one in differences:
        wide = np.clip(critical, *t_distribution.ppf([TAIL, bonferroni], one.df)) * one.standard_error
        made.append((float(one.value - wide), float(one.value + wide)))
    return made


def _all_within(bound: float, covariance: Values, df: float) -> float:
    """The chance that no t value is farther from 0 than the bound.

    Parameters
    ----------
    covariance : (C, C)
        Of the comparisons, up to a factor; two or more.

    Notes
    -----
    The integral of Genz and Bretz: by the Cholesky factor of the correlation one t value after the other,
    each given those before; the first above 0 alone, as both signs are alike.

    References
    ----------
    Genz and Bretz, Journal of Computational and Graphical Statistics 11 (2002) 950-971.
    """
    scale = np.sqrt(np.diag(covariance))
    factor = np.linalg.cholesky(covariance / np.outer(scale, scale))
    spread, *places = _points(len(covariance), df)
    normal: list[Values] = []
    chance = np.full(len(spread), 2.0)
    for number, line in enumerate(factor):
        given = sum((weight * one for weight, one in zip(line[:number], normal, strict=True)), 0 * spread)
        low = ndtr((-bound * spread - given) / line[number]) if number else 0.5
        share = ndtr((bound * spread - given) / line[number]) - low
        chance *= share
        if number < len(places):
            normal.append(ndtri(low + places[number] * share))
    return float(chance.mean())


@lru_cache(maxsize=8)
def _points(comparisons: int, df: float) -> Values:
    """Points of Sobol's sequence, amid their cells: a standard deviation that all share, then the rest."""
    places = qmc.Sobol(comparisons, scramble=False).random_base2(_POINTS).T + 0.5 / 2**_POINTS
    places[0] = chi.ppf(places[0], df) / np.sqrt(df)
    return np.asarray(places, np.float64)
