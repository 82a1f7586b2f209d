"""Reads and scores as values and as a long table; `redcap`, `sdtm`, `fhir` are the forms that others take.

No standard term exists for MASI (none was found in the CDISC and NCI terminologies, LOINC or SNOMED CT):
every code here is defined by the sponsor, and says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC
from itertools import islice
from typing import Any

from masi_vision.csv_table import csv_text, guarded, number_in, whole_number
from masi_vision.errors import StatsError
from masi_vision.reads_table import (
    LOCKED,
    is_latest,
    is_locked,
    moment_of,
    need_columns,
    of_masi,
    refuse_other_total,
    refuse_total_alone,
    refuse_two_reads,
)
from masi_vision.scale import ABSENT, MASI_REGIONS, MasiRegion, MasiScore, RegionGrade, masi_score
from masi_vision.visit.region import REFUSED, flags_in

Row = Mapping[str, str]
Grades = Mapping[tuple[MasiRegion, str], str]
"""Of region and item, as they were given."""
SOFTWARE = "ALGORITHM"
NOT_DONE = "not_done"
"""Item of a unit of which nothing was graded."""
Bounds = tuple[int, int]
ITEMS: dict[str, tuple[str, str, Bounds]] = {
    "area": ("AREA", "Area involved, grade", (0, 6)),
    "darkness": ("DARK", "Darkness, grade", (0, 4)),
    "homogeneity": ("HOMO", "Homogeneity, grade", (0, 4)),
}
"""Of a region: short name, name, least and greatest value."""
TOTALS: dict[str, tuple[str, str, Bounds]] = {
    "mmasi": ("MMASI", "Modified MASI, total", (0, 24)),
    "masi": ("MASI", "MASI, total", (0, 48)),
}
PLACES = {
    "forehead": ("FOREHEAD", ""),
    "right_malar": ("MALAR REGION", "RIGHT"),
    "left_malar": ("MALAR REGION", "LEFT"),
    "chin": ("CHIN", ""),
}
"""Of a region: place and side."""
_REGION_CODES = {"forehead": "F", "right_malar": "RM", "left_malar": "LM", "chin": "C"}
_NEEDED = ("area", "darkness")
_OF_A_READ = ("ungradable", "comment")
TRAIL_ROW = "trail_row"
"""Number of the audit trail's row of the lock: the order of locking, though the clock was set back."""
_OTHER = "other"
"""The reading page's reason that says nothing without the comment."""
_AT_ONCE = 1000
"""Rows of a table that are laid out together: chosen, few for the memory and many for the clock."""


@dataclass(frozen=True, slots=True)  # a trial has a third of a million
class Value:
    """One value of one read or score.

    Parameters
    ----------
    region : str
        Blank for a total.
    item : str
        "area", "darkness", "homogeneity", "mmasi", "masi" or `NOT_DONE`.
    text : str
        As it was given; blank where it was asked for and there is none.
    reason : str
        Why there is none.
    evaluator : str
        Reader's name, or `SOFTWARE`.
    number : int
        Of the read: corrections, hidden repeats and second reads have numbers of their own.
    utc : str
        When it was locked; blank for the software.
    comment : str
        The reader's, on the whole read; of the software, what is doubtful about the score.
    made_with : str
        Of the software version, hash of its settings, name and short hash of its models; of a read hash of
        the protocol.
    derived : bool
        Whether it is a total that the grades here make, and not as it was told.
    place : int
        Of the read among those of its table in the order of locking, one of those locked at one moment; a
        later export adds behind it.
    """

    patient: str
    visit: str
    region: str
    item: str
    text: str
    reason: str
    evaluator: str
    stage: str
    number: int
    utc: str
    comment: str
    made_with: str
    derived: bool = False
    place: int = 0

    @property
    def column(self) -> str:
        """Its name in a table with a row for every read."""
        return f"{self.region}_{self.item}" if self.region else self.item

    @property
    def read(self) -> tuple[str, ...]:
        """What the values of one read have in common."""
        return self.patient, self.visit, self.evaluator, self.stage, str(self.number)

    @property
    def identity(self) -> tuple[str, ...]:
        """What stays of a read when it is corrected later."""
        return (*self.read[:3], self.stage.removesuffix(_SUPERSEDED), str(self.number))

    @property
    def superseded(self) -> bool:
        """Whether the read was corrected later."""
        return self.stage.endswith(_SUPERSEDED)


