"""`masi calibrate`: a settings file whose cut points are those of a panel of readers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from masi_vision.cli.door import DONE, verb
from masi_vision.cli.extras import need_extra
from masi_vision.csv_table import MISSING, number_in, whole_number
from masi_vision.errors import OutputError, SettingsError
from masi_vision.reads_table import counts, rows_of

if TYPE_CHECKING:
    from masi_vision.config import Settings
    from masi_vision.stats.calibration import Calibration

Key = tuple[str, str, str]
"""Patient, visit, region."""
Line = dict[str, str]
_KEY = ("patient", "visit", "region")


@verb
def calibrate(
    reads: Annotated[
        Path,
        typer.Argument(
            metavar="READS.csv",
            help="patient,visit,region,area,darkness of every read, or reads.csv of masi unblind.",
        ),
    ],
    measures: Annotated[Path, typer.Option(metavar="regions.csv", help="Of masi score, of the same visits.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Settings file to write.")],
    settings: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Settings by which it was scored; else the shipped.")
    ] = None,
) -> int:
    """Fit the cut points of area and darkness to a panel's grades and write a settings file."""
    need_extra("stats", "fitting")
    from masi_vision.config import load_settings, shipped_file
    from masi_vision.stats.reads import with_patients
    from masi_vision.written import write_file

    if out.exists():
        raise OutputError(f"{out} is there already. Expected a new file. Name another with --out.")
    base = settings or shipped_file("configs", "scoring.yaml")
    read = by_region(_rows(reads, _KEY[:2]), reads.name)
    graded = [row for row in read if _is_graded(row)]
    rows = _rows(measures, (*_KEY, "area", "pigmented_fraction", "contrast_od"))
    _refuse_unknown(read, {_key(row)[:2] for row in with_patients(rows)}, measures.name)
    measured = by_key(rows, measures.name)
    pairs = joined(graded, measured)
    if ungraded := len(read) - len(graded):
        typer.echo(f"{ungraded} reads are left out: the reader did not grade them.")
    if left_out := len(graded) - len(pairs):
        typer.echo(f"{left_out} reads are left out: the software graded no such region.")
    found = fitted(pairs, load_settings(base))
    write_file(out, rewritten(base.read_text(encoding="utf-8"), found))
    try:
        load_settings(out)
    except SettingsError as error:
        out.unlink()
        raise SettingsError(
            f"{base} cannot be rewritten: {error} Expected each list of cut points on one line, as in the "
            "shipped file."
        ) from error
    for name, fit in found.items():
        typer.echo(f"{name}: {_points(fit)} ({_facts(fit)})")
    typer.echo(f"Settings: {out}")
    return DONE


def by_region(rows: list[Line], name: str) -> list[Line]:
    """A row for every region that was read: as they are, or of ``reads.csv`` the last locked blind read.

    Raises
    ------
    SettingsError
        A column is missing, no row counts, or one reader read a region twice.
    """
    from masi_vision.scale import MASI_REGIONS
    from masi_vision.stats.reads import GRADES, with_patients

    counted = [row for row in with_patients(rows) if counts(row) and not row.get("repeat_of")]
    if not counted:
        raise SettingsError(
            f"None of the {len(rows)} rows of {name} counts. Expected reads that are locked, blind and the "
            "reader's last (columns locked_utc, stage, latest). Let the readers finish."
        )
    if "reader" in rows[0]:  # without it, several rows of a region are several readers
        _refuse_twice(counted, ("patient", "visit", "region", "reader"), name)
    if "region" in rows[0]:
        return _with_columns(counted, GRADES, name)
    columns = tuple(f"{region}_area" for region in MASI_REGIONS)
    if not set(columns) & set(rows[0]):
        raise SettingsError(
            f"{name} has the columns {', '.join(rows[0])}. Expected region, {', '.join(GRADES)} with a row "
            f"for every region, or {', '.join(columns)} and so on with a row for every visit."
        )
    wide = _with_columns(counted, columns, name)
    return [
        {"patient": row["patient"], "visit": row["visit"], "region": region}
        | {grade: row.get(f"{region}_{grade}", "") for grade in GRADES}
        for row in wide
        for region in MASI_REGIONS
        if row[f"{region}_area"]
    ]


