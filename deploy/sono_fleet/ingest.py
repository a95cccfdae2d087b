"""Ingest: from MQTT into the database, and only then the acknowledgement that lets a device forget.

A message is acknowledged to the broker after it is committed, so a kill between the two brings it again; the
database absorbs what comes twice.
"""

from __future__ import annotations

import logging
import threading
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, Self

import msgspec

from sono_fleet.drift.hours import Reported, why_not
from sono_fleet.store import Delivered, Line, Outcome, Report, Standing, Store
from sono_fleet.watch import UNWATCHED, Watch
from sono_models import messages
from sono_models.errors import BrokerLost, Stopped, Unavailable
from sono_models.link import Endpoint, Link, Message, Nodes

log = logging.getLogger(__name__)

CLIENT_ID = "sono-fleet-ingest"
SUBSCRIBED = tuple(f"sono/v1/+/+/{topic}" for topic in ("alert", "update", "state", "health", "drift"))
BYTES_MOST = 64 * 1024
BATCH = 500
STEP_S = 0.1
ACKS_UNDER_WAY = 500
RETRY_S = 1.0


class _Place(msgspec.Struct, frozen=True):
    """The least an alert or a report must have to have a place in its line."""

    device: str
    epoch: int
    sequence: int


class _Placed(msgspec.Struct, frozen=True):
    data: _Place


_PLACED = msgspec.json.Decoder(_Placed)


@dataclass(frozen=True, slots=True)
class Share:
    """Of `of` ingesters side by side, the one of this `number` (from 1): which devices are its own."""

    number: int = 1
    of: int = 1

    def holds(self, topic: str) -> bool:
        """By site and device, so that one device's messages meet in one ingester."""
        if self.of == 1:
            return True
        name = "/".join(topic.split("/")[2:4])
        return zlib.crc32(name.encode()) % self.of == self.number - 1


WHOLE = Share()


