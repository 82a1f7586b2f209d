"""The clinical scale, in sentences about the clinic."""

from __future__ import annotations

from fractions import Fraction
from math import inf, nan

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from masi_vision import scale
from masi_vision.scale import ABSENT, MASI_REGIONS, ContinuousGrade, MsiGrade, RegionGrade

CUT_POINTS = (0.03, 0.06, 0.10, 0.17)
HOMOGENEITY_CUT_POINTS = (0.1, 0.3, 0.6, 0.9)
WORST = RegionGrade(area=6, darkness=4, homogeneity=4)

fractions = st.floats(0, 1)
contrasts = st.floats(0, 3)
grades = st.builds(RegionGrade, st.integers(1, 6), st.integers(0, 4), st.integers(0, 4)) | st.just(ABSENT)
faces = st.fixed_dictionaries(dict.fromkeys(MASI_REGIONS, grades))
measures = st.tuples(fractions, contrasts, fractions)
measured_faces = st.fixed_dictionaries(dict.fromkeys(MASI_REGIONS, measures))


def face(**of_region):
    return dict.fromkeys(MASI_REGIONS, ABSENT) | of_region


def banded(fraction, contrast, homogeneity):
    area = scale.area_grade(fraction)
    if area == 0:
        return ABSENT
    return RegionGrade(
        area,
        scale.darkness_grade(contrast, CUT_POINTS),
        scale.homogeneity_grade(homogeneity, HOMOGENEITY_CUT_POINTS),
    )


def continuous(fraction, contrast, homogeneity):
    return ContinuousGrade(
        scale.continuous_area(fraction),
        scale.continuous_darkness(contrast, CUT_POINTS),
        scale.continuous_homogeneity(homogeneity, HOMOGENEITY_CUT_POINTS),
    )


# area


@pytest.mark.parametrize(
    ("fraction", "grade"),
    [
        *[(0, 0), (0.009, 0), (0.00999, 0), (0.01, 1), (0.095, 1), (0.0999, 1), (0.10, 2), (0.295, 2)],
        *[(0.2999, 2), (0.30, 3), (0.4999, 3), (0.50, 4), (0.6999, 4), (0.70, 5), (0.8999, 5), (0.90, 6)],
        (1.0, 6),
    ],
)
def test_area_grades_begin_at_their_published_edges(fraction, grade):
    assert scale.area_grade(fraction) == grade


@pytest.mark.parametrize("percent", range(101))
def test_an_area_counted_in_pixels_falls_on_the_same_edges(percent):
    edges = [1, 10, 30, 50, 70, 90]
    assert scale.area_grade(percent * 7 / 700) == sum(percent >= edge for edge in edges)


def test_without_noise_floor_any_pigment_is_grade_one_and_none_is_zero():
    assert scale.area_grade(1e-9, noise_floor=0) == 1
    assert scale.area_grade(0, noise_floor=0) == 0


@pytest.mark.parametrize("fraction", [1.2, -0.1, nan, inf])
def test_a_fraction_outside_zero_to_one_is_refused(fraction):
    with pytest.raises(ValueError, match=rf"^fraction must be in \[0, 1\], got {fraction}$"):
        scale.area_grade(fraction)
    with pytest.raises(ValueError, match=r"fraction must be in \[0, 1\]"):
        scale.continuous_area(fraction)


def test_a_noise_floor_that_swallows_grade_one_is_refused():
    with pytest.raises(ValueError, match=r"noise_floor must be in \[0, 0.1\], got 0.2"):
        scale.area_grade(0.5, noise_floor=0.2)


# darkness and homogeneity


@pytest.mark.parametrize(
    ("contrast", "grade"),
    [(0, 0), (0.0299, 0), (0.03, 1), (0.06, 2), (0.0999, 2), (0.10, 3), (0.17, 4), (2, 4)],
)
def test_a_contrast_on_a_cut_point_has_the_higher_darkness(contrast, grade):
    assert scale.darkness_grade(contrast, CUT_POINTS) == grade


@pytest.mark.parametrize(
    ("value", "grade"), [(0, 0), (0.1, 1), (0.3, 2), (0.6, 3), (0.89, 3), (0.9, 4), (1, 4)]
)
def test_one_single_patch_is_the_most_homogeneous(value, grade):
    assert scale.homogeneity_grade(value, HOMOGENEITY_CUT_POINTS) == grade


@pytest.mark.parametrize("contrast", [-0.1, nan, inf])
def test_a_contrast_that_no_lesion_has_is_refused(contrast):
    message = rf"^contrast must be 0 or more and finite, got {contrast}$"
    with pytest.raises(ValueError, match=message):
        scale.darkness_grade(contrast, CUT_POINTS)
    with pytest.raises(ValueError, match=message):
        scale.continuous_darkness(contrast, CUT_POINTS)


