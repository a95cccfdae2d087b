"""The pages that only show: devices, roll-outs, versions, burden, alerts, the audit log. Never a picture."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse

from sono_fleet.rollout import desk
from sono_fleet.rollout.records import Record
from sono_fleet.web import device as devices_story
from sono_fleet.web import devices as devices_list
from sono_fleet.web import lists
from sono_fleet.web.asking import InHouse, InSession, Missing, own_form
from sono_fleet.web.burden import WINDOWS, BurdenLine, burdens
from sono_fleet.web.devices import TROUBLES, Sort, Trouble, Wanted
from sono_fleet.web.house import House
from sono_fleet.web.paging import PER_PAGE, Page
from sono_fleet.web.sessions import Session
from sono_models.errors import BadOrder, Refused, Unavailable

router = APIRouter(tags=["pages"], default_response_class=HTMLResponse, dependencies=[Depends(own_form)])
Number = Annotated[int, Query(ge=1, le=1_000_000)]
Text = Annotated[str, Query(max_length=100)]
Window = Literal["day", "week", "month"]
BURDEN_FRESH = timedelta(seconds=30)
PLAN_ROWS = 200


@router.get("/")
def front() -> Response:
    return RedirectResponse("/devices", 303)


@router.get("/devices")
def devices(
    request: Request,
    house: InHouse,
    session: InSession,
    q: Text = "",
    show: Trouble | Literal[""] = "",
    site: Text = "",
    sort: Sort = "name",
    page: Number = 1,
) -> Response:
    wanted = Wanted(q, show or None, site, sort, page)
    found = devices_list.listed(house.database, wanted, house.now())
    return house.show(request, "devices.html", session, found=found, wanted=wanted, troubles=TROUBLES)


@router.get("/devices/{site}/{device}")
def device(request: Request, house: InHouse, session: InSession, site: str, device: str) -> Response:
    story = devices_story.story(house.database, site, device, house.now())
    if story is None:
        raise Missing(f"device {site}/{device}", "it never said anything", "Look for it in the list of devices")
    mine = next((one for one in burden_of(house, "week") if (one.site, one.device) == (site, device)), None)
    return house.show(request, "device.html", session, story=story, line=story.line, burden=mine)


@router.get("/rollouts")
def rollouts(request: Request, house: InHouse, session: InSession, page: Number = 1) -> Response:
    found, lines = lists.rollouts_on(house.database, page)
    return house.show(request, "rollouts.html", session, page=found, lines=lines)


@router.get("/rollouts/{name}")
def rollout(
    request: Request,
    house: InHouse,
    session: InSession,
    name: str,
    page: Number = 1,
    wave: Annotated[int | None, Query(ge=0, le=1000)] = None,
    failed: bool = False,
) -> Response:
    return rollout_page(request, house, session, name, page=page, wave=wave, failed=failed)


def rollout_page(
    request: Request, house: House, session: Session, name: str, *, problem: Refused | None = None, **of: Any
) -> Response:
    record = record_of(house, name)
    page, members = lists.members_on(
        house.database, record.plan, of.get("page", 1), wave=of.get("wave"), failed=of.get("failed", False)
    )
    log_page, entries = lists.audit_on(house.database, 1, rollout=name)
    values = {
        "chart": house.charts.drawn(record, house.now()),
        "plan": record.plan,
        "page": page,
        "members": members,
        "wave": of.get("wave"),
        "failed": of.get("failed", False),
        "entries": entries[:10],
        "decisions": log_page.total,
    }
    status = 200 if problem is None else 409
    return house.show(request, "rollout.html", session, status=status, problem=problem, **values)


@router.get("/rollouts/{name}/actions")
def actions(request: Request, house: InHouse, session: InSession, name: str) -> Response:
    """The buttons that this state and this person's role have."""
    drawn = house.charts.drawn(record_of(house, name), house.now())
    return house.show(request, "_actions.html", session, chart=drawn)


