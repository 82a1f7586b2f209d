"""Two visits of a patient laid over each other, and what changed between them.

The follow-up is carried onto its baseline's frame, so that borders and visible skin are the same for both,
and the change is taken twice: as the difference of two measures, and from one photograph laid over the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from os import PathLike
from typing import Any, Literal

import numpy as np

from masi_vision.config import Settings
from masi_vision.errors import ReasonCode
from masi_vision.names import View, place_of
from masi_vision.pigment.change import NoCommonSkin
from masi_vision.pigment.interval import ChangeError
from masi_vision.scale import MASI_REGIONS, REGION_TENTHS
from masi_vision.visit.laid_over import Comparison, face_in_frame, laid_over
from masi_vision.visit.measure import PhotoMeasures, region_members
from masi_vision.visit.models import Models
from masi_vision.visit.region import (
    METHODS,
    MIXED,
    REFUSED,
    RegionResult,
    flag_words,
)
from masi_vision.visit.region_change import (
    ROUTES_DIFFER,
    LaidVisits,
    RegionChange,
    refusals,
    region_change,
    rounded,
)
from masi_vision.visit.score import (
    Provenance,
    VisitScore,
    change_ends,
    provenance_of,
    score_visit,
    usable_models,
    usable_settings,
)
from masi_vision.visit.since_first import came_before, same_files

Change = tuple[float | None, float | None, float | None]
"""A change and the ends of its 90 % interval; None where nothing is told of it."""
Place = tuple[str, str, View]
"""Patient, visit and view of a photo."""
_UNKNOWN: Change = (None, None, None)
_WEIGHTS = [REGION_TENTHS[name] for name in MASI_REGIONS]


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
        score, or a region of MASI was scored in another view, and where the visits may be of two people or
        of one photograph, or contradict each other; `message` says which.
    amount_change_od, amount_change_od_low, amount_change_od_high : float or None
        Change of the amount of pigment, laid over each other: mean of the regions' `registered_od`, weighted
        as in MASI, and its 90 % interval. None where one of the four was not compared, and as above.
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
    amount_change_od: float | None
    amount_change_od_low: float | None
    amount_change_od_high: float | None
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
        if self.amount_change_od is not None:
            ends = (self.amount_change_od, self.amount_change_od_low, self.amount_change_od_high)
            numbers = [f"{1000 * one:+.1f}" for one in ends if one is not None]
            head += ", amount {} ({} to {}) thousandths OD".format(*numbers)
        told = (f"  {name}: {one}" for name, one in self.regions.items())
        return "\n".join([f"{head}. {self.message}".removesuffix(" "), *told])

    @property
    def amount_before_od(self) -> float | None:
        """Amount of pigment at the baseline, by its own measures; None where a region was not graded.

        Weighted as in MASI: the mean of the regions' `integrated_od`.
        """
        regions = (self.baseline.regions[name] for name in MASI_REGIONS if name in self.baseline.regions)
        found = [one.measure.integrated_od for one in regions if one.measure and one.grade]
        return float(np.average(found, weights=_WEIGHTS)) if len(found) == len(MASI_REGIONS) else None

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
            "mmasi_change": rounded(self.mmasi_change),
            "mmasi_change_low": rounded(self.mmasi_change_low),
            "mmasi_change_high": rounded(self.mmasi_change_high),
            "amount_before_od": rounded(self.amount_before_od),
            "amount_change_od": rounded(self.amount_change_od),
            "amount_change_od_low": rounded(self.amount_change_od_low),
            "amount_change_od_high": rounded(self.amount_change_od_high),
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
    first, second = _both_scored((baseline, follow_up), settings, models)
    seen = [{p.view: p.measures for p in visit.photos if p.measures is not None} for visit in (first, second)]
    fit, astray = _laid_views(seen, models, settings)
    residuals = astray | {view: one.residual_fraction for view, one in fit.items()}
    views = {} if "front" in astray else fit  # of what may be two people nothing is compared
    unfit = residuals.keys() - views.keys()
    members = region_members(settings.scale)
    laid = LaidVisits(views, seen, [refusals(visit, unfit) for visit in (first, second)], (first, second))
    regions = {name: region_change(name, members[name], laid, settings, models) for name in members}
    status, reason, message = _outcome(first, second, regions, astray, settings)
    unsure, turned = "", ""
    change, amount = _UNKNOWN, _UNKNOWN
    if status == "compared":
        unsure = _unsure(first, second, views, regions, settings)
        turned = _turned_around(first, second)
        if not (astray or unsure):  # of what may be two people nothing is taken
            share = models.pigment.errors[METHODS[settings.pigment.method]].change_share
            change = _mmasi_change(first, second, share)
            amount = _amount_change(regions, models.pigment.change_error)
            unsure = _untold(first, second, regions, change, amount)
    return VisitChange(
        baseline=first,
        follow_up=second,
        status=status,
        reason=reason,
        message=" ".join(filter(None, (message, unsure, turned))),
        regions=regions,
        mmasi_change=change[0],
        mmasi_change_low=change[1],
        mmasi_change_high=change[2],
        amount_change_od=amount[0],
        amount_change_od_low=amount[1],
        amount_change_od_high=amount[2],
        residual_fraction=residuals,
        views=views,
    )


def without_copies(changes: Sequence[VisitChange]) -> list[VisitChange]:
    """The comparisons of a study, without a change where nobody knows of which visit a photo is.

    Parameters
    ----------
    changes : sequence of VisitChange
        Of all patients. A follow-up that is its own baseline's file says so already, see `compare_visits`.
    """
    groups = same_files(photos_of(changes).items())
    return [_without_copies(change, groups) for change in changes]


def photos_of(changes: Sequence[VisitChange]) -> dict[Place, str | None]:
    """SHA-256 of every photo that was compared."""
    return {
        (visit.patient, visit.visit, photo.view): photo.photo_sha256
        for change in changes
        for visit in (change.baseline, change.follow_up)
        for photo in visit.photos
    }


def _without_copies(change: VisitChange, groups: Sequence[Sequence[Place]]) -> VisitChange:
    """A comparison as it was, or without its change where nobody knows of which visit a photo of it is.

    The same view of both is no business of this: `compare_visits` says so.
    """
    own = {(visit.patient, visit.visit) for visit in (change.baseline, change.follow_up)}
    elsewhere = []
    for same in groups:
        visits, views = {place[:2] for place in same}, {place[2] for place in same}
        if own & visits and (visits - own or (len(visits) > 1 and len(views) > 1)):
            elsewhere.append(same)
    if not elsewhere:
        return change
    named = "; ".join(", ".join(place_of(*place) for place in same) for same in elsewhere)
    why = (
        f"One and the same file: {named}. Expected a photo of each; of which visit it is nobody knows, and "
        "no change of the mMASI or the amount is told. Copy them from the camera again, or take the visits "
        "out that it is not of."
    )
    return replace(
        change,
        message=" ".join(filter(None, (change.message, why))),
        mmasi_change=None,
        mmasi_change_low=None,
        mmasi_change_high=None,
        amount_change_od=None,
        amount_change_od_low=None,
        amount_change_od_high=None,
    )


def _both_scored(
    visits: tuple[VisitScore | str | PathLike[str], VisitScore | str | PathLike[str]],
    settings: Settings,
    models: Models,
) -> tuple[VisitScore, VisitScore]:
    """Scores of both, made now or before, under the same settings, models and version."""
    for one in visits:
        if not isinstance(one, VisitScore | str | PathLike):
            raise ValueError(
                f"what is compared must be a VisitScore, or the path of a folder or photo, got {type(one)}. "
                'Of a Photo: score_visit({"front": photo}).'
            )
    first, second = (
        one if isinstance(one, VisitScore) else score_visit(one, settings, models=models) for one in visits
    )
    asked = provenance_of(settings, models)
    for visit in (first, second):
        _check_alike(visit, asked)
        if any(photo.regions and photo.measures is None for photo in visit.photos):
            raise ValueError(
                f"{visit.visit or 'A visit'} has lost the measures of its photos. Expected the results of "
                "score_visit as they were: score its photos again."
            )
    return first, second


def _laid_views(
    seen: Sequence[Mapping[View, PhotoMeasures]], models: Models, settings: Settings
) -> tuple[dict[View, Comparison], dict[View, float]]:
    """The views that fit over each other, and how far the others lie apart."""
    fit: dict[View, Comparison] = {}
    astray: dict[View, float] = {}
    for view in (view for view in seen[0] if view in seen[1]):
        before, after = (face_in_frame(measures[view]) for measures in seen)
        try:
            comparison = laid_over(before, after, models.face.atlas)
        except NoCommonSkin:
            continue  # its regions are hidden
        if comparison.aligned(settings.quality.registration_residual):
            fit[view] = comparison
        else:
            astray[view] = comparison.residual_fraction
    return fit, astray


def _turned_around(first: VisitScore, second: VisitScore) -> str:
    """That the follow-up came before the baseline by the camera's clock; empty where that does not say so."""
    before, after = (
        {photo.view: photo.measures.photo.capture for photo in visit.photos if photo.measures}
        for visit in (first, second)
    )
    if not any(came_before(after[view], before[view]) for view in before.keys() & after.keys()):
        return ""
    return (
        "By the camera's clock the follow-up was taken before the baseline. Expected after it. Set the "
        "clock, or see whether the visits are mixed up: then every change has the other sign."
    )


