"""Scores of photos and visits: which view counts, what hides a region, and what a result says of itself."""

import json
from dataclasses import FrozenInstanceError, replace
from types import MappingProxyType

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from remembered import forget

from masi_vision import compare_visits, score_photo, score_visit
from masi_vision.config import Settings, load_settings
from masi_vision.errors import NotScorable
from masi_vision.phantom.demo import demo_folder
from masi_vision.photo import Photo, read_photo
from masi_vision.pigment.measure import RegionMeasure
from masi_vision.scale import RegionGrade
from masi_vision.visit import region as regions_under_test
from masi_vision.visit import score as under_test
from masi_vision.visit.quality import Finding
from masi_vision.visit.region import RegionResult, grade, region_values
from masi_vision.visit.score import change_ends, mmasi_of, quality_result
from masi_vision.visit.seen import SeenPhoto
from masi_vision.visit.views import JoinedMeasure

SHAPE = (720, 640)
MASI = ("forehead", "right_malar", "left_malar", "chin")
REGIONS = (*MASI, "nose", "upper_lip")


def region(fraction=0.2, contrast=0.08, patch=0.5, visible=0.9, **changes):
    values = {
        "visible_fraction": visible,
        "pigmented_fraction": fraction,
        "contrast_od": contrast,
        "contrast_delta_l": 60 * contrast,
        "contrast_ita_deg": 100 * contrast,
        "largest_patch_fraction": patch,
        "normal_ita_deg": 35.0,
        "pigmented_fraction_low": 0.8 * fraction,
        "pigmented_fraction_high": min(1.0, 1.2 * fraction),
        "contrast_od_low": 0.9 * contrast,
        "contrast_od_high": 1.1 * contrast,
        "integrated_od": fraction * contrast,
        "undecided_fraction": 0.1,
    }
    return RegionMeasure(**(values | changes))


FREE = region(0.0, 0.0, 0.0)


@pytest.fixture(scope="module")
def models(known_models, placed):
    return known_models(placed(320, 330, 190.0), SHAPE)


@pytest.fixture(scope="module")
def measured(plain_skin, settings, models):
    """A really measured photo of even skin, whose regions tests replace."""
    return score_photo(Photo.from_srgb(plain_skin(*SHAPE)), settings, models=models).measures


@pytest.fixture
def visit_of(monkeypatch, measured, settings, models):
    """Score a visit whose photos measure as given: per view the regions, or why it cannot be scored."""

    def score(views, chosen=settings, second=MappingProxyType({}), checks=MappingProxyType({})):
        def measure(seen, view, *_):
            found = views[view]
            if isinstance(found, NotScorable):
                raise found
            opinions = dict.fromkeys(REGIONS) | second.get(view, {})
            regions = dict.fromkeys(REGIONS, FREE) | found
            return replace(measured, view=view, regions=regions, second_fraction=opinions)

        seen = SeenPhoto(measured.photo, measured.face, measured.codes)
        monkeypatch.setattr(under_test, "see_photo", lambda *_: seen)
        monkeypatch.setattr(under_test, "check_photo", lambda _, view, *__: checks.get(view, ()))
        monkeypatch.setattr(under_test, "measure_seen", measure)
        return score_visit({view: f"{view}.jpg" for view in views}, chosen, models=models)

    return score


def test_malar_regions_come_from_their_own_side_and_the_rest_from_the_front(visit_of):
    result = visit_of({"front": {}, "left": {}, "right": {}})
    assert {name: r.view for name, r in result.regions.items()} == {
        "forehead": "front",
        "right_malar": "right",
        "left_malar": "left",
        "chin": "front",
        "nose": "front",
        "upper_lip": "front",
    }
    assert {r.flag for r in result.regions.values()} == {""}


def test_pigment_that_a_side_view_shows_on_the_other_cheek_is_in_no_grade(visit_of):
    """Half hidden and at a grazing angle: what is found there may be the near cheek's."""
    astray = {"left_malar": region(0.95, 0.3)}
    for views in ({"right": astray}, {"right": astray, "front": {}}, {"right": astray, "left": {}}):
        result = visit_of(views).regions["left_malar"]
        assert result.grade is None or result.grade.area == 0
        assert result.view != "right"


