"""The outcome of made trials: what was planted comes back, what is missing is counted, nulls stay null."""

import json
from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest

pytest.importorskip("scipy", reason="needs the extra stats")

from scipy.stats import multivariate_t
from scipy.stats import t as t_distribution

from masi_vision.errors import SettingsError, StatsError
from masi_vision.phantom.cohort import Arm
from masi_vision.settings_file import checked, read_yaml
from masi_vision.shipped import shipped_file
from masi_vision.stats.courses import endpoint_values
from masi_vision.stats.outcome import (
    INEFFECTIVE,
    NONE,
    NOT_PRIMARY,
    WITHOUT_VALUE,
    Course,
    ancova_of,
    event_results,
    gains,
    mmrm_of,
    other_results,
    outcome,
)
from masi_vision.stats.outcome_protocol import OutcomeProtocol
from masi_vision.stats.verdicts import NOT_ADJUDICATED, Verdict

FILE = shipped_file("configs", "outcome.yaml")
RULES = checked(OutcomeProtocol, read_yaml(FILE), FILE, "outcome.yaml")
VISITS = ("visit-1", "visit-3", "visit-6")
EFFECTS = (Arm("A", 0.1), Arm("B", 0.1), Arm("C", 0.3), Arm("D", 0.6))


def courses(seed=0, patients=80, arms=EFFECTS, missing=0.0):
    """Patients whose score falls by the share of their arm, as a reader sees it."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(patients):
        arm = arms[number % len(arms)]
        before = rng.uniform(4, 14)
        left = 1 - np.clip(arm.effect + rng.normal(0, 0.15), -0.3, 1)
        true = {"visit-1": before, "visit-3": before * (1 + left) / 2, "visit-6": before * left}
        seen = {visit: float(max(value + rng.normal(0, 0.8), 0)) for visit, value in true.items()}
        kept = {v: value for v, value in seen.items() if v == "visit-1" or rng.random() >= missing}
        made.append(Course(f"P{number:03d}", arm.name, kept))
    return made


def of(found, analysis, arm, measure="difference"):
    (one,) = [r for r in found if (r.analysis, r.arm, r.measure) == (analysis, arm, measure)]
    return one


def test_planted_effects_are_found_by_every_analysis_and_no_others():
    found = outcome(courses(1, missing=0.05), RULES)
    for analysis in ("primary", "sensitivity: MMRM", "sensitivity: baseline carried forward"):
        assert of(found, analysis, "D less A").p_adjusted < 0.001
        assert of(found, analysis, "D less A").value < -2.5
        assert of(found, analysis, "B less A").p_adjusted > 0.05
    assert of(found, "primary", "D less A", "difference in residual standard deviations").value < -1
    rates = {arm: of(found, "improvement", arm, "mean improvement rate") for arm in "ABCD"}
    assert rates["A"].value == pytest.approx(0.1, abs=0.1)
    assert rates["D"].value == pytest.approx(0.6, abs=0.1)


def test_a_model_that_cannot_be_fitted_leaves_the_rest():
    """Every visit of every patient falls by the same steps: the covariance of the visits is singular."""
    made = []
    for n in range(20):
        values = {"visit-1": 8.0 + n % 5, "visit-3": 7.0 + n % 5 - 0.1 * n, "visit-6": 6.0 + n % 5 - 0.2 * n}
        made.append(Course(f"P{n}", "AB"[n % 2], values))
    found = outcome(made, RULES)
    (why,) = [r for r in found if r.analysis == "sensitivity: MMRM"]
    assert why.measure.startswith("not fitted: The covariance of the visits")
    assert np.isnan(why.value)
    assert of(found, "primary", "B less A").patients == 20


@pytest.mark.parametrize("seed", [92, 132, 178])
def test_a_covariance_that_turns_singular_on_the_way_leaves_the_rest(seed):
    """Trials of so few patients that the search for a covariance ends, or passes, where it has no inverse."""
    rng = np.random.default_rng((77, seed))
    patients, visits, made = int(rng.integers(5, 9)), int(rng.integers(3, 5)), []
    for number in range(patients):
        names = ("visit-1", *(f"visit-{n}" for n in range(8 - visits, 7)))
        values = {name: float(np.round(rng.uniform(0, 9), 1)) for name in names}
        kept = {name: x for name, x in values.items() if name == "visit-1" or rng.random() > 0.2}
        made.append(Course(f"P{number}", "AB"[number % 2], kept))
    found = outcome(made, RULES)
    (why,) = [r for r in found if r.analysis == "sensitivity: MMRM"]
    assert why.measure.startswith("not fitted: The covariance of the visits")
    assert of(found, "primary", "B less A").patients > 0


def test_nobody_changed_and_all_changed_alike_are_said_to_be_so():
    for step in (0.0, -0.8):
        alike = [
            Course(f"P{n}", "AB"[n % 2], {"visit-1": 3.1 + n / 7, "visit-6": 3.1 + n / 7 + step * (n % 2)})
            for n in range(12)
        ]
        found = outcome(alike, RULES)
        (why,) = [one for one in found if one.analysis == "primary"]
        assert why.measure.startswith("not fitted: The values follow the model without rest.")
        assert {"trajectory", "improvement", "missing"} <= {one.analysis for one in found}  # the rest stands


def test_an_arm_with_nobody_at_the_primary_visit_is_said_to_be_not_compared():
    made = [
        one
        if one.arm != "C"
        else Course(one.patient, "C", {v: x for v, x in one.values.items() if v != "visit-6"})
        for one in courses(3)
    ]
    found = outcome(made, RULES)
    (lost,) = [r for r in found if (r.analysis, r.arm) == ("primary", "C less A")]
    assert lost.measure.startswith("not compared: nobody has both visits")
    assert (lost.patients, np.isnan(lost.value)) == (0, True)
    # Nor where baselines are carried forward: every value of the arm would be made up.
    carried = [r for r in found if r.analysis == "sensitivity: baseline carried forward" and r.arm[0] == "C"]
    assert [one.measure[:12] for one in carried] == ["not compared"]
    (why,) = [r for r in found if r.analysis == "sensitivity: MMRM"]
    assert "Nobody of arm C has a value at visit-6" in why.measure


@pytest.mark.parametrize("primary", ["visit-3", "visit-6"])
def test_where_nobody_is_missing_the_model_of_all_visits_has_the_difference_of_the_primary_one(primary):
    """Its differences are then those of the ANCOVA of that visit alone, whichever visit it is."""
    found = outcome(courses(7), RULES.model_copy(update={"primary": primary}))
    for name in ("B less A", "C less A", "D less A"):
        alone, of_all = (of(found, analysis, name) for analysis in ("primary", "sensitivity: MMRM"))
        assert of_all.visit == primary
        assert of_all.value == pytest.approx(alone.value, abs=1e-4)


def test_comparisons_by_the_model_of_all_visits_are_judged_by_the_fewest_degrees_of_freedom_of_any():
    """Of arm C two of eight come to the primary visit, and its comparison has other degrees of freedom."""
    arms = (Arm("A", 0.1), Arm("B", 0.2), Arm("C", 0.3))
    made = [
        one
        if one.arm != "C" or n % 12 < 3
        else Course(one.patient, "C", {v: x for v, x in one.values.items() if v != "visit-6"})
        for n, one in enumerate(courses(5, patients=24, arms=arms))
    ]
    model, weights, _ = mmrm_of(made, RULES)
    apart = [weights[arm] - weights["A"] for arm in "BC"]
    each = [model.contrast(one) for one in apart]
    fewest, most = sorted(one.df for one in each)
    r = (apart[0] @ model.covariance @ apart[1]) / (each[0].standard_error * each[1].standard_error)

    def dunnett(one, df):
        """How often chance takes any of the two as far from 0."""
        far = np.full(2, abs(one.value / one.standard_error))
        return 1 - multivariate_t([0, 0], [[1, r], [r, 1]], df=df, seed=1).cdf(far, lower_limit=-far)

    found = outcome(made, RULES)
    for arm, one in zip("BC", each, strict=True):
        p = of(found, "sensitivity: MMRM", f"{arm} less A").p_adjusted
        assert p == pytest.approx(dunnett(one, fewest), abs=1e-3)
        assert p > dunnett(one, most) + 4e-3


def test_an_estimate_tells_its_standard_error_and_degrees_of_freedom():
    found = outcome(courses(5, missing=0.1), RULES)
    told = [one for one in found if not np.isnan(one.standard_error)]
    analyses = ("primary", "sensitivity: MMRM", "sensitivity: baseline carried forward")
    assert {(one.analysis, one.measure) for one in told} == {
        *((name, measure) for name in analyses for measure in ("adjusted mean", "difference")),
        ("trajectory", "mean"),
        ("improvement", "mean improvement rate"),
    }
    for one in told:
        wide = t_distribution.ppf(0.975, one.df) * one.standard_error
        assert (one.low, one.high) == pytest.approx((one.value - wide, one.value + wide))
    missing = sum(one.value for one in found if one.measure == NOT_PRIMARY)
    assert of(found, "primary", "B less A").df == 80 - missing - 5


def test_the_interval_for_all_comparisons_together_has_0_where_their_p_is_not_below_one_in_twenty():
    for seed in range(4):
        for one in outcome(courses(seed, patients=40, missing=0.1), RULES):
            if one.measure == "difference":
                assert one.low_together < one.low < one.high < one.high_together
                assert (one.low_together < 0 < one.high_together) == (one.p_adjusted >= 0.05)
            else:
                assert np.isnan([one.low_together, one.high_together]).all()


def test_the_model_of_all_visits_tells_the_adjusted_mean_of_every_arm():
    """Where nobody is missing that of the primary visit's ANCOVA; else they differ as its arms do."""
    whole, lacking = outcome(courses(7), RULES), outcome(courses(7, missing=0.2), RULES)
    for arm in "ABCD":
        alone, of_all = (of(whole, name, arm, "adjusted mean") for name in ("primary", "sensitivity: MMRM"))
        assert of_all.value == pytest.approx(alone.value, abs=1e-4)
        assert of_all.patients == alone.patients == 20
    means = {arm: of(lacking, "sensitivity: MMRM", arm, "adjusted mean").value for arm in "ABCD"}
    for arm in "BCD":
        apart = of(lacking, "sensitivity: MMRM", f"{arm} less A").value
        assert means[arm] - means["A"] == pytest.approx(apart)


