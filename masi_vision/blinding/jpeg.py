"""JPEG files without a word of who, when or with what: the coded picture is kept bit by bit.

References
----------
JFIF 1.02. Adobe Technical Note 5116 (APP14, which says how the colours are
coded). Exif 2.32, 4.5.4 (orientation).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import replace

import simplejpeg

from masi_vision.blinding.colour_profile import clean_profile, profile_leaks
from masi_vision.blinding.jpeg_segment import SOS, Segment, segments_of
from masi_vision.blinding.jpeg_tables import PICTURE, plain_picture
from masi_vision.errors import LeakError

APP0, APP1, APP2, APP14, APP15 = 0xE0, 0xE1, 0xE2, 0xEE, 0xEF
_MOST_CONTENT = 65533
_PLAIN_JFIF = b"JFIF\0\x01\x02\0\0\x01\0\x01\0\0"
_ICC, _ICC_PART = b"ICC_PROFILE\0", 65519
_ADOBE = struct.Struct(">5sHHHB")
_PROGRESSIVE = frozenset((0xC2, 0xC6, 0xCA))
_WHOLE_SPECTRUM = b"\0\x3f\0"
"""The last bytes of a scan's header in a JPEG that is not progressive, whatever the camera wrote there."""
_UNKNOWN = ("Could not determine subsampling", "Unknown Adobe", "Unsupported")
"""What the decoder says of a picture that it does not take, or not to the end."""


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
    kept += _without_surplus(plain_picture(parts))
    zeros = [min(_MOST_CONTENT, padding - first) for first in range(0, padding, _MOST_CONTENT)]
    kept = [*(Segment(APP15, bytes(count)) for count in zeros), *kept]
    # JFIF, where there is one, comes first.
    kept.sort(key=lambda part: part.content is not _PLAIN_JFIF)
    return _file(kept)


def _file(parts: Sequence[Segment]) -> bytes:
    return b"\xff\xd8" + b"".join(map(_written, parts)) + b"\xff\xd9"


def _without_surplus(picture: list[Segment]) -> list[Segment]:
    """The picture without the zeros that some cameras write behind the codes of a scan.

    Raises
    ------
    LeakError
        Other bytes stand there.
    """
    if _fault_of(picture) is None:
        return picture
    cut = [replace(part, coded=_without_zeros(part.coded)) for part in picture]
    fault = _fault_of(cut)
    if fault is not None:
        raise LeakError(f"carries {fault}")
    return cut


def _without_zeros(coded: bytes) -> bytes:
    """Without zeros at the end; one behind 0xFF belongs to it."""
    cut = coded.rstrip(b"\0")
    return cut + b"\0" if cut.endswith(b"\xff") else cut


def _fault_of(picture: Sequence[Segment]) -> str | None:
    """What stands among the codes beside those of the pixels, as far as the decoder finds it.

    Notes
    -----
    libjpeg reads some bytes ahead: the last seven behind the codes it may not notice.
    """
    if not any(part.marker in _PROGRESSIVE for part in picture):
        picture = [
            replace(part, content=part.content[:-3] + _WHOLE_SPECTRUM) if part.marker == SOS else part
            for part in picture
        ]
    try:
        simplejpeg.decode_jpeg(_file(picture), "RGB", min_height=1, min_width=1)
    except ValueError as error:
        if not any(words in str(error) for words in _UNKNOWN):
            is_surplus = "extraneous bytes" in str(error)
            return "bytes behind its codes" if is_surplus else "codes that do not fit the picture"
    return None


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
    found += _picture_leaks(parts)
    icc = _profile_of(parts)
    if icc:
        found += profile_leaks(icc)
    if _file(parts) != data:
        found.append("bytes behind the picture")
    return found


def _picture_leaks(parts: Sequence[Segment]) -> list[str]:
    picture = [part for part in parts if part.marker in PICTURE]
    try:
        plain = plain_picture(picture)
    except LeakError as error:
        return [str(error)]
    if plain != picture:
        return ["tables or headers with more than its picture needs"]
    fault = _fault_of(picture)
    return [fault] if fault else []


def _leaks_of(part: Segment) -> Iterator[str]:
    known = {APP0: (_PLAIN_JFIF,), APP1: tuple(orientation_alone(turn) for turn in range(1, 9))}
    if part.marker in PICTURE or (part.marker == APP2 and part.content.startswith(_ICC)):
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
