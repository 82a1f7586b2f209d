"""`masi calibrate`: a settings file with the cut points of a panel."""

import csv
import json
import re
from datetime import UTC, datetime

import numpy as np
import pytest
from typer.testing import CliRunner

from masi_vision.cli.main import app
from masi_vision.config import load_settings
from masi_vision.reads_table import rows_of, rows_sha256
from masi_vision.report.tables import models_hash
from masi_vision.shipped import shipped_file

pytest.importorskip("scipy", reason="needs the extra stats")

AREA = (0.08, 0.2, 0.35, 0.55, 0.8)
DARKNESS = (0.05, 0.09, 0.14)


def write(file, rows):
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return file


@pytest.fixture(scope="module")
def panel():
    """Measures of 150 visits, and two readers whose own cut points are others than the shipped."""
    rng = np.random.default_rng(0)
    measures, reads = [], []
    for number in range(150):
        for region in ("forehead", "right_malar", "left_malar", "chin"):
            fraction = float(np.exp(rng.uniform(np.log(0.02), np.log(0.98))))
            contrast = float(np.exp(rng.uniform(np.log(0.03), np.log(0.3))))
            key = {"patient": f"P{number // 2:03d}", "visit": f"visit-{number % 2}", "region": region}
            measures.append(key | {"area": 2, "pigmented_fraction": fraction, "contrast_od": contrast})
            for _ in range(2):
                seen = fraction * np.exp(rng.logistic(0, 0.12)), contrast * np.exp(rng.logistic(0, 0.12))
                area = 1 + int(np.searchsorted(AREA, seen[0]))
                reads.append(key | {"area": area, "darkness": 1 + int(np.searchsorted(DARKNESS, seen[1]))})
    measures.append(key | {"region": "nose", "area": "", "pigmented_fraction": "", "contrast_od": ""})
    return reads, measures


def wide(reads):
    rows = {}
    for place, row in enumerate(reads):
        key = (row["patient"], row["visit"], f"R{place % 2}")
        made = rows.setdefault(key, dict(zip(("patient", "visit", "reader"), key, strict=True)))
        made |= {f"{row['region']}_{grade}": row[grade] for grade in ("area", "darkness")}
    return list(rows.values())


def calibrate(*words):
    return CliRunner().invoke(app, ["calibrate", *map(str, words)])


def test_the_settings_have_the_panel_s_cut_points_with_their_origin(panel, tmp_path):
    reads, measures = write(tmp_path / "reads.csv", panel[0]), write(tmp_path / "regions.csv", panel[1])
    out = tmp_path / "mine.yaml"
    done = calibrate(reads, "--measures", measures, "--out", out)
    assert done.exit_code == 0, done.output
    scale = load_settings(out).scale
    np.testing.assert_allclose(scale.area_cut_points, AREA, rtol=0.12)
    np.testing.assert_allclose(scale.darkness_cut_points_od[1:], DARKNESS, rtol=0.12)
    assert scale.darkness_cut_points_od[0] == 0.03
    text = out.read_text(encoding="utf-8")
    assert f"Fitted by masi calibrate on {datetime.now(UTC).date()}" in text
    assert "# 1200 reads of 75 patients; mean error 0." in text
    assert text.count("# Of measures by unknown models: fit again where others measure.") == 2
    assert load_settings(out).pigment == load_settings().pigment
    assert "cross-validated" in done.stdout


def test_reads_of_the_page_serve_too_and_a_clear_region_needs_no_darkness(panel, tmp_path):
    rows = [
        row | {"stage": "blind", "latest": 1, "locked_utc": "2026-11-01", "repeat_of": ""}
        for row in wide(panel[0])
    ]
    rows.append(rows[0] | {"chin_area": 0, "chin_darkness": "", "repeat_of": "BCDFGHJ"})
    rows.append(rows[0] | {"stage": "with_software"} | dict.fromkeys(rows[0].keys() & {"chin_area"}, 6))
    measures = write(tmp_path / "regions.csv", panel[1])
    done = calibrate(
        write(tmp_path / "wide.csv", rows), "--measures", measures, "--out", tmp_path / "wide.yaml"
    )
    assert done.exit_code == 0, done.output
    long = calibrate(
        write(tmp_path / "long.csv", panel[0]), "--measures", measures, "--out", tmp_path / "long.yaml"
    )
    assert long.exit_code == 0, long.output
    given = [load_settings(tmp_path / f"{name}.yaml").scale.area_cut_points for name in ("wide", "long")]
    np.testing.assert_allclose(*given, rtol=0.02)
    texts = [(tmp_path / f"{name}.yaml").read_text(encoding="utf-8") for name in ("wide", "long")]
    assert all("# 1200 reads of 75 patients" in text for text in texts), "a hidden repeat is no further read"


