"""Patients who withdrew: left out of every analysis, export and page, and counted."""

import json
import shutil

import cv2
import numpy as np
import pytest

pytest.importorskip("scipy", reason="needs the extra stats")
pytest.importorskip("matplotlib", reason="needs the extra stats")

from made_trial import regions_of, write_rows, write_trial
from verbs import masi, table

from masi_vision.cli.left_out import LeftOut
from masi_vision.cli.report_tables import _run_without
from masi_vision.errors import StatsError

LEFT = "P003"


@pytest.fixture(scope="module")
def trial(tmp_path_factory):
    """A study whose results name every patient; of the one who leaves a visit has no score."""
    folder = tmp_path_factory.mktemp("left-out")
    write_trial(folder, visits=6, seed=4)
    _, rows = table(folder / "truth.csv")
    lost = next(row for row in rows if row["patient"] == LEFT)
    lost |= {"status": "not_scored", "reason": "no_face", "mmasi": ""}
    (folder / "results").mkdir()
    write_rows(folder / "results" / "scores.csv", rows)
    write_rows(folder / "results" / "regions.csv", regions_of(rows))
    run = {"version": "0", "models": "m", "models_sha256": {}, "settings": {}, "settings_sha256": "s"}
    run |= {"atlas": "a", "pigment_method": "p", "state": "finished"}
    run |= {"counts": {"visits_found": 96, "scored": 95, "not_scored": 1}}
    run |= {"inputs": [{"patient": r["patient"], "visit": r["visit"], "view": "front"} for r in rows]}
    (folder / "results" / "run.json").write_text(json.dumps(run))
    (folder / "withdrawn.csv").write_text(f"patient\n{LEFT}\n")
    return folder


def analysed(trial, out, *words):
    reads, scores = trial / "reads.csv", trial / "results" / "scores.csv"
    agree = masi("agree", reads, "--scores", scores, "--draws", 100, *words, "--out", out / "agreement")
    assert agree.exit_code == 0, agree.output
    arms = ["--allocation", trial / "arms.csv"]
    outcome = masi("outcome", reads, *arms, *words, "--out", out / "outcome")
    assert outcome.exit_code == 0, outcome.output
    return agree, outcome


def test_the_page_tells_what_was_scored_again_but_of_who_is_left_out(trial, tmp_path):
    results = shutil.copytree(trial / "results", tmp_path / "results")
    why = "settings changed: scale.noise_floor"
    gone = "no-longer-here"
    again = [{"patient": name, "visit": "visit-1", "why": why} for name in (LEFT, "P001", "P002", gone)]
    write_rows(results / "history.csv", again)
    for words, told in (([], 3), (["--without", trial / "withdrawn.csv"], 2)):
        assert masi("report", results, *words, "--out", tmp_path / str(told)).exit_code == 0
        assert f"{told} for {why}" in (tmp_path / str(told) / "report.html").read_text()
    write_rows(results / "history.csv", [{"visit": "of somebody's own"}])
    refused = masi("report", results, "--out", tmp_path / "refused")
    assert refused.exit_code == 2
    assert "history.csv lacks patient, why" in " ".join(refused.output.split())


def report(trial, made, out, *words):
    parts = ["--agreement", made / "agreement", "--outcome", made / "outcome"]
    return masi("report", trial / "results", "--reads", trial / "reads.csv", *parts, *words, "--out", out)