def test_adjusted_means_of_the_model_of_all_visits_are_at_the_mean_baseline_of_those_in_it():
    made = courses(8)
    alone = Course("P999", "A", {"visit-1": 24.0})
    for arm in "AD":
        also, without = (
            of(outcome(several, RULES), "sensitivity: MMRM", arm, "adjusted mean")
            for several in ([*made, alone], made)
        )
        assert repr(also) == repr(without)  # p is NaN, which is not equal to itself


def test_strata_are_factors_of_the_model_of_all_visits_too():
    """Against generalised least squares with a design of another layout and one matrix for all patients."""
    rng = np.random.default_rng(3)
    made = [
        replace(one, strata=(str(rng.choice(["lyon", "porto", "ulm"], p=[0.6, 0.3, 0.1])),))
        for one in courses(3, missing=0.15)
    ]
    rules = RULES.model_copy(update={"strata": ["centre"]})
    model, weights, visits = mmrm_of(made, rules)
    there = [one for one in made if len(one.values) > 1]
    rows = [(one, visit) for one in there for visit in visits if visit in one.values]
    names = [one.patient for one, _ in rows]
    numbers = np.array([visits.index(visit) for _, visit in rows])

    def line(arm, visit, baseline, shares):
        cells = [(a == arm) * (v == visit) for a in "ABCD" for v in visits]
        return [*cells, *(baseline * (v == visit) for v in visits), shares["porto"], shares["ulm"]]

    own = {one.patient: {c: float(one.strata == (c,)) for c in ("lyon", "porto", "ulm")} for one in there}
    design = np.array([line(o.arm, visit, o.values["visit-1"], own[o.patient]) for o, visit in rows])
    same = np.array(names)[:, None] == np.array(names)
    inverse = np.linalg.inv(np.where(same, model.visit_covariance[np.ix_(numbers, numbers)], 0))
    covariance = np.linalg.inv(design.T @ inverse @ design)
    beta = covariance @ design.T @ inverse @ np.array([o.values[visit] for o, visit in rows])
    mean = np.mean([one.values["visit-1"] for one in there])
    shares = {c: np.mean([one[c] for one in own.values()]) for c in ("porto", "ulm")}
    at = {arm: np.array(line(arm, "visit-6", mean, shares)) for arm in "ABCD"}
    for ours, theirs in ((weights["D"], at["D"]), (weights["D"] - weights["A"], at["D"] - at["A"])):
        found = model.contrast(ours)
        assert found.value == pytest.approx(theirs @ beta, abs=1e-8)
        assert found.standard_error == pytest.approx(np.sqrt(theirs @ covariance @ theirs), abs=1e-8)
    assert {one.measure for one in outcome(made, rules) if one.analysis == "strata"} == {
        *("centre: lyon", "centre: porto", "centre: ulm")
    }
    with pytest.raises(StatsError, match=r"has the strata \('\w+',\), and the protocol names \[\]"):
        outcome(made, RULES)


