"""Colour profiles without names, dates and makers: what converts colours is kept, tag by tag.

References
----------
ICC.1:2022 (version 4.4): 7.2 (header), 7.3 (tag table), 9.2 (tags), 10 (types of tags: how long each is);
ICC.1:2001-04 (version 2), 6.5.17 (textDescriptionType).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from math import prod

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
_D50 = bytes.fromhex("0000f6d6 00010000 0000d32d")
"""White of every profile's header (7.2.16)."""
_DAMAGED, _CUT_OFF = "carries a damaged colour profile", "carries a colour profile that is cut off"
_CLASSES = (b"scnr", b"mntr", b"prtr", b"spac")
_SPACES = (b"RGB ", b"GRAY", b"CMYK", b"XYZ ", b"Lab ")
_PARAMETERS = (1, 3, 4, 5, 7)
"""Of a parametric curve, by its kind."""
_MATRIX = 48


def clean_profile(icc: bytes) -> bytes:
    """The profile with the tags that convert colours, a header without date and maker, and a plain name.

    Raises
    ------
    LeakError
        The profile is damaged.
    """
    tags = _tags_of(icc)
    made = {key: _plain_tag(body) for key, body in tags.items() if key in COLOUR_TAGS}
    old = icc[8] < 4
    made[b"desc"] = _named_v2() if old else _named_v4()
    made[b"cprt"] = b"text\0\0\0\0\0" if old else _named_v4()
    place = _HEADER + 4 + 12 * len(made)
    table, bodies = struct.pack(">I", len(made)), b""
    for key in sorted(made):
        body = _even(made[key])
        table += struct.pack(">4sII", key, place + len(bodies), len(made[key]))
        bodies += body
    whole = _plain_header(icc) + table + bodies
    return struct.pack(">I", len(whole)) + whole[4:]


def _even(body: bytes) -> bytes:
    """With zeros up to a multiple of four bytes."""
    return body + b"\0" * (-len(body) % 4)


def _plain_header(icc: bytes) -> bytes:
    """Version, class, spaces and intent; all else zero, date and white the same for all."""
    if icc[12:16] not in _CLASSES or icc[16:20] not in _SPACES or icc[20:24] not in _SPACES:
        raise LeakError(_DAMAGED)
    head = b"\0\0\0\0\0\0\0\0" + icc[8:10] + b"\0\0" + icc[12:24] + _DATE + b"acsp"
    made = head + bytes(27) + bytes((icc[67] & 3,)) + _D50
    return made + bytes(_HEADER - len(made))


def _plain_tag(body: bytes) -> bytes:
    """A tag as long as its own counts tell, with zeros where the standard has nothing.

    Raises
    ------
    LeakError
        It is shorter, or of a kind whose length is not known here: text would hide in it.
    """
    kind = body[:4]
    try:
        if kind in (b"mAB ", b"mBA "):
            return _plain_stages(body)
        if kind not in _LENGTHS:
            raise LeakError(f"carries a colour profile with a part of kind {kind!r}, which cannot be cleaned")
        length = _LENGTHS[kind](body)
    except (struct.error, IndexError) as error:
        raise LeakError(_CUT_OFF) from error
    if length > len(body):
        raise LeakError(_CUT_OFF)
    plain = bytearray(kind + bytes(4) + body[8:length])
    first, end = _RESERVED.get(kind, (0, 0))
    plain[first:end] = bytes(end - first)
    return bytes(plain)


def _curve_length(body: bytes) -> int:
    return int(12 + 2 * struct.unpack_from(">I", body, 8)[0])


def _parametric_length(body: bytes) -> int:
    (kind,) = struct.unpack_from(">H", body, 8)
    return 12 + 4 * _PARAMETERS[kind]


def _table8_length(body: bytes) -> int:
    inputs, outputs, points = body[8:11]
    return int(48 + 256 * inputs + points**inputs * outputs + 256 * outputs)


