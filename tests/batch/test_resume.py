"""A second run does what changed, says why, and leaves the rest as it stands."""

import json
import os
import re
import shutil
import sqlite3
import stat

import pytest
from faults import TABLES, done_in
from scored_here import Here
from verbs import masi, table

from masi_vision.batch.job import Setup, refused
from masi_vision.batch.ledger import Ledger
from masi_vision.batch.results import ResultsFolder
from masi_vision.batch.run import BatchRun
from masi_vision.batch.shard import Shard
from masi_vision.errors import OutputError, StudyError
from masi_vision.phantom.demo import demo_folder
from masi_vision.visit.folder import find_visits
from masi_vision.visit.models import shipped_models


@pytest.fixture
def out(finished, tmp_path):
    """Finished results of the study, to be gone on with."""
    return shutil.copytree(finished, tmp_path / "out")


def tables(out):
    return {name: (out / name).read_bytes() for name in TABLES}


def changed(settings, section, **values):
    part = getattr(settings, section).model_copy(update=values)
    return settings.model_copy(update={section: part})


def test_what_is_finished_is_not_scored_again(study, out, perform):
    before = tables(out)
    summary, reasons = perform(study, out)
    assert reasons == {}
    assert summary.state == "finished"
    assert len(summary.told) == 4
    assert tables(out) == before


def test_the_tables_are_those_of_score(four_visits, finished, tmp_path):
    masi("score", four_visits, "--out", tmp_path / "scored", "--no-overlays")
    for name in TABLES:
        assert (finished / name).read_bytes() == (tmp_path / "scored" / name).read_bytes(), name
    runs = [json.loads((out / "run.json").read_text()) for out in (finished, tmp_path / "scored")]
    for run in runs:
        del run["started_utc"], run["seconds"]
    assert runs[0].pop("again") == []
    assert runs[0] == runs[1]


def test_a_changed_photo_is_scored_again_and_no_other(study, out, perform):
    before = done_in(out)
    photo = study / "P01" / "visit-2" / "front.jpg"
    photo.write_bytes((study / "P01" / "visit-1" / "front.jpg").read_bytes() + b"again")
    _, reasons = perform(study, out)
    assert reasons == {"P01/visit-2": "photo changed: front.jpg"}
    after = done_in(out)
    assert {place for place in after if after[place] != before[place]} <= {("P01", "visit-2")}


def test_a_photo_copied_anew_with_the_same_content_is_not_scored_again(study, out, perform):
    for photo in study.rglob("front.jpg"):
        os.utime(photo, (1, 1))
    assert perform(study, out)[1] == {}
    marks = [json.loads(row[0]) for row in _ask(out, "SELECT photos FROM visits")]
    assert perform(study, out)[1] == {}
    assert marks == [json.loads(row[0]) for row in _ask(out, "SELECT photos FROM visits")]


def test_a_new_visit_a_new_view_and_a_view_gone_are_told_apart(study, out, perform):
    shutil.copytree(study / "P01" / "visit-1", study / "P01" / "visit-4")
    shutil.copy(study / "P02" / "visit-1" / "front.jpg", study / "P02" / "visit-1" / "left.jpg")
    _, reasons = perform(study, out)
    assert reasons == {"P01/visit-4": "new", "P02/visit-1": "left view added"}
    (study / "P02" / "visit-1" / "left.jpg").unlink()
    assert perform(study, out)[1] == {"P02/visit-1": "left view gone"}


def test_a_visit_taken_away_leaves_the_tables(study, out, perform):
    shutil.rmtree(study / "P01" / "visit-3")
    summary, reasons = perform(study, out)
    assert reasons == {}
    assert len(summary.told) == 3
    assert b"visit-3" not in (out / "scores.csv").read_bytes()


def test_a_changed_setting_is_named_and_scores_all_again(study, out, perform, settings):
    other = changed(settings, "scale", noise_floor=0.02)
    assert set(perform(study, out, settings=other)[1].values()) == {"settings changed: scale.noise_floor"}
    assert perform(study, out, settings=other)[1] == {}


