"""Whether a photo is good enough to be scored: checks with their number, limit and advice.

A check of the whole photo that fails refuses the photo; a check of a region that fails refuses the region in
that view. Limits, and checks overridden by name, are settings (`configs/quality.yaml`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from math import log2
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from masi_vision.config import AtLeast, Limit, QualitySettings, Settings
from masi_vision.errors import NotScorable, ReasonCode
from masi_vision.face.atlas import Floats, Subunit
from masi_vision.face.find import FaceRegions
from masi_vision.photo.colour_correction import Correction, card_drift
from masi_vision.photo.exif import CaptureFacts
from masi_vision.scale import MASI_REGIONS, MasiRegion
from masi_vision.visit.measure import among, region_members, visible_share
from masi_vision.visit.seen import SeenPhoto, View, srgb8

Result = Literal["pass", "warn", "accepted", "fail"]
RESULTS: tuple[Result, ...] = ("pass", "warn", "accepted", "fail")
"""From good to bad; ``accepted`` is a fail that was overridden by name."""

REASONS: Mapping[str, ReasonCode] = {
    "face_width_px": "too_small",
    "blur_percent": "out_of_focus",
    "jpeg_quality": "compressed",
    "light_difference_od": "uneven_light",
    "yaw_deg_front": "pose",
    "yaw_deg_oblique_least": "pose",
    "yaw_deg_oblique_most": "pose",
    "pitch_deg": "pose",
    "roll_deg": "pose",
    "visible_fraction": "region_hidden",
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

# Blur: the face is looked at with this width; edges are the strongest of this share of pixels, smoothed a
# little against noise and once more, and the sharper quarter of them tells the blur.
_BLUR_WIDTH_PX, _EDGE_SHARE, _SMOOTH_PX, _REBLUR_PX, _SHARPER = 256, 0.05, 1.0, 2.0, 0.25
# 250 and 30 of 255 in linear light.
_CLIPPED, _BLOCKED = 0.956, 0.013
# Gloss: brighter than the skin around (this share of the face's width) by so much, and paler by so much.
_AROUND, _BRIGHTER_OD, _PALER = 0.06, 0.15, 0.9
_NO_SIDE_DEG = 10.0
"""Turned less to a side than this, a head shows none."""
_EYES = ((159, 145, 33, 133), (386, 374, 362, 263))
"""Upper lid, lower lid and the two corners of the right and left eye."""


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
    check = _Checks(limits, place)
    light, glossy = _Light.of(seen.linear_rgb), _glossy(seen)
    whole = [check(name, None, value, says) for name, value, says in _of_photo(seen, view)]
    regions = [
        check(name, region, value, says)
        for region in _SHOWN[view]
        for name, value, says in _of_region(seen, region, members[region], light, glossy)
    ]
    return (*whole, *_of_card(seen, limits, place), *regions)


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


@dataclass(frozen=True)
class Capture:
    """How a photo was taken, as far as later ones should be taken alike; light, where a photo is not.

    Parameters
    ----------
    facts : CaptureFacts
    sha256 : str
    yaw_deg : float
    eye_opening : float
        Height over width, mean of both eyes.
    card : Correction or None
        Of a colour card that is trusted.
    """

    facts: CaptureFacts
    sha256: str
    yaw_deg: float
    eye_opening: float
    card: Correction | None


def capture_of(seen: SeenPhoto) -> Capture:
    """How a photo was taken."""
    card = seen.card if isinstance(seen.card, Correction) else None
    pose = seen.face.pose
    return Capture(seen.photo.capture, seen.photo.sha256, pose.yaw_deg, eye_opening(seen.face), card)


def changed_since(
    first: Capture, good: Capture | None, later: Capture, limits: QualitySettings, place: str = ""
) -> tuple[Finding, ...]:
    """What changed in camera, exposure and pose since a patient's photos before, in the same view.

    Parameters
    ----------
    first : Capture
        At the first visit: what the camera notes needs no good photo.
    good : Capture or None
        The first that does not fail: exposure, pose and card are held against it.
    """
    against_good = () if good is None else _taken_otherwise(good, later, _Checks(limits, place))
    return (*against_good, *_noted_otherwise(first, later))


def _taken_otherwise(good: Capture, later: Capture, check: _Checks) -> Iterator[Finding]:
    if (stops := _exposure_change(good.facts, later.facts)) is not None:
        says = f"The exposure changed by {stops:.1f} stops since {_GOOD}. {_SAME_SETTINGS}"
        yield check("exposure_change_ev", None, stops, says)
    opening = abs(good.eye_opening - later.eye_opening)
    says = f"The eyes are open by {opening:.2f} more or less than in {_GOOD}. Expected the same look."
    yield check("eye_opening_change", None, opening, says)
    turn = abs(good.yaw_deg - later.yaw_deg)
    says = (
        f"The head is turned {turn:.0f} degrees from {_GOOD}. Expected {{limit}}. "
        "Hold that photo beside the camera."
    )
    yield check("yaw_change_deg", None, turn, says)
    if good.card is not None and later.card is not None:
        drift = card_drift(good.card, later.card).mean_delta_e00
        says = f"The colour card looks dE00 {drift:.1f} different from {_GOOD}. {_SAME_SETTINGS}"
        yield check("card_drift_delta_e00", None, drift, says)


def _noted_otherwise(first: Capture, later: Capture) -> Iterator[Finding]:
    before, after = first.facts, later.facts
    for name in _NAMES:
        was, now = getattr(before, name), getattr(after, name)
        changed = was is not None and now is not None and was != now
        words = (
            f"{_NAMES[name]} changed since the first visit: {_said(was)}, now {_said(now)}. {_SAME_SETTINGS}"
        )
        yield _remark(name, words if changed else "")
    early = None not in (before.taken_at, after.taken_at) and str(after.taken_at) < str(before.taken_at)
    words = (
        "By the camera's clock this was taken before the first visit. Expected after it. "
        "Set the clock, or see whether the visits are mixed up."
    )
    yield _remark("order", words if early else "")
    same = first.sha256 == later.sha256
    words = "This is the very file of the first visit. Expected another. Copy it from the camera again."
    yield _remark("own_file", words if same else "")


def _remark(check: str, sentence: str) -> Finding:
    """A check without a number: a sentence warns, none is a pass."""
    return Finding(check, None, "warn" if sentence else "pass", None, sentence=sentence)


_GOOD = "the patient's first good photo"


_NAMES = {
    "camera": "The camera",
    "lens": "The lens",
    "focal_length_mm": "The focal length",
    "flash": "The flash",
    "colour_space": "The colour space",
    "bits": "The bits of a value",
}


def _said(value: object) -> str:
    if isinstance(value, bool):
        return "fired" if value else "not fired"
    return f"{value:g}" if isinstance(value, float) else str(value)


_SAME_SETTINGS = "Expected the same camera at the same settings. Note them down, and set them by hand."


class _Checks:
    """Holds numbers against their limits."""

    def __init__(self, limits: QualitySettings, place: str) -> None:
        self.limits, self.place = limits, place

    def __call__(self, name: str, region: str | None, value: float | None, says: str) -> Finding:
        limit: Limit = getattr(self.limits, name)
        if value is None:
            return Finding(name, region, "pass", None, limit.warn, limit.fail)
        result: Result = "pass"
        bound = limit.warn
        if limit.warn is not None and limit.is_beyond(value, limit.warn):
            result = "warn"
        if limit.fail is not None and limit.is_beyond(value, limit.fail):
            result, bound = ("accepted" if self.limits.accepts(name, self.place) else "fail"), limit.fail
        last = self._last(name)
        if last is not None and limit.is_beyond(value, last):
            is_last = limit.fail is None or limit.is_beyond(limit.fail, last)
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
    if chosen.use == "require":
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
    blur = blur_percent(seen)
    yield (
        "blur_percent",
        blur,
        f"The photo is blurred by {blur:.3f} % of the face's width. Expected {{limit}} %. "
        "Focus on the nearer eye, and use a shorter exposure or a stand.",
    )
    quality = photo.capture.jpeg_quality
    yield (
        "jpeg_quality",
        quality,
        f"The file is a JPEG of quality {quality}. Expected {{limit}}. "
        "Use the camera's original file, not one from a messenger or a report.",
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


def _of_pose(face: FaceRegions, view: View) -> Iterator[tuple[str, float, str]]:
    pose = face.pose
    again = "Take the photo again, or name it by the side that faces the camera, the patient's own."
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
            if turned < -_NO_SIDE_DEG
            else f"The photo named {view} is turned {max(turned, 0):.1f} degrees toward that side"
        )
        words = f"{shown}. Expected {{limit}}, best 45. {again}"
        yield "yaw_deg_oblique_least", turned, words
        yield "yaw_deg_oblique_most", turned, words
    for name, angle, how in (
        ("pitch_deg", pose.pitch_deg, "up or down"),
        ("roll_deg", pose.roll_deg, "toward a shoulder"),
    ):
        words = (
            f"The head is tilted {abs(angle):.1f} degrees {how}. Expected {{limit}}. "
            "Take the photo again with the camera at eye level and upright."
        )
        yield name, abs(angle), words


def _of_region(
    seen: SeenPhoto,
    region: MasiRegion,
    members: list[int],
    light: _Light,
    glossy: npt.NDArray[np.bool_],
) -> Iterator[tuple[str, float | None, str]]:
    skin = among(seen.codes, members)
    name = region.replace("_", " ").capitalize()
    visible = visible_share(seen.codes, members, seen.face.atlas)
    yield (
        "visible_fraction",
        visible,
        f"{name}: {visible:.1%} visible. Expected {{limit}} of it. "
        "Uncover hair, glasses or hands, keep the whole face in the frame, or add the view of that side.",
    )
    brightest = light.most[skin] if skin.any() else None
    clipped = None if brightest is None else float((brightest >= _CLIPPED).mean())
    yield (
        "clipped_fraction",
        clipped,
        f"{name}: {clipped or 0:.1%} of the skin is burnt out. Expected {{limit}} of it. "
        "Expose less, or turn the flash down.",
    )
    blocked = None if brightest is None else float((brightest <= _BLOCKED).mean())
    yield (
        "blocked_fraction",
        blocked,
        f"{name}: {blocked or 0:.1%} of the skin is too dark to measure. Expected {{limit}} of it. "
        "Expose more, and light the shadows.",
    )
    gloss = float(glossy[skin].mean()) if skin.any() else None
    yield (
        "gloss_fraction",
        gloss,
        f"{name}: {gloss or 0:.0%} of the skin is glossy. Expected {{limit}} of it. "
        "Blot the skin, or use crossed polarisers.",
    )


def blur_percent(seen: SeenPhoto) -> float:
    """Blur of the face's sharper edges: one standard deviation in per cent of the face's width.

    The worse of across and along the face: a head or camera that moved blurs one of them alone.
    """
    top, left, bottom, right = seen.face.window(seen.photo.srgb.shape)
    face = cv2.cvtColor(srgb8(seen.photo)[top:bottom, left:right], cv2.COLOR_RGB2GRAY)
    factor = _BLUR_WIDTH_PX / seen.face.face_width_px
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    gray = cv2.resize(face, None, fx=factor, fy=factor, interpolation=how).astype(np.float32)
    plain = _slopes(gray, _SMOOTH_PX)
    again = _slopes(gray, float(np.hypot(_SMOOTH_PX, _REBLUR_PX)))
    worse = max(_blur_px(one, other) for one, other in zip(plain, again, strict=True))
    return 100 * worse / _BLUR_WIDTH_PX


def _slopes(gray: Floats, sigma_px: float) -> tuple[Floats, Floats]:
    """Absolute slopes across and along, (H, W) each."""
    smooth = cv2.GaussianBlur(gray, (0, 0), sigma_px)
    across, along = cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)
    return np.asarray(np.abs(across), np.float32), np.asarray(np.abs(along), np.float32)


def _blur_px(plain: Floats, again: Floats) -> float:
    edges = plain >= np.quantile(plain, 1 - _EDGE_SHARE)
    ratio = plain[edges] / np.maximum(again[edges], 1e-6)
    sigma = _REBLUR_PX / np.sqrt(np.maximum(ratio**2 - 1, 1e-3))
    return float(np.quantile(np.sqrt(np.maximum(sigma**2 - _SMOOTH_PX**2, 0)), _SHARPER))


def light_difference_od(seen: SeenPhoto) -> float | None:
    """Difference of median optical density between the malar regions; None if one is not seen."""
    sides = [seen.codes == code for code in (Subunit.RIGHT_MALAR, Subunit.LEFT_MALAR)]
    if not all(side.any() for side in sides):
        return None
    right, left = (float(np.median(seen.linear_rgb[side].mean(axis=1))) for side in sides)
    return float(abs(np.log10(max(right, 1e-4) / max(left, 1e-4))))


def _glossy(seen: SeenPhoto) -> npt.NDArray[np.bool_]:
    """Skin brighter and paler than the skin around it, (H, W); what is around at a quarter's size."""
    skin = seen.codes > 0
    height, width = skin.shape
    weight = cv2.resize(skin.astype(np.float32), (width // 4, height // 4), interpolation=cv2.INTER_AREA)
    light = seen.linear_rgb * skin[..., None]
    small = cv2.resize(light, (width // 4, height // 4), interpolation=cv2.INTER_AREA)
    sigma_px = _AROUND * seen.face.atlas.face_width_px / 4
    spread = np.maximum(cv2.GaussianBlur(weight, (0, 0), sigma_px), 1e-6)
    around = cv2.resize(cv2.GaussianBlur(small, (0, 0), sigma_px) / spread[..., None], (width, height))
    here, there = (_Light.of(np.maximum(part, np.float32(1e-4))) for part in (seen.linear_rgb, around))
    brighter = here.total > 10**_BRIGHTER_OD * there.total
    saturation, usual = (1 - part.least / part.most for part in (here, there))
    return np.asarray(skin & brighter & (saturation < _PALER * usual))


class _Light(NamedTuple):
    """Sum, least and most of the three channels, (H, W) each: NumPy is slow along an axis of three."""

    total: Floats
    least: Floats
    most: Floats

    @classmethod
    def of(cls, rgb: Floats) -> _Light:
        red, green, blue = cv2.split(rgb)
        least = np.minimum(np.minimum(red, green), blue)
        return cls(red + green + blue, least, np.maximum(np.maximum(red, green), blue))


def eye_opening(face: FaceRegions) -> float:
    """How far the eyes are open: height over width, mean of both."""
    xy = face.alignment.landmarks[:, :2]
    return float(
        np.mean(
            [
                np.linalg.norm(xy[up] - xy[low]) / np.linalg.norm(xy[outer] - xy[inner])
                for up, low, outer, inner in _EYES
            ]
        )
    )


def _exposure_change(before: CaptureFacts, after: CaptureFacts) -> float | None:
    """Difference in exposure in stops, where the camera wrote all of it down at both visits."""
    values = [_exposure_ev(facts) for facts in (before, after)]
    return None if values[0] is None or values[1] is None else abs(values[1] - values[0])


def _exposure_ev(facts: CaptureFacts) -> float | None:
    if facts.exposure_s is None or facts.f_number is None or facts.iso is None:
        return None
    return log2(facts.exposure_s * facts.iso / facts.f_number**2)
