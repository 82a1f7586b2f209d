"""What stands before every route: headers, size of what is sent, and where it was sent from."""

from __future__ import annotations

import hmac
import logging

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE, LANGUAGE = "masi_session", "masi_language"
MOST_BYTES = 64 * 1024
_LOG = logging.getLogger(__name__)
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}


def is_same(one: str, other: str) -> bool:
    """Whether two secrets are the same, in a time that does not tell how far they are."""
    return bool(other) and hmac.compare_digest(one.encode(), other.encode())


class Shield:
    """Adds headers to every answer; refuses what is too long, of another page or for another host.

    Parameters
    ----------
    hosts : frozenset of str
        Names under which this is asked for, without a port; empty where every name is one.
    """

    def __init__(self, app: ASGIApp, *, tls: bool, hosts: frozenset[str] = frozenset()) -> None:
        self.app, self.hosts = app, hosts
        self.headers = dict(_HEADERS)
        if tls:
            self.headers["Strict-Transport-Security"] = "max-age=31536000"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self.headers.items():
                    headers[name] = value
                if scope["path"].startswith("/static/"):
                    headers["Cache-Control"] = "private, max-age=3600"
            await send(message)

        if "\0" in scope["path"]:
            await JSONResponse({"error": "not found"}, 404)(scope, receive, with_headers)
            return
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self.hosts and _without_port(host) not in self.hosts:
            # A foreign page whose name leads here would else try passwords through a reader's browser.
            told = {"error": f"{host!a} is no name of this server. Expected the address that it printed."}
            await JSONResponse(told, 421)(scope, receive, with_headers)
            return
        scope.setdefault("state", {})["form_csrf"] = ""
        if scope["method"] not in ("GET", "HEAD"):
            if not _from_here(headers):
                origin = headers.get("origin", "another page")
                told = {
                    "error": f"sent from {origin!a}, and asked for as {host!a}. Expected the same. A proxy "
                    "in between must pass the header Host on."
                }
                await JSONResponse(told, 403)(scope, receive, with_headers)
                return
            body = await _body(receive)
            if body is None:
                await JSONResponse({"error": "too long"}, 413)(scope, receive, with_headers)
                return
            if headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
                if b"%00" in body or b"\0" in body:  # which PostgreSQL cannot hold
                    await JSONResponse({"error": "not text"}, 422)(scope, receive, with_headers)
                    return
                scope["state"]["form_csrf"] = _token_in(body)
            receive = _replayed(body)
        await self._passed_on(scope, receive, with_headers)

    async def _passed_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        """What fails inside is answered with the same headers, and its traceback goes to the log."""
        begun = False

        async def noted(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self.app(scope, receive, noted)
        except Exception:
            if begun:
                raise
            _LOG.exception("%s %s failed", scope["method"], scope["path"])
            await JSONResponse({"error": "the server failed; what you entered is kept"}, 500)(
                scope, receive, send
            )


def _without_port(host: str) -> str:
    return host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host


def _from_here(headers: Headers) -> bool:
    """Browsers say where a form was sent from; one that says another origin is refused."""
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = headers.get("origin", "")
    return not origin or origin.partition("://")[2] == headers.get("host", "")


def _token_in(body: bytes) -> str:
    """The field csrf of a form; tokens are of letters, digits, - and _, which forms send as they are."""
    fields = (field.partition(b"=") for field in body.split(b"&")[:20])
    return next((value.decode("latin-1") for name, _, value in fields if name == b"csrf"), "")


async def _body(receive: Receive) -> bytes | None:
    """All that was sent; None where it is too long."""
    parts, length = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return b""
        parts.append(message.get("body", b""))
        length += len(parts[-1])
        if length > MOST_BYTES:
            return None
        if not message.get("more_body", False):
            return b"".join(parts)


def _replayed(body: bytes) -> Receive:
    sent = False

    async def receive() -> Message:
        nonlocal sent
        if sent:
            return {"type": "http.disconnect"}
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive
