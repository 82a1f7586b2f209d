"""What became of visits that were scored again: a file to which lines are added, never written anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from masi_vision.csv_table import csv_line, csv_text, guarded
from masi_vision.errors import OutputError
from masi_vision.report.tables import number
from masi_vision.written import writing

HISTORY = "history.csv"
_RESULT = ("version", "settings_sha256", "models_sha256", "status", "mmasi")
HISTORY_COLUMNS = (
    *("run_utc", "visits_again", "patient", "visit", "why"),
    *(f"{name}_{when}" for name in _RESULT for when in ("before", "after")),
)
"""No column is called as one of scores.csv that holds a score: nothing takes one table for the other."""


@dataclass(frozen=True)
class Result:
    """What a visit came to, and what made it."""

    version: str
    settings_sha256: str
    models_sha256: str
    status: str
    mmasi: float | None


@dataclass(frozen=True)
class ScoredAgain:
    """A visit that was scored before, and again.

    Parameters
    ----------
    run_utc : str
        When the run began.
    visits_again : int
        How many visits this run was to score again.
    why : str
        As run.json tells it.
    """

    run_utc: str
    visits_again: int
    patient: str
    visit: str
    why: str
    before: Result
    after: Result

    def row(self) -> dict[str, object]:
        """As it stands in the table."""
        results = {"before": self.before, "after": self.after}
        told = {f"{name}_{when}": getattr(one, name) for name in _RESULT for when, one in results.items()}
        scores = {f"mmasi_{when}": number(one.mmasi, 1) for when, one in results.items()}
        names = {"patient": guarded(self.patient), "visit": guarded(self.visit), "why": guarded(self.why)}
        return {"run_utc": self.run_utc, "visits_again": self.visits_again, **names, **told, **scores}


def refuse_other_history(file: Path) -> None:
    """Refuse a file of this name to which no line can be added: somebody's own, or another version's.

    Raises
    ------
    OutputError
    """
    with writing(file):
        if not file.exists():
            return
        with file.open("rb") as stream:
            head = stream.readline().decode("utf-8-sig", "replace").rstrip("\r\n")
    if head not in ("", ",".join(HISTORY_COLUMNS)):
        raise OutputError(
            f"{file} is no history of this version: its first line is {head[:60]!r}. Expected "
            f"{HISTORY_COLUMNS[0]},{HISTORY_COLUMNS[1]} and so on, as masi batch writes it. Give the file "
            "another name: it is read no more, and a new one is begun."
        )


def add_to_history(folder: Path, visits: Sequence[ScoredAgain]) -> None:
    """Add lines to the history of a results folder; the first brings its head.

    A line that a killed run left unfinished is ended first.
    """
    if not visits:
        return
    file = folder / HISTORY
    text = "".join(csv_line(HISTORY_COLUMNS, one.row()) for one in visits).encode()
    with writing(file), file.open("a+b") as stream:
        if stream.seek(0, 2) == 0:
            text = csv_text(HISTORY_COLUMNS, []).encode() + text
        else:
            stream.seek(-1, 2)
            text = text if stream.read(1) == b"\n" else b"\n" + text
        stream.write(text)


def merged(there: bytes, here: bytes) -> bytes:
    """Two histories of one folder, one left behind by a killed run: the first, and what the other adds."""
    known = set(there.splitlines())
    lines = [line for line in here.splitlines(keepends=True) if line.rstrip(b"\n") not in known]
    return there + b"".join(lines)
