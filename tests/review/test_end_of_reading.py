"""How a reading ends: what is due still, who left, what is taken back, and what nobody may do after it."""

import csv
import io
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import stat
from contextlib import closing

import pytest
from conftest_review import PASSWORD, Person, graded, protocol_with
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from verbs import masi

from masi_vision.errors import ReadingError
from masi_vision.review.accounts import add_account, switch
from masi_vision.review.adjudication import codes_not_adjudicated
from masi_vision.review.altered import looked_through
from masi_vision.review.app import create_app
from masi_vision.review.audit import note_tool, trail
from masi_vision.review.closing import close, still_due
from masi_vision.review.database import closed_utc, looking, open_database, put_away, writing
from masi_vision.review.export import reads_csv
from masi_vision.review.grades import reading_from
from masi_vision.review.software import SoftwareScore
from masi_vision.scale import MASI_REGIONS


def read_all(person, reading):
    codes = []
    while (code := person.next_code) is not None:
        assert person.lock(code, reading).status_code == 200
        codes.append(code)
    return codes


def exported(engine):
    with looking(engine) as session:
        return list(csv.DictReader(io.StringIO(reads_csv(session, protocol_with()))))


def test_what_awaits_the_adjudicator_is_due_until_it_is_locked(reading_of, engine):
    app = reading_of()
    codes = read_all(Person(app, "anna"), graded(area=2))
    read_all(Person(app, "ben"), graded(area=5))
    due = [row for row in exported(engine) if row["stage"] == "adjudication"]
    assert [row["code"] for row in due] == sorted(codes)
    assert {row["locked_utc"] for row in due} == {""}
    assert Person(app, "adam").lock(codes[0], graded(area=3)).status_code == 200
    due = [
        row["code"] for row in exported(engine) if row["stage"] == "adjudication" and not row["locked_utc"]
    ]
    assert due == sorted(codes[1:])
    with writing(engine) as session:
        switch(session, "adam", active=False)
    due = [
        row["code"] for row in exported(engine) if row["stage"] == "adjudication" and not row["locked_utc"]
    ]
    assert due == sorted(codes[1:])
    with looking(engine) as session:
        (due,) = (one for one in still_due(session, protocol_with()) if "await" in one)
    assert due.startswith(f"{len(codes) - 1} units await an adjudicator, and none may sign in: name another")
    assert due.endswith("with masi review account add --role adjudicator, or say why with --incomplete")


def test_an_adjudicator_who_was_named_by_mistake_makes_nothing_due(reading_of, engine):
    app = reading_of()
    codes = read_all(Person(app, "anna"), graded(area=2))
    read_all(Person(app, "ben"), graded(area=5))
    adam = Person(app, "adam")
    assert adam.see(f"/units/{codes[0]}").status_code == 200  # who looks has not begun
    assert adam.draft(codes[0], {"grades": {}}).status_code == 200
    with looking(engine) as session:
        assert f"{len(codes)} units await the adjudicator" in still_due(session, protocol_with())
    with writing(engine) as session:
        switch(session, "adam", active=False)
    with looking(engine) as session:
        assert still_due(session, protocol_with()) == []
    assert not [row for row in exported(engine) if row["stage"] == "adjudication"]
    with writing(engine) as session:
        switch(session, "adam", active=True)
    adam = Person(app, "adam")
    assert adam.draft(codes[0], graded(area=3)).status_code == 200  # who has begun, and leaves, does
    with writing(engine) as session:
        switch(session, "adam", active=False)
    with looking(engine) as session:
        assert any("and none may sign in" in one for one in still_due(session, protocol_with()))
    assert len([row for row in exported(engine) if row["stage"] == "adjudication"]) == len(codes)


def test_a_correction_that_was_begun_is_of_the_stage_of_what_it_corrects(reading_of, engine):
    app = reading_of()
    anna, adam = Person(app, "anna"), Person(app, "adam")
    codes = read_all(anna, graded(area=2))
    read_all(Person(app, "ben"), graded(area=5))
    assert adam.lock(codes[0], graded(area=3)).status_code == 200
    for person in (anna, adam):
        assert person.correct(codes[0]).status_code == 303
    begun = [row for row in exported(engine) if row["reader"] and not row["locked_utc"]]
    assert {(row["code"], row["reader"], row["stage"]) for row in begun} == {
        (codes[0], "anna", "blind"),
        (codes[0], "adam", "adjudication"),
    }


