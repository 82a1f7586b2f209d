"""What trainings keep from call to call is made anew when anything that it was made from is another."""

import csv
from importlib.util import find_spec

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra train")
if find_spec("segmentation_models_pytorch") is None:
    pytest.skip("needs the extra train", allow_module_level=True)

from masi_vision.face.atlas import Subunit
from masi_vision.model_files import shipped_folder
from masi_vision.training import cache, pigment_data, pigment_export
from masi_vision.visit.models import PIGMENT_READER


@pytest.fixture
def folder(drawn_faces, tmp_path):
    """A folder of the drawn faces."""
    (tmp_path / "photos").mkdir()
    for face in drawn_faces:
        cv2.imwrite(str(tmp_path / "photos" / f"{face.id}.jpg"), face.pixels[..., ::-1])
    np.savez(tmp_path / "landmarks.npz", **{face.id: face.landmarks for face in drawn_faces})
    (tmp_path / "atlas.json").write_text("{}")
    listed(tmp_path, drawn_faces)
    return tmp_path


def listed(folder, faces):
    facts = {"yaw_deg": 0, "pitch_deg": 0, "roll_deg": 0, "sheet": "Plain", "even_frontal": 1}
    with (folder / "index.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["id", *facts])
        writer.writeheader()
        writer.writerows({"id": face.id} | facts for face in faces)


def kept_in(folder):
    """A new cache."""
    kept = folder / "cache"
    kept.mkdir()
    return kept


def test_photos_are_labelled_again_when_the_list_the_landmarks_or_the_rules_are_others(
    drawn_faces, atlas, folder, monkeypatch
):
    asked = []

    class Pool:
        """Labels nothing, in this process."""

        def __init__(self, *_):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def map(self, label, faces, chunksize):
            asked.append(len(faces))
            return [(face.id, np.zeros((256, 256), np.uint8)) for face in faces]

    monkeypatch.setattr(cache, "ProcessPoolExecutor", Pool)
    monkeypatch.setattr(cache, "load_polygons", lambda _: None)
    monkeypatch.setattr(cache, "build_atlas", lambda *_: atlas)
    monkeypatch.setattr(cache, "split_by_person", lambda faces: {face.id: "train" for face in faces})
    kept = folder / "cache"
    for _ in range(2):
        cache.prepare(folder, kept)
    assert asked == [3]
    listed(folder, drawn_faces[:2])
    cache.prepare(folder, kept)
    assert asked == [3, 2]
    np.savez(folder / "landmarks.npz", **{face.id: face.landmarks + 1 for face in drawn_faces})
    cache.prepare(folder, kept)
    assert asked == [3, 2, 2]
    other_rules = folder / "labels.py"
    other_rules.write_text("")
    monkeypatch.setattr(cache, "getfile", lambda _: str(other_rules))
    cache.prepare(folder, kept)
    assert asked == [3, 2, 2, 2]


def test_frames_are_those_of_the_labels_as_they_are_now(drawn_faces, atlas, folder, monkeypatch):
    kept, made = kept_in(folder), []
    frame_face = pigment_data.frame_face
    monkeypatch.setattr(
        pigment_data, "frame_face", lambda face, atlas: (made.append(face.id), frame_face(face, atlas))[1]
    )
    monkeypatch.setattr(cache, "label_corrections", dict)

    def frames(doubtful=()):
        faces = cache.load_faces(folder)
        labelled = {face.id: face for face in drawn_faces}
        split = dict.fromkeys(labelled, "train")
        data = cache.TrainingSet(faces, labelled, split, atlas, None, frozenset(doubtful))
        return pigment_data.frame_faces(data, "train", kept)

    def chin_px(frame):
        return (frame.codes == Subunit.CHIN).sum()

    first, again = frames(), frames()
    assert len(made) == 3
    assert chin_px(first[0]) == chin_px(again[0]) > 100
    assert len(frames(doubtful=["00001"])) == 2
    monkeypatch.setattr(cache, "label_corrections", lambda: {"00000": {"chin": "hidden"}})
    corrected = frames()
    assert chin_px(corrected[0]) == 0
    assert chin_px(corrected[1]) == chin_px(first[1])
    made.clear()
    monkeypatch.setattr(pigment_data, "code_sha256", lambda: "another")
    frames()
    assert len(made) == 3


def test_what_was_judged_is_judged_anew_by_other_code_and_of_other_labels(folder, monkeypatch):
    kept, judged = kept_in(folder), []
    monkeypatch.setattr(pigment_export, "judged", lambda *_: judged.append(1) or [])
    sittings = pigment_export.Sittings(folder, kept, "validation", "training", 1)

    def times():
        pigment_export._validation_rows(sittings, shipped_folder() / PIGMENT_READER, kept)
        return len(judged)

    assert [times(), times()] == [1, 1]
    monkeypatch.setattr(pigment_export, "code_sha256", lambda: "another")
    assert [times(), times()] == [2, 2]
    monkeypatch.setattr(pigment_export, "label_corrections", lambda: {"00000": {"chin": "hidden"}})
    assert [times(), times()] == [3, 3]
    np.savez(folder / "landmarks.npz")
    assert [times(), times()] == [4, 4]
