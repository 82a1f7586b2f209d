"""What of a reading is not as the audit trail has it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from masi_vision.review.audit import Act, faults, is_lock, trail
from masi_vision.review.database import closed_utc, fact
from masi_vision.review.lists import told_order
from masi_vision.review.reading import hash_of
from masi_vision.review.tables import Account, Entry, Event, Head, ListPlace


def looked_through(session: Session) -> tuple[list[Event], list[str]]:
    """The audit trail; and what is wrong with it, with the reads and with the database's facts."""
    events = trail(session)
    head = session.execute(select(Head)).scalar_one()
    return events, [*faults(events, head), *altered_reads(session, events), *altered_facts(session, events)]


def altered_reads(session: Session, events: Sequence[Event]) -> list[str]:
    """Locked reads that are not what was signed, or that the audit trail does not know; a sentence each."""
    locks = Counter(
        (event.subject, event.who, event.new.partition(" ")[0]) for event in events if is_lock(event)
    )
    rows = session.execute(
        select(Entry, Account.name).join(Account, Account.id == Entry.account_id).order_by(Entry.id)
    ).all()
    found = [
        f"The read {entry.id} of {entry.code} is not what was signed."
        for entry, name in rows
        if entry.sha256 != hash_of(entry) or entry.signed_by != name
    ]
    reads = Counter((entry.code, entry.signed_by, entry.sha256) for entry, _ in rows)
    found += [f"A read of {code} by {who} is not in the audit trail." for code, who, _ in reads - locks]
    found += [f"A read of {code} that {who} locked is missing." for code, who, _ in locks - reads]
    return found


def altered_facts(session: Session, events: Sequence[Event]) -> list[str]:
    """What the database says of itself otherwise than the audit trail does; a sentence each."""
    bound = {
        event.what.removesuffix(f" {Act.BOUND}"): event.new
        for event in events
        if event.what.endswith(f" {Act.BOUND}")
    }
    found = [
        f"The database says {name} {fact(session, name)[:16] or 'of nothing'}; it was bound to {value[:16]}."
        for name, value in bound.items()
        if fact(session, name) != value
    ]
    ended = next((event.number for event in events if event.what == Act.READING_CLOSED), None)
    if (ended is not None) != bool(closed_utc(session)):
        found.append("The reading was closed and is open, or the other way round.")
    found += [
        f"Row {event.number} is of after the reading was closed: {event.what} {event.subject}."
        for event in events
        if ended is not None and event.number > ended
        if is_lock(event) or event.what == Act.CORRECTION_BEGUN
    ]
    lists = {event.subject: event.new for event in events if event.what == Act.LIST_GIVEN}
    rows = session.execute(
        select(Account.name, ListPlace.code)
        .join(ListPlace, ListPlace.account_id == Account.id)
        .order_by(Account.name, ListPlace.number)
    )
    given: dict[str, list[str]] = {}
    for name, code in rows:
        given.setdefault(name, []).append(code)
    found += [
        f"The list of {name} is not the one that was given."
        for name in lists
        if lists[name] != told_order(given.get(name, []))
    ]
    return found