def test_who_is_left_out_is_in_no_figure_and_counted_on_the_screen_and_the_page(trial, tmp_path):
    words = ["--without", trial / "withdrawn.csv"]
    for done in analysed(trial, tmp_path, *words):
        assert "Patients left out: 1 of 1 that withdrawn.csv lists." in done.stdout
    _, patients = table(tmp_path / "outcome" / "patients.csv")
    assert len(patients) == 15
    assert LEFT not in {row["patient"] for row in patients}
    assert {row["patients"] for row in table(tmp_path / "agreement" / "agreement.csv")[1]} == {"15"}
    done = report(trial, tmp_path, tmp_path / "report", *words)
    assert done.exit_code == 0, done.output
    page = (tmp_path / "report" / "report.html").read_text()
    assert "Patients who were left out of all that this page tells: <b>1</b>, of 1 who were to be." in page
    for told in ("Photographs: <b>90</b>", "Visits: <b>90</b>", "scored by the software: <b>90</b>"):
        assert told in page
    assert "90 visits; 0 were not scored" in page
    assert LEFT not in page
    for kept in ("outcome/protocol.json", "agreement/agreement.json"):
        told = json.loads((tmp_path / kept).read_text())
        made = told.get("provenance", told)
        assert made["patients_left_out"] == 1
        assert "without" not in made["tables_sha256"]  # a hash of few short names tells them


def test_the_same_as_if_the_patient_had_never_been_there(trial, tmp_path):
    analysed(trial, tmp_path / "without", "--without", trial / "withdrawn.csv")
    for name in ("reads.csv", "arms.csv", "results/scores.csv"):
        rows = [row for row in table(trial / name)[1] if row["patient"] != LEFT]
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_rows(tmp_path / name, rows)
    analysed(tmp_path, tmp_path / "never")
    outcomes = ("outcome/outcome.csv", "outcome/patients.csv", "outcome/endpoint.csv")
    for name in ("agreement/agreement.csv", *outcomes):
        assert (tmp_path / "without" / name).read_bytes() == (tmp_path / "never" / name).read_bytes()


def test_a_page_leaves_out_whom_its_analyses_left_out(trial, tmp_path):
    words = ["--without", trial / "withdrawn.csv"]
    analysed(trial, tmp_path / "all")
    analysed(trial, tmp_path / "fewer", *words)
    for made, also in (("all", words), ("fewer", [])):
        done = report(trial, tmp_path / made, tmp_path / "report", *also)
        assert done.exit_code == 2
        assert "with the same --without" in " ".join(done.output.split())
    other = write_rows(tmp_path / "two.csv", [{"patient": LEFT}, {"patient": "P099"}])
    done = report(trial, tmp_path / "fewer", tmp_path / "report", "--without", other)
    assert done.exit_code == 2
    said = "Patients left out of the outcome: 1; here: 2. Expected the same ones."
    assert said in " ".join(done.output.split())


def test_nothing_of_who_is_left_out_is_exported_and_the_rest_is_whole(trial, tmp_path):
    """As a run that graded no region: every visit of the others has a row, of the one who left none."""
    results = shutil.copytree(trial / "results", tmp_path / "results")
    _, rows = table(results / "scores.csv")
    none = {"status": "not_scored", "reason": "no_face", "mmasi": ""}
    write_rows(results / "scores.csv", [row | none for row in rows])
    given = ["--reads", trial / "reads.csv", "--results", results, "--study", "MEL01"]
    done = masi("export", *given, "--without", trial / "withdrawn.csv", "--out", tmp_path / "out")
    assert done.exit_code in (0, 1), done.output
    assert "Patients left out: 1 of 1 that withdrawn.csv lists." in done.stdout
    _, rows = table(tmp_path / "out" / "long.csv")
    assert {row["patient"] for row in rows} == {f"P{n:03d}" for n in range(16)} - {LEFT}
    software = [row for row in rows if row["evaluator"] == "ALGORITHM"]
    assert len({(row["patient"], row["visit"]) for row in software}) == 90
    assert not any(LEFT.encode() in file.read_bytes() for file in (tmp_path / "out").iterdir())