class Rejected(Exception):
    """A message that has no place here. `kind` is a few words, the same for all of its kind."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        super().__init__(kind)


@dataclass(slots=True)
class Tally:
    """What came since the start."""

    committed: int = 0
    duplicates: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    of_others: int = 0
    """Left to the ingesters beside this one."""


class Ingest:
    """One loop over `step`. A context manager. `told` hears each newly committed alert.

    Several may run beside each other on one PostgreSQL, each under a `client_id` of its own: everyone hears
    everything, and takes its `share`; where shares overlap, the database absorbs what comes twice.
    """

    def __init__(
        self,
        store: Store,
        endpoint: Endpoint,
        stop: threading.Event,
        *,
        told: Callable[[Delivered], None] = lambda _alert: None,
        watch: Watch = UNWATCHED,
        client_id: str = CLIENT_ID,
        share: Share = WHOLE,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store, self._stop = store, stop
        self._told, self._client_id, self._share = told, client_id, share
        self._nodes = Nodes(endpoint, client_id)
        self._watch = watch
        self._now, self._clock = now, clock
        self._stack = ExitStack()
        self._link: Link | None = None
        self._try_at = 0.0
        self._pending: list[Message] = []
        self._owed: dict[Line, int] = {}
        self._trouble = ""
        self.tally = Tally()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    @property
    def is_connected(self) -> bool:
        return self._link is not None

    @property
    def acks_owed(self) -> int:
        """Lines whose acknowledgement is not sent yet."""
        return len(self._owed)

    def run(self) -> None:
        while not self._stop.is_set():
            self.step()

    def step(self) -> None:
        """Connect, or take what came, commit it and acknowledge it. Waits at most a moment."""
        try:
            if self._link is None:
                self._connect()
            else:
                self._serve(self._link)
        except BrokerLost as problem:
            self._in_trouble(str(problem))
            self._hang_up()
        except (Stopped, Unavailable) as problem:  # the broker keeps what is not acknowledged
            self._in_trouble(str(problem))
            self._stop.wait(RETRY_S)

    def _connect(self) -> None:
        left = self._try_at - self._clock()
        if left > 0:
            self._stop.wait(min(left, STEP_S))
            return
        link = Link(self._nodes.now, self._client_id, subscribe=SUBSCRIBED, persistent=True)
        self._link = self._stack.enter_context(link)
        self._trouble = ""
        log.info("ingest: connected to %s", self._nodes.said)

    def _hang_up(self) -> None:
        self._link = None
        self._stack.close()
        self._pending.clear()  # the broker sends them again
        self._nodes.next()
        self._try_at = self._clock() + RETRY_S

    def _serve(self, link: Link) -> None:
        if len(self._pending) < BATCH:
            self._pending += link.turn(0.0 if self._pending else STEP_S, most=BATCH)
        if self._pending:
            outcome = self._commit(self._pending)
            link.done(self._pending)
            self._pending.clear()
            self._owe(outcome.standings)
            self._pay(link)
            for alert in outcome.fresh:
                if alert.topic == "alert":
                    self._told(alert)
        self._pay(link)

    def _commit(self, batch: Sequence[Message]) -> Outcome:
        delivered: list[Delivered] = []
        reports: list[Report] = []
        drift: list[Reported] = []
        now = self._now()
        for message in batch:
            read = self._read(message, now)
            if isinstance(read, Delivered):
                delivered.append(read)
            elif isinstance(read, Reported):
                drift.append(read)
            elif read is not None:
                reports.append(read)
        if not delivered and not reports and not drift:
            return Outcome({}, ())
        began = self._clock()
        outcome = self._store.commit(delivered, reports, now, drift)
        self._watch.committed(delivered, reports, outcome, self._clock() - began)
        for alert in outcome.fresh:
            if alert.problem:
                self._count(alert.problem)
        self.tally.duplicates += len(delivered) - len(outcome.fresh)
        self.tally.committed += len(outcome.fresh)
        return outcome

    def _read(self, message: Message, now: datetime) -> Delivered | Report | Reported | None:
        """None for what is not ours, or has no place; it is counted."""
        if not self._share.holds(message.topic):
            self.tally.of_others += 1
            return None
        try:
            read = read_message(message)
            _believe(read, now)
        except Rejected as problem:
            self._reject(problem.kind, message)
            return None
        return read

    def _owe(self, standings: Mapping[Line, Standing]) -> None:
        """Nothing contiguous is worth saying only to a device that keeps asking: it has forgotten its first."""
        for line, standing in standings.items():
            if standing.contiguous or standing.duplicates:
                self._owed[line] = standing.contiguous

    def _pay(self, link: Link) -> None:
        while self._owed and link.unanswered < ACKS_UNDER_WAY:
            line, sequence = self._owed.popitem()
            event_id = f"ack/{messages.alert_id(line.device, line.epoch, sequence)}"
            ack = messages.Ack(line.epoch, sequence)
            body = messages.encode("ack", ack, source="/sono/fleet", event_id=event_id, at=self._now())
            link.publish(messages.topic_of(line.site, line.device, "ack"), body)

    def _reject(self, kind: str, message: Message) -> None:
        self._watch.left_out(message.topic.rpartition("/")[2], kind)
        if self._count(kind) == 1:
            log.warning(
                "ingest: a message on %.200r is left out: %s; more of this kind are only counted", message.topic, kind
            )

    def _count(self, kind: str) -> int:
        self.tally.rejected[kind] = self.tally.rejected.get(kind, 0) + 1
        return self.tally.rejected[kind]

    def _in_trouble(self, words: str) -> None:
        level = logging.DEBUG if self._trouble else logging.WARNING
        self._trouble = words
        log.log(level, "ingest: %s", words)


def end_session(endpoint: Endpoint, client_id: str) -> None:
    """The broker keeps nothing more for an ingester that will not come back. Raises BrokerLost when no node answers."""
    first, *others = endpoint.nodes()
    for node in others:
        with suppress(BrokerLost), Link(node, client_id):
            return
    with Link(first, client_id):
        return


def read_message(message: Message) -> Delivered | Report | Reported:
    """Raises Rejected for what has no place: too large, another's name, not ours, no place in a line.

    An alert or an update's report that has a place but cannot be read (a newer device) is delivered with its
    `problem`.
    """
    site, device, topic = _address(message.topic)
    if len(message.body) > BYTES_MOST:
        raise Rejected("too large")
    try:
        body = message.body.decode("utf-8")
    except UnicodeDecodeError as problem:
        raise Rejected("not UTF-8") from problem
    if topic == "alert" or topic == "update":  # noqa: PLR1714  (mypy narrows by equality)
        return _in_order(site, device, topic, message.body)
    try:
        event = messages.decode(topic, message.body)
    except msgspec.DecodeError as problem:
        raise Rejected(f"not a {topic} event") from problem
    if event.source != f"/sono/{site}/{device}":
        raise Rejected(f"a {topic} event in another's name")
    if topic == "drift":
        return Reported(site, device, event.data)
    said_at = _moment(event.time)
    if said_at is None:
        raise Rejected(f"a {topic} event without a time")
    return Report(site, device, topic, body, _said(event.data), None if message.retained else said_at)


def _believe(read: Delivered | Report | Reported, now: datetime) -> None:
    """Raises Rejected for a report of drift that is of no hour of ours, or could single a patient out."""
    words = why_not(read.data, now) if isinstance(read, Reported) else ""
    if words:
        raise Rejected(f"a drift event {words}")


def _said(data: messages.DeviceState | messages.Health) -> dict[str, Any]:
    """What a state or a health says that has a column of its own. A bundle that is not named changes nothing."""
    online = data.online if isinstance(data, messages.DeviceState) else True
    stopped = isinstance(data, messages.DeviceState) and not online and data.reason == "stopped"
    runs = data if isinstance(data, messages.DeviceState) else data.vitals
    if not online or runs is None or not runs.bundle_sha256:
        return {"online": online, "stopped": stopped}
    return {
        "online": online,
        "stopped": stopped,
        "bundle": runs.bundle[:160],
        "bundle_sha256": runs.bundle_sha256[:64],
        "profile": runs.profile[:200],
    }


def _moment(text: str) -> datetime | None:
    """RFC 3339 with an offset, or None."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return None if at.tzinfo is None else at


