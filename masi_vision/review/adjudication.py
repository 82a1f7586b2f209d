"""Units on which readers differ, and who adjudicates them."""

from __future__ import annotations

import hashlib
from itertools import combinations

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from masi_vision.review.grades import Reading, discordance
from masi_vision.review.protocol import ReadingProtocol
from masi_vision.review.tables import Account, Draft, Entry


def adjudicated_by(session: Session, account: Account, protocol: ReadingProtocol) -> list[str]:
    """Units of an adjudicator's list: those on which readers differ, and those that he has begun.

    Who corrects himself after that takes no unit out of another's hands.
    """
    discordant = list(codes_to_adjudicate(session, protocol))
    begun = [
        code
        for kind in (Draft, Entry)
        for code in session.execute(select(kind.code).where(kind.account_id == account.id)).scalars()
    ]
    return list(dict.fromkeys([*discordant, *sorted(begun)]))


def latest_blind(session: Session) -> dict[str, dict[str, Reading]]:
    """Of every unit, what every reader locked last, blind."""
    rows = session.execute(
        select(Entry, Account.name)
        .join(Account, Account.id == Entry.account_id)
        .where(Entry.stage == "blind")
        .order_by(Entry.version)
    )
    found: dict[str, dict[str, Reading]] = {}
    for entry, name in rows:
        found.setdefault(entry.code, {})[name] = Reading.from_json(entry.reading)
    return found


def codes_to_adjudicate(session: Session, protocol: ReadingProtocol) -> dict[str, list[str]]:
    """Units on which two readers differ too much, and how; in an order of no meaning."""
    found = {}
    for code, reads in latest_blind(session).items():
        pairs = combinations(reads.values(), 2)
        why = [reason for one, other in pairs for reason in discordance(one, other, protocol)]
        if why:
            found[code] = why
    return dict(sorted(found.items(), key=lambda item: hashlib.sha256(item[0].encode()).digest()))


def codes_not_adjudicated(session: Session, protocol: ReadingProtocol) -> list[str]:
    """Units on which readers differ and of which no adjudicator has locked a read."""
    done = set(session.execute(select(Entry.code).where(Entry.stage == "adjudication")).scalars())
    return [code for code in codes_to_adjudicate(session, protocol) if code not in done]


def has_adjudicator(session: Session) -> bool:
    """Whether there is an adjudicator, or was one: who left leaves the units unsettled.

    An account that was switched off before anything was entered with it was made by mistake.
    """
    entered = select(Draft.id).where(Draft.account_id == Account.id, Draft.reading != Reading().to_json())
    locked = select(Entry.id).where(Entry.account_id == Account.id)
    return _is_any(session, Account.active | entered.exists() | locked.exists())


def may_adjudicate(session: Session) -> bool:
    """Whether an adjudicator may sign in."""
    return _is_any(session, Account.active.is_(True))


def _is_any(session: Session, kind: ColumnElement[bool]) -> bool:
    ask = select(Account.id).where(Account.role == "adjudicator", kind)
    return session.execute(ask).first() is not None
