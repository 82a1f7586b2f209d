"""What may be read when, drafts, locked reads, corrections and adjudication: the rules, as transactions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import combinations
from pathlib import Path
from typing import Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from masi_vision.blinding.coded_set import read_contents, read_order
from masi_vision.errors import ReadingError
from masi_vision.review.accounts import account_named, must_wait, time_of
from masi_vision.review.audit import note, now, trail
from masi_vision.review.database import fact
from masi_vision.review.grades import Reading, discordance
from masi_vision.review.protocol import ReadingProtocol
from masi_vision.review.tables import Account, Draft, Entry, Fact, Place, SignIn, Stage

State = Literal["locked", "open", "later"]
MEANING = {
    "blind": "I graded this unit from its photographs alone.",
    "with_software": "I graded this unit again, knowing the software's score.",
    "adjudication": "I graded this unit as adjudicator, from its photographs alone.",
}


@dataclass(frozen=True)
class Listed:
    """A unit in a list."""

    code: str
    number: int
    part: int
    state: State


@dataclass(frozen=True)
class OwnList:
    """A reader's list.

    Parameters
    ----------
    units : tuple of Listed
    next_code : str
        What is to be read now; empty where nothing is.
    waiting : str
        Why nothing is: "", "done", "pause" or "part".
    until : str
        From when on there is something again, in UTC; empty where there is no waiting.
    """

    units: tuple[Listed, ...]
    next_code: str
    waiting: Literal["", "done", "pause", "part"] = ""
    until: str = ""

    @property
    def locked(self) -> int:
        """How many are locked."""
        return sum(unit.state == "locked" for unit in self.units)


def prepare(session: Session, coded_set: Path, protocol: ReadingProtocol) -> None:
    """Bind a database to a set and a protocol, or hold it against those that it is bound to.

    Raises
    ------
    ReadingError
        It is of another set, or of another protocol.
    """
    known = {"set": read_contents(coded_set).set_id, "protocol": protocol.sha256}
    for name, value in known.items():
        old = fact(session, name)
        if old and old != value:
            raise ReadingError(
                f"The database is of {name} {old[:16]}, not {value[:16]}. Expected the {name} with which "
                "reading began. Name that one, or begin a new database."
            )
        if not old:
            session.add(Fact(name=name, value=value))
            note(session, "masi", "tool", f"{name} bound", new=value)


def give_list(session: Session, name: str, coded_set: Path, protocol: ReadingProtocol) -> int:
    """Write a reader's order into the database, in parts; returns how many units it has."""
    account = account_named(session, name)
    order = read_order(coded_set, account.list_name)
    for number, code in enumerate(order, 1):
        part = 1 + (number - 1) * protocol.parts // len(order)
        session.add(Place(account_id=account.id, code=code, number=number, part=part))
    digest = hashlib.sha256("\n".join(order).encode()).hexdigest()
    note(session, "masi", "tool", "list given", name, new=f"{len(order)} units, {digest}")
    return len(order)


def own_list(session: Session, account: Account, protocol: ReadingProtocol, locked_now: int = 0) -> OwnList:
    """A reader's list as it stands.

    Parameters
    ----------
    locked_now : int
        Units locked in this session.
    """
    places = session.execute(
        select(Place).where(Place.account_id == account.id).order_by(Place.number)
    ).scalars()
    times = _lock_times(session, account)
    listed, next_code, next_part = [], "", 0
    for place in places:
        if place.code in times:
            state: State = "locked"
        elif next_code:
            state = "later"
        else:
            state, next_code, next_part = "open", place.code, place.part
        listed.append(Listed(place.code, place.number, place.part, state))
    units = tuple(listed)
    if not next_code:
        return OwnList(units, "", "done")
    before = [times[unit.code] for unit in units if unit.part < next_part]
    opens = _later(max(before, default=""), days=protocol.days_between_parts)
    if opens > now():
        return OwnList(units, "", "part", opens)
    rested = _later(max(times.values(), default=""), minutes=protocol.session.pause_minutes)
    if locked_now >= protocol.session.units and rested > now():
        return OwnList(units, "", "pause", rested)
    return OwnList(units, next_code)


