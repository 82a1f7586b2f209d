"""The pigment map by rules alone: the second opinion beside the learned one.

Rough on ordinary photographs: folds, shadow that changes quickly, stubble and make-up look like pigment to
it, and pigment that covers most of a region is partly taken for normal skin. `benchmarks/README.md` has its
measured error.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from masi_vision.pigment.map import PigmentMap
from masi_vision.skin.density import Floats, melanin_filter, optical_density

METHOD = "classical-1"

_SHRINK = 8
_RIDGE = 1e-6
_SURE = 0.5  # between what is lesion and what is not: rules know no doubt
# Pigment is seen through a blur of this share of the face width: pores and noise are finer. Chosen here.
_GRAIN = 0.008


def map_by_rules(
    linear_rgb: Floats,
    codes: npt.NDArray[np.uint8],
    *,
    face_width_px: float,
    shading_scale_fraction: float,
    detection_threshold_od: float,
) -> PigmentMap:
    """Estimate the pigment map of a face in the aligned frame.

    Parameters
    ----------
    linear_rgb : (H, W, 3) float32
        The face in the aligned frame.
    codes : (H, W) uint8
        Region of every pixel of visible skin; 0 is no skin. A region's normal skin is its own.
    face_width_px : float
        Width of the face in that frame.
    shading_scale_fraction : float
        Light slower than this share of the face width is not pigment.
    detection_threshold_od : float
        Density from which skin is lesion, or the spread of this face's own skin where that is larger.

    Notes
    -----
    od(x) = -log10 of the photo; slow(x) = a smooth surface through the visible skin around x, which is the
    light and this person's tone; m = w . (od - slow), w the filter that weighs melanin against
    redness and shading;
    density = max(0, m - median of m over the region). Normal skin of a region is thus its median skin:
    where more than half of a region is pigmented, this fails. The spread is 1.4826 times the median absolute
    deviation of that difference over the skin, a standard deviation if it were normal.
    """
    skin = codes > 0
    density = _weighted(optical_density(linear_rgb), skin.astype(np.float32), _GRAIN * face_width_px)
    slow = _slow(density, skin, shading_scale_fraction * face_width_px)
    excess = np.where(skin, (density - slow) @ melanin_filter(), 0).astype(np.float32)
    for code in np.unique(codes[skin]):
        excess[codes == code] -= np.median(excess[codes == code])
    spread = 1.4826 * float(np.median(np.abs(excess[skin]))) if skin.any() else 0.0
    lesion = excess > max(detection_threshold_od, spread)
    normal = cv2.exp(-np.float32(np.log(10)) * slow)
    return PigmentMap(np.maximum(excess, 0), lesion.astype(np.float32), _SURE, skin, normal, METHOD)


def _weighted(values: Floats, weight: Floats, sigma_px: float) -> Floats:
    """Gaussian mean of the values, each counted by its weight."""
    over = cv2.GaussianBlur(values * weight[..., None], (0, 0), sigma_px, borderType=cv2.BORDER_CONSTANT)
    under = cv2.GaussianBlur(weight, (0, 0), sigma_px, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(over / np.maximum(under, 1e-6)[..., None], np.float32)


def _slow(density: Floats, skin: npt.NDArray[np.bool_], sigma_px: float) -> Floats:
    """Slow optical density of skin, (H, W, 3), found at an eighth of the size.

    Local polynomials of second order, Gaussian weights: at the rim of the face, where light falls off
    to one side, a running mean would call the fall pigment.
    """
    size = (skin.shape[1] // _SHRINK, skin.shape[0] // _SHRINK)
    weight = cv2.resize(skin.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    values = cv2.resize(density * skin[..., None], size, interpolation=cv2.INTER_AREA)  # weighted already
    y, x = np.mgrid[-0.5 : 0.5 : size[1] * 1j, -0.5 : 0.5 : size[0] * 1j].astype(np.float32)
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=2)
    one, other = np.triu_indices(6)
    pairs = weight[..., None] * (terms[..., one] * terms[..., other])
    sums = (terms[..., :, None] * values[..., None, :]).reshape(*x.shape, 18)
    upper, right = (_blurred(part, sigma_px / _SHRINK).astype(np.float64) for part in (pairs, sums))
    system = np.empty((*x.shape, 6, 6))
    system[..., one, other] = system[..., other, one] = upper
    factors = np.linalg.solve(system + _RIDGE * np.eye(6), right.reshape(*x.shape, 6, 3))
    slow = (terms[..., :, None] * factors).sum(axis=2).astype(np.float32)
    return np.asarray(cv2.resize(slow, skin.shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32)


def _blurred(layers: Floats, sigma_px: float) -> Floats:
    """Gaussian blur of any number of layers, (H, W, N); nothing lies beyond the border."""
    parts = [
        cv2.GaussianBlur(layers[..., first : first + 4], (0, 0), sigma_px, borderType=cv2.BORDER_CONSTANT)
        for first in range(0, layers.shape[2], 4)
    ]
    return np.concatenate([np.atleast_3d(part) for part in parts], axis=2)
