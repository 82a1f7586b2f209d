"""Every estimator on the same phantoms of people on whom nothing was trained, in the same regions.

    python benchmarks/pigment.py --faces FACES [--photos 400] [--plain RUN] [--write] [--rows FILE]

Truth is drawn from other families than training: patterns (cells, strokes, discs), colours (by depth) and
captures (whole photographs, turned, shifted, shrunk, through JPEG). Each person is photographed four times:
clear, clear again, planted, and planted after treatment, each time in another light and position.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
from classical import RULES, pigmented
from invariance import invariance_table
from page import parser_of, write_results
from paired import NAME as PAIRED
from paired import paired_rows
from pigment_details import NOTHING, details_table, faint_table, finding_nothing
from pigment_sample import faces_left, people_of, sample_text
from pigment_score import score_table, scores_of, tone_table
from plain_unet import NAME as PLAIN
from plain_unet import by_plain_unet
from plots import draw_plots

from masi_vision.config import PigmentSettings, ScaleSettings, Settings, load_settings
from masi_vision.face.atlas import MASI_SUBUNITS
from masi_vision.phantom.distractor import Distractor
from masi_vision.photo import linear_to_srgb8
from masi_vision.pigment.learned import METHOD
from masi_vision.pigment.map import surer
from masi_vision.skin.density import optical_density
from masi_vision.training.cache import prepare
from masi_vision.training.phantom_photos import CHANGE, Mask, Picture, Row, change_rows, rows_of
from masi_vision.training.pigment_export import CUTS, Sittings, judged, markdown
from masi_vision.training.pigment_figures import change_r, coverage, figures
from masi_vision.visit.measure import classical_map
from masi_vision.visit.models import Models, shipped_models
from masi_vision.visit.quality import check_photo, of_region, refusal
from masi_vision.visit.seen import SeenPhoto

SHIPPED, BY_RULES = "masi_vision, learned (shipped)", "masi_vision, classical (second opinion)"
EARLIER = f"{PLAIN} (of an earlier run)"
PASSED = "passes the quality gate"
LAID_OVER = "masi_vision, visits laid over each other (change only)"
EVEN_OD, UNEVEN_OD = 1.0, 1.2
SMALL_PX, LARGE_PX = 80.0, 160.0
LEAST_FOR_R = 18
"""Of fewer people no correlation is told."""
HERE = Path(__file__).parent


def judge(
    pictures: list[Picture],
    models: Models,
    settings: Settings,
    *,
    plain: Path | None = None,
    baselines: bool = True,
) -> Iterator[Row]:
    """Every estimator on the photographs of one person, or the shipped map alone."""
    for picture in pictures:
        yield from judge_one(picture, settings)
        if baselines:
            yield from judge_baselines(picture, models, settings)
        if plain is not None:
            yield from rows_of(picture, PLAIN, *by_plain_unet(picture, plain))
    yield from passed_rows(pictures, settings)
    by_state = {picture.state: picture for picture in pictures}
    if baselines:
        yield from paired_rows(by_state["planted"], by_state["treated"])
    yield from change_rows(by_state["clear"], by_state["again"], models.face.atlas, settings)
    yield from change_rows(by_state["planted"], by_state["treated"], models.face.atlas, settings)


def passed_rows(pictures: list[Picture], settings: Settings) -> Iterator[Row]:
    """The shipped map on people all of whose photographs the quality gate passes, without refused regions."""
    checks = [
        check_photo(SeenPhoto(one.measures.photo, one.measures.face, one.codes), "front", settings)
        for one in pictures
    ]
    if any(refusal(findings) for findings in checks):
        return
    for picture, findings in zip(pictures, checks, strict=True):
        learned = picture.measures.pigment
        rows = rows_of(picture, PASSED, learned.lesion, learned.density_od, learned.probability)
        yield from (row for row in rows if not of_region(findings, row.region, "fail"))


def judge_one(picture: Picture, settings: Settings) -> Iterator[Row]:
    """The shipped map, region by region; and every cut, raised by doubt as it is shipped, for the ROC."""
    learned = picture.measures.pigment
    lesions = {SHIPPED: learned.lesion}
    for cut in CUTS:
        least = surer(cut, settings.pigment.raised_by_doubt, learned.probability, learned.skin)
        lesions[f"cut {cut:g}"] = learned.skin & (learned.probability >= least)
    for name, lesion in lesions.items():
        yield from rows_of(picture, name, lesion, learned.density_od, learned.probability)


def judge_baselines(picture: Picture, models: Models, settings: Settings) -> Iterator[Row]:
    """Our own rules and the published ones, which no network changes."""
    rules = classical_map(picture.linear, picture.codes, settings.pigment, models)
    yield from rows_of(picture, BY_RULES, rules.lesion, rules.density_od)
    for name in RULES:
        yield from rows_of(picture, name, *by_rule(picture, name))


def by_rule(picture: Picture, name: str) -> tuple[Mask, np.ndarray]:
    """One of the baselines; its density is that of what it found against the rest of the region's skin."""
    coded = linear_to_srgb8(picture.linear)
    density = optical_density(picture.linear).mean(axis=2)
    lesion = np.zeros(picture.codes.shape, bool)
    above = np.zeros(picture.codes.shape, np.float32)
    for subunit in MASI_SUBUNITS:
        region = picture.codes == subunit
        found = pigmented(RULES[name], coded, region)
        lesion |= found
        rest = region & ~found
        if found.any() and rest.any():
            above[found] = np.maximum(density[found] - np.median(density[rest]), 0)
    return lesion, above


