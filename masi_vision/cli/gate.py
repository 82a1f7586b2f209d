"""A run over visits that checks the quality of their photos and scores nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from rich.table import Table

from masi_vision.cli import screen
from masi_vision.cli.door import DONE, SOME_NOT_SCORED, STOPPED
from masi_vision.cli.options import is_coded_set
from masi_vision.cli.run import Book, Order, ResultFiles, Told, prepared
from masi_vision.config import Settings
from masi_vision.csv_table import csv_text
from masi_vision.errors import NotScorable
from masi_vision.names import VIEWS, View, place_of
from masi_vision.photo import printable_name, read_photo
from masi_vision.photo.exif import CaptureFacts
from masi_vision.report.picture import Picture, jpeg
from masi_vision.report.quality import (
    QUALITY_COLUMNS,
    CheckedPhoto,
    contact_sheets,
    quality_rows,
    small_picture,
    thumbnail,
)
from masi_vision.report.tables import RUN_JSON, run_record
from masi_vision.visit.folder import (
    VisitFiles,
    find_visits,
    folder_of_patient,
    has_own_folder,
    order_in_doubt,
)
from masi_vision.visit.models import Models, open_models
from masi_vision.visit.quality import (
    PERSON,
    RESULTS,
    check_likeness,
    check_person,
    check_photo,
    refusal,
    wanted,
    worst,
)
from masi_vision.visit.score import no_front
from masi_vision.visit.seen import READ_SIDE_PX, SeenPhoto, see_photo, srgb8
from masi_vision.visit.since_first import (
    Capture,
    capture_of,
    changed_since,
    check_clock,
    check_day,
    copies,
    no_such_view,
)
from masi_vision.visit.views import SkinDetail
from masi_vision.written import json_text, write_file

QUALITY_CSV, SHEETS = "quality.csv", "contact"
_SEVERAL = 3
"""Fewer fronts tell nothing of a folder."""
CHECKED = ResultFiles((QUALITY_CSV, RUN_JSON), {SHEETS: ("contact_*.jpg",)})


class GateBook(Book):
    """Keeps the photos checked, and writes them whatever ends the run."""

    def __init__(self, order: Order, models: Models, visits_found: int) -> None:
        super().__init__(order, models, visits_found)
        self.photos: list[CheckedPhoto] = []
        self.remarks: list[str] = []

    @property
    def there(self) -> list[CheckedPhoto]:
        """Without what stands for a photo that a visit lacks."""
        return [one for one in self.photos if one.photo]

    def write(self) -> None:
        """Write what was done so far."""
        rows = [row for one in self.photos for row in quality_rows(one)]
        write_file(self.order.out / QUALITY_CSV, csv_text(QUALITY_COLUMNS, rows))
        for number, sheet in enumerate(contact_sheets(self.photos), start=1):
            write_file(self.order.out / SHEETS / f"contact_{number:02d}.jpg", jpeg(sheet))
        there = self.there
        counts = {result: sum(one.result == result for one in there) for result in RESULTS}
        told = ("patient", "visit", "view", "photo", "sha256")
        inputs = [{name: getattr(one, name) for name in told} for one in there]
        record = run_record(self.facts(), []) | {
            "counts": {"visits_found": self.visits_found, "photos": len(there)} | counts,
            "inputs": inputs,
            "remarks": self.remarks,
        }
        write_file(self.order.out / RUN_JSON, json_text(record))


def check_and_show(order: Order) -> int:
    """Check, show the table, and give the exit code."""
    with screen.progress("Checking") as progress:
        book = check_visits(order, datetime.now(UTC).replace(tzinfo=None), progress)
    _show(book)
    if book.state == "interrupted":
        return STOPPED
    bad = any(one.result == "fail" for one in book.photos) or not book.photos
    return SOME_NOT_SCORED if bad else DONE


def check_visits(order: Order, now: datetime, progress: Told = lambda done, found: None) -> GateBook:
    """Check the photos of every visit, later visits against the patient's first; and write the results.

    Parameters
    ----------
    now : datetime
        In UTC, without a zone: no photo is of a later day.

    Raises
    ------
    OutputError, ModelError
        The results folder cannot be used, or the models cannot.
    """
    models = open_models(order.models)
    found = [
        replace(files, photos=files.unscored) if files.unscored else files
        for files in find_visits(order.paths, order.settings.views)
    ]
    book = GateBook(order, models, len(found))
    before: dict[tuple[str, View], Before] = {}
    had: dict[tuple[str, View], str] = {}
    with prepared(order, CHECKED), book.kept():
        (order.out / SHEETS).mkdir(exist_ok=True)
        for done, files in enumerate(found):
            progress(done, len(found))
            name = place_of(files.patient, files.visit)
            book.remarks += [f"{name}: {remark}" for remark in files.remarks]
            if (why := _lacking(files, order.settings)) is not None:
                lacked: View = next((view for view in VIEWS if view not in files.photos), "front")
                nothing = CheckedPhoto(files.patient, files.visit, lacked, "", None, (), why)
                book.photos.append(nothing)
            for one in _checked_visit(files, before, order.settings, models, now):
                book.photos.append(one)
            book.photos += _without_its_views(files, had, order.settings)
        book.remarks += copies((one.name, one.sha256) for one in book.there)
        book.remarks += _named_alone(order.paths, found)
        ours = [(files.patient, files.visit) for files in found if files.photos and _of_a_patient(files)]
        book.remarks += [f"{said} Call them so, and check again." for said in order_in_doubt(ours)]
        book.remarks += _may_be_patients(book.photos)
    return book


def _lacking(files: VisitFiles, settings: Settings) -> NotScorable | None:
    """Why the visit could not be scored whatever its photos are like."""
    if files.problem is None and "front" not in files.photos:
        return NotScorable("no_photo", no_front(settings) + files.may_be_it)
    return files.problem


def _without_its_views(
    files: VisitFiles, had: dict[tuple[str, View], str], settings: Settings
) -> Iterator[CheckedPhoto]:
    """A side view that a visit before has and this one lacks, as a photo that is not there."""
    if not files.photos or not _of_a_patient(files):
        return
    for view in VIEWS[1:]:  # without a front it cannot be scored, which is said already
        whose = (folder_of_patient(files), view)
        if view in files.photos:
            had.setdefault(whose, files.visit)
        elif whose in had and files.problem is None:
            lacks = no_such_view(view, had[whose], getattr(settings.views, view)[0], files.may_be_it)
            yield CheckedPhoto(files.patient, files.visit, view, "", None, (lacks,))


def _named_alone(paths: Sequence[Path], found: Sequence[VisitFiles]) -> Iterator[str]:
    """Say of visits that were named themselves, and alone of their patient, what is not checked of them."""
    visits = [files for files in found if files.photos and _of_a_patient(files)]
    patients = Counter(folder_of_patient(files) for files in visits)
    for files in visits:
        folder = next(iter(files.photos.values())).parent
        if folder in paths and patients[folder_of_patient(files)] == 1:
            yield (
                f"{files.visit}: nothing earlier of this patient was named, so what changed since is not "
                "checked. Name the patient's folder."
            )


def _may_be_patients(photos: Sequence[CheckedPhoto]) -> Iterator[str]:
    """Say where visits of a folder that names no patient look like a study of one visit each."""
    fronts = [one for one in photos if not one.patient and one.view == "front"]
    held = [one for one in fronts if any(found.check == PERSON for found in one.findings)]
    unlike = sum(f.check == PERSON and f.result != "pass" for one in held for f in one.findings)
    if len(held) >= _SEVERAL and unlike > len(held) / 2:
        yield (
            f"Of {len(held)} fronts {unlike} are unlike the first, {fronts[0].visit}: these may be patients "
            "of one visit each, and not the visits of one. Then nothing said of changes holds: name each of "
            "them STUDY/PATIENT/VISIT."
        )


def _of_a_patient(files: VisitFiles) -> bool:
    """Whether others beside it are its patient's: of a coded set nobody may learn which units are."""
    return has_own_folder(files) and not (files.photos and is_coded_set(Path(folder_of_patient(files))))


