"""The evaluation as it is read: one page for people, one file for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from masi_vision.evaluation.comparison import Difference
from masi_vision.evaluation.measures import MEASURES
from masi_vision.evaluation.photo_figures import PhotoFigures
from masi_vision.evaluation.summary import Figure, groups, summary
from masi_vision.evaluation.worst import WorstCase
from masi_vision.version import __version__

_TEMPLATE = "page.html.jinja"
_IN_GROUPS = (
    "found",
    "mean_iou",
    "boundary_error_percent",
    "swapped",
    "fraction_error",
    "false_fraction",
    "lesion_dice",
    "area_within_one",
    "mmasi_error",
)


@dataclass(frozen=True)
class Evaluation:
    """Everything that an evaluation says.

    Parameters
    ----------
    dataset, split : str
        Name of the folder, and which part of it.
    models : mapping of name to hashes of the files
        The models in question, then those that they are compared with.
    figures, others : sequence of PhotoFigures
        Of the one and of the other; `others` is empty without.
    differences : sequence of Difference
        Of the one to the other.
    remarks : sequence of str
        What to know before any figure is believed.
    """

    dataset: str
    split: str
    settings_sha256: str
    models: Mapping[str, Mapping[str, str]]
    figures: Sequence[PhotoFigures]
    others: Sequence[PhotoFigures] = ()
    differences: Sequence[Difference] = ()
    remarks: Sequence[str] = ()
    worst: Sequence[WorstCase] = field(default=(), repr=False)

    @property
    def name(self) -> str:
        """Name of the models in question."""
        return next(iter(self.models))

    @property
    def other(self) -> str:
        """Name of the models that they are compared with; "" without."""
        return list(self.models)[1] if self.others else ""

    @property
    def problems(self) -> list[PhotoFigures]:
        """Photographs that could not be read."""
        return [one for one in self.figures if one.problem]

    @cached_property
    def groups(self) -> dict[str, list[PhotoFigures]]:
        """All photographs that could be read, and those of each view, skin tone and site."""
        return groups(self.figures)

    @cached_property
    def summaries(self) -> dict[str, dict[str, Figure]]:
        """The figures of each group."""
        return {name: summary(part) for name, part in self.groups.items()}

    @cached_property
    def other_summary(self) -> dict[str, Figure]:
        """The figures of all photographs by the other models; empty without."""
        return summary(self.others) if self.others else {}


def to_dict(evaluation: Evaluation) -> dict[str, Any]:
    """Plain values of `evaluation.json`."""
    return {
        "version": __version__,
        "dataset": evaluation.dataset,
        "split": evaluation.split,
        "models": {name: dict(files) for name, files in evaluation.models.items()},
        "settings_sha256": evaluation.settings_sha256,
        "remarks": list(evaluation.remarks),
        "summary": {name: _plain(figures) for name, figures in evaluation.summaries.items()},
        "comparison": _comparison(evaluation),
        "photos": [one.to_dict() for one in evaluation.figures],
    }


def _plain(figures: Mapping[str, Figure]) -> dict[str, dict[str, float | None]]:
    return {name: figure.to_dict() for name, figure in figures.items()}


def _comparison(evaluation: Evaluation) -> dict[str, Any]:
    """What is said of the other models; empty without."""
    if not evaluation.others:
        return {}
    return {
        "against": evaluation.other,
        "figures": {one.name: one.to_dict() for one in evaluation.differences},
        "summary": _plain(evaluation.other_summary),
        "photos": [one.to_dict() for one in evaluation.others],
    }


def to_html(evaluation: Evaluation) -> str:
    """The page: nothing in it is fetched from anywhere."""
    loader = FileSystemLoader(Path(__file__).parent)
    page = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    page.filters |= {"figure": figure_text, "value": _value_text, "interval": _interval_text}
    page.globals["counted"] = counted
    return page.get_template(_TEMPLATE).render(
        evaluation=evaluation,
        sizes={name: (len(part), _patients(part)) for name, part in evaluation.groups.items()},
        measures=MEASURES,
        in_groups=_IN_GROUPS,
        version=__version__,
    )


def _patients(figures: Sequence[PhotoFigures]) -> int:
    return len({photo.patient for photo in figures})


def counted(number: int, what: str) -> str:
    """A number of things."""
    return f"{number} {what}" + "s" * (number != 1)


def figure_text(figure: Figure, name: str) -> str:
    """A figure as it is read, with its interval; nothing where nothing is known."""
    interval = _interval_text(figure, name)
    return _value_text(figure, name) + (f" ({interval})" if interval else "")


def _value_text(figure: Figure, name: str) -> str:
    return "" if figure.value is None else MEASURES[name].text(figure.value)


def _interval_text(figure: Figure, name: str) -> str:
    if figure.low is None or figure.high is None:
        return ""
    return f"{MEASURES[name].text(figure.low)} to {MEASURES[name].text(figure.high)}"
