"""Whether the quality gate refuses damaged photos, and only those.

    python benchmarks/quality.py --faces FACES [--out FOLDER] [--write]

Good photos are of people on whom nothing was trained and no limit was chosen: of the 75 frontal test faces
with cheeks about equally bright, those whose four regions can all be graded by eye, without beard, fringe,
hat or glasses over them, in focus and in white light. Copies of them are damaged, each in one way and
badly enough that a region could not be graded by eye. `--out` writes copies and originals for looking at.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from page import parser_of, write_results

from masi_vision.config import Settings, load_settings
from masi_vision.errors import NotScorable
from masi_vision.face.atlas import MASI_SUBUNITS, Subunit
from masi_vision.face.models import ATLAS, read_atlas
from masi_vision.names import View
from masi_vision.shipped import shipped_file
from masi_vision.training.faces import Face, load_faces, load_polygons, split_by_person
from masi_vision.training.labels import label_face
from masi_vision.visit.models import Models, shipped_models
from masi_vision.visit.quality import REASONS, check_photo
from masi_vision.visit.seen import see_photo

PAGE = Path(__file__).parent.parent / "docs" / "quality.md"
SEED, HIDES = 20, 0.7
GOOD = frozenset(
    [
        "00012",
        "00123",
        "00284",
        "00353",
        "00364",
        "00370",
        "00655",
        "00656",
        "00729",
        "01049",
        "01052",
        "01199",
        "01340",
        "01347",
        "01350",
        "01393",
        "01403",
        "01513",
        "01518",
        "01527",
        "01532",
        "01534",
        "01539",
        "01542",
        "01543",
        "01546",
        "01570",
        "01574",
        "01577",
        "01579",
        "01607",
        "01614",
        "01621",
        "01665",
        "01666",
        "01687",
        "01722",
        "01738",
        "01740",
        "01761",
        "01780",
        "01824",
        "01827",
    ]
)
"""Chosen by eye from a sheet of thumbnails."""

Pixels = npt.NDArray[np.uint8]
Rng = np.random.Generator


@dataclass(frozen=True)
class Good:
    """A photo that is good by its labels: pixels, subunit codes, landmarks and face width."""

    name: str
    pixels: Pixels
    codes: Pixels
    landmarks: npt.NDArray[np.float32]

    @property
    def width_px(self) -> float:
        """From ear to ear."""
        return float(np.linalg.norm(self.landmarks[234, :2] - self.landmarks[454, :2]))


@dataclass(frozen=True)
class Case:
    """A photo as the gate meets it; `defect` is empty for a good one."""

    defect: str
    name: str
    pixels: Pixels
    view: View = "front"
    jpeg_quality: int = 93


def linear(pixels: Pixels) -> npt.NDArray[np.float64]:
    code = pixels / 255.0
    return np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)


def coded(light: npt.NDArray[np.float64]) -> Pixels:
    light = np.clip(light, 0, 1)
    curve = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.rint(255 * curve).astype(np.uint8)


def out_of_focus(good: Good, rng: Rng) -> Pixels:
    """Blurred by 1.6 to 3 % of the face's width."""
    return cv2.GaussianBlur(good.pixels, (0, 0), rng.uniform(0.016, 0.03) * good.width_px)


def moved(good: Good, rng: Rng) -> Pixels:
    """Head or camera moved by 8 to 14 % of the face's width, up or sideways, while the photo was taken."""
    path = max(3, round(rng.uniform(0.08, 0.14) * good.width_px))
    return cv2.blur(good.pixels, (path, 1) if rng.random() < 0.5 else (1, path))


def burnt_out(good: Good, rng: Rng) -> Pixels:
    """So much light that at least 45 to 80 % of the skin has a channel at its end."""
    light, share = linear(good.pixels), rng.uniform(0.45, 0.8)
    brightest = light[good.codes > 0].max(axis=1)
    return coded(light / np.quantile(brightest, 1 - share))


