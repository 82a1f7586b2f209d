"""`python -m masi_vision`: the command `masi`, where its script is not on the path."""

from masi_vision.cli.main import main

if __name__ == "__main__":
    main()
