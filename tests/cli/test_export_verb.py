"""`masi export`: what goes in comes out of every form, as another's library reads it."""

import errno
import io
import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from camera_raw import dng
from verbs import masi, table

from masi_vision.face.atlas import Subunit
from masi_vision.phantom.demo import demo_folder
from masi_vision.photo import read_photo
from masi_vision.report.exports import SOFTWARE, csv_of, values_of_scores
from masi_vision.report.fhir import fhir_bundle
from masi_vision.report.redcap import event_name
from masi_vision.report.sdtm import RS, not_for_transport
from masi_vision.scale import MASI_REGIONS
from masi_vision.shipped import shipped_file

GRADES = [f"{region}_{item}" for region in MASI_REGIONS for item in ("area", "darkness")]
COLUMNS = [
    *("code", "patient", "visit", "repeat_of", "reader", "stage", "latest", "mmasi", "ungradable", "comment"),
    *("locked_utc", "protocol_sha256", *GRADES),
]


def reads_csv(*rows, columns=COLUMNS):
    """A table of reads as the reading page writes it; grades are those of the forehead, others 0."""
    lines = []
    for code, patient, visit, repeat_of, latest, area, darkness, mmasi, why, comment, utc in rows:
        rest = ["0", ""] * 3 if area else [""] * 6
        cells = [code, patient, visit, repeat_of, "anna", "blind", latest, mmasi, why, comment, utc, "f0"]
        lines.append(",".join([*cells, area, darkness, *rest]))
    return "\n".join([",".join(columns), *lines]) + "\n"