def test_one_unit_awaits_the_adjudicator_in_the_singular(reading_of, engine):
    app = reading_of()
    codes = read_all(Person(app, "anna"), graded(area=2))
    read_all(Person(app, "ben"), graded(area=5))
    adam = Person(app, "adam")
    for code in codes[1:]:
        assert adam.lock(code, graded(area=3)).status_code == 200
    with looking(engine) as session:
        assert still_due(session, protocol_with()) == ["1 unit awaits the adjudicator"]


def test_a_reader_who_left_owes_no_reads(reading_of, engine):
    app = reading_of()
    anna = Person(app, "anna")
    code = anna.next_code
    assert anna.lock(code, graded()).status_code == 200
    with writing(engine) as session:
        switch(session, "anna", active=False)
    of_anna = [row for row in exported(engine) if row["reader"] == "anna"]
    assert [row["code"] for row in of_anna] == [code]
    assert any(not row["locked_utc"] for row in exported(engine) if row["reader"] == "ben")


def test_who_corrects_himself_takes_no_unit_out_of_the_adjudicator_s_hands(reading_of, engine):
    app = reading_of()
    anna, ben, adam = (Person(app, name) for name in ("anna", "ben", "adam"))
    codes = read_all(anna, graded(area=2))
    read_all(ben, graded(area=5))
    begun, done = codes[:2]
    assert adam.draft(begun, graded(area=3)).status_code == 200
    assert adam.lock(done, graded(area=3)).status_code == 200
    for code in (begun, done):
        assert ben.correct(code).status_code == 303
        ben.draft(code, graded(area=2))
        assert ben.lock(code, graded(area=2)).status_code == 200
    assert adam.lock(begun, graded(area=3)).status_code == 200
    assert all(f"/units/{code}" in adam.see("/").text for code in codes)
    with looking(engine) as session:
        assert set(codes_not_adjudicated(session, protocol_with())) == set(codes[2:])


def test_a_correction_that_was_begun_can_be_taken_back(reading_of, engine):
    app = reading_of()
    anna = Person(app, "anna")
    code = anna.next_code
    assert anna.lock(code, graded(area=2)).status_code == 200
    assert anna.correct(code).status_code == 303
    form = {"csrf": anna.csrf}
    assert anna.browser.post(f"/units/{code}/correction/dropped", data=form).status_code == 303
    again = anna.browser.post(f"/units/{code}/correction/dropped", data=form)
    assert "No correction or second read of this unit has begun" in again.text
    assert anna.lock(code, graded(area=3), read="blind-2").status_code == 409
    assert anna.correct(code).status_code == 303


def test_after_its_end_nobody_grades_locks_or_corrects(reading_of, engine):
    protocol = protocol_with()
    app = reading_of()
    anna = Person(app, "anna")
    code = anna.next_code
    assert anna.lock(code, graded(area=2)).status_code == 200
    following = anna.next_code
    with pytest.raises(ReadingError, match=r"not complete: anna has locked 1 of"), writing(engine) as session:
        close(session, protocol)
    with writing(engine) as session:
        since = close(session, protocol, "the trial was stopped")
    for refused in (
        anna.lock(following, graded(), read="blind-1"),
        anna.draft(following, graded(), read="blind-1"),
    ):
        assert refused.status_code == 409  # and no page that does not exist
        assert "The reading was closed at" in refused.json()["error"]
    assert "The reading is closed" in anna.correct(code).text
    assert anna.see(f"/units/{code}").status_code == 200
    assert "The reading was closed" in anna.see("/").text
    assert "Nothing is graded any more" in Person(app, "adam").see("/").text
    with looking(engine) as session:
        assert closed_utc(session) == since
    with pytest.raises(ReadingError, match="was closed at"), writing(engine) as session:
        close(session, protocol, "again")


