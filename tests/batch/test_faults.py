"""What goes wrong on the way: the rest goes on or stops cleanly, and the cause stands in the tables."""

import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import pytest
from faults import TABLES, Kills, command, contents, done_in, finished_despite, hears_ctrl_c, make_study
from verbs import masi, table

from masi_vision.cli.studies import _stoppable
from masi_vision.errors import MasiError, OutputError, StudyError

pytestmark = pytest.mark.long

SPOILT = Path(__file__).parent / "spoilt"
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="kills processes found in /proc")
root_only = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0 or shutil.which("mount") is None,
    reason="mounts a small disk, which needs root",
)


@pytest.fixture(scope="module")
def in_processes(perform):
    """A run in processes, where it is they that go wrong."""
    return partial(perform, time_limit_s=60.0)


@pytest.fixture
def spoilt(study, monkeypatch):
    """The study with one visit more, whose photo does to its worker what its folder's name says."""

    def spoil(kind):
        shutil.copytree(study / "P01" / "visit-1", study / "P01" / kind)
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(SPOILT), os.environ.get("PYTHONPATH", "")]))
        return study

    return spoil


def reasons_of(out):
    return {row["visit"]: row["reason"] for row in table(out / "scores.csv")[1] if row["patient"] == "P01"}


def messages_of(out):
    import json

    return {one["visit"]: one["message"] for one in json.loads((out / "run.json").read_text())["refused"]}


@pytest.mark.parametrize(
    ("kind", "reason", "words"),
    [
        ("aborts", "crashed", "front.jpg ended its worker 2 times, at last by signal SIGABRT. Expected"),
        (
            "eats-memory",
            "crashed",
            "ended its worker 6 times, at last by signal SIGKILL: by hand, or because",
        ),
        ("finds-a-bug", "crashed", "A bug in masi_vision, or too little memory (ZeroDivisionError"),
        ("hangs", "timed_out", "front.jpg was not done after 3 seconds"),
    ],
)
@linux_only
def test_a_photo_that_ends_its_worker_takes_no_other_visit_along(
    spoilt, in_processes, tmp_path, kind, reason, words
):
    study, out = spoilt(kind), tmp_path / "out"
    summary, _ = in_processes(study, out, time_limit_s=3.0 if kind == "hangs" else 60.0)
    assert summary.state == "finished"
    assert reasons_of(out) == {kind: reason, "visit-1": "", "visit-2": "", "visit-3": ""}
    assert words in messages_of(out)[kind]


def test_without_a_folder_for_temporary_files_local_photos_are_scored(study, perform, monkeypatch, tmp_path):
    def read_only(**_):
        raise OSError("Read-only file system")

    monkeypatch.setattr("masi_vision.batch.worker.tempfile.TemporaryDirectory", read_only)
    summary, _ = perform(study, tmp_path / "out", time_limit_s=60.0)
    assert (summary.state, set(reasons_of(tmp_path / "out").values())) == ("finished", {""})


@linux_only
def test_what_crashed_is_tried_again_and_scored_once_it_can_be(spoilt, in_processes, perform, tmp_path):
    study, out = spoilt("aborts"), tmp_path / "out"
    in_processes(study, out)
    _, reasons = perform(study, out)
    assert reasons == {"P01/aborts": "tried again: crashed"}
    assert reasons_of(out)["aborts"] == ""
    assert perform(study, out)[1] == {}


@linux_only
def test_photos_that_change_while_they_are_read_are_told_and_tried_again(
    spoilt, in_processes, perform, tmp_path
):
    study, out = spoilt("changes"), tmp_path / "out"
    in_processes(study, out)
    assert reasons_of(out)["changes"] == "unreadable"
    assert "front.jpg changed while being read, twice" in messages_of(out)["changes"]
    assert perform(study, out)[1] == {"P01/changes": "tried again: unreadable"}


def test_a_damaged_photo_is_a_result_and_not_tried_again(study, perform, tmp_path):
    (study / "P01" / "visit-2" / "front.jpg").write_bytes(b"\xff\xd8\xff no picture")
    out = tmp_path / "out"
    perform(study, out)
    assert reasons_of(out)["visit-2"] == "unreadable"
    assert perform(study, out)[1] == {}


def test_a_photo_that_cannot_be_opened_is_tried_again(study, perform, tmp_path):
    gone = study / "P01" / "visit-2" / "front.jpg"
    gone.unlink()
    gone.symlink_to(study / "nowhere.jpg")
    out = tmp_path / "out"
    perform(study, out)
    assert reasons_of(out)["visit-2"] == "unreadable"
    gone.unlink()
    shutil.copy(study / "P01" / "visit-1" / "front.jpg", gone)
    assert perform(study, out)[1] == {"P01/visit-2": "tried again: unreadable"}


