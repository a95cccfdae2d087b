"""Boards whose certificate was revoked and that are heard all the same: a broker does not read the list."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from sono_fleet import concerns
from sono_fleet.database import Database
from sono_fleet.tables import STALE, devices, identities

EVERY = timedelta(minutes=1)
GRACE = timedelta(minutes=3)
"""So long may brokers take to read a new list: their timer runs every minute."""


@dataclass(frozen=True, slots=True)
class Speaks:
    site: str
    device: str
    revoked_at: datetime
    reason: str
    heard_at: datetime

    @property
    def words(self) -> str:
        why = f" ({self.reason})" if self.reason else ""
        return (
            f"{self.site}/{self.device} was revoked at {self.revoked_at:%Y-%m-%d %H:%M} UTC{why} and still speaks: "
            "a broker has not read the list (sono fleet broker-config … --apply)"
        )

    @property
    def evidence(self) -> dict[str, object]:
        return {
            "site": self.site,
            "device": self.device,
            "revoked_at": self.revoked_at.isoformat(),
            "heard_at": self.heard_at.isoformat(),
        }


class Watch:
    """`step` looks once a minute. One alert to the fleet for as long as a board speaks; any number may look."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._next: datetime | None = None

    def step(self, now: datetime) -> list[Speaks]:
        """Who speaks now; nothing when it is not time to look."""
        if self._next is not None and now < self._next:
            return []
        with self._database.reading() as connection:  # mostly there is nothing to write
            found = speaking(connection, now)
            known = concerns.standing(connection, "revoked")
        if known or found:
            with self._database.writing() as connection:
                concerns.alone(connection)
                self._tell(connection, {(one.site, one.device): one for one in found}, now)
        self._next = now + EVERY
        return found

    def _tell(self, connection: sa.Connection, found: dict[tuple[str, str], Speaks], now: datetime) -> None:
        known = concerns.standing(connection, "revoked")
        for where in sorted(found.keys() - known):
            concerns.begins(connection, "revoked", where, found[where].words, found[where].evidence, now)
        for site, device in sorted(known - found.keys()):
            concerns.passes(connection, "revoked", (site, device), {"site": site, "device": device}, now)


def speaking(connection: sa.Connection, now: datetime) -> list[Speaks]:
    """Boards without a certificate that holds, of which one was revoked and which were heard after that, lately."""
    of = identities.c
    holds = sa.func.max(sa.case((of.revoked_at.is_(None), of.ends_at)))
    last = sa.select(of.site, of.device, sa.func.max(of.revoked_at).label("revoked_at"), holds.label("ends_at"))
    last_of = last.where(of.site != "").group_by(of.site, of.device).subquery()
    here = sa.and_(devices.c.site == last_of.c.site, devices.c.device == last_of.c.device)
    why = sa.and_(of.site == last_of.c.site, of.device == last_of.c.device, of.revoked_at == last_of.c.revoked_at)
    reason = sa.select(sa.func.max(of.reason)).where(why).scalar_subquery()
    query = sa.select(last_of, devices.c.seen_at, reason.label("reason")).join(devices, here)
    rows = connection.execute(query.where(last_of.c.revoked_at.is_not(None), devices.c.seen_at.is_not(None)))
    read = datetime.fromisoformat
    return [
        Speaks(row.site, row.device, read(row.revoked_at), row.reason or "", read(row.seen_at))
        for row in rows
        if (row.ends_at is None or read(row.ends_at) <= now)
        and read(row.seen_at) >= max(read(row.revoked_at) + GRACE, now - STALE)
    ]
