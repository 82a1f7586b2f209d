"""The command `masi` starts here; so does `python -m masi_vision`, where its script is not on the path."""

import sys

from masi_vision.errors import broken_library


def main() -> None:
    """Run the command line; a library that cannot be loaded must not end with Python's 1: that is success."""
    try:
        from masi_vision.cli.main import main as run
    except (ImportError, OSError) as error:
        if not (words := broken_library(error)):
            raise
        sys.stderr.write(f"masi: {words}\n")
        sys.exit(2)
    run()


if __name__ == "__main__":
    main()
