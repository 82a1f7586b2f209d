"""`masi calibrate`: a settings file whose cut points are those of a panel of readers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from masi_vision.cli.door import DONE, SOME_NOT_SCORED, verb
from masi_vision.cli.extras import need_extra
from masi_vision.cli.left_out import Without, left_out_of
from masi_vision.cli.tables import say_open, say_two_names, say_two_sets
from masi_vision.csv_table import Row
from masi_vision.errors import OutputError, SettingsError, StatsError
from masi_vision.reads_table import refuse_two_openings, rows_of, rows_sha256

if TYPE_CHECKING:
    from masi_vision.config import ScaleSettings, Settings
    from masi_vision.stats.calibration import Calibration
    from masi_vision.stats.cut_points import Joined

_AREA, _DARKNESS, _FITTED_TO = "area_cut_points", "darkness_cut_points_od", "fitted_to_"
_SCALES = {"area": _AREA, "darkness": _DARKNESS}
_SELDOM = 0.5
"""A grade that the software gives less often than this share of the panel is told. Chosen here."""
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
    only: Annotated[
        Literal["area", "darkness"] | None, typer.Option(help="Fit this one; the other stays as it is.")
    ] = None,
    without: Without = None,
) -> int:
    """Fit the cut points of area and darkness to a panel's grades and write a settings file.

    Where one that was to be fitted cannot be it stays as it was, and the exit code is 1.
    """
    need_extra("stats", "fitting")
    from masi_vision.config import load_settings
    from masi_vision.report.tables import refuse_cut_short, refuse_stopped
    from masi_vision.shipped import shipped_file
    from masi_vision.stats.cut_points import fitted, reads_with_measures
    from masi_vision.written import write_file

    if out.exists():
        raise OutputError(f"{out} is there already. Expected a new file. Name another with --out.")
    file = settings or shipped_file("configs", "scoring.yaml")
    base = load_settings(file)
    refuse_stopped(measures.parent)
    refuse_cut_short(measures)
    _refuse_other_settings(measures.parent, base, file)
    left = left_out_of(without)
    whole, measured = _rows(reads), _rows(measures)
    refuse_two_openings({reads.name: whole, measures.name: measured})
    read = left.rows(whole)
    say_open(read, reads.name)
    say_two_names({row["patient"] for row in read})
    say_two_sets(read, reads.name)
    found = reads_with_measures(read, reads.name, left.rows(measured), measures.name)
    left.say()
    _tell_reads(found, base.scale, has_patients=any(row["patient"] for row in read))
    wanted = _SCALES if only is None else {only: _SCALES[only]}
    fits = fitted(found.pairs, base.scale)
    fits = {name: fits[name] for name in wanted.values()}
    failed = [fit for fit in fits.values() if isinstance(fit, StatsError)]
    if len(failed) == len(fits):
        raise StatsError(" ".join(map(str, failed)))
    made = {name: fit for name, fit in fits.items() if not isinstance(fit, StatsError)}
    text, first = file.read_text(encoding="utf-8"), base.scale.darkness_cut_points_od[0]
    measured_by, models = _measured_by(measures.parent)
    fitted_to = {"models": models, "reads": rows_sha256(whole)}
    if len(made) < len(_SCALES):
        _refuse_two_panels(base.scale, fitted_to, file.name, failed)
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
            _tell_first(first, written.scale.darkness_cut_points_od[0])
        _tell_grades(name, fit)
    for why in failed:
        typer.echo(f"Kept as they were: {why}")
    typer.echo(f"Settings: {out}")
    return SOME_NOT_SCORED if failed else DONE


def _tell_reads(found: Joined, scale: ScaleSettings, *, has_patients: bool) -> None:
    """Say what was left out of the reads, and whose count."""
    from masi_vision.stats.cut_points import is_found

    if not has_patients:
        typer.echo(
            "masi: no patient is named: every visit counts as a patient, and the error of cut points that "
            "were fitted to another visit of the same person passes for one of other people. Expected the "
            "column patient filled.",
            err=True,
        )
    if found.ungraded:
        typer.echo(f"{found.ungraded} reads are left out: the reader did not grade them.")
    if found.unmeasured:
        typer.echo(f"{found.unmeasured} reads are left out: the software graded no such region.")
    marked = [pair for pair in found.pairs if pair.area]
    if missed := sum(not is_found(pair, scale) for pair in marked):
        typer.echo(f"{missed} reads of pigment count for nothing: the software found none there.")
    clear = [pair for pair in found.pairs if pair.area == 0]
    if false := sum(is_found(pair, scale) for pair in clear):
        typer.echo(
            f"{false} of {len(clear)} reads without pigment count for nothing: the software found some."
        )
    if lacking := sum(not pair.darkness and is_found(pair, scale) for pair in marked):
        typer.echo(f"{lacking} reads count for the area alone: they have an area, and no darkness or a 0.")
    by_reader = Counter(pair.reader for pair in marked if is_found(pair, scale))
    if len(by_reader) > 1:
        told = ", ".join(f"{reader} {by_reader[reader]}" for reader in sorted(by_reader))
        typer.echo(f"Reads that count, each as much as any other: {told}.")


def _refuse_two_panels(
    kept: ScaleSettings, fitted_to: Mapping[str, str], file: str, failed: Sequence[StatsError]
) -> None:
    """Refuse to keep a list that was fitted to other reads or models: the file tells of one panel alone."""
    before = {"models": kept.fitted_to_models, "reads": kept.fitted_to_reads}
    if other := [what for what, one in before.items() if one and one != fitted_to[what]]:
        why = "".join(f"{one} " for one in failed)
        raise StatsError(
            f"{why}The one that stays as it is in {file} was fitted to other {' and '.join(other)}. Expected "
            "area and darkness fitted to one panel, or one of them not fitted at all: settings tell of one "
            "panel alone. Fit both, or name with --settings a file in which none was fitted."
        )


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


def _tell_grades(name: str, fit: Calibration) -> None:
    """Say how often each grade is given, and where the cut points before were as near."""
    grade, other = ("area", "darkness") if name == _AREA else ("darkness", "area")
    pairs = ", ".join(
        f"{number} {by_panel} and {by_software}"
        for number, (by_panel, by_software) in enumerate(zip(fit.given, fit.found, strict=True))
        if by_panel or by_software
    )
    typer.echo(f"  Grades of {grade} by the panel and by the software (cross-validated): {pairs}.")
    if seldom := [n for n, count in enumerate(fit.given) if fit.found[n] < _SELDOM * count]:
        typer.echo(
            f"  Less than half as often as the panel the software gives {grade} "
            f"{' and '.join(map(str, seldom))}: scores of those differ less than the panel's."
        )
    if fit.error >= fit.error_before:
        typer.echo(
            f"  The cut points before are as near to these reads or nearer: keep them with --only {other}."
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
