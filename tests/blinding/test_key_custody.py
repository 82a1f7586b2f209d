"""What is on record of a key: who coded, opened and asked, and whether set, study and results are its own."""

import hashlib
import json
import os
import re
import shutil
import stat
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import cv2
import pytest
from named_photos import write_noise_study
from verbs import masi, table

from masi_vision.batch.study import visits_of
from masi_vision.blinding.coded_set import CONTENTS, FILE_TIME, ORDERS, read_contents
from masi_vision.blinding.journal import note, read_journal
from masi_vision.blinding.key import FORMAT, PhotoLeftOut, _derived, opened, sealed
from masi_vision.blinding.originals import added
from masi_vision.cli.custody import _stands_in
from masi_vision.cli.sealed_key import noted
from masi_vision.config import load_settings
from masi_vision.csv_table import csv_text
from masi_vision.errors import OutputError
from masi_vision.version import __version__

PASSPHRASE = "long enough for anyone"
PATIENTS, VISITS = ("Alvarez-01", "Brandt-02", "Costa-03"), ("baseline", "month-6")
DAMAGED = ("Costa-03", "month-6", "left")


@pytest.fixture(autouse=True)
def chance_warns_of_nothing(monkeypatch):
    monkeypatch.setattr("masi_vision.blinding.check._UNLIKELY", 0)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A trial of three patients, coded, with one photo that cannot be read."""
    folder = tmp_path_factory.mktemp("trial")
    write_noise_study(folder / "study", PATIENTS, VISITS, ("front", "left"), DAMAGED)
    (folder / "passphrase").write_text(PASSPHRASE, encoding="utf-8")
    (folder / "safe").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("masi_vision.blinding.check._UNLIKELY", 0)
        done = masi(
            *("blind", folder / "study", "--out", folder / "set", "--key", folder / "safe" / "key"),
            *("--passphrase-file", folder / "passphrase", "--reader", "anna"),
        )
    assert done.exit_code == 1, done.output  # a photo was left out
    (folder / "said").write_text(done.output, encoding="utf-8")
    return folder


@pytest.fixture
def trial(made, tmp_path):
    """A copy of it, times and all."""
    folder = tmp_path / "trial"
    shutil.copytree(made, folder, copy_function=shutil.copy2)
    all_as_old(folder / "set")
    return folder


def all_as_old(folder):
    for place in [*folder.rglob("*"), folder]:
        os.utime(place, (FILE_TIME, FILE_TIME))


def logged(folder):
    text = (folder / "safe" / "key.log").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def key_of(folder):
    return opened(folder / "safe" / "key", PASSPHRASE)


def checked(folder, *more):
    phrase = ("--passphrase-file", folder / "passphrase")
    return masi("blind", "check", folder / "set", "--key", folder / "safe" / "key", *phrase, *more)


def said(done):
    return " ".join(done.output.split())


def sha256(file):
    return hashlib.sha256(file.read_bytes()).hexdigest()


def as_of_an_older_version(folder):
    """A key as it was sealed before it held the hashes of the copies, and its photos left out by parts."""
    from masi_vision.blinding import key as module

    key, text = key_of(folder), module.json.dumps

    def older(values, **how):
        if isinstance(values, dict) and "coded" in values:
            left = [str(PhotoLeftOut(**one)) for one in values["left_out"]]
            values = {name: one for name, one in values.items() if name != "coded"} | {"left_out": left}
        return text(values, **how)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module.json, "dumps", older)
        (folder / "safe" / "key").write_bytes(sealed(key, PASSPHRASE))


def test_coding_is_the_first_line_of_the_log_and_tells_no_name(made):
    (first, *_) = logged(made)
    key = key_of(made)
    assert first["what"] == "coded"
    assert first["who"]
    assert first["set"] == key.set_id
    assert (first["version"], first["readers"], first["repeat_share"]) == (__version__, ["anna"], 0.2)
    assert (first["units"], first["hidden_repeats"], first["left_out"]) == (9, 3, 1)
    assert first["photos"] == len(read_contents(made / "set").photos)
    assert first["photos_sha256"] == read_contents(made / "set").sha256
    assert first["key_sha256"] == sha256(made / "safe" / "key")
    originals = {sha256(file) for file in (made / "study").rglob("*.png")} - {
        hashlib.sha256(b"no photo").hexdigest()
    }
    assert first["originals_sha256"] == hashlib.sha256("\n".join(sorted(originals)).encode()).hexdigest()
    text = json.dumps(first)
    assert not any(name in text for name in (*PATIENTS, *VISITS, str(made)))
    told = " ".join((made / "said").read_text().split())
    assert f"key.log ends with {first['sha256']}" in told
    assert told.index("masi blind check SET") < told.index("masi review account add NAME --set SET")


def is_full(*_):
    raise OSError(28, "No space left on device")


def is_stopped(*_, **__):
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("place", "fault", "told"),
    [
        ("blinding.key.sealed", is_stopped, "masi: stopped."),
        ("cli.blind.os.fsync", is_full, "(no space left on device), and no set was made"),
        ("cli.blind.noted", is_stopped, "masi: stopped."),
        ("blinding.journal._add", is_full, "key.log cannot be written (no space left on device)"),
    ],
    ids=["sealed", "key on the disk", "key stands", "noted"],
)
def test_no_set_stands_before_its_key_and_log_and_what_was_stopped_can_be_done_again(
    made, tmp_path, monkeypatch, place, fault, told
):
    command = (
        *("blind", made / "study", "--out", tmp_path / "set", "--key", tmp_path / "key"),
        *("--passphrase-file", made / "passphrase"),
    )
    stands = []

    def failing(*of, **how):
        stands.append((tmp_path / "set").exists())
        fault(*of, **how)

    with monkeypatch.context() as patch:
        patch.setattr(f"masi_vision.{place}", failing)
        done = masi(*command)
    assert done.exit_code in (2, 130)
    assert told in said(done)
    assert stands == [False]
    assert not {"set", "set.part", "key"} & {file.name for file in tmp_path.iterdir()}
    again = masi(*command)
    assert again.exit_code == 1, again.output  # a photo was left out
    assert masi("blind", "log", tmp_path / "key").exit_code == 0


def test_a_key_goes_where_its_set_cannot_stand(made, tmp_path, monkeypatch):
    def noted_late(*of, **how):
        (tmp_path / "set" / "of somebody else").mkdir(parents=True)
        return noted(*of, **how)

    monkeypatch.setattr("masi_vision.cli.blind.noted", noted_late)
    where = ("--out", tmp_path / "set", "--key", tmp_path / "key")
    done = masi("blind", made / "study", *where, "--passphrase-file", made / "passphrase")
    assert done.exit_code == 2
    assert "set cannot be written" in said(done)
    assert not (tmp_path / "key").exists()
    assert [one.name for one in (tmp_path / "set").iterdir()] == ["of somebody else"]


def test_a_key_stays_where_its_set_stands_already(made, tmp_path, monkeypatch):
    replace = Path.replace

    def stopped_behind(self, target):
        moved = replace(self, target)
        if self.name == "set.part":
            raise KeyboardInterrupt
        return moved

    monkeypatch.setattr(Path, "replace", stopped_behind)
    where = ("--out", tmp_path / "set", "--key", tmp_path / "key")
    done = masi("blind", made / "study", *where, "--passphrase-file", made / "passphrase")
    assert done.exit_code == 130
    assert (tmp_path / "set").exists()
    assert masi("blind", "log", tmp_path / "key").exit_code == 0


def test_what_a_killed_run_left_is_taken_away_or_told(made, tmp_path):
    (tmp_path / "set.part" / "half").mkdir(parents=True)
    (tmp_path / "key").write_bytes(b"half")
    where = ("--out", tmp_path / "set", "--key", tmp_path / "key")
    command = ("blind", made / "study", *where, "--passphrase-file", made / "passphrase")
    assert "of a run that was stopped" in said(masi(*command))
    (tmp_path / "key").unlink()
    assert masi(*command).exit_code == 1, "a photo was left out"
    assert not (tmp_path / "set.part").exists()
    assert not (tmp_path / "set" / "half").exists()


def test_a_set_whose_key_lies_nowhere_is_told_to_be_of_no_use(trial):
    command = ("blind", trial / "study", "--out", trial / "set", "--key")
    told = "if no key of that set lies elsewhere, nobody can open it: delete it"
    assert told not in said(masi(*command, trial / "safe" / "key"))
    assert told in said(masi(*command, trial / "key"))


def noted_on_a_disk_with(left, journal):
    """Note a line where so many bytes are left."""
    resource = pytest.importorskip("resource", reason="Windows has no limit to the size of a file")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (journal.stat().st_size + left, limits[1]))
    try:
        return note(journal, what="asked")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_full_disk_leaves_the_log_as_it_was(trial):
    journal = trial / "safe" / "key.log"
    before = journal.read_bytes()
    with pytest.raises(OutputError, match="Make free space"):
        noted_on_a_disk_with(40, journal)
    assert journal.read_bytes() == before
    assert checked(trial).exit_code == 0


def test_a_log_that_lost_its_last_newline_goes_on_with_a_line_of_its_own(trial):
    journal = trial / "safe" / "key.log"
    journal.write_bytes(journal.read_bytes()[:-1])
    assert checked(trial).exit_code == 0
    assert [one["what"] for one in read_journal(journal)] == ["coded", "asked to check", "checked"]


@pytest.mark.parametrize("kept", ["half of it", "half a letter"])
def test_half_a_line_at_the_end_of_the_log_is_no_charge_of_tampering(trial, kept):
    journal = trial / "safe" / "key.log"
    whole = journal.read_bytes()
    note(journal, what="asked", reason="Müller")
    piece = journal.read_bytes()[len(whole) :]
    half = piece[:40] if kept == "half of it" else piece[: piece.index("ü".encode()) + 1]
    journal.write_bytes(whole + half)
    done = checked(trial)
    assert done.exit_code == 2
    assert "key.log ends in half a line (2), as where the disk was full" in said(done)
    assert "take that piece off its end" in said(done)
    journal.write_bytes(whole + half + b"\n")
    assert "was changed at line 2" in said(checked(trial))
    journal.write_bytes(whole)
    assert checked(trial).exit_code == 0


def test_a_set_that_is_taken_away_stays_on_record(tmp_path, made):
    where = ("--out", tmp_path / "set", "--key", tmp_path / "safe" / "key")
    phrase = ("--passphrase-file", made / "passphrase", "--reader", PATIENTS[0])
    assert masi("blind", made / "study", *where, *phrase).exit_code == 2
    assert [one["what"] for one in logged(tmp_path)] == ["coded", "found the set not clean"]


def exchanged(folder):
    """Exchange the photos of two units, and mend the set's own list."""
    one, other = read_contents(folder / "set").codes[:2]
    a, b = (folder / "set" / code / "front.png" for code in (one, other))
    first, second = a.read_bytes(), b.read_bytes()
    a.write_bytes(second)
    b.write_bytes(first)
    contents = json.loads((folder / "set" / CONTENTS).read_text(encoding="utf-8"))
    for file in (a, b):
        contents["photos"][file.relative_to(folder / "set").as_posix()] = sha256(file)
    (folder / "set" / CONTENTS).write_text(json.dumps(contents, indent=1) + "\n", encoding="utf-8")
    all_as_old(folder / "set")
    return one, other