def _lock_times(session: Session, account: Account) -> dict[str, str]:
    rows = session.execute(
        select(Entry.code, func.min(Entry.locked_utc))
        .where(Entry.account_id == account.id, Entry.stage == "blind")
        .group_by(Entry.code)
    )
    return {str(code): str(utc) for code, utc in rows}


def _later(utc: str, *, days: float = 0, minutes: float = 0) -> str:
    """A later time; empty for no time."""
    if not utc:
        return ""
    return (time_of(utc) + timedelta(days=days, minutes=minutes)).isoformat(timespec="milliseconds")


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


def stage_of(
    session: Session, account: Account, code: str, protocol: ReadingProtocol, locked_now: int = 0
) -> Stage | None:
    """What somebody may grade of a unit now; None where nothing.

    Raises
    ------
    ReadingError
        The unit is not his.
    """
    own = "adjudication" if account.role == "adjudicator" else "blind"
    entries = entries_of(session, account, code)
    draft = draft_of(session, account, code)
    if draft is not None and draft.reason:  # a correction is under way
        return _last_stage(entries)
    if account.role == "adjudicator":
        if code not in codes_to_adjudicate(session, protocol) and not entries:
            raise ReadingError("There is no such unit in your list.")
        return None if entries else "adjudication"
    listed = own_list(session, account, protocol, locked_now)
    state = next((unit.state for unit in listed.units if unit.code == code), None)
    if state is None or state == "later" or (state == "open" and listed.next_code != code):
        raise ReadingError("There is no such unit in your list.")
    if state == "open":
        return "blind" if own == "blind" else None
    if protocol.software == "after_lock" and all(entry.stage == "blind" for entry in entries):
        return "with_software"
    return None


def _last_stage(entries: Sequence[Entry]) -> Stage:
    return entries[-1].stage  # type: ignore[return-value]


def save_draft(session: Session, account: Account, code: str, reading: Reading, turn: int) -> int:
    """Keep a draft; returns the turn that is kept now. One that comes late, or again, changes nothing."""
    draft = draft_of(session, account, code)
    if draft is None:
        draft = Draft(account_id=account.id, code=code, turn=0, reading=Reading().to_json(), reason="")
        session.add(draft)
    new = reading.to_json()
    if turn > draft.turn:
        if new != draft.reading:
            note(session, account.name, account.role, "draft", code, old=draft.reading, new=new)
        draft.turn, draft.reading = turn, new
    return draft.turn


def signs(session: Session, account: Account, code: str, fits: str, protocol: ReadingProtocol) -> bool:
    """Whether a signature is the account's own; a wrong one is noted and counted as at sign-in.

    Parameters
    ----------
    fits : str
        Of `hash_that_fits`.
    """
    if not must_wait(account, protocol) and fits == account.password_hash:
        account.failures = 0
        return True
    account.failures, account.failed_utc = account.failures + 1, now()
    note(session, account.name, account.role, "signature failed", code)
    return False


def lock(
    session: Session,
    account: Account,
    code: str,
    reading: Reading,
    protocol: ReadingProtocol,
    signed_in: SignIn,
) -> Entry:
    """Lock a read that was signed. Sent again after it arrived, it changes nothing.

    Raises
    ------
    ReadingError
        A grade is missing, or the unit may not be graded now.
    """
    entries, draft = entries_of(session, account, code), draft_of(session, account, code)
    new = reading.to_json()
    if entries and draft is None and entries[-1].reading == new:
        return entries[-1]
    stage = stage_of(session, account, code, protocol, signed_in.locked)
    if stage is None:
        raise ReadingError("This unit is locked. A correction is a new entry, with a reason.")
    lacks = reading.missing(protocol)
    if lacks:
        raise ReadingError(f"Not graded yet: {', '.join(lacks)}.")
    entry = _signed(account, code, stage, reading, draft.reason if draft else "", entries)
    session.add(entry)
    if draft is not None:
        session.delete(draft)
    if stage in ("blind", "adjudication") and entry.version == 1:
        signed_in.locked = _counted(session, account, protocol, signed_in) + 1
    old = next((one.reading for one in reversed(entries) if one.stage == stage), "")
    what = "locked" if entry.version == 1 else "corrected"
    note(session, account.name, account.role, f"{what} {stage}", code, old=old, new=new, reason=entry.reason)
    return entry


