"""An assessor scores a folder: every visit has its row, and every trouble its sentence."""

import csv
import json
import os
import stat
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from masi_vision.cli import run as run_module
from masi_vision.cli import screen
from masi_vision.cli.gate import CHECKED
from masi_vision.cli.main import app
from masi_vision.config import load_settings
from masi_vision.pigment.measure import RegionMeasure
from masi_vision.scale import MASI_REGIONS, RegionGrade
from masi_vision.shipped import shipped_file
from masi_vision.visit.region import RegionResult
from masi_vision.visit.score import PhotoScore, Scores, score_visit

REPOSITORY = Path(__file__).parents[2]
MEASURE = RegionMeasure(0.9, 0.4, 0.08, 6.25, 9.5, 0.7, 28.1, 0.35, 0.45, 0.078, 0.083, 0.03, 0.1)
REGION = RegionResult("front", MEASURE, RegionGrade(3, 2, 3))
SCORES = Scores(6.0, 15.0, 6.1, 15.5, 4.0, 8.4)


def masi(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def gradient():
    y, x = np.mgrid[0:480, 0:640]
    return Image.fromarray(np.stack([150 + x / 11, 110 + y / 10, 90 + 0 * x], axis=-1).astype(np.uint8))


@pytest.fixture
def bad_photos(tmp_path):
    """A good photo of no face, a photo cut short, and a text file with a photo's name."""
    folder = tmp_path / "set"
    folder.mkdir()
    gradient().save(folder / "wall.jpg")
    whole = (folder / "wall.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "letter.jpg").write_text("Dear colleague, the photo is attached.")
    return folder


@pytest.fixture
def study(tmp_path):
    for visit in ("V1", "V2", "V3"):
        (tmp_path / "study" / "P1" / visit).mkdir(parents=True)
        (tmp_path / "study" / "P1" / visit / "front.jpg").write_bytes(visit.encode())
    return tmp_path / "study"


@pytest.fixture
def scoring(monkeypatch):
    """Every visit is scored alike, or ends as `scoring.ends` says for its name."""
    told = SimpleNamespace(ends={}, overlays=[])

    def score(paths, settings, *, patient="", visit="", models=None):
        result = score_visit({}, settings, patient=patient, visit=visit, models=models)
        if not paths:
            return result
        if visit in told.ends:
            raise told.ends[visit]
        photos = tuple(
            PhotoScore(
                name=Path(path).name,
                view=view,
                reason=None,
                message="",
                scores=SCORES,
                regions={},
                provenance=result.provenance,
                photo_sha256="ab",
                measures=None,
            )
            for view, path in paths.items()
        )
        regions = dict.fromkeys(MASI_REGIONS, REGION)
        return replace(result, reason=None, message="", scores=SCORES, regions=regions, photos=photos)

    monkeypatch.setattr(run_module, "score_visit", score)
    return told


def table(file):
    with file.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_bad_photos_have_their_rows_and_reasons_and_stop_nothing(bad_photos, tmp_path):
    out = tmp_path / "out"
    done = masi("score", bad_photos, tmp_path / "gone", "--out", out)
    assert done.exit_code == 1
    reasons = {row["visit"]: row["reason"] for row in table(out / "scores.csv")}
    assert reasons == {"cut": "unreadable", "letter": "unreadable", "wall": "no_face", "gone": "unreadable"}
    assert len(table(out / "regions.csv")) == 4 * 6
    assert "letter: unreadable. letter.jpg is not a picture. Expected" in done.stdout
    assert "0 of 4 visits scored." in done.stdout
    assert "Traceback" not in done.output


def test_a_photo_that_was_not_scored_is_still_known_by_its_hash(bad_photos, tmp_path):
    masi("score", bad_photos, "--out", tmp_path / "out")
    inputs = json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))["inputs"]
    assert {entry["photo"] for entry in inputs} == {"cut.jpg", "letter.jpg", "wall.jpg"}
    assert all(len(entry["sha256"]) == 64 for entry in inputs)


