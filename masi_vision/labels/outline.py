"""Outlines and masks: what lies inside a polygon, and the polygon around a mask.

Positions are (x, y) with the first pixel's corner at (0, 0), so its centre lies at (0.5, 0.5). A pixel is
inside where its centre is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
Points = npt.NDArray[np.float64]
Size = tuple[int, int]
"""Height and width."""

_EDGES_AT_ONCE = 4096
_ELLIPSE_CORNERS = 180
# Corners are left out where the outline moves by no more than this [px], and only as long as the mask and
# its outline still share this much of their union. Chosen here: steps of single pixels become lines.
_SIMPLER_PX = 0.5
_LEAST_IOU = 0.99


def filled(corners: npt.ArrayLike, shape: Size) -> Mask:
    """Pixels inside a polygon, by the even-odd rule.

    Parameters
    ----------
    corners : (N, 2)
        x, y; the last is joined to the first. What lies beyond the picture is cut off.
    shape : (int, int)
        Height and width of the mask.

    Raises
    ------
    ValueError
        Fewer than three corners, none apart, a number that is none, or no pixel inside.
    """
    points = _polygon(corners)
    toggles = np.zeros((shape[0], shape[1] + 1), np.uint8)
    begins, ends = points, np.roll(points, -1, axis=0)
    for first in range(0, len(points), _EDGES_AT_ONCE):
        part = slice(first, first + _EDGES_AT_ONCE)
        _cross_rows(begins[part], ends[part], toggles)
    inside = (np.bitwise_xor.accumulate(toggles & 1, axis=1)[:, :-1]).astype(bool)
    if not inside.any():
        raise ValueError("holds no pixel of the photo")
    return inside


def _polygon(corners: npt.ArrayLike) -> Points:
    try:
        points = np.asarray(corners, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError("has a corner that is no pair of numbers") from error
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise ValueError("has a corner that is no pair of numbers")
    if len(np.unique(points, axis=0)) < 3:
        raise ValueError(f"is a polygon of {len(points)} corners, fewer than three of them apart")
    return points


def _cross_rows(begins: Points, ends: Points, toggles: npt.NDArray[np.uint8]) -> None:
    """Turn inside to outside, and back, from each point on where an edge crosses the middle of a row."""
    height, width = toggles.shape[0], toggles.shape[1] - 1
    low, high = np.minimum(begins[:, 1], ends[:, 1]), np.maximum(begins[:, 1], ends[:, 1])
    top = np.ceil(np.clip(low, 0, height) - 0.5).astype(np.int64)
    bottom = np.ceil(np.clip(high, 0, height) - 0.5).astype(np.int64)
    count = np.maximum(bottom - top, 0)
    edge = np.repeat(np.arange(len(begins)), count)
    row = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count) + top[edge]
    (x0, y0), (x1, y1) = begins[edge].T, ends[edge].T
    crossing = x0 + (row + 0.5 - y0) * (x1 - x0) / (y1 - y0)
    column = np.ceil(np.clip(crossing, 0, width) - 0.5).astype(np.int64)
    np.add.at(toggles, (row, column), 1)


def rectangle(left: float, top: float, right: float, bottom: float, *, turned_deg: float = 0) -> Points:
    """Corners of a rectangle, turned clockwise about its centre."""
    corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)], np.float64)
    return turned(corners, corners.mean(axis=0), turned_deg)


def ellipse(x: float, y: float, x_radius: float, y_radius: float, *, turned_deg: float = 0) -> Points:
    """Corners of a polygon that passes for an ellipse, turned clockwise about its centre."""
    angle = np.linspace(0, 2 * np.pi, _ELLIPSE_CORNERS, endpoint=False)
    corners = np.stack([x + x_radius * np.cos(angle), y + y_radius * np.sin(angle)], axis=1)
    return turned(corners, np.array([x, y]), turned_deg)


def turned(points: Points, about: Points, angle_deg: float) -> Points:
    """Points turned clockwise, as it is seen in a picture."""
    angle = np.deg2rad(angle_deg)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.asarray((points - about) @ turn.T + about)


@dataclass(frozen=True, eq=False)
class Outlines:
    """The outlines of a mask.

    Parameters
    ----------
    polygons : tuple of (N, 2) arrays
        One around each piece of the mask; pieces that touch at a corner are two.
    has_holes : bool
        Whether there are holes, which the polygons do not show.
    """

    polygons: tuple[Points, ...]
    has_holes: bool


def outlines(mask: Mask) -> Outlines:
    """The outlines of a mask; filled, they give it back but for single pixels along the edge."""
    loops = _loops(mask)
    outer = [loop for loop in loops if _area(loop) > 0]
    exact = tuple(loop.astype(np.float64) for loop in outer)
    if len(outer) < len(loops) or not outer:
        return Outlines(exact, len(outer) < len(loops))
    simpler = tuple(_simpler(loop) for loop in exact)
    return Outlines(simpler if _agree(simpler, mask) else exact, False)


def any_filled(polygons: Sequence[npt.ArrayLike], shape: Size) -> Mask:
    """Pixels inside any of several polygons."""
    inside = np.zeros(shape, bool)
    for polygon in polygons:
        inside |= filled(polygon, shape)
    return inside


def _agree(polygons: Sequence[Points], mask: Mask) -> bool:
    try:
        drawn = any_filled(polygons, (mask.shape[0], mask.shape[1]))
    except ValueError:
        return False
    return bool((drawn & mask).sum() >= _LEAST_IOU * (drawn | mask).sum())


def _simpler(loop: Points) -> Points:
    kept = cv2.approxPolyDP(loop.astype(np.float32)[:, None], _SIMPLER_PX, True)[:, 0]
    return np.asarray(kept if len(kept) >= 3 else loop, np.float64)


def _area(loop: Points) -> float:
    """Positive where the mask lies inside the loop, negative round a hole."""
    x, y = loop.T
    return float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


def _loops(mask: Mask) -> list[Points]:
    """Closed ways along the mask's edge, the mask on the right hand; through the middles of pixel edges."""
    width = mask.shape[1] + 1
    ways = _ways(mask)
    steps = (1, width, -1, -width)  # right, down, left, up, from corner to corner
    loops = []
    while ways:
        corner, first = next((corner, heads[0]) for corner, heads in ways.items())
        begin, head, passed = corner, first, []
        while True:
            passed.append((corner, head))
            ways[corner].remove(head)
            if not ways[corner]:
                del ways[corner]
            corner += steps[head]
            right = (head + 1) % 4
            if corner == begin and (corner not in ways or right == first):
                break
            head = right if right in ways[corner] else ways[corner][0]
        loops.append(_middles(np.array(passed), width))
    return loops


def _ways(mask: Mask) -> dict[int, list[int]]:
    """For each pixel corner on the edge, numbered by row, the directions in which the edge leaves it."""
    width = mask.shape[1]
    framed = np.pad(mask, 1)
    inside = framed[1:-1, 1:-1]
    beside = (framed[:-2, 1:-1], framed[1:-1, 2:], framed[2:, 1:-1], framed[1:-1, :-2])
    starts = ((0, 0), (0, 1), (1, 1), (1, 0))  # row and column of the corner from which the mask lies right
    ways: dict[int, list[int]] = {}
    for head, (outside, (down, across)) in enumerate(zip(beside, starts, strict=True)):
        rows, columns = np.nonzero(inside & ~outside)
        for corner in ((rows + down) * (width + 1) + columns + across).tolist():
            ways.setdefault(corner, []).append(head)
    return ways


def _middles(passed: npt.NDArray[np.int64], width: int) -> Points:
    corners = np.stack([passed[:, 0] % width, passed[:, 0] // width], axis=1)
    halves = np.array([(0.5, 0), (0, 0.5), (-0.5, 0), (0, -0.5)])
    return np.asarray(corners + halves[passed[:, 1]])
