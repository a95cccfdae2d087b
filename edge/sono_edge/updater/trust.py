"""What the signed metadata say, judged by python-tuf and by this device's own floor.

python-tuf neither fsyncs nor remembers when its cache is gone (measured: facts, part 4), so that both are done
here. Its root is always the embedded one: a cache can add to it, never replace it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeAlias, TypeVar

import msgspec
from tuf.api import exceptions as tuf_errors
from tuf.api.metadata import Metadata, Root, TargetFile, Targets
from tuf.ngclient import Updater, UpdaterConfig

from sono_edge.updater import floor
from sono_edge.updater.refusal import Code, UpdateRefused, of_clock
from sono_edge.updater.repository import Repository
from sono_models.durable import sync_file, sync_folder
from sono_models.errors import BadConfig
from sono_models.release import Place, ProfilePlace, ProfileRelease, Release, place_of, version_key

ROOT_BYTES = 64 * 1024
CAPS = UpdaterConfig(
    max_root_rotations=256,
    max_delegations=8,
    root_max_length=ROOT_BYTES,
    timestamp_max_length=16 * 1024,
    snapshot_max_length=256 * 1024,
    targets_max_length=1024 * 1024,
)
logging.getLogger("tuf").setLevel(logging.WARNING)  # each missing signature is news to it, and to us in one error
TOP = ("root", "timestamp", "snapshot", "targets")
Said = TypeVar("Said", Release, ProfileRelease)


@dataclass(frozen=True, slots=True)
class Found:
    """A target that is signed for. `file`: its name on the server; `raw`: to verify what arrives."""

    place: Place
    file: str
    size: int
    sha256: str
    release: Release
    raw: TargetFile

    @property
    def path(self) -> str:
        return self.place.path


@dataclass(frozen=True, slots=True)
class FoundProfile:
    """As Found, of a site profile."""

    place: ProfilePlace
    file: str
    size: int
    sha256: str
    release: ProfileRelease
    raw: TargetFile

    @property
    def path(self) -> str:
        return self.place.path


File: TypeAlias = Found | FoundProfile
"""What can be fetched."""


class Trust:
    """One look at the repository. Raises UpdateRefused for every answer that is not to be trusted."""

    def __init__(self, cache: Path, floor_file: Path, root: Path, repository: Repository, now: datetime) -> None:
        self._cache, self._floor_file, self._now = cache, floor_file, now
        self._floor = floor.read(floor_file)
        clock = of_clock(self._floor.seen_at, now)
        if clock is not None:
            raise UpdateRefused(clock, "the clock", f"{now:%Y-%m-%d %H:%M}, seen {self._floor.seen_at:%Y-%m-%d %H:%M}")
        cache.mkdir(parents=True, exist_ok=True)
        for left in cache.glob("tmp*"):  # python-tuf's, of a run that was killed
            left.unlink()
        try:
            self._updater = Updater(
                str(cache), repository.metadata_url, fetcher=repository.fetcher, config=CAPS, bootstrap=_root(root)
            )
        except tuf_errors.RepositoryError as error:
            raise BadConfig(f"update.root {root}", f"no root ({error})", "Take metadata/1.root.json") from error

    def find(self, place: Place) -> Found | None:
        """What is signed for at this place now; None: nothing."""
        target = self._look(place.path, place.name)
        return _found(target) if target is not None else None

    def find_profile(self, place: ProfilePlace) -> FoundProfile | None:
        """What is signed for at this place now; None: nothing."""
        target = self._look(place.path, place.model)
        return _found_profile(target, place) if target is not None else None

    def newest(self, name: str, channel: str) -> Found | None:
        """The highest version in a channel. Looks at the role that speaks for the model, which TUF just verified."""
        self._look(Place(name, channel, "0.0.0").path, name)
        path = self._cache / f"{name}.json"
        if not path.is_file():
            return None
        role: Targets = Metadata[Targets].from_bytes(path.read_bytes()).signed
        places = [place for place in map(place_of, role.targets) if place is not None]
        mine = [place for place in places if (place.name, place.channel) == (name, channel)]
        return self.find(max(mine, key=lambda place: version_key(place.version))) if mine else None

    def _look(self, path: str, model: str) -> TargetFile | None:
        try:
            # the first look refreshes root, timestamp, snapshot and targets
            target = self._updater.get_targetinfo(path)
        except (tuf_errors.RepositoryError, tuf_errors.DownloadError) as error:
            raise refused(error, "the metadata") from error
        finally:
            self._settle()
        self._raise_floor(model)
        return target

    def _raise_floor(self, model: str) -> None:
        marks = _marks(self._cache, model)
        lower = floor.below(self._floor, marks)
        if lower:
            raise UpdateRefused(Code.BELOW_FLOOR, "the metadata", lower)
        raised = floor.raised(self._floor, marks, self._now)
        if raised != self._floor:
            floor.write(self._floor_file, raised)
            self._floor = raised

    def _settle(self) -> None:
        """What python-tuf wrote is on the disk from here on."""
        history = self._cache / "root_history"
        for path in (*self._cache.glob("*.json"), *history.glob("*.json")):
            if path.is_file():
                sync_file(path)
        for folder in (history, self._cache):
            if folder.is_dir():
                sync_folder(folder)


def refused(error: Exception, thing: str) -> UpdateRefused:
    """python-tuf's error as a reason of the one table."""
    return UpdateRefused(_code(error), thing, str(error) or type(error).__name__)


