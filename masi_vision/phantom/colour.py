"""The colour of planted pigment: what it takes away from red, green and blue, and how much of it makes a dL*.

No fixed vector: melasma lies at different depths, and looks brown near the surface and greyer below it.
"""

from __future__ import annotations

import cv2
import numpy as np

from masi_vision.phantom.plant import Floats, Rng

_DARKEST = 1e-3


def colour_from_lab_shift(skin_rgb: Floats, rng: Rng) -> Floats:
    """Colour of pigment from how melasma shifts skin in L*a*b*, (3,), mean one.

    Parameters
    ----------
    skin_rgb : (3,)
        This person's normal skin, linear RGB.

    Notes
    -----
    The shift is drawn around what is measured between melasma and the skin beside it: dL* -3 to -15, da*
    +1 to +3, db* -2 to +3 (yellow fades with depth). In proportion to dL*, so that of strong pigment they go
    a little beyond: in 98 of 100 draws da* 0.3 to 4.8, db* -3.0 to +4.3. colour = log10(before / after),
    over its mean.
    """
    before = np.maximum(skin_rgb, 0.01).astype(np.float32)
    delta_l = rng.uniform(3, 15)
    full = delta_l / 8  # hue follows the amount: the ranges hold for a middling lesion
    shift = np.array([-delta_l, full * rng.uniform(0.5, 3), full * rng.uniform(-2, 3)], np.float32)
    after = _from_lab(_to_lab(before) + shift)
    taken = np.log10(before / np.maximum(after, _DARKEST))
    taken = np.clip(taken, 0.25 * taken.mean(), 2.2 * taken.mean())  # pigment never adds light
    return np.asarray(taken / taken.mean(), np.float32)


# Absorption of melanin falls with the wavelength to the power of 3.33 (S. L. Jacques, "Skin optics", Oregon
# Medical Laser Center News, January 1998; his page on melanosomes, July 1998, has 3.48); a camera's red,
# green and blue are taken at 610, 540 and 465 nm. Seen through the scattering dermis the loss is nearly even,
# a little more in red: grey-blue (Tyndall).
_EPIDERMAL: Floats = (np.array([610.0, 540.0, 465.0]) ** -3.33).astype(np.float32)
_EPIDERMAL = _EPIDERMAL / _EPIDERMAL.mean()
_DERMAL: Floats = np.array([1.06, 1.02, 0.92], np.float32)


def colour_from_depth(depth: float) -> Floats:
    """Colour of pigment at a depth, (3,), mean one; 0 epidermal, 1 dermal, between them mixed.

    Another family than `colour_from_lab_shift`, never trained on: for benchmarks.
    """
    mixed = (1 - depth) * _EPIDERMAL + depth * _DERMAL
    return np.asarray(mixed / mixed.mean(), np.float32)


def density_for_delta_l(skin_rgb: Floats, colour: Floats, delta_l: float) -> float:
    """Optical density of pigment of this colour that darkens this skin by ``delta_l`` in L*.

    Notes
    -----
    L* falls steadily with density, so the density is found by halving an interval.
    """
    low, high = 0.0, 2.0
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if delta_l_of(skin_rgb, colour, middle) < delta_l else (low, middle)
    return (low + high) / 2


def delta_l_of(skin_rgb: Floats, colour: Floats, density_od: float) -> float:
    """By how much pigment of this density and colour darkens this skin in L*."""
    darker = (skin_rgb * 10 ** (-density_od * colour)).astype(np.float32)
    return float(_to_lab(skin_rgb)[0]) - float(_to_lab(darker)[0])


def _to_lab(linear_rgb: Floats) -> Floats:
    pixel = np.clip(np.asarray(linear_rgb, np.float32), 0, 1).reshape(1, 1, 3)
    return np.asarray(cv2.cvtColor(pixel, cv2.COLOR_LRGB2LAB)[0, 0], np.float32)


def _from_lab(lab: Floats) -> Floats:
    return np.asarray(cv2.cvtColor(np.asarray(lab, np.float32).reshape(1, 1, 3), cv2.COLOR_LAB2LRGB)[0, 0])
