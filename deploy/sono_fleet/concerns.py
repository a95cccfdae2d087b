"""What a fleet manager must hear of, from when it is found until it has passed: one alert each, with its entries in
the audit log.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, TypeAlias

import sqlalchemy as sa

from sono_fleet.rollout import audit
from sono_fleet.tables import fleet_alerts
from sono_models.messages import rfc3339

Kind: TypeAlias = Literal["drift", "revoked"]
Where: TypeAlias = tuple[str, str]
"""Site and device; no device: the whole site."""
BEGUN: Mapping[Kind, str] = {"drift": "site-drifts", "revoked": "revoked-speaks"}
PASSED: Mapping[Kind, str] = {"drift": "site-drifts-no-more", "revoked": "revoked-silent"}
"""The actions in the audit log."""


def alone(connection: sa.Connection) -> None:
    """Two that watch must not both raise an alert. SQLite's transactions exclude each other."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(731906)")


def standing(connection: sa.Connection, kind: Kind) -> set[Where]:
    """Of each that has not passed."""
    query = sa.select(fleet_alerts.c.site, fleet_alerts.c.device)
    found = connection.execute(query.where(fleet_alerts.c.kind == kind, fleet_alerts.c.cleared_at.is_(None)))
    return {(site, device) for site, device in found}


def begins(
    connection: sa.Connection, kind: Kind, where: Where, words: str, evidence: Mapping[str, object], at: datetime
) -> None:
    site, device = where
    row = {"site": site, "device": device, "kind": kind, "words": words, "raised_at": rfc3339(at)}
    connection.execute(fleet_alerts.insert().values(**row))
    audit.append(connection, [audit.Entry(kind, BEGUN[kind], "", evidence)], at)


def passes(connection: sa.Connection, kind: Kind, where: Where, evidence: Mapping[str, object], at: datetime) -> None:
    site, device = where
    of = fleet_alerts.c
    mine = sa.and_(of.kind == kind, of.site == site, of.device == device, of.cleared_at.is_(None))
    connection.execute(fleet_alerts.update().where(mine).values(cleared_at=rfc3339(at)))
    audit.append(connection, [audit.Entry(kind, PASSED[kind], "", evidence)], at)
