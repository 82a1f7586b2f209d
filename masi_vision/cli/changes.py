"""A run over patients: score each visit, lay the later ones over the baseline, write tables and pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.table import Table

from masi_vision.cli import screen
from masi_vision.cli.door import DONE, SOME_NOT_SCORED, STOPPED
from masi_vision.cli.run import (
    CHANGES_CSV,
    CHANGES_JSON,
    PICTURES,
    REGION_CHANGES_CSV,
    Book,
    Order,
    Told,
    prepared,
    score_files,
)
from masi_vision.config import ViewSettings
from masi_vision.csv_table import csv_text
from masi_vision.errors import OutputError
from masi_vision.names import VIEWS, place_of
from masi_vision.report.change import (
    CHANGE_COLUMNS,
    REGION_CHANGE_COLUMNS,
    change_row,
    draw_visits,
    region_change_rows,
)
from masi_vision.report.names import FileNames
from masi_vision.report.picture import jpeg
from masi_vision.report.tables import RUN_JSON, run_record, visit_rows
from masi_vision.scale import MASI_REGIONS
from masi_vision.visit.compare import VisitChange, compare_visits, photos_of, without_copies
from masi_vision.visit.folder import (
    VisitFiles,
    find_visits,
    has_own_folder,
    order_in_doubt,
    spelled_in_two_ways,
)
from masi_vision.visit.models import Models, open_models
from masi_vision.visit.region import flag_words
from masi_vision.visit.since_first import copies
from masi_vision.written import json_text, write_file


@dataclass(frozen=True)
class Series:
    """The visits of one patient, the baseline first."""

    patient: str
    visits: tuple[VisitFiles, ...]


@dataclass(frozen=True)
class Found:
    """Who was photographed more than once.

    Parameters
    ----------
    series : tuple of Series
    remarks : tuple of str
        On everybody else.
    passed_over : int
        What was taken for photos of no visit, as it lies in no folder of one.
    """

    series: tuple[Series, ...]
    remarks: tuple[str, ...]
    passed_over: int


class ChangeBook(Book):
    """Keeps the comparisons beside the scores, and writes both whatever ends the run."""

    def __init__(self, order: Order, models: Models, found: Found) -> None:
        super().__init__(order, models, sum(len(one.visits) for one in found.series))
        self.changes: list[VisitChange] = []
        self.remarks, self.passed_over = list(found.remarks), found.passed_over
        self.copies: list[str] = []

    def write(self) -> None:
        """Write what was done so far."""
        self._tell_copies()
        out, changes = self.order.out, self.changes
        regions = [row for change in changes for row in region_change_rows(change)]
        write_file(out / CHANGES_CSV, csv_text(CHANGE_COLUMNS, [change_row(change) for change in changes]))
        write_file(out / REGION_CHANGES_CSV, csv_text(REGION_CHANGE_COLUMNS, regions))
        write_file(out / CHANGES_JSON, json_text([change.to_dict() for change in changes]))
        super().write()
        compared = sum(change.status == "compared" for change in changes)
        counts = {"compared": compared, "not_compared": len(changes) - compared, "remarks": self.remarks}
        record = run_record(self.facts(), self.visits) | {"comparisons": counts}
        write_file(out / RUN_JSON, json_text(record))

    def _tell_copies(self) -> None:
        """Tell which photos are one file, which is known at the end: of these no change is told."""
        photos = photos_of(self.changes).items()
        self.copies = copies((place_of(*place), sha256) for place, sha256 in photos)
        self.remarks += self.copies
        self.changes = without_copies(self.changes)


def compare_and_show(order: Order, baseline: str | None, *, pictures: bool) -> int:
    """Compare, show the table, and give the exit code.

    Parameters
    ----------
    baseline : str or None
        Name of the visit to compare with; else it is the first.
    pictures : bool
        Write the visits of a patient in one frame.
    """
    with screen.progress("Comparing") as progress:
        book = _compared(order, baseline, progress, pictures=pictures)
    _show(book)
    if book.state == "interrupted":
        return STOPPED
    compared = all(change.status == "compared" for change in book.changes)
    whole = compared and not book.passed_over and not book.copies
    return DONE if whole else SOME_NOT_SCORED


def _compared(order: Order, baseline: str | None, progress: Told, *, pictures: bool) -> ChangeBook:
    """Compare every visit with its patient's baseline, and write the results."""
    models = open_models(order.models)
    found = find_series(order.paths, order.settings.views, baseline)
    book, names = ChangeBook(order, models, found), FileNames()
    with prepared(order), book.kept():
        for one in found.series:
            drawn = []
            for change in _changes(one, book, models, progress):
                book.changes.append(_light(change))
                drawn += [change] * pictures
            _write_pictures(drawn, order.out, names.of(one.patient or "visits", ""))
    return book