READS = reads_csv(
    ("AA", "P1", "v1", "", "0", "2", "3", "1.8", "", "", "2026-05-01T10:00:00.000+00:00"),
    ("AA", "P1", "v1", "", "1", "1", "3", "0.9", "", "", "2026-05-01T11:00:00.000+00:00"),
    ("BB", "P1", "v2", "", "1", "", "", "", "out of focus", "", "2026-05-02T10:00:00.000+00:00"),
    ("CC", "P1", "v1", "AA", "1", "2", "2", "1.2", "", "", "2026-05-03T10:00:00.000+00:00"),
    ("DD", "P2", "v1", "", "1", "", "", "", "", "", ""),
)
SCORES = """patient,visit,status,reason,mmasi,masi,version,settings_sha256,models,models_sha256
P1,v1,scored,,0.6,,0.1.0,ab,clinic,0123456789abcdef
P1,v2,not_scored,uneven_light,,,0.1.0,ab,clinic,0123456789abcdef
"""
REGIONS = """patient,visit,region,area,darkness,homogeneity
P1,v1,forehead,1,2,3
P1,v1,right_malar,0,0,0
P1,v1,left_malar,0,0,0
P1,v1,chin,0,0,0
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
    assert first == [("1", "blind, superseded", "1.8"), ("2", "blind", "0.9"), ("3", "blind, repeat", "1.2")]
    (lost,) = [row for row in anna if row["item"] == "not_done"]
    assert (lost["value"], lost["reason"]) == ("", "out of focus")
    ours = {
        (r["visit"], r["region"], r["item"]): r["value"] or r["reason"]
        for r in rows
        if r["evaluator"] == SOFTWARE and r["value"] != "0"
    }
    assert ours == {
        ("v1", "forehead", "area"): "1",
        ("v1", "forehead", "darkness"): "2",
        ("v1", "forehead", "homogeneity"): "3",
        ("v1", "", "mmasi"): "0.6",
        ("v1", "", "masi"): "1.5",
        ("v2", "", "not_done"): "uneven_light",
    }


@pytest.mark.skipif(os.name != "posix", reason="rights of files are POSIX's")
def test_no_file_is_for_others_on_the_machine_to_read(exported):
    rights = {file.name: oct(file.stat().st_mode & 0o777) for file in exported.iterdir()}
    assert set(rights.values()) == {"0o600"}, rights


def test_a_library_that_fails_leaves_no_half_of_a_file(tmp_path, monkeypatch):
    pyreadstat = pytest.importorskip("pyreadstat", reason="needs the extra exports")

    def fail(_, path, **how):
        Path(path).write_text("HEADER RECORD")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pyreadstat, "write_xport", fail)
    code, words = export_of(tmp_path, READS)
    assert code == 2
    assert "rs.xpt cannot be written" in words
    there = {file.name for file in (tmp_path / "out").iterdir()}
    assert "long.parquet" in there
    assert not {name for name in there if "xpt" in name}


def test_scores_say_which_models_made_them_in_every_form(exported):
    said = "masi_vision 0.1.0 ab, models clinic 01234567"
    long = {row["made_with"] for row in table(exported / "long.csv")[1] if row["evaluator"] == SOFTWARE}
    redcap = {row["made_with"] for row in table(exported / "redcap.csv")[1] if row["evaluator"] == SOFTWARE}
    resources = [one["resource"] for one in json.loads((exported / "fhir.json").read_text())["entry"]]
    fhir = {one["method"]["text"] for one in resources if one["performer"] == [{"display": SOFTWARE}]}
    assert (long, redcap, fhir) == ({said}, {said}, {f"ALGORITHM {said}"})


def test_scores_that_were_made_in_two_ways_are_not_exported_as_one(tmp_path):
    second = "P1,v2,scored,,0.6,,0.1.0,ab,clinic,fedcba9876543210"
    (tmp_path / "scores.csv").write_text("\n".join([*SCORES.splitlines()[:2], second]) + "\n")
    lines = REGIONS.splitlines()
    (tmp_path / "regions.csv").write_text(
        "\n".join([*lines, *(line.replace(",v1,", ",v2,") for line in lines[1:])]) + "\n"
    )
    asked = ["export", "--results", tmp_path, "--study", "S", "--out", tmp_path / "out"]
    done = masi(*asked)
    assert done.exit_code == 2
    told = " ".join(done.output.split())
    assert "The rows of scores.csv were made in 2 ways, which do not compare: 1 by masi_vision 0.1.0" in told
    assert "Expected one models_sha256 in all of them." in told
    assert not (tmp_path / "out").exists()
    table_of_one = (tmp_path / "scores.csv").read_text().replace("fedcba9876543210", "0123456789abcdef")
    (tmp_path / "scores.csv").write_text(table_of_one)
    assert masi(*asked).exit_code == 0


def test_redcap_takes_a_row_for_every_read_the_record_first(exported):
    columns, rows = table(exported / "redcap.csv")
    assert columns[:4] == [
        *("record_id", "redcap_event_name", "redcap_repeat_instrument", "redcap_repeat_instance")
    ]
    first = [row["redcap_repeat_instance"] for row in rows if row["redcap_event_name"] == "v1_arm_1"]
    assert first == ["1", "2", "3", "1001"]
    assert {row["redcap_repeat_instrument"] for row in rows} == {"masi_read"}
    order, fields = table(exported / "redcap_dictionary.csv")
    assert [order.index(name) for name in ("Field Type", "Field Label", "Text Validation Max")] == [3, 4, 9]
    assert len(order) == 18  # REDCap reads them by their place
    notes = {row["Variable / Field Name"] for row in fields if row["Field Type"] == "notes"}
    assert notes == {"not_done", "comment"}  # a reader's words may have line breaks
    assert {row["Field Type"] for row in fields} == {"text", "notes"}
    known = {row["Variable / Field Name"] for row in fields}
    own = {name for name in columns if not name.startswith("redcap_") and name != "masi_read_complete"}
    assert own == known
    bounds = {row["Variable / Field Name"]: row["Text Validation Max"] for row in fields}
    assert (bounds["forehead_area"], bounds["chin_darkness"], bounds["mmasi"]) == ("6", "4", "24")


@pytest.mark.parametrize(
    ("visit", "event"),
    [
        ("visit-1", "visit1"),
        ("Week 12", "week_12"),
        ("V 1 ", "v_1"),
        ("Follow-up visit week 12", "followup_visit_wee"),
        ("after 6 months of _ all", "after_6_months_of"),
        ("基线", ""),
    ],
)
def test_events_are_called_as_redcap_calls_them(visit, event):
    """By its own rule, `Project.getUniqueEventNames`."""
    assert event_name(visit) == event


def export_of(folder, reads, *, study="S"):
    """`masi export` of a table of reads; what it says, on one line."""
    (folder / "reads.csv").write_text(reads, encoding="utf-8")
    done = masi("export", "--reads", folder / "reads.csv", "--study", study, "--out", folder / "out")
    return done.exit_code, " ".join(done.output.split())


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [("v1", "v-1", "'v1' and 'v-1' are one event"), ("基线", "v1", "'基线' is no event")],
)
def test_visits_that_redcap_cannot_tell_apart_leave_it_out_alone(tmp_path, first, second, said):
    code, words = export_of(tmp_path, READS.replace(",v1,", f",{first},").replace(",v2,", f",{second},"))
    assert code == 1
    assert said in words
    assert "Import redcap.csv" not in words
    made = {file.name for file in (tmp_path / "out").iterdir()}
    assert "redcap.csv" not in made
    assert {"long.csv", "rs.csv", "fhir.json"} <= made


def test_a_later_export_has_the_instances_of_the_one_before_and_more(tmp_path):
    later = ("AB", "P1", "v1", "", "1", "3", "3", "2.7", "", "", "2026-06-01T10:00:00.000+00:00")
    more = reads_csv(later).splitlines()[1].replace(",anna,", ",aaron,")
    found = []
    for number, text in enumerate((READS, READS.replace("\n", f"\n{more}\n", 1))):
        (tmp_path / str(number)).mkdir()
        assert export_of(tmp_path / str(number), text)[0] == 0
        _, rows = table(tmp_path / str(number) / "out" / "redcap.csv")
        found.append({row["locked_utc"]: row["redcap_repeat_instance"] for row in rows})
    assert found[0].items() < found[1].items()
    assert found[1]["2026-06-01T10:00:00.000+00:00"] == "4"


def test_reads_of_one_moment_are_numbered_as_ever(tmp_path):
    """A table without locked_utc: first reads before repeats, whichever row is first."""
    rows = [
        (code, "P1", "v1", repeat_of, "1", "2", "3", "1.8", "", "", "")
        for code, repeat_of in (("AA", ""), ("BB", "AA")) * 2
    ]
    lines = reads_csv(*rows).replace(",locked_utc", ",noted").splitlines()
    lines[3:] = [line.replace(",anna,", ",ben,") for line in lines[3:]]
    assert export_of(tmp_path, "\n".join(lines) + "\n")[0] == 0
    _, made = table(tmp_path / "out" / "redcap.csv")
    found = {(row["evaluator"], row["stage"]): row["redcap_repeat_instance"] for row in made}
    assert [found[who, what] for what in ("blind", "blind, repeat") for who in ("anna", "ben")] == list(
        "1234"
    )


@pytest.mark.parametrize("known", [True, False])
def test_instances_stay_though_the_clock_was_set_back(tmp_path, known):
    """Ben locks after anna and a correction of hers after both, by a clock that is then behind."""
    columns = [*COLUMNS, "trail_row"]
    utc = ["2027-01-05", "2026-12-01", "2026-12-02"]
    area = ["3", "5", "4"]
    rows = [
        ("AA", "P1", "v1", "", latest, area[n], "2", "", "", "", f"{utc[n]}T10:00:00.000+00:00")
        for n, latest in enumerate("011")
    ]
    lines = reads_csv(*rows).splitlines()[1:]
    lines[1] = lines[1].replace(",anna,", ",ben,")
    numbers = ["11", "30", "107"] if known else [""] * 3
    lines = [f"{line},{number}" for line, number in zip(lines, numbers, strict=True)]
    found = []
    for count in (1, 2, 3):
        (tmp_path / str(count)).mkdir()
        latest = lines[0] if count == 3 else lines[0].replace(",blind,0,", ",blind,1,")
        text = "\n".join([",".join(columns), *lines[1:count][::-1], latest]) + "\n"
        assert export_of(tmp_path / str(count), text)[0] == 0
        _, made = table(tmp_path / str(count) / "out" / "redcap.csv")
        found.append({row["locked_utc"][:10]: row["redcap_repeat_instance"] for row in made})
    in_order = dict(zip(utc, "123", strict=True))
    assert (found[2] == in_order) is known
    assert (found[0].items() <= found[1].items() <= found[2].items()) is known


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (",1.8,", ",99,", "mmasi is '99'. Expected a number with a decimal point from 0 to 24"),
        (",1.8,", ',"1,8",', "mmasi is '1,8'"),
        (",2,3,0", ",17,3,0", "forehead_area is '17'. Expected a whole number from 0 to 6"),
        ("chin_darkness", "chin darkness", "lacks chin_darkness"),
        (",out of focus,", ",,", "P1 v2 by anna: neither a grade nor a reason"),
    ],
)
def test_what_is_no_grade_is_named_and_nothing_is_left_out_unsaid(tmp_path, old, new, said):
    assert old in READS
    code, words = export_of(tmp_path, READS.replace(old, new))
    assert code == 2
    assert said in words
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("missing", ["NA", "NaN", "."])
def test_what_other_programs_write_for_nothing_is_nothing(tmp_path, missing):
    assert export_of(tmp_path, READS.replace(",1.8,", f",{missing},"))[0] == 0
    _, rows = table(tmp_path / "out" / "long.csv")
    # A total that the table lacks is that of the grades.
    assert [row["value"] for row in rows if row["item"] == "mmasi"] == ["1.8", "0.9", "1.2"]


def test_reads_with_a_row_for_every_region_are_the_same_reads(tmp_path):
    grades = {"forehead": "2,3", "right_malar": "0,", "left_malar": "1,1", "chin": "0,"}
    rows = [f"P1,v1,anna,{region},{given}" for region, given in grades.items()]
    assert export_of(tmp_path, "\n".join(["patient,visit,reader,region,area,darkness", *rows]))[0] == 0
    _, found = table(tmp_path / "out" / "long.csv")
    assert [(row["region"], row["item"], row["value"]) for row in found] == [
        *(("forehead", "area", "2"), ("forehead", "darkness", "3"), ("right_malar", "area", "0")),
        *(("left_malar", "area", "1"), ("left_malar", "darkness", "1"), ("chin", "area", "0")),
        ("", "mmasi", "2.1"),
    ]


def test_two_people_of_one_number_are_no_one_subject(tmp_path):
    """As where the reads, or the scores, of two centres' coded sets were joined."""
    other = "EE,P1,v1,,anna,blind,1,0.9,,,2026-05-01T12:00:00.000+00:00,f0,1,3,0,,0,,0,\n"
    code, words = export_of(tmp_path, READS + other)
    assert (code, (tmp_path / "out").exists()) == (2, False)
    assert "reads.csv has two reads of P1 v1 by anna. Expected one" in words
    long = "patient,visit,reader,region,area,darkness\n" + "P1,v1,anna,chin,2,3\n" * 2
    assert "two reads of P1 v1, chin, by anna" in export_of(tmp_path, long)[1]
    assert export_of(tmp_path, READS + other.replace("blind", "with_software"))[0] == 0
    (tmp_path / "results").mkdir(exist_ok=True)
    (tmp_path / "results" / "scores.csv").write_text(
        SCORES + "P1,v1,scored,,0.6,,0.1.0,ab,clinic,0123456789abcdef\n"
    )
    (tmp_path / "results" / "regions.csv").write_text(REGIONS)
    done = masi("export", "--results", tmp_path / "results", "--study", "S", "--out", tmp_path / "again")
    assert (done.exit_code, (tmp_path / "again").exists()) == (2, False)
    assert "two reads of P1 v1 by the software" in " ".join(done.output.split())


