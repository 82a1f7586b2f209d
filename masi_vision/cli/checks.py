"""Checks of an installation, as `masi doctor` and `masi selftest` tell them."""

from __future__ import annotations

import platform
from collections.abc import Iterable

import typer

from masi_vision.source_code import version_and_code

Check = tuple[str, bool, str]
"""Name, whether all is well, and what was found."""


def installation() -> str:
    """What is checked: the version, with its code, on which Python and system."""
    return f"masi_vision {version_and_code()}, Python {platform.python_version()}, {platform.platform()}"


def told(checks: Iterable[Check]) -> bool:
    """Say every check, one after the other; whether all is well."""
    well = True
    for name, passed, found in checks:
        typer.echo(f"[{'ok' if passed else 'FAILED'}] {name}: {found}")
        well &= passed
    return well
