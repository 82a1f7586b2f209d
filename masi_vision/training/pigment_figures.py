"""The figures by which a pigment map is judged, from its estimates beside the truth."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy.optimize import isotonic_regression

from masi_vision.config import ScaleSettings
from masi_vision.pigment.interval import Band, ChangeError, Distances, MeasureError
from masi_vision.scale import MASI_REGIONS, REGION_TENTHS, MasiRegion, area_grade
from masi_vision.training.phantom_photos import CHANGE, Row, State
from masi_vision.visit.score import change_ends, mmasi_of, moved

_Numbers = npt.NDArray[np.float64]

Shot = tuple[str, str]
"""Person and state: one photograph."""

DOUBT = (0.02, 0.5, 1.0)
"""Steps of the share of a region's skin that is undecided: next to nothing, up to half of it, more."""
CLEAR = (0.5, 1.0)
"""Steps of the share of a face that is surely clear: less of it than of anything else, or most of it."""
_LEAST_ROWS = 40
_NEAREST_CHANGES = 80
_PLANTED: tuple[State, State] = ("planted", "treated")
_WEIGHTS: dict[str, float] = {region: tenths / 10 for region, tenths in REGION_TENTHS.items()}
_DARK_DELTA_L = 6.0
LEVEL = 0.90
"""Share of truths that an interval should hold."""


def figures(rows: list[Row], scale: ScaleSettings) -> dict[str, float]:
    """The measures of the benchmark's table for one estimator.

    Notes
    -----
    Amount of a person: integrated density of the regions, weighted as in MASI, measured and planted. Dice:
    over the pixels of all regions of the planted photographs with dL* 6 and more. A figure of nobody is NaN,
    and so is a correlation of fewer than three people.
    """
    first = [part for (_, state), part in by_shot(rows).items() if state == "planted"]
    amounts = ([amount_of(part, true=true) for part in first] for true in (False, True))
    marked = [row for row in rows if row.state in _PLANTED]
    clear = [row.fraction for row in rows if row.state in ("clear", "again")]
    dark = [row for row in rows if row.state == "planted" and row.delta_l >= _DARK_DELTA_L]
    apart = np.array([_area(r.fraction, scale) - _area(r.true_fraction, scale) for r in marked])
    twice = [
        abs(score_of(again, scale) - score_of(clear, scale))
        for clear, again in pairs_of(rows, "clear", "again", whole=True)
    ]
    return {
        "false fraction on clear photos": _mean(clear),
        "error of the fraction": _mean([abs(r.fraction - r.true_fraction) for r in marked]),
        "r, amount": correlation(*amounts),
        "r, change": change_r(rows),
        "Dice at dL* 6 and more": dice(dark),
        "area grade exact": _mean(apart == 0),
        "area grade within one": _mean(abs(apart) <= 1),
        "mMASI change, nothing changed": _mean(twice),
    }


def dice(rows: Sequence[Row]) -> float:
    """Of all pixels of the rows' regions; NaN where nothing is pigmented or found."""
    pixels = sum(row.either_px for row in rows)
    return 2 * sum(row.both_px for row in rows) / pixels if pixels else float("nan")


