"""`masi outcome`, run as a statistician does on a study that never was."""

import json
from collections import Counter
from datetime import datetime
from hashlib import sha256

import numpy as np
import pytest

pytest.importorskip("scipy", reason="needs the extra stats")

from made_trial import signed_reads, write_rows, write_trial
from verbs import masi, table

from masi_vision.csv_table import csv_text
from masi_vision.scale import MASI_REGIONS
from masi_vision.shipped import shipped_file
from masi_vision.stats.courses import Course
from masi_vision.stats.outcome import outcome
from masi_vision.stats.outcome_protocol import load_outcome_protocol
from masi_vision.version import __version__


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("outcome")
    write_trial(folder, patients=48, visits=6, seed=2)
    return folder


def test_arms_of_a_study_are_compared(study, tmp_path):
    reads, arms = study / "reads.csv", study / "arms.csv"
    (tmp_path / "others.csv").write_text("patient,visit,item,value\nP001,visit-6,pain,2\n")
    (tmp_path / "events.csv").write_text("patient,visit,event\nP001,visit-2,erythema\n")
    further = ["--others", tmp_path / "others.csv", "--events", tmp_path / "events.csv"]
    done = masi("outcome", reads, "--allocation", arms, "--out", tmp_path / "out", *further)
    assert done.exit_code == 0, done.output
    assert "primary: D less A -" in done.output
    _, rows = table(tmp_path / "out" / "outcome.csv")
    by = {(row["analysis"], row["arm"], row["measure"]): row for row in rows}
    for analysis in ("primary", "sensitivity: MMRM", "sensitivity: baseline carried forward"):
        assert float(by[analysis, "D less A", "difference"]["p_adjusted"]) < 0.05
    assert {row["analysis"] for row in rows} >= {"trajectory", "class", "responder", "pain", "complication"}
    _, patients = table(tmp_path / "out" / "patients.csv")
    assert len(patients) == 48
    _, values = table(tmp_path / "out" / "endpoint.csv")
    assert len({row["protocol_sha256"] for row in [*rows, *patients, *values]}) == 1
    protocol = tmp_path / "mine.yaml"
    protocol.write_text(
        shipped_file("configs", "outcome.yaml").read_text().replace("responder: 0.5", "responder: 0.6")
    )
    other = masi("outcome", reads, "--allocation", arms, "--out", tmp_path / "out-2", "--protocol", protocol)
    assert other.exit_code == 0, other.output
    assert table(tmp_path / "out-2" / "outcome.csv")[1][0]["protocol_sha256"] != rows[0]["protocol_sha256"]
    again = masi("outcome", reads, "--allocation", arms, "--out", tmp_path / "out")
    assert again.exit_code == 2
    assert "--overwrite" in again.output


def test_the_endpoint_table_has_the_values_that_the_model_of_all_visits_was_fitted_to(study, tmp_path):
    """One patient lost a visit, another the baseline."""
    columns, rows = table(study / "reads.csv")
    gone = {("P001", "visit-6"), ("P002", "visit-1")}
    kept = [row for row in rows if (row["patient"], row["visit"]) not in gone]
    (tmp_path / "reads.csv").write_text(csv_text(columns, kept))
    given = ["--allocation", study / "arms.csv", "--out", tmp_path / "out"]
    assert masi("outcome", tmp_path / "reads.csv", *given).exit_code == 0
    head, values = table(tmp_path / "out" / "endpoint.csv")
    assert head == ["patient", "arm", "visit", "baseline", "value", "raters", "strata", "protocol_sha256"]
    units = {(row["patient"], row["visit"]): row for row in values}
    assert len(values) == len(units) == 48 * 6 - 2
    assert not gone & units.keys()
    assert {row["raters"] for row in values} == {"R1;R2;R3"}
    assert {row["baseline"] for row in values if row["patient"] == "P002"} == {""}
    assert all(row["value"] == row["baseline"] for row in values if row["visit"] == "visit-1")
    by_patient = {}
    for row in values:
        by_patient.setdefault((row["patient"], row["arm"]), {})[row["visit"]] = float(row["value"])
    again = outcome([Course(*who, told) for who, told in by_patient.items()], load_outcome_protocol())
    _, found = table(tmp_path / "out" / "outcome.csv")
    for one in again:
        if one.analysis == "sensitivity: MMRM":
            (told,) = [row for row in found if (row["analysis"], row["arm"]) == (one.analysis, one.arm)]
            assert float(told["value"]) == pytest.approx(one.value, rel=1e-5)
            assert float(told["df"]) == pytest.approx(one.df, rel=1e-5)


def test_the_protocol_that_is_kept_says_what_went_in_and_what_made_it(study, tmp_path):
    given = {"allocation": study / "arms.csv", "events": tmp_path / "events.csv"}
    asked = [word for option, file in given.items() for word in (f"--{option}", file)]
    told = []
    for event in ("erythema", "burning"):
        given["events"].write_text(f"patient,visit,event\nP001,visit-2,{event}\n")
        done = masi("outcome", study / "reads.csv", *asked, "--out", tmp_path / event)
        assert done.exit_code == 0, done.output
        told.append(json.loads((tmp_path / event / "protocol.json").read_text())["provenance"])
    first, last = told
    assert first["tables_sha256"]["events"] != last["tables_sha256"]["events"]
    files = {"table": study / "reads.csv", **given}
    assert last["tables_sha256"] == {name: sha256(f.read_bytes()).hexdigest() for name, f in files.items()}
    assert (last["program"], last["version"]) == ("masi_vision", __version__)
    assert datetime.fromisoformat(last["made_utc"]).tzinfo is not None


