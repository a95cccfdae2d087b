"""A bundle that is whole in every bit and holds no model: for whoever needs many that differ."""

from __future__ import annotations

import hashlib
import random

import msgspec

from sono_models import bundle
from sono_models.manifest import FileEntry, Manifest


def stand_in(version: str, *, name: str = "breast", size: int = 256, seed: int = 0, min_agent: str = "0.1.0") -> bytes:
    """The bytes of `name`-`version`.tar; `size` bytes of noise in each file."""
    chance = random.Random(f"{name} {version} {seed}")  # noqa: S311  (noise, not secrets)
    files = {file: chance.randbytes(size) for file in bundle.REQUIRED}
    entries = {file: FileEntry(hashlib.sha256(data).hexdigest(), len(data)) for file, data in files.items()}
    return bundle.pack(_manifest(name, version, min_agent, entries), files)


def _manifest(name: str, version: str, min_agent: str, entries: dict[str, FileEntry]) -> Manifest:
    own = bundle.read(bundle.default_path()).manifest
    return msgspec.structs.replace(own, name=name, version=version, min_agent=min_agent, files=entries)