def test_a_region_that_is_none_is_named(tmp_path):
    code, words = export_of(tmp_path, "patient,visit,reader,region,area,darkness\nP1,v1,anna,Chin,2,3\n")
    assert code == 2
    assert "has the region 'Chin'" in words


def test_a_last_read_is_the_last_however_programs_write_it(tmp_path):
    assert export_of(tmp_path, READS.replace(",blind,1,", ",blind,1.0,"))[0] == 0
    _, rows = table(tmp_path / "out" / "long.csv")
    assert {row["stage"] for row in rows} == {"blind", "blind, superseded", "blind, repeat"}


def test_a_comment_is_kept_and_says_what_other_was(tmp_path):
    text = READS.replace(",out of focus,,", ",other,beard shaved off,")
    assert export_of(tmp_path, text)[0] == 0
    _, rows = table(tmp_path / "out" / "rs.csv")
    assert "other: beard shaved off" in {row["RSREASND"] for row in rows}
    resources = [one["resource"] for one in json.loads((tmp_path / "out" / "fhir.json").read_text())["entry"]]
    assert [one["note"] for one in resources if "note" in one] == [[{"text": "beard shaved off"}]]


def test_what_a_transport_file_cannot_hold_leaves_it_out_alone(tmp_path):
    pytest.importorskip("pyreadstat", reason="needs the extra exports")
    code, words = export_of(tmp_path, READS.replace("anna", "René"))
    assert code == 1
    assert "No rs.xpt: RSGRPID of S-P1, v1, has letters beyond ASCII" in words
    assert not (tmp_path / "out" / "rs.xpt").exists()


def test_a_reason_goes_into_a_transport_file_on_one_line_and_no_further_than_it_takes(tmp_path):
    pyreadstat = pytest.importorskip("pyreadstat", reason="needs the extra exports")
    words = "beard\r\n\tand glasses\x07 " + "x" * 200
    code, said = export_of(tmp_path, READS.replace(",out of focus,,", f',other,"{words}",'))
    assert code == 0, said
    assert "1 rows of rs.xpt have the first 200 characters of their reason; rs.csv has all." in said
    found, _ = pyreadstat.read_xport(str(tmp_path / "out" / "rs.xpt"))
    (lost,) = [reason for reason in found["RSREASND"] if reason]
    assert lost == ("other: beard and glasses " + "x" * 200)[:200]
    _, rows = table(tmp_path / "out" / "rs.csv")
    assert "x" * 200 in {row["RSREASND"] for row in rows if row["RSREASND"]}.pop()


@pytest.mark.parametrize("study", ["", " ", "S" * 65, "a\\b"])
def test_a_study_without_a_name_that_registries_take_is_refused(tmp_path, study):
    code, words = export_of(tmp_path, READS, study=study)
    assert code == 2
    assert "Expected its identifier" in words


def export_of_visit(folder, reason, *regions):
    """`masi export` of one visit without a score."""
    (folder / "scores.csv").write_text(f"patient,visit,status,reason,mmasi\nP1,v1,not_scored,{reason},\n")
    lines = ["patient,visit,region,area,darkness", *(f"P1,v1,{one}" for one in regions)]
    (folder / "regions.csv").write_text("\n".join(lines) + "\n")
    done = masi("export", "--results", folder, "--study", "S 1", "--out", folder / "out")
    assert done.exit_code == 0, done.output
    return folder / "out"


def test_numbers_stay_numbers_where_there_is_none(tmp_path):
    pyreadstat = pytest.importorskip("pyreadstat", reason="needs the extra exports")
    _, facts = pyreadstat.read_xport(str(export_of_visit(tmp_path, "no_face") / "rs.xpt"))
    assert facts.readstat_variable_types["RSSTRESN"] == "double"


def test_grades_of_a_visit_that_has_no_score_are_there(tmp_path):
    out = export_of_visit(tmp_path, "region_hidden", "forehead,2,3", "chin,,")
    _, rows = table(out / "rs.csv")
    assert [(row["RSTESTCD"], row["RSSTRESC"], row["RSREASND"]) for row in rows] == [
        *(("AREAF", "2", ""), ("DARKF", "3", "")),
        *(
            (f"{item}{place}", "", "region_hidden")
            for place in ("RM", "LM", "C")
            for item in ("AREA", "DARK")
        ),
        ("MMASI", "", "region_hidden"),
    ]
    assert {row["RSSTAT"] for row in rows if not row["RSSTRESC"]} == {"NOT DONE"}
    resource = json.loads((out / "fhir.json").read_text())["entry"][0]["resource"]
    assert "dataAbsentReason" not in resource
    told = {one["code"]["coding"][0]["code"]: one for one in resource["component"]}
    assert told["AREAF"]["valueQuantity"]["value"] == 2
    assert "dataAbsentReason" not in told["AREAF"]
    for code in ("AREAC", "DARKC", "MMASI"):
        assert told[code]["dataAbsentReason"]["text"] == "region_hidden"
        assert "valueQuantity" not in told[code]
    (row,) = table(out / "redcap.csv")[1]
    assert (row["forehead_area"], row["chin_area"], row["not_done"]) == ("2", "", "region_hidden")
    assert resource["subject"]["identifier"]["system"] == "urn:masi-vision:study:S%201"


