"""The benchmark's plots: truth against estimate, error by distractor, ROC of the lesion mask."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np

from masi_vision.training.phantom_photos import Row

mpl.use("Agg")
import matplotlib.pyplot as plt

# Okabe and Ito's palette: told apart by colour-blind readers.
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7")
_SHAPES = ("o", "s", "^", "D")


def draw_plots(rows: list[Row], shipped: str, cuts: list[str], folder: Path) -> None:
    """Write truth.png, distractors.png and roc.png."""
    marked = [row for row in rows if row.state in ("planted", "treated")]
    ours = [row for row in marked if row.estimator == shipped]
    _truth(ours, folder / "truth.png")
    _distractors(ours, [r for r in rows if r.estimator == shipped], folder / "distractors.png")
    _roc(marked, cuts, folder / "roc.png")


def _truth(rows: list[Row], file: Path) -> None:
    """Fraction found against planted, a panel for each region, skin tones by colour and shape."""
    regions = ("forehead", "right_malar", "left_malar", "chin")
    figure, panels = plt.subplots(1, 4, figsize=(13, 3.7), sharex=True, sharey=True)
    tones = sorted({row.tone for row in rows})
    for region, panel in zip(regions, panels, strict=True):
        panel.plot([0, 100], [0, 100], color="0.6", linewidth=1)
        for tone, colour, shape in zip(tones, _COLOURS, _SHAPES, strict=False):
            part = [row for row in rows if row.region == region and row.tone == tone]
            x, y = (
                [100 * r.true_fraction for r in part],
                [100 * r.fraction for r in part],
            )
            panel.scatter(x, y, s=14, color=colour, marker=shape, alpha=0.7, linewidths=0, label=tone)
        panel.set_title(region.replace("_", " "))
        panel.set_xlabel("planted, % of the skin")
    panels[0].set_ylabel("found, % of the skin")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=len(tones), frameon=False, fontsize=9)
    _save(figure, file, below=0.08)


def _distractors(marked: list[Row], rows: list[Row], file: Path) -> None:
    """Mean error of the fraction on planted photos, and false fraction on clear ones, by distractor."""
    kinds = sorted({row.distractor for row in rows}, key=lambda kind: (kind != "none", kind))
    error = [
        100 * np.mean([abs(r.fraction - r.true_fraction) for r in marked if r.distractor == k]) for k in kinds
    ]
    clear = [r for r in rows if r.state in ("clear", "again")]
    false = [100 * np.mean([r.fraction for r in clear if r.distractor == k]) for k in kinds]
    figure, panel = plt.subplots(figsize=(8, 3.8))
    places = np.arange(len(kinds))
    panel.barh(places - 0.2, error, 0.38, color=_COLOURS[0], label="error of the fraction, planted")
    panel.barh(places + 0.2, false, 0.38, color=_COLOURS[1], label="fraction found on clear skin")
    panel.set_yticks(places, [kind.replace("_", " ") for kind in kinds])
    panel.invert_yaxis()
    panel.set_xlabel("% of the skin")
    panel.legend(frameon=False, fontsize=8)
    _save(figure, file)


def _roc(rows: list[Row], cuts: list[str], file: Path) -> None:
    """Lesion pixels found against clear pixels called lesion, over the cuts, by contrast."""
    figure, panel = plt.subplots(figsize=(4.6, 4.4))
    bands = (("dL* 3 to 6", 0.0, 6.0), ("dL* 6 to 10", 6.0, 10.0), ("dL* 10 to 15", 10.0, 99.0))
    for (label, low, high), colour, shape in zip(bands, _COLOURS, _SHAPES, strict=False):
        points = []
        for cut in cuts:
            part = [
                r for r in rows if r.estimator == cut and r.state == "planted" and low <= r.delta_l < high
            ]
            true = sum(r.true_fraction * r.region_px for r in part)
            found = sum(r.fraction * r.region_px for r in part)
            both, whole = sum(r.both_px for r in part), sum(r.region_px for r in part)
            if true:
                points.append((100 * (found - both) / (whole - true), 100 * both / true))
        if points:
            x, y = zip(*points, strict=True)
            panel.plot(x, y, color=colour, marker=shape, markersize=4, label=label)
    panel.set(xlabel="clear skin called lesion, %", ylabel="lesion found, %", ylim=(0, 100), xlim=(0, None))
    panel.legend(frameon=False, fontsize=8)
    _save(figure, file)


def _save(figure: plt.Figure, file: Path, *, below: float = 0.0) -> None:
    for panel in figure.axes:
        panel.spines[["top", "right"]].set_visible(False)
    figure.tight_layout(rect=(0, below, 1, 1))
    figure.savefig(file, dpi=110)
    plt.close(figure)
