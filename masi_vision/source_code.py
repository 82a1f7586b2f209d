"""The code itself: which state of it made something, where versions are equal."""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from pathlib import Path

from masi_vision.version import __version__


@cache
def code_sha256() -> str:
    """SHA-256 of the lines "FILE HASH" of all Python files of the package, by name.

    Notes
    -----
    A version stands for every state between two releases; this tells them apart. Ends of lines count as
    "\\n", so that a checkout on Windows has the hash of any other.
    """
    package = Path(__file__).parent
    files = sorted((file.relative_to(package).as_posix(), file) for file in package.rglob("*.py"))
    lines = (f"{name} {sha256(_as_written(file)).hexdigest()}\n" for name, file in files)
    return sha256("".join(lines).encode()).hexdigest()


def version_and_code() -> str:
    """The version with the beginning of the hash: scores are by one where this is the same."""
    return f"{__version__}, code {code_sha256()[:12]}"


def _as_written(file: Path) -> bytes:
    return file.read_bytes().replace(b"\r\n", b"\n")
