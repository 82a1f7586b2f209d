"""What became of visits that were scored again stays told, whatever is scored after."""

import csv
import shutil

import pytest
from faults import done_in
from verbs import masi, table

from masi_vision.batch.history import HISTORY, HISTORY_COLUMNS, merged
from masi_vision.batch.results import ResultsFolder
from masi_vision.batch.shard import Shard


def changed(settings, section, **values):
    return settings.model_copy(update={section: getattr(settings, section).model_copy(update=values)})


@pytest.fixture
def out(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "out")


def scores(out):
    return {(row["patient"], row["visit"]): row for row in table(out / "scores.csv")[1]}


def test_scores_of_before_stay_told_when_settings_replace_them(study, out, perform, settings, scored_here):
    before = scores(out)
    assert perform(study, out)[1] == {}
    assert not (out / HISTORY).exists()  # nothing was scored again
    other = changed(settings, "pigment", lesion_probability=0.95)
    perform(study, out, settings=other)
    now = scores(out)
    columns, rows = table(out / HISTORY)
    assert tuple(columns) == HISTORY_COLUMNS
    assert len(rows) == 4
    assert any(row["mmasi_before"] != row["mmasi_after"] for row in rows)
    for row in rows:
        place = (row["patient"], row["visit"])
        assert row["why"] == "settings changed: pigment.lesion_probability"
        assert row["visits_again"] == "4"
        for when, told in (("before", before), ("after", now)):
            assert row[f"version_{when}"].startswith(f"{told[place]['version']}, code ")
        for name in ("settings_sha256", "models_sha256", "status", "mmasi"):
            assert row[f"{name}_before"] == before[place][name], name
            assert row[f"{name}_after"] == now[place][name], name
    first = (out / HISTORY).read_bytes()
    assert perform(study, out, settings=other)[1] == {}
    assert (out / HISTORY).read_bytes() == first
    done = masi("batch", study, "--out", out, "--workers", 1)  # as at first: added to what stands there
    assert "What stood there before is kept in history.csv." in done.stdout
    assert (out / HISTORY).read_bytes().startswith(first)
    assert len(table(out / HISTORY)[1]) == 8


def test_a_visit_that_lost_its_photo_keeps_its_score_in_the_history(study, out, perform):
    before = scores(out)["P01", "visit-2"]["mmasi"]
    (study / "P01" / "visit-2" / "front.jpg").unlink()
    perform(study, out)
    (row,) = table(out / HISTORY)[1]
    assert (row["visit"], row["mmasi_before"], row["mmasi_after"]) == ("visit-2", before, "")
    assert (row["status_before"], row["status_after"]) == ("scored", "not_scored")
    assert row["why"].startswith("nothing to score any more")
    perform(study, out)
    assert len(table(out / HISTORY)[1]) == 1


def test_what_a_part_scored_again_is_told_where_the_whole_takes_it_over(study, out, perform, settings):
    before = scores(out)
    other = changed(settings, "pigment", lesion_probability=0.95)
    for number in (1, 2):
        perform(study, out, shard=Shard(number, 2), settings=other)
        assert not (ResultsFolder(out, Shard(number, 2)).folder / HISTORY).exists()  # new to the part
    assert masi("batch", study, "--out", out, "--dry-run").exit_code == 0
    assert not (out / HISTORY).exists()  # a look writes nothing
    assert perform(study, out, settings=other)[1] == {}
    _, rows = table(out / HISTORY)
    assert {(row["patient"], row["visit"]): row["mmasi_before"] for row in rows} == {
        place: row["mmasi"] for place, row in before.items()
    }
    assert all(row["why"].endswith("; by a part") for row in rows)
    assert {(row["patient"], row["visit"]): row["mmasi_after"] for row in rows} == {
        place: row["mmasi"] for place, row in scores(out).items()
    }


