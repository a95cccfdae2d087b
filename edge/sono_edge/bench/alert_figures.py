"""The figures of the alert benchmark, from what the law put on the screen and the truth. Pure.

Visible: the lesion is in view and nothing stands in the way (no lift-off, freeze, colour box or measurement).
Found: while it is visible, an alert's box overlaps it. False: a track that never overlaps a visible lesion.
Flicker counts the overlay's going off and on between visible frames that follow each other, beyond its first coming
on, a visible second. Intervals are 95 %, of the group bootstrap: a patient's sweeps stand or fall together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sono_edge.bench.scenarios import FPS
from sono_edge.bench.timelines import GATES, Flags, Shown, Timeline, overlap
from sono_models.atomic import writing
from sono_models.resampling import Index, interval


@dataclass(frozen=True, slots=True)
class Outcome:
    """One sweep or scan under one law. Times in seconds."""

    lesion: bool
    group: str
    seconds: float
    visible_s: float
    found: bool
    alert_s: float
    """From the first frame that shows the lesion to the first alert that overlaps it; NaN where it was not found."""
    toggles: int
    tracks_on_lesion: int
    false_tracks: int
    overlay_s: float
    """How long an overlay of a false track stood."""
    gated_alerts: int
    """Raised by a frame that a gate held."""
    missed_alerts: int
    """Raised by a frame that should have been held and was not."""


def outcome(timeline: Timeline, shown: Shown, *, fps: float = FPS) -> Outcome:
    visible, on = timeline.visible, shown.track > 0
    hits = visible & overlap(shown.box, timeline.truth)
    hitting = set(shown.track[hits].tolist())
    tracks = set(shown.track[on].tolist())
    false = [track for track in tracks if track not in hitting]
    raised = np.asarray(shown.raised, np.int64)
    found = bool(hits.any())
    wait = timeline.captured_s[hits][0] - timeline.captured_s[visible][0] if found else np.nan
    held = ~timeline.passing[raised]
    return Outcome(
        lesion=timeline.kind == "lesion",
        group=timeline.group,
        seconds=len(timeline) / fps,
        visible_s=float(visible.sum()) / fps,
        found=found,
        alert_s=float(wait),
        toggles=_toggles(on, visible),
        tracks_on_lesion=len(hitting),
        false_tracks=len(false),
        overlay_s=float(np.isin(shown.track, false).sum()) / fps,
        gated_alerts=int(held.sum()),
        missed_alerts=int((~held & ~timeline.plain[raised]).sum()),
    )


def _toggles(on: Flags, visible: Flags) -> int:
    """Changes between visible neighbours; the first coming on is none."""
    before, after = on[:-1], on[1:]
    changed = (before != after) & visible[:-1] & visible[1:]
    first_on = int(np.argmax(on & visible)) if (on & visible).any() else 0
    came = first_on > 0 and bool(changed[first_on - 1])
    return int(changed.sum()) - int(came)


class Outcomes:
    """Many outcomes as columns, and the figures of any of their rows."""

    def __init__(self, outcomes: Sequence[Outcome]) -> None:
        self.groups = [one.group for one in outcomes]
        self.is_lesion = np.array([one.lesion for one in outcomes], np.bool_)
        self._seen = self.is_lesion & np.array([one.visible_s > 0 for one in outcomes], np.bool_)
        self._of = {
            name: np.array([getattr(one, name) for one in outcomes], np.float64)
            for name in Outcome.__slots__
            if name not in {"group", "lesion"}
        }

    def _lesions(self, name: str, rows: Index) -> NDArray[np.float64]:
        return self._of[name][rows[self._seen[rows]]]

    def _free(self, name: str, rows: Index) -> NDArray[np.float64]:
        return self._of[name][rows[~self.is_lesion[rows]]]

    def sensitivity(self, rows: Index) -> float:
        return _mean(self._lesions("found", rows))

    def false_per_min(self, rows: Index) -> float:
        return 60 * _ratio(self._free("false_tracks", rows), self._free("seconds", rows))

    def false_per_scan(self, rows: Index) -> float:
        return _mean(self._free("false_tracks", rows))

    def false_overlay_s_per_min(self, rows: Index) -> float:
        return 60 * _ratio(self._free("overlay_s", rows), self._free("seconds", rows))

    def flicker(self, rows: Index) -> float:
        return _ratio(self._lesions("toggles", rows), self._lesions("visible_s", rows))

    def fragmentation(self, rows: Index) -> float:
        """Tracks of a lesion that was found."""
        return _ratio(self._lesions("tracks_on_lesion", rows), self._lesions("found", rows))

    def alert_ms(self, rows: Index, percentile: float) -> float:
        """NaN where nothing was found."""
        waits = self._lesions("alert_s", rows)
        waits = waits[~np.isnan(waits)]
        return 1000 * float(np.percentile(waits, percentile)) if waits.size else np.nan

    def everyone(self) -> Index:
        return np.arange(len(self.groups))

    def total(self, name: str) -> float:
        return float(self._of[name].sum())

    def lesions(self) -> int:
        return int(self._seen.sum())

    def minutes(self) -> float:
        return float(self._free("seconds", self.everyone()).sum()) / 60

    def false_alerts(self) -> int:
        """In lesion-free scans."""
        return int(self._free("false_tracks", self.everyone()).sum())

    def false_tracks_beside_lesions(self) -> int:
        return int(self._lesions("false_tracks", self.everyone()).sum())


def write_outcomes(path: Path, outcomes: Sequence[Outcome]) -> None:
    """What came of each sweep and scan as CSV, a line each: the figures and their intervals follow from it alone."""
    names = [field.name for field in fields(Outcome)]
    with writing(path) as file:
        file.write(",".join(names) + "\n")
        for one in outcomes:
            file.write(",".join(_cell(getattr(one, name)) for name in names) + "\n")


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "" if np.isnan(value) else f"{value:.9f}".rstrip("0").rstrip(".")
    return str(int(value)) if isinstance(value, bool | int) else str(value)


def figures(outcomes: Outcomes) -> dict[str, Any]:
    """The figures by the names that the acceptance checks read, and their intervals beside them."""
    found: dict[str, Callable[[Index], float]] = {
        "lesion_sensitivity": outcomes.sensitivity,
        "false_per_min": outcomes.false_per_min,
        "false_per_scan": outcomes.false_per_scan,
        "false_overlay_s_per_min": outcomes.false_overlay_s_per_min,
        "toggles_per_lesion_s": outcomes.flicker,
        "fragmentation": outcomes.fragmentation,
        "median_ms": lambda rows: outcomes.alert_ms(rows, 50),
        "p95_ms": lambda rows: outcomes.alert_ms(rows, 95),
    }
    within = {name: _interval(figure, outcomes) for name, figure in found.items()}
    values = {name: one["value"] for name, one in within.items()}
    waits = {"median": values.pop("median_ms"), "p95": values.pop("p95_ms")}
    return {
        **values,
        "time_to_alert_ms": waits,
        "gated_alerts": int(outcomes.total("gated_alerts")),
        "missed_alerts": int(outcomes.total("missed_alerts")),
        "false_tracks_beside_lesions": outcomes.false_tracks_beside_lesions(),
        "lesions": outcomes.lesions(),
        "groups": len(set(outcomes.groups)),
        "minutes": round(outcomes.minutes(), 3),
        "intervals": within,
    }


def _interval(figure: Callable[[Index], float], outcomes: Outcomes) -> dict[str, float | None]:
    """{value, lo, hi}; a draw that has no figure takes all rows' (no lesion found has no time)."""
    whole = figure(outcomes.everyone())
    if np.isnan(whole):
        return {"value": None, "lo": None, "hi": None}

    def known(rows: Index) -> float:
        value = figure(rows)
        return whole if np.isnan(value) else value

    found = interval(known, outcomes.is_lesion, outcomes.groups)
    return {name: round(value, 4) for name, value in found.items()}