def of(rows: list[Row], name: str) -> list[Row]:
    return [row for row in rows if row.estimator == name]


def estimators_table(rows: list[Row], scale: ScaleSettings, page: str) -> str:
    """All estimators; the plain U-Net as the page has it, where it did not run."""
    names = [name for name in (SHIPPED, BY_RULES, PLAIN, *RULES) if of(rows, name)]
    table = {name: figures(of(rows, name), scale) for name in names}
    constant = dict.fromkeys(("r, amount", "r, change"), float("nan"))
    table[NOTHING] = figures(finding_nothing(of(rows, SHIPPED)), scale) | constant
    nothing = dict.fromkeys(table[SHIPPED], float("nan"))
    paired = {LAID_OVER: CHANGE, PAIRED: PAIRED}
    changes = {name: nothing | {"r, change": change_r(of(rows, key))} for name, key in paired.items()}
    made = markdown(table | changes)
    return made if of(rows, PLAIN) else with_kept(made, page)


def with_kept(table: str, page: str) -> str:
    """The table with the plain U-Net's line of a page, said to be of an earlier run, behind our rules."""
    kept = [line for line in page.splitlines() if line.startswith((f"| {PLAIN} |", f"| {EARLIER} |"))]
    lines = table.splitlines()
    place = 1 + next(number for number, line in enumerate(lines) if line.startswith(f"| {BY_RULES} |"))
    lines[place:place] = [line.replace(f"| {PLAIN} |", f"| {EARLIER} |") for line in kept]
    return "\n".join(lines)


def groups_table(rows: list[Row], scale: ScaleSettings) -> str:
    """The shipped map by skin tone, by distractor and by light; its mean error over all is the last row."""
    ours = of(rows, SHIPPED)
    table = {}
    for tone in sorted({row.tone for row in ours}):
        part = [row for row in ours if row.tone == tone]
        table[f"{tone}, {people_of(part)}"] = figures(part, scale)
    for kind in ("none", *get_args(Distractor)):
        part = [row for row in ours if row.distractor == kind]
        if part:
            table[f"with {kind.replace('_', ' ')}, {people_of(part)}"] = figures(part, scale)
    table |= _by_light(ours, scale) | _by_size(ours, scale)
    passed = of(rows, PASSED)
    table[f"photographs that `masi qc` passes, {people_of(passed)}"] = figures(passed, scale)
    table["all"] = figures(ours, scale)
    for name, part in table.items():
        if name != "all" and int(name.rsplit(", ", 1)[1].split()[0]) < LEAST_FOR_R:
            table[name] = part | dict.fromkeys(("r, amount", "r, change"), float("nan"))
    return markdown(table, "the shipped map on")


def _by_light(ours: list[Row], scale: ScaleSettings) -> dict[str, dict[str, float]]:
    by_light: dict[str, list[Row]] = {}
    ranges: dict[str, float] = {}
    for row in ours:  # a person's clear photograph comes first; where nothing was graded there, the next
        ranges.setdefault(row.person, row.light_range_od)
    for row in sorted(ours, key=lambda one: ranges[one.person]):
        by_light.setdefault(_light(ranges[row.person]), []).append(row)
    return {f"{light}, {people_of(part)}": figures(part, scale) for light, part in by_light.items()}


def _by_size(ours: list[Row], scale: ScaleSettings) -> dict[str, dict[str, float]]:
    """By the least width of the face on any photograph of a person; cut where `masi qc` fails and warns."""
    least: dict[str, float] = {}
    for row in ours:
        least[row.person] = min(row.face_px, least.get(row.person, row.face_px))
    table = {}
    for low, high in ((0.0, SMALL_PX), (SMALL_PX, LARGE_PX), (LARGE_PX, float("inf"))):
        part = [row for row in ours if low <= least[row.person] < high]
        if part:
            width = f"{low:g} to {high:g} px" if high < float("inf") else f"{low:g} px and more"
            name = f"face {width} wide"
            table[f"{name}, {people_of(part)}"] = figures(part, scale)
    return table