_CODES: Mapping[type[Exception], Code] = {
    tuf_errors.UnsignedMetadataError: Code.UNSIGNED,
    tuf_errors.ExpiredMetadataError: Code.EXPIRED,
    tuf_errors.BadVersionNumberError: Code.ROLLBACK,
    tuf_errors.LengthOrHashMismatchError: Code.MIX,
    tuf_errors.RepositoryError: Code.MALFORMED,
    tuf_errors.DownloadLengthMismatchError: Code.OVERSIZED,
    tuf_errors.SlowRetrievalError: Code.SLOW,
}
"""The first that fits."""


def _code(error: Exception) -> Code:
    if isinstance(error, tuf_errors.DownloadHTTPError) and 400 <= error.status_code < 500:
        return Code.ABSENT
    return next((code for kind, code in _CODES.items() if isinstance(error, kind)), Code.UNREACHABLE)


def _found(target: TargetFile) -> Found:
    place = place_of(target.path)
    sha256 = target.hashes.get("sha256")
    if place is None or sha256 is None:
        raise UpdateRefused(Code.MALFORMED, target.path, "no sha256, or no place of a bundle")
    release = _release(target, Release)
    return Found(place, _file(target, sha256), target.length, sha256, release, target)


def _found_profile(target: TargetFile, place: ProfilePlace) -> FoundProfile:
    sha256 = target.hashes.get("sha256")
    if sha256 is None:
        raise UpdateRefused(Code.MALFORMED, target.path, "no sha256")
    release = _release(target, ProfileRelease)
    return FoundProfile(place, _file(target, sha256), target.length, sha256, release, target)


def _release(target: TargetFile, kind: type[Said]) -> Said:
    try:
        return msgspec.convert(target.custom, kind)
    except msgspec.ValidationError as error:
        raise UpdateRefused(Code.MALFORMED, target.path, str(error)) from error


def _file(target: TargetFile, sha256: str) -> str:
    return next(path for path in target.get_prefixed_paths() if path.rpartition("/")[2].startswith(sha256))


def _marks(cache: Path, model: str) -> dict[str, floor.Mark]:
    """The versions that were just found good, from the files that python-tuf keeps of them."""
    root: Root = Metadata[Root].from_bytes((cache / "root.json").read_bytes()).signed
    marks: dict[str, floor.Mark] = {}
    for role in (*TOP, model):
        path = cache / f"{role}.json"
        if path.is_file():
            keys = tuple(sorted(root.roles[role].keyids)) if role in root.roles else ()
            marks[role] = floor.Mark(Metadata.from_bytes(path.read_bytes()).signed.version, keys)
    return marks


def _root(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            raw = file.read(ROOT_BYTES + 1)
    except OSError as error:
        reason = error.strerror or "it cannot be read"
        raise BadConfig(f"update.root {path}", reason, "Take metadata/1.root.json of the repository") from error
    if len(raw) > ROOT_BYTES:
        raise BadConfig(f"update.root {path}", "larger than a root", "Take metadata/1.root.json of the repository")
    return raw
