"""The signed repository: The Update Framework's metadata and targets, in a folder that any web server can hand out.

    repository.json                     how long each role's word holds, and the channels (not secret, not signed)
    metadata/N.root.json                2 of 3 offline keys; every version stays, so that an old device can follow
    metadata/N.targets.json             offline; holds no target, only says which key may speak for which model
    metadata/N.MODEL.json               offline, one role a model, for MODEL/CHANNEL/*
    metadata/N.snapshot.json, timestamp.json   online
    targets/MODEL/CHANNEL/SHA256.MODEL-VERSION.tar

A change is signed whole in memory first. Then it is written so that a device, or a power cut, in between sees the
old state or the new one: targets, their metadata, the root, the snapshot, and the timestamp last.
Specification: https://theupdateframework.github.io/specification/latest/
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from copy import deepcopy
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
from tuf.api.exceptions import RepositoryError, UnsignedMetadataError
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, Targets, Timestamp
from tuf.repository import Repository

from sono_fleet.publish.keys import KeyFolder
from sono_models.durable import on_disk, write_durably
from sono_models.errors import BadConfig

logging.getLogger("tuf").setLevel(logging.WARNING)  # a missing signature is said in one error of ours
METADATA, TARGETS, SETTINGS = "metadata", "targets", "repository.json"
TOP = (Root.type, Targets.type, Snapshot.type, Timestamp.type)
Delegator: TypeAlias = Root | Targets
_AGAIN = "Restore it from a copy: a device follows nothing that is not whole"


class Days(msgspec.Struct, frozen=True):
    """How long a role's word holds."""

    root: int = 365
    targets: int = 365
    model: int = 180
    snapshot: int = 30
    timestamp: int = 7

    def of(self, role: str) -> timedelta:
        return timedelta(days=getattr(self, role if role in TOP else "model"))


class Settings(msgspec.Struct, frozen=True):
    """`repository.json`."""

    channels: tuple[str, ...] = ("stable", "beta")
    days: Days = Days()
    root_threshold: int = 2


