"""Colour profiles without names, dates and makers: what converts colours is kept, tag by tag.

References
----------
ICC.1:2022 (version 4.4): 7.2 (header), 7.3 (tag table), 9.2 (tags), 10.15 (multiLocalizedUnicodeType);
ICC.1:2001-04 (version 2), 6.5.17 (textDescriptionType).
"""

from __future__ import annotations

import struct

from masi_vision.errors import LeakError

COLOUR_TAGS = frozenset(
    (
        *(b"rXYZ", b"gXYZ", b"bXYZ", b"rTRC", b"gTRC", b"bTRC", b"wtpt", b"bkpt", b"chad", b"chrm", b"lumi"),
        *(b"A2B0", b"A2B1", b"A2B2", b"B2A0", b"B2A1", b"B2A2", b"gamt", b"cicp"),
        *(b"D2B0", b"D2B1", b"D2B2", b"D2B3", b"B2D0", b"B2D1", b"B2D2", b"B2D3"),
    )
)
_HEADER, _MOST_TAGS = 128, 100
_DATE = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)
_NAME = "profile"


def clean_profile(icc: bytes) -> bytes:
    """The profile with the tags that convert colours, a header without date and maker, and a plain name.

    Raises
    ------
    LeakError
        The profile is damaged.
    """
    tags = _tags_of(icc)
    made = {key: body for key, body in tags.items() if key in COLOUR_TAGS}
    old = icc[8] < 4
    made[b"desc"] = _named_v2() if old else _named_v4()
    made[b"cprt"] = b"text\0\0\0\0\0" if old else _named_v4()
    place = _HEADER + 4 + 12 * len(made)
    table, bodies = struct.pack(">I", len(made)), b""
    for key in sorted(made):
        body = made[key] + b"\0" * (-len(made[key]) % 4)
        table += struct.pack(">4sII", key, place + len(bodies), len(made[key]))
        bodies += body
    whole = _plain_header(icc) + table + bodies
    return struct.pack(">I", len(whole)) + whole[4:]


def _plain_header(icc: bytes) -> bytes:
    """Version, class, spaces, intent and illuminant; all else zero, the date the same for all."""
    return b"\0\0\0\0\0\0\0\0" + icc[8:24] + _DATE + b"acsp" + bytes(24) + icc[64:80] + bytes(_HEADER - 80)


def profile_leaks(icc: bytes) -> list[str]:
    """What a profile says beside its colours; empty where it is as `clean_profile` leaves it."""
    try:
        return [] if clean_profile(icc) == icc else ["a colour profile with names, dates or makers"]
    except LeakError as error:
        return [str(error)]


def _tags_of(icc: bytes) -> dict[bytes, bytes]:
    try:
        if icc[36:40] != b"acsp":
            raise LeakError("carries a colour profile that is none")
        (count,) = struct.unpack_from(">I", icc, _HEADER)
        if count > _MOST_TAGS:
            raise LeakError("carries a damaged colour profile")
        entries = [struct.unpack_from(">4sII", icc, _HEADER + 4 + 12 * at) for at in range(count)]
    except (struct.error, IndexError) as error:
        raise LeakError("carries a damaged colour profile") from error
    if any(start + size > len(icc) for _, start, size in entries):
        raise LeakError("carries a colour profile that is cut off")
    return {key: icc[start : start + size] for key, start, size in entries}


def _named_v2() -> bytes:
    text = _NAME.encode("ascii") + b"\0"
    return b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(4 + 4 + 2 + 1 + 67)


def _named_v4() -> bytes:
    text = _NAME.encode("utf-16-be")
    return b"mluc\0\0\0\0" + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(text), 28) + text
