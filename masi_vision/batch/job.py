"""One visit as a worker gets it, and what the worker gives back: plain values that travel as JSON."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Self

from masi_vision.batch.address import at_hand, mark_of, shown
from masi_vision.config import Settings
from masi_vision.csv_table import csv_line
from masi_vision.errors import ModelError, NotScorable, ReasonCode
from masi_vision.names import View, place_of
from masi_vision.photo import printable_name
from masi_vision.report.pictures import Pictures, write_pictures
from masi_vision.report.tables import (
    REGION_COLUMNS,
    SCORE_COLUMNS,
    inputs_of,
    models_hash,
    refused_in,
    visit_rows,
)
from masi_vision.report.versions import library_versions
from masi_vision.visit.models import Models, open_models
from masi_vision.visit.score import PhotoScore, VisitScore, provenance_of, score_photo, visit_of
from masi_vision.written import json_items

Fate = Literal["done", "changed", "again"]


@dataclass(frozen=True)
class Setup:
    """What all visits of a run have in common.

    Parameters
    ----------
    pictures : tuple of {"overlays", "masks"}
    out : str
        Folder of the pictures.
    models : str
        Folder of the models; "" for the shipped ones.
    models_sha256 : str
        See `models_hash`: with which models the run began; "" where it has not.
    """

    settings: Settings
    pictures: tuple[Pictures, ...] = ()
    out: str = ""
    models: str = ""
    models_sha256: str = ""

    def open_models(self) -> Models:
        """The models of the run.

        Raises
        ------
        ModelError
            They cannot be used, or are others than those with which the run began.
        """
        models = open_models(self.models or None)
        found = models_hash(models.sha256)
        if self.models_sha256 not in ("", found):
            raise ModelError(
                f"The models {models.name} have hash {found[:8]}. Expected {self.models_sha256[:8]}, with "
                "which the run began. Leave models as they are while they score, and run again."
            )
        return models

    def to_json(self) -> str:
        """One line."""
        values = {"settings": self.settings.model_dump(mode="json"), "pictures": self.pictures}
        return json.dumps(
            values | {"out": self.out, "models": self.models, "models_sha256": self.models_sha256}
        )

    @classmethod
    def from_json(cls, line: str) -> Self:
        """Read back what `to_json` wrote."""
        values = json.loads(line)
        settings = Settings.model_validate_json(json.dumps(values["settings"]))
        rest = (values[name] for name in ("out", "models", "models_sha256"))
        return cls(settings, tuple(values["pictures"]), *rest)


@dataclass(frozen=True)
class Job:
    """A visit to be scored.

    Parameters
    ----------
    name : str
        Of its pictures' files.
    photos : dict of View to address
    """

    patient: str
    visit: str
    name: str
    photos: dict[View, str]

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> Self:
        """Read back what `to_json` wrote."""
        return cls(**json.loads(line))


@dataclass(frozen=True)
class PhotoMark:
    """A photo as it was when it was scored.

    Parameters
    ----------
    name : str
        Without its folder.
    sha256 : str or None
        Of its bytes; None where it could not be read.
    mark : str or None
        See `mark_of`; None where it is not there.
    """

    name: str
    sha256: str | None
    mark: str | None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A visit done: its rows as they stand in the tables, and from what they were made.

    Parameters
    ----------
    fate : {"done", "changed", "again"}
        ``changed``: a photo changed while it was read. ``again``: the cause may lie outside the
        visit (a file that cannot be opened, a dead worker), so that the next run tries again.
    scores, regions : str
        Its lines of scores.csv and regions.csv.
    nested : str
        Its object in scores.json.
    notes : dict
        Its part of the lists ``refused`` and ``inputs`` of run.json, and the ``libraries`` of the process
        that read its photos: none where it has no photo.
    photos : dict of View to PhotoMark
    pictures : dict of {"overlays", "masks"} to tuple of str
        What was asked for, and the names of the files.
    seconds : float
    """

    patient: str
    visit: str
    name: str
    fate: Fate
    scores: str
    regions: str
    nested: str
    notes: dict[str, list[dict[str, Any]]]
    status: str
    reason: str
    quality: str
    photos: dict[View, PhotoMark]
    pictures: dict[Pictures, tuple[str, ...]]
    seconds: float = 0.0

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self), ensure_ascii=True, allow_nan=False)

    @classmethod
    def from_json(cls, line: str) -> Self:
        """Read back what `to_json` wrote."""
        values = json.loads(line)
        photos = {view: PhotoMark(**mark) for view, mark in values["photos"].items()}
        pictures = {kind: tuple(files) for kind, files in values["pictures"].items()}
        return cls(**values | {"photos": photos, "pictures": pictures})


