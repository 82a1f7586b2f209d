"""What changed in one region between two visits: by their own measures, and by the photographs laid over."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from masi_vision.config import QualitySettings, Settings
from masi_vision.face.align import skin_area
from masi_vision.names import View, place_of
from masi_vision.photo.colour_correction import Correction
from masi_vision.pigment import learned
from masi_vision.pigment.measure import RegionMeasure, mean_over_area, measure_region, share_of_area
from masi_vision.visit.laid_over import Comparison
from masi_vision.visit.measure import PhotoMeasures, visible_share
from masi_vision.visit.models import Models
from masi_vision.visit.region import (
    ACCEPTED,
    HIDDEN,
    MIXED,
    OTHER_VIEW,
    REFUSED,
    UNDECIDED,
    Flags,
    flag_words,
    flags_text,
    holding,
    preferred_views,
)
from masi_vision.visit.score import VisitScore


@dataclass(frozen=True)
class RegionChange:
    """What changed in one region, on the skin seen in both visits, within the baseline's borders.

    Parameters
    ----------
    view : {"front", "left", "right"} or None
        None where no view shows the region in both visits.
    common_fraction : float or None
        Skin seen in both, less the rim of what one of them hides, over the whole region.
    before, after : RegionMeasure or None
        The same skin at both visits.
    registered_od, registered_od_low, registered_od_high : float or None
        Mean change of density over the common skin, from the photographs laid over each other, and its 90 %
        interval; below 0 where the skin got lighter.
    darker_fraction, lighter_fraction : float or None
        Share of the common skin that plainly changed.
    tone, evened_od, lamp_od, spread_od, clear_fraction : float or None
        Of the photographs' fit, see `ChangeMap`; of the lamp its ``lamp_spread_od``.
    flags : tuple of str
        Why it is not compared: a visit's reason where nothing of it was measured, one of `REFUSED` at a
        visit, ``not_aligned``. Or `ACCEPTED` or `UNDECIDED` at a visit, `OTHER_VIEW`, `DOUBTFUL`,
        `ROUTES_DIFFER`, `MIXED`.
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
    evened_od: float | None = None
    lamp_od: float | None = None
    spread_od: float | None = None
    clear_fraction: float | None = None
    flags: Flags = ()

    def __str__(self) -> str:
        """In a line: the change by the second route, and the flag."""
        change = "" if self.registered_od is None else f"{1000 * self.registered_od:+.1f} thousandths OD"
        return ", ".join(filter(None, (change, flag_words(self.flags))))

    @property
    def flag(self) -> str:
        """As the tables have it."""
        return flags_text(self.flags)

    @property
    def registered(self) -> tuple[float, float, float] | None:
        """Change by the second route in OD, and its ends; None where the region is not compared."""
        low, high = self.registered_od_low, self.registered_od_high
        if self.registered_od is None or low is None or high is None:
            return None
        return self.registered_od, low, high

    @property
    def doubts(self) -> Flags:
        """Those of its flags for which a change is to be looked at before it is used."""
        return tuple(flag for flag in self.flags if flag in _DOUBTS)

    def to_dict(self) -> dict[str, Any]:
        """Plain values; those of the first route are differences of the two visits' measures."""
        values: dict[str, Any] = {"view": self.view, "flag": self.flag}
        values["common_fraction"] = rounded(self.common_fraction)
        for name in ("pigmented_fraction", "contrast_od", "integrated_od"):
            before, after = (getattr(measure, name, None) for measure in (self.before, self.after))
            change = None if before is None or after is None else after - before
            if name == "contrast_od" and not (before and after):
                change = None  # that there is no pigment is no contrast of 0
            values[f"{name}_before"], values[f"{name}_after"] = rounded(before), rounded(after)
            values[f"{name}_change"] = rounded(change)
        for name in REGISTERED:
            values[name] = rounded(getattr(self, name))
        return values


DOUBTFUL = "doubtful"
"""Flag of a region whose photographs hardly fit over each other."""
ROUTES_DIFFER = "routes_differ"
"""Flag of a region in which the two ways to tell the change are far apart."""
_ROUTES_APART_OD = 0.08
"""In none of 1,344 pairs of benchmarks/pigment.py the learned map and the photographs laid over each other
were so far apart. Chosen here, with its test people in view."""
_DOUBTS = (DOUBTFUL, ROUTES_DIFFER, UNDECIDED, MIXED)
REGISTERED = (
    *("registered_od", "registered_od_low", "registered_od_high", "darker_fraction", "lighter_fraction"),
    *("tone", "evened_od", "lamp_od", "spread_od", "clear_fraction"),
)
"""What only the second route knows of a region."""


Refusals = Mapping[View, Mapping[str, str]]
"""Per photo and region, why it cannot be compared; empty where it can."""


def refusals(visit: VisitScore, unfit: Collection[View]) -> Refusals:
    """What quality refused, and the views that do not fit over each other."""
    return {
        photo.view: {
            name: "not_aligned" if photo.view in unfit else next((f for f in one.flags if f in REFUSED), "")
            for name, one in photo.regions.items()
        }
        for photo in visit.photos
    }


