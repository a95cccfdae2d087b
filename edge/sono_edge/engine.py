"""What judges frames, as one thing that the loop can be given between two of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, Self

from sono_edge.alerts import Provenance
from sono_edge.meter import Intervals
from sono_edge.pipeline import Judged, Pipeline


@dataclass(frozen=True, slots=True)
class Engine:
    """A verified pipeline, and what every alert of it says of where it came from."""

    pipeline: Pipeline
    told: Provenance
    intervals: Intervals
    card: str = ""
    """The model's card, for the page."""


class Updates(Protocol):
    """Where another engine comes from. Every method returns at once."""

    @property
    def swaps(self) -> int: ...
    @property
    def missed_most(self) -> int:
        """Frames that came between the last of one engine and the first of the next, at worst."""
        ...

    def turn(self, now: float) -> Engine | None:
        """Once a step: the loop lives; the engine that judges from the next frame on, where there is one."""
        ...

    def took(self, engine: Engine, old: Engine) -> None:
        """The loop has changed over; `old` is to be freed elsewhere."""
        ...

    def saw(self, judged: Judged, latency_ms: float, now: float) -> None: ...


class NoUpdates:
    """The bundle of the start stays."""

    swaps = 0
    missed_most = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def turn(self, now: float) -> Engine | None:  # noqa: ARG002  (the seam's)
        return None

    def took(self, engine: Engine, old: Engine) -> None:
        pass

    def saw(self, judged: Judged, latency_ms: float, now: float) -> None:
        pass
