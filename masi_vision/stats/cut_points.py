"""Cut points of area and darkness from a panel's grades, beside what was measured of the same regions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf

import numpy as np

from masi_vision.config import ScaleSettings
from masi_vision.csv_table import NOTHING, number_in, whole_number
from masi_vision.errors import StatsError
from masi_vision.reads_table import need_columns, of_masi, refuse_spelled_alike, that_count
from masi_vision.scale import MASI_REGIONS
from masi_vision.stats.calibration import Calibration, calibrate
from masi_vision.stats.reads import NEEDED_GRADES, with_patients

Line = Mapping[str, str]
Key = tuple[str, str, str]
"""Patient, visit, region."""

MEASURES = ("patient", "visit", "region", "area", "pigmented_fraction", "contrast_od")
"""Columns of regions.csv that are needed."""
_HIGHEST = {"area": 6, "darkness": 4}


@dataclass(frozen=True)
class ReadRegion:
    """A region as it was read and as it was measured; without a darkness it counts for the area alone."""

    patient: str
    reader: str
    area: int
    darkness: int | None
    pigmented_fraction: float
    contrast_od: float


@dataclass(frozen=True)
class Joined:
    """Reads beside measures, and what was left out of them.

    Parameters
    ----------
    ungraded : int
        Reads without an area.
    unmeasured : int
        Reads of regions that the software did not grade.
    """

    pairs: Sequence[ReadRegion]
    ungraded: int
    unmeasured: int


def reads_with_measures(
    reads: Sequence[Line], reads_name: str, measures: Sequence[Line], measures_name: str
) -> Joined:
    """Every read that counts with the measure of its region, where the software graded that.

    Parameters
    ----------
    reads : sequence of mapping
        A row for every region that was read, or one for every visit: ``reads.csv``. Counted is the last
        locked blind read, and no hidden repeat.
    measures : sequence of mapping
        Rows of ``regions.csv`` of the same visits.
    reads_name, measures_name : str
        Of the tables, for errors.

    Raises
    ------
    StatsError
        A column is missing, no row counts, a row is there twice, a grade or measure is none, a visit was not
        scored, or most of what was read was not graded by the software.
    """
    need_columns(measures, MEASURES, measures_name)
    for what in ("patient", "reader"):
        refuse_spelled_alike((row[what] for row in (*reads, *measures) if what in row), what)
    read = _by_region(reads, reads_name)
    graded = [row for row in read if row["area"]]  # darkness may be missing, and counts for itself
    _refuse_unscored(read, {_key(row)[:2] for row in with_patients(measures)}, measures_name)
    measured = _by_key(measures, measures_name)
    wanted = {_key(row) for row in graded}
    lost = sorted(wanted - set(measured))
    if len(lost) > len(wanted) / 2:
        raise StatsError(
            f"{len(lost)} of {len(wanted)} regions that were read were not graded by the software, among "
            f"them {'/'.join(lost[0])}. Expected most of them. Look at the flags of the measures, and "
            "take photos that can be scored."
        )
    pairs = [
        ReadRegion(row["patient"], row.get("reader", ""), *_grades(row), *measured[_key(row)])
        for row in graded
        if _key(row) in measured
    ]
    return Joined(pairs, len(read) - len(graded), len(graded) - len(pairs))


def fitted(pairs: Sequence[ReadRegion], scale: ScaleSettings) -> dict[str, Calibration | StatsError]:
    """Cut points of area (grades 1 to 6) and darkness (1 to 4), from regions found and read as pigmented.

    Parameters
    ----------
    scale : ScaleSettings
        With the cut points in use, the detection threshold and the noise floor.

    Returns
    -------
    dict
        Name of the cut points to those fitted, or to why they cannot be: either stands for itself.
    """
    marked = [pair for pair in pairs if pair.area and is_found(pair, scale)]
    dark = [pair for pair in marked if pair.darkness and pair.contrast_od > 0]

    def of(
        grade: str, measure: str, some: list[ReadRegion], before: Sequence[float], threshold: float = 0.0
    ) -> Calibration | StatsError:
        try:
            return calibrate(
                np.array([getattr(pair, measure) for pair in some]),
                np.array([getattr(pair, grade) for pair in some], np.int64),
                [pair.patient for pair in some],
                before,
                lowest=1,
                threshold=threshold,
            )
        except ValueError as error:
            return StatsError(
                f"The cut points of {grade} cannot be fitted: {error}. Of {len(pairs)} reads {len(some)} "
                "count: where both the reader and the software found pigment."
            )

    first, *seconds = scale.darkness_cut_points_od
    return {
        "area_cut_points": of("area", "pigmented_fraction", marked, scale.area_cut_points),
        "darkness_cut_points_od": of("darkness", "contrast_od", dark, seconds, first),
    }


def is_found(pair: ReadRegion, scale: ScaleSettings) -> bool:
    """Whether the software found pigment in a region that was read."""
    return pair.pigmented_fraction >= max(scale.noise_floor, 1e-6)


def _by_region(rows: Sequence[Line], name: str) -> list[Line]:
    """A row for every region that was read."""
    counted = [row for row in that_count(with_patients(rows), name) if not row.get("repeat_of")]
    if blank := [row for row in counted if not row["patient"]]:
        raise StatsError(
            f"{name} has {len(blank)} reads without a patient, among them one of visit {blank[0]['visit']}, "
            "and names patients in others. Expected a name in each: all without would count as one person. "
            f"Complete it; {NOTHING}"
        )
    if "reader" in rows[0]:  # without it, several rows of a region are several readers
        _refuse_twice(counted, ("patient", "visit", "region", "reader"), name)
    if "region" in rows[0]:
        need_columns(counted, NEEDED_GRADES, name)
        return of_masi(counted, name)
    areas = {region: f"{region}_area" for region in MASI_REGIONS}
    marked = [r for r, area in areas.items() if any(whole_number(row.get(area, "0")) != 0 for row in counted)]
    columns = (*areas.values(), *(f"{region}_darkness" for region in marked))  # nobody's clear chin is dark
    if not set(columns) & set(rows[0]):
        raise StatsError(
            f"{name} has the columns {', '.join(rows[0])}. Expected region, {', '.join(NEEDED_GRADES)} with "
            f"a row for every region, or {', '.join(columns)} with a row for every visit."
        )
    need_columns(counted, columns, name)
    return [
        {"patient": row["patient"], "visit": row["visit"], "region": region, "reader": row.get("reader", "")}
        | {grade: row.get(f"{region}_{grade}", "") for grade in NEEDED_GRADES}
        for row in counted
        for region in MASI_REGIONS
    ]


def _refuse_unscored(read: Sequence[Line], visits: set[tuple[str, str]], measures: str) -> None:
    """Refuse reads of visits that were not scored: a slip of the pen."""
    if lost := sorted({_key(row)[:2] for row in read} - visits):
        raise StatsError(
            f"{len(lost)} visits that were read are not in {measures}, among them {'/'.join(lost[0])}. "
            "Expected the same names in both files. Score the photos that the panel read, and name "
            "visits alike."
        )


def _by_key(measures: Sequence[Line], name: str) -> dict[Key, tuple[float, float]]:
    """Fraction and contrast of every region that the software graded; hidden repeats left out."""
    rows = [row for row in with_patients(measures) if not row.get("repeat_of")]
    _refuse_twice(rows, ("patient", "visit", "region"), name)
    return {
        _key(row): (
            _measure(row, "pigmented_fraction", 1, name),
            0.0 if row["area"] == "0" else _measure(row, "contrast_od", inf, name),
        )
        for row in rows
        if row["area"]
    }


def _measure(row: Line, column: str, most: float, name: str) -> float:
    value = number_in(row[column], 0, most)
    if value is None:
        raise StatsError(
            f"{name} has the {column} {row[column]!r} of {'/'.join(_key(row))}. Expected a number with a "
            f"decimal point, {'0 or more' if most == inf else f'from 0 to {most:g}'}. Take the table as masi "
            "score wrote it."
        )
    return value


def _refuse_twice(rows: Sequence[Line], columns: tuple[str, ...], name: str) -> None:
    """Refuse two rows of one thing."""
    seen = Counter(tuple(row.get(column, "") for column in columns) for row in rows)
    for key, count in seen.items():
        if count > 1:
            raise StatsError(
                f"{name} has {count} rows of {' '.join(filter(None, key))}. Expected one. Take the others "
                "out."
            )


def _grades(row: Line) -> tuple[int, int | None]:
    """Area and darkness; None where no darkness was given."""
    area = _grade(row, "area")
    darkness = _grade(row, "darkness") if row["darkness"] else None
    if area == 0 and darkness:
        raise StatsError(
            f"The read of {'/'.join(_key(row))} has area 0 and darkness {darkness}. Expected no darkness "
            "where there is no pigment. Correct the read."
        )
    return area, darkness


def _grade(row: Line, name: str) -> int:
    text, highest = row[name], _HIGHEST[name]
    grade = whole_number(text)
    if grade is None or grade > highest:
        raise StatsError(
            f"The read of {'/'.join(_key(row))} has {name} {text!r}. "
            f"Expected a whole number from 0 to {highest}."
        )
    return grade


def _key(row: Line) -> Key:
    return row["patient"], row["visit"], row["region"]
