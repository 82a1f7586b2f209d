"""Finds the visits among the files and folders that a person names.

- A file is a visit of its own, named by its stem, in front view.
- A folder in which a file name tells a view (``P01_front.jpg``) is one visit, named by the folder.
- A folder with one photo is a visit too, and that photo is the front.
- In any other folder each photo is a visit, named by its stem: a set of photos.

Folders below are searched as well. The folders between the named one and the visit are the patient, so
STUDY/PATIENT/VISIT needs no list. Hidden files and the results of earlier runs are passed over.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from masi_vision.config import ViewSettings
from masi_vision.errors import NotScorable, reason_of
from masi_vision.names import (
    VIEWS,
    View,
    folded,
    folders_spelled_alike,
    natural_key,
    nearly_alike,
    signs_in_doubt,
    told_apart,
)
from masi_vision.photo import printable_name
from masi_vision.photo.formats import RAW_SUFFIXES

PHOTO_SUFFIXES = frozenset(
    (
        *(
            ".jpg",
            ".jpeg",
            ".jpe",
            ".jfif",
            ".mpo",
            ".png",
            ".tif",
            ".tiff",
            ".bmp",
            ".webp",
            ".heic",
            ".heif",
        ),
        *RAW_SUFFIXES,
    )
)
_REFUSED_SUFFIXES = frozenset((".gif", ".avif", ".jp2", ".jxl", ".psd", ".dcm", ".pdf"))
"""Of pictures that are not read: a visit says so, rather than that it holds no photo."""
_NOT_SHOWN = (".", "@eaDir", "__MACOSX")
"""How names begin of what systems lay beside photos: a share's thumbnails, what a Mac puts into a ZIP."""
_BESIDE_A_PHOTO = frozenset((".xmp", ".aae", ".json", ".thm", ".xml", ".csv"))
"""What programs and cameras write beside a photo, under its name."""
_NO_ENDING = "its name ends as no photo's does. If it is one, end it as the camera did, such as .jpg."
_DEPTH_OF_A_VISIT = 2  # STUDY/PATIENT/VISIT: an empty folder from there on is a visit without its photos
RESULTS_MARK = "run.json"
"""A folder that holds a file of this name holds results, not photos."""
SHARDS = "shards"
"""Folder in which the parts of a split study have results of their own, each with its mark."""


@dataclass(frozen=True)
class VisitFiles:
    """The photos of one visit, before any of them is read.

    Parameters
    ----------
    patient : str
        Folders between the named one and the visit; empty where there are none.
    visit : str
        Never leaves the named folder: nothing above it shows.
    photos : dict of View to Path
    problem : NotScorable or None
        Why there is nothing to score.
    remarks : tuple of str
        What a person should know, a sentence each: a photo passed over, a visit renamed.
    passed_over : tuple of str
        Names of files beside the photos that may be a view of the visit, but do not say which.
    unscored : dict of View to Path
        Where names are ambiguous, the photos whose names are not: good to be checked, not to be scored.
    """

    patient: str
    visit: str
    photos: dict[View, Path]
    problem: NotScorable | None = None
    remarks: tuple[str, ...] = ()
    passed_over: tuple[str, ...] = ()
    unscored: dict[View, Path] = field(default_factory=dict)

    @property
    def may_be_it(self) -> str:
        """A sentence on what was passed over, for one who looks for a view; empty where nothing was."""
        return f" {_listed(self.passed_over)} may be it." if self.passed_over else ""


def find_visits(paths: Sequence[Path], words: ViewSettings) -> list[VisitFiles]:
    """Find the visits in files and folders, in the order given and by name within a folder (2 before 10).

    Parameters
    ----------
    paths : sequence of Path
        One that does not exist, or holds no photo, comes back as a visit with a problem, so that it has
        its row. A visit reached twice is found once.
    words : ViewSettings
        Words that tell a view.

    Notes
    -----
    No two visits share patient and visit: the second of a name is called "NAME (2)", with a remark.
    """
    found: dict[object, VisitFiles] = {}
    for path in paths:
        for key, visit in _visits_at(path, words):
            found.setdefault(key, visit)
    return _distinct(list(found.values()))