def test_the_results_do_not_tell_where_the_photos_lay(bad_photos, tmp_path):
    masi("score", bad_photos, tmp_path / "gone", "--out", tmp_path / "out")
    written = "".join(file.read_text(encoding="utf-8") for file in (tmp_path / "out").glob("*.*"))
    assert str(tmp_path) not in written and tmp_path.name not in written


def test_scored_visits_show_grades_scores_and_the_warning(study, tmp_path, scoring):
    done = masi("score", study, "--out", tmp_path / "out")
    assert done.exit_code == 0
    line = next(line for line in done.stdout.splitlines() if "V1" in line)
    assert line.split() == ["P1", "V1", "scored", "6.0", "(4.0-8.4)", "15.0", *["3", "x", "2", "40%"] * 4]
    assert "rough estimate" not in done.stdout
    assert f"Pictures: {tmp_path / 'out' / 'overlays'}" in done.stdout
    assert "\x1b" not in done.stdout


def test_a_region_of_which_the_map_is_undecided_has_a_question_mark():
    values = {"pigmented_fraction": 0.4, "area": 3, "darkness": 2}
    visit = SimpleNamespace(
        nested={"regions": {"chin": values | {"flag": "undecided"}, "forehead": values | {"flag": ""}}}
    )
    assert [screen._region(visit, name) for name in ("chin", "forehead")] == ["3 x 2 40%?", "3 x 2 40%"]


def test_json_prints_scores_json_and_nothing_else(study, tmp_path, scoring):
    done = masi("score", study, "--out", tmp_path / "out", "--json")
    assert done.stdout == (tmp_path / "out" / "scores.json").read_text(encoding="utf-8")


def test_ctrl_c_keeps_what_was_scored(study, tmp_path, scoring):
    scoring.ends = {"V2": KeyboardInterrupt()}
    done = masi("score", study, "--out", tmp_path / "out")
    assert done.exit_code == 130
    assert [row["visit"] for row in table(tmp_path / "out" / "scores.csv")] == ["V1"]
    assert json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))["state"] == "interrupted"
    assert "Stopped before the end" in done.stdout


