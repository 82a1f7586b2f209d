"""`masi export`: reads and scores in the forms that registries and statisticians take."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from masi_vision.cli.door import DONE, SOME_NOT_SCORED, verb
from masi_vision.cli.extras import missing, need_extra
from masi_vision.cli.left_out import Without, left_out_of
from masi_vision.cli.options import Overwrite, refuse_coded_set
from masi_vision.cli.tables import say_two_names, say_two_sets
from masi_vision.csv_table import Row
from masi_vision.errors import OutputError, StatsError, how_to_install
from masi_vision.names import natural_key, place_of
from masi_vision.reads_table import (
    CORRECTED,
    YES,
    is_locked,
    refuse_mixed,
    refuse_strangers,
    refuse_two_openings,
    rows_of,
)
from masi_vision.written import being_written, half_written, write_pieces, writing

if TYPE_CHECKING:
    from masi_vision.cli.dicom import DicomOrder
    from masi_vision.report.exports import Value

_RsRows = Callable[[], Iterator[dict[str, Any]]]
"""Rows of a table too large to be kept: made anew each time."""

_COLUMNS = ("patient", "visit")
_NAMES = (*_COLUMNS, "reader")
_REDCAP, _WITH_LIBRARIES, _DICOM = "redcap.csv", ("long.parquet", "rs.xpt"), "dicom"
_NAMED = 3
"""Files that an error names; chosen."""
_LONGEST = 64
"""Characters of a name in DICOM."""


@verb
def export(
    out: Annotated[Path, typer.Option(help="Folder for the files.")],
    study: Annotated[str, typer.Option(help="Identifier of the study, as it stands in SDTM and FHIR.")],
    reads: Annotated[
        Path | None, typer.Option(metavar="READS.csv", help="Reads, after masi unblind.")
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="scores.csv and regions.csv, after masi unblind."),
    ] = None,
    photos: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Photos that were scored: writes them as DICOM too. They show faces."
        ),
    ] = None,
    masks: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Masks of --save-masks for --photos; RESULTS/masks where omitted."),
    ] = None,
    protocol: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Of masi outcome: visits are numbered in SDTM as it lists them."),
    ] = None,
    without: Without = None,
    overwrite: Overwrite = False,
) -> int:
    """Write a long table with its dictionary, REDCap, SDTM RS, FHIR; with extras Parquet, XPT and DICOM."""
    _check_out(out, overwrite=overwrite)
    _check_study(study)
    if photos is not None and results is None:
        raise StatsError("--photos needs --results, whose scores.csv says whose photos they are. Add it.")
    if masks is not None and photos is None:
        raise StatsError("--masks is given without --photos, with which alone masks are written. Add it.")
    if photos is not None:
        _need_dicom(photos)
    course = _course_of(protocol)
    left = left_out_of(without)
    read = [] if reads is None else _checked(rows_of(reads), (*_COLUMNS, "reader"), reads.name)
    scored, regions = ([], []) if results is None else _scored(results)
    refuse_two_openings({reads.name if reads else "": read, "scores.csv": scored, "regions.csv": regions})
    table = left.rows(read)
    scores, regions = left.rows(scored), left.rows(regions)
    left.say()
    say_two_sets([*table, *scores], reads.name if reads else "scores.csv")
    say_two_names({row["patient"] for row in (*table, *scores)})
    _say_corrected([*read, *scored])
    refuse_strangers(table, scores, (reads.name if reads else "", "scores.csv"))
    refuse_mixed(scores, "scores.csv", "mmasi")
    values = _values_of(table, reads, scores, regions)
    rs = _rs_of(values, study, {row["visit"] for row in (*read, *scored) if row["visit"]}, course)
    files, lacking = _texts(values, study, rs)
    made = _write(out, files)
    made += _with_libraries(out, values, rs, lacking)
    given = sum(bool(one.text) for one in values)
    blank = f" and {len(values) - given} blanks with their reason" * (given < len(values))
    typer.echo(f"{given} values{blank} in {out}: {', '.join(made)}")
    if _REDCAP in files:
        typer.echo(f"Import {_REDCAP} with blank values overwriting, or scores that are no more stay there.")
    if open_reads := sum(not is_locked(row) for row in table):
        typer.echo(f"{open_reads} rows of {reads.name if reads else ''} are not locked, and were left out.")
    for problem in lacking:
        typer.echo(problem)
    if photos is None or results is None:
        return SOME_NOT_SCORED if lacking else DONE
    from masi_vision.cli.dicom import DicomOrder

    masks_at, most = masks or results / "masks", _megapixels_of(results)
    order = DicomOrder(study, photos, masks_at, out / _DICOM, left.patients, most)
    whole = _write_dicom(order, scored, masks_named=masks is not None)
    return DONE if whole and not lacking else SOME_NOT_SCORED


def _megapixels_of(results: Path) -> float:
    """How large a photo the run that scored them read; as shipped where no run.json tells it."""
    from masi_vision.config import load_settings
    from masi_vision.report.tables import settings_of_run

    reading = (settings_of_run(results) or {}).get("reading")
    most = reading.get("max_megapixels") if isinstance(reading, dict) else None
    if isinstance(most, int | float) and most > 0:
        return float(most)
    return load_settings().reading.max_megapixels


def _check_out(out: Path, *, overwrite: bool) -> None:
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out} is a file. Expected a folder. Name another.")
    refuse_coded_set(out)
    if out.exists() and any(out.iterdir()) and not overwrite:
        raise OutputError(f"{out} is not empty. Expected a new folder, or --overwrite.")
    with writing(out):
        foreign = sorted(file.name for file in (out / _DICOM).glob("*.dcm") if not _is_ours(file))
    if foreign:
        more = f" and {len(foreign) - _NAMED} more" if len(foreign) > _NAMED else ""
        raise OutputError(
            f"{out / _DICOM} holds {', '.join(foreign[:_NAMED])}{more}, which masi export did not write (or "
            "an earlier version did). Expected its own alone, for --overwrite deletes them. Move the others."
        )


def _say_corrected(rows: Sequence[Row]) -> None:
    """Say which visits masi unblind corrected, left out or not: no later export takes back what was sent."""
    places = {place_of(row["patient"], row["visit"]) for row in rows if row.get(CORRECTED) == YES}
    if places:
        typer.echo(
            f"masi: patient or visit was corrected of {', '.join(sorted(places, key=natural_key))}. Expected "
            "that nobody has them by the names of before: REDCap and a FHIR server keep those of an earlier "
            "export, as final reads of another patient or visit. Delete there, before this one is imported, "
            "what was sent of these visits and of those that the table of corrections moves them from.",
            err=True,
        )


def _is_ours(file: Path) -> bool:
    from masi_vision.report.dicom_mark import HEAD_BYTES, bears_mark

    if not file.is_file():
        return False
    with file.open("rb") as stream:
        return bears_mark(stream.read(HEAD_BYTES))


def _scored(results: Path) -> tuple[list[Row], list[Row]]:
    """Rows of scores.csv and of regions.csv of a run that ended."""
    from masi_vision.report.tables import SCORES_CSV, refuse_cut_short, refuse_stopped

    refuse_stopped(results)
    refuse_cut_short(results / SCORES_CSV)
    scores = _checked(rows_of(results / SCORES_CSV), (*_COLUMNS, "status", "reason"), SCORES_CSV)
    return scores, _checked(rows_of(results / "regions.csv"), (*_COLUMNS, "region"), "regions.csv")


def _values_of(table: list[Row], reads: Path | None, scores: list[Row], regions: list[Row]) -> list[Value]:
    from masi_vision.report.exports import values_of_reads, values_of_scores

    values = [] if reads is None else list(values_of_reads(table, reads.name))
    values += values_of_scores(scores, regions)
    if not values:
        raise StatsError("There is nothing to export. Expected --reads or --results with at least one row.")
    return values


def _course_of(protocol: Path | None) -> list[str]:
    """The visits of an outcome's protocol, as they follow each other."""
    if protocol is None:
        return []
    need_extra("stats", "the protocol of an outcome")
    from masi_vision.stats.outcome_protocol import load_outcome_protocol

    return load_outcome_protocol(protocol).course


