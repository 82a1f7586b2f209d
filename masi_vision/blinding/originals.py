"""The photos of a study as they are now, held against those that stand behind the codes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from masi_vision.batch.address import at_hand
from masi_vision.batch.job import sha256_of
from masi_vision.batch.study import StudyVisit
from masi_vision.blinding.key import Key
from masi_vision.names import View, place_of


@dataclass(frozen=True)
class Differing:
    """A photo of a study that is not the one that was coded any more.

    Parameters
    ----------
    how : {"changed", "gone"}
        ``gone``: there is none, or it cannot be opened.
    """

    patient: str
    visit: str
    view: View
    how: Literal["changed", "gone"]

    def __str__(self) -> str:
        """As a person reads it."""
        place = place_of(self.patient, self.visit, self.view)
        words = {"changed": "is another photo than the one that was coded", "gone": "is gone"}
        return f"{place} {words[self.how]}."


def differing(visits: Sequence[StudyVisit], key: Key) -> Iterator[Differing]:
    """Photos behind the codes that the study has otherwise now, or not any more, in the order of the key."""
    now = {(one.patient, one.visit): one.photos for one in visits}
    for unit in key.units:
        if unit.repeat_of is not None:  # of the photos of the unit that it repeats
            continue
        there = now.get((unit.patient, unit.visit), {})
        for view, original in unit.photos.items():
            digest = _sha256_at(there[view]) if view in there else None
            if digest != original:
                yield Differing(unit.patient, unit.visit, view, "gone" if digest is None else "changed")


def added(visits: Sequence[StudyVisit], key: Key) -> Iterator[str]:
    """Visits of a study that were neither coded nor left out, and photos that coded visits have got since."""
    coded = {(unit.patient, unit.visit): unit.photos for unit in key.units}
    # A key of an earlier version has one sentence for each that was left out, which begins with its place.
    left_out = {place_of(one.patient, one.visit, one.view) or one.why.split(": ")[0] for one in key.left_out}
    for one in visits:
        before = coded.get((one.patient, one.visit))
        views = [place_of(one.patient, one.visit, view) for view in one.photos if view not in (before or {})]
        if one.place in left_out:
            continue
        if before is None and left_out.isdisjoint(views):
            yield one.place
        else:
            yield from (view for view in views if view not in left_out)


def originals_sha256(key: Key) -> str:
    """Hash of the hashes of all originals, sorted: names the photos of a study without telling any."""
    originals = {sha256 for unit in key.units for sha256 in unit.photos.values()}
    return hashlib.sha256("\n".join(sorted(originals)).encode()).hexdigest()


def _sha256_at(address: str) -> str | None:
    """Hash of a photo; None where it cannot be opened."""
    try:
        with at_hand({"front": address}) as files:
            return sha256_of(files["front"])
    except OSError:
        return None
