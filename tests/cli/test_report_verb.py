"""`masi report`, from tables that the other verbs wrote."""

import base64
import csv
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import zlib

import cv2
import numpy as np
import pytest

pytest.importorskip("scipy", reason="needs the extra stats")
pytest.importorskip("matplotlib", reason="needs the extra stats")

from made_trial import regions_of, signed_reads, write_rows, write_trial
from verbs import masi
from verbs import table as table_of

from masi_vision.cli.report_drawings import outcome_drawn, scores_drawn
from masi_vision.csv_table import csv_text
from masi_vision.report.study import StudyReport
from masi_vision.report.tables import models_hash
from masi_vision.shipped import shipped_file
from masi_vision.stats.outcome import OutcomeFigure


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A study that never was, its truth in the place of the software's scores."""
    folder = tmp_path_factory.mktemp("report")
    write_trial(folder, visits=6, seed=4)
    (folder / "results").mkdir()
    (folder / "truth.csv").rename(folder / "results" / "scores.csv")
    write_rows(folder / "results" / "regions.csv", regions_of(table_of(folder / "results" / "scores.csv")[1]))
    run = {"version": "0", "models": "m", "models_sha256": {}, "settings": {}, "settings_sha256": "s"}
    run |= {"atlas": "a", "pigment_method": "p", "inputs": [], "counts": {"scored": 96, "not_scored": 0}}
    (folder / "results" / "run.json").write_text(json.dumps(run))
    return folder


def test_a_study_becomes_a_page_with_its_figures(study, tmp_path):
    reads, scores = study / "reads.csv", study / "results" / "scores.csv"
    agree = masi("agree", reads, "--scores", scores, "--out", tmp_path / "agreement", "--draws", 100)
    assert agree.exit_code == 0, agree.output
    assert masi("outcome", scores, "--out", tmp_path / "outcome").exit_code == 0
    parts = ["--agreement", tmp_path / "agreement", "--outcome", tmp_path / "outcome"]
    done = masi("report", study / "results", "--reads", reads, *parts, "--out", tmp_path / "report")
    assert done.exit_code == 0, done.output
    figures = {file.stem for file in (tmp_path / "report" / "figures").iterdir()}
    assert figures == {"distribution", "bland_altman", "forest", "trajectories"}
    page = (tmp_path / "report" / "report.html").read_text()
    assert page.count("data:image/svg+xml") == 4
    for file in (tmp_path / "outcome" / "protocol.json", tmp_path / "agreement" / "agreement.json"):
        told = json.loads(file.read_text())
        made = told.get("provenance", told)
        code = made["code_sha256"][:12]
        assert f"<td>masi_vision {made['version']}, code {code}, {made['made_utc']}" in page
        for option, digest in made["tables_sha256"].items():
            assert f"<br>{option} <code>{digest}</code>" in page
    again = masi("report", study / "results", "--out", tmp_path / "report")
    assert again.exit_code == 2
    assert "--overwrite" in again.output


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_results_of_patients_and_arms_are_for_their_owner_alone_to_read(study, tmp_path):
    scores = study / "results" / "scores.csv"
    done = masi("agree", study / "reads.csv", "--out", tmp_path / "agreement", "--draws", 100)
    assert done.exit_code == 0, done.output
    assert masi("outcome", scores, "--out", tmp_path / "outcome").exit_code == 0
    parts = ["--outcome", tmp_path / "outcome", "--out", tmp_path / "report"]
    assert masi("report", study / "results", *parts).exit_code == 0
    made = [file for file in tmp_path.rglob("*") if file.is_file()]
    names = {"agreement.csv", "agreement.json", "outcome.csv", "patients.csv", "endpoint.csv"}
    names.add("protocol.json")
    assert {file.name for file in made} >= names | {"report.html", "forest.svg"}
    assert {stat.S_IMODE(file.stat().st_mode) for file in made} == {0o600}


def test_what_an_earlier_version_made_has_no_provenance_and_a_spoilt_one_is_refused(study, tmp_path):
    agree = masi("agree", study / "reads.csv", "--out", tmp_path / "agreement", "--draws", 100)
    assert agree.exit_code == 0, agree.output
    parts = ["--reads", study / "reads.csv", "--agreement", tmp_path / "agreement"]
    (tmp_path / "agreement" / "agreement.json").write_text("{}")
    done = masi("report", study / "results", *parts, "--out", tmp_path / "report")
    assert done.exit_code == 2
    assert "Run masi agree again" in " ".join(done.output.split())
    (tmp_path / "agreement" / "agreement.json").unlink()
    (tmp_path / "left.csv").write_text("patient\nP003\n")
    left = masi(
        "report", study / "results", *parts[2:], "--without", tmp_path / "left.csv", "--out", tmp_path
    )
    assert left.exit_code == 2
    assert "Patients left out of the agreement: 0; here: 1" in " ".join(left.output.split())
    assert masi("report", study / "results", *parts, "--out", tmp_path / "report").exit_code == 0
    assert 'scope="row">Agreement' not in (tmp_path / "report" / "report.html").read_text()


