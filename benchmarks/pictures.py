"""What the shipped map draws, to be looked at: phantoms with their truth and untouched photos, worst first.

    python benchmarks/pictures.py --faces FACES --out runs/pictures [--photos 30]

Truth is outlined in green, what was found in magenta; the number is the mean error of the fraction over the
regions, in points. Held-out people and families, as in pigment.py.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from page import parser_of

from masi_vision.config import Settings, load_settings
from masi_vision.errors import NotScorable
from masi_vision.face.atlas import MASI_SUBUNITS
from masi_vision.phantom.capture import Capture, draw_capture
from masi_vision.phantom.melasma import no_melasma
from masi_vision.photo import linear_to_srgb8
from masi_vision.training.cache import prepare
from masi_vision.training.data import LabelledFace
from masi_vision.training.phantom_photos import Picture, Scene, drawn_melasma, people_to_plant, picture_of
from masi_vision.visit.models import Models, shipped_models

FOUND, TRUE, REGION = (255, 0, 160), (0, 200, 90), (235, 235, 235)
COLUMNS = 6


def tile(picture: Picture) -> tuple[float, np.ndarray]:
    """The mean error of the fraction in points, and the face with its outlines."""
    pixels = linear_to_srgb8(picture.linear).copy()
    regions = [picture.codes == subunit for subunit in MASI_SUBUNITS]
    inside = np.any(regions, axis=0)
    lesion = picture.measures.pigment.lesion
    errors = [abs(lesion[r].mean() - picture.lesion[r].mean()) for r in regions if r.sum() > 200]
    for mask, colour in ((inside, REGION), (picture.lesion & inside, TRUE), (lesion & inside, FOUND)):
        found, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(pixels, found, -1, colour, 1, cv2.LINE_AA)
    error = 100 * float(np.mean(errors))
    kind = "" if picture.distractor == "none" else picture.distractor
    words = f"{picture.person} {error:.0f} {kind}"
    cv2.putText(pixels, words, (6, 20), cv2.FONT_HERSHEY_DUPLEX, 0.6, (255, 255, 255), 3, cv2.LINE_AA)
    cv2.putText(pixels, words, (6, 20), cv2.FONT_HERSHEY_DUPLEX, 0.6, (0, 0, 0), 1, cv2.LINE_AA)
    return error, pixels


def taken(face: LabelledFace, planted: bool, models: Models, settings: Settings) -> Picture:
    rng = np.random.default_rng((5, int(face.id)))
    atlas = models.face.atlas
    if planted:
        melasma, delta_l = drawn_melasma(face, atlas, "held out", rng)
        return picture_of(
            Scene(face, melasma), draw_capture(rng), models, settings, rng, distractor=f"dL {delta_l:.0f}"
        )
    clear = no_melasma((atlas.labels.shape[0], atlas.labels.shape[1]))
    return picture_of(Scene(face, clear), Capture(), models, settings, rng, state="clear")


def sheet(tiles: list[tuple[float, np.ndarray]]) -> np.ndarray:
    """All tiles, worst first."""
    ordered = [pixels for _, pixels in sorted(tiles, key=lambda one: -one[0])]
    blank = np.full_like(ordered[0], 255)
    ordered += [blank] * (-len(ordered) % COLUMNS)
    rows = [np.hstack(ordered[first : first + COLUMNS]) for first in range(0, len(ordered), COLUMNS)]
    return np.vstack(rows)


def main() -> None:
    parser = parser_of(__doc__, cache=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--photos", type=int, default=30)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    data, models, settings = prepare(arguments.faces, arguments.cache), shipped_models(), load_settings()
    arguments.out.mkdir(parents=True, exist_ok=True)
    faces = people_to_plant(data, "test")
    for name, planted in (("phantoms", True), ("untouched", False)):
        tiles: list[tuple[float, np.ndarray]] = []
        errors: dict[str, float] = {}
        for face in faces:
            if len(tiles) == arguments.photos:
                break
            try:
                tiles.append(tile(taken(face, planted, models, settings)))
                errors[face.id] = tiles[-1][0]
            except NotScorable as why:
                print(f"{face.id} was not measured: {why}")
        file = arguments.out / f"{name}.jpg"
        cv2.imwrite(str(file), sheet(tiles)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])
        worst = sorted(errors, key=lambda one: -errors[one])[:5]
        print(file, "worst:", ", ".join(f"{one} {errors[one]:.0f} points" for one in worst))


if __name__ == "__main__":
    main()
