"""`masi evaluate` on a tiny data set: what it prints and writes, and a sentence for every trouble."""

import json
import shutil

import numpy as np
import pytest
from model_folders import change_card
from model_folders import copied as copied_models
from verbs import masi

from masi_vision.cli.evaluate import _held_against
from masi_vision.evaluation.measures import MEASURES
from masi_vision.labels.dataset import Dataset, Entry, read_dataset, write_dataset, write_grey
from masi_vision.photo import read_photo
from masi_vision.shipped import shipped_file
from masi_vision.visit.measure import measure_photo
from masi_vision.visit.models import shipped_models


@pytest.fixture(scope="module")
def faces(demo_visits, settings, tmp_path_factory):
    """Fronts of the two demo patients, with the models' own regions and no pigment."""
    base = tmp_path_factory.mktemp("evaluate") / "faces"
    entries = []
    for visit in (demo_visits[0], demo_visits[-1]):
        name = f"photos/{visit.parent.name}.jpg"
        labels, pigment = (f"{kind}/{visit.parent.name}.png" for kind in ("labels", "pigment"))
        (base / "photos").mkdir(parents=True, exist_ok=True)
        shutil.copy(visit / "front.jpg", base / name)
        found = measure_photo(read_photo(base / name), "front", settings, shipped_models())
        codes = found.face.photo_codes((0, 0, *found.photo.srgb.shape[:2]))
        write_grey(base / labels, codes)
        write_grey(base / pigment, np.zeros_like(codes))
        entries.append(Entry(name, labels, pigment, visit.parent.name, split="test"))
    write_dataset(Dataset(base, tuple(entries)))
    return base


@pytest.fixture
def copied(faces, tmp_path):
    """A data set of one's own, to break."""
    return shutil.copytree(faces, tmp_path / "faces")


def test_the_table_is_printed_and_page_and_file_are_written(faces, tmp_path):
    done = masi("evaluate", faces, "--models", "shipped", "--out", tmp_path / "out", "--workers", 1)
    assert done.exit_code == 0, done.output
    assert "faces, split test: 2 photos of 2 patients." in done.stdout
    assert "Mean IoU" in done.stdout and "1.000 (1.000 to 1.000)" in done.stdout
    assert "Error of mMASI" in done.stdout and "not known here" in done.stdout
    values = json.loads((tmp_path / "out" / "evaluation.json").read_text(encoding="utf-8"))
    assert (values["dataset"], values["split"], list(values["models"])) == ("faces", "test", ["shipped"])
    assert set(values["summary"]["all"]) == set(MEASURES)
    assert values["comparison"] == {}
    page = (tmp_path / "out" / "evaluation.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg") == 4


def test_two_models_are_compared_and_told_apart(faces, tmp_path):
    folder = shipped_file("models", "face.json").parent
    other = shutil.copytree(folder, tmp_path / "other", ignore=shutil.ignore_patterns("*.md", "*.png"))
    done = masi(
        "evaluate",
        faces,
        "--models",
        other,
        "--against",
        "shipped",
        "--out",
        tmp_path / "out",
        "--worst",
        0,
        "--workers",
        1,
    )
    assert done.exit_code == 0, done.output
    assert "Mean IoU 1.000 against 1.000: the same, 2 patients." in done.stdout
    values = json.loads((tmp_path / "out" / "evaluation.json").read_text(encoding="utf-8"))
    assert list(values["models"]) == ["other", "shipped"]
    assert values["comparison"]["against"] == "shipped"
    assert len(values["comparison"]["photos"]) == 2
    assert "data:image" not in (tmp_path / "out" / "evaluation.html").read_text(encoding="utf-8")


def test_the_same_models_twice_get_two_names(faces):
    done = masi("evaluate", faces, "--models", "shipped", "--against", "shipped", "--workers", 1)
    assert done.exit_code == 0, done.output
    assert "shipped (1)" in done.stdout and "shipped (2)" in done.stdout
    assert "Page:" not in done.stdout


@pytest.mark.long
def test_models_of_two_runs_are_named_by_their_runs_and_say_what_they_learned_from(copied, tmp_path):
    (copied / "dataset.csv").write_text((copied / "dataset.csv").read_text().replace("test", "train", 1))
    data = read_dataset(copied)
    shipped = shipped_file("models", "face.json").parent
    for run in ("run-1", "run-2"):
        ignored = shutil.ignore_patterns("*.md", "*.png")
        folder = shutil.copytree(shipped, tmp_path / run / "models", ignore=ignored)
        card = json.loads((folder / "face.json").read_text()) | {
            "networks": {"reader": {"dataset_sha256": data.sha256 if run == "run-1" else "0" * 64}}
        }
        (folder / "face.json").write_text(json.dumps(card))
    both = ["--models", tmp_path / "run-1" / "models", "--against", tmp_path / "run-2" / "models"]
    done = masi("evaluate", copied, *both, "--split", "all", "--out", tmp_path / "out", "--workers", 1)
    assert done.exit_code == 0, done.output
    said = " ".join(done.stdout.split())
    assert "run-1/models learned from 1 of these photos" in said
    assert "run-2/models learned" not in said
    values = json.loads((tmp_path / "out" / "evaluation.json").read_text(encoding="utf-8"))
    assert list(values["models"]) == ["run-1/models", "run-2/models"]
    assert len(values["remarks"]) == 1
    plain = masi("evaluate", copied, *both, "--workers", 1)
    assert "learned from" not in plain.stdout


