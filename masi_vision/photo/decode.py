"""From a file's bytes to upright sRGB pixels. Refuses in sentences; the libraries' own errors pass.

JPEG is decoded by simplejpeg (the same pixels as Pillow at three times the speed, and damage within the
picture is an error), 16-bit files by OpenCV (16 bits kept), everything else by Pillow. Pillow's plug-ins are
called one by one, past its global limit on pixels.
"""

from __future__ import annotations

import io
import re
import struct
from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import (
    BmpImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from masi_vision.photo import exif as exif_
from masi_vision.photo.colour import Numbers, Pixels
from masi_vision.photo.formats import (
    UndecodableError,
    check_compression,
    format_of,
    missing_extra,
    unread_header,
    unread_jpeg,
)
from masi_vision.photo.jpeg_scans import is_lossless, refuse_many_scans
from masi_vision.photo.pixels import GRAY, Decoded, Limits, check_colour, check_opaque, reduce, upright
from masi_vision.photo.profile import BadProfileError, icc_to_srgb, known_space
from masi_vision.photo.raw import decode_raw

_PLUGINS: dict[str, type[ImageFile.ImageFile]] = {
    "JPEG": JpegImagePlugin.JpegImageFile,  # also the first picture of a multi-picture (MPO) file
    "PNG": PngImagePlugin.PngImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
}
_SHRINK_FLAGS = {  # OpenCV's names say gray, but together with IMREAD_COLOR_RGB they only shrink
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    1: 0,
}
_ANNEX_K_LUMINANCE_SUM = 3688
"""Of the 64 entries of table K.1 of ITU-T T.81."""
_END_OF_JPEG = b"\xff\xd9"
_WHOLE_SPECTRUM = b"\0\x3f\0"
"""The last bytes before the codes of a JPEG that is not progressive, whatever the camera wrote there."""
_ODD_BUT_WHOLE = re.compile(
    "Invalid SOS|Warning: unknown JFIF|Unknown Adobe|Could not determine subsampling|"
    "extraneous bytes before marker 0x(?!d[0-9])"
)
"""What libjpeg says of a header not to the letter, and simplejpeg of a sampling that it does not take."""
_BLANK_END_BYTES = 1024
"""No coded picture ends in so many zeros (chosen here)."""
_SRGB_GAMMA, _GAMMA_OFF = 1 / 2.2, 0.05
"""Of the chunk gAMA of a PNG file in sRGB, and by what share it may be off (chosen here)."""
_SRGB_PRIMARIES, _PRIMARY_OFF = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06), 0.01
"""The same of its chunk cHRM: x and y of white, red, green and blue."""
_FULL_RGB = bytes((0, 1))
"""The end of a chunk cICP: no matrix, full range (PNG, third edition, allows no other matrix)."""
_UNSPECIFIED = bytes((2, 2)) + _FULL_RGB
"""Primaries and transfer of ITU-T H.273 that leave open what they are."""
_HIGH_RANGE = (16, 18)
"""Transfers PQ and HLG of ITU-T H.273."""
_GRAY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16L", "I;16B", "F")
_PALETTE_MODES = ("P", "PA")
_COLOUR_MODES = ("RGB", "RGBA", "RGBX", "YCbCr")
_BAD_PROFILE = (
    "carries a colour profile that is damaged or not one for RGB, so its colours are unknown. "
    "Expected a profile such as sRGB or Display P3. Use the camera's original file."
)


def decode(data: bytes, suffix: str, limits: Limits) -> Decoded:
    """Decode a picture of any supported format."""
    # WeasyPrint and others switch this on for the whole process: half a photo would be scored as a whole one.
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    kind = format_of(data, suffix)
    if kind == "RAW":
        return decode_raw(data, limits)
    if kind == "TIFF" and _is_raw(directory := exif_.parse_exif(data)):
        return decode_raw(data, limits, is_preview=directory.get(254) == 1)
    image = open_picture(kind, data)
    width, height = image.size
    limits.check(width, height)
    if kind == "PNG":
        image.info["cicp"] = _png_colour_codes(data)
    elif kind == "BMP":
        image.info.update(**_bmp_profile(data))
    _check_kind(image, kind)
    if kind == "TIFF":
        exif_.exif_of(image)  # before Pillow, while it loads, turns it as XMP says
    pixels = _pixels(image, kind, data, limits)
    if kind != "JPEG":  # which may have shrunk by now
        height, width = pixels.shape[:2]
    pixels = reduce(pixels, limits)
    exif = exif_.exif_of(image)
    check_colour(pixels)
    pixels, space = _to_srgb(pixels, image, exif)
    turn = 1 if kind == "TIFF" else exif_.orientation_of(exif)  # both decoders turn a TIFF upright
    full_size = (width, height) if turn > 4 else (height, width)
    facts = exif_.facts_of(exif, bits=pixels.itemsize * 8, colour_space=space)
    facts = replace(facts, jpeg_quality=_jpeg_quality(image))
    return Decoded(upright(pixels, turn), full_size, facts)


