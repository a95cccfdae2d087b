"""What travels over MQTT: CloudEvents 1.0 in structured JSON, one type a topic. Contract: docs/asyncapi.json.

Topics are `sono/v1/{site}/{device}/{topic}`. No message carries pixels or anything that was burned into them.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, Generic, Literal, TypeVar

import msgspec

from sono_models.drift import DriftData
from sono_models.envelope import Sealed
from sono_models.errors import BadConfig
from sono_models.inputs import Box
from sono_models.updates import UpdateReport

IDENTIFIER = re.compile(r"[A-Za-z0-9_-]{1,64}")
Topic = Literal["alert", "ack", "state", "health", "desired", "update", "drift"]
InOrder = Literal["alert", "update"]
"""What waits in a device's outbox until it is committed; both kinds share one order."""
SeenReason = Literal["", "looked-again", "known-finding", "artefact", "other"]
"""Why an alert was acknowledged, where the sonographer said so: one of a short list, never free text."""


class Interval(msgspec.Struct, frozen=True):
    value: float
    lo: float
    hi: float


class ModelUsed(msgspec.Struct, frozen=True):
    name: str
    version: str
    sha256: str
    precision: str
    runtime: str


class Support(msgspec.Struct, frozen=True):
    """m of the last n quality-passing frames were above the threshold."""

    m: int
    n: int


class Timings(msgspec.Struct, frozen=True):
    """Capture time of the stream in seconds; the others in milliseconds."""

    captured_s: float
    first_seen_s: float
    capture_to_decision_ms: float | None = None
    """Absent on replay, which has no clock."""


class Alert(msgspec.Struct, frozen=True):
    """One step in the life of one alert. (device, epoch, sequence) is its identity."""

    kind: Literal["raised", "updated", "acknowledged", "cleared"]
    alert: str
    track: int
    score: Interval
    """The calibrated score: the median of the supporting frames. lo, hi: its 95 % interval, where the bundle knows
    it (its manifest's `uncertainty`); else the least and the greatest of those frames."""
    band: Literal["look-again", "attention"]
    box: Box
    frames: Support
    quality: float
    gates: tuple[str, ...]
    profile: str
    """The site profile in force, as `state` names it; `bundle`: none, the bundle's own threshold and limits."""
    model: ModelUsed
    timings: Timings
    acknowledgement: Literal["none", "seen"] = "none"
    reason: SeenReason = ""
    suppressed: int = 0
    """Candidates that the limit of alerts a minute folded into this one."""
    source: str = ""
    """The kind of the source: video, images, dicom, v4l2, stream, phantom or scan. Never its name."""
    research_use_only: bool = True


class AlertData(Alert, frozen=True):
    """An alert as it is sent: with its place in the device's own order."""

    device: str = ""
    epoch: int = 0
    sequence: int = 0


class UpdateData(UpdateReport, frozen=True):
    """A report of an update as it is sent: with its place in the device's own order."""

    device: str = ""
    epoch: int = 0
    sequence: int = 0


class Ack(msgspec.Struct, frozen=True):
    """Every alert and update report of this epoch up to `sequence` is committed on the fleet's side."""

    epoch: int
    sequence: int


class DeviceState(msgspec.Struct, frozen=True):
    """Retained; the will says online = false."""

    online: bool
    reason: str
    agent: str = ""
    bundle: str = ""
    bundle_sha256: str = ""
    profile: str = ""
    """NAME-VERSION@ and the head of its sha256, of the site profile in force; `bundle`: none is."""
    slot: str = ""
    boot_reason: str = ""


class LatencyMs(msgspec.Struct, frozen=True):
    p50: float
    p95: float
    p99: float


class Vitals(msgspec.Struct, frozen=True):
    """What the agent says of itself every few seconds; a part of `health`."""

    capture: str
    fps_in: float
    fps_scored: float
    frames_in: int
    frames_scored: int
    frames_reused: int
    frames_dropped: int
    latency_ms: LatencyMs
    alerts_raised: int
    memory_mb: float
    at: str
    """Wall clock, RFC 3339."""
    bundle: str = ""
    bundle_sha256: str = ""
    runtime: str = ""
    profile: str = ""
    alerts_suppressed: int = 0
    """Candidates that the alert law held back: the place rested, the minute was full, another alert stood."""


class Health(msgspec.Struct, frozen=True):
    """Every 30 s. None is what this board cannot tell."""

    outbox_depth: int
    vitals: Vitals | None
    cpu_share: float | None = None
    memory_mb: float | None = None
    temperature_c: float | None = None
    throttled: bool | None = None
    disk_free_mb: float | None = None
    clock_offset_s: float | None = None
    certificate_days: float | None = None


Data = TypeVar("Data")


class CloudEvent(msgspec.Struct, Generic[Data], frozen=True):
    """The envelope. https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md"""

    id: str
    source: str
    type: str
    time: str
    data: Data
    specversion: Literal["1.0"] = "1.0"
    datacontenttype: Literal["application/json"] = "application/json"


DATA_TYPES: dict[Topic, Any] = {
    "alert": AlertData,
    "ack": Ack,
    "state": DeviceState,
    "health": Health,
    "desired": Sealed,
    "update": UpdateData,
    "drift": DriftData,
}


def topic_of(site: str, device: str, topic: Topic) -> str:
    """Raises BadConfig for a site or device that a broker would not carry."""
    for name, value in (("site", site), ("device", device)):
        if not IDENTIFIER.fullmatch(value):
            raise BadConfig(f"{name} {value!r}", "not 1 to 64 of A-Z a-z 0-9 _ -", f"Choose another {name}")
    return f"sono/v1/{site}/{device}/{topic}"


def encode(topic: Topic, data: object, *, source: str, event_id: str, at: datetime) -> bytes:
    """A CloudEvent as JSON bytes. `source` is /sono/SITE/DEVICE."""
    event = CloudEvent(id=event_id, source=source, type=f"org.sonoedge.{topic}.v1", time=rfc3339(at), data=data)
    return msgspec.json.encode(event)


def decode(topic: Topic, body: bytes) -> CloudEvent[Any]:
    """Raises msgspec.DecodeError (ValidationError) when the body is not an event of this topic."""
    event: CloudEvent[Any] = _DECODERS[topic].decode(body)
    return event


def alert_id(device: str, epoch: int, sequence: int) -> str:
    return f"{device}/{epoch}/{sequence}"


def rfc3339(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def json_schemas() -> dict[Topic, Any]:
    """The published JSON Schema of every topic's event."""
    return {topic: msgspec.json.schema(_event_type(topic)) for topic in DATA_TYPES}


def _event_type(topic: Topic) -> Any:
    envelope: Any = CloudEvent
    return envelope[DATA_TYPES[topic]]


_DECODERS: dict[Topic, Any] = {topic: msgspec.json.Decoder(_event_type(topic)) for topic in DATA_TYPES}
"""Made once, while there is one thread: two that let msgspec 0.22 learn the same type at once have crashed it."""
