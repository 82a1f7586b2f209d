"""How well two visits are laid over each other, on phantoms of people on whom nothing was trained.

    python benchmarks/visits.py --faces FACES [--people 60] [--write]

Each person is photographed five times: clear, clear again, planted, planted after treatment, and planted
again as before, each time moved, scaled, turned and in another light (`masi_vision/phantom/capture.py`).
Where the same skin lies in two photographs is known from the camera. The follow-ups are taken again with the
lamp at set places (`masi_vision/training/moved_lamp.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from page import parser_of, write_results

from masi_vision.config import Settings, load_settings
from masi_vision.errors import NotScorable
from masi_vision.face.align import skin_area
from masi_vision.face.atlas import SUBUNIT_OF_REGION, FaceAtlas, Floats
from masi_vision.phantom.capture import draw_capture
from masi_vision.pigment.map import undecided
from masi_vision.pigment.measure import integrated_od, mean_over_area
from masi_vision.scale import REGION_TENTHS, MasiRegion
from masi_vision.training.phantom_photos import Picture, Scene, picture_of, planted_change_od
from masi_vision.training.pigment_export import Sittings, judged
from masi_vision.visit.laid_over import Comparison, face_in_frame, laid_over
from masi_vision.visit.models import Models, shipped_models
from masi_vision.visit.views import SkinDetail, alike

PAGE = Path(__file__).parent.parent / "docs" / "comparing.md"
LEAST_CHANGE_OD = 5e-4
APART = 0.01
LAMPS_DEG = (0, 5, 10, 15, 20)
STAYED = "stayed"
"""State of a pair of photographs of one melasma."""
STRANGERS = 10
"""Other people beside whom each is held."""
Changes = tuple[float, float, float, float, float]


@dataclass(frozen=True)
class Pair:
    """Two photographs of one person.

    Parameters
    ----------
    by_landmarks, registered : float
        How far the same skin lies apart, 90th percentile, in shares of the face's width.
    told : float
        The same as the comparison itself estimates it.
    by_region : tuple of (float, float)
        The first two of each region that both photographs grade.
    aligned : bool
        Whether the tool would compare them at all.
    plainly : float
        Share of the common skin on which a plain change is found.
    regions : mapping of name to (measured, low, high, difference of the measures, planted)
        Changes in OD of each region that both photographs grade.
    person : (measured, low, high, difference of the measures, planted) or None
        The same of the amount: of the four regions, weighted as in MASI; None where one lacks.
    detail : SkinDetail, 2
        By which one person is told from another.
    doubtful : bool
        Whether the tool tells no change of the visit, as the light is another.
    lamp_deg : int or None
        How far the lamp was set aside for the follow-up; None of the pairs of the first table.
    """

    state: str
    by_landmarks: float
    registered: float
    told: float
    by_region: tuple[tuple[float, float], ...]
    aligned: bool
    plainly: float
    regions: Mapping[str, Changes]
    person: Changes | None
    detail: tuple[SkinDetail, SkinDetail]
    doubtful: bool
    lamp_deg: int | None = None


def judge(pictures: list[Picture], models: Models, settings: Settings) -> Iterator[Pair]:
    """The clear pair, the treated pair, and the pair of a melasma that stayed, of one person."""
    by_state = {picture.state: picture for picture in pictures}
    for before, after in (("clear", "again"), ("planted", "treated")):
        yield _pair(by_state[before], by_state[after], models, settings)
    again = replace(by_state["planted"].scene, lamp_deg=by_state["treated"].scene.lamp_deg)
    if (there := _photographed(again, by_state["planted"], STAYED, models, settings)) is not None:
        yield replace(_pair(by_state["planted"], there, models, settings), state=STAYED)
    side = 1 if sum(map(ord, pictures[0].person)) % 2 else -1
    for lamp_deg in LAMPS_DEG:
        for before, after in (("clear", "again"), ("planted", "treated")):
            scene = replace(by_state[after].scene, lamp_deg=(side * lamp_deg, 0.0))
            there = _photographed(scene, by_state[after], after, models, settings, lamp_deg)
            if there is not None:
                yield replace(_pair(by_state[before], there, models, settings), lamp_deg=lamp_deg)


def _photographed(
    scene: Scene, like: Picture, what: str, models: Models, settings: Settings, lamp_deg: int = 0
) -> Picture | None:
    """Another photograph; None where it cannot be measured."""
    rng = np.random.default_rng((lamp_deg, *map(ord, like.person + what)))
    try:
        return picture_of(scene, draw_capture(rng), models, settings, rng, state=like.state)
    except NotScorable:
        return None


def _pair(before: Picture, after: Picture, models: Models, settings: Settings) -> Pair:
    atlas = models.face.atlas
    comparison = laid_over(face_in_frame(before.measures), face_in_frame(after.measures), atlas)
    change = comparison.change
    skin = (before.codes > 0) & (after.codes > 0)
    regions = dict(_regions(before, after, comparison, models))
    laid = np.asarray(comparison.laid.to_baseline(after.scene_xy), np.float32)

    def apart(where: np.ndarray) -> tuple[float, float]:
        return _apart(before, after.scene_xy, skin & where, atlas), _apart(
            before, laid, change.skin & where, atlas
        )

    return Pair(
        before.state,
        *apart(np.ones_like(skin)),
        comparison.residual_fraction,
        tuple(apart(before.codes == SUBUNIT_OF_REGION[name]) for name in regions),
        comparison.aligned(settings.quality.registration_residual),
        float(np.average(change.plain[change.skin] != 0, weights=skin_area(atlas)[change.skin])),
        regions,
        _person(regions, models),
        (SkinDetail.of(before.measures), SkinDetail.of(after.measures)),
        comparison.doubtful(settings.quality.registration_residual),
    )


def _person(regions: Mapping[str, Changes], models: Models) -> Changes | None:
    """Both routes to the change of the amount, beside what was planted."""
    if len(regions) < len(REGION_TENTHS):
        return None
    weights = [REGION_TENTHS[name] for name in regions]
    found, _, _, difference, true = np.average(list(regions.values()), axis=0, weights=weights)
    ends = models.pigment.change_error.around_mean([one[1:3] for one in regions.values()], weights)
    return float(found), *ends, float(difference), float(true)


def _apart(before: Picture, there: Floats, skin: np.ndarray, atlas: FaceAtlas) -> float:
    """How far apart on the face what lies at one place of the two frames is, over the face's width."""
    steps = np.linalg.norm(np.diff(before.scene_xy, axis=0), axis=2)[skin[:-1] & skin[1:]]
    off = np.linalg.norm(there - before.scene_xy, axis=2)[skin]
    return float(np.quantile(off, 0.9) / (np.median(steps) * atlas.face_width_px))