def test_the_coordinator_is_told_what_comes_next_and_not_before_all_is_locked(reading_of, engine):
    app = reading_of()
    cora, adam = Person(app, "cora"), Person(app, "adam")
    read_all(Person(app, "anna"), graded(area=2))
    read_all(Person(app, "ben"), graded(area=6))
    assert "masi review" not in cora.see("/").text, "units await the adjudicator"
    read_all(adam, graded(area=4))
    assert "end the reading (masi review close), then export" in cora.see("/").text
    with writing(engine) as session:
        close(session, protocol_with())
    told = cora.see("/").text
    assert "The reading was closed at" in told
    assert "Next: export it (masi review export)" in told
    assert "masi review close" not in told


def test_what_an_adjudicator_has_graded_and_not_locked_is_due(reading_of, engine):
    app = reading_of()
    read_all(Person(app, "anna"), graded(area=2))
    read_all(Person(app, "ben"), graded(area=6))
    adam = Person(app, "adam")
    code = adam.next_code
    assert adam.draft(code, graded(area=4)).status_code == 200
    due = f"adam has begun {code} and not locked it"
    with pytest.raises(ReadingError, match=due), writing(engine) as session:
        close(session, protocol_with())


def test_what_one_adjudicator_began_and_another_locked_is_not_due(reading_of, engine):
    app = reading_of()
    read_all(Person(app, "anna"), graded(area=2))
    read_all(Person(app, "ben"), graded(area=6))
    with writing(engine) as session:
        add_account(session, "eve", "adjudicator", PASSWORD)
    adam, eve = Person(app, "adam"), Person(app, "eve")
    code = adam.next_code
    assert eve.draft(code, graded(area=1)).status_code == 200
    with looking(engine) as session:
        assert any(code in one for one in still_due(session, protocol_with()))
    read_all(adam, graded(area=4))
    with looking(engine) as session:
        assert still_due(session, protocol_with()) == []


def test_a_list_that_was_closed_still_says_how_much_of_it_was_read(reading_of, engine):
    app = reading_of()
    codes = read_all(Person(app, "anna"), graded(area=2))
    read_all(Person(app, "ben"), graded(area=6))
    adam = Person(app, "adam")
    assert adam.lock(adam.next_code, graded(area=4)).status_code == 200
    with writing(engine) as session:
        close(session, protocol_with(), "the trial was stopped")
    assert f"1 of {len(codes)} units locked" in adam.see("/").text
    assert adam.next_code is None


@pytest.fixture
def corrected_code(reading_of):
    """All is read, and Anna has begun to correct this unit."""
    app = reading_of()
    anna, ben = Person(app, "anna"), Person(app, "ben")
    code = read_all(anna, graded(area=2))[0]
    read_all(ben, graded(area=2))
    assert anna.correct(code).status_code == 303
    return code


def test_a_correction_that_was_begun_is_due(corrected_code, engine):
    due = [row for row in exported(engine) if not row["locked_utc"]]
    assert [(row["code"], row["reader"]) for row in due] == [(corrected_code, "anna")]
    assert {row["closed_utc"] for row in exported(engine)} == {""}
    begun = f"anna has begun to correct {corrected_code}"
    with pytest.raises(ReadingError, match=begun), writing(engine) as session:
        close(session, protocol_with())


def test_what_was_begun_again_is_in_the_own_list_and_counted_for_the_coordinator(reading_of):
    app = reading_of()
    anna = Person(app, "anna")
    code = read_all(anna, graded(area=2))[0]
    assert "Thank you" in anna.see("/").text
    assert anna.correct(code).status_code == 303
    assert "Thank you" not in anna.see("/").text
    assert f"Begun and not locked: {code}" in anna.see("/").text
    assert '<td class="number">1</td>' in Person(app, "cora").see("/").text


