"""Options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

PhotoPaths = Annotated[
    list[Path], typer.Argument(metavar="PATH...", help="Photos, visit folders or study folders.")
]
Out = Annotated[Path, typer.Option(help="Folder for the results; made if it does not exist.")]
SettingsFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Settings; the shipped ones where omitted.")
]
QualityFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Limits of quality; the shipped ones where omitted.")
]
Accept = Annotated[
    list[str] | None,
    typer.Option(
        metavar="CHECK[@PATIENT/VISIT/VIEW]",
        help="A check of quality that may fail and is recorded; can be given again.",
    ),
]
ModelsChoice = Annotated[
    str | None,
    typer.Option(
        "--models", metavar="NAME|DIR", help="Models to score with; those in use where omitted (masi models)."
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the results in the folder.")]