def test_patients_whose_photos_models_learned_from_are_left_out_of_any_test(copied, tmp_path):
    """Dealt anew, or with one more patient, a data set has another hash: the photos tell."""
    marks = read_dataset(copied).photo_marks
    old, new = (change_learned(copied_models(tmp_path / name), ()) for name in ("old", "new"))
    first = "photos/demo-01.jpg"
    change_learned(new, [marks[first]])
    both = ("--models", old, "--against", new, "--workers", 1)
    done = masi("evaluate", copied, *both, "--out", tmp_path / "out", "--worst", 0)
    assert done.exit_code == 0, done.output
    said = " ".join(done.stdout.split())
    assert "new learned from 1 photo of the split test, or was chosen by them: 1 patient left out" in said
    assert "old learned" not in said
    assert "1 photo of 1 patient." in said
    values = json.loads((tmp_path / "out" / "evaluation.json").read_text(encoding="utf-8"))
    assert [one["photo"] for one in values["photos"]] == ["photos/demo-02.jpg"]
    assert len(values["remarks"]) == 1
    asked = masi("evaluate", copied, *both, "--split", "all")
    assert "2 photos of 2 patients." in asked.stdout
    assert "new learned from 1 of these photos" in " ".join(asked.stdout.split())
    change_learned(new, marks.values())
    nobody = masi("evaluate", copied, *both)
    assert nobody.exit_code == 2
    assert "Nobody is left to test on." in " ".join(nobody.stderr.split())


def test_models_are_asked_once_what_they_learned_from(tmp_path, monkeypatch):
    """Once a photo took minutes for ten thousand; and of models without marks no photo is read."""
    asked = []
    monkeypatch.setattr(
        "masi_vision.visit.models.photos_learned", lambda folder: asked.append(folder) or set()
    )
    monkeypatch.setattr(Dataset, "photo_marks", property(lambda data: pytest.fail("read")))
    entries = tuple(Entry(f"{n}.jpg", "", "", patient=f"P{n}", split="test") for n in range(3))
    data, told = _held_against(
        Dataset(tmp_path, entries, {}), "test", {"own": copied_models(tmp_path / "own")}
    )
    assert (len(asked), data.entries, told) == (1, entries, [])


def change_learned(folder, marks):
    change_card(folder, "pigment.json", learned_photos=list(marks))
    return folder


def test_one_photo_in_two_splits_is_refused(copied):
    text = (copied / "dataset.csv").read_text()
    first, second = sorted((copied / "photos").iterdir())
    second.write_bytes(first.read_bytes())
    (copied / "dataset.csv").write_text(text.replace("test", "train", 1))
    done = masi("evaluate", copied, "--workers", 1)
    assert done.exit_code == 2
    assert "In two splits stands one photo under two names" in " ".join(done.output.split())
    assert first.name in done.output and second.name in done.output


def test_a_photo_that_cannot_be_read_is_named_and_the_rest_is_done(copied):
    (copied / "photos" / "demo-01.jpg").write_text("no picture")
    done = masi("evaluate", copied, "--models", "shipped", "--workers", 1)
    assert done.exit_code == 1
    assert "1 photo of 1 patient" in done.stdout
    assert "photos/demo-01.jpg: demo-01.jpg" in done.stdout


def test_labels_of_another_size_are_named(copied):
    write_grey(copied / "labels" / "demo-02.png", np.zeros((20, 30), np.uint8))
    done = masi("evaluate", copied, "--models", "shipped", "--workers", 1)
    assert done.exit_code == 1
    assert "labels/demo-02.png is 30 x 20 px. Expected 720 x 900" in done.stdout


def test_nothing_readable_is_nothing_to_evaluate(copied, tmp_path):
    for photo in (copied / "photos").iterdir():
        photo.write_text("no picture")
    done = masi("evaluate", copied, "--models", "shipped", "--workers", 1, "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert "None of the 2 photos" in done.stderr and "demo-02.jpg" in done.stderr
    assert not (tmp_path / "out").exists()


def test_an_empty_split_is_refused(faces):
    done = masi("evaluate", faces, "--models", "shipped", "--split", "train")
    assert done.exit_code == 2
    assert "has 0 photos in the split train, none of them annotated." in done.stderr


def test_what_is_no_data_set_is_refused(tmp_path):
    done = masi("evaluate", tmp_path, "--models", "shipped")
    assert done.exit_code == 2
    assert "Expected a data set." in done.stderr


def test_models_that_are_not_there_are_refused(faces, tmp_path):
    done = masi("evaluate", faces, "--models", "shipped", "--against", tmp_path / "none")
    assert done.exit_code == 2
    assert "none" in done.stderr
