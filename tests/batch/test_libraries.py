"""Which libraries made a score stands with it, whatever is installed when the tables are written."""

import json
import shutil
import sqlite3
from contextlib import closing

import pytest
from verbs import masi

from masi_vision.batch.shard import Shard
from masi_vision.report import versions
from masi_vision.report.versions import library_versions

OPENCV = "opencv-python-headless"
NOW = library_versions()


@pytest.fixture
def out(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "out")


@pytest.fixture
def upgraded(monkeypatch):
    """Another OpenCV is installed: from here on in this process."""

    def upgrade():
        monkeypatch.setattr(versions, "_version", lambda name: "99.0" if name == OPENCV else NOW[name])
        return NOW | {OPENCV: "99.0"}

    return upgrade


def libraries(out):
    return json.loads((out / "run.json").read_text(encoding="utf-8"))["libraries"]


def test_after_an_upgrade_the_run_names_the_libraries_that_made_the_scores(study, out, perform, upgraded):
    assert "than this machine has" not in masi("batch", study, "--out", out).output
    upgraded()
    (study / "P03" / "visit-1").mkdir(parents=True)  # without a photo nothing was read
    assert perform(study, out)[1] == {}
    assert libraries(out) == NOW
    said = " ".join(masi("batch", study, "--out", out).output.split())
    assert (
        f"4 of the visits were scored with another {OPENCV} than this machine has now, and stand: run.json"
        in said
    )
    assert libraries(out) == NOW


def test_each_set_of_libraries_is_told_with_its_number_of_visits(study, out, perform, upgraded):
    other = upgraded()
    shutil.copytree(study / "P01" / "visit-1", study / "P01" / "visit-4")
    assert perform(study, out)[1] == {"P01/visit-4": "new"}
    assert libraries(out) == [{"visits": 4, "libraries": NOW}, {"visits": 1, "libraries": other}]


def test_what_a_part_scored_keeps_its_libraries_where_the_whole_takes_it_over(
    study, tmp_path, perform, upgraded, monkeypatch
):
    other = upgraded()
    for number in (1, 2):
        perform(study, tmp_path / "out", shard=Shard(number, 2))
    monkeypatch.undo()
    assert perform(study, tmp_path / "out")[1] == {}
    assert libraries(tmp_path / "out") == other


def test_a_ledger_that_kept_no_libraries_still_opens(study, out, perform):
    with closing(sqlite3.connect(out / "ledger.sqlite")) as base, base:
        base.execute("UPDATE visits SET notes = json_remove(notes, '$.libraries')")
    assert perform(study, out)[1] == {}
    assert libraries(out) == NOW  # those of this run, as such a ledger had it
