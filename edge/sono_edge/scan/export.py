"""A scan's folder onto a mounted drive: all of it or nothing, and the scan stays where it was either way."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from sono_edge.scan.records import ScanRecord
from sono_edge.scan.store import read_record
from sono_models.durable import is_full, sync_file, sync_folder
from sono_models.errors import BadConfig, DiskFull, Stopped

Copy = Callable[[Path, Path], None]
Also = Callable[[ScanRecord, Path], None]
"""What is written beside the copies: the record, and the folder that they are in."""


def scans_of(folder: Path) -> tuple[ScanRecord, ...]:
    """The scans under a device's folder, newest first; read only, so it may be done while the agent runs."""
    if not folder.is_dir():
        return ()
    found = (read_record(path) for path in sorted(folder.iterdir(), reverse=True) if path.is_dir())
    return tuple(record for record in found if record is not None)


def copy_file(source: Path, target: Path) -> None:
    """A copy that is on the drive, not on its way there."""
    shutil.copyfile(source, target)
    with target.open("rb") as file:
        os.fsync(file.fileno())


def export(
    folder: Path, scan: str, to: Path, *, copy: Copy = copy_file, also: Also | None = None, again: bool = False
) -> Path:
    """Copy a scan's folder to `to`/ID, under another name until it is whole. Returns where it is.

    `also` adds files of its own to the copy; `again` replaces what was exported before, once the new one is whole.
    Raises BadConfig for a scan or a drive that is not there, or a scan that was exported there before; DiskFull and
    Stopped when the drive fills or vanishes on the way.
    """
    record = next((one for one in scans_of(folder) if one.id == scan), None)
    if record is None:
        raise BadConfig(f"scan {scan!r}", "there is no such scan", "See sono scans list")
    if not to.is_dir():
        raise BadConfig(str(to), "no such folder", "Mount the drive, or name another with --to")
    target, part = to / scan, to / f".{scan}.part"
    if target.exists() and not again:
        raise BadConfig(str(target), "it was exported before", "Delete it there, or name another with --to")
    try:
        _copy_all(folder / scan, part, copy)
        if also is not None:
            also(record, part)
            _sync(part)
        _take_place(part, target)
    except OSError as error:
        shutil.rmtree(part, ignore_errors=True)
        raise _said(error, folder / scan, to) from error
    return target


def _said(error: OSError, scan: Path, to: Path) -> Stopped:
    """The system's error in our words."""
    if is_full(error):
        return DiskFull(str(to), "the drive is full; nothing was exported", "Free some space on it")
    if not scan.is_dir():
        reason = "the scan made room for newer ones meanwhile; nothing was exported"
        return Stopped(scan.name, reason, "See sono scans list")
    reason = f"the drive cannot be written ({(error.strerror or 'unknown').lower()}); nothing was exported"
    return Stopped(str(to), reason, "Check that it is still plugged in, then export again")


def _take_place(part: Path, target: Path) -> None:
    """What is whole gets its name; what had it before goes last."""
    before = target.with_name(f".{target.name}.before")
    if target.exists():
        shutil.rmtree(before, ignore_errors=True)
        target.replace(before)
    part.replace(target)
    sync_folder(target.parent)
    shutil.rmtree(before, ignore_errors=True)


def _copy_all(source: Path, part: Path, copy: Copy) -> None:
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    for path in sorted(source.iterdir()):
        if path.is_file() and not path.name.startswith("."):
            copy(path, part / path.name)
    _sync(part)


def _sync(folder: Path) -> None:
    """Every file of it, and their names."""
    for path in folder.iterdir():
        sync_file(path)
    sync_folder(folder)
