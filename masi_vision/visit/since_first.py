"""What changed since a patient's photos before: camera, exposure, pose, the clock, the very file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from math import log2
from typing import TypeVar

from masi_vision.config import QualitySettings
from masi_vision.names import View
from masi_vision.photo.colour_correction import Correction, card_drift
from masi_vision.photo.exif import CaptureFacts
from masi_vision.visit.photo_light import eye_opening
from masi_vision.visit.quality import Checks, Finding
from masi_vision.visit.seen import SeenPhoto

_Place = TypeVar("_Place")
_NAMES = {
    "camera": "The camera",
    "lens": "The lens",
    "focal_length_mm": "The focal length",
    "flash": "The flash",
    "colour_space": "The colour space",
    "bits": "The bits of a value",
}
_SESSION_H = 8
"""Hours that a visit lasts at most. Chosen here: by a clock of another time zone it may pass midnight."""
_GOOD = "the patient's first good photo"
_SAME_SETTINGS = "Expected the same camera at the same settings. Note them down, and set them by hand."


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
    visit : str
    """

    facts: CaptureFacts
    sha256: str
    yaw_deg: float
    eye_opening: float
    card: Correction | None
    visit: str


def capture_of(seen: SeenPhoto, visit: str) -> Capture:
    """How a photo was taken, and at which visit."""
    card = seen.card if isinstance(seen.card, Correction) else None
    opening = eye_opening(seen.face)
    return Capture(seen.photo.capture, seen.photo.sha256, seen.face.pose.yaw_deg, opening, card, visit)


def changed_since(
    earlier: Sequence[Capture], good: Capture | None, later: Capture, limits: QualitySettings, place: str = ""
) -> tuple[Finding, ...]:
    """What changed in camera, exposure and pose since a patient's photos before, in the same view.

    Parameters
    ----------
    earlier : sequence of Capture
        Of all visits before, the first one first: what the camera notes needs no good photo.
    good : Capture or None
        The first that does not fail: exposure, pose and card are held against it.
    """
    against_good = () if good is None else _taken_otherwise(good, later, Checks(limits, place))
    return (*against_good, *_noted_otherwise(earlier[0], later), *_taken_before(earlier, later))


def _taken_otherwise(good: Capture, later: Capture, check: Checks) -> Iterator[Finding]:
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
        drift = card_drift(good.card, later.card)
        says = f"The colour card looks dE00 {drift:.1f} different from {_GOOD}. {_SAME_SETTINGS}"
        yield check("card_drift_delta_e00", None, drift, says)


def _noted_otherwise(first: Capture, later: Capture) -> Iterator[Finding]:
    before, after = first.facts, later.facts
    for name in _NAMES:
        was, now = getattr(before, name), getattr(after, name)
        if was is None or now is None:
            continue  # nobody knows whether it changed
        words = (
            f"{_NAMES[name]} changed since {first.visit}: {_said(was)}, now {_said(now)}. {_SAME_SETTINGS}"
        )
        yield _remark(name, words if was != now else "")


def _taken_before(earlier: Sequence[Capture], later: Capture) -> Iterator[Finding]:
    """Whether a photo is one of the visits before: by the camera's clock, or to the byte."""
    known = [(one, order) for one in earlier if (order := _order(later.facts, one.facts)) is not None]
    if known:
        words = (
            "By the camera's clock this was taken before {visit}. Expected after it, as the visits' names "
            "sort. Set the clock, see whether the visits are mixed up, or number their names."
        )
        yield _told_of("order", words, (one for one, order in known if order < 0))
        words = (
            "By the camera's clock this was taken in the very second of that of {visit}: it may be that "
            "photo, saved again. Expected another. Copy it from the camera again."
        )
        # A day alone, as a de-identifier leaves it, is no moment.
        timed = not str(later.facts.taken_at).endswith("00:00:00")
        others = (one for one, order in known if timed and order == 0 and one.sha256 != later.sha256)
        yield _told_of("own_moment", words, others)
    words = "This is the very file of {visit}. Expected another. Copy it from the camera again."
    yield _told_of("own_file", words, (one for one in earlier if one.sha256 == later.sha256))


