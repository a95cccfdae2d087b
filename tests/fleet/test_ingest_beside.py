"""Ingesters side by side: each takes its share, or all take everything, and a device's line stays whole."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

import sono_fleet.ingest as ingest_module
from sono_edge.embedded import EmbeddedBroker
from sono_fleet.commands import app
from sono_fleet.ingest import CLIENT_ID, WHOLE, Ingest, Share
from sono_fleet.store import Store
from sono_fleet.tables import alerts
from sono_models import messages
from sono_models.link import Endpoint, Link
from tests.support.alerts import an_alert
from tests.support.postgres import postgres
from tests.support.waiting import until

AT = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
DEVICES, EACH = 12, 15


def test_every_device_is_in_exactly_one_share() -> None:
    topics = [f"sono/v1/s{number % 7}/d{number}/alert" for number in range(2000)]
    shares = [Share(number, 3) for number in (1, 2, 3)]
    held = [[share.holds(topic) for share in shares] for topic in topics]
    assert all(sum(one) == 1 for one in held)
    assert min(map(sum, zip(*held, strict=True))) > 500
    assert all(WHOLE.holds(topic) for topic in topics)
    same = {shares[0].holds(f"sono/v1/a/b/{kind}") for kind in ("alert", "update", "state", "health")}
    assert len(same) == 1


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(tmp_path_factory.mktemp("broker")) as running:
        yield running


def beside(broker: EmbeddedBroker, url: str, site: str, shares: list[Share]) -> list[Ingest]:
    """Every device's alerts and health through so many ingesters at once; checks that all is there once."""
    where = Endpoint(port=broker.port)
    stop = threading.Event()
    with ExitStack() as stack:
        running: list[Ingest] = []
        for number, share in enumerate(shares):
            store = stack.enter_context(Store(url))
            taker = Ingest(store, where, stop, client_id=f"beside-{site}-{number}", share=share)
            running.append(stack.enter_context(taker))
            taker.step()
        acked: dict[str, int] = {}
        threads = [threading.Thread(target=taker.run) for taker in running]
        for thread in threads:
            thread.start()
        try:
            with Link(where, f"device-{site}", subscribe=[f"sono/v1/{site}/+/ack"]) as device:
                _send(device, site)
                until(lambda: _all_acked(device, acked), seconds=60)
            until(lambda: all(_heard(taker) >= DEVICES * EACH for taker in running), seconds=60)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        rows = running[0]._store.database.rows(sa.select(alerts.c.device, alerts.c.sequence))
        there = Counter((row["device"], row["sequence"]) for row in rows)
        assert there == {(f"d{name}", n + 1): 1 for name in range(DEVICES) for n in range(EACH)}
        return running


def _send(device: Link, site: str) -> None:
    values = {name: getattr(an_alert(), name) for name in messages.Alert.__struct_fields__}
    for sequence in range(1, EACH + 1):
        for number in range(DEVICES):
            name = f"d{number}"
            source = f"/sono/{site}/{name}"
            data = messages.AlertData(**values, device=name, epoch=5, sequence=sequence)
            event_id = messages.alert_id(name, 5, sequence)
            body = messages.encode("alert", data, source=source, event_id=event_id, at=AT)
            device.publish(f"sono/v1/{site}/{name}/alert", body)
            health = messages.encode("health", messages.Health(0, None), source=source, event_id=event_id, at=AT)
            device.publish(f"sono/v1/{site}/{name}/health", health)
        assert device.flush(20.0)


def _all_acked(device: Link, acked: dict[str, int]) -> bool:
    for came in device.turn(0.05, most=100):
        name = came.topic.split("/")[3]
        acked[name] = max(acked.get(name, 0), messages.decode("ack", came.body).data.sequence)
    return acked == {f"d{number}": EACH for number in range(DEVICES)}


def _heard(taker: Ingest) -> int:
    """Of alerts: its own, and (with their health) those that it left to others."""
    return taker.tally.committed + taker.tally.duplicates + taker.tally.of_others


def test_a_retired_ingester_leaves_nothing_at_the_broker(broker: EmbeddedBroker) -> None:
    where = Endpoint(port=broker.port)
    heard = []
    for forget in (False, True):
        with Link(where, f"{CLIENT_ID}-retired", subscribe=["retired/+"], persistent=True):
            pass
        with Link(where, "device-retired") as device:
            device.publish("retired/x", b"waits")
            assert device.flush(20.0)
        if forget:
            done = CliRunner().invoke(
                app, ["ingest", "--broker", f"127.0.0.1:{broker.port}", "--name", "retired", "--forget"]
            )
            assert done.exit_code == 0, done.output
        with Link(where, f"{CLIENT_ID}-retired", subscribe=["retired/+"], persistent=True) as back:
            came = [message for _ in range(10) for message in back.turn(0.1)]
            back.done(came)
            heard.append([message.body for message in came])
    assert heard == [[b"waits"], []]


def test_two_shares_take_all_of_it_once(
    broker: EmbeddedBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = ("alert", "update", "state", "health")
    monkeypatch.setattr(ingest_module, "SUBSCRIBED", tuple(f"sono/v1/shares/+/{kind}" for kind in kinds))
    url = f"sqlite:///{tmp_path / 'fleet.sqlite'}"
    one, two = beside(broker, url, "shares", [Share(1, 2), Share(2, 2)])
    assert one.tally.committed + two.tally.committed == DEVICES * EACH
    assert one.tally.committed
    assert two.tally.committed


@pytest.mark.peer
def test_two_that_take_everything_absorb_each_others_on_postgresql(
    broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = ("alert", "update", "state", "health")
    monkeypatch.setattr(ingest_module, "SUBSCRIBED", tuple(f"sono/v1/both/+/{kind}" for kind in kinds))
    with postgres() as url:
        one, two = beside(broker, url, "both", [WHOLE, WHOLE])
    assert one.tally.committed + two.tally.committed == DEVICES * EACH
    assert one.tally.duplicates + two.tally.duplicates >= DEVICES * EACH
