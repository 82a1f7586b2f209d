"""Units that were coded under a wrong patient or visit, and what a table of corrections makes of the key."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from masi_vision.blinding.key import Key
from masi_vision.csv_table import is_no_name, read_csv, without_missing
from masi_vision.errors import BlindingError
from masi_vision.names import as_known, place_of, without_zeros
from masi_vision.photo import printable
from masi_vision.reads_table import NOT_COUNTED, is_not_counted

CORRECTION_COLUMNS = ("patient", "visit", "correct_patient", "correct_visit", "reason")
SET = "set"
"""Column that may stand beside them: the id of the set whose key is corrected."""
Place = tuple[str, str]
"""Patient and visit."""


@dataclass(frozen=True)
class CorrectionRow:
    """One visit whose photos were filed under a wrong name, as a person wrote it.

    Parameters
    ----------
    line : int
        Of the table.
    filed : (str, str)
        Patient and visit under which it was coded.
    correct : (str, str)
        Patient and visit that it is of; both blank where the photos are not to be counted.
    reason : str
        How that is known.
    set_id : str
        Of the coded set whose key it corrects; blank where the table does not tell.
    """

    line: int
    filed: Place
    correct: Place
    reason: str
    set_id: str

    @property
    def is_counted(self) -> bool:
        """Whether it says of whom the photos are."""
        return any(self.correct)


@dataclass(frozen=True)
class FilingCorrection:
    """What the photos of a visit that were filed under a wrong name are to be called.

    Parameters
    ----------
    correct : (str, str)
        Patient and visit.
    reason : str
        How that is known.
    is_counted : bool
        Whether they count; the patient's name is made up where they do not.
    """

    correct: Place
    reason: str
    is_counted: bool


def read_corrections(file: Path) -> list[CorrectionRow]:
    """Corrections as a person wrote them; what each must be is looked at when the key is open.

    Raises
    ------
    BlindingError
        It is no such table, or has no row.
    """
    remedy = "Name the corrections."
    table = read_csv(file, BlindingError).need(CORRECTION_COLUMNS, BlindingError, remedy)
    if not table.rows:
        raise BlindingError(f"{file.name} has no row. Expected one for each visit to correct. Complete it.")
    made = []
    for line, row in zip(table.lines, table.plain_rows, strict=True):
        told = without_missing(row)
        correct = (told["correct_patient"], told["correct_visit"])
        filed = (row["patient"], row["visit"])
        made.append(CorrectionRow(line, filed, correct, told["reason"], told.get(SET, "")))
    return made


def settled(rows: Sequence[CorrectionRow], key: Key, name: str) -> dict[Place, FilingCorrection]:
    """Corrections by the place that each corrects, names as the key has them.

    What is not to be counted is called by its code, that of a hidden repeat not, so that a row more in the
    table changes no name.

    Parameters
    ----------
    name : str
        Of the table, for the error.

    Raises
    ------
    BlindingError
        They are of another set; or one cannot be applied, or two units would be one: all faults at once.
    """
    if others := sorted({row.set_id for row in rows} - {"", key.set_id}):
        raise BlindingError(
            f"{name} is of the set {printable(others[0])}. Expected {key.set_id}, that of the key: what was "
            "corrected of a set does not hold for one that was coded later, of a study that was mended "
            "since. Name a table of this set, or another key. Nothing was written."
        )
    places = _places_of(key)
    rows = _as_in_key(rows, places)
    if found := [*_faults_of_rows(rows, places), *_faults_together(rows, key)]:
        raise BlindingError(
            f"{name} cannot be applied: {'; '.join(found)}. Expected a patient and visit of the key in each "
            "row, once; both correct names (of a study without patients the visit alone), or none where the "
            "photos are not to be counted; a reason; and at the end one unit of each patient and visit: "
            "where one was photographed twice, the photos that do not count go out with both names blank. "
            "Correct it. Nothing was written."
        )
    codes = {(unit.patient, unit.visit): unit.code for unit in key.units if unit.repeat_of is None}
    settled_rows = {}
    for row in rows:
        made_up = NOT_COUNTED + codes.get(row.filed, "of-no-code")  # none of its photos could be coded
        correct = row.correct if row.is_counted else (made_up, row.filed[1])
        settled_rows[row.filed] = FilingCorrection(correct, row.reason, row.is_counted)
    return settled_rows


def filed_right(key: Key, corrections: Mapping[Place, FilingCorrection]) -> Key:
    """The key as it would be, had the photos been filed right; hidden repeats go with their unit."""
    units = []
    for unit in key.units:
        one = corrections.get((unit.patient, unit.visit))
        units.append(replace(unit, patient=one.correct[0], visit=one.correct[1]) if one else unit)
    return replace(key, units=tuple(units))


def _places_of(key: Key) -> set[Place]:
    """Every patient and visit that the key names, what was left out too."""
    coded = {(unit.patient, unit.visit) for unit in key.units}
    return coded | {(one.patient, one.visit) for one in key.left_out if one.visit}


def _as_in_key(rows: Sequence[CorrectionRow], places: Collection[Place]) -> list[CorrectionRow]:
    """Names that a person types otherwise than the study does, in its spelling."""
    patients, visits = ({place[at] for place in places} for at in (0, 1))

    def spelled(place: Place) -> Place:
        return as_known(place[0], patients), as_known(place[1], visits)

    return [replace(row, filed=spelled(row.filed), correct=spelled(row.correct)) for row in rows]


def _faults_of_rows(rows: Sequence[CorrectionRow], places: Collection[Place]) -> Iterator[str]:
    lines = Counter(one.filed for one in rows)
    told = {one.correct for one in rows}
    known = [{place[at] for place in {*places, *told}} - {""} for at in (0, 1)]
    of_key = [{place[at] for place in places} for at in (0, 1)]
    for one in rows:
        faults = [] if one.filed in places else [f"the key has no {_said(one.filed)}"]
        if lines[one.filed] > 1:
            faults.append(f"{_said(one.filed)} stands in {lines[one.filed]} rows")
        if not one.reason:
            faults.append("there is no reason")
        if one.correct == one.filed:
            faults.append(f"{_said(one.filed)} stays what it is")
        if one.is_counted:
            faults += _faults_of_names(one.correct, known, of_key)
        yield from (f"line {one.line}: {fault}" for fault in faults)


def _faults_of_names(
    correct: Place, known: Sequence[Collection[str]], of_key: Sequence[Collection[str]]
) -> Iterator[str]:
    """What makes a name none that a study could have, or two of one."""
    has_patients = any(of_key[0])
    for name, column, others, named in zip(correct, CORRECTION_COLUMNS[2:4], known, of_key, strict=True):
        if column == "correct_patient" and not has_patients:
            if name:
                yield f"{column} is {printable(name)!r}, and nothing in the key has a patient: leave it blank"
            continue
        if not name:
            yield f"{column} is blank, and its fellow is not"
            continue
        parts = name.split("/")
        within = "/" in name and column == "correct_visit"
        if within or name != printable(name) or any(part.strip() in ("", ".", "..") for part in parts):
            yield f"{column} {printable(name)!r} is no name of a folder"
        if is_no_name(name):
            yield f"{column} is {name!r}, which programs write where there is nothing"
        if column == "correct_patient" and is_not_counted(name):
            yield f"{column} {name!r} is how photos are called that do not count: leave both names blank"
        alike = [one for one in others if one != name and without_zeros(one) == without_zeros(name)]
        if alike and name not in named:
            yield f"{column} {name!r} is spelled {min(alike)!r} elsewhere"


def _faults_together(rows: Sequence[CorrectionRow], key: Key) -> Iterator[str]:
    """Places that two units would have in the end."""
    coded = {(unit.patient, unit.visit) for unit in key.units}
    ends = {place: place for place in coded} | {one.filed: one.correct for one in rows}
    counted = Counter(place for place in ends.values() if place[1])
    for place in sorted(place for place, units in counted.items() if units > 1):
        filed = " and ".join(_said(one) for one in sorted(ends) if ends[one] == place)
        yield f"{filed} would become one, {_said(place)}"


def _said(place: Place) -> str:
    return printable(place_of(*place)) or "place without a name"