def _told_of(check: str, words: str, visits: Iterable[Capture]) -> Finding:
    """A remark of the first of the visits; a pass where there is none."""
    visit = next(iter(visits), None)
    return _remark(check, "" if visit is None else words.format(visit=visit.visit))


def no_such_view(view: View, before: str, word: str, beside: str = "") -> Finding:
    """Say that a visit lacks a view that one before has.

    Parameters
    ----------
    before : str
        Name of that visit.
    word : str
        What the view is called in a file's name.
    beside : str
        A sentence on files that may be it.
    """
    return _remark(
        "view_missing",
        f"{before} has a {view} view, this visit has none. Expected the same views at every visit. "
        f"Take it, or name it {word}.jpg.{beside}",
    )


def came_before(one: CaptureFacts, other: CaptureFacts) -> bool | None:
    """Whether a photo was taken before another, by the camera's clock; None where that tells nothing."""
    order = _order(one, other)
    return None if order is None else order < 0


def check_day(others: Iterable[tuple[View, CaptureFacts]], one: CaptureFacts) -> Finding | None:
    """Whether a photo is of the day of the first of its visit's others that has a clock; None without one."""
    at = _moment(one.taken_at)
    known = ((view, moment) for view, facts in others if (moment := _moment(facts.taken_at)) is not None)
    view, other_at = next(known, ("", None))
    if at is None or other_at is None:
        return None
    words = (
        f"By the camera's clock this was taken on another day than the {view} view. Expected all views of a "
        "visit on one day. See whether one of them is of another visit, and copy it from the camera again."
    )
    hours = abs((at - other_at).total_seconds()) / 3600
    return _remark("views_day", words if at.date() != other_at.date() and hours > _SESSION_H else "")


def _order(one: CaptureFacts, other: CaptureFacts) -> float | None:
    """Seconds from another photo to this one, by the camera's clock; None where that tells nothing."""
    at, other_at = _moment(one.taken_at), _moment(other.taken_at)
    return None if at is None or other_at is None else (at - other_at).total_seconds()


@lru_cache(maxsize=4096)  # each photo is held against all before
def _moment(text: str | None) -> datetime | None:
    """A time as a camera writes it; None where its clock was not set, or nothing can be made of it."""
    digits = re.match(r"(\d{4})\D(\d{2})\D(\d{2})\D+(\d{2})\D(\d{2})\D(\d{2})", text or "")
    try:
        return datetime.strptime(" ".join(digits.groups()), "%Y %m %d %H %M %S") if digits else None
    except ValueError:
        return None


def copies(
    photos: Iterable[tuple[str, str | None]], remedy: str = "Copy them from the camera again."
) -> list[str]:
    """Say which photos of a study are one file, of places (PATIENT/VISIT/VIEW) and their SHA-256."""
    return [
        f"{', '.join(same)} are one and the same file. Expected a photo of each. {remedy}"
        for same in same_files(photos)
    ]


def same_files(photos: Iterable[tuple[_Place, str | None]]) -> list[list[_Place]]:
    """Groups of two and more whose SHA-256 is the same."""
    of: dict[str, list[_Place]] = {}
    for one, digest in photos:
        if digest is not None:
            of.setdefault(digest, []).append(one)
    return [same for same in of.values() if len(same) > 1]


def _remark(check: str, sentence: str) -> Finding:
    """A check without a number: a sentence warns, none is a pass."""
    return Finding(check, None, "warn" if sentence else "pass", None, sentence=sentence)


def _said(value: object) -> str:
    if isinstance(value, bool):
        return "fired" if value else "not fired"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _exposure_change(before: CaptureFacts, after: CaptureFacts) -> float | None:
    """Difference in exposure in stops, where the camera wrote all of it down at both visits."""
    values = [_exposure_ev(facts) for facts in (before, after)]
    return None if values[0] is None or values[1] is None else abs(values[1] - values[0])


def _exposure_ev(facts: CaptureFacts) -> float | None:
    if facts.exposure_s is None or facts.f_number is None or facts.iso is None:
        return None
    return log2(facts.exposure_s * facts.iso / facts.f_number**2)
