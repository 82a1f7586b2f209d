"""The aligned frame: skin goes there and comes back, keeps its side, and what is hidden carries nothing."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from masi_vision.face.align import Alignment, skin_area, surface_normals
from masi_vision.face.atlas import MIRRORED_CODE, Subunit

ONE_BY_ONE = settings(max_examples=15, deadline=None)


def head(atlas, yaw_deg=0.0, pitch_deg=0.0, lean_deg=0.0, eye_px=150.0, bend=0.0, shift=(0.0, 0.0)):
    """The mean face turned in depth, leaning, bent by smooth waves; (478, 3) px of a photo."""
    y, p, r = np.deg2rad([yaw_deg, pitch_deg, lean_deg])
    about_y = np.array([[np.cos(y), 0, -np.sin(y)], [0, 1, 0], [np.sin(y), 0, np.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    face = atlas.landmark_mean @ (about_z @ about_x @ about_y).T
    waves = np.stack([np.sin(2 * face[:, 1]), np.cos(2.3 * face[:, 0])], axis=1)
    face[:, :2] += bend * waves
    return (face * eye_px + (2.4 * eye_px + shift[0], 2.9 * eye_px + shift[1], 0)).astype(np.float32)


def window_of(alignment):
    nodes = alignment.nodes[:, :2]
    left, top = np.floor(nodes.min(axis=0)).astype(int) - 2
    right, bottom = np.ceil(nodes.max(axis=0)).astype(int) + 3
    return int(top), int(left), int(bottom), int(right)


def moved_px(alignment):
    """How far each pixel of facing skin moves when it goes to the frame and back."""
    window = window_of(alignment)
    there = alignment.frame_positions(window)
    at = np.nan_to_num(there, nan=-1e4)
    back = cv2.remap(alignment.photo_positions(), at, None, cv2.INTER_LINEAR, borderValue=(np.nan, np.nan))
    skin = cv2.remap(alignment.atlas.labels, at, None, cv2.INTER_NEAREST, borderValue=0) > 0
    rows, columns = np.nonzero(skin & np.isfinite(there[..., 0]) & np.isfinite(back[..., 0]))
    assert len(rows) > 0.9 * (skin & np.isfinite(there[..., 0])).sum()
    away = back[rows, columns] - np.stack([columns + window[1], rows + window[0]], axis=1)
    return np.hypot(away[:, 0], away[:, 1])


@ONE_BY_ONE
@given(st.floats(-60, 60), st.floats(40, 240), st.floats(-0.04, 0.04), st.floats(-400, 400))
def test_the_skin_of_a_frontal_face_comes_back_within_half_a_pixel(atlas, lean, eye_px, bend, shift):
    face = head(atlas, lean_deg=lean, eye_px=eye_px, bend=bend, shift=(shift, -shift))
    moved = moved_px(Alignment(atlas, face))
    assert np.quantile(moved, 0.999) < 0.5
    assert np.median(moved) < 0.05


@ONE_BY_ONE
@given(st.floats(-45, 45), st.floats(-15, 15), st.floats(40, 200), st.floats(-0.03, 0.03))
def test_the_skin_of_a_turned_head_comes_back_within_half_a_pixel(atlas, yaw, pitch, eye_px, bend):
    """All but the pixels along the fold behind which the far cheek disappears."""
    moved = moved_px(Alignment(atlas, head(atlas, yaw, pitch, eye_px=eye_px, bend=bend)))
    assert np.quantile(moved, 0.97) < 0.5
    assert np.median(moved) < 0.05


@ONE_BY_ONE
@given(st.floats(-40, 40), st.floats(60, 240), st.floats(-300, 300))
def test_landmarks_lie_in_the_frame_where_the_mean_face_has_them(atlas, lean, eye_px, shift):
    alignment = Alignment(atlas, head(atlas, lean_deg=lean, eye_px=eye_px, shift=(shift, 0)))
    positions = alignment.photo_positions()
    for landmark in (1, 50, 280, 151, 199):
        x, y = atlas.nodes[landmark]
        found = (
            cv2.getRectSubPix(positions[..., 0], (1, 1), (x, y))[0, 0],
            cv2.getRectSubPix(positions[..., 1], (1, 1), (x, y))[0, 0],
        )
        np.testing.assert_allclose(found, alignment.landmarks[landmark, :2], atol=0.1 + 0.004 * eye_px)


@ONE_BY_ONE
@given(st.floats(-45, 45), st.floats(-15, 15))
def test_triangles_that_face_away_carry_nothing(atlas, yaw, pitch):
    alignment = Alignment(atlas, head(atlas, yaw, pitch))
    a, b, c = alignment.nodes[atlas.triangles][:, :, :2].transpose(1, 0, 2)
    u, v = (b - a).astype(np.float64), (c - a).astype(np.float64)
    away = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0] < -1e-3
    centres = atlas.nodes[atlas.triangles].mean(axis=1)
    wide = _inner_px(atlas) > 3  # its centre lies well inside, whatever the rounding
    columns, rows = np.rint(centres[away & wide]).astype(int).T
    assert np.isnan(alignment.photo_positions()[rows, columns]).all()
    facing = np.rint(centres[~away & wide]).astype(int).T
    assert np.isfinite(alignment.photo_positions()[facing[1], facing[0]]).mean() > 0.98


def _inner_px(atlas):
    """Radius of the circle inside each triangle of the frame."""
    a, b, c = atlas.nodes[atlas.triangles].transpose(1, 0, 2)
    u, v = b - a, c - a
    edges = sum(np.linalg.norm(p - q, axis=1) for p, q in ((a, b), (b, c), (c, a)))
    return np.abs(u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]) / edges


def test_a_turned_head_hides_its_far_side_only(atlas):
    alignment = Alignment(atlas, head(atlas, yaw_deg=45))  # the patient's right side to the camera
    hidden = np.isnan(alignment.photo_positions()[..., 0])
    assert hidden[atlas.labels == Subunit.RIGHT_MALAR].mean() < 0.02
    assert hidden[atlas.labels == Subunit.LEFT_MALAR].mean() > 0.15


def test_what_is_hidden_is_zero_in_the_frame(atlas):
    alignment = Alignment(atlas, head(atlas, yaw_deg=45))
    hidden = np.isnan(alignment.photo_positions()[..., 0])
    picture = np.full((900, 800, 3), 255, np.uint8)
    assert not alignment.to_frame(picture)[hidden].any()
    assert (alignment.to_frame(picture)[~hidden] == 255).all()


def test_on_a_turned_head_the_nose_covers_the_cheek_behind_it(atlas):
    """Where the drawing of the nose and of the far cheek overlap, the photo shows the nose."""
    alignment = Alignment(atlas, head(atlas, yaw_deg=40))
    top, left, bottom, right = window_of(alignment)
    codes = alignment.to_photo(atlas.labels, (top, left, bottom, right), nearest=True)
    tip = alignment.landmarks[1, :2] - (left, top)
    assert codes[round(float(tip[1])), round(float(tip[0]))] == Subunit.NOSE


def test_a_mark_on_the_right_cheek_stays_on_the_right_cheek(atlas):
    """In the photo's pixels, in the frame, and in the mirrored photo on the left."""
    face = head(atlas, lean_deg=12, eye_px=130)
    photo = np.zeros((800, 700), np.uint8)
    x, y = np.rint(face[50, :2]).astype(int)  # landmark 50: the right cheek
    photo[y - 4 : y + 5, x - 4 : x + 5] = 255
    in_frame = Alignment(atlas, face).to_frame(photo) > 128
    assert in_frame.sum() > 20
    assert (atlas.labels[in_frame] == Subunit.RIGHT_MALAR).mean() > 0.95


