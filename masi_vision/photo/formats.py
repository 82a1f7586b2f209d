"""Which kind of picture a file is, told by its first bytes; its name only helps with camera RAW."""

from __future__ import annotations

from masi_vision.errors import ReasonCode, how_to_install

RAW_SUFFIXES = (".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2")

EXPECTED = "Expected a colour photograph as JPEG, PNG, TIFF, WebP, BMP, HEIC or camera RAW."

_READ = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"BM", "BMP"),
    (b"FUJIFILMCCD-RAW", "RAW"),
    (b"IIRO", "RAW"),
    (b"IIRS", "RAW"),
    (b"MMOR", "RAW"),
    (b"IIU\0", "RAW"),
)
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")
_NOT_READ = (
    (b"GIF8", "a GIF image of at most 256 colours"),
    (b"%PDF", "a PDF document"),
    (b"8BPS", "a Photoshop document"),
    (b"PK\x03\x04", "a ZIP archive or office document"),
    (b"\0\0\0\x0cjP", "a JPEG 2000 image"),
    (b"\0\0\0\x0cJXL", "a JPEG XL image"),
    (b"\xff\x0a", "a JPEG XL image"),
)
_WEBP, _ZSTD, _LZMA = 50001, 50000, 34925
_COMPRESSIONS = {
    **{_WEBP: "WebP", _ZSTD: "ZSTD", _LZMA: "LZMA"},
    **{34712: "JPEG 2000", 34887: "LERC", 50002: "JPEG XL"},
}
"""Values of TIFF's tag 259 that are not read, or not in every installation."""


class UndecodableError(Exception):
    """What is wrong with a file's content, as a sentence that lacks its subject, the file's name."""

    def __init__(self, reason: ReasonCode, sentence: str) -> None:
        """Keep the reason code and the sentence."""
        super().__init__(sentence)
        self.reason: ReasonCode = reason
        self.sentence = sentence


def format_of(data: bytes, suffix: str) -> str:
    """Name the format, "JPEG", "PNG", "TIFF", "WEBP", "BMP", "HEIC" or "RAW", or refuse the file."""
    if data[:4] in _TIFF:
        is_raw = suffix in RAW_SUFFIXES or data[8:10] == b"CR"
        return "RAW" if is_raw else "TIFF"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"ftyp":
        return _boxed_format(data)
    for signature, name in _READ:
        if data.startswith(signature):
            return name
    raise _refusal(data)


def _boxed_format(data: bytes) -> str:
    """Tell HEIC, Canon CR3, AVIF and videos apart, which share one container."""
    if data[8:12] == b"crx ":
        return "RAW"
    brands = data[8 : min(64, int.from_bytes(data[:4], "big"))]
    if b"avif" in brands or b"avis" in brands:
        raise _unsupported("an AVIF image")
    if data[8:12] in _HEIC_BRANDS:
        return "HEIC"
    raise _unsupported("a video or another container")


def _refusal(data: bytes) -> UndecodableError:
    for signature, words in _NOT_READ:
        if data.startswith(signature):
            return _unsupported(words)
    if data[128:132] == b"DICM":
        return _unsupported("a DICOM file")
    return UndecodableError(
        "unreadable", f"is not a picture. {EXPECTED} Check that the right file was copied."
    )


def _unsupported(words: str) -> UndecodableError:
    return UndecodableError("unsupported_format", f"is {words}. {EXPECTED} Use the camera's original file.")


def missing_extra(words: str, extra: str) -> UndecodableError:
    """Say which extra reads this format."""
    return UndecodableError(
        "unsupported_format",
        f"is a {words}, which this installation cannot read. Expected JPEG, PNG or TIFF, "
        f"or the extra for it. {how_to_install(extra)}",
    )


def unread_header(kind: str, data: bytes, words: str) -> UndecodableError | None:
    """A file that Pillow does not open, in its words, though it may be whole; None for damage."""
    if kind == "JPEG" and "-bit layers" in words:
        return unread_jpeg("of more than 8 bits")
    if kind != "TIFF":
        return None
    if data[:4] == b"MM\0+":
        what = "a BigTIFF whose numbers begin with their high byte"
        expected = "a TIFF of less than 4 GB, or numbers that begin with their low byte"
    elif words.isdigit():  # the key that is not in Pillow's table of compressions
        return _unread_compression(int(words))
    elif "unknown pixel mode" in words:
        what = "a TIFF of a kind that is not read (numbers with a fraction or a sign, or more than 16 bits)"
        expected = "8 or 16 bits of a colour"
    else:
        return None
    return UndecodableError(
        "unsupported_format", f"is {what}. Expected {expected}. Export it so, or as JPEG."
    )


def unread_jpeg(what: str) -> UndecodableError:
    """Say which kind of JPEG is not read."""
    return UndecodableError(
        "unsupported_format",
        f"is a JPEG {what}, which is not read. Expected 8 bits of a colour, compressed as cameras do. "
        "Export it as JPEG or TIFF.",
    )


def _unread_compression(number: int) -> UndecodableError:
    name = _COMPRESSIONS.get(number, f"its number {number} says")
    return UndecodableError(
        "unsupported_format",
        f"is a TIFF compressed as {name}, which is not read. Expected no compression, LZW, Deflate or JPEG. "
        "Export it so, or as JPEG.",
    )


def check_compression(number: int, *, is_16_bit: bool) -> None:
    """Refuse a TIFF that Pillow, or at 16 bits OpenCV, opens and then may not decode."""
    if number == _WEBP or (is_16_bit and number in (_ZSTD, _LZMA)):
        raise _unread_compression(number)
