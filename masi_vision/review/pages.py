"""What the pages of a reading share: who asks, the database, photos by code and view, templates and words."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import BoundedSemaphore
from typing import Annotated, Any

from fastapi import Depends, HTTPException, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from sqlalchemy import Engine

from masi_vision.blinding.coded_set import read_contents
from masi_vision.errors import reason_of
from masi_vision.names import View
from masi_vision.review import accounts
from masi_vision.review.audit import now
from masi_vision.review.database import looking, writing
from masi_vision.review.protocol import ReadingProtocol
from masi_vision.review.shield import COOKIE, LANGUAGE, is_same
from masi_vision.review.showing import is_due, show
from masi_vision.review.software import SoftwareScore
from masi_vision.review.tables import Account, SignIn
from masi_vision.review.texts import RefusedError, texts

_LOG = logging.getLogger(__name__)
_TOUCH_S = 20
_MOST_SIGNING_IN = 24  # at once: each holds a thread while its password is hashed, and pages need some
_SHOWN: tuple[View, ...] = ("front", "right", "left")
_TEMPLATES = Environment(
    loader=PackageLoader("masi_vision.review"), autoescape=True, undefined=StrictUndefined
)


@dataclass(frozen=True)
class Reviewed:
    """What a reading consists of.

    Parameters
    ----------
    coded_set : Path
    protocol : ReadingProtocol
    software : mapping of str to SoftwareScore
        By code; empty where nobody is to see it.
    chart : Path or None
        A picture of reference grades that the trial supplies.
    tls : bool
        Whether the pages are served over TLS: cookies are then sent over TLS alone.
    hosts : frozenset of str
        As of `masi_vision.review.shield.Shield`.
    """

    engine: Engine
    coded_set: Path
    protocol: ReadingProtocol
    software: Mapping[str, SoftwareScore]
    chart: Path | None = None
    tls: bool = False
    hosts: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Visitor:
    """Who asks, in which session."""

    account: Account
    signed_in: SignIn
    language: str


class NotSignedInError(Exception):
    """Nobody is signed in, or no longer."""


class PasswordDueError(Exception):
    """Who asks has a password that somebody else knows, and chooses an own one first."""


class Pages:
    """Pages of one reading, and who may see them."""

    def __init__(self, reviewed: Reviewed) -> None:
        self.reviewed, self.protocol = reviewed, reviewed.protocol
        self.signing_in = BoundedSemaphore(_MOST_SIGNING_IN)
        self.photos: dict[tuple[str, str], tuple[Path, str]] = {}  # file and hash, by code and view
        for name, digest in read_contents(reviewed.coded_set).photos.items():
            code, file = name.split("/")
            self.photos[code, Path(file).stem] = reviewed.coded_set / name, digest

    def views_of(self, code: str) -> list[str]:
        """Views of a unit, in the order in which they are shown."""
        return [view for view in _SHOWN if (code, view) in self.photos]

    def photo(self, code: str, view: str) -> tuple[bytes, str]:
        """A photo's bytes and what they are; refused where they are not those that were coded."""
        if (code, view) not in self.photos:
            raise HTTPException(404)
        file, digest = self.photos[code, view]
        try:
            data = file.read_bytes()
        except OSError as error:
            raise RefusedError(
                "photo_unreadable", code=[code], view=[view], cause=[reason_of(error)]
            ) from error
        if hashlib.sha256(data).hexdigest() != digest:
            _LOG.warning("%s is not the photo that was coded, and is not shown.", file)
            raise RefusedError("photo_altered", code=[code], view=[view])
        return data, "image/jpeg" if file.suffix == ".jpg" else "image/png"

    def language(self, request: Request) -> str:
        """As chosen, else the first of the protocol."""
        asked = request.cookies.get(LANGUAGE, "")
        return asked if asked in self.protocol.languages else self.protocol.languages[0]

    def visitor(self, request: Request, *roles: str, may_be_due: bool = False) -> Visitor:
        """Who asks; refused where nobody is signed in, an own password is due, or the role is another."""
        token = request.cookies.get(COOKIE, "")
        with looking(self.reviewed.engine) as session:
            found = accounts.session_of(session, token, self.protocol)
            if found is None:
                raise NotSignedInError
            signed_in, account = found
        if account.given_password and not may_be_due:
            raise PasswordDueError
        if roles and account.role not in roles:
            raise HTTPException(403, texts(self.language(request))["forbidden"])
        if request.method not in ("GET", "HEAD"):
            sent = request.headers.get("x-csrf-token", "")
            if not is_same(sent, signed_in.csrf) and not is_same(request.state.form_csrf, signed_in.csrf):
                raise HTTPException(403, texts(self.language(request))["page_too_old"])
        self._touch(signed_in)
        return Visitor(account, signed_in, self.language(request))

    def scored_for(self, who: Visitor) -> Collection[str]:
        """Units whose score by the software this role sees, once it is to grade nothing more without."""
        shown_to = {"after_lock": "reader", "adjudicator": "adjudicator"}.get(self.protocol.software)
        return self.reviewed.software.keys() if who.account.role == shown_to else ()

    def show_if_due(self, who: Visitor) -> None:
        """Show the software's scores from now on to whom they are to be shown, once all is graded without."""
        if not self.scored_for(who):
            return
        with looking(self.reviewed.engine) as session:
            due = is_due(session, who.account, self.protocol)
        if due:
            with writing(self.reviewed.engine) as session:
                show(session, who.account, self.protocol)

    def _touch(self, signed_in: SignIn) -> None:
        since = accounts.time_of(now()) - accounts.time_of(signed_in.seen_utc)
        if 0 <= since.total_seconds() < _TOUCH_S:
            return
        with writing(self.reviewed.engine) as session:
            kept = session.get(SignIn, signed_in.token_sha256)
            if kept is not None:
                kept.seen_utc = now()

    def page(self, template: str, request: Request, who: Visitor | None, **values: Any) -> HTMLResponse:
        """A page, or a refusal to show it from a cache."""
        language = self.language(request)
        html = _TEMPLATES.get_template(f"{template}.html.jinja").render(
            t=texts(language),
            language=language,
            languages=self.protocol.languages,
            who=who.account if who else None,
            csrf=who.signed_in.csrf if who else "",
            **values,
        )
        return HTMLResponse(html)


def pages_of(request: Request) -> Pages:
    """Those of the application that is asked."""
    pages: Pages = request.app.state.pages
    return pages


Shared = Annotated[Pages, Depends(pages_of)]
