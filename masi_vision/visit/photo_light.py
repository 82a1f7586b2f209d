"""What a photo's pixels tell of how it was taken: blur, light, gloss, how far the eyes are open."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, sqrt
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from masi_vision.face.atlas import Floats, Subunit
from masi_vision.face.find import FaceRegions
from masi_vision.visit.seen import SeenPhoto, srgb8

# All of these were chosen here, on the synthetic faces and their damaged copies (benchmarks/quality.py).
_BLUR_WIDTH_PX = 256
"""Width at which the face is looked at."""
_EDGE_SHARE = 0.05
"""Edges are the strongest of this share of pixels."""
_SMOOTH_PX = 1.0
"""Against noise, before slopes are taken."""
_REBLUR_PX = 2.0
"""Blurred once more by so much: what an edge loses tells how sharp it was."""
_SHARPER = 0.25
"""Quantile of the edges' blur: the sharper quarter tells that of the photo."""
_NOISE_WIDTH_PX = 160
"""Width of the face at which its noise is measured, about that at which pigment is."""
_OF_HALF, _OF_QUARTER, _OF_EIGHTH = 2.4, 5.0, 3.0
"""So much more noise counts that is left in green at half of that width, in blue less green at a quarter and
at an eighth: 72 phantoms of validation people and 257 photos as they came had at most 3.9, 1.4 and 2.4."""
_LEAST_INSIDE = 20
"""Pixels of skin whose neighbours are skin, to be measured at all."""
_EXPOSED_LEVEL = 128
"""Middle light; on a face of less the same noise is more of what is there."""
_LAPLACIANS_APART = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
_OF_UNIT_NOISE = 6 * 0.6745
"""Median of the absolute value that noise of one level gives there: 6 is the filter's length."""
_AROUND = 0.06
"""Share of the face's width that is the skin around a pixel."""
_BRIGHTER_OD = 0.15
"""Gloss is brighter than the skin around by so much."""
_PALER = 0.9
"""And its saturation less than this share of that of the skin around."""
_DETAIL_PX, _GAMMA = 1.5, 2.4
"""Within so many pixels of the photo skin has detail; the power makes steps of light those of eight bits."""
_TONED_SIDE_PX = 64
"""Short side to which a photo is reduced before its colours are held against one tone: grain is no colour."""
_TONED_SHARE = 0.95
"""Of the picture, whose colours stray less than the rest."""
_EYES = ((159, 145, 33, 133), (386, 374, 362, 263))
"""Upper lid, lower lid and the two corners of the right and left eye."""


def blur_percent(seen: SeenPhoto) -> float:
    """Blur of the face's sharper edges: one standard deviation in per cent of the face's width.

    The worse of across and along the face: a head or camera that moved blurs one of them alone.
    """
    top, left, bottom, right = seen.face.window(seen.photo.srgb.shape)
    face = cv2.cvtColor(srgb8(seen.photo)[top:bottom, left:right], cv2.COLOR_RGB2GRAY)
    factor = _BLUR_WIDTH_PX / seen.face.face_width_px
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    gray = cv2.resize(face, None, fx=factor, fy=factor, interpolation=how).astype(np.float32)
    plain = _slopes(gray, _SMOOTH_PX)
    again = _slopes(gray, float(np.hypot(_SMOOTH_PX, _REBLUR_PX)))
    worse = max(_blur_px(one, other) for one, other in zip(plain, again, strict=True))
    return 100 * worse / _BLUR_WIDTH_PX


