"""Figures of many photographs: what is pooled, by whom intervals are drawn, and which groups there are."""

import numpy as np
import pytest

from masi_vision.evaluation.measures import HEADLINES, MEASURES
from masi_vision.evaluation.photo_figures import PhotoFigures
from masi_vision.evaluation.pigment_truth import LesionAreas
from masi_vision.evaluation.summary import Figure, drawn_patients, groups, summary
from masi_vision.scale import MASI_REGIONS


@pytest.fixture
def photo(region):
    """A labelled photo of a patient; every region overlaps alike and has these values."""

    def make(patient, iou=1.0, *, name="", view="front", site="", tone="", clear=False, **values):
        regions = {one: region(iou, **values) for one in MASI_REGIONS}
        labelled = {"found": True, "labelled": True, "pigment_known": bool(values), "clear": clear}
        return PhotoFigures(name or patient, patient, view, site, tone, regions=regions, **labelled)

    return make


GRADED = {"graded": True, "true_fraction": 0.2}


def test_areas_are_summed_over_photos_before_they_are_divided(photo, region):
    large = photo("a", 0.5)
    small = PhotoFigures("s", "b", "front", "", labelled=True, found=True, regions={})
    assert summary([large, small])["mean_iou"].value == pytest.approx(0.5)
    assert summary([photo("a", 0.5), photo("b", 1.0)])["mean_iou"].value == pytest.approx(0.75)


def test_photos_count_alike_in_the_mean_photo_by_photo(photo):
    found = summary([photo("a", 0.4), photo("a", 1.0, name="a2"), photo("b", 1.0)])
    assert found["photo_mean_iou"].value == pytest.approx(0.8)


def test_a_photo_without_a_face_lowers_the_overlap_and_is_counted(photo):
    missed = PhotoFigures("m", "b", "front", "", labelled=True, regions=photo("b", 0.0).regions)
    found = summary([photo("a"), missed])
    assert found["found"].value == 0.5
    assert found["mean_iou"].value == 0.5


def test_a_photo_that_cannot_be_read_counts_nowhere(photo):
    broken = PhotoFigures("x", "b", "front", "", problem="no picture")
    assert summary([photo("a"), broken]) == summary([photo("a")])
    assert groups([photo("a"), broken])["all"] == [photo("a")]


def test_fractions_of_clear_photos_are_false_and_others_are_errors(photo):
    marked = photo("a", fraction=0.3, area_difference=1, **GRADED)
    clear = photo("b", clear=True, graded=True, true_fraction=0.0, fraction=0.04, area_difference=1)
    found = summary([marked, clear])
    assert found["fraction_error"].value == found["fraction_excess"].value == pytest.approx(0.1)
    assert found["false_fraction"].value == pytest.approx(0.04)
    assert (found["area_exact"].value, found["area_within_one"].value) == (0, 1)


def test_an_interval_holds_the_truth_or_not_and_clear_photos_do_not_flatter_it(photo):
    held = photo("a", fraction=0.3, fraction_low=0.2, fraction_high=0.4, **GRADED)  # up to its very end
    missed = photo("b", fraction=0.3, fraction_low=0.25, fraction_high=0.4, **GRADED)
    clear = photo("c", clear=True, graded=True, true_fraction=0.0, fraction_low=0.0, fraction_high=0.1)
    without = photo("d", fraction=0.3, **GRADED)
    assert summary([held, missed, clear, without])["interval_held"].value == pytest.approx(0.5)
    assert summary([clear, without])["interval_held"].value is None


def test_a_region_that_is_hardly_seen_is_reported_and_not_counted(photo):
    found = summary([photo("a", fraction=0.9, graded=False, true_fraction=0.2)])
    assert found["not_graded"].value == 1
    assert found["fraction_error"].value is None


def test_lesions_are_pooled():
    photos = [
        PhotoFigures(name, name, "front", "", lesion=LesionAreas(*areas))
        for name, areas in (("a", (0.1, 0.1, 0.1)), ("b", (0.0, 0.1, 0.1)))
    ]
    assert summary(photos)["lesion_dice"].value == pytest.approx(0.5)


def test_where_nobody_drew_pigment_nothing_is_known_of_how_it_is_met():
    clear = PhotoFigures("a", "a", "front", "", lesion=LesionAreas(0.0, 0.001, 0.0))
    assert summary([clear])["lesion_dice"].value is None


def test_one_patient_has_no_interval(photo):
    found = summary([photo("a", 0.5), photo("a", 0.7, name="a2")])["photo_mean_iou"]
    assert (found.low, found.high) == (None, None)


def test_more_photos_of_the_same_patients_make_nothing_surer(photo):
    ious = np.random.default_rng(1).uniform(0.4, 1, 12)
    once = [photo(f"p{number}", iou) for number, iou in enumerate(ious)]
    often = [photo(f"p{n}", iou, name=f"p{n}-{k}") for n, iou in enumerate(ious) for k in range(5)]
    first, second = (summary(some)["mean_iou"] for some in (once, often))
    assert first.value == pytest.approx(second.value)
    assert (first.low, first.high) == pytest.approx((second.low, second.high))
    assert first.low < first.value < first.high


def test_the_order_of_photos_changes_nothing_and_draws_are_the_same_each_time(photo):
    photos = [photo(f"p{number}", iou) for number, iou in enumerate((0.4, 0.9, 0.7, 0.6))]
    first = summary(photos)
    drawn_patients.cache_clear()
    assert summary(photos) == first
    one, other = (summary(some)["mean_iou"] for some in (photos, photos[::-1]))
    assert one.to_dict() == pytest.approx(other.to_dict())


def test_the_interval_covers_the_truth_about_as_often_as_it_says(photo):
    rng, hits = np.random.default_rng(3), 0
    for _ in range(60):
        photos = [photo(f"p{n}", iou) for n, iou in enumerate(rng.uniform(0.5, 0.9, 25))]
        found = summary(photos, 200)["photo_mean_iou"]
        hits += found.low <= 0.7 <= found.high
    assert hits >= 51


def test_groups_are_views_skins_and_sites(photo):
    photos = [
        photo("a", view="front", tone="tan (10 to 28)", site="S1"),
        photo("b", view="left", tone="light (ITA > 41)", site="S2"),
        photo("c", view="left", tone="", site=""),
    ]
    found = groups(photos)
    assert list(found) == [
        "all",
        "view: front",
        "view: left",
        "skin: light (ITA > 41)",
        "skin: tan (10 to 28)",
        "site: S1",
        "site: S2",
    ]
    assert found["view: left"] == photos[1:]


def test_of_nothing_nothing_is_said():
    assert set(summary([]).values()) == {Figure(None)}
    assert set(HEADLINES) <= set(MEASURES)


def test_a_figure_is_finite_and_an_interval_whole():
    with pytest.raises(ValueError, match=r"together, got 0.1 and None"):
        Figure(0.2, 0.1)
    with pytest.raises(ValueError, match=r"finite or None, got .*nan"):
        Figure(float("nan"))
