import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from verbs import masi, table

from masi_vision.labels.classes import OURS
from masi_vision.labels.dataset import read_dataset
from masi_vision.phantom.demo import demo_folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """The front views of the demo study."""
    folder = tmp_path_factory.mktemp("study") / "photos"
    for photo in sorted(demo_folder().glob("*/*/front.jpg")):
        place = folder / photo.relative_to(demo_folder())
        place.parent.mkdir(parents=True)
        shutil.copyfile(photo, place)
    return folder


@pytest.fixture(scope="module")
def suggested(photos):
    out = photos.parent / "suggested"
    done = masi("labels", "suggest", photos, "--out", out)
    assert done.exit_code == 0, done.output
    assert "Labels suggested for 3 of 3 photos." in done.output
    return out


@pytest.fixture(scope="module")
def dataset(photos, suggested):
    out = photos.parent / "dataset"
    done = masi("labels", "import", suggested / "coco.json", "--photos", photos, "--out", out)
    assert done.exit_code == 0, done.output
    return out, done.output


def test_suggestions_become_a_data_set(dataset):
    out, printed = dataset
    _, rows = table(out / "dataset.csv")
    assert [(row["patient"], row["visit"], row["view"]) for row in rows] == [
        ("demo-01", "visit-1", "front"),
        ("demo-01", "visit-2", "front"),
        ("demo-02", "visit-1", "front"),
    ]
    assert "3 photos of COCO" in printed
    data = read_dataset(out)
    assert set(data.landmarks) == {row["photo"] for row in rows}
    first = data.entries[0]
    shape = data.photo(first).srgb.shape
    assert np.unique(data.labels(first, shape)).tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert data.pigment(first, shape).lesion.any()


def test_label_studio_and_coco_say_the_same(photos, suggested, dataset):
    """All suggestions accepted, as Label Studio would export them, with a photo uploaded by hand."""
    tasks = json.loads((suggested / "label_studio.json").read_text())
    for number, task in enumerate(tasks):
        task["annotations"] = [
            {"id": number, "was_cancelled": False, "result": task["predictions"][0]["result"]}
        ]
    file = photos.parent / "export.json"
    file.write_text(json.dumps(tasks))
    out = photos.parent / "from_label_studio"
    done = masi("labels", "import", file, "--photos", photos, "--out", out)
    assert done.exit_code == 0, done.output
    one, other = read_dataset(dataset[0]), read_dataset(out)
    for entry in one.entries:
        shape = one.photo(entry).srgb.shape
        codes, again = one.labels(entry, shape), other.labels(entry, shape)
        assert (codes == again).mean() > 0.999


def test_what_a_data_set_holds_is_printed(dataset):
    done = masi("labels", "check", dataset[0])
    assert done.exit_code == 0
    for part in ("Patients", "Right malar", "with pigment", "Tone: ", "Nothing is wrong."):
        assert part in done.output


