"""Codes, hidden repeats and orders of reading: what chance decides."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence

import numpy as np

ALPHABET = "23456789BCDFGHJKMNPQRTVWXYZ"
"""Digits and capitals that are not taken for each other, and no vowels: no code is a word."""
CODE_LENGTH = 7
_DRAWS = 200  # of two places, before all pairs are dealt anew
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


def is_of_codes(order: Sequence[str]) -> bool:
    """Whether an order is that of the codes, as if not shuffled; of five units chance often makes it so."""
    return len(order) > 5 and list(order) == sorted(order)


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
    A random order in which the two of a pair stand at least a third of the list apart, one in either half.
    Single units are dealt by chance to what is left; a pair is dealt to two places at that distance, drawn
    anew until all fit, with the distance given up unit by unit where they never do. The order of the codes
    themselves is drawn anew too: it would look as if nobody had shuffled.
    """
    length = len(codes)
    for apart in range(-(-length // 3), 0, -1):
        for _ in range(50):
            placed = _dealt(codes, first_of, apart, rng)
            if placed is not None and not is_of_codes(placed):
                return placed, apart
    return [codes[at] for at in rng.permutation(length)], 0


def _dealt(
    codes: Sequence[str], first_of: Mapping[str, str], apart: int, rng: np.random.Generator
) -> list[str] | None:
    """Pairs to places at least so far apart, the others to what is left; None where a pair finds none."""
    order: list[str | None] = [None] * len(codes)
    for pair in first_of.items():
        places = _two_places(order, apart, rng)
        if places is None:
            return None
        for place, code in zip(rng.permutation(places), pair, strict=True):
            order[place] = code
    paired = {*first_of, *first_of.values()}
    single = [code for code in codes if code not in paired]
    rest = iter([single[at] for at in rng.permutation(len(single))])
    return [one if one is not None else next(rest) for one in order]


def _two_places(order: Sequence[str | None], apart: int, rng: np.random.Generator) -> tuple[int, int] | None:
    """A free place in either half, about half the list from each other; None where none was drawn.

    Every place is as likely as any other, so that none tells whether a unit comes twice: the first is drawn
    from its half, the second lies half the list on, moved by chance, and is mirrored back into its half.
    """
    length = len(order)
    half = length / 2
    for _ in range(_DRAWS):
        early = rng.uniform(0, half)
        late = early + half + rng.uniform(-1, 1) * (half - apart)
        late = length - late if late < half else 2 * length - late if late >= length else late
        one, other = int(early), min(int(late), length - 1)
        if order[one] is order[other] is None and other - one >= apart:
            return one, other
    return None
