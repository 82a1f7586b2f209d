"""When the software's scores are shown to whoever grades: once nothing is left that is to be graded without.

A set holds hidden repeats, and who saw the score of the one would not be blind to the other. So a reader's
whole list comes first, and for an adjudicator everybody's, with what was begun to be corrected. That they
were shown stands in the audit trail, and from then on nobody grades as if they had not been.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from masi_vision.review.adjudication import codes_not_adjudicated
from masi_vision.review.audit import Act, note
from masi_vision.review.closing import open_corrections
from masi_vision.review.database import closed_utc
from masi_vision.review.lists import has_locked_all
from masi_vision.review.protocol import ReadingProtocol
from masi_vision.review.tables import Account, Draft, Entry, Event


def sees_software(session: Session, account: Account, scored: Collection[str]) -> bool:
    """Whether somebody is shown the software's scores now.

    Parameters
    ----------
    scored : collection of str
        Units whose score this role may see; empty where it sees none.
    """
    return bool(scored) and (bool(closed_utc(session)) or was_shown(session, account))


def was_shown(session: Session, account: Account) -> bool:
    """Whether the scores were shown to somebody while the reading was open."""
    return _was(session, Event.who == account.name)


def was_shown_to_an_adjudicator(session: Session) -> bool:
    """Whether what readers correct would come before somebody who knows the scores."""
    return _was(session, Event.role == "adjudicator")


def _was(session: Session, whose: ColumnElement[bool]) -> bool:
    found = select(Event.number).where(Event.what == Act.SOFTWARE_SHOWN, whose)
    return session.execute(found.limit(1)).first() is not None


def is_due(session: Session, account: Account, protocol: ReadingProtocol) -> bool:
    """Whether the scores may be shown to somebody from now on, and were not yet."""
    if closed_utc(session) or was_shown(session, account):
        return False
    if account.role != "adjudicator":
        own = [code for code, name in open_corrections(session) if name == account.name]
        return has_locked_all(session, account) and not own
    readers = session.execute(select(Account).where(Account.role == "reader", Account.active)).scalars()
    begun = select(Draft.id).where(Draft.account_id == account.id)
    return (
        all(has_locked_all(session, reader) for reader in readers)
        and not open_corrections(session)
        and not codes_not_adjudicated(session, protocol)
        and session.execute(begun.limit(1)).first() is None
    )


def show(session: Session, account: Account, protocol: ReadingProtocol) -> None:
    """Show them, where it is due: a row in the trail, that stays."""
    if is_due(session, account, protocol):
        note(session, account.name, account.role, Act.SOFTWARE_SHOWN)


def to_grade_again(session: Session, account: Account, scored: Collection[str]) -> list[str]:
    """Units that somebody may grade a second time now, knowing the software's score, in his own order."""
    if closed_utc(session) or not sees_software(session, account, scored):
        return []
    own = select(Entry.code).where(Entry.account_id == account.id)
    done = set(session.execute(own.where(Entry.stage == "with_software")).scalars())
    read = session.execute(own.where(Entry.stage != "with_software").order_by(Entry.id)).scalars()
    return [code for code in dict.fromkeys(read) if code in scored and code not in done]
