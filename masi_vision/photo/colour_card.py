"""The colour card in a photograph: finding a ColorChecker Classic, and reading its patches.

Needs OpenCV 5, which brings its detector in every build; OpenCV 4 has it in contrib builds only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

import cv2
import cv2.mcc
import numpy as np
import numpy.typing as npt

from masi_vision.photo.colour import Pixels, srgb_to_linear
from masi_vision.photo.profile import SRGB_TO_XYZ_D50
from masi_vision.skin.tone import delta_e00, lab

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

COLUMNS, ROWS = 6, 4
# CIE L*a*b* (D50, 2 degrees) of cards made since November 2014, row by row as printed, white at the lower
# left: X-Rite, "New color specifications for ColorChecker SG and Classic charts", 2016, by i1Pro 2, M0 (the
# same in BabelColor's pages on the ColorChecker and in colour-science). Older ones lie 1 dE*ab or so off.
_REFERENCE = {
    "dark skin": (37.54, 14.37, 14.92),
    "light skin": (64.66, 19.27, 17.50),
    "blue sky": (49.32, -3.82, -22.54),
    "foliage": (43.46, -12.74, 22.72),
    "blue flower": (54.94, 9.61, -24.79),
    "bluish green": (70.48, -32.26, -0.37),
    "orange": (62.73, 35.83, 56.50),
    "purplish blue": (39.43, 10.75, -45.17),
    "moderate red": (50.57, 48.64, 16.67),
    "purple": (30.10, 22.54, -20.87),
    "yellow green": (71.77, -24.13, 58.19),
    "orange yellow": (71.51, 18.24, 67.37),
    "blue": (28.37, 15.42, -49.80),
    "green": (54.38, -39.72, 32.27),
    "red": (42.43, 51.05, 28.62),
    "yellow": (81.80, 2.67, 80.41),
    "magenta": (50.63, 51.28, -14.12),
    "cyan": (49.57, -29.71, -28.32),
    "white": (95.19, -1.03, 2.93),
    "neutral 8": (81.29, -0.57, 0.44),
    "neutral 6.5": (66.89, -0.75, -0.06),
    "neutral 5": (50.76, -0.13, 0.14),
    "neutral 3.5": (35.63, -0.46, -0.48),
    "black": (20.64, 0.07, -0.46),
}
PATCHES = tuple(_REFERENCE)
"""Names of the patches, in the order of all arrays here."""
_LAB_D50 = np.array(list(_REFERENCE.values()))
_SKINS = [PATCHES.index("dark skin"), PATCHES.index("light skin")]

# Chosen here. OpenCV looks best at pictures of this size; a card it misses there is looked for at full size.
_SEARCH_SIDE_PX = 1600
# Where no box is nearer to a card than this (`_strangeness`), the card is looked for at full size too.
_PLAUSIBLE_DELTA_E00 = 8.0
# The inner half of a patch is read, in 3 x 3 blocks; on 6 to 30 samples a side, whatever its size.
_BLOCKS, _FEWEST, _MOST = 3, 1, 5
# How much more a difference of the two skin patches weighs; its square, 16, is how often they count in least
# squares. Chosen here on simulated and on measured skin: docs/colour.md.
_SKIN_WEIGHT = 4.0


@dataclass(frozen=True, eq=False)
class Card:
    """A colour card as a photograph shows it, in the order of `PATCHES`.

    Parameters
    ----------
    corners_px : (4, 2)
        Outer corners of the dark skin, bluish green, black and white patches, columns before rows.
    linear_rgb : (24, 3)
        Median over the inner part of each patch, linear sRGB.
    spread_delta_e00 : (24,)
        Largest difference between a ninth of a patch and all of it: of what lies over it, or a shadow's edge.
    clipped_fraction : (24,)
        Share of pixels at the end of a channel, black or full.
    mirrored : bool
        The patches fit only as a mirror shows them.
    several : bool
        Another card is shown elsewhere: perhaps in another light.
    """

    corners_px: Floats
    linear_rgb: Floats
    spread_delta_e00: Floats
    clipped_fraction: Floats
    mirrored: bool
    several: bool = False

    def __post_init__(self) -> None:
        """Check the shapes."""
        shapes = [self.corners_px, self.linear_rgb, self.spread_delta_e00, self.clipped_fraction]
        if [a.shape for a in shapes] != [(4, 2), (24, 3), (24,), (24,)]:
            raise ValueError(f"a card has 4 corners and 24 patches, got {[a.shape for a in shapes]}")

    @property
    def patch_px(self) -> float:
        """Side of a patch and its gap [px], from the area of the card."""
        return float(np.sqrt(cv2.contourArea(self.corners_px.astype(np.float32)) / (COLUMNS * ROWS)))


@cache
def reference_linear_srgb() -> Floats:
    """Linear sRGB (24, 3) of the patches under D65; cyan has a red below 0.

    Notes
    -----
    D50 to D65 by Bradford's transform, which is contained in the matrix of sRGB's primaries under D50.
    """
    lightness, a, b = _LAB_D50.T
    y = (lightness + 16) / 116
    root = np.stack([y + a / 500, y, y - b / 200], axis=1)
    ratio = np.where(root > 6 / 29, root**3, 3 * (6 / 29) ** 2 * (root - 4 / 29))
    linear = ratio * SRGB_TO_XYZ_D50.sum(axis=1) @ np.linalg.inv(SRGB_TO_XYZ_D50).T
    linear.flags.writeable = False
    return np.asarray(linear)


def find_card(srgb: Pixels) -> Card | None:
    """Find a ColorChecker Classic, or its Mini or Nano, anywhere in a photograph; None where there is none.

    Parameters
    ----------
    srgb : array of uint8 or uint16, (H, W, 3)
        Upright, RGB.

    Raises
    ------
    ValueError
        The numbers are others: no card would be found in them.

    Notes
    -----
    OpenCV's detector gives boxes, also where some patches are hidden. Which corner is which is settled here:
    all eight ways to lay a card into a box are tried, and the one is kept whose colours a matrix brings
    nearest to the reference. Patches are read at full size, and boxes found in a reduced picture looked for
    once more in the full one.
    """
    if srgb.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"srgb must be uint8 or uint16, got {srgb.dtype}")
    candidates: list[Card] = []
    longest = max(srgb.shape[:2])
    for scale in sorted({min(1.0, _SEARCH_SIDE_PX / longest), 1.0}):
        candidates += [_read(srgb, box) for box in _boxes(srgb, scale)]
        if any(_strangeness(card) < _PLAUSIBLE_DELTA_E00 for card in candidates):
            break
    if not candidates:
        return None
    best = min(candidates, key=_strangeness)
    others = [one for one in candidates if _strangeness(one) < _PLAUSIBLE_DELTA_E00 and _apart(one, best)]
    return replace(min([best, *_closer(srgb, best)], key=_strangeness), several=bool(others))


def _apart(one: Card, other: Card) -> bool:
    """Whether two boxes have no skin of a card in common: not two readings of one."""
    boxes = [card.corners_px.astype(np.float32) for card in (one, other)]
    return bool(cv2.intersectConvexConvex(*map(cv2.convexHull, boxes))[0] == 0)


def _strangeness(card: Card) -> float:
    """How far readings are from those of any card in any light, in dE00: in colour, and within patches."""
    matrix = matrix_to_reference(card.linear_rgb, np.ones(24, np.bool_))
    misfit = delta_e00_to_reference(card.linear_rgb @ matrix.T)
    return float(misfit.mean() + card.spread_delta_e00.mean())


def _closer(srgb: Pixels, card: Card) -> Iterator[Card]:
    """Look again at the card's surroundings alone: a box found in a small picture is some pixels off."""
    margin = 2 * card.patch_px
    low = np.maximum(card.corners_px.min(axis=0) - margin, 0).astype(int)
    high = (card.corners_px.max(axis=0) + margin).astype(int)
    window = srgb[low[1] : high[1], low[0] : high[0]]
    for box in _boxes(window, min(1.0, _SEARCH_SIDE_PX / max(window.shape[:2]))):
        yield _read(srgb, box + low)