def score_job(
    job: Job, setup: Setup, models: Models, begun: Callable[[str], None] = lambda photo: None
) -> Outcome:
    """Score a visit and write its pictures.

    Parameters
    ----------
    begun : callable
        Told the name of each photo before it is read: who kills its worker is known by it.

    Raises
    ------
    OutputError
        Its pictures cannot be written.
    """
    start = time.monotonic()
    pictures: dict[Pictures, tuple[str, ...]] = dict.fromkeys(setup.pictures, ())
    before = {view: mark_of(address) for view, address in job.photos.items()}
    try:
        with at_hand(job.photos) as files:
            result = _scored(job, files, setup.settings, models, begun)
            shas = {one.view: one.photo_sha256 for one in result.photos}
            fate: Fate = "done" if all(shas.values()) else "again"
            # What opens and is no photo, an empty file, is another than the one that was scored before.
            shas |= {view: sha256_of(files[view]) for view, sha in shas.items() if sha is None}
            if before != {view: mark_of(address) for view, address in job.photos.items()}:
                fate = "changed"
            if fate == "done":
                pictures = write_pictures(result, Path(setup.out), job.name, setup.pictures)
    except OSError as error:  # an address that cannot be fetched
        why = NotScorable(
            "unreadable", f"{error}. Expected the photo. Check address and network, and run again."
        )
        result, fate, shas = _refused(job, why, setup.settings, models), "again", {}
    marks = {
        view: PhotoMark(photo_name(address), shas.get(view), before[view])
        for view, address in job.photos.items()
    }
    return _outcome(job, result, fate, marks, pictures, time.monotonic() - start)


def _scored(
    job: Job,
    files: Mapping[View, Path],
    settings: Settings,
    models: Models,
    begun: Callable[[str], None],
) -> VisitScore:
    photos: list[PhotoScore] = []
    for view, file in files.items():
        begun(file.name)
        place = place_of(job.patient, job.visit, view)
        photos.append(score_photo(file, settings, view=view, models=models, place=place))
    return visit_of(photos, settings, patient=job.patient, visit=job.visit, models=models)


def refused(
    job: Job, reason: ReasonCode, message: str, settings: Settings, models: Models, *, fate: Fate
) -> Outcome:
    """The outcome of a visit that was not scored, with its reason."""
    marks = {
        view: PhotoMark(photo_name(address), None, mark_of(address)) for view, address in job.photos.items()
    }
    result = _refused(job, NotScorable(reason, message), settings, models)
    return _outcome(job, result, fate, marks, {}, 0.0)


def _refused(job: Job, why: NotScorable, settings: Settings, models: Models) -> VisitScore:
    return VisitScore.refused(job.patient, job.visit, why, provenance_of(settings, models))


def _outcome(
    job: Job,
    result: VisitScore,
    fate: Fate,
    marks: dict[View, PhotoMark],
    pictures: dict[Pictures, tuple[str, ...]],
    seconds: float,
) -> Outcome:
    rows = visit_rows(result)
    return Outcome(
        patient=job.patient,
        visit=job.visit,
        name=job.name,
        fate=fate,
        scores=csv_line(SCORE_COLUMNS, rows.score),
        regions="".join(csv_line(REGION_COLUMNS, row) for row in rows.regions),
        nested=json_items([rows.nested]),
        notes={
            "refused": list(refused_in(rows.nested)),
            "inputs": list(inputs_of(rows.nested)),
            "libraries": [library_versions()] if marks else [],
        },
        status=result.status,
        reason=result.reason or "",
        quality=rows.score["quality"],
        photos=marks,
        pictures=pictures,
        seconds=round(seconds, 3),
    )


def sha256_of(file: Path) -> str | None:
    """Hash of a photo's bytes; None where it is none, or cannot be opened."""
    try:
        if not file.is_file():  # a pipe would keep us for ever
            return None
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return None


def sha256_at(address: str) -> str | None:
    """The same of a photo at an address."""
    try:
        with at_hand({"front": address}) as files:
            return sha256_of(files["front"])
    except OSError:
        return None


def photo_name(address: str) -> str:
    """A photo's name without its folder."""
    return printable_name(shown(address).rsplit("/", 1)[-1] if "://" in address else address)
