"""One simulated connection: an asyncio protocol, a few hundred bytes each, no task and no thread of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from sono_fleet.simulate import packets


class Client(asyncio.Protocol):
    """`heard` gets every message. `ready` is done once the broker has let us in and taken the subscription."""

    __slots__ = ("_buffer", "_greeting", "_heard", "_mid", "_topics", "_transport", "is_closed", "ready")

    def __init__(self, greeting: bytes, topics: list[str], heard: Callable[[packets.Publish], None]) -> None:
        self._greeting, self._topics, self._heard = greeting, topics, heard
        self._buffer = bytearray()
        self._mid = 0
        self._transport: asyncio.Transport | None = None
        self.is_closed = False
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._greeting)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        try:
            while (packet := packets.take(self._buffer)) is not None:
                self._take(packet)
        except (packets.Malformed, UnicodeDecodeError) as problem:
            self._fail(problem)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_closed = True
        if not self.ready.done():
            self.ready.set_exception(exc or ConnectionError("the broker hung up"))

    def publish(self, topic: str, body: bytes, *, retain: bool = False) -> None:
        self._write(packets.publish(self._next(), topic, body, retain=retain))

    def ping(self) -> None:
        self._write(packets.PING)

    def leave(self) -> None:
        """As one that stops."""
        self._write(packets.DISCONNECT)
        if self._transport is not None:
            self._transport.close()

    def drop(self) -> None:
        """As one whose power is cut: the broker speaks its will."""
        if self._transport is not None:
            self._transport.abort()

    def _take(self, packet: packets.Packet) -> None:
        match packet.kind:
            case packets.CONNACK if packet.body[1:2] == b"\0":
                self._write(packets.subscribe(self._next(), self._topics))
            case packets.CONNACK:
                self._fail(ConnectionError(f"the broker refused us ({packet.body!r})"))
            case packets.SUBACK if any(code & 0x80 for code in packet.body[2:]):
                self._fail(ConnectionError("the broker refused a subscription"))
            case packets.SUBACK if not self.ready.done():
                self.ready.set_result(None)
            case packets.PUBLISH:
                message = packets.read_publish(packet)
                if message.qos:
                    self._write(packets.puback(message.mid))
                self._heard(message)
            case _:
                pass

    def _fail(self, problem: Exception) -> None:
        if not self.ready.done():
            self.ready.set_exception(problem)
        self.drop()

    def _next(self) -> int:
        self._mid = self._mid % 65_535 + 1
        return self._mid

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)
