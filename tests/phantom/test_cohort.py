"""A trial that never was: its arms do what they were set to do, and its readers err as people do."""

import cv2
import numpy as np
import pytest

from masi_vision.face.atlas import Subunit
from masi_vision.phantom.cohort import (
    ARMS,
    VISITS,
    Arm,
    allocation,
    draw_patient,
    draw_readers,
    effect_so_far,
    read,
    truth_of,
)
from masi_vision.scale import ABSENT, AREA_EDGES, MASI_REGIONS, RegionGrade, mmasi

SKIN = np.array([0.45, 0.28, 0.2], np.float32)
CUTS = (0.03, 0.06, 0.10, 0.17)
REGIONS = dict(zip(MASI_REGIONS, (1, 2, 3, 4), strict=True))


@pytest.fixture(scope="module")
def small(atlas):
    """Every fourth pixel of the mean face: fast."""
    return np.ascontiguousarray(atlas.labels[::4, ::4])


@pytest.fixture(scope="module")
def patients(small):
    rng = np.random.default_rng(0)
    return [
        draw_patient(f"P{n}", arm, SKIN, small, REGIONS.values(), np.random.default_rng((1, n)))
        for n, arm in enumerate(allocation(80, ARMS, rng))
    ]


def amount(melasma, codes):
    return float(melasma.density_od[codes > 0].mean())


def test_every_block_of_four_holds_every_arm_once():
    drawn = allocation(82, ARMS, np.random.default_rng(3))
    assert len(drawn) == 82
    for first in range(0, 80, 4):
        assert {arm.name for arm in drawn[first : first + 4]} == {"A", "B", "C", "D"}


def test_all_come_with_melasma_and_arms_lose_what_they_were_set_to_lose(patients, small):
    lost = {arm.name: [] for arm in ARMS}
    for patient in patients:
        before, after = (amount(patient.at(visit), small) for visit in (0, 2))
        assert before > 0.004
        lesion = patient.at(0).lesion
        assert max(lesion[small == code].mean() for code in REGIONS.values()) > 0.05
        lost[patient.arm.name].append(1 - after / before)
    for arm in ARMS:
        assert np.mean(lost[arm.name]) == pytest.approx(arm.effect, abs=0.12)
    means = [np.mean(lost[arm.name]) for arm in ARMS]
    assert means == sorted(means)


def test_a_visit_between_lies_between(patients, small):
    for patient in patients[:20]:
        first, second, third = (amount(patient.at(visit), small) for visit in range(VISITS))
        assert min(first, third) - 1e-6 <= second <= max(first, third) + 1e-6


def test_regions_answer_each_for_itself(patients, small):
    spreads = [
        np.ptp([patient.remaining[small == code].mean() for code in (1, 2, 3)]) for patient in patients
    ]
    assert np.median(spreads) > 0.05


def test_skin_around_a_region_answers_as_it_does(patients, small):
    """Under the eyes, on brows and lips: nothing there stays dark while the cheek beside it clears."""
    around = cv2.dilate((small > 0).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    most = cv2.dilate(small, np.ones((9, 9), np.uint8))
    beside = around & (small == 0) & (most == Subunit.RIGHT_MALAR)
    assert beside.any()
    for patient in patients[:20]:
        cheek = np.median(patient.remaining[small == Subunit.RIGHT_MALAR])
        assert np.median(patient.remaining[beside]) == pytest.approx(cheek, abs=0.05)


def test_no_edge_is_seen_where_regions_answer_unlike(atlas):
    patient = draw_patient("P1", ARMS[3], SKIN, atlas.labels, REGIONS.values(), np.random.default_rng(7))
    steps = [np.abs(np.diff(patient.remaining, axis=axis)).max() for axis in (0, 1)]
    assert 0 < max(steps) < 0.2 * np.ptp(patient.remaining)


def test_readers_agree_as_trained_readers_do(patients, small):
    """ICC(2,1) of the mMASI near the published 0.82."""
    rng = np.random.default_rng(4)
    readers = draw_readers(3, rng)
    table = []
    for patient in patients:
        truth = truth_of(patient.at(0), small, REGIONS, np.ones(small.shape, np.float32))
        row = []
        for reader in readers:
            grades = dict.fromkeys(MASI_REGIONS, ABSENT)
            for one in read(reader, truth, AREA_EDGES, CUTS, rng):
                assert (one.area == 0) == (one.darkness == 0)
                if one.area:
                    grades[one.region] = RegionGrade(one.area, one.darkness, 0)
            row.append(mmasi(grades))
        table.append(row)
    x = np.array(table)
    n, k = x.shape
    rows, columns = x.mean(axis=1), x.mean(axis=0)
    between = k * ((rows - x.mean()) ** 2).sum() / (n - 1)
    of_readers = n * ((columns - x.mean()) ** 2).sum() / (k - 1)
    left = ((x - rows[:, None] - columns + x.mean()) ** 2).sum() / ((n - 1) * (k - 1))
    icc = (between - left) / (between + (k - 1) * left + k * (of_readers - left) / n)
    assert 0.7 < icc < 0.92


@pytest.mark.parametrize("effect", [-0.1, 1.1])
def test_an_effect_that_no_treatment_has_is_refused(effect):
    with pytest.raises(ValueError, match="effect must be in"):
        Arm("A", effect)


@pytest.mark.parametrize(
    ("visits", "expected"), [(2, (0, 1)), (3, (0, 0.6, 1)), (4, (0, 0.3, 0.6, 1)), (5, (0, 0.2, 0.4, 0.6, 1))]
)
def test_the_effect_grows_to_the_last_visit(visits, expected):
    assert [effect_so_far(visit, visits) for visit in range(visits)] == pytest.approx(expected)
