"""The seam between ingest and who counts along (metrics.py)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from sono_fleet.store import Delivered, Outcome, Report


class Watch(Protocol):
    """Who counts along, for metrics. It neither waits nor raises."""

    def left_out(self, topic: str, kind: str) -> None:
        """A message on a topic's last word, which may be anything."""

    def committed(
        self, delivered: Sequence[Delivered], reports: Sequence[Report], outcome: Outcome, seconds: float
    ) -> None: ...


class Unwatched:
    """Nobody does."""

    def left_out(self, topic: str, kind: str) -> None:
        del topic, kind

    def committed(
        self, delivered: Sequence[Delivered], reports: Sequence[Report], outcome: Outcome, seconds: float
    ) -> None:
        del delivered, reports, outcome, seconds


UNWATCHED = Unwatched()
