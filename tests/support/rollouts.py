"""A fleet in a real database: devices that said what they run, releases, and reports as ingest commits them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sono_fleet.database import Database
from sono_fleet.rollout import releases
from sono_fleet.rollout.fleet import Release, target_of
from sono_fleet.rollout.plan import Plan, Scope, Wave
from sono_fleet.store import Delivered, Line, Report, Store
from sono_models import messages
from sono_models.updates import UpdateReport

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
OLD = Release("bundle", "breast", "0.3.0", "breast/stable/breast-0.3.0.tar", "0" * 64, 900)
NEW = Release("bundle", "breast", "0.3.1", "breast/stable/breast-0.3.1.tar", "1" * 64, 1000)


def plan_of(*shares: float, name: str = "r1", scope: Scope | None = None, **values: Any) -> Plan:
    settings = {"soak_s": 60.0, "deadline_s": 600.0, **values}
    waves = tuple(Wave(f"{share:g}%", share, **settings) for share in shares or (10, 100))
    return Plan(name, target_of(NEW), waves, scope or Scope(), by="ana")


class Fleet:
    """Time is the test's."""

    def __init__(self, store: Store, count: int, site: str = "demo") -> None:
        self.store, self.site = store, site
        self.now = START
        self.names = [f"d{number}" for number in range(count)]
        self._sequence: dict[str, int] = {}
        for release in (OLD, NEW):
            releases.add(store.database, release, START, by="test")
        self.alive()

    @property
    def database(self) -> Database:
        return self.store.database

    def alive(self, runs: Mapping[str, Release] | None = None) -> None:
        """Every device says that it is there and what it runs."""
        of = runs or {}
        reports = []
        for name in self.names:
            release = of.get(name, OLD)
            said = {"online": True, "bundle": f"{release.name}-{release.version}", "bundle_sha256": release.sha256}
            event = {"source": f"/sono/{self.site}/{name}", "event_id": f"{name}/health", "at": self.now}
            body = messages.encode("health", messages.Health(0, None), **event).decode()  # type: ignore[arg-type]
            reports.append(Report(self.site, name, "health", body, {**said, "profile": "bundle"}, self.now))
        self.store.commit([], reports, self.now)

    def passes(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def clock(self) -> datetime:
        return self.now

    def report(self, name: str, rollout: str, serial: int, phase: str, **evidence: float) -> None:
        sequence = self._sequence[name] = self._sequence.get(name, 0) + 1
        at = messages.rfc3339(self.now)
        report = UpdateReport(rollout, serial, "breast", "x", "0" * 64, phase, at, evidence={**evidence})  # type: ignore[arg-type]
        values = {field: getattr(report, field) for field in UpdateReport.__struct_fields__}
        data = messages.UpdateData(**values, device=name, epoch=5, sequence=sequence)
        source = f"/sono/{self.site}/{name}"
        body = messages.encode("update", data, source=source, event_id=f"{name}/{sequence}", at=self.now)
        columns = {"rollout": rollout, "serial": serial, "phase": phase}
        line = Line(self.site, name, 5)
        self.store.commit([Delivered(line, sequence, body.decode(), "", "update", columns)], [], self.now)
