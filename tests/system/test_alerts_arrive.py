"""Alerts through `kill -9` of every program on their way: what was raised is committed, once each."""

from __future__ import annotations

from pathlib import Path

import pytest

from sono_edge.bench.outbox import Broker, run
from sono_edge.embedded import EmbeddedBroker
from tests.support.brokers import Mosquitto, mosquitto

BROKERS = [
    pytest.param(EmbeddedBroker, id="nats"),
    pytest.param(
        Mosquitto,
        id="mosquitto",
        marks=[pytest.mark.peer, pytest.mark.skipif(mosquitto() is None, reason="mosquitto is not installed")],
    ),
]


@pytest.mark.parametrize("kind", BROKERS)
def test_no_alert_is_lost_when_every_program_is_killed(tmp_path: Path, kind: type[EmbeddedBroker | Mosquitto]) -> None:
    broker: Broker = kind(tmp_path / "broker")
    result = run(alerts=150, kills=10, seed=3, broker=broker, folder=tmp_path)
    assert result["raised"] == result["committed"] == 150
    assert result["lost"] == 0
    assert result["kills"] == 10
    assert set(result["killed"]) == {"broker", "ingest", "uplink", "writer"}