def test_a_cheek_seen_twice_is_measured_in_both_views_and_graded_once(visit_of, monkeypatch):
    asked = []

    def together(views, members, **_):
        asked.append(([one.view for one in views], list(members)))
        return JoinedMeasure(region(0.2, 0.08), (0.7, 0.3))

    monkeypatch.setattr(regions_under_test, "joined", together)
    far_apart = {"front": {"right_malar": region(0.95, 0.3)}, "right": {}, "left": {}}
    result = visit_of(far_apart)
    assert asked == [(["right", "front"], [2]), (["left", "front"], [3])]
    assert result.regions["right_malar"].measure == region(0.2, 0.08)
    assert (result.regions["right_malar"].view, result.regions["right_malar"].view_share) == ("right", 0.7)
    assert result.regions["right_malar"].flag == "views_differ"
    assert result.regions["left_malar"].flag == ""
    assert result.regions["forehead"].view_share == 1
    assert result.scores.mmasi == pytest.approx(0.3 * 2 * 2 * 2)


def test_a_lone_front_photo_scores_every_region_without_a_flag(visit_of):
    result = visit_of({"front": {"chin": region(0.2, 0.08)}})
    assert result.status == "scored"
    assert {r.view for r in result.regions.values()} == {"front"}
    assert {r.flag for r in result.regions.values()} == {""}
    assert result.scores.mmasi == pytest.approx(0.1 * 2 * 2)  # the chin alone counts one tenth


@pytest.mark.parametrize(
    "bad", [NotScorable("no_face", "No face."), {"right_malar": region(visible=0.3)}, {"right_malar": None}]
)
def test_a_side_view_that_cannot_be_used_is_replaced_by_the_front_and_flagged(visit_of, bad):
    result = visit_of({"front": {"right_malar": region()}, "right": bad})
    malar = result.regions["right_malar"]
    assert (malar.view, malar.flag) == ("front", "other_view")
    assert malar.measure == region()
    assert result.status == "scored"


def test_the_far_side_view_is_never_used_for_a_malar_region(visit_of):
    result = visit_of({"front": {"right_malar": region(visible=0.2)}, "left": {"right_malar": region()}})
    assert result.status == "not_scored"
    assert result.regions["right_malar"].flag == "region_hidden"


@pytest.mark.parametrize("name", MASI)
@pytest.mark.parametrize("hidden", [None, region(visible=0.49)])
def test_a_hidden_region_makes_the_visit_not_scored_and_never_zero(visit_of, name, hidden):
    result = visit_of({"front": {name: hidden}})
    assert (result.status, result.reason, result.scores) == ("not_scored", "region_hidden", None)
    assert name.replace("_", " ").capitalize() in result.message
    assert ("0.0% visible" if hidden is None else "49.0% visible") in result.message
    values = result.to_dict()
    assert values["mmasi"] is values["masi"] is values["mmasi_continuous"] is values["mmasi_low"] is None
    assert values["regions"][name]["area"] is None
    assert values["regions"][name]["flag"] == "region_hidden"
    if hidden is None:
        assert values["regions"][name]["pigmented_fraction"] is None
        assert values["regions"][name]["visible_fraction"] is None


def test_a_region_just_visible_enough_is_graded(visit_of):
    assert visit_of({"front": {"chin": region(visible=0.5)}}).status == "scored"


def test_a_region_on_which_the_second_opinion_differs_strongly_is_flagged(visit_of, settings):
    limit = settings.pigment.disagreement_fraction
    front = {"forehead": region(0.05), "chin": region(0.9), "left_malar": region(0.3)}
    second = {"forehead": 0.06 + limit, "chin": 0.89 - limit, "left_malar": 0.29 + limit}
    regions = visit_of({"front": front}, second={"front": second}).regions
    flags = {name: regions[name].flag for name in MASI}
    assert flags == {
        "forehead": "disagreement",
        "right_malar": "",
        "left_malar": "",
        "chin": "disagreement",
    }
    assert region_values(regions["forehead"])["second_opinion_fraction"] == round(0.06 + limit, 5)
    assert region_values(regions["right_malar"])["second_opinion_fraction"] is None


