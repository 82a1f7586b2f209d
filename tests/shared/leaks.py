"""Codes many studies full of names, and looks for every one of them in all that comes out.

    python tests/shared/leaks.py [--sets 60]

Every set is made of photographs that say patient, visit, date and serial number in every field there is
(`named_photos.py`), coded, checked with its key, scored and compared as an assessor would, and searched: set,
tables, overlays and what the commands print. Order: over all sets together, codes and readers' orders against
patients and visits, by permutation.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from named_photos import forms_of, found_in, write_named_study
from verbs import masi

from masi_vision.blinding.check import chance_of_order
from masi_vision.blinding.key import opened
from masi_vision.phantom.demo import demo_folder

PASSPHRASE = "sixty sets, no name"
SIDE_PX = 420


def picture() -> np.ndarray:
    """A face, small: what is planted stands beside the pixels."""
    photo = cv2.imread(str(sorted(demo_folder().glob("*/*/front.jpg"))[0]), cv2.IMREAD_COLOR_RGB)
    scale = SIDE_PX / min(photo.shape[:2])
    return cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def one_set(number: int, face: np.ndarray, folder: Path) -> tuple[list[str], int, list[list[float]]]:
    """What was found, how much was planted, and ranks of the visits by code and by order."""
    rng = np.random.default_rng(number)
    patients = [f"Patient-{rng.integers(10**6):06d}-{name}" for name in ("Anna", "Börje", "陈", "Dmitrij")]
    visits = [f"visit-{at}-2026-0{at + 1}-{10 + number % 18}" for at in range(3)]
    planted = write_named_study(folder / "study", patients, visits, face)
    (folder / "passphrase").write_text(PASSPHRASE, encoding="utf-8")
    safe = folder / "safe"
    safe.mkdir()
    said = [
        masi(
            *("blind", folder / "study", "--out", folder / "set", "--key", safe / "key"),
            *("--passphrase-file", folder / "passphrase"),
        ),
        masi(
            "blind",
            "check",
            folder / "set",
            "--key",
            safe / "key",
            "--passphrase-file",
            folder / "passphrase",
        ),
        masi("score", folder / "set", "--out", folder / "scores", "--save-masks"),
        masi("qc", folder / "set", "--out", folder / "quality"),
    ]
    if said[0].exit_code or said[1].exit_code or any(one.exit_code > 1 for one in said):
        raise SystemExit("\n".join(one.output for one in said))
    hits = [
        f"{place}/{hit}"
        for place in ("set", "scores", "quality")
        for hit in found_in(folder / place, planted)
    ]
    shown = "\n".join(one.output for one in said[1:]).encode()
    hits += [f"printed: {words}" for words in planted if any(form in shown for form in forms_of(words))]
    key = opened(safe / "key", PASSPHRASE)
    ranks = []
    for codes in (sorted(unit.code for unit in key.units), *key.orders.values()):
        units = [key.unit(code) for code in codes]
        ranks.append([float(visits.index(unit.visit)) for unit in units])
        ranks.append([float(patients.index(unit.patient)) for unit in units])
    return hits, len(planted), ranks


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", type=int, default=60)
    arguments = parser.parse_args()
    face, hits, planted, chances = picture(), [], 0, []
    for number in range(arguments.sets):
        with tempfile.TemporaryDirectory(prefix="coded-") as folder:
            found, count, ranks = one_set(number, face, Path(folder))
        hits, planted = hits + found, planted + count
        chances += [chance_of_order(np.array(one), shuffles=1999, seed=number) for one in ranks]
    for hit in hits[:20]:
        print(hit)
    low = np.mean(np.array(chances) < 0.05)
    print(f"{arguments.sets} sets, {planted} texts planted in every field: {len(hits)} found (must: 0).")
    print(
        f"Codes and orders against visits and patients: {low:.1%} of {len(chances)} tests below p = 0.05 "
        "(must: about 5 %)."
    )
    raise SystemExit(bool(hits) or not 0.01 <= low <= 0.10)


if __name__ == "__main__":
    main()
