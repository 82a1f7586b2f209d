"""Versions of what a run was made with."""

from __future__ import annotations

import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

_LIBRARIES = ("numpy", "opencv-python-headless", "onnxruntime", "pillow", "simplejpeg")
# Extras that decode photos, and what they are imported as.
_DECODERS = {"pi-heif": "pi_heif", "rawpy": "rawpy"}


def library_versions(*more: str) -> dict[str, str]:
    """Python and the libraries that a score depends on, decoders where they are there, and what is named."""
    decoders = [name for name, module in _DECODERS.items() if find_spec(module)]
    names = (*_LIBRARIES, *decoders, *more)
    return {"python": platform.python_version()} | {name: _version(name) for name in names}


@cache  # a process goes on with what it has imported, whatever is installed meanwhile
def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:  # another build of the same library, as conda's py-opencv
        return "installed under another name"