def test_photos_of_two_units_that_were_exchanged_are_found_by_the_key(trial):
    assert checked(trial).exit_code == 0
    codes = exchanged(trial)
    assert masi("blind", "check", trial / "set").exit_code == 0  # the set alone tells nothing of it
    done = checked(trial)
    assert done.exit_code == 2
    for code in codes:
        assert f"{code}/front.png is not the photo that the key was sealed with." in said(done)
    last = logged(trial)[-1]
    assert (last["what"], last["faults"]) == ("checked", 2)
    assert last["photos_sha256"] == read_contents(trial / "set").sha256


def test_an_order_that_was_written_anew_is_found_by_the_key(trial):
    codes = list(key_of(trial).orders["anna"])
    codes[0], codes[1] = codes[1], codes[0]
    rows = [{"place": place, "code": code} for place, code in enumerate(codes, 1)]
    (trial / "set" / ORDERS / "anna.csv").write_text(csv_text(("place", "code"), rows), encoding="utf-8")
    all_as_old(trial / "set")
    assert masi("blind", "check", trial / "set").exit_code == 0
    done = checked(trial)
    assert done.exit_code == 2
    assert "The order of anna is not the one that the key was sealed with." in said(done)


def test_a_key_of_an_older_version_opens_and_says_what_is_not_known(trial):
    as_of_an_older_version(trial)
    key = key_of(trial)
    assert key.coded == {}
    assert "/".join(DAMAGED) in str(key.left_out[0])
    assert "Not known: whether the photos are those that were coded" in said(checked(trial))
    assert unblinded(trial).exit_code == 0
    _, rows = table(trial / "opened" / "coding.csv")
    assert {row["coded_sha256"] for row in rows if row["code"]} == {"not known"}
    assert "/".join(DAMAGED) in rows[-1]["left_out"]


