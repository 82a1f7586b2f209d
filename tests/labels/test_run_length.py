import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from masi_vision.labels.run_length import (
    brush_numbers,
    column_counts,
    counts_of,
    flat_mask,
    from_box_counts,
    from_brush,
    from_column_counts,
    packed,
    placed,
    unpacked,
)

MASKS = arrays(bool, st.tuples(st.integers(1, 20), st.integers(1, 20)))
# Written by label-studio-sdk 2.1.2 (brush) and pycocotools 2.0.11 (coco) of the masks in `rows`.
MADE_ELSEWHERE = json.loads(Path(__file__).with_name("made_elsewhere.json").read_text())


def mask_of(rows):
    return np.array([[pixel == "#" for pixel in row] for row in rows])


@pytest.mark.parametrize("made", MADE_ELSEWHERE, ids=lambda made: made["name"])
def test_what_the_tools_wrote_is_read(made):
    mask = mask_of(made["rows"])
    assert np.array_equal(from_brush(made["brush"], mask.shape), mask)
    assert np.array_equal(from_column_counts(unpacked(made["coco"]), mask.shape), mask)


@pytest.mark.parametrize("made", MADE_ELSEWHERE, ids=lambda made: made["name"])
def test_we_write_what_the_tools_write(made):
    mask = mask_of(made["rows"])
    assert packed(column_counts(mask)) == made["coco"]
    if "colour" not in made["name"]:
        assert len(brush_numbers(mask)) <= len(made["brush"])


@given(MASKS)
def test_a_brush_comes_back_as_it_was(mask):
    assert np.array_equal(from_brush(brush_numbers(mask), mask.shape), mask)


@given(MASKS)
def test_runs_come_back_as_they_were(mask):
    assert np.array_equal(from_column_counts(unpacked(packed(column_counts(mask))), mask.shape), mask)
    height, width = mask.shape
    there = from_box_counts(counts_of(mask), (2, 3, width, height), (height + 5, width + 5))
    assert np.array_equal(there[3 : 3 + height, 2 : 2 + width], mask)
    assert there.sum() == mask.sum()


@given(st.lists(st.integers(0, 10**9)))
def test_strings_hold_counts_of_any_size(counts):
    assert unpacked(packed(counts)) == counts


def test_a_long_run_is_split():
    mask = np.ones((400, 300), bool)
    mask[0, 0] = False
    numbers = brush_numbers(mask)
    assert np.array_equal(from_brush(numbers, mask.shape), mask)
    assert len(numbers) < 60


def test_single_values_of_a_brush_are_read():
    """Label Studio's own editor writes values one by one where they change."""
    values = [0, 0, 0, 0, 9, 8, 7, 255, 1, 1, 1, 0, 3, 3, 3, 128]
    bits = f"{len(values):032b}" + "00111" + "0010" + "0011" + "0111" + "1111"
    bits += "0" + "01" + f"{len(values) - 1:04b}" + "".join(f"{value:08b}" for value in values)
    bits += "0" * (-len(bits) % 8)
    numbers = [int(bits[n : n + 8], 2) for n in range(0, len(bits), 8)]
    assert from_brush(numbers, (2, 2)).tolist() == [[False, True], [False, True]]


@pytest.mark.parametrize(
    ("numbers", "sentence"),
    [
        ([0, 0, 0], "ends too early"),
        ([0, 0, 0, 16, 57, 27, 248], "ends too early"),
        ([0, 0, 3, 48, 57, 27], "brush of 204 pixels, expected 2 x 2"),
        ([0, 0, 0, 300], "no bytes"),
        (["a"], "no bytes"),
        ([0, 0, 0, 16, 255, 255, 255], "bits per value"),
    ],
)
def test_a_damaged_brush_is_refused(numbers, sentence):
    with pytest.raises(ValueError, match=sentence):
        from_brush(numbers, (2, 2))


def test_runs_that_do_not_fill_the_photo_are_refused():
    with pytest.raises(ValueError, match="runs of 5 pixels, expected 6"):
        flat_mask([2, 3], 6)
    with pytest.raises(ValueError, match="expected 6"):
        flat_mask([-2, 8], 6)
    with pytest.raises(ValueError, match="no number"):
        flat_mask(["x"], 6)
    with pytest.raises(ValueError, match="box of 99999 x 99999"):
        from_box_counts([1], (0, 0, 99999, 99999), (10, 10))


def test_a_string_of_other_letters_is_refused():
    with pytest.raises(ValueError, match="stands for nothing"):
        unpacked("0é")
    with pytest.raises(ValueError, match="end within a number"):
        unpacked("P")


def test_what_lies_beyond_the_photo_is_cut_off():
    part = np.ones((3, 3), bool)
    assert placed(part, -1, -2, (5, 5)).sum() == 2
    assert placed(part, 4, 4, (5, 5)).sum() == 1
    assert placed(part, 9, 9, (5, 5)).sum() == 0
    assert placed(part, -9, 0, (5, 5)).sum() == 0