def _counted(session: Session, account: Account, protocol: ReadingProtocol, signed_in: SignIn) -> int:
    """Units locked since the last pause."""
    last = max(_lock_times(session, account).values(), default="")
    rested = _later(last, minutes=protocol.session.pause_minutes)
    return 0 if not last or rested <= now() else signed_in.locked


def _signed(
    account: Account, code: str, stage: Stage, reading: Reading, reason: str, entries: Sequence[Entry]
) -> Entry:
    version = 1 + sum(one.stage == stage for one in entries)
    entry = Entry(
        account_id=account.id,
        code=code,
        stage=stage,
        version=version,
        reading=reading.to_json(),
        reason=reason,
        locked_utc=now(),
        signed_by=account.name,
        meaning=MEANING[stage],
    )
    entry.sha256 = hash_of(entry)
    return entry


def hash_of(entry: Entry) -> str:
    """Hash of all that was signed."""
    parts = (entry.code, entry.stage, entry.version, entry.reading, entry.reason)
    signature = (entry.locked_utc, entry.signed_by, entry.meaning)
    return hashlib.sha256(json.dumps([*parts, *signature], ensure_ascii=False).encode()).hexdigest()


def begin_correction(session: Session, account: Account, code: str, reason: str) -> None:
    """Open a locked read for another entry.

    Raises
    ------
    ReadingError
        Nothing is locked, or no reason is given.
    """
    entries = entries_of(session, account, code)
    if not entries:
        raise ReadingError("Nothing is locked here, so there is nothing to correct.")
    if not reason.strip():
        raise ReadingError("A correction has a reason. Expected one, in words.")
    if draft_of(session, account, code) is not None:
        raise ReadingError("A correction of this unit has begun already. Finish it first.")
    session.add(
        Draft(account_id=account.id, code=code, turn=0, reading=entries[-1].reading, reason=reason.strip())
    )
    note(session, account.name, account.role, "correction begun", code, reason=reason.strip())


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


@dataclass(frozen=True)
class Progress:
    """How far a reader is; nothing of what was read."""

    name: str
    role: str
    active: bool
    units: int
    locked: int
    last_utc: str


def progress_of_all(session: Session, protocol: ReadingProtocol) -> list[Progress]:
    """Of every reader and adjudicator."""
    made = []
    waiting = len(codes_to_adjudicate(session, protocol))
    for account in session.execute(select(Account).order_by(Account.name)).scalars():
        if account.role not in ("reader", "adjudicator"):
            continue
        of = Entry.account_id == account.id
        locked = session.execute(select(func.count(func.distinct(Entry.code))).where(of)).scalar_one()
        last = session.execute(select(func.max(Entry.locked_utc)).where(of)).scalar_one() or ""
        units = session.execute(
            select(func.count()).select_from(Place).where(Place.account_id == account.id)
        ).scalar_one()
        total = waiting if account.role == "adjudicator" else units
        made.append(Progress(account.name, account.role, account.active, total, locked, last))
    return made


def altered_reads(session: Session) -> list[str]:
    """Locked reads that are not what was signed, or that the audit trail does not know; a sentence each."""
    locks = [
        (event.subject, event.who, event.new)
        for event in trail(session)
        if event.what.startswith(("locked ", "corrected "))
    ]
    entries = list(session.execute(select(Entry).order_by(Entry.id)).scalars())
    found = [
        f"The read {entry.id} of {entry.code} is not what was signed."
        for entry in entries
        if entry.sha256 != hash_of(entry) or (entry.code, entry.signed_by, entry.reading) not in locks
    ]
    missing = len(locks) - len(entries)
    if missing:
        found.append(f"{abs(missing)} locked reads are {'missing' if missing > 0 else 'not in the trail'}.")
    return found