def test_visits_that_the_protocol_does_not_name_are_not_in_the_model_of_all_visits():
    made = courses(4)
    rng = np.random.default_rng(0)
    more = [
        Course(one.patient, one.arm, one.values | {"screening": one.values["visit-1"] + rng.normal()})
        for one in made
    ]
    rules = RULES.model_copy(update={"visits": ["visit-3", "visit-6"]})
    told, as_before = (
        of(outcome(given, wanted), "sensitivity: MMRM", "D less A")
        for given, wanted in ((more, rules), (made, RULES))
    )
    assert told == as_before
    assert of(outcome(more, RULES), "sensitivity: MMRM", "D less A").value != told.value


def test_one_arm_is_no_trial():
    alone = [replace(one, arm="A") for one in courses(1)]
    with pytest.raises(StatsError, match=r"has one arm, A\. Expected two or more"):
        outcome(alone, RULES)


def test_a_visit_of_the_protocol_that_the_table_lacks_is_refused():
    rules = RULES.model_copy(update={"visits": ["visit_3", "visit-6"]})
    with pytest.raises(StatsError, match="names the visit 'visit_3'"):
        outcome(courses(4), rules)


def test_a_protocol_of_before_lacks_keys_of_today_and_has_the_hash_that_it_had():
    lacking = ("visits", "adjudicated", "high_is", "strata")
    values = {name: value for name, value in read_yaml(FILE).items() if name not in lacking}
    before = checked(OutcomeProtocol, values, FILE, "outcome.yaml")
    assert before == RULES
    told = {name: value for name, value in RULES.model_dump(mode="json").items() if name not in lacking}
    assert before.sha256 == RULES.sha256 == sha256(json.dumps(told).encode()).hexdigest()


