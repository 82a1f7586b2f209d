"""What the statistician asks for: reads and audit trail as tables, and the trail as a page."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter, Request, Response
from sqlalchemy.orm import Session

from masi_vision.review import altered
from masi_vision.review.audit import note, server_clock_set_back
from masi_vision.review.database import looking, writing
from masi_vision.review.export import audit_csv, reads_csv
from masi_vision.review.pages import Pages, Shared

_ROWS_OF_PAGE = 500

routes = APIRouter()


@routes.get("/reads.csv")
def reads(request: Request, pages: Shared) -> Response:
    """Every locked read, and what is due."""
    return _table(request, pages, lambda session: reads_csv(session, pages.protocol), "reads.csv")


@routes.get("/audit.csv")
def audit(request: Request, pages: Shared) -> Response:
    """The whole trail."""
    return _table(request, pages, audit_csv, "audit.csv")


@routes.get("/audit")
def audit_page(request: Request, pages: Shared, first: int | None = None) -> Response:
    """The trail, a part at a time, and what is wrong with it."""
    who = pages.visitor(request, "statistician")
    with looking(pages.reviewed.engine) as session:
        events, wrong = altered.looked_through(session)
    parts = [(one, one + _ROWS_OF_PAGE - 1) for one in range(1, len(events) + 1, _ROWS_OF_PAGE)]
    part = next((one for one in parts if one[0] == first), parts[-1])  # the newest
    shown = events[part[0] - 1 : part[1]]
    told = {
        "rows": len(events),
        "events": shown,
        "remarks": server_clock_set_back(events),
        "parts": parts,
        "part": part,
    }
    return pages.page("audit", request, who, faults=wrong, **told)


def _table(request: Request, pages: Pages, made: Callable[[Session], str], name: str) -> Response:
    account = pages.visitor(request, "statistician").account
    with writing(pages.reviewed.engine) as session:
        note(session, account.name, account.role, "downloaded", name)
    with looking(pages.reviewed.engine) as session:  # a long table keeps nobody from saving
        text = made(session)
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(text, media_type="text/csv; charset=utf-8", headers=headers)
