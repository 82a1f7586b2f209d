"""Names of patients, visits and views: which are one, how they are ordered, how they stand together."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Literal, cast, get_args

View = Literal["front", "left", "right"]
"""The patient's own side that faces the camera."""

VIEWS: tuple[View, ...] = get_args(View)


def place_of(patient: str, visit: str, view: View | Literal[""] = "") -> str:
    """Where a visit or a view stands in a study, as a check of its quality is overridden: P01/V2/left."""
    return "/".join(filter(None, (patient, visit, view)))


def folded(text: str) -> str:
    """A name without what people spell now so, now so: case, and how an accented letter is written."""
    return unicodedata.normalize("NFC", text).casefold()


def as_known(name: str, known: Collection[str]) -> str:
    """The one known name that is `folded` alike, else the name itself."""
    alike = {one for one in known if folded(one) == folded(name)}
    return alike.pop() if name not in alike and len(alike) == 1 else name


def natural_key(name: str) -> tuple[object, ...]:
    """Order names as people do: visit2 before visit10, and "day -14" before "day 1".

    A dash before a number is a minus where it begins the name or stands behind another sign that parts it
    from a word ("day -14", day_-14, day--14), U+2212 wherever it does not follow a digit. Else it parts:
    visit-1 is visit 1. What parts a word from a number does not count: day_-14 comes before "day 1".
    """
    pieces = re.split(rf"((?:(?<![0-9]){_MINUS})?[0-9]+)", _with_minus(name))
    keys = [
        (int(piece.replace(_MINUS, "-")), "") if number % 2 else (-1, re.sub(r"[-_\s]+", " ", piece).strip())
        for number, piece in enumerate(pieces)
    ]
    return (*keys, (-1, name))


_MINUS = "\N{MINUS SIGN}"
_DASHES = "-\N{HYPHEN}-\N{EN DASH}"
"""Of a set in a pattern: the sign of a keyboard, and what programs make of it."""


def _with_minus(name: str) -> str:
    """The name, folded, with a minus sign for a dash that can be nothing else, one dash for all others."""
    minus = rf"(^|(?<=[^\W\d_])[{_DASHES}_\s]+)[{_DASHES}](?=[0-9])"
    return re.sub(f"[{_DASHES}]", "-", re.sub(minus, rf"\1{_MINUS}", folded(name)))


def signs_in_doubt(names: Iterable[str]) -> list[str]:
    """Names of one patient's visits of which nobody knows which number has a minus.

    Those are D-14 beside D1 or D+1, and visits that have a minus all, as "visit -1" and "visit -2".
    """
    called: dict[str, dict[str, list[str]]] = {}
    for name in names:
        spelled = _with_minus(name)
        for found in re.finditer(rf"(?<=[^\W\d_])([-_\s+{_MINUS}]*)[0-9]", spelled):
            kind = {"-": "dash", _MINUS: "minus"}.get(found[1].strip()[-1:], "plain")
            called.setdefault(spelled[: found.start()], {}).setdefault(kind, []).append(name)
    doubtful = (
        name
        for kinds in called.values()
        if ("dash" in kinds and len(kinds) > 1) or (kinds.keys() == {"minus"} and len(kinds["minus"]) > 1)
        for of_kind in kinds.values()
        for name in of_kind
    )
    return list(dict.fromkeys(doubtful))


def in_order(names: Iterable[str], listed: Sequence[str] = ()) -> list[str]:
    """Names once each: those that are listed as they stand there, then the others as people order them.

    One that has the words of the first listed and a lower number stands before it: V0 before V1.
    """
    places = {name: place for place, name in enumerate(listed)}
    first = natural_key(listed[0])[:-1] if listed else ()

    def key(name: str) -> tuple[int, tuple[object, ...]]:
        own = natural_key(name)
        before = _words(own[:-1]) == _words(first) and own[:-1] < first
        return places.get(name, -1 if before else len(places)), own

    return sorted(set(names), key=key)


def _words(key: tuple[object, ...]) -> list[object]:
    return [word for _, word in cast(tuple[tuple[int, str], ...], key)]


def spelled_alike(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Names that differ in case, width, blanks, what nobody sees or how an accent is written alone.

    One person would be two.
    """
    return _of_one(names, _plain)


def nearly_alike(names: Collection[str]) -> list[tuple[str, ...]]:
    """Names that differ as of `spelled_alike`, in leading zeros or in the sign between their parts alone.

    visit-1, visit 01 and visit_1 are one. D1 and D-1 are two, and so are "day 1" and "day -1", by its minus.
    """
    groups = {*_of_one(names, without_zeros), *_of_one(names, _with_one_sign)}
    having: dict[str, list[set[str]]] = {}
    for one in groups:
        for name in one:
            having.setdefault(name, []).append(set(one))
    return sorted(one for one in groups if not any(set(one) < other for other in having[one[0]]))


def _of_one(names: Iterable[str], key: Callable[[str], str]) -> list[tuple[str, ...]]:
    spelled: dict[str, set[str]] = {}
    for name in names:
        spelled.setdefault(key(name), set()).add(name)
    return [tuple(sorted(alike)) for alike in spelled.values() if len(alike) > 1]


def folders_spelled_alike(patients: Iterable[str]) -> list[tuple[str, ...]]:
    """Folders of STUDY/SITE/PATIENT/VISIT that are `spelled_alike`: sites, and patients of one site."""
    within: dict[str, dict[str, str]] = {}
    for patient in patients:
        names = patient.split("/")
        for depth, name in enumerate(names):
            site = _plain("/".join(names[:depth]))  # one that has two spellings is told once, not by patients
            within.setdefault(site, {})[name] = "/".join(names[: depth + 1])
    return [tuple(site[name] for name in alike) for site in within.values() for alike in spelled_alike(site)]


def told_apart(*names: str) -> tuple[str, ...]:
    """Names in quotation marks; what looks alike in print with its signs beyond ASCII as numbers."""
    looks = [unicodedata.normalize("NFKC", name) for name in names]
    return tuple(
        (ascii if looks.count(look) > 1 else repr)(name) for name, look in zip(names, looks, strict=True)
    )


def same_within_sites(patients: Iterable[str]) -> list[tuple[str, ...]]:
    """Patients of STUDY/SITE/PATIENT/VISIT that are called alike at two sites: one who moved would be two."""
    called: dict[str, set[str]] = {}
    for patient in sorted(patients, key=natural_key):
        called.setdefault(_plain(patient.rpartition("/")[2]), set()).add(patient)
    return [tuple(sorted(alike, key=natural_key)) for alike in called.values() if len(alike) > 1]


def without_zeros(name: str) -> str:
    """A name as `spelled_alike` takes it, its numbers as a spreadsheet writes them: 001 is 1, 1.05 itself."""
    return re.sub(r"(?<![0-9])(?<![0-9][.,])0+(?=[0-9])", "", _plain(name))


def _with_one_sign(name: str) -> str:
    dashed = re.sub("[\N{HYPHEN}-\N{EN DASH}]", "-", unicodedata.normalize("NFKC", name))
    minus = re.sub(r"[-_\s]+-(?=[0-9])", "_\N{MINUS SIGN}", dashed)
    return without_zeros(re.sub(r"[-_\s]+", "_", minus))


def _plain(name: str) -> str:
    known = unicodedata.normalize("NFKC", name).casefold()
    if not known.isascii():  # signs that nobody sees, as U+200B of a web page
        known = "".join(sign for sign in known if unicodedata.category(sign) != "Cf")
    return "".join(known.split())
