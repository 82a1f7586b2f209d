"""What a JPEG's decoder reads of tables, frames and scans: nothing behind them, no table that none uses.

References
----------
ITU-T T.81, B.2.2 (frame), B.2.3 (scan), B.2.4 (tables).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from masi_vision.blinding.jpeg_segment import SOS, Segment
from masi_vision.errors import LeakError

DHT, DAC, DQT, DRI = 0xC4, 0xCC, 0xDB, 0xDD
FRAMES = frozenset((*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC)))
PICTURE = frozenset((DHT, DAC, DQT, DRI, SOS)) | FRAMES
"""Tables, frames, scans and restart intervals: what the pixels are made of."""


def plain_picture(parts: Sequence[Segment]) -> list[Segment]:
    """The segments of the picture, each as long as it says itself, with the tables that a scan uses.

    Raises
    ------
    LeakError
        One is too short, or there is no frame, or more than one.
    """
    parts = [part for part in parts if part.marker in PICTURE]
    frames = [part for part in parts if part.marker in FRAMES]
    if len(frames) != 1:
        raise LeakError("is damaged")
    try:
        return _used(parts, _tables_of_frame(frames[0]))
    except (IndexError, KeyError) as error:
        raise LeakError("is damaged") from error


def _tables_of_frame(frame: Segment) -> dict[int, int]:
    """Number of the quantization table by component."""
    at = range(6, 6 + 3 * frame.content[5], 3)
    return {frame.content[place]: frame.content[place + 2] for place in at}


def _used(parts: Sequence[Segment], quantization: dict[int, int]) -> list[Segment]:
    """Backwards from the last scan: a table is used where a scan comes before the next of its number."""
    wanted: set[tuple[int, int]] = set()
    made: list[Segment] = []
    has_scan = False
    for part in reversed(parts):
        if part.marker == SOS:
            has_scan = True
            wanted |= set(_tables_of_scan(part, quantization))
        tables = []
        for name, table in reversed(list(_tables_in(part))):
            if name is None or name in wanted:
                tables.append(table)
                wanted -= {name} if name else set()
        content = b"".join(reversed(tables))
        if content and has_scan:
            made.append(replace(part, content=content))
    return made[::-1]


def _tables_of_scan(scan: Segment, quantization: dict[int, int]) -> Iterator[tuple[int, int]]:
    for at in range(1, 1 + 2 * scan.content[0], 2):
        component, codes = scan.content[at : at + 2]
        yield DQT, quantization[component]
        yield DHT, codes >> 4
        yield DHT, 0x10 | (codes & 15)


def _tables_in(part: Segment) -> Iterator[tuple[tuple[int, int] | None, bytes]]:
    """What a segment holds, piece by piece: of a table its kind and number too."""
    content, place = part.content, 0
    if part.marker not in (DHT, DQT):
        yield None, _exactly(content, _length_of(part))
        return
    while place < len(content):
        if part.marker == DQT:
            length = 129 if content[place] >> 4 else 65
            number = content[place] & 15
        else:
            length = 17 + sum(content[place + 1 : place + 17])
            number = content[place]
        table = content[place : place + length]
        if len(table) == length:
            yield (part.marker, number), table
        place += length


def _length_of(part: Segment) -> int:
    if part.marker == DRI:
        return 2
    if part.marker == DAC:
        return len(part.content) // 2 * 2
    return 4 + 2 * part.content[0] if part.marker == SOS else 6 + 3 * part.content[5]


def _exactly(content: bytes, length: int) -> bytes:
    if len(content) < length:
        raise LeakError("is damaged")
    return content[:length]
