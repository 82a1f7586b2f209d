"""Reads and audit trail as tables."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from masi_vision.csv_table import csv_text, guarded
from masi_vision.report.exports import TRAIL_ROW
from masi_vision.report.tables import GRADES
from masi_vision.review.adjudication import codes_not_adjudicated, has_adjudicator
from masi_vision.review.audit import COLUMNS, is_lock_sql, trail
from masi_vision.review.closing import open_corrections
from masi_vision.review.database import closed_utc, fact
from masi_vision.review.grades import Reading
from masi_vision.review.protocol import ReadingProtocol
from masi_vision.review.tables import Account, Entry, Event, ListPlace
from masi_vision.scale import MASI_REGIONS

READ_COLUMNS = (
    *("code", "reader", "stage", "version", "latest"),
    *(f"{region}_{name}" for region in MASI_REGIONS for name in GRADES),
    *("mmasi", "masi", "ungradable", "comment", "reason"),
    *("locked_utc", "signed_by", "meaning", "sha256", TRAIL_ROW, "set", "protocol_sha256", "closed_utc"),
)


def reads_csv(session: Session, protocol: ReadingProtocol) -> str:
    """Every locked read, corrections beside what they correct; what is due and not read yet has no lock.

    Due are the units of every reader who may still sign in, corrections that were begun, and the units on
    which readers differ where there is an adjudicator, or was one. ``closed_utc`` is blank while more may be
    locked.
    """
    rows = session.execute(
        select(Entry, Account.name)
        .join(Account, Account.id == Entry.account_id)
        .order_by(Entry.code, Account.name, Entry.id)
    ).all()
    newest = {(entry.code, name, entry.stage): entry.id for entry, name in rows}
    known: dict[str, object] = {
        "set": fact(session, "set"),
        "protocol_sha256": fact(session, "protocol"),
        "closed_utc": closed_utc(session),
    }
    locks = {
        (code, new.partition(" ")[0]): number
        for number, code, new in session.execute(
            select(Event.number, Event.subject, Event.new).where(is_lock_sql())
        )
    }
    made: list[dict[str, object]] = [
        _row(entry, name, newest[entry.code, name, entry.stage] == entry.id, protocol)
        | {TRAIL_ROW: locks.get((entry.code, entry.sha256), "")}
        | known
        for entry, name in rows
    ]
    read = {(entry.code, name) for entry, name in rows}
    places = session.execute(
        select(ListPlace.code, Account.name)
        .join(Account, Account.id == ListPlace.account_id)
        .where(Account.active)
    )
    missing = sorted(set(map(tuple, places.all())) - read)
    made += [{"code": code, "reader": name, "stage": "blind"} | known for code, name in missing]
    corrected = {(entry.code, name): entry.stage for entry, name in rows}  # of each the last
    made += [
        {"code": code, "reader": name, "stage": corrected[code, name]} | known
        for code, name in open_corrections(session)
    ]
    if has_adjudicator(session):
        due = sorted(codes_not_adjudicated(session, protocol))
        made += [{"code": code, "stage": "adjudication"} | known for code in due]
    return csv_text(READ_COLUMNS, made)


def _row(entry: Entry, name: str, latest: bool, protocol: ReadingProtocol) -> dict[str, object]:
    reading = Reading.from_json(entry.reading)
    score = reading.score(protocol)
    grades = {
        f"{region}_{grade}": value
        for region, given in reading.grades.items()
        for grade, value in given.items()
        if not reading.ungradable
    }
    return {
        "code": entry.code,
        "reader": name,
        "stage": entry.stage,
        "version": entry.version,
        "latest": int(latest),
        **grades,
        "mmasi": "" if score is None else f"{score.mmasi:.1f}",
        "masi": "" if score is None or score.masi is None else f"{score.masi:.1f}",
        "ungradable": reading.ungradable,
        "comment": guarded(reading.comment),
        "reason": guarded(entry.reason),
        "locked_utc": entry.locked_utc,
        "signed_by": entry.signed_by,
        "meaning": entry.meaning,
        "sha256": entry.sha256,
    }


def audit_csv(session: Session) -> str:
    """The whole audit trail."""
    columns = (*COLUMNS, "hash")
    rows = [{name: getattr(event, name) for name in columns} for event in trail(session)]
    return csv_text(columns, [{name: guarded(str(value)) for name, value in row.items()} for row in rows])
