"""`masi agree`, run as a statistician does."""

import csv
import json
import re
from hashlib import sha256

import pytest

pytest.importorskip("scipy", reason="needs the extra stats")

from made_trial import write_rows, write_trial
from verbs import masi

from masi_vision.blinding.order import draw_codes
from masi_vision.errors import StatsError
from masi_vision.reads_table import rows_of, rows_sha256
from masi_vision.shipped import shipped_file
from masi_vision.version import __version__


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("agree")
    write_trial(folder, seed=3)
    return folder


def test_a_visit_does_not_change_from_itself(study, tmp_path):
    asked = ("--baseline", "visit-1", "--final", "visit-1", "--out", tmp_path)
    done = masi("agree", study / "reads.csv", *asked)
    assert done.exit_code == 2
    assert (
        "Baseline and final are both 'visit-1', and the table has visit-1, visit-2, visit-3." in done.output
    )


def test_readers_and_software_are_compared(study, tmp_path):
    reads = study / "reads.csv"
    done = masi("agree", reads, "--scores", study / "truth.csv", "--out", tmp_path, "--draws", 100)
    assert done.exit_code == 0, done.output
    assert "Change is from visit-1 to visit-3" in done.output
    with (tmp_path / "agreement.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    of = {(row["topic"], row["measure"]): float(row["value"]) for row in rows if row["between"] != "software"}
    assert 0.6 < of["readers", "ICC(2,1), absolute agreement of one reader"] < 0.95
    assert of["software", "correlation r"] > 0.9
    made = json.loads((tmp_path / "agreement.json").read_text())
    files = {"reads": reads, "scores": study / "truth.csv"}
    assert made["tables_sha256"] == {name: sha256(f.read_bytes()).hexdigest() for name, f in files.items()}
    assert made["version"] == __version__
    assert made["intervals"] == {"kind": "percentile, patients resampled", "draws": 100, "seed": 0}
    digest = sha256((tmp_path / "agreement.csv").read_bytes()).hexdigest()
    assert made["files_sha256"] == {"agreement.csv": digest}
    assert {row["reads_sha256"] for row in rows} == {made["reads_sha256"]}
    scored = rows_sha256(rows_of(study / "truth.csv"))
    assert {row["scores_sha256"] for row in rows} == {made["scores_sha256"]} == {scored}
    again = masi("agree", reads, "--out", tmp_path)
    assert again.exit_code == 2
    assert "--overwrite" in again.output


def test_a_reader_of_whom_repeats_give_no_figure_is_named(study, tmp_path):
    rows = [row | {"repeat_of": ""} for row in rows_of(study / "reads.csv")]
    twice = ("P000", "P001", "P002", "P003")
    again = [
        row | {"repeat_of": "BCDFGHJ"}
        for row in rows
        if row["patient"] in twice and row["visit"] == "visit-1"
    ]
    parted = [
        row | {"reader": "cleo"} if row["reader"] == "R1" and row["patient"] != "P000" else row
        for row in again
    ]
    said = "repeats: no figure of R1 (1 pairs), cleo (0 pairs). Expected 3 or more hidden repeats"
    for name, repeats, told in (("parted", parted, True), ("whole", again, False), ("none", [], False)):
        write_rows(tmp_path / f"{name}.csv", rows + repeats)
        done = masi("agree", tmp_path / f"{name}.csv", "--out", tmp_path / name, "--draws", 100)
        assert done.exit_code == 0, done.output
        assert (said in done.output) is told
        assert ("repeats: no figure" in done.output) is told


def test_scores_of_other_visits_are_refused(study, tmp_path):
    (tmp_path / "scores.csv").write_text("patient,visit,mmasi\nX,visit-1,3\n")
    reads = study / "reads.csv"
    done = masi("agree", reads, "--scores", tmp_path / "scores.csv", "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert "Expected the same names in both tables" in done.output
    assert not (tmp_path / "out").exists()


def test_the_protocol_says_between_which_visits_the_change_is(study, tmp_path):
    protocol = tmp_path / "mine.yaml"
    shipped = shipped_file("configs", "outcome.yaml").read_text(encoding="utf-8")
    protocol.write_text(shipped.replace("primary: visit-6", "primary: visit-2"), encoding="utf-8")
    words = ("agree", study / "reads.csv", "--out", tmp_path / "out", "--draws", 100)
    done = masi(*words, "--protocol", protocol)
    assert done.exit_code == 0, done.output
    assert "Change is from visit-1 to visit-2" in done.output


def test_between_visits_whose_dash_may_be_a_minus_the_change_is_asked_for(study, tmp_path):
    """By name the last visit would come first, and every change have the other sign."""
    text = (study / "reads.csv").read_text().replace("visit-", "visit -")
    (tmp_path / "reads.csv").write_text(text)
    asked = ["agree", tmp_path / "reads.csv", "--draws", 100, "--out", tmp_path / "out"]
    done = masi(*asked, "--final", "visit -2")
    assert done.exit_code == 2
    assert "whether a dash there is a minus" in " ".join(done.output.split())
    done = masi(*asked, "--baseline", "visit -1", "--final", "visit -2")
    assert "Change is from visit -1 to visit -2." in done.output


def test_a_table_without_a_locked_read_says_so(study, tmp_path):
    text = (study / "reads.csv").read_text(encoding="utf-8").splitlines()
    table = tmp_path / "reads.csv"
    table.write_text("\n".join([text[0] + ",locked_utc", *(line + "," for line in text[1:])]) + "\n")
    done = masi("agree", table, "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert "counts. Expected reads that are locked" in " ".join(done.output.split())


def test_what_other_programs_write_for_nothing_is_nothing(tmp_path):
    (tmp_path / "reads.csv").write_text(
        "patient,visit,reader,locked_utc\nP1, v1,'=R,NA\n.,NaN,na,2026-05-01\n"
    )
    assert rows_of(tmp_path / "reads.csv") == [
        {"patient": "P1", "visit": "v1", "reader": "=R", "locked_utc": ""},
        {"patient": "", "visit": "", "reader": "", "locked_utc": "2026-05-01"},
    ]


@pytest.mark.parametrize(
    ("column", "cell", "expected"),
    [
        *(("repeat_of", cell, "the code of the first read") for cell in ("NULL", "0", "FALSE", "#N/A", "-")),
        *(("latest", cell, "1 in the last version of a read, else 0") for cell in ("TRUE", "x", "1,0", "2")),
        *(("locked_utc", cell, "a time, as 2026") for cell in ("NULL", "no", "0", "01.05.2026 11:00")),
        *(("stage", cell, "blind, with_software, adjudication in each") for cell in ("masked", "0", "")),
    ],
)
def test_a_word_by_which_reads_would_vanish_is_refused(tmp_path, column, cell, expected):
    rows = [{"patient": "P1", "visit": "v1", "reader": reader, column: ""} for reader in ("anna", "ben")]
    rows[0][column] = "blind" if column == "stage" else ""
    rows[1][column] = cell
    with pytest.raises(StatsError) as refused:
        rows_of(write_rows(tmp_path / "reads.csv", rows))
    assert f"reads.csv, line 3: {column} is {cell!r}. Expected {expected}" in str(refused.value)


@pytest.mark.parametrize("column", ["patient", "visit", "arm"])
@pytest.mark.parametrize("cell", ["#N/A", "NULL", "None", "N/A", "NaT", "<NA>", "#REF!", "#DIV/0!"])
def test_what_programs_write_for_nothing_is_no_patient_visit_or_arm(tmp_path, column, cell):
    row = {"patient": "#12", "visit": "#V1", "arm": "Total"}
    with pytest.raises(StatsError, match=f"^arms.csv, line 3: {column} is '{re.escape(cell)}', which"):
        rows_of(write_rows(tmp_path / "arms.csv", [row, row | {column: cell}]))


def test_words_of_the_reading_page_and_codes_of_a_set_are_none_to_refuse(tmp_path):
    (code,) = draw_codes(1)
    marks = ("code", "latest", "stage", "repeat_of")
    cells = [("U1", "1.0", "Blind", ""), ("U2", "0", "with_software", "U1"), ("U3", "", "adjudication", code)]
    rows = [{"visit": "v1"} | dict(zip(marks, row, strict=True)) for row in cells]
    assert rows_of(write_rows(tmp_path / "reads.csv", rows)) == rows
    allocation = [{"patient": "P1", "arm": "A", "stage": "II", "Region": "EU"}]  # of the world: a stratum
    assert rows_of(write_rows(tmp_path / "arms.csv", allocation)) == allocation


def test_more_than_half_of_the_visits_without_a_score_are_told_and_the_readers_are_compared(study, tmp_path):
    with (study / "truth.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    lines = ["patient,visit,mmasi"]
    lines += [
        f"{row['patient']},{row['visit']},{row['mmasi'] if n % 4 == 0 else ''}" for n, row in enumerate(rows)
    ]
    (tmp_path / "scores.csv").write_text("\n".join(lines) + "\n")
    scores = ["--scores", tmp_path / "scores.csv", "--draws", 100]
    done = masi("agree", study / "reads.csv", *scores, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "visits that were read have no score" in done.output


def test_a_topic_without_figures_says_why(study, tmp_path):
    text = (study / "reads.csv").read_text(encoding="utf-8").splitlines()
    place = text[0].split(",").index("reader")
    cells = text[1].split(",")
    cells[place] = "newcomer"
    (tmp_path / "reads.csv").write_text("\n".join([*text, ",".join(cells)]) + "\n")
    scores = ["--scores", study / "truth.csv", "--draws", 100]
    done = masi("agree", tmp_path / "reads.csv", *scores, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "software: no figure. Fewer than three units were graded by all of" in done.output


@pytest.mark.parametrize(
    ("shown", "said"), [("same", "these very reads"), ("b" * 64, "with the hash bbbbbbbb")]
)
def test_scores_by_cut_points_that_were_fitted_to_reads_are_told_so(study, tmp_path, shown, said):
    reads = study / "reads.csv"
    hashed = rows_sha256(rows_of(reads)) if shown == "same" else shown
    (tmp_path / "scores.csv").write_bytes((study / "truth.csv").read_bytes())
    run = tmp_path / "run.json"
    call = ("agree", reads, "--scores", tmp_path / "scores.csv", "--draws", 100, "--overwrite", "--out")
    run.write_text(json.dumps({"settings": {"scale": {"fitted_to_reads": hashed}}}), encoding="utf-8")
    assert said in " ".join(masi(*call, tmp_path / "out").output.split())
    run.write_text(json.dumps({"settings": {"scale": {}}}), encoding="utf-8")
    assert "fitted to" not in masi(*call, tmp_path / "out").output
