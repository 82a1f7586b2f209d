"""Planted melasma and its truth: how much pigment, where, in which region."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from masi_vision.phantom.pattern import (
    Distribution,
    HeldOutPattern,
    Pattern,
    Shape,
    membership,
    places,
    sheet,
)
from masi_vision.phantom.plant import Floats, Rng


@dataclass(frozen=True)
class Melasma:
    """Pigment planted on a face, in the aligned frame.

    Parameters
    ----------
    density_od : (H, W) float32
        Optical density added, mean over red, green and blue.
    lesion : (H, W) bool
        Lesion or not; the border is where half of its full density is reached.
    colour : (3,) float32
        Optical density per channel for one unit, mean one.
    """

    density_od: Floats
    lesion: npt.NDArray[np.bool_]
    colour: Floats

    def __post_init__(self) -> None:
        """Refuse what is no pigment."""
        if self.density_od.shape != self.lesion.shape:
            raise ValueError(f"lesion must have the shape {self.density_od.shape}, got {self.lesion.shape}")
        if self.density_od.min(initial=0) < 0:
            raise ValueError(f"density_od must not be negative, got {self.density_od.min()}")
        if abs(float(self.colour.mean()) - 1) > 1e-3:
            raise ValueError(f"colour must have mean one, got {self.colour.mean():.3f}")

    @property
    def taken_od(self) -> Floats:
        """Optical density added to each channel, (H, W, 3)."""
        return np.asarray(self.density_od[..., None] * self.colour, np.float32)

    def after_treatment(self, remaining: Floats) -> Melasma:
        """The same melasma at a later visit; ``remaining`` (H, W) is the share of density left.

        What has less than a third of its density left no longer counts as lesion. Chosen here.
        """
        left = np.asarray(self.density_od * remaining, np.float32)
        return replace(self, density_od=left, lesion=self.lesion & (remaining >= 1 / 3))


@dataclass(frozen=True)
class RegionTruth:
    """What was planted on the visible skin of one region.

    Parameters
    ----------
    pigmented_fraction : float
        Lesion over visible skin.
    contrast_od : float
        Median density over the lesion; 0 without one.
    amount_od : float
        Integrated pigment: mean density over the visible skin.
    """

    pigmented_fraction: float
    contrast_od: float
    amount_od: float


NO_MELASMA_COLOUR: Floats = np.ones(3, np.float32)


def no_melasma(shape: Shape) -> Melasma:
    """A face without any."""
    return Melasma(np.zeros(shape, np.float32), np.zeros(shape, bool), NO_MELASMA_COLOUR)


def draw_melasma(
    shape: Shape,
    distribution: Distribution,
    pattern: Pattern | HeldOutPattern,
    colour: Floats,
    density_od: float,
    rng: Rng,
    *,
    symmetric: bool = True,
    larger: float = 1.0,
) -> Melasma:
    """Draw one person's melasma.

    Parameters
    ----------
    density_od : float
        Full density in the middle of its strongest patch.
    larger : float
        Times as wide and as high as usual.
    """
    where = places(distribution, rng, symmetric=symmetric, larger=larger)
    return _of_density(*membership(shape, where, pattern, rng), density_od, colour)


def draw_sheet(over: npt.NDArray[np.bool_], colour: Floats, density_od: float, rng: Rng) -> Melasma:
    """Draw melasma that covers the regions ``over`` (H, W) evenly and whole."""
    return _of_density(*sheet(over, rng), density_od, colour)


def _of_density(inside: Floats, strength: Floats, density_od: float, colour: Floats) -> Melasma:
    density = np.where(inside > 0.02, inside * strength * density_od, 0)
    return Melasma(density.astype(np.float32), inside > 0.5, colour)


def region_truth(melasma: Melasma, region: npt.NDArray[np.bool_], area: Floats) -> RegionTruth:
    """Truth of a region, given the mask of its visible skin and the skin behind each pixel.

    Raises
    ------
    ValueError
        The region has no visible skin: nothing is true of it.
    """
    weight = area[region].astype(np.float64)
    if not weight.any():
        raise ValueError("region must hold visible skin, got none")
    lesion, density = melasma.lesion[region], melasma.density_od[region]
    return RegionTruth(
        float(weight[lesion].sum() / weight.sum()),
        float(np.median(density[lesion])) if lesion.any() else 0.0,
        float((weight * density).sum() / weight.sum()),
    )
