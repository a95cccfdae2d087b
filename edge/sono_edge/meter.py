"""Counters and percentiles of the frame loop; what the page's small figures and the vitals are made of."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from sono_models.messages import LatencyMs

RECENT = 900
RATE_OVER_S = 2.0


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile of sorted values; 0 of none."""
    if not values:
        return 0.0
    return values[min(len(values) - 1, int(share * len(values)))]


class Meter:
    """Counts frames; keeps the latencies (capture to decision) of the last RECENT scored frames."""

    def __init__(self) -> None:
        self.scored = 0
        self.reused = 0
        self.paused = 0
        self.alerts_raised = 0
        self._latencies_ms: deque[float] = deque(maxlen=RECENT)
        self._decided_s: deque[float] = deque()
        self._p50_ms = 0.0

    def scored_frame(self, latency_ms: float, decided_s: float) -> None:
        self.scored += 1
        self._latencies_ms.append(latency_ms)
        self._p50_ms += max(-0.5, min(0.5, 0.1 * (latency_ms - self._p50_ms))) if self._p50_ms else latency_ms
        self._decided_s.append(decided_s)
        while self._decided_s and decided_s - self._decided_s[0] > RATE_OVER_S:
            self._decided_s.popleft()

    def fps_scored(self, now_s: float) -> float:
        recent = [at for at in self._decided_s if now_s - at <= RATE_OVER_S]
        span = now_s - recent[0] if recent else 0.0
        return (len(recent) - 1) / span if len(recent) > 1 and span > 0 else 0.0

    def latency_p50(self) -> float:
        """A running estimate for the page (a step of a hundredth towards each new value's side)."""
        return self._p50_ms

    def latency(self) -> LatencyMs:
        ordered = sorted(self._latencies_ms)
        return LatencyMs(*(round(percentile(ordered, share), 2) for share in (0.5, 0.95, 0.99)))


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
