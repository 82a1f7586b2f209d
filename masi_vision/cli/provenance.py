"""What made an analysis: the program, when, and the tables that went in."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from masi_vision.errors import StatsError, reason_of
from masi_vision.version import __version__

KEYS = ("program", "version", "made_utc", "tables_sha256")


def provenance_of(tables: Mapping[str, Path | None]) -> dict[str, Any]:
    """Program and time of an analysis, and the SHA-256 of every table that went in.

    Parameters
    ----------
    tables : mapping
        Option to the file that it named; None where it was not given.
    """
    return {
        "program": "masi_vision",
        "version": __version__,
        "made_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "tables_sha256": {
            option: sha256(file.read_bytes()).hexdigest() for option, file in tables.items() if file
        },
    }


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
        if not isinstance(told, dict) or not set(keys) <= told.keys():
            raise ValueError(f"it lacks {', '.join(keys)}")
    except (OSError, ValueError) as error:
        raise StatsError(f"{file} cannot be read ({reason_of(error)}). Expected {expected}.") from error
    return told
