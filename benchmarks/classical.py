"""The published and public rules for pigment, written anew from their descriptions, as baselines.

Each takes an sRGB picture and the mask of one region's visible skin, and gives the mask of what it calls
pigmented. None is used for scoring. Where a paper's equations could not be read, the recipe is our reading
of its abstract, and the docstring says so.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt
from skimage.color import rgb2lab
from skimage.filters import threshold_otsu

Pixels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Rule = Callable[[Pixels, Mask], Mask]

_LEAST_PX = 30
_STEPS_PER_L = 2.55  # of lightness in 8 bits, in which the public rules have their limits
# Absorbance of melanin and haemoglobin in red, green and blue by which peers tell them apart.
_MELANIN = np.array([0.0246, 0.0316, 0.0394])
_HAEMOGLOBIN = np.array([0.0193, 0.0755, 0.0666])


def otsu_lightness(picture: Pixels, region: Mask) -> Mask:
    """Otsu's threshold on L*: darker is pigmented."""
    lightness = rgb2lab(picture)[..., 0]
    return region & (lightness < threshold_otsu(lightness[region]))


def hybrid_threshold(picture: Pixels, region: Mask) -> Mask:
    """Thresholds that weigh the whole region and each of 4 x 4 tiles, half and half.

    Our reading of the abstracts of Tay 2015 (aMASI) and Liang 2016; their equations were out of reach. Per
    tile the threshold of 60 with the least squared deviation within the two classes, over the variance.
    """
    lightness = rgb2lab(picture)[..., 0].astype(np.float32)
    values = lightness[region]
    candidates = np.linspace(*np.quantile(values, [0.02, 0.98]), 60)
    whole = _within(values, candidates)
    rows, columns = np.nonzero(region)
    top, left, bottom, right = rows.min(), columns.min(), rows.max() + 1, columns.max() + 1
    tiles = np.zeros((4, 4), np.float32)
    for i in range(4):
        for j in range(4):
            window = np.zeros_like(region)
            window[
                top + (bottom - top) * i // 4 : top + (bottom - top) * (i + 1) // 4,
                left + (right - left) * j // 4 : left + (right - left) * (j + 1) // 4,
            ] = True
            inside = lightness[window & region]
            local = _within(inside, candidates) if inside.size > _LEAST_PX else whole
            tiles[i, j] = candidates[int(np.argmin(0.5 * whole + 0.5 * local))]
    threshold = np.zeros_like(lightness)
    size = (int(right - left), int(bottom - top))
    threshold[top:bottom, left:right] = cv2.resize(tiles, size, interpolation=cv2.INTER_LINEAR)
    return region & (lightness < threshold)


