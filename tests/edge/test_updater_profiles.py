"""Site profiles through the updater: published, ordered, fetched, checked by this device's own key, staged."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest

from sono_edge.bench.tamper.stand_in import stand_in
from sono_edge.slots.records import SiteProfile, Slot
from sono_edge.updater.refusal import Code, UpdateRefused
from sono_edge.updater.run import Outcome
from sono_fleet.publish import profiles
from sono_fleet.publish.releases import Published
from sono_models import bundle
from sono_models.envelope import KeyPair, make_keys
from sono_models.errors import BadConfig, BadProfile
from sono_models.manifest import Manifest
from sono_models.profile import Profile
from sono_models.release import ProfilePlace
from tests.support.profiles import KEYS, made_for, signed, written
from tests.support.update_server import UpdateServer
from tests.support.updates import NOW, SITE, Device, Fleet

V1 = stand_in("1.0.0", size=60_000)
V2 = stand_in("1.1.0", size=60_000)
STRANGER = make_keys()


def manifest_of(content: bytes, folder: Path) -> Manifest:
    path = folder / "looked-at.tar"
    path.write_bytes(content)
    return bundle.read(path).manifest


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    fleet = Fleet(tmp_path_factory.mktemp("fleet"))
    fleet.init()
    fleet.publish(V1)
    fleet.publish(V2)
    return fleet


@pytest.fixture
def server(published: Fleet) -> Iterator[UpdateServer]:
    with UpdateServer(published.repository) as running:
        yield running


@pytest.fixture
def device(tmp_path: Path, published: Fleet, server: UpdateServer) -> Device:
    made = Device(tmp_path, published.repository / "metadata" / "1.root.json", server.url)
    (tmp_path / "site.pub").write_bytes(KEYS.public)
    made.settings["profile_key"] = str(tmp_path / "site.pub")
    return made


def out(fleet: Fleet, profile: Profile, folder: Path, keys: KeyPair = KEYS) -> Published:
    files = written(folder, signed(profile, keys), keys)
    with fleet.change() as repository:
        return profiles.publish(repository, files.profile, files.public, "stable", fleet.now)


def a_profile(folder: Path, version: str, content: bytes = V1, site: str = SITE) -> Profile:
    return made_for(manifest_of(content, folder), at=NOW, site=site, version=version)


def order(device: Device, brought: Published, content: bytes = V1, version: str = "1.0.0") -> None:
    device.order(content, version, profile_target=brought.target, profile_sha256=brought.sha256)


def refused(device: Device, code: Code) -> None:
    with pytest.raises(UpdateRefused) as refusal:
        device.update()
    assert refusal.value.code is code, refusal.value
    assert (device.heard.reports[-1].phase, device.heard.code) == ("refused", code)
    assert device.staged is None


def staged(device: Device) -> dict[str, object]:
    found: dict[str, object] = json.loads((device.state / "slots" / "staged" / "staged.json").read_bytes())
    return found


def test_a_bundle_arrives_with_its_profile(device: Device, published: Fleet, tmp_path: Path) -> None:
    brought = out(published, a_profile(tmp_path, "1.0.1"), tmp_path)
    assert brought.target == f"breast/stable/profile.{SITE}.clinic-a-1.0.1.json"
    order(device, brought)
    assert device.update() is Outcome.STAGED
    assert device.staged == V1
    assert (staged(device)["alone"], staged(device)["profile"]) == (
        False,
        {"name": "clinic-a", "version": "1.0.1", "sha256": brought.sha256, "size": brought.size},
    )
    kept = device.state / "slots" / "profiles" / f"{brought.sha256}.json"
    assert sha256(kept.read_bytes()).hexdigest() == brought.sha256
    assert not any((device.state / "slots" / "incoming-profile").iterdir())
    assert device.update() is Outcome.DONE


def test_a_profile_for_what_judges_already_comes_alone(
    device: Device, published: Fleet, server: UpdateServer, tmp_path: Path
) -> None:
    brought = out(published, a_profile(tmp_path, "1.0.2"), tmp_path)
    folder = device.state / "slots" / "bundles"
    folder.mkdir(parents=True)
    (folder / "it.tar").write_bytes(V1)
    slot = Slot("breast", "1.0.0", sha256(V1).hexdigest(), "good", "it.tar")
    current = device.state / "slots" / "current.json"
    current.write_bytes(msgspec.json.encode(slot))
    order(device, brought)
    assert device.update() is Outcome.STAGED
    assert staged(device)["alone"] is True
    assert not any(path.endswith(".tar") for path in server.asked)
    assert device.heard.phases == ["offered", "verified"]
    profile = SiteProfile("clinic-a", "1.0.2", brought.sha256, brought.size)
    current.write_bytes(msgspec.json.encode(msgspec.structs.replace(slot, profile=profile)))
    device.order(V1, "1.0.0", serial=2, profile_target=brought.target, profile_sha256=brought.sha256)
    assert device.update() is Outcome.DONE
    assert device.heard.phases[-1] == "good"
    device.order(V1, "1.0.0", serial=3)  # and the bundle's own again
    assert device.update() is Outcome.STAGED
    assert (staged(device)["alone"], staged(device)["profile"]) == (True, None)


def test_another_sites_profile_is_refused_before_anything_is_fetched(
    device: Device, published: Fleet, server: UpdateServer, tmp_path: Path
) -> None:
    order(device, out(published, a_profile(tmp_path, "1.0.3", site="clinic-b"), tmp_path))
    refused(device, Code.PROFILE_SITE)
    assert server.asked == {}


def test_a_profile_under_another_sites_name_is_refused(device: Device, published: Fleet, tmp_path: Path) -> None:
    """Who may sign for the model and puts a profile where it does not belong gets no further."""
    brought = _smuggled(published, a_profile(tmp_path, "1.0.4", site="clinic-b"), tmp_path, place=("clinic-a", "1.0.4"))
    order(device, brought)
    refused(device, Code.PROFILE_SITE)


def test_a_profile_for_another_bundle_is_refused(device: Device, published: Fleet, tmp_path: Path) -> None:
    brought = out(published, a_profile(tmp_path, "1.0.5", V2), tmp_path)
    order(device, brought)
    refused(device, Code.PROFILE_BUNDLE)


def test_a_profile_for_other_weights_is_refused(device: Device, published: Fleet, tmp_path: Path) -> None:
    mine = a_profile(tmp_path, "1.0.6")
    other = msgspec.structs.replace(mine, bundle=msgspec.structs.replace(mine.bundle, weights_sha256="0" * 64))
    order(device, out(published, other, tmp_path))
    refused(device, Code.PROFILE_BUNDLE)


def test_a_profile_of_an_unknown_key_is_refused(device: Device, published: Fleet, tmp_path: Path) -> None:
    order(device, out(published, a_profile(tmp_path, "1.0.7"), tmp_path, STRANGER))
    refused(device, Code.PROFILE_KEY)


def test_a_profile_whose_signature_is_wrong_is_refused(device: Device, published: Fleet, tmp_path: Path) -> None:
    """Signed into the repository by a thief of the model's key, under the right key's id."""
    mine, others = a_profile(tmp_path, "1.0.8"), made_for(manifest_of(V1, tmp_path), at=NOW, version="1.0.8")
    envelope = json.loads(signed(msgspec.structs.replace(others, site=SITE)))
    forged = json.loads(signed(msgspec.structs.replace(mine, expires_at=NOW + timedelta(days=900))))
    envelope["payload"] = forged["payload"]
    raw = json.dumps(envelope, indent=1, sort_keys=True).encode() + b"\n"
    order(device, _smuggled(published, mine, tmp_path, raw=raw))
    refused(device, Code.PROFILE_SIGNATURE)


def test_a_profile_that_is_too_old_is_refused(device: Device, published: Fleet, tmp_path: Path) -> None:
    old = msgspec.structs.replace(a_profile(tmp_path, "1.0.9"), expires_at=NOW + timedelta(minutes=1))
    order(device, out(published, old, tmp_path))
    device.now = NOW + timedelta(minutes=2)
    refused(device, Code.PROFILE_EXPIRED)


def test_what_is_no_profile_is_refused(device: Device, published: Fleet, tmp_path: Path) -> None:
    order(device, _smuggled(published, a_profile(tmp_path, "1.1.0"), tmp_path, raw=b"{}\n"))
    refused(device, Code.BAD_PROFILE)


def test_a_device_without_a_key_takes_none(device: Device, published: Fleet, tmp_path: Path) -> None:
    brought = out(published, a_profile(tmp_path, "1.1.1"), tmp_path)
    del device.settings["profile_key"]
    order(device, brought)
    refused(device, Code.PROFILE)


def test_other_bytes_than_ordered_are_refused(device: Device, published: Fleet, tmp_path: Path) -> None:
    brought = out(published, a_profile(tmp_path, "1.1.2"), tmp_path)
    device.order(V1, "1.0.0", profile_target=brought.target, profile_sha256="0" * 64)
    refused(device, Code.OTHER_TARGET)


def test_a_profile_that_is_not_published_is_waited_for(device: Device) -> None:
    place = ProfilePlace("breast", "stable", SITE, "clinic-a", "7.7.7")
    device.order(V1, "1.0.0", profile_target=place.path, profile_sha256="0" * 64)
    refused(device, Code.NOT_PUBLISHED)


def test_what_cannot_be_published_is_refused(published: Fleet, tmp_path: Path) -> None:
    mine = a_profile(tmp_path, "1.2.0")
    first = out(published, mine, tmp_path)
    assert first.fresh
    assert not out(published, mine, tmp_path).fresh
    other = msgspec.structs.replace(mine, expires_at=NOW + timedelta(days=3))
    with pytest.raises(BadProfile, match="other bytes"):
        out(published, other, tmp_path)
    with pytest.raises(BadProfile, match="expired"):
        out(published, msgspec.structs.replace(mine, version="1.2.1", expires_at=NOW), tmp_path)
    unknown = msgspec.structs.replace(
        mine, version="1.2.2", bundle=msgspec.structs.replace(mine.bundle, version="9.0.0")
    )
    with pytest.raises(BadConfig, match="not published in stable"):
        out(published, unknown, tmp_path)
    with published.change() as repository:
        assert first.target in [one.target for one in profiles.out(repository)]
        repository.renew()


def _smuggled(
    fleet: Fleet, profile: Profile, folder: Path, *, place: tuple[str, str] | None = None, raw: bytes | None = None
) -> Published:
    """Into the repository past `publish`, as who holds the model's key can."""
    from tuf.api.metadata import TargetFile  # noqa: PLC0415  (only thieves need it)

    site, version = place or (SITE, profile.version)
    where = ProfilePlace("breast", "stable", site, "clinic-a", version)
    content = raw or signed(profile)
    target = TargetFile.from_data(where.path, content, ["sha256"])
    custom = {"name": "clinic-a", "version": version, "site": site, "bundle": "breast", "bundle_version": "1.0.0"}
    target.unrecognized_fields["custom"] = custom
    with fleet.change() as repository:
        with repository.edit_targets("breast") as role:
            role.targets[where.path] = target
        repository.add_file(target.get_prefixed_paths()[0], content)
        repository.renew()
    return Published("clinic-a", version, "stable", where.path, target.hashes["sha256"], len(content))
