"""Finds the face of a photo: a coarse pass over the whole picture, a fine pass over the upright crop."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from masi_vision.errors import NotScorable
from masi_vision.face.align import Alignment, Window
from masi_vision.face.atlas import FaceAtlas, Floats, Subunit
from masi_vision.face.crop import (
    FINDER_SIDE_PX,
    KEY_LANDMARKS,
    READER_SIDE_PX,
    apply,
    crop_template,
    inverse,
    photo_to_crop,
)
from masi_vision.face.models import FaceModels
from masi_vision.face.pose import HeadPose, head_pose

Pixels = npt.NDArray[np.uint8]
Transform = npt.NDArray[np.float64]

# The fine pass is made again on a better crop when its landmarks lie further than this from where the
# crop before expected them (share of the crop's side), so many times at most: a third brought nothing. The
# reading that lies nearest to what its crop expected is taken: on some faces the next crop is a worse one.
_RECROP, _RECROPS = 0.04, 2
# A face is believed when the fine pass puts the six key points where the coarse pass saw them, within
# this share of the crop's side, sees at least this much scored skin, and is sure (probability 0.8) of at
# least this share of it. A part of the photo, looked at when the whole shows no face, must show more: five
# more looks are five more chances to be wrong. Chosen on the validation faces, on views of them with the
# face destroyed, and with the faceless pictures of scikit-image in view.
_AGREE = {"whole": 0.10, "part": 0.05}
_LEAST_SURE = {"whole": 0.6, "part": 0.8}
_LEAST_SKIN = 0.04
_SURE = 0.8
# A reading further astray or less sure than this may be of a face that lies on its side or stands on its
# head: then the photo is read turned as well. Chosen on the validation faces, upright and turned.
_DOUBTED_ASTRAY, _DOUBTED_SURE = 0.03, 0.85
_LEAST_SPREAD = 0.02  # six points nearer together than this share of the photo are no face
# How the landmarks' subunits weigh on what the network saw: the width of their borders in px of the crop,
# the weight of a subunit outside its own place, and by how much they speak against hidden skin inside
# it. Chosen on the validation faces, together, by mean IoU.
_BORDER_PX, _ASTRAY, _TRUST = 0.8, 0.07, 0.5
# Another face is looked for where there is room for one, in widths of the face that was found. It is read
# where the coarse pass is so sure, and believed when the fine pass is sure of this share of its skin. Chosen
# on photos of one face, none of 709 with another then, and pairs side by side (73 in 100 found, 82 at 0.5).
_ROOM, _OTHER_PROBABILITY, _OTHER_SURE = 0.6, 0.9, 0.7
# Where no face is seen in the whole photo, it is looked for in five parts of this share of its sides.
_PART = 0.62


@dataclass(frozen=True)
class FaceRegions:
    """A face in a photo.

    Parameters
    ----------
    alignment : Alignment
        Landmarks in photo pixels, and the way to the aligned frame and back.
    crop : (2, 3) array
        Photo pixels to pixels of the crop that the network read.
    shares : (7, S, S) float32
        Probability of each subunit on the crop, given where the landmarks put it.
    pose : HeadPose
    probability : float
        That there is a face at all.
    """

    alignment: Alignment
    crop: Transform
    shares: Floats
    pose: HeadPose
    probability: float

    @property
    def atlas(self) -> FaceAtlas:
        """The aligned frame."""
        return self.alignment.atlas

    @property
    def face_width_px(self) -> float:
        """Width of the face in photo pixels, foreshortening undone by its height."""
        xy = self.alignment.landmarks[:, :2]
        mean = self.atlas.landmark_mean
        width = np.linalg.norm(xy[234] - xy[454])
        height = np.linalg.norm(xy[10] - xy[152])
        ratio = np.linalg.norm(mean[234, :2] - mean[454, :2]) / np.linalg.norm(mean[10, :2] - mean[152, :2])
        return float(max(width, height * ratio))

    def window(self, shape: tuple[int, ...]) -> Window:
        """The part of a photo of this shape that holds the face, (top, left, bottom, right)."""
        xy = self.alignment.nodes[:, :2]
        left, top = np.floor(xy.min(axis=0)).astype(int) - 2
        right, bottom = np.ceil(xy.max(axis=0)).astype(int) + 3
        height, width = shape[:2]
        return max(0, top), max(0, left), min(height, bottom), min(width, right)

    def photo_codes(self, window: Window) -> Pixels:
        """Subunit codes on visible skin for a window of the photo, (h, w) uint8."""
        top, left, bottom, right = window
        back = inverse(self.crop)
        back[:, 2] -= (left, top)
        size = (right - left, bottom - top)
        return largest(
            cv2.warpAffine(share, back, size, flags=cv2.INTER_LINEAR, borderValue=float(code == 0))
            for code, share in enumerate(self.shares)
        )

    def frame_codes(self) -> Pixels:
        """Subunit codes on visible skin in the aligned frame, (H, W) uint8; 0 where nothing faces us."""
        positions = self.alignment.photo_positions()
        linear = self.crop[:, :2].astype(np.float32)
        at = positions @ linear.T + self.crop[:, 2].astype(np.float32)
        at = np.nan_to_num(at, nan=-1e4)
        where, fine = cv2.convertMaps(at, None, cv2.CV_16SC2)
        codes = largest(
            cv2.remap(share, where, fine, cv2.INTER_LINEAR, borderValue=0) for share in self.shares
        )
        codes[np.isnan(positions[..., 0])] = Subunit.NONE
        return codes


def largest(layers: Iterable[npt.NDArray[np.number]]) -> Pixels:
    """Number of the largest of the layers (H, W) at each pixel, (H, W) uint8; of equal ones the first's."""
    numbered = enumerate(layers)
    most = np.array(next(numbered)[1])
    codes = np.zeros(most.shape, np.uint8)
    for number, layer in numbered:  # one at a time: NumPy's argmax is slow along the first axis
        np.copyto(codes, np.uint8(number), where=layer > most)
        np.maximum(most, layer, out=most)
    return codes


