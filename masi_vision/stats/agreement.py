"""Two measurements of the same units: limits of agreement, concordance, and agreement of grades."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import chdtri, ndtri, stdtr, stdtrit

Values = npt.NDArray[np.float64]
TAIL = 0.975
"""Probability below the upper end of an interval: they are all of 95 %."""
# Of scipy.special, here and for the ICC: its distributions check what they are given for fifty times as
# long, at every one of a thousand draws.
_Z = float(ndtri(TAIL))
LEAST_SPREAD = 1e-9
"""Of the largest value: what differs by less differs by the rounding of floating point alone."""
_SAME = 1e-12
LEAST_PAIRS = 3
"""Of fewer there are no limits of agreement."""


@dataclass(frozen=True)
class Estimate:
    """A figure with its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class BlandAltman:
    """How far one measurement lies from the other.

    Parameters
    ----------
    pairs : int
    bias : Estimate
        Mean of first less second.
    sd : float
        Standard deviation of the differences.
    lower, upper : Estimate
        Between which 95 % of the differences lie, if they are normal, with the intervals of these limits.
    slope : Estimate
        Of the difference on the mean of the two: 0 where the bias is the same for small and large values.
    slope_p : float
    """

    pairs: int
    bias: Estimate
    sd: float
    lower: Estimate
    upper: Estimate
    slope: Estimate
    slope_p: float


def paired(one: Values, other: Values) -> tuple[Values, Values]:
    """Two measurements where both are there.

    Raises
    ------
    ValueError
        They are of other lengths, one is infinite, or fewer than three pairs are left.
    """
    first, second = (np.ma.filled(np.ma.asarray(x, np.float64), np.nan) for x in (one, other))
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(f"two rows of one length are needed, got {first.shape} and {second.shape}")
    if np.isinf(first).any() or np.isinf(second).any():
        raise ValueError("a measurement is infinite: numbers are needed, NaN where one is missing")
    there = np.isfinite(first) & np.isfinite(second)
    if there.sum() < LEAST_PAIRS:
        raise ValueError(f"at least {LEAST_PAIRS} pairs are needed, got {there.sum()}")
    return first[there], second[there]


def bland_altman(one: Values, other: Values, *, deviations: float = 1.96) -> BlandAltman:
    """Limits of agreement.

    Parameters
    ----------
    one, other : (N,) float
        NaN where a measurement is missing.
    deviations : float
        The limits lie so many standard deviations from the bias.

    Notes
    -----
    Bland and Altman, Lancet 1986; i: 307-310. Standard error of the bias s / sqrt(n), of a limit
    s sqrt(3 / n); intervals by Student's t with n - 1 degrees of freedom.
    """
    first, second = paired(one, other)
    apart, mean = _apart(first, second), (first + second) / 2
    n, bias, sd = len(apart), float(apart.mean()), float(apart.std(ddof=1))
    quantile = float(stdtrit(n - 1, TAIL))
    of_bias, of_limit = quantile * sd / np.sqrt(n), quantile * sd * np.sqrt(3 / n)
    if not spread_of(apart):  # what never varies says nothing of how it would
        of_bias = of_limit = np.nan
    lower, upper = bias - deviations * sd, bias + deviations * sd
    slope, p = _slope(mean, apart)
    return BlandAltman(
        n,
        Estimate(bias, bias - of_bias, bias + of_bias),
        sd,
        Estimate(lower, lower - of_limit, lower + of_limit),
        Estimate(upper, upper - of_limit, upper + of_limit),
        slope,
        p,
    )


def _apart(first: Values, second: Values) -> Values:
    """First less second; 0 where they differ by rounding alone."""
    apart = first - second
    least = LEAST_SPREAD * np.maximum(np.abs(first), np.abs(second))
    return np.where(np.abs(apart) > least, apart, 0.0)


def _slope(mean: Values, apart: Values) -> tuple[Estimate, float]:
    if not spread_of(mean):
        return Estimate(np.nan, np.nan, np.nan), np.nan
    # Least squares by hand: scipy.stats.linregress, for a thousand draws, takes most of an agreement's time.
    along, df = mean - mean.mean(), len(mean) - 2
    slope = float(along @ apart / (along @ along))
    rest = apart - apart.mean() - slope * along
    if np.ptp(rest) <= LEAST_SPREAD * np.abs(apart).max():  # on a line: of two raters one never varies
        return Estimate(slope, np.nan, np.nan), np.nan
    error = float(np.sqrt(rest @ rest / df / (along @ along)))
    wide = float(stdtrit(df, TAIL)) * error
    return Estimate(slope, slope - wide, slope + wide), 2 * float(stdtr(df, -abs(slope) / error))


