"""The few packets of MQTT 3.1.1 that a simulated device needs. Pure.

https://docs.oasis-open.org/mqtt/mqtt/v3.1.1/os/mqtt-v3.1.1-os.html; the numbers are its sections.
"""

from __future__ import annotations

from dataclasses import dataclass

CONNACK, PUBLISH, PUBACK, SUBACK, PINGRESP = 2, 3, 4, 9, 13
MOST = 256 * 1024
"""No packet that a device is sent is larger; a broker that says otherwise is hung up on."""


class Malformed(ValueError):
    """Not what a broker may send."""


@dataclass(frozen=True, slots=True)
class Packet:
    kind: int
    flags: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Publish:
    topic: str
    body: bytes
    qos: int
    retained: bool
    mid: int


def connect(client_id: str, keepalive_s: int, will: tuple[str, bytes]) -> bytes:
    """3.1: a clean session with a retained will at QoS 1."""
    flags = 0b0010_1110
    head = _text("MQTT") + bytes((4, flags)) + keepalive_s.to_bytes(2, "big")
    return _packet(0x10, head + _text(client_id) + _text(will[0]) + _data(will[1]))


def subscribe(mid: int, topics: list[str], qos: int = 0) -> bytes:
    """3.8, all at this QoS."""
    return _packet(0x82, mid.to_bytes(2, "big") + b"".join(_text(topic) + bytes((qos,)) for topic in topics))


def publish(mid: int, topic: str, body: bytes, *, retain: bool = False) -> bytes:
    """3.3, at QoS 1."""
    return _packet(0x32 | retain, _text(topic) + mid.to_bytes(2, "big") + body)


def puback(mid: int) -> bytes:
    return b"\x40\x02" + mid.to_bytes(2, "big")


PING = b"\xc0\x00"
DISCONNECT = b"\xe0\x00"


def take(buffer: bytearray) -> Packet | None:
    """The first whole packet, taken off the buffer; None: not all of it is there yet. Raises Malformed."""
    length, shift = 0, 0
    for place in range(1, 5):
        if place >= len(buffer):
            return None
        length |= (buffer[place] & 0x7F) << shift
        if not buffer[place] & 0x80:
            break
        shift += 7
    else:
        raise Malformed("a length of more than four bytes")
    if length > MOST:
        raise Malformed(f"a packet of {length} bytes")
    end = place + 1 + length
    if len(buffer) < end:
        return None
    packet = Packet(buffer[0] >> 4, buffer[0] & 0x0F, bytes(buffer[place + 1 : end]))
    del buffer[:end]
    return packet


def read_publish(packet: Packet) -> Publish:
    """Raises Malformed."""
    qos = packet.flags >> 1 & 3
    size = int.from_bytes(packet.body[:2], "big")
    begin = 2 + size + (2 if qos else 0)
    if len(packet.body) < begin or qos > 1:
        raise Malformed("a message that is cut short, or at QoS 2")
    topic = packet.body[2 : 2 + size].decode("utf-8", "strict")
    mid = int.from_bytes(packet.body[2 + size : begin], "big")
    return Publish(topic, packet.body[begin:], qos, bool(packet.flags & 1), mid)


def _text(words: str) -> bytes:
    return _data(words.encode())


def _data(content: bytes) -> bytes:
    return len(content).to_bytes(2, "big") + content


def _packet(head: int, body: bytes) -> bytes:
    length, size = b"", len(body)
    while True:
        size, seven = divmod(size, 128)
        length += bytes((seven | (0x80 if size else 0),))
        if not size:
            return bytes((head,)) + length + body
