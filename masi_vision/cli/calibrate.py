"""`masi calibrate`: a settings file whose cut points are those of a panel of readers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from masi_vision.cli.door import DONE, SOME_NOT_SCORED, verb
from masi_vision.cli.extras import need_extra
from masi_vision.cli.tables import say_open, say_two_names, say_two_sets
from masi_vision.csv_table import Row
from masi_vision.errors import OutputError, SettingsError, StatsError
from masi_vision.reads_table import refuse_two_openings, rows_of, rows_sha256

if TYPE_CHECKING:
    from masi_vision.config import Settings
    from masi_vision.stats.calibration import Calibration

_DARKNESS, _FITTED_TO = "darkness_cut_points_od", "fitted_to_"
_FLAGS = ("undecided_fraction", "disagreement_fraction")
"""Settings of the pigment map that flag a region and measure nothing."""


@verb
def calibrate(
    reads: Annotated[
        Path,
        typer.Argument(
            metavar="READS.csv",
            help="patient,visit,region,area,darkness of every read, or reads.csv of masi unblind.",
        ),
    ],
    measures: Annotated[Path, typer.Option(metavar="regions.csv", help="Of masi score, of the same visits.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Settings file to write.")],
    settings: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Settings by which it was scored; else the shipped.")
    ] = None,
) -> int:
    """Fit the cut points of area and darkness to a panel's grades and write a settings file.

    Where one of the two cannot be fitted it stays as it was, and the exit code is 1.
    """
    need_extra("stats", "fitting")
    from masi_vision.config import load_settings
    from masi_vision.report.tables import refuse_cut_short, refuse_stopped
    from masi_vision.shipped import shipped_file
    from masi_vision.stats.cut_points import fitted, is_found, reads_with_measures
    from masi_vision.written import write_file

    if out.exists():
        raise OutputError(f"{out} is there already. Expected a new file. Name another with --out.")
    file = settings or shipped_file("configs", "scoring.yaml")
    base = load_settings(file)
    refuse_stopped(measures.parent)
    refuse_cut_short(measures)
    _refuse_other_settings(measures.parent, base, file)
    read, measured = _rows(reads), _rows(measures)
    refuse_two_openings({reads.name: read, measures.name: measured})
    say_open(read, reads.name)
    say_two_names({row["patient"] for row in read})
    say_two_sets(read, reads.name)
    found = reads_with_measures(read, reads.name, measured, measures.name)
    if found.ungraded:
        typer.echo(f"{found.ungraded} reads are left out: the reader did not grade them.")
    if found.unmeasured:
        typer.echo(f"{found.unmeasured} reads are left out: the software graded no such region.")
    marked = [pair for pair in found.pairs if pair.area]
    if missed := sum(not is_found(pair, base.scale) for pair in marked):
        typer.echo(f"{missed} reads of pigment count for nothing: the software found none there.")
    clear = [pair for pair in found.pairs if pair.area == 0]
    if false := sum(is_found(pair, base.scale) for pair in clear):
        typer.echo(
            f"{false} of {len(clear)} reads without pigment count for nothing: the software found some."
        )
    if lacking := sum(not pair.darkness and is_found(pair, base.scale) for pair in marked):
        typer.echo(f"{lacking} reads count for the area alone: they have an area, and no darkness or a 0.")
    fits = fitted(found.pairs, base.scale)
    failed = [fit for fit in fits.values() if isinstance(fit, StatsError)]
    if len(failed) == len(fits):
        raise StatsError(" ".join(map(str, failed)))
    made = {name: fit for name, fit in fits.items() if not isinstance(fit, StatsError)}
    text, first = file.read_text(encoding="utf-8"), base.scale.darkness_cut_points_od[0]
    measured_by, models = _measured_by(measures.parent)
    if failed and base.scale.fitted_to_models:  # what stays as it was still belongs to those of before
        models = base.scale.fitted_to_models
    fitted_to = {"models": models, "reads": rows_sha256(read)}
    write_file(out, rewritten(text, made, first, measured_by, fitted_to))
    try:
        written = load_settings(out)
    except SettingsError as error:
        out.unlink()
        raise SettingsError(
            f"The settings found would not be usable, and were not written: {error} Are the measures those "
            f"of masi score, contrasts in optical density, and does each list of cut points in {file.name} "
            "stand on one line?"
        ) from error
    for name, fit in made.items():
        typer.echo(f"{name}: {_list(getattr(written.scale, name))} ({_facts(fit)})")
        if name == _DARKNESS:
            _tell_first(base.scale.darkness_cut_points_od[0], written.scale.darkness_cut_points_od[0])
    for why in failed:
        typer.echo(f"Kept as they were: {why}")
    typer.echo(f"Settings: {out}")
    return SOME_NOT_SCORED if failed else DONE


def _rows(file: Path) -> list[Row]:
    rows = rows_of(file)
    if not rows or "visit" not in rows[0] or "patient" not in rows[0]:
        found = ", ".join(rows[0]) if rows else "no row"
        raise StatsError(f"{file} has {found}. Expected patient, visit and a row for every read or region.")
    return rows


def _refuse_other_settings(results: Path, base: Settings, file: Path) -> None:
    """Refuse measures of other settings than those that are to be written: they would not belong together.

    Where no run.json lies beside the table, nothing is known of that.
    """
    from masi_vision.config import ScaleSettings
    from masi_vision.report.tables import settings_of_run

    used = settings_of_run(results)
    if used is None:
        typer.echo(f"Which settings made {results / 'regions.csv'} is not known: no run.json lies beside it.")
        return
    of_grades = ("points", "points_od")
    of_measures = {
        name
        for name in ScaleSettings.model_fields
        if not name.endswith(of_grades) and not name.startswith(_FITTED_TO)
    }
    now = base.model_dump(mode="json")
    other = [
        f"{section}.{key}"
        for section, keys in (("scale", of_measures), ("pigment", now["pigment"]))
        for key in sorted(keys)
        if key not in _FLAGS and used.get(section, {}).get(key) != now[section][key]
    ]
    if other:
        raise SettingsError(
            f"The measures in {results} were made with another {', '.join(other)} than {file.name} has. "
            "Expected the settings by which it was scored. Name them with --settings."
        )


def _tell_first(before: float, now: float) -> None:
    if now < before:
        typer.echo(
            f"The first, {before:g} in the settings, is the detection threshold and is not fitted. It was "
            f"lowered to {now:g}, for the second lies at or below it."
        )


def _measured_by(results: Path) -> tuple[str, str]:
    """What made the measures, in words, and the hash of the models, "" where it is not known."""
    from masi_vision.report.tables import models_hash, run_of

    run = run_of(results)
    if run is None or not {"version", "models", "models_sha256"} <= run.keys():
        return "unknown models", ""
    return f"masi_vision {run['version']} with the models {run['models']}", models_hash(run["models_sha256"])


def rewritten(
    text: str,
    found: Mapping[str, Calibration],
    threshold_od: float,
    measured_by: str,
    fitted_to: Mapping[str, str],
) -> str:
    """The settings with new cut points, each with its origin beside it.

    Parameters
    ----------
    threshold_od : float
        The first cut point of darkness in use: what is fitted begins at the second.
    measured_by : str
        What made the measures.
    fitted_to : mapping
        Hash of the models among it, "" where they are not known, and of the reads: cut points belong to those
        that measured, and agree well with what they were fitted to.
    """
    from masi_vision.stats.calibration import first_cut

    text = re.sub(rf"^  {_FITTED_TO}\w+: .*\n", "", text, flags=re.MULTILINE)
    day = datetime.now(UTC).date().isoformat()
    last = list(found)[-1]
    for name, fit in found.items():
        points, note = fit.cut_points, ""
        if name == _DARKNESS:
            first = first_cut(threshold_od, points[0])
            is_kept = first == threshold_od
            kept = "the detection threshold" if is_kept else "lowered, for the second lies at or below it"
            points, note = (first, *points), f", but for the first, {kept}"
        line = (
            "  # What stands above was said of the shipped values.\n"
            f"  # Fitted by masi calibrate on {day}{note}:\n  # {_facts(fit)}.\n"
            f"  # Of measures by {measured_by}: fit again where others measure.\n  {name}: {_list(points)}"
        )
        if name == last:
            line += "".join(f"\n  {_FITTED_TO}{what}: {one}" for what, one in fitted_to.items() if one)
        text, changed = re.subn(rf"^  {name}: .*$", line, text, flags=re.MULTILINE)
        if changed != 1:
            raise SettingsError(
                f"The settings hold {changed} lines '{name}: [...]'. Expected one, with all of the list, as "
                "in the shipped file."
            )
    return text


def _list(points: tuple[float, ...]) -> str:
    return f"[{', '.join(f'{point:.4g}' for point in points)}]"


def _facts(fit: Calibration) -> str:
    return (
        f"{fit.reads} reads of {fit.patients} patients; mean error {fit.error:.2f} grades, cross-validated "
        f"by patient, {fit.error_before:.2f} before; exact {fit.exact:.0%}, within one {fit.within_one:.0%}"
    )
