"""PNG files without a word of who, when or with what: the coded picture is kept byte by byte.

References
----------
PNG (Third Edition), W3C Recommendation 2025: 5 (chunks), 11 (chunk types).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from masi_vision.blinding.colour_profile import clean_profile, profile_leaks
from masi_vision.errors import LeakError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PICTURE = (b"IHDR", b"PLTE", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"sBIT", b"cICP")
_PROFILE_NAME = b"icc"
_PADDING = b"paDd"

Chunk = tuple[bytes, bytes]


def chunks_of(data: bytes) -> Iterator[Chunk]:
    """Kind and content of every chunk to the end marker; what stands behind is passed over.

    Raises
    ------
    LeakError
        The file is damaged.
    """
    place = len(SIGNATURE)
    while True:
        head = data[place : place + 8]
        if len(head) < 8:
            raise LeakError("is cut off")
        length, kind = struct.unpack(">I4s", head)
        content = data[place + 8 : place + 8 + length]
        if len(content) != length:
            raise LeakError("is cut off")
        yield kind, content
        place += 12 + length
        if kind == b"IEND":
            return


def strip_png(data: bytes, *, padding: int) -> bytes:
    """The same picture with nothing else.

    Parameters
    ----------
    padding : int
        So many zeros are added in a chunk that no program reads: two copies of a photograph differ in size.

    Raises
    ------
    LeakError
        The file is damaged.
    """
    parts = list(chunks_of(data))
    out = [(kind, content) for kind, content in parts if kind in _PICTURE]
    profile = next((content for kind, content in parts if kind == b"iCCP"), None)
    if profile is not None:
        clean = zlib.compress(clean_profile(_unpacked(profile)), 9)
        out.insert(1, (b"iCCP", _PROFILE_NAME + b"\0\0" + clean))
    out += [(kind, content) for kind, content in parts if kind == b"IDAT"]
    out.append((_PADDING, bytes(padding)))
    return SIGNATURE + b"".join(_written(*one) for one in (*out, (b"IEND", b"")))


def _unpacked(content: bytes) -> bytes:
    try:
        return zlib.decompress(content[content.index(b"\0") + 2 :])
    except (ValueError, zlib.error) as error:
        raise LeakError("carries a damaged colour profile") from error


def _written(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(kind + content)
    return struct.pack(">I4s", len(content), kind) + content + struct.pack(">I", check)


def png_leaks(data: bytes) -> list[str]:
    """What a coded PNG says beside its picture, a phrase each; empty where it says nothing."""
    try:
        parts = list(chunks_of(data))
    except LeakError as error:
        return [str(error)]
    found = []
    for kind, content in parts:
        if kind == b"iCCP":
            named = not content.startswith(_PROFILE_NAME + b"\0\0")
            found += ["a named colour profile"] if named else profile_leaks(_unpacked(content))
        elif kind == _PADDING and not any(content):
            continue
        elif kind not in (*_PICTURE, b"IDAT", b"IEND"):
            found.append(f"a chunk {kind.decode('latin-1')}")
    if len(SIGNATURE) + sum(12 + len(content) for _, content in parts) != len(data):
        found.append("bytes behind the picture")
    return found
