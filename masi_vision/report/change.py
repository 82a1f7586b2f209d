"""What a comparison of visits leaves behind: two tables, and the visits in one frame with what changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from masi_vision.csv_table import Row, guarded
from masi_vision.face.atlas import Floats, Subunit
from masi_vision.names import View
from masi_vision.photo import linear_to_srgb8
from masi_vision.report.picture import Picture, drawn_names
from masi_vision.report.tables import PROVENANCE, REGIONS, number, provenance_cells
from masi_vision.skin.density import optical_density
from masi_vision.visit.compare import VisitChange
from masi_vision.visit.laid_over import Comparison, FaceInFrame
from masi_vision.visit.region import flag_words
from masi_vision.visit.region_change import REGISTERED, RegionChange

_VISIT = {
    "mmasi_before": 1,
    "mmasi_after": 1,
    "mmasi_change": 1,
    "mmasi_change_low": 1,
    "mmasi_change_high": 1,
    "amount_before_od": 5,
    "amount_change_od": 5,
    "amount_change_od_low": 5,
    "amount_change_od_high": 5,
}
_RESIDUALS = ("residual_front", "residual_left", "residual_right")
_NAMES = ("patient", "baseline", "follow_up")
CHANGE_COLUMNS = (*_NAMES, "status", "reason", "message", *_VISIT, *_RESIDUALS, *PROVENANCE)
_MEASURED = tuple(
    f"{measure}_{when}"
    for measure in ("pigmented_fraction", "contrast_od", "integrated_od")
    for when in ("before", "after", "change")
)
REGION_CHANGE_COLUMNS = (*_NAMES, "region", "view", "flag", "common_fraction", *_MEASURED, *REGISTERED)

_SCALE_OD = 0.12
"""Change at which the map has its full colour."""
_DARKER, _LIGHTER = (230, 97, 1), (94, 60, 153)  # told apart by colour-blind readers
_SAME = (170, 170, 170)
_INK, _DOUBT = (20, 20, 20), (190, 0, 0)
_FONT = cv2.FONT_HERSHEY_DUPLEX
_GAP_PX, _CAPTION_PX, _LINE_PX = 8, 34, 18


def change_row(change: VisitChange) -> Row:
    """The row of a comparison in changes.csv."""
    values = change.to_dict()
    return {
        **_names(change),
        "status": change.status,
        "reason": change.reason or "",
        "message": guarded(change.message),
        **{name: number(values[name], decimals) for name, decimals in _VISIT.items()},
        **{name: number(values["residual_fraction"].get(name.split("_")[1]), 5) for name in _RESIDUALS},
        **provenance_cells(change.follow_up.provenance),
    }


def region_change_rows(change: VisitChange) -> list[Row]:
    """The rows of a comparison in region_changes.csv, six of them."""
    regions = change.to_dict()["regions"]
    return [_names(change) | _region_row(name, regions.get(name, {})) for name in REGIONS]


def _names(change: VisitChange) -> Row:
    return {
        "patient": guarded(change.baseline.patient),
        "baseline": guarded(change.baseline.visit),
        "follow_up": guarded(change.follow_up.visit),
    }


def _region_row(name: str, values: Mapping[str, Any]) -> Row:
    numbers = ("common_fraction", *_MEASURED, *REGISTERED)
    told = {column: values.get(column) or "" for column in ("view", "flag")}
    return {"region": name, **told, **{column: number(values.get(column), 5) for column in numbers}}


def draw_visits(changes: Sequence[VisitChange], view: View) -> Picture:
    """The visits of a patient in one frame, and under each follow-up what changed; (H, W, 3) sRGB.

    Coloured are the regions whose change was taken in this view; what is doubtful of them stands in the
    caption.

    Parameters
    ----------
    changes : sequence of VisitChange
        Of one baseline; those without this view are left out.

    Raises
    ------
    ValueError
        None of them has the view.
    """
    shown = [(change, change.views[view]) for change in changes if view in change.views]
    if not shown:
        raise ValueError(f"none of the comparisons has the view {view}")
    first = shown[0][1]
    face = _cut_out(first.baseline.linear_rgb, first.baseline, first)
    names = [changes[0].baseline.visit, *(change.follow_up.visit for change in changes)]
    visits = drawn_names(names)
    compared = [_compared(change, view) for change, _ in shown]
    doubts = [_doubts(regions) for regions in compared]
    caption_px = _CAPTION_PX + _LINE_PX * max(map(len, doubts))
    columns = [_column([visits[changes[0].baseline.visit]], caption_px, face, _legend(face.shape))]
    for (change, one), regions, doubted in zip(shown, compared, doubts, strict=True):
        face = _cut_out(_evened(one), one.follow_up, one)
        lines = [visits[change.follow_up.visit], *doubted]
        columns.append(_column(lines, caption_px, face, _drawn_change(one, regions)))
    gap = np.full((len(columns[0]), _GAP_PX, 3), 255, np.uint8)
    return np.concatenate([part for column in columns for part in (column, gap)][:-1], axis=1)


def _compared(change: VisitChange, view: View) -> dict[str, RegionChange]:
    """The regions that the tables compare in this view."""
    regions = change.regions.items()
    return {name: one for name, one in regions if one.view == view and one.registered_od is not None}


def _doubts(regions: Mapping[str, RegionChange]) -> list[str]:
    """A line for each doubt about the regions that are coloured."""
    doubted: dict[str, list[str]] = {}
    for name, region in regions.items():
        for flag in region.doubts:
            doubted.setdefault(flag_words((flag,)), []).append(name.replace("_", " "))
    return [f"{doubt}: {', '.join(names)}" for doubt, names in doubted.items()]


def _evened(one: Comparison) -> Floats:
    """The follow-up with the baseline's exposure, balance and tone, and its lamp where that stood."""
    density = one.change.evened(optical_density(one.follow_up.linear_rgb))
    return np.asarray(np.clip(10**-density, 0, 1), np.float32)


