"""Files that a power cut leaves whole: written beside, fsynced, renamed, and the folder fsynced too."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sono_models.errors import BadConfig, DiskFull


def write_durably(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Replace `path`: afterwards it is on the disk, before and during it what was there is. Raises OSError."""
    beside = path.with_name(f".{path.name}.part")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """What was created, renamed or removed in it is on the disk afterwards."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """What another wrote into it is on the disk afterwards."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_full(error: OSError) -> bool:
    """The disk takes no more, or this user's share of it does not."""
    return error.errno in {errno.ENOSPC, errno.EDQUOT}


@contextmanager
def on_disk(folder: Path) -> Iterator[None]:
    """Troubles of the disk, in words. Raises DiskFull, or BadConfig for a folder that takes nothing."""
    try:
        yield
    except OSError as error:
        if is_full(error):
            raise DiskFull(str(folder), "no room left on the disk", "Free some space, then run it again") from error
        raise BadConfig(str(folder), error.strerror or "cannot be written", "Make it writable for this user") from error
