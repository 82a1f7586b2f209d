"""`masi config`: settings, shown and checked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from masi_vision.cli.door import DONE, verb

config = typer.Typer(help="Show the shipped settings, or check a file of your own.", no_args_is_help=True)


@config.command()
@verb
def show() -> int:
    """Print the shipped settings: `masi config show > mine.yaml` starts a file of your own."""
    from masi_vision.config import shipped_file

    typer.echo(shipped_file("configs", "scoring.yaml").read_text(encoding="utf-8"), nl=False)
    return DONE


@config.command()
@verb
def validate(file: Annotated[Path, typer.Argument(help="A settings file.")]) -> int:
    """Check a settings file and print its SHA-256, as it will stand beside every score."""
    from masi_vision.config import load_settings

    typer.echo(f"{file} holds usable settings. SHA-256 {load_settings(file).sha256}")
    return DONE
