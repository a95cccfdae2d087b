"""Update security, case by case after the published tuf-conformance suite: what a device must refuse, and follow."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, Timestamp

from sono_edge.updater import floor
from sono_edge.updater.refusal import Code, UpdateRefused
from sono_edge.updater.run import Outcome
from sono_fleet.publish.drills import delegate
from sono_fleet.publish.keys import KeyFolder
from sono_fleet.publish.repository import Days
from sono_models.errors import BadConfig
from tests.support.updates import BUNDLES, NOW, Device, Fleet

V1, V2, V3 = BUNDLES["1.0.0"], BUNDLES["1.1.0"], BUNDLES["1.2.0"]


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    made = Fleet(tmp_path / "fleet")
    made.folder.mkdir()
    made.init()
    made.publish(V1)
    return made


@pytest.fixture
def device(tmp_path: Path, fleet: Fleet) -> Device:
    folder = tmp_path / "device"
    folder.mkdir()
    root = folder / "root.json"
    shutil.copy(fleet.repository / "metadata" / "1.root.json", root)
    return Device(folder, root)


def follow(device: Device, fleet: Fleet, content: bytes) -> None:
    """A genuine update, from the fleet's own folder."""
    assert device.update(fleet.repository) is Outcome.STAGED
    assert device.staged == content


def refused(device: Device, place: Path, code: Code) -> UpdateRefused:
    before = device.staged
    with pytest.raises(UpdateRefused) as caught:
        device.update(place)
    assert caught.value.code is code, str(caught.value)
    assert device.staged == before
    return caught.value


def copied(fleet: Fleet, name: str) -> Path:
    place = fleet.folder / name
    shutil.copytree(fleet.repository, place)
    return place


def signed_by(fleet: Fleet, role: str, md: Metadata) -> bytes:  # type: ignore[type-arg]
    """Metadata as who holds this role's keys would sign it."""
    keys = KeyFolder.opened(fleet.keys)
    md.signatures.clear()
    for signer in keys.signers([keyid for keyid, held in keys.ring.keys.items() if held.role == role]):
        md.sign(signer, append=True)
    return md.to_bytes()


def online(fleet: Fleet, change: Callable[[Snapshot, Timestamp], object]) -> None:
    """A snapshot and a timestamp that the online keys signed after a change of them."""
    folder = fleet.repository / "metadata"
    timestamp: Metadata[Timestamp] = Metadata.from_bytes((folder / "timestamp.json").read_bytes())
    old = timestamp.signed.snapshot_meta.version
    snapshot: Metadata[Snapshot] = Metadata.from_bytes((folder / f"{old}.snapshot.json").read_bytes())
    snapshot.signed.version += 1
    timestamp.signed.version += 1
    change(snapshot.signed, timestamp.signed)
    raw = signed_by(fleet, "snapshot", snapshot)
    (folder / f"{snapshot.signed.version}.snapshot.json").write_bytes(raw)
    timestamp.signed.snapshot_meta = MetaFile.from_data(snapshot.signed.version, raw, ["sha256"])
    (folder / "timestamp.json").write_bytes(signed_by(fleet, "timestamp", timestamp))


def edit(path: Path, change: Callable[[dict], object]) -> None:  # type: ignore[type-arg]
    tree = json.loads(path.read_bytes())
    change(tree)
    path.write_bytes(json.dumps(tree).encode())


# Followed


def test_a_device_follows_every_release_and_change_of_keys(fleet: Fleet, device: Device) -> None:
    follow(device, fleet, V1)
    for role in ("root", "targets", "breast", "snapshot", "timestamp"):
        fleet.rotate(role)
    fleet.publish(V2)
    follow(device, fleet, V2)


def test_a_device_that_slept_through_all_of_it_follows_too(fleet: Fleet, device: Device) -> None:
    for _ in range(3):  # no root key is left that the embedded root names
        fleet.rotate("root")
    for role in ("root", "targets", "breast", "snapshot", "timestamp"):
        fleet.rotate(role, destroy=True)
    fleet.publish(V2)
    follow(device, fleet, V2)
    assert floor.read(device.state / floor.FILE).roles["root"].version == 8


