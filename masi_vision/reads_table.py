"""What the columns of a table of reads mean: whose row counts, and what is no grade."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import NoReturn, TypeVar

from masi_vision.csv_table import (
    CsvTable,
    Row,
    is_no_name,
    number_in,
    read_csv,
    whole_number,
    without_missing,
)
from masi_vision.errors import StatsError
from masi_vision.names import nearly_alike, place_of, spelled_alike, told_apart

_Row = TypeVar("_Row", bound=Mapping[str, str])

LOCKED = "locked_utc"
"""When the read was locked and signed; blank before."""
CLOSED = "closed_utc"
"""Since when nobody reads any more; blank before."""
CORRECTED, YES = "corrected", "yes"
"""Whether masi unblind put the unit elsewhere than it was filed: yes, or blank."""
NOT_COUNTED = "not-counted-"
"""How a patient is called, with the code of the unit, whose photos masi unblind was told not to count."""
STAGES = ("blind", "with_software", "adjudication")
"""Of a read: a reader's, a reader's who knew the software's score, an adjudicator's."""
_NAMES = ("patient", "visit", "reader", "arm")
_CODE = re.compile("[23456789BCDFGHJKMNPQRTVWXYZ]{7}")
"""How masi blind writes a code; of a part of the units that of the first read may stand in no row."""
AMOUNT = "amount_od"
"""Endpoint of a table of changes: the amount of pigment, visits laid over the baseline; it may be below 0."""
_UNGRADED = ("nose", "upper_lip")
"""Regions that a table may hold and MASI does not grade."""
MADE_BY = ("version", "settings_sha256", "models_sha256", "atlas", "pigment_method")
"""Columns of what made a score of the software: two scores compare where these are equal."""
_OF_THE_PAGE = frozenset(("signed_by", "protocol_sha256"))
"""Columns that every version of the reading page exported, and no other table has both of."""
NOT_TOLD = "exported by an earlier version, which does not tell whether the reading was closed"
_SAME = 0.051
"""Tables may write a total with one decimal."""
_SAME_WHOLE = 0.501
"""Or as a whole number."""


def need_columns(rows: Sequence[Mapping[str, str]], columns: Sequence[str], name: str) -> None:
    """Refuse rows that lack a column: what is misspelt would count as blank, and nobody would be told.

    Raises
    ------
    StatsError
    """
    if rows and (lacking := [column for column in columns if column not in rows[0]]):
        raise StatsError(
            f"{name} lacks {', '.join(lacking)}; it has {', '.join(rows[0])}. Expected {', '.join(columns)}. "
            "Look for a misspelt name."
        )


def of_masi(rows: Sequence[_Row], name: str) -> list[_Row]:
    """Rows of regions without those that MASI does not grade.

    Raises
    ------
    StatsError
        A region is none.
    """
    from masi_vision.scale import MASI_REGIONS

    for row in rows:
        if row["region"] not in (*MASI_REGIONS, *_UNGRADED):
            raise StatsError(
                f"{name} has the region {row['region']!r}. Expected one of {', '.join(MASI_REGIONS)}. Look "
                "for a misspelt name."
            )
    return [row for row in rows if row["region"] in MASI_REGIONS]


def rows_of(file: Path) -> list[Row]:
    """Rows of a table of reads, scores or outcomes; blank where another program wrote that there is nothing.

    Raises
    ------
    StatsError
        It is no table; has NULL, #N/A or the like for a patient, visit or arm; or has a word in ``latest``,
        ``stage``, ``repeat_of`` or ``locked_utc`` that is none of theirs: its row would count nowhere, or
        without a signature, and nobody would be told.
    """
    table = read_csv(file, StatsError).in_small_letters(_NAMES, StatsError)
    rows = [without_missing(row) for row in table.plain_rows]
    _refuse_no_names(rows, table)
    if "visit" in table.columns:  # an allocation may have the stage of a disease
        _refuse_other_marks(rows, table)
    return rows


def _refuse_no_names(rows: Sequence[Row], table: CsvTable) -> None:
    """Refuse what programs write where there is nothing: it would be an arm, or a patient, of its own."""
    for column in [name for name in ("patient", "visit", "arm") if name in table.columns]:
        for line, row in zip(table.lines, rows, strict=True):
            if is_no_name(row[column]):
                raise StatsError(
                    f"{table.name}, line {line}: {column} is {row[column]!r}, which programs write where "
                    "there is nothing. Expected a name, or a blank where there is none. Correct it."
                )


def _refuse_other_marks(rows: Sequence[Row], table: CsvTable) -> None:
    """Refuse a cell that is none of the words by which a read counts or not."""
    codes = {row["code"] for row in rows} if "code" in table.columns else set[str]()
    of_every_read = {"stage"} if any(row.get("stage") for row in rows) else set[str]()
    expected: dict[str, tuple[Callable[[str], bool], str]] = {
        "latest": (lambda cell: whole_number(cell) in (0, 1), "1 in the last version of a read, else 0"),
        "stage": (lambda cell: cell.casefold() in STAGES, f"{', '.join(STAGES)} in each row"),
        LOCKED: (
            lambda cell: moment_of(cell) is not None,
            "a time, as 2026-05-01T10:00:00+00:00, or nothing where the read is not locked",
        ),
        "repeat_of": (
            lambda cell: cell in codes or _CODE.fullmatch(cell) is not None,
            "the code of the first read in a hidden repeat, else nothing",
        ),
    }
    for column in [name for name in expected if name in table.columns]:
        fits, words = expected[column]
        for line, row in zip(table.lines, rows, strict=True):
            if (row[column] or column in of_every_read) and not fits(row[column]):
                raise StatsError(
                    f"{table.name}, line {line}: {column} is {row[column]!r}. Expected {words}: by it a read "
                    "counts or does not. Correct it."
                )


def refuse_other_total(item: str, told: str, made: float, what: str) -> None:
    """Refuse a total that its grades do not make: one of them was changed since.

    Parameters
    ----------
    item : str
        Name of the total.
    told : str
        As the table has it; it may be rounded.
    made : float
        By the grades.
    what : str
        Table, unit and reader, for the error.

    Raises
    ------
    StatsError
    """
    total = number_in(told, 0, float("inf"))
    if total is None:
        raise StatsError(
            f"{what}: {item} is {told!r}. Expected a number with a decimal point, or a blank where there is "
            "none. Correct it."
        )
    if abs(total - made) > (_SAME_WHOLE if told.isdigit() else _SAME):
        raise StatsError(
            f"{what}: {item} is {told}, and its grades make {made:g}. Expected the same. Correct the one "
            "that is wrong."
        )


def refuse_total_alone(lacking: Iterable[str], what: str) -> NoReturn:
    """Refuse a total of regions of which some have no grade.

    Raises
    ------
    StatsError
    """
    raise StatsError(
        f"{what}: a total is there, and {', '.join(lacking)} has no grade. Expected the grade, or no "
        "total. Correct the one that is wrong."
    )


def refuse_spelled_alike(names: Iterable[str], what: str, *, nearly: bool = False) -> None:
    """Refuse two spellings of one name: it would count twice, or be missing somewhere without a word.

    Parameters
    ----------
    nearly : bool
        Refuse what is `nearly_alike` too: visits and strata, but not patients, of whom each centre may count
        its own.

    Raises
    ------
    StatsError
    """
    for alike in nearly_alike(set(names)) if nearly else spelled_alike(names):
        told = " and ".join(told_apart(*alike))
        unsure = nearly and {"-" in name for name in alike} == {True, False}
        minus = " Where one is of days before, call it 'Day -1'." * unsure
        raise StatsError(f"The table has the {what}s {told}. Expected one spelling. Correct it.{minus}")


def refuse_two_reads(reads: Iterable[tuple[str, str, str, Hashable]], name: str) -> None:
    """Refuse two reads of a unit by one reader: two people of one name, or a repeat that is not marked.

    Parameters
    ----------
    reads : iterable of (patient, visit, reader, anything)
        The last tells reads apart that one reader may have of a unit; True is a hidden repeat.
    name : str
        Of the table.

    Raises
    ------
    StatsError
    """
    seen: set[tuple[str, str, str, Hashable]] = set()
    for read in reads:
        if read in seen:
            what, wanted = (
                ("hidden repeats", "one at most")
                if read[3] is True
                else ("reads", "one, and a repeat marked in the column repeat_of")
            )
            raise StatsError(
                f"{name} has two {what} of {read[0]} {read[1]} by {read[2]}. Expected {wanted}. Where two "
                "centres count their patients alike, give each patient a name of one's own (lyon/003)."
            )
        seen.add(read)


def refuse_strangers(
    read: Sequence[Mapping[str, str]], scored: Sequence[Mapping[str, str]], names: tuple[str, str]
) -> None:
    """Refuse reads and scores that share no visit, or spell one patient or visit in two ways.

    Parameters
    ----------
    names : (str, str)
        Of the table of reads and of that of scores.

    Raises
    ------
    StatsError
    """
    if not (read and scored):
        return
    for rows, name in zip((read, scored), names, strict=True):
        need_columns(rows, ("patient", "visit"), name)
    for what in ("patient", "visit"):
        here, there = ({row[what] for row in rows} for rows in (read, scored))
        for alike in nearly_alike(here | there):
            if (ours := set(alike) - there) and (theirs := there.intersection(alike)):
                name, other = told_apart(min(ours), min(theirs))
                raise StatsError(
                    f"The {what} {name} of {names[0]} is {other} in {names[1]}. Expected one spelling. "
                    "Keep the column as text where a program reads and writes the table."
                )
    units = [{(row["patient"], row["visit"]) for row in rows} for rows in (read, scored)]
    if not units[0] & units[1]:
        raise StatsError(
            f"{' and '.join(names)} share no visit: {'/'.join(min(units[0]))} was read, "
            f"{'/'.join(min(units[1]))} scored. Expected the same names in both: break the code of both with "
            "masi unblind."
        )


def refuse_two_openings(tables: Mapping[str, Sequence[Mapping[str, str]]]) -> None:
    """Refuse opened tables that put one code to two places: one of them was corrected otherwise.

    Parameters
    ----------
    tables : mapping of str to sequence of mapping
        Name to rows, whole: who is left out of one table may be somebody else in another.

    Raises
    ------
    StatsError
    """
    places: dict[str, tuple[tuple[str, str], str]] = {}
    for name, rows in tables.items():
        for row in rows:
            if not (code := row.get("code")):
                continue
            place = (row.get("patient", ""), row.get("visit", ""))
            before, first = places.setdefault(code, (place, name))
            if before != place:
                raise StatsError(
                    f"The code {code} is {place_of(*before)} in {first} and {place_of(*place)} in {name}. "
                    "Expected tables of one call of masi unblind, all with the same --corrections "
                    "or all without. Break the code of all of them in one call."
                )


def is_not_counted(patient: str) -> bool:
    """Whether the name stands for photos that are not to be counted."""
    return patient.startswith(NOT_COUNTED)


def units_corrected(rows: Iterable[Mapping[str, str]]) -> int | None:
    """Of how many units patient or visit was corrected; None of tables that do not tell."""
    told = [row for row in rows if CORRECTED in row]
    return len({row.get("code", "") for row in told if row[CORRECTED] == YES}) if told else None


def moment_of(text: str) -> datetime | None:
    """A time as ISO 8601 writes it, in UTC where it names no zone; None of any other text."""
    try:
        found = datetime.fromisoformat(text.strip().removesuffix(" UTC"))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def rows_sha256(rows: Iterable[Mapping[str, str]]) -> str:
    """What a table says, however its lines end and its cells are quoted."""
    return sha256(json.dumps([dict(row) for row in rows]).encode()).hexdigest()


def ways_made(rows: Iterable[Mapping[str, str]]) -> list[str]:
    """By which program, settings and models the software's scores were made, and how many: a phrase each."""
    counted = Counter(tuple(row.get(name, "") for name in MADE_BY) for row in rows)
    return [
        "{} by masi_vision {}, settings {}, models {}, atlas {}, pigment by {}".format(
            count,
            *(
                (cell[:8] if name.endswith("sha256") else cell) or "unknown"
                for name, cell in zip(MADE_BY, cells, strict=True)
            ),
        )
        for cells, count in sorted(counted.items())
    ]


