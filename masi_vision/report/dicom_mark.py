"""The mark of the DICOM files that were written here, read without a library of DICOM.

References
----------
DICOM PS3.10, 7.1: a file begins with what is known of itself, in explicit little endian; Source Application
Entity Title (0002,0016) is who wrote it.
"""

from __future__ import annotations

MARK = "MASI_VISION"
_ELEMENT = b"\x02\x00\x16\x00AE" + (len(MARK) + 1).to_bytes(2, "little") + MARK.encode() + b" "
HEAD_BYTES = 1024
"""The mark lies within them, some 350 from the beginning; chosen."""


def bears_mark(head: bytes) -> bool:
    """Whether the first `HEAD_BYTES` of a file say that it was written here."""
    return _ELEMENT in head
