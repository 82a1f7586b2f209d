"""`masi models`: models as things that are listed, added, verified and chosen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from masi_vision.cli.door import DONE, MUST_CHANGE, verb

if TYPE_CHECKING:
    from masi_vision.config import Settings
    from masi_vision.visit.models import Models

models = typer.Typer(help="Models to score with: list, add, verify, use.", no_args_is_help=True)
_SHOWN = 60
"""Letters of a description in the table."""


@models.command("list")
@verb
def list_() -> int:
    """Say which models there are, which are in use, and whether they can be."""
    from rich.table import Table

    from masi_vision.cli.screen import console
    from masi_vision.report.tables import models_hash
    from masi_vision.visit.store import VARIABLE, has_store, store_folder, stored_models

    table = Table("Name", "In use", "Made with", "Hash", "What", "State")
    code, remarks = DONE, []
    for one in stored_models():
        told = ("", "", "")
        if one.models is not None:
            hashed, what = models_hash(one.models.sha256)[:8], one.models.description
            told = one.models.made_with, hashed, what if len(what) <= _SHOWN else f"{what[:_SHOWN]}..."
            remarks += [f"{one.name}: {remark}" for remark in one.models.remarks]
        state = f"broken: {one.problem}" if one.problem else "ok"
        table.add_row(one.name, "yes" if one.in_use else "", *told, state)
        if one.in_use and one.problem:
            code = MUST_CHANGE
    screen = console()
    screen.print(table)
    without = (
        f"This account has no home folder, and so no added models; {VARIABLE} may name a folder of them."
    )
    for line in (*remarks, f"Added models lie in {store_folder()}." if has_store() else without):
        screen.print(line, soft_wrap=True)
    return code


@models.command()
@verb
def add(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of models, as masi train writes it.")],
    name: Annotated[
        str | None, typer.Option(help="Name; the one in model.json or that of the folder where omitted.")
    ] = None,
) -> int:
    """Verify models and copy them into your own store, under a name."""
    from masi_vision.visit import store

    chosen = store.add(folder, name)
    models = store.verify(store.folder_of(chosen))
    _tell(models.remarks)
    if store.is_shipped_by_another_name(models):
        _tell(
            (
                "Every network of these models is the shipped one. Expected one at least that was trained. "
                "Look whether these are the models that you meant.",
            )
        )
    typer.echo(
        f"Added {chosen}. Score with it: masi models use {chosen}, or masi score ... --models {chosen}"
    )
    return DONE


@models.command()
@verb
def verify(
    which: Annotated[
        str | None, typer.Argument(metavar="[NAME|DIR]", help="Models; those in use where omitted.")
    ] = None,
) -> int:
    """Check every file against its hash, every version, and run each network once."""
    from masi_vision.report.tables import models_hash
    from masi_vision.visit import store

    folder = store.folder_of(which)
    checks = store.check_files(folder)
    for one in checks:
        state = "NOT OK" if one.problem else "ok"
        typer.echo("  ".join(filter(None, (f"{state:6}", one.name, one.sha256, one.problem))))
    if any(one.problem for one in checks):
        typer.echo("These models cannot be used: see NOT OK above.")
        return MUST_CHANGE
    found = store.verify(folder)
    _tell(found.remarks)
    typer.echo(
        f"{found.name}, hash {models_hash(found.sha256)}: every file is the one that its card describes, and "
        "every network runs."
    )
    return DONE


@models.command()
@verb
def use(name: Annotated[str, typer.Argument(help="Name of added models, or shipped.")]) -> int:
    """Use these models from now on, wherever --models is not named."""
    from masi_vision.model_files import SHIPPED
    from masi_vision.visit import store

    found = store.use(name)
    _tell(found.remarks)
    back = "" if name == SHIPPED else " Back: masi models use shipped"
    typer.echo(f"Scores are made with {found.name} from now on.{back}")
    return DONE


def chosen_models(choice: str | None, settings: Settings | None = None) -> Path | None:
    """Folder of the models that a run works with; None for the shipped ones. Others are named on stderr.

    Parameters
    ----------
    choice : str or None
        As given by --models; None for the models in use.
    settings : Settings, optional
        By which is graded: cut points that were fitted to the measures of other models are told on stderr.

    Raises
    ------
    ModelError
        There are none of that name, or they cannot be used.
    """
    from masi_vision.visit.store import folder_of

    folder = None if folder_of(choice) is None else opened_models(choice)[0]
    if settings is not None and settings.scale.fitted_to_models is not None:
        _tell_cut_points(settings.scale.fitted_to_models, folder)
    return folder


def _tell_cut_points(fitted_to: str, folder: Path | None) -> None:
    from masi_vision.report.tables import models_hash
    from masi_vision.visit.models import open_models

    measuring = open_models(folder)
    found = models_hash(measuring.sha256)
    if found != fitted_to:
        typer.echo(
            "masi: the cut points of the settings were fitted to measures of models with the hash "
            f"{fitted_to[:8]}, and {measuring.name} ({found[:8]}) measure. Expected the same ones: name them "
            "with --models, or fit the cut points again with masi calibrate.",
            err=True,
        )


def opened_models(choice: str | None) -> tuple[Path | None, Models]:
    """The same models, opened.

    Raises
    ------
    ModelError
        There are none of that name, or they cannot be used.
    """
    from masi_vision.model_files import SHIPPED
    from masi_vision.report.tables import models_hash
    from masi_vision.visit.models import open_models
    from masi_vision.visit.store import folder_of

    folder = folder_of(choice)
    found = open_models(folder)
    if found.name != SHIPPED:
        hashed = models_hash(found.sha256)[:8]
        typer.echo(f"masi: with the models {found.name} ({hashed}), not the shipped ones.", err=True)
    _tell(found.remarks)
    return folder, found


def _tell(remarks: tuple[str, ...]) -> None:
    for remark in remarks:
        typer.echo(f"masi: {remark}", err=True)
