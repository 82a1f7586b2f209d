"""Intraclass correlations: how much of what differs between units is theirs, and how much the raters'.

After Shrout and Fleiss, Psychological Bulletin 86 (1979) 420-428, and McGraw and Wong, Psychological
Methods 1 (1996) 30-46.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import chdtri, fdtri

from masi_vision.stats.agreement import LEAST_SPREAD, TAIL, Estimate

Values = npt.NDArray[np.float64]
Form = Literal["1,1", "2,1", "3,1", "1,k", "2,k", "3,k"]


@dataclass(frozen=True)
class Reliability:
    """What raters agree on, and by how much they err.

    Parameters
    ----------
    units, raters : int
        Of the units that every rater graded.
    icc : dict of str to Estimate
        By Shrout and Fleiss: ``1`` each unit by other raters; ``2`` absolute agreement of raters who stand
        for raters in general; ``3`` consistency of these raters; ``,1`` one rater, ``,k`` the mean of all.
    sem_agreement : Estimate
    sem_consistency : float
        Standard error of one rater's measurement, in the unit of the grades; with and without what raters
        differ on the whole.
    """

    units: int
    raters: int
    icc: dict[Form, Estimate]
    sem_agreement: Estimate
    sem_consistency: float

    @property
    def smallest_detectable_change(self) -> Estimate:
        """What two measurements of one unit by any raters differ by at most, 19 times of 20.

        1.96 sqrt(2) SEM of agreement.
        """
        sem, times = self.sem_agreement, 1.96 * np.sqrt(2)
        return Estimate(*(float(times * one) for one in (sem.value, sem.low, sem.high)))


def complete_rows(table: Values) -> npt.NDArray[np.bool_]:
    """Which units every rater graded."""
    return np.asarray(np.isfinite(table).all(axis=1))


def reliability(table: Values) -> Reliability:
    """Intraclass correlations of units by raters.

    Parameters
    ----------
    table : (U, R) float
        Grade of each unit by each rater; NaN where it is missing. Units with a missing grade are left out.

    Raises
    ------
    ValueError
        A grade is infinite, there are fewer than two raters, or fewer than two units that all of them graded.
    """
    given = np.ma.filled(np.ma.asarray(table, np.float64), np.nan)
    if np.isinf(given).any():
        raise ValueError("a grade is infinite: numbers are needed, NaN where one is missing")
    given = given[complete_rows(given)]
    units, raters = given.shape
    if raters < 2 or units < 2:
        raise ValueError(f"at least 2 units by 2 raters are needed, all graded; got {units} by {raters}")
    squares = _mean_squares(given)
    forms: dict[Form, Estimate] = {
        "1,1": _one(squares),
        "2,1": _two(squares),
        "3,1": _three(squares),
    }
    means: dict[Form, Estimate] = {f"{form[0]},k": _of_mean(icc, raters) for form, icc in forms.items()}  # type: ignore[misc]
    error = max(squares.error, 0.0)
    between_raters = max((squares.raters - squares.error) / units, 0.0)
    sem = _sem(float(np.sqrt(error + between_raters)), squares)
    return Reliability(units, raters, forms | means, sem, float(np.sqrt(error)))


def _sem(value: float, squares: _MeanSquares) -> Estimate:
    """The standard error of agreement with its interval.

    Notes
    -----
    SEM^2 = MS(raters) / n + MS(error) (n - 1) / n, a sum of two mean squares: the modified large-sample
    interval of Graybill and Wang, Journal of the American Statistical Association 75 (1980) 869-873.
    """
    if value == 0:
        return Estimate(0.0, np.nan, np.nan)
    n, k = squares.n, squares.k
    parts = np.array([squares.raters / n, squares.error * (n - 1) / n])
    df = np.array([k - 1, (n - 1) * (k - 1)])
    below = np.sqrt((((1 - df / chdtri(df, 1 - TAIL)) * parts) ** 2).sum())
    above = np.sqrt((((df / chdtri(df, TAIL) - 1) * parts) ** 2).sum())
    low, high = np.sqrt(max(parts.sum() - below, 0.0)), np.sqrt(parts.sum() + above)
    return Estimate(value, min(value, float(low)), max(value, float(high)))


@dataclass(frozen=True)
class _MeanSquares:
    """Of units, of raters, of what is left, and of all but the units; and how many there are."""

    units: float
    raters: float
    error: float
    within: float
    n: int
    k: int


def _mean_squares(given: Values) -> _MeanSquares:
    n, k = given.shape
    mean = given.mean()
    of_units, of_raters = given.mean(axis=1), given.mean(axis=0)
    between = k * ((of_units - mean) ** 2).sum()
    raters = n * ((of_raters - mean) ** 2).sum()
    left = ((given - of_units[:, None] - of_raters + mean) ** 2).sum()
    # What rounding leaves of nothing would be divided by itself.
    least = given.size * (LEAST_SPREAD * np.abs(given).max()) ** 2
    between, raters, left = (0.0 if one <= least else float(one) for one in (between, raters, left))
    return _MeanSquares(
        between / (n - 1),
        raters / (k - 1),
        left / ((n - 1) * (k - 1)),
        (raters + left) / (n * (k - 1)),
        n,
        k,
    )


def _one(squares: _MeanSquares) -> Estimate:
    return _by_ratio(squares.units, squares.within, squares.n - 1, squares.n * (squares.k - 1), squares.k)


def _three(squares: _MeanSquares) -> Estimate:
    left = (squares.n - 1) * (squares.k - 1)
    return _by_ratio(squares.units, squares.error, squares.n - 1, left, squares.k)


def _by_ratio(units: float, rest: float, df_units: int, df_rest: int, k: int) -> Estimate:
    """(F - 1) / (F + k - 1), F the ratio of the two mean squares, and its interval by the F distribution."""
    if units == 0 and rest == 0:
        return Estimate(np.nan, np.nan, np.nan)
    value = (units - rest) / (units + (k - 1) * rest)
    if rest == 0:
        return Estimate(1.0, 1.0, 1.0)
    ratio = units / rest
    low = ratio / fdtri(df_units, df_rest, TAIL)
    high = ratio * fdtri(df_rest, df_units, TAIL)
    return Estimate(value, float((low - 1) / (low + k - 1)), float((high - 1) / (high + k - 1)))


def _two(squares: _MeanSquares) -> Estimate:
    """Absolute agreement; its interval by Satterthwaite's degrees of freedom (McGraw and Wong, table 7)."""
    n, k = squares.n, squares.k
    between, raters, error = squares.units, squares.raters, squares.error
    whole = between + (k - 1) * error + k * (raters - error) / n
    if whole == 0:
        return Estimate(np.nan, np.nan, np.nan)
    value = (between - error) / whole
    if value >= 1 or between == 0:
        bound = float(value) if value >= 1 else np.nan
        return Estimate(float(value), bound, bound)
    a = k * value / (n * (1 - value))
    b = 1 + k * value * (n - 1) / (n * (1 - value))
    parts = (a * raters) ** 2 / (k - 1) + (b * error) ** 2 / ((n - 1) * (k - 1))
    df = (a * raters + b * error) ** 2 / parts if parts > 0 else np.inf
    above = fdtri(n - 1, df, TAIL)
    below = fdtri(df, n - 1, TAIL)
    rest = k * raters + (k * n - k - n) * error
    with np.errstate(invalid="ignore", divide="ignore"):  # of two or three units: no bound, NaN
        low = n * (between - above * error) / (above * rest + n * between)
        high = n * (below * between - error) / (rest + n * below * between)
    low, high = max(float(low), -1 / (k - 1)), float(high)  # an approximation: of negative values it may miss
    return Estimate(float(value), min(float(value), low), max(float(value), high))


def _of_mean(one: Estimate, k: int) -> Estimate:
    """Of the mean of k raters (Spearman and Brown); NaN where raters agree less than none can on average."""
    value, low, high = (
        float(k * p / (1 + (k - 1) * p)) if 1 + (k - 1) * p > 1e-12 else -np.inf if p == p else np.nan
        for p in (one.value, one.low, one.high)
    )
    if not np.isfinite(high):
        return Estimate(np.nan, np.nan, np.nan)
    return Estimate(value if np.isfinite(value) else np.nan, low, high)