def test_an_agreement_of_a_version_that_did_not_say_of_which_reads_it_is_is_called_so(study, tmp_path):
    agree = masi("agree", study / "reads.csv", "--out", tmp_path / "agreement", "--draws", 100)
    assert agree.exit_code == 0, agree.output
    agreement_without(tmp_path / "agreement", "reads_sha256")
    parts = ["--agreement", tmp_path / "agreement", "--out", tmp_path / "report"]
    done = masi("report", study / "results", *parts, "--reads", study / "reads.csv")
    assert done.exit_code == 2
    told = " ".join(done.output.split())
    assert "does not say of which reads it is, as where an earlier version made it. Expected" in told
    assert told.endswith("Run masi agree again.")
    assert masi("report", study / "results", *parts).exit_code == 0


def agreement_without(folder, column):
    """The agreement of a version that did not write this column."""
    _, rows = table_of(folder / "agreement.csv")
    kept = [{name: one for name, one in row.items() if name != column} for row in rows]
    write_rows(folder / "agreement.csv", kept)
    (folder / "agreement.json").unlink()


def test_an_agreement_with_other_scores_than_the_page_s_is_refused(study, tmp_path):
    reads, scores = study / "reads.csv", study / "results" / "scores.csv"
    _, rows = table_of(scores)
    other = write_rows(
        tmp_path / "other.csv", [row | {"mmasi": f"{float(row['mmasi']) / 2:.2f}"} for row in rows]
    )
    for name, given, said in (
        ("own", ["--scores", scores], ""),
        ("other", ["--scores", other], "is of other scores. Expected what masi agree writes of the scores"),
        ("readers", [], ""),
    ):
        made = masi("agree", reads, *given, "--draws", 100, "--out", tmp_path / name)
        assert made.exit_code == 0, made.output
        for number, also in enumerate((["--reads", reads], [])):
            parts = [*also, "--agreement", tmp_path / name, "--out", tmp_path / f"{name}-{number}"]
            done = masi("report", study / "results", *parts)
            assert done.exit_code == (2 if said else 0), done.output
            assert said in " ".join(done.output.split())


def test_an_agreement_that_does_not_say_of_which_scores_it_is_is_made_again(study, tmp_path):
    """Where it has figures of the software: without them it needs no scores."""
    reads, scores = study / "reads.csv", study / "results" / "scores.csv"
    for name, given in (("software", ["--scores", scores]), ("readers", [])):
        made = masi("agree", reads, *given, "--draws", 100, "--out", tmp_path / name)
        assert made.exit_code == 0, made.output
        agreement_without(tmp_path / name, "scores_sha256")
        parts = ["--reads", reads, "--agreement", tmp_path / name, "--out", tmp_path / f"{name}-page"]
        done = masi("report", study / "results", *parts)
        assert done.exit_code == (2 if given else 0), done.output
        told = " ".join(done.output.split())
        untold = "does not say of which scores it is, as where an earlier version made it. Expected"
        assert (untold in told) == told.endswith("Run masi agree again.") == bool(given)


def test_an_outcome_of_whom_the_page_leaves_out_is_of_no_other_study(study, tmp_path):
    assert masi("outcome", study / "results" / "scores.csv", "--out", tmp_path / "outcome").exit_code == 0
    left = write_rows(tmp_path / "left.csv", [{"patient": "P003"}])
    parts = ["--outcome", tmp_path / "outcome", "--without", left, "--out", tmp_path / "report"]
    done = masi("report", study / "results", *parts)
    assert done.exit_code == 2
    told = " ".join(done.output.split())
    assert "tells of patients whom --without leaves out here: 1. Expected an outcome without them." in told
    patients = tmp_path / "outcome" / "patients.csv"
    write_rows(patients, [row | {"patient": f"Q{row['patient']}"} for row in table_of(patients)[1]])
    done = masi("report", study / "results", *parts)
    assert done.exit_code == 2
    assert "tells of QP000, QP001, QP002, of whom there is no score" in " ".join(done.output.split())


