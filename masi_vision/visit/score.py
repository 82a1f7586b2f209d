"""Scores of photos and visits, and the results that carry them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from os import PathLike
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from masi_vision.config import ScaleSettings, Settings, load_settings
from masi_vision.errors import NotScorable, ReasonCode
from masi_vision.names import VIEWS, View, place_of
from masi_vision.photo import Photo, printable_name
from masi_vision.photo.colour_card import PATCHES
from masi_vision.photo.colour_correction import Correction
from masi_vision.pigment.measure import RegionMeasure
from masi_vision.scale import (
    MASI_REGIONS,
    ContinuousGrade,
    MasiRegion,
    RegionGrade,
    continuous_area,
    continuous_darkness,
    continuous_homogeneity,
    masi_continuous,
    masi_score,
    mmasi_continuous,
)
from masi_vision.version import __version__
from masi_vision.visit.folder import one_visit
from masi_vision.visit.measure import PhotoMeasures, measure_seen
from masi_vision.visit.models import Models, shipped_models
from masi_vision.visit.quality import Finding, Result, check_photo, refusal, wanted, worst
from masi_vision.visit.region import (
    HIDDEN,
    METHODS,
    REFUSED,
    RegionResult,
    faced_by,
    graded_as,
    hidden_sentence,
    merged,
    region_result,
    region_values,
)
from masi_vision.visit.seen import see_photo

Status = Literal["scored", "not_scored"]


@dataclass(frozen=True)
class Scores:
    """MASI and mMASI, graded and continuous.

    `mmasi_low` and `mmasi_high` are a 90 % interval of `mmasi`, not of its twin without bands: the grades of
    the measures moved toward their low and high ends, all together, by the share that held the truth of nine
    phantoms in ten.
    """

    mmasi: float
    masi: float | None
    mmasi_continuous: float
    masi_continuous: float | None
    mmasi_low: float
    mmasi_high: float


@dataclass(frozen=True)
class Provenance:
    """What made a score: two scores compare only where all of this is equal but the name of the models."""

    version: str
    settings_sha256: str
    models: str = field(compare=False)
    models_sha256: Mapping[str, str]
    atlas: str
    pigment_method: str


@dataclass(frozen=True, kw_only=True)
class PhotoScore:
    """Result of one photo, with the pictures behind it in `measures` (None if it was not scored)."""

    name: str
    view: View
    reason: ReasonCode | None
    message: str
    scores: Scores | None
    regions: Mapping[str, RegionResult]
    provenance: Provenance
    photo_sha256: str | None
    measures: PhotoMeasures | None = field(repr=False, compare=False)
    findings: tuple[Finding, ...] = field(default=(), repr=False)

    def __str__(self) -> str:
        """In a few lines: the score with its interval or the reason, and the regions."""
        return _told(self, f"{self.name}, {self.view}")

    @property
    def status(self) -> Status:
        """Whether there is a score."""
        return "scored" if self.scores else "not_scored"

    def to_dict(self) -> dict[str, Any]:
        """Plain values with the keys of ``scores.json``."""
        return _plain(self) | {"photo": self.name, "view": self.view, "quality": quality(self)}


@dataclass(frozen=True, kw_only=True)
class VisitScore:
    """Result of a visit: the regions of its photos, merged."""

    patient: str
    visit: str
    reason: ReasonCode | None
    message: str
    scores: Scores | None
    regions: Mapping[str, RegionResult]
    photos: tuple[PhotoScore, ...]
    provenance: Provenance

    def __str__(self) -> str:
        """In a few lines: the score with its interval or the reason, and the regions."""
        return _told(self, place_of(self.patient, self.visit) or "visit")

    @property
    def status(self) -> Status:
        """Whether there is a score."""
        return "scored" if self.scores else "not_scored"

    @classmethod
    def refused(cls, patient: str, visit: str, why: NotScorable, provenance: Provenance) -> VisitScore:
        """A visit of which no photo could be looked at."""
        return cls(
            patient=patient,
            visit=visit,
            reason=why.reason,
            message=why.message,
            scores=None,
            regions={},
            photos=(),
            provenance=provenance,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values with the keys of ``scores.json``."""
        views: dict[str, dict[str, Any]] = {}
        for photo in self.photos:
            facts = {"photo": photo.name, "sha256": photo.photo_sha256, "quality": quality(photo)}
            views[photo.view] = facts | _outcome(photo, {one.view for one in self.photos})
        return {"patient": self.patient, "visit": self.visit} | _plain(self) | {"views": views}


