"""What every benchmark has: its command line, and the place in a page that holds its results."""

from __future__ import annotations

import argparse
from pathlib import Path

MARKS = "<!-- results -->", "<!-- end of results -->"


def parser_of(
    description: str | None, *, faces: bool = True, cache: bool = False, writes: str = ""
) -> argparse.ArgumentParser:
    """The options that benchmarks share.

    Parameters
    ----------
    faces : bool
        It needs the synthetic faces.
    cache : bool
        It keeps what it made of them.
    writes : str
        What it writes where with `--write`.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    if faces:
        parser.add_argument("--faces", type=Path, required=True, help="folder of the synthetic faces")
    if cache:
        parser.add_argument("--cache", type=Path, default=Path("runs/cache"), help="where labels are kept")
    if writes:
        parser.add_argument("--write", action="store_true", help=f"write {writes}")
    return parser


def write_results(page: Path, results: str, marks: tuple[str, str] = MARKS) -> None:
    """Put results between the marks of a page; ValueError if it does not have both."""
    before, rest = page.read_text(encoding="utf-8").split(marks[0])
    _, after = rest.split(marks[1])
    page.write_text(f"{before}{marks[0]}\n\n{results}\n\n{marks[1]}{after}", encoding="utf-8")
