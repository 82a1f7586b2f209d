"""What the system may be like when `masi` is called: its locale."""

import os
import subprocess
import sys

import pytest

from masi_vision.cli import door


@pytest.mark.skipif(os.name != "posix", reason="elsewhere names of files are Unicode")
def test_a_locale_that_would_rename_patients_is_refused():
    done = masi("config", "show", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0", LC_ALL="C")
    assert done.returncode == door.MUST_CHANGE
    assert "read as ascii here" in done.stderr and "PYTHONUTF8=1" in done.stderr
    assert masi("config", "show", LC_ALL="C").returncode == door.DONE


def masi(*words, **environment):
    command = [sys.executable, "-m", "masi_vision", *words]
    return subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, encoding="utf-8", check=False
    )
