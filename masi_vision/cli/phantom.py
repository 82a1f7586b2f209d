"""`masi phantom`: a study whose truth is known, to try everything on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from masi_vision.cli.door import DONE, verb
from masi_vision.cli.extras import need_extra
from masi_vision.errors import OutputError, SettingsError

if TYPE_CHECKING:
    from masi_vision.names import View
    from masi_vision.phantom.cohort import Arm


@verb
def phantom(
    out: Annotated[Path, typer.Option(help="Folder of the study; made. Truth goes to OUT-truth beside it.")],
    faces: Annotated[
        Path | None,
        typer.Option(help="Folder of face photographs with landmarks; without it, truth and reads alone."),
    ] = None,
    patients: Annotated[int, typer.Option(min=1, help="How many patients.")] = 80,
    seed: Annotated[int, typer.Option(min=0, help="The same seed makes the same study.")] = 1,
    visits: Annotated[int, typer.Option(min=2, help="How many visits: the first before treatment.")] = 3,
    three_views: Annotated[
        bool, typer.Option("--three-views", help="Photograph the head turned to both sides too.")
    ] = False,
    effects: Annotated[
        str, typer.Option(help="Mean share of pigment that is gone in the end, by arm.")
    ] = "0.10,0.25,0.40,0.55",
) -> int:
    """Make a study of people who do not exist: planted melasma, visits, treatment effects by arm, reads."""
    need_extra("train", "making phantoms")
    from masi_vision.config import load_settings
    from masi_vision.training.phantom_study import StudyPlan, write_study

    if three_views and faces is None:
        raise OutputError("--three-views makes photos, and there is no face for them. Name --faces DIR.")
    views: tuple[View, ...] = ("front", "left", "right") if three_views else ("front",)
    plan = StudyPlan(patients, seed, _arms(effects), visits, views)
    made = write_study(plan, faces, out, load_settings())
    typer.echo(f"{made['patients']} patients, {made['photos']} photos, {made['reads']} reads.")
    where = f"Photos: {out}  " if made["photos"] else ""
    typer.echo(f"{where}Truth, arms and reads: {out.with_name(out.name + '-truth')}")
    return DONE


def _arms(effects: str) -> tuple[Arm, ...]:
    from masi_vision.phantom.cohort import Arm

    try:
        return tuple(Arm(chr(ord("A") + n), float(e)) for n, e in enumerate(effects.split(",")))
    except ValueError as error:
        raise SettingsError(
            f"--effects is {effects!r} ({error}). Expected numbers from 0 to 1 with commas between."
        ) from error
