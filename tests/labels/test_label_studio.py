import json

import numpy as np
import pytest

from masi_vision.errors import DatasetError
from masi_vision.labels.label_studio import read_label_studio
from masi_vision.labels.run_length import brush_numbers
from masi_vision.labels.source import read_export

HEIGHT, WIDTH = SIZE = (40, 60)


def result(kind, value, label="Right malar", **more):
    return {
        "original_width": WIDTH,
        "original_height": HEIGHT,
        "image_rotation": 0,
        "value": value | {kind: [label]},
        "id": f"{kind[:4]}{len(str(value))}",
        "from_name": "tag",
        "to_name": "image",
        "type": kind,
        "origin": "manual",
    } | more


def annotation(*results, cancelled=False, at="2024-05-02T09:11:35.150000Z"):
    return {
        "id": 3,
        "completed_by": 1,
        "result": list(results),
        "was_cancelled": cancelled,
        "ground_truth": False,
        "created_at": at,
        "updated_at": at,
        "draft_created_at": None,
        "lead_time": 12.5,
        "prediction": {},
        "result_count": len(results),
        "unique_id": "0f7e9c0e-0e1c-4e33-9f6f-2f6f0e7b3d11",
        "import_id": None,
        "last_action": None,
        "task": 5,
        "project": 1,
        "updated_by": 1,
        "parent_prediction": None,
        "parent_annotation": None,
        "last_created_by": None,
    }


def task(*annotations, image="/data/upload/1/0a1b2c3d-front.jpg"):
    return {
        "id": 5,
        "annotations": list(annotations),
        "file_upload": image.rpartition("/")[2],
        "drafts": [],
        "predictions": [],
        "data": {"image": image},
        "meta": {},
        "created_at": "2024-05-02T09:10:00.000000Z",
        "updated_at": "2024-05-02T09:11:35.200000Z",
        "inner_id": 1,
        "total_annotations": len(annotations),
        "cancelled_annotations": 0,
        "total_predictions": 0,
        "comment_count": 0,
        "unresolved_comment_count": 0,
        "last_comment_updated_at": None,
        "project": 1,
        "updated_by": 1,
        "comment_authors": [],
    }


def only(*results):
    (photo,) = read_label_studio([task(annotation(*results))]).photos
    return photo


def test_a_brush_is_read():
    mask = np.zeros(SIZE, bool)
    mask[3:30, 8:9] = True
    value = {"format": "rle", "rle": brush_numbers(mask)}
    photo = only(result("brushlabels", value))
    assert photo.size == SIZE
    assert photo.shapes[0].label == "Right malar"
    assert np.array_equal(photo.shapes[0].draw(SIZE), mask)


def test_polygons_rectangles_and_ellipses_are_in_percent():
    photo = only(
        result("polygonlabels", {"points": [[10, 10], [50, 10], [50, 50], [10, 50]], "closed": True}),
        result("rectanglelabels", {"x": 10, "y": 10, "width": 40, "height": 40, "rotation": 0}),
        result("ellipselabels", {"x": 50, "y": 50, "radiusX": 40, "radiusY": 25, "rotation": 0}),
    )
    polygon, box, oval = (shape.draw(SIZE) for shape in photo.shapes)
    assert np.array_equal(polygon, box)
    assert box.sum() == 24 * 16
    assert box[4:20, 6:30].all()
    assert oval.sum() == pytest.approx(np.pi * 24 * 10, rel=0.02)


def test_a_rectangle_turns_about_its_first_corner():
    value = {"x": 50, "y": 25, "width": 25, "height": 10, "rotation": 90}
    mask = only(result("rectanglelabels", value)).shapes[0].draw(SIZE)
    assert mask[10:25, 26:30].all()
    assert mask.sum() == 60


