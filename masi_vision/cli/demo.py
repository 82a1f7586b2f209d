"""`masi demo`: the photos that come with the package, scored."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import typer

from masi_vision.cli.door import verb

OWN_FOLDER = Path("masi-demo")


def _is_of_the_demo(folder: Path) -> bool:
    """Whether what lies there was made of the demo's own photos: nobody's results are replaced unasked."""
    from masi_vision.phantom.demo import demo_folder
    from masi_vision.report.tables import RUN_JSON

    try:
        run = json.loads((folder / RUN_JSON).read_text(encoding="utf-8"))
        found = {one["sha256"] for one in run["inputs"]}
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return found <= {sha256(photo.read_bytes()).hexdigest() for photo in demo_folder().glob("*/*/*.jpg")}


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
        overwrite=overwrite or (out is None and _is_of_the_demo(OWN_FOLDER)),
    )
    return score_and_show(order)
