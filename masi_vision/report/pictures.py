"""The pictures of a visit: an overlay and masks of each photo, in folders of their own."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Literal

from masi_vision.report.masks import write_masks
from masi_vision.report.overlay import write_overlay
from masi_vision.visit.score import VisitScore
from masi_vision.written import writing

Pictures = Literal["overlays", "masks"]
OVERLAYS: Pictures = "overlays"
MASKS: Pictures = "masks"
ENDINGS: dict[Pictures, tuple[str, ...]] = {
    OVERLAYS: (".jpg",),
    MASKS: ("_regions.png", "_pigment.png", "_lesion.png"),
}
"""How the files of each folder end: PATIENT_VISIT_VIEW comes before."""


def make_folders(out: Path, wanted: Collection[Pictures]) -> None:
    """Make the folders of the pictures."""
    with writing(out):
        for folder in wanted:
            (out / folder).mkdir(parents=True, exist_ok=True)


def write_pictures(
    result: VisitScore, out: Path, name: str, wanted: Collection[Pictures]
) -> dict[Pictures, tuple[str, ...]]:
    """Write the pictures of the visit's measured photos.

    Parameters
    ----------
    out : Path
        Folder of the results.
    name : str
        PATIENT_VISIT, see `FileNames`.

    Returns
    -------
    dict
        Kind of picture to the names of the files written.
    """
    measured = [photo for photo in result.photos if photo.measures is not None]
    for photo in measured:
        with writing(out):
            if OVERLAYS in wanted:
                write_overlay(photo, out / OVERLAYS / f"{name}_{photo.view}.jpg", result)
            if MASKS in wanted and photo.measures is not None:
                write_masks(photo.measures, out / MASKS, f"{name}_{photo.view}")
    return {
        kind: tuple(f"{name}_{photo.view}{end}" for photo in measured for end in ENDINGS[kind])
        for kind in wanted
    }