def _cut_out(linear: Floats, face: FaceInFrame, one: Comparison) -> Picture:
    """A face on white: the frame is black where nothing of it, or of the baseline, is seen."""
    seen = (one.baseline.linear_rgb.max(axis=2) > 0) & (face.linear_rgb.max(axis=2) > 0)
    return np.where(seen[..., None], linear_to_srgb8(linear), 255).astype(np.uint8)


def _drawn_change(one: Comparison, compared: Iterable[str]) -> Picture:
    """Where skin that was compared got darker or lighter, over the baseline in grey; the rest is hatched."""
    grey = _cut_out(one.baseline.linear_rgb, one.baseline, one).mean(axis=2, keepdims=True)
    base = np.repeat(90 + 0.65 * grey, 3, axis=2).clip(0, 255)
    codes = [Subunit[name.upper()] for name in compared]
    shown = one.change.skin & np.isin(one.baseline.codes, codes)
    change = one.change.change_od
    colour = np.where((change > 0)[..., None], np.array(_DARKER), np.array(_LIGHTER))
    strength = np.clip((np.abs(change) - one.change.spread_od / 2) / _SCALE_OD, 0, 1) * shown
    drawn = base + strength[..., None] * (colour - base)
    hatched = ~shown & _stripes(shown.shape)
    return np.asarray(np.where(hatched[..., None], 255, drawn), np.uint8)


def _stripes(shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Thin lines across, by which it is seen that nothing was compared there."""
    rows, columns = np.indices(shape)
    return np.asarray((rows + columns) % 9 < 2)


def _column(lines: Sequence[str], caption_px: int, face: Picture, below: Picture) -> Picture:
    """The name, and below it the doubts; a face, and what changed in it."""
    caption = np.full((caption_px, face.shape[1], 3), 255, np.uint8)
    cv2.putText(caption, lines[0], (6, 23), _FONT, 0.6, _INK, 1, cv2.LINE_AA)
    for place, doubt in enumerate(lines[1:], start=1):
        cv2.putText(caption, doubt, (6, 23 + _LINE_PX * place), _FONT, 0.4, _DOUBT, 1, cv2.LINE_AA)
    return np.concatenate([caption, face, below], axis=0)


def _legend(shape: tuple[int, ...]) -> Picture:
    """What the colours mean, in the place under the baseline."""
    picture = np.full((shape[0], shape[1], 3), 255, np.uint8)
    lines = ("Change from the baseline", "", f"full colour: {_SCALE_OD:g} OD")
    for place, line in enumerate(lines):
        cv2.putText(picture, line, (16, 60 + 30 * place), _FONT, 0.55, _INK, 1, cv2.LINE_AA)
    hatched = "not compared in this view"
    swatches = ((_DARKER, "darker"), (_LIGHTER, "lighter"), (_SAME, "no change"), (_SAME, hatched))
    for place, (colour, meaning) in enumerate(swatches):
        y = 160 + 34 * place
        cv2.rectangle(picture, (16, y), (40, y + 20), colour, -1)
        if meaning == hatched:
            swatch = picture[y : y + 21, 16:41]
            swatch[_stripes(swatch.shape[:2])] = 255
        cv2.putText(picture, meaning, (52, y + 16), _FONT, 0.55, _INK, 1, cv2.LINE_AA)
    return picture