def _within(values: npt.NDArray[np.float32], candidates: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Squared deviation within the two classes of each threshold, over the variance of all."""
    total = max(float(values.var()), 1e-9)
    parts = [[values[values < t], values[values >= t]] for t in candidates]
    return np.array([sum(p.size * p.var() for p in two if p.size) / values.size / total for two in parts])


def ita_below_reference(picture: Pixels, region: Mask) -> Mask:
    """ITA more than 10 degrees under the median of the region's brighter half."""
    lab = rgb2lab(picture)
    ita = np.degrees(np.arctan2(lab[..., 0] - 50, lab[..., 2]))
    lightness = lab[..., 0][region]
    reference = np.median(ita[region][lightness >= np.median(lightness)])
    return region & (ita < reference - 10)


def ica_melanin(picture: Pixels, region: Mask) -> Mask:
    """Tsumura's melanin component (independent components of optical density), split by Otsu."""
    density = _density(picture)
    values = density[region]
    centred = values - values.mean(axis=0)
    spread, axes = np.linalg.eigh(centred.T @ centred / len(centred))
    axes, spread = axes[:, [2, 1]], np.maximum(spread[[2, 1]], 1e-9)
    white = centred @ axes / np.sqrt(spread)
    turn = _fast_ica(white)
    mixing = (axes * np.sqrt(spread)) @ turn.T
    mixing = mixing / np.linalg.norm(mixing, axis=0)
    mixing = mixing * np.sign(mixing.sum(axis=0))
    unit_melanin, unit_blood = (v / np.linalg.norm(v) for v in (_MELANIN, _HAEMOGLOBIN))
    which = int(np.argmax(mixing.T @ unit_melanin - mixing.T @ unit_blood))
    melanin = np.zeros(region.shape)
    melanin[region] = (centred @ np.linalg.pinv(mixing).T)[:, which]
    return region & (melanin > threshold_otsu(melanin[region]))


def _fast_ica(white: npt.NDArray[np.float64], rounds: int = 60) -> npt.NDArray[np.float64]:
    """Symmetric FastICA with tanh on two whitened axes (Hyvarinen 1999, DOI 10.1109/72.761722)."""
    turn = np.eye(2)
    for _ in range(rounds):
        projected = np.tanh(white @ turn.T)
        new = projected.T @ white / len(white) - np.diag((1 - projected**2).mean(axis=0)) @ turn
        u, _, vt = np.linalg.svd(new)
        if np.abs(np.abs(np.diag(u @ vt @ turn.T)) - 1).max() < 1e-6:
            break
        turn = u @ vt
    return turn


def melanin_vector(picture: Pixels, region: Mask) -> Mask:
    """Fixed vectors of melanin and haemoglobin; pigmented from 0.10 above the median of the lower half."""
    return _fixed(picture, region, np.stack([_MELANIN, _HAEMOGLOBIN], axis=1), 0.10)


def melanin_vector_unshaded(picture: Pixels, region: Mask) -> Mask:
    """The same with a third vector for shading, from 0.15."""
    return _fixed(picture, region, np.stack([_MELANIN, _HAEMOGLOBIN, np.full(3, 1 / 3)], axis=1), 0.15)


def _fixed(picture: Pixels, region: Mask, vectors: npt.NDArray[np.float64], step: float) -> Mask:
    """Least squares on unit-mean vectors, so that the step is in optical density."""
    vectors = vectors / vectors.mean(axis=0)
    melanin = _density(picture) @ np.linalg.pinv(vectors).T[:, 0]
    inside = melanin[region]
    reference = np.median(inside[inside <= np.median(inside)])
    return region & (melanin > reference + step)


def k_means(picture: Pixels, region: Mask) -> Mask:
    """Three clusters in L*a*b*; the darkest is pigmented."""
    lab = rgb2lab(picture)[region].astype(np.float32)
    cv2.setRNGSeed(1)
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 30, 0.1)
    _, label, centres = cv2.kmeans(lab, 3, None, stop, 3, cv2.KMEANS_PP_CENTERS)
    found = np.zeros_like(region)
    found[region] = label[:, 0] == int(np.argmin(centres[:, 0]))
    return found


def mean_less_spread(picture: Pixels, region: Mask) -> Mask:
    """L* more than 1.5 standard deviations under the region's mean."""
    lightness = rgb2lab(picture)[..., 0]
    return region & (lightness < lightness[region].mean() - 1.5 * lightness[region].std())


def background_subtraction(picture: Pixels, region: Mask) -> Mask:
    """L* more than 2.5 under a Gaussian background of a quarter of the region's size."""
    lightness = rgb2lab(picture)[..., 0].astype(np.float32)
    weight = region.astype(np.float32)
    sigma = 0.25 * float(np.sqrt(region.sum()))
    over, under = (cv2.GaussianBlur(layer, (0, 0), sigma) for layer in (lightness * weight, weight))
    return region & (lightness < over / np.maximum(under, 1e-6) - 2.5)


def lab_deviation(picture: Pixels, region: Mask) -> Mask:
    """Browner or darker than the region's mean skin, and no shadow (ACHASNYK/pigmentation-spot-detector).

    b* by more than 3, or darker by 6 of 255 and not less brown by 2, or b* by 2 and darker by 3 of 255. Its
    limit on size, which lets through single spots alone, is left out: it would refuse every melasma.
    """
    lab = rgb2lab(picture)
    mean = lab[region].mean(axis=0)
    darker, browner = (mean[0] - lab[..., 0]) * _STEPS_PER_L, lab[..., 2] - mean[2]
    return region & ((browner > 3) | ((darker > 6) & (browner > -2)) | ((browner > 2) & (darker > 3)))