def open_picture(kind: str, data: bytes) -> ImageFile.ImageFile:
    """Read the header alone, of whatever size; the kind is one of `format_of` but camera RAW."""
    stream = io.BytesIO(data)
    try:
        return _heif_plugin()(stream) if kind == "HEIC" else _PLUGINS[kind](stream)
    except SyntaxError as error:
        unread = unread_header(kind, data, str(error))
        if unread is None:
            raise
        raise unread from error


def _heif_plugin() -> type[ImageFile.ImageFile]:
    try:
        from pi_heif import HeifImageFile
    except ImportError as error:
        raise missing_extra("HEIC photo", "heic") from error
    plugin: type[ImageFile.ImageFile] = HeifImageFile
    return plugin


def _check_kind(image: ImageFile.ImageFile, kind: str) -> None:
    """Refuse what is no single colour photograph, by its header."""
    if kind in ("PNG", "TIFF", "WEBP") and getattr(image, "n_frames", 1) > 1:
        raise UndecodableError(
            "unsupported_format",
            "holds several pictures (pages or an animation). "
            "Expected one photograph per file. Save each by itself.",
        )
    if image.mode in _GRAY_MODES:
        raise UndecodableError("not_colour", GRAY)
    if image.mode in _PALETTE_MODES:
        raise UndecodableError(
            "unsupported_format",
            "has a palette of at most 256 colours: shades that a score rests on are gone. "
            "Expected a photograph as the camera took it. Use the original file.",
        )
    if image.mode not in _COLOUR_MODES:
        raise UndecodableError(
            "unsupported_format",
            f"is a {image.mode} image, made for printing or editing. "
            "Expected RGB. Use the camera's original file, or export it as sRGB.",
        )
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        check_compression(image.tag_v2.get(259, 1), is_16_bit=_is_16_bit(image))
    if kind == "BMP" and any(";1" in str(tile.args) for tile in image.tile):  # BGR;15 and BGR;16
        raise UndecodableError(
            "unsupported_format",
            "keeps 5 or 6 bits of a colour: shades that a score rests on are gone. "
            "Expected 8 bits. Use the camera's original file.",
        )
    if isinstance(image, TiffImagePlugin.TiffImageFile) and image.tag_v2.get(284) == 2 and _is_16_bit(image):
        raise UndecodableError(
            "unsupported_format",
            "keeps its 16-bit colours in separate planes. "
            "Expected them pixel by pixel. Save it with the channels interleaved.",
        )
    gamma = image.info.get("gamma")
    is_told = "srgb" in image.info or "icc_profile" in image.info or image.info.get("cicp")
    if kind == "PNG" and gamma and not is_told and abs(gamma / _SRGB_GAMMA - 1) > _GAMMA_OFF:
        raise UndecodableError(
            "unsupported_format",
            f"is stored with a gamma of {gamma:g}. Expected sRGB. Export it as sRGB.",
        )
    primaries = image.info.get("chromaticity", _SRGB_PRIMARIES)
    off = max(abs(one - ours) for one, ours in zip(primaries, _SRGB_PRIMARIES, strict=True))
    if kind == "PNG" and not is_told and off > _PRIMARY_OFF:
        raise UndecodableError(
            "unsupported_format",
            "is stored with other primary colours than those of sRGB, without a profile. Expected sRGB. "
            "Export it as sRGB.",
        )


