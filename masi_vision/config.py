"""Settings: read from YAML files, checked, frozen, hashed.

`configs/scoring.yaml` and `configs/quality.yaml` hold every value with where it is from. There are no
defaults in the code: a settings file is complete, so that it can stand in a study protocol as it is. Only
`fitted_to_models` and `fitted_to_reads` may lack: `masi calibrate` adds them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    SerializerFunctionWrapHandler,
    StringConstraints,
    field_validator,
    model_serializer,
    model_validator,
)

from masi_vision.errors import SettingsError
from masi_vision.settings_file import Section, checked, read_yaml
from masi_vision.shipped import shipped_file


def _increasing(points: tuple[float, ...]) -> tuple[float, ...]:
    if not all(low < high for low, high in pairwise(points)):
        raise ValueError("each number above the one before")
    return points


Fraction = Annotated[float, Field(ge=0, le=1)]
Contrast = Annotated[float, Field(gt=0, le=3)]
InnerFraction = Annotated[float, Field(gt=0, lt=1)]
DarknessCutPoints = Annotated[tuple[Contrast, Contrast, Contrast, Contrast], AfterValidator(_increasing)]
AreaCutPoints = Annotated[
    tuple[InnerFraction, InnerFraction, InnerFraction, InnerFraction, InnerFraction],
    AfterValidator(_increasing),
]
HomogeneityCutPoints = Annotated[
    tuple[InnerFraction, InnerFraction, InnerFraction, InnerFraction], AfterValidator(_increasing)
]
MidlineRegion = Literal["forehead", "chin"]
"""A region that nose or upper lip, which have no side, can count toward."""
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Word = Annotated[str, StringConstraints(to_lower=True, pattern=r"^\w+$")]
Words = Annotated[tuple[Word, ...], Field(min_length=1)]


class ScaleSettings(Section):
    """How a measure becomes a grade; see `masi_vision.scale`."""

    noise_floor: Annotated[float, Field(ge=0, lt=0.10)]
    area_cut_points: AreaCutPoints
    darkness_cut_points_od: DarknessCutPoints
    homogeneity_cut_points: HomogeneityCutPoints
    nose_counts_toward: MidlineRegion | None
    upper_lip_counts_toward: MidlineRegion | None
    fitted_to_models: Sha256 | None = None
    """``models_sha256`` of those whose measures `masi calibrate` fitted the cut points to; None: of none."""
    fitted_to_reads: Sha256 | None = None
    """What the reads say that it fitted them to (`rows_sha256`); None: to none."""

    @model_serializer(mode="wrap")
    def _without_unsaid(self, values_of: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Settings that were fitted to nothing have the hash that they had before this could be said."""
        values: dict[str, Any] = values_of(self)
        return {name: one for name, one in values.items() if not name.startswith("fitted_to_") or one}

    @model_validator(mode="after")
    def _floor_below_area(self) -> ScaleSettings:
        if self.noise_floor >= self.area_cut_points[0]:
            raise ValueError("a noise_floor below the first of area_cut_points")
        return self


class PigmentSettings(Section):
    """What counts as pigment: by the learned map, or by rules."""

    method: Literal["learned", "classical"]
    lesion_probability: Annotated[float, Field(gt=0, le=0.95)]  # no more is ever asked for: pigment/map.py
    raised_by_doubt: Fraction
    undecided_fraction: InnerFraction
    disagreement_fraction: InnerFraction
    detection_threshold_od: Annotated[float, Field(gt=0, le=0.5)]
    shading_scale_fraction: Annotated[float, Field(ge=0.02, le=1)]


class FaceSettings(Section):
    """When there is a face."""

    min_face_probability: Fraction


class Limit(Section):
    """Where a number of a photo's quality is worth a warning, and where the photo is refused.

    None switches that step off.
    """

    warn: Annotated[float, Field(ge=0)] | None
    fail: Annotated[float, Field(ge=0)] | None

    def is_beyond(self, value: float, bound: float) -> bool:
        """Whether a value is worse than a bound."""
        return value > bound

    def warns(self, value: float) -> bool:
        """Whether a value is worth a warning."""
        return self.warn is not None and self.is_beyond(value, self.warn)

    def refuses(self, value: float) -> bool:
        """Whether a value refuses the photo."""
        return self.fail is not None and self.is_beyond(value, self.fail)


class AtMost(Limit):
    """For a number that is bad when it is high."""

    @model_validator(mode="after")
    def _warned_before_refused(self) -> AtMost:
        if self.warn is not None and self.fail is not None and self.warn > self.fail:
            raise ValueError("a warn that is not above fail")
        return self


class AtLeast(Limit):
    """For a number that is bad when it is low."""

    @model_validator(mode="after")
    def _warned_before_refused(self) -> AtLeast:
        if self.warn is not None and self.fail is not None and self.warn < self.fail:
            raise ValueError("a warn that is not below fail")
        return self

    def is_beyond(self, value: float, bound: float) -> bool:
        """Whether a value is worse than a bound."""
        return value < bound


