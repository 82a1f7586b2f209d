"""Options that several verbs share."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Annotated

import typer

from masi_vision.errors import MasiError, OutputError
from masi_vision.written import try_to_write

PhotoPaths = Annotated[
    list[Path], typer.Argument(metavar="PATH...", help="Photos, visit folders or study folders.")
]
Out = Annotated[Path, typer.Option(help="Folder for the results; made if it does not exist.")]
SettingsFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Settings; the shipped ones where omitted.")
]
QualityFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Limits of quality; the shipped ones where omitted.")
]
Accept = Annotated[
    list[str] | None,
    typer.Option(
        metavar="CHECK[@PATIENT/VISIT/VIEW]",
        help="A check of quality that may fail and is recorded; can be given again.",
    ),
]
ModelsChoice = Annotated[
    str | None,
    typer.Option(
        "--models", metavar="NAME|DIR", help="Models to score with; those in use where omitted (masi models)."
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the results in the folder.")]


def is_coded_set(folder: Path) -> bool:
    """Whether a folder is one of `masi blind`."""
    return (folder / "set.json").is_file() and (folder / "orders").is_dir()


def refuse_coded_set(out: Path) -> None:
    """Refuse a folder in a coded set: readers get all that lies there, names and scores too.

    Raises
    ------
    OutputError
    """
    if within := [one for one in (out.resolve(), *out.resolve().parents) if is_coded_set(one)]:
        raise OutputError(
            f"{out} lies in the coded set {within[0]}, which readers get. Expected another folder. Name one."
        )


def refuse_photos(out: str, below: Collection[Path]) -> None:
    """Refuse a folder or address of photos for results: every later run would pass over what lies there.

    Parameters
    ----------
    below : collection of Path
        All files there, from it on. Where results lie already it is theirs.

    Raises
    ------
    OutputError
    """
    from masi_vision.batch.ledger import LEDGER
    from masi_vision.photo import printable_name
    from masi_vision.report.pictures import MASKS, OVERLAYS
    from masi_vision.visit.folder import RESULTS_MARK, SHARDS, is_photo

    if Path() in below:
        raise OutputError(f"{out} is a file. Expected a folder. Name another with --out.")
    if any(file.parts[0] in (LEDGER, RESULTS_MARK, SHARDS) for file in below):
        return
    for file in below:
        if is_photo(file) and file.parts[0] not in (OVERLAYS, MASKS):
            raise OutputError(
                f"{out} holds photos, such as {printable_name(file)}. Expected a place of its own: photos "
                "beside results are passed over. Name another with --out."
            )


def make_ready(out: Path, names: Iterable[str], *, overwrite: bool) -> None:
    """Before the work: refuse a folder that holds one of these files already, or cannot be written.

    Raises
    ------
    OutputError
    """
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out} is a file. Expected a folder. Name another.")
    refuse_coded_set(out)
    held = [name for name in names if (out / name).exists()]
    if held and not overwrite:
        raise OutputError(f"{out / held[0]} is there already. Expected a new folder, or --overwrite.")
    try_to_write(out)


def secret(
    what: str, file: Path | None, option: str, refused: type[MasiError], *, twice: bool = False
) -> str:
    """A passphrase or password: typed where nobody sees it, or the first line of a file.

    Raises
    ------
    MasiError
        Of the kind ``refused``: none was typed, or the file cannot be read.
    """
    if file is None:
        try:
            return str(typer.prompt(what.capitalize(), hide_input=True, confirmation_prompt=twice, err=True))
        except typer.Abort as error:
            raise refused(
                f"No {what} was given. Expected one: type it where it is asked for, or name a file with "
                f"{option}."
            ) from error
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise refused(f"{file} cannot be read. Expected a text file with the {what}.") from error
    return lines[0] if lines else ""
