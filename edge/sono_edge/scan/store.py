"""Scans on disk: a folder each with scan.json, pictures and clips. Whole files only, under a quota.

A file is written beside its place, made durable, then renamed; scan.json names a file only once it is there. So
after a power cut what is named is complete, and what is not named is swept away on opening. When the quota is
used up the oldest scan whose alerts were all acknowledged goes first; one with an unseen alert goes last; the
scan that runs never goes. Belongs to one thread.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import msgspec

from sono_edge.scan.records import CaptureRecord, ScanRecord
from sono_models.durable import is_full, sync_folder
from sono_models.errors import DiskFull, Stopped

log = logging.getLogger(__name__)

RECORD = "scan.json"
PART = ".part"
MB = 1_000_000
STAMP = "%Y%m%dT%H%M%SZ"
"""What a scan's id begins with: when it began."""


class Store:
    """The scans under one folder. Every method that writes raises DiskFull or Stopped; what was there stays."""

    def __init__(self, folder: Path, quota_mb: int) -> None:
        self.folder = folder
        self.quota_mb = quota_mb
        self._quota_bytes = quota_mb * MB
        self._records: dict[str, ScanRecord] = {}
        self._sizes: dict[str, int] = {}

    def open(self) -> None:
        """Read what is there; a folder without a whole scan.json, and files that none names, go."""
        with said(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            for folder in sorted(path for path in self.folder.iterdir() if path.is_dir()):
                record = read_record(folder)
                if record is None:
                    shutil.rmtree(folder, ignore_errors=True)
                    continue
                _sweep(folder, record)
                self._records[record.id] = record
                self._sizes[record.id] = _size(folder)

    def records(self) -> tuple[ScanRecord, ...]:
        """Newest first."""
        return tuple(sorted(self._records.values(), key=lambda one: one.id, reverse=True))

    @property
    def used_bytes(self) -> int:
        return sum(self._sizes.values())

    def save(self, record: ScanRecord) -> None:
        """Replace the scan's record. Its acknowledgements count at once, whether or not the disk takes them."""
        if record.id in self._records:
            self._records[record.id] = record
        self.put(record.id, RECORD, msgspec.json.format(msgspec.json.encode(record), indent=1))
        self._records[record.id] = record

    def put(self, scan: str, name: str, content: bytes) -> None:
        """A whole file into a scan's folder."""
        self._make_room(len(content), scan)

        def write(part: Path) -> None:
            part.write_bytes(content)

        self.put_by(scan, name, write)

    def put_by(self, scan: str, name: str, write: Callable[[Path], object]) -> bool:
        """As `put`, for a file that `write` writes into the path it is given. False where it wrote none."""
        try:
            with said(self.folder / scan):
                write(self.begin(scan, name))
            return self.finish(scan, name)
        finally:
            self.drop(scan, name)

    def begin(self, scan: str, name: str) -> Path:
        """Where a file may be written that `finish` puts in its place, or `drop` takes away."""
        folder = self.folder / scan
        with said(folder):
            folder.mkdir(parents=True, exist_ok=True)
        return _part(folder, name)

    def finish(self, scan: str, name: str) -> bool:
        """What was written since `begin`, made durable and in its place. False where nothing was."""
        folder = self.folder / scan
        part = _part(folder, name)
        try:
            with said(folder):
                if not part.exists():
                    return False
                with part.open("rb") as file:
                    os.fsync(file.fileno())
                self._make_room(part.stat().st_size, scan)
                part.replace(folder / name)
                sync_folder(folder)
                return True
        finally:
            self.drop(scan, name)

    def drop(self, scan: str, name: str) -> None:
        """Take away what `begin` began, where it is not in its place."""
        folder = self.folder / scan
        with said(folder):
            if folder.is_dir():
                _part(folder, name).unlink(missing_ok=True)
                self._sizes[scan] = _size(folder)

    def remove(self, scan: str, capture: CaptureRecord) -> None:
        """A capture's files."""
        with said(self.folder / scan):
            for name in files_of(capture):
                (self.folder / scan / name).unlink(missing_ok=True)
            self._sizes[scan] = _size(self.folder / scan)

    def purge(self, before: datetime, running: str = "") -> None:
        """Scans that began earlier go, but for those with an alert that nobody has seen: they wait for the quota."""
        for one in self.records():
            if one.acknowledged and one.id < f"{before:{STAMP}}" and one.id != running:
                log.info("scans: %s goes, kept long enough", one.id)
                self._forget(one)

    def read(self, scan: str, name: str) -> bytes | None:
        """A file of a scan; None when there is none."""
        try:
            return (self.folder / scan / name).read_bytes()
        except OSError:
            return None

    def _make_room(self, size: int, running: str) -> None:
        """Let the oldest scans go until `size` more bytes are within the quota."""
        while self.used_bytes + size > self._quota_bytes:
            going = [one for one in self._records.values() if one.id != running]
            if not going:
                reason = f"the quota of {self._quota_bytes // MB} MB is used up"
                raise DiskFull("the scans", reason, "Raise scan.quota_mb, or export and delete scans")
            oldest = min(going, key=lambda one: (not one.acknowledged, one.id))
            log.info("scans: %s goes, to make room", oldest.id)
            self._forget(oldest)

    def _forget(self, record: ScanRecord) -> None:
        with said(self.folder):
            shutil.rmtree(self.folder / record.id)
        del self._records[record.id]
        self._sizes.pop(record.id, None)


def files_of(capture: CaptureRecord) -> Iterator[str]:
    yield f"{capture.id}.png"
    if capture.saliency:
        yield f"{capture.id}-saliency.png"
    if capture.clip:
        yield f"{capture.id}.mp4"


def read_record(folder: Path) -> ScanRecord | None:
    """A scan's record as its folder has it; None when it has none that is whole."""
    try:
        record = msgspec.json.decode((folder / RECORD).read_bytes(), type=ScanRecord)
    except (OSError, msgspec.DecodeError):
        return None
    return record if record.id == folder.name else None


def _sweep(folder: Path, record: ScanRecord) -> None:
    named = {RECORD, *(name for capture in record.captures for name in files_of(capture))}
    for path in folder.iterdir():
        if path.name not in named and path.is_file():
            path.unlink(missing_ok=True)


def _part(folder: Path, name: str) -> Path:
    return folder / f".{name}{PART}"


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())


@contextmanager
def said(where: Path) -> Iterator[None]:
    """The system's errors in our words."""
    try:
        yield
    except OSError as error:
        if is_full(error):
            raise DiskFull(where.name, "no room left on the disk", "Free some space") from error
        reason = (error.strerror or "it cannot be written").lower()
        raise Stopped(where.name, reason, "Check the disk under state.folder") from error
