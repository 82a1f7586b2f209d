"""A run over a study: what has to be done is done once, kept visit by visit, and the tables are written."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from masi_vision.batch.address import is_remote, local_path, mark_of, shown
from masi_vision.batch.history import Result, ScoredAgain, add_to_history
from masi_vision.batch.job import Job, Outcome, PhotoMark, Setup, refused
from masi_vision.batch.ledger import LEDGER, Ledger, Maker, Place, Record, Told
from masi_vision.batch.plan import DOUBTFUL, Plan, plan_of, replaced
from masi_vision.batch.results import ResultsFolder
from masi_vision.batch.study import StudyVisit, visits_of
from masi_vision.batch.tables import Notes, write_run, write_views
from masi_vision.errors import OutputError, StudyError
from masi_vision.names import VIEWS, natural_key, place_of
from masi_vision.report.pictures import Pictures
from masi_vision.report.tables import RunFacts, RunState, models_hash
from masi_vision.report.versions import library_versions
from masi_vision.visit.folder import spelled_in_two_ways
from masi_vision.visit.models import Models
from masi_vision.visit.score import provenance_of
from masi_vision.visit.since_first import same_files
from masi_vision.written import writing

_SAMPLE = 50  # photos that are looked for before a study counts as gone
_ALL: Place = ("", "")
"""Stands for the study where a remark is on no visit alone."""
_LEAST_STUDY = 5  # visits from which on it is no chance that every photo is another


class Workers(Protocol):
    """Whatever scores visits: processes of this machine, or a cluster."""

    def outcomes(self, jobs: Sequence[Job]) -> Generator[Outcome, None, None]:
        """The outcome of each visit, as they come; closed early, it stops."""
        ...


@dataclass(frozen=True)
class Progress:
    """How far a run has come: visits done of those to be scored, and photos read in them."""

    done: int
    jobs: int
    photos: int = 0


@dataclass(frozen=True)
class Summary:
    """What a run came to.

    Parameters
    ----------
    told : sequence of Told
        Every visit of the study that has a result, in the order of the tables.
    photos_read : int
        By this run.
    remarks : sequence
        Patient and visit, and what a person should know of it.
    left : sequence of (str, str)
        Patient and visit of what is not in the study any more, and was when the last run ended. No file
        that is handed on names them: they may be of who withdrew.
    libraries : sequence
        With which libraries the photos were read, and of how many visits.
    """

    plan: Plan
    state: RunState
    told: Sequence[Told]
    photos_read: int
    seconds: float
    remarks: Sequence[tuple[Place, str]]
    left: Sequence[Place] = ()
    libraries: Sequence[tuple[Mapping[str, str], int]] = ()


@dataclass
class BatchRun:
    """A study, and the results folder that it is scored into.

    Parameters
    ----------
    study : str
        Folder or manifest, by path or address.
    results : ResultsFolder
    setup : Setup
        Its models are held to be the same for all workers.
    """

    study: str
    results: ResultsFolder
    setup: Setup
    models: Models = field(init=False)

    def __post_init__(self) -> None:
        """Prepare what all passes share."""
        self.models = self.setup.open_models()
        self.setup = replace(self.setup, models_sha256=models_hash(self.models.sha256))
        self.maker = Maker(self.setup.settings, provenance_of(self.setup.settings, self.models))
        self._in_vain: dict[Place, Mapping[str, str | None]] = {}
        self._written: object = None
        self._is_held = False

    def plan(self, ledger: Ledger) -> Plan:
        """What has to be done now; what the parts of a split study have done is taken over first.

        What this run has tried in vain it does not try again as long as the photos are the same.

        Raises
        ------
        StudyError
            The study went away, or is another than that of the ledger.
        OutputError
            Photos lie in the results folder.
        """
        records = ledger.records()
        visits, shard = self._visits(records), self.results.shard
        self._refuse_another_study(visits, records)
        if shard is not None:
            visits = [one for one in visits if shard.holds(one)]
        plan = plan_of(visits, records, ledger, self.maker, self.setup)
        if shard is None and plan.jobs:
            since = ledger.written_ns
            taken = [self._taken_over(part, plan, ledger, since) for part in self.results.parts()]
            if any(taken):
                plan = plan_of(visits, ledger.records(), ledger, self.maker, self.setup)
        jobs = {
            place: (job, why)
            for place, (job, why) in plan.jobs.items()
            if place not in self._in_vain or self._in_vain[place] != _marks(job)
        }
        return replace(plan, jobs=jobs)

    def _refuse_another_study(self, visits: Sequence[StudyVisit], records: Mapping[Place, Record]) -> None:
        """Another study may number its patients and visits alike: no photo is the one that was scored.

        A part draws over the pictures of all: when a run begins, every ledger of the folder is asked.
        """
        ledgers = [records] if self._is_held else [records, *self.results.other_records()]
        if (stood := replaced(visits, ledgers)) >= _LEAST_STUDY:
            raise StudyError(
                f"{shown(self.study)} has another photo at each of the {stood} visits that stand in the "
                "ledger. Expected the study that was scored. Name another folder with --out, also where "
                "all were replaced on purpose."
            )
        self._is_held = True

    def refuse_out_among_photos(self) -> None:
        """Look where the results would lie, by real paths, before anything is written.

        Raises
        ------
        OutputError
            In the study's own folder, above it, or beside photos.
        """
        if is_remote(self.study):
            return
        study, out = local_path(self.study).resolve(), self.results.out.resolve()
        among = study.is_dir() and out in (study, *study.parents)
        if study.is_file():
            listed = visits_of(self.study, self.setup.settings.views)
            near = {
                Path(one).parent for visit in listed for one in visit.photos.values() if not is_remote(one)
            }
            among = any(out in (one.resolve(), *one.resolve().parents) for one in near)
        if not among and study in out.parents:
            visits = visits_of(self.study, self.setup.settings.views)
            files = [address for one in visits for address in one.photos.values()]
            among = any(self.results.surround(file) and not self.results.hold(file) for file in files)
        if among:
            raise OutputError(
                f"{self.results.out}, or what lies in it, is both read and written. Expected a folder of its "
                "own for the results. Name another with --out."
            )

    def _visits(self, records: Mapping[Place, Record]) -> list[StudyVisit]:
        """The visits of the study; pictures of this very run are none."""
        found = visits_of(self.study, self.setup.settings.views)
        own, study = [], str(local_path(self.study).absolute())
        for one in found:
            folder = os.path.join(study, one.patient, one.visit, "")  # noqa: PTH118 (thousands of them)
            if self.results.hold(*one.photos.values(), folder):
                continue
            if self.results.lie_in(folder) and not one.photos:
                continue
            if self.results.surround(*one.photos.values()):
                raise OutputError(
                    f"{self.results.out} holds photos of {one.place}. Expected a folder of its own for the "
                    "results. Name another with --out."
                )
            own += _behind_it(one, records)
        had = {place for place, record in records.items() if record.photos}
        if (
            had
            and not any((one.patient, one.visit) in had for one in own)
            and not (self.results.shard and own)
        ):
            raise StudyError(
                f"{shown(self.study)} holds none of the {len(had)} visits that stand in the ledger. "
                "Expected the same study. Mount the share again, or name another folder with --out."
            )
        if had and not any(one.photos for one in own):
            raise StudyError(
                f"{shown(self.study)} holds no photo any more. Expected those that were scored. Mount the "
                "share again: what was done is kept."
            )
        if records and not _can_be_read(own):
            raise self._gone(own)
        return own

    def _gone(self, visits: Sequence[StudyVisit]) -> StudyError:
        first = next(address for one in visits for address in one.photos.values())
        return StudyError(
            f"No photo of {shown(self.study)} can be opened, such as {shown(first)}. Expected photos "
            "that are there and stay. Paths of a manifest begin at its own folder. If a share went "
            "away, mount it and run again: what was done is kept."
        )

    def stands(self, plan: Plan) -> bool:
        """Whether there is nothing to do, and the tables that this run has written tell all of it."""
        return not plan.jobs and not plan.marks and plan.state == self._written

    def _taken_over(self, part: Path, plan: Plan, ledger: Ledger, since_ns: int) -> bool:
        """Take over what a part has done, as far as it still holds; whether there was anything."""
        with self.results.copied(part / LEDGER) as other:
            records = other.records()
            there = [
                one for one in plan.visits if (one.patient, one.visit) in plan.jobs.keys() & records.keys()
            ]
            undone = plan_of(there, records, other, self.maker, self.setup).jobs
            places = [(one.patient, one.visit) for one in there]
            done = [one for one in places if one not in undone or undone[one][1].kind == "shut"]
            if not ledger.is_copy:
                self._tell_taken_over(done, plan, ledger, other)
            ledger.take_over(other.read_from, done)
        drew_last = (part / LEDGER).stat().st_mtime_ns > since_ns
        if not drew_last:  # pictures lie in one folder with those of the later run, and may be its by now
            ledger.set_pictures(_doubted({place: records[place] for place in done if place in plan.records}))
        return bool(done)

    def _tell_taken_over(self, done: Sequence[Place], plan: Plan, ledger: Ledger, other: Ledger) -> None:
        """Tell the history of results that a part's take the place of."""
        again = {place: plan.jobs[place][1].words for place in done if place in plan.records}
        now = datetime.now(UTC).isoformat(timespec="seconds")
        told = [
            ScoredAgain(
                now, len(again), *place, f"{why}; by a part", ledger.result(place), other.result(place)
            )
            for place, why in again.items()
        ]
        add_to_history(self.results.folder, told)

    def perform(
        self, plan: Plan, ledger: Ledger, workers: Workers, tell: Callable[[Progress], None]
    ) -> Summary:
        """Do what has to be done, and write the tables however it ends.

        What was to be scored and was not, for the run was stopped, stands in no table until it is.

        Raises
        ------
        MasiError
            The disk is full, the study went away, the workers cannot work: what was done is kept.
        """
        this, told_gone = _Pass(plan), ledger.gone()
        folder = self.results.folder
        try:
            write_run(folder, ledger, [], self._facts(this), this.notes)  # marks a folder of results
            ledger.mark(plan.marks)
            again = {place: plan.records[place] for place in plan.jobs if place in plan.records}
            ledger.set_pictures(_doubted(again))
            with ledger.at_once():
                for problem in plan.problems:
                    self._keep(self._refused(problem), this, ledger)
            with closing(self._outcomes(this, workers, tell)) as outcomes:
                for outcome in outcomes:
                    self._keep(outcome, this, ledger)
            this.remarks += _copies(plan.places, ledger.records())
            ledger.set_gone(plan.vanished)
            this.state, self._written = "finished", plan.state
        except KeyboardInterrupt:
            this.state = "interrupted"
        except BaseException:
            this.state = "failed"
            raise
        finally:
            write_views(folder, ledger, this.standing, self._facts(this), this.notes)
        told = ledger.told(this.standing)
        left = [place for place in plan.vanished if place not in told_gone]
        made = ledger.libraries(this.standing)
        return Summary(plan, this.state, told, this.photos, this.seconds, this.remarks, left, made)

    def _keep(self, outcome: Outcome, this: _Pass, ledger: Ledger) -> None:
        """Keep an outcome; what cannot be opened now does not replace a result that still holds."""
        place = (outcome.patient, outcome.visit)
        this.done.add(place)
        before = this.plan.records.get(place)
        if outcome.fate == "again":
            self._in_vain[place] = {view: mark.mark for view, mark in outcome.photos.items()}
        if before is not None and (shut := self._shut_for_now(before, outcome)):
            this.remarks.append((place, f"{shut} could not be read this time; the result of before stands."))
            ledger.set_pictures({place: before.pictures})
            return
        if before is not None and self._is_of_the_same(before, outcome):  # not asked for now, but still true
            sure = {kind: files for kind, files in before.pictures.items() if DOUBTFUL not in files}
            outcome = replace(outcome, pictures={**sure, **outcome.pictures})
        if place in this.again:  # told first: a run that is killed between the two tells it twice
            add_to_history(self.results.folder, [self._scored_again(outcome, this, ledger.result(place))])
        ledger.keep(outcome, self.maker)
        if before is not None:
            self._take_away(before.pictures, outcome, this.plan)

    def _scored_again(self, outcome: Outcome, this: _Pass, before: Result) -> ScoredAgain:
        place, provenance = (outcome.patient, outcome.visit), self.maker.provenance
        after = Result(
            self.maker.made(*place).version,
            provenance.settings_sha256,
            models_hash(provenance.models_sha256),
            outcome.status,
            json.loads(outcome.nested)["mmasi"],
        )
        utc = this.started.isoformat(timespec="seconds")
        return ScoredAgain(utc, len(this.again), *place, this.again[place], before, after)

    def _is_of_the_same(self, before: Record, outcome: Outcome) -> bool:
        """Whether a visit was scored to its end, of the same files, by the same models and settings."""
        hashes = {view: mark.sha256 for view, mark in outcome.photos.items()}
        is_made_alike = before.made == self.maker.made(outcome.patient, outcome.visit)
        is_named_alike = before.name == outcome.name
        return (
            outcome.fate == "done"
            and is_made_alike
            and is_named_alike
            and hashes == {view: mark.sha256 for view, mark in before.photos.items()}
        )

    def _shut_for_now(self, before: Record, outcome: Outcome) -> str:
        """What cannot be opened of a visit whose result of before holds, as far as the rest lets know."""
        if before.key is None or before.made != self.maker.made(outcome.patient, outcome.visit):
            return ""
        photos = outcome.photos
        if not photos:
            return outcome.visit if before.photos and outcome.reason == "unreadable" else ""
        opens = outcome.reason in ("crashed", "timed_out")
        holds = before.photos.keys() == photos.keys() and all(
            _is_still(before.photos[view], now, opens=opens) for view, now in photos.items()
        )
        return ", ".join(mark.name for mark in photos.values() if mark.sha256 is None) if holds else ""

    def _take_away(self, before: Mapping[Pictures, tuple[str, ...]], now: Outcome, plan: Plan) -> None:
        """Take away pictures that a visit has no longer, but for those whose name is another visit's now."""
        gone = [
            (kind, name)
            for kind, files in before.items()
            for name in set(files) - set(now.pictures.get(kind, ()))
        ]
        if not gone:
            return
        place = (now.patient, now.visit)
        others = tuple(
            f"{one.name}_{view}" for one in plan.visits if (one.patient, one.visit) != place for view in VIEWS
        )
        with writing(self.results.out):
            for kind, name in gone:
                if not name.startswith(others):
                    (self.results.out / kind / name).unlink(missing_ok=True)

    def _refused(self, visit: StudyVisit) -> Outcome:
        job = Job(visit.patient, visit.visit, visit.name, {})
        assert visit.problem is not None, "a visit without a problem"
        why = visit.problem
        return refused(job, why.reason, why.message, self.setup.settings, self.models, fate="done")

    def _outcomes(
        self, this: _Pass, workers: Workers, tell: Callable[[Progress], None]
    ) -> Generator[Outcome, None, None]:
        """Outcomes that can be kept: a visit that changed while it was read is scored once more."""
        jobs = [job for job, _ in this.plan.jobs.values()]
        changed: list[Job] = []
        tell(Progress(0, len(jobs)))
        for round_of in (jobs, changed):
            last = round_of is changed
            with closing(workers.outcomes(list(round_of))) as outcomes:
                for outcome in outcomes:
                    if outcome.fate == "changed" and not last:
                        changed.append(this.plan.jobs[outcome.patient, outcome.visit][0])
                        continue
                    self._stop_if_gone(outcome, this.plan)
                    this.photos += sum(mark.sha256 is not None for mark in outcome.photos.values())
                    yield self._unsteady(this.plan, outcome) if outcome.fate == "changed" else outcome
                    tell(Progress(len(this.done), len(jobs), this.photos))

    def _stop_if_gone(self, outcome: Outcome, plan: Plan) -> None:
        """Stop where the study itself is gone: a thousand photos that cannot be opened are no results."""
        if any(mark.sha256 is None for mark in outcome.photos.values()) and not _can_be_read(plan.visits):
            raise self._gone(plan.visits)

    def _unsteady(self, plan: Plan, outcome: Outcome) -> Outcome:
        job, _ = plan.jobs[outcome.patient, outcome.visit]
        names = ", ".join(mark.name for mark in outcome.photos.values())
        message = (
            f"{names} changed while being read, twice. Expected files that stay as they are. Run again when "
            "they have been copied."
        )
        return refused(job, "unreadable", message, self.setup.settings, self.models, fate="again")

    def _facts(self, this: _Pass) -> RunFacts:
        return RunFacts(
            self.setup.settings,
            self.maker.provenance,
            this.state,
            len(this.plan.visits),
            this.started.isoformat(timespec="seconds"),
            this.seconds,
            library_versions(),
            "" if self.results.shard is None or self.results.shard.of == 1 else str(self.results.shard),
        )


