"""`masi doctor`: is this installation whole, and does it measure as it should?"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import typer

from masi_vision.cli.checks import Check, installation, told
from masi_vision.cli.door import DONE, MUST_CHANGE, verb
from masi_vision.cli.extras import EXTRAS, missing
from masi_vision.errors import MasiError, how_to_install
from masi_vision.report.versions import library_versions

_ALSO = ("pydantic", "typer", "rich")
_WRONG = "Something is wrong: do what stands at FAILED above, or else install masi_vision again."


@verb
def doctor() -> int:
    """Say versions, models and settings, and run a self-test."""
    typer.echo(installation())
    for name, version in library_versions(*_ALSO).items():
        typer.echo(f"  {name} {version}")
    for line in extras():
        typer.echo(line)
    well = told(_checks())
    typer.echo("All is well." if well else _WRONG)
    return DONE if well else MUST_CHANGE


def extras() -> Iterator[str]:
    """One line per extra: there, or how to get it."""
    for extra, (purpose, _) in EXTRAS.items():
        lacking = missing(extra)
        yield f"  {purpose}: " + (
            f"no, for want of {', '.join(lacking)}. {how_to_install(extra)}" if lacking else "yes"
        )


def _checks() -> Iterator[Check]:
    yield settings_check()
    yield from model_checks()
    yield models_in_use_check()
    yield temporary_files_check()
    try:
        from masi_vision.cli.selftest import run_selftest

        yield from run_selftest()
    except Exception as error:  # whatever is wrong here is what a person asked to know
        yield "self-test", False, f"{type(error).__name__}: {error}"


def settings_check() -> Check:
    """The shipped settings are there and usable."""
    from masi_vision.config import load_settings
    from masi_vision.shipped import shipped_file

    try:
        file, settings = shipped_file("configs", "scoring.yaml"), load_settings()
    except MasiError as error:
        return "settings", False, str(error)
    return "settings", True, f"{file}, SHA-256 {settings.sha256}"


def model_checks() -> Iterator[Check]:
    """Every file of the shipped models is the one its card describes; the self-test scores with them."""
    from masi_vision.visit.store import check_files

    try:
        for one in check_files(None):
            found = f"SHA-256 {one.sha256}" if one.sha256 else "a card"
            yield f"model {one.name}", not one.problem, one.problem or found
    except MasiError as error:
        yield "models", False, str(error)


def models_in_use_check() -> Check:
    """The models that the command line scores with run: the shipped ones, or what masi models use chose."""
    from masi_vision.report.tables import models_hash
    from masi_vision.visit.store import folder_of, verify

    try:
        found = verify(folder_of())
    except MasiError as error:
        return "models in use", False, str(error)
    return (
        "models in use",
        True,
        " ".join((f"{found.name}, hash {models_hash(found.sha256)}", *found.remarks)),
    )


def temporary_files_check() -> Check:
    """Files can be written."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "written.txt").write_text("masi")
    except OSError as error:
        return "temporary files", False, f"cannot be written: {error}"
    return "temporary files", True, "can be written"
