"""Annotations of any tool: which one it was is told by the content, not by the name."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path, PurePosixPath

from masi_vision.errors import DatasetError
from masi_vision.labels.coco import is_coco, read_coco
from masi_vision.labels.cvat import read_cvat
from masi_vision.labels.export import MOST_BYTES, Export, is_hidden, read_limited, too_large
from masi_vision.labels.label_studio import is_label_studio, read_label_studio
from masi_vision.labels.labelme import is_labelme, read_labelme
from masi_vision.labels.png import read_png_masks

EXPECTED = (
    "Expected COCO or Label Studio JSON, XML or ZIP of CVAT for images 1.1, a folder of labelme JSON, or a "
    "folder of PNG masks"
)


def read_export(source: Path) -> Export:
    """Read annotations.

    Raises
    ------
    DatasetError
        There are none, or none that can be read.
    """
    if source.is_dir():
        return _folder(source)
    data = read_limited(source)
    return _zip(data, source.name) if data.startswith(b"PK") else _one(data, source.name)


def _one(data: bytes, name: str) -> Export:
    """Annotations of one file."""
    if data[:300].lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n").startswith(b"<"):
        return read_cvat(data)
    values = _json(data)
    if values is None:
        raise DatasetError(f"{name} {_why_no_json(data)}. {EXPECTED}. Export it again.")
    if is_coco(values):
        return read_coco(values)  # type: ignore[arg-type]
    if is_labelme(values):
        return read_labelme({name: values})
    if is_label_studio(values):
        return read_label_studio(values)  # type: ignore[arg-type]
    raise DatasetError(f"{name} holds no annotations that are known here. {EXPECTED}. Export it again.")


def _why_no_json(data: bytes) -> str:
    """What is wrong with a file that is neither XML nor JSON."""
    if not data.strip():
        return "is empty"
    try:
        json.loads(data.decode("utf-8-sig"))
    except json.JSONDecodeError as error:
        return f"is no whole JSON (line {error.lineno}, column {error.colno}: {error.msg.lower()})"
    except (ValueError, RecursionError):
        return "is no JSON"
    return "holds nothing"


def _json(data: bytes) -> object:
    """The content of a JSON file; None where it is none."""
    try:
        values = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None
    if isinstance(values, dict):
        values.pop("imageData", None)  # labelme keeps the whole photo there
    return values


def _zip(data: bytes, name: str) -> Export:
    """Annotations of a ZIP file: of the one XML or JSON file in it; pictures are passed over."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            inside = [
                one
                for one in archive.infolist()
                if one.filename.lower().endswith((".xml", ".json"))
                and not is_hidden(PurePosixPath(one.filename))
            ]
            if len(inside) != 1:
                raise DatasetError(
                    f"{name} holds {len(inside)} files of annotations. Expected one. Unpack it and name "
                    "one of them, or of labelme and PNG masks the folder."
                )
            with archive.open(inside[0]) as stream:
                content = stream.read(MOST_BYTES + 1)  # what the archive says of sizes is not to be trusted
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise DatasetError(f"{name} cannot be unpacked ({error}). {EXPECTED}. Export it again.") from error
    if len(content) > MOST_BYTES:
        raise too_large(inside[0].filename)
    return _one(content, inside[0].filename)


def _folder(folder: Path) -> Export:
    if (folder / "annotations.xml").is_file():
        return read_cvat(read_limited(folder / "annotations.xml"))
    files = [file for file in sorted(folder.rglob("*.json")) if not is_hidden(file.relative_to(folder))]
    contents = {file.relative_to(folder).as_posix(): _json(read_limited(file)) for file in files}
    if any(is_labelme(values) for values in contents.values()):
        return read_labelme(contents)
    if any(file.suffix.lower() == ".png" for file in folder.rglob("*")):
        return read_png_masks(folder)
    raise DatasetError(f"{folder.name or folder} holds no annotations. {EXPECTED}. Name the file itself.")
