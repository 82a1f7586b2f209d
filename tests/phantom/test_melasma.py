"""Planted melasma: where it lies, how dark it is, and that its truth is what was planted."""

from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from masi_vision.phantom.capture import Capture, draw_capture, taken
from masi_vision.phantom.colour import colour_from_depth, colour_from_lab_shift, density_for_delta_l
from masi_vision.phantom.distractor import Distractor, distraction
from masi_vision.phantom.melasma import Melasma, draw_melasma, no_melasma, region_truth
from masi_vision.phantom.pattern import Distribution, HeldOutPattern, Pattern, membership, places

SHAPE = (224, 192)
LIGHT, DARK = np.array([0.55, 0.33, 0.24], np.float32), np.array([0.12, 0.06, 0.035], np.float32)
PATTERNS = (*get_args(Pattern), *get_args(HeldOutPattern))


def drawn(pattern="confluent", distribution="malar", seed=1, density=0.1, symmetric=True):
    rng = np.random.default_rng(seed)
    colour = colour_from_depth(0.3)
    return draw_melasma(SHAPE, distribution, pattern, colour, density, rng, symmetric=symmetric)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_pattern_plants_something_within_bounds(pattern):
    areas = []
    for seed in range(8):
        melasma = drawn(pattern, seed=seed)
        areas.append(melasma.lesion.mean())
        assert melasma.density_od.max() < 0.1 * 1.8
        assert (melasma.density_od[melasma.lesion] > 0).all()
        outside = melasma.density_od[~melasma.lesion]
        assert np.median(outside) < 0.5 * np.median(melasma.density_od[melasma.lesion], axis=0)
    assert np.median(areas) > 0.005
    assert max(areas) < 0.8


@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_same_seed_plants_the_same_and_another_seed_another(pattern):
    np.testing.assert_array_equal(drawn(pattern, seed=3).density_od, drawn(pattern, seed=3).density_od)
    assert (drawn(pattern, seed=3).lesion != drawn(pattern, seed=4).lesion).any()


def test_mandibular_melasma_lies_below_malar_melasma():
    def height(distribution):
        rows = [np.nonzero(drawn(distribution=distribution, seed=seed).lesion)[0] for seed in range(12)]
        return np.concatenate(rows).mean()

    assert height("mandibular") > height("malar") + 0.1 * SHAPE[0]


