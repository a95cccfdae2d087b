"""The embedded broker: it answers, survives being killed with what it holds, and says one line when it cannot start."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from sono_edge.embedded import EmbeddedBroker
from sono_models.errors import BadConfig, BrokerLost
from sono_models.link import Endpoint, Link
from tests.support.waiting import until


def test_what_it_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    with EmbeddedBroker(tmp_path) as broker:
        where = Endpoint(port=broker.port)
        with Link(where, "taker", subscribe=["sono/v1/a/b/alert"], persistent=True):
            pass
        with Link(where, "giver") as giver:
            for number in range(20):
                giver.publish("sono/v1/a/b/alert", b"%d" % number)
            assert giver.flush(10.0)
        broker.kill()
        with pytest.raises(BrokerLost, match="refused"), Link(where, "giver"):
            pass
        broker.start()
        taken: list[bytes] = []
        with Link(where, "taker", persistent=True) as taker:
            while len(taken) < 20:
                arrived = taker.turn(1.0, most=100)
                taken += [message.body for message in arrived]
                taker.done(arrived)
    assert taken == [b"%d" % number for number in range(20)]


def test_a_port_in_use_is_one_clear_line(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(BadConfig, match="Choose another port"), EmbeddedBroker(tmp_path, port):
            pass


def test_a_broker_that_ends_at_once_says_where_to_look(tmp_path: Path) -> None:
    (tmp_path / "jetstream").write_text("not a folder")
    with pytest.raises(BrokerLost, match=r"nats\.log"), EmbeddedBroker(tmp_path):
        pass


def test_it_ends_with_its_block(tmp_path: Path) -> None:
    with EmbeddedBroker(tmp_path) as broker:
        port = broker.port

    def gone() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) != 0

    until(gone)
