"""The web application: the pages of `signing_in`, `readers` and `statistician`, and how it refuses.

Rules are in `reading`, words in `texts`.
"""

from __future__ import annotations

import logging
import re
from inspect import signature
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException as StarletteHTTPException

from masi_vision.errors import ReadingError
from masi_vision.review import readers, signing_in, statistician
from masi_vision.review.database import why_not_written
from masi_vision.review.pages import NotSignedInError, Pages, PasswordDueError, Reviewed
from masi_vision.review.shield import Shield
from masi_vision.review.signing_in import CODE
from masi_vision.review.texts import RefusedError, texts

_LOG = logging.getLogger("masi_vision.review")
_HERE = Path(__file__).parent
# Newer versions tell a collector, where the environment names one, which units are read.
_NO_TELEMETRY = dict.fromkeys(("tracing", "metrics", "logs", "auto_configure"), False)
_UNIT = re.compile(rf"/units/({CODE.pattern})")


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

    for part in (signing_in, readers, statistician):
        app.router.routes.extend(part.routes.routes)  # as its own: tests go through all that there are
    return app


def _is_a_person(request: Request) -> bool:
    """Whether a browser shows the answer as a page."""
    return "text/html" in request.headers.get("accept", "")


def _first(page: str, request: Request) -> Response:
    """Go to a page that comes before the one asked for, and remembers the unit."""
    unit = _UNIT.fullmatch(request.url.path)
    return RedirectResponse(f"{page}?unit={unit[1]}" if unit else page, 303)