def test_a_run_that_dies_in_the_act_leaves_the_score_of_before_in_the_history(
    study, out, perform, settings, monkeypatch
):
    before, done = scores(out), done_in(out)

    def dies(*_):
        raise RuntimeError("killed")

    monkeypatch.setattr("masi_vision.batch.ledger.Ledger.keep", dies)
    with pytest.raises(RuntimeError, match="killed"):
        perform(study, out, settings=changed(settings, "pigment", lesion_probability=0.95))
    (row,) = table(out / HISTORY)[1]
    assert row["mmasi_before"] == before[row["patient"], row["visit"]]["mmasi"]
    assert done_in(out) == done


def test_a_line_that_was_not_finished_is_ended_before_the_next(study, out, perform, settings):
    other = changed(settings, "pigment", lesion_probability=0.95)
    perform(study, out, settings=other)
    whole = (out / HISTORY).read_bytes()
    (out / HISTORY).write_bytes(whole[:-30])
    perform(study, out)
    with (out / HISTORY).open(encoding="utf-8", newline="") as stream:
        lengths = [len(row) for row in csv.reader(stream)]
    assert lengths.count(len(HISTORY_COLUMNS)) >= len(lengths) - 1
    assert len(lengths) == 9


@pytest.mark.parametrize("text", ["date,what\n2026-05-01,our trial began\n", "no table at all"])
def test_a_file_of_that_name_that_is_no_history_is_refused_before_anything_is_scored(study, out, text):
    (out / HISTORY).write_text(text)
    was = {file: file.read_bytes() for file in out.rglob("*") if file.is_file()}
    for also in (["--dry-run"], ["--overlays"]):
        done = masi("batch", study, "--out", out, "--workers", 1, *also)
        assert done.exit_code == 2, done.output
        words = " ".join(done.output.split())
        assert f"is no history of this version: its first line is {text.splitlines()[0]!r}" in words
    assert {file: file.read_bytes() for file in out.rglob("*") if file.is_file()} == was


def test_a_history_that_another_program_saved_is_still_one(study, out):
    lines = [",".join(HISTORY_COLUMNS), ",".join("x" for _ in HISTORY_COLUMNS)]
    (out / HISTORY).write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    assert masi("batch", study, "--out", out, "--dry-run").exit_code == 0


def test_a_history_that_a_killed_run_left_behind_is_joined_to_that_at_the_address():
    assert merged(b"head\na\nb\n", b"head\na\nc\n") == b"head\na\nb\nc\n"
    assert merged(b"head\na\n", b"") == b"head\na\n"


def test_the_history_of_a_coded_set_names_codes_alone_and_is_opened_with_the_tables(
    study, tmp_path, perform, settings
):
    (tmp_path / "passphrase").write_text("long enough for anyone")
    phrase = ("--passphrase-file", tmp_path / "passphrase")
    key = ("--key", tmp_path / "safe" / "key")
    made = masi("blind", study, "--out", tmp_path / "set", *key, *phrase, "--repeats", 0)
    assert made.exit_code in (0, 1), made.output
    out = tmp_path / "results"
    perform(tmp_path / "set", out)
    perform(tmp_path / "set", out, settings=changed(settings, "pigment", lesion_probability=0.95))
    text = (out / HISTORY).read_text(encoding="utf-8")
    assert not any(name in text for name in ("P01", "P02", "visit-1", "visit-2", "visit-3", str(tmp_path)))
    codes = {row["visit"] for row in table(out / HISTORY)[1]}
    assert codes == {row["visit"] for row in table(out / "scores.csv")[1]}
    assert masi("blind", "check", tmp_path / "set", *key, *phrase).exit_code in (0, 1)
    why = ("--reason", "a test", "--before-lock", "a test")
    opened = masi("unblind", out, *key, *phrase, *why, "--out", tmp_path / "opened")
    assert opened.exit_code == 0, opened.output
    _, rows = table(tmp_path / "opened" / HISTORY)
    assert {row["patient"] for row in rows} == {"P01", "P02"}
