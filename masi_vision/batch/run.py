"""A run over a study: what has to be done is done once, kept visit by visit, and the tables are written."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from filelock import FileLock, Timeout

from masi_vision.batch.address import is_there, mark_of
from masi_vision.batch.job import Job, Outcome, Setup, refused
from masi_vision.batch.ledger import LEDGER, Ledger, Maker, Place, Told
from masi_vision.batch.plan import Plan, plan_of
from masi_vision.batch.study import StudyVisit, visits_of
from masi_vision.batch.tables import write_run, write_views
from masi_vision.errors import OutputError, StudyError
from masi_vision.report.pictures import MASKS, OVERLAYS, make_folders
from masi_vision.report.tables import PART, TABLES, RunFacts, RunState, writing
from masi_vision.report.versions import library_versions
from masi_vision.visit.models import Models, shipped_models
from masi_vision.visit.score import provenance_of
from masi_vision.visit.seen import View

LOCK, SHARDS = ".run.lock", "shards"


class Workers(Protocol):
    """Whatever scores visits: processes of this machine, or a cluster."""

    def outcomes(self, jobs: Sequence[Job]) -> Generator[Outcome, None, None]:
        """The outcome of each visit, as they come; closed early, it stops."""
        ...


@dataclass(frozen=True)
class Shard:
    """One part of a study that is split without a scheduler.

    Parameters
    ----------
    number, of : int
        From 1 on.
    """

    number: int
    of: int

    def __post_init__(self) -> None:
        """Refuse a part that is none."""
        if not 1 <= self.number <= self.of:
            raise ValueError(f"a shard must be one of 1/{self.of} to {self.of}/{self.of}, got {self}")

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read I/N."""
        found = re.fullmatch(r"(\d+)/(\d+)", text)
        if not found:
            raise ValueError(f"a shard must be I/N such as 3/16, got {text!r}")
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        """I/N."""
        return f"{self.number}/{self.of}"

    def holds(self, visit: StudyVisit) -> bool:
        """Whether a visit belongs to this part: by its name, so that another new visit moves none."""
        digest = sha256(f"{visit.patient}/{visit.visit}".encode()).digest()
        return int.from_bytes(digest[:8], "big") % self.of == self.number - 1

    def folder(self, out: Path) -> Path:
        """Where its ledger and tables lie."""
        return out / SHARDS / f"{self.number:04d}-of-{self.of:04d}"


@dataclass(frozen=True)
class Progress:
    """How far a run has come.

    Parameters
    ----------
    done, jobs : int
        Visits, of those that have to be scored.
    photos : int
        In the visits done.
    last : str
        PATIENT/VISIT that was done last.
    """

    done: int
    jobs: int
    photos: int = 0
    last: str = ""


@dataclass(frozen=True)
class Summary:
    """What a run came to.

    Parameters
    ----------
    told : sequence of Told
        Every visit of the study that has a result, in the order of the tables.
    """

    plan: Plan
    state: RunState
    told: Sequence[Told]
    photos_scored: int
    seconds: float


