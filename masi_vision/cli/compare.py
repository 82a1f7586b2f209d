"""`masi compare`: the visits of each patient laid over the baseline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from masi_vision.cli.door import verb


@verb
def compare(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH...", help="Visits of one patient, the baseline first; or one study folder."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the results; made if it does not exist.")],
    settings: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Settings; the shipped ones where omitted.")
    ] = None,
    baseline: Annotated[
        str | None, typer.Option(metavar="VISIT", help="Name of the visit to compare with; else the first.")
    ] = None,
    no_pictures: Annotated[bool, typer.Option("--no-pictures", help="Write no pictures.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the results in the folder.")
    ] = False,
) -> int:
    """Lay every visit over the patient's baseline and measure what changed. Unblinds the order of visits."""
    from masi_vision.cli.changes import ChangeOrder, compare_and_show
    from masi_vision.config import load_settings

    return compare_and_show(
        ChangeOrder(tuple(paths), out, load_settings(settings), baseline, not no_pictures, overwrite)
    )
