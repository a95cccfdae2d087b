"""The same for programs: JSON of what the pages show. Log in as a person does; the session's cookie is the key."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query

from sono_fleet.rollout import desk
from sono_fleet.rollout.desk import Preview
from sono_fleet.rollout.fleet import Release
from sono_fleet.web import device as devices_story
from sono_fleet.web import devices as devices_list
from sono_fleet.web import lists
from sono_fleet.web.asking import InHouse, Missing, own_form
from sono_fleet.web.burden import BurdenLine
from sono_fleet.web.chart import Chart
from sono_fleet.web.device import AlertLine, UpdateLine
from sono_fleet.web.devices import DeviceLine, DeviceList, Sort, Trouble, Wanted
from sono_fleet.web.lists import AuditLine, RolloutLine, Verified
from sono_fleet.web.pages import Number, Text, Window, burden_of, record_of

router = APIRouter(prefix="/api/v1", tags=["api"], dependencies=[Depends(own_form)])


@router.get("/devices")
def devices(
    house: InHouse,
    q: Text = "",
    show: Trouble | Literal[""] = "",
    site: Text = "",
    sort: Sort = "name",
    page: Number = 1,
) -> DeviceList:
    return devices_list.listed(house.database, Wanted(q, show or None, site, sort, page), house.now())


@router.get("/devices/{site}/{device}")
def device(house: InHouse, site: str, device: str) -> DeviceLine:
    found = devices_list.one(house.database, site, device, house.now())
    if found is None:
        raise Missing(f"device {site}/{device}", "it never said anything", "See /api/v1/devices")
    return found


@router.get("/devices/{site}/{device}/alerts")
def device_alerts(house: InHouse, site: str, device: str) -> list[AlertLine]:
    """The newest, without what could single a patient out."""
    return list(_story(house, site, device).alerts)


@router.get("/devices/{site}/{device}/updates")
def device_updates(house: InHouse, site: str, device: str) -> list[UpdateLine]:
    return list(_story(house, site, device).updates)


@router.get("/rollouts")
def rollouts(house: InHouse, page: Number = 1) -> list[RolloutLine]:
    return lists.rollouts_on(house.database, page)[1]


@router.get("/rollouts/{name}")
def rollout(house: InHouse, name: str) -> Chart:
    return house.charts.drawn(record_of(house, name), house.now())


@router.get("/rollouts/{name}/plan")
def plan(house: InHouse, name: str) -> list[Preview]:
    """Who gets what when, were it approved now and did all go well."""
    record, now = record_of(house, name), house.now()
    return desk.preview(record.plan, desk.fleet_for(house.records, record.plan, now), now)


@router.get("/releases")
def releases(house: InHouse) -> list[Release]:
    return house.shelf.releases()


@router.get("/burden")
def burden(
    house: InHouse, window: Window = "week", most: Annotated[int, Query(ge=1, le=100_000)] = 1000
) -> list[BurdenLine]:
    return burden_of(house, window)[:most]


@router.get("/alerts")
def alerts(house: InHouse, site: Text = "", page: Number = 1) -> list[dict[str, Any]]:
    """What a fleet manager must hear of; `cleared_at` is null until it has passed."""
    return lists.fleet_alerts_on(house.database, page, site)[1]


@router.get("/audit")
def audit(house: InHouse, rollout: Text = "", actor: Text = "", page: Number = 1) -> list[AuditLine]:
    return lists.audit_on(house.database, page, rollout, actor)[1]


@router.get("/audit/verified")
def verified(house: InHouse) -> Verified:
    return house.verifier.verified(house.now())


def _story(house: InHouse, site: str, device: str) -> devices_story.Story:
    found = devices_story.story(house.database, site, device, house.now())
    if found is None:
        raise Missing(f"device {site}/{device}", "it never said anything", "See /api/v1/devices")
    return found