def test_a_primary_visit_that_is_not_the_last_by_the_order_of_the_visits_is_told(study, tmp_path):
    """By their names alone the end of treatment comes before the weeks."""
    called = {"visit-1": "baseline", "visit-2": "week-4", "visit-6": "end-of-treatment"}
    columns, rows = table(study / "reads.csv")
    kept = [row | {"visit": called[row["visit"]]} for row in rows if row["visit"] in called]
    (tmp_path / "reads.csv").write_text(csv_text(columns, kept))
    shipped = shipped_file("configs", "outcome.yaml").read_text()
    shipped = shipped.replace("baseline: visit-1", "baseline: baseline").replace(
        "primary: visit-6", "primary: end-of-treatment"
    )
    told = {}
    for visits in ("null", "[week-4, end-of-treatment]"):
        (tmp_path / "mine.yaml").write_text(shipped.replace("visits: null", f"visits: {visits}"))
        asked = ["--allocation", study / "arms.csv", "--protocol", tmp_path / "mine.yaml", "--overwrite"]
        done = masi("outcome", tmp_path / "reads.csv", *asked, "--out", tmp_path / "out")
        assert done.exit_code == 0, done.output
        told[visits] = "Expected the primary one last" in done.output
        rows = table(tmp_path / "out" / "outcome.csv")[1]
        drawn = [row["visit"] for row in rows if (row["analysis"], row["arm"]) == ("trajectory", "A")]
    assert told == {"null": True, "[week-4, end-of-treatment]": False}
    assert drawn == ["baseline", "week-4", "end-of-treatment"]