def score_photo(
    source: str | PathLike[str] | Photo,
    settings: Settings | None = None,
    *,
    view: View = "front",
    models: Models | None = None,
    place: str = "",
) -> PhotoScore:
    """Score one photo.

    Parameters
    ----------
    source : path or Photo
    settings : Settings, optional
        The shipped ones where omitted.
    view : {"front", "left", "right"}
        The patient's side that faces the camera.
    place : str, optional
        PATIENT/VISIT/VIEW, by which the settings may override a check of its quality.

    Returns
    -------
    PhotoScore
        With status ``not_scored`` and a reason where it cannot be scored: bad photos raise nothing.
    """
    settings, models = usable_settings(settings), usable_models(models)
    if view not in VIEWS:
        raise ValueError(f"view must be one of {', '.join(VIEWS)}, got {view!r}")
    if not isinstance(source, str | PathLike | Photo):
        raise ValueError(
            f"source must be a path or a Photo, got {type(source).__name__}. Of pixels in memory: "
            "Photo.from_srgb(array), upright sRGB of uint8 or uint16."
        )
    findings: tuple[Finding, ...] = ()
    measures: PhotoMeasures | None = None
    regions: dict[str, RegionResult] = {}
    try:
        seen = see_photo(source, settings, models)
        findings = check_photo(seen, view, settings, place)
        if (why := refusal(findings)) is not None:
            why.photo_sha256 = seen.photo.sha256
            raise why
        measures = measure_seen(seen, view, settings, models)
        regions = {one: region_result(one, measures, findings, settings, place) for one in measures.regions}
        scores, reason, message = _total(regions, settings, models)
        sha256: str | None = seen.photo.sha256
    except NotScorable as why:
        scores, reason, message, sha256 = None, why.reason, why.message, why.photo_sha256
    return PhotoScore(
        name=source.name if isinstance(source, Photo) else printable_name(source),
        view=view,
        reason=reason,
        message=message,
        scores=scores,
        regions=regions,
        provenance=provenance_of(settings, models),
        photo_sha256=sha256,
        measures=measures,
        findings=findings,
    )


def score_visit(
    paths: Mapping[View, str | PathLike[str] | Photo] | str | PathLike[str],
    settings: Settings | None = None,
    *,
    patient: str = "",
    visit: str = "",
    models: Models | None = None,
) -> VisitScore:
    """Score the photos of one visit together.

    Parameters
    ----------
    paths : mapping of view to path or Photo, or a path
        A lone path is a visit folder or a front photo.

    Notes
    -----
    Forehead and chin come from the front; each malar region from the view of its own side and the front
    together, each patch of skin as squarely as it is seen, or from the one that can be used: flagged
    ``other_view`` when the side view was there but could not. Views merge before anything is graded.
    """
    settings, models = usable_settings(settings), usable_models(models)
    if not isinstance(paths, Mapping | str | PathLike):
        raise ValueError(f"paths must be a folder, a photo, or a mapping of view to photo, got {paths!r}")
    if not isinstance(paths, Mapping):
        found = one_visit(Path(paths), settings.views)
        visit, patient, provenance = (
            visit or found.visit,
            patient or found.patient,
            provenance_of(settings, models),
        )
        if why := found.problem:
            return VisitScore.refused(patient, visit, why, provenance)
        paths = found.photos
    photos = [
        score_photo(path, settings, view=view, models=models, place=place_of(patient, visit, view))
        for view, path in paths.items()
    ]
    return visit_of(photos, settings, patient=patient, visit=visit, models=models)


def visit_of(
    photos: Sequence[PhotoScore],
    settings: Settings,
    *,
    patient: str = "",
    visit: str = "",
    models: Models | None = None,
) -> VisitScore:
    """Merge the scored photos of one visit, each of another view; see `score_visit`."""
    models = models or shipped_models()
    by_view = {photo.view: photo for photo in photos}
    regions_of = {view: photo.regions for view, photo in by_view.items()}
    measures = {view: photo.measures for view, photo in by_view.items() if photo.measures is not None}
    names = dict.fromkeys(name for photo in photos for name in photo.regions)
    regions = {
        name: merged(name, regions_of, measures, settings, models, _unseen(name, by_view)) for name in names
    }
    scores, reason, message = _total(regions, settings, models)
    front = by_view.get("front")
    if scores is None and front is None:
        reason, message = (
            "no_photo",
            f"{no_front(settings)} Forehead and chin need it.",
        )
    elif scores is None and front is not None and not front.regions:
        reason, message = front.reason, front.message
    provenance = provenance_of(settings, models)
    return VisitScore(
        patient=patient,
        visit=visit,
        reason=reason,
        message=message,
        scores=scores,
        regions=regions,
        photos=tuple(photos),
        provenance=provenance,
    )


