"""How far the pigment map can be trusted: planted truth on people the face models never saw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from masi_vision.config import Settings
from masi_vision.errors import NotScorable
from masi_vision.face.atlas import MASI_SUBUNITS
from masi_vision.face.models import FaceModels
from masi_vision.phantom.plant import Site, pigment_patches, planted
from masi_vision.photo import Photo, linear_to_srgb8, srgb_to_linear
from masi_vision.training.cache import TrainingSet
from masi_vision.visit.measure import PhotoMeasures, measure_photo

_REGIONS = [int(s) for s in MASI_SUBUNITS]
_COUNTED_OD = 0.03


@dataclass(frozen=True)
class PigmentFigures:
    """Measured on one photo untouched, and on the same photo with pigment planted."""

    id: str
    clear_fraction: float
    measured_fraction: float
    planted_fraction: float
    clear_amount_od: float
    measured_amount_od: float
    planted_amount_od: float


def check_pigment(
    data: TrainingSet, models: FaceModels, settings: Settings, *, seed: int = 1
) -> list[PigmentFigures]:
    """Plant pigment on every even frontal test photo that can be measured, and measure both."""
    rng = np.random.default_rng(seed)
    figures = []
    for face in data.faces:
        if data.split[face.id] == "test" and face.view == "frontal":
            pixels = data.labelled[face.id].pixels
            try:
                figures.append(_one(face.id, pixels, models, settings, rng))
            except NotScorable:
                continue
    return figures


def _one(
    name: str, pixels: npt.NDArray[np.uint8], models: FaceModels, settings: Settings, rng: np.random.Generator
) -> PigmentFigures:
    clear = measure_photo(Photo.from_srgb(pixels, name=name), "front", settings, models)
    sites = [
        Site((0.21 + rng.normal(0, 0.02), 0.54), (rng.uniform(0.05, 0.13), rng.uniform(0.04, 0.10)), 1.0),
        Site((0.80 + rng.normal(0, 0.02), 0.54), (rng.uniform(0.05, 0.13), rng.uniform(0.04, 0.10)), 1.0),
        Site((0.50, 0.13), (rng.uniform(0.1, 0.22), 0.05), 0.8),
    ]
    pigment = pigment_patches(clear.codes.shape, sites, rng) * np.float32(rng.uniform(0.04, 0.16))
    window = (0, 0, *pixels.shape[:2])
    on_photo = np.asarray(clear.face.alignment.to_photo(pigment, window), np.float32)
    altered = linear_to_srgb8(planted(srgb_to_linear(pixels), on_photo))
    marked = measure_photo(Photo.from_srgb(altered, name=name), "front", settings, models)
    region = np.isin(clear.codes, _REGIONS)
    truth = float((pigment[region] > _COUNTED_OD).mean()), float(pigment[region].mean())
    (fraction, amount), (fraction_after, amount_after) = _found(clear), _found(marked)
    return PigmentFigures(name, fraction, fraction_after, truth[0], amount, amount_after, truth[1])


def _found(measures: PhotoMeasures) -> tuple[float, float]:
    region = np.isin(measures.codes, _REGIONS)
    density = measures.pigment.density_od[region]
    pigmented = density > measures.threshold_od
    return float(pigmented.mean()), float(np.where(pigmented, density, 0).mean())


def pigment_table(figures: list[PigmentFigures]) -> str:
    """The figures as a Markdown table."""
    clear, measured, truth = (
        np.array([getattr(f, name) for f in figures])
        for name in ("clear_fraction", "measured_fraction", "planted_fraction")
    )
    before, after, amount = (
        np.array([getattr(f, name) for f in figures])
        for name in ("clear_amount_od", "measured_amount_od", "planted_amount_od")
    )
    lines = [
        ("photos", f"{len(figures)}"),
        ("pigmented fraction reported on photos without planted pigment, mean", f"{clear.mean():.1%}"),
        ("planted fraction, mean", f"{truth.mean():.1%}"),
        ("fraction reported on the planted photos, mean", f"{measured.mean():.1%}"),
        (
            "error of the fraction on the planted photos, mean absolute",
            f"{100 * np.abs(measured - truth).mean():.1f} points",
        ),
        (
            "correlation of planted and measured amount (fraction x contrast), one photo",
            f"{np.corrcoef(amount, after)[0, 1]:.2f}",
        ),
        (
            "correlation of planted amount and measured change, same photo before and after",
            f"{np.corrcoef(amount, after - before)[0, 1]:.2f}",
        ),
    ]
    return "| measure | value |\n| --- | --- |\n" + "\n".join(
        f"| {name} | {value} |" for name, value in lines
    )