def _is_still(before: PhotoMark, now: PhotoMark, *, opens: bool) -> bool:
    """Whether a photo is that of before as far as is known: it has its content or mark, or cannot be opened.

    What ended its worker can be opened.
    """
    if now.sha256 is not None or opens:
        return now.sha256 == before.sha256 or (now.sha256 is None and now.mark in (None, before.mark))
    return now.name == before.name


class _Pass:
    """How far one pass over a study has come."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.state: RunState = "running"
        self.done: set[Place] = set()
        self.photos = 0
        self.remarks = [((one.patient, one.visit), remark) for one in plan.visits for remark in one.remarks]
        self.remarks += [(_ALL, one) for one in spelled_in_two_ways(plan.places)]
        self.again = {place: why.words for place, (_, why) in plan.jobs.items() if why.kind != "new"}
        self.again |= {place: f"nothing to score any more: {why}" for place, why in plan.lost.items()}
        self.started, self._clock = datetime.now(UTC), time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._clock

    @property
    def standing(self) -> list[Place]:
        """Visits whose result in the ledger is that of the photos, settings and models of now."""
        return [place for place in self.plan.places if place in self.done or place not in self.plan.jobs]

    @property
    def notes(self) -> Notes:
        """What run.json tells beside what stands in the ledger."""
        return Notes(
            [{"patient": patient, "visit": visit, "remark": one} for (patient, visit), one in self.remarks],
            [
                {"patient": patient, "visit": visit, "why": why}
                for (patient, visit), why in self.again.items()
            ],
        )


def _behind_it(visit: StudyVisit, records: Mapping[Place, Record]) -> list[StudyVisit]:
    """The visits that are known behind a folder that cannot be opened now; the folder where it is a visit."""
    if visit.problem is None or visit.problem.reason != "unreadable":
        return [visit]
    folder = place_of(visit.patient, visit.visit)
    behind = [place for place in records if f"{place[0]}/".startswith(f"{folder}/")]
    return [
        replace(visit, patient=patient, visit=name, name=records[patient, name].name)
        for patient, name in sorted(behind, key=lambda place: tuple(map(natural_key, place)))
    ] or [visit]


def _doubted(records: Mapping[Place, Record]) -> dict[Place, dict[Pictures, tuple[str, ...]]]:
    """Pictures of visits that have any, as those that may not be theirs."""
    return {
        place: {kind: (*files, DOUBTFUL) for kind, files in record.pictures.items()}
        for place, record in records.items()
        if record.pictures
    }


def _copies(places: Sequence[Place], records: Mapping[Place, Record]) -> list[tuple[Place, str]]:
    """Remarks on photos that are another visit's to the byte: one of the two was copied by mistake."""
    photos = [
        ((place, mark.name), mark.sha256)
        for place in places
        if place in records
        for mark in records[place].photos.values()
    ]
    found = []
    for (first, name), *others in same_files(photos):
        words = f"is byte for byte {name} of {place_of(*first)}. Expected another photo."
        remedy = "Copy it from the camera again."
        found += [(place, f"{copy} {words} {remedy}") for place, copy in others]
    return found


def _marks(job: Job) -> dict[str, str | None]:
    return {view: mark_of(address) for view, address in job.photos.items()}


def _can_be_read(visits: Sequence[StudyVisit]) -> bool:
    """Whether any photo of a study is there; of a large study some are looked for."""
    photos = [address for one in visits for address in one.photos.values()]
    some = photos[:: max(1, len(photos) // _SAMPLE)]
    return not photos or any(mark_of(address) is not None for address in some)
