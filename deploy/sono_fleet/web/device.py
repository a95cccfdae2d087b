"""All that is known of one device, in a handful of queries."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from sono_fleet.database import Database
from sono_fleet.tables import (
    alerts,
    devices,
    drift_standings,
    fleet_alerts,
    identities,
    members,
    rollouts,
    sites,
    updates,
)
from sono_fleet.web import devices as lines
from sono_fleet.web.devices import DeviceLine
from sono_models import messages

NEWEST = 25


@dataclass(frozen=True, slots=True)
class AlertLine:
    """What of a committed alert is shown; `problem`: it could not be read. Never a picture: alerts carry none."""

    site: str
    device: str
    received_at: str
    kind: str = ""
    score: float | None = None
    band: str = ""
    model: str = ""
    profile: str = ""
    reason: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class UpdateLine:
    received_at: str
    rollout: str
    version: str
    phase: str
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Story:
    line: DeviceLine
    state: messages.DeviceState | None
    state_at: str | None
    health: messages.Health | None
    health_at: str | None
    alerts: tuple[AlertLine, ...]
    updates: tuple[UpdateLine, ...]
    rollouts: tuple[dict[str, Any], ...]
    drift: tuple[dict[str, Any], ...]
    warnings: tuple[dict[str, Any], ...]
    """Fleet alerts of it and of its site that have not passed."""
    certificates: tuple[dict[str, Any], ...]
    hours: str


def story(database: Database, site: str, device: str, at: datetime) -> Story | None:
    """None: no such device ever said anything."""
    line = lines.one(database, site, device, at)
    if line is None:
        return None
    with database.reading() as connection:
        said = connection.execute(sa.select(devices).where(_of(devices, site, device))).mappings().one()
        heard = _newest(connection, alerts, site, device)
        reports = _newest(connection, updates, site, device)
        open_ones = sa.and_(
            fleet_alerts.c.site == site, fleet_alerts.c.device.in_([device, ""]), fleet_alerts.c.cleared_at.is_(None)
        )
        with_plans = sa.select(
            members.c.rollout, members.c.wave, members.c.standing, rollouts.c.state, rollouts.c.created_at
        ).join(rollouts, rollouts.c.id == members.c.rollout)
        part_of = with_plans.where(_of(members, site, device)).order_by(rollouts.c.created_at.desc()).limit(NEWEST)
        mine = sa.and_(drift_standings.c.site == site, drift_standings.c.device.in_([device, ""]))
        issued = sa.select(identities).where(_of(identities, site, device)).order_by(identities.c.issued_at.desc())
        return Story(
            line,
            _event("state", said["state"]),
            said["state_at"],
            _event("health", said["health"]),
            said["health_at"],
            tuple(alert_line(row) for row in heard),
            tuple(_update_line(row) for row in reports),
            _all(connection, part_of),
            _all(connection, sa.select(drift_standings).where(mine).order_by(drift_standings.c.device.desc())),
            _all(connection, sa.select(fleet_alerts).where(open_ones).order_by(fleet_alerts.c.id.desc()).limit(NEWEST)),
            _all(connection, issued.limit(5)),
            _hours(connection, site),
        )


def alert_line(row: dict[str, Any]) -> AlertLine:
    where = (row["site"], row["device"], row["received_at"])
    try:
        alert = messages.decode("alert", row["body"].encode()).data
    except msgspec.DecodeError:
        return AlertLine(*where, problem=row["problem"] or "it cannot be read")
    model = f"{alert.model.name} {alert.model.version}"
    return AlertLine(*where, alert.kind, alert.score.value, alert.band, model, alert.profile, alert.reason)


def _update_line(row: dict[str, Any]) -> UpdateLine:
    try:
        report = messages.decode("update", row["body"].encode()).data
    except msgspec.DecodeError:
        return UpdateLine(row["received_at"], row["rollout"], "", row["phase"], "", row["problem"])
    version = f"{report.name} {report.version}"
    return UpdateLine(row["received_at"], report.rollout, version, report.phase, report.code, report.reason)


def _newest(connection: sa.Connection, table: sa.Table, site: str, device: str) -> list[dict[str, Any]]:
    query = sa.select(table).where(_of(table, site, device))
    # by the unique key's own order: no sort over all that a device ever sent
    query = query.order_by(table.c.epoch.desc(), table.c.sequence.desc()).limit(NEWEST)
    return [dict(row) for row in connection.execute(query).mappings()]


def _of(table: sa.Table, site: str, device: str) -> sa.ColumnElement[bool]:
    return sa.and_(table.c.site == site, table.c.device == device)


def _all(connection: sa.Connection, query: sa.Select[Any]) -> tuple[dict[str, Any], ...]:
    return tuple(dict(row) for row in connection.execute(query).mappings())


def _event(topic: messages.Topic, body: str | None) -> Any:
    return None if not body else messages.decode(topic, body.encode()).data


def _hours(connection: sa.Connection, site: str) -> str:
    row = connection.execute(sa.select(sites).where(sites.c.site == site)).mappings().first()
    if row is None:
        return "always"
    windows = ", ".join(msgspec.json.decode(row["windows"])) or "always"
    return f"{windows} ({row['timezone']})"
