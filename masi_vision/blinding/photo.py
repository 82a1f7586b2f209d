"""A photograph as it goes into a coded set: the pixels, and nothing that says whose they are."""

from __future__ import annotations

import io
import math
import secrets
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, JpegImagePlugin, PngImagePlugin

from masi_vision.blinding.jpeg import jpeg_leaks, strip_jpeg
from masi_vision.blinding.png import SIGNATURE, png_leaks, strip_png
from masi_vision.errors import LeakError
from masi_vision.photo import Pixels
from masi_vision.photo.decode import decode
from masi_vision.photo.exif import exif_of, orientation_of, space_by_exif_alone
from masi_vision.photo.pixels import Limits

_JPEG = b"\xff\xd8\xff"
_PADDED, _LEAST_ROOM = 0.2, 4096
"""Up to a fifth of a file's size, or so many bytes, is added: photos differ by as much on their own."""


@dataclass(frozen=True)
class CodedPhoto:
    """Bytes of a file of a coded set, and the ending of its name."""

    data: bytes
    suffix: str


def coded_photo(data: bytes, decoded: Pixels) -> CodedPhoto:
    """A photograph without metadata, each time in other bytes.

    Parameters
    ----------
    data : bytes
        The file.
    decoded : (H, W, 3) uint8 or uint16
        Its upright sRGB pixels.

    Returns
    -------
    CodedPhoto
        A JPEG or PNG keeps its coded picture, so that its pixels are the same to the last bit: the copy is
        read back. Every other format, a file whose colours or position only metadata tell (Exif alone says
        Adobe RGB; a PNG turned by Exif), and one whose copy would show other pixels, becomes a PNG of the
        decoded pixels.

    Raises
    ------
    LeakError
        The file is damaged.
    """
    copy = _stripped(data)
    if copy is not None and shows(copy, decoded):
        return _without_leak(copy)
    written, plain = cv2.imencode(".png", np.ascontiguousarray(decoded[..., ::-1]))
    if not written:
        raise LeakError("cannot be written as PNG")
    return _without_leak(CodedPhoto(strip_png(plain.tobytes(), padding=_padding(len(plain))), ".png"))


def _stripped(data: bytes) -> CodedPhoto | None:
    """The same coded picture without metadata; None where it cannot do without."""
    if data.startswith(_JPEG):
        turn = _turn_of(JpegImagePlugin.JpegImageFile(io.BytesIO(data)))
        if turn is not None:
            return CodedPhoto(strip_jpeg(data, orientation=turn, padding=_padding(len(data))), ".jpg")
    if data.startswith(SIGNATURE) and _turn_of(PngImagePlugin.PngImageFile(io.BytesIO(data))) == 1:
        return CodedPhoto(strip_png(data, padding=_padding(len(data))), ".png")
    return None


def shows(copy: CodedPhoto, pixels: Pixels) -> bool:
    """Whether the reader finds these very pixels in a copy.

    Which of two markers counts, or one in an odd place, decoders and the rules of a format tell differently.
    """
    try:
        found = decode(copy.data, copy.suffix, Limits(math.inf)).srgb
    except Exception:  # whatever the reader says of it, it does not show them
        return False
    return found.dtype == pixels.dtype and np.array_equal(found, pixels)


def _turn_of(image: Image.Image) -> int | None:
    """Orientation by Exif; None where Exif tells colours that no profile tells."""
    exif = exif_of(image)
    return orientation_of(exif) if space_by_exif_alone(image, exif) in (None, "sRGB") else None


def _padding(size: int) -> int:
    return 1 + secrets.randbelow(max(_LEAST_ROOM, round(_PADDED * size)))


def _without_leak(coded: CodedPhoto) -> CodedPhoto:
    """The same, looked through once more; a file that still says something never gets out."""
    found = leaks_of(coded.data)
    if found:
        raise LeakError(f"carries {found[0]}")
    return coded


def leaks_of(data: bytes) -> list[str]:
    """What a photo of a coded set says beside its picture, a phrase each; empty where it says nothing."""
    if data.startswith(_JPEG):
        return jpeg_leaks(data)
    if data.startswith(SIGNATURE):
        return png_leaks(data)
    return ["neither a JPEG nor a PNG"]
