"""What a reader says of a unit: grades of four regions or why there are none; how far two readers differ."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from masi_vision.errors import ReadingError
from masi_vision.review.protocol import AdjudicationRule, ReadingProtocol
from masi_vision.scale import ABSENT, MASI_REGIONS, MasiScore, RegionGrade, masi_score

LONGEST_COMMENT = 2000
OTHER = "other"
"""The reason that the comment must say."""
Grades = Mapping[str, Mapping[str, int]]


@dataclass(frozen=True)
class Reading:
    """A read, finished or not.

    Parameters
    ----------
    grades : mapping
        By region, "area", "darkness" and perhaps "homogeneity"; what is not graded yet is missing.
    ungradable : str
        Why it cannot be graded; empty where it can.
    comment : str
    """

    grades: Grades = field(default_factory=dict)
    ungradable: str = ""
    comment: str = ""

    def to_json(self) -> str:
        """The same text for the same read, whatever the order in which it came."""
        values = {"grades": self.grades, "ungradable": self.ungradable, "comment": self.comment}
        return json.dumps(values, sort_keys=True, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Reading:
        """The read behind such a text."""
        return cls(**json.loads(text))

    @property
    def plain(self) -> Reading:
        """Without grades beside an area of 0, which older drafts may hold and no page shows."""
        grades = {
            region: {"area": 0} if given.get("area") == 0 else given for region, given in self.grades.items()
        }
        return replace(self, grades=grades)

    def missing(self, protocol: ReadingProtocol) -> list[str]:
        """What must be graded still, as "chin area"; nothing where the unit cannot be graded.

        A region without pigment has no darkness and no homogeneity. "other" is no reason without a comment.
        """
        if self.ungradable:
            return ["comment"] if self.ungradable == OTHER and not self.comment.strip() else []
        lacks = []
        for region in MASI_REGIONS:
            given = self.grades.get(region, {})
            needed = [name for name, _ in protocol.grades]
            if given.get("area") == 0:
                needed = ["area"]
            lacks += [f"{region} {name}" for name in needed if name not in given]
        return lacks

    def score(self, protocol: ReadingProtocol) -> MasiScore | None:
        """The score where every grade is there."""
        if self.ungradable or self.missing(protocol):
            return None
        return masi_score({region: _grade_of(self.grades[region], protocol) for region in MASI_REGIONS})


def _grade_of(given: Mapping[str, int], protocol: ReadingProtocol) -> RegionGrade:
    if given["area"] == 0:
        return ABSENT if protocol.homogeneity else RegionGrade(0, 0)
    return RegionGrade(given["area"], given["darkness"], given.get("homogeneity"))


def reading_from(values: Any, protocol: ReadingProtocol) -> Reading:
    """A read as it comes from the page, every value looked at.

    Raises
    ------
    ReadingError
        Naming what does not fit.
    """
    if not isinstance(values, dict) or set(values) - {"grades", "ungradable", "comment"}:
        raise ReadingError("A read has grades, ungradable and comment. Expected no other keys.")
    grades, why, comment = values.get("grades", {}), values.get("ungradable", ""), values.get("comment", "")
    if not isinstance(comment, str) or not _can_be_kept(comment):
        raise ReadingError("The comment is no text. Expected letters that can be written to a file.")
    if len(comment) > LONGEST_COMMENT:
        raise ReadingError(f"The comment is too long. Expected at most {LONGEST_COMMENT} characters.")
    comment = comment.replace("\0", "").replace("\r\n", "\n").replace("\r", "\n")
    if why not in ("", *protocol.ungradable):
        raise ReadingError(f"{why!r} is no reason. Expected one of {', '.join(protocol.ungradable)}.")
    if not isinstance(grades, dict) or set(grades) - set(MASI_REGIONS):
        raise ReadingError(f"Grades are of {', '.join(MASI_REGIONS)}. Expected no other region.")
    highest = dict(protocol.grades)
    for region, given in grades.items():
        for name, value in given.items() if isinstance(given, dict) else [("", None)]:
            if name not in highest or type(value) is not int or not 0 <= value <= highest[name]:
                raise ReadingError(f"{region} {name} is {value!r}. Expected a whole number within its scale.")
    for region, given in grades.items():
        if given.get("area") == 0 and (dark := [name for name in given if name != "area" and given[name]]):
            raise ReadingError(
                f"{region} {dark[0]} is {given[dark[0]]} where its area is 0. Expected none: without pigment "
                "there is nothing to grade."
            )
    return Reading(
        {region: dict(sorted(given.items())) for region, given in sorted(grades.items())}, why, comment
    )


def _can_be_kept(text: str) -> bool:
    """Half a letter (a lone surrogate) is in no file."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def discordance(one: Reading, other: Reading, protocol: ReadingProtocol) -> list[str]:
    """Why two reads of a unit go to the adjudicator, a phrase each; empty where they agree well enough.

    Notes
    -----
    By the scores: they differ by more than ``mmasi_points`` and than ``mmasi_percent`` of their mean. By the
    grades: a region's area, or its darkness where both saw pigment, differs by as many grades as the rule
    says. Or only one of the two could grade the unit.
    """
    if bool(one.ungradable) != bool(other.ungradable):
        return ["only one could grade it"]
    if one.ungradable:
        return []
    rule = protocol.adjudication
    return [*_by_score(one, other, protocol, rule), *_by_grades(one, other, rule)]


def _by_score(one: Reading, other: Reading, protocol: ReadingProtocol, rule: AdjudicationRule) -> list[str]:
    first, second = one.score(protocol), other.score(protocol)
    if first is None or second is None:
        return []
    apart, mean = abs(first.mmasi - second.mmasi), (first.mmasi + second.mmasi) / 2
    if apart > rule.mmasi_points and apart > rule.mmasi_percent / 100 * mean:
        return [f"mMASI differs by {apart:.1f}"]
    return []


def _by_grades(one: Reading, other: Reading, rule: AdjudicationRule) -> list[str]:
    found = []
    for region in MASI_REGIONS:
        for name, most in (("area", rule.area_grades), ("darkness", rule.darkness_grades)):
            first, second = (read.grades[region] for read in (one, other))
            if name == "darkness" and 0 in (first["area"], second["area"]):
                continue  # without pigment there is no darkness to differ by
            apart = abs(first[name] - second[name])
            if apart >= most:
                found.append(f"{region.replace('_', ' ')}: {name} differs by {apart}")
    return found
