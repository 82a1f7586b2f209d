"""What changed since a patient's photos before: camera, exposure, pose, the clock, the very file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
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
_FIRST_YEAR = 2005
"""No photo is taken as of before. Chosen here: a clock that lost its time begins in 1970, 1980 or 2000."""
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
    known = [(one, at) for one in earlier if (at := _moments(later.facts, one.facts)) is not None]
    if known:
        words = (
            "By the camera's clock this was taken before {visit}. Expected after it, as the visits' names "
            "sort. Set the clock, see whether the visits are mixed up, or number their names."
        )
        yield _told_of("order", words, (one for one, (at, before) in known if at.since(before) < 0))
        words = (
            "By the camera's clock this was taken in the very second of that of {visit}: it may be that "
            "photo, saved again. Expected another. Copy it from the camera again."
        )
        same = (
            one
            for one, (at, before) in known
            if not at.is_day and not before.is_day and at.since(before) == 0
        )
        yield _told_of("own_moment", words, (one for one in same if one.sha256 != later.sha256))
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
    told = _moments(one, other)
    return None if told is None else told[0].since(told[1]) < 0


def check_day(others: Iterable[tuple[View, CaptureFacts]], one: CaptureFacts) -> Finding | None:
    """Whether a photo is of the day of the first of its visit's others that has a clock; None without one."""
    known = ((view, told) for view, facts in others if (told := _moments(one, facts)) is not None)
    if (first := next(known, None)) is None:
        return None
    view, (at, other_at) = first
    words = (
        f"By the camera's clock this was taken on another day than the {view} view. Expected all views of a "
        "visit on one day. See whether one of them is of another visit, and copy it from the camera again."
    )
    longest_s = 0 if at.is_day or other_at.is_day else 3600 * _SESSION_H
    apart = abs(at.since(other_at)) > longest_s
    return _remark("views_day", words if apart and at.local.date() != other_at.local.date() else "")


def check_clock(one: CaptureFacts, now: datetime) -> Finding | None:
    """Whether a photo's time can be: not before `_FIRST_YEAR`, nor to come; None without one.

    Parameters
    ----------
    now : datetime
        In UTC, without a zone; a day of room is for clocks of other zones.
    """
    if (at := _moment(one.taken_at)) is None:
        return None
    words = (
        "The camera's clock is not set: by it this was taken long ago or is still to come. Expected the day "
        "of the visit. Set the clock. What else the time of a photo tells is not told of this one."
    )
    wrong = at.local.year < _FIRST_YEAR or at.local > now + timedelta(days=1)
    return _remark("clock", words if wrong else "")


@dataclass(frozen=True)
class _Moment:
    """When a photo was taken, by the camera's clock.

    Parameters
    ----------
    local : datetime
        As the clock showed it.
    utc_offset : timedelta or None
        None where the camera does not tell.
    is_day : bool
        A day alone, as a de-identifier leaves it: its time, midnight, says nothing.
    """

    local: datetime
    utc_offset: timedelta | None
    is_day: bool

    def since(self, other: _Moment) -> float:
        """Seconds from the other; from day to day where either is a day alone."""
        if self.is_day or other.is_day:
            return (self.local.date() - other.local.date()).total_seconds()
        apart = self.local - other.local
        if self.utc_offset is not None and other.utc_offset is not None:
            apart -= self.utc_offset - other.utc_offset
        return apart.total_seconds()


def _moments(one: CaptureFacts, other: CaptureFacts) -> tuple[_Moment, _Moment] | None:
    """When both were taken; None where the clock of either tells nothing."""
    at, other_at = _moment(one.taken_at), _moment(other.taken_at)
    return None if at is None or other_at is None else (at, other_at)


_MOMENT = re.compile(
    r"(\d{4})\D(\d{2})\D(\d{2})(?:\D+(\d{2})\D(\d{2})\D(\d{2})(?:[.,]\d*)?\s*(Z|[+-]\d{2}:?\d{2})?)?"
)


@lru_cache(maxsize=4096)  # each photo is held against all before
def _moment(text: str | None) -> _Moment | None:
    """A time as a camera writes it; None where its clock was not set, or nothing can be made of it."""
    if (found := _MOMENT.match(text or "")) is None:
        return None
    *digits, offset = found.groups(default="00")
    try:
        local = datetime.strptime(" ".join(digits), "%Y %m %d %H %M %S")
        told = None if offset == "00" else datetime.strptime(offset, "%z").utcoffset()
    except ValueError:
        return None
    is_day = (local.hour, local.minute, local.second) == (0, 0, 0)
    if is_day and local.year < _FIRST_YEAR:  # what a de-identifier writes for no time at all
        return None
    return _Moment(local, told, is_day)


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
