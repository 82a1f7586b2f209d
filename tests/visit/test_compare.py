"""Two visits of the demo patient laid over each other: half of the pigment is gone at the second."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
from model_folders import change_card, copied
from PIL import Image

from masi_vision import compare_visits, open_models, score_visit
from masi_vision.config import load_settings
from masi_vision.face.atlas import Subunit
from masi_vision.photo import Photo, linear_to_srgb8, read_photo, srgb_to_linear
from masi_vision.report.change import draw_visits
from masi_vision.scale import MASI_REGIONS
from masi_vision.visit.compare import without_copies
from masi_vision.visit.laid_over import face_in_frame, laid_over
from masi_vision.visit.models import PIGMENT_CARD, shipped_models
from masi_vision.visit.region_change import LaidVisits, contradict, refusals, region_change
from masi_vision.visit.score import provenance_of

PLANTED = ("forehead", "right_malar", "left_malar")


@pytest.fixture(scope="module")
def visits(demo_visits):
    return [score_visit(folder) for folder in demo_visits[:2]]


@pytest.fixture(scope="module")
def fronts(demo_visits):
    """The fronts of the same visits alone: for what is no matter of views."""
    return [score_visit({"front": folder / "front.jpg"}) for folder in demo_visits[:2]]


@pytest.fixture(scope="module")
def change(visits):
    return compare_visits(*visits)


def test_skin_got_lighter_where_pigment_was_planted(change):
    assert change.status == "compared"
    for name in PLANTED:
        region = change.regions[name]
        assert region.registered_od < -0.001
        assert region.lighter_fraction > 5 * region.darker_fraction
        assert region.registered_od_low < region.registered_od < region.registered_od_high


def test_both_routes_are_told(change):
    for name in PLANTED:
        values = change.to_dict()["regions"][name]
        assert values["integrated_od_change"] == pytest.approx(
            values["integrated_od_after"] - values["integrated_od_before"], abs=2e-5
        )
        assert values["contrast_od_change"] < 0
        assert values["registered_od"] < 0
        assert "routes_differ" not in values["flag"]


def test_the_amount_is_the_mean_of_the_regions_weighted_as_in_masi(visits, change):
    regions = [change.regions[name] for name in ("forehead", "right_malar", "left_malar", "chin")]
    weighted, low, high = (
        np.average([getattr(one, f"registered_od{end}") for one in regions], weights=[3, 3, 3, 1])
        for end in ("", "_low", "_high")
    )
    assert change.amount_change_od == pytest.approx(weighted)
    share = shipped_models().pigment.change_error.share  # errors of four regions partly cancel
    assert 0 < share < 1
    assert change.amount_change_od_high - weighted == pytest.approx(share * (high - low) / 2)
    assert weighted - change.amount_change_od_low == pytest.approx(share * (high - low) / 2)
    before = [visits[0].regions[name].measure.integrated_od for name in MASI_REGIONS]
    assert change.amount_before_od == pytest.approx(np.average(before, weights=[3, 3, 3, 1]))
    assert change.amount_change_od < 0
    assert change.amount_before_od + change.amount_change_od > 0


def test_a_region_says_how_sure_its_change_is(change):
    error = shipped_models().pigment.change_error
    for name in PLANTED:
        region = change.regions[name]
        assert 0 < region.clear_fraction < 1
        ends = region.registered_od_low, region.registered_od_high
        assert ends == pytest.approx(error.around(region.registered_od, region.clear_fraction))
        assert change.to_dict()["regions"][name]["clear_fraction"] == round(region.clear_fraction, 5)
        assert region.lamp_od == change.views[region.view].change.lamp_spread_od < 0.02
        assert region.evened_od == change.views[region.view].change.evened_od
        assert change.to_dict()["regions"][name]["evened_od"] == round(region.evened_od, 5)


def test_a_region_that_was_not_graded_leaves_the_baseline_without_an_amount(change):
    forehead = change.baseline.regions["forehead"]
    burnt = replace(forehead, grade=None, flags=("clipped",))
    assert burnt.measure is not None
    baseline = replace(change.baseline, regions={**change.baseline.regions, "forehead": burnt})
    assert change.amount_before_od is not None
    assert replace(change, baseline=baseline).amount_before_od is None


@pytest.mark.parametrize("side", ["before", "after"])
def test_where_a_visit_has_no_pigment_there_is_no_change_of_contrast(change, side):
    region = change.regions["forehead"]
    free = replace(region, **{side: replace(getattr(region, side), pigmented_fraction=0.0, contrast_od=0.0)})
    assert region.to_dict()["contrast_od_change"] is not None
    values = free.to_dict()
    assert (values[f"contrast_od_{side}"], values["contrast_od_change"]) == (0, None)
    assert values["pigmented_fraction_change"] is not None


def forehead_change(change, *, unsure=(), accepted=()):
    """The forehead once more, where the map of some visits (0, 1) is undecided, or a check was accepted."""
    visits, view = [change.baseline, change.follow_up], "front"
    for number in accepted:
        photos = [
            replace(
                one,
                regions={**one.regions, "forehead": replace(one.regions["forehead"], flags=("accepted",))},
            )
            for one in visits[number].photos
        ]
        visits[number] = replace(visits[number], photos=tuple(photos))
    seen = [{photo.view: photo.measures for photo in visit.photos} for visit in visits]
    laid = change.views[view]
    maps = [seen[0][view].pigment, laid.follow_up.pigment]
    for number in unsure:
        maps[number] = replace(maps[number], probability=np.full_like(maps[number].probability, 0.5))
    seen[0][view] = replace(seen[0][view], pigment=maps[0])
    views = {view: replace(laid, follow_up=replace(laid.follow_up, pigment=maps[1]))}
    both = LaidVisits(views, seen, [refusals(visit, ()) for visit in visits], tuple(visits))
    return region_change("forehead", [int(Subunit.FOREHEAD)], both, load_settings(), shipped_models())


@pytest.mark.parametrize("unsure", [(), (0,), (1,), (0, 1)])
def test_a_change_is_flagged_where_the_map_is_undecided_at_either_visit(change, unsure):
    assert ("undecided" in forehead_change(change, unsure=unsure).flags) == bool(unsure)


@pytest.mark.parametrize("accepted", [(), (0,), (1,), (0, 1)])
def test_a_change_is_flagged_where_a_check_was_accepted_at_either_visit(change, accepted):
    assert ("accepted" in forehead_change(change, accepted=accepted).flags) == bool(accepted)


@pytest.mark.parametrize(
    ("registered", "ends", "difference", "told"),
    [
        (0.03, (0.01, 0.05), -0.002, True),
        (-0.02, (-0.03, -0.01), 0.001, True),
        (0.03, (0.01, 0.05), 0.002, False),
        (0.03, (0.01, 0.05), 0.0, False),
        (0.01, (-0.01, 0.03), -0.02, False),
        (-0.06, (-0.08, -0.04), 0.0, False),
        (-0.09, (-0.11, -0.07), 0.0, True),
    ],
)
def test_two_ways_contradict_each_other_far_apart_or_where_one_is_sure_of_the_other_sign(
    registered, ends, difference, told
):
    assert contradict(registered, ends, difference, decided=True) is told
    far = abs(registered - difference) > 0.08
    assert contradict(registered, ends, difference, decided=False) is far


def coloured(change, view, region):
    """Whether the change of a region of the baseline's frame is coloured in the picture of a view."""
    one = change.views[view]
    height, width = one.baseline.codes.shape
    below = draw_visits([change], view)[-height:, -width:].astype(int)
    here = one.change.skin & (one.baseline.codes == Subunit[region.upper()])
    spread = below.max(axis=2) - below.min(axis=2)  # the rest is grey
    return bool((spread[here] > 5).any())


