"""Extras of the installation that a verb needs."""

from __future__ import annotations

from importlib.util import find_spec

from masi_vision.errors import SettingsError

_MODULES = {
    "stats": ("scipy", "matplotlib"),
    "review": ("fastapi", "uvicorn", "sqlalchemy", "alembic", "argon2"),
    "dicom": ("pydicom", "highdicom"),
    "train": ("torch", "segmentation_models_pytorch", "scipy"),
}


def how_to_install(extra: str) -> str:
    """Say how to get an extra, to who has the checkout and to who has the package alone."""
    return (
        f'In the checkout of masi_vision run: pip install ".[{extra}]", or: pip install "FILE.whl[{extra}]"'
    )


def need_extra(extra: str, purpose: str) -> None:
    """Refuse a verb before it begins.

    Raises
    ------
    SettingsError
        A library of the extra is not installed.
    """
    missing = [module for module in _MODULES[extra] if find_spec(module) is None]
    if missing:
        raise SettingsError(
            f'The extra "{extra}" is not installed; it lacks {", ".join(missing)}. Expected it for '
            f"{purpose}. {how_to_install(extra)}"
        )