def test_that_an_adjudicator_s_grades_replace_the_readers_is_in_the_hash_and_of_reads_alone():
    values = read_yaml(FILE) | {"adjudicated": "replaces"}
    assert checked(OutcomeProtocol, values, FILE, "outcome.yaml").sha256 != RULES.sha256
    for spoilt in ({"adjudicated": "instead"}, {"endpoint": "masi"}, {"endpoint": "amount_od"}):
        with pytest.raises(SettingsError, match="replaces"):
            checked(OutcomeProtocol, values | spoilt, FILE, "outcome.yaml")


def test_what_a_high_value_is_is_in_the_hash_and_of_a_further_outcome_alone():
    values = read_yaml(FILE) | {"high_is": {"pain": "worse"}}
    assert checked(OutcomeProtocol, values, FILE, "outcome.yaml").sha256 != RULES.sha256
    for spoilt in ({"pain": "bad"}, {"itch": "worse"}):
        with pytest.raises(SettingsError, match="high_is"):
            checked(OutcomeProtocol, values | {"high_is": spoilt}, FILE, "outcome.yaml")


def test_strata_are_in_the_hash_and_neither_patient_nor_arm():
    values = read_yaml(FILE) | {"strata": ["centre"]}
    assert checked(OutcomeProtocol, values, FILE, "outcome.yaml").sha256 != RULES.sha256
    for spoilt in (["arm"], ["centre", "centre"]):
        with pytest.raises(SettingsError, match="strata must name each column once"):
            checked(OutcomeProtocol, values | {"strata": spoilt}, FILE, "outcome.yaml")


