"""Alerts and vitals to send."""

from __future__ import annotations

from datetime import UTC, datetime

from sono_models.inputs import Box
from sono_models.messages import Alert, Interval, LatencyMs, ModelUsed, Support, Timings, Vitals

AT = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)


def an_alert(track: int = 1, score: float = 0.8) -> Alert:
    return Alert(
        kind="raised",
        alert=f"a{track}",
        track=track,
        score=Interval(score, score - 0.1, score + 0.1),
        band="look-again",
        box=Box(0.2, 0.3, 0.5, 0.6),
        frames=Support(6, 9),
        quality=0.9,
        gates=(),
        profile="default",
        model=ModelUsed("breast", "0.1.0", "0" * 64, "int8", "onnx"),
        timings=Timings(captured_s=1.5, first_seen_s=1.2, capture_to_decision_ms=40.0),
        source="phantom",
    )


def some_vitals(raised: int = 3) -> Vitals:
    return Vitals(
        capture="ok",
        fps_in=30.0,
        fps_scored=29.5,
        frames_in=300,
        frames_scored=295,
        frames_reused=0,
        frames_dropped=5,
        latency_ms=LatencyMs(20.0, 30.0, 40.0),
        alerts_raised=raised,
        memory_mb=180.0,
        at="2026-03-01T09:30:00.000Z",
        bundle="breast-0.1.0",
        bundle_sha256="1" * 64,
        runtime="onnx",
    )
