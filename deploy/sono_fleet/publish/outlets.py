"""Where a copy of the signed repository goes: a folder, or a bucket of any S3-compatible store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar
from urllib.parse import urlsplit

from sono_models.address import is_loopback
from sono_models.durable import on_disk, write_durably
from sono_models.errors import BadConfig, Unavailable

if TYPE_CHECKING:
    from obstore import Attributes
    from obstore.store import S3Store

T = TypeVar("T")
RETRIES = 5
DIGEST = "sha256"
"""The name under which an object says its content's hash."""


class Outlet(Protocol):
    """Raises BadConfig for what cannot be, Unavailable for what may heal by itself."""

    @property
    def said(self) -> str:
        """For people."""

    def digest(self, path: str) -> str | None:
        """sha256 of what is there, as the outlet remembers it; None: nothing is."""

    def put(self, path: str, content: bytes, cache: str) -> None:
        """All of it, or nothing. `cache` is HTTP's Cache-Control."""

    def get(self, path: str) -> bytes | None:
        """What is there."""


class Folder:
    """A folder that a web server hands out, on this machine or mounted."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.said = str(folder)

    def digest(self, path: str) -> str | None:
        content = self.get(path)
        return None if content is None else sha256(content).hexdigest()

    def put(self, path: str, content: bytes, cache: str) -> None:
        del cache  # the web server's to say
        place = self._folder / path
        with on_disk(self._folder):
            place.parent.mkdir(parents=True, exist_ok=True)
            write_durably(place, content)

    def get(self, path: str) -> bytes | None:
        with on_disk(self._folder):
            try:
                return (self._folder / path).read_bytes()
            except FileNotFoundError:
                return None


class Bucket:
    """s3://BUCKET/PREFIX. Who we are is read from the environment: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."""

    def __init__(self, name: str, prefix: str, endpoint: str, region: str) -> None:
        self.said = f"s3://{name}/{prefix}"
        self._store = _opened(name, prefix, endpoint, region)

    def digest(self, path: str) -> str | None:
        import obstore  # noqa: PLC0415

        found = self._asked(lambda: obstore.get(self._store, path, options={"head": True}).attributes)
        return None if found is None else str(found.get(DIGEST, "unknown"))

    def put(self, path: str, content: bytes, cache: str) -> None:
        import obstore  # noqa: PLC0415

        kind = "application/json" if path.endswith(".json") else "application/octet-stream"
        about: Attributes = {"Cache-Control": cache, "Content-Type": kind, DIGEST: sha256(content).hexdigest()}
        with self._troubles():
            obstore.put(self._store, path, content, attributes=about, use_multipart=False)

    def get(self, path: str) -> bytes | None:
        import obstore  # noqa: PLC0415

        return self._asked(lambda: bytes(obstore.get(self._store, path).bytes()))

    def _asked(self, ask: Callable[[], T]) -> T | None:
        with self._troubles():
            try:
                return ask()
            except FileNotFoundError:
                return None

    @contextmanager
    def _troubles(self) -> Iterator[None]:
        from obstore import exceptions as foreign  # noqa: PLC0415

        try:
            yield
        except (foreign.PermissionDeniedError, foreign.UnauthenticatedError) as problem:
            step = "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to those of someone who may write there"
            raise BadConfig(self.said, "the store does not let us", step) from problem
        except foreign.BaseError as problem:
            raise Unavailable(self.said, _first_line(problem), "Run it again: it goes on where it ended") from problem


def outlet(to: str, endpoint: str = "", region: str = "us-east-1") -> Outlet:
    """s3://BUCKET[/PREFIX], or a folder. Raises BadConfig."""
    if not to.startswith("s3://"):
        if "://" in to or endpoint:
            reason = "--endpoint goes with s3://" if endpoint else "it is neither s3://BUCKET/PREFIX nor a folder"
            raise BadConfig(f"--to {to}", reason, "Such as --to s3://updates/fleet --endpoint https://s3.example.org")
        return Folder(Path(to))
    name, _, prefix = to.removeprefix("s3://").partition("/")
    if not name:
        raise BadConfig(f"--to {to}", "it names no bucket", "Such as --to s3://updates/fleet")
    parts = urlsplit(endpoint)
    if endpoint and (parts.scheme not in {"http", "https"} or not parts.hostname):
        raise BadConfig(f"--endpoint {endpoint}", "it is not https://HOST[:PORT]", "Name the store's address")
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise BadConfig(f"--endpoint {endpoint}", "it is not encrypted", "Write https://")
    return Bucket(name, prefix.strip("/"), endpoint, region)


def _opened(name: str, prefix: str, endpoint: str, region: str) -> S3Store:
    try:
        from obstore.store import S3Store  # noqa: PLC0415  (an extra)
    except ImportError as problem:
        raise BadConfig(f"s3://{name}", "obstore is not installed", "pip install 'sonoedge[s3]'") from problem
    return S3Store(
        name,
        prefix=prefix or None,
        region=region,
        endpoint=endpoint or None,
        client_options={"allow_http": endpoint.startswith("http://")},
        retry_config={"max_retries": RETRIES},
    )


def _first_line(problem: Exception) -> str:
    return str(problem).partition("\n")[0][:300]
