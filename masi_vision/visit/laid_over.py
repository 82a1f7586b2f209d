"""Two photographs of a face laid over each other in the aligned frame, and the map of what changed."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from masi_vision.config import Limit
from masi_vision.face.align import surface_normals
from masi_vision.face.atlas import FaceAtlas, Floats, Subunit
from masi_vision.face.register import Registration, left_apart_px, register, smoothed_on_skin
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
        Subunit of every pixel of visible skin that is not burnt out.
    pigment : PigmentMap
    """

    linear_rgb: Floats
    codes: npt.NDArray[np.uint8]
    pigment: PigmentMap


def face_in_frame(measures: PhotoMeasures) -> FaceInFrame:
    """A measured photograph as a comparison takes it: burnt-out skin tells neither pigment nor camera."""
    told = np.where(measures.burnt_out, Subunit.NONE, measures.codes).astype(np.uint8)
    return FaceInFrame(measures.corrected_rgb, told, measures.pigment)


# In shares of the frame's width. Chosen here, on reported failures and on planted validation people.
_SHARPNESS = 0.01  # by so much both are blurred: of two unequally sharp ones the blurred one looks lighter
_HIDDEN_RIM = 0.012  # left out around what one of them hides
_LEAST_HIDDEN = 0.013  # no thinner strip is hidden: borders are drawn a pixel apart
_COPY_RESIDUAL, _COPY_SPREAD_OD = 0.0004, 0.004
"""So near were 32 of 40 phantoms and their copies at JPEG 93; the nearest of 40 taken twice lay 0.0005 of the
face's width and 0.008 OD apart. Of ten faces taken twice, moved by three pixels and with another noise, four
had the first and were 0.0044 OD apart and more. Chosen here, by hand."""


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
    sharp_spread_od : float
        By how much the two differ as sharp as they are: their noise, which a copy has in common with its own.
    """

    change: ChangeMap
    baseline: FaceInFrame
    follow_up: FaceInFrame
    residual_fraction: float
    laid: Registration
    sharp_spread_od: float

    def doubtful(self, limit: Limit) -> bool:
        """Whether the two hardly fit together: another light, or a registration past where it is warned."""
        return self.change.doubtful or limit.warns(self.residual_fraction)

    @property
    def one_photograph(self) -> bool:
        """Whether the two fit as only a copy does, written anew: no two photographs are so alike."""
        return self.residual_fraction < _COPY_RESIDUAL and self.sharp_spread_od < _COPY_SPREAD_OD

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
    common = (baseline.codes > 0) & (there.codes > 0)
    moved = optical_density(there.linear_rgb)
    skin = common & ~_near_hidden((baseline.codes > 0) ^ (there.codes > 0))
    sigma_px = _SHARPNESS * skin.shape[1]
    even_before, even_after = (
        optical_density(smoothed_on_skin(face.linear_rgb, skin, sigma_px)) for face in (baseline, there)
    )
    lesion = np.maximum(baseline.pigment.probability, there.pigment.probability)
    change = change_map(even_before, even_after, skin, lesion, surface_normals(atlas))
    left = float(np.quantile(left_apart_px(before, moved, common)[common], 0.9))
    apart = np.abs((before - change.evened(moved)).mean(axis=2)[skin])
    sharp_spread_od = 1.4826 * float(np.median(apart))  # of a normal distribution its standard deviation
    return Comparison(change, baseline, there, left / atlas.face_width_px, laid, sharp_spread_od)


def _near_hidden(hidden: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """What one photograph hides, and its rim: there the hair, or whatever it is, counts as skin in part."""
    width = hidden.shape[1]
    least = np.ones((2 * round(_LEAST_HIDDEN * width / 2) + 1,) * 2, np.uint8)
    rim = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * round(_HIDDEN_RIM * width) + 1,) * 2)
    plainly = cv2.morphologyEx(hidden.astype(np.uint8), cv2.MORPH_OPEN, least)
    return np.asarray(cv2.dilate(plainly, rim) > 0)


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
