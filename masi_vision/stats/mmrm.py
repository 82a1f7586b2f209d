"""A mixed model for repeated measures: visits of a patient correlate as they do, and some may be missing.

As R's package mmrm has it by default: an unstructured covariance of the visits, restricted maximum
likelihood, Satterthwaite's degrees of freedom. Missing at random is assumed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.linalg import solve_triangular
from scipy.optimize import minimize
from scipy.stats import t as t_distribution

from masi_vision.errors import StatsError
from masi_vision.stats.agreement import TAIL

Values = npt.NDArray[np.float64]
_STEP = 1e-4
LEAST_REST = 1e-9
"""Share of the values below which what a model leaves is rounding."""
_FLAT, _STEEPEST = 1e-6, 1e-2
"""Of the gradient: where the fit ends, and from where on it has not."""
_SINGULAR = (
    "The covariance of the visits cannot be fitted. Expected more patients, or fewer visits, than there are. "
    "Leave out the visits that few patients have."
)


@dataclass(frozen=True)
class Contrast:
    """A combination of coefficients, tested against 0.

    Parameters
    ----------
    low, high : float
        95 % interval.
    """

    value: float
    standard_error: float
    df: float
    low: float
    high: float
    p: float


def contrast_of(value: float, standard_error: float, df: float) -> Contrast:
    """A contrast by Student's t."""
    wide = float(t_distribution.ppf(TAIL, df)) * standard_error
    p = float(2 * t_distribution.sf(abs(value) / standard_error, df)) if standard_error else float("nan")
    return Contrast(value, standard_error, df, value - wide, value + wide, p)


@dataclass(frozen=True)
class _Pattern:
    """Patients with the same visits: their visits, design (P, V, K) and values (P, V)."""

    visits: tuple[int, ...]
    design: Values
    values: Values


@dataclass(frozen=True)
class Mmrm:
    """A fitted model.

    Parameters
    ----------
    coefficients : (K,)
    covariance : (K, K)
        Of the coefficients.
    visit_covariance : (V, V)
        Of what is left at the visits of one patient.
    deviance : float
        -2 log of the restricted likelihood.
    patients : int
    """

    coefficients: Values
    covariance: Values
    visit_covariance: Values
    deviance: float
    patients: int
    _patterns: tuple[_Pattern, ...]
    _theta: Values
    _theta_covariance: Values
    _unit: float

    def contrast(self, weights: Values) -> Contrast:
        """Test a combination of coefficients, (K,).

        Notes
        -----
        df = 2 v^2 / (g' A g): v the variance of the combination, g its gradient by the parameters of the
        covariance, A the covariance of these.
        """
        variance = float(weights @ self.covariance @ weights)
        fitted_variance = variance / self._unit**2
        gradient = np.array([weights @ slope @ weights for slope in self._slopes])
        df = 2 * fitted_variance**2 / float(gradient @ self._theta_covariance @ gradient)
        return contrast_of(float(weights @ self.coefficients), float(np.sqrt(variance)), df)

    @cached_property
    def _slopes(self) -> list[Values]:
        """The covariance of the coefficients by every parameter of that of the visits, (K, K) each."""
        try:
            return [
                (
                    _solved(self._patterns, self._theta + step)[1]
                    - _solved(self._patterns, self._theta - step)[1]
                )
                / (2 * _STEP)
                for step in _STEP * np.eye(len(self._theta))
            ]
        except np.linalg.LinAlgError as error:
            raise StatsError(_SINGULAR) from error


def fit_mmrm(values: Values, design: Values, patients: Sequence[str], visits: npt.NDArray[np.int64]) -> Mmrm:
    """Fit by restricted maximum likelihood.

    Parameters
    ----------
    values : (N,)
        One row for every visit of a patient that is there.
    design : (N, K)
        Of full rank.
    patients : sequence of N str
    visits : (N,) int
        Number of the visit, from 0.

    Raises
    ------
    StatsError
        A patient has a visit twice, the design is not of full rank, or the fit does not come to an end.
    """
    if np.linalg.matrix_rank(design) < design.shape[1]:
        raise StatsError(
            f"The model has {design.shape[1]} coefficients, and the data tell only "
            f"{np.linalg.matrix_rank(design)} of them. Expected every arm at every visit, and patients "
            "of each stratum there. Drop a visit, an arm or a stratum."
        )
    count = int(visits.max()) + 1
    beta, *_ = np.linalg.lstsq(design, values, rcond=None)
    spread = float(np.std(values - design @ beta))
    if spread <= LEAST_REST * np.abs(values).max():
        raise StatsError("The values follow the model without rest. Expected patients who differ.")
    # In units of the spread: a search whose steps and bounds are numbers must not know of scores or of OD.
    patterns = _patterns(values / spread, design, patients, visits)
    theta, hessian = _fitted(patterns, _theta_of(0.5 * np.eye(count) + 0.5))
    beta, covariance, deviance = _solved(patterns, theta)
    return Mmrm(
        coefficients=spread * beta,
        covariance=spread**2 * covariance,
        visit_covariance=spread**2 * _sigma(theta, count),
        deviance=deviance + 2 * (len(values) - design.shape[1]) * float(np.log(spread)),
        patients=sum(len(pattern.values) for pattern in patterns),
        _patterns=tuple(patterns),
        _theta=theta,
        _theta_covariance=np.asarray(2 * np.linalg.inv(hessian), np.float64),
        _unit=spread,
    )


