"""What a person sees of a run: progress on stderr, the table on stdout."""

from __future__ import annotations

import io
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from masi_vision.names import place_of
from masi_vision.report.tables import VisitRows, percent_text, refusals
from masi_vision.scale import MASI_REGIONS
from masi_vision.visit.region import DISAGREEMENT, UNDECIDED, UNLIKE, flag_words, flags_in
from masi_vision.written import json_text

if TYPE_CHECKING:
    from masi_vision.cli.run import Book
    from masi_vision.config import Settings, SeverityBands

# Width of the table where there is no terminal to ask.
_WIDTH = 140
# Columns whose lines may break.
_BROKEN = ("Status", "mMASI change")

_CAPTION = (
    "mMASI with its 90 % interval. Per region: area x darkness, and how much of its visible skin is "
    "pigmented; ? where of most of it the map is undecided, the second opinion differs, or its views may be "
    "of two people: look."
)


def console(*, stderr: bool = False) -> Console:
    """A console that prints names as they are, and no colour where there is no terminal."""
    stream = sys.stderr if stderr else sys.stdout
    terminal = stream.isatty()
    return Console(
        file=stream,
        width=None if terminal else _WIDTH,
        markup=False,
        highlight=False,
        emoji=False,
        soft_wrap=False,
    )


@contextmanager
def progress(doing: str = "Scoring", what: str = "visits") -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr, gone when done; nothing where stderr is no terminal."""
    columns = (TextColumn(doing), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    screen = console(stderr=True)
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, found: bar.update(task, completed=done, total=found)


def print_json(values: object) -> None:
    """Print values as scores.json holds them, in UTF-8 whatever the terminal's script."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(encoding="utf-8")
    sys.stdout.write(json_text(values))
    sys.stdout.flush()


def show(book: Book) -> None:
    """Print the table, what was not scored and why, and where the results lie."""
    screen, order = console(), book.order
    print_table(screen, score_table(book.visits, order.settings.severity_bands))
    for visit in book.visits:
        for line in notes(visit):
            screen.print(line, soft_wrap=True)
    for line in idle_overrides(order.settings, places_of(book.visits)):
        screen.print(line, soft_wrap=True)
    scored = sum(visit.score["status"] == "scored" for visit in book.visits)
    stopped = " Stopped before the end: what was done is kept." if book.state == "interrupted" else ""
    screen.print(f"{scored} of {len(book.visits)} visits scored.{stopped}", soft_wrap=True)
    if scored and order.settings.pigment.method == "classical":
        screen.print(
            "The classical pigment map is a rough estimate by rules: look at the pictures before "
            "you use a score.",
            soft_wrap=True,
        )
    pictures = f"  Pictures: {order.out / 'overlays'}" if order.overlays else ""
    screen.print(f"Tables: {order.out / 'scores.csv'}{pictures}", soft_wrap=True)


def print_table(screen: Console, table: Table) -> None:
    """Print a table, or where the terminal is too narrow a line for each cell: rich would cut numbers."""
    plain = Console(file=io.StringIO(), width=screen.width, color_system=None)
    with plain.capture() as drawn:
        plain.print(table)
    asked = [str(cell) for column in table.columns for cell in (column.header, *column.cells)]
    if not Counter(" ".join(asked).split()) - Counter(drawn.get().split()):
        screen.print(table)
        return
    headings = [str(column.header) for column in table.columns]
    for cells in zip(*(column.cells for column in table.columns), strict=True):
        screen.print()
        for heading, cell in zip(headings, cells, strict=True):
            if cell:
                screen.print(f"{heading}: {cell}", soft_wrap=True)
    screen.print(f"\n{table.caption}\n", soft_wrap=True)