@pytest.mark.parametrize("value", [1.01, nan])
def test_a_homogeneity_above_one_is_refused(value):
    message = rf"^homogeneity value must be in \[0, 1\], got {value}$"
    with pytest.raises(ValueError, match=message):
        scale.homogeneity_grade(value, HOMOGENEITY_CUT_POINTS)
    with pytest.raises(ValueError, match=message):
        scale.continuous_homogeneity(value, HOMOGENEITY_CUT_POINTS)


@pytest.mark.parametrize(
    "cut_points",
    [(0.1, 0.2, 0.3), (0, 0.1, 0.2, 0.3), (0.1, 0.3, 0.2, 0.4), (0.1, 0.1, 0.2, 0.3), (0.1, nan, 1, 2)],
)
def test_cut_points_must_be_four_and_rising(cut_points):
    for grade in (scale.darkness_grade, scale.continuous_darkness, scale.continuous_homogeneity):
        with pytest.raises(
            ValueError, match="cut_points must be 4 positive numbers, each above the one before"
        ):
            grade(0.1, cut_points)


def test_a_homogeneity_that_only_starts_at_one_is_refused_without_banding():
    with pytest.raises(ValueError, match="cut_points of homogeneity must be below 1"):
        scale.continuous_homogeneity(0.5, (0.1, 0.2, 0.3, 1.0))


@given(contrasts, contrasts)
def test_a_darker_lesion_never_lowers_the_grade(one, other):
    light, dark = sorted((one, other))
    assert scale.darkness_grade(light, CUT_POINTS) <= scale.darkness_grade(dark, CUT_POINTS)
    assert scale.continuous_darkness(light, CUT_POINTS) <= scale.continuous_darkness(dark, CUT_POINTS)


@given(fractions, fractions)
def test_a_larger_lesion_never_lowers_the_grade(one, other):
    small, large = sorted((one, other))
    assert scale.area_grade(small) <= scale.area_grade(large)
    assert scale.continuous_area(small) <= scale.continuous_area(large)


# without banding


def test_the_continuous_scales_have_the_ends_of_the_banded_ones():
    assert [scale.continuous_area(f) for f in (0, 1)] == [0, 6]
    assert [scale.continuous_darkness(c, CUT_POINTS) for c in (0, 0.205, 3)] == pytest.approx([0, 4, 4])
    assert [scale.continuous_homogeneity(h, HOMOGENEITY_CUT_POINTS) for h in (0, 1)] == [0, 4]


def test_the_middle_of_a_band_is_its_grade():
    assert [scale.continuous_area(f) for f in (0.2, 0.4, 0.6, 0.8)] == pytest.approx([2, 3, 4, 5])
    middles = (0.045, 0.08, 0.135)
    assert [scale.continuous_darkness(c, CUT_POINTS) for c in middles] == pytest.approx([1, 2, 3])


@given(measures)
def test_rounding_the_continuous_grade_gives_back_the_banded_one(measure):
    fraction, contrast, homogeneity = measure
    grade = continuous(*measure)
    area_band = scale.area_grade(fraction)
    reach = 0.5 if fraction > 1 / 30 or fraction < 0.01 else 1  # a trace is grade 1 at once
    assert abs(grade.area - area_band) <= reach + 1e-9
    assert abs(grade.darkness - scale.darkness_grade(contrast, CUT_POINTS)) <= 0.5 + 1e-9
    assert abs(grade.homogeneity - scale.homogeneity_grade(homogeneity, HOMOGENEITY_CUT_POINTS)) <= 0.5 + 1e-9


@given(measured_faces)
def test_the_continuous_score_stays_within_reach_of_the_banded_one(measured):
    bands = {region: banded(*measure) for region, measure in measured.items()}
    twins = {region: continuous(*measure) for region, measure in measured.items()}
    # at most half a grade in each item: 6 * 4 against 5.5 * 3.5 is the widest
    assert abs(scale.mmasi_continuous(twins) - scale.mmasi(bands)) <= 4.75 + 1e-9
    assert abs(scale.masi_continuous(twins) - scale.masi(bands)) <= 9.5 + 1e-9


@given(faces)
def test_whole_grades_have_the_same_score_with_and_without_banding(graded):
    twins = {r: ContinuousGrade(g.area, g.darkness, g.homogeneity) for r, g in graded.items()}
    assert scale.mmasi_continuous(twins) == scale.mmasi(graded)
    assert scale.masi_continuous(twins) == scale.masi(graded)