_SUPERSEDED = ", superseded"


def values_of_reads(rows: Sequence[Row], name: str) -> Iterator[Value]:
    """Every locked read of ``reads.csv`` after `masi unblind`, corrections and hidden repeats too.

    Parameters
    ----------
    rows : sequence of mapping
        A row for every read, or one for every region (columns ``region``, ``area``, ``darkness``).
    name : str
        Of the table, for errors.

    Raises
    ------
    StatsError
        A column of grades is missing, a grade is none, or there are two last reads of a unit by one reader.
    """
    if rows and "region" in rows[0]:
        rows = _wide(rows, name)
    need_columns(rows, [f"{region}_{item}" for region in MASI_REGIONS for item in _NEEDED], name)
    locked = [{**row, LOCKED: _utc(row, name)} for row in rows if is_locked(row)]
    when = _when_locked(locked)
    in_order = sorted(locked, key=when)
    numbers = _numbered(in_order, "reader")
    places = {moment: place for place, moment in enumerate(dict.fromkeys(map(when, in_order)))}
    last = ((*_read_of(row), _stage_of(row)) for row in locked if is_latest(row))
    refuse_two_reads(last, name)
    for row in locked:
        stage = _stage_of(row) + ("" if is_latest(row) else _SUPERSEDED)
        protocol = row.get("protocol_sha256", "")
        for one in _values(row, name, row["reader"], stage, numbers[id(row)], row[LOCKED], protocol):
            yield replace(one, place=places[when(row)])


def _when_locked(rows: Sequence[Row]) -> Callable[[Row], tuple[int, str]]:
    """When each read was locked: by the rows of one audit trail, else by the clock, which may be set back."""
    numbers = {id(row): whole_number(row.get(TRAIL_ROW, "")) for row in rows}
    if None in numbers.values() or len({row.get("set", "") for row in rows}) > 1:
        return lambda row: (0, row[LOCKED])
    return lambda row: (numbers[id(row)] or 0, "")


def _read_of(row: Row) -> tuple[str, str, str]:
    return row["patient"], row["visit"], row["reader"]


def _stage_of(row: Row) -> str:
    return row.get("stage", "blind") + (", repeat" if row.get("repeat_of") else "")


def values_of_scores(scores: Sequence[Row], regions: Sequence[Row]) -> Iterator[Value]:
    """The software's scores and grades; of a visit that was not scored, the reason.

    Raises
    ------
    StatsError
        A column of grades is missing, a grade or score is none, or a visit has two rows.
    """
    need_columns(scores, ["mmasi"], "scores.csv")
    need_columns(regions, _NEEDED, "regions.csv")
    wide: dict[tuple[str, ...], dict[str, str]] = {}
    flags: dict[tuple[str, ...], list[str]] = {}
    for row in regions:
        if row["region"] in MASI_REGIONS:
            region = wide.setdefault(_unit_of(row), {})
            region.update(_of_region(row))
            if flag := row.get("flag", ""):
                if not row["area"]:
                    own = flags_in(flag)
                    region[_why_of(row["region"])] = next((one for one in REFUSED if one in own), own[0])
                flags.setdefault(_unit_of(row), []).append(f"{row['region']} {flag.replace(';', ', ')}")
    once = (row for row in scores if not row.get("repeat_of"))
    refuse_two_reads(((row["patient"], row["visit"], "the software", "") for row in once), "scores.csv")
    numbers = _numbered(sorted(scores, key=lambda row: bool(row.get("repeat_of"))))
    for row in scores:
        grades = wide.get(_unit_of(row), {})
        if row["status"] == "scored" and (lost := [r for r in MASI_REGIONS if not grades.get(f"{r}_area")]):
            raise StatsError(
                f"regions.csv has no grade of {row['patient']} {row['visit']}, {', '.join(lost)}, and "
                "scores.csv calls the visit scored. Expected both tables of one run, whole. Copy them again."
            )
        why = {} if row["status"] == "scored" else {"ungradable": row["reason"]}
        stage = "repeat" if row.get("repeat_of") else ""
        merged = {**row, **grades, **why, "comment": _doubts(row, flags.get(_unit_of(row), []))}
        yield from _values(merged, "scores.csv", SOFTWARE, stage, numbers[id(row)], "", _made_with(row))


