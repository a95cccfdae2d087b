"""The uplink: from the outbox to the fleet's database. Nothing is deleted before that database has it."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import msgspec

from sono_edge.board import Board
from sono_edge.config import AgentConfig, Broker
from sono_edge.delivery import BackOff, Delivery
from sono_edge.desired_file import DesiredFile
from sono_edge.drift_box import WaitingReport
from sono_edge.identity.watch import OwnCertificate
from sono_edge.outbox import Outbox
from sono_edge.slots.folder import Slots
from sono_models import __version__, messages
from sono_models.errors import BrokerLost, Refused, SonoError, Stopped, Unavailable
from sono_models.link import Endpoint, Link, Message, Nodes, Will
from sono_models.updates import UpdateReport

log = logging.getLogger(__name__)

STEP_S = 0.1
"""How long one step waits for news from the broker, and so how late it may see a new alert."""
GOODBYE_S = 2.0
HEARS_QOS = 0
"""An acknowledgement is cumulative and said again; an order is retained and published again when the fleet's side
connects anew. QoS 1 would add nothing to that, and NATS keeps a replicated consumer for each such subscription
(docs/adr/0019-beyond-one-machine.md).
"""
DRIFT_AT_ONCE = 5
"""Reports of drift between two health messages: what waited long is not poured out over alerts."""
ACK_BYTES = 4096
REFUSALS_TOLD = 5
"""So many different refusals of desired documents are reported to the fleet between two starts."""


class Uplink:
    """One loop over `step`. A context manager: leaving it says `offline, stopped` and closes the link.

    Raises BadConfig for settings that cannot work; a broker that is away only makes it wait.
    """

    def __init__(
        self,
        config: AgentConfig,
        outbox: Outbox,
        board: Board,
        stop: threading.Event,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._site, self._device = config.device.site, config.device.id
        self._certificate = OwnCertificate(Path(config.broker.tls_cert)) if config.broker.tls_cert else None
        self._client_id = f"{self._site}-{self._device}-uplink"
        self._nodes = Nodes(endpoint(config.broker), self._client_id)
        self._slots = Slots(config.slots) if config.slots else None
        self._outbox, self._board, self._stop = outbox, board, stop
        self._clock, self._now = clock, now
        self._desired = DesiredFile(Path(config.state.folder), config.update.desired_key, self._site, self._device)
        self._refused: set[str] = set()
        self._window, self._health_s = config.uplink.window, config.uplink.health_s
        times = (config.uplink.retry_first_s, config.uplink.retry_longest_s)
        self._delivery = Delivery(self._window, BackOff(*times, chance))
        self._reconnect = BackOff(*times, chance)
        self._stack = ExitStack()
        self._link: Link | None = None
        self._try_at = self._health_at = 0.0
        self._state: messages.DeviceState | None = None
        self._trouble = ""
        self._drift_sent: list[WaitingReport] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        with self._stack:
            if self._link is not None:
                try:
                    self._publish_state(online=False, reason="stopped")
                    self._link.flush(GOODBYE_S)
                except (BrokerLost, Stopped, Unavailable):
                    log.warning("uplink: the broker did not hear that we stop")

    @property
    def node(self) -> Endpoint:
        """The broker that it talks to, or tries."""
        return self._nodes.now

    def run(self) -> None:
        while not self._stop.is_set():
            self.step()

    def step(self) -> None:
        """Connect, or send what is due and take what came. Waits at most a moment."""
        try:
            if self._link is None:
                self._connect()
            else:
                self._serve(self._link)
        except BrokerLost as problem:
            ended = "" if self._certificate is None else self._certificate.ended(self._now())
            self._in_trouble(f"no broker, alerts wait in the outbox: {ended or problem}")
            self._hang_up()
        except (Stopped, Unavailable) as problem:
            self._in_trouble(f"{problem}")
            self._stop.wait(self._reconnect.next_s())

    def _connect(self) -> None:
        left = self._try_at - self._clock()
        if left > 0:
            self._stop.wait(min(left, STEP_S))
            return
        will = Will(self._topic("state"), self._event("state", self._device_state(online=False, reason="lost")))
        hears = [self._topic("ack"), self._topic("desired")]
        if self._certificate is not None:
            self._certificate.look()
        link = Link(self._nodes.now, self._client_id, subscribe=hears, will=will, qos=HEARS_QOS)
        self._link = self._stack.enter_context(link)
        self._reconnect.reset()
        self._delivery.begin()
        self._trouble = ""
        self._health_at = self._clock()
        log.info("uplink: connected to %s, %d alerts wait", self._nodes.said, self._outbox.depth())
        self._publish_state(online=True, reason="connected")

    def _serve(self, link: Link) -> None:
        self._take(link.turn(STEP_S, most=100))
        waiting = self._outbox.after(0, self._window)
        for row in self._delivery.due(waiting, self._window - link.unanswered, self._clock()):
            link.publish(self._topic(row.topic), row.body)
        if self._clock() >= self._health_at:
            self._health_at = self._clock() + self._health_s
            self._publish_drift(link)
            self._publish_health(link)
            self._use_renewed()

    def _use_renewed(self) -> None:
        """A certificate that was renewed meanwhile: connect with it, before a broker ends what the old one began."""
        if self._certificate is not None and self._certificate.changed():
            log.info("uplink: this board's certificate was renewed: connecting with it")
            self._hang_up()
            self._try_at = self._clock()

    def _take(self, arrived: Sequence[Message]) -> None:
        for message in arrived:
            if message.topic == self._topic("desired") and message.body:
                self._take_desired(message.body)
        self._take_acks([message for message in arrived if message.topic == self._topic("ack")])

    def _take_desired(self, body: bytes) -> None:
        """Keep it, or refuse it aloud: once for each reason, however often a broker repeats it."""
        try:
            desired = self._desired.take(body)
        except SonoError as problem:
            level = logging.DEBUG if problem.reason in self._refused else logging.WARNING
            log.log(level, "uplink: %s", problem)
            if isinstance(problem, Refused) and problem.reason not in self._refused and self._refused_few():
                at = messages.rfc3339(self._now())
                report = UpdateReport("", 0, "", "", "", "refused", at, "desired-refused", str(problem))
                self._outbox.report(report)
            self._refused.add(problem.reason)
            return
        if desired is not None:
            log.info("uplink: wanted: %s %s (serial %d)", desired.bundle, desired.version, desired.serial)

    def _refused_few(self) -> bool:
        """A liar who varies its lies must not fill the outbox."""
        return len(self._refused) < REFUSALS_TOLD

    def _take_acks(self, arrived: Sequence[Message]) -> None:
        epoch, _ = self._outbox.life() if arrived else (0, 0)
        acks = [ack.sequence for ack in map(_ack, arrived) if ack is not None and ack.epoch == epoch]
        if not acks:
            return
        if self._outbox.acked(epoch, max(acks)):
            self._delivery.progressed(self._clock())
        elif max(acks) == 0 and self._delivery.probing:
            self._forgotten()

    def _forgotten(self) -> None:
        """The fleet says "nothing of this epoch" to an oldest alert that is not the first: it lost its database."""
        oldest = self._outbox.after(0, 1)
        if oldest and oldest[0].sequence > 1:
            log.warning("uplink: the fleet's database does not know what it had acknowledged: new epoch")
            self._outbox.renew()

    def _publish_health(self, link: Link) -> None:
        readings = self._board.read()
        health = messages.Health(
            outbox_depth=self._outbox.depth(),
            vitals=self._outbox.vitals(),
            cpu_share=readings.cpu_share,
            memory_mb=readings.memory_mb,
            temperature_c=readings.temperature_c,
            throttled=readings.throttled,
            disk_free_mb=readings.disk_free_mb,
            certificate_days=None if self._certificate is None else self._certificate.days_left(self._now()),
        )
        link.publish(self._topic("health"), self._event("health", health))
        if self._state is None:
            return
        state = self._device_state(online=True, reason=self._state.reason)
        if state != self._state:
            self._publish_state(online=True, reason=f"{_what_changed(self._state, state)} changed")

    def _publish_drift(self, link: Link) -> None:
        """What the broker has taken is deleted at the next beat; until then it may be sent again, which is harmless."""
        if self._drift_sent:
            if link.unanswered:
                return
            self._outbox.drift_sent(self._drift_sent)
        self._drift_sent = self._outbox.drift(DRIFT_AT_ONCE)
        source = f"/sono/{self._site}/{self._device}"
        for waiting in self._drift_sent:
            event_id = f"{self._device}/drift/{waiting.name}"
            body = messages.encode("drift", waiting.report, source=source, event_id=event_id, at=self._now())
            link.publish(self._topic("drift"), body)

    def _publish_state(self, *, online: bool, reason: str) -> None:
        assert self._link is not None
        self._state = self._device_state(online=online, reason=reason)
        self._link.publish(self._topic("state"), self._event("state", self._state), retain=True)

    def _device_state(self, *, online: bool, reason: str) -> messages.DeviceState:
        vitals = self._outbox.vitals()
        state = messages.DeviceState(online=online, reason=reason, agent=__version__)
        if vitals is None:
            return state
        current = self._slots.current() if self._slots else None
        return msgspec.structs.replace(
            state,
            bundle=vitals.bundle,
            bundle_sha256=vitals.bundle_sha256,
            profile=vitals.profile,
            slot=current.place if current else "",
            boot_reason=current.boot_reason if current else "",
        )

    def _event(self, topic: messages.Topic, data: object) -> bytes:
        at = self._now()
        event_id = f"{self._device}/{topic}/{at.timestamp():.6f}"
        source = f"/sono/{self._site}/{self._device}"
        return messages.encode(topic, data, source=source, event_id=event_id, at=at)

    def _topic(self, topic: messages.Topic) -> str:
        return messages.topic_of(self._site, self._device, topic)

    def _in_trouble(self, words: str) -> None:
        """The first failure warns, its repeats are for whoever debugs."""
        level = logging.DEBUG if self._trouble else logging.WARNING
        self._trouble = words
        log.log(level, "uplink: %s", words)

    def _hang_up(self) -> None:
        self._link, self._drift_sent = None, []
        self._stack.close()
        self._nodes.next()
        self._try_at = self._clock() + self._reconnect.next_s()


def _what_changed(before: messages.DeviceState, after: messages.DeviceState) -> str:
    if after.bundle_sha256 != before.bundle_sha256:
        return "bundle"
    return "slot" if (after.slot, after.boot_reason) != (before.slot, before.boot_reason) else "profile"


def endpoint(broker: Broker) -> Endpoint:
    """The broker section as a link takes it. Raises BadConfig for a password file that cannot be read."""
    return Endpoint(
        host=broker.host,
        port=broker.port,
        username=broker.username,
        password=broker.password(),
        tls_ca=broker.tls_ca,
        tls_cert=broker.tls_cert,
        tls_key=broker.tls_key,
        keepalive_s=broker.keepalive_s,
        also=broker.also,
    )


def _ack(message: Message) -> messages.Ack | None:
    if len(message.body) > ACK_BYTES:
        return None
    try:
        ack: messages.Ack = messages.decode("ack", message.body).data
    except msgspec.DecodeError:
        log.debug("uplink: an acknowledgement that is none")
        return None
    return ack
