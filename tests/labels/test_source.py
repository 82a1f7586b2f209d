"""Files that somebody altered: a sentence, never a crash."""

import copy
import json

import pytest

from masi_vision.errors import DatasetError
from masi_vision.labels.source import read_export

ODD = (None, -1, 1e400, 10**400, "x", [], [[]], {}, True)
SIZE = (48, 64)


def places(value, path=()):
    """The way to everything in a JSON value."""
    yield path
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*path, key))


def altered(content):
    for path in places(content):
        for odd in ODD:
            changed = copy.deepcopy(content)
            if not path:
                yield path, odd, odd
                continue
            inner = changed
            for key in path[:-1]:
                inner = inner[key]
            inner[path[-1]] = odd
            yield path, odd, changed


def coco():
    square, runs = [2, 2, 12, 2, 12, 8], {"size": [48, 64], "counts": [9, 3063]}
    return {
        "images": [{"id": 1, "width": 64, "height": 48, "file_name": "a.jpg"}],
        "categories": [{"id": 1, "name": "chin"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [square]},
            {"id": 2, "image_id": 1, "category_id": 1, "segmentation": runs},
        ],
    }


def label_studio():
    sides = {"original_width": 64, "original_height": 48, "image_rotation": 0}
    boxes = {"x": 1, "y": 1, "width": 9, "height": 9, "rotation": 0, "rectanglelabels": ["chin"]}
    brush = {"format": "rle", "rle": [0, 0, 48, 0, 57, 27], "brushlabels": ["chin"]}
    oval = {"x": 9, "y": 9, "radiusX": 3, "radiusY": 3, "ellipselabels": ["chin"]}
    corners = {"points": [[1, 1], [9, 1], [9, 9]], "polygonlabels": ["chin"]}
    values = (boxes, brush, oval, corners)
    result = [{"id": str(n), "type": "x", "value": value, **sides} for n, value in enumerate(values)]
    annotation = {"id": 1, "was_cancelled": False, "updated_at": "2024", "result": result}
    return [{"id": 1, "data": {"image": "a.jpg"}, "annotations": [annotation, {"result": []}]}]


def labelme():
    shapes = [
        {"label": "chin", "shape_type": "polygon", "points": [[1, 1], [9, 1], [9, 9]]},
        {"label": "chin", "shape_type": "circle", "points": [[9, 9], [9, 12]]},
        {"label": "chin", "shape_type": "rectangle", "points": [[1, 1], [9, 12]]},
        {"label": "chin", "shape_type": "mask", "points": [[1, 1], [2, 2]], "mask": "iVBORw0KGgo="},
    ]
    return {"shapes": shapes, "imagePath": "a.jpg", "imageHeight": 48, "imageWidth": 64}


@pytest.mark.parametrize("content", [coco(), label_studio(), labelme()], ids=["coco", "studio", "labelme"])
def test_an_altered_file_is_read_or_refused_in_a_sentence(tmp_path, content):
    file = tmp_path / "export.json"
    for path, odd, changed in altered(content):
        file.write_text(json.dumps(changed))
        try:
            drawn = [shape for photo in read_export(file).photos for shape in photo.shapes]
        except DatasetError:
            continue
        except Exception as error:
            raise AssertionError(f"{path} = {odd}: {error!r}") from error
        for shape in drawn:
            try:
                assert shape.draw(SIZE).shape == SIZE
            except ValueError:
                continue
            except Exception as error:
                raise AssertionError(f"{path} = {odd}: {error!r}") from error


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty"),
        ('{"images": [1, 2', "is no whole JSON (line 1, column 17"),
        ("null", "holds nothing"),
    ],
)
def test_a_file_cut_short_says_where(tmp_path, content, said):
    (tmp_path / "export.json").write_text(content)
    with pytest.raises(DatasetError) as caught:
        read_export(tmp_path / "export.json")
    assert f"export.json {said}" in str(caught.value)