def test_without_homogeneity_there_is_no_continuous_masi():
    graded = dict.fromkeys(MASI_REGIONS, ContinuousGrade(2.5, 1.5, 3.0)) | {"chin": ContinuousGrade(2.5, 1.5)}
    assert scale.mmasi_continuous(graded) == pytest.approx(3.75)
    assert scale.masi_continuous(graded) is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((6.1, 0), r"area must be in \[0, 6\], got 6.1"),
        ((6, nan), r"darkness must be in \[0, 4\], got nan"),
        ((6, 4, -1), r"homogeneity must be in \[0, 4\], got -1"),
    ],
)
def test_a_continuous_grade_outside_the_scale_cannot_exist(values, message):
    with pytest.raises(ValueError, match=message):
        ContinuousGrade(*values)


# MASI and mMASI


def test_the_worst_face_scores_24_and_48():
    assert scale.mmasi(face(**dict.fromkeys(MASI_REGIONS, WORST))) == 24
    assert scale.masi(face(**dict.fromkeys(MASI_REGIONS, WORST))) == 48
    full = dict.fromkeys(MASI_REGIONS, ContinuousGrade(6, 4, 4))
    assert (scale.mmasi_continuous(full), scale.masi_continuous(full)) == (24, 48)


def test_a_face_without_melasma_scores_zero():
    assert scale.masi_score(face()) == scale.MasiScore(mmasi_tenths=0, masi_tenths=0)


def test_chin_alone_counts_one_tenth():
    assert scale.mmasi(face(chin=WORST)) == 2.4
    assert scale.masi(face(chin=WORST)) == 4.8


@pytest.mark.parametrize("region", ["forehead", "right_malar", "left_malar"])
def test_forehead_and_each_cheek_alone_count_three_tenths(region):
    assert scale.mmasi(face(**{region: WORST})) == 7.2
    assert scale.masi(face(**{region: WORST})) == 14.4


def test_one_area_bin_on_a_cheek_moves_masi_by_1_2_points():
    before, after = RegionGrade(3, 2, 2), RegionGrade(4, 2, 2)
    step = scale.masi(face(left_malar=after)) - scale.masi(face(left_malar=before))
    assert step == pytest.approx(1.2)


@given(faces)
def test_scores_are_exact_tenths(graded):
    weights = {"forehead": "3/10", "right_malar": "3/10", "left_malar": "3/10", "chin": "1/10"}
    exact = sum(Fraction(weights[r]) * g.area * (g.darkness + g.homogeneity) for r, g in graded.items())
    score = scale.masi_score(graded)
    assert Fraction(score.masi_tenths, 10) == exact
    assert score.masi == float(exact)
    assert f"{score.masi:.1f}" == str(score.masi)


@given(faces)
def test_mirrored_cheeks_leave_masi_alone(graded):
    mirrored = graded | {"right_malar": graded["left_malar"], "left_malar": graded["right_malar"]}
    assert scale.masi_score(mirrored) == scale.masi_score(graded)


@given(faces, st.sampled_from(MASI_REGIONS))
def test_a_darker_region_never_lowers_the_score(graded, region):
    grade = graded[region]
    assume(grade.area > 0 and grade.darkness < 4)
    darker = graded | {region: RegionGrade(grade.area, grade.darkness + 1, grade.homogeneity)}
    assert scale.mmasi(darker) > scale.mmasi(graded)


def test_masi_needs_homogeneity_everywhere_and_mmasi_nowhere():
    graded = face(forehead=RegionGrade(area=2, darkness=3))
    assert scale.mmasi(graded) == 1.8
    assert scale.masi(graded) is None


@pytest.mark.parametrize("region", MASI_REGIONS)
@pytest.mark.parametrize("score", [scale.masi, scale.mmasi, scale.masi_continuous, scale.mmasi_continuous])
def test_a_missing_region_is_not_taken_for_a_clear_one(score, region):
    graded = face()
    del graded[region]
    with pytest.raises(ValueError, match=f"^{region} has no grade; expected one for each of forehead"):
        score(graded)


def test_the_nose_is_not_a_region_of_masi():
    with pytest.raises(ValueError, match="nose is not a region of MASI; expected forehead, right_malar"):
        scale.masi(face(nose=WORST))


# grades that cannot exist


