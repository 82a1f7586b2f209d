"""Pictures as they are drawn and written."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]
"""(H, W, 3) sRGB."""


def jpeg(picture: Picture) -> bytes:
    """The picture as JPEG, without metadata."""
    done, coded = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])
    if not done:
        raise OSError("the picture could not be encoded")
    return coded.tobytes()


def ascii_text(name: str) -> str:
    """A name as OpenCV can write it: its letters are ASCII alone."""
    return name.encode("ascii", "replace").decode()
