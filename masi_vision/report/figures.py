"""Figures of a study, as SVG: drawn to be looked at, in colours that everybody can tell apart."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from masi_vision.names import natural_key

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Values = npt.NDArray[np.float64]
Interval = tuple[float, float, float]
"""Value, low, high."""

# Okabe and Ito (2008): told apart with any kind of colour vision; and a mark for each, for prints in grey.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
_MARKS = ("o", "s", "^", "D", "v", "P", "X")
_GREY = "#595959"
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "masi_vision",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
}


def bland_altman_figure(
    one: Values, other: Values, names: tuple[str, str], limits: Sequence[Interval]
) -> str:
    """Difference against mean, with bias and limits of agreement and their intervals.

    Parameters
    ----------
    one, other : (N,) float
        NaN where one is missing.
    limits : sequence of three Interval
        Lower limit, bias, upper limit.
    """

    def draw(axes: Axes) -> None:
        there = np.isfinite(one) & np.isfinite(other)
        mean, apart = (one[there] + other[there]) / 2, one[there] - other[there]
        axes.scatter(mean, apart, s=22, color=_COLOURS[0], alpha=0.7, linewidths=0, zorder=3)
        words = ("lower limit", "bias", "upper limit")
        for (value, low, high), name, style in zip(limits, words, ("--", "-", "--"), strict=True):
            axes.axhspan(low, high, color=_GREY, alpha=0.13, linewidth=0)
            axes.axhline(value, color=_GREY, linestyle=style, linewidth=1.2)
            axes.annotate(
                f"{name} {figure_text(value)}",
                (1.01, value),
                xycoords=("axes fraction", "data"),
                va="center",
                color=_GREY,
                fontsize=9,
            )
        axes.axhline(0, color="black", linewidth=0.6)
        axes.set_xlabel(f"mean of {names[0]} and {names[1]}, mMASI")
        axes.set_ylabel(f"{names[0]} less {names[1]}")

    return _drawn(draw, (7.2, 4.2), right=0.82)


def trajectories_figure(
    arms: Mapping[str, Mapping[str, Interval]], endpoint: str, *, from_zero: bool = True
) -> str:
    """Mean of every arm at every visit, with intervals; arms stand a little beside each other."""

    def draw(axes: Axes) -> None:
        visits = sorted({visit for of in arms.values() for visit in of}, key=natural_key)
        for number, (arm, of) in enumerate(arms.items()):
            shift = 0.07 * (number - (len(arms) - 1) / 2)
            there = [visit for visit in visits if visit in of]
            places = [visits.index(visit) + shift for visit in there]
            values = np.array([of[visit] for visit in there]).T
            error = np.stack([values[0] - values[1], values[2] - values[0]])  # NaN: no bar
            axes.errorbar(
                places,
                values[0],
                yerr=error,
                label=f"arm {arm}",
                color=_COLOURS[number % len(_COLOURS)],
                marker=_MARKS[number % len(_MARKS)],
                markersize=5,
                capsize=3,
                linewidth=1.5,
            )
        axes.set_xticks(range(len(visits)), visits)
        axes.set_ylabel(f"{endpoint}, mean and 95 % interval")
        lowest = min(low for of in arms.values() for _, low, _ in of.values())
        if from_zero or not lowest < 0:  # no score is lower, whatever an interval says
            axes.set_ylim(bottom=0.0)
        axes.axhline(0.0, color="0.7", linewidth=0.8, zorder=0)
        axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))

    return _drawn(draw, (7.6, 4.2), right=0.86)


def figure_text(value: float, endpoint: str = "mmasi") -> str:
    """A figure as it is read: two decimals of a score, three digits of what may be small; no -0."""
    if endpoint in ("mmasi", "masi"):
        return f"{round(value, 2) or 0.0:.2f}"
    return f"{value or 0.0:.3g}"


def interval_text(interval: Interval, endpoint: str = "mmasi") -> str:
    """A figure and its interval, as `figure_text` writes them."""
    value, low, high = (figure_text(one, endpoint) for one in interval)
    return f"{value} ({low} to {high})"


def forest_figure(rows: Sequence[tuple[str, Interval]], measure: str, endpoint: str) -> str:
    """Differences with their intervals, one below the other; left of the line is less than the control."""

    def draw(axes: Axes) -> None:
        for place, (_, (value, low, high)) in enumerate(rows):
            axes.plot([low, high], [place, place], color=_COLOURS[0], linewidth=1.8, solid_capstyle="butt")
            axes.plot(value, place, "s", color=_COLOURS[0], markersize=6)
            words = interval_text((value, low, high), endpoint)
            axes.annotate(words, (1.02, place), xycoords=("axes fraction", "data"), va="center", fontsize=9)
        axes.axvline(0, color="black", linewidth=0.8)
        axes.set_yticks(range(len(rows)), [name for name, _ in rows])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xlabel(measure)

    return _drawn(draw, (7.6, 0.7 + 0.33 * max(len(rows), 2)), left=0.36, right=0.74)


def distribution_figure(groups: Mapping[str, Values], endpoint: str) -> str:
    """Every value of every visit as a point, and the quartiles as a box."""

    def draw(axes: Axes) -> None:
        rng = np.random.default_rng(0)
        kept = {name: values[np.isfinite(values)] for name, values in groups.items()}
        for place, values in enumerate(kept.values()):
            across = place + rng.uniform(-0.18, 0.18, len(values))
            axes.scatter(
                across, values, s=22, color=_COLOURS[0], alpha=0.7, linewidths=0, zorder=3, clip_on=False
            )
        axes.boxplot(
            list(kept.values()),
            positions=range(len(kept)),
            widths=0.5,
            showfliers=False,
            medianprops={"color": _COLOURS[1], "linewidth": 2},
        )
        axes.set_xticks(range(len(kept)), [f"{name}\n{len(values)}" for name, values in kept.items()])
        axes.set_ylabel(endpoint)
        axes.set_ylim(bottom=0)

    return _drawn(draw, (7.2, 3.8))


def _drawn(draw: Any, size: tuple[float, float], *, left: float = 0.1, right: float = 0.97) -> str:
    import matplotlib as mpl
    from matplotlib.figure import Figure as Sheet

    with mpl.rc_context(_STYLE):
        sheet: Figure = Sheet(figsize=size)
        axes = sheet.subplots()
        axes.grid(color="#e3e3e3", linewidth=0.6)
        draw(axes)
        sheet.subplots_adjust(left=left, right=right, top=0.96, bottom=min(0.6 / size[1], 0.4))
        text = io.StringIO()
        # Without a date, the same data are the same file.
        sheet.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return text.getvalue()
