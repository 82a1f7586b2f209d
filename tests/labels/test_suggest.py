import json
from xml.etree import ElementTree

import numpy as np
import pytest

from masi_vision.errors import DatasetError
from masi_vision.labels.source import read_export
from masi_vision.labels.suggest import CATEGORIES, Suggestion, list_photos, seen_masks, suggest
from masi_vision.labels.suggestion_files import write_suggestions
from masi_vision.phantom.demo import demo_folder
from masi_vision.photo import read_photo
from masi_vision.visit.models import shipped_models


@pytest.fixture(scope="module")
def front():
    return demo_folder() / "demo-01" / "visit-1" / "front.jpg"


@pytest.fixture(scope="module")
def seen(front, settings):
    return seen_masks(read_photo(front), settings, shipped_models())


@pytest.fixture
def written(tmp_path, front, seen):
    masks, probability = seen
    photos = list_photos([front.parents[1]])
    size = next(iter(masks.values())).shape
    file = front.relative_to(photos.root).as_posix()
    suggestions = [
        Suggestion(file, size, masks, probability),
        Suggestion("visit-9/no face.jpg", (90, 80), problem="No face was found."),
        Suggestion("visit-9/damaged.jpg", None, problem="is damaged."),
    ]
    problems = write_suggestions(suggestions, photos, tmp_path / "out", model_version="tested")
    return tmp_path / "out", problems


def iou(one, other):
    return (one & other).sum() / (one | other).sum()


def test_all_regions_and_the_pigment_are_seen_where_they_belong(seen):
    masks, probability = seen
    assert set(masks) == set(CATEGORIES)
    assert probability > 0.5
    rows = {name: np.nonzero(mask)[0].mean() for name, mask in masks.items()}
    columns = {name: np.nonzero(mask)[1].mean() for name, mask in masks.items()}
    assert rows["forehead"] < rows["nose"] < rows["upper_lip"] < rows["chin"]
    assert columns["right_malar"] < columns["nose"] < columns["left_malar"]
    regions = np.any([mask for name, mask in masks.items() if name != "pigment"], axis=0)
    assert not (masks["pigment"] & ~regions).any()


def test_coco_holds_the_same_shapes(written, seen):
    out, _ = written
    export = read_export(out / "coco.json")
    content = json.loads((out / "coco.json").read_text())
    assert {one["name"]: one["id"] for one in content["categories"]} == CATEGORIES
    assert len(content["images"]) == 2
    first = export.photos[0]
    for shape, annotation in zip(first.shapes, content["annotations"], strict=True):
        mask = seen[0][shape.label]
        drawn = shape.draw(mask.shape)
        rows, columns = np.nonzero(mask)
        assert annotation["area"] == mask.sum()
        assert annotation["bbox"][:2] == [columns.min(), rows.min()]
        assert annotation["bbox"][2:] == [np.ptp(columns) + 1, np.ptp(rows) + 1]
        if annotation["iscrowd"]:
            assert np.array_equal(drawn, mask)
        else:
            assert iou(drawn, mask) > 0.99


def test_tasks_hold_the_same_brushes(written, seen):
    out, _ = written
    tasks = json.loads((out / "label_studio.json").read_text())
    assert len(tasks) == 3
    assert tasks[0]["data"]["image"] == "/data/local-files/?d=demo-01/visit-1/front.jpg"
    assert tasks[1]["data"]["image"] == "/data/local-files/?d=demo-01/visit-9/no%20face.jpg"
    assert tasks[1]["predictions"] == []
    (prediction,) = tasks[0]["predictions"]
    assert prediction["model_version"] == "tested"
    # An annotator who accepts all makes annotations of predictions.
    accepted = [tasks[0] | {"annotations": [{"id": 1, "result": prediction["result"]}]}]
    (out / "accepted.json").write_text(json.dumps(accepted))
    (photo,) = read_export(out / "accepted.json").photos
    assert photo.size == seen[0]["chin"].shape
    for shape in photo.shapes:
        assert np.array_equal(shape.draw(photo.size), seen[0][shape.label])


def test_the_set_up_names_what_the_predictions_name(written):
    out, _ = written
    root = ElementTree.fromstring((out / "label_studio_config.xml").read_text())
    brush, image = root.find("BrushLabels"), root.find("Image")
    result = json.loads((out / "label_studio.json").read_text())[0]["predictions"][0]["result"][0]
    assert (brush.get("name"), brush.get("toName")) == (result["from_name"], result["to_name"])
    assert image.get("name") == result["to_name"]
    assert image.get("value") == "$image"
    assert {label.get("value") for label in brush} == {*CATEGORIES, "hidden", "unknown"}


def test_photos_without_a_face_are_told(written):
    assert written[1] == [
        "visit-9/no face.jpg: No face was found.",
        "visit-9/damaged.jpg: is damaged.",
    ]


def test_photos_that_show_nothing_are_suggested_nothing(tmp_path, site, settings):
    folder = site("a.jpg")
    (folder / "b.jpg").write_bytes(b"nothing")
    no_face, damaged = suggest(list_photos([folder]), settings, shipped_models())
    assert no_face.size == (72, 96)
    assert "No face" in no_face.problem
    assert damaged.size is None
    assert not damaged.masks


def test_photos_are_named_from_the_folder_that_holds_them_all(tmp_path):
    for name in ("one/a.jpg", "two/b.JPG", "two/notes.txt", "two/.hidden/c.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert list_photos([tmp_path / "one" / "a.jpg"]).files == ("a.jpg",)
    found = list_photos([tmp_path / "two", tmp_path / "one", tmp_path / "one" / "a.jpg"])
    assert found.root == tmp_path
    assert found.files == ("two/b.JPG", "one/a.jpg")
    with pytest.raises(DatasetError, match="was not found"):
        list_photos([tmp_path / "three"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="holds no photo"):
        list_photos([tmp_path / "empty"])
