"""Intraclass correlations: published tables, another implementation, and what has none."""

import numpy as np
import pytest

pytest.importorskip("scipy", reason="needs the extra stats")

from masi_vision.stats.icc import complete_rows, reliability

# Shrout and Fleiss 1979, table 2: six targets by four judges.
TARGETS = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], float
)


def test_the_table_of_shrout_and_fleiss_to_the_printed_digit():
    found = reliability(TARGETS)
    printed = {"1,1": 0.17, "2,1": 0.29, "3,1": 0.71, "1,k": 0.44, "2,k": 0.62, "3,k": 0.91}
    assert {form: round(icc.value, 2) for form, icc in found.icc.items()} == printed
    # What R's psych::ICC prints for the same table.
    intervals = {
        "1,1": (-0.133, 0.723),
        "2,1": (0.019, 0.761),
        "3,1": (0.342, 0.946),
        "1,k": (-0.884, 0.912),
        "2,k": (0.071, 0.927),
        "3,k": (0.676, 0.986),
    }
    for form, bounds in intervals.items():
        assert (round(found.icc[form].low, 3), round(found.icc[form].high, 3)) == bounds


def by_regression(table):
    """Single-rater ICCs from the sums of squares of statsmodels' regression: another way to the same."""
    ols = pytest.importorskip("statsmodels.formula.api", reason="needs statsmodels (dev)").ols
    import pandas
    from statsmodels.stats.anova import anova_lm

    rows = table[complete_rows(table)]
    n, k = rows.shape
    data = pandas.DataFrame(
        {
            "grade": rows.ravel(),
            "unit": np.repeat([f"u{i}" for i in range(n)], k),
            "rater": np.tile([f"r{j}" for j in range(k)], n),
        }
    )
    squares = anova_lm(ols("grade ~ C(unit) + C(rater)", data).fit())["mean_sq"]
    units, raters, error = squares["C(unit)"], squares["C(rater)"], squares["Residual"]
    within = ((k - 1) * raters + (n - 1) * (k - 1) * error) / (n * (k - 1))
    return {
        "1,1": (units - within) / (units + (k - 1) * within),
        "2,1": (units - error) / (units + (k - 1) * error + k * (raters - error) / n),
        "3,1": (units - error) / (units + (k - 1) * error),
    }


@pytest.mark.long
def test_two_hundred_tables_with_ties_and_missing_cells_as_another_implementation_has_them():
    rng = np.random.default_rng(1979)
    for _ in range(200):
        units, raters = rng.integers(6, 14), rng.integers(2, 6)
        table = np.rint(rng.normal(3, 1.5, (units, 1)) + rng.normal(0, 1, (units, raters)))
        table[rng.random(table.shape) < 0.05] = np.nan
        if complete_rows(table).sum() < 3 or np.nanstd(table) == 0:
            continue
        ours, theirs = reliability(table), by_regression(table)
        assert {form: ours.icc[form].value for form in theirs} == pytest.approx(theirs, abs=1e-10)


def test_raters_who_differ_by_a_constant_are_consistent_and_do_not_agree():
    """(2, 4), (4, 6), (6, 8): consistency 1, agreement 0.67 (documentation of R's irr::icc)."""
    found = reliability(np.array([[2, 4], [4, 6], [6, 8]], float))
    assert found.icc["3,1"].value == pytest.approx(1)
    assert round(found.icc["2,1"].value, 2) == 0.67
    assert found.sem_consistency == pytest.approx(0, abs=1e-9)
    assert found.sem_agreement.value == pytest.approx(np.sqrt(2))


def test_raters_who_never_differ_agree_wholly():
    found = reliability(np.repeat(np.arange(5.0)[:, None], 3, axis=1))
    assert {icc.value for icc in found.icc.values()} == {1}
    assert found.smallest_detectable_change.value == 0