def too_dark(good: Good, rng: Rng) -> Pixels:
    """So little light that at least 50 to 90 % of the skin lies below 18 of 255, with a camera's noise."""
    light, share = linear(good.pixels), rng.uniform(0.5, 0.9)
    brightest = light[good.codes > 0].max(axis=1)
    dark = coded(light * linear(np.array([18.0])) / np.quantile(brightest, share))
    return np.clip(dark + rng.normal(0, 2, dark.shape), 0, 255).astype(np.uint8)


def light_from_one_side(good: Good, rng: Rng) -> Pixels:
    """One half of the face has a fourth to a tenth of the other's light."""
    toward = good.landmarks[454, :2] - good.landmarks[234, :2]
    middle = good.landmarks[[168, 1, 152], :2].mean(axis=0)
    rows, columns = np.indices(good.pixels.shape[:2])
    across = ((columns - middle[0]) * toward[0] + (rows - middle[1]) * toward[1]) / (toward @ toward)
    side = rng.choice([-1, 1])
    right, left = (
        np.median(linear(good.pixels)[good.codes == code].mean(axis=1))
        for code in (Subunit.RIGHT_MALAR, Subunit.LEFT_MALAR)
    )
    darker = rng.uniform(0.1, 0.25) * (left / right if side > 0 else right / left) ** -1
    light = 1 - (1 - min(darker, 0.25)) / (1 + np.exp(-side * across / 0.06))
    return coded(linear(good.pixels) * light[..., None])


def cut_off(good: Good, rng: Rng) -> Pixels:
    """The frame ends so that most of one region is outside."""
    code = Subunit(int(rng.choice([int(one) for one in MASI_SUBUNITS])))
    rows, columns = np.nonzero(good.codes == code)
    share = rng.uniform(HIDES, 0.95)
    if code is Subunit.FOREHEAD:
        return good.pixels[int(np.quantile(rows, share)) :]
    if code is Subunit.CHIN:
        return good.pixels[: int(np.quantile(rows, 1 - share))]
    if columns.mean() < good.landmarks[1, 0]:
        return good.pixels[:, int(np.quantile(columns, share)) :]
    return good.pixels[:, : int(np.quantile(columns, 1 - share))]


def hand(good: Good, rng: Rng) -> Pixels:
    """Four fingers of this person's own skin colour over a region."""
    code = Subunit(int(rng.choice([int(one) for one in MASI_SUBUNITS])))
    region = good.codes == code
    light = linear(good.pixels)
    skin = np.median(light[good.codes > 0], axis=0) * rng.uniform(0.75, 1.2)
    rows, columns = np.nonzero(region)
    centre = np.array([columns.mean(), rows.mean()])
    angle = rng.uniform(-0.5, 0.5) + (np.pi / 2 if code in (Subunit.FOREHEAD, Subunit.CHIN) else 0.0)
    along = np.array([np.cos(angle), np.sin(angle)])
    across = np.array([-along[1], along[0]])
    thick, shape = 0.11 * good.width_px, good.pixels.shape[:2]
    grid = np.stack(np.indices(shape)[::-1], axis=-1).astype(np.float64)
    painted, covered = light, np.zeros(shape, bool)
    order = sorted(range(-6, 7), key=abs)
    for number in order:
        if covered[region].mean() >= HIDES and len(covered.nonzero()[0]) and number > 2:
            break
        start = centre + number * 0.95 * thick * across - along * 0.3 * good.width_px
        reach = np.clip((grid - start) @ along, 0, (0.6 + rng.uniform(-0.05, 0.1)) * good.width_px)
        away = np.linalg.norm(grid - start - reach[..., None] * along, axis=-1) / (thick / 2)
        finger = away < 1
        round_light = np.sqrt(np.clip(1 - 0.75 * away**2, 0.05, 1))[..., None]
        creases = 1 - 0.06 * (np.sin(reach / good.width_px * 42) > 0.93)[..., None]
        painted = np.where(finger[..., None], skin * round_light * creases, painted)
        covered |= finger
    soft = cv2.GaussianBlur(coded(painted), (0, 0), 0.6)
    return np.where(cv2.dilate(covered.astype(np.uint8), np.ones((3, 3)))[..., None] > 0, soft, good.pixels)


