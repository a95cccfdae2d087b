"""Where signed files come from: one seam, a web server or a folder behind it. Nothing here is trusted.

Troubles are python-tuf's own download errors, so that its metadata and our targets fail alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from tuf.api.exceptions import DownloadError, DownloadHTTPError
from tuf.ngclient import FetcherInterface

PIECE = 1 << 16
METADATA, TARGETS = "metadata", "targets"


@dataclass(frozen=True, slots=True)
class Stream:
    """A target's bytes from `start` on: that is the offset asked for, or 0 from a server that cannot resume."""

    start: int
    pieces: Iterator[bytes]


class Repository(Protocol):
    """Raises DownloadError and its kin."""

    metadata_url: str

    @property
    def fetcher(self) -> FetcherInterface: ...

    def open(self, file: str, offset: int, length: int) -> AbstractContextManager[Stream]:
        """A file under `targets/`, of `length` bytes in all."""


class FolderRepository:
    """A stick: the repository's own layout in a folder. It reads nothing outside of that folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.metadata_url = f"stick:///{METADATA}/"
        self.fetcher: FetcherInterface = _FolderFetcher(folder)

    @contextmanager
    def open(self, file: str, offset: int, length: int) -> Iterator[Stream]:
        del length
        path = _inside(self._folder, f"{TARGETS}/{file}")
        try:
            with path.open("rb") as opened:
                opened.seek(offset)
                yield Stream(offset, iter(lambda: opened.read(PIECE), b""))
        except OSError as error:
            raise _as_download_error(path, error) from error


class _FolderFetcher(FetcherInterface):
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _fetch(self, url: str) -> Iterator[bytes]:
        path = _inside(self._folder, unquote(urlsplit(url).path).lstrip("/"))
        try:
            with path.open("rb") as opened:
                while piece := opened.read(PIECE):
                    yield piece
        except OSError as error:
            raise _as_download_error(path, error) from error


def _inside(folder: Path, name: str) -> Path:
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise DownloadHTTPError(f"{name} leads out of {folder}", 403)
    return path


def _as_download_error(path: Path, error: OSError) -> DownloadError:
    if isinstance(error, FileNotFoundError | IsADirectoryError | NotADirectoryError):
        return DownloadHTTPError(f"{path}: {error.strerror}", 404)
    return DownloadError(f"{path}: {error.strerror}")
