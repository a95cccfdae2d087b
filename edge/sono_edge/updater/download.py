"""A target onto the disk: resumed where it broke off, verified whole, never mistaken for whole before.

python-tuf has no resume and writes a target in place; its `TargetFile` still judges the result.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import IO

from tuf.api.exceptions import DownloadError, DownloadLengthMismatchError, LengthOrHashMismatchError

from sono_edge.updater.refusal import Code, UpdateRefused
from sono_edge.updater.repository import Repository
from sono_edge.updater.retries import Retries
from sono_edge.updater.trust import File, refused
from sono_models.durable import is_full, sync_folder

log = logging.getLogger(__name__)

SPARE = 32 * 1024 * 1024
"""Room that is left on the disk: the outbox lives there too."""


class Incoming:
    """The folder of what is on its way: `SHA256.part`, and `SHA256.tar` when it is whole."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def whole(self, found: File) -> Path | None:
        """The verified file, when an earlier run got so far. It is verified again."""
        path = self._folder / f"{found.sha256}.tar"
        if not path.is_file():
            return None
        if _is_right(found, path):
            return path
        path.unlink()
        return None

    def fetch(self, repository: Repository, found: File, *, retries: Retries, check: Callable[[], None]) -> Path:
        """Verified and fsynced. `check` is asked for every piece and may raise. Raises UpdateRefused."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._sweep(found)
        part = self._folder / f"{found.sha256}.part"
        resumed = part.is_file() and part.stat().st_size > 0
        self._receive(repository, found, part, retries, check)
        if not _is_right(found, part) and resumed:
            log.warning("updater: %s: what an earlier run had left is damaged; from the beginning", found.path)
            part.unlink()
            self._receive(repository, found, part, retries, check)
        if not _is_right(found, part):
            part.unlink()
            raise UpdateRefused(Code.DAMAGED, found.path)
        whole = part.with_suffix(".tar")
        part.replace(whole)
        sync_folder(self._folder)
        return whole

    def left(self, found: File) -> int:
        """Bytes that are still to come."""
        part = self._folder / f"{found.sha256}.part"
        return found.size - min(part.stat().st_size if part.is_file() else 0, found.size)

    def clear(self) -> None:
        """Nothing is on its way any more."""
        if self._folder.is_dir():
            for path in self._folder.iterdir():
                path.unlink()

    def _sweep(self, found: File) -> None:
        for path in self._folder.iterdir():
            if path.stem != found.sha256:
                path.unlink()

    def _receive(
        self, repository: Repository, found: File, part: Path, retries: Retries, check: Callable[[], None]
    ) -> None:
        part.touch()
        if part.stat().st_size > found.size:
            os.truncate(part, 0)
        if shutil.disk_usage(self._folder).free < self.left(found) + SPARE:
            raise UpdateRefused(Code.DISK, found.path, f"{self.left(found)} bytes and {SPARE} spare are needed")
        try:
            retries(lambda: _once(repository, found, part, check), position=lambda: part.stat().st_size)
        except DownloadError as error:
            raise refused(error, found.path) from error
        except OSError as error:
            if is_full(error):
                part.unlink()  # the outbox needs the room more
                raise UpdateRefused(Code.DISK, found.path, error.strerror or "") from error
            raise


def _once(repository: Repository, found: File, part: Path, check: Callable[[], None]) -> None:
    """One attempt, from where the file ends."""
    have = part.stat().st_size
    if have == found.size:
        return
    with repository.open(found.file, have, found.size) as stream, part.open("r+b") as file:
        if stream.start != have:
            log.warning("updater: the server does not resume; %d bytes come again", have)
            file.truncate(0)
        file.seek(stream.start)
        at = stream.start
        for piece in stream.pieces:
            check()
            at += len(piece)
            if at > found.size:
                raise DownloadLengthMismatchError(f"{at} bytes and more, {found.size} are signed")
            file.write(piece)
        _to_disk(file)
    if at < found.size:
        raise DownloadError(f"it broke off after {at} of {found.size} bytes")


def _to_disk(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _is_right(found: File, path: Path) -> bool:
    try:
        with path.open("rb") as file:
            found.raw.verify_length_and_hashes(file)
    except LengthOrHashMismatchError:
        return False
    return True
