"""What made an analysis, and what is to be said of the tables that went in."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import typer

from masi_vision.errors import StatsError, reason_of
from masi_vision.names import same_within_sites
from masi_vision.reads_table import CLOSED, is_closed
from masi_vision.version import __version__

_SHOWN = 5
PROVENANCE = "provenance"
"""Key of protocol.json: what made the outcome."""
_KINDS = {
    "version": str,
    "made_utc": str,
    "tables_sha256": dict,
    "files_sha256": dict,
    "patients_left_out": int,
}
"""Keys that a report tells, or goes by, and what stands there."""


def provenance_of(
    tables: Mapping[str, Path | None],
    rows: Sequence[Mapping[str, str]],
    written: Mapping[str, str],
    left_out: int,
) -> dict[str, Any]:
    """Program and time of an analysis, and the SHA-256 of every table that went in and that came out.

    Parameters
    ----------
    tables : mapping
        Option to the file that it named; None where it was not given.
    rows : sequence of mapping
        Of the table that is analysed: of reads it is told whether more may come.
    written : mapping
        Name of each table of figures to its text.
    left_out : int
        How many patients; not the hash of the file that names them, from which a short name could be guessed.
    """
    return {
        "program": "masi_vision",
        "version": __version__,
        "made_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "tables_sha256": {
            option: sha256(file.read_bytes()).hexdigest() for option, file in tables.items() if file
        },
        "files_sha256": {name: sha256(text.encode()).hexdigest() for name, text in written.items()},
        "reading_closed": is_closed(rows),
        "patients_left_out": left_out,
    }


def say_open(rows: Sequence[Mapping[str, str]], name: str) -> None:
    """Say of reads that they may still be corrected, and others come."""
    if is_closed(rows) is False:
        typer.echo(
            f"masi: {name} was exported before the reading was closed: no final result. Expected "
            f"a time in {CLOSED} of every row. Close the reading (masi review close), and export it again.",
            err=True,
        )


def say_two_sites(patients: Iterable[str]) -> None:
    """Say which patients may be one who moved to another site."""
    if not (found := same_within_sites(patients)):
        return
    shown = "; ".join(" and ".join(alike) for alike in found[:_SHOWN])
    more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    typer.echo(
        f"masi: patients of one name at two sites count as two patients: {shown}{more}. Expected one name of "
        "each patient. Where one moved, a manifest (patient,visit,view,path) gives all visits one name.",
        err=True,
    )


def check_run(file: Path, rows: Sequence[Mapping[str, str]]) -> None:
    """Refuse the software's table of a run that did not end; say where nobody knows whether it did.

    Raises
    ------
    StatsError
    """
    from masi_vision.report.tables import RUN_JSON, refuse_stopped

    refuse_stopped(file.parent)
    if rows and "version" in rows[0] and not (file.parent / RUN_JSON).exists():
        typer.echo(
            f"masi: no {RUN_JSON} lies beside {file.name}: whether the run that made it was whole is not "
            "known. Copy it there from the results.",
            err=True,
        )


def told_in(file: Path, keys: Collection[str], expected: str) -> dict[str, Any]:
    """What a JSON file beside the figures tells of them.

    Parameters
    ----------
    keys : collection of str
        That it must have.
    expected : str
        What the file is, for the error.

    Raises
    ------
    StatsError
    """
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(told, dict):
            raise ValueError("it holds no names with values")
        if lacking := [key for key in keys if key not in told]:
            raise ValueError(f"it lacks {', '.join(lacking)}")
    except (OSError, ValueError) as error:
        raise StatsError(f"{file} cannot be read ({reason_of(error)}). Expected {expected}.") from error
    return told


def refuse_other_provenance(made: object, file: Path, tables: Collection[str], remedy: str) -> None:
    """Refuse a provenance that does not tell what it should, or that is of other figures than those beside.

    Parameters
    ----------
    made : object
        As it stands in the file.
    tables : collection of str
        Names of the tables of figures, in the folder of the file.
    remedy : str
        What to do, for the error.

    Raises
    ------
    StatsError
    """
    if not isinstance(made, Mapping):
        made = {}
    if lacking := [key for key, kind in _KINDS.items() if not isinstance(made.get(key), kind)]:
        raise StatsError(
            f"{file} does not tell what made the figures: {', '.join(lacking)} is missing, or is something "
            f"else. Expected it as the command wrote it. {remedy}"
        )
    for name in tables:
        if made["files_sha256"].get(name) != sha256((file.parent / name).read_bytes()).hexdigest():
            raise StatsError(
                f"{file} tells what made other figures than those in {name} beside it. Expected both as one "
                f"call of the command wrote them. {remedy}"
            )
