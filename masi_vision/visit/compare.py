"""Two visits of a patient laid over each other, and what changed between them.

The follow-up is carried onto its baseline's frame, so that borders and visible skin are the same for both,
and the change is taken twice: as the difference of two measures, and from one photograph laid over the other.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from os import PathLike
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt

from masi_vision.config import Limit, QualitySettings, Settings
from masi_vision.errors import ReasonCode
from masi_vision.face.align import skin_area
from masi_vision.face.atlas import FaceAtlas, Floats
from masi_vision.face.register import Registration, register
from masi_vision.names import View, place_of
from masi_vision.photo.colour_correction import Correction
from masi_vision.pigment import learned
from masi_vision.pigment.change import ChangeMap, NoCommonSkin, change_map
from masi_vision.pigment.map import PigmentMap
from masi_vision.pigment.measure import RegionMeasure, mean_over_area, measure_region, share_of_area
from masi_vision.scale import MASI_REGIONS
from masi_vision.skin.density import optical_density
from masi_vision.visit.measure import PhotoMeasures, region_members, visible_share
from masi_vision.visit.models import Models
from masi_vision.visit.region import (
    ACCEPTED,
    METHODS,
    MIXED,
    REFUSED,
    UNDECIDED,
    RegionResult,
    flag_words,
    preferred_views,
)
from masi_vision.visit.score import VisitScore, change_ends, score_visit, usable_models, usable_settings


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
    return FaceInFrame(measures.linear_rgb, measures.codes, measures.pigment)


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
        return self.change.doubtful or (limit.warn is not None and self.residual_fraction > limit.warn)

    @property
    def one_photograph(self) -> bool:
        """Whether the two fit as only a copy does, written anew: no two photographs are so alike."""
        return self.residual_fraction < _COPY_RESIDUAL and self.change.spread_od < _COPY_SPREAD_OD

    def aligned(self, limit: Limit) -> bool:
        """Whether the two are the same skin at all."""
        return limit.fail is None or self.residual_fraction <= limit.fail


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
    left = np.linalg.norm(register(before, moved, skin).shift_px[skin], axis=1)
    return Comparison(change, baseline, there, float(np.quantile(left, 0.9) / atlas.face_width_px), laid)


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


@dataclass(frozen=True)
class RegionChange:
    """What changed in one region, on the skin seen in both visits, within the baseline's borders.

    Parameters
    ----------
    view : {"front", "left", "right"} or None
        None where no view shows the region in both visits.
    common_fraction : float or None
        Skin seen in both over the whole region.
    before, after : RegionMeasure or None
        The same skin at both visits.
    registered_od, registered_od_low, registered_od_high : float or None
        Mean change of density over the common skin, from the photographs laid over each other, and its 90 %
        interval; below 0 where the skin got lighter.
    darker_fraction, lighter_fraction : float or None
        Share of the common skin that plainly changed.
    tone, spread_od : float or None
        Of the photographs' fit, see `ChangeMap`.
    flag : str
        Why it is not compared: a visit's reason where nothing of it was measured; ``region_hidden``,
        ``clipped`` or ``too_dark`` at a visit, ``not_aligned``. Or
        ``other_view``, not the view that faces the region, though a visit has that one; ``doubtful``, the
        photographs hardly fit together; ``routes_differ``, the two ways to tell the change are far apart;
        ``colours_differ``, one alone was corrected by its colour card; with
        a ``;`` between; or empty.
    """

    view: View | None
    common_fraction: float | None = None
    before: RegionMeasure | None = None
    after: RegionMeasure | None = None
    registered_od: float | None = None
    registered_od_low: float | None = None
    registered_od_high: float | None = None
    darker_fraction: float | None = None
    lighter_fraction: float | None = None
    tone: float | None = None
    spread_od: float | None = None
    flag: str = ""

    def __str__(self) -> str:
        """In a line: the change by the second route, and the flag."""
        told = "" if self.registered_od is None else f"{1000 * self.registered_od:+.1f} thousandths OD"
        return ", ".join(filter(None, (told, flag_words(self.flag))))

    def to_dict(self) -> dict[str, Any]:
        """Plain values; those of the first route are differences of the two visits' measures."""
        values: dict[str, Any] = {"view": self.view, "flag": self.flag}
        values["common_fraction"] = _rounded(self.common_fraction)
        for name in ("pigmented_fraction", "contrast_od", "integrated_od"):
            before, after = (getattr(measure, name, None) for measure in (self.before, self.after))
            change = None if before is None or after is None else after - before
            if name == "contrast_od" and not (before and after):
                change = None  # that there is no pigment is no contrast of 0
            values[f"{name}_before"], values[f"{name}_after"] = _rounded(before), _rounded(after)
            values[f"{name}_change"] = _rounded(change)
        for name in REGISTERED:
            values[name] = _rounded(getattr(self, name))
        return values


