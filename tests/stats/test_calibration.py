"""Cut points fitted to grades: against known ones, and against another's ordinal fit."""

import numpy as np
import pytest

from masi_vision.stats.calibration import calibrate, fit_cut_points, graded

TRUE = (0.06, 0.10, 0.17)
SHIFTED = (0.03, 0.05, 0.08)


def panel(seed=0, count=600, spread=0.25, cuts=TRUE):
    """Measures of many regions, and how readers grade them: by true cut points, misjudging by a factor."""
    rng = np.random.default_rng(seed)
    measured = np.exp(rng.uniform(np.log(0.03), np.log(0.4), count))
    seen = measured * np.exp(rng.logistic(0, spread, count))
    patients = [f"P{n // 6:03d}" for n in range(count)]
    return measured, graded(seen, cuts, 1), patients


def test_cut_points_come_back():
    measured, grades, _ = panel(count=3000)
    np.testing.assert_allclose(fit_cut_points(measured, grades, lowest=1, count=3), TRUE, rtol=0.08)


def test_the_fit_is_that_of_statsmodels():
    miscmodels = pytest.importorskip("statsmodels.miscmodels.ordinal_model", reason="needs statsmodels (dev)")
    measured, grades, _ = panel(seed=3)
    model = miscmodels.OrderedModel(grades, np.log(measured)[:, None], distr="logit")
    fit = model.fit(method="bfgs", disp=False)
    slope = fit.params[0]
    theirs = np.exp(model.transform_threshold_params(fit.params)[1:-1] / slope)
    np.testing.assert_allclose(fit_cut_points(measured, grades, lowest=1, count=3), theirs, rtol=2e-3)


def test_a_calibration_does_better_than_cut_points_that_are_off():
    found = calibrate(*panel(seed=1), before=SHIFTED, lowest=1)
    assert found.error < 0.7 * found.error_before
    assert found.within_one > 0.95
    assert 0 < found.exact < 1
    assert (found.reads, found.patients) == (600, 100)


def test_cross_validation_does_not_flatter():
    """Grades by chance within each patient: the fit must not look better than it is."""
    rng = np.random.default_rng(5)
    measured, grades, patients = panel(seed=4)
    noise = rng.permutation(grades)
    try:
        found = calibrate(measured, noise, patients, before=TRUE, lowest=1)
    except ValueError as error:
        assert "do not come with higher grades" in str(error)
    else:
        assert found.exact < 0.45


def test_a_grade_given_too_seldom_is_refused_with_its_number():
    measured, grades, patients = panel()
    grades = np.where(grades == 4, 3, grades)
    with pytest.raises(ValueError, match=r"grade 4 was given 0 times\. Expected each grade from 1 to 4"):
        calibrate(measured, grades, patients, before=TRUE, lowest=1)


def test_reads_of_other_photos_are_refused():
    measured, grades, patients = panel()
    with pytest.raises(ValueError, match="do not come with higher grades"):
        calibrate(measured, 5 - grades, patients, before=TRUE, lowest=1)


def test_patients_without_a_grade_are_refused():
    measured, grades, _ = panel()
    with pytest.raises(ValueError, match="all reads of grade 4 are of patients in one fold"):
        fit_cut_points(measured, np.where(grades == 4, 3, grades), lowest=1, count=3)


@pytest.mark.parametrize(("measure", "grade"), [(0.05, 1), (0.06, 2), (0.0999, 2), (0.17, 4), (3.0, 4)])
def test_a_measure_on_a_cut_point_has_the_higher_grade(measure, grade):
    assert graded(np.array([measure]), TRUE, 1) == grade
