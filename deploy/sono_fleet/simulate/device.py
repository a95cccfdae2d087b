"""A simulated device: the protocol's model of one. Its reports go at least once, as those of a real outbox do."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Literal

import msgspec

from sono_fleet.simulate import packets
from sono_fleet.simulate.client import Client
from sono_models import messages
from sono_models.desired import Desired, opened
from sono_models.envelope import text_of
from sono_models.errors import BadOrder
from sono_models.inputs import Box
from sono_models.updates import Phase

Fault = Literal["none", "shift", "crash", "silent", "slow"]
"""How a bad model shows itself: in its figures alone, by crashing, by taking the board with it, by its latency."""
FAULTS: tuple[Fault, ...] = ("shift", "crash", "silent", "slow")
PHASES: tuple[Phase, ...] = ("offered", "downloading", "verified", "self-test", "shadow", "active", "good")
PACE_S = (0.02, 0.2)
RESEND_S = 10.0
MEDIAN = {"golden_difference": 0.0, "agreement": 0.97, "shift": 0.005, "latency_ratio": 1.02, "memory_ratio": 1.01}


@dataclass(slots=True)
class Log:
    """What all devices together did; the simulation is judged by it."""

    sent: int = 0
    acked: int = 0
    latencies_s: list[float] = field(default_factory=list)
    refused: int = 0
    ran: dict[str, set[str]] = field(default_factory=dict)
    """sha256 → devices that at some time ran it."""
    back: dict[str, float] = field(default_factory=dict)
    """Device → wall clock when it ran the older version again."""


@dataclass(frozen=True, slots=True)
class World:
    """What every device knows."""

    site: str
    key: Path
    first: tuple[str, str]
    """NAME-VERSION and sha256 that every device comes with."""
    faults: dict[str, Fault]
    """sha256 → how that version is bad."""
    log: Log


@dataclass(slots=True)
class Waiting:
    sequence: int
    body: bytes
    topic: messages.InOrder
    sent_at: float
    first_at: float


class SimulatedDevice:
    """Follows the newest order that is signed for it; reports every phase; keeps what is not acknowledged."""

    __slots__ = ("_chance", "_client", "_order", "_runs", "_sequence", "_serial", "_waiting", "_world", "epoch", "name")

    def __init__(self, name: str, world: World) -> None:
        self.name, self._world = name, world
        self._chance = Random(name)  # noqa: S311  (the same fleet each time)
        self.epoch = self._chance.randrange(1, 2**53)
        self._sequence = self._serial = 0
        self._runs = world.first
        self._order: Desired | None = None
        self._waiting: deque[Waiting] = deque()
        self._client: Client | None = None

    async def connect(self, host: str, port: int) -> None:
        """Raises OSError."""
        will = self._event("state", messages.DeviceState(online=False, reason="lost"))
        greeting = packets.connect(f"{self._world.site}-{self.name}-sim", 60, (self._topic("state"), will))
        topics = [self._topic("ack"), self._topic("desired")]
        _, client = await asyncio.get_running_loop().create_connection(
            lambda: Client(greeting, topics, self._heard), host, port
        )
        await client.ready
        self._client = client
        self._say_state("connected")

    @property
    def is_up(self) -> bool:
        return self._client is not None and not self._client.is_closed

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def ping(self) -> None:
        if self._client is not None:
            self._client.ping()

    def leave(self) -> None:
        """Gone for good: nothing of it stays at the broker."""
        if self._client is not None:
            for topic in ("state", "desired"):
                self._client.publish(self._topic(topic), b"", retain=True)
            self._client.leave()

    def say_health(self) -> None:
        name, sha256 = self._runs
        ms = messages.LatencyMs(12.0, 20.0, 25.0)
        at = messages.rfc3339(datetime.now(UTC))
        vitals = messages.Vitals("ok", 30.0, 30.0, 1, 1, 0, 0, ms, 0, 150.0, at, name, sha256)
        self._publish("health", self._event("health", messages.Health(len(self._waiting), vitals)))

    def alert(self) -> None:
        """One alert into the outbox: the load of a working fleet."""
        score = messages.Interval(0.8, 0.7, 0.9)
        model = messages.ModelUsed("breast", "0", self._runs[1], "int8", "onnx")
        times = messages.Timings(1.0, 0.8, 30.0)
        box, frames = Box(0.1, 0.1, 0.2, 0.2), messages.Support(6, 9)
        sequence = self._sequence + 1
        self._add(
            "alert",
            messages.AlertData(
                "raised", f"a{sequence}", sequence, score, "look-again", box, frames, 1.0, (), "", model, times,
                device=self.name, epoch=self.epoch, sequence=sequence,
            ),
        )  # fmt: skip

    def send_again(self, now: float) -> None:
        """What was not acknowledged for long."""
        for row in self._waiting:
            if now - row.sent_at < RESEND_S:
                return
            row.sent_at = now
            self._publish(row.topic, row.body)

    def _heard(self, message: packets.Publish) -> None:
        if message.topic == self._topic("ack"):
            ack: messages.Ack = messages.decode("ack", message.body).data
            now = time.monotonic()
            while ack.epoch == self.epoch and self._waiting and self._waiting[0].sequence <= ack.sequence:
                row = self._waiting.popleft()
                self._world.log.acked += 1
                self._world.log.latencies_s.append(now - row.first_at)
        elif message.body:
            self._wanted(message.body)

    def _wanted(self, body: bytes) -> None:
        try:
            raw = text_of(messages.decode("desired", body).data)
            order = opened(raw, self._world.key, site=self._world.site, device=self.name)
        except (BadOrder, msgspec.DecodeError):
            self._world.log.refused += 1
            return
        if order.serial <= self._serial:
            return
        self._serial, self._order = order.serial, order
        if not order.cancelled:
            self._go(order, 0)

    def _go(self, order: Desired, step: int) -> None:
        """The next phase of an order, unless a newer one came."""
        if self._order is not order or not self.is_up:
            return
        phase = PHASES[step]
        wait_s = max(0.0, (order.not_before - datetime.now(UTC)).total_seconds()) if step == 0 else 0.0
        if wait_s:
            asyncio.get_running_loop().call_later(wait_s, self._go, order, 0)
            return
        fault = self._world.faults.get(order.sha256, "none")
        if phase == "active":
            before = self._runs
            self._run(order)
            if fault in {"crash", "silent"}:
                self._fall(order, fault, before)
                return
        figures = self._figures(fault) if phase == "good" else {}
        self._report(order, phase, figures)
        if step + 1 < len(PHASES):
            asyncio.get_running_loop().call_later(self._chance.uniform(*PACE_S), self._go, order, step + 1)

    def _fall(self, order: Desired, fault: Fault, before: tuple[str, str]) -> None:
        if fault == "silent" and self._client is not None:
            self._client.drop()
            return
        self._runs = before
        self._world.log.back[self.name] = time.time()
        self._report(order, "rolled-back", {}, "crash")
        self._say_state("bundle changed")

    def _run(self, order: Desired) -> None:
        log = self._world.log
        log.ran.setdefault(order.sha256, set()).add(self.name)
        if self._runs[1] in self._world.faults and order.sha256 not in self._world.faults:
            log.back[self.name] = time.time()
        self._runs = (f"{order.bundle}-{order.version}", order.sha256)
        self._say_state("bundle changed")

    def _figures(self, fault: Fault) -> dict[str, float]:
        figures = {key: value + self._chance.gauss(0, 0.002) for key, value in MEDIAN.items()}
        if fault == "shift":
            figures["shift"] = 0.3
        if fault == "slow":
            figures["latency_ratio"] = 2.5
        return figures

    def _report(self, order: Desired, phase: Phase, figures: dict[str, float], code: str = "") -> None:
        at = messages.rfc3339(datetime.now(UTC))
        what = (order.rollout, order.serial, order.bundle, order.version, order.sha256)
        place = (self.name, self.epoch, self._sequence + 1)
        self._add("update", messages.UpdateData(*what, phase, at, code, "", {**figures}, *place))

    def _add(self, topic: messages.InOrder, data: messages.AlertData | messages.UpdateData) -> None:
        self._sequence += 1
        body = self._event(topic, data)
        now = time.monotonic()
        self._waiting.append(Waiting(self._sequence, body, topic, now, now))
        self._world.log.sent += 1
        self._publish(topic, body)

    def _say_state(self, reason: str) -> None:
        name, sha256 = self._runs
        state = messages.DeviceState(online=True, reason=reason, agent="sim", bundle=name, bundle_sha256=sha256)
        self._publish("state", self._event("state", state), retain=True)

    def _publish(self, topic: messages.Topic, body: bytes, *, retain: bool = False) -> None:
        if self._client is not None:
            self._client.publish(self._topic(topic), body, retain=retain)

    def _event(self, topic: messages.Topic, data: object) -> bytes:
        at = datetime.now(UTC)
        source = f"/sono/{self._world.site}/{self.name}"
        return messages.encode(topic, data, source=source, event_id=f"{self.name}/{topic}/{at.timestamp()}", at=at)

    def _topic(self, topic: messages.Topic) -> str:
        return f"sono/v1/{self._world.site}/{self.name}/{topic}"
