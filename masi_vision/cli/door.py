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
from typing import ParamSpec

import typer

from masi_vision.errors import MasiError, SettingsError, broken_library
from masi_vision.version import __version__

# The codes of docs/outputs.md. 70 is EX_SOFTWARE of sysexits.h, 130 what shells give for Ctrl-C.
DONE, SOME_NOT_SCORED, MUST_CHANGE, BUG, STOPPED = 0, 1, 2, 70, 130

_P = ParamSpec("_P")


def verb(run: Callable[_P, int]) -> Callable[_P, None]:
    """Make a verb of a function that returns its exit code."""

    @functools.wraps(run)
    def guarded(*args: _P.args, **kwargs: _P.kwargs) -> None:
        warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")  # "Corrupt EXIF data"
        for stream in (sys.stdout, sys.stderr):  # a name in a script that the terminal lacks is no bug
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        try:
            _refuse_other_names()
            code = run(*args, **kwargs)
        except MasiError as error:
            typer.echo(f"masi: {error}", err=True)
            code = MUST_CHANGE
        except KeyboardInterrupt:
            typer.echo("masi: stopped.", err=True)
            code = STOPPED
        except Exception as error:
            if _has_no_reader(error):
                _leave_pipe()
                code = DONE
            elif isinstance(error, ImportError) and (words := broken_library(error)):
                typer.echo(f"masi: {words}", err=True)
                code = MUST_CHANGE
            else:
                typer.echo(_bug_sentence(), err=True)
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


def _leave_pipe() -> None:
    """The reader of our output has gone (`masi ... | head`): let Python's own last flush go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


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
    return f"{words} A report lies at {place}; it may name files and folders. Please send it to the authors."