def _regions(
    before: Picture, after: Picture, comparison: Comparison, models: Models
) -> Iterator[tuple[MasiRegion, Changes]]:
    """Both routes on the skin that both photographs show, beside what was planted there."""
    change, both = comparison.change, (comparison.baseline.pigment, comparison.follow_up.pigment)
    area = skin_area(models.face.atlas)
    planted = planted_change_od(before, after, models.face.atlas)
    for name, subunit in SUBUNIT_OF_REGION.items():
        common = (before.codes == subunit) & change.skin
        if name not in before.graded & after.graded or not common.any():
            continue
        found, true = (mean_over_area(one, common, area) for one in (change.change_od, planted))
        first, second = (
            integrated_od(
                mean_over_area(one.density_od, common, area),
                mean_over_area(undecided(one.probability).astype(np.float32), common, area),
            )
            for one in both
        )
        ends = models.pigment.change_error.around(found, change.clear_fraction)
        yield name, (found, *ends, second - first, true)


def table(judged_pairs: list[Pair]) -> str:
    """The measures of the comparison beside what they must reach, of the pairs that the tool compares."""
    stayed = [pair for pair in judged_pairs if pair.aligned and pair.state == STAYED]
    judged_pairs = [pair for pair in judged_pairs if pair.state != STAYED]
    pairs = [pair for pair in judged_pairs if pair.aligned]
    refused = [f"{pair.registered:.1%}" for pair in judged_pairs if not pair.aligned]
    clear = [pair for pair in pairs if pair.state == "clear"]
    apart = np.array([[pair.by_landmarks, pair.registered, pair.told] for pair in pairs])
    regions = np.array([r for pair in pairs for r in pair.regions.values()]).T
    still = np.array([r for pair in clear for r in pair.regions.values()])[:, [0, 3]]
    planted = np.array([r for pair in pairs if pair.state == "planted" for r in pair.regions.values()]).T
    of_stayed = np.array([r for pair in stayed for r in pair.regions.values()]).T
    people, alike, alike_stayed = (
        np.array([p.person for p in (*pairs, *stayed) if p.state == state and p.person is not None]).T
        for state in ("planted", "clear", STAYED)
    )
    really = np.abs(regions[4]) > LEAST_CHANGE_OD
    held = _held(regions)

    def row(measure: str, laid: str, alone: str = "") -> str:
        return f"| {measure} | {laid} | {alone} |"

    apart_is = [f"{one.mean():.2%} ({one.max():.2%})" for one in apart.T]
    by_region = np.array([both for pair in pairs for both in pair.by_region])
    region_is = [
        f"{one.mean():.2%} ({one.max():.2%}); {(one > APART).sum()} of {len(one)} over {APART:.0%}"
        for one in by_region.T
    ]
    still_is = [f"{one:.4f}" for one in np.abs(still).mean(axis=0)]
    (error_is, follows), (amount_error_is, amount_follows) = (_beside_truth(one) for one in (planted, people))
    alike_is, stayed_is, alike_stayed_is = (
        [f"{one:.4f}" for one in np.abs(changes[[0, 3]]).mean(axis=1)]
        for changes in (alike, of_stayed, alike_stayed)
    )
    part = [f"{np.polyfit(people[4], people[route], 1)[0]:.0%}" for route in (0, 3)]
    lines = [
        f"{len(judged_pairs)} pairs of photographs, of which {len(refused)} are refused as not aligned (skin "
        f"really apart: {', '.join(refused) or 'none'}). Skin apart: 90th percentile over the skin, in "
        "shares of the face's width, mean (and worst) of the pairs.",
        "",
        row("measure", "laid over each other", "difference of the measures"),
        row("---", "---", "---"),
        row("skin apart by landmarks alone", apart_is[0]),
        row("skin apart once registered (must: under 1 %)", apart_is[1]),
        row("what `residual_*` says of that", apart_is[2]),
        row("region by region: apart by landmarks alone", region_is[0]),
        row("apart once registered", region_is[1]),
        row(
            "nothing changed: new or lost pigment (must: under 2 % of the skin)",
            f"{np.mean([pair.plainly for pair in clear]):.2%}",
        ),
        row("nothing changed: mean absolute change of a region, OD", *still_is),
        row("melasma that stayed: the same", *stayed_is),
        row("its 90 % interval holds", f"{_held(of_stayed).mean():.1%}"),
        row("r with the planted change, by region", *follows),
        row("mean absolute error of a region's change, OD", *error_is),
        row("90 % interval holds", f"{held.mean():.1%}"),
        row(
            "where pigment changed; where none did", f"{held[really].mean():.1%}; {held[~really].mean():.1%}"
        ),
        row("nothing changed: mean absolute change of the amount, OD", *alike_is),
        row("melasma that stayed: the same", *alike_stayed_is),
        row(f"r with the planted change of the amount, {people.shape[1]} people", *amount_follows),
        row("mean absolute error of the amount's change, OD", *amount_error_is),
        row("of a planted change, so much is found (slope)", *part),
        row("90 % interval of the amount's change holds", f"{_held(people).mean():.1%}"),
    ]
    return "\n".join(lines)


