"""What readers and adjudicators ask for: the list, a unit, its photos, drafts, locks and corrections."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, HTTPException, Request, Response
from fastapi.responses import FileResponse, JSONResponse, RedirectResponse
from sqlalchemy.orm import Session

from masi_vision.errors import ReadingError
from masi_vision.review import accounts, adjudication, altered, closing, lists, reading, showing
from masi_vision.review.database import closed_utc, fact, looking, minute_of, writing
from masi_vision.review.grades import Reading, reading_from
from masi_vision.review.pages import Pages, Shared, Visitor, pages_of
from masi_vision.review.software import SoftwareScore
from masi_vision.review.tables import Account, Draft
from masi_vision.review.texts import texts
from masi_vision.scale import MASI_REGIONS

routes = APIRouter()


def _reader(request: Request) -> Visitor:
    """Whoever grades."""
    return pages_of(request).visitor(request, "reader", "adjudicator")


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


@routes.get("/")
def home(request: Request, pages: Shared) -> Response:
    """What each role begins with: the own list, what awaits adjudication, progress, or tables."""
    who = pages.visitor(request)
    pages.show_if_due(who)
    with looking(pages.reviewed.engine) as session:
        if who.account.role == "coordinator":
            made = closing.progress_of_all(session, pages.protocol)
            waiting = len(adjudication.codes_not_adjudicated(session, pages.protocol))
            since = closed_utc(session)
            told = {"closed_at": since and minute_of(since), "waiting": waiting, "readers": made}
            told["is_due"] = bool(closing.still_due(session, pages.protocol))
            return pages.page("progress", request, who, **told)
        if who.account.role == "statistician":
            events, wrong = altered.looked_through(session)
            return pages.page("statistician", request, who, rows=len(events), faults=wrong)
        if who.account.role == "adjudicator":
            done, left = _to_adjudicate(session, who, pages)
            told = _told_in_list(session, who, pages)
            since = closed_utc(session)
            told |= {"codes": [*left, *done], "done": done, "closed_at": since and minute_of(since)}
            told["next_code"] = "" if since else next(iter(left), "")
            return pages.page("adjudicator", request, who, **told)
        listed = lists.own_list(session, who.account, pages.protocol)
        return pages.page("list", request, who, listed=listed, **_told_in_list(session, who, pages))


@routes.get("/units/{code}")
def unit(request: Request, code: str, who: Reader, pages: Shared) -> Response:
    """The page on which a unit is graded."""
    pages.show_if_due(who)
    with looking(pages.reviewed.engine) as session:
        opened = _open_read(session, who, code, pages)
        database = fact(session, "reading")
        entries = reading.entries_of(session, who.account, code)
        draft = reading.draft_of(session, who.account, code)
        listed = lists.own_list(session, who.account, pages.protocol)
        again, software = _again_of(session, who, pages), _software(session, who, code, pages)
    shown = Reading.from_json(
        draft.reading if draft and opened else entries[-1].reading if entries else Reading().to_json()
    )
    state = unit_state(shown, who, code, pages, draft=draft, opened=opened, database=database)
    return pages.page(
        "unit",
        request,
        who,
        state=state,
        stage=opened.stage if opened else None,
        entries=entries,
        draft=draft if opened else None,
        listed=listed,
        number=next((one.number for one in listed.units if one.code == code), 0),
        protocol=pages.protocol,
        software=software,
        onward=next((one for one in again if one != code), ""),
        chart=pages.reviewed.chart is not None,
        views=pages.views_of(code),
        regions=MASI_REGIONS,
    )


@routes.get("/units/{code}/photos/{view}")
def photo(code: str, view: str, who: Reader, pages: Shared) -> Response:
    """A photo of a unit that is open to whoever asks, or was."""
    with looking(pages.reviewed.engine) as session:
        _open_read(session, who, code, pages)
    data, kind = pages.photo(code, view)
    return Response(data, media_type=kind)


@routes.get("/units/{code}/overlays/{view}")
def overlay(code: str, view: str, who: Reader, pages: Shared) -> Response:
    """The software's picture of a unit, where its score is shown."""
    with looking(pages.reviewed.engine) as session:
        _open_read(session, who, code, pages)
        shown = _software(session, who, code, pages)
    file = shown.overlays.get(view) if shown else None
    if file is None:
        raise HTTPException(404)
    return FileResponse(file)


@routes.get("/chart", dependencies=[Depends(_reader)])
def chart(pages: Shared) -> Response:
    """The trial's picture of reference grades."""
    if pages.reviewed.chart is None:
        raise HTTPException(404)
    return FileResponse(pages.reviewed.chart)


@routes.put("/units/{code}/draft")
def draft(code: str, who: Reader, values: Sent, pages: Shared) -> Response:
    """Keep grades that are not locked yet."""
    turn = values.pop("turn", None)
    if not isinstance(turn, int) or not 0 <= turn < 2**31:
        raise HTTPException(422, "turn must be a whole number, 0 or more")
    meant = str(values.pop("read", ""))
    given = reading_from(values, pages.protocol)
    with writing(pages.reviewed.engine) as session:
        account = _again(session, who)
        reading.expected(session, _open_read(session, who, code, pages), meant)
        draft = reading.save_draft(session, account, code, given, turn)
        stored = Reading.from_json(draft.reading)
        answer: dict[str, Any] = {"turn": draft.turn, "accepted": stored == given, "saved_ms_ago": None}
        if stored != given:
            answer["saved_ms_ago"] = reading.saved_ms_ago(session, account, code)
    score = stored.score(pages.protocol)
    answer["mmasi"] = None if score is None else score.mmasi
    return JSONResponse(answer | {"reading": json.loads(stored.to_json())})


