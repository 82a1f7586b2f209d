"""Reads and scores in the forms that others take: a long table, REDCap, CDISC SDTM, FHIR.

No standard term exists for MASI (none was found in the CDISC and NCI terminologies, LOINC or SNOMED CT):
every code here is defined by the sponsor, and says so.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from masi_vision.errors import StatsError
from masi_vision.report.tables import text
from masi_vision.scale import MASI_REGIONS
from masi_vision.visit.folder import natural_key

Row = Mapping[str, str]
SOFTWARE = "ALGORITHM"
CODES = "urn:masi-vision:codes"
"""Of a code system of our own: there is no other."""
_FORM = "masi_read"
_ITEMS: dict[str, tuple[str, str, tuple[int, int]]] = {
    "area": ("AREA", "Area involved, grade", (0, 6)),
    "darkness": ("DARK", "Darkness, grade", (0, 4)),
    "homogeneity": ("HOMO", "Homogeneity, grade", (0, 4)),
}
_TOTALS: dict[str, tuple[str, str, tuple[int, int]]] = {
    "mmasi": ("MMASI", "Modified MASI, total", (0, 24)),
    "masi": ("MASI", "MASI, total", (0, 48)),
}
_REGION_CODES = {"forehead": "F", "right_malar": "RM", "left_malar": "LM", "chin": "C"}
_PLACES = {
    "forehead": "FOREHEAD",
    "right_malar": "MALAR REGION, RIGHT",
    "left_malar": "MALAR REGION, LEFT",
    "chin": "CHIN",
}


@dataclass(frozen=True)
class Value:
    """One value of one read or score.

    Parameters
    ----------
    region : str
        Blank for a total.
    item : str
        "area", "darkness", "homogeneity", "mmasi", "masi" or "not_done".
    text : str
        As it was given; for "not_done" the reason.
    evaluator : str
        Reader's name, or `SOFTWARE`.
    number : int
        Of the read: corrections, hidden repeats and second reads have numbers of their own.
    utc : str
        When it was locked; blank for the software.
    made_with : str
        Version of the program and hash of its settings, for the software; of the protocol, for a read.
    """

    patient: str
    visit: str
    region: str
    item: str
    text: str
    evaluator: str
    stage: str
    number: int
    utc: str
    made_with: str


def values_of_reads(rows: Iterable[Row]) -> Iterator[Value]:
    """Every locked read of ``reads.csv`` after `masi unblind`, corrections and hidden repeats too."""
    locked = [row for row in rows if row.get("locked_utc", "locked")]
    numbers = _numbered(sorted(locked, key=lambda row: row.get("locked_utc", "")), "reader")
    for row in locked:
        stage = row.get("stage", "blind") + (", repeat" if row.get("repeat_of") else "")
        stage += ", superseded" if row.get("latest", "1") not in ("1", "") else ""
        known = (
            row["reader"],
            stage,
            numbers[id(row)],
            row.get("locked_utc", ""),
            row.get("protocol_sha256", ""),
        )
        yield from _values(row, *known)


def values_of_scores(scores: Iterable[Row], regions: Iterable[Row]) -> Iterator[Value]:
    """The software's scores and grades; of a visit that was not scored, the reason."""
    wide: dict[tuple[str, ...], dict[str, str]] = {}
    for row in regions:
        for item in _ITEMS:
            if row["region"] in MASI_REGIONS and row.get(item):
                wide.setdefault(_unit_of(row), {})[f"{row['region']}_{item}"] = row[item]
    scores = list(scores)
    numbers = _numbered(scores)
    for row in scores:
        grades = wide.get(_unit_of(row), {})
        lost = {} if row["status"] == "scored" else {"ungradable": row["reason"]}
        made_with = f"masi_vision {row.get('version', '')} {row.get('settings_sha256', '')}".strip()
        stage = "repeat" if row.get("repeat_of") else ""
        yield from _values({**row, **grades, **lost}, SOFTWARE, stage, numbers[id(row)], "", made_with)