def test_a_second_read_that_was_not_locked_is_due_and_can_be_taken_back(reading_of, engine, order):
    regions = {name: {"flag": ""} for name in MASI_REGIONS}
    scored = {"status": "scored", "mmasi": 17.3, "mmasi_low": 9.1, "mmasi_high": 24.0, "regions": regions}
    app = reading_of({code: SoftwareScore(scored, {}) for code in order("anna")}, software="after_lock")
    anna, ben = Person(app, "anna"), Person(app, "ben")
    code = read_all(anna, graded(area=2))[0]
    read_all(ben, graded(area=2))
    assert anna.draft(code, graded(area=4)).status_code == 200
    with pytest.raises(ReadingError, match=f"anna has graded {code} again"), writing(engine) as session:
        close(session, protocol_with(software="after_lock"))
    form = {"csrf": anna.csrf}
    assert anna.browser.post(f"/units/{code}/correction/dropped", data=form).status_code == 303
    assert anna.draft(code, graded(area=4)).status_code == 200
    with writing(engine) as session:
        close(session, protocol_with(software="after_lock"), "the trial was stopped")
    closed = anna.browser.post(f"/units/{code}/correction/dropped", data=form)
    assert (closed.status_code, "The reading is closed" in closed.text) == (409, True)
    late = anna.draft(code, graded(area=1), read="with_software-1")
    assert (late.status_code, "The reading is closed" in late.json()["error"]) == (409, True)
    page = anna.see(f"/units/{code}").text
    assert '"area": 2' in page and '"area": 4' not in page, "what was locked is shown"
    assert f'action="/units/{code}/correction"' not in page


@pytest.mark.usefixtures("corrected_code")
def test_a_correction_of_a_reader_who_left_keeps_no_reading_open(engine):
    with writing(engine) as session:
        switch(session, "anna", active=False)
        close(session, protocol_with())
    assert all(row["locked_utc"] and row["closed_utc"] for row in exported(engine))


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("DELETE FROM fact WHERE name = 'closed'", "The reading was closed and is open"),
        ("UPDATE fact SET value = '0' WHERE name = 'set'", "it was bound to"),
        ("DELETE FROM place WHERE number = 1", "The list of anna is not the one that was given"),
    ],
)
def test_what_the_database_says_of_itself_is_held_against_the_trail(reading_of, engine, statement, said):
    reading_of()
    with writing(engine) as session:
        close(session, protocol_with(), "a test")
    with looking(engine) as session:
        assert looked_through(session)[1] == []
    with writing(engine) as session:
        session.execute(text(statement))
    with looking(engine) as session:
        assert said in " ".join(looked_through(session)[1])


def test_a_copy_made_while_readers_read_has_every_read(reading_of, engine, tmp_path):
    app = reading_of()
    anna = Person(app, "anna")
    assert anna.lock(anna.next_code, graded()).status_code == 200
    done = masi("review", "backup", "--db", tmp_path / "reads.db", "--out", tmp_path / "copy.db")
    assert done.exit_code == 0, done.output
    assert stat.S_IMODE((tmp_path / "copy.db").stat().st_mode) == 0o600
    verified = masi("audit", "verify", "--db", tmp_path / "copy.db").output
    assert "1 locked reads" in verified
    again = masi("review", "backup", "--db", tmp_path / "reads.db", "--out", tmp_path / "copy.db")
    assert again.exit_code == 2


def test_a_database_that_was_put_away_is_one_whole_file(reading_of, engine, tmp_path):
    app = reading_of()
    anna = Person(app, "anna")
    assert anna.lock(anna.next_code, graded()).status_code == 200
    put_away(engine)
    (tmp_path / "copy.db").write_bytes((tmp_path / "reads.db").read_bytes())
    assert "1 locked reads" in masi("audit", "verify", "--db", tmp_path / "copy.db").output


def damaged(db, folder):
    """What every verb says of a database; each refuses it, and copies nothing."""
    out = ["--out", folder / "out"]
    verbs = (["audit", "verify"], ["review", "backup", *out], ["review", "export", *out], ["review", "close"])
    answers = [masi(*words, "--db", db) for words in verbs]
    assert [one.exit_code for one in answers] == [2] * len(verbs)
    assert not (folder / "out").is_file()
    said = {" ".join(one.stderr.split()) for one in answers}
    assert len(said) == 1
    return said.pop()


