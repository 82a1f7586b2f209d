"""Learning curves of a run as a picture."""

from __future__ import annotations

from pathlib import Path

from masi_vision.training.fit import SCORE, log_of

CURVES = "curves.png"
_NOT_DRAWN = {"step", "samples", "minutes", "waited_for_data", "part", SCORE}


def draw_curves(run: Path) -> None:
    """Draw every figure of a run's log over the samples, into ``run/curves.png``."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    parts = {part: log_of(run, part) for part in ("train", "validation")}
    names = [(part, name) for part, lines in parts.items() for name in (lines[-1] if lines else ())]
    names = [(part, name) for part, name in names if name not in _NOT_DRAWN]
    if not names:
        return
    columns = 3
    rows = -(-len(names) // columns)
    figure, panels = plt.subplots(rows, columns, figsize=(11, 2.6 * rows), squeeze=False)
    for panel, (part, name) in zip(panels.ravel(), names, strict=False):
        lines = [line for line in parts[part] if name in line]
        colour, shape = ("#0072B2", "") if part == "train" else ("#D55E00", "o")
        panel.plot(
            [line["samples"] for line in lines],
            [line[name] for line in lines],
            color=colour,
            marker=shape,
            markersize=4,
        )
        panel.set_title(f"{part}: {name.replace('_', ' ')}", fontsize=9)
        panel.set_xlabel("samples", fontsize=8)
        panel.tick_params(labelsize=8)
        panel.spines[["top", "right"]].set_visible(False)
    for panel in panels.ravel()[len(names) :]:
        panel.set_visible(False)
    figure.tight_layout()
    figure.savefig(run / CURVES, dpi=110)
    plt.close(figure)
