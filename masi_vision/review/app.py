"""The web application: signing in and out, tables for the statistician, and the pages of `readers`.

Rules are in `reading`, words in `texts`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from inspect import signature
from pathlib import Path
from threading import BoundedSemaphore
from typing import Annotated, Any

from fastapi import FastAPI, Form, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from starlette.exceptions import HTTPException as StarletteHTTPException

from masi_vision.blinding.order import ALPHABET, CODE_LENGTH
from masi_vision.errors import ReadingError
from masi_vision.review import accounts, altered, readers, reading
from masi_vision.review.audit import note, set_back
from masi_vision.review.database import looking, why_not_written, writing
from masi_vision.review.export import audit_csv, reads_csv
from masi_vision.review.pages import NotSignedInError, Pages, PasswordDueError, Reviewed, Visitor
from masi_vision.review.shield import COOKIE, LANGUAGE, Shield
from masi_vision.review.texts import RefusedError, texts

_LOG = logging.getLogger("masi_vision.review")
_ROWS_OF_PAGE = 500
_LONGEST_ENTERED = 1000
_A_YEAR_S = 365 * 24 * 3600
_HERE = Path(__file__).parent
_MOST_SIGNING_IN = 24  # at once: each holds a thread while its password is hashed, and pages need some
# Newer versions tell a collector, where the environment names one, which units are read.
_NO_TELEMETRY = dict.fromkeys(("tracing", "metrics", "logs", "auto_configure"), False)
_CODE = re.compile(rf"[{ALPHABET}]{{{CODE_LENGTH}}}")
_UNIT = re.compile(rf"/units/({_CODE.pattern})")


def create_app(reviewed: Reviewed) -> FastAPI:
    """The application of a reading."""
    more: dict[str, Any] = {}
    if "telemetry" in signature(FastAPI).parameters:
        more["telemetry"] = _NO_TELEMETRY
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False, **more)
    app.state.pages = pages = Pages(reviewed)
    app.add_middleware(Shield, tls=reviewed.tls, hosts=reviewed.hosts)
    app.mount("/static", StaticFiles(directory=_HERE / "static"), name="static")

    @app.exception_handler(NotSignedInError)
    def _sign_in_first(request: Request, _error: NotSignedInError) -> Response:
        if _is_a_person(request):
            return _first("/sign-in", request)
        return JSONResponse({"error": "not signed in"}, 401)

    def refusal(request: Request, sentence: str, status: int, language: str = "") -> Response:
        if not _is_a_person(request):
            language = language or pages.language(request)
            return JSONResponse({"error": sentence, "language": language}, status)
        told = {"sentence": sentence, "sentence_language": language or pages.language(request)}
        page = pages.page("refused", request, None, **told)
        page.status_code = status
        return page

    @app.exception_handler(PasswordDueError)
    def _choose_first(request: Request, _error: PasswordDueError) -> Response:
        if _is_a_person(request):
            return _first("/password", request)
        return refusal(request, texts(pages.language(request))["password_due"], 403)

    @app.exception_handler(ReadingError)
    def _refused(request: Request, error: ReadingError) -> Response:
        language = pages.language(request)
        if isinstance(error, RefusedError):
            return refusal(request, error.words(language), 409)
        return refusal(request, str(error), 409, "en")

    @app.exception_handler(StarletteHTTPException)
    def _not_there(request: Request, error: StarletteHTTPException) -> Response:
        is_missing = error.status_code == 404
        words = texts(pages.language(request))["not_there"] if is_missing else str(error.detail)
        return refusal(request, words, error.status_code)

    @app.exception_handler(RequestValidationError)
    def _cannot_be_taken(request: Request, _error: RequestValidationError) -> Response:
        # Without what was sent: it may be a password.
        return refusal(request, texts(pages.language(request))["not_taken"], 422)

    @app.exception_handler(DBAPIError)
    def _not_written(request: Request, error: DBAPIError) -> Response:
        why = why_not_written(error)
        if why is None:
            raise error
        # One line: of a full disk every page that saves asks again and again.
        _LOG.error("%s %s: the database failed: %s", request.method, request.url.path, error.orig)
        words = texts(pages.language(request))
        return refusal(request, words["busy" if why == "busy" else "not_written"], 503)

    _everybody(app, pages)
    _own_password(app, pages)
    app.router.routes.extend(readers.routes.routes)  # as its own: tests go through all that there are
    _statistician(app, pages)
    return app


def _is_a_person(request: Request) -> bool:
    """Whether a browser shows the answer as a page."""
    return "text/html" in request.headers.get("accept", "")


def _first(page: str, request: Request) -> Response:
    """Go to a page that comes before the one asked for, and remembers the unit."""
    unit = _UNIT.fullmatch(request.url.path)
    return RedirectResponse(f"{page}?unit={unit[1]}" if unit else page, 303)


def _code_or_none(unit: str) -> str:
    """What was sent as a unit's code; empty where it is none: nobody is led to another host."""
    return unit if _CODE.fullmatch(unit) else ""