def test_the_same_again_is_done_before(fleet: Fleet, device: Device) -> None:
    follow(device, fleet, V1)
    fleet.refresh()
    assert device.update(fleet.repository) is Outcome.DONE


# Rollback, freeze, mix and match


@pytest.mark.parametrize("wipe", [False, True], ids=["cache", "wiped-cache"])
def test_an_older_repository_is_refused(fleet: Fleet, device: Device, wipe: bool) -> None:
    old = copied(fleet, "old")
    fleet.publish(V2)
    follow(device, fleet, V2)
    if wipe:
        shutil.rmtree(device.state / "tuf")
    refusal = refused(device, old, Code.BELOW_FLOOR if wipe else Code.ROLLBACK)
    assert "look at update.url" in str(refusal)


def test_an_older_root_is_refused_when_the_cache_is_wiped(fleet: Fleet, device: Device) -> None:
    old = copied(fleet, "old")
    fleet.rotate("root")
    fleet.publish(V2)
    follow(device, fleet, V2)
    shutil.rmtree(device.state / "tuf")
    refused(device, old, Code.BELOW_FLOOR)
    fleet.publish(V3)
    follow(device, fleet, V3)


def test_a_snapshot_that_goes_back_is_refused(fleet: Fleet, device: Device) -> None:
    fleet.publish(V2)
    follow(device, fleet, V2)
    online(fleet, lambda snapshot, _: snapshot.meta.update({"breast.json": MetaFile(1)}))
    refused(device, fleet.repository, Code.ROLLBACK)


def test_a_snapshot_that_forgets_a_model_is_refused(fleet: Fleet, device: Device) -> None:
    follow(device, fleet, V1)
    online(fleet, lambda snapshot, _: snapshot.meta.pop("breast.json"))
    refused(device, fleet.repository, Code.MALFORMED)


@pytest.mark.parametrize("role", ["timestamp", "snapshot"])
def test_what_has_expired_is_refused_and_followed_again_once_renewed(fleet: Fleet, device: Device, role: str) -> None:
    past = NOW - timedelta(days=2)

    def expire(snapshot: Snapshot, timestamp: Timestamp) -> None:
        signed = snapshot if role == "snapshot" else timestamp
        signed.expires = past

    online(fleet, expire)
    refused(device, fleet.repository, Code.EXPIRED)
    assert device.heard.reports == []  # from a stick nothing was ordered, so that nobody waits to hear
    fleet.refresh()
    follow(device, fleet, V1)


@pytest.mark.parametrize("role", ["root", "targets", "model"])
def test_offline_roles_expire_too(tmp_path: Path, role: str) -> None:
    fleet = Fleet(tmp_path / "fleet", now=NOW - timedelta(days=40))
    fleet.folder.mkdir()
    long = Days(400, 400, 400, 400, 400)
    root = fleet.init(days=Days(**{**{n: getattr(long, n) for n in Days.__struct_fields__}, role: 30}))
    fleet.publish(V1)
    device = Device(tmp_path / "device", root)
    device.folder.mkdir()
    refused(device, fleet.repository, Code.EXPIRED)
    fleet.now = NOW
    with fleet.change() as change:
        change.sign_again("breast" if role == "model" else role)
        change.renew()
    follow(device, fleet, V1)


@pytest.mark.parametrize("role", ["snapshot", "targets", "breast"])
def test_mixed_moments_are_refused(fleet: Fleet, device: Device, role: str) -> None:
    folder = fleet.repository / "metadata"
    fleet.publish(V2)
    fleet.rotate("targets")
    newest = max(folder.glob(f"*.{role}.json"), key=lambda path: int(path.name.partition(".")[0]))
    shutil.copy(folder / f"1.{role}.json", newest)
    refused(device, fleet.repository, Code.MIX)


# Signatures and thresholds


