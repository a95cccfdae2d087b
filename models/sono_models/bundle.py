"""The bundle: one deterministic tar, NAME-VERSION.tar, that carries a model and all that is said of it.

Its bytes are a function of its content, so that reading one can insist on every bit: the tar must be what
packing its members gives. That is integrity, not security; signatures are the updater's business (TUF).
"""

from __future__ import annotations

import hashlib
import io
import json
import mmap
import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeAlias

import msgspec
import numpy as np

from sono_models.errors import BadBundle
from sono_models.manifest import SCHEMA, Manifest
from sono_models.runtime import MODEL_FILE, RuntimeName, open_runtime

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sono_models.inputs import Grey
    from sono_models.runtime import Runtime

MAX_BYTES = 12 * 1024 * 1024
MANIFEST = "manifest.json"
DIGEST = "manifest.json.sha256"
GOLDEN = "golden.npz"
REQUIRED = (*MODEL_FILE.values(), GOLDEN, "card.md", "LICENSES")
Content: TypeAlias = bytes | memoryview
_AGAIN = "Fetch the bundle again, or name another with --bundle"


@dataclass(frozen=True, slots=True)
class Golden:
    """Letterboxed frames (k, height, width) and the logits (k, 2, rows, columns) that each runtime must give."""

    frames: NDArray[np.uint8]
    logits: Mapping[RuntimeName, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that was read whole and found intact. Its members stay in the file until they are asked for."""

    path: Path
    sha256: str
    manifest: Manifest
    members: Mapping[str, tuple[int, int]]
    """Of each member its place in the file: offset and size."""

    def content(self, name: str) -> bytes:
        """A member's bytes, checked again: the file may have changed since it was read."""
        offset, size = self.members[name]
        with self.path.open("rb") as file:
            file.seek(offset)
            data = file.read(size)
        if hashlib.sha256(data).hexdigest() != self.manifest.files[name].sha256:
            raise BadBundle(str(self.path), f"{name} changed after it was verified", _AGAIN)
        return data

    def runtime(self, name: RuntimeName, *, threads: int = 1) -> Runtime:
        return open_runtime(name, self.content(MODEL_FILE[name]), threads=threads)

    def golden(self) -> Golden:
        with np.load(io.BytesIO(self.content(GOLDEN)), allow_pickle=False) as arrays:
            logits = {name: np.asarray(arrays[f"logits_{name}"], np.float32) for name in MODEL_FILE}
            frames: Grey = np.asarray(arrays["frames"], np.uint8)
        return Golden(frames, logits)


def pack(manifest: Manifest, files: Mapping[str, bytes]) -> bytes:
    """The tar of a bundle: members in a fixed order, no times, no owners. `manifest.files` must match."""
    text = json.dumps(msgspec.to_builtins(manifest), indent=1, sort_keys=True).encode() + b"\n"
    members: dict[str, Content] = {
        MANIFEST: text,
        DIGEST: hashlib.sha256(text).hexdigest().encode() + b"\n",
        **{name: files[name] for name in sorted(files)},
    }
    return b"".join(_parts(members))


def _parts(members: Mapping[str, Content]) -> Iterator[Content]:
    """The tar (POSIX ustar), piece by piece: a header, the content, zeros up to the next block."""
    written = 0
    for name, content in members.items():
        info = tarfile.TarInfo(name)
        info.size = len(content)
        info.mode = 0o644
        yield info.tobuf(tarfile.USTAR_FORMAT)
        yield content
        yield bytes(-len(content) % tarfile.BLOCKSIZE)
        written += tarfile.BLOCKSIZE + len(content) + (-len(content) % tarfile.BLOCKSIZE)
    end = 2 * tarfile.BLOCKSIZE
    yield bytes(end + -(written + end) % tarfile.RECORDSIZE)


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
    # 1. no larger than a bundle may be, and not empty
    size = path.stat().st_size
    if not 0 < size <= MAX_BYTES:
        raise BadBundle(str(path), f"{size} bytes, a bundle has 1 to {MAX_BYTES}", _AGAIN)
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
        memoryview(mapped) as raw,
    ):
        return _read(path, file, raw)


def _read(path: Path, file: IO[bytes], raw: memoryview) -> Bundle:
    # 2. a tar of plain files
    places = _places(path, file)
    parts = {name: raw[offset : offset + size] for name, (offset, size) in places.items()}
    try:
        # 3. a manifest that is whole and of a schema we know
        manifest = _manifest(path, parts)
        # 4. every file that the manifest names, with its size and digest, and no other
        _check_files(path, manifest, parts)
        # 5. every remaining bit: header, order, padding
        _check_packing(path, parts, raw)
    finally:
        for part in parts.values():
            part.release()
    members = {name: place for name, place in places.items() if name in manifest.files}
    return Bundle(path, hashlib.sha256(raw).hexdigest(), manifest, members)


def _places(path: Path, file: IO[bytes]) -> dict[str, tuple[int, int]]:
    places: dict[str, tuple[int, int]] = {}
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            for info in tar:
                if not info.isreg():
                    raise BadBundle(str(path), f"member {info.name!r} is not a plain file", _AGAIN)
                places[info.name] = (info.offset_data, info.size)
    except (tarfile.TarError, UnicodeDecodeError, ValueError, OverflowError) as error:
        raise BadBundle(str(path), f"not a readable tar ({error})", _AGAIN) from error
    return places


def _check_packing(path: Path, parts: Mapping[str, memoryview], raw: memoryview) -> None:
    first = [name for name in (MANIFEST, DIGEST) if name in parts]
    ordered: dict[str, Content] = {name: parts[name] for name in (*first, *sorted(set(parts) - set(first)))}
    at = 0
    for part in _parts(ordered):
        if raw[at : at + len(part)] != part:
            break
        at += len(part)
    else:
        if at == len(raw):
            return
    raise BadBundle(str(path), "its bytes are not what its content packs to (damaged or repacked)", _AGAIN)


def _manifest(path: Path, files: Mapping[str, memoryview]) -> Manifest:
    text = files.get(MANIFEST)
    if text is None or DIGEST not in files:
        raise BadBundle(str(path), f"{MANIFEST} or its digest is missing", _AGAIN)
    if hashlib.sha256(text).hexdigest().encode() != bytes(files[DIGEST]).strip():
        raise BadBundle(str(path), f"{MANIFEST} does not match its sha256", _AGAIN)
    try:
        manifest = msgspec.json.decode(text, type=Manifest)
    except msgspec.DecodeError as error:
        raise BadBundle(str(path), f"{MANIFEST}: {error}", _AGAIN) from error
    if manifest.schema != SCHEMA:
        raise BadBundle(str(path), f"schema {manifest.schema!r}, this agent reads {SCHEMA!r}", "Update the agent")
    return manifest


def _check_files(path: Path, manifest: Manifest, files: Mapping[str, memoryview]) -> None:
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
    """The bundle that ships: `models/bundles/breast` of the checkout, or the one inside an installed package."""
    package = Path(__file__).resolve().parent
    checkout, installed = (folder / "bundles" / "breast" for folder in (package.parent, package))
    return checkout if checkout.is_dir() else installed
