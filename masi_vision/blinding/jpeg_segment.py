"""The parts of a JPEG file, from one marker to the next.

References
----------
ITU-T T.81, annex B (markers).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from masi_vision.errors import LeakError

EOI, SOS = 0xD9, 0xDA
_NO_RESTART = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # 0 stands behind a coded 255, 255 fills


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
    end = _NO_RESTART.search(data, place)
    if end is None:
        raise LeakError("is cut off")
    return end.start()