def test_without_patients_every_visit_is_a_patient_as_in_the_other_commands(panel, tmp_path):
    reads, measures = (
        write(
            tmp_path / f"{number}.csv",
            [row | {"patient": "", "visit": f"{row['patient']}-{row['visit']}"} for row in rows],
        )
        for number, rows in enumerate(panel)
    )
    done = calibrate(reads, "--measures", measures, "--out", tmp_path / "mine.yaml")
    assert done.exit_code == 0, done.output
    assert "(1200 reads of 150 patients;" in done.stdout
    assert "masi: no patient is named: every visit counts as a patient" in done.stderr


def test_settings_whose_lists_run_over_lines_are_refused_and_nothing_is_written(panel, tmp_path):
    text = shipped_file("configs", "scoring.yaml").read_text(encoding="utf-8")
    parted = re.sub(r"(  area_cut_points: \[[^,]+,)", r"\1\n   ", text)
    assert parted != text
    (tmp_path / "base.yaml").write_text(parted, encoding="utf-8")
    reads, measures = (write(tmp_path / f"{n}.csv", rows) for n, rows in enumerate(panel))
    settings = ["--settings", tmp_path / "base.yaml", "--out", tmp_path / "mine.yaml"]
    done = calibrate(reads, "--measures", measures, *settings)
    assert done.exit_code == 2
    assert "does each list of cut points in base.yaml stand on one line" in " ".join(done.output.split())
    assert not (tmp_path / "mine.yaml").exists()


def test_reads_of_other_visits_are_refused(panel, tmp_path):
    reads = write(tmp_path / "reads.csv", [row | {"patient": "X" + row["patient"]} for row in panel[0]])
    measures = write(tmp_path / "regions.csv", panel[1])
    done = calibrate(reads, "--measures", measures, "--out", tmp_path / "mine.yaml")
    assert done.exit_code == 2
    said = " ".join(done.output.split())
    assert re.search(r"\d+ visits that were read are not in regions.csv, among them XP000/visit-0\. ", said)
    assert not (tmp_path / "mine.yaml").exists()


def test_a_misspelt_region_or_patient_is_refused_and_not_left_out(panel, tmp_path):
    measures = write(tmp_path / "regions.csv", panel[1])
    for changed, said in (
        ({"region": "Forehead"}, "reads.csv has the region 'Forehead'. Expected one of forehead"),
        ({"patient": "p000"}, "The table has the patients 'P000' and 'p000'. Expected one spelling"),
        ({"patient": "Q000"}, "1 visits that were read are not in regions.csv"),
        ({"area": 0, "darkness": 3}, "P000/visit-0/forehead has area 0 and darkness 3"),
    ):
        reads = write(tmp_path / "reads.csv", [panel[0][0] | changed, *panel[0][1:]])
        done = calibrate(reads, "--measures", measures, "--out", tmp_path / "mine.yaml")
        assert done.exit_code == 2
        assert said in " ".join(done.output.split())
        assert not (tmp_path / "mine.yaml").exists()


def test_too_few_reads_are_refused_in_a_sentence(panel, tmp_path):
    reads = write(tmp_path / "reads.csv", panel[0][:20])
    measures = write(tmp_path / "regions.csv", panel[1])
    done = calibrate(reads, "--measures", measures, "--out", tmp_path / "mine.yaml")
    assert done.exit_code == 2
    assert "The cut points of area cannot be fitted: grade" in done.output
    assert "where both the reader and the software found pigment" in " ".join(done.output.split())


