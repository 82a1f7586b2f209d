"""A study on an FTP server, whose listings tell neither the host nor who signed in there; results there."""

import shutil
from ftplib import error_temp
from pathlib import Path

import pytest

from masi_vision.batch.address import at_hand, files_below, is_same_file, mark_of
from masi_vision.batch.storage import mirrored
from masi_vision.batch.study import visits_of
from masi_vision.errors import OutputError

pytest.importorskip("upath", reason="needs the extra cluster")

STUDY = "ftp://radio:secret@clinic.example:2121/study"
OUT = "ftp://radio:secret@clinic.example:2121/results"


class Disk:
    """What a server keeps, and who is connected to it."""

    def __init__(self, root):
        self.root, self.written, self.full, self.connected = root, {}, False, []

    def end_idle_connections(self):
        for one in self.connected:
            one.is_open = False

    def client(self):
        """What Python's own client does of FTP, to this one host alone."""
        disk = self

        class Client:
            is_open = True

            def __init__(self, **_settings):
                disk.connected.append(self)

            def connect(self, host, port):
                assert (host, port) == ("clinic.example", 2121)

            def login(self, user, password, _account):
                assert (user, password) == ("radio", "secret")

            def at(self, path):
                if not self.is_open:
                    raise error_temp("421 Control connection timed out.")
                return disk.root / path.strip("/")

            def mlsd(self, path):
                for place in sorted(self.at(path).iterdir()):
                    kind = "dir" if place.is_dir() else "file"
                    facts = {"type": kind, "size": str(place.stat().st_size)}
                    yield place.name, facts | disk.written.get(place.name, {"modify": "20261101120000"})

            def retrbinary(self, command, blocksize, callback, rest=None):
                assert blocksize
                assert not rest
                callback(self.at(command.removeprefix("RETR ")).read_bytes())

            def storbinary(self, command, stream, blocksize, rest=None):
                assert blocksize
                assert not rest
                place = self.at(command.removeprefix("STOR "))
                if disk.full and place.name != ".run.lock":
                    raise error_temp("452 Insufficient storage space.")
                place.write_bytes(stream.read())

            def mkd(self, path):
                self.at(path).mkdir()

            def delete(self, path):
                self.at(path).unlink()

            def close(self):
                pass

        return Client


@pytest.fixture
def disk(tmp_path, monkeypatch):
    """The disk of a server that lists, sends and takes files as FTP does."""
    there = Disk(tmp_path / "disk")
    there.root.mkdir()
    monkeypatch.setattr("fsspec.implementations.ftp.FTP", there.client())
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return there


@pytest.fixture
def served(four_visits, disk):
    """The study on it; when each file was written."""
    return shutil.copytree(four_visits, disk.root / "study"), disk.written


def test_photos_that_an_ftp_server_lists_are_fetched_from_it(served, settings):
    folder, _ = served
    near, far = (visits_of(study, settings.views) for study in (str(folder), STUDY))
    assert [one.place for one in far] == [one.place for one in near]
    for one, same in zip(far, near, strict=True):
        with at_hand(one.photos) as files:
            assert {view: file.read_bytes() for view, file in files.items()} == {
                view: Path(photo).read_bytes() for view, photo in same.photos.items()
            }


@pytest.mark.parametrize("signed", ["radio:se%63ret", "r%61dio:%73ecre%74"])
def test_user_and_password_may_be_written_as_addresses_write_what_they_cannot_hold(served, signed):
    study = STUDY.replace("radio:secret", signed)
    address, mark = files_below(study)[Path("P01/visit-1/front.jpg")]
    assert (address, mark) == (f"{study}/P01/visit-1/front.jpg", mark_of(address))
    with at_hand({"front": address}) as files:
        assert files["front"].read_bytes() == (served[0] / "P01" / "visit-1" / "front.jpg").read_bytes()


def test_a_photo_that_may_have_been_written_again_is_not_taken_for_the_same(served):
    _, written = served
    address, mark = files_below(STUDY)[Path("P01/visit-1/front.jpg")]
    assert is_same_file(mark_of(address), mark)
    written["front.jpg"] = {"modify": "20261102120000"}
    assert not is_same_file(mark_of(address), mark)
    written["front.jpg"] = {}  # of the same size, and nobody knows when
    nobody_knows = mark_of(address)
    assert nobody_knows is not None
    assert nobody_knows == mark_of(address)
    assert not is_same_file(nobody_knows, nobody_knows)


def test_results_are_brought_to_a_server_that_ended_the_connection_during_the_run(disk):
    with mirrored(OUT, write=True) as here:
        assert (disk.root / "results" / ".run.lock").exists()
        (here / "scores.csv").write_text("patient,visit\n")
        disk.end_idle_connections()
    assert {file.name for file in (disk.root / "results").iterdir()} == {"scores.csv"}


def test_an_address_is_not_held_any_more_when_results_cannot_be_brought_there(disk):
    with pytest.raises(OutputError, match="452 Insufficient"), mirrored(OUT, write=True) as here:
        (here / "scores.csv").write_text("patient,visit\n")
        disk.end_idle_connections()
        disk.full = True
    assert list((disk.root / "results").iterdir()) == []
    assert (here / "scores.csv").exists(), "the next run goes on from it"
