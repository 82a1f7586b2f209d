"""`masi phantom`: a study whose truth is known, to try everything on."""

from __future__ import annotations

import secrets
from pathlib import Path
from string import ascii_uppercase
from typing import TYPE_CHECKING, Annotated

import typer

from masi_vision.cli.door import DONE, verb
from masi_vision.cli.extras import need_extra
from masi_vision.csv_table import number_in
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
    seed: Annotated[
        int | None,
        typer.Option(min=0, help="The same one makes the same study; drawn and sealed where omitted."),
    ] = None,
    visits: Annotated[int, typer.Option(min=2, help="How many visits: the first before treatment.")] = 3,
    three_views: Annotated[
        bool, typer.Option("--three-views", help="Photograph the head turned to both sides too.")
    ] = False,
    effects: Annotated[
        str,
        typer.Option(help="Share of pigment that is gone in the end, by arm; the mean, before 1 cuts."),
    ] = "0.10,0.25,0.40,0.55",
) -> int:
    """Make a study of people who do not exist: planted melasma, visits, treatment effects by arm, reads."""
    if faces is not None:
        need_extra("train", "photographing phantoms")
    from masi_vision.config import load_settings
    from masi_vision.training.phantom_study import StudyPlan, write_study

    if three_views and faces is None:
        raise OutputError("--three-views makes photos, and there is no face for them. Name --faces DIR.")
    views: tuple[View, ...] = ("front", "left", "right") if three_views else ("front",)
    seed = secrets.randbits(128) if seed is None else seed
    plan = StudyPlan(patients, seed, _arms(effects), visits, views)
    made = write_study(plan, faces, out, load_settings())
    typer.echo(f"{made['patients']} patients, {made['photos']} photos, {made['reads']} reads.")
    where = f"Photos: {out}  " if made["photos"] else ""
    typer.echo(f"{where}Truth, arms and reads: {out.with_name(out.name + '-truth')}")
    return DONE


def _arms(effects: str) -> tuple[Arm, ...]:
    from masi_vision.phantom.cohort import Arm

    numbers = [number_in(one.strip(), 0, 1) for one in effects.split(",")]
    shares = [one for one in numbers if one is not None]
    if len(shares) < len(numbers) or len(shares) > len(ascii_uppercase):
        raise SettingsError(
            f"--effects is {effects!r}. Expected numbers from 0 to 1 with commas between, one for each of at "
            f"most {len(ascii_uppercase)} arms."
        )
    return tuple(Arm(name, share) for name, share in zip(ascii_uppercase, shares, strict=False))
