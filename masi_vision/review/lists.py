"""A reader's list of units: its order, its parts and pauses, and how far it is read."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from masi_vision.blinding.coded_set import read_contents, read_order
from masi_vision.errors import ReadingError
from masi_vision.review.accounts import account_named, time_of
from masi_vision.review.audit import Act, note_tool, now
from masi_vision.review.database import closed_utc
from masi_vision.review.protocol import ReadingProtocol
from masi_vision.review.tables import Account, Entry, Event, ListPlace

State = Literal["locked", "open", "later"]


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
        Why nothing is: "", "done", "pause", "part" or "closed".
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


def give_list(
    session: Session, name: str, coded_set: Path, protocol: ReadingProtocol, *, rest_of: str = ""
) -> int:
    """Write a reader's order into the database, in parts; returns how many units it has.

    Parameters
    ----------
    rest_of : str
        A reader who left: of the list only what he has not locked.

    Raises
    ------
    ReadingError
        The list is not that of the set, or nothing is left of it.
    """
    account = account_named(session, name)
    order = _rest_of(session, rest_of) if rest_of else _whole_list(coded_set, account.list_name)
    for number, code in enumerate(order, 1):
        part = 1 + (number - 1) * protocol.parts // len(order)
        session.add(ListPlace(account_id=account.id, code=code, number=number, part=part))
    why = f"{_REST_OF}{rest_of}" if rest_of else ""
    note_tool(session, Act.LIST_GIVEN, name, new=told_order(order), reason=why)
    return len(order)


_REST_OF = "the rest of "


def successor_of(session: Session, name: str) -> str:
    """Who got the rest of a reader's list; empty where nobody did."""
    given = select(Event.subject).where(Event.what == Act.LIST_GIVEN, Event.reason == f"{_REST_OF}{name}")
    return session.execute(given).scalars().first() or ""


def _rest_of(session: Session, name: str) -> list[str]:
    """What a reader had and has not locked, in his order."""
    left = account_named(session, name)
    if other := successor_of(session, name):
        raise ReadingError(
            f"{other} has the rest of {name}. Expected one reader for it. Give the rest of {other}, should "
            "he have left too."
        )
    places = select(ListPlace.code).where(ListPlace.account_id == left.id).order_by(ListPlace.number)
    locked = _lock_times(session, left).keys()
    order = [code for code in session.execute(places).scalars() if code not in locked]
    if not order:
        raise ReadingError(f"{name} has locked every unit. Expected one who left some to be read.")
    return order


def _whole_list(coded_set: Path, list_name: str) -> list[str]:
    order = read_order(coded_set, list_name)
    there, wanted = Counter(order), Counter(read_contents(coded_set).codes)
    if there != wanted:
        strange = sorted((there - wanted).keys() | (wanted - there).keys())
        raise ReadingError(
            f"The list of {list_name} is not that of the set: {', '.join(strange[:5])} is missing, "
            "strange or there twice. Expected every unit once. Copy the set again from where it was made."
        )
    return list(order)


def told_order(order: Sequence[str]) -> str:
    """A list as the audit trail has it."""
    digest = hashlib.sha256("\n".join(order).encode()).hexdigest()
    return f"{len(order)} units, {digest}"


def own_list(session: Session, account: Account, protocol: ReadingProtocol) -> OwnList:
    """A reader's list as it stands."""
    places = session.execute(  # columns: of every photo and every grade the whole list is asked for
        select(ListPlace.code, ListPlace.number, ListPlace.part)
        .where(ListPlace.account_id == account.id)
        .order_by(ListPlace.number)
    )
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
    if max(times.values(), default="") > now():
        times = _mended(session, account, times)
    why, until = _waiting(units, next_part, times, protocol)
    return OwnList(units, "" if why else next_code, why, until)


def _waiting(
    units: Sequence[Listed], next_part: int, times: Mapping[str, str], protocol: ReadingProtocol
) -> tuple[Literal["", "pause", "part"], str]:
    """Why there is nothing to read by the times of the locks, and until when."""
    before = [times[unit.code] for unit in units if unit.part < next_part]
    opens = time_after(max(before, default=""), days=protocol.days_between_parts)
    if opens > now():
        return "part", opens
    rested = time_after(max(times.values(), default=""), minutes=protocol.session.pause_minutes)
    if rested > now() and _without_pause(list(times.values()), protocol) >= protocol.session.units:
        return "pause", rested
    return "", ""


def has_locked_all(session: Session, account: Account) -> bool:
    """Whether every unit of a reader's list is locked."""
    locked = select(Entry.code).where(Entry.account_id == account.id, Entry.stage == "blind")
    left = select(ListPlace.code).where(ListPlace.account_id == account.id, ListPlace.code.not_in(locked))
    return session.execute(left.limit(1)).first() is None


def _without_pause(times: list[str], protocol: ReadingProtocol) -> int:
    """How many units were locked since the last pause, in however many sessions."""
    latest_first, count = sorted(times, reverse=True), 1
    for later, earlier in pairwise(latest_first):
        if time_after(earlier, minutes=protocol.session.pause_minutes) <= later:
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


_NO_READING_BEFORE = "2020"
"""There was no masi_vision: rows dated earlier are of a clock that had lost the time (1970, 2000)."""


def _mended(session: Session, account: Account, times: Mapping[str, str]) -> dict[str, str]:
    """Of a lock in the future the earliest time that its row of the trail or any later one has.

    A clock that ran ahead and was set back makes nobody wait for the days that it had. A lock that is not in
    the future keeps its time: an earlier one may be of a clock that was behind, and would open a part early.
    This looks through the whole trail.
    """
    earliest = func.min(Event.utc).over(order_by=Event.number.desc()).label("utc")
    rows = select(Event.who, Event.what, Event.subject, earliest).where(Event.utc > _NO_READING_BEFORE)
    told = rows.subquery().c
    locks = select(told.subject, told.utc).where(told.who == account.name, told.what == f"{Act.LOCKED} blind")
    known = {str(code): str(utc) for code, utc in session.execute(locks)}
    moment = now()
    return {code: utc if utc <= moment else min(known.get(code, utc), moment) for code, utc in times.items()}


def time_after(utc: str, *, days: float = 0, minutes: float = 0) -> str:
    """A later time; empty for no time."""
    if not utc:
        return ""
    return (time_of(utc) + timedelta(days=days, minutes=minutes)).isoformat(timespec="milliseconds")
