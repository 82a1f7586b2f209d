"""`masi export`: what goes in comes out of every form, as another's library reads it."""

import io
import json

import pytest
from verbs import masi, table

from masi_vision.report.exports import RS, SOFTWARE

READS = """code,patient,visit,repeat_of,reader,stage,latest,forehead_area,forehead_darkness,mmasi,\
ungradable,locked_utc,protocol_sha256
AA,P1,v1,,anna,blind,0,2,3,1.8,,2026-05-01T10:00:00.000+00:00,f0
AA,P1,v1,,anna,blind,1,1,3,0.9,,2026-05-01T11:00:00.000+00:00,f0
BB,P1,v2,,anna,blind,1,,,,out of focus,2026-05-02T10:00:00.000+00:00,f0
CC,P1,v1,AA,anna,blind,1,2,2,1.2,,2026-05-03T10:00:00.000+00:00,f0
DD,P2,v1,,anna,blind,1,,,,,,
"""
SCORES = """patient,visit,status,reason,mmasi,masi,version,settings_sha256
P1,v1,scored,,1.5,,0.1.0,ab
P1,v2,not_scored,uneven_light,,,0.1.0,ab
"""
REGIONS = """patient,visit,region,area,darkness,homogeneity
P1,v1,forehead,1,2,3
P1,v1,nose,1,1,1
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    (folder / "reads.csv").write_text(READS)
    (folder / "results").mkdir()
    (folder / "results" / "scores.csv").write_text(SCORES)
    (folder / "results" / "regions.csv").write_text(REGIONS)
    parts = ["--reads", folder / "reads.csv", "--results", folder / "results", "--study", "MEL01"]
    done = masi("export", *parts, "--out", folder / "out")
    assert done.exit_code == 0, done.output
    again = masi("export", *parts, "--out", folder / "out")
    assert again.exit_code == 2
    assert "--overwrite" in again.output
    return folder / "out"


def test_the_long_table_has_every_locked_value_and_its_dictionary_every_column(exported):
    columns, rows = table(exported / "long.csv")
    _, meanings = table(exported / "dictionary.csv")
    assert columns == [row["column"] for row in meanings]
    anna = [row for row in rows if row["evaluator"] == "anna"]
    assert {row["patient"] for row in anna} == {"P1"}  # what is not locked is no read
    first = [
        (r["number"], r["stage"], r["value"]) for r in anna if (r["visit"], r["item"]) == ("v1", "mmasi")
    ]
    assert first == [("1", "blind", "1.8"), ("2", "blind", "0.9"), ("3", "blind, repeat", "1.2")]
    (lost,) = [row for row in anna if row["item"] == "not_done"]
    assert (lost["value"], lost["reason"]) == ("", "out of focus")
    ours = {
        (r["visit"], r["region"], r["item"]): r["value"] or r["reason"]
        for r in rows
        if r["evaluator"] == SOFTWARE
    }
    assert ours == {
        ("v1", "forehead", "area"): "1",
        ("v1", "forehead", "darkness"): "2",
        ("v1", "forehead", "homogeneity"): "3",
        ("v1", "", "mmasi"): "1.5",
        ("v2", "", "not_done"): "uneven_light",
    }


def test_redcap_takes_a_row_for_every_read_the_record_first(exported):
    columns, rows = table(exported / "redcap.csv")
    assert columns[:4] == [
        *("record_id", "redcap_event_name", "redcap_repeat_instrument", "redcap_repeat_instance")
    ]
    assert [row["redcap_repeat_instance"] for row in rows if row["redcap_event_name"] == "v1_arm_1"] == list(
        "1234"
    )
    assert {row["redcap_repeat_instrument"] for row in rows} == {"masi_read"}
    _, fields = table(exported / "redcap_dictionary.csv")
    known = {row["Variable / Field Name"] for row in fields}
    own = {name for name in columns if not name.startswith("redcap_") and name != "masi_read_complete"}
    assert own <= known | {"not_done"}
    bounds = {row["Variable / Field Name"]: row["Text Validation Max"] for row in fields}
    assert (bounds["forehead_area"], bounds["chin_darkness"], bounds["mmasi"]) == ("6", "4", "24")


def test_sdtm_rows_keep_to_its_lengths_and_number_within_a_patient(exported):
    columns, rows = table(exported / "rs.csv")
    assert columns == [name for name, _, _ in RS]
    assert [int(row["RSSEQ"]) for row in rows] == list(range(1, len(rows) + 1))
    assert all(len(row["RSTESTCD"]) <= 8 and len(row["RSTEST"]) <= 40 for row in rows)
    assert {row["USUBJID"] for row in rows} == {"MEL01-P1"}
    by = {(row["RSEVAL"], row["VISIT"], row["RSTESTCD"]): row for row in rows}
    assert by["ALGORITHM", "v1", "MMASI"]["RSSTRESN"] == "1.5"
    lost = by["ALGORITHM", "v2", "MASIALL"]
    assert (lost["RSSTAT"], lost["RSREASND"], lost["RSSTRESN"]) == ("NOT DONE", "uneven_light", "")
    assert "INDEPENDENT ASSESSOR" in {row["RSEVAL"] for row in rows}


def test_the_transport_file_is_read_back_as_it_was_written(exported):
    pyreadstat = pytest.importorskip("pyreadstat", reason="needs the extra exports")
    found, facts = pyreadstat.read_xport(str(exported / "rs.xpt"))
    assert facts.table_name == "RS"
    assert facts.column_names_to_labels["RSTESTCD"] == "Assessment Short Name"
    _, rows = table(exported / "rs.csv")
    assert list(found["RSTESTCD"]) == [row["RSTESTCD"] for row in rows]
    numbers = [float(row["RSSTRESN"]) if row["RSSTRESN"] else None for row in rows]
    assert [None if value != value else value for value in found["RSSTRESN"]] == numbers


def test_parquet_is_the_long_table_with_numbers_as_numbers(exported):
    pandas = pytest.importorskip("pandas", reason="needs the extra exports")
    pytest.importorskip("pyarrow", reason="needs the extra exports")
    found = pandas.read_parquet(exported / "long.parquet")
    text = pandas.read_csv(io.StringIO((exported / "long.csv").read_text()), keep_default_na=False)
    assert list(found.columns) == list(text.columns)
    assert found["value"].dtype == "float64"
    assert found["value"].isna().sum() == 2
    assert list(found["item"]) == list(text["item"])


def test_fhir_s_own_schema_takes_every_observation(exported):
    observation = pytest.importorskip(
        "fhir.resources.R4B.observation", reason="needs fhir.resources (dev)"
    ).Observation
    bundle = json.loads((exported / "fhir.json").read_text())
    seen = [observation.model_validate(entry["resource"]) for entry in bundle["entry"]]
    assert len(seen) == 6
    absent = [one for one in seen if one.dataAbsentReason]
    assert {one.dataAbsentReason.text for one in absent} == {"out of focus", "uneven_light"}
    values = {c.code.text: float(c.valueQuantity.value) for c in seen[0].component}
    assert values["Modified MASI, total"] == 1.8
    systems = {c.code.coding[0].system for one in seen for c in one.component or []}
    assert systems == {"urn:masi-vision:codes"}


def test_what_the_software_wrote_goes_in_as_it_is(tmp_path):
    """The results of `masi demo`: an open study."""
    done = masi("demo", "--out", tmp_path / "demo")
    assert done.exit_code == 0, done.output
    done = masi("export", "--results", tmp_path / "demo", "--study", "DEMO", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    _, scores = table(tmp_path / "demo" / "scores.csv")
    _, rows = table(tmp_path / "out" / "long.csv")
    assert [row["value"] for row in rows if row["item"] == "mmasi"] == [
        f"{float(s['mmasi']):g}" for s in scores
    ]


def test_tables_that_are_none_are_refused(tmp_path):
    (tmp_path / "reads.csv").write_text("code,reader\nAA,anna\n")
    done = masi("export", "--reads", tmp_path / "reads.csv", "--study", "S", "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert "lacks patient, visit" in done.output
    assert masi("export", "--study", "S", "--out", tmp_path / "out").exit_code == 2
    assert not (tmp_path / "out").exists()