def _unit_of(row: Row) -> tuple[str, ...]:
    """A hidden repeat has the patient and the visit of its original, and another code."""
    return row["patient"], row["visit"], row.get("code", "")


def _numbered(rows: Iterable[Row], *by: str) -> dict[int, int]:
    """Which of its visit's rows each is, from 1; by the row's identity."""
    counted: dict[tuple[str, ...], int] = {}
    numbers: dict[int, int] = {}
    for row in rows:
        unit = tuple(row[name] for name in ("patient", "visit", *by))
        numbers[id(row)] = counted[unit] = counted.get(unit, 0) + 1
    return numbers


def _values(row: Row, evaluator: str, stage: str, number: int, utc: str, made_with: str) -> Iterator[Value]:
    def value(region: str, item: str, text: str) -> Value:
        unit = (row["patient"], row["visit"])
        return Value(*unit, region, item, text, evaluator, stage, number, utc, made_with)

    if row.get("ungradable"):
        yield value("", "not_done", row["ungradable"])
        return
    for region in MASI_REGIONS:
        for item in _ITEMS:
            if text := row.get(f"{region}_{item}", ""):
                yield value(region, item, text)
    for item in _TOTALS:
        if text := row.get(item, ""):
            yield value("", item, text)


LONG: tuple[tuple[str, str, str], ...] = (
    ("patient", "text", "as the trial names the patient"),
    ("visit", "text", "as the trial names the visit"),
    ("region", "text", f"{', '.join(MASI_REGIONS)}; blank for a total"),
    ("item", "text", f"{', '.join([*_ITEMS, *_TOTALS])}, or not_done"),
    ("value", "number", "grade or score; blank for not_done"),
    ("reason", "text", "why it was not done"),
    ("evaluator", "text", f"reader, or {SOFTWARE} for masi_vision"),
    (
        "stage",
        "text",
        "blind, with_software or adjudication; repeat: of a hidden repeat; superseded: corrected later",
    ),
    ("number", "number", "of the evaluator's reads of this unit, oldest first"),
    ("locked_utc", "text", "when the read was locked and signed; blank for the software"),
    ("made_with", "text", "program and hash of its settings, or hash of the reading protocol"),
)
"""Columns of the long table: name, kind, meaning."""


def long_rows(values: Iterable[Value]) -> list[dict[str, Any]]:
    """The long table: a row for every value; numbers as numbers."""
    made = []
    for one in values:
        done = one.item != "not_done"
        made.append(
            {
                "patient": one.patient,
                "visit": one.visit,
                "region": one.region,
                "item": one.item,
                "value": float(one.text) if done else None,
                "reason": "" if done else one.text,
                "evaluator": one.evaluator,
                "stage": one.stage,
                "number": one.number,
                "locked_utc": one.utc,
                "made_with": one.made_with,
            }
        )
    return made


def redcap_rows(values: Sequence[Value]) -> list[dict[str, Any]]:
    """A row for every read, as an instance of a repeating instrument; the record id comes first.

    Raises
    ------
    StatsError
        Two visits would be one event: an import would mix their reads, and nothing would tell them apart.
    """
    events = _events_of(values)
    reads: dict[tuple[str, ...], dict[str, Any]] = {}
    instances: dict[tuple[str, str], int] = {}
    for one in values:
        key = (one.patient, one.visit, one.evaluator, one.stage, str(one.number))
        if key not in reads:
            event = (one.patient, one.visit)
            instances[event] = instances.get(event, 0) + 1
            reads[key] = {
                "record_id": one.patient,
                "redcap_event_name": events[one.visit],
                "redcap_repeat_instrument": _FORM,
                "redcap_repeat_instance": instances[event],
                "evaluator": one.evaluator,
                "stage": one.stage,
                "locked_utc": one.utc,
                "made_with": one.made_with,
                f"{_FORM}_complete": 2,
            }
        name = f"{one.region}_{one.item}" if one.region else one.item
        reads[key][name] = one.text
    return list(reads.values())


