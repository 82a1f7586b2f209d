"""The sRGB curve, both ways."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from masi_vision.photo import linear_to_srgb8, srgb_to_linear


def test_black_white_and_middle_gray_decode_to_the_published_values():
    linear = srgb_to_linear(np.array([0, 10, 128, 255], np.uint8))
    assert linear.dtype == np.float32
    assert linear == pytest.approx([0, 10 / 255 / 12.92, 0.2158605, 1], abs=1e-6)


def test_16_bit_decodes_on_the_same_curve():
    codes = np.arange(256, dtype=np.uint8)
    assert srgb_to_linear(codes.astype(np.uint16) * 257) == pytest.approx(srgb_to_linear(codes), abs=1e-6)


def test_every_8_bit_level_survives_the_way_there_and_back():
    codes = np.arange(256, dtype=np.uint8)
    assert np.array_equal(linear_to_srgb8(srgb_to_linear(codes)), codes)


@given(st.floats(0, 1, width=32))
def test_encoding_agrees_with_the_formula(value):
    exact = 12.92 * value if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055
    encoded = linear_to_srgb8(np.array([value], np.float32))[0]
    assert abs(encoded - 255 * exact) <= 0.56  # half a level, and the width of one table step


def test_light_outside_the_range_is_clipped_and_nan_is_black():
    linear = np.array([-1, 1.5, 100, np.nan], np.float32)
    assert linear_to_srgb8(linear).tolist() == [0, 255, 255, 0]


@pytest.mark.parametrize("shape", [(4, 1), (5,), (2, 3, 3), (1, 4, 3), (0, 3, 3)])
def test_the_shape_is_kept(shape):
    codes = np.full(shape, 100, np.uint8)
    assert srgb_to_linear(codes).shape == shape
    assert np.array_equal(linear_to_srgb8(srgb_to_linear(codes)), codes)


def test_other_types_are_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match="srgb must be uint8 or uint16, got float32"):
        srgb_to_linear(np.zeros((2, 2, 3), np.float32))  # type: ignore[arg-type]