def _made_with(row: Row) -> str:
    """Program, settings and models of a score; nothing of what its table does not tell."""
    program = " ".join(filter(None, ("masi_vision", row.get("version"), row.get("settings_sha256"))))
    models = " ".join(filter(None, (row.get("models"), row.get("models_sha256", "")[:8])))
    return f"{program}, models {models}" if models else program


def _doubts(row: Row, flags: Sequence[str]) -> str:
    """The interval of a score, the worst check of its photos unless it passes, and its regions' flags."""
    ends = [row.get(f"mmasi_{end}", "") for end in ("low", "high")]
    parts = [f"mMASI 90 % {' to '.join(ends)}"] if all(ends) else []
    if (quality := row.get("quality", "")) not in ("", "pass"):
        parts.append(f"quality {quality}")
    return "; ".join([*parts, *flags])


def _wide(rows: Sequence[Row], name: str) -> list[Row]:
    """Rows of regions as rows of reads."""
    need_columns(rows, _NEEDED, name)
    reads: dict[tuple[str, ...], dict[str, str]] = {}
    said: dict[tuple[str, ...], dict[str, dict[str, str]]] = {}
    every = {f"{region}_{item}": "" for region in MASI_REGIONS for item in _NEEDED}
    rows = of_masi(rows, name)
    refuse_two_reads(
        ((row["patient"], f"{row['visit']}, {row['region']},", row["reader"], _key_of(row)) for row in rows),
        name,
    )
    for row in rows:
        key = _key_of(row)
        read = reads.setdefault(key, {**row, **every, **dict.fromkeys(_OF_A_READ, "")})
        read.update(_of_region(row))
        read[_why_of(row["region"])] = row.get("ungradable", "")
        for column in _OF_A_READ:
            if text := row.get(column, ""):
                said.setdefault(key, {}).setdefault(column, {})[row["region"]] = text
        if LOCKED in row:
            read[LOCKED] = max(read[LOCKED], row[LOCKED])
    for key, columns in said.items():
        reads[key].update({column: _of_regions(texts) for column, texts in columns.items()})
    return list(reads.values())


def _key_of(row: Row) -> tuple[str, ...]:
    """What the rows of one read have in common."""
    what = ("reader", "stage", "version", "latest", "repeat_of")
    return (*_unit_of(row), *(row.get(one, "") for one in what), str(is_locked(row)))


def _of_regions(texts: Mapping[str, str]) -> str:
    """What was said of regions, as said of the read: once where it is the same of all four."""
    if len(set(texts.values())) == 1 and set(MASI_REGIONS) <= texts.keys():
        return next(iter(texts.values()))
    return "; ".join(f"{region}: {text}" for region, text in texts.items())


def _why_of(region: str) -> str:
    """Where a row of a read keeps why one of its regions was not graded."""
    return f"{region}_why"


def _of_region(row: Row) -> dict[str, str]:
    return {f"{row['region']}_{item}": row[item] for item in ITEMS if item in row}


def _unit_of(row: Row) -> tuple[str, ...]:
    """A hidden repeat has the patient and the visit of its original, and another code."""
    return row["patient"], row["visit"], row.get("code", "")


def _numbered(rows: Iterable[Row], *by: str) -> dict[int, int]:
    """Which of its visit's rows each is, from 1; by the row's identity."""
    counted: dict[tuple[str, ...], int] = {}
    numbers: dict[int, int] = {}
    for row in rows:
        unit = tuple(row[name] for name in ("patient", "visit", *by))
        numbers[id(row)] = counted[unit] = counted.get(unit, 0) + 1
    return numbers