def test_a_damaged_database_is_no_bug_and_no_backup(bound, tmp_path):
    with closing(sqlite3.connect(bound)) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'event'").fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    with bound.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(bytes(size))
    assert "is damaged" in (said := damaged(bound, tmp_path))
    assert "put the last backup in its place" in said


def test_a_backup_put_beside_the_last_reads_of_another_file_is_damaged(bound, tmp_path):
    restored = shutil.copy(bound, tmp_path / "restored.db")
    engine = open_database(str(bound))
    for rows in (100, 20):  # into the file, and beside it
        put_away(engine)
        with writing(engine) as session:
            for _ in range(rows):
                note_tool(session, "served", new="x" * 200)
    shutil.copy(tmp_path / "reads.db-wal", tmp_path / "restored.db-wal")
    engine.dispose()
    assert "together with those beside it that end in -wal" in damaged(restored, tmp_path)


def test_where_nothing_can_be_written_a_trail_is_verified_all_the_same(reading_of, engine, tmp_path):
    app = reading_of()
    anna = Person(app, "anna")
    assert anna.lock(anna.next_code, graded()).status_code == 200
    archive = tmp_path / "archive"
    (archive / "reads.db-shm").mkdir(parents=True)  # in the way of SQLite, as a full disk is, or no right
    for name in ("reads.db", "reads.db-wal"):
        shutil.copy(tmp_path / name, archive)
    verified = masi("audit", "verify", "--db", archive / "reads.db")
    assert "1 locked reads" in verified.output
    copied = masi("review", "backup", "--db", archive / "reads.db", "--out", tmp_path / "copy.db")
    assert copied.exit_code == 2
    assert "free space, and the right to write" in " ".join(copied.stderr.split())


@pytest.mark.parametrize("times_written", [1, 99])
def test_a_database_that_is_written_while_it_is_copied_is_never_said_to_be_altered(
    bound, tmp_path, monkeypatch, times_written
):
    (tmp_path / "reads.db-shm").mkdir()
    copyfile, written = shutil.copyfile, []

    def copied(one, other):
        if one == bound and len(written) < times_written:
            written.append(one)
            os.utime(bound, ns=(0, len(written)))
        return copyfile(one, other)

    monkeypatch.setattr(shutil, "copyfile", copied)
    done = masi("audit", "verify", "--db", bound)
    told = {1: (0, "The audit trail is as it was written"), 99: (2, "is being written")}
    exit_code, said = told[times_written]
    assert (done.exit_code, said in " ".join(done.output.split())) == (exit_code, True), done.output


def without_rule(table, rule, instead):
    """SQL that takes a rule out of a table's form, or puts it back."""
    return (
        f"PRAGMA writable_schema = ON; UPDATE sqlite_master SET sql = replace(sql, '{rule}', '{instead}') "
        f"WHERE name = '{table}'; PRAGMA writable_schema = RESET;"
    )


@pytest.mark.parametrize(
    ("acts", "said"),
    [
        (
            "PRAGMA ignore_check_constraints = ON; UPDATE account SET role = 'admin' WHERE name = 'anna';"
            "PRAGMA ignore_check_constraints = OFF",
            "The account anna is of a admin",
        ),
        (
            without_rule("entry", "reason TEXT NOT NULL", "reason TEXT")
            + "UPDATE entry SET reason = NULL;"
            + without_rule("entry", "reason TEXT", "reason TEXT NOT NULL"),
            "is not what was signed",
        ),
    ],
)
def test_a_value_put_past_the_rules_of_its_table_is_no_damage_but_altered(
    reading_of, engine, tmp_path, acts, said
):
    anna = Person(reading_of(), "anna")
    assert anna.lock(anna.next_code, graded()).status_code == 200
    with closing(sqlite3.connect(tmp_path / "reads.db")) as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.executescript(acts)
        assert connection.execute("PRAGMA integrity_check").fetchone() != ("ok",)
    done = masi("audit", "verify", "--db", tmp_path / "reads.db")
    assert done.exit_code == 2
    assert "the audit trail was altered" in done.stderr
    assert said in done.stdout


