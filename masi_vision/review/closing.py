"""How far everybody is, what is due still, and the end of a reading."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from masi_vision.errors import ReadingError
from masi_vision.review.adjudication import (
    adjudicated_by,
    codes_not_adjudicated,
    has_adjudicator,
    may_adjudicate,
)
from masi_vision.review.audit import Act, note_tool, now
from masi_vision.review.database import closed_utc, minute_of
from masi_vision.review.grades import Reading
from masi_vision.review.protocol import ReadingProtocol
from masi_vision.review.tables import Account, Draft, Entry, Event, Fact, ListPlace


@dataclass(frozen=True)
class ReaderProgress:
    """How far a reader is; nothing of what was read.

    Parameters
    ----------
    begun : int
        Corrections and second reads that were begun and are not locked.
    """

    name: str
    role: str
    active: bool
    units: int
    locked: int
    begun: int
    last_utc: str


def progress_of_all(session: Session, protocol: ReadingProtocol) -> list[ReaderProgress]:
    """Of every reader and adjudicator."""
    made, open_again = [], [*open_corrections(session), *open_second_reads(session)]
    for account in session.execute(select(Account).order_by(Account.name)).scalars():
        if account.role not in ("reader", "adjudicator"):
            continue
        of = Entry.account_id == account.id
        locked = session.execute(select(func.count(func.distinct(Entry.code))).where(of)).scalar_one()
        last = session.execute(select(func.max(Entry.locked_utc)).where(of)).scalar_one() or ""
        units = session.execute(
            select(func.count()).select_from(ListPlace).where(ListPlace.account_id == account.id)
        ).scalar_one()
        total = len(adjudicated_by(session, account, protocol)) if account.role == "adjudicator" else units
        begun = sum(name == account.name for _, name in open_again)
        made.append(ReaderProgress(account.name, account.role, account.active, total, locked, begun, last))
    return made


def close(session: Session, protocol: ReadingProtocol, why_incomplete: str = "") -> str:
    """End a reading: nothing is drafted, locked or corrected from then on; returns since when.

    Parameters
    ----------
    why_incomplete : str
        Why it ends though something is due.

    Raises
    ------
    ReadingError
        It is closed already, or something is due.
    """
    if since := closed_utc(session):
        raise ReadingError(f"The reading was closed at {minute_of(since)}. Expected one that is open.")
    due = still_due(session, protocol)
    if due and not why_incomplete.strip():
        raise ReadingError(
            f"The reading is not complete: {'; '.join(due[:10])}. Expected all locked, for nobody reads once "
            "it is closed. Wait for them, or say why with --incomplete."
        )
    since = now()
    session.add(Fact(name="closed", value=since))
    note_tool(session, Act.READING_CLOSED, old="; ".join(due[:10]), new=since, reason=why_incomplete.strip())
    return since


def still_due(session: Session, protocol: ReadingProtocol) -> list[str]:
    """What a reading lacks that is closed now, a phrase each."""
    found = [
        f"{one.name} has locked {one.locked} of {one.units} units"
        for one in progress_of_all(session, protocol)
        if one.active and one.role == "reader" and one.locked < one.units
    ]
    if has_adjudicator(session) and (due := codes_not_adjudicated(session, protocol)):
        found.append(_awaiting(session, len(due)))
    found += [f"{name} has begun {code} and not locked it" for code, name in open_first_reads(session)]
    found += [f"{name} has begun to correct {code}" for code, name in open_corrections(session)]
    found += [
        f"{name} has graded {code} again and not locked it" for code, name in open_second_reads(session)
    ]
    return found


def _awaiting(session: Session, units: int) -> str:
    awaiting = "1 unit awaits" if units == 1 else f"{units} units await"
    if may_adjudicate(session):
        return f"{awaiting} the adjudicator"
    return (
        f"{awaiting} an adjudicator, and none may sign in: name another with masi review account add --role "
        "adjudicator, or say why with --incomplete"
    )


def open_corrections(session: Session) -> list[tuple[str, str]]:
    """Unit and reader of every correction that was begun and can still be locked."""
    return _drafts(session, Draft.reason != "")


def open_first_reads(session: Session) -> list[tuple[str, str]]:
    """Unit and reader or adjudicator of every first read in which something was entered, and not locked."""
    locked = select(Entry.id).where(Entry.account_id == Draft.account_id, Entry.code == Draft.code)
    entered = Draft.reading != Reading().to_json()
    verdict = select(Entry.id).where(Entry.stage == "adjudication", Entry.code == Draft.code)
    needed = (Account.role != "adjudicator") | ~verdict.exists()  # one adjudicator is enough
    return _drafts(session, (Draft.reason == "") & entered & ~locked.exists() & needed)


def open_second_reads(session: Session) -> list[tuple[str, str]]:
    """Unit and reader of every second read that was begun, knowing the software's score, and not locked."""
    first = select(Entry.id).where(Entry.account_id == Draft.account_id, Entry.code == Draft.code)
    shown = select(Event.number).where(Event.what == Act.SOFTWARE_SHOWN, Event.who == Account.name)
    return _drafts(session, (Draft.reason == "") & first.exists() & shown.exists())


def _drafts(session: Session, kind: ColumnElement[bool]) -> list[tuple[str, str]]:
    """Of those who may sign in, while the reading is open."""
    if closed_utc(session):
        return []
    rows = session.execute(
        select(Draft.code, Account.name)
        .join(Account, Account.id == Draft.account_id)
        .where(kind, Account.active)
        .order_by(Draft.code, Account.name)
    )
    return [(code, name) for code, name in rows]
