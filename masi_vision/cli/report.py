"""`masi report`: a study on one page, with its figures."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from masi_vision.cli.agree import AGREEMENT, MADE, READS_SHA256
from masi_vision.cli.door import DONE, verb
from masi_vision.cli.extras import need_extra
from masi_vision.cli.left_out import Without, left_out_of, refuse_others_left_out
from masi_vision.cli.options import Overwrite, make_ready
from masi_vision.cli.outcome import OUTCOME, PATIENTS, PROTOCOL
from masi_vision.cli.provenance import PROVENANCE, refuse_other_provenance, told_in
from masi_vision.errors import StatsError, reason_of
from masi_vision.reads_table import AMOUNT, refuse_strangers, rows_of, rows_sha256

if TYPE_CHECKING:
    from masi_vision.report.figures import Interval
    from masi_vision.report.study import Drawing, Strip

PAGE, PDF, FIGURES = "report.html", "report.pdf", "figures"
DRAWINGS = ("distribution", "bland_altman", "forest", "trajectories")
_FRONT, _STRIP_PX = "_front.jpg", 1100
_ASKED = ("baseline", "primary", "control", "multiplicity", "classes", "responder")
"""Keys of an outcome's protocol that the page tells."""
_OUTCOME_AGAIN = "Run masi outcome again."
Rows = Sequence[Mapping[str, str]]
_NAN = float("nan")


@verb
def report(
    results: Annotated[Path, typer.Argument(metavar="RESULTS", help="Results of masi score or masi batch.")],
    out: Annotated[Path, typer.Option(help=f"Folder for {PAGE} and {FIGURES}/.")],
    reads: Annotated[
        Path | None, typer.Option(metavar="READS.csv", help="Reads, after masi unblind.")
    ] = None,
    scores: Annotated[
        Path | None,
        typer.Option(metavar="SCORES.csv", help="Scores after masi unblind; those of RESULTS where omitted."),
    ] = None,
    agreement: Annotated[Path | None, typer.Option(metavar="DIR", help="What masi agree wrote.")] = None,
    outcome: Annotated[Path | None, typer.Option(metavar="DIR", help="What masi outcome wrote.")] = None,
    strips: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Results of masi compare: puts its pictures, faces, on the page."),
    ] = None,
    pdf: Annotated[bool, typer.Option("--pdf", help="Write report.pdf too; needs the extra pdf.")] = False,
    title: Annotated[str, typer.Option(help="What the page is called.")] = "Melasma study",
    without: Without = None,
    overwrite: Overwrite = False,
) -> int:
    """Write a study as one page: photos in and refused, quality, agreement, outcome, versions and hashes."""
    need_extra("stats", "the report")
    from masi_vision.report.study import StudyReport, study_page
    from masi_vision.report.tables import refuse_cut_short, refuse_stopped
    from masi_vision.written import write_file, writing

    files = [PAGE, PDF, *(f"{FIGURES}/{name}.svg" for name in DRAWINGS)]
    make_ready(out, files, overwrite=overwrite)
    refuse_stopped(results)
    refuse_cut_short(results)
    own = rows_of(results / "scores.csv")
    whole = rows_of(scores) if scores else own
    run = _run_of(results)
    _refuse_other_tables(whole, scores or results / "scores.csv")
    _refuse_of_other_run(whole, run, scores or results)
    _refuse_other_counts(whole, run, scores or results / "scores.csv")
    left = left_out_of(without)
    opened, read = left.rows(whole), left.rows(rows_of(reads) if reads else [])
    left.say()
    run = _run_without(run, [row for row in whole if row["patient"] in left.patients])
    if reads and not any(row.get("reader") for row in read):
        raise StatsError(f"{reads.name} names no reader. Expected reads, after masi unblind.")
    refuse_strangers(read, opened, (reads.name if reads else "", (scores or results / "scores.csv").name))
    agreed = rows_of(agreement / AGREEMENT) if agreement else []
    if reads and agreement:
        _refuse_of_other_reads(agreed, read, agreement)
    found = rows_of(outcome / OUTCOME) if outcome else []
    if outcome:
        _refuse_of_others(outcome, {row.get("patient") or row.get("visit") for row in (*opened, *read)})
    asked = _protocol_of(outcome, found) if outcome else None
    if asked:
        _refuse_of_other_table(asked, {"reader": read, "mmasi": opened}, outcome)
    drawings = [*_scores_drawn(opened), *_agreement_drawn(read, opened, agreed)]
    drawings += _outcome_drawn(found, asked)
    shown = _strips_of(strips, {row["patient"] for row in opened}, left.patients) if strips else []
    page = study_page(
        StudyReport(
            title=title,
            run=run,
            scores=opened,
            reads=read,
            agreement=agreed,
            outcome=found,
            protocol=asked,
            provenance=_provenance(asked, outcome, agreement, left.patients),
            drawings=drawings,
            strips=shown,
            left_out=(left.met, len(left.patients)),
        )
    )
    printed = _pdf_of(page) if pdf else None
    with writing(out):
        for old in files:
            (out / old).unlink(missing_ok=True)
    write_file(out / PAGE, page, private=True)
    if printed is not None:
        write_file(out / PDF, printed, private=True)
    for one in drawings:
        write_file(out / FIGURES / f"{one.name}.svg", one.svg, private=True)
    also = f"  PDF: {out / PDF}" if pdf else ""
    typer.echo(f"Report: {out / PAGE}{also}  Figures: {out / FIGURES}")
    return DONE


