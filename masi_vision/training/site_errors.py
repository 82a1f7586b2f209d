"""The intervals of models fitted to a site, held against what was drawn on its validation patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np

from masi_vision.config import load_settings
from masi_vision.evaluation.photo_figures import evaluate_dataset
from masi_vision.evaluation.region_figures import RegionFigures
from masi_vision.labels.dataset import Dataset
from masi_vision.model_files import read_json
from masi_vision.pigment import learned
from masi_vision.pigment.interval import Band, MeasureError
from masi_vision.scale import MASI_REGIONS
from masi_vision.training.model_folder import write_card
from masi_vision.training.pigment_figures import LEVEL
from masi_vision.visit.models import PIGMENT_CARD, forget_opened, open_models

_LEAST_KNOWN = 20
_PATIENTS = 20
"""So many patients weigh as much as the tables: of twelve drawn out of 72, on whom 1.16 times the width held
nine in ten, nine draws in ten asked for something between 1.0 and 1.85."""
_WIDEST = 10.0
"""Times; an interval that misses even so is not mended by width."""
_ROUNDED = 1e-4


@dataclass(frozen=True)
class Known:
    """A pigmented fraction found, with its interval, and the one that was drawn."""

    patient: str
    found: float
    low: float
    high: float
    true: float

    @property
    def times(self) -> float:
        """How many times as wide its interval would reach the true one."""
        room = self.high - self.found if self.true > self.found else self.found - self.low
        return abs(self.true - self.found) / max(room, _ROUNDED)


def widen_to_site(models: Path, data: Dataset) -> str:
    """Widen the intervals of a folder of models where they hold too few of the fractions drawn.

    Returns
    -------
    str
        What was done, as the card says it.
    """
    forget_opened()
    error = open_models(models).pigment.errors[learned.METHOD]
    wider, told = site_error(error, known_fractions(models, data))
    file = models / PIGMENT_CARD
    card = read_json(file)
    card["errors"][learned.METHOD] = asdict(wider)
    write_card(card | {"errors_from": told}, file)
    forget_opened()
    return told


def site_error(error: MeasureError, known: Sequence[Known]) -> tuple[MeasureError, str]:
    """The error as wide as a site's fractions ask for, and what was done.

    Notes
    -----
    The tables were measured with another network, on phantoms. Where they hold nine in ten fractions of n
    patients when they are ``times`` as wide, they become times ** (n / (n + 20)) as wide. Outlines say how
    large pigment is and not how dense: intervals of the contrast are widened as those of the fraction. None
    is ever made narrower.
    """
    if len(known) < _LEAST_KNOWN:
        return error, (
            f"Those of the models that were trained on. {len(known)} pigmented fractions drawn on the "
            f"validation patients are too few to hold them against: {_LEAST_KNOWN} are needed."
        )
    patients = len({one.patient for one in known})
    times = times_wider(known) ** (patients / (patients + _PATIENTS))
    before, after = (
        f"{np.mean([one.times <= width + _ROUNDED for one in known]):.0%}" for width in (1, times)
    )
    return widened(error, times), (
        f"Those of the models that were trained on, {times:.2f} times as wide: of {len(known)} pigmented "
        f"fractions drawn on {patients} validation patients they hold {after}, {before} before."
    )


def known_fractions(models: Path, data: Dataset) -> list[Known]:
    """Pigmented fractions found and drawn, of graded regions of validation photos with pigment."""
    if not any(entry.pigment for entry in data.part("validation")):
        return []
    photos = evaluate_dataset(data, models, load_settings(), "validation", workers=2)
    found = [
        _known(photo.patient, photo.region(name))
        for photo in photos
        if not photo.clear
        for name in MASI_REGIONS
    ]
    return [one for one in found if one is not None]


def _known(patient: str, region: RegionFigures) -> Known | None:
    values = (region.fraction, region.fraction_low, region.fraction_high, region.true_fraction)
    if not region.graded or None in values:
        return None
    return Known(patient, *cast(tuple[float, float, float, float], values))


def times_wider(known: Sequence[Known]) -> float:
    """How many times as wide intervals hold `LEVEL` of the fractions drawn; never less than 1."""
    needed = np.quantile([one.times for one in known], LEVEL, method="inverted_cdf")
    return float(np.clip(needed, 1.0, _WIDEST))


def widened(error: MeasureError, factor: float) -> MeasureError:
    """The error with so many times as wide intervals of fraction and contrast."""

    def wide(band: Band) -> Band:
        below, above = (tuple(round(factor * end, 4) for end in ends) for ends in (band.below, band.above))
        return Band(band.measured, below, above)

    by_doubt = tuple((share, wide(band)) for share, band in error.by_doubt)
    return replace(
        error, fraction=wide(error.fraction), contrast_od=wide(error.contrast_od), by_doubt=by_doubt
    )
