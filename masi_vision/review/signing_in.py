"""Signing in and out, the language, and everybody's own password, which nobody else knows."""

from __future__ import annotations

import logging
import re
from typing import Annotated

from fastapi import APIRouter, Form, HTTPException, Request, Response
from fastapi.responses import RedirectResponse

from masi_vision.blinding.order import ALPHABET, CODE_LENGTH
from masi_vision.review import accounts, reading
from masi_vision.review.database import looking, writing
from masi_vision.review.pages import Pages, Shared, Visitor
from masi_vision.review.shield import COOKIE, LANGUAGE
from masi_vision.review.texts import RefusedError, texts

_LOG = logging.getLogger("masi_vision.review")
_LONGEST_ENTERED = 1000
_A_YEAR_S = 365 * 24 * 3600
CODE = re.compile(rf"[{ALPHABET}]{{{CODE_LENGTH}}}")
"""Of a unit."""

routes = APIRouter()


@routes.get("/sign-in")
def sign_in_page(request: Request, pages: Shared, unit: str = "") -> Response:
    """Where name and password are asked for."""
    return pages.page("sign_in", request, None, wrong=False, unit=_code_or_none(unit))


@routes.post("/sign-in")
def sign_in(
    request: Request,
    pages: Shared,
    name: Annotated[str, Form(max_length=64)] = "",
    password: Annotated[str, Form(max_length=accounts.MOST_PASSWORD)] = "",
    unit: Annotated[str, Form()] = "",
) -> Response:
    """Begin a session."""
    if not pages.signing_in.acquire(blocking=False):
        raise HTTPException(429, texts(pages.language(request))["many_sign_in"])
    try:
        with looking(pages.reviewed.engine) as session:
            fits = accounts.hash_that_fits(session, name, password)
        with writing(pages.reviewed.engine) as session:
            opened = accounts.sign_in(session, name, fits, pages.protocol, source=_source(request))
    finally:
        pages.signing_in.release()
    if opened is None:
        _LOG.warning("A sign-in from %s failed.", _source(request))
        page = pages.page("sign_in", request, None, wrong=True, unit=_code_or_none(unit))
        page.status_code = 401
        return page
    return _gone_on(name, unit, opened, pages)


@routes.post("/sign-out")
def sign_out(request: Request, pages: Shared) -> Response:
    """End the session."""
    pages.visitor(request, may_be_due=True)
    with writing(pages.reviewed.engine) as session:
        accounts.sign_out(session, request.cookies[COOKIE])
    answer = RedirectResponse("/sign-in", 303)
    answer.delete_cookie(COOKIE, path="/")
    return answer


@routes.post("/language")
def language(request: Request, pages: Shared, unit: Annotated[str, Form()] = "") -> Response:
    """Go on in the next language of the protocol."""
    known = [str(one) for one in pages.protocol.languages]
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


@routes.get("/password")
def password_page(request: Request, pages: Shared, unit: str = "") -> Response:
    """Where an own password is chosen: a signature rests on it."""
    return _password_page(request, pages, pages.visitor(request, may_be_due=True), unit)


@routes.post("/password")
def change(
    request: Request,
    pages: Shared,
    old: Annotated[str, Form(max_length=accounts.MOST_PASSWORD)] = "",
    new: Annotated[str, Form(max_length=_LONGEST_ENTERED)] = "",
    again: Annotated[str, Form(max_length=_LONGEST_ENTERED)] = "",
    unit: Annotated[str, Form()] = "",
) -> Response:
    """Exchange the password for one that nobody else knows."""
    who = pages.visitor(request, may_be_due=True)
    words, why, opened = texts(who.language), "", None
    if new != again:
        why = words["password_differs"]
    elif new == old:  # before anything is looked at: else it told, untold, whether it is the one
        why = words["password_same"]
    else:
        try:
            chosen = accounts.new_hash(new)
            with looking(pages.reviewed.engine) as session:
                fits = accounts.hash_that_fits(session, who.account.name, old)
            with writing(pages.reviewed.engine) as session:
                opened = accounts.change_password(
                    session, who.account.name, fits, chosen, pages.protocol, source=_source(request)
                )
            why = words["password_wrong"].format(minutes=f"{pages.protocol.sign_in.minutes:g}")
        except RefusedError as error:
            why = error.words(who.language)
    if opened is None:
        page = _password_page(request, pages, who, unit, why)
        page.status_code = 409
        return page
    return _gone_on(who.account.name, unit, opened, pages)


def _password_page(request: Request, pages: Pages, who: Visitor, unit: str, wrong: str = "") -> Response:
    told = {"wrong": wrong, "least": accounts.LEAST_PASSWORD, "unit": _code_or_none(unit)}
    return pages.page("password", request, who, **told)


def _code_or_none(unit: str) -> str:
    """What was sent as a unit's code; empty where it is none: nobody is led to another host."""
    return unit if CODE.fullmatch(unit) else ""


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
