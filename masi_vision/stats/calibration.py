"""Cut points by which measures become the grades that a panel gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

Values = npt.NDArray[np.float64]
Grades = npt.NDArray[np.int64]

LEAST_OF_A_GRADE = 5
"""Fewer reads than this of a grade do not fix where it begins. Chosen here."""
_FOLDS = 5
_STEEPEST = 1e3


_BELOW = 0.9
"""Where the second cut point lies at or below the threshold, the first is this share of it."""


@dataclass(frozen=True)
class Calibration:
    """Cut points with how well they do on patients that they were not fitted to.

    Parameters
    ----------
    cut_points : tuple of float
        Where grades 1, 2, ... (or 2, 3, ...) begin, in the unit of the measure.
    reads, patients : int
        What they were fitted to.
    error, error_before : float
        Mean absolute difference between grade and read, in grades, cross-validated by patient; and that of
        the cut points that were there before, on the same reads.
    exact, within_one : float
        Share of reads, cross-validated.
    given, found : tuple of int
        How many reads have grade 0, 1, ..., by the readers and by the software, cross-validated.
    """

    cut_points: tuple[float, ...]
    reads: int
    patients: int
    error: float
    error_before: float
    exact: float
    within_one: float
    given: tuple[int, ...]
    found: tuple[int, ...]


def first_cut(threshold: float, second: float) -> float:
    """Where grade 1 begins when grade 2 does at ``second``: at the threshold, unless that lies no lower."""
    return min(threshold, _BELOW * second)


def calibrate(
    measured: Values,
    grades: Grades,
    patients: Sequence[str],
    before: Sequence[float],
    *,
    lowest: int,
    threshold: float = 0.0,
) -> Calibration:
    """Fit cut points to a panel's grades.

    Parameters
    ----------
    measured : (N,) float
        The measure of the region that was read, above 0.
    grades : (N,) int
        From ``lowest`` up; one cut point is fitted for each grade above ``lowest``.
    patients : sequence of N str
        Whose region it was; a patient is never in both halves of the cross-validation.
    before : sequence of float
        The cut points in use, as many.
    threshold : float
        Below it the software gives a grade less than ``lowest``, which counts in the errors; see `first_cut`.

    Raises
    ------
    ValueError
        A grade was given too seldom, or higher measures do not come with higher grades.
    """
    names, count = np.array(patients), len(before)
    given = np.bincount(grades, minlength=lowest + count + 1)
    if scarce := [k for k in range(lowest, lowest + count + 1) if given[k] < LEAST_OF_A_GRADE]:
        raise ValueError(
            f"grade {scarce[0]} was given {given[scarce[0]]} times. Expected each grade from {lowest} to "
            f"{lowest + count} at least {LEAST_OF_A_GRADE} times"
        )
    cuts = fit_cut_points(measured, grades, lowest=lowest, count=count)
    found = np.zeros_like(grades)
    for there in _folds(names):
        others = fit_cut_points(measured[~there], grades[~there], lowest=lowest, count=count)
        found[there] = _graded_from(threshold, measured[there], others, lowest)
    apart = found - grades
    old = _graded_from(threshold, measured, before, lowest) - grades
    return Calibration(
        tuple(cuts),
        len(grades),
        len(np.unique(names)),
        float(abs(apart).mean()),
        float(abs(old).mean()),
        float((apart == 0).mean()),
        float((abs(apart) <= 1).mean()),
        tuple(given.tolist()),
        tuple(np.bincount(found, minlength=len(given)).tolist()),
    )


def _graded_from(threshold: float, measured: Values, cuts: Sequence[float], lowest: int) -> Grades:
    return graded(measured, (first_cut(threshold, cuts[0]), *cuts), lowest - 1)


def graded(measured: Values, cut_points: Sequence[float], lowest: int) -> Grades:
    """Grade by cut points; a measure on one has the higher grade."""
    return np.asarray(lowest + np.searchsorted(np.asarray(cut_points), measured, side="right"), np.int64)


def fit_cut_points(measured: Values, grades: Grades, *, lowest: int, count: int) -> list[float]:
    """Where a reader is as likely to give at least a grade as not to.

    Notes
    -----
    Proportional odds (McCullagh 1980) on the logarithm x of the measure: logit P(grade >= k) = b (x - c_k),
    all c_k and b > 0 by maximum likelihood; the cut points are exp(c_k).
    """
    level = grades - lowest
    seen = np.bincount(level, minlength=count + 1)
    if not seen.all():
        raise ValueError(
            f"all reads of grade {lowest + int(seen.argmin())} are of patients in one fold. Expected several "
            "patients with each grade: let the panel read more photos"
        )
    x = np.log(measured)

    def unpacked(parameters: Values) -> tuple[float, Values]:
        steps = np.exp(parameters[2:])
        return float(np.exp(np.clip(parameters[0], -5, np.log(_STEEPEST)))), parameters[1] + np.concatenate(
            [[0.0], np.cumsum(steps)]
        )

    def surprise(parameters: Values) -> float:
        slope, cuts = unpacked(parameters)
        reach = 1 / (1 + np.exp(-np.clip(slope * (x[:, None] - cuts), -40, 40)))
        reach = np.hstack([np.ones((len(x), 1)), reach, np.zeros((len(x), 1))])
        rows = np.arange(len(x))
        return float(-np.log(np.maximum(reach[rows, level] - reach[rows, level + 1], 1e-12)).sum())

    shares = np.cumsum(seen[:count]) / len(grades)
    first = np.quantile(x, shares)
    start = np.concatenate([[0.7, first[0]], np.log(np.maximum(np.diff(first), 0.05))])
    found = minimize(surprise, start, method="BFGS")
    slope, cuts = unpacked(found.x)
    if np.corrcoef(x, grades)[0, 1] <= 0 or slope < 0.05:
        raise ValueError(
            "higher measures do not come with higher grades. Expected reads and measures of the same photos: "
            "check that patients, visits and regions are named alike in both files"
        )
    lacking = {
        f"grade {lowest} where little": x.min() < cuts[0],
        f"grade {lowest + count} where much": cuts[-1] < x.max(),
    }
    if few := [reads for reads, is_within in lacking.items() if not is_within]:
        raise ValueError(
            f"cut points would lie beyond what was measured, {np.exp(x.min()):.3g} to {np.exp(x.max()):.3g}. "
            "Expected the lowest grade to be likelier than the others together at the least measure, and the "
            "highest at the greatest, in all of the panel and in each four fifths of its patients. Let the "
            f"panel read more regions of {' and of '.join(few)} is measured"
        )
    return [float(cut) for cut in np.exp(cuts)]


def _folds(names: npt.NDArray[np.str_]) -> list[npt.NDArray[np.bool_]]:
    """Masks of the reads of every fifth patient, in an order drawn once."""
    order = np.random.default_rng(0).permutation(np.unique(names))
    return [np.isin(names, order[first::_FOLDS]) for first in range(min(_FOLDS, len(order)))]
