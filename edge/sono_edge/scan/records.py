"""What a scan's folder says of it: `scan.json`, and what the page is told. Plain values, JSON by msgspec."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from sono_models.inputs import Box
from sono_models.messages import Alert, SeenReason

TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}")
CaptureKind = Literal["automatic", "manual", "alert"]
SCHEMA = "sonoedge.scan/1"


class CaptureRecord(msgspec.Struct, frozen=True):
    """One kept picture. Its files are ID.png, ID-saliency.png (where it was scored) and, with `clip`, ID.mp4."""

    id: str
    kind: CaptureKind
    captured_s: float
    """Since the scan began."""
    state: str
    attention: float
    quality: float
    worth: float
    """What it is ranked by: malignant score times quality, 0 to 1, where the bundle has no sweep head."""
    box: Box | None = None
    alert: str = ""
    saliency: bool = False
    clip: bool = False
    clip_from_s: float | None = None
    """When the clip's first picture was captured, since the scan began; None: not known."""


class AlertRecord(msgspec.Struct, frozen=True):
    alert: str
    raised_s: float
    """Since the scan began."""
    score: float
    seen: bool = False
    reason: SeenReason = ""
    raised: Alert | None = None
    """The message as it was raised, so that the alert can be acknowledged in a later run; None in older records."""


class Span(msgspec.Struct, frozen=True):
    """So many seconds for one cause; `words` as the page says it."""

    cause: str
    words: str
    seconds: float


class Score(msgspec.Struct, frozen=True):
    """A figure for the whole scan. `kind` says which: the bundle's sweep head, or the greatest frame score."""

    kind: Literal["sweep", "greatest-frame"]
    value: float
    lo: float | None
    hi: float | None
    words: str


class Combined(msgspec.Struct, frozen=True):
    """Reader and system together, for research only."""

    impression: int
    reader: float
    system: float
    value: float
    words: str


class Summary(msgspec.Struct, frozen=True):
    """The card at the end of a scan."""

    scanned_s: float
    usable_s: float
    usable_share: float
    paused: tuple[Span, ...]
    cant_say: tuple[Span, ...]
    ranked: tuple[str, ...]
    """Captures' ids, what to look at first first."""
    ranked_by: str
    alerts_seen: int
    alerts_unseen: int
    score: Score | None
    combined: Combined | None
    frames_judged: int
    frames_dropped: int
    bundle: str
    card: str = "model card"
    research: str = "Research prototype, not a medical device."
    impression: int | None = None
    """The category that the reader entered, also where there is no score to combine it with."""


class ScanRecord(msgspec.Struct, frozen=True):
    """`scan.json`. `ended_at` is empty while it runs, and for good where the power went."""

    id: str
    started_at: str
    token: str = ""
    ended_at: str = ""
    captures: tuple[CaptureRecord, ...] = ()
    alerts: tuple[AlertRecord, ...] = ()
    summary: Summary | None = None
    schema: str = SCHEMA

    @property
    def acknowledged(self) -> bool:
        """Nothing in it waits to be looked at."""
        return all(alert.seen for alert in self.alerts)
