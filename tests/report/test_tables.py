"""The tables say what was measured, and nothing where nothing was."""

import csv
import io
import json
import re
from dataclasses import fields, replace
from pathlib import Path

import pytest

from masi_vision.config import load_settings
from masi_vision.csv_table import csv_text
from masi_vision.errors import REASON_CODES, MasiError
from masi_vision.pigment.measure import RegionMeasure
from masi_vision.report.tables import (
    REGION_COLUMNS,
    REGIONS,
    SCORE_COLUMNS,
    TABLES,
    RunFacts,
    models_hash,
    percent_text,
    refusals,
    run_record,
    visit_rows,
    write_tables,
)
from masi_vision.scale import ABSENT, RegionGrade
from masi_vision.visit.region import RegionResult
from masi_vision.visit.score import PhotoScore, Provenance, Scores, VisitScore
from masi_vision.written import json_text, write_file

DOCS = Path(__file__).parents[2] / "docs" / "outputs.md"
PROVENANCE = Provenance(
    "0.1.0", "5e77", "shipped", {"b.onnx": "22", "a.onnx": "11"}, "atlas-1", "classical-1"
)
MEASURE = RegionMeasure(0.9, 0.4, 0.08, 6.25, 9.5, 0.7, 28.123456, 0.35, 0.45, 0.078, 0.083, 0.03, 0.1)
REGION = RegionResult("front", MEASURE, RegionGrade(3, 2, 3))
FREE = RegionResult("front", replace(MEASURE, pigmented_fraction=0.0, contrast_od=0.0), ABSENT)
HIDDEN = RegionResult("front", replace(MEASURE, visible_fraction=0.2), None, ("region_hidden",))
NOSE = RegionResult("front", MEASURE, None)
SCORES = Scores(6.0, 15.0, 6.1234, 15.5, 4.0, 8.4)


def photo(view="front", status="scored", reason=None, message="", sha256="ab12"):
    return PhotoScore(
        name=f"{view}.jpg",
        view=view,
        reason=reason,
        message=message,
        scores=SCORES if status == "scored" else None,
        regions={},
        provenance=PROVENANCE,
        photo_sha256=sha256,
        measures=None,
    )


FRONT = photo()


def scored(patient="P1", visit="V1", photos=(FRONT,)):
    regions = {"forehead": REGION, "right_malar": REGION, "left_malar": REGION, "chin": FREE, "nose": NOSE}
    return VisitScore(
        patient=patient,
        visit=visit,
        reason=None,
        message="",
        scores=SCORES,
        regions=regions,
        photos=photos,
        provenance=PROVENANCE,
    )


def refused(reason="no_face", message="No face was found. Look again.", photos=None, visit="V2"):
    photos = (photo(status="not_scored", reason=reason, message=message),) if photos is None else photos
    return VisitScore(
        patient="P1",
        visit=visit,
        reason=reason,
        message=message,
        scores=None,
        regions={},
        photos=photos,
        provenance=PROVENANCE,
    )


def facts(**changes):
    settings = load_settings()
    return replace(
        RunFacts(settings, PROVENANCE, "finished", 2, "2026-01-02T03:04:05+00:00", 1.234, {"numpy": "2"}),
        **changes,
    )