def _values(
    row: Row, name: str, evaluator: str, stage: str, number: int, utc: str, made_with: str
) -> Iterator[Value]:
    what = f"{name}, {row['patient']} {row['visit']} by {evaluator}"
    comment, why = row.get("comment", ""), row.get("ungradable", "")
    if why == _OTHER and comment:
        why = f"{why}: {comment}"

    def value(region: str, item: str, text: str, reason: str = "", derived: bool = False) -> Value:
        told = (row["patient"], row["visit"], region, item, text, reason)
        return Value(*told, evaluator, stage, number, utc, comment, made_with, derived)

    grades = {
        (region, item): text
        for region in MASI_REGIONS
        for item, (_, _, bounds) in ITEMS.items()
        if (text := _checked(row, f"{region}_{item}", bounds, what, whole=True))
    }
    given = []
    for (region, item), text in _asked_for(grades):
        blank = row.get(_why_of(region), why) or "not graded"
        given.append(value(region, item, text, "" if text else blank))
    if why:  # grades of some regions all the same, where the software could measure them
        given += [value("", item, "", why) for item in (_totals_asked_for(grades) if given else [NOT_DONE])]
    else:
        given += [value("", *total) for total in _totals(row, grades, what)]
    if not given:
        raise StatsError(f"{what}: neither a grade nor a reason is there. Expected one of them. Complete it.")
    yield from given


def _asked_for(grades: Grades) -> Iterator[tuple[tuple[MasiRegion, str], str]]:
    """The grades of a read, where it has any, with the blanks between them; no blank in a clear region.

    Homogeneity is asked for where it is graded somewhere.
    """
    items = ITEMS if _has_homogeneity(grades) else _NEEDED
    for region in MASI_REGIONS if grades else ():
        for item in items:
            text = grades.get((region, item), "")
            if text or grades.get((region, "area")) != "0":
                yield (region, item), text


def _totals_asked_for(grades: Grades) -> list[str]:
    return [item for item in TOTALS if item == "mmasi" or _has_homogeneity(grades)]


def _has_homogeneity(grades: Grades) -> bool:
    return any(item == "homogeneity" for _, item in grades)


def _totals(row: Row, grades: Grades, what: str) -> Iterator[tuple[str, str, str, bool]]:
    """The totals: item, text, why there is none, whether the grades made it, as they do where they can."""
    told = {item: _checked(row, item, bounds, what) for item, (_, _, bounds) in TOTALS.items()}
    if not grades:
        yield from ((item, text, "", False) for item, text in told.items() if text)
        return
    score, lacking = _score_of(grades)
    if score is None:
        if any(told.values()):
            refuse_total_alone(lacking, what)
        why = f"not graded: {', '.join(lacking)}"
        yield from ((item, "", why, False) for item in _totals_asked_for(grades))
        return
    for item, text in told.items():
        made = getattr(score, item)
        if made is not None and text:
            refuse_other_total(item, text, made, what)
        if made is not None:
            yield item, f"{made:g}", "", True
        elif text:  # a MASI whose homogeneity nobody wrote down is as it was told
            yield item, text, "", False
        elif item in _totals_asked_for(grades):
            yield item, "", "not graded: homogeneity", False


def _score_of(grades: Grades) -> tuple[MasiScore | None, list[str]]:
    """The score that the grades make, or what is missing; without pigment a region has no darkness.

    Where no homogeneity is graded at all, none counts as 0 either: clear faces alone would have a MASI.
    """
    with_homogeneity = _has_homogeneity(grades)
    made: dict[MasiRegion, RegionGrade] = {}
    lacking = []
    for region in MASI_REGIONS:
        area, darkness, homogeneity = (whole_number(grades.get((region, item), "")) for item in ITEMS)
        if area == 0:
            made[region] = ABSENT if with_homogeneity else RegionGrade(0, 0)
        elif area is None or darkness is None:
            lacking.append(region.replace("_", " "))
        else:
            made[region] = RegionGrade(area, darkness, homogeneity)
    return (None, lacking) if lacking else (masi_score(made), [])


