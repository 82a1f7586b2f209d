"""Two visits laid over each other: what landmarks leave apart, the skin itself brings together."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from masi_vision.face.atlas import Floats

# In shares of the frame's width. Chosen here.
_LARGEST_DETAIL = 0.05  # what is larger is light and pigment, which may change between visits
_SMALLEST_DETAIL = 0.008  # what is smaller is noise and the file's blocks
_RIM, _LEAST_COMMON = 0.008, 0.01  # of the skin left out; of the frame that two photographs must share
_SMOOTHNESS = 0.03  # skin beside skin moves with it
_THERE_AND_BACK = 0.003  # what is followed into the follow-up and back again comes home so near
_FEW = 0.1  # where no larger share of the skin around does, landmarks count as much as what is found
_LEVELS_PER_OD = 400.0  # contrast of skin's detail in the 8-bit picture that the flow is found in


@dataclass(frozen=True)
class Registration:
    """Where the skin of each pixel of the baseline lies in the follow-up, both in the aligned frame.

    Parameters
    ----------
    positions : (H, W, 2) float32
        x, y in the follow-up.
    """

    positions: Floats

    def to_baseline(
        self, picture: npt.NDArray[np.generic], *, nearest: bool = False
    ) -> npt.NDArray[np.generic]:
        """Carry a picture of the follow-up's frame onto the baseline's."""
        how = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
        return np.asarray(cv2.remap(picture, self.positions, None, how, borderMode=cv2.BORDER_REPLICATE))


def register(baseline_od: Floats, follow_up_od: Floats, skin: npt.NDArray[np.bool_]) -> Registration:
    """Lay a follow-up over its baseline by the detail of the skin: pores, lines, brows' rims.

    Parameters
    ----------
    baseline_od, follow_up_od : (H, W, 3) float32
        Optical density in the aligned frame: landmarks have brought the two within a few pixels already.
    skin : (H, W) bool
        Visible in both.

    Notes
    -----
    Dense inverse search (Kroeger 2016, DOI 10.1007/978-3-319-46493-0_29), OpenCV's, on what is smaller than
    5 % of the frame's width, there and back; what does not come home is left out, and the rest smoothed.
    Where hardly any skin comes home the landmarks are believed: on skin without detail the rims of pigment
    that came or went would otherwise be laid on other rims.
    """
    flow, followed = _followed(baseline_od, follow_up_od, skin)
    share = smoothed_on_skin(followed.astype(np.float32), skin, _SMOOTHNESS * skin.shape[1])[..., None]
    return Registration(np.asarray(_grid(skin) + flow * share * (1 + _FEW) / (share + _FEW), np.float32))


def left_apart_px(baseline_od: Floats, follow_up_od: Floats, skin: npt.NDArray[np.bool_]) -> Floats:
    """How far the skin still lies apart in two photographs that are laid over each other, (H, W).

    By what comes home alone, however little it is: of another person that lies anywhere. The arguments are
    those of `register`.
    """
    flow, _ = _followed(baseline_od, follow_up_od, skin)
    return np.asarray(np.linalg.norm(flow, axis=2), np.float32)


def _followed(
    baseline_od: Floats, follow_up_od: Floats, skin: npt.NDArray[np.bool_]
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Where the skin went, smoothed, (H, W, 2), and on which skin it is told by what comes home."""
    width = skin.shape[1]
    still, moving = (
        _detail(density, skin, _LARGEST_DETAIL * width) for density in (baseline_od, follow_up_od)
    )
    there, back = _flow(still, moving), _flow(moving, still)
    home = there + cv2.remap(
        back, _grid(skin) + there, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    followed = skin & (np.linalg.norm(home, axis=2) < _THERE_AND_BACK * width)
    return smoothed_on_skin(there, followed, _SMOOTHNESS * width), followed


def _flow(still: npt.NDArray[np.uint8], moving: npt.NDArray[np.uint8]) -> Floats:
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return np.asarray(search.calc(still, moving, None), np.float32)


def _grid(skin: npt.NDArray[np.bool_]) -> Floats:
    """x, y of every pixel, (H, W, 2)."""
    y, x = np.indices(skin.shape, np.float32)
    return np.stack([x, y], axis=2)


def likeness(one_od: Floats, other_od: Floats, skin: npt.NDArray[np.bool_]) -> float | None:
    """How alike the skin's detail is in two photographs laid over each other.

    Parameters
    ----------
    one_od, other_od : (H, W, 3) float32
        Optical density in one frame, registered.
    skin : (H, W) bool
        Visible in both.

    Returns
    -------
    float or None
        Pearson's r of what is larger than 0.8 and smaller than 5 % of the frame's width: near 1 for one face,
        whatever the light. None where they share too little skin away from its rims.
    """
    width = skin.shape[1]
    rim = np.ones((2 * round(_RIM * width) + 1,) * 2, np.uint8)
    inner = cv2.erode(skin.view(np.uint8), rim) > 0
    if inner.mean() < _LEAST_COMMON:
        return None
    first, second = (_between(density.mean(axis=2), skin, width)[inner] for density in (one_od, other_od))
    return float(np.corrcoef(first, second)[0, 1]) if first.std() > 0 and second.std() > 0 else None


def _between(grey: Floats, skin: npt.NDArray[np.bool_], width: int) -> Floats:
    fine, coarse = (
        smoothed_on_skin(grey, skin, sigma * width) for sigma in (_SMALLEST_DETAIL, _LARGEST_DETAIL)
    )
    return fine - coarse


def _detail(density: Floats, skin: npt.NDArray[np.bool_], sigma_px: float) -> npt.NDArray[np.uint8]:
    grey = density.mean(axis=2)
    fine = (grey - smoothed_on_skin(grey, skin, sigma_px)) * skin
    return np.asarray(np.clip(128 + _LEVELS_PER_OD * fine, 0, 255), np.uint8)


def smoothed_on_skin(picture: Floats, skin: npt.NDArray[np.bool_], sigma_px: float) -> Floats:
    """Gaussian mean over the skin alone: of (H, W) or (H, W, C), at a standard deviation in pixels."""
    share = skin.astype(np.float32)
    weight = np.maximum(cv2.GaussianBlur(share, (0, 0), sigma_px), np.float32(1e-3))
    covered = picture * (share if picture.ndim == 2 else share[..., None])
    mean = cv2.GaussianBlur(covered, (0, 0), sigma_px)
    return np.asarray(mean / (weight if picture.ndim == 2 else weight[..., None]), np.float32)
