"""How fast and how steady scoring is: ratios to the bare decode of the same file, and whole studies.

python scripts/bench.py [--rounds 9] [--photos 500] [--write]

Takes about eight minutes on two idle cores. The row of the plain U-Net needs PyTorch (the extra `train`).
"""

from __future__ import annotations

import argparse
import compileall
import contextlib
import importlib.util
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

README = Path(__file__).resolve().parents[1] / "benchmarks" / "README.md"
MARKS = "<!-- speed -->", "<!-- end of speed -->"
VISITS, PLAIN_SIDE_PX = 2000, 640
_FIRST_SCORE = """
import time, sys
start = time.perf_counter()
import masi_vision
imported = time.perf_counter()
result = masi_vision.score_photo(sys.argv[1])
scored = time.perf_counter()
print(imported - start, scored - start, result.status, result.reason)
"""

Figures = dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--photos", type=int, default=500, help="of the memory's run")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--write", action="store_true", help="into benchmarks/README.md")
    arguments = parser.parse_args()
    import cv2

    cv2.setNumThreads(1)
    # As an installation does; a checkout may be told not to.
    compileall.compile_dir(README.parents[1] / "masi_vision", quiet=1)
    figures: Figures = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for part in (
            of_studies(folder, arguments.photos),
            of_resume(folder),
            of_photos(folder, arguments.rounds),
            of_plain_unet(folder),
        ):
            for name, value in part:
                figures[name] = value
                print(f"{name:<64}  {value:g}", flush=True)
    figures |= of_a_million(figures)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")
    if arguments.write:
        write(figures)


def write(figures: Figures) -> None:
    """Put the figures between their marks."""
    before, rest = README.read_text(encoding="utf-8").split(MARKS[0])
    after = rest.split(MARKS[1])[1]
    rows = "\n".join(f"| {name} | {value:,g} |" for name, value in figures.items())
    machine = f"{_processor()}, {os.cpu_count()} cores, Python {platform.python_version()}."
    table = f"{machine}\n\n| what | figure |\n| --- | --- |\n{rows}"
    README.write_text(f"{before}{MARKS[0]}\n\n{table}\n\n{MARKS[1]}{after}", encoding="utf-8")


def _processor() -> str:
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.exists() else []
    return next(
        (line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine()
    )


def of_photos(folder: Path, rounds: int) -> Iterator[tuple[str, float]]:
    """One photo on one core, as multiples of the bare full-size decode of the same file."""
    import cv2
    import numpy as np

    from masi_vision import score_photo

    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    for megapixels in (2, 12, 24, 45):
        file = make_photo(folder, megapixels)
        result = score_photo(file)
        if result.measures is None:
            raise SystemExit(f"the demo photo at {megapixels} megapixels was not measured: {result.message}")
        coded = np.frombuffer(file.read_bytes(), np.uint8)
        decode, score = alternate(
            lambda coded=coded: cv2.imdecode(coded, cv2.IMREAD_COLOR),
            lambda file=file: score_photo(file),
            rounds,
        )
        yield f"{megapixels} MP: score / decode", round(score / decode, 2)
        yield f"{megapixels} MP: decode, ms", round(decode * 1e3, 1)
        yield f"{megapixels} MP: score, ms", round(score * 1e3, 1)
        if megapixels == 12:
            fresh = [run(_FIRST_SCORE, file).split() for _ in range(5)]
            yield "import, s", round(sorted(float(f[0]) for f in fresh)[2], 2)
            yield "first score of a fresh process, s", round(sorted(float(f[1]) for f in fresh)[2], 2)


def of_studies(folder: Path, photos: int) -> Iterator[tuple[str, float]]:
    """Photos per second by number of workers, and what a worker's memory does."""
    photo = make_photo(folder, 12)
    rates = {}
    for workers in (1, 2, 4):
        rates[workers], _ = _worked(photo, workers, 60)
        yield f"photos of 12 MP per second, {workers} workers", round(rates[workers], 2)
    yield "two workers / one", round(rates[2] / rates[1], 2)
    _, memory = _worked(photo, 1, photos)
    yield f"peak memory of a worker over {photos} photos of 12 MP, MB", round(max(memory), 1)
    yield "its memory before the last photo / after the tenth", round(memory[-2] / memory[9], 3)


def _worked(photo: Path, workers: int, photos: int) -> tuple[float, list[float]]:
    """Photos per second from the first outcome on, and MB of the workers' largest after each."""
    from masi_vision.batch.job import Job, Setup
    from masi_vision.batch.pool import LocalWorkers
    from masi_vision.config import load_settings
    from masi_vision.visit.models import shipped_models

    pool = LocalWorkers(Setup(load_settings()), shipped_models(), workers, 60.0)
    jobs = [Job("", f"v{number}", f"v{number}", {"front": str(photo)}) for number in range(photos)]
    memory, times = [], []
    for _ in pool.outcomes(jobs):
        times.append(time.perf_counter())
        memory.append(max(map(_resident_mb, _children()), default=0.0))
    warm = 2 * workers
    return (photos - warm) / (times[-1] - times[warm - 1]), memory


def _children() -> list[int]:
    """Processes that any thread of this one has started."""
    found: list[int] = []
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):  # a thread that has just ended
            found += map(int, (task / "children").read_text().split())
    return found


