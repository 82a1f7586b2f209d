"""The door of every verb: turns errors into a sentence and an exit code."""

from __future__ import annotations

import errno
import functools
import io
import os
import platform
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TextIO

import typer

from masi_vision.errors import MasiError, OutputError, SettingsError, broken_library
from masi_vision.version import __version__

# The codes of docs/outputs.md. 70 is EX_SOFTWARE of sysexits.h, 130 what shells give for Ctrl-C.
DONE, SOME_NOT_SCORED, MUST_CHANGE, BUG, STOPPED = 0, 1, 2, 70, 130

FULL = (errno.ENOSPC, errno.EDQUOT)

_P = ParamSpec("_P")


def verb(run: Callable[_P, int]) -> Callable[_P, None]:
    """Make a verb of a function that returns its exit code."""

    @functools.wraps(run)
    def guarded(*args: _P.args, **kwargs: _P.kwargs) -> None:
        warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")  # "Corrupt EXIF data"
        for stream in (sys.stdout, sys.stderr):  # a name in a script that the terminal lacks is no bug
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        code = DONE
        try:
            _refuse_other_names()
            _refuse_lost_folder()
            code = run(*args, **kwargs)
            sys.stdout.flush()  # Python's own flush at the end would give a code of its own
        except MasiError as error:
            _say(f"masi: {error}")
            code = MUST_CHANGE
        except KeyboardInterrupt:
            _say("masi: stopped.")
            code = STOPPED
        except Exception as error:
            if _has_no_reader(error):
                leave(sys.stdout)
            elif isinstance(error, OSError) and error.errno in FULL:
                leave_full_output()
                code = MUST_CHANGE
            elif _lacks_memory(error):
                _say(
                    f"masi: the system gave no more memory, or no more processes ({type(error).__name__}). "
                    "Expected 1 GB of address space for each process, more for large photos. Close other "
                    "programs, raise the limit (ulimit, a container's), or ask batch for fewer --workers."
                )
                code = MUST_CHANGE
            elif isinstance(error, ImportError) and (words := broken_library(error)):
                _say(f"masi: {words}")
                code = MUST_CHANGE
            else:
                _say(_bug_sentence())
                code = BUG
        raise typer.Exit(code)

    guarded.__annotations__ = {**run.__annotations__, "return": "None"}
    return guarded


def _refuse_other_names() -> None:
    """Names of files would be read otherwise than they were written: `Müller` as `MÃ¼ller`."""
    if os.name == "posix" and (found := sys.getfilesystemencoding()) != "utf-8":
        raise SettingsError(
            f"Names of files are read as {found} here, and patients would be called otherwise. Expected "
            "utf-8. Set the environment variable PYTHONUTF8=1, or a locale such as C.UTF-8 (LC_ALL)."
        )


def _refuse_lost_folder() -> None:
    """A path is told from the folder that one is in."""
    try:
        Path.cwd()
    except FileNotFoundError as error:
        raise OutputError("The folder that you are in is not there any more. Go to another.") from error


def _has_no_reader(error: Exception) -> bool:
    """Whether the reader of our output has gone; Windows says so by another error (bpo-35754)."""
    if isinstance(error, BrokenPipeError):
        return True
    if os.name != "nt" or not isinstance(error, OSError) or error.errno != errno.EINVAL:
        return False
    try:
        sys.stdout.flush()  # other things are invalid too
    except OSError:
        return True
    return False


def _lacks_memory(error: Exception) -> bool:
    """Whether the system gave no more memory or threads; every library says so in its own way."""
    is_opencv_s = type(error).__name__ == "error" and getattr(error, "code", None) == -4  # StsNoMem
    words = ("can't start new thread", "bad_alloc", "Failed to allocate memory")
    return (
        isinstance(error, MemoryError)
        or getattr(error, "errno", None) == errno.ENOMEM
        or is_opencv_s
        or any(one in str(error) for one in words)
    )


def _say(words: str) -> None:
    """Say it on stderr, and go on where nobody takes that: the code has to tell."""
    try:
        typer.echo(words, err=True)
    except OSError:
        leave(sys.stderr)


def leave(stream: TextIO) -> None:
    """Nobody takes our output any more (`masi ... | head`): let Python's own last flush go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def leave_full_output() -> None:
    """Say that the disk behind our output, or that of temporary files, is full; drop what is left."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            leave(stream)
    _say(
        "masi: the output, or a temporary file, could not be written: the disk is full. Expected free space. "
        "Make some, or send the output elsewhere and set TMPDIR to a folder on another disk."
    )


def _bug_sentence() -> str:
    """Write the traceback to a file and say where it lies."""
    error = sys.exc_info()[1]
    words = f"masi: this is a bug in masi_vision: {type(error).__name__}."
    facts = f"masi_vision {__version__}, Python {platform.python_version()}, {platform.platform()}\n\n"
    try:
        handle, place = tempfile.mkstemp(prefix="masi-bug-", suffix=".txt")
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as report:
            report.write(facts + traceback.format_exc())
    except OSError:
        return f"{words} Its report could not be written and stands here:\n{facts}{traceback.format_exc()}"
    return (
        f"{words} A report lies at {place}; it may name files and folders. Read it, and report the bug as "
        "SECURITY.md of the source says."
    )