ROUTES_DIFFER = "routes_differ"
_ROUTES_APART_OD = 0.08
"""In none of 1,344 pairs of benchmarks/pigment.py the learned map and the photographs laid over each other
were so far apart. Chosen here."""
REGISTERED = (
    *("registered_od", "registered_od_low", "registered_od_high", "darker_fraction", "lighter_fraction"),
    *("tone", "spread_od"),
)
"""What only the second route knows of a region."""


@dataclass(frozen=True, kw_only=True)
class VisitChange:
    """What changed between two visits of a patient.

    Parameters
    ----------
    status : {"compared", "not_compared"}
    regions : mapping
        Name of each subunit to its change.
    mmasi_change, mmasi_change_low, mmasi_change_high : float or None
        Difference of the two scores, and its 90 % interval, see `MeasureError`. None where a visit has no
        score, or a region of MASI was scored in another view.
    residual_fraction : mapping
        View to how far skin still lies apart, see `Comparison`.
    views : mapping
        View to the comparison behind it, with its pictures.
    """

    baseline: VisitScore
    follow_up: VisitScore
    status: Literal["compared", "not_compared"]
    reason: ReasonCode | None
    message: str
    regions: Mapping[str, RegionChange]
    mmasi_change: float | None
    mmasi_change_low: float | None
    mmasi_change_high: float | None
    residual_fraction: Mapping[View, float]
    views: Mapping[View, Comparison] = field(repr=False, compare=False)

    def __str__(self) -> str:
        """In a few lines: the change of the mMASI or why there is none, and of every region in 0.001 OD."""
        first, second = (
            place_of(one.patient, one.visit) or "visit" for one in (self.baseline, self.follow_up)
        )
        head = f"{second} since {first}: {self.status.replace('_', ' ')}"
        if self.mmasi_change is not None:
            low, high = self.mmasi_change_low, self.mmasi_change_high
            head += f", mMASI {self.mmasi_change:+.1f} ({low:+.1f} to {high:+.1f})"
        told = (f"  {name}: {one}" for name, one in self.regions.items())
        return "\n".join([f"{head}. {self.message}".removesuffix(" "), *told])

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "patient": self.baseline.patient,
            "baseline": self.baseline.visit,
            "follow_up": self.follow_up.visit,
            "status": self.status,
            "reason": self.reason,
            "message": self.message,
            "mmasi_before": self.baseline.scores.mmasi if self.baseline.scores else None,
            "mmasi_after": self.follow_up.scores.mmasi if self.follow_up.scores else None,
            "mmasi_change": _rounded(self.mmasi_change),
            "mmasi_change_low": _rounded(self.mmasi_change_low),
            "mmasi_change_high": _rounded(self.mmasi_change_high),
            "residual_fraction": {view: round(left, 5) for view, left in self.residual_fraction.items()},
            "regions": {name: region.to_dict() for name, region in self.regions.items()},
            "photos_sha256": {
                which: {photo.view: photo.photo_sha256 for photo in visit.photos}
                for which, visit in (("baseline", self.baseline), ("follow_up", self.follow_up))
            },
            "provenance": asdict(self.follow_up.provenance),
        }


