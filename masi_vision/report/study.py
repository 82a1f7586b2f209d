"""A study on one page: what came in and what did not, agreement, outcome, and what it was made with."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from masi_vision.version import __version__

_TEMPLATE = "study.html.jinja"
_LEAST_P = 0.001
Row = Mapping[str, str]
NO_STANDARD = "The software does not know it; the trial's own documents say it."


@dataclass(frozen=True)
class Drawing:
    """A figure with its words.

    Parameters
    ----------
    name : str
        Of its file, without ending.
    svg : str
    """

    name: str
    title: str
    words: str
    svg: str = field(repr=False)

    @property
    def address(self) -> str:
        """The picture itself, as an address that a page can hold: ids of two figures do not meet."""
        return "data:image/svg+xml;base64," + base64.b64encode(self.svg.encode()).decode()


@dataclass(frozen=True)
class StudyReport:
    """Everything that the page says.

    Parameters
    ----------
    title : str
    run : mapping
        ``run.json`` of the results.
    scores, reads, agreement, outcome : sequence of mapping
        Rows of these tables; empty where there is none.
    drawings : sequence of Drawing
    """

    title: str
    run: Mapping[str, Any]
    scores: Sequence[Row]
    reads: Sequence[Row] = ()
    agreement: Sequence[Row] = ()
    outcome: Sequence[Row] = ()
    drawings: Sequence[Drawing] = ()

    @cached_property
    def flow(self) -> list[tuple[str, int, list[tuple[str, int]]]]:
        """Steps from photo to read: what came, how many, and what was lost there and why."""
        refused = Counter(row["reason"] for row in self.scores if row["status"] != "scored")
        scored = sum(row["status"] == "scored" for row in self.scores)
        steps: list[tuple[str, int, list[tuple[str, int]]]] = [
            ("Photographs", len(self.run.get("inputs", ())), []),
            ("Visits", len(self.scores), []),
            ("Visits scored by the software", scored, sorted(refused.items())),
        ]
        if self.reads:
            steps.append(self._reads_locked())
        return steps

    def _reads_locked(self) -> tuple[str, int, list[tuple[str, int]]]:
        """Blind reads, of several entries the last; a table with a row for each region has four of a read."""
        reads: dict[tuple[str, ...], Row] = {}
        for row in self.reads:
            if row.get("stage", "blind") == "blind" and row.get("latest", "1") in ("1", ""):
                key = tuple(row.get(name, "") for name in ("patient", "visit", "reader", "code", "repeat_of"))
                reads[key] = row
        lost = Counter(row["ungradable"] for row in reads.values() if row.get("ungradable"))
        not_yet = sum(not row.get("locked_utc", "locked") for row in reads.values())
        reasons = sorted(lost.items()) + ([("read yet", not_yet)] if not_yet else [])
        return "Blind reads with grades", len(reads) - sum(lost.values()) - not_yet, reasons

    @cached_property
    def quality(self) -> list[tuple[str, dict[str, int]]]:
        """Of every visit, how many passed the checks of quality, with how many warnings and failures."""
        by_visit: dict[str, Counter[str]] = {}
        for row in self.scores:
            by_visit.setdefault(row["visit"], Counter())[row.get("quality") or "not checked"] += 1
        return [(visit, dict(counts)) for visit, counts in sorted(by_visit.items())]

    @property
    def many_visits(self) -> bool:
        """Whether visits are so many, as in a coded set, that a row for each says nothing."""
        return len(self.quality) > 24

    @cached_property
    def quality_in_all(self) -> dict[str, int]:
        """The same of all visits together."""
        return dict(Counter(row.get("quality") or "not checked" for row in self.scores))

    @cached_property
    def by_topic(self) -> dict[str, list[Row]]:
        """Rows of the agreement by topic."""
        made: dict[str, list[Row]] = {}
        for row in self.agreement:
            made.setdefault(row["topic"], []).append(row)
        return made

    @cached_property
    def by_analysis(self) -> dict[str, list[Row]]:
        """Rows of the outcome by analysis."""
        made: dict[str, list[Row]] = {}
        for row in self.outcome:
            made.setdefault(row["analysis"], []).append(row)
        return made

    @cached_property
    def checklist(self) -> list[tuple[str, str, str]]:
        """Items of CONSORT-AI that the software can answer: item, what it asks, answer."""
        counts = self.run.get("counts", {})
        return [
            ("5 (i)", "Which version of the algorithm", self._version),
            ("5 (ii)", "How input was acquired and selected", NO_STANDARD),
            (
                "5 (iii)",
                "How poor or missing input was assessed and handled",
                f"Checks of quality, limits in the settings below; {counts.get('not_scored', 0)} of "
                f"{counts.get('visits_found', 0)} visits were not scored, each with its reason.",
            ),
            ("5 (iv)", "Who handled the input, with which expertise", NO_STANDARD),
            (
                "5 (v)",
                "What the output is",
                "Grades of area and darkness for four regions, mMASI with a 90 % interval; a reason where it "
                "has none.",
            ),
            ("5 (vi)", "How the output contributed to decisions", NO_STANDARD),
            (
                "19",
                "Results of an analysis of errors",
                "Agreement with the readers, below." if self.agreement else "None was made.",
            ),
            ("25 (i)", "How the algorithm can be had", "Open source, Apache-2.0, code and models."),
        ]

    @property
    def _version(self) -> str:
        run = self.run
        return (
            f"masi_vision {run.get('version', 'unknown')}, models {run.get('models', 'unknown')}, pigment by "
            f"{run.get('pigment_method', 'unknown')}; hashes at the end of this page."
        )


def study_page(report: StudyReport) -> str:
    """The page, with everything in it."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined
    )
    return environment.get_template(_TEMPLATE).render(
        report=report, version=__version__, short=_short, p_of=_p
    )


def _short(text: str) -> str:
    """A number of a table with as many digits as are read."""
    return f"{float(text):.2f}" if text else ""


def _p(text: str) -> str:
    if not text:
        return ""
    return f"{float(text):.3f}" if float(text) >= _LEAST_P else f"< {_LEAST_P:g}"
