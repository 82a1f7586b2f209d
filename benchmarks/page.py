"""The place in a page of documentation that holds a benchmark's results."""

from __future__ import annotations

from pathlib import Path

MARKS = "<!-- results -->", "<!-- end of results -->"


def write_results(page: Path, results: str, marks: tuple[str, str] = MARKS) -> None:
    """Put results between the marks of a page; ValueError if it does not have both."""
    before, rest = page.read_text(encoding="utf-8").split(marks[0])
    _, after = rest.split(marks[1])
    page.write_text(f"{before}{marks[0]}\n\n{results}\n\n{marks[1]}{after}", encoding="utf-8")
