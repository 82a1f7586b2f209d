"""A data set of annotated photographs on disk: what the models are trained and evaluated on.

    DATASET/
      dataset.csv      one row per photo: photo,labels,pigment,patient,visit,view,site,split
      photos/          the photographs
      labels/          8-bit PNG in the upright photo's pixels: codes of `Subunit`, 255 where nobody knows
      pigment/         PNG of the same size: 8 bits, 0 clear, 1 pigmented, 255 unknown; or 16 bits, the
                       pigment's contrast in units of 0.0001 optical density, 0 clear
      landmarks.npz    optional: by photo, as named in dataset.csv, 478 landmarks (478, 3) in upright pixels

Names in `dataset.csv` are relative to the folder. A photo without labels or pigment has an empty cell there.
"""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Literal, get_args
from zipfile import BadZipFile

import cv2
import numpy as np
import numpy.typing as npt

from masi_vision.csv_table import csv_text, guarded, read_csv
from masi_vision.errors import DatasetError, reason_of
from masi_vision.face.atlas import Floats, Subunit
from masi_vision.names import VIEWS, nearly_alike, spelled_alike, told_apart
from masi_vision.photo import Photo, read_photo
from masi_vision.written import write_file

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
Codes = npt.NDArray[np.uint8]

TABLE, LANDMARKS = "dataset.csv", "landmarks.npz"
PHOTOS, LABELS, PIGMENT = "photos", "labels", "pigment"
UNKNOWN = 255
"""Code of pixels of which nobody knows what they are: nothing is learned there, and nothing is counted."""
PIGMENTED = 1
OD_PER_STEP = 1e-4
"""One step of a 16-bit picture of pigment, in optical density."""
_SHARES = {"train": 0.70, "validation": 0.15, "test": 0.15}


@dataclass(frozen=True)
class Entry:
    """One annotated photograph; paths are relative to the data set, with slashes, "" where there is none.

    Parameters
    ----------
    view : {"front", "left", "right"}
        The patient's side that faces the camera.
    split : {"train", "validation", "test"} or ""
        "" before the patients are split.
    """

    photo: str
    labels: str
    pigment: str
    patient: str
    visit: str = ""
    view: str = "front"
    site: str = ""
    split: Split | Literal[""] = ""

    def __post_init__(self) -> None:
        """Refuse what is no photograph of anybody."""
        for name in (self.photo, self.labels, self.pigment):
            if name and (PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts):
                raise ValueError(f"files must lie in the data set, got {name!r}")
        if not self.photo or not self.patient:
            raise ValueError(f"photo and patient must be named, got {self.photo!r} and {self.patient!r}")
        if self.view not in VIEWS:
            raise ValueError(f"view must be one of {', '.join(VIEWS)}, got {self.view!r}")
        if self.split not in ("", *SPLITS):
            raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {self.split!r}")


COLUMNS = tuple(one.name for one in fields(Entry))


@dataclass(frozen=True)
class PigmentTruth:
    """What an annotator, or whoever planted it, says of the pigment of a photo.

    Parameters
    ----------
    lesion : (H, W) bool
    known : (H, W) bool
        Where anything is said.
    density_od : (H, W) float32 or None
        None where only the outline is known.
    """

    lesion: npt.NDArray[np.bool_]
    known: npt.NDArray[np.bool_]
    density_od: Floats | None


