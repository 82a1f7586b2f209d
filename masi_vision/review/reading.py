"""Drafts, locked reads, corrections and second reads: what may be read when, as transactions."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from masi_vision.blinding.coded_set import read_contents
from masi_vision.errors import ReadingError
from masi_vision.review.accounts import time_of
from masi_vision.review.adjudication import adjudicated_by
from masi_vision.review.audit import Act, is_lock_sql, note, note_tool, now
from masi_vision.review.database import closed_utc, fact
from masi_vision.review.grades import Reading
from masi_vision.review.lists import own_list, time_after
from masi_vision.review.protocol import ReadingProtocol
from masi_vision.review.showing import sees_software, was_shown, was_shown_to_an_adjudicator
from masi_vision.review.tables import Account, Draft, Entry, Event, Fact, Stage
from masi_vision.review.texts import RefusedError

MEANING = {
    "blind": "I graded this unit from its photographs alone.",
    "with_software": "I graded this unit again, knowing the software's score.",
    "adjudication": "I graded this unit as adjudicator, from its photographs alone.",
}


Signature = Literal["own", "wrong", "too many"]


@dataclass(frozen=True)
class OpenRead:
    """What somebody may grade of a unit now: the first read of a stage, or a later version of it."""

    stage: Stage
    version: int

    @property
    def name(self) -> str:
        """By which page and server know that they speak of the same: a page may be of long ago."""
        return f"{self.stage}-{self.version}"


def prepare(session: Session, coded_set: Path, protocol: ReadingProtocol) -> None:
    """Bind a database to a set and a protocol, or hold it against those that it is bound to.

    Raises
    ------
    ReadingError
        It is of another set, or of another protocol.
    """
    hold_against(session, "set", read_contents(coded_set).set_id)
    hold_against(session, "protocol", protocol.sha256)
    hold_against(session, "protocol text", protocol.text)  # years later its hash alone would tell nothing
    if not fact(session, "reading"):
        session.add(Fact(name="reading", value=secrets.token_hex(8)))


def hold_against(session: Session, name: str, value: str) -> None:
    """Hold a database against the set or the protocol that it is bound to; bind it where it is not yet.

    Raises
    ------
    ReadingError
        It is of another.
    """
    old = fact(session, name)
    if old and old != value:
        raise ReadingError(
            f"The database is of {name} {old[:16]}, not {value[:16]}. Expected the {name} with which "
            "reading began. Name that one, or begin a new database."
        )
    if not old:
        session.add(Fact(name=name, value=value))
        note_tool(session, f"{name} {Act.BOUND}", new=value)


def entries_of(session: Session, account: Account, code: str) -> list[Entry]:
    """What somebody locked of a unit, oldest first."""
    found = session.execute(
        select(Entry).where(Entry.account_id == account.id, Entry.code == code).order_by(Entry.id)
    )
    return list(found.scalars())


def draft_of(session: Session, account: Account, code: str) -> Draft | None:
    """What somebody has not locked yet."""
    return session.execute(
        select(Draft).where(Draft.account_id == account.id, Draft.code == code)
    ).scalar_one_or_none()


def open_read(
    session: Session, account: Account, code: str, protocol: ReadingProtocol, *, scored: Collection[str]
) -> OpenRead | None:
    """What somebody may grade of a unit now; None where nothing.

    Parameters
    ----------
    scored : collection of str
        See `masi_vision.review.showing.sees_software`.

    Raises
    ------
    ReadingError
        The unit is not his, or he has nothing of it and the reading is closed.
    """
    entries = entries_of(session, account, code)
    if closed_utc(session):
        if not entries:
            raise RefusedError("closed")
        return None
    draft = draft_of(session, account, code)
    if draft is not None and draft.reason:  # a correction is under way
        return OpenRead(entries[-1].stage, _next_version(entries, entries[-1].stage))  # type: ignore[arg-type]
    if not entries:
        _check_in_list(session, account, code, protocol)
        return OpenRead("adjudication" if account.role == "adjudicator" else "blind", 1)
    is_first = all(entry.stage != "with_software" for entry in entries)
    if is_first and code in scored and sees_software(session, account, scored):
        return OpenRead("with_software", 1)
    return None


def may_open(session: Session, account: Account, code: str, protocol: ReadingProtocol) -> bool:
    """Whether a unit is somebody's to look at: one to be graded now, or one that was."""
    try:
        return bool(
            open_read(session, account, code, protocol, scored=()) or entries_of(session, account, code)
        )
    except ReadingError:
        return False


