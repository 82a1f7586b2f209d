"""The colour card in a photograph: finding a ColorChecker Classic, and correcting colour by it.

A card is applied only if all of it says the same. What may be wrong with it (a finger on it, a shadow, too
much light, another card) has a limit each in `CardLimits`; past one, `fit_correction` gives a `Refusal`, and
the photograph stays as it is.

Needs OpenCV 5, which brings its detector in every build; OpenCV 4 has it in contrib builds only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal

import cv2
import cv2.mcc
import numpy as np
import numpy.typing as npt

from masi_vision.photo.colour import Pixels, srgb_to_linear
from masi_vision.photo.profile import SRGB_TO_XYZ_D50
from masi_vision.skin.tone import delta_e00, lab

Floats = npt.NDArray[np.float64]
Picture = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]

COLUMNS, ROWS = 6, 4
# CIE L*a*b* (D50, 2 degrees) of cards made since November 2014, row by row as printed, white at the lower
# left: X-Rite, "New color specifications for ColorChecker SG and Classic charts", 2016, by i1Pro 2, M0 (the
# same in BabelColor's pages on the ColorChecker and in colour-science). Older cards lie 2 dE*ab or so off.
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
_GREYS = np.arange(18, 24)
_MIDDLE_GREY = PATCHES.index("neutral 5")
_SKINS = [PATCHES.index("dark skin"), PATCHES.index("light skin")]

# Chosen here. OpenCV looks best at pictures of this size; a card it misses there is looked for at full size.
_SEARCH_SIDE_PX = 1600
# Where no box is nearer to a card than this (`_strangeness`), the card is looked for at full size too.
_PLAUSIBLE_DELTA_E00 = 8.0
# The inner half of a patch is read, in 3 x 3 blocks; on 6 to 30 samples a side, whatever its size.
_BLOCKS, _FEWEST, _MOST = 3, 1, 5
# Twelve numbers are fitted to three per patch; with a third of these nothing would show a wrong one.
_FEWEST_PATCHES = 12
# How much more the two skin patches count. Chosen here on simulated and on measured skin: docs/colour.md.
_SKIN_WEIGHT = 4.0
# Gauss and Newton: the residual is all but linear in the three, so four rounds settle it to 1e-6.
# What would go past exponents of 2 and light that doubles stays there, and is refused by any limit.
_ROUNDS, _STEP, _MOST_BEND = 4, 1e-4, 0.7


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
    """

    corners_px: Floats
    linear_rgb: Floats
    spread_delta_e00: Floats
    clipped_fraction: Floats
    mirrored: bool

    def __post_init__(self) -> None:
        """Check the shapes."""
        shapes = [self.corners_px, self.linear_rgb, self.spread_delta_e00, self.clipped_fraction]
        if [a.shape for a in shapes] != [(4, 2), (24, 3), (24,), (24,)]:
            raise ValueError(f"a card has 4 corners and 24 patches, got {[a.shape for a in shapes]}")

    @property
    def patch_px(self) -> float:
        """Side of a patch and its gap [px], from the area of the card."""
        return float(np.sqrt(cv2.contourArea(self.corners_px.astype(np.float32)) / (COLUMNS * ROWS)))


@dataclass(frozen=True)
class CardLimits:
    """When a card is trusted.

    Parameters
    ----------
    min_patch_px : float
        Side of a patch.
    max_clipped_fraction : float
        Share of a patch at the end of a channel; a patch above it is left out.
    max_spread_delta_e00 : float
        Within a patch.
    min_patches, min_greys : int
        Patches not left out, of all 24 and of the grey row's six.
    max_tone_departure : float
        Of the exponent on linear light from 1.
    max_light_change : float
        Of the light over the card's length or height, as a share.
    max_grey_cast : float
        Distance in a* and b* of a grey patch, corrected, from its own.
    max_mean_delta_e00, max_patch_delta_e00 : float
        Of the patches after the fit, mean and largest.
    max_left_out_delta_e00 : float
        Of the patches, each as the fit to all others has it, largest.
    """

    min_patch_px: float
    max_clipped_fraction: float
    max_spread_delta_e00: float
    min_patches: int
    min_greys: int
    max_tone_departure: float
    max_light_change: float
    max_grey_cast: float
    max_mean_delta_e00: float
    max_patch_delta_e00: float
    max_left_out_delta_e00: float

    def __post_init__(self) -> None:
        """Check that enough patches remain for the fit."""
        if not _FEWEST_PATCHES <= self.min_patches <= 24:
            raise ValueError(f"min_patches must be in [{_FEWEST_PATCHES}, 24], got {self.min_patches}")