@pytest.mark.parametrize(
    ("name", "value"), [("area", "7"), ("area", "x"), ("darkness", "2.5"), ("darkness", "-1")]
)
def test_a_grade_that_is_none_is_refused_with_its_region(panel, tmp_path, name, value):
    reads = write(tmp_path / "reads.csv", [panel[0][0] | {name: value}, *panel[0][1:]])
    measures = write(tmp_path / "regions.csv", panel[1])
    done = calibrate(reads, "--measures", measures, "--out", tmp_path / "mine.yaml")
    assert done.exit_code == 2
    assert f"The read of P000/visit-0/forehead has {name} '{value}'. Expected a whole number" in done.output


def test_a_region_read_as_pigmented_but_without_darkness_is_left_out_of_darkness(panel, tmp_path):
    reads = write(tmp_path / "reads.csv", [panel[0][0] | {"darkness": 0}, *panel[0][1:]])
    measures = write(tmp_path / "regions.csv", panel[1])
    done = calibrate(reads, "--measures", measures, "--out", tmp_path / "mine.yaml")
    assert done.exit_code == 0
    assert "(1199 reads" in done.stdout


@pytest.mark.parametrize(
    ("blank", "said", "counts"),
    [
        ({"area": ""}, "1 reads are left out", (1199, 1199)),
        ({"darkness": "NA"}, "1 reads count for the area alone", (1200, 1199)),
        ({"darkness": "0"}, "1 reads count for the area alone", (1200, 1199)),
    ],
)
def test_a_read_that_lacks_a_grade_counts_for_the_other_and_is_told(panel, tmp_path, blank, said, counts):
    reads = write(tmp_path / "reads.csv", [panel[0][0] | blank, *panel[0][1:]])
    measures = write(tmp_path / "regions.csv", panel[1])
    done = calibrate(reads, "--measures", measures, "--out", tmp_path / "mine.yaml")
    assert done.exit_code == 0, done.output
    assert said in done.stdout
    assert tuple(int(n) for n in re.findall(r"\((\d+) reads of", done.stdout)) == counts


def test_reads_of_area_alone_fit_the_area_alone(panel, tmp_path):
    reads = write(tmp_path / "reads.csv", [row | {"darkness": ""} for row in panel[0]])
    measures = write(tmp_path / "regions.csv", panel[1])
    done = calibrate(reads, "--measures", measures, "--out", tmp_path / "mine.yaml")
    assert done.exit_code == 1
    assert "area_cut_points: [" in done.stdout
    assert "Kept as they were: The cut points of darkness cannot be fitted" in done.stdout


@pytest.mark.parametrize("what", ["models", "reads"])
def test_settings_never_tell_of_one_panel_what_is_of_two(panel, tmp_path, what):
    """Darkness cannot be fitted, and what stands there is another panel's, or of other models."""
    shown = shipped_file("configs", "scoring.yaml").read_text(encoding="utf-8")
    text = shown.replace("scale:\n", f"scale:\n  fitted_to_{what}: {'b' * 64}\n", 1)
    (tmp_path / "before.yaml").write_text(text, encoding="utf-8")
    used = load_settings(tmp_path / "before.yaml").model_dump(mode="json")
    run = {"settings": used, "version": "0.0.9", "models": "new", "models_sha256": {"a.onnx": "0" * 64}}
    (tmp_path / "run.json").write_text(json.dumps(run), encoding="utf-8")
    reads = write(tmp_path / "reads.csv", [row | {"darkness": ""} for row in panel[0]])
    measures = write(tmp_path / "regions.csv", panel[1])
    settings = ("--settings", tmp_path / "before.yaml", "--out", tmp_path / "mine.yaml")
    refused = calibrate(reads, "--measures", measures, *settings)
    assert refused.exit_code == 2
    said = " ".join(refused.output.split())
    assert "The cut points of darkness cannot be fitted: grade 1 was given 0 times" in said
    assert f"The one that stays as it is in before.yaml was fitted to other {what}. Expected" in said
    assert not (tmp_path / "mine.yaml").exists()