def noise_levels(seen: SeenPhoto) -> float:
    """Noise on the face: one standard deviation in levels of 255.

    Notes
    -----
    The greatest of four, since what smears noise makes it coarser: of green on the middle of the face at
    a face width of `_NOISE_WIDTH_PX`, or its own where it is smaller (what is finer averages out); and,
    on the skin of the aligned frame, of green at half of that width and of blue less green at a quarter
    and an eighth: what is more than such grain leaves there, times what makes it count the same. The
    difference of two Laplacians takes slopes and most edges out (Immerkaer, Computer Vision and Image
    Understanding 64 (1996) 300); its median, since most of what is there is skin. On a dark face the
    first counts as in one of `_EXPOSED_LEVEL`; at the coarser scales a dark face shows more of its own,
    and is counted as it is.
    """
    width_px = seen.face.face_width_px
    top, left, bottom, right = seen.face.window(seen.photo.srgb.shape)
    rows, columns = (slice((3 * a + b) // 4, (a + 3 * b) // 4) for a, b in ((top, bottom), (left, right)))
    green = srgb8(seen.photo)[rows, columns, 1]
    block = max(1, int(width_px // _NOISE_WIDTH_PX))  # of whole pixels: noise stays noise
    size = (green.shape[1] // block, green.shape[0] // block)
    whole = green[: size[1] * block, : size[0] * block]
    small = cv2.resize(whole.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    fine = _noise_of(small) * min(1.0, block * _NOISE_WIDTH_PX / width_px)
    exposed = max(1.0, _EXPOSED_LEVEL / max(1.0, float(np.median(small))))
    return max(fine * exposed, *_smeared(seen, fine))


def _smeared(seen: SeenPhoto, grain: float) -> Iterator[float]:
    """What of the noise is coarse, as it counts; the grain is that at `_NOISE_WIDTH_PX` or its own width."""
    levels = (255 * np.clip(seen.linear_rgb, 0, 1) ** (1 / _GAMMA)).astype(np.float32)
    skin = (seen.codes > 0).astype(np.float32)
    apart = levels[..., 2] - levels[..., 1]
    at_px = min(_NOISE_WIDTH_PX, seen.face.face_width_px)
    for part, of_grain, smaller, times in (
        (np.ascontiguousarray(levels[..., 1]), 1.0, 2, _OF_HALF),
        (apart, sqrt(2), 4, _OF_QUARTER),
        (apart, sqrt(2), 8, _OF_EIGHTH),
    ):
        factor = _NOISE_WIDTH_PX / smaller / seen.face.atlas.face_width_px
        few, on = (
            cv2.resize(one, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA) for one in (part, skin)
        )
        inside = cv2.erode((on > 1 - 1e-3).astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=0) > 0
        if np.count_nonzero(inside) >= _LEAST_INSIDE:
            left = of_grain * grain * min(1.0, _NOISE_WIDTH_PX / smaller / at_px)
            yield times * _noise_of(np.asarray(few, np.float32), inside, beside=left)


def _noise_of(part: Floats, where: npt.NDArray[np.bool_] | None = None, *, beside: float = 0.0) -> float:
    """One standard deviation of the noise in it, without what of it is known."""
    apart = np.abs(cv2.filter2D(part, -1, _LAPLACIANS_APART))
    found = float(np.median(apart if where is None else apart[where]) / _OF_UNIT_NOISE)
    return sqrt(max(0.0, found**2 - beside**2))


def _slopes(gray: Floats, sigma_px: float) -> tuple[Floats, Floats]:
    """Absolute slopes across and along, (H, W) each."""
    smooth = cv2.GaussianBlur(gray, (0, 0), sigma_px)
    across, along = cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)
    return np.asarray(np.abs(across), np.float32), np.asarray(np.abs(along), np.float32)


def _blur_px(plain: Floats, again: Floats) -> float:
    edges = plain >= np.quantile(plain, 1 - _EDGE_SHARE)
    ratio = plain[edges] / np.maximum(again[edges], 1e-6)
    sigma = _REBLUR_PX / np.sqrt(np.maximum(ratio**2 - 1, 1e-3))
    return float(np.quantile(np.sqrt(np.maximum(sigma**2 - _SMOOTH_PX**2, 0)), _SHARPER))


def colour_levels(seen: SeenPhoto) -> float:
    """How far the colours stray from those of a black-and-white picture toned in one colour, levels of 255.

    Notes
    -----
    Of such a picture (sepia) red and blue follow from green. A cubic in green is fitted to either by least
    squares; the value is the 95th percentile of what the worse of the two leaves, of a photo exposed so that
    its brightest hundredth is white: a dark photo has few levels and may have colours.
    """
    rgb = _in_blocks(srgb8(seen.photo), _TONED_SIDE_PX).reshape(-1, 3).astype(np.float64)
    rgb *= 255 / max(1.0, float(np.quantile(rgb, 0.99)))
    powers, others = np.vander(rgb[:, 1] / 255, 4), rgb[:, [0, 2]]
    fitted = powers @ np.linalg.lstsq(powers, others, rcond=None)[0]
    return float(np.quantile(np.abs(others - fitted).max(axis=1), _TONED_SHARE))


def _in_blocks(picture: npt.NDArray[np.uint8], side_px: int) -> npt.NDArray[np.uint8]:
    """The picture in means of square blocks, its short side `side_px` or up to twice that.

    Notes
    -----
    Of whole pixels: OpenCV takes them four times as fast as parts of pixels.
    """
    height, width = picture.shape[:2]
    block = max(1, min(height, width) // side_px)
    size = (width // block, height // block)
    whole = picture[: size[1] * block, : size[0] * block]
    return np.asarray(cv2.resize(whole, size, interpolation=cv2.INTER_AREA), np.uint8)


def light_difference_od(seen: SeenPhoto) -> float | None:
    """Difference of median optical density between the malar regions; None if one is not seen."""
    sides = [seen.codes == code for code in (Subunit.RIGHT_MALAR, Subunit.LEFT_MALAR)]
    if not all(side.any() for side in sides):
        return None
    right, left = (float(np.median(seen.linear_rgb[side].mean(axis=1))) for side in sides)
    return float(abs(np.log10(max(right, 1e-4) / max(left, 1e-4))))


def glossy(seen: SeenPhoto) -> npt.NDArray[np.bool_]:
    """Skin brighter and paler than the skin around it, (H, W); what is around at a quarter's size."""
    skin = seen.codes > 0
    height, width = skin.shape
    weight = cv2.resize(skin.astype(np.float32), (width // 4, height // 4), interpolation=cv2.INTER_AREA)
    light = seen.linear_rgb * skin[..., None]
    small = cv2.resize(light, (width // 4, height // 4), interpolation=cv2.INTER_AREA)
    sigma_px = _AROUND * seen.face.atlas.face_width_px / 4
    spread = np.maximum(cv2.GaussianBlur(weight, (0, 0), sigma_px), 1e-6)
    around = cv2.resize(cv2.GaussianBlur(small, (0, 0), sigma_px) / spread[..., None], (width, height))
    here, there = (Light.of(np.maximum(part, np.float32(1e-4))) for part in (seen.linear_rgb, around))
    brighter = here.total > 10**_BRIGHTER_OD * there.total
    saturation, usual = (1 - part.least / part.most for part in (here, there))
    return np.asarray(skin & brighter & (saturation < _PALER * usual))


def without_detail(seen: SeenPhoto) -> npt.NDArray[np.bool_]:
    """Where nothing changes around a pixel, (H, W): no skin is so even, but a box or cloth of one colour is.

    Notes
    -----
    Around are three pixels of the photo, or five of the frame where a pixel of the photo is smaller.
    Nothing changes where the greatest and least green are less than one step of 255 apart.
    """
    enlarged = max(1.0, seen.face.atlas.face_width_px / seen.face.face_width_px)
    side = 2 * ceil(_DETAIL_PX * enlarged) + 1
    green = (np.clip(seen.linear_rgb[..., 1], 0, 1) ** (1 / _GAMMA) * 255).astype(np.float32)
    around = np.ones((side, side), np.uint8)
    return np.asarray(cv2.dilate(green, around) - cv2.erode(green, around) < 1)


def red_over_blue_od(seen: SeenPhoto, skin: npt.NDArray[np.bool_]) -> float | None:
    """By how much red is stronger than blue on some skin (H, W), its median; None without any."""
    if not skin.any():
        return None
    red, blue = (np.maximum(seen.corrected_rgb[..., k][skin], 1e-4) for k in (0, 2))
    return float(np.median(np.log10(red / blue)))


class Light(NamedTuple):
    """Sum, least and most of the three channels, (H, W) each: NumPy is slow along an axis of three."""

    total: Floats
    least: Floats
    most: Floats

    @classmethod
    def of(cls, rgb: Floats) -> Light:
        """Of linear RGB, (H, W, 3)."""
        red, green, blue = cv2.split(rgb)
        least = np.minimum(np.minimum(red, green), blue)
        return cls(red + green + blue, least, np.maximum(np.maximum(red, green), blue))


def eye_opening(face: FaceRegions) -> float:
    """How far the eyes are open: height over width, mean of both."""
    xy = face.alignment.landmarks[:, :2]
    return float(
        np.mean(
            [
                np.linalg.norm(xy[up] - xy[low]) / np.linalg.norm(xy[outer] - xy[inner])
                for up, low, outer, inner in _EYES
            ]
        )
    )