def _refuse_unknown(read: list[Line], visits: set[tuple[str, str]], measures: str) -> None:
    """Refuse reads of regions that there are none of, and of visits that were not scored: a slip of the pen.

    Raises
    ------
    SettingsError
    """
    from masi_vision.scale import MASI_REGIONS

    for row in read:
        if row["region"] not in MASI_REGIONS:
            raise SettingsError(
                f"A read is of the region {row['region']!r}. Expected one of {', '.join(MASI_REGIONS)}."
            )
    lost = sorted({_key(row)[:2] for row in read} - visits)
    if lost:
        raise SettingsError(
            f"{len(lost)} visits that were read are not in {measures}, among them {'/'.join(lost[0])}. "
            "Expected the same names in both files. Score the photos that the panel read, and name "
            "visits alike."
        )


def by_key(measures: list[Line], name: str) -> dict[Key, Line]:
    """The row of every region that the software graded; hidden repeats left out.

    Raises
    ------
    SettingsError
        A region is there twice, or a graded one lacks its measures.
    """
    from masi_vision.stats.reads import with_patients

    measures = [row for row in with_patients(measures) if not row.get("repeat_of")]
    _refuse_twice(measures, _KEY, name)
    graded = {_key(row): row for row in measures if row["area"]}
    for key, row in graded.items():
        for column in ("pigmented_fraction", "contrast_od"):
            is_needed = column != "contrast_od" or row["area"] != "0"
            if is_needed and number_in(row[column], 0, inf) is None:
                raise SettingsError(
                    f"{name} has the {column} {row[column]!r} of {'/'.join(key)}. Expected a number with a "
                    "decimal point. Take the table as masi score wrote it."
                )
    return graded


def _refuse_twice(rows: list[Line], columns: tuple[str, ...], name: str) -> None:
    """Refuse two rows of one thing."""
    seen = Counter(tuple(row.get(column, "") for column in columns) for row in rows)
    for key, count in seen.items():
        if count > 1:
            raise SettingsError(
                f"{name} has {count} rows of {' '.join(filter(None, key))}. Expected one. Take the others "
                "out."
            )


def _is_graded(row: Line) -> bool:
    """Whether the reader gave both grades; a region without pigment has no darkness."""
    return _is_clear(row) or all(row[name].lower() not in MISSING for name in ("area", "darkness"))


def _is_clear(row: Line) -> bool:
    return whole_number(row["area"]) == 0


@dataclass(frozen=True)
class ReadRegion:
    """A region as it was read and as it was measured."""

    patient: str
    area: int
    darkness: int
    pigmented_fraction: float
    contrast_od: float


def joined(reads: list[Line], measured: dict[Key, Line]) -> list[ReadRegion]:
    """Every read with the measure of the region that was read, where that was graded.

    Raises
    ------
    SettingsError
        A grade is none of the scale, or most of what was read was not graded by the software.
    """
    wanted = {_key(row) for row in reads}
    lost = sorted(wanted - set(measured))
    if len(lost) > len(wanted) / 2:
        raise SettingsError(
            f"{len(lost)} of {len(wanted)} regions that were read were not graded by the software, among "
            f"them {'/'.join(lost[0])}. Expected most of them. Look at the flags of the measures, and "
            "take photos that can be scored."
        )
    return [
        ReadRegion(
            row["patient"],
            _grade(row, "area", 6),
            _grade(row, "darkness", 4),
            number_in(measured[_key(row)]["pigmented_fraction"], 0, 1) or 0.0,
            number_in(measured[_key(row)]["contrast_od"], 0, inf) or 0.0,
        )
        for row in reads
        if _key(row) in measured
    ]


