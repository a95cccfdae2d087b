"""What an attacker can do to a repository's files: each returns them altered, or None where it would change nothing.

A forgery is a function of the files, the thief's keys and chance. What he may hold is said by each: nothing (he
sits on the line, or brings the stick), the online keys, one root key, another model's key.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from securesystemslib.signer import CryptoSigner, SSlibKey
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp

from sono_edge.bench.tamper.stand_in import stand_in
from sono_edge.bench.tamper.world import Files, World

Altered: TypeAlias = dict[str, bytes] | None


@dataclass(frozen=True, slots=True)
class Scene:
    """`asked`: the files that this device would fetch of the genuine repository; only these are worth altering."""

    world: World
    device: str
    asked: tuple[str, ...]
    chance: random.Random
    keys: Mapping[str, list[CryptoSigner]]
    """The genuine keys of now by role, for the forgeries of one who stole some."""

    @property
    def files(self) -> Files:
        return self.world.now

    def one(self, *roles: str) -> str | None:
        """A metadata file of one of these roles that will be asked for."""
        return self._any([name for name in self.asked if role_of(name) in roles])

    def target(self) -> str | None:
        return self._any([name for name in self.asked if name.startswith("targets/")])

    def named(self, role: str) -> str:
        """The newest file of a role."""
        return max((name for name in self.files if role_of(name) == role), key=_number)

    def changed(self, name: str | None, content: bytes) -> Altered:
        if name is None or content == self.files[name]:
            return None
        return {**self.files, name: content}

    def _any(self, names: list[str]) -> str | None:
        return self.chance.choice(sorted(names)) if names else None


Forgery: TypeAlias = Callable[[Scene], Altered]
ROLES = ("timestamp", "snapshot", "targets", "breast")


def role_of(name: str) -> str:
    """`metadata/3.snapshot.json` → `snapshot`; a target has none."""
    folder, _, file = name.partition("/")
    return file.removesuffix(".json").rpartition(".")[2] if folder == "metadata" else ""


def _number(name: str) -> int:
    """The version in a metadata file's name."""
    first = name.rpartition("/")[2].partition(".")[0]
    return int(first) if first.isdigit() else 0


def keys_of(folder: Path) -> dict[str, list[CryptoSigner]]:
    """The signers of a folder of keys, by role."""
    found: dict[str, list[CryptoSigner]] = {}
    ring = msgspec.json.decode((folder / "ring.json").read_bytes())["keys"]
    for keyid, held in ring.items():
        private = load_pem_private_key((folder / held["uri"].removeprefix("file:")).read_bytes(), None)
        assert isinstance(private, Ed25519PrivateKey)
        public = SSlibKey(keyid, held["keytype"], held["scheme"], {"public": held["public"]})
        found.setdefault(held["role"], []).append(CryptoSigner(private, public))
    return found


# On the line: no key at all


def flipped_bit(scene: Scene) -> Altered:
    name = scene.one(*ROLES, "root")
    return None if name is None else _if_other_meaning(scene, name, _flip(scene, name))


def cut_metadata(scene: Scene) -> Altered:
    name = scene.one(*ROLES, "root")
    return None if name is None else scene.changed(name, scene.files[name][: _point(scene, name)])


def prolonged_metadata(scene: Scene) -> Altered:
    name = scene.one(*ROLES, "root")
    return None if name is None else scene.changed(name, scene.files[name] + scene.chance.choice([b"{}", b"]", b"x"]))


def bloated_metadata(scene: Scene) -> Altered:
    """Longer than any such file may be, and still JSON."""
    name = scene.one(*ROLES, "root")
    return None if name is None else scene.changed(name, scene.files[name] + b" " * (2 << 20))


def nested_metadata(scene: Scene) -> Altered:
    name = scene.one(*ROLES, "root")
    depth = scene.chance.randrange(1000, 8000)
    return None if name is None else scene.changed(name, b"[" * depth + b"]" * depth)


def missing_file(scene: Scene) -> Altered:
    name = scene.one(*ROLES) or scene.target()
    return {other: content for other, content in scene.files.items() if other != name} if name else None


def another_role_in_its_place(scene: Scene) -> Altered:
    name, other = scene.one(*ROLES), scene.chance.choice(ROLES)
    return None if name is None else scene.changed(name, scene.files[scene.named(other)])


def without_signatures(scene: Scene) -> Altered:
    """Fewer than must sign."""
    name = scene.one(*ROLES, "root")
    if name is None:
        return None
    tree = json.loads(scene.files[name])
    tree["signatures"] = tree["signatures"][: 1 if role_of(name) == "root" else 0]
    return scene.changed(name, _text(tree))


def doubled_signature(scene: Scene) -> Altered:
    """One signature again and again, under its own name or the others'."""
    name = scene.one(*ROLES, "root")
    if name is None:
        return None
    tree = json.loads(scene.files[name])
    first = tree["signatures"][0]
    if scene.chance.random() < 0.5:
        tree["signatures"] = [first, first, first]
    else:
        tree["signatures"] = [{"keyid": one["keyid"], "sig": first["sig"]} for one in tree["signatures"]]
        tree["signatures"].reverse()
        if role_of(name) != "root":
            tree["signatures"] = [{"keyid": "0" * 64, "sig": first["sig"]}]
    return scene.changed(name, _text(tree))


def rewritten(scene: Scene) -> Altered:
    """Another word, under the old signatures."""
    name = scene.one(*ROLES, "root")
    if name is None:
        return None
    tree = json.loads(scene.files[name])
    scene.chance.choice(_REWRITES)(tree["signed"], scene.chance)
    return scene.changed(name, _text(tree))


