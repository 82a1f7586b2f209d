"""Pictures of the worst photographs: what the annotator drew beside what the models draw."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from masi_vision.config import Settings
from masi_vision.errors import MasiError
from masi_vision.evaluation.photo_figures import PhotoFigures, drawn_codes, measured
from masi_vision.evaluation.region_figures import Mask
from masi_vision.face.atlas import SUBUNITS
from masi_vision.labels.dataset import UNKNOWN, Codes, Dataset, Entry
from masi_vision.photo import Photo
from masi_vision.visit.measure import PhotoMeasures
from masi_vision.visit.models import Models
from masi_vision.visit.seen import srgb8

_LONGEST_PX = 420
_ROOM = 0.12
_FINER = 2  # outlines are drawn on a picture so much larger, then both are made smaller
_REGION, _PIGMENT, _EDGE = (255, 221, 0), (255, 0, 170), (0, 0, 0)
Pixels = npt.NDArray[np.uint8]
Window = tuple[int, int, int, int]


@dataclass(frozen=True)
class WorstCase:
    """A photograph, with its figures and pictures.

    Parameters
    ----------
    told : str
        View, skin and figures, for people.
    pictures : tuple of (str, str, str)
        Whose outlines, what is to be said of them, and a JPEG as data: URI.
    """

    photo: str
    told: str
    pictures: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, eq=False)
class _Drawing:
    """Regions and pigment in the photo's pixels, and who drew them."""

    whose: str
    note: str
    codes: Codes
    lesion: Mask


def worst_photos(figures: Sequence[PhotoFigures], count: int) -> list[PhotoFigures]:
    """The first half by least mean IoU, the rest by the error of the pigmented fraction; no photo twice."""
    by_regions = _ranked(figures, lambda photo: None if photo.mean_iou is None else 1 - photo.mean_iou)
    by_pigment = _ranked(figures, lambda photo: photo.fraction_error)
    chosen: dict[str, PhotoFigures] = {}
    for some, most in ((by_regions, -(-count // 2)), (by_pigment, count), (by_regions, count)):
        for photo in some:
            if len(chosen) < most:
                chosen.setdefault(photo.photo, photo)
    return list(chosen.values())


def _ranked(
    figures: Sequence[PhotoFigures], badness: Callable[[PhotoFigures], float | None]
) -> list[PhotoFigures]:
    """The worst first; those of which nothing is known are left out."""
    known = [(bad, photo) for photo in figures if not photo.problem and (bad := badness(photo)) is not None]
    return [photo for _, photo in sorted(known, key=lambda pair: -pair[0])]


def worst_cases(
    data: Dataset,
    figures: Sequence[PhotoFigures],
    models: Sequence[tuple[str, Models]],
    settings: Settings,
    *,
    count: int,
) -> list[WorstCase]:
    """Pictures of the worst photographs; one that cannot be read any more is passed over."""
    made = []
    for photo in worst_photos(figures, count):
        try:
            made.append(worst_case(data, photo, models, settings))
        except MasiError:
            continue
    return made


def worst_case(
    data: Dataset, figures: PhotoFigures, models: Sequence[tuple[str, Models]], settings: Settings
) -> WorstCase:
    """Draw one: the annotator's outlines, then those of each of the models.

    Raises
    ------
    MasiError
        The photo cannot be read any more.
    """
    entry = next(one for one in data.entries if one.photo == figures.photo)
    photo = data.photo(entry)
    drawings = [
        _by_annotator(data, entry, photo),
        *(_by_models(name, measured(photo, entry, settings, one), photo) for name, one in models),
    ]
    window = _window([one.codes for one in drawings])
    pictures = [(one.whose, one.note, _jpeg(_painted(photo, one, window))) for one in drawings]
    return WorstCase(figures.photo, _told(figures), tuple(pictures))


def _by_annotator(data: Dataset, entry: Entry, photo: Photo) -> _Drawing:
    shape = photo.srgb.shape
    labels, truth = data.labels(entry, shape), data.pigment(entry, shape)
    nothing = np.zeros(shape[:2], np.uint8)
    codes = nothing if labels is None else np.where(labels == UNKNOWN, 0, labels).astype(np.uint8)
    note = "" if labels is not None else "no regions drawn"
    if truth is None:
        note = "no pigment drawn"
    lesion = nothing > 0 if truth is None else truth.lesion
    return _Drawing("annotator", note, codes, lesion if labels is None else lesion & (codes > 0))


def _by_models(name: str, measures: PhotoMeasures | None, photo: Photo) -> _Drawing:
    note = "no face found" if measures is None else ""
    return _Drawing(name, note, drawn_codes(measures, photo), lesion_of(measures, photo))


def lesion_of(measures: PhotoMeasures | None, photo: Photo) -> Mask:
    """Pigment on scored skin as the models see it, in the photo's pixels; nothing without a face."""
    lesion = np.zeros(photo.srgb.shape[:2], bool)
    if measures is not None:
        top, left, bottom, right = window = measures.face.window(lesion.shape)
        lesion[top:bottom, left:right] = measures.photo_lesion(window) > 0.5
    return lesion


def _told(figures: PhotoFigures) -> str:
    parts = [figures.patient, figures.view, figures.tone]
    if figures.mean_iou is not None:
        parts.append(f"mean IoU {figures.mean_iou:.2f}")
    if figures.swapped:
        parts.append("sides swapped")
    if figures.fraction_error is not None:
        parts.append(f"pigmented fraction off by {figures.fraction_error:.1%}")
    return ", ".join(part for part in parts if part)


def _window(codes: Sequence[Codes]) -> Window:
    """The part of the photo in which anything is drawn, with some room; all of it where nothing is."""
    height, width = codes[0].shape
    rows, columns = np.nonzero(np.any([one > 0 for one in codes], axis=0))
    if not rows.size:
        return 0, 0, height, width
    room = int(_ROOM * max(np.ptp(rows), np.ptp(columns))) + 4
    return (
        max(0, int(rows.min()) - room),
        max(0, int(columns.min()) - room),
        min(height, int(rows.max()) + room),
        min(width, int(columns.max()) + room),
    )


def _painted(photo: Photo, drawing: _Drawing, window: Window) -> Pixels:
    """The window with the outlines of regions and pigment, its longer side 420 px."""
    top, left, bottom, right = window
    part = np.ascontiguousarray(srgb8(photo)[top:bottom, left:right])
    scale = _FINER * _LONGEST_PX / max(part.shape[:2])
    size = (max(_FINER, round(part.shape[1] * scale)), max(_FINER, round(part.shape[0] * scale)))
    picture = cv2.resize(part, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    for subunit in SUBUNITS:
        _outline(picture, drawing.codes[top:bottom, left:right] == subunit, _REGION)
    _outline(picture, drawing.lesion[top:bottom, left:right], _PIGMENT)
    small = (size[0] // _FINER, size[1] // _FINER)
    return np.asarray(cv2.resize(picture, small, interpolation=cv2.INTER_AREA), np.uint8)


def _outline(picture: Pixels, mask: Mask, colour: tuple[int, int, int]) -> None:
    """Outline a mask on a picture of another size, dark beside bright: seen on any skin. In place."""
    soft = cv2.resize(mask.astype(np.float32), picture.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    lines, _ = cv2.findContours((soft > 0.5).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(picture, lines, -1, _EDGE, 2 * _FINER, cv2.LINE_AA)
    cv2.drawContours(picture, lines, -1, colour, _FINER, cv2.LINE_AA)


def _jpeg(picture: Pixels) -> str:
    _, coded = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])
    return "data:image/jpeg;base64," + base64.b64encode(coded.tobytes()).decode()
