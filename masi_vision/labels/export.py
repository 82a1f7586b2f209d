"""What an annotation tool exported, whatever the tool: photos, and what was drawn on each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import numpy.typing as npt

from masi_vision.errors import DatasetError
from masi_vision.labels.outline import Mask, Size
from masi_vision.photo import printable

MOST_BYTES = 1 << 30
"""A file of annotations larger than this is refused (chosen here: a thousand photos of 12 megapixels need
a tenth of it)."""

Json = dict[str, Any]
"""An object of a JSON file that somebody else wrote."""


def is_hidden(file: PurePath) -> bool:
    """Whether a file, or a folder that it lies in, is one of the system's own: .name, ._name, __MACOSX."""
    return any(part.startswith(".") or part == "__MACOSX" for part in file.parts)


@dataclass(frozen=True, eq=False)
class Shape:
    """One thing that was drawn on a photo.

    Parameters
    ----------
    label : str
        Its class, as the tool names it.
    name : str
        How a person finds it again: "annotation 12".
    draw : callable
        Gives its mask for a photo of a size; ValueError where it is none.
    """

    label: str
    name: str
    draw: Callable[[Size], Mask]


@dataclass(frozen=True, eq=False)
class LabelledPhoto:
    """A photo of an export.

    Parameters
    ----------
    file : str
        Name or path as the tool has it; without ending where `by_stem`.
    size : (int, int) or None
        Height and width by the tool; None where it does not say.
    shapes : tuple of Shape
        As they lie on each other, the undermost first.
    problem : str
        Why it cannot be used; "" where it can.
    by_stem : bool
        Whether the photo's ending is not known.
    density : callable or None
        Gives the contrast of the pigment in units of 0.0001 OD.
    pigment_said : bool
        Whether the pigment was looked for even where none is drawn.
    clear_is_zero : bool
        Whether that contrast is 0 on all clear skin; else small values are noise.
    annotation : str
        The file that it was read from, where each photo has one of its own.
    """

    file: str
    size: Size | None
    shapes: tuple[Shape, ...]
    problem: str = ""
    by_stem: bool = False
    density: Callable[[], npt.NDArray[np.uint8 | np.uint16]] | None = None
    pigment_said: bool = False
    clear_is_zero: bool = False
    annotation: str = ""


@dataclass(frozen=True, eq=False)
class Export:
    """All that was exported.

    Parameters
    ----------
    kind : str
        The tool or format.
    classes : frozenset of str
        Classes that could be drawn, as the tool names them: those it lists, and those drawn anywhere.
    photos : tuple of LabelledPhoto
    problems, remarks : tuple of str
        What could not be used, and what a person should know; a sentence each.
    undrawn_is_clear : bool
        Whether who drew regions would have drawn pigment in the same place, had there been any.
    """

    kind: str
    classes: frozenset[str]
    photos: tuple[LabelledPhoto, ...]
    problems: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    undrawn_is_clear: bool = True


def labels_of(photos: Iterable[LabelledPhoto]) -> frozenset[str]:
    """Classes that are drawn on any photo."""
    return frozenset(shape.label for photo in photos for shape in photo.shapes)


def size_of(height: object, width: object) -> Size | None:
    """A size as a tool declares it; None where it does not."""
    try:
        size = int(float(str(height))), int(float(str(width)))
    except (ValueError, OverflowError):
        return None
    return size if min(size) > 0 else None


def read_limited(file: Path) -> bytes:
    """Bytes of a file of annotations.

    Raises
    ------
    DatasetError
        It cannot be read, or is too large.
    """
    try:
        if file.stat().st_size > MOST_BYTES:
            raise too_large(file.name)
        return file.read_bytes()
    except OSError as error:
        raise DatasetError(
            f"{file} cannot be read ({(error.strerror or 'no access').lower()}). Expected annotations."
        ) from error


def too_large(name: str) -> DatasetError:
    """The refusal of a file of annotations that is too large."""
    return DatasetError(
        f"{printable(name)} has more than {MOST_BYTES >> 20} MiB. Expected annotations without pictures. "
        "Export the photos in parts."
    )