@dataclass(frozen=True)
class Dataset:
    """Annotated photographs; pictures are read when they are asked for."""

    folder: Path
    entries: tuple[Entry, ...]
    landmarks: Mapping[str, Floats] = field(default_factory=dict, repr=False)

    def part(self, split: Split) -> tuple[Entry, ...]:
        """The photographs of one split."""
        return tuple(entry for entry in self.entries if entry.split == split)

    @cached_property
    def photo_sha256(self) -> dict[str, str]:
        """Hash of each photo's file; of a missing one that of nothing."""
        return {entry.photo: _sha256(self.folder / entry.photo) for entry in self.entries}

    @cached_property
    def photo_marks(self) -> dict[str, str]:
        """The first 16 digits of each hash: by them models know again what they learned from."""
        return {photo: digest[:16] for photo, digest in self.photo_sha256.items()}

    @cached_property
    def sha256(self) -> str:
        """Hash of all that it says: every row, every file that one names, and the landmarks; read once."""
        digest = hashlib.sha256()
        for entry in self.entries:
            digest.update(repr(entry).encode())
            digest.update(bytes.fromhex(self.photo_sha256[entry.photo]))
            for name in filter(None, (entry.labels, entry.pigment)):
                digest.update(bytes.fromhex(_sha256(self.folder / name)))
            digest.update(np.ascontiguousarray(self.landmarks.get(entry.photo, ()), np.float32).tobytes())
        return digest.hexdigest()

    def photo(self, entry: Entry) -> Photo:
        """The photograph, upright.

        Raises
        ------
        PhotoUnreadable
        """
        return read_photo(self.folder / entry.photo)

    def labels(self, entry: Entry, shape: tuple[int, ...]) -> Codes | None:
        """Region codes (H, W) of a photo of this shape; None where it is not labelled.

        Raises
        ------
        DatasetError
            The picture is missing, of another size, or holds codes that are none.
        """
        if not entry.labels:
            return None
        codes = _grey(self.folder, entry.labels, shape)
        wrong = sorted(set(np.unique(codes).tolist()) - {*map(int, Subunit), UNKNOWN})
        if codes.dtype != np.uint8 or wrong:
            found = f"holds the codes {wrong[:5]}" if codes.dtype == np.uint8 else "has 16 bits"
            raise DatasetError(
                f"{entry.labels} {found}. Expected 8 bits, codes 0 to {max(Subunit)}, {UNKNOWN} for unknown."
            )
        return codes.astype(np.uint8)

    def pigment(self, entry: Entry, shape: tuple[int, ...]) -> PigmentTruth | None:
        """The pigment of a photo of this shape; None where nothing is said of it.

        Raises
        ------
        DatasetError
            The picture is missing, of another size, or holds other values.
        """
        if not entry.pigment:
            return None
        stored = _grey(self.folder, entry.pigment, shape)
        if stored.dtype == np.uint16:
            density = stored.astype(np.float32) * np.float32(OD_PER_STEP)
            return PigmentTruth(stored > 0, np.ones(stored.shape, bool), density)
        if wrong := sorted(set(np.unique(stored).tolist()) - {0, PIGMENTED, UNKNOWN}):
            raise DatasetError(
                f"{entry.pigment} holds the values {wrong[:5]}. Expected 0, {PIGMENTED} for pigmented and "
                f"{UNKNOWN} for unknown in 8 bits, or a contrast in 16."
            )
        return PigmentTruth(stored == PIGMENTED, stored != UNKNOWN, None)


def _grey(folder: Path, name: str, shape: tuple[int, ...]) -> npt.NDArray[np.uint8 | np.uint16]:
    """A picture of one channel, of the photo's size."""
    try:
        data = np.fromfile(folder / name, np.uint8)
        picture = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    except OSError as error:
        raise DatasetError(
            f"{name} cannot be read ({error.strerror}). Expected it beside the photos."
        ) from error
    if picture is None or picture.ndim != 2:
        raise DatasetError(f"{name} is no picture of one channel. Expected a grey PNG.")
    if picture.shape != tuple(shape[:2]):
        raise DatasetError(
            f"{name} is {picture.shape[1]} x {picture.shape[0]} px. Expected {shape[1]} x {shape[0]}, as its "
            "photo."
        )
    return np.asarray(picture)


