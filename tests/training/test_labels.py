"""Labels and splits of the training faces: only visible skin, only the atlas' regions, no person twice."""

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("scipy", reason="needs the extra train")

from masi_vision.face.align import Alignment
from masi_vision.face.atlas import SUBUNITS, Subunit
from masi_vision.training.atlas import build_atlas, symmetric_mirror, upright
from masi_vision.training.faces import Face, load_faces, load_polygons, persons, split_by_person
from masi_vision.training.labels import label_face


@pytest.fixture(scope="module")
def training_faces(faces_folder):
    """Three front photos in even light, without anything in the way."""
    bare = [f for f in load_faces(faces_folder) if f.even_frontal and f.sheet not in ("Hats", "Facial_Hair")]
    return [f for f in bare if "Glasses" not in f.sheet][:3]


def test_labels_lie_only_where_the_atlas_lies(training_faces, faces_folder, atlas):
    polygons = load_polygons(faces_folder)
    for face in training_faces:
        pixels = face.read()
        labels = label_face(face, pixels, atlas, polygons)
        height, width = pixels.shape[:2]
        drawn = Alignment(atlas, face.landmarks).to_photo(atlas.labels, (0, 0, height, width), nearest=True)
        assert labels.shape == (height, width)
        assert (labels[labels > 0] == drawn[labels > 0]).all()
        assert (labels > 0).sum() > 0.5 * (drawn > 0).sum()  # bare skin is seen
        columns = {s: np.nonzero(labels == s)[1].mean() for s in (Subunit.RIGHT_MALAR, Subunit.LEFT_MALAR)}
        assert columns[Subunit.RIGHT_MALAR] < columns[Subunit.LEFT_MALAR]


def test_a_scarf_over_the_chin_takes_its_label_away(training_faces, faces_folder, atlas):
    polygons, face = load_polygons(faces_folder), training_faces[0]
    pixels = face.read()
    plain = label_face(face, pixels, atlas, polygons)
    scarf = pixels.copy()
    scarf[int(face.landmarks[17, 1]) :] = (20, 60, 160)
    covered = label_face(face, scarf, atlas, polygons)
    assert (covered == Subunit.CHIN).sum() < 0.15 * (plain == Subunit.CHIN).sum()
    assert (covered == Subunit.FOREHEAD).sum() > 0.7 * (plain == Subunit.FOREHEAD).sum()


def test_eyes_and_mouth_are_never_skin(training_faces, faces_folder, atlas):
    polygons = load_polygons(faces_folder)
    face = training_faces[1]
    labels = label_face(face, face.read(), atlas, polygons)
    for landmarks in ([33, 133, 159, 145], [263, 362, 386, 374], [13, 14, 61, 291]):
        x, y = np.rint(face.landmarks[landmarks, :2].mean(axis=0)).astype(int)
        assert labels[y, x] == Subunit.NONE


def test_the_atlas_of_a_few_faces_is_like_the_shipped_one(training_faces, faces_folder, atlas):
    faces = [f for f in load_faces(faces_folder) if f.even_frontal][:60]
    built = build_atlas(faces, load_polygons(faces_folder))
    assert built.labels.shape == atlas.labels.shape
    assert np.linalg.norm(built.nodes - atlas.nodes, axis=1).max() < 0.04 * atlas.face_width_px
    assert (built.labels != atlas.labels).mean() < 0.06


def test_opposite_landmarks_name_each_other(faces_folder):
    mirror = symmetric_mirror(load_polygons(faces_folder).mirror)
    np.testing.assert_array_equal(mirror[mirror], np.arange(478))
    assert mirror[33] == 263
    assert mirror[50] == 280
    assert mirror[1] == 1


def test_an_upright_face_is_level_and_of_unit_size(training_faces):
    for face in training_faces:
        level = upright(face.landmarks)
        across = level[263, :2] - level[33, :2]
        assert across[1] == pytest.approx(0, abs=1e-4)
        assert across[0] == pytest.approx(1, abs=1e-4)


# People drawn here: no photographs are needed to know that nobody lands in two parts.


@pytest.fixture(scope="module")
def crowd(tmp_path_factory, atlas):
    """Forty persons, every fourth photographed three times in different light and size."""
    folder = tmp_path_factory.mktemp("crowd")
    faces, owner = [], []
    for person in range(40):
        rng = np.random.default_rng(person)
        skin = cv2.resize(
            rng.integers(40, 216, (24, 24), np.uint8), (160, 160), interpolation=cv2.INTER_CUBIC
        )
        for take in range(3 if person % 4 == 0 else 1):
            size = 160 + 40 * take
            shown = cv2.resize(skin, (size, size), interpolation=cv2.INTER_AREA).astype(float)
            light = np.linspace(0.8, 1.1 + 0.1 * take, size)[None]
            name = f"{len(faces):05d}"
            cv2.imwrite(str(folder / f"{name}.png"), np.clip(shown * light, 0, 255).astype(np.uint8))
            scale = size / 160
            landmarks = ((atlas.landmark_mean * 60 + (80, 70, 0)) * scale).astype(np.float32)
            yaw = (0.0, 30.0, -50.0)[take] if person % 8 == 0 else 0.0
            faces.append(Face(name, folder / f"{name}.png", landmarks, yaw, 0.0, 0.0, "Plain", True))
            owner.append(person)
    return faces, owner


