"""The figures by which pigment maps are judged, on rows made here."""

from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra train")
if find_spec("scipy") is None:
    pytest.skip("needs the extra train", allow_module_level=True)

from masi_vision.config import load_settings
from masi_vision.pigment.interval import Band, MeasureError
from masi_vision.scale import MASI_REGIONS, REGION_TENTHS
from masi_vision.training.phantom_photos import CHANGE, Row
from masi_vision.training.pigment_figures import (
    band,
    change_error,
    change_r,
    changes_held,
    correlation,
    coverage,
    figures,
    laid_over_changes,
    measured_error,
    pairs_of,
)

SCALE = load_settings().scale
STATES = {"clear": 0.0, "again": 0.0, "planted": 1.0, "treated": 0.5}


def rows(people=30, *, noise=0.0, false=0.0, seed=0):
    """Photographs of people whose regions differ; what is found is the truth, shifted and blurred."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(people):
        for region in MASI_REGIONS:
            fraction, contrast = rng.uniform(0.05, 0.8), rng.uniform(0.04, 0.2)
            for state, share in STATES.items():
                true = fraction if share else 0.0
                found = np.clip(true + false + noise * rng.normal(), 0, 1)
                made.append(
                    Row(
                        estimator="made",
                        person=f"{number:05d}",
                        tone="tan",
                        state=state,
                        distractor="none",
                        delta_l=8.0,
                        light_range_od=0.6,
                        face_px=200.0,
                        region=region,
                        fraction=float(found),
                        contrast_od=share * contrast if found else 0.0,
                        integrated_od=share * contrast * float(found),
                        true_fraction=true,
                        true_contrast_od=share * contrast if true else 0.0,
                        true_integrated_od=share * contrast * true,
                        region_px=1000,
                        both_px=int(1000 * min(found, true)),
                        either_px=int(1000 * (found + true)),
                    )
                )
    return made


def test_a_perfect_map_has_perfect_figures():
    found = figures(rows(), SCALE)
    assert found["false fraction on clear photos"] == found["error of the fraction"] == 0
    assert found["mMASI change, nothing changed"] == 0
    assert found["r, amount"] == pytest.approx(1)
    assert found["r, change"] == pytest.approx(1)
    assert found["Dice at dL* 6 and more"] == pytest.approx(1, abs=0.002)
    assert found["area grade exact"] == found["area grade within one"] == 1


def test_an_amount_is_judged_by_the_integrated_pigment_of_the_same_skin():
    """Where its median misses it, and of visits laid over each other, fraction x contrast is another one."""
    rng = np.random.default_rng(4)
    made = [replace(row, true_contrast_od=float(rng.uniform(0, 0.2))) for row in rows()]
    assert figures(made, SCALE)["r, amount"] == pytest.approx(1)
    assert change_r(made) == pytest.approx(1)


def test_a_blank_map_is_no_good_map():
    blank = [replace(row, fraction=0.0, contrast_od=0.0, integrated_od=0.0, both_px=0) for row in rows()]
    found = figures(blank, SCALE)
    assert found["r, amount"] == found["r, change"] == found["Dice at dL* 6 and more"] == 0
    assert found["error of the fraction"] > 0.3
    assert found["area grade exact"] < 0.1


def test_false_fraction_and_error_are_means_over_regions():
    found = figures(rows(false=0.05), SCALE)
    assert found["false fraction on clear photos"] == pytest.approx(0.05)
    assert found["error of the fraction"] == pytest.approx(0.05, abs=0.002)


def test_faint_lesions_do_not_count_for_dice():
    faint = [replace(row, delta_l=4.0) for row in rows()]
    assert np.isnan(figures(faint, SCALE)["Dice at dL* 6 and more"])


def test_clear_skin_called_lesion_lowers_dice():
    clear_forehead = [
        replace(row, true_fraction=0.0, fraction=0.5, both_px=0, either_px=500)
        if row.region == "forehead"
        else row
        for row in rows()
    ]
    assert figures(clear_forehead, SCALE)["Dice at dL* 6 and more"] < 0.9


def test_what_never_varies_correlates_with_nothing():
    assert correlation([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]) == 0
    assert np.isnan(correlation([1.0, 2.0], [1.0, 2.0]))


def test_a_photo_with_a_hidden_region_has_no_score_to_compare():
    hidden = [row for row in rows() if row.region != "chin" or row.state != "again"]
    assert np.isnan(figures(hidden, SCALE)["mMASI change, nothing changed"])


def test_two_photos_of_a_person_are_compared_on_the_regions_that_both_grade():
    made = [
        row
        for row in rows(people=3)
        if (row.person, row.state, row.region) != ("00000", "treated", "chin")
        and (row.person, row.state, row.region) != ("00000", "planted", "forehead")
        and (row.person, row.state) != ("00001", "treated")
    ]
    pairs = pairs_of(made, "planted", "treated")
    assert [{row.person for row in before + after} for before, after in pairs] == [{"00000"}, {"00002"}]
    assert [{row.state for row in part} for part in pairs[0]] == [{"planted"}, {"treated"}]
    for part in pairs[0]:
        assert {row.region for row in part} == {"right_malar", "left_malar"}
    (whole,) = pairs_of(made, "planted", "treated", whole=True)
    assert whole[0][0].person == "00002"
    assert [len(part) for part in whole] == [4, 4]


def test_intervals_fitted_on_some_hold_the_truth_of_others():
    error = measured_error(rows(200, noise=0.06, seed=1), SCALE)
    held = coverage(rows(200, noise=0.06, seed=2), error, SCALE)
    assert 0.85 < held["fraction"] < 0.95
    assert held["mMASI"] > 0.85
    assert 0 <= error.share <= 1


def test_doubt_has_intervals_of_its_own():
    """A third of the regions is sure and right, a third is doubted and often wrong."""
    parts = [
        [
            replace(row, person=f"{seed}-{row.person}", undecided_fraction=doubt)
            for row in rows(60, noise=noise, seed=seed)
        ]
        for seed, (noise, doubt) in enumerate([(0.005, 0.0), (0.05, 0.3), (0.3, 0.8)])
    ]
    error = measured_error([row for part in parts for row in part], SCALE)
    assert [share for share, _ in error.by_doubt] == [0.02, 0.5, 1.0]
    ends = [error.around_fraction(0.4, doubt) for doubt in (0.0, 0.3, 0.8)]
    widths = [high - low for low, high in ends]
    assert widths[0] < 0.05 < widths[1] < 0.3 < widths[2]
    for part in parts:
        assert 0.84 < coverage(part, error, SCALE)["fraction"] < 0.96


def test_without_doubt_or_with_few_doubted_there_is_one_band_for_all():
    assert measured_error(rows(60), SCALE).by_doubt == ()
    sure = [replace(row, undecided_fraction=0.0) for row in rows(60)]
    assert measured_error(sure, SCALE).by_doubt == ()


def test_intervals_that_are_too_narrow_are_found_out():
    narrow = Band((0.0,), (0.001,), (0.001,))
    held = coverage(rows(50, noise=0.06), MeasureError(narrow, narrow, 1.0), SCALE)
    assert held["fraction"] < 0.2


def test_a_band_is_wider_where_the_errors_are_larger():
    rng = np.random.default_rng(0)
    true = rng.uniform(0.05, 0.9, 3000)
    measured = np.clip(true + 0.15 * true * rng.normal(size=3000), 0.001, 1)
    found = band(list(measured), list(true), neighbours=200)
    low, high = found.around(0.1), found.around(0.7)
    assert high[1] - high[0] > 3 * (low[1] - low[0])


def test_who_measures_more_has_no_lower_end():
    rng = np.random.default_rng(5)
    measured = rng.uniform(0, 1, 200)
    found = band(list(measured), list(rng.permutation(measured)), neighbours=10)
    ends = np.array([found.around(value) for value in np.linspace(0, 1, 100)])
    assert (np.diff(ends, axis=0) >= -2e-4).all()
    assert (ends[:, 1] > ends[:, 0]).all()


def test_where_nothing_was_measured_the_band_holds_nine_truths_in_ten():
    rng = np.random.default_rng(0)
    true = np.where(rng.random(2000) < 0.5, 0, rng.uniform(0, 0.4, 2000))
    low, high = band([0.0] * 2000, list(true)).around(0.0)
    assert low == 0
    assert 0.89 < np.mean(true <= high) < 0.91


def laid_over(row, clear_fraction=1.0, **values):
    return replace(row, estimator=CHANGE, clear_fraction=clear_fraction, **values)


def test_a_change_is_less_sure_of_faces_with_little_clear_skin():
    rng = np.random.default_rng(12)

    def made(people):
        for row in rows(people):
            if row.state in ("planted", "treated"):
                little = int(row.person) % 2
                off = (0.02 if little else 0.004) * rng.normal()
                yield laid_over(row, 0.3 if little else 0.9, integrated_od=row.true_integrated_od + off)

    error = change_error(list(made(100)))
    assert [share for share, _ in error.by_clear] == [0.5, 1.0]
    wide, narrow = (np.ptp(error.around(0.0, clear)) for clear in (0.3, 0.9))
    assert wide > 3 * narrow
    assert len(change_error(list(made(20))).by_clear) == 1


def test_a_change_without_its_share_of_clear_skin_is_refused():
    with pytest.raises(ValueError, match="has no clear_fraction"):
        change_error([replace(row, estimator=CHANGE) for row in rows(3)])


def test_the_error_of_a_change_fitted_on_some_holds_the_truth_of_others():
    rng = np.random.default_rng(3)
    truth = [row for row in rows(100) if row.state in ("planted", "treated")]
    noise = 0.01 * rng.normal(size=len(truth))
    made = [
        laid_over(row, integrated_od=row.true_fraction * row.true_contrast_od + off)
        for row, off in zip(truth, noise, strict=True)
    ]
    error = change_error(made)
    true = rng.uniform(-0.06, 0, 2000)
    found = true + 0.01 * np.sqrt(2) * rng.normal(size=2000)
    ends = np.array([error.around(float(one), 1.0) for one in found])
    assert 0.84 < np.mean((ends[:, 0] <= true) & (true <= ends[:, 1])) < 0.96


def test_clear_faces_do_not_make_a_change_surer():
    made = [laid_over(row, integrated_od=0.0) for row in rows(60) if row.state in ("clear", "again")]
    changed = [laid_over(row) for row in rows(60) if row.state in ("planted", "treated")]
    assert change_error([*made, *changed]) == change_error(changed)


def test_other_estimators_tell_nothing_of_a_change():
    with pytest.raises(ValueError, match="no change was measured"):
        change_error(rows(10))


def wrong_alike(people, seed):
    """What is wrong of a person's region is so on all photographs, and a tenth of it anew on each."""
    rng = np.random.default_rng((9, seed))
    made, off = [], {}
    for row in rows(people, seed=seed):
        alike = off.setdefault((row.person, row.region), 0.12 * rng.normal())
        found = float(
            np.clip(row.true_fraction + bool(row.true_fraction) * (alike + 0.012 * rng.normal()), 0, 1)
        )
        made.append(replace(row, fraction=found, contrast_od=row.true_contrast_od if found else 0.0))
    return made


