"""A panel of readers: its figures come back from made reads, and what is missing is said."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("scipy", reason="needs the extra stats")

from masi_vision.errors import StatsError
from masi_vision.reads_table import rows_of, that_count
from masi_vision.scale import MASI_REGIONS
from masi_vision.stats.panel import (
    SOFTWARE,
    _figures,
    _grades,
    _iccs,
    _with_wilson,
    change_table,
    findings,
)
from masi_vision.stats.reads import ReadTable, reads_from, scores_table, table_of

DRAWS = 60


def wide(patient, visit, reader, areas, darkness, **more):
    """A row as the reading page writes it and `masi unblind` completes it."""
    row = {"patient": patient, "visit": visit, "reader": reader, "repeat_of": "", "stage": "blind"}
    row |= {"latest": "1", "locked_utc": "2026-01-01T00:00:00+00:00"}
    for region, area, dark in zip(MASI_REGIONS, areas, darkness, strict=True):
        row[f"{region}_area"], row[f"{region}_darkness"] = str(area), str(dark) if area else ""
    return row | {name: str(value) for name, value in more.items()}


def long(patient, region, area, darkness):
    """One row of a region of a read."""
    row = {"patient": patient, "visit": "v1", "reader": "A", "region": region}
    return row | {"area": str(area), "darkness": str(darkness)}


def without(row, name):
    return {key: value for key, value in row.items() if key != name}


def made_panel(seed=0, patients=40, software_error=0.5, biases=(0, 0, 0)):
    """Reads of two visits by three readers, a fifth of the units twice; and the software's scores."""
    rng = np.random.default_rng(seed)
    rows, scores = [], []
    for number in range(patients):
        worst = rng.integers(2, 7, 4)
        for visit in ("v1", "v2"):
            true_area = worst if visit == "v1" else np.maximum(worst - rng.integers(0, 3), 0)
            true_dark = rng.integers(1, 5, 4)
            for reader, bias in zip("ABC", biases, strict=True):
                for repeat in ("", "code") if number % 5 == 0 else ("",):
                    areas = np.clip(true_area + rng.integers(-1, 2, 4) + bias, 0, 6)
                    row = wide(f"P{number:02d}", visit, reader, areas, true_dark, repeat_of=repeat)
                    rows.append(row)
            mmasi = float((np.array([0.3, 0.3, 0.3, 0.1]) * true_area * true_dark).sum())
            found = np.clip(mmasi + rng.normal(0, software_error), 0, 24)
            scores.append({"patient": f"P{number:02d}", "visit": visit, "mmasi": f"{found:.3f}"})
    return reads_from(rows, "reads.csv"), scores_table(scores, "scores.csv")


def by_measure(found, topic, between=None):
    return {
        one.measure: one.estimate for one in found if one.topic == topic and between in (None, one.between)
    }


@pytest.fixture(scope="module")
def found():
    reads, scores = made_panel()
    return findings(reads, scores, baseline="v1", final="v2", draws=DRAWS)


def test_every_topic_has_its_figures(found):
    topics = {one.topic for one in found}
    assert topics == {"readers", "grades", "repeats", "software", "leave one out", "change"}
    assert all(one.patients in (40, 8) for one in found)
    for one in found:  # where two readers say the same every time, nobody knows how far they might be apart
        of = one.estimate
        assert of.low <= of.value <= of.high or (of.value == 1 and np.isnan([of.low, of.high]).all()), one


def test_hidden_repeats_tell_a_reader_s_own_error_and_count_nowhere_else(found):
    assert {one.units for one in found if one.topic == "repeats"} == {16}
    assert {one.units for one in found if one.topic == "readers"} == {80}


def test_a_software_that_errs_less_than_readers_is_ahead_and_one_that_errs_more_behind():
    measure = "ICC(2,1) with the others: software less reader, mean over the readers"
    for error, sign in ((0.2, 1), (6.0, -1)):
        reads, scores = made_panel(software_error=error)
        ahead = by_measure(findings(reads, scores, baseline="v1", final="v2", draws=DRAWS), "leave one out")
        assert sign * ahead[measure].value > 0
        assert sign * (ahead[measure].low if sign > 0 else ahead[measure].high) > 0


