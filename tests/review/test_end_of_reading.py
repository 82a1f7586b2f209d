"""How a reading ends: what is due still, who left, what is taken back, and what nobody may do after it."""

import csv
import io
import socket
import stat

import pytest
from conftest_review import PASSWORD, Person, graded, protocol_with
from verbs import masi

from masi_vision.errors import ReadingError
from masi_vision.review.accounts import add_account, switch
from masi_vision.review.database import looking, open_database, writing
from masi_vision.review.export import reads_csv
from masi_vision.review.reading import close, closed_utc, codes_not_adjudicated


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
    assert "No correction of this unit has begun" in again.text
    assert anna.lock(code, graded(area=3), read="blind-2").status_code == 409
    assert anna.correct(code).status_code == 303


def test_after_its_end_nobody_grades_locks_or_corrects(reading_of, engine):
    app = reading_of()
    anna = Person(app, "anna")
    code = anna.next_code
    assert anna.lock(code, graded(area=2)).status_code == 200
    following = anna.next_code
    with writing(engine) as session:
        since = close(session)
    assert anna.lock(following, graded(), read="blind-1").status_code == 404
    assert anna.draft(following, graded(), read="blind-1").status_code == 404
    assert "The reading is closed" in anna.correct(code).text
    assert anna.see(f"/units/{code}").status_code == 200
    with looking(engine) as session:
        assert closed_utc(session) == since
    with pytest.raises(ReadingError, match="was closed at"), writing(engine) as session:
        close(session)


def test_a_new_database_is_for_its_owner_alone(tmp_path):
    open_database(str(tmp_path / "reads.db")).dispose()
    assert stat.S_IMODE((tmp_path / "reads.db").stat().st_mode) == 0o600


def test_a_password_that_the_page_would_not_take_is_refused(engine):
    with (
        pytest.raises(ReadingError, match="Expected 200 at most"),
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