def test_a_region_of_which_the_map_is_undecided_is_flagged(visit_of, settings):
    limit = settings.pigment.undecided_fraction
    front = {"chin": region(undecided_fraction=limit + 0.01), "forehead": region(undecided_fraction=limit)}
    regions = visit_of({"front": front}).regions
    assert [regions[name].flag for name in ("chin", "forehead")] == ["undecided", ""]
    assert regions["chin"].grade is not None
    second = {"chin": 0.21 + settings.pigment.disagreement_fraction}
    assert (
        visit_of({"front": front}, second={"front": second}).regions["chin"].flag == "undecided;disagreement"
    )


def test_both_flags_of_a_region_are_said(visit_of):
    views = {"front": {"right_malar": region(0.0, 0.0, 0.0)}, "right": {"right_malar": None}}
    result = visit_of(views, second={"front": {"right_malar": 1.0}})
    assert result.regions["right_malar"].flag == "other_view;disagreement"


def test_a_share_of_the_regions_intervals_is_the_interval_of_the_score(visit_of, models, settings):
    wide = region(0.5, 0.12, pigmented_fraction_low=0.0, pigmented_fraction_high=1.0, contrast_od_low=0.0)
    scores = visit_of({"front": dict.fromkeys(MASI, wide)}).scores
    share = models.pigment.errors["classical-1"].share
    low = mmasi_of(dict.fromkeys(MASI, (0.5 * (1 - share), 0.12 * (1 - share))), settings.scale)
    high = mmasi_of(dict.fromkeys(MASI, (0.5 * (1 + share), 0.12 * (1 + 0.1 * share))), settings.scale)
    assert (scores.mmasi_low, scores.mmasi_high) == (low, high)
    assert low < high


def test_the_models_say_how_much_of_the_regions_intervals_the_score_has(visit_of, models, settings):
    wide = region(0.5, 0.12, pigmented_fraction_low=0.0, pigmented_fraction_high=1.0, contrast_od_low=0.0)
    photos = visit_of({"front": dict.fromkeys(MASI, wide)}).photos
    own = models.pigment.errors
    ends = {}
    for share in (0.3, 1.0):
        errors = {**own, "classical-1": replace(own["classical-1"], share=share)}
        made = replace(models, pigment=replace(models.pigment, errors=errors))
        scores = under_test.visit_of(photos, settings, models=made).scores
        ends[share] = (scores.mmasi_low, scores.mmasi_high)
    low, high = (
        mmasi_of(dict.fromkeys(MASI, moved), settings.scale) for moved in ((0.35, 0.084), (0.65, 0.1236))
    )
    assert ends[0.3] == (low, high)
    assert ends[1.0][0] < low < high < ends[1.0][1]


def test_a_change_reaches_as_far_down_as_the_second_score_may_be_lower_and_the_first_higher():
    low, high = change_ends((10, 8, 11), (6, 5, 9), share=1)
    assert (low, high) == pytest.approx((-4 - np.hypot(1, 1), -4 + np.hypot(3, 2)))
    half = change_ends((10, 8, 11), (6, 5, 9), share=0.5)
    assert half == pytest.approx((-4 - np.hypot(1, 1) / 2, -4 + np.hypot(3, 2) / 2))


@pytest.mark.parametrize("name", ["nose", "upper_lip"])
def test_a_hidden_nose_or_lip_does_not_keep_a_visit_from_its_score(visit_of, name):
    result = visit_of({"front": {name: None}})
    assert result.status == "scored"
    assert result.regions[name].flag == "region_hidden"


def test_nose_and_upper_lip_are_measured_and_not_graded(visit_of):
    result = visit_of({"front": {"nose": region(0.9, 0.3), "upper_lip": region(0.9, 0.3)}})
    assert result.scores.mmasi == 0
    assert result.regions["nose"].measure.pigmented_fraction == 0.9
    assert result.regions["nose"].grade is None