def _rs_of(values: list[Value], study: str, visits: set[str], course: list[str]) -> _RsRows:
    """How the rows of SDTM are made; says which number each visit has in them."""
    from masi_vision.report.sdtm import rs_rows, visit_numbers

    numbers = visit_numbers(visits, course)
    told = ", ".join(f"{number:g} {visit}" for visit, number in numbers.items())
    by = "as the protocol lists them, others by name" if course else "by name"
    typer.echo(f"VISITNUM, {by}: {told}. Expected the order of the trial; --protocol sets it.", err=True)
    return partial(rs_rows, values, study, numbers)


def _texts(values: list[Value], study: str, rs: _RsRows) -> tuple[dict[str, Iterable[str]], list[str]]:
    """What needs no library, by name of the file; and a sentence of each file that cannot be made.

    A text is made while it is written: all of a large trial's at once need gigabytes.
    What is refused was refused with the values, before anything is written.
    """
    from masi_vision.report.exports import LONG, csv_of, long_rows
    from masi_vision.report.fhir import fhir_bundle
    from masi_vision.report.redcap import DICTIONARY, REDCAP, redcap_dictionary, redcap_rows
    from masi_vision.report.sdtm import RS

    columns = ("column", "kind", "meaning")
    files: dict[str, Iterable[str]] = {
        "long.csv": csv_of([name for name, _, _ in LONG], long_rows(values)),
        "dictionary.csv": csv_of(columns, [dict(zip(columns, one, strict=True)) for one in LONG]),
        "redcap_dictionary.csv": csv_of(DICTIONARY, redcap_dictionary()),
        "rs.csv": csv_of([name for name, _, _ in RS], rs()),
        "fhir.json": fhir_bundle(values, study),
    }
    try:
        return files | {_REDCAP: csv_of(REDCAP, redcap_rows(values), as_it_is=True)}, []
    except StatsError as error:
        return files, [f"No {_REDCAP}: {error}"]


