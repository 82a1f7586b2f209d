"""The door for photographs: the one place where the package reads them from disk."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np

from masi_vision.errors import PhotoUnreadable
from masi_vision.photo.colour import Pixels
from masi_vision.photo.decode import decode
from masi_vision.photo.exif import CaptureFacts
from masi_vision.photo.formats import EXPECTED, UndecodableError
from masi_vision.photo.pixels import Limits

BYTES_PER_PIXEL = 8
"""An uncompressed picture with 16 bits in four channels; a larger file cannot be within the limit."""


@dataclass(frozen=True, eq=False)
class Photo:
    """A photograph: upright, in colour, in sRGB.

    Parameters
    ----------
    srgb : array of uint8 or uint16, (height, width, 3), read-only
    full_size : (int, int)
        Height and width [px] of the upright original, before any reduction.
    name : str
        File name without folder, odd characters escaped.
    sha256 : str
        Of the file's bytes; of the pixels for a photo that never was a file.
    capture : CaptureFacts
    """

    srgb: Pixels
    full_size: tuple[int, int]
    name: str
    sha256: str
    capture: CaptureFacts = field(default_factory=CaptureFacts)

    def __post_init__(self) -> None:
        """Check the pixels and make them read-only."""
        if self.srgb.dtype not in (np.uint8, np.uint16) or self.srgb.shape[2:] != (3,) or not self.srgb.size:
            raise ValueError(
                f"srgb must be uint8 or uint16 of shape (H, W, 3), got {self.srgb.dtype} {self.srgb.shape}"
            )
        if not _is_reduced(self.full_size, self.srgb.shape[:2]):
            raise ValueError(
                f"full_size must be that of srgb, or a whole number of times as large, got {self.full_size} "
                f"for {self.srgb.shape[:2]}"
            )
        pixels = self.srgb.view()
        pixels.flags.writeable = False
        object.__setattr__(self, "srgb", pixels)

    @classmethod
    def from_srgb(cls, srgb: Pixels, *, name: str = "array") -> Self:
        """Make a photo of pixels that never were a file, at their full size; they are copied.

        Parameters
        ----------
        srgb : array of uint8 or uint16, (height, width, 3)
            Upright, in the order red, green, blue, as a screen shows them: not linear. 16 bits are used to
            their end.

        Raises
        ------
        ValueError
            It is no such array.
        """
        if not isinstance(srgb, np.ndarray):
            raise ValueError(
                f"srgb must be an array, got {type(srgb).__name__}. Of a picture of Pillow: "
                'np.asarray(ImageOps.exif_transpose(picture).convert("RGB")).'
            )
        own = np.array(srgb, srgb.dtype.newbyteorder("="), order="C")
        return cls(own, own.shape[:2], name, hashlib.sha256(own.tobytes()).hexdigest())

    def __repr__(self) -> str:
        """Name, size and depth, not the pixels."""
        height, width = self.srgb.shape[:2]
        size = f"{width} x {height} px, {self.srgb.itemsize * 8} bit"
        return f"Photo({self.name!r}, {size}, scale {self.scale:g})"

    @property
    def scale(self) -> float:
        """Reduced over full size, one over a whole number; 1 where nothing was reduced."""
        height, width = self.srgb.shape[:2]
        factor: int = round(max(self.full_size) / max(height, width))
        return 1 / max(1, factor)


def _is_reduced(full: tuple[int, int], part: tuple[int, ...]) -> bool:
    """Whether blocks of some whole number of pixels make the one of the other; one at the edge may be cut."""
    return any(
        all(-(-whole // step) == rest for whole, rest in zip(full, part, strict=True))
        for step in range(1, max(full) + 1)
    )


def read_photo(
    path: str | os.PathLike[str], *, min_side_px: int | None = None, max_megapixels: float = 200.0
) -> Photo:
    """Read a photograph.

    Parameters
    ----------
    path : path
        JPEG, PNG, TIFF (8 or 16 bit), WebP, BMP; HEIC and camera RAW with their extras. Told by content.
    min_side_px : int, optional
        The short side may be reduced to no fewer pixels than this [px]; full size where omitted. A JPEG
        shrinks by 2, 4 or 8 while it is decoded, others by averaging whole blocks afterwards. To look at:
        what is to be scored is given by its path, or read at full size.
    max_megapixels : float
        A file that declares more is refused before memory is taken [megapixel].

    Returns
    -------
    Photo
        Upright and in sRGB, 16 bits kept where the file has them.

    Raises
    ------
    PhotoUnreadable
        Whatever is wrong with the file: never another exception. Names the file, not its folder.
    """
    if min_side_px is not None and min_side_px < 1:
        raise ValueError(f"min_side_px must be at least 1, got {min_side_px}")
    if not max_megapixels > 0:
        raise ValueError(f"max_megapixels must be above 0, got {max_megapixels}")
    file, name = Path(path), printable_name(path)
    limits = Limits(max_megapixels * 1e6, min_side_px)
    data = b""
    try:
        data = _bytes_of(file, limits)
        decoded = decode(data, file.suffix.lower(), limits)
    except UndecodableError as why:
        raise PhotoUnreadable(why.reason, f"{name} {why.sentence}", _sha256(data)) from why
    except MemoryError as error:
        sentence = "needs more memory than is free. Expected a photograph. Close other programs."
        raise PhotoUnreadable("too_large", f"{name} {sentence}", _sha256(data)) from error
    except Exception as error:  # decoders raise anything on damaged content: this is the one door
        raise PhotoUnreadable("unreadable", f"{name} {_damage(error)}", _sha256(data)) from error
    return Photo(decoded.srgb, decoded.full_size, name, _sha256(data) or "", decoded.capture)


def _sha256(data: bytes) -> str | None:
    """Hash of a file's bytes; None where none could be read."""
    return hashlib.sha256(data).hexdigest() if data else None