def test_a_key_opens_with_the_version_before_this_one(made):
    """It reads what it knows of: new things stand beside the old ones, under the same format."""
    head, rest = (made / "safe" / "key").read_bytes().split(b"\n", 1)
    shown = json.loads(head)
    assert shown["masi_vision_key"] == FORMAT == 1
    from base64 import b64decode

    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    scrypt = shown["scrypt"]
    secret = _derived(PASSPHRASE, b64decode(scrypt["salt"]), scrypt["n"], scrypt["r"], scrypt["p"])
    values = json.loads(AESGCM(secret).decrypt(b64decode(shown["nonce"]), b64decode(rest), head))
    assert set(values["units"][0]) == {"code", "patient", "visit", "repeat_of", "photos"}


def test_photos_of_the_study_that_changed_or_are_gone_are_named(trial):
    done = checked(trial, "--study", trial / "study")
    assert done.exit_code == 0, done.output
    assert "The study has every photo that was coded, as it was." in said(done)
    (trial / "study" / PATIENTS[0] / VISITS[0] / "front.png").unlink()
    changed = trial / "study" / PATIENTS[1] / VISITS[1] / "left.png"
    changed.write_bytes(changed.read_bytes() + b"\0")
    done = checked(trial, "--study", trial / "study")
    assert done.exit_code == 2
    assert f"{PATIENTS[0]}/{VISITS[0]}/front is gone." in said(done)
    assert f"{PATIENTS[1]}/{VISITS[1]}/left is another photo than the one that was coded." in said(done)
    assert "2 photos of the study are not those that were coded" in said(done)
    assert logged(trial)[-1]["originals_changed_or_gone"] == 2
    assert not any(name in json.dumps(logged(trial)) for name in PATIENTS)
    alone = masi("blind", "check", trial / "set", "--study", trial / "study")
    assert alone.exit_code == 2
    assert "--study is given without --key" in said(alone)


def test_what_was_added_to_the_study_since_it_was_coded_is_told_and_is_no_fault(trial):
    coded = trial / "study" / PATIENTS[0] / VISITS[0]
    other = cv2.imread(str(coded / "left.png"))[::-1]
    for new in (
        "Dahl-04/baseline/front",
        f"{PATIENTS[0]}/month-12/front",
        f"{PATIENTS[0]}/{VISITS[0]}/right",
    ):
        (trial / "study" / new).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(trial / "study" / f"{new}.png"), other)
    (trial / "study" / "Empty-05" / "baseline").mkdir(parents=True)
    done = checked(trial, "--study", trial / "study")
    assert done.exit_code == 1, done.output
    told = re.findall(r"Warning: (\S+) was added to the study since it was coded", said(done))
    places = [
        f"{PATIENTS[0]}/{VISITS[0]}/right",
        f"{PATIENTS[0]}/month-12",
        "Dahl-04/baseline",
        "Empty-05/baseline",
    ]
    assert sorted(told) == sorted(places)  # not what was left out when it was coded
    assert "The study has every photo that was coded, as it was." in said(done)
    assert (logged(trial)[-1]["added"], logged(trial)[-1]["originals_changed_or_gone"]) == (4, 0)
    assert "Dahl" not in json.dumps(logged(trial))


def test_what_was_coded_and_lies_elsewhere_now_is_told_by_both_places(trial):
    study = trial / "study"
    moved = f"{PATIENTS[0]}/{VISITS[0]}"
    (study / moved).rename(study / PATIENTS[0] / "month-0")
    copied = f"{PATIENTS[1]}/{VISITS[1]}"
    shutil.copy(study / copied / "left.png", study / copied / "right.png")
    shutil.copytree(study / copied, study / "Dahl-04" / "baseline")
    done = checked(trial, "--study", study)
    assert done.exit_code == 2, done.output
    assert f"{moved}/front is gone." in said(done)
    assert f"Warning: {PATIENTS[0]}/month-0 shows what was coded as {moved}: moved or copied?" in said(done)
    assert f"Warning: {copied}/right shows what was coded as {copied}/left: moved or" in said(done)
    assert f"Warning: Dahl-04/baseline shows what was coded as {copied}: moved or copied?" in said(done)
    assert "stands behind no code" not in said(done)
    assert logged(trial)[-1]["added"] == 3


def test_two_visits_that_were_exchanged_are_told_by_both_places(trial):
    one, other = (trial / "study" / PATIENTS[0] / visit / "front.png" for visit in VISITS)
    kept = one.read_bytes()
    shutil.move(other, one)
    other.write_bytes(kept)
    done = checked(trial, "--study", trial / "study")
    assert done.exit_code == 2, done.output
    places = [f"{PATIENTS[0]}/{visit}/front" for visit in VISITS]
    for here, there in (places, places[::-1]):
        assert (
            f"{here} is another photo than the one that was coded, and shows what was coded as {there}: "
            "moved or copied?"
        ) in said(done)


