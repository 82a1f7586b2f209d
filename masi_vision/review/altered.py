"""What of a reading is not as the audit trail has it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from masi_vision.review.accounts import active_word, password_mark
from masi_vision.review.audit import TOOL, Act, faults, is_lock, trail
from masi_vision.review.database import closed_utc, fact
from masi_vision.review.lists import told_order
from masi_vision.review.reading import signature_hash
from masi_vision.review.tables import Account, Entry, Event, Head, ListPlace


def looked_through(session: Session) -> tuple[list[Event], list[str]]:
    """The audit trail; and what is wrong with it, with the reads and with the database's facts."""
    events = trail(session)
    head = session.execute(select(Head)).scalar_one()
    return events, [
        *faults(events, head),
        *altered_reads(session, events),
        *altered_facts(session, events),
        *altered_accounts(session, events),
    ]


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
        if entry.sha256 != signature_hash(entry) or entry.signed_by != name
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
    end = next((event for event in events if event.what == Act.READING_CLOSED), None)
    ended, since = end.number if end else None, closed_utc(session)
    if bool(end) != bool(since):
        found.append("The reading was closed and is open, or the other way round.")
    elif end and end.new and end.new != since:  # earlier versions did not note the moment itself
        found.append(f"The database says the reading was closed at {since}; it was at {end.new}.")
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


def altered_accounts(session: Session, events: Sequence[Event]) -> list[str]:
    """Accounts that are not as they were made, switched or given a password; a sentence each."""
    made = {event.subject: event.new for event in events if event.what == Act.ACCOUNT_MADE}
    switched = {event.subject: event.new for event in events if event.what == Act.ACCOUNT_SWITCHED}
    passwords = {
        event.subject: event
        for event in events
        if event.what in (Act.PASSWORD_SET, Act.PASSWORD_GIVEN, Act.PASSWORD_CHANGED) and event.new
    }  # earlier versions noted no mark
    found, there = [], list(session.execute(select(Account).order_by(Account.name)).scalars())
    for account in there:
        known = made.get(account.name)
        if known is None:
            found.append(f"The account {account.name} is not in the audit trail.")
        elif known != f"{account.role} {account.list_name}".strip():
            found.append(f"The account {account.name} is of a {account.role}; it was made for a {known}.")
        if active_word(active=account.active) != switched.get(account.name, active_word(active=True)):
            found.append(f"The account {account.name} was switched past the audit trail.")
        last = passwords.get(account.name)
        if last and last.new != password_mark(account):
            found.append(f"The password of {account.name} was changed past the audit trail.")
        given = last is not None and last.role == TOOL and last.what != Act.PASSWORD_SET
        if last and account.given_password != given:
            found.append(f"Whether {account.name} chose an own password was changed past the audit trail.")
    gone = sorted(made.keys() - {account.name for account in there})
    return [*found, *(f"The account {name} is missing." for name in gone)]