def test_the_truth_of_the_study_can_be_analysed_as_scores_are(study, tmp_path):
    done = masi("outcome", study / "truth.csv", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output


def test_the_changes_of_laid_over_visits_are_an_endpoint(tmp_path):
    rng = np.random.default_rng(4)
    rows, arms = [], ["patient,arm"]
    for number in range(24):
        patient, arm, before = f"P{number:03}", "AB"[number % 2], rng.uniform(0.02, 0.05)
        change = -0.5 * before * (arm == "B") + 0.002 * rng.normal()
        told = "" if number == 5 else f"{change:.5f}"
        rows.append(f"{patient},visit-1,visit-6,compared,{before:.5f},{told}")
        arms.append(f"{patient},{arm}")
    columns = "patient,baseline,follow_up,status,amount_before_od,amount_change_od"
    (tmp_path / "changes.csv").write_text("\n".join([columns, *rows]) + "\n")
    (tmp_path / "arms.csv").write_text("\n".join(arms) + "\n")
    protocol = tmp_path / "amount.yaml"
    protocol.write_text(
        shipped_file("configs", "outcome.yaml").read_text().replace("endpoint: mmasi", "endpoint: amount_od")
    )
    named = ["--allocation", tmp_path / "arms.csv", "--protocol", protocol]
    done = masi("outcome", tmp_path / "changes.csv", *named, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    _, found = table(tmp_path / "out" / "outcome.csv")
    by = {(row["analysis"], row["arm"], row["measure"]): row for row in found}
    primary = by["primary", "B less A", "difference"]
    assert (float(primary["p"]) < 0.001, primary["patients"]) == (True, "23")
    assert -0.022 < float(primary["value"]) < -0.013
    assert {row["analysis"] for row in found}.isdisjoint({"improvement", "class", "responder"})
    assert {row["improvement_class"] for row in table(tmp_path / "out" / "patients.csv")[1]} == {""}
    assert "Of visits laid over each other by the software." in done.output


def test_an_outcome_keeps_what_made_the_scores_it_is_of(study, tmp_path):
    """Of a table of reads nothing: its column version is of the read."""
    made = {"version": "0.1.0", "settings_sha256": "aa", "models": "clinic", "models_sha256": "bb"}
    made |= {"atlas": "1", "pigment_method": "learned-1"}
    _, rows = table(study / "truth.csv")
    lost = {"mmasi": "", "status": "not_scored", "reason": "no_face", "models_sha256": "cc"}
    scores = write_rows(tmp_path / "scores.csv", [rows[0] | made | lost, *(row | made for row in rows[1:])])
    reads = write_rows(tmp_path / "reads.csv", signed_reads())
    arms = ["--allocation", study / "arms.csv"]
    for name, words, kept in (("scores", [scores], [made]), ("reads", [reads, *arms], [])):
        done = masi("outcome", *words, "--out", tmp_path / name)
        assert done.exit_code == 0, done.output
        assert json.loads((tmp_path / name / "protocol.json").read_text())["ways_made"] == kept


def test_arms_that_contradict_each_other_are_refused(study, tmp_path):
    lines = (study / "arms.csv").read_text().splitlines()
    swapped = [line.replace(",A", ",?").replace(",B", ",A").replace(",?", ",B") for line in lines]
    (tmp_path / "arms.csv").write_text("\n".join(swapped) + "\n")
    done = masi(
        "outcome", study / "truth.csv", "--allocation", tmp_path / "arms.csv", "--out", tmp_path / "out"
    )
    assert done.exit_code == 2
    assert "Expected one arm of each patient" in " ".join(done.output.split())


def test_readers_who_graded_one_arm_less_are_told(study, tmp_path):
    columns, rows = table(study / "reads.csv")
    arms = {row["patient"]: row["arm"] for row in table(study / "arms.csv")[1]}
    first = rows[0]["reader"]
    kept = [r for r in rows if (r["reader"], r["visit"], arms[r["patient"]]) != (first, "visit-6", "B")]
    (tmp_path / "reads.csv").write_text(csv_text(columns, kept))
    asked = ["--allocation", study / "arms.csv", "--out", tmp_path / "out"]
    done = masi("outcome", tmp_path / "reads.csv", *asked)
    assert done.exit_code == 0, done.output
    assert "other readers at visit-6 than at visit-1: 12 of B." in " ".join(done.output.split())
    found = [row for row in table(tmp_path / "out" / "outcome.csv")[1] if row["analysis"] == "readers"]
    there = {(row["arm"], row["visit"]): row["measure"] for row in found}
    assert first not in there["B", "visit-6"]
    assert first in there["A", "visit-6"]
    asked[-1] = tmp_path / "whole"
    whole = masi("outcome", study / "reads.csv", *asked)
    assert "other readers" not in whole.output
    assert "Of the mean of the readers R1, R2, R3." in whole.output
    assert not [row for row in table(tmp_path / "whole" / "outcome.csv")[1] if row["analysis"] == "readers"]


@pytest.mark.parametrize("column", ["", "version", "settings_sha256", "models_sha256", "pigment_method"])
def test_scores_that_were_made_in_two_ways_are_not_compared(study, tmp_path, column):
    """Models may be called otherwise: they are told by their hash."""
    made_by = {"version": "0.1.0", "settings_sha256": "aa" * 32, "models_sha256": "bb" * 32}
    made_by |= {"models": "shipped", "atlas": "1", "pigment_method": "learned-1"}
    _, rows = table(study / "truth.csv")
    made = [row | made_by | {"models": f"called {n % 2}"} for n, row in enumerate(rows)]
    for row in made:
        row |= {column: "cc" * 32} if column and row["visit"] == "visit-1" else {}
    scores = write_rows(tmp_path / "scores.csv", made)
    with_scores = ["agree", study / "reads.csv", "--scores", scores, "--draws", 100]
    for number, words in enumerate((["outcome", scores], with_scores)):
        done = masi(*words, "--out", tmp_path / str(number))
        assert done.exit_code == (2 if column else 0), done.output
        told = " ".join(done.output.split())
        said = "The rows of scores.csv were made in 2 ways, which do not compare: "
        assert (said in told) == ("48 by masi_vision" in told) == bool(column)
        assert (f"Expected one {column} in all of them." in told) == bool(column)


def test_a_visit_without_a_score_is_compared_with_none_whatever_made_it(study, tmp_path):
    """Of the endpoint: a row may have another score."""
    _, rows = table(study / "truth.csv")
    made = [row | {"version": "0.1.0", "masi": "", "models_sha256": "aa"} for row in rows]
    made[0] |= {"mmasi": "", "masi": "9.0", "status": "not_scored", "reason": "no_face", "version": "0.2.0"}
    made[0] |= {"models_sha256": "bb"}
    scores = write_rows(tmp_path / "scores.csv", made)
    with_scores = ["agree", study / "reads.csv", "--scores", scores, "--draws", 100]
    for number, words in enumerate((["outcome", scores], with_scores)):
        done = masi(*words, "--out", tmp_path / str(number))
        assert done.exit_code == 0, done.output
        ungraded = "Patients with visit-1 in the table, and nobody could grade it: 1 of "
        assert (ungraded in done.output) == (words[0] == "outcome")
    write_rows(scores, [made[0] | {"mmasi": "7.0"}, *made[1:]])
    done = masi("outcome", scores, "--out", tmp_path / "mixed")
    assert done.exit_code == 2
    assert "Expected one version, one models_sha256 in all of them." in " ".join(done.output.split())


def test_whether_the_run_was_whole_is_asked_of_scores_and_said_where_nobody_knows(study, tmp_path):
    _, rows = table(study / "truth.csv")
    scores = write_rows(tmp_path / "scores.csv", [row | {"version": "0.1.0"} for row in rows])
    reads = write_rows(tmp_path / "reads.csv", signed_reads())
    said = "no run.json lies beside scores.csv: whether the run that made it was whole is not known"
    of_reads = ["outcome", reads, "--allocation", study / "arms.csv"]
    beside = ["agree", study / "reads.csv", "--scores", scores, "--draws", 100]
    words = {"scores": ["outcome", scores], "beside": beside, "reads": of_reads}
    for name, asked in words.items():
        done = masi(*asked, "--out", tmp_path / name)
        assert done.exit_code == 0, done.output
        assert (said in done.stderr) == (name != "reads")
    run = {"state": "finished", "counts": {"scored": len(rows), "not_scored": 0}}
    (tmp_path / "run.json").write_text(json.dumps(run))
    assert said not in masi("outcome", scores, "--out", tmp_path / "known").stderr
    (tmp_path / "run.json").write_text(json.dumps(run | {"state": "interrupted"}))
    for name, asked in words.items():  # the readers' outcome rests on no run
        code = masi(*asked, "--out", tmp_path / f"stopped-{name}").exit_code
        assert code == (0 if name == "reads" else 2)


@pytest.mark.parametrize("counts", [None, [1], {"scored": None, "not_scored": 1}, {"scored": "80"}])
def test_counts_that_are_no_numbers_are_damage_and_no_bug(study, tmp_path, counts):
    _, rows = table(study / "truth.csv")
    scores = write_rows(tmp_path / "scores.csv", rows)
    (tmp_path / "run.json").write_text(json.dumps({"state": "finished", "counts": counts}))
    done = masi("outcome", scores, "--out", tmp_path / "o")
    assert done.exit_code == 2
    assert "run.json is damaged (its counts are no numbers)" in " ".join(done.output.split())


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "scores.csv",
            "has 143 rows, and run.json beside it tells of 288. Expected the table",
        ),
        ("run.json", "run.json is damaged ("),
    ],
)
def test_half_a_table_of_scores_or_half_of_what_tells_of_it_is_refused(study, tmp_path, name, said):
    """The whole table is counted, also where patients are left out."""
    _, rows = table(study / "truth.csv")
    scores = write_rows(tmp_path / "scores.csv", rows)
    run = {"state": "finished", "counts": {"scored": len(rows), "not_scored": 0}}
    (tmp_path / "run.json").write_text(json.dumps(run, indent=1))
    (tmp_path / "withdrawn.csv").write_text("patient\nP003\n")
    left = ["--without", tmp_path / "withdrawn.csv"]
    asked = (["outcome", scores], ["agree", study / "reads.csv", "--scores", scores, "--draws", 100])
    for words in asked:
        done = masi(*words, *left, "--out", tmp_path / f"whole-{words[0]}")
        assert done.exit_code == 0, done.output
    lines = (tmp_path / name).read_text().splitlines(keepends=True)
    (tmp_path / name).write_text("".join(lines[: len(lines) // 2]))
    for words in asked:
        done = masi(*words, *left, "--out", tmp_path / f"half-{words[0]}")
        assert done.exit_code == 2, done.output
        assert said in " ".join(done.output.split())


def test_changes_that_lost_rows_since_the_comparison_are_refused(tmp_path):
    changes = tmp_path / "changes.csv"
    changes.write_text("patient,baseline,follow_up,status\nP1,a,b,compared\n", encoding="utf-8")
    run = {"counts": {"scored": 3, "not_scored": 0}, "comparisons": {"compared": 1, "not_compared": 1}}
    (tmp_path / "run.json").write_text(json.dumps(run))
    refused = masi("outcome", changes, "--out", tmp_path / "out")
    assert refused.exit_code == 2
    assert "has 1 rows, and run.json beside it tells of 2" in " ".join(refused.output.split())


def test_reads_that_break_off_in_a_row_are_refused(study, tmp_path):
    reads = tmp_path / "reads.csv"
    reads.write_text((study / "reads.csv").read_text().rpartition(",")[0])
    done = masi("outcome", reads, "--allocation", study / "arms.csv", "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert "reads.csv breaks off in line" in " ".join(done.output.split())


@pytest.mark.parametrize("verb", ["outcome", "agree"])
def test_grades_that_were_changed_since_they_were_signed_are_refused(study, tmp_path, verb):
    """The total beside them is as the reading page wrote it."""
    arms = ["--allocation", study / "arms.csv"] if verb == "outcome" else []
    rows = signed_reads()
    reads = write_rows(tmp_path / "reads.csv", rows)
    done = masi(verb, reads, *arms, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    rows[0] |= {f"{region}_area": "2" for region in MASI_REGIONS} | {"mmasi": "8.0"}
    write_rows(reads, rows)
    done = masi(verb, reads, *arms, "--out", tmp_path / "changed")
    assert done.exit_code == 2
    said = "reads.csv, P000 visit-1 by anna: mmasi is 8.0, and its grades make 4. Expected the same."
    assert said in " ".join(done.output.split())


def test_the_readers_who_are_named_are_those_whose_reads_count(study, tmp_path):
    rows = signed_reads()
    adjudicated = [row | {"reader": "adam", "stage": "adjudication"} for row in rows[:3]]
    due = [row | {"reader": "", "stage": "adjudication", "locked_utc": "", "mmasi": ""} for row in rows[3:5]]
    late = [row | {"reader": "cleo", "locked_utc": ""} for row in rows[:2]]
    reads = write_rows(tmp_path / "reads.csv", [*rows, *adjudicated, *due, *late])
    done = masi("outcome", reads, "--allocation", study / "arms.csv", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "Of the mean of the readers anna, ben." in done.output
    kept = json.loads((tmp_path / "out" / "protocol.json").read_text())
    assert kept["table"] == "the mean of the readers anna, ben"


@pytest.fixture
def replacing(tmp_path):
    """A protocol by which the adjudicator's grades stand in place of the readers' mean."""
    shipped = shipped_file("configs", "outcome.yaml").read_text(encoding="utf-8")
    assert shipped.count("adjudicated: ignored ") == 1
    file = tmp_path / "replacing.yaml"
    file.write_text(shipped.replace("adjudicated: ignored ", "adjudicated: replaces"), encoding="utf-8")
    return file


def verdict(row, grade, **more):
    """What adam gives a unit of a read: the same area in every region, darkness 2; a repeat of nothing."""
    given = {f"{region}_area": str(grade) for region in MASI_REGIONS}
    return row | {"reader": "adam", "stage": "adjudication", "mmasi": f"{2 * grade}.0"} | given | more


def awaited(row):
    """A unit that went to the adjudicator, as the reading page exports it."""
    blank = dict.fromkeys(("reader", "version", "latest", "mmasi", "locked_utc"), "")
    blank |= {f"{region}_{item}": "" for region in MASI_REGIONS for item in ("area", "darkness")}
    return row | blank | {"stage": "adjudication"}


def test_where_the_protocol_says_so_the_adjudicator_s_grades_are_the_endpoint(study, tmp_path, replacing):
    """P000 and P004 are of A, P001 and P005 of B, P002 of C, P003 of D."""
    rows = signed_reads()
    of = {(row["patient"], row["visit"]): row for row in rows}
    last = [
        verdict(of["P000", "visit-6"], 6),
        verdict(of["P001", "visit-6"], 6),
        verdict(of["P005", "visit-1"], 0),
        verdict(of["P005", "visit-6"], 0),
        verdict(of["P002", "visit-1"], 6, repeat_of="BCDFGHJ"),
        verdict(of["P006", "visit-1"], 6, locked_utc=""),
        awaited(of["P003", "visit-6"]),
        awaited(of["P007", "visit-1"] | {"repeat_of": "BCDFGHJ"}),
    ]
    reads = write_rows(tmp_path / "reads.csv", [*rows, *last])
    alone = write_rows(tmp_path / "alone.csv", rows)
    asked = ["--allocation", study / "arms.csv"]
    made = {"as before": [alone], "ignored": [reads], "replaces": [reads, "--protocol", replacing]}
    said = {name: masi("outcome", *words, *asked, "--out", tmp_path / name) for name, words in made.items()}
    assert {done.exit_code for done in said.values()} == {0}, said["replaces"].output
    tables = ("outcome.csv", "patients.csv")
    for name in tables:
        assert table(tmp_path / "ignored" / name) == table(tmp_path / "as before" / name)

    before, after = (
        {row["patient"]: row for row in table(tmp_path / name / "patients.csv")[1]}
        for name in ("ignored", "replaces")
    )
    told = {name: (row["baseline"], row["primary"]) for name, row in after.items()}
    mean = {name: (row["baseline"], row["primary"]) for name, row in before.items()}
    assert told["P000"] == (mean["P000"][0], "12")
    assert told["P001"] == (mean["P001"][0], "12")
    assert told["P005"] == ("0", "0")
    assert told["P003"] == (mean["P003"][0], "")
    assert told["P006"] == ("", mean["P006"][1])
    changed = {name for name in told if told[name] != mean[name]}
    assert changed == {"P000", "P001", "P003", "P005", "P006"}

    values = {(r["patient"], r["visit"]): r for r in table(tmp_path / "replaces" / "endpoint.csv")[1]}
    assert values["P001", "visit-6"]["raters"] == "adam"
    assert values["P001", "visit-1"]["raters"] == "anna;ben"
    assert ("P003", "visit-6") not in values

    found = table(tmp_path / "replaces" / "outcome.csv")[1]
    by = {(r["analysis"], r["arm"], r["visit"], r["measure"]): r["value"] for r in found}
    assert by["readers", "A", "visit-6", "adjudicated by adam"] == "1"
    assert by["readers", "B", "visit-6", "adjudicated by adam"] == "2"
    assert by["readers", "B", "visit-1", "adjudicated by adam"] == "1"
    assert by["readers", "D", "visit-6", "graded by anna, ben"] == "2"
    assert sum(measure == "adjudicated by adam" for *_, measure in by) == 3
    missing = {key[1:3]: value for key, value in by.items() if key[3] == "of these: not adjudicated"}
    assert missing == {("C", "visit-1"): "1", ("D", "visit-6"): "1"}
    assert by["missing", "D", "visit-6", "patients without a value"] == "10"

    words, warned = (" ".join(text.split()) for text in (said["replaces"].stdout, said["replaces"].stderr))
    kind = "the mean of the readers anna, ben; in its place, of 4 units, the adjudicator's grades by adam; "
    kind += "missing for the want of them: 2 (not adjudicated)"
    assert f"Of {kind}." in words
    assert "Units of which the endpoint is the adjudicator's: 1 of A, 3 of B." in words
    assert "one of visit-1 and visit-6, and by the readers at the other: 1 of A, 1 of B. An adj" in words
    assert "Graded by other readers" not in words
    assert "went to the adjudicator and were not graded there: 1 of C, 1 of D. The protocol" in warned
    assert "exported before the adjudicator finished. The reading is closed, so that it stays so." in warned
    assert "no row of the stage adjudication" not in warned
    kept = {name: json.loads((tmp_path / name / "protocol.json").read_text()) for name in made}
    assert (kept["replaces"]["table"], kept["replaces"]["adjudicated"]) == (kind, "replaces")
    assert kept["ignored"]["protocol_sha256"] != kept["replaces"]["protocol_sha256"]
    assert "adjudicat" not in said["ignored"].output


def test_a_table_without_any_adjudication_is_told_where_it_would_replace(study, tmp_path, replacing):
    alone = write_rows(tmp_path / "alone.csv", signed_reads())
    asked = ["--allocation", study / "arms.csv"]
    for name, protocol in (("ignored", []), ("replaces", ["--protocol", replacing])):
        done = masi("outcome", alone, *asked, *protocol, "--out", tmp_path / name)
        assert done.exit_code == 0, done.output
        told = "masi: alone.csv has no row of the stage adjudication" in " ".join(done.stderr.split())
        assert told is (name == "replaces")


def test_nothing_in_an_open_reading_asks_for_grades_once_arms_are_known(study, tmp_path, replacing):
    rows = [row | {"closed_utc": ""} for row in signed_reads()]
    reads = write_rows(tmp_path / "reads.csv", [*rows, awaited(rows[0])])
    asked = ["--allocation", study / "arms.csv", "--protocol", replacing, "--out", tmp_path / "out"]
    warned = " ".join(masi("outcome", reads, *asked).stderr.split())
    assert "finished. Of what is graded from now on the record must say that arms were known." in warned
    assert "Let the adjudicator finish" not in warned


def test_a_visit_that_awaits_the_adjudicator_as_a_whole_is_no_fault_of_the_protocol(
    study, tmp_path, replacing
):
    rows = signed_reads()
    due = {row["patient"]: awaited(row) for row in rows if row["visit"] == "visit-6"}
    cannot = verdict(due.pop("P000"), "", mmasi="", locked_utc=rows[0]["locked_utc"])
    reads = write_rows(tmp_path / "reads.csv", [*rows, cannot, *due.values()])
    asked = ["--allocation", study / "arms.csv", "--protocol", replacing, "--out", tmp_path / "out"]
    done = masi("outcome", reads, *asked)
    assert done.exit_code == 2
    said = " ".join(done.output.split())
    assert "Nobody has a value at 'visit-6', for the want of the adjudicator's grades: 11 (not adj" in said
    assert "1 (the adjudicator could not grade it)" in said
    assert "Change the protocol" not in said


def test_what_no_adjudicator_could_tell_of_is_refused_where_his_grades_would_replace(
    study, tmp_path, replacing
):
    asked = ["--allocation", study / "arms.csv", "--protocol", replacing, "--out", tmp_path / "out"]
    for name in ("reads.csv", "truth.csv"):
        done = masi("outcome", study / name, *asked)
        assert done.exit_code == 2, done.output
        assert f"{name} has no column stage" in " ".join(done.output.split())
        assert not (tmp_path / "out").exists()


def test_agreement_is_the_readers_whatever_the_protocol_says_of_an_adjudicator(tmp_path, replacing):
    rows = signed_reads()
    figures = []
    for name, more in (("with", [verdict(rows[0], 6), awaited(rows[-1])]), ("without", [])):
        reads = write_rows(tmp_path / f"{name}.csv", [*rows, *more])
        asked = ["--protocol", replacing, "--draws", 100, "--out", tmp_path / name]
        assert masi("agree", reads, *asked).exit_code == 0
        read = table(tmp_path / name / "agreement.csv")[1]
        figures.append([{k: v for k, v in row.items() if k != "reads_sha256"} for row in read])
    assert figures[0] == figures[1]


@pytest.mark.parametrize("verb", ["outcome", "agree"])
def test_a_patient_who_moved_to_another_site_is_told_to_be_two(tmp_path, verb):
    sites = {"visit-1": "north", "visit-6": "south"}
    rows = signed_reads()
    for row in rows:
        row["patient"] = f"{sites[row['visit']] if row['patient'] == 'P006' else 'north'}/{row['patient']}"
    reads = write_rows(tmp_path / "reads.csv", rows)
    arms = [
        {"patient": name, "arm": "AB"[int(name[-1]) % 2]} for name in sorted({r["patient"] for r in rows})
    ]
    given = ["--allocation", write_rows(tmp_path / "arms.csv", arms)] if verb == "outcome" else []
    done = masi(verb, reads, *given, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    said = "patients of one name at two sites count as two patients: 'north/P006' and 'south/P006'. Expected"
    assert said in done.stderr


@pytest.mark.parametrize("verb", ["outcome", "agree"])
def test_a_patient_whose_zeros_a_spreadsheet_took_at_one_visit_is_told_to_be_two(tmp_path, verb):
    rows = signed_reads()
    for row in rows:
        number = row["patient"][1:]
        row["patient"] = number.lstrip("0") if (number, row["visit"]) == ("006", "visit-6") else number
    reads = write_rows(tmp_path / "reads.csv", rows)
    arms = [{"patient": name, "arm": "AB"[int(name) % 2]} for name in sorted({r["patient"] for r in rows})]
    given = ["--allocation", write_rows(tmp_path / "arms.csv", arms)] if verb == "outcome" else []
    done = masi(verb, reads, *given, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "alone count as two patients: '006' and '6'. Expected one name" in done.stderr


def test_a_trial_that_was_randomised_by_centre_is_analysed_so(study, tmp_path):
    _, arms = table(study / "arms.csv")
    for number, row in enumerate(arms):
        row["centre"] = ("lyon", "porto", "ulm")[number % 3]
    allocation = write_rows(tmp_path / "arms.csv", arms)
    _, rows = table(study / "reads.csv")
    lost = [row for row in rows if (row["patient"], row["visit"]) != ("P003", "visit-6")]
    reads = write_rows(tmp_path / "reads.csv", lost)
    shipped = shipped_file("configs", "outcome.yaml").read_text()
    (tmp_path / "by.yaml").write_text(shipped.replace("strata: []", "strata: [centre]"))
    found = {}
    for name, protocol in (("without", ()), ("by", ("--protocol", tmp_path / "by.yaml"))):
        done = masi("outcome", reads, "--allocation", allocation, *protocol, "--out", tmp_path / name)
        assert done.exit_code == 0, done.output
        rows = table(tmp_path / name / "outcome.csv")[1]
        found[name] = [r for r in rows if r["measure"] == "difference" and r["arm"] == "D less A"]
        said = "arms.csv has centre, which no analysis takes. Expected patient, arm" in done.stderr
        assert said == (name == "without")
    assert "at visit-6, by visit-1 and centre, against A:" in done.output
    for analysis in ("primary", "sensitivity: baseline carried forward"):
        by, without = (
            next(row for row in found[name] if row["analysis"] == analysis) for name in ("by", "without")
        )
        assert int(without["df"]) - int(by["df"]) == 2
    assert [r["value"] for r in found["by"]] != [r["value"] for r in found["without"]]
    values = table(tmp_path / "by" / "endpoint.csv")[1]
    at = {visit: {r["patient"] for r in values if r["visit"] == visit} for visit in ("visit-1", "visit-6")}
    there = at["visit-1"] & at["visit-6"]
    both = Counter((r["arm"], f"centre: {r['centre']}") for r in arms if r["patient"] in there)
    assert sum(both.values()) == len(arms) - 1
    assert both == {
        (r["arm"], r["measure"]): int(float(r["value"])) for r in rows if r["analysis"] == "strata"
    }
    assert {r["patient"]: r["strata"] for r in values} == {r["patient"]: r["centre"] for r in arms}
    assert json.loads((tmp_path / "by" / "protocol.json").read_text())["strata"] == ["centre"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: [row.pop("centre") for row in rows], "arms.csv lacks centre, which the protocol names"),
        (lambda rows: rows[0].update(centre=""), "arms.csv has no stratum of 'P000' (centre)"),
        (
            lambda rows: rows[0].update(centre="N/A"),
            "arms.csv has the stratum 'N/A' of 'P000', which programs",
        ),
        (lambda rows: rows.append(rows[0] | {"centre": "ulm"}), "arms.csv has two strata of 'P000' (centre)"),
        (
            lambda rows: rows[0].update(centre="Lyon;Nord"),
            "has the stratum 'Lyon;Nord'. Expected none with a ;",
        ),
        (
            lambda rows: [row.update(centre=str(n % 2 or "01")) for n, row in enumerate(rows)],
            "has the centres '01' and '1'. Expected one spelling",
        ),
        (
            lambda rows: rows[1].update(centre="Lyon"),
            "has the centres 'Lyon' and 'lyon'. Expected one spelling",
        ),
    ],
)
def test_an_allocation_that_does_not_tell_every_stratum_is_refused(tmp_path, change, said):
    rows = signed_reads()
    reads = write_rows(tmp_path / "reads.csv", rows)
    arms = [
        {"patient": name, "arm": "AB"[int(name[-1]) % 2], "centre": "lyon"}
        for name in sorted({r["patient"] for r in rows})
    ]
    change(arms)
    shipped = shipped_file("configs", "outcome.yaml").read_text()
    (tmp_path / "by.yaml").write_text(shipped.replace("strata: []", "strata: [centre]"))
    given = ["--allocation", write_rows(tmp_path / "arms.csv", arms), "--protocol", tmp_path / "by.yaml"]
    done = masi("outcome", reads, *given, "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert said in " ".join(done.output.split())


@pytest.mark.parametrize("verb", ["outcome", "agree", "export"])
def test_a_patient_of_two_coded_sets_may_be_two_people_and_is_told(tmp_path, verb):
    rows = signed_reads()
    for row in rows:
        row["set"] = "ab12" if row["patient"] != "P006" or row["visit"] == "visit-1" else "cd34"
    reads = write_rows(tmp_path / "reads.csv", rows)
    arms = [
        {"patient": name, "arm": "AB"[int(name[-1]) % 2]} for name in sorted({r["patient"] for r in rows})
    ]
    given = {
        "outcome": [reads, "--allocation", write_rows(tmp_path / "arms.csv", arms)],
        "agree": [reads],
        "export": ["--reads", reads, "--study", "S"],
    }
    done = masi(verb, *given[verb], "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "each counted as one person: 'P006'. Expected so where" in done.stderr


@pytest.mark.parametrize(("other", "refused"), [("visit-0{}", True), ("Visit {}", True), ("V{}", False)])
def test_a_centre_that_calls_the_visits_otherwise_is_refused_or_told(tmp_path, other, refused):
    rows = signed_reads()
    arms = [
        {"patient": name, "arm": "AB"[int(name[-1]) % 2]} for name in sorted({r["patient"] for r in rows})
    ]
    elsewhere = {row["patient"] for row in arms[:4]}
    for row in rows:
        if row["patient"] in elsewhere:
            row["visit"] = other.format(row["visit"][-1])
    reads = write_rows(tmp_path / "reads.csv", rows)
    asked = ("outcome", reads, "--allocation", write_rows(tmp_path / "arms.csv", arms))
    done = masi(*asked, "--out", tmp_path / "out")
    if refused:
        assert done.exit_code == 2
        assert "Expected one spelling" in done.stderr
        return
    assert done.exit_code == 1, done.output  # no model of all visits
    assert "Nobody of arm A has a value at V1 and one at visit-1." in done.output
    left = f"of {len(arms) // 2} of"
    assert f"without visit-1 or visit-6: 2 {left} A, 2 {left} B." in done.output
    assert "V1 (4 patients), V6 (4 patients)." in done.output
    assert (
        "reads.csv has 'V1', 'V6', which nobody in the primary analysis has. Expected 'visit-1'"
        in done.stderr
    )
    _, found = table(tmp_path / "out" / "outcome.csv")
    told = {r["arm"]: (r["value"], r["visit"]) for r in found if "or the primary visit" in r["measure"]}
    assert told == {"A": ("2", "visit-6"), "B": ("2", "visit-6")}


def test_a_visit_of_a_further_outcome_is_one_of_the_trial_s(study, tmp_path):
    for visit in ("", "visit 6", "Visit-6", "visit-06"):
        (tmp_path / "others.csv").write_text(f"patient,visit,item,value\nP001,{visit},pain,2\n")
        asked = ["--allocation", study / "arms.csv", "--others", tmp_path / "others.csv"]
        done = masi("outcome", study / "reads.csv", *asked, "--out", tmp_path / f"out{visit}")
        assert done.exit_code == 2
        assert f"at the visit {visit!r}" in " ".join(done.output.split())


@pytest.mark.parametrize(
    ("option", "content", "said"),
    [
        (
            "--others",
            "patient,visit,item,VALUE\nP001,visit-6,pain,2\n",
            "further.csv lacks value; it has patient",
        ),
        ("--others", "patient,visit,item,value\n", "further.csv has no row"),
        ("--others", "", "further.csv has no row"),
        (
            "--events",
            "patient,visit,EVENT\nP001,visit-6,erythema\n",
            "further.csv lacks event; it has patient",
        ),
        ("--events", "patient,visit,event\n", "further.csv has no row"),
    ],
)
def test_a_further_outcome_never_lacks_without_a_word(study, tmp_path, option, content, said):
    (tmp_path / "further.csv").write_text(content)
    asked = ["--allocation", study / "arms.csv", option, tmp_path / "further.csv"]
    done = masi("outcome", study / "reads.csv", *asked, "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert said in " ".join(done.output.split())


def test_a_visit_of_a_further_outcome_that_the_trial_lacks_is_told(study, tmp_path):
    (tmp_path / "others.csv").write_text("patient,visit,item,value\nP001,visit-6,pain,2\nP001,call,pain,2\n")
    asked = ["--allocation", study / "arms.csv", "--others", tmp_path / "others.csv"]
    done = masi("outcome", study / "reads.csv", *asked, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "others.csv has the visits call, which the table of the trial lacks" in " ".join(
        done.stderr.split()
    )


def test_without_arms_nothing_is_compared(study, tmp_path):
    done = masi("outcome", study / "reads.csv", "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert "does not say the arm of every patient" in done.output


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("patient,arm,visit,mmasi\nP1,A,visit-1,6,3\n", "line 2, has 5 cells for 4 columns"),
        ("patient;arm;visit;mmasi\nP1;A;visit-1;6,3\n", "parted by semicolons"),
        ("patient,arm,visit,visit,mmasi\nP1,A,v,visit-1,6\n", "the column 'visit' twice"),
    ],
)
def test_a_table_that_other_programs_part_otherwise_is_refused(tmp_path, content, said):
    (tmp_path / "scores.csv").write_text(content, encoding="utf-8")
    done = masi("outcome", tmp_path / "scores.csv", "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert said in " ".join(done.output.split())


def test_blank_lines_and_blanks_around_names_are_taken_as_what_they_are(study, tmp_path):
    text = (study / "truth.csv").read_text(encoding="utf-8")
    head, _, rest = text.partition("\n")
    spaced = tmp_path / "truth.csv"
    spaced.write_text(
        head.replace(",", ", ") + "\n" + rest + "," * head.count(",") + "\n\n", encoding="utf-8"
    )
    for file, out in ((study / "truth.csv", "plain"), (spaced, "spaced")):
        assert masi("outcome", file, "--out", tmp_path / out).exit_code == 0
    assert table(tmp_path / "plain" / "outcome.csv") == table(tmp_path / "spaced" / "outcome.csv")
