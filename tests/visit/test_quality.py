"""The quality gate: what damages a photo is refused by the right check, and only that."""

import re
from dataclasses import replace
from datetime import datetime

import cv2
import numpy as np
import pytest

from masi_vision import score_photo
from masi_vision.config import Limit, load_settings
from masi_vision.face.atlas import Subunit
from masi_vision.face.pose import HeadPose
from masi_vision.photo import Photo, linear_to_srgb8, read_photo, srgb_to_linear
from masi_vision.photo.exif import CaptureFacts
from masi_vision.scale import MASI_REGIONS
from masi_vision.visit.models import shipped_models
from masi_vision.visit.photo_light import (
    blur_percent,
    colour_levels,
    eye_opening,
    light_difference_od,
    noise_levels,
)
from masi_vision.visit.quality import REASONS, check_likeness, check_person, check_photo, refusal, worst
from masi_vision.visit.seen import SeenPhoto, see_photo
from masi_vision.visit.since_first import came_before, capture_of, changed_since, check_clock, check_day
from masi_vision.visit.views import SkinDetail

SETTINGS = load_settings()
LIMITS = SETTINGS.quality


def see(srgb, name="front.jpg"):
    return see_photo(Photo.from_srgb(srgb, name=name), SETTINGS, shipped_models())


@pytest.fixture(scope="module")
def photos(demo_visits):
    return [read_photo(visit / "front.jpg") for visit in demo_visits]


@pytest.fixture(scope="module")
def seen(photos):
    return [see_photo(photo, SETTINGS, shipped_models()) for photo in photos]


def results(findings, *, but=("warn", "fail")):
    return {(f.check, f.region): f.result for f in findings if f.result in but}


def refused(findings):
    """Region to the first check of it that fails."""
    return {f.region: f for f in reversed(findings) if f.region is not None and f.result == "fail"}


def lit(photo, factor):
    """Every pixel's light times a factor, a number or a picture of numbers."""
    return linear_to_srgb8(np.asarray(srgb_to_linear(photo.srgb) * factor, np.float32))


def blurred(photo, seen, percent):
    return cv2.GaussianBlur(np.asarray(photo.srgb), (0, 0), percent / 100 * seen.face.face_width_px)


def since(first, later):
    """What changed since a first photo that is a good one too."""
    before = capture_of(first, "V1")
    return changed_since([before], before, capture_of(later, "V2"), LIMITS)


def test_a_good_photo_passes(seen):
    for one in seen:
        assert "fail" not in results(check_photo(one, "front", SETTINGS)).values()
        assert refusal(check_photo(one, "front", SETTINGS)) is None


@pytest.mark.parametrize("percent", [1.5, 2.5])
def test_blur_is_measured_in_per_cent_of_the_face(photos, seen, percent):
    for photo, sharp in zip(photos, seen, strict=True):
        own = blur_percent(sharp)
        found = blur_percent(see(blurred(photo, sharp, percent)))
        assert found == pytest.approx(np.hypot(own, percent), rel=0.2)


@pytest.mark.parametrize("size", [(31, 1), (1, 31)])
def test_a_head_that_moved_is_blurred_though_edges_along_its_way_are_sharp(photos, seen, size):
    found = blur_percent(see(cv2.blur(np.asarray(photos[0].srgb), size)))
    assert found > 1.3 > blur_percent(seen[0])


def test_what_holds_no_information_is_not_scored_whatever_is_accepted(photos):
    everything = load_settings(accept=["clipped_fraction", "visible_fraction", "blocked_fraction"])
    burnt = score_photo(Photo.from_srgb(lit(photos[0], 12)), everything)
    assert (burnt.status, burnt.scores) == ("not_scored", None)
    dark = score_photo(Photo.from_srgb(lit(photos[0], 0.004)), everything)
    assert (dark.status, dark.scores) == ("not_scored", None)


def test_an_unfocused_photo_is_not_scored(photos, seen):
    result = score_photo(Photo.from_srgb(blurred(photos[0], seen[0], 2.0)), SETTINGS)
    assert (result.status, result.reason, result.scores) == ("not_scored", "out_of_focus", None)
    assert "Expected at most 1.3 %" in result.message
    assert {f.check for f in result.findings if f.result == "fail"} == {"blur_percent"}


def test_a_burnt_out_photo_is_not_scored(photos):
    result = score_photo(Photo.from_srgb(lit(photos[0], 6)), SETTINGS)
    assert (result.status, result.scores) == ("not_scored", None)
    assert result.reason in ("clipped", "no_face")


