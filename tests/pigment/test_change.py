"""The change between two registered photographs, whatever light and camera did between them."""

import cv2
import numpy as np
import pytest

from masi_vision.pigment.change import change_map

SHAPE = (224, 192)
SKIN = np.ones(SHAPE, bool)
MELANIN = np.array([0.72, 1.02, 1.26], np.float32)


def face(seed=2):
    rng = np.random.default_rng(seed)
    light = cv2.GaussianBlur(rng.standard_normal(SHAPE), (0, 0), 25)
    fine = cv2.GaussianBlur(rng.standard_normal(SHAPE), (0, 0), 1.5)
    grey = 0.5 + 0.15 * light / light.std() + 0.02 * fine / fine.std()
    return (grey[..., None] + np.array([-0.2, 0, 0.15])).astype(np.float32)


def patch(share, density_od):
    """An ellipse over about this share of the frame."""
    drawn = np.zeros(SHAPE, np.float32)
    axes = tuple(int(np.sqrt(share / np.pi) * side) for side in SHAPE[::-1])
    cv2.ellipse(drawn, (SHAPE[1] // 2, SHAPE[0] // 2), axes, 0, 0, 360, density_od, -1)
    return cv2.GaussianBlur(drawn, (0, 0), 2)


def ball():
    """Where a rounded face turns to: across, down and away from the camera."""
    y, x = (np.linspace(-0.7, 0.7, n) for n in SHAPE)
    across, down = np.meshgrid(x, y)
    return np.stack([across, down, -np.sqrt(1 - across**2 - down**2)], axis=2).astype(np.float32)


NORMALS = ball()


def lamp_moved(across_deg, down_deg=0.0):
    """What a lamp takes from matt skin where it stands now, beside the camera's place; a third is ambient."""
    turn = np.deg2rad([across_deg, down_deg])
    place = np.array([np.sin(turn[0]), np.sin(turn[1]), -np.cos(turn[0]) * np.cos(turn[1])])
    there, before = (0.5 + np.maximum(NORMALS @ one, 0) for one in (place, np.array([0, 0, -1.0])))
    return -np.log10(there / before)[..., None]


def taken(density_od, tone=1.0, shift=(0.0, 0.0, 0.0), seed=5):
    noise = 0.01 * np.random.default_rng(seed).standard_normal((*SHAPE, 3))
    return (tone * density_od + np.array(shift) + noise).astype(np.float32)


def changed(before_od, after_od, lesion, *, lamp=0.0, **camera):
    base = face()
    before, after = (base + density[..., None] * MELANIN for density in (before_od, after_od))
    return change_map(taken(before), taken(after + lamp, seed=6, **camera), SKIN, lesion, NORMALS)


CAMERAS = [
    {},
    {"shift": (0.2, 0.2, 0.2)},
    {"shift": (0.1, -0.05, 0.08), "tone": 1.12},
    {"shift": (-0.3, -0.3, -0.2), "tone": 0.9},
    {"lamp": lamp_moved(8.0)},
    {"lamp": lamp_moved(-8.0, 3.0), "shift": (0.1, -0.05, 0.08), "tone": 1.12},
]


@pytest.mark.parametrize("camera", CAMERAS)
def test_pigment_that_went_is_found_whatever_the_camera_did(camera):
    pigment = patch(0.2, 0.1)
    found = changed(pigment, 0.4 * pigment, (pigment > 0.05).astype(np.float32) * 0.7, **camera)
    assert found.change_od.mean() == pytest.approx(-0.6 * pigment.mean(), rel=0.15)
    assert found.change_od[SHAPE[0] // 2, SHAPE[1] // 2] < -0.03
    assert abs(found.change_od[:20].mean()) < 0.006


@pytest.mark.parametrize("camera", CAMERAS)
def test_nothing_changed_is_no_change(camera):
    pigment = patch(0.3, 0.1)
    found = changed(pigment, pigment, (pigment > 0.05).astype(np.float32) * 0.7, **camera)
    assert abs(found.change_od.mean()) < 0.003
    assert (found.plain != 0).mean() < 0.005


def test_a_plain_change_has_its_place_and_its_sign():
    pigment = patch(0.2, 0.1)
    found = changed(pigment, 0.2 * pigment, (pigment > 0.05).astype(np.float32) * 0.7)
    assert (found.plain[pigment > 0.08] == -1).mean() > 0.9
    assert (found.plain[pigment == 0] != 0).mean() < 0.02


@pytest.mark.parametrize("tone", [1.0, 1.1])
def test_what_was_evened_out_is_told_and_is_no_pigment(tone):
    """A picture one and a half times as bright, of a face that lost pigment."""
    pigment, brighter_od = patch(0.2, 0.1), float(np.log10(1.5))
    lesion = (pigment > 0.05).astype(np.float32) * np.float32(0.7)
    found = changed(pigment, 0 * pigment, lesion, shift=(-brighter_od,) * 3, tone=tone)
    darker_by_tone = (tone - 1) * float(face().mean())
    assert found.evened_od == pytest.approx(brighter_od - darker_by_tone, abs=0.01)
    assert changed(pigment, pigment, lesion).evened_od == pytest.approx(0, abs=0.003)


def test_new_pigment_is_darker():
    pigment = patch(0.2, 0.1)
    found = changed(0 * pigment, pigment, (pigment > 0.05).astype(np.float32) * 0.7)
    assert found.change_od.mean() == pytest.approx(pigment.mean(), rel=0.15)


def test_where_most_of_the_face_changed_the_lesion_map_says_which_skin_did_not():
    pigment = patch(0.65, 0.1)
    lesion = (pigment > 0.05).astype(np.float32) * 0.8
    found = changed(pigment, 0.3 * pigment, lesion, shift=(0.2, 0.2, 0.2))
    assert found.change_od.mean() == pytest.approx(-0.7 * pigment.mean(), rel=0.2)


def test_skin_that_did_not_change_is_found_though_most_of_the_face_did():
    """The difference that most of the skin shows is not the camera's."""
    lighter = np.arange(SHAPE[0])[:, None] < 0.6 * SHAPE[0]
    pigment = np.broadcast_to(0.15 * lighter, SHAPE)
    lesion = np.broadcast_to(np.where(lighter, 0.5, 0.2), SHAPE).astype(np.float32)
    found = changed(pigment, 0 * pigment, lesion)
    assert abs(found.change_od[pigment == 0].mean()) < 0.01
    assert found.change_od[pigment > 0].mean() == pytest.approx(-0.15, abs=0.01)


@pytest.mark.parametrize("lighter", [True, False])
def test_of_pigment_that_fades_out_and_is_missed_by_the_map_a_part_is_found(lighter):
    """No edge and no lesion tell which skin did not change, but that the rest changed to one side does."""
    y, x = (np.linspace(-1, 1, n) for n in SHAPE)
    pigment = (0.12 * (1 - np.hypot(*np.meshgrid(x, y)))).clip(0).astype(np.float32)
    nothing, lesion = np.zeros_like(pigment), np.where(pigment > 0.03, 0.2, 0.1).astype(np.float32)
    found = changed(*((pigment, nothing) if lighter else (nothing, pigment)), lesion)
    planted = -pigment if lighter else pigment
    assert found.change_od.mean() == pytest.approx(planted.mean(), rel=0.62)


def test_one_region_may_clear_while_another_darkens():
    """Most of what changed lies on one side, and not all of it."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    low = y > 0.4 * SHAPE[0]
    clears, darkens = (np.where(low & side, 0.1, 0) for side in (x < 0.4 * SHAPE[1], x > 0.7 * SHAPE[1]))
    found = changed(clears, darkens, np.where(clears + darkens > 0, 0.4, 0).astype(np.float32))
    assert found.change_od[clears > 0].mean() == pytest.approx(-0.1, abs=0.005)
    assert found.change_od[darkens > 0].mean() == pytest.approx(0.1, abs=0.005)


@pytest.mark.parametrize("seed", range(6))
def test_of_a_face_that_is_undecided_all_over_little_is_told_where_nothing_changed(seed):
    """What registration leaves passes for a change to one side; so much of it is borne."""
    left = cv2.GaussianBlur(np.random.default_rng(seed).standard_normal(SHAPE), (0, 0), 6)
    left = 0.02 * (left - left.mean()) / left.std()
    undecided = np.full(SHAPE, 0.4, np.float32)
    found = change_map(taken(face()), taken(face() + left[..., None], seed=6), SKIN, undecided, NORMALS)
    assert abs(found.change_od.mean()) < 0.008


def test_the_spread_is_that_of_skin_that_did_not_change():
    pigment = patch(0.65, 0.04)
    found = changed(pigment, 0 * pigment, (pigment > 0.01).astype(np.float32) * np.float32(0.8))
    noise = 0.01 * np.sqrt(2 / 3)
    assert noise < found.spread_od < 1.6 * noise


def test_how_much_skin_is_surely_clear():
    nothing = np.zeros(SHAPE, np.float32)
    lesion = np.where(np.arange(SHAPE[1]) < SHAPE[1] // 2, 0.5, 0.0).astype(np.float32)
    found = changed(nothing, nothing, np.broadcast_to(lesion, SHAPE))
    assert found.clear_fraction == pytest.approx((0.5**4 + 0.98) / 2, abs=1e-3)


@pytest.mark.parametrize(("tone", "is_doubtful"), [(0.6, True), (0.9, False), (1.2, False), (1.5, True)])
def test_a_tone_curve_that_no_camera_has_is_doubtful(tone, is_doubtful):
    nothing = np.zeros(SHAPE, np.float32)
    found = changed(nothing, nothing, nothing, tone=tone)
    assert found.doubtful is is_doubtful
    assert found.lamp_spread_od < 0.01


def test_a_plain_change_reaches_to_the_edge_of_the_skin_that_is_seen():
    half, pigment = SKIN.copy(), np.zeros(SHAPE, np.float32)
    middle = SHAPE[1] // 2
    half[:, :middle] = False
    pigment[40:80, : middle + 30] = 0.045
    lesion = (pigment > 0).astype(np.float32) * np.float32(0.7)
    base = face()
    before, after = taken(base + pigment[..., None] * MELANIN), taken(base, seed=6)
    found = change_map(before, after, half, lesion, NORMALS)
    assert (found.plain[45:75, middle : middle + 3] == -1).mean() > 0.9


def test_what_unchanged_skin_varies_by_is_no_plain_change():
    """Folds that came to lie a little beside themselves: darker and lighter by more than 0.03 OD."""
    folds = cv2.GaussianBlur(np.random.default_rng(3).standard_normal(SHAPE), (0, 0), 4)
    folds = (0.04 * folds / folds.std()).astype(np.float32)
    found = changed(0 * folds, folds, np.zeros(SHAPE, np.float32))
    assert found.spread_od == pytest.approx(0.04, abs=0.005)
    assert (np.abs(cv2.GaussianBlur(found.change_od, (0, 0), 3)) > 0.03).mean() > 0.2
    assert (found.plain != 0).mean() < 0.005


def test_the_tone_curve_between_the_photographs_is_told():
    pigment = patch(0.2, 0.1)
    found = changed(pigment, pigment, np.zeros(SHAPE, np.float32), tone=1 / 1.1)
    assert found.tone == pytest.approx(1.1, abs=0.04)


@pytest.mark.parametrize("across_deg", [-10.0, 10.0])
def test_a_cheek_that_the_lamp_left_has_no_new_pigment(across_deg):
    left, lamp = np.arange(SHAPE[1]) > 0.7 * SHAPE[1], lamp_moved(across_deg)
    assert abs(lamp[:, left].mean()) > 0.02
    found = changed(patch(0, 0), patch(0, 0), np.zeros(SHAPE, np.float32), lamp=lamp)
    assert abs(found.change_od[:, left].mean()) < 0.003
    assert found.lamp_spread_od == pytest.approx(lamp.std(), rel=0.1)
    assert not found.doubtful


@pytest.mark.parametrize(("believed", "missed_od"), [(0.0, 0.03), (0.7, 0.015)])
def test_pigment_that_went_on_one_cheek_is_no_lamp(believed, missed_od):
    """Whether or not the map found it: the other cheek says nothing of a lamp."""
    cheek = np.where(np.arange(SHAPE[1]) > 0.7 * SHAPE[1], patch(0.6, 0.1), 0)
    found = changed(cheek, 0 * cheek, (cheek > 0.05).astype(np.float32) * np.float32(believed))
    assert found.change_od[cheek > 0.08].mean() == pytest.approx(-0.1, abs=missed_od)
    assert found.lamp_spread_od < 0.01


def test_one_half_of_a_face_tells_nothing_of_a_lamp_beside_it():
    half, nothing = SKIN.copy(), np.zeros(SHAPE, np.float32)
    half[:, : SHAPE[1] // 2] = False
    found = change_map(taken(face()), taken(face() + lamp_moved(10.0)), half, nothing, NORMALS)
    assert found.lamp_spread_od < 0.003


def test_of_two_halves_that_disagree_on_a_lamp_the_lesser_is_believed_more():
    """A cheek that lost pigment says more of a lamp than the other does: their harmonic mean."""
    across, nothing = NORMALS[..., 0], np.zeros(SHAPE, np.float32)
    lamp = 0.05 * np.maximum(across, 0) + 0.15 * np.minimum(across, 0)
    found = changed(nothing, nothing, nothing, lamp=lamp[..., None])
    rim = np.abs(across) > 0.5
    assert (found.lamp_od[rim] / across[rim]).mean() == pytest.approx(-0.075, abs=0.006)


def test_a_lamp_that_moved_down_is_made_up_for_in_part():
    """Pigment of the forehead or the chin alone looks like one."""
    nothing, lamp = np.zeros(SHAPE, np.float32), lamp_moved(0.0, 8.0)
    found = changed(nothing, nothing, nothing, lamp=lamp)
    assert 0.5 < found.lamp_spread_od / lamp.std() < 0.8


def test_a_lamp_from_elsewhere_is_doubtful():
    nothing = np.zeros(SHAPE, np.float32)
    assert changed(nothing, nothing, nothing, lamp=lamp_moved(25.0)).doubtful


def test_a_follow_up_evened_has_the_light_of_its_baseline():
    before, nothing = face(), np.zeros(SHAPE, np.float32)
    after = taken(before + lamp_moved(10.0), tone=1.1, shift=(0.1, 0, -0.1))
    found = change_map(before, after, SKIN, nothing, NORMALS)
    assert np.abs(found.evened(after) - before).mean() < 0.02


def test_off_the_common_skin_nothing_changed():
    pigment = patch(0.2, 0.1)
    half = SKIN.copy()
    half[:, :90] = False
    base = face()
    lesion = np.zeros(SHAPE, np.float32)
    found = change_map(taken(base + pigment[..., None]), taken(base), half, lesion, NORMALS)
    assert not found.change_od[~half].any()


def test_without_common_skin_there_is_nothing_to_compare():
    with pytest.raises(ValueError, match="must share 100 pixels of skin, got 0"):
        change_map(face(), face(), ~SKIN, np.zeros(SHAPE, np.float32), NORMALS)
