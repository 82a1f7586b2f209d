"""Which visits of a study have to be scored, and why; the others stand finished in the ledger."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from masi_vision.batch.address import at_hand, mark_of
from masi_vision.batch.job import Job, PhotoMark, Setup, photo_name
from masi_vision.batch.ledger import Ledger, Maker, Place, Record
from masi_vision.batch.study import StudyVisit
from masi_vision.names import View
from masi_vision.report.pictures import Pictures
from masi_vision.written import writing

DOUBTFUL = "?"
"""Stands among a visit's pictures while they may be drawn anew: those of a stopped run are not trusted."""


@dataclass(frozen=True)
class Plan:
    """What a run has to do.

    Parameters
    ----------
    visits : sequence of StudyVisit
        All of the study, in the order of the tables.
    jobs : mapping
        Patient and visit of those to be scored: what to do, and why.
    marks : mapping
        Visits whose photos were written anew with the same content.
    records : mapping
        What stood in the ledger.
    """

    visits: Sequence[StudyVisit]
    jobs: Mapping[Place, tuple[Job, str]]
    marks: Mapping[Place, Mapping[View, PhotoMark]]
    records: Mapping[Place, Record]

    @property
    def places(self) -> list[Place]:
        """Patient and visit of all visits."""
        return [(one.patient, one.visit) for one in self.visits]

    @property
    def state(self) -> object:
        """What the tables of a run that has nothing to do depend on: equal means that they stand."""
        problems = [(one.patient, one.visit, str(one.problem)) for one in self.problems]
        return self.places, problems, [one.remarks for one in self.visits]

    @property
    def vanished(self) -> list[Place]:
        """Patient and visit of what stands in the ledger and is not in the study any more."""
        return sorted(self.records.keys() - set(self.places))

    @property
    def stood(self) -> bool:
        """Whether all was as the run before left it."""
        return not self.jobs and not self.vanished and not self.lost

    @property
    def lost(self) -> dict[Place, str]:
        """Visits in which there is nothing to score any more, though they were: the reason."""
        return {
            (one.patient, one.visit): str(one.problem)
            for one in self.problems
            if (record := self.records.get((one.patient, one.visit))) and record.photos
            if one.problem is not None and one.problem.reason != "unreadable"  # then its result stands
        }

    @property
    def problems(self) -> list[StudyVisit]:
        """Visits in which there is nothing to score."""
        return [one for one in self.visits if one.problem is not None]


def plan_of(
    visits: Sequence[StudyVisit],
    records: Mapping[Place, Record],
    ledger: Ledger,
    maker: Maker,
    setup: Setup,
) -> Plan:
    """Hold the visits of a study against the ledger.

    Parameters
    ----------
    records : mapping
        What stands in the ledger.

    Notes
    -----
    A photo whose size and times of writing and change are what they were is taken for the same; any other is
    read and its hash compared.
    """
    there = {kind: _files_in(Path(setup.out) / kind) for kind in setup.pictures}
    jobs: dict[Place, tuple[Job, str]] = {}
    marks: dict[Place, Mapping[View, PhotoMark]] = {}
    for one in visits:
        if one.problem is not None:
            continue
        place = (one.patient, one.visit)
        record = records.get(place)
        why = "new" if record is None else _of_content(one, record, maker, ledger)
        if record is not None and not why:
            now = {
                view: _marked(address, one.marks.get(view) or mark_of(address), record.photos[view])
                for view, address in one.photos.items()
            }
            why = _of_photos(record, now) or _of_pictures(one, record, there)
            if not why and now != record.photos:
                marks[place] = now
        if why:
            jobs[place] = Job(one.patient, one.visit, one.name, dict(one.photos)), why
    return Plan(visits, jobs, marks, records)


def _files_in(folder: Path) -> set[str]:
    with writing(folder):
        return {file.name for file in folder.iterdir()} if folder.is_dir() else set()


def _of_content(visit: StudyVisit, record: Record, maker: Maker, ledger: Ledger) -> str:
    """Why a visit is to be scored again, before its photos are looked at."""
    if record.key is None:
        return f"tried again: {record.reason or 'a photo could not be read'}"
    added, gone = visit.photos.keys() - record.photos.keys(), record.photos.keys() - visit.photos.keys()
    if added or gone:
        changes = [
            f"{view} view {word}" for word, views in (("added", added), ("gone", gone)) for view in views
        ]
        return ", ".join(sorted(changes))
    before, now = record.made, maker.made(visit.patient, visit.visit)
    if before.version != now.version:
        return f"version changed: {before.version}, now {now.version}"
    if before.models != now.models:
        files = _differing(ledger.models_of(before), dict(maker.provenance.models_sha256))
        return f"models changed: {', '.join(files)}"
    if before.slice != now.slice:
        values = json.loads(maker.values(visit.patient, visit.visit))
        return f"settings changed: {', '.join(_differing(ledger.settings_of(before), values))}"
    return ""


def _differing(before: Mapping[str, Any], now: Mapping[str, Any], above: str = "") -> list[str]:
    """Keys whose values differ, with those above them."""
    found: list[str] = []
    for key in sorted(before.keys() | now.keys()):
        one, other = before.get(key), now.get(key)
        if isinstance(one, dict) and isinstance(other, dict):
            found += _differing(one, other, f"{above}{key}.")
        elif one != other:
            found.append(f"{above}{key}")
    return found


def _of_photos(record: Record, now: Mapping[View, PhotoMark]) -> str:
    shut = [
        mark.name
        for view, mark in now.items()
        if mark.mark is None or (mark.sha256 is None and mark.name == record.photos[view].name)
    ]
    if shut:
        return f"photo cannot be opened: {', '.join(shut)}"
    changed = [mark.name for view, mark in now.items() if mark.sha256 != record.photos[view].sha256]
    return f"photo changed: {', '.join(changed)}" if changed else ""


def _of_pictures(visit: StudyVisit, record: Record, there: Mapping[Pictures, set[str]]) -> str:
    if any(DOUBTFUL in files for files in record.pictures.values()):
        return "its pictures may be of another run"
    for kind, files in there.items():
        if kind not in record.pictures:
            return f"{kind} asked for"
        if visit.name != record.name:
            return f"{kind} named anew, for another visit has their name"
        if not files.issuperset(record.pictures[kind]):
            return f"{kind} gone"
    return ""


def _marked(address: str, mark: str | None, known: PhotoMark) -> PhotoMark:
    """The photo as it is now; its hash is computed only where it may have changed.

    One of another name has another hash: names stand in the tables.
    """
    name = photo_name(address)
    if name != known.name:
        return PhotoMark(name, None, mark)
    return known if mark is not None and mark == known.mark else PhotoMark(name, _sha256(address), mark)


def _sha256(address: str) -> str | None:
    try:
        with at_hand({"front": address}) as files:
            if not files["front"].is_file():  # a pipe would keep us for ever
                return None
            with files["front"].open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