@dataclass
class BatchRun:
    """A results folder, held by one run.

    Parameters
    ----------
    study : str
        Folder or manifest, by path or address.
    out : Path
    setup : Setup
        `setup.out` is where pictures go.
    shard : Shard or None
    """

    study: str
    out: Path
    setup: Setup
    shard: Shard | None = None
    models: Models = field(default_factory=shipped_models)

    def __post_init__(self) -> None:
        """Prepare what all passes share."""
        provenance = provenance_of(self.setup.settings, self.models)
        self.maker = Maker(self.setup.settings, provenance)
        self._in_vain: dict[Place, Marks] = {}
        self._written: object = None
        self._started, self._clock = datetime.now(UTC), time.monotonic()

    @property
    def folder(self) -> Path:
        """Where ledger and tables lie."""
        return self.out if self.shard is None else self.shard.folder(self.out)

    @contextmanager
    def held(self) -> Iterator[Ledger]:
        """Hold the results folder, alone.

        Raises
        ------
        OutputError
            Another run holds it, or it cannot be used.
        """
        _check_out(self.folder)
        make_folders(self.out, self.setup.pictures)
        with ExitStack() as stack:
            with writing(self.folder):
                self.folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(_locked(self.folder))
            if self.shard is None:
                for folder in _shards_of(self.out):
                    stack.enter_context(_locked(folder))
                _clear_parts(self.out)
                stack.callback(_clear_parts, self.out)
            yield stack.enter_context(Ledger(self.folder / LEDGER))

    @contextmanager
    def looked_at(self) -> Iterator[Ledger]:
        """The ledger as it stands, or an empty one: nothing is written."""
        file = self.folder / LEDGER
        with Ledger(Path(":memory:")) as ledger:
            if file.exists():
                with Ledger(file) as there:
                    ledger.take_over(file, list(there.records()))
            yield ledger

    def plan(self, ledger: Ledger) -> Plan:
        """What has to be done now; what shards have done is taken over first.

        What this run has tried in vain it does not try again as long as the photos are the same.
        """
        visits = visits_of(self.study, self.setup.settings.views)
        if ledger.records() and not is_there(self.study):
            raise StudyError(
                f"{self.study} is empty, though visits of it stand in the ledger. Expected them. Mount the "
                "share again, or name another folder with --out."
            )
        if self.shard is not None:
            visits = [one for one in visits if self.shard.holds(one)]
        plan = plan_of(visits, ledger.records(), ledger, self.maker, self.setup)
        if self.shard is None and plan.jobs:
            for folder in _shards_of(self.out):
                self._take_over(folder, plan, ledger)
            plan = plan_of(visits, ledger.records(), ledger, self.maker, self.setup)
        jobs = {
            place: (job, why)
            for place, (job, why) in plan.jobs.items()
            if self._in_vain.get(place) != _marks(job)
        }
        return replace(plan, jobs=jobs)

    def stands(self, plan: Plan) -> bool:
        """Whether there is nothing to do, and the tables that this run has written tell all of it."""
        return not plan.jobs and not plan.marks and plan.state == self._written

    def _take_over(self, folder: Path, plan: Plan, ledger: Ledger) -> None:
        with Ledger(folder / LEDGER) as other:
            wanted = [one for one in plan.visits if (one.patient, one.visit) in plan.jobs]
            records = other.records()
            there = [one for one in wanted if (one.patient, one.visit) in records]
            undone = plan_of(there, records, other, self.maker, self.setup).jobs
        done = [place for one in there if (place := (one.patient, one.visit)) not in undone]
        if done:
            ledger.take_over(folder / LEDGER, done)

    def perform(
        self, plan: Plan, ledger: Ledger, workers: Workers, tell: Callable[[Progress], None]
    ) -> Summary:
        """Do what has to be done, and write the tables however it ends.

        Raises
        ------
        MasiError
            The disk is full, the study went away, the workers cannot work: what was done is kept.
        """
        state: RunState = "running"
        photos = 0
        try:
            write_run(self.folder, ledger, [], self._facts(plan, "running"))  # marks a folder of results
            ledger.mark(plan.marks)
            for problem in plan.problems:
                ledger.keep(self._refused(problem), self.maker)
            with closing(self._outcomes(plan, workers, tell)) as outcomes:
                for outcome in outcomes:
                    if outcome.fate == "again":
                        place = (outcome.patient, outcome.visit)
                        self._in_vain[place] = _marks(plan.jobs[place][0])
                    ledger.keep(outcome, self.maker)
                    photos += len(outcome.photos)
            state, self._written = "finished", plan.state
        except KeyboardInterrupt:
            state = "interrupted"
        except BaseException:
            state = "failed"
            raise
        finally:
            write_views(self.folder, ledger, plan.places, self._facts(plan, state))
        return Summary(plan, state, ledger.told(plan.places), photos, time.monotonic() - self._clock)

    def _refused(self, visit: StudyVisit) -> Outcome:
        job = Job(visit.patient, visit.visit, visit.name, {}, visit.remarks)
        assert visit.problem is not None, "a visit without a problem"
        why = visit.problem
        return refused(job, why.reason, why.message, self.setup.settings, self.models, fate="done")

    def _outcomes(
        self, plan: Plan, workers: Workers, tell: Callable[[Progress], None]
    ) -> Generator[Outcome, None, None]:
        """Outcomes that can be kept: a visit that changed while it was read is scored once more."""
        jobs = [job for job, _ in plan.jobs.values()]
        progress = Progress(0, len(jobs))
        changed: list[Job] = []
        tell(progress)
        with closing(workers.outcomes(jobs)) as outcomes:
            for outcome in outcomes:
                if outcome.fate == "changed":
                    changed.append(plan.jobs[outcome.patient, outcome.visit][0])
                    continue
                progress = self._kept(outcome, progress, tell)
                yield outcome
        with closing(workers.outcomes(changed)) as outcomes:
            for outcome in outcomes:
                progress = self._kept(outcome, progress, tell)
                yield self._unsteady(plan, outcome) if outcome.fate == "changed" else outcome

    def _kept(self, outcome: Outcome, progress: Progress, tell: Callable[[Progress], None]) -> Progress:
        """Stop where the study itself is gone: a thousand photos that cannot be opened are no results."""
        if any(mark.sha256 is None for mark in outcome.photos.values()) and not is_there(self.study):
            raise StudyError(
                f"{self.study} went away while it was read. Expected it to stay. Mount it again and run "
                "again: what was done is kept."
            )
        place = f"{outcome.patient}/{outcome.visit}".strip("/")
        progress = Progress(progress.done + 1, progress.jobs, progress.photos + len(outcome.photos), place)
        tell(progress)
        return progress

    def _unsteady(self, plan: Plan, outcome: Outcome) -> Outcome:
        job, _ = plan.jobs[outcome.patient, outcome.visit]
        message = (
            "The photos changed while they were read, twice. Expected files that stay as they are. Run again "
            "when they have been copied."
        )
        return refused(job, "unreadable", message, self.setup.settings, self.models, fate="again")

    def _facts(self, plan: Plan, state: RunState) -> RunFacts:
        return RunFacts(
            self.setup.settings,
            self.maker.provenance,
            state,
            len(plan.visits),
            self._started.isoformat(timespec="seconds"),
            time.monotonic() - self._clock,
            library_versions(),
        )