RefusalCode = Literal[
    "mirrored", "too_small", "covered", "clipped", "not_this_card", "tone", "uneven_light", "grey_row"
]
"""Why a card was not applied."""


@dataclass(frozen=True)
class Refusal:
    """A card that was found and is not applied; the message has what was found, expected, to do."""

    reason: RefusalCode
    message: str


@dataclass(frozen=True, eq=False)
class Correction:
    """From a photograph's linear RGB to linear sRGB as the card has it under D65.

    Parameters
    ----------
    matrix : (3, 3)
        Onto linear RGB raised to ``exponent``, as a column.
    exponent : float
        On linear RGB; 1 for a camera without a tone curve of its own.
    light_change : (2,)
        Natural logarithm of the light's change over the card, from left to right and from top to bottom.
    readings : (24, 3)
        The patches as photographed, linear RGB.
    usable : (24,) bool
        Patches that were fitted; the others are clipped.
    delta_e00_before, delta_e00_after, delta_e00_left_out : (24,)
        Difference to the reference as photographed, corrected, and corrected by the fit to all others. Of
        patches that were not fitted the last two are between what the camera should have recorded,
        clipped as it clips, and what it did.
    """

    matrix: Floats
    exponent: float
    light_change: Floats
    readings: Floats
    usable: Flags
    delta_e00_before: Floats
    delta_e00_after: Floats
    delta_e00_left_out: Floats


@dataclass(frozen=True)
class CardDrift:
    """How far two photographs' cards lie apart as photographed.

    Parameters
    ----------
    grey_delta_e00 : float
        Of neutral 5: exposure and white balance.
    mean_delta_e00, max_delta_e00 : float
        Of the patches fitted in both.
    """

    grey_delta_e00: float
    mean_delta_e00: float
    max_delta_e00: float


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

    Notes
    -----
    OpenCV's detector gives boxes, also where some patches are hidden. Which corner is which is settled here:
    all eight ways to lay a card into a box are tried, and the one is kept whose colours a matrix brings
    nearest to the reference. Patches are read at full size, and boxes found in a reduced picture looked for
    once more in the full one.
    """
    candidates: list[Card] = []
    longest = max(srgb.shape[:2])
    for scale in sorted({min(1.0, _SEARCH_SIDE_PX / longest), 1.0}):
        candidates += [_read(srgb, box) for box in _boxes(srgb, scale)]
        if any(_strangeness(card) < _PLAUSIBLE_DELTA_E00 for card in candidates):
            break
    if not candidates:
        return None
    best = min(candidates, key=_strangeness)
    return min([best, *_closer(srgb, best)], key=_strangeness)


def fit_correction(card: Card, limits: CardLimits) -> Correction | Refusal:
    """Fit a colour correction to a card, or say why the card is not to be trusted.

    Notes
    -----
    reference = matrix @ (reading ** exponent / light), where light changes evenly over the card: all patches
    not clipped are fitted at once, the matrix by least squares in L*a*b* made linear around the reference (a*
    and b* over 1 + 0.045 C*, as in CIE94), exponent and light by Gauss and Newton around it.
    """
    usable = card.clipped_fraction <= limits.max_clipped_fraction
    return _unusable(card, usable, limits) or _trusted(_fitted(card.linear_rgb, usable), limits)


def corrected(linear_rgb: Picture, correction: Correction) -> Picture:
    """Correct linear RGB of the same photograph, (..., 3), of any shape.

    Colours outside sRGB come out below 0 or above 1; nothing is clipped. Input below 0 counts as 0. How light
    changes over the card is not taken out: it is known of the card only.
    """
    rows = np.ascontiguousarray(linear_rgb, np.float32).reshape(-1, 1, 3)
    straight = cv2.pow(np.maximum(rows, 0), correction.exponent)
    return np.asarray(cv2.transform(straight, correction.matrix), np.float32).reshape(linear_rgb.shape)


def card_drift(baseline: Correction, follow_up: Correction) -> CardDrift:
    """How much camera and light moved between two visits: the raw readings of the card at one and the other.

    Nothing is made equal before, so a change of exposure counts, as it does in photographs left uncorrected.
    """
    both = baseline.usable & follow_up.usable
    apart = delta_e00(lab(baseline.readings), lab(follow_up.readings))
    return CardDrift(float(apart[_MIDDLE_GREY]), float(apart[both].mean()), float(apart[both].max()))


def _strangeness(card: Card) -> float:
    """How far readings are from those of any card in any light, in dE00: in colour, and within patches."""
    matrix = _matrix(card.linear_rgb, np.ones(24, np.bool_))
    misfit = _from_reference(card.linear_rgb @ matrix.T)
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
def _tolerances() -> Floats:
    """(24, 3, 3) from a small difference in linear RGB to one in L*, a*, b*, over what is tolerated."""
    at, step = reference_linear_srgb(), 1e-4 * np.eye(3)
    change = [(lab(at + axis) - lab(at - axis)) / 2e-4 for axis in step]
    tolerated = 1 + 0.045 * np.hypot(_LAB_D50[:, 1], _LAB_D50[:, 2])
    per_axis = np.stack([np.ones(24), tolerated, tolerated], axis=1)
    per_axis[_SKINS] /= _SKIN_WEIGHT
    return np.asarray(np.stack(change, axis=-1) / per_axis[..., None])


def _matrix(straight: Floats, usable: Flags) -> Floats:
    """Least squares in tolerances: matrix (3, 3) from readings proportional to light to the reference."""
    weights = _tolerances()[usable]
    rows = np.einsum("ijk,il->ijkl", weights, straight[usable]).reshape(-1, 9)
    wanted = np.einsum("ijk,ik->ij", weights, reference_linear_srgb()[usable]).reshape(-1)
    return np.asarray(np.linalg.lstsq(rows, wanted, rcond=None)[0].reshape(3, 3))


def _from_reference(linear: Floats) -> Floats:
    return delta_e00(lab(reference_linear_srgb()), lab(linear))


_PLACES = np.stack(
    np.meshgrid(np.linspace(-5 / 12, 5 / 12, COLUMNS), np.linspace(-3 / 8, 3 / 8, ROWS)), axis=-1
).reshape(24, 2)
"""Middles of the patches, from the card's middle, in its length and height."""