def _light(range_od: float) -> str:
    """How even the light is; cut by hand: about half of the people stand in the first row."""
    if range_od < EVEN_OD:
        return f"light and shade within {EVEN_OD:g} OD"
    if range_od < UNEVEN_OD:
        return f"light and shade within {UNEVEN_OD:g} OD"
    return f"light and shade more than {UNEVEN_OD:g} OD apart"


def coverage_table(rows: list[Row], models: Models, scale: ScaleSettings) -> str:
    lines = ["| 90 % interval of | held the truth |", "| --- | --- |"]
    held = coverage(of(rows, SHIPPED), models.pigment.errors[METHOD], scale)
    return "\n".join(lines + [f"| {name} | {share:.1%} |" for name, share in held.items()])


def flags_table(rows: list[Row], models: Models, pigment: PigmentSettings) -> str:
    """Whether the flags tell which regions are measured wrong."""
    ours, error = of(rows, SHIPPED), models.pigment.errors[METHOD]
    second = {(r.person, r.state, r.region): r.fraction for r in of(rows, BY_RULES)}
    apart = [abs(r.fraction - second.get((r.person, r.state, r.region), r.fraction)) for r in ours]
    unsure = [(r.undecided_fraction or 0.0) > pigment.undecided_fraction for r in ours]
    parts = {
        "all": [True] * len(ours),
        "flagged `undecided`": unsure,
        "not flagged `undecided`": [not one for one in unsure],
        "flagged `disagreement`": [one > pigment.disagreement_fraction for one in apart],
        "not flagged `disagreement`": [one <= pigment.disagreement_fraction for one in apart],
    }
    lines = [
        "| regions, all four photographs | share | error of the fraction | off by more than 20 points "
        "| 90 % interval held | its width |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, chosen in parts.items():
        part = [row for row, is_one in zip(ours, chosen, strict=True) if is_one]
        off = np.array([abs(row.fraction - row.true_fraction) for row in part])
        ends = [error.around_fraction(row.fraction, row.undecided_fraction or 0.0) for row in part]
        true = [row.true_fraction for row in part]
        held = np.mean([low <= one <= high for (low, high), one in zip(ends, true, strict=True)])
        cells = (
            f"{len(part) / len(ours):.1%}",
            f"{100 * off.mean():.1f} points",
            f"{(off > 0.2).mean():.1%}",
            f"{held:.1%}",
            f"{100 * np.mean([high - low for low, high in ends]):.0f} points",
        )
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = parser_of(__doc__, writes="table and plots into benchmarks/", cache=True)
    parser.add_argument("--photos", type=int, default=400, help="how many people; 400 is all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plain", type=Path, help="run of plain_unet.py; without it its row is the page's")
    parser.add_argument("--rows", type=Path, help="write every row here, as JSON")
    parser.add_argument("--reuse", type=Path, help="take the rows that --rows wrote, photograph nobody again")
    parser.add_argument(
        "--baselines", type=Path, help="take the baselines' rows from those that --rows wrote, measure ours"
    )
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    settings, models = load_settings(), shipped_models()
    sittings = Sittings(
        arguments.faces, arguments.cache, "test", "held out", arguments.photos, seed=arguments.seed
    )
    before = arguments.reuse or arguments.baselines
    rows = [Row(**row) for row in json.loads(before.read_text(encoding="utf-8"))] if before else []
    if arguments.baselines:
        rows = [row for row in rows if row.estimator in (BY_RULES, PLAIN, PAIRED, *RULES)]
        rows += judged(sittings, shipped_models, partial(judge, baselines=False))
    elif not arguments.reuse:
        rows = judged(sittings, shipped_models, partial(judge, plain=arguments.plain))
    if arguments.rows:
        arguments.rows.write_text(json.dumps([vars(row) for row in rows]), encoding="utf-8")
    scale, error, page = settings.scale, models.pigment.errors[METHOD], HERE / "README.md"
    ours = of(rows, SHIPPED)
    scores = scores_of(ours, error, scale)
    results = "\n\n".join(
        [
            sample_text(faces_left(prepare(arguments.faces, arguments.cache), "test"), ours, scale),
            estimators_table(rows, scale, page.read_text(encoding="utf-8")),
            details_table(ours, of(rows, CHANGE), scores, error, scale),
            groups_table(rows, scale),
            tone_table(ours, scores, error, scale),
            score_table(scores),
            faint_table(ours, scale),
            coverage_table(rows, models, scale),
            flags_table(rows, models, settings.pigment),
            invariance_table(sittings, models, settings),
        ]
    )
    print(results)
    if arguments.write:
        draw_plots(rows, SHIPPED, [f"cut {cut:g}" for cut in CUTS], HERE)
        write_results(page, results)


if __name__ == "__main__":
    main()
