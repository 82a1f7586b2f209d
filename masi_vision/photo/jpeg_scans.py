"""What a JPEG's markers tell of its coding: without loss or not, and in how many scans it is drawn.

Each scan goes over the whole picture, however few bytes it has.

References
----------
ITU-T T.81, annex B (markers).
"""

from __future__ import annotations

import re
from itertools import islice

from masi_vision.photo.formats import UndecodableError

MOST_SCANS = 100
"""As in libtiff. Cameras write one to three, programs about ten in a progressive file."""
_START, _END, _SCAN = 0xD8, 0xD9, 0xDA
_SCAN_BYTES = re.compile(rb"\xff\xda")
_MARKER = re.compile(rb"\xff([\xc0-\xcf\xd8-\xfe])")
"""Those behind which libjpeg reads on: no stuffed zero, no restart."""

_FRAMES = frozenset((*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)))
_LOSSLESS = frozenset((0xC3, 0xC7, 0xCB, 0xCF))


def is_lossless(data: bytes) -> bool:
    """Whether the frame of the first picture is one of T.81, annex H."""
    place = 2
    while found := _MARKER.search(data, place):
        place, marker = found.end(), found[1][0]
        if marker in _FRAMES or marker in (_START, _END, _SCAN):
            return marker in _LOSSLESS
        place += int.from_bytes(data[place : place + 2], "big")
    return False


def refuse_many_scans(data: bytes) -> None:
    """Refuse a JPEG that holds the decoder by its scans.

    Notes
    -----
    The bytes of a scan's marker may stand in a thumbnail too, or by chance in a film behind the picture: only
    where there are many of them are the markers followed one by one.

    Raises
    ------
    UndecodableError
    """
    seen = sum(1 for _ in islice(_SCAN_BYTES.finditer(data), MOST_SCANS + 1))
    if seen > MOST_SCANS and _has_many(data):
        raise UndecodableError(
            "unreadable",
            f"is drawn in more than {MOST_SCANS} scans. Expected about 10 at most, as cameras and programs "
            "write them. Use the camera's original file, or export it anew.",
        )


def _has_many(data: bytes) -> bool:
    """Follow the markers of the first picture as libjpeg does."""
    scans, place = 0, 2
    while scans <= MOST_SCANS and (found := _MARKER.search(data, place)):
        place, marker = found.end(), found[1][0]
        if marker in (_START, _END):  # a second start is an error to libjpeg
            return False
        scans += marker == _SCAN
        place += int.from_bytes(data[place : place + 2], "big")
    return scans > MOST_SCANS
