"""`masi agree`: what readers agree on, and how near the software comes to them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from masi_vision.cli.door import DONE, verb
from masi_vision.cli.extras import need_extra
from masi_vision.cli.left_out import Without, left_out_of
from masi_vision.cli.options import Overwrite, make_ready
from masi_vision.cli.provenance import provenance_of_analysis
from masi_vision.cli.tables import check_run, say_open, say_two_names, say_two_sets
from masi_vision.csv_table import csv_text, guarded
from masi_vision.errors import StatsError
from masi_vision.names import natural_key, signs_in_doubt, told_apart
from masi_vision.reads_table import (
    refuse_mixed,
    refuse_spelled_alike,
    refuse_two_openings,
    rows_of,
    rows_sha256,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from masi_vision.stats.panel import Figure
    from masi_vision.stats.reads import Read

AGREEMENT, MADE = "agreement.csv", "agreement.json"
READS_SHA256, SCORES_SHA256 = "reads_sha256", "scores_sha256"
"""Columns: of the tables that every figure is made of; that of scores blank where none were given."""
_FIGURE = ("topic", "between", "measure", "units", "patients", "value", "low", "high")


@verb
def agree(
    reads: Annotated[
        Path, typer.Argument(metavar="READS.csv", help="Reads with patient and visit: after masi unblind.")
    ],
    out: Annotated[Path, typer.Option(help=f"Folder for {AGREEMENT} and {MADE}.")],
    scores: Annotated[
        Path | None,
        typer.Option(
            metavar="SCORES.csv", help="The software's scores of the same visits, beside the readers'."
        ),
    ] = None,
    baseline: Annotated[
        str | None, typer.Option(metavar="VISIT", help="First visit; that of the protocol where omitted.")
    ] = None,
    final: Annotated[
        str | None, typer.Option(metavar="VISIT", help="Last visit; the primary of the protocol.")
    ] = None,
    protocol: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="That of masi outcome; else the first and the last visit by name."),
    ] = None,
    draws: Annotated[
        int, typer.Option(min=100, help="How often patients are drawn for the intervals.")
    ] = 1000,
    without: Without = None,
    overwrite: Overwrite = False,
) -> int:
    """Measure agreement between readers, with themselves, and with the software; intervals by patient."""
    need_extra("stats", "statistics")
    from masi_vision.stats.agreement import LEAST_PAIRS
    from masi_vision.stats.panel import findings, repeat_pairs
    from masi_vision.stats.reads import reads_from, scores_table
    from masi_vision.stats.resampling import KIND, SEED
    from masi_vision.written import json_text, write_file

    make_ready(out, (AGREEMENT, MADE), overwrite=overwrite)
    left = left_out_of(without)
    whole = rows_of(reads)
    rows = left.rows(whole)
    read = reads_from(rows, reads.name)
    if protocol is not None:
        from masi_vision.stats.outcome_protocol import load_outcome_protocol

        rules = load_outcome_protocol(protocol)
        baseline, final = baseline or rules.baseline, final or rules.primary
    refuse_spelled_alike((one.visit for one in read), "visit", nearly=True)
    first, last = _visits(read, baseline, final)
    say_open(rows, reads.name)
    say_two_sets(rows, reads.name)
    say_two_names({one.patient for one in read})
    typer.echo(f"Change is from {first} to {last}." if first != last else "No change: one visit.")
    _say_visits(read)
    by_software, hashes = None, {READS_SHA256: rows_sha256(rows), SCORES_SHA256: ""}
    if scores is not None:
        scored = rows_of(scores)
        refuse_two_openings({reads.name: whole, scores.name: scored})
        table = left.rows(scored)
        check_run(scores, table)
        refuse_mixed(table, scores.name, "mmasi")
        by_software, hashes[SCORES_SHA256] = scores_table(table, scores.name), rows_sha256(table)
        _check_shared(read, by_software, {(row["patient"] or row["visit"], row["visit"]) for row in table})
        _say_fitted(scores.parent, rows_sha256(whole))
    left.say()
    found = findings(read, by_software, baseline=first, final=last, draws=draws)
    text = table_of(found, hashes)
    write_file(out / AGREEMENT, text, private=True)
    made = provenance_of_analysis({"reads": reads, "scores": scores}, rows, {AGREEMENT: text}, left)
    drawn = {"intervals": {"kind": KIND, "draws": draws, "seed": SEED}}
    write_file(out / MADE, json_text(made | hashes | drawn), private=True)
    _say(found)
    readers = ", ".join(sorted({one.rater for one in read}))
    wanted = (*(("software", "leave one out") if scores else ()), *(("change",) if first != last else ()))
    for topic in sorted(set(wanted) - {one.topic for one in found}):
        typer.echo(f"\n{topic}: no figure. Fewer than three units were graded by all of {readers}.")
    few = {reader: pairs for reader, pairs in repeat_pairs(read).items() if pairs < LEAST_PAIRS}
    if few:
        told = ", ".join(f"{reader} ({pairs} pairs)" for reader, pairs in few.items())
        typer.echo(
            f"\nrepeats: no figure of {told}. Expected {LEAST_PAIRS} or more hidden repeats that one reader "
            "graded twice: of those whose other read is another reader's there is no pair."
        )
    typer.echo(f"All figures: {out / AGREEMENT}")
    return DONE


def _visits(read: Sequence[Read], baseline: str | None, final: str | None) -> tuple[str, str]:
    names = sorted({one.visit for one in read}, key=natural_key)
    for visit in filter(None, (baseline, final)):
        if visit not in names:
            raise StatsError(
                f"No read is of visit {visit!r}. Expected one of {', '.join(names)}. Correct --baseline, "
                "--final or the protocol."
            )
    if not (baseline and final) and (doubtful := signs_in_doubt(names)):
        raise StatsError(
            f"The table has the visits {', '.join(told_apart(*doubtful))}: whether a dash there is a minus, "
            "and so which came first, nobody can tell. Expected the two of the change. Name them with "
            "--baseline and --final, or with --protocol."
        )
    first, last = baseline or names[0], final or names[-1]
    if first == last and len(names) > 1:
        raise StatsError(
            f"Baseline and final are both {first!r}, and the table has {', '.join(names)}. Expected two of "
            "them. Name another with --baseline or --final."
        )
    return first, last


def _say_visits(read: Sequence[Read]) -> None:
    """Say how many patients were read at each visit, where not all were at all: one may have two names."""
    patients = len({one.patient for one in read})
    at = Counter(visit for _, visit in {(one.patient, one.visit) for one in read})
    if min(at.values()) < patients:
        told = ", ".join(f"{visit} {at[visit]}" for visit in sorted(at, key=natural_key))
        typer.echo(f"Patients read at each visit, of {patients}: {told}.")


def _check_shared(
    read: Sequence[Read], scores: dict[tuple[str, str], float], named: set[tuple[str, str]]
) -> None:
    """Refuse scores of other visits: they would silently count nowhere."""
    wanted = {(one.patient, one.visit) for one in read}
    elsewhere = sorted(wanted - named)
    if len(elsewhere) > len(wanted) / 2:
        raise StatsError(
            f"{len(elsewhere)} of {len(wanted)} visits that were read are not in the scores, among them "
            f"{'/'.join(elsewhere[0])}. Expected the same names in both tables: break the code of both."
        )
    if missing := wanted - scores.keys():
        typer.echo(f"{len(missing)} visits that were read have no score: they count for the readers alone.")


def _say_fitted(results: Path, reads_sha256: str) -> None:
    """Say where the cut points of the scores were fitted to reads, above all to these very ones."""
    from masi_vision.report.tables import settings_of_run

    fitted_to = (settings_of_run(results) or {}).get("scale", {}).get("fitted_to_reads")
    if fitted_to == reads_sha256:
        typer.echo(
            "The cut points of these scores were fitted to these very reads: how well the software agrees "
            "with them proves nothing. Expected reads of other patients than those of masi calibrate."
        )
    elif fitted_to is not None:
        typer.echo(
            f"The cut points of these scores were fitted to reads with the hash {fitted_to[:8]}. Where "
            "patients of those are read here too, the software seems to agree better than it does."
        )


def table_of(found: Sequence[Figure], hashes: Mapping[str, str]) -> str:
    """All figures as CSV, and what they are made of; a figure or bound that there is none of is blank."""
    rows = (
        {
            "topic": guarded(one.topic),
            "between": guarded(one.between),
            "measure": guarded(one.measure),
            "units": one.units,
            "patients": one.patients,
            "value": _number(one.estimate.value),
            "low": _number(one.estimate.low),
            "high": _number(one.estimate.high),
            **hashes,
        }
        for one in found
    )
    return csv_text((*_FIGURE, *hashes), rows)


def _number(value: float) -> str:
    return f"{value:.6f}" if value == value else ""


def _say(found: Sequence[Figure]) -> None:
    from masi_vision.report.figures import figure_text

    typer.echo("In brackets: 95 % intervals.")
    topic = ""
    for one in found:
        if one.topic != topic:
            topic = one.topic
            typer.echo(f"\n{topic}")
        of = one.estimate
        value = figure_text(of.value) if of.value == of.value else "none"
        interval = f" ({figure_text(of.low)} to {figure_text(of.high)})" if of.low == of.low else ""
        typer.echo(f"  {one.between}: {one.measure} {value}{interval}, {one.units} units")
