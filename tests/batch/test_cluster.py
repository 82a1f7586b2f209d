"""The same visits on a Dask cluster: a real scheduler and workers, processes of their own on this machine."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
from faults import TABLES, make_study, workers_of
from verbs import masi

from masi_vision.batch.cluster import ClusterWorkers, score_there
from masi_vision.batch.job import Job, Setup
from masi_vision.errors import StudyError
from masi_vision.visit.models import shipped_models

pytestmark = pytest.mark.long

distributed = pytest.importorskip("distributed", reason="needs the extra cluster")


@pytest.fixture
def cluster(tmp_path):
    """A scheduler and two workers; gives the address and the workers' processes."""
    about = tmp_path / "scheduler.json"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    processes = []

    def start(*more):
        processes.append(
            subprocess.Popen([sys.executable, "-m", "distributed.cli." + more[0], *more[1:]], **quiet)
        )
        return processes[-1]

    start("dask_scheduler", "--port", "0", "--no-dashboard", "--scheduler-file", about)
    while not about.exists() or not about.read_text():
        time.sleep(0.1)
    address = json.loads(about.read_text())["address"]
    near = ("--nthreads", "1", "--no-dashboard", "--local-directory", tmp_path)
    workers = [start("dask_worker", address, *near) for _ in range(2)]
    with distributed.Client(address, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=30)
    yield address, workers
    for process in processes:
        process.terminate()
        process.wait()


def test_a_study_on_a_cluster_is_the_same_though_a_worker_is_killed(cluster, tmp_path, scored_here):
    address, workers = cluster
    study = make_study(tmp_path / "study", 10)
    masi("batch", study, "--out", tmp_path / "near")

    def kill_one():
        while not workers_of(workers[0].pid) or time.monotonic() - start < 4:
            time.sleep(0.1)
        for pid in (*_below(workers[0].pid), workers[0].pid):
            os.kill(pid, signal.SIGKILL)

    start = time.monotonic()
    killer = threading.Thread(target=kill_one)
    killer.start()
    done = masi("batch", study, "--out", tmp_path / "far", "--cluster", address)
    killer.join()
    assert done.exit_code == 0, done.output
    for name in TABLES:
        assert (tmp_path / "far" / name).read_bytes() == (tmp_path / "near" / name).read_bytes(), name


def _below(pid):
    """All processes below one: Dask's worker has a nanny, and our worker below it."""
    found = workers_of(pid)
    return [*found, *(one for child in found for one in _below(child))]


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("tcp://127.0.0.1:1", "Connect call failed"),
        ("127.0.0.1:1", "Connect call failed"),
        ("tls://127.0.0.1:1", "Connect call failed"),
        ("tcp://[::1]:1", "Errno"),  # also where a machine knows no such addresses
        ("tcp://no-such-host.invalid:8786", "no address"),
    ],
)
def test_a_cluster_that_is_not_there_is_told_at_once_and_why(
    four_visits, tmp_path, monkeypatch, address, why
):
    async def nobody(_loop, host, *_more, **_how):
        raise socket.gaierror(-2, f"no address of {host}")

    if "invalid" in address:  # a network may answer late, or with a page of its own
        monkeypatch.setattr("asyncio.base_events.BaseEventLoop.getaddrinfo", nobody)
    start = time.monotonic()
    done = masi("batch", four_visits, "--out", tmp_path / "out", "--cluster", address)
    assert done.exit_code == 2
    said = " ".join(done.stderr.split())
    assert f"No Dask scheduler answers at {address} (" in said
    assert why in said.partition(f"at {address} (")[2].partition("). Expected")[0]
    assert time.monotonic() - start < 10, "as long as Dask tries again"


@pytest.fixture
def another_server(request):
    """The port of a server that is no scheduler: it sends what it is given, and waits."""
    held = []
    with socket.create_server(("127.0.0.1", 0)) as door:

        def answer():
            while True:
                try:
                    held.append(door.accept()[0])
                except OSError:
                    return
                held[-1].sendall(request.param)

        threading.Thread(target=answer, daemon=True).start()
        yield door.getsockname()[1]
        door.shutdown(socket.SHUT_RDWR)
    for one in held:
        one.close()


@pytest.mark.parametrize(
    ("another_server", "kind", "said"),
    [
        (b"", "tcp://", "No Dask scheduler answers at {} (nothing in 1 s). Expected the address"),
        (
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            "tcp://",
            "What is at {} is no Dask scheduler to be used. Expected",
        ),
        (b"", "http://", "What is at {} is no Dask scheduler to be used (unknown address scheme 'http'"),
    ],
    indirect=["another_server"],
)
def test_what_is_no_scheduler_is_told_in_time(four_visits, tmp_path, another_server, kind, said):
    """In a process of its own, which is ended where it waits."""
    address = f"{kind}127.0.0.1:{another_server}"
    order = ["batch", str(four_visits), "--out", str(tmp_path / "out"), "--cluster", address]
    limit = "import masi_vision.batch.cluster as cluster; cluster._CONNECT_S = 1"
    call = f"{limit}; from masi_vision.cli.main import app; app({order!r})"
    done = subprocess.run([sys.executable, "-c", call], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2, done.stderr
    assert said.format(address) in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_an_address_of_no_scheduler_is_told_at_once(four_visits, tmp_path):
    done = masi("batch", four_visits, "--out", tmp_path / "out", "--cluster", "foo")
    assert done.exit_code == 2
    assert "--cluster is 'foo'. Expected the address of a Dask scheduler" in done.stderr


def test_what_a_run_sets_goes_whole_to_its_workers(settings):
    scale = settings.scale.model_copy(update={"noise_floor": 0.09, "fitted_to_models": "a" * 64})
    setup = Setup(settings.model_copy(update={"scale": scale}), ("masks",), "out", "models", "b" * 64)
    assert Setup.from_json(setup.to_json()) == setup


def test_a_machine_with_another_version_is_refused(settings):
    job, setup = Job("P1", "v1", "P1_v1", {}), Setup(settings)
    with pytest.raises(StudyError, match=r"A machine of the cluster has masi_vision .* Expected 9.9"):
        score_there(job.to_json(), setup.to_json(), 10.0, ("9.9", "0" * 64))


def test_nothing_to_do_asks_no_cluster(settings):
    workers = ClusterWorkers(Setup(settings), shipped_models(), "tcp://127.0.0.1:1", 10.0)
    assert list(workers.outcomes([])) == []
