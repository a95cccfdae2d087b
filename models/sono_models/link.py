"""One MQTT connection, from connect to loss, turned by its owner's loop. Device and fleet share it.

A cluster of brokers is several addresses (`Endpoint.also`); `Nodes` says whose turn it is.
Every attempt is a new client of the MQTT library, and no thread of its own: on reconnect the library would
send all it holds at once, and a fault in one of its callbacks ends its thread while it still says
"connected". What must survive a loss lies with the caller, in a database.
"""

from __future__ import annotations

import socket
import ssl
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from sono_models.address import address
from sono_models.errors import BadConfig, BrokerLost

ANSWER_S = 5.0
"""How long a broker may take to accept a connection, and then to answer the handshake."""
SILENCES = 3
"""So many keep-alive periods without an answer to a message, and the connection counts as lost."""

_ENDED = mqtt.error_string(MQTTErrorCode.MQTT_ERR_CONN_LOST).rstrip(".").lower()
_PERHAPS = "the broker may not take the certificate (revoked, ended, or not in its configuration yet)"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the broker is and how to be let in. Paths are files; empty is none. `also`: HOST:PORT of the other
    nodes of its cluster, each of which does as well.
    """

    host: str = "127.0.0.1"
    port: int = 1883
    username: str = ""
    password: str = ""
    tls_ca: str = ""
    tls_cert: str = ""
    tls_key: str = ""
    keepalive_s: int = 20
    also: tuple[str, ...] = ()

    def nodes(self) -> tuple[Endpoint, ...]:
        """Each node alone, this one first. Raises BadConfig for an address that is none."""
        alone = replace(self, also=())
        return (alone, *(replace(alone, host=host, port=port) for host, port in map(address, self.also)))


@dataclass(slots=True)
class Nodes:
    """Which node of a cluster is tried: the same until it is lost, then the next. Where it begins hangs on the
    client's name, so that a fleet spreads over the nodes.
    """

    endpoint: Endpoint
    name: str
    _nodes: tuple[Endpoint, ...] = field(init=False)
    _at: int = field(init=False)

    def __post_init__(self) -> None:
        self._nodes = self.endpoint.nodes()
        self._at = zlib.crc32(self.name.encode()) % len(self._nodes)

    @property
    def now(self) -> Endpoint:
        return self._nodes[self._at]

    @property
    def said(self) -> str:
        return f"{self.now.host}:{self.now.port}"

    def next(self) -> None:
        """After a loss, or no answer."""
        self._at = (self._at + 1) % len(self._nodes)


@dataclass(frozen=True, slots=True)
class Message:
    topic: str
    body: bytes
    retained: bool
    mid: int


@dataclass(frozen=True, slots=True)
class Will:
    topic: str
    body: bytes


class Link:
    """A context manager: inside it the broker has let us in. Every method raises BrokerLost once it is gone.

    `persistent` keeps the session at the broker, which then holds messages for us while we are away, and
    leaves the acknowledging of what arrives to `done`. `qos` is of what it subscribes to. Raises BadConfig for
    certificates that cannot be read.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        client_id: str,
        *,
        subscribe: Sequence[str] = (),
        will: Will | None = None,
        persistent: bool = False,
        qos: int = 1,
    ) -> None:
        self.endpoint = endpoint
        self._subscribe, self._qos = subscribe, qos
        self._arrived: list[Message] = []
        self._outstanding: dict[int, float] = {}
        self._refusal: str | None = None
        self._is_up = self._is_subscribed = False
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=not persistent,
            protocol=mqtt.MQTTv311,
            manual_ack=persistent,
        )
        self._client.connect_timeout = ANSWER_S
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        self._client.on_publish = self._on_publish
        if endpoint.username:
            self._client.username_pw_set(endpoint.username, endpoint.password or None)
        if will is not None:
            self._client.will_set(will.topic, will.body, qos=1, retain=True)
        if endpoint.tls_ca or endpoint.tls_cert:
            _secure(self._client, endpoint)

    @property
    def unanswered(self) -> int:
        """Messages that the broker has not acknowledged."""
        return len(self._outstanding)

    def __enter__(self) -> Self:
        where = self.endpoint
        try:
            self._client.connect(where.host, where.port, where.keepalive_s)
        except (OSError, ValueError) as problem:
            raise self._lost(getattr(problem, "strerror", None) or str(problem) or type(problem).__name__) from problem
        stream = self._client.socket()
        if isinstance(stream, socket.socket):
            # Small packets one after another: without this each window waits 40 ms for a delayed TCP ack.
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self._shake_hands()
        except BaseException:
            self._client.disconnect()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self._client.disconnect()

    def turn(self, timeout_s: float, *, most: int = 1) -> list[Message]:
        """Send and receive for at most this time; what arrived, up to about `most` messages."""
        self._loop(0.0 if self._arrived else timeout_s)
        seen = 0
        while seen < len(self._arrived) < most:
            seen = len(self._arrived)
            self._loop(0.0)
        if self._outstanding:
            oldest = next(iter(self._outstanding.values()))
            if time.monotonic() - oldest > SILENCES * self.endpoint.keepalive_s:
                raise self._lost("it does not acknowledge")
        arrived, self._arrived = self._arrived, []
        return arrived

    def publish(self, topic: str, body: bytes, *, retain: bool = False) -> None:
        """At QoS 1. That the broker acknowledges it does not mean that it is on anybody's disk."""
        info = self._client.publish(topic, body, qos=1, retain=retain)
        self._outstanding[info.mid] = time.monotonic()
        self._checked(info.rc)

    def done(self, messages: Sequence[Message]) -> None:
        """A persistent link's word that these need not come again."""
        for message in messages:
            self._checked(self._client.ack(message.mid, 1))

    def flush(self, timeout_s: float) -> bool:
        """Wait until the broker has acknowledged everything; whether it did."""
        deadline = time.monotonic() + timeout_s
        while self._outstanding and (left := deadline - time.monotonic()) > 0:
            self._loop(min(left, 0.1))
        return not self._outstanding

    def _shake_hands(self) -> None:
        """TLS 1.3 lets a client in before it has looked at its certificate: a refusal is a connection that ends."""
        try:
            self._shake()
        except BrokerLost as problem:
            if self.endpoint.tls_cert and problem.reason == _ENDED:
                raise self._lost(f"{_ENDED} at once: {_PERHAPS}") from problem
            raise

    def _shake(self) -> None:
        deadline = time.monotonic() + ANSWER_S
        self._await(lambda: self._is_up, deadline, "no answer to the handshake")
        if self._subscribe:
            self._checked(self._client.subscribe([(topic, self._qos) for topic in self._subscribe])[0])
            self._await(lambda: self._is_subscribed, deadline, "no answer to the subscription")

    def _await(self, true: Callable[[], bool], deadline: float, otherwise: str) -> None:
        while not true():
            if time.monotonic() > deadline:
                raise self._lost(otherwise)
            self._loop(0.1)

    def _loop(self, timeout_s: float) -> None:
        code = self._client.loop(timeout_s)
        if self._refusal is not None:
            raise self._lost(self._refusal)
        self._checked(code)

    def _checked(self, code: MQTTErrorCode) -> None:
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise self._lost(mqtt.error_string(code).rstrip(".").lower())

    def _lost(self, reason: str) -> BrokerLost:
        where = f"broker {self.endpoint.host}:{self.endpoint.port}"
        return BrokerLost(where, reason, "Start it or mend the [broker] settings; it is tried again")

    # The library calls these inside loop(), in our own thread; they only note what happened.

    def _on_connect(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self._is_up = not reason.is_failure
        if reason.is_failure:
            self._refusal = f"it refused the connection ({reason})"

    def _on_subscribe(self, _client: Any, _data: Any, _mid: int, reasons: Any, _properties: Any) -> None:
        self._is_subscribed = True
        if any(reason.is_failure for reason in reasons):
            self._refusal = "it refused a subscription"

    def _on_message(self, _client: Any, _data: Any, message: mqtt.MQTTMessage) -> None:
        self._arrived.append(Message(message.topic, bytes(message.payload), message.retain, message.mid))

    def _on_publish(self, _client: Any, _data: Any, mid: int, _reason: Any, _properties: Any) -> None:
        self._outstanding.pop(mid, None)


def _secure(client: mqtt.Client, endpoint: Endpoint) -> None:
    try:
        try:
            client.tls_set(endpoint.tls_ca or None, endpoint.tls_cert or None, endpoint.tls_key or None)
        except ssl.SSLError:  # renewed just between the certificate and its key: once more, from the new file
            client.tls_set(endpoint.tls_ca or None, endpoint.tls_cert or None, endpoint.tls_key or None)
    except (OSError, ValueError, ssl.SSLError) as problem:
        files = ", ".join(name for name in (endpoint.tls_ca, endpoint.tls_cert, endpoint.tls_key) if name)
        reason = getattr(problem, "strerror", None) or str(problem)
        raise BadConfig(f"TLS files {files}", reason, "Mend broker.tls_ca, tls_cert and tls_key") from problem
