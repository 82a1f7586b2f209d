"""Whether a photo is good enough to be scored: checks with their number, limit and advice.

A check of the whole photo that fails refuses the photo; a check of a region that fails refuses the region in
that view. Limits, and checks overridden by name, are settings (`configs/quality.yaml`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from math import ceil, floor
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from masi_vision.config import AtLeast, Limit, QualitySettings, Settings
from masi_vision.errors import NotScorable, ReasonCode
from masi_vision.face.find import FaceRegions
from masi_vision.names import View
from masi_vision.photo.colour_correction import Correction, Refusal
from masi_vision.scale import MASI_REGIONS, MasiRegion
from masi_vision.visit.measure import among, region_members, visible_share
from masi_vision.visit.photo_light import (
    blur_percent,
    colour_levels,
    glossy,
    light_difference_od,
    noise_levels,
    red_over_blue_od,
    without_detail,
)
from masi_vision.visit.seen import CLIPPED, SeenPhoto
from masi_vision.visit.views import SkinDetail, alike, likeness_of

Result = Literal["pass", "warn", "accepted", "fail"]
RESULTS: tuple[Result, ...] = ("pass", "warn", "accepted", "fail")
"""From good to bad; ``accepted`` is a fail that was overridden by name."""
PERSON = "visits_likeness"
"""The check of whether a front is that of the patient's first visit."""

REASONS: Mapping[str, ReasonCode] = {
    "face_width_px": "too_small",
    "other_face_fraction": "other_face",
    "blur_percent": "out_of_focus",
    "noise_levels": "noisy",
    "jpeg_quality": "compressed",
    "colour_levels": "not_colour",
    "light_difference_od": "uneven_light",
    "yaw_deg_front": "pose",
    "yaw_deg_oblique_least": "pose",
    "yaw_deg_oblique_most": "pose",
    "pitch_deg": "pose",
    "roll_deg": "pose",
    "visible_fraction": "region_hidden",
    "plain_fraction": "region_hidden",
    "red_over_blue_od": "region_hidden",
    "clipped_fraction": "clipped",
    "blocked_fraction": "too_dark",
    "colour_card": "colour_card",
}
"""Check to the reason of a photo or region that fails it."""

_SHOWN: Mapping[View, tuple[MasiRegion, ...]] = {
    "front": MASI_REGIONS,
    "left": ("left_malar",),
    "right": ("right_malar",),
}
"""The regions that a view should show."""

_SPOILT = ("clipped_fraction", "blocked_fraction", "red_over_blue_od")
"""What makes skin unfit to be measured, seen or not."""
_BLOCKED = 0.01263
"""29.5 of 255 in linear light, so that 29 is blocked and 30 is not. Chosen here."""
_NO_SIDE_DEG = 10.0
"""Turned less to a side than this, a head shows none. Chosen here."""


@dataclass(frozen=True)
class Finding:
    """One check of a photo.

    Parameters
    ----------
    check : str
        Its unit is the end of its name.
    region : str or None
        None: the whole photo.
    result : {"pass", "warn", "accepted", "fail"}
    value : float or None
        None where there is nothing to measure.
    warn, fail : float or None
        The limits.
    sentence : str
        What was found, what was expected, and what to do; empty for a pass.
    """

    check: str
    region: str | None
    result: Result
    value: float | None
    warn: float | None = None
    fail: float | None = None
    sentence: str = ""

    @property
    def reason(self) -> ReasonCode | None:
        """Reason code of a photo or region refused by it."""
        return REASONS.get(self.check)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def check_photo(seen: SeenPhoto, view: View, settings: Settings, place: str = "") -> tuple[Finding, ...]:
    """Check a photo and the regions that its view should show.

    Parameters
    ----------
    settings : Settings
        Limits, and whether nose or upper lip count toward a region.
    place : str
        PATIENT/VISIT/VIEW, by which a check may be overridden for one photo.

    Notes
    -----
    Blur of an edge, from how much it loses when it is blurred again by s:
    ``sigma = s / sqrt((g / g_again)^2 - 1)`` with g the gradient on the edge (Zhuo and Sim 2011,
    DOI 10.1016/j.patcog.2011.03.009).
    """
    limits, members = settings.quality, region_members(settings.scale)
    check = Checks(limits, place)
    shines, flat = glossy(seen), without_detail(seen)
    whole = [check(name, None, value, says) for name, value, says in _of_photo(seen, view)]
    regions = [
        check(name, region, value, says)
        for region in _SHOWN[view]
        for name, value, says in _of_region(seen, view, region, members[region], shines, flat)
    ]
    return (
        *whole,
        *_of_card(seen, limits, place),
        *regions,
        *_of_ungraded(seen, view, members, check),
    )