def compare_visits(
    baseline: VisitScore | str | PathLike[str],
    follow_up: VisitScore | str | PathLike[str],
    settings: Settings | None = None,
    *,
    models: Models | None = None,
) -> VisitChange:
    """Lay a follow-up over its baseline, view by view, and measure what changed.

    Parameters
    ----------
    baseline, follow_up : VisitScore, or path
        Of one patient: a visit folder or a front photo, as for `score_visit`, or its result.

    Returns
    -------
    VisitChange
        With status ``not_compared`` and a reason where no region of MASI is seen in both, or the fronts do
        not fit over each other.

    Raises
    ------
    ValueError
        The results were made under other settings, models or versions.
    """
    settings, models = usable_settings(settings), usable_models(models)
    for one in (baseline, follow_up):
        if not isinstance(one, VisitScore | str | PathLike):
            raise ValueError(f"what is compared must be a VisitScore, a folder or a photo, got {type(one)}")
    first, second = (
        one if isinstance(one, VisitScore) else score_visit(one, settings, models=models)
        for one in (baseline, follow_up)
    )
    for visit in (first, second):
        _check_alike(visit, first, settings)
    seen = [{p.view: p.measures for p in visit.photos if p.measures is not None} for visit in (first, second)]
    views: dict[View, Comparison] = {}
    astray: dict[View, float] = {}
    for view in (view for view in seen[0] if view in seen[1]):
        before, after = (face_in_frame(measures[view]) for measures in seen)
        try:
            comparison = laid_over(before, after, models.face.atlas)
        except NoCommonSkin:
            continue  # its regions are hidden
        if comparison.aligned(settings.quality.registration_residual):
            views[view] = comparison
        else:
            astray[view] = comparison.residual_fraction

    residuals = astray | {view: one.residual_fraction for view, one in views.items()}
    if "front" in astray:  # of what may be two people nothing is compared
        views, unfit = {}, set(residuals)
    else:
        unfit = set(astray)
    members = region_members(settings.scale)
    laid = _Laid(views, seen, [_flags(visit, unfit) for visit in (first, second)], (first, second))
    regions = {name: _of_region(name, members[name], laid, settings, models) for name in members}
    status, reason, message = _outcome(first, second, regions, astray, settings)
    unsure = _unsure(first, second, views, regions, settings) if status == "compared" else ""
    one_person = status == "compared" and not (astray or unsure)  # of what may be two people nothing is taken
    share = models.pigment.errors[METHODS[settings.pigment.method]].change_share
    change, low, high = _mmasi_change(first, second, share) if one_person else (None, None, None)
    if one_person and change is None:
        unsure = _no_change(first, second)
    message = " ".join(filter(None, (message, unsure)))
    return VisitChange(
        baseline=first,
        follow_up=second,
        status=status,
        reason=reason,
        message=message,
        regions=regions,
        mmasi_change=change,
        mmasi_change_low=low,
        mmasi_change_high=high,
        residual_fraction=residuals,
        views=views,
    )


def _no_change(first: VisitScore, second: VisitScore) -> str:
    """Why two visits that were compared have no change of the mMASI."""
    for visit, which in ((first, "baseline"), (second, "follow-up")):
        if visit.scores is None:
            return f"No change of the mMASI: the {which} was not scored ({visit.reason})."
    return "No change of the mMASI: a region was measured in other views at the two visits."


def _unsure(
    first: VisitScore,
    second: VisitScore,
    views: Mapping[View, Comparison],
    regions: Mapping[str, RegionChange],
    settings: Settings,
) -> str:
    """Why what was compared may be one photograph, two people, or not skin alone; empty where it is not."""
    files = [{photo.view: photo.photo_sha256 for photo in visit.photos} for visit in (first, second)]
    copied = [view for view, digest in files[0].items() if digest and files[1].get(view) == digest]
    if copied:
        return (
            f"The very file of the baseline: {', '.join(copied)}. Expected another photo. Copy it from the "
            "camera again."
        )
    if copied := [view for view, one in views.items() if one.one_photograph]:
        return (
            f"The baseline's own photograph, written anew: {', '.join(copied)}. Expected another photo. Copy "
            "it from the camera again."
        )
    limit = settings.quality.registration_residual
    doubted = [view for view, one in views.items() if one.doubtful(limit)]
    if doubted:
        return (
            f"The visits hardly fit over each other: {', '.join(doubted)}. Look at the pictures: is it this "
            "patient, in the same light? Until then no change of the mMASI is told."
        )
    apart = [name for name in MASI_REGIONS if ROUTES_DIFFER in regions[name].flag.split(";")]
    if apart:
        return (
            f"The two ways to tell the change contradict each other: {', '.join(apart)}. Look at the "
            "pictures: does something cover the skin, or are a photo's colours others? Until then no change "
            "of the mMASI is told."
        )
    if mixed := [name for name in MASI_REGIONS if MIXED in regions[name].flag.split(";")]:
        return (
            f"One visit alone was corrected by its colour card: {', '.join(mixed)}. Expected both, or "
            "neither. Photograph the card at every visit, or set colour_card.use to ignore."
        )
    return ""