def test_an_order_is_a_reader_s(coded, tmp_path):
    (tmp_path / "word").write_text(PASSWORD + "\n")
    asked = ["--password-file", tmp_path / "word", "--role", "coordinator", "--set", coded[0]]
    done = masi("review", "account", "add", "cora", "--db", tmp_path / "reads.db", *asked, "--order", "anna")
    assert done.exit_code == 2
    assert "--order is given for a coordinator. Expected it for a reader alone" in " ".join(
        done.output.split()
    )
    assert not (tmp_path / "reads.db").exists()


def test_a_folder_that_is_not_there_is_no_full_disk(coded, tmp_path):
    (tmp_path / "word").write_text(PASSWORD + "\n")
    asked = ["--password-file", tmp_path / "word", "--role", "coordinator", "--set", coded[0]]
    for folder in ("nowhere", "word"):
        done = masi("review", "account", "add", "cora", "--db", tmp_path / folder / "reads.db", *asked)
        said = " ".join(done.stderr.split())
        assert done.exit_code == 2
        assert "is not there" in said
        assert "Errno" not in said


@pytest.mark.parametrize(
    ("verb", "act"),
    [
        (["review", "close"], "closing.close"),
        (["audit", "verify"], "altered.looked_through"),
        (["review", "serve"], "reading.prepare"),
        (["review", "serve"], "audit.note_tool"),
    ],
)
def test_a_disk_that_fails_while_a_verb_is_at_work_is_no_bug(coded, bound, monkeypatch, verb, act):
    def fails(*_, **__):
        raise OperationalError("", {}, sqlite3.OperationalError("disk I/O error"))

    monkeypatch.setattr(f"masi_vision.review.{act}", fails)
    done = masi(*verb, *([coded[0], "--port", 0] if "serve" in verb else []), "--db", bound)
    assert done.exit_code == 2, done.output
    assert "cannot be used (disk I/O error)" in " ".join(done.stderr.split())


def test_a_database_of_a_newer_version_is_no_bug(bound):
    engine = open_database(str(bound))
    with writing(engine) as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    done = masi("audit", "verify", "--db", bound)
    assert done.exit_code == 2
    assert "was written by a newer masi_vision" in " ".join(done.output.split())


def test_a_database_in_the_set_that_its_readers_get_is_refused(coded, tmp_path):
    (tmp_path / "word").write_text(PASSWORD + "\n")
    folder = shutil.copytree(coded[0], tmp_path / "set")
    asked = ["--db", folder / "reads.db", "--password-file", tmp_path / "word", "--role", "coordinator"]
    done = masi("review", "account", "add", "cora", "--set", folder, *asked)
    assert done.exit_code == 2
    assert "lies in the set that is read" in " ".join(done.output.split())
    asked[1] = f"sqlite:///{folder}/reads.db"
    assert masi("review", "account", "add", "cora", "--set", folder, *asked).exit_code == 2
    assert list(folder.glob("*.db")) == []


@pytest.mark.parametrize("name", ["a?x=1.db", "b%41.db", "c%2Fd.db", "e#f.db"])
def test_a_database_lies_where_it_was_named(coded, tmp_path, name):
    (tmp_path / "word").write_text(PASSWORD + "\n")
    asked = ["--password-file", tmp_path / "word", "--role", "coordinator"]
    done = masi("review", "account", "add", "cora", "--set", coded[0], "--db", tmp_path / name, *asked)
    assert done.exit_code == 0, done.output
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted([name, "word"])


