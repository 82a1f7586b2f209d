"""How far from the truth a measure can be: 90 % intervals, read off phantoms whose truth is known.

A table says, for values that can be measured, between which ends the truth lay in 90 % of the phantoms that
measured like that. The phantoms are of people on whom no network was fitted; the tables stand in
`models/pigment.json`, and `benchmarks/README.md` says how often they held on others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf

import numpy as np


@dataclass(frozen=True)
class Band:
    """Where the truth lay, by what was measured.

    Parameters
    ----------
    measured : (N,) tuple
        Increasing; values in between are interpolated, those beyond take the end's distances.
    below, above : (N,) tuples
        How far the truth lay below and above what was measured; never negative.
    """

    measured: tuple[float, ...]
    below: tuple[float, ...]
    above: tuple[float, ...]

    def __post_init__(self) -> None:
        """Refuse tables that cannot be read off."""
        if not self.measured or not len(self.measured) == len(self.below) == len(self.above):
            raise ValueError("measured, below and above must have one length, and at least one value")
        if not all(low < high for low, high in pairwise(self.measured)):
            raise ValueError("measured must increase")
        if not all(0 <= value < inf for value in (*self.measured, *self.below, *self.above)):
            raise ValueError("measured, below and above must be numbers of 0 and more")

    def around(self, value: float) -> tuple[float, float]:
        """Low and high end around a measured value; never below 0."""
        below = float(np.interp(value, self.measured, self.below))
        above = float(np.interp(value, self.measured, self.above))
        return max(0.0, value - below), value + above


@dataclass(frozen=True)
class Distances:
    """How far from the truth changes lay, by their size.

    Parameters
    ----------
    size_od : (N,) tuple
        Sizes of measured changes, increasing, whatever their sign; sizes in between are interpolated, larger
        ones take the last.
    within_od : (N,) tuple
        Nine truths in ten lay within this of a change of that size.
    """

    size_od: tuple[float, ...]
    within_od: tuple[float, ...]

    def __post_init__(self) -> None:
        """Refuse tables that cannot be read off."""
        if not self.size_od or len(self.size_od) != len(self.within_od):
            raise ValueError("size_od and within_od must have one length, and at least one value")
        if not all(low < high for low, high in pairwise(self.size_od)):
            raise ValueError("size_od must increase")
        if not all(0 <= value < inf for value in (*self.size_od, *self.within_od)):
            raise ValueError("size_od and within_od must be numbers of 0 and more")

    def of(self, change_od: float) -> float:
        """How far from the truth a change may be."""
        return float(np.interp(abs(change_od), self.size_od, self.within_od))


@dataclass(frozen=True)
class ChangeError:
    """How far a change between two visits laid over each other was from the truth.

    Parameters
    ----------
    by_clear : tuple of (float, Distances)
        Of a region, where no more than this share of the face is surely clear (`ChangeMap.clear_fraction`):
        by what did not change the two photographs are evened out. Shares increase up to 1.
    share : float
        How much of the regions' mean distance that of their weighted mean has: errors of four regions partly
        cancel.
    """

    by_clear: tuple[tuple[float, Distances], ...]
    share: float = 1.0

    def __post_init__(self) -> None:
        """Refuse tables that leave a face without any."""
        if not 0 <= self.share <= 1:
            raise ValueError(f"share must be in [0, 1], got {self.share}")
        _increase_up_to_1("by_clear", [share for share, _ in self.by_clear])

    def around(self, change_od: float, clear_fraction: float) -> tuple[float, float]:
        """Low and high end around the measured change of a region, given the share of surely clear skin."""
        within = next(far for share, far in self.by_clear if clear_fraction <= share).of(change_od)
        return change_od - within, change_od + within

    def around_mean(
        self, ends_od: Sequence[tuple[float, float]], weights: Sequence[float]
    ) -> tuple[float, float]:
        """Low and high end around the weighted mean of the regions' changes, given the ends of each."""
        low, high = np.average(ends_od, axis=0, weights=weights)
        middle, within = (low + high) / 2, self.share * (high - low) / 2
        return float(middle - within), float(middle + within)


@dataclass(frozen=True)
class MeasureError:
    """Errors of one method's measures.

    Parameters
    ----------
    fraction, contrast_od : Band
        Of a region's pigmented fraction and contrast.
    share : float
        How much of the regions' intervals the score's has: errors of four regions partly cancel. The score's
        ends are those of measures moved by this share of the way to their own ends.
    by_doubt : tuple of (float, Band)
        Of the fraction, where no more than this share of the region's skin is undecided; shares increase up
        to 1. Empty: ``fraction`` holds for all.
    change_share : float
        How much a change between two visits has of both scores' intervals, added as if their errors were
        independent: what is wrong in one face is mostly wrong in it again.
    """

    fraction: Band
    contrast_od: Band
    share: float
    by_doubt: tuple[tuple[float, Band], ...] = ()
    change_share: float = 1.0

    def __post_init__(self) -> None:
        """Refuse bands that leave a region without any, and ends beyond those of the regions."""
        for name in ("share", "change_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be in [0, 1], got {getattr(self, name)}")
        if self.by_doubt:
            _increase_up_to_1("by_doubt", [share for share, _ in self.by_doubt])

    def around_fraction(self, fraction: float, undecided: float) -> tuple[float, float]:
        """Low and high end around a measured fraction, given the share of the skin that is undecided."""
        band = next((band for share, band in self.by_doubt if undecided <= share), self.fraction)
        low, high = band.around(fraction)
        return low, min(1.0, high)


def _increase_up_to_1(name: str, shares: list[float]) -> None:
    if shares != sorted(set(shares)) or shares[-1:] != [1] or not shares[0] >= 0:
        raise ValueError(f"{name} must increase up to 1, got {shares}")
