"""Alert burden: how often each device called, against the devices of its own site."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from sono_fleet.database import Database, as_text
from sono_fleet.tables import alerts, devices, drift_hours

WINDOWS = {"day": 24, "week": 168, "month": 720}
"""Hours."""
MANY = 3.0
"""So many times its site's median is worth a look; the roll-out law's own `alert_ratio` has the same limit."""


@dataclass(frozen=True, slots=True)
class BurdenLine:
    """`per_hour`: alerts raised, by hours of the clock. `times`: of the site's median; None where that is 0.
    `scanning_h`: hours in which it reported frames, where it reports drift at all.
    """

    site: str
    device: str
    alerts: int
    per_hour: float
    median_per_hour: float
    times: float | None
    scanning_h: int | None

    @property
    def many(self) -> bool:
        return self.times is not None and self.times >= MANY


def burdens(database: Database, hours: int, at: datetime) -> list[BurdenLine]:
    """Every device's, the heaviest against its site first. Devices that raised none count in the median."""
    since = as_text(at - timedelta(hours=hours))
    with database.reading() as connection:
        counted = _counted(connection, database, since)
        known = [tuple(row) for row in connection.execute(sa.select(devices.c.site, devices.c.device))]
        used = sa.select(drift_hours.c.site, drift_hours.c.device, sa.func.count(sa.distinct(drift_hours.c.hour)))
        used = used.where(drift_hours.c.received_at >= since, drift_hours.c.frames > 0)
        rows = connection.execute(used.group_by(drift_hours.c.site, drift_hours.c.device))
        scanning = {(site, device): int(count) for site, device, count in rows}
    of_site: dict[str, list[int]] = {}
    for site, device in known:
        of_site.setdefault(site, []).append(counted.get((site, device), 0))
    medians = {site: statistics.median(counts) for site, counts in of_site.items()}
    lines = [
        _line((site, device), counted.get((site, device), 0), medians[site], hours, scanning.get((site, device)))
        for site, device in known
    ]
    return sorted(lines, key=lambda one: (-(one.times or 0.0), -one.alerts, one.site, one.device))


def _line(key: tuple[str, str], count: int, median: float, hours: int, scanning: int | None) -> BurdenLine:
    times = count / median if median else None
    return BurdenLine(*key, count, count / hours, median / hours, times, scanning)


def _counted(connection: sa.Connection, database: Database, since: str) -> dict[tuple[str, str], int]:
    body: Any = (
        sa.cast(alerts.c.body, sa.JSON)
        if database.url.get_backend_name() == "postgresql"
        else sa.type_coerce(alerts.c.body, sa.JSON)
    )
    query = (
        sa.select(alerts.c.site, alerts.c.device, sa.func.count())
        .where(
            alerts.c.id >= first_since(connection, since),
            alerts.c.received_at >= since,
            alerts.c.problem == "",
            body[("data", "kind")].as_string() == "raised",
        )
        .group_by(alerts.c.site, alerts.c.device)
    )
    return {(site, device): int(count) for site, device, count in connection.execute(query)}


def first_since(connection: sa.Connection, since: str) -> int:
    """An id before which nothing was received since then: ids grow with time, and years of alerts are not read."""
    low, high = connection.execute(sa.select(sa.func.min(alerts.c.id), sa.func.max(alerts.c.id))).one()
    if low is None:
        return 0
    while low < high:
        middle = (low + high) // 2
        query = sa.select(alerts.c.received_at).where(alerts.c.id <= middle).order_by(alerts.c.id.desc()).limit(1)
        if connection.execute(query).scalar_one() < since:
            low = middle + 1
        else:
            high = middle
    return int(low) - 1000  # ingesters beside each other commit a little out of order