def test_one_scale_alone_is_fitted_where_that_is_wished(panel, tmp_path):
    reads, measures = write(tmp_path / "reads.csv", panel[0]), write(tmp_path / "regions.csv", panel[1])
    out = tmp_path / "mine.yaml"
    done = calibrate(reads, "--measures", measures, "--out", out, "--only", "darkness")
    assert done.exit_code == 0, done.output
    scale, shipped = load_settings(out).scale, load_settings().scale
    assert scale.area_cut_points == shipped.area_cut_points
    assert scale.darkness_cut_points_od != shipped.darkness_cut_points_od
    assert "area" not in done.stdout.replace("regions", "")
    # Then the other one, of the same panel, on top of it.
    both = calibrate(
        *(reads, "--measures", measures, "--settings", out, "--only", "area"),
        *("--out", tmp_path / "both.yaml"),
    )
    assert both.exit_code == 0, both.output
    together = calibrate(reads, "--measures", measures, "--out", tmp_path / "together.yaml")
    assert together.exit_code == 0
    assert load_settings(tmp_path / "both.yaml") == load_settings(tmp_path / "together.yaml")


def test_how_often_each_grade_is_given_is_told_and_cut_points_that_are_no_better(panel, tmp_path):
    reads, measures = write(tmp_path / "reads.csv", panel[0]), write(tmp_path / "regions.csv", panel[1])
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    done = calibrate(reads, "--measures", measures, "--out", first)
    given = [sum(row["darkness"] == grade for row in panel[0]) for grade in (1, 2, 3, 4)]
    told = re.search(
        r"Grades of darkness by the panel and by the software \(cross-validated\): (.*)\.", done.stdout
    )
    assert re.findall(r"(\d) (\d+) and", told[1]) == [(str(k), str(n)) for k, n in enumerate(given, 1)]
    found = [int(n) for n in re.findall(r"and (\d+)", told[1])]
    assert sum(found) == 1200
    np.testing.assert_allclose(found, given, rtol=0.1)
    assert "The cut points before" not in done.stdout
    again = calibrate(reads, "--measures", measures, "--settings", first, "--out", second)
    assert "The cut points before are as near to these reads or nearer: keep them with --only" in again.stdout


def test_a_grade_that_the_software_hardly_gives_is_told(panel, tmp_path):
    """Of measures that hardly follow what readers see, cut points part the middle alone."""
    rng = np.random.default_rng(1)
    blurred = [
        row | {"contrast_od": np.exp(rng.normal(0, 0.5)) * row["contrast_od"] ** 0.3}
        for row in panel[1]
        if row["area"]
    ]
    reads, measures = write(tmp_path / "reads.csv", panel[0]), write(tmp_path / "regions.csv", blurred)
    done = calibrate(reads, "--measures", measures, "--out", tmp_path / "mine.yaml", "--only", "darkness")
    assert done.exit_code == 0, done.output
    assert re.search(r"Less than half as often as the panel the software gives darkness [1-4]", done.stdout)


def test_whom_without_names_is_no_part_of_the_panel(panel, tmp_path):
    reads, measures = write(tmp_path / "reads.csv", panel[0]), write(tmp_path / "regions.csv", panel[1])
    gone = write(tmp_path / "gone.csv", [{"patient": "P003"}, {"patient": "P004"}])
    done = calibrate(reads, "--measures", measures, "--out", tmp_path / "mine.yaml", "--without", gone)
    assert done.exit_code == 0, done.output
    assert "Patients left out: 2 of 2 that gone.csv lists." in done.stdout
    assert "(1168 reads of 73 patients;" in done.stdout
    scale = load_settings(tmp_path / "mine.yaml").scale
    assert scale.fitted_to_reads == rows_sha256(rows_of(reads)), "as masi agree asks for it"


def test_readers_are_told_with_their_share(panel, tmp_path):
    rows = wide(panel[0])
    reads, measures = write(tmp_path / "reads.csv", rows), write(tmp_path / "regions.csv", panel[1])
    done = calibrate(reads, "--measures", measures, "--out", tmp_path / "mine.yaml")
    assert "Reads that count, each as much as any other: R0 600, R1 600." in done.stdout


def test_a_read_without_a_patient_beside_others_is_refused(panel, tmp_path):
    rows = [row | ({"patient": ""} if place < 3 else {}) for place, row in enumerate(panel[0])]
    reads, measures = write(tmp_path / "reads.csv", rows), write(tmp_path / "regions.csv", panel[1])
    refused = calibrate(reads, "--measures", measures, "--out", tmp_path / "mine.yaml")
    assert refused.exit_code == 2
    assert "reads.csv has 3 reads without a patient, among them one of visit visit-0" in refused.output


