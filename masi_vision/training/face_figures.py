"""How good the face models are on people they never saw: the figures of the model card.

Regions are counted by `masi_vision.evaluation`, as on anybody's annotated photographs; landmarks, pose and
the way to the aligned frame and back are known of the synthetic faces alone, and counted here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from masi_vision.errors import NotScorable
from masi_vision.evaluation.photo_figures import PhotoFigures, tone_of_pixels
from masi_vision.evaluation.region_figures import region_overlaps, sides_swapped
from masi_vision.evaluation.summary import summary
from masi_vision.face.align import Alignment
from masi_vision.face.atlas import SUBUNITS, face_span, outer_eye_distance
from masi_vision.face.find import FaceRegions, find_face
from masi_vision.face.models import FaceModels
from masi_vision.skin.tone import TONES
from masi_vision.training.cache import TrainingSet
from masi_vision.training.data import LabelledFace, Pixels
from masi_vision.training.faces import persons

Row = dict[str, float]
"""One line of the card's table: the figures of a group of photos by name; NaN where nothing was counted."""


@dataclass(frozen=True, kw_only=True)
class FaceFigures:
    """What was found in one photo.

    Parameters
    ----------
    drawn : PhotoFigures
        Its regions; those without a right label are left out.
    covered : bool
        It was made with glasses, a hat or a beard.
    landmark_error : float
        Mean distance of the landmarks in outer eye distances. This and what follows: NaN without a face.
    yaw_error_deg : float
    round_trip_px : float
        How far skin moves to the aligned frame and back, see `round_trip_px`.
    """

    drawn: PhotoFigures
    covered: bool
    landmark_error: float = np.nan
    yaw_error_deg: float = np.nan
    round_trip_px: float = np.nan


def evaluate(data: TrainingSet, models: FaceModels, *, as_made: bool = False) -> list[FaceFigures]:
    """Figures of every test photo, against the labels as corrected by eye or as the rules made them."""
    figures = []
    for face, person in zip(data.faces, persons(data.faces), strict=True):
        if data.split[face.id] != "test":
            continue
        labelled, unclear = (data.labelled[face.id], frozenset[str]()) if as_made else data.judged(face.id)
        who = PhotoFigures(face.id, str(person), face.view, "", labelled=True)
        covered = "Glasses" in face.sheet or face.sheet in ("Hats", "Facial_Hair", "Accessories")
        figures.append(evaluate_face(labelled, unclear, who, covered=covered, models=models))
    return figures


def evaluate_face(
    face: LabelledFace, unclear: frozenset[str], who: PhotoFigures, *, covered: bool, models: FaceModels
) -> FaceFigures:
    """Find the face in one labelled photo and compare with its label.

    Parameters
    ----------
    unclear : frozenset of str
        Regions that have no right label: they count nowhere.
    who : PhotoFigures
        Whose photo it is.
    """
    try:
        found = find_face(face.pixels, models, min_probability=0.5)
    except NotScorable:
        return FaceFigures(drawn=_drawn(None, face, unclear, who), covered=covered)
    off = np.linalg.norm(found.alignment.landmarks[:, :2] - face.landmarks[:, :2], axis=1).mean()
    return FaceFigures(
        drawn=_drawn(found, face, unclear, who),
        covered=covered,
        landmark_error=float(off) / outer_eye_distance(face.landmarks),
        yaw_error_deg=abs(found.pose.yaw_deg - face.yaw_deg),
        round_trip_px=round_trip_px(found, face.labels.shape),
    )


def _drawn(
    found: FaceRegions | None, face: LabelledFace, unclear: frozenset[str], who: PhotoFigures
) -> PhotoFigures:
    height, width = face.labels.shape
    codes = np.zeros_like(face.labels) if found is None else found.photo_codes((0, 0, height, width))
    span = face_span(face.landmarks)
    overlaps = region_overlaps(codes, face.labels, span)
    return replace(
        who,
        tone=tone_of_pixels(face.pixels[face.labels > 0]),
        found=found is not None,
        swapped=sides_swapped(codes, face.labels, span),
        regions={name: one for name, one in overlaps.items() if name not in unclear},
    )


