"""Labels suggested by the models, for a person to correct: what is seen in a photo, as masks of classes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from os.path import commonpath
from pathlib import Path

import numpy as np

from masi_vision.config import Settings
from masi_vision.errors import DatasetError, NotScorable
from masi_vision.labels.classes import PIGMENT_CLASS, REGION_CODES
from masi_vision.labels.export import is_hidden
from masi_vision.labels.outline import Mask, Size
from masi_vision.photo import Photo, read_photo
from masi_vision.visit.folder import PHOTO_SUFFIXES
from masi_vision.visit.measure import pigment_maps
from masi_vision.visit.models import Models
from masi_vision.visit.seen import see_photo

CATEGORIES = {**REGION_CODES, PIGMENT_CLASS: max(REGION_CODES.values()) + 1}
"""Class to its number in a file of suggestions: our codes, then pigment."""


@dataclass(frozen=True, eq=False)
class Suggestion:
    """What the models see in one photo.

    Parameters
    ----------
    file : str
        Relative to the folder of the photos, with slashes.
    size : (int, int) or None
        Height and width; None where the photo cannot be read.
    masks : dict of str to mask
        By class; nothing where no face is found.
    probability : float
        That there is a face.
    problem : str
        Why there is nothing; "" where there is.
    """

    file: str
    size: Size | None
    masks: Mapping[str, Mask] = field(default_factory=dict)
    probability: float = 0.0
    problem: str = ""


@dataclass(frozen=True)
class PhotoList:
    """Photos to suggest labels for, below one folder."""

    root: Path
    files: tuple[str, ...]


def list_photos(paths: Sequence[Path]) -> PhotoList:
    """Find photos in files and folders; hidden ones are passed over.

    Raises
    ------
    DatasetError
        A path does not exist, or there is no photo.
    """
    for path in paths:
        if not path.exists():
            raise DatasetError(f"{path} was not found. Expected photos or folders of them. Check the path.")
    absolute = [path.absolute() for path in paths]
    root = Path(commonpath([path if path.is_dir() else path.parent for path in absolute]))
    found = {file: None for path in absolute for file in _photos_at(path)}
    files = tuple(file.relative_to(root).as_posix() for file in found)
    if not files:
        raise DatasetError(f"{paths[0]} holds no photo. Expected JPEG, PNG or the like. Check the folder.")
    return PhotoList(root, files)


def _photos_at(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    for file in sorted(path.rglob("*")):
        if file.suffix.lower() in PHOTO_SUFFIXES and not is_hidden(file.relative_to(path)) and file.is_file():
            yield file


def suggest(photos: PhotoList, settings: Settings, models: Models) -> Iterator[Suggestion]:
    """Suggest labels for every photo, at its full size."""
    for file in photos.files:
        size = None
        try:
            photo = read_photo(photos.root / file, max_megapixels=settings.reading.max_megapixels)
            size = photo.full_size
            masks, probability = seen_masks(photo, settings, models)
            yield Suggestion(file, size, masks, probability)
        except NotScorable as why:
            yield Suggestion(file, size, problem=why.message)


def seen_masks(photo: Photo, settings: Settings, models: Models) -> tuple[dict[str, Mask], float]:
    """Masks of the regions and of the pigment that the models see, and the probability of a face.

    Raises
    ------
    NotScorable
        There is no face, or hardly any skin of it.
    """
    seen = see_photo(photo, settings, models)
    pigment, _ = pigment_maps(seen.corrected_rgb, seen.codes, settings.pigment, models)
    top, left, bottom, right = window = seen.face.window(photo.srgb.shape)
    codes = np.zeros(photo.full_size, np.uint8)
    codes[top:bottom, left:right] = seen.face.photo_codes(window)
    # 0 to 255, so that the edge of a lesion falls between the pixels of the aligned frame.
    lesion = seen.face.alignment.to_photo(pigment.lesion.astype(np.uint8) * 255, window)
    pigmented = np.zeros(photo.full_size, bool)
    pigmented[top:bottom, left:right] = lesion.astype(np.uint8) > 127
    masks = {name: np.asarray(codes == code) for name, code in REGION_CODES.items()}
    masks[PIGMENT_CLASS] = pigmented & (codes > 0)
    return {name: mask for name, mask in masks.items() if mask.any()}, seen.face.probability
