"""The command `masi` starts here; so does `python -m masi_vision`, where its script is not on the path."""

import os
import sys

from masi_vision.errors import broken_library


def main() -> None:
    """Run the command line; a library that cannot be loaded must not end with Python's 1: that is success."""
    _open_streams()
    try:
        from masi_vision.cli.main import main as run
    except (ImportError, OSError) as error:
        if not (words := broken_library(error)):
            raise
        sys.stderr.write(f"masi: {words}\n")
        sys.exit(2)
    run()


def _open_streams() -> None:
    """Have streams that a daemon closed lead nowhere: the file opened next would get what they are told."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            if (opened := os.open(os.devnull, os.O_RDWR)) != number:
                os.dup2(opened, number)
                os.close(opened)
            os.set_inheritable(number, True)  # the workers' too
            mode = "w" if number else "r"
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


if __name__ == "__main__":
    main()