def round_trip_px(face: FaceRegions, shape: tuple[int, ...]) -> float:
    """95th percentile of how far skin moves when it is carried to the aligned frame and back, photo px."""
    window = face.window(shape)
    there = face.alignment.frame_positions(window)
    skin = (face.photo_codes(window) > 0) & ~np.isnan(there[..., 0])
    back = carried_back(face.alignment, there)
    rows, columns = np.nonzero(skin)
    moved = np.hypot(back[rows, columns, 0] - columns - window[1], back[rows, columns, 1] - rows - window[0])
    moved = moved[np.isfinite(moved)]
    return float(np.quantile(moved, 0.95)) if moved.size else np.nan


def carried_back(alignment: Alignment, positions: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Photo positions of frame positions, by the map that carries photos into the frame."""
    at = np.nan_to_num(positions, nan=-1e4)
    there = alignment.photo_positions()
    back = cv2.remap(there, at, None, cv2.INTER_LINEAR, borderValue=(np.nan, np.nan))
    return np.asarray(back, np.float32)


def false_faces(pictures: Iterable[Pixels], models: FaceModels) -> int:
    """In how many pictures without a face one is found."""
    count = 0
    for picture in pictures:
        try:
            find_face(picture, models, min_probability=0.5)
            count += 1
        except NotScorable:
            pass
    return count


def row(figures: Sequence[FaceFigures]) -> Row:
    """The figures of a group of photos."""
    of_regions = summary([one.drawn for one in figures])
    mean_iou, seen = of_regions["mean_iou"], [one for one in figures if one.drawn.found]

    def number(value: float | None) -> float:
        return np.nan if value is None else value

    names = ("found", "photo_mean_iou", "swapped", *(f"iou_{one.name.lower()}" for one in SUBUNITS))
    return {
        "photos": len(figures),
        "mean_iou": number(mean_iou.value),
        "mean_iou_low": number(mean_iou.low),
        "mean_iou_high": number(mean_iou.high),
        **{name: number(of_regions[name].value) for name in names},
        "landmark_error": float(np.mean([one.landmark_error for one in seen])) if seen else np.nan,
        "yaw_error_deg": float(np.median([one.yaw_error_deg for one in seen])) if seen else np.nan,
        "round_trip_px": float(np.max([one.round_trip_px for one in seen])) if seen else np.nan,
    }


def table(figures: Sequence[FaceFigures], as_made: Sequence[FaceFigures]) -> dict[str, Row]:
    """By view, then by tone and by things in the way on frontal faces; uncorrected labels last."""

    def of_view(view: str, some: Sequence[FaceFigures] = figures) -> list[FaceFigures]:
        return [one for one in some if one.drawn.view == view]

    frontal = of_view("frontal")
    parts: dict[str, Sequence[FaceFigures]] = {
        "frontal (yaw < 15)": frontal,
        "turned (20 to 45)": of_view("turned"),
        "profile (> 45)": of_view("profile"),
        "all": figures,
    }
    parts |= {f"frontal, {tone}": [one for one in frontal if one.drawn.tone == tone] for tone, _ in TONES}
    parts["frontal, glasses, hat or beard sheet"] = [one for one in frontal if one.covered]
    parts["frontal, other sheets"] = [one for one in frontal if not one.covered]
    parts["frontal, labels uncorrected"] = of_view("frontal", as_made)
    parts["turned, labels uncorrected"] = of_view("turned", as_made)
    return {name: row(part) for name, part in parts.items() if part}


def as_values(figures: Sequence[FaceFigures]) -> list[dict[str, object]]:
    """Every photo's figures as plain values."""
    return [asdict(one) | {"drawn": one.drawn.to_dict()} for one in figures]
