"""The visits of a patient are laid over the first: tables, pictures, and a sentence for every trouble."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image
from verbs import masi, table

from masi_vision.cli import changes
from masi_vision.cli.changes import find_series
from masi_vision.config import load_settings
from masi_vision.errors import OutputError
from masi_vision.face.atlas import SUBUNITS
from masi_vision.reads_table import AMOUNT
from masi_vision.report.change import CHANGE_COLUMNS, REGION_CHANGE_COLUMNS
from masi_vision.report.tables import run_of, why_cut_short
from masi_vision.stats.courses import courses_of

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def results(demo_visits, tmp_path_factory):
    """The demo patient's two visits, and a third that cannot be read."""
    base = tmp_path_factory.mktemp("compare")
    patient = base / "study" / demo_visits[0].parent.name
    for visit in demo_visits[:2]:
        (patient / visit.name).mkdir(parents=True)
        shutil.copy(visit / "front.jpg", patient / visit.name)
    (patient / "visit-3").mkdir()
    (patient / "visit-3" / "front.jpg").write_text("not a picture")
    done = masi("compare", base / "study", "--out", base / "out")
    return done, base


def test_every_follow_up_has_its_row(results):
    done, base = results
    assert done.exit_code == 1
    columns, rows = table(base / "out" / "changes.csv")
    assert tuple(columns) == CHANGE_COLUMNS
    assert [(row["follow_up"], row["status"], row["reason"]) for row in rows] == [
        ("visit-2", "compared", ""),
        ("visit-3", "not_compared", "unreadable"),
    ]
    assert {row["baseline"] for row in rows} == {"visit-1"}
    assert float(rows[0]["mmasi_change"]) <= 0
    assert float(rows[0]["residual_front"]) < 0.01
    assert rows[1]["mmasi_change"] == rows[1]["residual_front"] == ""
    assert "visit-3: unreadable. The follow-up could not be measured." in done.stdout
    assert "1 of 2 follow-ups compared." in done.stdout


def test_every_region_has_its_row_and_blank_is_not_zero(results):
    _, base = results
    columns, rows = table(base / "out" / "region_changes.csv")
    assert tuple(columns) == REGION_CHANGE_COLUMNS
    assert len(rows) == 2 * len(SUBUNITS)
    forehead = {row["follow_up"]: row for row in rows if row["region"] == "forehead"}
    assert float(forehead["visit-2"]["registered_od"]) < 0
    missing = {value for column, value in forehead["visit-3"].items() if column not in CHANGE_COLUMNS[:3]}
    assert missing == {"", "forehead", "unreadable"}


def test_the_visits_stand_side_by_side(results):
    _, base = results
    with Image.open(base / "out" / "pictures" / "demo-01_front.jpg") as picture:
        assert picture.width > 1.5 * picture.height / 2
        assert not picture.getexif()
    assert [file.name for file in (base / "out" / "pictures").iterdir()] == ["demo-01_front.jpg"]


def test_the_tree_holds_the_same(results):
    _, base = results
    tree = json.loads((base / "out" / "changes.json").read_text(encoding="utf-8"))
    _, rows = table(base / "out" / "changes.csv")
    _, regions = table(base / "out" / "region_changes.csv")
    assert [one["follow_up"] for one in tree] == ["visit-2", "visit-3"]
    assert float(rows[0]["mmasi_change"]) == pytest.approx(tree[0]["mmasi_change"])
    for row in regions[: len(SUBUNITS)]:
        told = tree[0]["regions"][row["region"]]["registered_od"]
        assert float(row["registered_od"]) == pytest.approx(told, abs=1e-5)
    assert set(tree[0]["photos_sha256"]["baseline"]) == {"front"}


def test_the_results_do_not_tell_where_the_photos_lay(results):
    _, base = results
    for name in ("changes.csv", "region_changes.csv", "changes.json", "scores.json", "run.json"):
        assert str(base) not in (base / "out" / name).read_text(encoding="utf-8")


def test_what_a_comparison_tells_of_its_run_is_taken_by_whoever_reads_its_tables(results):
    """With and without remarks, which are words among the counts."""
    out = results[1] / "out"
    assert "remarks" in run_of(out)["comparisons"]
    assert [why_cut_short(out / name) for name in ("changes.csv", "scores.csv", "regions.csv")] == [""] * 3