def test_a_change_is_coloured_in_the_picture_of_the_view_it_was_taken_in(change):
    assert coloured(change, "front", "forehead")
    assert coloured(change, "right", "right_malar")
    for view, region in (("right", "forehead"), ("left", "right_malar"), ("front", "right_malar")):
        assert not coloured(change, view, region)


def test_what_is_doubtful_of_a_change_stands_beside_the_name_of_its_visit(change, monkeypatch):
    words, put = [], cv2.putText
    monkeypatch.setattr(cv2, "putText", lambda on, text, *more: words.append(text) or put(on, text, *more))
    plain = draw_visits([change], "front")
    doubted = {
        name: replace(one, flags=("doubtful", "undecided") if name == "chin" else ("doubtful", "accepted"))
        for name, one in change.regions.items()
    }
    doubtful = replace(change, regions=doubted)
    assert not [text for text in words if "doubtful" in text]
    words.clear()
    drawn = draw_visits([doubtful], "front")
    assert {"doubtful: forehead, chin, nose, upper lip", "undecided: chin"} <= set(words)
    assert len(drawn) > len(plain)
    words.clear()
    draw_visits([doubtful], "right")
    assert "doubtful: right malar" in words
    assert not [text for text in words if "forehead" in text]


@pytest.mark.parametrize("flag", ["doubtful", "routes_differ", "undecided", "colours_differ"])
def test_a_change_of_which_the_docs_say_doubtful_has_a_doubt(change, flag):
    assert replace(change.regions["chin"], flags=("accepted", flag)).doubts == (flag,)


