"""A run over visits: find them, score each, write its pictures at once and the tables at the end."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from masi_vision.batch.ledger import LEDGER
from masi_vision.batch.results import locked
from masi_vision.cli.door import DONE, SOME_NOT_SCORED, STOPPED
from masi_vision.cli.options import refuse_coded_set, refuse_photos
from masi_vision.config import Settings
from masi_vision.errors import OutputError
from masi_vision.names import VIEWS
from masi_vision.report.names import FileNames
from masi_vision.report.pictures import ENDINGS, MASKS, OVERLAYS, Pictures, make_folders, write_pictures
from masi_vision.report.tables import (
    RUN_JSON,
    TABLES,
    RunFacts,
    RunState,
    VisitRows,
    run_record,
    visit_rows,
    write_tables,
)
from masi_vision.report.versions import library_versions
from masi_vision.visit.folder import SHARDS, VisitFiles, files_in, find_visits
from masi_vision.visit.models import Models, open_models
from masi_vision.visit.score import VisitScore, provenance_of, score_visit
from masi_vision.written import half_written, json_text, make_private_folder, write_file, writing


@dataclass(frozen=True)
class ResultFiles:
    """What a run makes, and --overwrite takes away; anything else in the folder stays.

    Parameters
    ----------
    tables : tuple of str
    pictures : mapping of folder to the names of its files
    """

    tables: tuple[str, ...]
    pictures: Mapping[str, tuple[str, ...]]


CHANGES_CSV, REGION_CHANGES_CSV, CHANGES_JSON = "changes.csv", "region_changes.csv", "changes.json"
PICTURES = "pictures"
SCORED = ResultFiles(
    (*TABLES, CHANGES_CSV, REGION_CHANGES_CSV, CHANGES_JSON),
    {folder: tuple(f"*_{view}{end}" for view in VIEWS for end in ends) for folder, ends in ENDINGS.items()}
    | {PICTURES: tuple(f"*_{view}.jpg" for view in VIEWS)},
)
"""Of masi score and of masi compare: what one of them leaves beside the other's would be of another run."""

Told = Callable[[int, int], None]
"""Called with the visits done and found."""


@dataclass(frozen=True)
class Order:
    """What a person asked for."""

    paths: tuple[Path, ...]
    out: Path
    settings: Settings
    save_masks: bool = False
    overlays: bool = True
    overwrite: bool = False
    models: Path | None = None

    @property
    def pictures(self) -> tuple[Pictures, ...]:
        """The kinds of pictures asked for."""
        return (OVERLAYS,) * self.overlays + (MASKS,) * self.save_masks


def score_and_show(order: Order, *, as_json: bool = False) -> int:
    """Score, show the table (or print scores.json), and give the exit code."""
    from masi_vision.cli import screen

    with screen.progress() as progress:
        book = score_visits(order, progress)
    if as_json:
        screen.print_json([visit.nested for visit in book.visits])
    else:
        screen.show(book)
    if book.state == "interrupted":
        return STOPPED
    scored = all(visit.score["status"] == "scored" for visit in book.visits)
    return DONE if scored else SOME_NOT_SCORED


def score_visits(order: Order, progress: Told = lambda done, found: None) -> Book:
    """Score every visit and write the results; stopped by Ctrl-C, it keeps what is done.

    Raises
    ------
    OutputError, ModelError
        The results folder cannot be used, or the models cannot.
    """
    models = open_models(order.models)
    found = find_visits(order.paths, order.settings.views)
    book = Book(order, models, len(found))
    names = FileNames()
    with prepared(order), book.kept():
        for files in found:
            progress(len(book.visits), len(found))
            result = score_files(files, order.settings, models)
            write_pictures(result, order.out, names.of(files.patient, files.visit), order.pictures)
            book.visits.append(visit_rows(result, files.remarks))
    return book


