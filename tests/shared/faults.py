"""Kills the workers of a run, and runs, at random moments, and holds the tables against an undisturbed run's.

python tests/shared/faults.py [--kills 50] [--visits 60]
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from masi_vision.phantom.demo import demo_folder

TABLES = ("scores.csv", "regions.csv", "scores.json")


def make_study(folder: Path, visits: int) -> Path:
    """Visits of one front photo each, the demo's in turn, none like another: a byte more behind the end."""
    photos = sorted(demo_folder().glob("*/*/front.jpg"))
    for number in range(visits):
        visit = folder / f"P{number // 3 + 1:02d}" / f"visit-{number % 3 + 1}"
        visit.mkdir(parents=True)
        photo = photos[number % len(photos)].read_bytes()
        (visit / "front.jpg").write_bytes(photo + bytes([number % 256]))
    return folder


def command(study: Path, out: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "masi_vision", "batch", str(study), "--out", str(out), "--overlays", *more]


def hears_ctrl_c() -> None:
    """For `preexec_fn`: what is started in the background ignores Ctrl-C, and so does all that it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def contents(out: Path) -> dict[str, bytes]:
    """The tables and pictures of a run, and that nothing half written lies beside them."""
    parts = list(out.rglob("*.part"))
    assert not parts, parts
    pictures = {f"overlays/{file.name}": file.read_bytes() for file in (out / "overlays").iterdir()}
    return {name: (out / name).read_bytes() for name in TABLES} | pictures


def done_in(out: Path) -> dict[tuple[str, str], float]:
    """Visits that stand finished in the ledger, with the seconds that they took: never the same twice."""
    if not (out / "ledger.sqlite").exists():
        return {}
    # To be written too: what was killed while it wrote leaves a journal, and who may not undo it is refused.
    base = sqlite3.connect(f"file:{out / 'ledger.sqlite'}?mode=rw", uri=True)
    try:
        rows = base.execute("SELECT patient, visit, seconds FROM visits WHERE key IS NOT NULL").fetchall()
    except sqlite3.OperationalError:  # killed before the ledger had its tables
        return {}
    finally:
        base.close()
    return {(patient, visit): seconds for patient, visit, seconds in rows}


def workers_of(pid: int) -> list[int]:
    """Processes that a process has started."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == pid:
                found.append(int(entry.name))
    return found


@dataclass
class Kills:
    """How many were killed."""

    workers: int = 0
    runs: int = 0

    @property
    def total(self) -> int:
        return self.workers + self.runs


def finished_despite(study: Path, out: Path, kills: Kills, rng: random.Random, pause_s: float) -> None:
    """Run until the study is finished, killing a worker or the run every now and then."""
    before = done_in(out)
    while True:
        run = subprocess.Popen(command(study, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in _until_ended(run, rng, pause_s):
            workers = workers_of(run.pid)
            if workers and rng.random() < 0.6:
                kill(rng.choice(workers))
                kills.workers += 1
            else:
                run.send_signal(signal.SIGKILL)
                kills.runs += 1
        run.wait()
        after = done_in(out)
        assert all(after[place] == seconds for place, seconds in before.items()), "scored twice"
        before = after
        if run.returncode == 0:
            return
        assert run.returncode == -signal.SIGKILL, f"the run ended with {run.returncode}"
        pause_s *= 1.5  # a slow machine would be killed for ever before its first visit is done


def _until_ended(run: subprocess.Popen[bytes], rng: random.Random, pause_s: float) -> Iterator[None]:
    while True:
        try:
            run.wait(timeout=rng.uniform(0.2, 2) * pause_s)
            return
        except subprocess.TimeoutExpired:
            yield


def kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--visits", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    rng, kills, rounds = random.Random(arguments.seed), Kills(), 0
    with tempfile.TemporaryDirectory() as place:
        study = make_study(Path(place) / "study", arguments.visits)
        calm = Path(place) / "calm"
        subprocess.run(command(study, calm), check=True, stdout=subprocess.DEVNULL)
        expected = contents(calm)
        while kills.total < arguments.kills:
            out = Path(place) / "out"
            start = time.monotonic()
            finished_despite(study, out, kills, rng, pause_s=4.0)
            assert contents(out) == expected, "the tables differ from the undisturbed run's"
            rounds += 1
            seconds = time.monotonic() - start
            print(f"study {rounds} finished in {seconds:.0f} s, {kills}: byte-identical", flush=True)
            shutil.rmtree(out)
    print(
        f"{kills.total} kills ({kills.workers} of workers, {kills.runs} of the run) in {rounds} studies of "
        f"{arguments.visits} visits: tables and overlays byte-identical every time, no visit scored twice."
    )


if __name__ == "__main__":
    main()