def test_a_bug_keeps_what_was_scored_and_says_where_its_report_lies(study, tmp_path, scoring, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    scoring.ends = {"V3": RuntimeError("unforeseen")}
    done = masi("score", study, "--out", tmp_path / "out")
    assert done.exit_code == 70
    (report,) = tmp_path.glob("masi-bug-*.txt")
    assert str(report) in done.stderr and "Traceback" not in done.output
    assert "Read it, and report the bug as SECURITY.md" in done.stderr
    assert "## Reporting" in (Path(__file__).parents[2] / "SECURITY.md").read_text(encoding="utf-8")
    assert "RuntimeError: unforeseen" in report.read_text(encoding="utf-8")
    assert len(table(tmp_path / "out" / "scores.csv")) == 2


def test_results_are_not_overwritten_unless_asked(study, tmp_path, scoring):
    out = tmp_path / "out"
    assert masi("score", study, "--out", out).exit_code == 0
    (out / "overlays" / "old_front.jpg").write_bytes(b"")
    (out / "my notes.txt").write_text("keep")
    refused = masi("score", study, "--out", out)
    assert refused.exit_code == 2
    assert "already holds scores.csv" in refused.stderr and "--overwrite" in refused.stderr
    assert masi("score", study, "--out", out, "--overwrite").exit_code == 0
    assert not (out / "overlays" / "old_front.jpg").exists()
    assert (out / "my notes.txt").exists()


@pytest.mark.parametrize(
    ("made", "folder"),
    [*((run_module.SCORED, one) for one in (".", "overlays", "masks", "pictures")), (CHECKED, "contact")],
)
def test_what_a_killed_run_was_writing_goes_with_the_old_results(study, tmp_path, made, folder):
    """It may show a face, under a name that nobody sees."""
    out = tmp_path / "out"
    (out / folder).mkdir(parents=True)
    for name in ("run.json", "changes.json"):
        (out / name).write_text("{}")
    part = out / folder / ".P1_V1_front.jpg.0123abcd.part"
    part.write_bytes(b"half a face")
    with run_module.prepared(run_module.Order((study,), out, load_settings(), overwrite=True), made):
        assert not part.exists()


@pytest.mark.skipif(os.name != "posix", reason="rights of folders are POSIX's")
def test_a_new_folder_of_results_is_its_owners_alone_and_one_that_is_there_stays_as_it_is(study, tmp_path):
    before = os.umask(0o022)
    try:
        new, shared = tmp_path / "below" / "new", tmp_path / "shared"
        shared.mkdir()
        shared.chmod(0o2770)
        for out, mode in ((new, 0o700), (shared, 0o2770)):
            with run_module.prepared(run_module.Order((study,), out, load_settings())):
                assert stat.S_IMODE(out.stat().st_mode) == mode
        assert stat.S_IMODE(new.parent.stat().st_mode) == 0o755
    finally:
        os.umask(before)


@pytest.mark.parametrize("verb", ["score", "compare", "qc"])
def test_a_second_run_in_the_same_folder_says_so_and_takes_nothing_away(study, tmp_path, verb):
    """Both would say scored, and the folder hold tables of one and pictures of both."""
    from filelock import FileLock

    out = tmp_path / "out"
    (out / "overlays").mkdir(parents=True)
    for name in ("run.json", "overlays/V1_front.jpg"):
        (out / name).write_text("of the first run")
    with FileLock(out / ".run.lock"):
        done = masi(verb, study, "--out", out, "--overwrite")
    assert done.exit_code == 2
    assert f"Another run works in {out}. Expected none." in " ".join(done.stderr.split())
    for name in ("run.json", "overlays/V1_front.jpg"):
        assert (out / name).read_text() == "of the first run"


def test_results_may_lie_within_the_study_and_are_not_scored_next_time(study, scoring):
    masi("score", study, "--out", study / "results")
    (study / "results" / "overlays" / "V1_front.jpg").write_bytes(b"")
    masi("score", study, "--out", study / "again")
    assert [row["visit"] for row in table(study / "again" / "scores.csv")] == ["V1", "V2", "V3"]


def test_a_folder_is_not_read_and_written_at_once(study):
    visit = next(folder for folder in study.iterdir() if folder.is_dir())
    for read in (study, visit, next(visit.iterdir())):
        refused = masi("score", read, "--out", study)
        assert refused.exit_code == 2
        assert "is both read and written" in refused.stderr
        assert not (study / "run.json").exists()


def test_a_place_that_cannot_be_written_is_said(study, tmp_path):
    (tmp_path / "file").write_text("")
    assert "is a file. Expected a folder" in masi("score", study, "--out", tmp_path / "file").stderr
    refused = masi("score", study, "--out", tmp_path / "file" / "below")
    assert refused.exit_code == 2
    assert "cannot be written" in refused.stderr


@pytest.mark.parametrize("arguments", [["--nope"], ["--out"], []])
def test_a_wrong_option_is_exit_code_2(study, arguments):
    assert masi("score", study, *arguments).exit_code == 2


def test_bad_settings_are_exit_code_2_and_named(study, tmp_path):
    bad = tmp_path / "mine.yaml"
    bad.write_text(shipped_file("configs", "scoring.yaml").read_text(encoding="utf-8") + "\nsize: 7\n")
    refused = masi("score", study, "--out", tmp_path / "out", "--settings", bad)
    assert refused.exit_code == 2
    assert "size: found a key that is not a setting" in refused.stderr


def test_a_folder_that_somebody_calls_pictures_is_left_alone(study, tmp_path, scoring):
    """Only beside the tables of masi compare are they its pictures."""
    out = tmp_path / "out"
    (out / "pictures").mkdir(parents=True)
    (out / "pictures" / "P01_front.jpg").write_bytes(b"an original")
    (out / "run.json").write_text("{}")  # it came later than the results
    order = run_module.Order((study / "P1" / "V1",), out, load_settings(), overlays=False)
    run_module.score_visits(replace(order, overwrite=True))
    assert (out / "pictures" / "P01_front.jpg").exists()
    (out / "changes.csv").write_text("of an earlier comparison")
    run_module.score_visits(replace(order, overwrite=True))
    assert not (out / "pictures" / "P01_front.jpg").exists()
    assert not (out / "changes.csv").exists()


def test_results_do_not_go_among_the_photos_of_another_study(study, tmp_path, scoring):
    """They would mark the folder as one of results, and every later run would pass over its photos."""
    other = tmp_path / "other"
    (other / "Q1" / "V1").mkdir(parents=True)
    (other / "Q1" / "V1" / "front.jpg").write_bytes(b"x")
    for verb in ("score", "qc", "batch"):
        done = masi(verb, study, "--out", other)
        assert done.exit_code == 2
        assert "holds photos, such as front.jpg" in " ".join(done.stderr.split())
    assert sorted(file.name for file in other.rglob("*")) == ["Q1", "V1", "front.jpg"]


def test_each_photo_has_its_own_overlay_even_where_visits_share_a_name(study, tmp_path, scoring, monkeypatch):
    drawn = []
    fake = run_module.score_visit

    def measured(*arguments, **options):
        result = fake(*arguments, **options)
        return replace(result, photos=tuple(replace(photo, measures=object()) for photo in result.photos))

    monkeypatch.setattr(run_module, "score_visit", measured)
    monkeypatch.setattr(
        "masi_vision.report.pictures.write_overlay", lambda photo, file, visit: drawn.append(file.name)
    )
    monkeypatch.setattr(
        run_module, "visit_rows", lambda result, remarks: run_module.VisitRows({"status": "scored"}, (), {})
    )
    monkeypatch.setattr(run_module, "write_tables", lambda *arguments: None)
    order = run_module.Order((study / "P1" / "V1", study / "P1"), tmp_path / "out", load_settings())
    run_module.score_visits(order)
    assert drawn == ["V1_front.jpg", "V2_front.jpg", "V3_front.jpg"]
    drawn.clear()
    (tmp_path / "v1.png").write_bytes(b"")
    again = replace(order, paths=(study / "P1" / "V1", tmp_path / "v1.png"), overwrite=True)
    run_module.score_visits(again)
    assert drawn == ["V1_front.jpg", "v1-2_front.jpg"]


def test_a_name_that_looks_like_markup_is_shown_as_it_is(study, tmp_path, scoring):
    (study / "P1" / "V1").rename(study / "P1" / "[red]V1 :smile:")
    assert "[red]V1 :smile:" in masi("score", study, "--out", tmp_path / "out").stdout


def test_pillow_does_not_chatter_about_exif(tmp_path, scoring, study):
    with warnings.catch_warnings():
        masi("score", study, "--out", tmp_path / "out")
        with warnings.catch_warnings(record=True) as heard:
            warnings.warn_explicit(
                "Corrupt EXIF data", UserWarning, "TiffImagePlugin.py", 1, module="PIL.TiffImagePlugin"
            )
    assert not heard


def test_the_script_is_the_verb_and_prints_in_any_locale(bad_photos, tmp_path):
    (bad_photos / "letter.jpg").rename(bad_photos / "皮膚 é.jpg")
    script = REPOSITORY / "scripts" / "score_photos.py"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [sys.executable, script, bad_photos, "--out", tmp_path / "out"],
        capture_output=True,
        env=environment,
        text=True,
    )
    assert done.returncode == 1, done.stderr
    assert done.stderr == ""
    assert "3 visits scored" in done.stdout
    assert {row["visit"] for row in table(tmp_path / "out" / "scores.csv")} == {"cut", "wall", "皮膚 é"}


@pytest.mark.parametrize("name", ["score", "qc"])
def test_a_path_that_is_not_there_leaves_nothing_behind(tmp_path, name):
    done = masi(name, tmp_path / "STUDYY", "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert "was not found" in done.output
    assert not (tmp_path / "out").exists()
