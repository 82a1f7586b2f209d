"""What was drawn on one photo, laid together: region codes and pigment in its upright pixels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from masi_vision.labels.classes import (
    HIDDEN,
    PIGMENT_CLASS,
    PIGMENT_UNKNOWN,
    REGION_CODES,
    UNKNOWN_CLASS,
    Classes,
)
from masi_vision.labels.dataset import PIGMENTED, UNKNOWN, Codes
from masi_vision.labels.export import Export, LabelledPhoto, Shape
from masi_vision.labels.outline import Mask, Size


@dataclass(frozen=True, eq=False)
class Layers:
    """The annotation of one photo.

    Parameters
    ----------
    labels : (H, W) uint8 or None
        Region codes, 255 unknown; None where no region was drawn.
    pigment : (H, W) uint8 or uint16, or None
        As a data set keeps it; None where nothing is said of pigment.
    hidden : (H, W) bool
        Where somebody drew that skin is hidden.
    """

    labels: Codes | None
    pigment: npt.NDArray[np.uint8 | np.uint16] | None
    hidden: Mask


def laid(photo: LabelledPhoto, size: Size, classes: Classes, export: Export) -> Layers:
    """Draw a photo's shapes: regions in their order, then what hides them, then what nobody knows.

    Raises
    ------
    ValueError
        A shape cannot be drawn, or nothing is.

    Notes
    -----
    A photo with regions on which no pigment is drawn is clear where the class was there to be drawn: the
    export lists it, or it is drawn on another photo. Where nobody could draw it, nothing is said; nor where
    pigment has a file of its own, which lacks.
    """
    drawn = [(classes.ours(shape.label), shape) for shape in photo.shapes]
    hidden, unknown = _union(drawn, HIDDEN, size), _union(drawn, UNKNOWN_CLASS, size)
    labels = None
    if any(ours in REGION_CODES for ours, _ in drawn):
        labels = np.zeros(size, np.uint8)
        for ours, shape in drawn:
            if ours in REGION_CODES:
                labels[_mask(shape, size)] = REGION_CODES[ours]
        labels[hidden] = 0
        labels[unknown] = UNKNOWN
    pigment: npt.NDArray[np.uint8 | np.uint16] | None = None
    if photo.density is not None:
        pigment = photo.density()
    elif _pigment_is_said(photo, labels, drawn, classes, export):
        pigment = np.zeros(size, np.uint8)
        pigment[_union(drawn, PIGMENT_UNKNOWN, size)] = UNKNOWN
        pigment[_union(drawn, PIGMENT_CLASS, size)] = PIGMENTED
        pigment[unknown] = UNKNOWN
    if labels is None and pigment is None:
        raise ValueError("nothing is drawn on it")
    return Layers(labels, pigment, hidden)


Drawn = Iterable[tuple[str | None, Shape]]


def _pigment_is_said(
    photo: LabelledPhoto, labels: Codes | None, drawn: Drawn, classes: Classes, export: Export
) -> bool:
    if photo.pigment_said or any(ours in (PIGMENT_CLASS, PIGMENT_UNKNOWN) for ours, _ in drawn):
        return True
    return labels is not None and export.undrawn_is_clear and classes.any_is(export.classes, PIGMENT_CLASS)


def _union(drawn: Drawn, wanted: str, size: Size) -> Mask:
    together = np.zeros(size, bool)
    for ours, shape in drawn:
        if ours == wanted:
            together |= _mask(shape, size)
    return together


def _mask(shape: Shape, size: Size) -> Mask:
    try:
        return shape.draw(size)
    except ValueError as why:
        raise ValueError(f"{shape.name} ({shape.label}) {why}") from why
