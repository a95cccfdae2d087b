"""The repository on a web server, by urllib3 behind python-tuf's own seam for fetchers.

Every byte is counted against the data budget before it is used, and a server that only drips is left. There
are no redirects: what a device asks is in its configuration, not in an answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import urllib3
from tuf.api.exceptions import DownloadError, DownloadHTTPError, SlowRetrievalError
from tuf.ngclient import FetcherInterface

from sono_edge.updater.repository import METADATA, PIECE, TARGETS, Stream
from sono_edge.updater.retries import Retries
from sono_models import __version__

WINDOW_S = 20.0
"""Over so long the pace is measured."""
HEADERS = {"User-Agent": f"sonoedge/{__version__}", "Accept-Encoding": "identity"}
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


@dataclass(frozen=True, slots=True)
class Tls:
    """Empty: the system's authorities, no certificate of our own."""

    ca: str = ""
    cert: str = ""
    key: str = ""


class WebRepository:
    """Raises DownloadError. `take` is told of bytes before they are used, and may raise."""

    def __init__(
        self,
        url: str,
        retries: Retries,
        *,
        tls: Tls,
        proxy: str = "",
        timeout_s: float,
        slowest: float,
        take: Callable[[int], None],
        clock: Callable[[], float],
    ) -> None:
        self._base = url.rstrip("/")
        self.metadata_url = f"{self._base}/{METADATA}/"
        self._server = _Server(_pool(tls, proxy, timeout_s), slowest, take, clock)
        self.fetcher: FetcherInterface = _WebFetcher(self._server, retries)

    @contextmanager
    def open(self, file: str, offset: int, length: int) -> Iterator[Stream]:
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        with self._server.ask(f"{self._base}/{TARGETS}/{file}", headers) as answer:
            if answer.status == 206:
                _check_range(answer.headers.get("Content-Range", ""), offset, length)
                yield Stream(offset, self._server.pieces(answer))
            else:
                yield Stream(0, self._server.pieces(answer))


class _Server:
    def __init__(
        self, pool: urllib3.PoolManager, slowest: float, take: Callable[[int], None], clock: Callable[[], float]
    ) -> None:
        self._pool = pool
        self._slowest, self._take, self._clock = slowest, take, clock

    @contextmanager
    def ask(self, url: str, headers: dict[str, str]) -> Iterator[urllib3.BaseHTTPResponse]:
        with _troubles(url):
            answer = self._pool.request(
                "GET", url, headers={**HEADERS, **headers}, preload_content=False, redirect=False
            )
        try:
            if answer.status == 416 and headers:
                raise DownloadError(f"{url}: it ends before the byte that was asked for")
            if answer.status not in {200, 206} or (answer.status == 206 and not headers):
                raise DownloadHTTPError(f"{url}: status {answer.status}", _status(answer.status))
            yield answer
        finally:
            answer.close()

    def pieces(self, answer: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
        """The body as it comes. `read1` returns what one packet brought, so that a drip is seen as one."""
        pace = _Pace(self._slowest, self._clock)
        assert isinstance(answer, urllib3.HTTPResponse)
        while True:
            with _troubles(answer.url or "the server"):
                piece = answer.read1(PIECE, decode_content=False)
            if not piece:
                return
            self._take(len(piece))
            pace.add(len(piece))
            yield piece


class _WebFetcher(FetcherInterface):
    """Metadata: small, so an attempt that failed begins at its beginning."""

    def __init__(self, server: _Server, retries: Retries) -> None:
        self._server, self._retries = server, retries

    def download_bytes(self, url: str, max_length: int) -> bytes:
        whole = super().download_bytes
        return self._retries(lambda: whole(url, max_length))

    def _fetch(self, url: str) -> Iterator[bytes]:
        with self._server.ask(url, {}) as answer:
            yield from self._server.pieces(answer)


class _Pace:
    """Raises SlowRetrievalError when a window brought fewer bytes than it must. An end in time needs no pace."""

    def __init__(self, slowest: float, clock: Callable[[], float]) -> None:
        self._slowest, self._clock = slowest, clock
        self._since, self._bytes = clock(), 0

    def add(self, count: int) -> None:
        self._bytes += count
        passed = self._clock() - self._since
        if passed >= WINDOW_S:
            if self._bytes < self._slowest * passed:
                raise SlowRetrievalError(f"{self._bytes / passed:.0f} bytes/s, {self._slowest:.0f} wanted")
            self._since, self._bytes = self._clock(), 0


def _pool(tls: Tls, proxy: str, timeout_s: float) -> urllib3.PoolManager:
    settings: dict[str, Any] = {
        "retries": False,
        "timeout": urllib3.Timeout(timeout_s),
        "ca_certs": tls.ca or None,
        "cert_file": tls.cert or None,
        "key_file": tls.key or None,
    }
    return urllib3.ProxyManager(proxy, **settings) if proxy else urllib3.PoolManager(**settings)


def _status(status: int) -> int:
    """A redirect is a no, as is a part of what was asked whole."""
    return status if status >= 400 else 421


def _check_range(said: str, offset: int, length: int) -> None:
    found = _RANGE.fullmatch(said)
    if found is None or (int(found[1]), int(found[3])) != (offset, length):
        raise DownloadError(f"bytes from {offset} of {length} asked, {said!r} came")


@contextmanager
def _troubles(url: str) -> Iterator[None]:
    try:
        yield
    except urllib3.exceptions.NewConnectionError as error:  # a kind of timeout to urllib3
        raise DownloadError(f"{url}: {error}") from error
    except urllib3.exceptions.TimeoutError as error:
        raise SlowRetrievalError(f"{url}: nothing came in time") from error
    except urllib3.exceptions.HTTPError as error:
        raise DownloadError(f"{url}: {error}") from error
    except OSError as error:
        raise DownloadError(f"{url}: {error}") from error
