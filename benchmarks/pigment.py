"""Every estimator on the same phantoms of people on whom nothing was trained, in the same regions.

    python benchmarks/pigment.py --faces FACES [--photos 60] [--json FILE]

Truth is drawn from other families than training: patterns (cells, strokes, discs), colours (by depth) and
captures (whole photographs, turned, shifted, shrunk, through JPEG). Each person is photographed four times:
clear, clear again, planted, and planted after treatment, each time in another light and position.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import numpy.typing as npt
from classical import RULES, pigmented

from masi_vision.config import Settings, load_settings
from masi_vision.errors import NotScorable
from masi_vision.face.align import Alignment
from masi_vision.face.atlas import MASI_SUBUNITS
from masi_vision.face.models import FaceModels, face_models
from masi_vision.phantom.capture import draw_capture, taken
from masi_vision.phantom.colour import colour_from_depth, density_for_delta_l
from masi_vision.phantom.distractor import Distraction, Distractor, distraction
from masi_vision.phantom.melasma import Melasma, draw_melasma, no_melasma
from masi_vision.phantom.pattern import Distribution, HeldOutPattern
from masi_vision.photo import Photo, linear_to_srgb8, srgb_to_linear
from masi_vision.scale import (
    MASI_REGIONS,
    RegionGrade,
    area_grade,
    darkness_grade,
    homogeneity_grade,
    masi_score,
)
from masi_vision.skin.density import optical_density
from masi_vision.training.cache import TrainingSet, prepare
from masi_vision.training.data import LabelledFace
from masi_vision.training.evaluation import _tone
from masi_vision.visit.measure import PhotoMeasures, linear_face, measure_photo

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Estimate = tuple[Mask, Floats]
"""Lesion mask and pigment density in the aligned frame."""
Estimator = Callable[["Picture"], Estimate]


@dataclass(frozen=True)
class Picture:
    """One photograph of a phantom, found and laid over the mean face, with its truth there."""

    person: str
    tone: str
    taken: str  # clear, again, planted, treated
    distractor: str
    delta_l: float
    linear: Floats
    measures: PhotoMeasures
    lesion: Mask
    density_od: Floats

    @property
    def codes(self) -> npt.NDArray[np.uint8]:
        """Subunit of every pixel of visible skin."""
        return self.measures.codes


def pictures(
    data: TrainingSet, models: FaceModels, settings: Settings, count: int, seed: int
) -> Iterator[Picture]:
    """Four photographs of each of the first ``count`` frontal test faces in colour that can be measured."""
    chosen = [face for face in data.faces if data.split[face.id] == "test" and face.view == "frontal"]
    done = 0
    for face in chosen:
        if done == count:
            return
        rng = np.random.default_rng((seed, int(face.id)))
        labelled = data.labelled[face.id]
        if np.ptp(labelled.pixels.astype(int), axis=2).mean() < 12 or (labelled.labels > 0).sum() < 3000:
            continue
        try:
            yield from _four(labelled, models, settings, rng)
            done += 1
        except NotScorable:
            continue


def _four(
    face: LabelledFace, models: FaceModels, settings: Settings, rng: np.random.Generator
) -> list[Picture]:
    atlas = models.atlas
    shape = atlas.labels.shape
    linear = srgb_to_linear(face.pixels)
    skin = np.maximum(np.median(linear[face.labels > 0], axis=0), 0.02).astype(np.float32)
    colour = colour_from_depth(float(rng.random()))
    delta_l = float(np.exp(rng.uniform(np.log(3), np.log(15))))
    melasma = draw_melasma(
        (shape[0], shape[1]),
        rng.choice(get_args(Distribution), p=[0.45, 0.35, 0.2, 0, 0]),
        rng.choice(get_args(HeldOutPattern)),
        colour,
        min(0.5, density_for_delta_l(skin, colour, delta_l)),
        rng,
        symmetric=bool(rng.random() < 0.8),
    )
    left = np.full(shape, rng.uniform(0, 1), np.float32)
    states = {
        "clear": no_melasma(melasma.lesion.shape),
        "again": no_melasma(melasma.lesion.shape),
        "planted": melasma,
        "treated": melasma.after_treatment(left),
    }
    kind: Distractor | None = rng.choice(get_args(Distractor)) if rng.random() < 0.5 else None
    extra = distraction(kind, melasma.lesion.shape, rng) if kind else None
    return [
        _photographed(face, linear, state, extra, models, settings, rng, name, str(kind), delta_l)
        for name, state in states.items()
    ]


def _photographed(
    face: LabelledFace,
    linear: Floats,
    melasma: Melasma,
    extra: Distraction | None,
    models: FaceModels,
    settings: Settings,
    rng: np.random.Generator,
    name: str,
    kind: str,
    delta_l: float,
) -> Picture:
    window = (0, 0, *linear.shape[:2])
    over = Alignment(models.atlas, face.landmarks)
    scene = linear * 10 ** -np.asarray(over.to_photo(melasma.taken_od, window), np.float32)
    if extra is not None:
        on_photo = Distraction(
            np.asarray(over.to_photo(extra.taken_od, window), np.float32),
            np.asarray(over.to_photo(extra.added_light, window), np.float32).reshape(*scene.shape[:2], 1),
        )
        scene = on_photo.laid_on(scene)
    capture = draw_capture(rng)
    photo = Photo.from_srgb(taken(scene, capture, rng), name=face.id)
    measures = measure_photo(photo, "front", settings, models)
    way = capture.placed(scene.shape)
    back = np.linalg.inv(np.vstack([way, [0, 0, 1]]))[:2]
    at = measures.face.alignment.photo_positions() @ back[:, :2].T.astype(np.float32) + back[:, 2]
    at = np.nan_to_num(at, nan=-1e4).astype(np.float32)
    lesion = np.asarray(over.to_photo(melasma.lesion.astype(np.float32), window), np.float32)
    density = np.asarray(over.to_photo(melasma.density_od, window), np.float32)
    return Picture(
        face.id,
        _tone(face),
        name,
        kind,
        delta_l,
        linear_face(photo, measures.face),
        measures,
        cv2.remap(lesion, at, None, cv2.INTER_LINEAR) > 0.5,
        cv2.remap(density, at, None, cv2.INTER_LINEAR),
    )


def ours(picture: Picture) -> Estimate:
    """What scoring measures with the shipped settings."""
    pigment = picture.measures.pigment
    return pigment.density_od > picture.measures.threshold_od, pigment.density_od


def classical(name: str) -> Estimator:
    """One of the baselines, region by region; density against the rest of the region's skin."""

    def estimate(picture: Picture) -> Estimate:
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
                above[region] = np.maximum(density[region] - np.median(density[rest]), 0)
        return lesion, above

    return estimate


