"""The study report as one page of HTML, with everything in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from masi_vision.report.checklist import checklists
from masi_vision.report.figures import figure_text, p_text
from masi_vision.report.study import StudyReport, headline
from masi_vision.version import __version__

_TEMPLATE = "study.html.jinja"


def study_page(report: StudyReport) -> str:
    """The page, with everything in it."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined
    )
    endpoint = str(report.protocol["endpoint"]) if report.protocol else "mmasi"

    def short(text: str) -> str:
        return figure_text(float(text)) if text else ""

    def of_endpoint(text: str) -> str:
        return figure_text(float(text), endpoint) if text else ""

    return environment.get_template(_TEMPLATE).render(
        report=report,
        checklists=checklists(report),
        version=__version__,
        short=short,
        of_endpoint=of_endpoint,
        p_of=p_text,
        headline=headline,
        code_of=_code_of,
        libraries_of=_libraries_of,
    )


def _code_of(made: Mapping[str, Any]) -> str:
    """Which state of the code, where what it made tells."""
    code = made.get("code_sha256")
    return f", code {str(code)[:12]}" if code else ""


def _libraries_of(run: Mapping[str, Any]) -> list[str]:
    """A line for each set of libraries that read photos of the run, where it tells them."""
    told = run.get("libraries") or []
    sets = [told] if isinstance(told, Mapping) else [one["libraries"] for one in told]
    return [", ".join(f"{name} {version}" for name, version in one.items()) for one in sets]
