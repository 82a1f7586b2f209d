"""ANCOVA and MMRM: against regression, closed forms, Dunnett's table, and as often wrong as they say."""

import numpy as np
import pytest

pytest.importorskip("scipy", reason="needs the extra stats")

from numpy.polynomial.legendre import leggauss
from scipy.stats import chi, norm

from masi_vision.errors import StatsError
from masi_vision.stats.ancova import adjusted_p, ancova, intervals_together
from masi_vision.stats.mmrm import contrast_of, fit_mmrm

ARMS = ("A", "B", "C", "D")


def trial(seed=0, patients=80, effect=0.0, visits=3, missing=0.0):
    """Baseline and follow-ups (P, V) of four arms; the last arm falls by the effect at the last visit."""
    rng = np.random.default_rng(seed)
    arms = [ARMS[n % 4] for n in range(patients)]
    own = rng.normal(8, 2, patients)
    values = own[:, None] + rng.normal(0, 1, (patients, visits + 1)).cumsum(axis=1)
    values[:, -1] -= effect * (np.array(arms) == "D")
    gone = rng.random((patients, visits)) < missing
    values[:, 1:][gone] = np.nan
    return values[:, 0], values[:, 1:], arms


def long_form(baseline, follow_ups, arms):
    """Rows, design (arm x visit, baseline x visit), patients and visits of the values that are there."""
    visits = follow_ups.shape[1]
    rows, design, names, numbers = [], [], [], []
    for n, arm in enumerate(arms):
        for v in range(visits):
            if np.isfinite(follow_ups[n, v]):
                line = np.zeros((visits, 5))
                line[v, ARMS.index(arm)] = 1
                line[v, 4] = baseline[n] - baseline.mean()
                rows.append(follow_ups[n, v])
                design.append(line.ravel())
                names.append(f"P{n:03d}")
                numbers.append(v)
    return np.array(rows), np.array(design), names, np.array(numbers)


def last_visit(one, other, visits=3):
    weights = np.zeros((visits, 5))
    weights[-1, ARMS.index(one)], weights[-1, ARMS.index(other)] = 1, -1
    return weights.ravel()


def test_ancova_is_the_regression_of_statsmodels():
    smf = pytest.importorskip("statsmodels.formula.api", reason="needs statsmodels (dev)")
    import pandas

    baseline, follow_ups, arms = trial(1, effect=1.5)
    found = ancova(follow_ups[:, -1], baseline, arms, "A", multiplicity="none")
    data = pandas.DataFrame({"y": follow_ups[:, -1], "b": baseline, "arm": arms})
    theirs = smf.ols("y ~ C(arm) + b", data).fit()
    for one in found.comparisons:
        name = f"C(arm)[T.{one.arm}]"
        assert one.difference.value == pytest.approx(theirs.params[name], abs=1e-10)
        assert one.difference.standard_error == pytest.approx(theirs.bse[name], abs=1e-10)
        assert one.difference.p == pytest.approx(theirs.pvalues[name], abs=1e-10)
        assert (one.difference.low, one.difference.high) == pytest.approx(tuple(theirs.conf_int().loc[name]))
    assert found.baseline_slope.value == pytest.approx(theirs.params["b"])


