"""Tone of skin, against the reference implementation of CIE L*a*b* and the published pairs of CIEDE2000."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from masi_vision.photo import srgb_to_linear
from masi_vision.skin.tone import delta_e00, ita_deg, lab

colours = st.tuples(*[st.integers(0, 255)] * 3)
lab_colours = st.tuples(st.floats(0, 100), st.floats(-100, 100), st.floats(-100, 100))

# L*, a*, b* of two colours and their CIEDE2000 difference: Sharma 2005, DOI 10.1002/col.20070, table 1. The
# first rows turn in the blue, those with -0.0010 and +0.0010 lie on either side of where the hue wraps.
SHARMA = np.array(
    [
        [50.0000, 2.6772, -79.7751, 50.0000, 0.0000, -82.7485, 2.0425],
        [50.0000, 3.1571, -77.2803, 50.0000, 0.0000, -82.7485, 2.8615],
        [50.0000, 2.8361, -74.0200, 50.0000, 0.0000, -82.7485, 3.4412],
        [50.0000, -1.3802, -84.2814, 50.0000, 0.0000, -82.7485, 1.0000],
        [50.0000, -1.1848, -84.8006, 50.0000, 0.0000, -82.7485, 1.0000],
        [50.0000, -0.9009, -85.5211, 50.0000, 0.0000, -82.7485, 1.0000],
        [50.0000, 0.0000, 0.0000, 50.0000, -1.0000, 2.0000, 2.3669],
        [50.0000, -1.0000, 2.0000, 50.0000, 0.0000, 0.0000, 2.3669],
        [50.0000, 2.4900, -0.0010, 50.0000, -2.4900, 0.0009, 7.1792],
        [50.0000, 2.4900, -0.0010, 50.0000, -2.4900, 0.0010, 7.1792],
        [50.0000, 2.4900, -0.0010, 50.0000, -2.4900, 0.0011, 7.2195],
        [50.0000, 2.4900, -0.0010, 50.0000, -2.4900, 0.0012, 7.2195],
        [50.0000, -0.0010, 2.4900, 50.0000, 0.0009, -2.4900, 4.8045],
        [50.0000, -0.0010, 2.4900, 50.0000, 0.0010, -2.4900, 4.8045],
        [50.0000, -0.0010, 2.4900, 50.0000, 0.0011, -2.4900, 4.7461],
        [50.0000, 2.5000, 0.0000, 50.0000, 0.0000, -2.5000, 4.3065],
        [50.0000, 2.5000, 0.0000, 73.0000, 25.0000, -18.0000, 27.1492],
        [50.0000, 2.5000, 0.0000, 61.0000, -5.0000, 29.0000, 22.8977],
        [50.0000, 2.5000, 0.0000, 56.0000, -27.0000, -3.0000, 31.9030],
        [50.0000, 2.5000, 0.0000, 58.0000, 24.0000, 15.0000, 19.4535],
        [50.0000, 2.5000, 0.0000, 50.0000, 3.1736, 0.5854, 1.0000],
        [50.0000, 2.5000, 0.0000, 50.0000, 3.2972, 0.0000, 1.0000],
        [50.0000, 2.5000, 0.0000, 50.0000, 1.8634, 0.5757, 1.0000],
        [50.0000, 2.5000, 0.0000, 50.0000, 3.2592, 0.3350, 1.0000],
        [60.2574, -34.0099, 36.2677, 60.4626, -34.1751, 39.4387, 1.2644],
        [63.0109, -31.0961, -5.8663, 62.8187, -29.7946, -4.0864, 1.2630],
        [61.2901, 3.7196, -5.3901, 61.4292, 2.2480, -4.9620, 1.8731],
        [35.0831, -44.1164, 3.7933, 35.0232, -40.0716, 1.5901, 1.8645],
        [22.7233, 20.0904, -46.6940, 23.0331, 14.9730, -42.5619, 2.0373],
        [36.4612, 47.8580, 18.3852, 36.2715, 50.5065, 21.2231, 1.4146],
        [90.8027, -2.0831, 1.4410, 91.1528, -1.6435, 0.0447, 1.4441],
        [90.9257, -0.5406, -0.9208, 88.6381, -0.8985, -0.7239, 1.5381],
        [6.7747, -0.2908, -2.4247, 5.8714, -0.0985, -2.2286, 0.6377],
        [2.0776, 0.0795, -1.1350, 0.9033, -0.0636, -0.5514, 0.9082],
    ]
)


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


@pytest.mark.parametrize("pair", SHARMA, ids=lambda pair: f"{pair[-1]}")
def test_the_difference_of_two_colours_is_the_published_one(pair):
    assert delta_e00(pair[:3], pair[3:6]) == pytest.approx(pair[6], abs=5e-5)


def test_many_differences_are_taken_like_each_one():
    together = delta_e00(SHARMA[:, :3].reshape(2, 17, 3), SHARMA[:, 3:6].reshape(2, 17, 3))
    np.testing.assert_allclose(together.reshape(-1), SHARMA[:, 6], atol=5e-5)


@given(lab_colours, lab_colours)
def test_the_difference_does_not_ask_which_colour_comes_first(one, other):
    assert delta_e00(one, other) == pytest.approx(delta_e00(other, one), abs=1e-9)
    assert delta_e00(one, one) == 0
