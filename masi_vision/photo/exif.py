"""What the camera wrote down; damaged facts are `None` and never keep a photo from being read."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import SupportsFloat, SupportsIndex

from PIL import Image
from PIL.ExifTags import IFD, Base, Interop

LONGEST_TEXT = 80
"""Characters kept of a camera or lens name (chosen here: longer ones are damaged)."""


@dataclass(frozen=True)
class CaptureFacts:
    """The circumstances of the capture; each is None where the file does not say.

    Parameters
    ----------
    camera, lens : str, optional
    exposure_s, f_number, iso, focal_length_mm : float, optional
    flash : bool, optional
        Whether the flash fired.
    bits : int
        Bits per channel of the pixels handed on, 8 or 16. A 16-bit file whose colour profile only
        LittleCMS can convert is handed on with 8.
    colour_space : str
        Where the pixels came from: "sRGB", "Display P3", "untagged (taken as sRGB)".
    jpeg_quality : int, optional
        Of a JPEG file, 1 to 100, as its quantization tables tell it.
    taken_at : str, optional
        Capture time as the camera wrote it, with its offset from UTC where it has one: 2026:05:01
        10:00:00+02:00. Never written to an output: it tells baseline from follow-up and so unblinds.
    """

    camera: str | None = None
    lens: str | None = None
    exposure_s: float | None = None
    f_number: float | None = None
    iso: float | None = None
    focal_length_mm: float | None = None
    flash: bool | None = None
    bits: int = 8
    colour_space: str = "untagged (taken as sRGB)"
    jpeg_quality: int | None = None
    taken_at: str | None = None


def exif_of(image: Image.Image) -> Image.Exif:
    """Read the image's EXIF block; an empty one where it is missing or damaged.

    What XMP alone says of how the camera was held is forgotten: some viewers turn by it and most do not, nor
    does the decoder of 16 bits.
    """
    for name in ("xmp", "XML:com.adobe.xmp"):  # where Pillow looks for it
        image.info.pop(name, None)
    try:
        return image.getexif()
    except Exception:  # whatever a damaged block raises, the pixels are still good
        return Image.Exif()


def parse_exif(block: bytes) -> Image.Exif:
    """Read an EXIF block, or the head of any TIFF-like file; an empty one where it is damaged."""
    exif = Image.Exif()
    try:
        exif.load(block)
    except Exception:  # as above
        return Image.Exif()
    return exif


def orientation_of(exif: Image.Exif) -> int:
    """Say how the camera was held, 1 to 8; 1 (upright) where missing or out of range."""
    value = _number(exif.get(Base.Orientation)) or 1.0
    return int(value) if value in range(1, 9) else 1


def colour_space_of(exif: Image.Exif) -> str | None:
    """Name the colour space that EXIF declares: "sRGB", "Adobe RGB (1998)" or None.

    References
    ----------
    CIPA DC-008 (Exif 2.32): ColorSpace 1 is sRGB. CIPA DC-009 (DCF 2.0): InteroperabilityIndex "R03" is
    the optional colour space Adobe RGB, which cameras write without an embedded profile. ColorSpace 2, of
    no standard, is Adobe RGB in ExifTool's table of EXIF tags.
    """
    space = _number(_directory(exif, IFD.Exif).get(Base.ColorSpace))
    if space == 1:  # also where an editor that wrote sRGB left the index of the camera's own file
        return "sRGB"
    index = _text(_directory(exif, IFD.Interop).get(Interop.InteropIndex))
    is_adobe = index == "R03" or (space == 2 and index != "R98")  # R98: the plain kind, sRGB
    return "Adobe RGB (1998)" if is_adobe else None


def space_by_exif_alone(image: Image.Image, exif: Image.Exif) -> str | None:
    """Name the colour space that EXIF declares; None where a profile or a chunk of a PNG tells it too.

    Of the chunks cICP, iCCP, sRGB, gAMA and cHRM the first that is there counts (PNG, third edition). EXIF is
    none of them: an editor that wrote sRGB may have left it as it was.
    """
    chunks = ("icc_profile", "cicp", "srgb", "gamma", "chromaticity")
    is_told = any(image.info.get(name) not in (None, b"") for name in chunks)
    return None if is_told else colour_space_of(exif)


def facts_of(exif: Image.Exif, *, bits: int, colour_space: str) -> CaptureFacts:
    """Gather the facts of the capture."""
    details = _directory(exif, IFD.Exif)
    flash = _number(details.get(Base.Flash))
    return CaptureFacts(
        camera=_camera(_text(exif.get(Base.Make)), _text(exif.get(Base.Model))),
        lens=_text(details.get(Base.LensModel)),
        exposure_s=_positive(details.get(Base.ExposureTime)),
        f_number=_positive(details.get(Base.FNumber)),
        iso=_positive(details.get(Base.ISOSpeedRatings)),
        focal_length_mm=_positive(details.get(Base.FocalLength)),
        flash=None if flash is None else int(flash) % 2 == 1,
        bits=bits,
        colour_space=colour_space,
        taken_at=_taken_at(details),
    )


def _taken_at(details: dict[int, object]) -> str | None:
    """When it was taken, else when it became a file; with the camera's offset from UTC where it has one."""
    for moment, offset in (
        (Base.DateTimeOriginal, Base.OffsetTimeOriginal),
        (Base.DateTimeDigitized, Base.OffsetTimeDigitized),
    ):
        text = _text(details.get(moment)) or ""
        if any(map(str.isdigit, text)):  # a clock that was not set leaves colons
            return f"{text}{_text(details.get(offset)) or ''}"
    return None


def _directory(exif: Image.Exif, which: IFD) -> dict[int, object]:
    try:
        return dict(exif.get_ifd(which))
    except Exception:  # a damaged directory says nothing
        return {}


def _camera(make: str | None, model: str | None) -> str | None:
    if make and model and not model.casefold().startswith(make.casefold()):
        return f"{make} {model}"
    return model or make


def _text(value: object) -> str | None:
    if isinstance(value, bytes):
        value = value.decode("ascii", "replace")
    if not isinstance(value, str):
        return None
    clean = "".join(letter for letter in value if letter.isprintable()).strip()
    return clean[:LONGEST_TEXT] or None


def _number(value: object) -> float | None:
    if isinstance(value, tuple) and value:
        value = value[0]
    if not isinstance(value, SupportsFloat | SupportsIndex):
        return None
    try:
        number = float(value)
    except (ArithmeticError, ValueError, TypeError):
        return None
    return number if math.isfinite(number) else None


def _positive(value: object) -> float | None:
    number = _number(value)
    return number if number is not None and number > 0 else None
