"""The fleet's devices as the page lists them: what needs a look first, counted, filtered and paged by the database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, TypeAlias, get_args

import sqlalchemy as sa

from sono_fleet.database import Database, as_text
from sono_fleet.drift.judgement import Standing
from sono_fleet.identity.ends import newest_ends
from sono_fleet.tables import STALE, device_tags, devices, drift_standings
from sono_fleet.web.paging import Page, page_of
from sono_models.messages import rfc3339

CERTIFICATE_DAYS = 14.0
DISK_MB = 1000.0
HOT_C = 80.0
"""Where boards of this kind begin to slow themselves down."""
Trouble: TypeAlias = Literal["offline", "stale", "drifting", "undelivered", "certificate", "disk", "hot"]
TROUBLES: tuple[Trouble, ...] = get_args(Trouble)
Sort: TypeAlias = Literal["name", "heard", "waiting"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a list is to show: `text` in site, device, bundle or a tag; one kind of trouble; one site."""

    text: str = ""
    trouble: Trouble | None = None
    site: str = ""
    sort: Sort = "name"
    page: int = 1


@dataclass(frozen=True, slots=True)
class DeviceLine:
    site: str
    device: str
    online: bool
    seen_at: str | None
    bundle: str
    profile: str
    waiting: int | None
    """Alerts and reports in its outbox."""
    temperature_c: float | None
    disk_free_mb: float | None
    certificate_days: float | None
    drift: str
    """Its own standing or its site's, whichever is worse; empty: nothing is known."""
    troubles: tuple[Trouble, ...]
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DeviceList:
    page: Page
    lines: tuple[DeviceLine, ...]
    counts: dict[str, int]
    """Devices by trouble, of the whole fleet; `all` has them all."""


def listed(database: Database, wanted: Wanted, at: datetime) -> DeviceList:
    source = _Source(database, at)
    with database.reading() as connection:
        counted = connection.execute(source.counts()).mappings().one()
        page, rows = page_of(connection, source.query(wanted), wanted.page)
        tags = _tags(connection, [(row["site"], row["device"]) for row in rows])
    lines = tuple(_line(row, tags.get((row["site"], row["device"]), ()), at) for row in rows)
    return DeviceList(page, lines, {name: int(count or 0) for name, count in counted.items()})


def one(database: Database, site: str, device: str, at: datetime) -> DeviceLine | None:
    source = _Source(database, at)
    with database.reading() as connection:
        rows = connection.execute(source.everything().where(devices.c.site == site, devices.c.device == device))
        found = rows.mappings().first()
        tags = _tags(connection, [(site, device)])
    return None if found is None else _line(dict(found), tags.get((site, device), ()), at)


