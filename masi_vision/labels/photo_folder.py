"""The photos that were annotated, found by the names that annotation tools give them."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from masi_vision.config import ViewSettings
from masi_vision.errors import DatasetError
from masi_vision.labels.export import LabelledPhoto, is_hidden
from masi_vision.visit.folder import PHOTO_SUFFIXES, views_told

_UPLOAD_PREFIX = re.compile(r"^[0-9a-f]{8}-")  # Label Studio puts it before the name of an uploaded file
# Folders that tools put their photos in: they say nothing of whose a photo is.
_OF_TOOLS = re.compile(
    r"images?|imgs?|photos?|pictures|files|data|uploads?|default|jpegimages|annotations?|labels?|labelme|json"
    r"|train|val|validation|test",
    re.IGNORECASE,
)
_UPLOAD = re.compile(r"(?:^|/)upload/\d+/", re.IGNORECASE)  # Label Studio: the number of the project
_ADDRESS = re.compile(r"^[a-z][a-z0-9+.-]*://[^/]*/", re.IGNORECASE)


class NoSuchPhotoError(Exception):
    """No photo, or more than one, goes by a name; the message says which."""


@dataclass(frozen=True)
class PhotoFolder:
    """Photos below a folder.

    Parameters
    ----------
    root : Path
    files : tuple of str
        Relative to it, with slashes.
    words : ViewSettings
        Words that tell a view.
    """

    root: Path
    files: tuple[str, ...]
    words: ViewSettings

    def find(self, photo: LabelledPhoto) -> str:
        """The file of a labelled photo, by path, by the end of its path, or by its name.

        Raises
        ------
        NoSuchPhotoError
            There is none, or it is one of several.
        """
        if photo.by_stem:
            found = self._among(photo.file, self._by_stem)
        else:
            found = self._among(photo.file, self._by_end) or self._uploaded(photo.file)
        if not found:
            raise NoSuchPhotoError("is not below the folder of photos")
        if len(found) > 1:
            raise NoSuchPhotoError(f"may be any of {', '.join(found[:3])}; name it with its folders")
        return found[0]

    def named(self, told: str) -> str:
        """The file that a person names by path or name; `NoSuchPhotoError` as for `find`."""
        return self.find(LabelledPhoto(told, None, ()))

    def _among(self, told: str, known: dict[str, list[str]]) -> list[str]:
        parts = PurePosixPath(_UPLOAD.sub("/", told_path(told)).lstrip("/")).parts
        for first in range(len(parts)):
            found = known.get("/".join(parts[first:]), [])
            exact = [file for file in found if _plain(file) == "/".join(parts[first:])]
            if exact or (found and (not first or _OF_TOOLS.fullmatch(parts[first - 1]))):
                return exact or found
            if found:
                raise NoSuchPhotoError(
                    f"is not below the folder of photos; {found[0]} is called alike, but not in "
                    f"{parts[first - 1]}: it may be another patient's"
                )
        return []

    def _uploaded(self, told: str) -> list[str]:
        """Photos by a name as Label Studio changes it: a prefix, no blanks."""
        name = PurePosixPath(told_path(told)).name
        bare = _UPLOAD_PREFIX.sub("", name)
        return self._by_end.get(bare, []) or self._by_uploaded_name.get(bare, [])

    @cached_property
    def _by_end(self) -> dict[str, list[str]]:
        return _indexed({file: _ends(PurePosixPath(_plain(file)).parts) for file in self.files})

    @cached_property
    def _by_uploaded_name(self) -> dict[str, list[str]]:
        names = {file: [_as_uploaded(PurePosixPath(_plain(file)).name)] for file in self.files}
        return _indexed(names)

    @cached_property
    def _by_stem(self) -> dict[str, list[str]]:
        """By path without ending, and by names that `masi score --save-masks` makes: PATIENT_VISIT_VIEW."""
        names = {}
        for file in self.files:
            path = PurePosixPath(_plain(file))
            parts = path.with_suffix("").parts
            ends = _ends(parts)
            joined = {end.replace("/", "_") for end in ends}
            joined |= {f"{end}_front" for end in joined}
            views = views_told(path.stem, self.words)
            if len(views) == 1:
                joined |= {f"{end.replace('/', '_')}_{views[0]}" for end in _ends(parts[:-1])}
            names[file] = [*ends, *joined]
        return _indexed(names)


def open_photos(root: Path, words: ViewSettings) -> PhotoFolder:
    """Look for photos below a folder, hidden ones left aside.

    Raises
    ------
    DatasetError
        It is no folder, or holds none.
    """
    if not root.is_dir():
        raise DatasetError(f"{root} is no folder. Expected the folder of the photos. Check --photos.")
    found = sorted(
        file.relative_to(root) for file in root.rglob("*") if file.suffix.lower() in PHOTO_SUFFIXES
    )
    files = tuple(file.as_posix() for file in found if not is_hidden(file) and (root / file).is_file())
    if not files:
        raise DatasetError(f"{root} holds no photo. Expected those that were annotated. Check --photos.")
    return PhotoFolder(root, files, words)


def told_path(told: str) -> str:
    """The path in what a tool calls a photo: an address, a path of Windows, or /data/local-files/?d=PATH."""
    text = told.replace("\\", "/")
    is_address = bool(_ADDRESS.match(text)) or text.startswith("/data/")
    text = _ADDRESS.sub("", text)
    if is_address:
        _, query, local = text.partition("?d=")
        text = (local if query else text).partition("?")[0]
        text = re.sub(r"(?:%[0-9A-Fa-f]{2})+", _letters, text)
    parts = [part for part in text.split("/") if part not in ("", ".", "..")]
    return _plain("/".join(parts))


def _letters(escaped: re.Match[str]) -> str:
    return bytes.fromhex(escaped.group().replace("%", "")).decode("utf-8", "replace")


def _plain(name: str) -> str:
    """macOS and others write the same letters differently."""
    return unicodedata.normalize("NFC", name)


def _as_uploaded(name: str) -> str:
    return re.sub(r"[^-\w.]", "", name.strip().replace(" ", "_"))


def _ends(parts: tuple[str, ...]) -> list[str]:
    return ["/".join(parts[first:]) for first in range(len(parts))]


def _indexed(names: dict[str, list[str]]) -> dict[str, list[str]]:
    index: dict[str, list[str]] = defaultdict(list)
    for file, known_as in names.items():
        for name in dict.fromkeys(known_as):
            index[name].append(file)
    return dict(index)
