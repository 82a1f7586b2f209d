"""Tables as CSV (RFC 4180, but with lines ended by LF): read, refused, written.

A spreadsheet takes a cell that begins with = + - @, full-width in Asia, for a formula and runs it: names are
written `guarded`.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from masi_vision.errors import MasiError, reason_of

Row = dict[str, str]

_MISSING = ("", "na", "nan", ".")
"""How R, Python and SAS write that there is no value, in small letters."""
_NO_NAME = re.compile(r"(?i:na|nan|null|n/a|#[^0-9]+(/0!)?)|\.|None|NaT|<NA>")
"""What stands there too where a program had nothing, or an error, whose only digit is that of
#DIV/0!; #12 and #P01 are names, none a word of people."""
NOTHING = "NA, NaN and a point stand for nothing here, as a blank does."
_ENDED = frozenset({"settings_sha256", "protocol_sha256", "closed_utc"})
"""Columns by which a table of the program is known, whose last line has its end."""
_SIGNS = "=+-@\uff1d\uff0b\uff0d\uff20"
"""By which a formula begins; the last four are the same in full width."""
_FORMULA = (*_SIGNS, "\t", "\r")
_CELL = f"(?='*[{re.escape(_SIGNS)}])"
"""Where a spreadsheet that parts cells by ; or tabs would see the next one begin as a formula does."""
_UNMARKED, _MARKED = re.compile(f"(?<=[;\t]){_CELL}"), re.compile(f"(?<=[;\t])'{_CELL}")


@dataclass(frozen=True)
class CsvTable:
    """A table that another program or a person made.

    Parameters
    ----------
    name : str
        As sentences call it.
    columns : tuple of str
    rows : tuple of dict
        Those with any value.
    lines : tuple of int
        The line of the file on which each row ends.
    """

    name: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    lines: tuple[int, ...]

    @property
    def plain_rows(self) -> tuple[Row, ...]:
        """The rows as they are meant: no blanks around a cell, names without the mark of `guarded`."""
        return tuple({column: unguarded(cell.strip()) for column, cell in row.items()} for row in self.rows)

    def need(self, columns: Sequence[str], refused: type[MasiError], remedy: str) -> CsvTable:
        """The same table; refused where it lacks a column."""
        self.in_small_letters(columns, refused)
        if lacking := [name for name in columns if name not in self.columns]:
            raise refused(
                f"{self.name} has no column {', '.join(lacking)}; it has "
                f"{', '.join(self.columns) or 'none'}. Expected {', '.join(columns)}. {remedy}"
            )
        return self

    def in_small_letters(self, columns: Iterable[str], refused: type[MasiError]) -> CsvTable:
        """The same table; refused where it has one of these columns in capitals alone."""
        written = {column.casefold(): column for column in self.columns}
        if large := [written[one] for one in columns if one in written and one not in self.columns]:
            raise refused(
                f"{self.name} has the column {', '.join(large)}. Expected {', '.join(large).casefold()}, in "
                "small letters. Write the first line so."
            )
        return self


