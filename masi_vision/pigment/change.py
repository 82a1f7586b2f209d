"""What changed between two visits: a second way to a change, beside the difference of two measures.

What stays between a patient's visits is face, what moves is pigment. Light and camera differ by a factor and
a tone curve, which in optical density is one straight line for the whole face; a lamp, or a head, that moved
takes from skin that turns to one side what it gives to the other. Skin that did not change lies on that line,
and how far the rest lies off it is pigment that came or went.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from masi_vision.skin.density import Floats

LEAST_SKIN_PX = 100
"""Of the reduced frame: on less common skin no line can be fitted. Chosen here."""

_FITTED_WIDTH_PX = 128
# Chosen on planted photographs of the validation people.
_SPREAD_OD = (0.02, 0.04)  # least and most of unchanged skin: noise and what registration leaves
_TONE = (0.75, 1.33)  # least and most
# Per squared difference from one, beside the variance of the skin's own density: a tone curve is drawn back
# toward one by about a quarter, however much skin there is.
_TONE_BELIEF = 0.02
_BELIEF_POWER = 4  # a lesion is missed more often than clear skin is called one
# The same, with which the lamp is believed to stand where it stood: per squared OD gained by skin that turns
# across, and down.
_LAMP_BELIEF = np.array([0.0025, 0.0025, 0.1, 0.1])
# Standard deviation over the face: beyond it nothing is told. Below it too an interval holds less often.
_LAMP_OD = 0.04
_CHANGE_RANGE_OD = 0.5  # changed skin may lie anywhere in this range
_EITHER_WAY = 0.3  # share of changed skin that may lie on either side; the rest changed as the face did
_ROUNDS = 12
# A change that can be seen: darkness grade 1 begins here too. Chosen here.
_PLAIN_OD, _PLAIN_SPREADS, _PLAIN_WIDTH = 0.03, 3.0, 0.015


class NoCommonSkin(ValueError):
    """Two photographs share hardly any skin."""


_Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ChangeMap:
    """Change of pigment from baseline to follow-up, on the baseline's skin.

    Parameters
    ----------
    change_od : (H, W) float32
        Mean over red, green and blue; above 0 where skin got darker, 0 where it is not seen in both.
    skin : (H, W) bool
        Seen in both.
    tone : float
        Exponent of the tone curve from follow-up to baseline; 1 for one camera at one setting.
    shift_od : (3,) float32
        What exposure and white balance add to the follow-up's density to make it the baseline's.
    lamp_od : (H, W) float32
        What a lamp that moved adds to it.
    evened_od : float
        What tone curve and shift add to it on average over skin and channels: above 0 where the follow-up was
        the lighter picture, be it by exposure or by a tan that faded.
    spread_od : float
        Standard deviation of what unchanged skin shows.
    clear_fraction : float
        How much of the skin is surely clear at both visits: the mean of (1 - lesion) ** 4.
    plain : (H, W) int8
        1 where skin plainly got darker, -1 where lighter, else 0: smoothed over 1.5 % of the frame's width,
        the change exceeds 0.03 OD and three times the spread.
    """

    change_od: Floats
    skin: npt.NDArray[np.bool_]
    tone: float
    shift_od: Floats
    lamp_od: Floats
    evened_od: float
    spread_od: float
    clear_fraction: float
    plain: npt.NDArray[np.int8]

    @property
    def doubtful(self) -> bool:
        """Whether no believable camera made one photograph of the other, or the lamp moved too far."""
        return not _TONE[0] < self.tone < _TONE[1] or self.lamp_spread_od > _LAMP_OD

    @property
    def lamp_spread_od(self) -> float:
        """By how much the light falls differently: its standard deviation over the skin."""
        return float(self.lamp_od[self.skin].std())

    def evened(self, follow_up_od: Floats) -> Floats:
        """The follow-up's density in the light of the baseline, (H, W, 3)."""
        return np.asarray(
            np.float32(self.tone) * follow_up_od + self.shift_od + self.lamp_od[..., None], np.float32
        )


