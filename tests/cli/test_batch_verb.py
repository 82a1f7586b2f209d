"""`masi batch` as a coordinator meets it: the plan, the summary, the watch, exit codes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from faults import command, done_in, hears_ctrl_c, make_study
from verbs import masi, table

from masi_vision.report.tables import TABLES


@pytest.fixture(scope="module")
def two_visits(tmp_path_factory):
    return make_study(tmp_path_factory.mktemp("two") / "study", 2)


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(two_visits, tmp_path):
    done = masi("batch", two_visits, "--out", tmp_path / "out", "--dry-run")
    assert done.exit_code == 0
    assert done.stdout == "2 visits: 0 finished, 2 to score (2 photos).\n"
    assert not (tmp_path / "out").exists()


def test_a_dry_run_says_which_photo_of_a_manifest_is_not_there(two_visits, tmp_path):
    there, gone = two_visits / "P01" / "visit-1" / "front.jpg", tmp_path / "gone.jpg"
    lines = [f"P01,visit-{n},front,{photo}" for n, photo in enumerate((there, gone), 1)]
    (tmp_path / "study.csv").write_text("\n".join(["patient,visit,view,path", *lines]) + "\n")
    done = masi("batch", tmp_path / "study.csv", "--out", tmp_path / "out", "--dry-run")
    assert done.stdout == (
        "2 visits: 0 finished, 2 to score (2 photos).\n"
        f"Of these photos 1 are not there, or are no files:\n  P01/visit-2/front: {gone}\n"
    )


def test_seconds_between_two_looks_need_a_second_look(two_visits, tmp_path):
    done = masi("batch", two_visits, "--out", tmp_path / "out", "--every", 5)
    assert done.exit_code == 2
    assert "--every is given without --watch" in done.stderr
    assert not (tmp_path / "out").exists()


def test_results_are_not_written_where_a_link_leads_nowhere(two_visits, tmp_path):
    (tmp_path / "out").symlink_to(tmp_path / "nowhere" / "at all")
    done = masi("batch", two_visits, "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert "a link that leads nowhere" in " ".join(done.stderr.split())


def test_the_summary_tells_scored_not_scored_why_and_the_slowest(two_visits, tmp_path, scored_here):
    study, out = shutil.copytree(two_visits, tmp_path / "study"), tmp_path / "out"
    (study / "P01" / "visit-3").mkdir()
    (study / "P01" / "visit-3" / "front.jpg").write_bytes(b"no picture")
    (study / "P02" / "v").mkdir(parents=True)
    for name in ("a_front.jpg", "b_front.jpg"):
        (study / "P02" / "v" / name).write_bytes(b"x")
    done = masi("batch", study, "--out", out, "--overlays")
    assert done.exit_code == 1
    assert "P01/visit-3: unreadable" in done.stdout
    assert "P02/v: ambiguous_view" in done.stdout
    assert "3 photos in" in done.stdout
    assert "Slowest: P01/visit-" in done.stdout
    assert "2 of 4 visits scored; not scored: 1 ambiguous_view, 1 unreadable" in done.stdout
    assert [row["status"] for row in table(out / "scores.csv")[1]] == ["scored"] * 2 + ["not_scored"] * 2
    assert sorted(file.name for file in (out / "overlays").iterdir()) == [
        "P01_visit-1_front.jpg",
        "P01_visit-2_front.jpg",
    ]
    again = masi("batch", study, "--out", out, "--dry-run", "--overlays")
    assert again.stdout.startswith(
        "4 visits: 3 finished, 0 to score (0 photos).\n1 cannot be scored:\n  P02/v:"
    )


def test_a_visit_that_lacks_a_photo_is_told_though_it_is_scored(two_visits, tmp_path, scored_here):
    study, out = shutil.copytree(two_visits, tmp_path / "study"), tmp_path / "out"
    (study / "P01" / "visit-1" / "left.jpg").symlink_to(tmp_path / "gone.jpg")
    (study / "P01" / "visit-2" / "left.jpg").write_bytes(b"no picture")
    done = masi("batch", study, "--out", out)
    told = " ".join(done.stdout.split())
    assert "Scored without a photo that could not be read; the next run tries again: P01/visit-1 " in told
    assert "2 of 2 visits scored; 2 with a photo that fails" in told
    assert "Scored, with a photo that fails (masi qc tells which, and why):" in told


def test_a_photo_that_is_another_visit_s_is_told(two_visits, tmp_path, scored_here):
    study = shutil.copytree(two_visits, tmp_path / "study")
    shutil.copy(study / "P01" / "visit-1" / "front.jpg", study / "P01" / "visit-2" / "front.jpg")
    done = masi("batch", study, "--out", tmp_path / "out")
    words = "P01/visit-2: front.jpg is byte for byte front.jpg of P01/visit-1"
    assert words in " ".join(done.stdout.split())
    assert len(json.loads((tmp_path / "out" / "run.json").read_text())["remarks"]) == 1


def test_a_centre_that_is_spelled_in_two_ways_is_told(two_visits, tmp_path, scored_here):
    study = tmp_path / "study"
    for name, visit in (("Porto 1", "visit-1"), ("Porto1", "visit-2")):
        shutil.copytree(two_visits / "P01" / visit, study / name / "001" / visit)
    done = masi("batch", study, "--out", tmp_path / "out")
    words = "'Porto 1' and 'Porto1' differ in case, width, blanks"
    assert f"Remarks: {words}" in " ".join(done.stdout.split())
    (remark,) = json.loads((tmp_path / "out" / "run.json").read_text())["remarks"]
    assert remark["remark"].startswith(words)


def test_results_beside_the_photos_of_a_manifest_are_refused_before_anything_is_written(two_visits, tmp_path):
    study = shutil.copytree(two_visits, tmp_path / "study")
    (tmp_path / "link").symlink_to(study)
    (tmp_path / "study.csv").write_text("patient,visit,view,path\nP01,v1,front,link/P01/visit-1/front.jpg\n")
    before = sorted(study.rglob("*"))
    done = masi("batch", tmp_path / "study.csv", "--out", study)
    assert done.exit_code == 2
    assert sorted(study.rglob("*")) == before


def test_looking_once_and_going_on_looking_contradict_each_other(two_visits, tmp_path):
    done = masi("batch", two_visits, "--out", tmp_path / "out", "--dry-run", "--watch")
    assert done.exit_code == 2
    assert "Expected one of them" in done.stderr


def test_a_study_without_visits_is_no_success(tmp_path):
    (tmp_path / "study").mkdir()
    done = masi("batch", tmp_path / "study", "--out", tmp_path / "out")
    assert done.exit_code == 1
    assert "no_photo" in done.stdout


def test_the_script_is_the_verb(two_visits, tmp_path):
    script = [sys.executable, "scripts/batch_visits.py", two_visits, "--out", tmp_path / "out", "--dry-run"]
    done = subprocess.run(script, capture_output=True, text=True, check=True)
    assert "2 to score" in done.stdout


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_a_watch_scores_what_comes_until_it_is_stopped(two_visits, tmp_path):
    study, out = shutil.copytree(two_visits, tmp_path / "study"), tmp_path / "out"
    watch = subprocess.Popen(
        command(study, out, "--watch", "--every", "0.2"),
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=hears_ctrl_c,
    )
    wait_for(lambda: len(done_in(out)) == 2)
    half = study / "P09" / "visit-1"
    half.mkdir(parents=True)
    whole = (study / "P01" / "visit-1" / "front.jpg").read_bytes()
    (half / "front.jpg").write_bytes(whole[: len(whole) // 2])  # still being copied
    wait_for(lambda: len(statuses(out)) == 3)
    (half / "front.jpg").write_bytes(whole)
    wait_for(lambda: statuses(out) == ["scored"] * 3 and scored_again(out))
    assert scored_again(out)[0].startswith(("photo changed: front.jpg", "tried again"))
    watch.send_signal(signal.SIGINT)
    watch.communicate(timeout=30)
    assert watch.returncode == 130
    assert {name for name in TABLES if (out / name).exists()} == set(TABLES)


def test_a_later_pass_of_a_watch_tells_what_it_did_and_not_everything_again(
    two_visits, tmp_path, monkeypatch, scored_here
):
    study = shutil.copytree(two_visits, tmp_path / "study")

    def comes(visit, *names, content=b"no picture"):
        (study / visit).mkdir(parents=True, exist_ok=True)
        for name in names:
            (study / visit / name).write_bytes(content)

    comes("P02/two", "a_front.jpg", "b_front.jpg")
    comes("P02/bad", "front.jpg", "IMG_1.jpg")
    meanwhile = iter(
        (
            lambda: comes("P03/bad", "front.jpg", "IMG_2.jpg"),
            lambda: comes("P03/two", "a_front.jpg", "b_front.jpg"),
            lambda: comes("P02/bad", "front.jpg", content=b"no picture either"),
        )
    )

    def sleep(seconds):
        print("LOOK")
        next(meanwhile, hang_up)()

    def hang_up():
        raise KeyboardInterrupt

    clock = SimpleNamespace(sleep=sleep, monotonic=time.monotonic)
    monkeypatch.setattr("masi_vision.cli.studies.time", clock)
    done = masi("batch", study, "--out", tmp_path / "out", "--watch")
    assert done.exit_code == 130
    first, *later, nothing = done.stdout.split("LOOK\n")
    named = [
        [line for line in ("P02/two: a", "P02/bad: u", "P03/two: a", "P03/bad: u") if f"  {line}" in told]
        for told in (first, *later)
    ]
    assert named == [["P02/two: a", "P02/bad: u"], ["P03/bad: u"], ["P03/two: a"], ["P02/bad: u"]]
    remarks = [[name for name in ("IMG_1", "IMG_2") if name in told] for told in (first, *later)]
    assert remarks == [["IMG_1"], ["IMG_2"], [], ["IMG_1"]]
    assert ["Results: " in told for told in (first, *later)] == [True, False, False, False]
    assert "2 of 6 visits scored; not scored: 2 ambiguous_view, 2 unreadable" in later[-1]
    assert nothing == ""


def statuses(out):
    file = out / "scores.csv"
    return [row["status"] for row in table(file)[1]] if file.exists() else []


def scored_again(out):
    return [one["why"] for one in json.loads((out / "run.json").read_text())["again"]]


def wait_for(happened, at_most_s=60):
    end = time.monotonic() + at_most_s
    while not happened():
        assert time.monotonic() < end, os.times()
        time.sleep(0.1)