def _untold(
    first: VisitScore, second: VisitScore, regions: Mapping[str, RegionChange], change: Change, amount: Change
) -> str:
    """Why visits that were compared have no change of the mMASI or the amount; empty where they have both."""
    told = []
    if change[0] is None:
        told.append(f"No change of the mMASI: {_without_change(first, second)}.")
    if amount[0] is None:
        lost = [name for name in MASI_REGIONS if regions[name].registered_od is None]
        named = ", ".join(f"{name} ({flag_words(regions[name].flags)})" for name in lost)
        told.append(f"No change of the amount: not compared is {named}.")
    return " ".join(told)


def _without_change(first: VisitScore, second: VisitScore) -> str:
    for visit, which in ((first, "baseline"), (second, "follow-up")):
        if visit.scores is None:
            return f"the {which} was not scored ({visit.reason})"
    return "a region was measured in other views at the two visits"


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
            "patient, in the same light? Until then no change of the mMASI or the amount is told."
        )
    apart = [name for name in MASI_REGIONS if ROUTES_DIFFER in regions[name].flags]
    if apart:
        return (
            f"The two ways to tell the change contradict each other: {', '.join(apart)}. Look at the "
            "pictures: does something cover the skin, are a photo's colours others, or did pigment of most "
            "of the face clear? Until then no change of the mMASI or the amount is told."
        )
    if mixed := [name for name in MASI_REGIONS if MIXED in regions[name].flags]:
        return (
            f"One visit alone was corrected by its colour card: {', '.join(mixed)}. Expected both, or "
            "neither. Photograph the card at every visit, or set colour_card.use to ignore."
        )
    return ""


