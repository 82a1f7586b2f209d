"""The pigment map by rules on skin drawn here: what is pigment comes back, light or redness is left out."""

from dataclasses import replace
from functools import partial

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from masi_vision.pigment.interval import Band, MeasureError
from masi_vision.pigment.measure import measure_region
from masi_vision.pigment.rules import map_by_rules

HEIGHT, WIDTH, FACE_PX = 224, 192, 165.0
LIGHT, DARK = (0.45, 0.28, 0.20), (0.12, 0.062, 0.036)
BROWN = np.array([0.72, 1.02, 1.26], np.float32)  # what pigment takes from red, green and blue
RED = np.array([0.36, 1.40, 1.24], np.float32)  # what blood takes
THRESHOLD_OD = 0.03
rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
FACE = np.hypot((columns - 96) / 82, (rows - 112) / 100) < 1


def patch(x=62, y=130, radius=24):
    """One soft-edged patch of the cheek, 0 to 1, and where it is more than half."""
    away = np.hypot(columns - x, rows - y)
    return (1 / (1 + np.exp(np.clip((away - radius) / 1.5, -50, 50)))).astype(np.float32)


def face(density=0.0, *, skin=LIGHT, colour=BROWN, grain=0.003):
    """Linear RGB of even skin with pores, under a density of one colour."""
    noise = np.random.default_rng(1).normal(0, grain, (HEIGHT, WIDTH, 1))
    density = np.broadcast_to(density, (HEIGHT, WIDTH))[..., None] * colour
    return (np.array(skin) * 10 ** -(density + noise)).astype(np.float32)


by_rules = partial(map_by_rules, shading_scale_fraction=0.25, detection_threshold_od=THRESHOLD_OD)


def pigment_of(picture, skin=FACE, width=FACE_PX):
    return by_rules(picture, skin.astype(np.uint8), face_width_px=width)


def measured(pigment, region=FACE):
    exact = MeasureError(Band((0.0,), (0.0,), (0.0,)), Band((0.0,), (0.0,), (0.0,)), 1.0)
    area = np.ones(region.shape, np.float32)
    return measure_region(pigment, region, whole=region, area=area, error=exact)


@settings(max_examples=20, deadline=None)
@given(st.tuples(*[st.floats(0.4, 1.6)] * 3))
def test_gain_and_white_balance_leave_the_map_alone(gain):
    picture = face(0.1 * patch())
    other_light = picture * np.array(gain, np.float32)
    np.testing.assert_allclose(pigment_of(other_light).density_od, pigment_of(picture).density_od, atol=2e-4)


@pytest.mark.parametrize("skin", [LIGHT, DARK])
def test_even_skin_has_no_pigment(skin):
    assert measured(pigment_of(face(skin=skin))).pigmented_fraction == 0


@pytest.mark.parametrize("skin", [LIGHT, DARK])
@pytest.mark.parametrize("angle", [0, 45, 90, 200])
def test_light_from_one_side_is_hardly_pigment(skin, angle):
    across = np.cos(np.deg2rad(angle)) * (columns - 96) + np.sin(np.deg2rad(angle)) * (rows - 112)
    light = 10 ** (0.2 * across / FACE_PX)  # a factor of 1.6 from side to side
    found = measured(pigment_of(face(skin=skin) * light[..., None].astype(np.float32)))
    assert found.pigmented_fraction < 0.01


@pytest.mark.parametrize("skin", [LIGHT, DARK])
def test_a_planted_patch_comes_back_with_its_area(skin):
    density = 0.15 * patch()
    found = pigment_of(face(density, skin=skin))
    truth = (density > 0.5 * 0.15)[FACE].mean()
    back = (found.density_od > 0.5 * found.density_od[patch() > 0.99].mean())[FACE].mean()
    assert back == pytest.approx(truth, rel=0.25)


def test_a_planted_patch_comes_back_where_it_was_planted():
    found = pigment_of(face(0.15 * patch())).density_od > THRESHOLD_OD
    truth = patch() > 0.5
    assert (found & truth).sum() / (found | truth).sum() > 0.75


def test_a_patch_keeps_its_side():
    found = pigment_of(face(0.15 * patch(x=62))).density_od
    assert found[:, :96].sum() > 5 * found[:, 96:].sum()