def lamps_table(pairs: list[Pair]) -> str:
    """What is told of follow-ups whose lamp stands aside; beside them those of which nothing is told."""
    lines = [
        "| lamp aside by | pairs | called doubtful | nothing changed: error of a region, OD; interval holds "
        "| planted change: r; error, OD; interval holds |",
        "| --- | --- | --- | --- | --- |",
    ]
    for lamp_deg in LAMPS_DEG:
        there = [pair for pair in pairs if pair.lamp_deg == lamp_deg and pair.aligned]
        told = [pair for pair in there if not pair.doubtful]
        cells = [f"{lamp_deg} degrees", str(len(there)), str(len(there) - len(told))]
        for state in ("clear", "planted"):
            regions = np.array([r for pair in told if pair.state == state for r in pair.regions.values()]).T
            if not regions.size:
                cells.append("")  # nothing is told of any
                continue
            r = f"{np.corrcoef(regions[0], regions[4])[0, 1]:.2f}; " if state == "planted" else ""
            error = np.abs(regions[0] - regions[4]).mean()
            cells.append(f"{r}{error:.4f}; {_held(regions).mean():.0%}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def likeness_table(pairs: list[Pair], limit: float) -> str:
    """How often `visits_likeness` of `masi qc` warns: of one person, of whom each is held against others."""
    firsts = [pair.detail[0] for pair in pairs if pair.state == "clear"]
    others = [
        alike(one, firsts[(place + step) % len(firsts)])
        for place, one in enumerate(firsts)
        for step in range(1, STRANGERS + 1)
    ]
    found = {"one person": [alike(*pair.detail) for pair in pairs], "two people": others}
    lines = [
        "| two photographs of | pairs | too little skin in common | likeness: least, median, greatest "
        f"| below {limit} |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, several in found.items():
        told = np.array([one for one in several if one is not None])
        ends = ", ".join(f"{one:.2f}" for one in np.quantile(told, (0, 0.5, 1)))
        lines.append(
            f"| {name} | {len(several)} | {len(several) - len(told)} | {ends} | {(told < limit).sum()} |"
        )
    return "\n".join(lines)


def _beside_truth(changes: np.ndarray) -> tuple[list[str], list[str]]:
    """Mean absolute error and r of both routes."""
    both = (changes[0], changes[3])
    errors = [f"{np.abs(one - changes[4]).mean():.4f}" for one in both]
    return errors, [f"{np.corrcoef(one, changes[4])[0, 1]:.2f}" for one in both]


def _held(changes: np.ndarray) -> np.ndarray:
    """Whether what was planted lies between the ends."""
    _, low, high, _, true = changes
    return np.asarray((low - 1e-9 <= true) & (true <= high + 1e-9))


def main() -> None:
    parser = parser_of(__doc__, writes="the table into docs/comparing.md", cache=True)
    parser.add_argument("--people", type=int, default=60)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    sittings = Sittings(arguments.faces, arguments.cache, "test", "held out", arguments.people)
    every = judged(sittings, shipped_models, judge)
    pairs = [pair for pair in every if pair.lamp_deg is None]
    limit = load_settings().quality.visits_likeness.warn or 0.0
    alike_of = [pair for pair in pairs if pair.state != STAYED]
    results = f"{table(pairs)}\n\n{lamps_table(every)}\n\n{likeness_table(alike_of, limit)}"
    print(results)
    if arguments.write:
        write_results(PAGE, results)


if __name__ == "__main__":
    main()
