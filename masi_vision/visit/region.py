"""One region of a photo or visit: from which view, what was measured, its grades, or why it has none."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, cast

import numpy as np

from masi_vision.config import ScaleSettings, Settings
from masi_vision.errors import ReasonCode
from masi_vision.names import View
from masi_vision.photo.colour_correction import Correction
from masi_vision.pigment import learned, rules
from masi_vision.pigment.measure import RegionMeasure
from masi_vision.scale import (
    ABSENT,
    MASI_REGIONS,
    RegionGrade,
    area_grade,
    darkness_grade,
    homogeneity_grade,
)
from masi_vision.visit.measure import PhotoMeasures, region_members
from masi_vision.visit.models import Models
from masi_vision.visit.quality import Finding, Result, floored, of_region
from masi_vision.visit.views import differ, joined, likeness_of

METHODS: Mapping[str, str] = {"learned": learned.METHOD, "classical": rules.METHOD}
"""Method in the settings to the version of its map, as it stands beside every score."""

# Where a region is looked at first. The malar regions are seen squarely from their own side.
_PREFERRED: Mapping[str, tuple[View, ...]] = {
    "right_malar": ("right", "front"),
    "left_malar": ("left", "front"),
}
_FRONT: tuple[View, ...] = ("front",)

HIDDEN: ReasonCode = "region_hidden"
REFUSED: tuple[ReasonCode, ...] = (HIDDEN, "clipped", "too_dark")
"""Flags of a region that is seen too badly to be graded."""
MIXED = "colours_differ"
"""Flag of what is measured in two photos of which one alone was corrected by its colour card."""
UNLIKE = "views_unlike"
"""Flag of what is measured in two photos of one visit that may not show one person."""
UNDECIDED = "undecided"
"""Flag of a region of whose skin the map often does not know whether it is pigment."""
ACCEPTED = "accepted"
"""Flag of a region that a check refuses and a person accepted; a view that passes is taken before it."""
OTHER_VIEW = "other_view"
"""Flag of a region that is not measured in the view that faces it, though the visit has that one."""
VIEWS_DIFFER = "views_differ"
"""Flag of a region in which two views disagree beyond their intervals."""
DISAGREEMENT = "disagreement"
"""Flag of a region in which the second opinion finds much more or less."""
Flags = tuple[str, ...]
_WORDS: Mapping[str, str] = {
    HIDDEN: "hidden",
    "clipped": "burnt out",
    DISAGREEMENT: "second opinion differs",
}
"""What people read where the code alone would not tell them."""


@dataclass(frozen=True)
class RegionResult:
    """One region of a photo or visit.

    Parameters
    ----------
    view : {"front", "left", "right"} or None
        The photo it was measured in, or weighs most; None where it was measured in none.
    measure : RegionMeasure or None
    grade : RegionGrade or None
        None for nose and upper lip, which MASI does not grade, and where too little skin is visible.
    flags : tuple of str
        Why it is not graded: one of `REFUSED`, or why no photo of it was measured. Or `ACCEPTED`,
        `OTHER_VIEW`, `VIEWS_DIFFER`, `UNLIKE`, `MIXED`, `UNDECIDED`, `DISAGREEMENT`.
    second_opinion_fraction : float or None
        Pigmented fraction by the classical map, where the learned one is measured.
    refusal : str
        The sentence that goes with a flag of `REFUSED`.
    view_share : float or None
        How much of the measure is by `view`; the rest is by the other view that shows it.
    """

    view: View | None
    measure: RegionMeasure | None
    grade: RegionGrade | None
    flags: Flags = ()
    second_opinion_fraction: float | None = None
    refusal: str = ""
    view_share: float | None = None

    def __str__(self) -> str:
        """In a line: grades, how much is pigmented, the flag."""
        grade = self.grade
        parts = [
            "" if grade is None else f"area {grade.area}, darkness {grade.darkness}",
            ""
            if self.measure is None or is_refused(self)
            else f"{100 * self.measure.pigmented_fraction:.1f} % pigmented",
            flag_words(self.flags),
        ]
        return ", ".join(filter(None, parts)) or "nothing known"

    @property
    def flag(self) -> str:
        """As the tables have it."""
        return flags_text(self.flags)


def flags_text(flags: Flags) -> str:
    """Flags as the tables have them: with a ``;`` between."""
    return ";".join(flags)


def flags_in(cell: str) -> Flags:
    """The flags behind a cell that `flags_text` made."""
    return tuple(filter(None, cell.split(";")))


def flag_words(flags: Flags) -> str:
    """Flags, or a reason, as people read them on pictures, sheets and the terminal."""
    return ", ".join(_WORDS.get(flag, flag.replace("_", " ")) for flag in flags)


def preferred_views(region: str) -> tuple[View, ...]:
    """The views that show a region, the one that faces it first."""
    return _PREFERRED.get(region, _FRONT)


def faced_by(region: str, views: Collection[View]) -> View | None:
    """Of these views the one where a region is looked for first."""
    return next((view for view in preferred_views(region) if view in views), None)


def region_result(
    region: str, measures: PhotoMeasures, findings: Collection[Finding], settings: Settings, place: str
) -> RegionResult:
    """A region of one photo, given the checks of its quality."""
    view, measure, second = measures.view, measures.regions[region], measures.second_fraction[region]
    least = settings.quality.least_visible(place)
    if measure is None or measure.visible_fraction < least:
        return RegionResult(
            view, measure, None, (HIDDEN,), second, hidden_sentence(region, view, measure, least)
        )
    # What is measured and not graded has a finding only where it is unfit, and that fails no photo.
    unfit_is: Result = "fail" if region in MASI_REGIONS else "warn"
    for unfit in of_region(findings, region, unfit_is):
        if unfit.reason in REFUSED and unfit.check != "visible_fraction":
            return RegionResult(view, measure, None, (str(unfit.reason),), second, unfit.sentence)
    result = _graded(region, view, measure, second, settings)
    accepted = (ACCEPTED,) if of_region(findings, region, "accepted") else ()
    return replace(result, flags=(*accepted, *result.flags), view_share=1.0)


def _graded(
    region: str, view: View | None, measure: RegionMeasure, second: float | None, settings: Settings
) -> RegionResult:
    graded = grade(measure, settings.scale) if region in MASI_REGIONS else None
    apart = 0.0 if second is None else abs(second - measure.pigmented_fraction)
    flags = {
        UNDECIDED: measure.undecided_fraction > settings.pigment.undecided_fraction,
        DISAGREEMENT: apart > settings.pigment.disagreement_fraction,
    }
    return RegionResult(view, measure, graded, holding(flags), second)


def holding(flags: Mapping[str, bool]) -> Flags:
    """Those that hold."""
    return tuple(flag for flag, holds in flags.items() if holds)


def is_refused(region: RegionResult) -> bool:
    """Whether it is seen too badly to be graded."""
    return not set(region.flags).isdisjoint(REFUSED)


def merged(
    region: str,
    results: Mapping[View, Mapping[str, RegionResult]],
    measures: Mapping[View, PhotoMeasures],
    settings: Settings,
    models: Models,
    unseen: ReasonCode,
) -> RegionResult:
    """A region of a visit, from those of its preferred views that show enough of it.

    Parameters
    ----------
    results : mapping
        The regions of each photo; empty for one that was not scored.
    measures : mapping
        Of each photo that was measured.
    unseen : ReasonCode
        Why no photo shows it, where none does.
    """
    preferred = preferred_views(region)
    seen = [view for view in preferred if region in results.get(view, {})]
    usable = [view for view in seen if not is_refused(results[view][region])]
    if not usable:
        return results[seen[-1]][region] if seen else RegionResult(None, None, None, (unseen,))
    usable = [view for view in usable if ACCEPTED not in results[view][region].flags] or usable
    found = [results[view][region] for view in usable]
    if len(usable) > 1:
        return _joined(region, found, [measures[view] for view in usable], settings, models)
    if usable[0] != preferred[0] and preferred[0] in results:
        return replace(found[0], flags=(OTHER_VIEW, *found[0].flags))
    return found[0]


def _joined(
    region: str,
    found: Sequence[RegionResult],
    photos: Sequence[PhotoMeasures],
    settings: Settings,
    models: Models,
) -> RegionResult:
    """The region in several views at once."""
    method = METHODS[settings.pigment.method]
    both = joined(
        photos,
        region_members(settings.scale)[region],
        error=models.pigment.errors[method],
    )
    opinions = [one.second_opinion_fraction for one in found]
    second = None if None in opinions else float(np.dot(both.shares, cast(list[float], opinions)))
    main = int(np.argmax(both.shares))
    result = _graded(region, photos[main].view, both.measure, second, settings)
    apart = differ([cast(RegionMeasure, one.measure) for one in found])
    mixed = len({isinstance(photo.card, Correction) for photo in photos}) > 1
    side, front = photos
    alike = likeness_of(front, side)
    unlike = alike is not None and settings.quality.views_likeness.warns(alike)
    own = holding({VIEWS_DIFFER: apart, UNLIKE: unlike, MIXED: mixed})
    return replace(result, flags=(*own, *result.flags), view_share=both.shares[main])


def grade(measure: RegionMeasure, scale: ScaleSettings) -> RegionGrade:
    """Grades of a region's measure."""
    return graded_as(measure.pigmented_fraction, measure.contrast_od, measure.largest_patch_fraction, scale)


