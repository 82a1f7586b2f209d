"""A study that a web server lists as pages of links, which tell neither size nor time of a photo."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from hashlib import sha256
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from faults import command, hears_ctrl_c
from verbs import masi

pytestmark = pytest.mark.long

pytest.importorskip("upath", reason="needs the extra cluster")
pytest.importorskip("aiohttp", reason="needs the package for http://")


SPOILT = Path(__file__).parent / "spoilt"


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
    served, finished, tmp_path, scored_here
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


@pytest.mark.skipif(sys.platform == "win32", reason="sends signals")
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, "--time-limit"])
@pytest.mark.parametrize("served", ["ETag"], indirect=True)
def test_a_photo_that_was_fetched_goes_however_the_run_ends(served, tmp_path, end):
    """Its worker hangs over it, and is killed."""
    folder, address, _, _ = served
    visit = folder / "P01" / "visit-1"
    (visit / "front.jpg").rename(visit / "hangs_front.jpg")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    path = os.pathsep.join([str(SPOILT), os.environ.get("PYTHONPATH", "")])
    limit = ["--time-limit", "3"] if end == "--time-limit" else []
    run = subprocess.Popen(
        command(address, tmp_path / "out", "--workers", "1", *limit),
        env=os.environ | {"PYTHONPATH": path, "TMPDIR": str(scratch)},
        preexec_fn=hears_ctrl_c,
    )
    until = time.monotonic() + 60
    while not any(file.stat().st_size for file in scratch.rglob("*.jpg")):
        assert time.monotonic() < until and run.poll() is None
        time.sleep(0.02)
    if not limit:
        run.send_signal(end)
    assert run.wait(60) == (1 if limit else 130)
    assert not list(scratch.iterdir())
