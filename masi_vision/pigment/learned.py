"""What the network that draws the pigment map is given: a face without its exposure and white balance."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from masi_vision.skin.density import Floats, optical_density

NETWORK_SHAPE = (192, 160)
"""Height and width of the aligned frame as the network sees it; divisible by 16."""
INPUT_CHANNELS = 6
"""Optical density in red, green and blue against the face's own skin; visible skin; x; y."""

_UNIT_OD = 0.3  # densities come to about one; what lies beyond 3 units is not skin
_FARTHEST = 3.0
LEAST_SKIN_PX = 100
"""Of the network's frame: on less skin a face has no median of its own. Chosen here."""


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
    (6, 192, 160) float32

    Raises
    ------
    ValueError
        There is hardly any visible skin.

    Notes
    -----
    x = (od - median of od over the visible skin) / 0.3, per channel, within -3 to 3. A factor in exposure or
    white balance adds a constant to od and is gone.
    """
    size = NETWORK_SHAPE[::-1]
    small = cv2.resize(linear_rgb, size, interpolation=cv2.INTER_AREA)
    share = cv2.resize((codes > 0).astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return density_input(optical_density(small), share > 0.5)


def density_input(density: Floats, skin: npt.NDArray[np.bool_]) -> Floats:
    """The same from optical density (192, 160, 3) and visible skin (192, 160)."""
    if skin.sum() < LEAST_SKIN_PX:
        raise ValueError(f"skin must hold at least {LEAST_SKIN_PX} pixels, got {skin.sum()}")
    own = np.median(density[skin], axis=0)
    relative = np.clip((density - own) / _UNIT_OD, -_FARTHEST, _FARTHEST)
    y, x = np.mgrid[-1 : 1 : NETWORK_SHAPE[0] * 1j, -1 : 1 : NETWORK_SHAPE[1] * 1j]
    return np.concatenate([relative.transpose(2, 0, 1), skin[None], x[None], y[None]]).astype(np.float32)