def _of_ungraded(
    seen: SeenPhoto, view: View, members: Mapping[str, list[int]], check: Checks
) -> Iterator[Finding]:
    """What is measured and not graded, where it is too bad to be measured: a warning, as the score stands."""
    if view != "front":
        return
    nothing = np.zeros(seen.codes.shape, np.bool_)
    for region in (name for name in members if name not in MASI_REGIONS):
        for name, value, says in _of_region(seen, view, region, members[region], nothing, nothing):
            found = check(name, region, value, says)
            if found.result in ("fail", "accepted") and name in _SPOILT:
                yield replace(found, result="warn") if found.result == "fail" else found
                break  # burnt skin has no colour either


def check_likeness(
    front: SeenPhoto, side: SeenPhoto, limits: QualitySettings, place: str = ""
) -> Finding | None:
    """Whether a side view shows the person that the front of its visit shows, by the skin of both.

    None where both show too little of the same skin.
    """
    found = likeness_of(front, side)
    if found is None:
        return None
    says = (
        f"Laid over the front, the skin is alike by {floored(found):.3f}. Expected {{limit}}: it may be "
        "another person, or a face that moved. See whether both photos are this patient's."
    )
    return Checks(limits, place)("views_likeness", None, found, says)


def check_person(
    first: SkinDetail, visit: str, later: SeenPhoto, limits: QualitySettings, place: str = ""
) -> Finding | None:
    """Whether a front shows the person of the patient's first good one, as `check_likeness` does.

    None where both show too little of the same skin.

    Parameters
    ----------
    visit : str
        Of the first good front.
    """
    found = alike(first, SkinDetail.of(later))
    if found is None:
        return None
    says = (
        f"Laid over the front of {visit}, the skin is alike by {floored(found):.3f}. Expected {{limit}}: it "
        "may be another person. See whether this whole visit is the patient's."
    )
    return Checks(limits, place)(PERSON, None, found, says)


def refusal(findings: Collection[Finding]) -> NotScorable | None:
    """The first check of the whole photo that failed, as the reason why the photo is not scored."""
    return next(
        (
            NotScorable(REASONS[finding.check], finding.sentence)
            for finding in findings
            if finding.region is None and finding.result == "fail"
        ),
        None,
    )


def of_region(findings: Collection[Finding], region: str, result: Result) -> list[Finding]:
    """The checks of a region that came out so."""
    return [finding for finding in findings if finding.region == region and finding.result == result]


def wanted(findings: Collection[Finding], view: View, views: Collection[View]) -> tuple[Finding, ...]:
    """The findings that matter in a visit: a cheek with a view of its own is not judged in front."""
    elsewhere = {
        region for side in ("left", "right") if side in views and side != view for region in _SHOWN[side]
    }
    return tuple(finding for finding in findings if finding.region not in elsewhere)


def worst(findings: Collection[Finding]) -> Result:
    """The worst result."""
    return max((finding.result for finding in findings), key=RESULTS.index, default="pass")


class Checks:
    """Holds numbers against their limits."""

    def __init__(self, limits: QualitySettings, place: str) -> None:
        self.limits, self.place = limits, place

    def __call__(self, name: str, region: str | None, value: float | None, says: str) -> Finding:
        """A number against the limit of its check; ``says`` has {limit} where the limit it passed belongs."""
        limit: Limit = getattr(self.limits, name)
        if value is None:
            return Finding(name, region, "pass", None, limit.warn, limit.fail)
        result: Result = "pass"
        bound = limit.warn
        if limit.warns(value):
            result = "warn"
        if limit.refuses(value):
            result, bound = ("accepted" if self.limits.accepts(name, self.place) else "fail"), limit.fail
        last = self._last(name)
        if last is not None and limit.is_beyond(value, last):
            is_last = result == "accepted" or limit.fail is None or limit.is_beyond(limit.fail, last)
            result, bound = "fail", last if is_last else limit.fail
        sentence = (
            "" if result == "pass" or bound is None else says.replace("{limit}", _bound(name, limit, bound))
        )
        return Finding(name, region, result, round(value, 4), limit.warn, limit.fail, sentence)

    def _last(self, name: str) -> float | None:
        """The bound that no limit and no override moves."""
        spoilt = self.limits.accepted_spoilt_fraction
        return {
            "visible_fraction": self.limits.accepted_visible_fraction,
            "clipped_fraction": spoilt,
            "blocked_fraction": spoilt,
        }.get(name)


