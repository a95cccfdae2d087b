"""From what a person names to the source that reads it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from sono_edge.frames import Source
from sono_edge.practice import SCENARIOS
from sono_edge.sources.images import SUFFIXES, ImageSource, folder_source, table_source
from sono_edge.sources.phantom import SEED, PhantomSource
from sono_edge.sources.stream import StreamSource
from sono_edge.sources.video import VideoSource
from sono_models.errors import BadSource

SCHEMES = "a file, an image folder or manifest, v4l2:/dev/videoN, rtsp://, http(s)://, scan:FOLDER or phantom:"


def open_source(uri: str, *, clock: Callable[[], float] = time.monotonic) -> Source:
    """The source for a URI or path, not yet entered. Raises BadSource for what is not there or unknown.

    `clock` (monotonic, seconds) stamps the frames of a live source.
    """
    scheme, colon, rest = uri.partition(":")
    if not uri.strip():
        raise BadSource("source", "its name is empty", f"Name {SCHEMES}")
    if colon and not Path(uri).exists():
        return _by_scheme(uri, scheme.lower(), rest, clock)
    return _by_path(Path(uri))


def _by_scheme(uri: str, scheme: str, rest: str, clock: Callable[[], float]) -> Source:
    if scheme == "phantom":
        return _phantom(uri, rest)
    if scheme == "scan":
        return _kept(rest)
    if scheme in ("v4l2", "http", "https", "rtsp"):
        return _stream(uri, scheme, rest, clock)
    if scheme == "file":
        return _by_path(Path(rest.removeprefix("//")))
    if rest.startswith("//"):
        raise BadSource(uri, f"nothing here reads {scheme}://", f"Name {SCHEMES}")
    return _by_path(Path(uri))


def _stream(uri: str, scheme: str, rest: str, clock: Callable[[], float]) -> StreamSource:
    if scheme == "v4l2" and not rest.startswith("/dev/"):
        raise BadSource(uri, "does not name a device", "Write it as v4l2:/dev/video0")
    if scheme != "v4l2" and (not rest.startswith("//") or not rest.strip("/")):
        raise BadSource(uri, "does not name a host", f"Write it as {scheme}://HOST/PATH")
    return StreamSource(uri, clock=clock)


def _phantom(uri: str, rest: str) -> PhantomSource:
    """`phantom:`, `phantom:SEED`, `phantom:SCENARIO` or `phantom:SCENARIO:SEED`."""
    name, _, seed = rest.partition(":") if rest.partition(":")[0] in SCENARIOS else ("", "", rest)
    if seed and not (seed.isascii() and seed.isdigit()):
        known = ", ".join(f"phantom:{one}" for one in SCENARIOS)
        reason = "its seed is not a whole number, and it is no scenario"
        raise BadSource(uri, reason, f"Write phantom: or, for another breast, phantom:8; or a scenario: {known}")
    return PhantomSource(int(seed or SEED), name)


def _kept(folder: str) -> Source:
    from sono_edge.sources.kept import KeptScan  # noqa: PLC0415  (start-up that all others save)

    return KeptScan(Path(folder))


def _by_path(path: Path) -> Source:
    if path.is_dir():
        return folder_source(path)
    if not path.is_file():
        raise BadSource(str(path), "there is no such file or folder", f"Check the path, or name {SCHEMES}")
    suffix = path.suffix.lower()
    if suffix == ".csv":
        return table_source(path)
    if suffix in SUFFIXES:
        return ImageSource([path])
    if _is_dicom(path):
        from sono_edge.sources.dicom import DicomSource  # noqa: PLC0415  (only a DICOM needs the extra)

        return DicomSource(path)
    return VideoSource(path)


def _is_dicom(path: Path) -> bool:
    """By the mark behind the preamble (DICOM PS3.10, 7.1) or, where a scanner left it out, by the name."""
    with path.open("rb") as file:
        file.seek(128)
        return file.read(4) == b"DICM" or path.suffix.lower() in (".dcm", ".dicom")
