"""What the system may be like when `masi` is called: its locale, its libraries."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

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


def masi(*words, **environment):
    command = [sys.executable, "-m", "masi_vision", *words]
    return subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, encoding="utf-8", check=False
    )