def test_the_drawn_regions_keep_their_sides_in_the_photo_and_swap_in_its_mirror(atlas):
    face = head(atlas, yaw_deg=15, lean_deg=-10, eye_px=120, bend=0.02)
    drawn = Alignment(atlas, face).to_photo(atlas.labels, (0, 0, 700, 600), nearest=True)
    columns = {s: np.nonzero(drawn == s)[1].mean() for s in (Subunit.RIGHT_MALAR, Subunit.LEFT_MALAR)}
    assert columns[Subunit.RIGHT_MALAR] < columns[Subunit.LEFT_MALAR]
    mirror = _opposite(atlas)
    other = face[mirror].copy()
    other[:, 0] = 600 - 1 - other[:, 0]
    of_mirror = Alignment(atlas, other).to_photo(atlas.labels, (0, 0, 700, 600), nearest=True)
    for subunit in (Subunit.RIGHT_MALAR, Subunit.LEFT_MALAR, Subunit.FOREHEAD, Subunit.CHIN):
        ours, theirs = drawn == subunit, MIRRORED_CODE[of_mirror[:, ::-1]] == subunit
        assert (ours & theirs).sum() / (ours | theirs).sum() > 0.96


def _opposite(atlas):
    """The landmark that lies opposite each on the mean face."""
    mean = atlas.landmark_mean
    flipped = mean * (-1, 1, 1)
    return np.array([np.linalg.norm(mean - point, axis=1).argmin() for point in flipped])


