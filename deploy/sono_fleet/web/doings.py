"""What a person does here: say a word on a roll-out, make one, stop everything. The desk and the law decide."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from sono_fleet.rollout import desk
from sono_fleet.rollout.asked import Asked, planned
from sono_fleet.rollout.words import WAVES
from sono_fleet.web.asking import InHouse, InSession, own_form
from sono_fleet.web.door import way_back
from sono_fleet.web.house import House
from sono_fleet.web.identity import allow
from sono_fleet.web.pages import PLAN_ROWS, rollout_page, summed
from sono_fleet.web.sessions import Session
from sono_models.errors import BadConfig, BadOrder, Refused

router = APIRouter(tags=["doings"], default_response_class=HTMLResponse, dependencies=[Depends(own_form)])
Said = Annotated[str, Form(max_length=500)]
Long = Annotated[str, Form(max_length=8000)]


@dataclass(frozen=True, slots=True)
class Typed:
    """The form of a new roll-out, as it was typed."""

    name: str = ""
    release: str = ""
    """`bundle NAME-VERSION` or `profile NAME-VERSION`."""
    waves: str = "\n".join(WAVES)
    sites: str = ""
    tags: str = ""
    devices: str = ""
    limits: str = ""
    soak: str = "24h"
    deadline: str = "24h"
    sample: str = "1"
    max_failures: str = "0"
    spread: str = "0s"
    four_eyes: str = "on"

    def asked(self, by: str) -> Asked:
        """Raises BadConfig."""
        kind, _, name = self.release.partition(" ")
        return Asked(
            self.name.strip(),
            name if kind == "bundle" else "",
            name if kind == "profile" else "",
            tuple(line.strip() for line in self.waves.splitlines() if line.strip()),
            _words(self.sites),
            _words(self.tags),
            _words(self.devices),
            _words(self.limits),
            self.soak,
            self.deadline,
            _count("sample", self.sample),
            _count("failures that are borne", self.max_failures),
            spread=self.spread,
            four_eyes=self.four_eyes == "on",
            by=by,
        )


@router.get("/new-rollout")
def new(request: Request, house: InHouse, session: InSession) -> Response:
    """The form."""
    allow(session.person, "create")
    return _form(request, house, session, Typed())


@router.post("/new-rollout")
def make(
    *,
    request: Request,
    house: InHouse,
    session: InSession,
    action: Annotated[Literal["look", "make"], Form()],
    name: Said = "",
    release: Said = "",
    waves: Long = "",
    sites: Long = "",
    tags: Long = "",
    devices: Long = "",
    limits: Long = "",
    soak: Said = "24h",
    deadline: Said = "24h",
    sample: Said = "1",
    max_failures: Said = "0",
    spread: Said = "0s",
    four_eyes: Said = "",
) -> Response:
    """`look`: who would get what when, nothing is written. `make`: it is written down and waits for approval."""
    allow(session.person, "create")
    typed = Typed(
        name, release, waves, sites, tags, devices, limits, soak, deadline, sample, max_failures, spread, four_eyes
    )
    try:
        plan, now = planned(house.database, typed.asked(session.person.name)), house.now()
        if action == "make":
            desk.create(house.records, plan, now)
            return RedirectResponse(f"/rollouts/{plan.rollout}", 303)
        rows = desk.preview(plan, desk.fleet_for(house.records, plan, now), now)
    except (BadOrder, BadConfig) as problem:
        return _form(request, house, session, typed, problem=problem)
    return _form(request, house, session, typed, rows=rows)


@router.post("/rollouts/{name}/say")
def say(
    request: Request,
    house: InHouse,
    session: InSession,
    name: str,
    word: Annotated[Literal["approve", "pause", "resume", "abort", "back"], Form()],
    reason: Said = "",
) -> Response:
    """303 to the roll-out; 409 with the reason where the word means nothing."""
    allow(session.person, word)
    try:
        desk.say(house.records, name, word, house.now(), by=session.person.name, reason=reason)
    except BadOrder as problem:
        return rollout_page(request, house, session, name, problem=problem)
    return RedirectResponse(f"/rollouts/{name}", 303)


@router.post("/stop-all")
def stop_all(house: InHouse, session: InSession, reason: Said = "", to: Said = "/rollouts") -> Response:
    """Everything stands still from here on."""
    allow(session.person, "stop-all")
    desk.stop_all(house.records, house.now(), by=session.person.name, reason=reason.strip() or "no reason given")
    return RedirectResponse(way_back(to), 303)


@router.post("/stop-all/release")
def release(house: InHouse, session: InSession, to: Said = "/rollouts") -> Response:
    """Roll-outs may move again; each stays paused until it is resumed."""
    allow(session.person, "release")
    desk.release(house.records, house.now(), by=session.person.name)
    return RedirectResponse(way_back(to), 303)


def _form(
    request: Request,
    house: House,
    session: Session,
    typed: Typed,
    *,
    problem: Refused | None = None,
    rows: list[desk.Preview] | None = None,
) -> Response:
    values = {
        "typed": typed,
        "releases": house.shelf.releases(),
        "rows": None if rows is None else rows[:PLAN_ROWS],
        "count": len(rows or ()),
        "summary": summed(rows or []),
    }
    status = 200 if problem is None else 422
    return house.show(request, "new.html", session, status=status, problem=problem, **values)


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.replace(",", " ").split())


def _count(what: str, text: str) -> int:
    if not text.strip().isdecimal() or len(text) > 7:
        raise BadConfig(what, f"{text!r} is not a number of devices", "Such as 1")
    return int(text)
