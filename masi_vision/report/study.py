"""A study on one page: what came in and what did not, agreement, outcome, and what it was made with."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from masi_vision.config import load_settings
from masi_vision.names import in_order
from masi_vision.reads_table import (
    AMOUNT,
    is_blind,
    is_closed,
    is_latest,
    is_locked,
    units_corrected,
)
from masi_vision.settings_file import read_yaml
from masi_vision.shipped import shipped_file
from masi_vision.visit.region import REFUSED, UNDECIDED, flag_words, flags_in

Row = Mapping[str, str]
_CHINESE_STANDARD = (
    " These classes are of the score reduction index of the Chinese 2003 standard. Their cut points are "
    "unconfirmed: only copies with typing errors were found."
)
_BY_SHIPPED = {
    "darkness_cut_points_od": "Darkness is graded by the cut points that masi_vision ships, provisional and "
    "fitted to no panel: it orders lesions within a study, and is not the grade that a dermatologist would "
    "give.",
    "area_cut_points": "Area is the measured share of the skin by the published bands, fitted to no panel: "
    "not an estimate by eye.",
}
"""What is said of grades while these cut points are the shipped ones."""


@dataclass(frozen=True)
class Drawing:
    """A figure with its words.

    Parameters
    ----------
    name : str
        Of its file, without ending.
    svg : str
    told : str
        The numbers that it shows, for who cannot see it.
    """

    name: str
    title: str
    words: str
    svg: str = field(repr=False)
    told: str = ""

    @property
    def address(self) -> str:
        """The picture itself, as an address that a page can hold: ids of two figures do not meet."""
        return "data:image/svg+xml;base64," + base64.b64encode(self.svg.encode()).decode()


@dataclass(frozen=True)
class Strip:
    """The visits of a patient side by side.

    Parameters
    ----------
    name : str
        As the trial names the patient.
    jpeg : bytes
        Empty where none of them could be laid over the first from the front.
    lacking : sequence of str
        Visits that were not compared, and why.
    """

    name: str
    jpeg: bytes = field(repr=False)
    lacking: Sequence[str] = ()

    @property
    def address(self) -> str:
        """As `Drawing.address`."""
        return "data:image/jpeg;base64," + base64.b64encode(self.jpeg).decode()


def visits_of(outcome: Sequence[Mapping[str, str]]) -> list[str]:
    """The visits of a trial in the order in which its outcome tells them, those that nobody has too."""
    return list(dict.fromkeys(row["visit"] for row in outcome if row["analysis"] == "missing"))


@dataclass(frozen=True)
class StudyReport:
    """Everything that the page says.

    Parameters
    ----------
    title : str
    run : mapping
        ``run.json`` of the results.
    scores, regions, reads, agreement, outcome : sequence of mapping
        Rows of these tables; empty where there is none. Of regions those of MASI, without hidden repeats.
    drawings : sequence of Drawing
    strips : sequence of Strip
        They show faces.
    protocol : mapping or None
        What the outcome was asked by, as ``masi outcome`` keeps it; None where there is no outcome.
    provenance : mapping
        "Outcome" and "Agreement" to what made each, as far as they tell it.
    left_out : (int, int)
        Patients of whom nothing is told, and who were to be left out.
    not_counted : int
        Visits that the table of corrections says not to count.
    history : sequence of mapping
        Rows of ``history.csv`` of the results: what was scored again, and why.
    """

    title: str
    run: Mapping[str, Any]
    scores: Sequence[Row]
    reads: Sequence[Row] = ()
    agreement: Sequence[Row] = ()
    outcome: Sequence[Row] = ()
    drawings: Sequence[Drawing] = ()
    strips: Sequence[Strip] = ()
    protocol: Mapping[str, Any] | None = None
    provenance: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    left_out: tuple[int, int] = (0, 0)
    not_counted: int = 0
    regions: Sequence[Row] = ()
    history: Sequence[Row] = ()

    @cached_property
    def flow(self) -> list[tuple[str, int, list[tuple[str, int]]]]:
        """Steps from photo to read: what came, how many, and what was lost there and why."""
        scored = sum(row["status"] == "scored" for row in self.scores)
        steps: list[tuple[str, int, list[tuple[str, int]]]] = [
            ("Photographs", len(self.run.get("inputs", ())), []),
            (f"Visits{self.repeats_said}", len(self.scores), []),
            ("Visits scored by the software", scored, self.not_scored),
        ]
        if self.reads:
            steps.append(self._reads_locked())
        return steps

    @property
    def not_scored(self) -> list[tuple[str, int]]:
        """How many visits were not scored, by reason."""
        return _in_words(Counter(row["reason"] for row in self.scores if row["status"] != "scored"))

    @property
    def repeats_said(self) -> str:
        """That some of the visits are hidden repeats, and how many; "" where none is."""
        repeats = sum(bool(row.get("repeat_of")) for row in self.scores)
        return f", {repeats} hidden repeats among them" if repeats else ""

    @property
    def rows_once(self) -> list[Row]:
        """Scores without those of hidden repeats."""
        return [row for row in self.scores if not row.get("repeat_of")]

    def _reads_locked(self) -> tuple[str, int, list[tuple[str, int]]]:
        """Blind reads, of several entries the last; a table with a row for each region has four of a read."""
        reads: dict[tuple[str, ...], Row] = {}
        for row in self.reads:
            if is_blind(row) and is_latest(row):
                key = tuple(row.get(name, "") for name in ("patient", "visit", "reader", "code", "repeat_of"))
                reads[key] = row
        lost = Counter(row["ungradable"] for row in reads.values() if row.get("ungradable"))
        not_yet = sum(not is_locked(row) for row in reads.values())
        reasons = _in_words(lost) + ([("read yet", not_yet)] if not_yet else [])
        visits = len({key[:2] for key in reads})
        name = f"Blind reads with grades, of {visits} visits, whether the software scored them or not"
        return name, len(reads) - sum(lost.values()) - not_yet, reasons

    @property
    def units_corrected(self) -> int | None:
        """Of how many units patient or visit was corrected; None where no table tells."""
        return units_corrected([*self.scores, *self.reads])

    @property
    def is_before_closing(self) -> bool:
        """Whether reads on the page may still be corrected."""
        told = [is_closed(self.reads), *(made.get("reading_closed") for made in self.provenance.values())]
        return False in told

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Those of the run, but for whose photo a check was accepted at."""
        settings = dict(self.run["settings"])
        if accepted := settings.get("quality", {}).get("accepted"):
            named = sorted({one.partition("@")[0] for one in accepted})
            settings["quality"] = settings["quality"] | {"accepted": named}
        return settings

    @cached_property
    def quality(self) -> list[tuple[str, dict[str, int]]]:
        """Of every visit, how many passed the checks of quality, with how many warnings and failures."""
        by_visit: dict[str, Counter[str]] = {}
        for row in self.rows_once:
            by_visit.setdefault(row["visit"], Counter())[row.get("quality") or "not checked"] += 1
        return [
            (visit, dict(counts))
            for visit, counts in ((one, by_visit[one]) for one in in_order(by_visit, visits_of(self.outcome)))
        ]

    @property
    def many_visits(self) -> bool:
        """Whether visits are so many, as in a coded set, or so named, as of patients without a name, that a
        row for each says nothing, or too much."""
        return len(self.quality) > 24 or not any(row["patient"] for row in self.scores)

    @cached_property
    def quality_in_all(self) -> dict[str, int]:
        """The same of all visits together."""
        return dict(Counter(row.get("quality") or "not checked" for row in self.rows_once))

    @property
    def flags_said(self) -> str:
        """How many regions were graded, and how many of these have which flag."""
        graded = [flags_in(row["flag"]) for row in self.regions if row["area"]]
        counts = Counter(flag for flags in graded for flag in flags if flag != UNDECIDED)
        others = "".join(f", {flag_words((flag,))} {count}" for flag, count in counts.most_common())
        unsure = sum(UNDECIDED in flags for flags in graded)
        return (
            f"Of {len(self.regions)} regions of MASI {len(graded)} were graded; flagged of these: undecided "
            f"{unsure}{others}. Undecided: of much of its skin the software does not know whether it is "
            "pigment; look at the picture before you use it."
        )

    @cached_property
    def grades_said(self) -> str:
        """What grades are by cut points that are fitted to no panel; "" where all were set by the trial."""
        used, shipped = self.run["settings"].get("scale", {}), load_settings().scale.model_dump(mode="json")
        return " ".join(words for name, words in _BY_SHIPPED.items() if used.get(name) == shipped[name])

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

    def heading_of(self, analysis: str) -> str:
        """Name of an analysis; of a further outcome with its scale."""
        name = headline(analysis)
        if analysis not in self._others:
            return name
        low, high = self._others[analysis]
        return f"{name.replace('_', ' ')} ({low:g} to {high:g})"

    def direction_of(self, analysis: str) -> str:
        """What a high value of a further outcome is; "" of another analysis."""
        if self.protocol is None or analysis not in self._others:
            return ""
        if told := self.protocol.get("high_is", {}).get(analysis):  # those of before have no such key
            return f"A high value is {told}."
        return "Whether a high value is better or worse the protocol does not say (its key high_is)."

    @property
    def _others(self) -> Mapping[str, tuple[float, float]]:
        """Further outcomes and their least and greatest value."""
        return self.protocol["others"] if self.protocol else {}

    @property
    def asked(self) -> str:
        """What the outcome's protocol asks, in sentences; "" where it is not known."""
        if (rules := self.protocol) is None:
            return ""
        adjusted = {"dunnett": "adjusted after Dunnett", "holm": "adjusted after Holm"}
        named = rules["visits"]
        visits = ", ".join(named) if named else f"all visits but {rules['baseline']}"
        classes = ", ".join(
            f"{name.replace('_', ' ')} from {100 * at:g} %" for name, at in rules["classes"].items()
        )
        rates = (
            " Improvement is (baseline - follow-up) / baseline: above 0 is less melasma; "
            f"{classes}, below that ineffective; responders from {100 * rules['responder']:g} %."
            f"{_CHINESE_STANDARD if rules['classes'] == _shipped_classes() else ''}"
        )
        strata = rules.get("strata")  # those of before have no such key
        strata = f", strata by {', '.join(strata)} as factors, here and in the models below" if strata else ""
        return (
            f"{endpoint_name(rules)} at {rules['primary']}, with {rules['baseline']} as baseline: "
            f"{rules.get('table', 'of which table is not known')}. Every arm against {rules['control']}. "
            "Primary analysis: analysis of covariance on the patients who have both visits, the baseline as "
            f"covariate{strata}; p of all comparisons {adjusted.get(rules['multiplicity'], 'not adjusted')}. "
            f"Sensitivity analyses: a mixed model of {visits} (MMRM: unstructured covariance, degrees of "
            "freedom after Satterthwaite), which rests on visits missing at random given those that are "
            "there, the primary one on more: that, given arm and baseline, who misses the primary visit does "
            "not go by the visits between; and the primary analysis with the baseline carried forward, which "
            f"takes whoever has no primary visit for unchanged.{'' if rules['endpoint'] == AMOUNT else rates}"
        )


def endpoint_name(protocol: Mapping[str, Any] | None) -> str:
    """What the outcome is measured in, as people write it."""
    column = str(protocol["endpoint"]) if protocol else "endpoint"
    names = {"mmasi": "mMASI", "masi": "MASI", AMOUNT: "amount of pigment (OD)"}
    return names.get(column, column.replace("_", " "))


def _shipped_classes() -> Any:
    """Of improvement, as a protocol has them that says nothing of its own."""
    return read_yaml(shipped_file("configs", "outcome.yaml"))["classes"]


def _in_words(reasons: Mapping[str, int]) -> list[tuple[str, int]]:
    """How often each reason was given; what stands for it in the tables, as words."""
    return sorted(
        ("a region " * (reason in REFUSED) + flag_words((reason,)), count)
        for reason, count in reasons.items()
    )


def headline(text: str) -> str:
    """With a capital letter, the others as they are."""
    return text[:1].upper() + text[1:]