def _pixels(image: ImageFile.ImageFile, kind: str, data: bytes, limits: Limits) -> Pixels:
    """Decode to RGB."""
    if kind == "JPEG":
        return _jpeg_pixels(image, data, limits)
    deep = _is_16_bit(image)
    if kind in ("HEIC", "WEBP") and not data[-_BLANK_END_BYTES:].strip(b"\0"):
        raise OSError("its end is blank")
    image.load()
    if deep:
        return _deep_pixels(data)
    if image.mode not in ("RGB", "YCbCr") or "transparency" in image.info:
        return check_opaque(np.asarray(image.convert("RGBA")))
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))  # convert copies RGB too


def _jpeg_pixels(image: ImageFile.ImageFile, data: bytes, limits: Limits) -> npt.NDArray[np.uint8]:
    """Decode a JPEG, at 1/2, 1/4 or 1/8 where that leaves pixels enough.

    The end marker cannot occur inside the coded picture, so without one behind the header the file was
    cut off, or filled up with zeros. Codes that do not fit the picture are an error; what cameras are known
    to write otherwise than the standard says is none: zeros before the end marker, a header of their own.
    """
    assert image.fp is not None
    start = image.fp.tell()
    if data.rfind(_END_OF_JPEG) < start:
        raise OSError("the end of the picture is missing")
    if is_lossless(data):
        raise unread_jpeg("compressed without loss")
    refuse_many_scans(data)
    if not image.info.get("progressive") and data[start - 3 : start] != _WHOLE_SPECTRUM:
        data = data[: start - 3] + _WHOLE_SPECTRUM + data[start:]
    width, height = image.size
    shrink = next(step for step in _SHRINK_FLAGS if step <= limits.factor(width, height))
    size = {"min_height": -(-height // shrink), "min_width": -(-width // shrink)}
    try:
        pixels = simplejpeg.decode_jpeg(data, "RGB", **size)
    except ValueError as error:
        if _ODD_BUT_WHOLE.search(str(error)):
            flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION | _SHRINK_FLAGS[shrink]
            return _decoded_by_opencv(data, flags).astype(np.uint8, copy=False)
        end = data.find(_END_OF_JPEG, start)
        coded = data[:end].rstrip(b"\0")
        if len(coded) == end:
            raise
        pixels = simplejpeg.decode_jpeg(coded + _END_OF_JPEG, "RGB", **size)
    return np.asarray(pixels, np.uint8)


def _jpeg_quality(image: ImageFile.ImageFile) -> int | None:
    """Quality 1 to 100 at which libjpeg would have made this luminance table; None if it is no JPEG.

    Notes
    -----
    libjpeg scales the table of ITU-T T.81, annex K, by 50 / q below q = 50 and by 2 - q / 50 above, entry by
    entry; the ratio of the sums tells the scale whatever the order of the entries.
    """
    tables: dict[int, list[int]] = getattr(image, "quantization", {})
    if not tables.get(0):
        return None
    scale = sum(tables[0]) / _ANNEX_K_LUMINANCE_SUM
    quality = 50 / scale if scale > 1 else 50 * (2 - scale)
    return int(np.clip(round(quality), 1, 100))


def _png_colour_codes(data: bytes) -> bytes:
    """What the chunk ``cICP`` says, empty where there is none or it leaves the colours open.

    On the way to the end marker: OpenCV would search for minutes behind a chunk longer than the file.
    """
    place, codes = 8, _UNSPECIFIED
    while (kind := data[place + 4 : place + 8]) != b"IEND":
        length = int.from_bytes(data[place : place + 4], "big")
        if kind == b"cICP":
            codes = data[place + 8 : place + 8 + length]
        place += 12 + length
        if place >= len(data):
            raise OSError("the end of the picture is missing")
    if len(codes) != 4 or codes[2:] != _FULL_RGB:
        raise UndecodableError(
            "unsupported_format",
            f"has a chunk cICP that is not read ({codes[:8].hex(' ') or 'empty'}). Expected four bytes with "
            "00 01 at their end: RGB of full range. Export it as sRGB.",
        )
    return b"" if codes == _UNSPECIFIED else codes


def _bmp_profile(data: bytes) -> dict[str, bytes]:
    """What a BMP with a header of version 4 or 5 embeds as its profile; Pillow leaves it out.

    References
    ----------
    BITMAPV5HEADER (learn.microsoft.com, wingdi.h).
    """
    header = data[14:138]
    size = int.from_bytes(header[:4], "little")
    space = header[56:60][::-1] if size >= 108 else b""
    if space == b"MBED" and size >= 124:
        start, length = struct.unpack_from("<II", header, 112)
        return {"icc_profile": data[14 + start : 14 + start + length]}
    is_calibrated = space == bytes(4) and any(header[60:108])  # all zeros tell nothing
    if is_calibrated or space in (b"LINK", b"MBED"):
        raise UndecodableError(
            "unsupported_format",
            "is a BMP in a colour space of its own (calibrated, or a profile in another file). "
            "Expected sRGB, or a profile within. Export it as sRGB.",
        )
    return {}


def _deep_pixels(data: bytes) -> Pixels:
    """Decode 16 bits per channel; Pillow has found the file whole before."""
    bgr = _decoded_by_opencv(data, cv2.IMREAD_UNCHANGED)
    if bgr.dtype != np.uint16 or bgr.ndim != 3:
        raise OSError(f"decoded to {bgr.dtype}")
    has_alpha = bgr.shape[2] == 4
    rgb = cv2.cvtColor(bgr, cv2.COLOR_BGRA2RGBA if has_alpha else cv2.COLOR_BGR2RGB).astype(
        np.uint16, copy=False
    )
    return check_opaque(rgb) if has_alpha else rgb


def _decoded_by_opencv(data: bytes, flags: int) -> Numbers:
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if pixels is None:
        raise OSError("the picture is damaged")
    return np.asarray(pixels)


def _is_16_bit(image: ImageFile.ImageFile) -> bool:
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return bool(max(image.tag_v2.get(258, (8,))) == 16)
    return image.format == "PNG" and any("16" in str(tile.args) for tile in image.tile)


def _is_raw(directory: Image.Exif) -> bool:
    """Tell a camera RAW: a DNG version, a colour mosaic, or a first picture that only previews another."""
    kind = directory.get(254)
    is_preview = isinstance(kind, int) and kind % 2 == 1
    return is_preview or 50706 in directory or directory.get(262) == 32803


def _to_srgb(pixels: Pixels, image: ImageFile.ImageFile, exif: Image.Exif) -> tuple[Pixels, str]:
    """Convert by colour codes or the profile, else by what EXIF declares; name where it came from."""
    if codes := image.info.get("cicp"):  # goes before a profile (PNG, third edition)
        coded = _coded_space(codes[0], codes[1], "PNG picture") or "sRGB"
        return (pixels, coded) if coded == "sRGB" else (known_space(coded).to_srgb(pixels), coded)
    if "icc_profile" in image.info and not (image.format == "HEIF" and not image.info["icc_profile"]):
        try:
            return icc_to_srgb(pixels, bytes(image.info["icc_profile"] or b""))
        except BadProfileError as error:
            raise UndecodableError("unreadable", _BAD_PROFILE) from error
    space = _heif_space(image) or exif_.space_by_exif_alone(image, exif)
    if space in (None, "sRGB"):
        return pixels, space or "untagged (taken as sRGB)"
    return known_space(space).to_srgb(pixels), space


def _heif_space(image: ImageFile.ImageFile) -> str | None:
    codes = image.info.get("nclx_profile") or {}
    primaries, transfer = codes.get("color_primaries", 2), codes.get("transfer_characteristics", 2)
    return _coded_space(primaries, transfer, "HEIC photo")


def _coded_space(primaries: int, transfer: int, what: str) -> str | None:
    """Read colour codes (ITU-T H.273: primaries 1 BT.709, 12 P3, 2 unspecified; transfer 13 sRGB)."""
    if primaries == 2 and transfer == 2:
        return None
    if primaries in (1, 2, 12) and transfer in (1, 2, 6, 13):
        return "Display P3" if primaries == 12 else "sRGB"
    if transfer in _HIGH_RANGE:
        found, do = f"a high-dynamic-range {what}", "Turn HDR off in the camera, or export it as JPEG."
    else:
        found, do = (
            f"a {what} of other colours (codes {primaries} and {transfer})",
            "Export it as JPEG in sRGB.",
        )
    raise UndecodableError("unsupported_format", f"is {found}. Expected sRGB or Display P3. {do}")
