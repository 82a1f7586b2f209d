"""How much is found of a region that is pigmented for the most part, on people on whom nothing was trained.

    python benchmarks/large_patches.py --faces FACES [--write]

Most of what the network learned from fills a third of a region, seldom more than two thirds, and
`benchmarks/pigment.py` plants such. Here one site of an otherwise clear face is covered: by patches as those
of training, 0.7 to 3 times as large, or by an even sheet over the whole region and a little more. What is
found is set beside what is there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from page import parser_of, write_results
from views import fraction, region_of, shown

from masi_vision.config import Settings, load_settings
from masi_vision.face.atlas import FaceAtlas, Subunit
from masi_vision.phantom.colour import colour_from_depth, density_for_delta_l
from masi_vision.phantom.melasma import Melasma
from masi_vision.phantom.pattern import Ellipse, membership
from masi_vision.photo.colour import srgb_to_linear
from masi_vision.scale import area_grade
from masi_vision.training.cache import prepare
from masi_vision.training.data import LabelledFace
from masi_vision.training.phantom_photos import people_to_plant
from masi_vision.visit.models import Models, shipped_models

PAGE = Path(__file__).parent.parent / "docs" / "pigment.md"
MARKS = "<!-- large patches -->", "<!-- end of large patches -->"
SITES = {
    (Subunit.FOREHEAD,): [Ellipse(0.5, 0.16, 0.22, 0.06)],
    (Subunit.RIGHT_MALAR, Subunit.LEFT_MALAR): [
        Ellipse(0.2, 0.57, 0.11, 0.09),
        Ellipse(0.8, 0.57, 0.11, 0.09),
    ],
    (Subunit.CHIN,): [Ellipse(0.5, 0.89, 0.12, 0.06)],
}
SIZES, STEPS = (0.7, 1.2, 2.0, 3.0), (0.1, 0.3, 0.5, 0.7, 0.9, 1.01)
DELTA_L, DRAWS = (6.0, 15.0), 4
RIM = 0.02  # of the frame's width, by which a sheet reaches beyond its region


@dataclass(frozen=True)
class Covered:
    """A region under a patch or a sheet: the fraction that is there, and what was measured."""

    person: str
    is_sheet: bool
    true: float
    found: float
    low: float
    high: float
    undecided: bool


def covered(
    face: LabelledFace, is_sheet: bool, draw: int, models: Models, settings: Settings
) -> Iterator[Covered]:
    """The regions of one site of a face with patches of some size, or a sheet."""
    rng, atlas = np.random.default_rng((31, int(face.id), is_sheet, draw)), models.face.atlas
    sites = list(SITES)
    members = sites[int(rng.integers(len(sites)))]
    melasma = _melasma(face, members, is_sheet, atlas, rng)
    measures = shown(face, melasma, "front", 0.0, models, settings, rng)
    if measures is None:
        return
    least = settings.quality.visible_fraction.fail
    for member in members:
        measure, region = measures.regions[member.name.lower()], region_of(face, models, member)
        if measure is None or measure.visible_fraction < least or not region.any():
            continue
        yield Covered(
            face.id,
            is_sheet,
            fraction(melasma.lesion, region, models),
            measure.pigmented_fraction,
            measure.pigmented_fraction_low,
            measure.pigmented_fraction_high,
            measure.undecided_fraction > settings.pigment.undecided_fraction,
        )


def _melasma(
    face: LabelledFace,
    members: Sequence[Subunit],
    is_sheet: bool,
    atlas: FaceAtlas,
    rng: np.random.Generator,
) -> Melasma:
    skin = np.median(srgb_to_linear(face.pixels[face.labels > 0][None]), axis=(0, 1))
    colour = colour_from_depth(float(rng.random()))
    delta_l = float(np.exp(rng.uniform(*np.log(DELTA_L))))
    density = min(0.5, density_for_delta_l(np.maximum(skin, 0.02).astype(np.float32), colour, delta_l))
    height, width = atlas.labels.shape
    if is_sheet:
        on = np.isin(atlas.labels, members).astype(np.float32)
        side = 2 * round(RIM * width) + 1
        inside = cv2.GaussianBlur(cv2.dilate(on, np.ones((side, side), np.uint8)), (0, 0), RIM * width / 2)
        strength = np.ones_like(inside)
    else:
        size = float(rng.choice(SIZES))
        large = [
            Ellipse(one.x, one.y, size * one.radius_x, size * one.radius_y) for one in SITES[tuple(members)]
        ]
        inside, strength = membership((height, width), large, "confluent", rng)
    return Melasma((inside * strength * density).astype(np.float32), inside > 0.5, colour)


def table(regions: Sequence[Covered], settings: Settings) -> str:
    """A row for each step of the fraction that is there, of patches and of sheets."""
    lines = [
        "| of the region is pigmented | regions (people) | there | found | area grade within one | grade 0 "
        "| 90 % interval held | flagged `undecided` |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for is_sheet, name in ((False, "patches"), (True, "a sheet")):
        for low, high in pairwise(STEPS):
            part = [one for one in regions if one.is_sheet == is_sheet and low <= one.true < high]
            if len(part) >= 10:
                lines.append(f"| {name}, {low:.0%} to {min(high, 1):.0%} | {_figures(part, settings)} |")
    return "\n".join(lines)


def _figures(part: Sequence[Covered], settings: Settings) -> str:
    scale = settings.scale
    true, found = np.array([(one.true, one.found) for one in part]).T
    grades = [
        [area_grade(float(x), noise_floor=scale.noise_floor, edges=scale.area_cut_points) for x in side]
        for side in (true, found)
    ]
    apart = np.abs(np.subtract(*grades))
    held = np.mean([one.low <= one.true <= one.high for one in part])
    return (
        f"{len(part)} ({len({one.person for one in part})}) | {true.mean():.0%} | {found.mean():.0%} "
        f"| {np.mean(apart <= 1):.0%} | {np.mean(np.array(grades[1]) == 0):.0%} | {held:.0%} "
        f"| {np.mean([one.undecided for one in part]):.0%}"
    )


def main() -> None:
    parser = parser_of(__doc__, cache=True, writes="the table into docs/pigment.md")
    parser.add_argument("--people", type=int, default=60)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    data, models, settings = prepare(arguments.faces, arguments.cache), shipped_models(), load_settings()
    regions = [
        region
        for face in people_to_plant(data, "test")[: arguments.people]
        for is_sheet in (False, True)
        for draw in range(DRAWS // (1 + is_sheet))
        for region in covered(face, is_sheet, draw, models, settings)
    ]
    results = table(regions, settings)
    print(results)
    if arguments.write:
        write_results(PAGE, results, MARKS)


if __name__ == "__main__":
    main()
