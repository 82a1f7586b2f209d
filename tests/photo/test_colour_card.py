"""The colour card: found any way round, applied only if all of it says the same."""

from dataclasses import replace

import cv2
import cv2.mcc
import numpy as np
import pytest
from checker import CARD_SRGB, photograph
from hypothesis import given, settings
from hypothesis import strategies as st

from masi_vision.config import load_settings
from masi_vision.photo.colour_card import PATCHES, Card, find_card, reference_linear_srgb
from masi_vision.photo.colour_correction import (
    Correction,
    Refusal,
    card_drift,
    corrected,
    fit_correction,
)
from masi_vision.skin.tone import delta_e00, lab

# What benchmarks/colour_card.py was run with; docs/colour.md says why.
LIMITS = load_settings().quality.colour_card

TRUE_LINEAR = ((CARD_SRGB / 255 + 0.055) / 1.055) ** 2.4
IN_GAMUT = np.array([name not in ("cyan", "yellow") for name in PATCHES])
SKINS = np.array([[0.62, 0.42, 0.33], [0.40, 0.24, 0.17], [0.14, 0.07, 0.045]])
A_CAMERA = np.array([[0.75, 0.12, 0.02], [0.06, 0.70, 0.08], [0.02, 0.12, 0.52]])


def read(linear, *, spread=0.5, clipped=0.0, mirrored=False, patch_px=40):
    """A card as if its patches had been read so."""
    corners = np.array([[0, 0], [6, 0], [6, 4], [0, 4]]) * float(patch_px)
    return Card(corners, np.array(linear), np.full(24, spread), np.full(24, clipped), mirrored)


def taken(linear, *, exposure=1.0, tone=1.0):
    """Readings of a camera with crosstalk, a cast and perhaps a tone curve."""
    return np.clip(exposure * linear @ A_CAMERA.T, 0, None) ** tone


def fitted(card, limits=LIMITS) -> Correction:
    result = fit_correction(card, limits)
    assert isinstance(result, Correction), result
    return result


def refused(card, limits=LIMITS) -> Refusal:
    result = fit_correction(card, limits)
    assert isinstance(result, Refusal)
    return result


def test_the_reference_is_that_of_colour_science():
    ours, theirs = reference_linear_srgb()[IN_GAMUT], TRUE_LINEAR[IN_GAMUT]
    assert delta_e00(lab(ours), lab(theirs)).max() < 0.6  # 8 bits round as much
    assert reference_linear_srgb()[PATCHES.index("cyan"), 0] < 0


@pytest.mark.parametrize("turn_deg", [0, 37, 90, 180, -90, -120])
def test_a_card_is_read_in_order_whichever_way_it_lies(turn_deg):
    card = find_card(photograph(CARD_SRGB, turn_deg=turn_deg))
    assert card is not None and not card.mirrored
    np.testing.assert_allclose(card.linear_rgb[IN_GAMUT], TRUE_LINEAR[IN_GAMUT], atol=0.01)
    assert card.spread_delta_e00.max() < 0.5
    assert card.patch_px == pytest.approx(40, rel=0.08)
    assert isinstance(fit_correction(card, LIMITS), Correction)


def test_of_two_cards_nobody_says_which_one_counts():
    """The second may lie in the light of a window: the skin would turn blue with a trusted card."""
    one = photograph(CARD_SRGB)
    warm = (one * np.array([1.0, 0.8, 0.5])).astype(np.uint8)
    card = find_card(np.hstack([one, warm]))
    assert card is not None and card.several
    assert refused(card).reason == "several"
    assert not find_card(one).several


def test_a_card_that_is_small_in_a_large_photograph_is_read_at_full_size():
    pixels = photograph(CARD_SRGB, patch_px=30, size=(3200, 2400))
    card = find_card(pixels)
    assert card is not None
    assert card.patch_px == pytest.approx(30, rel=0.1)
    np.testing.assert_allclose(card.corners_px.mean(axis=0), [1599.5, 1199.5], atol=3)
    assert delta_e00(lab(card.linear_rgb), lab(TRUE_LINEAR))[IN_GAMUT].max() < 1