def _utc(row: Row, name: str) -> str:
    """When a read was locked, to be sorted by as it stands; blank of a table that does not tell."""
    if not (text := row.get(LOCKED, "")):
        return ""
    if (found := moment_of(text)) is None:
        raise StatsError(
            f"{name}, {row['patient']} {row['visit']} by {row['reader']}: {LOCKED} is {text!r}. Expected a "
            "time, as 2026-05-01T10:00:00+00:00. Take the table as the reading page wrote it."
        )
    return found.astimezone(UTC).isoformat(timespec="milliseconds")


def _checked(row: Row, column: str, bounds: Bounds, what: str, *, whole: bool = False) -> str:
    """The text of a number within its bounds, a grade without a point; blank where there is none."""
    if not (text := row.get(column, "")):
        return ""
    number = number_in(text, *bounds)
    if number is None or (whole and number != int(number)):
        kind = "a whole number" if whole else "a number with a decimal point"
        raise StatsError(
            f"{what}: {column} is {text!r}. Expected {kind} from {bounds[0]} to {bounds[1]}, or a blank "
            "where there is none. Correct it."
        )
    return f"{number:g}" if whole else text


def term(one: Value) -> tuple[str, str]:
    """Short name (at most 8 characters) and name (at most 40)."""
    if one.region:
        code, words, _ = ITEMS[one.item]
        return f"{code}{_REGION_CODES[one.region]}", f"{words}: {one.region.replace('_', ' ')}"
    code, words, _ = TOTALS[one.item]
    return code, words


def role(one: Value) -> str:
    """Who evaluated, in words of SDTM."""
    if one.evaluator == SOFTWARE:
        return SOFTWARE
    return "ADJUDICATOR" if one.stage.startswith("adjudication") else "INDEPENDENT ASSESSOR"


LONG: tuple[tuple[str, str, str], ...] = (
    ("patient", "text", "as the trial names the patient"),
    ("visit", "text", "as the trial names the visit"),
    ("region", "text", f"{', '.join(MASI_REGIONS)}; blank for a total"),
    ("item", "text", f"{', '.join([*ITEMS, *TOTALS])}; {NOT_DONE} where nothing was graded"),
    ("value", "number", "grade or score; blank where there is none"),
    ("reason", "text", "why there is none"),
    ("evaluator", "text", f"reader, or {SOFTWARE} for masi_vision"),
    (
        "stage",
        "text",
        "blind, with_software or adjudication; repeat: of a hidden repeat; superseded: corrected later",
    ),
    ("number", "number", "of the evaluator's reads of this unit, oldest first"),
    ("locked_utc", "text", "when the read was locked and signed; blank for the software"),
    (
        "comment",
        "text",
        "the reader's, on the whole read; of the software interval, quality and flags",
    ),
    (
        "made_with",
        "text",
        "program, hash of its settings, models and their short hash; of a read hash of the protocol",
    ),
)
"""Columns of the long table: name, kind, meaning."""


def long_rows(values: Iterable[Value]) -> Iterator[dict[str, Any]]:
    """The long table: a row for every value; numbers as numbers."""
    for one in values:
        yield {
            "patient": one.patient,
            "visit": one.visit,
            "region": one.region,
            "item": one.item,
            "value": float(one.text) if one.text else None,
            "reason": one.reason,
            "evaluator": one.evaluator,
            "stage": one.stage,
            "number": one.number,
            "locked_utc": one.utc,
            "comment": one.comment,
            "made_with": one.made_with,
        }


def csv_of(
    columns: Sequence[str], rows: Iterable[Mapping[str, Any]], *, as_it_is: bool = False
) -> Iterator[str]:
    """Rows as CSV, piece by piece; nothing for a column that a row lacks.

    Parameters
    ----------
    as_it_is : bool
        Names without the mark that keeps a spreadsheet from running them: for a program that reads the file.
    """
    cells = ({name: _cell(value, as_it_is) for name, value in row.items()} for row in rows)
    yield csv_text(columns, [])
    while some := list(islice(cells, _AT_ONCE)):
        yield csv_text(columns, some).partition("\n")[2]


def _cell(value: Any, as_it_is: bool) -> Any:
    if value is None:
        return ""
    if isinstance(value, str) and not as_it_is:
        return guarded(value)
    return f"{value:g}" if isinstance(value, float) else value
