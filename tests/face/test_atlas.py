"""The shipped atlas: which side is which, and that both sides are drawn alike."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from masi_vision.face.atlas import (
    MASI_SUBUNITS,
    MIRRORED_CODE,
    SUBUNITS,
    Subunit,
    face_span,
    outer_eye_distance,
    with_forehead,
)


def middle(atlas, subunit):
    rows, columns = np.nonzero(atlas.labels == subunit)
    return columns.mean(), rows.mean()


def test_the_right_malar_region_lies_on_the_left_of_the_frame(atlas):
    half = atlas.labels.shape[1] / 2
    assert middle(atlas, Subunit.RIGHT_MALAR)[0] < half < middle(atlas, Subunit.LEFT_MALAR)[0]
    assert not (atlas.labels[:, int(half) + 1 :] == Subunit.RIGHT_MALAR).any()
    assert not (atlas.labels[:, : int(half) - 1] == Subunit.LEFT_MALAR).any()


def test_forehead_nose_lip_and_chin_follow_downward(atlas):
    heights = [middle(atlas, s)[1] for s in (Subunit.FOREHEAD, Subunit.NOSE, Subunit.UPPER_LIP, Subunit.CHIN)]
    assert heights == sorted(heights)


def test_every_subunit_is_drawn(atlas):
    assert set(np.unique(atlas.labels)) == {0, *SUBUNITS}
    for subunit in MASI_SUBUNITS:
        assert (atlas.labels == subunit).mean() > 0.03


def test_the_regions_of_both_sides_mirror_each_other(atlas):
    mirrored = MIRRORED_CODE[atlas.labels[:, ::-1]]
    for subunit in SUBUNITS:
        ours, theirs = atlas.labels == subunit, mirrored == subunit
        rim = 2 * (ours ^ np.roll(ours, 1, axis=1)).sum()  # one pixel on either border
        assert (ours ^ theirs).sum() <= rim


def test_mirrored_codes_swap_the_malar_regions_and_nothing_else():
    swapped = [code for code in range(7) if MIRRORED_CODE[code] != code]
    assert swapped == [Subunit.RIGHT_MALAR, Subunit.LEFT_MALAR]
    np.testing.assert_array_equal(MIRRORED_CODE[MIRRORED_CODE], np.arange(7))


def test_the_mean_face_is_level_in_the_middle_and_of_unit_size(atlas):
    assert outer_eye_distance(atlas.landmark_mean) == pytest.approx(1, abs=1e-4)
    right, left = atlas.landmark_mean[[33, 263]]
    assert right[0] < left[0]
    assert right[1] == pytest.approx(left[1], abs=1e-3)
    assert atlas.nodes[[33, 263], 0].mean() == pytest.approx((atlas.labels.shape[1] - 1) / 2, abs=0.6)


def test_the_nose_is_nearer_to_the_camera_than_the_ears(atlas):
    assert atlas.landmark_mean[1, 2] < atlas.landmark_mean[[234, 454], 2].min()


def test_the_triangles_of_the_mean_face_run_clockwise(atlas):
    a, b, c = atlas.nodes[atlas.triangles].transpose(1, 0, 2)
    u, v = b - a, c - a
    assert (u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0] > 0).all()


def test_the_irises_carry_no_skin(atlas):
    assert not np.isin(atlas.triangles, np.arange(468, 478)).any()


def test_all_labelled_skin_lies_in_the_mesh(atlas):
    from masi_vision.face.align import Alignment

    depth = np.zeros((478, 1), np.float32)
    itself = Alignment(atlas, np.hstack([atlas.nodes[:478], depth])).photo_positions()
    assert np.isfinite(itself[atlas.labels > 0]).mean() > 0.995


@given(
    st.floats(-180, 180),
    st.floats(0.2, 900),
    st.floats(-2000, 2000),
    st.floats(-2000, 2000),
    st.integers(0, 99),
)
def test_the_forehead_moves_with_the_face(angle_deg, size, x, y, seed):
    """Carrying the forehead up, then turning, scaling and shifting is the same as the other way round."""
    face = np.random.default_rng(seed).normal(size=(478, 2)).astype(np.float32)
    angle = np.deg2rad(angle_deg)
    turn = size * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    first = with_forehead(face) @ turn.T + (x, y)
    last = with_forehead((face @ turn.T + (x, y)).astype(np.float32))
    np.testing.assert_allclose(last, first, atol=1e-5 * (size + 2000) * 4)


def test_the_forehead_reaches_above_the_landmarks_and_highest_in_the_middle(atlas):
    nodes = with_forehead(atlas.landmark_mean)
    top = nodes[-13:]
    assert nodes.shape == (504, 3)
    assert top[6, 1] < atlas.landmark_mean[10, 1]
    assert top[6, 1] == top[:, 1].min()
    np.testing.assert_allclose(top[::-1, 0], -top[:, 0], atol=0.02)


@pytest.mark.parametrize(
    ("part", "value", "rule"),
    [
        ("nodes", np.zeros((478, 2), np.float32), r"nodes must have shape \(504, 2\), got \(478, 2\)"),
        ("triangles", np.array([[0, 1, 504]], np.int32), "triangles must name nodes below 504, got 504"),
        ("labels", np.full((8, 8), 7, np.uint8), r"labels must be 0\.\.6, got 7"),
    ],
)
def test_an_atlas_whose_parts_do_not_fit_is_refused(atlas, part, value, rule):
    with pytest.raises(ValueError, match=rule):
        replace(atlas, **{part: value})


def test_the_span_follows_the_pixels_and_outlasts_a_turn(placed):
    face = placed(300, 300, 120)
    assert face_span(face * 2) == pytest.approx(2 * face_span(face))
    turned = face * np.array([0.8, 1, 1], np.float32)
    assert face_span(turned) > 0.84 * face_span(face)
