"""The card at the end of a scan. Pure: what was counted in, a Summary out.

Combined score of reader and system: their plain average, after Shen et al., Nature Communications 12:5645 (2021),
doi 10.1038/s41467-021-26023-2, who averaged the reader's score and the system's into a hybrid.

What number stands for a category is our own choice, not theirs: the middle of the range that the ACR BI-RADS Atlas
(5th edition, 2013) gives it. 1 and 2: essentially 0 %; 3: > 0 % to 2 %, so 0.01; 4: > 2 % to < 95 %, so 0.485; 5:
95 % or more, so 0.975. The ranges were checked against two open articles that reprint the Atlas's table (scirp.org
2060219, table 2; explorationpub.com 1002135, table 1), not against the Atlas itself, which is not open. The middle of
so wide a range as 4's (4A, 4B and 4C together) is coarse: the figure is for research only.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec
import numpy as np
from numpy.typing import NDArray

from sono_edge.alerts import ScoreInterval
from sono_edge.scan.records import CaptureRecord, Combined, ScanRecord, Score, Span, Summary
from sono_edge.scan.sight import Sight
from sono_edge.scene import State, plain
from sono_models.heads import SweepAttention, reading_figures

LONGEST_STEP_S = 0.5
"""A longer gap between two frames is no scanning time: no frames came."""
FIGURES_MOST = 512
"""Frames that a sweep's score looks at; a longer scan is thinned evenly."""
RESAMPLES = 200
BLOCK = 16
"""Frames that are resampled together: neighbours say the same."""
JUDGED = frozenset({State.SCANNING, State.CANDIDATE, State.ALERT, State.HELD, State.COOLDOWN})
READER = {1: 0.0, 2: 0.0, 3: 0.01, 4: 0.485, 5: 0.975}
"""The reader's probability for a category."""
MAPPING = "average of the system's score and the reader's: 1 and 2 as 0, 3 as 0.01, 4 as 0.485, 5 as 0.975; research"


@dataclass(slots=True)
class Tally:
    """What is counted while a scan runs: seconds by state and reason, and figures of the frames that were scored."""

    seconds: dict[tuple[State, str], float] = field(default_factory=dict)
    judged: int = 0
    greatest: float = 0.0
    """The greatest calibrated frame score."""
    scored: list[tuple[float, NDArray[np.float64]]] = field(default_factory=list)
    """(captured_s, figures)"""
    _last_s: float | None = None
    _stride: int = 1

    def add(self, sight: Sight) -> None:
        if self._last_s is not None:
            step_s = min(max(sight.captured_s - self._last_s, 0.0), LONGEST_STEP_S)
            key = (sight.state, sight.reason if sight.state is State.CANT_SAY else "")
            self.seconds[key] = self.seconds.get(key, 0.0) + step_s
        self._last_s = sight.captured_s
        if sight.reading is None or sight.state not in JUDGED | {State.CANT_SAY}:
            return
        if sight.state in JUDGED:
            self.greatest = max(self.greatest, sight.reading.malignant)
        if self.judged % self._stride == 0:
            self.scored.append((sight.captured_s, reading_figures(sight.reading, sight.quality)))
        self.judged += 1
        if len(self.scored) > FIGURES_MOST:
            self.scored, self._stride = self.scored[::2], 2 * self._stride


@dataclass(frozen=True, slots=True)
class System:
    """What the bundle brings to a summary."""

    bundle: str
    sweep: SweepAttention | None = None
    interval: ScoreInterval | None = None


