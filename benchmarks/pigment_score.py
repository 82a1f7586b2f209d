"""How far the mMASI of a photograph is off: by what is true, and by skin tone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from pigment_sample import people_of

from masi_vision.config import ScaleSettings
from masi_vision.pigment.interval import MeasureError
from masi_vision.skin.tone import TONES
from masi_vision.training.phantom_photos import Row
from masi_vision.training.pigment_figures import all_graded, by_shot, coverage, score_ends, score_of

_NOT_0 = 1e-9
BANDS = {
    "0": (0.0, _NOT_0),
    "above 0, under 2": (_NOT_0, 2.0),
    "2, under 6": (2.0, 6.0),
    "6 and more": (6.0, np.inf),
}
"""Of the true mMASI. Chosen here."""


@dataclass(frozen=True)
class Score:
    """The mMASI of one photograph and the ends of its 90 % interval, beside the true one."""

    tone: str
    planted: bool
    found: float
    true: float
    low: float
    high: float

    @property
    def held(self) -> bool:
        """Whether the interval holds the truth."""
        return self.low - 1e-9 <= self.true <= self.high + 1e-9


def scores_of(rows: Sequence[Row], error: MeasureError, scale: ScaleSettings) -> list[Score]:
    """Of every photograph with four graded regions."""
    return [
        Score(
            shot[0].tone,
            shot[0].state in ("planted", "treated"),
            score_of(shot, scale),
            score_of(shot, scale, true=True),
            *score_ends(shot, error, scale),
        )
        for shot in filter(all_graded, by_shot(rows).values())
    ]


def score_table(scores: Sequence[Score]) -> str:
    """By the true mMASI, beside a map that finds nothing and the constant that errs least."""
    planted = [one for one in scores if one.planted]
    parts = {"clear": [one for one in scores if not one.planted]}
    for name, (least, below) in BANDS.items():
        parts[f"planted, true mMASI {name}"] = [one for one in planted if least <= one.true < below]
    parts["planted, all"] = planted
    found, true = ([getattr(one, name) for one in planted] for name in ("found", "true"))
    slope, offset = np.polyfit(true, found, 1)
    constant = float(np.median(true))
    lines = [
        "The same by the true mMASI; spread: standard deviation of found less true. The bias of all hides "
        f"that of little and that of much: found on true has slope {slope:.2f}, intercept {offset:.2f}.",
        "",
        "| photographs | number | mean absolute error | bias | spread | 90 % interval held | its width |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, part in parts.items():
        if part:
            held, width = np.mean([(one.held, one.high - one.low) for one in part], axis=0)
            lines.append(f"{_errors(name, part)} {held:.1%} | {width:.1f} |")
    for name, value in (("a map that finds nothing", 0.0), (f"the best constant, {constant:.1f}", constant)):
        always = [replace(one, found=value) for one in planted]
        lines.append(f"{_errors(f'planted, all: {name}', always)} | |")
    return "\n".join(lines)


def _errors(name: str, part: Sequence[Score]) -> str:
    off = np.array([one.found - one.true for one in part])
    return f"| {name} | {len(off)} | {abs(off).mean():.2f} | {off.mean():+.2f} | {off.std():.2f} |"


def tone_table(
    rows: Sequence[Row], scores: Sequence[Score], error: MeasureError, scale: ScaleSettings
) -> str:
    """The error of the score, what intervals hold, by tone as photographed; the darkest beside all others."""
    *lighter, dark = (tone for tone, _ in TONES)
    parts = {tone: (tone,) for tone in (*lighter, dark)} | {f"all but {dark}": tuple(lighter)}
    lines = [
        "The mMASI by skin tone as photographed, where all four regions are graded. "
        "Contrast: of the regions with pigment.",
        "",
        "| skin tone | planted photographs | mean absolute error; bias | clear ones above 0 "
        "| 90 % interval of the contrast held | of the mMASI |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, tones in parts.items():
        people = [row for row in rows if row.tone in tones]
        planted, clear = (
            [one for one in scores if one.tone in tones and one.planted is is_planted]
            for is_planted in (True, False)
        )
        if not (planted and clear):
            continue
        off = np.array([one.found - one.true for one in planted])
        contrast = coverage([row for row in people if row.true_fraction > 0], error, scale)["contrast"]
        lines.append(
            f"| {name}, {people_of(people)} | {len(off)} | {abs(off).mean():.2f}; {off.mean():+.2f} "
            f"| {np.mean([one.found > 0 for one in clear]):.0%} | {contrast:.1%} "
            f"| {np.mean([one.held for one in planted]):.1%} |"
        )
    return "\n".join(lines)