def _provenance(
    asked: Mapping[str, Any] | None,
    outcome: Path | None,
    agreement: Path | None,
    left_out: Collection[str],
) -> dict[str, Mapping[str, Any]]:
    """What made the agreement and the outcome; nothing of one that a version before provenance made."""
    made: dict[str, Mapping[str, Any]] = {}
    if asked and outcome and PROVENANCE in asked:
        made["Outcome"] = asked[PROVENANCE]
        refuse_other_provenance(made["Outcome"], outcome / PROTOCOL, (OUTCOME, PATIENTS), _OUTCOME_AGAIN)
    if agreement and (agreement / MADE).exists():
        again = "Run masi agree again."
        made["Agreement"] = told_in(agreement / MADE, (), "what masi agree writes", again)
        refuse_other_provenance(made["Agreement"], agreement / MADE, (AGREEMENT,), again)
    for what, folder in {"Outcome": outcome, "Agreement": agreement}.items():
        if folder:  # that version left nobody out
            told = made.get(what, {}).get("patients_left_out", 0)
            refuse_others_left_out(told, left_out, what.lower())
    return made


def _protocol_of(folder: Path, found: Rows) -> dict[str, Any]:
    """What the outcome was asked by; it must be the one that stands beside every figure."""
    asked = told_in(
        folder / PROTOCOL,
        ("endpoint", "protocol_sha256", *_ASKED),
        f"what masi outcome writes beside {OUTCOME}",
        _OUTCOME_AGAIN,
    )
    if {row.get("protocol_sha256") for row in found} - {asked["protocol_sha256"]}:
        raise StatsError(
            f"{folder} holds figures that were not asked by its {PROTOCOL}. Expected the files of one call "
            "of masi outcome. Make the outcome again."
        )
    return asked


def _strips_of(compared: Path, patients: set[str], left_out: Collection[str]) -> list[Strip]:
    """The pictures of masi compare from the front, small enough for a page of eighty patients."""
    from masi_vision.cli.run import CHANGES_CSV, PICTURES
    from masi_vision.report.names import FileNames
    from masi_vision.report.picture import smaller_jpeg
    from masi_vision.report.study import Strip

    if not any((compared / PICTURES).glob(f"*{_FRONT}")):
        raise StatsError(
            f"{compared} holds no {PICTURES}/NAME{_FRONT}. Expected the results of masi compare on the "
            "study, with its pictures."
        )
    series: dict[str, list[str]] = {}
    for row in rows_of(compared / CHANGES_CSV):
        lacking = series.setdefault(row.get("patient", ""), [])
        if row.get("status") == "not_compared":
            lacking.append(f"{row['follow_up']} ({row.get('reason', '').replace('_', ' ')})")
        elif row.get("residual_front") == "":
            lacking.append(f"{row['follow_up']} (not from the front)")
    if others := series.keys() - patients - {"", *left_out}:
        raise StatsError(
            f"{compared} shows {', '.join(sorted(others)[:3])}, of whom there is no score here. Expected the "
            "results of masi compare on this study. Name its folder."
        )
    names, strips = FileNames(), []  # as masi compare names them
    try:
        for patient, lacking in series.items():
            file = compared / PICTURES / f"{names.of(patient or 'visits', '')}{_FRONT}"
            if patient in left_out:
                continue
            drawn = smaller_jpeg(file.read_bytes(), width_px=_STRIP_PX) if file.exists() else b""
            strips.append(Strip(patient or "The visits", drawn, lacking))
    except (OSError, ValueError) as error:
        raise StatsError(
            f"The pictures of {compared} cannot be read ({reason_of(error)}). Expected those of masi "
            "compare. Compare the visits again."
        ) from error
    return strips


