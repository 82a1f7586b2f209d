"""`masi evaluate`: how good models are on annotated photographs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from masi_vision.cli.door import DONE, SOME_NOT_SCORED, verb
from masi_vision.cli.options import ModelsChoice, SettingsFile
from masi_vision.errors import DatasetError

if TYPE_CHECKING:
    from masi_vision.config import Settings
    from masi_vision.evaluation.page import Evaluation
    from masi_vision.evaluation.photo_figures import Part, PhotoFigures
    from masi_vision.labels.dataset import Dataset
    from masi_vision.visit.models import Models

PAGE, VALUES = "evaluation.html", "evaluation.json"
_SHOWN_PROBLEMS = 20


@verb
def evaluate(
    dataset: Annotated[Path, typer.Argument(help="Annotated photos: a folder with dataset.csv.")],
    models: ModelsChoice = None,
    against: Annotated[
        str | None, typer.Option(metavar="NAME|DIR", help="Models to compare with, on the same photos.")
    ] = None,
    split: Annotated[
        Literal["test", "validation", "train", "all"], typer.Option(help="Which part of the photos.")
    ] = "test",
    settings: SettingsFile = None,
    out: Annotated[
        Path | None, typer.Option(help=f"Folder for {PAGE} and {VALUES}; nothing is written where omitted.")
    ] = None,
    worst: Annotated[int, typer.Option(min=0, help="How many of the worst photos the page shows.")] = 12,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; one per core where omitted.")] = None,
) -> int:
    """Compare what models draw and measure with what an annotator drew, with intervals by patient."""
    from masi_vision.batch.pool import cores
    from masi_vision.cli import screen
    from masi_vision.cli.models import opened_models
    from masi_vision.config import load_settings
    from masi_vision.evaluation.comparison import compared
    from masi_vision.evaluation.page import Evaluation
    from masi_vision.evaluation.worst import worst_cases
    from masi_vision.labels.dataset import read_dataset, refuse_shared_photos
    from masi_vision.written import try_to_write

    data, chosen = read_dataset(dataset), load_settings(settings)
    refuse_shared_photos(data)
    if out is not None:
        try_to_write(out)
    opened = [opened_models(one) for one in ([models] if against is None else [models, against])]
    names = _names(opened)
    data, remarks = _held_against(
        data, split, dict(zip(names, (folder for folder, _ in opened), strict=True))
    )
    made = [
        _figures(data, folder, chosen, split, workers or cores(), name)
        for (folder, _), name in zip(opened, names, strict=True)
    ]
    figures, others = made[0], made[1] if against is not None else []
    _refuse_unreadable(dataset, figures)
    with_pictures = list(zip(names, [one for _, one in opened], strict=True)) if out is not None else []
    evaluation = Evaluation(
        dataset=dataset.resolve().name,
        split=split,
        settings_sha256=chosen.sha256,
        models={name: one.sha256 for name, (_, one) in zip(names, opened, strict=True)},
        figures=figures,
        others=others,
        differences=compared(figures, others) if others else (),
        remarks=remarks,
        worst=worst_cases(data, figures, with_pictures, chosen, count=worst) if with_pictures else (),
    )
    _show(evaluation)
    if left := len(data.entries if split == "all" else data.part(split)) - len(figures):
        screen.console().print(
            f"{left} more of the split have neither regions nor pigment drawn and count nowhere.",
            soft_wrap=True,
        )
    if out is not None:
        _write(evaluation, out)
    return SOME_NOT_SCORED if evaluation.problems else DONE


def _names(opened: list[tuple[Path | None, Models]]) -> list[str]:
    """Names that differ: where two are one, with the run's, as `masi train` writes RUN/models."""
    names = [one.name for _, one in opened]
    if len(set(names)) < len(names):
        names = [
            f"{folder.resolve().parent.name}/{one.name}" if folder else one.name for folder, one in opened
        ]
    return names if len(set(names)) == len(names) else [f"{name} ({n})" for n, name in enumerate(names, 1)]