def test_a_data_set_with_a_damaged_picture_is_told(dataset, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(dataset[0], copy)
    next((copy / "labels").iterdir()).write_bytes(b"nothing")
    done = masi("labels", "check", copy)
    assert done.exit_code == 1
    assert "is no picture of one channel" in done.output
    assert "1 problems, see above." in done.output
    assert masi("labels", "check", tmp_path).exit_code == 2


def test_a_photo_without_a_face_has_no_suggestion(photos, tmp_path, plain_skin):
    import cv2

    cv2.imwrite(str(tmp_path / "wall.jpg"), plain_skin(200, 200))
    done = masi("labels", "suggest", tmp_path / "wall.jpg", "--out", tmp_path / "out")
    assert done.exit_code == 1
    assert "wall.jpg: No face was found" in done.output
    done = masi(
        "labels", "import", tmp_path / "out" / "coco.json", "--photos", tmp_path, "--out", tmp_path / "set",
        "--each-photo-is-a-patient",
    )  # fmt: skip
    assert done.exit_code == 2
    assert "nothing is drawn on it" in done.output


def test_classes_that_are_not_known_are_listed_and_nothing_is_written(photos, suggested, tmp_path):
    content = json.loads((suggested / "coco.json").read_text())
    content["categories"][3]["name"] = "Kinn"
    file = tmp_path / "theirs.json"
    file.write_text(json.dumps(content))
    order = ["labels", "import", file, "--photos", photos, "--out", tmp_path / "out"]
    done = masi(*order)
    assert done.exit_code == 2
    assert "Kinn: 3 times, in demo-01/visit-1/front.jpg" in done.output
    assert not (tmp_path / "out").exists()
    assert masi(*order, "--class", "Kinn=chin").exit_code == 0


def test_a_folder_in_use_and_two_ways_to_tell_patients_are_refused(photos, suggested, tmp_path):
    order = ["labels", "import", suggested / "coco.json", "--photos", photos]
    done = masi(*order, "--out", photos)
    assert done.exit_code == 2
    assert "is in use" in done.output
    done = masi(*order, "--out", tmp_path / "x", "--table", tmp_path / "t.csv", "--each-photo-is-a-patient")
    assert done.exit_code == 2
    assert "contradict each other" in done.output


def test_a_photo_left_out_is_named(photos, suggested, tmp_path):
    content = json.loads((suggested / "coco.json").read_text())
    content["images"][0]["width"] += 2
    file = tmp_path / "coco.json"
    file.write_text(json.dumps(content))
    done = masi("labels", "import", file, "--photos", photos, "--out", tmp_path / "out")
    assert done.exit_code == 1
    assert "demo-01/visit-1/front.jpg: was annotated at" in done.output
    assert "1 not used, see above." in done.output


@pytest.fixture
def imported(photos, suggested, tmp_path):
    """Import the suggestions, changed; gives back what was printed, and the data set."""

    def run(change, *words, out="changed"):
        content = json.loads((suggested / "coco.json").read_text())
        change(content)
        (tmp_path / f"{out}.json").write_text(json.dumps(content))
        done = masi(
            "labels", "import", tmp_path / f"{out}.json", "--photos", photos, "--out", tmp_path / out, *words
        )
        return done, tmp_path / out

    return run


def only_malar_regions(content):
    kept = {one["id"] for one in content["categories"] if "malar" in one["name"]}
    assert len(kept) == 2
    content["categories"] = [one for one in content["categories"] if one["id"] in kept]
    content["annotations"] = [one for one in content["annotations"] if one["category_id"] in kept]


def test_where_a_region_lies_that_could_not_be_drawn_nothing_is_said(imported, dataset):
    done, out = imported(only_malar_regions)
    assert done.exit_code == 0, done.output
    assert "No forehead, chin, nose, upper_lip is among the classes" in " ".join(done.output.split())
    partly, whole = read_dataset(out), read_dataset(dataset[0])
    for entry in partly.entries:
        shape = partly.photo(entry).srgb.shape
        codes, all_of_it = partly.labels(entry, shape), whole.labels(entry, shape)
        assert set(np.unique(codes)) == {0, 2, 3, 255}
        for code in (1, 4, 5, 6):
            assert (codes[all_of_it == code] == 255).mean() > 0.9
        assert (codes[all_of_it == 0] == 0).mean() > 0.8


def swapped(content):
    names = {one["id"]: one["name"] for one in content["categories"]}
    for one in content["categories"]:
        if "malar" in one["name"]:
            side, other = ("right", "left") if "right" in names[one["id"]].lower() else ("left", "right")
            one["name"] = re.sub(side, other, one["name"], flags=re.IGNORECASE)


def test_swapped_sides_are_left_out_with_a_sentence(imported):
    done, _ = imported(swapped)
    assert done.exit_code == 2
    assert "has its right_malar where the face has its left_malar" in " ".join(done.output.split())


def test_one_file_as_two_patients_is_told(dataset, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(dataset[0], copy)
    columns, rows = table(copy / "dataset.csv")
    shutil.copy(copy / rows[0]["photo"], copy / "photos" / "again.jpg")
    again = rows[0] | {"photo": "photos/again.jpg", "patient": "somebody"}
    lines = [",".join(row[name] for name in columns) for row in (*rows, again)]
    (copy / "dataset.csv").write_text("\n".join([",".join(columns), *lines]) + "\n", encoding="utf-8")
    done = masi("labels", "check", copy)
    assert done.exit_code == 1
    assert "photos/again.jpg: is the very file" in " ".join(done.output.split())


def test_patients_keep_the_splits_of_an_earlier_data_set(imported, tmp_path, dataset):
    _, before = imported(lambda content: None, "--seed", 5, out="before")
    splits = {row["patient"]: row["split"] for row in table(before / "dataset.csv")[1]}
    other = {"train": "test", "test": "validation", "validation": "train", "": ""}
    columns, rows = table(before / "dataset.csv")
    moved = [",".join((row | {"split": other[row["split"]]})[name] for name in columns) for row in rows]
    (before / "dataset.csv").write_text("\n".join([",".join(columns), *moved]) + "\n", encoding="utf-8")
    done, after = imported(lambda content: None, "--seed", 5, "--splits-of", before, out="after")
    assert done.exit_code == 0, done.output
    kept = {row["patient"]: row["split"] for row in table(after / "dataset.csv")[1]}
    assert kept == {patient: other[split] for patient, split in splits.items()} != splits
    assert f"{len(splits)} patients keep the split of the earlier data set; 0 are new." in done.output
    upper = (before / "dataset.csv").read_text(encoding="utf-8")
    for patient in splits:
        upper = upper.replace(f",{patient},", f",{patient.upper()},")
    (before / "dataset.csv").write_text(upper, encoding="utf-8")
    refused, _ = imported(lambda content: None, "--splits-of", before, out="never")
    assert refused.exit_code == 2
    assert "Patients are spelled alike" in refused.output
    (before / "dataset.csv").write_text(upper.lower().replace(",demo-01,", ",demo-1,"), encoding="utf-8")
    refused, _ = imported(lambda content: None, "--splits-of", before, out="never")
    assert refused.exit_code == 2
    assert "The patient 'demo-01' is new, and the earlier data set has 'demo-1'" in refused.output


def test_patients_of_one_split_who_may_be_one_are_told(dataset, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(dataset[0], copy)
    text = (copy / "dataset.csv").read_text(encoding="utf-8")
    (copy / "dataset.csv").write_text(text.replace(",demo-01,visit-2,", ",demo-1,visit-2,"), encoding="utf-8")
    done = masi("labels", "check", copy)
    assert done.exit_code == 0
    assert "count as two patients: 'demo-01' and 'demo-1'" in " ".join(done.stderr.split())


def test_a_photo_of_before_under_another_patient_is_refused(imported, dataset):
    """Its split could not be kept: a test of the new data set would be of who was learned from."""
    _, before = imported(lambda content: None, "--seed", 5, out="before")
    text = (before / "dataset.csv").read_text(encoding="utf-8")
    patients = {row["patient"] for row in table(before / "dataset.csv")[1]}
    for patient in patients:
        text = text.replace(f",{patient},", f",once-{patient},")
    (before / "dataset.csv").write_text(text, encoding="utf-8")
    refused, _ = imported(lambda content: None, "--splits-of", before, out="never")
    assert refused.exit_code == 2
    assert "and the same photo is of once-" in " ".join(refused.output.split())


def test_the_manual_names_every_option_and_class():
    manual = (Path(__file__).parents[2] / "docs" / "labels.md").read_text(encoding="utf-8")
    options = set()
    for verb in ("import", "suggest", "check"):
        options |= set(re.findall(r"--[a-z-]+", masi("labels", verb, "--help").output)) - {"--help"}
    assert {name for name in (*options, *OURS) if name not in manual} == set()