def _events_of(values: Sequence[Value]) -> dict[str, str]:
    """REDCap's event by visit."""
    visits: dict[str, str] = {}
    for one in values:
        event = f"{_plain(one.visit)}_arm_1"
        other = visits.setdefault(event, one.visit)
        if other != one.visit:
            raise StatsError(
                f"The visits {other!r} and {one.visit!r} are one event in REDCap, {event}. Expected visits "
                "that differ in a letter or digit. Call one otherwise in the tables."
            )
    return {visit: event for event, visit in visits.items()}


REDCAP: tuple[str, ...] = (
    *("record_id", "redcap_event_name", "redcap_repeat_instrument", "redcap_repeat_instance"),
    *("evaluator", "stage", "locked_utc"),
    *(f"{region}_{item}" for region in MASI_REGIONS for item in _ITEMS),
    *(*_TOTALS, "not_done", "made_with", f"{_FORM}_complete"),
)


def redcap_instrument() -> list[dict[str, str]]:
    """The data dictionary that makes the instrument in REDCap."""
    made = [_redcap_field("record_id", "Patient", form="registration")]
    made += [
        _redcap_field(name, name.replace("_", " ").capitalize())
        for name in ("evaluator", "stage", "locked_utc")
    ]
    for region in MASI_REGIONS:
        for item, (_, words, bounds) in _ITEMS.items():
            label = f"{_PLACES[region].capitalize()}: {words}"
            made.append(_redcap_field(f"{region}_{item}", label, bounds, "integer"))
    for item, (_, words, bounds) in _TOTALS.items():
        made.append(_redcap_field(item, words, bounds, "number"))
    made += [_redcap_field("not_done", "Why it was not done"), _redcap_field("made_with", "Made with")]
    return made