def coded_with_copies(study, folder):
    """A study in which a visit was sent twice, and a visit of another patient was copied."""
    once, twice = (study / PATIENTS[0] / visit / "front.png" for visit in VISITS)
    shutil.copy(once, twice)
    shutil.copytree(study / PATIENTS[1] / VISITS[1], study / "Dahl-04" / VISITS[1])
    return masi(
        *("blind", study, "--out", folder / "set", "--key", folder / "safe" / "key", "--reader", "anna"),
        *("--passphrase-file", folder / "passphrase", "--repeats", "1"),
    )


def test_photos_that_are_one_file_are_told_before_nobody_can_see_it_any_more(made, tmp_path):
    """Hidden repeats are copies by intent."""
    shutil.copytree(made / "study", tmp_path / "study")
    (tmp_path / "passphrase").write_text(PASSPHRASE)
    (tmp_path / "study" / "/".join(DAMAGED)).with_suffix(".png").unlink()  # that alone gives the code 1
    coded = coded_with_copies(tmp_path / "study", tmp_path)
    check = checked(tmp_path)
    places = [
        [f"{PATIENTS[0]}/{visit}/front" for visit in VISITS],
        *([f"{one}/{VISITS[1]}/{view}" for one in (PATIENTS[1], "Dahl-04")] for view in ("front", "left")),
    ]
    for done in (coded, check):
        assert done.exit_code == 1, done.output
        assert done.stderr.count("Warning:") == 3
        for pair in places:
            words = "are one and the same file. Expected a photo of each."
            assert f"Warning: {', '.join(pair)} {words}" in said(done)
    assert "Clean but for what was warned of" in said(check)
    opened_tables = unblinded(tmp_path)
    assert opened_tables.exit_code == 0, opened_tables.output
    assert opened_tables.stderr.count("one and the same file") == 3


def test_copies_are_not_told_once_all_but_one_do_not_count(made, tmp_path):
    shutil.copytree(made / "study", tmp_path / "study")
    (tmp_path / "passphrase").write_text(PASSPHRASE)
    own = tmp_path / "study" / PATIENTS[1] / VISITS[0]
    shutil.copy(own / "left.png", own / "right.png")  # which blind tells, and no correction can mend
    assert f"{PATIENTS[1]}/{VISITS[0]}/left, {PATIENTS[1]}/{VISITS[0]}/right are one" in said(
        coded_with_copies(tmp_path / "study", tmp_path)
    )
    rows = [(PATIENTS[0], VISITS[1]), ("Dahl-04", VISITS[1])]
    text = "".join(f"{patient},{visit},,,sent twice\n" for patient, visit in rows)
    head = "patient,visit,correct_patient,correct_visit,reason\n"
    (tmp_path / "corrections.csv").write_text(head + text)
    done = unblinded(tmp_path, "--corrections", tmp_path / "corrections.csv")
    assert done.exit_code == 0, done.output
    assert "one and the same file" not in said(done)


def test_two_spellings_of_a_centre_are_told_before_they_are_coded_as_two(tmp_path):
    composed, decomposed = "Orl\u00e9ans", "Orle\u0301ans"
    write_noise_study(tmp_path, ("P1", "P2"), VISITS, ("front",), ("P1", VISITS[0], "left"))
    rows = [
        f"{patient},{visit},front,{folder}/{visit}/front.png\n"
        for patient, folder in ((f"{composed}/001", "P1"), (f"{decomposed}/002", "P2"))
        for visit in VISITS
    ]
    (tmp_path / "study.csv").write_text("".join(["patient,visit,view,path\n", *rows]), encoding="utf-8")
    (tmp_path / "passphrase").write_text(PASSPHRASE)
    coded = masi(
        *("blind", tmp_path / "study.csv", "--out", tmp_path / "set", "--key", tmp_path / "safe" / "key"),
        *("--passphrase-file", tmp_path / "passphrase"),
    )
    for done in (coded, checked(tmp_path)):
        assert done.exit_code == 1, done.output
        assert r"Warning: 'Orle\u0301ans' and 'Orl\xe9ans' differ in case, width, blanks" in said(done)
        assert done.stderr.count("Warning:") == 1


def as_told(visits, key):
    return [str(one) for one in added(visits, key)]


def test_what_was_left_out_and_has_been_mended_since_stands_behind_no_code(trial):
    place, photo = "/".join(DAMAGED), trial / "study" / f"{'/'.join(DAMAGED)}.png"
    photo.write_bytes(b"no photo either")
    assert checked(trial, "--study", trial / "study").exit_code == 0
    other = cv2.imread(str(trial / "study" / PATIENTS[0] / VISITS[0] / "left.png"))[::-1]
    cv2.imwrite(str(photo), other)
    done = checked(trial, "--study", trial / "study")
    assert done.exit_code == 1, done.output
    assert f"Warning: {place} was left out when it was coded, and can be read now" in said(done)
    key, visits = key_of(trial), visits_of(str(trial / "study"), load_settings().views)
    as_now = [replace(one, sha256=sha256(photo)) for one in key.left_out]
    assert not as_told(visits, replace(key, left_out=tuple(as_now))), "it is the photo that was left out"


def test_a_visit_that_was_left_out_is_told_once_it_can_be_coded(trial):
    (trial / "study" / "Empty-05" / "baseline").mkdir(parents=True)
    empty = PhotoLeftOut("Empty-05", "baseline", "", "no photo")
    key = key_of(trial)
    key = replace(key, left_out=(*key.left_out, empty))
    assert not as_told(visits_of(str(trial / "study"), load_settings().views), key)
    other = cv2.imread(str(trial / "study" / PATIENTS[0] / VISITS[0] / "left.png"))[::-1]
    for name in ("front.png", "front2.png"):  # two of a view cannot be coded either
        cv2.imwrite(str(trial / "study" / "Empty-05" / "baseline" / name), other)
    assert not as_told(visits_of(str(trial / "study"), load_settings().views), key)
    (trial / "study" / "Empty-05" / "baseline" / "front2.png").unlink()
    assert as_told(visits_of(str(trial / "study"), load_settings().views), key) == [
        "Empty-05/baseline was left out when it was coded, and can be read now: it stands behind no code."
    ]