def test_backwards_it_is_the_opposite(visits, change):
    back = compare_visits(*visits[::-1])
    for name in PLANTED:
        assert back.regions[name].registered_od == pytest.approx(-change.regions[name].registered_od, rel=0.2)


def test_a_visit_laid_over_itself_did_not_change(visits):
    same = compare_visits(visits[0], visits[0])
    for name in MASI_REGIONS:
        assert abs(same.regions[name].registered_od) < 1e-4
        assert same.regions[name].lighter_fraction == same.regions[name].darker_fraction == 0
    assert same.mmasi_change is None  # one file twice is no visit without change
    assert "The very file of the baseline: front, left, right." in same.message
    assert max(same.residual_fraction.values()) < 0.001


def test_both_visits_are_measured_on_the_same_skin(change):
    for region in change.regions.values():
        assert region.before.visible_fraction == pytest.approx(region.after.visible_fraction)
        assert region.before.visible_fraction == pytest.approx(region.common_fraction)


def test_malar_regions_come_from_their_own_side(change):
    assert [change.regions[name].view for name in MASI_REGIONS] == ["front", "right", "left", "front"]


def test_landmarks_leave_little_apart(change):
    assert set(change.residual_fraction) == {"front", "left", "right"}
    assert max(change.residual_fraction.values()) < 0.01


def test_visits_are_named_by_path_too(demo_visits, change):
    named = compare_visits(demo_visits[0], demo_visits[1])
    assert named.regions["forehead"].registered_od == pytest.approx(change.regions["forehead"].registered_od)


def test_results_made_under_other_settings_do_not_compare(visits, by_rules):
    with pytest.raises(ValueError, match="Expected one version"):
        compare_visits(*visits, by_rules)


def test_the_interval_is_that_of_faces_with_as_little_clear_skin(fronts, tmp_path):
    models, (before, after) = shipped_models(), (face_in_frame(one.photos[0].measures) for one in fronts)
    clear = laid_over(before, after, models.face.atlas).change.clear_fraction
    assert 0 < clear < 1
    widths = {}
    for cut in (clear - 0.01, clear + 0.01):
        site = copied(tmp_path / f"{cut:.3f}")
        tables = [{"size_od": [0.0], "within_od": [within]} for within in (0.05, 0.01)]
        change_card(site, PIGMENT_CARD, change_error={"by_clear": [[cut, tables[0]], [1.0, tables[1]]]})
        theirs = open_models(site)
        visits = [replace(one, provenance=provenance_of(load_settings(), theirs)) for one in fronts]
        forehead = compare_visits(*visits, models=theirs).regions["forehead"]
        widths[cut > clear] = forehead.registered_od_high - forehead.registered_od_low
    assert widths == {False: pytest.approx(0.02), True: pytest.approx(0.1)}


