"""`masi qc`: are these photos good enough to be scored?"""

from __future__ import annotations

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
def qc(
    paths: PhotoPaths,
    out: Out,
    settings: SettingsFile = None,
    quality: QualityFile = None,
    accept: Accept = None,
    overwrite: Overwrite = False,
    models: ModelsChoice = None,
) -> int:
    """Check photos on the day they are taken: focus, light, pose, hidden skin. Unblinds order of visits."""
    from masi_vision.cli.gate import check_and_show
    from masi_vision.cli.models import chosen_models
    from masi_vision.cli.run import Order
    from masi_vision.config import load_settings

    chosen = load_settings(settings, quality, accept=accept or ())
    order = Order(
        tuple(paths), out, chosen, overlays=False, overwrite=overwrite, models=chosen_models(models)
    )
    return check_and_show(order)