def test_regions_go_to_the_photo_and_back(atlas):
    alignment = Alignment(atlas, head(atlas, lean_deg=20, eye_px=160))
    drawn = alignment.to_photo(atlas.labels, (0, 0, 1000, 800), nearest=True)
    back = alignment.to_frame(drawn, nearest=True)
    for subunit in Subunit:
        ours, theirs = atlas.labels == subunit, back == subunit
        assert (ours & theirs).sum() / (ours | theirs).sum() > 0.95


def test_a_window_of_the_photo_is_that_part_of_the_whole(atlas):
    alignment = Alignment(atlas, head(atlas, yaw_deg=20, eye_px=100))
    whole = alignment.to_photo(atlas.labels, (0, 0, 600, 500), nearest=True)
    part = alignment.to_photo(atlas.labels, (150, 120, 420, 330), nearest=True)
    assert (part != whole[150:420, 120:330]).mean() < 0.002


def test_colour_and_gray_pictures_are_carried_alike(atlas):
    alignment = Alignment(atlas, head(atlas, eye_px=100))
    gray = np.random.default_rng(1).random((600, 500)).astype(np.float32)
    colour = alignment.to_frame(np.dstack([gray] * 3))
    np.testing.assert_allclose(colour[..., 1], alignment.to_frame(gray), atol=1e-6)


@pytest.mark.parametrize("eye_px", [60.0, 240.0])
def test_facing_is_the_area_of_the_photo_over_that_of_the_frame(atlas, eye_px):
    alignment = Alignment(atlas, head(atlas, eye_px=eye_px))
    frame_px = np.linalg.norm(atlas.nodes[33] - atlas.nodes[263])
    np.testing.assert_allclose(alignment.facing(), (eye_px / frame_px) ** 2, rtol=0.02)


def test_skin_is_seen_squarely_where_it_faces_the_camera(atlas):
    """Straight on the middle of the forehead; a turn to the patient's left shows the right cheek squarely."""
    front = Alignment(atlas, atlas.landmark_mean * 200).squareness()
    assert front[atlas.labels > 0].max() <= 1
    x, y = np.round(atlas.nodes[151]).astype(int)
    assert front[y, x] > 0.9
    angle = np.deg2rad(40)
    turn = np.array([[np.cos(angle), 0, -np.sin(angle)], [0, 1, 0], [np.sin(angle), 0, np.cos(angle)]])
    turned = Alignment(atlas, (atlas.landmark_mean @ turn.T * 200).astype(np.float32)).squareness()
    right, left = atlas.labels == 2, atlas.labels == 3
    assert turned[right].mean() > front[right].mean() + 0.1
    assert turned[left].mean() < front[left].mean() - 0.1
    assert (turned[left] == 0).any()


def test_the_skin_behind_a_pixel_is_what_the_camera_sees_it_on_edge_by(atlas):
    """On the mean face itself; by the camera's cosine, which is computed another way."""
    area, square = skin_area(atlas), Alignment(atlas, head(atlas)).squareness()
    seen = square > 0.55
    np.testing.assert_allclose(area[seen], 1 / square[seen], rtol=2e-3)
    assert area.max() == 2
    means = [area[atlas.labels == code].mean() for code in (Subunit.RIGHT_MALAR, Subunit.LEFT_MALAR)]
    assert means[0] == pytest.approx(means[1], rel=0.02)
    assert min(means) > 1.15 * area[atlas.labels == Subunit.FOREHEAD].mean()


def test_each_cheek_of_the_mean_face_turns_to_its_own_side(atlas):
    normals = surface_normals(atlas)
    on_face = (atlas.labels > 0) & (skin_area(atlas) > 0)
    np.testing.assert_allclose(np.linalg.norm(normals[on_face], axis=1), 1, atol=1e-3)
    right, left, forehead, chin = (
        normals[atlas.labels == code].mean(axis=0)
        for code in (Subunit.RIGHT_MALAR, Subunit.LEFT_MALAR, Subunit.FOREHEAD, Subunit.CHIN)
    )
    assert right[0] < -0.3 and left[0] > 0.3
    assert right[0] == pytest.approx(-left[0], abs=0.02)
    assert forehead[1] < 0 < chin[1]  # y grows downwards
    assert normals[on_face][:, 2].max() < 0  # out of the face is towards the camera
