"""Addresses that cannot be reached, and what is told of an address: never its user and password."""

import socket
import sys
import threading

import pytest
from verbs import masi, table

from masi_vision.batch.address import at_hand, mark_of, shown
from masi_vision.batch.job import photo_name
from masi_vision.errors import StudyError

NOBODY = "127.0.0.1:1"  # no server has this port
SECRET = "Geheim99"


@pytest.fixture
def rude_server():
    """Host and port of a server that closes every connection."""
    with socket.create_server(("127.0.0.1", 0)) as door:

        def close():
            while True:
                try:
                    door.accept()[0].close()
                except OSError:
                    return

        threading.Thread(target=close, daemon=True).start()
        yield f"127.0.0.1:{door.getsockname()[1]}"
        door.shutdown(socket.SHUT_RDWR)


def manifest(tmp_path, *addresses):
    listed = tmp_path / "study.csv"
    rows = [f"P{number},v1,front,{address}\n" for number, address in enumerate(addresses, 1)]
    listed.write_text("patient,visit,view,path\n" + "".join(rows))
    return listed


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"ftp://radio:{SECRET}@host:21/a/b.jpg", "ftp://host:21/a/b.jpg"),
        (f"ftp://radio:{SECRET}@x@host/a", "ftp://host/a"),
        (f"ftp://radio:Ge/{SECRET}@host/a", "ftp://host/a"),
        (f"ftp://radio:Ge {SECRET}@host", "ftp://host"),
        (f"sftp://{SECRET}@host/a", "sftp://host/a"),
        (f"zip://a.jpg::ftp://radio:{SECRET}@host/a", "zip://a.jpg::ftp://host/a"),
        (f"'ftp://radio:{SECRET}@host/a' is away", "'ftp://host/a' is away"),
        ("s3://bucket/day@clinic/front.jpg", "s3://bucket/day@clinic/front.jpg"),
        ("http://host:80/day@clinic.jpg", "http://host:80/day@clinic.jpg"),
        ("/study/a@b:c.jpg", "/study/a@b:c.jpg"),
    ],
)
def test_an_address_is_shown_without_user_and_password(text, expected):
    assert shown(text) == expected


def test_a_photo_is_never_named_after_a_password():
    assert photo_name(f"ftp://radio:{SECRET}@host") == "host"


@pytest.mark.parametrize("what", ["study", "manifest", "out", "out to look at", "shard", "row", "spoilt row"])
def test_no_password_is_told(tmp_path, four_visits, what):
    pytest.importorskip("upath", reason="needs the extra cluster")
    address = f"ftp://radio:{SECRET}@{NOBODY}/study"
    listed = manifest(tmp_path, f"{address}/front.jpg")
    spoilt = tmp_path / "spoilt.csv"
    spoilt.write_text(f"patient,visit,view,path\nP1,v1,above,{address}\n")
    out = tmp_path / "out"
    orders = {
        "study": (address, "--out", out),
        "manifest": (f"{address}.csv", "--out", out),
        "out": (four_visits, "--out", address),
        "out to look at": (four_visits, "--out", address, "--dry-run"),
        "shard": (four_visits, "--out", address, "--shard", "1/2"),
        "row": (listed, "--out", out),
        "spoilt row": (spoilt, "--out", out),
    }
    done = masi("batch", *orders[what])
    assert done.exit_code in (1, 2), done.output
    assert "masi: " in done.stderr or "not_scored" in (out / "scores.csv").read_text()
    assert SECRET not in done.output
    for file in out.glob("*"):
        assert SECRET.encode() not in file.read_bytes(), file.name


@pytest.mark.long
def test_one_address_that_cannot_be_reached_costs_its_visit_alone(tmp_path, four_visits, rude_server):
    pytest.importorskip("upath", reason="needs the extra cluster")
    photo = four_visits / "P01" / "visit-1" / "front.jpg"
    away = [f"ftp://{NOBODY}/a/front.jpg", f"ftp://{rude_server}/a/front.jpg", "ftp://host:port/front.jpg"]
    listed = manifest(tmp_path, photo, *away)
    done = masi("batch", listed, "--out", tmp_path / "out")
    assert done.exit_code == 1, done.output
    _, rows = table(tmp_path / "out" / "scores.csv")
    assert [row["status"] for row in rows] == ["scored", "not_scored", "not_scored", "not_scored"]
    assert [row["reason"] for row in rows[1:]] == ["unreadable"] * 3
    again = masi("batch", listed, "--out", tmp_path / "out", "--dry-run")
    assert "4 visits: 1 finished, 3 to score" in again.stdout


def test_a_set_is_not_coded_from_an_address_that_closes_the_connection(tmp_path, rude_server):
    pytest.importorskip("upath", reason="needs the extra cluster")
    (tmp_path / "phrase").write_text("a long enough phrase")
    listed = manifest(tmp_path, f"ftp://{rude_server}/a/front.jpg")
    coded = ("--out", tmp_path / "set", "--key", tmp_path / "key")
    done = masi("blind", listed, *coded, "--passphrase-file", tmp_path / "phrase")
    assert done.exit_code == 2, done.output
    assert "front.jpg cannot be fetched" in done.stderr.lower()


def test_a_package_that_is_not_installed_is_told_by_itself(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "upath", None)
    with pytest.raises(StudyError, match="address whose package is installed"):
        mark_of("s3://bucket/front.jpg")
    with (
        pytest.raises(StudyError, match="address whose package is installed"),
        at_hand({"front": "s3://bucket/front.jpg"}),
    ):
        raise AssertionError("fetched")


def test_one_address_that_cannot_be_reached_is_left_out_of_a_set(tmp_path, four_visits, rude_server):
    pytest.importorskip("upath", reason="needs the extra cluster")
    (tmp_path / "phrase").write_text("a long enough phrase")
    photo = four_visits / "P01" / "visit-1" / "front.jpg"
    listed = manifest(tmp_path, photo, f"ftp://{rude_server}/a/front.jpg")
    coded = ("--out", tmp_path / "set", "--key", tmp_path / "key")
    done = masi("blind", listed, *coded, "--passphrase-file", tmp_path / "phrase")
    assert done.exit_code in (0, 1), done.output
    assert "front.jpg cannot be fetched" in done.output
    assert len(list((tmp_path / "set").glob("*/front.*"))) >= 1


@pytest.mark.parametrize(
    ("told", "shown_as"),
    [
        ("https://h/c/front.jpg?sv=1&sig=S was not there", "https://h/c/front.jpg was not there"),
        ("https://h/a.jpg?X-Amz-SignedHeaders=host;range&a=b,c)&X-Amz-Signature=S", "https://h/a.jpg"),
        ("(http://[2001:db8::1]:8080/a@b.jpg)", "(http://[2001:db8::1]:8080/a@b.jpg)"),
        ("s3://bucket/a b?.jpg", "s3://bucket/a b?.jpg"),
        (f"ftp://radio:{SECRET}@host:21/a, ftp://u:p/w@h/b", "ftp://host:21/a, ftp://h/b"),
    ],
)
def test_of_an_address_what_is_secret_alone_is_left_out(told, shown_as):
    assert shown(told) == shown_as
