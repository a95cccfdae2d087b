"""In front of the application: the headers on whatever comes out, and what is not even looked at."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sono_models.address import host_of, is_loopback

BODY_MOST = 64 * 1024
POLICY = (
    b"default-src 'none'",
    b"script-src 'self'",
    b"style-src 'self'",
    b"img-src 'self'",
    b"connect-src 'self'",
    b"base-uri 'none'",
    b"form-action 'self'",
    b"frame-ancestors 'none'",
)
HEADERS = (
    (b"content-security-policy", b"; ".join(POLICY)),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
    (b"referrer-policy", b"same-origin"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
)
NO_STORE = (b"cache-control", b"no-store")
HSTS = (b"strict-transport-security", b"max-age=31536000")


@dataclass(frozen=True, slots=True)
class Door:
    """`local_only`: bound to loopback, so any other Host is a rebound DNS name. `secure`: browsers come by TLS."""

    local_only: bool
    secure: bool

    @property
    def cookie(self) -> str:
        """The session's cookie; a browser takes a `__Host-` one by TLS only, and from this host only."""
        return "__Host-sono-fleet" if self.secure else "sono-fleet"

    @property
    def visit_cookie(self) -> str:
        """Of a visitor who has not logged in: what makes the log-in form ours."""
        return f"{self.cookie}-visit"


class Guard:
    def __init__(self, app: ASGIApp, door: Door) -> None:
        self._app, self._door = app, door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *self._headers(message)]}
            await send(message)

        refusal = self._refusal(scope)
        await (self._app if refusal is None else refusal)(scope, receive, send_guarded)

    def _headers(self, message: Message) -> list[tuple[bytes, bytes]]:
        names = {name.lower() for name, _ in message["headers"]}
        extra = [] if NO_STORE[0] in names else [NO_STORE]
        return [*HEADERS, *extra, *([HSTS] if self._door.secure else [])]

    def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        if self._door.local_only and not is_loopback(host_of(headers.get(b"host", ""))):
            return PlainTextResponse("This page answers to its own address only, such as http://127.0.0.1.\n", 421)
        if scope["method"] in {"GET", "HEAD"}:
            return None
        if headers.get(b"sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
            return PlainTextResponse("Only this page's own forms may do that.\n", 403)
        length = headers.get(b"content-length", "")
        if not length.isdigit():
            return PlainTextResponse("A request has to say how long it is.\n", 411)
        if int(length) > BODY_MOST:
            return PlainTextResponse(f"Longer than {BODY_MOST} bytes.\n", 413)
        return None


def way_back(said: str) -> str:
    """A path of this page to go to after the log-in; whatever else is said leads to the front page."""
    plain = said.startswith("/") and not said.startswith(("//", "/log")) and "\\" not in said and said.isprintable()
    return said if plain and len(said) <= 500 else "/"