def test_what_was_left_out_is_known_to_a_key_of_a_version_that_kept_sentences(trial):
    key = key_of(trial)
    before = PhotoLeftOut("", "", "", f"{'/'.join(DAMAGED)}: it is no photo")
    visits = visits_of(str(trial / "study"), load_settings().views)
    assert not as_told(visits, replace(key, left_out=(before,)))
    (told,) = as_told(visits, replace(key, left_out=()))
    assert told.startswith(f"{'/'.join(DAMAGED)} was added")
    (trial / "study" / PATIENTS[0] / VISITS[0] / "left.png").unlink()
    (trial / "study" / PATIENTS[0] / VISITS[0] / "front.png").unlink()
    whole = PhotoLeftOut("", "", "", f"{PATIENTS[0]}/{VISITS[0]}: no photo")
    units = tuple(one for one in key.units if (one.patient, one.visit) != (PATIENTS[0], VISITS[0]))
    visits = visits_of(str(trial / "study"), load_settings().views)
    assert not as_told(visits, replace(key, units=units, left_out=(before, whole)))


def write_reads(folder):
    (folder / "results").mkdir(exist_ok=True)
    rows = [
        {"code": unit.code, "reader": "anna", "mmasi": 3.2, "locked_utc": "2026-11-01T10:00:00+00:00"}
        for unit in key_of(folder).units
    ]
    (folder / "results" / "reads.csv").write_text(csv_text(list(rows[0]), rows), encoding="utf-8")


def write_scores(folder, but=(), name="scores.csv"):
    (folder / "results").mkdir(exist_ok=True)
    rows = [
        {"patient": "", "visit": unit.code, "status": "scored", "mmasi": 3.1}
        for unit in key_of(folder).units
        if unit.code not in but
    ]
    (folder / "results" / name).write_text(csv_text(list(rows[0]), rows), encoding="utf-8")


def unblinded(folder, *more):
    write_reads(folder)
    return masi(
        *("unblind", folder / "results", "--key", folder / "safe" / "key", "--out", folder / "opened"),
        *("--reason", "database lock", "--passphrase-file", folder / "passphrase", *more),
    )


def test_breaking_the_code_tells_which_original_stands_behind_each_code(trial):
    assert unblinded(trial).exit_code == 0
    file = trial / "opened" / "coding.csv"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    columns, rows = table(file)
    assert columns[:7] == ["code", "patient", "visit", "view", "original_sha256", "coded_sha256", "left_out"]
    assert columns[7:] == ["corrected_patient", "corrected_visit", "correction_reason"]
    assert not any(row[name] for row in rows for name in columns[7:])
    coded = [row for row in rows if row["code"]]
    assert len(coded) == len(read_contents(trial / "set").photos)
    for row in coded:
        original = trial / "study" / row["patient"] / row["visit"] / f"{row['view']}.png"
        assert row["original_sha256"] == sha256(original)
        assert row["coded_sha256"] == sha256(trial / "set" / row["code"] / f"{row['view']}.png")
    (left,) = [row for row in rows if not row["code"]]
    assert (left["patient"], left["visit"], left["view"]) == DAMAGED
    assert left["original_sha256"] == hashlib.sha256(b"no photo").hexdigest()
    assert "left.png" in left["left_out"]


def write_arms(folder, arms="ABA"):
    rows = "".join(f"{patient},{arm}\n" for patient, arm in zip(PATIENTS, arms, strict=True))
    (folder / "arms.csv").write_text(f"patient,arm\n{rows}", encoding="utf-8")
    return ("--allocation", folder / "arms.csv")


def fingerprints(folder, **files):
    key = key_of(folder)
    return {
        how: {name: key.fingerprint(one.read_bytes()) for name, one in of.items()}
        for how, of in files.items()
    }


def test_the_log_has_the_fingerprint_of_every_table_that_names_patients(trial):
    done = unblinded(trial, *write_arms(trial))
    assert done.exit_code == 0, done.output
    asked, last = logged(trial)[-2:]
    exported = {"reads.csv": sha256(trial / "results" / "reads.csv")}
    assert (asked["what"], asked["read"]) == ("asked to unblind", exported)
    assert "hmac_sha256" not in asked
    assert (last["what"], last["read"]) == ("unblinded", exported)
    written = {name: trial / "opened" / name for name in ("reads.csv", "coding.csv")}
    told = fingerprints(trial, read={"allocation": trial / "arms.csv"}, written=written)
    assert last["hmac_sha256"] == told
    assert f"key.log ends with {last['sha256']}" in said(done)


def test_the_log_does_not_give_the_arms_away_to_who_tries_them_all(trial):
    assert unblinded(trial, *write_arms(trial)).exit_code == 0
    arms = [trial / "arms.csv", trial / "opened" / "reads.csv"]
    shutil.copy(trial / "opened" / "reads.csv", trial / "results" / "again.csv")
    more = ("--before-lock", "read again", "--out", trial / "opened-2")
    assert unblinded(trial, *write_arms(trial), *more).exit_code == 0
    text = (trial / "safe" / "key.log").read_text(encoding="utf-8")
    assert not any(sha256(file) in text for file in arms)
    assert fingerprints(trial, read={"again.csv": arms[1]})["read"]["again.csv"] in text
    assert stat.S_IMODE((trial / "safe" / "key.log").stat().st_mode) == 0o600


def test_a_fingerprint_is_of_one_key_alone(trial):
    key = key_of(trial)
    assert key.fingerprint(b"A") == replace(key, left_out=()).fingerprint(b"A")
    other = replace(key, seed=key.seed + 1)
    assert len({key.fingerprint(b"A"), key.fingerprint(b"B"), other.fingerprint(b"A")}) == 3


