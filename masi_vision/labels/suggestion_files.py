"""Suggested labels as files for annotation tools: COCO, and tasks of Label Studio with predictions."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np

from masi_vision.labels.classes import HIDDEN, UNKNOWN_CLASS
from masi_vision.labels.export import Json
from masi_vision.labels.outline import Mask, outlines
from masi_vision.labels.run_length import brush_numbers, column_counts, packed
from masi_vision.labels.suggest import CATEGORIES, PhotoList, Suggestion
from masi_vision.photo import printable
from masi_vision.written import write_file

COCO, TASKS, CONFIG = "coco.json", "label_studio.json", "label_studio_config.xml"
_FROM, _TO = "labels", "image"
_COLOURS = {
    "forehead": "#4c9be8",
    "right_malar": "#e8884c",
    "left_malar": "#8f6fd6",
    "chin": "#4cb87a",
    "nose": "#d6c14c",
    "upper_lip": "#d66fa8",
    "pigment": "#7a3b12",
    HIDDEN: "#808080",
    UNKNOWN_CLASS: "#202020",
}


def write_suggestions(
    suggestions: Iterable[Suggestion], photos: PhotoList, out: Path, *, model_version: str
) -> list[str]:
    """Write the three files; returns a sentence for each photo without suggestions.

    Raises
    ------
    DatasetError
        The folder cannot be written.
    """
    coco = _empty_coco()
    tasks: list[str] = []
    problems: list[str] = []
    folder = photos.root.name
    for one in suggestions:
        if one.size is not None:
            _add_to_coco(coco, one)
        task = _task(one, f"{folder}/{one.file}" if folder else one.file, model_version)
        tasks.append(json.dumps(task))  # brushes are long: as text they take a tenth of the memory
        if one.problem:
            problems.append(f"{printable(one.file)}: {one.problem.removeprefix(f'{Path(one.file).name} ')}")
    write_file(out / COCO, json.dumps(coco))
    write_file(out / TASKS, "[" + ",\n".join(tasks) + "]\n")
    write_file(out / CONFIG, _config())
    return problems


def _empty_coco() -> Json:
    return {
        "info": {"description": "Suggested by masi_vision; to be corrected by a person."},
        "licenses": [],
        "images": [],
        "annotations": [],
        "categories": [
            {"id": number, "name": name, "supercategory": ""} for name, number in CATEGORIES.items()
        ],
    }


def _add_to_coco(coco: Json, one: Suggestion) -> None:
    assert one.size is not None
    image = len(coco["images"]) + 1
    height, width = one.size
    coco["images"].append({"id": image, "width": width, "height": height, "file_name": one.file})
    for name, mask in one.masks.items():
        coco["annotations"].append(
            {
                "id": len(coco["annotations"]) + 1,
                "image_id": image,
                "category_id": CATEGORIES[name],
                **_coco_shape(mask),
                "score": round(one.probability, 4),
            }
        )


def _coco_shape(mask: Mask) -> Json:
    """Polygons where the mask has no hole, else runs, which is what COCO calls a crowd."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    left, top = int(columns[0]), int(rows[0])
    around = outlines(mask)
    segmentation: object = [polygon.ravel().tolist() for polygon in around.polygons]
    if around.has_holes:
        segmentation = {"size": list(mask.shape), "counts": packed(column_counts(mask))}
    return {
        "segmentation": segmentation,
        "area": int(mask.sum()),
        "bbox": [left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1],
        "iscrowd": int(around.has_holes),
    }


def _task(one: Suggestion, path: str, model_version: str) -> Json:
    """A task of Label Studio; a photo in which nothing is seen has no prediction."""
    task: Json = {"data": {"image": f"/data/local-files/?d={_escaped(path)}"}, "predictions": []}
    if one.masks and one.size is not None:
        result = [_result(one, name, mask) for name, mask in one.masks.items()]
        task["predictions"] = [
            {"model_version": model_version, "score": round(one.probability, 4), "result": result}
        ]
    return task


def _result(one: Suggestion, name: str, mask: Mask) -> Json:
    height, width = mask.shape
    return {
        "id": sha256(f"{one.file} {name}".encode()).hexdigest()[:10],
        "type": "brushlabels",
        "from_name": _FROM,
        "to_name": _TO,
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": {"format": "rle", "rle": brush_numbers(mask), "brushlabels": [name]},
    }


def _escaped(path: str) -> str:
    return re.sub(
        r"[^A-Za-z0-9._~/-]", lambda one: "".join(f"%{byte:02X}" for byte in one.group().encode()), path
    )


def _config() -> str:
    """What Label Studio asks the annotator for: a brush per class, on a photo that can be enlarged."""
    labels = "\n".join(
        f"    <Label value={quoteattr(name)} background={quoteattr(colour)}/>"
        for name, colour in _COLOURS.items()
    )
    return (
        "<View>\n"
        "  <!-- Sides are the patient's own: right_malar lies on the left of a frontal photo. -->\n"
        f'  <Image name="{_TO}" value="$image" zoom="true" zoomControl="true"/>\n'
        f'  <BrushLabels name="{_FROM}" toName="{_TO}">\n{labels}\n  </BrushLabels>\n'
        "</View>\n"
    )
