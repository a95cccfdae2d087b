"""Every change of the slots' folder, one durable step at a time.

A file is written beside, fsynced, renamed, and its folder is fsynced: after a power cut there is the old one or
the new one, whole. (sono_models.atomic writes texts that a person can write again, and leaves out the last step.)
The five primitives at the end are the seam at which the power-cut campaign strikes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO

from sono_models import durable
from sono_models.errors import DiskFull, Stopped


class Disk:
    """Raises DiskFull where there is no room, Stopped where the disk refuses; what was there stays."""

    def write(self, path: Path, parts: Iterable[bytes]) -> None:
        """Replace `path` by the parts; durable when this returns."""
        beside = path.with_name(f".{path.name}.part")
        try:
            with self.create(beside) as file:
                for part in parts:
                    file.write(part)
                file.flush()
                self.sync(file.fileno(), beside)
            self.rename(beside, path)
            self.sync_folder(path.parent)
        except OSError as error:
            raise _refusal(path, error) from error
        finally:
            with suppress(OSError):
                beside.unlink(missing_ok=True)

    def remove(self, path: Path) -> None:
        """Gone for good when this returns; also when it was not there."""
        if not path.exists():
            return
        try:
            self.unlink(path)
            self.sync_folder(path.parent)
        except OSError as error:
            raise _refusal(path, error) from error

    def make_folder(self, path: Path) -> None:
        if path.is_dir():
            return
        try:
            path.mkdir(parents=True, exist_ok=True)
            self.sync_folder(path.parent)
        except OSError as error:
            raise _refusal(path, error) from error

    def create(self, path: Path) -> IO[bytes]:
        return path.open("wb")

    def sync(self, descriptor: int, path: Path) -> None:  # noqa: ARG002  (the seam: who strikes needs to know where)
        os.fsync(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        source.replace(target)

    def unlink(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def sync_folder(self, path: Path) -> None:
        durable.sync_folder(path)


def _refusal(path: Path, error: OSError) -> DiskFull | Stopped:
    if durable.is_full(error):
        return DiskFull(str(path), "no room left on the disk", "Free some space; the running bundle goes on")
    return Stopped(str(path), error.strerror or "cannot be written", "Check the disk under state.folder")