def test_settings_that_matter_to_no_score_score_nothing_again(study, out, perform, settings):
    words = settings.views.model_copy(update={"front": (*settings.views.front, "anteriore")})
    assert perform(study, out, settings=settings.model_copy(update={"views": words}))[1] == {}


def test_a_check_accepted_at_one_visit_scores_that_visit_again(study, out, perform, settings, tmp_path):
    accepted = changed(settings, "quality", accepted=("jpeg_quality@P01/visit-2/front",))
    _, reasons = perform(study, out, settings=accepted)
    assert reasons == {"P01/visit-2": "settings changed: quality.accepted"}
    fresh = tmp_path / "fresh"
    perform(study, fresh, settings=accepted)
    assert tables(out) == tables(fresh)


def test_another_version_or_another_model_is_named(study, out, perform):
    _ask(out, "UPDATE visits SET version = '0.0.9' WHERE visit = 'visit-1'")
    old = json.dumps({"pigment_reader.onnx": "0" * 64})
    _ask(out, "INSERT INTO models VALUES ('old', ?)", old)
    _ask(out, "UPDATE visits SET models = 'old' WHERE visit = 'visit-2'")
    _, reasons = perform(study, out)
    assert reasons["P01/visit-1"].startswith("version changed: 0.0.9, now ")
    assert "pigment_reader.onnx" in reasons["P01/visit-2"]
    assert set(reasons) == {"P01/visit-1", "P02/visit-1", "P01/visit-2"}


def test_other_code_of_the_same_version_scores_again(study, out, perform, monkeypatch):
    monkeypatch.setattr("masi_vision.source_code.code_sha256", lambda: "5" * 64)
    _, reasons = perform(study, out)
    assert len(reasons) == len(json.loads((out / "run.json").read_text())["inputs"])
    assert all(
        re.fullmatch(r"version changed: (\S+), code \w{12}, now \1, code 5{12}", why)
        for why in reasons.values()
    )


def test_version_and_settings_that_are_both_others_are_both_named(study, out, perform, settings):
    _ask(out, "UPDATE visits SET version = '0.0.9' WHERE visit = 'visit-2'")
    accepted = changed(settings, "quality", accepted=("jpeg_quality@P01/visit-2/front",))
    _, reasons = perform(study, out, settings=accepted)
    assert list(reasons) == ["P01/visit-2"]
    assert reasons["P01/visit-2"].startswith("version changed: 0.0.9, now ")
    assert reasons["P01/visit-2"].endswith("; settings changed: quality.accepted")


def test_pictures_asked_for_later_are_drawn_and_lost_ones_drawn_again(study, out, perform):
    assert set(perform(study, out, pictures=("overlays",))[1].values()) == {"overlays asked for"}
    assert perform(study, out, pictures=("overlays",))[1] == {}
    (out / "overlays" / "P01_visit-2_front.jpg").unlink()
    assert perform(study, out, pictures=("overlays",))[1] == {"P01/visit-2": "overlays gone"}


def test_pictures_not_asked_for_this_time_stay_while_they_are_true(study, out, perform):
    perform(study, out, pictures=("overlays",))
    before = {file.name for file in (out / "overlays").iterdir()}
    perform(study, out, pictures=("masks",))
    assert {file.name for file in (out / "overlays").iterdir()} == before
    assert perform(study, out, pictures=("overlays", "masks"))[1] == {}
    shutil.copy(study / "P02" / "visit-1" / "front.jpg", study / "P01" / "visit-2" / "front.jpg")
    perform(study, out, pictures=("masks",))
    gone = before - {file.name for file in (out / "overlays").iterdir()}
    assert gone == {"P01_visit-2_front.jpg"}  # of a photo that is another now