def _check_in_list(session: Session, account: Account, code: str, protocol: ReadingProtocol) -> None:
    """Refuse a unit whose turn it is not."""
    if account.role == "adjudicator":  # who knows the scores is blind to no further unit
        is_open = code in adjudicated_by(session, account, protocol) and not was_shown(session, account)
    else:
        is_open = code == own_list(session, account, protocol).next_code
    if not is_open:
        raise RefusedError("not_in_list")


def _next_version(entries: Sequence[Entry], stage: str) -> int:
    return 1 + sum(one.stage == stage for one in entries)


def save_draft(session: Session, account: Account, code: str, reading: Reading, turn: int) -> Draft:
    """Save what a page shows, if the page has seen what was saved before; else change nothing.

    Parameters
    ----------
    turn : int
        Which save of this draft it is: one more than the page has seen last. 0 only asks.

    Returns
    -------
    Draft
        What is saved now. A page that was behind lays its changes over it, and sends again.
    """
    draft = draft_of(session, account, code)
    if draft is None:
        locked = entries_of(session, account, code)  # a page shows what was locked last
        begun = locked[-1].reading if locked else Reading().to_json()
        draft = Draft(account_id=account.id, code=code, turn=0, reading=begun, reason="")
        session.add(draft)
    new = reading.to_json()
    if turn == draft.turn + 1:
        if new != draft.reading:
            note(session, account.name, account.role, Act.DRAFT, code, old=draft.reading, new=new)
        draft.turn, draft.reading = turn, new
    return draft


def saved_ms_ago(session: Session, account: Account, code: str) -> int | None:
    """How long ago a draft was changed last, as the audit trail has it; None where it never was."""
    of_draft = (Event.what == Act.DRAFT) & (Event.subject == code) & (Event.who == account.name)
    # The last row by number: after a clock was set back the latest time is of an older draft.
    utc = session.execute(select(Event.utc).where(of_draft).order_by(Event.number.desc()).limit(1)).scalar()
    if utc is None:
        return None
    return max(0, round((time_of(now()) - time_of(utc)) / timedelta(milliseconds=1)))


def signs(session: Session, account: Account, code: str, fits: str, protocol: ReadingProtocol) -> Signature:
    """Whether a signature is the account's own; a wrong one is noted, and too many must wait.

    Wrong passwords at sign-in do not count: whoever knows a name could keep its owner from signing.

    Parameters
    ----------
    fits : str
        Of `hash_that_fits`.
    """
    if _wrong_signatures(session, account, protocol) >= protocol.sign_in.attempts:
        why = "too many wrong passwords"
        note(session, account.name, account.role, Act.SIGNATURE_REFUSED, code, reason=why)
        return "too many"
    if fits == account.password_hash:
        return "own"
    note(session, account.name, account.role, Act.SIGNATURE_FAILED, code)
    return "wrong"


def _wrong_signatures(session: Session, account: Account, protocol: ReadingProtocol) -> int:
    """How many there were of late, since the last read that was signed and the last new password."""
    own = Event.who == account.name
    changed = (Event.what == Act.PASSWORD_CHANGED) & (Event.subject == account.name)
    last = session.execute(select(func.max(Event.number)).where((own & is_lock_sql()) | changed)).scalar_one()
    since = time_after(now(), minutes=-protocol.sign_in.minutes)  # by number: the clock may be set back
    of_late = (Event.number > (last or 0)) & (Event.utc > since) & (Event.utc <= now())
    wrong = select(func.count()).where(own, Event.what == Act.SIGNATURE_FAILED, of_late)
    return int(session.execute(wrong).scalar_one())


