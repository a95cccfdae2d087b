"""What the frame loop hands on of what it judged, and what a person asks of the scan. Plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias

from sono_edge.scene import State
from sono_models.inputs import Box, Grey
from sono_models.messages import Alert, SeenReason
from sono_models.reader import Reading


@dataclass(frozen=True, slots=True)
class Sight:
    """One judged frame. `picture` and `reading` are None where the writer was behind, or nothing was scored."""

    captured_s: float
    state: State
    reason: str
    quality: float
    attention: float
    track: int
    """The number of the alert that stands; 0: none does."""
    box: Box | None
    picture: Grey | None
    reading: Reading | None


@dataclass(frozen=True, slots=True)
class AlertStep:
    """A step in an alert's life, as the outbox has it."""

    alert: str
    kind: str
    captured_s: float
    score: float
    seen: bool
    reason: SeenReason = ""
    message: Alert | None = None
    """What the outbox was given; None for an acknowledgement of an alert that this run did not raise."""


@dataclass(frozen=True, slots=True)
class KeepNow:
    """Keep the newest picture, and the seconds before it."""


@dataclass(frozen=True, slots=True)
class Begin:
    """A scan begins; one that runs is ended first. The token is opaque: only the hospital can resolve it."""

    token: str = ""


@dataclass(frozen=True, slots=True)
class End:
    """The scan ends.

    `impression`: the category (1 to 5) that the reader entered; without a running scan it is added to the summary
    of the one that ended last. `scan`: the one that is meant; if it ended before, only the impression is added.
    """

    impression: int | None = None
    scan: str = ""


Order: TypeAlias = KeepNow | Begin | End


class Scans(Protocol):
    """Where the frame loop leaves what it judged. Every method returns at once."""

    recording: bool
    """False where all that is offered would be forgotten: there is no need to make it."""

    @property
    def trouble(self) -> str: ...
    def offer(self, sight: Sight) -> None: ...
    def tell(self, step: AlertStep) -> None: ...
    def order(self, order: Order) -> None: ...


class NoScans:
    """Recording is switched off."""

    recording = False
    trouble = ""

    def offer(self, sight: Sight) -> None:
        pass

    def tell(self, step: AlertStep) -> None:
        pass

    def order(self, order: Order) -> None:
        pass