def hair(good: Good, rng: Rng) -> Pixels:
    """Strands of hair, dark or fair, over a region."""
    code = Subunit(int(rng.choice([int(one) for one in MASI_SUBUNITS])))
    region = good.codes == code
    rows, columns = np.nonzero(region)
    picture, covered = good.pixels.copy(), np.zeros(region.shape, np.uint8)
    tone = np.array([(28, 20, 17), (60, 42, 30), (120, 92, 62)][rng.integers(3)], float)
    top, bottom = rows.min() - 0.15 * good.width_px, rows.max() + 0.1 * good.width_px
    spread = 0.55 * np.ptp(columns)
    while covered[region].mean() < 0.9:
        x = rng.normal(columns.mean(), spread)
        bend, steps = rng.normal(0, 0.05 * good.width_px), np.linspace(0, 1, 24)
        line = np.stack(
            [x + bend * np.sin(2.5 * steps) + rng.normal(0, 0.5), top + (bottom - top) * steps], axis=1
        )
        colour = np.clip(tone * rng.uniform(0.6, 1.35), 0, 255)
        for target, value in ((picture, tuple(float(c) for c in colour)), (covered, 1)):
            cv2.polylines(
                target, [line.astype(np.int32)], False, value, max(1, round(0.012 * good.width_px)), 16
            )
    return cv2.GaussianBlur(picture, (0, 0), 0.5)


def on_its_side(good: Good, rng: Rng) -> Pixels:
    """Turned by 90 degrees either way, as a file that has lost the camera's word on how it was held."""
    return np.rot90(good.pixels, int(rng.choice([1, 3])))


def on_its_head(good: Good, rng: Rng) -> Pixels:
    """Turned by 180 degrees."""
    return np.rot90(good.pixels, 2)


