"""`masi demo`: the photos that come with the package, scored."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from masi_vision.cli.door import verb

OWN_FOLDER = Path("masi-demo")


@verb
def demo(
    out: Annotated[
        Path | None, typer.Option(help="Folder for the results; masi-demo, made anew, where omitted.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the results in the folder.")
    ] = False,
) -> int:
    """Score photos of people who do not exist, by the shipped models and settings; say where to look."""
    from masi_vision.cli.run import Order, score_and_show
    from masi_vision.config import load_settings
    from masi_vision.phantom.demo import demo_folder

    order = Order(
        paths=(demo_folder(),),
        out=out or OWN_FOLDER,
        settings=load_settings(),
        save_masks=True,
        overwrite=overwrite or out is None,
    )
    return score_and_show(order)
