"""Groups of devices and hours of sites, as a manager sets them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from sono_fleet.database import Database, upsert
from sono_fleet.rollout import audit, windows
from sono_fleet.tables import device_tags, devices, sites
from sono_models.errors import BadConfig, BadOrder
from sono_models.messages import IDENTIFIER


def change(
    database: Database, said: str, tags: Sequence[str], *, remove: bool, at: datetime, by: str
) -> frozenset[str]:
    """The device's tags as they are now. Raises BadOrder for a device that is not known, BadConfig for a bad tag."""
    site, _, device = said.partition("/")
    for tag in tags:
        if not IDENTIFIER.fullmatch(tag):
            raise BadConfig(f"tag {tag!r}", "not 1 to 64 of A-Z a-z 0-9 _ -", "Choose another tag")
    mine = sa.and_(device_tags.c.site == site, device_tags.c.device == device)
    with database.writing() as connection:
        there = sa.select(devices.c.site).where(devices.c.site == site, devices.c.device == device)
        if connection.execute(there).first() is None:
            raise BadOrder(
                f"device {said!r}", "it never said anything", "Name it as SITE/DEVICE: see `sono fleet devices`"
            )
        if remove:
            connection.execute(device_tags.delete().where(mine, device_tags.c.tag.in_(tags)))
        else:
            rows = [{"site": site, "device": device, "tag": tag} for tag in tags]
            connection.execute(upsert(connection, device_tags).on_conflict_do_nothing(), rows)
        action = "untag" if remove else "tag"
        audit.append(connection, [audit.Entry(by, action, "", {"device": said, "tags": list(tags)})], at)
        return frozenset(connection.execute(sa.select(device_tags.c.tag).where(mine)).scalars())


def of_all(database: Database) -> dict[tuple[str, str], list[str]]:
    found: dict[tuple[str, str], list[str]] = {}
    for row in database.rows(sa.select(device_tags).order_by(device_tags.c.tag)):
        found.setdefault((row["site"], row["device"]), []).append(row["tag"])
    return found


def set_hours(database: Database, site: str, zone: str, given: list[str], *, at: datetime, by: str) -> None:
    """Raises BadConfig for a zone or a window that is none."""
    windows.parsed(zone, given)
    if not IDENTIFIER.fullmatch(site):
        raise BadConfig(f"site {site!r}", "not 1 to 64 of A-Z a-z 0-9 _ -", "Name a site")
    values = {"timezone": zone, "windows": msgspec.json.encode(given).decode()}
    with database.writing() as connection:
        put = upsert(connection, sites).values(site=site, **values)
        connection.execute(put.on_conflict_do_update(index_elements=["site"], set_=values))
        audit.append(connection, [audit.Entry(by, "hours", "", {"site": site, "timezone": zone, "windows": given})], at)


def hours(database: Database) -> list[dict[str, Any]]:
    rows = database.rows(sa.select(sites).order_by(sites.c.site))
    return [{**row, "windows": msgspec.json.decode(row["windows"])} for row in rows]
