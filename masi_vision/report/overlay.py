"""The picture that shows what was measured: region outlines, pigment outline, grades."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from masi_vision.face.atlas import MASI_SUBUNITS, SUBUNITS, Subunit
from masi_vision.face.find import largest
from masi_vision.names import View
from masi_vision.pigment import learned, rules
from masi_vision.report.picture import Picture, jpeg
from masi_vision.report.tables import percent_text
from masi_vision.visit.measure import PhotoMeasures
from masi_vision.visit.region import (
    HIDDEN,
    UNDECIDED,
    RegionResult,
    flag_words,
    is_refused,
    preferred_views,
)
from masi_vision.visit.score import PhotoScore, VisitScore
from masi_vision.visit.seen import srgb8
from masi_vision.written import write_file

_FACE_HEIGHT_PX = 900
_MARGIN = 0.12
# Okabe and Ito (2008), and grey: told apart with any kind of colour vision.
_COLOURS: dict[Subunit, tuple[int, int, int]] = {
    Subunit.FOREHEAD: (240, 228, 66),
    Subunit.RIGHT_MALAR: (86, 180, 233),
    Subunit.LEFT_MALAR: (230, 159, 0),
    Subunit.CHIN: (0, 114, 178),
    Subunit.NOSE: (160, 160, 160),
    Subunit.UPPER_LIP: (160, 160, 160),
}
# The cheeks are equally light in a black and white print.
_SIDES = {Subunit.RIGHT_MALAR: "R ", Subunit.LEFT_MALAR: "L "}
# White in a black casing: one of the two stands out from any skin, and no region has it, to any eye.
_PIGMENT = (255, 255, 245)
# So wide no pigment is drawn along a region's border: its outline closes beside that line, not below it.
_BORDER_PX = 7
_INK, _PAPER = (20, 20, 20), (255, 255, 255)
_DOUBT = (190, 0, 0)
_SCALES = "R, L: the patient's side, A: area 0 to 6, D: darkness 0 to 4"
_NOTES = {rules.METHOD: "pigment, by rules: a rough estimate", learned.METHOD: "pigment"}
_FONT = cv2.FONT_HERSHEY_DUPLEX
_STRIP_PX = 96
_Contours = Sequence[npt.NDArray[np.int32]]


def draw_overlay(result: PhotoScore, visit: VisitScore | None = None) -> Picture:
    """The face of a measured photo with outlines and grades, beside it the face alone; (H, W, 3) sRGB.

    Parameters
    ----------
    result : PhotoScore
        Of a photo in which a face was measured.
    visit : VisitScore, optional
        Whose photo it is: grades and score are then the visit's, for a side view of the cheek it is for.

    Raises
    ------
    ValueError
        Nothing was measured in this photo.
    """
    measures = result.measures
    if measures is None:
        raise ValueError(f"{result.name} was not measured ({result.reason}), so there is nothing to draw")
    window = _window(measures)
    plain = _enlarged(srgb8(measures.photo), window)
    codes = _scaled(measures.face.photo_codes(window), plain.shape)
    borders = {subunit: _contours(codes == subunit) for subunit in SUBUNITS}
    told = _told(result, visit)
    names = {one: one.name.lower() for one in SUBUNITS}
    counted = [one for one, name in names.items() if name in told and not is_refused(result.regions[name])]
    pigmented = _pigmented(measures, window, plain.shape) & np.isin(codes, counted)
    marked = plain.copy()
    _outline(marked, _contours(_within(borders.values(), pigmented)), _PIGMENT, 2)
    for subunit, border in borders.items():
        _outline(marked, border, _COLOURS[subunit], 2 if subunit in MASI_SUBUNITS else 1)
    for subunit in MASI_SUBUNITS:
        if region := told.get(subunit.name.lower()):
            _label(marked, codes, subunit, region)
    both = np.concatenate([plain, np.full((len(plain), 8, 3), 255, np.uint8), marked], axis=1)
    return np.concatenate([both, _strip(result, visit, both.shape[1])], axis=0)


def write_overlay(result: PhotoScore, file: Path, visit: VisitScore | None = None) -> None:
    """Draw and write one overlay as JPEG."""
    write_file(file, jpeg(draw_overlay(result, visit)))


def _told(result: PhotoScore, visit: VisitScore | None) -> Mapping[str, RegionResult]:
    """The regions that this picture tells of."""
    if visit is None or len(visit.photos) == 1:
        return result.regions
    if result.view == "front":
        return visit.regions
    return {name: one for name, one in visit.regions.items() if preferred_views(name)[0] == result.view}


def _window(measures: PhotoMeasures) -> tuple[int, int, int, int]:
    top, left, bottom, right = measures.face.window(measures.photo.srgb.shape)
    height, width = measures.photo.srgb.shape[:2]
    free = round(_MARGIN * max(bottom - top, right - left))
    return max(0, top - free), max(0, left - free), min(height, bottom + free), min(width, right + free)


def _enlarged(picture: Picture, window: tuple[int, int, int, int]) -> Picture:
    top, left, bottom, right = window
    part = picture[top:bottom, left:right]
    scale = _FACE_HEIGHT_PX / len(part)
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    size = (round(part.shape[1] * scale), _FACE_HEIGHT_PX)
    return np.asarray(cv2.resize(np.ascontiguousarray(part), size, interpolation=how), np.uint8)


def _scaled(codes: Picture, shape: tuple[int, ...]) -> Picture:
    """Codes at the size of the picture, their borders smooth: each code is enlarged by itself."""
    size = (shape[1], shape[0])
    return largest(
        cv2.resize(
            cv2.GaussianBlur((codes == code).astype(np.float32), (0, 0), 1.0),
            size,
            interpolation=cv2.INTER_LINEAR,
        )
        for code in range(len(Subunit))
    )


def _pigmented(
    measures: PhotoMeasures, window: tuple[int, int, int, int], shape: tuple[int, ...]
) -> npt.NDArray[np.bool_]:
    large = cv2.resize(measures.photo_lesion(window), (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(large > 0.5, np.bool_)


def _within(borders: Collection[_Contours], mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Without what lies below the lines of regions: what reaches a border is outlined there too."""
    inner = mask.astype(np.uint8)
    for border in borders:
        cv2.drawContours(inner, border, -1, 0, _BORDER_PX)
    return inner.astype(np.bool_)


