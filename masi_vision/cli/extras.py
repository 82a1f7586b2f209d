"""Extras of the installation: what each is for, whether it is there, and how to get it."""

from __future__ import annotations

from importlib.util import find_spec

from masi_vision.errors import SettingsError, how_to_install

EXTRAS = {
    "heic": ("HEIC photos", ("pi_heif",)),
    "raw": ("camera RAW", ("rawpy",)),
    "stats": ("masi agree, outcome, report, calibrate", ("scipy", "matplotlib")),
    "review": (
        "the reading page",
        ("fastapi", "uvicorn", "sqlalchemy", "alembic", "argon2", "python_multipart"),
    ),
    "exports": ("Parquet and SAS files", ("pandas", "pyarrow", "pyreadstat")),
    "dicom": ("DICOM files", ("pydicom", "highdicom")),
    "pdf": ("the report as PDF", ("weasyprint",)),
    "cluster": ("Dask", ("distributed", "upath")),
    "s3": ("photos at s3://", ("s3fs",)),
    "train": ("training, masi phantom --faces", ("torch", "segmentation_models_pytorch", "onnx", "scipy")),
}
"""Extras of pyproject.toml: what for, and the modules that tell whether it is there."""


def missing(extra: str) -> list[str]:
    """Modules of an extra that are not installed."""
    return [module for module in EXTRAS[extra][1] if find_spec(module) is None]


def need_extra(extra: str, purpose: str) -> None:
    """Refuse a verb before it begins.

    Raises
    ------
    SettingsError
        A library of the extra is not installed.
    """
    if lacking := missing(extra):
        raise SettingsError(
            f'The extra "{extra}" is not installed; it lacks {", ".join(lacking)}. Expected it for '
            f"{purpose}. {how_to_install(extra)}"
        )
