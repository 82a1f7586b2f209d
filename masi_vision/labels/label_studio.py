"""Annotations of Label Studio: its own JSON export, with every annotation of every task."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from masi_vision.errors import DatasetError
from masi_vision.labels.export import Export, Json, LabelledPhoto, Shape, labels_of, size_of
from masi_vision.labels.outline import Mask, Points, Size, ellipse, filled, turned
from masi_vision.labels.run_length import from_brush

_KINDS = ("brushlabels", "polygonlabels", "rectanglelabels", "ellipselabels")
_NO_AREA = ("keypointlabels", "keypoint", "vectorlabels", "vector")
_READ = (*_KINDS, "labels", "brush", "polygon", "rectangle", "ellipse")
_NOT_DRAWN = (  # what is said of a photo, or of a region that is drawn by another result
    *("choices", "textarea", "rating", "number", "taxonomy", "datetime", "pairwise", "ranker", "relation"),
)
_GEOMETRY = ("rle", "points", "radiusX", "width")  # what tells a shape whose label stands in `labels`


def is_label_studio(values: object) -> bool:
    """Whether the content of a JSON file is an export of Label Studio, full or short."""
    tasks = values if isinstance(values, list) else []
    return bool(tasks) and all(isinstance(t, dict) and ("data" in t or "annotator" in t) for t in tasks)


def read_label_studio(tasks: list[Json]) -> Export:
    """Read an export of Label Studio: of several annotations of a task, the last that was not cancelled.

    Raises
    ------
    DatasetError
        It is the short form (JSON-MIN), which says neither sizes nor which annotations were cancelled.
    """
    if not all(isinstance(task.get("annotations"), list) for task in tasks):
        raise DatasetError(
            "The JSON file is the short form of Label Studio (JSON-MIN) or holds tasks without annotations. "
            "Expected every task with its data and annotations. Export as JSON."
        )
    remarks: list[str] = []
    photos = tuple(_photo(task, remarks) for task in tasks)
    return Export("Label Studio", labels_of(photos), photos, (), tuple(remarks))


def _photo(task: Json, remarks: list[str]) -> LabelledPhoto:
    file = _file(task)
    kept = [one for one in task["annotations"] if isinstance(one, dict) and not one.get("was_cancelled")]
    if len(kept) > 1:
        remarks.append(f"{file} was annotated {len(kept)} times; the last is taken.")
    if not kept:
        return LabelledPhoto(file, None, (), "has no annotation that was not cancelled")
    # A stable order by time: where no time is written, as the file has them.
    last = sorted(kept, key=lambda one: str(one.get("updated_at") or one.get("created_at") or ""))[-1]
    listed = last.get("result")
    results = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    drawn = [(one, label) for one in results if (label := _label(one))]
    sizes = {size_of(one.get("original_height"), one.get("original_width")) for one, _ in drawn}
    shapes = tuple(
        Shape(label, f"region {one.get('id', number)}", partial(_mask, one["value"]))
        for number, (one, label) in enumerate(drawn, 1)
    )
    size = next(iter(sizes)) if len(sizes) == 1 else None
    return LabelledPhoto(file, size, shapes, _problem(results, len(sizes)))


def _file(task: Json) -> str:
    data = task["data"] if isinstance(task.get("data"), dict) else {}
    texts = [str(value) for value in data.values() if isinstance(value, str)]
    named = [str(data[key]) for key in ("image", "img", "photo") if isinstance(data.get(key), str)]
    return next(iter(named + texts), f"task {task.get('id', '?')}")


def _label(result: Json) -> str:
    """The class of a drawn result; "" of choices, and of what is drawn without a class."""
    value = result.get("value")
    if not isinstance(value, dict):
        return ""
    keys = [key for key in _KINDS if value.get(key)]
    if not keys and value.get("labels") and any(key in value for key in _GEOMETRY):
        keys = ["labels"]
    labels: Any = value[keys[0]] if keys else []
    return str(labels[0]) if isinstance(labels, list) and labels else ""


def _problem(results: Sequence[Json], sizes: int) -> str:
    labelled = {str(one.get("id")) for one in results if _label(one)}
    pictures = {(one.get("to_name"), one.get("item_index")) for one in results if _label(one)}
    if len(pictures) > 1:
        return "is a task with drawings on several pictures. Expected one picture in each task"
    problems = (_problem_of(one, labelled) for one in results)
    return next((why for why in problems if why), "was annotated with two sizes" if sizes > 1 else "")


def _problem_of(result: Json, labelled: set[str]) -> str:
    """Why a result cannot be used; "" where it can, and where it draws nothing."""
    value: Json = result["value"] if isinstance(result.get("value"), dict) else {}
    name = f"region {result.get('id', '?')}"
    if str(result.get("type", "")) in _NO_AREA:
        return f"{name} is of type {result['type']}, which has no area"
    if (kind := str(result.get("type", ""))) and value and kind not in (*_READ, *_NOT_DRAWN):
        return f"{name} is of type {kind}, which is not read here. Draw it with a brush or as a polygon"
    if not _label(result):
        is_drawn = any(key in value for key in _GEOMETRY) and str(result.get("id")) not in labelled
        return f"{name} has no class" if is_drawn else ""
    if result.get("image_rotation") not in (None, 0):
        return (
            f"was turned by {result['image_rotation']} degrees while it was annotated. Expected it as it is "
            "stored. Turn it back and annotate it again"
        )
    several = any(isinstance(value.get(key), list) and len(value[key]) > 1 for key in (*_KINDS, "labels"))
    return f"{name} is of several classes" if several else ""


def _mask(value: Json, shape: Size) -> Mask:
    if "rle" in value:
        if not isinstance(value["rle"], list):
            raise ValueError("has a brush that is no list of numbers")
        mask = from_brush(value["rle"], shape)
        if not mask.any():
            raise ValueError("holds no pixel of the photo")
        return mask
    return filled(_corners(value, shape), shape)


def _corners(value: Json, shape: Size) -> Points:
    """Corners in pixels; Label Studio writes percents of width and height."""
    per_percent = np.array([shape[1], shape[0]]) / 100
    if "points" in value:
        points = _pairs(value["points"])
        return np.asarray(points * per_percent) if points.shape[1] == 2 else points
    at = _pair(value, "x", "y") * per_percent
    turn = float(_pair({"rotation": 0} | value, "rotation")[0])
    if "radiusX" in value:
        return ellipse(*at, *(_pair(value, "radiusX", "radiusY") * per_percent), turned_deg=turn)
    size = _pair(value, "width", "height") * per_percent
    corners = at + size * np.array([(0, 0), (1, 0), (1, 1), (0, 1)])
    return turned(corners, at, turn)  # about its first corner, not its centre


def _pair(value: Json, *names: str) -> Points:
    return np.asarray(_pairs([[value.get(name) for name in names]])[0])


def _pairs(told: object) -> Points:
    try:
        numbers = np.asarray(told, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError("has a position that is no number, or lacks one") from error
    if numbers.ndim != 2 or not numbers.shape[1] or not np.isfinite(numbers).all():
        raise ValueError("has a position that is no number, or lacks one")
    return numbers