def adaptive_lightness(picture: Pixels, region: Mask) -> Mask:
    """Darker by 3 of 255 than the Gaussian mean around, of a weighted lightness.

    Kim-Min-Jong/detect-pigmentation-and-scoring: 0.75 L + L (mean of L - grey) / (2 mean of L), with grey of
    L, a and b as if they were red, green and blue, after a median of 19 px; the window 101 px, both at a
    region about 260 px wide. Its removal of shadows, which changes the colours of everything darker than the
    mean, is left out.
    """
    width = float(np.ptp(np.nonzero(region)[1])) + 1
    lab = cv2.cvtColor(cv2.medianBlur(picture, _odd(19 * width / 260)), cv2.COLOR_RGB2LAB).astype(np.float32)
    lightness, mean = lab[..., 0], lab[..., 0][region].mean()
    grey = lab @ np.array([0.299, 0.587, 0.114], np.float32)
    weighed = 0.75 * lightness + lightness * (mean - grey) / (2 * mean)
    side = _odd(101 * width / 260)
    weight = region.astype(np.float32)
    over, under = (cv2.GaussianBlur(layer, (side, side), 0) for layer in (weighed * weight, weight))
    return region & (weighed < over / np.maximum(under, 1e-6) - 3)


def colour_difference(picture: Pixels, region: Mask) -> Mask:
    """More than 8 from the region's median colour, L of 255 (suralal/benotia-skin-analysisi)."""
    lab = rgb2lab(picture) * (_STEPS_PER_L, 1, 1)
    return region & (np.linalg.norm(lab - np.median(lab[region], axis=0), axis=-1) > 8)


def _odd(size: float) -> int:
    return 2 * max(1, round((size - 1) / 2)) + 1


def _density(picture: Pixels) -> npt.NDArray[np.float64]:
    coded = picture / 255.0
    linear = np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)
    return -np.log10(linear + 1e-3)


RULES: dict[str, Rule] = {
    "Otsu on L*": otsu_lightness,
    "hybrid threshold (aMASI family)": hybrid_threshold,
    "ITA under reference": ita_below_reference,
    "ICA melanin": ica_melanin,
    "melanin vector": melanin_vector,
    "melanin vector, shading out": melanin_vector_unshaded,
    "k-means": k_means,
    "mean less 1.5 spreads": mean_less_spread,
    "background subtraction": background_subtraction,
    "browner or darker than the mean": lab_deviation,
    "adaptive threshold": adaptive_lightness,
    "colour difference": colour_difference,
}


def pigmented(rule: Rule, picture: Pixels, region: Mask) -> Mask:
    """A rule with the smoothing and the clean-up that all baselines share.

    Blur of 1.5 px, opening by a disk of radius 1, closing of radius 2, components under 0.1 % of the region
    dropped: sizes at a region about 260 px wide, scaled with it.
    """
    if region.sum() < _LEAST_PX:
        return np.zeros_like(region)
    width = float(np.ptp(np.nonzero(region)[1])) + 1
    scale = width / 260
    found = rule(cv2.GaussianBlur(picture, (0, 0), max(0.4, 1.5 * scale)), region).astype(np.uint8)
    for how, radius in ((cv2.MORPH_OPEN, 1), (cv2.MORPH_CLOSE, 2)):
        side = 2 * max(1, round(radius * scale)) + 1
        disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
        found = cv2.morphologyEx(found, how, disk)
    _, numbers, facts, _ = cv2.connectedComponentsWithStats(found, connectivity=8)
    large = facts[:, cv2.CC_STAT_AREA] >= 0.001 * region.sum()
    large[0] = False
    return large[numbers] & region
