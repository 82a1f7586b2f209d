"""Annotations of a site, from whatever tool, made a data set: photos, region codes, pigment, landmarks."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from PIL import Image

from masi_vision.config import Settings
from masi_vision.errors import DatasetError, NotScorable, reason_of
from masi_vision.face.align import Alignment
from masi_vision.face.atlas import SUBUNIT_OF_REGION, Floats, face_span
from masi_vision.face.find import find_face
from masi_vision.face.models import FaceModels
from masi_vision.labels.classes import REGION_CODES, Classes
from masi_vision.labels.dataset import (
    LABELS,
    OD_PER_STEP,
    PHOTOS,
    PIGMENT,
    UNKNOWN,
    Dataset,
    Entry,
    split_by_patient,
    write_dataset,
    write_grey,
)
from masi_vision.labels.export import Export, LabelledPhoto
from masi_vision.labels.layers import Layers, laid
from masi_vision.labels.outline import Size
from masi_vision.labels.people import People
from masi_vision.labels.photo_folder import NoSuchPhotoError, PhotoFolder
from masi_vision.photo import Photo, printable, read_photo
from masi_vision.photo.exif import exif_of, orientation_of
from masi_vision.visit.seen import srgb8
from masi_vision.written import make_private_folder

_LONGEST_NAME = 100
_LEAST_PLACED_PX = 200
"""Fewer pixels of a region tell nothing of where it was drawn. Chosen here."""
_RIM = 0.04
"""Share of the face's span by which a drawn border may lie off the face's own. Chosen here."""


@dataclass(frozen=True)
class Imported:
    """What came of an import.

    Parameters
    ----------
    data : Dataset
    left_out : tuple of str
        A sentence for each photo that was left out, and for what else could not be used.
    remarks : tuple of str
        What a person should know; a sentence each.
    """

    data: Dataset
    left_out: tuple[str, ...]
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class Matched:
    """Labelled photos by the files that they are, and a sentence for each that is none."""

    photos: Mapping[str, LabelledPhoto]
    left_out: tuple[str, ...]


def match_photos(export: Export, photos: PhotoFolder) -> Matched:
    """Find the file of every labelled photo.

    Raises
    ------
    DatasetError
        None is found.
    """
    found: dict[str, LabelledPhoto] = {}
    twice: dict[str, list[str]] = {}
    left_out = list(export.problems)
    for photo in export.photos:
        try:
            file = photos.find(photo)
        except NoSuchPhotoError as why:
            left_out.append(_sentence(photo.file, str(why)))
            continue
        twice.setdefault(file, []).append(photo.annotation or photo.file)
        found[file] = photo
    for file, names in twice.items():
        if len(names) > 1:
            left_out.append(_sentence(file, f"is annotated {len(names)} times, as {', '.join(names)}"))
            del found[file]
    if not found:
        raise nothing_usable(left_out)
    return Matched(found, tuple(left_out))


@dataclass(frozen=True)
class ImportPlan:
    """Annotations with all that is known of them before a photo is read."""

    export: Export
    classes: Classes
    photos: PhotoFolder
    matched: Matched
    people: People

    @cached_property
    def undrawable(self) -> tuple[str, ...]:
        """Regions of which there was no class, and which are drawn nowhere."""
        if not any(self.classes.any_is(self.export.classes, region) for region in REGION_CODES):
            return ()
        return tuple(
            region for region in REGION_CODES if not self.classes.any_is(self.export.classes, region)
        )


def import_labels(
    plan: ImportPlan,
    out: Path,
    *,
    face: FaceModels,
    settings: Settings,
    seed: int = 1,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Imported:
    """Write a data set of annotated photos; one that cannot be used is left out, with a sentence.

    Raises
    ------
    DatasetError
        The folder is in use, or nothing can be used.
    """
    refuse_used(out)
    entries: list[Entry] = []
    written: list[str] = []
    landmarks: dict[str, Floats] = {}
    left_out = list(plan.matched.left_out)
    names = _Names()
    for done, file in enumerate(plan.matched.photos):
        progress(done, len(plan.matched.photos))
        try:
            entry = _entry(plan, file)
            photo, layers = _read(plan, file, settings)
            found = _face(photo, face, settings)
            layers = _with_landmarks(layers, found, plan.undrawable)
        except (ValueError, NotScorable) as why:
            left_out.append(_sentence(file, str(why)))
            continue
        source = plan.photos.root / file
        entries.append(_write(entry, source, names.of(PurePosixPath(file)), layers, out))
        written.append(file)
        if found is not None:
            landmarks[entries[-1].photo] = found.landmarks
    if not entries:
        raise nothing_usable(left_out)
    data = Dataset(out, split_by_patient(entries, seed=seed), landmarks)
    write_dataset(data)
    remarks = []
    if untold := sum(plan.matched.photos[file].size is None for file in written):
        remarks.append(
            f"Of {untold} photos the file does not say at what size they were drawn on, so that nobody could "
            "tell whether outlines fit. Look at some: masi evaluate DATASET --split all --out PAGE."
        )
    if plan.undrawable:
        lacking = ", ".join(plan.undrawable)
        remarks.append(f"No {lacking} is among the classes that are read. Where it lies nothing is said.")
    return Imported(data, tuple(left_out), tuple(remarks))


def refuse_used(out: Path) -> None:
    """Refuse a folder for results that holds anything.

    Raises
    ------
    DatasetError
    """
    try:
        used = out.exists() and (not out.is_dir() or any(out.iterdir()))
    except OSError as error:
        raise DatasetError(f"{out} cannot be opened ({error.strerror}). Expected a new folder.") from error
    if used:
        raise DatasetError(f"{out} is in use. Expected a new or empty folder. Name another with --out.")


def nothing_usable(left_out: list[str]) -> DatasetError:
    """The refusal of annotations of which not one photo can be used."""
    why = "".join(f"\n  {line}" for line in left_out[:20]) or " There is no photo in them."
    return DatasetError(
        f"None of the annotated photos can be used:{why}\nExpected photos below --photos, with what was "
        "drawn on them."
    )


def _sentence(file: str, why: str) -> str:
    """A sentence on a photo that names it once."""
    words = why.removeprefix(f"{PurePosixPath(file).name} ").rstrip(".")
    return f"{printable(file)}: {words}."


def _entry(plan: ImportPlan, file: str) -> Entry:
    entry = plan.people.entries.get(file)
    if entry is None:
        raise ValueError("does not stand in the table of photos")
    return entry


def _read(plan: ImportPlan, file: str, settings: Settings) -> tuple[Photo, Layers]:
    """A photo at full size, and what is drawn on it."""
    labelled, source = plan.matched.photos[file], plan.photos.root / file
    if labelled.problem:
        raise ValueError(labelled.problem)
    photo = read_photo(source, max_megapixels=settings.reading.max_megapixels)
    if labelled.size is not None and labelled.size != photo.full_size:
        raise ValueError(_other_size(labelled.size, photo.full_size, source))
    layers = laid(labelled, photo.full_size, plan.classes, plan.export)
    if layers.pigment is not None and layers.pigment.shape != photo.full_size:
        raise ValueError("has a picture of pigment of another size")
    if not labelled.clear_is_zero:
        layers = _without_noise(layers, settings.pigment.detection_threshold_od)
    return photo, layers


def _without_noise(layers: Layers, threshold_od: float) -> Layers:
    """Clear where a contrast is too weak to be pigment: measured contrast is hardly ever exactly 0."""
    if layers.pigment is None or layers.pigment.dtype != np.uint16:
        return layers
    weak = layers.pigment < threshold_od / OD_PER_STEP
    return replace(layers, pigment=np.where(weak, 0, layers.pigment).astype(np.uint16))


def _other_size(told: Size, upright: Size, file: Path) -> str:
    expected = f"Expected {upright[1]} x {upright[0]} px, its upright size"
    sentence = f"was annotated at {told[1]} x {told[0]} px. {expected}"
    if told == upright[::-1] and _is_lying(file):
        return (
            f"{sentence}. It was annotated as it is stored, lying on its side: the tool passed over the "
            "camera's note (EXIF) of how it was held. Turn the photos upright before they are annotated"
        )
    return f"{sentence}. Annotate the file that lies below --photos, not a reduced or cropped one"


def _is_lying(file: Path) -> bool:
    """Whether the file's pixels are stored on their side."""
    try:
        with Image.open(file) as image:
            return orientation_of(exif_of(image)) > 4
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return False