def test_a_reader_who_grades_higher_shows_as_bias_and_lowers_agreement_alone():
    reads, _ = made_panel(biases=(0, 0, 1))
    found = findings(reads, baseline="v1", final="v2", draws=DRAWS)
    assert by_measure(found, "readers", "A less C")["bias, mMASI"].high < 0
    icc = by_measure(found, "readers", "A, B, C")
    agreement = icc["ICC(2,1), absolute agreement of one reader"].value
    assert agreement < icc["ICC(3,1), consistency of one reader"].value - 0.02
    assert SOFTWARE not in {name for one in found for name in one.between.split(", ")}


def test_change_is_final_less_baseline_of_those_who_have_both():
    rows = [
        wide("P1", "v1", "A", [2] * 4, [2] * 4),
        wide("P1", "v2", "A", [1] * 4, [2] * 4),
        wide("P2", "v1", "A", [3] * 4, [1] * 4),
    ]
    changed = change_table(table_of(reads_from(rows, "r")), "v1", "v2")
    assert changed.patients == ("P1",)
    assert changed.values.tolist() == [[pytest.approx(-2.0)]]
    with pytest.raises(StatsError, match="No read is of visit 'v9'"):
        change_table(table_of(reads_from(rows, "r")), "v1", "v9")


def test_of_several_entries_the_last_blind_one_counts():
    rows = [
        wide("P1", "v1", "A", [1] * 4, [1] * 4, latest=0),
        wide("P1", "v1", "A", [2] * 4, [1] * 4),
        wide("P1", "v1", "A", [6] * 4, [4] * 4, stage="with_software"),
        wide("P2", "v1", "A", [6] * 4, [4] * 4, locked_utc="", stage="blind"),
    ]
    (read,) = reads_from(rows, "r")
    assert (read.patient, read.mmasi) == ("P1", 2.0)


def test_of_a_table_by_region_too_only_locked_blind_reads_count():
    state = {"locked_utc": "2026-01-01", "stage": "blind", "latest": "1"}
    rows = [long("P1", region, 2, 1) | state for region in MASI_REGIONS]
    rows += [long("P2", region, 2, 1) | state | {"locked_utc": ""} for region in MASI_REGIONS]
    (read,) = reads_from(rows, "r")
    assert (read.patient, read.mmasi) == ("P1", 2.0)
    with pytest.raises(StatsError, match="None of the 4 rows of r counts"):
        reads_from([row for row in rows if row["patient"] == "P2"], "r")


def test_a_grade_may_be_written_as_programs_write_it():
    rows = [
        wide("P1", "v1", "A", [2] * 4, [1] * 4, chin_area="2.0"),
        wide("P2", "v1", "A", [2] * 4, [""] * 4),
    ]
    first, second = reads_from(rows, "r")
    assert first.grades["chin", "area"] == 2
    assert np.isnan(second.mmasi)


def test_the_darkness_of_what_is_not_there_counts_nowhere_however_it_is_written():
    kappas = []
    for dark in ("", "0"):
        rng, rows = np.random.default_rng(4), []
        for number in range(30):
            clear = number % 2 == 0
            for reader in "AB":
                area = 0 if clear else 3
                row = wide(f"P{number}", "v1", reader, [area] * 4, rng.integers(1, 5, 4))
                rows.append(row | {f"{region}_darkness": dark for region in MASI_REGIONS if clear})
        found = findings(reads_from(rows, "r"), baseline="v1", final="v1", draws=20)
        (kappa,) = [
            one
            for one in found
            if one.topic == "grades" and one.measure == "darkness: quadratic weighted kappa"
        ]
        kappas.append((kappa.units, kappa.estimate.value))
    assert kappas[0] == kappas[1]
    assert kappas[0][0] == 60


def test_readers_who_shared_the_work_are_compared_in_pairs():
    """Nobody's units were graded by all three: there is no ICC of the panel, and all the rest stands."""
    reads = made_panel()[0]
    split = [read for read in reads if read.rater != "ABC"[int(read.patient[1:]) % 3]]
    found = findings(split, baseline="v1", final="v2", draws=20)
    assert {one.between for one in found if one.topic == "readers"} >= {"A less B", "A, C", "B, C"}
    assert not [one for one in found if one.topic == "readers" and "ICC" in one.measure]
    assert {one.topic for one in found} >= {"readers", "grades", "repeats"}