def signed_by_a_stranger(scene: Scene) -> Altered:
    """Another word, under a stranger's key, sometimes in the name of the right one."""
    name = scene.one(*ROLES, "root")
    if name is None:
        return None
    md: Metadata[Any] = Metadata.from_bytes(scene.files[name])
    md.signed.expires += timedelta(days=scene.chance.randrange(1, 900))
    stranger = CryptoSigner.generate_ed25519()
    if scene.chance.random() < 0.5:
        stranger.public_key.keyid = next(iter(md.signatures))
    md.sign(stranger, append=scene.chance.random() < 0.5)
    if role_of(name) == "root":
        md.signatures = {stranger.public_key.keyid: md.signatures[stranger.public_key.keyid]}
    return scene.changed(name, md.to_bytes())


def a_strangers_repository(scene: Scene) -> Altered:
    """All of it, or all but the roots."""
    if scene.chance.random() < 0.5:
        return dict(scene.world.foreign)
    roots = {name: content for name, content in scene.files.items() if role_of(name) == "root"}
    return {**scene.world.foreign, **roots}


def a_strangers_file(scene: Scene) -> Altered:
    name = scene.one(*ROLES, "root")
    return None if name is None else scene.changed(name, scene.world.foreign.get(name, b"{}"))


def mixed_moments(scene: Scene) -> Altered:
    """One file as it was before, under its new name."""
    name = scene.one("snapshot", "targets", "breast")
    if name is None:
        return None
    old = [other for other in scene.files if role_of(other) == role_of(name) and other != name]
    return scene.changed(name, scene.files[scene.chance.choice(old)]) if old else None


def altered_target(scene: Scene) -> Altered:
    name = scene.target()
    return None if name is None else scene.changed(name, scene.chance.choice(_TARGETS)(scene, name))


# With stolen keys


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
    flipped_bit,
    flipped_bit,
    flipped_bit,
    flipped_bit,
    cut_metadata,
    prolonged_metadata,
    bloated_metadata,
    nested_metadata,
    missing_file,
    another_role_in_its_place,
    without_signatures,
    doubled_signature,
    rewritten,
    rewritten,
    signed_by_a_stranger,
    signed_by_a_stranger,
    a_strangers_repository,
    a_strangers_file,
    mixed_moments,
    altered_target,
    altered_target,
    altered_target,
    rolled_back_by_online_keys,
    unheard_role_by_online_keys,
    dropped_role_by_online_keys,
    expired_by_online_keys,
    timestamp_from_before,
    root_by_one_key,
)
"""Worth drawing again and again: of each there are many."""


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


def _flip(scene: Scene, name: str) -> bytes:
    raw = bytearray(scene.files[name])
    # of a root's signatures one may fall and it still counts: only its word is worth a flip
    first = raw.index(b'"signed"') if role_of(name) == "root" else 0
    bit = scene.chance.randrange(8 * first, 8 * len(raw))
    raw[bit // 8] ^= 1 << bit % 8
    return bytes(raw)


def _if_other_meaning(scene: Scene, name: str, raw: bytes) -> Altered:
    """None where the flip only wrote the same hexadecimal digit in another case."""
    try:
        before, after = json.loads(scene.files[name]), json.loads(raw)
        for tree in (before, after):
            for one in tree["signatures"]:
                one["sig"] = one["sig"].lower()
    except (ValueError, KeyError, TypeError, AttributeError):
        return scene.changed(name, raw)
    return None if before == after else scene.changed(name, raw)


def _point(scene: Scene, name: str) -> int:
    return scene.chance.randrange(len(scene.files[name]))


def _bump(signed: dict[str, Any], chance: random.Random) -> None:
    signed["version"] += chance.choice([-1, 1, 1000])


def _prolong(signed: dict[str, Any], chance: random.Random) -> None:
    signed["expires"] = f"{chance.randrange(2030, 2099)}-01-01T00:00:00Z"


def _inside(signed: dict[str, Any], chance: random.Random) -> None:
    """What each role is there for."""
    match signed["_type"]:
        case "root":
            signed["roles"][chance.choice(["root", "timestamp"])]["threshold"] = 1
            signed["x"] = chance.randrange(10**6)
        case "targets":
            signed["targets"]["breast/stable/breast-9.9.9.tar"] = {"length": 1, "hashes": {"sha256": "0" * 64}}
        case _:
            key = chance.choice(sorted(signed["meta"]))
            signed["meta"][key]["version"] += chance.choice([-1, 1])


_REWRITES = (_bump, _prolong, _inside)


def _flip_target(scene: Scene, name: str) -> bytes:
    raw = bytearray(scene.files[name])
    raw[_point(scene, name)] ^= 1 << scene.chance.randrange(8)
    return bytes(raw)


_TARGETS: tuple[Callable[[Scene, str], bytes], ...] = (
    _flip_target,
    _flip_target,
    lambda scene, name: scene.files[name][: _point(scene, name)],
    lambda scene, name: scene.files[name] + scene.chance.randbytes(scene.chance.randrange(1, 5000)),
    lambda scene, _: scene.files[min(other for other in scene.files if other.endswith("breast-1.0.0.tar"))],
    lambda scene, _: stand_in("1.2.0", seed=scene.chance.randrange(1, 10**6)),
    lambda scene, name: bytes(len(scene.files[name])),
)


def _text(tree: object) -> bytes:
    return json.dumps(tree, separators=(",", ":"), sort_keys=True).encode()
