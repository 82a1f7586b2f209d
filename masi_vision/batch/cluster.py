"""Visits on a Dask cluster: the same workers, held by the cluster's own.

Dask hands out the visits and hands them out again when a machine is lost. Each of its workers holds a process
of ours for each of its threads, so that a photo that kills its process, or never ends, takes nothing along.
"""

from __future__ import annotations

import asyncio
import queue
import re
from collections.abc import Generator, Sequence
from typing import Any

from masi_vision.batch.address import shown, words_of
from masi_vision.batch.job import Job, Outcome, Setup, refused
from masi_vision.batch.pool import Hand
from masi_vision.batch.worker import Death
from masi_vision.errors import MasiError, ModelError, StudyError, how_to_install
from masi_vision.report.tables import models_hash
from masi_vision.source_code import version_and_code
from masi_vision.visit.models import Models

_IN_FLIGHT = 4  # visits per thread of the cluster that wait there; the scheduler holds no million tasks
_CONNECT_S = 20
_hands: dict[tuple[str, float], queue.SimpleQueue[Hand]] = {}  # of this process of the cluster, not in use


class ClusterWorkers:
    """Scores visits on the cluster behind an address.

    Parameters
    ----------
    address : str
        Of the scheduler, such as ``tcp://10.0.0.1:8786``.
    time_limit_s : float
        Of one visit.
    """

    def __init__(self, setup: Setup, models: Models, address: str, time_limit_s: float) -> None:
        """Connect to nothing yet."""
        self.setup, self.models, self.address, self.time_limit_s = setup, models, address, time_limit_s

    def outcomes(self, jobs: Sequence[Job]) -> Generator[Outcome, None, None]:
        """The outcome of each visit, as they come.

        Raises
        ------
        StudyError
            The cluster cannot be reached, goes away, or has another version or other models.
        """
        try:
            from distributed import CancelledError, Client, as_completed
        except ImportError as error:
            raise StudyError(
                f"Dask is not installed. Expected it for --cluster. {how_to_install('cluster')}"
            ) from error
        if not re.fullmatch(r"(\w+://)?\S+:\d+(/\S*)?|inproc://\S+", self.address):
            raise StudyError(
                f"--cluster is {shown(self.address)!r}. Expected the address of a Dask scheduler, such as "
                "tcp://host:8786. Look at what the scheduler printed when it was started."
            )
        if not jobs:
            return
        waiting = iter(jobs)
        asked: dict[Any, Job] = {}
        try:
            _refuse_no_scheduler(self.address)
            with Client(self.address, timeout=_CONNECT_S, set_as_default=False) as client:
                client.wait_for_workers(1, timeout=_CONNECT_S)
                threads = sum(client.nthreads().values())

                def ask() -> list[Any]:
                    job = next(waiting, None)
                    return [] if job is None else [self._asked(client, job, asked)]

                first = [one for _ in range(_IN_FLIGHT * threads) for one in ask()]
                done = as_completed(first, loop=client.loop)
                for future in done:
                    yield self._outcome(future, asked.pop(future))
                    done.update(ask())
        except (OSError, ValueError, TimeoutError, CancelledError) as error:
            raise StudyError(
                f"The cluster at {shown(self.address)} cannot be reached, has no workers, or went away "
                f"({shown(str(error))}). "
                "Expected a Dask scheduler with workers. Run again when it is up: what was done is kept."
            ) from error

    def _asked(self, client: Any, job: Job, asked: dict[Any, Job]) -> Any:
        made = (version_and_code(), models_hash(self.models.sha256))
        setup = self.setup.to_json()
        future = client.submit(score_there, job.to_json(), setup, self.time_limit_s, made, pure=False)
        asked[future] = job
        return future

    def _outcome(self, future: Any, job: Job) -> Outcome:
        from distributed import KilledWorker

        try:
            return Outcome.from_json(future.result())
        except KilledWorker:
            sentence = (
                "The cluster lost every worker that had this visit. Expected a score. Look at its photos; "
                "run again to try it once more."
            )
            return refused(job, "crashed", sentence, self.setup.settings, self.models, fate="again")


def _refuse_no_scheduler(address: str) -> None:
    """Look in time whether a scheduler answers: Dask waits without end for the first word of what is none.

    Raises
    ------
    StudyError
        Nothing is there, or it says nothing, or what no scheduler says.
    """
    from distributed import Client

    async def look() -> None:
        await _refuse_shut_door(address)
        client = Client(address, timeout=_CONNECT_S, set_as_default=False, asynchronous=True)
        try:
            await asyncio.wait_for(client, _CONNECT_S)
        finally:
            await client.close(timeout=_CONNECT_S)

    if address.startswith("inproc://"):  # a scheduler of this very process
        return
    expected = (
        "Expected the address of a scheduler that runs, such as tcp://host:8786. Look at what it printed "
        "when it was started, and run again when it is up: what was done is kept."
    )
    try:
        asyncio.run(look())
    except OSError as error:
        why = f"nothing in {_CONNECT_S} s" if isinstance(error, TimeoutError) else words_of(error)
        raise StudyError(f"No Dask scheduler answers at {shown(address)} ({why}). {expected}") from error
    except Exception as error:  # each thing that is no scheduler answers in its own way
        # What is no message of Dask may be read as one of exabytes: nobody needs more memory.
        why = "" if isinstance(error, MemoryError) else f" ({words_of(error)})"
        raise StudyError(
            f"What is at {shown(address)} is no Dask scheduler to be used{why}. {expected}"
        ) from error


async def _refuse_shut_door(address: str) -> None:
    """Connect once: Dask tries again until its time is over, and tells neither a refusal nor an unknown host.

    Raises
    ------
    OSError
    """
    door = re.fullmatch(r"(?:(?:tcp|tls)://)?\[?([^/\]]+)\]?:(\d+)(?:/.*)?", address)
    if door is not None:  # of another kind, which Dask may know how to reach
        _, writer = await asyncio.wait_for(asyncio.open_connection(door[1], int(door[2])), _CONNECT_S)
        writer.close()


def score_there(job_line: str, setup_line: str, time_limit_s: float, made: tuple[str, str]) -> str:
    """Score a visit on a machine of the cluster.

    Parameters
    ----------
    made : (str, str)
        Version with code, and hash of the models, which must be those of the run.
    """
    job, setup = Job.from_json(job_line), Setup.from_json(setup_line)
    try:
        models = setup.open_models()
    except ModelError as error:
        raise StudyError(
            f"On a machine of the cluster: {error} Every machine needs the same models under the same path; "
            "restart the cluster's workers when models were exchanged."
        ) from error
    here = (version_and_code(), models_hash(models.sha256))
    if here != tuple(made):
        raise StudyError(
            f"A machine of the cluster has masi_vision {here[0]} with models {here[1][:8]}. Expected "
            f"{made[0]} with {made[1][:8]}. Install the same on all machines."
        )
    free = _free_hands((setup_line, time_limit_s))
    try:
        hand = free.get_nowait()
    except queue.Empty:
        hand = Hand(setup, models, time_limit_s)
    try:
        found = hand.score(job)
        return (hand.score_alone(job) if isinstance(found, Death) else found).to_json()
    except MasiError:
        hand.drop()
        raise
    finally:
        free.put(hand)


def _free_hands(order: tuple[str, float]) -> queue.SimpleQueue[Hand]:
    """Hands of this order that are not in use; those of an earlier order end their workers."""
    for other in [one for one in list(_hands) if one != order]:
        earlier = _hands.pop(other, None)
        while earlier is not None and not earlier.empty():
            earlier.get().drop()
    return _hands.setdefault(order, queue.SimpleQueue())