def _contours(mask: npt.NDArray[np.bool_]) -> _Contours:
    found, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    return [np.asarray(one, np.int32) for one in found if cv2.contourArea(one) > 40]


def _outline(picture: Picture, contours: _Contours, colour: tuple[int, int, int], thick: int) -> None:
    if thick > 1:
        cv2.drawContours(picture, contours, -1, (0, 0, 0), thick + 2, cv2.LINE_AA)
    cv2.drawContours(picture, contours, -1, colour, thick, cv2.LINE_AA)


def _label(picture: Picture, codes: Picture, subunit: Subunit, region: RegionResult) -> None:
    """Area x darkness in a small tag beside the region, where it hides neither graded skin nor an eye."""
    rows, columns = np.nonzero(codes == subunit)
    if not len(rows):
        return
    colour = _COLOURS[subunit]
    grade = "not graded" if region.grade is None else f"A{region.grade.area} D{region.grade.darkness}"
    text = f"{_SIDES.get(subunit, '')}{grade}"
    (wide, high), _ = cv2.getTextSize(text, _FONT, 0.6, 1)
    if subunit in (Subunit.RIGHT_MALAR, Subunit.LEFT_MALAR):
        # Above a cheek is the eye: its tag stands towards the ear, where the jaw gives way.
        y = int(np.quantile(rows, 0.85, method="lower"))  # a row that the region has: it may be in pieces
        border = columns[rows == y]
        outer_left = columns.mean() < np.nonzero(codes)[1].mean()
        x = border.min() - wide - 14 if outer_left else border.max() + 14
    else:
        below = region.grade is not None and rows.mean() > 0.75 * picture.shape[0]
        y = rows.max() + high + 10 if below else rows.min() - 8
        x = np.median(columns) - wide / 2
    x = int(np.clip(x, 2, picture.shape[1] - wide - 10))
    y = int(np.clip(y, high + 6, picture.shape[0] - 8))
    cv2.rectangle(picture, (x - 5, y - high - 5), (x + wide + 5, y + 5), _INK, -1)
    cv2.rectangle(picture, (x - 5, y - high - 5), (x + wide + 5, y + 5), colour, 1, cv2.LINE_AA)
    cv2.putText(picture, text, (x, y), _FONT, 0.6, _PAPER, 1, cv2.LINE_AA)


