"""Lets a CPU build of PyTorch import the torchvision that PyPI serves.

PyPI's Linux torchvision is a CUDA build. Beside a CPU build of torch its compiled extension does
not load, and its Python part then fails with "operator torchvision::nms does not exist", and with it
timm and segmentation-models-pytorch. None of its operators is used here: declaring the two schemas
that it registers fakes for is enough. Where the extension loads, nothing is done.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_library: torch.library.Library | None = None


def _extension_loads() -> bool:
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return False
    extensions = sorted(Path(spec.origin).parent.glob("_C*.so")) + sorted(
        Path(spec.origin).parent.glob("_C*.pyd")
    )
    try:
        for extension in extensions:
            torch.ops.load_library(str(extension))
    except OSError:
        return False
    return bool(extensions)


def make_importable() -> None:
    """Declare torchvision's missing operators, once, if its extension does not load."""
    global _library
    if _library is None and not _extension_loads():
        _library = torch.library.Library("torchvision", "FRAGMENT")
        for schema in _SCHEMAS:
            _library.define(schema)


make_importable()