def _fitted(patterns: Sequence[_Pattern], start: Values) -> tuple[Values, Values]:
    """The parameters at which the deviance is least, and its second derivatives there."""
    found = minimize(
        lambda theta: _deviance(patterns, theta), start, jac=True, method="BFGS", options={"gtol": _FLAT}
    )
    theta = np.asarray(found.x, np.float64)
    deviance, gradient = _deviance(patterns, theta)
    hessian = _hessian(patterns, theta)
    at_the_end = np.isfinite(deviance) and np.linalg.norm(gradient) <= _STEEPEST
    if not at_the_end or not np.isfinite(hessian).all() or (np.linalg.eigvalsh(hessian) <= 0).any():
        raise StatsError(_SINGULAR)
    return theta, hessian


def _patterns(
    values: Values, design: Values, patients: Sequence[str], visits: npt.NDArray[np.int64]
) -> list[_Pattern]:
    names = np.array(patients)
    groups: dict[tuple[int, ...], list[npt.NDArray[np.int64]]] = {}
    for name in sorted(set(patients)):
        rows = np.flatnonzero(names == name)
        rows = rows[np.argsort(visits[rows], kind="stable")]
        seen = tuple(int(v) for v in visits[rows])
        if len(set(seen)) < len(seen):
            raise StatsError(f"{name} has a visit twice. Expected one value for each.")
        groups.setdefault(seen, []).append(rows)
    return [
        _Pattern(seen, np.stack([design[rows] for rows in of]), np.stack([values[rows] for rows in of]))
        for seen, of in groups.items()
    ]


def _theta_of(sigma: Values) -> Values:
    """Parameters of a covariance: its Cholesky factor, the logarithm of the diagonal."""
    factor = np.linalg.cholesky(sigma)
    factor[np.diag_indices_from(factor)] = np.log(np.diag(factor))
    return np.asarray(factor[np.tril_indices_from(factor)])


def _sigma(theta: Values, count: int) -> Values:
    factor = np.zeros((count, count))
    factor[np.tril_indices(count)] = theta
    factor[np.diag_indices(count)] = np.exp(np.diag(factor))
    return np.asarray(factor @ factor.T)


def _visits_of(theta: Values) -> int:
    return int((np.sqrt(8 * len(theta) + 1) - 1) / 2)


def _solved(patterns: Sequence[_Pattern], theta: Values) -> tuple[Values, Values, float]:
    """Coefficients by generalised least squares, their covariance, and the deviance."""
    sigma = _sigma(theta, _visits_of(theta))
    coefficients = patterns[0].design.shape[2]
    normal, right = np.zeros((coefficients, coefficients)), np.zeros(coefficients)
    log_det, square, number = 0.0, 0.0, 0
    for pattern in patterns:
        factor = np.linalg.cholesky(sigma[np.ix_(pattern.visits, pattern.visits)])
        patients, seen = pattern.values.shape
        side = np.concatenate([pattern.design, pattern.values[..., None]], axis=2)
        flat = np.moveaxis(side, 1, 0).reshape(seen, -1)
        white = solve_triangular(factor, flat, lower=True).reshape(seen, patients, coefficients + 1)
        x, y = white[..., :-1].reshape(-1, coefficients), white[..., -1].ravel()
        normal += x.T @ x
        right += x.T @ y
        square += float(y @ y)
        log_det += 2 * patients * float(np.log(np.diag(factor)).sum())
        number += patients * seen
    covariance = np.asarray(np.linalg.inv(normal), np.float64)
    beta = covariance @ right
    rest = square - float(right @ beta)
    of_normal = float(np.linalg.slogdet(normal)[1])
    deviance = log_det + of_normal + rest + (number - coefficients) * np.log(2 * np.pi)
    return beta, covariance, float(deviance)


def _deviance(patterns: Sequence[_Pattern], theta: Values) -> tuple[float, Values]:
    """The deviance and its gradient by the parameters; infinite where the covariance is singular.

    Notes
    -----
    By the covariance V of a patient's visits: V^-1 - V^-1 X C X' V^-1 - V^-1 r r' V^-1, with C the covariance
    of the coefficients and r what they leave; summed over the patients, G. By its Cholesky factor L: 2 G L.
    """
    count = _visits_of(theta)
    sigma, total = _sigma(theta, count), np.zeros((count, count))
    try:
        beta, covariance, deviance = _solved(patterns, theta)
        inverses = [np.linalg.inv(sigma[np.ix_(one.visits, one.visits)]) for one in patterns]
        factor = np.linalg.cholesky(sigma)
    except np.linalg.LinAlgError:
        return float("inf"), np.zeros_like(theta)
    for pattern, inverse in zip(patterns, inverses, strict=True):
        x = inverse @ pattern.design
        rest = (pattern.values - pattern.design @ beta) @ inverse
        of_coefficients = np.tensordot(x @ covariance, x, axes=([0, 2], [0, 2]))
        part = len(rest) * inverse - of_coefficients - rest.T @ rest
        total[np.ix_(pattern.visits, pattern.visits)] += part
    by_factor = 2 * total @ factor
    by_factor[np.diag_indices(count)] *= np.diag(factor)
    return deviance, np.asarray(by_factor[np.tril_indices(count)])


def _hessian(patterns: Sequence[_Pattern], theta: Values) -> Values:
    """Second derivatives of the deviance, by central differences of its gradient."""
    steps = np.eye(len(theta)) * _STEP
    rows = [
        (_deviance(patterns, theta + step)[1] - _deviance(patterns, theta - step)[1]) / (2 * _STEP)
        for step in steps
    ]
    return np.asarray((np.stack(rows) + np.stack(rows).T) / 2)