def refuse_mixed(rows: Iterable[Mapping[str, str]], name: str, column: str) -> None:
    """Refuse scores of the software that were made in several ways: a change would be that of the program.

    Parameters
    ----------
    column : str
        Of the score that is compared: a row where it is blank counts nowhere, however it was made.

    Raises
    ------
    StatsError
    """
    scored = [row for row in rows if row.get(column)]
    if len(ways := ways_made(scored)) > 1:
        differ = [one for one in MADE_BY if len({row.get(one, "") for row in scored}) > 1]
        raise StatsError(
            f"The rows of {name} were made in {len(ways)} ways, which do not compare: {'; '.join(ways)}. "
            f"Expected one {', one '.join(differ)} in all of them. Score all visits again with one."
        )


def refuse_other_stages(rows: Sequence[Mapping[str, str]], name: str) -> None:
    """Refuse a table that does not tell of every row whether a reader or an adjudicator gave it.

    Raises
    ------
    StatsError
    """
    if rows and "stage" not in rows[0]:
        raise StatsError(
            f"{name} has no column stage, so nobody knows which grades are an adjudicator's; the protocol "
            "says adjudicated: replaces. Expected reads.csv of the reading page after masi unblind. Name "
            "that table, or a protocol with adjudicated: ignored."
        )
    if others := sorted({row["stage"] for row in rows if row["stage"].casefold() not in STAGES}):
        raise StatsError(
            f"{name} has the stage {', '.join(map(repr, others))}. Expected one of {', '.join(STAGES)} in "
            "every row: with adjudicated: replaces it decides whose grades are the endpoint. Correct it."
        )