def test_what_all_of_a_face_varies_by_is_no_lesion():
    """Squares darker and lighter than their mean by more than the threshold, from ear to ear."""
    squares = np.where((rows // 12 + columns // 12) % 2, 0.05, -0.05).astype(np.float32)
    found = pigment_of(face(squares))
    assert (found.density_od > THRESHOLD_OD)[FACE].mean() > 0.25
    assert found.lesion[FACE].mean() < 0.01


def test_redness_counts_less_than_pigment_of_the_same_density():
    brown, red = (pigment_of(face(0.12 * patch(), colour=c)).density_od.sum() for c in (BROWN, RED))
    assert red < 0.75 * brown


@settings(max_examples=15, deadline=None)
@given(st.floats(0.03, 0.15), st.floats(1.05, 2))  # as dark as melasma is
def test_a_darker_patch_is_never_measured_lighter_or_smaller(density, factor):
    lighter, darker = (measured(pigment_of(face(d * patch()))) for d in (density, factor * density))
    assert darker.contrast_od >= lighter.contrast_od
    assert darker.pigmented_fraction >= lighter.pigmented_fraction


def test_twice_the_pixels_give_the_same_pigmented_fraction():
    picture = face(0.12 * patch())
    twice = cv2.resize(picture, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
    skin = cv2.resize(FACE.astype(np.uint8), None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST) > 0
    small = measured(pigment_of(picture))
    large = measured(pigment_of(twice, skin, 2 * FACE_PX), skin)
    assert large.pigmented_fraction == pytest.approx(small.pigmented_fraction, abs=0.003)
    assert large.contrast_od == pytest.approx(small.contrast_od, rel=0.05)


@pytest.mark.parametrize("outside", [0.0, 0.004, 1.0])
def test_hair_and_background_have_no_influence(outside):
    picture = face(0.12 * patch())
    with_hair = np.where(FACE[..., None], picture, np.float32(outside))
    plain, other = pigment_of(picture), pigment_of(with_hair)
    np.testing.assert_allclose(other.density_od, plain.density_od, atol=1e-5)
    np.testing.assert_allclose(other.normal_rgb[FACE], plain.normal_rgb[FACE], rtol=1e-4)


def test_there_is_no_pigment_off_the_skin():
    assert not pigment_of(face(0.3 * patch(x=20, y=20))).density_od[~FACE].any()


def test_a_mirrored_face_has_the_mirrored_map():
    picture = face(0.12 * patch())
    mirrored = pigment_of(picture[:, ::-1].copy(), FACE[:, ::-1].copy())
    np.testing.assert_allclose(mirrored.density_od[:, ::-1], pigment_of(picture).density_od, atol=2e-4)


def test_normal_skin_under_a_patch_is_lighter_than_the_patch():
    picture = face(0.15 * patch())
    assert (pigment_of(picture).normal_rgb > picture)[patch() > 0.9].all()


def test_a_face_without_visible_skin_has_an_empty_map():
    found = pigment_of(face(0.1), np.zeros_like(FACE))
    assert not found.density_od.any()
    assert np.isfinite(found.normal_rgb).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.01])
def test_a_map_without_numbers_is_refused(value):
    good = pigment_of(face())
    density = good.density_od.copy()
    density[3, 3] = value
    with pytest.raises(ValueError, match="density_od must be finite and not negative"):
        replace(good, density_od=density)


def test_maps_of_two_sizes_are_refused():
    good = pigment_of(face())
    with pytest.raises(ValueError, match="must have one height and width"):
        replace(good, skin=good.skin[1:])


def test_a_region_is_compared_with_its_own_normal_skin():
    """Foreheads are often tanned: a region that is darker as a whole is no pigment."""
    codes = np.where(rows < 80, 1, 2) * FACE
    darker_forehead = 0.04 * (rows < 80).astype(np.float32)
    found = by_rules(face(darker_forehead), codes.astype(np.uint8), face_width_px=FACE_PX)
    inner = FACE & (np.abs(rows - 80) > 16)
    assert np.mean(found.density_od[inner] > THRESHOLD_OD) < 0.01
