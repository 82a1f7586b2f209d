import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from masi_vision.labels.outline import any_filled, ellipse, filled, outlines, rectangle, turned

MASKS = arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12)))


def test_a_square_holds_the_pixels_between_its_corners():
    mask = filled([(2, 1), (5, 1), (5, 3), (2, 3)], (4, 7))
    assert mask.sum() == 6
    assert mask[1:3, 2:5].all()


def test_the_direction_in_which_it_was_drawn_does_not_matter():
    corners = [(2, 1), (15, 3), (11, 9), (4, 12)]
    assert np.array_equal(filled(corners, (14, 18)), filled(corners[::-1], (14, 18)))


def test_what_lies_beyond_the_photo_is_cut_off():
    assert filled([(-90, -90), (1e9, -90), (1e9, 2), (-90, 2)], (4, 5)).sum() == 10


@pytest.mark.parametrize(
    ("corners", "sentence"),
    [
        ([(0, 0), (4, 4)], "2 corners, fewer than three"),
        ([(1, 1)] * 5, "fewer than three of them apart"),
        ([(0, 0), (9, 9), (4.5, 4.5)], "no pixel of the photo"),
        ([(0, 0), (float("nan"), 9), (9, 9)], "no pair of numbers"),
        ([(0, 0), ("a", 9), (9, 9)], "no pair of numbers"),
        ([(20, 20), (30, 20), (30, 30)], "no pixel of the photo"),
    ],
)
def test_a_polygon_that_is_none_is_refused(corners, sentence):
    with pytest.raises(ValueError, match=sentence):
        filled(corners, (10, 10))


@given(MASKS)
def test_outlines_give_the_mask_back_where_it_has_no_hole(mask):
    around = outlines(mask)
    if around.polygons and not around.has_holes:
        drawn = any_filled(around.polygons, mask.shape)
        assert (drawn & mask).sum() >= 0.99 * (drawn | mask).sum()


def test_a_hole_is_told():
    mask = np.ones((7, 7), bool)
    assert not outlines(mask).has_holes
    mask[3, 3] = False
    assert outlines(mask).has_holes


def test_pixels_that_touch_at_a_corner_are_two_pieces():
    around = outlines(np.eye(2, dtype=bool))
    assert len(around.polygons) == 2
    assert not around.has_holes


def test_nothing_has_no_outline():
    assert outlines(np.zeros((4, 4), bool)).polygons == ()


def test_a_round_region_needs_few_corners():
    rows, columns = np.mgrid[:400, :300]
    mask = (rows - 200) ** 2 / 150**2 + (columns - 150) ** 2 / 110**2 < 1
    (polygon,) = outlines(mask).polygons
    drawn = filled(polygon, mask.shape)
    assert len(polygon) < 250
    assert (drawn & mask).sum() / (drawn | mask).sum() > 0.995


def test_an_ellipse_has_its_area_and_turns_clockwise():
    area = filled(ellipse(50, 50, 40, 20), (100, 100)).sum()
    assert area == pytest.approx(np.pi * 40 * 20, rel=0.01)
    upright = filled(ellipse(50, 50, 40, 20, turned_deg=90), (100, 100))
    assert upright[15, 50]
    assert not upright[50, 15]
    assert turned(np.array([[1.0, 0.0]]), np.zeros(2), 90) == pytest.approx(np.array([[0.0, 1.0]]))


def test_a_rectangle_turns_about_its_centre():
    assert rectangle(0, 0, 4, 2, turned_deg=180) == pytest.approx(
        np.array([(4, 2), (0, 2), (0, 0), (4, 0)], float)
    )
