"""Which visits of a study have to be scored, and why; the others stand finished in the ledger."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from masi_vision.batch.address import is_same_file, mark_of
from masi_vision.batch.job import Job, PhotoMark, Setup, photo_name, sha256_at
from masi_vision.batch.ledger import Ledger, Maker, Place, Record
from masi_vision.batch.study import StudyVisit
from masi_vision.names import View
from masi_vision.report.pictures import Pictures
from masi_vision.settings_file import differing
from masi_vision.written import writing

DOUBTFUL = "?"
"""Stands among a visit's pictures while they may be drawn anew: those of a stopped run are not trusted."""


@dataclass(frozen=True)
class Why:
    """Why a visit is to be scored.

    Parameters
    ----------
    kind : {"new", "shut", "changed"}
        ``new``: it does not stand in the ledger. ``shut``: a photo of it cannot be opened now, and nothing
        else is known to differ. ``changed``: what it was made of, or its pictures.
    words : str
        As a person reads it.
    """

    kind: Literal["new", "shut", "changed"]
    words: str


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
    jobs: Mapping[Place, tuple[Job, Why]]
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
        """Patient and visit of what stands in the ledger and is not in the study any more.

        An empty folder that got visits, or was taken away, is no loss.
        """
        gone = self.records.keys() - set(self.places)
        return sorted(one for one in gone if self.records[one].reason != "no_photo")

    @property
    def stood(self) -> bool:
        """Whether all that is in the study was as the run before left it."""
        known = all((one.patient, one.visit) in self.records for one in self.problems)
        return not self.jobs and not self.lost and known

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
    jobs: dict[Place, tuple[Job, Why]] = {}
    marks: dict[Place, Mapping[View, PhotoMark]] = {}
    for one in visits:
        if one.problem is not None:
            continue
        place = (one.patient, one.visit)
        record = records.get(place)
        why: Why | None = Why("new", "new")
        if record is not None:
            now = _as_now(one, record)
            why = _why(one, record, now, there, maker, ledger)
            if why is None and now != record.photos:
                marks[place] = now
        if why is not None:
            jobs[place] = Job(one.patient, one.visit, one.name, dict(one.photos)), why
    return Plan(visits, jobs, marks, records)


def _files_in(folder: Path) -> set[str]:
    """Pictures that are there; an empty file is what a power loss left of one."""
    with writing(folder):
        if not folder.is_dir():
            return set()
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if entry.is_file() and entry.stat().st_size}


def _why(
    visit: StudyVisit,
    record: Record,
    now: Mapping[View, PhotoMark],
    there: Mapping[Pictures, set[str]],
    maker: Maker,
    ledger: Ledger,
) -> Why | None:
    """Why a visit that stands in the ledger is to be scored again, every reason; None where it is not."""
    content = _of_content(visit, record, maker, ledger)
    if not content and (shut := _shut(now)):
        return Why("shut", f"photo cannot be opened: {', '.join(shut)}")
    other = [mark.name for view, mark in now.items() if mark.sha256 and _differs(mark, record.photos[view])]
    reasons = [content, f"photo changed: {', '.join(other)}" if other else ""]
    words = "; ".join(filter(None, reasons)) or _of_pictures(visit, record, there)
    return Why("changed", words) if words else None


def _differs(now: PhotoMark, before: PhotoMark) -> bool:
    """In content, or in its name, which stands in the tables; what could not be read then is not known."""
    return before.sha256 is not None and (now.name, now.sha256) != (before.name, before.sha256)


def _as_now(visit: StudyVisit, record: Record) -> dict[View, PhotoMark]:
    """The photos of a visit that its record has too, as they are now."""
    return {
        view: _marked(address, visit.marks.get(view) or mark_of(address), record.photos[view])
        for view, address in visit.photos.items()
        if view in record.photos
    }


def replaced(visits: Sequence[StudyVisit], ledgers: Sequence[Mapping[Place, Record]]) -> int:
    """How many visits that were scored stand in ledgers, if each has other photos now than in any; else 0.

    Where the first is as it was, no further photo is read.
    """
    count = 0
    for one in visits:
        known = [found for records in ledgers if (found := records.get((one.patient, one.visit)))]
        scored = [record for record in known if record.photos and record.key and not record.reason]
        if not scored:
            continue
        if not all(_are_others(record, _as_now(one, record)) for record in scored):
            return 0
        count += 1
    return count


def _are_others(record: Record, now: Mapping[View, PhotoMark]) -> bool:
    known = [mark.sha256 != record.photos[view].sha256 for view, mark in now.items() if mark.sha256]
    return bool(known) and all(known)


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
    return "; ".join(_made_otherwise(visit, record, maker, ledger))


def _made_otherwise(visit: StudyVisit, record: Record, maker: Maker, ledger: Ledger) -> Iterator[str]:
    """By what else than now a visit was scored: version, models, settings."""
    before, now = record.made, maker.made(visit.patient, visit.visit)
    if before.version != now.version:
        yield f"version changed: {before.version}, now {now.version}"
    if before.models != now.models:
        files = _keys_of(differing(ledger.models_of(before), dict(maker.provenance.models_sha256)))
        name, name_now = ledger.name_of_models((visit.patient, visit.visit)), maker.provenance.models
        yield f"models changed: {name}, now {name_now} ({files})"
    if before.slice != now.slice:
        values = json.loads(maker.values(visit.patient, visit.visit))
        yield f"settings changed: {_keys_of(differing(ledger.settings_of(before), values))}"


def _keys_of(found: Iterable[tuple[str, object, object]]) -> str:
    return ", ".join(key for key, *_ in found)


def _shut(now: Mapping[View, PhotoMark]) -> list[str]:
    return [mark.name for mark in now.values() if mark.sha256 is None]


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
    """The photo as it is now; its hash is computed only where it may have changed."""
    name = photo_name(address)
    is_known = name == known.name and is_same_file(mark, known.mark)
    return known if is_known else PhotoMark(name, sha256_at(address), mark)
