"""The pigment map by a network, and what it is given: a face without exposure and white balance."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from masi_vision.errors import NotScorable
from masi_vision.pigment.map import PigmentMap, surer
from masi_vision.skin.density import MELANIN, Floats, optical_density

METHOD = "learned-1"
NETWORK_SHAPE = (144, 128)
"""Height and width of the aligned frame as the network sees it; divisible by 16."""
DENSITY_UNIT_OD = 0.1
"""One unit of the network's density output."""
AROUND = (0.04, 0.1, 0.25)
"""Sides of the squares of skin, in shares of the frame's width, against which each pixel is compared."""
INPUT_CHANNELS = 6 + 3 * len(AROUND)
"""Optical density in red, green and blue against the face's own skin; visible skin; x; y; and optical density
against the mean of the skin around, three channels for each size of square."""

UNIT_OD = 0.3  # densities come to about one; what lies beyond 3 units is not skin
AROUND_OD = 0.1
FARTHEST = 3.0
LEAST_SKIN_PX = 100
"""Of the network's frame: on less skin a face has no median of its own. Chosen here."""

Network = Callable[[Floats], Floats]
"""From (15, 144, 128) to lesion logit and density in units of 0.1 OD, (2, 144, 128)."""


def map_by_network(
    linear_rgb: Floats,
    codes: npt.NDArray[np.uint8],
    network: Network,
    *,
    lesion_probability: float,
    raised_by_doubt: float,
) -> PigmentMap:
    """The pigment map of a face in the aligned frame, as the network sees it.

    Parameters
    ----------
    linear_rgb : (H, W, 3) float32
        The face in the aligned frame.
    codes : (H, W) uint8
        Region of every pixel of visible skin; 0 is no skin.
    lesion_probability, raised_by_doubt : float
        From which probability on skin is lesion, see `masi_vision.pigment.map.surer`.

    Raises
    ------
    NotScorable
        There is hardly any visible skin.

    Notes
    -----
    Normal skin is the photo with the pigment taken off: rgb * 10 ** (density * MELANIN).
    """
    probability, density = read_both_ways(linear_rgb, codes, network)
    skin = codes > 0
    normal = linear_rgb * cv2.exp(density[..., None] * (np.float32(np.log(10)) * MELANIN))
    cut = surer(lesion_probability, raised_by_doubt, probability, skin)
    return PigmentMap(density, probability, cut, skin, np.asarray(normal, np.float32), METHOD)


def read_both_ways(
    linear_rgb: Floats, codes: npt.NDArray[np.uint8], network: Network
) -> tuple[Floats, Floats]:
    """Probability of lesion and density in OD, (H, W), both 0 off the skin.

    Notes
    -----
    The face is read as it is and mirrored, and the two readings are averaged: a face and its mirror image
    have the same map.
    """
    given = network_input(linear_rgb, codes)
    turned = np.ascontiguousarray(given[..., ::-1])
    turned[4] = given[4]  # x runs from left to right in the mirror too
    both = np.stack([network(given), network(turned)[..., ::-1]])
    probability = (1 / (1 + np.exp(-both[:, 0]))).mean(axis=0)
    density = both[:, 1].mean(axis=0) * np.float32(DENSITY_UNIT_OD)
    found = cv2.resize(np.dstack([probability, density]), codes.shape[::-1], interpolation=cv2.INTER_LINEAR)
    found = np.where(codes[..., None] > 0, found, 0).astype(np.float32)
    return found[..., 0], found[..., 1]


def network_input(linear_rgb: Floats, codes: npt.NDArray[np.uint8]) -> Floats:
    """The face as the network takes it.

    Parameters
    ----------
    linear_rgb : (H, W, 3) float32
        The face in the aligned frame, of any size.
    codes : (H, W) uint8
        Region of every pixel of visible skin, 0 elsewhere.

    Returns
    -------
    (15, 144, 128) float32

    Raises
    ------
    NotScorable
        There is hardly any visible skin.

    Notes
    -----
    x = (od - median of od over the visible skin) / 0.3, per channel, within -3 to 3. A factor in exposure or
    white balance adds a constant to od and is gone. Against the skin around: (od - mean over the visible
    skin in the square) / 0.1, within -3 to 3, 0 off the skin. Light that changes slowly is gone from that.
    """
    size = NETWORK_SHAPE[::-1]
    small = cv2.resize(linear_rgb, size, interpolation=cv2.INTER_AREA)
    share = cv2.resize((codes > 0).astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return density_input(optical_density(small), share > 0.5)


def density_input(density: Floats, skin: npt.NDArray[np.bool_]) -> Floats:
    """The same from optical density (H, W, 3) and visible skin (H, W), at that size."""
    if skin.sum() < LEAST_SKIN_PX:
        raise NotScorable(
            "region_hidden",
            f"Hardly any facial skin is visible ({skin.sum()} pixels on the aligned face). Expected at least "
            f"{LEAST_SKIN_PX}. Uncover hair, glasses or hands.",
        )
    height, width = skin.shape
    made = np.empty((INPUT_CHANNELS, height, width), np.float32)
    for channel in range(3):
        own = np.median(density[..., channel][skin])
        np.clip((density[..., channel] - own) / np.float32(UNIT_OD), -FARTHEST, FARTHEST, out=made[channel])
    made[3] = skin
    made[4] = np.linspace(-1, 1, width, dtype=np.float32)
    made[5] = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    covered = density * skin[..., None]
    for place, side in enumerate(AROUND):
        square = 2 * int(side * width / 2) + 1
        near = _against_skin_around(density, covered, made[3], square).transpose(2, 0, 1)
        made[6 + 3 * place : 9 + 3 * place] = near
    return made


def _against_skin_around(density: Floats, covered: Floats, skin: Floats, square: int) -> Floats:
    size = (square, square)
    total = cv2.blur(covered, size, borderType=cv2.BORDER_CONSTANT)
    share = cv2.blur(skin, size, borderType=cv2.BORDER_CONSTANT)
    apart = density - total / np.maximum(share, np.float32(1e-3))[..., None]
    return np.asarray(np.clip(apart / np.float32(AROUND_OD), -FARTHEST, FARTHEST) * skin[..., None])