def test_ancova_with_strata_is_the_regression_of_statsmodels():
    """Two kinds of strata, of unequal size; adjusted means are over them by their shares."""
    smf = pytest.importorskip("statsmodels.formula.api", reason="needs statsmodels (dev)")
    import pandas

    baseline, follow_ups, arms = trial(6, effect=1.5)
    rng = np.random.default_rng(6)
    strata = [
        (str(rng.choice(["lyon", "porto", "ulm"], p=[0.6, 0.3, 0.1])), "fm"[n % 5 == 0]) for n in range(80)
    ]
    y = follow_ups[:, -1] + [2.0 * (centre == "lyon") for centre, _ in strata]
    found = ancova(y, baseline, arms, "A", multiplicity="none", strata=strata)
    data = pandas.DataFrame({"y": y, "b": baseline, "arm": arms})
    data[["centre", "sex"]] = strata
    theirs = smf.ols("y ~ C(arm) + b + C(centre) + C(sex)", data).fit()
    for one in found.comparisons:
        name = f"C(arm)[T.{one.arm}]"
        assert one.difference.value == pytest.approx(theirs.params[name], abs=1e-10)
        assert one.difference.standard_error == pytest.approx(theirs.bse[name], abs=1e-10)
        assert one.difference.p == pytest.approx(theirs.pvalues[name], abs=1e-10)
        assert one.difference.df == theirs.df_resid == 80 - 8
    assert found.baseline_slope.value == pytest.approx(theirs.params["b"])
    shares = {f"C(centre)[T.{c}]": np.mean([own[0] == c for own in strata]) for c in ("porto", "ulm")}
    shares |= {
        "C(sex)[T.m]": np.mean([own[1] == "m" for own in strata]),
        "b": baseline.mean(),
        "Intercept": 1,
    }
    for one in found.means:
        at = [shares.get(name, name == f"C(arm)[T.{one.arm}]") for name in theirs.params.index]
        assert one.mean.standard_error == pytest.approx(
            theirs.t_test(np.array(at, float)).sd.item(), abs=1e-10
        )
        all_in_it = data.assign(arm=one.arm, b=baseline.mean())
        assert one.mean.value == pytest.approx(theirs.predict(all_in_it).mean(), abs=1e-10)
    other = ancova(y, baseline, arms, "A", multiplicity="none")
    assert other.residual_sd > found.residual_sd
    assert ancova(y, baseline, arms, "A", multiplicity="none", strata=[("lyon",)] * 80).means == other.means
    nested = [(*own, "France" if own[0] == "lyon" else "elsewhere") for own in strata]
    assert ancova(y, baseline, arms, "A", multiplicity="none", strata=nested).means == found.means
    with pytest.raises(StatsError, match="Arms and strata cannot be told from each other"):
        ancova(y, baseline, arms, "A", strata=[(arm,) for arm in arms])


def test_without_missing_visits_mmrm_at_a_visit_is_the_ancova_of_that_visit():
    """With baseline and arms at every visit both have one answer, standard error and degrees of freedom."""
    baseline, follow_ups, arms = trial(2, effect=1.0)
    model = fit_mmrm(*long_form(baseline, follow_ups, arms))
    expected = ancova(follow_ups[:, -1], baseline, arms, "A", multiplicity="none")
    for one in expected.comparisons:
        found = model.contrast(last_visit(one.arm, "A"))
        assert found.value == pytest.approx(one.difference.value, abs=1e-6)
        assert found.standard_error == pytest.approx(one.difference.standard_error, rel=1e-3)
        assert found.df == pytest.approx(75, rel=0.01)
    of_arm = [[float(arm == name) for name in ARMS] for arm in arms]
    rest = [np.linalg.lstsq(np.column_stack([of_arm, baseline]), y, rcond=None) for y in follow_ups.T]
    variances = [float(one[1][0]) / 75 for one in rest]
    np.testing.assert_allclose(np.diag(model.visit_covariance), variances, rtol=5e-3)


def test_with_missing_visits_the_likelihood_is_at_its_maximum_by_another_reckoning():
    """-2 log of the restricted likelihood, written with one large matrix for all patients."""
    values, design, names, numbers = long_form(*trial(3, patients=40, missing=0.25))
    model = fit_mmrm(values, design, names, numbers)

    def deviance(sigma):
        same = np.array(names)[:, None] == np.array(names)
        whole = np.where(same, sigma[np.ix_(numbers, numbers)], 0.0)
        inverse = np.linalg.inv(whole)
        normal = design.T @ inverse @ design
        rest = values - design @ np.linalg.solve(normal, design.T @ inverse @ values)
        return (
            np.linalg.slogdet(whole)[1]
            + np.linalg.slogdet(normal)[1]
            + rest @ inverse @ rest
            + (len(values) - design.shape[1]) * np.log(2 * np.pi)
        )

    assert model.deviance == pytest.approx(deviance(model.visit_covariance), abs=1e-6)
    rng = np.random.default_rng(0)
    for _ in range(20):
        step = rng.normal(0, 0.03, (3, 3))
        assert deviance(model.visit_covariance + (step + step.T) / 2) > model.deviance - 1e-6
    assert 10 < model.contrast(last_visit("D", "A")).df < 40