class AtMostShare(AtMost):
    """The same for a share of 0 to 1."""

    warn: Fraction | None
    fail: Fraction | None


class WarnOnly(AtMost):
    """For a number that warns and never refuses."""

    fail: None


class WarnBelow(AtLeast):
    """For a number that warns when it is low and never refuses."""

    fail: None


class VisibleShare(AtLeast):
    """Of a region's skin; what is seen less than `fail` is never graded."""

    warn: Fraction | None
    fail: Annotated[float, Field(gt=0, le=1)]


class ColourCardSettings(Section):
    """Whether photos are corrected by a colour card in them, and when one is trusted; see docs/colour.md.

    Parameters
    ----------
    min_patch_px : float
        Side of a patch.
    max_clipped_fraction : float
        Share of a patch at the end of a channel; a patch above it is left out.
    max_spread_delta_e00 : float
        Within a patch.
    min_patches, min_greys : int
        Patches not left out, of all 24 and of the grey row's six. Twelve numbers are fitted to three per
        patch: with a third of twelve patches nothing would show a wrong one.
    max_tone_departure : float
        Of the exponent on linear light from 1.
    max_light_change : float
        Of the light over the card's length or height, as a share.
    max_grey_cast : float
        Distance in a* and b* of a grey patch, corrected, from its own.
    max_mean_delta_e00, max_patch_delta_e00 : float
        Of the patches after the fit, mean and largest.
    max_left_out_delta_e00 : float
        Of the patches, each as the fit to all others has it, largest.
    """

    use: Literal["ignore", "use", "require"]
    min_patch_px: Annotated[float, Field(ge=1)]
    max_clipped_fraction: Fraction
    max_spread_delta_e00: Annotated[float, Field(gt=0)]
    min_patches: Annotated[int, Field(ge=12, le=24)]
    min_greys: Annotated[int, Field(ge=2, le=6)]
    max_tone_departure: Annotated[float, Field(gt=0)]
    max_light_change: Annotated[float, Field(gt=0)]
    max_grey_cast: Annotated[float, Field(gt=0)]
    max_mean_delta_e00: Annotated[float, Field(gt=0)]
    max_patch_delta_e00: Annotated[float, Field(gt=0)]
    max_left_out_delta_e00: Annotated[float, Field(gt=0)]


_HIGHEST = {
    **{"jpeg_quality": 100, "yaw_deg_front": 90, "yaw_deg_oblique_least": 90, "yaw_deg_oblique_most": 90},
    **{"pitch_deg": 90, "roll_deg": 180, "yaw_change_deg": 90, "noise_levels": 255, "colour_levels": 255},
    **{"other_face_fraction": 1, "views_likeness": 1, "visits_likeness": 1, "eye_opening_change": 1},
    **{"blur_percent": 10, "light_difference_od": 2, "red_over_blue_od": 2, "exposure_change_ev": 10},
    **{"card_drift_delta_e00": 50},
}
"""A limit beyond is in another unit, and would let every photo pass, or none; null switches a check off."""


class QualitySettings(Section):
    """When a photo is good enough to be scored; `configs/quality.yaml` explains each."""

    face_width_px: AtLeast
    other_face_fraction: AtMost
    blur_percent: AtMost
    noise_levels: AtMost
    jpeg_quality: AtLeast
    colour_levels: AtLeast
    light_difference_od: AtMost
    yaw_deg_front: AtMost
    yaw_deg_oblique_least: AtLeast
    yaw_deg_oblique_most: AtMost
    pitch_deg: AtMost
    roll_deg: AtMost
    visible_fraction: VisibleShare
    plain_fraction: AtMostShare
    red_over_blue_od: AtLeast
    clipped_fraction: AtMostShare
    blocked_fraction: AtMostShare
    gloss_fraction: WarnOnly
    exposure_change_ev: WarnOnly
    eye_opening_change: WarnOnly
    yaw_change_deg: WarnOnly
    card_drift_delta_e00: WarnOnly
    views_likeness: WarnBelow
    visits_likeness: WarnBelow
    registration_residual: AtMostShare
    colour_card: ColourCardSettings
    accepted: tuple[str, ...]
    accepted_visible_fraction: Annotated[float, Field(ge=0.05, lt=1)]
    accepted_spoilt_fraction: InnerFraction

    @model_validator(mode="after")
    def _nothing_measured_in_next_to_nothing(self) -> QualitySettings:
        if self.visible_fraction.fail < self.accepted_visible_fraction:
            raise ValueError("a visible_fraction.fail that is not below accepted_visible_fraction")
        return self

    @model_validator(mode="after")
    def _limits_that_a_photo_can_keep(self) -> QualitySettings:
        for name, most in _HIGHEST.items():
            limit = getattr(self, name)
            if max(limit.warn or 0, limit.fail or 0) > most:
                raise ValueError(f"{name} up to {most}")
        least, farthest = self.yaw_deg_oblique_least.fail, self.yaw_deg_oblique_most.fail
        if least is not None and farthest is not None and least >= farthest:
            raise ValueError("a yaw_deg_oblique_least.fail below yaw_deg_oblique_most.fail")
        spoilt = (self.clipped_fraction.fail, self.blocked_fraction.fail)
        if any(one is not None and one > self.accepted_spoilt_fraction for one in spoilt):
            raise ValueError("an accepted_spoilt_fraction not below those that fail")
        return self

    @field_validator("accepted")
    @classmethod
    def _checks_that_there_are(cls, accepted: tuple[str, ...]) -> tuple[str, ...]:
        kinds = {name: field.annotation for name, field in cls.model_fields.items()}
        refuse = (AtLeast, AtMost, AtMostShare, VisibleShare, ColourCardSettings)
        checks = [name for name, kind in kinds.items() if kind in refuse and name != "registration_residual"]
        for one in accepted:
            check, at, place = one.partition("@")
            if check not in checks or (at and not place.strip("/")) or "@" in place:
                raise ValueError(
                    f"CHECK or CHECK@PATIENT/VISIT/VIEW, not {one!r}. The checks are {', '.join(checks)}"
                )
        return tuple(sorted(set(accepted)))

    def least_visible(self, *places: str) -> float:
        """Share of a region's skin that must be seen: less where that check is overridden at all photos."""
        if all(self.accepts("visible_fraction", place) for place in places):
            return self.accepted_visible_fraction
        return self.visible_fraction.fail

    def accepts(self, check: str, place: str) -> bool:
        """Whether a failed check is overridden for the photo at PATIENT/VISIT/VIEW."""
        return check in self.accepted or f"{check}@{place}" in self.accepted


