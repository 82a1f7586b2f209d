"""A database of an earlier form is brought to the newest, with all that was read in it; and where it lies."""

import os
import sqlite3
import ssl
import stat
from contextlib import closing

import pytest

for needed in ("sqlalchemy", "alembic"):
    pytest.importorskip(needed, reason="needs the extra review")

from postgres_server import make_database  # noqa: E402
from sqlalchemy import create_engine, text  # noqa: E402
from sqlalchemy.engine import make_url  # noqa: E402
from sqlalchemy.exc import DatabaseError  # noqa: E402
from typer.testing import CliRunner  # noqa: E402

from masi_vision.cli.main import app  # noqa: E402
from masi_vision.errors import ReadingError  # noqa: E402
from masi_vision.review import database  # noqa: E402
from masi_vision.review.audit import TOOL, Act, note_tool, trail  # noqa: E402
from masi_vision.version import __version__  # noqa: E402


def make_first_form(address):
    """A database with tables as the first version made them, and one act in the trail."""
    from alembic import command

    newest = command.upgrade
    with pytest.MonkeyPatch.context() as earlier:
        earlier.setattr(command, "upgrade", lambda config, _revision: newest(config, "0001"))
        engine = database.open_database(address)
    with database.writing(engine) as session:
        note_tool(session, "served", new="as the first version did")
    database.put_away(engine)


@pytest.fixture
def of_first_form(tmp_path):
    make_first_form(str(tmp_path / "reads.db"))
    return tmp_path / "reads.db"


def form_of(file):
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute("SELECT version_num FROM alembic_version").fetchone()[0]


def verified(file):
    done = CliRunner().invoke(app, ["audit", "verify", "--db", str(file)])
    return done, " ".join(done.stderr.split())


def test_a_database_of_the_first_form_keeps_its_reads(tmp_path, of_first_form):
    old = create_engine(f"sqlite:///{of_first_form}")
    with old.begin() as connection:
        connection.execute(
            text("INSERT INTO account VALUES (1, 'anna', 'reader', 'anna', 'a hash', 1, 0, '')")
        )
        connection.execute(text("INSERT INTO sign_in VALUES ('t', 1, 'c', 'now', 'now', '', 3)"))
        connection.execute(
            text(
                "INSERT INTO entry VALUES (1, 1, 'AA', 'blind', 1, '{}', '', 'now', 'anna', 'signed', 'sha')"
            )
        )
    old.dispose()
    engine = database.open_database(str(tmp_path / "reads.db"))
    with engine.connect() as connection:
        assert connection.execute(text("SELECT code, signed_by FROM entry")).all() == [("AA", "anna")]
        columns = connection.execute(text("SELECT * FROM sign_in")).keys()
        assert "locked" not in columns
    with pytest.raises(DatabaseError, match="never changed"), engine.begin() as connection:
        connection.execute(text("INSERT OR REPLACE INTO entry SELECT * FROM entry"))
    engine.dispose()


