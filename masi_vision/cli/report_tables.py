"""The tables that a study's page is made of, each held against the others: all must be of one study."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from masi_vision.cli.agree import AGREEMENT, MADE, READS_SHA256, SCORES_SHA256
from masi_vision.cli.left_out import LeftOut, refuse_others_left_out
from masi_vision.cli.outcome import OUTCOME, PATIENTS, PROTOCOL
from masi_vision.cli.provenance import (
    BY_EARLIER,
    PROVENANCE,
    WAYS_MADE,
    refuse_other_models,
    refuse_other_provenance,
    told_in,
)
from masi_vision.csv_table import Row
from masi_vision.errors import StatsError
from masi_vision.reads_table import (
    AMOUNT,
    need_columns,
    of_masi,
    refuse_strangers,
    refuse_two_openings,
    rows_of,
    rows_sha256,
)

if TYPE_CHECKING:
    from masi_vision.report.study import StudyReport

_ASKED = ("baseline", "primary", "control", "visits", "multiplicity", "classes", "responder", "others")
"""Keys of an outcome's protocol that the page tells."""
_OUTCOME_AGAIN, _AGREE_AGAIN = "Run masi outcome again.", "Run masi agree again."
Rows = Sequence[Mapping[str, str]]


@dataclass(frozen=True)
class Sources:
    """Where the tables of a page lie.

    Parameters
    ----------
    results : Path
        Folder of ``masi score`` or ``masi batch``.
    reads, scores : Path or None
        Tables after ``masi unblind``; without scores those of the results.
    agreement, outcome : Path or None
        Folders of ``masi agree`` and ``masi outcome``.
    """

    results: Path
    reads: Path | None = None
    scores: Path | None = None
    agreement: Path | None = None
    outcome: Path | None = None

    @property
    def scored(self) -> Path:
        """The table of scores."""
        return self.scores or self.results / "scores.csv"


def study_of(sources: Sources, left: LeftOut, title: str) -> StudyReport:
    """All that a page says of these tables, still without pictures.

    Raises
    ------
    StatsError
        One of them is cut short, or is not of the study that the others are of.
    """
    from masi_vision.report.study import StudyReport

    run, whole = _scores_of(sources)
    read = rows_of(sources.reads) if sources.reads else []
    refuse_two_openings({sources.reads.name if sources.reads else "": read, sources.scored.name: whole})
    scores, reads = left.rows(whole), left.rows(read)
    left.say()
    _refuse_other_readers(reads, scores, sources)
    agreed = _agreement_of(sources, reads)
    found, asked = _outcome_of(sources, reads, scores, left.patients)
    made = _provenance(asked, sources.outcome, sources.agreement, left)
    _refuse_of_other_scores(agreed, scores, sources.agreement)
    regions = _regions_of(sources.results, scores)
    dropped = [row for row in whole if row["patient"] in left.patients]
    return StudyReport(
        title=title,
        run=_run_without(run, dropped),
        scores=scores,
        reads=reads,
        agreement=agreed,
        outcome=found,
        protocol=asked,
        provenance=made,
        left_out=(left.met, len(left.withdrawn)),
        not_counted=left.met_not_counted,
        regions=regions,
        history=_history_of(sources.results, scores),
    )


def _scores_of(sources: Sources) -> tuple[dict[str, Any], list[Row]]:
    """The run that scored, and its table, whole."""
    from masi_vision.report.tables import SCORES_CSV, refuse_cut_short, refuse_stopped

    refuse_stopped(sources.results)
    refuse_cut_short(sources.results / SCORES_CSV)
    scores, run = rows_of(sources.scored), _run_of(sources.results)
    _refuse_other_tables(scores, sources.scored)
    _refuse_of_other_run(scores, run, sources.scores or sources.results)
    _refuse_other_counts(scores, run, sources.scored)
    return run, scores