def read(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_a_scored_visit_has_its_scores_in_fixed_decimals():
    row = visit_rows(scored()).score
    assert tuple(row) == SCORE_COLUMNS
    assert (row["patient"], row["visit"], row["status"], row["reason"]) == ("P1", "V1", "scored", "")
    assert (row["mmasi"], row["masi"], row["mmasi_low"], row["mmasi_high"]) == ("6.0", "15.0", "4.0", "8.4")
    assert (row["mmasi_continuous"], row["masi_continuous"]) == ("6.123", "15.500")


def test_a_visit_that_was_not_scored_has_blanks_and_no_zero():
    rows = visit_rows(refused())
    assert {rows.score[name] for name in SCORE_COLUMNS if "masi" in name} == {""}
    assert {row["flag"] for row in rows.regions} == {"no_face"}
    blank = set(REGION_COLUMNS) - {"patient", "visit", "region", "flag"}
    assert {row[name] for row in rows.regions for name in blank} == {""}


def test_skin_free_of_melasma_is_zero_and_hidden_skin_is_blank():
    result = scored()
    result = replace(result, regions={**result.regions, "forehead": HIDDEN})
    rows = {row["region"]: row for row in visit_rows(result).regions}
    assert (rows["chin"]["area"], rows["chin"]["pigmented_fraction"]) == ("0", "0.00000")
    assert (rows["forehead"]["area"], rows["forehead"]["flag"]) == ("", "region_hidden")
    assert rows["forehead"]["visible_fraction"] == "0.20000"
    assert rows["upper_lip"]["visible_fraction"] == ""


def test_every_visit_has_six_rows_of_regions_in_one_order():
    for result in (scored(), refused()):
        assert [row["region"] for row in visit_rows(result).regions] == list(REGIONS)
        assert all(set(row) == set(REGION_COLUMNS) for row in visit_rows(result).regions)


def test_every_measure_of_a_region_has_its_column():
    assert {field.name for field in fields(RegionMeasure)} <= set(REGION_COLUMNS)
    assert {"area", "darkness", "homogeneity"} <= set(REGION_COLUMNS)


def test_provenance_names_photos_models_and_settings():
    row = visit_rows(scored(photos=(FRONT, photo("left", sha256=None)))).score
    assert row["photos"] == "front=front.jpg;left=left.jpg"
    assert row["photos_sha256"] == "front=ab12;left="
    assert (
        row["models_sha256"] == models_hash({"a.onnx": "11", "b.onnx": "22"}) != models_hash({"a.onnx": "11"})
    )


@pytest.mark.parametrize("name", ["=2+3", "+1", "-1", "@me", "\tx"])
def test_a_name_that_a_spreadsheet_would_run_is_text_in_csv_and_itself_in_json(name):
    rows = visit_rows(scored(visit=name))
    assert rows.score["visit"] == rows.regions[0]["visit"] == f"'{name}"
    assert rows.nested["visit"] == name


def test_odd_names_come_back_as_they_were():
    names = ['a "b", c', "王芳", "ünï;x", " lead", "a\nb"]
    text = csv_text(SCORE_COLUMNS, [visit_rows(scored(visit=name)).score for name in names])
    assert [row["visit"] for row in read(text)] == names
    assert "\r" not in text


def test_a_number_just_below_zero_is_no_minus_zero():
    region = replace(REGION, measure=replace(MEASURE, contrast_delta_l=-0.000001, normal_ita_deg=-12.5))
    row = visit_rows(replace(scored(), regions={"forehead": region})).regions[0]
    assert (row["contrast_delta_l"], row["normal_ita_deg"]) == ("0.00000", "-12.50000")


def test_json_refuses_what_is_no_number():
    with pytest.raises(ValueError, match="JSON"):
        json_text([float("nan")])


def test_the_run_counts_and_names_what_was_refused():
    visits = [visit_rows(scored(), ["x.jpg was passed over."]), visit_rows(refused())]
    record = run_record(facts(), visits)
    assert record["counts"] == {
        "visits_found": 2,
        "scored": 1,
        "not_scored": 1,
        "not_scored_by_reason": {"no_face": 1},
    }
    assert record["refused"] == [
        {
            "patient": "P1",
            "visit": "V2",
            "view": None,
            "reason": "no_face",
            "message": "No face was found. Look again.",
        }
    ]
    assert record["remarks"] == [{"patient": "P1", "visit": "V1", "remark": "x.jpg was passed over."}]
    assert record["inputs"][0] == {
        "patient": "P1",
        "visit": "V1",
        "view": "front",
        "photo": "front.jpg",
        "sha256": "ab12",
    }
    assert record["settings_sha256"] == load_settings().sha256


def test_a_refused_side_view_of_a_scored_visit_is_told():
    left = photo("left", "not_scored", "pose", "The head is turned 80 degrees.")
    told = list(refusals(visit_rows(scored(photos=(FRONT, left, photo("right")))).nested))
    assert told == [{"view": "left", "reason": "pose", "message": "The head is turned 80 degrees."}]


def test_the_tables_are_written_whole_and_the_same_again(tmp_path):
    visits = [visit_rows(scored()), visit_rows(refused())]
    write_tables(tmp_path, visits, facts())
    first = {name: (tmp_path / name).read_bytes() for name in TABLES}
    write_tables(tmp_path, visits, facts())
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == first
    assert [visit["status"] for visit in json.loads(first["scores.json"])] == ["scored", "not_scored"]
    assert len(read(first["regions.csv"].decode())) == 12


def test_no_date_and_no_time_stands_beside_a_score(tmp_path):
    write_tables(tmp_path, [visit_rows(scored())], facts())
    for name in ("scores.csv", "regions.csv", "scores.json"):
        assert not re.search(r"20\d\d-\d\d|\d\d:\d\d", (tmp_path / name).read_text())


def test_a_failed_write_leaves_the_old_table_and_says_what_to_do(tmp_path, monkeypatch):
    table = tmp_path / "scores.csv"
    write_file(table, "old")

    def full(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(
        MasiError, match=r"scores\.csv cannot be written \(no space left on device\)\. Expected"
    ):
        write_file(table, "new")
    assert [file.read_text() for file in tmp_path.iterdir()] == ["old"]


def test_the_manual_explains_every_column_reason_file_and_key():
    manual = DOCS.read_text(encoding="utf-8")
    keys = run_record(facts(), [])
    named = set(re.findall(r"`([^`]+)`", manual))
    for word in (*SCORE_COLUMNS, *REGION_COLUMNS, *REGIONS, *REASON_CODES, *TABLES, *keys, *keys["counts"]):
        assert word in named, f"docs/outputs.md does not explain {word}"


@pytest.mark.parametrize(
    ("share", "told"),
    [(0.0, "0%"), (0.003, "<1%"), (0.0979, "9%"), (0.29, "29%"), (0.29996, "29%"), (1.0, "100%")],
)
def test_a_share_is_rounded_down_as_its_grade_is(share, told):
    assert percent_text(share) == told
