"""The page's other lists, each a page of rows that the database cut: roll-outs, members, fleet alerts, audit."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from sono_fleet.database import Database
from sono_fleet.rollout import audit as log
from sono_fleet.rollout.course import HOLDS, State
from sono_fleet.rollout.plan import Plan
from sono_fleet.rollout.records import STOP_ALL
from sono_fleet.tables import audit, fleet_alerts, members, rollouts, switch
from sono_fleet.web.chart import in_waves
from sono_fleet.web.paging import Page, page_of
from sono_models.messages import rfc3339


@dataclass(frozen=True, slots=True)
class RolloutLine:
    rollout: str
    target: str
    state: str
    wave: str
    waves: str
    reason: str
    by: str
    created_at: str
    devices: int
    failed: int
    good: int


@dataclass(frozen=True, slots=True)
class MemberLine:
    site: str
    device: str
    wave: str
    standing: str
    code: str
    reason: str
    previous: str
    deadline: str


@dataclass(frozen=True, slots=True)
class AuditLine:
    sequence: int
    at: str
    actor: str
    action: str
    rollout: str
    evidence: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Overall:
    """What stands on every page."""

    stopped: str
    """Why everything is stopped; empty: it is not."""
    stopped_by: str
    stopped_at: str
    open_alerts: int
    waiting: int
    """Roll-outs that wait for a person."""


class _Course(msgspec.Struct):
    wave: int
    reason: str


def overall(database: Database) -> Overall:
    """In one query."""
    still_open = sa.select(sa.func.count()).select_from(fleet_alerts).where(fleet_alerts.c.cleared_at.is_(None))
    waits = sa.select(sa.func.count()).select_from(rollouts).where(rollouts.c.state == State.WAITING)
    stop = switch.c.name == STOP_ALL
    columns = (
        sa.select(column).where(stop).scalar_subquery() for column in (switch.c.reason, switch.c.actor, switch.c.at)
    )
    with database.reading() as connection:
        row = connection.execute(sa.select(*columns, still_open.scalar_subquery(), waits.scalar_subquery())).one()
    return Overall(row[0] or "", row[1] or "", row[2] or "", row[3], row[4])


def rollouts_on(database: Database, page: int) -> tuple[Page, list[RolloutLine]]:
    """What may still move first, then the newest."""
    counts = (
        sa.select(
            members.c.rollout,
            sa.func.count().label("devices"),
            sa.func.sum(sa.case((members.c.standing.startswith("failed:"), 1), else_=0)).label("failed"),
            sa.func.sum(sa.case((members.c.standing == "good", 1), else_=0)).label("good"),
        )
        .group_by(members.c.rollout)
        .subquery()
    )
    over = sa.case((rollouts.c.state.in_(list(HOLDS)), 0), else_=1)
    query = (
        sa.select(rollouts, counts.c.devices, counts.c.failed, counts.c.good)
        .outerjoin(counts, counts.c.rollout == rollouts.c.id)
        .order_by(over, rollouts.c.created_at.desc(), rollouts.c.id)
    )
    with database.reading() as connection:
        found, rows = page_of(connection, query, page)
    return found, [_rollout(row) for row in rows]


def members_on(
    database: Database, plan: Plan, page: int, *, wave: int | None = None, failed: bool = False
) -> tuple[Page, list[MemberLine]]:
    query = sa.select(members).where(members.c.rollout == plan.rollout)
    if wave is not None:
        query = query.where(members.c.wave == wave)
    if failed:
        query = query.where(members.c.standing.startswith("failed:"))
    with database.reading() as connection:
        found, rows = page_of(connection, query.order_by(members.c.wave, members.c.site, members.c.device), page)
    return found, [_member(plan, row) for row in rows]


def fleet_alerts_on(database: Database, page: int, site: str = "") -> tuple[Page, list[dict[str, Any]]]:
    """Those that have not passed first."""
    query = sa.select(fleet_alerts)
    if site:
        query = query.where(fleet_alerts.c.site == site)
    passed = sa.case((fleet_alerts.c.cleared_at.is_(None), 0), else_=1)
    with database.reading() as connection:
        return page_of(connection, query.order_by(passed, fleet_alerts.c.id.desc()), page)


def audit_on(database: Database, page: int, rollout: str = "", actor: str = "") -> tuple[Page, list[AuditLine]]:
    query = sa.select(audit).order_by(audit.c.sequence.desc())
    if rollout:
        query = query.where(audit.c.rollout == rollout)
    if actor:
        query = query.where(audit.c.actor == actor)
    with database.reading() as connection:
        found, rows = page_of(connection, query, page)
    names = ("sequence", "at", "actor", "action", "rollout")
    return found, [AuditLine(**{name: row[name] for name in names}, evidence=_tree(row["body"])) for row in rows]


@dataclass(frozen=True, slots=True)
class Verified:
    entries: int
    head: str
    broken: str
    at: str


class Verifier:
    """Goes through the whole chain again only when it has grown or a minute has passed: for all who look."""

    FRESH_S = 60.0

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: tuple[datetime, Verified] | None = None

    def verified(self, at: datetime) -> Verified:
        if self._known is not None and (at - self._known[0]).total_seconds() < self.FRESH_S:
            return self._known[1]
        with self._database.reading() as connection:
            found = log.verify(connection)
        self._known = (at, Verified(found.entries, found.head, found.broken, rfc3339(at)))
        return self._known[1]


def _rollout(row: dict[str, Any]) -> RolloutLine:
    plan = msgspec.json.decode(row["plan"], type=Plan)
    course = msgspec.json.decode(row["course"], type=_Course)
    counts = (row["devices"] or 0, row["failed"] or 0, row["good"] or 0)
    words = (row["state"], plan.waves[course.wave].name, in_waves(plan), course.reason, plan.by, row["created_at"])
    return RolloutLine(row["id"], plan.target.said, *words, *map(int, counts))


class _Member(msgspec.Struct):
    previous: dict[str, Any]
    deadline: str
    code: str = ""
    reason: str = ""
    failure: str = ""


def _member(plan: Plan, row: dict[str, Any]) -> MemberLine:
    body = msgspec.json.decode(row["body"], type=_Member)
    before = f"{body.previous['name']} {body.previous['version']}"
    standing = f"failed: {body.failure}" if row["standing"].startswith("failed:") else row["standing"]
    wave = plan.waves[row["wave"]].name
    return MemberLine(row["site"], row["device"], wave, standing, body.code, body.reason, before, body.deadline)


def _tree(body: str) -> dict[str, Any]:
    tree: dict[str, Any] = msgspec.json.decode(body)
    return tree