def find_series(paths: Sequence[Path], words: ViewSettings, baseline: str | None) -> Found:
    """Find who was photographed more than once.

    Parameters
    ----------
    paths : sequence of Path
        The visits of one patient, in their order; or one study folder, STUDY/PATIENT/VISIT, whose visits come
        in the order of their names.
    baseline : str or None
        Name of the visit to compare with.

    Raises
    ------
    OutputError
        Nobody has two visits, or it is unclear whose visits these are.
    """
    found = find_visits(paths, words)
    patients: dict[str, list[VisitFiles]] = {}
    remarks: list[str] = []
    passed_over = 0
    if len(paths) > 1:
        if len(found) != len(paths):
            raise OutputError(
                f"{len(paths)} paths were named, and {len(found)} visits found in them. Expected one visit "
                "in each, of one patient, the baseline first; or one study folder alone."
            )
        patients[""] = found
    else:
        remarks += spelled_in_two_ways([(files.patient, files.visit) for files in found])
        for files in found:
            if files.patient and has_own_folder(files):
                patients.setdefault(files.patient, []).append(files)
            else:
                name = place_of(files.patient, files.visit)
                why = " ".join(files.remarks) or "It is no folder STUDY/PATIENT/VISIT."
                remarks.append(f"{name} was passed over. {why}")
                passed_over += 1
    series = []
    if baseline is None and len(paths) == 1:
        doubtful = order_in_doubt((one, files.visit) for one, of in patients.items() for files in of)
        if doubtful:
            more = f" It is so with {len(doubtful) - 1} more." * (len(doubtful) > 1)
            raise OutputError(
                f"{doubtful[0]}{more} Name the baseline with --baseline, or call them otherwise."
            )
        remarks += _baselines_apart(patients)
    for patient, visits in patients.items():
        ordered = _from_baseline(visits, baseline)
        if len(ordered) > 1:
            series.append(Series(patient, tuple(ordered)))
        else:
            lacking = f"no visit {baseline}" if baseline and not ordered else "one visit alone"
            remarks.append(f"{patient or 'This patient'} was passed over: {lacking}.")
    if not series:
        raise OutputError(
            f"There is nothing to compare. {' '.join(remarks)} Expected two visits of a patient: name them, "
            "the baseline first (masi compare PATIENT/*), or a folder STUDY/PATIENT/VISIT."
        )
    return Found(tuple(series), tuple(remarks), passed_over)


def _baselines_apart(patients: Mapping[str, Sequence[VisitFiles]]) -> list[str]:
    """Say whose first visit is called otherwise than most patients': a missing one moves the baseline."""
    first = {patient: visits[0].visit for patient, visits in patients.items() if len(visits) > 1}
    usual, count = next(iter(Counter(first.values()).most_common(1)), ("", 0))
    without = [
        f"{patient} ({name})"
        for patient, name in first.items()
        if all(files.visit != usual for files in patients[patient])
    ]
    if not without or count <= len(first) / 2:  # visits that are called by their days differ anyway
        return []
    others = ", ".join(without[:5]) + f" and {len(without) - 5} more" * (len(without) > 5)
    return [
        f"The baseline of most is {usual}, and another of {others}: changes since different visits stand in "
        "one table. Expected one baseline. Name it with --baseline."
    ]


def _from_baseline(visits: list[VisitFiles], baseline: str | None) -> list[VisitFiles]:
    if baseline is None:
        return visits
    first = [files for files in visits if files.visit == baseline]
    return [*first, *(files for files in visits if files.visit != baseline)] if first else []


