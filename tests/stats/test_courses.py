"""What a table of a trial says of every patient's course."""

import pytest

pytest.importorskip("scipy", reason="needs the extra stats")

from masi_vision.errors import StatsError
from masi_vision.reads_table import AMOUNT
from masi_vision.scale import MASI_REGIONS
from masi_vision.stats.courses import Course, arms_of, courses_of

ARMS = {"P1": "A", "P2": "B", "P3": "A"}


def change(patient="P1", follow_up="v2", before="0.03", found="-0.01", baseline="v1"):
    return {
        "patient": patient,
        "baseline": baseline,
        "follow_up": follow_up,
        "amount_before_od": before,
        "amount_change_od": found,
    }


def values(*rows):
    return {one.patient: one.values for one in courses_of(rows, ARMS, AMOUNT, "changes.csv")}


def test_the_amount_of_a_follow_up_is_the_baseline_s_own_and_its_change():
    found = values(change(), change(follow_up="v3", found="-0.04"), change("P2", found=""))
    assert found["P1"] == pytest.approx({"v1": 0.03, "v2": 0.02, "v3": -0.01})
    assert found["P2"] == {"v1": 0.03}  # not compared: a visit is missing, not unchanged
    assert found["P3"] == {}


def test_of_a_baseline_that_was_not_graded_nothing_is_known():
    assert values(change(before="", found="-0.01"))["P1"] == {}


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([change(), change(follow_up="v3", baseline="v2")], "two baselines of 'P1'"),
        ([change(), change()], "P1 v2 twice"),
        ([change(follow_up="v1")], "P1 v1 twice"),
        ([change(found=""), change()], "P1 v2 twice"),
        ([change(before=""), change()], "P1 v2 twice"),
        ([change(follow_up="")], "without patient, baseline or follow_up"),
        ([change(found="-0,01")], "'-0,01' is no amount"),
        ([change("P9")], "No arm is known of P9"),
    ],
)
def test_a_table_of_changes_that_contradicts_itself_is_refused(rows, words):
    with pytest.raises(StatsError, match=words):
        values(*rows)


def test_changes_are_of_one_version_but_for_those_without_an_amount():
    new, old = {"version": "0.2.0"}, {"version": "0.1.0"}
    found = values(change() | new, change("P2", before="") | old)
    assert found["P1"] == pytest.approx({"v1": 0.03, "v2": 0.02})
    with pytest.raises(StatsError, match="Expected one version in all of them"):
        values(change() | new, change("P2", found="") | old)  # its baseline counts


def test_the_endpoint_and_the_table_must_fit():
    with pytest.raises(StatsError, match="Expected endpoint: amount_od of changes"):
        courses_of([change()], ARMS, "mmasi", "changes.csv")
    score = {"patient": "P1", "visit": "v1", "mmasi": "3.0"}
    with pytest.raises(StatsError, match="does not fit endpoint: amount_od"):
        courses_of([score], ARMS, AMOUNT, "scores.csv")


def test_patients_without_an_arm_are_named_and_photos_that_do_not_count_apart():
    rows = [{"patient": f"P{number}", "arm": "A" if number < 2 else ""} for number in range(1, 9)]
    with pytest.raises(StatsError, match=r"No arm is known of P2, P3, P4, P5, P6 and others by reads\.csv\."):
        arms_of(rows, "reads.csv")
    uncounted = {"patient": "not-counted-B2CD3FG", "arm": ""}
    with pytest.raises(StatsError, match="stand in the table: not-counted-B2CD3FG") as told:
        arms_of([rows[0], uncounted], "reads.csv")
    assert "arm" not in str(told.value)
    with pytest.raises(StatsError, match="No arm is known of P2 by reads"):
        arms_of([*rows[:2], uncounted], "reads.csv")
    assert arms_of(rows[:1], "reads.csv") == {"P1": "A"}


def test_changes_of_a_version_before_say_so():
    row = change()
    del row["amount_before_od"], row["amount_change_od"]
    with pytest.raises(StatsError, match="lacks amount_before_od, amount_change_od"):
        courses_of([row], ARMS, AMOUNT, "changes.csv")


def test_a_hidden_repeat_is_no_part_of_the_endpoint():
    def read(reader, grade, repeat_of=""):
        grades = {f"{region}_{name}": str(grade) for region in MASI_REGIONS for name in ("area", "darkness")}
        return {"patient": "P1", "visit": "v1", "reader": reader, "repeat_of": repeat_of, **grades}

    rows = [read("anna", 1), read("ben", 2), read("anna", 4, repeat_of="AA")]
    (one,) = courses_of(rows, {"P1": "A"}, "mmasi", "reads.csv")
    assert one.values == pytest.approx({"v1": (1 + 4) / 2})
    assert one.readers == {"v1": ("anna", "ben")}


def test_a_visit_that_nobody_could_grade_is_told_from_one_that_is_not_there():
    found = courses_of([change(), change("P2", found="")], ARMS, AMOUNT, "changes.csv")
    assert {one.patient: set(one.without_value) for one in found} == {"P1": set(), "P2": {"v2"}, "P3": set()}
    rows = [{"patient": "P1", "visit": v, "mmasi": text} for v, text in (("v1", "3.1"), ("v2", ""))]
    found = courses_of(rows, ARMS, "mmasi", "scores.csv")
    assert {one.patient: set(one.without_value) for one in found} == {
        "P1": {"v2"},
        "P2": set(),
        "P3": set(),
    }


def test_a_visit_that_waits_for_its_reader_is_not_told_as_one_that_nobody_could_grade():
    blank = {f"{region}_{grade}": "" for region in MASI_REGIONS for grade in ("area", "darkness")}
    read = {"reader": "anna", "stage": "blind", "latest": "1", "locked_utc": "2026-05-01"} | blank
    rows = [{"patient": "P1", "visit": "v1"} | read, {"patient": "P1", "visit": "v2"} | read]
    for locked, told in (("2026-05-01", {"v1", "v2"}), ("", {"v1"})):
        rows[1]["locked_utc"] = locked
        assert courses_of(rows, ARMS, "mmasi", "reads.csv")[0].without_value == told


def test_a_visit_without_a_number_is_left_out_and_not_put_in_as_nan():
    with pytest.raises(StatsError, match=r"P1 has nan at visit-2\. Expected a number\. Leave a visit out"):
        Course("P1", "A", {"visit-1": 3.0, "visit-2": float("nan")})
    with pytest.raises(StatsError, match="P1 has None at visit-1"):
        Course("P1", "A", {"visit-1": None})