# Distance from the pituitary to the pterygomaxillary fissure, mm, of 11 girls and 16 boys at 8, 10, 12 and 14
# years (Potthoff and Roy, Biometrika 51 (1964) 313-326, table 1).
GIRLS = """21 20 21.5 23; 21 21.5 24 25.5; 20.5 24 24.5 26; 23.5 24.5 25 26.5; 21.5 23 22.5 23.5;
20 21 21 22.5; 21.5 22.5 23 25; 23 23 23.5 24; 20 21 22 21.5; 16.5 19 19 19.5; 24.5 25 28 28"""
BOYS = """26 25 29 31; 21.5 22.5 23 26.5; 23 22.5 24 27.5; 25.5 27.5 26.5 27; 20 23.5 22.5 26;
24.5 25.5 27 28.5; 22 22 24.5 26.5; 24 21.5 24.5 25.5; 23 20.5 31 26; 27.5 28 31 31.5; 23 23 23.5 25;
21.5 23.5 24 28; 17 24.5 26 29.5; 22.5 25.5 25.5 26; 23 24.5 26 30; 22 21.5 23.5 25"""


def test_the_growth_of_potthoff_and_roy_to_the_printed_digit():
    """Means and pooled covariance of the paper; tests of the means have exactly 25 degrees of freedom."""
    tables = [np.array([row.split() for row in t.split(";")], float) for t in (GIRLS, BOYS)]
    values, design, names, numbers = [], [], [], []
    for sex, table in enumerate(tables):
        for child, row in enumerate(table):
            for age, value in enumerate(row):
                line = np.zeros((4, 2))
                line[age, sex] = 1
                values.append(value)
                design.append(line.ravel())
                names.append(f"{sex}-{child}")
                numbers.append(age)
    model = fit_mmrm(np.array(values), np.array(design), names, np.array(numbers))
    means = model.coefficients.reshape(4, 2).T
    assert means[0] == pytest.approx([21.18, 22.23, 23.09, 24.09], abs=0.0051)
    assert means[1] == pytest.approx([22.87, 23.81, 25.72, 27.47], abs=0.0051)
    printed = [[5.415, 2.717, 3.910, 2.710], [4.185, 2.927, 3.317], [6.456, 4.131], [4.986]]
    for age, row in enumerate(printed):
        assert model.visit_covariance[age, age:] == pytest.approx(row, abs=5.1e-4)
    difference = np.zeros((4, 2))
    difference[3] = -1, 1
    found = model.contrast(difference.ravel())
    assert found.value == pytest.approx(27.46875 - 24.0909, abs=1e-4)
    assert found.df == pytest.approx(25, abs=1e-3)
    both = (np.var(table[:, 3], ddof=1) * (len(table) - 1) for table in tables)
    assert found.standard_error == pytest.approx(np.sqrt(sum(both) / 25 * (1 / 11 + 1 / 16)), rel=1e-5)


def test_mmrm_is_wrong_as_often_as_it_says_where_visits_are_missing():
    wrong = 0
    for seed in range(40):
        model = fit_mmrm(*long_form(*trial(100 + seed, patients=40, visits=2, missing=0.2)))
        wrong += model.contrast(last_visit("D", "A", 2)).p < 0.05
    assert wrong <= 6  # of 40, expected 2