ESTIMATORS: dict[str, Estimator] = {"masi_vision, shipped": ours} | {name: classical(name) for name in RULES}


@dataclass(frozen=True)
class Row:
    """One estimator on one picture, by region of MASI; fractions, median contrast and integrated pigment."""

    estimator: str
    person: str
    tone: str
    taken: str
    distractor: str
    delta_l: float
    region: str
    fraction: float
    contrast_od: float
    patch: float
    true_fraction: float
    true_contrast_od: float
    true_patch: float
    both_px: int
    either_px: int


def rows_of(picture: Picture) -> Iterator[Row]:
    """All estimators on a picture."""
    for name, estimator in ESTIMATORS.items():
        lesion, density = estimator(picture)
        for subunit in MASI_SUBUNITS:
            region = picture.codes == subunit
            if region.sum() < 200:
                continue
            found, truth = lesion & region, picture.lesion & region
            yield Row(
                name,
                picture.person,
                picture.tone,
                picture.taken,
                picture.distractor,
                picture.delta_l,
                subunit.name.lower(),
                *_amounts(found, density, region),
                *_amounts(truth, picture.density_od, region),
                int((found & truth).sum()),
                int(found.sum() + truth.sum()),
            )


def _amounts(lesion: Mask, density: Floats, region: Mask) -> tuple[float, float, float]:
    _, _, facts, _ = cv2.connectedComponentsWithStats(lesion.astype(np.uint8), connectivity=8)
    largest = facts[1:, cv2.CC_STAT_AREA].max() / lesion.sum() if lesion.any() else 0.0
    contrast = float(np.median(density[lesion])) if lesion.any() else 0.0
    return float(lesion.sum() / region.sum()), contrast, float(largest)