def test_people_photographed_once_are_patients_though_none_is_named():
    rows = [wide("", f"P{n}", reader, [1 + n % 5] * 4, [1 + n % 3] * 4) for n in range(9) for reader in "AB"]
    assert {read.patient for read in reads_from(rows, "r")} == {f"P{n}" for n in range(9)}
    assert scores_table([{"patient": "", "visit": "P1", "mmasi": "3"}], "s.csv") == {("P1", "P1"): 3.0}


def test_of_one_visit_there_is_no_change():
    reads = [read for read in made_panel()[0] if read.visit == "v1"]
    found = findings(reads, baseline="v1", final="v1", draws=20)
    assert "change" not in {one.topic for one in found}


def test_a_reader_is_not_called_as_the_software_is():
    reads, scores = made_panel()
    renamed = [replace(read, rater=SOFTWARE) if read.rater == "C" else read for read in reads]
    with pytest.raises(StatsError, match="A reader is called 'software'"):
        findings(renamed, scores, baseline="v1", final="v2", draws=20)


def test_a_region_that_was_not_graded_leaves_no_score_and_one_without_pigment_does():
    rows = [wide("P1", "v1", "A", [0, 1, 1, 1], [0, 1, 1, 1]), wide("P2", "v1", "A", [2] * 4, [1] * 4)]
    rows[1]["chin_darkness"] = ""
    first, second = reads_from(rows, "r")
    assert first.mmasi == pytest.approx(0.7)
    assert np.isnan(second.mmasi)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "no rows"),
        ([{"code": "AAA", "reader": "A"}], "after masi unblind"),
        ([wide("P1", "v1", "", [1] * 4, [1] * 4)], "a row without reader: 'P1, v1, "),
        ([wide("P1", "v1", "A", ["x"] * 4, [1] * 4)], "Expected a whole number"),
        ([wide("P1", "v1", "A", [9] * 4, [1] * 4)], "Expected grades of the scale"),
        (
            [wide("P1", "v1", "A", [4] * 4, [1] * 4, mmasi="6.0")],
            "reads.csv, P1 v1 by A: mmasi is 6.0, and its grades make 4. Expected the same",
        ),
        ([wide("P1", "v1", "A", [4] * 4, [1] * 4, mmasi="4.1")], "mmasi is 4.1, and its grades make 4"),
        ([wide("P1", "v1", "A", [4] * 4, [1] * 4, mmasi="four")], "mmasi is 'four'. Expected a number with"),
        ([wide("P1", "v1", "A", [4] * 4, [1] * 4, mmasi="4,0")], "mmasi is '4,0'. Expected a number with"),
        ([wide("P1", "v1", "A", [4, 4, 4, 3], [2] * 4, mmasi="7")], "mmasi is 7, and its grades make 7.8"),
        ([wide("P1", "v1", "A", [4, 4, 4, 3], [2] * 4, mmasi="8.0")], "mmasi is 8.0, and its grades make"),
        (
            [wide("P1", "v1", "A", [4] * 4, [1] * 4, mmasi="4.0", chin_darkness="")],
            "P1 v1 by A: a total is there, and chin has no grade",
        ),
        ([wide("P1", "v1", "A", [1] * 4, [1] * 4)] * 2, "two reads of P1 v1 by A. Expected one, and a rep"),
        (
            [wide("P1", "v1", "A", [1] * 4, [1] * 4, repeat_of=code) for code in ("", "BC", "DF")],
            "two hidden repeats of P1 v1 by A. Expected one at most.",
        ),
        ([without(wide("P1", "v1", "A", [1] * 4, [1] * 4), "chin_darkness")], "lacks chin_darkness"),
        ([long("P1", "chin", 1, 1), long("P1", "chin", 6, 4)], "two reads of P1 v1, chin, by A"),
        ([long("P1", "fore head", 1, 1)], "the region 'fore head'"),
        ([without(long("P1", "chin", 1, 1), "darkness")], "lacks darkness"),
    ],
)
def test_reads_that_cannot_be_are_refused_with_a_sentence(rows, said):
    with pytest.raises(StatsError, match=said):
        reads_from(rows, "reads.csv")


@pytest.mark.parametrize("told", ["8", "7.8", "7.80", "7.80000001"])
def test_a_total_that_somebody_rounded_is_no_contradiction_and_the_grades_count(told):
    (read,) = reads_from([wide("P1", "v1", "A", [4, 4, 4, 3], [2] * 4, mmasi=told)], "reads.csv")
    assert read.mmasi == pytest.approx(7.8)