def one_colour(good: Good, rng: Rng) -> Pixels:
    """A region under a plain box, as for anonymity, or cloth: grey, blue, green, or of the skin's colour."""
    region = good.codes == int(rng.choice([int(one) for one in MASI_SUBUNITS]))
    rows, columns = np.nonzero(region)
    skin = tuple(int(part) for part in np.median(good.pixels[region], axis=0))
    picture = good.pixels.copy()
    box = np.s_[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    picture[box] = ((128, 128, 128), (30, 60, 160), (60, 140, 110), skin)[rng.integers(4)]
    return picture


def toned(good: Good, rng: Rng) -> Pixels:
    """Black and white, then toned in one colour: sepia, blue or green."""
    grey = linear(good.pixels) @ (0.2126, 0.7152, 0.0722)
    powers = ((0.8, 1.0, 1.4), (1.3, 1.1, 0.8), (1.2, 0.9, 1.1))[rng.integers(3)]
    return coded(np.stack([grey**power for power in powers], axis=-1))


def grey_beside_colour(good: Good, rng: Rng) -> Pixels:
    """Black and white, but for a coloured stripe, as of a name or a background left in colour."""
    grey = coded(np.repeat(linear(good.pixels)[..., :1], 3, axis=-1))
    stripe = max(1, round(rng.uniform(0.1, 0.2) * len(grey)))
    grey[-stripe:] = rng.integers(0, 256, 3)
    return grey


def cloth(good: Good, rng: Rng) -> Pixels:
    """A region under woven cloth: blue, green, white or pink, with folds."""
    region = good.codes == int(rng.choice([int(one) for one in MASI_SUBUNITS]))
    rows, columns = np.nonzero(region)
    box = np.s_[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    colour = np.array(((60, 90, 170), (70, 150, 120), (215, 215, 210), (220, 150, 160)))[rng.integers(4)]
    shape = good.pixels[box].shape[:2]
    folds = cv2.GaussianBlur(rng.normal(0, 1, shape), (0, 0), 0.05 * good.width_px)
    weave = 1 + 0.2 * folds / max(folds.std(), 1e-6) + rng.normal(0, 0.05, shape)
    picture = good.pixels.copy()
    picture[box] = np.clip(colour * weave[..., None], 0, 255).astype(np.uint8)
    return picture


def swapped(good: Good, rng: Rng) -> Pixels:
    """Red and blue exchanged, as programs do that take one order for the other."""
    return good.pixels[..., ::-1]


def grainy(good: Good, rng: Rng) -> Pixels:
    """Noise of a sensor in too little light: more of it where pixels are finer than a face width of 160."""
    sigma = rng.uniform(20, 40) * max(1.0, good.width_px / 160)
    return np.clip(good.pixels + rng.normal(0, sigma, good.pixels.shape), 0, 255).astype(np.uint8)


def smeared(good: Good, rng: Rng) -> Pixels:
    """The same noise after the median by which a camera hides it."""
    sigma = rng.uniform(30, 50) * max(1.0, good.width_px / 160)
    noisy = np.clip(good.pixels + rng.normal(0, sigma, good.pixels.shape), 0, 255).astype(np.uint8)
    side = 2 * max(1, round(good.width_px / 70)) + 1
    return np.asarray(cv2.medianBlur(noisy, side), np.uint8)


def blotched(good: Good, rng: Rng) -> Pixels:
    """Blotches of colour, each a fortieth to a tenth of the face's width, by 9 to 18 levels of 255."""
    side = good.width_px * rng.uniform(1 / 40, 1 / 10)
    height, width = good.pixels.shape[:2]
    coarse = rng.normal(0, 1, (int(height / side) + 2, int(width / side) + 2, 3)).astype(np.float32)
    blotches = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    blotches *= rng.uniform(9, 18) / blotches.std()
    return np.clip(good.pixels + blotches, 0, 255).astype(np.uint8)


def with_another(good: Good, rng: Rng) -> Pixels:
    """Another face beside, from as large to six tenths: here the person's own, as in a mirror."""
    share, height = rng.uniform(0.6, 1), good.pixels.shape[0]
    other = cv2.resize(
        good.pixels[:, ::-1], None, fx=float(share), fy=float(share), interpolation=cv2.INTER_AREA
    )
    above = int(rng.integers(height - len(other) + 1))
    around = (above, height - len(other) - above, 0, 0)
    return np.hstack([good.pixels, cv2.copyMakeBorder(other, *around, cv2.BORDER_REPLICATE)])


DEFECTS: dict[str, tuple[Callable[[Good, Rng], Pixels], int]] = {
    "out of focus": (out_of_focus, 22),
    "moved": (moved, 22),
    "burnt out": (burnt_out, 22),
    "too dark": (too_dark, 22),
    "light from one side": (light_from_one_side, 22),
    "cut off by the frame": (cut_off, 22),
    "hand over a region": (hand, 22),
    "hair over a region": (hair, 22),
    "on its side": (on_its_side, 22),
    "on its head": (on_its_head, 22),
    "covered with one colour": (one_colour, 22),
    "toned in one colour": (toned, 22),
    "covered with cloth": (cloth, 22),
    "red and blue exchanged": (swapped, 22),
    "black and white beside colour": (grey_beside_colour, 22),
    "noisy": (grainy, 22),
    "noisy, smeared": (smeared, 22),
    "blotches of colour": (blotched, 22),
    "with another face": (with_another, 22),
}
MISNAMED = 24


def good_faces(faces: list[Face], folder: Path) -> list[Good]:
    """The photos of `GOOD`, with labels of what skin is where."""
    atlas = read_atlas(shipped_file("models", ATLAS))
    polygons, split = load_polygons(folder), split_by_person(faces)
    good = []
    for face in (face for face in faces if face.id in GOOD):
        assert split[face.id] == "test", face.id
        pixels = face.read()
        good.append(Good(face.id, pixels, label_face(face, pixels, atlas, polygons), face.landmarks))
    return good


def damaged(good: list[Good], faces: list[Face], rng: Rng) -> Iterator[Case]:
    """Copies, each damaged in one way; and turned heads and fronts under a wrong name."""
    for defect, (damage, count) in DEFECTS.items():
        for place in range(count):
            one = good[(place * 7 + len(defect)) % len(good)]
            yield Case(defect, f"{one.name}-{place}", np.ascontiguousarray(damage(one, rng)))
    split = split_by_person(faces)
    turned = [f for f in faces if split[f.id] == "test" and 30 <= abs(f.yaw_deg) <= 60]
    for place in range(MISNAMED):
        face = turned[place % len(turned)]
        if place % 3 == 0:
            one = good[place % len(good)]
            sides: tuple[View, View] = ("left", "right")
            yield Case("named by a wrong view", f"{one.name}-{place}", one.pixels, sides[place % 2])
        else:
            other: View = "left" if face.yaw_deg > 0 else "right"
            view: View = "front" if place % 3 == 1 else other
            yield Case("named by a wrong view", f"{face.id}-{place}", face.read(), view)


def judged(case: Case, models: Models, settings: Settings, folder: Path) -> tuple[str, ...]:
    """Reasons for which the photo, or a region that its view should show, is refused."""
    file = folder / f"{case.defect or 'good'}-{case.name}-{case.view}.jpg".replace(" ", "_")
    cv2.imwrite(str(file), case.pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, case.jpeg_quality])
    try:
        findings = check_photo(see_photo(file, settings, models), case.view, settings)
    except NotScorable as why:
        return (why.reason,)
    return tuple(dict.fromkeys(REASONS[f.check] for f in findings if f.result == "fail"))


def table(outcomes: list[tuple[Case, tuple[str, ...]]]) -> str:
    """Per defect: how many were refused, and for which reasons."""
    lines = ["| photos | number | refused | by reason |", "| --- | --- | --- | --- |"]
    for defect in dict.fromkeys(case.defect for case, _ in outcomes):
        mine = [reasons for case, reasons in outcomes if case.defect == defect]
        refused = [reasons for reasons in mine if reasons]
        names = sorted({r for reasons in refused for r in reasons})
        why = ", ".join(f"{name} {sum(name in reasons for reasons in refused)}" for name in names)
        share = f"{len(refused)} ({len(refused) / len(mine):.1%})"
        lines.append(f"| {defect or 'good ones'} | {len(mine)} | {share} | {why} |")
    bad = [bool(reasons) for case, reasons in outcomes if case.defect]
    good = [bool(reasons) for case, reasons in outcomes if not case.defect]
    lines += [
        "",
        f"Sensitivity {np.mean(bad):.1%} of {len(bad)} damaged photos (must: over 95 %); false refusals "
        f"{np.mean(good):.1%} of {len(good)} good ones (must: under 3 %).",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = parser_of(__doc__, writes="the table into docs/quality.md")
    parser.add_argument("--out", type=Path, help="keep the photos here")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    faces, rng = load_faces(arguments.faces), np.random.default_rng(SEED)
    good = good_faces(faces, arguments.faces)
    cases = [Case("", one.name, one.pixels) for one in good] + list(damaged(good, faces, rng))
    models, settings = shipped_models(), load_settings()
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.out or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        outcomes = [(case, judged(case, models, settings, folder)) for case in cases]
    for case, reasons in outcomes:
        if bool(reasons) != bool(case.defect):
            print(f"{case.defect or 'good'}: {case.name} ({case.view}) {', '.join(reasons) or 'passed'}")
    results = table(outcomes)
    print(results)
    if arguments.write:
        write_results(PAGE, results)


if __name__ == "__main__":
    main()
