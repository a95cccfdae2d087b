"""The fleet as the law sees it: devices with what they run, their tags and their site's hours, from the database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

import msgspec
import sqlalchemy as sa

from sono_fleet.drift import standings
from sono_fleet.rollout import windows
from sono_fleet.rollout.course import HOLDS, Course, Device, Key, State
from sono_fleet.rollout.plan import Plan, Target
from sono_fleet.tables import device_tags, devices, releases, sites

SAID = ("site", "device", "online", "stopped", "seen_at", "bundle", "bundle_sha256", "profile", "bundle_at")


@dataclass(frozen=True, slots=True)
class Release:
    """A published bundle or site profile that the fleet may be told to run."""

    kind: Literal["bundle", "profile"]
    name: str
    version: str
    target: str
    sha256: str
    size: int
    site: str = ""
    bundle: str = ""
    """A profile's bundle, NAME-VERSION."""


def known_releases(connection: sa.Connection) -> list[Release]:
    query = sa.select(releases).order_by(releases.c.kind, releases.c.name, releases.c.added_at)
    names = Release.__dataclass_fields__
    return [Release(**{name: row[name] for name in names}) for row in connection.execute(query).mappings()]


def seen(connection: sa.Connection) -> dict[Key, Device]:
    """Every device that ever said something."""
    known = known_releases(connection)
    targets = _Targets(known)
    tags: dict[Key, set[str]] = {}
    for site, device, tag in connection.execute(sa.select(device_tags)):
        tags.setdefault((site, device), set()).add(tag)
    hours = {row.site: windows.parsed(row.timezone, msgspec.json.decode(row.windows)) for row in _sites(connection)}
    rows = connection.execute(sa.select(*(devices.c[name] for name in SAID))).mappings()
    met: dict[str, str] = {}  # of ten thousand devices: the same words once
    found: dict[Key, Device] = {}
    for row in rows:
        key = (met.setdefault(row["site"], row["site"]), row["device"])
        sha256 = row["bundle_sha256"] or ""
        found[key] = Device(
            runs=targets.of(sha256, row["profile"] or ""),
            sha256=met.setdefault(sha256, sha256),
            runs_at=_moment(row["bundle_at"]),
            seen_at=_moment(row["seen_at"]),
            online=bool(row["online"]),
            stopped=bool(row["stopped"]),
            tags=frozenset(tags.get(key, ())),
            hours=hours.get(row["site"]),
        )
    return blocked(found, standings.drifting(connection))


def blocked(fleet: Mapping[Key, Device], drifting: Mapping[str, str]) -> dict[Key, Device]:
    """The fleet with the devices of drifting sites held. `drifting`: a site, and why in words."""
    return {
        key: replace(device, held=drifting[key[0]]) if key[0] in drifting else device for key, device in fleet.items()
    }


def held_for(
    plan: Plan, created_at: str, fleet: Mapping[Key, Device], others: Iterable[tuple[Plan, Course, str]]
) -> Mapping[Key, Device]:
    """The fleet as one roll-out may use it: what another has is held."""
    held: dict[Key, Device] = {}
    for other, course, other_created_at in others:
        if other.rollout == plan.rollout or not _holds(other, course, other_created_at, plan, created_at):
            continue
        for key, device in fleet.items():
            if other.scope.holds(*key, device.tags):
                held[key] = replace(device, held=f"roll-out {other.rollout} has it")
    return {**fleet, **held} if held else fleet


def target_of(bundle: Release, profile: Release | None = None) -> Target:
    return Target(
        bundle.name,
        bundle.version,
        bundle.target,
        bundle.sha256,
        bundle.size,
        "" if profile is None else profile.target,
        "" if profile is None else profile.sha256,
    )


def _holds(other: Plan, course: Course, other_created_at: str, plan: Plan, created_at: str) -> bool:
    """The older of two that are under way has the device; of an ended one and a newer, the newer."""
    if course.state in HOLDS:
        return (other_created_at, other.rollout) < (created_at, plan.rollout)
    return course.state is State.DONE and other_created_at > created_at


class _Targets:
    """What a device says it runs, as a target: the same object for all that say the same."""

    def __init__(self, known: list[Release]) -> None:
        self._bundles = {one.sha256: one for one in known if one.kind == "bundle"}
        self._profiles = [one for one in known if one.kind == "profile"]
        self._met: dict[tuple[str, str], Target | None] = {}

    def of(self, sha256: str, profile: str) -> Target | None:
        """None: not registered; neither the bundle nor the profile on it may be missing."""
        said = (sha256, profile)
        if said not in self._met:
            self._met[said] = self._find(self._bundles.get(sha256), profile)
        return self._met[said]

    def _find(self, bundle: Release | None, profile: str) -> Target | None:
        if bundle is None:
            return None
        if profile in {"", "bundle"}:
            return target_of(bundle)
        head = profile.rpartition("@")[2]
        found = next((one for one in self._profiles if head and one.sha256.startswith(head)), None)
        return None if found is None else target_of(bundle, found)


def _sites(connection: sa.Connection) -> Iterable[Any]:
    return connection.execute(sa.select(sites))


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