def test_a_ledger_of_another_format_is_refused(out):
    _ask(out, "UPDATE facts SET value = '99'")
    with pytest.raises(OutputError, match=r"has format 99. Expected 2"):
        Ledger(out / "ledger.sqlite")


def test_what_is_no_ledger_is_refused(tmp_path):
    (tmp_path / "ledger.sqlite").write_text("not a database, " * 100)
    with pytest.raises(OutputError, match="is damaged"):
        Ledger(tmp_path / "ledger.sqlite")


def test_a_ledger_tells_neither_when_nor_where_a_photo_lies(study, out, perform):
    os.utime(study / "P01" / "visit-1" / "front.jpg", (1234567890, 1234567890))
    perform(study, out)
    content = (out / "ledger.sqlite").read_bytes()
    assert b"1234567890" not in content
    assert str(study).encode() not in content


def _ask(out, question, *values):
    base = sqlite3.connect(out / "ledger.sqlite")
    with base:
        found = base.execute(question, values).fetchall()
    base.close()
    return found


class StopsAfterOne:
    """Workers during whose second visit the person presses Ctrl-C."""

    def __init__(self, setup, models):
        self.real = Here(setup, models)

    def outcomes(self, jobs):
        yield next(self.real.outcomes(jobs))
        raise KeyboardInterrupt


def test_a_stopped_run_never_shows_an_old_score_under_new_settings(study, out, perform, settings):
    other = changed(settings, "scale", area_cut_points=(0.02, 0.03, 0.04, 0.05, 0.06))
    workers = StopsAfterOne(Setup(other), shipped_models())
    summary, _ = perform(study, out, settings=other, workers=workers)
    assert summary.state == "interrupted"
    assert len(summary.told) == 1
    _, rows = table(out / "scores.csv")
    assert [row["visit"] for row in rows] == ["visit-1"]
    assert {row["settings_sha256"] for row in rows} == {other.sha256}
    assert len(done_in(out)) == 4
    perform(study, out)  # and back to the settings of before: one is scored again
    assert len(table(out / "scores.csv")[1]) == 4


def test_a_photo_that_cannot_be_opened_now_leaves_the_result_of_before(study, out, perform):
    before = tables(out)
    photo = study / "P01" / "visit-2" / "front.jpg"
    photo.rename(photo.with_suffix(".away"))
    photo.symlink_to("nowhere")
    summary, reasons = perform(study, out)
    assert reasons == {"P01/visit-2": "photo cannot be opened: front.jpg"}
    assert tables(out) == before
    assert ("P01", "visit-2") in [place for place, _ in summary.remarks]
    assert "the result of before stands" in (out / "run.json").read_text()


class Crashes:
    """Workers that every visit kills."""

    def __init__(self, settings):
        self.settings = settings

    def outcomes(self, jobs):
        for job in jobs:
            yield refused(job, "crashed", "Its worker died.", self.settings, shipped_models(), fate="again")


def test_a_photo_that_was_replaced_and_kills_its_worker_leaves_no_score_of_the_old_one(
    study, out, perform, settings
):
    photo = study / "P01" / "visit-2" / "front.jpg"
    shutil.copy(demo_folder() / "demo-02" / "visit-1" / "front.jpg", photo)
    os.utime(photo, (1, 1))
    perform(study, out, workers=Crashes(settings))
    rows = {(row["patient"], row["visit"]): row for row in table(out / "scores.csv")[1]}
    assert (rows["P01", "visit-2"]["status"], rows["P01", "visit-2"]["reason"]) == ("not_scored", "crashed")
    assert rows["P01", "visit-1"]["status"] == "scored"


def test_a_view_that_was_added_and_kills_its_worker_leaves_no_score_without_it(study, out, perform, settings):
    shutil.copy(demo_folder() / "demo-01" / "visit-1" / "left.jpg", study / "P01" / "visit-2" / "left.jpg")
    perform(study, out, workers=Crashes(settings))
    rows = {(row["patient"], row["visit"]): row for row in table(out / "scores.csv")[1]}
    assert rows["P01", "visit-2"]["reason"] == "crashed"