@pytest.mark.parametrize(
    # That of agreement is an approximation: with five raters who differ much it holds the truth in 91 of 100.
    ("form", "truth", "least"),
    [("3,1", 1 / (1 + 0.3), 0.93), ("2,1", 1 / (1 + 0.3 + 0.2), 0.88)],
)
def test_the_interval_holds_the_truth_as_often_as_is_known_of_it(form, truth, least):
    rng = np.random.default_rng(3)
    held, draws = 0, 400
    for _ in range(draws):
        raters = rng.normal(0, np.sqrt(0.2), 5)
        table = rng.normal(0, 1, (40, 1)) + raters + rng.normal(0, np.sqrt(0.3), (40, 5))
        icc = reliability(table).icc[form]
        held += icc.low <= truth <= icc.high
    assert least < held / draws < 0.98


@pytest.mark.parametrize("table", [np.ones((5, 1)), np.array([[1, np.nan], [2, 3]]), np.zeros((0, 3))])
def test_what_has_none_is_refused(table):
    with pytest.raises(ValueError, match="at least 2 units by 2 raters"):
        reliability(table)


def test_grades_that_are_all_the_same_tell_nothing():
    assert all(np.isnan(icc.value) for icc in reliability(np.ones((5, 3))).icc.values())


def test_raters_who_contradict_each_other_throughout_have_no_reliability_of_the_mean():
    """One grades up what the other grades down: ICC(3,1) is -1, where Spearman and Brown divide by 0."""
    found = reliability(np.array([[1.0, 3.0], [2.0, 2.0], [3.0, 1.0]]))
    assert found.icc["3,1"].value == pytest.approx(-1)
    assert np.isnan(found.icc["3,k"].value)


@pytest.mark.parametrize(
    ("units", "raters", "between", "error"), [(40, 3, 1.0, 1.0), (80, 3, 0.3, 0.5), (20, 5, 1.0, 1.0)]
)
def test_the_interval_of_a_read_s_error_holds_where_readers_differ(units, raters, between, error):
    rng = np.random.default_rng(5)
    truth, held = np.hypot(between, error), 0
    for _ in range(1000):
        table = (
            rng.normal(0, 2, (units, 1))
            + rng.normal(0, between, raters)
            + rng.normal(0, error, (units, raters))
        )
        found = reliability(table).sem_agreement
        held += found.low <= truth <= found.high
    assert 925 <= held <= 985


def test_an_icc_is_never_below_its_own_interval_and_that_of_the_mean_keeps_its_upper_end():
    table = np.array([[5.1, 6.6], [6.6, 4.2], [5.7, 7.2], [6.9, 4.8], [5.4, 6.6]])
    found = reliability(table).icc
    assert found["2,1"].low <= found["2,1"].value <= found["2,1"].high
    assert np.isneginf(found["2,k"].low)
    assert np.isfinite(found["2,k"].high)


def test_what_never_varies_has_an_error_of_0_and_no_interval():
    found = reliability(np.repeat(np.arange(5.0)[:, None], 3, axis=1)).smallest_detectable_change
    assert found.value == 0
    assert np.isnan([found.low, found.high]).all()


@pytest.mark.parametrize("seed", range(3))
def test_every_interval_of_small_tables_holds_its_value_or_is_none(seed):
    rng = np.random.default_rng((8, seed))
    for _ in range(300):
        table = rng.normal(4, 1.5, (int(rng.integers(3, 7)), int(rng.integers(2, 4)))).round(1)
        for one in reliability(table).icc.values():
            if one.value == one.value and one.low == one.low and one.high == one.high:
                assert one.low <= one.value <= one.high
            assert not np.isinf(one.high)


def test_a_masked_grade_is_missing_and_an_infinite_one_is_refused():
    table = np.array([[1.0, 2.0], [3.0, 3.5], [5.0, 4.0], [2.0, 99.0]])
    assert reliability(np.ma.masked_equal(table, 99)) == reliability(np.where(table == 99, np.nan, table))
    with pytest.raises(ValueError, match="a grade is infinite"):
        reliability(np.where(table == 99, np.inf, table))
