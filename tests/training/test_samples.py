"""Training samples: picture, regions and landmarks stay together, and sides are swapped when mirrored."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra train")

from masi_vision.face.atlas import Subunit
from masi_vision.training import data
from masi_vision.training.data import FinderSamples, ReaderSamples, heat_maps
from masi_vision.training.experiment import load_experiment

READER, FINDER = load_experiment("face_reader"), load_experiment("face_finder")
LEFT_OF_PICTURE, RIGHT_OF_PICTURE = 50, 280  # landmarks of the right and of the left cheek


@pytest.fixture
def reader_samples(drawn_faces, atlas, mirror):
    return ReaderSamples(drawn_faces, atlas.landmark_mean, mirror, READER.augmentation, seed=3)


def draws(samples, count, seed=0):
    rng = np.random.default_rng(seed)
    return [samples.draw(rng) for _ in range(count)]


def test_a_sample_has_the_shapes_that_the_reader_takes(reader_samples):
    for sample in draws(reader_samples, 5):
        assert sample["image"].shape == (3, 192, 192)
        assert sample["image"].dtype == np.uint8
        assert sample["labels"].shape == (192, 192)
        assert sample["landmarks"].shape == (478, 3)
        assert np.isfinite(sample["landmarks"]).all()
        assert sample["landmarks"][:, 2].mean() == pytest.approx(0, abs=0.01)
        assert set(np.unique(sample["labels"])) <= set(Subunit)


def test_the_regions_lie_where_their_landmarks_are(reader_samples):
    """Mirrored or not: the right cheek's landmark lies on the right malar region or on no skin."""
    right, left = [], []
    for sample in draws(reader_samples, 40):
        at = np.clip(
            np.rint(sample["landmarks"][[LEFT_OF_PICTURE, RIGHT_OF_PICTURE], :2]).astype(int), 0, 191
        )
        right.append(sample["labels"][at[0, 1], at[0, 0]])
        left.append(sample["labels"][at[1, 1], at[1, 0]])
    assert set(right) <= {Subunit.NONE, Subunit.RIGHT_MALAR}
    assert set(left) <= {Subunit.NONE, Subunit.LEFT_MALAR}
    assert np.mean(np.array(right) > 0) > 0.8


def test_the_right_cheek_of_every_upright_sample_lies_on_the_left(reader_samples):
    for sample in draws(reader_samples, 40):
        assert sample["landmarks"][33, 0] < sample["landmarks"][263, 0]
        columns = {s: np.nonzero(sample["labels"] == s)[1] for s in (Subunit.RIGHT_MALAR, Subunit.LEFT_MALAR)}
        if all(len(c) > 50 for c in columns.values()):
            assert columns[Subunit.RIGHT_MALAR].mean() < columns[Subunit.LEFT_MALAR].mean()


def test_half_of_the_samples_are_mirrored_with_the_sides_swapped(reader_samples, monkeypatch):
    """Red is 40 times the drawn code: a mirrored sample shows the left's colour on the right's code."""
    monkeypatch.setattr(data, "other_camera", lambda picture, rng, *, strength: picture)
    monkeypatch.setattr(data, "something_in_the_way", lambda *_: None)
    mirrored = []
    for sample in draws(reader_samples, 40):
        red = sample["image"][0][sample["labels"] == Subunit.RIGHT_MALAR]
        drawn_as = round(float(np.median(red)) / 40)
        assert drawn_as in (Subunit.RIGHT_MALAR, Subunit.LEFT_MALAR)
        mirrored.append(drawn_as == Subunit.LEFT_MALAR)
        chin = sample["image"][0][sample["labels"] == Subunit.CHIN]
        assert round(float(np.median(chin)) / 40) == Subunit.CHIN
    assert 0.25 < np.mean(mirrored) < 0.75


def test_a_turned_head_is_turned_no_further_than_the_augmentation_s_limit(
    drawn_faces, atlas, mirror, monkeypatch
):
    """A photo at 45 degrees may be turned back or on to 55, not to 73."""
    from dataclasses import replace

    from masi_vision.face.pose import head_pose

    y = np.deg2rad(45)
    right_side = np.array([[np.cos(y), 0, -np.sin(y)], [0, 1, 0], [np.sin(y), 0, np.cos(y)]])
    middle = drawn_faces[0].landmarks.mean(axis=0)
    landmarks = ((drawn_faces[0].landmarks - middle) @ right_side.T + middle).astype(np.float32)
    face = replace(drawn_faces[0], landmarks=landmarks, yaw_deg=45.0)
    seen = []
    real = data.turned

    def watched(*arguments):
        after = real(*arguments)
        seen.append(head_pose(after, atlas.landmark_mean).yaw_deg)
        return after

    monkeypatch.setattr(data, "turned", watched)
    draws(ReaderSamples([face], atlas.landmark_mean, mirror, READER.augmentation, seed=0), 60)
    assert len(seen) > 10
    assert max(seen) < 60
    assert min(seen) < 30


