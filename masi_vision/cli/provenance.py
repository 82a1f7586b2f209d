"""What made an analysis: kept beside its figures, and held against them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from masi_vision.cli.left_out import LeftOut
from masi_vision.errors import StatsError, reason_of
from masi_vision.reads_table import MADE_BY, is_closed, units_corrected
from masi_vision.source_code import code_sha256
from masi_vision.version import __version__

PROVENANCE = "provenance"
"""Key of protocol.json: what made the outcome."""
WAYS_MADE = "ways_made"
"""Key of protocol.json: what made the software's rows that the outcome is of."""
_KINDS = {
    "version": str,
    "made_utc": str,
    "tables_sha256": dict,
    "files_sha256": dict,
    "patients_left_out": int,
}
"""Keys that a report tells, or goes by, and what stands there."""


def provenance_of_analysis(
    tables: Mapping[str, Path | None],
    rows: Sequence[Mapping[str, str]],
    written: Mapping[str, str],
    left: LeftOut,
) -> dict[str, Any]:
    """Program and time of an analysis, and the SHA-256 of every table that went in and that came out.

    Parameters
    ----------
    tables : mapping
        Option to the file that it named; None where it was not given.
    rows : sequence of mapping
        Of the table that is analysed: it is told whether more reads may come, and what was corrected.
    written : mapping
        Name of each table of figures to its text.
    left : LeftOut
        Counted; not the hash of the file that names them, from which a short name could be guessed.
    """
    return {
        "program": "masi_vision",
        "version": __version__,
        "code_sha256": code_sha256(),
        "made_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "tables_sha256": {option: _sha256(file) for option, file in tables.items() if file},
        "files_sha256": {name: sha256(text.encode()).hexdigest() for name, text in written.items()},
        "reading_closed": is_closed(rows),
        "patients_left_out": len(left.withdrawn),
        "visits_not_counted": len(left.not_counted),
        "units_corrected": units_corrected(rows),
    }


BY_EARLIER = "as where an earlier version made it"
"""Why something is missing, in an error."""


def told_in(file: Path, keys: Collection[str], expected: str, remedy: str) -> dict[str, Any]:
    """What a JSON file beside the figures tells of them.

    Parameters
    ----------
    keys : collection of str
        That it must have.
    expected : str
        What the file is, for the error.
    remedy : str
        What to do, for the error.

    Raises
    ------
    StatsError
    """
    from masi_vision.report.tables import values_in

    try:
        told = values_in(file)
    except (OSError, ValueError) as error:
        raise StatsError(
            f"{file} cannot be read ({reason_of(error)}). Expected {expected}. {remedy}"
        ) from error
    if lacking := [key for key in keys if key not in told]:
        raise StatsError(f"{file} lacks {', '.join(lacking)}, {BY_EARLIER}. Expected {expected}. {remedy}")
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
    expected = f"Expected what this version ({__version__}) writes there. {remedy}"
    if lacking := [key for key in _KINDS if key not in made]:
        raise StatsError(
            f"{file} does not tell all of what made the figures, {BY_EARLIER}: it lacks "
            f"{', '.join(lacking)}. {expected}"
        )
    if odd := [key for key, kind in _KINDS.items() if not isinstance(made[key], kind)]:
        raise StatsError(
            f"{file} was changed since it was written: {', '.join(odd)} of what made the figures cannot be "
            f"what it is. {expected}"
        )
    for name in tables:
        if made["files_sha256"].get(name) != _sha256(file.parent / name):
            raise StatsError(
                f"{file} tells what made other figures than those in {name} beside it. Expected both as one "
                f"call of the command wrote them. {remedy}"
            )


def made_by(rows: Iterable[Mapping[str, str]]) -> list[dict[str, str]]:
    """What made scores or changes of the software: each way once, the models with their name."""
    columns = (*MADE_BY, "models")
    ways = sorted({tuple(row.get(name, "") for name in columns) for row in rows})
    return [dict(zip(columns, cells, strict=True)) for cells in ways]


def refuse_other_models(
    made: Iterable[Mapping[str, str]], scores: Iterable[Mapping[str, str]], what: str, remedy: str
) -> None:
    """Refuse changes that other models made than the scores of the page; of scores that tell none, nothing.

    Parameters
    ----------
    made, scores : iterable of mapping
        With the keys ``models`` and ``models_sha256``.
    what : str
        What other models may have made, for the error.
    remedy : str
        What to do, for the error.

    Raises
    ------
    StatsError
    """
    of_changes, of_scores = _models_of(made), _models_of(row for row in scores if row.get("models_sha256"))
    if of_scores and of_changes.keys() - of_scores.keys():
        raise StatsError(
            f"{what} made by the models {', '.join(of_changes.values())}, and the scores of the page were "
            f"made by {', '.join(of_scores.values())}. Expected the same models for both. {remedy}"
        )


def _models_of(rows: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Models by their whole hash: name and short hash."""
    told = {row.get("models_sha256", ""): row.get("models", "") for row in rows}
    return {digest: f"{name} {digest[:8]}".strip() or "unknown" for digest, name in sorted(told.items())}


def _sha256(file: Path) -> str:
    return sha256(file.read_bytes()).hexdigest()
