"""The pigment map: density above this person's own normal skin, in the aligned frame.

First version, by rules, and rough on ordinary photographs: folds, shadow that changes quickly, stubble
and make-up look like pigment to it, and pigment that covers most of a region is partly taken for normal
skin. `docs/pigment.md` has its measured error. It stands behind one function, `find_pigment`.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from masi_vision.skin.density import Floats, melanin_filter, optical_density

METHOD = "classical-1"

_SHRINK = 8
# Pigment is seen through a blur of this share of the face width: pores and noise are finer. Chosen here.
_GRAIN = 0.008


@dataclass(frozen=True)
class PigmentMap:
    """Pigment above normal skin.

    Parameters
    ----------
    density_od : (H, W) float32
        In optical density (mean of R, G and B), never negative; 0 where there is no skin.
    skin : (H, W) bool
        Where there is visible skin.
    normal_rgb : (H, W, 3) float32
        Linear RGB that normal skin would have there, under the light that falls there.
    spread_od : float
        How much this face's own skin varies, in the same unit (1.4826 times the median absolute
        deviation, a standard deviation if it were normal): less than this is not told from normal skin.
    method : str
        Which estimator made it.
    """

    density_od: Floats
    skin: npt.NDArray[np.bool_]
    normal_rgb: Floats
    spread_od: float
    method: str = METHOD

    def __post_init__(self) -> None:
        """Refuse maps that do not fit together or hold no numbers."""
        if not self.density_od.shape == self.skin.shape == self.normal_rgb.shape[:2]:
            raise ValueError(
                f"density_od {self.density_od.shape}, skin {self.skin.shape} and normal_rgb "
                f"{self.normal_rgb.shape} must have one height and width"
            )
        if not np.isfinite(self.density_od).all() or self.density_od.min(initial=0) < 0:
            raise ValueError("density_od must be finite and not negative")


def find_pigment(
    linear_rgb: Floats,
    skin: npt.NDArray[np.bool_],
    *,
    face_width_px: float,
    shading_scale_fraction: float = 0.12,
) -> PigmentMap:
    """Estimate the pigment map of a face in the aligned frame.

    Parameters
    ----------
    linear_rgb : (H, W, 3) float32
        The face in the aligned frame.
    skin : (H, W) bool
        Visible skin, all subunits.
    face_width_px : float
        Width of the face in that frame.
    shading_scale_fraction : float
        Light slower than this share of the face width is not pigment.

    Notes
    -----
    od(x) = -log10 of the photo; slow(x) = its running mean over visible skin, which is the light and
    this person's tone; m = w . (od - slow), w the filter that tells melanin from redness and shading;
    density = max(0, m - median of m).
    """
    density = _weighted(optical_density(linear_rgb), skin.astype(np.float32), _GRAIN * face_width_px)
    slow = _slow(density, skin, shading_scale_fraction * face_width_px)
    excess = (density - slow) @ melanin_filter()
    of_skin = excess[skin] if skin.any() else np.zeros(1, np.float32)
    normal = float(np.median(of_skin))
    spread = 1.4826 * float(np.median(np.abs(of_skin - normal)))
    pigment = np.where(skin, np.maximum(excess - normal, 0), 0).astype(np.float32)
    return PigmentMap(pigment, skin, (10**-slow).astype(np.float32), spread)


def _weighted(values: Floats, weight: Floats, sigma_px: float) -> Floats:
    """Gaussian mean of the values, each counted by its weight."""
    over = cv2.GaussianBlur(values * weight[..., None], (0, 0), sigma_px, borderType=cv2.BORDER_CONSTANT)
    under = cv2.GaussianBlur(weight, (0, 0), sigma_px, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(over / np.maximum(under, 1e-6)[..., None], np.float32)


def _slow(density: Floats, skin: npt.NDArray[np.bool_], sigma_px: float) -> Floats:
    """Slow optical density of skin, (H, W, 3), found at an eighth of the size."""
    size = (skin.shape[1] // _SHRINK, skin.shape[0] // _SHRINK)
    weight = cv2.resize(skin.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    masked = cv2.resize(density * skin[..., None], size, interpolation=cv2.INTER_AREA)
    slow = _weighted(masked / np.maximum(weight, 1e-6)[..., None], weight, sigma_px / _SHRINK)
    return np.asarray(cv2.resize(slow, skin.shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32)
