"""Counters and percentiles of the frame loop; what the page's small figures and the vitals are made of."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence

from sono_models.messages import LatencyMs

RECENT = 900
RATE_OVER_S = 2.0
INTERVAL_STEPS = 200
"""Half a per cent: finer than the page's bar can show."""


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile of sorted values; 0 of none."""
    if not values:
        return 0.0
    return values[min(len(values) - 1, int(share * len(values)))]


class Rate:
    """How many frames a second came during the last RATE_OVER_S; one thread adds, others ask."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._at_s: deque[float] = deque()

    def add(self, at_s: float) -> None:
        with self._lock:
            self._at_s.append(at_s)
            self._forget(at_s)

    def per_s(self, now_s: float) -> float:
        with self._lock:
            self._forget(now_s)
            span_s = now_s - self._at_s[0] if self._at_s else 0.0
            return (len(self._at_s) - 1) / span_s if span_s > 0 else 0.0

    def _forget(self, now_s: float) -> None:
        while self._at_s and self._at_s[0] <= now_s - RATE_OVER_S:
            self._at_s.popleft()


class Meter:
    """Counts frames; keeps the latencies (capture to decision) of the last RECENT scored frames."""

    def __init__(self) -> None:
        self.scored = 0
        self.reused = 0
        self.paused = 0
        self.alerts_raised = 0
        self._latencies_ms: deque[float] = deque(maxlen=RECENT)
        self._rate = Rate()

    @property
    def judged(self) -> int:
        return self.scored + self.reused + self.paused

    def scored_frame(self, latency_ms: float, decided_s: float) -> None:
        self.scored += 1
        self._latencies_ms.append(latency_ms)
        self._rate.add(decided_s)

    def fps_scored(self, now_s: float) -> float:
        return self._rate.per_s(now_s)

    def latency(self) -> LatencyMs:
        ordered = sorted(self._latencies_ms)
        return LatencyMs(*(round(percentile(ordered, share), 2) for share in (0.5, 0.95, 0.99)))


class Intervals:
    """The interval of every score the bar can show, worked out once: a frame only looks it up."""

    def __init__(self, interval: Callable[[float], tuple[float, float]] | None) -> None:
        steps = [step / INTERVAL_STEPS for step in range(INTERVAL_STEPS + 1)]
        self._known = [interval(step) for step in steps] if interval else []

    def around(self, score: float) -> tuple[float, float] | tuple[None, None]:
        """(lo, hi), which hold the score; (None, None) where nothing is known."""
        if not self._known:
            return None, None
        low, high = self._known[round(score * INTERVAL_STEPS)]
        return min(low, score), max(high, score)


class Strip:
    """The attention of the last `seconds`, `per_s` values a second of wall time; NaN while paused."""

    def __init__(self, *, seconds: int = 10, per_s: int = 10) -> None:
        self._values: deque[float] = deque(maxlen=seconds * per_s)
        self._every_s = 1.0 / per_s
        self._next_s = 0.0
        self.shown: tuple[float, ...] = ()

    def add(self, value: float, now_s: float) -> None:
        if now_s < self._next_s:
            return
        self._next_s = max(self._next_s + self._every_s, now_s)
        self._values.append(value)
        self.shown = tuple(self._values)
