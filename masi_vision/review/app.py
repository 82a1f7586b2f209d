"""The web application: pages and what they send, route by route. Rules are in `reading`, words in `texts`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Form, HTTPException, Request, Response
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, PackageLoader, StrictUndefined
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from masi_vision.blinding.coded_set import read_contents
from masi_vision.errors import ReadingError
from masi_vision.review import accounts, reading
from masi_vision.review.audit import note, now, trail, verify
from masi_vision.review.database import fact, looking, writing
from masi_vision.review.export import audit_csv, reads_csv
from masi_vision.review.grades import Reading, reading_from
from masi_vision.review.protocol import ReadingProtocol
from masi_vision.review.shield import COOKIE, LANGUAGE, Shield, is_same
from masi_vision.review.software import SoftwareScore
from masi_vision.review.tables import Account, SignIn
from masi_vision.review.texts import texts
from masi_vision.scale import MASI_REGIONS

_HERE = Path(__file__).parent
_TOUCH_S = 20
VIEWS = ("front", "right", "left")


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
    """

    engine: Engine
    coded_set: Path
    protocol: ReadingProtocol
    software: Mapping[str, SoftwareScore]
    chart: Path | None = None
    tls: bool = False


@dataclass(frozen=True)
class Visitor:
    """Who asks, in which session."""

    account: Account
    signed_in: SignIn
    language: str


class NotSignedInError(Exception):
    """Nobody is signed in, or no longer."""


def create_app(of: Reviewed) -> FastAPI:
    """The application of a reading."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.state.pages = pages = Pages(of)
    app.add_middleware(Shield, tls=of.tls)
    app.mount("/static", StaticFiles(directory=_HERE / "static"), name="static")

    @app.exception_handler(NotSignedInError)
    def _sign_in_first(request: Request, _error: NotSignedInError) -> Response:
        if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
            return RedirectResponse("/sign-in", 303)
        return JSONResponse({"error": "not signed in"}, 401)

    @app.exception_handler(ReadingError)
    def _refused(_request: Request, error: ReadingError) -> Response:
        return JSONResponse({"error": str(error)}, 409)

    for route in (_everybody, _readers, _others):
        route(app, pages)
    return app


class Pages:
    """What the routes share: the database, photos by code and view, templates and words."""

    def __init__(self, of: Reviewed) -> None:
        self.of, self.protocol = of, of.protocol
        self.photos: dict[tuple[str, str], Path] = {}
        for name in read_contents(of.coded_set).photos:
            code, file = name.split("/")
            self.photos[code, Path(file).stem] = of.coded_set / name
        self.templates = Environment(
            loader=PackageLoader("masi_vision.review"), autoescape=True, undefined=StrictUndefined
        )

    def language(self, request: Request) -> str:
        """As chosen, else the first of the protocol."""
        asked = request.cookies.get(LANGUAGE, "")
        return asked if asked in self.protocol.languages else self.protocol.languages[0]

    def visitor(self, request: Request, *roles: str) -> Visitor:
        """Who asks; refused where nobody is signed in or the role is another."""
        token = request.cookies.get(COOKIE, "")
        with looking(self.of.engine) as session:
            found = accounts.session_of(session, token, self.protocol)
            if found is None:
                raise NotSignedInError
            signed_in, account = found
        if roles and account.role not in roles:
            raise HTTPException(403, texts(self.language(request))["forbidden"])
        if request.method not in ("GET", "HEAD"):
            sent = request.headers.get("x-csrf-token", "")
            if not is_same(sent, signed_in.csrf) and not is_same(request.state.form_csrf, signed_in.csrf):
                raise HTTPException(403, "the page is too old: open it again")
        self._touch(signed_in)
        return Visitor(account, signed_in, self.language(request))

    def shows(self, who: Visitor, code: str) -> bool:
        """Whether there is a software's score of a unit that this role sees once the own read is locked."""
        shown_to = {"after_lock": "reader", "adjudicator": "adjudicator"}.get(self.protocol.software)
        return who.account.role == shown_to and code in self.of.software

    def _touch(self, signed_in: SignIn) -> None:
        since = accounts.time_of(now()) - accounts.time_of(signed_in.seen_utc)
        if since.total_seconds() < _TOUCH_S:
            return
        with writing(self.of.engine) as session:
            kept = session.get(SignIn, signed_in.token_sha256)
            if kept is not None:
                kept.seen_utc = now()

    def page(self, template: str, request: Request, who: Visitor | None, **values: Any) -> HTMLResponse:
        """A page, or a refusal to show it from a cache."""
        language = self.language(request)
        html = self.templates.get_template(f"{template}.html.jinja").render(
            t=texts(language),
            language=language,
            languages=self.protocol.languages,
            who=who.account if who else None,
            csrf=who.signed_in.csrf if who else "",
            **values,
        )
        return HTMLResponse(html)


