"""The software's own scores of a coded set, shown where the protocol allows it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from masi_vision.blinding.coded_set import SetContents
from masi_vision.errors import ReadingError
from masi_vision.report.tables import SCORES_JSON


@dataclass(frozen=True)
class SoftwareScore:
    """What masi score said of a unit, in the words of scores.json, and its overlays by view."""

    values: dict[str, Any]
    overlays: dict[str, Path]


def scores_sha256(results: Path) -> str:
    """Hash of the scores that a database is bound to: what one reader saw, the next one sees."""
    return hashlib.sha256((results / SCORES_JSON).read_bytes()).hexdigest()


def software_scores(results: Path, contents: SetContents) -> dict[str, SoftwareScore]:
    """Scores by code, from the results of masi score on the coded set.

    Raises
    ------
    ReadingError
        There are none, or they are of other photographs.
    """
    try:
        visits = json.loads((results / SCORES_JSON).read_text(encoding="utf-8"))
        found = {visit["visit"]: visit for visit in visits}
        scored = {
            (code, view): photo["sha256"]
            for code, visit in found.items()
            for view, photo in visit["views"].items()
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ReadingError(
            f"{results} holds no scores ({type(error).__name__}). Expected the results of masi score on the "
            "coded set. Score it first."
        ) from error
    strange = [
        name
        for name, digest in contents.photos.items()
        if (code := name.partition("/")[0]) not in found
        or scored.get((code, PurePosixPath(name).stem)) not in (digest, None)
    ]
    if strange:
        raise ReadingError(
            f"{results} is of other photos than {len(strange)} of {len(contents.photos)} of the set, such as "
            f"{strange[0]}. Expected the results of masi score on this set. Score it, and name "
            "them with --scores."
        )
    overlays = sorted((results / "overlays").glob("*.*"))
    return {
        code: SoftwareScore(
            values, {file.stem.rsplit("_", 1)[-1]: file for file in overlays if file.stem.startswith(code)}
        )
        for code, values in found.items()
    }