@pytest.mark.parametrize(
    ("provenance", "found"),
    [
        ("", "it lacks version, made_utc, tables_sha256, files_sha256, patients_left_out"),
        ({"version": "1"}, "it lacks made_utc, tables_sha256, files_sha256, patients_left_out"),
        (
            {"version": "0.1.0", "made_utc": "now", "tables_sha256": {}, "files_sha256": {}},
            "does not tell all of what made the figures, as where an earlier version made it: it lacks "
            "patients_left_out. Expected what this version",
        ),
        (
            {"version": "1", "made_utc": "now", "tables_sha256": "x", "files_sha256": {}}
            | {"patients_left_out": 0},
            "was changed since it was written: tables_sha256 of what made the figures cannot be what it is",
        ),
    ],
)
def test_a_provenance_that_tells_too_little_is_refused_and_what_it_lacks_is_named(
    study, tmp_path, provenance, found
):
    scores = study / "results" / "scores.csv"
    assert masi("outcome", scores, "--out", tmp_path / "outcome").exit_code == 0
    agree = masi("agree", study / "reads.csv", "--out", tmp_path / "agreement", "--draws", 100)
    assert agree.exit_code == 0, agree.output
    kept = tmp_path / "outcome" / "protocol.json"
    told = json.loads(kept.read_text())
    kept.write_text(json.dumps(told | {"provenance": provenance}))
    (tmp_path / "agreement" / "agreement.json").write_text(json.dumps(dict(provenance or {})))
    for part in ("outcome", "agreement"):
        done = masi("report", study / "results", f"--{part}", tmp_path / part, "--out", tmp_path / "report")
        assert done.exit_code == 2, done.output
        words = " ".join(done.output.split())
        assert found in words
        assert f"Run masi {'outcome' if part == 'outcome' else 'agree'} again." in words
    of = ["--outcome", tmp_path / "outcome", "--out", tmp_path / "report"]
    without_primary = {key: value for key, value in told.items() if key != "primary"}
    for spoilt, said in (
        (without_primary, "protocol.json lacks primary, as where an earlier version made it. Expected what"),
        ("x", "protocol.json cannot be read (it holds no names with values)"),
    ):
        kept.write_text(json.dumps(spoilt))
        done = masi("report", study / "results", *of)
        assert done.exit_code == 2, done.output
        words = " ".join(done.output.split())
        assert said in words
        assert "Run masi outcome again." in words


@pytest.mark.parametrize("table", ["outcome.csv", "patients.csv", "agreement.csv"])
def test_what_made_other_figures_is_not_told_of_these(study, tmp_path, table):
    """A figure that was changed since, or a provenance that lay beside others."""
    part = "agreement" if table == "agreement.csv" else "outcome"
    scores, reads = study / "results" / "scores.csv", study / "reads.csv"
    words = ["agree", reads, "--draws", 100] if part == "agreement" else ["outcome", scores]
    assert masi(*words, "--out", tmp_path / part).exit_code == 0
    shown = ["report", study / "results", f"--{part}", tmp_path / part, "--out", tmp_path / "report"]
    assert masi(*shown).exit_code == 0
    file = tmp_path / part / table
    *lines, last = file.read_text(encoding="utf-8").splitlines(keepends=True)
    file.write_text("".join(lines), encoding="utf-8")
    done = masi(*shown, "--overwrite")
    assert done.exit_code == 2, last
    assert f"tells what made other figures than those in {table}" in " ".join(done.output.split())


def test_what_was_made_before_the_reading_was_closed_is_called_no_final_result(study, tmp_path):
    """On the screen, in what is kept, and on the page, even where the page shows no reads."""
    when = "2026-05-02T10:00:00+00:00"
    for name, first, rest, said in (
        ("open", "", "", True),
        ("closed", when, when, False),
        ("one closed", when, "", True),
    ):
        folder = tmp_path / name
        folder.mkdir()
        told = [row | {"closed_utc": rest if n else first} for n, row in enumerate(signed_reads())]
        reads = write_rows(folder / "reads.csv", told)
        arms = ["--allocation", study / "arms.csv"]
        analyses = {
            "agreement": ("agreement.json", ["agree", reads, "--draws", 100]),
            "outcome": ("protocol.json", ["outcome", reads, *arms]),
        }
        for option, (kept, words) in analyses.items():
            done = masi(*words, "--out", folder / option)
            assert done.exit_code == 0, done.output
            assert ("reads.csv was exported before the reading was closed: no final" in done.stderr) == said
            told = json.loads((folder / option / kept).read_text())
            assert told.get("provenance", told)["reading_closed"] is not said
            with_reads = ["--reads", reads] if option == "outcome" else []
            shown = [f"--{option}", folder / option, *with_reads, "--out", folder / f"report-{option}"]
            done = masi("report", study / "results", *shown)
            assert done.exit_code == 0, done.output
            page = (folder / f"report-{option}" / "report.html").read_text()
            assert ("Made before the reading was closed: no final result." in page) == said


def test_reads_of_an_earlier_version_are_said_not_to_tell_whether_the_reading_was_closed(study, tmp_path):
    of_page = {"signed_by": "anna", "protocol_sha256": "0" * 64}
    for name, change in (("earlier", of_page), ("foreign", {"signed_by": "anna"})):
        folder = tmp_path / name
        folder.mkdir()
        rows = [row | change for row in signed_reads()]
        for row in rows:
            del row["closed_utc"]
        reads = write_rows(folder / "reads.csv", rows)
        for kept, words in (
            ("agreement.json", ["agree", reads, "--draws", 100]),
            ("protocol.json", ["outcome", reads, "--allocation", study / "arms.csv"]),
        ):
            done = masi(*words, "--out", folder / kept)
            assert done.exit_code == 0, done.output
            words_said = " ".join(done.stderr.split())
            assert ("which does not tell whether the reading was closed" in words_said) is (name == "earlier")
            told = json.loads((folder / kept / kept).read_text())
            assert told.get("provenance", told)["reading_closed"] is None


