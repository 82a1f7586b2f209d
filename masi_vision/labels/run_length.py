"""Masks as lengths of runs: the counts and strings of COCO, the counts of CVAT, the brush of Label Studio."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from masi_vision.labels.outline import Mask, Size

_CHANNELS = 4  # a brush is kept as a picture of red, green, blue and opacity
_COUNT_BITS = (3, 4, 8, 16)  # of the four lengths of a number that a brush may count with
_WORD_BITS = 8


def counts_of(mask: npt.NDArray[np.bool_]) -> list[int]:
    """Lengths of the runs of a flat mask, from one of zeros on, which may be empty."""
    flat = np.concatenate([[False], mask.ravel()])
    ends = np.flatnonzero(flat[1:] != flat[:-1])
    return [int(n) for n in np.diff(np.concatenate([[0], ends, [mask.size]]))]


def flat_mask(counts: Iterable[object], pixels: int) -> npt.NDArray[np.bool_]:
    """The flat mask of runs, zeros first.

    Raises
    ------
    ValueError
        The runs do not fill that many pixels.
    """
    try:
        runs = np.array([int(n) for n in counts], np.int64)  # type: ignore[call-overload]
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError("has a run whose length is no number") from error
    if (runs < 0).any() or (runs > pixels).any() or runs.sum() != pixels:
        raise ValueError(f"has runs of {int(runs.clip(0, pixels).sum())} pixels, expected {pixels}")
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs)


def column_counts(mask: Mask) -> list[int]:
    """COCO's counts of a mask: down the columns."""
    return counts_of(mask.T)


def from_column_counts(counts: Iterable[object], shape: Size) -> Mask:
    """The mask of COCO's counts."""
    return flat_mask(counts, shape[0] * shape[1]).reshape(shape[::-1]).T


def packed(counts: Sequence[int]) -> str:
    """COCO's counts as a string.

    Notes
    -----
    From the fourth count on, the difference from the last but one is written. Five bits to a letter, lowest
    first; a sixth says that more follow; 48 is added, so that all letters can be printed.
    """
    letters = []
    for place, count in enumerate(counts):
        left = count - (counts[place - 2] if place > 2 else 0)
        more = True
        while more:
            bits = left & 0x1F
            left >>= 5
            more = left != (-1 if bits & 0x10 else 0)
            letters.append(chr(bits + 0x20 * more + 48))
    return "".join(letters)


def unpacked(text: str) -> list[int]:
    """COCO's counts from their string.

    Raises
    ------
    ValueError
        The string holds another letter, or ends within a number.
    """
    counts: list[int] = []
    value = shift = 0
    for letter in text:
        code = ord(letter) - 48
        if not 0 <= code < 64:
            raise ValueError(f"has the letter {letter!r} in its runs, which stands for nothing")
        value |= (code & 0x1F) << shift
        shift += 5
        if not code & 0x20:
            value -= (code & 0x10) << (shift - 4)
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value = shift = 0
    if shift:
        raise ValueError("has runs that end within a number")
    return counts


def from_box_counts(counts: Iterable[object], box: tuple[int, int, int, int], shape: Size) -> Mask:
    """The mask of CVAT's counts: along the rows of a box (left, top, width, height), zeros first."""
    _, _, width, height = box
    if width < 1 or height < 1 or width * height > 4 * shape[0] * shape[1]:
        raise ValueError(f"has a box of {width} x {height} pixels")
    return placed(flat_mask(counts, width * height).reshape(height, width), box[0], box[1], shape)


def placed(part: Mask, left: int, top: int, shape: Size) -> Mask:
    """A small mask in its place in a large one; what lies beyond is cut off."""
    whole = np.zeros(shape, bool)
    height, width = part.shape
    rows, columns = slice(max(0, top), max(0, top + height)), slice(max(0, left), max(0, left + width))
    here = whole[rows, columns]
    cut = part[max(0, -top) :, max(0, -left) :]
    here[...] = cut[: here.shape[0], : here.shape[1]]
    return whole