def test_turned_heads_are_drawn_more_often(drawn_faces, atlas, mirror):
    from dataclasses import replace

    faces = [drawn_faces[0], replace(drawn_faces[1], yaw_deg=-30.0)]
    samples = ReaderSamples(faces, atlas.landmark_mean, mirror, READER.augmentation, seed=0)
    assert samples.share[1] == pytest.approx(3 * samples.share[0])


def test_a_finder_sample_says_where_the_face_is(drawn_faces, atlas, mirror):
    samples = FinderSamples(drawn_faces, atlas.landmark_mean, mirror, FINDER.augmentation, seed=0)
    present = []
    for sample in draws(samples, 40):
        assert sample["image"].shape == (3, 128, 128)
        assert sample["heat"].shape == (6, 32, 32)
        present.append(float(sample["present"]))
        if sample["present"]:
            peaks = [np.unravel_index(h.argmax(), h.shape) for h in sample["heat"]]
            right_eye, left_eye, chin = peaks[0], peaks[1], peaks[5]
            upright = abs(left_eye[0] - right_eye[0]) < 0.5 * abs(left_eye[1] - right_eye[1])
            if upright:
                assert right_eye[1] < left_eye[1] or chin[0] < right_eye[0]
    assert set(present) == {0.0, 1.0}
    assert 0.5 < np.mean(present) < 0.9


def test_a_heat_map_has_its_mass_at_the_point():
    points = np.array([[20.0, 90.0], [63.5, 63.5], [101.3, 40.9]], np.float32)
    heat = heat_maps(points)
    cells = (np.arange(32) + 0.5) * 4 - 0.5
    np.testing.assert_allclose(heat.sum(axis=(1, 2)), 1, atol=1e-5)
    np.testing.assert_allclose((heat.sum(axis=1) * cells).sum(axis=1), points[:, 0], atol=0.3)
    np.testing.assert_allclose((heat.sum(axis=2) * cells).sum(axis=1), points[:, 1], atol=0.3)


def test_the_same_seed_draws_the_same_samples(reader_samples):
    ours, theirs = next(iter(reader_samples)), next(iter(reader_samples))
    np.testing.assert_array_equal(ours["landmarks"], theirs["landmarks"])
    np.testing.assert_array_equal(ours["labels"], theirs["labels"])


def wider(face, by=1.25):
    """The same face, stretched from side to side."""
    height, width = face.labels.shape
    size = (round(width * by), height)
    landmarks = face.landmarks * np.float32([size[0] / width, 1, 1])
    pixels, labels = (
        cv2.resize(one, size, interpolation=cv2.INTER_NEAREST) for one in (face.pixels, face.labels)
    )
    return replace(face, pixels=pixels, labels=labels, landmarks=landmarks)


def test_a_reshaped_face_lies_between_its_own_shape_and_another_s_and_its_regions_with_it(
    drawn_faces, atlas, mirror
):
    off = {"covered": 0.0, "turned": 0.0, "blended": 0.0, "mirrored": 0.0}
    how = READER.augmentation.model_copy(update=off | {"reshaped": 1.0})
    faces = [drawn_faces[0], wider(drawn_faces[0])]
    samples = ReaderSamples(faces, atlas.landmark_mean, mirror, how, seed=3)

    def width(landmarks):
        """Of the face, in heights."""
        x, y = np.ptp(data.in_crop(landmarks, samples.template)[:468, :2], axis=0)
        return x / y

    ends = [width(face.landmarks) for face in faces]
    assert ends[1] - ends[0] > 0.1
    found = []
    for sample in draws(samples, 30):
        found.append(width(sample["landmarks"]))
        at = np.clip(np.rint(sample["landmarks"][[50, 280], :2]).astype(int), 0, 191)
        cheeks = {int(sample["labels"][y, x]) for x, y in at}
        assert cheeks <= {Subunit.NONE, Subunit.RIGHT_MALAR, Subunit.LEFT_MALAR}
    assert min(found) > ends[0] - 0.02
    assert max(found) < ends[1] + 0.02
    assert any(ends[0] + 0.03 < one < ends[1] - 0.03 for one in found)


def test_a_blend_of_two_crops_is_unknown_where_they_differ_and_neither_prevails():
    mine, theirs = np.full((64, 64, 3), 40, np.uint8), np.full((64, 64, 3), 200, np.uint8)
    seen = set()
    for seed in range(8):
        picture, labels, its = mine.copy(), np.ones((64, 64), np.uint8), np.ones((64, 64), np.uint8)
        its[:, 32:] = 4
        data._blend(picture, labels, theirs, its, np.random.default_rng(seed))
        share = (picture[..., 0].astype(float) - 40) / 160
        assert (labels[:, :32] == 1).all()
        right, there = labels[:, 32:], share[:, 32:]
        assert (right[there < 0.19] == 1).all()
        assert (right[there > 0.81] == 4).all()
        assert (right[np.abs(there - 0.5) < 0.29] == data.UNKNOWN).all()
        seen |= set(np.unique(right))
    assert seen == {1, 4, data.UNKNOWN}