Marks = dict[View, str | None]


def _marks(job: Job) -> Marks:
    return {view: mark_of(address) for view, address in job.photos.items()}


def _shards_of(out: Path) -> list[Path]:
    return sorted(ledger.parent for ledger in (out / SHARDS).glob(f"*/{LEDGER}"))


def _check_out(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file. Expected a folder. Name another with --out.")
    held = [name for name in TABLES if (folder / name).exists()]
    if held and not (folder / LEDGER).exists():
        raise OutputError(
            f"{folder} holds {', '.join(held)} of another verb. Expected a new folder, or one of masi batch. "
            "Name another with --out."
        )


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a folder against other runs; the system lets go of it when the run dies."""
    lock = FileLock(folder / LOCK, timeout=0)
    with writing(folder):
        try:
            lock.acquire()
        except Timeout as error:
            raise OutputError(
                f"Another run works in {folder}. Expected none. Wait until it is done, or name another "
                "folder with --out."
            ) from error
    try:
        yield
    finally:
        lock.release()


def _clear_parts(out: Path) -> None:
    """Take away what a killed run or worker was writing."""
    with writing(out):
        for folder in (out, out / OVERLAYS, out / MASKS):
            for part in folder.glob(f".*{PART}"):
                part.unlink(missing_ok=True)
