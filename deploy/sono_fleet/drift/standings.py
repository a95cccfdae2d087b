"""How every device and site stands, as it is kept; and which sites a roll-out has to leave alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from sono_fleet.database import upsert
from sono_fleet.drift.judgement import Standing, Sums, Verdict
from sono_fleet.drift.measure import Distance
from sono_fleet.tables import drift_standings
from sono_models.drift import AlertMix, Measure
from sono_models.messages import rfc3339

SITE = ""
"""In the place of a device: the whole site."""


class Rests(msgspec.Struct, frozen=True):
    """What a standing rests on. `accepted`: by whom, and why; empty: nobody said that it is as it should be."""

    bundle: str = ""
    scans: int = 0
    minutes: float = 0.0
    alerts: AlertMix = AlertMix()
    figures: dict[Measure, Distance] = {}
    reference: str = ""
    accepted: str = ""

    @property
    def alerts_per_min(self) -> float | None:
        return self.alerts.raised / self.minutes if self.minutes else None

    @property
    def unseen_share(self) -> float | None:
        """Of the alerts that were raised, those that ended before anybody had seen them."""
        return min(1.0, self.alerts.unseen / self.alerts.raised) if self.alerts.raised else None


@dataclass(frozen=True, slots=True)
class Stands:
    site: str
    device: str
    verdict: Verdict
    frames: int
    at: datetime
    rests: Rests

    @property
    def blocks(self) -> bool:
        """A roll-out has to leave the site alone."""
        return not self.device and self.verdict.standing is Standing.DRIFTING and not self.rests.accepted


def of(connection: sa.Connection, site: str = "") -> list[Stands]:
    query = sa.select(drift_standings).order_by(drift_standings.c.site, drift_standings.c.device)
    if site:
        query = query.where(drift_standings.c.site == site)
    return [_read(dict(row)) for row in connection.execute(query).mappings()]


def put(connection: sa.Connection, rows: list[Stands]) -> None:
    if not rows:
        return
    put = upsert(connection, drift_standings)
    made = [_row(one) for one in sorted(rows, key=lambda one: (one.site, one.device))]
    change = {name: put.excluded[name] for name in made[0] if name not in {"site", "device"}}
    connection.execute(put.on_conflict_do_update(index_elements=["site", "device"], set_=change), made)


def drifting(connection: sa.Connection) -> Mapping[str, str]:
    """The sites that a roll-out has to leave alone, with the reason in words."""
    query = sa.select(drift_standings).where(
        drift_standings.c.device == SITE, drift_standings.c.standing == str(Standing.DRIFTING)
    )
    found = (_read(dict(row)) for row in connection.execute(query).mappings())
    return {one.site: f"site drifts: {one.verdict.words}" for one in found if one.blocks}


def rests_of(sums: Sums, verdict: Verdict, reference: str, accepted: str) -> Rests:
    figures = dict(verdict.figures)
    return Rests(sums.bundle, sums.scans, round(sums.minutes, 1), sums.alerts, figures, reference, accepted)


def _row(one: Stands) -> dict[str, Any]:
    verdict = one.verdict
    return {
        "site": one.site,
        "device": one.device,
        "bundle_sha256": verdict.bundle_sha256,
        "standing": str(verdict.standing),
        "measure": verdict.measure,
        "value": verdict.value,
        "frames": one.frames,
        "since": rfc3339(verdict.since),
        "at": rfc3339(one.at),
        "body": msgspec.json.encode(one.rests).decode(),
    }


def _read(row: Mapping[str, Any]) -> Stands:
    rests = msgspec.json.decode(row["body"], type=Rests)
    verdict = Verdict(
        Standing(row["standing"]),
        row["bundle_sha256"],
        datetime.fromisoformat(row["since"]),
        row["measure"],
        row["value"],
        rests.figures,
    )
    return Stands(row["site"], row["device"], verdict, row["frames"], datetime.fromisoformat(row["at"]), rests)