class GoesAway:
    """Workers under whose hands the study's folder goes away after the first visit."""

    def __init__(self, setup, models, study):
        from masi_vision.batch.pool import LocalWorkers

        self.real, self.study = LocalWorkers(setup, models, 1, 60.0), study

    def outcomes(self, jobs):
        for number, outcome in enumerate(self.real.outcomes(jobs)):
            if number == 0:
                self.study.rename(self.study.with_name("unmounted"))
            yield outcome


def test_a_study_that_goes_away_stops_the_run_and_spoils_nothing(study, perform, tmp_path, settings):
    from masi_vision.batch.job import Setup
    from masi_vision.visit.models import shipped_models

    out = tmp_path / "out"
    with pytest.raises(StudyError, match="went away"):
        perform(study, out, workers=GoesAway(Setup(settings), shipped_models(), study))
    assert 1 <= len(done_in(out)) <= 2  # the second may have been read before
    assert set(reasons_of(out).values()) == {""}
    study.with_name("unmounted").rename(study)
    perform(study, out)
    assert len(done_in(out)) == 4


@root_only
@linux_only
def test_a_full_disk_stops_the_run_and_what_is_done_is_kept(study, in_processes, perform, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=150k", "tmpfs", disk], check=True)
    try:
        with pytest.raises(OutputError, match=r"cannot be (used|written).*(space|full)"):
            in_processes(study, disk / "out", pictures=("overlays",))
        assert not list(disk.rglob("*.part"))
        subprocess.run(["mount", "-o", "remount,size=20m", disk], check=True)
        before = done_in(disk / "out")
        perform(study, disk / "out", pictures=("overlays",))
        after = done_in(disk / "out")
        assert len(after) == 4
        assert {place: after[place] for place in before} == before
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_second_run_in_the_same_folder_says_so_and_stops(study, perform, tmp_path):
    from filelock import FileLock

    out = tmp_path / "out"
    perform(study, out)
    with FileLock(out / ".run.lock"):
        done = masi("batch", study, "--out", out)
    assert done.exit_code == 2
    assert f"Another run works in {out}. Expected none." in done.stderr


def test_results_of_another_verb_are_not_written_over(study, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "scores.csv").write_text("mine")
    done = masi("batch", study, "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert "holds scores.csv, and its ledger.sqlite is missing or empty" in " ".join(done.stderr.split())
    assert (tmp_path / "out" / "scores.csv").read_text() == "mine"


def test_an_emptied_ledger_does_not_replace_the_results(study, perform, tmp_path):
    """As a power cut leaves it: every visit would be new, scored otherwise, and history.csv know of none."""
    out = tmp_path / "out"
    perform(study, out)
    before = (out / "scores.csv").read_bytes()
    (out / "ledger.sqlite").write_bytes(b"")
    for words in ([], ["--dry-run"]):
        done = masi("batch", study, "--out", out, *words)
        assert done.exit_code == 2
        assert "its ledger.sqlite is missing or empty. Expected" in " ".join(done.stderr.split())
    assert (out / "scores.csv").read_bytes() == before
    assert not (out / "ledger.sqlite").read_bytes()


@pytest.mark.parametrize("way", ["link", "up and down", "above", "a visit's own"])
def test_results_among_the_photos_are_refused_before_anything_is_written(study, tmp_path, way):
    (tmp_path / "link").symlink_to(study)
    ways = {"link": tmp_path / "link", "up and down": study / ".." / "study", "above": tmp_path}
    before = sorted(tmp_path.rglob("*"))
    done = masi("batch", study, "--out", ways.get(way, study / "P01" / "visit-1"), "--overlays")
    assert done.exit_code == 2
    assert "is both read and written" in " ".join(done.stderr.split())
    assert sorted(tmp_path.rglob("*")) == before


@linux_only
def test_a_photo_that_became_a_pipe_keeps_no_run_waiting(study, tmp_path, perform):
    out = tmp_path / "out"
    perform(study, out)
    photo = study / "P01" / "visit-1" / "front.jpg"
    photo.unlink()
    os.mkfifo(photo)
    summary, reasons = perform(study, out, time_limit_s=5.0)
    assert list(reasons) == ["P01/visit-1"]
    assert summary.state == "finished"


@linux_only
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_run_that_is_stopped_keeps_what_is_done_and_goes_on(tmp_path, perform, name):
    study, out = make_study(tmp_path / "study", 5), tmp_path / "out"
    run = subprocess.Popen(
        command(study, out, "--workers", "1"),
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=hears_ctrl_c,
    )
    while not done_in(out):
        time.sleep(0.1)
    run.send_signal(getattr(signal, name))
    said, _ = run.communicate(timeout=30)
    assert run.returncode == 130
    assert "Stopped before the end: what was done is kept" in said
    done = done_in(out)
    assert 0 < len(done) < 5
    assert len(table(out / "scores.csv")[1]) == len(done)
    perform(study, out, pictures=("overlays",))
    after = done_in(out)
    assert len(after) == 5
    assert {place: after[place] for place in done} == done


@linux_only
def test_a_terminal_that_goes_stops_a_run_unless_nohup_said_otherwise():
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        with pytest.raises(KeyboardInterrupt), _stoppable():
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_DFL
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with _stoppable():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


@linux_only
def test_killed_at_random_and_gone_on_with_the_tables_are_the_same(tmp_path, perform):
    """The short form of `python tests/shared/faults.py`."""
    study, calm, out = make_study(tmp_path / "study", 6), tmp_path / "calm", tmp_path / "out"
    perform(study, calm, pictures=("overlays",))
    kills = Kills()
    finished_despite(study, out, kills, random.Random(3), pause_s=2.0)
    assert kills.total > 0
    assert contents(out) == contents(calm)
    assert stat.S_ISREG((out / TABLES[0]).stat().st_mode)


def test_an_empty_mount_point_does_not_empty_the_tables(study, perform, tmp_path):
    out = tmp_path / "out"
    perform(study, out)
    before = (out / "scores.csv").read_bytes()
    study.rename(study.with_name("unmounted"))
    study.mkdir()
    with pytest.raises(StudyError, match=r"holds none of the 4 visits that stand in the ledger"):
        perform(study, out)
    assert (out / "scores.csv").read_bytes() == before


def test_a_whole_run_and_a_part_do_not_work_at_once(study, tmp_path, monkeypatch):
    from filelock import FileLock

    monkeypatch.setattr("masi_vision.batch.results._PATIENCE_S", 0.1)
    (tmp_path / "out").mkdir()
    with FileLock(tmp_path / "out" / ".run.lock"):
        done = masi("batch", study, "--out", tmp_path / "out", "--shard", "1/2")
    assert done.exit_code == 2
    assert "Another run works in" in done.stderr


def test_workers_import_nothing_from_the_folder_in_which_a_person_stands(study, tmp_path, monkeypatch):
    (tmp_path / "json.py").write_text("raise SystemExit('not the json you look for')")
    monkeypatch.chdir(tmp_path)
    done = masi("batch", study, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output


@linux_only
def test_workers_that_cannot_start_stop_the_run_and_blame_no_photo(
    study, tmp_path, in_processes, monkeypatch
):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "onnxruntime.py").write_text("raise ImportError('made by a test')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "broken"))
    monkeypatch.setattr("masi_vision.batch.worker._PACKAGES", str(tmp_path / "broken"))
    with pytest.raises(MasiError, match="A worker died before it read a photo, with exit code 1"):
        in_processes(study, tmp_path / "out")
    assert done_in(tmp_path / "out") == {}


def test_a_half_said_answer_is_a_death(settings):
    from masi_vision.batch.job import Job, Setup
    from masi_vision.batch.worker import Death, Worker

    with Worker(Setup(settings)) as worker:
        worker._process.kill()
        worker._process.wait()
        read, write = os.pipe()
        os.write(write, b'{"photo": "front.jpg"}\n{"outcome": "{\\"pat')
        os.close(write)
        worker._process.stdout.close()
        worker._process.stdout = os.fdopen(read, "rb")
        found = worker.score(Job("P", "v", "P_v", {}), 10.0)
    assert isinstance(found, Death)
    assert found.photo == "front.jpg"


@linux_only
def test_folders_that_may_not_be_read_are_told_and_are_no_bug(study, tmp_path):
    """As somebody who is not root: root may read everything."""
    (tmp_path / "shut").mkdir(mode=0o000)
    who = [] if os.geteuid() else ["setpriv", "--reuid", "12345", "--clear-groups"]
    if who and shutil.which("setpriv") is None:
        pytest.skip("root may read everything, and setpriv is not there to be somebody else")
    for part in (tmp_path, *tmp_path.parents):
        if part == Path(tempfile.gettempdir()):
            break
        part.chmod(0o755)
    line = [*who, *command(study, tmp_path / "shut" / "out", "--dry-run")]
    done = subprocess.run(line, capture_output=True, text=True, cwd="/")
    if done.returncode == 1 and "Permission denied" in done.stderr + done.stdout:
        pytest.skip("somebody else may not run this Python")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "cannot be" in done.stderr
