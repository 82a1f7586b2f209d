"""`masi compare`: the visits of each patient laid over the baseline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from masi_vision.cli.door import verb
from masi_vision.cli.options import Accept, ModelsChoice, Out, Overwrite, QualityFile, SettingsFile


@verb
def compare(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH...", help="Visits of one patient, the baseline first; or one study folder."
        ),
    ],
    out: Out,
    settings: SettingsFile = None,
    quality: QualityFile = None,
    accept: Accept = None,
    baseline: Annotated[
        str | None, typer.Option(metavar="VISIT", help="Name of the visit to compare with; else the first.")
    ] = None,
    no_pictures: Annotated[bool, typer.Option("--no-pictures", help="Write no pictures.")] = False,
    overwrite: Overwrite = False,
    models: ModelsChoice = None,
) -> int:
    """Lay every visit over the patient's baseline and measure what changed. Unblinds the order of visits."""
    from masi_vision.cli.changes import compare_and_show
    from masi_vision.cli.models import chosen_models
    from masi_vision.cli.run import Order
    from masi_vision.config import load_settings

    chosen = load_settings(settings, quality, accept=accept or ())
    folder = chosen_models(models, chosen)
    order = Order(tuple(paths), out, chosen, overlays=False, overwrite=overwrite, models=folder)
    return compare_and_show(order, baseline, pictures=not no_pictures)
