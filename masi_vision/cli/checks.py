"""Checks of an installation, as `masi doctor` and `masi selftest` tell them."""

from __future__ import annotations

from collections.abc import Iterable

import typer

Check = tuple[str, bool, str]
"""Name, whether all is well, and what was found."""


def told(checks: Iterable[Check]) -> bool:
    """Say every check, one after the other; whether all is well."""
    well = True
    for name, passed, found in checks:
        typer.echo(f"[{'ok' if passed else 'FAILED'}] {name}: {found}")
        well &= passed
    return well