def _unseen(region: str, photos: Mapping[View, PhotoScore]) -> ReasonCode:
    """Why a region is not seen in a photo that faces it: the photo's own reason, or that there is none."""
    view = faced_by(region, photos)
    return "no_photo" if view is None else photos[view].reason or HIDDEN


def usable_settings(settings: Settings | None) -> Settings:
    """The settings, or the shipped ones; whoever calls from Python may not know what is asked for."""
    if settings is not None and not isinstance(settings, Settings):
        raise ValueError(f"settings must be Settings, as load_settings(FILE) reads them, got {settings!r}")
    return settings or _shipped_settings()


def usable_models(models: Models | None) -> Models:
    """The models, or the shipped ones; see `usable_settings`."""
    if models is not None and not isinstance(models, Models):
        raise ValueError(f"models must be Models, as open_models(FOLDER) opens them, got {models!r}")
    return models or shipped_models()


@lru_cache(maxsize=1)
def _shipped_settings() -> Settings:
    return load_settings()


def no_front(settings: Settings) -> str:
    """Say that a visit has no front photo, in the words that the settings take for one."""
    return f"There is no front photo. Expected one: name it {settings.views.front[0]}.jpg."


def _told(result: PhotoScore | VisitScore, name: str) -> str:
    """A result as `print` shows it; every value is in `to_dict`."""
    scores = result.scores
    if scores is None:
        head = f"{name}: not scored, {result.reason}. {result.message}"
    else:
        masi = "" if scores.masi is None else f", MASI {scores.masi:.1f}"
        head = f"{name}: mMASI {scores.mmasi:.1f} ({scores.mmasi_low:.1f} to {scores.mmasi_high:.1f}){masi}"
    return "\n".join([head, *(f"  {region}: {one}" for region, one in result.regions.items())])


def _continuous(measure: RegionMeasure, scale: ScaleSettings) -> ContinuousGrade:
    return ContinuousGrade(
        continuous_area(measure.pigmented_fraction, scale.area_cut_points),
        continuous_darkness(measure.contrast_od, scale.darkness_cut_points_od),
        continuous_homogeneity(measure.largest_patch_fraction, scale.homogeneity_cut_points),
    )


def _total(
    regions: Mapping[str, RegionResult], settings: Settings, models: Models
) -> tuple[Scores | None, ReasonCode | None, str]:
    """Scores if all four MASI regions were graded; else the reason and what to do."""
    found = {name: regions.get(name) for name in MASI_REGIONS}
    if missing := {name: one for name, one in found.items() if one is None or one.grade is None}:
        sentences = [
            one.refusal
            if one and one.refusal
            else hidden_sentence(name, "front", None, settings.quality.visible_fraction.fail)
            for name, one in missing.items()
        ]
        flags = {flag for one in missing.values() for flag in (one.flags if one else (HIDDEN,))}
        reason = next((code for code in REFUSED if code in flags), HIDDEN)
        return None, reason, " ".join(dict.fromkeys(sentences))
    scale = settings.scale
    grades = {name: cast(RegionGrade, regions[name].grade) for name in MASI_REGIONS}
    measures = {name: cast(RegionMeasure, regions[name].measure) for name in MASI_REGIONS}
    continuous = {name: _continuous(measure, scale) for name, measure in measures.items()}
    low, high = _interval(measures, models.pigment.errors[METHODS[settings.pigment.method]].share, scale)
    total = masi_score(grades)
    return (
        Scores(
            total.mmasi,
            total.masi,
            round(mmasi_continuous(continuous), 3),
            _rounded(masi_continuous(continuous)),
            low,
            high,
        ),
        None,
        "",
    )


def _interval(
    measures: Mapping[MasiRegion, RegionMeasure], share: float, scale: ScaleSettings
) -> tuple[float, float]:
    low, high = (
        mmasi_of(
            {
                name: (
                    moved(m.pigmented_fraction, getattr(m, f"pigmented_fraction_{end}"), share),
                    moved(m.contrast_od, getattr(m, f"contrast_od_{end}"), share),
                )
                for name, m in measures.items()
            },
            scale,
        )
        for end in ("low", "high")
    )
    return low, high


