"""Record what the phantoms of `masi selftest` measure with the shipped models, for it to compare with.

    python scripts/record_selftest.py [--write]

After new models or settings, in a checkout. Without --write it only says what would be recorded.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from masi_vision.cli.selftest import RECORD, Numbers, made_with, measured_phantoms
from masi_vision.config import ScaleSettings, load_settings
from masi_vision.phantom.demo import demo_folder

CHECKOUT = Path(__file__).resolve().parents[1]
_NEAR = {"pigmented_fraction": 0.008, "contrast_od": 0.004, "largest_patch_fraction": 0.05}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="into the demo of this checkout")
    write, place = parser.parse_args().write, demo_folder() / RECORD
    if not place.resolve().is_relative_to(CHECKOUT):
        raise SystemExit(
            f"{place} is an installation's. Expected this checkout, installed with pip install -e"
        )
    scale = load_settings().scale
    measured = dict(measured_phantoms())
    if refused := [name for name, numbers in measured.items() if not numbers]:
        raise SystemExit(f"{refused[0]} was not scored; expected every phantom of the demo to be")
    expected = {name: without_undecided(numbers, scale) for name, numbers in measured.items()}
    record = {"made_with": made_with(), "phantoms": expected}
    text = json.dumps(record, indent=1) + "\n"
    if write:
        place.write_text(text, encoding="utf-8")
    for name, numbers in expected.items():
        left_out = sorted(measured[name].keys() - numbers.keys())
        print(f"{name}: {len(numbers)} numbers; too near to a cut point: {', '.join(left_out) or 'none'}")
    same = place.exists() and place.read_text(encoding="utf-8") == text
    print("Recorded." if write else f"Nothing is written; the record is {'the same' if same else 'another'}.")


def without_undecided(numbers: Numbers, scale: ScaleSettings) -> Numbers:
    """Without grades that the rounding of another processor could move, and the scores made of them."""
    moved_grades = undecided(numbers, scale)
    counted = {key for key in moved_grades if not key.startswith(("nose", "upper_lip"))}
    of_mmasi = {key for key in counted if not key.endswith("homogeneity")}
    left_out = moved_grades | ({"masi"} if counted else set()) | ({"mmasi"} if of_mmasi else set())
    return {key: value for key, value in numbers.items() if key not in left_out}


def undecided(numbers: Numbers, scale: ScaleSettings) -> set[str]:
    """The grades whose measure lies near a cut point."""
    cuts = {
        "area": ("pigmented_fraction", (scale.noise_floor, *scale.area_cut_points)),
        "darkness": ("contrast_od", tuple(scale.darkness_cut_points_od)),
        "homogeneity": ("largest_patch_fraction", tuple(scale.homogeneity_cut_points)),
    }
    found = set()
    for key in numbers:
        region, _, grade = key.rpartition(" ")
        if grade in cuts:
            column, points = cuts[grade]
            value = numbers[f"{region} {column}"]
            if value is not None and any(abs(value - point) < _NEAR[column] for point in points):
                found.add(key)
    return found


if __name__ == "__main__":
    main()
