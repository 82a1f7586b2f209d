"""What the means of the first table hide: regions with and without pigment, the score's own error, scale."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from pigment_sample import people_of
from pigment_score import Score

from masi_vision.config import ScaleSettings
from masi_vision.pigment.interval import MeasureError
from masi_vision.training.phantom_photos import Row
from masi_vision.training.pigment_figures import (
    amount_of,
    by_shot,
    changes_held,
    correlation,
    coverage,
    dice,
    figures,
    pairs_of,
    score_of,
)

NOTHING = "a map that finds nothing"
MUCH = 0.3
"""A fraction from which a region counts as much pigmented."""
DELTA_L = {
    "3 to 4.5": (3.0, 4.5),
    "4.5 to 6": (4.5, 6.0),
    "6 to 10": (6.0, 10.0),
    "10 and more": (10.0, np.inf),
    "6 and more": (6.0, np.inf),
    "all": (0.0, np.inf),
}
"""Full dL* of a person, from the first up to below the second. Chosen here."""
_DRAWS = 1000
_REST_OD = 0.001
"""Mean density of a region, above which it has a rest of pigment where none counts. Chosen here."""
Line = tuple[str, str, str]
"""What, how much, of how many."""


def finding_nothing(rows: Sequence[Row]) -> list[Row]:
    """The same photographs, and nothing found on any."""
    empty = {
        "fraction": 0.0,
        "contrast_od": 0.0,
        "integrated_od": 0.0,
        "both_px": 0,
        "undecided_fraction": 0.0,
    }
    return [replace(row, estimator=NOTHING, **empty) for row in rows]  # type: ignore[arg-type]


def details_table(
    ours: list[Row],
    laid_over: list[Row],
    scores: Sequence[Score],
    error: MeasureError,
    scale: ScaleSettings,
) -> str:
    """The shipped map, of all people of the benchmark."""
    lines = [*_of_regions(ours, error, scale), *_of_amounts(ours), *_of_scores(scores)]
    held = changes_held(ours, error, scale)
    lines += [*_of_changes(ours, laid_over, scale), *_over_people(ours, scale)]
    lines.append(
        ("90 % interval of the change of the mMASI held", f"{np.mean(held):.1%}", f"{len(held)} people")
    )
    head = ["| the shipped map | | of |", "| --- | --- | --- |"]
    return "\n".join(head + [f"| {what} | {value} | {number} |" for what, value, number in lines])


def _of_regions(ours: list[Row], error: MeasureError, scale: ScaleSettings) -> list[Line]:
    marked = [row for row in ours if row.state in ("planted", "treated")]
    parts = {
        "regions with pigment": [row for row in marked if row.true_fraction > 0],
        "regions without any, of the same photographs": [
            row for row in marked if row.true_fraction == 0 and row.true_integrated_od <= _REST_OD
        ],
        f"regions of which {MUCH:.0%} and more are pigmented": [r for r in marked if r.true_fraction >= MUCH],
    }
    lines: list[Line] = []
    for name, part in parts.items():
        of = f"{len(part)} {name}"
        found = figures(part, scale)
        held = coverage(part, error, scale)
        bias = float(np.mean([row.fraction - row.true_fraction for row in part]))
        exact, near = found["area grade exact"], found["area grade within one"]
        lines += [
            (
                "error of the fraction; bias",
                f"{_points(found['error of the fraction'])}; {_points(bias)}",
                of,
            ),
            ("area grade exact; within one", f"{exact:.1%}; {near:.1%}", of),
            (
                "90 % intervals of fraction; contrast held",
                f"{held['fraction']:.1%}; {held['contrast']:.1%}",
                of,
            ),
        ]
    left = [row for row in marked if row.true_fraction == 0 and row.true_integrated_od > _REST_OD]
    share = np.mean([row.fraction > 0 for row in left])
    of = f"{len(left)} regions with a faint rest of pigment, whose true fraction counts as 0"
    lines.append(
        ("called pigmented; mean fraction", f"{share:.0%}; {np.mean([r.fraction for r in left]):.1%}", of)
    )
    clear = [row.fraction for row in ours if row.state in ("clear", "again")]
    floor = np.mean(np.array(clear) >= scale.noise_floor), np.mean(np.array(clear) >= 0.1)
    of = f"{len(clear)} regions of the clear photographs"
    lines.append(
        ("area grade 1 or more; 10 % or more of it called pigment", f"{floor[0]:.1%}; {floor[1]:.1%}", of)
    )
    both = [row for row in marked if row.true_contrast_od > 0 and row.contrast_od > 0]
    found_log, true_log = (
        np.log([getattr(row, name) for row in both]) for name in ("contrast_od", "true_contrast_od")
    )
    slope = np.polyfit(true_log, found_log, 1)[0]
    lines.append(
        (
            "logarithm of the contrast against the true one: r; slope",
            f"{np.corrcoef(found_log, true_log)[0, 1]:.2f}; {slope:.2f}",
            f"{len(both)} regions with pigment found",
        )
    )
    return lines


def _of_amounts(ours: list[Row]) -> list[Line]:
    shots = by_shot(ours).values()
    clear = [amount_of(part) for part in shots if part[0].state in ("clear", "again")]
    marked = [part for part in shots if part[0].state in ("planted", "treated")]
    found, true = ([amount_of(part, true=is_true) for part in marked] for is_true in (False, True))
    slope, offset = np.polyfit(true, found, 1)
    return [
        (
            "integrated pigment found where there is none",
            f"{np.mean(clear):.4f} OD",
            f"{len(clear)} clear photographs",
        ),
        (
            "integrated pigment, found on true: slope; intercept",
            f"{slope:.2f}; {offset:.4f} OD",
            f"{len(true)} planted photographs, mean true {np.mean(true):.4f} OD",
        ),
    ]


def _of_scores(scores: Sequence[Score]) -> list[Line]:
    true, found = np.array([(one.true, one.found) for one in scores if one.planted]).T
    apart = found - true
    clear = np.array([one.found for one in scores if not one.planted])
    return [
        (
            "mMASI: r; 95 % limits of agreement",
            f"{correlation(list(found), list(true)):.2f}; "
            f"{apart.mean():+.1f} ± {1.96 * apart.std(ddof=1):.1f}",
            f"{len(true)} planted photographs with four graded regions, mean true mMASI {true.mean():.1f}",
        ),
        (
            "mMASI above 0; 1 or more; largest",
            f"{(clear > 0).mean():.0%}; {(clear >= 1).mean():.0%}; {clear.max():.1f}",
            f"{len(clear)} clear photographs with four graded regions",
        ),
    ]


def _of_changes(ours: list[Row], laid_over: list[Row], scale: ScaleSettings) -> list[Line]:
    lines = []
    value: Callable[..., float]
    for name, rows, value in (
        ("integrated pigment by the two measures", ours, amount_of),
        ("integrated pigment, visits laid over each other", laid_over, amount_of),
        ("mMASI of the two visits", ours, partial(score_of, scale=scale)),
    ):
        pairs = pairs_of(rows, "planted", "treated", whole=name.startswith("mMASI"))
        found, true = (
            np.array([value(after, true=is_true) - value(before, true=is_true) for before, after in pairs])
            for is_true in (False, True)
        )
        slope = np.polyfit(true, found, 1)[0]
        said = f"{found.mean() / true.mean():.2f}; {slope:.2f}"
        lines.append(
            (f"change found over change planted, {name}: of the means; slope", said, f"{len(true)} people")
        )
    return lines


def _over_people(ours: list[Row], scale: ScaleSettings) -> list[Line]:
    """95 % intervals of what the first table says, people drawn with replacement."""
    by_person: dict[str, list[Row]] = {}
    for row in ours:
        by_person.setdefault(row.person, []).append(row)
    people, rng = sorted(by_person), np.random.default_rng(1)
    drawn = []
    for _ in range(_DRAWS):
        rows: list[Row] = []
        for number, place in enumerate(rng.integers(0, len(people), len(people))):
            # Drawn twice, a person is two.
            rows += [replace(row, person=f"{number}") for row in by_person[people[place]]]
        drawn.append(figures(rows, scale))
    lines = []
    for name in ("r, amount", "r, change", "error of the fraction", "area grade within one"):
        low, high = np.nanquantile([one[name] for one in drawn], (0.025, 0.975))
        as_text = f"{low:.2f} to {high:.2f}" if name.startswith("r,") else f"{low:.1%} to {high:.1%}"
        lines.append((f"95 % interval of: {name}", as_text, f"{len(people)} people drawn"))
    return lines


def faint_table(ours: list[Row], scale: ScaleSettings) -> str:
    """What is found of pigment, by how dark it is."""
    planted = [row for row in ours if row.state == "planted"]
    lines = [
        "Planted photographs by the full dL* of the person, faint pigment first. Dice: of all their regions.",
        "",
        "| full dL* | regions with pigment | called clear | area grade within one | Dice |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, (least, below) in DELTA_L.items():
        part = [row for row in planted if least <= row.delta_l < below]
        marked = [row for row in part if row.true_fraction > 0]
        if marked:
            clear = np.mean([row.fraction < scale.noise_floor for row in marked])
            near = figures(marked, scale)["area grade within one"]
            lines.append(
                f"| {name}, {people_of(part)} | {len(marked)} | {clear:.0%} | {near:.0%} | {dice(part):.2f} |"
            )
    return "\n".join(lines)


def _points(share: float) -> str:
    return f"{100 * share:.1f} points"
