"""Limits of agreement, concordance and kappa: published data, another implementation, coverage."""

import numpy as np
import pytest

pytest.importorskip("scipy", reason="needs the extra stats")

from masi_vision.stats.agreement import (
    bland_altman,
    concordance,
    correlation,
    grade_agreement,
    wilson,
    within_unit_sd,
)
from masi_vision.stats.resampling import by_patient

# Peak expiratory flow, l/min, of 17 people: Wright's meter twice, a mini meter twice (Bland and Altman 1986,
# table 1).
WRIGHT = np.array(
    [494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427], float
)
WRIGHT_2 = np.array(
    [490, 397, 512, 401, 470, 611, 415, 431, 638, 429, 420, 633, 275, 492, 165, 372, 421], float
)
MINI = np.array([512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451], float)
MINI_2 = np.array(
    [525, 415, 508, 444, 500, 625, 460, 390, 642, 432, 420, 605, 227, 467, 268, 370, 443], float
)


def test_peak_flow_as_bland_and_altman_printed_it():
    found = bland_altman(WRIGHT, MINI, deviations=2)
    assert found.pairs == 17
    assert round(found.bias.value, 1) == -2.1
    assert round(found.sd, 1) == 38.8
    assert (round(found.bias.low, 1), round(found.bias.high, 1)) == (-22.0, 17.8)
    # They went on with rounded numbers: -2.1 - 2 x 38.8, and a standard error of 16.3.
    printed = {"lower": (-79.7, -114.3, -45.1), "upper": (75.5, 40.9, 110.1)}
    for name, values in printed.items():
        limit = getattr(found, name)
        assert (limit.value, limit.low, limit.high) == pytest.approx(values, abs=0.2)


def test_repeatability_as_bland_and_altman_printed_it():
    """15.3 and 19.9 l/min: Bland and Altman, Statistical Methods in Medical Research 8 (1999) 135-160."""
    assert round(within_unit_sd(WRIGHT, WRIGHT_2).value, 1) == 15.3
    assert round(within_unit_sd(MINI, MINI_2).value, 1) == 19.9


def test_concordance_of_the_same_data():
    """0.943: Steichen and Cox, Stata Journal 2 (2002) 183-189."""
    assert round(concordance(WRIGHT, MINI).value, 3) == 0.943


def test_the_interval_of_concordance_is_that_of_normal_pairs():
    """By the gradient of the coefficient and the covariance of means and variances of normal pairs.

    Lin's formula, as corrected in 2000, writes this out. Without a shift its last two terms are as good as
    nothing, so the mini meter reads 150 l/min more as well.
    """
    for other, low, high in ((MINI, 0.850, 0.979), (MINI + 150, 0.271, 0.657)):
        (xx, xy), (_, yy) = np.cov(WRIGHT, other, ddof=0)
        shift = WRIGHT.mean() - other.mean()
        whole = xx + yy + shift**2
        value = 2 * xy / whole
        gradient = np.array([-2 * shift * value, -value, -value, 2.0]) / whole  # by shift, xx, yy, xy
        covariance = np.zeros((4, 4))
        covariance[0, 0] = xx + yy - 2 * xy
        covariance[1:, 1:] = [
            [2 * xx**2, 2 * xy**2, 2 * xx * xy],
            [2 * xy**2, 2 * yy**2, 2 * yy * xy],
            [2 * xx * xy, 2 * yy * xy, xx * yy + xy**2],
        ]
        error = np.sqrt(gradient @ covariance @ gradient / (17 - 2)) / (1 - value**2)
        ends = np.tanh(np.arctanh(value) + 1.959964 * np.array([-error, error]))
        found = concordance(WRIGHT, other)
        assert (found.low, found.high) == pytest.approx(ends, abs=1e-6)
        assert (round(found.low, 3), round(found.high, 3)) == (low, high)


def test_two_raters_without_any_relation_have_a_concordance_and_an_interval():
    found = concordance(np.array([1.0, 1, 2, 2]), np.array([1.0, 2, 1, 2]))
    assert found.value == 0
    assert -1 < found.low < 0 < found.high < 1


def test_the_interval_of_concordance_holds_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(1)
    truth, held, draws = 2 * 0.8 / (1 + 1 + 0.3**2), 0, 500
    for _ in range(draws):
        x = rng.normal(0, 1, 60)
        y = 0.8 * x + rng.normal(0.3, 0.6, 60)
        found = concordance(x, y)
        held += found.low <= truth <= found.high
    assert 0.92 < held / draws < 0.98


def test_a_bias_that_grows_with_the_value_shows_in_the_slope():
    rng = np.random.default_rng(0)
    truth = rng.uniform(0, 20, 80)
    found = bland_altman(1.2 * truth + rng.normal(0, 1, 80), truth + rng.normal(0, 1, 80))
    assert 0.1 < found.slope.low < 0.2 / 1.1 < found.slope.high
    assert found.slope_p < 1e-6


@pytest.mark.parametrize(("people", "growth"), [(3, 0.0), (8, 0.1), (80, -0.02)])
def test_the_slope_its_interval_and_p_are_those_of_another_implementation(people, growth):
    from scipy.stats import linregress, t

    rng = np.random.default_rng(people)
    first = rng.uniform(0, 40, people)
    second = (1 + growth) * first + rng.normal(0, 3, people)
    found, theirs = bland_altman(first, second), linregress((first + second) / 2, first - second)
    wide = t.ppf(0.975, people - 2) * theirs.stderr
    assert found.slope.value == pytest.approx(theirs.slope)
    assert (found.slope.low, found.slope.high) == pytest.approx((theirs.slope - wide, theirs.slope + wide))
    assert found.slope_p == pytest.approx(theirs.pvalue)


