"""`masi config`: settings, shown and checked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from masi_vision.cli.door import DONE, verb
from masi_vision.cli.options import QualityFile

config = typer.Typer(help="Show the shipped settings, or check a file of your own.", no_args_is_help=True)


@config.command()
@verb
def show(
    quality: Annotated[bool, typer.Option("--quality", help="Limits of photos, quality.yaml.")] = False,
    protocol: Annotated[
        bool, typer.Option("--protocol", help="How masked readers grade, protocol.yaml of masi review.")
    ] = False,
    outcome: Annotated[
        bool, typer.Option("--outcome", help="What a trial compares, outcome.yaml of masi outcome.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write them there; shown where omitted.")
    ] = None,
) -> int:
    """Show the shipped settings: `masi config show --out mine.yaml` starts a file of your own."""
    from masi_vision.errors import OutputError
    from masi_vision.shipped import shipped_file
    from masi_vision.written import write_file

    kinds = {"quality.yaml": quality, "protocol.yaml": protocol, "outcome.yaml": outcome}
    named = [name for name, is_asked in kinds.items() if is_asked] or ["scoring.yaml"]
    if len(named) > 1:
        raise OutputError(f"{len(named)} files were asked for. Expected one. Call the command for each.")
    text = shipped_file("configs", named[0]).read_text(encoding="utf-8")
    if out is None:
        typer.echo(text, nl=False)
        return DONE
    if out.exists():
        raise OutputError(f"{out} is there already. Expected a new file. Name another with --out.")
    write_file(out, text)
    typer.echo(f"The shipped {named[0]}, to edit: {out}")
    return DONE


@config.command()
@verb
def validate(
    file: Annotated[
        Path | None, typer.Argument(help="A settings file; the shipped one where only --quality is named.")
    ] = None,
    quality: QualityFile = None,
    protocol: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A protocol of masi review, protocol.yaml.")
    ] = None,
    outcome: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A protocol of masi outcome, outcome.yaml.")
    ] = None,
) -> int:
    """Check files of settings or protocols and print their SHA-256, as it will stand beside every result.

    It is of the values: a remark or another order changes nothing.
    """
    from masi_vision.config import load_settings
    from masi_vision.errors import SettingsError

    named = [str(one) for one in (file, quality) if one is not None]
    if not named and protocol is None and outcome is None:
        raise SettingsError(
            "No file was named. Expected a settings file, --quality FILE, or both; or --protocol FILE, or "
            "--outcome FILE."
        )
    if named:
        typer.echo(f"{' with '.join(named)}: usable settings. SHA-256 {load_settings(file, quality).sha256}")
    if protocol is not None:
        from masi_vision.review.protocol import load_reading_protocol as of_reading

        typer.echo(f"{protocol}: a usable protocol of a reading. SHA-256 {of_reading(protocol).sha256}")
    if outcome is not None:
        from masi_vision.stats.outcome_protocol import load_outcome_protocol as of_outcome

        typer.echo(f"{outcome}: a usable protocol of an outcome. SHA-256 {of_outcome(outcome).sha256}")
    return DONE