@pytest.mark.parametrize(("place", "visits"), [("P01/visit-2", 1), ("P01", 3)])
def test_a_folder_that_cannot_be_opened_now_leaves_the_result_of_before(
    study, out, perform, monkeypatch, place, visits
):
    before, closed, listed = tables(out), study / place, type(study).iterdir

    def iterdir(folder):
        if folder == closed:
            raise PermissionError(13, "Permission denied")
        return listed(folder)

    monkeypatch.setattr(type(study), "iterdir", iterdir)
    summary, _ = perform(study, out)
    assert tables(out) == before
    told = [place for place, said in summary.remarks if "the result of before stands" in said]
    assert ("P01", "visit-2") in told
    assert len(told) == visits
    assert summary.plan.stood


def test_a_second_front_takes_the_score_and_its_picture_away(study, perform, tmp_path):
    out, folder = tmp_path / "drawn", study / "P01" / "visit-2"
    perform(study, out, pictures=("overlays",))
    shutil.copy(folder / "front.jpg", folder / "other_front.jpg")
    perform(study, out, pictures=("overlays",))
    rows = {(row["patient"], row["visit"]): row for row in table(out / "scores.csv")[1]}
    assert rows["P01", "visit-2"]["reason"] == "ambiguous_view"
    assert not (out / "overlays" / "P01_visit-2_front.jpg").exists()


def test_a_new_visit_whose_pictures_take_the_name_of_another_keeps_them(study, perform, tmp_path):
    out, (one, other) = tmp_path / "drawn", (study / "A_1" / "V", study / "A" / "1_V")
    for folder in (one.parent, other.parent):
        folder.mkdir()
    shutil.move(study / "P01" / "visit-1", one)
    perform(study, out, pictures=("overlays",))
    assert (out / "overlays" / "A_1_V_front.jpg").exists()
    shutil.move(study / "P02" / "visit-1", other)
    perform(study, out, pictures=("overlays",))
    assert {"A_1_V_front.jpg", "A_1_V-2_front.jpg"} <= {file.name for file in (out / "overlays").iterdir()}
    assert perform(study, out, pictures=("overlays",))[1] == {}


def test_a_share_that_went_away_behind_a_manifest_changes_nothing(study, perform, tmp_path):
    out, listed = tmp_path / "listed", tmp_path / "study.csv"
    lines = [f"P1,v{n},front,{photo}" for n, photo in enumerate(sorted(study.rglob("front.jpg")))]
    listed.write_text("patient,visit,view,path\n" + "\n".join(lines) + "\n")
    perform(listed, out)
    before = tables(out)
    study.rename(study.with_name("unmounted"))
    with pytest.raises(StudyError, match="went away"):
        perform(listed, out)
    assert tables(out) == before
    study.with_name("unmounted").rename(study)
    assert perform(listed, out)[1] == {}


def test_pictures_of_a_view_that_is_gone_are_taken_away(study, perform, tmp_path):
    out, left = tmp_path / "drawn", study / "P01" / "visit-1" / "left.jpg"
    shutil.copy(demo_folder() / "demo-01" / "visit-1" / "left.jpg", left)
    perform(study, out, pictures=("overlays",))
    assert (out / "overlays" / "P01_visit-1_left.jpg").exists()
    left.unlink()
    perform(study, out, pictures=("overlays",))
    assert sorted(file.name for file in (out / "overlays").iterdir()) == [
        *(f"P01_visit-{n}_front.jpg" for n in (1, 2, 3)),
        "P02_visit-1_front.jpg",
    ]


