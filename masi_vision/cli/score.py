"""`masi score`: photos in, tables and overlays out."""

from __future__ import annotations

from typing import Annotated

import typer

from masi_vision.cli.door import verb
from masi_vision.cli.options import (
    Accept,
    ModelsChoice,
    Out,
    Overwrite,
    PhotoPaths,
    QualityFile,
    SettingsFile,
)


@verb
def score(
    paths: PhotoPaths,
    out: Out,
    settings: SettingsFile = None,
    quality: QualityFile = None,
    accept: Accept = None,
    save_masks: Annotated[
        bool, typer.Option("--save-masks", help="Write regions, lesion and pigment as PNG too.")
    ] = False,
    no_overlays: Annotated[bool, typer.Option("--no-overlays", help="Write no pictures.")] = False,
    overwrite: Overwrite = False,
    models: ModelsChoice = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print scores.json instead of the table.")] = False,
) -> int:
    """Score visits: STUDY/PATIENT/VISIT/front.jpg, left.jpg, right.jpg; or single front photos."""
    from masi_vision.cli.models import chosen_models
    from masi_vision.cli.run import Order, score_and_show
    from masi_vision.config import load_settings

    chosen = load_settings(settings, quality, accept=accept or ())
    folder = chosen_models(models, chosen)
    order = Order(tuple(paths), out, chosen, save_masks, not no_overlays, overwrite, folder)
    return score_and_show(order, as_json=as_json)