def find_face(picture: Pixels, models: FaceModels, *, min_probability: float) -> FaceRegions:
    """Find and read the face.

    Parameters
    ----------
    picture : (H, W, 3) uint8
        sRGB, upright.
    min_probability : float
        Below it there is no face.

    Raises
    ------
    NotScorable
        ``no_face``; ``pose`` where the photo must be turned for its face to be upright.
    """
    best = 0.0
    for number, (top, left, bottom, right) in enumerate(_looks(picture.shape)):
        probability, seen = _coarse(picture[top:bottom, left:right], models)
        best = max(best, probability)
        if probability >= min_probability:
            face, astray = _read(picture, seen + np.array([left, top], np.float32), probability, models)
            if face is not None and _is_believed(face, astray, "part" if number else "whole"):
                if astray > _DOUBTED_ASTRAY or _sureness(face) < _DOUBTED_SURE:
                    _refuse_turned(picture, face, models, min_probability)
                return face
    raise _no_face(best, min_probability)


def widest_other(picture: Pixels, face: FaceRegions, models: FaceModels) -> float:
    """Width of the widest other face beside the one that was found, px; 0 where none is seen.

    Parameters
    ----------
    picture : (H, W, 3) uint8
        sRGB, upright.
    face : FaceRegions
        What `find_face` found in it.
    """
    top, left, bottom, right = face.window(picture.shape)
    height, width = picture.shape[:2]
    beside = ((0, 0, height, left), (0, right, height, width), (0, 0, top, width), (bottom, 0, height, width))
    widest = 0.0
    for upper, first, lower, last in beside:
        if min(lower - upper, last - first) < _ROOM * face.face_width_px:
            continue
        probability, seen = _coarse(picture[upper:lower, first:last], models)
        if probability < _OTHER_PROBABILITY:
            continue
        other, astray = _read(picture, seen + np.array([first, upper], np.float32), probability, models)
        if other is None or _sureness(other) < _OTHER_SURE or not _is_believed(other, astray, "whole"):
            continue
        x, y = other.alignment.landmarks[:, :2].mean(axis=0)
        if first <= x < last and upper <= y < lower:  # not the same one read again
            widest = max(widest, other.face_width_px)
    return widest


