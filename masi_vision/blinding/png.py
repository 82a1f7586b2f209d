"""PNG files without a word of who, when or with what: the coded picture is kept byte by byte.

References
----------
PNG (Third Edition), W3C Recommendation 2025: 5 (chunks), 8.1 (interlaced pictures), 10 (compression),
11 (chunk types).
"""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from masi_vision.blinding.colour_profile import clean_profile, profile_leaks
from masi_vision.errors import LeakError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PICTURE = (b"IHDR", b"PLTE", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"sBIT", b"cICP")
_LENGTHS = {b"IHDR": 13, b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"cICP": 4}
"""Of the chunks that are as long in every picture."""
_PALETTE = 3
_CHANNELS = {0: 1, 2: 3, _PALETTE: 1, 4: 2, 6: 4}
_BIT_COUNTS = {**_CHANNELS, _PALETTE: 3}
"""Bytes of sBIT by the kind of colour."""
_CLEAR_COLOUR = {0: 2, 2: 6}
"""Bytes of tRNS by the kind of colour; a palette has one for each entry, other kinds none."""
_DEPTHS = (1, 2, 4, 8, 16)
_WHOLE = ((0, 0, 1, 1),)
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Passes of an interlaced picture: first column and row, step between columns and rows."""
_PIECE = 1 << 16
_PROFILE_NAME = b"icc"
_PADDING = b"paDd"

Chunk = tuple[bytes, bytes]


@dataclass(frozen=True)
class _Header:
    """What IHDR says of the coded picture."""

    width: int
    height: int
    depth: int
    colour: int
    is_interlaced: bool

    @property
    def length(self) -> int:
        """Bytes of all rows before they are compressed, the byte in front that names a row's filter too."""
        bits = self.depth * _CHANNELS[self.colour]
        total = 0
        for left, top, across, down in _ADAM7 if self.is_interlaced else _WHOLE:
            columns, rows = -((left - self.width) // across), -((top - self.height) // down)
            total += rows * (1 + (columns * bits + 7) // 8) if columns > 0 and rows > 0 else 0
        return total


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
    out = list(_plain_chunks(parts).items())
    profiles = [content for kind, content in parts if kind == b"iCCP"]
    if profiles:
        clean = zlib.compress(clean_profile(_unpacked(profiles[-1])), 9)
        out.insert(1, (b"iCCP", _PROFILE_NAME + b"\0\0" + clean))
    out += [(b"IDAT", content) for content in _plain_codes(parts)]
    out.append((_PADDING, bytes(padding)))
    return SIGNATURE + b"".join(_written(*one) for one in (*out, (b"IEND", b"")))


def _header(parts: Sequence[Chunk]) -> _Header:
    content = dict(parts).get(b"IHDR", b"")
    if len(content) < _LENGTHS[b"IHDR"]:
        raise LeakError("is damaged")
    width, height, depth, colour, _, _, interlace = struct.unpack_from(">IIBBBBB", content)
    if colour not in _CHANNELS or depth not in _DEPTHS:
        raise LeakError("is damaged")
    return _Header(width, height, depth, colour, interlace == 1)


def _plain_chunks(parts: Sequence[Chunk]) -> dict[bytes, bytes]:
    """Each chunk of the picture once, as long as its kind has it; one that is too short is left out.

    Notes
    -----
    Where a kind is there twice, the last counts: so the pixels were read. A palette beside colours that are
    no numbers of it paints nothing.
    """
    header = _header(parts)
    last = {kind: content for kind, content in parts if kind in _PICTURE}
    has_palette = header.colour == _PALETTE
    entries = min(len(last.get(b"PLTE", b"")) // 3, 1 << header.depth) if has_palette else 0
    clear = min(entries, len(last.get(b"tRNS", b""))) if has_palette else _CLEAR_COLOUR.get(header.colour, 0)
    lengths = _LENGTHS | {b"PLTE": 3 * entries, b"tRNS": clear, b"sBIT": _BIT_COUNTS[header.colour]}
    return {
        kind: content[: lengths[kind]] for kind, content in last.items() if 0 < lengths[kind] <= len(content)
    }


def _plain_codes(parts: Sequence[Chunk]) -> list[bytes]:
    """The compressed rows, without what stands behind them, packed or not.

    Raises
    ------
    LeakError
        There are fewer rows than the header says.
    """
    given = [content for kind, content in parts if kind == b"IDAT"]
    packed = b"".join(given)
    held, used = _measured(packed)
    length = _header(parts).length
    if held < length:
        raise LeakError("is cut off")
    if held > length:
        return [zlib.compress(zlib.decompressobj().decompress(packed, length))]
    return given if used == len(packed) else [packed[:used]]


def _measured(packed: bytes) -> tuple[int, int]:
    """How many bytes a zlib stream holds, and how many it takes itself."""
    stream, held = zlib.decompressobj(), 0
    for start in range(0, len(packed), _PIECE):
        piece = packed[start : start + _PIECE]
        try:
            held += len(stream.decompress(piece))
        except zlib.error as error:
            raise LeakError("is damaged") from error
        if stream.eof:
            return held, start + len(piece) - len(stream.unused_data)
    raise LeakError("is cut off")


def _packed(content: bytes) -> bytes:
    """The compressed profile of an iCCP chunk, behind its name."""
    return content[content.find(b"\0") + 2 :]


def _unpacked(content: bytes) -> bytes:
    try:
        return zlib.decompress(_packed(content))
    except zlib.error as error:
        raise LeakError("carries a damaged colour profile") from error


def _written(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(kind + content)
    return struct.pack(">I4s", len(content), kind) + content + struct.pack(">I", check)


def png_leaks(data: bytes) -> list[str]:
    """What a coded PNG says beside its picture, a phrase each; empty where it says nothing."""
    try:
        parts = list(chunks_of(data))
        found = [*_chunk_leaks(parts), *_code_leaks(parts)]
    except LeakError as error:
        return [str(error)]
    whole = SIGNATURE + b"".join(_written(*one) for one in parts)
    if not data.startswith(whole):
        found.append("a checksum that is none")
    if len(whole) != len(data):
        found.append("bytes behind the picture")
    return found


def _chunk_leaks(parts: Sequence[Chunk]) -> Iterator[str]:
    plain = _plain_chunks(parts)
    counts = Counter(kind for kind, _ in parts)
    for kind, content in parts:
        if kind == b"iCCP":
            yield from _profile_leaks(content)
        elif kind in _PICTURE or kind == b"IEND":
            if content != plain.get(kind, b""):
                yield f"a chunk {kind.decode()} with more than belongs there"
        elif kind != b"IDAT" and (kind != _PADDING or any(content)):
            yield f"a chunk {kind.decode('latin-1')}"
    once = {*_PICTURE, b"iCCP"}
    yield from (
        f"a chunk {kind.decode()} more than once" for kind in counts if kind in once and counts[kind] > 1
    )


def _profile_leaks(content: bytes) -> list[str]:
    if not content.startswith(_PROFILE_NAME + b"\0\0"):
        return ["a named colour profile"]
    if _measured(_packed(content))[1] != len(_packed(content)):
        return ["bytes behind its colour profile"]
    return profile_leaks(_unpacked(content))


def _code_leaks(parts: Sequence[Chunk]) -> Iterator[str]:
    if _plain_codes(parts) != [content for kind, content in parts if kind == b"IDAT"]:
        yield "bytes behind its coded picture"