@pytest.fixture
def even_face(known_models, placed):
    """A face whose place is known, in a photo of one colour; the left side of the photo may have its own."""

    def make(colour, left=None):
        pixels = np.full((720, 640, 3), colour, np.uint8)
        pixels[:, :320] = colour if left is None else left
        return see_photo(Photo.from_srgb(pixels), SETTINGS, known_models(placed(320, 330, 190.0), (720, 640)))

    return make


@pytest.mark.parametrize(
    ("check", "brightest", "expected"),
    [
        ("clipped_fraction", 249, 0),
        ("clipped_fraction", 250, 1),
        ("blocked_fraction", 29, 1),
        ("blocked_fraction", 30, 0),
    ],
)
def test_skin_is_burnt_from_250_of_255_and_too_dark_below_30(even_face, check, brightest, expected):
    colour = (brightest, round(0.7 * brightest), round(0.5 * brightest))
    found = [f for f in check_photo(even_face(colour), "front", SETTINGS) if f.check == check]
    assert {f.region: f.value for f in found if f.region in MASI_REGIONS} == dict.fromkeys(
        MASI_REGIONS, expected
    )


def test_the_difference_of_light_is_the_same_whichever_side_is_darker(even_face):
    bright, dark = (188, 150, 120), (137, 109, 86)
    found = [light_difference_od(even_face(*pair)) for pair in ((bright, dark), (dark, bright))]
    expected = np.log10(np.divide(*(srgb_to_linear(np.uint8([[one]])).mean() for one in (bright, dark))))
    assert found == pytest.approx([expected, expected], abs=0.002)
    assert expected > 0.25


def test_a_region_burnt_out_is_the_one_that_is_refused(photos, seen):
    photo, face = photos[0], seen[0].face
    x, y = face.alignment.landmarks[280, :2] * photo.srgb.shape[0] / seen[0].photo.srgb.shape[0]
    rows, columns = np.indices(photo.srgb.shape[:2])
    beam = np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * (0.12 * face.face_width_px) ** 2))
    burnt = refused(check_photo(see(lit(photo, 1 + 8 * beam[..., None])), "front", SETTINGS))
    assert burnt["left_malar"].check == "clipped_fraction"
    assert set(burnt) <= {"left_malar", "nose"}


@pytest.mark.parametrize("colour", [(128, 128, 128), None])
def test_a_region_under_a_box_of_one_colour_is_refused_and_never_clear(photos, seen, colour):
    pixels = np.asarray(photos[0].srgb).copy()
    scale = pixels.shape[0] / seen[0].photo.srgb.shape[0]
    rows, columns = np.nonzero(
        seen[0].face.photo_codes((0, 0, *seen[0].photo.srgb.shape[:2])) == Subunit.FOREHEAD
    )
    top, bottom, left, right = (
        int(scale * edge) for edge in (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1)
    )
    skin = np.median(pixels[top:bottom, left:right], axis=(0, 1)).astype(np.uint8)
    pixels[top:bottom, left:right] = skin if colour is None else colour
    result = score_photo(Photo.from_srgb(pixels), SETTINGS)
    assert result.regions["forehead"].grade is None
    assert result.regions["forehead"].flag.startswith("region_hidden")
    checks = {f.check for f in result.findings if f.region == "forehead" and f.result == "fail"}
    assert checks & {"plain_fraction", "visible_fraction"}
    assert not any(
        f.check == "plain_fraction" and f.result != "pass" for f in check_photo(seen[0], "front", SETTINGS)
    )


def test_a_photo_too_dark_to_measure_is_not_scored(photos):
    findings = check_photo(see(lit(photos[0], 0.02)), "front", SETTINGS)
    assert {f.check for f in refused(findings).values()} <= {"blocked_fraction", "visible_fraction"}
    assert refused(findings)