def _boxes(srgb: Pixels, scale: float) -> Iterator[Floats]:
    """Corners (4, 2) [px of the full picture], clockwise, of what OpenCV takes for a card, wholly shown."""
    edge = np.array(srgb.shape[1::-1])
    eight_bit = srgb if srgb.dtype == np.uint8 else cv2.convertScaleAbs(srgb, alpha=1 / 257)
    small = cv2.resize(eight_bit, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    detector = cv2.mcc.CCheckerDetector.create()
    detector.setColorChartType(cv2.mcc.MCC24)
    try:
        detector.process(cv2.cvtColor(small, cv2.COLOR_RGB2BGR), nc=8)
    except cv2.error:
        return  # OpenCV 5.0 fails an assertion where squares lie so that no box goes around them
    for checker in detector.getListColorChecker():
        box = (np.asarray(checker.getBox(), np.float64) + 0.5) / scale - 0.5
        if cv2.isContourConvex(box.astype(np.float32)) and (box >= -1).all() and (box <= edge).all():
            yield box if cv2.contourArea(box.astype(np.float32), oriented=True) > 0 else box[::-1]


def _read(srgb: Pixels, box: Floats) -> Card:
    """Read the card in a box the way round that fits best."""
    turns = [np.roll(box, turn, axis=0) for turn in range(4)]
    ways = [(corners, False) for corners in turns] + [(corners[[1, 0, 3, 2]], True) for corners in turns]
    return min((_read_as(srgb, corners, mirrored) for corners, mirrored in ways), key=_strangeness)


def _read_as(srgb: Pixels, corners: Floats, mirrored: bool) -> Card:
    """Read a card whose corners are known."""
    whole = float(np.sqrt(cv2.contourArea(corners.astype(np.float32)) / (COLUMNS * ROWS)))
    block = int(np.clip(round(whole / 12), _FEWEST, _MOST))  # pixels of a block, two of which make a quarter
    side = 12 * block
    flat = np.array([[0, 0], [COLUMNS, 0], [COLUMNS, ROWS], [0, ROWS]]) * side - 0.5
    onto = cv2.getPerspectiveTransform(flat.astype(np.float32), corners.astype(np.float32))
    card = cv2.warpPerspective(
        srgb, onto, (COLUMNS * side, ROWS * side), flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    )
    patches = card.reshape(ROWS, side, COLUMNS, side, 3).swapaxes(1, 2).reshape(24, side, side, 3)
    inner = patches[:, side // 4 : side - side // 4, side // 4 : side - side // 4]
    light = srgb_to_linear(inner)
    blocks = light.reshape(24, _BLOCKS, 2 * block, _BLOCKS, 2 * block, 3)
    each, all_of_it = np.median(blocks, axis=(2, 4)), np.median(light, axis=(1, 2))
    spread = delta_e00(lab(each), lab(all_of_it)[:, None, None]).max(axis=(1, 2))
    top = int(np.iinfo(srgb.dtype).max)
    ends = (inner >= top - top // 255) | (inner <= top // 255)
    clipped = ends.any(axis=-1).mean(axis=(1, 2))
    return Card(corners, all_of_it.astype(np.float64), spread, clipped, mirrored)


@cache
def tolerances() -> Floats:
    """(24, 3, 3) from a small difference in linear RGB to one in L*, a*, b*, over what is tolerated."""
    at, step = reference_linear_srgb(), 1e-4 * np.eye(3)
    change = [(lab(at + axis) - lab(at - axis)) / 2e-4 for axis in step]
    tolerated = 1 + 0.045 * np.hypot(_LAB_D50[:, 1], _LAB_D50[:, 2])
    per_axis = np.stack([np.ones(24), tolerated, tolerated], axis=1)
    per_axis[_SKINS] /= _SKIN_WEIGHT
    return np.asarray(np.stack(change, axis=-1) / per_axis[..., None])


def matrix_to_reference(straight: Floats, usable: Flags) -> Floats:
    """Least squares in tolerances: matrix (3, 3) from readings proportional to light to the reference."""
    weights = tolerances()[usable]
    rows = np.einsum("ijk,il->ijkl", weights, straight[usable]).reshape(-1, 9)
    wanted = np.einsum("ijk,ik->ij", weights, reference_linear_srgb()[usable]).reshape(-1)
    return np.asarray(np.linalg.lstsq(rows, wanted, rcond=None)[0].reshape(3, 3))


def delta_e00_to_reference(linear: Floats) -> Floats:
    """Difference of linear RGB (24, 3) to the reference, (24,)."""
    return delta_e00(lab(reference_linear_srgb()), lab(linear))
