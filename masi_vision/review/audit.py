"""The audit trail: every act in a row, each row chained to the one before by a hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.orm import Session

from masi_vision.blinding.journal import clock_set_back, system_user
from masi_vision.review.tables import Event, Head

START = "0" * 64
TOOL = "tool"
"""Role of whoever did something on the command line."""


class Act(StrEnum):
    """What the rows are of, as far as something is read from them again. Of a lock, a stage follows."""

    LOCKED = "locked"
    CORRECTED = "corrected"
    DRAFT = "draft"
    CORRECTION_BEGUN = "correction begun"
    CORRECTION_TAKEN_BACK = "correction taken back"
    SECOND_READ_TAKEN_BACK = "second read taken back"
    SOFTWARE_SHOWN = "software shown"
    SIGNATURE_FAILED = "signature failed"
    SIGNATURE_REFUSED = "signature refused"
    ACCOUNT_MADE = "account made"
    ACCOUNT_SWITCHED = "account switched"
    PASSWORD_SET = "password set"
    PASSWORD_GIVEN = "password given"
    PASSWORD_CHANGED = "password changed"
    SIGN_IN_FAILED = "sign-in failed"
    SIGN_IN_REFUSED = "sign-in refused"
    PASSWORD_FAILED = "password change failed"
    BOUND = "bound"
    LIST_GIVEN = "list given"
    READING_CLOSED = "reading closed"
    TABLES_BROUGHT = "tables brought to a newer form"


_LOCKS = (f"{Act.LOCKED} ", f"{Act.CORRECTED} ")
_LONGEST_NAME = 64  # of the column
COLUMNS = ("number", "utc", "who", "role", "what", "subject", "old", "new", "reason")


def now() -> str:
    """The time in UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def note_tool(
    session: Session, what: str, subject: str = "", *, old: str = "", new: str = "", reason: str = ""
) -> Event:
    """Add a row of what was done on the command line: whoever the system says did it, in the role "tool"."""
    return note(session, system_user()[:_LONGEST_NAME], TOOL, what, subject, old=old, new=new, reason=reason)


def note(
    session: Session,
    who: str,
    role: str,
    what: str,
    subject: str = "",
    *,
    old: str = "",
    new: str = "",
    reason: str = "",
) -> Event:
    """Add a row, in the transaction of the act itself: there is no act without its row.

    Notes
    -----
    The head is locked first, so that two acts at once stand one behind the other.
    """
    head = session.execute(select(Head).with_for_update()).scalar_one()
    event = Event(
        number=head.number + 1,
        utc=now(),
        who=who,
        role=role,
        what=what,
        subject=subject,
        old=old,
        new=new,
        reason=reason,
    )
    event.hash = row_hash(event, head.hash)
    head.number, head.hash = event.number, event.hash
    session.add(event)
    session.flush()
    return event


def row_hash(event: Event | dict[str, Any], before: str) -> str:
    """Hash of a row and of everything before it."""
    values = event if isinstance(event, dict) else {name: getattr(event, name) for name in COLUMNS}
    text = json.dumps([before, *(values[name] for name in COLUMNS)], ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def faults(events: Iterable[Event], head: Head) -> Iterator[str]:
    """What was altered, removed or put elsewhere, a sentence each.

    Parameters
    ----------
    events : iterable of Event
        In the order of their numbers.
    """
    before, last = START, 0
    for event in events:
        if event.number != last + 1:
            yield f"Row {last + 1} is missing: row {event.number} follows row {last}."
        elif event.hash != row_hash(event, before):
            yield f"Row {event.number} is not as it was written, or does not follow the one before it."
        before, last = event.hash, event.number
    if (last, before) != (head.number, head.hash):
        yield f"The trail ends at row {last}; it was written as far as row {head.number}."


def server_clock_set_back(events: Iterable[Event]) -> list[str]:
    """Where the server's clock was set back, a sentence each."""
    return clock_set_back(((event.number, event.utc) for event in events), "Row", "server's")


def is_lock(event: Event) -> bool:
    """Whether a row is of a read that was locked, or of one that corrects it."""
    return event.what.startswith(_LOCKS)


def is_lock_sql() -> ColumnElement[bool]:
    """The same, for a query."""
    return or_(*(Event.what.like(f"{act}%") for act in _LOCKS))


def trail(session: Session) -> list[Event]:
    """All rows in their order."""
    return list(session.execute(select(Event).order_by(Event.number)).scalars())