def test_grades_of_a_table_of_numpy_are_whole_numbers_like_others():
    made = RegionGrade(np.int64(3), np.uint8(2), np.int8(1))
    assert made == RegionGrade(3, 2, 1)
    assert {type(one) for one in (made.area, made.darkness, made.homogeneity)} == {int}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((7, 0), "area must be a whole number in 0..6, got 7"),
        ((-1, 0), "area must be a whole number in 0..6, got -1"),
        ((True, 0), "area must be a whole number in 0..6, got True"),
        ((3.0, 0), "area must be a whole number in 0..6, got 3.0"),
        ((nan, 0), "area must be a whole number in 0..6, got nan"),
        ((np.int64(7), 0), r"area must be a whole number in 0..6, got np.int64\(7\)"),
        ((np.bool_(True), 0), r"area must be a whole number in 0..6, got np.True_"),
        (("3", 0), "area must be a whole number in 0..6, got '3'"),
        ((None, 0), "area must be a whole number in 0..6, got None"),
        ((1, 5), "darkness must be a whole number in 0..4, got 5"),
        ((1, None), "darkness must be a whole number in 0..4, got None"),
        ((1, 4, 5), "homogeneity must be a whole number in 0..4, got 5"),
    ],
)
def test_a_grade_outside_the_scale_cannot_exist(values, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        RegionGrade(*values)


@pytest.mark.parametrize("values", [(0, 1), (0, 0, 1), (0, 2, None)])
def test_what_covers_nothing_is_neither_dark_nor_homogeneous(values):
    with pytest.raises(
        ValueError, match="a region with area 0 must have darkness 0 and homogeneity 0, got dark"
    ):
        RegionGrade(*values)


def test_faint_pigment_may_have_an_area_and_no_darkness():
    assert scale.mmasi(face(chin=RegionGrade(area=3, darkness=0))) == 0


@pytest.mark.parametrize(
    ("tenths", "message"),
    [
        ((241,), "mmasi_tenths must be a whole number in 0..240"),
        ((1, 481), "masi_tenths must be a whole"),
        ((50, 40), "MASI must be mMASI or more, got 4.0 and 5.0"),
    ],
)
def test_a_score_that_no_face_has_cannot_exist(tenths, message):
    with pytest.raises(ValueError, match=message):
        scale.MasiScore(*tenths)


@pytest.mark.parametrize("edges", [[0.1], [0.1, 0.3, 0.2, 0.7, 0.9], [0.1, 0.3, 0.5, 0.7, 1.0]])
def test_edges_of_area_that_are_none_are_refused(edges):
    for graded in (scale.area_grade, scale.continuous_area):
        with pytest.raises(ValueError, match="edges must be 5 numbers between 0 and 1"):
            graded(0.5, edges=edges)


# hemi-MASI and MSI


@pytest.mark.parametrize("side", ["right", "left"])
def test_the_worst_half_face_scores_24(side):
    assert scale.hemi_masi(side, {"forehead": WORST, f"{side}_malar": WORST, "chin": WORST}) == 24


@pytest.mark.parametrize(("region", "score"), [("forehead", 7.2), ("right_malar", 14.4), ("chin", 2.4)])
def test_half_a_face_weighs_half_of_forehead_and_chin_and_its_own_cheek(region, score):
    assert scale.hemi_masi("right", face(**{region: WORST})) == score
    assert scale.hemi_masi("right", face(left_malar=WORST)) == 0


@given(faces)
def test_two_alike_halves_add_up_to_masi(graded):
    whole = graded | {"left_malar": graded["right_malar"]}
    halves = scale.hemi_masi("right", whole) + scale.hemi_masi("left", whole)
    assert halves == pytest.approx(scale.masi(whole))


def test_hemi_masi_needs_its_own_side_and_homogeneity():
    right = {"forehead": WORST, "right_malar": WORST, "chin": WORST}
    with pytest.raises(ValueError, match="left_malar has no grade"):
        scale.hemi_masi("left", right)
    with pytest.raises(ValueError, match="side must be 'right' or 'left', got 'both'"):
        scale.hemi_masi("both", right)
    assert scale.hemi_masi("right", right | {"chin": RegionGrade(1, 1)}) is None


def test_the_worst_msi_is_64_and_the_nose_counts_one_fifth():
    worst, none = MsiGrade(area=4, pigmentation=4), MsiGrade(area=0, pigmentation=0)
    assert scale.msi(worst, worst, worst) == 64
    assert scale.msi(none, none, worst) == 12.8
    assert scale.msi(worst, none, none) == scale.msi(none, worst, none) == 25.6


@pytest.mark.parametrize(
    ("values", "message"),
    [((5, 0), "area must be a whole number in 0..4, got 5"), ((1, 5), "pigmentation must be")],
)
def test_an_msi_grade_outside_the_index_cannot_exist(values, message):
    with pytest.raises(ValueError, match=message):
        MsiGrade(*values)
