"""Intervals are read off a table of what the truth was."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from masi_vision.pigment.interval import Band, ChangeError, Distances, MeasureError

BAND = Band((0.0, 0.2, 0.6), (0.0, 0.1, 0.2), (0.04, 0.1, 0.3))
FAR = Distances((0.0, 0.02, 0.1), (0.004, 0.01, 0.03))


@pytest.mark.parametrize(
    ("value", "expected"), [(0.0, (0, 0.04)), (0.2, (0.1, 0.3)), (0.4, (0.25, 0.6)), (0.9, (0.7, 1.2))]
)
def test_ends_are_interpolated_between_knots_and_held_beyond_them(value, expected):
    assert BAND.around(value) == pytest.approx(expected)


@given(st.floats(0, 3))
def test_an_interval_holds_its_value_and_never_reaches_below_zero(value):
    low, high = BAND.around(value)
    assert 0 <= low <= value <= high


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (((), (), ()), "at least one value"),
        (((0.0, 0.1), (0.0,), (0.0, 0.0)), "one length"),
        (((0.1, 0.1), (0.0, 0.0), (0.0, 0.0)), "must increase"),
        (((0.0, 0.1), (0.0, -0.1), (0.0, 0.0)), "numbers of 0 and more"),
        (((0.0, 0.1), (0.0, 0.0), (0.0, float("nan"))), "numbers of 0 and more"),
    ],
)
def test_a_table_that_cannot_be_read_off_is_refused(table, words):
    with pytest.raises(ValueError, match=words):
        Band(*table)


def test_the_more_undecided_a_region_the_other_its_band():
    sure, unsure = Band((0.0,), (0.01,), (0.02,)), Band((0.0,), (0.2,), (0.7,))
    error = MeasureError(BAND, BAND, 0.8, ((0.1, sure), (1.0, unsure)))
    assert error.around_fraction(0.4, 0.1) == pytest.approx((0.39, 0.42))
    assert error.around_fraction(0.4, 0.11) == pytest.approx((0.2, 1.0))  # no fraction is larger than 1
    assert MeasureError(BAND, BAND, 0.8).around_fraction(0.4, 0.9) == pytest.approx((0.25, 0.6))


@pytest.mark.parametrize("shares", [(0.5,), (0.5, 0.5, 1.0), (0.6, 0.5, 1.0), (0.5, 1.2)])
def test_bands_that_leave_a_region_without_any_are_refused(shares):
    with pytest.raises(ValueError, match="must increase up to 1"):
        MeasureError(BAND, BAND, 0.8, tuple((share, BAND) for share in shares))


def test_the_interval_of_a_change_is_as_wide_on_both_sides_whatever_its_sign():
    error = ChangeError(((1.0, FAR),))
    assert error.around(0.01, 0.8) == pytest.approx((0.003, 0.017))
    assert error.around(-0.01, 0.8) == pytest.approx((-0.017, -0.003))
    assert error.around(0.5, 0.8) == pytest.approx((0.47, 0.53))


def test_of_a_face_with_little_clear_skin_a_change_is_less_sure():
    error = ChangeError(((0.5, FAR), (1.0, Distances((0.0,), (0.001,)))))
    assert error.around(0.02, 0.5) == pytest.approx((0.01, 0.03))
    assert error.around(0.02, 0.51) == pytest.approx((0.019, 0.021))


@pytest.mark.parametrize(
    "shares", [(), (0.5,), (1.0, 1.0), (0.6, 0.5, 1.0), (-1.0, 1.0), (float("nan"), 1.0)]
)
def test_errors_that_leave_a_face_without_any_are_refused(shares):
    with pytest.raises(ValueError, match="by_clear must increase up to 1"):
        ChangeError(tuple((share, FAR) for share in shares))


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (((), ()), "at least one value"),
        (((0.0, 0.1), (0.0,)), "one length"),
        (((0.1, 0.1), (0.0, 0.0)), "must increase"),
        (((0.0, 0.1), (0.0, -0.1)), "numbers of 0 and more"),
        (((0.0, 0.1), (0.0, float("inf"))), "numbers of 0 and more"),
    ],
)
def test_errors_of_a_change_that_cannot_be_read_off_are_refused(table, words):
    with pytest.raises(ValueError, match=words):
        Distances(*table)


@pytest.mark.parametrize("share", [-3.0, 1.01, float("nan")])
def test_a_score_s_interval_is_never_wider_than_those_of_its_regions(share):
    band = Band((0.0,), (0.1,), (0.1,))
    with pytest.raises(ValueError, match=r"share must be in \[0, 1\]"):
        MeasureError(band, band, share)


def test_the_mean_of_regions_is_as_far_from_the_truth_as_its_share_of_theirs():
    error = ChangeError(((1.0, FAR),), 0.5)
    low, high = error.around_mean([error.around(one, 1.0) for one in (0.02, -0.1)], [3, 1])
    assert (low, high) == pytest.approx((-0.01 - 0.0075, -0.01 + 0.0075))  # half of (3 * 0.01 + 0.03) / 4
    assert error.around(0.02, 1.0) == pytest.approx((0.01, 0.03))  # a region's own is whole
    with pytest.raises(ValueError, match="share must be"):
        ChangeError(((1.0, FAR),), 1.5)
