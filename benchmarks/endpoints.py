"""How far two arms of a trial stand apart by each endpoint, on photographs of trials that never were.

    python benchmarks/endpoints.py --faces FACES [--trials 8] [--write]

Every trial is made, compared and analysed by the commands that a study is: `masi phantom`, `masi compare`,
`masi outcome`. Arms lose a tenth (A), a quarter (B), two fifths (C) and more than half (D) of their pigment.
"""

from __future__ import annotations

import csv
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from page import parser_of, write_results

from masi_vision.shipped import shipped_file

PAGE = Path(__file__).parent.parent / "docs" / "comparing.md"
MARKS = "<!-- endpoints -->", "<!-- end of endpoints -->"
PATIENTS, PRIMARY = 80, "visit-2"
ENDPOINTS = {
    "amount, visits laid over each other": ("amount_od", "changes.csv"),
    "mMASI by the software": ("mmasi", "scores.csv"),
    "mMASI by three readers": ("mmasi", "reads.csv"),
}
COMPARED = ("B less A", "C less A", "D less A")
Figures = Mapping[tuple[str, str], tuple[float, float, int]]
"""Of endpoint and arms: the difference in residual standard deviations, its p, and the patients."""


def masi(*words: object) -> None:
    """Run the command; exit code 1 is for what could not be scored, as in any study."""
    command = [sys.executable, "-m", "masi_vision", *(str(word) for word in words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(command[2:4])}: {done.stderr}")


def rows_in(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def trial(faces: Path, seed: int, folder: Path) -> Figures:
    """One trial by every endpoint."""
    study, truth, compared = folder / "study", folder / "study-truth", folder / "compared"
    drawn = ("--patients", PATIENTS, "--visits", 2, "--seed", seed)
    masi("phantom", "--faces", faces, "--out", study, *drawn)
    masi("compare", study, "--out", compared, "--no-pictures")
    arms = dict.fromkeys((row["patient"], row["arm"]) for row in rows_in(truth / "truth.csv"))
    (folder / "arms.csv").write_text("patient,arm\n" + "".join(f"{p},{arm}\n" for p, arm in arms))
    shipped = shipped_file("configs", "outcome.yaml").read_text(encoding="utf-8")
    return dict(
        one for name in ENDPOINTS for one in _analysed(name, shipped, folder, {"reads.csv": truth}, compared)
    )


def _analysed(
    name: str, shipped: str, folder: Path, elsewhere: Mapping[str, Path], compared: Path
) -> Iterator[tuple[tuple[str, str], tuple[float, float, int]]]:
    column, table = ENDPOINTS[name]
    protocol, out = folder / f"{column}.yaml", folder / f"outcome-{table}"
    asked = shipped.replace("endpoint: mmasi", f"endpoint: {column}").replace("visit-6", PRIMARY)
    protocol.write_text(asked, encoding="utf-8")
    what = ("--protocol", protocol, "--allocation", folder / "arms.csv", "--out", out)
    masi("outcome", elsewhere.get(table, compared) / table, *what)
    found = {
        row["measure"] + row["arm"]: row
        for row in rows_in(out / "outcome.csv")
        if row["analysis"] == "primary"
    }
    for arms in COMPARED:
        apart = found[f"difference in residual standard deviations{arms}"]
        tested = found[f"difference{arms}"]
        yield (name, arms), (float(apart["value"]), float(tested["p"]), int(tested["patients"]))


def table(trials: list[Figures]) -> str:
    """Mean difference and, in brackets, how many of the trials called it different."""
    lines = [
        f"{len(trials)} trials of {PATIENTS} patients, two visits, front alone; photographs that cannot be "
        "scored are missing to the software.",
        "",
        "| difference in residual standard deviations (p below 0.05) | "
        f"{' | '.join(COMPARED)} | patients of two arms |",
        "| --- | " + " | ".join("---" for _ in (*COMPARED, "")) + " |",
    ]
    for name in ENDPOINTS:
        cells = []
        for arms in COMPARED:
            found = np.array([figures[name, arms] for figures in trials])
            cells.append(f"{found[:, 0].mean():.2f} ({(found[:, 1] < 0.05).sum()} of {len(trials)})")
        patients = np.mean([figures[name, arms][2] for figures in trials for arms in COMPARED])
        lines.append(f"| {name} | {' | '.join(cells)} | {patients:.0f} |")
    return "\n".join(lines)


def main() -> None:
    parser = parser_of(__doc__, writes="the table into docs/comparing.md")
    parser.add_argument("--trials", type=int, default=8)
    arguments = parser.parse_args()
    trials = []
    for seed in range(1, arguments.trials + 1):
        with tempfile.TemporaryDirectory() as place:
            trials.append(trial(arguments.faces, seed, Path(place)))
        print(table(trials), flush=True)
    if arguments.write:
        write_results(PAGE, table(trials), MARKS)


if __name__ == "__main__":
    main()
