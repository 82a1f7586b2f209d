"""The photos of a study as they are now, held against those that stand behind the codes."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from masi_vision.batch.address import at_hand
from masi_vision.batch.job import sha256_at
from masi_vision.batch.study import StudyVisit
from masi_vision.blinding.key import Key
from masi_vision.errors import PhotoUnreadable
from masi_vision.names import View, natural_key, place_of
from masi_vision.photo import read_photo
from masi_vision.reads_table import is_not_counted
from masi_vision.visit.since_first import copies


@dataclass(frozen=True)
class Differing:
    """A photo of a study that is not the one that was coded any more.

    Parameters
    ----------
    how : {"changed", "gone"}
        ``gone``: there is none, or it cannot be opened.
    coded_as : tuple of str
        Where the photo that is there now lay when the study was coded, if it was coded.
    """

    patient: str
    visit: str
    view: View
    how: Literal["changed", "gone"]
    coded_as: tuple[str, ...] = ()

    def __str__(self) -> str:
        """As a person reads it."""
        place = place_of(self.patient, self.visit, self.view)
        words = {"changed": "is another photo than the one that was coded", "gone": "is gone"}
        shows = f", and shows what was coded as {', '.join(self.coded_as)}: moved or copied?"
        return f"{place} {words[self.how]}{shows if self.coded_as else '.'}"


def photos_differing(visits: Sequence[StudyVisit], key: Key) -> Iterator[Differing]:
    """Photos behind the codes that the study has otherwise now, or not any more, in the order of the key."""
    now = {(one.patient, one.visit): one.photos for one in visits}
    coded_at = _places_of(key, of_photos=True)
    for unit in key.units:
        if unit.repeat_of is not None:  # of the photos of the unit that it repeats
            continue
        there = now.get((unit.patient, unit.visit), {})
        for view, original in unit.photos.items():
            digest = sha256_at(there[view]) if view in there else None
            if digest != original:
                how: Literal["changed", "gone"] = "gone" if digest is None else "changed"
                coded_as = tuple(sorted(coded_at.get(digest or "", ())))
                yield Differing(unit.patient, unit.visit, view, how, coded_as)


@dataclass(frozen=True)
class Added:
    """A visit of a study, or a photo of a coded visit, that stands behind no code.

    Parameters
    ----------
    place : str
        PATIENT/VISIT or PATIENT/VISIT/VIEW.
    how : {"added", "readable", "moved"}
        ``readable``: it was left out when the study was coded, and need not be now. ``moved``: its photos
        were coded, at another place.
    coded_as : tuple of str
        The places of a ``moved`` one when the study was coded.
    """

    place: str
    how: Literal["added", "readable", "moved"]
    coded_as: tuple[str, ...] = ()

    def __str__(self) -> str:
        """As a person reads it."""
        words = {
            "added": "was added to the study since it was coded: it stands behind no code.",
            "readable": "was left out when it was coded, and can be read now: it stands behind no code.",
            "moved": f"shows what was coded as {', '.join(self.coded_as)}: moved or copied?",
        }
        return f"{self.place} {words[self.how]}"


def added(visits: Sequence[StudyVisit], key: Key) -> Iterator[Added]:
    """Visits of a study, and photos of coded visits, that stand behind no code and could be coded.

    Notes
    -----
    Their photos are read and held against the originals.
    """
    coded = {(unit.patient, unit.visit): unit.photos for unit in key.units}
    left_out = _left_out(key)
    of_visits, of_photos = _places_of(key, of_photos=False), _places_of(key, of_photos=True)
    for one in visits:
        before = coded.get((one.patient, one.visit), {})
        photos = {} if one.problem else one.photos
        new = {
            place_of(one.patient, one.visit, view): address
            for view, address in photos.items()
            if view not in before
        }
        if not before and left_out.keys().isdisjoint(new):
            found = [_found(one.place, list(new.values()), left_out, of_visits)]
        else:
            found = [_found(place, [address], left_out, of_photos) for place, address in new.items()]
        yield from filter(None, found)


def _left_out(key: Key) -> dict[str, str]:
    """Place of what was left out, and the hash of a photo; blank where that is not known."""
    # A key of an earlier version has one sentence for each that was left out, which begins with its place.
    return {
        place_of(one.patient, one.visit, one.view) or one.why.split(": ")[0]: one.sha256
        for one in key.left_out
    }


def _places_of(key: Key, *, of_photos: bool) -> dict[str, set[str]]:
    """Hash of each original, and where photos, or visits with them, lay when they were coded."""
    places: dict[str, set[str]] = {}
    for unit in key.units:
        for view, sha256 in unit.photos.items():
            place = place_of(unit.patient, unit.visit, view if of_photos else "")
            places.setdefault(sha256, set()).add(place)
    return places


def _found(
    place: str, addresses: Sequence[str], left_out: Mapping[str, str], coded_at: Mapping[str, set[str]]
) -> Added | None:
    """What a place without a code holds; None where it is what was left out, and no better."""
    hashes = [sha256_at(address) for address in addresses]
    if coded_as := {before for digest in hashes if digest for before in coded_at.get(digest, ())}:
        return Added(place, "moved", tuple(sorted(coded_as)))
    if place not in left_out:
        return Added(place, "added")
    others = [
        address
        for address, digest in zip(addresses, hashes, strict=True)
        if digest not in (None, left_out[place])
    ]
    return Added(place, "readable") if any(map(_is_photo, others)) else None


def _is_photo(address: str) -> bool:
    try:
        with at_hand({"front": address}) as files:
            read_photo(files["front"])
    except (PhotoUnreadable, OSError):
        return False
    return True


def copied(key: Key, remedy: str, *, within_visits: bool = True) -> list[str]:
    """Say which originals are one file, a sentence each: behind their codes nobody can see it any more.

    Parameters
    ----------
    within_visits : bool
        Two views of one visit too.

    Notes
    -----
    Hidden repeats are copies by intent. In a corrected key, what is not to be counted is none.
    """
    counted = [unit for unit in key.units if unit.repeat_of is None and not is_not_counted(unit.patient)]
    units = Counter(sha256 for unit in counted for sha256 in set(unit.photos.values()))
    photos = [
        (place_of(unit.patient, unit.visit, view), sha256)
        for unit in counted
        for view, sha256 in unit.photos.items()
        if within_visits or units[sha256] > 1
    ]
    return copies(sorted(photos, key=lambda photo: natural_key(photo[0])), remedy)


def originals_sha256(key: Key) -> str:
    """Hash of the hashes of all originals, sorted: names the photos of a study without telling any."""
    originals = {sha256 for unit in key.units for sha256 in unit.photos.values()}
    return hashlib.sha256("\n".join(sorted(originals)).encode()).hexdigest()