@pytest.mark.parametrize("role", ["2.root", "timestamp"])
def test_one_signature_too_few_is_refused(fleet: Fleet, device: Device, role: str) -> None:
    fleet.rotate("root")
    edit(
        fleet.repository / "metadata" / f"{role}.json",
        lambda tree: tree.update(signatures=tree["signatures"][:1] if role == "2.root" else []),
    )
    refused(device, fleet.repository, Code.UNSIGNED)


def test_the_same_signature_twice_is_one(fleet: Fleet, device: Device) -> None:
    fleet.rotate("root")
    path = fleet.repository / "metadata" / "2.root.json"
    edit(path, lambda tree: tree.update(signatures=[tree["signatures"][0]] * 2))
    refused(device, fleet.repository, Code.MALFORMED)


def test_one_stolen_root_key_makes_no_root(fleet: Fleet, device: Device) -> None:
    folder = fleet.repository / "metadata"
    md: Metadata[Root] = Metadata.from_bytes((folder / "1.root.json").read_bytes())
    md.signed.version = 2
    md.signed.roles["root"].threshold = 1
    (folder / "2.root.json").write_bytes(signed_by(fleet, "root", md))
    edit(folder / "2.root.json", lambda tree: tree.update(signatures=tree["signatures"][:1]))
    refused(device, fleet.repository, Code.UNSIGNED)


def test_a_revoked_key_says_nothing_any_more(fleet: Fleet, device: Device) -> None:
    stolen = fleet.folder / "stolen"
    shutil.copytree(fleet.keys, stolen)
    fleet.rotate("timestamp", destroy=True)
    path = fleet.repository / "metadata" / "timestamp.json"
    md: Metadata[Timestamp] = Metadata.from_bytes(path.read_bytes())
    md.signed.version += 1
    genuine = Fleet(fleet.folder, fleet.now)
    shutil.move(fleet.keys, fleet.folder / "new-keys")
    shutil.move(stolen, fleet.keys)
    path.write_bytes(signed_by(genuine, "timestamp", md))
    refused(device, fleet.repository, Code.UNSIGNED)
    assert not (fleet.folder / "new-keys" / "timestamp-1.pem").exists()


def test_a_thief_who_counted_ahead_is_forgotten_with_his_keys(fleet: Fleet, device: Device) -> None:
    """Fast-forward recovery (specification 5.3.11), in the cache and in the floor."""
    path = fleet.repository / "metadata" / "timestamp.json"
    genuine = path.read_bytes()
    md: Metadata[Timestamp] = Metadata.from_bytes(genuine)
    md.signed.version = 10**6
    path.write_bytes(signed_by(fleet, "timestamp", md))
    follow(device, fleet, V1)
    path.write_bytes(genuine)
    fleet.publish(V2)
    refused(device, fleet.repository, Code.ROLLBACK)
    fleet.rotate("timestamp", destroy=True)
    follow(device, fleet, V2)


def test_another_models_key_does_not_speak_for_this_one(fleet: Fleet, device: Device) -> None:
    with fleet.change() as change:
        delegate(change, "lung")
    folder = fleet.repository / "metadata"
    role = Metadata.from_bytes((folder / "2.breast.json").read_bytes())
    role.signed.version = 3
    raw = signed_by(fleet, "lung", role)
    (folder / "3.breast.json").write_bytes(raw)
    online(fleet, lambda snapshot, _: snapshot.meta.update({"breast.json": MetaFile.from_data(3, raw, ["sha256"])}))
    refused(device, fleet.repository, Code.UNSIGNED)


# Sizes, shapes, places


@pytest.mark.parametrize(
    ("name", "code"),
    [("timestamp", Code.OVERSIZED), ("2.snapshot", Code.OVERSIZED), ("2.breast", Code.OVERSIZED)],
)
def test_endless_metadata_are_refused(fleet: Fleet, device: Device, name: str, code: Code) -> None:
    path = fleet.repository / "metadata" / f"{name}.json"
    path.write_bytes(path.read_bytes() + b" " * 3_000_000)
    refused(device, fleet.repository, code)