def test_the_scores_stand_beside_the_changes(results):
    _, base = results
    _, rows = table(base / "out" / "scores.csv")
    assert [row["visit"] for row in rows] == ["visit-1", "visit-2", "visit-3"]
    record = json.loads((base / "out" / "run.json").read_text(encoding="utf-8"))
    assert (record["state"], record["comparisons"]["compared"]) == ("finished", 1)
    assert record["comparisons"]["not_compared"] == 1


def test_a_file_that_stands_at_two_visits_is_told_wherever_they_are(results, demo_visits, tmp_path):
    study = tmp_path / "study"
    for patient, names in (("A", ("visit-1", "visit-2")), ("B", ("visit-2", "visit-3"))):
        for name, shown in zip(names, demo_visits[:2], strict=True):
            (study / patient / name).mkdir(parents=True)
            shutil.copy(shown / "front.jpg", study / patient / name)
    done = masi("compare", study, "--out", tmp_path / "out", "--no-pictures")
    said = " ".join(done.output.split())
    assert "A/visit-1/front, B/visit-2/front are one and the same file." in said
    assert done.exit_code == 1
    _, rows = table(tmp_path / "out" / "changes.csv")
    assert [row["patient"] for row in rows] == ["A", "B"]  # whose the photos are nobody knows
    told = "A/visit-1/front, B/visit-2/front; A/visit-2/front, B/visit-3/front."
    assert all(told in row["message"] for row in rows)
    assert {row["amount_change_od"] for row in rows} == {""}


def test_follow_ups_that_are_one_file_have_no_change_in_the_table_and_the_outcome(demo_visits, tmp_path):
    """Nobody knows of which visit the photo is; the patient's other follow-up keeps its change."""
    study, (first, second) = tmp_path / "study", demo_visits[:2]
    for name, shown in (("visit-1", first), ("visit-2", second), ("visit-3", second), ("visit-4", second)):
        (study / "A" / name).mkdir(parents=True)
        shutil.copy(shown / "front.jpg", study / "A" / name)
    with (study / "A" / "visit-4" / "front.jpg").open("ab") as stream:
        stream.write(b"0")  # another file
    done = masi("compare", study, "--out", tmp_path / "out", "--no-pictures")
    assert done.exit_code == 1
    _, rows = table(tmp_path / "out" / "changes.csv")
    told = "One and the same file: A/visit-2/front, A/visit-3/front."
    assert [row["status"] for row in rows] == ["compared"] * 3
    assert [told in row["message"] for row in rows] == [True, True, False]
    for name in ("mmasi_change", "mmasi_change_low", "amount_change_od", "amount_change_od_high"):
        assert [row[name] != "" for row in rows] == [False, False, True]
    assert all(row["amount_before_od"] for row in rows)
    assert told in " ".join(done.output.split())
    (course,) = courses_of(rows, {"A": "active"}, AMOUNT, "changes.csv")
    assert set(course.values) == {"visit-1", "visit-4"}


def test_a_patient_in_two_spellings_is_told_before_there_is_nothing_to_compare(placeholders):
    with pytest.raises(OutputError, match="'P 01' and 'P01' differ in case"):
        series([placeholders("P 01/v1/front.jpg", "P01/v2/front.jpg")])


@pytest.mark.parametrize(
    ("visits", "told"),
    [
        ({"A": "12", "B": "12", "C": "23"}, "another of C (v2)"),
        ({"A": "12", "B": "34", "C": "56"}, ""),  # visits called by their days differ anyway
        ({"A": "12", "B": "12"}, ""),
    ],
)
def test_a_missing_first_visit_moves_the_baseline_with_a_remark(placeholders, visits, told):
    study = placeholders(*(f"{p}/v{one}/front.jpg" for p, numbers in visits.items() for one in numbers))
    _, remarks = series([study])
    assert bool(remarks) == bool(told)
    assert told in " ".join(remarks)


def test_a_visit_of_before_treatment_comes_first_by_its_minus(placeholders):
    study = placeholders(*(f"A/day {day}/front.jpg" for day in ("1", "-14", "29")))
    assert series([study]) == ([("A", ["day -14", "day 1", "day 29"])], [])


def test_where_a_dash_may_be_a_minus_the_baseline_is_asked_for(placeholders):
    study = placeholders(*(f"{p}/{day}/front.jpg" for p in "AB" for day in ("D-14", "D1", "EOT")))
    said = "A has the visits 'D1', 'D-14': whether a dash there is a minus.*with 1 more. Name the baseline"
    with pytest.raises(OutputError, match=said):
        series([study])
    found, _ = series([study], "D-14")
    assert [(patient, visits[0]) for patient, visits in found] == [("A", "D-14"), ("B", "D-14")]


