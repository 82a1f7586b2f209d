"""The crop in which a face is read: turned, scaled and shifted exactly, and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from masi_vision.face.crop import apply, crop_template, inverse, photo_to_crop, similarity

turns = st.tuples(st.floats(-180, 180), st.floats(0.05, 20), st.floats(-3000, 3000), st.floats(-3000, 3000))


def moved(points, turn):
    angle, scale, x, y = np.deg2rad(turn[0]), *turn[1:]
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return scale * points @ rotation.T + (x, y)


@given(turns, st.integers(0, 99))
def test_the_turn_between_two_like_shapes_is_found_exactly(turn, seed):
    source = np.random.default_rng(seed).uniform(0, 500, (6, 2))
    found = similarity(source, moved(source, turn))
    np.testing.assert_allclose(source @ found[:, :2].T + found[:, 2], moved(source, turn), atol=1e-6)


@given(st.integers(0, 999))
def test_no_small_change_fits_two_unlike_shapes_better(seed):
    rng = np.random.default_rng(seed)
    source, target = rng.uniform(0, 100, (2, 6, 2))
    found = similarity(source, target)

    def error(a, b, x, y):
        return ((source @ np.array([[a, b], [-b, a]]) + (x, y) - target) ** 2).sum()

    best = found[0, 0], found[1, 0], found[0, 2], found[1, 2]
    for step in 1e-3 * rng.normal(size=(8, 4)):
        assert error(*best) <= error(*(np.array(best) + step)) + 1e-9


@given(turns)
def test_there_and_back_is_where_it_was(turn):
    points = np.array([[0, 0], [100, 20], [30, 240]], np.float32)
    there = similarity(points, moved(points, turn))
    np.testing.assert_allclose(apply(inverse(there), moved(points, turn)), points, atol=0.01)
    np.testing.assert_allclose(inverse(inverse(there)), there, atol=1e-6 * (1 + np.abs(there).max()))


@given(turns)
def test_depth_is_scaled_with_the_face(turn):
    points = np.array([[0, 0, 10], [100, 20, -5], [30, 240, 0]], np.float32)
    transform = similarity(points, moved(points[:, :2], turn))
    np.testing.assert_allclose(apply(transform, points)[:, 2], points[:, 2] * turn[1], rtol=1e-4, atol=1e-4)


def test_the_whole_face_lies_in_the_middle_of_the_crop(atlas):
    from masi_vision.face.atlas import with_forehead

    keys = [33, 263, 1, 61, 291, 152]
    to_crop = photo_to_crop(atlas.landmark_mean[keys, :2], crop_template(atlas.landmark_mean), 192)
    nodes = apply(to_crop, with_forehead(atlas.landmark_mean)[:, :2])
    low, high = nodes.min(axis=0), nodes.max(axis=0)
    np.testing.assert_allclose((low + high) / 2, 95.5, atol=0.01)  # of pixels 0 to 191
    assert low.min() > 10
    assert 0.6 < (high - low).max() / 192 < 0.95


def test_the_eyes_of_every_upright_crop_span_62_of_its_192_pixels(atlas, placed):
    keys = [33, 263, 1, 61, 291, 152]
    photo = placed(700, 450, 310, lean_deg=25)
    to_crop = photo_to_crop(photo[keys, :2], crop_template(atlas.landmark_mean))
    right, left = apply(to_crop, photo)[[33, 263], :2]
    np.testing.assert_allclose(left - right, (62, 0), atol=0.01)


def test_a_crop_of_another_size_shows_the_same(atlas, placed):
    keys = placed(700, 450, 310)[[33, 263, 1, 61, 291, 152], :2]
    template = crop_template(atlas.landmark_mean)
    small, large = (apply(photo_to_crop(keys, template, side), keys) for side in (96, 192))
    assert (small + 0.5) * 2 - 0.5 == pytest.approx(large, abs=1e-3)