def is_locked(row: Mapping[str, str]) -> bool:
    """Whether its reader signed it; a table without the column holds no other."""
    return bool(row.get(LOCKED, "locked"))


def is_closed(rows: Iterable[Mapping[str, str]]) -> bool | None:
    """Whether the reading was closed when its reads were exported; None of a table that does not tell."""
    told = [moment_of(row[CLOSED]) is not None for row in rows if CLOSED in row]
    return all(told) if told else None


def tells_no_closing(columns: Collection[str]) -> bool:
    """Whether a table is an export of the reading page by a version that did not say if it was closed."""
    return set(columns) >= _OF_THE_PAGE and CLOSED not in columns


def is_of_reading_page(row: Mapping[str, str]) -> bool:
    """Whether the reading page exported a locked read, which then knows what its reader was shown."""
    return all(row.get(name) for name in (*_OF_THE_PAGE, "stage"))


def is_blind(row: Mapping[str, str]) -> bool:
    """Whether nobody had seen the software's score."""
    return row.get("stage", "blind").casefold() == "blind"


def is_adjudication(row: Mapping[str, str]) -> bool:
    """Whether it is an adjudicator's, or awaits one."""
    return row.get("stage", "").casefold() == "adjudication"


def is_latest(row: Mapping[str, str]) -> bool:
    """Whether the reader corrected it no more; programs write 1.0 for 1."""
    return whole_number(row.get("latest") or "1") == 1


def that_count(rows: Sequence[_Row], name: str) -> list[_Row]:
    """Reads that are locked, blind, and the last.

    Raises
    ------
    StatsError
        There are none.
    """
    counted = [row for row in rows if is_locked(row) and is_blind(row) and is_latest(row)]
    if not counted:
        raise StatsError(
            f"None of the {len(rows)} rows of {name} counts. Expected reads that are locked, blind and the "
            "reader's last (columns locked_utc, stage, latest). Let the readers finish."
        )
    return counted
