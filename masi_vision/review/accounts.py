"""Who signs in: passwords, sessions, and the wait after wrong ones."""

from __future__ import annotations

import hashlib
import re
import secrets
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from masi_vision.csv_table import is_no_name
from masi_vision.errors import ReadingError
from masi_vision.review.audit import Act, note, note_tool, now
from masi_vision.review.protocol import ReadingProtocol
from masi_vision.review.tables import ROLES, Account, Event, SignIn
from masi_vision.review.texts import RefusedError

if TYPE_CHECKING:
    from argon2 import PasswordHasher

LEAST_PASSWORD, MOST_PASSWORD = 10, 200
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,63}")
_HASH_OF_NOBODY: Final = (
    "$argon2id$v=19$m=65536,t=3,p=1$c29tZXNhbHRzb21lc2FsdA$zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzw"
)
"""Checked where there is no such account, so that an answer takes as long as where there is one."""


@dataclass(frozen=True)
class Opened:
    """A session just begun: the token goes to the browser and nowhere else."""

    token: str
    csrf: str


def time_of(text: str) -> datetime:
    """A time as it stands in the database."""
    return datetime.fromisoformat(text)


def add_account(
    session: Session, name: str, role: str, password: str, *, list_name: str = "", given: bool = False
) -> Account:
    """Make an account.

    Parameters
    ----------
    given : bool
        Whether somebody else than its owner knows the password, who is then asked for an own one first.

    Raises
    ------
    ReadingError
        The name is taken or cannot be one, the role is none, the password is too short or too long.
    """
    if not _NAME.fullmatch(name):
        raise ReadingError(f"{name!r} cannot be a name. Expected letters, digits, dot, - and _; two to 64.")
    if is_no_name(name):
        raise ReadingError(
            f"{name!r} stands in tables where there is nothing. Expected a name: the reads would be "
            "without a reader. Choose another."
        )
    if role not in ROLES:
        raise ReadingError(f"{role!r} is no role. Expected one of {', '.join(ROLES)}.")
    if (role == "reader") != bool(list_name):
        raise ReadingError(f"A {role} has {'no list' if list_name else 'a list'}. Expected: only readers do.")
    alike = session.execute(select(Account.name).where(func.lower(Account.name) == name.lower())).scalar()
    if alike:  # two readers who differ by capitals alone would be taken for one, or one for two
        raise ReadingError(f"There is an account {alike!r} already. Expected a new name. Choose another.")
    made = Account(
        name=name, role=role, list_name=list_name, password_hash=new_hash(password), active=True, failures=0
    )
    made.failed_utc, made.given_password = "", given
    session.add(made)
    session.flush()
    note_tool(session, Act.ACCOUNT_MADE, name, new=f"{role} {list_name}".strip())
    act = Act.PASSWORD_GIVEN if given else Act.PASSWORD_SET
    note_tool(session, act, name, new=password_mark(made))
    return made


def set_password(session: Session, name: str, password: str) -> None:
    """Give an account another password, to be exchanged for an own one; its sessions end."""
    account = account_named(session, name)
    account.password_hash, account.failures, account.given_password = new_hash(password), 0, True
    _end_all(session, account)
    note_tool(session, Act.PASSWORD_CHANGED, name, new=password_mark(account))


def password_mark(account: Account) -> str:
    """By which the audit trail knows an account's password again: of its hash, which has a salt, a hash."""
    return _sha256(account.password_hash)[:16]


def switch(session: Session, name: str, *, active: bool) -> None:
    """Let an account sign in, or no longer."""
    account = account_named(session, name)
    old, account.active = account.active, active
    if not active:
        _end_all(session, account)
    note_tool(
        session, Act.ACCOUNT_SWITCHED, name, old=active_word(active=old), new=active_word(active=active)
    )


def active_word(*, active: bool) -> str:
    """As the audit trail says whether an account may sign in."""
    return "active" if active else "inactive"


def _end_all(session: Session, account: Account) -> None:
    for one in session.execute(select(SignIn).where(SignIn.account_id == account.id)).scalars():
        one.ended_utc = one.ended_utc or now()


def account_named(session: Session, name: str) -> Account:
    """An account by name.

    Raises
    ------
    ReadingError
        There is none.
    """
    found = session.execute(select(Account).where(Account.name == name)).scalar_one_or_none()
    if found is None:
        raise ReadingError(f"There is no account {name!r}. Expected one that masi review account made.")
    return found


_ONE_AT_A_TIME = threading.Lock()
"""Hashing takes a whole core for a tenth of a second: when twenty sign at once, pages still find one free."""


def _hasher() -> PasswordHasher:
    """Argon2id with 64 MiB in three rounds, as RFC 9106 has it for little memory, on one core."""
    from argon2 import PasswordHasher

    return PasswordHasher(time_cost=3, memory_cost=64 * 1024, parallelism=1)


def new_hash(password: str) -> str:
    """What is kept of a new password, whoever chose it.

    Raises
    ------
    RefusedError
        It is too short or too long.

    Notes
    -----
    The pages call it outside of a transaction, as `is_password`.
    """
    if not LEAST_PASSWORD <= len(password) <= MOST_PASSWORD:
        found, least = str(len(password)), str(LEAST_PASSWORD)
        raise RefusedError("password_length", found=[found], least=[least], most=[str(MOST_PASSWORD)])
    with _ONE_AT_A_TIME:
        return _hasher().hash(password)


def is_password(password_hash: str, password: str) -> bool:
    """Whether this is the password; takes as long where there is none.

    Notes
    -----
    To be called outside of a transaction: who writes to an SQLite file keeps all others from writing.
    """
    from argon2.exceptions import InvalidHashError, VerificationError

    with _ONE_AT_A_TIME:
        try:
            fits = _hasher().verify(password_hash or _HASH_OF_NOBODY, password)
        except (VerificationError, InvalidHashError, UnicodeEncodeError):  # the last: half a letter
            return False
    return bool(fits) and bool(password_hash)


