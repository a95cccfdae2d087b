"""What travels between the stages."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol, Self

from sono_models.inputs import Grey

SourceKind = Literal["video", "images", "dicom", "v4l2", "stream", "phantom", "scan"]


@dataclass(frozen=True, slots=True)
class Frame:
    """One decoded picture. `captured_s` is the stream's own time, or the moment of arrival of a live one."""

    index: int
    captured_s: float
    arrived_s: float
    """Monotonic clock, seconds, when the decoder had it; 0 where there is no clock (replay)."""
    picture: Grey
    coloured_share: float = 0.0
    """Share of clearly coloured pixels, 0 to 1, of a thumbnail: Doppler boxes."""
    name: str = ""
    """The image's file name, where the source is a folder or a table; never leaves the device."""


class Source(Protocol):
    """A stream of pictures. A context manager: leaving it closes what it opened."""

    kind: SourceKind
    live: bool
    """A camera or network stream: frames come when they come, and it may come back after a loss."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *exc: object) -> None: ...

    def frames(self, stop: threading.Event) -> Iterator[Frame]:
        """Every frame in order until the end or `stop`. Raises SourceLost when a live one goes away."""
        ...
