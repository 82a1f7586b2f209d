"""A coded set from a study full of names, and the way back."""

import csv
import itertools
import json
import os
import re
import shutil
import stat
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from named_photos import found_in, make_set, write_named_study
from verbs import masi, table

from masi_vision.batch.study import visits_of
from masi_vision.blinding import check, coded_set, photo
from masi_vision.blinding.check import _goes_with_visits, _size_px, problems_of
from masi_vision.blinding.coded_set import FILE_TIME, read_contents, read_order
from masi_vision.blinding.journal import first_broken, note
from masi_vision.blinding.key import CodedUnit, Key, opened, sealed
from masi_vision.blinding.order import draw_codes
from masi_vision.blinding.unblind import Table, read_allocation, read_tables, unblinded
from masi_vision.cli.options import secret
from masi_vision.config import load_settings
from masi_vision.csv_table import csv_text
from masi_vision.errors import BlindingError, KeyFileError, OutputError
from masi_vision.photo import read_photo
from masi_vision.reads_table import rows_of

PASSPHRASE = "long enough for anyone"
PATIENTS = ["Alvarez-0417", "Brandt-0922", "Çelik-1130", "王-0001-Ping"]
VISITS = ["baseline-2026-01-10", "month-6-2026-07-10"]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Four patients, two visits each, in every format; what is planted in them."""
    folder = tmp_path_factory.mktemp("clinic")
    rng = np.random.default_rng(0)
    picture = rng.integers(30, 230, (80, 72, 3), dtype=np.uint8)
    planted = write_named_study(folder / "study", PATIENTS, VISITS, picture)
    (folder / "passphrase").write_text(PASSPHRASE + "\n", encoding="utf-8")
    return folder, planted


@pytest.fixture
def no_chance(monkeypatch):
    """Of each thousand sets one has codes in the order of the patients, and is refused."""
    monkeypatch.setattr(check, "_UNLIKELY", 0)


@pytest.fixture(scope="module")
def coded(study):
    folder, _ = study
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(check, "_UNLIKELY", 0)
        done = masi(
            *("blind", folder / "study", "--out", folder / "set", "--key", folder / "key"),
            *("--passphrase-file", folder / "passphrase", "--reader", "anna", "--reader", "ben"),
        )
    assert done.exit_code == 0, done.output
    return folder / "set", opened(folder / "key", PASSPHRASE)


@pytest.mark.skipif(os.name != "posix", reason="rights of folders are POSIX's")
def test_a_set_is_its_owners_alone_until_it_is_handed_on(coded):
    assert stat.S_IMODE(coded[0].stat().st_mode) == 0o700


def test_nothing_of_the_study_is_in_the_set(study, coded):
    folder, planted = study
    assert len(found_in(folder / "study", planted)) > 50
    assert found_in(coded[0], planted) == []


@pytest.mark.usefixtures("no_chance")
def test_no_two_photos_of_a_set_are_the_same_file_even_where_chance_would_have_it(
    study, tmp_path, monkeypatch
):
    sizes = itertools.chain([7] * 40, itertools.count(1))
    monkeypatch.setattr(photo.secrets, "randbelow", lambda _: next(sizes))
    done = masi(
        *("blind", study[0] / "study", "--out", tmp_path / "set", "--key", tmp_path / "key"),
        *("--passphrase-file", study[0] / "passphrase"),
    )
    assert done.exit_code == 0, done.output
    hashes = read_contents(tmp_path / "set").photos
    assert len(set(hashes.values())) == len(hashes)


@pytest.mark.parametrize(
    ("what", "suffix", "views", "sides_px", "patients", "visits"),
    [
        ("the format of its files", ".png", ("front",), (80, 80), 8, ("v1", "v2")),
        ("which views it has", ".jpg", ("front", "left"), (80, 80), 8, ("v1", "v2")),
        ("the size of its front in pixels", ".jpg", ("front",), (90, 80), 8, ("v1", "v2")),
        ("the format of its files", ".png", ("front",), (80, 80), 8, ("2024-01-{:02}", "2025-02-{:02}")),
        ("the format of its files", ".png", ("front",), (80, 80), 2, ("v1", "v2")),
        ("", ".jpg", ("front",), (80, 80), 8, ("v1", "v2")),
    ],
    ids=["format", "views", "size", "visits named by date", "two patients", "all alike"],
)
def test_photos_that_tell_the_visit_are_warned_of(tmp_path, what, suffix, views, sides_px, patients, visits):
    """Another camera at month 6: names are gone, and every reader sees which half is which."""
    rng = np.random.default_rng(0)
    later, first = (suffix, views, sides_px[0]), (".jpg", ("front",), sides_px[1])
    for patient in range(patients):
        for visit, (ending, shown, side) in zip(visits, (first, later), strict=True):
            folder = tmp_path / "study" / f"P{patient}" / visit.format(1 + patient)
            folder.mkdir(parents=True)
            for view in shown:
                picture = rng.integers(0, 255, (side, 80, 3), dtype=np.uint8)
                cv2.imwrite(str(folder / f"{view}{ending}"), picture)
    (tmp_path / "pass").write_text(PASSPHRASE)
    with_key = ("--key", tmp_path / "key", "--passphrase-file", tmp_path / "pass")
    made = masi("blind", tmp_path / "study", "--out", tmp_path / "set", *with_key)
    checked = masi("blind", "check", tmp_path / "set", *with_key)
    for done in (made, checked):
        assert done.exit_code == (1 if what else 0), done.output
        assert done.stderr.count("Warning: A reader may tell which visit a unit is") == bool(what)
        assert not what or f"a unit is by {what}." in done.stderr


def test_what_a_few_units_of_one_visit_alone_lack_is_noticed():
    """Of four visits of 60 patients, 12 photos of the last one alone."""
    patients, ranks = np.repeat(np.arange(60), 4), np.tile(np.arange(4), 60)
    lacking = (ranks == 3) & (patients < 12)
    assert _goes_with_visits(lacking.tolist(), ranks, patients)
    first = ranks == 0  # of patients with one visit each there is nothing to tell
    assert not _goes_with_visits((patients % 2)[first].tolist(), ranks[first], patients[first])
    by_chance = np.random.default_rng(1).random(240) < 0.05
    assert not _goes_with_visits(by_chance.tolist(), ranks, patients)


@pytest.mark.parametrize("count", [3, 6, 8])
def test_one_visit_of_three_that_is_told_without_fail_is_noticed_in_a_small_set(count):
    patients, ranks = np.repeat(np.arange(count), 3), np.tile(np.arange(3), count)
    assert _goes_with_visits((ranks == 0).tolist(), ranks, patients)
    but_one = (ranks == 0) & (patients > 0)
    assert _goes_with_visits(but_one.tolist(), ranks, patients) == (count == 8)
    each_its_own = list(range(3 * count))
    assert not _goes_with_visits(each_its_own[::-1], ranks, np.arange(3 * count))


def test_a_photo_of_200_megapixels_is_coded(tmp_path):
    """Pillow by itself refuses so many, or warns of them: looking at its size must not cost the set."""
    folder = tmp_path / "study" / "P1" / "v1"
    folder.mkdir(parents=True)
    cv2.imwrite(str(folder / "front.png"), np.zeros((14000, 13000), np.uint8))
    assert _size_px(folder / "front.png") == (13000, 14000)


def test_every_visit_has_a_unit_and_half_of_them_two(coded):
    _, key = coded
    visits = {(unit.patient, unit.visit) for unit in key.units if unit.repeat_of is None}
    assert visits == {(patient, visit) for patient in PATIENTS for visit in VISITS}
    repeats = [unit for unit in key.units if unit.repeat_of is not None]
    assert len(repeats) == 4  # 32 are wanted, and no more than every second visit comes twice
    for unit in repeats:
        first = key.unit(unit.repeat_of)
        assert (unit.patient, unit.visit, unit.photos) == (first.patient, first.visit, first.photos)


def test_pixels_of_a_unit_are_those_of_its_visit(study, coded):
    folder, key = coded
    for unit in key.units:
        for file in (folder / unit.code).iterdir():
            original = next((study[0] / "study" / unit.patient / unit.visit).glob(f"{file.stem}.*"))
            np.testing.assert_array_equal(read_photo(file).srgb, read_photo(original).srgb)


def test_every_reader_has_every_unit_in_an_order_of_his_own(coded):
    folder, key = coded
    orders = {reader: read_order(folder, reader) for reader in ("anna", "ben")}
    assert orders["anna"] != orders["ben"]
    for reader, order in orders.items():
        assert sorted(order) == read_contents(folder).codes
        assert tuple(order) == key.orders[reader]


def test_a_clean_set_is_called_clean_with_and_without_its_key(study, coded):
    folder, _ = study
    assert masi("blind", "check", coded[0]).exit_code == 0
    with_key = masi(
        "blind", "check", coded[0], "--key", folder / "key", "--passphrase-file", folder / "passphrase"
    )
    assert with_key.exit_code == 0, with_key.output
    assert "12 units" in with_key.output


def spoiled(coded, tmp_path):
    """A copy of the set, times and all."""
    shutil.copytree(coded[0], tmp_path / "copy", copy_function=shutil.copy2)
    for place in [*(tmp_path / "copy").rglob("*"), tmp_path / "copy"]:
        os.utime(place, (FILE_TIME, FILE_TIME))
    return tmp_path / "copy"


def as_old(place):
    os.utime(place, (FILE_TIME, FILE_TIME))
    os.utime(place.parent, (FILE_TIME, FILE_TIME))


def append(place, data):
    place.write_bytes(place.read_bytes() + data)
    as_old(place)


def photo_of(folder, suffix=".jpg"):
    return sorted(folder.glob(f"*/*{suffix}"))[0]


def rename_photo(folder):
    file = photo_of(folder)
    file.rename(file.with_name("IMG_0417.jpg"))
    os.utime(file.parent, (FILE_TIME, FILE_TIME))


def same_file(folder):
    one, other = sorted(folder.glob("*/front.jpg"))[:2]
    other.write_bytes(one.read_bytes())
    as_old(other)


def sort_order(folder):
    file = folder / "orders" / "anna.csv"
    codes = sorted(read_order(folder, "anna"))
    file.write_text("place,code\n" + "".join(f"{n},{c}\n" for n, c in enumerate(codes, 1)), encoding="utf-8")
    as_old(file)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: append(photo_of(folder), b"Alvarez"), "bytes behind the picture"),
        (lambda folder: append(photo_of(folder, ".png"), b"Alvarez"), "bytes behind the picture"),
        (rename_photo, "does not belong"),
        (lambda folder: as_old_new(folder / "notes.txt"), "notes.txt does not belong"),
        (lambda folder: os.utime(photo_of(folder)), "times of their own"),
        (same_file, "are the same file"),
        (sort_order, "is that of the codes"),
    ],
)
def test_a_leak_is_found_and_named(coded, tmp_path, spoil, said):
    folder = spoiled(coded, tmp_path)
    assert problems_of(folder) == []
    spoil(folder)
    assert any(said in one for one in problems_of(folder))
    assert masi("blind", "check", folder).exit_code == 2


def as_old_new(place):
    place.write_text("photographed on the first visit", encoding="utf-8")
    as_old(place)


def test_names_are_looked_for_where_the_key_is_given(coded, tmp_path):
    folder = spoiled(coded, tmp_path)
    contents = json.loads((folder / "set.json").read_text(encoding="utf-8"))
    contents["note"] = "of Brandt-0922"
    (folder / "set.json").write_text(json.dumps(contents), encoding="utf-8")
    as_old(folder / "set.json")
    assert problems_of(folder) == []
    assert any("name of a patient" in one for one in problems_of(folder, coded[1]))


@pytest.fixture
def reads(study, coded):
    """Reads of every unit, locked or not."""

    def write(place, locked="2026-11-01T10:00:00+00:00", readers=("anna", "ben")):
        with place.open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(["code", "reader", "mmasi", "locked_utc"])
            rows.writerows([unit.code, name, 3.2, locked] for unit in coded[1].units for name in readers)
        return place

    return write


def broken(study, results, out, *more, reason="database lock of 2026-12-01"):
    folder, _ = study
    return masi(
        *("unblind", results, "--key", folder / "key", "--reason", reason, "--out", out),
        *("--passphrase-file", folder / "passphrase", *more),
    )


def test_locked_reads_get_their_patients_visits_and_arms_back(study, coded, reads, tmp_path):
    allocation = tmp_path / "allocation.csv"
    rows = "\n".join(f"{patient},{'AB'[place % 2]}" for place, patient in enumerate(PATIENTS))
    allocation.write_text(f"patient,arm\n{rows}\n", encoding="utf-8")
    done = broken(study, reads(tmp_path / "reads.csv"), tmp_path / "out", "--allocation", allocation)
    assert done.exit_code == 0, done.output
    columns, found = table(tmp_path / "out" / "reads.csv")
    assert columns[:5] == ["code", "patient", "visit", "repeat_of", "arm"]
    for row in found:
        unit = coded[1].unit(row["code"])
        assert (row["patient"], row["visit"]) == (unit.patient, unit.visit)
        assert row["arm"] == "AB"[PATIENTS.index(unit.patient) % 2]
        assert row["mmasi"] == "3.2"
    lines = (study[0] / "key.log").read_text(encoding="utf-8").splitlines()
    last = json.loads(lines[-1])
    assert (last["what"], last["reason"]) == ("unblinded", "database lock of 2026-12-01")
    assert last["who"]
    assert last["utc"].endswith("+00:00")


def test_scores_of_a_run_that_was_stopped_keep_the_code_closed(study, coded, tmp_path):
    """Its table lacks visits, and what is unblinded tells nothing of the run any more."""
    results = tmp_path / "results"
    results.mkdir()
    code = coded[1].units[0].code
    (results / "scores.csv").write_text(f"patient,visit,status\n,{code},scored\n", encoding="utf-8")
    run = {"state": "interrupted", "counts": {"scored": 1, "not_scored": 0, "visits_found": 24}}
    (results / "run.json").write_text(json.dumps(run), encoding="utf-8")
    refused = broken(study, results, tmp_path / "out")
    assert refused.exit_code == 2
    assert "is interrupted, 1 of 24 visits done" in " ".join(refused.output.split())
    run = {"state": "finished", "counts": {"scored": 2, "not_scored": 0}}
    (results / "run.json").write_text(json.dumps(run), encoding="utf-8")
    refused = broken(study, results, tmp_path / "out")
    assert "has 1 rows, and run.json beside it tells of 2" in " ".join(refused.output.split())
    regions = tmp_path / "regions" / "regions.csv"
    regions.parent.mkdir()
    regions.write_text(f"patient,visit,region\n,{code},chin\n", encoding="utf-8")
    (regions.parent / "run.json").write_text(json.dumps(run), encoding="utf-8")
    refused = broken(study, regions, tmp_path / "out")
    assert refused.exit_code == 2
    assert "has 1 rows, and run.json beside it tells of 12" in " ".join(refused.output.split())
    told = broken(study, results, tmp_path / "out", "--before-lock", "a patient's safety")
    assert told.exit_code == 0, told.output


def test_the_code_stays_closed_before_all_reads_are_locked(study, reads, tmp_path):
    file = reads(tmp_path / "reads.csv", locked="")
    refused = broken(study, file, tmp_path / "out")
    assert refused.exit_code == 2
    assert "24 of 24 reads of reads.csv are not locked" in refused.output
    assert not (tmp_path / "out").exists()
    told = broken(study, file, tmp_path / "out", "--before-lock", "adverse event of a participant")
    assert told.exit_code == 0, told.output
    last = json.loads((study[0] / "key.log").read_text(encoding="utf-8").splitlines()[-1])
    assert last["before_lock"] == "adverse event of a participant"


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: (folder / "passphrase").write_text("another passphrase"), "key does not open"),
        (lambda folder: flip(folder / "key", -40), "key does not open"),
        (lambda folder: flip(folder / "key", 60), "key does not open|was changed|no key"),
        (lambda folder: (folder / "key").write_bytes(b"hello"), "is no key of a coded set"),
        (lambda folder: (folder / "key").unlink(), "cannot be read"),
    ],
)
def test_a_wrong_passphrase_or_a_touched_key_is_one_clear_sentence(study, reads, tmp_path, spoil, said):
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("key", "passphrase"):
        shutil.copy(study[0] / name, copy / name)
    spoil(copy)
    done = masi(
        *("unblind", reads(tmp_path / "reads.csv"), "--key", copy / "key", "--reason", "a test"),
        *("--out", tmp_path / "out", "--passphrase-file", copy / "passphrase"),
    )
    assert done.exit_code == 2, done.output
    assert "bug" not in done.output
    assert re.search(said, " ".join(done.output.split()))
    assert not (tmp_path / "out").exists()


def flip(file, place):
    data = bytearray(file.read_bytes())
    # "B" never stays as it is: its other is "C". "A" would, as one key in sixty-four has it there.
    data[place] = (data[place] ^ 1) if chr(data[place] ^ 1).isalnum() else ord("B")
    file.write_bytes(bytes(data))


def test_a_journal_that_was_changed_is_noticed_and_nothing_is_opened(study, reads, tmp_path):
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("key", "passphrase"):
        shutil.copy(study[0] / name, copy / name)

    def once():
        return masi(
            *("unblind", reads(tmp_path / "reads.csv"), "--key", copy / "key", "--reason", "a test"),
            *("--out", tmp_path / "out", "--overwrite", "--passphrase-file", copy / "passphrase"),
        )

    assert once().exit_code == once().exit_code == 0
    journal = copy / "key.log"
    lines = journal.read_text(encoding="utf-8").splitlines()
    assert first_broken(lines) is None
    assert first_broken(lines[1:]) == 1
    assert first_broken([lines[0], *lines[2:]]) == 2
    assert first_broken([lines[1], lines[0]]) == 1
    journal.write_text("\n".join([lines[0].replace("a test", "a joke"), *lines[1:]]) + "\n", encoding="utf-8")
    refused = once()
    assert refused.exit_code == 2
    assert "was changed at line 1" in refused.output


def test_what_a_person_pastes_for_a_reason_leaves_the_journal_whole(tmp_path):
    for _ in range(3):
        note(tmp_path / "key.log", reason="data\u2028base\u0085 lock\r\n of today")
    assert first_broken((tmp_path / "key.log").read_text(encoding="utf-8").split("\n")[:-1]) is None


def test_other_tables_in_the_folder_of_results_are_let_alone(tmp_path):
    (tmp_path / "reads.csv").write_text("code,reader,locked_utc\nAAAAAAA,anna,2026-01-01\n", encoding="utf-8")
    (tmp_path / "notes.csv").write_text("Befund;Notiz\n1,5;x\n", encoding="utf-8")
    assert [one.name for one in read_tables(tmp_path)] == ["reads.csv"]
    with pytest.raises(BlindingError, match="parted by semicolons"):
        read_tables(tmp_path / "notes.csv")


def test_two_who_open_the_key_at_once_follow_each_other_in_the_journal(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda who: note(tmp_path / "key.log", who=str(who)), range(40)))
    lines = (tmp_path / "key.log").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 40
    assert first_broken(lines) is None


@pytest.mark.parametrize(
    ("readers", "said"),
    [((), "reads.csv holds no read"), (("anna",), "12 of 12 units, such as .* lack a locked blind read")],
)
def test_the_code_stays_closed_while_a_reader_has_not_read(study, reads, tmp_path, readers, said):
    refused = broken(study, reads(tmp_path / "reads.csv", readers=readers), tmp_path / "out")
    assert refused.exit_code == 2
    assert re.search(said, " ".join(refused.output.split()))
    assert not (tmp_path / "out").exists()


def test_the_code_stays_closed_while_a_unit_was_read_by_one_reader_with_the_software_alone(
    study, coded, reads, tmp_path
):
    file, unit = reads(tmp_path / "reads.csv"), coded[1].units[0].code
    columns, rows = table(file)
    for stage, code in (("blind", 0), ("with_software", 2)):
        staged = [
            row | {"stage": stage if (row["code"], row["reader"]) == (unit, "ben") else "blind"}
            for row in rows
        ]
        file.write_text(csv_text([*columns, "stage"], staged), encoding="utf-8")
        done = broken(study, file, tmp_path / stage)
        assert done.exit_code == code, done.output
    assert f"1 of 12 units, such as {unit}, lack a locked blind read" in " ".join(done.output.split())
    assert not (tmp_path / "with_software").exists()


def test_an_arm_is_read_without_blanks_around_it_and_a_lacking_one_is_refused(tmp_path):
    (tmp_path / "arms.csv").write_text("patient,arm\nP1 ,A \nP2,A\n", encoding="utf-8")
    assert read_allocation(tmp_path / "arms.csv") == {"P1": "A", "P2": "A"}
    (tmp_path / "arms.csv").write_text("patient,arm\nP1,\nP2,A\n", encoding="utf-8")
    with pytest.raises(BlindingError, match="patient 'P1' and arm ''"):
        read_allocation(tmp_path / "arms.csv")
    for row in ("P1,#N/A", "NULL,A"):
        (tmp_path / "arms.csv").write_text(f"patient,arm\n{row}\nP2,A\n", encoding="utf-8")
        with pytest.raises(BlindingError, match="Expected both, and no NA"):
            read_allocation(tmp_path / "arms.csv")
    (tmp_path / "arms.csv").write_bytes(b"")
    with pytest.raises(BlindingError, match="it has none"):
        read_allocation(tmp_path / "arms.csv")


def test_a_passphrase_opens_however_an_editor_or_a_keyboard_writes_it(study, coded, tmp_path):
    (tmp_path / "typed").write_bytes("\ufefflang genug f\u00fcr alle\r\n".encode())
    typed = secret("passphrase", tmp_path / "typed", "--passphrase-file", KeyFileError)
    (tmp_path / "key").write_bytes(sealed(coded[1], typed))
    assert opened(tmp_path / "key", "lang genug fu\u0308r alle") == coded[1]


def test_results_of_another_set_are_refused(study, coded, tmp_path):
    (tmp_path / "scores.csv").write_text(
        "visit,mmasi,locked_utc\nXXXXXXX,1.0,2026-05-01T10:00:00\n", encoding="utf-8"
    )
    done = broken(study, tmp_path / "scores.csv", tmp_path / "out")
    assert done.exit_code == 2
    assert "'XXXXXXX', which is not of this set" in " ".join(done.output.split())


def test_reads_of_another_set_are_refused_by_its_name(study, reads, tmp_path):
    file = reads(tmp_path / "reads.csv")
    columns, rows = table(file)
    file.write_text(csv_text([*columns, "set"], [row | {"set": "0" * 16} for row in rows]))
    done = broken(study, tmp_path / "reads.csv", tmp_path / "out")
    assert done.exit_code == 2
    assert "is of the set 0000000000000000. Expected" in " ".join(done.output.split())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"locked_utc": "no"}, "are not locked"),
        ({"closed_utc": ""}, "the reading of reads.csv is open"),
        ({"closed_utc": "NA"}, "the reading of reads.csv is open"),
        (
            {"signed_by": "anna", "protocol_sha256": "0" * 64},
            "reads.csv was exported by an earlier version, which does not tell whether the reading was "
            "closed: export it again with this version",
        ),
    ],
)
def test_the_code_stays_closed_while_reads_can_change(study, reads, tmp_path, change, said):
    file = reads(tmp_path / "reads.csv")
    columns, rows = table(file)
    file.write_text(csv_text(list(dict.fromkeys([*columns, *change])), [row | change for row in rows]))
    done = broken(study, tmp_path / "reads.csv", tmp_path / "out")
    assert done.exit_code == 2
    assert said in " ".join(done.output.split())
    assert not (tmp_path / "out").exists()
    assert broken(study, tmp_path / "reads.csv", tmp_path / "out", "--before-lock", "a test").exit_code == 0


def test_names_are_written_neither_beside_codes_nor_over_what_was_read(study, coded, reads, tmp_path):
    folder = shutil.copytree(coded[0], tmp_path / "set")
    (tmp_path / "reads").mkdir()
    file = reads(tmp_path / "reads" / "reads.csv")
    for out in (folder, folder / "opened"):
        done = broken(study, file, out, "--overwrite")
        assert done.exit_code == 2
        assert "lies in the coded set" in " ".join(done.output.split())
    done = broken(study, file, file.parent, "--overwrite")
    assert done.exit_code == 2
    assert "holds what is read" in " ".join(done.output.split())


def test_a_blank_set_says_nothing_and_a_file_of_that_name_makes_no_coded_set(study, coded, reads, tmp_path):
    file = reads(tmp_path / "reads.csv")
    columns, rows = table(file)
    file.write_text(csv_text([*columns, "set"], [row | {"set": ""} for row in rows]))
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "set.json").write_text("{}")
    assert broken(study, file, tmp_path / "project" / "out").exit_code == 0


def test_opened_tables_are_for_their_owner_alone(study, reads, tmp_path):
    assert broken(study, reads(tmp_path / "reads.csv"), tmp_path / "out").exit_code == 0
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "out").iterdir()}
    assert set(modes.values()) == {0o600}


def test_a_set_and_a_key_are_never_written_over(study, coded):
    folder, _ = study
    again = masi("blind", folder / "study", "--out", folder / "set", "--key", folder / "key-2")
    assert again.exit_code == 2
    assert "two sets must not mix" in " ".join(again.output.split())
    key = masi("blind", folder / "study", "--out", folder / "set-2", "--key", folder / "key")
    assert key.exit_code == 2
    inside = masi("blind", folder / "study", "--out", folder / "set-2", "--key", folder / "set-2" / "key")
    assert "lies within the set" in " ".join(inside.output.split())
    assert not (folder / "set-2").exists()
    within = folder / "study" / "coded"  # its copies would be patients of the study
    mixed = masi("blind", folder / "study", "--out", within, "--key", folder / "key-2")
    assert mixed.exit_code == 2
    assert "lies within the study" in " ".join(mixed.output.split())
    assert not within.exists()


def test_two_who_write_one_set_at_once_do_not_mix(study, tmp_path):
    visits = visits_of(str(study[0] / "study"), load_settings().views)
    plan = coded_set.CodingPlan()
    refused = pytest.raises(OutputError, match="Another masi blind writes")
    with coded_set.coding(visits, tmp_path / "set", plan) as key, refused:
        make_set(visits, tmp_path / "set", plan)
    assert read_contents(tmp_path / "set").photos == key.coded
    with pytest.raises(OutputError, match="is there already"):
        make_set(visits, tmp_path / "set", plan)
    assert read_contents(tmp_path / "set").photos == key.coded


def test_photos_are_made_in_the_order_of_the_codes_not_of_the_patients(study, tmp_path, monkeypatch):
    made = []
    write = coded_set._write_photo
    monkeypatch.setattr(
        coded_set, "_write_photo", lambda folder, *of: (made.append(folder.name), write(folder, *of))
    )
    visits = visits_of(str(study[0] / "study"), load_settings().views)
    key = make_set(visits, tmp_path / "set", coded_set.CodingPlan())
    assert len(set(made)) == len(key.units) == 12
    assert made == sorted(made)


def test_photos_that_the_disk_numbers_patient_by_patient_are_found(coded, monkeypatch):
    """No test can choose the numbers that a disk gives: they are told here as a leaking set has them."""
    folder, key = coded

    def by_patient(_, units):
        told = sorted(units, key=lambda unit: (unit.patient, unit.visit))
        yield "numbers the photos", [unit.code for unit in told]

    assert problems_of(folder, key) == []
    monkeypatch.setattr(check, "_on_disk", by_patient)
    (said,) = problems_of(folder, key)
    assert said.startswith("The order in which the disk numbers the photos goes with the patients (p = ")


def test_a_list_that_has_all_first_visits_first_is_found(tmp_path):
    rng = np.random.default_rng(0)
    for patient, visit in itertools.product("ABCDEFGHIJ", ("v1", "v2")):
        (tmp_path / "study" / patient / visit).mkdir(parents=True)
        picture = rng.integers(30, 230, (64, 64, 3), dtype=np.uint8)
        cv2.imwrite(str(tmp_path / "study" / patient / visit / "front.png"), picture)
    visits = visits_of(str(tmp_path / "study"), load_settings().views)
    plan = coded_set.CodingPlan(readers=("r1",), repeat_share=0)
    key = make_set(visits, tmp_path / "set", plan)
    assert len(key.units) == 20
    codes = sorted(key.orders["r1"], key=lambda code: key.unit(code).visit)
    file = tmp_path / "set" / "orders" / "r1.csv"
    file.write_text("place,code\n" + "".join(f"{n},{c}\n" for n, c in enumerate(codes, 1)), encoding="utf-8")
    as_old(file)
    found = problems_of(tmp_path / "set", key)
    assert any(one.startswith("The order of r1 goes with the visits (p = ") for one in found)


def test_patients_with_plain_numbers_make_a_clean_set_and_their_numbers_are_found_where_they_leak(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(1001, 1041):
        picture = rng.integers(30, 230, (64, 64, 3), dtype=np.uint8)
        (tmp_path / "study" / str(number) / "V1").mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "study" / str(number) / "V1" / "front.png"), picture)
    visits = visits_of(str(tmp_path / "study"), load_settings().views)
    key = make_set(visits, tmp_path / "set", coded_set.CodingPlan(readers=("r1", "r2")))
    assert problems_of(tmp_path / "set", key) == []
    order = tmp_path / "set" / "orders" / "r1.csv"
    order.write_text(order.read_text(encoding="utf-8").replace("\n1,", "\n1,of 1017 "), encoding="utf-8")
    as_old(order)
    assert any("orders/r1.csv holds '1017'" in one for one in problems_of(tmp_path / "set", key))


def test_a_short_passphrase_is_refused_before_anything_is_written(study, tmp_path):
    (tmp_path / "short").write_text("melasma", encoding="utf-8")
    done = masi(
        *("blind", study[0] / "study", "--out", tmp_path / "set", "--key", tmp_path / "key"),
        *("--passphrase-file", tmp_path / "short"),
    )
    assert done.exit_code == 2
    assert "Expected at least 12" in " ".join(done.output.split())
    assert not (tmp_path / "set").exists()


@pytest.mark.usefixtures("no_chance")
def test_a_photo_that_cannot_be_read_is_left_out_by_name_and_the_rest_goes_on(study, tmp_path):
    shutil.copytree(study[0] / "study", tmp_path / "study")
    (tmp_path / "study" / PATIENTS[0] / VISITS[0] / "front.jpg").write_bytes(b"\xff\xd8\xff no photo")
    done = masi(
        *("blind", tmp_path / "study", "--out", tmp_path / "set", "--key", tmp_path / "key"),
        *("--passphrase-file", study[0] / "passphrase"),
    )
    assert done.exit_code == 1, done.output
    assert f"Left out: {PATIENTS[0]}/{VISITS[0]}/front" in " ".join(done.output.split())
    units = opened(tmp_path / "key", PASSPHRASE).units
    assert len({(unit.patient, unit.visit) for unit in units}) == 7
    assert len(units) in (10, 11)  # the visit left out may have been drawn for a repeat


@pytest.mark.usefixtures("no_chance")
def test_photos_that_are_gone_are_left_out_and_the_rest_goes_on(study, tmp_path):
    """A link to a drive that was taken off, a photo that a manifest names, one that goes while it is read."""
    shutil.copytree(study[0] / "study", tmp_path / "study")
    files = sorted(file for file in (tmp_path / "study").rglob("front.*"))
    files[0].unlink()
    files[0].symlink_to(tmp_path / "drive" / "front.jpg")
    lines = [f"{file.parent.parent.name},{file.parent.name},front,{file}" for file in files]
    lines.append(f"Gone-1,{VISITS[0]},front,{tmp_path / 'gone.jpg'}")
    (tmp_path / "study.csv").write_text("\n".join(["patient,visit,view,path", *lines]), encoding="utf-8")
    done = masi(
        *("blind", tmp_path / "study.csv", "--out", tmp_path / "set", "--key", tmp_path / "key"),
        *("--passphrase-file", study[0] / "passphrase"),
    )
    assert done.exit_code == 1, done.output
    said = " ".join(done.output.split())
    place = files[0].relative_to(tmp_path / "study").parent.as_posix()
    assert f"Left out: {place}/front: {files[0].name} cannot be opened (no such file" in said
    assert f"Left out: Gone-1/{VISITS[0]}/front: gone.jpg cannot be opened (no such file" in said
    key = opened(tmp_path / "key", PASSPHRASE)
    assert [one.sha256 for one in key.left_out] == ["", ""]
    assert len({(unit.patient, unit.visit) for unit in key.units}) == len(files) - 1


def test_a_photo_that_goes_while_it_is_read_is_left_out_and_a_full_disk_ends_the_set(tmp_path, monkeypatch):
    small_study(tmp_path, ["v1", "v2"])
    visits = visits_of(str(tmp_path / "study"), load_settings().views)

    def seen(file):
        photo = read_photo(file)
        if file.parent.name == "v1":
            file.unlink(missing_ok=True)
        return photo

    monkeypatch.setattr(coded_set, "read_photo", seen)
    key = make_set(visits, tmp_path / "set", coded_set.CodingPlan(repeat_share=0))
    (left,) = key.left_out
    assert str(left) == "P-01/v1/front: front.png cannot be read (no such file or directory)."

    def is_full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(coded_set, "_write_photo", is_full)
    with pytest.raises(OutputError, match="set-2 cannot be written"):
        make_set(visits, tmp_path / "set-2", coded_set.CodingPlan(repeat_share=0))


WORDS_OF_A_SET = ["photos", "set", "readers", "units", "format", "orders", "place", "code", "csv", "reader"]


def small_study(folder, visits):
    """One patient."""
    rng = np.random.default_rng(0)
    for visit in visits:
        place = folder / "study" / "P-01" / visit
        place.mkdir(parents=True)
        cv2.imwrite(str(place / "front.png"), rng.integers(30, 230, (64, 64, 3), dtype=np.uint8))
    (folder / "passphrase").write_text(PASSPHRASE, encoding="utf-8")
    return (
        *("blind", folder / "study", "--out", folder / "set", "--key", folder / "key"),
        *("--passphrase-file", folder / "passphrase"),
    )


def test_a_repeat_of_a_unit_that_could_not_be_written_is_no_repeat(tmp_path, monkeypatch):
    """The drive with the photos comes back when only a repeat is left to be written."""
    small_study(tmp_path, ["v1", "v2"])
    visits = visits_of(str(tmp_path / "study"), load_settings().views)
    photos = {file: file.read_bytes() for file in (tmp_path / "study").rglob("*.png")}
    for file in photos:
        file.write_bytes(b"no photo")

    def back(done, total):
        if done == 2:
            for file, data in photos.items():
                file.write_bytes(data)

    # Units are written in the order of their codes: this one's repeat comes last.
    monkeypatch.setattr(coded_set, "draw_codes", lambda count: sorted(draw_codes(count)))
    key = make_set(visits, tmp_path / "set", coded_set.CodingPlan(), back)
    (unit,) = key.units
    assert unit.repeat_of is None
    assert len(key.left_out) == 2


def test_a_visit_with_views_of_its_own_is_repeated_last(tmp_path):
    """Two units without a front among many with one are known for one visit."""
    small_study(tmp_path, [f"v{number}" for number in range(12)])
    photos = sorted((tmp_path / "study").rglob("front.png"))
    for lefts, repeated in ((1, {"front"}), (4, {"front"}), (8, {"left"})):
        for odd in (file for file in photos[:lefts] if file.exists()):
            odd.rename(odd.with_name("left.png"))
        visits = visits_of(str(tmp_path / "study"), load_settings().views)
        for number in range(3):
            key = make_set(visits, tmp_path / f"set{lefts}-{number}", coded_set.CodingPlan(repeat_share=0.5))
            repeats = [unit for unit in key.units if unit.repeat_of]
            assert len(repeats) == 6
            assert set().union(*(unit.photos for unit in repeats)) == repeated


@pytest.mark.usefixtures("no_chance")
def test_a_visit_may_be_called_as_a_word_of_the_lists(tmp_path):
    done = masi(*small_study(tmp_path, WORDS_OF_A_SET))
    assert done.exit_code == 0, done.output
    key = opened(tmp_path / "key", PASSPHRASE)
    assert problems_of(tmp_path / "set", key) == []


@pytest.mark.usefixtures("no_chance")
@pytest.mark.parametrize(
    "told",
    [
        '"note": "photos"',
        '"note": ["of", {"a": "photos"}]',
        '"seen photos": 1',
        '"set": "photos"',
        '"note": "\\u0070hotos"',
    ],
)
def test_a_visit_that_is_told_beside_the_lists_is_found_whatever_it_is_called(tmp_path, told):
    assert masi(*small_study(tmp_path, ["photos", "v2"])).exit_code == 0
    key = opened(tmp_path / "key", PASSPHRASE)
    lists = tmp_path / "set" / "set.json"
    # In front: of two values with one name, JSON's readers keep the last.
    lists.write_text("{" + told + "," + lists.read_text(encoding="utf-8")[1:], encoding="utf-8")
    as_old(lists)
    assert any("set.json holds 'photos'" in one for one in problems_of(tmp_path / "set", key))


def test_a_set_that_is_not_clean_is_taken_away_with_its_key_and_the_command_runs_again(tmp_path, monkeypatch):
    command = small_study(tmp_path, ["anna", "v2"])
    refused = masi(*command, "--reader", "anna")
    assert refused.exit_code == 2
    said = " ".join(refused.output.split())
    assert "holds 'anna'" in said
    assert "Set and key were deleted" in said
    assert not (tmp_path / "set").exists()
    assert not (tmp_path / "key").exists()
    again = masi(*command, "--reader", "ben")
    assert again.exit_code == 0, again.output


def test_a_name_that_a_spreadsheet_would_run_is_marked_and_read_back_as_it_was(tmp_path):
    key = Key("s", 1, (CodedUnit("AAAAAAA", "=1+1", "-week 1", None, {}),), {"anna": ("AAAAAAA",)})
    (tmp_path / "arms.csv").write_text("patient,arm\n'=1+1,@A\n", encoding="utf-8")
    arms = read_allocation(tmp_path / "arms.csv")
    assert arms == {"=1+1": "@A"}
    table_ = Table("reads.csv", ("code", "mmasi"), [{"code": "AAAAAAA", "mmasi": "3.2"}])
    opened_ = unblinded(table_, key, arms)
    made = csv_text(opened_.columns, opened_.rows)
    assert made.splitlines()[1] == "AAAAAAA,'=1+1,'-week 1,,'@A,3.2"
    (tmp_path / "reads.csv").write_text(made, encoding="utf-8")
    (row,) = rows_of(tmp_path / "reads.csv")
    assert (row["patient"], row["visit"], row["arm"]) == ("=1+1", "-week 1", "@A")


def test_a_foreign_column_is_no_formula_after_the_code_is_broken_and_what_was_guarded_is_once(tmp_path):
    key = Key("s", 1, (CodedUnit("AAAAAAA", "P1", "v1", None, {}),), {"anna": ("AAAAAAA",)})
    told = {"note": "=1+1", "said": "'=1+1", "more": "a;=1", "change": "-0.5", "name": "b;'=1"}
    made = unblinded(Table("t.csv", ("code", *told), [{"code": "AAAAAAA"} | told]), key)
    guarded = {"note": "'=1+1", "said": "'=1+1", "more": "a;'=1", "change": "-0.5", "name": "b;'=1"}
    assert {name: made.rows[0][name] for name in told} == guarded
    (tmp_path / "t.csv").write_text(csv_text(made.columns, made.rows), encoding="utf-8")
    (row,) = rows_of(tmp_path / "t.csv")
    assert [row[name] for name in told] == ["=1+1", "=1+1", "a;=1", "-0.5", "b;=1"]


@pytest.mark.parametrize(
    ("readers", "told"),
    [
        (("Anna", "anna"), "differ in more than capitals"),
        (("CON", "ben"), "keeps for a device"),
        ((), "none"),
        (("NA", "ben"), "'NA', which tables have where there is nothing"),
    ],
)
def test_readers_have_names_that_files_and_tables_may_have(readers, told):
    with pytest.raises(BlindingError, match=told):
        coded_set.CodingPlan(readers)


@pytest.mark.parametrize("name", ["NA", "nan", "NULL", "#N|A"])
def test_nobody_is_sealed_under_a_name_that_tables_take_for_nothing(study, tmp_path, name):
    shutil.copytree(study[0] / "study" / PATIENTS[0], tmp_path / "study" / name)
    keys = ("--key", tmp_path / "key", "--passphrase-file", study[0] / "passphrase")
    done = masi("blind", tmp_path / "study", "--out", tmp_path / "set", *keys)
    assert done.exit_code == 2
    assert f"are of '{name}', which tables have where there is nothing" in " ".join(done.output.split())
    assert not (tmp_path / "set").exists()
    assert not (tmp_path / "key").exists()
