"""What a route may rely on: the house, a session that holds, a form that is ours."""

from __future__ import annotations

import hmac
from typing import Annotated

from fastapi import Depends, Request

from sono_fleet.web.house import House
from sono_fleet.web.identity import Forbidden
from sono_fleet.web.sessions import Session
from sono_models.errors import Refused

HEADER = "x-sono-form"


class NeedsLogin(Exception):
    """There is no session, or it has ended."""


class Missing(Refused):
    """What the address names is not there."""


def the_house(request: Request) -> House:
    house: House = request.app.state.house
    return house


InHouse = Annotated[House, Depends(the_house)]


def the_session(request: Request, house: InHouse) -> Session:
    found = house.sessions.of(request.cookies.get(house.door.cookie, ""), house.now())
    if found is None:
        raise NeedsLogin
    return found


InSession = Annotated[Session, Depends(the_session)]


async def own_form(request: Request, session: InSession) -> None:
    """Every request that changes something carries what only a page of this session knows. Raises Forbidden."""
    if request.method in {"GET", "HEAD"}:
        return
    given = request.headers.get(HEADER, "")
    if not given:
        field = (await request.form()).get("form", "")
        given = field if isinstance(field, str) else ""
    if not hmac.compare_digest(given.encode(), session.csrf.encode()):
        reason = "the form is not from this page, or from an older log-in"
        raise Forbidden("form", reason, "Go back, load the page again and repeat it")
