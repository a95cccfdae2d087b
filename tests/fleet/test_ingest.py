"""Ingest: what is taken, what is left out, and that the acknowledgement comes after the commit. The broker is real."""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

import sono_fleet.ingest as ingest_module
from sono_edge.embedded import EmbeddedBroker
from sono_fleet.commands import app
from sono_fleet.drift.hours import Reported
from sono_fleet.ingest import Ingest, Rejected, read_message
from sono_fleet.store import Delivered, Outcome, Report, Store
from sono_models import messages
from sono_models.errors import Unavailable
from sono_models.link import Endpoint, Link, Message
from sono_models.updates import UpdateReport
from tests.support.alerts import AT, an_alert, some_vitals
from tests.support.orders import a_report


def event(device: str, sequence: int, *, site: str = "demo", source: str = "", epoch: int = 5) -> bytes:
    values = {name: getattr(an_alert(), name) for name in messages.Alert.__struct_fields__}
    data = messages.AlertData(**values, device=device, epoch=epoch, sequence=sequence)
    return messages.encode("alert", data, source=source or f"/sono/{site}/{device}", event_id="x", at=AT)


def message(topic: str, body: bytes) -> Message:
    return Message(topic, body, retained=False, mid=1)


def test_an_alert_is_read_with_its_place() -> None:
    read = read_message(message("sono/v1/demo/b/alert", event("b", 3)))
    assert isinstance(read, Delivered)
    assert (read.line.site, read.line.device, read.line.epoch, read.sequence) == ("demo", "b", 5, 3)
    assert not read.problem


def test_state_and_health_are_read() -> None:
    state = messages.encode(
        "state", messages.DeviceState(online=True, reason="x"), source="/sono/demo/b", event_id="x", at=AT
    )
    assert read_message(message("sono/v1/demo/b/state", state)) == Report(
        "demo", "b", "state", state.decode(), {"online": True, "stopped": False}, said_at=AT
    )
    health = messages.encode("health", messages.Health(0, some_vitals()), source="/sono/demo/b", event_id="x", at=AT)
    runs = {"online": True, "stopped": False, "bundle": "breast-0.1.0", "bundle_sha256": "1" * 64, "profile": ""}
    read = read_message(message("sono/v1/demo/b/health", health))
    assert read == Report("demo", "b", "health", health.decode(), runs, said_at=AT)


def test_a_report_of_an_update_is_read_with_its_place() -> None:
    values = {name: getattr(a_report("verified"), name) for name in UpdateReport.__struct_fields__}
    data = messages.UpdateData(**values, device="b", epoch=5, sequence=4)
    body = messages.encode("update", data, source="/sono/demo/b", event_id="x", at=AT)
    read = read_message(message("sono/v1/demo/b/update", body))
    assert isinstance(read, Delivered)
    assert (read.topic, read.line.device, read.sequence) == ("update", "b", 4)
    assert read.values == {"rollout": "r1", "serial": 1, "phase": "verified"}
    newer = body.replace(b'"phase":"verified"', b'"phase":"dreaming"')
    unread = read_message(message("sono/v1/demo/b/update", newer))
    assert isinstance(unread, Delivered)
    assert unread.problem == "an update event that cannot be read"


def a_state() -> bytes:
    state = messages.DeviceState(online=True, reason="x", bundle="breast-0.1.0", bundle_sha256="1" * 64)
    return messages.encode("state", state, source="/sono/demo/b", event_id="x", at=AT)


def test_what_the_broker_kept_tells_nothing_of_now() -> None:
    read = read_message(Message("sono/v1/demo/b/state", a_state(), retained=True, mid=1))
    assert isinstance(read, Report)
    assert read.said_at is None


@pytest.mark.parametrize("time", [b"noon", b"2026-11-24T10:00:00", b""])
def test_a_state_without_a_time_is_left_out(time: bytes) -> None:
    timeless = a_state().replace(messages.rfc3339(AT).encode(), time)
    with pytest.raises(Rejected, match="a state event without a time"):
        read_message(message("sono/v1/demo/b/state", timeless))


def test_an_alert_of_a_newer_kind_is_kept_with_its_problem() -> None:
    newer = event("b", 3).replace(b'"kind":"raised"', b'"kind":"whispered"')
    read = read_message(message("sono/v1/demo/b/alert", newer))
    assert isinstance(read, Delivered)
    assert read.problem == "an alert event that cannot be read"
    assert read.sequence == 3


