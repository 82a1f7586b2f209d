"""ONNX files as protobuf writes them, as far as it takes to see whether all weights stand in the file itself.

Read here, for ONNX Runtime follows a name of another file wherever it stands, and ``onnx`` is no dependency
but of training.

References
----------
onnx.proto (numbers of the fields); protobuf.dev, "Encoding".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

_PARTS: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
"""Messages that a message may hold, as far as there are tensors in them: by the number of the field."""
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14
_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5


class _Field(NamedTuple):
    """A field of a message: its number, where its bytes begin and end, and what a whole number comes to."""

    number: int
    start: int
    end: int
    value: int = 0
    holds_bytes: bool = False


def has_weights_elsewhere(content: bytes) -> bool:
    """Whether a tensor of a model has its numbers in another file, or says so.

    Raises
    ------
    ValueError
        This is no protobuf: nobody can say.
    """
    to_read = [("model", 0, len(content))]
    while to_read:
        kind, start, end = to_read.pop()
        for field in _fields(content, start, end):
            if kind == "tensor" and (
                field.number == _EXTERNAL_DATA or (field.number == _DATA_LOCATION and field.value)
            ):
                return True
            part = _PARTS[kind].get(field.number)
            if part is not None and field.holds_bytes:
                to_read.append((part, field.start, field.end))
    return False


def _fields(content: bytes, place: int, end: int) -> Iterator[_Field]:
    """The fields of a message; what they hold is passed over by its length."""
    while place < end:
        tag, place = _varint(content, place, end)
        number, wire = (tag & 0xFFFFFFFF) >> 3, tag & 7  # protobuf drops the bits above
        value, start = 0, place
        if wire == _VARINT:
            value, place = _varint(content, place, end)
        elif wire == _BYTES:
            length, start = _varint(content, place, end)
            place = start + length
        elif wire in (_EIGHT_BYTES, _FOUR_BYTES):
            place += 8 if wire == _EIGHT_BYTES else 4
        else:
            raise ValueError(f"a field of kind {wire}")
        if not number or place > end:
            raise ValueError("a field without a number, or cut off")
        yield _Field(number, start, place, value, wire == _BYTES)


def _varint(content: bytes, place: int, end: int) -> tuple[int, int]:
    """A whole number of seven bits to a byte, the lowest first, and where it ends."""
    value = 0
    for at in range(min(10, end - place)):
        byte = content[place + at]
        value |= (byte & 0x7F) << (7 * at)
        if byte < 0x80:
            return value, place + at + 1
    raise ValueError("a number without an end")