def graded_as(fraction: float, contrast_od: float, patch: float, scale: ScaleSettings) -> RegionGrade:
    """Grades of a pigmented fraction, a contrast in OD and the share of the largest patch."""
    area = area_grade(fraction, noise_floor=scale.noise_floor, edges=scale.area_cut_points)
    if area == 0:
        return ABSENT
    return RegionGrade(
        area,
        darkness_grade(contrast_od, scale.darkness_cut_points_od),
        homogeneity_grade(patch, scale.homogeneity_cut_points),
    )


def hidden_sentence(region: str, view: View, measure: RegionMeasure | None, least: float) -> str:
    """Say that too little skin of a region is visible."""
    visible = 0.0 if measure is None else measure.visible_fraction
    faced = preferred_views(region)[0]
    view_of = "front view" if faced == "front" else "view of that side"
    adds = "" if view == faced else f", or add the {view_of}"
    return (
        f"{region.replace('_', ' ').capitalize()}: {floored(visible):.1%} visible. "
        f"Expected {least:.0%} or more. Uncover hair, glasses or hands{adds}."
    )


def region_values(region: RegionResult) -> dict[str, Any]:
    """Plain values of a region; measures that do not exist are None, never zero.

    Of a refused region only what is visible of it: what was made of burnt or hidden skin is no measure.
    """
    measures = dict.fromkeys(RegionMeasure.__dataclass_fields__)
    second = region.second_opinion_fraction
    if region.measure is not None and is_refused(region):
        measures["visible_fraction"], second = round(region.measure.visible_fraction, 5), None
    elif region.measure is not None:
        measures = {name: round(value, 5) for name, value in asdict(region.measure).items()}
    grades: dict[str, int | None] = {"area": None, "darkness": None, "homogeneity": None}
    if region.grade is not None:
        grades = asdict(region.grade)
    opinion = {"second_opinion_fraction": None if second is None else round(second, 5)}
    share = None if region.view_share is None else round(region.view_share, 4)
    seen = {"view": region.view, "view_share": share, "flag": region.flag}
    return seen | measures | grades | opinion