def score_table(visits: Sequence[VisitRows], bands: SeverityBands | None = None) -> Table:
    """One line per visit: scores, and per region area x darkness with the pigmented share of the skin."""
    cited = f"\n{', '.join(bands.mmasi_from)}: {bands.citation}" if bands else ""
    patients = any(visit.nested["patient"] for visit in visits)
    headings = ("Patient",) * patients + ("Visit", "Status", "mMASI (90 %)", "MASI")
    table = regions_table(headings, _CAPTION + cited)
    for visit in visits:
        names = [visit.nested["patient"]] * patients + [visit.nested["visit"]]
        table.add_row(*names, *_scores(visit, bands), *(_region(visit, region) for region in MASI_REGIONS))
    return table


def regions_table(headings: Sequence[str], caption: str) -> Table:
    """An empty table of visits with a column for each region of MASI.

    Where the terminal is narrow, lines break in the columns of regions and in those of `_BROKEN`: names and
    scores stay whole.
    """
    table = Table(caption=caption, box=box.SIMPLE_HEAD, padding=(0, 0), collapse_padding=True)
    for heading in headings:
        table.add_column(
            heading,
            justify="right" if "MASI" in heading else "left",
            no_wrap=heading not in _BROKEN,
            min_width=8 if heading in _BROKEN else len(heading),
            overflow="fold",
        )
    for region in MASI_REGIONS:
        table.add_column(region.replace("_", " ").capitalize(), justify="right", min_width=8, overflow="fold")
    return table


def _scores(visit: VisitRows, bands: SeverityBands | None) -> tuple[str, str, str]:
    row = visit.score
    if row["status"] != "scored":
        return f"not scored: {flag_words((row['reason'],))}", "", ""
    word = f", {bands.word(float(row['mmasi']))}" if bands and row["mmasi"] else ""
    return f"scored{word}", f"{row['mmasi']} ({row['mmasi_low']}-{row['mmasi_high']})", row["masi"]


def _region(visit: VisitRows, name: str) -> str:
    region = visit.nested["regions"].get(name)
    if region is None:
        return ""
    flags = flags_in(region["flag"])
    if region["area"] is None:
        return flag_words(flags)
    doubt = "?" if {UNDECIDED, DISAGREEMENT, UNLIKE} & set(flags) else ""
    return f"{region['area']} x {region['darkness']} {percent_text(region['pigmented_fraction'])}{doubt}"


def places_of(visits: Iterable[VisitRows]) -> list[str]:
    """Where the photos of visits stand: PATIENT/VISIT/VIEW."""
    return [
        place_of(visit.nested["patient"], visit.nested["visit"], view)
        for visit in visits
        for view in visit.nested["views"]
    ]


def idle_overrides(settings: Settings, places: Collection[str]) -> list[str]:
    """A sentence for each override of one photo that fits none of those at PATIENT/VISIT/VIEW."""
    named = [one for one in settings.quality.accepted if "@" in one]
    example = next(iter(places), "PATIENT/VISIT/VIEW")
    return [
        f"Nothing was accepted by {one}: no photo stands there. Expected a place such as {example}."
        for one in named
        if one.partition("@")[2] not in places
    ]


def notes(visit: VisitRows) -> list[str]:
    """Sentences on a visit: why it, or one of its photos, was not scored; what was passed over."""
    name = place_of(visit.nested["patient"], visit.nested["visit"])
    refused = [
        f"{name}: {why['view'] + ', ' if why['view'] else ''}{why['reason']}. {why['message']}"
        for why in refusals(visit.nested)
    ]
    for view, photo in visit.nested["views"].items():
        findings = photo["quality"].get("findings", ())
        if accepted := list(dict.fromkeys(one["check"] for one in findings if one["result"] == "accepted")):
            refused.append(
                f"{name}: {view}: measured though it fails {', '.join(accepted)}, which was accepted. The "
                "interval knows nothing of that."
            )
    unlike = [region for region, one in visit.nested["regions"].items() if UNLIKE in flags_in(one["flag"])]
    if unlike:
        where = ", ".join(region.replace("_", " ") for region in unlike)
        refused.append(
            f"{name}: {where}: the side view may show another person than the front (views_unlike). Look at "
            "both."
        )
    return refused + [f"{name}: {remark}" for remark in visit.remarks]
