"""A study that a web server lists as pages of links, which tell neither size nor time of a photo."""

import shutil
import threading
from functools import partial
from hashlib import sha256
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from verbs import masi

pytest.importorskip("upath", reason="needs the extra cluster")
pytest.importorskip("aiohttp", reason="needs the package for http://")


@pytest.fixture(params=["Last-Modified", "ETag", None])
def served(four_visits, tmp_path, request):
    """The study of a server that tells this of a photo; its folder, its address and what it was asked for."""
    folder, asked = shutil.copytree(four_visits, tmp_path / "study"), []

    class Handler(SimpleHTTPRequestHandler):
        def end_headers(self):
            place = Path(self.translate_path(self.path))
            if request.param == "ETag" and place.suffix == ".jpg":
                super().send_header("ETag", sha256(place.read_bytes()).hexdigest())
            super().end_headers()

        def send_header(self, name, value):
            if name != "Last-Modified" or request.param == name:
                super().send_header(name, value)

        def log_message(self, *_words):
            asked.append((self.command, self.path))

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_address[1]}/", asked, request.param
        server.shutdown()


def test_a_web_servers_photos_are_fetched_again_only_where_it_does_not_tell_that_they_are_the_same(
    served, finished, tmp_path
):
    folder, address, asked, told = served
    done = masi("batch", address, "--out", tmp_path / "out", "--workers", 1)
    assert done.exit_code == 0, done.output
    assert (tmp_path / "out" / "scores.csv").read_bytes() == (finished / "scores.csv").read_bytes()
    photos = {f"/{file.relative_to(folder).as_posix()}" for file in folder.rglob("*.jpg")}
    assert photos == {path for command, path in asked if command == "GET"} & photos
    asked.clear()
    again = masi("batch", address, "--out", tmp_path / "out")
    assert "photos in" not in again.stdout, "scored again"
    assert {path for command, path in asked if command == "GET"} & photos == (set() if told else photos)
    shutil.copy(folder / "P01" / "visit-1" / "front.jpg", folder / "P01" / "visit-2" / "front.jpg")
    again = masi("batch", address, "--out", tmp_path / "out", "--dry-run")
    assert "1 again, photo changed: front.jpg: P01/visit-2" in again.stdout