def test_results_are_not_overwritten_unasked(results):
    _, base = results
    again = masi("compare", base / "study", "--out", base / "out")
    assert again.exit_code == 2
    assert "already holds" in again.output


def test_the_results_are_never_the_study_itself(results):
    _, base = results
    done = masi("compare", base / "study", "--out", base / "study", "--overwrite")
    assert done.exit_code == 2
    assert "both read and written" in done.output
    assert not (base / "study" / "run.json").exists()


@pytest.fixture
def placeholders(tmp_path):
    """Make files where visits would be: finding them reads none."""

    def make(*names):
        for name in names:
            (tmp_path / "study" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "study" / name).write_bytes(b"x")
        return tmp_path / "study"

    return make


def series(paths, baseline=None):
    found = find_series(paths, load_settings().views, baseline)
    names = [(one.patient, [files.visit for files in one.visits]) for one in found.series]
    return names, list(found.remarks)


def test_strangers_are_never_one_patient(placeholders):
    study = placeholders("A/v1/front.jpg", "A/v2/front.jpg", "B/front.jpg", "C/front.jpg")
    found, remarks = series([study])
    assert found == [("A", ["v1", "v2"])]
    assert [remark.split()[0] for remark in remarks] == ["B", "C"]


def test_a_patient_with_one_visit_is_passed_over_with_a_remark(placeholders):
    study = placeholders("A/v1/front.jpg", "A/v2/front.jpg", "B/v1/front.jpg")
    found, remarks = series([study])
    assert found == [("A", ["v1", "v2"])]
    assert remarks == ["B was passed over: one visit alone."]


def test_photos_whose_names_tell_no_view_are_passed_over_with_the_true_reason(placeholders):
    study = placeholders("A/v1/front.jpg", "A/v2/front.jpg", "B/v1/vorne.jpg", "B/v1/links.jpg")
    found = find_series([study], load_settings().views, None)
    assert any("whose names tell no view" in remark for remark in found.remarks)
    assert found.passed_over == 2


def test_photos_of_one_visit_are_not_taken_for_visits(placeholders):
    study = placeholders("A/v1/IMG1.jpg", "A/v1/IMG2.jpg")
    with pytest.raises(OutputError, match="There is nothing to compare"):
        series([study])


def test_patients_named_side_by_side_are_refused(placeholders):
    study = placeholders("A/v1/front.jpg", "A/v2/front.jpg", "B/v1/front.jpg", "B/v2/front.jpg")
    with pytest.raises(OutputError, match="2 paths were named, and 4 visits found"):
        series([study / "A", study / "B"])


def test_named_visits_come_in_the_order_in_which_they_are_named(placeholders):
    study = placeholders("A/before/front.jpg", "A/after/front.jpg")
    found, _ = series([study / "A" / "before", study / "A" / "after"])
    assert found == [("", ["before", "after"])]


def test_the_baseline_can_be_named(placeholders):
    study = placeholders("A/after/front.jpg", "A/before/front.jpg", "B/after/front.jpg")
    assert series([study], "before")[0] == [("A", ["before", "after"])]
    assert series([study], "before")[1] == ["B was passed over: no visit before."]
    assert series([study])[0] == [("A", ["after", "before"])]


def test_stopped_it_keeps_what_was_compared(results, monkeypatch, tmp_path):
    _, base = results
    whole = changes.score_files

    def stopped(files, *rest):
        if files.visit == "visit-3":
            raise KeyboardInterrupt
        return whole(files, *rest)

    monkeypatch.setattr(changes, "score_files", stopped)
    done = masi("compare", base / "study", "--out", tmp_path / "out", "--no-pictures")
    assert done.exit_code == 130
    _, rows = table(tmp_path / "out" / "changes.csv")
    assert [row["follow_up"] for row in rows] == ["visit-2"]
    assert not (tmp_path / "out" / "pictures").exists()
    assert json.loads((tmp_path / "out" / "run.json").read_text())["state"] == "interrupted"


def test_every_column_is_explained():
    page = (REPOSITORY / "docs" / "comparing.md").read_text(encoding="utf-8")
    provenance = {"settings_sha256", "models", "models_sha256", "atlas"}
    measures = {f"{m}_{w}" for m in ("contrast_od", "integrated_od") for w in ("before", "after", "change")}
    told = {"pigmented_fraction_after", "pigmented_fraction_change"} | provenance | measures
    for column in {*CHANGE_COLUMNS, *REGION_CHANGE_COLUMNS} - told:
        assert f"`{column}`" in page, column