@pytest.mark.parametrize(
    "address", ["://x", "sqlite://", ":memory:", "file:a.db", "sqlite:///file:a.db?uri=true"]
)
def test_what_is_no_file_and_no_server_is_refused(address, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = masi("audit", "verify", "--db", address)
    assert done.exit_code == 2
    assert "What --db names is no database of a reading" in " ".join(done.output.split())
    assert list(tmp_path.iterdir()) == []


def test_nobody_is_given_a_list_once_the_reading_is_closed(coded, tmp_path):
    (tmp_path / "word").write_text(PASSWORD + "\n")
    at = ["--set", coded[0], "--db", tmp_path / "reads.db", "--password-file", tmp_path / "word"]
    assert masi("review", "account", "add", "anna", *at).exit_code == 0
    closed = masi("review", "close", "--db", tmp_path / "reads.db", "--incomplete", "a try")
    assert closed.exit_code == 0, closed.output
    assert re.search(r"closed since \d{4}-\d\d-\d\d \d\d:\d\d UTC\.", closed.output)
    late = masi("review", "account", "add", "late", "--order", "ben", *at)
    assert late.exit_code == 2
    assert "nobody grades any more" in " ".join(late.output.split())
    statistician = masi("review", "account", "add", "stat", "--role", "statistician", *at)
    assert statistician.exit_code == 0, statistician.output


def test_a_list_that_is_not_the_set_s_is_refused(coded, bound, tmp_path):
    folder = shutil.copytree(coded[0], tmp_path / "set")
    order = folder / "orders" / "ben.csv"
    lines = order.read_text().splitlines()
    order.write_text("\n".join([*lines[:-1], "99,ZZZZZZZ"]) + "\n")
    asked = ["--db", bound, "--password-file", tmp_path / "word", "--role", "reader", "--order", "ben"]
    done = masi("review", "account", "add", "ben", "--set", folder, *asked)
    assert done.exit_code == 2
    assert "is not that of the set" in " ".join(done.output.split())


@pytest.mark.parametrize("comment", ["\ud800", 5, None])
def test_a_comment_that_is_no_text_is_refused_in_a_sentence(comment):
    with pytest.raises(ReadingError, match="The comment is no text"):
        reading_from({"grades": {}, "comment": comment}, protocol_with())


def test_every_end_of_a_line_in_a_comment_is_the_same():
    assert reading_from({"comment": "a\rb\r\nc\0"}, protocol_with()).comment == "a\nb\nc"


def test_a_new_database_is_for_its_owner_alone(tmp_path):
    open_database(str(tmp_path / "reads.db")).dispose()
    assert stat.S_IMODE((tmp_path / "reads.db").stat().st_mode) == 0o600


def test_a_password_that_the_page_would_not_take_is_refused(engine):
    with (
        pytest.raises(ReadingError, match="Expected 10 to 200"),
        writing(engine) as session,
    ):
        add_account(session, "zoe", "coordinator", "x" * 201)


@pytest.fixture
def bound(coded, tmp_path):
    """A database on disk with an account, and the password's file."""
    (tmp_path / "word").write_text(PASSWORD + "\n")
    database = tmp_path / "reads.db"
    asked = ["--db", database, "--password-file", tmp_path / "word", "--role", "coordinator"]
    done = masi("review", "account", "add", "cora", "--set", coded[0], *asked)
    assert done.exit_code == 0, done.output
    return database


def test_other_photos_than_those_of_the_set_are_not_served(coded, bound, tmp_path):
    import shutil

    other = tmp_path / "other"
    shutil.copytree(coded[0], other)
    one, another = sorted(other.glob("*/front.*"))[:2]
    one.write_bytes(another.read_bytes())
    done = masi("review", other, "--db", bound)
    assert done.exit_code == 2
    assert "is not the photo that set.json has the hash of" in " ".join(done.output.split())


def test_what_cannot_be_served_is_said_before_an_address_is(coded, bound, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = masi("review", coded[0], "--db", bound, "--port", taken.getsockname()[1])
    assert done.exit_code == 2
    assert "cannot be listened at" in done.output
    chart = masi("review", coded[0], "--db", bound, "--chart", tmp_path / "none.png")
    assert chart.exit_code == 2
    assert "There is no file" in chart.output
    assert "Reading page" not in done.output + chart.output


def test_an_export_says_whether_more_may_come(bound, tmp_path):
    assert "The reading is open" in masi("review", "export", "--db", bound, "--out", tmp_path / "one").output
    assert masi("review", "close", "--db", bound).exit_code == 0
    closed = masi("review", "export", "--db", bound, "--out", tmp_path / "two")
    assert closed.exit_code == 0
    assert "The reading is open" not in closed.output


def test_the_rest_of_a_list_goes_to_a_successor_once_its_reader_is_switched_off(coded, tmp_path, order):
    (tmp_path / "word").write_text(PASSWORD + "\n")
    at = ["--set", coded[0], "--db", tmp_path / "reads.db", "--password-file", tmp_path / "word"]
    for name in ("anna", "cora"):
        role = ["--role", "coordinator"] if name == "cora" else []
        assert masi("review", "account", "add", name, *role, *at).exit_code == 0
    for asked, said in (
        (["--rest-of", "anna", "--order", "ben"], "given with --order"),
        (["--rest-of", "anna", "--role", "adjudicator"], "for an adjudicator"),
        (["--rest-of", "anna"], "anna is a reader who may sign in"),
        (["--rest-of", "cora"], "cora is a coordinator"),
        (["--rest-of", "nobody"], "no account 'nobody'"),
    ):
        refused = masi("review", "account", "add", "cleo", *asked, *at)
        assert refused.exit_code == 2
        assert said in " ".join(refused.output.split())
    assert masi("review", "account", "switch", "anna", "--off", "--db", tmp_path / "reads.db").exit_code == 0
    done = masi("review", "account", "add", "cleo", "--rest-of", "anna", *at)
    assert f"cleo is a reader with a list of {len(order('anna'))} units" in done.output, done.output
    on = masi("review", "account", "switch", "anna", "--on", "--db", tmp_path / "reads.db")
    assert "cleo has the rest of that list" in on.output


@pytest.mark.parametrize(
    ("asked", "hosts", "printed"),
    [
        ([], {"127.0.0.1", "[::1]", "localhost"}, "http://127.0.0.1:"),
        (["--behind-tls"], set(), "http://127.0.0.1:"),
        (["--host", "::1"], {"127.0.0.1", "[::1]", "localhost"}, "http://[::1]:"),
    ],
)
def test_the_server_is_asked_by_its_own_names_and_its_start_is_in_the_trail(
    coded, tmp_path, monkeypatch, asked, hosts, printed
):
    uvicorn = pytest.importorskip("uvicorn", reason="needs the extra review")
    made = []
    monkeypatch.setattr(
        "masi_vision.review.app.create_app", lambda reviewed: made.append(reviewed) or create_app(reviewed)
    )
    monkeypatch.setattr(uvicorn.Server, "run", lambda _self, sockets: None)
    (tmp_path / "word").write_text(PASSWORD + "\n")
    at = ["--db", tmp_path / "reads.db"]
    add = ["--set", coded[0], "--password-file", tmp_path / "word"]
    assert masi("review", "account", "add", "anna", *at, *add).exit_code == 0
    served = masi("review", "serve", coded[0], *at, "--port", "0", *asked)
    if "::1" in asked and "cannot be listened at" in served.output:
        pytest.skip("this machine has no IPv6")
    assert served.exit_code == 0, served.output
    assert printed in served.output
    assert made[0].hosts == hosts
    with looking(open_database(str(tmp_path / "reads.db"))) as session:
        starts = [json.loads(event.new) for event in trail(session) if event.what == "served"]
    assert [(start["chart"], start["scores"]) for start in starts] == [("none", "no")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_page_that_is_stopped_leaves_one_whole_file(coded, tmp_path, monkeypatch, request, number):
    uvicorn = pytest.importorskip("uvicorn", reason="needs the extra review")
    # A shell that starts the tests in the background has them ignore SIGINT.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    monkeypatch.setattr(uvicorn.Server, "run", lambda _self, sockets: signal.raise_signal(number))
    (tmp_path / "word").write_text(PASSWORD + "\n")
    at = ["--db", tmp_path / "reads.db"]
    add = ["--set", coded[0], "--password-file", tmp_path / "word"]
    assert masi("review", "account", "add", "anna", *at, *add).exit_code == 0
    served = masi("review", "serve", coded[0], *at, "--port", "0")
    assert (served.exit_code, "stopped" in served.stderr) == (130, True)
    assert not (tmp_path / "reads.db-wal").exists()