def test_without_a_front_photo_the_reason_is_that_it_is_missing(visit_of):
    result = visit_of({"right": {}, "left": {}})
    assert (result.status, result.reason) == ("not_scored", "no_photo")
    assert "front" in result.message


def test_a_bad_front_photo_gives_its_own_reason_to_the_visit(visit_of):
    result = visit_of({"front": NotScorable("pose", "The head is turned."), "left": {}, "right": {}})
    assert (result.status, result.reason, result.message) == ("not_scored", "pose", "The head is turned.")
    assert result.to_dict()["views"]["front"]["reason"] == "pose"
    assert result.regions["forehead"].view is None or result.regions["forehead"].grade is None


def test_a_photo_answers_for_what_is_looked_for_in_it_first(visit_of):
    """A side view hides the other cheek, as it must, and the front may hide what the sides show."""
    hidden = region(visible=0.05)
    left = {"right_malar": hidden, "forehead": hidden, "chin": hidden}
    seen = visit_of({"front": {"right_malar": hidden}, "left": left, "right": {}}).to_dict()
    assert {view: one["status"] for view, one in seen["views"].items()} == dict.fromkeys(
        seen["views"], "scored"
    )
    covered = visit_of({"front": {"right_malar": hidden}, "left": {"left_malar": hidden}}).to_dict()
    told = {view: (one["status"], one["reason"]) for view, one in covered["views"].items()}
    assert told == dict.fromkeys(("front", "left"), ("not_scored", "region_hidden"))
    assert covered["views"]["front"]["message"].startswith("Right malar: 5.0% visible.")
    assert covered["views"]["left"]["message"].startswith("Left malar: 5.0% visible.")
    assert covered["regions"]["left_malar"]["flag"] == "other_view"


fractions, contrasts = st.floats(0, 1), st.floats(0, 0.6)
amounts = st.tuples(fractions, contrasts, st.floats(0, 1), st.floats(0, 1), st.floats(0, 0.3))


def made(amount):
    fraction, contrast, patch, spread, swing = amount
    if fraction == 0 or contrast == 0:
        return FREE
    return region(
        fraction,
        contrast,
        patch,
        pigmented_fraction_low=fraction * (1 - 0.5 * spread),
        pigmented_fraction_high=min(1.0, fraction * (1 + spread)),
        contrast_od_low=max(0.0, contrast - swing),
        contrast_od_high=contrast + swing,
    )


@hypothesis_settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(amounts, min_size=4, max_size=4))
def test_low_never_exceeds_the_score_nor_the_score_high(visit_of, amounts):
    result = visit_of({"front": dict(zip(MASI, map(made, amounts), strict=True))})
    assert 0 <= result.scores.mmasi_low <= result.scores.mmasi <= result.scores.mmasi_high <= 24
    assert 0 <= result.scores.mmasi_continuous <= 24
    assert 0 <= result.scores.mmasi <= result.scores.masi <= 48


@given(fractions, contrasts, st.floats(0, 1), st.floats(1, 3))
def test_a_darker_lesion_never_lowers_its_grade(settings, fraction, contrast, patch, factor):
    lighter, darker = (
        grade(region(fraction, c, patch), settings.scale) for c in (contrast, factor * contrast)
    )
    assert darker.area * darker.darkness >= lighter.area * lighter.darkness


@given(st.floats(0, 0.0099), contrasts, st.floats(0, 1))
def test_traces_below_the_noise_floor_are_a_region_without_melasma(settings, fraction, contrast, patch):
    assert grade(region(fraction, contrast, patch), settings.scale) == RegionGrade(0, 0, 0)


def test_the_plain_values_have_the_keys_of_scores_json(visit_of):
    values = visit_of({"front": {}, "left": {}, "right": {}}).to_dict()
    assert list(values) == [
        "patient",
        "visit",
        "status",
        "reason",
        "message",
        "mmasi",
        "masi",
        "mmasi_continuous",
        "masi_continuous",
        "mmasi_low",
        "mmasi_high",
        "regions",
        "provenance",
        "views",
    ]
    assert list(values["views"]) == ["front", "left", "right"]
    assert set(values["regions"]) == set(REGIONS)
    named_in_the_design = {
        "view",
        "visible_fraction",
        "pigmented_fraction",
        "contrast_od",
        "contrast_delta_l",
        "contrast_ita_deg",
        "largest_patch_fraction",
        "integrated_od",
        "area",
        "darkness",
        "homogeneity",
    }
    for values_of in values["regions"].values():
        assert named_in_the_design <= set(values_of)


