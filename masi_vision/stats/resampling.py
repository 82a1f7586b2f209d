"""Intervals by drawing patients anew: visits of one patient are alike, so patients are drawn, not visits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from masi_vision.stats.agreement import TAIL, Estimate

Rows = npt.NDArray[np.int64]
DRAWS = 1000
LEAST_PATIENTS = 8
"""Drawn from fewer, intervals are far too narrow (chosen here: of 5 patients 83 in 100 held the mean)."""
SEED = 0
KIND = "percentile, patients resampled"
_ROUNDED = 1e-12
"""What draws differ by less is rounding."""


def by_patient(
    figures: Callable[[Rows], Mapping[str, float]], patients: Sequence[str], *, draws: int = DRAWS
) -> dict[str, Estimate]:
    """Figures and their percentile intervals, all from the same draws.

    Parameters
    ----------
    figures : callable
        From numbers of rows, some of them several times, to figures by name; a figure is NaN, or all of them
        a ValueError, where those rows have none.
    patients : sequence of str
        Of each row.

    Returns
    -------
    dict of str to Estimate
        Without an interval for fewer than `LEAST_PATIENTS`, where fewer than nine draws in ten have a figure,
        or where all draws have one figure: what never varies says nothing of how it would.
    """
    names = np.array(patients)
    values = figures(np.arange(len(names)))
    groups = [np.flatnonzero(names == name) for name in sorted(set(patients))]
    if len(groups) < LEAST_PATIENTS:
        return {name: Estimate(value, np.nan, np.nan) for name, value in values.items()}
    rng = np.random.default_rng(SEED)
    drawn = (rng.integers(len(groups), size=len(groups)) for _ in range(draws))
    many = [_of(figures, np.concatenate([groups[i] for i in picks])) for picks in drawn]
    return {
        name: Estimate(value, *_ends(np.array([one.get(name, np.nan) for one in many])))
        for name, value in values.items()
    }


def _of(figures: Callable[[Rows], Mapping[str, float]], rows: Rows) -> Mapping[str, float]:
    try:
        return figures(rows)
    except ValueError:
        return {}


def _ends(many: npt.NDArray[np.float64]) -> tuple[float, float]:
    there = many[np.isfinite(many)]
    if len(there) < 0.9 * len(many) or np.ptp(there) <= _ROUNDED * max(1.0, np.abs(there).max()):
        return np.nan, np.nan
    low, high = np.quantile(there, (1 - TAIL, TAIL))
    return float(low), float(high)
