"""Verbs analyse and draw the same few tables again and again; tests/stats and tests/report hold how."""

from importlib import import_module

import pytest
from remembered import remembered_by_values

_LASTING = {
    "masi_vision.stats.panel": ("findings",),
    "masi_vision.stats.cut_points": ("fitted",),
    "masi_vision.stats.outcome": ("outcome",),
    "masi_vision.report.figures": (
        "bland_altman_figure",
        "distribution_figure",
        "forest_figure",
        "trajectories_figure",
    ),
}
"""What takes half a second and more, each time."""


@pytest.fixture(scope="module", autouse=True)
def figures_that_are_computed_once():
    """What tables of these very values say and show, their figures and pictures, is not computed again."""
    with pytest.MonkeyPatch.context() as patch:
        for place, names in _LASTING.items():
            module = import_module(place)
            for name in names:
                patch.setattr(module, name, remembered_by_values(getattr(module, name)))
        yield
