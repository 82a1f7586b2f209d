"""A site that never was: annotated photographs with a camera, a position and a flush of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from masi_vision.errors import OutputError
from masi_vision.face.align import Alignment
from masi_vision.face.atlas import FaceAtlas, Floats, Subunit
from masi_vision.face.crop import apply
from masi_vision.labels.dataset import (
    LABELS,
    OD_PER_STEP,
    PHOTOS,
    PIGMENT,
    UNKNOWN,
    Dataset,
    Entry,
    Split,
    write_dataset,
    write_grey,
)
from masi_vision.phantom.capture import Capture, draw_capture
from masi_vision.phantom.distractor import distraction
from masi_vision.phantom.melasma import no_melasma
from masi_vision.training.augment import turned
from masi_vision.training.cache import TrainingSet
from masi_vision.training.data import LabelledFace
from masi_vision.training.faces import persons
from masi_vision.training.phantom_photos import Scene, can_be_planted, drawn_melasma, photographed
from masi_vision.training.turned_head import drawn_out

_P_CLEAR = 0.15
_SMOOTHED = 0.02  # half the side of the square over which outlines are smoothed, in shares of the face
Matrix = tuple[tuple[float, float, float], ...]
Person = tuple[LabelledFace, Split]


@dataclass(frozen=True)
class Domain:
    """What is peculiar to the photographs of a site.

    Parameters
    ----------
    colour : (3, 3) tuple
        What the camera's sensor makes of linear red, green and blue.
    balance, tone
        Factors on the three, and exponent on linear light, on top of those of every photograph.
    yaw_deg : (float, float)
        Least and largest turn of the head, to either side.
    redness : float
        Strength of a flush; 1 is plainly to be seen.
    """

    name: str
    colour: Matrix = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
    balance: tuple[float, float, float] = (1, 1, 1)
    tone: float = 1.0
    yaw_deg: tuple[float, float] = (0, 0)
    redness: float = 1.0

    def capture(self, rng: np.random.Generator) -> Capture:
        """How one of its photographs is taken."""
        usual = draw_capture(rng)
        red, green, blue = (a * b for a, b in zip(usual.balance, self.balance, strict=True))
        return replace(usual, balance=(red, green, blue), tone=usual.tone * self.tone, colour=self.colour)


HOME = Domain("home")
"""As the photographs from which the shipped models learned."""
AWAY = Domain(
    "away",
    colour=((0.62, 0.46, -0.08), (0.20, 0.58, 0.22), (-0.04, 0.42, 0.62)),
    balance=(1.15, 0.95, 0.75),
    tone=1.35,
    yaw_deg=(20, 35),
    redness=3.0,
)
"""Another site: a sensor whose channels leak into each other, warm light, hard contrast, oblique views only,
three times the flush. Chosen here."""


@dataclass(frozen=True)
class Shot:
    """An annotated photograph in pixels: the photo, region codes, density of pigment, landmarks."""

    pixels: npt.NDArray[np.uint8]
    codes: npt.NDArray[np.uint8]
    density_od: Floats
    lesion: npt.NDArray[np.bool_]
    landmarks: Floats


def people_unseen(data: TrainingSet, counts: Mapping[Split, int], *, seed: int = 5) -> list[Person]:
    """People of the test part, to whom no shipped model was fitted, shared out among a new site's splits.

    Of a person with several photographs only those of the first split stay.

    Raises
    ------
    ValueError
        There are not so many.
    """
    faces = [face for face in data.faces if data.split[face.id] == "test"]
    judged = [data.judged(face.id) for face in faces if face.view == "frontal"]
    usable = [face for face, unclear in judged if not unclear and can_be_planted(face)]
    splits = [split for split, count in counts.items() for _ in range(count)]
    if len(splits) > len(usable):
        raise ValueError(f"counts must add up to at most {len(usable)}, got {len(splits)}")
    order = np.random.default_rng(seed).permutation(len(usable))
    drawn = [(usable[place], split) for place, split in zip(order, splits, strict=False)]
    person = dict(zip((face.id for face in faces), persons(faces), strict=True))
    first: dict[int, Split] = {}
    for face, split in drawn:
        first.setdefault(person[face.id], split)
    return [(face, split) for face, split in drawn if first[person[face.id]] == split]


def write_phantom_dataset(
    people: Sequence[Person],
    domain: Domain,
    atlas: FaceAtlas,
    out: Path,
    *,
    photos_each: int = 2,
    densities: bool = True,
    seed: int = 1,
) -> Dataset:
    """Photograph every person `photos_each` times with the same melasma, or none, and write photos and truth.

    Parameters
    ----------
    densities : bool
        Write the density of the pigment; else its outline alone, as a person draws it.

    Raises
    ------
    OutputError
        The folder is there already.
    """
    if out.exists():
        raise OutputError(f"{out} is there already. Expected a new folder. Name another.")
    entries: list[Entry] = []
    landmarks: dict[str, Floats] = {}
    for face, split in people:
        rng = np.random.default_rng((seed, int(face.id)))
        for number, (view, shot) in enumerate(_shots(face, domain, atlas, photos_each, rng), 1):
            name = f"{face.id}-{number}"
            entry = Entry(
                f"{PHOTOS}/{name}.png",
                f"{LABELS}/{name}.png",
                f"{PIGMENT}/{name}.png",
                patient=face.id,
                visit=str(number),
                view=view,
                site=domain.name,
                split=split,
            )
            _write(shot, entry, out, densities=densities)
            entries.append(entry)
            landmarks[entry.photo] = shot.landmarks
    made = Dataset(out, tuple(entries), landmarks)
    write_dataset(made)
    return made


def _shots(
    face: LabelledFace, domain: Domain, atlas: FaceAtlas, count: int, rng: np.random.Generator
) -> Iterator[tuple[str, Shot]]:
    shape = (atlas.labels.shape[0], atlas.labels.shape[1])
    melasma, _ = drawn_melasma(face, atlas, "training", rng)
    scene = Scene(face, no_melasma(shape) if rng.random() < _P_CLEAR else melasma)
    first = rng.choice([-1, 1])
    for number in range(count):
        flush = distraction("redness", shape, rng, strength=domain.redness)
        yaw = float(first * (-1) ** number * rng.uniform(*domain.yaw_deg))
        view = "front" if abs(yaw) < 15 else "right" if yaw > 0 else "left"
        yield view, shot_of(replace(scene, extra=flush), domain.capture(rng), atlas, rng, yaw_deg=yaw)


def shot_of(
    scene: Scene, capture: Capture, atlas: FaceAtlas, rng: np.random.Generator, *, yaw_deg: float
) -> Shot:
    """Photograph a scene and carry its truth the same way."""
    face, shape = scene.face, scene.face.labels.shape
    pixels = photographed(scene, atlas, capture, rng, yaw_deg=yaw_deg)
    size, placed = pixels.shape[1::-1], capture.placed(shape)
    before = Alignment(atlas, face.landmarks)
    codes, after = face.labels, face.landmarks
    if yaw_deg:
        after = turned(face.landmarks, yaw_deg, 0.0)
        codes = np.asarray(before.to_frame(face.labels, nearest=True), np.uint8)
    over = Alignment(atlas, after)
    window = (0, 0, *shape)
    if yaw_deg:
        codes = _as_drawn(np.asarray(over.to_photo(codes, window, nearest=True), np.uint8))
        unknown = drawn_out(face.landmarks, atlas, yaw_deg, (shape[0], shape[1]))
        codes[unknown & (codes > 0)] = UNKNOWN

    def carried(picture: npt.NDArray[np.generic], how: int) -> npt.NDArray[np.generic]:
        return np.asarray(cv2.warpAffine(picture, placed, size, flags=how))

    density, lesion = (
        carried(np.asarray(over.to_photo(one.astype(np.float32), window), np.float32), cv2.INTER_LINEAR)
        for one in (scene.melasma.density_od, scene.melasma.lesion)
    )
    return Shot(
        pixels,
        np.asarray(carried(codes, cv2.INTER_NEAREST), np.uint8),
        np.asarray(density, np.float32),
        np.asarray(lesion, np.float32) > 0.5,
        apply(placed, after),
    )


def _as_drawn(codes: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Codes with smooth outlines, as a person draws them: the far edge of a turned mesh is ragged."""
    side = 2 * int(_SMOOTHED * np.sqrt((codes > 0).sum())) + 1
    shares = [cv2.blur((codes == code).astype(np.float32), (side, side)) for code in range(len(Subunit))]
    return np.asarray(np.argmax(shares, axis=0), np.uint8)


def _write(shot: Shot, entry: Entry, out: Path, *, densities: bool) -> None:
    (out / PHOTOS).mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(out / entry.photo), shot.pixels[..., ::-1])
    write_grey(out / entry.labels, shot.codes)
    if densities:
        steps = np.maximum(np.rint(shot.density_od / OD_PER_STEP), 1)
        write_grey(out / entry.pigment, np.where(shot.lesion, steps, 0).astype(np.uint16))
    else:
        write_grey(out / entry.pigment, shot.lesion.astype(np.uint8))
