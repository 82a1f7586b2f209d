"""Make the demo photographs that come with the package: people who do not exist, with planted pigment.

    python scripts/make_demo.py --faces FACES --out masi_vision/phantom/demo_study

Each person is the average of many synthetic faces of one tone, warped to their mean shape, from the front
and from both sides. Pigment is planted in the aligned frame; truth.json says where and how much.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np

from masi_vision.face.align import Alignment
from masi_vision.face.atlas import MASI_SUBUNITS, FaceAtlas
from masi_vision.face.crop import similarity
from masi_vision.phantom.plant import Site, pigment_patches, planted
from masi_vision.photo import linear_to_srgb8, srgb_to_linear
from masi_vision.skin.tone import ita_deg, lab
from masi_vision.training.atlas import symmetric_mirror, upright
from masi_vision.training.augment import backward_map
from masi_vision.training.cache import TrainingSet, prepare
from masi_vision.training.data import LabelledFace
from masi_vision.training.faces import Face

WIDTH, HEIGHT = 720, 900
HEAD_PX, EYES_AT = 440, (359.5, 400.0)
SITES = [
    Site((0.21, 0.54), (0.10, 0.065), 1.0),
    Site((0.80, 0.55), (0.09, 0.070), 1.0),
    Site((0.50, 0.14), (0.17, 0.055), 0.8),
    Site((0.50, 0.67), (0.07, 0.016), 0.9),
]
VISITS = [
    ("demo-01", "visit-1", "light", 0.085),
    ("demo-01", "visit-2", "light", 0.045),
    ("demo-02", "visit-1", "dark", 0.11),
]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"))
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    data = prepare(arguments.faces, arguments.cache)
    persons = {
        tone: {view: average(data, tone, view) for view in ("front", "left", "right")}
        for tone in ("light", "dark")
    }
    truth = {}
    for patient, visit, tone, density in VISITS:
        pigment = pigment_of(data.atlas, patient, density)
        folder = arguments.out / patient / visit
        folder.mkdir(parents=True, exist_ok=True)
        for view, (picture, landmarks) in persons[tone].items():
            even = toned(picture, landmarks, persons[tone]["front"])
            write_photo(folder / f"{view}.jpg", even, landmarks, pigment, data.atlas)
        truth[f"{patient}/{visit}"] = {
            s.name.lower(): round(float((pigment[data.atlas.labels == s] > 0.03).mean()), 4)
            for s in MASI_SUBUNITS
        }
    (arguments.out / "truth.json").write_text(json.dumps({"fraction_above_0.03_od": truth}, indent=1) + "\n")


def pigment_of(atlas: FaceAtlas, patient: str, density: float) -> np.ndarray:
    """The same patches for every visit of a patient, only their density differs."""
    rng = np.random.default_rng([ord(letter) for letter in patient])
    return pigment_patches(atlas.labels.shape, SITES, rng) * np.float32(density)


def average(data: TrainingSet, tone: str, view: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean linear photo and landmarks of the lightest or darkest third of the fitting faces of a view."""
    mirror = symmetric_mirror(data.polygons.mirror)
    fitting = [face for face in data.faces if fits(face, data.labelled[face.id], view)]
    fitting.sort(key=lambda face: skin_ita_deg(data.labelled[face.id]), reverse=tone == "light")
    placed = []
    for face in fitting[: len(fitting) // 3]:
        labelled = data.labelled[face.id]
        flips = (False, True) if view == "front" else ((face.yaw_deg > 0) != (view == "right"),)
        placed += [place(labelled.pixels, labelled.landmarks, mirror, flip) for flip in flips]
    mean = np.mean([landmarks for _, landmarks in placed], axis=0).astype(np.float32)
    total = np.zeros((HEIGHT, HEIGHT, 3), np.float64)
    for pixels, landmarks in placed:
        x, y = backward_map(np.eye(3)[:2], HEIGHT, landmarks, mean)
        warped = cv2.remap(pixels, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        total += srgb_to_linear(warped)
    print(tone, view, len(placed), "photos")
    return (total / len(placed)).astype(np.float32)[:, :WIDTH], mean


def fits(face: Face, labelled: LabelledFace, view: str) -> bool:
    """Bare adult faces in even light from the front, in any light from the side, in colour."""
    avoided = ("Glasses", "Hats", "Facial", "Accessories", "bad", "Makeup", "age", "Age")
    turned = face.even_frontal if view == "front" else 24 < abs(face.yaw_deg) < 48
    in_colour = np.ptp(labelled.pixels.astype(int), axis=2).mean() > 8
    bare = (labelled.labels > 0).sum() > 500 and not any(word in face.sheet for word in avoided)
    return bool(turned and in_colour and bare and abs(face.pitch_deg) < 14)


def skin_ita_deg(face: LabelledFace) -> float:
    return float(ita_deg(lab(np.median(srgb_to_linear(face.pixels[face.labels > 0][None]), axis=(0, 1)))))


def toned(picture: np.ndarray, landmarks: np.ndarray, front: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """A side view in the colour of the front: a factor per channel, from the skin of nose and cheeks."""
    patch = [5, 195, 197, 50, 280, 101, 330, 118, 347]
    ours, theirs = (
        np.median(
            [cv2.getRectSubPix(p, (25, 25), tuple(map(float, m[n, :2]))) for n in patch], axis=(0, 1, 2)
        )
        for p, m in ((picture, landmarks), front)
    )
    return (picture * (theirs / ours)).astype(np.float32)


def place(
    pixels: np.ndarray, landmarks: np.ndarray, mirror: np.ndarray, flip: bool
) -> tuple[np.ndarray, np.ndarray]:
    """One photo and its landmarks on the canvas, eyes level and at a set distance, mirrored if asked."""
    if flip:
        pixels = np.ascontiguousarray(pixels[:, ::-1])
        landmarks = landmarks[mirror].copy()
        landmarks[:, 0] = pixels.shape[1] - 1 - landmarks[:, 0]
    target = upright(landmarks)
    target *= HEAD_PX / np.linalg.norm(target[10, :2] - target[152, :2])  # heights are not foreshortened
    target[:, :2] += np.array(EYES_AT) - (target[33, :2] + target[263, :2]) / 2
    moved = similarity(landmarks[:, :2], target[:, :2])
    canvas = cv2.warpAffine(
        pixels, moved, (HEIGHT, HEIGHT), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return canvas, target.astype(np.float32)


def write_photo(
    file: Path, picture: np.ndarray, landmarks: np.ndarray, pigment: np.ndarray, atlas: FaceAtlas
) -> None:
    density = Alignment(atlas, landmarks).to_photo(pigment, (0, 0, HEIGHT, WIDTH))
    rng = np.random.default_rng(3)
    grain = (
        1
        + 0.02
        * cv2.GaussianBlur(rng.standard_normal((HEIGHT, WIDTH, 1)).astype(np.float32), (0, 0), 0.8)[..., None]
    )
    out = planted(picture, np.asarray(density, np.float32)) * grain
    cv2.imwrite(str(file), linear_to_srgb8(out)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])


if __name__ == "__main__":
    main()
