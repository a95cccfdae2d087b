"""A source and a viewer for the agent's real loop: frames come one by one, scenes are kept."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Self

from sono_edge.frames import Frame, SourceKind
from sono_edge.scene import Scene


class Recorded:
    """A viewer that keeps every scene."""

    def __init__(self) -> None:
        self.scenes: list[Scene] = []

    def show(self, scene: Scene) -> None:
        self.scenes.append(scene)


class HandFed:
    """A source that gives its next frame when the last one was judged: nothing is dropped, however slow we are."""

    live = False

    def __init__(self, frames: list[Frame], kind: SourceKind = "video") -> None:
        self.kind: SourceKind = kind
        self._frames = frames
        self.judged = threading.Semaphore(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def frames(self, stop: threading.Event) -> Iterator[Frame]:
        for frame in self._frames:
            while not self.judged.acquire(timeout=0.1):
                if stop.is_set():
                    return
            yield frame