def test_a_scored_and_an_unscored_result_have_the_same_keys(visit_of):
    scored, unscored = visit_of({"front": {}}).to_dict(), visit_of({"front": {"chin": None}}).to_dict()
    assert list(scored) == list(unscored)
    assert list(scored["regions"]["chin"]) == list(unscored["regions"]["chin"])


def test_the_plain_values_are_json_and_hold_no_nan(visit_of):
    values = visit_of(
        {"front": {"chin": None, "nose": region()}, "left": NotScorable("no_face", "No face.")}
    ).to_dict()
    assert json.loads(json.dumps(values, allow_nan=False)) == json.loads(json.dumps(values))


def test_a_result_says_what_made_it(visit_of, settings, models, atlas):
    from masi_vision import __version__

    provenance = visit_of({"front": {}}).to_dict()["provenance"]
    assert provenance["version"] == __version__
    assert provenance["settings_sha256"] == settings.sha256
    assert provenance["models_sha256"] == models.sha256
    assert provenance["atlas"] == atlas.version
    assert provenance["pigment_method"]
    assert all(provenance.values())


def test_other_settings_have_another_provenance(visit_of, settings):
    values = settings.model_dump(mode="json")
    values["quality"]["visible_fraction"]["fail"] = 0.4
    other = Settings.model_validate_json(json.dumps(values))
    plain = visit_of({"front": {"chin": region(visible=0.45)}})
    looser = visit_of({"front": {"chin": region(visible=0.45)}}, other)
    assert (plain.status, looser.status) == ("not_scored", "scored")
    assert plain.provenance != looser.provenance


def burnt_out(region):
    return Finding("clipped_fraction", region, "fail", 0.4, 0.05, 0.25, "The skin is burnt out.")


def test_a_region_that_fails_a_check_is_not_graded_and_gives_its_reason(visit_of):
    result = visit_of({"front": {}}, checks={"front": (burnt_out("left_malar"),)})
    assert (result.status, result.reason, result.message) == (
        "not_scored",
        "clipped",
        "The skin is burnt out.",
    )
    assert result.regions["left_malar"].flag == "clipped"
    assert result.regions["left_malar"].grade is None
    assert result.regions["right_malar"].grade is not None


def test_a_view_that_passes_is_taken_before_one_that_was_accepted(visit_of):
    accepted = replace(burnt_out("left_malar"), result="accepted")
    views = {"front": {"left_malar": region(0.0, 0.0, 0.0)}, "left": {"left_malar": region(0.4, 0.1)}}
    result = visit_of(views, checks={"front": (accepted,)})
    malar = result.regions["left_malar"]
    assert (malar.view, malar.view_share, malar.measure) == ("left", 1, region(0.4, 0.1))
    alone = visit_of({"front": {}}, checks={"front": (accepted,)})
    assert alone.regions["left_malar"].flag == "accepted"
    assert alone.status == "scored"


def test_a_region_that_fails_a_check_in_one_view_is_taken_from_the_other(visit_of):
    result = visit_of({"front": {}, "left": {}}, checks={"left": (burnt_out("left_malar"),)})
    assert result.status == "scored"
    assert (result.regions["left_malar"].view, result.regions["left_malar"].flag) == ("front", "other_view")


def test_the_quality_of_a_visit_is_that_of_the_cheeks_in_their_own_views(visit_of):
    """As `masi qc` has it: a cheek burnt out in front does not matter where its own view shows it well."""
    checks = {"front": (burnt_out("left_malar"),)}
    alone = visit_of({"front": {}}, checks=checks)
    assert quality_result(alone.photos) == "fail"
    both = visit_of({"front": {}, "left": {}}, checks=checks)
    assert quality_result(both.photos) == "pass"