@pytest.mark.parametrize(
    ("topic", "body", "words"),
    [
        ("sono/v1/demo/b/alert", b"x" * 65_537, "too large"),
        ("sono/v1/demo/b/alert", b"\xff", "not UTF-8"),
        ("sono/v1/demo/b/alert", b"{}", "not an alert"),
        ("sono/v1/demo/b/alert", event("c", 1), "another's name"),
        ("sono/v1/demo/b/alert", event("b", 1, source="/sono/ward/b"), "another's name"),
        ("sono/v1/demo/b/alert", event("b", 0), "impossible place"),
        ("sono/v1/demo/b/alert", event("b", 1, epoch=-1), "impossible place"),
        ("sono/v1/demo/b/state", b"{}", "not a state"),
        ("sono/v1/demo/b/state", event("b", 1), "not a state"),
        ("sono/v1/demo/b/ack", b"{}", "address"),
        ("sono/v1/demo/b", b"{}", "address"),
        ("sono/v1/de mo/b/alert", event("b", 1), "address"),
    ],
)
def test_what_has_no_place_is_rejected(topic: str, body: bytes, words: str) -> None:
    with pytest.raises(Rejected, match=words):
        read_message(message(topic, body))


def test_a_state_in_anothers_name_is_rejected() -> None:
    state = messages.encode(
        "state", messages.DeviceState(online=True, reason="x"), source="/sono/demo/c", event_id="x", at=AT
    )
    with pytest.raises(Rejected, match="another's name"):
        read_message(message("sono/v1/demo/b/state", state))


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(tmp_path_factory.mktemp("broker")) as running:
        yield running


class Flaky(Store):
    """A database that is away for the next so many commits."""

    away = 0

    def commit(
        self, batch: Sequence[Delivered], reports: Sequence[Report], at: datetime, drift: Sequence[Reported] = ()
    ) -> Outcome:
        if batch and self.away:
            self.away -= 1
            raise Unavailable("the database", "it is away", "It is tried again")
        return super().commit(batch, reports, at, drift)


class Bench:
    """An ingest, its database, and one device's end of the link."""

    def __init__(self, ingest: Ingest, store: Flaky, device: Link, name: str) -> None:
        self.ingest, self.store, self.device, self.name = ingest, store, device, name
        self.told: list[Delivered] = []

    def send(self, *sequences: int) -> None:
        for sequence in sequences:
            self.device.publish(f"sono/v1/demo/{self.name}/alert", event(self.name, sequence))
        assert self.device.flush(10.0)

    def acked(self) -> int:
        """The next acknowledgement."""
        for _ in range(200):
            for came in self.device.turn(0.02):
                ack: messages.Ack = messages.decode("ack", came.body).data
                assert ack.epoch == 5
                return ack.sequence
            self.ingest.step()
        raise AssertionError("no acknowledgement came")

    def acked_up_to(self, sequence: int) -> None:
        while self.acked() < sequence:
            pass


@pytest.fixture
def bench(
    broker: EmbeddedBroker, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bench]:
    monkeypatch.setattr(ingest_module, "RETRY_S", 0.01)
    name = f"d{abs(hash(request.node.name)) % 10**9}"
    monkeypatch.setattr(
        ingest_module,
        "SUBSCRIBED",
        tuple(f"sono/v1/demo/{name}/{kind}" for kind in ("alert", "update", "state", "health")),
    )
    where = Endpoint(port=broker.port)
    told: list[Delivered] = []
    with (
        Flaky(f"sqlite:///{tmp_path / 'fleet.sqlite'}") as store,
        Ingest(store, where, threading.Event(), told=told.append, client_id=f"ingest-{name}") as ingest,
        Link(where, name, subscribe=[f"sono/v1/demo/{name}/ack"]) as device,
    ):
        ingest.step()
        made = Bench(ingest, store, device, name)
        made.told = told
        yield made


def test_alerts_are_committed_and_acknowledged(bench: Bench) -> None:
    bench.send(*range(1, 51))
    bench.acked_up_to(50)
    assert bench.store.count() == 50
    assert bench.ingest.tally.committed == 50
    assert [alert.sequence for alert in bench.told] == list(range(1, 51))


