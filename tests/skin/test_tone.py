"""Tone of skin, against the reference implementation of CIE L*a*b*."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from masi_vision.photo import srgb_to_linear
from masi_vision.skin.tone import ita_deg, lab

colours = st.tuples(*[st.integers(0, 255)] * 3)


@given(colours)
def test_lab_agrees_with_scikit_image(colour):
    color = pytest.importorskip("skimage.color", reason="needs scikit-image, extra dev")
    ours = lab(srgb_to_linear(np.array([colour], np.uint8))[0])
    np.testing.assert_allclose(ours, color.rgb2lab(np.array(colour) / 255), atol=0.006)


@given(colours)
def test_the_typology_angle_agrees_with_scikit_image_lab(colour):
    color = pytest.importorskip("skimage.color", reason="needs scikit-image, extra dev")
    lightness, _, b = color.rgb2lab(np.array(colour) / 255)
    if np.hypot(lightness - 50, b) > 5:  # at mid grey the angle says nothing
        theirs = np.degrees(np.arctan2(lightness - 50, b))
        ours = ita_deg(lab(srgb_to_linear(np.array([colour], np.uint8))[0]))
        assert abs((ours - theirs + 180) % 360 - 180) < 0.3


def test_white_has_lightness_100_and_no_colour():
    np.testing.assert_allclose(lab([1.0, 1.0, 1.0]), [100, 0, 0], atol=1e-6)


def test_black_has_lightness_0():
    np.testing.assert_allclose(lab([0.0, 0.0, 0.0]), [0, 0, 0], atol=1e-9)


def test_a_whole_picture_is_converted_like_its_pixels():
    picture = np.random.default_rng(2).random((5, 4, 3))
    np.testing.assert_allclose(lab(picture)[3, 2], lab(picture[3, 2]))


@pytest.mark.parametrize(("colour", "angle"), [((60, 10, 10), 45), ((40, 10, 10), -45), ((70, 0, 20), 45)])
def test_the_typology_angle_is_that_of_lightness_over_yellow(colour, angle):
    assert ita_deg(colour) == pytest.approx(angle)


@given(st.floats(0.1, 0.6), st.floats(1.05, 3))
def test_skin_with_more_pigment_has_a_lower_typology_angle(level, factor):
    light = np.array([level, 0.7 * level, 0.55 * level])
    assert ita_deg(lab(light / factor)) < ita_deg(lab(light))