def _resident_mb(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS")), 0.0)


def of_resume(folder: Path) -> Iterator[tuple[str, float]]:
    """A finished study of 2,000 visits of three photos, run again; and what a visit takes on the disk."""
    from masi_vision.batch.job import Job, Setup, score_job
    from masi_vision.batch.ledger import Ledger, Maker
    from masi_vision.config import load_settings
    from masi_vision.phantom.demo import demo_folder
    from masi_vision.visit.models import shipped_models
    from masi_vision.visit.score import provenance_of

    study, out = folder / "study", folder / "out"
    models, setup = shipped_models(), Setup(load_settings())
    maker = Maker(setup.settings, provenance_of(setup.settings, models))
    demo = demo_folder() / "demo-01" / "visit-1"
    out.mkdir()
    with Ledger(out / "ledger.sqlite") as ledger:
        for number in range(VISITS):
            patient, visit = f"P{number // 6:04d}", f"visit-{number % 6 + 1}"
            place = study / patient / visit
            place.mkdir(parents=True)
            photos = {}
            for photo in demo.iterdir():
                (place / photo.name).write_bytes(photo.read_bytes())
                photos[photo.stem] = str(place / photo.name)
            if number == 0:
                outcome = score_job(Job(patient, visit, f"{patient}_{visit}", photos), setup, models)
            marks = {view: replace(mark, mark=_mark(photos[view])) for view, mark in outcome.photos.items()}
            ledger.keep(
                replace(outcome, patient=patient, visit=visit, name=f"{patient}_{visit}", photos=marks), maker
            )
    command = [sys.executable, "-m", "masi_vision", "batch", str(study), "--out", str(out)]
    times = []
    for _ in range(5):
        start = time.perf_counter()
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        times.append(time.perf_counter() - start)
        if f"{VISITS} of {VISITS} visits scored" not in said or "photos in" in said:
            raise SystemExit(f"the finished study was not taken for finished: {said}")
    yield f"resuming a finished study of {VISITS} visits, s", round(sorted(times)[2], 2)
    ledger_bytes = (out / "ledger.sqlite").stat().st_size
    tables = sum(
        (out / name).stat().st_size for name in ("scores.csv", "regions.csv", "scores.json", "run.json")
    )
    yield "ledger, kB per visit of three photos", round(ledger_bytes / VISITS / 1e3, 1)
    yield "tables, kB per visit of three photos", round(tables / VISITS / 1e3, 1)


def _mark(address: str) -> str | None:
    from masi_vision.batch.address import mark_of

    return mark_of(address)


def of_plain_unet(folder: Path) -> Iterator[tuple[str, float]]:
    """The same photo through a plain U-Net in PyTorch: 640 x 640, 64 filters, as the melasma peer's."""
    if importlib.util.find_spec("torch") is None:
        print("plain U-Net: left out, PyTorch is not installed")
        return
    import cv2
    import torch

    from masi_vision import score_photo

    torch.set_num_threads(1)
    network = plain_unet().eval()
    photo = make_photo(folder, 12)

    def segment() -> None:
        picture = cv2.resize(cv2.imread(str(photo)), (PLAIN_SIDE_PX, PLAIN_SIDE_PX))
        given = torch.from_numpy(picture.transpose(2, 0, 1)[None] / 255).float()
        with torch.inference_mode():
            (torch.sigmoid(network(given)) > 0.5).numpy()

    plain, score = alternate(segment, lambda: score_photo(photo), 3)
    yield "plain U-Net of 640 x 640 px, 12 MP, one core: photos per second", round(1 / plain, 3)
    yield "ours / plain U-Net, photos per second", round(plain / score, 1)


def plain_unet(width: int = 64, depth: int = 4):  # type: ignore[no-untyped-def]
    """Ronneberger's U-Net with padding: two convolutions a step, 64 to 1024 filters."""
    import torch
    from torch import nn

    def twice(inside: int, outside: int) -> nn.Sequential:
        layers = [
            layer
            for first in (inside, outside)
            for layer in (nn.Conv2d(first, outside, 3, padding=1), nn.BatchNorm2d(outside), nn.ReLU())
        ]
        return nn.Sequential(*layers)

    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            widths = [width << step for step in range(depth + 1)]
            self.down = nn.ModuleList(twice(a, b) for a, b in zip([3, *widths], widths, strict=False))
            self.up = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, 2) for a, b in pairwise(widths))
            self.join = nn.ModuleList(twice(2 * a, a) for a in widths[:-1])
            self.last = nn.Conv2d(width, 1, 1)

        def forward(self, picture: torch.Tensor) -> torch.Tensor:
            seen = []
            for step, block in enumerate(self.down):
                picture = block(nn.functional.max_pool2d(picture, 2) if step else picture)
                seen.append(picture)
            for step in reversed(range(depth)):
                picture = self.join[step](torch.cat([seen[step], self.up[step](picture)], 1))
            return self.last(picture)

    return Plain()


