"""Evidence over time: the last N quality-passing frames. Pure values; time is capture time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from sono_models.inputs import Box
from sono_models.law import AlertLaw
from sono_models.messages import Interval


@dataclass(frozen=True, slots=True)
class Evidence:
    """One scored, quality-passing frame."""

    captured_s: float
    score: float
    box: Box
    thin: str = ""
    """Why nothing can be said of it; such a frame supports no alert."""


Window = tuple[Evidence, ...]
"""Oldest first."""


def push(window: Window, seen: Evidence, law: AlertLaw) -> Window:
    """The window with this frame, no longer than N frames and `window_s` seconds."""
    kept = [old for old in window if 0.0 <= seen.captured_s - old.captured_s <= law.window_s]
    return (*kept[-(law.n - 1) :], seen) if law.n > 1 else (seen,)


def supporting(window: Window, law: AlertLaw) -> Window:
    """The frames above `t_hi` whose evidence is not thin."""
    return tuple(seen for seen in window if seen.score >= law.t_hi and not seen.thin)


def doubtful(window: Window) -> Window:
    """The frames whose evidence is thin."""
    return tuple(seen for seen in window if seen.thin)


def attention(window: Window) -> float:
    """What the bar shows: the median score of the window, 0 to 1."""
    return median(seen.score for seen in window) if window else 0.0


def interval(window: Sequence[Evidence]) -> Interval:
    """The median score of these frames, with their least and greatest. Raises on none."""
    scores = [seen.score for seen in window]
    return Interval(round(median(scores), 6), round(min(scores), 6), round(max(scores), 6))


def blend(box: Box, newer: Box, share: float = 0.3) -> Box:
    """A box that follows the newer one calmly, so that the ticks do not jitter."""

    def mix(a: float, b: float) -> float:
        return a + share * (b - a)

    return Box(mix(box.x0, newer.x0), mix(box.y0, newer.y0), mix(box.x1, newer.x1), mix(box.y1, newer.y1))
