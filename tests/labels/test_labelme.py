import base64
import json

import numpy as np
import pytest

from masi_vision.errors import DatasetError
from masi_vision.labels.source import read_export

SIZE = (48, 64)


def shape(kind, points, label="chin", **more):
    return {
        "label": label,
        "points": points,
        "group_id": None,
        "description": "",
        "shape_type": kind,
        "flags": {},
        "mask": None,
    } | more


@pytest.fixture
def labelme(tmp_path):
    def write(*shapes, name="front.json", image="..\\photos\\front.jpg"):
        folder = tmp_path / "labels"
        folder.mkdir(exist_ok=True)
        content = {
            "version": "5.5.0",
            "flags": {},
            "shapes": list(shapes),
            "imagePath": image,
            "imageData": base64.b64encode(bytes(100)).decode(),
            "imageHeight": 48,
            "imageWidth": 64,
        }
        (folder / name).write_text(json.dumps(content))
        return folder

    return write


def masks_of(folder):
    (photo,) = read_export(folder).photos
    assert photo.size == SIZE
    return [one.draw(SIZE) for one in photo.shapes]


def test_polygon_rectangle_and_circle_are_read(labelme):
    polygon, box, circle = masks_of(
        labelme(
            shape("polygon", [[2, 2], [12, 2], [12, 8], [2, 8]]),
            shape("rectangle", [[30, 20], [20, 10]]),
            shape("circle", [[32, 24], [32, 34]]),
        )
    )
    assert polygon.sum() == 60
    assert box[10:20, 20:30].all()
    assert box.sum() == 100
    assert circle.sum() == pytest.approx(np.pi * 100, rel=0.02)


@pytest.mark.parametrize(
    ("name", "image", "told"),
    [
        ("A/V1/front.json", "front.jpg", "A/V1/front.jpg"),
        ("A/V1/front.json", "..\\..\\B\\V1\\front.jpg", "B/V1/front.jpg"),
        ("front.json", "../photos/front.jpg", "../photos/front.jpg"),
    ],
)
def test_a_photo_is_named_from_the_folder_of_its_file_on(labelme, name, image, told):
    folder = labelme()
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    content = json.loads((folder / "front.json").read_text()) | {"imagePath": image}
    (folder / "front.json").unlink()
    (folder / name).write_text(json.dumps(content))
    (photo,) = read_export(folder).photos
    assert photo.file == told


def test_a_mask_fills_its_box(labelme, png_text):
    part = np.array([[1, 0, 1], [0, 1, 0]], bool)
    (mask,) = masks_of(labelme(shape("mask", [[4.0, 5.0], [6.0, 6.0]], mask=png_text(part))))
    assert np.array_equal(mask[5:7, 4:7], part)
    assert mask.sum() == 3


def test_a_mask_of_another_size_or_too_large_is_refused(labelme, png_text):
    part = png_text(np.ones((9, 9)))
    (photo,) = read_export(
        labelme(
            shape("mask", [[4, 5], [6, 6]], mask=part),
            shape("mask", [[0, 0], [99999, 99999]], mask=part),
            shape("mask", [[4, 5], [6, 6]], mask="A" * 20_000),
            shape("mask", [[4, 5], [6, 6]], mask="no base 64"),
            shape("mask", [[4, 5], [6, 6]], mask=base64.b64encode(b"no png").decode()),
            shape("mask", [[4, 5], [6, 6]]),
            shape("linestrip", [[4, 5], [6, 6]]),
            shape("circle", [[4, 5]]),
            shape("polygon", [[4, 5], ["a", 6]]),
        )
    ).photos
    found = []
    for one in photo.shapes:
        with pytest.raises(ValueError) as caught:
            one.draw(SIZE)
        found.append(str(caught.value))
    expected = ["9 x 9 pixels, expected its box, 3 x 2", "100000 x 100000", "20000 letters"]
    expected += [
        "cannot be read",
        "cannot be read",
        "without box or picture",
        "no area",
        "1 points",
        "no pair",
    ]
    assert all(part in sentence for part, sentence in zip(expected, found, strict=True)), found


def test_a_file_that_is_none_is_told(labelme):
    folder = labelme(shape("polygon", [[2, 2], [12, 2], [12, 8]]))
    (folder / "damaged.json").write_text("{")
    export = read_export(folder)
    assert len(export.photos) == 1
    assert export.problems[0].startswith("damaged.json is no annotation of labelme")


def test_one_file_can_be_named(labelme):
    folder = labelme(shape("polygon", [[2, 2], [12, 2], [12, 8]]))
    assert read_export(folder / "front.json").kind == "labelme"


def test_other_files_are_refused(tmp_path):
    other = tmp_path / "other.json"
    other.write_text('{"hello": 1}')
    with pytest.raises(DatasetError, match=r"other.json holds no annotations .* Expected COCO"):
        read_export(other)
    with pytest.raises(DatasetError, match="cannot be read"):
        read_export(tmp_path / "nowhere.json")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="empty holds no annotations"):
        read_export(tmp_path / "empty")


def test_the_system_s_own_files_are_no_annotations(labelme):
    folder = labelme(shape("rectangle", [[30, 20], [20, 10]]))
    for name in ("._front.json", ".hidden.json", "__MACOSX/front.json"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"\x00\x05\x16\x07")
    export = read_export(folder)
    assert (len(export.photos), export.problems) == (1, ())


def test_a_photo_knows_the_file_that_it_was_read_from(labelme):
    (photo,) = read_export(labelme()).photos
    assert photo.annotation == "front.json"