def test_two_spellings_of_a_visit_are_refused():
    made = courses(5)
    odd = Course(
        made[0].patient, made[0].arm, {v.replace("-6", " - 6").title(): x for v, x in made[0].values.items()}
    )
    with pytest.raises(StatsError, match="Expected one spelling"):
        outcome([odd, *made[1:]], RULES)


def test_a_unit_that_awaits_the_adjudicator_at_a_visit_spelled_otherwise_is_refused():
    made = courses(5)
    awaited = {"Visit-6": Verdict(float("nan"), why_missing=NOT_ADJUDICATED)}
    with pytest.raises(StatsError, match="Expected one spelling"):
        outcome([replace(made[0], verdicts=awaited), *made[1:]], RULES)


def test_a_comparison_counts_the_patients_of_its_two_arms():
    found = outcome(courses(6), RULES)
    assert {of(found, name, "B less A").patients for name in ("primary", "sensitivity: MMRM")} == {40}


def test_further_outcomes_are_counted_once_and_follow_each_other():
    arms = {"P1": "A", "P2": "A"}
    rows = [
        {"patient": p, "visit": f"week-{w}", "item": "pain", "value": v}
        for p, w, v in (("P1", 12, "1"), ("P1", 4, "2"), ("P2", 4, ""), ("P2", 12, "3"))
    ]
    made = other_results(rows, arms, RULES, "others.csv")
    assert [(one.visit, one.measure, one.patients) for one in made] == [
        *(("week-4", "mean", 1), ("week-4", "median", 1), ("week-12", "mean", 2), ("week-12", "median", 2))
    ]
    with pytest.raises(StatsError, match="two values of pain of P1 at week-12"):
        other_results([*rows, rows[0]], arms, RULES, "others.csv")


@pytest.mark.long
def test_null_trials_are_called_effective_as_seldom_as_the_level_says():
    """Any of three comparisons, by Dunnett, in 120 trials of four arms that do not differ: 6 expected.

    benchmarks/null_trials.py does the same with 400 trials of the study generator.
    """
    same = tuple(Arm(name, 0.25) for name in "ABCD")
    wrong = 0
    for seed in range(120):
        found = ancova_of(courses(1000 + seed, arms=same), RULES)
        wrong += min(one.p_adjusted for one in found.comparisons) < 0.05
    assert 1 <= wrong <= 12