def _regions_of(results: Path, scores: Rows) -> list[Row]:
    """Rows of MASI's regions of these visits, without hidden repeats."""
    from masi_vision.report.tables import REGIONS_CSV, refuse_cut_short

    file = results / REGIONS_CSV
    if not file.is_file():
        raise StatsError(
            f"{results} holds no {REGIONS_CSV}. Expected scores.csv, regions.csv and run.json of one run "
            "together: the page counts the flags of regions. Copy the results again."
        )
    refuse_cut_short(file)
    rows = rows_of(file)
    need_columns(rows, ("patient", "visit", "region", "flag", "area"), str(file))
    once = {_unit_of(row) for row in scores if not row.get("repeat_of")}
    return [row for row in of_masi(rows, file.name) if _unit_of(row) in once]


def _history_of(results: Path, scores: Rows) -> list[Row]:
    """What masi batch scored again of the visits of the page; nothing where it never did."""
    from masi_vision.batch.history import HISTORY

    if not (file := results / HISTORY).is_file():
        return []
    rows, units = rows_of(file), {_unit_of(row) for row in scores}
    need_columns(rows, ("patient", "visit", "why"), str(file))
    return [row for row in rows if _unit_of(row) in units]


def _unit_of(row: Mapping[str, str]) -> tuple[str, str]:
    """Patient and visit as the run knew them: of a coded set no name, and the code."""
    return ("", row["code"]) if row.get("code") else (row["patient"], row["visit"])


def _refuse_other_readers(reads: Rows, scores: Rows, sources: Sources) -> None:
    """Reads have readers, and are of the patients who have scores."""
    if sources.reads and not any(row.get("reader") for row in reads):
        raise StatsError(f"{sources.reads.name} names no reader. Expected reads, after masi unblind.")
    names = (sources.reads.name if sources.reads else "", sources.scored.name)
    refuse_strangers(reads, scores, names)


def _agreement_of(sources: Sources, reads: Rows) -> list[Row]:
    """What masi agree found; nothing where it is not asked for."""
    if sources.agreement is None:
        return []
    agreed = rows_of(sources.agreement / AGREEMENT)
    if sources.reads:
        made_of = {row.get(READS_SHA256, "") for row in agreed}
        _refuse_of_other_rows(made_of, reads, "reads", sources.agreement)
    return agreed


def _outcome_of(
    sources: Sources, reads: Rows, scores: Rows, left_out: Collection[str]
) -> tuple[list[Row], dict[str, Any] | None]:
    """What masi outcome found, and by which protocol; nothing where it is not asked for."""
    if sources.outcome is None:
        return [], None
    found = rows_of(sources.outcome / OUTCOME)
    known = {row.get("patient") or row.get("visit") for row in (*scores, *reads)}
    _refuse_of_others(sources.outcome, known, left_out)
    asked = _protocol_of(sources.outcome, found)
    _refuse_of_other_table(asked, {"reader": reads, "mmasi": scores}, sources.outcome)
    _refuse_changes_of_other_models(asked, scores, sources.outcome)
    return found, asked


def _run_of(results: Path) -> dict[str, Any]:
    from masi_vision.report.tables import run_of

    run = run_of(results)
    if run is None or "settings" not in run:
        raise StatsError(
            f"{results} holds no run.json of a run. Expected the results of masi score or masi batch."
        )
    return run


def _run_without(run: Mapping[str, Any], dropped: Rows) -> dict[str, Any]:
    """What run.json tells, without the visits of patients who are left out."""
    if not dropped:
        return dict(run)
    units = {_unit_of(row) for row in dropped}
    scored = sum(row["status"] == "scored" for row in dropped)
    fewer = {"visits_found": len(dropped), "scored": scored, "not_scored": len(dropped) - scored}
    counts = {name: count - fewer[name] for name, count in run.get("counts", {}).items() if name in fewer}
    kept = [one for one in run.get("inputs", ()) if (one.get("patient") or "", one.get("visit")) not in units]
    return dict(run) | {"inputs": kept, "counts": counts}


