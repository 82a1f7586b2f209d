"""Workers with this folder on their path meet photos that do to them what no test can make a file do.

The name of its folder says what: real signals, a real hang, a real exception, in a real worker.
"""

import os
import signal
import sys
import time
from pathlib import Path


def _spoil(event, arguments):
    if event != "open" or not isinstance(arguments[0], str):
        return
    file = Path(arguments[0])
    # What is fetched from an address does not lie in its visit's folder.
    name = "hangs" if file.name == "hangs_front.jpg" else file.parent.name
    if file.suffix != ".jpg" or "w" in (arguments[1] or ""):
        return
    if name == "aborts":
        os.abort()
    elif name == "eats-memory":
        os.kill(os.getpid(), signal.SIGKILL)
    elif name == "hangs":
        time.sleep(600)
    elif name == "changes":
        os.utime(arguments[0], ns=(time.time_ns(), time.time_ns()))
    elif name == "finds-a-bug":
        score = sys.modules["masi_vision.visit.score"]
        score.check_photo = _bug(score, score.check_photo)


def _bug(module, whole):
    def once(*_):
        module.check_photo = whole
        raise ZeroDivisionError("made by a test")

    return once


if "masi_vision.batch.worker" in " ".join(sys.orig_argv):
    sys.addaudithook(_spoil)
