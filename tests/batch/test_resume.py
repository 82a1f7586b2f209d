"""A second run does what changed, says why, and leaves the rest as it stands."""

import json
import os
import shutil
import sqlite3

import pytest
from faults import TABLES, done_in

from masi_vision.batch.ledger import Ledger
from masi_vision.errors import OutputError


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
    from verbs import masi

    masi("score", four_visits, "--out", tmp_path / "scored", "--no-overlays")
    for name in TABLES:
        assert (finished / name).read_bytes() == (tmp_path / "scored" / name).read_bytes(), name
    runs = [json.loads((out / "run.json").read_text()) for out in (finished, tmp_path / "scored")]
    for run in runs:
        del run["started_utc"], run["seconds"]
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


def test_pictures_asked_for_later_are_drawn_and_lost_ones_drawn_again(study, out, perform):
    assert set(perform(study, out, pictures=("overlays",))[1].values()) == {"overlays asked for"}
    assert perform(study, out, pictures=("overlays",))[1] == {}
    (out / "overlays" / "P01_visit-2_front.jpg").unlink()
    assert perform(study, out, pictures=("overlays",))[1] == {"P01/visit-2": "overlays gone"}


def test_a_ledger_of_another_format_is_refused(out):
    _ask(out, "UPDATE facts SET value = '99'")
    with pytest.raises(OutputError, match=r"has format 99. Expected 1"):
        Ledger(out / "ledger.sqlite")


def test_what_is_no_ledger_is_refused(tmp_path):
    (tmp_path / "ledger.sqlite").write_text("not a database, " * 100)
    with pytest.raises(OutputError, match="cannot be used"):
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
