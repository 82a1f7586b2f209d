"""The demo study that comes with the package."""

from __future__ import annotations

from pathlib import Path


def demo_folder() -> Path:
    """Folder PATIENT/VISIT/VIEW.jpg of people who do not exist; truth.json says what was planted."""
    return Path(__file__).with_name("demo_study")