def test_a_region_that_is_not_seen_cannot_be_accepted_but_one_hardly_seen_can(visit_of, settings):
    accepted = settings.quality.model_copy(update={"accepted": ("visible_fraction@front",)})
    chosen = settings.model_copy(update={"quality": accepted})
    hardly = {"front": {"chin": region(0.2, visible=0.25)}}
    almost_none = {"front": {"chin": region(0.2, visible=0.1)}}
    assert visit_of(hardly).status == "not_scored"
    assert visit_of(hardly, chosen).status == "scored"
    assert visit_of(almost_none, chosen).status == "not_scored"
    assert visit_of({"front": {"chin": None}}, chosen).status == "not_scored"


def test_a_region_that_was_not_measured_has_no_numbers_at_all():
    values = region_values(RegionResult(None, None, None, ("region_hidden",)))
    assert {value for name, value in values.items() if name != "flag"} == {None}


def test_a_refused_region_has_no_second_opinion_either():
    seen = region(0.2, 0.08)
    burnt = region_values(RegionResult("front", seen, None, ("clipped",), 0.4, "Burnt out."))
    assert (burnt["visible_fraction"], burnt["second_opinion_fraction"]) == (0.9, None)
    graded = region_values(RegionResult("front", seen, RegionGrade(2, 2, 2), (), 0.4))
    assert graded["second_opinion_fraction"] == 0.4


BAD_FILES = {
    "text": b"this is not a photograph\n" * 20,
    "empty": b"",
    "half a JPEG header": b"\xff\xd8\xff\xe0\x00\x10JFIF\x00",
    "zeros": bytes(5000),
}


@pytest.mark.parametrize("what", sorted(BAD_FILES))
def test_a_bad_file_named_jpg_is_not_scored_and_raises_nothing(tmp_path, settings, models, what):
    file = tmp_path / "front.jpg"
    file.write_bytes(BAD_FILES[what])
    result = score_photo(file, settings, models=models)
    assert (result.status, result.scores, result.measures) == ("not_scored", None, None)
    assert result.reason in ("unreadable", "unsupported_format")
    assert "front.jpg" in result.message
    assert str(tmp_path) not in result.message
    json.dumps(result.to_dict(), allow_nan=False)


def test_a_truncated_photo_is_not_scored(tmp_path, settings, models, demo_visits):
    file = tmp_path / "front.jpg"
    file.write_bytes((demo_visits[0] / "front.jpg").read_bytes()[:20_000])
    result = score_photo(file, settings, models=models)
    assert (result.status, result.reason) == ("not_scored", "unreadable")


def test_a_missing_file_is_not_scored(tmp_path, settings, models):
    result = score_photo(tmp_path / "nowhere.png", settings, models=models)
    assert (result.status, result.reason, result.name) == ("not_scored", "unreadable", "nowhere.png")


def test_a_photo_that_was_read_but_not_scored_keeps_its_fingerprint(tmp_path, settings, known_models, placed):
    """What was refused must be traceable to the file that was refused."""
    file = tmp_path / "front.png"
    cv2.imwrite(str(file), np.random.default_rng(2).integers(0, 256, (300, 300, 3), np.uint8))
    models = known_models(placed(150, 150, 70), (300, 300), probability=0.1)
    result = score_photo(file, settings, models=models)
    assert result.reason == "no_face"
    assert result.photo_sha256 == read_photo(file).sha256


@pytest.mark.parametrize("shape", [(1, 1), (2, 3000), (3000, 2), (17, 33)])
def test_a_picture_of_hardly_any_pixels_is_not_scored(settings, shape):
    picture = np.random.default_rng(3).integers(0, 256, (*shape, 3), np.uint8)
    assert score_photo(Photo.from_srgb(picture), settings).status == "not_scored"


def test_a_result_is_frozen_and_prints_without_pixels(settings, models, plain_skin):
    result = score_photo(Photo.from_srgb(plain_skin(*SHAPE), name="front.jpg"), settings, models=models)
    with pytest.raises(FrozenInstanceError):
        result.status = "scored"
    assert "front.jpg" in repr(result)
    assert "array" not in repr(result)
    assert len(repr(result)) < 8000