def test_a_planted_effect_comes_back_from_both():
    by_model, by_visit = [], []
    for seed in range(8):
        baseline, follow_ups, arms = trial(seed, effect=3.0, visits=2, missing=0.1)
        model = fit_mmrm(*long_form(baseline, follow_ups, arms))
        by_model.append(model.contrast(last_visit("D", "A", 2)))
        there = np.isfinite(follow_ups[:, -1])
        kept = [arm for arm, is_there in zip(arms, there, strict=True) if is_there]
        by_visit.append(ancova(follow_ups[there, -1], baseline[there], kept, "A").comparisons[-1])
    for found in (by_model, [one.difference for one in by_visit]):
        assert np.mean([one.value for one in found]) == pytest.approx(-3, abs=0.3)
        assert all(one.p < 0.05 for one in found)
    assert all(one.difference.p <= one.p_adjusted < 0.05 for one in by_visit)
    assert np.mean([one.effect_size for one in by_visit]) == pytest.approx(-3 / np.sqrt(2), abs=0.3)


@pytest.mark.parametrize(("comparisons", "df", "critical"), [(3, 60, 2.41), (3, 20, 2.54), (2, 30, 2.32)])
def test_dunnett_s_table(comparisons, df, critical):
    """Two-sided 5 % points of equal groups (Dunnett, Biometrics 20 (1964) 482-491, table II)."""
    covariance = np.full((comparisons, comparisons), 0.5) + 0.5 * np.eye(comparisons)
    p = adjusted_p([contrast_of(critical, 1.0, df)] * comparisons, covariance, df, "dunnett")
    assert p[0] == pytest.approx(0.05, abs=0.0015)


def exactly_within(bound, correlation, df, nodes=64):
    """The chance that three t values all lie within the bound: Gauss-Legendre over their common standard
    deviation and two of them, the third given these in closed form."""
    places, shares = leggauss(nodes)
    least, most = chi.ppf(1e-12, df), chi.isf(1e-12, df)
    inverse = np.linalg.inv(correlation[:2, :2])
    slopes = inverse @ correlation[:2, 2]
    left = np.sqrt(1 - correlation[2, :2] @ slopes)
    whole = 0.0
    for place, share in zip(places, shares, strict=True):
        spread = least + (most - least) * (place + 1) / 2
        limit = bound * spread / np.sqrt(df)
        pair = np.stack(np.meshgrid(limit * places, limit * places))
        square = np.einsum("iab,ij,jab->ab", pair, inverse, pair)
        density = np.exp(-square / 2) * np.sqrt(np.linalg.det(inverse)) / (2 * np.pi)
        mean = np.einsum("i,iab->ab", slopes, pair)
        third = norm.cdf((limit - mean) / left) - norm.cdf((-limit - mean) / left)
        inner = limit**2 * (shares @ (density * third) @ shares)
        whole += share * (most - least) / 2 * chi.pdf(spread, df) * inner
    return whole


@pytest.mark.parametrize("seed", range(6))
def test_dunnett_s_p_is_that_of_the_exact_integral(seed):
    """Of groups of unlike size, whose comparisons the baseline correlates further."""
    baseline, follow_ups, arms = trial(seed, effect=1.8, patients=52)
    kept = np.sort(np.random.default_rng(seed).permutation(52)[:36])
    baseline, follow_up, arms = baseline[kept], follow_ups[kept, -1], [arms[n] for n in kept]
    of_arm = np.array([[float(arm == name) for name in ARMS] for arm in arms])
    design = np.column_stack([of_arm, baseline])
    apart = np.column_stack([-np.ones(3), np.eye(3), np.zeros(3)])
    covariance = apart @ np.linalg.inv(design.T @ design) @ apart.T
    scale = np.sqrt(np.diag(covariance))
    for one in ancova(follow_up, baseline, arms, "A").comparisons:
        t = abs(one.difference.value / one.difference.standard_error)
        exact = 1 - exactly_within(t, covariance / np.outer(scale, scale), one.difference.df)
        assert one.p_adjusted == pytest.approx(exact, abs=5e-6)


