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
    quality: Annotated[
        bool, typer.Option("--quality", help="Those of quality.yaml: limits of photos.")
    ] = False,
) -> int:
    """Print the shipped settings: `masi config show > mine.yaml` starts a file of your own."""
    from masi_vision.config import shipped_file

    name = "quality.yaml" if quality else "scoring.yaml"
    typer.echo(shipped_file("configs", name).read_text(encoding="utf-8"), nl=False)
    return DONE


@config.command()
@verb
def validate(
    file: Annotated[
        Path | None, typer.Argument(help="A settings file; the shipped one where only --quality is named.")
    ] = None,
    quality: QualityFile = None,
) -> int:
    """Check settings files and print their SHA-256, as it will stand beside every score."""
    from masi_vision.config import load_settings
    from masi_vision.errors import SettingsError

    named = [str(one) for one in (file, quality) if one is not None]
    if not named:
        raise SettingsError("No file was named. Expected a settings file, --quality FILE, or both.")
    chosen = load_settings(file, quality)
    typer.echo(f"{' with '.join(named)}: usable settings. SHA-256 {chosen.sha256}")
    return DONE
