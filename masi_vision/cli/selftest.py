"""`masi selftest`: known inputs, expected numbers, on this machine; a site's own qualification run.

The photographs come with the package, so do the numbers that the shipped models and settings gave where
they were made (scripts/record_selftest.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import typer

from masi_vision.cli.door import DONE, MUST_CHANGE, verb
from masi_vision.phantom.demo import demo_folder
from masi_vision.phantom.plant import Site, pigment_patches, planted

if TYPE_CHECKING:
    from masi_vision.visit.score import PhotoScore, VisitScore

Check = tuple[str, bool, str]
"""Name, whether it passed, and what was found."""
Numbers = dict[str, dict[str, float]]
"""By visit or phantom: its continuous mMASI, and by region fraction and contrast."""

RECORD = "expected.json"
# Other processors round differently: a hundredth of a fraction, 0.005 OD and 0.1 of a score are allowed.
_SCORE = "continuous mMASI"
_TOLERANCES = {"fraction": 0.01, "contrast": 0.005, "mMASI": 0.1}
_DOSES_OD = (0.0, 0.05, 0.10, 0.15)
_DOSED = "demo-01/visit-2/front.jpg"


@verb
def selftest() -> int:
    """Measure the package's phantoms by the shipped models, and compare with their expected numbers."""
    well = True
    for name, passed, found in run_selftest():
        typer.echo(f"[{'ok' if passed else 'FAILED'}] {name}: {found}")
        well &= passed
    typer.echo(
        "All is as expected." if well else "Something differs: see FAILED above. Do not score with it."
    )
    return DONE if well else MUST_CHANGE


def run_selftest() -> Iterator[Check]:
    """All checks, one after the other."""
    yield _scale()
    yield _planted_pigment()
    yield from _phantoms()
    yield _no_face()


def _scale() -> Check:
    from masi_vision.scale import MASI_REGIONS, RegionGrade, masi_score

    worst = masi_score(dict.fromkeys(MASI_REGIONS, RegionGrade(6, 4, 4)))
    return "scale", (worst.mmasi, worst.masi) == (24.0, 48.0), f"worst mMASI {worst.mmasi}, MASI {worst.masi}"


def _planted_pigment() -> Check:
    """Pigment planted on even skin comes back with its area, by rules."""
    from masi_vision.pigment.rules import map_by_rules

    shape = (400, 320)
    density = 0.12 * pigment_patches(shape, [Site((0.5, 0.5), (0.12, 0.1), 1.0)], np.random.default_rng(1))
    photo = planted(np.full((*shape, 3), (0.45, 0.28, 0.2), np.float32), density)
    found = map_by_rules(photo, np.ones(shape, np.uint8), face_width_px=320).density_od
    truth, measured = float((density > 0.05).mean()), float((found > 0.05).mean())
    return (
        "planted pigment",
        abs(truth - measured) < 0.02,
        f"planted {truth:.1%}, measured {measured:.1%} of the skin",
    )


def _phantoms() -> Iterator[Check]:
    """Every demo visit, and one photo with more and more pigment, give the recorded numbers."""
    file = demo_folder() / RECORD
    if not file.is_file():
        yield "phantoms", False, f"{RECORD} is missing. Expected it with the demo. Install masi_vision again."
        return
    recorded: Numbers = json.loads(file.read_text(encoding="utf-8"))
    expected = dict(recorded)
    doses = []
    for name, found in measured_phantoms():
        if not found or set(expected.pop(name, {})) != set(found):
            yield name, False, f"not scored, or {RECORD} is of another version"
            continue
        off = {key: abs(found[key] - value) for key, value in recorded[name].items()}
        well = all(value <= _tolerance(key) for key, value in off.items())
        worst = max(off, key=lambda key: off[key] / _tolerance(key))
        said = f"{_SCORE} {found[_SCORE]:.2f}; largest difference {off[worst]:.4f} ({worst})"
        yield name, well, said
        if name.startswith("dose"):
            doses.append(found[_SCORE])
    for name in expected:
        yield name, False, "recorded, but not measured"
    rising = all(low < high for low, high in pairwise(doses))
    scores = ", ".join(f"{score:.1f}" for score in doses)
    yield (
        "more pigment scores more",
        rising and len(doses) == len(_DOSES_OD),
        f"{_SCORE} {scores}",
    )


def measured_phantoms() -> Iterator[tuple[str, dict[str, float]]]:
    """The numbers of every demo visit, and of one photo with doses of pigment laid on its cheeks."""
    from masi_vision.visit.score import score_visit

    folder = demo_folder()
    for visit in sorted({photo.parent for photo in folder.glob("*/*/front.jpg")}):
        yield visit.relative_to(folder).as_posix(), _numbers(score_visit(visit))
    for dose in _DOSES_OD:
        yield f"dose {dose:.2f} OD", _numbers(_dosed(folder / _DOSED, dose))


def _dosed(file: Path, dose_od: float) -> PhotoScore:
    """A photo with two patches of pigment laid on, where its own face lies."""
    from masi_vision.photo import Photo, linear_to_srgb8, read_photo, srgb_to_linear
    from masi_vision.visit.score import score_photo

    plain = score_photo(file)
    if plain.measures is None:
        return plain
    pixels = np.asarray(read_photo(file).srgb, np.uint8)
    alignment = plain.measures.face.alignment
    sites = [Site((0.22, 0.56), (0.09, 0.07), 1.0), Site((0.78, 0.56), (0.09, 0.07), 1.0)]
    patches = pigment_patches(plain.measures.codes.shape, sites, np.random.default_rng(2))
    over = np.asarray(alignment.to_photo(patches, (0, 0, *pixels.shape[:2])), np.float32)
    marked = linear_to_srgb8(planted(srgb_to_linear(pixels), dose_od * over))
    return score_photo(Photo.from_srgb(marked, name=file.name))


def _numbers(result: VisitScore | PhotoScore) -> dict[str, float]:
    if result.scores is None:
        return {}
    numbers = {_SCORE: result.scores.mmasi_continuous}
    for name, region in result.regions.items():
        if region.measure is not None:
            numbers[f"{name} fraction"] = round(region.measure.pigmented_fraction, 5)
            numbers[f"{name} contrast"] = round(region.measure.contrast_od, 5)
    return numbers


def _tolerance(key: str) -> float:
    return _TOLERANCES[key.rpartition(" ")[2]]


def _no_face() -> Check:
    from masi_vision.photo import Photo
    from masi_vision.visit.score import score_photo

    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    result = score_photo(Photo.from_srgb(noise, name="noise"))
    return "picture without a face", result.reason == "no_face", f"{result.status}, {result.reason}"