def moved(value: float, end: float, share: float) -> float:
    """A value moved by a share of the way to the end of its interval."""
    return value + share * (end - value)


Ends = tuple[float, float, float]
"""A score, and the low and high end of its interval."""


def change_ends(before: Ends, after: Ends, *, share: float) -> tuple[float, float]:
    """Low and high end of the change between two scores.

    Parameters
    ----------
    share : float
        Of the distances that independent errors of both would have; see `MeasureError`.
    """
    (was, was_low, was_high), (now, now_low, now_high) = before, after
    change = now - was
    down = np.hypot(now - now_low, was_high - was)
    up = np.hypot(now_high - now, was - was_low)
    return change - share * float(down), change + share * float(up)


def mmasi_of(amounts: Mapping[MasiRegion, tuple[float, float]], scale: ScaleSettings) -> float:
    """The mMASI of four regions, each by its pigmented fraction and its contrast in OD."""
    return masi_score({name: graded_as(*amount, 0, scale) for name, amount in amounts.items()}).mmasi


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def provenance_of(settings: Settings, models: Models) -> Provenance:
    """What makes the scores under these settings and models."""
    method = METHODS[settings.pigment.method]
    return Provenance(
        __version__, settings.sha256, models.name, models.sha256, models.face.atlas.version, method
    )


def quality(photo: PhotoScore) -> dict[str, Any]:
    """Facts of a photo that tell how far to trust it; never when it was taken."""
    measures = photo.measures
    checked = {"result": quality_result([photo]), "findings": [one.to_dict() for one in photo.findings]}
    if measures is None:
        return checked if photo.findings else {}
    height, width = measures.photo.full_size
    capture = measures.photo.capture
    return checked | {
        "colour_card": _card(photo),
        "width_px": width,
        "height_px": height,
        "face_width_px": round(measures.face.face_width_px / measures.photo.scale, 1),
        "yaw_deg": round(measures.face.pose.yaw_deg, 1),
        "pitch_deg": round(measures.face.pose.pitch_deg, 1),
        "roll_deg": round(measures.face.pose.roll_deg, 1),
        "face_probability": round(measures.face.probability, 3),
        "bits": capture.bits,
        "colour_space": capture.colour_space,
    }


def _outcome(photo: PhotoScore, views: Collection[View]) -> dict[str, Any]:
    """Whether a photo shows what is looked for in it first: a side view its own cheek, the front the rest."""
    if not photo.regions:
        return {"status": photo.status, "reason": photo.reason, "message": photo.message}
    lacking = [
        region
        for name, region in photo.regions.items()
        if name in MASI_REGIONS and region.grade is None and faced_by(name, views) == photo.view
    ]
    flags = {flag for region in lacking for flag in region.flags}
    return {
        "status": "not_scored" if lacking else "scored",
        "reason": next((code for code in REFUSED if code in flags), None),
        "message": " ".join(dict.fromkeys(region.refusal for region in lacking)),
    }


def _card(photo: PhotoScore) -> dict[str, Any] | None:
    """What was done by the colour card; None where none corrected the photo."""
    card = photo.measures.card if photo.measures else None
    if not isinstance(card, Correction):
        return None
    tables = {"before": card.delta_e00_before, "after": card.delta_e00_after}
    each = {
        when: dict(zip(PATCHES, np.round(table, 2).tolist(), strict=True)) for when, table in tables.items()
    }
    return {
        "matrix": np.round(card.matrix, 6).tolist(),
        "exponent": round(card.exponent, 6),
        "delta_e00": each,
    }


def quality_result(photos: Sequence[PhotoScore]) -> Result:
    """The worst that the checks found in these photos; one that cannot be read or shows no face fails.

    A cheek with a view of its own is not judged in front: it is not measured there alone.
    """
    if any(photo.status == "not_scored" and not photo.findings for photo in photos):
        return "fail"
    views = [photo.view for photo in photos]
    return worst([one for photo in photos for one in wanted(photo.findings, photo.view, views)])


def _plain(result: PhotoScore | VisitScore) -> dict[str, Any]:
    empty = dict.fromkeys(Scores.__dataclass_fields__)
    return {
        "status": result.status,
        "reason": result.reason,
        "message": result.message,
        **(asdict(result.scores) if result.scores else empty),
        "regions": {name: region_values(region) for name, region in result.regions.items()},
        "provenance": asdict(result.provenance),
    }