@pytest.mark.parametrize("told", ["4.0", "4", "4.05", ""])
def test_a_total_that_its_grades_make_or_that_nobody_wrote_is_no_contradiction(told):
    (read,) = reads_from([wide("P1", "v1", "A", [4] * 4, [1] * 4, mmasi=told)], "reads.csv")
    assert read.mmasi == pytest.approx(4)


def test_one_reader_is_no_panel():
    rows = [wide(f"P{n}", "v1", "A", [1 + n % 5] * 4, [1] * 4) for n in range(9)]
    with pytest.raises(StatsError, match="The readers are A, and no two share more than 0"):
        findings(reads_from(rows, "r"), baseline="v1", final="v1")


@pytest.mark.parametrize("text", ["", "NA", "nan", "."])
def test_a_score_that_is_missing_is_none_however_it_is_written(tmp_path, text):
    file = tmp_path / "scores.csv"
    file.write_text(f"patient,visit,mmasi\nP1,v1,3.2\nP1,v2,{text}\n", encoding="utf-8")
    assert scores_table(rows_of(file), file.name) == {("P1", "v1"): 3.2}


@pytest.mark.parametrize("text", ["7,5", "999", "-1", "inf", "none"])
def test_what_is_no_score_is_refused_by_name(text):
    rows = [{"patient": "P1", "visit": "v2", "mmasi": text}]
    with pytest.raises(
        StatsError, match=rf"scores.csv, P1 v2: mmasi is '{text}'. Expected a number from 0 to 24"
    ):
        scores_table(rows, "scores.csv")


def test_two_scores_of_a_visit_are_refused():
    rows = [{"patient": "P1", "visit": "v2", "mmasi": text} for text in ("3.2", "24.0")]
    with pytest.raises(StatsError, match=r"scores\.csv has two rows of P1 v2"):
        scores_table(rows, "scores.csv")


def test_a_row_for_every_region_may_say_the_score_of_the_visit_again():
    """As the truth of a made study does."""
    rows = [{"patient": "P1", "visit": "v1", "mmasi": "3.2", "region": name} for name in MASI_REGIONS]
    assert scores_table(rows, "truth.csv") == {("P1", "v1"): 3.2}
    with pytest.raises(StatsError, match="two rows of P1 v1"):
        scores_table([*rows, rows[0] | {"mmasi": "3.3"}], "truth.csv")


def test_an_endpoint_of_another_range_is_taken_as_it_is():
    assert scores_table([{"patient": "P1", "visit": "v1", "msi": "60.5"}], "s.csv", "msi") == {
        ("P1", "v1"): 60.5
    }
    with pytest.raises(StatsError, match="msi is 'inf'"):
        scores_table([{"patient": "P1", "visit": "v1", "msi": "inf"}], "s.csv", "msi")


def test_readers_who_stand_for_others_have_an_interval_that_knows_of_readers():
    """Drawn by patient alone it held the truth in 79 of 100 such panels."""
    rng, held = np.random.default_rng(3), 0
    for _ in range(60):
        units, raters = rng.normal(0, 1, (40, 1)), rng.normal(0, np.sqrt(0.2), 5)
        values = units + raters + rng.normal(0, np.sqrt(0.3), (40, 5))
        table = ReadTable(tuple(map(str, range(40))), ("v",) * 40, tuple("ABCDE"), values)
        (one,) = _figures("readers", "", table, _iccs({"2,1": "ICC"}), 100)
        held += one.estimate.low <= 1 / 1.5 <= one.estimate.high
    assert held >= 0.85 * 60


@pytest.mark.parametrize(("patients", "visits", "is_told"), [(7, 1, True), (7, 6, False), (8, 6, True)])
def test_visits_of_a_few_patients_are_no_patients_of_their_own(patients, visits, is_told):
    """A formula that takes them for such held the bias of seven people with six visits in 69 of 100."""
    names = tuple(f"P{number}" for number in range(patients) for _ in range(visits))
    values = np.random.default_rng(1).normal(0, 1, (len(names), 2))
    table = ReadTable(names, ("v",) * len(names), ("A", "B"), values)
    (one,) = _figures("readers", "", table, _iccs({"2,1": "ICC"}), 100)
    assert np.isfinite(one.estimate.value)
    assert np.isfinite([one.estimate.low, one.estimate.high]).all() == is_told


