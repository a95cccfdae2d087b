"""From a step of the alert law to the message that is recorded and sent. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from sono_edge.decide import Event
from sono_edge.frames import SourceKind
from sono_edge.gates import Quality
from sono_models.bundle import Bundle
from sono_models.inputs import Box
from sono_models.messages import Alert, ModelUsed, Support, Timings
from sono_models.runtime import Runtime

STRONG = 0.5
"""Calibrated score from which the band says `look-again`; below, `attention`."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """What every alert of one run says of where it came from. `run` keeps tracks of two runs apart."""

    run: str
    source: SourceKind
    model: ModelUsed
    profile: str = "bundle"


def model_used(bundle: Bundle, runtime: Runtime) -> ModelUsed:
    manifest = bundle.manifest
    return ModelUsed(
        manifest.name, manifest.version, bundle.sha256, manifest.precision, f"{runtime.name} {runtime.version}"
    )


def alert_name(run: str, track: int) -> str:
    return f"{run}-{track}"


def alert(event: Event, quality: Quality, told: Provenance, *, decision_ms: float | None = None) -> Alert:
    """`decision_ms`: capture to decision of the frame that made the event; None where there is no clock."""
    track = event.track
    return Alert(
        kind=event.kind,
        alert=alert_name(told.run, track.number),
        track=track.number,
        score=track.score,
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
        suppressed=event.folded,
        source=told.source,
    )


def _rounded(box: Box) -> Box:
    return Box(round(box.x0, 4), round(box.y0, 4), round(box.x1, 4), round(box.y1, 4))