class ViewSettings(Section):
    """Words in a file's name that tell its view, in lower case."""

    front: Words
    left: Words
    right: Words

    @model_validator(mode="after")
    def _one_view_per_word(self) -> ViewSettings:
        words = [*self.front, *self.left, *self.right]
        if twice := sorted({word for word in words if words.count(word) > 1}):
            raise ValueError(f"each word once, not twice {', '.join(twice)}")
        return self


class ReadingSettings(Section):
    """Which files are read."""

    max_megapixels: Annotated[float, Field(gt=0, le=2000)]


_SeverityWord = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"\w")]


class SeverityBands(Section):
    """Severity words by the mMASI from which each holds, and who published them."""

    citation: Annotated[str, StringConstraints(strip_whitespace=True, min_length=10)]
    mmasi_from: dict[_SeverityWord, Annotated[float, Field(ge=0, le=24)]]

    @model_validator(mode="after")
    def _from_zero_upward(self) -> SeverityBands:
        starts = tuple(self.mmasi_from.values())
        if not starts or starts[0] != 0 or _increasing(starts) != starts:
            raise ValueError("bands from 0 upward")
        return self

    def word(self, mmasi: float) -> str:
        """The word of a score."""
        return [word for word, least in self.mmasi_from.items() if mmasi >= least][-1]


class Settings(Section):
    """Everything a score depends on beside the photo and the models."""

    scale: ScaleSettings
    pigment: PigmentSettings
    face: FaceSettings
    views: ViewSettings
    reading: ReadingSettings
    severity_bands: SeverityBands | None
    quality: QualitySettings

    @property
    def sha256(self) -> str:
        """Hash of the values: the same whatever the order, comments and file they stand in."""
        values = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(values.encode()).hexdigest()


def load_settings(
    path: str | Path | None = None, quality: str | Path | None = None, *, accept: Sequence[str] = ()
) -> Settings:
    """Read settings from YAML files; None is the file that comes with masi_vision.

    Parameters
    ----------
    path : path, optional
        How photos are scored.
    quality : path, optional
        When a photo is good enough to be scored.
    accept : sequence of str
        Checks to add to those that the quality file accepts, CHECK or CHECK@PATIENT/VISIT/VIEW.

    Raises
    ------
    SettingsError
        A file cannot be read, or a key or value in it does not fit; the message names every such key.
    """
    file = shipped_file("configs", "scoring.yaml") if path is None else Path(path)
    limits_file = shipped_file("configs", "quality.yaml") if quality is None else Path(quality)
    of_scoring = {" It holds settings of scoring: name it without --quality.": Settings.model_fields}
    of_quality = {" It holds limits of quality: name it with --quality.": QualitySettings.model_fields}
    limits = checked(QualitySettings, read_yaml(limits_file), limits_file, "quality.yaml", of_scoring)
    if accept:
        more = {"accepted": [*limits.accepted, *accept]}
        limits = checked(QualitySettings, limits.model_dump(mode="json") | more, "--accept", "quality.yaml")
    values = read_yaml(file)
    if "quality" in values:
        raise SettingsError(f"{file} has a section quality. Expected it in a file of its own: quality.yaml.")
    whole = values | {"quality": limits.model_dump(mode="json")}
    return checked(Settings, whole, file, "scoring.yaml", of_quality)
