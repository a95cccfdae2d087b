"""Site profiles into the repository, beside the bundles that they are for and signed by the same role."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import msgspec
from tuf.api.metadata import TargetFile

from sono_fleet.publish.releases import Published, published
from sono_fleet.publish.repository import SignedRepository
from sono_models import profile as profiles
from sono_models.errors import BadConfig, BadProfile
from sono_models.release import ProfilePlace, ProfileRelease, profile_place_of


def publish(repository: SignedRepository, path: Path, key: Path, channel: str, now: datetime) -> Published:
    """Verify a profile by its maker's public key and sign it in. Commits nothing. Raises BadProfile, BadConfig.

    Refused: one whose bundle is not out in this channel, one that has expired, a version that is out with other bytes.
    """
    made = profiles.read(path, key)
    profile = made.profile
    profiles.check(profile, site=None, now=now)
    of = profile.bundle
    if of.name not in repository.models() or not any(
        (one.channel, one.version) == (channel, of.version) for one in published(repository, of.name)
    ):
        reason = f"it is for {of.name} {of.version}, which is not published in {channel}"
        raise BadConfig(str(path), reason, "`sono fleet publish` the bundle first")
    place = ProfilePlace(of.name, channel, profile.site, profile.name, profile.version)
    content = path.read_bytes()
    target = TargetFile.from_data(place.path, content, ["sha256"])
    if profile_place_of(place.path) is None or target.hashes["sha256"] != made.sha256:
        raise BadProfile(
            str(path), "its version is not MAJOR.MINOR.PATCH, or it changed while it was read", "Make it again"
        )
    release = ProfileRelease(profile.name, profile.version, profile.site, of.name, of.version)
    target.unrecognized_fields["custom"] = msgspec.to_builtins(release)
    there = repository.targets(of.name).targets.get(place.path)
    if there is not None:
        if there.hashes["sha256"] != made.sha256:
            raise BadProfile(place.path, "published already with other bytes", "Make it under a new version")
        return _shown(there, place, fresh=False)
    with repository.edit_targets(of.name) as role:
        role.targets[place.path] = target
    repository.add_file(target.get_prefixed_paths()[0], content)
    repository.renew()
    return _shown(target, place)


def out(repository: SignedRepository) -> list[Published]:
    """The profiles that are out, by site and version."""
    every = (target for name in repository.models() for target in repository.targets(name).targets.values())
    placed = [(profile_place_of(target.path), target) for target in every]
    found = [_shown(target, place) for place, target in placed if place is not None]
    return sorted(found, key=lambda one: one.target)


def _shown(target: TargetFile, place: ProfilePlace, *, fresh: bool = True) -> Published:
    sha256, size = target.hashes["sha256"], target.length
    return Published(place.name, place.version, place.channel, target.path, sha256, size, fresh=fresh)
