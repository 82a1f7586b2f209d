"""A head turned in its photograph: the side that comes forward is the right one, and its pigment with it."""

import numpy as np
import pytest

from masi_vision.face.align import Alignment
from masi_vision.face.pose import head_pose
from masi_vision.training.augment import turned
from masi_vision.training.turned_head import turned_photo

SHAPE = (420, 400)


@pytest.fixture(scope="module")
def landmarks(placed):
    return placed(200, 190, 110)


@pytest.fixture(scope="module")
def spotted(landmarks):
    """Even skin with a dark spot on the right cheek."""
    rows, columns = np.indices(SHAPE)
    x, y = landmarks[50, :2]
    spot = np.hypot(columns - x, rows - y) < 14
    return np.where(spot[..., None], 0.1, 0.5).astype(np.float32) * np.ones(3, np.float32)


@pytest.mark.parametrize("yaw", [40.0, -20.0])
def test_what_lay_at_a_landmark_lies_at_it_after_the_turn(atlas, landmarks, spotted, yaw):
    after = turned(landmarks, yaw, 0.0)
    assert head_pose(after, atlas.landmark_mean).yaw_deg == pytest.approx(yaw, abs=1)
    picture = turned_photo(spotted, landmarks, atlas, yaw)
    assert picture.shape == spotted.shape
    assert np.isfinite(picture).all()
    in_frame = Alignment(atlas, after).to_frame(picture)
    x, y = np.round(atlas.nodes[50]).astype(int)
    assert in_frame[y, x, 0] < 0.2
    nose_x, nose_y = np.round(atlas.nodes[4]).astype(int)
    assert in_frame[nose_y, nose_x, 0] == pytest.approx(0.5, abs=0.02)


def test_no_turn_leaves_the_photograph_as_it_is(atlas, landmarks, spotted):
    away = np.abs(turned_photo(spotted, landmarks, atlas, 0.0) - spotted)
    assert np.mean(away > 0.02) < 0.002  # bilinear once more along the spot's edge


def test_far_from_the_face_nothing_moves(atlas, landmarks):
    ramp = np.linspace(0, 1, SHAPE[1], dtype=np.float32)
    picture = np.repeat(np.tile(ramp, (SHAPE[0], 1))[..., None], 3, axis=2)
    moved = turned_photo(picture, landmarks, atlas, 40.0)
    np.testing.assert_allclose(moved[-3:, :3], picture[-3:, :3], atol=0.02)