@dataclass(frozen=True)
class LaidVisits:
    """Two visits as far as they lie over each other.

    Parameters
    ----------
    views : mapping
        The views that fit.
    seen, refusals : pair
        Of either visit: the photos that were measured, and why regions of them cannot be compared.
    visits : pair of VisitScore
    """

    views: Mapping[View, Comparison]
    seen: Sequence[Mapping[View, PhotoMeasures]]
    refusals: Sequence[Refusals]
    visits: tuple[VisitScore, VisitScore]

    def refusal(self, view: View, region: str) -> str:
        """Why a region of a view that both visits have cannot be compared; empty where it can."""
        if not all(view in measured for measured in self.seen):
            return ""
        return next((why for one in self.refusals if (why := one.get(view, {}).get(region, ""))), "")

    def unmeasured(self, view: View) -> str:
        """Why a photo of the view was not measured; empty where those that are there were."""
        photos = (photo for visit in self.visits for photo in visit.photos if photo.view == view)
        return next((photo.reason for photo in photos if photo.measures is None and photo.reason), "")

    def least_visible(self, view: View, limits: QualitySettings) -> float:
        """How much of a region both photos of a view must show."""
        return limits.least_visible(*(place_of(one.patient, one.visit, view) for one in self.visits))

    def accepted(self, view: View, region: str) -> bool:
        """Whether a check of the region was overridden at either visit."""
        photos = [photo for visit in self.visits for photo in visit.photos if photo.view == view]
        return any(ACCEPTED in photo.regions[region].flags for photo in photos)

    def both_have(self, view: View) -> bool:
        """Whether both visits have a photo of the view."""
        return all(view in one for one in self.refusals)

    def has(self, view: View) -> bool:
        """Whether a visit has a photo of the view."""
        return any(view in one for one in self.refusals)


def region_change(
    name: str, members: list[int], laid: LaidVisits, settings: Settings, models: Models
) -> RegionChange:
    """The region in the first of its preferred views that shows enough of it at both visits."""
    preferred = preferred_views(name)
    unseen = [visit.reason for visit, seen in zip(laid.visits, laid.seen, strict=True) if not seen]
    nowhere = HIDDEN if any(laid.both_have(view) for view in preferred) else "no_photo"
    best = RegionChange(None, flags=(next(filter(None, unseen), nowhere),))
    for view in preferred:
        if lost := laid.unmeasured(view):
            best = RegionChange(None, flags=(lost,))
        elif refused := laid.refusal(view, name):
            best = RegionChange(view, flags=(refused,))
        elif view in laid.views:
            common = _common_skin(view, members, laid)
            share = visible_share(common * laid.seen[0][view].codes, members, models.face.atlas)
            if share >= laid.least_visible(view, settings.quality):
                return _changed(name, view, members, common, share, laid, settings, models)
            best = RegionChange(view, share, flags=(HIDDEN,))
    return best


def _common_skin(view: View, members: list[int], laid: LaidVisits) -> npt.NDArray[np.bool_]:
    """Skin of a region that both photos of a view show, in the baseline's frame."""
    return np.isin(laid.seen[0][view].codes, members) & laid.views[view].change.skin


def _changed(
    name: str,
    view: View,
    members: list[int],
    common: npt.NDArray[np.bool_],
    share: float,
    laid: LaidVisits,
    settings: Settings,
    models: Models,
) -> RegionChange:
    """What changed on the skin ``common`` of a region, by both routes."""
    comparison, measures = laid.views[view], [visit[view] for visit in laid.seen]
    change, method = comparison.change, measures[0].pigment.method
    whole, area = np.isin(models.face.atlas.labels, members), skin_area(models.face.atlas)
    found = [
        measure_region(pigment, common, whole=whole, area=area, error=models.pigment.errors[method])
        for pigment in (measures[0].pigment, comparison.follow_up.pigment)
    ]
    mean = mean_over_area(change.change_od, common, area)
    low, high = models.pigment.change_error.around(mean, change.clear_fraction)
    darker, lighter = (share_of_area(common & (change.plain == sign), common, area) for sign in (1, -1))
    preferred, difference = preferred_views(name)[0], _difference_od(found)
    most_undecided = max(one.undecided_fraction if one else 0.0 for one in found)
    decided = most_undecided <= settings.pigment.undecided_fraction
    flags = {
        ACCEPTED: laid.accepted(view, name),
        OTHER_VIEW: view != preferred and laid.has(preferred),
        DOUBTFUL: comparison.doubtful(settings.quality.registration_residual),
        ROUTES_DIFFER: method == learned.METHOD
        and contradict(mean, (low, high), difference, decided=decided),
        UNDECIDED: not decided,
        MIXED: len({isinstance(one.card, Correction) for one in measures}) > 1,
    }
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
        evened_od=change.evened_od,
        lamp_od=change.lamp_spread_od,
        spread_od=change.spread_od,
        clear_fraction=change.clear_fraction,
        flags=holding(flags),
    )


def contradict(
    registered_od: float, ends_od: tuple[float, float], difference_od: float, *, decided: bool
) -> bool:
    """Whether the two routes tell changes that cannot both be: far apart, or of two signs and both sure.

    The second route is sure where its interval leaves out 0, the first where the map is decided. That was so
    in 2 of 523 regions of 71 validation people (by hand, before photographs were made equally sharp), in one
    of which the second was wrong by 0.08 OD.
    """
    low, high = ends_od
    other_sign = (low > 0 > difference_od) or (high < 0 < difference_od)
    return (decided and other_sign) or abs(registered_od - difference_od) > _ROUTES_APART_OD


def _difference_od(found: Sequence[RegionMeasure | None]) -> float:
    """The change by the first route: of the two visits' own measures."""
    before, after = (0.0 if one is None else one.integrated_od for one in found)
    return after - before


def rounded(value: float | None) -> float | None:
    """To five places; None stays."""
    return None if value is None else round(value, 5)
