"""Versions of what a run was made with."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

_LIBRARIES = ("numpy", "opencv-python-headless", "onnxruntime", "pillow", "simplejpeg")


def library_versions(*more: str) -> dict[str, str]:
    """Python and the libraries that a score depends on, and others that are named."""
    return {"python": platform.python_version()} | {name: _version(name) for name in (*_LIBRARIES, *more)}


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:  # another build of the same library, as conda's py-opencv
        return "installed under another name"
