"""What the frame loop leaves for the thread beside it: its beat, whether somebody scans, latencies, one newest frame.

The loop writes, the thread reads; each value is replaced whole, so neither waits for the other.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from statistics import median

from sono_edge.gates import Gate
from sono_edge.pipeline import Judged
from sono_edge.slots.law import STEADY_FRAMES
from sono_models.inputs import Grey

AWAY = frozenset({Gate.NO_SIGNAL, Gate.NO_CONTACT})
FROZEN_SCAN_S = 600.0
"""A picture that has stood still for so long is not being measured or talked about any more."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A frame that the running model scored freshly, and its calibrated malignant score."""

    picture: Grey
    score: float
    over: bool
    """At or above its own threshold."""
    pooled: float = 0.0
    """The score before any calibration."""


class Watch:
    """`quiet_s`: without contact for so long, nobody scans."""

    def __init__(self, quiet_s: float, now: float) -> None:
        self.wants = False
        """Whether samples are asked for: none is held otherwise."""
        self.scored = 0
        """Frames that the running engine scored."""
        self.missed_most = 0
        self._quiet_s = quiet_s
        self._beat_s: float | None = None
        self._contact_s = now
        self._moving_s = now
        self._sample: Sample | None = None
        self._latencies_ms: deque[float] = deque(maxlen=STEADY_FRAMES)
        self._index = -1
        self._swapped = False

    def beat(self, now: float) -> None:
        self._beat_s = now

    def saw(self, judged: Judged, threshold: float, latency_ms: float, now: float) -> None:
        if self._swapped:
            self._swapped = False
            self.missed_most = max(self.missed_most, judged.frame.index - self._index - 1)
        self._index = judged.frame.index
        self._follow(judged, now)
        if judged.reading is None or judged.reused:
            return
        self.scored += 1
        self._latencies_ms.append(latency_ms)
        if self.wants:
            score = judged.reading.malignant
            self._sample = Sample(judged.frame.picture, score, score >= threshold, judged.reading.pooled)

    def swapped(self) -> None:
        """The next frame is another engine's: its counts begin."""
        self._swapped = self._index >= 0
        self.scored = 0
        self._latencies_ms = deque(maxlen=STEADY_FRAMES)
        self._sample = None

    def beat_age_s(self, now: float) -> float:
        """0 before the loop began."""
        return 0.0 if self._beat_s is None else max(0.0, now - self._beat_s)

    def scanning(self, now: float) -> bool:
        return now - self._contact_s < self._quiet_s

    def sample(self) -> Sample | None:
        """The newest frame that was not taken yet."""
        sample, self._sample = self._sample, None
        return sample

    def latency_ms(self) -> float:
        """The median of this engine's newest; 0 while there are too few."""
        known = list(self._latencies_ms)
        return float(median(known)) if len(known) >= STEADY_FRAMES else 0.0

    def _follow(self, judged: Judged, now: float) -> None:
        if judged.quality.gate in AWAY:
            return
        if not judged.seen.frozen:
            self._moving_s = self._contact_s = now
        elif now - self._moving_s < FROZEN_SCAN_S:
            self._contact_s = now