def test_kappa_is_that_of_statsmodels():
    cohens_kappa = pytest.importorskip(
        "statsmodels.stats.inter_rater", reason="needs statsmodels"
    ).cohens_kappa
    rng = np.random.default_rng(2)
    for _ in range(50):
        one = rng.integers(0, 7, 40)
        other = np.clip(one + rng.integers(-2, 3, 40), 0, 6)
        table = np.histogram2d(one, other, bins=np.arange(8) - 0.5)[0]
        theirs = cohens_kappa(table, wt="quadratic", return_results=False)
        found = grade_agreement(one.astype(float), other.astype(float))
        assert found.kappa == pytest.approx(float(theirs), abs=1e-10)
        assert found.exact == pytest.approx(np.trace(table) / 40)
        assert found.within_one == (abs(one - other) <= 1).mean()


def test_what_is_missing_on_one_side_counts_nowhere():
    missing = np.where(np.arange(17) == 4, np.nan, MINI)
    rest = np.arange(17) != 4
    assert bland_altman(WRIGHT, missing) == bland_altman(WRIGHT[rest], MINI[rest])
    with pytest.raises(ValueError, match="at least 3 pairs"):
        concordance(WRIGHT, np.where(np.arange(17) > 1, np.nan, MINI))


def test_patients_are_drawn_whole():
    """Visits of a patient that are all alike: drawn one by one, the interval would be far too narrow."""
    rng = np.random.default_rng(5)
    values = np.repeat(rng.normal(0, 1, 30), 20)
    patients = [f"P{i // 20}" for i in range(600)]
    found = by_patient(lambda rows: {"mean": float(values[rows].mean())}, patients)["mean"]
    of_means = 1.96 * values[::20].std(ddof=1) / np.sqrt(30)
    assert found.value == pytest.approx(values.mean())
    assert (found.high - found.low) / 2 == pytest.approx(of_means, rel=0.15)
    alone = by_patient(lambda rows: {"mean": float(values[rows].mean())}, ["P0"] * 600)["mean"]
    assert np.isnan(alone.low)


def test_a_change_that_is_the_same_for_all_has_no_correlation_and_no_slope():
    change = np.array([1.5, 2.1, 3.3, 0.9]) - np.array([1.2, 1.8, 3.0, 0.6])
    assert np.isnan(correlation(change, change[::-1]).value)
    assert np.isnan(bland_altman(change, change[::-1]).slope.value)
    assert np.isnan(concordance(change, change + 0.0).value)


def test_the_interval_of_r_is_that_of_fisher():
    """r 0.5 of 28 pairs: 0.16 to 0.74."""
    rng = np.random.default_rng(0)
    x, rest = rng.normal(size=(2, 28))
    rest -= np.polyval(np.polyfit(x, rest, 1), x)
    y = 0.5 * (x - x.mean()) / x.std() + np.sqrt(0.75) * rest / rest.std()
    found = correlation(x, y)
    assert (round(found.value, 6), round(found.low, 2), round(found.high, 2)) == (0.5, 0.16, 0.74)


def test_the_interval_of_a_share_is_wilson_s():
    """8 of 10: 0.490 to 0.943; 10 of 10: from 0.722."""
    assert (round(wilson(0.8, 10).low, 3), round(wilson(0.8, 10).high, 3)) == (0.490, 0.943)
    assert (round(wilson(1.0, 10).low, 3), round(wilson(1.0, 10).high, 3)) == (0.722, 1.0)


def test_the_interval_of_a_reader_s_error_holds_as_often_as_it_says():
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(1000):
        pairs = rng.normal(0, 0.7, (10, 2)) + rng.normal(0, 2, (10, 1))
        found = within_unit_sd(pairs[:, 0], pairs[:, 1])
        held += found.low <= 0.7 <= found.high
    assert 930 <= held <= 970


def test_what_never_varies_has_no_interval():
    never = bland_altman(np.full(10, 3.0), np.full(10, 2.0))
    for one in (never.bias, never.lower, never.upper):
        assert (one.value, np.isnan(one.low), np.isnan(one.high)) == (1.0, True, True)
    beside = bland_altman(np.full(10, 3.0), np.arange(10.0))
    assert (beside.slope.value, np.isnan(beside.slope.low)) == (pytest.approx(-2), True)
    draws = by_patient(lambda rows: {"kappa": 1e-17 * float(rows.sum() % 3)}, [f"P{n}" for n in range(10)])
    assert np.isnan(draws["kappa"].low)


def test_the_dust_of_a_mean_is_no_disagreement():
    reads = np.random.default_rng(0).uniform(0, 24, 40).round(1)
    same = bland_altman(reads, (reads + reads + reads) / 3)
    assert (same.bias.value, same.sd, same.upper.value, np.isnan(same.upper.low)) == (0.0, 0.0, 0.0, True)
    assert (same.slope.value, np.isnan(same.slope_p)) == (0.0, True)


def test_a_masked_value_is_missing_and_an_infinite_one_is_refused():
    masked = np.ma.masked_equal([6.0, 3.0, 9.9, 99.0, 7.5], 99)
    there = bland_altman(np.array([6.0, 3.0, 9.9, np.nan, 7.5]), np.ones(5))
    assert repr(bland_altman(masked, np.ones(5))) == repr(there)  # a NaN in it is not equal to itself
    assert there.pairs == 4
    with pytest.raises(ValueError, match="a measurement is infinite"):
        bland_altman(np.array([1.0, 2.0, 3.0, np.inf]), np.ones(4))
    with pytest.raises(ValueError, match="a measurement is infinite"):
        bland_altman(np.ones(4), np.array([1.0, 2.0, 3.0, np.inf]))