def test_the_run_of_a_coded_set_knows_the_visits_by_their_codes():
    codes = ("AAAAAAA", "BBBBBBB", "CCCCCCC")
    inputs = [{"patient": "", "visit": code, "view": view} for code in codes for view in ("front", "left")]
    counts = {"visits_found": 3, "scored": 2, "not_scored": 1, "not_scored_by_reason": {"no_face": 1}}
    row = {"patient": LEFT, "visit": "visit-1"}
    dropped = [
        row | {"code": "BBBBBBB", "status": "scored"},
        row | {"code": "CCCCCCC", "status": "not_scored"},
    ]
    run = _run_without({"inputs": inputs, "counts": counts}, dropped)
    assert run["inputs"] == inputs[:2]
    assert run["counts"] == {"visits_found": 1, "scored": 1, "not_scored": 0}
    assert _run_without({"inputs": inputs, "counts": counts}, []) == {"inputs": inputs, "counts": counts}


def test_rows_that_were_taken_out_by_hand_are_refused_with_a_word_on_what_to_do(trial, tmp_path):
    shutil.copytree(trial / "results", tmp_path / "results")
    rows = [row for row in table(trial / "results" / "scores.csv")[1] if row["patient"] != LEFT]
    write_rows(tmp_path / "results" / "scores.csv", rows)
    for words in (["report"], ["export", "--study", "MEL01", "--results"]):
        done = masi(*words, tmp_path / "results", "--out", tmp_path / "out")
        assert done.exit_code == 2
        assert "a patient who withdrew stays in it: --without" in " ".join(done.output.split())


def test_strips_of_who_is_left_out_are_not_shown(trial, tmp_path):
    pictures = tmp_path / "compared" / "pictures"
    pictures.mkdir(parents=True)
    for name in ("P002", LEFT):
        cv2.imwrite(str(pictures / f"{name}_front.jpg"), np.zeros((90, 260, 3), np.uint8))
    (tmp_path / "compared" / "changes.csv").write_text(f"patient\nP002\n{LEFT}\n")
    shown = ["--strips", tmp_path / "compared", "--without", trial / "withdrawn.csv"]
    done = masi("report", trial / "results", *shown, "--out", tmp_path / "report")
    assert done.exit_code == 0, done.output
    page = (tmp_path / "report" / "report.html").read_text()
    assert "P002: the visits from the front" in page
    assert LEFT not in page


@pytest.mark.parametrize(
    ("content", "said", "code"),
    [
        ("patient,visit\nP003,visit-6\n", "list.csv has a column visit. Expected patients", 2),
        ("patient\nP3\n", "names 'P3', and a table has 'P003'. Expected one spelling.", 2),
        ("patient\nP099\n", "masi: no table here has a row of P099, whom list.csv lists.", 0),
        ('patient\n"P001, P003"\n', "list.csv has 'P001, P003' in one row. Expected one patient in each.", 2),
        ("patient\nP001 P999\n", "list.csv has 'P001 P999' in one row.", 2),
        ("patient\nP001 bis\n", "masi: no table here has a row of P001 bis, whom list.csv lists.", 0),
        ("patient\nP0\u200b03\n", "Expected one spelling.", 2),
        ("name\nP003\n", "list.csv lacks patient", 2),
        ("patient\n", "list.csv has no row", 2),
        ("patient,why\n,moved\n", "list.csv has a row without a patient", 2),
    ],
)
def test_a_list_that_would_leave_somebody_in_is_told(trial, tmp_path, content, said, code):
    (tmp_path / "list.csv").write_text(content)
    arms = ["--allocation", trial / "arms.csv", "--without", tmp_path / "list.csv"]
    done = masi("outcome", trial / "reads.csv", *arms, "--out", tmp_path / "out")
    assert done.exit_code == code, done.output
    assert said in " ".join(done.output.split())


def test_a_table_that_spells_one_otherwise_is_refused_whatever_the_others_have():
    left = LeftOut(frozenset({"P03"}), "w.csv")
    assert left.rows([{"patient": "P03"}, {"patient": "P04"}]) == [{"patient": "P04"}]
    assert left.met == 1
    with pytest.raises(StatsError, match="names 'P03', and a table has 'p03'"):
        left.rows([{"patient": "p03"}])