def _check_alike(visit: VisitScore, asked: Provenance) -> None:
    made = visit.provenance
    if made != asked:
        raise ValueError(
            f"{visit.visit or 'A visit'} was scored by {_told(made)}; the comparison asks for {_told(asked)}."
            " Expected one version, one set of models and one of settings. Score both visits again, or name "
            "those that they were scored with."
        )


def _told(made: Provenance) -> str:
    hashes = sha256(repr(sorted(made.models_sha256.items())).encode()).hexdigest()
    return f"{made.version}, models {made.models} ({hashes[:8]}), settings {made.settings_sha256[:8]}"


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
    refused = [f for name in MASI_REGIONS for f in regions[name].flags if f in REFUSED[1:]]
    if refused:
        return (
            "not_compared",
            refused[0],
            "What both visits show is too badly lit to compare, at one visit or both. See the scores.",
        )
    if astray:
        return "not_compared", "not_aligned", _left_apart(astray, settings)
    shown = [[photo.view for photo in visit.photos] for visit in (first, second)]
    if not set(shown[0]) & set(shown[1]):
        views = ", the follow-up ".join(" and ".join(of) or "no photo" for of in shown)
        return (
            "not_compared",
            "no_photo",
            f"The visits share no view: the baseline has {views}. Expected the same views at every visit.",
        )
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


def _mmasi_change(first: VisitScore, second: VisitScore, share: float) -> Change:
    if first.scores is None or second.scores is None:
        return _UNKNOWN
    views = [[_seen_in(visit.regions[name]) for name in MASI_REGIONS] for visit in (first, second)]
    if views[0] != views[1]:
        return _UNKNOWN
    before, after = ((one.mmasi, one.mmasi_low, one.mmasi_high) for one in (first.scores, second.scores))
    low, high = change_ends(before, after, share=share)
    return round(after[0] - before[0], 1), low, high  # of tenths, which floating point does not keep


def _amount_change(regions: Mapping[str, RegionChange], error: ChangeError) -> Change:
    found = [done for name in MASI_REGIONS if (done := regions[name].registered) is not None]
    if len(found) < len(MASI_REGIONS):
        return _UNKNOWN
    changes, ends = [change for change, *_ in found], [(low, high) for _, low, high in found]
    return float(np.average(changes, weights=_WEIGHTS)), *error.around_mean(ends, _WEIGHTS)


def _seen_in(region: RegionResult) -> View | None:
    """The view that a region is measured in alone; None where it is measured in both that show it."""
    return region.view if region.view_share == 1 else None
