"""What a device tells of an update: one report a phase, at least once."""

from __future__ import annotations

from typing import Literal

import msgspec

Phase = Literal["offered", "downloading", "verified", "self-test", "shadow", "active", "good", "rolled-back", "refused"]


class UpdateReport(msgspec.Struct, frozen=True):
    """`code` is a short machine word, empty when all is well; `reason` says the same to a person."""

    rollout: str
    serial: int
    name: str
    version: str
    sha256: str
    phase: Phase
    at: str
    """Wall clock, RFC 3339."""
    code: str = ""
    reason: str = ""
    evidence: dict[str, float | int | str] = {}
    """What was found, by names that both sides know. Of the candidate against the bundle before it: `golden_difference`
    (largest, of a frame score), `latency_ratio`, `memory_ratio`, `alert_ratio`, and on the same live frames
    `agreement` (share of equal decisions), `shift` (of the mean score), `shadow_frames`. Others are for people.
    """
