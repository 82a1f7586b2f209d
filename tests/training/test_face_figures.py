"""The figures of the face models' card, on a photograph that the package carries."""

import numpy as np
import pytest

from masi_vision.evaluation.photo_figures import PhotoFigures
from masi_vision.face.atlas import Subunit, outer_eye_distance
from masi_vision.face.find import find_face
from masi_vision.face.models import face_models
from masi_vision.photo import read_photo
from masi_vision.visit.seen import srgb8

pytest.importorskip("masi_vision.training.data", reason="needs the extra train")
from masi_vision.training.data import LabelledFace
from masi_vision.training.face_figures import evaluate_face, round_trip_px, row

WHO = PhotoFigures("made", "P1", "frontal", "", labelled=True)


@pytest.fixture(scope="module")
def found(demo_visits):
    photo = srgb8(read_photo(demo_visits[0] / "front.jpg"))
    return photo, find_face(photo, face_models(), min_probability=0.5)


@pytest.fixture(scope="module")
def face(found):
    """Labelled by the models themselves."""
    photo, one = found
    labels = one.photo_codes((0, 0, *photo.shape[:2]))
    return LabelledFace("made", photo, labels, one.alignment.landmarks, one.pose.yaw_deg)


def figures(face, *, unclear=frozenset(), who=WHO):
    return evaluate_face(face, unclear, who, covered=False, models=face_models())


def test_what_the_models_drew_themselves_overlaps_wholly(face):
    line = row([figures(face)])
    assert line["mean_iou"] == line["photo_mean_iou"] == line["found"] == 1
    assert line["landmark_error"] == line["yaw_error_deg"] == line["swapped"] == 0
    assert np.isnan(line["mean_iou_low"])  # one person has no interval


def test_landmarks_that_lie_off_are_measured_in_eye_distances(face):
    away = face.landmarks + np.array([3, 4, 0], np.float32)
    line = row([figures(LabelledFace("made", face.pixels, face.labels, away, face.yaw_deg - 2))])
    assert line["landmark_error"] == pytest.approx(5 / outer_eye_distance(face.landmarks), rel=1e-4)
    assert line["yaw_error_deg"] == pytest.approx(2)


def test_a_region_without_a_right_label_counts_nowhere(face):
    cleared = np.where(face.labels == Subunit.CHIN, 0, face.labels).astype(np.uint8)
    wrong = LabelledFace("made", face.pixels, cleared, face.landmarks, face.yaw_deg)
    assert row([figures(wrong)])["mean_iou"] == pytest.approx(0.75)
    unclear = row([figures(wrong, unclear=frozenset({"chin"}))])
    assert unclear["mean_iou"] == 1
    assert np.isnan(unclear["iou_chin"])


def test_swapped_labels_are_seen(face):
    right, left = (face.labels == code for code in (Subunit.RIGHT_MALAR, Subunit.LEFT_MALAR))
    labels = face.labels.copy()
    labels[right], labels[left] = Subunit.LEFT_MALAR, Subunit.RIGHT_MALAR
    assert row([figures(LabelledFace("made", face.pixels, labels, face.landmarks, 0.0))])["swapped"] == 1


def test_a_face_that_is_not_found_overlaps_nothing(face):
    blank = LabelledFace("made", np.full_like(face.pixels, 90), face.labels, face.landmarks, 0.0)
    both = [figures(face), figures(blank, who=PhotoFigures("blank", "P2", "frontal", "", labelled=True))]
    line = row(both)
    assert line["found"] == line["photo_mean_iou"] == 0.5
    assert line["mean_iou"] == pytest.approx(0.5)
    assert line["mean_iou_low"] < 0.5 < line["mean_iou_high"]
    assert line["landmark_error"] == 0  # of those that were found


def test_skin_hardly_moves_on_its_way_to_the_frame_and_back(found):
    photo, one = found
    assert 0 < round_trip_px(one, photo.shape[:2]) < 0.5
