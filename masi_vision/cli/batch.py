"""`masi batch`: every visit of a study, once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from masi_vision.cli.door import verb
from masi_vision.cli.options import Accept, ModelsChoice, QualityFile, SettingsFile

if TYPE_CHECKING:
    from masi_vision.batch.shard import Shard

_EVERY_S = 30.0


@verb
def batch(
    study: Annotated[
        str, typer.Argument(metavar="STUDY", help="Folder STUDY/PATIENT/VISIT, or a manifest (.csv).")
    ],
    out: Annotated[str, typer.Option(help="Folder for the results; kept and gone on with when it is there.")],
    settings: SettingsFile = None,
    quality: QualityFile = None,
    accept: Accept = None,
    models: ModelsChoice = None,
    overlays: Annotated[bool, typer.Option("--overlays", help="Write an overlay of each photo.")] = False,
    save_masks: Annotated[
        bool, typer.Option("--save-masks", help="Write regions, lesion and pigment as PNG too.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; as many as cores where omitted.")
    ] = None,
    time_limit: Annotated[
        float, typer.Option(min=1, max=1e6, help="Seconds that one visit may take.")
    ] = 300.0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on looking for new visits until stopped.")
    ] = False,
    every: Annotated[
        float | None,
        typer.Option(min=0.1, max=1e6, help="Seconds between two looks of --watch; 30 where omitted."),
    ] = None,
    shard: Annotated[
        str | None, typer.Option(metavar="I/N", help="Do part I of N; a run without it gathers all parts.")
    ] = None,
    cluster: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Score on the Dask cluster of this scheduler.")
    ] = None,
) -> int:
    """Score all visits of a study; what was scored before is not scored again."""
    from masi_vision.cli.models import chosen_models
    from masi_vision.cli.studies import StudyOrder, run_study
    from masi_vision.config import load_settings
    from masi_vision.errors import StudyError
    from masi_vision.report.pictures import MASKS, OVERLAYS

    if dry_run and watch:
        raise StudyError("--dry-run looks once, and --watch goes on looking. Expected one of them.")
    if every is not None and not watch:
        raise StudyError("--every is given without --watch, which alone looks again. Expected both.")
    chosen = load_settings(settings, quality, accept=accept or ())
    order = StudyOrder(
        study,
        out,
        chosen,
        pictures=(OVERLAYS,) * overlays + (MASKS,) * save_masks,
        workers=workers,
        time_limit_s=time_limit,
        shard=None if shard is None else _shard(shard),
        cluster=cluster,
        models=chosen_models(models, chosen),
    )
    return run_study(order, dry_run=dry_run, watch_every_s=(every or _EVERY_S) if watch else None)


def _shard(text: str) -> Shard:
    from masi_vision.batch.shard import Shard
    from masi_vision.errors import StudyError

    try:
        return Shard.parse(text)
    except ValueError as error:
        raise StudyError(
            f"--shard cannot be used: {error}. Expected such as 2/8: the second of eight."
        ) from error
