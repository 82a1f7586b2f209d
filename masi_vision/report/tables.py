"""The tables of a run: scores.csv, regions.csv, scores.json and run.json; docs/outputs.md explains them.

What was not measured is blank, never 0. Names are those below the named folder; no date of a visit and
no path of the machine comes in, so that a coded set does not tell where it came from.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import floor
from pathlib import Path
from typing import Any, Literal

from masi_vision.config import Settings
from masi_vision.csv_table import Row, csv_text, guarded, read_csv
from masi_vision.errors import StatsError, reason_of
from masi_vision.face.atlas import SUBUNITS
from masi_vision.source_code import code_sha256
from masi_vision.visit.folder import RESULTS_MARK
from masi_vision.visit.region import RegionResult, region_values
from masi_vision.visit.score import Provenance, VisitScore, quality_result
from masi_vision.written import json_text, write_file

RunState = Literal["running", "finished", "interrupted", "failed"]

# Column of a score to its decimals: graded scores are whole tenths.
_SCORES = {
    "mmasi": 1,
    "masi": 1,
    "mmasi_continuous": 3,
    "masi_continuous": 3,
    "mmasi_low": 1,
    "mmasi_high": 1,
}
PROVENANCE = tuple(Provenance.__dataclass_fields__)
SCORE_COLUMNS = (
    "patient",
    "visit",
    "status",
    "reason",
    *_SCORES,
    *PROVENANCE,
    "quality",
    "photos",
    "photos_sha256",
)
_MEASURED = (
    *("visible_fraction", "pigmented_fraction", "contrast_od", "contrast_delta_l", "contrast_ita_deg"),
    "largest_patch_fraction",
    *("integrated_od", "undecided_fraction"),
)
GRADES = ("area", "darkness", "homogeneity")
_INTERVALS = ("pigmented_fraction_low", "pigmented_fraction_high", "contrast_od_low", "contrast_od_high")
REGION_COLUMNS = (
    *("patient", "visit", "region", "view", "view_share", "flag"),
    *(*_MEASURED, *GRADES, "normal_ita_deg", *_INTERVALS, "second_opinion_fraction"),
)
REGIONS = tuple(subunit.name.lower() for subunit in SUBUNITS)
"""Every visit has one row for each of these in regions.csv, measured or not."""

SCORES_CSV, REGIONS_CSV, SCORES_JSON, RUN_JSON = "scores.csv", "regions.csv", "scores.json", RESULTS_MARK
TABLES = (SCORES_CSV, REGIONS_CSV, SCORES_JSON, RUN_JSON)


@dataclass(frozen=True)
class VisitRows:
    """A visit as it stands in the tables; light, where a `VisitScore` holds its photos.

    Parameters
    ----------
    score : dict
        Its row of scores.csv.
    regions : tuple of dict
        Its rows of regions.csv.
    nested : dict
        Its object in scores.json.
    remarks : tuple of str
        From finding its files.
    """

    score: Row
    regions: tuple[Row, ...]
    nested: dict[str, Any]
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunFacts:
    """What run.json says of the run as a whole.

    Parameters
    ----------
    started_utc : str
        When the scoring began; no visit's date.
    libraries : mapping, or sequence of mapping
        Name to version; of a study that was scored with several sets of them, each with its number of visits.
    part : str
        Which part of a split study it is, as "1/2"; "" where it is the whole.
    """

    settings: Settings
    provenance: Provenance
    state: RunState
    visits_found: int
    started_utc: str
    seconds: float
    libraries: Mapping[str, str] | Sequence[Mapping[str, Any]]
    part: str = ""


def visit_rows(result: VisitScore, remarks: Sequence[str] = ()) -> VisitRows:
    """Lay a visit out for the tables."""
    names = {"patient": guarded(result.patient), "visit": guarded(result.visit)}
    nothing = RegionResult(None, None, None, (result.reason,) if result.reason else ())
    regions = tuple(names | _region_row(name, result.regions.get(name, nothing)) for name in REGIONS)
    return VisitRows(names | _score_row(result), regions, result.to_dict(), tuple(remarks))


def _score_row(result: VisitScore) -> Row:
    scores = asdict(result.scores) if result.scores else {}
    return {
        "status": result.status,
        "reason": result.reason or "",
        **{name: number(scores.get(name), decimals) for name, decimals in _SCORES.items()},
        **provenance_cells(result.provenance),
        "quality": quality_result(result.photos) if result.photos else "",
        "photos": guarded(";".join(f"{photo.view}={photo.name}" for photo in result.photos)),
        "photos_sha256": ";".join(f"{photo.view}={photo.photo_sha256 or ''}" for photo in result.photos),
    }


def _region_row(name: str, region: RegionResult) -> Row:
    values = region_values(region)
    numbers = (*_MEASURED, "normal_ita_deg", *_INTERVALS, "second_opinion_fraction")
    measures = {column: number(values[column], 5) for column in numbers}
    grades = {column: number(values[column], 0) for column in GRADES}
    told = {"view": values["view"] or "", "view_share": number(values["view_share"], 4)}
    return {"region": name, **told, "flag": values["flag"], **measures, **grades}


def provenance_cells(provenance: Provenance) -> Row:
    """What made a row, in the columns `PROVENANCE`."""
    return asdict(provenance) | {"models_sha256": models_hash(provenance.models_sha256)}


def models_hash(models_sha256: Mapping[str, str]) -> str:
    """SHA-256 of the lines "NAME HASH" of all model files, by name: one value to compare."""
    lines = "".join(f"{name} {digest}\n" for name, digest in sorted(models_sha256.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def number(value: float | None, decimals: int) -> str:
    """A number with so many decimals; blank where there is none."""
    return "" if value is None else f"{round(value, decimals) + 0.0:.{decimals}f}"  # + 0.0: no "-0"


def run_record(facts: RunFacts, visits: Sequence[VisitRows]) -> dict[str, Any]:
    """What run.json holds."""
    reasons = Counter(visit.score["reason"] for visit in visits if visit.score["status"] == "not_scored")
    scored = sum(visit.score["status"] == "scored" for visit in visits)
    head, foot = run_facts(facts, scored, reasons)
    return (
        head
        | {
            "refused": [one for visit in visits for one in refused_in(visit.nested)],
            "remarks": [
                names_of(visit.nested) | {"remark": remark} for visit in visits for remark in visit.remarks
            ],
            "inputs": [one for visit in visits for one in inputs_of(visit.nested)],
        }
        | foot
    )


def run_facts(
    facts: RunFacts, scored: int, reasons: Mapping[str, int]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What run.json says before and after its lists of visits."""
    head = {
        "program": "masi_vision",
        "version": facts.provenance.version,
        "code_sha256": code_sha256(),
        "state": facts.state,
        **({"part": facts.part} if facts.part else {}),
        "started_utc": facts.started_utc,
        "seconds": round(facts.seconds, 2),
        "counts": {
            "visits_found": facts.visits_found,
            "scored": scored,
            "not_scored": sum(reasons.values()),
            "not_scored_by_reason": dict(sorted(reasons.items())),
        },
    }
    foot = {
        "atlas": facts.provenance.atlas,
        "pigment_method": facts.provenance.pigment_method,
        "models": facts.provenance.models,
        "models_sha256": dict(facts.provenance.models_sha256),
        "settings_sha256": facts.settings.sha256,
        "settings": facts.settings.model_dump(mode="json"),
        "libraries": facts.libraries,
    }
    return head, foot