class _Source:
    """The query behind it all: a device with its figures, its drift and its certificate, in one row."""

    def __init__(self, database: Database, at: datetime) -> None:
        self._dialect, self._at = database.url.get_backend_name(), at
        own, whole = drift_standings.alias("own"), drift_standings.alias("whole")
        newest = newest_ends()
        same = devices.c.site == own.c.site, devices.c.device == own.c.device
        self._joined = (
            devices.outerjoin(own, sa.and_(*same))
            .outerjoin(whole, sa.and_(devices.c.site == whole.c.site, whole.c.device == ""))
            .outerjoin(newest, sa.and_(devices.c.site == newest.c.site, devices.c.device == newest.c.device))
        )
        self.waiting = self._figure("outbox_depth")
        self.temperature = self._figure("temperature_c")
        self.disk = self._figure("disk_free_mb")
        self.days = self._figure("certificate_days")
        self.own, self.whole, self.ends_at = own.c.standing, whole.c.standing, newest.c.ends_at

    def everything(self) -> sa.Select[Any]:
        columns: list[Any] = [
            devices.c.site,
            devices.c.device,
            devices.c.online,
            devices.c.seen_at,
            devices.c.bundle,
            devices.c.profile,
            self.waiting.label("waiting"),
            self.temperature.label("temperature_c"),
            self.disk.label("disk_free_mb"),
            self.days.label("certificate_days"),
            self.ends_at.label("ends_at"),
            self.own.label("own"),
            self.whole.label("whole"),
        ]
        return sa.select(*columns).select_from(self._joined)

    def query(self, wanted: Wanted) -> sa.Select[Any]:
        query = self.everything()
        if wanted.site:
            query = query.where(devices.c.site == wanted.site)
        if wanted.trouble is not None:
            query = query.where(self.of(wanted.trouble))
        for word in wanted.text.split()[:5]:
            tagged = sa.exists().where(
                device_tags.c.site == devices.c.site,
                device_tags.c.device == devices.c.device,
                device_tags.c.tag.icontains(word, autoescape=True),
            )
            where = (devices.c.site + "/" + devices.c.device).icontains(word, autoescape=True)
            runs = devices.c.bundle.icontains(word, autoescape=True)
            query = query.where(sa.or_(where, runs, tagged))
        first: dict[Sort, list[Any]] = {
            "name": [],
            "heard": [devices.c.seen_at],
            "waiting": [sa.func.coalesce(self.waiting, 0).desc()],
        }
        return query.order_by(*first[wanted.sort], devices.c.site, devices.c.device)

    def counts(self) -> sa.Select[Any]:
        sums = [sa.func.sum(sa.case((self.of(trouble), 1), else_=0)).label(trouble) for trouble in TROUBLES]
        columns: list[Any] = [sa.func.count().label("all"), *sums]
        return sa.select(*columns).select_from(self._joined)

    def of(self, trouble: Trouble) -> sa.ColumnElement[bool]:
        """Whether a row is in this trouble, as the database says it; `_troubles` says the same of a row in hand."""
        online = sa.func.coalesce(devices.c.online, sa.false()).is_(True)
        soon = rfc3339(self._at + timedelta(days=CERTIFICATE_DAYS))
        said: dict[Trouble, sa.ColumnElement[bool]] = {
            "offline": sa.not_(online),
            "stale": sa.and_(online, sa.func.coalesce(devices.c.seen_at, "") < _stale_before(self._at)),
            "drifting": sa.or_(self.own == "drifting", self.whole == "drifting"),
            "undelivered": self.waiting > 0,
            "certificate": sa.or_(self.days < CERTIFICATE_DAYS, self.ends_at < soon),
            "disk": self.disk < DISK_MB,
            "hot": self.temperature >= HOT_C,
        }
        return said[trouble]

    def _figure(self, name: str) -> sa.ColumnElement[float]:
        """A number of the newest health message. The two engines read JSON text in two ways."""
        if self._dialect == "postgresql":
            body: Any = sa.cast(devices.c.health, sa.JSON)
        else:
            body = sa.type_coerce(devices.c.health, sa.JSON)
        figure: sa.ColumnElement[float] = body[("data", name)].as_float()
        return figure


def _line(row: dict[str, Any], tags: tuple[str, ...], at: datetime) -> DeviceLine:
    days = [row["certificate_days"]] if row["certificate_days"] is not None else []
    if row["ends_at"] is not None:
        days.append((datetime.fromisoformat(row["ends_at"]) - at) / timedelta(days=1))
    standings = [standing for standing in (row["own"], row["whole"]) if standing]
    drift = next((str(one) for one in reversed(Standing) if one in standings), "")
    seen = {**row, "days": min(days, default=None), "drift": drift}
    return DeviceLine(
        row["site"],
        row["device"],
        bool(row["online"]),
        row["seen_at"],
        row["bundle"] or "",
        row["profile"] or "",
        None if row["waiting"] is None else int(row["waiting"]),
        row["temperature_c"],
        row["disk_free_mb"],
        seen["days"],
        drift,
        _troubles(seen, at),
        tags,
    )


def _troubles(row: dict[str, Any], at: datetime) -> tuple[Trouble, ...]:
    online = bool(row["online"])
    holds: dict[Trouble, bool] = {
        "offline": not online,
        "stale": online and (row["seen_at"] or "") < _stale_before(at),
        "drifting": row["drift"] == "drifting",
        "undelivered": (row["waiting"] or 0) > 0,
        "certificate": row["days"] is not None and row["days"] < CERTIFICATE_DAYS,
        "disk": row["disk_free_mb"] is not None and row["disk_free_mb"] < DISK_MB,
        "hot": row["temperature_c"] is not None and row["temperature_c"] >= HOT_C,
    }
    return tuple(trouble for trouble in TROUBLES if holds[trouble])


def _stale_before(at: datetime) -> str:
    return as_text(at - STALE)


def _tags(connection: sa.Connection, keys: list[tuple[str, str]]) -> dict[tuple[str, str], tuple[str, ...]]:
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    mine = sa.tuple_(device_tags.c.site, device_tags.c.device).in_(keys)
    for row in connection.execute(sa.select(device_tags).where(mine).order_by(device_tags.c.tag)):
        found[row.site, row.device] = (*found.get((row.site, row.device), ()), row.tag)
    return found
