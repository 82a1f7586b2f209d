"""The ledger: one SQLite file in which every visit done stands, with what it was made of.

The tables are views of it. A visit is written in one transaction: it is there or it is not, whatever kills
the run. Nothing in it tells when a photo was taken, nor where it lies.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sqlite3
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Self

from masi_vision.batch.history import Result
from masi_vision.batch.job import Outcome, PhotoMark
from masi_vision.config import Settings
from masi_vision.errors import OutputError
from masi_vision.names import View, place_of
from masi_vision.report.pictures import Pictures
from masi_vision.report.tables import models_hash
from masi_vision.source_code import version_and_code
from masi_vision.visit.folder import SHARDS
from masi_vision.visit.score import Provenance

Place = tuple[str, str]
"""Patient and visit."""

LEDGER = "ledger.sqlite"
FORMAT = 2
_SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS slices (sha256 TEXT PRIMARY KEY, settings TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS models (sha256 TEXT PRIMARY KEY, files TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS visits (
  patient TEXT NOT NULL, visit TEXT NOT NULL, name TEXT NOT NULL,
  key TEXT,                 -- of what it was made of; NULL: the next run tries again
  version TEXT NOT NULL, settings TEXT NOT NULL, slice TEXT NOT NULL, models TEXT NOT NULL,
  photos TEXT NOT NULL, pictures TEXT NOT NULL,
  status TEXT NOT NULL, reason TEXT NOT NULL, quality TEXT NOT NULL,
  scores TEXT NOT NULL, regions TEXT NOT NULL, nested BLOB NOT NULL, notes TEXT NOT NULL,
  seconds REAL NOT NULL,
  PRIMARY KEY (patient, visit)
);
"""


@dataclass(frozen=True)
class Made:
    """What a visit's result depends on beside its photos.

    Parameters
    ----------
    version : str
        Of masi_vision, with its code: every state between two releases calls itself the same.
    slice : str
        Hash of the settings that matter to this visit.
    models : str
        Hash of the model files.
    """

    version: str
    slice: str
    models: str

    def key(self, photos: Mapping[View, str]) -> str:
        """Hash of all that the result of these photos depends on."""
        values = [self.version, self.slice, self.models, sorted(photos.items())]
        return hashlib.sha256(json.dumps(values).encode()).hexdigest()


class Maker:
    """What makes the results of a run, for each of its visits.

    Notes
    -----
    Settings that matter: all, but for the words that tell a view (which photos a visit has stands in its
    key), and for checks accepted at another visit's photo.
    """

    def __init__(self, settings: Settings, provenance: Provenance) -> None:
        """Prepare what all visits share."""
        self.settings, self.provenance = settings, provenance
        self._models = models_hash(provenance.models_sha256)
        values = settings.model_dump(mode="json")
        del values["views"]
        self._values = values
        self._accepted: list[str] = values["quality"].pop("accepted")
        self._common = [one for one in self._accepted if "@" not in one]
        self._hashes: dict[tuple[str, ...], str] = {}

    def made(self, patient: str, visit: str) -> Made:
        """What this visit's result depends on."""
        return Made(version_and_code(), self._slice(self._accepted_at(patient, visit)), self._models)

    def values(self, patient: str, visit: str) -> str:
        """The settings that matter to this visit, as JSON."""
        return self._json(self._accepted_at(patient, visit))

    def _accepted_at(self, patient: str, visit: str) -> tuple[str, ...]:
        if len(self._common) == len(self._accepted):
            return tuple(self._common)
        views = {place_of(patient, visit, view) for view in ("front", "left", "right")}
        return tuple(one for one in self._accepted if one.partition("@")[2] in {"", *views})

    def _slice(self, accepted: tuple[str, ...]) -> str:
        if accepted not in self._hashes:
            self._hashes[accepted] = hashlib.sha256(self._json(accepted).encode()).hexdigest()
        return self._hashes[accepted]

    def _json(self, accepted: tuple[str, ...]) -> str:
        quality = self._values["quality"] | {"accepted": accepted}
        return json.dumps(self._values | {"quality": quality}, sort_keys=True, separators=(",", ":"))


