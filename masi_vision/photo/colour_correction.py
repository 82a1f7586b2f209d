"""Correcting the colour of a photograph by the colour card in it, and saying when a card is not trusted.

A card is applied only if all of it says the same. What may be wrong with it (a finger on it, a shadow, too
much light, another card) has a limit each in `ColourCardSettings`; past one, `fit_correction` gives a
`Refusal`, and the photograph stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from masi_vision.config import ColourCardSettings
from masi_vision.photo.colour import Pixels
from masi_vision.photo.colour_card import (
    COLUMNS,
    PATCHES,
    ROWS,
    Card,
    Flags,
    Floats,
    delta_e00_to_reference,
    find_card,
    matrix_to_reference,
    reference_linear_srgb,
    tolerances,
)
from masi_vision.skin.tone import delta_e00, lab

Picture = npt.NDArray[np.float32]

_GREYS = np.arange(18, 24)
# Gauss and Newton: the residual is all but linear in the three, so four rounds settle it to 1e-6.
# What would go past exponents of 2 and light that doubles stays there, and is refused by any limit.
_ROUNDS, _STEP, _MOST_BEND = 4, 1e-4, 0.7


RefusalCode = Literal[
    "several",
    "mirrored",
    "too_small",
    "covered",
    "clipped",
    "not_this_card",
    "tone",
    "uneven_light",
    "grey_row",
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


def fit_correction(card: Card, limits: ColourCardSettings) -> Correction | Refusal:
    """Fit a colour correction to a card, or say why the card is not to be trusted.

    Notes
    -----
    reference = matrix @ (reading ** exponent / light), where light changes evenly over the card: all patches
    not clipped are fitted at once, the matrix by least squares in L*a*b* made linear around the reference (a*
    and b* over 1 + 0.045 C*, as in CIE94), exponent and light by Gauss and Newton around it.
    """
    usable = card.clipped_fraction <= limits.max_clipped_fraction
    return _unusable(card, usable, limits) or _trusted(_fitted(card.linear_rgb, usable), limits)


def correction_by_card(srgb: Pixels, limits: ColourCardSettings) -> Correction | Refusal | None:
    """Find the card of a photograph, (H, W, 3) upright RGB at full size, and fit to it; None: no card."""
    card = find_card(srgb)
    return None if card is None else fit_correction(card, limits)


def corrected(linear_rgb: Picture, correction: Correction) -> Picture:
    """Correct linear RGB of the same photograph, (..., 3), of any shape.

    Colours outside sRGB come out below 0 or above 1; nothing is clipped. Input below 0 counts as 0. How light
    changes over the card is not taken out: it is known of the card only.
    """
    rows = np.ascontiguousarray(linear_rgb, np.float32).reshape(-1, 1, 3)
    straight = cv2.pow(np.maximum(rows, 0), correction.exponent)
    return np.asarray(cv2.transform(straight, correction.matrix), np.float32).reshape(linear_rgb.shape)


def card_drift(baseline: Correction, follow_up: Correction) -> float:
    """How far camera and light moved between two visits: mean dE00 of the card as photographed.

    Of the patches fitted in both. Nothing is made equal before, so a change of exposure counts, as it does in
    photographs left uncorrected.
    """
    both = baseline.usable & follow_up.usable
    apart = delta_e00(lab(baseline.readings), lab(follow_up.readings))
    return float(apart[both].mean())


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
    left = straight @ matrix_to_reference(straight, usable).T - reference_linear_srgb()
    return np.asarray(np.einsum("ijk,ik->ij", tolerances()[usable], left[usable]).reshape(-1))


def _fitted(readings: Floats, usable: Flags) -> Correction:
    bend = np.zeros(3)
    for _ in range(_ROUNDS):
        at = _residual(readings, usable, bend)
        slope = [(_residual(readings, usable, bend + _STEP * axis) - at) / _STEP for axis in np.eye(3)]
        step = np.linalg.lstsq(np.stack(slope, axis=1), at, rcond=None)[0]
        bend = np.clip(bend - step, -_MOST_BEND, _MOST_BEND)
    straight = _straight(readings, bend)
    matrix = matrix_to_reference(straight, usable)
    after = np.where(usable, delta_e00_to_reference(straight @ matrix.T), _as_clipped(readings, matrix, bend))
    left_out = after.copy()
    for patch in np.flatnonzero(usable):
        others = usable & (np.arange(24) != patch)
        left_out[patch] = delta_e00_to_reference(straight @ matrix_to_reference(straight, others).T)[patch]
    exponent = float(np.exp(bend[0]))
    before = delta_e00_to_reference(readings)
    return Correction(
        matrix=matrix,
        exponent=exponent,
        light_change=bend[1:],
        readings=readings,
        usable=usable,
        delta_e00_before=before,
        delta_e00_after=after,
        delta_e00_left_out=left_out,
    )


def _as_clipped(readings: Floats, matrix: Floats, bend: Floats) -> Floats:
    """Difference of each patch, in dE00, between what the camera should have recorded and what it did."""
    straight = reference_linear_srgb() @ np.linalg.pinv(matrix).T * np.exp(_PLACES @ bend[1:])[:, None]
    recorded = np.clip(straight, 0, None) ** np.exp(-bend[0])
    return delta_e00(lab(np.minimum(recorded, 1)), lab(readings))


def _unusable(card: Card, usable: Flags, limits: ColourCardSettings) -> Refusal | None:
    """What can be said against a card before any fit."""
    if card.several:
        return Refusal(
            "several",
            "Two colour cards are in the photograph, perhaps in different light. Expected one, beside the "
            "face. Take the other away, and photograph it again.",
        )
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


def _trusted(fitted: Correction, limits: ColourCardSettings) -> Correction | Refusal:
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


def _grey_row(fitted: Correction, limits: ColourCardSettings) -> Refusal | None:
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