def test_what_is_doubtful_about_a_score_goes_with_it(tmp_path):
    grades = [f"{region},1,1" for region in ("right_malar", "left_malar", "chin")]
    scores = "patient,visit,status,reason,mmasi,mmasi_low,mmasi_high,quality"
    (tmp_path / "scores.csv").write_text(f"{scores}\nP1,v1,scored,,1.0,0.2,3.4,accepted\n")
    lines = ["patient,visit,region,area,darkness,flag", "P1,v1,forehead,1,1,accepted;undecided"]
    (tmp_path / "regions.csv").write_text("\n".join([*lines, *(f"P1,v1,{one}," for one in grades)]) + "\n")
    done = masi("export", "--results", tmp_path, "--study", "S", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    said = "mMASI 90 % 0.2 to 3.4; quality accepted; forehead accepted, undecided"
    assert {row["comment"] for row in table(tmp_path / "out" / "long.csv")[1]} == {said}
    resource = json.loads((tmp_path / "out" / "fhir.json").read_text())["entry"][0]["resource"]
    assert resource["note"] == [{"text": said}]
    _, rows = table(tmp_path / "out" / "rs.csv")
    by = {row["RSTESTCD"]: row for row in rows}
    assert (by["AREARM"]["RSLOC"], by["AREARM"]["RSLAT"]) == ("MALAR REGION", "RIGHT")
    assert (by["AREAF"]["RSLOC"], by["AREAF"]["RSLAT"]) == ("FOREHEAD", "")
    assert (by["MMASI"]["RSDRVFL"], by["AREAF"]["RSDRVFL"]) == ("Y", "")


@pytest.mark.parametrize(
    ("patient", "said"),
    [("1", "patient '1' of reads.csv is '001' in scores.csv"), ("P9", "share no visit: P9/v1 was read")],
)
def test_reads_of_other_patients_than_the_results_are_refused(tmp_path, patient, said):
    (tmp_path / "scores.csv").write_text("patient,visit,status,reason,mmasi\n001,v1,not_scored,no_face,\n")
    (tmp_path / "regions.csv").write_text("patient,visit,region,area,darkness\n")
    grades = [f"{region}_{item}" for region in MASI_REGIONS for item in ("area", "darkness")]
    header = ",".join(["reader", "patient", "visit", *grades])
    (tmp_path / "reads.csv").write_text(f"{header}\nanna,{patient},v1{',1' * len(grades)}\n")
    tables = ["--reads", tmp_path / "reads.csv", "--results", tmp_path]
    done = masi("export", *tables, "--study", "S", "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert said in " ".join(done.output.split())


def test_sdtm_rows_keep_to_its_lengths_and_number_within_a_patient(exported):
    columns, rows = table(exported / "rs.csv")
    assert columns == [name for name, _, _ in RS]
    assert [int(row["RSSEQ"]) for row in rows] == list(range(1, len(rows) + 1))
    assert all(len(row["RSTESTCD"]) <= 8 and len(row["RSTEST"]) <= 40 for row in rows)
    assert {row["USUBJID"] for row in rows} == {"MEL01-P1"}
    by = {(row["RSEVAL"], row["VISIT"], row["RSTESTCD"]): row for row in rows}
    assert by["ALGORITHM", "v1", "MMASI"]["RSSTRESN"] == "0.6"
    lost = by["ALGORITHM", "v2", "RSALL"]
    assert lost["RSTEST"] == "Disease Response and Clin Classification"
    assert (lost["RSSTAT"], lost["RSREASND"], lost["RSSTRESN"]) == ("NOT DONE", "uneven_light", "")
    assert "INDEPENDENT ASSESSOR" in {row["RSEVAL"] for row in rows}
    kinds = [row["RSSCAT"] for row in rows if (row["RSEVALID"], row["RSTESTCD"]) == ("anna", "MMASI")]
    assert kinds[:3] == [
        "BLIND, SUPERSEDED",
        "BLIND",
        "BLIND, REPEAT",
    ]  # what an analysis takes is BLIND alone
    assert by["ALGORITHM", "v1", "MMASI"]["RSSCAT"] == "SOFTWARE"


def test_the_columns_of_sdtm_stand_in_the_order_of_its_findings():
    names = [name for name, _, _ in RS]
    order = ["RSSTAT", "RSREASND", "RSLOC", "RSLAT", "RSDRVFL", "RSEVAL", "RSEVALID"]
    assert names[names.index("RSSTAT") :][: len(order)] == order
    assert {name: label for name, label, _ in RS}["RSSCAT"] == "Subcategory"


def test_only_what_was_told_is_an_original_result_of_sdtm_s(tmp_path):
    """A MASI is told with grades that lack its homogeneity; the mMASI is made of them."""
    head = ["patient,visit,reader,mmasi,masi", *GRADES]
    assert export_of(tmp_path, f"{','.join(head)}\nP1,v1,anna,1.80,4.50,2,3,0,,0,,0,\n")[0] == 0
    found = {
        row["RSTESTCD"]: tuple(row[name] for name in ("RSORRES", "RSSTRESC", "RSSTRESN", "RSDRVFL"))
        for row in table(tmp_path / "out" / "rs.csv")[1]
    }
    assert found["MASI"] == ("4.50", "4.5", "4.5", "")
    assert found["MMASI"] == ("", "1.8", "1.8", "Y")
    assert found["AREAF"] == ("2", "2", "2", "")


def test_a_group_of_sdtm_s_is_one_read_of_a_patient(exported):
    _, rows = table(exported / "rs.csv")
    read = {}
    for row in rows:
        of = (row["USUBJID"], row["RSGRPID"])
        read.setdefault(of, set()).add((row["RSEVALID"], row["VISIT"], row["RSSCAT"]))
    assert all(len(one) == 1 for one in read.values()), read
    assert {group for _, group in read} == {
        *("anna-1-1", "anna-1-2", "anna-1-3", "anna-2-1"),
        *("ALGORITHM-1-1", "ALGORITHM-2-1"),
    }


def test_sdtm_numbers_visits_as_their_numbers_go(tmp_path):
    told = READS.replace(",v1,", ",week-4,").replace(",v2,", ",week-12,")
    export_of(tmp_path, told)
    _, rows = table(tmp_path / "out" / "rs.csv")
    assert {row["VISIT"]: row["VISITNUM"] for row in rows} == {"week-4": "1", "week-12": "2"}


def test_sdtm_numbers_visits_as_the_protocol_of_the_outcome_lists_them_and_says_so(tmp_path):
    pytest.importorskip("scipy", reason="needs the extra stats")
    told = READS.replace(",v1,", ",week-4,").replace(",v2,", ",end-of-treatment,")
    words = export_of(tmp_path, told)[1]
    assert "VISITNUM, by name: 1 end-of-treatment, 2 week-4. Expected the order of the trial" in words
    visits = {"baseline": "baseline", "primary": "end-of-treatment"}
    rules = shipped_file("configs", "outcome.yaml").read_text(encoding="utf-8")
    for key, name in visits.items():
        rules = re.sub(rf"(?m)^{key}: \S+", f"{key}: {name}", rules)
    rules = rules.replace("visits: null", "visits: [week-4, end-of-treatment]")
    (tmp_path / "mine.yaml").write_text(rules, encoding="utf-8")
    asked = ["--reads", tmp_path / "reads.csv", "--study", "S", "--protocol", tmp_path / "mine.yaml"]
    done = masi("export", *asked, "--out", tmp_path / "listed")
    assert done.exit_code == 0, done.output
    said = " ".join(done.stderr.split())
    assert "VISITNUM, as the protocol lists them, others by name: 1 baseline, 2 week-4, 3 end-of-" in said
    _, rows = table(tmp_path / "listed" / "rs.csv")
    assert {row["VISIT"]: row["VISITNUM"] for row in rows} == {"week-4": "2", "end-of-treatment": "3"}


def test_sdtm_numbers_visits_alike_whoever_is_left_out(tmp_path):
    own = ("EE", "P3", "v1-5", "", "1", "1", "3", "0.9", "", "", "2026-05-04T10:00:00.000+00:00")
    (tmp_path / "reads.csv").write_text(READS + reads_csv(own).splitlines()[1] + "\n")
    (tmp_path / "left.csv").write_text("patient\nP3\n")
    asked = ["--reads", tmp_path / "reads.csv", "--study", "S", "--without", tmp_path / "left.csv"]
    done = masi("export", *asked, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    _, rows = table(tmp_path / "out" / "rs.csv")
    assert {row["VISIT"]: row["VISITNUM"] for row in rows} == {"v1": "1", "v2": "3"}


def test_a_transport_file_holds_texts_of_200_characters_and_no_more():
    row = {"USUBJID": "S-P1", "VISIT": "v1", "RSSEQ": 1.0}
    assert not_for_transport([row | {"RSREASND": "x" * 200}]) == ""
    said = not_for_transport([row, row | {"RSREASND": "x" * 201}])
    assert said == "RSREASND of S-P1, v1, is longer than 200 characters"


def test_a_hidden_repeat_keeps_its_own_grades_and_a_number_of_its_own():
    unit = {"patient": "P1", "visit": "v1", "status": "scored", "reason": "", "darkness": ""}
    # The repeat stands first, as it may in a coded set.
    scores = [unit | {"code": "BB", "mmasi": "0.4", "repeat_of": "AA"}, unit | {"code": "AA", "mmasi": "0.2"}]
    regions = [
        unit | {"code": code, "region": region, "area": area if region == "chin" else "0", "darkness": "2"}
        for code, area in (("AA", "1"), ("BB", "2"))
        for region in MASI_REGIONS
    ]
    values = [one for one in values_of_scores(scores, regions) if one.region in ("", "chin")]
    found = [(one.item, one.text, one.stage, one.number) for one in values if one.item != "darkness"]
    assert found[:2] == [("area", "2", "repeat", 2), ("mmasi", "0.4", "repeat", 2)]
    assert found[2:] == [("area", "1", "", 1), ("mmasi", "0.2", "", 1)]


def test_a_total_that_its_grades_do_not_make_is_refused(tmp_path):
    code, words = export_of(tmp_path, READS.replace(",0.9,", ",9.9,"))
    assert code == 2
    assert "P1 v1 by anna: mmasi is 9.9, and its grades make 0.9." in words


def test_a_total_that_its_grades_miss_by_one_tenth_is_refused(tmp_path):
    """The least by which a total can be wrong; half of it may be rounding."""
    for total, said in (("6.05", 0), ("6.1", 2), ("5.9", 2)):
        read = ("AA", "P1", "v1", "", "1", "5", "4", total, "", "", "2026-05-01T10:00:00.000+00:00")
        (tmp_path / total).mkdir()
        code, words = export_of(tmp_path / total, reads_csv(read))
        assert code == said, words
        assert said == 0 or f"mmasi is {total}, and its grades make 6. Expected the same" in words


def test_a_total_that_is_rounded_to_a_whole_number_is_exported_as_the_grades_make_it(tmp_path):
    code, words = export_of(tmp_path, READS.replace(",1.8,", ",2,").replace(",0.9,", ",1,"))
    assert code in (0, 1), words
    told = [row["value"] for row in table(tmp_path / "out" / "long.csv")[1] if row["item"] == "mmasi"]
    assert {"1.8", "0.9"} <= set(told)
    assert not {"2", "1"} & set(told)


def test_a_read_that_lacks_a_grade_has_no_total_and_a_reason(tmp_path):
    told = READS.replace(",1,3,0,,0,,0,", ",1,3,0,,0,,,")
    code, words = export_of(tmp_path, told)
    assert code == 2
    assert "a total is there, and chin has no grade" in words
    assert export_of(tmp_path, told.replace(",0.9,", ",,"))[0] == 0
    _, rows = table(tmp_path / "out" / "long.csv")
    lost = {(row["region"], row["item"], row["value"]): row["reason"] for row in rows if row["reason"]}
    assert lost == {
        ("", "not_done", ""): "out of focus",
        ("chin", "area", ""): "not graded",
        ("chin", "darkness", ""): "not graded",
        ("", "mmasi", ""): "not graded: chin",
    }
    assert not [row for row in rows if (row["region"], row["item"]) == ("right_malar", "darkness")]  # clear


def test_a_homogeneity_that_one_region_lacks_is_a_blank_where_others_have_it(tmp_path):
    head = "patient,visit,reader,region,area,darkness,homogeneity"
    rows = [f"P1,v1,anna,{region},1,2,{'' if region == 'chin' else 3}" for region in MASI_REGIONS]
    assert export_of(tmp_path, "\n".join([head, *rows]))[0] == 0
    found = {(row["region"], row["item"]): row for row in table(tmp_path / "out" / "long.csv")[1]}
    assert len(found) == 14
    assert found["chin", "homogeneity"]["reason"] == "not graded"
    assert (found["", "masi"]["value"], found["", "masi"]["reason"]) == ("", "not graded: homogeneity")
    assert found["", "mmasi"]["value"] == "2"
    (row,) = table(tmp_path / "out" / "redcap.csv")[1]
    assert (row["mmasi"], row["not_done"]) == ("2", ""), "what has its score was done"


def test_a_region_that_was_not_graded_has_its_own_reason(tmp_path):
    head = "patient,visit,reader,region,area,darkness,ungradable"
    graded = [f"P1,v1,anna,{region},1,2," for region in ("right_malar", "left_malar")]
    export_of(tmp_path, "\n".join([head, *graded, "P1,v1,anna,forehead,1,,", "P1,v1,anna,chin,,,hidden"]))
    found = {(row["region"], row["item"]): row for row in table(tmp_path / "out" / "long.csv")[1]}
    assert found["forehead", "darkness"]["reason"] == "not graded"
    assert found["chin", "darkness"]["reason"] == found["chin", "area"]["reason"] == "hidden"


def test_the_software_s_regions_have_their_own_reasons(tmp_path):
    """The visit has one reason, of the first region that was refused."""
    why = {"forehead": "region_hidden", "chin": "other_view;clipped", "left_malar": "", "right_malar": ""}
    rows = [f"P1,v1,{region},{',,' if flag else '0,0,0'},{flag}" for region, flag in why.items()]
    regions = "\n".join(["patient,visit,region,area,darkness,homogeneity,flag", *rows])
    (tmp_path / "regions.csv").write_text(regions + "\n")
    told = "".join(line for line in SCORES.splitlines(keepends=True) if not line.startswith("P1,v2"))
    (tmp_path / "scores.csv").write_text(told.replace("scored,,0.6", "not_scored,region_hidden,"))
    done = masi("export", "--results", tmp_path, "--study", "S", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    found = {(row["region"], row["item"]): row for row in table(tmp_path / "out" / "long.csv")[1]}
    reasons = [found[region, "area"]["reason"] for region in ("forehead", "chin", "left_malar")]
    assert reasons == ["region_hidden", "clipped", ""]
    assert found["", "mmasi"]["reason"] == "region_hidden"
    assert "blanks with their reason" in " ".join(done.stdout.split())


def test_a_time_as_spreadsheets_write_it_is_refused(tmp_path):
    code, words = export_of(tmp_path, READS.replace("2026-05-01T11:00:00.000+00:00", "01.05.2026 11:00"))
    assert code == 2
    assert "locked_utc is '01.05.2026 11:00'. Expected a time, as 2026" in words


def test_what_is_left_out_is_said(tmp_path):
    said = export_of(tmp_path, READS)[1]
    assert "1 rows of reads.csv are not locked, and were left out." in said
    assert "Import redcap.csv with blank values overwriting" in said


def test_scores_without_all_their_regions_are_no_export(tmp_path):
    (tmp_path / "scores.csv").write_text(SCORES)
    (tmp_path / "regions.csv").write_text("".join(REGIONS.splitlines(keepends=True)[:3]))
    done = masi("export", "--results", tmp_path, "--study", "S", "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert "regions.csv has no grade of P1 v1, left_malar, chin" in " ".join(done.output.split())


def test_every_observation_has_an_address_of_its_own_that_stays(tmp_path):
    export_of(tmp_path, READS)
    first = json.loads((tmp_path / "out" / "fhir.json").read_text())["entry"]
    shutil.rmtree(tmp_path / "out")
    export_of(tmp_path, READS)
    assert json.loads((tmp_path / "out" / "fhir.json").read_text())["entry"] == first
    addresses = [one["fullUrl"] for one in first]
    assert len(set(addresses)) == len(addresses) == 4
    assert [one["resource"]["identifier"][0]["value"] for one in first] == addresses


def test_a_bundle_is_laid_out_as_json_is_one_read_at_a_time(exported):
    text = (exported / "fhir.json").read_text()
    assert text == json.dumps(json.loads(text), indent=1) + "\n"
    unit = {"patient": "P1", "status": "not_scored", "reason": "no_face", "mmasi": ""}
    values = list(values_of_scores([unit | {"visit": "v1"}, unit | {"visit": "v2"}], []))
    pieces = fhir_bundle([values[0], replace(values[1], item="mmasi", text="no number")], "S")
    assert ["v1" in next(pieces) for _ in range(2)] == [False, True]  # before the second read is looked at
    with pytest.raises(ValueError, match="no number"):
        next(pieces)


def test_a_table_of_many_rows_is_laid_out_in_pieces_under_one_header():
    pieces = list(csv_of(("number", "comment"), ({"number": n, "comment": "a\nb"} for n in range(2500))))
    assert 2 < len(pieces) < 2500
    assert "".join(pieces) == "number,comment\n" + "".join(f'{n},"a\nb"\n' for n in range(2500))


def test_a_name_that_a_spreadsheet_would_run_is_marked_but_where_a_registry_reads_it():
    rows = [{"patient": "=1+1", "value": -0.5}]
    assert "".join(csv_of(("patient", "value"), rows)) == "patient,value\n'=1+1,-0.5\n"
    assert "".join(csv_of(("patient", "value"), rows, as_it_is=True)) == "patient,value\n=1+1,-0.5\n"


def test_results_whose_patients_are_not_known_are_no_export(tmp_path):
    (tmp_path / "scores.csv").write_text("patient,visit,status,reason,mmasi\n,AAAA,scored,,1.2\n")
    (tmp_path / "regions.csv").write_text("patient,visit,region,area\n")
    done = masi("export", "--results", tmp_path, "--study", "S", "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert "a row without patient" in " ".join(done.output.split())
    assert not (tmp_path / "out").exists()


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
    whole = pytest.importorskip("fhir.resources.R4B.bundle").Bundle.model_validate(bundle)
    assert whole.type == "transaction"
    for entry in whole.entry:  # a later export posted again updates what the earlier one made
        (named,) = entry.resource.identifier
        assert (entry.request.method, entry.fullUrl) == ("PUT", named.value)
        assert entry.request.url == f"Observation?identifier={named.system}|{named.value}"
    assert [one.status for one in seen] == ["entered-in-error", *["final"] * 5]
    assert {one.effectiveDateTime for one in seen} == {None}  # when somebody read is not when the skin was so
    absent = [one for one in seen if one.dataAbsentReason]
    assert {one.dataAbsentReason.text for one in absent} == {"out of focus", "uneven_light"}
    assert {one.dataAbsentReason.coding[0].code for one in absent} == {"not-performed"}
    units = {(c.valueQuantity.system, c.valueQuantity.code) for c in seen[0].component if c.valueQuantity}
    assert units == {("http://unitsofmeasure.org", "{score}")}
    values = {c.code.text: float(c.valueQuantity.value) for c in seen[0].component if c.valueQuantity}
    assert values["Modified MASI, total"] == 1.8
    systems = {c.code.coding[0].system for one in seen for c in one.component or []}
    assert systems == {"urn:masi-vision:codes"}


@pytest.mark.long
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


def picture_of(name, kind, **how):
    """The same face in a file of another kind."""
    from PIL import Image

    stream = io.BytesIO()
    with Image.open(demo_folder() / "demo-01" / "visit-1" / name) as image:
        if how.pop("turned", False):
            exif = Image.Exif()
            exif[0x0112] = 6
            image.transpose(Image.Transpose.ROTATE_90).save(stream, kind, exif=exif, quality=95)
        else:
            image.save(stream, kind, **how)
    return stream.getvalue()


@pytest.fixture(scope="module")
def dicom(tmp_path_factory):
    """A study whose photographs are a camera's JPEG, a PNG, one turned by Exif and a progressive JPEG."""
    pytest.importorskip("pydicom", reason="needs the extra dicom")
    pytest.importorskip("highdicom", reason="needs the extra dicom")
    folder = tmp_path_factory.mktemp("dicom")
    front = (demo_folder() / "demo-01" / "visit-1" / "front.jpg").read_bytes()
    note = b"taken by Dr. Who on a Sunday"
    files = {
        "P1/v1/front.jpg": front[:2] + b"\xff\xfe" + (len(note) + 2).to_bytes(2, "big") + note + front[2:],
        "P1/v2/front.png": picture_of("front.jpg", "PNG"),
        "P2/v1/front.jpg": picture_of("front.jpg", "JPEG", turned=True),
        "P2/v2/front.jpg": picture_of("front.jpg", "JPEG", progressive=True, quality=95),
    }
    for name, data in files.items():
        (folder / "study" / name).parent.mkdir(parents=True)
        (folder / "study" / name).write_bytes(data)
    done = masi("score", folder / "study", "--out", folder / "results", "--save-masks", "--no-overlays")
    assert done.exit_code == 0, done.output
    parts = ["--results", folder / "results", "--study", "MEL01", "--photos", folder / "study"]
    done = masi("export", *parts, "--out", folder / "out")
    assert done.exit_code == 0, done.output
    assert "4 photographs and 4 segmentations" in done.output
    return folder


@pytest.mark.parametrize(
    ("name", "photo", "syntax"),
    [
        ("P1_v1", "P1/v1/front.jpg", "JPEG Baseline (Process 1)"),
        ("P1_v2", "P1/v2/front.png", "Explicit VR Little Endian"),
        ("P2_v1", "P2/v1/front.jpg", "Explicit VR Little Endian"),
        ("P2_v2", "P2/v2/front.jpg", "Explicit VR Little Endian"),
    ],
)
def test_dicom_holds_the_photograph_upright_and_its_masks(dicom, name, photo, syntax):
    import cv2
    import highdicom
    import pydicom

    read = pydicom.dcmread(dicom / "out" / "dicom" / f"{name}_front.dcm")
    assert read.SOPClassUID.name == "VL Photographic Image Storage"
    assert read.file_meta.TransferSyntaxUID.name == syntax
    assert np.array_equal(read.pixel_array, read_photo(dicom / "study" / photo).srgb)
    patient, visit = name.split("_")
    assert (read.PatientID, read.ClinicalTrialTimePointID, read.Modality) == (patient, visit, "XC")
    assert (read.PatientName, read.StudyDate, read.RecognizableVisualFeatures) == ("", "", "YES")
    assert read.LossyImageCompression == ("00" if photo.endswith("png") else "01")

    drawn = highdicom.seg.segread(dicom / "out" / "dicom" / f"{name}_front_segmentation.dcm")
    layers = drawn.get_pixels_by_source_instance([read.SOPInstanceUID], combine_segments=False)[0]
    folder = dicom / "results" / "masks"
    regions, lesion = (
        cv2.imread(str(folder / f"{name}_front_{kind}.png"), cv2.IMREAD_UNCHANGED)
        for kind in ("regions", "lesion")
    )
    labels = [segment.SegmentLabel for segment in drawn.SegmentSequence]
    for number, label in enumerate(Subunit.__members__):
        if number:
            layer = layers[..., labels.index(label.lower().replace("_", " "))]
            assert np.array_equal(layer > 0, regions == number)
    assert np.array_equal(layers[..., labels.index("pigmented lesion")] > 0, lesion > 0)
    sides = [
        segment.AnatomicRegionSequence[0].AnatomicRegionModifierSequence[0].CodeMeaning
        for segment in drawn.SegmentSequence
        if "malar" in segment.SegmentLabel
    ]
    assert sides == ["Right", "Left"]


def test_dicom_says_no_word_of_the_camera_and_the_same_names_every_time(dicom):
    import pydicom

    first = dicom / "out" / "dicom" / "P1_v1_front.dcm"
    assert b"Dr. Who" in (dicom / "study" / "P1" / "v1" / "front.jpg").read_bytes()
    assert b"Dr. Who" not in first.read_bytes()
    parts = ["--results", dicom / "results", "--study", "MEL01", "--photos", dicom / "study"]
    assert masi("export", *parts, "--out", dicom / "again").exit_code == 0
    for name in ("P1_v1_front.dcm", "P1_v1_front_segmentation.dcm"):
        assert (dicom / "again" / "dicom" / name).read_bytes() == (first.parent / name).read_bytes()
    files = list((dicom / "out" / "dicom").iterdir())
    assert os.name != "posix" or {file.stat().st_mode & 0o777 for file in files} == {0o600}
    made = [pydicom.dcmread(file, stop_before_pixels=True) for file in files]
    assert len({one.SOPInstanceUID for one in made}) == len(made) == 8
    assert len({one.StudyInstanceUID for one in made}) == 4  # a visit is a study of DICOM's


def test_names_that_run_into_each_other_and_names_in_any_script_stay_apart():
    pytest.importorskip("pydicom", reason="needs the extra dicom")
    pytest.importorskip("highdicom", reason="needs the extra dicom")
    import pydicom

    from masi_vision.report.dicom import CodedPicture, Shown, as_bytes, photograph

    picture = CodedPicture((2, 2), None, np.zeros((2, 2, 3), np.uint8), b"", lossy=False)
    names = [("1", "12"), ("11", "2"), ("患者1", "é"), ("其他1", "é")]
    made = [photograph(Shown("S", *name, "front"), picture) for name in names]
    assert len({one.StudyInstanceUID for one in made}) == len({one.SOPInstanceUID for one in made}) == 4
    read = pydicom.dcmread(io.BytesIO(as_bytes(made[2])))
    assert (read.PatientID, read.ClinicalTrialTimePointID) == ("患者1", "é")


@pytest.mark.long
def test_photographs_of_a_coded_set_get_their_patients_back(dicom, tmp_path):
    """Tables after masi unblind name patients; the masks bear codes."""
    (tmp_path / "phrase").write_text("a passphrase that nobody knows\n")
    phrase = ["--passphrase-file", tmp_path / "phrase"]
    coded, key, results = tmp_path / "set", tmp_path / "trial.key", tmp_path / "results"
    made = masi("blind", dicom / "study", "--out", coded, "--key", key, "--reader", "anna", *phrase)
    assert made.exit_code == 0, made.output
    assert masi("score", coded, "--out", results, "--save-masks", "--no-overlays").exit_code == 0
    why = ["--reason", "database lock", "--before-lock", "a test"]
    opened = masi("unblind", results, "--key", key, *why, *phrase, "--out", tmp_path / "opened")
    assert opened.exit_code == 0, opened.output
    parts = [
        "--results",
        tmp_path / "opened",
        "--study",
        "S",
        "--photos",
        coded,
        "--masks",
        results / "masks",
    ]
    done = masi("export", *parts, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    there = {file.stem for file in (tmp_path / "out" / "dicom").iterdir()}
    assert {"P1_v1_front", "P1_v1_front_segmentation", "P2_v2_front"} <= there


def test_no_photograph_of_who_is_left_out_is_among_the_dicom_files(dicom, tmp_path):
    (tmp_path / "withdrawn.csv").write_text("patient\nP1\n")
    parts = ["--results", dicom / "results", "--study", "S", "--photos", dicom / "study"]
    done = masi("export", *parts, "--without", tmp_path / "withdrawn.csv", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "2 photographs and 2 segmentations" in done.output
    there = {file.name.partition("_")[0] for file in (tmp_path / "out" / "dicom").iterdir()}
    assert there == {"P2"}


def test_masks_that_are_missing_are_told_and_the_photograph_is_there(dicom, tmp_path):
    masks = tmp_path / "masks"
    shutil.copytree(dicom / "results" / "masks", masks)
    (masks / "P1_v1_front_lesion.png").unlink()
    (masks / "P1_v2_front_lesion.png").write_bytes(b"")
    parts = ["--results", dicom / "results", "--study", "S", "--photos", dicom / "study"]
    done = masi("export", *parts, "--masks", masks, "--out", tmp_path / "out")
    assert done.exit_code == 1, done.output
    assert "4 photographs and 2 segmentations" in done.output
    assert "P1_v1_front_lesion.png is missing" in done.output
    assert "P1_v2_front_lesion.png is no mask of it" in done.output
    none = masi("export", *parts, "--masks", tmp_path / "gone", "--out", tmp_path / "out", "--overwrite")
    assert "4 photographs and 0 segmentations" in none.output
    assert "no segmentations. Name the masks with --masks" in none.output
    assert none.exit_code == 1
    assert not list((tmp_path / "out" / "dicom").glob("*_segmentation.dcm"))  # none of the export before
    tables = masi("export", *parts[:4], "--out", tmp_path / "out", "--overwrite")
    assert tables.exit_code == 0, tables.output
    assert not list((tmp_path / "out" / "dicom").iterdir())  # faces of somebody who may have left
    refused = masi("export", *parts[:-1], tmp_path / "gone", "--out", tmp_path / "never")
    assert refused.exit_code == 2
    assert not (tmp_path / "never").exists()


def test_files_of_others_are_never_deleted(tmp_path):
    out = tmp_path / "out"
    (out / "dicom").mkdir(parents=True)
    for name in ("a", "b", "c", "d"):
        (out / "dicom" / f"{name}.dcm").write_bytes(bytes(128) + b"DICM of a clinic")
    (out / "long.csv").write_text("of before\n")
    (tmp_path / "reads.csv").write_text(READS)
    asked = ["--reads", tmp_path / "reads.csv", "--study", "S", "--out", out, "--overwrite"]
    refused = masi("export", *asked)
    assert refused.exit_code == 2
    assert "holds a.dcm, b.dcm, c.dcm and 1 more, which masi export did not write" in " ".join(
        refused.output.split()
    )
    assert len(list((out / "dicom").iterdir())) == 4
    assert (out / "long.csv").read_text() == "of before\n"
    shutil.rmtree(out / "dicom")
    assert masi("export", *asked).exit_code == 0


def test_what_a_killed_export_was_writing_goes_with_the_old_one(tmp_path):
    assert export_of(tmp_path, READS)[0] == 0
    out = tmp_path / "out"
    (out / "dicom").mkdir()
    parts = [out / ".long.csv.0123abcd.part", out / "dicom" / ".P1_v1_front.dcm.0123abcd.part"]
    for part in parts:
        part.write_bytes(b"half a face")
    asked = ["--reads", tmp_path / "reads.csv", "--study", "S", "--out", out, "--overwrite"]
    assert masi("export", *asked).exit_code == 0
    assert not any(part.exists() for part in parts)


def test_photographs_that_cannot_be_exported_are_named_and_the_rest_goes_on(dicom, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes((dicom / "study" / "P1" / "v1" / "front.jpg").read_bytes())
    parts = ["--results", dicom / "results", "--study", "S", "--photos", tmp_path / "photos"]
    done = masi("export", *parts, "--out", tmp_path / "out")
    assert done.exit_code == 1
    assert "1 photographs and 1 segmentations" in done.output
    assert done.output.count("no file below photos has its SHA-256") == 3
    alone = masi("export", "--study", "S", "--photos", tmp_path / "photos", "--out", tmp_path / "none")
    assert alone.exit_code == 2
    assert "--photos needs --results" in alone.output
    masks = masi("export", *parts[:4], "--masks", tmp_path, "--out", tmp_path / "none")
    assert masks.exit_code == 2
    assert "--masks is given without --photos" in masks.output


def test_a_photograph_as_large_as_its_run_read_is_written_whatever_another_limit_says(
    dicom, tmp_path, monkeypatch
):
    from PIL import Image

    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)  # of Pillow's own, half of what it refuses
    results = shutil.copytree(dicom / "results", tmp_path / "results")
    parts = ["--results", results, "--study", "S", "--photos", dicom / "study"]
    done = masi("export", *parts, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "4 photographs and 4 segmentations" in done.output

    run = json.loads((results / "run.json").read_text())
    run["settings"]["reading"]["max_megapixels"] = 0.01
    (results / "run.json").write_text(json.dumps(run))
    done = masi("export", *parts, "--out", tmp_path / "small")
    assert done.exit_code == 1
    assert done.output.count("Expected at most 0.01 megapixels") == 4


@pytest.mark.parametrize(("compression", "lossy"), [("jpeg", True), ("tiff_lzw", False)])
def test_dicom_says_of_a_tiff_whether_it_was_compressed_with_loss(dicom, tmp_path, compression, lossy):
    from masi_vision.cli.dicom import _picture

    (tmp_path / "front.tif").write_bytes(picture_of("front.jpg", "TIFF", compression=compression))
    assert _picture(tmp_path / "front.tif", 200.0).lossy is lossy


def test_a_photograph_too_wide_for_dicom_is_one_that_cannot_be_exported(dicom, tmp_path):
    import cv2

    from masi_vision.cli.dicom import _picture

    wide = np.full((64, 65536, 3), (90, 120, 200), np.uint8)
    (tmp_path / "front.png").write_bytes(cv2.imencode(".png", wide)[1].tobytes())
    with pytest.raises(ValueError, match=r"65536 x 64 px\. DICOM takes at most 65535"):
        _picture(tmp_path / "front.png", 200.0)


def test_dicom_shows_the_colours_that_were_scored(dicom, tmp_path):
    """A profile between the scans counts for who strips a file, and not for who reads it."""
    from PIL import ImageCms

    from masi_vision.cli.dicom import _picture

    data = (dicom / "study" / "P1" / "v1" / "front.jpg").read_bytes()
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    icc = icc.replace(b"rXYZ", b"tXYZ").replace(b"gXYZ", b"rXYZ").replace(b"tXYZ", b"gXYZ")
    segment = b"\xff\xe2" + (len(icc) + 16).to_bytes(2, "big") + b"ICC_PROFILE\0\1\1" + icc
    (tmp_path / "front.jpg").write_bytes(data[:-2] + segment + data[-2:])
    picture = _picture(tmp_path / "front.jpg", 200.0)
    assert picture.jpeg is None
    assert np.array_equal(picture.srgb, read_photo(tmp_path / "front.jpg").srgb)


@pytest.mark.parametrize("name", ["front.dng", "front.tif", "front.jpg"])
def test_dicom_takes_a_camera_raw_whatever_it_is_called(dicom, tmp_path, name):
    pytest.importorskip("rawpy")
    from masi_vision.cli.dicom import _picture

    (tmp_path / name).write_bytes(dng(128, 96))
    picture = _picture(tmp_path / name, 200.0)
    assert (picture.size, picture.jpeg, picture.lossy) == ((96, 128), None, True)


def test_tables_that_are_none_are_refused(tmp_path):
    (tmp_path / "reads.csv").write_text("code,reader\nAA,anna\n")
    done = masi("export", "--reads", tmp_path / "reads.csv", "--study", "S", "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert "lacks patient, visit" in done.output
    assert masi("export", "--study", "S", "--out", tmp_path / "out").exit_code == 2
    assert not (tmp_path / "out").exists()


def test_a_clear_face_has_a_masi_only_where_homogeneity_is_graded(tmp_path):
    clear = "patient,visit,reader,region,area,darkness{more}\n" + "".join(
        f"P1,v1,anna,{region},0,{{given}}\n" for region in MASI_REGIONS
    )
    assert export_of(tmp_path, clear.format(more="", given=""))[0] == 0
    _, rows = table(tmp_path / "out" / "long.csv")
    assert {row["item"]: row["value"] for row in rows if not row["region"]} == {"mmasi": "0"}
    shutil.rmtree(tmp_path / "out")
    assert export_of(tmp_path, clear.format(more=",homogeneity", given="0,0"))[0] == 0
    _, rows = table(tmp_path / "out" / "long.csv")
    assert {row["item"]: row["value"] for row in rows if not row["region"]} == {"mmasi": "0", "masi": "0"}


def test_visits_whose_patient_was_corrected_are_named_for_an_export_of_before_stays_with_others(tmp_path):
    rows = READS.replace("BB,P1", "BB,not-counted-BB").splitlines()
    marked = [f"{rows[0]},corrected", *(f"{row},{'yes' * row.startswith('BB')}" for row in rows[1:])]
    (tmp_path / "corrected.csv").write_text("\n".join([*marked, ""]))
    (tmp_path / "reads.csv").write_text(READS)
    (tmp_path / "left.csv").write_text("patient\nnot-counted-BB\n")
    said = "patient or visit was corrected of not-counted-BB/v2. Expected"
    for name, told in (("reads.csv", False), ("corrected.csv", True)):
        parts = ["--reads", tmp_path / name, "--study", "MEL01", "--out", tmp_path / name[:-4]]
        parts += ["--without", tmp_path / "left.csv"]
        done = masi("export", *parts)
        assert done.exit_code == 0, done.output
        assert (said in done.stderr) is told


def test_a_read_that_is_corrected_later_keeps_its_address(tmp_path):
    once = "".join(READS.splitlines(keepends=True)[:2]).replace(",blind,0,", ",blind,1,")
    export_of(tmp_path, once)
    (first,) = json.loads((tmp_path / "out" / "fhir.json").read_text())["entry"]
    shutil.rmtree(tmp_path / "out")
    export_of(tmp_path, READS)
    later = {
        one["fullUrl"]: one["resource"]["status"]
        for one in json.loads((tmp_path / "out" / "fhir.json").read_text())["entry"]
    }
    assert first["resource"]["status"] == "final"
    assert later[first["fullUrl"]] == "entered-in-error"


@pytest.mark.parametrize(
    "text", ["2026-05-01 11:00:00", "2026-05-01 11:00:00.5+00", "2026-05-01 13:00:00+02:00"]
)
def test_times_of_other_programs_are_written_as_one_kind(tmp_path, text):
    assert export_of(tmp_path, READS.replace("2026-05-01T11:00:00.000+00:00", text))[0] == 0
    times = {row["locked_utc"] for row in table(tmp_path / "out" / "long.csv")[1]}
    assert any(one.startswith("2026-05-01T11:00:00.") and one.endswith("+00:00") for one in times)


def test_reasons_of_regions_are_those_of_the_read(tmp_path):
    rows = [f"P1,v1,anna,{region},0,,," for region in MASI_REGIONS[:3]] + ["P1,v1,anna,chin,,,hidden,beard"]
    head = "patient,visit,reader,region,area,darkness,ungradable,comment"
    assert export_of(tmp_path, "\n".join([head, *rows]))[0] == 0
    lost = [row for row in table(tmp_path / "out" / "long.csv")[1] if row["reason"]]
    assert [(row["region"], row["item"]) for row in lost] == [
        *(("chin", "area"), ("chin", "darkness"), ("", "mmasi"))
    ]
    assert [row["reason"] for row in lost] == ["hidden", "hidden", "chin: hidden"]
    assert {row["comment"] for row in lost} == {"chin: beard"}


def test_what_is_said_of_every_region_is_said_once(tmp_path):
    rows = [f"P1,v1,anna,{region},,,other,beard" for region in MASI_REGIONS]
    head = "patient,visit,reader,region,area,darkness,ungradable,comment"
    assert export_of(tmp_path, "\n".join([head, *rows]))[0] == 0
    (lost,) = table(tmp_path / "out" / "long.csv")[1]
    assert (lost["item"], lost["reason"], lost["comment"]) == ("not_done", "other: beard", "beard")
