"""Middleware for every request: checks of origin and body size, and security headers on the response.

The server listens on this machine only, but any page open in the browser could still send requests to it. DNS
rebinding is stopped by checking the Host header, requests from other pages by checking Origin.
"""

import asyncio

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOSTS = ("127.0.0.1", "localhost")
SILENCE = 60.0  # seconds without data before a body times out
SAFE_METHODS = ("GET", "HEAD")
SECURITY_HEADERS = {
    # niivue embeds its font as a data: URL; nothing is loaded from other hosts
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",  # responses contain scans and must not reach a browser's disk cache
}


class SecurityHeaders:
    """Adds SECURITY_HEADERS to every response."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(SECURITY_HEADERS)
            await send(message)

        await self.app(scope, receive, send_with_headers)


class OwnPageOnly:
    """Refuses requests sent by other pages (403). Programs that send no Origin, such as curl, are allowed."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] not in SAFE_METHODS and not _is_own(Headers(scope=scope)):
            refusal = JSONResponse({"error": "sent by another page; open the address of btlib serve itself"}, 403)
            await refusal(scope, receive, send)
        else:
            await self.app(scope, receive, send)


def _is_own(headers: Headers) -> bool:
    own = f"http://{headers.get('host')}"
    return headers.get("origin", own) == own and headers.get("sec-fetch-site", "same-origin") == "same-origin"


class BodyLimit:
    """Rejects a body of more than `limit` bytes (413), by its announced length or while it streams in.

    Also rejects one that stalls (408), and one that would raise the bytes of all unanswered requests above `together`
    (503).
    """

    def __init__(self, app: ASGIApp, limit: int, together: int) -> None:
        self.app = app
        self.limit = limit
        self.together = together
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        received, more = 0, True

        async def receive_within_limit() -> Message:
            nonlocal received, more
            message = await _receive_in_time(receive) if more else await receive()
            more = message.get("more_body", False)
            received += len(message.get("body", b""))
            self._held += len(message.get("body", b""))
            if received > self.limit:
                raise self._too_large()
            if self._held > self.together:
                raise HTTPException(503, "too many uploads at once; try again in a few minutes")
            return message

        if int(Headers(scope=scope).get("content-length", 0)) > self.limit:
            refusal = self._too_large()
            await JSONResponse({"error": refusal.detail}, refusal.status_code)(scope, receive, send)
            return
        try:
            await self.app(scope, receive_within_limit, send)
        finally:
            self._held -= received

    def _too_large(self) -> HTTPException:
        return HTTPException(413, f"more than {self.limit // 2**20} MiB; send only one case")


async def _receive_in_time(receive: Receive) -> Message:
    try:
        async with asyncio.timeout(SILENCE):
            return await receive()
    except TimeoutError:
        raise HTTPException(408, f"no data received for {SILENCE:.0f} s; send it again") from None
