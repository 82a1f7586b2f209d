"""Skin that landmarks left apart comes together; pigment that came or went moves nothing."""

import cv2
import numpy as np
import pytest

from masi_vision.face.register import left_apart_px, likeness, register, smoothed_on_skin

SHAPE = (224, 192)
SKIN = np.ones(SHAPE, bool)


def texture(seed=1):
    """Skin's detail, 3 to 8 pixels wide, on a slope of light; (H, W, 3) OD."""
    rng = np.random.default_rng(seed)
    fine = sum(cv2.GaussianBlur(rng.standard_normal(SHAPE), (0, 0), sigma) * sigma for sigma in (1.5, 3))
    slope = np.linspace(0, 0.5, SHAPE[1])[None]
    return np.repeat((0.4 + 0.05 * fine + slope)[..., None], 3, axis=2).astype(np.float32)


def shifted(picture, shift):
    """What lay at p lies at p + shift, (H, W, 2), afterwards."""
    y, x = np.mgrid[0 : SHAPE[0], 0 : SHAPE[1]].astype(np.float32)
    return cv2.remap(
        picture, x - shift[..., 0], y - shift[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )


def shift_of(laid):
    y, x = np.indices(SHAPE, np.float32)
    return laid.positions - np.dstack([x, y])


def bend(size_px):
    y, x = np.mgrid[0 : SHAPE[0], 0 : SHAPE[1]].astype(np.float32)
    return np.dstack([size_px * np.sin(x / 60), size_px * np.cos(y / 70)]).astype(np.float32)


@pytest.mark.parametrize("size_px", [0.0, 1.5, 3.0])
def test_displaced_skin_is_found_within_half_a_pixel(size_px):
    still = texture()
    laid = register(still, shifted(still, bend(size_px)), SKIN)
    inner = (slice(20, -20), slice(20, -20))
    off = np.linalg.norm(shift_of(laid) - bend(size_px), axis=2)[inner]
    assert np.quantile(off, 0.9) < 0.5


def test_a_picture_is_carried_onto_the_baseline():
    still = texture()
    moving = shifted(still, bend(3.0))
    back = register(still, moving, SKIN).to_baseline(moving)
    inner = (slice(20, -20), slice(20, -20))
    assert np.abs(back - still)[inner].mean() < 0.35 * np.abs(moving - still)[inner].mean()


def test_pigment_that_went_moves_nothing_by_itself():
    still = texture()
    patch = np.zeros(SHAPE, np.float32)
    cv2.circle(patch, (90, 110), 30, 0.12, -1)
    laid = register(still + cv2.GaussianBlur(patch, (0, 0), 2)[..., None], still, SKIN)
    assert np.quantile(np.linalg.norm(shift_of(laid), axis=2), 0.9) < 0.5


@pytest.mark.parametrize("seed", range(3))
def test_on_skin_without_detail_pigment_that_went_is_not_laid_on_what_is_there(seed):
    """The grain of two files is all that is to be seen beside the rims of the pigment."""
    rng = np.random.default_rng(seed)
    before, after = (
        0.4 + 0.006 * cv2.GaussianBlur(rng.standard_normal(SHAPE), (0, 0), 1.2)[..., None] for _ in range(2)
    )
    patches = np.zeros(SHAPE, np.float32)
    for x, y, size in rng.integers((40, 50, 4), (150, 170, 9), (14, 3)).tolist():
        cv2.circle(patches, (x, y), size, 0.16, -1)
    patches = cv2.GaussianBlur(patches, (0, 0), 1.5)[..., None]
    before, after = (np.repeat(one, 3, axis=2).astype(np.float32) for one in (before + patches, after))
    moved = np.linalg.norm(shift_of(register(before, after, SKIN)), axis=2)
    assert np.quantile(moved[patches[..., 0] > 0.05], 0.9) < 0.5


def test_skin_of_another_person_stays_far_apart():
    still, other = texture(), texture(2)
    moved = register(still, other, SKIN).to_baseline(other)
    assert np.quantile(left_apart_px(still, moved, SKIN), 0.9) > 0.02 * SHAPE[1]


def test_light_and_camera_move_nothing():
    still = texture()
    other = 1.1 * still + np.array([0.1, 0.05, -0.05], np.float32)
    assert np.quantile(np.linalg.norm(shift_of(register(still, other, SKIN)), axis=2), 0.9) < 0.5


def test_one_skin_is_like_itself_in_another_light_and_another_skin_is_not():
    still = texture()
    other_light = 0.2 + 0.7 * still + np.linspace(0, 0.3, SHAPE[0])[:, None, None]
    assert likeness(still, other_light.astype(np.float32), SKIN) > 0.95
    assert likeness(still, texture(2), SKIN) < 0.3
    assert likeness(still, np.full_like(still, 0.4), SKIN) is None


def test_two_photographs_that_share_hardly_any_skin_are_not_called_unlike():
    little = np.zeros(SHAPE, bool)
    little[100:104] = True
    assert likeness(texture(), texture(2), little) is None


@pytest.mark.parametrize("channels", [(), (3,)])
def test_what_covers_the_skin_is_no_part_of_its_mean(channels):
    skin = np.zeros(SHAPE, bool)
    skin[:, :90] = True
    picture = np.where(skin[(...,) + (None,) * len(channels)], 0.4, 9.0) * np.ones(channels)
    mean = smoothed_on_skin(picture.astype(np.float32), skin, 4.0)
    assert mean.shape == picture.shape
    np.testing.assert_allclose(mean[skin], 0.4, rtol=1e-5)
