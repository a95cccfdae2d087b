"""Releases that the fleet may be told to run: what is registered can be rolled out, and is a way back."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from sono_fleet.database import Database, upsert
from sono_fleet.drift import references
from sono_fleet.rollout import audit
from sono_fleet.rollout.fleet import Release, known_releases, target_of
from sono_fleet.rollout.plan import Target
from sono_fleet.tables import releases
from sono_models import bundle, profile
from sono_models.errors import BadOrder
from sono_models.messages import rfc3339
from sono_models.release import ProfilePlace


def of_bundle(path: Path, target: str = "", channel: str = "stable") -> Release:
    """A bundle's file, verified whole. Raises BadBundle."""
    found = bundle.read(path)
    manifest = found.manifest
    where = target or f"{manifest.name}/{channel}/{manifest.name}-{manifest.version}.tar"
    return Release("bundle", manifest.name, manifest.version, where, found.sha256, found.path.stat().st_size)


def of_profile(path: Path, key: Path, target: str = "", channel: str = "stable") -> Release:
    """A site profile's file, its signature verified. Raises BadProfile, BadConfig."""
    found = profile.read(path, key)
    made = found.profile
    where = target or ProfilePlace(made.bundle.name, channel, made.site, made.name, made.version).path
    runs_on = f"{made.bundle.name}-{made.bundle.version}"
    return Release("profile", made.name, made.version, where, found.sha256, path.stat().st_size, made.site, runs_on)


def add(database: Database, release: Release, at: datetime, *, by: str) -> bool:
    """Whether it was new. Raises BadOrder when this name and version is another file already."""
    row = {name: getattr(release, name) for name in Release.__dataclass_fields__}
    with database.writing() as connection:
        for known in known_releases(connection):
            same = (known.kind, known.name, known.version) == (release.kind, release.name, release.version)
            if same and known.sha256 != release.sha256:
                thing = f"{release.kind} {release.name} {release.version}"
                raise BadOrder(thing, "registered already, with another sha256", "Give the new one a new version")
        put = upsert(connection, releases).values(**row, added_at=rfc3339(at)).on_conflict_do_nothing()
        new = connection.execute(put.returning(releases.c.sha256)).first() is not None
        if new:
            audit.append(connection, [audit.Entry(by, "release", "", row)], at)
    return new


def keep_reference(database: Database, path: Path, at: datetime) -> None:
    """What drift is measured against, where a bundle carries it. Raises BadBundle for one that cannot be used."""
    found = bundle.read(path)
    own = references.of_bundle(found)
    if own is not None:
        with database.writing() as connection:
            references.put(connection, found.sha256, "bundle", own, at)


def listed(database: Database) -> list[Release]:
    with database.reading() as connection:
        return known_releases(connection)


def find(database: Database, kind: str, said: str) -> Release:
    """By NAME-VERSION. Raises BadOrder."""
    known = [one for one in listed(database) if one.kind == kind]
    for one in known:
        if said in {f"{one.name}-{one.version}", one.sha256}:
            return one
    names = ", ".join(f"{one.name}-{one.version}" for one in known) or "none"
    raise BadOrder(f"{kind} {said!r}", f"not registered (known: {names})", "`sono fleet releases add FILE` first")


def wanted(database: Database, bundle_said: str, profile_said: str) -> tuple[Target, Release | None]:
    """What a roll-out is of: a bundle, a site profile on the bundle that its site runs, or both. Raises BadOrder."""
    if not bundle_said and not profile_said:
        raise BadOrder("roll-out", "name at least one of --bundle and --profile", "Such as --bundle breast-0.3.1")
    if not profile_said:
        return target_of(find(database, "bundle", bundle_said)), None
    made = find(database, "profile", profile_said)
    bundle = find(database, "bundle", bundle_said or made.bundle)
    if f"{bundle.name}-{bundle.version}" != made.bundle:
        reason = f"it is for {made.bundle}, not for {bundle.name}-{bundle.version}"
        raise BadOrder(f"profile {profile_said}", reason, "Make one for this bundle with `sono model profile make`")
    return target_of(bundle, made), made