def read_dataset(folder: Path) -> Dataset:
    """Read the table of a data set and its landmarks; pictures are read later.

    Raises
    ------
    DatasetError
        There is no table, a row does not fit, or a patient stands in two splits; every such row is named.
    """
    file = folder / TABLE
    if not file.is_file():
        raise DatasetError(
            f"{folder} holds no {TABLE}. Expected a data set. Make one with masi labels import."
        )
    table = read_csv(file, DatasetError).in_small_letters(COLUMNS, DatasetError)
    table.need(("photo", "patient", "split"), DatasetError, "Make a data set with masi labels import.")
    entries, wrong = [], []
    for line, row in zip(table.lines, table.plain_rows, strict=True):
        values = {name: row.get(name, "") for name in COLUMNS}
        values["view"] = values["view"] or "front"
        try:
            entries.append(Entry(**values))  # type: ignore[arg-type]
        except ValueError as why:
            wrong.append(f"line {line}: {why}")
    wrong += [f"{name} stands in {n} rows" for name, n in Counter(e.photo for e in entries).items() if n > 1]
    wrong += [
        f"{name} is missing"
        for entry in entries
        for name in (entry.photo, entry.labels, entry.pigment)
        if name and not (folder / name).is_file()
    ]
    if wrong:
        try:
            refuse_shared_patients(entries)
        except DatasetError as more:
            wrong.append(str(more))
        told = "\n  ".join(wrong)
        raise DatasetError(f"{file} does not fit:\n  {told}\nCorrect the table, or put back what is missing.")
    refuse_shared_patients(entries)
    return Dataset(folder, tuple(entries), _landmarks(folder / LANDMARKS))


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes() if file.is_file() else b"").hexdigest()


def refuse_spelled_alike(patients: Iterable[str]) -> None:
    """Refuse one person under two names, see `spelled_alike`.

    Raises
    ------
    DatasetError
        Naming every such pair.
    """
    if alike := [" and ".join(names) for names in spelled_alike(patients)]:
        raise DatasetError(
            f"Patients are spelled alike: {'; '.join(alike[:10])}. Expected one spelling for each patient: "
            "else their photos might stand in two splits. Correct the column patient, or call them otherwise."
        )


def refuse_shared_patients(entries: Iterable[Entry]) -> None:
    """Refuse photographs of one patient in two splits: what was learned by heart would count as known.

    Patients that are `nearly_alike` may be two, but not in two splits: 7 is what a spreadsheet makes of 007.

    Raises
    ------
    DatasetError
        Naming every such patient.
    """
    places: dict[str, set[str]] = {}
    for entry in entries:
        places.setdefault(entry.patient, set()).add(entry.split or "none")
    refuse_spelled_alike(places)
    shared = [f"{name} in {' and '.join(sorted(of))}" for name, of in sorted(places.items()) if len(of) > 1]
    if shared:
        raise DatasetError(
            f"{len(shared)} patients stand in more than one split: {'; '.join(shared[:10])}. Expected "
            "all photos of a patient in one. Correct the column split."
        )
    apart = [
        alike for alike in nearly_alike(places) if len({split for one in alike for split in places[one]}) > 1
    ]
    if apart:
        raise DatasetError(
            f"In two splits stand patients whose names differ in zeros or in the sign between their parts "
            f"alone: {'; '.join(' and '.join(told_apart(*alike)) for alike in apart[:10])}. Expected one "
            "person in one split. Give one name to who is one, and two people other names or one split."
        )


def refuse_shared_photos(data: Dataset) -> None:
    """Refuse one file in two splits, whatever the patients are called; see `refuse_shared_patients`.

    Raises
    ------
    DatasetError
        Naming every such pair.
    """
    first: dict[str, Entry] = {}
    shared = []
    for entry in data.entries:
        before = first.setdefault(data.photo_sha256[entry.photo], entry)
        if before.split != entry.split:
            shared.append(f"{before.photo} ({before.split}) and {entry.photo} ({entry.split})")
    if shared:
        raise DatasetError(
            f"In two splits stands one photo under two names: {'; '.join(shared[:10])}. Expected each photo "
            "once. Take one of them out."
        )