def of_a_million(figures: Figures) -> Figures:
    """What a million photos of 12 MP take, from the figures above."""
    rate = figures["photos of 12 MP per second, 1 workers"]
    kb = figures["ledger, kB per visit of three photos"] + figures["tables, kB per visit of three photos"]
    return {
        "a million photos: core hours": round(1e6 / rate / 3600),
        "a million photos in visits of three: GB of ledger and tables": round(1e6 / 3 * kb / 1e6, 1),
    }


def make_photo(folder: Path, megapixels: int) -> Path:
    """The demo face at camera size, 3:4, with sensor noise, as a JPEG of quality 92."""
    import cv2
    import numpy as np

    from masi_vision.phantom.demo import demo_folder

    file = folder / f"{megapixels}mp.jpg"
    if file.exists():
        return file
    height = round((megapixels * 1e6 * 4 / 3) ** 0.5)
    small = cv2.imread(str(demo_folder() / "demo-01" / "visit-1" / "front.jpg"))
    large = cv2.resize(small, (round(height * 3 / 4), height), interpolation=cv2.INTER_CUBIC)
    noise = np.empty(large.shape, np.int16)
    cv2.setRNGSeed(1)
    cv2.randn(noise, (0, 0, 0), (3, 3, 3))  # one number would be the noise of the first channel alone
    cv2.imwrite(str(file), np.clip(large + noise, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 92])
    return file


def alternate(one: Callable[[], object], other: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Median seconds of two tasks that take turns, so that a busy machine slows both."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for task, kept in zip((one, other), times, strict=True):
            start = time.perf_counter()
            task()
            kept.append(time.perf_counter() - start)
    return sorted(times[0])[rounds // 2], sorted(times[1])[rounds // 2]


def run(code: str, file: Path) -> str:
    return subprocess.run(
        [sys.executable, "-c", code, str(file)], check=True, capture_output=True, text=True
    ).stdout


if __name__ == "__main__":
    main()