def _grade(row: Line, name: str, highest: int) -> int:
    text = row[name]
    grade = whole_number(text)
    if grade is None and name == "darkness" and _is_clear(row):
        return 0
    if grade is None or grade > highest:
        raise SettingsError(
            f"The read of {'/'.join(_key(row))} has {name} {text!r}. "
            f"Expected a whole number from 0 to {highest}."
        )
    return grade


def fitted(pairs: list[ReadRegion], settings: Settings) -> dict[str, Calibration]:
    """Cut points of area (grades 1 to 6) and darkness (1 to 4), from regions found and read as pigmented."""
    import numpy as np

    from masi_vision.stats.calibration import calibrate as fit

    scale = settings.scale
    marked = [pair for pair in pairs if pair.area and pair.pigmented_fraction >= max(scale.noise_floor, 1e-6)]
    dark = [pair for pair in marked if pair.darkness and pair.contrast_od > 0]

    def of(grade: str, measure: str, some: list[ReadRegion], before: Sequence[float]) -> Calibration:
        try:
            return fit(
                np.array([getattr(pair, measure) for pair in some]),
                np.array([getattr(pair, grade) for pair in some]),
                [pair.patient for pair in some],
                before,
                lowest=1,
            )
        except ValueError as error:
            raise SettingsError(
                f"The cut points of {grade} cannot be fitted: {error}. Of {len(pairs)} reads {len(some)} "
                "count: where both the reader and the software found pigment."
            ) from error

    return {
        "area_cut_points": of("area", "pigmented_fraction", marked, scale.area_cut_points),
        "darkness_cut_points_od": of("darkness", "contrast_od", dark, scale.darkness_cut_points_od[1:]),
    }


def rewritten(text: str, found: dict[str, Calibration]) -> str:
    """The settings with new cut points, each with its origin beside it."""
    day = datetime.now(UTC).date().isoformat()
    for name, fit in found.items():
        points, note = _points(fit), ""
        if name == "darkness_cut_points_od":
            first = re.search(rf"{name}: \[([\d.]+)", text)
            kept = min(float(first.group(1)) if first else 0.03, 0.9 * fit.cut_points[0])
            points, note = f"[{kept:.4g}, {points[1:]}", ", but for the first, the detection threshold"
        line = (
            "  # What stands above was said of the shipped values.\n"
            f"  # Fitted by masi calibrate on {day}{note}:\n  # {_facts(fit)}.\n  {name}: {points}"
        )
        text, changed = re.subn(rf"^  {name}: .*$", line, text, flags=re.MULTILINE)
        if changed != 1:
            raise SettingsError(
                f"The settings hold {changed} lines {name}. Expected one, as in the shipped file."
            )
    return text


def _points(fit: Calibration) -> str:
    return f"[{', '.join(f'{point:.4g}' for point in fit.cut_points)}]"


def _facts(fit: Calibration) -> str:
    return (
        f"{fit.reads} reads of {fit.patients} patients; mean error {fit.error:.2f} grades, cross-validated "
        f"by patient, {fit.error_before:.2f} before; exact {fit.exact:.0%}, within one {fit.within_one:.0%}"
    )


def _key(row: Line) -> Key:
    return row["patient"], row["visit"], row["region"]


def _rows(file: Path, columns: tuple[str, ...]) -> list[Line]:
    return _with_columns(rows_of(file), columns, str(file))


def _with_columns(rows: list[Line], columns: tuple[str, ...], name: str) -> list[Line]:
    if not rows:
        raise SettingsError(f"{name} has no row. Expected one for every read or region.")
    if lacking := [column for column in columns if column not in rows[0]]:
        raise SettingsError(
            f"{name} has no column {lacking[0]}; it has {', '.join(rows[0])}. Expected {', '.join(columns)}."
        )
    return rows
