"""The words of the pages, in English and Chinese."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from masi_vision.config import read_yaml


@lru_cache(maxsize=8)
def texts(language: str) -> dict[str, Any]:
    """The words of a language."""
    return {str(key): value for key, value in read_yaml(Path(__file__).parent / f"{language}.yaml").items()}
