"""A study on an FTP server, whose listings tell neither the host nor who signed in there."""

import shutil
from pathlib import Path

import pytest

from masi_vision.batch.address import at_hand, files_below, is_same_file, mark_of
from masi_vision.batch.study import visits_of

pytest.importorskip("upath", reason="needs the extra cluster")

STUDY = "ftp://radio:secret@clinic.example:2121/study"


@pytest.fixture
def served(four_visits, tmp_path, monkeypatch):
    """The study of a server that lists and sends its files as FTP does; when each was written."""
    folder, written = shutil.copytree(four_visits, tmp_path / "disk" / "study"), {}

    class Server:
        """What Python's own client does of FTP, to one host alone."""

        def __init__(self, **_settings):
            pass

        def connect(self, host, port):
            assert (host, port) == ("clinic.example", 2121)

        def login(self, user, password, _account):
            assert (user, password) == ("radio", "secret")

        def mlsd(self, path):
            for place in sorted((folder.parent / path.strip("/")).iterdir()):
                kind = "dir" if place.is_dir() else "file"
                facts = {"type": kind, "size": str(place.stat().st_size)}
                yield place.name, facts | written.get(place.name, {"modify": "20261101120000"})

        def retrbinary(self, command, blocksize, callback):
            assert blocksize
            callback((folder.parent / command.removeprefix("RETR /")).read_bytes())

        def close(self):
            pass

    monkeypatch.setattr("fsspec.implementations.ftp.FTP", Server)
    return folder, written


def test_photos_that_an_ftp_server_lists_are_fetched_from_it(served, settings):
    folder, _ = served
    near, far = (visits_of(study, settings.views) for study in (str(folder), STUDY))
    assert [one.place for one in far] == [one.place for one in near]
    for one, same in zip(far, near, strict=True):
        with at_hand(one.photos) as files:
            assert {view: file.read_bytes() for view, file in files.items()} == {
                view: Path(photo).read_bytes() for view, photo in same.photos.items()
            }


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
