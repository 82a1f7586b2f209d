"""`masi labels`: a site's own annotations, brought in, suggested and checked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from masi_vision.cli.door import DONE, SOME_NOT_SCORED, verb
from masi_vision.cli.options import ModelsChoice, SettingsFile
from masi_vision.cli.tables import say_nearly_alike
from masi_vision.errors import SettingsError

if TYPE_CHECKING:
    from rich.table import Table

    from masi_vision.labels.check import DatasetContents

labels = typer.Typer(
    help="A site's own annotated photographs: bring them in, suggest labels to correct, check a data set.",
    no_args_is_help=True,
)


@labels.command("import")
@verb
def import_(
    source: Annotated[
        Path,
        typer.Argument(help="COCO or Label Studio JSON, XML or ZIP of CVAT, folder of labelme JSON or PNG."),
    ],
    photos: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the photos that were annotated.")],
    out: Annotated[Path, typer.Option(metavar="DATASET", help="Folder of the data set; new or empty.")],
    table: Annotated[
        Path | None,
        typer.Option(metavar="CSV", help="With photo, patient, and perhaps visit, view, site, split."),
    ] = None,
    classes: Annotated[
        list[str] | None,
        typer.Option(
            "--class", metavar="THEIRS=OURS", help="What a class of yours is, or =skip; can be given again."
        ),
    ] = None,
    each_photo_is_a_patient: Annotated[
        bool, typer.Option("--each-photo-is-a-patient", help="No two photos show the same person.")
    ] = False,
    splits_of: Annotated[
        Path | None,
        typer.Option(metavar="DATASET", help="An earlier data set, whose patients keep their splits."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed makes the same splits.")] = 1,
    settings: SettingsFile = None,
    models: ModelsChoice = None,
) -> int:
    """Make a data set of annotated photos: region codes, pigment, landmarks, and splits by patient."""
    from masi_vision.cli.models import chosen_models
    from masi_vision.cli.screen import console, progress
    from masi_vision.config import load_settings
    from masi_vision.labels.check import check_dataset
    from masi_vision.labels.classes import mapped_classes
    from masi_vision.labels.dataset import read_dataset
    from masi_vision.labels.importing import ImportPlan, import_labels, match_photos, refuse_used
    from masi_vision.labels.people import people_by_folder, people_by_table, with_splits_of
    from masi_vision.labels.photo_folder import open_photos
    from masi_vision.labels.source import read_export
    from masi_vision.visit.models import open_models

    if table is not None and each_photo_is_a_patient:
        raise SettingsError("--table and --each-photo-is-a-patient contradict each other. Expected one.")
    refuse_used(out)
    chosen, folder = load_settings(settings), chosen_models(models)
    export = read_export(source)
    meaning = mapped_classes(classes or (), export)
    found = open_photos(photos, chosen.views)
    matched = match_photos(export, found)
    if table is not None:
        people = people_by_table(table, found)
    else:
        people = people_by_folder(matched.photos, found, each_is_a_patient=each_photo_is_a_patient)
    kept = []
    if splits_of is not None:
        people, told = with_splits_of(people, found, read_dataset(splits_of))
        kept.append(told)
    plan = ImportPlan(export, meaning, found, matched, people)
    face = open_models(folder).face
    with progress("Importing", "photos") as step:
        imported = import_labels(plan, out, face=face, settings=chosen, seed=seed, progress=step)
    with progress("Checking", "photos") as step:
        contents = check_dataset(imported.data, step)
    screen = console()
    for line in (*export.remarks, *kept, *imported.remarks, *imported.left_out):
        screen.print(line, soft_wrap=True)
    show_contents(contents)
    say_nearly_alike({one.patient for one in imported.data.entries})
    left = f" {len(imported.left_out)} not used, see above." if imported.left_out else ""
    screen.print(f"{len(imported.data.entries)} photos of {export.kind} in {out}.{left}", soft_wrap=True)
    return SOME_NOT_SCORED if imported.left_out or contents.problems else DONE


@labels.command()
@verb
def suggest(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Photos, or folders of them.")],
    out: Annotated[Path, typer.Option(help="Folder for the suggestions; new or empty.")],
    settings: SettingsFile = None,
    models: ModelsChoice = None,
) -> int:
    """Write what the models see, for annotators to correct: COCO, and tasks for Label Studio."""
    from masi_vision.cli.models import chosen_models
    from masi_vision.cli.screen import console, progress
    from masi_vision.config import load_settings
    from masi_vision.labels.importing import refuse_used
    from masi_vision.labels.suggest import list_photos
    from masi_vision.labels.suggest import suggest as suggested
    from masi_vision.labels.suggestion_files import COCO, CONFIG, TASKS, write_suggestions
    from masi_vision.version import __version__
    from masi_vision.visit.models import open_models
    from masi_vision.written import try_to_write

    refuse_used(out)
    try_to_write(out)
    chosen, opened = load_settings(settings), open_models(chosen_models(models))
    photos = list_photos(paths)
    version = f"masi_vision {__version__}, models {opened.name}"
    with progress("Suggesting", "photos") as step:
        seen = (
            one
            for done, one in enumerate(suggested(photos, chosen, opened), 1)
            if step(done, len(photos.files)) is None
        )
        problems = write_suggestions(seen, photos, out, model_version=version)
    screen = console()
    for line in problems:
        screen.print(line, soft_wrap=True)
    screen.print(f"Labels suggested for {len(photos.files) - len(problems)} of {len(photos.files)} photos.")
    screen.print(f"{out / COCO}  {out / TASKS}  {out / CONFIG}", soft_wrap=True)
    return SOME_NOT_SCORED if problems else DONE


@labels.command()
@verb
def check(dataset: Annotated[Path, typer.Argument(metavar="DATASET", help="Folder of a data set.")]) -> int:
    """Read a whole data set; say what it holds and everything that is wrong with it."""
    from masi_vision.cli.screen import console, progress
    from masi_vision.labels.check import check_dataset
    from masi_vision.labels.dataset import read_dataset

    with progress("Checking", "photos") as step:
        data = read_dataset(dataset)
        contents = check_dataset(data, step)
    show_contents(contents)
    say_nearly_alike({one.patient for one in data.entries})
    words = f"{len(contents.problems)} problems, see above." if contents.problems else "Nothing is wrong."
    look = " Look at what is said above." if contents.remarks and not contents.problems else ""
    console().print(f"{words}{look}")
    return SOME_NOT_SCORED if contents.problems else DONE


def show_contents(contents: DatasetContents) -> None:
    """Print what a data set holds, split by split."""
    from masi_vision.cli.screen import console

    screen = console()
    screen.print(_contents_table(contents))
    if contents.no_face:
        names = ", ".join(contents.no_face)
        screen.print(f"No face was found in {len(contents.no_face)} photos: {names}.", soft_wrap=True)
    for line in (*contents.remarks, *contents.problems):
        screen.print(line, soft_wrap=True)


def _contents_table(contents: DatasetContents) -> Table:
    from rich.table import Table

    from masi_vision.labels.dataset import SPLITS

    table = Table(caption="Regions: share of the labelled skin. Tones: photos by typology angle.")
    table.add_column("")
    for split in SPLITS:
        table.add_column(split.capitalize(), justify="right")
    numbers = {"Patients": contents.patients, "Photos": contents.photos, "with pigment": contents.pigment}
    for name, by_split in numbers.items():
        table.add_row(name, *(str(by_split[split]) for split in SPLITS))
    table.add_section()
    for name, shares in contents.regions.items():
        table.add_row(name.replace("_", " ").capitalize(), *(f"{shares[split]:.1%}" for split in SPLITS))
    table.add_section()
    for name, counts in contents.tones.items():
        table.add_row(f"Tone: {name}", *(str(counts[split]) for split in SPLITS))
    return table