def test_run_json_tells_what_was_scored_again_and_remarks_of_finished_visits(study, out, perform):
    shutil.copy(study / "P02" / "visit-1" / "front.jpg", study / "P02" / "visit-1" / "extra.jpg")
    (study / "P01" / "visit-1" / "front.jpg").write_bytes(b"spoilt")
    perform(study, out)
    told = json.loads((out / "run.json").read_text())
    assert told["again"] == [{"patient": "P01", "visit": "visit-1", "why": "photo changed: front.jpg"}]
    assert [one["visit"] for one in told["remarks"]] == ["visit-1"]
    assert "extra.jpg was passed over" in told["remarks"][0]["remark"]


def test_results_in_the_study_are_no_visits_and_photos_in_the_results_are_refused(study, perform, settings):
    inside, drawn = study / "results", ("overlays",)
    for number in (1, 2):
        perform(study, inside, shard=Shard(number, 2), pictures=drawn)
        assert len(find_visits([study], settings.views)) == 4  # none of them a picture of the part's
    assert len(perform(study, inside, pictures=drawn)[0].told) == 4
    assert perform(study, inside, pictures=drawn)[1] == {}
    for bad in (study, study / "P01", study / "P01" / "visit-1"):
        with pytest.raises(OutputError, match=r"holds photos of P01/visit-1. Expected a folder of its own"):
            perform(study, bad)
        assert not (bad / "scores.csv").exists()


def test_another_study_in_the_same_folder_is_refused(finished, tmp_path, perform):
    out, other = shutil.copytree(finished, tmp_path / "out"), tmp_path / "other"
    (other / "Q1" / "v1").mkdir(parents=True)
    (other / "Q1" / "v1" / "front.jpg").write_bytes(b"x")
    with pytest.raises(StudyError, match=r"holds none of the 4 visits that stand in the ledger"):
        perform(other, out)


def test_who_left_the_study_is_named_once_and_in_no_file_but_the_ledger(study, out, perform):
    kept = shutil.move(study / "P02", out.with_name("kept"))
    once, later = (masi("batch", study, "--out", out).stdout for _ in range(2))
    assert "Not in the study any more" in once
    assert "P02/visit-1" in once
    assert "Nothing was new or changed" not in once
    assert "P02" not in later
    assert "Nothing was new or changed" in later
    assert [file.name for file in out.iterdir() if b"P02" in file.read_bytes()] == ["ledger.sqlite"]
    assert "P02/visit-1" in masi("batch", study, "--out", out, "--dry-run").stdout
    shutil.move(kept, study / "P02")
    assert perform(study, out)[0].left == []
    shutil.rmtree(study / "P02")
    assert perform(study, out)[0].left == [("P02", "visit-1")]  # for it went again
    assert perform(study, out)[0].left == []


def test_who_left_the_study_before_a_run_that_was_stopped_is_named_by_the_next(study, out, perform):
    shutil.rmtree(study / "P02")
    (study / "P01" / "visit-2" / "front.jpg").write_bytes(b"not a photo")

    class Stopped:
        def outcomes(self, jobs):
            raise KeyboardInterrupt
            yield

    assert perform(study, out, workers=Stopped())[0].state == "interrupted"
    assert perform(study, out)[0].left == [("P02", "visit-1")]


def test_folders_without_their_photos_are_a_study_that_went_away(study, out, perform):
    before = tables(out)
    for photo in study.rglob("*.jpg"):
        photo.unlink()
    with pytest.raises(StudyError, match="holds no photo any more"):
        perform(study, out)
    assert tables(out) == before


def test_two_photos_that_changed_places_are_scored_again(study, out, perform):
    one, other = (study / "P01" / f"visit-{number}" / "front.jpg" for number in (1, 2))
    size = max(one.stat().st_size, other.stat().st_size)
    for photo in (one, other):
        photo.write_bytes(photo.read_bytes().ljust(size, b"\0"))
        os.utime(photo, (1, 1))
    perform(study, out)
    one.rename(study / "for now")
    other.rename(one)
    (study / "for now").rename(other)
    assert set(perform(study, out)[1]) == {"P01/visit-1", "P01/visit-2"}