@router.get("/rollouts/{name}/live")
def live(house: InHouse, session: InSession, name: str, state: Text = "") -> Response:
    """Server-sent events: `chart`, `state`, `trouble`, `gone`."""
    record_of(house, name)
    if house.live.full:
        raise Unavailable("live view", "too many pages watch already, or the server is stopping", "Load it again later")
    stream = house.live.stream(name, state, lambda: house.sessions.of(session.token, house.now()) is not None)
    return StreamingResponse(stream, media_type="text/event-stream", headers={"x-accel-buffering": "no"})


@router.get("/rollouts/{name}/plan")
def plan(request: Request, house: InHouse, session: InSession, name: str, page: Number = 1) -> Response:
    """Who gets what when, were it approved now and did all go well."""
    record, now = record_of(house, name), house.now()
    rows = desk.preview(record.plan, desk.fleet_for(house.records, record.plan, now), now)
    found, shown = cut(rows, page)
    summary = summed(rows)
    return house.show(
        request, "plan.html", session, plan=record.plan, rows=shown, page=found, summary=summary, name=name
    )


@router.get("/releases")
def releases(request: Request, house: InHouse, session: InSession) -> Response:
    return house.show(request, "releases.html", session, lines=house.shelf.releases())


@router.get("/releases/{sha256}")
def release(request: Request, house: InHouse, session: InSession, sha256: str) -> Response:
    found = house.shelf.one(sha256)
    if found is None:
        raise Missing(f"release {sha256[:12]}", "none is registered with this sha256", "See the list of versions")
    return house.show(request, "release.html", session, release=found[0], opened=found[1])


@router.get("/burden")
def burden(request: Request, house: InHouse, session: InSession, window: Window = "week", page: Number = 1) -> Response:
    found, lines = cut(burden_of(house, window), page)
    return house.show(request, "burden.html", session, page=found, lines=lines, window=window, windows=WINDOWS)


@router.get("/alerts")
def alerts(request: Request, house: InHouse, session: InSession, site: Text = "", page: Number = 1) -> Response:
    found, lines = lists.fleet_alerts_on(house.database, page, site)
    return house.show(request, "alerts.html", session, page=found, lines=lines, site=site)


@router.get("/audit")
def audit(
    request: Request, house: InHouse, session: InSession, rollout: Text = "", actor: Text = "", page: Number = 1
) -> Response:
    found, lines = lists.audit_on(house.database, page, rollout, actor)
    verified = house.verifier.verified(house.now())
    values: dict[str, Any] = {"page": found, "lines": lines, "rollout": rollout, "actor": actor, "verified": verified}
    return house.show(request, "audit.html", session, **values)


def record_of(house: House, name: str) -> Record:
    """Raises Missing."""
    try:
        return house.records.one(name)
    except BadOrder as problem:
        raise Missing(f"roll-out {name}", "there is none of this name", "See the list of roll-outs") from problem


def burden_of(house: House, window: Window) -> list[BurdenLine]:
    hours, now = WINDOWS[window], house.now()
    counted = house.burdens.get(hours)
    if counted is None or now - counted[0] > BURDEN_FRESH:
        counted = (now, burdens(house.database, hours, now))
        house.burdens[hours] = counted
    return counted[1]


def cut(rows: list[Any], number: int) -> tuple[Page, list[Any]]:
    page = Page(max(1, min(number, Page(1, len(rows)).last)), len(rows))
    return page, rows[(page.number - 1) * PER_PAGE : page.number * PER_PAGE]


def summed(rows: list[desk.Preview]) -> list[dict[str, Any]]:
    """By wave: how many, from when, until when; and by reason those that get no order."""
    waves: dict[str, dict[str, Any]] = {}
    for row in rows:
        name = row.wave or row.why_not
        line = waves.setdefault(name, {"name": name, "may": bool(row.wave), "count": 0, "start": None, "end": None})
        line["count"] += 1
        if row.not_before is not None and row.deadline is not None:
            line["start"] = min(filter(None, (line["start"], row.not_before)))
            line["end"] = max(filter(None, (line["end"], row.deadline)))
    return sorted(waves.values(), key=lambda line: not line["may"])
