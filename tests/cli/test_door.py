"""What the system may be like when `masi` is called: its locale, its libraries, its streams."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
import typer

import masi_vision
from masi_vision.cli import door
from masi_vision.errors import broken_library

PACKAGES = str(Path(masi_vision.__file__).parents[1])


@pytest.mark.skipif(os.name != "posix", reason="elsewhere names of files are Unicode")
def test_a_locale_that_would_rename_patients_is_refused():
    done = masi("config", "show", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0", LC_ALL="C")
    assert done.returncode == door.MUST_CHANGE
    assert "read as ascii here" in done.stderr and "PYTHONUTF8=1" in done.stderr
    assert masi("config", "show", LC_ALL="C").returncode == door.DONE


def test_a_library_that_cannot_be_loaded_is_named_and_is_no_success(tmp_path):
    (tmp_path / "cv2.py").write_text("raise ImportError('libz.so.1: cannot open')\n", encoding="utf-8")
    done = masi("doctor", PYTHONPATH=os.pathsep.join((str(tmp_path), PACKAGES)))
    assert done.returncode == door.MUST_CHANGE
    assert done.stderr.startswith("masi: The library cv2 cannot be loaded (libz.so.1: cannot open).")


def test_a_module_of_our_own_that_is_missing_is_no_broken_library():
    with pytest.raises(ImportError) as missing:
        import masi_vision.cli.nothing  # noqa: F401
    assert broken_library(missing.value) == ""


def test_a_library_that_memory_does_not_hold_is_not_called_broken():
    words = broken_library(ImportError("libavcodec.so: failed to map segment from shared object", name="cv2"))
    assert words.startswith("Too little memory to load the library cv2 (libavcodec")
    assert "Install" not in words


@pytest.mark.skipif(os.name != "posix", reason="closed by a POSIX shell")
def test_a_daemon_that_closed_stderr_leaves_no_number_for_the_next_file_to_get():
    code = (
        "from masi_vision.__main__ import _open_streams; _open_streams(); import os, sys; "
        "print(sys.stderr.isatty(), os.get_inheritable(2), os.open(os.devnull, os.O_RDONLY) > 2)"
    )
    assert masi(python=("-c", code), redirect="2>&-").stdout.split() == ["False", "True", "True"]


@pytest.mark.skipif(os.name != "posix", reason="closed by a POSIX shell")
def test_closed_streams_of_a_daemon_are_no_bug():
    assert masi("config", "show", redirect=">&- 2>&-").returncode == door.DONE


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk that is full, of Linux")
@pytest.mark.parametrize("words", [("config", "show"), ("--version",)])
def test_output_to_a_full_disk_is_no_bug(words):
    done = masi(*words, redirect=">/dev/full")
    assert done.returncode == door.MUST_CHANGE
    assert done.stderr.startswith("masi: the output, or a temporary file, could not be written")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk that is full, of Linux")
def test_where_no_sentence_can_be_said_the_code_still_tells():
    assert masi("config", "nothing", redirect="2>/dev/full").returncode == door.MUST_CHANGE


def no_memory_for_opencv():
    error = cv2.error("OpenCV: Failed to allocate 201326592 bytes")
    error.code = cv2.Error.StsNoMem
    return error


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        no_memory_for_opencv(),
        RuntimeError("can't start new thread"),
    ],
    ids=["Python and NumPy", "the system", "OpenCV", "threads"],
)
def test_too_little_memory_is_no_bug(error, capsys):
    assert code_of(error) == door.MUST_CHANGE
    assert "no more memory, or no more processes" in capsys.readouterr().err


@pytest.mark.parametrize("error", [RuntimeError("odd"), cv2.error("odd")])
def test_another_error_is_a_bug_still(error, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert code_of(error) == door.BUG
    assert "this is a bug" in capsys.readouterr().err


def code_of(error):
    def run() -> int:
        raise error

    with pytest.raises(typer.Exit) as ended:
        door.verb(run)()
    return ended.value.exit_code


def masi(*words, python=("-m", "masi_vision"), redirect="", **environment):
    command = [sys.executable, *python, *words]
    if redirect:
        command = ["sh", "-c", f'exec "$@" {redirect}', "sh", *command]
    return subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, encoding="utf-8", check=False
    )
