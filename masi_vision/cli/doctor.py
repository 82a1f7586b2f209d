"""`masi doctor`: is this installation whole, and does it measure as it should?"""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import typer

from masi_vision.cli.door import DONE, MUST_CHANGE, verb
from masi_vision.cli.extras import how_to_install
from masi_vision.errors import MasiError
from masi_vision.version import __version__

Check = tuple[str, bool, str]
"""Name, whether all is well, and what was found."""

_LIBRARIES = (
    *("numpy", "opencv-python-headless", "onnxruntime", "pillow", "simplejpeg"),
    *("pydantic", "typer", "rich"),
)
# Extra of pyproject.toml to the module that tells whether it is there, and what it is for.
_EXTRAS = {
    "heic": ("pi_heif", "HEIC photos"),
    "raw": ("rawpy", "camera RAW"),
    "stats": ("scipy", "masi agree, outcome, report, calibrate"),
    "review": ("fastapi", "the reading page"),
    "exports": ("pyarrow", "Parquet and SAS files"),
    "dicom": ("highdicom", "DICOM files"),
    "pdf": ("weasyprint", "the report as PDF"),
    "cluster": ("distributed", "Dask"),
    "s3": ("s3fs", "photos at s3://"),
    "train": ("torch", "training, masi phantom"),
}
_WRONG = "Something is wrong: do what stands at FAILED above, or else install masi_vision again."


@verb
def doctor() -> int:
    """Say versions, models and settings, and run a self-test."""
    typer.echo(f"masi_vision {__version__}, Python {platform.python_version()}, {platform.platform()}")
    for line in (*libraries(), *extras()):
        typer.echo(line)
    well = True
    for name, passed, found in _checks():
        typer.echo(f"[{'ok' if passed else 'FAILED'}] {name}: {found}")
        well &= passed
    typer.echo("All is well." if well else _WRONG)
    return DONE if well else MUST_CHANGE


def libraries() -> Iterator[str]:
    """One line per library, with its version."""
    for name in _LIBRARIES:
        try:
            yield f"  {name} {version(name)}"
        except PackageNotFoundError:  # another build of the same library, as conda's py-opencv
            yield f"  {name}: not installed under this name"


def extras() -> Iterator[str]:
    """One line per extra: there, or how to get it."""
    for extra, (module, purpose) in _EXTRAS.items():
        there = find_spec(module) is not None
        yield f"  {purpose}: " + ("yes" if there else f"no. {how_to_install(extra)}")


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
    from masi_vision.config import load_settings, shipped_file

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
