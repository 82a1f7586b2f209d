"""A face lit from elsewhere: lighter where it turns to the lamp, and as it was where it is no face."""

import numpy as np
import pytest

from masi_vision.training.moved_lamp import moved_lamp_photo

SHAPE = (420, 400)


@pytest.fixture(scope="module")
def landmarks(placed):
    return placed(200, 190, 110)


def lit(atlas, landmarks, across_deg, down_deg=0.0):
    """Even skin under the moved lamp: what it takes or gives, as a factor."""
    even = np.full((*SHAPE, 3), 0.5, np.float32)
    return moved_lamp_photo(even, landmarks, atlas, (across_deg, down_deg))[..., 0] / 0.5


def at(landmarks, picture, number):
    x, y = np.round(landmarks[number, :2]).astype(int)
    return picture[y, x]


RIGHT_CHEEK, LEFT_CHEEK, BROW, CHIN = 50, 280, 9, 152


@pytest.mark.parametrize(
    ("across_deg", "near", "far"), [(-10, RIGHT_CHEEK, LEFT_CHEEK), (10, LEFT_CHEEK, RIGHT_CHEEK)]
)
def test_the_cheek_that_turns_to_the_lamp_is_lighter(atlas, landmarks, across_deg, near, far):
    picture = lit(atlas, landmarks, across_deg)
    assert at(landmarks, picture, near) > 1.03
    assert at(landmarks, picture, far) < 0.97
    assert at(landmarks, picture, BROW) == pytest.approx(1, abs=0.04)


def test_a_lamp_that_sinks_lights_the_chin_more_than_the_brow(atlas, landmarks):
    picture = lit(atlas, landmarks, 0, 15)
    assert at(landmarks, picture, CHIN) > 1.02 * at(landmarks, picture, BROW)


def test_a_lamp_that_stays_and_what_is_no_face_are_as_they_were(atlas, landmarks):
    np.testing.assert_allclose(lit(atlas, landmarks, 0), 1, atol=1e-6)
    np.testing.assert_allclose(lit(atlas, landmarks, 20)[-20:, :20], 1, atol=1e-6)
