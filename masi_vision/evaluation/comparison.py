"""Two models on the same photographs: how much better, and whether that could be chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from masi_vision.evaluation.measures import HEADLINES, MEASURES, Measure, Sums
from masi_vision.evaluation.photo_figures import PhotoFigures
from masi_vision.evaluation.region_figures import RegionFigures
from masi_vision.evaluation.summary import DRAWS, INTERVAL, Figure, all_patient_sums, drawn_patients

FLIPS = 10_000
_EXACT_UP_TO = 12
_SEED = 0
_LEAST_P = 0.05


@dataclass(frozen=True)
class Difference:
    """A figure of two models on the same photos.

    Parameters
    ----------
    name : str
        Of the figure, as in `MEASURES`.
    value, other : float
        Of the model in question, and of the one that it is compared with; of the regions that both grade.
    difference : Figure
        Value less other.
    p : float or None
        Of a difference at least as large by chance; None of fewer than two patients.
    """

    name: str
    value: float
    other: float
    difference: Figure
    p: float | None
    patients: int

    @property
    def is_clear(self) -> bool:
        """Whether zero lies outside the interval, and chance is an unlikely reason."""
        low, high, p = self.difference.low, self.difference.high, self.p
        return None not in (low, high, p) and (low or 0.0) * (high or 0.0) > 0 and (p or 0.0) < _LEAST_P

    @property
    def sentence(self) -> str:
        """What can be said of it."""
        measure = MEASURES[self.name]
        told = f"{measure.title} {measure.text(self.value)} against {measure.text(self.other)}"
        people = f"{self.patients} patient" + "s" * (self.patients != 1)
        if self.difference == Figure(0.0, 0.0, 0.0):
            return f"{told}: the same, {people}."
        if self.p is None:
            return f"{told}: {people}, too few to say how sure that is."
        verdict = _verdict(self.difference, measure)
        doubt = "" if self.is_clear else "no clear difference, "
        return f"{told}: {doubt}{verdict}, p = {_p_text(self.p)}, {people}."

    def to_dict(self) -> dict[str, object]:
        """Plain values."""
        return {
            "value": self.value,
            "other": self.other,
            "difference": self.difference.to_dict(),
            "p": self.p,
            "patients": self.patients,
            "sentence": self.sentence,
        }


def _verdict(difference: Figure, measure: Measure) -> str:
    """By how much better or worse, the interval in the same direction."""
    sign = measure.better or 1
    gain, one, other = (sign * (end or 0.0) for end in (difference.value, difference.low, difference.high))
    word = "better" if gain >= 0 else "worse"
    if gain < 0:
        gain, one, other = -gain, -one, -other
    low, high = (measure.text_apart(end) for end in sorted((one, other)))
    return f"{word} by {measure.text_apart(gain)}{measure.points} ({low} to {high})"


def _p_text(p: float) -> str:
    return f"{p:.1g}" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def compared(figures: Sequence[PhotoFigures], others: Sequence[PhotoFigures]) -> list[Difference]:
    """The headline figures of two models, paired by photo.

    Notes
    -----
    What only one of them measures counts for neither: outlines and grades of a region, mMASI of a photo.
    Interval: patients drawn with replacement, the same for both. Test: within each patient the two models
    change places or not, all ways where there are at most 12 patients, 10,000 at random where there are more.
    """
    if [one.photo for one in figures] != [one.photo for one in others]:
        raise ValueError("figures and others must be of the same photos in the same order")
    pairs = [
        in_common(*both) for both in zip(figures, others, strict=True) if not any(p.problem for p in both)
    ]
    one, other = ([pair[place] for pair in pairs] for place in (0, 1))
    made = (_difference(name, one, other) for name in HEADLINES)
    return [found for found in made if found is not None]


def in_common(one: PhotoFigures, other: PhotoFigures) -> tuple[PhotoFigures, PhotoFigures]:
    """Both with only what both have."""
    return _only_with(one, other), _only_with(other, one)


def _only_with(photo: PhotoFigures, other: PhotoFigures) -> PhotoFigures:
    regions = {name: _region_with(region, other.region(name)) for name, region in photo.regions.items()}
    return replace(photo, regions=regions, mmasi=None if other.mmasi is None else photo.mmasi)


def _region_with(region: RegionFigures, other: RegionFigures) -> RegionFigures:
    apart = None if other.boundary_error_percent is None else region.boundary_error_percent
    return replace(region, boundary_error_percent=apart, graded=region.graded and other.graded)


def _difference(
    name: str, figures: Sequence[PhotoFigures], others: Sequence[PhotoFigures]
) -> Difference | None:
    measure = MEASURES[name]
    one, other = (all_patient_sums(measure, some) for some in (figures, others))
    counted = (one != 0).any(axis=1) | (other != 0).any(axis=1)
    one, other = one[counted], other[counted]
    value, against = (float(measure.made_of(some.sum(axis=0))) for some in (one, other))
    if not np.isfinite([value, against]).all():
        return None
    patients = len(one)
    if patients < 2:
        return Difference(name, value, against, Figure(value - against), None, patients)
    return Difference(
        name,
        value,
        against,
        _with_interval(value - against, measure, one, other),
        _chance(value - against, measure, one, other),
        patients,
    )


def _with_interval(apart: float, measure: Measure, one: Sums, other: Sums) -> Figure:
    """The difference with its paired bootstrap interval."""
    times = drawn_patients(len(one), DRAWS)
    many = measure.made_of(times @ one) - measure.made_of(times @ other)
    low, high = np.quantile(many[np.isfinite(many)], INTERVAL)
    return Figure(apart, float(low), float(high))


def _chance(apart: float, measure: Measure, one: Sums, other: Sums) -> float:
    """How often a difference as large comes about when models change places within patients."""
    flips = _flips(len(one))
    first, second = ((1 - flips) @ a + flips @ b for a, b in ((one, other), (other, one)))
    many = np.abs(measure.made_of(first) - measure.made_of(second))
    return float(np.mean(many[np.isfinite(many)] >= abs(apart) - 1e-12))


def _flips(patients: int) -> Sums:
    """1 where a patient's models change places, (ways, patients)."""
    if patients <= _EXACT_UP_TO:
        return np.array(list(product((0.0, 1.0), repeat=patients)))
    drawn = np.random.default_rng(_SEED).integers(0, 2, (FLIPS - 1, patients)).astype(np.float64)
    return np.vstack([np.zeros(patients), drawn])  # as they are is one of the ways