def visits_among(files: Sequence[Path], words: ViewSettings, root: str) -> list[VisitFiles]:
    """Find the visits among files that are known already, as `find_visits` finds them in the folder.

    Parameters
    ----------
    files : sequence of Path
        From the folder on: PATIENT/VISIT/front.jpg.
    root : str
        What the folder is called.
    """
    inside: dict[Path, set[Path]] = {Path(): set()}
    for file in files:
        for below, above in zip((file, *file.parents), file.parents, strict=False):
            inside.setdefault(above, set()).add(below)
    top = Path(root)
    of_results = Path(RESULTS_MARK) in inside[Path()]
    found = list(_visits_below(Path(), top, _Listing(inside), words)) or [_nothing_in(top, of_results)]
    return _distinct([visit for _, visit in found])


def files_in(folder: Path) -> Iterator[Path]:
    """Every file in a folder and below it, from the folder on; links are followed, each folder once."""
    seen: set[str] = set()
    for where, below, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(where)
        if real in seen:
            below.clear()
            continue
        seen.add(real)
        yield from (Path(where, name).relative_to(folder) for name in files)


def order_in_doubt(visits: Iterable[tuple[str, str]]) -> list[str]:
    """Say of which patients the names of the visits do not tell their order, of patient and visit each."""
    of: dict[str, list[str]] = {}
    for patient, visit in visits:
        of.setdefault(patient, []).append(visit)
    return [
        f"{patient or 'This patient'} has the visits {', '.join(told_apart(*doubtful))}: whether a dash "
        "there is a minus, and so which visit came first, nobody can tell. Expected names that do, as "
        "'day -14', 'day 1'."
        for patient, names in of.items()
        if (doubtful := signs_in_doubt(names))
    ]


def spelled_in_two_ways(places: Collection[tuple[str, str]]) -> list[str]:
    """Say which sites, patients and visits are spelled in two ways, of the patient and visit of each.

    Of visits what an analysis refuses as one, when the code is broken and it is late to rename them.
    """
    patients, visits = ([place[at] for place in places] for at in (0, 1))
    return [
        "{} and {}".format(*told_apart(first, other))
        + " differ in case, width, blanks or how an accent is written alone (or, as visits, in leading zeros "
        "or the sign between their parts), and count as two. Expected one spelling of each site, patient and "
        "visit. Rename one."
        for first, *others in [*folders_spelled_alike(patients), *nearly_alike(visits)]
        for other in others
    ]


def is_photo(file: Path) -> bool:
    """Whether a file is one that a visit would hold: called like a photo that is read, and not hidden."""
    return file.suffix.lower() in PHOTO_SUFFIXES and not any(one.startswith(_NOT_SHOWN) for one in file.parts)


def one_visit(path: Path, words: ViewSettings) -> VisitFiles:
    """Find the one visit of a file or folder; ValueError if there are more."""
    found = find_visits([path], words)
    if len(found) != 1:
        raise ValueError(
            f"{_own_name(path)} holds {len(found)} visits. Expected one. Name one of its folders, or use "
            "`masi score`, which takes them all."
        )
    return found[0]


_Found = tuple[object, VisitFiles]  # what makes a visit the same visit, and the visit


class _Files(Protocol):
    """Where visits are looked for."""

    def entries(self, folder: Path) -> Iterable[Path]: ...

    def is_folder(self, entry: Path) -> bool: ...

    def real(self, folder: Path) -> str: ...


class _Disk:
    """Files and folders as they lie on this machine."""

    def entries(self, folder: Path) -> Iterable[Path]:
        return folder.iterdir()

    def is_folder(self, entry: Path) -> bool:
        return _is_folder(entry)

    def real(self, folder: Path) -> str:
        return os.path.realpath(folder)


