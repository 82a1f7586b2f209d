"""What the means of the first table hide: regions with and without pigment, the score's own error, scale."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from masi_vision.config import ScaleSettings
from masi_vision.pigment.interval import MeasureError
from masi_vision.scale import MASI_REGIONS, REGION_TENTHS
from masi_vision.training.phantom_photos import Row
from masi_vision.training.pigment_figures import by_shot, changes_held, correlation, coverage, figures
from masi_vision.visit.score import mmasi_of

NOTHING = "a map that finds nothing"
MUCH = 0.3
"""A fraction from which a region counts as much pigmented."""
_DRAWS = 1000
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


def details_table(ours: list[Row], laid_over: list[Row], error: MeasureError, scale: ScaleSettings) -> str:
    """The shipped map, of all people of the benchmark."""
    lines = [*_of_regions(ours, error, scale), *_of_scores(ours, scale)]
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
        "regions without, of the same photographs": [row for row in marked if row.true_fraction == 0],
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
    left = [row for row in marked if row.true_fraction == 0 and row.true_integrated_od > 0.003]
    share = np.mean([row.fraction > 0 for row in left])
    of = f"{len(left)} treated regions with a faint rest of pigment, whose true fraction counts as 0"
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


def _of_scores(ours: list[Row], scale: ScaleSettings) -> list[Line]:
    whole = [part for part in by_shot(ours).values() if len(part) == len(MASI_REGIONS)]
    pairs = {
        state: np.array(
            [
                (_mmasi(part, scale, found=False), _mmasi(part, scale))
                for part in whole
                if part[0].state in state
            ]
        )
        for state in (("planted", "treated"), ("clear", "again"))
    }
    true, found = pairs["planted", "treated"].T
    apart = found - true
    clear = pairs["clear", "again"][:, 1]
    limits = f"{apart.mean():+.1f} ± {1.96 * apart.std(ddof=1):.1f}"
    of = f"{len(true)} planted photographs with four graded regions, mean true mMASI {true.mean():.1f}"
    return [
        ("mMASI: mean absolute error; bias", f"{abs(apart).mean():.2f}; {apart.mean():+.2f}", of),
        (
            "mMASI: r; 95 % limits of agreement",
            f"{correlation(list(found), list(true)):.2f}; {limits}",
            of,
        ),
        (
            "mMASI above 0; 1 or more; largest",
            f"{(clear > 0).mean():.0%}; {(clear >= 1).mean():.0%}; {clear.max():.1f}",
            f"{len(clear)} clear photographs with four graded regions",
        ),
    ]


def _of_changes(ours: list[Row], laid_over: list[Row], scale: ScaleSettings) -> list[Line]:
    lines = []
    for name, rows, value in (
        ("integrated pigment by the two measures", ours, _integrated),
        ("integrated pigment, visits laid over each other", laid_over, _integrated),
        ("mMASI of the two visits", ours, lambda part, found: _mmasi(part, scale, found=found)),
    ):
        found, true = _changes(rows, value, whole=name.startswith("mMASI"))
        slope = np.polyfit(true, found, 1)[0]
        said = f"{found.mean() / true.mean():.2f}; {slope:.2f}"
        lines.append(
            (f"change found over change planted, {name}: of the means; slope", said, f"{len(true)} people")
        )
    return lines


def _changes(
    rows: list[Row], value: Callable[[list[Row], bool], float], *, whole: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Found and true change of every person, planted to treated."""
    shots = by_shot(rows)
    pairs = [
        (shots[person, "planted"], shots[person, "treated"])
        for person in sorted({person for person, _ in shots})
        if {(person, "planted"), (person, "treated")} <= shots.keys()
    ]
    if whole:
        pairs = [pair for pair in pairs if all(len(part) == len(MASI_REGIONS) for part in pair)]
    found, true = (
        np.array([value(after, is_found) - value(before, is_found) for before, after in pairs])
        for is_found in (True, False)
    )
    return found, true


def _integrated(part: list[Row], found: bool) -> float:
    weights = np.array([REGION_TENTHS[row.region] for row in part])
    amounts = [row.integrated_od if found else row.true_fraction * row.true_contrast_od for row in part]
    return float(np.average(amounts, weights=weights))


def _mmasi(part: list[Row], scale: ScaleSettings, *, found: bool = True) -> float:
    """As found, or of the truth."""
    return mmasi_of(
        {
            row.region: (row.fraction, row.contrast_od)
            if found
            else (row.true_fraction, row.true_contrast_od)
            for row in part
        },
        scale,
    )


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


def _points(share: float) -> str:
    return f"{100 * share:.1f} points"
