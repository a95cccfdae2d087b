"""The breast phantom as a source: endless, and the same for the same seed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Self

from sono_edge.frames import Frame, SourceKind
from sono_edge.phantom.sweep import sweep

if TYPE_CHECKING:
    import threading

SEED = 7


class PhantomSource:
    """A simulated sweep, 640x480 at 30 fps; rendered, so neither a camera nor a file is needed.

    `scenario` names one of `sono_edge.practice`; without, it is the plain sweep.
    """

    kind: SourceKind = "phantom"
    live = False

    def __init__(self, seed: int = SEED, scenario: str = "") -> None:
        self.seed = seed
        self.scenario = scenario

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def frames(self, stop: threading.Event) -> Iterator[Frame]:
        for frame in self._drawn():
            if stop.is_set():
                return
            yield frame

    def _drawn(self) -> Iterator[Frame]:
        if not self.scenario:
            for frame in sweep(seed=self.seed):
                yield Frame(frame.index, frame.captured_s, 0.0, frame.picture)
            return
        from sono_edge.phantom.staged import staged  # noqa: PLC0415  (start-up that the plain sweep saves)

        for index, one in enumerate(staged(self.scenario, seed=self.seed)):
            yield Frame(index, one.captured_s, 0.0, one.picture, one.coloured_share)