def _in_order(site: str, device: str, topic: messages.InOrder, raw: bytes) -> Delivered:
    try:
        place = _PLACED.decode(raw).data
    except msgspec.DecodeError as problem:
        raise Rejected(f"not an {topic} event") from problem
    if place.device != device:
        raise Rejected(f"an {topic} event in another's name")
    if not (0 < place.epoch < 2**63 and 0 < place.sequence < 2**63):
        raise Rejected(f"an {topic} event with an impossible place")
    words, values = "", {}
    try:
        event = messages.decode(topic, raw)
    except msgspec.DecodeError:
        words = f"an {topic} event that cannot be read"
    else:
        if event.source != f"/sono/{site}/{device}":
            raise Rejected(f"an {topic} event in another's name")
        values = _reported(event.data) if topic == "update" else {}
    return Delivered(Line(site, device, place.epoch), place.sequence, raw.decode(), words, topic, values)


def _reported(data: messages.UpdateData) -> dict[str, Any]:
    serial = data.serial if 0 <= data.serial < 2**63 else 0
    return {"rollout": data.rollout[:64], "serial": serial, "phase": data.phase}


def _address(topic: str) -> tuple[str, str, Literal["alert", "update", "state", "health", "drift"]]:
    parts = topic.split("/")
    if len(parts) != 5 or not all(messages.IDENTIFIER.fullmatch(name) for name in parts[2:4]):
        raise Rejected("an address that is none")
    match parts[4]:
        case "alert" | "update" | "state" | "health" | "drift" as topic_name:
            return parts[2], parts[3], topic_name
        case _:
            raise Rejected("an address that is none")