@dataclass(frozen=True)
class _Listing:
    """Files that are known already, by the folder they lie in."""

    inside: Mapping[Path, set[Path]]

    def entries(self, folder: Path) -> Iterable[Path]:
        return self.inside[folder]

    def is_folder(self, entry: Path) -> bool:
        return entry in self.inside

    def real(self, folder: Path) -> str:
        return str(folder)


def _visits_at(path: Path, words: ViewSettings) -> list[_Found]:
    name = _own_name(path)
    if _is_folder(path):
        return list(_visits_below(path, path, _Disk(), words)) or [
            _nothing_in(path, (path / RESULTS_MARK).exists())
        ]
    if not os.path.exists(path):  # noqa: PTH110 (Path.exists raises where access is denied)
        return [_problem(path, "", name, NotScorable("unreadable", f"{name} was not found. Check the path."))]
    return [_lone_photo(path, "", _stem(path), views_told(path.stem, words))]


def _nothing_in(folder: Path, of_results: bool) -> _Found:
    """Of a folder that was named and in which no visit was found."""
    name = _own_name(folder)
    why = f"{name} holds results. Expected photos. Name the folder they lie in."
    return _problem(folder, "", name, NotScorable("no_photo", why) if of_results else _no_photo(name))


def _visits_below(
    folder: Path,
    called: Path,
    files: _Files,
    words: ViewSettings,
    parts: tuple[str, ...] = (),
    above: frozenset[str] = frozenset(),
) -> Iterator[_Found]:
    """Visits of a folder and of the folders in it; a link back to a folder above is not followed."""
    real = files.real(folder)
    if real in above:
        return
    name, patient = _own_name(called), "/".join(parts[:-1])
    try:
        entries = sorted(files.entries(folder), key=lambda entry: natural_key(entry.name))
        if _holds_results(folder, entries, files):
            return
    except OSError as error:
        words_of_system = reason_of(error)
        why = f"The folder {name} cannot be opened ({words_of_system}). Check its permissions."
        yield _problem(folder, patient, name, NotScorable("unreadable", why))
        return
    shown = [entry for entry in entries if not entry.name.startswith(_NOT_SHOWN)]
    folders = [entry for entry in shown if files.is_folder(entry)]
    photos = [entry for entry in shown if _is_picture(entry) and not files.is_folder(entry)]
    others = [entry for entry in shown if not _is_picture(entry) and not files.is_folder(entry)]
    if len(parts) >= _DEPTH_OF_A_VISIT and not photos and not folders:
        yield _problem(folder, patient, name, _no_photo(name, _called_as(VIEWS, others, words)))
    yield from _visits_in(called, photos, others, parts, words)
    for below in folders:
        named = (*parts, printable_name(below))
        yield from _visits_below(below, below, files, words, named, above | {real})


def _holds_results(folder: Path, entries: Iterable[Path], files: _Files) -> bool:
    """Whether it holds the results of a run, or of the parts of a split one."""
    names = {entry.name for entry in entries}
    if RESULTS_MARK in names or SHARDS not in names or not files.is_folder(folder / SHARDS):
        return RESULTS_MARK in names
    try:
        parts = [part for part in files.entries(folder / SHARDS) if files.is_folder(part)]
    except OSError:  # what cannot be looked into marks nothing
        return False
    return any(_is_marked(part, files) for part in parts)


def _is_marked(part: Path, files: _Files) -> bool:
    try:
        return any(entry.name == RESULTS_MARK for entry in files.entries(part))
    except OSError:
        return False