def test_what_cannot_be_opened_is_not_tried_at_every_look(study, tmp_path, perform, settings):
    (study / "P01" / "visit-1" / "front.jpg").write_bytes(b"")
    setup = Setup(settings, (), str(tmp_path / "out"))
    batch = BatchRun(str(study), ResultsFolder(tmp_path / "out"), setup)
    with batch.results.held(()) as ledger:
        workers = Here(setup, batch.models)
        batch.perform(batch.plan(ledger), ledger, workers, lambda progress: None)
        assert batch.plan(ledger).jobs == {}
        assert batch.stands(batch.plan(ledger))


@pytest.mark.parametrize("ask", ["UPDATE visits SET photos = '{'", "UPDATE visits SET nested = x'0102'"])
def test_a_ledger_that_is_damaged_is_said_to_be(study, out, perform, ask):
    with sqlite3.connect(out / "ledger.sqlite") as base:
        base.execute(ask)
    (study / "P01" / "visit-1" / "front.jpg").unlink()
    with pytest.raises(OutputError, match="is damaged"):
        perform(study, out)


class StoppedAfter:
    """Workers whose run is stopped by hand after so many visits."""

    def __init__(self, workers, count):
        self.workers, self.count = workers, count

    def outcomes(self, jobs):
        for number, outcome in enumerate(self.workers.outcomes(jobs), 1):
            if number > self.count:
                raise KeyboardInterrupt
            yield outcome


def overlays(out):
    return {file.name: file.read_bytes() for file in (out / "overlays").iterdir()}


def test_pictures_of_a_run_that_was_stopped_are_drawn_again(study, perform, settings, tmp_path):
    perform(study, tmp_path / "out", pictures=("overlays",))
    before = overlays(tmp_path / "out")
    other = changed(settings, "pigment", lesion_probability=0.9)
    setup = Setup(other, ("overlays",), str(tmp_path / "out"))
    stopped = StoppedAfter(Here(setup, shipped_models()), 0)
    perform(study, tmp_path / "out", pictures=("overlays",), settings=other, workers=stopped)
    assert overlays(tmp_path / "out") != before  # drawn, and not kept
    _, reasons = perform(study, tmp_path / "out", pictures=("overlays",))
    assert set(reasons.values()) == {"its pictures may be of another run"}
    assert overlays(tmp_path / "out") == before
    assert perform(study, tmp_path / "out", pictures=("overlays",))[1] == {}


def test_a_view_that_cannot_be_opened_leaves_the_picture_of_the_result_that_stands(study, perform, tmp_path):
    left = study / "P01" / "visit-1" / "left.jpg"
    shutil.copy(demo_folder() / "demo-01" / "visit-1" / "left.jpg", left)
    perform(study, tmp_path / "out", pictures=("overlays",))
    before = overlays(tmp_path / "out")
    left.rename(tmp_path / "left.jpg")
    left.symlink_to(tmp_path / "nowhere.jpg")
    perform(study, tmp_path / "out", pictures=("overlays",))
    assert overlays(tmp_path / "out") == before
    left.unlink()
    (tmp_path / "left.jpg").rename(left)
    perform(study, tmp_path / "out", pictures=("overlays",))
    assert overlays(tmp_path / "out") == before


def test_a_study_whose_every_photo_is_another_is_another_study(study, out, perform, monkeypatch):
    monkeypatch.setattr("masi_vision.batch.run._LEAST_STUDY", 4)
    before = tables(out)
    for photo in study.rglob("front.jpg"):
        photo.write_bytes(photo.read_bytes() + b"other")
    with pytest.raises(StudyError, match="another photo at each of the 4 visits"):
        perform(study, out)
    assert tables(out) == before


def test_a_visit_that_lost_its_photo_is_told_with_its_reason(study, out, perform):
    (study / "P01" / "visit-1" / "front.jpg").unlink()
    summary, _ = perform(study, out)
    assert not summary.plan.stood
    (again,) = json.loads((out / "run.json").read_text())["again"]
    assert again["visit"] == "visit-1"
    assert again["why"].startswith("nothing to score any more: ")