def held(folder, file):
    phrase = ("--passphrase-file", folder / "passphrase")
    return masi("blind", "log", folder / "safe" / "key", "--file", file, *phrase)


def test_who_has_the_key_learns_which_lines_name_a_file(trial):
    assert unblinded(trial, *write_arms(trial)).exit_code == 0
    done = held(trial, trial / "arms.csv")
    assert done.exit_code == 0, done.output
    assert re.search(r"arms.csv: line 3 of \S+ \(unblinded\): read allocation", said(done))
    assert "(asked to unblind): read reads.csv" in said(held(trial, trial / "results" / "reads.csv"))
    assert [one["what"] for one in logged(trial)[-2:]] == [
        "asked which lines name a file",
        "told which lines name a file",
    ]
    write_arms(trial, "BAA")
    other = held(trial, trial / "arms.csv")
    assert other.exit_code == 2
    assert "no line of key.log names arms.csv as it is now" in said(other)


def test_a_log_that_was_begun_anew_still_tells_which_lines_name_a_file(trial):
    (trial / "safe" / "key.log").unlink()
    nothing = held(trial, trial / "passphrase")
    assert nothing.exit_code == 2
    assert not (trial / "safe" / "key.log").exists()
    assert unblinded(trial, *write_arms(trial)).exit_code == 0
    done = held(trial, trial / "arms.csv")
    assert done.exit_code == 2
    assert "does not begin with the coding of this set" in said(done)
    assert "(unblinded): read allocation" in said(done)


def test_tables_of_an_earlier_call_stay_unless_they_are_to_be_written_over(trial):
    write_scores(trial)
    assert unblinded(trial, "--before-lock", "a test").exit_code == 0
    (trial / "results" / "scores.csv").unlink()
    (trial / "opened" / "notes.csv").write_text("mine\n")
    beside = unblinded(trial)  # neither coding.csv nor reads.csv is another than it was
    assert beside.exit_code == 0, beside.output
    assert (trial / "opened" / "scores.csv").is_file()
    refused = unblinded(trial, *write_arms(trial))
    assert refused.exit_code == 2
    assert "reads.csv is there already, and is another" in said(refused)
    scores = fingerprints(trial, taken_away={"scores.csv": trial / "opened" / "scores.csv"})
    done = unblinded(trial, "--overwrite")
    assert done.exit_code == 0, done.output
    assert {file.name for file in (trial / "opened").iterdir()} == {"reads.csv", "coding.csv", "notes.csv"}
    assert logged(trial)[-1]["hmac_sha256"]["taken_away"] == scores["taken_away"]
    assert "scores.csv of an earlier call was taken away" in said(done)


def test_a_table_that_a_person_made_of_opened_ones_is_not_taken_away(trial):
    write_scores(trial)
    assert unblinded(trial).exit_code == 0
    (trial / "results" / "scores.csv").unlink()
    mine = trial / "opened" / "scores.csv"
    mine.write_text(mine.read_text(encoding="utf-8").replace("3.1", "3.2"), encoding="utf-8")
    before = {file.name: file.read_bytes() for file in (trial / "opened").iterdir()}
    refused = unblinded(trial, "--overwrite", *write_arms(trial))
    assert refused.exit_code == 2
    assert "scores.csv begins as an opened table does" in said(refused)
    assert {file.name: file.read_bytes() for file in (trial / "opened").iterdir()} == before
    assert logged(trial)[-1]["what"] == "asked to unblind"


def test_a_table_that_an_earlier_version_noted_by_its_plain_hash_is_taken_away(trial):
    from masi_vision.blinding.journal import note

    write_scores(trial)
    assert unblinded(trial).exit_code == 0
    (trial / "results" / "scores.csv").unlink()
    (trial / "safe" / "key.log").unlink()
    written = {"scores.csv": sha256(trial / "opened" / "scores.csv")}
    note(trial / "safe" / "key.log", what="unblinded", set="0" * 16, written=written)
    assert "begins as an opened table does" in said(unblinded(trial, "--overwrite"))  # another set's line
    note(trial / "safe" / "key.log", what="unblinded", set=key_of(trial).set_id, written=written)
    assert unblinded(trial, "--overwrite").exit_code == 0
    assert not (trial / "opened" / "scores.csv").exists()


def test_an_allocation_of_which_no_hash_can_be_noted_is_refused(trial):
    if not hasattr(os, "mkfifo"):
        pytest.skip("Windows has no pipe that is called as a file")
    os.mkfifo(trial / "arms")
    refused = unblinded(trial, "--allocation", trial / "arms")
    assert refused.exit_code == 2
    assert "cannot be read (no regular file)" in said(refused)


def test_results_beside_the_list_of_codes_and_patients_are_refused(trial):
    assert unblinded(trial).exit_code == 0
    shutil.copy(trial / "opened" / "coding.csv", trial / "results" / "coding.csv")
    refused = unblinded(trial, "--before-lock", "a test", "--overwrite")
    assert refused.exit_code == 2
    assert "holds coding.csv, which this command writes" in said(refused)


def test_scores_that_lack_units_of_the_set_keep_the_code_closed(trial):
    write_reads(trial)
    lost = [unit.code for unit in key_of(trial).units][2:4]
    write_scores(trial, but=lost)
    refused = unblinded(trial)
    assert refused.exit_code == 2
    assert f"scores.csv lacks 2 of the 9 units of the set: {lost[0]}, {lost[1]}" in said(refused)
    assert not (trial / "opened").exists()
    assert unblinded(trial, "--before-lock", "a patient's safety").exit_code == 0


