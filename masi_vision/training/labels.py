"""Labels for training: the atlas' subunits on the skin that is really visible in the photo.

The landmarks know the face, not hair, glasses, beards or hands. What of a subunit is visible skin is
found from the photo: a colour model of this face's skin, grown from patches that are skin on nearly
every face, against one of its surroundings (GrabCut), then beard by its roughness and darkness.
It is a label maker, not a measuring device: it is right for most photos and wrong for some, and the
model card says how its errors were judged.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from masi_vision.face.align import Alignment
from masi_vision.face.atlas import FaceAtlas, Floats, Subunit, face_span, with_forehead
from masi_vision.training.faces import AtlasPolygons, Face

Mask = npt.NDArray[np.uint8]
Pixels = npt.NDArray[np.uint8]

_SIDE = 288
"""Side in px of the crop in which skin is found; the face spans about 150 of it."""
_OVAL = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
_JAW = _OVAL[8:29]
# Patches that are bare skin on nearly every face: cheeks under the eyes, bridge of the nose, middle
# of the forehead, the groove under the lip.
_SEEDS = (
    (117, 118, 119, 120, 47, 126, 142, 36, 205, 187, 123),
    (346, 347, 348, 349, 277, 355, 371, 266, 425, 411, 352),
    (168, 193, 122, 196, 3, 51, 5, 281, 248, 419, 351, 417),
    (151, 108, 69, 107, 9, 336, 299, 337),
    (200, 199, 208, 428),
)
_BEARD_ZONE = (
    *(234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379),
    *(365, 397, 288, 361, 323, 454, 425, 426, 2, 206, 205),
)
_CHIN_CORE = (
    *(57, 43, 106, 182, 83, 18, 313, 406, 335, 273, 287, 432, 430, 394, 379, 400),
    *(152, 176, 150, 169, 210, 212),
)
# Median fine detail of the middle of the chin (log grey) from which a chin is taken to be bearded. Hair has
# it throughout, lips and jaw line only at their edges: most photos of the sheet "Facial_Hair" lie above
# 0.022, bare chins below 0.015. Chosen here.
_BEARDED = 0.019
_CHEEKS = ((50, 101, 36, 205, 118, 117), (280, 330, 266, 425, 347, 346))


def label_face(face: Face, pixels: Pixels, atlas: FaceAtlas, polygons: AtlasPolygons) -> Mask:
    """Subunit codes on visible skin, (H, W) uint8, for one training photo."""
    height, width = pixels.shape[:2]
    drawn = Alignment(atlas, face.landmarks).to_photo(atlas.labels, (0, 0, height, width), nearest=True)
    skin = visible_skin(pixels, face.landmarks, polygons)
    return np.where(skin > 0, drawn, Subunit.NONE).astype(np.uint8)


def visible_skin(pixels: Pixels, landmarks: Floats, polygons: AtlasPolygons) -> Mask:
    """Bare skin of the face, (H, W) uint8 0 or 1; eyes, brows, lips and nostrils count as not skin."""
    to_crop = _crop(landmarks)
    crop = cv2.warpAffine(
        pixels, to_crop, (_SIDE, _SIDE), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE
    )
    points = (landmarks[:, :2] @ to_crop[:, :2].T + to_crop[:, 2]).astype(np.float32)
    span = face_span(np.c_[points, landmarks[:, 2]])
    never = np.zeros((_SIDE, _SIDE), np.uint8)
    for numbers in polygons.exclude.values():
        never |= _polygon(points[numbers])
    never = cv2.dilate(never, _disk(0.012 * span))
    bare = cv2.inpaint(crop, cv2.dilate(never, _disk(1)), 5, cv2.INPAINT_TELEA)
    skin = _grow_skin(bare, points, span, never)
    skin |= _shaded_skin(bare, points, span, skin)
    skin &= 1 - _beard(bare, points, span, skin)
    skin &= 1 - never
    back = cv2.invertAffineTransform(to_crop)
    soft = cv2.GaussianBlur(skin.astype(np.float32), (0, 0), 0.8)
    size = pixels.shape[1::-1]
    return np.asarray(cv2.warpAffine(soft, back, size, flags=cv2.INTER_LINEAR) > 0.5, np.uint8)


def _crop(landmarks: Floats) -> npt.NDArray[np.float64]:
    xy = with_forehead(landmarks)[:, :2]
    centre = (xy.min(axis=0) + xy.max(axis=0)) / 2
    scale = _SIDE / (1.9 * face_span(landmarks))
    return np.array([[scale, 0, _SIDE / 2 - scale * centre[0]], [0, scale, _SIDE / 2 - scale * centre[1]]])


def _polygon(points: Floats) -> Mask:
    mask = np.zeros((_SIDE, _SIDE), np.uint8)
    cv2.fillPoly(mask, [np.round(points * 16).astype(np.int32)], 1, cv2.LINE_8, 4)
    return mask


def _disk(radius: float) -> Mask:
    size = 2 * max(1, round(radius)) + 1
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))


def _face_outline(points: Floats) -> Mask:
    nodes = with_forehead(points)
    return _polygon(np.concatenate([points[list(_JAW)], points[[127, 162]], nodes[-13:], points[[389, 356]]]))


def _grow_skin(bare: Pixels, points: Floats, span: float, never: Mask) -> Mask:
    """GrabCut of skin against surroundings; neck and ears may be either, far pixels are surroundings."""
    lab = cv2.cvtColor(cv2.bilateralFilter(bare, 7, 30, 5).astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    seeds = np.zeros((_SIDE, _SIDE), np.uint8)
    for patch in _SEEDS:
        seeds |= _polygon(points[list(patch)])
    seeds &= 1 - never
    face = _face_outline(points)
    neck = _polygon(
        np.concatenate([points[list(_JAW)], points[list(_JAW)][::-1] + np.array([0, 0.5 * span], np.float32)])
    )
    above = face & (1 - _polygon(points[list(_OVAL)]))
    guess = np.full((_SIDE, _SIDE), cv2.GC_BGD, np.uint8)
    guess[cv2.dilate(face, _disk(0.05 * span)) > 0] = cv2.GC_PR_BGD
    guess[face > 0] = cv2.GC_PR_FGD
    guess[(neck > 0) & (face == 0)] = cv2.GC_PR_FGD
    guess[(above > 0) & (seeds == 0)] = cv2.GC_PR_BGD
    guess[_consensus(lab, seeds)] = cv2.GC_FGD
    lab8 = cv2.cvtColor(bare, cv2.COLOR_RGB2LAB)
    cv2.grabCut(lab8, guess, None, np.zeros((1, 65)), np.zeros((1, 65)), 4, cv2.GC_INIT_WITH_MASK)
    skin = np.isin(guess, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    disk = _disk(0.012 * span)
    skin = cv2.morphologyEx(cv2.morphologyEx(skin, cv2.MORPH_CLOSE, disk), cv2.MORPH_OPEN, disk)
    return _without_specks(skin & face, 0.004 * float(face.sum()))


def _shaded_skin(bare: Pixels, points: Floats, span: float, skin: Mask) -> Mask:
    """Smooth parts of the lower face in the hue of this face's skin: GrabCut gives shade away too easily.

    The forehead is left as it is: there what is smooth and dark is hair.
    """
    tone = np.log(bare.astype(np.float32) + 8)
    slow = cv2.GaussianBlur(tone, (0, 0), 0.02 * span)
    rough = np.sqrt(cv2.GaussianBlur(((tone - slow) ** 2).mean(axis=2), (0, 0), 0.025 * span))
    hue = np.stack([slow[..., 0] - slow[..., 1], slow[..., 1] - slow[..., 2]], axis=2)
    known = skin > 0
    if known.sum() < 200:
        return np.zeros_like(skin)
    centre, light = np.median(hue[known], axis=0), np.median(slow[known].mean(axis=1))
    spread = 1.4826 * np.median(np.abs(hue[known] - centre), axis=0) + 0.03
    same_hue = (np.abs(hue - centre) < 2.5 * spread).all(axis=2)
    not_black = slow.mean(axis=2) > light - 1.1
    zone = (
        _polygon(points[list(_BEARD_ZONE)])
        | _polygon(points[list(_SEEDS[0])])
        | _polygon(points[list(_SEEDS[1])])
    )
    shaded = (same_hue & not_black & (rough < 0.06) & (zone > 0)).astype(np.uint8)
    return np.asarray(cv2.morphologyEx(shaded, cv2.MORPH_OPEN, _disk(0.015 * span)), np.uint8)


def _consensus(lab: Floats, seeds: Mask) -> npt.NDArray[np.bool_]:
    """Seed pixels whose colour agrees with most seeds: sunglasses over a seed do not teach skin."""
    away = np.abs(lab - np.median(lab[seeds > 0], axis=0))
    agree = (away[..., 0] < 22) & (away[..., 1] < 12) & (away[..., 2] < 14)
    return np.asarray((seeds > 0) & agree)


def _without_specks(mask: Mask, least_px: float) -> Mask:
    _, numbers, facts, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    large = facts[:, cv2.CC_STAT_AREA] >= least_px
    large[0] = False
    return large[numbers].astype(np.uint8)


def _beard(bare: Pixels, points: Floats, span: float, skin: Mask) -> Mask:
    """Rough or rough and dark skin of the lower face, on a face whose chin is rough throughout."""
    tone = np.log(cv2.cvtColor(bare, cv2.COLOR_RGB2GRAY).astype(np.float32) + 8)
    slow = cv2.GaussianBlur(tone, (0, 0), 0.02 * span)
    rough = np.sqrt(cv2.GaussianBlur((tone - slow) ** 2, (0, 0), 0.025 * span))
    cheeks = skin & (_polygon(points[list(_CHEEKS[0])]) | _polygon(points[list(_CHEEKS[1])]))
    chin = skin & cv2.erode(_polygon(points[list(_CHIN_CORE)]), _disk(0.03 * span))
    fine = np.abs(tone - cv2.GaussianBlur(tone, (0, 0), 0.008 * span))
    if not chin.any() or cheeks.sum() < 30 or np.median(fine[chin > 0]) < _BEARDED:
        return np.zeros_like(skin)
    smooth, darker = float(np.median(rough[cheeks > 0])), np.median(slow[cheeks > 0]) - slow
    hairy = (rough > max(0.13, 2 * smooth)) | ((rough > max(0.065, 1.6 * smooth)) & (darker > 0.15))
    zone = skin & _polygon(points[list(_BEARD_ZONE)])
    beard = cv2.morphologyEx((hairy & (zone > 0)).astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    return np.asarray(cv2.morphologyEx(beard, cv2.MORPH_CLOSE, _disk(0.03 * span)), np.uint8)