def _mean(values: Sequence[float] | npt.NDArray[np.bool_]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


def _area(fraction: float, scale: ScaleSettings) -> int:
    return area_grade(fraction, noise_floor=scale.noise_floor, edges=scale.area_cut_points)


def change_r(rows: list[Row]) -> float:
    """Correlation of the change of the amount between the two planted photographs, measured and true."""
    pairs = pairs_of(rows, *_PLANTED)
    measured, true = (
        [amount_of(after, true=true) - amount_of(before, true=true) for before, after in pairs]
        for true in (False, True)
    )
    return correlation(measured, true)


def change_error(rows: list[Row]) -> ChangeError:
    """Within how much of a region's change nine truths in ten lay, by the size of what was measured.

    By step of `CLEAR`; in one table, where one of them has too few. And how much of that the weighted mean of
    a person's four regions needs for nine people in ten. Of planted and treated photographs alone, in a
    quarter of whose regions nothing was planted: beside clear faces, of whom hardly anything is measured,
    small changes would look surer than they are in a patient.

    Raises
    ------
    ValueError
        No row is of a change.
    """
    people = laid_over_changes(rows)
    if not people:
        raise ValueError("no change was measured: expected rows of the visits laid over each other")
    found, true, clear = np.array([one for regions in people.values() for one in regions.values()]).T
    parts = [clear <= CLEAR[0], clear > CLEAR[0]]
    if min(part.sum() for part in parts) < _NEAREST_CHANGES:
        parts = [np.full(len(clear), True)]
    tables = [_distances(found[part], true[part]) for part in parts]
    error = ChangeError(tuple(zip(CLEAR[-len(tables) :], tables, strict=True)))
    return replace(error, share=_share_of_mean(list(people.values()), error))


def _distances(found: _Numbers, true: _Numbers) -> Distances:
    size, missed = np.abs(found), np.abs(true - found)
    places = np.unique([0.0, *np.round(np.quantile(size, np.linspace(0.1, 0.97, 6)), 4)])
    near = (np.argsort(abs(size - place))[:_NEAREST_CHANGES] for place in places)
    within = [np.quantile(missed[one], LEVEL) for one in near]
    return Distances(tuple(float(p) for p in places), tuple(round(float(w), 4) for w in within))


def laid_over_changes(rows: Iterable[Row]) -> dict[str, dict[MasiRegion, tuple[float, float, float]]]:
    """Change of each region between a person's two planted photographs, laid over each other, and true.

    And how much of the face is surely clear, as of `ChangeMap`.
    """
    by_region = {(r.person, r.state, r.region): r for r in rows if r.estimator == CHANGE}
    people: dict[str, dict[MasiRegion, tuple[float, float, float]]] = {}
    for (person, state, region), first in by_region.items():
        second = by_region.get((person, "treated", region))
        if state == "planted" and second is not None:
            if first.clear_fraction is None:
                raise ValueError(
                    f"the change of {person} has no clear_fraction: expected rows of `change_rows`"
                )
            people.setdefault(person, {})[region] = (
                second.integrated_od - first.integrated_od,
                second.true_integrated_od - first.true_integrated_od,
                first.clear_fraction,
            )
    return people


def _share_of_mean(
    people: Sequence[Mapping[MasiRegion, tuple[float, float, float]]], error: ChangeError
) -> float:
    """Of people with all four regions; 1 where nobody has."""
    shares = []
    for regions in people:
        if len(regions) == len(MASI_REGIONS):
            weights = [_WEIGHTS[name] for name in regions]
            ends = [error.around(found, clear) for found, _, clear in regions.values()]
            low, high = error.around_mean(ends, weights)
            off = [true - found for found, true, _ in regions.values()]
            missed = abs(float(np.average(off, weights=weights)))
            shares.append(2 * missed / (high - low) if missed else 0.0)
    return min(1.0, round(float(np.quantile(shares, LEVEL)), 3)) if shares else 1.0


def by_shot(rows: Iterable[Row]) -> dict[Shot, list[Row]]:
    """Rows by photograph."""
    shots: dict[Shot, list[Row]] = {}
    for row in rows:
        shots.setdefault((row.person, row.state), []).append(row)
    return shots


def pairs_of(
    rows: Iterable[Row], first: State, second: State, *, whole: bool = False
) -> list[tuple[list[Row], list[Row]]]:
    """Two photographs of everybody, as far as both grade a region; all four, where they are to be `whole`."""
    least = len(MASI_REGIONS) if whole else 1
    shots = by_shot(rows)
    pairs = []
    for person in sorted({person for person, _ in shots}):
        two = [shots.get((person, state), []) for state in (first, second)]
        both = {row.region for row in two[0]} & {row.region for row in two[1]}
        if len(both) >= least:
            before, after = ([row for row in part if row.region in both] for part in two)
            pairs.append((before, after))
    return pairs


def correlation(one: list[float], other: list[float]) -> float:
    """Pearson's r; 0 where one of the two never varies, NaN of fewer than three."""
    if len(one) < 3:
        return float("nan")
    return float(np.corrcoef(one, other)[0, 1]) if np.std(one) > 0 and np.std(other) > 0 else 0.0


def amount_of(rows: list[Row], *, true: bool = False) -> float:
    """Integrated density of a photograph's regions in OD, weighted as in MASI, as found or of the truth."""
    amounts = [row.true_integrated_od if true else row.integrated_od for row in rows]
    return float(np.average(amounts, weights=[_WEIGHTS[row.region] for row in rows]))


def score_of(rows: list[Row], scale: ScaleSettings, *, true: bool = False) -> float:
    """The mMASI of a photograph, as found or of the truth."""
    return mmasi_of(_amounts(rows, true=true), scale)


def _amounts(rows: list[Row], *, true: bool) -> dict[MasiRegion, tuple[float, float]]:
    """Fraction and contrast of the regions that were graded."""
    return {
        row.region: (row.true_fraction, row.true_contrast_od) if true else (row.fraction, row.contrast_od)
        for row in rows
    }


def all_graded(rows: list[Row]) -> bool:
    """Whether all four regions of a photograph were graded: else it has no mMASI."""
    return len(rows) == len(MASI_REGIONS)


def measured_error(rows: list[Row], scale: ScaleSettings) -> MeasureError:
    """The intervals that held the truth of nine planted photographs in ten."""
    marked = [row for row in rows if row.state in _PLANTED]
    fraction, by_doubt = _fraction_band(marked), _by_doubt(rows)
    # Where the map found nothing there often is none: the few that it missed lie beyond nine in ten.
    contrast = band(
        [r.contrast_od for r in marked],
        [r.true_contrast_od for r in marked],
        highest_of_nothing=(1 + LEVEL) / 2,
    )
    for share in np.arange(0, 1.005, 0.01):
        error = MeasureError(fraction, contrast, round(float(share), 2), by_doubt)
        if coverage(rows, error, scale)["mMASI"] >= LEVEL:
            return replace(error, change_share=_change_share(rows, error, scale))
    raise ValueError(f"the regions' whole intervals hold less than {LEVEL:.0%} of the mMASI")


def _fraction_band(rows: Sequence[Row]) -> Band:
    return band([row.fraction for row in rows], [row.true_fraction for row in rows])


def _by_doubt(rows: Sequence[Row]) -> tuple[tuple[float, Band], ...]:
    """A band of the fraction for each step of `DOUBT`; none where doubt is not known, or few had as much.

    Of planted photographs; of the most undecided regions also of clear ones, as most of these are clear skin.
    """
    counted = [row for row in rows if row.state in _PLANTED or (row.undecided_fraction or 0.0) > DOUBT[-2]]
    known = [(row.undecided_fraction, row) for row in counted if row.undecided_fraction is not None]
    steps = zip((-1.0, *DOUBT[:-1]), DOUBT, strict=True)
    parts = [[row for doubt, row in known if above < doubt <= up_to] for above, up_to in steps]
    if min(map(len, parts)) < _LEAST_ROWS:
        return ()
    return tuple((up_to, _fraction_band(part)) for up_to, part in zip(DOUBT, parts, strict=True))


def band(
    measured: list[float],
    truth: list[float],
    *,
    highest_of_nothing: float = LEVEL,
    neighbours: int = 60,
) -> Band:
    """Where the truth lay, by what was measured.

    Parameters
    ----------
    highest_of_nothing : float
        Which quantile of the truth is the upper end where exactly nothing was measured.

    Notes
    -----
    At knots spread evenly over the ranks of what was measured, the 5th and 95th percentile of the truth of
    the ``neighbours`` nearest measurements. Where exactly nothing was measured, a quantile of the truth of
    all of those, the 90th percentile if no other is asked for: less than nothing is never true, so that no
    share is needed below. Neither end falls where more was measured: ends that do are averaged (isotonic
    regression), or a treated cheek could get a higher upper end than it had before.
    """
    found, true = np.array(measured), np.array(truth)
    positive = found[found > 0]
    spread = np.quantile(positive, np.linspace(0.03, 0.97, 7)) if len(positive) else []
    places = np.unique([0.0, *np.round(spread, 4)])
    lows, highs = [], []
    for place in places:
        near = np.argsort(abs(found - place), kind="stable")[:neighbours]
        nothing = place == 0 and (found == 0).sum() > neighbours
        if nothing:
            near = np.flatnonzero(found == 0)
        missed = true[near] - found[near]
        highest = highest_of_nothing if nothing else (1 + LEVEL) / 2
        lows.append(place + min(0.0, np.quantile(missed, (1 - LEVEL) / 2)))
        highs.append(place + max(0.0, np.quantile(missed, highest)))
    below, above = places - isotonic_regression(lows).x, isotonic_regression(highs).x - places
    return Band(*(tuple(round(abs(float(one)), 4) for one in part) for part in (places, below, above)))


def coverage(rows: list[Row], error: MeasureError, scale: ScaleSettings) -> dict[str, float]:
    """How often the intervals hold the truth of planted photographs."""
    marked = [row for row in rows if row.state in _PLANTED]
    fractions = [(*_ends(row, error), row.true_fraction) for row in marked]
    contrasts = [(*error.contrast_od.around(row.contrast_od), row.true_contrast_od) for row in marked]
    scores = [
        (*score_ends(shot, error, scale), score_of(shot, scale, true=True))
        for shot in filter(all_graded, by_shot(marked).values())
    ]
    return {"fraction": _held(fractions), "contrast": _held(contrasts), "mMASI": _held(scores)}


def score_ends(shot: list[Row], error: MeasureError, scale: ScaleSettings) -> tuple[float, float]:
    """Low and high end of a photograph's mMASI."""
    low, high = (
        mmasi_of(
            {
                row.region: (
                    moved(row.fraction, _ends(row, error)[end], error.share),
                    moved(row.contrast_od, error.contrast_od.around(row.contrast_od)[end], error.share),
                )
                for row in shot
            },
            scale,
        )
        for end in (0, 1)
    )
    return low, high


def changes_held(rows: list[Row], error: MeasureError, scale: ScaleSettings) -> list[bool]:
    """Whether the interval of a change of the mMASI holds it, of everybody planted and treated."""
    held = []
    for pair in pairs_of(rows, *_PLANTED, whole=True):
        before, after = ((score_of(shot, scale), *score_ends(shot, error, scale)) for shot in pair)
        low, high = change_ends(before, after, share=error.change_share)
        true = [score_of(shot, scale, true=True) for shot in pair]
        held.append(low - 1e-9 <= true[1] - true[0] <= high + 1e-9)
    return held


def _change_share(rows: list[Row], error: MeasureError, scale: ScaleSettings) -> float:
    """The least share that holds nine changes in ten; all of it where none does, or nobody is there."""
    for share in np.arange(0, 1.0, 0.05):
        one = replace(error, change_share=round(float(share), 2))
        if (held := changes_held(rows, one, scale)) and np.mean(held) >= LEVEL:
            return one.change_share
    return 1.0


def _ends(row: Row, error: MeasureError) -> tuple[float, float]:
    return error.around_fraction(row.fraction, row.undecided_fraction or 0.0)


def _held(intervals: Sequence[tuple[float, float, float]]) -> float:
    """Share of the truths, last, within their low and high end."""
    return float(np.mean([low - 1e-9 <= true <= high + 1e-9 for low, high, true in intervals]))
