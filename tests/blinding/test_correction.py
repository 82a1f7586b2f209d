"""Photos that were filed under a wrong patient or visit: the code is broken to the right names, on record."""

import json
import shutil

import cv2
import numpy as np
import pytest
from named_photos import write_noise_study
from verbs import masi, table

from masi_vision.blinding.key import opened
from masi_vision.csv_table import csv_text
from masi_vision.report.tables import REGIONS
from masi_vision.scale import MASI_REGIONS
from masi_vision.shipped import shipped_file

PASSPHRASE = "long enough for anyone"
PATIENTS, VISITS = tuple(f"P0{number}" for number in range(1, 9)), ("visit-1", "visit-6")
READERS = ("anna", "ben")
COLUMNS = ("patient", "visit", "correct_patient", "correct_visit", "reason")
SWAP = [
    ("P01", "visit-6", "P02", "visit-6", "the wristband in the photo"),
    ("P02", "visit-6", "P01", "visit-6", "the wristband in the photo"),
]
STRANGER = ("P03", "visit-1", "", "", "a nurse, who tried the camera")
DAMAGED = ("P08", "visit-6", "left")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A coded set of eight patients, every visit with a hidden repeat; one photo cannot be read."""
    folder = tmp_path_factory.mktemp("trial")
    write_noise_study(folder / "study", PATIENTS, VISITS, ("front",), DAMAGED)
    (folder / "passphrase").write_text(PASSPHRASE, encoding="utf-8")
    (folder / "safe").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("masi_vision.blinding.check._UNLIKELY", 0)
        patch.setattr("masi_vision.blinding.coded_set.repeats_wanted", lambda visits, share: visits)
        done = masi(
            *("blind", folder / "study", "--out", folder / "set", "--key", folder / "safe" / "key"),
            *("--passphrase-file", folder / "passphrase"),
            *(word for reader in READERS for word in ("--reader", reader)),
        )
    assert done.exit_code == 1, done.output  # a photo was left out
    write_results(folder)
    return folder


def write_results(folder):
    """Reads and scores of every code, by which photos are known again."""
    (folder / "results").mkdir()
    units = key_of(folder).units
    reads = [read_of(unit, reader) for unit in units for reader in READERS]
    scores = [
        {
            "patient": "",
            "visit": unit.code,
            "status": "scored",
            "reason": "",
            "mmasi": mmasi_of(unit),
        }
        for unit in units
    ]
    regions = [
        {
            "patient": "",
            "visit": unit.code,
            "region": region,
            "flag": "",
            "area": area_of(unit),
            "darkness": 2,
        }
        for unit in units
        for region in REGIONS
    ]
    for name, rows in (("reads", reads), ("scores", scores), ("regions", regions)):
        text = csv_text(list(rows[0]), rows)
        (folder / "results" / f"{name}.csv").write_text(text, encoding="utf-8")
    run = {"version": "0", "models": "m", "models_sha256": {}, "settings": {}, "settings_sha256": "s"}
    run |= {"atlas": "a", "pigment_method": "p", "state": "finished"}
    run |= {"counts": {"visits_found": len(units), "scored": len(units), "not_scored": 0}}
    run |= {"inputs": [{"patient": "", "visit": unit.code, "view": "front"} for unit in units]}
    (folder / "results" / "run.json").write_text(json.dumps(run), encoding="utf-8")


def area_of(unit):
    """Of the photos, by where they were filed: 1 to 4 by patient, 2 more at the first visit."""
    return PATIENTS.index(unit.patient) % 4 + 1 + 2 * (unit.visit == VISITS[0])


def mmasi_of(unit):
    return f"{2 * area_of(unit)}.0"


def read_of(unit, reader):
    grades = {f"{region}_area": area_of(unit) for region in MASI_REGIONS}
    grades |= {f"{region}_darkness": 2 for region in MASI_REGIONS}
    when = "2026-11-01T10:00:00+00:00"
    row = {"code": unit.code, "reader": reader, "stage": "blind", "version": 1, "latest": 1}
    return row | grades | {"mmasi": mmasi_of(unit), "locked_utc": when, "closed_utc": when}


@pytest.fixture
def trial(made, tmp_path):
    folder = tmp_path / "trial"
    shutil.copytree(made, folder, copy_function=shutil.copy2)
    return folder


def key_of(folder):
    return opened(folder / "safe" / "key", PASSPHRASE)


def logged(folder):
    text = (folder / "safe" / "key.log").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def said(done):
    return " ".join(done.output.split())


def corrections(folder, *rows):
    text = csv_text(COLUMNS, [dict(zip(COLUMNS, row, strict=True)) for row in rows])
    (folder / "corrections.csv").write_text(text, encoding="utf-8")
    return ("--corrections", folder / "corrections.csv")


def allocation(folder):
    rows = "".join(f"{patient},{'AB'[place % 2]}\n" for place, patient in enumerate(PATIENTS))
    (folder / "arms.csv").write_text(f"patient,arm\n{rows}", encoding="utf-8")
    return ("--allocation", folder / "arms.csv")


def unblinded(folder, *more):
    return masi(
        *("unblind", folder / "results", "--key", folder / "safe" / "key", "--out", folder / "opened"),
        *("--reason", "database lock", "--passphrase-file", folder / "passphrase", *more),
    )


def ok(*arguments):
    done = masi(*arguments)
    assert done.exit_code == 0, done.output
    return done


def test_units_that_were_exchanged_get_their_own_names_back_hidden_repeats_too(trial):
    done = unblinded(trial, *corrections(trial, *SWAP), *allocation(trial))
    assert done.exit_code == 0, done.output
    key, right = key_of(trial), {row[:2]: row[2:4] for row in SWAP}
    for name in ("reads.csv", "scores.csv", "regions.csv"):
        columns, rows = table(trial / "opened" / name)
        assert columns[:6] == ["code", "patient", "visit", "repeat_of", "arm", "corrected"]
        moved = 0
        for row in rows:
            unit = key.unit(row["code"])
            filed = (unit.patient, unit.visit)
            assert (row["patient"], row["visit"]) == right.get(filed, filed)
            assert row["repeat_of"] == (unit.repeat_of or "")
            assert row["arm"] == "AB"[PATIENTS.index(row["patient"]) % 2]
            assert row["corrected"] == ("yes" if filed in right else "")
            moved += filed in right
        assert moved == len(rows) / 8
    assert "Corrected: 4 of 32 units, hidden repeats among them: 2." in said(done)
    assert "Look for a misspelt" not in said(done)
    assert key_of(trial) == key  # as it was sealed


def test_the_coding_tells_what_the_key_has_and_what_was_corrected_and_why(trial):
    away = (*DAMAGED[:2], "P09", "visit-6", "=the wristband")
    done = unblinded(trial, *corrections(trial, *SWAP, away))
    assert done.exit_code == 0, done.output
    columns, rows = table(trial / "opened" / "coding.csv")
    assert columns[-4:] == ["left_out", "corrected_patient", "corrected_visit", "correction_reason"]
    told = {
        (row["patient"], row["visit"], row["view"]): tuple(row[name] for name in columns[-3:]) for row in rows
    }
    for patient, visit, *right in SWAP:
        assert told[patient, visit, "front"] == tuple(right)
    assert told["P01", "visit-1", "front"] == ("", "", "")
    for view in ("front", "left"):  # what was left out of the unit was filed wrong too
        assert told[*DAMAGED[:2], view] == ("P09", "visit-6", "'=the wristband")
    units = {unit.code: (unit.patient, unit.visit) for unit in key_of(trial).units}
    assert all((row["patient"], row["visit"]) == units[row["code"]] for row in rows if row["code"])
    assert "nothing was coded under the name P09, which a correction gives" in said(done)


def test_the_log_has_the_fingerprint_and_number_of_corrections_and_no_name(trial):
    assert unblinded(trial, *corrections(trial, *SWAP)).exit_code == 0
    asked, last = logged(trial)[-2:]
    assert (asked["what"], asked["corrections"], last["corrections"]) == ("asked to unblind", 2, 2)
    content = (trial / "corrections.csv").read_bytes()
    assert last["hmac_sha256"]["read"] == {"corrections": key_of(trial).fingerprint(content)}
    text = (trial / "safe" / "key.log").read_text(encoding="utf-8")
    assert not any(word in text for word in ("P01", "P02", "visit-6", "wristband"))
    held = masi(
        *("blind", "log", trial / "safe" / "key", "--file", trial / "corrections.csv"),
        *("--passphrase-file", trial / "passphrase"),
    )
    assert "(unblinded): read corrections" in said(held)


def test_a_call_without_corrections_notes_none(trial):
    assert unblinded(trial).exit_code == 0
    assert not any("corrections" in one for one in logged(trial))
    for name in ("reads.csv", "scores.csv", "regions.csv"):
        assert "corrected" not in table(trial / "opened" / name)[0]


def test_a_later_call_that_corrects_otherwise_is_told(trial):
    assert unblinded(trial, *corrections(trial, *SWAP)).exit_code == 0
    before = (trial / "opened" / "reads.csv").read_bytes()
    refused = unblinded(trial)
    assert refused.exit_code == 2
    assert "is there already, and is another" in said(refused)
    same = unblinded(trial, *corrections(trial, *SWAP))
    assert same.exit_code == 0
    assert "Warning" not in said(same)
    done = unblinded(trial, "--overwrite")
    assert done.exit_code == 0, done.output
    assert "applied 2 corrections, and this one none" in said(done)
    assert (trial / "opened" / "reads.csv").read_bytes() != before
    done = unblinded(trial, *corrections(trial, *SWAP), "--overwrite")
    assert "applied no corrections, and this one some" in said(done)
    done = unblinded(trial, *corrections(trial, *SWAP, STRANGER), "--overwrite")
    assert "applied 2 corrections, and this one others" in said(done)


def test_the_first_opening_has_none_before_it(trial):
    assert "Warning" not in said(unblinded(trial, *corrections(trial, *SWAP)))


@pytest.mark.parametrize("without", [[], ["patient", "P03"]])
def test_tables_of_two_openings_that_corrected_otherwise_do_not_go_together(trial, without):
    """Also where those whom they disagree on are left out, by the names of one of the two."""
    pytest.importorskip("scipy", reason="needs the extra stats")
    pytest.importorskip("matplotlib", reason="needs the extra stats")
    assert unblinded(trial).exit_code == 0
    plain = (trial / "opened").rename(trial / "plain")
    rows = [STRANGER] if without else SWAP
    assert unblinded(trial, *corrections(trial, *rows)).exit_code == 0
    mixed = shutil.copytree(plain, trial / "mixed")
    shutil.copy2(trial / "opened" / "regions.csv", mixed / "regions.csv")
    shutil.copy2(plain / "regions.csv", trial / "regions.csv")  # apart from the settings of the run
    (trial / "without.csv").write_text("\n".join(without), encoding="utf-8")
    leave = ["--without", trial / "without.csv"] if without else []
    reads, scores = trial / "opened" / "reads.csv", plain / "scores.csv"
    for verb in (
        ["agree", reads, "--scores", scores, "--draws", 100],
        ["report", trial / "results", "--reads", reads, "--scores", scores],
        ["export", "--reads", reads, "--results", plain, "--study", "S"],
        ["export", "--results", mixed, "--study", "S"],
        *([] if leave else [["calibrate", reads, "--measures", trial / "regions.csv"]]),
    ):
        refused = masi(*verb, *leave, "--out", trial / "out")
        assert refused.exit_code == 2, refused.output
        assert "Expected tables of one call of masi unblind, all with the same --corrections" in said(refused)
        assert not (trial / "out").exists()


def not_counted(folder, row=STRANGER):
    """How photos are called that do not count: by their code, not that of the hidden repeat."""
    (code,) = (
        unit.code
        for unit in key_of(folder).units
        if (unit.patient, unit.visit) == row[:2] and unit.repeat_of is None
    )
    return f"not-counted-{code}"


def test_photos_that_do_not_count_have_a_name_of_their_own_and_no_arm(trial):
    arms = allocation(trial)
    done = unblinded(trial, *corrections(trial, *SWAP, STRANGER), *arms)
    assert done.exit_code == 0, done.output
    name = not_counted(trial)
    assert f"Not to be counted: {name}, in every table and without an arm." in said(done)
    assert "Look for a misspelt" not in said(done)
    codes = {unit.code for unit in key_of(trial).units if (unit.patient, unit.visit) == STRANGER[:2]}
    assert len(codes) == 2
    for file in ("reads.csv", "scores.csv", "regions.csv"):
        _, rows = table(trial / "opened" / file)
        theirs = [row for row in rows if row["code"] in codes]
        assert {(row["patient"], row["visit"], row["arm"]) for row in theirs} == {(name, "visit-1", "")}


def test_a_row_more_renames_nobody_whom_without_leaves_out(trial):
    other = ("P02", "visit-1", "", "", "her sister, or she: nobody can tell")
    for rows in ((STRANGER,), (other, STRANGER)):
        assert unblinded(trial, *corrections(trial, *rows), "--overwrite").exit_code == 0
        _, scores = table(trial / "opened" / "scores.csv")
        found = {row["patient"] for row in scores if row["patient"].startswith("not-counted-")}
        assert found == {not_counted(trial, row) for row in rows}


def test_every_verb_names_who_is_not_to_be_counted_and_is(trial):
    pytest.importorskip("scipy", reason="needs the extra stats")
    pytest.importorskip("matplotlib", reason="needs the extra stats")
    assert unblinded(trial, *corrections(trial, STRANGER)).exit_code == 0
    arms = allocation(trial)[1]
    name, reads = not_counted(trial), trial / "opened" / "reads.csv"
    arms.write_text(f"{arms.read_text()}{name},A\n", encoding="utf-8")
    for verb in (
        ["agree", reads, "--draws", 100],
        ["outcome", reads, "--allocation", arms],
        ["report", trial / "results", "--reads", reads, "--scores", trial / "opened" / "scores.csv"],
        ["export", "--reads", reads, "--study", "S"],
    ):
        done = masi(*verb, "--out", trial / verb[0])
        assert done.exit_code in (0, 1), done.output
        told = f"masi: photos that masi unblind was told not to count are counted here: {name}. Expected"
        assert told in " ".join(done.stderr.split())


def test_corrected_tables_go_into_every_analysis(trial):
    """Rows that do not count stay, so that the visits are those of run.json, and are left out by name."""
    pytest.importorskip("scipy", reason="needs the extra stats")
    pytest.importorskip("matplotlib", reason="needs the extra stats")
    out, arms = trial / "opened", allocation(trial)
    assert unblinded(trial, *corrections(trial, *SWAP, STRANGER), *arms).exit_code == 0
    (trial / "without.csv").write_text(f"patient\n{not_counted(trial)}\nP05\n", encoding="utf-8")
    leave = ("--without", trial / "without.csv")
    reads, scores = out / "reads.csv", out / "scores.csv"
    protocol = ("--protocol", shipped_file("configs", "outcome.yaml"))
    made = {name: trial / name for name in ("agreement", "outcome")}
    for more in ((), arms):
        stopped = masi("outcome", reads, *protocol, *more, "--out", trial / "stopped")
        assert stopped.exit_code == 2  # they were forgotten: who has no arm is refused
        told = f"Photos that are not to be counted stand in the table: {not_counted(trial)}. Expected them in"
        assert told in said(stopped)
        assert "No arm" not in said(stopped)
    agreed = ok("agree", reads, "--scores", scores, "--draws", 100, *leave, "--out", made["agreement"])
    for told in ("Patients left out: 1 of 1 that", "Visits not counted: 1 of 1 that"):
        assert told in said(agreed)
    done = masi("outcome", reads, *protocol, *leave, "--out", made["outcome"])
    assert done.exit_code in (0, 1), done.output
    _, patients = table(made["outcome"] / "patients.csv")
    assert {
        row["patient"]: float(row["primary"]) for row in patients if row["patient"] in ("P01", "P02")
    } == {
        "P01": 2 * 2,
        "P02": 2 * 1,
    }
    assert {row["patient"] for row in patients} == set(PATIENTS) - {"P05"}
    parts = ("--reads", reads, "--scores", scores, "--agreement", made["agreement"])
    ok("report", trial / "results", *parts, "--outcome", made["outcome"], *leave, "--out", trial / "page")
    page = (trial / "page" / "report.html").read_text(encoding="utf-8")
    assert "Visits, 13 hidden repeats among them: <b>26</b>" in page
    assert "who were left out of all that this page tells: <b>1</b>, of 1 who were to be." in page
    assert "Visits not counted, as their photos were filed wrong: <b>1</b>." in page
    assert "Units whose patient or visit was corrected when the code was broken: <b>4</b>." in page
    for file, within in (("agreement/agreement.json", ()), ("outcome/protocol.json", ("provenance",))):
        told = json.loads((trial / file).read_text(encoding="utf-8"))
        for name in within:
            told = told[name]
        assert told["units_corrected"] == 4  # those that do not count are left out
        assert (told["patients_left_out"], told["visits_not_counted"]) == (1, 1)
    alone = trial / "alone.csv"
    alone.write_text("patient\nP05\nP06\n", encoding="utf-8")
    refused = masi("report", trial / "results", *parts[2:], "--without", alone, "--out", trial / "page2")
    assert "Patients left out of the agreement: 1; here: 2. Expected the same ones." in said(refused)
    alone.write_text("patient\nP05\n", encoding="utf-8")
    refused = masi("report", trial / "results", *parts[2:], "--without", alone, "--out", trial / "page2")
    assert "Visits not counted in the agreement: 1; here: 0. Expected the same ones." in said(refused)
    assert "not-counted" not in page
    exported = ("--reads", reads, "--results", out, "--study", "S")
    ok("export", *exported, *leave, "--out", trial / "data")
    _, long = table(trial / "data" / "long.csv")
    assert {row["patient"] for row in long} == set(PATIENTS) - {"P05"}


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (
            [("P09", "visit-1", "P01", "visit-3", "r"), ("P01", "visit-2", "P01", "visit-3", "")],
            [
                "line 2: the key has no P09/visit-1",
                "line 3: the key has no P01/visit-2; line 3: there is no reason",
                "P01/visit-2 and P09/visit-1 would become one, P01/visit-3",
            ],
        ),
        (
            SWAP[:1],
            [
                "P01/visit-6 and P02/visit-6 would become one, P02/visit-6",
                "photographed twice, the photos that do not count go out with both names blank",
            ],
        ),
        ([SWAP[0], SWAP[0], SWAP[1]], ["line 2: P01/visit-6 stands in 2 rows", "line 3: P01/visit-6"]),
        ([("P01", "visit-6", "P01", "", "r")], ["line 2: correct_visit is blank, and its fellow is not"]),
        ([("P01", "visit-6", "NA", "visit-7", "r")], ["line 2: correct_patient is blank"]),
        ([("P01", "visit-6", "P01", "visit-6", "r")], ["line 2: P01/visit-6 stays what it is"]),
        ([("P01", "visit-6", "", "", "NA")], ["line 2: there is no reason"]),
        ([("P01", "visit-6", "P01", "a/b", "r")], ["line 2: correct_visit 'a/b' is no name of a folder"]),
        ([("P01", "visit-6", "../P1", "v", "r")], ["line 2: correct_patient '../P1' is no name of a folder"]),
        (
            [("P01", "visit-6", "#N/A", "v", "r")],
            ["correct_patient is '#N/A', which programs write where there"],
        ),
        ([("P01", "visit-6", "P\n1", "v", "r")], ["correct_patient 'P\\\\n1' is no name of a folder"]),
        (
            [("P01", "visit-6", "not-counted-AA", "v", "r")],
            ["how photos are called that do not count: leave both names blank"],
        ),
        ([("P01", "visit-6", "P1", "visit-7", "r")], ["correct_patient 'P1' is spelled 'P01' elsewhere"]),
        (
            [("P01", "visit-6", "P01", "visit 07", "r"), ("P02", "visit-6", "P02", "visit 7", "r")],
            ["spelled"],
        ),
        ([("", "", "P01", "visit-7", "r")], ["line 2: the key has no place without a name"]),
    ],
)
def test_corrections_that_cannot_be_applied_are_refused_all_faults_at_once(trial, rows, told):
    refused = unblinded(trial, *corrections(trial, *rows))
    assert refused.exit_code == 2
    assert "corrections.csv cannot be applied: " in said(refused)
    for one in told:
        assert one in said(refused)
    assert not (trial / "opened").exists()
    assert logged(trial)[-1]["what"] == "asked to unblind"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("patient,visit,reason\n", "has no column correct_patient, correct_visit"),
        (",".join(COLUMNS) + "\n", "has no row"),
    ],
)
def test_a_table_that_is_none_of_corrections_is_refused_before_the_key_is_asked(trial, text, told):
    (trial / "corrections.csv").write_text(text, encoding="utf-8")
    refused = unblinded(trial, "--corrections", trial / "corrections.csv")
    assert refused.exit_code == 2
    assert told in said(refused)
    assert [one["what"] for one in logged(trial)] == ["coded"]


def test_corrections_among_the_results_are_refused(trial):
    (trial / "results" / "wrong.csv").write_text(",".join(COLUMNS) + "\n", encoding="utf-8")
    refused = unblinded(trial, "--corrections", trial / "results" / "wrong.csv")
    assert refused.exit_code == 2
    assert "wrong.csv lies among the results, and is none" in said(refused)


def test_names_typed_otherwise_than_the_study_writes_them_are_its_own(trial):
    rows = [("p01", "VISIT-6", "p02", "Visit-6", "r"), ("P02", "visit-6", "P01", "visit-6", "r")]
    assert unblinded(trial, *corrections(trial, *rows)).exit_code == 0
    _, opened_rows = table(trial / "opened" / "scores.csv")
    assert {row["patient"] for row in opened_rows} == set(PATIENTS)
    assert {row["visit"] for row in opened_rows} == set(VISITS)


def test_a_unit_moves_to_where_nothing_was_coded_and_another_into_its_place(trial):
    rows = [
        ("P01", "visit-6", "P01", "visit-12", "the date on the form"),
        ("P01", "visit-1", "P01", "visit-6", "the date on the form"),
    ]
    done = unblinded(trial, *corrections(trial, *rows))
    assert done.exit_code == 0, done.output
    _, scores = table(trial / "opened" / "scores.csv")
    areas = {row["visit"]: float(row["mmasi"]) for row in scores if row["patient"] == "P01"}
    assert areas == {"visit-6": 6.0, "visit-12": 2.0}
    assert "nothing was coded under the name visit-12" in said(done)


def test_tables_that_were_opened_are_opened_again_with_other_corrections_or_none(trial):
    assert unblinded(trial, *corrections(trial, *SWAP), *allocation(trial)).exit_code == 0
    again = ("unblind", trial / "opened" / "reads.csv", "--key", trial / "safe" / "key", "--reason", "again")
    again += ("--passphrase-file", trial / "passphrase", "--out")
    assert masi(*again, trial / "none").exit_code == 0
    columns, rows = table(trial / "none" / "reads.csv")
    assert "corrected" not in columns
    units = {unit.code: (unit.patient, unit.visit) for unit in key_of(trial).units}
    assert all((row["patient"], row["visit"]) == units[row["code"]] for row in rows)
    assert masi(*again, trial / "one", *corrections(trial, STRANGER)).exit_code == 0
    _, rows = table(trial / "one" / "reads.csv")
    assert {units[row["code"]] for row in rows if row["corrected"]} == {STRANGER[:2]}


def test_corrections_of_another_set_are_refused(trial):
    """As where the study was mended and coded anew: what was exchanged would be exchanged back."""
    columns = ("set", *COLUMNS)
    for set_id in (key_of(trial).set_id, "0123456789abcdef"):
        rows = ((set_id, *SWAP[0]), ("NA", *SWAP[1]))
        text = csv_text(columns, [dict(zip(columns, row, strict=True)) for row in rows])
        (trial / "corrections.csv").write_text(text, encoding="utf-8")
        done = unblinded(trial, "--corrections", trial / "corrections.csv", "--overwrite")
        assert done.exit_code == (0 if set_id == key_of(trial).set_id else 2), done.output
    assert f"corrections.csv is of the set 0123456789abcdef. Expected {key_of(trial).set_id}" in said(done)


@pytest.fixture
def unnamed(tmp_path):
    """A trial of visits without patients."""
    for place, visit in enumerate(f"visit-{number}" for number in range(1, 9)):
        (tmp_path / "study" / visit).mkdir(parents=True)
        photo = np.random.default_rng(place).integers(30, 230, (64, 64, 3), dtype=np.uint8)
        cv2.imwrite(str(tmp_path / "study" / visit / "front.png"), photo)
    (tmp_path / "passphrase").write_text(PASSPHRASE, encoding="utf-8")
    (tmp_path / "safe").mkdir()
    ok(
        *("blind", tmp_path / "study", "--out", tmp_path / "set", "--key", tmp_path / "safe" / "key"),
        *("--passphrase-file", tmp_path / "passphrase", "--repeats", 0),
        *(word for reader in READERS for word in ("--reader", reader)),
    )
    grades = {f"{region}_{item}": 2 for region in MASI_REGIONS for item in ("area", "darkness")}
    when = "2026-11-01T10:00:00+00:00"
    rows = [
        {"code": unit.code, "reader": reader, "stage": "blind", "latest": 1, "locked_utc": when} | grades
        for unit in key_of(tmp_path).units
        for reader in READERS
    ]
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "reads.csv").write_text(csv_text(list(rows[0]), rows), encoding="utf-8")
    return tmp_path


def test_of_a_study_without_patients_the_visit_is_corrected(unnamed):
    swap = [("", "visit-1", "", "visit-2", "the date"), ("", "visit-2", "", "visit-1", "the date")]
    assert unblinded(unnamed, *corrections(unnamed, *swap)).exit_code == 0
    right = {filed: correct for _, filed, _, correct, _ in swap}
    filed = {unit.code: unit.visit for unit in key_of(unnamed).units}
    _, rows = table(unnamed / "opened" / "reads.csv")
    assert len(rows) == 16
    for row in rows:
        unit = filed[row["code"]]
        assert (row["patient"], row["visit"]) == ("", right.get(unit, unit))
    refused = unblinded(unnamed, *corrections(unnamed, swap[0]), "--overwrite")
    assert "visit-1 and visit-2 would become one, visit-2" in said(refused)
    named = ("", "visit-1", "P01", "visit-9", "the date")
    refused = unblinded(unnamed, *corrections(unnamed, named), "--overwrite")
    assert "correct_patient is 'P01', and nothing in the key has a patient: leave it blank" in said(refused)


def test_of_a_study_without_patients_a_visit_that_does_not_count_is_left_out_by_its_code(unnamed):
    pytest.importorskip("scipy", reason="needs the extra stats")
    row = ("", "visit-3", "", "", "a nurse")
    assert unblinded(unnamed, *corrections(unnamed, row)).exit_code == 0
    reads, name = unnamed / "opened" / "reads.csv", not_counted(unnamed, row)
    refused = masi("agree", reads, "--draws", 100, "--out", unnamed / "agreement")
    assert f"not to count are counted here: {name}." in said(refused)
    (unnamed / "without.csv").write_text(f"patient\n{name}\n", encoding="utf-8")
    leave = ("--without", unnamed / "without.csv")
    done = ok("agree", reads, "--draws", 100, *leave, "--out", unnamed / "agreement")
    assert "Visits not counted: 1 of 1 that without.csv lists." in said(done)
