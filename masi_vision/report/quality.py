"""What a look at the quality of photos leaves behind: a table of checks, and a contact sheet, worst first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap

import cv2
import numpy as np

from masi_vision.csv_table import Row, guarded
from masi_vision.errors import NotScorable
from masi_vision.names import View, place_of
from masi_vision.report.picture import Picture, ascii_text, drawn_names
from masi_vision.report.tables import number
from masi_vision.visit.quality import RESULTS, Finding, Result, shows_other_side, worst
from masi_vision.visit.region import HIDDEN, flag_words
from masi_vision.visit.seen import SeenPhoto, srgb8

QUALITY_COLUMNS = (
    *("patient", "visit", "view", "photo", "region", "check", "result"),
    *("value", "warn", "fail", "message"),
)

_FACE_PX, _CAPTION_PX, _MARGIN, _GAP_PX = 220, 82, 0.2, 8
_LINE = 34  # letters of a line below a face
_COLUMNS, _ROWS = 6, 6
_RESULT_COLOURS: dict[Result, tuple[int, int, int]] = {  # Okabe and Ito: told apart by colour-blind readers
    "pass": (0, 158, 115),
    "warn": (230, 159, 0),
    "accepted": (86, 180, 233),
    "fail": (213, 94, 0),
}
_FOUND = {  # what a check says that did not pass, in a word or three
    "face_width_px": "face small",
    "other_face_fraction": "another face",
    "blur_percent": "blurred",
    "noise_levels": "noisy",
    "jpeg_quality": "much compressed",
    "colour_levels": "without colours",
    "red_over_blue_od": "not the colour of skin",
    "light_difference_od": "uneven light",
    "yaw_deg_front": "turned to a side",
    "yaw_deg_oblique_least": "turned too little",
    "yaw_deg_oblique_most": "turned too far",
    "pitch_deg": "head up or down",
    "roll_deg": "head leans",
    "visible_fraction": flag_words((HIDDEN,)),
    "plain_fraction": "covered",
    "clipped_fraction": flag_words(("clipped",)),
    "blocked_fraction": flag_words(("too_dark",)),
    "gloss_fraction": "gloss",
    "exposure_change_ev": "other exposure",
    "eye_opening_change": "eyes otherwise open",
    "yaw_change_deg": "otherwise turned",
    "views_likeness": "views of two people?",
    "visits_likeness": "another person than before?",
    "registration_residual": "does not fit the first",
    "card_drift_delta_e00": "other colours of the card",
    "view_missing": "this view is missing",
    "views_day": "taken on another day",
    "clock": "clock not set",
    "order": "before an earlier visit",
    "own_moment": "an earlier photo?",
    "own_file": "an earlier visit's file",
}
_INK, _PAPER = (20, 20, 20), 255
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def _crossed_out() -> Picture:
    """What stands where there is no picture: a blank would pass for a white photo."""
    square = np.full((_FACE_PX, _FACE_PX, 3), 225, np.uint8)
    for start, end in (((0, 0), (_FACE_PX, _FACE_PX)), ((0, _FACE_PX), (_FACE_PX, 0))):
        cv2.line(square, start, end, (190, 190, 190), 2, cv2.LINE_AA)
    return square


_NO_PICTURE = _crossed_out()


@dataclass(frozen=True, eq=False)
class CheckedPhoto:
    """A photo of a visit with what was found; light: its pixels are those of the contact sheet.

    Parameters
    ----------
    findings : tuple of Finding
        Empty where it could not be read or shows no face.
    problem : NotScorable or None
        Why it could not be checked.
    thumbnail : (220, 220, 3) uint8 or None
        None where the file could not be read.
    """

    patient: str
    visit: str
    view: View
    photo: str
    sha256: str | None
    findings: tuple[Finding, ...]
    problem: NotScorable | None = None
    thumbnail: Picture | None = None

    @property
    def result(self) -> Result:
        """The worst of the findings."""
        return "fail" if self.problem else worst(self.findings)

    @property
    def complaints(self) -> tuple[tuple[str, str], ...]:
        """Result and sentence of each check that did not pass, the worst first."""
        if self.problem is not None:
            return (("fail", self.problem.message),)
        ordered = sorted(self.findings, key=lambda f: -RESULTS.index(f.result))
        return tuple((finding.result, finding.sentence) for finding in ordered if finding.result != "pass")

    @property
    def name(self) -> str:
        """PATIENT/VISIT/VIEW."""
        return place_of(self.patient, self.visit, self.view)


def quality_rows(checked: CheckedPhoto) -> Iterator[Row]:
    """The rows of a photo in quality.csv: one per check, or one for a photo that could not be checked."""
    names = {
        "patient": guarded(checked.patient),
        "visit": guarded(checked.visit),
        "view": checked.view,
        "photo": guarded(checked.photo),
    }
    empty = dict.fromkeys(QUALITY_COLUMNS, "")
    if checked.problem is not None:
        why = {"check": checked.problem.reason, "result": "fail", "message": guarded(checked.problem.message)}
        yield empty | names | why
    for finding in checked.findings:
        yield names | {
            "region": finding.region or "",
            "check": finding.check,
            "result": finding.result,
            "value": number(finding.value, 4),
            "warn": number(finding.warn, 4),
            "fail": number(finding.fail, 4),
            "message": guarded(finding.sentence),
        }


def thumbnail(seen: SeenPhoto) -> Picture:
    """The face with some room around it, (220, 220, 3) sRGB."""
    top, left, bottom, right = seen.face.window(seen.photo.srgb.shape)
    room = round(_MARGIN * max(bottom - top, right - left))
    height, width = seen.photo.srgb.shape[:2]
    return small_picture(
        srgb8(seen.photo)[
            max(0, top - room) : min(height, bottom + room), max(0, left - room) : min(width, right + room)
        ]
    )


def small_picture(srgb: Picture) -> Picture:
    """A picture fitted into a square of white, (220, 220, 3)."""
    height, width = srgb.shape[:2]
    scale = _FACE_PX / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    square = np.full((_FACE_PX, _FACE_PX, 3), _PAPER, np.uint8)
    y, x = (_FACE_PX - size[1]) // 2, (_FACE_PX - size[0]) // 2
    square[y : y + size[1], x : x + size[0]] = cv2.resize(np.ascontiguousarray(srgb), size, interpolation=how)
    return square


def contact_sheets(checked: Sequence[CheckedPhoto]) -> Iterator[Picture]:
    """Pages of photos with what was found, worst first; (H, W, 3) sRGB each."""
    patients = drawn_names([one.patient for one in checked])
    visits = drawn_names([one.visit for one in checked])
    names = {one.name: place_of(patients[one.patient], visits[one.visit], one.view) for one in checked}
    ordered = sorted(checked, key=lambda one: (-RESULTS.index(one.result), -_complained(one)))
    for start in range(0, len(ordered), _COLUMNS * _ROWS):
        page = ordered[start : start + _COLUMNS * _ROWS]
        rows = [page[at : at + _COLUMNS] for at in range(0, len(page), _COLUMNS)]
        yield np.concatenate([_row(row, names, min(_COLUMNS, len(ordered))) for row in rows], axis=0)


def _complained(one: CheckedPhoto) -> int:
    return sum(finding.result != "pass" for finding in one.findings)


def _row(tiles: Sequence[CheckedPhoto], names: Mapping[str, str], columns: int) -> Picture:
    size = _FACE_PX + 2 * _GAP_PX
    drawn = [_tile(one, names[one.name]) for one in tiles]
    blank = np.full((_CAPTION_PX + size, size, 3), _PAPER, np.uint8)
    return np.concatenate([*drawn, *[blank] * (columns - len(drawn))], axis=1)


def _tile(one: CheckedPhoto, name: str) -> Picture:
    size = _FACE_PX + 2 * _GAP_PX
    tile = np.full((_CAPTION_PX + size, size, 3), _PAPER, np.uint8)
    colour = _RESULT_COLOURS[one.result]
    cv2.rectangle(tile, (2, 2), (size - 3, size - 3), colour, 4)
    shown = _NO_PICTURE if one.thumbnail is None else one.thumbnail
    tile[_GAP_PX : size - _GAP_PX, _GAP_PX : size - _GAP_PX] = shown
    for place, line in enumerate((_shortened(name), *_short(one))):
        y = size + 14 + 18 * place
        cv2.putText(tile, line, (_GAP_PX, y), _FONT, 0.4, _INK, 1, cv2.LINE_AA)
    return tile


def _shortened(name: str) -> str:
    """A name on one line: both ends of what is too long, for patients differ at either."""
    half = (_LINE - 3) // 2
    return name if len(name) <= _LINE else f"{name[:half]}...{name[half + 3 - _LINE :]}"


def _short(one: CheckedPhoto) -> list[str]:
    """Result, and on two lines what did not pass: each check once, with the regions it was found in."""
    if one.problem is not None:
        return ["fail", *_wrapped([flag_words((one.problem.reason,))])]
    if one.result == "pass":
        return [one.result]
    regions: dict[str, list[str]] = {}
    for finding in one.findings:
        if finding.result == one.result:
            place = [] if finding.region is None else [finding.region.replace("_", " ")]
            regions.setdefault(_in_short(finding), []).extend(place)
    told = [f"{check}: {', '.join(places)}" if places else check for check, places in regions.items()]
    return [one.result, *_wrapped(told)]


def _in_short(finding: Finding) -> str:
    turned = finding.value if finding.check == "yaw_deg_oblique_least" else None
    if turned is not None and shows_other_side(turned):
        return "the other side"
    return _FOUND.get(finding.check, finding.check.replace("_", " "))


def _wrapped(told: Sequence[str]) -> list[str]:
    """Two lines at most; the second ends with dots where there is more."""
    lines = wrap(ascii_text("; ".join(told)), _LINE)
    return lines if len(lines) < 3 else [lines[0], f"{lines[1][: _LINE - 4]} ..."]
