"""`masi train`: experiments in, a folder of models out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from masi_vision.cli.door import DONE, verb
from masi_vision.cli.extras import need_extra

if TYPE_CHECKING:
    from masi_vision.training.model_folder import Part
    from masi_vision.training.train import Listener


@verb
def train(
    configs: Annotated[
        list[str],
        typer.Argument(
            metavar="CONFIG...", help="Experiments in their order: YAML files, or names of shipped ones."
        ),
    ],
    run: Annotated[Path, typer.Option(help="Folder for checkpoints, logs and the models; goes on if there.")],
    dataset: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Annotated photos, as masi labels import makes them.")
    ] = None,
    faces: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Synthetic faces with landmarks, for experiments on them."),
    ] = None,
    models: Annotated[
        str, typer.Option(metavar="NAME|DIR", help="Models to train on; the shipped ones where omitted.")
    ] = "shipped",
    cache: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where photos are kept as decoded; RUN/cache where omitted."),
    ] = None,
) -> int:
    """Fit networks to annotated photos, and write models that score. Made again, the call goes on."""
    need_extra("train", "training")
    from masi_vision.labels.dataset import read_dataset
    from masi_vision.model_files import shipped_folder
    from masi_vision.training.experiment import load_experiment
    from masi_vision.training.fit import Processes
    from masi_vision.training.runs import Sources
    from masi_vision.training.train import CACHE, MODELS, Named, train_models
    from masi_vision.visit.store import folder_of
    from masi_vision.written import writing

    experiments = [Named(Path(one).stem, load_experiment(one)) for one in configs]
    data = None if dataset is None else read_dataset(dataset)
    sources = Sources(folder_of(models) or shipped_folder(), data, faces, cache or run / CACHE)
    with writing(run), listening() as listener:
        parts = train_models(experiments, sources, run, listener)
    if not Processes().is_first:
        return DONE
    for named, part in zip(experiments, parts, strict=True):
        _tell(named.name, part)
    typer.echo(f"Models: {run / MODELS}  Look at them on the split test: masi evaluate DATASET --models ...")
    return DONE


@contextmanager
def listening() -> Iterator[Listener]:
    """What there is to say of each experiment's data; on stderr a bar, or off a terminal lines for a log."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from masi_vision.cli.screen import console
    from masi_vision.training.train import Listener

    screen = console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}"),
    )
    with Progress(*columns, console=screen, disable=not screen.is_terminal) as bar:
        task = bar.add_task("", total=None, figures="")
        running, last, tenths = "", dict[str, float](), 0

        def begun(name: str, remarks: Sequence[str]) -> None:
            nonlocal running, last, tenths
            running, last, tenths = name, {}, 0
            bar.reset(task, description=name, total=None, figures="")
            for remark in remarks:
                screen.print(remark, soft_wrap=True)

        def stepped(done: int, total: int, figures: dict[str, float]) -> None:
            nonlocal last, tenths
            told = " ".join(f"{key} {value:.3f}" for key, value in figures.items() if key != "score")
            bar.update(task, completed=done, total=total, figures=told)
            if not screen.is_terminal and (figures is not last or 10 * done // total > tenths):
                looked = f"; last look at the validation people: {told}" if told else ""
                screen.print(
                    f"{running}: step {done} of {total} ({done / total:.0%}){looked}", soft_wrap=True
                )
                last, tenths = figures, 10 * done // total

        yield Listener(begun, stepped)


def _tell(name: str, part: Part) -> None:
    fitted, start = part.fitted, part.fitted.figures_at_start
    figures = [
        f"{key} {value:.3g}" + (f" ({start[key]:.3g} at the start)" if key in start else "")
        for key, value in fitted.figures.items()
        if key != "score"
    ]
    typer.echo(
        f"{name}: {fitted.samples:,} samples in {fitted.minutes:.1f} minutes; on the validation people: "
        f"{', '.join(figures) or 'not looked at'}."
    )
    if fitted.is_cut_short:
        patience = part.experiment.schedule.patience
        typer.echo(f"{name}: stopped after {patience} looks without a better one (schedule.patience).")
    if figures and fitted.best_step == 0:
        longer = "Be more patient, or train" if fitted.is_cut_short else "Train longer,"
        typer.echo(
            f"{name}: no look was better than the one at the start, so the network is the one that it began "
            f"with. {longer} at a lower rate, or on more photos."
        )
