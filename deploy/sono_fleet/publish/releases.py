"""Bundles into the repository: publish one, put an old one back under a new version, say what is there."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path

import msgspec
from tuf.api.metadata import TargetFile

from sono_fleet.publish.repository import SignedRepository
from sono_models import bundle as bundles
from sono_models.errors import BadBundle, BadConfig
from sono_models.release import MODEL, VERSION, Place, Release, place_of, version_key


@dataclass(frozen=True, slots=True)
class Published:
    """One bundle in the repository. `fresh`: this change brought it."""

    name: str
    version: str
    channel: str
    target: str
    sha256: str
    size: int
    fresh: bool = True


def publish(repository: SignedRepository, path: Path, channel: str, devices: tuple[str, ...] = ()) -> Published:
    """Verify a bundle whole and sign it in. Commits nothing. Raises BadBundle, BadConfig.

    Refused: a version that is out already with other bytes, one that is not the newest of its channel.
    """
    bundle = bundles.read(path)
    content = bundle.path.read_bytes()
    if hashlib.sha256(content).hexdigest() != bundle.sha256:
        raise BadBundle(str(bundle.path), "it changed while it was read", "Publish it again")
    manifest = bundle.manifest
    release = Release(manifest.name, manifest.version, manifest.min_agent, devices)
    return _add(repository, content, release, channel)


def roll_back(repository: SignedRepository, name: str, channel: str, to: str, new_version: str) -> Published:
    """The content of a published version again, under a new version: devices only go forward. Raises as `publish`."""
    place = Place(name, channel, to)
    found = _targets(repository, name).get(place.path)
    if found is None:
        there = ", ".join(one.version for one in published(repository, name) if one.channel == channel) or "none"
        raise BadConfig(f"{name} {to}", f"not published in {channel}", f"Choose of: {there}")
    content = repository.file(found.get_prefixed_paths()[0])
    again = repacked(content, new_version)
    old = _release(found)
    return _add(repository, again, Release(name, new_version, old.min_agent, old.devices), channel)


def repacked(content: bytes, version: str) -> bytes:
    """A bundle's bytes with another version in its manifest; all else stays. Raises BadBundle."""
    with tempfile.TemporaryDirectory(prefix="sono-repack-") as folder:
        path = Path(folder) / "bundle.tar"
        path.write_bytes(content)
        bundle = bundles.read(path)
        manifest = msgspec.structs.replace(bundle.manifest, version=version)
        return bundles.pack(manifest, {name: bundle.content(name) for name in bundle.members})


def published(repository: SignedRepository, name: str | None = None) -> list[Published]:
    """The bundles that are out, the oldest version of each channel first."""
    names = (name,) if name else repository.models()
    every = (target for one in names for target in _targets(repository, one).values())
    found = [_shown(target) for target in every if place_of(target.path) is not None]
    return sorted(found, key=lambda one: (one.name, one.channel, version_key(one.version)))


def _add(repository: SignedRepository, content: bytes, release: Release, channel: str) -> Published:
    _checked(repository, release, channel)
    place = Place(release.name, channel, release.version)
    target = TargetFile.from_data(place.path, content, ["sha256"])
    target.unrecognized_fields["custom"] = msgspec.to_builtins(release)
    there = [one for one in published(repository, release.name) if one.version == release.version]
    if any(one.sha256 != target.hashes["sha256"] for one in there):
        reason = f"{release.version} is published already with other bytes"
        raise BadBundle(place.path, reason, "Pack it under a new version")
    if any(one.channel == channel for one in there):
        return _again(there, channel)
    newest = [one.version for one in published(repository, release.name) if one.channel == channel][-1:]
    if newest and version_key(release.version) <= version_key(newest[0]):
        reason = f"{release.version} is not higher than {newest[0]}, the newest of {channel}"
        raise BadBundle(place.path, reason, "Pack it under a higher version")
    with repository.edit_targets(release.name) as role:
        role.targets[place.path] = target
    repository.add_file(target.get_prefixed_paths()[0], content)
    repository.renew()
    return _shown(target)


def _checked(repository: SignedRepository, release: Release, channel: str) -> None:
    if not MODEL.fullmatch(release.name) or not VERSION.fullmatch(release.version):
        reason = f"{release.name!r} {release.version!r}: names are a-z 0-9 - _, versions MAJOR.MINOR.PATCH"
        raise BadBundle("the bundle", reason, "Pack it under another name or version")
    if release.name not in repository.models():
        raise BadConfig(
            f"model {release.name}",
            "no key may speak for it yet",
            f"Run `sono fleet delegate {release.name}` with the targets key at hand",
        )
    if channel not in repository.settings.channels:
        known = ", ".join(repository.settings.channels)
        raise BadConfig(f"--channel {channel}", "there is no such channel", f"Choose of {known}")


def _again(there: list[Published], channel: str) -> Published:
    """The same bytes are out there already: nothing to do."""
    one = next(one for one in there if one.channel == channel)
    return Published(one.name, one.version, one.channel, one.target, one.sha256, one.size, fresh=False)


def _targets(repository: SignedRepository, name: str) -> dict[str, TargetFile]:
    return repository.targets(name).targets


def _release(target: TargetFile) -> Release:
    return msgspec.convert(target.custom or {}, Release)


def _shown(target: TargetFile) -> Published:
    place = place_of(target.path)
    assert place is not None, target.path
    return Published(place.name, place.version, place.channel, target.path, target.hashes["sha256"], target.length)
