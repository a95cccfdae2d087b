"""What a forger has before him: the genuine files, a device, chance, and the keys that he may have stolen."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from securesystemslib.signer import CryptoSigner, SSlibKey

from sono_edge.bench.tamper.world import Files, World

Altered: TypeAlias = dict[str, bytes] | None
"""A repository's files; None where the forgery would change nothing."""


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
