"""The fleet as its database has it, for /metrics: counted there when somebody asks, at most every few seconds.

No label takes a value that a device chose: versions are those that are registered, roll-outs those that somebody made.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from sono_fleet.database import Database, as_text
from sono_fleet.drift.judgement import Standing
from sono_fleet.identity.ends import newest_ends
from sono_fleet.rollout.course import HOLDS, RANK, State
from sono_fleet.rollout.records import STOP_ALL
from sono_fleet.tables import (
    STALE,
    desired,
    devices,
    drift_standings,
    fleet_alerts,
    members,
    releases,
    rollouts,
    switch,
)
from sono_models.errors import SonoError

log = logging.getLogger(__name__)

KEPT_S = 5.0
"""Two who ask within so long get the same answer."""
LIMITS = (10, 100, 1000)
"""Undelivered alerts: how many devices have more than this."""
UNDELIVERED_MOST = 999_999_999
VERSIONS_MOST, ROLLOUTS_MOST, KINDS_MOST = 10, 10, 20
STATES = ("online", "stale", "offline", "stopped")
CERTIFICATES = {"expired": timedelta(0), "7d": timedelta(days=7), "30d": timedelta(days=30)}
STANDINGS = (*RANK, "failed", "going-back", "back")
"""Of a member; why one has failed is not counted apart."""
Counted = Iterable[tuple[tuple[str, ...], float]]


class FleetGauges(Collector):
    """Any thread may ask. A database that is away makes the answer say so (`sono_fleet_database_up 0`)."""

    def __init__(
        self,
        database: Database,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database, self._now, self._clock = database, now, clock
        self._one_at_a_time = threading.Lock()
        self._kept: tuple[float, list[Metric]] | None = None
        self._was_up = True

    def collect(self) -> Iterator[Metric]:
        with self._one_at_a_time:
            if self._kept is None or self._clock() - self._kept[0] > KEPT_S:
                answer = self._look()
                self._kept = (self._clock(), answer)
            answer = self._kept[1]
        yield from answer

    def _look(self) -> list[Metric]:
        began = self._clock()
        try:
            with self._database.reading() as connection:
                found = list(counted(connection, self._now()))
        except (SonoError, SQLAlchemyError) as problem:
            log.log(logging.WARNING if self._was_up else logging.DEBUG, "metrics: the database is away: %s", problem)
            self._was_up = False
            return [_gauge("database_up", "1 when the fleet's database answered this time.", (), [((), 0.0)])]
        self._was_up = True
        return [
            _gauge("database_up", "1 when the fleet's database answered this time.", (), [((), 1.0)]),
            _gauge("database_look_seconds", "So long it took to answer.", (), [((), self._clock() - began)]),
            *found,
        ]


def counted(connection: sa.Connection, now: datetime) -> Iterator[Metric]:
    """Everything that is counted in the database, as it is at `now`."""
    yield from _devices(connection, now)
    words = "Devices by the registered bundle that they run; the most common ones."
    yield _gauge("devices_by_bundle", words, ("bundle",), _bundles(connection))
    words = "Devices whose newest certificate ends within this time."
    yield _gauge("certificates_ending", words, ("within",), _certificates(connection, now))
    yield from _rollouts(connection)
    words = "What the fleet manager must hear of and has not passed."
    yield _gauge("open_alerts", words, ("kind",), _open_alerts(connection))
    words = "Devices and sites by how far their scores have moved."
    yield _gauge("drift", words, ("level", "standing"), _drift(connection))


def _devices(connection: sa.Connection, now: datetime) -> Iterator[Metric]:
    undelivered = _undelivered(connection)
    heard = devices.c.seen_at >= as_text(now - STALE)
    state = sa.case(
        (sa.and_(devices.c.online.is_(True), heard), "online"),
        (devices.c.online.is_(True), "stale"),
        (devices.c.stopped.is_(True), "stopped"),
        else_="offline",
    ).label("state")
    over = [sa.func.count(sa.case((undelivered > limit, 1))) for limit in LIMITS]
    query = sa.select(state, sa.func.count(), sa.func.coalesce(sa.func.sum(undelivered), 0), *over).group_by(state)
    rows = {row[0]: row[1:] for row in connection.execute(query)}
    none = (0,) * (2 + len(LIMITS))
    by_state = [((name,), float(rows.get(name, none)[0])) for name in STATES]
    yield _gauge("devices", "Devices by state; stale: says that it is online, and is silent.", ("state",), by_state)
    total = float(sum(row[1] for row in rows.values()))
    yield _gauge("undelivered_alerts", "Waiting in the devices' outboxes, as they said last.", (), [((), total)])
    above = [((str(limit),), float(sum(row[2 + n] for row in rows.values()))) for n, limit in enumerate(LIMITS)]
    yield _gauge("devices_undelivered_over", "Devices with more undelivered alerts than this.", ("alerts",), above)


def _undelivered(connection: sa.Connection) -> sa.ColumnElement[int]:
    """A device's own word, in a text that is as it came: whatever it says, no query fails over it."""
    if connection.dialect.name == "postgresql":
        found = sa.func.substring(devices.c.health, r'"outbox_depth"\s*:\s*([0-9]{1,9})[^0-9.eE]')
        return sa.cast(found, sa.BigInteger)
    said = sa.cast(sa.func.json_extract(devices.c.health, "$.data.outbox_depth"), sa.Integer)
    whole = sa.and_(sa.func.json_valid(devices.c.health) == 1, said.between(0, UNDELIVERED_MOST))
    return sa.case((sa.func.json_valid(devices.c.health) == 1, sa.case((whole, said))))