def printable_name(path: str | os.PathLike[str]) -> str:
    """Give the file name without folder, fit for any table: what cannot be printed is escaped."""
    return printable(Path(path).name or "the path")


def printable(text: str) -> str:
    """Give a text fit for any table: what cannot be printed is escaped."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text
    )


def _bytes_of(file: Path, limits: Limits) -> bytes:
    """Read a regular file of sensible size; a pipe or a device would never end."""
    try:
        status = file.stat()
        _check_file(status, limits)
        return file.read_bytes()
    except (OSError, ValueError) as error:
        words = (getattr(error, "strerror", None) or "the path is not valid").lower()
        sentence = f"cannot be opened ({words}). Expected a photograph. Check the path and its permissions."
        raise UndecodableError("unreadable", sentence) from error


def _check_file(status: os.stat_result, limits: Limits) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise UndecodableError("unreadable", "is a folder. Expected a photograph. Name the file in it.")
    if not stat.S_ISREG(status.st_mode):
        raise UndecodableError("unreadable", "is a pipe or device. Expected a photograph file.")
    if status.st_size == 0:
        raise UndecodableError("unreadable", f"is empty (0 bytes). {EXPECTED} Copy it from the camera again.")
    if status.st_size > limits.max_pixels * BYTES_PER_PIXEL + 1e6:
        megabytes = status.st_size / 1e6
        raise UndecodableError(
            "too_large",
            f"has {megabytes:.0f} MB. {EXPECTED} Use the camera's original file, or raise "
            "reading.max_megapixels in the settings.",
        )


def _damage(error: Exception) -> str:
    """Say that the content is damaged, with the decoder's words where they are short."""
    words = str(error).partition("\n")[0]
    detail = f" ({words})" if 0 < len(words) <= 60 and words.isprintable() else ""
    return f"is damaged or incomplete{detail}. {EXPECTED} Copy it from the camera again."