def test_a_change_is_surer_than_two_scores_that_err_on_their_own():
    error = measured_error(wrong_alike(150, 1), SCALE)
    assert error.change_share < 0.8
    held = changes_held(wrong_alike(150, 2), error, SCALE)
    assert len(held) == 150
    assert 0.84 < np.mean(held) < 0.97
    nothing = replace(error, change_share=0.0)
    assert np.mean(changes_held(wrong_alike(150, 2), nothing, SCALE)) < 0.5


def test_of_nobody_treated_a_change_has_the_whole_interval():
    assert measured_error([row for row in rows(40) if row.state != "treated"], SCALE).change_share == 1


def test_the_change_of_an_amount_is_held_as_often_as_that_of_a_region():
    def made(seed):
        rng = np.random.default_rng((11, seed))
        return [
            laid_over(row, integrated_od=row.true_integrated_od + 0.01 * rng.normal())
            for row in rows(150, seed=seed)
            if row.state in ("planted", "treated")
        ]

    error = change_error(made(1))
    assert 0.2 < error.share < 0.8  # four errors of their own cancel by half
    held = []
    for regions in laid_over_changes(made(2)).values():
        weights = [REGION_TENTHS[name] for name in regions]
        low, high = error.around_mean([error.around(one, 1.0) for one, *_ in regions.values()], weights)
        held.append(low <= np.average([true for _, true, _ in regions.values()], weights=weights) <= high)
    assert len(held) == 150
    assert 0.84 < np.mean(held) < 0.96


def test_nobody_with_all_four_regions_has_the_whole_distance():
    part = [laid_over(row) for row in rows(60) if row.state != "clear" and row.region != "chin"]
    assert change_error(part).share == 1