def why_stopped(results: Path) -> str:
    """Say that the run that wrote a folder did not end: it lacks visits, or holds those of the run before.

    "" where it did, and where no run.json lies beside the table: then nothing is known of that.
    """
    run = run_of(results) or {}
    state, counts, part = run.get("state", "finished"), run.get("counts", {}), run.get("part")
    done = counts.get("scored", 0) + counts.get("not_scored", 0)
    found = counts.get("visits_found", "unknown")
    if part:
        return f"the folder {results} holds part {part} of a study alone"
    return "" if state == "finished" else f"the run of {results} is {state}, {done} of {found} visits done"


def why_cut_short(file: Path) -> str:
    """Say that a table of scores, regions or changes lost rows since the run beside it wrote it.

    "" where it did not, or nothing is known of that.
    """
    table = read_csv(file, StatsError)
    held, told = len(table.rows), _rows_told(run_of(file.parent) or {}, table.columns)
    return "" if told in (held, None) else f"{file} has {held} rows, and {RUN_JSON} beside it tells of {told}"


def _rows_told(run: Mapping[str, Any], columns: Sequence[str]) -> int | None:
    """How many rows a table of these columns had by run.json; None where that does not tell."""
    counts, names = run.get("counts", {}), ("scored", "not_scored")
    if "follow_up" in columns:
        counts, names = run.get("comparisons", {}), ("compared", "not_compared")
    if {"status", "region"}.isdisjoint(columns) or not counts.keys() >= set(names):
        return None
    of_each = len(REGIONS) if "region" in columns else 1
    return of_each * sum(int(counts[name]) for name in names)