def test_symmetric_melasma_lies_on_both_sides_and_the_other_sometimes_on_one():
    def balance(symmetric):
        shares = []
        for seed in range(80):
            lesion = drawn(seed=seed, symmetric=symmetric).lesion
            right = lesion[:, : SHAPE[1] // 2].sum()
            shares.append(abs(right / max(1, lesion.sum()) - 0.5))
        return np.mean(shares)

    assert balance(True) < 0.7 * balance(False)


@given(st.sampled_from(get_args(Distribution)), st.integers(0, 10_000), st.booleans())
def test_there_is_always_a_place(distribution, seed, symmetric):
    found = places(distribution, np.random.default_rng(seed), symmetric=symmetric)
    assert found
    assert all(place.radius_x > 0 and place.radius_y > 0 and 0 < place.strength <= 1 for place in found)


def test_without_a_place_nothing_is_inside():
    inside, strength = membership(SHAPE, [], "confluent", np.random.default_rng(0))
    assert inside.max() < 1e-3
    assert np.isfinite(strength).all()


@given(st.integers(0, 10_000), st.sampled_from([LIGHT, DARK]))
def test_pigment_is_brown_or_grey_and_takes_light_from_every_channel(seed, skin):
    colour = colour_from_lab_shift(skin, np.random.default_rng(seed))
    assert colour.mean() == pytest.approx(1, abs=1e-3)
    assert colour.min() > 0.15
    assert colour[0] < 1.25  # never bluer than grey


def test_deeper_pigment_is_greyer():
    spread = [np.ptp(colour_from_depth(depth)) for depth in (0, 0.3, 0.6, 0.9)]
    assert spread == sorted(spread, reverse=True)


@pytest.mark.parametrize("skin", [LIGHT, DARK])
@pytest.mark.parametrize("delta_l", [3.0, 6.0, 12.0])
def test_the_asked_drop_in_lightness_is_what_the_skin_shows(skin, delta_l):
    rgb2lab = pytest.importorskip("skimage.color", reason="needs scikit-image, extra dev").rgb2lab

    colour = colour_from_depth(0.4)
    after = skin * 10 ** (-density_for_delta_l(skin, colour, delta_l) * colour)
    coded = [np.where(c <= 0.0031308, 12.92 * c, 1.055 * c ** (1 / 2.4) - 0.055) for c in (skin, after)]
    before_l, after_l = (rgb2lab(c.reshape(1, 1, 3))[0, 0, 0] for c in coded)
    assert before_l - after_l == pytest.approx(delta_l, abs=0.1)


def test_the_truth_of_a_region_counts_its_own_skin_alone():
    density = np.zeros((10, 10), np.float32)
    density[:4, :5] = 0.2
    melasma = Melasma(density, density > 0, np.ones(3, np.float32))
    upper, lower = np.zeros((10, 10), bool), np.zeros((10, 10), bool)
    upper[:5], lower[5:] = True, True
    flat = np.ones((10, 10), np.float32)
    truth = region_truth(melasma, upper, flat)
    assert (truth.pigmented_fraction, truth.contrast_od) == pytest.approx((0.4, 0.2))
    assert truth.amount_od == pytest.approx(0.08)
    assert region_truth(melasma, lower, flat) == region_truth(no_melasma((10, 10)), lower, flat)
    with pytest.raises(ValueError, match="visible skin"):
        region_truth(melasma, np.zeros((10, 10), bool), flat)


def test_the_truth_of_a_region_is_of_skin_and_not_of_pixels():
    density = np.zeros((10, 10), np.float32)
    density[:, 5:] = 0.2
    area = np.ones((10, 10), np.float32)
    area[:, 5:] = 3
    truth = region_truth(Melasma(density, density > 0, np.ones(3, np.float32)), np.ones((10, 10), bool), area)
    assert (truth.pigmented_fraction, truth.amount_od) == pytest.approx((0.75, 0.15))


def test_treatment_leaves_its_share_and_what_is_nearly_gone_is_no_lesion():
    before = drawn()
    remaining = np.where(np.arange(SHAPE[1]) < SHAPE[1] // 2, 0.5, 0.2) * np.ones((SHAPE[0], 1))
    after = before.after_treatment(remaining.astype(np.float32))
    np.testing.assert_allclose(after.density_od, before.density_od * remaining, rtol=1e-5)
    half = SHAPE[1] // 2
    np.testing.assert_array_equal(after.lesion[:, :half], before.lesion[:, :half])
    assert not after.lesion[:, half:].any()


def test_negative_pigment_is_refused():
    with pytest.raises(ValueError, match="must not be negative"):
        Melasma(np.full((2, 2), -0.1, np.float32), np.zeros((2, 2), bool), np.ones(3, np.float32))


@pytest.mark.parametrize("kind", get_args(Distractor))
def test_a_distractor_changes_the_face_and_leaves_it_a_face(kind):
    skin = np.full((*SHAPE, 3), LIGHT, np.float32)
    changed = [distraction(kind, SHAPE, np.random.default_rng(seed)).laid_on(skin) for seed in range(6)]
    assert max(np.abs(one - skin).max() for one in changed) > 0.005
    for one in changed:
        assert np.isfinite(one).all()
        assert one.min() > 0
        assert 0.4 < np.median(one) / np.median(skin) < 2


def test_redness_takes_green_and_blue_and_little_red():
    taken_od = distraction("redness", SHAPE, np.random.default_rng(2)).taken_od.sum(axis=(0, 1))
    assert taken_od[0] < 0.35 * taken_od[1]


def test_a_plain_capture_is_the_picture_itself():
    ramp = np.linspace(0, 1, 256, dtype=np.float32)[None, :, None].repeat(3, axis=2)
    codes = np.where(ramp <= 0.0031308, 12.92 * ramp, 1.055 * ramp ** (1 / 2.4) - 0.055)
    picture = taken(ramp, Capture(), np.random.default_rng(0))
    np.testing.assert_array_equal(picture, np.rint(255 * codes).astype(np.uint8))


def test_a_capture_has_the_asked_size_and_another_light():
    skin = np.full((100, 80, 3), LIGHT, np.float32)
    small = taken(skin, Capture(scale=0.5, exposure=0.7, jpeg_quality=80), np.random.default_rng(0))
    assert small.shape == (50, 40, 3)
    assert small.mean() < taken(skin, Capture(), np.random.default_rng(0)).mean() - 20
    for seed in range(20):
        rng = np.random.default_rng(seed)
        picture = taken(skin, draw_capture(rng), rng)
        assert picture.dtype == np.uint8
        assert 60 < picture.mean() < 230
    with pytest.raises(ValueError, match="above 0"):
        Capture(exposure=0)


@given(st.floats(0.4, 1), st.floats(-20, 20), st.floats(-6, 6))
def test_a_point_of_the_scene_is_found_where_the_capture_says(scale, turn, shift):
    """A bright spot: its centre of mass in the picture lies where `placed` puts it."""
    scene = np.full((160, 120, 3), 0.05, np.float32)
    scene[60:66, 70:76] = 1.0
    capture = Capture(scale=scale, turn_deg=turn, shift_px=(shift, -shift))
    picture = taken(scene, capture, np.random.default_rng(0)).astype(float).mean(axis=2)
    light = ((picture / 255 + 0.055) / 1.055) ** 2.4 - 0.05
    light = np.where(light > 0.04, light, 0)
    rows, columns = np.mgrid[0 : picture.shape[0], 0 : picture.shape[1]]
    found = np.array([(light * columns).sum(), (light * rows).sum()]) / light.sum()
    way = capture.placed(scene.shape)
    expected = way[:, :2] @ (72.5, 62.5) + way[:, 2]
    np.testing.assert_allclose(found, expected, atol=0.25)