def test_scores_of_a_set_may_stand_in_several_tables(trial):
    codes = [unit.code for unit in key_of(trial).units]
    write_scores(trial, but=codes[:4], name="scores-1.csv")
    write_scores(trial, but=codes[3:], name="scores-2.csv")
    refused = unblinded(trial)
    assert refused.exit_code == 2
    told = f"scores-1.csv, scores-2.csv together lack 1 of the 9 units of the set: {codes[3]}."
    assert told in said(refused)
    write_scores(trial, but=codes[4:], name="scores-2.csv")
    assert unblinded(trial).exit_code == 0


def codes_of(folder, patient, reason="consent was withdrawn"):
    return masi(
        *("blind", "codes", folder / "safe" / "key", "--patient", patient, "--reason", reason),
        *("--passphrase-file", folder / "passphrase"),
    )


def test_the_codes_of_one_patient_are_told_and_of_no_other(trial):
    done = codes_of(trial, PATIENTS[1])
    assert done.exit_code == 0, done.output
    his = sorted(unit.code for unit in key_of(trial).units if unit.patient == PATIENTS[1])
    others = [unit.code for unit in key_of(trial).units if unit.patient != PATIENTS[1]]
    assert done.stdout.splitlines()[: len(his)] == his
    assert not any(code in done.output for code in others)
    asked, last = logged(trial)[-2:]
    assert (asked["what"], asked["reason"]) == ("asked for a patient's codes", "consent was withdrawn")
    assert (last["what"], last["reason"]) == ("told a patient's codes", "consent was withdrawn")
    listed = key_of(trial).fingerprint("".join(f"{code}\n" for code in his).encode())
    assert (last["units"], last["hmac_sha256"]) == (len(his), {"codes": listed})
    text = json.dumps(logged(trial))
    assert not any(word in text for word in (PATIENTS[1], *his))
    assert "1 photos or visits of this patient were left out" in said(codes_of(trial, DAMAGED[0]))


@pytest.mark.parametrize(
    ("patient", "reason", "told"),
    [
        ("Nobody-09", "withdrawn", "has no patient 'Nobody-09'"),
        (PATIENTS[1], "of brandt-02: withdrawn", "The reason names the patient"),
        (PATIENTS[1], " ", "The reason is empty"),
    ],
)
def test_codes_that_cannot_be_told_are_refused(trial, patient, reason, told):
    done = codes_of(trial, patient, reason)
    assert done.exit_code == 2
    assert told in said(done)
    assert not any(unit.code in done.output for unit in key_of(trial).units)
    assert [one["what"] for one in logged(trial)[1:]] == ["asked for a patient's codes"] * ("Nobody" in told)


@pytest.mark.parametrize(
    ("patient", "reason"),
    [
        ("north/P01", "P01 withdrew"),
        ("north/P01", "a patient of North withdrew"),
        ("P2", "p2: withdrawn"),
        ("P-03", "P03 withdrew"),
        ("P-03", "of p 03, withdrawn"),
        ("P03", "patient P_3"),
        ("7", "no. 007 withdrew"),
        ("Çelik", "of ÇELIK"),
        ("Alvarez", "the Alvarezes withdrew"),
        ("王", "of 王"),
    ],
)
def test_a_reason_that_names_the_patient_is_noted_nowhere(trial, patient, reason):
    done = codes_of(trial, patient, reason)
    assert done.exit_code == 2
    assert "The reason names the patient" in said(done)
    assert len(logged(trial)) == 1


@pytest.mark.parametrize(("patient", "reason"), [("P2", "P21 is not meant"), ("P1", "up 1"), ("-", "a - b")])
def test_a_reason_with_another_word_names_nobody(trial, patient, reason):
    assert f"has no patient {patient!r}" in said(codes_of(trial, patient, reason))


def resealed(folder, new, old=PASSPHRASE):
    (folder / "old").write_text(old, encoding="utf-8")
    (folder / "new").write_text(new, encoding="utf-8")
    files = ("--passphrase-file", folder / "old", "--new-passphrase-file", folder / "new")
    return masi("blind", "reseal", folder / "safe" / "key", *files)


def test_a_key_gets_another_passphrase_and_holds_what_it_held(trial):
    before = key_of(trial)
    done = resealed(trial, "another that is long")
    assert done.exit_code == 0, done.output
    file = trial / "safe" / "key"
    assert opened(file, "another that is long") == before
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert {one.name for one in (trial / "safe").iterdir()} >= {"key", "key.log"}
    assert checked(trial).exit_code == 2  # the old passphrase opens it no more
    resealing = [one for one in logged(trial) if one["what"] == "resealed"]
    assert [one["key_sha256"] for one in resealing] == [sha256(file)]


def test_a_key_keeps_its_passphrase_where_the_new_one_is_short_or_the_old_one_wrong(trial):
    before = (trial / "safe" / "key").read_bytes()
    assert "Expected at least 12" in said(resealed(trial, "short"))
    assert "The new passphrase is the old one" in said(resealed(trial, PASSPHRASE))
    assert "does not open" in said(resealed(trial, "another that is long", old="not this one at all"))
    assert (trial / "safe" / "key").read_bytes() == before


def test_an_old_key_beside_the_log_of_a_newer_one_is_told_and_noted(trial):
    file = trial / "safe" / "key"
    shutil.copy(file, trial / "old-key")
    assert resealed(trial, "another that is long").exit_code == 0
    assert masi("blind", "log", file).exit_code == 0
    shutil.copy(trial / "old-key", file)
    told = "key is not the file that was last sealed, as its log tells"
    done = checked(trial)  # with the passphrase that was to open it no more
    assert done.exit_code == 0, done.output
    assert said(done).count(told) == 1
    assert [one.get("key") for one in logged(trial)[-2:]] == ["not the one last sealed", None]
    log = masi("blind", "log", file)
    assert log.exit_code == 2
    assert "The log is as it was written" in said(log)
    assert told in said(log)
    assert resealed(trial, "a third that is long").exit_code == 0
    assert masi("blind", "log", file).exit_code == 0


