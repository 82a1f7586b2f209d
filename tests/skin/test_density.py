"""Optical density: light drops out of differences, and melanin is told from redness as far as it can be."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from masi_vision.skin.density import HAEMOGLOBIN, MELANIN, SHADING, melanin_filter, optical_density

reflectances = st.tuples(*[st.floats(0.05, 0.9)] * 3)
gains = st.tuples(*[st.floats(0.3, 1.0)] * 3)


def rgb(values):
    return np.array(values, np.float32)


def test_skin_that_reflects_a_tenth_of_the_light_has_density_one():
    np.testing.assert_allclose(optical_density(rgb([0.1, 0.01, 1.0])), [1, 2, 0], atol=1e-6)


@given(reflectances, reflectances, gains)
def test_exposure_and_white_balance_leave_the_difference_of_two_densities_alone(lesion, normal, gain):
    plain = optical_density(rgb(lesion)) - optical_density(rgb(normal))
    under_other_light = optical_density(rgb(lesion) * rgb(gain)) - optical_density(rgb(normal) * rgb(gain))
    np.testing.assert_allclose(under_other_light, plain, atol=2e-6)


@given(reflectances, st.floats(1.01, 5))
def test_darker_skin_is_denser(reflectance, factor):
    assert (optical_density(rgb(reflectance) / np.float32(factor)) > optical_density(rgb(reflectance))).all()


def test_black_pixels_have_a_finite_density():
    np.testing.assert_allclose(optical_density(rgb([0, 1e-9, -1])), 3, atol=1e-6)


def test_one_unit_of_pigment_adds_one_unit_of_density_over_the_channels():
    for direction in (MELANIN, HAEMOGLOBIN, SHADING):
        assert direction.mean() == pytest.approx(1, abs=1e-6)


def test_pure_melanin_has_its_full_value():
    assert melanin_filter() @ MELANIN == pytest.approx(1, abs=1e-5)


def test_redness_and_shadow_of_the_same_density_count_less_than_melanin():
    redness, shadow = melanin_filter() @ HAEMOGLOBIN, melanin_filter() @ SHADING
    assert 0 <= redness < 0.70  # 0.64 as shipped: three channels tell it only in part
    assert 0 <= shadow < 0.90  # 0.87 as shipped: quick shadow is left to the map's own means
    assert redness < shadow


def test_the_filter_is_the_best_linear_guess_of_melanin_on_mixed_skin():
    """Least squares on skin drawn with the documented spreads gives the documented weights."""
    from masi_vision.skin import density

    spread = density._SPREAD_OD
    rng = np.random.default_rng(8)
    count = 400_000
    amounts = {name: rng.normal(0, spread[name], count) for name in ("melanin", "haemoglobin", "shading")}
    seen = sum(
        amount[:, None] * part
        for amount, part in zip(amounts.values(), (MELANIN, HAEMOGLOBIN, SHADING), strict=True)
    )
    seen = seen + rng.normal(0, spread["rest"], (count, 3))
    fitted, *_ = np.linalg.lstsq(seen, amounts["melanin"], rcond=None)
    np.testing.assert_allclose(melanin_filter(), fitted / (fitted @ MELANIN), atol=0.02)


def test_pixels_of_a_file_have_no_optical_density():
    with pytest.raises(ValueError, match=r"linear light in \[0, 1\], got uint8"):
        optical_density(np.full((2, 2, 3), 128, np.uint8))