def test_a_card_is_found_at_full_size_where_opencv_fails_on_the_small_picture(monkeypatch):
    real, seen = cv2.mcc.CCheckerDetector.create, []

    class Failing:
        """The detector of OpenCV 5.0.0, whose assertions fail on some ordinary pictures."""

        def __init__(self):
            self.detector = real()
            self.setColorChartType = self.detector.setColorChartType
            self.getListColorChecker = self.detector.getListColorChecker

        def process(self, picture, nc):
            seen.append(picture.shape[1])
            if len(seen) == 1:
                raise cv2.error("assertion failed")
            return self.detector.process(picture, nc=nc)

    monkeypatch.setattr(cv2.mcc.CCheckerDetector, "create", Failing)
    assert find_card(photograph(CARD_SRGB, patch_px=80, size=(1800, 1200))) is not None
    assert seen[:2] == [1600, 1800]


def test_16_bits_read_like_8():
    pixels = photograph(CARD_SRGB, turn_deg=20)
    eight, sixteen = find_card(pixels), find_card(pixels.astype(np.uint16) * 257)
    assert eight is not None and sixteen is not None
    np.testing.assert_allclose(eight.linear_rgb, sixteen.linear_rgb, atol=1e-6)
    np.testing.assert_allclose(eight.clipped_fraction, sixteen.clipped_fraction)


def test_a_photograph_without_a_card_has_none():
    noise = np.random.default_rng(3).integers(0, 256, (400, 300, 3), np.uint8)
    smooth = cv2.GaussianBlur(noise, (0, 0), 9)
    assert find_card(smooth) is None


def test_a_mirrored_card_is_refused():
    card = find_card(photograph(CARD_SRGB, mirrored=True))
    assert card is None or refused(card).reason == "mirrored"
    refusal = refused(read(TRUE_LINEAR, mirrored=True))
    assert refusal.message.startswith("The colour card is mirrored. Expected")


def test_a_hand_over_the_card_is_refused():
    pixels = photograph(CARD_SRGB)
    cv2.ellipse(pixels, ((430, 300), (150, 110), 20.0), (190, 140, 120), -1)
    card = find_card(pixels)
    assert card is not None
    refusal = refused(card)
    assert refusal.reason == "covered"
    assert "is not of one colour at" in refusal.message and "Keep fingers" in refusal.message


def test_a_shadow_edge_over_the_card_is_refused():
    light = np.ones((500, 700, 1))
    light[:, 370:] = 0.6
    card = find_card((photograph(CARD_SRGB) * light ** (1 / 2.4)).astype(np.uint8))
    assert card is not None
    assert refused(card).reason in ("covered", "uneven_light", "not_this_card")


def test_colours_in_another_order_are_refused():
    card = find_card(photograph(np.random.default_rng(5).permutation(CARD_SRGB)))
    assert card is None or isinstance(fit_correction(card, LIMITS), Refusal)


def test_cast_and_crosstalk_are_undone_on_skin():
    correction = fitted(read(taken(reference_linear_srgb())))
    seen = corrected(taken(SKINS).astype(np.float32), correction)
    assert delta_e00(lab(SKINS), lab(taken(SKINS))).min() > 3
    assert delta_e00(lab(SKINS), lab(seen)).max() < 0.7
    assert correction.delta_e00_before.mean() > 5 > 0.7 > correction.delta_e00_after.mean()


@settings(max_examples=25)
@given(st.floats(0.3, 1.3), st.tuples(*[st.floats(0.6, 1.4)] * 3))
def test_exposure_and_white_balance_leave_corrected_colours_alone(exposure, balance):
    plain, other = taken(TRUE_LINEAR), taken(TRUE_LINEAR, exposure=exposure) * balance
    skin, other_skin = taken(SKINS), taken(SKINS, exposure=exposure) * balance
    seen = corrected(skin.astype(np.float32), fitted(read(plain)))
    again = corrected(other_skin.astype(np.float32), fitted(read(other)))
    np.testing.assert_allclose(seen, again, atol=2e-4)


@pytest.mark.parametrize("tone", [0.85, 1.0, 1.15])
def test_a_cameras_tone_curve_is_found(tone):
    correction = fitted(read(taken(reference_linear_srgb(), tone=tone)))
    assert correction.exponent == pytest.approx(1 / tone, abs=0.02)
    seen = corrected(taken(SKINS, tone=tone).astype(np.float32), correction)
    assert delta_e00(lab(SKINS), lab(seen)).max() < 0.7


def test_a_strong_tone_curve_is_refused():
    refusal = refused(read(taken(TRUE_LINEAR, tone=1.4)))
    assert refusal.reason == "tone"
    assert "Expected within 0.25 of 1" in refusal.message


def falling_light(share):
    across = np.tile(np.linspace(-5 / 12, 5 / 12, 6), 4)
    return np.exp(np.log1p(share) * across)[:, None]


