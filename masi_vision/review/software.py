"""The software's own scores of a coded set, shown where the protocol allows it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from masi_vision.errors import ReadingError
from masi_vision.report.tables import SCORES_JSON


@dataclass(frozen=True)
class SoftwareScore:
    """What masi score said of a unit, in the words of scores.json, and its overlays by view."""

    values: dict[str, Any]
    overlays: dict[str, Path]


def software_scores(results: Path) -> dict[str, SoftwareScore]:
    """Scores by code, from the results of masi score on the coded set.

    Raises
    ------
    ReadingError
        There are none.
    """
    try:
        visits = json.loads((results / SCORES_JSON).read_text(encoding="utf-8"))
        found = {visit["visit"]: visit for visit in visits}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ReadingError(
            f"{results} holds no scores ({type(error).__name__}). Expected the results of masi score on the "
            "coded set. Score it first."
        ) from error
    overlays = sorted((results / "overlays").glob("*.*"))
    return {
        code: SoftwareScore(
            values, {file.stem.rsplit("_", 1)[-1]: file for file in overlays if file.stem.startswith(code)}
        )
        for code, values in found.items()
    }