def _write(out: Path, files: Mapping[str, Iterable[str]]) -> list[str]:
    """Write the texts, and take away what an earlier export left: it may show who left the study."""
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        tables = (out / name for name in (*files, _REDCAP, *_WITH_LIBRARIES))
        parts = half_written(out, out / _DICOM)
        for old in (*tables, *(out / _DICOM).glob("*.dcm"), *parts):
            old.unlink(missing_ok=True)
    for name, pieces in files.items():
        write_pieces(out / name, (piece.encode() for piece in pieces), private=True)
    return [*files]


def _write_dicom(order: DicomOrder, scores: list[Row], *, masks_named: bool) -> bool:
    """Write photographs and masks as DICOM; whether all of them could be."""
    from masi_vision.cli.dicom import write_dicom

    shown = write_dicom(order, scores)
    counts = f"{shown.photographs} photographs and {shown.segmentations} segmentations"
    typer.echo(f"{counts} in {order.out}. They show faces.")
    no_masks = not order.masks.is_dir()
    if no_masks:
        typer.echo(f"{order.masks} is no folder: no segmentations. Name the masks with --masks.")
    for problem in shown.problems:
        typer.echo(problem)
    return not shown.problems and not (no_masks and masks_named)


def _check_study(study: str) -> None:
    """Refuse what SDTM, FHIR or DICOM takes for no identifier."""
    if not study.strip() or len(study) > _LONGEST or not study.isprintable() or "\\" in study:
        raise StatsError(
            f"--study is {study!r}. Expected its identifier: 1 to {_LONGEST} characters, no backslash."
        )


def _need_dicom(photos: Path) -> None:
    """Refuse what cannot be done before anything is written."""
    need_extra("dicom", "DICOM files")
    if not photos.is_dir():
        raise OutputError(f"{photos} is no folder. Expected the one with the photos that were scored.")


def _checked(rows: list[Row], needed: Sequence[str], name: str) -> list[Row]:
    if without := set(needed) - rows[0].keys() if rows else set():
        raise StatsError(
            f"{name} lacks {', '.join(sorted(without))}. Expected what masi unblind, or masi score on a "
            "study without a code, writes."
        )
    for row in filter(is_locked, rows):  # what was due when the reading was closed may have had no reader
        if lacking := [column for column in needed if column in _NAMES and not row[column]]:
            raise StatsError(
                f'{name} has a row without {lacking[0]} (blank, or "NA", which means the same). Expected '
                f"{', '.join(column for column in needed if column in _NAMES)} in each: what masi unblind, "
                "or masi score on STUDY/PATIENT/VISIT, writes."
            )
    return rows


def _with_libraries(out: Path, values: list[Value], rs: _RsRows, lacking: list[str]) -> list[str]:
    """Parquet and XPT, which need libraries; says what is missing, and adds what cannot be made."""
    if without := missing("exports"):
        typer.echo(
            f"No long.parquet and rs.xpt: {', '.join(without)} is not installed. {how_to_install('exports')}"
        )
        return []
    import pandas
    import pyreadstat

    from masi_vision.report.exports import LONG, long_rows
    from masi_vision.report.sdtm import LONGEST_TEXT, RS, not_for_transport, one_line, transport_rows

    parquet, transport = _WITH_LIBRARIES
    long = pandas.DataFrame(_columns(LONG, long_rows(values))).astype({"value": "float64"})
    with being_written(out / parquet, private=True) as part:
        long.to_parquet(part, index=False)
    del long  # the other table is larger
    if why := not_for_transport(transport_rows(rs())):
        lacking.append(f"No {transport}: {why}. Expected what SAS transport version 5 holds. Take rs.csv.")
        return [parquet]
    if cut := sum(len(one_line(row["RSREASND"])) > LONGEST_TEXT for row in rs()):
        kept = f"the first {LONGEST_TEXT} characters of their reason"
        typer.echo(f"{cut} rows of {transport} have {kept}; rs.csv has all.")
    table = pandas.DataFrame(_columns(RS, transport_rows(rs())))
    table = table.astype({name: "float64" for name, _, kind in RS if kind == "number"})
    labels = {name: label for name, label, _ in RS}
    with being_written(out / transport, private=True) as part:
        pyreadstat.write_xport(table, str(part), table_name="RS", column_labels=labels, file_format_version=5)
    return list(_WITH_LIBRARIES)


def _columns(
    described: Sequence[tuple[str, str, str]], rows: Iterable[Mapping[str, Any]]
) -> dict[str, list[Any]]:
    """A table by its columns, which take a fraction of the memory of its rows."""
    made: dict[str, list[Any]] = {name: [] for name, _, _ in described}
    for row in rows:
        for name, column in made.items():
            column.append(row[name])
    return made