def test_photos_of_one_person_are_recognised_in_other_light(crowd):
    faces, owner = crowd
    number = persons(faces)
    pairs = {(a, b) for a, b in zip(owner, number, strict=True)}
    assert len(pairs) == len(set(owner)) == len(set(number))


def test_no_person_is_in_two_parts_and_no_photo_in_none(crowd):
    faces, owner = crowd
    split = split_by_person(faces)
    assert set(split) == {face.id for face in faces}
    parts = {person: set() for person in owner}
    for face, person in zip(faces, owner, strict=True):
        parts[person].add(split[face.id])
    assert all(len(found) == 1 for found in parts.values())
    assert set(split.values()) == {"train", "validation", "test"}
    assert sum(part == "test" for part in split.values()) < 0.4 * len(faces)


def test_the_split_is_the_same_every_time(crowd):
    assert split_by_person(crowd[0]) == split_by_person(crowd[0])


def test_the_test_photos_of_the_model_card_are_in_the_index(faces_folder):
    import json

    from masi_vision.shipped import shipped_file

    card = json.loads(shipped_file("models", "face.json").read_text(encoding="utf-8"))
    with (faces_folder / "index.csv").open(newline="", encoding="utf-8") as file:
        known = {row["id"] for row in csv.DictReader(file)}
    assert set(card["test_ids"]) <= known
    assert len(set(card["test_ids"])) == len(card["test_ids"])
    assert card["photos"]["test"] == len(card["test_ids"])


def test_a_corrected_label_fills_what_is_whole_and_clears_what_is_hidden(atlas):
    cache = pytest.importorskip("masi_vision.training.cache")
    data = pytest.importorskip("masi_vision.training.data")
    landmarks = (atlas.landmark_mean * 100 + (160, 190, 0)).astype(np.float32)
    pixels = np.zeros((400, 320, 3), np.uint8)
    right = np.where(np.arange(320) < 160, int(Subunit.RIGHT_MALAR), 0) * np.ones((400, 1), int)
    face = data.LabelledFace("made", pixels, right.astype(np.uint8), landmarks, 0.0)
    labels = cache.relabelled(face, {"chin": "whole", "right_malar": "hidden", "forehead": "unclear"}, atlas)
    assert (labels == Subunit.CHIN).sum() > 500
    assert not np.isin(labels, (Subunit.RIGHT_MALAR, Subunit.FOREHEAD)).any()


def test_every_listed_correction_names_a_region_and_a_verdict():
    cache = pytest.importorskip("masi_vision.training.cache")
    for verdicts in cache.label_corrections().values():
        assert verdicts
        assert set(verdicts) <= {s.name.lower() for s in SUBUNITS}
        assert set(verdicts.values()) <= {"whole", "hidden", "unclear"}


def test_nothing_is_learned_from_an_unclear_region_and_the_rest_is(atlas, monkeypatch):
    cache = pytest.importorskip("masi_vision.training.cache")
    data = pytest.importorskip("masi_vision.training.data")
    landmarks = (atlas.landmark_mean * 100 + (160, 190, 0)).astype(np.float32)
    blank = np.zeros((400, 320), np.uint8)
    made = [data.LabelledFace(one, np.dstack([blank] * 3), blank, landmarks, 0.0) for one in "abc"]
    faces = [Face(one.id, Path(), landmarks, 0.0, 0.0, 0.0, "Plain", True) for one in made]
    whole = cache.TrainingSet(
        faces,
        {one.id: one for one in made},
        dict.fromkeys("abc", "train"),
        atlas,
        None,
        frozenset("b"),
    )
    monkeypatch.setattr(cache, "label_corrections", lambda: {"a": {"chin": "unclear", "forehead": "whole"}})
    learned = {face.id: face.labels for face in whole.part("train")}
    assert set(learned) == {"a", "c"}  # b is doubtful
    drawn = cache.drawn_codes(made[0], atlas)
    assert (learned["a"][drawn == Subunit.CHIN] == data.UNKNOWN).all()
    assert (learned["a"][drawn == Subunit.FOREHEAD] == Subunit.FOREHEAD).all()
    assert not learned["c"].any()
