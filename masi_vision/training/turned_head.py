"""The photograph of a turned head, made from one taken straight on: side views of phantoms."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from masi_vision.face.align import Alignment
from masi_vision.face.atlas import FaceAtlas, Floats
from masi_vision.training.augment import backward_map, turned

Mask = npt.NDArray[np.bool_]

_SEAM_PX, _SOFT_PX = 5, 1.5
_MOST_STRETCH, _COARSE = 2.0, 0.1


def turned_photo(linear_rgb: Floats, landmarks: Floats, atlas: FaceAtlas, yaw_deg: float) -> Floats:
    """Turn the head of a photograph about its own axis.

    Parameters
    ----------
    linear_rgb : (H, W, 3)
    landmarks : (478, 3)
        In its pixels; the depth is taken at face value.
    yaw_deg : float
        Positive turns the patient's right side to the camera.

    Returns
    -------
    (H, W, 3)
        Light and gloss stay on the skin where they were, as no real turn leaves them.

    Notes
    -----
    The face is carried by its triangles, those nearest to the camera in front; hair and background follow by
    a smooth warp. Triangles that faced away are carried as well: what lies before the edge of the cheek is
    mirrored behind it, so that the cheek that comes forward has no holes.
    """
    height, width = linear_rgb.shape[:2]
    window = (0, 0, height, width)
    after = turned(landmarks, yaw_deg, 0.0)
    x, y = backward_map(np.eye(3)[:2], max(height, width), landmarks, after)
    around = cv2.remap(
        linear_rgb, x[:height, :width], y[:height, :width], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    in_frame = np.nan_to_num(Alignment(atlas, after).frame_positions(window), nan=-1e4)
    source = Alignment(atlas, landmarks).photo_positions(hidden=True)
    before = cv2.remap(source, in_frame, None, cv2.INTER_LINEAR, borderValue=(np.nan, np.nan))
    on_face = np.isfinite(before).all(axis=2)
    face = cv2.remap(linear_rgb, np.nan_to_num(before, nan=-1e4), None, cv2.INTER_LINEAR)
    inner = cv2.erode(on_face.astype(np.uint8), np.ones((_SEAM_PX, _SEAM_PX), np.uint8))
    share = cv2.GaussianBlur(inner.astype(np.float32), (0, 0), _SOFT_PX)[..., None]
    share *= on_face[..., None]
    return np.asarray(around + share * (face - around), np.float32)


def drawn_out(landmarks: Floats, atlas: FaceAtlas, yaw_deg: float, shape: tuple[int, int]) -> Mask:
    """Where a photograph turned by `turned_photo` shows skin that was seen at a grazing angle, (H, W).

    It is drawn out to more than twice its size: what it looks like, and where it ends, nobody knows.
    """
    over = Alignment(atlas, turned(landmarks, yaw_deg, 0.0))
    side = round(_COARSE * atlas.labels.shape[1])
    before, after = (cv2.blur(one.squareness(), (side, side)) for one in (Alignment(atlas, landmarks), over))
    far = (after > _MOST_STRETCH * before).astype(np.uint8)
    return np.asarray(over.to_photo(far, (0, 0, *shape), nearest=True), np.uint8) > 0
