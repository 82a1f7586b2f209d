"""A self-test that a site can run: known inputs, expected results, on this machine."""

from __future__ import annotations

import json

import numpy as np

from masi_vision.phantom.demo import demo_folder
from masi_vision.phantom.plant import Site, pigment_patches, planted

Check = tuple[str, bool, str]

# The demo's measures must come out as recorded where it was made: other processors round differently,
# so a hundredth of the fraction is allowed. Recorded by scripts/record_selftest.py.
_TOLERANCE = 0.01


def run_selftest() -> list[Check]:
    """Name, whether it passed, and what was found, of every check."""
    return [_scale(), _planted_pigment(), _demo(), _no_face()]


def _scale() -> Check:
    from masi_vision.scale import MASI_REGIONS, RegionGrade, masi_score

    worst = masi_score(dict.fromkeys(MASI_REGIONS, RegionGrade(6, 4, 4)))
    return "scale", (worst.mmasi, worst.masi) == (24.0, 48.0), f"worst mMASI {worst.mmasi}, MASI {worst.masi}"


def _planted_pigment() -> Check:
    """Pigment planted on even skin comes back with its area."""
    from masi_vision.pigment.map import find_pigment

    shape = (400, 320)
    density = 0.12 * pigment_patches(shape, [Site((0.5, 0.5), (0.12, 0.1), 1.0)], np.random.default_rng(1))
    photo = planted(np.full((*shape, 3), (0.45, 0.28, 0.2), np.float32), density)
    found = find_pigment(photo, np.ones(shape, np.uint8), face_width_px=320).density_od
    truth, measured = float((density > 0.05).mean()), float((found > 0.05).mean())
    return (
        "planted pigment",
        abs(truth - measured) < 0.02,
        f"planted {truth:.1%}, measured {measured:.1%} of the skin",
    )


def _demo() -> Check:
    """The demo's first visit gives the recorded measures."""
    from masi_vision.visit.score import score_visit

    folder = demo_folder()
    record = folder / "expected.json"
    if not record.is_file():
        return (
            "demo visit",
            False,
            f"{record.name} is missing. Expected it with the demo. Install masi_vision again.",
        )
    expected = json.loads(record.read_text(encoding="utf-8"))
    result = score_visit(folder / expected["visit"])
    if result.status != "scored":
        return "demo visit", False, f"not scored: {result.message}"
    off = max(
        abs(fraction - result.regions[name].measure.pigmented_fraction)  # type: ignore[union-attr]
        for name, fraction in expected["pigmented_fraction"].items()
    )
    return "demo visit", off <= _TOLERANCE, f"largest difference to the recorded fractions {off:.4f}"


def _no_face() -> Check:
    from masi_vision.photo import Photo
    from masi_vision.visit.score import score_photo

    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    result = score_photo(Photo.from_srgb(noise, name="noise"))
    return "picture without a face", result.reason == "no_face", f"{result.status}, {result.reason}"
