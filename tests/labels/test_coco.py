import json

import numpy as np
import pytest

from masi_vision.labels.coco import read_coco
from masi_vision.labels.run_length import column_counts, packed

SIZE = (72, 96)
SQUARE = [2.0, 2.0, 12.0, 2.0, 12.0, 8.0, 2.0, 8.0]


def read(file):
    return read_coco(json.loads(file.read_text()))


def mask_of(photo, number=0):
    return photo.shapes[number].draw(SIZE)


def test_polygons_flat_and_nested_are_one_shape(coco_file):
    flat, nested = SQUARE, [SQUARE, [20, 20, 30, 20, 30, 30, 20, 30]]
    (photo,) = read(coco_file(["a.jpg"], [(1, "chin", flat), (1, "chin", nested)])).photos
    assert photo.size == SIZE
    assert mask_of(photo).sum() == 60
    assert mask_of(photo, 1).sum() == 160


def test_runs_are_read_as_numbers_and_as_text(coco_file):
    mask = np.zeros(SIZE, bool)
    mask[5:9, 3:30] = True
    counts = column_counts(mask)
    forms = [{"size": list(SIZE), "counts": counts}, {"size": list(SIZE), "counts": packed(counts)}]
    (photo,) = read(coco_file(["a.jpg"], [(1, "chin", form) for form in forms])).photos
    assert np.array_equal(mask_of(photo), mask)
    assert np.array_equal(mask_of(photo, 1), mask)


@pytest.mark.parametrize(
    ("segmentation", "sentence"),
    [
        ([], "no outline"),
        (None, "no outline"),
        ([[1, 2, 3]], "no pair of numbers"),
        ([["a", 1, 2, 3, 4, 5]], "no pair of numbers"),
        ({"size": [96, 72], "counts": [96 * 72]}, r"size \[96, 72\] \(height, width\), expected \[72, 96\]"),
        ({"size": [72, 96], "counts": [96 * 72]}, "no pixel"),
        ({"size": [72, 96]}, "no runs"),
    ],
)
def test_a_segmentation_that_is_none_is_told(coco_file, segmentation, sentence):
    (photo,) = read(coco_file(["a.jpg"], [(1, "chin", segmentation)])).photos
    with pytest.raises(ValueError, match=sentence):
        mask_of(photo)


def test_all_categories_are_classes_though_none_is_drawn(coco_file):
    export = read(coco_file(["a.jpg"], []))
    assert export.classes == {"Forehead", "chin", "Right malar", "melasma"}


def test_the_same_image_twice_is_one(coco_file):
    file = coco_file(["a.jpg", "a.jpg"], [(1, "chin", SQUARE), (2, "Forehead", SQUARE)])
    (photo,) = read(file).photos
    assert [shape.label for shape in photo.shapes] == ["chin", "Forehead"]
    assert not photo.problem


def test_an_image_id_of_two_photos_is_a_problem_of_both(coco_file):
    file = coco_file(["a.jpg", "b.jpg", "c.jpg"], [(1, "chin", SQUARE), (3, "chin", SQUARE)])
    content = json.loads(file.read_text())
    content["images"][1]["id"] = 1
    file.write_text(json.dumps(content))
    problems = {photo.file: photo.problem for photo in read(file).photos}
    assert problems["c.jpg"] == ""
    assert "shares its image id with b.jpg" in problems["a.jpg"]
    assert "shares its image id" in problems["b.jpg"]


def test_a_category_id_of_two_names_is_a_problem_of_the_photos_that_use_it(coco_file):
    file = coco_file(["a.jpg", "b.jpg"], [(1, "chin", SQUARE), (2, "Forehead", SQUARE)])
    content = json.loads(file.read_text())
    content["categories"].append({"id": 2, "name": "nose"})
    file.write_text(json.dumps(content))
    problems = {photo.file: photo.problem for photo in read(file).photos}
    assert "annotation 1 is of category 2, which is chin and nose" in problems["a.jpg"]
    assert problems["b.jpg"] == ""


def test_twins_of_annotations_are_read_and_told(coco_file):
    file = coco_file(["a.jpg"], [(1, "chin", SQUARE), (1, "chin", SQUARE)])
    content = json.loads(file.read_text())
    content["annotations"][1]["id"] = 1
    file.write_text(json.dumps(content))
    export = read(file)
    assert len(export.photos[0].shapes) == 2
    assert export.remarks == ("1 annotations have the id of another one; all are read.",)


def test_annotations_that_point_nowhere_are_told(coco_file):
    file = coco_file(["a.jpg"], [(9, "chin", SQUARE), (1, "chin", SQUARE)])
    content = json.loads(file.read_text())
    content["annotations"][1]["category_id"] = 77
    file.write_text(json.dumps(content))
    export = read(file)
    assert export.problems == ("annotation 1 belongs to no image of the file. It is left out.",)
    assert export.photos[0].problem == "annotation 2 is of category 77, which the file does not name"


def test_two_sizes_of_one_photo_are_a_problem(coco_file):
    file = coco_file(["a.jpg", "a.jpg"], [(1, "chin", SQUARE)])
    content = json.loads(file.read_text())
    content["images"][1]["width"] = 65
    file.write_text(json.dumps(content))
    assert read(file).photos[0].problem == "is listed twice with two sizes"
