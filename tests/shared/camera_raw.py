"""Camera RAW files that need no camera."""

import struct

import numpy as np

D65 = np.array([0.95047, 1, 1.08883])
SRGB = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))


def to_xyz(primaries):
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in primaries]).T
    return columns * np.linalg.solve(columns, D65)


def dng(width, height, corner=0.0):
    """The smallest camera RAW: an RGGB mosaic, uncompressed, of the colour of skin, and a corner of it."""
    mosaic = np.full((height, width), 16000, "<u2")
    mosaic[::2, ::2], mosaic[1::2, 1::2] = 26000, 9000
    mosaic[:16, :16] = np.maximum(mosaic[:16, :16], round(corner * 65535))
    matrix = [part for number in np.linalg.inv(to_xyz(SRGB)).ravel() for part in (round(1e6 * number), 10**6)]
    tags = [
        (254, "I", [0]), (256, "I", [width]), (257, "I", [height]), (258, "H", [16]), (259, "H", [1]),
        (262, "H", [32803]), (271, "s", b"Test\0"), (272, "s", b"Cam\0\0"), (273, "I", [0]), (274, "H", [1]),
        (277, "H", [1]), (278, "I", [height]), (279, "I", [mosaic.nbytes]), (33421, "H", [2, 2]),
        (33422, "B", [0, 1, 1, 2]), (50706, "B", [1, 4, 0, 0]), (50708, "s", b"Test Cam\0"),
        (50717, "H", [65535]), (50721, "r", matrix), (50728, "R", [1, 1] * 3), (50778, "H", [21]),
    ]  # fmt: skip
    codes = {"I": (4, 4), "H": (3, 2), "B": (1, 1), "s": (2, 1), "r": (10, 8), "R": (5, 8)}
    start = 8 + 2 + 12 * len(tags) + 4
    heap, entries = b"", b""
    packed = []
    for tag, kind, values in tags:
        item = {"s": "B", "r": "i", "R": "I"}.get(kind, kind)
        raw = struct.pack(f"<{len(values)}{item}", *values)
        packed.append((tag, codes[kind][0], len(raw) // codes[kind][1], raw))
    size = sum(len(raw) + len(raw) % 2 for *_, raw in packed if len(raw) > 4)
    for tag, code, count, raw in packed:
        if tag == 273:
            raw = struct.pack("<I", start + size)
        inline = raw.ljust(4, b"\0") if len(raw) <= 4 else struct.pack("<I", start + len(heap))
        heap += raw + b"\0" * (len(raw) % 2) if len(raw) > 4 else b""
        entries += struct.pack("<HHI", tag, code, count) + inline
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + b"\0" * 4 + heap + mosaic.tobytes()