def _bundles(connection: sa.Connection) -> Counted:
    run = sa.and_(releases.c.sha256 == devices.c.bundle_sha256, releases.c.kind == "bundle")
    joined = devices.outerjoin(releases, run)
    count = sa.func.count().label("many")
    query = sa.select(releases.c.name, releases.c.version, count).select_from(joined)
    query = query.group_by(releases.c.name, releases.c.version).order_by(count.desc(), releases.c.version)
    rows = connection.execute(query).all()
    known = [row for row in rows if row.name is not None]
    found = [((f"{row.name}-{row.version}",), float(row.many)) for row in known[:VERSIONS_MOST]]
    rest = float(sum(row.many for row in known[VERSIONS_MOST:]))
    unknown = float(sum(row.many for row in rows if row.name is None))
    return [*found, (("other",), rest), (("unregistered",), unknown)]


def _certificates(connection: sa.Connection, now: datetime) -> Counted:
    newest = newest_ends()
    counts = [sa.func.count(sa.case((newest.c.ends_at < as_text(now + span), 1))) for span in CERTIFICATES.values()]
    row = connection.execute(sa.select(*counts).select_from(newest)).one()
    return [((name,), float(count)) for name, count in zip(CERTIFICATES, row, strict=True)]


def _rollouts(connection: sa.Connection) -> Iterator[Metric]:
    rows = connection.execute(sa.select(rollouts.c.state, sa.func.count()).group_by(rollouts.c.state))
    counts = {state: float(count) for state, count in rows}
    by_state = [((str(state),), counts.get(str(state), 0.0)) for state in State]
    yield _gauge("rollouts", "Roll-outs by state.", ("state",), by_state)
    words = "Members of the newest open roll-outs by standing."
    yield _gauge("rollout_members", words, ("rollout", "standing"), _members(connection))
    count = sa.func.count()
    waits = sa.select(count).select_from(desired).where(desired.c.published < desired.c.serial)
    orders = float(connection.execute(waits).scalar_one())
    yield _gauge("orders_waiting", "Decided and not yet at the broker.", (), [((), orders)])
    stops = sa.select(count).select_from(switch).where(switch.c.name == STOP_ALL)
    stopped = float(connection.execute(stops).scalar_one())
    yield _gauge("stopped", "1 while somebody has stopped everything.", (), [((), stopped)])


def _members(connection: sa.Connection) -> Counted:
    is_open = rollouts.c.state.in_([str(state) for state in HOLDS])
    newest = sa.select(rollouts.c.id).where(is_open).order_by(rollouts.c.created_at.desc()).limit(ROLLOUTS_MOST)
    names = list(connection.execute(newest).scalars())
    query = sa.select(members.c.rollout, members.c.standing, sa.func.count())
    query = query.where(members.c.rollout.in_(names)).group_by(members.c.rollout, members.c.standing)
    counts: dict[tuple[str, ...], float] = {(name, standing): 0.0 for name in names for standing in STANDINGS}
    for rollout, standing, count in connection.execute(query):
        counts[rollout, standing.partition(":")[0]] += count
    return counts.items()


def _open_alerts(connection: sa.Connection) -> Counted:
    count = sa.func.count().label("many")
    query = sa.select(fleet_alerts.c.kind, count).where(fleet_alerts.c.cleared_at.is_(None))
    rows = connection.execute(query.group_by(fleet_alerts.c.kind).order_by(count.desc())).all()
    rest = float(sum(row.many for row in rows[KINDS_MOST:]))
    return [*(((row.kind,), float(row.many)) for row in rows[:KINDS_MOST]), (("other",), rest)]


def _drift(connection: sa.Connection) -> Counted:
    level = sa.case((drift_standings.c.device == "", "site"), else_="device").label("level")
    query = sa.select(level, drift_standings.c.standing, sa.func.count()).group_by(level, drift_standings.c.standing)
    counts = {(where, standing): float(count) for where, standing, count in connection.execute(query)}
    return [((where, str(one)), counts.get((where, str(one)), 0.0)) for where in ("device", "site") for one in Standing]


def _gauge(name: str, words: str, labels: tuple[str, ...], values: Counted) -> Metric:
    made = GaugeMetricFamily(f"sono_fleet_{name}", words, labels=labels)
    for of, value in values:
        made.add_metric(of, value)
    return made
