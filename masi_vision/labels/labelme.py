"""Annotations of labelme: a JSON file beside each photo."""

from __future__ import annotations

import base64
import binascii
import io
import posixpath
from functools import partial

import numpy as np
from PIL import Image, UnidentifiedImageError

from masi_vision.labels.export import Export, Json, LabelledPhoto, Shape, labels_of, size_of
from masi_vision.labels.outline import Mask, Points, Size, ellipse, filled, rectangle
from masi_vision.labels.run_length import placed

_CORNERS = ("polygon", "oriented_rectangle")


def is_labelme(values: object) -> bool:
    """Whether the content of a JSON file is an annotation of labelme."""
    return isinstance(values, dict) and isinstance(values.get("shapes"), list) and "imagePath" in values


def read_labelme(files: dict[str, object]) -> Export:
    """Read annotations of labelme.

    Parameters
    ----------
    files : dict
        Name of each JSON file to its content, None where it cannot be read.
    """
    photos, problems = [], []
    for name, values in files.items():
        if is_labelme(values):
            photos.append(_photo(name, values))  # type: ignore[arg-type]
        else:
            problems.append(f"{name} is no annotation of labelme. Expected JSON with shapes and imagePath.")
    return Export("labelme", labels_of(photos), tuple(photos), tuple(problems))


def _photo(name: str, values: Json) -> LabelledPhoto:
    """The photo of a file, told as labelme does: from the folder of the file on."""
    size = size_of(values.get("imageHeight"), values.get("imageWidth"))
    told = str(values["imagePath"]).replace("\\", "/")
    file = posixpath.normpath(posixpath.join(posixpath.dirname(name), told))
    drawn = [one for one in values["shapes"] if isinstance(one, dict)]
    shapes = tuple(
        Shape(str(one.get("label", "")), f"shape {number}", partial(_mask, one))
        for number, one in enumerate(drawn, 1)
    )
    return LabelledPhoto(file, size, shapes, annotation=name)


def _mask(drawn: Json, shape: Size) -> Mask:
    kind = drawn.get("shape_type") or "polygon"
    points = _points(drawn)
    if kind == "mask":
        return _from_picture(drawn.get("mask"), points, shape)
    if kind in _CORNERS or (kind == "rectangle" and len(points) == 4):
        return filled(points, shape)
    if kind not in ("rectangle", "circle"):
        raise ValueError(f"is a {kind}, which has no area")
    if len(points) != 2:
        raise ValueError(f"is a {kind} of {len(points)} points, expected 2")
    if kind == "circle":
        radius = float(np.linalg.norm(points[1] - points[0]))
        return filled(ellipse(float(points[0, 0]), float(points[0, 1]), radius, radius), shape)
    return filled(rectangle(*points.min(axis=0), *points.max(axis=0)), shape)


def _points(drawn: Json) -> Points:
    try:
        points = np.asarray(drawn.get("points"), np.float64).reshape(-1, 2)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError("has a point that is no pair of numbers") from error
    if not np.isfinite(points).all():
        raise ValueError("has a point that is no pair of numbers")
    return points


def _from_picture(text: object, box: Points, shape: Size) -> Mask:
    """A mask kept as a small PNG that fills a box, its last row and column included."""
    if len(box) != 2 or not isinstance(text, str):
        raise ValueError("is a mask without box or picture")
    left, top, right, bottom = np.floor([*box.min(axis=0), *box.max(axis=0)]).clip(-1e6, 1e6).astype(int)
    size = int(right - left + 1), int(bottom - top + 1)
    pixels = size[0] * size[1]
    if pixels > 4 * shape[0] * shape[1] or len(text) > 4 * pixels + 10_000:
        raise ValueError(f"is a mask of {size[0]} x {size[1]} pixels in {len(text)} letters")
    try:
        with Image.open(io.BytesIO(base64.b64decode(text, validate=True)), formats=("PNG",)) as picture:
            if picture.size != size:
                raise ValueError(
                    f"is a mask of {picture.size[0]} x {picture.size[1]} pixels, expected its box, "
                    f"{size[0]} x {size[1]}"
                )
            part = np.asarray(picture.convert("L")) > 0
    except (binascii.Error, UnidentifiedImageError, OSError, SyntaxError) as error:
        raise ValueError("is a mask whose picture cannot be read") from error
    mask = placed(part, int(left), int(top), shape)
    if not mask.any():
        raise ValueError("holds no pixel of the photo")
    return mask
