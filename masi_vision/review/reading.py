"""What may be read when, drafts, locked reads, corrections and adjudication: the rules, as transactions."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import combinations, pairwise
from pathlib import Path
from typing import Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from masi_vision.blinding.coded_set import read_contents, read_order
from masi_vision.errors import ReadingError
from masi_vision.review.accounts import account_named, time_of
from masi_vision.review.audit import note, now, trail
from masi_vision.review.database import fact
from masi_vision.review.grades import Reading, discordance
from masi_vision.review.protocol import ReadingProtocol
from masi_vision.review.tables import Account, Draft, Entry, Event, Fact, Place, Stage

State = Literal["locked", "open", "later"]
_CLOSED = "The reading is closed: nothing is graded or corrected any more."
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
    waiting: Literal["", "done", "pause", "part", "closed"] = ""
    until: str = ""

    @property
    def locked(self) -> int:
        """How many are locked."""
        return sum(unit.state == "locked" for unit in self.units)


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
        note(session, "masi", "tool", f"{name} bound", new=value)


def give_list(session: Session, name: str, coded_set: Path, protocol: ReadingProtocol) -> int:
    """Write a reader's order into the database, in parts; returns how many units it has."""
    account = account_named(session, name)
    order = read_order(coded_set, account.list_name)
    there, wanted = Counter(order), Counter(read_contents(coded_set).codes)
    if there != wanted:
        strange = sorted((there - wanted).keys() | (wanted - there).keys())
        raise ReadingError(
            f"The list of {account.list_name} is not that of the set: {', '.join(strange[:5])} is missing, "
            "strange or there twice. Expected every unit once. Copy the set again from where it was made."
        )
    for number, code in enumerate(order, 1):
        part = 1 + (number - 1) * protocol.parts // len(order)
        session.add(Place(account_id=account.id, code=code, number=number, part=part))
    note(session, "masi", "tool", "list given", name, new=_told(order))
    return len(order)


def _told(order: Sequence[str]) -> str:
    """A list as the audit trail has it."""
    digest = hashlib.sha256("\n".join(order).encode()).hexdigest()
    return f"{len(order)} units, {digest}"


def own_list(session: Session, account: Account, protocol: ReadingProtocol) -> OwnList:
    """A reader's list as it stands."""
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
    if since := closed_utc(session):
        return OwnList(units, "", "closed", since)
    if not next_code:
        return OwnList(units, "", "done")
    before = [times[unit.code] for unit in units if unit.part < next_part]
    opens = _later(max(before, default=""), days=protocol.days_between_parts)
    if opens > now():
        return OwnList(units, "", "part", opens)
    rested = _later(max(times.values(), default=""), minutes=protocol.session.pause_minutes)
    if rested > now() and _without_pause(list(times.values()), protocol) >= protocol.session.units:
        return OwnList(units, "", "pause", rested)
    return OwnList(units, next_code)


def _without_pause(times: list[str], protocol: ReadingProtocol) -> int:
    """How many units were locked since the last pause, in however many sessions."""
    latest_first, count = sorted(times, reverse=True), 1
    for later, earlier in pairwise(latest_first):
        if _later(earlier, minutes=protocol.session.pause_minutes) <= later:
            break
        count += 1
    return count


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


def open_read(
    session: Session, account: Account, code: str, protocol: ReadingProtocol, *, shows: bool
) -> OpenRead | None:
    """What somebody may grade of a unit now; None where nothing.

    Parameters
    ----------
    shows : bool
        Whether the software's score of this unit is shown to this role once the own read is locked.

    Raises
    ------
    ReadingError
        The unit is not his, or he has nothing of it and the reading is closed.
    """
    entries = entries_of(session, account, code)
    if closed_utc(session):
        if not entries:
            raise ReadingError(_CLOSED)
        return None
    draft = draft_of(session, account, code)
    if draft is not None and draft.reason:  # a correction is under way
        return OpenRead(entries[-1].stage, _next_version(entries, entries[-1].stage))  # type: ignore[arg-type]
    if not entries:
        _check_in_list(session, account, code, protocol)
        return OpenRead("adjudication" if account.role == "adjudicator" else "blind", 1)
    if shows and all(entry.stage != "with_software" for entry in entries):
        return OpenRead("with_software", 1)
    return None


def _check_in_list(session: Session, account: Account, code: str, protocol: ReadingProtocol) -> None:
    """Refuse a unit whose turn it is not."""
    if account.role == "adjudicator":
        is_open = code in adjudicated_by(session, account, protocol)
    else:
        is_open = code == own_list(session, account, protocol).next_code
    if not is_open:
        raise ReadingError(
            "There is no such unit in your list. Expected one that is open. Go on from the list."
        )


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
            note(session, account.name, account.role, "draft", code, old=draft.reading, new=new)
        draft.turn, draft.reading = turn, new
    return draft


