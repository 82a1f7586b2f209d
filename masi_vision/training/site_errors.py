"""The intervals of models fitted to a site, held against what was drawn on its validation patients."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from masi_vision.config import load_settings
from masi_vision.evaluation.photo_figures import evaluate_dataset
from masi_vision.labels.dataset import Dataset
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

Known = tuple[str, float, float]
"""Patient, fraction found, fraction drawn."""


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
    card = json.loads(file.read_text(encoding="utf-8"))
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
    patients = len({patient for patient, *_ in known})
    times = times_wider(error.fraction, known) ** (patients / (patients + _PATIENTS))
    wider = widened(error, times)
    before, after = (f"{held(one.fraction, known):.0%}" for one in (error, wider))
    return wider, (
        f"Those of the models that were trained on, {times:.2f} times as wide: of {len(known)} pigmented "
        f"fractions drawn on {patients} validation patients they hold {after}, {before} before."
    )


def known_fractions(models: Path, data: Dataset) -> list[Known]:
    """Pigmented fractions found and drawn, of graded regions of validation photos with pigment."""
    if not data.part("validation"):
        return []
    photos = evaluate_dataset(data, models, load_settings(), "validation", workers=2)
    regions = (
        (photo.patient, photo.region(name)) for photo in photos if not photo.clear for name in MASI_REGIONS
    )
    return [
        (patient, one.fraction, one.true_fraction)
        for patient, one in regions
        if one.graded and one.fraction is not None and one.true_fraction is not None
    ]


def times_wider(band: Band, known: Sequence[Known]) -> float:
    """How many times as wide the band holds `LEVEL` of the fractions drawn; never less than 1."""
    needed = []
    for _, found, true in known:
        low, high = band.around(found)
        room = high - found if true > found else found - low
        needed.append(abs(true - found) / max(room, _ROUNDED))
    return float(np.clip(np.quantile(needed, LEVEL, method="inverted_cdf"), 1.0, _WIDEST))


def widened(error: MeasureError, factor: float) -> MeasureError:
    """The error with so many times as wide intervals of fraction and contrast."""

    def wide(band: Band) -> Band:
        below, above = (tuple(round(factor * end, 4) for end in ends) for ends in (band.below, band.above))
        return Band(band.measured, below, above)

    return replace(error, fraction=wide(error.fraction), contrast_od=wide(error.contrast_od))


def held(band: Band, known: Sequence[Known]) -> float:
    """Share of the fractions drawn within the band around those found."""
    ends = [(*band.around(found), true) for _, found, true in known]
    return float(np.mean([low - _ROUNDED <= true <= high + _ROUNDED for low, high, true in ends]))