def _refuse_turned(picture: Pixels, face: FaceRegions, models: FaceModels, min_probability: float) -> None:
    """Refuse a photo that is read more surely when it is turned."""
    for quarters in (1, 2, 3):
        turned = np.ascontiguousarray(np.rot90(picture, quarters))
        probability, seen = _coarse(turned, models)
        if probability < min_probability:
            continue
        other, astray = _read(turned, seen, probability, models)
        surer = other is not None and _sureness(other) > _sureness(face)
        if other is not None and surer and _is_believed(other, astray, "part"):
            raise NotScorable(
                "pose",
                "The face is not upright: it is once the photo is turned by "
                f"{90 * quarters} degrees to the left. Expected an upright face. Turn the photo.",
            )


def _looks(shape: tuple[int, ...]) -> list[Window]:
    """The whole photo, then its middle and four corners: a face small in the frame is missed in the whole."""
    height, width = shape[:2]
    tall, wide = round(height * _PART), round(width * _PART)
    corners = (
        [(height - tall) // 2, 0, 0, height - tall, height - tall],
        [(width - wide) // 2, 0, width - wide, 0, width - wide],
    )
    parts = [(top, left, top + tall, left + wide) for top, left in zip(*corners, strict=True)]
    return [(0, 0, height, width), *parts]


def _read(
    picture: Pixels, seen: Floats, probability: float, models: FaceModels
) -> tuple[FaceRegions | None, float]:
    """The face at the six points that the coarse pass saw, and how far the fine pass put them from there."""
    if float(np.ptp(seen, axis=0).max()) < _LEAST_SPREAD * max(picture.shape[:2]):
        return None, np.inf
    template = crop_template(models.atlas.landmark_mean)
    crop = photo_to_crop(seen, template)
    shares, landmarks = _fine(picture, crop, models)
    seen_in_crop, keys = apply(crop, seen), apply(crop, landmarks)[list(KEY_LANDMARKS), :2]
    astray = float(np.median(np.linalg.norm(seen_in_crop - keys, axis=1))) / READER_SIDE_PX
    if not astray <= _AGREE["whole"]:  # NaN is no face either
        return None, astray
    readings = []
    for left in reversed(range(_RECROPS + 1)):
        better = photo_to_crop(landmarks[list(KEY_LANDMARKS), :2], template)
        moved = _moved(crop, better)
        readings.append((moved, crop, shares, landmarks))
        if moved <= _RECROP * READER_SIDE_PX or not left:
            break
        crop = better
        shares, landmarks = _fine(picture, crop, models)
    _, crop, shares, landmarks = min(readings, key=lambda reading: reading[0])
    pose = head_pose(landmarks, models.atlas.landmark_mean)
    shares = _where_it_belongs(shares, Alignment(models.atlas, apply(crop, landmarks)))
    return FaceRegions(Alignment(models.atlas, landmarks), crop, shares, pose, probability), astray


def _where_it_belongs(shares: Floats, in_crop: Alignment) -> Floats:
    """Weigh what the network saw by where the landmarks put each subunit.

    The border of a subunit is drawn by the atlas, not by anything to be seen in the skin: landmarks
    know it better than pixels. What is skin and what hides it, the pixels know.
    """
    side = shares.shape[1]
    drawn = in_crop.to_photo(in_crop.atlas.labels, (0, 0, side, side), nearest=True)
    belongs = np.stack(
        [
            cv2.GaussianBlur((drawn == code).astype(np.float32), (0, 0), _BORDER_PX)
            for code in range(len(shares))
        ]
    )
    weight = _ASTRAY + belongs
    weight[Subunit.NONE] = _ASTRAY + 1 - _TRUST * belongs[1:].sum(axis=0)
    weighted = shares * weight
    return np.asarray(weighted / weighted.sum(axis=0), np.float32)


def _is_believed(face: FaceRegions, astray: float, look: Literal["whole", "part"]) -> bool:
    """Whether both passes agree, and the fine pass drew enough skin and was sure of it."""
    skin = face.shares.argmax(axis=0) > 0
    enough = skin.mean() >= _LEAST_SKIN and _sureness(face) >= _LEAST_SURE[look]
    return bool(astray <= _AGREE[look] and enough)


def _sureness(face: FaceRegions) -> float:
    """Share of the skin drawn of which the fine pass is sure."""
    skin = face.shares.argmax(axis=0) > 0
    return float((face.shares.max(axis=0)[skin] > _SURE).mean()) if skin.any() else 0.0


def _no_face(probability: float, least: float) -> NotScorable:
    found = f" (probability {probability:.2f})" if probability < least else " that could be read"
    return NotScorable(
        "no_face",
        f"No face was found{found}. "
        f"Expected one face, at least {least:g} sure, upright and "
        "filling a third of the frame or more. Check that this is the right photo, or take it again: "
        "without a mask or other cover, of one person alone.",
    )


def _coarse(picture: Pixels, models: FaceModels) -> tuple[float, Floats]:
    """Presence and the six key points in photo pixels, (6, 2)."""
    height, width = picture.shape[:2]
    scale = FINDER_SIDE_PX / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = np.zeros((FINDER_SIDE_PX, FINDER_SIDE_PX, 3), np.uint8)
    left, top = (FINDER_SIDE_PX - size[0]) // 2, (FINDER_SIDE_PX - size[1]) // 2
    small[top : top + size[1], left : left + size[0]] = cv2.resize(
        picture, size, interpolation=cv2.INTER_AREA
    )
    probability, heat = models.find(small)
    at = np.stack([_peak(one) for one in heat])
    in_photo = ((at - (left, top)) + 0.5) * (width / size[0], height / size[1]) - 0.5
    return probability, in_photo.astype(np.float32)


def _peak(heat: Floats) -> Floats:
    """Position of the highest peak in input pixels, refined by the mass around it."""
    stride = FINDER_SIDE_PX // heat.shape[0]
    row, column = np.unravel_index(int(np.argmax(heat)), heat.shape)
    top, left = max(0, int(row) - 2), max(0, int(column) - 2)
    near = heat[top : int(row) + 3, left : int(column) + 3].astype(np.float64)
    weight = np.exp(near - near.max())
    rows, columns = np.mgrid[top : top + near.shape[0], left : left + near.shape[1]]
    x, y = (weight * columns).sum() / weight.sum(), (weight * rows).sum() / weight.sum()
    return np.array([(x + 0.5) * stride - 0.5, (y + 0.5) * stride - 0.5], np.float32)


def _fine(picture: Pixels, crop: Transform, models: FaceModels) -> tuple[Floats, Floats]:
    """Subunit probabilities on the crop, and landmarks in photo pixels (478, 3)."""
    side = READER_SIDE_PX
    scale = float(np.hypot(crop[0, 0], crop[1, 0]))
    if scale < 0.5:  # a plain warp would skip pixels: shrink by averaging first
        picture, shrink = _shrunk(picture, 1 / (2 * scale))
        upright = cv2.warpAffine(picture, crop @ shrink, (side, side), flags=cv2.INTER_LINEAR)
    else:
        upright = cv2.warpAffine(picture, crop, (side, side), flags=cv2.INTER_LINEAR)
    shares, landmarks = models.read(upright)
    return shares, apply(inverse(crop), landmarks)


def _shrunk(picture: Pixels, factor: float) -> tuple[Pixels, Transform]:
    """The picture made smaller by area, and the (3, 3) way from its pixels to the original's."""
    height, width = picture.shape[:2]
    size = (max(1, round(width / factor)), max(1, round(height / factor)))
    x, y = width / size[0], height / size[1]
    way = np.array([[x, 0, x / 2 - 0.5], [0, y, y / 2 - 0.5], [0, 0, 1]])
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8), way


def _moved(crop: Transform, better: Transform) -> float:
    """How far the corners of the middle half of the crop move between two crops, px."""
    side = READER_SIDE_PX
    corners = np.array([[side / 4, side / 4], [3 * side / 4, side / 4], [side / 2, 3 * side / 4]], np.float32)
    there = apply(better, apply(inverse(crop), corners))
    return float(np.linalg.norm(there - corners, axis=1).max())