def saved_ms_ago(session: Session, account: Account, code: str) -> int | None:
    """How long ago a draft was changed last, as the audit trail has it; None where it never was."""
    utc = session.execute(
        select(func.max(Event.utc)).where(
            Event.what == "draft", Event.subject == code, Event.who == account.name
        )
    ).scalar_one()
    return None if utc is None else round((time_of(now()) - time_of(utc)) / timedelta(milliseconds=1))


def signs(session: Session, account: Account, code: str, fits: str, protocol: ReadingProtocol) -> bool:
    """Whether a signature is the account's own; a wrong one is noted, and too many must wait.

    Wrong passwords at sign-in do not count: whoever knows a name could keep its owner from signing.

    Parameters
    ----------
    fits : str
        Of `hash_that_fits`.
    """
    if _wrong_signatures(session, account, protocol) >= protocol.sign_in.attempts:
        note(
            session, account.name, account.role, "signature refused", code, reason="too many wrong passwords"
        )
        return False
    if fits == account.password_hash:
        return True
    note(session, account.name, account.role, "signature failed", code)
    return False


def _wrong_signatures(session: Session, account: Account, protocol: ReadingProtocol) -> int:
    """How many there were of late, since the last read that was signed."""
    own = Event.who == account.name
    signed = session.execute(
        select(func.max(Event.utc)).where(own, Event.what.like("locked %") | Event.what.like("corrected %"))
    ).scalar_one()
    since = max(signed or "", _later(now(), minutes=-protocol.sign_in.minutes))
    wrong = select(func.count()).where(own, Event.what == "signature failed", Event.utc > since)
    return int(session.execute(wrong).scalar_one())


