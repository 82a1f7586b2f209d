"""Reads and scores in the shape of SDTM's domain RS, and what its transport file cannot hold."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from masi_vision.names import in_order
from masi_vision.report.exports import NOT_DONE, PLACES, Value, role, term

LONGEST_TEXT = 200
"""Characters of a text in a SAS transport file, version 5."""

_ALL = ("RSALL", "Disease Response and Clin Classification")
"""Short name and name where nothing of a read was done: SDTMIG 4.5.1.2."""

RS: tuple[tuple[str, str, Literal["text", "number"]], ...] = (
    ("STUDYID", "Study Identifier", "text"),
    ("DOMAIN", "Domain Abbreviation", "text"),
    ("USUBJID", "Unique Subject Identifier", "text"),
    ("RSSEQ", "Sequence Number", "number"),
    ("RSGRPID", "Group ID", "text"),
    ("RSTESTCD", "Assessment Short Name", "text"),
    ("RSTEST", "Assessment Name", "text"),
    ("RSCAT", "Category for Assessment", "text"),
    ("RSSCAT", "Subcategory", "text"),
    ("RSORRES", "Result or Finding in Original Units", "text"),
    ("RSSTRESC", "Character Result/Finding in Std Format", "text"),
    ("RSSTRESN", "Numeric Result/Finding in Standard Units", "number"),
    ("RSSTAT", "Completion Status", "text"),
    ("RSREASND", "Reason Not Done", "text"),
    ("RSLOC", "Location Used for the Assessment", "text"),
    ("RSLAT", "Laterality", "text"),
    ("RSDRVFL", "Derived Flag", "text"),
    ("RSEVAL", "Evaluator", "text"),
    ("RSEVALID", "Evaluator Identifier", "text"),
    ("VISITNUM", "Visit Number", "number"),
    ("VISIT", "Visit Name", "text"),
    ("RSDTC", "Date/Time of Assessment", "text"),
)
"""Columns of SDTM's RS: name, label, kind."""


def visit_numbers(visits: Collection[str], course: Sequence[str] = ()) -> dict[str, float]:
    """VISITNUM of each visit: those of the trial's course as they follow each other there, then the others by
    their names in order, week-4 before week-12."""
    named = in_order([*visits, *course], course)
    return {name: float(number) for number, name in enumerate(named, 1)}


def rs_rows(values: Sequence[Value], study: str, numbers: Mapping[str, float]) -> Iterator[dict[str, Any]]:
    """Rows in the shape of SDTM's RS, after that of PASI: text and number, evaluator, sponsor-defined terms.

    Parameters
    ----------
    numbers : mapping
        Of `visit_numbers`, of all visits, of patients who are left out too: they do not hang on who that is.

    Notes
    -----
    RSSCAT tells blind reads from those with the software in sight, and marks hidden repeats and what was
    corrected later. What was made of the grades has no original result: SDTMIG 4.5.1.1. RSLOBXFL,
    permissible in RS, is not there: no table tells when treatment began. RSGRPID is of one read of the
    patient: evaluator, number of the visit, number of the read. RSDTC is that of the observation, which is in
    no table: when a read was locked says nothing of the patient.
    """
    sequence: dict[str, int] = {}
    for one in values:
        sequence[one.patient] = sequence.get(one.patient, 0) + 1
        code, words = _ALL if one.item == NOT_DONE else term(one)
        number = float(one.text) if one.text else None
        place, side = PLACES.get(one.region, ("FACE", ""))
        yield {
            "STUDYID": study,
            "DOMAIN": "RS",
            "USUBJID": f"{study}-{one.patient}",
            "RSSEQ": float(sequence[one.patient]),
            "RSGRPID": f"{one.evaluator}-{numbers[one.visit]:g}-{one.number}",
            "RSTESTCD": code,
            "RSTEST": words,
            "RSCAT": "MASI (SPONSOR-DEFINED)",
            "RSSCAT": (one.stage or "software").upper().replace("_", " "),
            "RSORRES": "" if one.derived else one.text,
            "RSSTRESC": "" if number is None else f"{number:g}",
            "RSSTRESN": number,
            "RSSTAT": "" if one.text else "NOT DONE",
            "RSREASND": one.reason,
            "RSLOC": place,
            "RSLAT": side,
            "RSDRVFL": "Y" if one.derived else "",
            "RSEVAL": role(one),
            "RSEVALID": one.evaluator,
            "VISITNUM": numbers[one.visit],
            "VISIT": one.visit,
            "RSDTC": "",
        }


def transport_rows(rows: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Rows for a SAS transport file of version 5: of a reason one line, its first 200 characters.

    References
    ----------
    SDTMIG 4.5.3.2.
    """
    for row in rows:
        yield {**row, "RSREASND": one_line(row["RSREASND"])[:LONGEST_TEXT]}


def one_line(text: str) -> str:
    """A text without line breaks and control characters: a blank for each run of them."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


def not_for_transport(rows: Iterable[Mapping[str, Any]]) -> str:
    """What of the rows a SAS transport file of version 5 cannot hold; blank where it can."""
    for row in rows:
        for name, value in row.items():
            if isinstance(value, str) and (len(value) > LONGEST_TEXT or not value.isascii()):
                kind = "is longer than 200 characters" if value.isascii() else "has letters beyond ASCII"
                return f"{name} of {row['USUBJID']}, {row['VISIT']}, {kind}"
    return ""
