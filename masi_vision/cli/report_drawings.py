"""What a study's page shows as pictures: figures of its tables, and the strips of its visits."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from masi_vision.cli.provenance import refuse_other_models
from masi_vision.errors import StatsError, reason_of
from masi_vision.reads_table import AMOUNT, rows_of

if TYPE_CHECKING:
    from masi_vision.report.figures import Interval
    from masi_vision.report.study import Drawing, Strip

DRAWINGS = ("distribution", "bland_altman", "forest", "trajectories")
"""Figures that a page may have."""
_FRONT, _STRIP_PX = "_front.jpg", 1100
Rows = Sequence[Mapping[str, str]]
_NAN = float("nan")


def scores_drawn(scores: Rows, found: Rows = ()) -> list[Drawing]:
    """The scores by visit, in the order of the outcome; all in one of a coded set, whose visits are codes,
    or where no one has a name."""
    import numpy as np

    from masi_vision.names import in_order
    from masi_vision.report.figures import distribution_figure
    from masi_vision.report.study import Drawing, visits_of

    groups: dict[str, list[float]] = {}
    for row in scores:
        if row["mmasi"] and not row.get("repeat_of"):
            groups.setdefault(row["visit"], []).append(float(row["mmasi"]))
    if len(groups) > 12 or not any(row["patient"] for row in scores):
        groups = {"all visits": [value for values in groups.values() for value in values]}
    if not groups:
        return []
    ordered = in_order(groups, visits_of(found))
    svg = distribution_figure({name: np.array(groups[name]) for name in ordered}, "mMASI")
    told = "; ".join(
        f"{name}: median {np.median(groups[name]):.1f} of {len(groups[name])}" for name in ordered
    )
    words = (
        "Every scored visit is a point; box: quartiles and median, whiskers: to 1.5 times the box. "
        "Below each visit: how many."
    )
    return [Drawing("distribution", "mMASI by the software", words, svg, told)]


def agreement_drawn(reads: Rows, scores: Rows, agreed: Rows) -> list[Drawing]:
    """The software against the mean of the readers."""
    from masi_vision.report.figures import bland_altman_figure, interval_text
    from masi_vision.report.study import Drawing
    from masi_vision.stats.panel import PANEL, SOFTWARE
    from masi_vision.stats.reads import reads_from, scores_table, table_of

    between = f"{SOFTWARE} less {PANEL}"
    figures = {
        row["measure"]: row for row in agreed if row["between"] == between and row["topic"] == "software"
    }
    measures = ("lower limit of agreement, mMASI", "bias, mMASI", "upper limit of agreement, mMASI")
    if not reads or not all(name in figures for name in measures):
        return []
    table = table_of(reads_from(reads, "reads"), scores=scores_table(scores, "scores"))
    panel = table.values[:, :-1].mean(axis=1)
    svg = bland_altman_figure(
        table.of(SOFTWARE), panel, (SOFTWARE, PANEL), [_interval(figures[name]) for name in measures]
    )
    words = (
        "A point is a visit. Between the broken lines lie 95 % of the differences, if they are normal; grey: "
        "intervals of the lines."
    )
    told = "; ".join(f"{name} {interval_text(_interval(figures[name]))}" for name in measures)
    return [Drawing("bland_altman", "The software beside the readers", words, svg, told)]


def outcome_drawn(found: Rows, asked: Mapping[str, Any] | None) -> list[Drawing]:
    """Arms over the visits, and against the control."""
    from masi_vision.report.figures import forest_figure, interval_text, trajectories_figure
    from masi_vision.report.study import Drawing, endpoint_name, visits_of
    from masi_vision.stats.outcome import NOT_COMPARED, NOT_FITTED

    made, endpoint = [], endpoint_name(asked)
    column = str(asked["endpoint"]) if asked else "mmasi"
    differences = [
        (f"{row['analysis'].removeprefix('sensitivity: ')}: {row['arm']}", _interval(row))
        for row in found
        if row["measure"] == "difference"
    ]
    missing = [
        f"{row['analysis'].removeprefix('sensitivity: ')}, {row['arm']}: {row['measure'].rstrip('.')}"
        for row in found
        if row["measure"].startswith((NOT_COMPARED, NOT_FITTED))
    ]
    if differences:
        wider = any(row.get("low_together", "") not in ("", row["low"]) for row in found)
        words = (
            "Difference of the adjusted means at the primary visit, 95 % interval of each comparison alone"
            f"{' (that for all comparisons together is wider: outcome.csv, low_together)' * wider}."
        )
        absent = f" Not drawn: {'; '.join(missing)}." if missing else ""
        measure = f"difference in {endpoint}; left of 0: less than the control"
        svg = forest_figure(differences, measure, column)
        told = "; ".join(f"{name} {interval_text(one, column)}" for name, one in differences)
        made.append(Drawing("forest", "Arms against the control", words + absent, svg, told))
    arms: dict[str, dict[str, Interval]] = {}
    for row in found:
        if row["analysis"] == "trajectory":
            arms.setdefault(row["arm"], {})[row["visit"]] = _interval(row)
    if arms:
        from_zero = column != AMOUNT
        down = ", drawn down to 0" if from_zero else ""
        words = f"Mean of the patients who have the visit, and its 95 % interval{down}."
        drawn = [one for one in visits_of(found) if any(one in visits for visits in arms.values())]
        svg = trajectories_figure(arms, endpoint, drawn, from_zero=from_zero)
        told = "; ".join(
            f"{arm}, {visit} {interval_text(one, column)}"
            for arm, visits in arms.items()
            for visit, one in visits.items()
        )
        made.append(Drawing("trajectories", f"{endpoint} by arm and visit", words, svg, told))
    return made


def _interval(row: Mapping[str, str]) -> Interval:
    value, low, high = (float(row[name]) if row[name] else _NAN for name in ("value", "low", "high"))
    return value, low, high


def strips_of(compared: Path, scores: Rows, left_out: Collection[str]) -> list[Strip]:
    """The pictures of masi compare from the front, small enough for a page of eighty patients."""
    from masi_vision.cli.run import CHANGES_CSV, PICTURES
    from masi_vision.report.names import FileNames
    from masi_vision.report.picture import smaller_jpeg
    from masi_vision.report.study import Strip
    from masi_vision.visit.region import flag_words

    if not any((compared / PICTURES).glob(f"*{_FRONT}")):
        raise StatsError(
            f"{compared} holds no {PICTURES}/NAME{_FRONT}. Expected the results of masi compare on the "
            "study, with its pictures."
        )
    changes = rows_of(compared / CHANGES_CSV)
    series: dict[str, list[str]] = {}
    for row in changes:
        lacking = series.setdefault(row.get("patient", ""), [])
        if row.get("status") == "not_compared":
            lacking.append(f"{row['follow_up']} ({flag_words((row.get('reason', ''),))})")
        elif row.get("residual_front") == "":
            lacking.append(f"{row['follow_up']} (not from the front)")
    if others := series.keys() - {row["patient"] for row in scores} - {"", *left_out}:
        raise StatsError(
            f"{compared} shows {', '.join(sorted(others)[:3])}, of whom there is no score here. Expected the "
            "results of masi compare on this study. Name its folder."
        )
    shown = [row for row in changes if row.get("patient", "") not in left_out]
    remedy = "Compare the visits again with the models of the scores."
    refuse_other_models(shown, scores, f"The pictures of {compared} were", remedy)
    names, strips = FileNames(), []  # as masi compare names them
    try:
        for patient, lacking in series.items():
            file = compared / PICTURES / f"{names.of(patient or 'visits', '')}{_FRONT}"
            if patient in left_out:
                continue
            drawn = smaller_jpeg(file.read_bytes(), width_px=_STRIP_PX) if file.exists() else b""
            strips.append(Strip(patient or "The visits", drawn, lacking))
    except (OSError, ValueError) as error:
        raise StatsError(
            f"The pictures of {compared} cannot be read ({reason_of(error)}). Expected those of masi "
            "compare. Compare the visits again."
        ) from error
    return strips
