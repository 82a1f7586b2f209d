"""Photos and results at S3 addresses, with a real S3 server on this machine."""

import getpass
import hashlib
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import cv2
import numpy as np
import pytest
from faults import TABLES
from verbs import masi, table

from masi_vision.batch.address import mark_of

pytestmark = pytest.mark.long

pytest.importorskip("s3fs", reason="needs the extra s3")
pytest.importorskip("moto", reason="needs moto's S3 server")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """An S3 server in a process of its own, and the settings by which every program here finds it."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp("s3") / "server.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-p", str(port)], stdout=stream, stderr=stream
        )
    address = f"http://127.0.0.1:{port}"
    for _ in range(150):
        try:
            urllib.request.urlopen(address, timeout=1)
            break
        except OSError:
            assert process.poll() is None, log.read_text()
            time.sleep(0.1)
    names = {
        "AWS_ENDPOINT_URL": address,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(names)
    yield address
    process.terminate()
    process.wait()
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)


@pytest.fixture
def bucket(server, request, tmp_path, monkeypatch):
    """A bucket of its own, and a folder of its own for what a run keeps on this machine."""
    import s3fs

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    name = f"b{abs(hash(request.node.name)) % 10**9}"
    storage = s3fs.S3FileSystem(skip_instance_cache=True)
    storage.mkdir(name)
    return storage, name


def test_a_study_in_s3_is_scored_as_the_folder_is(bucket, four_visits, finished, tmp_path):
    storage, name = bucket
    storage.put(str(four_visits), f"{name}/study", recursive=True)
    done = masi("batch", f"s3://{name}/study", "--out", tmp_path / "out", "--workers", 2)
    assert done.exit_code == 0, done.output
    for one in TABLES:
        assert (tmp_path / "out" / one).read_bytes() == (finished / one).read_bytes(), one
    again = masi("batch", f"s3://{name}/study", "--out", tmp_path / "out", "--dry-run")
    assert "4 visits: 4 finished, 0 to score" in again.stdout
    shutil.copy(four_visits / "P01" / "visit-1" / "front.jpg", tmp_path / "new.jpg")
    storage.put_file(str(tmp_path / "new.jpg"), f"{name}/study/P01/visit-2/front.jpg")
    again = masi("batch", f"s3://{name}/study", "--out", tmp_path / "out", "--dry-run")
    assert "1 again, photo changed: front.jpg: P01/visit-2" in again.stdout


def test_results_in_s3_are_gone_on_with_from_another_machine(
    bucket, four_visits, finished, tmp_path, monkeypatch, scored_here
):
    storage, name = bucket
    address = f"s3://{name}/results"
    done = masi("batch", four_visits, "--out", address, "--overlays")
    assert done.exit_code == 0, done.output
    for one in TABLES:
        assert storage.cat_file(f"{name}/results/{one}") == (finished / one).read_bytes(), one
    assert len(storage.ls(f"{name}/results/overlays")) == 4
    assert not storage.exists(f"{name}/results/.run.lock")
    elsewhere = tmp_path / "another-machine"
    elsewhere.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(elsewhere))
    again = masi("batch", four_visits, "--out", address, "--overlays")
    assert "photos in" not in again.stdout, "scored again"
    assert "4 of 4 visits scored" in again.stdout
    study = shutil.copytree(four_visits, tmp_path / "study")
    front = next(iter(sorted(study.glob("*/*/front.jpg"))))
    cv2.imwrite(str(front), np.full((400, 300, 3), (90, 140, 200), np.uint8))  # a wall
    assert masi("batch", study, "--out", address).exit_code == 1
    left = {file.rsplit("/", 1)[1] for file in storage.ls(f"{name}/results/overlays", refresh=True)}
    assert len(left) == 3
    assert f"{front.parent.parent.name}_{front.parent.name}_front.jpg" not in left
    first = storage.cat_file(f"{name}/results/history.csv")
    assert [line.split(b",")[2:4] for line in first.splitlines()[1:]] == [
        [front.parent.parent.name.encode(), front.parent.name.encode()]
    ]
    shutil.copy(four_visits / front.relative_to(study), front)
    assert masi("batch", study, "--out", address).exit_code == 0
    second = storage.cat_file(f"{name}/results/history.csv")
    assert second.startswith(first)
    assert len(second.splitlines()) == 3


def test_another_study_does_not_replace_what_lies_at_an_address(
    bucket, four_visits, tmp_path, monkeypatch, scored_here
):
    storage, name = bucket
    address = f"s3://{name}/results"
    assert masi("batch", four_visits, "--out", address).exit_code == 0
    assert not list(tmp_path.glob("masi-*")), "faces may lie there"
    before = storage.cat_file(f"{name}/results/scores.csv")
    study = shutil.copytree(four_visits / "P02", tmp_path / "other" / "Q01").parent
    other = masi("batch", study, "--out", address)
    assert other.exit_code == 2
    assert "holds none of the 4 visits that stand in the ledger" in " ".join(other.stderr.split())
    assert storage.cat_file(f"{name}/results/scores.csv") == before


def test_a_folder_of_somebody_else_is_not_used_for_results(bucket, four_visits, tmp_path):
    _, name = bucket
    address = f"s3://{name}/results"
    digest = hashlib.sha256(address.encode()).hexdigest()[:12]
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / f"masi-{getpass.getuser()}-{digest}").symlink_to(tmp_path / "elsewhere")
    done = masi("batch", four_visits, "--out", address)
    assert done.exit_code == 2
    assert "is not a folder of yours alone" in " ".join(done.stderr.split())
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_results_that_another_run_holds_are_refused(bucket, four_visits):
    storage, name = bucket
    storage.pipe_file(f"{name}/results/.run.lock", b"process 1 on there")
    done = masi("batch", four_visits, "--out", f"s3://{name}/results")
    assert done.exit_code == 2
    assert "or was killed: process 1 on there" in done.stderr


def test_a_bucket_that_is_not_there_is_told(server, tmp_path):
    done = masi("batch", "s3://nowhere-at-all/study", "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert "s3://nowhere-at-all/study" in done.stderr


def test_a_manifest_may_name_photos_in_s3(bucket, four_visits, tmp_path, scored_here):
    storage, name = bucket
    photo = four_visits / "P01" / "visit-1" / "front.jpg"
    storage.put_file(str(photo), f"{name}/a.jpg")
    listed = tmp_path / "study.csv"
    listed.write_text(
        "patient,visit,view,path\n"
        f"P1,v1,front,s3://{name}/a.jpg\n"
        f"P1,v2,front,{photo}\n"
        f"P1,v3,front,s3://{name}/none.jpg\n"
    )
    done = masi("batch", listed, "--out", tmp_path / "out")
    assert done.exit_code == 1
    _, rows = table(tmp_path / "out" / "scores.csv")
    assert [row["status"] for row in rows] == ["scored", "scored", "not_scored"]
    assert rows[0]["mmasi_continuous"] == rows[1]["mmasi_continuous"]
    assert rows[2]["reason"] == "unreadable"


def test_the_mark_of_a_file_changes_with_it(tmp_path):
    file = tmp_path / "a.jpg"
    file.write_bytes(b"one")
    first = mark_of(str(file))
    assert mark_of(str(file)) == first
    file.write_bytes(b"three")
    assert mark_of(str(file)) != first
    assert mark_of(str(tmp_path / "none.jpg")) is None
    assert Path(file).stat().st_size == 5
