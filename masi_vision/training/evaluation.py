"""How good the face models are on people they never saw: the figures of the model card."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

import cv2
import numpy as np
import numpy.typing as npt

from masi_vision.errors import NotScorable
from masi_vision.face.align import Alignment
from masi_vision.face.atlas import MASI_SUBUNITS, SUBUNITS, Subunit, outer_eye_distance
from masi_vision.face.find import FaceRegions, find_face
from masi_vision.face.models import FaceModels
from masi_vision.photo import srgb_to_linear
from masi_vision.skin.tone import TONES, tone_of
from masi_vision.training.atlas import face_span
from masi_vision.training.cache import TrainingSet
from masi_vision.training.data import LabelledFace, Pixels

# A region counts in a photo when label or drawing cover this share of the squared face span: less is a
# rim of a hidden region, on which an overlap says nothing.
_LEAST_AREA = 0.003


@dataclass(frozen=True, kw_only=True)
class PhotoFigures:
    """What was found in one photo."""

    id: str
    found: bool
    view: str
    tone: str
    hidden: bool
    iou: dict[str, float]
    overlap: dict[str, float]
    union: dict[str, float]
    landmark_error: float
    yaw_error_deg: float
    swapped: bool
    round_trip_px: float


def evaluate_photo(
    face: LabelledFace, unclear: frozenset[str], view: str, hidden: bool, models: FaceModels
) -> PhotoFigures:
    """Find the face in one labelled photo and compare with its label."""
    tone = tone_of_face(face)
    try:
        found = find_face(face.pixels, models, min_probability=0.5)
    except NotScorable:
        nothing, none, area = _overlap(np.zeros_like(face.labels), face, unclear)
        return PhotoFigures(
            id=face.id,
            found=False,
            view=view,
            tone=tone,
            hidden=hidden,
            iou=nothing,
            overlap=none,
            union=area,
            landmark_error=np.nan,
            yaw_error_deg=np.nan,
            swapped=False,
            round_trip_px=np.nan,
        )
    height, width = face.labels.shape
    drawn = found.photo_codes((0, 0, height, width))
    iou, overlap, union = _overlap(drawn, face, unclear)
    off = np.linalg.norm(found.alignment.landmarks[:, :2] - face.landmarks[:, :2], axis=1).mean()
    return PhotoFigures(
        id=face.id,
        found=True,
        view=view,
        tone=tone,
        hidden=hidden,
        iou=iou,
        overlap=overlap,
        union=union,
        landmark_error=float(off) / outer_eye_distance(face.landmarks),
        yaw_error_deg=abs(found.pose.yaw_deg - face.yaw_deg),
        swapped=_swapped(drawn, face.labels),
        round_trip_px=round_trip_px(found, (height, width)),
    )


def _overlap(
    drawn: Pixels, face: LabelledFace, unclear: frozenset[str]
) -> tuple[dict[str, float], dict[str, float], dict[str, float]]:
    """IoU, common area and united area by region; a region without a right label counts nowhere."""
    iou, overlaps, unions = {}, {}, {}
    for subunit in SUBUNITS:
        ours, truth = drawn == subunit, face.labels == subunit
        both, either = (
            float(mask.sum()) / face_span(face.landmarks) ** 2 for mask in (ours & truth, ours | truth)
        )
        if subunit.name.lower() in unclear:
            both = either = 0.0
        overlaps[subunit.name.lower()], unions[subunit.name.lower()] = both, either
        if either > _LEAST_AREA:
            iou[subunit.name.lower()] = both / either
    return iou, overlaps, unions


def _swapped(drawn: Pixels, truth: Pixels) -> bool:
    """Whether either malar region lies more on the other's label than on its own."""
    right, left = Subunit.RIGHT_MALAR, Subunit.LEFT_MALAR
    return any(
        ((drawn == a) & (truth == b)).sum() > ((drawn == a) & (truth == a)).sum()
        for a, b in ((right, left), (left, right))
    )