@routes.post("/units/{code}/lock")
def lock(code: str, who: Reader, values: Sent, pages: Shared) -> Response:
    """Lock and sign a read."""
    password, meant = values.pop("password", ""), str(values.pop("read", ""))
    given = reading_from(values, pages.protocol)
    with looking(pages.reviewed.engine) as session:
        _open_read(session, who, code, pages)
        fits = accounts.hash_that_fits(session, who.account.name, str(password)[: accounts.MOST_PASSWORD])
    with writing(pages.reviewed.engine) as session:
        signs = reading.signs(session, _again(session, who), code, fits, pages.protocol)
    if signs != "own":
        told = texts(who.language)["wrong_password" if signs == "wrong" else "too_many_wrong"]
        return JSONResponse({"error": told.format(minutes=f"{pages.protocol.sign_in.minutes:g}")}, 403)
    with writing(pages.reviewed.engine) as session:
        account, scored = _again(session, who), pages.scored_for(who)
        entry = reading.lock(session, account, code, given, pages.protocol, meant, scored=scored)
    return JSONResponse({"sha256": entry.sha256, "locked_utc": entry.locked_utc})


@routes.get("/units/{code}/next")
def following(code: str, who: Reader, pages: Shared) -> Response:
    """After a lock: what comes next, or the list, where all is read."""
    pages.show_if_due(who)
    with looking(pages.reviewed.engine) as session:
        _open_read(session, who, code, pages)
        entries = reading.entries_of(session, who.account, code)
        if who.account.role == "adjudicator":
            left = "" if closed_utc(session) else next(iter(_to_adjudicate(session, who, pages)[1]), "")
        else:
            left = lists.own_list(session, who.account, pages.protocol).next_code
        again = _again_of(session, who, pages) if entries and entries[-1].stage == "with_software" else []
    following = left or next(iter(again), "")
    return RedirectResponse(f"/units/{following}" if following else "/", 303)


@routes.post("/units/{code}/correction")
def correction(
    code: str, who: Reader, pages: Shared, reason: Annotated[str, Form(max_length=2000)] = ""
) -> Response:
    """Begin another entry beside a locked one, for a reason."""
    with writing(pages.reviewed.engine) as session:
        _open_read(session, who, code, pages)
        account, scored = _again(session, who), pages.scored_for(who)
        reading.begin_correction(session, account, code, reason, scored=scored)
    return RedirectResponse(f"/units/{code}", 303)


@routes.post("/units/{code}/correction/dropped")
def dropped_correction(code: str, who: Reader, pages: Shared) -> Response:
    """Take a correction or a second read back that was begun."""
    with writing(pages.reviewed.engine) as session:
        _open_read(session, who, code, pages)
        reading.take_back(session, _again(session, who), code)
    return RedirectResponse("/", 303)


def unit_state(
    shown: Reading,
    who: Visitor,
    code: str,
    pages: Pages,
    *,
    draft: Draft | None,
    opened: reading.OpenRead | None,
    database: str,
) -> dict[str, Any]:
    """What the script of a unit's page begins with, as plain values."""
    score = shown.score(pages.protocol)
    return {
        "code": code,
        "reader": who.account.name,
        "mmasi": None if score is None else score.mmasi,
        "views": pages.views_of(code),
        "words": texts(who.language),
        "turn": draft.turn if draft else 0,
        "open": opened is not None,
        "read": opened.name if opened else "",
        "database": database,
        "reading": json.loads(shown.to_json()),
        "scales": dict(pages.protocol.grades),
        "regions": list(MASI_REGIONS),
        "csrf": who.signed_in.csrf,
    }


def _open_read(session: Session, who: Visitor, code: str, pages: Pages) -> reading.OpenRead | None:
    """What may be graded; a unit that is not the visitor's is one that does not exist."""
    try:
        scored = pages.scored_for(who)
        return reading.open_read(session, who.account, code, pages.protocol, scored=scored)
    except ReadingError as error:
        if since := closed_utc(session):
            until = minute_of(since)
            raise HTTPException(409, texts(who.language)["closed"].format(until=until)) from error
        raise HTTPException(404) from error


def _again(session: Session, who: Visitor) -> Account:
    """The account in this transaction, no other act of the same person beside it."""
    account = session.get(Account, who.account.id, with_for_update=True)
    assert account is not None
    return account


def _again_of(session: Session, who: Visitor, pages: Pages) -> list[str]:
    return showing.to_grade_again(session, who.account, pages.scored_for(who))


def _to_adjudicate(session: Session, who: Visitor, pages: Pages) -> tuple[list[str], list[str]]:
    """Units that an adjudicator has locked, and those left to him: none, once he knows the scores."""
    codes = adjudication.adjudicated_by(session, who.account, pages.protocol)
    done = [code for code in codes if reading.entries_of(session, who.account, code)]
    knows = showing.was_shown(session, who.account)
    return done, [] if knows else [code for code in codes if code not in done]


def _told_in_list(session: Session, who: Visitor, pages: Pages) -> dict[str, Any]:
    """What was begun again and is not locked, and what may be graded a second time."""
    begun = [*closing.open_corrections(session), *closing.open_second_reads(session)]
    own = [code for code, name in begun if name == who.account.name]
    return {"begun": own, "again": _again_of(session, who, pages), "database": fact(session, "reading")}


def _software(session: Session, who: Visitor, code: str, pages: Pages) -> SoftwareScore | None:
    """The software's score of a unit that was read, where it is shown to whoever asks by now."""
    scored = pages.scored_for(who)
    is_shown = (
        code in scored
        and reading.entries_of(session, who.account, code)
        and showing.sees_software(session, who.account, scored)
    )
    return pages.reviewed.software[code] if is_shown else None