@pytest.mark.parametrize("content", [b"", b"{}", b"[" * 9_000, b"\xff\xfe", b'{"signed": {}, "signatures": []}'])
def test_what_is_no_metadata_is_refused(fleet: Fleet, device: Device, content: bytes) -> None:
    (fleet.repository / "metadata" / "timestamp.json").write_bytes(content)
    refused(device, fleet.repository, Code.MALFORMED)


def test_a_stick_leads_nowhere_else(fleet: Fleet, device: Device, tmp_path: Path) -> None:
    (target,) = (fleet.repository / "targets" / "breast" / "stable").glob("*.tar")
    target.rename(tmp_path / "elsewhere.tar")
    target.symlink_to(tmp_path / "elsewhere.tar")
    refused(device, fleet.repository, Code.ABSENT)


def test_a_swapped_target_is_refused_and_nothing_of_it_stays(fleet: Fleet, device: Device) -> None:
    (target,) = (fleet.repository / "targets" / "breast" / "stable").glob("*.tar")
    target.write_bytes(bytes(len(V1)))
    refused(device, fleet.repository, Code.DAMAGED)
    assert list((device.state / "slots" / "incoming").iterdir()) == []
    target.write_bytes(V1)
    follow(device, fleet, V1)


def test_a_file_that_is_signed_but_no_bundle_is_refused(fleet: Fleet, device: Device) -> None:
    with fleet.change() as change:
        with change.edit_targets("breast") as role:
            (found,) = role.targets.values()
            damaged = V1[:-1] + b"x"
            found.hashes["sha256"] = sha256(damaged).hexdigest()
        change.add_file(found.get_prefixed_paths()[0], damaged)
        change.renew()
    refused(device, fleet.repository, Code.BAD_BUNDLE)


# The embedded root, the floor, the clock


def test_the_embedded_root_is_never_replaced_by_the_cache(fleet: Fleet, device: Device, tmp_path: Path) -> None:
    stranger = Fleet(tmp_path / "stranger")
    stranger.folder.mkdir()
    stranger.init()
    stranger.publish(V2)
    follow(Device(device.folder, stranger.repository / "metadata" / "1.root.json"), stranger, V2)
    (device.state / floor.FILE).unlink()
    refused(device, stranger.repository, Code.UNSIGNED)
    fleet.publish(V3)
    follow(device, fleet, V3)


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"roles": {"root": 1}}'])
def test_a_damaged_floor_stops_updates_and_says_what_to_do(fleet: Fleet, device: Device, damage: bytes) -> None:
    follow(device, fleet, V1)
    (device.state / floor.FILE).write_bytes(damage)
    fleet.publish(V2)
    assert "remove tuf-floor.json" in str(refused(device, fleet.repository, Code.FLOOR_LOST))


@pytest.mark.parametrize("damage", [b"", b"{", b"\0" * 4096])
def test_a_torn_cache_heals(fleet: Fleet, device: Device, damage: bytes) -> None:
    follow(device, fleet, V1)
    for path in (device.state / "tuf").rglob("*.json"):
        path.write_bytes(damage)
    fleet.publish(V2)
    follow(device, fleet, V2)


def test_a_clock_that_went_back_years_is_not_believed(fleet: Fleet, device: Device) -> None:
    follow(device, fleet, V1)
    fleet.publish(V2)
    device.now = NOW - timedelta(days=3650)
    assert "Set the clock" in str(refused(device, fleet.repository, Code.CLOCK))
    device.now = NOW
    follow(device, fleet, V2)


def test_no_root_is_a_bad_configuration(fleet: Fleet, device: Device) -> None:
    for content in (None, b"{}", b"x" * 100_000):
        device.root.unlink(missing_ok=True)
        if content is not None:
            device.root.write_bytes(content)
        with pytest.raises(BadConfig, match=r"update\.root"):
            device.update(fleet.repository)


def test_a_folder_that_is_no_repository_is_named(device: Device, tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="holds no metadata"):
        device.update(tmp_path / "nowhere")
