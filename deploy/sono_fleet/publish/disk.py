"""Troubles of the disk, in words."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sono_models.errors import BadConfig, DiskFull


@contextmanager
def on_disk(folder: Path) -> Iterator[None]:
    """Raises DiskFull, or BadConfig for a folder that takes nothing."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise DiskFull(str(folder), "no room left on the disk", "Free some space, then run it again") from error
        raise BadConfig(str(folder), error.strerror or "cannot be written", "Make it writable") from error
