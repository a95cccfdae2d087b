"""The slots' folder, and the order in which it changes.

    staged/NAME-VERSION.tar    then staged/staged.json, which makes it count
    bundles/NAME-VERSION-SHA.tar, profiles/SHA.json   never changed once there
    previous.json, current.json    which of them judges, and which did before
    refused.json, boots.json

Any of these steps may be the last before a power cut. So current.json alone says what judges; it changes by one
rename, after all that it needs is durable and before anything that the old one needs goes:

    stage       profile copied │ bundle copied │ staged.json
    activate    bundle copied │ previous := current │ current := new, active │ staged.json gone
    good        current := good
    roll back   refused += it │ current := previous │ its file gone

A bundle and the site profile that it judges under stand in one record: they change together or not at all.
A roll-back that was cut after its first step is ended by the next start: the current one stands in refused.json.
The lock is for the updater, the agent and `sono slots`; a process that dies lets go of it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import msgspec

from sono_edge.slots.disk import Disk
from sono_edge.slots.law import Finding
from sono_edge.slots.records import Boots, Refusal, Refused, SiteProfile, Slot, Staged
from sono_models import errors
from sono_models.bundle import MAX_BYTES
from sono_models.errors import BadBundle, BadProfile
from sono_models.messages import rfc3339

CHUNK = 1 << 18
REFUSED_MOST = 200
"""Versions that are remembered; the oldest go."""
AGAIN = "Fetch it again"

Record = TypeVar("Record", Slot, Staged, Refused, Boots)


def whole_profile(path: Path, profile: SiteProfile) -> Path:
    """The file, when its bytes are those that were written down. Raises BadProfile."""
    _check(path, profile)
    return path


class Slots:
    """Made with the first change; reading a folder that is not there finds nothing. Every change is durable."""

    def __init__(
        self, folder: Path, *, disk: Disk | None = None, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.folder = folder
        self._disk = disk or Disk()
        self._now = now

    # what is there

    def current(self) -> Slot | None:
        return self._read("current.json", Slot)

    def is_damaged(self) -> bool:
        """What says which bundle judges is there and cannot be read."""
        return (self.folder / "current.json").exists() and self.current() is None

    def previous(self) -> Slot | None:
        """None too where it is the current one: there is nothing to go back to."""
        previous, current = self._read("previous.json", Slot), self.current()
        return None if previous and current and previous.pair == current.pair else previous

    def staged(self) -> Staged | None:
        return self._read("staged/staged.json", Staged)

    def refused(self, name: str, version: str, sha256: str = "-", profile_sha256: str = "") -> str | None:
        """Why this version, this content or this profile is not tried again; None where it may be."""
        found = self.refusals().of(name, version, sha256, profile_sha256)
        return found.reason if found else None

    def refusals(self) -> Refused:
        return self._read("refused.json", Refused) or Refused()

    def boots(self) -> Boots | None:
        return self._read("boots.json", Boots)

    def file_of(self, slot: Slot) -> Path:
        return self.folder / "bundles" / slot.file

    def profile_of(self, what: Slot | Staged) -> Path | None:
        return None if what.profile is None else self.folder / "profiles" / what.profile.file

    def is_there(self) -> bool:
        return self.folder.is_dir()

    # staging

    def stage(self, bundle: Path | None, order: Staged, profile: Path | None = None) -> None:
        """Take a verified bundle in, durably, with its profile; one that was staged before gives way. `bundle` None:
        the order's profile is for the bundle that judges already.

        Raises Refused for what failed here or is current, BadBundle, BadProfile where a file is not what the order
        says, DiskFull with the folder as it was.
        """
        with self._locked():
            self._may_stage(order)
            if order.profile is not None and profile is not None:
                self._copy(profile, self.folder / "profiles" / order.profile.file, order.profile)
            tar = self.folder / "staged" / f"{order.title}.tar"
            before = self.staged()
            if before is not None and before.title == order.title and before.sha256 != order.sha256:
                self._remove("staged/staged.json")  # it must not name a file that is being replaced
            if bundle is not None:
                self._copy(bundle, tar, order)
            self._write("staged/staged.json", order)
            for other in tar.parent.glob("*.tar"):
                if other != tar or bundle is None:
                    self._disk.remove(other)

    def _may_stage(self, order: Staged) -> None:
        why = self.refused(order.name, order.version, *order.pair)
        if why is not None:
            raise errors.Refused(order.said, f"it failed on this device: {why}", "Release a new version")
        current = self.current()
        if current is not None and current.pair == order.pair:
            raise errors.Refused(order.said, "it is the current bundle", "Nothing is to be done")

    def take(self, order: Staged, running: Path | None = None) -> Path:
        """The staged bundle in its own place, where staging does not reach; checked again on the way, as is its
        profile. `running`: the bundle that judges, which an order that is `alone` goes on with.
        """
        with self._locked():
            profile = self.profile_of(order)
            if profile is not None and order.profile is not None:
                _check(profile, order.profile)
            tar = self.folder / "bundles" / kept_as(order)
            source = running if order.alone and running is not None else self.folder / "staged" / f"{order.title}.tar"
            if source == tar:
                _check(tar, order)
            else:
                self._copy(source, tar, order)
            return tar

    def unstage(self, order: Staged) -> None:
        """Done with it, whichever way; another that was staged meanwhile stays."""
        with self._locked():
            self._unstage(order)

    def _unstage(self, order: Staged) -> None:
        if self.staged() == order:
            self._remove("staged/staged.json")
            self._disk.remove(self.folder / "staged" / f"{order.title}.tar")

    # the course of one

    def activate(self, order: Staged, running: Slot, *, before_ms: float = 0.0) -> Slot:
        """`order`, taken before, is current and on probation; what is running is what a roll-back goes to."""
        slot = Slot(
            order.name,
            order.version,
            order.sha256,
            "active",
            kept_as(order),
            order.rollout,
            order.serial,
            self._at(),
            before_ms=round(before_ms, 3),
            profile=order.profile,
            alone=order.sha256 == running.sha256,
        )
        with self._locked():
            self._write("previous.json", msgspec.structs.replace(running, boot_reason=""))
            self._write("current.json", slot)
            self._unstage(order)
        return slot

    def served(self, slot: Slot, *, served_s: float, frames: int) -> Slot:
        """How far the probation came, for the next start to go on from."""
        with self._locked():
            return self._put(slot, msgspec.structs.replace(slot, served_s=round(served_s, 1), frames=frames))

    def good(self, slot: Slot) -> Slot:
        with self._locked():
            proven = self._put(slot, msgspec.structs.replace(slot, place="good", since=self._at(), boot_reason=""))
            self._remove("boots.json")
            self._sweep()
            return proven

    def refuse(self, order: Staged, finding: Finding, *, alone: bool = False) -> None:
        """It never met the frames. A fault of the version itself is kept; of the profile, where only that was new."""
        with self._locked():
            if finding.lasting:
                self._keep_refusal(order, finding, alone=alone)
            self._unstage(order)
            self._sweep()

    def roll_back(self, slot: Slot, finding: Finding, shipped: Slot) -> Slot:
        """The one before is current; the next start ends what is cut here. The slot it goes to.

        Does nothing to a `slot` that is not current any more.
        """
        with self._locked():
            current = self.current()
            if current is not None and current.pair != slot.pair:
                return current
            if finding.lasting:
                self._keep_refusal(slot, finding, alone=slot.alone)
            target = self._back_to() or shipped
            place = "good" if target.file else "shipped"
            left = slot.version
            if slot.alone:
                left = "the bundle's own" if slot.profile is None else f"profile {slot.profile.title}"
            reason = f"rolled back from {left}: {finding.code}"
            back = msgspec.structs.replace(target, place=place, since=self._at(), boot_reason=reason)
            self._write("current.json", back)
            self._remove("boots.json")
            self._sweep()
            return back

    def _back_to(self) -> Slot | None:
        previous = self.previous()
        if previous is None or self.refusals().of(previous.name, previous.version, *previous.pair):
            return None
        return previous

    # starts

    def settle_on(self, slot: Slot) -> None:
        """What a start chose, where that is not what current.json said."""
        with self._locked():
            self._write("current.json", slot)
            self._sweep()

    def begun(self, slot: Slot) -> Boots:
        """A start with a bundle on probation; counted before anything of it is loaded."""
        with self._locked():
            before = self.boots()
            if before is None or before.pair != slot.pair:
                before = Boots(slot.sha256)
            boots = Boots(slot.sha256, before.short + 1, before.lives + 1, slot.pair[1])
            self._write("boots.json", boots)
            return boots

    def steady(self, slot: Slot) -> None:
        """A life that was not ended by its start."""
        with self._locked():
            boots = self.boots()
            if boots is not None and boots.pair == slot.pair and boots.short:
                self._write("boots.json", msgspec.structs.replace(boots, short=0))

    def ended_well(self, slot: Slot) -> None:
        """A life that does not count."""
        with self._locked():
            boots = self.boots()
            if boots is not None and boots.pair == slot.pair:
                self._write("boots.json", msgspec.structs.replace(boots, short=0, lives=max(0, boots.lives - 1)))

    def sweep(self) -> None:
        """Take away what a cut left: files that nothing names."""
        if self.is_there():
            with self._locked():
                self._sweep()

    # steps

    def _sweep(self) -> None:
        order = self.staged()
        slots = [slot for slot in (self.current(), self._read("previous.json", Slot)) if slot]
        wanted = {slot.file for slot in slots} | ({kept_as(order)} if order else set())
        wanted |= {one.profile.file for one in (*slots, order) if one and one.profile}
        for path in (*(self.folder / "bundles").glob("*.tar"), *(self.folder / "profiles").glob("*.json")):
            if path.name not in wanted:
                self._disk.remove(path)
        for path in (self.folder / "staged").glob("*.tar"):
            if order is None or order.alone or path.name != f"{order.title}.tar":
                self._disk.remove(path)
        for folder in (self.folder, *(self.folder / name for name in ("bundles", "profiles", "staged"))):
            for part in folder.glob(".*.part"):
                self._disk.remove(part)

    def _keep_refusal(self, what: Staged | Slot, finding: Finding, *, alone: bool = False) -> None:
        """Where only the profile was new, it alone is to blame; where it was only taken off, nothing is."""
        known, (sha256, profile) = self.refusals(), what.pair
        if alone and not profile:
            return
        blamed = profile if alone else ""
        if known.of(what.name, what.version, sha256, blamed) is None:
            fresh = Refusal(what.name, what.version, sha256, finding.code, finding.reason, self._at(), blamed)
            self._write("refused.json", Refused((*known.refused, fresh)[-REFUSED_MOST:]))

    def _put(self, slot: Slot, fresh: Slot) -> Slot:
        """Only where it is still current: an operator's roll-back is not undone."""
        current = self.current()
        if current is None or current.pair != slot.pair:
            return slot
        self._write("current.json", fresh)
        return fresh

    def _copy(self, source: Path, target: Path, order: Staged | SiteProfile) -> None:
        if not source.is_file():
            raise _kind_of(order)(str(source), "it is not there", AGAIN)
        self._disk.make_folder(target.parent)
        self._disk.write(target, _checked(source, order))

    def _write(self, name: str, record: msgspec.Struct) -> None:
        path = self.folder / name
        self._disk.make_folder(path.parent)
        self._disk.write(path, [msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n"])

    def _remove(self, name: str) -> None:
        self._disk.remove(self.folder / name)

    def _read(self, name: str, kind: type[Record]) -> Record | None:
        """None for what is not there or is damaged: the caller has a next thing to try."""
        try:
            return msgspec.json.decode((self.folder / name).read_bytes(), type=kind)
        except (OSError, ValueError, msgspec.DecodeError):  # bytes that are no UTF-8 are a ValueError
            return None

    def _at(self) -> str:
        return rfc3339(self._now())

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._disk.make_folder(self.folder)
        try:
            descriptor = os.open(self.folder / ".lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
        except OSError as error:
            reason = error.strerror or "cannot be opened"
            raise errors.Stopped(str(self.folder), reason, "Check the disk under state.folder") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def kept_as(order: Staged) -> str:
    return f"{order.title}-{order.sha256[:12]}.tar"


def _kind_of(what: Staged | SiteProfile) -> type[BadBundle | BadProfile]:
    return BadBundle if isinstance(what, Staged) else BadProfile


def _check(path: Path, what: Staged | SiteProfile) -> None:
    if not path.is_file():
        raise _kind_of(what)(str(path), "it is not there", AGAIN)
    for _ in _checked(path, what):
        pass


def _checked(source: Path, order: Staged | SiteProfile) -> Iterator[bytes]:
    """The file's bytes. Raises BadBundle, BadProfile, before the last is used, where they are not those."""
    digest, size = hashlib.sha256(), 0
    with source.open("rb") as file:
        while chunk := file.read(CHUNK):
            size += len(chunk)
            if size > min(order.size, MAX_BYTES):
                break
            digest.update(chunk)
            yield chunk
    if size != order.size or digest.hexdigest() != order.sha256:
        raise _kind_of(order)(
            str(source), f"not the {order.size} bytes of sha256 {order.sha256[:12]}… that it should be", AGAIN
        )
