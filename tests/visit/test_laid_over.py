"""One photograph laid over itself, changed as a camera or a lock of hair changes it, and no skin."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from masi_vision import score_visit
from masi_vision.config import load_settings
from masi_vision.face.align import surface_normals
from masi_vision.face.atlas import Subunit
from masi_vision.photo import Photo, linear_to_srgb8, read_photo, srgb_to_linear
from masi_vision.visit.laid_over import face_in_frame, laid_over
from masi_vision.visit.measure import measure_photo
from masi_vision.visit.models import shipped_models

ATLAS = shipped_models().face.atlas


@pytest.fixture(scope="module")
def face(demo_visits):
    (photo,) = score_visit({"front": demo_visits[0] / "front.jpg"}).photos
    return face_in_frame(photo.measures)


@pytest.fixture(scope="module")
def blotched(face):
    """Skin with spots of a few pixels, lighter and darker by up to a half."""
    fine = cv2.GaussianBlur(np.random.default_rng(0).normal(size=face.codes.shape), (0, 0), 1.2)
    light = 1 + np.clip(0.25 * fine / fine.std(), -0.5, 0.5)
    return replace(face, linear_rgb=np.asarray(face.linear_rgb * light[..., None], np.float32))


def mean_change_od(one, other, code=None):
    change = laid_over(one, other, ATLAS).change
    return float(change.change_od[change.skin & ((one.codes == code) if code else True)].mean())


def test_a_photo_that_is_less_sharp_is_no_lighter(blotched):
    soft = np.asarray(cv2.GaussianBlur(blotched.linear_rgb, (0, 0), 2.0), np.float32)
    blurred = replace(blotched, linear_rgb=soft)
    cheek = Subunit.RIGHT_MALAR
    half = replace(
        blotched, linear_rgb=np.where((blotched.codes == cheek)[..., None], soft, blotched.linear_rgb)
    )
    assert abs(mean_change_od(blotched, blurred)) < 0.002
    assert abs(mean_change_od(blotched, half, cheek)) < 0.003
    assert abs(mean_change_od(half, blotched, cheek)) < 0.003


def test_hair_at_one_visit_darkens_no_skin_beside_it(face):
    """Its rim, which is not recognised as hair, is left out."""
    rows = np.indices(face.codes.shape)[0]
    top, forehead = face.codes == Subunit.FOREHEAD, rows[face.codes == Subunit.FOREHEAD]
    edge = np.quantile(forehead, 0.3)
    hair = np.clip((edge + 3 - rows) / 3, 0, 1)  # its last three pixels let skin shine through
    covered = replace(
        face,
        codes=np.where(top & (rows < edge), 0, face.codes).astype(np.uint8),
        linear_rgb=np.asarray(face.linear_rgb * (1 - 0.9 * hair[..., None]), np.float32),
    )
    assert abs(mean_change_od(face, covered, Subunit.FOREHEAD)) < 0.003
    assert abs(mean_change_od(covered, face, Subunit.FOREHEAD)) < 0.003
    seen = laid_over(face, covered, ATLAS).change.skin
    assert (seen & top).sum() > 0.5 * (covered.codes == Subunit.FOREHEAD).sum()


@pytest.mark.parametrize("across_deg", [-8, 8])
def test_a_lamp_that_moved_aside_is_no_pigment(face, across_deg):
    """Matt skin, half of its light from all around."""
    turn = np.deg2rad(across_deg)
    there, before = (
        0.5 + np.maximum(surface_normals(ATLAS) @ np.array(lamp), 0)
        for lamp in ((np.sin(turn), 0, -np.cos(turn)), (0, 0, -1))
    )
    share = np.asarray(there / before, np.float32)
    lit = replace(face, linear_rgb=face.linear_rgb * share[..., None])
    for cheek in (Subunit.RIGHT_MALAR, Subunit.LEFT_MALAR):
        assert abs(np.log10(share[face.codes == cheek]).mean()) > 0.015
        assert abs(mean_change_od(face, lit, cheek)) < 0.004


def test_burnt_out_skin_tells_neither_pigment_nor_the_camera(demo_visits):
    """A copy nearly twice as bright, half of which the file cannot tell."""
    models, settings = shipped_models(), load_settings()
    photo = read_photo(demo_visits[0] / "front.jpg")
    bright = np.clip(1.8 * srgb_to_linear(photo.srgb), 0, 1).astype(np.float32)
    before, after = (
        measure_photo(one, "front", settings, models)
        for one in (photo, Photo.from_srgb(linear_to_srgb8(bright)))
    )
    codes, burnt = before.codes, after.burnt_out
    assert 0.4 < burnt[codes > 0].mean() < 0.6 and not before.burnt_out[codes > 0].any()
    change = laid_over(face_in_frame(before), face_in_frame(after), ATLAS).change
    assert not (change.skin & burnt).any()
    for region in (Subunit.FOREHEAD, Subunit.RIGHT_MALAR, Subunit.LEFT_MALAR, Subunit.CHIN):
        assert abs(change.change_od[change.skin & (codes == region)].mean()) < 0.001


def test_a_border_that_two_photos_draw_a_pixel_apart_hides_nothing(face):
    moved = replace(face, codes=np.roll(face.codes, 1, axis=1))
    common = (face.codes > 0) & (moved.codes > 0)
    assert (laid_over(face, moved, ATLAS).change.skin == common).all()


def test_a_second_shot_in_the_same_light_is_no_copy(face):
    """It has another noise, which blurred skin hides."""
    rng = np.random.default_rng(1)

    def shot(noise):
        light = 1 + noise * rng.normal(size=face.linear_rgb.shape)
        return replace(face, linear_rgb=np.asarray(face.linear_rgb * light, np.float32))

    second = laid_over(shot(0.02), shot(0.02), ATLAS)
    assert second.residual_fraction < 0.0004 and second.change.spread_od < 0.005
    assert not second.one_photograph
    assert laid_over(face, shot(0.003), ATLAS).one_photograph