def test_a_database_that_is_brought_to_the_newest_form_is_told_on_the_screen_and_in_the_trail(of_first_form):
    out = of_first_form.with_name("copy.db")
    words = ["review", "backup", "--db", str(of_first_form), "--out", str(out)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    form = form_of(of_first_form)
    assert form != "0001"
    told = f"reads.db were brought from form 0001 to form {form} by masi_vision {__version__}; an earlier"
    assert told in " ".join(done.stderr.split())
    out.unlink()
    assert CliRunner().invoke(app, words).stderr == ""
    with database.looking(database.open_database(str(of_first_form))) as session:
        rows = [(one.what, one.subject, one.role, one.old, one.new) for one in trail(session)]
    assert rows[1:] == [(Act.TABLES_BROUGHT, f"masi_vision {__version__}", TOOL, "0001", form)]
    done, said = verified(of_first_form)
    assert (done.exit_code, said) == (0, ""), done.output


def test_a_new_database_says_nothing_of_forms(tmp_path):
    said = []
    engine = database.open_database(str(tmp_path / "new.db"), tell=said.append)
    with database.looking(engine) as session:
        assert (said, trail(session)) == ([], [])
    engine.dispose()


def test_verifying_leaves_a_database_of_an_earlier_form_as_it_is(of_first_form):
    before, there = of_first_form.read_bytes(), set(of_first_form.parent.iterdir())
    done, said = verified(of_first_form)
    assert done.exit_code == 0, done.output
    assert "are of form 0001, of an earlier version. A copy that was brought to form" in said
    assert "as it was written: 1 rows" in done.stdout
    assert of_first_form.read_bytes() == before
    assert set(of_first_form.parent.iterdir()) == there


def test_verifying_a_server_that_is_of_an_earlier_form_brings_it_to_the_newest_and_says_so(postgres):
    address = make_database(postgres, "of_first_form")
    make_first_form(address)
    done, said = verified(address)
    assert done.exit_code == 0, done.output
    assert "were brought from form 0001 to form" in said
    assert "as it was written: 2 rows" in done.stdout
    assert verified(address)[1] == ""


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ("UPDATE event SET new = 'altered'", "Row 1 is not as it was written"),
        ("DELETE FROM event", "The trail ends at row 0; it was written as far as row 1."),
        (
            "INSERT INTO event SELECT 2, utc, who, role, what, subject, old, new, reason, hash FROM event",
            "Row 2 is not as it was written",
        ),
    ],
)
def test_what_was_altered_before_the_tables_were_of_the_newest_form_is_found(of_first_form, change, found):
    with closing(sqlite3.connect(of_first_form)) as connection:
        for act in ("update", "delete"):
            connection.execute(f"DROP TRIGGER event_no_{act}")
        connection.execute(change)
        connection.commit()
    done, _ = verified(of_first_form)
    assert done.exit_code == 2
    assert found in done.stdout
    if "INSERT" in change:
        with pytest.raises(ReadingError, match="as far as row 1, and there is a row 2: it was altered"):
            database.open_database(str(of_first_form))
    assert form_of(of_first_form) == "0001"


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such permissions")
def test_a_database_that_all_could_read_is_shut_to_others_when_it_is_opened(of_first_form):
    files = [of_first_form.with_name(of_first_form.name + ending) for ending in ("", "-wal", "-shm")]
    reader = database.open_database(str(of_first_form))
    with database.writing(reader) as session:
        note_tool(session, "served")
    for file in files:
        file.chmod(0o644)
    database.open_database(str(of_first_form)).dispose()
    assert [stat.S_IMODE(file.stat().st_mode) for file in files] == [0o600] * 3
    reader.dispose()
    of_first_form.chmod(0o640)
    assert verified(of_first_form)[0].exit_code == 0
    assert stat.S_IMODE(of_first_form.stat().st_mode) == 0o600
    other = of_first_form.with_name("other.txt")
    other.write_text("no database")
    other.chmod(0o644)
    assert verified(other)[0].exit_code == 2
    assert stat.S_IMODE(other.stat().st_mode) == 0o644


def test_a_misspelt_name_is_no_empty_reading(tmp_path):
    """Nothing is made there, and an audit trail that is not there is not vouched for."""
    typo, empty = tmp_path / "raeds.db", tmp_path / "empty.db"
    empty.write_bytes(b"")
    for file in (typo, empty):
        with pytest.raises(ReadingError, match="holds no reading"):
            database.open_database(str(file), may_be_new=False)
        done, said = verified(file)
        assert done.exit_code == 2
        assert "holds no reading" in said
    assert not typo.exists()
    assert empty.read_bytes() == b""
    database.open_database(str(typo)).dispose()
    database.open_database(str(typo), may_be_new=False).dispose()


def test_the_password_of_a_server_is_taken_from_the_environment(monkeypatch):
    monkeypatch.setenv(database.PASSWORD_VARIABLE, "of the environment")
    given, other = (
        database._of_server(make_url(f"postgresql://masi{word}@db/reads"))[0]
        for word in ("", ":of the address")
    )
    assert (given.password, other.password) == ("of the environment", "of the address")


def test_tls_is_demanded_of_a_server_where_its_address_asks_for_it(tmp_path):
    url, options = database._of_server(make_url("postgresql://masi@db/reads?sslmode=verify-full"))
    assert not url.query
    assert options["ssl_context"].verify_mode is ssl.CERT_REQUIRED
    assert options["ssl_context"].check_hostname
    url, options = database._of_server(make_url("postgresql://masi@/reads?unix_sock=/run/.s.PGSQL.5432"))
    assert (url.query["unix_sock"], options) == ("/run/.s.PGSQL.5432", {})


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("sslmode=require", "asks for sslmode=require"),
        ("connect_timeout=3", "asks for connect_timeout"),
        ("sslrootcert=ours.pem", "asks for sslmode=disable"),
        ("sslmode=verify-full&sslrootcert=nowhere.pem", "nowhere.pem cannot be read"),
    ],
)
def test_what_the_address_of_a_server_cannot_ask_for_is_refused(asked, said):
    with pytest.raises(ReadingError, match=said):
        database.open_database(f"postgresql://masi@127.0.0.1:1/reads?{asked}")
