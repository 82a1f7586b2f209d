"""The registered paired difference: what changed between two visits, with nothing known of either alone.

Recipe: the later visit is laid over the earlier by an affine ECC registration of the grey faces (Gaussian of
2 px), each channel gets a gain, the median log-ratio over the regions in linear light, and what lies more
than 3 in L* apart has changed.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from skimage.color import rgb2lab

from masi_vision.photo import linear_to_srgb8
from masi_vision.skin.density import optical_density
from masi_vision.training.phantom_photos import Picture, Row, rows_of

NAME = "registered paired difference (change only)"
_APART_L = 3.0


def paired_rows(before: Picture, after: Picture) -> Iterator[Row]:
    """Skin that got lighter stands as pigment of the first photograph, skin that got darker of the second.

    The difference of the two amounts is then the change of the amount; nothing else of these rows has a
    meaning.
    """
    skin = (before.codes > 0) & (after.codes > 0)
    moved = _registered(after.linear, before.linear, skin)
    ratio = np.log(np.maximum(before.linear, 1e-3)) - np.log(np.maximum(moved, 1e-3))
    matched = moved * np.exp(np.median(ratio[skin], axis=0)).astype(np.float32)
    lightness = [rgb2lab(linear_to_srgb8(one))[..., 0] for one in (before.linear, matched)]
    density = [optical_density(one).mean(axis=2) for one in (before.linear, matched)]
    for picture, here, there in ((before, 0, 1), (after, 1, 0)):
        darker = skin & (lightness[there] - lightness[here] > _APART_L)
        yield from rows_of(picture, NAME, darker, darker * np.maximum(density[here] - density[there], 0))


def _registered(moving: np.ndarray, still: np.ndarray, skin: np.ndarray) -> np.ndarray:
    """The moving face over the still one; as it is where the registration finds no way."""
    grey = [
        cv2.GaussianBlur(linear_to_srgb8(one).mean(axis=2).astype(np.float32), (0, 0), 2.0)
        for one in (still, moving)
    ]
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 60, 1e-5)
    way = np.eye(2, 3, dtype=np.float32)
    try:
        _, way = cv2.findTransformECC(
            grey[0], grey[1], way, cv2.MOTION_AFFINE, stop, skin.astype(np.uint8), 5
        )
    except cv2.error:
        return moving
    size = (still.shape[1], still.shape[0])
    return np.asarray(cv2.warpAffine(moving, way, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP))