def test_the_same_photo_gives_the_same_result_twice(demo_visits, settings):
    first = score_photo(demo_visits[0] / "front.jpg", settings)
    forget()
    second = score_photo(demo_visits[0] / "front.jpg", settings)
    assert first == second
    assert first.to_dict() == second.to_dict()
    np.testing.assert_array_equal(first.measures.pigment.density_od, second.measures.pigment.density_od)


def test_a_photo_and_its_file_give_the_same_result(demo_visits, settings):
    file = demo_visits[0] / "front.jpg"
    of_photo = score_photo(read_photo(file, min_side_px=720), settings)
    forget()
    assert of_photo.scores == score_photo(file, settings).scores


# From here on the shipped networks read the demo photographs.


@pytest.fixture(scope="module")
def shipped():
    """Settings that measure by the networks, as they come."""
    chosen = load_settings()
    assert chosen.pigment.method == "learned"
    return chosen


def test_the_demo_photos_are_scored_with_nearly_all_skin_visible(demo_visits, shipped):
    for visit in demo_visits:
        result = score_photo(visit / "front.jpg", shipped)
        assert result.status == "scored", result.message
        assert all(result.regions[name].measure.visible_fraction > 0.7 for name in MASI)
        assert abs(result.measures.face.pose.yaw_deg) < 12
        assert result.photo_sha256 == read_photo(visit / "front.jpg").sha256


def test_the_demo_visits_are_scored_from_all_three_views(demo_visits, shipped):
    for visit in demo_visits:
        result = score_visit(visit, shipped)
        assert result.status == "scored", result.message
        assert (result.regions["right_malar"].view, result.regions["left_malar"].view) == ("right", "left")
        assert [photo.view for photo in result.photos] == ["front", "left", "right"]
        json.dumps(result.to_dict(), allow_nan=False)


def test_the_demo_patient_is_better_at_the_second_visit(demo_visits, shipped):
    """The same patches were planted at half the density."""
    first, second = (score_visit(visit, shipped) for visit in demo_visits[:2])
    assert second.scores.mmasi_continuous < first.scores.mmasi_continuous


def test_a_16_bit_copy_gives_nearly_the_same_measures(demo_visits, shipped, tmp_path):
    pixels = cv2.imread(str(demo_visits[0] / "front.jpg"), cv2.IMREAD_COLOR)
    cv2.imwrite(str(tmp_path / "front.png"), pixels.astype(np.uint16) * 257)
    eight, sixteen = (score_photo(f, shipped) for f in (demo_visits[0] / "front.jpg", tmp_path / "front.png"))
    assert sixteen.to_dict()["quality"]["bits"] == 16
    for name in MASI:
        ours, theirs = (r.regions[name].measure.pigmented_fraction for r in (eight, sixteen))
        assert theirs == pytest.approx(ours, abs=0.02)


def test_a_mirrored_photo_swaps_the_malar_measures(demo_visits, shipped):
    picture = np.array(read_photo(demo_visits[0] / "front.jpg").srgb)
    plain, mirror = (
        score_photo(Photo.from_srgb(p), shipped).regions for p in (picture, picture[:, ::-1].copy())
    )
    swapped = {
        "right_malar": "left_malar",
        "left_malar": "right_malar",
        "forehead": "forehead",
        "chin": "chin",
    }
    for name, other in swapped.items():
        ours, theirs = plain[name].measure, mirror[other].measure
        assert theirs.pigmented_fraction == pytest.approx(ours.pigmented_fraction, abs=0.05)
        assert theirs.visible_fraction == pytest.approx(ours.visible_fraction, abs=0.08)


def test_a_photo_is_scored_where_no_socket_can_be_opened(demo_visits, fresh_python):
    printed = fresh_python(
        f"""
import socket
def refuse(*_, **__):
    raise OSError("no network here")
socket.socket = socket.create_connection = socket.getaddrinfo = refuse
from masi_vision import score_photo
print(score_photo({str(demo_visits[0] / "front.jpg")!r}).status)
"""
    )
    assert printed.strip() == "scored"


