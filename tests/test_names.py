"""Which names are one."""

import pytest

from masi_vision.names import (
    folders_spelled_alike,
    in_order,
    natural_key,
    nearly_alike,
    same_within_sites,
    signs_in_doubt,
    spelled_alike,
    told_apart,
    without_zeros,
)


@pytest.mark.parametrize(
    ("name", "other"), [("001", "1"), ("P 007", "p7"), ("01-003", "1-3"), ("visit-01", "Visit-1")]
)
def test_a_spreadsheet_s_numbers_are_the_same_names(name, other):
    assert without_zeros(name) == without_zeros(other)
    assert spelled_alike([name, other]) == []  # in one table they may be two
    assert nearly_alike([name, other]) == [tuple(sorted((name, other)))]


@pytest.mark.parametrize(
    ("name", "other"), [("0.05 %", "0.5 %"), ("0,01", "0,1"), ("1.05", "1.5"), ("10", "1"), ("100", "10")]
)
def test_zeros_that_count_stay(name, other):
    assert without_zeros(name) != without_zeros(other)
    assert spelled_alike([name, other]) == nearly_alike([name, other]) == []


@pytest.mark.parametrize(
    "name", ["visit 1", "visit_1", "Visit - 01", "VISIT__1", "visit-1 ", "visit\N{EN DASH}1"]
)
def test_the_sign_between_the_parts_of_a_visit_s_name_tells_no_other(name):
    assert nearly_alike(["visit-1", name]) == [tuple(sorted(("visit-1", name)))]


@pytest.mark.parametrize(
    ("name", "other"), [("D1", "D-1"), ("day 1", "day -1"), ("day_1", "day_-1"), ("visit 1 2", "visit-12")]
)
def test_a_day_before_treatment_is_another_than_that_after_it(name, other):
    assert nearly_alike([name, other]) == []


@pytest.mark.parametrize("sign", ["\u200b", "\u200e", "\u2060", "\u00ad", "\ufeff"])
def test_a_sign_that_nobody_sees_makes_no_other_name_and_is_shown(sign):
    seen, other = "visit-1", f"visit{sign}-1"
    assert spelled_alike([seen, other]) == nearly_alike([seen, other]) == [(seen, other)]
    assert told_apart(seen, other) == ("'visit-1'", ascii(other))
    assert same_within_sites([f"north/{seen}", f"south/{other}"]) == [(f"north/{seen}", f"south/{other}")]


@pytest.mark.parametrize(
    "names",
    [
        ["day -14", "day 1", "day 29"],
        ["day_-14", "day_-7", "day_1", "day_10"],
        ["day--14", "day-1", "day-29"],
        ["D\N{MINUS SIGN}14", "D1", "D10"],
        ["week -2", "week 0", "week 4", "week 12"],
        ["day_-14", "day 1", "day_2", "day10", "day-29"],
        ["-14", "0", "28"],
        ["IMG-0001", "IMG-0002", "IMG-0014"],
        ["IMG_0001", "IMG_0001-2", "IMG_0001-10", "IMG_0002"],
        ["2025-12-31", "2026-02-01", "2026-02-29", "2026-10-01"],
        ["P01 - 2", "P01 - 10", "P02 - 1"],
        ["north/P-2", "north/P-10", "south/P-1"],
        ["V1-2", "V1-10", "V2-1"],
        ["visit-1", "visit-2", "visit-10"],
    ],
)
def test_a_number_is_negative_only_where_its_dash_can_be_nothing_else(names):
    for shuffled in (names[::-1], sorted(names)):
        assert sorted(shuffled, key=natural_key) == names
        assert in_order(shuffled) == names


@pytest.mark.parametrize(
    ("names", "doubtful"),
    [
        (["D-14", "D1", "baseline"], {"D-14", "D1"}),
        (["D-14", "D+1"], {"D-14", "D+1"}),
        (["V-2", "V1"], {"V-2", "V1"}),
        (["day-14", "day 1"], {"day-14", "day 1"}),
        (["day - 14", "day 1"], {"day - 14", "day 1"}),
        (["Visit - 1", "Visit - 2"], set()),
        (["visit -1", "visit -2"], {"visit -1", "visit -2"}),
        (["D-14", "D-1"], set()),
        (["S01-V-1", "S01-V2"], {"S01-V-1", "S01-V2"}),
        (["S01-V1", "S01-V2", "S-01"], {"S01-V1", "S01-V2", "S-01"}),
        (["S01-V1", "S02-V-2"], set()),
        (["visit-1", "visit-2", "screening", "week 4"], set()),
        (["day -14", "day 1", "day 29"], set()),
        (["D\N{MINUS SIGN}14", "D1"], set()),
        (["V1", "V1-2", "V2"], set()),
        (["2026-02-01", "2026-03-01"], set()),
        (["screening -14", "baseline"], set()),
    ],
)
def test_a_dash_that_may_be_a_minus_is_in_doubt_where_the_visits_do_not_tell(names, doubtful):
    assert set(signs_in_doubt(names)) == set(signs_in_doubt(names[::-1])) == doubtful


def test_names_that_are_listed_stand_as_listed_and_the_others_after_them():
    listed = ["baseline", "week-4", "end"]
    assert in_order(["end", "week-12", "baseline", "week-9", "end"], listed) == [
        *("baseline", "end", "week-9", "week-12")
    ]


@pytest.mark.parametrize(
    ("names", "listed"),
    [
        (["V0", "V1", "V2", "V3"], ["V1", "V2", "V3"]),
        (["V0", "V1", "V2", "V3"], ["V1"]),
        (["week -2", "week 0", "week 4", "end"], ["week 0", "week 4", "end"]),
        (["start", "week 4", "end"], ["start", "week 4"]),
        (["V1", "V3", "V2"], ["V1", "V3"]),
    ],
)
def test_a_visit_before_the_baseline_by_its_number_stands_before_it(names, listed):
    assert in_order(names[::-1], listed) == names


def test_a_group_that_is_part_of_another_is_told_once():
    assert nearly_alike(["P-1", "P-01", "P_1"]) == [("P-01", "P-1", "P_1")]


def test_patients_called_alike_at_two_sites_may_be_one_who_moved():
    names = ["south/P06", "north/P06", "north/P07", "south/P08", "P09", "a/b/p09", "south/P06"]
    assert same_within_sites(names) == [("a/b/p09", "P09"), ("north/P06", "south/P06")]
    assert same_within_sites(["P06", "P07", "north/P08", "P08/P06/north"]) == []


def test_a_centre_in_two_spellings_is_told_once_and_a_patient_within_one_centre():
    composed, decomposed = "Orl\u00e9ans", "Orle\u0301ans"
    assert folders_spelled_alike([f"{composed}/001", f"{decomposed}/001", f"{decomposed}/002"]) == [
        (decomposed, composed)
    ]
    patients = ["south/P 06", "south/p06", "north/p06", "P06"]
    assert folders_spelled_alike(patients) == [("south/P 06", "south/p06")]


def test_names_that_look_alike_in_print_are_told_apart_by_their_signs():
    assert told_apart("Orl\u00e9ans", "Orle\u0301ans") == (r"'Orl\xe9ans'", r"'Orle\u0301ans'")
    assert told_apart("porto", "Porto") == ("'porto'", "'Porto'")
