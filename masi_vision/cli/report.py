"""`masi report`: a study on one page, with its figures."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from masi_vision.cli.door import DONE, verb
from masi_vision.cli.extras import need_extra
from masi_vision.cli.left_out import Without, left_out_of
from masi_vision.cli.options import Overwrite, make_ready
from masi_vision.cli.report_drawings import DRAWINGS, agreement_drawn, outcome_drawn, scores_drawn, strips_of
from masi_vision.cli.report_tables import Sources, study_of
from masi_vision.errors import StatsError, how_to_install

if TYPE_CHECKING:
    from masi_vision.report.study import StudyReport

PAGE, PDF, FIGURES = "report.html", "report.pdf", "figures"
_FILES = (PAGE, PDF, *(f"{FIGURES}/{name}.svg" for name in DRAWINGS))


@verb
def report(
    results: Annotated[Path, typer.Argument(metavar="RESULTS", help="Results of masi score or masi batch.")],
    out: Annotated[Path, typer.Option(help=f"Folder for {PAGE} and {FIGURES}/.")],
    reads: Annotated[
        Path | None, typer.Option(metavar="READS.csv", help="Reads, after masi unblind.")
    ] = None,
    scores: Annotated[
        Path | None,
        typer.Option(metavar="SCORES.csv", help="Scores after masi unblind; those of RESULTS where omitted."),
    ] = None,
    agreement: Annotated[Path | None, typer.Option(metavar="DIR", help="What masi agree wrote.")] = None,
    outcome: Annotated[Path | None, typer.Option(metavar="DIR", help="What masi outcome wrote.")] = None,
    strips: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Results of masi compare: puts its pictures, faces, on the page."),
    ] = None,
    pdf: Annotated[bool, typer.Option("--pdf", help="Write report.pdf too; needs the extra pdf.")] = False,
    title: Annotated[str, typer.Option(help="What the page is called.")] = "Melasma study",
    without: Without = None,
    overwrite: Overwrite = False,
) -> int:
    """Write a study as one page: photos in and refused, quality, agreement, outcome, versions and hashes."""
    need_extra("stats", "the report")
    # Where a home cannot be written it takes a temporary folder, removes it again, and warns of that.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    from masi_vision.report.study_page import study_page

    make_ready(out, _FILES, overwrite=overwrite)
    left = left_out_of(without)
    study = study_of(Sources(results, reads, scores, agreement, outcome), left, title)
    drawings = [
        *scores_drawn(study.scores, study.outcome),
        *agreement_drawn(study.reads, study.scores, study.agreement),
        *outcome_drawn(study.outcome, study.protocol),
    ]
    shown = strips_of(strips, study.scores, left.patients) if strips else []
    study = replace(study, drawings=drawings, strips=shown)
    page = study_page(study)
    _write(study, page, _pdf_of(page) if pdf else None, out)
    also = f"  PDF: {out / PDF}" if pdf else ""
    typer.echo(f"Report: {out / PAGE}{also}  Figures: {out / FIGURES}")
    return DONE


def _write(study: StudyReport, page: str, printed: bytes | None, out: Path) -> None:
    """The page and its figures, in place of those of before."""
    from masi_vision.written import half_written, write_file, writing

    with writing(out):
        for old in (*(out / name for name in _FILES), *half_written(out)):
            old.unlink(missing_ok=True)
    write_file(out / PAGE, page, private=True)
    if printed is not None:
        write_file(out / PDF, printed, private=True)
    for one in study.drawings:
        write_file(out / FIGURES / f"{one.name}.svg", one.svg, private=True)


def _pdf_of(page: str) -> bytes:
    """The page as PDF; what it shows lies in it, and nothing is fetched."""
    try:
        from weasyprint import HTML
        from weasyprint.urls import URLFetcher
    except (ImportError, OSError) as error:
        raise StatsError(
            f'The PDF cannot be made ({error}). Expected the extra "pdf" and Pango (Debian: libpango-1.0-0, '
            f"libpangoft2-1.0-0). {how_to_install('pdf')}. Or print {PAGE} from a browser."
        ) from error
    read = HTML(string=page, url_fetcher=URLFetcher(allowed_protocols=["data"]))
    return bytes(read.write_pdf(pdf_tags=True))  # tags: a screen reader finds headings, rows and pictures
