"""From a step of the alert law to the message that is recorded and sent. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from sono_edge.decide import Event
from sono_edge.frames import SourceKind
from sono_edge.gates import Quality
from sono_models.bundle import Bundle
from sono_models.inputs import Box
from sono_models.messages import Alert, Interval, ModelUsed, SeenReason, Support, Timings
from sono_models.runtime import Runtime
from sono_models.saliency import Calibration
from sono_models.uncertainty import Uncertainty

STRONG = 0.5
"""Calibrated score from which the band says `look-again`; below, `attention`."""

KNOWN_MOST = 512
"""Alerts of one run that can be acknowledged late: two hours at the law's most a minute."""
BUNDLES_OWN = "bundle"
"""What an alert names where no site profile is in force."""
ScoreInterval = Callable[[float], tuple[float, float]]
"""From a calibrated malignant score to its 95 % interval (lo, hi)."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """What every alert of one run says of where it came from. `run` keeps tracks of two runs apart."""

    run: str
    source: SourceKind
    model: ModelUsed
    profile: str = BUNDLES_OWN
    interval: ScoreInterval | None = None
    """None for a bundle that does not know how sure its scores are."""

    @property
    def shown(self) -> str:
        """What the page says was judging: the bundle, and the site profile where there is one."""
        bundle = f"{self.model.name} {self.model.version}"
        return bundle if self.profile == BUNDLES_OWN else f"{bundle}, site profile {self.profile.partition('@')[0]}"


def model_used(bundle: Bundle, runtime: Runtime) -> ModelUsed:
    manifest = bundle.manifest
    return ModelUsed(
        manifest.name, manifest.version, bundle.sha256, manifest.precision, f"{runtime.name} {runtime.version}"
    )


def score_interval(known: Uncertainty | None, calibration: Calibration) -> ScoreInterval | None:
    """`calibration` is the malignant score's, as the readings are made with it."""
    return None if known is None else partial(known.around, calibration=calibration)


class Book:
    """The alerts of this run, so that one that is gone from the picture can still be acknowledged."""

    def __init__(self, most: int = KNOWN_MOST) -> None:
        self._most = most
        self._known: dict[str, tuple[Event, Quality]] = {}

    def note(self, name: str, event: Event, quality: Quality) -> None:
        self._known.pop(name, None)
        self._known[name] = (event, quality)
        while len(self._known) > self._most:
            del self._known[next(iter(self._known))]

    def __contains__(self, name: str) -> bool:
        return name in self._known

    def late(self, name: str, captured_s: float, *, again: bool = False) -> tuple[Event, Quality] | None:
        """Its acknowledgement, with what was known of it; None for an alert that is not known, or that was seen.

        `again`: also for one that was seen, to add a reason.
        """
        if name not in self._known:
            return None
        last, quality = self._known[name]
        if last.track.seen and not again:
            return None
        return Event("acknowledged", replace(last.track, seen=True), captured_s, last.n), quality


def alert_name(run: str, track: int) -> str:
    return f"{run}-{track}"


def alert(
    event: Event,
    quality: Quality,
    told: Provenance,
    *,
    decision_ms: float | None = None,
    reason: SeenReason = "",
) -> Alert:
    """`decision_ms`: capture to decision of the frame that made the event; None where there is no clock.

    `reason`: why it was acknowledged, where that was said.
    """
    track = event.track
    return Alert(
        kind=event.kind,
        alert=alert_name(told.run, track.number),
        track=track.number,
        score=_with_interval(track.score, told.interval),
        band="look-again" if track.score.value >= STRONG else "attention",
        box=_rounded(track.box),
        frames=Support(track.m, event.n),
        quality=round(quality.value, 3),
        gates=() if quality.gate.value == "pass" else (quality.gate.value,),
        profile=told.profile,
        model=told.model,
        timings=Timings(
            round(event.captured_s, 6),
            round(track.first_seen_s, 6),
            None if decision_ms is None else round(decision_ms, 2),
        ),
        acknowledgement="seen" if track.seen else "none",
        reason=reason,
        suppressed=event.folded,
        source=told.source,
    )


def _with_interval(score: Interval, interval: ScoreInterval | None) -> Interval:
    if interval is None:
        return score
    low, high = interval(score.value)
    return Interval(score.value, round(low, 6), round(high, 6))


def _rounded(box: Box) -> Box:
    return Box(round(box.x0, 4), round(box.y0, 4), round(box.x1, 4), round(box.y1, 4))