def test_visits_are_drawn_as_the_protocol_lists_them(study, tmp_path):
    """By their names alone the end of treatment comes before the weeks."""
    names = ["baseline", "week-4", "week-12", "week-16", "week-20", "end"]
    called = dict(zip((f"visit-{n}" for n in range(1, 7)), names, strict=True))
    rules = shipped_file("configs", "outcome.yaml").read_text(encoding="utf-8")
    for key, name in (("baseline", names[0]), ("primary", names[-1])):
        rules = re.sub(rf"(?m)^{key}: \S+", f"{key}: {name}", rules)
    (tmp_path / "mine.yaml").write_text(rules.replace("visits: null", f"visits: [{', '.join(names[1:])}]"))
    columns, rows = table_of(study / "results" / "scores.csv")
    # The first arm lacks a visit, whose place in the course the other arms tell.
    arm = min(row["arm"] for row in rows)
    kept = [row | {"visit": called[row["visit"]]} for row in rows]
    lost = [row for row in kept if (row["arm"], row["visit"]) == (arm, "week-12")]
    (tmp_path / "scores.csv").write_text(csv_text(columns, [row for row in kept if row not in lost]))
    done = masi(
        *("outcome", tmp_path / "scores.csv", "--protocol", tmp_path / "mine.yaml"),
        *("--out", tmp_path / "outcome"),
    )
    assert done.exit_code == 1, done.output  # of that visit the MMRM says why it is not fitted
    found = table_of(tmp_path / "outcome" / "outcome.csv")[1]
    asked = json.loads((tmp_path / "outcome" / "protocol.json").read_text())
    scores = table_of(tmp_path / "scores.csv")[1]
    for drawing in (*outcome_drawn(found, asked), *scores_drawn(scores, found)):
        ticks = [word for word in re.findall(">([^<>]+)</text>", drawing.svg) if word in names]
        if drawing.name in ("trajectories", "distribution"):
            assert ticks == names, drawing.name
    assert [name for name, _ in StudyReport("t", {}, scores, outcome=found).quality] == names


def test_an_outcome_in_masi_is_called_so_and_what_asked_for_it_is_told(study, tmp_path):
    shipped = shipped_file("configs", "outcome.yaml").read_text(encoding="utf-8")
    scores = study / "results" / "scores.csv"
    rows = [row | {"masi": row["mmasi"]} for row in csv.DictReader(scores.open(encoding="utf-8"))]
    (tmp_path / "scores.csv").write_text(csv_text([*rows[0]], rows))
    (tmp_path / "mine.yaml").write_text(shipped.replace("endpoint: mmasi", "endpoint: masi"))
    asked = ["--protocol", tmp_path / "mine.yaml", "--out", tmp_path / "outcome"]
    assert masi("outcome", tmp_path / "scores.csv", *asked).exit_code == 0
    parts = ["--outcome", tmp_path / "outcome", "--scores", tmp_path / "scores.csv"]
    done = masi("report", study / "results", *parts, "--out", tmp_path / "report")
    assert done.exit_code == 0, done.output
    for figure in ("forest", "trajectories"):
        drawn = (tmp_path / "report" / "figures" / f"{figure}.svg").read_text()
        assert "MASI" in drawn
        assert "mMASI" not in drawn
    page = (tmp_path / "report" / "report.html").read_text()
    said = "MASI at visit-6, with visit-1 as baseline: the software&#39;s scores. Every arm against A."
    assert said in page
    alone = masi("report", study / "results", *parts[:2], "--out", tmp_path / "alone")
    assert alone.exit_code == 2
    assert "is of another table (the software's scores)" in " ".join(alone.output.split())
    assert (
        "adjusted after Dunnett. Sensitivity analyses: a mixed model of all visits but visit-1 (MMRM" in page
    )
    assert (
        "each comparison alone (that for all comparisons together is wider: outcome.csv, low_together)."
        in page
    )
    kept = json.loads((tmp_path / "outcome" / "protocol.json").read_text())
    assert f"<code>{kept['protocol_sha256']}</code>" in page
    (tmp_path / "outcome" / "protocol.json").write_text(json.dumps(kept | {"protocol_sha256": "other"}))
    mixed = masi("report", study / "results", *parts, "--out", tmp_path / "mixed")
    assert mixed.exit_code == 2
    assert "not asked by its protocol.json" in " ".join(mixed.output.split())