def _held_against(data: Dataset, split: Part, models: Mapping[str, Path | None]) -> tuple[Dataset, list[str]]:
    """Say what of a split models learned from, or were chosen by; of the test, leave those patients out.

    Of all models alike: two are compared on the same photos.

    Raises
    ------
    DatasetError
        Nobody is left to test on.
    """
    from masi_vision.evaluation.page import counted

    asked = data.entries if split == "all" else data.part(split)
    learned = {name: _learned(data, folder) for name, folder in models.items()}
    met = {name: [entry for entry in asked if entry.photo in photos] for name, photos in learned.items()}
    if split != "test":
        return data, [
            f"{name} learned from {len(here)} of these photos, or was chosen by them: its figures here are "
            "better than on people it never saw. Expected the split test, for what it is worth on others."
            for name, here in met.items()
            if here
        ]
    known = {entry.patient for here in met.values() for entry in here}
    kept = tuple(entry for entry in data.entries if entry.split != "test" or entry.patient not in known)
    told = [
        f"{name} learned from {counted(len(here), 'photo')} of the split test, or was chosen by them: "
        f"{counted(len({entry.patient for entry in here}), 'patient')} left out. Expected people it never "
        "saw. Keep patients in their splits: masi labels import --splits-of DATASET."
        for name, here in met.items()
        if here
    ]
    if known and not any(entry.split == "test" for entry in kept):
        raise DatasetError(" ".join([*told, "Nobody is left to test on."]))
    return replace(data, entries=kept), told


def _learned(data: Dataset, folder: Path | None) -> set[str]:
    """Photos of a data set that models learned from, or were chosen by; of the shipped ones none is known."""
    from masi_vision.visit.models import datasets_learned, photos_learned

    if folder is None:
        return set()
    met = set[str]()
    if marks := photos_learned(folder):  # else no photo is read: those of a network drive take minutes
        met = {photo for photo, mark in data.photo_marks.items() if mark in marks}
    datasets = datasets_learned(folder)  # all that models say that were made before they kept marks
    if datasets and data.sha256 in datasets:
        met |= {entry.photo for entry in data.entries if entry.split in ("train", "validation")}
    return met


def _figures(
    data: Dataset, folder: Path | None, settings: Settings, split: Part, workers: int, name: str
) -> list[PhotoFigures]:
    from masi_vision.cli import screen
    from masi_vision.evaluation.photo_figures import evaluate_dataset

    with screen.progress(f"Evaluating {name}", "photos") as progress:
        return evaluate_dataset(data, folder, settings, split, workers=workers, progress=progress)


def _refuse_unreadable(dataset: Path, figures: list[PhotoFigures]) -> None:
    """Stop where no photo could be read, and say why of each."""
    if all(one.problem for one in figures):
        reasons = "\n  ".join(f"{one.photo}: {one.problem}" for one in figures[:_SHOWN_PROBLEMS])
        raise DatasetError(
            f"None of the {len(figures)} photos of {dataset} could be read:\n  {reasons}\nExpected pictures "
            "with labels of the same size. Correct the data set."
        )


def _show(evaluation: Evaluation) -> None:
    """Print the table, what the comparison says, and the photos that could not be read."""
    from rich.table import Table

    from masi_vision.cli import screen
    from masi_vision.evaluation.measures import HEADLINES, MEASURES
    from masi_vision.evaluation.page import counted, figure_text

    told = evaluation.groups["all"]
    people = len({photo.patient for photo in told})
    console = screen.console()
    console.print(
        f"{evaluation.dataset}, split {evaluation.split}: {counted(len(told), 'photo')} of "
        f"{counted(people, 'patient')}.",
        soft_wrap=True,
    )
    table = Table("Figure", *evaluation.models)
    columns = [evaluation.summaries["all"], evaluation.other_summary][: len(evaluation.models)]
    for name in HEADLINES:
        values = [figure_text(one[name], name) or "not known here" for one in columns]
        table.add_row(MEASURES[name].title, *values)
    console.print(table)
    for remark in evaluation.remarks:
        console.print(remark, soft_wrap=True)
    for one in evaluation.differences:
        console.print(one.sentence, soft_wrap=True)
    for photo in evaluation.problems[:_SHOWN_PROBLEMS]:
        console.print(f"{photo.photo}: {photo.problem}", soft_wrap=True)
    if len(evaluation.problems) > _SHOWN_PROBLEMS:
        console.print(f"{len(evaluation.problems)} photos could not be read in all.", soft_wrap=True)


def _write(evaluation: Evaluation, out: Path) -> None:
    from masi_vision.cli import screen
    from masi_vision.evaluation.page import to_dict, to_html
    from masi_vision.written import json_text, write_file

    write_file(out / VALUES, json_text(to_dict(evaluation)))
    write_file(out / PAGE, to_html(evaluation))
    screen.console().print(f"Page: {out / PAGE}", soft_wrap=True)
