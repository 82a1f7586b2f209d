"""`masi score`: photos in, tables and overlays out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from masi_vision.cli.door import verb


@verb
def score(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="Photos, visit folders or study folders.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the results; made if it does not exist.")],
    settings: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Settings; the shipped ones where omitted.")
    ] = None,
    save_masks: Annotated[
        bool, typer.Option("--save-masks", help="Write regions and pigment as PNG too.")
    ] = False,
    no_overlays: Annotated[bool, typer.Option("--no-overlays", help="Write no pictures.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the results in the folder.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print scores.json instead of the table.")] = False,
) -> int:
    """Score visits: STUDY/PATIENT/VISIT/front.jpg, left.jpg, right.jpg; or single front photos."""
    from masi_vision.cli.run import Order, score_and_show
    from masi_vision.config import load_settings

    order = Order(tuple(paths), out, load_settings(settings), save_masks, not no_overlays, overwrite)
    return score_and_show(order, as_json=as_json)