def tone_of_face(face: LabelledFace) -> str:
    """Class of skin tone of the skin that the label shows; the darkest of none."""
    skin = srgb_to_linear(np.ascontiguousarray(face.pixels))[face.labels > 0]
    return tone_of(skin) if len(skin) else TONES[-1][0]


def round_trip_px(face: FaceRegions, shape: tuple[int, int]) -> float:
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


def evaluate(data: TrainingSet, models: FaceModels, *, as_made: bool = False) -> list[PhotoFigures]:
    """Figures of every test photo, against the labels as corrected by eye or as the rules made them."""
    figures = []
    for face in data.faces:
        if data.split[face.id] != "test":
            continue
        hidden = "Glasses" in face.sheet or face.sheet in ("Hats", "Facial_Hair", "Accessories")
        labelled, unclear = (data.labelled[face.id], frozenset[str]()) if as_made else data.judged(face.id)
        figures.append(evaluate_photo(labelled, unclear, face.view, hidden, models))
    return figures


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


def summary(figures: list[PhotoFigures]) -> dict[str, float]:
    """One line of the table for a group of photos."""
    masi = [s.name.lower() for s in MASI_SUBUNITS]
    seen = [f for f in figures if f.found]
    per_region = {}
    for name in [s.name.lower() for s in SUBUNITS]:
        total = sum(f.union[name] for f in figures)
        per_region[f"iou_{name}"] = sum(f.overlap[name] for f in figures) / total if total else np.nan
    photo_means = [
        np.mean([f.iou[name] for name in masi if name in f.iou]) for f in figures if set(masi) & set(f.iou)
    ]
    return {
        "photos": len(figures),
        "found": len(seen) / max(1, len(figures)),
        "mean_iou": float(np.mean([per_region[f"iou_{name}"] for name in masi])),
        "mean_iou_low": interval(figures, masi)[0],
        "mean_iou_high": interval(figures, masi)[1],
        "photo_mean_iou": float(np.mean(photo_means)) if photo_means else np.nan,
        **per_region,
        "landmark_error": float(np.mean([f.landmark_error for f in seen])) if seen else np.nan,
        "yaw_error_deg": float(np.median([f.yaw_error_deg for f in seen])) if seen else np.nan,
        "swapped": sum(f.swapped for f in figures),
        "round_trip_px": float(np.max([f.round_trip_px for f in seen])) if seen else np.nan,
    }


def interval(figures: list[PhotoFigures], names: list[str], *, draws: int = 500) -> tuple[float, float]:
    """95 % bootstrap interval of the mean IoU, photos drawn with replacement."""
    both = np.array([[f.overlap[name] for name in names] for f in figures])
    either = np.array([[f.union[name] for name in names] for f in figures]) + 1e-9
    rng = np.random.default_rng(0)
    picks = rng.integers(0, len(figures), (draws, len(figures)))
    means = (both[picks].sum(axis=1) / either[picks].sum(axis=1)).mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def groups(figures: list[PhotoFigures], as_made: list[PhotoFigures]) -> dict[str, dict[str, float]]:
    """The table: by view, then by tone and by things in the way on frontal faces; uncorrected labels last."""
    frontal = [f for f in figures if f.view == "frontal"]
    parts = {
        "frontal (yaw < 15)": frontal,
        "turned (20 to 45)": [f for f in figures if f.view == "turned"],
        "profile (> 45)": [f for f in figures if f.view == "profile"],
        "all": figures,
    }
    parts |= {f"frontal, {name}": [f for f in frontal if f.tone == name] for name, _ in TONES}
    parts["frontal, glasses, hat or beard sheet"] = [f for f in frontal if f.hidden]
    parts["frontal, other sheets"] = [f for f in frontal if not f.hidden]
    parts["frontal, labels uncorrected"] = [f for f in as_made if f.view == "frontal"]
    parts["turned, labels uncorrected"] = [f for f in as_made if f.view == "turned"]
    return {name: summary(part) for name, part in parts.items() if part}


def rows(figures: list[PhotoFigures]) -> list[dict[str, object]]:
    """Figures as plain values."""
    return [asdict(figure) for figure in figures]
