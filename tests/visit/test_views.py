"""A cheek in two photos: each patch of skin counts as it was seen."""

from dataclasses import replace

import numpy as np
import pytest

from masi_vision import score_photo, score_visit
from masi_vision.cli.screen import notes
from masi_vision.face.align import Alignment, skin_area
from masi_vision.face.atlas import Subunit
from masi_vision.photo import Photo
from masi_vision.report.tables import visit_rows
from masi_vision.visit.models import shipped_models
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