def _pdf_of(page: str) -> bytes:
    """The page as PDF; what it shows lies in it, and nothing is fetched."""
    try:
        from weasyprint import HTML
        from weasyprint.urls import URLFetcher
    except (ImportError, OSError) as error:
        raise StatsError(
            f'The PDF cannot be made ({error}). Expected the extra "pdf" (pip install ".[pdf]") and Pango '
            f"(Debian: libpango-1.0-0, libpangoft2-1.0-0). Or print {PAGE} from a browser."
        ) from error
    read = HTML(string=page, url_fetcher=URLFetcher(allowed_protocols=["data"]))
    return bytes(read.write_pdf(pdf_tags=True))  # tags: a screen reader finds headings, rows and pictures


def _run_of(results: Path) -> dict[str, Any]:
    try:
        run = json.loads((results / "run.json").read_text(encoding="utf-8"))
        if not isinstance(run, dict) or "settings" not in run:
            raise ValueError("no settings")
    except (OSError, ValueError) as error:
        raise StatsError(
            f"{results} holds no run.json of a run ({error}). Expected the results of masi score or masi "
            "batch."
        ) from error
    return run


def _run_without(run: Mapping[str, Any], dropped: Rows) -> dict[str, Any]:
    """What run.json tells, without the visits of patients who are left out."""
    if not dropped:
        return dict(run)
    units = {("", row["code"]) if row.get("code") else (row["patient"], row["visit"]) for row in dropped}
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
            "table came from; of several runs make one with masi batch. A patient who withdrew stays in the "
            "table, and is left out with --without.".format(source, *found, *expected)
        )