def _landmarks(file: Path) -> dict[str, Floats]:
    if not file.exists():
        return {}
    try:
        with np.load(file, allow_pickle=False) as stored:
            found = {name: np.asarray(stored[name], np.float32) for name in stored.files}
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise DatasetError(
            f"{file} cannot be read ({reason_of(error)}). Expected landmarks. Import the labels again."
        ) from error
    if wrong := [name for name, points in found.items() if points.shape != (478, 3)]:
        raise DatasetError(
            f"{file}: {wrong[0]} has landmarks of shape {found[wrong[0]].shape}. Expected (478, 3)."
        )
    if wrong := [name for name, points in found.items() if not _is_face(points)]:
        raise DatasetError(
            f"{file}: the landmarks of {wrong[0]} are no face. Expected points in pixels. Take it out, or "
            "import the labels again."
        )
    return found


def _is_face(points: Floats) -> bool:
    return bool(np.isfinite(points).all() and np.ptp(points[:, :2], axis=0).min() > 0)


def write_dataset(data: Dataset) -> None:
    """Write the landmarks, and the table last: a data set without one is none; pictures lie there already."""
    refuse_shared_patients(data.entries)
    rows = ({name: guarded(value) for name, value in asdict(entry).items()} for entry in data.entries)
    if data.landmarks:
        stored = io.BytesIO()
        np.savez_compressed(stored, **dict(data.landmarks))  # type: ignore[arg-type]
        write_file(data.folder / LANDMARKS, stored.getvalue())
    write_file(data.folder / TABLE, csv_text(COLUMNS, rows))


def write_grey(file: Path, picture: npt.NDArray[np.uint8 | np.uint16]) -> None:
    """Write a picture of one channel as PNG, whatever the script of its path."""
    _, coded = cv2.imencode(".png", picture)
    file.parent.mkdir(parents=True, exist_ok=True)
    coded.tofile(file)


def split_by_patient(entries: Sequence[Entry], *, seed: int = 1) -> tuple[Entry, ...]:
    """Give each patient without a split one, at random: 70 % train, 15 % validation, 15 % test.

    The splits that are given stay, and who may be one person (`nearly_alike`) has one. From three people on,
    none of the three is left empty.
    """
    together = _together({entry.patient for entry in entries})
    given = {entry.patient: entry.split for entry in entries if entry.split}
    free = sorted({entry.patient for entry in entries} - set(given))
    total = len(free) + len(given)
    drawn = dict(given)
    held: Counter[str] = Counter(given.values())
    wanted = {name: share * total for name, share in _SHARES.items()}
    if total >= len(SPLITS):
        wanted |= {name: max(1.0, wanted[name]) for name in ("validation", "test")}
    for place in np.random.default_rng(seed).permutation(len(free)):
        lacking = max(SPLITS, key=lambda name: (wanted[name] - held[name]) / _SHARES[name])
        split = next((drawn[one] for one in together[free[place]] if one in drawn), lacking)
        drawn[free[place]] = split
        held[split] += 1
    return tuple(replace(entry, split=drawn[entry.patient]) for entry in entries)


def _together(patients: set[str]) -> dict[str, set[str]]:
    """Of each patient all who may be the same person, by whatever chain of spellings."""
    together = {name: {name} for name in patients}
    for alike in nearly_alike(patients):
        merged = set[str]().union(*(together[name] for name in alike))
        together |= dict.fromkeys(merged, merged)
    return together


def balance(data: Dataset, group_of: Callable[[Entry], str]) -> dict[str, dict[Split, int]]:
    """How many photos of each group, by split: whether a split lacks a tone, a view or a site."""
    counts: dict[str, dict[Split, int]] = {}
    for entry in data.entries:
        if entry.split:
            row = counts.setdefault(group_of(entry), dict.fromkeys(SPLITS, 0))
            row[entry.split] += 1
    return dict(sorted(counts.items()))