def gated_time(timelines: Sequence[Timeline]) -> dict[str, Any]:
    """The share of all frames that were held, by what held them, and of plain frames that were held all the same."""
    frames = sum(len(one) for one in timelines)
    causes: Counter[str] = Counter()
    plain = held = 0
    for one in timelines:
        frozen = one.frozen & (one.gate == 0)
        causes["frozen"] += int(frozen.sum())
        for index, gate in enumerate(GATES[1:], start=1):
            causes[gate.value] += int((one.gate == index).sum())
        plain += int(one.plain.sum())
        held += int((one.plain & ~one.passing).sum())
    by_cause = {name: round(number / max(1, frames), 4) for name, number in causes.most_common() if number}
    return {
        "gated_share": round(sum(causes.values()) / max(1, frames), 4),
        "gated_by": by_cause,
        "plain_but_gated_share": round(held / max(1, plain), 4),
    }


def per_frame(timelines: Sequence[Timeline], sensitivity: float) -> tuple[float, int] | None:
    """A threshold on single frames that finds as many lesions, and its false activations; None for no such one.

    The gates and "can't say" stay; what goes is the evidence over time. An activation is a run of frames at or above
    the threshold.
    """
    best = [
        np.max(one.score[one.visible & one.telling & overlap(one.box, one.truth)], initial=-1.0)
        for one in timelines
        if one.kind == "lesion" and one.visible.any()
    ]
    needed = int(np.ceil(sensitivity * len(best) - 1e-9))
    if not needed or sorted(best, reverse=True)[needed - 1] < 0:
        return None
    threshold = float(sorted(best, reverse=True)[needed - 1])
    return threshold, sum(_activations(one, threshold) for one in timelines if one.kind == "free")


def _activations(timeline: Timeline, threshold: float) -> int:
    on = timeline.telling & (timeline.score >= threshold)
    return int(on[:1].sum()) + int((on[1:] & ~on[:-1]).sum())


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if values.size else np.nan


def _ratio(above: NDArray[np.float64], below: NDArray[np.float64]) -> float:
    whole = float(below.sum())
    return float(above.sum()) / whole if whole else np.nan
