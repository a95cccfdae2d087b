"""Who may come in: the token, the host name, and the header that only our own page sends."""

from __future__ import annotations

import hashlib
import hmac
import logging
import math
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sono_models.address import host_of, is_loopback

logger = logging.getLogger(__name__)

REFUSED_EVERY_S = 60.0
"""One who keeps knocking is named in the log so often, not each time."""
OWN_HEADER = "x-sono-view"
"""A page of another origin cannot send it without being asked first, and is not answered (CORS)."""
LANGUAGE = re.compile("[a-z]{2}")
POLICY = (
    b"default-src 'none'",
    b"script-src 'self'",
    b"style-src 'self'",
    b"img-src 'self'",
    b"connect-src 'self'",
    b"base-uri 'none'",
    b"form-action 'none'",
    b"frame-ancestors 'none'",
)
HEADERS = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"; ".join(POLICY)),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)


class Verdict(Enum):
    """What the door says to a request; the words are the answer's text."""

    WELCOME = ""
    FIRST_VISIT = "the token is right: keep it in a cookie, and take it out of the address"
    LOCKED = "This view needs its token. Open the address that sono printed; it ends in ?token=…"
    OTHER_HOST = "This view answers to its own address only. Open it as http://127.0.0.1 or http://localhost."
    FOREIGN_PAGE = "Only this view's own page may do that."


@dataclass(frozen=True, slots=True)
class Asked:
    """What the door looks at in a request. Header names are in lower case."""

    method: str
    path: str
    query: str
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class Door:
    """The rules of one view. `local_only`: bound to loopback, so any other Host is a rebound DNS name."""

    token: str | None
    local_only: bool
    port: int

    def judge(self, asked: Asked) -> Verdict:
        if self.local_only and not is_loopback(host_of(asked.headers.get("host", ""))):
            return Verdict.OTHER_HOST
        if asked.method not in {"GET", "HEAD"} and OWN_HEADER not in asked.headers:
            return Verdict.FOREIGN_PAGE
        if self.token is None or asked.path.startswith("/static/"):
            return Verdict.WELCOME
        if asked.path == "/" and same(parse_qs(asked.query).get("token", [""])[0], self.token):
            return Verdict.FIRST_VISIT
        return Verdict.WELCOME if self._knows(asked.headers) else Verdict.LOCKED

    def _knows(self, headers: dict[str, str]) -> bool:
        assert self.token is not None
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and same(given.strip(), self.token):
            return True
        return same(cookie_of(headers.get("cookie", ""), self.cookie_name), self.cookie_value)

    @property
    def cookie_name(self) -> str:
        """Browsers keep cookies by host, not by port: two views on a host need two names."""
        return f"sono_view_{self.port}"

    @property
    def cookie_value(self) -> str:
        return hashlib.sha256(f"sono view {self.token}".encode()).hexdigest()


class Guard:
    """The door in front of an ASGI application, and the headers on whatever comes out of it."""

    def __init__(self, app: ASGIApp, door: Door, clock: Callable[[], float] = time.monotonic) -> None:
        self._app, self._door, self._clock = app, door, clock
        self._refused_s = -math.inf

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *HEADERS]}
            await send(message)

        verdict = self._door.judge(read_asked(scope))
        app = self._app if verdict is Verdict.WELCOME else self._answer(verdict, scope["query_string"])
        await app(scope, receive, send_guarded)

    def _answer(self, verdict: Verdict, query: bytes) -> Response:
        if verdict is Verdict.FIRST_VISIT:
            language = parse_qs(query.decode("latin-1")).get("lang", [""])[0]
            welcome = RedirectResponse(f"/?lang={language}" if LANGUAGE.fullmatch(language) else "/", 303)
            # Lax, since a strict cookie is withheld when the address was opened from another page.
            welcome.set_cookie(self._door.cookie_name, self._door.cookie_value, httponly=True, samesite="lax")
            return welcome
        self._note_refusal(verdict)
        if verdict is Verdict.LOCKED:
            return PlainTextResponse(verdict.value + "\n", 401, {"www-authenticate": "Bearer"})
        return PlainTextResponse(verdict.value + "\n", 403)

    def _note_refusal(self, verdict: Verdict) -> None:
        again = self._clock() - self._refused_s < REFUSED_EVERY_S
        logger.log(
            logging.DEBUG if again else logging.WARNING, "view: a visitor was refused (%s)", verdict.name.lower()
        )
        if not again:
            self._refused_s = self._clock()


def read_asked(scope: Scope) -> Asked:
    pairs: Iterable[tuple[bytes, bytes]] = scope["headers"]
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in pairs}
    return Asked(scope["method"], scope["path"], scope["query_string"].decode("latin-1"), headers)


def same(given: str, right: str) -> bool:
    """Equal, in a time that does not tell how much of it was right."""
    return hmac.compare_digest(given.encode(), right.encode())


def cookie_of(header: str, name: str) -> str:
    try:
        morsel = SimpleCookie(header).get(name)
    except CookieError:
        return ""
    return "" if morsel is None else morsel.value
