"""Reads and scores as FHIR R4 Observations, with codes of our own: there are no others."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from masi_vision.report.exports import NOT_DONE, Value, role, term

CODES = "urn:masi-vision:codes"
"""Of a code system of our own."""
_ABSENT = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
_SCORE = {"unit": "score", "system": "http://unitsofmeasure.org", "code": "{score}"}


def fhir_bundle(values: Sequence[Value], study: str) -> Iterator[str]:
    """A transaction of Observations, one for every read or score: visit, stage and grades as components.

    JSON, an Observation at a time: those of a large trial fill gigabytes of memory.

    Notes
    -----
    A read that was corrected later is `entered-in-error`. The time of locking is when it was `issued`: when
    the skin was like that (`effective`) is in no table. Each is a conditional update by its identifier: a
    server that gets a later export updates what it has of the earlier one.
    """
    reads: dict[tuple[str, ...], list[Value]] = {}
    for one in values:
        reads.setdefault(one.read, []).append(one)
    yield '{\n "resourceType": "Bundle",\n "type": "transaction",\n "entry": ['
    for number, of in enumerate(reads.values()):
        text = json.dumps(_entry(of, study), indent=1, allow_nan=False)
        yield ("," if number else "") + f"\n{text}".replace("\n", "\n  ")  # two levels deep
    yield "\n ]\n}\n"


def _entry(of: Sequence[Value], study: str) -> dict[str, Any]:
    """An Observation under an address of its own, the same at every export: a read can be found again."""
    address = f"urn:uuid:{uuid5(NAMESPACE_URL, json.dumps([CODES, study, *of[0].identity]))}"
    system = "urn:ietf:rfc:3986"
    return {
        "fullUrl": address,
        "resource": _observation(of, study) | {"identifier": [{"system": system, "value": address}]},
        # The | as it is, as in the example of R4's specification.
        "request": {"method": "PUT", "url": f"Observation?identifier={system}|{address}"},
    }


def _observation(of: Sequence[Value], study: str) -> dict[str, Any]:
    first = of[0]
    system = f"urn:masi-vision:study:{_in_uri(study)}"
    made: dict[str, Any] = {
        "resourceType": "Observation",
        "status": "entered-in-error" if first.superseded else "final",
        "code": _concept("masi-read", "Melasma Area and Severity Index, one read"),
        "subject": {"identifier": {"system": system, "value": first.patient}},
        "bodySite": {"text": "Face"},
        "performer": [{"display": first.evaluator}],
        "method": _concept(role(first).lower().replace(" ", "-"), role(first))
        | {"text": f"{role(first)} {first.made_with}".strip()},
    }
    if first.utc:
        made["issued"] = first.utc
    if first.comment:
        made["note"] = [{"text": first.comment}]
    made["component"] = [
        {"code": _concept("visit", "Visit"), "valueString": first.visit},
        {"code": _concept("stage", "Stage of the reading"), "valueString": first.stage or "software"},
        {"code": _concept("read", "Number of the read"), "valueInteger": first.number},
    ]
    for one in of:
        if one.item == NOT_DONE:
            made["dataAbsentReason"] = _absent(one.reason)
        elif one.text:
            component = {"code": _concept(*term(one)), "valueQuantity": _SCORE | {"value": float(one.text)}}
            made["component"].append(component)
        else:
            made["component"].append({"code": _concept(*term(one)), "dataAbsentReason": _absent(one.reason)})
    return made


def _absent(reason: str) -> dict[str, Any]:
    coding = {"system": _ABSENT, "code": "not-performed", "display": "Not Performed"}
    return {"coding": [coding], "text": reason}


def _in_uri(name: str) -> str:
    """Percent-encoded: a URI holds no blank."""
    kept = "-._~"
    return "".join(
        c if c.isascii() and (c.isalnum() or c in kept) else "".join(f"%{byte:02X}" for byte in c.encode())
        for c in name
    )


def _concept(code: str, words: str) -> dict[str, Any]:
    return {"coding": [{"system": CODES, "code": code, "display": words}], "text": words}
