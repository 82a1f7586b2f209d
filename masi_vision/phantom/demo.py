"""The demo study that comes with the package."""

from __future__ import annotations

from pathlib import Path


def demo_folder() -> Path:
    """Folder PATIENT/VISIT/VIEW.jpg of people who do not exist, with planted pigment; truth.json beside it."""
    return Path(__file__).with_name("demo_study")