def _bound(name: str, limit: Limit, bound: float) -> str:
    least = "at least" if isinstance(limit, AtLeast) else "at most"
    return f"{least} {bound:.0%}" if name.endswith("_fraction") else f"{least} {bound:g}"


def _of_card(seen: SeenPhoto, limits: QualitySettings, place: str) -> Iterator[Finding]:
    """The colour card, where the settings ask for one; its value: what is left after correction, in dE00."""
    chosen = limits.colour_card
    if chosen.use == "ignore":
        return
    if isinstance(seen.card, Correction):
        left = round(float(seen.card.delta_e00_after.mean()), 4)
        yield Finding("colour_card", None, "pass", left, None, chosen.max_mean_delta_e00)
        return
    sentence = _NO_CARD if seen.card is None else seen.card.message
    result: Result = "warn"
    mirrored = isinstance(seen.card, Refusal) and seen.card.reason == "mirrored"  # then so are the cheeks
    if chosen.use == "require" or mirrored:
        result = "accepted" if limits.accepts("colour_card", place) else "fail"
    yield Finding("colour_card", None, result, None, None, chosen.max_mean_delta_e00, sentence)


_NO_CARD = (
    "No colour card was found. Expected a ColorChecker Classic, whole and its patches 50 px wide. "
    "Hold it beside the face in the same light, nothing over it."
)


def _of_photo(seen: SeenPhoto, view: View) -> Iterator[tuple[str, float | None, str]]:
    face, photo = seen.face, seen.photo
    width = face.face_width_px / photo.scale
    yield (
        "face_width_px",
        width,
        f"The face is {width:.0f} px wide. Expected {{limit}} px. "
        "Use the camera's original file, or photograph from nearer.",
    )
    other = seen.other_width_px / face.face_width_px
    yield (
        "other_face_fraction",
        other,
        f"Another face is in the photo, {other:.0%} as wide as the one that is read. Expected {{limit}}. "
        "Photograph the patient alone, or cut everybody else off.",
    )
    blur = blur_percent(seen)
    yield (
        "blur_percent",
        blur,
        f"The photo is blurred by {blur:.3f} % of the face's width. Expected {{limit}} %. "
        "Focus on the nearer eye, and use a shorter exposure or a stand.",
    )
    noise = noise_levels(seen)
    yield (
        "noise_levels",
        noise,
        f"The face has noise of {noise:.1f} levels of 255. Expected {{limit}}. "
        "Use more light and a lower sensitivity (ISO), and the camera's original file.",
    )
    quality = photo.capture.jpeg_quality
    yield (
        "jpeg_quality",
        quality,
        f"The file is a JPEG of quality {quality}. Expected {{limit}}. "
        "Use the camera's original file, not one from a messenger or a report.",
    )
    levels = colour_levels(seen)
    yield (
        "colour_levels",
        levels,
        f"The colours of the photo stray by {levels:.1f} levels of 255 from those of a black-and-white "
        "picture toned in one colour. Expected {limit}. Use the camera's original file, in colour.",
    )
    if view == "front":
        difference = light_difference_od(seen)
        yield (
            "light_difference_od",
            difference,
            f"One cheek is lit {10 ** (difference or 0):.1f} times as bright as the other "
            f"({difference or 0:.3f} OD). Expected {{limit}} OD. Light both sides alike.",
        )
    yield from _of_pose(face, view)


def shows_other_side(turned_deg: float) -> bool:
    """Whether a side view, turned so far toward the side that it is named by, shows the other one."""
    return turned_deg < -_NO_SIDE_DEG