@dataclass(frozen=True)
class Before:
    """What later photos of a patient's view are held against.

    Parameters
    ----------
    earlier : tuple of Capture
        All before, the first one first.
    good : Capture or None
        The first that does not fail.
    skin : SkinDetail or None
        Of the good one, in the front view.
    """

    earlier: tuple[Capture, ...] = ()
    good: Capture | None = None
    skin: SkinDetail | None = None

    def and_then(self, taken: Capture, skin: SkinDetail | None, *, fails: bool) -> Before:
        """With one photo more."""
        earlier = (*self.earlier, taken)
        return replace(self, earlier=earlier) if self.good or fails else Before(earlier, taken, skin)


def _checked_visit(
    files: VisitFiles,
    before: dict[tuple[str, View], Before],
    settings: Settings,
    models: Models,
    now: datetime,
) -> Iterator[CheckedPhoto]:
    """The photos of a visit as they are checked, the front first: side views are held against it too."""
    front: SeenPhoto | None = None
    taken: list[tuple[View, CaptureFacts]] = []
    for view in (one for one in VIEWS if one in files.photos):
        checked, seen = _checked(files, view, before, settings, models, now)
        if seen is not None and refusal(checked.findings) is None:  # what is not scored merges with nothing
            if view == "front":
                front = seen
            elif front is not None:
                place = place_of(files.patient, files.visit, view)
                alike = check_likeness(front, seen, settings.quality, place)
                checked = replace(checked, findings=(*checked.findings, *filter(None, [alike])))
        if seen is not None:
            day = check_day(taken, seen.photo.capture)
            checked = replace(checked, findings=(*checked.findings, *filter(None, [day])))
            taken.append((view, seen.photo.capture))
        yield checked


