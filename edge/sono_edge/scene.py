"""What the page shows at one moment: complete, immutable, swapped whole."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sono_models.inputs import Box, Grey, Placement

_PLAINER = {"benign and malignant signs both stand out": "signs of two kinds stand out at once"}


class State(Enum):
    """The alert law's states; the words are what the page says.

    NO_SIGNAL → NO_CONTACT → LOW_QUALITY → SCANNING → CANT_SAY → CANDIDATE → ALERT → HELD → COOLDOWN, any of them from
    any; FROZEN, GATED_*, AI_OFF and DEGRADED stand beside: while one holds nothing is raised.
    """

    NO_SIGNAL = "No picture, AI waiting"
    NO_CONTACT = "No contact"
    LOW_QUALITY = "Picture too poor for AI"
    SCANNING = "Scanning"
    CANDIDATE = "Looking closer"
    CANT_SAY = "Can't say"
    ALERT = "Look again here"
    HELD = "Look again here (held)"
    COOLDOWN = "Scanning, seen before"
    FROZEN = "Frozen, AI paused"
    GATED_DOPPLER = "Doppler, AI paused"
    GATED_DUAL = "Two pictures, AI paused"
    GATED_CALIPERS = "Calipers or text, AI paused"
    GATED_NOT_BREAST = "Not breast, AI paused"
    AI_OFF = "AI is off"
    DEGRADED = "AI not running"


def plain(reason: str) -> str:
    """A reason in words that may stand on the page: it names no finding."""
    return _PLAINER.get(reason, reason)


@dataclass(frozen=True, slots=True)
class Saliency:
    """Where the model looked in the scene's own picture, for one who holds it."""

    map: NDArray[np.float32]
    """(rows, columns), probabilities, in the model's input."""
    placement: Placement


@dataclass(frozen=True, slots=True)
class AlertLine:
    """One line of the rail's list of alerts."""

    alert: str
    captured_s: float
    score: float
    seen: bool
    active: bool


@dataclass(frozen=True, slots=True)
class Scene:
    """The newest frame with what the judgement made of it."""

    frame_index: int
    captured_s: float
    arrived_s: float
    picture: Grey | None
    state: State
    reason: str
    """One line of why or what to do ("no contact: left third"); empty where the state says it all."""
    attention: float
    """The calibrated score shown, 0 to 1; 0 while paused."""
    box: Box | None
    """Where the model points, only while it should be looked at."""
    alerts: tuple[AlertLine, ...] = ()
    fps_in: float = 0.0
    fps_scored: float = 0.0
    latency_ms_p50: float = 0.0
    frames_dropped: int = 0
    outbox_depth: int = 0
    uplink: str = ""
    """What stands in the way of alerts, in words; empty when nothing does."""
    recording: str = ""
    """What keeps captures off the disk, in words; empty when nothing does."""
    bundle: str = ""
    runtime: str = ""
    source: str = ""
    simulated: bool = False
    strip: tuple[float, ...] = field(default=())
    """The attention of the last 10 s, oldest first, 10 values a second; NaN while paused."""
    threshold: float | None = None
    """Where on the attention's scale the law begins to look closer (t_hi); None marks nothing."""
    attention_lo: float | None = None
    attention_hi: float | None = None
    """The 95 % interval of `attention`; None while paused, or from a bundle that does not know it."""
    quality: float | None = None
    """Of the picture, 0 to 1; None without one."""
    saliency: Saliency | None = None
    """None where this picture was not scored."""


class Viewer(Protocol):
    """Where scenes go. `show` returns at once, whatever the viewers do."""

    def show(self, scene: Scene) -> None: ...