def hash_that_fits(session: Session, name: str, password: str) -> str:
    """The password's hash as the account has it; empty where there is no such account, or it has another."""
    found = session.execute(select(Account.password_hash).where(Account.name == name)).scalar_one_or_none()
    session.close()  # before the time that the check takes
    return str(found) if is_password(found or "", password) else ""


def sign_in(
    session: Session, name: str, fits: str, protocol: ReadingProtocol, *, source: str = ""
) -> Opened | None:
    """Begin a session; None where name and password do not fit, or the name must wait.

    Parameters
    ----------
    fits : str
        Of `hash_that_fits`: the account must still have it.
    source : str
        Address of the machine that asks, for the audit trail.
    """
    account = _proven(session, name, fits, protocol, source, Act.SIGN_IN_FAILED)
    if account is None:
        return None
    opened = _begun(session, account)
    note(session, account.name, account.role, "signed in", account.name)
    return opened


def change_password(
    session: Session, name: str, fits: str, chosen: str, protocol: ReadingProtocol, *, source: str = ""
) -> Opened | None:
    """Exchange somebody's password for one that nobody else knows; his sessions end, and another begins.

    None where the old password does not fit, or the name must wait, as of `sign_in`.

    Parameters
    ----------
    fits, chosen : str
        Of `hash_that_fits`, for the old one, and of `new_hash`.
    """
    account = _proven(session, name, fits, protocol, source, Act.PASSWORD_FAILED)
    if account is None:
        return None
    account.password_hash, account.given_password = chosen, False
    _end_all(session, account)
    mark = password_mark(account)
    note(session, account.name, account.role, Act.PASSWORD_CHANGED, account.name, new=mark)
    return _begun(session, account)


def _proven(
    session: Session, name: str, fits: str, protocol: ReadingProtocol, source: str, failed: Act
) -> Account | None:
    """The account whose password was right, by `hash_that_fits`; what was wrong is noted as ``failed``."""
    account = session.execute(
        select(Account).where(Account.name == name).with_for_update()
    ).scalar_one_or_none()
    place = f"from {source}" if source else ""
    if account is not None and must_wait(account, protocol):
        if _is_rare(session, Act.SIGN_IN_REFUSED, account.name):
            why = "; ".join(filter(None, ("too many wrong passwords", place)))
            note(session, name, account.role, Act.SIGN_IN_REFUSED, name, reason=why)
        return None
    if account is None or fits != account.password_hash or not account.active:
        _remember_failure(session, account, protocol, failed, place)
        return None
    account.failures = 0
    return account


def _begun(session: Session, account: Account) -> Opened:
    """A session of somebody whose password was right."""
    token, csrf = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    session.add(
        SignIn(
            token_sha256=_sha256(token),
            account_id=account.id,
            csrf=csrf,
            started_utc=now(),
            seen_utc=now(),
            ended_utc="",
        )
    )
    return Opened(token, csrf)


def must_wait(account: Account, protocol: ReadingProtocol) -> bool:
    """Whether there were too many wrong passwords just now."""
    if account.failures < protocol.sign_in.attempts or not account.failed_utc:
        return False
    since = time_of(now()) - time_of(account.failed_utc)
    return timedelta(0) <= since < timedelta(minutes=protocol.sign_in.minutes)  # a clock may be set back


_UNKNOWN_NAME: Final = "unknown name"
_ROWS_APART = timedelta(minutes=1)
"""Of names that nobody has, and of one that must wait: whoever reaches the page could fill the trail."""


def _remember_failure(
    session: Session, account: Account | None, protocol: ReadingProtocol, failed: Act, place: str
) -> None:
    if account is not None:
        # After a wait all attempts again: else one wrong password in each period kept its owner out for good.
        before = account.failures if account.failures < protocol.sign_in.attempts else 0
        account.failures, account.failed_utc = before + 1, now()
        note(session, account.name, account.role, failed, account.name, reason=place)
    elif _is_rare(session, failed, _UNKNOWN_NAME):
        # Without what was typed: it may be a password, and the trail keeps it for ever.
        note(session, _UNKNOWN_NAME, "nobody", failed, _UNKNOWN_NAME, reason=place)


def _is_rare(session: Session, act: Act, who: str) -> bool:
    """Whether there was no such row of late; the last is that by number, for the clock may be set back."""
    last = session.execute(
        select(Event.utc).where(Event.what == act, Event.who == who).order_by(Event.number.desc()).limit(1)
    ).scalar()
    return last is None or abs(time_of(now()) - time_of(last)) >= _ROWS_APART


_CLOCK_MENDED = timedelta(minutes=2)
"""By so much a server's clock is mended now and then; what was seen later than that ends with its clock."""


def session_of(session: Session, token: str, protocol: ReadingProtocol) -> tuple[SignIn, Account] | None:
    """The session behind a token and whose it is; None where it has ended or was left too long."""
    found = session.get(SignIn, _sha256(token)) if token else None
    if found is None or found.ended_utc:
        return None
    idle = time_of(now()) - time_of(found.seen_utc)
    account = session.get(Account, found.account_id)
    longest = timedelta(minutes=protocol.session.idle_minutes)
    if account is None or not account.active or not -_CLOCK_MENDED <= idle <= longest:
        return None
    return found, account


def sign_out(session: Session, token: str) -> None:
    """End a session."""
    found = session.get(SignIn, _sha256(token))
    if found is not None and not found.ended_utc:
        found.ended_utc = now()
        account = session.get(Account, found.account_id)
        assert account is not None
        note(session, account.name, account.role, "signed out", account.name)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