def _checked(
    files: VisitFiles,
    view: View,
    before: dict[tuple[str, View], Before],
    settings: Settings,
    models: Models,
    now: datetime,
) -> tuple[CheckedPhoto, SeenPhoto | None]:
    path = files.photos[view]
    checked = CheckedPhoto(files.patient, files.visit, view, printable_name(path), None, ())
    try:
        seen = see_photo(path, settings, models)
    except NotScorable as why:
        there_is = what_there_is(path, settings)
        return replace(checked, sha256=why.photo_sha256, problem=why, thumbnail=there_is), None
    place = place_of(files.patient, files.visit, view)
    findings = wanted(check_photo(seen, view, settings, place), view, tuple(files.photos))
    if (clock := check_clock(seen.photo.capture, now)) is not None:
        findings += (clock,)
        if clock.result != "pass":
            seen = _without_clock(seen)
    if _of_a_patient(files):
        taken, whose = capture_of(seen, files.visit), (folder_of_patient(files), view)
        fails, scored = worst(findings) == "fail", refusal(findings) is None
        known = before.get(whose, Before())
        if known.earlier:
            findings += changed_since(known.earlier, known.good, taken, settings.quality, place)
        if known.good is not None and known.skin is not None and scored:
            person = check_person(known.skin, known.good.visit, seen, settings.quality, place)
            findings += tuple(filter(None, [person]))
        skin = SkinDetail.of(seen) if view == "front" and known.good is None else None
        before[whose] = known.and_then(taken, skin, fails=fails)
    return replace(checked, sha256=seen.photo.sha256, findings=findings, thumbnail=thumbnail(seen)), seen


def _without_clock(seen: SeenPhoto) -> SeenPhoto:
    return replace(seen, photo=replace(seen.photo, capture=replace(seen.photo.capture, taken_at=None)))


def what_there_is(path: Path, settings: Settings) -> Picture | None:
    """The photo without its face, where it can be read at all."""
    most = settings.reading.max_megapixels
    try:
        return small_picture(srgb8(read_photo(path, min_side_px=READ_SIDE_PX, max_megapixels=most)))
    except NotScorable:
        return None


def _show(book: GateBook) -> None:
    console = screen.console()
    console.print(_table(book.photos))
    for result, name, sentence in _complaints(book.photos):
        console.print(f"{result}: {name}: {sentence}", soft_wrap=True)
    places = [one.name for one in book.photos]
    for remark in [*book.remarks, *screen.idle_overrides(book.order.settings, places)]:
        console.print(remark, soft_wrap=True)
    bad, warned = (sum(one.result == result for one in book.there) for result in ("fail", "warn"))
    lacking = sum(one.problem is not None and not one.photo for one in book.photos)
    lack = "visit lacks what it needs" if lacking == 1 else "visits lack what they need"
    more = f" {lacking} {lack}." if lacking else ""
    stopped = " Stopped before the end: what was done is kept." if book.state == "interrupted" else ""
    warnings = f" {warned} warn: they can be scored." if warned else ""
    console.print(f"{bad} of {len(book.there)} photos fail.{warnings}{more}{stopped}", soft_wrap=True)
    out = book.order.out
    console.print(f"Table: {out / QUALITY_CSV}  Contact sheets: {out / SHEETS}", soft_wrap=True)


def _complaints(photos: list[CheckedPhoto]) -> list[tuple[str, str, str]]:
    """Result, photo and sentence of all that did not pass: what fails first."""
    told = [(result, one.name, sentence) for one in photos for result, sentence in one.complaints]
    return sorted(told, key=lambda one: -RESULTS.index(one[0]))


def _table(photos: list[CheckedPhoto]) -> Table:
    table = Table()
    for heading in ("Photo", "Result", "Why"):
        table.add_column(heading, overflow="fold")
    for one in sorted(photos, key=lambda one: -RESULTS.index(one.result)):
        checks = [
            f.check if f.region is None else f"{f.check} ({f.region.replace('_', ' ')})"
            for f in one.findings
            if f.result != "pass"
        ]
        table.add_row(one.name, one.result, one.problem.reason if one.problem else ", ".join(checks))
    return table
