"""Forgeries by one who stole keys: the two online ones, a replaced one, one root key, another model's key."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp

from sono_edge.bench.tamper.scene import Altered, Forgery, Scene, keys_of
from sono_edge.bench.tamper.stand_in import stand_in
from sono_edge.bench.tamper.world import Files


def rolled_back_by_online_keys(scene: Scene) -> Altered:
    """The online keys say that an older model role is the newest.

    Before a device that has seen no newer one this is a freeze, which lasts until the keys are revoked: TUF does
    not stop it, so that it is no forgery there.
    """
    if scene.device in {"new", "first"}:
        return None
    old = scene.chance.choice([1, 2])

    def change(snapshot: Snapshot) -> None:
        role = scene.chance.choice(["breast.json", "targets.json"])
        snapshot.meta[role] = MetaFile(old if role == "breast.json" else 1)
        if role == "targets.json":
            snapshot.meta["breast.json"] = MetaFile(old)

    return _online(scene, change)


def unheard_role_by_online_keys(scene: Scene) -> Altered:
    """The online keys vouch for a model role that the model's key never signed."""
    files = dict(scene.files)
    name = scene.named("breast")
    role: Metadata[Targets] = Metadata.from_bytes(files[name])
    evil = stand_in("9.9.9", seed=scene.chance.randrange(10**6))
    target = TargetFile.from_data("breast/stable/breast-9.9.9.tar", evil, ["sha256"])
    target.unrecognized_fields["custom"] = {"name": "breast", "version": "9.9.9", "min_agent": "0.1.0"}
    role.signed.targets[target.path] = target
    role.signed.version += 1
    role.signatures.clear()
    role.sign(scene.chance.choice([scene.keys["timestamp"][0], scene.keys["snapshot"][0], scene.keys["lung"][0]]))
    raw = role.to_bytes()
    files[f"metadata/{role.signed.version}.breast.json"] = raw
    files[f"targets/{target.get_prefixed_paths()[0]}"] = evil
    meta = MetaFile.from_data(role.signed.version, raw, ["sha256"])
    return _online(scene, lambda snapshot: snapshot.meta.update({"breast.json": meta}), files)


def dropped_role_by_online_keys(scene: Scene) -> Altered:
    return _online(scene, lambda snapshot: snapshot.meta.pop("breast.json"))


def expired_by_online_keys(scene: Scene) -> Altered:
    """What the genuine keys said, long ago."""
    past = datetime.now(UTC).replace(microsecond=0) - timedelta(days=scene.chance.randrange(1, 400))

    def change(signed: Snapshot | Timestamp) -> None:
        signed.expires = past

    if scene.chance.random() < 0.5:
        return _online(scene, change)
    return _online(scene, lambda _: None, at_timestamp=change)


def timestamp_from_before(scene: Scene) -> Altered:
    """The old timestamp, re-signed with the timestamp key that was replaced."""
    old = keys_of(scene.world.keys("second"))["timestamp"][0]
    md: Metadata[Timestamp] = Metadata.from_bytes(scene.files["metadata/timestamp.json"])
    md.signed.version += scene.chance.randrange(1, 1000)
    md.signatures.clear()
    md.sign(old)
    return scene.changed("metadata/timestamp.json", md.to_bytes())


def root_by_one_key(scene: Scene) -> Altered:
    """A new root that one stolen root key and as many strangers' as one likes have signed."""
    name = scene.named("root")
    md: Metadata[Root] = Metadata.from_bytes(scene.files[name])
    md.signed.version += 1
    strangers = [CryptoSigner.generate_ed25519() for _ in range(2)]
    for stranger in strangers:
        md.signed.add_key(stranger.public_key, "root")
        md.signed.add_key(stranger.public_key, "timestamp")
    if scene.chance.random() < 0.5:
        md.signed.roles["root"].threshold = 1
    md.signatures.clear()
    for signer in (scene.chance.choice(scene.keys["root"]), *strangers):
        md.sign(signer, append=True)
    return {**scene.files, f"metadata/{md.signed.version}.root.json": md.to_bytes()}


FORGERIES: tuple[Forgery, ...] = (
    rolled_back_by_online_keys,
    unheard_role_by_online_keys,
    dropped_role_by_online_keys,
    expired_by_online_keys,
    timestamp_from_before,
    root_by_one_key,
)


def _online(
    scene: Scene,
    change: Callable[[Snapshot], object],
    files: Files | None = None,
    *,
    at_timestamp: Callable[[Timestamp], object] = lambda _: None,
) -> Altered:
    """A snapshot and a timestamp as the stolen online keys sign them."""
    files = dict(files or scene.files)
    snapshot: Metadata[Snapshot] = Metadata.from_bytes(files[scene.named("snapshot")])
    timestamp: Metadata[Timestamp] = Metadata.from_bytes(files["metadata/timestamp.json"])
    change(snapshot.signed)
    snapshot.signed.version += 1
    snapshot.signatures.clear()
    snapshot.sign(scene.keys["snapshot"][0])
    raw = snapshot.to_bytes()
    timestamp.signed.snapshot_meta = MetaFile.from_data(snapshot.signed.version, raw, ["sha256"])
    timestamp.signed.version += 1
    at_timestamp(timestamp.signed)
    timestamp.signatures.clear()
    timestamp.sign(scene.keys["timestamp"][0])
    files[f"metadata/{snapshot.signed.version}.snapshot.json"] = raw
    files["metadata/timestamp.json"] = timestamp.to_bytes()
    return files