def lock(
    session: Session,
    account: Account,
    code: str,
    reading: Reading,
    protocol: ReadingProtocol,
    meant: str,
    *,
    shows: bool,
) -> Entry:
    """Lock a read that was signed. Sent again after it arrived, it changes nothing.

    Parameters
    ----------
    meant : str
        Name of the open read that was signed.
    shows : bool
        See `open_read`.

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
    opened = expected(open_read(session, account, code, protocol, shows=shows), meant)
    lacks = reading.missing(protocol)
    if lacks:
        raise ReadingError(
            f"Not graded yet: {', '.join(lacks)}. Expected every grade. Complete them, then lock."
        )
    if draft is not None and draft.reading != new:
        raise ReadingError(
            "Other grades of this unit were saved than this page shows. Expected the same: what is signed is "
            "what is seen. Look at what is shown now, then lock."
        )
    entry = _signed(account, code, opened, reading, draft.reason if draft else "")
    session.add(entry)
    if draft is not None:
        session.delete(draft)
    old = next((one.reading for one in reversed(entries) if one.stage == opened.stage), "")
    what = f"{'locked' if entry.version == 1 else 'corrected'} {opened.stage}"
    signed = f"{entry.sha256} {new}"
    note(session, account.name, account.role, what, code, old=old, new=signed, reason=entry.reason)
    return entry


def expected(opened: OpenRead | None, meant: str) -> OpenRead:
    """The open read, if it is the one that a page means.

    Raises
    ------
    ReadingError
        It is another, or none is open.
    """
    if opened is None:
        raise ReadingError("This unit is locked. A correction is a new entry, with a reason.")
    if opened.name != meant:
        raise ReadingError("This page shows the unit as it was before. Open it again.")
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
    entry.sha256 = hash_of(entry)
    return entry


def hash_of(entry: Entry) -> str:
    """Hash of all that was signed."""
    parts = (entry.code, entry.stage, entry.version, entry.reading, entry.reason)
    signature = (entry.locked_utc, entry.signed_by, entry.meaning)
    return hashlib.sha256(json.dumps([*parts, *signature], ensure_ascii=False).encode()).hexdigest()


def begin_correction(session: Session, account: Account, code: str, reason: str, *, shows: bool) -> None:
    """Open a locked read for another entry.

    Parameters
    ----------
    shows : bool
        See `open_read`.

    Raises
    ------
    ReadingError
        Nothing is locked, no reason is given, or the software's score was shown since: what is graded then is
        no longer blind.
    """
    entries = entries_of(session, account, code)
    if closed_utc(session):
        raise ReadingError(_CLOSED)
    if not entries:
        raise ReadingError("Nothing is locked here. Expected a locked read to correct. Grade the unit first.")
    if shows and entries[-1].stage != "with_software":
        raise ReadingError(
            "The software's score of this unit was shown, so the first read stays as it is. Grade the unit "
            "again, knowing it."
        )
    if not reason.strip():
        raise ReadingError("A correction has a reason. Expected one, in words.")
    if draft_of(session, account, code) is not None:
        raise ReadingError("A correction of this unit has begun already. Finish it first.")
    session.add(
        Draft(account_id=account.id, code=code, turn=0, reading=entries[-1].reading, reason=reason.strip())
    )
    note(session, account.name, account.role, "correction begun", code, reason=reason.strip())


def drop_correction(session: Session, account: Account, code: str) -> None:
    """Take back a correction that was begun: the locked read stays as it is.

    Raises
    ------
    ReadingError
        None was begun.
    """
    draft = draft_of(session, account, code)
    if draft is None or not draft.reason:
        raise ReadingError("No correction of this unit has begun. Go on from the list.")
    session.delete(draft)
    note(session, account.name, account.role, "correction taken back", code, old=draft.reading)


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
        raise ReadingError(f"The reading was closed at {since} UTC. Expected one that is open.")
    due = still_due(session, protocol)
    if due and not why_incomplete.strip():
        raise ReadingError(
            f"The reading is not complete: {'; '.join(due[:10])}. Expected all locked, for nobody reads once "
            "it is closed. Wait for them, or say why with --incomplete."
        )
    session.add(Fact(name="closed", value=now()))
    note(session, "masi", "tool", "reading closed", old="; ".join(due[:10]), reason=why_incomplete.strip())
    return closed_utc(session)


def closed_utc(session: Session) -> str:
    """Since when a reading is closed; "" while it is open."""
    return fact(session, "closed")


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
    for account in session.execute(select(Account).order_by(Account.name)).scalars():
        if account.role not in ("reader", "adjudicator"):
            continue
        of = Entry.account_id == account.id
        locked = session.execute(select(func.count(func.distinct(Entry.code))).where(of)).scalar_one()
        last = session.execute(select(func.max(Entry.locked_utc)).where(of)).scalar_one() or ""
        units = session.execute(
            select(func.count()).select_from(Place).where(Place.account_id == account.id)
        ).scalar_one()
        total = len(adjudicated_by(session, account, protocol)) if account.role == "adjudicator" else units
        made.append(Progress(account.name, account.role, account.active, total, locked, last))
    return made


def altered(session: Session) -> list[str]:
    """What of the reading is not as the audit trail has it: reads, and what the database says of itself."""
    return [*altered_reads(session), *altered_facts(session)]


def altered_reads(session: Session) -> list[str]:
    """Locked reads that are not what was signed, or that the audit trail does not know; a sentence each."""
    locks = Counter(
        (event.subject, event.who, event.new.partition(" ")[0])
        for event in trail(session)
        if event.what.startswith(("locked ", "corrected "))
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


def altered_facts(session: Session) -> list[str]:
    """What the database says of itself otherwise than the audit trail does; a sentence each."""
    events = trail(session)
    bound = {
        event.what.removesuffix(" bound"): event.new for event in events if event.what.endswith(" bound")
    }
    found = [
        f"The database says {name} {fact(session, name)[:16] or 'of nothing'}; it was bound to {value[:16]}."
        for name, value in bound.items()
        if fact(session, name) != value
    ]
    ended = next((event.number for event in events if event.what == "reading closed"), None)
    if (ended is not None) != bool(closed_utc(session)):
        found.append("The reading was closed and is open, or the other way round.")
    acts = ("locked ", "corrected ", "correction begun")
    found += [
        f"Row {event.number} is of after the reading was closed: {event.what} {event.subject}."
        for event in events
        if ended is not None and event.number > ended and event.what.startswith(acts)
    ]
    lists = {event.subject: event.new for event in events if event.what == "list given"}
    rows = session.execute(
        select(Account.name, Place.code)
        .join(Place, Place.account_id == Account.id)
        .order_by(Account.name, Place.number)
    )
    given: dict[str, list[str]] = {}
    for name, code in rows:
        given.setdefault(name, []).append(code)
    found += [
        f"The list of {name} is not the one that was given."
        for name in lists
        if lists[name] != _told(given.get(name, []))
    ]
    return found


def still_due(session: Session, protocol: ReadingProtocol) -> list[str]:
    """What a reading lacks that is closed now, a phrase each."""
    found = [
        f"{one.name} has locked {one.locked} of {one.units} units"
        for one in progress_of_all(session, protocol)
        if one.active and one.role == "reader" and one.locked < one.units
    ]
    if has_adjudicator(session) and (due := codes_not_adjudicated(session, protocol)):
        found.append(f"{len(due)} units await the adjudicator")
    found += [f"{name} has begun to correct {code}" for code, name in open_corrections(session)]
    return found


def has_adjudicator(session: Session) -> bool:
    """Whether somebody may adjudicate."""
    ask = select(Account.id).where(Account.role == "adjudicator", Account.active)
    return session.execute(ask).first() is not None


def open_corrections(session: Session) -> list[tuple[str, str]]:
    """Unit and reader of every correction that was begun and can still be locked."""
    if closed_utc(session):
        return []
    rows = session.execute(
        select(Draft.code, Account.name)
        .join(Account, Account.id == Draft.account_id)
        .where(Draft.reason != "", Account.active)
        .order_by(Draft.code, Account.name)
    )
    return [(code, name) for code, name in rows]