def test_reads_of_pigment_that_the_software_did_not_find_are_told(panel, tmp_path):
    unseen = [row | {"pigmented_fraction": 0.001} for row in panel[1][:1]]
    reads, measures = (
        write(tmp_path / "reads.csv", panel[0]),
        write(tmp_path / "regions.csv", unseen + panel[1][1:]),
    )
    done = calibrate(reads, "--measures", measures, "--out", tmp_path / "mine.yaml")
    assert done.exit_code == 0, done.output
    assert "2 reads of pigment count for nothing: the software found none there." in done.stdout
    assert "(1198 reads of" in done.stdout


def test_what_the_software_found_where_the_reader_saw_nothing_is_told(panel, tmp_path):
    clear = [row | {"area": 0, "darkness": 0} for row in panel[0][:3]]
    reads, measures = write(tmp_path / "reads.csv", clear + panel[0][3:]), write(tmp_path / "r.csv", panel[1])
    done = calibrate(reads, "--measures", measures, "--out", tmp_path / "mine.yaml")
    assert "3 of 3 reads without pigment count for nothing: the software found some." in done.stdout


def test_reads_that_agree_warns_of_are_warned_of_here_too(panel, tmp_path):
    """Of one patient under two numbers, and of reads of which nobody knows whether more may come."""
    other = {row["patient"]: row["patient"] for row in panel[0]}
    one, two = sorted(other)[:2]
    other |= {one: "P7", two: "P007"}
    reads, measures = (
        write(tmp_path / f"{number}.csv", [row | {"patient": other[row["patient"]]} for row in rows])
        for number, rows in enumerate(panel)
    )
    done = calibrate(reads, "--measures", measures, "--out", tmp_path / "mine.yaml")
    assert "P7" in done.stderr
    assert "P007" in done.stderr


def test_one_reader_in_two_spellings_is_refused(panel, tmp_path):
    rows = [row | {"reader": ("A", "a")[place % 2]} for place, row in enumerate(panel[0])]
    reads, measures = write(tmp_path / "reads.csv", rows), write(tmp_path / "regions.csv", panel[1])
    done = calibrate(reads, "--measures", measures, "--out", tmp_path / "mine.yaml")
    assert done.exit_code == 2
    assert "The table has the readers 'A' and 'a'" in done.output


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"contrast_od": ""}, "the contrast_od '' of P000/visit-0/forehead"),
        ({"contrast_od": "0,05"}, "the contrast_od '0,05' of P000/visit-0/forehead"),
        ({"region": "chin"}, "2 rows of P000 visit-0 chin"),
    ],
)
def test_measures_that_cannot_be_are_refused_by_name(panel, tmp_path, wrong, said):
    reads = write(tmp_path / "reads.csv", panel[0])
    measures = write(tmp_path / "regions.csv", [panel[1][0] | wrong, *panel[1][1:]])
    done = calibrate(reads, "--measures", measures, "--out", tmp_path / "mine.yaml")
    assert done.exit_code == 2
    assert said in " ".join(done.output.split())


def test_hidden_repeats_among_the_measures_count_nowhere(panel, tmp_path):
    """As masi unblind writes them: under the patient and visit that they repeat."""
    measures = [row | {"repeat_of": ""} for row in panel[1]]
    measures += [row | {"repeat_of": "BCDFGHJ", "pigmented_fraction": 0.5} for row in measures[:40]]
    reads = write(tmp_path / "reads.csv", panel[0])
    given = []
    for name, rows in (("with", measures), ("without", panel[1])):
        out = tmp_path / f"{name}.yaml"
        done = calibrate(reads, "--measures", write(tmp_path / f"{name}.csv", rows), "--out", out)
        assert done.exit_code == 0, done.output
        given.append(load_settings(out).scale.area_cut_points)
    assert given[0] == given[1]


