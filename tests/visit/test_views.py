"""A cheek in two photos: each patch of skin counts as it was seen."""

from dataclasses import replace

import numpy as np
import pytest

from masi_vision import score_photo, score_visit
from masi_vision.cli.screen import notes
from masi_vision.face.align import Alignment, skin_area
from masi_vision.face.atlas import Subunit
from masi_vision.photo import Photo
from masi_vision.photo.colour_correction import Correction
from masi_vision.report.tables import visit_rows
from masi_vision.visit.models import shipped_models
from masi_vision.visit.region import RegionResult, merged
from masi_vision.visit.views import differ, joined

SHAPE = (720, 640)
CHEEK = int(Subunit.RIGHT_MALAR)


@pytest.fixture(scope="module")
def models(known_models, placed):
    return known_models(placed(320, 330, 190.0), SHAPE)


@pytest.fixture(scope="module")
def front(plain_skin, settings, models):
    return score_photo(Photo.from_srgb(plain_skin(*SHAPE)), settings, models=models).measures


def with_map(measures, *, density=0.0, probability=0.0, codes=None):
    """The same photo as if its pigment map were even."""
    codes = measures.codes if codes is None else codes
    skin = codes > 0
    even = replace(
        measures.pigment,
        density_od=np.where(skin, density, 0).astype(np.float32),
        probability=np.where(skin, probability, 0).astype(np.float32),
        skin=skin,
    )
    return replace(measures, pigment=even, codes=codes)


def turned(measures, yaw_deg):
    """The same photo as if its head were turned."""
    y = np.deg2rad(yaw_deg)
    about_y = np.array([[np.cos(y), 0, -np.sin(y)], [0, 1, 0], [np.sin(y), 0, np.cos(y)]])
    alignment = measures.face.alignment
    middle = alignment.landmarks.mean(axis=0)
    landmarks = ((alignment.landmarks - middle) @ about_y.T + middle).astype(np.float32)
    return replace(measures, face=replace(measures.face, alignment=Alignment(alignment.atlas, landmarks)))


def together(views):
    models = shipped_models()
    error = models.pigment.errors[views[0].pigment.method]
    return joined(views, [CHEEK], error=error)


def test_one_view_twice_is_that_view(front):
    alone = together([with_map(front, density=0.1, probability=0.9)])
    twice = together([with_map(front, density=0.1, probability=0.9)] * 2)
    assert twice.measure == alone.measure
    assert twice.shares == pytest.approx((0.5, 0.5))
    assert twice.measure.pigmented_fraction == 1
    assert twice.measure.contrast_od == pytest.approx(0.1, abs=1e-6)


def test_the_view_that_sees_the_cheek_squarely_weighs_more(front):
    side = turned(front, 40)
    both = together([with_map(side, density=0.2, probability=1), with_map(front, probability=1)])
    assert both.shares[0] > 0.52
    assert sum(both.shares) == pytest.approx(1)
    assert both.measure.integrated_od == pytest.approx(0.2 * both.shares[0], rel=0.15)
    other_way = together([with_map(turned(front, -40), probability=1), with_map(front)])
    assert other_way.shares[0] < 0.45


def test_skin_that_one_view_hides_is_measured_in_the_other(front):
    columns = np.arange(front.codes.shape[1])[None]
    middle = int(np.median(np.nonzero(front.codes == CHEEK)[1]))
    outer = np.where(columns < middle, front.codes, 0).astype(np.uint8)
    inner = np.where(columns >= middle, front.codes, 0).astype(np.uint8)
    halves = [with_map(front, probability=1, density=0.1, codes=outer), with_map(front, codes=inner)]
    both = together(halves)
    assert both.measure.visible_fraction == pytest.approx(
        together([with_map(front)]).measure.visible_fraction, abs=0.01
    )
    area = skin_area(front.face.atlas)
    assert both.measure.pigmented_fraction == pytest.approx(
        area[outer == CHEEK].sum() / area[front.codes == CHEEK].sum()
    )


