"""Patients who are left out: of every table that goes in, counted, and named in nothing that is written."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from masi_vision.csv_table import NOTHING, Row
from masi_vision.errors import StatsError
from masi_vision.names import without_zeros
from masi_vision.reads_table import is_not_counted, need_columns, rows_of

Without = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Whom to leave out, as who withdrew: a table with a column patient."),
]


@dataclass
class LeftOut:
    """Who is left out, and who was met in the tables.

    Parameters
    ----------
    patients : frozenset of str
        As the tables name them.
    source : str
        Name of the file that lists them, for sentences.
    """

    patients: frozenset[str] = frozenset()
    source: str = ""
    _met: set[str] = field(default_factory=set)
    _forgotten: set[str] = field(default_factory=set)

    def rows(self, table: Sequence[Row]) -> list[Row]:
        """A table without the rows of these patients.

        Raises
        ------
        StatsError
            The table knows one by another spelling, or several that the list has in one cell: they would stay
            in.
        """
        names = {row.get("patient", "") for row in table}
        self._say_forgotten(set(filter(is_not_counted, names - self.patients)))
        if not self.patients:
            return list(table)
        for cell in sorted(self.patients - names):
            parts = re.split(r"[,;\s]+", cell)
            are_names = all(re.search(r"\d", part) for part in parts)  # "P01 bis" is one
            if len(parts) > 1 and (names.issuperset(parts) or (are_names and not names.isdisjoint(parts))):
                raise StatsError(
                    f"{self.source} has {cell!r} in one row. Expected one patient in each. Part them: "
                    "nobody of them would be left out."
                )
        spelled = {without_zeros(name): name for name in self.patients}
        for name in sorted(names - self.patients):
            if other := spelled.get(without_zeros(name)):
                raise StatsError(
                    f"{self.source} names {other!r}, and a table has {name!r}. Expected one spelling. "
                    "Correct it: the patient would not be left out."
                )
        self._met |= names & self.patients
        return [row for row in table if row.get("patient", "") not in self.patients]

    @property
    def withdrawn(self) -> frozenset[str]:
        """Those who are patients."""
        return self.patients - self.not_counted

    @property
    def not_counted(self) -> frozenset[str]:
        """Those who stand for photos of a visit that masi unblind was told not to count."""
        return frozenset(filter(is_not_counted, self.patients))

    @property
    def met(self) -> int:
        """How many patients of them a table had."""
        return len(self._met & self.withdrawn)

    @property
    def met_not_counted(self) -> int:
        """How many visits that do not count a table had."""
        return len(self._met & self.not_counted)

    def say(self) -> None:
        """Say how many are left out, and whom no table knows."""
        if not self.patients:
            return
        for what, met, listed in (
            ("Patients left out", self.met, self.withdrawn),
            ("Visits not counted", self.met_not_counted, self.not_counted),
        ):
            if listed:
                typer.echo(f"{what}: {met} of {len(listed)} that {self.source} lists.")
        if unknown := sorted(self.patients - self._met):
            typer.echo(
                f"masi: no table here has a row of {', '.join(unknown)}, whom {self.source} lists. Expected "
                "names as the tables have them. Look for a misspelt one: its patient would not be left out.",
                err=True,
            )

    def _say_forgotten(self, patients: set[str]) -> None:
        """Say at once who stays in against what was corrected: what is refused next may be for that."""
        if new := sorted(patients - self._forgotten):
            typer.echo(
                f"masi: photos that masi unblind was told not to count are counted here: {', '.join(new)}. "
                "Expected them in the file of --without. Name them there.",
                err=True,
            )
        self._forgotten |= patients


def left_out_of(file: Path | None) -> LeftOut:
    """Who is left out by a file with one patient a row; nobody where there is none.

    Raises
    ------
    StatsError
        It is no such table, or names nobody.
    """
    if file is None:
        return LeftOut()
    rows = rows_of(file)
    need_columns(rows, ("patient",), file.name)
    if rows and "visit" in rows[0]:
        raise StatsError(
            f"{file.name} has a column visit. Expected patients, who are left out with all of their visits. "
            "Leave the column out, if that is meant."
        )
    if not rows or not all(row["patient"] for row in rows):
        raise StatsError(
            f"{file.name} has {'a row without a patient' if rows else 'no row'}. Expected the column "
            f"patient, and the name of one in each row. Complete it; {NOTHING}"
        )
    return LeftOut(frozenset(row["patient"] for row in rows), file.name)


def refuse_others_left_out(made: Mapping[str, Any], here: LeftOut, what: str) -> None:
    """Refuse an analysis on a page that leaves out other patients, or counts other visits.

    Parameters
    ----------
    made : mapping
        What made the analysis; a version that left nobody out tells nothing of it.
    here : LeftOut
        Who is left out here.
    what : str
        The analysis, as "outcome".

    Raises
    ------
    StatsError
    """
    for told, left_out, listed in (
        ("Patients left out of", "patients_left_out", here.withdrawn),
        ("Visits not counted in", "visits_not_counted", here.not_counted),
    ):
        if (count := made.get(left_out, 0)) != len(listed):
            raise StatsError(
                f"{told} the {what}: {count}; here: {len(listed)}. Expected the same ones. Name the same "
                f"file with --without, or make the {what} again with it."
            )