def test_what_is_missing_is_counted_and_handled_as_the_rule_says():
    made = courses(2)
    made[3] = Course(made[3].patient, made[3].arm, {"visit-1": 10.0})  # arm D
    made[7] = Course(made[7].patient, made[7].arm, {}, without_value=frozenset({"visit-6"}))
    found = outcome(made, RULES)
    assert {(r.arm, r.visit): r.value for r in found if WITHOUT_VALUE in r.measure} == {("D", "visit-6"): 1}
    missing = {(r.arm, r.visit): r.value for r in found if r.measure == "patients without a value"}
    assert (missing["D", "visit-1"], missing["D", "visit-6"], missing["A", "visit-6"]) == (1, 2, 0)
    assert {r.arm: r.value for r in found if r.measure == NOT_PRIMARY} == {"A": 0, "B": 0, "C": 0, "D": 2}
    patients = {
        analysis: of(found, analysis, "D", "adjusted mean").patients
        for analysis in ("primary", "sensitivity: baseline carried forward")
    }
    assert list(patients.values()) == [18, 19]
    lost = gains(made, RULES)[3]
    assert np.isnan(lost.change)
    assert lost.improvement_class == ""


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (10, 2, "basically_cured"),
        (10, 5, "markedly_effective"),
        (1.0, 0.7, "improved"),
        (7.0, 4.9, "improved"),  # 0.3 but for the last bit
        (10, 7.1, INEFFECTIVE),
        (10, 12, INEFFECTIVE),
        (0, 0, NONE),
    ],
)
def test_classes_of_improvement(before, after, expected):
    (one,) = gains([Course("P", "A", {"visit-1": before, "visit-6": after})], RULES)
    assert one.improvement_class == expected


def test_who_improved_by_exactly_the_rate_of_a_responder_is_one():
    """By 30 % each, which the quotient misses by its last bit; one of the control by less."""
    by_rate = [(7.0, 4.9), (14.0, 9.8), (23.0, 16.1)]
    assert all((before - after) / before < 0.3 for before, after in by_rate)
    made = [
        Course(f"P{n}", "B", {"visit-1": before, "visit-6": after})
        for n, (before, after) in enumerate(by_rate)
    ]
    made.append(Course("P9", "A", {"visit-1": 10.0, "visit-6": 7.1}))
    found = outcome(made, RULES.model_copy(update={"responder": 0.3}))
    shares = {one.arm: one.value for one in found if one.analysis == "responder"}
    assert shares == {"A": 0, "B": 1}


def test_who_is_missing_is_no_responder_of_all_patients():
    """Of B one of two improved and a third did not come back; of C nobody came back."""
    values = {"A": [(10, 9)], "B": [(10, 2), (10, 9), (10, None)], "C": [(10, None), (8, None)]}
    made = [
        Course(f"{arm}{n}", arm, {"visit-1": before} | ({"visit-6": after} if after else {}))
        for arm, pairs in values.items()
        for n, (before, after) in enumerate(pairs)
    ]
    found = [one for one in outcome(made, RULES) if one.analysis == "responder"]
    words = "improvement rate of 0.5 or more, of "
    both, every = f"{words}those with both visits", f"{words}all patients, missing as non-responder"
    assert {(one.arm, one.measure): (one.value, one.patients) for one in found} == {
        ("A", both): (0, 1),
        ("A", every): (0, 1),
        ("B", both): (0.5, 2),
        ("B", every): (pytest.approx(1 / 3), 3),
        ("C", every): (0, 2),
    }


def test_who_began_at_zero_and_did_not_come_back_is_in_no_class():
    (one,) = gains([Course("P", "A", {"visit-1": 0.0})], RULES)
    assert one.improvement_class == ""


def test_visits_follow_each_other_as_their_numbers_do():
    rules = RULES.model_copy(update={"baseline": "week-0", "primary": "week-12"})
    week = dict(zip(VISITS, ("week-0", "week-4", "week-12"), strict=True))
    trial = [Course(c.patient, c.arm, {week[v]: x for v, x in c.values.items()}) for c in courses()]
    drawn = [one.visit for one in outcome(trial, rules) if (one.analysis, one.arm) == ("trajectory", "A")]
    assert drawn == ["week-0", "week-4", "week-12"]


