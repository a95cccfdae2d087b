"""The bundle: one deterministic tar, NAME-VERSION.tar, that carries a model and all that is said of it.

Its bytes are a function of its content, so that reading one can insist on every bit: the tar must be what
packing its members gives. That is integrity, not security; signatures are the updater's business (TUF).
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from sono_models.errors import BadBundle
from sono_models.manifest import SCHEMA, Manifest
from sono_models.runtime import MODEL_FILE, RuntimeName, open_runtime

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from sono_models.inputs import Grey
    from sono_models.runtime import Runtime

MAX_BYTES = 12 * 1024 * 1024
MANIFEST = "manifest.json"
DIGEST = "manifest.json.sha256"
GOLDEN = "golden.npz"
REQUIRED = (*MODEL_FILE.values(), GOLDEN, "card.md", "LICENSES")
_AGAIN = "Fetch the bundle again, or name another with --bundle"


@dataclass(frozen=True, slots=True)
class Golden:
    """Letterboxed frames (k, height, width) and the logits (k, 2, rows, columns) that each runtime must give."""

    frames: NDArray[np.uint8]
    logits: Mapping[RuntimeName, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that was read whole and found intact. `files` maps each member to its bytes."""

    path: Path
    sha256: str
    manifest: Manifest
    files: Mapping[str, bytes]

    def runtime(self, name: RuntimeName, *, threads: int = 1) -> Runtime:
        return open_runtime(name, self.files[MODEL_FILE[name]], threads=threads)

    def golden(self) -> Golden:
        with np.load(io.BytesIO(self.files[GOLDEN]), allow_pickle=False) as arrays:
            logits = {name: np.asarray(arrays[f"logits_{name}"], np.float32) for name in MODEL_FILE}
            frames: Grey = np.asarray(arrays["frames"], np.uint8)
        return Golden(frames, logits)


def pack(manifest: Manifest, files: Mapping[str, bytes]) -> bytes:
    """The tar of a bundle: members in a fixed order, no times, no owners. `manifest.files` must match."""
    text = json.dumps(msgspec.to_builtins(manifest), indent=1, sort_keys=True).encode() + b"\n"
    members = {
        MANIFEST: text,
        DIGEST: hashlib.sha256(text).hexdigest().encode() + b"\n",
        **{name: files[name] for name in sorted(files)},
    }
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            info.mode = 0o644
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def find(path: Path) -> Path:
    """The tar itself, or the newest version in a folder of tars."""
    if path.is_file():
        return path
    if path.is_dir():
        found = [tar for tar in path.glob("*.tar") if _version(tar)]
        if found:
            return max(found, key=_version)
        raise BadBundle(str(path), "no NAME-VERSION.tar in this folder", "Name a bundle with --bundle")
    raise BadBundle(str(path), "there is no such bundle", "Name a bundle with --bundle")


def _version(path: Path) -> tuple[int, ...]:
    match = re.search(r"-(\d+)\.(\d+)\.(\d+)$", path.stem)
    return tuple(int(part) for part in match.groups()) if match else ()


def read(path: Path) -> Bundle:
    """Read and check a bundle. Raises BadBundle naming the first thing that is wrong."""
    path = find(path)
    # 1. no larger than a bundle may be
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise BadBundle(str(path), f"{size} bytes, a bundle has at most {MAX_BYTES}", _AGAIN)
    raw = path.read_bytes()
    # 2. a tar of plain files
    files = _members(path, raw)
    # 3. a manifest that is whole and of a schema we know
    manifest = _manifest(path, files)
    # 4. every file that the manifest names, with its size and digest, and no other
    _check_files(path, manifest, files)
    # 5. every remaining bit: header, order, padding
    content = {name: data for name, data in files.items() if name not in {MANIFEST, DIGEST}}
    if pack(manifest, content) != raw:
        raise BadBundle(str(path), "its bytes are not what its content packs to (damaged or repacked)", _AGAIN)
    return Bundle(path, hashlib.sha256(raw).hexdigest(), manifest, content)


def _members(path: Path, raw: bytes) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(raw), mode="r:") as tar:
            for info in tar:
                reader = tar.extractfile(info) if info.isreg() else None
                if reader is None:
                    raise BadBundle(str(path), f"member {info.name!r} is not a plain file", _AGAIN)
                files[info.name] = reader.read()
    except (tarfile.TarError, UnicodeDecodeError, ValueError, OverflowError) as error:
        raise BadBundle(str(path), f"not a readable tar ({error})", _AGAIN) from error
    return files


def _manifest(path: Path, files: Mapping[str, bytes]) -> Manifest:
    text = files.get(MANIFEST)
    if text is None or DIGEST not in files:
        raise BadBundle(str(path), f"{MANIFEST} or its digest is missing", _AGAIN)
    if hashlib.sha256(text).hexdigest().encode() != files[DIGEST].strip():
        raise BadBundle(str(path), f"{MANIFEST} does not match its sha256", _AGAIN)
    try:
        manifest = msgspec.json.decode(text, type=Manifest)
    except msgspec.DecodeError as error:
        raise BadBundle(str(path), f"{MANIFEST}: {error}", _AGAIN) from error
    if manifest.schema != SCHEMA:
        raise BadBundle(str(path), f"schema {manifest.schema!r}, this agent reads {SCHEMA!r}", "Update the agent")
    return manifest


def _check_files(path: Path, manifest: Manifest, files: Mapping[str, bytes]) -> None:
    named = set(manifest.files)
    present = set(files) - {MANIFEST, DIGEST}
    for name in sorted(named ^ present) + [name for name in REQUIRED if name not in named]:
        where = "is missing" if name not in present else "is not in the manifest"
        raise BadBundle(str(path), f"{name} {where}", _AGAIN)
    for name, entry in manifest.files.items():
        digest = hashlib.sha256(files[name]).hexdigest()
        if digest != entry.sha256 or len(files[name]) != entry.size:
            raise BadBundle(str(path), f"{name} does not match its sha256 (damaged)", _AGAIN)


def default_path() -> Path:
    """`models/bundles/breast` of the checkout, or of the folder the command runs in."""
    checkout = Path(__file__).resolve().parents[1] / "bundles" / "breast"
    return checkout if checkout.is_dir() else Path("models/bundles/breast")
