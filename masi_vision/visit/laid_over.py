"""Two photographs of a face laid over each other in the aligned frame, and the map of what changed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from masi_vision.config import Limit
from masi_vision.face.atlas import FaceAtlas, Floats
from masi_vision.face.register import Registration, left_apart_px, register
from masi_vision.pigment.change import ChangeMap, change_map
from masi_vision.pigment.map import PigmentMap
from masi_vision.skin.density import optical_density
from masi_vision.visit.measure import PhotoMeasures


@dataclass(frozen=True)
class FaceInFrame:
    """What a comparison needs of one photograph, all of it in the aligned frame.

    Parameters
    ----------
    linear_rgb : (H, W, 3) float32
    codes : (H, W) uint8
        Subunit of every pixel of visible skin.
    pigment : PigmentMap
    """

    linear_rgb: Floats
    codes: npt.NDArray[np.uint8]
    pigment: PigmentMap


def face_in_frame(measures: PhotoMeasures) -> FaceInFrame:
    """A measured photograph as a comparison takes it."""
    return FaceInFrame(measures.corrected_rgb, measures.codes, measures.pigment)


_COPY_RESIDUAL, _COPY_SPREAD_OD = 0.0004, 0.007
"""A photograph and its copy at JPEG 93 were 0.0002 of the face's width and 0.005 OD apart; the nearest of 47
pairs of phantoms taken twice 0.0006 and 0.01. Chosen here."""


@dataclass(frozen=True)
class Comparison:
    """A follow-up laid over its baseline.

    Parameters
    ----------
    change : ChangeMap
        In the baseline's frame.
    baseline, follow_up : FaceInFrame
        The follow-up carried onto the baseline's frame.
    residual_fraction : float
        How far a second registration would still move the skin, 90th percentile, in shares of the face's
        width.
    laid : Registration
        The way from the baseline's frame to the follow-up's.
    """

    change: ChangeMap
    baseline: FaceInFrame
    follow_up: FaceInFrame
    residual_fraction: float
    laid: Registration

    def doubtful(self, limit: Limit) -> bool:
        """Whether the two hardly fit together: another light, or a registration past where it is warned."""
        return self.change.doubtful or limit.warns(self.residual_fraction)

    @property
    def one_photograph(self) -> bool:
        """Whether the two fit as only a copy does, written anew: no two photographs are so alike."""
        return self.residual_fraction < _COPY_RESIDUAL and self.change.spread_od < _COPY_SPREAD_OD

    def aligned(self, limit: Limit) -> bool:
        """Whether the two are the same skin at all."""
        return not limit.refuses(self.residual_fraction)


def laid_over(baseline: FaceInFrame, follow_up: FaceInFrame, atlas: FaceAtlas) -> Comparison:
    """Lay a follow-up over its baseline and map what changed.

    Raises
    ------
    NoCommonSkin
        The two share hardly any skin.
    """
    before, after = optical_density(baseline.linear_rgb), optical_density(follow_up.linear_rgb)
    laid = register(before, after, (baseline.codes > 0) & (follow_up.codes > 0))
    there = _carried(follow_up, laid)
    skin = (baseline.codes > 0) & (there.codes > 0)
    moved = optical_density(there.linear_rgb)
    lesion = np.maximum(baseline.pigment.probability, there.pigment.probability)
    change = change_map(before, moved, skin, lesion)
    left = float(np.quantile(left_apart_px(before, moved, skin)[skin], 0.9))
    return Comparison(change, baseline, there, left / atlas.face_width_px, laid)


def _carried(face: FaceInFrame, laid: Registration) -> FaceInFrame:
    """A photograph of the follow-up in the baseline's frame."""

    def smooth(picture: Floats) -> Floats:
        return np.asarray(laid.to_baseline(picture), np.float32)

    codes = np.asarray(laid.to_baseline(face.codes, nearest=True), np.uint8)
    skin = codes > 0
    pigment = face.pigment
    carried = PigmentMap(
        np.where(skin, smooth(pigment.density_od), 0),
        np.where(skin, smooth(pigment.probability), 0),
        pigment.lesion_probability,
        skin,
        smooth(pigment.normal_rgb),
        pigment.method,
    )
    return FaceInFrame(smooth(face.linear_rgb), codes, carried)