def _refuse_other_tables(scores: Rows, source: Path) -> None:
    """Scores have a visit and a number, or a reason, in every row."""
    from masi_vision.stats.reads import scores_table

    needed = ("patient", "visit", "status", "reason", "mmasi")
    if not scores or (lacking := [name for name in needed if name not in scores[0]]):
        found = f"lacks {', '.join(lacking)}" if scores else "has no row"
        raise StatsError(f"{source} {found}. Expected scores.csv of masi score, or after masi unblind.")
    scores_table(scores, source.name)


def _refuse_of_other_run(scores: Rows, run: Mapping[str, Any], source: Path) -> None:
    """The page names the program, settings and models of the run: some scores at least must be its own."""
    from masi_vision.report.tables import models_hash

    accepted = run["settings"].get("quality", {}).get("accepted", ())
    own = {name: run.get(name) for name in ("version", "settings_sha256", "pigment_method")}
    own["models_sha256"] = models_hash(run.get("models_sha256", {}))
    if any("@" in one for one in accepted):  # a check accepted at one photo is in the hash of that row alone
        own.pop("settings_sha256")
    made_by = [{name: row.get(name) for name in own} for row in scores if row.get("version")]
    if made_by and own not in made_by:
        raise StatsError(
            f"No score of {source.name} was made by the run of RESULTS: version, settings or models differ. "
            "Expected the scores of that run, after masi unblind. Name the RESULTS that they came from."
        )


def _refuse_other_counts(scores: Rows, run: Mapping[str, Any], source: Path) -> None:
    """The page tells visits of the table and of run.json, as one number: masi unblind keeps every row."""
    counts = run.get("counts", {})
    if not {"scored", "not_scored"} <= counts.keys():
        return
    scored = sum(row["status"] == "scored" for row in scores)
    found = (scored, len(scores) - scored)
    if found != (expected := (counts["scored"], counts["not_scored"])):
        raise StatsError(
            "{} has {} visits scored and {} not, and run.json of RESULTS counts {} and {}. Expected every "
            "visit of that run, hidden repeats too, as masi unblind writes them. Name the RESULTS that the "
            "table came from; of several runs make one with masi batch, and of two coded sets name the run "
            "of the study itself, and its scores. A patient who withdrew stays in the table, and is left out "
            "with --without.".format(source, *found, *expected)
        )


def _protocol_of(folder: Path, found: Rows) -> dict[str, Any]:
    """What the outcome was asked by; it must be the one that stands beside every figure."""
    file, expected = folder / PROTOCOL, f"what masi outcome writes beside {OUTCOME}"
    asked = told_in(file, ("endpoint", "protocol_sha256", *_ASKED), expected, _OUTCOME_AGAIN)
    if asked["endpoint"] == AMOUNT:
        told_in(file, (WAYS_MADE,), expected, _OUTCOME_AGAIN)
        _refuse_spoilt_ways(asked[WAYS_MADE], file)
    if {row.get("protocol_sha256") for row in found} - {asked["protocol_sha256"]}:
        raise StatsError(
            f"{folder} holds figures that were not asked by its {PROTOCOL}. Expected the files of one call "
            "of masi outcome. Make the outcome again."
        )
    return asked


def _provenance(
    asked: Mapping[str, Any] | None,
    outcome: Path | None,
    agreement: Path | None,
    left: LeftOut,
) -> dict[str, Mapping[str, Any]]:
    """What made the agreement and the outcome; nothing of one that a version before provenance made."""
    made: dict[str, Mapping[str, Any]] = {}
    if asked and outcome and PROVENANCE in asked:
        made["Outcome"] = asked[PROVENANCE]
        refuse_other_provenance(made["Outcome"], outcome / PROTOCOL, (OUTCOME, PATIENTS), _OUTCOME_AGAIN)
    if agreement and (agreement / MADE).exists():
        made["Agreement"] = told_in(agreement / MADE, (), "what masi agree writes", _AGREE_AGAIN)
        refuse_other_provenance(made["Agreement"], agreement / MADE, (AGREEMENT,), _AGREE_AGAIN)
    for what, folder in {"Outcome": outcome, "Agreement": agreement}.items():
        if folder:
            refuse_others_left_out(made.get(what, {}), left, what.lower())
    return made