def test_further_outcomes_have_their_scale_and_what_a_high_value_is(study, tmp_path):
    shipped = shipped_file("configs", "outcome.yaml").read_text(encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(f"{shipped}high_is: {{physician_global: better, pain: worse}}\n")
    items = ("physician_global", "pain", "patient_satisfaction")
    told = [{"patient": "P001", "visit": "visit-6", "item": item, "value": "3"} for item in items]
    others = write_rows(tmp_path / "others.csv", told)
    asked = ["--protocol", tmp_path / "mine.yaml", "--others", others, "--out", tmp_path / "outcome"]
    done = masi("outcome", study / "results" / "scores.csv", *asked)
    assert done.exit_code == 0, done.output
    parts = ["--outcome", tmp_path / "outcome", "--out", tmp_path / "report"]
    assert masi("report", study / "results", *parts).exit_code == 0
    page = (tmp_path / "report" / "report.html").read_text()
    assert "<h3>Physician global (0 to 4)</h3>\n<p>A high value is better.</p>" in page
    assert "<h3>Pain (0 to 10)</h3>\n<p>A high value is worse.</p>" in page
    untold = "Whether a high value is better or worse the protocol does not say (its key high_is)."
    assert f"<h3>Patient satisfaction (0 to 4)</h3>\n<p>{untold}</p>" in page
    assert "<h3>Trajectory</h3>\n\n<div" in page
    kept = tmp_path / "outcome" / "protocol.json"
    before = {name: value for name, value in json.loads(kept.read_text()).items() if name != "high_is"}
    kept.write_text(json.dumps(before))
    assert masi("report", study / "results", *parts, "--overwrite").exit_code == 0
    assert (tmp_path / "report" / "report.html").read_text().count(untold) == len(items)


def test_where_classes_of_improvement_are_from_is_said_of_the_shipped_ones_alone(study, tmp_path):
    shipped = shipped_file("configs", "outcome.yaml").read_text(encoding="utf-8")
    for name, at, said in (("shipped", "0.8", True), ("own", "0.9", False)):
        (tmp_path / f"{name}.yaml").write_text(
            shipped.replace("basically_cured: 0.8", f"basically_cured: {at}")
        )
        asked = ["--protocol", tmp_path / f"{name}.yaml", "--out", tmp_path / name]
        assert masi("outcome", study / "results" / "scores.csv", *asked).exit_code == 0
        parts = ["--outcome", tmp_path / name, "--out", tmp_path / f"{name}-page"]
        assert masi("report", study / "results", *parts).exit_code == 0
        page = (tmp_path / f"{name}-page" / "report.html").read_text()
        assert "Improvement is (baseline - follow-up) / baseline: above 0 is less melasma;" in page
        assert ("the Chinese 2003 standard. Their cut points are unconfirmed" in page) is said


@pytest.mark.parametrize(("p", "said"), [(0.41750003, "0.418"), (0.417499, "0.417"), (0.41749996, "0.418")])
def test_a_p_is_the_same_on_the_screen_and_on_the_page(study, tmp_path, monkeypatch, p, said):
    figure = OutcomeFigure("primary", "B less A", "visit-6", "difference", 8, -0.5, -1, 0.1, p, p)
    monkeypatch.setattr("masi_vision.stats.outcome.outcome", lambda courses, protocol: [figure])
    done = masi("outcome", study / "results" / "scores.csv", "--out", tmp_path / "outcome")
    assert done.exit_code == 0, done.output
    assert f"p {said}, for all comparisons {said}, 8 patients" in done.output
    parts = ["--outcome", tmp_path / "outcome", "--out", tmp_path / "report"]
    assert masi("report", study / "results", *parts).exit_code == 0
    page = (tmp_path / "report" / "report.html").read_text()
    assert page.count(f'<td class="number">{said}</td>') == 2


def test_flags_are_counted_of_masi_s_regions_of_those_whom_the_page_is_of(study, tmp_path):
    """Not of the nose, of who withdrew, or of a hidden repeat; in the results of a coded set by the codes."""
    results = shutil.copytree(study / "results", tmp_path / "results")
    scores = [
        row | {"code": f"C{n}", "repeat_of": "C9" if n == 12 else ""}
        for n, row in enumerate(table_of(results / "scores.csv")[1])
    ]
    flags = {("C0", "chin"): "undecided;disagreement", ("C0", "nose"): "undecided"}
    flags |= {("C6", "chin"): "undecided", ("C12", "chin"): "undecided"}  # of P001 and P002
    regions = [
        row
        | ({"flag": flags[place], "area": "1"} if (place := (row["visit"], row["region"])) in flags else {})
        for row in regions_of([{"patient": "", "visit": one["code"]} for one in scores])
    ]
    write_rows(results / "regions.csv", regions)
    opened = write_rows(tmp_path / "scores.csv", scores)
    left = write_rows(tmp_path / "left.csv", [{"patient": "P001"}])
    shown = ["report", results, "--scores", opened, "--without", left, "--out", tmp_path / "report"]
    done = masi(*shown)
    assert done.exit_code == 0, done.output
    said = "Of 356 regions of MASI 1 were graded; flagged of these: undecided 1, second opinion differs 1."
    assert said in (tmp_path / "report" / "report.html").read_text()
    write_rows(results / "regions.csv", regions[:-1])
    done = masi(*shown, "--overwrite")
    assert done.exit_code == 2
    assert "regions.csv has 575 rows, and run.json beside it tells of 576" in " ".join(done.output.split())


def test_a_page_says_how_many_endpoints_are_the_adjudicator_s(study, tmp_path):
    shipped = shipped_file("configs", "outcome.yaml").read_text(encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(shipped.replace("adjudicated: ignored ", "adjudicated: replaces"))
    rows = signed_reads()
    adams = [row | {"reader": "adam", "stage": "adjudication"} for row in (rows[0], rows[2], rows[4])]
    blank = {"reader": "", "latest": "", "locked_utc": "", "mmasi": "", "stage": "adjudication"}
    blank |= {name: "" for name in rows[0] if name.endswith(("_area", "_darkness"))}
    reads = write_rows(tmp_path / "reads.csv", [*rows, *adams, rows[-1] | blank])
    asked = ["--allocation", study / "arms.csv", "--protocol", tmp_path / "mine.yaml"]
    done = masi("outcome", reads, *asked, "--out", tmp_path / "outcome")
    assert done.exit_code == 0, done.output
    parts = ["--reads", reads, "--outcome", tmp_path / "outcome", "--out", tmp_path / "report"]
    done = masi("report", study / "results", *parts)
    assert done.exit_code == 0, done.output
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    said = (
        "the mean of the readers anna, ben; in its place, of 3 units, the adjudicator&#39;s grades by adam; "
    )
    assert f"{said}missing for the want of them: 1 (not adjudicated). Every arm against A." in page
    cells = re.findall(r"<td>adjudicated by adam</td><td class=\"number\">(.*?)</td>", page)
    assert cells == ["1", "1", "1"]
    assert '<td>of these: not adjudicated</td><td class="number">1</td>' in page


def test_scores_of_another_run_are_not_shown_under_this_one_s_hashes(study, tmp_path):
    with (study / "results" / "scores.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    own = {"version": "0", "settings_sha256": "s", "models_sha256": models_hash({}), "pigment_method": "p"}
    for name, made_by, code in (("own", own, 0), ("other", own | {"settings_sha256": "t"}, 2)):
        (tmp_path / f"{name}.csv").write_text(csv_text([*rows[0], *own], [row | made_by for row in rows]))
        done = masi(
            "report", study / "results", "--scores", tmp_path / f"{name}.csv", "--out", tmp_path / name
        )
        assert done.exit_code == code, done.output
    assert "No score of other.csv was made by the run of RESULTS" in " ".join(done.output.split())


def test_a_table_that_counts_other_visits_than_the_run_is_refused(study, tmp_path):
    rows = list(csv.DictReader((study / "results" / "scores.csv").open(encoding="utf-8")))
    lost = [rows[0] | {"status": "not_scored", "reason": "no_face", "mmasi": ""}, *rows[1:]]
    for name, table, found in (
        ("fewer", rows[1:], "95 visits scored and 0 not"),
        ("other", lost, "95 visits scored and 1 not"),
    ):
        (tmp_path / f"{name}.csv").write_text(csv_text([*rows[0]], table))
        done = masi(
            "report", study / "results", "--scores", tmp_path / f"{name}.csv", "--out", tmp_path / name
        )
        assert done.exit_code == 2
        words = " ".join(done.output.split())
        assert f"has {found}, and run.json of RESULTS counts 96 and 0" in words
        assert "of two coded sets name the run of the study itself" in words


@pytest.mark.parametrize("state", ["running", "interrupted", "failed"])
def test_results_of_a_run_that_did_not_end_are_refused_everywhere(study, tmp_path, state):
    shutil.copytree(study / "results", tmp_path / "results")
    run = json.loads((tmp_path / "results" / "run.json").read_text())
    run |= {"state": state, "counts": {"scored": 5, "not_scored": 1, "visits_found": 96}}
    (tmp_path / "results" / "run.json").write_text(json.dumps(run))
    scores, out = tmp_path / "results" / "scores.csv", ["--out", tmp_path / "out"]
    for command in (
        ["report", tmp_path / "results", *out],
        ["export", "--results", tmp_path / "results", "--study", "MEL01", *out],
        ["outcome", scores, *out],
        ["agree", study / "reads.csv", "--scores", scores, *out],
    ):
        done = masi(*command)
        assert done.exit_code == 2, command
        assert f"is {state}, 6 of 96 visits done" in " ".join(done.output.split())


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (slice(0, 50), "has 49 rows, and run.json beside it tells of 96"),
        (slice(0, 1), "has 0 rows, and run.json beside it tells of 96"),
    ],
)
def test_a_table_that_lost_visits_is_no_study_flow(study, tmp_path, lines, said):
    shutil.copytree(study / "results", tmp_path / "results")
    table = tmp_path / "results" / "scores.csv"
    table.write_text("".join(table.read_text(encoding="utf-8").splitlines(keepends=True)[lines]))
    done = masi("report", tmp_path / "results", "--out", tmp_path / "report")
    assert done.exit_code == 2
    assert said in " ".join(done.output.split())


@pytest.mark.parametrize(
    ("option", "content", "said"),
    [
        ("--scores", "patient,visit,region\nP000,visit-1,chin\n", "lacks status, reason, mmasi"),
        ("--scores", "patient,visit,status,reason,mmasi\n", "has no row"),
        ("--scores", 'patient,visit,status,reason,mmasi\nP000,v,scored,,"6,3"\n', "mmasi is '6,3'"),
        ("--reads", "patient,visit,region\nP000,visit-1,chin\n", "names no reader"),
    ],
)
def test_another_table_than_asked_for_is_refused_in_a_sentence(study, tmp_path, option, content, said):
    (tmp_path / "table.csv").write_text(content)
    done = masi("report", study / "results", option, tmp_path / "table.csv", "--out", tmp_path / "report")
    assert done.exit_code == 2, done.output
    assert said in " ".join(done.output.split())


def test_faces_of_another_study_are_not_put_on_the_page(study, tmp_path):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "Somebody_front.jpg").touch()
    (tmp_path / "changes.csv").write_text("patient\nSomebody\n")
    done = masi("report", study / "results", "--strips", tmp_path, "--out", tmp_path / "report")
    assert done.exit_code == 2
    assert "shows Somebody, of whom there is no score here" in " ".join(done.output.split())