def test_the_same_read_twice_is_refused(panel, tmp_path):
    rows = [row | {"reader": f"R{number % 2}"} for number, row in enumerate(panel[0])]
    reads = write(tmp_path / "reads.csv", [*rows, rows[0]])
    measures = write(tmp_path / "regions.csv", panel[1])
    done = calibrate(reads, "--measures", measures, "--out", tmp_path / "mine.yaml")
    assert done.exit_code == 2
    assert "2 rows of P000 visit-0 forehead R0" in " ".join(done.output.split())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("patient,visit\nP1,V1\n", "has the columns patient, visit. Expected region, area, darkness"),
        (
            "patient,visit,region,area\nP1,V1,chin,1\n",
            "lacks darkness; it has patient",
        ),
        ("patient,visit,region,area,darkness\n", "has no row"),
    ],
)
def test_a_table_without_columns_or_rows_is_refused(panel, tmp_path, content, said):
    file = tmp_path / "reads.csv"
    file.write_text(content, encoding="utf-8")
    measures = write(tmp_path / "regions.csv", panel[1])
    done = calibrate(file, "--measures", measures, "--out", tmp_path / "mine.yaml")
    assert done.exit_code == 2
    assert said in " ".join(done.output.split())


def test_a_file_that_is_there_stays_as_it_is(panel, tmp_path):
    reads, measures = write(tmp_path / "reads.csv", panel[0]), write(tmp_path / "regions.csv", panel[1])
    out = tmp_path / "mine.yaml"
    out.write_text("mine", encoding="utf-8")
    assert calibrate(reads, "--measures", measures, "--out", out).exit_code == 2
    assert out.read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize(
    ("written", "is_kept"), [("[ 0.041, ", True), ("[4.1e-2, ", True), ("[0.055, ", False)]
)
def test_the_first_cut_point_stays_however_it_is_written(panel, tmp_path, written, is_kept):
    reads, measures = write(tmp_path / "reads.csv", panel[0]), write(tmp_path / "regions.csv", panel[1])
    base, out = tmp_path / "base.yaml", tmp_path / "mine.yaml"
    text = shipped_file("configs", "scoring.yaml").read_text(encoding="utf-8")
    base.write_text(re.sub(r"(darkness_cut_points_od: )\[[\d.]+, ", rf"\1{written}", text), encoding="utf-8")
    done = calibrate(reads, "--measures", measures, "--settings", base, "--out", out)
    assert done.exit_code == 0, done.output
    points = load_settings(out).scale.darkness_cut_points_od
    assert points[0] == (0.041 if is_kept else pytest.approx(0.9 * points[1], abs=1e-4))
    assert f"darkness_cut_points_od: [{points[0]:g}, {points[1]:g}" in done.stdout
    assert ("It was lowered to" in done.stdout) is not is_kept


def test_darkness_is_fitted_though_nobody_gave_area_6(panel, tmp_path):
    """The area bands are published; the darkness cut points are what a study has to fit."""
    reads = [row | {"area": min(row["area"], 5)} for row in panel[0]]
    out = tmp_path / "mine.yaml"
    done = calibrate(
        write(tmp_path / "reads.csv", reads),
        *("--measures", write(tmp_path / "regions.csv", panel[1]), "--out", out),
    )
    assert done.exit_code == 1, done.output
    assert "Kept as they were: The cut points of area cannot be fitted: grade 6 was given 0" in done.stdout
    scale = load_settings(out).scale
    assert scale.area_cut_points == load_settings().scale.area_cut_points
    np.testing.assert_allclose(scale.darkness_cut_points_od[1:], DARKNESS, rtol=0.12)


def test_a_misspelt_grade_of_a_region_is_refused_and_a_blank_one_counted(panel, tmp_path):
    rows, measures = wide(panel[0]), write(tmp_path / "regions.csv", panel[1])
    misspelt = [
        {name.replace("chin_dark", "chin_drak"): value for name, value in row.items()} for row in rows
    ]
    refused = calibrate(
        write(tmp_path / "a.csv", misspelt), "--measures", measures, "--out", tmp_path / "a.yaml"
    )
    assert refused.exit_code == 2
    assert "lacks chin_darkness" in " ".join(refused.output.split())
    blank = [
        row | ({"chin_area": "", "chin_darkness": ""} if place < 7 else {}) for place, row in enumerate(rows)
    ]
    done = calibrate(write(tmp_path / "b.csv", blank), "--measures", measures, "--out", tmp_path / "b.yaml")
    assert done.exit_code == 0, done.output
    assert "7 reads are left out: the reader did not grade them." in done.stdout


