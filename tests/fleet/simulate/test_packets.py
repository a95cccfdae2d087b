"""The small codec against paho's own, and against whatever bytes a broker may send."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sono_fleet.simulate import packets
from sono_fleet.simulate.packets import Malformed

TOPICS = st.text(st.characters(codec="utf-8", exclude_characters="+#\0"), min_size=1, max_size=100)


@given(TOPICS, st.binary(max_size=20_000), st.integers(1, 65_535), st.booleans())
def test_a_message_comes_back_as_it_was(topic: str, body: bytes, mid: int, retain: bool) -> None:
    buffer = bytearray(packets.publish(mid, topic, body, retain=retain))
    packet = packets.take(buffer)
    assert packet is not None
    assert packets.read_publish(packet) == packets.Publish(topic, body, 1, retain, mid)
    assert not buffer


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=8), st.data())
def test_a_stream_that_is_cut_anywhere_gives_the_same_packets(bodies: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(packets.publish(place + 1, "a/b", body) for place, body in enumerate(bodies))
    buffer, got = bytearray(), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        buffer += stream[:size]
        stream = stream[size:]
        while (packet := packets.take(buffer)) is not None:
            got.append(packets.read_publish(packet).body)
    assert got == bodies


@given(st.binary(max_size=400))
def test_rubbish_is_a_packet_or_waited_for_or_malformed(rubbish: bytes) -> None:
    buffer = bytearray(rubbish)
    try:
        while (packet := packets.take(buffer)) is not None:
            if packet.kind == packets.PUBLISH:
                packets.read_publish(packet)
    except (Malformed, UnicodeDecodeError):
        pass


@pytest.mark.parametrize("stream", [b"\x30\xff\xff\xff\xff\x01", b"\x30\xff\xff\xff\x7f", b"\x30\x81\x80\x80\x01"])
def test_a_length_that_is_none_is_malformed(stream: bytes) -> None:
    with pytest.raises(Malformed):
        packets.take(bytearray(stream))


def test_a_message_at_qos_2_is_malformed() -> None:
    with pytest.raises(Malformed):
        packets.read_publish(packets.Packet(packets.PUBLISH, 0b0100, b"\x00\x01a\x00\x01"))