def read_csv(file: Path, refused: type[MasiError], *, any_case: bool = False) -> CsvTable:
    """Read a table; see `csv_table`.

    Raises
    ------
    refused
        It cannot be read either.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise refused(
            f"{file} cannot be read ({reason_of(error)}). Expected a CSV table in UTF-8. Look for a "
            "misspelt name."
        ) from error
    return csv_table(text_of(content, str(file), refused), file.name, refused, any_case=any_case)


def text_of(content: bytes, name: str, refused: type[MasiError]) -> str:
    """The text of a table's file.

    Raises
    ------
    refused
        It is not in UTF-8; where it is a workbook, or of Excel's "Unicode text", that is said.
    """
    if content.startswith(b"PK\x03\x04"):
        why = "a workbook (.xlsx), whatever it is called"
    elif content.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in content[:4]:
        why = "UTF-16, as Unicode text of Excel and > of PowerShell write it"
    else:
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            why = reason_of(error)
    raise refused(f'{name} cannot be read ({why}). Expected a CSV table in UTF-8. Save it as "CSV UTF-8".')


def csv_table(text: str, name: str, refused: type[MasiError], *, any_case: bool = False) -> CsvTable:
    """A table from its text.

    Parameters
    ----------
    name : str
        Of the file, for sentences.
    any_case : bool
        Names of columns in small letters, however they are written.

    Raises
    ------
    refused
        It is no CSV, is parted by semicolons or tabs, begins with another line than its columns, has a column
        twice, or a row has more cells than there are columns: a decimal comma parts a number in two, and a
        comma a name. Or the file ends within its last row; a row that somebody ended before its last columns
        has nothing there.
    """
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        columns = tuple(cell.strip().casefold() if any_case else cell.strip() for cell in next(reader, []))
        lines = [(reader.line_num, cells) for cells in reader if any(map(str.strip, cells))]
    except csv.Error as error:
        raise refused(
            f"{name} is no CSV table near line {reader.line_num} ({error}). Expected cells parted by commas. "
            "Look for a quotation mark that is not closed."
        ) from error
    if twice := [column for column, count in Counter(filter(None, columns)).items() if count > 1]:
        raise refused(f"{name} has the column {twice[0]!r} twice. Expected one. Take the other out.")
    first = next(iter(columns), "")
    is_comment = first.startswith("#") and (len(columns) == 1 or " " in first)  # "#" may number the rows
    if is_comment or first.startswith("sep="):
        raise refused(
            f"{name} begins with {text.splitlines()[0][:60]!r}. Expected the names of the columns in the "
            "first line. Take that line out."
        )
    for sign, words in ((";", "semicolons"), ("\t", "tabs")):
        if len(columns) == 1 and sign in first:
            raise refused(f"{name} is parted by {words}. Expected commas. Save it as CSV with commas.")
    for line, cells in lines:
        if any(map(str.strip, cells[len(columns) :])):
            raise refused(
                f"{name}, line {line}, has {len(cells)} cells for {len(columns)} columns. Expected one for "
                "each. Write decimals with a point, or put a text with commas into quotation marks."
            )
    if lines and not text.endswith(("\n", "\r")):
        line, cells = lines[-1]
        if len(cells) < len(columns) or not _ENDED.isdisjoint(columns):
            raise refused(
                f"{name} breaks off in line {line}, after {len(cells)} of {len(columns)} cells. Expected a "
                "whole row and the end of its line: the end of the file is lost, as on a full disk. Copy it "
                "again; if nothing is missing, end its last line."
            )
    rows = tuple(dict(zip(columns, [*cells, *[""] * len(columns)], strict=False)) for _, cells in lines)
    return CsvTable(name, columns, rows, tuple(line for line, _ in lines))


def without_missing(row: Row) -> Row:
    """A row with blanks where another program wrote that there is nothing."""
    return {name: "" if cell.lower() in _MISSING else cell for name, cell in row.items()}


def is_no_name(text: str) -> bool:
    """Whether other programs write it where there is nothing: nobody can be called so."""
    return _NO_NAME.fullmatch(text.strip()) is not None


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> str:
    """Lay rows out as CSV; nothing for what a row lacks, or has None of. Every end of a line is LF."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, restval="", lineterminator="\n")
    writer.writeheader()
    # A lone CR would stand unquoted, and end the row for who reads it.
    writer.writerows({name: _with_lf(value) for name, value in row.items()} for row in rows)
    return stream.getvalue()


def _with_lf(value: object) -> object:
    return value.replace("\r\n", "\n").replace("\r", "\n") if isinstance(value, str) else value


def csv_line(columns: Sequence[str], row: Mapping[str, object]) -> str:
    """One row of `csv_text`."""
    return csv_text(columns, [row]).partition("\n")[2]


def whole_number(text: str) -> int | None:
    """A whole number as it is written; programs write 2.0 for 2 in a column where one is missing."""
    digits = re.fullmatch(r"([0-9]+)(\.0*)?", text)
    return int(digits.group(1)) if digits else None


def number_in(text: str, low: float, high: float) -> float | None:
    """A number within bounds; None where the text is none, as 1_0 is, which Python reads as 10."""
    digits = re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", text)
    value = float(text) if digits else float("nan")
    return value if low <= value <= high else None


def guarded(name: str) -> str:
    """A name as text, that no spreadsheet runs."""
    parted = _UNMARKED.sub("'", name)
    return f"'{parted}" if parted.startswith(_FORMULA) else parted


def unguarded(cell: str) -> str:
    """The name behind a cell that `guarded` made."""
    whole = cell[1:] if cell.startswith("'") and cell[1:].startswith(_FORMULA) else cell
    return _MARKED.sub("", whole)
