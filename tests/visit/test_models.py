"""The shipped models belong together, and the settings to them."""

import json
from dataclasses import replace

import numpy as np
import pytest

from masi_vision.config import load_settings, shipped_file
from masi_vision.errors import ModelError, NotScorable
from masi_vision.face.models import shipped_folder
from masi_vision.photo import Photo
from masi_vision.pigment import learned, rules
from masi_vision.pigment.learned import INPUT_CHANNELS, NETWORK_SHAPE
from masi_vision.visit import models as under_test
from masi_vision.visit.measure import measure_photo, pigment_maps
from masi_vision.visit.models import PIGMENT_CARD, PIGMENT_READER, shipped_models

SHAPE = (720, 640)
SHIPPED = load_settings()


@pytest.fixture(scope="module")
def card():
    return json.loads(shipped_file("models", PIGMENT_CARD).read_text(encoding="utf-8"))


def test_every_model_file_has_its_hash_beside_the_scores():
    found = shipped_models().sha256
    assert {"face_atlas.npz", "face_finder.onnx", "face_reader.onnx", PIGMENT_READER} == set(found)
    assert all(len(digest) == 64 for digest in found.values())


def test_the_pigment_network_takes_a_frame_and_gives_two_maps():
    drawn = shipped_models().pigment.read(np.zeros((INPUT_CHANNELS, *NETWORK_SHAPE), np.float32))
    assert drawn.shape == (2, *NETWORK_SHAPE)
    assert np.isfinite(drawn).all()
    assert drawn[1].min() >= 0


def test_the_network_fits_on_a_stick():
    assert shipped_file("models", PIGMENT_READER).stat().st_size < 25e6


def test_the_settings_are_those_that_were_chosen_with_the_network(card):
    """A new network comes with its own threshold and limit: both are written into its card."""
    assert f"{SHIPPED.pigment.lesion_probability:g}" == card["validation"]["chosen_cut"]
    assert SHIPPED.pigment.disagreement_fraction == pytest.approx(card["validation"]["apart_95"], abs=0.006)


def test_intervals_are_known_for_both_methods(card):
    assert set(card["errors"]) == set(shipped_models().pigment.errors) == {learned.METHOD, rules.METHOD}
    for error in shipped_models().pigment.errors.values():
        assert 0 < error.share <= 1
        assert error.fraction.around(0.3)[0] < 0.3 < error.fraction.around(0.3)[1]


def test_a_pigment_model_of_another_atlas_is_refused(card, monkeypatch):
    other = card | {"atlas": "another"}
    monkeypatch.setattr(under_test, "read_card", lambda *_: (other, {}))
    with pytest.raises(ModelError, match=r"is for atlas another\. Expected"):
        under_test._open_models.__wrapped__(shipped_folder())


@pytest.fixture(scope="module")
def models(known_models, placed):
    return known_models(placed(320, 330, 190.0), SHAPE)


def test_the_learned_map_is_measured_and_the_rules_give_a_second_opinion(plain_skin, models):
    measured = measure_photo(Photo.from_srgb(plain_skin(*SHAPE)), "front", SHIPPED, models)
    assert measured.pigment.method == learned.METHOD
    assert all(0 <= fraction <= 1 for fraction in measured.second_fraction.values())
    for region in measured.regions.values():
        assert region.pigmented_fraction_low <= region.pigmented_fraction <= region.pigmented_fraction_high


def test_even_skin_is_free_by_the_learned_map_too(plain_skin, models):
    measured = measure_photo(Photo.from_srgb(plain_skin(*SHAPE)), "front", SHIPPED, models)
    assert max(region.pigmented_fraction for region in measured.regions.values()) < 0.05


def test_without_visible_skin_there_is_no_learned_map_and_a_reason(models):
    shape = models.face.atlas.labels.shape
    with pytest.raises(NotScorable, match="Hardly any facial skin is visible") as caught:
        pigment_maps(
            np.full((*shape, 3), 0.3, np.float32), np.zeros(shape, np.uint8), SHIPPED.pigment, models
        )
    assert caught.value.reason == "region_hidden"


def test_the_method_of_the_settings_stands_beside_the_score(by_rules, plain_skin, models):
    from masi_vision import score_photo

    photo = Photo.from_srgb(plain_skin(*SHAPE))
    for settings, method in ((SHIPPED, learned.METHOD), (by_rules, rules.METHOD)):
        assert score_photo(photo, settings, models=models).provenance.pigment_method == method


def test_a_changed_network_changes_the_hash_beside_the_score(models):
    other = replace(models, pigment=replace(models.pigment, sha256={PIGMENT_READER: "0" * 64}))
    assert other.sha256 != models.sha256
