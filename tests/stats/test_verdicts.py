"""What adjudicators say of units on which readers differ, from a table of reads of every stage."""

import pytest

pytest.importorskip("scipy", reason="needs the extra stats")

from masi_vision.errors import StatsError
from masi_vision.scale import MASI_REGIONS
from masi_vision.stats.courses import adjudicated_at_one, courses_of, graded_otherwise, kind_of
from masi_vision.stats.verdicts import NOT_ADJUDICATED, NOT_GRADABLE

LOCKED = "2026-05-01T10:00:00+00:00"
ARMS = {"P1": "A", "P2": "B"}


def read(reader, grade, visit="v1", patient="P1", **more):
    """Of which the mMASI is the square of the grade; None: no grade was given."""
    given = "" if grade is None else str(grade)
    row = {"patient": patient, "visit": visit, "repeat_of": "", "reader": reader, "stage": "blind"}
    row |= {f"{region}_{name}": given for region in MASI_REGIONS for name in ("area", "darkness")}
    return row | {"latest": "1", "locked_utc": LOCKED} | more


def verdict(grade, visit="v1", reader="adam", **more):
    return read(reader, grade, visit, **{"stage": "adjudication", **more})


def awaited(visit="v1", **more):
    """As the reading page exports it."""
    return verdict(None, visit, "", **{"latest": "", "locked_utc": "", **more})


READ = [read(who, grade, visit) for visit in ("v1", "v2") for who, grade in (("anna", 1), ("ben", 3))]


def course(*more, adjudicated="replaces"):
    return courses_of([*READ, *more], {"P1": "A"}, "mmasi", "reads.csv", adjudicated)[0]


def test_an_adjudicator_s_grades_stand_in_place_of_the_readers_mean_where_there_are_any():
    found = course(verdict(4))
    assert found.values == {"v1": 16, "v2": 5}
    assert found.readers == {"v2": ("anna", "ben")}
    assert found.verdicts["v1"].adjudicators == ("adam",)


def test_without_the_key_nothing_that_an_adjudicator_says_counts():
    found = course(verdict(4), awaited("v2"), adjudicated="ignored")
    assert found == course(adjudicated="ignored")
    assert found.values == {"v1": 5, "v2": 5}


def test_of_several_adjudicators_it_is_the_mean_of_those_who_could_grade():
    found = course(verdict(4), verdict(2, reader="eve"), verdict(None, reader="zoe"))
    assert found.values["v1"] == (16 + 4) / 2
    assert found.verdicts["v1"].adjudicators == ("adam", "eve")


def test_what_an_adjudicator_corrected_is_the_last_that_he_locked():
    found = course(verdict(4, latest="0"), verdict(2))
    assert found.values["v1"] == 4


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (awaited(), NOT_ADJUDICATED),
        (verdict(4, locked_utc=""), NOT_ADJUDICATED),
        (verdict(4, latest="0"), NOT_ADJUDICATED),
        (verdict(None), NOT_GRADABLE),
    ],
)
def test_a_unit_without_a_verdict_is_missing_and_says_why(row, why):
    found = course(row)
    assert found.values == {"v2": 5}
    assert found.readers == {"v2": ("anna", "ben")}
    assert found.verdicts["v1"].why_missing == why


def test_what_one_adjudicator_locked_does_not_await_another():
    assert course(verdict(4), verdict(None, reader="eve", locked_utc="")).values["v1"] == 16


def test_a_hidden_repeat_is_adjudicated_for_nothing():
    for row in (verdict(4, repeat_of="AA"), awaited(repeat_of="AA")):
        assert course(row) == course()


def test_a_table_with_a_row_for_each_region_is_adjudicated_too():
    columns = ("patient", "visit", "repeat_of", "reader", "stage", "latest", "locked_utc")
    rows = [
        {name: row[name] for name in columns} | {"region": region, "area": area, "darkness": area}
        for row, area in ((READ[0], "1"), (READ[1], "3"), (verdict(4), "4"))
        for region in MASI_REGIONS
    ]
    (found,) = courses_of(rows, {"P1": "A"}, "mmasi", "reads.csv", "replaces")
    assert found.values == {"v1": 16}


def test_an_adjudicator_is_another_rater_whatever_he_is_called():
    """Also where one who reads adjudicates: the unit is then his alone."""
    for name in ("adam", "anna"):
        one = course(verdict(3, "v2", name))
        assert adjudicated_at_one([one], "v1", "v2") == {"A": 1}
        assert graded_otherwise([one], "v1", "v2") == {}
    both = course(verdict(3), verdict(3, "v2"))
    assert adjudicated_at_one([both], "v1", "v2") == graded_otherwise([both], "v1", "v2") == {}
    others = course(verdict(3), verdict(3, "v2", "eve"))
    assert graded_otherwise([others], "v1", "v2") == {"A": 1}
    missing = course(awaited(), verdict(3, "v2"))
    assert adjudicated_at_one([missing], "v1", "v2") == {}


def test_the_kind_of_table_says_whose_the_endpoints_are():
    def told(*more):
        rows = [*READ, *more]
        return kind_of(rows, courses_of(rows, ARMS, "mmasi", "reads.csv", "replaces"), "replaces")

    assert told() == "the mean of the readers anna, ben; in its place, of no units, the adjudicator's grades"
    one = "the mean of the readers anna, ben; in its place, of 1 unit, the adjudicator's grades by adam"
    assert told(verdict(4)) == one
    more = "; missing for the want of them: 1 (not adjudicated), 1 (the adjudicator could not grade it)"
    others = read("anna", 1, patient="P2"), awaited(patient="P2"), verdict(None, "v2")
    assert told(verdict(4), *others) == (
        "the mean of the readers (of no unit)" + one.removeprefix("the mean of the readers anna, ben") + more
    )


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (
            verdict(4, stage="adjudicated"),
            "has the stage 'adjudicated'. Expected one of blind",
        ),
        (verdict(4, stage=""), "has the stage ''"),
        (awaited(""), "stage adjudication without patient or visit"),
        (verdict(4, mmasi="9.0"), "P1 v1 by adam: mmasi is 9.0, and its grades make 16"),
        (verdict(4, patient="P9"), "No arm is known of P9"),
        (awaited(patient="P9"), "No arm is known of P9"),
    ],
)
def test_a_table_of_which_nobody_knows_what_was_adjudicated_is_refused(row, said):
    with pytest.raises(StatsError, match=said.replace("(", r"\(")):
        course(row)


def test_two_verdicts_of_one_adjudicator_on_a_unit_are_refused():
    with pytest.raises(StatsError, match="two reads of P1 v1 by adam"):
        course(verdict(4), verdict(3))


def test_a_table_that_does_not_tell_readers_from_adjudicators_is_refused():
    rows = [{name: value for name, value in row.items() if name != "stage"} for row in READ]
    scores = [{"patient": "P1", "visit": "v1", "mmasi": "3.0"}]
    for table in (rows, scores):
        with pytest.raises(StatsError, match=r"has no column stage.*adjudicated: ignored"):
            courses_of(table, ARMS, "mmasi", "t.csv", "replaces")
        assert courses_of(table, ARMS, "mmasi", "t.csv")[0].values["v1"] > 0