def test_a_part_whose_visits_were_renamed_has_others_or_none(study, perform, tmp_path):
    done = [
        number for number in (1, 2, 3) if perform(study, tmp_path / "out", shard=Shard(number, 3))[0].told
    ]
    for visit in list(study.glob("*/*")):
        visit.rename(visit.with_name(f"{visit.name}-renamed"))
    told = [perform(study, tmp_path / "out", shard=Shard(number, 3))[0].told for number in (1, 2, 3)]
    assert done
    assert sum(map(len, told)) == 4


def test_results_in_a_study_that_is_reached_by_a_link_are_no_visits(study, tmp_path, scored_here):
    (tmp_path / "link").symlink_to(study)
    done = masi("batch", tmp_path / "link", "--out", study / "results", "--overlays", "--workers", 1)
    assert done.exit_code == 0, done.output
    assert {row["patient"] for row in table(study / "results" / "scores.csv")[1]} == {"P01", "P02"}


def test_an_address_that_is_the_study_is_no_place_for_its_results():
    for out in ("s3://bucket/study", "s3://bucket/study/", "s3://bucket"):
        done = masi("batch", "s3://bucket/study", "--out", out)
        assert done.exit_code == 2
        assert "is the study, or holds it" in done.stderr


def test_a_ledger_with_nonsense_in_its_cells_is_damaged_and_no_bug(study, out, perform):
    with sqlite3.connect(out / "ledger.sqlite") as base:
        base.execute("UPDATE visits SET photos = '[]'")
    with pytest.raises(OutputError, match="is damaged"):
        perform(study, out)


