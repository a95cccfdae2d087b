"""The signed repository, copied to where devices fetch it: so that at every moment they find the old state or the new.

    1. the repository is whole here: the timestamp's chain is signed, every target has the hash that its name says
    2. what is there is not newer than what is here
    3. targets, the models' metadata, targets.json, every root, snapshots: names that never mean anything else,
       each skipped when it is there, each read back after it was written
    4. timestamp.json, the one name whose content changes

A copy that was cut off is run again and goes on. A name that is there with another content is refused: somebody
changed it, or two repositories share the place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path

import msgspec

from sono_fleet.publish.keys import KeyFolder, Ring
from sono_fleet.publish.outlets import Outlet
from sono_fleet.publish.repository import METADATA, TARGETS, Settings, SignedRepository, locked, read_settings
from sono_models.errors import BadConfig, Unavailable

IMMUTABLE = "public, max-age=31536000, immutable"
CHANGING = "no-cache"
TIMESTAMP = f"{METADATA}/timestamp.json"
RANKS = ("targets", "root", "snapshot")
"""Metadata in the order in which it goes out, the models' before them."""


class CopiedOut(msgspec.Struct, frozen=True):
    to: str
    written: int
    skipped: int
    bytes: int
    timestamp: int
    """The version that devices see now."""


@dataclass(frozen=True, slots=True)
class _File:
    path: str
    place: Path


def copy_out(
    folder: Path,
    outlet: Outlet,
    now: datetime,
    *,
    repair: bool = False,
    tell: Callable[[str], None] = lambda _words: None,
) -> CopiedOut:
    """Raises BadConfig, and Unavailable when the store is away or gives back other bytes than it got.

    `repair`: what is there with another content is written anew. It is known by reading all of it.
    """
    settings = read_settings(folder)
    with locked(folder):
        version = _whole(folder, settings, now)
        _check_not_newer(outlet, version)
        written = skipped = sent = 0
        for file in _in_order(folder):
            content = file.place.read_bytes()
            if _is_there(outlet, file.path, content, repair=repair):
                skipped += 1
                continue
            _write(outlet, file.path, content, CHANGING if file.path == TIMESTAMP else IMMUTABLE)
            written, sent = written + 1, sent + len(content)
            tell(f"{file.path}  {len(content)} bytes")
    return CopiedOut(outlet.said, written, skipped, sent, version)


def _whole(folder: Path, settings: Settings, now: datetime) -> int:
    """The timestamp's version; the repository is not copied as long as anything in it is wrong."""
    repository = SignedRepository(folder, KeyFolder(folder, Ring()), settings, now)
    timestamp = repository.open("timestamp").signed
    version = int(timestamp.version)
    if not version:
        raise BadConfig(str(folder), "it has no timestamp", "Make it whole with `sono fleet refresh`")
    if timestamp.expires < now:
        raise BadConfig(str(folder), f"its timestamp ended {timestamp.expires:%Y-%m-%d}", "`sono fleet refresh` first")
    for role in repository.roles():
        repository.open(role)
    for model in repository.models():
        for path, info in repository.open(model).signed.targets.items():
            name = Path(path)
            digest = info.hashes["sha256"]
            content = repository.file(str(name.with_name(f"{digest}.{name.name}")))
            if sha256(content).hexdigest() != digest:
                raise BadConfig(f"{folder}: {path}", "its content is not what was signed", "Restore it from a copy")
    return version


def _in_order(folder: Path) -> list[_File]:
    targets = sorted(path for path in (folder / TARGETS).rglob("*") if path.is_file() and path.name[0] != ".")
    files = [_File(path.relative_to(folder).as_posix(), path) for path in targets]
    metadata = (path for path in (folder / METADATA).glob("*.json") if path.name != "timestamp.json")
    files += [_File(f"{METADATA}/{path.name}", path) for path in sorted(metadata, key=_rank)]
    return [*files, _File(TIMESTAMP, folder / TIMESTAMP)]


def _rank(path: Path) -> tuple[int, int, str]:
    version, _, role = path.name.removesuffix(".json").partition(".")
    return RANKS.index(role) + 1 if role in RANKS else 0, int(version) if version.isdigit() else 0, role


def _check_not_newer(outlet: Outlet, version: int) -> None:
    there = outlet.get(TIMESTAMP)
    if there is None:
        return
    try:
        found = msgspec.json.decode(there, type=_Timestamp).signed.version
    except msgspec.DecodeError as problem:
        raise BadConfig(f"{outlet.said}: {TIMESTAMP}", "not metadata", "Look who else writes there") from problem
    if found > version:
        reason = f"what is there is newer (timestamp {found}) than what is here ({version})"
        raise BadConfig(outlet.said, reason, "Copy out from the repository that was refreshed last")


def _is_there(outlet: Outlet, path: str, content: bytes, *, repair: bool) -> bool:
    """Raises BadConfig for another content under a name that never changes."""
    wanted = sha256(content).hexdigest()
    if repair:
        return outlet.get(path) == content
    found = outlet.digest(path)
    if found is not None and found != wanted and path != TIMESTAMP:
        reason = "another content is there under a name that never changes"
        raise BadConfig(f"{outlet.said}: {path}", reason, "Look who else writes there, then run it with --repair")
    return found == wanted


def _write(outlet: Outlet, path: str, content: bytes, cache: str) -> None:
    outlet.put(path, content, cache)
    if outlet.get(path) != content:
        reason = "what came back is not what was written"
        raise Unavailable(f"{outlet.said}: {path}", reason, "Run it again with --repair")


class _Version(msgspec.Struct):
    version: int


class _Timestamp(msgspec.Struct):
    signed: _Version