def lock(
    session: Session,
    account: Account,
    code: str,
    reading: Reading,
    protocol: ReadingProtocol,
    meant: str,
    *,
    scored: Collection[str],
) -> Entry:
    """Lock a read that was signed. Sent again after it arrived, it changes nothing.

    Parameters
    ----------
    meant : str
        Name of the open read that was signed.
    scored : collection of str
        See `masi_vision.review.showing.sees_software`.

    Raises
    ------
    ReadingError
        A grade is missing, another read is open now than was signed, or other grades are saved.
    """
    entries, draft = entries_of(session, account, code), draft_of(session, account, code)
    new = reading.to_json()
    for done in entries:
        if OpenRead(done.stage, done.version).name == meant and done.reading == new:  # type: ignore[arg-type]
            return done
    opened = expected(session, open_read(session, account, code, protocol, scored=scored), meant)
    lacks = reading.missing(protocol)
    if lacks:
        raise RefusedError("not_graded", lacks=lacks)
    if draft is not None and Reading.from_json(draft.reading).plain.to_json() != new:
        raise RefusedError("other_grades")
    entry = _signed(account, code, opened, reading, draft.reason if draft else "")
    session.add(entry)
    if draft is not None:
        session.delete(draft)
    old = next((one.reading for one in reversed(entries) if one.stage == opened.stage), "")
    what = f"{Act.LOCKED if entry.version == 1 else Act.CORRECTED} {opened.stage}"
    signed = f"{entry.sha256} {new}"
    note(session, account.name, account.role, what, code, old=old, new=signed, reason=entry.reason)
    return entry


def expected(session: Session, opened: OpenRead | None, meant: str) -> OpenRead:
    """The open read, if it is the one that a page means.

    Raises
    ------
    ReadingError
        It is another, or none is open.
    """
    if opened is None and closed_utc(session):
        raise RefusedError("closed")
    if opened is None:
        raise RefusedError("locked")
    if opened.name != meant:
        raise RefusedError("as_before")
    return opened


def _signed(account: Account, code: str, opened: OpenRead, reading: Reading, reason: str) -> Entry:
    entry = Entry(
        account_id=account.id,
        code=code,
        stage=opened.stage,
        version=opened.version,
        reading=reading.to_json(),
        reason=reason,
        locked_utc=now(),
        signed_by=account.name,
        meaning=MEANING[opened.stage],
    )
    entry.sha256 = signature_hash(entry)
    return entry


def signature_hash(entry: Entry) -> str:
    """Hash of all that was signed."""
    parts = (entry.code, entry.stage, entry.version, entry.reading, entry.reason)
    signature = (entry.locked_utc, entry.signed_by, entry.meaning)
    return hashlib.sha256(json.dumps([*parts, *signature], ensure_ascii=False).encode()).hexdigest()


def begin_correction(
    session: Session,
    account: Account,
    code: str,
    reason: str,
    *,
    scored: Collection[str],
) -> None:
    """Open a locked read for another entry.

    Parameters
    ----------
    scored : collection of str
        See `masi_vision.review.showing.sees_software`.

    Raises
    ------
    ReadingError
        Nothing is locked, no reason is given, or the software's scores are shown: what is graded then is no
        longer blind.
    """
    entries = entries_of(session, account, code)
    if closed_utc(session):
        raise RefusedError("closed")
    if not entries:
        raise RefusedError("nothing_locked")
    is_blind = entries[-1].stage != "with_software"
    if is_blind and was_shown_to_an_adjudicator(session):
        raise RefusedError("shown_to_adjudicator")
    if is_blind and sees_software(session, account, scored):
        raise RefusedError("software_shown")
    if not reason.strip():
        raise RefusedError("no_reason")
    draft = draft_of(session, account, code)
    if draft is not None and draft.reason:
        raise RefusedError("correction_begun")
    if draft is not None:  # a second read that cannot be finished: of a reading begun by an older version
        session.delete(draft)
        session.flush()
    session.add(
        Draft(account_id=account.id, code=code, turn=0, reading=entries[-1].reading, reason=reason.strip())
    )
    note(session, account.name, account.role, Act.CORRECTION_BEGUN, code, reason=reason.strip())


def take_back(session: Session, account: Account, code: str) -> None:
    """Take back a correction or a second read that was begun: what is locked stays as it is.

    Raises
    ------
    ReadingError
        None was begun.
    """
    if closed_utc(session):
        raise RefusedError("closed")
    draft = draft_of(session, account, code)
    if draft is None or not entries_of(session, account, code):
        raise RefusedError("none_begun")
    session.delete(draft)
    act = Act.CORRECTION_TAKEN_BACK if draft.reason else Act.SECOND_READ_TAKEN_BACK
    note(session, account.name, account.role, act, code, old=draft.reading)
