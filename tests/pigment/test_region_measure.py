"""The measures of a region, on maps drawn here."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from masi_vision.pigment.interval import Band, MeasureError
from masi_vision.pigment.map import PigmentMap
from masi_vision.pigment.measure import RegionMeasure, measure_region

SHAPE = (40, 50)
NORMAL = np.array([0.45, 0.28, 0.20], np.float32)
EVERYWHERE = np.ones(SHAPE, np.bool_)
FLAT = np.ones(SHAPE, np.float32)
ERROR = MeasureError(
    Band((0.0, 0.2), (0.0, 0.05), (0.03, 0.1)), Band((0.0, 0.1), (0.0, 0.02), (0.01, 0.03)), 0.6
)


def map_of(density, skin=EVERYWHERE, threshold_od=0.03):
    density = np.asarray(density, np.float32)
    normal = np.full((*SHAPE, 3), NORMAL, np.float32)
    sure = (density > threshold_od).astype(np.float32)
    return PigmentMap(density, sure, 0.5, skin, normal, "drawn")


def patch(rows, columns, density):
    drawn = np.zeros(SHAPE, np.float32)
    drawn[rows, columns] = density
    return drawn


def measure(density, region=EVERYWHERE, skin=EVERYWHERE, threshold_od=0.03, area=FLAT):
    pigment = map_of(density, skin, threshold_od)
    return measure_region(pigment, region, whole=EVERYWHERE, area=area, error=ERROR)


def test_a_quarter_of_the_skin_is_a_fraction_of_a_quarter():
    found = measure(patch(slice(0, 20), slice(0, 25), 0.08))
    assert found.pigmented_fraction == 0.25
    assert found.contrast_od == pytest.approx(0.08)
    assert found.largest_patch_fraction == 1
    assert found.visible_fraction == 1


def test_skin_seen_on_edge_counts_for_all_the_skin_there_is():
    """The right half of the picture shows three times as much skin to a pixel as the left."""
    area = FLAT + 2 * (patch(slice(0, 40), slice(25, 50), 1) > 0)
    left, right = (
        measure(patch(slice(0, 20), columns, 0.08), area=area) for columns in (slice(0, 25), slice(25, 50))
    )
    assert (left.pigmented_fraction, right.pigmented_fraction) == (0.125, 0.375)
    assert (left.integrated_od, right.integrated_od) == pytest.approx((0.01, 0.03))
    hidden = measure(np.zeros(SHAPE), skin=patch(slice(0, 40), slice(0, 25), 1) > 0, area=area)
    assert hidden.visible_fraction == 0.25
    both = measure(patch(slice(0, 10), slice(0, 10), 1) + patch(slice(0, 10), slice(40, 50), 1), area=area)
    assert both.largest_patch_fraction == 0.75


def test_a_drop_in_tone_is_less_than_half_a_turn_though_the_skin_is_bluer_than_grey():
    """Under strong blue light the angle of normal skin lies beyond 90 degrees, and jumps at 180."""
    blue = replace(
        map_of(patch(slice(0, 20), slice(0, 25), 0.12)),
        normal_rgb=np.full((*SHAPE, 3), NORMAL * (0.44, 0.55, 1.43), np.float32),
    )
    found = measure_region(blue, EVERYWHERE, whole=EVERYWHERE, area=FLAT, error=ERROR)
    assert abs(found.normal_ita_deg) > 90
    assert abs(found.contrast_ita_deg) < 45


def test_integrated_pigment_is_the_mean_over_all_visible_skin():
    found = measure(patch(slice(0, 20), slice(0, 25), 0.08))
    assert found.integrated_od == pytest.approx(0.02)


def test_skin_of_which_the_map_is_undecided_is_counted_by_its_area():
    area = FLAT + 2 * (patch(slice(0, 40), slice(25, 50), 1) > 0)
    probability = np.full(SHAPE, 0.1, np.float32)
    probability[:, 25:] = 0.5
    probability[:20, 25:] = 0.9
    pigment = replace(map_of(np.full(SHAPE, 0.04)), probability=probability)
    found = measure_region(pigment, EVERYWHERE, whole=EVERYWHERE, area=area, error=ERROR)
    assert found.undecided_fraction == 0.375
    assert found.integrated_od == pytest.approx(0.04 * (1 - 0.375))
    assert measure(patch(slice(0, 20), slice(0, 25), 0.08)).undecided_fraction == 0


def test_what_is_hidden_is_nothing_that_the_map_is_undecided_of():
    """Of the visible half of the region the map is undecided of half."""
    skin = patch(slice(0, 40), slice(0, 25), 1) > 0
    unsure = np.where(patch(slice(0, 20), slice(0, 50), 1) > 0, 0.5, 0.1).astype(np.float32)
    pigment = replace(map_of(np.zeros(SHAPE), skin), probability=unsure)
    found = measure_region(pigment, EVERYWHERE, whole=EVERYWHERE, area=FLAT, error=ERROR)
    assert (found.visible_fraction, found.undecided_fraction) == (0.5, 0.5)


def test_a_region_has_the_interval_of_regions_as_undecided_as_itself():
    sure, unsure = Band((0.0,), (0.01,), (0.02,)), Band((0.0,), (0.2,), (0.3,))
    error = replace(ERROR, by_doubt=((0.1, sure), (1.0, unsure)))
    density = patch(slice(0, 20), slice(0, 50), 0.08)
    decided = map_of(density)
    doubted = replace(decided, probability=np.where(density > 0, np.float32(0.6), np.float32(0)))
    ends = []
    for pigment in (decided, doubted):
        found = measure_region(pigment, EVERYWHERE, whole=EVERYWHERE, area=FLAT, error=error)
        assert found.pigmented_fraction == 0.5
        ends.append((found.pigmented_fraction_low, found.pigmented_fraction_high))
    assert ends == [pytest.approx((0.49, 0.52)), pytest.approx((0.3, 0.8))]


@pytest.mark.parametrize("enough", [0.25, 0.5, 0.75])
def test_skin_that_is_just_probable_enough_is_lesion(enough):
    even = replace(map_of(np.full(SHAPE, 0.08)), lesion_probability=enough)
    just, short = np.float32(enough), np.nextafter(np.float32(enough), np.float32(0))
    at, below = (replace(even, probability=np.full(SHAPE, one, np.float32)) for one in (just, short))
    assert at.lesion.all()
    assert not below.lesion.any()


def test_a_free_region_has_measures_of_zero():
    found = measure(np.zeros(SHAPE))
    assert (found.pigmented_fraction, found.contrast_od, found.largest_patch_fraction) == (0, 0, 0)
    assert found.contrast_delta_l == pytest.approx(0)
    assert found.contrast_ita_deg == pytest.approx(0)


def test_a_region_without_visible_skin_is_none_and_not_zero():
    assert measure(np.zeros(SHAPE), skin=~EVERYWHERE) is None
    assert measure(np.zeros(SHAPE), region=~EVERYWHERE) is None


def test_what_lies_outside_the_region_does_not_count():
    region = patch(slice(0, 40), slice(0, 25), 1) > 0
    inside = patch(slice(0, 10), slice(0, 25), 0.08)
    everywhere = inside + patch(slice(0, 40), slice(25, 50), 0.3)
    assert measure(everywhere, region) == measure(inside, region)


def test_half_a_region_under_hair_is_half_visible():
    skin = patch(slice(0, 40), slice(0, 25), 1) > 0
    assert measure(np.zeros(SHAPE), skin=skin).visible_fraction == 0.5


def test_two_patches_of_one_size_hold_half_each():
    both = patch(slice(0, 10), slice(0, 10), 0.1) + patch(slice(20, 30), slice(0, 10), 0.1)
    assert measure(both).largest_patch_fraction == 0.5


def test_patches_that_touch_at_a_corner_are_one():
    corner = patch(slice(0, 10), slice(0, 10), 0.1) + patch(slice(10, 20), slice(10, 20), 0.1)
    assert measure(corner).largest_patch_fraction == 1


def test_contrast_is_the_median_of_the_pigmented_skin():
    stripes = patch(slice(0, 10), slice(0, 50), 0.05) + patch(slice(10, 25), slice(0, 50), 0.12)
    assert measure(stripes).contrast_od == pytest.approx(0.12)


@given(st.floats(0.031, 0.5), st.floats(1.001, 2))
def test_a_darker_lesion_has_more_contrast_in_every_unit(density, factor):
    light, dark = (measure(patch(slice(0, 9), slice(0, 9), d)) for d in (density, density * factor))
    assert dark.contrast_od > light.contrast_od
    assert dark.contrast_delta_l > light.contrast_delta_l > 0
    assert dark.contrast_ita_deg > light.contrast_ita_deg > 0
    assert dark.pigmented_fraction == light.pigmented_fraction


@given(st.integers(0, 2**32 - 1), st.floats(0.0, 0.2))
def test_the_interval_holds_the_measure(seed, threshold_od):
    density = np.random.default_rng(seed).gamma(1.0, 0.04, SHAPE)
    found = measure(density, threshold_od=threshold_od)
    assert found.pigmented_fraction_low >= 0
    assert found.pigmented_fraction_high <= 1
    assert found.pigmented_fraction_low <= found.pigmented_fraction <= found.pigmented_fraction_high
    assert found.contrast_od_low <= found.contrast_od <= found.contrast_od_high


@given(st.integers(0, 2**32 - 1), st.floats(0.01, 0.1), st.floats(1, 3))
def test_a_higher_threshold_never_finds_more_skin_pigmented(seed, threshold_od, factor):
    density = np.random.default_rng(seed).gamma(1.0, 0.04, SHAPE)
    low, high = (measure(density, threshold_od=t) for t in (threshold_od, factor * threshold_od))
    assert high.pigmented_fraction <= low.pigmented_fraction


@pytest.mark.parametrize("name", sorted(RegionMeasure.__dataclass_fields__))
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_measure_that_is_no_number_is_refused(name, value):
    good = measure(patch(slice(0, 10), slice(0, 10), 0.08))
    with pytest.raises(ValueError, match=rf"{name} must be a number, got (nan|inf)"):
        replace(good, **{name: value})


@pytest.mark.parametrize("name", [n for n in RegionMeasure.__dataclass_fields__ if "fraction" in n])
@pytest.mark.parametrize("value", [-0.1, 1.2])
def test_a_fraction_outside_zero_to_one_is_refused(name, value):
    good = measure(patch(slice(0, 10), slice(0, 10), 0.08))
    with pytest.raises(ValueError, match=rf"{name} must be in \[0, 1\], got {value}"):
        replace(good, **{name: value})
