"""Cut points fitted to grades: against known ones, and against another's ordinal fit."""

import numpy as np
import pytest

from masi_vision.config import load_settings
from masi_vision.stats.calibration import calibrate, first_cut, fit_cut_points, graded
from masi_vision.stats.cut_points import ReadRegion, fitted

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


def test_every_fold_is_judged_by_cut_points_of_other_patients(monkeypatch):
    measured, grades, patients = panel(seed=4)
    fitted_to = []

    def noted(of, *rest, **options):
        fitted_to.append(set(of.tolist()))
        return fit_cut_points(of, *rest, **options)

    monkeypatch.setattr("masi_vision.stats.calibration.fit_cut_points", noted)
    calibrate(measured, grades, patients, before=TRUE, lowest=1)
    whole, *folds = fitted_to
    assert len(folds) == 5
    of = dict(zip(measured.tolist(), patients, strict=True))
    for fold in folds:
        names = {of[one] for one in fold}
        assert 0 < len(names) < len(set(patients))
        assert fold == {one for one in of if of[one] in names}, "a patient is on one side alone"
    assert set.union(*folds) == whole


def test_the_errors_count_the_grade_below_the_lowest():
    """The software grades 0 below the threshold, where every read here is 1 or more."""
    measured, grades, patients = panel(seed=1)
    free, real = (calibrate(measured, grades, patients, TRUE, lowest=1, threshold=t) for t in (0.0, 0.05))
    lowest = float(np.mean(measured < 0.05))
    assert lowest > 0.1
    assert real.error_before == pytest.approx(free.error_before + lowest, abs=0.05)
    assert real.cut_points == free.cut_points
    assert first_cut(0.05, 0.06) == 0.05
    assert first_cut(0.05, 0.04) == pytest.approx(0.036)


def test_a_grade_given_too_seldom_is_refused_with_its_number():
    measured, grades, patients = panel()
    grades = np.where(grades == 4, 3, grades)
    with pytest.raises(ValueError, match=r"grade 4 was given 0 times\. Expected each grade from 1 to 4"):
        calibrate(measured, grades, patients, before=TRUE, lowest=1)


@pytest.mark.parametrize(
    ("cuts", "lacking"),
    [
        ((0.06, 0.10, 0.60), "grade 4 where much"),
        ((0.02, 0.06, 0.10), "grade 1 where little"),
        ((0.02, 0.10, 0.60), "grade 1 where little and of grade 4 where much"),
    ],
)
def test_a_grade_that_begins_beyond_what_was_measured_is_named(cuts, lacking):
    with pytest.raises(ValueError, match=rf"beyond what was measured.* regions of {lacking} is measured$"):
        calibrate(*panel(seed=2, cuts=cuts), before=SHIFTED, lowest=1)


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


def test_reads_by_the_very_cut_points_in_use_find_no_error_in_them():
    scale, rng = load_settings().scale, np.random.default_rng(6)
    areas = rng.uniform(0.02, 0.99, 600)
    contrasts = np.exp(rng.uniform(np.log(0.031), np.log(0.4), 600))
    area = graded(areas, scale.area_cut_points, 1)
    darkness = graded(contrasts, scale.darkness_cut_points_od, 0)
    pairs = [
        ReadRegion(f"P{n // 4:03d}", "A", int(area[n]), int(darkness[n]), areas[n], contrasts[n])
        for n in range(600)
    ]
    found = fitted(pairs, scale)
    assert {name: one.error_before for name, one in found.items()} == {
        "area_cut_points": 0,
        "darkness_cut_points_od": 0,
    }
