"""Masks as PNG pictures: NAME.png or NAME_regions.png of region codes, beside it pigment and lesion."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from masi_vision.labels.classes import PIGMENT_CLASS, PIGMENT_UNKNOWN, REGION_CODES, UNKNOWN_CLASS
from masi_vision.labels.dataset import PIGMENTED, UNKNOWN
from masi_vision.labels.export import Export, LabelledPhoto, Shape, is_hidden, labels_of
from masi_vision.labels.outline import Mask, Size

_REGIONS, _PIGMENT, _LESION = "_regions", "_pigment", "_lesion"
_CLASS_OF_CODE = {code: name for name, code in REGION_CODES.items()} | {UNKNOWN: UNKNOWN_CLASS}
_INDEXED = ("1", "L", "P")
Density = Callable[[], npt.NDArray[np.uint8 | np.uint16]]


def read_png_masks(folder: Path) -> Export:
    """Read a folder of masks; a code that is none of this project's is the class "code N"."""
    files = sorted(
        file
        for file in folder.rglob("*")
        if file.suffix.lower() == ".png" and file.is_file() and not is_hidden(file.relative_to(folder))
    )
    by_name: dict[str, dict[str, Path]] = {}
    twice = []
    for file in files:
        path = file.relative_to(folder).with_suffix("").as_posix()
        layer = next((end for end in (_PIGMENT, _LESION) if path.endswith(end)), _REGIONS)
        layers = by_name.setdefault(path.removesuffix(layer).removesuffix(_REGIONS), {})
        if layer in layers:
            twice.append(f"{file.name} is the second mask of its photo; {layers[layer].name} is taken.")
        layers.setdefault(layer, file)
    photos = tuple(_photo(name, layers) for name, layers in by_name.items())
    return Export("PNG masks", labels_of(photos), photos, (), tuple(twice), undrawn_is_clear=False)


def _photo(name: str, files: dict[str, Path]) -> LabelledPhoto:
    shapes: list[Shape] = []
    sizes: set[Size] = set()
    density: Density | None = None
    try:
        for layer, file in files.items():
            codes = _picture(file)
            sizes.add((codes.shape[0], codes.shape[1]))
            if layer == _REGIONS:
                shapes += _region_shapes(file, codes)
            elif codes.dtype == np.uint16 and layer == _PIGMENT:
                lesion = files.get(_LESION)
                density = partial(_picture, file) if lesion is None else partial(_of_lesion, file, lesion)
            elif codes.dtype == np.uint16:
                raise ValueError(f"{file.name} has 16 bits. Expected 8 bits, 1 where skin is pigmented")
            else:
                shapes += _pigment_shapes(file, codes)
    except ValueError as why:
        return LabelledPhoto(name, None, (), str(why), by_stem=True)
    problem = "has masks of two sizes" if len(sizes) > 1 else ""
    said = not files.keys().isdisjoint((_PIGMENT, _LESION))
    size = next(iter(sizes))
    return LabelledPhoto(
        file=name,
        size=size,
        shapes=tuple(shapes),
        problem=problem,
        by_stem=True,
        density=density,
        pigment_said=said,
        clear_is_zero=_LESION in files,
    )


def _region_shapes(file: Path, codes: npt.NDArray[np.generic]) -> list[Shape]:
    if codes.dtype != np.uint8:
        raise ValueError(f"{file.name} has 16 bits. Expected 8 bits for codes of regions")
    labels = {code: _CLASS_OF_CODE.get(code, f"code {code}") for code in np.unique(codes).tolist() if code}
    return [Shape(label, file.name, partial(_where, file, code)) for code, label in labels.items()]


def _pigment_shapes(file: Path, codes: npt.NDArray[np.generic]) -> list[Shape]:
    """255 means unknown only where 1 means pigmented: alone, it may mean either."""
    found = [code for code in np.unique(codes).tolist() if code]
    known = {PIGMENTED: PIGMENT_CLASS} | ({UNKNOWN: PIGMENT_UNKNOWN} if PIGMENTED in found else {})
    return [
        Shape(known.get(code, f"pigment {code}"), file.name, partial(_where, file, code)) for code in found
    ]


def _of_lesion(file: Path, lesion: Path) -> npt.NDArray[np.uint8 | np.uint16]:
    """Contrast of what the other picture calls pigmented, at least one step of it; 0 elsewhere.

    Raises
    ------
    ValueError
        It holds other codes than 0 and 1: what they mean nobody says.
    """
    if wrong := sorted(set(np.unique(_picture(lesion)).tolist()) - {0, PIGMENTED}):
        raise ValueError(f"{lesion.name} holds the codes {wrong[:5]}. Expected 0, and 1 for pigmented")
    return np.where(_picture(lesion) == PIGMENTED, np.maximum(_picture(file), 1), 0).astype(np.uint16)


def _where(file: Path, code: int, shape: Size) -> Mask:
    found = np.asarray(_picture(file) == code)
    if found.shape != shape:
        raise ValueError("is of another size")
    return found


@lru_cache(maxsize=2)
def _picture(file: Path) -> npt.NDArray[np.uint8 | np.uint16]:
    """The codes of a mask; of a picture with a palette its numbers, not its colours."""
    try:
        with Image.open(file, formats=("PNG",)) as picture:
            if picture.mode not in _INDEXED and not picture.mode.startswith("I"):
                raise ValueError(
                    f"{file.name} is a picture in colours ({picture.mode}). Expected codes, in one "
                    "channel or a palette"
                )
            values = np.asarray(picture)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{file.name} cannot be read as PNG") from error
    if values.dtype == np.uint8:
        return values
    return values.astype(np.uint8 if values.dtype == bool else np.uint16)