def _face(photo: Photo, face: FaceModels, settings: Settings) -> Alignment | None:
    try:
        found = find_face(srgb8(photo), face, min_probability=settings.face.min_face_probability)
    except NotScorable:
        return None
    return found.alignment


def _with_landmarks(layers: Layers, found: Alignment | None, undrawable: tuple[str, ...]) -> Layers:
    """Regions held against where the face has them; unknown where a region lies that could not be drawn.

    Raises
    ------
    ValueError
        Most of a drawn region lies where the face has another.
    """
    labels = layers.labels
    if labels is None or found is None:
        return layers
    placed = np.asarray(found.to_photo(found.atlas.labels, (0, 0, *labels.shape), nearest=True), np.uint8)
    for region, code in SUBUNIT_OF_REGION.items():
        lies = np.bincount(placed[labels == code], minlength=UNKNOWN + 1)[list(SUBUNIT_OF_REGION.values())]
        there = list(SUBUNIT_OF_REGION)[int(lies.argmax())]
        if lies.sum() >= _LEAST_PLACED_PX and there != region and 2 * lies.max() > lies.sum():
            raise ValueError(
                f"has its {region} where the face has its {there}. Expected sides as the patient's own, "
                "drawn on the upright photo. Look whether sides are swapped, or the tool showed it turned"
            )
    unsaid = np.isin(placed, [REGION_CODES[region] for region in undrawable])
    # Nobody's border lies just where the face has it.
    around = 2 * round(_RIM * face_span(found.landmarks)) + 1
    unsaid = cv2.dilate(unsaid.astype(np.uint8), np.ones((around, around), np.uint8)) > 0
    unsaid &= (labels == 0) & ~layers.hidden
    return replace(layers, labels=np.where(unsaid, UNKNOWN, labels).astype(np.uint8))