@dataclass(frozen=True)
class Record:
    """A visit as it stands in the ledger, without its rows."""

    name: str
    key: str | None
    made: Made
    photos: dict[View, PhotoMark]
    pictures: dict[Pictures, tuple[str, ...]]
    reason: str


@dataclass(frozen=True)
class Told:
    """What the summary of a run tells of a visit.

    Parameters
    ----------
    quality : str
        The worst result of its photos' checks.
    again : bool
        Whether the next run tries again: a photo could not be read.
    """

    patient: str
    visit: str
    status: str
    reason: str
    quality: str
    seconds: float
    again: bool


Column = Literal["scores", "regions", "nested", "notes"]
"""A visit's part of scores.csv, regions.csv, scores.json, and of the lists of run.json."""


def copy_ledger(file: Path, copy: Path) -> None:
    """Copy a ledger as it is at this moment, whoever writes it meanwhile; nothing is written beside it.

    What a run that was killed in the middle of a write left cannot be read in place: its files are copied.
    """
    try:
        with (
            closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as there,
            closing(sqlite3.connect(copy)) as here,
        ):
            there.backup(here)
    except sqlite3.Error:
        shutil.copyfile(file, copy)
        for journal in file.parent.glob(f"{file.name}-*"):
            with suppress(FileNotFoundError):
                shutil.copyfile(journal, copy.with_name(journal.name))