def _straight(readings: Floats, bend: Floats) -> Floats:
    """Readings made proportional to reflectance; bend (3,) holds log exponent and the light's change."""
    return np.asarray(readings ** np.exp(bend[0]) * np.exp(-_PLACES @ bend[1:])[:, None])


def _residual(readings: Floats, usable: Flags, bend: Floats) -> Floats:
    """What the best matrix leaves, in tolerances, one after the other."""
    straight = _straight(readings, bend)
    left = straight @ _matrix(straight, usable).T - reference_linear_srgb()
    return np.asarray(np.einsum("ijk,ik->ij", _tolerances()[usable], left[usable]).reshape(-1))


def _fitted(readings: Floats, usable: Flags) -> Correction:
    bend = np.zeros(3)
    for _ in range(_ROUNDS):
        at = _residual(readings, usable, bend)
        slope = [(_residual(readings, usable, bend + _STEP * axis) - at) / _STEP for axis in np.eye(3)]
        step = np.linalg.lstsq(np.stack(slope, axis=1), at, rcond=None)[0]
        bend = np.clip(bend - step, -_MOST_BEND, _MOST_BEND)
    straight = _straight(readings, bend)
    matrix = _matrix(straight, usable)
    after = np.where(usable, _from_reference(straight @ matrix.T), _as_clipped(readings, matrix, bend))
    left_out = after.copy()
    for patch in np.flatnonzero(usable):
        others = usable & (np.arange(24) != patch)
        left_out[patch] = _from_reference(straight @ _matrix(straight, others).T)[patch]
    exponent = float(np.exp(bend[0]))
    before = _from_reference(readings)
    return Correction(matrix, exponent, bend[1:], readings, usable, before, after, left_out)


def _as_clipped(readings: Floats, matrix: Floats, bend: Floats) -> Floats:
    """Difference of each patch, in dE00, between what the camera should have recorded and what it did."""
    straight = reference_linear_srgb() @ np.linalg.pinv(matrix).T * np.exp(_PLACES @ bend[1:])[:, None]
    recorded = np.clip(straight, 0, None) ** np.exp(-bend[0])
    return delta_e00(lab(np.minimum(recorded, 1)), lab(readings))


