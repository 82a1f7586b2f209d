"""Files that come with masi_vision: its configs and its models."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from masi_vision.errors import SettingsError


def shipped_file(kind: Literal["configs", "models"], name: str) -> Path:
    """Path of a file that comes with masi_vision, from an installed wheel or a checkout of the repository."""
    package = Path(__file__).resolve().parent
    places = (package / kind / name, package.parent / kind / name)
    for place in places:
        if place.is_file():
            return place
    raise SettingsError(
        f"{kind}/{name} was not found. Expected at {places[0]} or {places[1]}. Install masi_vision again."
    )