def of_models(study, folder, digest):
    """The study as models of this hash scored it."""
    results = shutil.copytree(study / "results", folder / "results")
    run = json.loads((results / "run.json").read_text())
    models = {"a.onnx": digest}
    (results / "run.json").write_text(json.dumps(run | {"models_sha256": models}))
    made = {"version": "0", "settings_sha256": "s", "models": "clinic", "models_sha256": models_hash(models)}
    _, rows = table_of(results / "scores.csv")
    write_rows(results / "scores.csv", [row | made | {"pigment_method": "p"} for row in rows])
    return results, made


def test_pictures_of_other_models_than_those_of_the_scores_are_not_put_on_the_page(study, tmp_path):
    results, made = of_models(study, tmp_path, "11")
    (tmp_path / "pictures").mkdir()
    cv2.imwrite(str(tmp_path / "pictures" / "P000_front.jpg"), np.zeros((90, 260, 3), np.uint8))
    other = {"models": "shipped", "models_sha256": "fedcba9876"}
    for name, row, code in (("own", made, 0), ("other", made | other, 2)):
        write_rows(tmp_path / "changes.csv", [{"patient": "P000", **row}])
        done = masi("report", results, "--strips", tmp_path, "--out", tmp_path / name)
        assert done.exit_code == code, done.output
    own = f"clinic {made['models_sha256'][:8]}"
    said = f"were made by the models shipped fedcba98, and the scores of the page were made by {own}."
    assert said in " ".join(done.output.split())


