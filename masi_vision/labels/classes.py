"""Names of classes, as annotators write them, to the codes of this project. Sides are the patient's own."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping

from masi_vision.errors import DatasetError
from masi_vision.face.atlas import SUBUNITS
from masi_vision.labels.export import Export

REGION_CODES = {unit.name.lower(): int(unit) for unit in SUBUNITS}
"""Region to its code."""
PIGMENT_CLASS, PIGMENT_UNKNOWN, HIDDEN, UNKNOWN_CLASS, SKIP = (
    "pigment",
    "pigment_unknown",
    "hidden",
    "unknown",
    "skip",
)
OURS = (*REGION_CODES, PIGMENT_CLASS, PIGMENT_UNKNOWN, HIDDEN, UNKNOWN_CLASS, SKIP)
"""What a class can be mapped to."""

_ALIASES = {
    "right_malar": ("malar_right", "right_cheek", "cheek_right", "right_malar_region", "r_malar", "malar_r"),
    "left_malar": ("malar_left", "left_cheek", "cheek_left", "left_malar_region", "l_malar", "malar_l"),
    "upper_lip": ("upperlip", "upper_lip_skin", "cutaneous_upper_lip"),
    PIGMENT_CLASS: ("melasma", "lesion", "lesions", "pigmentation", "hyperpigmentation", "melasma_lesion"),
    HIDDEN: ("hair", "not_skin", "no_skin", "hole", "occlusion", "occluded"),
    UNKNOWN_CLASS: ("ignore", "unsure", "void"),
}
_KNOWN = {name: name for name in OURS if name != SKIP} | {
    alias: ours for ours, aliases in _ALIASES.items() for alias in aliases
}


def plain_name(name: str) -> str:
    """A name without capitals, dashes and blanks: "Right malar" is right_malar."""
    return re.sub(r"[\W_]+", "_", name.casefold()).strip("_")


class Classes:
    """What each class of an export means here."""

    def __init__(self, mapped: Mapping[str, str] | None = None) -> None:
        """Take what a person says of their own classes."""
        self._mapped = dict(mapped or {})

    def ours(self, theirs: str) -> str | None:
        """One of `OURS`; None where nobody says what it means."""
        return self._mapped.get(theirs) or _KNOWN.get(plain_name(theirs))

    def any_is(self, theirs: Iterable[str], ours: str) -> bool:
        """Whether any of their classes means this one."""
        return any(self.ours(name) == ours for name in theirs)


def mapped_classes(told: Iterable[str], export: Export) -> Classes:
    """Read THEIRS=OURS, and see that every class that is drawn means something.

    Raises
    ------
    DatasetError
        One cannot be read, names a class that there is not, or leaves classes unknown: all are listed.
    """
    classes = Classes(dict(_pair(text, export) for text in told))
    unknown: Counter[str] = Counter()
    where: dict[str, list[str]] = {}
    for photo in export.photos:
        for shape in photo.shapes:
            if classes.ours(shape.label) is None:
                unknown[shape.label] += 1
                where.setdefault(shape.label, []).append(photo.file)
    if unknown:
        raise DatasetError(_sentence(unknown, where))
    return classes


def _pair(text: str, export: Export) -> tuple[str, str]:
    theirs, equals, ours = text.rpartition("=")
    theirs, ours = theirs.strip(), plain_name(ours)
    if not equals or ours not in OURS:
        raise DatasetError(
            f"--class is {text!r}. Expected THEIRS=OURS, where OURS is one of {', '.join(OURS)}."
        )
    same = [name for name in export.classes if name == theirs] or [
        name for name in export.classes if plain_name(name) == plain_name(theirs)
    ]
    if len(same) != 1:
        found = "stands for several classes" if same else "is no class of the annotations"
        raise DatasetError(
            f"--class {text}: {theirs!r} {found}. Expected one of: {', '.join(sorted(export.classes))}."
        )
    return same[0], ours


def _sentence(unknown: Counter[str], where: Mapping[str, list[str]]) -> str:
    lines = []
    for name, count in unknown.most_common():
        files = list(dict.fromkeys(where[name]))
        more = f" and {len(files) - 3} more photos" if len(files) > 3 else ""
        lines.append(f"\n  {name}: {count} times, in {', '.join(files[:3])}{more}")
    first = next(iter(unknown))
    return (
        f"{len(unknown)} classes of the annotations are not known here:{''.join(lines)}\nExpected "
        f"{', '.join(OURS[:-1])}. Say what each is, such as "
        f'--class "{first}={OURS[0]}" if it is that, or =skip to leave it out.'
    )
