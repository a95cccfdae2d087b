"""Drift reports as they come and as they are kept: the same, whichever way they came, late or twice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec
import sqlalchemy as sa

from sono_fleet.database import as_text, upsert
from sono_fleet.tables import drift_hours
from sono_models.drift import DriftData, trouble

AHEAD = timedelta(hours=26)
"""A device's clock may be a day off; one that is further off is not believed."""
KEPT = timedelta(days=90)
KEY = ("site", "device", "hour", "bundle_sha256")


@dataclass(frozen=True, slots=True)
class Reported:
    site: str
    device: str
    data: DriftData


def why_not(data: DriftData, now: datetime) -> str:
    """Why a report is left out, in a few words; empty: it is taken."""
    at = datetime.fromisoformat(data.hour)
    if not now - KEPT < at < now + AHEAD:
        return "of an impossible hour"
    words = trouble(data)
    return f"with {words}" if words else ""


def put(connection: sa.Connection, reports: Sequence[Reported], at: datetime) -> None:
    """Of two that claim one hour, the one with more frames is kept, in whatever order they come."""
    best: dict[tuple[str, ...], dict[str, object]] = {}
    for one in reports:
        row = _row(one, at)
        key = tuple(str(row[name]) for name in KEY)
        if key not in best or _weight(row) > _weight(best[key]):
            best[key] = row
    if not best:
        return
    put = upsert(connection, drift_hours)
    fresh, old = put.excluded, drift_hours.c
    more = sa.or_(fresh.frames > old.frames, sa.and_(fresh.frames == old.frames, fresh.body > old.body))
    change = {name: fresh[name] for name in ("frames", "body", "received_at")}
    rows = [best[key] for key in sorted(best)]
    connection.execute(put.on_conflict_do_update(index_elements=list(KEY), set_=change, where=more), rows)


def of_site(connection: sa.Connection, site: str, since: datetime) -> dict[str, list[DriftData]]:
    """By device: what begins after then."""
    query = sa.select(drift_hours.c.device, drift_hours.c.body).where(
        drift_hours.c.site == site, drift_hours.c.hour > text(since)
    )
    found: dict[str, list[DriftData]] = {}
    for device, body in connection.execute(query.order_by(drift_hours.c.device, drift_hours.c.hour)):
        found.setdefault(device, []).append(msgspec.json.decode(body, type=DriftData))
    return found


def of_bundle(connection: sa.Connection, sha256: str, until: datetime) -> Iterable[tuple[str, DriftData]]:
    """(site, report) of one bundle before then, a few at a time."""
    query = sa.select(drift_hours.c.site, drift_hours.c.body).where(
        drift_hours.c.bundle_sha256 == sha256, drift_hours.c.hour < text(until)
    )
    for site, body in connection.execute(query.order_by(drift_hours.c.site, drift_hours.c.device, drift_hours.c.hour)):
        yield site, msgspec.json.decode(body, type=DriftData)


def sites(connection: sa.Connection) -> list[str]:
    query = sa.select(drift_hours.c.site).distinct().order_by(drift_hours.c.site)
    return [str(site) for site in connection.execute(query).scalars()]


def forget(connection: sa.Connection, now: datetime) -> None:
    connection.execute(sa.delete(drift_hours).where(drift_hours.c.hour < text(now - KEPT)))


def text(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:00:00Z")


def _row(one: Reported, at: datetime) -> dict[str, object]:
    return {
        "site": one.site,
        "device": one.device,
        "hour": one.data.hour,
        "bundle_sha256": one.data.bundle_sha256,
        "frames": sum(one.data.gates.frames),
        "body": msgspec.json.encode(one.data).decode(),
        "received_at": as_text(at),
    }


def _weight(row: dict[str, object]) -> tuple[object, object]:
    return row["frames"], row["body"]
