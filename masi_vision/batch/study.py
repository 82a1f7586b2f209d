"""The visits of a study: by the layout STUDY/PATIENT/VISIT, or by a manifest, near or far."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import cast

from masi_vision.batch.address import files_below, is_remote, local_path, remote, shown, words_of
from masi_vision.config import ViewSettings
from masi_vision.csv_table import csv_table, is_no_name, text_of
from masi_vision.errors import NotScorable, StudyError, reason_of
from masi_vision.names import VIEWS, View, place_of
from masi_vision.photo import printable, printable_name
from masi_vision.report.names import FileNames
from masi_vision.visit.folder import VisitFiles, find_visits, visits_among

COLUMNS = ("patient", "visit", "view", "path")
"""Of a manifest."""
_ONLY_THESE = "Correct the first line."


@dataclass(frozen=True)
class StudyVisit:
    """One visit of a study, before any of its photos is read.

    Parameters
    ----------
    name : str
        Of its pictures' files.
    photos : mapping of View to address
    problem : NotScorable or None
        Why there is nothing to score.
    marks : mapping of View to str
        See `mark_of`, where a listing has told them.
    """

    patient: str
    visit: str
    name: str
    photos: Mapping[View, str]
    problem: NotScorable | None = field(default=None, compare=False)
    remarks: tuple[str, ...] = ()
    marks: Mapping[View, str] = field(default_factory=dict, compare=False)

    @property
    def place(self) -> str:
        """PATIENT/VISIT."""
        return place_of(self.patient, self.visit)


def visits_of(study: str, words: ViewSettings) -> list[StudyVisit]:
    """The visits of a study folder or manifest, in a fixed order.

    Parameters
    ----------
    study : str
        Folder, or CSV with the columns ``patient,visit,view,path``; a path or an address.
    words : ViewSettings
        Words that tell a view in a file's name.

    Raises
    ------
    StudyError
        There is no such folder, or the manifest cannot be used.
    """
    marks: dict[str, str] = {}
    if study.lower().endswith(".csv"):
        found = list(_by_manifest(study))
    elif is_remote(study):
        files_at = files_below(study)
        found = [
            (files, {view: files_at[photo][0] for view, photo in files.photos.items()})
            for files in visits_among(list(files_at), words, remote(study).name)
        ]
        marks = {address: mark for address, mark in files_at.values() if mark is not None}
    else:
        folder = local_path(study)
        if not folder.is_dir():
            raise StudyError(
                f"{shown(study)} is no folder. Expected STUDY/PATIENT/VISIT, or a manifest (.csv)."
            )
        found = [
            (files, {view: str(photo.absolute()) for view, photo in files.photos.items()})
            for files in find_visits([folder], words)
        ]
    names = FileNames()
    return [
        StudyVisit(
            files.patient,
            files.visit,
            names.of(files.patient, files.visit),
            photos,
            files.problem,
            files.remarks,
            {view: marks[address] for view, address in photos.items() if address in marks},
        )
        for files, photos in found
    ]


def _by_manifest(study: str) -> Iterator[tuple[VisitFiles, dict[View, str]]]:
    """Visits as a manifest lists them; those named alike are one visit."""
    visits: dict[tuple[str, str], dict[View, str]] = {}
    problems: dict[tuple[str, str], NotScorable] = {}
    named: dict[str, int] = {}
    rows = list(_rows(study))
    if wrong := [(number, row) for number, row in rows if not _is_usable(row)]:
        number, row = wrong[0]
        others = ", ".join(str(one) for one, _ in wrong[1:])
        found = shown(",".join(row[name] for name in COLUMNS))
        raise StudyError(
            f"Line {number} of {_short(study)} is {found!r}. Expected "
            f"a visit without /, a view ({', '.join(VIEWS)}) and a path in each line, and nobody called as "
            "tables write that there is nothing (NA, NULL). Correct the line"
            + (f", and lines {others}." if others else ".")
        )
    for number, row in rows:
        patient, visit, view = (printable(row[name]) for name in COLUMNS[:3])
        view = cast(View, view.lower())
        photos = visits.setdefault((patient, visit), {})
        if view in photos:
            problems[patient, visit] = NotScorable(
                "ambiguous_view",
                f"{visit} has two photos of the {view} view in the manifest. Expected one. Keep the one to "
                "be scored.",
            )
        if "\0" in row["path"]:
            raise StudyError(
                f"Line {number} of {_short(study)} has a zero byte in its path. Expected a path. Copy the "
                "manifest again from where it is whole."
            )
        address = _beside(study, row["path"], number)
        same = address if is_remote(address) else os.path.normpath(address)
        if same in named:
            raise StudyError(
                f"Line {number} of {_short(study)} names the photo of line {named[same]} again. Expected "
                "each photo once. Correct the line."
            )
        named[same] = number
        photos[view] = address
    for (patient, visit), photos in visits.items():
        ordered = {view: photos[view] for view in VIEWS if view in photos}
        problem = problems.get((patient, visit))
        files = VisitFiles(patient, visit, {}, problem)
        yield files, {} if problem else ordered


def _is_usable(row: Mapping[str, str]) -> bool:
    visit, view = printable(row["visit"]), printable(row["view"])
    if is_no_name(row["patient"]) or is_no_name(visit):
        return False  # what tables have where there is nothing: no analysis could tell them
    return bool(visit) and "/" not in visit and view.lower() in VIEWS and bool(row["path"])


def _rows(study: str) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        content = (remote(study) if is_remote(study) else local_path(study)).read_bytes()
    except StudyError:
        raise
    except Exception as error:  # every kind of storage has its own errors
        words = words_of(error) if is_remote(study) else reason_of(error)
        raise StudyError(f"{shown(study)} cannot be read ({words}). Expected a CSV file in UTF-8.") from error
    text = text_of(content, shown(study), StudyError)
    table = csv_table(text, _short(study), StudyError, any_case=True).need(COLUMNS, StudyError, _ONLY_THESE)
    if more := set(table.columns) - {*COLUMNS, ""}:  # as of an index, or what is left of a spreadsheet
        raise StudyError(
            f"{table.name} has the column {min(more)!r} too. Expected {', '.join(COLUMNS)}. {_ONLY_THESE}"
        )
    yield from zip(table.lines, table.plain_rows, strict=True)


def _short(study: str) -> str:
    return printable_name(shown(study).rsplit("/", 1)[-1])


def _beside(study: str, path: str, line: int) -> str:
    """A path of a manifest: as it is, or from the manifest's folder on.

    Raises
    ------
    StudyError
        A manifest at an address has a path of a machine, which the others do not have.
    """
    if is_remote(path):
        return path
    if is_remote(study):
        kind, _, file = study.partition("://")
        folder = file.rpartition("/")[0]
        joined = "/".join(filter(None, (folder, path)))
        if ".." in path.split("/"):  # a key may hold what a path would not: nothing else is made plain
            joined = posixpath.normpath(joined)
        left = joined.startswith("..") or (folder and joined.partition("/")[0] != folder.partition("/")[0])
        if path.startswith("/") or left:
            raise StudyError(
                f"Line {line} of {_short(study)} has the path {path!r}. Expected an address, or a path from "
                "the manifest's folder on, within its bucket. Correct the line."
            )
        return f"{kind}://{joined}"
    found = local_path(study).parent / local_path(path)
    if "\\" in path and not found.exists():  # written on Windows
        found = local_path(study).parent / local_path(path.replace("\\", "/"))
    return str(found.absolute())
