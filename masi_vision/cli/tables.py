"""Tables that go into an analysis: what is refused, or said, of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

import typer

from masi_vision.names import natural_key, nearly_alike, same_within_sites, told_apart
from masi_vision.reads_table import CLOSED, NOT_TOLD, is_closed, tells_no_closing

_SHOWN = 5


def say_open(rows: Sequence[Mapping[str, str]], name: str) -> None:
    """Say of reads that they may still be corrected, and others come, or that nobody knows."""
    if is_closed(rows) is False:
        typer.echo(
            f"masi: {name} was exported before the reading was closed: no final result. Expected "
            f"a time in {CLOSED} of every row. Close the reading (masi review close), and export it again.",
            err=True,
        )
    if rows and tells_no_closing(rows[0]):
        typer.echo(
            f"masi: {name} was {NOT_TOLD}: whether more reads may come is not known. Expected a time in "
            f"{CLOSED} of every row. Export it again with this version, and break the code of that.",
            err=True,
        )


def say_two_names(patients: Collection[str]) -> None:
    """Say which patients may be one: who moved to another site, or whose name was written in two ways."""
    if found := same_within_sites(patients):
        typer.echo(
            f"masi: patients of one name at two sites count as two patients: {_first(found)}. Expected one "
            "name of each patient. Where one moved, a manifest (patient,visit,view,path) gives all visits "
            "one name.",
            err=True,
        )
    say_nearly_alike(patients)


def say_nearly_alike(patients: Collection[str]) -> None:
    """Say which patients may be one whose name was written in two ways."""
    if found := nearly_alike(patients):
        typer.echo(
            "masi: patients whose names differ in zeros or in the sign between their parts alone count as "
            f"two patients: {_first(found)}. Expected one name of each patient. Where they are one, correct "
            "the table; keep the column as text where a program reads and writes it.",
            err=True,
        )


def say_two_sets(rows: Iterable[Mapping[str, str]], name: str) -> None:
    """Say which patients are in several coded sets: one of whom visits came later, or two of one number."""
    sets: dict[str, set[str]] = {}
    for row in rows:
        if row.get("set"):
            sets.setdefault(row["patient"], set()).add(row["set"])
    if found := [(one,) for one in sorted(sets, key=natural_key) if one and len(sets[one]) > 1]:
        typer.echo(
            f"masi: {name} has patients of several coded sets (column set), each counted as one person: "
            f"{_first(found)}. Expected so where visits of one were coded later. Where two centres count "
            "their patients alike, these are two: give each patient a name of one's own (lyon/003).",
            err=True,
        )


def _first(found: Sequence[Sequence[str]]) -> str:
    shown = "; ".join(" and ".join(told_apart(*alike)) for alike in found[:_SHOWN])
    return shown + (f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else "")


def check_run(file: Path, rows: Sequence[Mapping[str, str]]) -> None:
    """Refuse the software's table of a run that did not end, or that lost rows; say where nobody knows.

    Raises
    ------
    StatsError
    """
    from masi_vision.report.tables import RUN_JSON, refuse_cut_short, refuse_stopped

    refuse_stopped(file.parent)
    refuse_cut_short(file)
    if rows and "version" in rows[0] and not (file.parent / RUN_JSON).exists():
        typer.echo(
            f"masi: no {RUN_JSON} lies beside {file.name}: whether the run that made it was whole is not "
            "known. Copy it there from the results.",
            err=True,
        )