def test_a_key_that_was_changed_since_it_was_coded_is_told_where_the_log_has_its_hash(trial):
    as_of_an_older_version(trial)
    assert "is not the file that was last sealed" in said(checked(trial))
    journal, (coding, *_) = trial / "safe" / "key.log", logged(trial)
    journal.unlink()
    note(journal, **{name: coding[name] for name in ("what", "set")})  # as an earlier version noted it
    assert masi("blind", "log", trial / "safe" / "key").exit_code == 0


def test_the_same_passphrase_typed_otherwise_is_no_other(trial):
    assert resealed(trial, "lang genug f\u00fcr alle").exit_code == 0
    same = resealed(trial, "lang genug fu\u0308r alle", old="lang genug f\u00fcr alle")
    assert same.exit_code == 2
    assert "The new passphrase is the old one" in said(same)
    assert logged(trial)[-1]["what"] == "asked to reseal"


def test_a_log_over_which_the_clock_was_set_back_is_whole_and_says_so(trial, monkeypatch):
    assert "set back" not in said(masi("blind", "log", trial / "safe" / "key"))

    class EarlierClock(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime(2001, 2, 3, 4, 5, 6, tzinfo=tz)

    monkeypatch.setattr("masi_vision.blinding.journal.datetime", EarlierClock)
    assert checked(trial).exit_code == 0
    done = masi("blind", "log", trial / "safe" / "key")
    assert done.exit_code == 0, done.output
    (told,) = re.findall(r"Line \d+ is of [^.]+\.", said(done))
    number = len(logged(trial)) - 1
    assert told.startswith(f"Line {number} is of 2001-02-03T04:05:06 and line {number - 1} of 20")
    assert told.endswith(" UTC: the machine's clock was set back between them.")
    assert "The log is as it was written" in said(done)


def test_the_log_is_held_against_a_hash_that_was_kept(trial):
    assert unblinded(trial).exit_code == 0
    log, key = trial / "safe" / "key.log", trial / "safe" / "key"
    end = logged(trial)[-1]["sha256"]
    done = masi("blind", "log", key, "--head", end)
    assert done.exit_code == 0, done.output
    assert f"key.log ends with {end}" in said(done)
    whole = log.read_text(encoding="utf-8").splitlines(keepends=True)
    log.write_text("".join(whole[:-1]), encoding="utf-8")
    assert masi("blind", "log", key).exit_code == 0  # nothing within it tells
    cut = masi("blind", "log", key, "--head", end)
    assert cut.exit_code == 2
    assert "lines were taken off the end" in said(cut)
    log.write_text("".join(whole), encoding="utf-8")
    assert masi("blind", "log", key, "--head", f" {end.upper()}\n").exit_code == 0
    for typed in (end[:-1], end + "0", "g" + end[1:], ""):
        mistyped = masi("blind", "log", key, "--head", typed)
        assert mistyped.exit_code == 2
        assert f"--head {typed!r} is no SHA-256" in said(mistyped)
        assert "taken off" not in said(mistyped)
    log.write_text("".join(whole).replace("database lock", "database look"), encoding="utf-8")
    changed = masi("blind", "log", key)
    assert changed.exit_code == 2
    assert "was changed at line 2" in said(changed)


@pytest.mark.parametrize("lost", ["gone", "emptied"])
def test_a_log_that_is_gone_or_empty_is_told_and_begun_anew_on_record(trial, lost):
    (trial / "safe" / "key.log").unlink()
    if lost == "emptied":
        (trial / "safe" / "key.log").touch()
    gone = masi("blind", "log", trial / "safe" / "key")
    assert gone.exit_code == 2
    assert "There is no key.log beside the key" in said(gone)
    done = checked(trial)
    assert done.exit_code == 0, done.output
    assert "Warning: there is no key.log beside the key" in said(done)
    assert logged(trial)[0]["log"] == "begun anew: there was none"
    assert "log" not in logged(trial)[1]
    anew = masi("blind", "log", trial / "safe" / "key")
    assert anew.exit_code == 2
    assert "does not begin with the coding of this set" in said(anew)
    lines = len(logged(trial))
    told = f"the {lines} lines that are there follow each other; the coding is not among them."
    assert told in " ".join(anew.stderr.split())
    assert "Find out who" not in said(anew)
    cut = masi("blind", "log", trial / "safe" / "key", "--head", "0" * 64)
    assert cut.exit_code == 2
    assert "Find out who changed it" in said(cut)
    assert "follow each other" not in said(cut)


def test_a_coding_that_stands_behind_other_lines_of_its_set_is_a_fault(trial):
    journal, (coding, *_) = trial / "safe" / "key.log", logged(trial)
    journal.unlink()
    assert checked(trial).exit_code == 0
    facts = {name: one for name, one in coding.items() if name not in ("utc", "sha256")}
    note(journal, **facts)
    done = masi("blind", "log", trial / "safe" / "key")
    assert done.exit_code == 2
    assert "The coding of this set is not the first that was noted of it" in said(done)
    assert "Find out who changed it" in said(done)


def test_a_log_that_was_changed_stops_a_coding_before_the_work(trial, tmp_path):
    (tmp_path / "key.log").write_text("{}\n")
    done = masi(
        *("blind", trial / "study", "--out", tmp_path / "set", "--key", tmp_path / "key"),
        *("--passphrase-file", trial / "passphrase"),
    )
    assert done.exit_code == 2
    assert "was changed at line 1" in said(done)
    assert not (tmp_path / "set").exists()
    assert not (tmp_path / "key").exists()


def test_a_left_out_visit_reads_as_a_sentence():
    one = PhotoLeftOut("P1", "v1", "", "no photo")
    assert str(one) == "P1/v1: no photo"
    assert str(replace(one, view="left")) == "P1/v1/left: no photo"


@pytest.mark.parametrize(
    ("reason", "name", "stands"),
    [
        ("a withdrawal of consent", "A", False),
        ("consent withdrawn 2026-12-01", "01", False),
        ("consent of 01 withdrawn 2026-12-01", "01", True),
    ],
)
def test_a_date_and_an_article_name_nobody(reason, name, stands):
    assert _stands_in(reason, name) is stands
