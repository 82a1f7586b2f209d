"""The pigment map: density above this person's own normal skin, in the aligned frame.

First version, by rules. It is rough on ordinary photographs: light that changes quickly across the
face, stubble and make-up come through, and pigment that covers most of a region is partly taken for
normal skin. It stands behind one function, `find_pigment`.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from masi_vision.skin.density import Floats, melanin_filter, optical_density

METHOD = "classical-1"

# Skin darker than the running estimate of normal skin by more than this counts little in the next
# round: pigment only darkens, so normal skin is the lighter part. Chosen here.
_TOLERANCE_OD = 0.02
_DARK_WEIGHT = 0.08
_ROUNDS = 4
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
    method : str
        Which estimator made it.
    """

    density_od: Floats
    skin: npt.NDArray[np.bool_]
    normal_rgb: Floats
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
    linear_rgb: Floats, skin: npt.NDArray[np.bool_], *, face_width_px: float, shading_scale_fraction: float = 0.25
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
    od(x) = -log10 of the photo; slow(x) = its running mean over skin, in which skin darker than the
    mean counts little (asymmetric least squares), so that it follows normal skin and the light on it;
    density = max(0, w . (od - slow)), w the filter that tells melanin from redness and shading.
    """
    density = optical_density(linear_rgb)
    density = _smooth(density, skin, _GRAIN * face_width_px)
    slow = _normal_skin(density, skin, shading_scale_fraction * face_width_px)
    pigment = np.where(skin, np.maximum((density - slow) @ melanin_filter(), 0), 0)
    return PigmentMap(pigment.astype(np.float32), skin, (10**-slow).astype(np.float32))


def _smooth(values: Floats, where: npt.NDArray[np.bool_], sigma_px: float) -> Floats:
    """Gaussian mean over the marked pixels only."""
    weight = where.astype(np.float32)
    return _weighted(values, weight, sigma_px)


def _weighted(values: Floats, weight: Floats, sigma_px: float) -> Floats:
    over = cv2.GaussianBlur(values * weight[..., None], (0, 0), sigma_px, borderType=cv2.BORDER_CONSTANT)
    under = cv2.GaussianBlur(weight, (0, 0), sigma_px, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(over / np.maximum(under, 1e-6)[..., None], np.float32)


def _normal_skin(density: Floats, skin: npt.NDArray[np.bool_], sigma_px: float) -> Floats:
    """Slow optical density of normal skin, (H, W, 3), fitted at an eighth of the size."""
    size = (skin.shape[1] // _SHRINK, skin.shape[0] // _SHRINK)
    weight = cv2.resize(skin.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    masked = cv2.resize(density * skin[..., None], size, interpolation=cv2.INTER_AREA)
    small = masked / np.maximum(weight, 1e-6)[..., None]
    counts = weight
    for _ in range(_ROUNDS):
        slow = _weighted(small, counts, sigma_px / _SHRINK)
        darker = (small - slow) @ melanin_filter()
        counts = weight * np.where(darker > _TOLERANCE_OD, _DARK_WEIGHT, 1).astype(np.float32)
    slow = _weighted(small, counts, sigma_px / _SHRINK)
    return np.asarray(cv2.resize(slow, skin.shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32)
