"""Codes, hidden repeats and orders of reading: what chance decides."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence

import numpy as np

ALPHABET = "23456789BCDFGHJKMNPQRTVWXYZ"
"""Digits and capitals that are not taken for each other, and no vowels: no code is a word."""
CODE_LENGTH = 7
LEAST_REPEATS = 32
"""Hidden repeats below which the agreement of a reader with himself is not worth much: with a true ICC of
0.90, 32 give a 95 % interval of 0.07 to either side (computed; docs/blinding.md)."""


def draw_codes(count: int) -> list[str]:
    """So many different codes from the system's secure source, in no order."""
    codes: dict[str, None] = {}
    while len(codes) < count:
        codes["".join(secrets.choice(ALPHABET) for _ in range(CODE_LENGTH))] = None
    return list(codes)


def repeats_wanted(units: int, share: float) -> int:
    """How many of so many units come twice: the share, at least 32, but never more than every second one."""
    if not 0 <= share <= 1:
        raise ValueError(f"share must be in [0, 1], got {share}")
    if share == 0:
        return 0
    return min(units // 2, max(round(share * units), LEAST_REPEATS))


def reading_order(
    codes: Sequence[str], first_of: Mapping[str, str], rng: np.random.Generator
) -> tuple[list[str], int]:
    """A reader's order, and the least number of units between a photograph and its repeat.

    Parameters
    ----------
    codes : sequence of str
    first_of : mapping
        Code of a repeat to the code of the unit that it repeats. Which of the two is read first is left to
        chance.

    Notes
    -----
    A random order in which the two of a pair stand at least a third of the list apart. Single units are
    dealt by chance to what is left; a pair is dealt to two places at that distance, drawn anew until all fit,
    with the distance given up unit by unit where they never do.
    """
    length = len(codes)
    for apart in range(-(-length // 3), 0, -1):
        for _ in range(50):
            placed = _dealt(codes, first_of, apart, rng)
            if placed is not None:
                return placed, apart
    return [codes[at] for at in rng.permutation(length)], 0


def _dealt(
    codes: Sequence[str], first_of: Mapping[str, str], apart: int, rng: np.random.Generator
) -> list[str] | None:
    """Pairs to places at least so far apart, the others to what is left; None where a pair finds none."""
    order: list[str | None] = [None] * len(codes)
    for repeat, first in first_of.items():
        free = np.flatnonzero([one is None for one in order])
        one, other = np.meshgrid(free, free)
        fits = np.argwhere(np.abs(one - other) >= apart)
        if not len(fits):
            return None
        row, column = fits[rng.integers(len(fits))]
        order[free[row]], order[free[column]] = repeat, first
    paired = {*first_of, *first_of.values()}
    single = [code for code in codes if code not in paired]
    rest = iter([single[at] for at in rng.permutation(len(single))])
    return [one if one is not None else next(rest) for one in order]