def test_results_of_other_models_are_compared_by_those_alone(fronts, tmp_path):
    """The intervals of a change come from the models: those of others would be wrong without a word."""
    site = copied(tmp_path / "site")
    card = json.loads((site / PIGMENT_CARD).read_text(encoding="utf-8"))
    for _, table in card["change_error"]["by_clear"]:
        table["within_od"] = [2 * one for one in table["within_od"]]
    change_card(site, PIGMENT_CARD, change_error=card["change_error"])
    models = open_models(site)
    assert models.pigment.change_error != shipped_models().pigment.change_error
    theirs = [replace(one, provenance=provenance_of(load_settings(), models)) for one in fronts]
    with pytest.raises(ValueError, match=r"models site .*the comparison asks for .*models shipped"):
        compare_visits(*theirs)
    wide, narrow = compare_visits(*theirs, models=models), compare_visits(*fronts)
    assert wide.amount_change_od_high - wide.amount_change_od > 1.5 * (
        narrow.amount_change_od_high - narrow.amount_change_od
    )


def test_without_a_photo_there_is_a_reason_and_no_number(visits):
    none = compare_visits(visits[0], score_visit({}))
    assert (none.status, none.mmasi_change) == ("not_compared", None)
    assert none.message.startswith("The follow-up could not be measured.")
    assert none.to_dict()["regions"]["chin"]["registered_od"] is None
    assert none.to_dict()["regions"]["chin"]["flag"] == "no_photo"
    assert none.to_dict()["regions"]["chin"]["common_fraction"] is None


def test_visits_that_share_no_view_are_not_compared(demo_visits, fronts):
    side = score_visit({"left": demo_visits[1] / "left.jpg"})
    none = compare_visits(fronts[0], side)
    assert (none.status, none.reason) == ("not_compared", "no_photo")
    assert "The visits share no view: the baseline has front, the follow-up left." in none.message
    assert none.amount_change_od is None


def dated(visit, moment):
    """The visit with another time on its photos."""
    photos = []
    for photo in visit.photos:
        capture = replace(photo.measures.photo.capture, taken_at=moment)
        measures = replace(photo.measures, photo=replace(photo.measures.photo, capture=capture))
        photos.append(replace(photo, measures=measures))
    return replace(visit, photos=tuple(photos))


def test_a_follow_up_of_before_the_baseline_is_told(fronts):
    early, late = "2024:01:01 10:00:00", "2024:06:01 10:00:00"
    turned = compare_visits(dated(fronts[0], late), dated(fronts[1], early))
    assert "the follow-up was taken before the baseline" in turned.message
    assert "2024" not in turned.message
    for moments in ((early, late), (early, early), (None, early), (late, None)):
        assert "baseline" not in compare_visits(*map(dated, fronts, moments)).message


def test_where_a_side_view_is_missing_the_front_is_compared_and_flagged(visits, fronts):
    change = compare_visits(visits[0], fronts[1])
    assert change.regions["right_malar"].view == "front"
    assert change.regions["right_malar"].flag == "other_view"
    assert change.mmasi_change is None  # scored from the side at one visit, from the front at the other
    assert np.sign(change.regions["right_malar"].registered_od) == -1


def test_an_unreadable_baseline_is_told_apart_from_an_unreadable_follow_up(visits):
    none = compare_visits(score_visit({}), visits[0])
    assert none.status == "not_compared"
    assert none.message.startswith("The baseline could not be measured.")
    assert (none.amount_before_od, none.amount_change_od) == (None, None)


def test_results_without_their_measures_and_photos_alone_are_refused_with_what_to_give(visits):
    bare = replace(visits[0], photos=tuple(replace(photo, measures=None) for photo in visits[0].photos))
    with pytest.raises(ValueError, match="has lost the measures of its photos"):
        compare_visits(bare, visits[1])
    with pytest.raises(ValueError, match="Of a Photo: score_visit"):
        compare_visits(visits[0].photos[0].measures.photo, visits[1])


