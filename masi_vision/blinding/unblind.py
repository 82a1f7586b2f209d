"""Breaking the code: tables of a coded set with the patients, visits and arms put back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path

from masi_vision.blinding.correction import FilingCorrection, Place
from masi_vision.blinding.key import Key
from masi_vision.blinding.record import Record, content_of
from masi_vision.csv_table import guarded, is_no_name, number_in, read_csv, unguarded
from masi_vision.errors import BlindingError
from masi_vision.reads_table import (
    CLOSED,
    CORRECTED,
    LOCKED,
    NOT_TOLD,
    YES,
    is_blind,
    moment_of,
    tells_no_closing,
)
from masi_vision.report.tables import GRADES
from masi_vision.scale import MASI_REGIONS

ALLOCATION_COLUMNS = ("patient", "arm")
CODE_COLUMNS = ("code", "visit")
"""Columns that hold the code, the first that a table has: reads name it, scores take it for a visit."""
_ADDED = ("code", "patient", "visit", "repeat_of")
"""Columns in front of every table whose code is broken."""
CODING = "coding.csv"
CODING_COLUMNS = (
    *("code", "patient", "visit", "view", "original_sha256", "coded_sha256", "left_out"),
    *("corrected_patient", "corrected_visit", "correction_reason"),
)
NOT_KNOWN = "not known"
"""Stands for the hash of a coded photo where the key is of a version that did not keep it."""
_NAMING = frozenset(("patient", "arm"))
"""Columns that tell, where a row has a value there, what the codes hide."""
_NAMED = 5  # of the units that a table lacks
Rows = list[dict[str, str]]
_GRADED = frozenset(
    (*(f"{region}_{grade}" for region in MASI_REGIONS for grade in GRADES), *GRADES, "masi", "mmasi")
)


@dataclass(frozen=True)
class Table:
    """A CSV table of results.

    Parameters
    ----------
    content : bytes
        Of the file that it was read from; empty where it was read from none.
    """

    name: str
    columns: tuple[str, ...]
    rows: Rows
    content: bytes = b""

    @property
    def code_column(self) -> str | None:
        """Which column holds the code."""
        return next((name for name in CODE_COLUMNS if name in self.columns), None)

    @property
    def is_opened(self) -> bool:
        """Whether it names patients or arms already."""
        naming = [name for name in self.columns if name.casefold() in _NAMING]
        return any(row[name].strip() for row in self.rows for name in naming)

    @property
    def unlocked(self) -> int:
        """How many reads are not locked."""
        return sum(moment_of(row[LOCKED]) is None for row in self.rows) if LOCKED in self.columns else 0


def read_tables(results: Path) -> list[Table]:
    """The tables of a folder that hold codes, or the one that is named.

    Raises
    ------
    BlindingError
        There is none.
    """
    files = sorted(results.glob("*.csv")) if results.is_dir() else [results]
    files = [file for file in files if not results.is_dir() or _may_hold_codes(file)]
    tables = [_table(file) for file in files]
    tables = [table for table in tables if table.code_column is not None]
    if not tables:
        raise BlindingError(
            f"{results} holds no table with a column {' or '.join(CODE_COLUMNS)}. Expected the results of "
            "masi score on a coded set, or a table of reads. Name their folder."
        )
    return tables


def _table(file: Path) -> Table:
    content, read = content_of(file), read_csv(file, BlindingError)
    return Table(read.name, read.columns, list(read.rows), content)


def _may_hold_codes(file: Path) -> bool:
    """Whether the first line of a file names a column of codes; what else lies in a folder is not read."""
    try:
        with file.open("rb") as stream:
            head = stream.readline().decode("utf-8-sig", errors="replace")
    except OSError:
        return True  # reading it says why it cannot be read
    return any(column in head for column in CODE_COLUMNS)


def read_allocation(file: Path) -> dict[str, str]:
    """Arm of each patient.

    Raises
    ------
    BlindingError
        The columns are others, or a patient has two arms or none.
    """
    table = read_csv(file, BlindingError).need(ALLOCATION_COLUMNS, BlindingError, "Name the allocation.")
    arms: dict[str, str] = {}
    for row in table.plain_rows:
        patient, arm = (row[name] for name in ALLOCATION_COLUMNS)
        if not patient or not arm or is_no_name(patient) or is_no_name(arm):
            raise BlindingError(
                f"{file.name} has a row with patient {patient!r} and arm {arm!r}. Expected both, and no "
                "NA or the like, which stands for nothing. Correct it."
            )
        if arms.setdefault(patient, arm) != arm:
            raise BlindingError(f"{file.name} names two arms of {patient!r}. Expected one. Correct it.")
    return arms


def unblinded(
    table: Table,
    key: Key,
    arms: Mapping[str, str] | None = None,
    moved: Collection[str] | None = None,
) -> Table:
    """A table with patient, visit and, where they are given, arm of every code; rows in their order.

    Names are marked as in every table here, so that no spreadsheet runs one for a formula.

    Parameters
    ----------
    key : Key
        As it was sealed, or as it was corrected.
    moved : collection of str, optional
        Codes of the units of which patient or visit was corrected; None where nothing was to be.

    Raises
    ------
    BlindingError
        A code is not of this set, or a patient has no arm.
    """
    column = table.code_column
    if column is None:
        raise ValueError(f"{table.name} must have one of the columns {', '.join(CODE_COLUMNS)}")
    told = {"arm": arms, CORRECTED: moved}
    added = (*_ADDED, *(name for name, given in told.items() if given is not None))
    rest = tuple(name for name in table.columns if name not in (*added, CORRECTED, column))
    rows = []
    for row in table.rows:
        if (row.get("set") or key.set_id) != key.set_id:
            raise BlindingError(
                f"{table.name} is of the set {row['set']}. Expected {key.set_id}, that of the key. Name "
                "another key, or other results."
            )
        unit = key.unit(row[column])
        if unit is None:
            raise BlindingError(
                f"{table.name} has the code {row[column]!r}, which is not of this set. Expected results of "
                "the set that the key was written with. Name another key, or other results."
            )
        found = {"code": unit.code, "patient": guarded(unit.patient), "visit": guarded(unit.visit)}
        found["repeat_of"] = unit.repeat_of or ""
        if arms is not None:
            if unit.patient not in arms:
                raise BlindingError(f"The allocation names no arm of {unit.patient!r}. Expected all. Add it.")
            found["arm"] = guarded(arms[unit.patient])
        if moved is not None:
            found[CORRECTED] = YES if unit.code in moved else ""
        rows.append({**found, **{name: _guarded(row[name]) for name in rest}})
    return Table(table.name, (*added, *rest), rows)


def _guarded(cell: str) -> str:
    """A cell of whoever made the table, as a spreadsheet may have it; a number below 0 is no formula."""
    is_number = number_in(cell.strip(), -inf, inf) is not None
    return cell if is_number else guarded(unguarded(cell))


def coding_table(key: Key, corrections: Mapping[Place, FilingCorrection]) -> Table:
    """Which original photo stands behind each coded one; photos left out without a code, and why.

    Parameters
    ----------
    key : Key
        As it was sealed: what was corrected stands beside what was coded.
    corrections : mapping of Place to FilingCorrection
    """
    coded = {
        (code, name.partition(".")[0]): sha256
        for (code, _, name), sha256 in ((place.partition("/"), sha256) for place, sha256 in key.coded.items())
    }
    rows = [
        {
            **{"code": unit.code, "patient": guarded(unit.patient), "visit": guarded(unit.visit)},
            **{"view": view, "original_sha256": original},
            "coded_sha256": coded[unit.code, view] if coded else NOT_KNOWN,
            **_corrected_cells((unit.patient, unit.visit), corrections),
        }
        for unit in sorted(key.units, key=lambda unit: unit.code)
        for view, original in unit.photos.items()
    ]
    rows += [
        {
            **{"patient": guarded(one.patient), "visit": guarded(one.visit), "view": one.view},
            **{"original_sha256": one.sha256, "left_out": one.why},
            **_corrected_cells((one.patient, one.visit), corrections),
        }
        for one in key.left_out
    ]
    return Table(CODING, CODING_COLUMNS, rows)


def _corrected_cells(place: Place, corrections: Mapping[Place, FilingCorrection]) -> dict[str, str]:
    """What a place was corrected to, and why; nothing where it stays."""
    if (one := corrections.get(place)) is None:
        return {}
    cells = (*one.correct, one.reason)
    return {name: guarded(cell) for name, cell in zip(CODING_COLUMNS[-3:], cells, strict=True)}


def of_earlier_calls(out: Path, but: Collection[str], record: Record) -> list[Path]:
    """Files in a folder that earlier calls of this key wrote, but for those of these names.

    Raises
    ------
    BlindingError
        Another table there names patients beside codes as theirs do: a person made or changed it.
    """
    head = ",".join(_ADDED).encode()
    found = []
    for file in sorted(out.iterdir()) if out.is_dir() else ():
        if file.name in but or not file.is_file():
            continue
        if record.wrote(file):
            found.append(file)
        elif file.suffix == ".csv" and content_of(file).startswith(head):
            raise BlindingError(
                f"{file} begins as an opened table does, and no line of the key's log says that it was "
                "written so. Expected tables of earlier calls as they were written, which are taken away. "
                "Put it elsewhere, or name another folder."
            )
    return found


def unlocked_reads(tables: Sequence[Table]) -> Iterator[str]:
    """What speaks against breaking the code now, a phrase each."""
    reads = [table for table in tables if LOCKED in table.columns]
    if not reads:
        yield f"no table has a column {LOCKED}, so nobody says that the reads are locked"
    if reads and not any(_GRADED & set(map(str.casefold, table.columns)) for table in reads):
        yield f"no grade is in {', '.join(table.name for table in reads)}"
    for table in reads:
        if not table.rows:
            yield f"{table.name} holds no read"
        if any(CLOSED in row and moment_of(row[CLOSED]) is None for row in table.rows):
            yield f"the reading of {table.name} is open, and reads may be corrected (masi review close)"
        if tells_no_closing(table.columns):
            yield f"{table.name} was {NOT_TOLD}: export it again with this version"
        if table.unlocked:
            over = table.rows and all(moment_of(row.get(CLOSED, "")) is not None for row in table.rows)
            never = ", and never will be: the reading is closed" if over else ""
            yield f"{table.unlocked} of {len(table.rows)} reads of {table.name} are not locked{never}"


def unread(tables: Sequence[Table], key: Key) -> Iterator[str]:
    """What else speaks against it, once the key is open: units that not every reader of the set has locked.

    Notes
    -----
    A reader's name on the page need not be that of his list, so readers are counted. A table of reads without
    a column ``reader`` is one reader's.
    """
    locked = {
        (row[table.code_column], row.get("reader", table.name))
        for table in tables
        if LOCKED in table.columns and table.code_column is not None
        for row in table.rows
        if moment_of(row[LOCKED]) is not None and is_blind(row)
    }
    readers = Counter(code for code, _ in locked)
    lacking = [unit.code for unit in key.units if readers[unit.code] < len(key.orders)]
    if lacking and locked:
        yield (
            f"{len(lacking)} of {len(key.units)} units, such as {lacking[0]}, lack a locked blind read of "
            f"one of the {len(key.orders)} readers"
        )


def unscored(tables: Sequence[Table], key: Key) -> Iterator[str]:
    """What else speaks against it: units of the set that the tables of scores lack.

    Notes
    -----
    A visit that was not scored has a row that says why, so that a unit without one was lost. Several tables
    may share the units, as where a set was scored in parts.
    """
    scores = [
        table
        for table in tables
        if LOCKED not in table.columns and table.code_column is not None and "mmasi" in table.columns
    ]
    codes = {row[table.code_column] for table in scores for row in table.rows if table.code_column}
    lacking = [unit.code for unit in key.units if unit.code not in codes]
    if scores and lacking:
        named = ", ".join(lacking[:_NAMED]) + (" and others" if len(lacking) > _NAMED else "")
        files = ", ".join(table.name for table in scores)
        lack = "lacks" if len(scores) == 1 else "together lack"
        yield f"{files} {lack} {len(lacking)} of the {len(key.units)} units of the set: {named}"