class Book:
    """Keeps what a run has done, and writes it whatever ends the run.

    Its `state` is "interrupted" where it was stopped.
    """

    def __init__(self, order: Order, models: Models, visits_found: int) -> None:
        self.visits: list[VisitRows] = []
        self.state: RunState = "running"
        self.order, self.visits_found = order, visits_found
        self._provenance = provenance_of(order.settings, models)
        self._started, self._clock = datetime.now(UTC), time.monotonic()

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Mark the folder as results from the start; write the tables at the end, however it comes."""
        write_file(self.order.out / RUN_JSON, json_text(run_record(self.facts(), [])))
        try:
            yield
            self.state = "finished"
        except KeyboardInterrupt:
            self.state = "interrupted"
        except BaseException:
            self.state = "failed"
            raise
        finally:
            self.write()

    def write(self) -> None:
        """Write what was done so far."""
        write_tables(self.order.out, self.visits, self.facts())

    def facts(self) -> RunFacts:
        """What run.json says of the run as it stands."""
        return RunFacts(
            self.order.settings,
            self._provenance,
            self.state,
            self.visits_found,
            self._started.isoformat(timespec="seconds"),
            time.monotonic() - self._clock,
            library_versions(),
        )


@contextmanager
def prepared(order: Order, made: ResultFiles = SCORED) -> Iterator[None]:
    """Make the results folder, or refuse it, and hold it against other runs.

    Raises
    ------
    OutputError
        Nothing that was named is there, or the folder cannot be used, as while another run does.
    """
    if not any(os.path.lexists(path) for path in order.paths):
        named = ", ".join(map(str, order.paths))
        raise OutputError(f"{named} was not found. Expected photos or folders. Check the path.")
    with writing(order.out):
        _check_out(order, made)
        make_private_folder(order.out)
    with locked(order.out):
        with writing(order.out):
            for old in _old_results(order.out, made):
                old.unlink(missing_ok=True)
            make_folders(order.out, order.pictures)
        yield


def _check_out(order: Order, made: ResultFiles) -> None:
    out = order.out
    within = {above for path in order.paths for above in (path.resolve(), *path.resolve().parents)}
    if out.resolve() in within:
        raise OutputError(
            f"{out}, or what lies in it, is both read and written. Expected a folder of its own: photos "
            "beside results are passed over. Name another with --out."
        )
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out} is a file. Expected a folder. Name another with --out.")
    refuse_coded_set(out)
    if not (out / RUN_JSON).exists():
        refuse_photos(str(out), list(files_in(out)))
    if made is SCORED and any((*out.glob(LEDGER), *out.glob(f"{SHARDS}/*/{LEDGER}"))):
        raise OutputError(
            f"{out} belongs to masi batch: its ledger lies there. Expected another folder: it would "
            "take what is drawn over its pictures for its own. Name another with --out."
        )
    held = [name for name in (*made.tables, *_pictures_made(out, made)) if (out / name).exists()]
    if held and not order.overwrite:
        raise OutputError(
            f"{out} already holds {', '.join(held)}. Expected a new or empty folder. "
            "Name another with --out, or add --overwrite to replace the results."
        )


def _pictures_made(out: Path, made: ResultFiles) -> dict[str, tuple[str, ...]]:
    """Folders of pictures; one named pictures is masi compare's only beside its tables."""
    compared = (out / CHANGES_JSON).exists() or (out / CHANGES_CSV).exists()
    return {folder: kinds for folder, kinds in made.pictures.items() if folder != PICTURES or compared}


def _old_results(out: Path, made: ResultFiles) -> list[Path]:
    folders = {out / name: kinds for name, kinds in _pictures_made(out, made).items()}
    pictures = [file for folder, kinds in folders.items() for kind in kinds for file in folder.glob(kind)]
    parts = half_written(out, *folders)
    return [*pictures, *parts, *(out / name for name in made.tables)]


def score_files(files: VisitFiles, settings: Settings, models: Models) -> VisitScore:
    """Score a visit; one with a problem of its own keeps that as its reason."""
    if files.problem is not None:
        return VisitScore.refused(files.patient, files.visit, files.problem, provenance_of(settings, models))
    return score_visit(files.photos, settings, patient=files.patient, visit=files.visit, models=models)