def _visits_in(
    folder: Path, photos: Sequence[Path], others: Sequence[Path], parts: tuple[str, ...], words: ViewSettings
) -> Iterator[_Found]:
    """Visits of the photos that lie directly in one folder."""
    told = _without_working_files({photo: views_told(photo.stem, words) for photo in photos})
    photos = list(told)
    if any(told.values()):
        yield _visit_by_views(folder, "/".join(parts[:-1]), told, words, others)
    elif len(photos) == 1:
        visit = VisitFiles("/".join(parts[:-1]), _own_name(folder), {"front": photos[0]})
        yield _key(visit), visit
    else:
        stems = Counter(_stem(photo) for photo in photos)
        views = f"{words.front[0]}, {words.left[0]} and {words.right[0]}"
        remark = (
            f"{_own_name(folder)} holds {len(photos)} photos whose names tell no view, and each is scored as "
            f"a visit of its own. If they are one visit, name them {views}."
        )
        within = len(parts) >= _DEPTH_OF_A_VISIT  # a plain folder of photos holds people, not views
        for photo in photos:
            name = _stem(photo) if stems[_stem(photo)] == 1 else printable_name(photo)
            key, visit = _lone_photo(photo, "/".join(parts), name, told[photo])
            yield key, replace(visit, remarks=(*visit.remarks, remark)) if within else visit


def _is_picture(entry: Path) -> bool:
    return entry.suffix.lower() in PHOTO_SUFFIXES | _REFUSED_SUFFIXES


def _without_working_files(told: dict[Path, list[View]]) -> dict[Path, list[View]]:
    """Drop pictures that are not read, but for one that alone shows its view: a visit should say why."""
    readable = {photo for photo in told if photo.suffix.lower() in PHOTO_SUFFIXES}
    shown = {view for photo in readable for view in told[photo]}
    if not readable:
        return told
    return {
        photo: views
        for photo, views in told.items()
        if photo in readable or (shown and views and shown.isdisjoint(views))
    }


def _visit_by_views(
    folder: Path, patient: str, told: dict[Path, list[View]], words: ViewSettings, others: Sequence[Path]
) -> _Found:
    name = _own_name(folder)
    of_view = {view: [photo for photo, views in told.items() if views == [view]] for view in VIEWS}
    photos: dict[View, Path] = {view: of[0] for view, of in of_view.items() if len(of) == 1}
    if why := _ambiguous(name, told, of_view):
        return _absolute(folder), VisitFiles(patient, name, {}, why, unscored=photos)
    unnamed = tuple(printable_name(photo) for photo, views in told.items() if not views)
    advice = _names_left(photos, words)
    remarks = [f"{photo} was passed over: its name tells no view. {advice}" for photo in unnamed]
    unread = _called_as([view for view in VIEWS if view not in photos], others, words)
    remarks += [f"{file} was passed over: {_NO_ENDING}" for file in unread]
    visit = VisitFiles(patient, name, photos, None, tuple(remarks), (*unnamed, *unread))
    return _key(visit), visit


def _ambiguous(
    name: str, told: Mapping[Path, list[View]], of_view: Mapping[View, list[Path]]
) -> NotScorable | None:
    """Why nobody knows which photo of a visit is which, if so."""
    for photo, views in told.items():
        if len(views) > 1:
            why = f"{printable_name(photo)} tells two views, {' and '.join(views)}. Expected one. Rename it."
            return NotScorable("ambiguous_view", why)
    for view, alike in of_view.items():
        if len(alike) > 1:
            names = _listed([printable_name(photo) for photo in alike])
            why = (
                f"{name} holds {len(alike)} photos of the {view} view: {names}. Expected one. "
                "Keep the one to be scored, and give each visit its own folder."
            )
            return NotScorable("ambiguous_view", why)
    return None


def _called_as(views: Collection[View], files: Iterable[Path], words: ViewSettings) -> tuple[str, ...]:
    """Files that are no photo by the end of their name, and whose name tells one of these views."""
    if not views:
        return ()
    told = {f: views_told(f.name, words) for f in files if f.suffix.lower() not in _BESIDE_A_PHOTO}
    return tuple(printable_name(file) for file, of in told.items() if not set(views).isdisjoint(of))


def _names_left(photos: Collection[View], words: ViewSettings) -> str:
    """What to call a photo, of the views that a visit has none of."""
    names = [f"{getattr(words, view)[0]}.jpg" for view in VIEWS if view not in photos]
    if not names:
        return "The visit has all its views."
    return f"If it is another view, name it {' or '.join(filter(None, (', '.join(names[:-1]), names[-1])))}."