def _everybody(app: FastAPI, pages: Pages) -> None:
    """Signing in and out, and the language."""
    engine, protocol = pages.reviewed.engine, pages.protocol
    signing_in = BoundedSemaphore(_MOST_SIGNING_IN)

    @app.get("/sign-in")
    def sign_in_page(request: Request, unit: str = "") -> Response:
        return pages.page("sign_in", request, None, wrong=False, unit=_code_or_none(unit))

    @app.post("/sign-in")
    def sign_in(
        request: Request,
        name: Annotated[str, Form(max_length=64)] = "",
        password: Annotated[str, Form(max_length=accounts.MOST_PASSWORD)] = "",
        unit: Annotated[str, Form()] = "",
    ) -> Response:
        if not signing_in.acquire(blocking=False):
            raise StarletteHTTPException(429, texts(pages.language(request))["many_sign_in"])
        try:
            with looking(engine) as session:
                fits = accounts.hash_that_fits(session, name, password)
            with writing(engine) as session:
                opened = accounts.sign_in(session, name, fits, protocol, source=_source(request))
        finally:
            signing_in.release()
        if opened is None:
            _LOG.warning("A sign-in from %s failed.", _source(request))
            page = pages.page("sign_in", request, None, wrong=True, unit=_code_or_none(unit))
            page.status_code = 401
            return page
        return _gone_on(name, unit, opened, pages)

    @app.post("/sign-out")
    def sign_out(request: Request) -> Response:
        pages.visitor(request, may_be_due=True)
        with writing(engine) as session:
            accounts.sign_out(session, request.cookies[COOKIE])
        answer = RedirectResponse("/sign-in", 303)
        answer.delete_cookie(COOKIE, path="/")
        return answer

    @app.post("/language")
    def language(request: Request, unit: Annotated[str, Form()] = "") -> Response:
        known = [str(one) for one in protocol.languages]
        following = known[(known.index(pages.language(request)) + 1) % len(known)]
        code = _code_or_none(unit)
        answer = RedirectResponse(f"/units/{code}" if code else "/", 303)
        answer.set_cookie(
            LANGUAGE,
            following,
            max_age=_A_YEAR_S,
            samesite="strict",
            secure=pages.reviewed.tls,
            path="/",
        )
        return answer


def _own_password(app: FastAPI, pages: Pages) -> None:
    """Everybody's own password, which nobody else knows: a signature rests on it."""
    engine, protocol = pages.reviewed.engine, pages.protocol

    def page_of(request: Request, who: Visitor, unit: str, wrong: str = "") -> Response:
        told = {"wrong": wrong, "least": accounts.LEAST_PASSWORD, "unit": _code_or_none(unit)}
        return pages.page("password", request, who, **told)

    @app.get("/password")
    def password_page(request: Request, unit: str = "") -> Response:
        return page_of(request, pages.visitor(request, may_be_due=True), unit)

    @app.post("/password")
    def change(
        request: Request,
        old: Annotated[str, Form(max_length=accounts.MOST_PASSWORD)] = "",
        new: Annotated[str, Form(max_length=_LONGEST_ENTERED)] = "",
        again: Annotated[str, Form(max_length=_LONGEST_ENTERED)] = "",
        unit: Annotated[str, Form()] = "",
    ) -> Response:
        who = pages.visitor(request, may_be_due=True)
        words, why, opened = texts(who.language), "", None
        if new != again:
            why = words["password_differs"]
        elif new == old:  # before anything is looked at: else it told, untold, whether it is the one
            why = words["password_same"]
        else:
            try:
                chosen = accounts.new_hash(new)
                with looking(engine) as session:
                    fits = accounts.hash_that_fits(session, who.account.name, old)
                with writing(engine) as session:
                    opened = accounts.change_password(
                        session, who.account.name, fits, chosen, protocol, source=_source(request)
                    )
                why = words["password_wrong"].format(minutes=f"{protocol.sign_in.minutes:g}")
            except RefusedError as error:
                why = error.words(who.language)
        if opened is None:
            page = page_of(request, who, unit, why)
            page.status_code = 409
            return page
        return _gone_on(who.account.name, unit, opened, pages)


def _source(request: Request) -> str:
    """Address of the machine that asks; behind a proxy, as that says."""
    return request.client.host if request.client else ""


def _gone_on(name: str, unit: str, opened: accounts.Opened, pages: Pages) -> Response:
    """Go on with the session just begun: to the unit that was asked for if it is theirs, else to the list."""
    code = _code_or_none(unit)
    with looking(pages.reviewed.engine) as session:
        account = accounts.account_named(session, name)
        goes_on = bool(code) and reading.may_open(session, account, code, pages.protocol)
    answer = RedirectResponse(f"/units/{code}" if goes_on else "/", 303)
    answer.set_cookie(
        COOKIE, opened.token, httponly=True, samesite="strict", secure=pages.reviewed.tls, path="/"
    )
    return answer


def _statistician(app: FastAPI, pages: Pages) -> None:
    """Tables for the statistician."""
    engine = pages.reviewed.engine

    def table(request: Request, made: Callable[[Session], str], name: str) -> Response:
        account = pages.visitor(request, "statistician").account
        with writing(engine) as session:
            note(session, account.name, account.role, "downloaded", name)
        with looking(engine) as session:  # a long table keeps nobody from saving
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
    def audit_page(request: Request, first: int | None = None) -> Response:
        who = pages.visitor(request, "statistician")
        with looking(engine) as session:
            events, wrong = altered.looked_through(session)
        parts = [(one, one + _ROWS_OF_PAGE - 1) for one in range(1, len(events) + 1, _ROWS_OF_PAGE)]
        part = next((one for one in parts if one[0] == first), parts[-1])  # the newest
        shown = events[part[0] - 1 : part[1]]
        told = {
            "rows": len(events),
            "events": shown,
            "remarks": set_back(events),
            "parts": parts,
            "part": part,
        }
        return pages.page("audit", request, who, faults=wrong, **told)