def test_light_that_falls_off_evenly_over_the_card_leaves_the_matrix_alone():
    even, falling = fitted(read(taken(TRUE_LINEAR))), fitted(read(taken(TRUE_LINEAR) * falling_light(0.1)))
    assert falling.light_change - even.light_change == pytest.approx([np.log(1.1), 0], abs=1e-3)
    np.testing.assert_allclose(falling.matrix, even.matrix, atol=0.01)


def test_light_that_falls_off_too_much_is_refused():
    refusal = refused(read(taken(TRUE_LINEAR) * falling_light(0.3)))
    assert refusal.reason == "uneven_light"
    assert "Hold the card beside the face" in refusal.message


@pytest.mark.parametrize("patch", [0, 7, 13, 21])
def test_one_wrong_patch_spoils_the_card(patch):
    readings = taken(TRUE_LINEAR)
    readings[patch] = readings[(patch + 5) % 24]
    refusal = refused(read(readings))
    assert refusal.reason == "not_this_card"
    assert PATCHES[patch] in refusal.message


def test_a_wrong_patch_is_seen_also_where_it_is_clipped():
    readings = np.minimum(taken(TRUE_LINEAR), 1)
    patch = PATCHES.index("blue")
    readings[patch] = 1.0
    card = read(readings)
    clipped = np.where(np.arange(24) == patch, 1.0, 0.0)
    assert refused(replace(card, clipped_fraction=clipped)).reason == "not_this_card"


def test_clipped_patches_are_left_out_and_agree_with_the_others():
    exposed = np.minimum(taken(reference_linear_srgb(), exposure=1.7), 1)
    full = (exposed >= 1).any(axis=1)
    assert full.any()
    limits = LIMITS.model_copy(update={"min_greys": 4})
    correction = fitted(replace(read(exposed), clipped_fraction=full.astype(float)), limits)
    assert not correction.usable[full].any()
    assert correction.delta_e00_after.max() < 2


def test_overexposure_is_refused():
    exposed = np.minimum(taken(TRUE_LINEAR, exposure=1.7), 1)
    full = (exposed >= 1).any(axis=1)
    refusal = refused(replace(read(exposed), clipped_fraction=full.astype(float)))
    assert refusal.reason == "clipped"
    assert "white" in refusal.message and "shorter exposure" in refusal.message


def test_a_stained_grey_row_is_refused():
    readings = taken(reference_linear_srgb())
    readings[PATCHES.index("neutral 8")] *= [1.08, 1.0, 0.9]
    generous = LIMITS.model_copy(
        update={"max_mean_delta_e00": 9, "max_patch_delta_e00": 9, "max_left_out_delta_e00": 9}
    )
    refusal = refused(read(readings), generous)
    assert refusal.reason == "grey_row"
    assert "Light the card by one kind of lamp only" in refusal.message


def test_a_card_too_small_to_read_is_refused():
    refusal = refused(read(taken(TRUE_LINEAR), patch_px=7))
    assert refusal.reason == "too_small"
    assert "are 7 px wide. Expected at least 10 px" in refusal.message


def test_nothing_is_clipped_by_correction_and_the_shape_is_kept():
    correction = fitted(read(taken(reference_linear_srgb())))
    picture = np.zeros((2, 5, 3), np.float32)
    picture[0, 0] = [1, 0, 0]
    picture[1, 4] = [1.5, 1.5, 1.5]
    seen = corrected(picture, correction)
    assert seen.shape == picture.shape and seen.dtype == np.float32
    assert seen.min() < 0 and seen.max() > 1
    assert corrected(picture[0, 0], correction).shape == (3,)


def test_drift_is_nothing_between_equal_photographs_and_counts_exposure():
    baseline, darker = fitted(read(taken(TRUE_LINEAR))), fitted(read(taken(TRUE_LINEAR, exposure=0.8)))
    same, moved = card_drift(baseline, baseline), card_drift(baseline, darker)
    assert same == 0
    grey = delta_e00(lab(baseline.readings[21]), lab(darker.readings[21]))
    assert 0.5 * grey < moved < 2 * grey
    assert 2 < moved < 10


def test_a_card_of_the_wrong_kind_is_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match=r"a card has 4 corners and 24 patches, got .*\(23, 3\)"):
        replace(read(TRUE_LINEAR), linear_rgb=np.zeros((23, 3)))


def test_a_card_is_looked_for_in_pixels_of_a_file_alone():
    with pytest.raises(ValueError, match="srgb must be uint8 or uint16, got float64"):
        find_card(np.zeros((64, 64, 3)))
