"""Local workers: one process per core, each held by a thread that starts another when it dies."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass

from masi_vision.batch.job import Job, Outcome, Setup, refused
from masi_vision.batch.worker import Death, Worker
from masi_vision.errors import MasiError, ReasonCode
from masi_vision.visit.models import Models

# A visit whose worker dies is tried again alone, after the others. Chosen here: what kills twice by itself
# does it again; SIGKILL comes from outside, and may hit the same visit by chance.
_BY_ITSELF, _FROM_OUTSIDE = 2, 6
_LOOK_S = 0.2


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True)
class _Failure:
    """What stops the whole run."""

    error: BaseException


class Hand:
    """Holds a worker, and takes another when it has died.

    Parameters
    ----------
    time_limit_s : float
        Of one visit.
    """

    def __init__(self, setup: Setup, models: Models, time_limit_s: float) -> None:
        """Begin with empty hands: a worker is started when there is something to score."""
        self.setup, self.models, self.time_limit_s = setup, models, time_limit_s
        self._worker: Worker | None = None
        self._ended = False

    def begin(self) -> None:
        """Be ready again after `end`."""
        self._ended = False

    def score(self, job: Job) -> Outcome | Death:
        """Have a visit scored once.

        Raises
        ------
        MasiError
            Workers cannot work: one died by itself before it had a photo in hand.
        """
        self._worker = self._worker or Worker(self.setup)
        if self._ended:
            self.drop()
            return Death("", 0)
        found = self._worker.score(job, self.time_limit_s)
        if isinstance(found, Death):
            self.drop()
            if not (found.photo or found.overdue or found.from_outside or self._ended):
                raise MasiError(
                    f"A worker died before it read a photo, {found.words}. Expected it to start. See what "
                    "stands above on the screen, and try masi doctor."
                )
        return found

    def score_alone(self, job: Job) -> Outcome:
        """Have a visit scored that a worker has died of, until it is done or has killed too many."""
        by_itself = from_outside = 0
        while isinstance(found := self.score(job), Death):
            by_itself += not found.from_outside
            from_outside += found.from_outside
            # One more than are counted here: the first, among the others, has brought the visit here.
            if (
                self._ended
                or found.overdue
                or by_itself + 1 >= _BY_ITSELF
                or from_outside + 1 >= _FROM_OUTSIDE
            ):
                reason, message = _sentence(found, by_itself + from_outside + 1, self.time_limit_s)
                return refused(job, reason, message, self.setup.settings, self.models, fate="again")
        return found

    def drop(self) -> None:
        """End the worker, whatever it does."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.__exit__()

    def end(self) -> None:
        """Kill the worker, from another thread; who waits for its outcome gets its death."""
        self._ended = True
        if (worker := self._worker) is not None:
            worker.kill()


def _sentence(death: Death, deaths: int, time_limit_s: float) -> tuple[ReasonCode, str]:
    photo = death.photo or "The visit"
    if death.overdue:
        return "timed_out", (
            f"{photo} was not done after {time_limit_s:g} seconds. Expected a few. Look at the photo; run "
            "again to try it once more, with a higher --time-limit if it is very large."
        )
    return "crashed", (
        f"{photo} ended its worker {deaths} times, at last {death.words}. Expected a score. Look at the "
        "photo; run again to try it once more, with fewer --workers if memory is short."
    )


_Results = queue.SimpleQueue["Outcome | _Failure | None"]


class LocalWorkers:
    """Scores visits in processes of this machine.

    Parameters
    ----------
    count : int
        How many at once.
    time_limit_s : float
        Of one visit.
    """

    def __init__(self, setup: Setup, models: Models, count: int, time_limit_s: float) -> None:
        """Start nothing yet."""
        self._hands = [Hand(setup, models, time_limit_s) for _ in range(count)]
        self._stopped = threading.Event()

    def outcomes(self, jobs: Sequence[Job]) -> Generator[Outcome, None, None]:
        """The outcome of each visit, as they come; ending the iteration early ends the workers.

        Raises
        ------
        MasiError
            The workers cannot work at all.
        """
        waiting: queue.SimpleQueue[Job] = queue.SimpleQueue()
        suspects: queue.SimpleQueue[Job] = queue.SimpleQueue()
        results: _Results = queue.SimpleQueue()
        self._stopped.clear()
        for hand in self._hands:
            hand.begin()
        for job in jobs:
            waiting.put(job)
        try:
            yield from self._by(self._hands[: len(jobs)], self._work, (waiting, results, suspects), results)
            yield from self._by(self._hands[:1], self._work_alone, (suspects, results), results)
        finally:
            self._stopped.set()
            for hand in self._hands:
                hand.end()

    def _by(
        self, hands: Sequence[Hand], work: Callable[..., None], share: tuple[object, ...], results: _Results
    ) -> Iterator[Outcome]:
        """What the hands come to, each in a thread of its own, until each has said None."""
        for hand in hands:
            threading.Thread(target=self._guarded, args=(work, hand, results, share), daemon=True).start()
        busy = len(hands)
        while busy:
            try:
                found = results.get(timeout=_LOOK_S)  # in short steps: Ctrl-C would wait as well on Windows
            except queue.Empty:
                continue
            if isinstance(found, _Failure):
                raise found.error
            if found is None:
                busy -= 1
            else:
                yield found

    def _guarded(
        self, work: Callable[..., None], hand: Hand, results: _Results, share: tuple[object, ...]
    ) -> None:
        """Hand over what goes wrong: a thread has nobody to raise to."""
        try:
            work(hand, *share)
        except BaseException as error:
            results.put(_Failure(error))
        finally:
            try:
                hand.drop()
            finally:
                results.put(None)  # or who waits for the results waits for ever

    def _work(
        self,
        hand: Hand,
        waiting: queue.SimpleQueue[Job],
        results: _Results,
        suspects: queue.SimpleQueue[Job],
    ) -> None:
        for job in self._taken(waiting):
            found = hand.score(job)
            if isinstance(found, Outcome):
                results.put(found)
            else:
                suspects.put(job)

    def _work_alone(self, hand: Hand, suspects: queue.SimpleQueue[Job], results: _Results) -> None:
        for job in self._taken(suspects):
            results.put(hand.score_alone(job))

    def _taken(self, jobs: queue.SimpleQueue[Job]) -> Iterator[Job]:
        """Visits until there are none, or the run stops."""
        while not self._stopped.is_set():
            try:
                yield jobs.get_nowait()
            except queue.Empty:
                return