def _unusable(card: Card, usable: Flags, limits: CardLimits) -> Refusal | None:
    """What can be said against a card before any fit."""
    if card.mirrored:
        return Refusal(
            "mirrored",
            "The colour card is mirrored. Expected a photograph as the camera took it. "
            "Use the original file, not a mirrored copy or a picture taken in a mirror.",
        )
    if card.patch_px < limits.min_patch_px:
        return Refusal(
            "too_small",
            f"The colour card's patches are {card.patch_px:.0f} px wide. "
            f"Expected at least {limits.min_patch_px:g} px. Use a larger card or the camera's original file.",
        )
    covered = usable & (card.spread_delta_e00 > limits.max_spread_delta_e00)
    if covered.any():
        return Refusal(
            "covered",
            f"The colour card is not of one colour at {_named(covered)} (dE00 "
            f"{card.spread_delta_e00[covered].max():.1f} within a patch). Expected at most "
            f"{limits.max_spread_delta_e00:g}. "
            "Keep fingers, hair, gloss and the edge of a shadow off the card, and photograph it again.",
        )
    if usable.sum() < limits.min_patches or usable[_GREYS].sum() < limits.min_greys:
        return Refusal(
            "clipped",
            f"The colour card is clipped at {_named(~usable)}. Expected {limits.min_patches} of 24 patches "
            f"free of clipping, and {limits.min_greys} of the 6 greys. "
            "Photograph again with a shorter exposure and the white balance set to the light.",
        )
    return None


def _trusted(fitted: Correction, limits: CardLimits) -> Correction | Refusal:
    """The fit, if nothing can be said against it."""
    after, left_out = fitted.delta_e00_after, fitted.delta_e00_left_out
    figures = float(np.mean(after)), float(np.max(after)), float(np.max(left_out))
    most = limits.max_mean_delta_e00, limits.max_patch_delta_e00, limits.max_left_out_delta_e00
    if any(not figure <= limit for figure, limit in zip(figures, most, strict=True)):
        return Refusal(
            "not_this_card",
            f"The colour card does not have the colours of a ColorChecker Classic: dE00 {figures[0]:.1f} is "
            f"left in the mean, {figures[1]:.1f} at {PATCHES[int(np.argmax(after))]}, and {figures[2]:.1f} "
            f"at {PATCHES[int(np.argmax(left_out))]} by the other patches. Expected at most {most[0]:g}, "
            f"{most[1]:g} and {most[2]:g}. Look for a shadow, gloss, a stained or faded patch, a copy of the "
            "card, or a camera that alters colours, as in portrait mode.",
        )
    if abs(fitted.exponent - 1) > limits.max_tone_departure:
        return Refusal(
            "tone",
            f"The camera's tone curve asks for an exponent of {fitted.exponent:.2f}. Expected within "
            f"{limits.max_tone_departure:g} of 1. Use a standard or neutral picture style, or the raw file.",
        )
    change = float(np.abs(np.expm1(np.abs(fitted.light_change))).max())
    if change > limits.max_light_change:
        return Refusal(
            "uneven_light",
            f"Light changes by {change:.0%} over the colour card. Expected at most "
            f"{limits.max_light_change:.0%}. Hold the card beside the face, in the same light.",
        )
    return _grey_row(fitted, limits) or fitted


def _grey_row(fitted: Correction, limits: CardLimits) -> Refusal | None:
    """Whether grey is grey after the fit, and every step of it darker."""
    greys = _GREYS[fitted.usable[_GREYS]]
    bend = np.array([np.log(fitted.exponent), *fitted.light_change])
    shown = lab(_straight(fitted.readings, bend)[greys] @ fitted.matrix.T)
    cast = np.hypot(*(shown - lab(reference_linear_srgb()[greys]))[:, 1:].T).max()
    if cast <= limits.max_grey_cast and (np.diff(shown[:, 0]) < 0).all():
        return None
    return Refusal(
        "grey_row",
        f"The colour card's grey row has a cast of {cast:.1f} in a* and b* after correction. "
        f"Expected at most {limits.max_grey_cast:g}, and every grey darker than the one before. "
        "Light the card by one kind of lamp only, and look for stains.",
    )


def _named(patches: Flags) -> str:
    return ", ".join(name for name, meant in zip(PATCHES, patches, strict=True) if meant)