def test_a_region_that_was_clear_to_everybody_needs_no_darkness(panel, tmp_path):
    rows = [row | {"chin_area": 0} for row in wide(panel[0])]
    for row in rows:
        del row["chin_darkness"]
    reads, measures = write(tmp_path / "a.csv", rows), write(tmp_path / "regions.csv", panel[1])
    done = calibrate(reads, "--measures", measures, "--out", tmp_path / "a.yaml")
    assert done.exit_code == 0, done.output
    assert "Which settings made" in done.stdout
    without = [{key: value for key, value in row.items() if key != "region"} for row in panel[1]]
    refused = calibrate(reads, "--measures", write(tmp_path / "b.csv", without), "--out", tmp_path / "b.yaml")
    assert refused.exit_code == 2
    assert "b.csv lacks region" in refused.output


@pytest.mark.parametrize(
    ("run", "said"),
    [
        ({"state": "interrupted", "counts": {"scored": 3}}, "is interrupted, 3 of unknown visits done"),
        ({"counts": {"scored": 1, "not_scored": 0}}, "rows, and run.json beside it tells of 6"),
        ({"settings": {"scale": {"nose_counts_toward": "forehead"}}}, "made with another scale.noise_floor"),
    ],
)
def test_measures_of_a_stopped_run_or_of_other_settings_are_refused(panel, tmp_path, run, said):
    reads, measures = write(tmp_path / "reads.csv", panel[0]), write(tmp_path / "regions.csv", panel[1])
    (tmp_path / "run.json").write_text(json.dumps(run), encoding="utf-8")
    refused = calibrate(reads, "--measures", measures, "--out", tmp_path / "mine.yaml")
    assert refused.exit_code == 2
    assert said in " ".join(refused.output.split())
    dumped = {"settings": load_settings().model_dump(mode="json"), "version": "0.0.9"}
    dumped |= {"models": "site-a", "models_sha256": {"a.onnx": "0" * 64}}
    (tmp_path / "run.json").write_text(json.dumps(dumped), encoding="utf-8")
    assert calibrate(reads, "--measures", measures, "--out", tmp_path / "mine.yaml").exit_code == 0
    hashed = models_hash(dumped["models_sha256"])
    text = (tmp_path / "mine.yaml").read_text(encoding="utf-8")
    assert "# Of measures by masi_vision 0.0.9 with the models site-a: fit again" in text
    assert text.count(f"\n  fitted_to_models: {hashed}\n") == 1
    fitted = load_settings(tmp_path / "mine.yaml")
    assert fitted.scale.fitted_to_models == hashed
    assert fitted.scale.fitted_to_reads == rows_sha256(rows_of(reads))
    # Fitted again to measures of nobody knows which models, it belongs to none.
    (tmp_path / "run.json").unlink()
    again = ("--settings", tmp_path / "mine.yaml", "--out", tmp_path / "again.yaml")
    assert calibrate(reads, "--measures", measures, *again).exit_code == 0
    assert load_settings(tmp_path / "again.yaml").scale.fitted_to_models is None
    assert load_settings(tmp_path / "again.yaml").scale.fitted_to_reads == fitted.scale.fitted_to_reads


def test_measures_in_per_cent_and_reads_of_the_nose(panel, tmp_path):
    rows = [row | {"pigmented_fraction": 100 * row["pigmented_fraction"]} for row in panel[1] if row["area"]]
    refused = calibrate(
        write(tmp_path / "reads.csv", panel[0]),
        *("--measures", write(tmp_path / "percent.csv", rows), "--out", tmp_path / "a.yaml"),
    )
    assert refused.exit_code == 2
    assert "Expected a number with a decimal point, from 0 to 1" in " ".join(refused.output.split())
    nose = [*panel[0], panel[0][0] | {"region": "nose"}]
    done = calibrate(
        write(tmp_path / "nose.csv", nose),
        *("--measures", write(tmp_path / "regions.csv", panel[1]), "--out", tmp_path / "b.yaml"),
    )
    assert done.exit_code == 0, done.output
