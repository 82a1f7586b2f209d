"""The angles of the head, with the signs that are documented."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from masi_vision.face.pose import head_pose

yaws, pitches, rolls = st.floats(-70, 70), st.floats(-40, 40), st.floats(-60, 60)


def right_side_to_camera(degrees):
    """x right in the photo, y down, z away from the camera: the patient's right side is at negative x."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])


def chin_down(degrees):
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


def clockwise(degrees):
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def pose_of(atlas, *turns, size=180.0, shift=(400, 300, 0)):
    face = atlas.landmark_mean
    for turn in turns:
        face = face @ turn.T
    return head_pose((face * size + shift).astype(np.float32), atlas.landmark_mean)


def test_the_turns_of_these_tests_do_what_they_are_called():
    right_ear, chin, crown = np.array([-1, 0, 0]), np.array([0, 1, 0]), np.array([0, -1, 0])
    assert (right_side_to_camera(90) @ right_ear)[2] == pytest.approx(-1)  # nearest to the camera
    assert (chin_down(30) @ chin)[2] > 0  # a lowered chin goes back to the neck
    assert (clockwise(30) @ crown)[0] > 0  # leaning clockwise brings the crown to the right of the photo


def test_the_mean_face_looks_at_the_camera(atlas):
    pose = pose_of(atlas)
    assert (pose.yaw_deg, pose.pitch_deg, pose.roll_deg) == pytest.approx((0, 0, 0), abs=1e-3)


@given(yaws)
def test_yaw_is_positive_with_the_right_side_to_the_camera(atlas, yaw):
    pose = pose_of(atlas, right_side_to_camera(yaw))
    assert (pose.yaw_deg, pose.pitch_deg, pose.roll_deg) == pytest.approx((yaw, 0, 0), abs=0.01)


@given(pitches)
def test_pitch_is_positive_with_the_chin_lowered(atlas, pitch):
    pose = pose_of(atlas, chin_down(pitch))
    assert (pose.yaw_deg, pose.pitch_deg, pose.roll_deg) == pytest.approx((0, pitch, 0), abs=0.01)


@given(rolls)
def test_roll_is_positive_with_the_head_leaning_clockwise_in_the_photo(atlas, roll):
    pose = pose_of(atlas, clockwise(roll))
    assert (pose.yaw_deg, pose.pitch_deg, pose.roll_deg) == pytest.approx((0, 0, roll), abs=0.01)


@given(yaws, pitches, rolls)
def test_yaw_pitch_and_roll_of_a_turned_head_come_back_together(atlas, yaw, pitch, roll):
    pose = pose_of(atlas, right_side_to_camera(yaw), chin_down(pitch), clockwise(roll))
    assert (pose.yaw_deg, pose.pitch_deg, pose.roll_deg) == pytest.approx((yaw, pitch, roll), abs=0.02)


@given(st.floats(30, 900), st.floats(-500, 3000))
def test_size_and_place_leave_the_pose_alone(atlas, size, at):
    turn = right_side_to_camera(25)
    here, there = pose_of(atlas, turn), pose_of(atlas, turn, size=size, shift=(at, -at, at))
    assert there.yaw_deg == pytest.approx(here.yaw_deg, abs=0.05)


@given(yaws, pitches, rolls)
def test_a_mirrored_head_is_turned_and_leans_the_other_way(atlas, yaw, pitch, roll):
    """The mirrored photo shows the mirrored head; the mean face is its own mirror image."""
    turns = right_side_to_camera(yaw), chin_down(pitch), clockwise(roll)
    flip = np.diag([-1.0, 1, 1])
    mirrored = pose_of(atlas, *(flip @ turn @ flip for turn in turns))
    pose = pose_of(atlas, *turns)
    assert mirrored.yaw_deg == pytest.approx(-pose.yaw_deg, abs=0.02)
    assert mirrored.pitch_deg == pytest.approx(pose.pitch_deg, abs=0.02)
    assert mirrored.roll_deg == pytest.approx(-pose.roll_deg, abs=0.02)


def test_an_open_mouth_is_no_turn_of_the_head(atlas):
    face = atlas.landmark_mean.copy()
    lower = face[:, 1] > np.quantile(face[:, 1], 0.8)
    face[lower, 1] += 0.15
    pose = head_pose(face, atlas.landmark_mean)
    assert abs(pose.pitch_deg) < 3