def figures(rows: list[Row], settings: Settings) -> dict[str, float]:
    """The measures of the table for one estimator."""
    of = {}
    for row in rows:
        of.setdefault((row.person, row.taken), []).append(row)
    amount = {key: _per_person(part, "fraction", "contrast_od") for key, part in of.items()}
    planted = {key: _per_person(part, "true_fraction", "true_contrast_od") for key, part in of.items()}
    people = sorted({person for person, _ in of})
    change = [[d[p, "treated"] - d[p, "planted"] for p in people] for d in (amount, planted)]
    score = {key: _mmasi(part, settings) for key, part in of.items()}
    marked = [row for row in rows if row.taken in ("planted", "treated")]
    strong = [row for row in rows if row.taken == "planted" and row.delta_l >= 6 and row.true_fraction > 0.02]
    grades = [
        (area_grade(r.fraction, noise_floor=0.01), area_grade(r.true_fraction, noise_floor=0.01))
        for r in marked
    ]
    clear = [row.fraction for row in rows if row.taken in ("clear", "again")]
    keys = [key for key in of if key[1] == "planted"]
    return {
        "false fraction on clear photos": float(np.mean(clear)),
        "error of the fraction": float(np.mean([abs(r.fraction - r.true_fraction) for r in marked])),
        "r, amount": _r([amount[k] for k in keys], [planted[k] for k in keys]),
        "r, change": _r(*change),
        "Dice at dL* 6 and more": 2
        * sum(r.both_px for r in strong)
        / max(1, sum(r.either_px for r in strong)),
        "area grade exact": float(np.mean([a == b for a, b in grades])),
        "area grade within one": float(np.mean([abs(a - b) <= 1 for a, b in grades])),
        "mMASI change, nothing changed": float(
            np.mean([abs(score[p, "again"] - score[p, "clear"]) for p in people])
        ),
    }


def _per_person(rows: list[Row], fraction: str, contrast: str) -> float:
    weights = dict(zip(MASI_REGIONS, (0.3, 0.3, 0.3, 0.1), strict=True))
    total = sum(weights[row.region] for row in rows)  # type: ignore[index]
    return (
        sum(weights[r.region] * getattr(r, fraction) * getattr(r, contrast) for r in rows) / total  # type: ignore[index]
    )


def _mmasi(rows: list[Row], settings: Settings) -> float:
    scale, grades = settings.scale, {}
    for row in rows:
        area = area_grade(row.fraction, noise_floor=scale.noise_floor)
        dark = darkness_grade(row.contrast_od, scale.darkness_cut_points_od) if area else 0
        even = homogeneity_grade(row.patch, scale.homogeneity_cut_points) if area else 0
        grades[row.region] = RegionGrade(area, dark, even) if area and dark else RegionGrade(0, 0, 0)
    full = {region: grades.get(region, RegionGrade(0, 0, 0)) for region in MASI_REGIONS}
    return float(masi_score(full).mmasi)


def _r(one: list[float], other: list[float]) -> float:
    return float(np.corrcoef(one, other)[0, 1]) if np.std(one) > 0 and np.std(other) > 0 else 0.0


def table(rows: list[Row], settings: Settings) -> str:
    """All estimators, as Markdown."""
    by = {name: figures([row for row in rows if row.estimator == name], settings) for name in ESTIMATORS}
    heads = list(next(iter(by.values())))
    lines = ["| estimator | " + " | ".join(heads) + " |", "| --- |" + " --- |" * len(heads)]
    for name, found in by.items():
        cells = [f"{v:.1%}" if "fraction" in h or "grade" in h else f"{v:.2f}" for h, v in found.items()]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"))
    parser.add_argument("--photos", type=int, default=60, help="how many people")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write every row here")
    arguments = parser.parse_args()
    data, models, settings = prepare(arguments.faces, arguments.cache), face_models(), load_settings()
    rows = [
        row
        for picture in pictures(data, models, settings, arguments.photos, arguments.seed)
        for row in rows_of(picture)
    ]
    print(f"{len({row.person for row in rows})} people, {len(rows)} rows\n")
    print(table(rows, settings))
    if arguments.json:
        arguments.json.write_text(json.dumps([vars(row) for row in rows]), encoding="utf-8")


if __name__ == "__main__":
    main()