Flags = Mapping[View, Mapping[str, str]]
"""Per photo and region, why it cannot be compared; empty where it can."""


def _flags(visit: VisitScore, unfit: Collection[View]) -> Flags:
    """What quality refused, and the views that do not fit over each other."""
    return {
        photo.view: {
            name: "not_aligned" if photo.view in unfit else one.flag * (one.flag in REFUSED)
            for name, one in photo.regions.items()
        }
        for photo in visit.photos
    }


@dataclass(frozen=True)
class _Laid:
    """Two visits as far as they lie over each other.

    Parameters
    ----------
    views : mapping
        The views that fit.
    seen, flags : pair
        Of either visit: the photos that were measured, and why regions of them cannot be compared.
    visits : pair of VisitScore
    """

    views: Mapping[View, Comparison]
    seen: Sequence[Mapping[View, PhotoMeasures]]
    flags: Sequence[Flags]
    visits: tuple[VisitScore, VisitScore]

    def refusal(self, view: View, region: str) -> str:
        """Why a region of a view that both visits have cannot be compared; empty where it can."""
        if not all(view in measured for measured in self.seen):
            return ""
        return next((flag for one in self.flags if (flag := one.get(view, {}).get(region, ""))), "")

    def least_visible(self, view: View, limits: QualitySettings) -> float:
        """How much of a region both photos of a view must show."""
        return limits.least_visible(*(place_of(one.patient, one.visit, view) for one in self.visits))

    def accepted(self, view: View, region: str) -> bool:
        """Whether a check of the region was overridden at either visit."""
        photos = [photo for visit in self.visits for photo in visit.photos if photo.view == view]
        return any(ACCEPTED in photo.regions[region].flag for photo in photos)

    def has(self, view: View) -> bool:
        """Whether a visit has a photo of the view."""
        return any(view in flags for flags in self.flags)


def _of_region(
    name: str, members: list[int], laid: _Laid, settings: Settings, models: Models
) -> RegionChange:
    """The region in the first of its preferred views that shows enough of it at both visits."""
    whole, area = np.isin(models.face.atlas.labels, members), skin_area(models.face.atlas)
    preferred = preferred_views(name)
    unseen = [visit.reason for visit, seen in zip(laid.visits, laid.seen, strict=True) if not seen]
    best = RegionChange(None, flag=next(filter(None, unseen), "region_hidden"))
    for view in preferred:
        if refused := laid.refusal(view, name):
            best = RegionChange(view, flag=refused)
            continue
        if view not in laid.views:
            continue
        comparison, measures = laid.views[view], [visit[view] for visit in laid.seen]
        change = comparison.change
        common = np.isin(measures[0].codes, members) & change.skin
        share = visible_share(np.where(change.skin, measures[0].codes, 0), members, models.face.atlas)
        if share < laid.least_visible(view, settings.quality):
            best = RegionChange(view, share, flag="region_hidden")
            continue
        method = measures[0].pigment.method
        error, is_learned = models.pigment.errors[method], method == learned.METHOD
        found = [
            measure_region(pigment, common, whole=whole, area=area, error=error)
            for pigment in (measures[0].pigment, comparison.follow_up.pigment)
        ]
        mean = mean_over_area(change.change_od, common, area)
        low, high = models.pigment.change_error.around(mean)
        darker, lighter = (share_of_area(common & (change.plain == sign), common, area) for sign in (1, -1))
        others = {
            ACCEPTED: laid.accepted(view, name),
            "other_view": view != preferred[0] and laid.has(preferred[0]),
            "doubtful": comparison.doubtful(settings.quality.registration_residual),
            ROUTES_DIFFER: is_learned and abs(mean - _difference_od(found)) > _ROUTES_APART_OD,
            UNDECIDED: max(one.undecided_fraction if one else 0.0 for one in found)
            > settings.pigment.undecided_fraction,
            MIXED: len({isinstance(one.card, Correction) for one in measures}) > 1,
        }
        flag = ";".join(word for word, holds in others.items() if holds)
        return RegionChange(
            view,
            common_fraction=share,
            before=found[0],
            after=found[1],
            registered_od=mean,
            registered_od_low=low,
            registered_od_high=high,
            darker_fraction=darker,
            lighter_fraction=lighter,
            tone=change.tone,
            spread_od=change.spread_od,
            flag=flag,
        )
    return best


