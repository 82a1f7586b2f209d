"""The pigment map: density above this person's own normal skin in the aligned frame, and what is lesion."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from masi_vision.skin.density import Floats

UNDECIDED_PROBABILITY = (0.3, 0.8)
"""Between these probabilities of lesion a map is undecided. Chosen on phantoms of validation people: the
share of such skin told best by how much a region's fraction was off."""
SUREST = 0.95
"""No probability above this is asked for, however undecided a map is."""


@dataclass(frozen=True)
class PigmentMap:
    """Pigment above normal skin.

    Parameters
    ----------
    density_od : (H, W) float32
        In optical density (mean of R, G and B), never negative; 0 where there is no skin.
    probability : (H, W) float32
        Of lesion; a method that knows no doubt has 0 and 1 alone.
    lesion_probability : float
        Skin is lesion from this probability on.
    skin : (H, W) bool
        Where there is visible skin.
    normal_rgb : (H, W, 3) float32
        Linear RGB that normal skin would have there, under the light that falls there.
    method : str
        Which estimator made it.
    """

    density_od: Floats
    probability: Floats
    lesion_probability: float
    skin: npt.NDArray[np.bool_]
    normal_rgb: Floats
    method: str

    def __post_init__(self) -> None:
        """Refuse maps that do not fit together or hold no numbers, and make them read-only."""
        parts = ("density_od", "probability", "skin", "normal_rgb")
        shapes = {part: getattr(self, part).shape for part in parts}
        if len({shape[:2] for shape in shapes.values()}) > 1:
            named = ", ".join(f"{part} {shape}" for part, shape in shapes.items())
            raise ValueError(f"{named} must have one height and width")
        if not np.isfinite(self.probability).all():  # NaN reaches no cut: such skin would pass for clear
            raise ValueError("probability must be finite")
        if not np.isfinite(self.density_od).all() or self.density_od.min(initial=0) < 0:
            raise ValueError("density_od must be finite and not negative")
        for part in parts:
            getattr(self, part).setflags(write=False)

    @cached_property
    def lesion(self) -> npt.NDArray[np.bool_]:
        """What counts as pigmented, (H, W); only on skin."""
        return np.asarray(self.skin & (self.probability >= self.lesion_probability))


def surer(least: float, raised_by_doubt: float, probability: Floats, skin: npt.NDArray[np.bool_]) -> float:
    """From which probability on the skin of a face is lesion.

    Parameters
    ----------
    least : float
        The probability that is enough where the map is undecided of nothing.
    raised_by_doubt : float
        By how much more is asked for where the map is undecided of the whole face.
    probability : (H, W) float32
    skin : (H, W) bool

    Notes
    -----
    least + raised_by_doubt * (undecided skin / skin), at most 0.95. Of a face whose own shade or colour looks
    like pigment to the network it is undecided in large parts, and what it half takes for pigment is mostly
    none.
    """
    doubt = float(undecided(probability[skin]).mean()) if skin.any() else 0.0
    return min(SUREST, least + raised_by_doubt * doubt)


def undecided(probability: Floats) -> npt.NDArray[np.bool_]:
    """Where a probability of lesion is neither low nor high."""
    low, high = UNDECIDED_PROBABILITY
    return np.asarray((probability > low) & (probability < high))