def _refuse_of_other_reads(agreed: Rows, read: Rows, folder: Path) -> None:
    """The points of the figure are of the reads, its lines of the agreement."""
    made_of = {row.get(READS_SHA256, "") for row in agreed}
    if made_of != {rows_sha256(read)}:
        found = "does not say of which reads it is" if made_of <= {""} else "is of other reads"
        raise StatsError(
            f"The agreement of {folder} {found}. Expected what masi agree writes of the table of --reads, "
            "with the same --without. Make the agreement again."
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


def _refuse_of_others(folder: Path, known: set[str | None]) -> None:
    """The page is of one study."""
    told = [row for row in rows_of(folder / PATIENTS) if row.get("baseline") or row.get("primary")]
    if others := {row.get("patient", "") for row in told} - known:
        raise StatsError(
            f"{folder} tells of {', '.join(sorted(others)[:3])}, of whom there is no score and no read here. "
            "Expected the outcome of this study: name its folder, and with --reads or --scores the tables "
            "whose code was broken."
        )


def _scores_drawn(scores: Rows) -> list[Drawing]:
    """The scores by visit; all in one of a coded set, whose visits are codes, or where no one has a name."""
    import numpy as np

    from masi_vision.names import natural_key
    from masi_vision.report.figures import distribution_figure
    from masi_vision.report.study import Drawing

    groups: dict[str, list[float]] = {}
    for row in scores:
        if row["mmasi"] and not row.get("repeat_of"):
            groups.setdefault(row["visit"], []).append(float(row["mmasi"]))
    if len(groups) > 12 or not any(row["patient"] for row in scores):
        groups = {"all visits": [value for values in groups.values() for value in values]}
    if not groups:
        return []
    ordered = sorted(groups, key=natural_key)
    svg = distribution_figure({name: np.array(groups[name]) for name in ordered}, "mMASI")
    told = "; ".join(
        f"{name}: median {np.median(groups[name]):.1f} of {len(groups[name])}" for name in ordered
    )
    words = (
        "Every scored visit is a point; box: quartiles and median, whiskers: to 1.5 times the box. "
        "Below each visit: how many."
    )
    return [Drawing("distribution", "mMASI by the software", words, svg, told)]


def _agreement_drawn(reads: Rows, scores: Rows, agreed: Rows) -> list[Drawing]:
    """The software against the mean of the readers."""
    from masi_vision.report.figures import bland_altman_figure, interval_text
    from masi_vision.report.study import Drawing
    from masi_vision.stats.panel import PANEL, SOFTWARE
    from masi_vision.stats.reads import reads_from, scores_table, table_of

    between = f"{SOFTWARE} less {PANEL}"
    figures = {
        row["measure"]: row for row in agreed if row["between"] == between and row["topic"] == "software"
    }
    measures = ("lower limit of agreement, mMASI", "bias, mMASI", "upper limit of agreement, mMASI")
    if not reads or not all(name in figures for name in measures):
        return []
    table = table_of(reads_from(reads, "reads"), scores=scores_table(scores, "scores"))
    panel = table.values[:, :-1].mean(axis=1)
    svg = bland_altman_figure(
        table.of(SOFTWARE), panel, (SOFTWARE, PANEL), [_interval(figures[name]) for name in measures]
    )
    words = (
        "A point is a visit. Between the broken lines lie 95 % of the differences, if they are normal; grey: "
        "intervals of the lines."
    )
    told = "; ".join(f"{name} {interval_text(_interval(figures[name]))}" for name in measures)
    return [Drawing("bland_altman", "The software beside the readers", words, svg, told)]


def _outcome_drawn(found: Rows, asked: Mapping[str, Any] | None) -> list[Drawing]:
    """Arms over the visits, and against the control."""
    from masi_vision.report.figures import forest_figure, interval_text, trajectories_figure
    from masi_vision.report.study import Drawing, endpoint_name
    from masi_vision.stats.outcome import NOT_COMPARED, NOT_FITTED

    made, endpoint = [], endpoint_name(asked)
    column = str(asked["endpoint"]) if asked else "mmasi"
    differences = [
        (f"{row['analysis'].removeprefix('sensitivity: ')}: {row['arm']}", _interval(row))
        for row in found
        if row["measure"] == "difference"
    ]
    missing = [
        f"{row['analysis'].removeprefix('sensitivity: ')}, {row['arm']}: {row['measure']}"
        for row in found
        if row["measure"].startswith((NOT_COMPARED, NOT_FITTED))
    ]
    if differences:
        words = (
            "Difference of the adjusted means at the primary visit, 95 % interval of each comparison alone."
        )
        absent = f" Not drawn: {'; '.join(missing)}." if missing else ""
        measure = f"difference in {endpoint}; left of 0: less than the control"
        svg = forest_figure(differences, measure, column)
        told = "; ".join(f"{name} {interval_text(one, column)}" for name, one in differences)
        made.append(Drawing("forest", "Arms against the control", words + absent, svg, told))
    arms: dict[str, dict[str, Interval]] = {}
    for row in found:
        if row["analysis"] == "trajectory":
            arms.setdefault(row["arm"], {})[row["visit"]] = _interval(row)
    if arms:
        from_zero = column != AMOUNT
        down = ", drawn down to 0" if from_zero else ""
        words = f"Mean of the patients who have the visit, and its 95 % interval{down}."
        svg = trajectories_figure(arms, endpoint, from_zero=from_zero)
        told = "; ".join(
            f"{arm}, {visit} {interval_text(one, column)}"
            for arm, visits in arms.items()
            for visit, one in visits.items()
        )
        made.append(Drawing("trajectories", f"{endpoint} by arm and visit", words, svg, told))
    return made


def _interval(row: Mapping[str, str]) -> Interval:
    value, low, high = (float(row[name]) if row[name] else _NAN for name in ("value", "low", "high"))
    return value, low, high