def test_an_outcome_of_changes_by_other_models_than_those_of_the_scores_is_refused(study, tmp_path):
    results, made = of_models(study, tmp_path, "11")
    shipped = shipped_file("configs", "outcome.yaml").read_text(encoding="utf-8")
    (tmp_path / "amount.yaml").write_text(shipped.replace("endpoint: mmasi", "endpoint: amount_od"))
    asked = ["--protocol", tmp_path / "amount.yaml", "--allocation", study / "arms.csv"]
    rng = np.random.default_rng(2)
    laid = [
        {"patient": f"P{n:03d}", "baseline": "visit-1", "follow_up": "visit-6", "status": "compared"}
        | {
            "amount_before_od": f"{rng.uniform(0.02, 0.05):.5f}",
            "amount_change_od": f"{rng.normal(0, 0.01):.5f}",
        }
        for n in range(16)
    ]
    for name, digest, said in (
        ("own", made["models_sha256"], ""),
        (
            "other",
            "fedcba9876",
            "is of changes made by the models clinic fedcba98, and the scores of the page",
        ),
    ):
        changes = write_rows(
            tmp_path / "changes.csv", [row | made | {"models_sha256": digest} for row in laid]
        )
        done = masi("outcome", changes, *asked, "--out", tmp_path / name)
        assert done.exit_code == 0, done.output
        done = masi("report", results, "--outcome", tmp_path / name, "--out", tmp_path / f"{name}-page")
        assert done.exit_code == (2 if said else 0), done.output
        assert said in " ".join(done.output.split())
    kept = tmp_path / "own" / "protocol.json"
    told = json.loads(kept.read_text())
    earlier = {key: value for key, value in told.items() if key != "ways_made"}
    for spoilt, said in (
        (earlier, "protocol.json lacks ways_made, as where an earlier version made it."),
        (told | {"ways_made": "x"}, "was changed since it was written: ways_made cannot be what it is."),
        (told | {"ways_made": [{"models": 1}]}, "ways_made cannot be what it is."),
    ):
        kept.write_text(json.dumps(spoilt))
        done = masi("report", results, "--outcome", tmp_path / "own", "--out", tmp_path / "spoilt")
        assert done.exit_code == 2, done.output
        words = " ".join(done.output.split())
        assert said in words
        assert "Run masi outcome again." in words