def test_visits_that_the_protocol_lists_follow_each_other_as_it_lists_them():
    named = ("week-4", "week-12", "end-of-treatment")
    told = {"baseline": "baseline", "primary": named[-1], "visits": list(named)}
    names = dict(zip(VISITS, ("baseline", *named[1:]), strict=True))
    trial = [Course(c.patient, c.arm, {names[v]: x for v, x in c.values.items()}) for c in courses()]
    rng = np.random.default_rng(5)
    trial = [
        replace(one, values={"unscheduled": 4.0, "week-4": rng.uniform(2, 9), **one.values}) for one in trial
    ]
    rules = RULES.model_copy(update=told)
    found = outcome(trial, rules)
    for analysis, measure in (("trajectory", "mean"), ("missing", "patients without a value")):
        drawn = [r.visit for r in found if (r.analysis, r.arm, r.measure) == (analysis, "A", measure)]
        assert drawn == ["baseline", *named, "unscheduled"]
    assert mmrm_of(trial, rules)[2] == list(named)
    kept = [one.visit for one in endpoint_values(trial[:1], rules.course)]
    assert kept == ["baseline", *named, "unscheduled"]


def test_shares_of_classes_are_of_those_who_have_both_visits_and_add_up():
    found = outcome(courses(3, missing=0.2), RULES)
    for arm in "ABCD":
        shares = [r for r in found if (r.analysis, r.arm) == ("class", arm)]
        assert sum(one.value for one in shares) == pytest.approx(1)
        assert shares[0].patients == of(found, "primary", arm, "adjusted mean").patients
        assert all(0 <= one.low <= one.value <= one.high <= 1 for one in shares)


def test_further_outcomes_and_complications_stand_by_arm():
    arms = {"P1": "A", "P2": "A", "P3": "B"}
    rows = [
        {"patient": p, "visit": "visit-6", "item": "pain", "value": v}
        for p, v in zip(arms, "246", strict=True)
    ]
    found = {(r.arm, r.measure): r.value for r in other_results(rows, arms, RULES, "others.csv")}
    assert found == {("A", "mean"): 3, ("A", "median"): 3, ("B", "mean"): 6, ("B", "median"): 6}
    events = [{"patient": "P1", "visit": "visit-2", "event": "erythema"}] * 2
    shares = {r.arm: (r.value, r.patients) for r in event_results(events, arms, "events.csv")}
    assert shares == {"A": (0.5, 2), "B": (0, 1)}


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"item": "pain", "value": "11"}, "from 0 to 10"),
        ({"item": "pain", "value": "much"}, "from 0 to 10"),
        ({"item": "joy", "value": "1"}, "Expected the items pain"),
        ({"item": "pain", "value": "1", "patient": "P9"}, "patients of the trial"),
    ],
)
def test_further_outcomes_that_cannot_be_are_refused(row, said):
    with pytest.raises(StatsError, match=said):
        other_results([{"patient": "P1", "visit": "v"} | row], {"P1": "A"}, RULES, "others.csv")


def test_a_protocol_that_does_not_fit_the_table_or_itself_is_refused():
    with pytest.raises(StatsError, match="names the visit 'visit-9'"):
        outcome(courses(), RULES.model_copy(update={"primary": "visit-9"}))
    values = read_yaml(FILE) | {"classes": {"good": 0.2, "better": 0.6}}
    with pytest.raises(SettingsError, match="fall from the best down"):
        checked(OutcomeProtocol, values, FILE, "outcome.yaml")
    values = read_yaml(FILE) | {"others": {"pain": [10, 0]}}
    with pytest.raises(SettingsError, match="the least value before the greatest, not as pain"):
        checked(OutcomeProtocol, values | {"high_is": {}}, FILE, "outcome.yaml")


def test_a_mean_of_values_that_differ_by_rounding_alone_has_no_interval():
    """Means of readers come out so: 0.1 + 0.2 is not 0.3."""
    made = [
        Course(c.patient, c.arm, {**c.values, "visit-3": (0.3, 0.1 + 0.2)[n % 2]})
        for n, c in enumerate(courses())
    ]
    means = [
        r
        for r in outcome(made, RULES)
        if (r.analysis, r.visit, r.measure) == ("trajectory", "visit-3", "mean")
    ]
    assert means
    assert all(np.isnan(one.low) and np.isnan(one.high) for one in means)
