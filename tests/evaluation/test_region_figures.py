"""Overlap, distance of outlines and sides, on shapes whose figures can be worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from masi_vision.evaluation.region_figures import (
    RegionFigures,
    boundary_distance_px,
    region_overlaps,
    sides_swapped,
    span_by_labels,
)
from masi_vision.face.atlas import Subunit, face_span

SPAN = 200.0
FOREHEAD, RIGHT, LEFT = Subunit.FOREHEAD, Subunit.RIGHT_MALAR, Subunit.LEFT_MALAR


def codes(*boxes, shape=(240, 240)):
    """Boxes of a code: (code, top, left, bottom, right)."""
    drawn = np.zeros(shape, np.uint8)
    for code, top, left, bottom, right in boxes:
        drawn[top:bottom, left:right] = code
    return drawn


def disk(radius_px, shape=(240, 240)):
    rows, columns = np.indices(shape)
    return np.hypot(rows - 120, columns - 120) <= radius_px


def test_a_region_shifted_by_a_tenth_of_its_width_overlaps_by_nine_elevenths():
    truth, drawing = (codes((FOREHEAD, 20, left, 80, left + 100)) for left in (50, 60))
    found = region_overlaps(drawing, truth, SPAN)["forehead"]
    assert found.iou == pytest.approx(90 / 110)
    assert found.dice == pytest.approx(0.9)
    assert found.true_area == pytest.approx(6000 / SPAN**2)


def test_outlines_of_concentric_disks_lie_apart_by_the_difference_of_their_radii():
    assert boundary_distance_px(disk(50), disk(56)) == pytest.approx(6, abs=0.3)
    assert boundary_distance_px(disk(56), disk(50)) == boundary_distance_px(disk(50), disk(56))
    assert boundary_distance_px(disk(50), disk(50)) == 0


def test_the_distance_is_the_same_each_time():
    one, other = disk(50), np.roll(disk(56), 9, axis=1)
    assert len({boundary_distance_px(one.copy(), other.copy()) for _ in range(50)}) == 1


def test_the_boundary_error_is_in_per_cent_of_the_face():
    truth, drawing = (disk(radius).astype(np.uint8) * FOREHEAD for radius in (50, 56))
    error = region_overlaps(drawing, truth, SPAN)["forehead"].boundary_error_percent
    assert error == pytest.approx(3, abs=0.15)


def test_a_region_that_one_of_them_misses_has_no_boundary_error_and_no_overlap():
    found = region_overlaps(codes(), codes((FOREHEAD, 20, 50, 80, 150)), SPAN)["forehead"]
    assert (found.iou, found.dice, found.boundary_error_percent) == (0, 0, None)


def test_a_rim_of_a_region_does_not_count():
    rim = codes((FOREHEAD, 20, 50, 22, 100))
    found = region_overlaps(rim, codes(), SPAN)["forehead"]
    assert found.found_area < 0.003
    assert found.iou is None


def test_where_nobody_knows_nothing_counts():
    drawing = codes((FOREHEAD, 20, 50, 80, 150), (RIGHT, 100, 20, 160, 80))
    truth = drawing.copy()
    truth[:, 100:] = 255
    found = region_overlaps(drawing, truth, SPAN)
    assert found["forehead"].iou == 1
    assert found["forehead"].boundary_error_percent == 0
    hidden = region_overlaps(drawing, np.full_like(truth, 255), SPAN)
    assert [one.iou for one in hidden.values()] == [None] * 6


def test_a_region_that_nobody_could_draw_is_no_mistake_where_the_models_draw_its_rim():
    drawing = codes((FOREHEAD, 20, 50, 80, 150))
    truth = codes()
    truth[22:78, 52:148] = 255  # where the mean face has it
    found = region_overlaps(drawing, truth, SPAN)["forehead"]
    assert (found.iou, found.union) == (None, 0)
    truth[:, :] = 0
    assert region_overlaps(drawing, truth, SPAN)["forehead"].iou == 0  # drawn, and not there


def test_swapped_sides_are_seen_and_rims_are_not():
    own = codes((RIGHT, 100, 20, 160, 80), (LEFT, 100, 140, 160, 200))
    other = codes((LEFT, 100, 20, 160, 80), (RIGHT, 100, 140, 160, 200))
    assert sides_swapped(own, other, SPAN)
    assert not sides_swapped(own, own, SPAN)
    assert not sides_swapped(codes(), other, SPAN)
    assert not sides_swapped(codes((RIGHT, 100, 20, 104, 40)), codes((LEFT, 100, 20, 104, 40)), SPAN)


def test_without_landmarks_the_span_comes_from_the_labelled_skin(atlas):
    labels = np.where(atlas.labels > 0, atlas.labels, 255)
    assert span_by_labels(labels, atlas) == pytest.approx(face_span(atlas.nodes))


def test_an_overlap_larger_than_a_region_is_refused():
    with pytest.raises(ValueError, match=r"\[0, the smaller area\], got 0.2"):
        RegionFigures(0.2, 0.1, 0.3)


BOXES = st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(20, 60), st.integers(20, 60))


@given(BOXES, BOXES)
def test_overlap_is_mutual_keeps_its_bounds_and_does_not_follow_the_pixels(one, other):
    first, second = (
        codes((FOREHEAD, top, left, top + high, left + wide), shape=(120, 120))
        for top, left, high, wide in (one, other)
    )
    found = region_overlaps(first, second, 100)["forehead"]
    back = region_overlaps(second, first, 100)["forehead"]
    assert found.iou == pytest.approx(back.iou)
    assert 0 <= found.iou <= found.dice <= 1
    assert found.dice == pytest.approx(2 * found.iou / (1 + found.iou))
    assert found.boundary_error_percent == pytest.approx(back.boundary_error_percent)
    double = region_overlaps(*(np.kron(m, np.ones((2, 2), np.uint8)) for m in (first, second)), 200)
    assert double["forehead"].iou == pytest.approx(found.iou)
    assert double["forehead"].boundary_error_percent == pytest.approx(found.boundary_error_percent, abs=0.6)