def _difference_od(found: Sequence[RegionMeasure | None]) -> float:
    """The change by the first route: of the two visits' own measures."""
    before, after = (0.0 if one is None else one.integrated_od for one in found)
    return after - before


def _check_alike(visit: VisitScore, first: VisitScore, settings: Settings) -> None:
    made = visit.provenance
    if made != first.provenance or made.settings_sha256 != settings.sha256:
        raise ValueError(
            f"{visit.visit} was scored by {made.version} under settings {made.settings_sha256[:8]}, the "
            f"baseline by {first.provenance.version} under {first.provenance.settings_sha256[:8]}, and the "
            f"comparison asks for {settings.sha256[:8]}. Expected one version, one set of models and one of "
            "settings. Score both visits again."
        )


def _outcome(
    first: VisitScore,
    second: VisitScore,
    regions: Mapping[str, RegionChange],
    astray: Mapping[View, float],
    settings: Settings,
) -> tuple[Literal["compared", "not_compared"], ReasonCode | None, str]:
    if "front" in astray:
        return "not_compared", "not_aligned", _left_apart(astray, settings)
    if any(regions[name].before is not None for name in MASI_REGIONS):
        return "compared", None, _left_apart(astray, settings) if astray else ""
    for visit, which in ((first, "baseline"), (second, "follow-up")):
        if visit.status == "not_scored" and not any(photo.measures for photo in visit.photos):
            return "not_compared", visit.reason, f"The {which} could not be measured. {visit.message}"
    refused = [regions[name].flag for name in MASI_REGIONS if regions[name].flag in REFUSED[1:]]
    if refused:
        return (
            "not_compared",
            cast(ReasonCode, refused[0]),
            "What both visits show is too badly lit to compare, at one visit or both. See the scores.",
        )
    if astray:
        return "not_compared", "not_aligned", _left_apart(astray, settings)
    return (
        "not_compared",
        "region_hidden",
        "No region of MASI is seen in the same view at both visits. Expected the same views at every visit, "
        "with the skin uncovered.",
    )


def _left_apart(astray: Mapping[View, float], settings: Settings) -> str:
    left = ", ".join(f"{view} {share:.1%}" for view, share in astray.items())
    return (
        f"The visits do not fit over each other: by so much of the face's width skin lies apart: {left}. "
        f"Expected at most {settings.quality.registration_residual.fail:.1%}. See whether both are this "
        "patient, in the same pose."
    )


def _mmasi_change(
    first: VisitScore, second: VisitScore, share: float
) -> tuple[float | None, float | None, float | None]:
    if first.scores is None or second.scores is None:
        return None, None, None
    views = [[_seen_in(visit.regions[name]) for name in MASI_REGIONS] for visit in (first, second)]
    if views[0] != views[1]:
        return None, None, None
    before, after = ((one.mmasi_low, one.mmasi_high, one.mmasi) for one in (first.scores, second.scores))
    low, high = change_ends(before, after, share=share)
    return round(after[2] - before[2], 1), low, high  # of tenths, which floating point does not keep


def _seen_in(region: RegionResult) -> View | None:
    """The view that a region is measured in alone; None where it is measured in both that show it."""
    return region.view if region.view_share == 1 else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 5)
