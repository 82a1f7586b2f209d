"""Reads and scores as REDCap takes them: its import table, and the dictionary that makes the instrument.

Event names and the order of the dictionary's columns are those of REDCap 15.7 (`Project.getUniqueEventNames`
and `MetaData`, read and not run).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from masi_vision.errors import StatsError
from masi_vision.report.exports import ITEMS, NOT_DONE, SOFTWARE, TOTALS, Bounds, Value
from masi_vision.scale import MASI_REGIONS

_FORM = "masi_read"
_LONGEST_EVENT = 18
_OF_SOFTWARE = 1001
"""First instance of the software's: readers' come later, and may not push it on."""
_TEXTS = ("evaluator", "stage", "locked_utc")
_WORDS = {NOT_DONE: "Why it was not done", "comment": "Comment of the reader"}
"""Of a person: they may have line breaks, which a field of the type notes keeps."""
_MADE_WITH = "made_with"

REDCAP: tuple[str, ...] = (
    *("record_id", "redcap_event_name", "redcap_repeat_instrument", "redcap_repeat_instance"),
    *_TEXTS,
    *(f"{region}_{item}" for region in MASI_REGIONS for item in ITEMS),
    *(*TOTALS, *_WORDS, _MADE_WITH, f"{_FORM}_complete"),
)
"""Columns of the import table; the record id comes first."""

DICTIONARY = (
    *("Variable / Field Name", "Form Name", "Section Header", "Field Type", "Field Label"),
    *("Choices, Calculations, OR Slider Labels", "Field Note"),
    "Text Validation Type OR Show Slider Number",
    *("Text Validation Min", "Text Validation Max", "Identifier?"),
    *("Branching Logic (Show field only if...)", "Required Field?", "Custom Alignment"),
    *("Question Number (surveys only)", "Matrix Group Name", "Matrix Ranking?", "Field Annotation"),
)
"""Columns of a data dictionary: REDCap reads them by their place, whatever they are called."""


def redcap_rows(values: Sequence[Value]) -> list[dict[str, Any]]:
    """A row for every read, as an instance of a repeating instrument.

    Raises
    ------
    StatsError
        REDCap has no event name for a visit, or one for two: an import would mix their reads.

    Notes
    -----
    Instances of a patient's visit are numbered in the order in which reads were locked, so that a later
    export has the same numbers and more; those of the software begin at 1001.
    """
    events = _events_of(values)
    instances: dict[tuple[str, str, bool], int] = {}
    reads: dict[tuple[str, ...], dict[str, Any]] = {}
    for one in sorted(values, key=lambda value: (value.place, value.number)):
        if one.read not in reads:
            place = (one.patient, one.visit, one.evaluator == SOFTWARE)
            instances[place] = instances.get(place, _OF_SOFTWARE - 1 if place[2] else 0) + 1
            reads[one.read] = {
                "record_id": one.patient,
                "redcap_event_name": events[one.visit],
                "redcap_repeat_instrument": _FORM,
                "redcap_repeat_instance": instances[place],
                "evaluator": one.evaluator,
                "stage": one.stage,
                "locked_utc": one.utc,
                "comment": one.comment,
                _MADE_WITH: one.made_with,
                f"{_FORM}_complete": 2,
            }
        if one.text:
            reads[one.read][one.column] = one.text
        elif one.item in (NOT_DONE, "mmasi"):  # of all else the blank itself says it
            reads[one.read][NOT_DONE] = one.reason
    return [reads[key] for key in dict.fromkeys(one.read for one in values)]


def _events_of(values: Sequence[Value]) -> dict[str, str]:
    """REDCap's event by visit."""
    visits: dict[str, str] = {}
    for one in values:
        name = event_name(one.visit)
        other = visits.setdefault(name, one.visit)
        if not name or other != one.visit:
            found = f"{other!r} and {one.visit!r} are one event" if name else f"{one.visit!r} is no event"
            raise StatsError(
                f"The visits {found} in REDCap. Expected names that differ in their first {_LONGEST_EVENT} "
                "letters (a to z), digits, blanks and _. Call one otherwise in the tables."
            )
    return {visit: f"{name}_arm_1" for name, visit in visits.items()}


def event_name(label: str) -> str:
    """As REDCap makes an event's name of its label, without the arm; blank where it takes a hash instead."""
    kept = re.sub("[^0-9a-z_ ]", "", label.strip().lower())
    return kept.replace(" ", "_")[:_LONGEST_EVENT].rstrip("_")


def redcap_dictionary() -> list[dict[str, str]]:
    """The data dictionary that makes the instrument."""
    made = [_field("record_id", "Patient", form="registration")]
    made += [_field(name, name.replace("_", " ").capitalize()) for name in _TEXTS]
    for region in MASI_REGIONS:
        for item, (_, words, bounds) in ITEMS.items():
            label = f"{region.replace('_', ' ').capitalize()}: {words}"
            made.append(_field(f"{region}_{item}", label, bounds, "integer"))
    for item, (_, words, bounds) in TOTALS.items():
        made.append(_field(item, words, bounds, "number"))
    made += [_field(name, label) | {"Field Type": "notes"} for name, label in _WORDS.items()]
    return [*made, _field(_MADE_WITH, "Made with")]


def _field(
    name: str, label: str, bounds: Bounds | None = None, kind: str = "", form: str = _FORM
) -> dict[str, str]:
    low, high = (str(one) for one in bounds) if bounds else ("", "")
    return {
        "Variable / Field Name": name,
        "Form Name": form,
        "Field Type": "text",
        "Field Label": label,
        "Text Validation Type OR Show Slider Number": kind,
        "Text Validation Min": low,
        "Text Validation Max": high,
    }