def test_photos_that_were_never_scored_may_all_be_replaced(study, perform, monkeypatch, tmp_path):
    monkeypatch.setattr("masi_vision.batch.run._LEAST_STUDY", 4)
    whole = {photo: photo.read_bytes() for photo in study.rglob("front.jpg")}
    for photo, data in whole.items():
        photo.write_bytes(data[: len(data) // 2])
    perform(study, tmp_path / "out")
    for photo, data in whole.items():
        photo.write_bytes(data)
    assert len(perform(study, tmp_path / "out")[1]) == 4


def test_a_dry_run_reads_what_a_killed_run_left_in_the_middle_of_a_write(study, out):
    ledger = out / "ledger.sqlite"
    before = ledger.read_bytes()
    with sqlite3.connect(ledger, isolation_level=None) as base:
        base.execute("PRAGMA cache_size = 1")
        base.execute("BEGIN IMMEDIATE")
        base.execute("UPDATE visits SET nested = zeroblob(200000)")
        left = {file.name: file.read_bytes() for file in out.glob("ledger.sqlite*")}
        base.execute("ROLLBACK")
    assert set(left) == {"ledger.sqlite", "ledger.sqlite-journal"}
    assert left["ledger.sqlite"] != before
    for name, data in left.items():
        (out / name).write_bytes(data)
    done = masi("batch", study, "--out", out, "--dry-run")
    assert done.exit_code == 0, done.output
    assert (out / "ledger.sqlite").read_bytes() == left["ledger.sqlite"]  # nothing was written


def test_results_whose_folder_is_gone_are_not_begun_anew(study, perform, settings, tmp_path):
    out = tmp_path / "out"

    class GoneAfterOne(StoppedAfter):
        def outcomes(self, jobs):
            for outcome in self.workers.outcomes(jobs):
                yield outcome
                shutil.rmtree(out)

    setup = Setup(settings, (), str(out))
    with pytest.raises(OutputError):
        perform(study, out, workers=GoneAfterOne(Here(setup, shipped_models()), 0))
    assert not out.exists()


def test_an_empty_study_that_gets_visits_is_scored(four_visits, perform, tmp_path):
    study, out = tmp_path / "study", tmp_path / "out"
    study.mkdir()
    assert [one.reason for one in perform(study, out)[0].told] == ["no_photo"]
    shutil.copytree(four_visits, study, dirs_exist_ok=True)
    summary, reasons = perform(study, out)
    assert set(reasons.values()) == {"new"}
    assert [one.status for one in summary.told] == ["scored"] * 4
    assert summary.remarks == []


def test_a_photo_that_a_power_loss_emptied_keeps_no_score(study, out, perform):
    (study / "P01" / "visit-1" / "front.jpg").write_bytes(b"")
    summary, reasons = perform(study, out)
    assert reasons == {"P01/visit-1": "photo changed: front.jpg"}
    assert [one.reason for one in summary.told] == ["unreadable", "", "", ""]


def test_a_photo_that_changed_with_the_settings_is_told(study, out, perform, settings):
    shutil.copy(study / "P01" / "visit-1" / "front.jpg", study / "P01" / "visit-2" / "front.jpg")
    _, reasons = perform(study, out, settings=changed(settings, "pigment", lesion_probability=0.6))
    told = {place: why.partition("; ")[2] for place, why in reasons.items()}
    assert told == dict.fromkeys(reasons, "") | {"P01/visit-2": "photo changed: front.jpg"}


def test_a_picture_that_a_power_loss_emptied_is_drawn_again(study, out, perform):
    perform(study, out, pictures=("overlays",))
    (out / "overlays" / "P01_visit-1_front.jpg").write_bytes(b"")
    _, reasons = perform(study, out, pictures=("overlays",))
    assert reasons == {"P01/visit-1": "overlays gone"}


def test_results_where_a_visit_might_lie_are_none(study, perform):
    summary, _ = perform(study, study / "P02" / "results")
    assert [one.status for one in summary.told] == ["scored"] * 4


def test_another_verb_is_kept_from_the_folder_of_a_batch(four_visits, out):
    refused = masi("score", four_visits, "--out", out, "--overwrite")
    assert refused.exit_code == 2
    assert "belongs to masi batch" in " ".join(refused.output.split())


def test_results_in_a_coded_set_are_refused(four_visits, tmp_path):
    (tmp_path / "set" / "orders").mkdir(parents=True)
    (tmp_path / "set" / "set.json").write_text("{}")
    refused = masi("batch", four_visits, "--out", tmp_path / "set" / "results")
    assert refused.exit_code == 2
    assert "lies in the coded set" in " ".join(refused.output.split())
    assert not (tmp_path / "set" / "results").exists()


def test_a_first_run_without_a_photo_says_not_that_nothing_was_new(tmp_path):
    (tmp_path / "study" / "P01" / "visit-1").mkdir(parents=True)
    done = masi("batch", tmp_path / "study", "--out", tmp_path / "out")
    assert "not scored: 1 no_photo." in done.stdout
    assert "Nothing was new" not in done.stdout
    assert "Nothing was new" in masi("batch", tmp_path / "study", "--out", tmp_path / "out").stdout


def test_where_nobody_looks_at_a_bar_a_line_tells_how_far_it_is(
    four_visits, tmp_path, monkeypatch, scored_here
):
    monkeypatch.setattr("masi_vision.cli.studies._TOLD_EVERY_S", 0.0)
    done = masi("batch", four_visits, "--out", tmp_path / "out")
    assert re.search(r"1 of 4 visits, \d+\.\d photos/s, about \d+ min left", done.stderr)


@pytest.mark.skipif(os.name != "posix", reason="rights of files are POSIX's")
@pytest.mark.parametrize(("umask", "mode"), [(0o007, 0o660), (0o077, 0o600)])
def test_a_ledger_has_the_rights_that_the_umask_leaves(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        with Ledger(tmp_path / "ledger.sqlite"):
            assert stat.S_IMODE((tmp_path / "ledger.sqlite").stat().st_mode) == mode
    finally:
        os.umask(before)
