"""Time and memory of scoring, as ratios to the bare decode of the same file, in one run on one core.

python scripts/bench.py [--rounds 9]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

FIRST_SCORE = """
import time, sys
start = time.perf_counter()
import masi_vision
imported = time.perf_counter()
result = masi_vision.score_photo(sys.argv[1])
scored = time.perf_counter()
print(imported - start, scored - start, result.status, result.reason)
"""

PEAK = """
import resource, sys
import masi_vision
for _ in range(3):
    masi_vision.score_photo(sys.argv[1])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    import cv2
    import numpy as np

    cv2.setNumThreads(1)
    from masi_vision import score_photo
    from masi_vision.phantom.demo import demo_folder

    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for megapixels in (2, 12, 24):
            file = make_photo(Path(folder), demo_folder() / "demo-01" / "visit-1" / "front.jpg", megapixels)
            result = score_photo(file)
            if result.measures is None:
                raise SystemExit(
                    f"the demo photo at {megapixels} megapixels was not measured: {result.message}"
                )
            coded = np.frombuffer(file.read_bytes(), np.uint8)
            decode, score = alternate(
                lambda coded=coded: cv2.imdecode(coded, cv2.IMREAD_COLOR),
                lambda file=file: score_photo(file),
                arguments.rounds,
            )
            figures[f"{megapixels} MP: score / decode"] = round(score / decode, 2)
            figures[f"{megapixels} MP: decode, ms"] = round(decode * 1e3, 1)
            figures[f"{megapixels} MP: score, ms"] = round(score * 1e3, 1)
            if megapixels == 12:
                fresh = [run(FIRST_SCORE, file).split() for _ in range(5)]
                figures["import, s"] = round(sorted(float(f[0]) for f in fresh)[2], 2)
                figures["first score of a fresh process, s"] = round(sorted(float(f[1]) for f in fresh)[2], 2)
                figures["peak memory at 12 MP, MB"] = round(float(run(PEAK, file)))
    width = max(map(len, figures))
    for name, value in figures.items():
        print(f"{name:<{width}}  {value}")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


def make_photo(folder: Path, source: Path, megapixels: int) -> Path:
    """The demo face at camera size, 3:4, with sensor noise, as a JPEG of quality 92."""
    import cv2
    import numpy as np

    height = round((megapixels * 1e6 * 4 / 3) ** 0.5)
    size = (round(height * 3 / 4), height)
    small = cv2.imread(str(source))
    side = small[: small.shape[0], : small.shape[1]]
    large = cv2.resize(side, size, interpolation=cv2.INTER_CUBIC)
    noise = np.empty(large.shape, np.int16)
    cv2.setRNGSeed(1)
    cv2.randn(noise, 0, 3)
    file = folder / f"{megapixels}mp.jpg"
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
