"""Annotations of CVAT: "CVAT for images 1.1", the XML file that the tool exports."""

from __future__ import annotations

from functools import partial
from xml.etree import ElementTree
from xml.parsers import expat

import numpy as np

from masi_vision.errors import DatasetError
from masi_vision.labels.export import Export, LabelledPhoto, Shape, labels_of, size_of
from masi_vision.labels.outline import Mask, Size, ellipse, filled, rectangle
from masi_vision.labels.run_length import from_box_counts

_SHAPES = ("polygon", "mask", "box", "ellipse")
_NO_AREA = ("polyline", "points", "cuboid", "skeleton")


def read_cvat(data: bytes) -> Export:
    """Read annotations of CVAT; of shapes on each other, the higher `z_order` lies on top.

    Raises
    ------
    DatasetError
        It is no such file, or declares entities, which no export of CVAT does.
    """
    root = _root(data)
    if root.tag != "annotations" or root.find("track") is not None:
        raise DatasetError(
            "The XML file holds "
            + ("tracks of a video" if root.tag == "annotations" else f"<{root.tag}>")
            + '. Expected annotations of images. Export as "CVAT for images 1.1".'
        )
    photos = tuple(_photo(image) for image in root.iterfind("image"))
    listed = {name.text.strip() for name in root.iterfind("meta//labels/label/name") if name.text}
    return Export("CVAT", labels_of(photos) | listed, photos)


def _root(data: bytes) -> ElementTree.Element:
    """The XML tree; a document type is refused before anything is made of it."""

    def refuse(*_: object) -> None:
        raise DatasetError(
            "The XML file declares a document type (DOCTYPE), which can hide anything. Expected none, as "
            "CVAT writes it. Export the annotations again."
        )

    look = expat.ParserCreate()
    look.StartDoctypeDeclHandler = refuse
    look.EntityDeclHandler = refuse
    try:
        look.Parse(data, True)
        return ElementTree.fromstring(data)
    except (expat.ExpatError, ElementTree.ParseError, ValueError, LookupError) as error:
        raise DatasetError(
            f"The XML file is damaged ({error}). Expected annotations of CVAT. Export them again."
        ) from error


def _photo(image: ElementTree.Element) -> LabelledPhoto:
    lacking = [child.tag for child in image if child.tag in _NO_AREA]
    problem = f"holds a {lacking[0]}, which has no area" if lacking else ""
    drawn = [child for child in image if child.tag in _SHAPES]
    drawn.sort(key=lambda child: _whole(child.get("z_order", "0")))
    shapes = tuple(
        Shape(child.get("label", ""), f"{child.tag} {number}", partial(_mask, child))
        for number, child in enumerate(drawn, 1)
    )
    size = size_of(image.get("height"), image.get("width"))
    return LabelledPhoto(image.get("name", ""), size, shapes, problem)


def _whole(text: str) -> int:
    try:
        return int(float(text))
    except (ValueError, OverflowError):
        return 0


def _mask(drawn: ElementTree.Element, shape: Size) -> Mask:
    if drawn.tag == "polygon":
        pairs = [pair.split(",") for pair in drawn.get("points", "").split(";") if pair]
        if any(len(pair) != 2 for pair in pairs):
            raise ValueError("has a corner that is no pair of numbers")
        return filled(np.array(_floats([n for pair in pairs for n in pair])).reshape(-1, 2), shape)
    turn = _numbers(drawn, "rotation")[0] if drawn.get("rotation") else 0.0
    if drawn.tag == "box":
        return filled(rectangle(*_numbers(drawn, "xtl", "ytl", "xbr", "ybr"), turned_deg=turn), shape)
    if drawn.tag == "ellipse":
        return filled(ellipse(*_numbers(drawn, "cx", "cy", "rx", "ry"), turned_deg=turn), shape)
    left, top, width, height = (int(n) for n in _numbers(drawn, "left", "top", "width", "height"))
    mask = from_box_counts(drawn.get("rle", "").split(","), (left, top, width, height), shape)
    if not mask.any():
        raise ValueError("holds no pixel of the photo")
    return mask


def _numbers(drawn: ElementTree.Element, *names: str) -> list[float]:
    return _floats([drawn.get(name, "") for name in names])


def _floats(texts: list[str]) -> list[float]:
    try:
        numbers = [float(text) for text in texts]
    except ValueError as error:
        raise ValueError("has a position that is no number") from error
    if not np.isfinite(numbers).all():
        raise ValueError("has a position that is no number")
    return numbers