def _strip(result: PhotoScore, visit: VisitScore | None, width: int) -> Picture:
    """Below the faces: one line per MASI region, the score, and what the colours mean."""
    strip = np.full((_STRIP_PX, width, 3), 255, np.uint8)
    step, told = width / len(MASI_SUBUNITS), _told(result, visit)
    for place, subunit in enumerate(MASI_SUBUNITS):
        region = told.get(subunit.name.lower())
        x = round(place * step) + 10
        cv2.rectangle(strip, (x, 12), (x + 14, 26), _COLOURS[subunit], -1)
        cv2.rectangle(strip, (x, 12), (x + 14, 26), _INK, 1)
        name = subunit.name.replace("_", " ").capitalize()
        cv2.putText(strip, name, (x + 22, 25), _FONT, 0.5, _INK, 1, cv2.LINE_AA)
        if region is None:
            continue
        facts = f"{_facts(region)}{_from_where(region, result.view)}"
        cv2.putText(strip, facts, (x, 46), _FONT, 0.45, _INK, 1, cv2.LINE_AA)
        cv2.putText(strip, _doubts(region), (x, 61), _FONT, 0.38, _DOUBT, 1, cv2.LINE_AA)
    total = _verdict(result, visit)
    cv2.putText(strip, total, (10, 82), _FONT, 0.65, _INK, 1, cv2.LINE_AA)
    (wide, _), _ = cv2.getTextSize(total, _FONT, 0.65, 1)
    cv2.putText(strip, _overridden(result, visit), (20 + wide, 82), _FONT, 0.45, _DOUBT, 1, cv2.LINE_AA)
    note = _NOTES.get(result.provenance.pigment_method, "pigment")
    (wide, _), _ = cv2.getTextSize(note, _FONT, 0.5, 1)
    x = width - wide - 12
    for colour, thick in (((0, 0, 0), 4), (_PIGMENT, 2)):
        cv2.line(strip, (x - 34, 77), (x - 8, 77), colour, thick, cv2.LINE_AA)
    cv2.putText(strip, note, (x, 82), _FONT, 0.5, _INK, 1, cv2.LINE_AA)
    (wide, _), _ = cv2.getTextSize(_SCALES, _FONT, 0.45, 1)
    cv2.putText(strip, _SCALES, (x - 60 - wide, 82), _FONT, 0.45, _INK, 1, cv2.LINE_AA)
    return strip


def _doubts(region: RegionResult) -> str:
    """What to look at in a region that was graded; what refuses one stands where its grade would."""
    if region.grade is None:
        return ""
    others = flag_words(tuple(flag for flag in region.flags if flag != UNDECIDED))
    asked = "undecided: is this pigment?" if UNDECIDED in region.flags else ""
    return ", ".join(filter(None, (others, asked)))


def _overridden(result: PhotoScore, visit: VisitScore | None) -> str:
    """The checks that a person accepted though they fail: of the whole visit, or of this side view."""
    photos = visit.photos if visit is not None and result.view == "front" else (result,)
    names = [one.check for photo in photos for one in photo.findings if one.result == "accepted"]
    return f"accepted: {', '.join(dict.fromkeys(names))}" if names else ""


def _verdict(result: PhotoScore, visit: VisitScore | None) -> str:
    """The score; for a side view, whose own score would be of half a face, what it is for."""
    if result.view != "front":
        return f"{result.view.capitalize()} view: for the {result.view} malar region of the visit"
    whose: PhotoScore | VisitScore = visit or result
    if (scores := whose.scores) is None:
        return f"Not scored: {flag_words((whose.reason or '',))}"
    used = {region.view for region in whose.regions.values()} - {None}
    both = any((region.view_share or 1) < 1 for region in whose.regions.values())
    views = ", from several views" if both or len(used) > 1 else ""
    return f"mMASI {scores.mmasi:.1f} (90 %: {scores.mmasi_low:.1f} to {scores.mmasi_high:.1f}){views}"


def _from_where(region: RegionResult, view: View) -> str:
    """Names the views where a region was not measured in this one alone."""
    if region.view_share is not None and region.view_share < 1:
        return " in two views"
    return f", {region.view} view" if region.view not in (view, None) else ""


def _facts(region: RegionResult) -> str:
    if region.measure is None:
        return "not visible"
    if region.grade is None:
        if HIDDEN in region.flags:
            return f"hidden ({percent_text(region.measure.visible_fraction)} looks like skin): not graded"
        return f"{flag_words(region.flags)}: not graded"
    return f"{percent_text(region.measure.pigmented_fraction)} of skin, {region.measure.contrast_od:.3f} OD"
