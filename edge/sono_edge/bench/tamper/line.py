"""Forgeries by one who sits on the line, or brings the stick, and holds no key at all."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata

from sono_edge.bench.tamper.scene import ROLES, Altered, Forgery, Scene, role_of
from sono_edge.bench.tamper.stand_in import stand_in


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
)
"""As often as each is worth drawing: of some there are many."""


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