def test_what_never_varies_has_no_width_that_is_not_there():
    names = tuple(f"P{number}" for number in range(20))
    same = ReadTable(names, ("v",) * 20, ("A", "B"), np.ones((20, 2)))
    kappa, exact, _ = _figures("", "", same, _grades("area"), 100)
    assert np.isnan(kappa.estimate.low)
    assert np.isnan(exact.estimate.low)
    share = _with_wilson(exact).estimate
    assert share.value == share.high == 1.0
    assert 0.8 < share.low < 0.9
    few = ReadTable(names[:4], ("v",) * 4, ("A", "B"), np.arange(8.0).reshape(4, 2))
    assert all(np.isnan(one.estimate.low) for one in _figures("", "", few, _grades("area"), 100))


@pytest.mark.parametrize(
    ("changes", "locked"),
    [
        ({"latest": "1.0", "stage": "Blind"}, True),
        ({"latest": "0"}, False),
        ({"stage": "with_software"}, False),
        ({"locked_utc": ""}, False),
    ],
)
def test_a_read_counts_that_is_locked_blind_and_the_last_however_programs_write_it(changes, locked):
    row, other = (wide(patient, "v1", "A", (1, 1, 1, 1), (1, 1, 1, 1)) for patient in ("P1", "P2"))
    assert len(that_count([row | changes, other], "r")) == 1 + locked


def test_a_darkness_where_there_is_no_pigment_counts_nowhere():
    row = wide("P1", "v1", "A", (0, 0, 0, 0), (1, 1, 1, 1)) | {"chin_darkness": "3"}
    assert reads_from([row], "reads.csv")[0].mmasi == 0


def test_a_grade_that_is_none_is_told_with_its_patient_and_reader():
    row = wide("P1", "v1", "A", (1, 1, 1, 1), (1, 1, 1, 1)) | {"chin_area": "#N/A"}
    with pytest.raises(StatsError, match=r"^r, P1 v1 by A: chin_area is '#N/A'\. Expected a whole number"):
        reads_from([row], "r")


def test_what_was_due_when_the_reading_was_closed_needs_no_reader():
    """As masi review export writes it of a unit that no adjudicator locked."""
    rows = [wide("P1", "v1", name, (1, 1, 1, 1), (1, 1, 1, 1)) | {"locked_utc": name} for name in ("A", "")]
    assert [read.rater for read in reads_from(rows, "reads.csv")] == ["A"]


@pytest.mark.parametrize(("first", "second"), [("A", "a"), ("Contrôle", "Contro\u0302le")])
def test_two_spellings_of_a_reader_are_refused(first, second):
    rows = [wide("P1", "v1", name, (1, 1, 1, 1), (1, 1, 1, 1)) for name in (first, second)]
    with pytest.raises(StatsError, match="Expected one spelling"):
        reads_from(rows, "reads.csv")


def test_a_share_rests_on_the_patients_that_both_graded():
    """Anna grades twelve patients, Ben four of them: Wilson of 4 of 4 is 0.51 to 1."""
    rows = [
        wide(f"P{n}", "v1", who, [1, 2, 3, 1], [1, 2, 3, 1]) for who in ("anna", "ben") for n in range(12)
    ]
    few = [row for row in rows if row["reader"] == "anna" or row["patient"] in ("P0", "P1", "P2", "P3")]
    found = findings(reads_from(few, "reads"), baseline="v1", final="v1", draws=DRAWS)
    (exact,) = [one for one in found if one.measure == "area: exact agreement"]
    assert (exact.patients, exact.estimate.value, exact.estimate.high) == (4, 1, pytest.approx(1))
    assert exact.estimate.low == pytest.approx(0.510, abs=0.001)


@pytest.mark.parametrize("units", [7, 10, 30])
def test_rounding_alone_is_no_agreement(units):
    """All give 1.2 to all: sums of 1.2 differ in their last bit."""
    names = tuple(f"P{number}" for number in range(units))
    same = ReadTable(names, ("v",) * units, ("A", "B", "C", "D"), np.full((units, 4), 1.2))
    found = _figures("", "", same, _iccs({"2,1": "2", "3,1": "3", "1,1": "1"}), 100)
    assert all(np.isnan(one.estimate.value) for one in found)