def test_photos_that_do_not_fit_over_each_other_are_not_compared(demo_visits):
    """As where one of them was misread: a change without common skin is no number."""
    settings = load_settings()
    strict = settings.quality.registration_residual.model_copy(update={"warn": None, "fail": 1e-6})
    quality = settings.quality.model_copy(update={"registration_residual": strict})
    chosen = settings.model_copy(update={"quality": quality})
    front = [score_visit({"front": visit / "front.jpg"}, chosen) for visit in demo_visits[:2]]
    none = compare_visits(*front, chosen)
    assert (none.status, none.reason) == ("not_compared", "not_aligned")
    assert "do not fit over each other" in none.message
    assert none.residual_fraction["front"] > 1e-6
    assert [one.scores is not None for one in front] == [True, True]
    assert (none.mmasi_change, none.mmasi_change_low, none.mmasi_change_high) == (None, None, None)
    assert none.to_dict()["regions"]["chin"]["registered_od"] is None


@pytest.mark.parametrize(("view", "status"), [("left", "compared"), ("front", "not_compared")])
def test_where_one_view_may_show_another_person_no_score_is_subtracted(demo_visits, view, status):
    """The view of another person among the follow-up's own: that view does not fit."""
    mixed = {name: demo_visits[1] / f"{name}.jpg" for name in ("front", "left", "right")}
    mixed[view] = demo_visits[2] / f"{view}.jpg"
    settings = load_settings()
    limit = settings.quality.registration_residual.model_copy(update={"fail": 0.012})  # own views: under 0.01
    quality = settings.quality.model_copy(update={"registration_residual": limit})
    chosen = settings.model_copy(update={"quality": quality})
    change = compare_visits(score_visit(demo_visits[0], chosen), score_visit(mixed, chosen), chosen)
    assert change.status == status
    assert (change.mmasi_change, change.mmasi_change_low, change.mmasi_change_high) == (None, None, None)
    assert change.amount_change_od is None
    assert f"skin lies apart: {view}" in change.message
    told = {name: (one.flag, one.registered_od is None) for name, one in change.regions.items()}
    if view == "left":
        assert told["left_malar"] == ("other_view", False)  # the front shows it too, and fits
        assert told["right_malar"] == ("", False)
    else:
        assert set(told.values()) == {("not_aligned", True)}
        assert change.views == {}


def test_skin_hidden_and_accepted_at_both_visits_is_compared(demo_visits, tmp_path):
    for number in (0, 1):
        photo = np.asarray(read_photo(demo_visits[number] / "front.jpg").srgb)
        (tmp_path / f"v{number}").mkdir()
        cut = photo[:, : int(0.66 * photo.shape[1])]
        cv2.imwrite(str(tmp_path / f"v{number}" / "front.png"), cut[..., ::-1])
    accepted = load_settings(accept=["visible_fraction"])
    plain, by_name = (
        compare_visits(
            *(score_visit({"front": tmp_path / f"v{n}" / "front.png"}, settings) for n in (0, 1)), settings
        )
        for settings in (load_settings(), accepted)
    )
    assert 0.2 < by_name.regions["left_malar"].common_fraction < 0.5
    assert plain.regions["left_malar"].flag == "region_hidden"
    assert plain.regions["left_malar"].registered_od is None
    assert "No change of the amount: not compared is" in plain.message
    assert "left_malar (hidden)" in plain.message
    assert by_name.regions["left_malar"].flag.split(";")[0] == "accepted"
    assert by_name.regions["left_malar"].registered_od is not None


def test_a_region_that_quality_refuses_at_one_visit_is_not_compared(demo_visits, fronts, tmp_path):
    dark = linear_to_srgb8(0.01 * srgb_to_linear(np.asarray(read_photo(demo_visits[1] / "front.jpg").srgb)))
    cv2.imwrite(str(tmp_path / "front.png"), dark[..., ::-1])
    none = compare_visits(fronts[0], score_visit({"front": tmp_path / "front.png"}))
    assert none.status == "not_compared"
    refused = [none.regions[name] for name in MASI_REGIONS]
    assert {one.flag for one in refused} <= {"too_dark", "region_hidden"}
    assert {one.registered_od for one in refused} == {None}


