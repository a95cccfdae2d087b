"""Files that are whole or not there: written beside, made durable, then renamed into place."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from sono_models.durable import is_full
from sono_models.errors import BadConfig, DiskFull


@contextmanager
def writing(path: Path) -> Iterator[IO[str]]:
    """A text file that replaces `path` when the block ends well; what was there stays when it does not."""
    beside = path.with_name(f".{path.name}.part")
    try:
        with beside.open("w", encoding="utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        if is_full(error):
            raise DiskFull(str(path), "no room left on the disk", "Free some space, then run it again") from error
        raise BadConfig(str(path), error.strerror or "cannot be written", "Choose another --out") from error
    finally:
        beside.unlink(missing_ok=True)
