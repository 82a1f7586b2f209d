"""Pictures as they are drawn and written."""

from __future__ import annotations

from collections.abc import Iterable
from unicodedata import combining, normalize

import cv2
import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]
"""(H, W, 3) sRGB."""


def jpeg(picture: Picture, *, quality: int = 90) -> bytes:
    """The picture as JPEG, without metadata."""
    done, coded = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise OSError("the picture could not be encoded")
    return coded.tobytes()


def smaller_jpeg(coded: bytes, *, width_px: int) -> bytes:
    """The same picture at most so wide, coded anew for a page.

    Raises
    ------
    ValueError
        It is no picture.
    """
    picture = cv2.imdecode(np.frombuffer(coded, np.uint8), cv2.IMREAD_COLOR) if coded else None
    if picture is None:
        raise ValueError("one of them is no picture")
    share = min(1.0, width_px / picture.shape[1])
    small = cv2.resize(picture, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
    return jpeg(np.asarray(small[..., ::-1], np.uint8), quality=80)


def ascii_text(name: str) -> str:
    """A name as OpenCV can write it, which has ASCII alone: letters lose their accents, others become "?"."""
    bare = "".join(letter for letter in normalize("NFKD", name) if not combining(letter))
    return bare.encode("ascii", "replace").decode()


def drawn_names(names: Iterable[str]) -> dict[str, str]:
    """Each name as `ascii_text`; of another script with its number among them: "??? 12 (no. 2)"."""
    told = {}
    for number, name in enumerate(dict.fromkeys(names), start=1):
        text = ascii_text(name)
        told[name] = f"{text} (no. {number})" if text.count("?") > name.count("?") else text
    return told
