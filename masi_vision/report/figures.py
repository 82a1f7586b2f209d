"""Figures of a study, as SVG: drawn to be looked at, in colours that everybody can tell apart."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable, Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from textwrap import fill
from typing import TYPE_CHECKING, Any
from unicodedata import east_asian_width

import numpy as np
import numpy.typing as npt

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
_COLUMN_IN, _LINE_IN = 0.075, 0.16  # of the small print of a figure
_NAME_COLUMNS, _LEGEND_COLUMNS = 38, 86
_TICK_COLUMNS = 13  # "(unscheduled" whole
_WIDEST_IN = 16.0  # of a page's width: beyond it the print is too small to read
_LEAST_P = Decimal("0.001")
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "masi_vision",
    "font.family": "sans-serif",
    "font.size": 10,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "text.parse_math": False,  # a name may hold $
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
        axes.set_ylabel(f"{names[0]} less {names[1]}, mMASI")

    return _drawn(draw, (7.2, 4.2))


def trajectories_figure(
    arms: Mapping[str, Mapping[str, Interval]],
    endpoint: str,
    visits: Sequence[str],
    *,
    from_zero: bool = True,
) -> str:
    """Mean of every arm at every visit, in the order of these, with intervals; arms stand a little beside
    each other."""
    ticks, width_in = _ticks(visits)
    names = [_wrapped(f"arm {arm}", _LEGEND_COLUMNS) for arm in arms]
    beside = max(1, _LEGEND_COLUMNS // (max(_columns(name) for name in names) + 8))

    def draw(axes: Axes) -> None:
        for number, (name, of) in enumerate(zip(names, arms.values(), strict=True)):
            shift = 0.07 * (number - (len(arms) - 1) / 2)
            there = [visit for visit in visits if visit in of]
            places = [visits.index(visit) + shift for visit in there]
            values = np.array([of[visit] for visit in there]).T
            error = np.stack([values[0] - values[1], values[2] - values[0]])  # NaN: no bar
            axes.errorbar(
                places,
                values[0],
                yerr=error,
                label=name,
                color=_COLOURS[number % len(_COLOURS)],
                marker=_MARKS[number % len(_MARKS)],
                markersize=5,
                capsize=3,
                linewidth=1.5,
            )
        axes.set_xticks(range(len(visits)), ticks)
        axes.set_ylabel(f"{endpoint}, mean and 95 % interval")
        lowest = min(low for of in arms.values() for _, low, _ in of.values())
        if from_zero or not lowest < 0:  # no score is lower, whatever an interval says
            axes.set_ylim(bottom=0.0)
        axes.axhline(0.0, color="0.7", linewidth=0.8, zorder=0)
        axes.figure.legend(frameon=False, loc="outside upper left", ncols=beside)

    lines = sum(name.count("\n") + 1 for name in names) / beside
    return _drawn(draw, (width_in, 3.9 + _LINE_IN * (lines + _lines(ticks))))


def figure_text(value: float, endpoint: str = "mmasi") -> str:
    """A figure as it is read: two decimals of a score, three digits of what may be small; no -0."""
    if endpoint in ("mmasi", "masi"):
        return f"{round(value, 2) or 0.0:.2f}"
    return f"{value or 0.0:.3g}"


def interval_text(interval: Interval, endpoint: str = "mmasi") -> str:
    """A figure and its interval, as `figure_text` writes them."""
    value, low, high = (figure_text(one, endpoint) for one in interval)
    return f"{value} ({low} to {high})"


def p_text(value: str | float) -> str:
    """A p as it is read, rounded by the digits that a table has: 0.4175 is 0.418; "" of none."""
    if value == "" or value != value:
        return ""
    p = Decimal(str(value))
    return f"{p.quantize(_LEAST_P, ROUND_HALF_UP)}" if p >= _LEAST_P else f"< {_LEAST_P}"


def forest_figure(rows: Sequence[tuple[str, Interval]], measure: str, endpoint: str) -> str:
    """Differences with their intervals, one below the other; left of the line is less than the control."""
    names = [_wrapped(name, _NAME_COLUMNS) for name, _ in rows]
    lines = np.array([name.count("\n") + 2 for name in names])
    places, high = np.cumsum(lines) - lines / 2, max(lines.sum(), 4)

    def draw(axes: Axes) -> None:
        for place, (_, (value, low, up)) in zip(places, rows, strict=True):
            axes.plot([low, up], [place, place], color=_COLOURS[0], linewidth=1.8, solid_capstyle="butt")
            axes.plot(value, place, "s", color=_COLOURS[0], markersize=6)
            words = interval_text((value, low, up), endpoint)
            axes.annotate(words, (1.02, place), xycoords=("axes fraction", "data"), va="center", fontsize=9)
        axes.axvline(0, color="black", linewidth=0.8)
        axes.set_yticks(places, names)
        axes.set_ylim(high, 0)
        axes.set_xlabel(measure)

    return _drawn(draw, (7.6, 0.7 + _LINE_IN * high))


def distribution_figure(groups: Mapping[str, Values], endpoint: str) -> str:
    """Every value of every visit as a point, and the quartiles as a box."""
    kept = [values[np.isfinite(values)] for values in groups.values()]
    ticks, width_in = _ticks(groups)

    def draw(axes: Axes) -> None:
        rng = np.random.default_rng(0)
        for place, values in enumerate(kept):
            across = place + rng.uniform(-0.18, 0.18, len(values))
            axes.scatter(
                across, values, s=22, color=_COLOURS[0], alpha=0.7, linewidths=0, zorder=3, clip_on=False
            )
        axes.boxplot(
            kept,
            positions=range(len(kept)),
            widths=0.5,
            showfliers=False,
            medianprops={"color": _COLOURS[1], "linewidth": 2},
        )
        axes.set_xticks(
            range(len(kept)), [f"{name}\n{len(values)}" for name, values in zip(ticks, kept, strict=True)]
        )
        axes.set_ylabel(endpoint)
        axes.set_ylim(bottom=0)

    return _drawn(draw, (width_in, 3.7 + _LINE_IN * _lines(ticks)))


def _ticks(names: Iterable[str]) -> tuple[list[str], float]:
    """Names below an axis, in lines that do not meet, and the width [in] of the figure with room for them."""
    names = list(names)
    longest = max((_columns(word) for name in names for word in name.split()), default=1)
    needed = min(longest, _TICK_COLUMNS) + 1
    width_in = min(_WIDEST_IN, max(7.4, 0.8 + _COLUMN_IN * needed * len(names)))
    room = int((width_in - 0.8) / _COLUMN_IN / len(names)) - 1
    return [_wrapped(name, room) for name in names], width_in


def _columns(text: str) -> int:
    """How wide a text is: a letter of the far East takes two columns."""
    return sum(1 + (east_asian_width(letter) in "WF") for letter in text)


def _wrapped(name: str, columns: int) -> str:
    """The name in lines of at most so many columns."""
    padded = "".join(letter + "\0" * (_columns(letter) - 1) for letter in name)
    return fill(padded, columns).replace("\0", "")


def _lines(names: Iterable[str]) -> int:
    """Of the name with the most."""
    return max(name.count("\n") for name in names) + 1


def _drawn(draw: Any, size_in: tuple[float, float]) -> str:
    import matplotlib as mpl
    from matplotlib.figure import Figure as Sheet

    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        # The words stay text in the file, for a font of the machine that shows it.
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        sheet: Figure = Sheet(figsize=size_in, layout="constrained")
        axes = sheet.subplots()
        axes.grid(color="#e3e3e3", linewidth=0.6)
        draw(axes)
        text = io.StringIO()
        # Without a date, the same data are the same file.
        sheet.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return text.getvalue()
