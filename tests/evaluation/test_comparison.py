"""Two models on the same photographs: differences, their intervals, chance, and what is said of them."""

from dataclasses import replace

import numpy as np
import pytest

from masi_vision.evaluation.comparison import Difference, compared, in_common
from masi_vision.evaluation.photo_figures import PhotoFigures
from masi_vision.evaluation.summary import Figure
from masi_vision.scale import MASI_REGIONS


@pytest.fixture
def photos(region):
    """One photo of each patient, whose regions overlap as told and have these errors of the fraction."""

    def make(ious, errors=None):
        errors = [None] * len(ious) if errors is None else errors
        return [
            PhotoFigures(
                f"{number}.jpg",
                f"p{number}",
                "front",
                "",
                found=True,
                labelled=True,
                regions={name: region(iou, **_fraction(error)) for name in MASI_REGIONS},
            )
            for number, (iou, error) in enumerate(zip(ious, errors, strict=True))
        ]

    return make


def _fraction(error):
    return {} if error is None else {"graded": True, "true_fraction": 0.2, "fraction": 0.2 + error}


def named(differences):
    return {one.name: one for one in differences}


def test_models_compared_with_themselves_are_the_same(photos):
    some = photos([0.8, 0.6, 0.9], [0.1, 0.0, 0.2])
    for one in compared(some, some):
        assert one.difference == Figure(0, 0, 0)
        assert one.p == 1
        assert one.sentence.endswith(": the same, 3 patients.")


def test_better_on_each_of_six_patients_is_chance_in_two_of_64_ways(photos):
    found = named(compared(photos([0.9] * 6), photos([0.7, 0.72, 0.74, 0.7, 0.71, 0.73])))["mean_iou"]
    assert found.p == pytest.approx(2 / 64)
    assert found.is_clear
    assert found.sentence == (
        "Mean IoU 0.900 against 0.717: better by 0.183 (0.172 to 0.195), p = 0.031, 6 patients."
    )


def test_the_test_by_chance_is_the_same_each_time_and_agrees_with_all_ways(photos):
    rng = np.random.default_rng(5)
    ours, theirs = rng.uniform(0.5, 0.9, 13), rng.uniform(0.45, 0.85, 13)
    drawn = named(compared(photos(ours), photos(theirs)))["mean_iou"]
    assert drawn == named(compared(photos(ours), photos(theirs)))["mean_iou"]
    apart = (ours - theirs) / 13
    ways = np.array(np.meshgrid(*[[-1, 1]] * 13)).reshape(13, -1)
    exact = np.mean(np.abs(apart @ ways) >= abs(apart.sum()) - 1e-12)
    assert drawn.p == pytest.approx(exact, abs=0.02)


def test_exchanging_the_models_turns_every_sign(photos):
    one, other = photos([0.9, 0.8, 0.7], [0.1, 0.2, 0.1]), photos([0.6, 0.85, 0.6], [0.2, 0.2, 0.3])
    for there, back in zip(compared(one, other), compared(other, one), strict=True):
        assert there.difference.value == pytest.approx(-back.difference.value)
        assert there.difference.low == pytest.approx(-back.difference.high)
        assert there.p == back.p


def test_a_smaller_error_is_better(photos):
    ours, theirs = photos([0.8] * 8, [0.05] * 8), photos([0.8] * 8, [0.09, 0.08, 0.07, 0.1] * 2)
    found = named(compared(ours, theirs))["fraction_error"]
    assert found.difference.value == pytest.approx(-0.035)
    assert "5.0% against 8.5%: better by 3.5 points (2.8 to 4.3), p = 0.008" in found.sentence
    assert "worse by 3.5 points (2.8 to 4.3)" in named(compared(theirs, ours))["fraction_error"].sentence


def test_a_difference_that_may_be_chance_is_called_so(photos):
    found = named(compared(photos([0.8, 0.7, 0.9]), photos([0.7, 0.75, 0.85])))["mean_iou"]
    assert not found.is_clear
    assert "no clear difference, better by 0.033 (-0.050 to 0.100), p = 0.75, 3 patients." in found.sentence


def test_one_patient_is_too_few(photos):
    found = named(compared(photos([0.8]), photos([0.7])))["mean_iou"]
    assert found.p is None and found.difference.low is None
    assert found.sentence == "Mean IoU 0.800 against 0.700: 1 patient, too few to say how sure that is."


def test_what_only_one_of_them_grades_counts_for_neither(photos):
    ours, theirs = photos([0.8, 0.8], [0.1, 0.5]), photos([0.8, 0.8], [0.2, 0.2])
    hidden = {name: replace(one, graded=False) for name, one in theirs[1].regions.items()}
    found = named(compared(ours, [theirs[0], replace(theirs[1], regions=hidden)]))["fraction_error"]
    assert found.value == pytest.approx(0.1)
    assert found.patients == 1


def test_of_mmasi_and_outlines_only_those_that_both_have_remain(photos, region):
    seen = replace(photos([0.8])[0], mmasi=3.0, true_mmasi=4.0, regions={"chin": region(1.0)})
    seen = replace(seen, regions={"chin": replace(seen.regions["chin"], boundary_error_percent=2.0)})
    blind = replace(seen, mmasi=None, regions={"chin": region(0.0)})
    one, other = in_common(seen, blind)
    assert one.mmasi is None and one.region("chin").boundary_error_percent is None
    assert other == blind
    assert in_common(seen, seen) == (seen, seen)


def test_other_photos_are_refused(photos):
    with pytest.raises(ValueError, match="same photos in the same order"):
        compared(photos([0.8, 0.7]), photos([0.8]))


def test_plain_values_hold_the_sentence():
    found = Difference("mean_iou", 0.81, 0.74, Figure(0.07, 0.03, 0.11), 0.002, 32)
    told = "Mean IoU 0.810 against 0.740: better by 0.070 (0.030 to 0.110), p = 0.002, 32 patients."
    assert found.to_dict()["sentence"] == told
    assert found.to_dict()["difference"] == {"value": 0.07, "low": 0.03, "high": 0.11}