def refuse_stopped(results: Path) -> None:
    """Refuse the table of a run that did not end.

    Raises
    ------
    StatsError
    """
    if why := why_stopped(results):
        raise StatsError(
            f"{why[0].upper()}{why[1:]}. Expected a whole run that is finished. Run the same command again: "
            "masi batch goes on where it stopped, and gathers all parts without --shard; masi score begins "
            "anew with --overwrite."
        )


def refuse_cut_short(file: Path) -> None:
    """Refuse a table that lost rows since the run: visits would vanish without a word.

    Raises
    ------
    StatsError
    """
    if why := why_cut_short(file):
        raise StatsError(
            f"{why}. Expected the table as the run wrote it. Copy the results again; a table of some visits "
            "belongs into a folder of its own, and a patient who withdrew stays in it: --without "
            "leaves the patient out."
        )


def settings_of_run(results: Path) -> dict[str, Any] | None:
    """The settings of the run that wrote a folder, as values; None where no run.json tells them."""
    run = run_of(results)
    return None if run is None or not isinstance(run.get("settings"), dict) else dict(run["settings"])


def run_of(results: Path) -> dict[str, Any] | None:
    """What run.json of a folder tells; None where there is none.

    Raises
    ------
    StatsError
        It is there, and damaged.
    """
    file = results / RUN_JSON
    if not file.exists():
        return None
    try:
        run = values_in(file)
        for name in ("counts", "comparisons"):
            counts = run.get(name, {})
            numbers = counts if isinstance(counts, dict) else {"": counts}
            told = [
                one for key, one in numbers.items() if key != "remarks"
            ]  # those of a comparison are words
            if not all(isinstance(one, int | dict) for one in told):  # a dict: by reason
                raise ValueError(f"its {name} are no numbers")
    except (OSError, ValueError) as error:
        raise StatsError(
            f"{file} is damaged ({reason_of(error)}). Expected it as the run wrote it: it tells whether the "
            "tables beside it are whole. Copy it again."
        ) from error
    return run


def values_in(file: Path) -> dict[str, Any]:
    """Names and values of a JSON file; ValueError where it holds others."""
    values = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(values, dict):
        raise ValueError("it holds no names with values")
    return values


def refused_in(nested: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The refusals of a visit, under its name."""
    return (names_of(nested) | why for why in refusals(nested))


def percent_text(share: float) -> str:
    """A share in whole per cent, rounded down as the area grade counts it: 9.8 % is not yet 10."""
    if 0 < share < 0.01:
        return "<1%"
    return f"{floor(100 * share + 1e-9)}%"


def inputs_of(nested: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The photos of a visit, with their hashes."""
    for view, photo in nested["views"].items():
        yield names_of(nested) | {"view": view, "photo": photo["photo"], "sha256": photo["sha256"]}


def refusals(nested: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Why the visit was not scored, and each of its photos that could not be used; nothing said twice."""
    if nested["status"] == "not_scored":
        yield {"view": None, "reason": nested["reason"], "message": nested["message"]}
    for view, photo in nested["views"].items():
        if photo["status"] == "not_scored" and photo["message"] not in nested["message"]:
            yield {"view": view, "reason": photo["reason"], "message": photo["message"]}


def names_of(nested: Mapping[str, Any]) -> dict[str, Any]:
    """Patient and visit."""
    return {"patient": nested["patient"], "visit": nested["visit"]}


def write_tables(folder: Path, visits: Sequence[VisitRows], facts: RunFacts) -> None:
    """Write all four tables; run.json last, so that it never speaks of tables that are not there."""
    regions = [row for visit in visits for row in visit.regions]
    write_file(folder / SCORES_CSV, csv_text(SCORE_COLUMNS, [visit.score for visit in visits]))
    write_file(folder / REGIONS_CSV, csv_text(REGION_COLUMNS, regions))
    write_file(folder / SCORES_JSON, json_text([visit.nested for visit in visits]))
    write_file(folder / RUN_JSON, json_text(run_record(facts, visits)))