def test_a_class_beside_the_shape_is_read():
    """Brush and Labels as two tags of the set-up: two results of one id."""
    mask = np.zeros(SIZE, bool)
    mask[:5] = True
    value = {"format": "rle", "rle": brush_numbers(mask)}
    shape = result("brush", value, id="x")
    shape["value"].pop("brush")
    photo = only(shape, result("labels", value, "chin", id="x"))
    assert [one.label for one in photo.shapes] == ["chin"]
    assert not photo.problem
    assert "region x has no class" in only(shape).problem


def test_choices_and_texts_are_passed_over():
    photo = only(
        result("rectanglelabels", {"x": 1, "y": 1, "width": 9, "height": 9}),
        {"type": "choices", "from_name": "q", "to_name": "image", "value": {"choices": ["good"]}, "id": "c"},
    )
    assert len(photo.shapes) == 1
    assert not photo.problem


def test_a_kind_that_is_not_read_is_a_problem_and_not_a_clear_face():
    photo = only(
        result("rectanglelabels", {"x": 1, "y": 1, "width": 9, "height": 9}),
        {
            **{"type": "bitmasklabels", "from_name": "b", "to_name": "image", "id": "m"},
            "value": {"imageDataURL": "data:image/png;base64,AAAA", "bitmasklabels": ["pigment"]},
        },
    )
    assert "region m is of type bitmasklabels, which is not read here" in photo.problem


def test_a_task_with_several_pictures_has_a_problem():
    box = {"x": 1, "y": 1, "width": 9, "height": 9}
    front, left = result("rectanglelabels", box), result("rectanglelabels", box)
    left["to_name"] = "left"
    assert "drawings on several pictures" in only(front, left).problem
    left["to_name"], left["item_index"] = front["to_name"], 1
    assert "drawings on several pictures" in only(front, left).problem


def test_cancelled_annotations_are_passed_over_and_the_last_is_taken():
    box = {"x": 1, "y": 1, "width": 9, "height": 9}
    export = read_label_studio(
        [
            task(
                annotation(result("rectanglelabels", box, "second"), at="2024-05-03"),
                annotation(result("rectanglelabels", box, "first"), at="2024-05-02"),
                annotation(result("rectanglelabels", box, "third"), at="2024-05-04", cancelled=True),
            )
        ]
    )
    assert [shape.label for shape in export.photos[0].shapes] == ["second"]
    assert export.remarks == ("/data/upload/1/0a1b2c3d-front.jpg was annotated 2 times; the last is taken.",)


def test_a_task_that_nobody_annotated_has_a_problem():
    export = read_label_studio([task(), task(annotation(cancelled=True))])
    assert {photo.problem for photo in export.photos} == {"has no annotation that was not cancelled"}


def test_a_photo_turned_in_the_tool_has_a_problem():
    photo = only(result("rectanglelabels", {"x": 1, "y": 1, "width": 9, "height": 9}, image_rotation=90))
    assert "was turned by 90 degrees while it was annotated" in photo.problem


def test_points_and_several_classes_are_problems():
    assert "no area" in only(result("keypointlabels", {"x": 1, "y": 1, "width": 0.3})).problem
    two = result("rectanglelabels", {"x": 1, "y": 1, "width": 9, "height": 9})
    two["value"]["rectanglelabels"] = ["chin", "nose"]
    assert "several classes" in only(two).problem


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ({"x": 1, "y": 1, "width": 9}, "no number, or lacks one"),
        ({"points": [[1, 2], [3]]}, "no number, or lacks one"),
        ({"points": [[1, 2], [3, 4]]}, "fewer than three"),
        ({"rle": "abc"}, "no list of numbers"),
    ],
)
def test_a_shape_that_is_none_is_told(value, sentence):
    with pytest.raises(ValueError, match=sentence):
        only(result("rectanglelabels", value)).shapes[0].draw(SIZE)


def test_the_short_form_is_refused(tmp_path):
    short = [{"image": "/data/upload/1/0a1b2c3d-front.jpg", "id": 5, "annotator": 1, "tag": []}]
    file = tmp_path / "min.json"
    file.write_text(json.dumps(short))
    with pytest.raises(DatasetError, match=r"JSON-MIN.* Export as JSON"):
        read_export(file)
