"""MASI scores of melasma from standardized facial photographs.

from masi_vision import score_photo

result = score_photo("front.jpg")
print(result.status, result.scores)
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING

# ONNX Runtime reports usage over the network and keeps an identifier of the device; its own call to stop that
# comes too late, so this stands before whatever imports it.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

from masi_vision.errors import MasiError, ModelError, NotScorable, PhotoUnreadable, SettingsError
from masi_vision.version import __version__

if TYPE_CHECKING:
    from masi_vision.config import Settings, load_settings
    from masi_vision.photo import Photo, read_photo
    from masi_vision.scale import MasiScore, RegionGrade
    from masi_vision.visit.compare import VisitChange, compare_visits
    from masi_vision.visit.models import open_models
    from masi_vision.visit.region import RegionResult
    from masi_vision.visit.score import PhotoScore, Scores, VisitScore, score_photo, score_visit

__all__ = [
    "MasiError",
    "MasiScore",
    "ModelError",
    "NotScorable",
    "Photo",
    "PhotoScore",
    "PhotoUnreadable",
    "RegionGrade",
    "RegionResult",
    "Scores",
    "Settings",
    "SettingsError",
    "VisitChange",
    "VisitScore",
    "__version__",
    "compare_visits",
    "load_settings",
    "open_models",
    "read_photo",
    "score_photo",
    "score_visit",
]

_MODULES = {
    "config": ("Settings", "load_settings"),
    "photo": ("Photo", "read_photo"),
    "scale": ("MasiScore", "RegionGrade"),
    "visit.compare": ("VisitChange", "compare_visits"),
    "visit.models": ("open_models",),
    "visit.region": ("RegionResult",),
    "visit.score": ("PhotoScore", "Scores", "VisitScore", "score_photo", "score_visit"),
}

if not TYPE_CHECKING:

    def __getattr__(name):
        """Import a public name when it is first asked for: where a library is broken `masi` has to say so."""
        for module, names in _MODULES.items():
            if name in names:
                return getattr(import_module(f"masi_vision.{module}"), name)
        if below := [module for module in _MODULES if module.partition(".")[0] == name]:
            for module in below:
                import_module(f"masi_vision.{module}")
            return import_module(f"masi_vision.{name}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__():
        return sorted({*globals(), *__all__})