def _lone_photo(photo: Path, patient: str, name: str, told: Sequence[View]) -> _Found:
    sides = [view for view in told if view != "front"]
    remark = f"{printable_name(photo)} is scored alone, as a front. Name its folder to score all its views."
    visit = VisitFiles(patient, name, {"front": photo}, None, (remark,) if sides else ())
    return _key(visit), visit


def views_told(stem: str, words: ViewSettings) -> list[View]:
    """Views whose words stand in a file's stem; letters may not touch the word, digits and _ may."""
    text = folded(stem)
    return [view for view, pattern in _patterns(words).items() if pattern.search(text)]


@lru_cache(maxsize=4)  # a watch asks at every look, for every file
def _patterns(words: ViewSettings) -> dict[View, re.Pattern[str]]:
    return {view: re.compile("|".join(map(_whole, getattr(words, view)))) for view in VIEWS}


def _whole(word: str) -> str:
    """Pattern of a word that no letter touches, nor a digit where the word itself ends in one."""
    word = folded(word)
    before, after = (r"\d" if word[end].isdigit() else r"[^\W\d_]" for end in (0, -1))
    return f"(?<!{before}){re.escape(word)}(?!{after})"


def _key(visit: VisitFiles) -> object:
    return tuple((view, _absolute(photo)) for view, photo in visit.photos.items())


def _problem(path: Path, patient: str, name: str, why: NotScorable) -> _Found:
    return _absolute(path), VisitFiles(patient, name, {}, why)


def _no_photo(name: str, beside: Sequence[str] = ()) -> NotScorable:
    what_to_do = f"{_listed(beside)}: {_NO_ENDING}" if beside else "Check the folder."
    return NotScorable(
        "no_photo", f"{name} holds no photo. Expected one to three: front, left, right. {what_to_do}"
    )


def _own_name(path: Path) -> str:
    """The name a path was given under; a link keeps its own, for a coded set must not tell where it leads."""
    return printable_name(_absolute(path))


def _stem(photo: Path) -> str:
    return printable_name(photo.with_name(photo.stem))


def _absolute(path: Path) -> str:
    return os.path.abspath(path)  # noqa: PTH100 (Path.resolve would follow links)


def _is_folder(path: Path) -> bool:
    return os.path.isdir(path)  # noqa: PTH112 (Path.is_dir raises where access is denied)


def _listed(names: Sequence[str], most: int = 4) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _distinct(visits: Sequence[VisitFiles]) -> list[VisitFiles]:
    """Number the second and later visits of one name."""
    taken = {(visit.patient, visit.visit) for visit in visits}
    first: set[tuple[str, str]] = set()
    distinct = []
    for visit in visits:
        if (visit.patient, visit.visit) in first:
            visit = _renamed(visit, taken)
            taken.add((visit.patient, visit.visit))
        first.add((visit.patient, visit.visit))
        distinct.append(visit)
    return distinct


def _renamed(visit: VisitFiles, taken: set[tuple[str, str]]) -> VisitFiles:
    number = 2
    while (visit.patient, f"{visit.visit} ({number})") in taken:
        number += 1
    name = f"{visit.visit} ({number})"
    remark = f"Another visit is called {visit.visit} too; this one is called {name}, in the order given."
    return replace(visit, visit=name, remarks=(*visit.remarks, remark))


def has_own_folder(files: VisitFiles) -> bool:
    """Whether the visit is a folder, not a photo among others; one that cannot be read is taken for one."""
    photo = next(iter(files.photos.values()), None)
    if photo is None:
        return True
    folder = re.escape(_own_name(photo.parent))  # with the number that `_distinct` gave it
    return re.fullmatch(rf"{folder}( \(\d+\))?", files.visit) is not None


def folder_of_patient(files: VisitFiles) -> str:
    """Where the folder of a visit with photos lies, whichever way it was named."""
    return str(Path(_absolute(next(iter(files.photos.values())))).parent.parent)
