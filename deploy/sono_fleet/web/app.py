"""The application: routes behind the door, and what is answered when something is wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote, urlsplit

import sqlalchemy as sa
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from sono_fleet.web import api, doings, entry, pages
from sono_fleet.web.asking import Missing, NeedsLogin
from sono_fleet.web.door import Guard
from sono_fleet.web.house import House
from sono_fleet.web.identity import Forbidden
from sono_models import DISCLAIMER, __version__
from sono_models.errors import BadConfig, Refused, SonoError, Stopped, Unavailable

AGAIN_S = 5
TITLES = {
    403: "Not allowed",
    404: "Not there",
    405: "Not like that",
    409: "It cannot be",
    422: "Not understood",
    503: "The database does not answer",
}


def build_app(house: House) -> FastAPI:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        looking = asyncio.create_task(house.live.run())
        yield
        house.live.close()
        await looking

    app = FastAPI(
        title="SonoEdge fleet",
        version=__version__,
        description=f"What the fleet manager's page shows and does. {DISCLAIMER}",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.house = house
    for router in (entry.router, pages.router, doings.router, api.router):
        app.include_router(router)
    app.add_middleware(Guard, door=house.door)
    app.add_exception_handler(NeedsLogin, _to_login)
    for kind in (Refused, Unavailable, Stopped):
        app.add_exception_handler(kind, _problem)
    app.add_exception_handler(sa.exc.TimeoutError, _busy)
    app.add_exception_handler(RequestValidationError, _not_understood)
    app.add_exception_handler(HTTPException, _plain)
    return app


def _to_login(request: Request, _: Exception) -> Response:
    """To the log-in, and from there back to where the visitor was."""
    if _is_for_programs(request):
        words = {"thing": "session", "reason": "there is none, or it has ended", "next_step": "POST /login"}
        return JSONResponse(words, 401)
    path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    if request.method not in {"GET", "HEAD"} or "hx-request" in request.headers:
        came = urlsplit(request.headers.get("hx-current-url") or request.headers.get("referer", ""))
        path = came.path + (f"?{came.query}" if came.query else "")
    there = f"/login?to={quote(path or '/', safe='')}"
    if "hx-request" in request.headers:
        return Response(status_code=401, headers={"hx-redirect": there})
    if request.headers.get("accept") == "text/event-stream":
        return Response(status_code=401)
    return RedirectResponse(there, 303)


def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, SonoError)
    status = 503
    if isinstance(error, Refused):
        status = {Missing: 404, Forbidden: 403, BadConfig: 422}.get(type(error), 409)
    return _told(request, error, status)


def _busy(request: Request, error: Exception) -> Response:
    del error
    return _told(request, Unavailable("database", "every connection is in use", "It is tried again"), 503)


def _not_understood(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first: dict[str, Any] = dict(error.errors()[0])
    where = " ".join(str(part) for part in first["loc"][1:]) or "request"
    return _told(request, BadConfig(where, str(first["msg"]), "Go back and mend it"), 422)


def _plain(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    thing = request.url.path[:100]
    return _told(request, Missing(thing, str(error.detail).lower(), "Start from /devices"), error.status_code)


def _told(request: Request, error: SonoError, status: int) -> Response:
    """Thing, reason, next step; it asks nobody anything, least of all the database."""
    headers = {"retry-after": str(AGAIN_S)} if status == 503 else {}
    if _is_for_programs(request):
        words = {"thing": error.thing, "reason": error.reason, "next_step": error.next_step}
        return JSONResponse(words, status, headers)
    house: House = request.app.state.house
    again_s = AGAIN_S if status == 503 and request.method == "GET" else None
    title = TITLES.get(status, "That did not work")
    answer = house.plain("error.html", status=status, problem=error, title=title, again_s=again_s)
    answer.headers.update(headers)
    return answer


def _is_for_programs(request: Request) -> bool:
    return request.url.path.startswith("/api/") or request.url.path == "/healthz"