class SignedRepository(Repository):
    """One change of a repository, and the keys to sign it. `now` is the clock.

    `edit…` and `add_file` work in memory; `commit` puts all of it on the disk. Raises BadConfig.
    """

    def __init__(self, folder: Path, keys: KeyFolder, settings: Settings, now: datetime) -> None:
        self.folder, self.keys, self.settings = folder, keys, settings
        self._now = now.replace(microsecond=0)
        self._read: dict[str, Metadata[Any]] = {}
        self._new: dict[str, Metadata[Any]] = {}
        self._bytes: dict[str, bytes] = {}
        self._files: dict[str, bytes] = {}

    # What python-tuf's Repository asks for

    def open(self, role: str) -> Metadata[Any]:
        """The newest of this change, else what the timestamp leads to, else the first of its kind."""
        if role in self._new:
            return deepcopy(self._new[role])
        return deepcopy(self._stored(role)) or _first(role)

    def close(self, role: str, md: Metadata[Any]) -> None:
        """Signed by every key that is here. Raises BadConfig when these are too few."""
        md.signed.version += 1
        md.signed.expires = self._now + self.settings.days.of(role)
        md.signatures.clear()
        before = self._stored(role) if role == Root.type else None
        delegators = [self._delegator(role, md)] + ([before.signed] if before else [])
        for delegator in delegators:
            keyids = delegator.get_delegated_role(role).keyids
            for signer in self.keys.signers(keyids):
                md.sign(signer, append=True)
        for delegator in delegators:
            self._check_threshold(role, md, delegator)
        self._new[role] = md
        self._bytes[role] = md.to_bytes()

    @property
    def targets_infos(self) -> dict[str, MetaFile]:
        return {f"{role}.json": self._meta(role) for role in self._new if role not in TOP or role == Targets.type}

    @property
    def snapshot_info(self) -> MetaFile:
        return self._meta(Snapshot.type)

    # What a change is made of

    def add_file(self, path: str, content: bytes) -> None:
        """A target's file, by its name under `targets/`."""
        self._files[path] = content

    def renew(self, *, snapshot: bool = True) -> None:
        """A new timestamp, and before it a snapshot of what this change made new."""
        if self._is_left_behind(Targets.type):
            with self.edit_targets():
                pass
        if snapshot or self.targets_infos or self._is_left_behind(Snapshot.type):
            with self.edit_snapshot() as online:
                online.meta.update(self.targets_infos)
        with self.edit_timestamp() as last:
            last.snapshot_meta = self.snapshot_info

    def sign_again(self, role: str) -> None:
        """The same word for another of its terms."""
        self.keyids(role)  # there is such a role
        with self.edit(role):
            pass

    def commit(self) -> None:
        """Onto the disk, the timestamp last."""
        inner = [role for role in self._new if role not in TOP]
        order = [role for role in (*inner, Targets.type, Root.type, Snapshot.type, Timestamp.type) if role in self._new]
        with on_disk(self.folder):
            for path, content in self._files.items():
                place = self.folder / TARGETS / path
                place.parent.mkdir(parents=True, exist_ok=True)
                write_durably(place, content)
            metadata = self.folder / METADATA
            metadata.mkdir(parents=True, exist_ok=True)
            for role in order:
                name = role if role == Timestamp.type else f"{self._new[role].signed.version}.{role}"
                write_durably(metadata / f"{name}.json", self._bytes[role])
        self._read.clear()
        self._new.clear()
        self._bytes.clear()
        self._files.clear()

    def models(self) -> tuple[str, ...]:
        """The models that have a role."""
        delegations = self.targets().delegations
        return tuple(delegations.roles or ()) if delegations else ()

    def roles(self) -> tuple[str, ...]:
        return (*TOP, *self.models())

    def keyids(self, role: str) -> list[str]:
        """Whose signatures count for this role now. Raises BadConfig for a role that is none."""
        if role not in self.roles():
            raise BadConfig(f"role {role}", "there is no such role", f"Choose of {', '.join(self.roles())}")
        return list(self._delegator(role, None).get_delegated_role(role).keyids)

    def threshold(self, role: str) -> int:
        return int(self._delegator(role, None).get_delegated_role(role).threshold)

    def file(self, path: str) -> bytes:
        """A target's file as it lies there."""
        try:
            return (self.folder / TARGETS / path).read_bytes()
        except OSError as error:
            raise BadConfig(str(self.folder / TARGETS / path), error.strerror or "cannot be read", _AGAIN) from error

    def _stored(self, role: str) -> Metadata[Any] | None:
        """What is on the disk, its signatures verified: nothing is signed over that others wrote."""
        if role in self._read:
            return self._read[role]
        version = self._stored_version(role)
        if version is None:
            return None
        name = role if role == Timestamp.type else f"{version}.{role}"
        path = self.folder / METADATA / f"{name}.json"
        try:
            md: Metadata[Any] = Metadata.from_bytes(path.read_bytes())
        except OSError as error:
            raise BadConfig(str(path), error.strerror or "cannot be read", _AGAIN) from error
        except RepositoryError as error:
            raise BadConfig(str(path), f"not metadata ({error})", _AGAIN) from error
        if md.signed.version != version:
            raise BadConfig(str(path), f"version {md.signed.version} inside, {version} wanted", _AGAIN)
        self._check_stored(role, md, path)
        self._read[role] = md
        return md

    def _check_stored(self, role: str, md: Metadata[Any], path: Path) -> None:
        for delegator in self._stored_delegators(role, md):
            with suppress(UnsignedMetadataError, ValueError):
                delegator.verify_delegate(role, md.signed_bytes, md.signatures)
                return
        raise BadConfig(str(path), f"not signed by the {role} keys", _AGAIN)

    def _stored_delegators(self, role: str, md: Metadata[Any]) -> list[Any]:
        """Who may vouch for what is on the disk. The root before counts too: a change of keys that a power cut
        stopped after the new root left the rest behind, and `renew` mends that.
        """
        if role == Root.type:
            return [md.signed]
        if role not in TOP:
            targets = self._stored(Targets.type)
            return [targets.signed] if targets else []
        root = self._stored(Root.type)
        assert root is not None
        before = self.folder / METADATA / f"{root.signed.version - 1}.root.json"
        return [root.signed] + ([Metadata.from_bytes(before.read_bytes()).signed] if before.is_file() else [])

    def _is_left_behind(self, role: str) -> bool:
        """Whether what is there is not signed by the keys that the newest root names."""
        md = self.open(role)
        try:
            self.root().verify_delegate(role, md.signed_bytes, md.signatures)
        except UnsignedMetadataError:
            return True
        return False

    def _stored_version(self, role: str) -> int | None:
        if role == Root.type:
            return newest_root(self.folder)
        if role == Timestamp.type:
            return _timestamp_version(self.folder / METADATA / "timestamp.json")
        if role == Snapshot.type:
            timestamp = self._stored(Timestamp.type)
            return int(timestamp.signed.snapshot_meta.version) if timestamp else None
        snapshot = self._stored(Snapshot.type)
        found = snapshot.signed.meta.get(f"{role}.json") if snapshot else None
        return int(found.version) if found else None

    def _delegator(self, role: str, md: Metadata[Any] | None) -> Any:
        if role == Root.type and md is not None:
            return md.signed
        return self.root() if role in TOP else self.targets()

    def _check_threshold(self, role: str, md: Metadata[Any], delegator: Any) -> None:
        try:
            delegator.verify_delegate(role, md.signed_bytes, md.signatures)
        except UnsignedMetadataError as error:
            needed = delegator.get_delegated_role(role)
            absent = [keyid for keyid in needed.keyids if not self.keys.is_here(keyid)]
            here = len(needed.keyids) - len(absent)
            raise BadConfig(
                f"signing {role}",
                f"needs {needed.threshold} of {len(needed.keyids)} keys, {here} are in {self.keys.folder}",
                f"Bring {self.keys.named(absent)}" if absent else "See the message above",
            ) from error

    def _meta(self, role: str) -> MetaFile:
        if role in self._new:
            return MetaFile.from_data(self._new[role].signed.version, self._bytes[role], ["sha256"])
        stored = self._stored(role)
        assert stored is not None
        raw = (self.folder / METADATA / f"{stored.signed.version}.{role}.json").read_bytes()
        return MetaFile.from_data(stored.signed.version, raw, ["sha256"])


