"""Boards whose certificate was revoked and that are heard all the same: a broker does not read the list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

import sqlalchemy as sa

from sono_fleet import concerns
from sono_fleet.concerns import Where
from sono_fleet.database import Database, as_text
from sono_fleet.identity.ends import newest_ends
from sono_fleet.tables import STALE, devices, identities
from sono_models.messages import rfc3339

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

    @classmethod
    def read(cls, row: Any) -> Self:
        revoked_at, heard_at = datetime.fromisoformat(row.revoked_at), datetime.fromisoformat(row.seen_at)
        return cls(row.site, row.device, revoked_at, row.reason, heard_at)

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
        with self._database.reading() as connection:
            found = {(one.site, one.device): one for one in speaking(connection, now)}
            is_told = concerns.standing(connection, "revoked") == found.keys()
        if not is_told:  # mostly there is nothing to write
            self._tell(found, now)
        self._next = now + EVERY
        return list(found.values())

    def _tell(self, found: Mapping[Where, Speaks], now: datetime) -> None:
        with self._database.writing() as connection:
            concerns.alone(connection)
            known = concerns.standing(connection, "revoked")  # another may have been first
            for where in sorted(found.keys() - known):
                concerns.begins(connection, "revoked", where, found[where].words, found[where].evidence, now)
            for site, device in sorted(known - found.keys()):
                concerns.passes(connection, "revoked", (site, device), {"site": site, "device": device}, now)


def speaking(connection: sa.Connection, now: datetime) -> list[Speaks]:
    """Boards without a certificate that holds, of which one was revoked and which were heard after that, lately."""
    of, newest = identities.c, newest_ends()
    here = sa.and_(devices.c.site == of.site, devices.c.device == of.device)
    theirs = sa.and_(newest.c.site == of.site, newest.c.device == of.device)
    ended = sa.or_(newest.c.ends_at.is_(None), newest.c.ends_at <= rfc3339(now))
    query = sa.select(of.site, of.device, of.revoked_at, of.reason, devices.c.seen_at).join(devices, here)
    query = query.outerjoin(newest, theirs).where(of.revoked_at.is_not(None), ended)
    rows = connection.execute(query.where(devices.c.seen_at >= as_text(now - STALE)).order_by(of.revoked_at))
    last = {(row.site, row.device): Speaks.read(row) for row in rows}
    return [one for one in last.values() if one.heard_at >= one.revoked_at + GRACE]