def test_views_differ_only_beyond_what_either_could_be_wrong_by(front):
    measure = together([with_map(front)]).measure
    low = replace(measure, pigmented_fraction_low=0.0, pigmented_fraction_high=0.2)
    touching = replace(measure, pigmented_fraction_low=0.2, pigmented_fraction_high=0.5)
    high = replace(measure, pigmented_fraction_low=0.21, pigmented_fraction_high=0.5)
    assert not differ([low, touching])
    assert differ([low, high])
    assert differ([high, low])


def test_skin_is_lesion_from_the_mean_of_what_the_views_ask_for_each_as_it_weighs(front):
    side = turned(front, 40)
    views = [with_map(side), with_map(front)]
    asked = [replace(view.pigment, lesion_probability=p) for view, p in zip(views, (0.3, 0.7), strict=True)]
    shares = together(views).shares
    mean = 0.3 * shares[0] + 0.7 * shares[1]
    assert 0.31 < mean < 0.49
    found = []
    for probability in (mean - 0.002, mean + 0.002):
        even = [
            with_map(replace(view, pigment=pigment), density=0.1, probability=probability)
            for view, pigment in zip(views, asked, strict=True)
        ]
        found.append(together(even).measure.pigmented_fraction)
    assert found == [0, 1]


def right_cheek(side, front, settings, opinions=(None, None)):
    """The right cheek of a visit of two photos, each measured alone before."""
    photos = {"right": replace(side, view="right"), "front": front}
    alone = {
        view: {"right_malar": RegionResult(view, photo.regions["right_malar"], None, (), second)}
        for (view, photo), second in zip(photos.items(), opinions, strict=True)
    }
    return merged("right_malar", alone, photos, settings, shipped_models(), "no_photo")


@pytest.mark.parametrize(("yaw_deg", "view"), [(40, "right"), (-40, "front")])
def test_a_cheek_in_two_photos_stands_under_the_one_that_weighs_more(front, settings, yaw_deg, view):
    found = right_cheek(turned(front, yaw_deg), front, settings)
    assert found.view == view
    assert 0.5 < found.view_share < 1


def test_the_second_opinion_of_two_photos_is_their_mean_each_as_it_weighs(front, settings):
    found = right_cheek(turned(front, -40), front, settings, (0.2, 0.6))
    assert found.second_opinion_fraction == pytest.approx(0.2 + 0.4 * found.view_share)
    assert right_cheek(turned(front, -40), front, settings, (None, 0.6)).second_opinion_fraction is None


@pytest.mark.parametrize(
    ("on_side", "on_front", "flagged"),
    [(False, False, False), (True, True, False), (True, False, True), (False, True, True)],
)
def test_a_cheek_of_two_photos_of_which_a_card_corrected_one_is_flagged(
    front, settings, on_side, on_front, flagged
):
    patches = np.zeros(24)
    card = Correction(np.eye(3), 1.0, np.zeros(2), np.zeros((24, 3)), patches == 0, patches, patches, patches)
    side, middle = (replace(front, card=card if on else None) for on in (on_side, on_front))
    assert ("colours_differ" in right_cheek(side, middle, settings).flags) == flagged


def test_a_side_view_of_another_person_is_flagged_on_its_cheek_alone(demo_visits):
    one, _, another = demo_visits
    swapped = {"front": one / "front.jpg", "left": another / "left.jpg", "right": one / "right.jpg"}
    result = score_visit(swapped)
    assert result.status == "scored"
    assert "views_unlike" in result.regions["left_malar"].flag.split(";")
    assert {name for name, one in result.regions.items() if "views_unlike" in one.flag} == {"left_malar"}
    (said,) = notes(visit_rows(result))
    assert "left malar: the side view may show another person than the front" in said


def test_the_demo_visits_use_both_views_of_each_cheek(demo_visits):
    result = score_visit(demo_visits[0])
    for name, side in (("right_malar", "right"), ("left_malar", "left")):
        region = result.regions[name]
        assert region.view == side
        assert 0.5 < region.view_share < 0.9
    assert result.regions["forehead"].view_share == 1
    values = result.to_dict()["regions"]["right_malar"]
    assert values["view_share"] == pytest.approx(result.regions["right_malar"].view_share, abs=1e-4)