def _redcap_field(
    name: str, label: str, bounds: tuple[int, int] | None = None, kind: str = "", form: str = _FORM
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


def _plain(name: str) -> str:
    """As REDCap makes an event's name of its label."""
    return "".join(c if c.isalnum() else "_" for c in name.lower())


RS: tuple[tuple[str, str, Literal["text", "number"]], ...] = (
    ("STUDYID", "Study Identifier", "text"),
    ("DOMAIN", "Domain Abbreviation", "text"),
    ("USUBJID", "Unique Subject Identifier", "text"),
    ("RSSEQ", "Sequence Number", "number"),
    ("RSGRPID", "Group ID", "text"),
    ("RSTESTCD", "Assessment Short Name", "text"),
    ("RSTEST", "Assessment Name", "text"),
    ("RSCAT", "Category for Assessment", "text"),
    ("RSSCAT", "Subcategory for Assessment", "text"),
    ("RSORRES", "Result or Finding in Original Units", "text"),
    ("RSSTRESC", "Character Result/Finding in Std Format", "text"),
    ("RSSTRESN", "Numeric Result/Finding in Standard Units", "number"),
    ("RSSTAT", "Completion Status", "text"),
    ("RSREASND", "Reason Not Done", "text"),
    ("RSLOC", "Location Used for the Assessment", "text"),
    ("RSEVAL", "Evaluator", "text"),
    ("RSEVALID", "Evaluator Identifier", "text"),
    ("VISITNUM", "Visit Number", "number"),
    ("VISIT", "Visit Name", "text"),
    ("RSDTC", "Date/Time of Assessment", "text"),
)
"""Columns of SDTM's RS: name, label, kind."""


def rs_rows(values: Sequence[Value], study: str) -> list[dict[str, Any]]:
    """Rows in the shape of SDTM's RS, after that of PASI: text and number, evaluator, sponsor-defined terms.

    Notes
    -----
    Visits are numbered by their names in order, week-4 before week-12. RSSCAT tells blind reads from those
    with the software in sight, and marks hidden repeats and what was corrected later.
    """
    names = sorted({one.visit for one in values}, key=natural_key)
    visits = {name: number for number, name in enumerate(names, 1)}
    sequence: dict[str, int] = {}
    made = []
    for one in values:
        sequence[one.patient] = sequence.get(one.patient, 0) + 1
        code, words = _term(one)
        done = one.item != "not_done"
        made.append(
            {
                "STUDYID": study,
                "DOMAIN": "RS",
                "USUBJID": f"{study}-{one.patient}",
                "RSSEQ": float(sequence[one.patient]),
                "RSGRPID": f"{one.evaluator}-{one.number}",
                "RSTESTCD": code,
                "RSTEST": words,
                "RSCAT": "MASI (SPONSOR-DEFINED)",
                "RSSCAT": (one.stage or "software").upper().replace("_", " "),
                "RSORRES": one.text if done else "",
                "RSSTRESC": one.text if done else "",
                "RSSTRESN": float(one.text) if done else None,
                "RSSTAT": "" if done else "NOT DONE",
                "RSREASND": "" if done else one.text,
                "RSLOC": _PLACES.get(one.region, "FACE"),
                "RSEVAL": _role(one),
                "RSEVALID": one.evaluator,
                "VISITNUM": float(visits[one.visit]),
                "VISIT": one.visit,
                "RSDTC": one.utc,
            }
        )
    return made


def _term(one: Value) -> tuple[str, str]:
    """Short name (at most 8 characters) and name (at most 40)."""
    if one.item == "not_done":
        return "MASIALL", "MASI, all items"
    if one.region:
        code, words, _ = _ITEMS[one.item]
        return f"{code}{_REGION_CODES[one.region]}", f"{words}: {one.region.replace('_', ' ')}"
    code, words, _ = _TOTALS[one.item]
    return code, words


def _role(one: Value) -> str:
    if one.evaluator == SOFTWARE:
        return SOFTWARE
    return "ADJUDICATOR" if one.stage.startswith("adjudication") else "INDEPENDENT ASSESSOR"


def fhir_bundle(values: Sequence[Value], study: str) -> dict[str, Any]:
    """A collection of FHIR R4 Observations, one for every read or score, its grades as components."""
    reads: dict[tuple[str, ...], list[Value]] = {}
    for one in values:
        reads.setdefault((one.patient, one.visit, one.evaluator, one.stage, str(one.number)), []).append(one)
    entries = [{"resource": _observation(of, study)} for of in reads.values()]
    return {"resourceType": "Bundle", "type": "collection", "entry": entries}


def _observation(of: Sequence[Value], study: str) -> dict[str, Any]:
    first = of[0]
    made: dict[str, Any] = {
        "resourceType": "Observation",
        "status": "final",
        "code": _concept("masi-read", "Melasma Area and Severity Index, one read"),
        "subject": {"identifier": {"system": f"urn:masi-vision:study:{study}", "value": first.patient}},
        "bodySite": {"text": "Face"},
        "performer": [{"display": first.evaluator}],
        "method": _concept(
            _role(first).lower().replace(" ", "-"), f"{_role(first)} {first.made_with}".strip()
        ),
        "note": [{"text": f"visit {first.visit}; {first.stage or 'software'}; read {first.number}"}],
    }
    if first.utc:
        made["effectiveDateTime"] = first.utc
    if first.item == "not_done":
        return made | {"dataAbsentReason": {"text": first.text}}
    components = []
    for one in of:
        code, words = _term(one)
        components.append(
            {"code": _concept(code, words), "valueQuantity": {"value": float(one.text), "unit": "score"}}
        )
    return made | {"component": components}


def _concept(code: str, words: str) -> dict[str, Any]:
    return {"coding": [{"system": CODES, "code": code, "display": words}], "text": words}


def csv_of(columns: Sequence[str], rows: Iterable[Mapping[str, Any]], *, as_it_is: bool = False) -> str:
    """Rows as CSV; nothing for a column that a row lacks.

    Parameters
    ----------
    as_it_is : bool
        Names without the mark that keeps a spreadsheet from running them: for a program that reads the file.
    """
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value, as_it_is) for name, value in row.items()} for row in rows)
    return stream.getvalue()


def _cell(value: Any, as_it_is: bool) -> Any:
    if value is None:
        return ""
    if isinstance(value, str) and not as_it_is:
        return text(value)
    return f"{value:g}" if isinstance(value, float) else value
