"""A colour card beside a face: what it corrects, and what happens where it cannot."""

import cv2
import numpy as np
import pytest
from checker import CARD_SRGB, photograph

from masi_vision import score_photo
from masi_vision.config import load_settings
from masi_vision.photo import Photo, linear_to_srgb8, read_photo, srgb_to_linear
from masi_vision.photo.colour_card import PATCHES
from masi_vision.photo.colour_correction import Correction, Refusal
from masi_vision.visit.laid_over import face_in_frame
from masi_vision.visit.models import shipped_models
from masi_vision.visit.seen import SeenPhoto, see_photo
from masi_vision.visit.since_first import capture_of, changed_since

A_CAMERA = np.array([[0.75, 0.12, 0.02], [0.06, 0.70, 0.08], [0.02, 0.12, 0.52]])


def chosen(use, **changes):
    settings = load_settings()
    card = settings.quality.colour_card.model_copy(update={"use": use})
    quality = settings.quality.model_copy(update={"colour_card": card} | changes)
    return settings.model_copy(update={"quality": quality})


@pytest.fixture(scope="module")
def face(demo_visits):
    return np.asarray(read_photo(demo_visits[0] / "front.jpg").srgb)


def beside(face, card):
    """The face and, to the right of it, a card on grey cloth."""
    rows = np.full((len(face), card.shape[1], 3), 140, np.uint8)
    top = (len(face) - len(card)) // 2
    rows[top : top + len(card)] = card
    return np.concatenate([face, rows], axis=1)


@pytest.fixture(scope="module")
def scene(face):
    return beside(face, photograph(CARD_SRGB, size=(500, 500), turn_deg=5))


def by_camera(scene, camera=A_CAMERA):
    return linear_to_srgb8((srgb_to_linear(scene) @ camera.T).astype(np.float32))


def see(picture, use="use"):
    return see_photo(Photo.from_srgb(picture, name="front.jpg"), chosen(use), shipped_models())


def test_a_face_is_measured_in_its_own_colours(scene):
    """Crosstalk, exposure and balance of a camera are undone on the face by the card beside it."""
    plain, other = see(scene, "ignore"), see(by_camera(scene))
    assert isinstance(other.card, Correction)
    both = ((plain.codes > 0) & (other.codes > 0)).astype(np.uint8)
    skin = cv2.erode(both, np.ones((9, 9), np.uint8)) > 0
    as_taken, as_corrected = (
        np.median(np.abs(rgb[skin] - plain.linear_rgb[skin]), axis=0)
        for rgb in (other.linear_rgb, other.corrected_rgb)
    )
    assert (as_corrected < 0.012).all()
    assert (as_taken > 3 * as_corrected).any()


def test_what_was_done_by_the_card_is_on_record(scene):
    result = score_photo(Photo.from_srgb(by_camera(scene)), chosen("use"))
    assert result.status == "scored"
    card = result.to_dict()["quality"]["colour_card"]
    assert set(card["delta_e00"]["before"]) == set(PATCHES)
    assert np.mean(list(card["delta_e00"]["after"].values())) < 2
    assert np.mean(list(card["delta_e00"]["before"].values())) > 5
    (finding,) = [f for f in result.findings if f.check == "colour_card"]
    assert finding.result == "pass"


@pytest.mark.parametrize(
    ("use", "status"), [("ignore", "scored"), ("use", "scored"), ("require", "not_scored")]
)
def test_a_missing_card_matters_as_the_settings_say(face, use, status):
    result = score_photo(Photo.from_srgb(face), chosen(use))
    assert result.status == status
    told = {f.check: f.result for f in result.findings}.get("colour_card")
    assert told == {"ignore": None, "use": "warn", "require": "fail"}[use]
    if use == "require":
        assert result.reason == "colour_card"
        assert "No colour card was found" in result.message


def test_a_card_with_a_hand_over_it_corrects_nothing_and_says_so(face):
    card = photograph(CARD_SRGB, size=(500, 500))
    rows, columns = np.indices(card.shape[:2])
    card[np.hypot((rows - 280) / 1.4, columns - 290) < 62] = (214, 160, 135)
    seen = see(beside(face, card))
    assert not isinstance(seen.card, Correction)
    np.testing.assert_array_equal(seen.corrected_rgb, seen.linear_rgb)
    result = score_photo(Photo.from_srgb(beside(face, card)), chosen("require"))
    assert (result.status, result.reason) == ("not_scored", "colour_card")


@pytest.mark.parametrize("use", ["use", "require"])
def test_a_card_that_is_mirrored_refuses_the_photo_whose_cheeks_are_too(face, use):
    mirrored = np.ascontiguousarray(beside(face, photograph(CARD_SRGB, size=(500, 500)))[:, ::-1])
    result = score_photo(Photo.from_srgb(mirrored), chosen(use))
    assert (result.status, result.reason) == ("not_scored", "colour_card")
    assert "mirrored" in result.message


def test_a_required_card_can_be_accepted_by_name(face):
    result = score_photo(Photo.from_srgb(face), chosen("require", accepted=("colour_card",)))
    assert result.status == "scored"
    assert {f.check for f in result.findings if f.result == "accepted"} == {"colour_card"}


def test_drift_from_the_first_visit_is_told(scene):
    first, same = see(scene), see(by_camera(scene, np.eye(3) * 0.99))
    later = see(by_camera(scene, np.diag([0.8, 0.7, 0.55])))
    refused = SeenPhoto(later.photo, later.face, later.codes, Refusal("covered", "A finger."))

    def drift(one):
        findings = changed_since(
            [capture_of(first, "V1")], capture_of(first, "V1"), capture_of(one, "V2"), chosen("use").quality
        )
        return {f.check: f.result for f in findings}.get("card_drift_delta_e00")

    assert [drift(one) for one in (same, later, refused)] == ["pass", "warn", None]


def test_a_corrected_photo_is_compared_as_it_was_measured(scene):
    measures = score_photo(Photo.from_srgb(by_camera(scene)), chosen("use")).measures
    np.testing.assert_array_equal(face_in_frame(measures).linear_rgb, see(by_camera(scene)).corrected_rgb)