class Ledger:
    """The ledger of one results folder.

    Raises
    ------
    OutputError
        By every method: the disk is full, gone or not writable, or the file is no ledger.
    """

    def __init__(self, file: Path, *, copy_of: Path | None = None) -> None:
        """Open the ledger, or make it; what is said of a copy names the file that it was made of."""
        self.file, self._read_from = copy_of or file, file
        with suppress(OSError):  # of what is in the way SQLite speaks below
            file.touch(mode=0o666, exist_ok=False)  # as the umask has it: SQLite leaves out the group's right
        with self._disk():
            self._base = sqlite3.connect(file, isolation_level=None)
            self._base.executescript(_SCHEMA)
            self._base.execute("PRAGMA synchronous = FULL")
            self._base.execute("INSERT OR IGNORE INTO facts VALUES ('format', ?)", (str(FORMAT),))
            (found,) = self._base.execute("SELECT value FROM facts WHERE name = 'format'").fetchone()
        if found != str(FORMAT):
            raise OutputError(
                f"{file} has format {found}. Expected {FORMAT}. Name another folder with --out, or use the "
                "version of masi_vision that wrote it."
            )

    def __enter__(self) -> Self:
        """Use it."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close it."""
        self._base.close()

    @contextmanager
    def _disk(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if not isinstance(error, sqlite3.OperationalError) or "no such" in str(error):
                raise self._damaged(error) from error
            raise OutputError(
                f"{self.file} cannot be used ({error}). Expected a ledger, free space and the permission to "
                "write. What was done before is kept: run again when there is space, or name another folder."
            ) from error
        except (AttributeError, KeyError, ValueError, TypeError, zlib.error) as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> OutputError:
        is_part = self.file.parent.parent.name == SHARDS
        lost = "delete it" if is_part else "name another folder with --out"
        return OutputError(
            f"{self.file} is damaged ({error}). Expected a ledger as masi batch writes it. Copy it again "
            f"from where it is whole, or {lost}: what it held is scored again from the photos"
            f"{', and the other parts stay' if is_part else ''}."
        )

    @property
    def is_copy(self) -> bool:
        """Whether it is a copy, to be read: what is written into it is lost."""
        return self._read_from != self.file

    @property
    def read_from(self) -> Path:
        """The file behind it: a copy's own."""
        return self._read_from

    @property
    def written_ns(self) -> int:
        """When something was written into it last."""
        return self._read_from.stat().st_mtime_ns

    def records(self) -> dict[Place, Record]:
        """All visits that stand in it."""
        columns = "patient, visit, name, key, version, slice, models, photos, pictures, reason"
        with self._disk():
            return {
                (patient, visit): Record(
                    name,
                    key,
                    Made(*made),
                    {view: PhotoMark(**mark) for view, mark in json.loads(photos).items()},
                    {kind: tuple(files) for kind, files in json.loads(pictures).items()},
                    reason,
                )
                for patient, visit, name, key, *made, photos, pictures, reason in self._base.execute(
                    f"SELECT {columns} FROM visits"
                )
            }

    def result(self, visit: Place) -> Result:
        """What a visit that stands in it came to."""
        ask = "SELECT version, settings, models, status, nested FROM visits WHERE patient = ? AND visit = ?"
        with self._disk():
            version, settings, models, status, nested = self._base.execute(ask, visit).fetchone()
            mmasi = json.loads(zlib.decompress(nested))["mmasi"]
        return Result(version, settings, models, status, mmasi)

    def name_of_models(self, visit: Place) -> str:
        """What the models were called that scored a visit which stands in it."""
        ask = "SELECT nested FROM visits WHERE patient = ? AND visit = ?"
        with self._disk():
            (nested,) = self._base.execute(ask, visit).fetchone()
            return str(json.loads(zlib.decompress(nested))["provenance"]["models"])

    def keep(self, outcome: Outcome, maker: Maker) -> None:
        """Write a visit, in place of what stood there."""
        made = maker.made(outcome.patient, outcome.visit)
        shas = {view: photo.sha256 for view, photo in outcome.photos.items()}
        known = {view: sha for view, sha in shas.items() if sha is not None}
        key = made.key(known) if outcome.fate == "done" and len(known) == len(shas) else None
        photos = json.dumps({view: asdict(mark) for view, mark in outcome.photos.items()})
        row = (
            *(outcome.patient, outcome.visit, outcome.name, key),
            *(made.version, maker.provenance.settings_sha256, made.slice, made.models),
            *(photos, json.dumps(outcome.pictures), outcome.status, outcome.reason),
            *(outcome.quality, outcome.scores, outcome.regions),
            *(zlib.compress(outcome.nested.encode()), json.dumps(outcome.notes), outcome.seconds),
        )
        with self._disk(), self._whole():
            self._base.execute(
                "INSERT OR IGNORE INTO slices VALUES (?, ?)",
                (made.slice, maker.values(outcome.patient, outcome.visit)),
            )
            files = json.dumps(dict(maker.provenance.models_sha256), sort_keys=True)
            self._base.execute("INSERT OR IGNORE INTO models VALUES (?, ?)", (made.models, files))
            marks = ", ".join("?" * len(row))
            self._base.execute(f"INSERT OR REPLACE INTO visits VALUES ({marks})", row)

    def mark(self, visits: Mapping[Place, Mapping[View, PhotoMark]]) -> None:
        """Note that photos were written anew with the same content."""
        with self._disk(), self._whole():
            for (patient, visit), photos in visits.items():
                text = json.dumps({view: asdict(one) for view, one in photos.items()})
                self._base.execute(
                    "UPDATE visits SET photos = ? WHERE patient = ? AND visit = ?", (text, patient, visit)
                )

    def set_pictures(self, visits: Mapping[Place, Mapping[Pictures, tuple[str, ...]]]) -> None:
        """Note which pictures visits have."""
        with self._disk(), self._whole():
            self._base.executemany(
                "UPDATE visits SET pictures = ? WHERE patient = ? AND visit = ?",
                [(json.dumps(pictures), *place) for place, pictures in visits.items()],
            )

    def gone(self) -> set[Place]:
        """Visits of which a run that ended has told that they are not in the study any more."""
        with self._disk():
            found = self._base.execute("SELECT value FROM facts WHERE name = 'gone'").fetchone()
            return {(patient, visit) for patient, visit in json.loads(found[0])} if found else set()

    def set_gone(self, visits: Sequence[Place]) -> None:
        """Note that they were told; one that came back is told when it goes again."""
        if self.gone() != set(visits):
            with self._disk(), self._whole():
                fact = ("gone", json.dumps(visits))
                self._base.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", fact)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """What is kept within is written to the disk together: one by one, thousands take minutes."""
        with self._whole():
            yield

    def take_over(self, other: Path, visits: Sequence[Place]) -> None:
        """Copy visits from another ledger: that of a shard."""
        with self._disk():
            self._base.execute("ATTACH ? AS other", (str(other),))
            try:
                with self._whole():
                    for table in ("slices", "models"):
                        self._base.execute(f"INSERT OR IGNORE INTO {table} SELECT * FROM other.{table}")
                    self._base.executemany(
                        "INSERT OR REPLACE INTO visits SELECT * FROM other.visits "
                        "WHERE patient = ? AND visit = ?",
                        visits,
                    )
            finally:
                self._base.execute("DETACH other")

    @contextmanager
    def _whole(self) -> Iterator[None]:
        """All of it or nothing; within another whole, with that."""
        is_within = self._base.in_transaction
        if is_within:
            yield
            return
        with self._disk():
            self._base.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if self._base.in_transaction:  # a full disk has rolled back already
                self._base.execute("ROLLBACK")
            raise
        with self._disk():
            self._base.execute("COMMIT")

    def column(self, column: Column, visits: Sequence[Place], now: Provenance) -> Iterator[str]:
        """A part of the tables, visit by visit in the order asked for.

        Hash of the settings and name of the models are those of the run: what differs from the settings that
        a visit was scored under does not matter to it, and it was scored by the same models whatever their
        name was, or it would have been scored again.
        """
        ask = f"SELECT {column}, settings FROM visits WHERE patient = ? AND visit = ?"
        for visit in visits:
            with self._disk():
                part, settings = self._base.execute(ask, visit).fetchone() or (None, "")
                text = zlib.decompress(part).decode() if part and column == "nested" else part
            if text is not None:
                yield _under(now, column, text.replace(settings, now.settings_sha256))

    def told(self, visits: Sequence[Place]) -> list[Told]:
        """What the summary tells of these visits."""
        with self._disk():
            ask = "SELECT patient, visit, status, reason, quality, seconds, key IS NULL FROM visits"
            found = {
                (patient, visit): Told(patient, visit, status, reason, quality, seconds, bool(again))
                for patient, visit, status, reason, quality, seconds, again in self._base.execute(ask)
            }
        return [found[visit] for visit in visits if visit in found]

    def libraries(self, visits: Sequence[Place]) -> list[tuple[dict[str, str], int]]:
        """With which libraries the photos of these visits were read, and of how many; most of them first.

        They stand in the notes, not in the key: no visit is scored again for another library.
        """
        found: Counter[tuple[tuple[str, str], ...]] = Counter()
        for visit in visits:
            ask = "SELECT notes FROM visits WHERE patient = ? AND visit = ?"
            with self._disk():
                (notes,) = self._base.execute(ask, visit).fetchone() or ("{}",)
                found.update(tuple(one.items()) for one in json.loads(notes).get("libraries", []))
        return [(dict(one), count) for one, count in found.most_common()]

    def settings_of(self, made: Made) -> dict[str, Any]:
        """The settings behind a slice's hash."""
        return self._value("SELECT settings FROM slices WHERE sha256 = ?", made.slice)

    def models_of(self, made: Made) -> dict[str, Any]:
        """The model files behind their hash."""
        return self._value("SELECT files FROM models WHERE sha256 = ?", made.models)

    def _value(self, ask: str, key: str) -> dict[str, Any]:
        with self._disk():
            found = self._base.execute(ask, (key,)).fetchone()
        values: dict[str, Any] = json.loads(found[0]) if found else {}
        return values


def _under(now: Provenance, column: Column, text: str) -> str:
    """A part of the tables with the name that the models have now: a plain word, never in quotes."""
    if column == "scores":
        before = f",{now.settings_sha256},"
        return re.sub(f"{before}[^,]*,", f"{before}{now.models},", text, count=1)
    return re.sub(r'"models": "[^"]*"', f'"models": "{now.models}"', text) if column == "nested" else text
