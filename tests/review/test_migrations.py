"""A database of an earlier form is brought to the newest, with all that was read in it; and where it lies."""

import ssl

import pytest

for needed in ("sqlalchemy", "alembic"):
    pytest.importorskip(needed, reason="needs the extra review")

from sqlalchemy import create_engine, text  # noqa: E402
from sqlalchemy.engine import make_url  # noqa: E402
from sqlalchemy.exc import DatabaseError  # noqa: E402
from typer.testing import CliRunner  # noqa: E402

from masi_vision.cli.main import app  # noqa: E402
from masi_vision.errors import ReadingError  # noqa: E402
from masi_vision.review import database  # noqa: E402


def test_a_database_of_the_first_form_keeps_its_reads(tmp_path, monkeypatch):
    from alembic import command

    newest = command.upgrade
    with monkeypatch.context() as earlier:
        earlier.setattr(command, "upgrade", lambda config, _revision: newest(config, "0001"))
        old = create_engine(f"sqlite:///{tmp_path / 'reads.db'}")
        database.migrate(old)
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


def test_a_misspelt_name_is_no_empty_reading(tmp_path):
    """Nothing is made there, and an audit trail that is not there is not vouched for."""
    typo, empty = tmp_path / "raeds.db", tmp_path / "empty.db"
    empty.write_bytes(b"")
    for file in (typo, empty):
        with pytest.raises(ReadingError, match="holds no reading"):
            database.open_database(str(file), may_be_new=False)
        verified = CliRunner().invoke(app, ["audit", "verify", "--db", str(file)])
        assert verified.exit_code == 2
        assert "holds no reading" in verified.output
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
