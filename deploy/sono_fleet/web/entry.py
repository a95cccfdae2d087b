"""In and out: log-in, log-out, and what the world may read without either."""

from __future__ import annotations

import hmac
import secrets
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response

from sono_fleet.web.asking import InHouse, InSession, Missing, own_form
from sono_fleet.web.door import way_back
from sono_fleet.web.house import House, assets
from sono_fleet.web.identity import NotIn
from sono_fleet.web.sessions import LASTS, csrf_of

router = APIRouter(tags=["entry"])
VISIT_S = 3600


@router.get("/static/{name}", include_in_schema=False)
def static(name: str) -> Response:
    asset = assets().get(name)
    if asset is None:
        return PlainTextResponse("No such file.\n", 404)
    return Response(asset.body, media_type=asset.media, headers={"cache-control": "public, max-age=3600"})


@router.get("/healthz")
def healthz(house: InHouse) -> dict[str, bool]:
    """Whether the database answers; 503 when it does not."""
    house.records.stopped()
    return {"ok": True}


@router.get("/login", response_class=HTMLResponse)
def login_page(request: Request, house: InHouse, to: str = "/") -> Response:
    """The log-in form; or the way to a provider elsewhere."""
    visit = request.cookies.get(house.door.visit_cookie) or secrets.token_urlsafe(24)
    elsewhere = house.identity.elsewhere(csrf_of(visit))
    answer = RedirectResponse(elsewhere, 303) if elsewhere else _form(house, visit, way_back(to))
    _keep(house, answer, house.door.visit_cookie, visit, VISIT_S)
    return answer


@router.post("/login", response_class=HTMLResponse)
def login(
    request: Request,
    house: InHouse,
    name: Annotated[str, Form()] = "",
    password: Annotated[str, Form()] = "",
    state: Annotated[str, Form()] = "",
    to: Annotated[str, Form()] = "/",
) -> Response:
    """Lets a person in: 303 to where he wanted to go; 401 with the form again."""
    visit = request.cookies.get(house.door.visit_cookie, "")
    try:
        _check_visit(visit, state)
        return _let_in(house, house.identity.proves({"name": name, "password": password}, house.now()), way_back(to))
    except NotIn as problem:
        fresh = visit or secrets.token_urlsafe(24)
        answer = _form(house, fresh, way_back(to), name=name, problem=problem, status=401)
        _keep(house, answer, house.door.visit_cookie, fresh, VISIT_S)
        return answer


@router.get("/login/back", response_class=HTMLResponse)
def login_back(request: Request, house: InHouse) -> Response:
    """Where a provider elsewhere sends a visitor back to, with its proof."""
    visit = request.cookies.get(house.door.visit_cookie, "")
    if not house.identity.elsewhere("probe"):
        raise Missing(request.url.path, "people log in here by name and password", "Open /login")
    try:
        _check_visit(visit, request.query_params.get("state", ""))
        return _let_in(house, house.identity.proves(dict(request.query_params), house.now()), "/")
    except NotIn as problem:
        return house.plain("error.html", status=401, problem=problem, title="Not logged in", again_s=None)


@router.post("/logout", dependencies=[Depends(own_form)])
def logout(house: InHouse, session: InSession) -> Response:
    house.sessions.end(session.token)
    answer = RedirectResponse("/login", 303)
    answer.delete_cookie(house.door.cookie, secure=house.door.secure, httponly=True, samesite="strict")
    return answer


def _let_in(house: House, name: str, to: str) -> Response:
    token = house.sessions.begin(name, house.now())
    answer = RedirectResponse(to, 303)
    _keep(house, answer, house.door.cookie, token, int(LASTS.total_seconds()))
    return answer


def _check_visit(visit: str, state: str) -> None:
    if not visit or not hmac.compare_digest(state.encode(), csrf_of(visit).encode()):
        raise NotIn("log-in", "this form is too old, or the browser keeps no cookies", "Try again")


def _form(
    house: House, visit: str, to: str, *, name: str = "", problem: NotIn | None = None, status: int = 200
) -> HTMLResponse:
    return house.plain("login.html", status=status, state=csrf_of(visit), to=to, name=name, problem=problem)


def _keep(house: House, answer: Response, name: str, value: str, seconds: int) -> None:
    # Lax for the visit alone: a provider elsewhere sends the visitor back from its own site
    same_site = "lax" if name == house.door.visit_cookie else "strict"
    answer.set_cookie(name, value, max_age=seconds, httponly=True, secure=house.door.secure, samesite=same_site)  # type: ignore[arg-type]