@contextmanager
def changing(folder: Path, keys: KeyFolder, now: datetime) -> Iterator[SignedRepository]:
    """One change at a time: another that is at work is waited for. Raises BadConfig when there is no repository."""
    settings = read_settings(folder)
    with locked(folder):
        yield SignedRepository(folder, keys, settings, now)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    with on_disk(folder):
        descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def read_settings(folder: Path) -> Settings:
    path = folder / SETTINGS
    try:
        return msgspec.json.decode(path.read_bytes(), type=Settings)
    except OSError as error:
        reason = f"no repository ({error.strerror})"
        raise BadConfig(str(folder), reason, "Make one with `sono fleet init`") from error
    except msgspec.DecodeError as error:
        raise BadConfig(str(path), f"not its settings ({error})", "Restore it from a copy") from error


def newest_root(folder: Path) -> int | None:
    found = [int(path.name.partition(".")[0]) for path in (folder / METADATA).glob("[0-9]*.root.json")]
    return max(found, default=None)


def expiring(repository: SignedRepository, roles: Sequence[str] | None = None) -> dict[str, datetime]:
    """When each role's word ends."""
    return {role: repository.open(role).signed.expires for role in roles or repository.roles()}


def _timestamp_version(path: Path) -> int | None:
    if not path.is_file():
        return None
    try:
        return int(Metadata.from_bytes(path.read_bytes()).signed.version)
    except (OSError, RepositoryError) as error:
        raise BadConfig(str(path), f"not metadata ({error})", _AGAIN) from error


def _first(role: str) -> Metadata[Any]:
    kinds: dict[str, Any] = {Root.type: Root, Snapshot.type: Snapshot, Timestamp.type: Timestamp}
    signed = Snapshot(meta={}) if role == Snapshot.type else kinds.get(role, Targets)()
    signed.version = 0  # `close` makes it 1
    return Metadata(signed)