def brush_numbers(mask: Mask) -> list[int]:
    """A mask as the brush of Label Studio: bytes of a bit stream, as numbers.

    Notes
    -----
    The stream holds the number of values (32 bits), the bits of a value less one (5), four lengths of count
    less one (4 each), then runs: a bit that is 1 where one value is repeated, which length of count (2
    bits), the count less one, and the value, or so many values. Values are bytes of an RGBA picture.
    """
    bits = [f"{mask.size * _CHANNELS:032b}", f"{_WORD_BITS - 1:05b}"]
    bits += [f"{length - 1:04b}" for length in _COUNT_BITS]
    value = 0
    for count in counts_of(mask):
        bits += _run_bits(count * _CHANNELS, value)
        value = 255 - value
    stream = "".join(bits)
    padded = stream + "0" * (-len(stream) % 8)
    return list(int(padded, 2).to_bytes(len(padded) // 8, "big"))


def _run_bits(count: int, value: int) -> list[str]:
    bits = []
    while count:
        here = min(count, 1 << _COUNT_BITS[-1])
        which = next(n for n, length in enumerate(_COUNT_BITS) if here <= 1 << length)
        bits.append(f"1{which:02b}{here - 1:0{_COUNT_BITS[which]}b}{value:0{_WORD_BITS}b}")
        count -= here
    return bits


class _Bits:
    """A bit stream, read from the front."""

    def __init__(self, numbers: Sequence[object]) -> None:
        try:
            self._bytes = bytes(numbers)  # type: ignore[arg-type]
        except (TypeError, ValueError) as error:
            raise ValueError("has a brush whose numbers are no bytes") from error
        self._at = 0

    def number(self, bits: int) -> int:
        """The next number."""
        end = self._at + bits
        piece = self._bytes[self._at // 8 : (end + 7) // 8]
        if end > 8 * len(self._bytes):
            raise ValueError("has a brush that ends too early")
        self._at = end
        return (int.from_bytes(piece, "big") >> (-end % 8)) & ((1 << bits) - 1)

    def words(self, count: int, bits: int) -> npt.NDArray[np.uint8]:
        """The next numbers of at most 8 bits."""
        end = self._at + count * bits
        if end > 8 * len(self._bytes):
            raise ValueError("has a brush that ends too early")
        piece = np.frombuffer(self._bytes[self._at // 8 : (end + 7) // 8], np.uint8)
        each = np.unpackbits(piece)[self._at % 8 :][: count * bits].reshape(count, bits)
        self._at = end
        return np.packbits(np.pad(each, ((0, 0), (8 - bits, 0))), axis=1)[:, 0]


def from_brush(numbers: Sequence[object], shape: Size) -> Mask:
    """The mask of a brush of Label Studio: where it is not wholly transparent.

    Raises
    ------
    ValueError
        It is of another size, or no such stream.
    """
    stream = _Bits(numbers)
    total = stream.number(32)
    if total != shape[0] * shape[1] * _CHANNELS:
        raise ValueError(
            f"has a brush of {total // _CHANNELS} pixels, expected {shape[1]} x {shape[0]} = "
            f"{shape[0] * shape[1]}"
        )
    word = stream.number(5) + 1
    if word > 8:
        raise ValueError(f"has a brush of {word} bits per value, expected 8")
    lengths = [stream.number(4) + 1 for _ in range(4)]
    values = np.zeros(total, np.uint8)
    at = 0
    while at < total:
        repeated = stream.number(1)
        count = stream.number(lengths[stream.number(2)]) + 1
        end = min(at + count, total)
        values[at:end] = stream.number(word) if repeated else stream.words(count, word)[: end - at]
        at = end
    return np.asarray(values.reshape(*shape, _CHANNELS)[..., 3] > 0)