def _refuse_of_other_scores(agreed: Rows, scores: Rows, folder: Path | None) -> None:
    """Where the agreement has figures of the software; asked last: that others are left out says more."""
    from masi_vision.stats.panel import SOFTWARE

    made_of = {row.get(SCORES_SHA256, "") for row in agreed if row.get("topic") == SOFTWARE}
    if folder and made_of:
        _refuse_of_other_rows(made_of, scores, "scores", folder)


def _refuse_of_other_rows(made_of: Collection[str], rows: Rows, what: str, folder: Path) -> None:
    """The points of the figure are of the reads and scores, its lines of the agreement."""
    if made_of != {rows_sha256(rows)}:
        untold = f"does not say of which {what} it is, {BY_EARLIER}"
        table = "the table of --reads" if what == "reads" else "the scores of the page"
        raise StatsError(
            f"The agreement of {folder} {f'is of other {what}' if any(made_of) else untold}. Expected what "
            f"masi agree writes of {table}, with the same --without. {_AGREE_AGAIN}"
        )


def _refuse_of_other_table(asked: Mapping[str, Any], shown: Mapping[str, Rows], folder: Path | None) -> None:
    """An outcome of reads or scores is of those that the page shows; of changes the page shows no table."""
    made_of = asked.get("table_sha256")
    if made_of is None or asked["endpoint"] == AMOUNT:
        return
    if made_of not in {rows_sha256(rows) for rows in shown.values() if rows}:
        raise StatsError(
            f"The outcome of {folder} is of another table ({asked.get('table', 'unknown')}). Expected that "
            "of --reads, or the scores of the page, with the same --without. Make the outcome again, of the "
            "same file."
        )


def _refuse_spoilt_ways(ways: Any, file: Path) -> None:
    are_ways = isinstance(ways, list) and all(isinstance(one, Mapping) for one in ways)
    if not are_ways or not all(isinstance(value, str) for one in ways for value in one.values()):
        raise StatsError(
            f"{file} was changed since it was written: {WAYS_MADE} cannot be what it is. Expected what masi "
            f"outcome writes there. {_OUTCOME_AGAIN}"
        )


def _refuse_changes_of_other_models(asked: Mapping[str, Any], scores: Rows, folder: Path) -> None:
    """The page names the models of its scores, and says whether they were changed: no others made changes."""
    if asked["endpoint"] == AMOUNT:
        remedy = (
            "Compare the visits again with the models of the scores, and make the outcome again, of those "
            "changes; or name the results of the models that made the changes."
        )
        refuse_other_models(asked[WAYS_MADE], scores, f"The outcome of {folder} is of changes", remedy)


def _refuse_of_others(folder: Path, known: Collection[str | None], left_out: Collection[str]) -> None:
    """The page is of one study, and of those whom it does not leave out."""
    rows = rows_of(folder / PATIENTS)
    told = {row.get("patient", "") for row in rows if row.get("baseline") or row.get("primary")}
    if others := told.difference(known, left_out):
        raise StatsError(
            f"{folder} tells of {', '.join(sorted(others)[:3])}, of whom there is no score and no read here. "
            "Expected the outcome of this study: name its folder, and with --reads or --scores the tables "
            "whose code was broken."
        )
    if dropped := told.intersection(left_out):
        raise StatsError(
            f"{folder} tells of patients whom --without leaves out here: {len(dropped)}. Expected an outcome "
            "without them. Make the outcome again with the same --without."
        )
