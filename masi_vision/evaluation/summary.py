"""Figures of many photographs: pooled, with intervals by patient, and by view, tone and site."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from masi_vision.evaluation.measures import MEASURES, Measure, Sums
from masi_vision.evaluation.photo_figures import PhotoFigures
from masi_vision.skin.tone import TONES

DRAWS = 1000
INTERVAL = (0.025, 0.975)
_SEED = 0


@dataclass(frozen=True)
class Figure:
    """A figure with its 95 % interval.

    Parameters
    ----------
    value : float or None
        None where nothing was counted.
    low, high : float or None
        None also of fewer than two patients.
    """

    value: float | None
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        """Refuse half an interval, and numbers that are none."""
        if (self.low is None) != (self.high is None):
            raise ValueError(f"low and high must be given together, got {self.low} and {self.high}")
        if not all(np.isfinite(one) for one in (self.value, self.low, self.high) if one is not None):
            raise ValueError(f"a figure must be finite or None, got {self}")

    def to_dict(self) -> dict[str, float | None]:
        """Plain values."""
        return {"value": self.value, "low": self.low, "high": self.high}


def summary(figures: Sequence[PhotoFigures], draws: int = DRAWS) -> dict[str, Figure]:
    """Every figure of a group of photographs, with its interval.

    Parameters
    ----------
    figures : sequence of PhotoFigures
        Those that could not be read count nowhere.

    Notes
    -----
    Patients are drawn with replacement, each with all photos: photos of one person are alike.
    """
    used = [photo for photo in figures if not photo.problem]
    return {name: _figure(measure, used, draws) for name, measure in MEASURES.items()}


def _figure(measure: Measure, figures: Sequence[PhotoFigures], draws: int) -> Figure:
    sums = patient_sums(measure, figures)
    value = measure.made_of(sums.sum(axis=0)) if len(sums) else np.nan
    if not np.isfinite(value):
        return Figure(None)
    if len(sums) < 2:
        return Figure(float(value))
    many = measure.made_of(drawn_patients(len(sums), draws) @ sums)
    low, high = np.quantile(many[np.isfinite(many)], INTERVAL)
    return Figure(float(value), float(low), float(high))


def patients_of(figures: Sequence[PhotoFigures]) -> list[str]:
    """Everybody who was photographed."""
    return sorted({photo.patient for photo in figures})


def patient_sums(measure: Measure, figures: Sequence[PhotoFigures]) -> Sums:
    """Parts of a figure summed by patient, (patients, parts); of those of whom anything is counted."""
    sums = all_patient_sums(measure, figures)
    return np.asarray(sums[(sums != 0).any(axis=1)])


def all_patient_sums(measure: Measure, figures: Sequence[PhotoFigures]) -> Sums:
    """Parts of a figure summed by patient, (patients, parts), in the order of `patients_of`."""
    place = {name: number for number, name in enumerate(patients_of(figures))}
    parts = np.array([measure.parts(photo) for photo in figures], np.float64)
    if not len(parts):
        return np.zeros((0, 1))
    sums = np.zeros((len(place), parts.shape[1]))
    np.add.at(sums, [place[photo.patient] for photo in figures], parts)
    return sums


@lru_cache(maxsize=4)
def drawn_patients(patients: int, draws: int) -> Sums:
    """How often each patient counts in each draw with replacement, (draws, patients); the same every time."""
    picks = np.random.default_rng(_SEED).integers(0, patients, (draws, patients))
    times = np.stack([np.bincount(pick, minlength=patients) for pick in picks]).astype(np.float64)
    times.flags.writeable = False
    return times


def groups(figures: Sequence[PhotoFigures]) -> dict[str, list[PhotoFigures]]:
    """The photographs that could be read: all, then those of each view, skin tone and site."""
    used = [photo for photo in figures if not photo.problem]
    made = {"all": used}
    for kind, key in (("view", "view"), ("skin", "tone"), ("site", "site")):
        for name in _names(used, key):
            made[f"{kind}: {name}"] = [photo for photo in used if getattr(photo, key) == name]
    return made


def _names(figures: Sequence[PhotoFigures], key: str) -> list[str]:
    """What there is of a kind; skin from light to dark."""
    found = {getattr(photo, key) for photo in figures} - {""}
    order = {name: place for place, (name, _) in enumerate(TONES)}
    return sorted(found, key=lambda name: (order.get(name, 0), name))
