"""Codes, repeats and orders: chance, and what it must keep."""

import re
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from masi_vision.blinding.check import chance_of_order
from masi_vision.blinding.order import ALPHABET, draw_codes, reading_order, repeats_wanted


def test_codes_differ_and_are_no_words():
    codes = draw_codes(2000)
    assert len(set(codes)) == 2000
    assert all(re.fullmatch(f"[{ALPHABET}]{{7}}", code) for code in codes)
    assert not set("AEIOU01L") & set("".join(codes))


def test_codes_come_in_no_order():
    """Rank of a code by the number in which it was drawn: no more correlated than chance."""
    codes = draw_codes(500)
    ranks = np.argsort(np.argsort(codes)).astype(float)
    assert chance_of_order(ranks) > 1e-4


@pytest.mark.parametrize(
    ("units", "share", "wanted"),
    [(240, 0.2, 48), (160, 0.2, 32), (80, 0.2, 32), (40, 0.2, 20), (3, 0.2, 1), (1, 0.2, 0), (500, 0, 0)],
)
def test_a_fifth_comes_twice_and_32_where_there_are_enough(units, share, wanted):
    assert repeats_wanted(units, share) == wanted


def test_a_share_beyond_one_is_refused():
    with pytest.raises(ValueError, match=r"\[0, 1\], got 1.2"):
        repeats_wanted(10, 1.2)


@given(st.integers(2, 40), st.integers(0, 20), st.integers(0, 2**32))
def test_an_order_holds_every_unit_once_and_pairs_apart(singles, pairs, seed):
    single = [f"S{n}" for n in range(singles)]
    first_of = {f"R{n}": f"F{n}" for n in range(pairs)}
    codes = [*single, *first_of, *first_of.values()]
    order, apart = reading_order(codes, first_of, np.random.default_rng(seed))
    assert sorted(order) == sorted(codes)
    assert apart > 0
    for repeat, first in first_of.items():
        assert abs(order.index(repeat) - order.index(first)) >= apart


def test_pairs_of_a_trial_stand_a_third_of_the_list_apart():
    first_of = {f"R{n}": f"F{n}" for n in range(32)}
    codes = [*(f"S{n}" for n in range(96)), *first_of, *first_of.values()]
    for seed in range(5):
        _, apart = reading_order(codes, first_of, np.random.default_rng(seed))
        assert apart >= len(codes) // 3


def test_no_place_in_the_list_tells_that_a_unit_comes_twice():
    """Each sixth of a list holds as many of them: where the distance alone decides, its ends hold more."""
    first_of = {f"R{n}": f"F{n}" for n in range(32)}
    codes = [*(f"S{n}" for n in range(64)), *first_of, *first_of.values()]
    paired = {*first_of, *first_of.values()}
    drawn = [reading_order(codes, first_of, np.random.default_rng(seed))[0] for seed in range(40)]
    shares = np.mean([[code in paired for code in order] for order in drawn], axis=0)
    for sixth in np.array_split(shares, 6):
        assert sixth.mean() == pytest.approx(0.5, abs=0.05)


def test_either_of_a_pair_may_come_first_and_readers_differ():
    first_of = {f"R{n}": f"F{n}" for n in range(20)}
    codes = [*(f"S{n}" for n in range(40)), *first_of, *first_of.values()]
    rng = np.random.default_rng(3)
    orders = [reading_order(codes, first_of, rng)[0] for _ in range(6)]
    earlier = [order.index(r) < order.index(f) for order in orders for r, f in first_of.items()]
    assert 0.3 < np.mean(earlier) < 0.7
    ranks = [np.array([order.index(code) for code in codes], float) for order in orders]
    assert all(abs(np.corrcoef(one, other)[0, 1]) < 0.4 for one, other in combinations(ranks, 2))


def test_an_order_that_goes_with_the_visits_is_no_chance():
    assert chance_of_order(np.repeat(np.arange(5.0), 8)) < 0.001
    assert chance_of_order(np.zeros(20)) == 1


def test_no_order_is_that_of_the_codes():
    """Of six units one in some hundreds is, by chance: the set would be refused for it."""
    codes, rng = list("ABCDEF"), np.random.default_rng(0)
    orders = [reading_order(codes, {}, rng)[0] for _ in range(3000)]
    assert codes not in orders
    assert len({*map(tuple, orders)}) > 650  # of 720
