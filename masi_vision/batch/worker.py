"""A worker: a process of its own that scores one visit after another.

Visits come in on stdin and outcomes go out on stdout, one JSON object to a line. A worker that dies takes
nothing with it but the visit in its hands, and who started it knows which photo that was.

python -m masi_vision.batch.worker
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

import masi_vision
from masi_vision.batch.job import Job, Outcome, Setup, refused, score_job
from masi_vision.errors import MasiError, ModelError, OutputError, reason_of

_PACKAGES = str(Path(masi_vision.__file__).resolve().parents[1])
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Death:
    """A worker died.

    Parameters
    ----------
    photo : str
        Which it had in hand; empty before the first.
    code : int
        As the system gives it: below 0 the number of a signal.
    overdue : bool
        It was killed because the visit took too long.
    """

    photo: str
    code: int
    overdue: bool = False

    @property
    def from_outside(self) -> bool:
        """Whether a person, or the system for want of memory, killed it: not the photo by itself."""
        return not self.overdue and self.code == -int(getattr(signal, "SIGKILL", 9))

    @property
    def words(self) -> str:
        """Of what it died."""
        if self.code >= 0:
            return f"with exit code {self.code}"
        try:
            name = signal.Signals(-self.code).name
        except ValueError:
            name = str(-self.code)
        memory = ": by hand, or because the memory ran out" if self.from_outside else ""
        return f"by signal {name}{memory}"


class Worker:
    """One worker process, seen from outside.

    Raises
    ------
    MasiError
        The worker cannot work at all: its models, or the results folder.
    """

    def __init__(self, setup: Setup) -> None:
        """Start it; it opens its models at once."""
        path = os.pathsep.join(filter(None, (_PACKAGES, os.environ.get("PYTHONPATH", ""))))
        environment = os.environ | dict.fromkeys(_ONE_THREAD, "1") | {"PYTHONPATH": path}
        # Photos of addresses lie there: a worker that is killed takes nothing away.
        self._scratch = _scratch()
        if self._scratch is not None:
            environment["TMPDIR"] = self._scratch.name
        # -P: nothing is imported from the folder in which a person stands, a study's perhaps.
        command = [sys.executable, "-P", "-m", "masi_vision.batch.worker"]
        pipe = subprocess.PIPE
        try:
            self._process = subprocess.Popen(
                command, stdin=pipe, stdout=pipe, env=environment, start_new_session=True
            )
        except OSError as error:
            raise OutputError(
                f"A worker cannot start ({reason_of(error)}). Expected memory and open files for one more. "
                "Ask for fewer with --workers: what was done is kept."
            ) from error
        self._overdue = False
        self._send(setup.to_json())

    def __enter__(self) -> Self:
        """Use it."""
        return self

    def __exit__(self, *error: object) -> None:
        """Kill it: nothing it holds is needed."""
        self.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            try:
                if pipe is not None:
                    pipe.close()
            except OSError:  # what was still to be sent to it
                pass

    def kill(self) -> None:
        """Kill it now, and take away what it fetched; whoever waits for its outcome gets its death."""
        self._process.kill()
        self._process.wait()
        if self._scratch is not None:
            self._scratch.cleanup()

    def score(self, job: Job, time_limit_s: float) -> Outcome | Death:
        """Have a visit scored."""
        photo = ""
        timer = threading.Timer(time_limit_s, self._too_long)
        timer.start()
        try:
            self._send(job.to_json())
            for line in _pipe(self._process.stdout):
                if not line.endswith(b"\n"):
                    break  # killed while it spoke
                said = json.loads(line)
                if "photo" in said:
                    photo = said["photo"]
                elif "outcome" in said:
                    return Outcome.from_json(said["outcome"])
                else:
                    raise _ERRORS[said["error"]](said["message"])
        finally:
            timer.cancel()
        return Death(photo, self._process.wait(), self._overdue)

    def _too_long(self) -> None:
        self._overdue = True
        self.kill()

    def _send(self, line: str) -> None:
        """A worker that is dead already is found dead when its answer is read."""
        try:
            pipe = _pipe(self._process.stdin)
            pipe.write(line.encode() + b"\n")
            pipe.flush()
        except OSError:
            pass


_ERRORS: dict[str, type[MasiError]] = {
    error.__name__: error for error in (MasiError, ModelError, OutputError)
}


def _scratch() -> tempfile.TemporaryDirectory[str] | None:
    """A folder for what a worker fetches; None where none can be made: local photos need none."""
    try:
        return tempfile.TemporaryDirectory(prefix="masi-", ignore_cleanup_errors=True)
    except OSError:
        return None


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None, "a worker without pipes"
    return pipe


def main() -> None:
    """Score visits until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the run: it ends its workers itself
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer

    def say(**said: Any) -> None:
        answers.write(json.dumps(said).encode() + b"\n")
        answers.flush()

    setup = Setup.from_json(sys.stdin.readline())
    import cv2

    cv2.setNumThreads(1)
    try:
        models = setup.open_models()
        for line in sys.stdin:
            job = Job.from_json(line)
            try:
                outcome = score_job(job, setup, models, lambda photo: say(photo=photo))
            except (MasiError, BrokenPipeError):
                raise
            except Exception as error:
                traceback.print_exc()
                sentence = (
                    f"A bug in masi_vision, or too little memory ({type(error).__name__}). Expected a score. "
                    "Give each process 1 GB, or name fewer --workers; if it comes again, report what stands "
                    "on the screen as SECURITY.md says."
                )
                outcome = refused(job, "crashed", sentence, setup.settings, models, fate="again")
            say(outcome=outcome.to_json())
    except MasiError as error:
        name = type(error).__name__
        say(error=name if name in _ERRORS else "MasiError", message=str(error))
    except BrokenPipeError:
        os._exit(0)  # the run is gone


if __name__ == "__main__":
    main()