def _everybody(app: FastAPI, pages: Pages) -> None:
    """Signing in and out, and the language."""
    engine, protocol = pages.of.engine, pages.protocol

    @app.get("/sign-in")
    def sign_in_page(request: Request) -> Response:
        return pages.page("sign_in", request, None, wrong=False)

    @app.post("/sign-in")
    def sign_in(
        request: Request,
        name: Annotated[str, Form(max_length=64)] = "",
        password: Annotated[str, Form(max_length=200)] = "",
    ) -> Response:
        with looking(engine) as session:
            fits = accounts.hash_that_fits(session, name, password)
        with writing(engine) as session:
            opened = accounts.sign_in(session, name, fits, protocol)
        if opened is None:
            page = pages.page("sign_in", request, None, wrong=True)
            page.status_code = 401
            return page
        answer = RedirectResponse("/", 303)
        answer.set_cookie(
            COOKIE, opened.token, httponly=True, samesite="strict", secure=pages.of.tls, path="/"
        )
        return answer

    @app.post("/sign-out")
    def sign_out(request: Request) -> Response:
        pages.visitor(request)
        with writing(engine) as session:
            accounts.sign_out(session, request.cookies[COOKIE])
        answer = RedirectResponse("/sign-in", 303)
        answer.delete_cookie(COOKIE, path="/")
        return answer

    @app.post("/language")
    def language(request: Request) -> Response:
        known = [str(one) for one in protocol.languages]
        following = known[(known.index(pages.language(request)) + 1) % len(known)]
        answer = RedirectResponse("/", 303)
        answer.set_cookie(LANGUAGE, following, samesite="strict", secure=pages.of.tls, path="/")
        return answer


def _reader(request: Request) -> Visitor:
    """Whoever grades."""
    pages: Pages = request.app.state.pages
    return pages.visitor(request, "reader", "adjudicator")


Reader = Annotated[Visitor, Depends(_reader)]


async def _json(request: Request) -> dict[str, Any]:
    try:
        values = json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        raise HTTPException(422, "not JSON") from error
    if not isinstance(values, dict):
        raise HTTPException(422, "not an object")
    return values


Sent = Annotated[dict[str, Any], Depends(_json)]
"""Read before the route is called: routes are no coroutines, so that none keeps the others waiting."""