def test_a_duplicate_is_acknowledged_again(bench: Bench) -> None:
    bench.send(1, 2)
    bench.acked_up_to(2)
    bench.send(1)
    assert bench.acked() == 2
    assert bench.ingest.tally.duplicates == 1
    assert [alert.sequence for alert in bench.told] == [1, 2]


def test_a_gap_is_not_acknowledged_over(bench: Bench) -> None:
    bench.send(1, 3)
    assert bench.acked() == 1
    bench.send(2)
    bench.acked_up_to(3)


def test_a_line_that_does_not_begin_is_told_so_when_it_asks_again(bench: Bench) -> None:
    bench.send(8)
    bench.send(8)
    assert bench.acked() == 0


def test_while_the_database_is_away_nothing_is_acknowledged_and_nothing_lost(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.store.away = 3
    bench.send(1, 2, 3)
    bench.acked_up_to(3)
    assert bench.store.away == 0
    assert bench.store.count() == 3
    assert [record.levelno for record in caplog.records].count(logging.WARNING) == 1


def test_what_was_not_committed_comes_again_after_a_loss(bench: Bench) -> None:
    bench.store.away = 10**6
    bench.send(1, 2)
    while not bench.ingest._pending:
        bench.ingest.step()
    bench.ingest._hang_up()
    bench.store.away = 0
    bench.acked_up_to(2)
    assert bench.store.count() == 2


def test_rubbish_is_counted_and_said_once(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(5):
        bench.device.publish(f"sono/v1/demo/{bench.name}/alert", b"rubbish")
    bench.send(1)
    assert bench.acked() == 1
    assert bench.ingest.tally.rejected == {"not an alert event": 5}
    assert caplog.text.count("not an alert event") == 1


def test_no_broker_is_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest_module, "RETRY_S", 0.0)
    with socket.socket() as closed, Store("sqlite://") as store:
        closed.bind(("127.0.0.1", 0))
        with Ingest(store, Endpoint(port=closed.getsockname()[1]), threading.Event()) as ingest:
            for _ in range(5):
                ingest.step()
    assert [record.levelno for record in caplog.records].count(logging.WARNING) == 1


def test_the_commands_show_what_is_committed(bench: Bench, tmp_path: Path) -> None:
    state = messages.encode(
        "state",
        messages.DeviceState(online=True, reason="connected"),
        source=f"/sono/demo/{bench.name}",
        event_id="x",
        at=AT,
    )
    bench.device.publish(f"sono/v1/demo/{bench.name}/state", state)
    bench.send(1, 2)
    bench.acked_up_to(2)
    newer = event(bench.name, 3).replace(b'"kind":"raised"', b'"kind":"whispered"')
    bench.device.publish(f"sono/v1/demo/{bench.name}/alert", newer)
    bench.acked_up_to(3)
    while not bench.store.devices():
        bench.ingest.step()
    database = ["--database", f"sqlite:///{tmp_path / 'fleet.sqlite'}"]
    run = CliRunner().invoke
    lines = [msgspec.json.decode(line) for line in run(app, ["alerts", "--json", *database]).output.splitlines()]
    assert [line["sequence"] for line in lines] == [1, 2, 3]
    assert lines[0]["body"]["data"]["kind"] == "raised"
    assert "3 committed alerts" in run(app, ["alerts", *database]).output
    assert json.loads(run(app, ["tally", "--json", *database]).output) == {"committed": 3, "duplicates": 0}
    (device,) = run(app, ["devices", "--json", *database]).output.splitlines()
    assert json.loads(device)["state"]["data"]["reason"] == "connected"
    assert "1 devices" in run(app, ["devices", *database]).output


def test_the_ingest_command_ends_by_itself(broker: EmbeddedBroker, tmp_path: Path) -> None:
    where = ["--broker", f"127.0.0.1:{broker.port}", "--database", f"sqlite:///{tmp_path / 'fleet.sqlite'}"]
    outcome = CliRunner().invoke(app, ["ingest", *where, "--once-seconds", "0.2"])
    assert outcome.exit_code == 0, outcome.output
    assert "0 committed" in outcome.output
    assert CliRunner().invoke(app, ["ingest", "--broker", "nowhere"]).exit_code == 2