def test_settings_that_are_a_path_are_refused_by_what_is_asked_for(demo_visits):
    with pytest.raises(ValueError, match=r"settings must be Settings, as load_settings\(FILE\) reads them"):
        score_photo(demo_visits[0] / "front.jpg", "mine.yaml")


@pytest.mark.parametrize("source", [np.zeros((4, 4, 3), np.uint8), b"front.jpg", 7])
def test_what_is_neither_a_path_nor_a_photo_is_refused_with_what_to_give(source):
    with pytest.raises(ValueError, match=r"source must be a path or a Photo, got .*Photo\.from_srgb"):
        score_photo(source)


def test_a_photo_read_smaller_than_scoring_needs_is_a_mistake_of_the_caller(demo_visits, shipped, tmp_path):
    large = cv2.resize(cv2.imread(str(demo_visits[0] / "front.jpg")), None, fx=3, fy=3)
    cv2.imwrite(str(tmp_path / "front.png"), large)
    small = read_photo(tmp_path / "front.png", min_side_px=112)
    assert small.scale < 1
    with pytest.raises(
        ValueError, match=r"front.png was read at .* of its size, its face .* without min_side"
    ):
        score_photo(small, shipped)
    card = shipped.quality.colour_card.model_copy(update={"use": "use"})
    quality = shipped.quality.model_copy(update={"colour_card": card})
    enough = read_photo(tmp_path / "front.png", min_side_px=720)
    assert score_photo(enough, shipped).scores == score_photo(tmp_path / "front.png", shipped).scores
    with pytest.raises(ValueError, match="all pixels where a colour card is looked for"):
        score_photo(enough, shipped.model_copy(update={"quality": quality}))


def test_what_a_result_holds_cannot_change_later_scores(demo_visits, shipped):
    measures = score_photo(demo_visits[0] / "front.jpg", shipped).measures
    held = (measures.face.atlas.labels, measures.codes, measures.corrected_rgb, measures.pigment.density_od)
    for array in (*held, measures.pigment.probability, measures.photo.srgb):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_a_result_prints_in_a_few_lines(visit_of):
    lines = str(visit_of({"front": {"chin": region(0.2, 0.08)}})).splitlines()
    assert lines[0].startswith("visit: mMASI 0.4 (")
    assert "  chin: area 2, darkness 2, 20.0 % pigmented" in lines
    assert len(lines) == 7
    refused = visit_of({"front": NotScorable("no_face", "No face.")})
    assert str(refused) == "visit: not scored, no_face. No face."


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda photo: score_photo(photo, view="top"), "view must be one of front, left, right, got 'top'"),
        (lambda photo: score_photo(photo, models="shipped"), "models must be Models"),
        (lambda photo: score_visit({"front": photo, "side": photo}), "view must be one of"),
        (lambda photo: score_visit([photo]), "paths must be a folder, a photo, or a mapping"),
        (lambda photo: compare_visits(score_photo(photo), photo), "what is compared must be a VisitScore"),
    ],
)
def test_a_mistake_of_the_caller_is_said_in_a_sentence(call, said):
    with pytest.raises(ValueError, match=said):
        call(demo_folder() / "demo-01" / "visit-1" / "front.jpg")


def test_a_region_that_no_photo_shows_tells_why(demo_visits, tmp_path):
    sides = {view: demo_visits[0] / f"{view}.jpg" for view in ("left", "right")}
    alone = score_visit(sides)
    assert alone.reason == "no_photo"
    assert (alone.regions["forehead"].flag, alone.regions["right_malar"].grade is None) == ("no_photo", False)
    (tmp_path / "front.jpg").write_bytes(b"no photo")
    broken = score_visit({"front": tmp_path / "front.jpg", **sides})
    assert broken.reason == "unreadable"
    assert (broken.regions["chin"].flag, broken.regions["chin"].measure) == ("unreadable", None)
    whole = {view: demo_visits[1] / f"{view}.jpg" for view in ("front", "left", "right")}
    change = compare_visits(score_visit(whole), alone)
    assert change.regions["forehead"].flag == "no_photo"
    assert compare_visits(score_visit(whole), broken).regions["forehead"].flag == "unreadable"
