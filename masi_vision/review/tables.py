"""The tables of a reading. What was locked and what was noted is added to, never changed."""

from __future__ import annotations

from typing import Literal, get_args

from sqlalchemy import CheckConstraint, ForeignKey, Integer, String, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

Role = Literal["reader", "adjudicator", "coordinator", "statistician"]
ROLES: tuple[str, ...] = get_args(Role)
Stage = Literal["blind", "with_software", "adjudication"]


class Base(DeclarativeBase):
    """What all tables are made from."""


class Fact(Base):
    """A fact of the whole reading, such as the set that is read and the hash of its protocol."""

    __tablename__ = "fact"
    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    value: Mapped[str] = mapped_column(Text)


class Account(Base):
    """Someone who signs in; a reader has a list of the set (`list_name`).

    Who has a `given_password`, one that somebody else knows, chooses an own one before anything else.
    """

    __tablename__ = "account"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    role: Mapped[str] = mapped_column(String(16), CheckConstraint(f"role in {ROLES}"))
    list_name: Mapped[str] = mapped_column(String(64), default="")
    password_hash: Mapped[str] = mapped_column(String(200))
    given_password: Mapped[bool] = mapped_column(default=False)
    active: Mapped[bool] = mapped_column(default=True)
    failures: Mapped[int] = mapped_column(default=0)
    failed_utc: Mapped[str] = mapped_column(String(32), default="")


class SignIn(Base):
    """A session: of its token only the hash is kept."""

    __tablename__ = "sign_in"
    token_sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"), index=True)
    csrf: Mapped[str] = mapped_column(String(64))
    started_utc: Mapped[str] = mapped_column(String(32))
    seen_utc: Mapped[str] = mapped_column(String(32))
    ended_utc: Mapped[str] = mapped_column(String(32), default="")


class ListPlace(Base):
    """A unit in somebody's list."""

    __tablename__ = "place"
    __table_args__ = (UniqueConstraint("account_id", "code"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"), index=True)
    code: Mapped[str] = mapped_column(String(16))
    number: Mapped[int] = mapped_column(Integer)
    part: Mapped[int] = mapped_column(Integer)


class Draft(Base):
    """A read that is not locked; `turn` rises with every change, so that a late one does not undo a newer."""

    __tablename__ = "draft"
    __table_args__ = (UniqueConstraint("account_id", "code"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"), index=True)
    code: Mapped[str] = mapped_column(String(16))
    turn: Mapped[int] = mapped_column(default=0)
    reading: Mapped[str] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(Text, default="")


class Entry(Base):
    """A locked and signed read. A correction is another entry, with a reason."""

    __tablename__ = "entry"
    __table_args__ = (UniqueConstraint("account_id", "code", "stage", "version"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"), index=True)
    code: Mapped[str] = mapped_column(String(16), index=True)
    stage: Mapped[str] = mapped_column(String(16))
    version: Mapped[int] = mapped_column(Integer)
    reading: Mapped[str] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(Text, default="")
    locked_utc: Mapped[str] = mapped_column(String(32))
    signed_by: Mapped[str] = mapped_column(String(64))
    meaning: Mapped[str] = mapped_column(Text)
    sha256: Mapped[str] = mapped_column(String(64))


class Event(Base):
    """A row of the audit trail; `hash` is of the row and of the hash before it."""

    __tablename__ = "event"
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    utc: Mapped[str] = mapped_column(String(32))
    who: Mapped[str] = mapped_column(String(64))
    role: Mapped[str] = mapped_column(String(16))
    what: Mapped[str] = mapped_column(String(40))
    subject: Mapped[str] = mapped_column(String(120))
    old: Mapped[str] = mapped_column(Text, default="")
    new: Mapped[str] = mapped_column(Text, default="")
    reason: Mapped[str] = mapped_column(Text, default="")
    hash: Mapped[str] = mapped_column(String(64))


class Head(Base):
    """How long the audit trail is, and its last hash: rows taken off its end are missed."""

    __tablename__ = "head"
    id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(Integer)
    hash: Mapped[str] = mapped_column(String(64))
