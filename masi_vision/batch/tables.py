"""The tables of a study: views of its ledger, visit by visit, so that a million photos need no memory."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from masi_vision.batch.ledger import Column, Ledger, Place
from masi_vision.csv_table import csv_text
from masi_vision.report.tables import (
    REGION_COLUMNS,
    REGIONS_CSV,
    RUN_JSON,
    SCORE_COLUMNS,
    SCORES_CSV,
    SCORES_JSON,
    RunFacts,
    run_facts,
)
from masi_vision.written import json_items, json_text, write_pieces


@dataclass(frozen=True)
class Notes:
    """What run.json tells of visits beside what stands in the ledger.

    Parameters
    ----------
    remarks, again : list of dict
        What a person should know of a visit; which was scored again, and why.
    """

    remarks: list[dict[str, str]]
    again: list[dict[str, str]]


def write_views(out: Path, ledger: Ledger, visits: Sequence[Place], facts: RunFacts, notes: Notes) -> None:
    """Write the four tables of these visits, in this order; run.json last."""

    def column(name: Column) -> Iterator[str]:
        return ledger.column(name, visits, facts.provenance)

    _write(out / SCORES_CSV, [csv_text(SCORE_COLUMNS, [])], column("scores"))
    _write(out / REGIONS_CSV, [csv_text(REGION_COLUMNS, [])], column("regions"))
    _write(out / SCORES_JSON, _listed(column("nested")))
    write_run(out, ledger, visits, facts, notes)


def write_run(out: Path, ledger: Ledger, visits: Sequence[Place], facts: RunFacts, notes: Notes) -> None:
    """Write run.json alone."""
    _write(out / RUN_JSON, _run_pieces(ledger, visits, facts, notes))


def _write(path: Path, *pieces: Iterator[str] | Sequence[str]) -> None:
    write_pieces(path, (piece.encode() for some in pieces for piece in some))


def _listed(items: Iterator[str]) -> Iterator[str]:
    """Items as a list of JSON, as `json_text` lays it out."""
    first = next(items, None)
    if first is None:
        yield "[]\n"
        return
    yield f"[\n{first}"
    for item in items:
        yield f",\n{item}"
    yield "\n]\n"


def _run_pieces(ledger: Ledger, visits: Sequence[Place], facts: RunFacts, notes: Notes) -> Iterator[str]:
    """run.json, its long lists piece by piece."""
    told = ledger.told(visits)
    reasons = Counter(one.reason for one in told if one.status == "not_scored")
    made = ledger.libraries(visits)
    if made:  # not those of this run, which may have scored none of them
        sets = [{"visits": count, "libraries": one} for one, count in made]
        facts = replace(facts, libraries=sets if len(sets) > 1 else made[0][0])
    head, foot = run_facts(facts, len(told) - reasons.total(), reasons)
    yield json_text(head)[:-3]
    for name, items in (
        ("refused", _noted(ledger, visits, facts, "refused")),
        ("remarks", _items(notes.remarks)),
        ("again", _items(notes.again)),
        ("inputs", _noted(ledger, visits, facts, "inputs")),
    ):
        yield f',\n "{name}": '
        yield from _shifted(_listed(items))
    yield "," + json_text(foot)[1:]


def _noted(ledger: Ledger, visits: Sequence[Place], facts: RunFacts, name: str) -> Iterator[str]:
    for text in ledger.column("notes", visits, facts.provenance):
        yield from _items(json.loads(text)[name])


def _items(values: Sequence[object]) -> Iterator[str]:
    if values:
        yield json_items(values)


def _shifted(pieces: Iterator[str]) -> Iterator[str]:
    """One level deeper, and without the last line's end."""
    for piece in pieces:
        yield piece.rstrip("\n").replace("\n", "\n ")