def test_an_overwritten_report_leaves_nothing_of_the_one_before(study, tmp_path):
    (tmp_path / "figures").mkdir()
    for name in ("report.html", "report.pdf", "figures/forest.svg", ".report.html.0123abcd.part"):
        (tmp_path / name).write_text("of another study")
    done = masi("report", study / "results", "--out", tmp_path, "--overwrite")
    assert done.exit_code == 0, done.output
    left = {file.relative_to(tmp_path).as_posix() for file in tmp_path.rglob("*") if file.is_file()}
    assert left == {"report.html", "figures/distribution.svg"}


def test_strips_of_faces_come_from_a_comparison_and_stay_small(study, tmp_path):
    pictures = tmp_path / "compared" / "pictures"
    pictures.mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 256, (900, 2600, 3)).astype(np.uint8)
    for name in ("P000_front.jpg", "P001_front.jpg", "P001_left.jpg"):
        cv2.imwrite(str(pictures / name), cv2.GaussianBlur(noise, (0, 0), 6))
    (tmp_path / "compared" / "changes.csv").write_text("patient\nP000\nP001\n")
    parts = ["--strips", tmp_path / "compared", "--out", tmp_path / "report"]
    done = masi("report", study / "results", *parts)
    assert done.exit_code == 0, done.output
    page = (tmp_path / "report" / "report.html").read_text()
    shown = re.findall('image/jpeg;base64,([^"]+)" alt="([^"]+)"', page)
    assert [name.partition(":")[0] for _, name in shown] == ["P000", "P001"]
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(shown[0][0]), np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape[1] == 1100
    assert len(shown[0][0]) < 150_000
    none = masi("report", study / "results", "--strips", study, "--out", tmp_path / "none")
    assert none.exit_code == 2
    assert "holds no pictures/NAME_front.jpg" in none.output


@pytest.mark.long
def test_the_same_page_as_pdf(study, tmp_path):
    try:
        import weasyprint  # noqa: F401
    except (ImportError, OSError) as error:
        pytest.skip(f"needs the extra pdf and Pango ({error})")
    scores = study / "results" / "scores.csv"
    assert masi("outcome", scores, "--out", tmp_path / "outcome").exit_code == 0
    parts = ["--outcome", tmp_path / "outcome", "--out", tmp_path / "report", "--pdf"]
    done = masi("report", study / "results", *parts)
    assert done.exit_code == 0, done.output
    printed = (tmp_path / "report" / "report.pdf").read_bytes()
    assert printed.startswith(b"%PDF-")
    assert printed.rstrip().endswith(b"%%EOF")
    assert len(printed) > 30_000
    parts = re.findall(rb"FlateDecode.*?stream\n(.*?)\nendstream", printed, re.DOTALL)
    tags = b"".join(zlib.decompressobj().decompress(part) for part in parts)
    assert b"/StructTreeRoot" in tags  # what a screen reader goes by


def test_a_folder_without_a_run_is_refused(study, tmp_path):
    (tmp_path / "scores.csv").write_text((study / "results" / "scores.csv").read_text())
    done = masi("report", tmp_path, "--out", tmp_path / "report")
    assert done.exit_code == 2
    assert "holds no run.json" in done.output
    assert not (tmp_path / "report").exists()


def test_a_figure_of_another_hand_in_the_folder_stays(study, tmp_path):
    own = tmp_path / "report" / "figures" / "own.svg"
    own.parent.mkdir(parents=True)
    own.write_text("<svg/>")
    done = masi("report", study / "results", "--out", tmp_path / "report")
    assert done.exit_code == 0, done.output
    assert own.read_text() == "<svg/>"
    (tmp_path / "report" / "report.html").unlink()
    again = masi("report", study / "results", "--out", tmp_path / "report")
    assert again.exit_code == 2
    assert "distribution.svg is there already" in " ".join(again.output.split())


@pytest.mark.long
@pytest.mark.long
@pytest.mark.skipif(os.name != "posix", reason="HOME is POSIX's")
def test_an_account_whose_home_cannot_be_written_is_told_nothing_of_matplotlib(study, tmp_path):
    own = ("MPLCONFIGDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME")
    environment = {name: value for name, value in os.environ.items() if name not in own}
    done = subprocess.run(
        [sys.executable, "-m", "masi_vision", "report", study / "results", "--out", tmp_path / "report"],
        env=environment | {"HOME": "/dev/null"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "figures" in done.stdout
    assert done.stderr == ""