def _readers(app: FastAPI, pages: Pages) -> None:
    """The list, a unit, its photos, drafts, locks and corrections: of readers and adjudicators."""
    engine, protocol = pages.of.engine, pages.protocol

    @app.get("/")
    def home(request: Request) -> Response:
        who = pages.visitor(request)
        with looking(engine) as session:
            if who.account.role == "coordinator":
                made = reading.progress_of_all(session, protocol)
                waiting = len(reading.codes_to_adjudicate(session, protocol))
                return pages.page("progress", request, who, readers=made, waiting=waiting)
            if who.account.role == "statistician":
                wrong = [*verify(session), *reading.altered_reads(session)]
                return pages.page("statistician", request, who, rows=len(trail(session)), faults=wrong)
            if who.account.role == "adjudicator":
                codes = list(reading.codes_to_adjudicate(session, protocol))
                done = [code for code in codes if reading.entries_of(session, who.account, code)]
                return pages.page("adjudicator", request, who, codes=codes, done=done)
            listed = reading.own_list(session, who.account, protocol)
        return pages.page("list", request, who, listed=listed)

    @app.get("/units/{code}")
    def unit(request: Request, code: str, who: Reader) -> Response:
        with looking(engine) as session:
            opened = _open_read(session, who, code, pages)
            database = fact(session, "reading")
            entries = reading.entries_of(session, who.account, code)
            draft = reading.draft_of(session, who.account, code)
            listed = reading.own_list(session, who.account, protocol)
        views = [view for view in VIEWS if (code, view) in pages.photos]
        shown = Reading.from_json(
            draft.reading if draft else entries[-1].reading if entries else Reading().to_json()
        )
        score = shown.score(protocol)
        state = {
            "code": code,
            "reader": who.account.name,
            "mmasi": None if score is None else score.mmasi,
            "views": views,
            "words": texts(who.language),
            "turn": draft.turn if draft else 0,
            "open": opened is not None,
            "read": opened.name if opened else "",
            "database": database,
            "reading": json.loads(shown.to_json()),
            "scales": dict(protocol.grades),
            "regions": list(MASI_REGIONS),
            "csrf": who.signed_in.csrf,
        }
        return pages.page(
            "unit",
            request,
            who,
            state=state,
            stage=opened.stage if opened else None,
            entries=entries,
            draft=draft,
            listed=listed,
            number=next((one.number for one in listed.units if one.code == code), 0),
            protocol=protocol,
            software=_software(pages, who, code, entries),
            chart=pages.of.chart is not None,
            views=views,
            regions=MASI_REGIONS,
        )

    @app.get("/units/{code}/photos/{view}")
    def photo(code: str, view: str, who: Reader) -> Response:
        with looking(engine) as session:
            _open_read(session, who, code, pages)
        file = pages.photos.get((code, view))
        if file is None:
            raise HTTPException(404)
        return FileResponse(file)

    @app.get("/units/{code}/overlays/{view}")
    def overlay(code: str, view: str, who: Reader) -> Response:
        with looking(engine) as session:
            _open_read(session, who, code, pages)
            entries = reading.entries_of(session, who.account, code)
        shown = _software(pages, who, code, entries)
        file = shown.overlays.get(view) if shown else None
        if file is None:
            raise HTTPException(404)
        return FileResponse(file)

    @app.get("/chart")
    def chart(who: Reader) -> Response:
        if pages.of.chart is None:
            raise HTTPException(404)
        return FileResponse(pages.of.chart)

    @app.put("/units/{code}/draft")
    def draft(code: str, who: Reader, values: Sent) -> Response:
        turn = values.pop("turn", None)
        if not isinstance(turn, int) or not 0 < turn < 2**31:
            raise HTTPException(422, "turn must be a whole number above 0")
        meant = str(values.pop("read", ""))
        given = reading_from(values, protocol)
        with writing(engine) as session:
            account = _again(session, who)
            reading.expected(_open_read(session, who, code, pages), meant)
            turn, kept = reading.save_draft(session, account, code, given, turn)
        score = given.score(protocol)
        return JSONResponse({"turn": turn, "kept": kept, "mmasi": None if score is None else score.mmasi})

    @app.post("/units/{code}/lock")
    def lock(code: str, who: Reader, values: Sent) -> Response:
        password, meant = values.pop("password", ""), str(values.pop("read", ""))
        given = reading_from(values, protocol)
        with looking(engine) as session:
            _open_read(session, who, code, pages)
            fits = accounts.hash_that_fits(session, who.account.name, str(password)[:200])
        with writing(engine) as session:
            signs = reading.signs(session, _again(session, who), code, fits, protocol)
        if not signs:
            return JSONResponse({"error": texts(who.language)["wrong_password"]}, 403)
        shows = pages.shows(who, code)
        with writing(engine) as session:
            entry = reading.lock(session, _again(session, who), code, given, protocol, meant, shows=shows)
        return JSONResponse({"sha256": entry.sha256, "locked_utc": entry.locked_utc})

    @app.get("/units/{code}/next")
    def following(code: str, who: Reader) -> Response:
        """After a lock: the software's score where it is shown, else what comes next."""
        with looking(engine) as session:
            opened = _open_read(session, who, code, pages)
            listed = reading.own_list(session, who.account, protocol)
        if opened is not None and opened.stage == "with_software":
            return RedirectResponse(f"/units/{code}", 303)
        return RedirectResponse(f"/units/{listed.next_code}" if listed.next_code else "/", 303)

    @app.post("/units/{code}/correction")
    def correction(code: str, who: Reader, reason: Annotated[str, Form(max_length=2000)] = "") -> Response:
        with writing(engine) as session:
            _open_read(session, who, code, pages)
            account, shows = _again(session, who), pages.shows(who, code)
            reading.begin_correction(session, account, code, reason, shows=shows)
        return RedirectResponse(f"/units/{code}", 303)


def _open_read(session: Session, who: Visitor, code: str, pages: Pages) -> reading.OpenRead | None:
    """What may be graded; a unit that is not the visitor's is one that does not exist."""
    try:
        return reading.open_read(session, who.account, code, pages.protocol, shows=pages.shows(who, code))
    except ReadingError as error:
        raise HTTPException(404) from error


def _again(session: Session, who: Visitor) -> Account:
    """The account in this transaction, no other act of the same person beside it."""
    account = session.get(Account, who.account.id, with_for_update=True)
    assert account is not None
    return account


def _software(pages: Pages, who: Visitor, code: str, entries: list[Any]) -> SoftwareScore | None:
    """The software's score, where the protocol shows it to this role; never before the own read is locked."""
    return pages.of.software[code] if entries and pages.shows(who, code) else None


def _others(app: FastAPI, pages: Pages) -> None:
    """Tables for the statistician."""
    engine = pages.of.engine

    def table(request: Request, made: Callable[[Session], str], name: str) -> Response:
        account = pages.visitor(request, "statistician").account
        with writing(engine) as session:
            note(session, account.name, account.role, "downloaded", name)
            text = made(session)
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response(text, media_type="text/csv; charset=utf-8", headers=headers)

    @app.get("/reads.csv")
    def reads(request: Request) -> Response:
        return table(request, lambda session: reads_csv(session, pages.protocol), "reads.csv")

    @app.get("/audit.csv")
    def audit(request: Request) -> Response:
        return table(request, audit_csv, "audit.csv")

    @app.get("/audit")
    def audit_page(request: Request) -> Response:
        who = pages.visitor(request, "statistician")
        with looking(engine) as session:
            events, wrong = trail(session), [*verify(session), *reading.altered_reads(session)]
        return pages.page("audit", request, who, events=events, faults=wrong)