def _of_pose(face: FaceRegions, view: View) -> Iterator[tuple[str, float, str]]:
    pose = face.pose
    again = (
        "Take the photo again, or name it by the side that faces the camera, the patient's own; where a "
        "mirror or a selfie exchanged the sides, use the original."
    )
    if view == "front":
        turned = abs(pose.yaw_deg)
        words = (
            f"The head is turned {turned:.1f} degrees sideways in a front view. Expected {{limit}}. {again}"
        )
        yield "yaw_deg_front", turned, words
    else:
        turned = pose.yaw_deg if view == "right" else -pose.yaw_deg
        shown = (
            f"The photo named {view} shows the patient's other side, turned by {-turned:.1f} degrees"
            if shows_other_side(turned)
            else f"The photo named {view} is turned {max(turned, 0):.1f} degrees toward that side"
        )
        words = f"{shown}. Expected {{limit}}, best 45. {again}"
        yield "yaw_deg_oblique_least", turned, words
        yield "yaw_deg_oblique_most", turned, words
    for name, angle, how in (
        ("pitch_deg", pose.pitch_deg, ", chin down" if pose.pitch_deg > 0 else ", chin up"),
        ("roll_deg", pose.roll_deg, " toward a shoulder"),
    ):
        words = (
            f"The head is tilted {abs(angle):.1f} degrees{how}. Expected {{limit}}. "
            "Take the photo again with the camera at eye level and upright."
        )
        yield name, abs(angle), words


def floored(share: float) -> float:
    """To a thousandth below: what is less than the limit never reads as the limit."""
    return floor(1000 * share + 1e-9) / 1000


def _raised(share: float) -> float:
    """To a tenth of a per cent above: what is more than the limit never reads as the limit."""
    return ceil(1000 * share - 1e-9) / 1000


def _of_region(
    seen: SeenPhoto,
    view: View,
    region: str,
    members: list[int],
    shines: npt.NDArray[np.bool_],
    flat: npt.NDArray[np.bool_],
) -> Iterator[tuple[str, float | None, str]]:
    skin = among(seen.codes, members)
    name = region.replace("_", " ").capitalize()
    visible = visible_share(seen.codes, members, seen.face.atlas)
    adds = ", or add the view of that side" if region.endswith("malar") and view == "front" else ""
    yield (
        "visible_fraction",
        visible,
        f"{name}: {floored(visible):.1%} visible. Expected {{limit}} of it. "
        f"Uncover hair, glasses or hands, {'' if adds else 'and '}keep the whole face in the frame{adds}.",
    )
    brightest = seen.brightest[skin] if skin.any() else None
    plain = None
    if brightest is not None:
        plain = float((flat[skin] & (brightest > _BLOCKED) & (brightest < CLIPPED)).mean())
    yield (
        "plain_fraction",
        plain,
        f"{name}: {_raised(plain or 0):.1%} of it has no detail, as if it were covered with one colour. "
        "Expected {limit} of it. Take off what covers the skin, and the box that hides who it is; if nothing "
        "does, the file has too few shades: use the camera's own.",
    )
    clipped = None if brightest is None else float((brightest >= CLIPPED).mean())
    yield (
        "clipped_fraction",
        clipped,
        f"{name}: {_raised(clipped or 0):.1%} of the skin is burnt out. Expected {{limit}} of it. "
        "Expose less, or turn the flash down.",
    )
    blocked = None if brightest is None else float((brightest <= _BLOCKED).mean())
    yield (
        "blocked_fraction",
        blocked,
        f"{name}: {_raised(blocked or 0):.1%} of the skin is too dark to measure. Expected {{limit}} of it. "
        "Expose more, and light the shadows.",
    )
    redder = red_over_blue_od(seen, skin)
    yield (
        "red_over_blue_od",
        redder,
        f"{name}: red is {10 ** (redder or 0):.2f} times as strong as blue ({redder or 0:.2f} OD), not as on "
        "skin. Expected {limit} OD. Take off what covers the skin, or use white light; red and blue of the "
        "file may be exchanged, or its colours taken out.",
    )
    gloss = float(shines[skin].mean()) if skin.any() else None
    yield (
        "gloss_fraction",
        gloss,
        f"{name}: {_raised(gloss or 0):.1%} of the skin is glossy. Expected {{limit}} of it. "
        "Blot the skin, or use crossed polarisers.",
    )