def test_what_covers_skin_at_one_visit_contradicts_itself_and_tells_no_change(demo_visits, fronts):
    """Cream on the chin is no pigment to the map at either visit, and lighter over each other."""
    first, second = fronts
    light = srgb_to_linear(np.asarray(read_photo(demo_visits[1] / "front.jpg").srgb))
    top, left, bottom, right = second.photos[0].measures.face.window(light.shape)
    chin = second.photos[0].measures.face.photo_codes((top, left, bottom, right)) == Subunit.CHIN
    over = cv2.GaussianBlur(chin.astype(np.float32), (0, 0), 3)[..., None]
    light[top:bottom, left:right] *= 1 + 0.8 * over
    covered = compare_visits(first, score_visit({"front": Photo.from_srgb(linear_to_srgb8(light))}))
    region = covered.regions["chin"]
    assert region.registered_od < -0.1
    assert "routes_differ" in region.flag.split(";")
    assert (covered.mmasi_change, covered.amount_change_od) == (None, None)
    assert "contradict each other: chin" in covered.message


def test_two_people_are_doubtful(visits, demo_visits):
    other = compare_visits(visits[0], demo_visits[2])
    assert other.status == "compared"
    assert all("doubtful" in other.regions[name].flag for name in MASI_REGIONS if other.regions[name].after)
    assert (other.mmasi_change, other.amount_change_od) == (None, None)
    assert "is it this patient" in other.message


def test_a_copy_of_the_baseline_written_anew_is_no_follow_up(demo_visits, tmp_path):
    with Image.open(demo_visits[0] / "front.jpg") as photo:
        photo.save(tmp_path / "front.jpg", quality=90)
    change = compare_visits(demo_visits[0] / "front.jpg", tmp_path / "front.jpg")
    assert change.status == "compared"
    assert change.mmasi_change is None
    assert change.message.startswith("The baseline's own photograph, written anew: front.")


def test_a_visit_without_a_score_has_no_change_of_the_mmasi_and_says_why(demo_visits, visits):
    sides = {view: demo_visits[0] / f"{view}.jpg" for view in ("left", "right")}
    change = compare_visits(score_visit(sides), visits[1])
    assert change.status == "compared"
    assert change.message == (
        "No change of the mMASI: the baseline was not scored (no_photo). "
        "No change of the amount: not compared is forehead (no photo), chin (no photo)."
    )


def test_a_comparison_prints_in_a_few_lines(change):
    lines = str(change).splitlines()
    assert lines[0].startswith(f"visit-2 since visit-1: compared, mMASI {change.mmasi_change:+.1f} (")
    assert len(lines) == 7
    assert round(10 * change.mmasi_change, 9) == round(10 * change.mmasi_change)


@pytest.mark.parametrize(
    ("copy_of", "told"),
    [
        (("follow_up", "front", "baseline", "front"), False),  # compare_visits says it, view by view
        (("follow_up", "right", "baseline", "left"), True),
        (("follow_up", "right", "follow_up", "left"), False),  # whoever it is of, it is of this visit
    ],
)
def test_no_change_is_told_where_nobody_knows_of_which_visit_a_photo_is(change, copy_of, told):
    which, view, other, of = copy_of
    digest = next(photo.photo_sha256 for photo in getattr(change, other).photos if photo.view == of)
    photos = [
        replace(photo, photo_sha256=digest) if photo.view == view else photo
        for photo in getattr(change, which).photos
    ]
    made = replace(change, **{which: replace(getattr(change, which), photos=tuple(photos))})
    (found,) = without_copies([made])
    assert (found.mmasi_change is None) == (found.amount_change_od is None) == told
    assert ("of which visit it is nobody knows" in found.message) == told
