"""One training face made into many: what moves, moves together, and what is covered is no skin."""

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from masi_vision.face.pose import head_pose
from masi_vision.training.augment import backward_map, other_camera, something_in_the_way, turned

SIDE = 192


def plain(scale, x, y):
    return np.array([[scale, 0, x], [0, scale, y]])


@settings(max_examples=20, deadline=None)
@given(st.floats(0.2, 5), st.floats(-100, 500), st.floats(-100, 500))
def test_without_a_turn_of_the_head_the_crop_is_a_plain_similarity(atlas, scale, x, y):
    columns, rows = np.meshgrid(np.arange(SIDE), np.arange(SIDE))
    face = atlas.landmark_mean * 62 + (96, 96, 0)
    found_x, found_y = backward_map(plain(scale, x, y), SIDE, face, face)
    assert np.abs(found_x - (scale * columns + x)).max() < 0.1 * scale
    assert np.abs(found_y - (scale * rows + y)).max() < 0.1 * scale


@pytest.mark.parametrize(("yaw", "pitch"), [(20, 0), (-25, 8), (10, -10)])
def test_a_turned_head_s_landmarks_are_where_its_pixels_went(atlas, yaw, pitch):
    before = (atlas.landmark_mean * 62 + (96, 96, 0)).astype(np.float32)
    after = turned(before, yaw, pitch)
    x, y = backward_map(np.eye(3)[:2], SIDE, before, after)
    inner = [1, 4, 33, 263, 61, 291, 152, 50, 280, 151, 9]
    at = after[inner, :2].reshape(1, -1, 2)
    from_x = cv2.remap(x, at, None, cv2.INTER_LINEAR)[0]
    from_y = cv2.remap(y, at, None, cv2.INTER_LINEAR)[0]
    off = np.hypot(from_x - before[inner, 0], from_y - before[inner, 1])
    assert off.max() < 0.12 * 62
    assert off.mean() < 0.05 * 62


@given(st.floats(-55, 55), st.floats(-20, 20))
def test_a_head_is_turned_by_the_angles_asked_for(atlas, yaw, pitch):
    """With the signs of the head's pose: positive yaw shows more of the patient's right side."""
    pose = head_pose(turned(atlas.landmark_mean, yaw, pitch), atlas.landmark_mean)
    assert (pose.yaw_deg, pose.pitch_deg) == pytest.approx((yaw, pitch), abs=0.05)


@given(st.floats(-55, 55), st.floats(-20, 20))
def test_a_turned_head_stays_where_it_is_and_as_large(atlas, yaw, pitch):
    face = atlas.landmark_mean * 100 + (300, 200, 0)
    after = turned(face, yaw, pitch)
    np.testing.assert_allclose(after.mean(axis=0), face.mean(axis=0), atol=0.01)
    assert np.linalg.norm(after[33] - after[263]) == pytest.approx(
        np.linalg.norm(face[33] - face[263]), rel=1e-4
    )


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
@example(1520530)  # a corner of the shape lies on the picture's edge
def test_covered_skin_is_no_skin_and_no_other_label_changes(seed):
    rng = np.random.default_rng(seed)
    picture, labels = np.full((96, 96, 3), 200, np.uint8), np.full((96, 96), 3, np.uint8)
    something_in_the_way(picture, labels, np.zeros((50, 60, 3), np.uint8), rng)
    assert set(np.unique(labels)) <= {0, 3}
    covered, free = picture[..., 0] < 20, picture[..., 0] > 180
    assert not labels[covered].any()
    assert (labels[free] == 3).all()


def test_something_is_in_the_way_in_nearly_every_draw():
    rng = np.random.default_rng(1)
    shares = []
    for _ in range(30):
        labels = np.ones((96, 96), np.uint8)
        something_in_the_way(np.zeros((96, 96, 3), np.uint8), labels, np.zeros((9, 9, 3), np.uint8), rng)
        shares.append((labels == 0).mean())
    assert np.mean(np.array(shares) > 0.002) > 0.8
    assert max(shares) < 0.9


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_another_camera_keeps_the_size_and_does_not_touch_the_original(seed):
    picture = np.random.default_rng(0).integers(0, 256, (96, 96, 3), np.uint8)
    before = picture.copy()
    after = other_camera(picture, np.random.default_rng(seed))
    assert after.shape == picture.shape
    assert after.dtype == np.uint8
    np.testing.assert_array_equal(picture, before)


def test_another_camera_moves_nothing():
    """A bright square stays where it is: light and colour change, places do not."""
    picture = np.full((96, 96, 3), 60, np.uint8)
    picture[30:50, 40:64] = 200
    middles = []
    for seed in range(30):
        tone = other_camera(picture, np.random.default_rng(seed)).astype(float).mean(axis=2)
        bright = tone > (np.quantile(tone, 0.05) + tone.max()) / 2
        middles.append([axis.mean() for axis in np.nonzero(bright)])
    np.testing.assert_allclose(np.median(middles, axis=0), (39.5, 51.5), atol=0.5)


def test_a_seed_gives_the_same_camera_again():
    picture = np.random.default_rng(0).integers(0, 256, (96, 96, 3), np.uint8)
    ours, theirs = (other_camera(picture, np.random.default_rng(31)) for _ in range(2))
    np.testing.assert_array_equal(ours, theirs)


def test_the_noise_of_another_camera_is_in_every_channel():
    flat = np.full((64, 64, 3), 128, np.uint8)
    grain = []
    for seed in range(60):
        out = other_camera(flat, np.random.default_rng(seed)).astype(np.float32)
        grain.append((out - cv2.GaussianBlur(out, (0, 0), 3)).std(axis=(0, 1)))
    red, green, blue = np.mean(grain, axis=0)
    assert red > 0.5
    assert green > 0.6 * red
    assert blue > 0.6 * red