def _table16_length(body: bytes) -> int:
    inputs, outputs, points = body[8:11]
    before, after = struct.unpack_from(">HH", body, 48)
    return int(52 + 2 * (before * inputs + points**inputs * outputs + after * outputs))


def _chromaticity_length(body: bytes) -> int:
    return int(12 + 8 * struct.unpack_from(">H", body, 8)[0])


_LENGTHS: dict[bytes, Callable[[bytes], int]] = {
    b"XYZ ": lambda body: 20,
    b"curv": _curve_length,
    b"para": _parametric_length,
    b"sf32": lambda body: 44,  # of the tags that are kept, chad alone has it: nine numbers
    b"chrm": _chromaticity_length,
    b"cicp": lambda body: 12,
    b"mft1": _table8_length,
    b"mft2": _table16_length,
}
_RESERVED = {b"para": (10, 12), b"mft1": (11, 12), b"mft2": (11, 12)}
"""Bytes without a meaning, beside the four behind the kind."""


def _plain_stages(body: bytes) -> bytes:
    """Curves, matrix and table of a lutAToBType or lutBToAType one behind the other, nothing in between."""
    inputs, outputs = body[8:10]
    near, far = (outputs, inputs) if body[:4] == b"mAB " else (inputs, outputs)
    starts = struct.unpack_from(">5I", body, 12)
    places, made = [], b""
    for at, start in enumerate(starts):
        places.append(32 + len(made) if start else 0)
        if not start:
            continue
        rest = body[start:]
        if at == 1:
            stage = _exactly(rest, _MATRIX)
        elif at == 3:
            stage = _plain_grid(rest, inputs, outputs)
        else:
            stage = _plain_curves(rest, far if at == 4 else near)
        made += _even(stage)
    return body[:4] + bytes(4) + body[8:10] + bytes(2) + struct.pack(">5I", *places) + made


def _plain_curves(rest: bytes, count: int) -> bytes:
    made = b""
    for _ in range(count):
        if rest[:4] not in (b"curv", b"para"):
            raise LeakError(_DAMAGED)
        curve = _even(_plain_tag(rest))
        made, rest = made + curve, rest[len(curve) :]
    return made


def _plain_grid(rest: bytes, inputs: int, outputs: int) -> bytes:
    points, width = rest[:inputs], rest[16]
    values = _exactly(rest[20:], prod(points) * outputs * width)
    return points.ljust(16, b"\0") + bytes((width, 0, 0, 0)) + values


def _exactly(rest: bytes, length: int) -> bytes:
    if len(rest) < length:
        raise LeakError(_CUT_OFF)
    return rest[:length]


def profile_leaks(icc: bytes) -> list[str]:
    """What a profile says beside its colours; empty where it is as `clean_profile` leaves it."""
    try:
        return [] if clean_profile(icc) == icc else ["a colour profile that holds more than colours"]
    except LeakError as error:
        return [str(error)]


def _tags_of(icc: bytes) -> dict[bytes, bytes]:
    try:
        if icc[36:40] != b"acsp":
            raise LeakError("carries a colour profile that is none")
        (count,) = struct.unpack_from(">I", icc, _HEADER)
        if count > _MOST_TAGS:
            raise LeakError(_DAMAGED)
        entries = [struct.unpack_from(">4sII", icc, _HEADER + 4 + 12 * at) for at in range(count)]
    except (struct.error, IndexError) as error:
        raise LeakError(_DAMAGED) from error
    if any(start + size > len(icc) for _, start, size in entries):
        raise LeakError(_CUT_OFF)
    return {key: icc[start : start + size] for key, start, size in entries}


def _named_v2() -> bytes:
    text = _NAME.encode("ascii") + b"\0"
    return b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(4 + 4 + 2 + 1 + 67)


def _named_v4() -> bytes:
    text = _NAME.encode("utf-16-be")
    return b"mluc\0\0\0\0" + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(text), 28) + text