def test_a_grey_face_beside_something_in_colour_is_no_skin(photos, tmp_path):
    grey = np.repeat(np.asarray(photos[0].srgb)[..., 1:2], 3, axis=2)
    half = grey.shape[1] // 2
    grey[-len(grey) // 8 :, :half], grey[-len(grey) // 8 :, half:] = (200, 90, 30), (20, 90, 210)
    cv2.imwrite(str(tmp_path / "front.jpg"), grey[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])
    seen = see_photo(tmp_path / "front.jpg", SETTINGS, shipped_models())
    findings = check_photo(seen, "front", SETTINGS)
    assert {f.check for f in findings if f.result == "fail" and f.region is None} == set()
    assert {region: f.check for region, f in refused(findings).items()} == dict.fromkeys(
        MASI_REGIONS, "red_over_blue_od"
    )


def test_a_burnt_out_nose_is_not_measured_and_the_photo_still_scored(photos, seen):
    light = srgb_to_linear(np.asarray(photos[0].srgb))
    top, left, bottom, right = seen[0].face.window(light.shape)
    nose = seen[0].face.photo_codes((top, left, bottom, right)) == Subunit.NOSE
    light[top:bottom, left:right][nose] = 1.0
    result = score_photo(Photo.from_srgb(linear_to_srgb8(light), name="front.jpg"))
    assert result.status == "scored"
    burnt = result.regions["nose"]
    assert (burnt.flag, burnt.grade) == ("clipped", None)
    told = result.to_dict()["regions"]["nose"]
    assert told["visible_fraction"] > 0.5
    assert {told[name] for name in ("pigmented_fraction", "contrast_od", "integrated_od")} == {None}
    said = [f.sentence for f in result.findings if f.region == "nose"]
    assert len(said) == 1
    assert "of the skin is burnt out" in said[0]
    assert {f.result for f in result.findings if f.region == "nose"} == {"warn"}
    assert "pigmented" not in str(burnt)
    half = light.copy()
    half[top:bottom, left:right][nose] = srgb_to_linear(np.asarray(photos[0].srgb))[top:bottom, left:right][
        nose
    ]
    rows = np.arange(bottom - top)[:, None] > np.median(np.nonzero(nose)[0])
    half[top:bottom, left:right][nose & rows] = 1.0
    photo = Photo.from_srgb(linear_to_srgb8(half), name="front.jpg")
    by_name = score_photo(photo, load_settings(accept=["clipped_fraction"]))
    assert score_photo(photo).regions["nose"].flag == "clipped"
    assert by_name.regions["nose"].flags[0] == "accepted"
    assert not [f for f in check_photo(seen[0], "front", SETTINGS) if f.region == "nose"]


def test_a_second_person_beside_refuses_the_photo(photos):
    front = photos[0].srgb
    small = cv2.resize(front[:, ::-1], None, fx=0.8, fy=0.8, interpolation=cv2.INTER_AREA)
    pair = cv2.copyMakeBorder(front, 0, 0, 0, front.shape[1], cv2.BORDER_REPLICATE)
    pair[-len(small) :, front.shape[1] : front.shape[1] + small.shape[1]] = small
    why = refusal(check_photo(see(pair), "front", SETTINGS))
    assert why.reason == "other_face"
    assert "Another face is in the photo, 8" in why.message
    assert "Expected at most 50%" in why.message
    (alone,) = [f for f in check_photo(see(front), "front", SETTINGS) if f.check == "other_face_fraction"]
    assert (alone.result, alone.value) == ("pass", 0)


def test_what_has_not_the_colour_of_skin_is_no_skin(photos, seen):
    for photo, one in zip(photos, seen, strict=True):
        other = Photo.from_srgb(np.ascontiguousarray(photo.srgb[..., ::-1]), name="front.jpg")
        swapped = check_photo(SeenPhoto(other, one.face, one.codes), "front", SETTINGS)
        assert {region: f.check for region, f in refused(swapped).items()} == dict.fromkeys(
            MASI_REGIONS, "red_over_blue_od"
        )
        masked = np.array(photo.srgb)
        top, left, bottom, right = one.face.window(masked.shape)
        chin = one.face.photo_codes((top, left, bottom, right)) == Subunit.CHIN
        grain = np.random.default_rng(1).normal(0, 8, (*chin.shape, 1))
        cloth = np.clip(np.array((70, 110, 180)) + grain, 0, 255).astype(np.uint8)
        part = masked[top:bottom, left:right]
        part[chin] = cloth[chin]
        found = refused(check_photo(see(masked), "front", SETTINGS))
        assert found["chin"].check in ("red_over_blue_od", "visible_fraction")
        assert found["chin"].reason == "region_hidden"


@pytest.mark.parametrize("curves", [(0.8, 1, 1.4), (1.15, 1, 0.9)], ids=["sepia", "blue"])
def test_a_black_and_white_photo_toned_in_one_colour_is_not_scored(photos, curves):
    for photo in photos:
        grey = srgb_to_linear(photo.srgb) @ np.array((0.2126, 0.7152, 0.0722))
        toned = linear_to_srgb8(np.stack([grey**power for power in curves], axis=-1).astype(np.float32))
        findings = check_photo(see(toned), "front", SETTINGS)
        why = refusal(findings)
        assert why is not None and why.reason == "not_colour", findings
        assert "toned in one colour" in why.message


@pytest.mark.parametrize(
    ("scale", "levels", "result"), [(1, 5, "pass"), (1, 10, "warn"), (1, 20, "fail"), (2, 6, "pass")]
)
def test_noise_is_measured_as_it_is_seen_at_a_face_width_of_160_px(photos, scale, levels, result):
    """What is finer averages out: a large photo may have more of it in each pixel."""
    rng = np.random.default_rng(0)
    for photo in photos:
        size = tuple(int(scale * side) for side in photo.srgb.shape[1::-1])
        bright = np.clip(np.asarray(photo.srgb) * 1.4, 0, 235).astype(np.uint8)
        large = cv2.resize(bright, size, interpolation=cv2.INTER_CUBIC)
        plain = see(large)
        grain = rng.normal(0, levels * max(1.0, plain.face.face_width_px / 160), large.shape)
        noisy = see(np.clip(large + grain, 0, 255).astype(np.uint8))
        assert noise_levels(plain) < 3
        assert noise_levels(noisy) == pytest.approx(levels, rel=0.2)
        (found,) = (one for one in check_photo(noisy, "front", SETTINGS) if one.check == "noise_levels")
        assert (found.result, found.reason) == (result, "noisy")


@pytest.mark.long
def test_noise_that_a_camera_smeared_is_noticed(photos):
    """By a median, and as blotches of colour: each pixel is like the next, and no grain is left."""
    rng = np.random.default_rng(0)
    for photo in photos:
        sharp = np.asarray(photo.srgb)
        grain = np.clip(sharp + rng.normal(0, 90, sharp.shape), 0, 255).astype(np.uint8)
        blotches = cv2.resize(
            rng.normal(0, 25, (50, 50, 3)), sharp.shape[1::-1], interpolation=cv2.INTER_CUBIC
        )
        for smeared in (cv2.medianBlur(grain, 9), np.clip(sharp + blotches, 0, 255).astype(np.uint8)):
            assert noise_levels(see(smeared)) > LIMITS.noise_levels.fail
        assert noise_levels(see(cv2.medianBlur(sharp, 9))) < LIMITS.noise_levels.warn


def test_noise_is_held_against_the_light_of_the_face(photos):
    """The same noise hides more in a dark photo."""
    dark = lit(photos[0], 0.1)
    noisy = np.clip(dark + np.random.default_rng(0).normal(0, 15, dark.shape), 0, 255).astype(np.uint8)
    assert noise_levels(see(noisy)) > LIMITS.noise_levels.fail
    assert noise_levels(see(dark)) < LIMITS.noise_levels.warn


def test_a_dark_photo_has_the_colours_of_a_light_one(photos):
    for photo in photos:
        usual, dark = (colour_levels(see(lit(photo, factor))) for factor in (1.0, 0.15))
        assert usual > 2 * LIMITS.colour_levels.warn
        assert dark == pytest.approx(usual, rel=0.15)


def test_light_from_one_side_is_measured_and_refused(photos, seen):
    photo = photos[0]
    half = np.where(np.arange(photo.srgb.shape[1]) < photo.srgb.shape[1] / 2, 1.0, 0.25)[None, :, None]
    before, after = light_difference_od(seen[0]), light_difference_od(see(lit(photo, half)))
    assert abs(after - np.log10(4)) < before + 0.05
    assert str(refusal(check_photo(see(lit(photo, half)), "front", SETTINGS)).reason) == "uneven_light"


def test_light_is_compared_in_the_front_view_only(seen):
    assert "light_difference_od" not in {f.check for f in check_photo(seen[0], "left", SETTINGS)}


def test_the_quality_of_a_jpeg_is_read_from_its_tables(tmp_path, photos):
    for quality, off in ((8, 7), (50, 2), (92, 2)):
        file = tmp_path / f"{quality}.jpg"
        bgr = np.ascontiguousarray(photos[0].srgb[..., ::-1])
        cv2.imwrite(str(file), bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
        assert read_photo(file).capture.jpeg_quality == pytest.approx(quality, abs=off)
    result = score_photo(tmp_path / "8.jpg", SETTINGS)
    assert (result.status, result.reason) == ("not_scored", "compressed")
    cv2.imwrite(str(tmp_path / "front.png"), bgr)
    assert read_photo(tmp_path / "front.png").capture.jpeg_quality is None


def turned(seen, **angles):
    return SeenPhoto(seen.photo, replace(seen.face, pose=HeadPose(**angles)), seen.codes)


@pytest.mark.parametrize(
    ("view", "yaw", "pitch", "roll", "refused"),
    [
        ("front", 0, 0, 0, False),
        ("front", 40, 0, 0, True),
        ("front", -40, 0, 0, True),
        ("front", 0, 40, 0, True),
        ("front", 0, -40, 0, True),
        ("front", 0, 0, 50, True),
        ("right", 45, 0, 0, False),
        ("left", -45, 0, 0, False),
        ("right", -45, 0, 0, True),
        ("left", 45, 0, 0, True),
        ("left", 0, 0, 0, True),
        ("right", 80, 0, 0, True),
    ],
)
def test_a_pose_that_is_not_the_view_s_is_refused(seen, view, yaw, pitch, roll, refused):
    """A photo named by the wrong side must not pass: its far cheek would be graded as the near one."""
    one = turned(seen[0], yaw_deg=yaw, pitch_deg=pitch, roll_deg=roll)
    why = refusal(check_photo(one, view, SETTINGS))
    assert (why is not None) == refused
    if why is not None:
        assert why.reason == "pose"
    if yaw * (1 if view == "right" else -1) < 0 and view != "front":
        assert "other side" in why.message


@pytest.mark.parametrize(("pitch", "how"), [(20.0, "chin down"), (-20.0, "chin up")])
def test_a_tilted_head_is_told_where_its_chin_is(seen, pitch, how):
    one = turned(seen[0], yaw_deg=0, pitch_deg=pitch, roll_deg=0)
    (found,) = (one for one in check_photo(one, "front", SETTINGS) if one.check == "pitch_deg")
    assert (found.result, found.value) == ("warn", 20)
    assert found.sentence.startswith(f"The head is tilted 20.0 degrees, {how}. Expected at most 15.")


def test_a_small_face_is_refused_with_its_width(photos):
    small = cv2.resize(np.asarray(photos[0].srgb), None, fx=0.12, fy=0.12, interpolation=cv2.INTER_AREA)
    why = refusal(check_photo(see(small), "front", SETTINGS))
    assert why.reason == "too_small"
    assert "px wide. Expected at least 80 px" in why.message


def test_a_side_view_need_not_show_the_other_cheek(seen):
    hidden = np.where(seen[0].codes == Subunit.RIGHT_MALAR, 0, seen[0].codes).astype(np.uint8)
    one = SeenPhoto(seen[0].photo, seen[0].face, hidden)
    assert "right_malar" in refused(check_photo(one, "front", SETTINGS))
    assert "right_malar" not in refused(check_photo(one, "left", SETTINGS))


def test_gloss_is_seen_where_it_lies(photos, seen):
    """Beads of light, one on each of a grid of places on the left cheek."""
    photo = photos[0]
    x, y = seen[0].face.alignment.landmarks[280, :2] * photo.srgb.shape[0] / seen[0].photo.srgb.shape[0]
    width = seen[0].face.face_width_px
    rows, columns = np.indices(photo.srgb.shape[:2])
    near = np.hypot(rows - y, columns - x) < 0.12 * width
    beads = near & (np.sin(rows * 60 / width) * np.sin(columns * 60 / width) > 0.6)
    shine = cv2.GaussianBlur(beads.astype(np.float32), (0, 0), 1.0)[..., None] * 0.35
    glossy = linear_to_srgb8(np.clip(srgb_to_linear(photo.srgb) + shine, 0, 1).astype(np.float32))
    found = {
        f.region: f.value for f in check_photo(see(glossy), "front", SETTINGS) if f.check == "gloss_fraction"
    }
    plain = {
        f.region: f.value for f in check_photo(seen[0], "front", SETTINGS) if f.check == "gloss_fraction"
    }
    assert found["left_malar"] > plain["left_malar"] + 0.03
    assert found["right_malar"] < plain["right_malar"] + 0.01


def test_an_accepted_check_scores_and_stays_on_record(photos, seen):
    photo = Photo.from_srgb(blurred(photos[0], seen[0], 2.0))
    accepted = load_settings(accept=["blur_percent@P1/V1/front"])
    assert score_photo(photo, accepted).reason == "out_of_focus"
    result = score_photo(photo, accepted, place="P1/V1/front")
    assert result.reason != "out_of_focus"
    assert [f.check for f in result.findings if f.result == "accepted"] == ["blur_percent"]
    assert result.to_dict()["quality"]["result"] in ("accepted", "fail")
    assert worst(result.findings) == result.to_dict()["quality"]["result"]


@pytest.mark.parametrize("toward", [None, "forehead"])
def test_a_hidden_forehead_is_hidden_though_the_nose_counts_toward_it(photos, seen, toward):
    """Check and score look at the same skin, and the nose does not stand for a forehead."""
    settings = SETTINGS.model_copy(
        update={"scale": SETTINGS.scale.model_copy(update={"nose_counts_toward": toward})}
    )
    heights = seen[0].face.alignment.landmarks[:, 1]
    brow = int(heights.min() + 0.2 * np.ptp(heights))
    capped = np.asarray(photos[0].srgb).copy()
    capped[:brow] = (20, 60, 160)
    found = check_photo(see(capped), "front", settings)
    (visible,) = (f for f in found if (f.check, f.region) == ("visible_fraction", "forehead"))
    region = score_photo(Photo.from_srgb(capped), settings).regions["forehead"]
    assert visible.result == "fail"
    assert region.flag == "region_hidden"
    measured = 0.0 if region.measure is None else region.measure.visible_fraction
    assert visible.value == pytest.approx(measured, abs=1e-4)


def test_every_check_that_can_refuse_has_a_reason_and_a_limit():
    limits = {name: getattr(LIMITS, name) for name in type(LIMITS).model_fields}
    can_refuse = {name for name, one in limits.items() if isinstance(one, Limit) and one.fail is not None}
    can_refuse -= {"registration_residual"}
    assert can_refuse | {"colour_card"} == set(REASONS)


def test_a_finding_tells_number_limit_and_advice(photos, seen):
    findings = check_photo(see(blurred(photos[0], seen[0], 2.0)), "front", SETTINGS)
    told = next(f for f in findings if f.check == "blur_percent").to_dict()
    assert (told["result"], told["warn"], told["fail"]) == ("fail", 1.1, 1.3)
    assert told["value"] > 1
    assert told["sentence"].count(". ") >= 2
    assert all(f.sentence == "" for f in findings if f.result == "pass")


# against the first visit


def with_capture(seen, **facts):
    photo = replace(seen.photo, capture=CaptureFacts(**facts), sha256="1" * 64)
    return SeenPhoto(photo, seen.face, seen.codes)


CAMERA = {"camera": "Nikon Z 6", "lens": "105 mm", "exposure_s": 1 / 125, "f_number": 8.0, "iso": 200.0}


def test_the_same_camera_and_pose_change_nothing(seen):
    later = with_capture(seen[0], **CAMERA)
    first = SeenPhoto(replace(later.photo, sha256="0" * 64), seen[0].face, seen[0].codes)
    assert worst(since(first, later)) == "pass"


@pytest.mark.parametrize(
    ("change", "check"),
    [
        ({"camera": "Canon R5"}, "camera"),
        ({"lens": "35 mm"}, "lens"),
        ({"iso": 800.0}, "exposure_change_ev"),
        ({"exposure_s": 1 / 30}, "exposure_change_ev"),
        ({"f_number": 4.0}, "exposure_change_ev"),
    ],
)
def test_another_camera_or_exposure_is_told(seen, change, check):
    first, later = with_capture(seen[0], **CAMERA), with_capture(seen[0], **CAMERA | change)
    later = SeenPhoto(replace(later.photo, sha256="2" * 64), later.face, later.codes)
    assert set(results(since(first, later))) == {(check, None)}


def test_an_aperture_of_twice_the_f_number_is_two_stops(seen):
    first, later = (with_capture(seen[0], **CAMERA | {"f_number": f}) for f in (4.0, 8.0))
    (told,) = [one for one in since(first, later) if one.check == "exposure_change_ev"]
    assert told.value == pytest.approx(2)
    assert told.sentence.startswith("The exposure changed by 2.0 stops since the patient's first good photo.")


def test_what_changed_is_said_in_words(seen):
    first = with_capture(seen[0], flash=True, focal_length_mm=105.0)
    later = with_capture(seen[0], flash=False, focal_length_mm=60.0)
    later = SeenPhoto(replace(later.photo, sha256="2" * 64), later.face, later.codes)
    said = {one.check: one.sentence for one in since(first, later)}
    assert said["flash"].startswith("The flash changed since V1: fired, now not fired.")
    assert said["focal_length_mm"].startswith("The focal length changed since V1: 105, now 60.")


def test_a_photo_taken_before_the_first_visit_is_told_without_its_date(seen):
    first = with_capture(seen[0], taken_at="2026:05:01 10:00:00")
    later_as_iso, no_clock = "2026-06-01T09:00:00", "0000:00:00 00:00:00"
    told = {"2026:04:30 09:00:00": ["warn"], "2026:06:01 09:00:00": ["pass"], later_as_iso: ["pass"]}
    for when, results in {**told, no_clock: [], None: []}.items():
        later = with_capture(seen[0], taken_at=when)
        later = SeenPhoto(replace(later.photo, sha256="2" * 64), later.face, later.codes)
        order = [f for f in since(first, later) if f.check == "order"]
        assert [one.result for one in order] == results  # without a clock nobody knows
        assert "2026" not in str([one.to_dict() for one in order])


def taken_at(seen, when, visit, digest):
    photo = replace(with_capture(seen, taken_at=when).photo, sha256=digest * 64)
    return capture_of(SeenPhoto(photo, seen.face, seen.codes), visit)


def test_the_clock_and_the_file_are_held_against_every_earlier_visit(seen):
    """The third visit before the second, in its very second, and its very file."""
    earlier = [
        taken_at(seen[0], "2026:03:01 10:00:00", "week 0", "a"),
        taken_at(seen[0], "2026:05:01 10:00:00", "week 4", "b"),
    ]
    told = {}
    for digest, day in (("c", "04:01"), ("d", "05:01"), ("b", "05:01")):
        later = taken_at(seen[0], f"2026:{day} 10:00:00", "week 8", digest)
        found = changed_since(earlier, None, later, LIMITS)
        told[digest] = {one.check: one.sentence for one in found if one.result == "warn"}
        assert {"order", "own_moment", "own_file"} <= {one.check for one in found}
        assert "2026" not in str(found)
    assert {digest: set(checks) for digest, checks in told.items()} == {
        "c": {"order"},
        "d": {"own_moment"},
        "b": {"own_file"},
    }
    assert told["c"]["order"].startswith("By the camera's clock this was taken before week 4.")
    assert "in the very second of that of week 4: it may be that photo" in told["d"]["own_moment"]
    assert told["b"]["own_file"].startswith("This is the very file of week 4.")


def test_a_date_that_replaced_the_true_one_everywhere_is_nobodys_moment(seen):
    for date, told in (("2020:01:01 00:00:00", ["pass", "pass"]), ("1900:01:01 00:00:00", [])):
        first, later = (taken_at(seen[0], date, *who) for who in (("V1", "a"), ("V2", "b")))
        found = {one.check: one.result for one in changed_since([first], None, later, LIMITS)}
        assert [found[name] for name in ("order", "own_moment") if name in found] == told


@pytest.mark.parametrize(
    "day", ["2026:05:01 00:00:00", "2026:05:01 00:00:00Z", "2026-05-01", "2026:05:01 00:00:00.00"]
)
def test_a_day_alone_is_held_against_days_alone(seen, day):
    """As a de-identifier leaves it: a photo of that day is neither before it, nor that moment, nor of another
    day."""
    first = taken_at(seen[0], "2026:05:01 15:00:00", "V1", "a")
    for earlier, later in ((first, day), (taken_at(seen[0], day, "V1", "a"), day)):
        alone = taken_at(seen[0], later, "V2", "b")
        found = {one.check: one.result for one in changed_since([earlier], None, alone, LIMITS)}
        assert found["own_moment"] == found["order"] == "pass"
        assert check_day([("front", earlier.facts)], alone.facts).result == "pass"
    before = taken_at(seen[0], "2026:04:30 23:00:00", "V2", "b").facts
    assert check_day([("front", alone.facts)], before).result == "warn"
    assert came_before(before, alone.facts)
    assert not came_before(alone.facts, before)


def test_clocks_of_two_zones_are_held_against_each_other_where_both_tell_theirs(seen):
    """The hour that comes twice when summer time ends."""
    times = ("2026:10:25 02:50:00", "2026:10:25 02:20:00")
    for offsets, turned in ((("+02:00", "+01:00"), False), (("+02:00", ""), True), (("", ""), True)):
        told = [f"{time}{offset}" for time, offset in zip(times, offsets, strict=True)]
        first, later = (with_capture(seen[0], taken_at=one).photo.capture for one in told)
        assert came_before(later, first) is turned
    same = ("2026:10:25 02:50:00+02:00", "2026:10:25 01:50:00+01:00")
    first, later = (
        taken_at(seen[0], when, *who) for when, who in zip(same, (("V1", "a"), ("V2", "b")), strict=True)
    )
    found = {one.check: one.result for one in changed_since([first], None, later, LIMITS)}
    assert (found["own_moment"], found["order"]) == ("warn", "pass")


def test_a_time_that_cannot_be_is_told_without_it_and_none_is_not(seen):
    now = datetime(2026, 5, 1, 10)
    told = {}
    for when in (
        "2004:12:31 23:59:59",
        "2005:01:01 00:00:00",
        "2026:05:02 09:59:00",
        "2026:05:02 10:01:00",
        "1900:01:01 00:00:00",
        None,
    ):
        found = check_clock(with_capture(seen[0], taken_at=when).photo.capture, now)
        told[when] = found and found.result
        assert found is None or not re.search(r"\d", found.sentence)
    assert list(told.values()) == ["warn", "pass", "pass", "warn", None, None]


def test_views_of_another_day_are_told_and_without_a_clock_nothing_is(seen):
    no_clock = "0000:00:00 00:00:00"
    front = ("front", with_capture(seen[0], taken_at=no_clock).photo.capture)
    left = ("left", with_capture(seen[0], taken_at="2026:05:01 10:00:00").photo.capture)
    results = {}
    for when in ("2026:05:01 10:02:00", "2026:05:02 09:00:00", no_clock, None):
        right = with_capture(seen[0], taken_at=when).photo.capture
        results[when] = check_day([front, left], right)
        assert check_day([front], right) is None
    assert [one and one.result for one in results.values()] == ["pass", "warn", None, None]
    said = results["2026:05:02 09:00:00"].sentence
    assert said.startswith("By the camera's clock this was taken on another day than the left view.")
    assert "2026" not in said


def test_a_visit_that_passes_midnight_by_a_clock_of_another_zone_is_of_one_day(seen):
    at = [
        with_capture(seen[0], taken_at=when).photo.capture
        for when in ("2026:05:01 23:59:50", "2026:05:02 00:00:10", "2026:05:02 10:00:00")
    ]
    assert [found and found.result for found in (check_day([("front", at[0])], one) for one in at[1:])] == [
        "pass",
        "warn",
    ]


def test_facts_that_the_camera_did_not_write_are_no_change(seen):
    first, later = with_capture(seen[0]), with_capture(seen[0], **CAMERA)
    later = SeenPhoto(replace(later.photo, sha256="2" * 64), later.face, later.codes)
    assert worst(since(first, later)) == "pass"


def test_a_turned_head_and_the_same_file_are_told(seen):
    later = turned(seen[0], yaw_deg=20.0, pitch_deg=0.0, roll_deg=0.0)
    told = results(since(seen[0], later))
    assert ("yaw_change_deg", None) in told
    assert ("own_file", None) in told


def test_shut_eyes_are_nearer_to_nothing_than_open_ones(seen):
    one = seen[0].face
    shut = one.alignment.landmarks.copy()
    for up, low in ((159, 145), (386, 374)):
        shut[up] = shut[low]
    closed = replace(one, alignment=replace(one.alignment, landmarks=shut))
    assert eye_opening(closed) < 0.01 < 0.15 < eye_opening(one)


def test_a_likeness_just_below_its_limit_never_reads_as_the_limit(seen, monkeypatch):
    monkeypatch.setattr("masi_vision.visit.quality.likeness_of", lambda front, side: 0.6796)
    found = check_likeness(seen[0], seen[1], LIMITS)
    assert found.result == "warn"
    assert "the skin is alike by 0.679. Expected at least 0.68:" in found.sentence


def test_views_that_share_too_little_skin_pass_no_check_of_likeness(seen):
    front, side = (SeenPhoto(one.photo, one.face, np.zeros_like(one.codes)) for one in seen[:2])
    assert check_likeness(front, side, LIMITS) is None
    assert check_person(SkinDetail.of(front), "V1", side, LIMITS) is None
