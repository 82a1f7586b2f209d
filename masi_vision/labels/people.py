"""Whose photo it is: patient, visit, view, site and split, from a table or from the folders."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path, PurePosixPath

from masi_vision.csv_table import is_no_name, read_csv
from masi_vision.errors import DatasetError
from masi_vision.labels.dataset import SPLITS, Dataset, Entry, refuse_shared_patients, refuse_spelled_alike
from masi_vision.labels.photo_folder import NoSuchPhotoError, PhotoFolder
from masi_vision.names import VIEWS, nearly_alike, told_apart
from masi_vision.photo import printable
from masi_vision.visit.folder import views_told

COLUMNS = ("photo", "patient", "visit", "view", "site", "split")


@dataclass(frozen=True)
class People:
    """Who is on the photos: an entry for each, as far as it is known.

    Parameters
    ----------
    entries : dict of str to Entry
        By the photo's path; labels and pigment are empty yet.
    """

    entries: dict[str, Entry]


def people_by_table(table: Path, photos: PhotoFolder) -> People:
    """Read photo,patient[,visit,view,site,split]; photos by path or by a name that only one has.

    Raises
    ------
    DatasetError
        Every row that does not fit is named; or a patient stands in two splits.
    """
    entries: dict[str, Entry] = {}
    wrong = []
    rows = read_csv(table, DatasetError, any_case=True)
    rows.need(("photo", "patient"), DatasetError, f"It may have {', '.join(COLUMNS[2:])} too.")
    for line, row in zip(rows.lines, rows.plain_rows, strict=True):
        try:
            entry = _entry(row, photos)
            if entry.photo in entries:
                raise ValueError(f"{entry.photo} stands in two rows")
            entries[entry.photo] = entry
        except (ValueError, NoSuchPhotoError) as why:
            wrong.append(f"\n  line {line}: {row['photo']} {why}")
    if wrong:
        raise DatasetError(f"{table.name} does not fit:{''.join(wrong)}\nCorrect the table.")
    refuse_spelled_alike(entry.patient for entry in entries.values())
    refuse_shared_patients(entry for entry in entries.values() if entry.split)
    return People(entries)


def with_splits_of(people: People, photos: PhotoFolder, earlier: Dataset) -> tuple[People, str]:
    """The same people, each who stands in an earlier data set in the split that it has there.

    Returns
    -------
    People, str
        And how many those are.

    Raises
    ------
    DatasetError
        A table says otherwise of a patient, spells one otherwise, or has another name for the patient of a
        photo of before.
    """
    splits = {entry.patient: entry.split for entry in earlier.entries}
    patients = {entry.patient for entry in people.entries.values()}
    refuse_spelled_alike([*splits, *patients])
    for alike in nearly_alike({*splits, *patients}):
        if (new := patients.intersection(alike) - splits.keys()) and (old := splits.keys() & alike):
            name, other = told_apart(min(new), min(old))
            raise DatasetError(
                f"The patient {name} is new, and the earlier data set has {other}. Expected names that "
                "differ in more than zeros or the sign between their parts, so that nobody is tested who was "
                "learned from. Call who is one as before, and another otherwise."
            )
    _refuse_other_names(people, photos, earlier)
    for entry in people.entries.values():
        kept = splits.get(entry.patient, "")
        if entry.split and kept and entry.split != kept:
            raise DatasetError(
                f"The table has patient {entry.patient} in the split {entry.split}, the earlier data set in "
                f"{kept}. Expected one split, so that nobody is tested who was learned from. Correct one."
            )
    known = len(patients & splits.keys())
    return People(
        {
            file: replace(one, split=splits.get(one.patient) or one.split)
            for file, one in people.entries.items()
        }
    ), f"{known} patients keep the split of the earlier data set; {len(patients) - known} are new."


def _refuse_other_names(people: People, photos: PhotoFolder, earlier: Dataset) -> None:
    """Refuse a photo that is in the earlier data set under another patient: its split could not be kept."""

    def digest(file: Path) -> bytes:
        return sha256(file.read_bytes()).digest()

    before: dict[bytes, list[Entry]] = {}
    for entry in earlier.entries:
        before.setdefault(digest(earlier.folder / entry.photo), []).append(entry)
    for file, entry in people.entries.items():
        known = before.get(digest(photos.root / file), [])
        if known and entry.patient not in {one.patient for one in known}:
            raise DatasetError(
                f"{printable(file)} is of patient {printable(entry.patient)}, and the same photo is of "
                f"{printable(known[0].patient)} in the earlier data set ({known[0].split}). Expected one "
                "name of a patient, so that nobody is tested who was learned from. Call the patients as "
                "they were called, with --table."
            )


def _refuse_folders_within(patients: set[str]) -> None:
    """Refuse a patient's folder within another's: it may be a visit, and one person would be two."""
    for patient in sorted(patients):
        outer = [one for one in map(str, PurePosixPath(patient).parents) if one in patients]
        if outer:
            raise DatasetError(
                f"The photos lie in the folders of patients {printable(outer[0])} and {printable(patient)}, "
                "one within the other. Expected PATIENT/VISIT/view.jpg throughout, so that a patient's "
                "photos never stand in two splits. Move them, or name a table of photo,patient with --table."
            )


def _entry(row: dict[str, str], photos: PhotoFolder) -> Entry:
    values = {name: row.get(name, "") for name in COLUMNS}
    file = photos.named(values.pop("photo"))
    view, split = values.pop("view").casefold() or _view(file, photos), values.pop("split").casefold()
    if not values["patient"]:
        raise ValueError("has no patient")
    if is_no_name(values["patient"]):
        raise ValueError(
            f"has the patient {values['patient']!r}, which programs write where there is nothing"
        )
    if view not in VIEWS:
        raise ValueError(f"has the view {view!r}, expected one of {', '.join(VIEWS)}")
    if split not in ("", *SPLITS):
        raise ValueError(f"has the split {split!r}, expected one of {', '.join(SPLITS)}, or none")
    return Entry(file, "", "", view=view, split=split, **values)  # type: ignore[arg-type]


def _view(file: str, photos: PhotoFolder) -> str:
    views = views_told(PurePosixPath(file).stem, photos.words)
    return views[0] if len(views) == 1 else "front"


def people_by_folder(files: Iterable[str], photos: PhotoFolder, *, each_is_a_patient: bool) -> People:
    """Tell patient, visit and view of PATIENT/VISIT/view.jpg.

    Parameters
    ----------
    each_is_a_patient : bool
        Take every photo that lies elsewhere for a patient of its own.

    Raises
    ------
    DatasetError
        Whose photo it is cannot be told, and nobody said that each is of another patient.
    """
    entries, untold = {}, []
    for file in files:
        path = PurePosixPath(file)
        folders = path.parts[:-1]
        if len(folders) >= 2 and len(views_told(path.stem, photos.words)) == 1:
            patient, visit = "/".join(folders[:-1]), folders[-1]
            entries[file] = Entry(file, "", "", patient, visit, _view(file, photos))
        else:
            untold.append(file)
    if untold and not each_is_a_patient:
        raise DatasetError(
            f"Whose photo it is cannot be told of {len(untold)} photos: "
            f"{', '.join(map(printable, untold[:5]))}. Expected "
            "PATIENT/VISIT/view.jpg, so that a patient's photos never stand in two splits. Name a table of "
            "photo,patient with --table, or say --each-photo-is-a-patient if that is so."
        )
    _refuse_folders_within({entry.patient for entry in entries.values()})
    for file in untold:
        patient = PurePosixPath(file).with_suffix("").as_posix()
        entries[file] = Entry(file, "", "", patient, "", _view(file, photos))
    refuse_spelled_alike(entry.patient for entry in entries.values())
    return People(entries)
