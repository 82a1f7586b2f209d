"""COCO annotations: one JSON file of images, categories, and annotations as outlines or runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from masi_vision.errors import DatasetError
from masi_vision.labels.export import Export, Json, LabelledPhoto, Shape, labels_of, size_of
from masi_vision.labels.outline import Mask, Size, any_filled
from masi_vision.labels.run_length import from_column_counts, unpacked


def is_coco(values: object) -> bool:
    """Whether the content of a JSON file is COCO annotations."""
    return isinstance(values, dict) and all(
        isinstance(values.get(k), list) for k in ("images", "annotations")
    )


def read_coco(values: Json) -> Export:
    """Read COCO annotations; a crowd (`iscrowd`) is an annotation as any other.

    Notes
    -----
    The same image or category twice is one. Two of one id that differ are ambiguous: every photo that
    depends on them has a problem. Ids of annotations join nothing, so twins are both read.
    """
    images = _by_id(values["images"], "file_name")
    listed = values.get("categories")
    names = _by_id(listed if isinstance(listed, list) else [], "name")
    drawn: dict[object, list[Json]] = defaultdict(list)
    problems = []
    for annotation in values["annotations"]:
        if not isinstance(annotation, dict) or _key(annotation.get("image_id")) not in images.first:
            problems.append(f"{_name(annotation)} belongs to no image of the file. It is left out.")
        else:
            drawn[_key(annotation["image_id"])].append(annotation)
    photos = [_photo(image, drawn.get(key, []), names) for key, image in images.first.items()]
    photos = [_with_twins(photo, key, images) for key, photo in zip(images.first, photos, strict=True)]
    photos += [
        LabelledPhoto(file, None, (), "shares its image id with another photo, so nobody knows whose it is")
        for twins in images.twins.values()
        for file in twins
    ]
    classes = labels_of(photos) | {str(name["name"]) for name in names.first.values()}
    return Export("COCO", classes, tuple(_joined(photos)), tuple(problems), _remarks(values))


@dataclass(frozen=True)
class _ById:
    """Objects by their id; of an id with two meanings, the others are twins."""

    first: Mapping[object, Json]
    twins: Mapping[object, list[str]]


def _by_id(objects: Iterable[object], field: str) -> _ById:
    first: dict[object, Json] = {}
    twins: dict[object, list[str]] = defaultdict(list)
    for one in objects:
        if not isinstance(one, dict) or "id" not in one or not isinstance(one.get(field), str):
            raise DatasetError(
                f"An entry of the COCO file has no id or no {field}. Expected both. Export it again."
            )
        key = _key(one["id"])
        if key in first and first[key][field] != one[field]:
            twins[key].append(str(one[field]))
        first.setdefault(key, one)
    return _ById(first, twins)


def _key(identity: object) -> object:
    """Ids are compared as texts: some tools write numbers here and texts there."""
    return str(identity)


def _name(annotation: object) -> str:
    return f"annotation {annotation.get('id', '?')}" if isinstance(annotation, dict) else "an annotation"


def _photo(image: Json, annotations: Sequence[Json], names: _ById) -> LabelledPhoto:
    size = size_of(image.get("height"), image.get("width"))
    shapes, problem = [], ""
    for annotation in annotations:
        key = _key(annotation.get("category_id"))
        if key in names.twins:
            also = ", ".join(names.twins[key])
            problem = (
                f"{_name(annotation)} is of category {key}, which is {names.first[key]['name']} and {also}"
            )
        elif key not in names.first:
            problem = f"{_name(annotation)} is of category {key}, which the file does not name"
        else:
            label = str(names.first[key]["name"])
            shapes.append(Shape(label, _name(annotation), partial(_mask, annotation.get("segmentation"))))
    return LabelledPhoto(str(image["file_name"]), size, tuple(shapes), problem)


def _with_twins(photo: LabelledPhoto, key: object, images: _ById) -> LabelledPhoto:
    if key not in images.twins:
        return photo
    return replace(photo, problem=f"shares its image id with {', '.join(images.twins[key])}")


def _joined(photos: Sequence[LabelledPhoto]) -> list[LabelledPhoto]:
    """Photos of the same name are one, if their sizes agree."""
    by_file: dict[str, LabelledPhoto] = {}
    for photo in photos:
        before = by_file.setdefault(photo.file, photo)
        if before is photo:
            continue
        problem = before.problem or photo.problem
        if before.size != photo.size:
            problem = problem or "is listed twice with two sizes"
        by_file[photo.file] = replace(before, shapes=before.shapes + photo.shapes, problem=problem)
    return list(by_file.values())


def _remarks(values: Json) -> tuple[str, ...]:
    identities = [str(one["id"]) for one in values["annotations"] if isinstance(one, dict) and "id" in one]
    twice = len(identities) - len(set(identities))
    return (f"{twice} annotations have the id of another one; all are read.",) if twice else ()


def _mask(segmentation: object, shape: Size) -> Mask:
    """The mask of a segmentation: runs, or polygons, of which the union is taken.

    Raises
    ------
    ValueError
        It is none.
    """
    if isinstance(segmentation, dict):
        return _from_runs(segmentation, shape)
    if not isinstance(segmentation, list) or not segmentation:
        raise ValueError("has no outline")
    nested = segmentation if isinstance(segmentation[0], list) else [segmentation]
    return any_filled([_corners(flat) for flat in nested], shape)


def _corners(flat: object) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    try:
        numbers = np.asarray(flat, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError("has a corner that is no pair of numbers") from error
    if numbers.ndim != 1 or len(numbers) % 2:
        raise ValueError("has a corner that is no pair of numbers")
    return numbers.reshape(-1, 2)


def _from_runs(runs: Json, shape: Size) -> Mask:
    size, counts = runs.get("size"), runs.get("counts")
    if not isinstance(size, list) or [*size] != [*shape]:
        raise ValueError(f"has runs of size {size} (height, width), expected {list(shape)}")
    if isinstance(counts, str):
        counts = unpacked(counts)
    if not isinstance(counts, list):
        raise ValueError("has no runs")
    mask = from_column_counts(counts, shape)
    if not mask.any():
        raise ValueError("holds no pixel of the photo")
    return mask