def spread_of(values: Values) -> float:
    """From the least to the greatest; 0 where they differ by rounding alone."""
    spread = float(np.ptp(values))
    return spread if spread > LEAST_SPREAD * np.abs(values).max() else 0.0


def within_unit_sd(one: Values, other: Values) -> Estimate:
    """Standard deviation of repeated measurements of one unit.

    Notes
    -----
    sqrt(mean squared difference / 2); interval by chi-square with as many degrees of freedom as pairs, as if
    every pair were another patient's; none where no pair differs.
    """
    first, second = paired(one, other)
    sd, n = float(np.sqrt((_apart(first, second) ** 2).mean() / 2)), len(first)
    if sd == 0:
        return Estimate(0.0, np.nan, np.nan)
    low, high = (sd * np.sqrt(n / chdtri(n, tail)) for tail in (1 - TAIL, TAIL))
    return Estimate(sd, float(low), float(high))


def correlation(one: Values, other: Values) -> Estimate:
    """Pearson's r and its interval by Fisher's z, of more than three pairs; NaN where one never varies."""
    x, y = paired(one, other)
    if not (spread_of(x) and spread_of(y)):
        return Estimate(np.nan, np.nan, np.nan)
    r, n = float(np.corrcoef(x, y)[0, 1]), len(x)
    if n == LEAST_PAIRS or 1 - abs(r) < _SAME:
        return Estimate(r, np.nan, np.nan)
    wide = _Z / np.sqrt(n - 3)
    return Estimate(r, float(np.tanh(np.arctanh(r) - wide)), float(np.tanh(np.arctanh(r) + wide)))


def wilson(share: float, n: int) -> Estimate:
    """A share of n with Wilson's interval (Journal of the American Statistical Association 22 (1927) 209)."""
    z = _Z
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    wide = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return Estimate(share, min(share, float(middle - wide)), max(share, float(middle + wide)))


def concordance(one: Values, other: Values) -> Estimate:
    """Lin's coefficient: how near the pairs lie to the line on which both are equal.

    Notes
    -----
    2 s_xy / (s_x^2 + s_y^2 + (m_x - m_y)^2), variances by n; interval by Fisher's z. Lin, Biometrics 45
    (1989) 255-268, the variance as corrected in Biometrics 56 (2000) 324-325.
    """
    x, y = paired(one, other)
    n = len(x)
    var_x, var_y = (float(one.var()) if spread_of(one) else 0.0 for one in (x, y))
    shift = float(x.mean() - y.mean())
    if abs(shift) <= LEAST_SPREAD * max(np.abs(x).max(), np.abs(y).max()):
        shift = 0.0
    covariance = float(((x - x.mean()) * (y - y.mean())).mean()) if var_x and var_y else 0.0
    whole = var_x + var_y + shift**2
    if whole == 0:
        return Estimate(np.nan, np.nan, np.nan)
    value = 2 * covariance / whole
    if var_x == 0 or var_y == 0 or abs(value) >= 1:
        return Estimate(value, value, value) if abs(value) >= 1 else Estimate(value, np.nan, np.nan)
    r = covariance / np.sqrt(var_x * var_y)
    u = shift / (var_x * var_y) ** 0.25
    bias = 2 * np.sqrt(var_x * var_y) / whole  # value / r, which is there where r is 0 too
    spread = (
        (1 - r**2) * bias**2 / (1 - value**2)
        + 2 * value**2 * bias * (1 - value) * u**2 / (1 - value**2) ** 2
        - value**2 * bias**2 * u**4 / (2 * (1 - value**2) ** 2)
    ) / (n - 2)
    wide = _Z * np.sqrt(max(spread, 0.0))
    z = np.arctanh(value)
    return Estimate(value, float(np.tanh(z - wide)), float(np.tanh(z + wide)))


@dataclass(frozen=True)
class GradeAgreement:
    """Two raters' grades of the same units.

    Parameters
    ----------
    kappa : float
        Quadratic weighted; NaN where both gave one grade throughout.
    exact, within_one : float
        Share of the units.
    """

    pairs: int
    kappa: float
    exact: float
    within_one: float


def grade_agreement(one: Values, other: Values) -> GradeAgreement:
    """Agreement of grades.

    Notes
    -----
    kappa = 1 - mean of (i - j)^2 / the same by chance, each of the two keeping how often he gives which
    grade. Cohen, Psychological Bulletin 70 (1968) 213-220.
    """
    first, second = paired(one, other)
    apart = first - second
    by_chance = first.var() + second.var() + (first.mean() - second.mean()) ** 2
    kappa = 1 - (apart**2).mean() / by_chance if by_chance else np.nan
    return GradeAgreement(
        len(apart), float(kappa), float((apart == 0).mean()), float((np.abs(apart) <= 1).mean())
    )