def change_map(
    baseline_od: Floats, follow_up_od: Floats, skin: npt.NDArray[np.bool_], lesion: Floats, normals: Floats
) -> ChangeMap:
    """Even out two registered photographs on the skin that did not change, and take one from the other.

    Parameters
    ----------
    baseline_od, follow_up_od : (H, W, 3) float32
        Optical density, the follow-up laid over the baseline.
    skin : (H, W) bool
        Visible in both.
    lesion : (H, W) float32
        Probability of lesion, the higher of the two visits: skin without a lesion has none to change.
    normals : (H, W, 3) float32
        Where the skin faces, of length 1.

    Raises
    ------
    NoCommonSkin
        Where a line cannot be fitted.

    Notes
    -----
    baseline = tone * follow_up + shift + lamp, with one shift per channel and lamp = across * x + down * y of
    the skin's normal: what a matt surface sends back is linear in it (Lambert), and its logarithm nearly so
    where the lamp moves little. A lamp takes from one half of the face what it gives to the other, which
    pigment does not: each half is asked alone, and where they agree in sign their harmonic mean is believed,
    else none. Fitted by least squares at 128 pixels of width, twelve times over, each pixel weighted with how
    surely it is unchanged: with c = (1 - lesion) ** 4, by
    c N(d; 0, s) / (c N(d; 0, s) + (1 - c) u(d)), d its mean distance from the line over the channels. Of skin
    that changed most lies on one side of the line, for a face lightens or darkens: u is a step at 0 as wide
    as s, from 0.3 / 0.5 on the other side to 1.7 / 0.5 on that one. Which side that is is not known at first:
    both are tried, and the likelier end is kept.

    It looks like expectation maximization and is not: u moves with the line, which the least squares do not
    know. That is as well: the line on which the likelihood is greatest lies off the unchanged skin, where
    more of it is on the changed side.
    """
    size = (_FITTED_WIDTH_PX, round(_FITTED_WIDTH_PX * skin.shape[0] / skin.shape[1]))
    small = cv2.resize(skin.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.9
    if small.sum() < LEAST_SKIN_PX:
        raise NoCommonSkin(f"the visits must share {LEAST_SKIN_PX} pixels of skin, got {small.sum()}")
    before, after, likely, facing = (
        cv2.resize(one, size, interpolation=cv2.INTER_AREA)[small].astype(np.float64)
        for one in (baseline_od, follow_up_od, lesion, normals)
    )
    clear = _clear(likely)
    lines = (_fitted(before, after, facing, clear, side) for side in (-1.0, 1.0))
    line = max(lines, key=lambda one: one.likelihood)
    lamp = normals[..., :2] @ line.lamp.astype(np.float32)
    surplus = baseline_od - np.float32(line.tone) * follow_up_od - line.shift.astype(np.float32)
    change = np.where(skin, lamp - surplus.mean(axis=2), 0).astype(np.float32)
    surely = _clear(lesion.astype(np.float64))
    unchanged = _unchanged(-change.astype(np.float64), surely, line.spread, line.side) * skin
    spread = float(np.sqrt((unchanged * change**2).sum() / max(unchanged.sum(), 1.0)))
    plain = _plain(change, skin, spread)
    shift, clear_fraction = line.shift.astype(np.float32), float(surely[skin].mean())
    evened = float((line.tone - 1) * follow_up_od[skin].mean() + line.shift.mean())
    return ChangeMap(change, skin, line.tone, shift, lamp, evened, spread, clear_fraction, plain)


def _plain(change: Floats, skin: npt.NDArray[np.bool_], spread: float) -> npt.NDArray[np.int8]:
    sigma = _PLAIN_WIDTH * skin.shape[1]
    share = cv2.GaussianBlur(skin.astype(np.float32), (0, 0), sigma)
    smooth = cv2.GaussianBlur(change, (0, 0), sigma) / np.maximum(share, np.float32(1e-3))
    seen = skin & (np.abs(smooth) > max(_PLAIN_OD, _PLAIN_SPREADS * spread))
    return np.where(seen, np.sign(smooth), 0).astype(np.int8)


@dataclass(frozen=True)
class _Line:
    likelihood: float
    tone: float
    shift: _Numbers
    lamp: _Numbers
    spread: float
    side: float


def _fitted(before: _Numbers, after: _Numbers, facing: _Numbers, clear: _Numbers, side: float) -> _Line:
    """The line where skin that changed got lighter (`side` 1) or darker (-1)."""
    difference = (before - after).mean(axis=1)
    start = float(np.median(difference))  # 504 pairs of photographs came to the same line from elsewhere
    distance, spread, tone = difference - start, 0.05, 1.0
    shift, lamp = np.full(3, start), np.zeros(2)
    halves = _halves(facing)
    ridge = len(before) * np.diag([_TONE_BELIEF, *_LAMP_BELIEF])
    for _ in range(_ROUNDS):
        share = _unchanged(distance, clear, spread, side)
        share = share / max(share.sum(), 1e-3)
        middle_before, middle_after, middle_halves = share @ before, share @ after, share @ halves
        y, x, n = before - middle_before, after - middle_after, halves - middle_halves
        weight = len(before) * share
        weighted = weight[:, None] * n
        squares = ridge.copy()
        squares[0, 0] += (weight @ (x * x)).sum()
        squares[0, 1:] = squares[1:, 0] = x.sum(axis=1) @ weighted
        squares[1:, 1:] += 3 * n.T @ weighted
        products = np.append((weight @ (x * y)).sum() + _TONE_BELIEF * len(before), y.sum(axis=1) @ weighted)
        lamp = _agreed(np.linalg.solve(squares, products)[1:])
        of_halves = np.repeat(lamp, 2)
        tone = float(np.clip((products[0] - squares[0, 1:] @ of_halves) / squares[0, 0], *_TONE))
        shift = middle_before - tone * middle_after - middle_halves @ of_halves
        distance = (y - tone * x).mean(axis=1) - n @ of_halves
        spread = float(np.clip(np.sqrt(share @ distance**2), *_SPREAD_OD))
    changed = (1 - clear) * _changed(distance, spread, side)
    likelihood = np.log(clear * _normal(distance, spread) + changed).sum()
    return _Line(float(likelihood), tone, shift, lamp, spread, side)


def _halves(facing: _Numbers) -> _Numbers:
    """Of normals (N, 3) what turns left, right, down and up: (N, 4)."""
    x, y, _ = facing.T
    return np.stack([np.maximum(x, 0), np.minimum(x, 0), np.maximum(y, 0), np.minimum(y, 0)], axis=1)


def _agreed(of_halves: _Numbers) -> _Numbers:
    """What both halves of the face say of the lamp, across and down; 0 where they contradict each other."""
    one, other = of_halves.reshape(2, 2).T
    same = one * other > 0
    return np.where(same, 2 * one * other / np.where(same, one + other, 1), 0)


def _clear(lesion: _Numbers) -> _Numbers:
    return np.clip((1 - lesion) ** _BELIEF_POWER, 0.02, 0.98)


def _unchanged(distance: _Numbers, clear: _Numbers, spread: float, side: float) -> _Numbers:
    same = clear * _normal(distance, spread)
    return np.asarray(same / (same + (1 - clear) * _changed(distance, spread, side)))


def _changed(distance: _Numbers, spread: float, side: float) -> _Numbers:
    step = 1 + np.tanh(side * distance / spread)  # 0 on the other side, 2 on this one
    return np.asarray((_EITHER_WAY + (1 - _EITHER_WAY) * step) / _CHANGE_RANGE_OD)


def _normal(distance: _Numbers, spread: float) -> _Numbers:
    return np.asarray(np.exp(-0.5 * (distance / spread) ** 2) / (spread * np.sqrt(2 * np.pi)))
