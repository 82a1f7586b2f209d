"""JPEG files without a word of who, when or with what: the coded picture is kept bit by bit.

References
----------
ITU-T T.81, annex B (markers). JFIF 1.02. Adobe Technical Note 5116 (APP14, which says how the colours are
coded). Exif 2.32, 4.5.4 (orientation).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from masi_vision.blinding.colour_profile import clean_profile, profile_leaks
from masi_vision.errors import LeakError

EOI, SOS, APP0, APP1, APP2, APP14, APP15 = 0xD9, 0xDA, 0xE0, 0xE1, 0xE2, 0xEE, 0xEF
_MOST_CONTENT = 65533
_PICTURE = frozenset(
    (0xC4, 0xCC, 0xDB, 0xDD, SOS, *range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC))
)
"""Tables, frames, scans and restart intervals: what the pixels are made of."""
_PLAIN_JFIF = b"JFIF\0\x01\x02\0\0\x01\0\x01\0\0"
_ICC, _ICC_PART = b"ICC_PROFILE\0", 65519
_ADOBE = struct.Struct(">5sHHHB")


@dataclass(frozen=True)
class Segment:
    """A marker with what belongs to it; of a scan its coded data too."""

    marker: int
    content: bytes
    coded: bytes = b""


def segments_of(data: bytes) -> Iterator[Segment]:
    """The segments from the start marker to the end marker; what stands behind is passed over.

    Raises
    ------
    LeakError
        The file is damaged: nobody can say what is in it.
    """
    place = 2
    while True:
        start = place
        while data[place : place + 1] == b"\xff":
            place += 1
        if place in (start, len(data)):
            raise LeakError("is damaged or cut off")
        marker = data[place]
        place += 1
        if marker == EOI:
            return
        if marker < 0xC0 or 0xD0 <= marker <= 0xD8 or place + 2 > len(data):
            raise LeakError("is damaged or cut off")
        length = int.from_bytes(data[place : place + 2], "big")
        content = data[place + 2 : place + length]
        if length < 2 or len(content) != length - 2:
            raise LeakError("is cut off")
        place += length
        end = _end_of_scan(data, place) if marker == SOS else place
        yield Segment(marker, content, data[place:end])
        place = end


def _end_of_scan(data: bytes, place: int) -> int:
    """Where the coded data end: before the first marker that is no restart."""
    while True:
        place = data.find(b"\xff", place)
        if place < 0 or place + 1 >= len(data):
            raise LeakError("is cut off")
        following = data[place + 1]
        if following == 0xFF:
            place += 1
        elif following == 0 or 0xD0 <= following <= 0xD7:
            place += 2
        else:
            return place


def strip_jpeg(data: bytes, *, orientation: int, padding: int) -> bytes:
    """The same picture with nothing else: tables and coded data as they are.

    Parameters
    ----------
    orientation : int
        1 to 8, as Exif says it: where it is not 1, it is all that is said.
    padding : int
        So many zeros are added in segments of their own: two copies of a photograph differ in size.

    Raises
    ------
    LeakError
        The file is damaged, or its colour profile cannot be cleaned.
    """
    parts = list(segments_of(data))
    kept: list[Segment] = []
    if any(part.marker == APP0 and part.content.startswith(b"JFIF\0") for part in parts):
        kept.append(Segment(APP0, _PLAIN_JFIF))
    if orientation != 1:
        kept.append(Segment(APP1, orientation_alone(orientation)))
    icc = _profile_of(parts)
    if icc:
        clean = clean_profile(icc)
        pieces = [clean[first : first + _ICC_PART] for first in range(0, len(clean), _ICC_PART)]
        kept += [
            Segment(APP2, _ICC + bytes((number, len(pieces))) + piece)
            for number, piece in enumerate(pieces, 1)
        ]
    kept += [Segment(APP14, _plain_adobe(part.content)) for part in parts if _is_adobe(part)][:1]
    kept += [part for part in parts if part.marker in _PICTURE]
    zeros = [min(_MOST_CONTENT, padding - first) for first in range(0, padding, _MOST_CONTENT)]
    kept = [*(Segment(APP15, bytes(count)) for count in zeros), *kept]
    # JFIF, where there is one, comes first.
    kept.sort(key=lambda part: part.content is not _PLAIN_JFIF)
    return b"\xff\xd8" + b"".join(map(_written, kept)) + b"\xff\xd9"


def _written(part: Segment) -> bytes:
    head = bytes((0xFF, part.marker)) + (len(part.content) + 2).to_bytes(2, "big")
    return head + part.content + part.coded


def orientation_alone(orientation: int) -> bytes:
    """An Exif block that holds the orientation and nothing else."""
    return b"Exif\0\0MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)


def _profile_of(parts: list[Segment]) -> bytes:
    """The colour profile, put together from its parts in their order."""
    pieces = sorted(
        (part.content[len(_ICC)], part.content[len(_ICC) + 2 :])
        for part in parts
        if part.marker == APP2 and part.content.startswith(_ICC) and len(part.content) > len(_ICC) + 2
    )
    return b"".join(piece for _, piece in pieces)


def _is_adobe(part: Segment) -> bool:
    return part.marker == APP14 and part.content.startswith(b"Adobe") and len(part.content) >= _ADOBE.size


def _plain_adobe(content: bytes) -> bytes:
    """Which colour transform, and no flags."""
    return _ADOBE.pack(b"Adobe", 100, 0, 0, content[_ADOBE.size - 1])


def jpeg_leaks(data: bytes) -> list[str]:
    """What a coded JPEG says beside its picture, a phrase each; empty where it says nothing."""
    try:
        parts = list(segments_of(data))
    except LeakError as error:
        return [str(error)]
    found = [name for part in parts for name in _leaks_of(part)]
    icc = _profile_of(parts)
    if icc:
        found += profile_leaks(icc)
    if b"\xff\xd8" + b"".join(map(_written, parts)) + b"\xff\xd9" != data:
        found.append("bytes behind the picture")
    return found


def _leaks_of(part: Segment) -> Iterator[str]:
    known = {APP0: (_PLAIN_JFIF,), APP1: tuple(orientation_alone(turn) for turn in range(1, 9))}
    if part.marker in _PICTURE or (part.marker == APP2 and part.content.startswith(_ICC)):
        return
    if _is_adobe(part) and part.content == _plain_adobe(part.content):
        return
    if part.marker == APP15 and not any(part.content):
        return
    if part.content not in known.get(part.marker, ()):
        yield _NAMES.get(part.marker, f"a segment 0x{part.marker:02X}")


_NAMES = {
    APP0: "more than a plain JFIF header",
    APP1: "Exif or XMP",
    APP2: "a second picture or an unknown block",
    0xED: "IPTC",
    APP14: "more than a plain Adobe marker",
    0xFE: "a comment",
}
