"""One photo, measured: on a face whose place is known, so that only the package's own steps are tested."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from masi_vision.config import Settings
from masi_vision.face.atlas import Subunit
from masi_vision.photo import Photo, linear_to_srgb8, srgb_to_linear
from masi_vision.visit.measure import measure_photo, region_members
from masi_vision.visit.seen import linear_face, srgb8

SHAPE = (720, 640)
EYE_PX = 190.0
MASI = ("forehead", "right_malar", "left_malar", "chin")


@pytest.fixture(scope="module")
def landmarks(placed):
    return placed(320, 330, EYE_PX)


@pytest.fixture(scope="module")
def models(known_models, landmarks):
    return known_models(landmarks, SHAPE)


def with_patch(picture, landmarks, landmark, density_od=0.15, radius_px=24):
    """Pigment laid on around one landmark."""
    rows, columns = np.mgrid[0 : picture.shape[0], 0 : picture.shape[1]]
    x, y = landmarks[landmark, :2]
    spot = cv2.GaussianBlur((np.hypot(columns - x, rows - y) < radius_px).astype(np.float32), (0, 0), 1.5)
    brown = np.array([0.72, 1.02, 1.26], np.float32)
    linear = srgb_to_linear(picture) * 10 ** (-density_od * spot[..., None] * brown)
    return linear_to_srgb8(linear.astype(np.float32))


def changed(settings, **sections):
    values = settings.model_dump(mode="json")
    for section, changes in sections.items():
        values[section] |= changes
    return Settings.model_validate_json(json.dumps(values))


def measures(picture, settings, models, view="front"):
    return measure_photo(Photo.from_srgb(picture), view, settings, models)


def fractions(measured):
    return {name: region.pigmented_fraction for name, region in measured.regions.items()}


def test_even_skin_is_visible_everywhere_and_pigmented_nowhere(plain_skin, settings, models):
    regions = measures(plain_skin(*SHAPE), settings, models).regions
    assert list(regions) == [*MASI, "nose", "upper_lip"]
    for region in regions.values():
        assert region.visible_fraction > 0.93
        assert region.pigmented_fraction == 0


@pytest.mark.parametrize(("landmark", "name"), [(50, "right_malar"), (280, "left_malar"), (151, "forehead")])
def test_pigment_is_measured_in_the_region_where_it_was_laid(
    plain_skin, settings, models, landmarks, landmark, name
):
    found = fractions(measures(with_patch(plain_skin(*SHAPE), landmarks, landmark), settings, models))
    assert found[name] > 0.05
    assert all(found[other] < 0.1 * found[name] for other in MASI if other != name)


def test_pigment_of_the_mirrored_photo_lies_on_the_other_side(plain_skin, settings, models, landmarks):
    picture = with_patch(plain_skin(*SHAPE), landmarks, 50)
    plain = measures(picture, settings, models).regions
    mirror = measures(
        np.ascontiguousarray(picture[:, ::-1]), settings, models
    ).regions  # the face is in the middle
    assert mirror["left_malar"].pigmented_fraction == pytest.approx(
        plain["right_malar"].pigmented_fraction, abs=0.01
    )
    assert mirror["right_malar"].pigmented_fraction < 0.01


def test_exposure_hardly_moves_the_measures(plain_skin, settings, models, landmarks):
    picture = with_patch(plain_skin(*SHAPE), landmarks, 50)
    darker = linear_to_srgb8(0.6 * srgb_to_linear(picture))
    plain, dark = (measures(p, settings, models).regions["right_malar"] for p in (picture, darker))
    assert dark.pigmented_fraction == pytest.approx(plain.pigmented_fraction, abs=0.01)
    assert dark.contrast_od == pytest.approx(plain.contrast_od, abs=0.005)


def test_skin_is_averaged_and_not_skipped_on_the_way_to_a_smaller_frame(known_models, placed, settings):
    """A face far larger than the frame, in a checkerboard of single pixels: its mean is what is seen."""
    shape = (2400, 2200)
    landmarks = placed(1100, 1100, 700)
    board = np.where(np.indices(shape).sum(axis=0)[..., None] % 2, (250, 200, 180), (90, 60, 50)).astype(
        np.uint8
    )
    measured = measures(board, settings, known_models(landmarks, shape))
    skin = linear_face(measured.photo, measured.face)[measured.codes > 0]
    expected = srgb_to_linear(board[:2, :2]).mean(axis=(0, 1))
    np.testing.assert_allclose(skin.mean(axis=0), expected, rtol=0.01)
    assert skin.std(axis=0).max() < 0.06


def test_the_face_is_carried_to_the_frame_without_a_shift(known_models, placed, settings, atlas):
    """A ramp across the photo comes out where the mean face has it, for photos above and below frame size."""
    for shape, eye in ((SHAPE, 120.0), ((2400, 2200), 700.0)):
        landmarks = placed(shape[1] / 2, 0.46 * shape[0], eye)
        ramp = np.linspace(60, 230, shape[1])
        picture = np.repeat(np.tile(ramp, (shape[0], 1))[..., None], 3, axis=2) * (1, 0.8, 0.7)
        photo = Photo.from_srgb(picture.astype(np.uint8))
        measured = measures(photo.srgb, settings, known_models(landmarks, shape))
        expected = measured.face.alignment.to_frame(srgb_to_linear(np.asarray(photo.srgb)))
        skin = cv2.erode((measured.codes > 0).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
        difference = (linear_face(photo, measured.face) - expected)[skin]
        assert abs(difference.mean()) < 2e-4  # one pixel of the frame is 0.002


def test_what_lies_beyond_the_edge_of_the_photo_is_no_visible_skin(
    known_models, placed, plain_skin, settings
):
    """The networks see black there and may say anything; it must not be measured as dark skin."""
    landmarks = placed(120, 330, EYE_PX)  # the outer part of the right cheek lies outside
    outside = landmarks[234, 0]
    assert outside < -5
    inside = measures(plain_skin(*SHAPE), settings, known_models(placed(320, 330, EYE_PX), SHAPE))
    cut = measures(plain_skin(*SHAPE), settings, known_models(landmarks, SHAPE))
    assert cut.regions["right_malar"].visible_fraction < inside.regions["right_malar"].visible_fraction - 0.02
    assert cut.regions["right_malar"].pigmented_fraction < 0.01


def test_sixteen_bits_are_measured_like_eight(plain_skin, settings, models, landmarks):
    picture = with_patch(plain_skin(*SHAPE), landmarks, 280)
    deep = fractions(measures(picture.astype(np.uint16) * 257, settings, models))
    assert deep == pytest.approx(fractions(measures(picture, settings, models)), abs=1e-4)


def test_every_8_bit_value_survives_the_way_to_16_bits_and_back():
    values = np.arange(256 * 3, dtype=np.uint16).reshape(-1, 1, 3) % 256
    photo = Photo.from_srgb((values * 257).astype(np.uint16))
    np.testing.assert_array_equal(srgb8(photo), values.astype(np.uint8))


@pytest.mark.parametrize("toward", ["forehead", "chin"])
@pytest.mark.parametrize("part", ["nose", "upper_lip"])
def test_nose_and_upper_lip_count_toward_the_region_that_the_settings_name(settings, part, toward):
    members = region_members(changed(settings, scale={f"{part}_counts_toward": toward}).scale)
    code = int(Subunit[part.upper()])
    assert members[toward] == [int(Subunit[toward.upper()]), code]
    assert members[part] == [code]  # still reported on its own


def test_as_shipped_nose_and_upper_lip_count_toward_no_region(settings):
    members = region_members(settings.scale)
    assert all(len(codes) == 1 for codes in members.values())
    assert sorted(codes[0] for codes in members.values()) == [1, 2, 3, 4, 5, 6]


def test_pigment_of_the_nose_counts_toward_the_forehead_if_the_settings_say_so(
    plain_skin, settings, models, landmarks
):
    picture = with_patch(plain_skin(*SHAPE), landmarks, 5, radius_px=14)
    as_shipped = fractions(measures(picture, settings, models))
    counted = fractions(
        measures(picture, changed(settings, scale={"nose_counts_toward": "forehead"}), models)
    )
    assert as_shipped["nose"] == counted["nose"] > 0.03
    assert as_shipped["forehead"] < 0.005 < counted["forehead"]


class Turned:
    """A known face whose head is turned in depth: the reader says so."""

    def __init__(self, models, yaw_deg=0.0, pitch_deg=0.0):
        self.models, self.turn = models, (yaw_deg, pitch_deg)

    def __getattr__(self, name):
        return getattr(self.models, name)

    def read(self, picture):
        shares, landmarks = self.models.read(picture)
        y, p = np.deg2rad(self.turn)
        about_y = np.array([[np.cos(y), 0, -np.sin(y)], [0, 1, 0], [np.sin(y), 0, np.cos(y)]])
        about_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
        middle = landmarks.mean(axis=0)
        return shares, ((landmarks - middle) @ (about_x @ about_y).T + middle).astype(np.float32)


def turned(models, **angles):
    return replace(models, face=Turned(models.face, **angles))


@pytest.mark.parametrize(("view", "yaw"), [("right", 40), ("left", -40)])
def test_a_head_turned_to_its_side_is_measured_in_that_view(plain_skin, settings, models, view, yaw):
    measured = measures(plain_skin(*SHAPE), settings, turned(models, yaw_deg=yaw), view)
    assert measured.view == view
    assert measured.face.pose.yaw_deg == pytest.approx(yaw, abs=1)
