"""MASI scores of melasma from standardized facial photographs.

from masi_vision import score_photo

result = score_photo("front.jpg")
print(result.status, result.scores)
"""

from __future__ import annotations

import os

# ONNX Runtime reports usage over the network and keeps an identifier of the device; its own call to stop that
# comes too late, so this stands before whatever imports it.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

from masi_vision.config import Settings, load_settings
from masi_vision.errors import MasiError, ModelError, NotScorable, PhotoUnreadable, SettingsError
from masi_vision.photo import Photo, read_photo
from masi_vision.scale import MasiScore, RegionGrade
from masi_vision.version import __version__
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