def test_an_interval_for_all_comparisons_together_ends_where_their_p_is_one_in_twenty():
    correlation = np.full((3, 3), 0.5) + 0.5 * np.eye(3)
    own = [contrast_of(1.0, 2.0, df) for df in (20, 20, 35)]
    ends = np.array(intervals_together(own, correlation, 20, "dunnett"))
    assert ends.mean(axis=1) == pytest.approx([1, 1, 1])
    wide = np.diff(ends)[:, 0] / 2 / 2.0
    assert wide[0] == pytest.approx(2.54, abs=0.006)  # Dunnett's table II
    assert exactly_within(wide[0], correlation, 20) == pytest.approx(0.95, abs=5e-6)
    for t, df in zip(wide, (20, 20, 35), strict=True):
        assert adjusted_p([contrast_of(t, 1.0, df)] * 3, correlation, 20, "dunnett")[0] == pytest.approx(0.05)
    assert np.isnan(intervals_together(own, correlation, 20, "holm")).all()
    alone = contrast_of(1.0, 2.0, 20)
    assert intervals_together([alone], np.eye(1), 20, "dunnett") == [(alone.low, alone.high)]


def test_holm_steps_down():
    """0.01, 0.04, 0.03 become 0.03, 0.06, 0.06 (Holm, Scandinavian Journal of Statistics 6 (1979) 65)."""
    from scipy.stats import t

    differences = [contrast_of(float(t.isf(p / 2, 50)), 1.0, 50) for p in (0.01, 0.04, 0.03)]
    assert adjusted_p(differences, np.eye(3), 50, "holm") == pytest.approx([0.03, 0.06, 0.06])


def test_what_cannot_be_fitted_is_refused():
    baseline, follow_ups, arms = trial(0)
    with pytest.raises(StatsError, match="Expected the control 'X'"):
        ancova(follow_ups[:, 0], baseline, arms, "X")
    values, design, names, numbers = long_form(baseline, follow_ups, arms)
    with pytest.raises(StatsError, match="has a visit twice"):
        fit_mmrm(values, design, ["P000"] * len(names), numbers)
    with pytest.raises(StatsError, match="tell only"):
        fit_mmrm(values, np.column_stack([design, design[:, 0]]), names, numbers)


@pytest.mark.parametrize("unit", [1e-3, 1.0, 1e3])
def test_the_fit_knows_nothing_of_the_unit(unit):
    values, design, names, visits = long_form(*trial(seed=3, patients=200, visits=5, missing=0.05))
    plain, scaled = (fit_mmrm(one, design, names, visits) for one in (values, unit * values))
    weights = last_visit("D", "A", visits=5)
    one, other = plain.contrast(weights), scaled.contrast(weights)
    assert other.value == pytest.approx(unit * one.value, rel=1e-4, abs=1e-6 * unit)
    assert other.standard_error == pytest.approx(unit * one.standard_error, rel=1e-4)
    assert (other.df, other.p) == pytest.approx((one.df, one.p), rel=1e-3)
    free = len(values) - design.shape[1]
    assert scaled.deviance == pytest.approx(plain.deviance + 2 * free * np.log(unit), rel=1e-6)


def test_what_is_no_number_and_what_is_no_way_is_refused():
    baseline, follow_up = np.array([5.0, 6, 7, 8, 9]), np.array([4.0, 6, 5, 8, 6])
    arms = ["A", "B", "A", "B", "A"]
    for values in (
        (np.where(baseline == 7, np.nan, follow_up), baseline),
        (follow_up, baseline / [1, 1, 0, 1, 1]),
    ):
        with pytest.raises(StatsError, match="is no number"), np.errstate(divide="ignore"):
            ancova(*values, arms, "A")
    pandas = pytest.importorskip("pandas", reason="a column of a table: extra exports")
    named = pandas.Series(arms, index=[f"P{n}" for n in range(5)])
    assert ancova(list(follow_up), list(baseline), named, "A") == ancova(follow_up, baseline, arms, "A")
    with pytest.raises(
        StatsError, match=r"multiplicity is 'bonferroni'\. Expected one of dunnett, holm, none"
    ):
        ancova(follow_up, baseline, arms, "A", multiplicity="bonferroni")
