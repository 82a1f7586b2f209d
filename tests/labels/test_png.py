import numpy as np
import pytest
from PIL import Image

from masi_vision.labels.png import read_png_masks

SIZE = (48, 64)


@pytest.fixture
def masks(tmp_path):
    """Write pictures of codes; gives back their folder."""

    def write(**pictures):
        folder = tmp_path / "masks"
        folder.mkdir(exist_ok=True)
        for name, picture in pictures.items():
            image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
            image.save(folder / f"{name}.png")
        return folder

    return write


def codes(**squares):
    picture = np.zeros(SIZE, np.uint8)
    for number, code in enumerate(squares.values()):
        picture[5 * number : 5 * number + 4, 10:20] = code
    return picture


def classes_of(folder):
    return {photo.file: [shape.label for shape in photo.shapes] for photo in read_png_masks(folder).photos}


def test_codes_become_classes(masks):
    folder = masks(a=codes(one=1, three=3, nobody_knows=255), b_regions=codes(nose=5))
    assert classes_of(folder) == {"a": ["forehead", "left_malar", "unknown"], "b": ["nose"]}
    photo = next(photo for photo in read_png_masks(folder).photos if photo.file == "a")
    assert photo.size == SIZE
    assert photo.by_stem
    assert photo.shapes[1].draw(SIZE).sum() == 40


def test_codes_of_another_scheme_are_classes_to_be_mapped(masks):
    assert classes_of(masks(a=codes(theirs=11, other=200))) == {"a": ["code 11", "code 200"]}


def test_a_palette_is_read_as_its_numbers(masks):
    picture = Image.fromarray(codes(one=1, two=2))
    indexed = Image.new("P", picture.size)
    indexed.putdata(list(picture.tobytes()))
    indexed.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0] + [0] * 759)
    assert classes_of(masks(a=indexed)) == {"a": ["forehead", "right_malar"]}


def test_pigment_of_16_bits_is_kept_as_contrast(masks):
    contrast = codes().astype(np.uint16)
    contrast[3:5, 3:5] = 1200
    (photo,) = read_png_masks(masks(a_regions=codes(one=1), a_pigment=contrast)).photos
    assert photo.file == "a"
    assert np.array_equal(photo.density(), contrast)
    assert [shape.label for shape in photo.shapes] == ["forehead"]


def test_pigment_of_8_bits_is_clear_where_nothing_is_drawn(masks):
    (photo,) = read_png_masks(masks(a_pigment=codes())).photos
    assert photo.pigment_said
    assert photo.shapes == ()


def test_255_in_pigment_is_unknown_beside_1_and_a_question_without(masks):
    folder = masks(a_pigment=codes(yes=1, perhaps=255), b_pigment=codes(either=255))
    assert classes_of(folder) == {"a": ["pigment", "pigment_unknown"], "b": ["pigment 255"]}


def test_pictures_that_are_no_codes_are_problems(masks):
    folder = masks(
        a=np.zeros((*SIZE, 3), np.uint8), b=codes().astype(np.uint16), c=codes(one=1), c_pigment=codes()[:9]
    )
    (folder / "d.png").write_bytes(b"no picture")
    problems = {photo.file: photo.problem for photo in read_png_masks(folder).photos}
    assert "a.png is a picture in colours (RGB)" in problems["a"]
    assert "b.png has 16 bits" in problems["b"]
    assert problems["c"] == "has masks of two sizes"
    assert "d.png cannot be read as PNG" in problems["d"]


def test_two_masks_of_one_photo_are_told(masks):
    export = read_png_masks(masks(a=codes(one=1), a_regions=codes(two=2)))
    assert export.remarks == ("a_regions.png is the second mask of its photo; a.png is taken.",)