def summarise(record: ScanRecord, tally: Tally, system: System, *, began_s: float, dropped: int) -> Summary:
    """`began_s`: the capture time at which the record's own times begin."""
    scanned = sum(tally.seconds.values())
    usable = sum(seconds for (state, _), seconds in tally.seconds.items() if state in JUDGED)
    paused = {state: seconds for (state, _), seconds in tally.seconds.items() if state not in JUDGED | {State.CANT_SAY}}
    unsure = {reason: seconds for (state, reason), seconds in tally.seconds.items() if state is State.CANT_SAY}
    score, ranked, ranked_by = _scored(record.captures, tally, system, began_s)
    seen = sum(alert.seen for alert in record.alerts)
    return Summary(
        scanned_s=round(scanned, 1),
        usable_s=round(usable, 1),
        usable_share=round(usable / scanned, 3) if scanned else 0.0,
        paused=_longest_first(Span(state.name, state.value, round(s, 1)) for state, s in paused.items()),
        cant_say=_longest_first(
            Span("CANT_SAY", plain(why) or State.CANT_SAY.value, round(s, 1)) for why, s in unsure.items()
        ),
        ranked=ranked,
        ranked_by=ranked_by,
        alerts_seen=seen,
        alerts_unseen=len(record.alerts) - seen,
        score=score,
        combined=None,
        frames_judged=tally.judged,
        frames_dropped=dropped,
        bundle=system.bundle,
    )


def with_impression(summary: Summary, impression: int) -> Summary:
    """The same card with the reader's category (1 to 5) and the combined score, where the system has one."""
    summary = msgspec.structs.replace(summary, impression=impression)
    if summary.score is None:
        return summary
    reader, value = READER[impression], summary.score.value
    both = Combined(impression, reader, value, round((reader + value) / 2, 4), MAPPING)
    return msgspec.structs.replace(summary, combined=both)


def recounted(record: ScanRecord) -> ScanRecord:
    """The same record, its card's alerts counted anew: some are acknowledged after the end."""
    if record.summary is None:
        return record
    seen = sum(alert.seen for alert in record.alerts)
    counted = msgspec.structs.replace(record.summary, alerts_seen=seen, alerts_unseen=len(record.alerts) - seen)
    return msgspec.structs.replace(record, summary=counted)


def _scored(
    captures: tuple[CaptureRecord, ...], tally: Tally, system: System, began_s: float
) -> tuple[Score | None, tuple[str, ...], str]:
    """The scan's score, the captures' ids with the best first, and what they were ranked by."""
    by_worth = tuple(one.id for one in sorted(captures, key=lambda one: -one.worth))
    plain = "score times quality"
    if not tally.scored:
        return None, by_worth, plain
    if system.sweep is None:
        value = tally.greatest
        low, high = system.interval(value) if system.interval else (None, None)
        words = "the greatest score of a frame; this bundle has no score for a whole sweep"
        return Score("greatest-frame", round(value, 4), _places(low), _places(high), words), by_worth, plain
    frames = np.stack([figures for _, figures in tally.scored])
    told = system.sweep.apply(frames)
    low, high = _resampled(system.sweep, frames)
    times = np.array([at - began_s for at, _ in tally.scored])
    weight = {one.id: float(told.weights[int(np.abs(times - one.captured_s).argmin())]) for one in captures}
    ranked = tuple(one.id for one in sorted(captures, key=lambda one: -weight[one.id]))
    words = "the sweep's score; interval over this scan's own frames (block bootstrap, 95 %)"
    score = Score("sweep", round(told.score, 4), _places(low), _places(high), words)
    return score, ranked, "attention of the sweep's score"


def _resampled(sweep: SweepAttention, frames: NDArray[np.float64]) -> tuple[float, float]:
    rng = np.random.default_rng(0)  # the same scan has the same interval
    count = -(-len(frames) // BLOCK)
    scores = []
    for _ in range(RESAMPLES):
        starts = rng.integers(0, max(1, len(frames) - BLOCK + 1), count)
        chosen = np.concatenate([np.arange(start, min(start + BLOCK, len(frames))) for start in starts])
        scores.append(sweep.apply(frames[chosen]).score)
    low, high = np.percentile(scores, [2.5, 97.5])
    return float(low), float(high)


def _places(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _longest_first(spans: Iterable[Span]) -> tuple[Span, ...]:
    return tuple(sorted(spans, key=lambda span: -span.seconds))
