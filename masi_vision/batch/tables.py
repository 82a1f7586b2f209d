"""The tables of a study: views of its ledger, visit by visit, so that a million photos need no memory."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from masi_vision.batch.ledger import Column, Ledger, Place
from masi_vision.report.tables import (
    REGION_COLUMNS,
    REGIONS_CSV,
    RUN_JSON,
    SCORE_COLUMNS,
    SCORES_CSV,
    SCORES_JSON,
    RunFacts,
    csv_text,
    json_items,
    json_text,
    run_facts,
    write_pieces,
)


def write_views(out: Path, ledger: Ledger, visits: Sequence[Place], facts: RunFacts) -> None:
    """Write the four tables of these visits, in this order; run.json last."""
    settings = facts.settings.sha256

    def column(name: Column) -> Iterator[str]:
        return ledger.column(name, visits, settings)

    _write(out / SCORES_CSV, [csv_text(SCORE_COLUMNS, [])], column("scores"))
    _write(out / REGIONS_CSV, [csv_text(REGION_COLUMNS, [])], column("regions"))
    _write(out / SCORES_JSON, _listed(column("nested")))
    write_run(out, ledger, visits, facts)


def write_run(out: Path, ledger: Ledger, visits: Sequence[Place], facts: RunFacts) -> None:
    """Write run.json alone."""
    _write(out / RUN_JSON, _run_pieces(ledger, visits, facts))


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


def _run_pieces(ledger: Ledger, visits: Sequence[Place], facts: RunFacts) -> Iterator[str]:
    """run.json, its long lists piece by piece."""
    told = ledger.told(visits)
    reasons = Counter(one.reason for one in told if one.status == "not_scored")
    head, foot = run_facts(facts, len(told) - reasons.total(), reasons)
    yield json_text(head)[:-3]
    for name in ("refused", "remarks", "inputs"):
        yield f',\n "{name}": '
        yield from _shifted(_listed(_notes(ledger, visits, facts, name)))
    yield "," + json_text(foot)[1:]


def _notes(ledger: Ledger, visits: Sequence[Place], facts: RunFacts, name: str) -> Iterator[str]:
    for text in ledger.column("notes", visits, facts.settings.sha256):
        values: list[dict[str, Any]] = json.loads(text)[name]
        if values:
            yield json_items(values)


def _shifted(pieces: Iterator[str]) -> Iterator[str]:
    """One level deeper, and without the last line's end."""
    for piece in pieces:
        yield piece.rstrip("\n").replace("\n", "\n ")
