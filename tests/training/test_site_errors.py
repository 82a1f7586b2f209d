"""Intervals of models fitted to a site, held against the fractions drawn there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch", reason="needs the extra train")

from masi_vision.labels.dataset import Dataset, Entry
from masi_vision.pigment.interval import Band, MeasureError
from masi_vision.training.site_errors import (
    Known,
    known_fractions,
    site_error,
    times_wider,
    widened,
)

BAND = Band((0.0, 0.4), (0.0, 0.1), (0.2, 0.2))
UNSURE = Band((0.0,), (0.3,), (0.5,))
ERROR = MeasureError(BAND, Band((0.0,), (0.02,), (0.04,)), 0.75, ((0.5, BAND), (1.0, UNSURE)))


def known(found, true, patient="p"):
    return Known(patient, found, *ERROR.around_fraction(found, 0.0), true)


def off_by(distances, people=100):
    """Fractions of 0.4 found where so much more was drawn, one or more a patient."""
    return [known(0.4, 0.4 + by, f"p{number % people}") for number, by in enumerate(distances)]


def test_intervals_that_hold_stay_as_they_are():
    kept, told = site_error(ERROR, off_by([0.19] * 90 + [0.5] * 10))
    assert kept == ERROR
    assert "1.00 times as wide" in told
    assert "hold 90%, 90% before" in told


def test_many_patients_ask_for_what_they_need_and_a_dozen_for_part_of_it():
    needed = [0.1] * 50 + [0.4] * 50  # twice the room above
    assert times_wider(off_by(needed)) == pytest.approx(2)
    many, _ = site_error(ERROR, off_by(needed))
    few, told = site_error(ERROR, off_by(needed, people=12))
    assert many.fraction.above[1] == pytest.approx(0.2 * 2 ** (100 / 120), abs=1e-4)
    assert few.fraction.above[1] == pytest.approx(0.2 * 2 ** (12 / 32), abs=1e-4)
    assert few.contrast_od.above[0] == pytest.approx(0.04 * 2 ** (12 / 32), abs=1e-4)
    assert few.by_doubt[1][1].above[0] == pytest.approx(0.5 * 2 ** (12 / 32), abs=1e-4)
    assert [share for share, _ in few.by_doubt] == [0.5, 1.0]
    assert few.share == ERROR.share
    assert "100 pigmented fractions drawn on 12 validation patients they hold 50%, 50% before" in told


def test_too_few_fractions_change_nothing_and_say_so():
    kept, told = site_error(ERROR, off_by([0.9] * 19))
    assert kept == ERROR
    assert "19 pigmented fractions" in told
    assert site_error(ERROR, [])[0] == ERROR


def test_validation_photos_on_which_nobody_drew_pigment_tell_nothing_and_are_no_error(tmp_path):
    entry = Entry(
        "photos/a.jpg", "labels/a.png", "", patient="a", visit="1", view="front", split="validation"
    )
    assert known_fractions(tmp_path, Dataset(tmp_path, (entry,))) == []


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=20, max_size=60))
def test_as_wide_as_they_ask_for_they_hold_nine_in_ten(pairs):
    some = [known(found, true) for found, true in pairs]
    times = times_wider(some)
    assert times >= 1
    wider = widened(ERROR, times)
    ends = [(*wider.around_fraction(found, 0.0), true) for found, true in pairs]
    held = [low - 1e-3 <= true <= high + 1e-3 for low, high, true in ends]
    assert times == 10 or sum(held) >= 0.9 * len(held)