def _changes(one: Series, book: ChangeBook, models: Models, progress: Told) -> Iterator[VisitChange]:
    baseline = None
    for files in one.visits:
        progress(len(book.visits), book.visits_found)
        result = score_files(files, book.order.settings, models)
        book.visits.append(visit_rows(result, files.remarks))
        if baseline is None:
            baseline = result
        else:
            yield compare_visits(baseline, result, book.order.settings, models=models)


def _light(change: VisitChange) -> VisitChange:
    """Without pixels: a study has thousands of visits."""
    baseline, follow_up = (
        replace(visit, photos=tuple(replace(photo, measures=None) for photo in visit.photos))
        for visit in (change.baseline, change.follow_up)
    )
    return replace(change, baseline=baseline, follow_up=follow_up, views={})


def _write_pictures(changes: list[VisitChange], out: Path, name: str) -> None:
    for view in VIEWS:
        if any(view in change.views for change in changes):
            write_file(out / PICTURES / f"{name}_{view}.jpg", jpeg(draw_visits(changes, view)))


def _show(book: ChangeBook) -> None:
    console, order = screen.console(), book.order
    screen.print_table(console, _table(book.changes))
    lines = [line for visit in book.visits for line in screen.notes(visit)]
    lines += [
        f"{_name(c)}: {f'{c.reason}. ' if c.reason else ''}{c.message}" for c in book.changes if c.message
    ]
    idle = []
    if order.settings.quality.accepted:
        there = find_visits(order.paths, order.settings.views)  # those passed over too
        places = [place_of(files.patient, files.visit, view) for files in there for view in files.photos]
        idle = screen.idle_overrides(order.settings, places)
    for line in [*lines, *book.remarks, *idle]:
        console.print(line, soft_wrap=True)
    compared = sum(change.status == "compared" for change in book.changes)
    stopped = " Stopped before the end: what was done is kept." if book.state == "interrupted" else ""
    whole = sum(change.amount_change_od is not None for change in book.changes)
    of_whole = "" if whole == compared else f", {whole} of them with a change of the whole face"
    console.print(
        f"{compared} of {len(book.changes)} follow-ups compared{of_whole}.{stopped}", soft_wrap=True
    )
    pictures = f"  Pictures: {order.out / PICTURES}" if (order.out / PICTURES).is_dir() else ""
    console.print(f"Tables: {order.out / CHANGES_CSV}{pictures}", soft_wrap=True)


def _name(change: VisitChange) -> str:
    return place_of(change.baseline.patient, change.follow_up.visit)


def _table(changes: list[VisitChange]) -> Table:
    caption = (
        "Above 0: more pigment than at the baseline; 90 % intervals. Amount, and per region: change of "
        "density in 0.001 OD, visits laid over each other (per region, difference of measures); "
        "? where that is doubtful, the map undecided or one visit alone corrected by its colour card."
    )
    table = screen.regions_table(("Follow-up", "Baseline", "Status", "mMASI change", "Amount"), caption)
    for change in changes:
        whole = (_change(change, "mmasi_change", 1, 1), _change(change, "amount_change_od", 1000, 0))
        cells = [_cell(change, region) for region in MASI_REGIONS]
        table.add_row(_name(change), change.baseline.visit, change.status.replace("_", " "), *whole, *cells)
    return table


def _cell(change: VisitChange, name: str) -> str:
    if change.status != "compared":
        return ""
    values = change.regions[name].to_dict()
    if values["registered_od"] is None:
        return flag_words(change.regions[name].flags)
    both = (_signed(1000 * values[name], 0) for name in ("registered_od", "integrated_od_change"))
    doubt = "?" if change.regions[name].doubts else ""
    return "{} ({}){}".format(*both, doubt)


def _change(change: VisitChange, name: str, times: int, digits: int) -> str:
    """A change of the whole face with its interval."""
    values = change.to_dict()
    if values[name] is None:
        return ""
    told, low, high = (_signed(times * values[f"{name}{end}"], digits) for end in ("", "_low", "_high"))
    return f"{told} ({low} to {high})"


def _signed(value: float, digits: int) -> str:
    """A number with its sign, which nothing has that is read as 0."""
    rounded = round(value, digits)
    return f"{rounded:+.{digits}f}" if rounded else f"{0:.{digits}f}"