class _Names:
    """Gives each photo of a data set a name of its own, safe on every file system."""

    def __init__(self) -> None:
        self._taken: Counter[str] = Counter()

    def of(self, file: PurePosixPath) -> str:
        """PATIENT-VISIT-view.jpg; a number is added where the stem is taken, whatever the ending."""
        stem = "-".join(re.sub(r"[^\w.]+", "-", part) for part in file.with_suffix("").parts)
        stem = stem.strip("-.")[-_LONGEST_NAME:] or "photo"
        plain, number = stem, 1
        while self._taken[stem.casefold()]:
            number += 1
            stem = f"{plain}-{number}"
        self._taken[stem.casefold()] += 1
        return f"{stem}{file.suffix.lower()}"


def _write(entry: Entry, source: Path, name: str, layers: Layers, out: Path) -> Entry:
    """Copy a photo as it is and write its pictures beside it."""
    stem = PurePosixPath(name).stem
    labels = f"{LABELS}/{stem}.png" if layers.labels is not None else ""
    pigment = f"{PIGMENT}/{stem}.png" if layers.pigment is not None else ""
    try:
        make_private_folder(out)
        (out / PHOTOS).mkdir(exist_ok=True)
        shutil.copyfile(source, out / PHOTOS / name)
        if layers.labels is not None:
            write_grey(out / labels, layers.labels)
        if layers.pigment is not None:
            write_grey(out / pigment, layers.pigment)
    except OSError as error:
        raise DatasetError(
            f"{out} cannot be written ({reason_of(error)}). Expected free space and the permission to write."
        ) from error
    return replace(entry, photo=f"{PHOTOS}/{name}", labels=labels, pigment=pigment)
