"""The uplink against a real broker, with the test as the fleet."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import sono_models.link as link_module
from sono_edge.board import Board
from sono_edge.config import AgentConfig, with_
from sono_edge.embedded import EmbeddedBroker
from sono_edge.outbox import Outbox
from sono_edge.slots.folder import Slots
from sono_edge.slots.records import Slot
from sono_edge.uplink import Uplink, endpoint
from sono_models import messages
from sono_models.desired import opened
from sono_models.errors import BadConfig, BrokerLost
from sono_models.link import Endpoint, Link
from tests.support.alerts import AT, an_alert, some_vitals
from tests.support.orders import OTHERS, a_document, a_report, an_event, public_key


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(tmp_path_factory.mktemp("broker")) as running:
        yield running


class Clock:
    """Monotonic time that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Bench:
    """An uplink, its outbox, and the fleet's end of the link."""

    def __init__(self, config: AgentConfig, folder: Path, fleet: Link) -> None:
        self.clock = Clock()
        self.site, self.device = config.device.site, config.device.id
        self.outbox = Outbox(folder / "outbox.sqlite", self.site, self.device)
        self.fleet = fleet
        self.arrived: dict[str, list[Any]] = {topic: [] for topic in messages.DATA_TYPES}
        self.uplink = Uplink(
            config, self.outbox, Board(folder), threading.Event(), clock=self.clock, chance=lambda: 0.5
        )

    def came(self, topic: str, count: int = 1) -> list[Any]:
        """The next events on a topic, while the uplink turns; those on others wait for their turn."""
        wanted = self.arrived[topic]
        for _ in range(400):
            for message in self.fleet.turn(0.02, most=50):
                for kind in messages.DATA_TYPES:
                    if message.topic.endswith(kind):
                        self.arrived[kind].append(messages.decode(kind, message.body).data)
            if len(wanted) >= count:
                taken, wanted[:] = wanted[:count], wanted[count:]
                return taken
            self.uplink.step()
        raise AssertionError(f"{len(wanted)} of {count} {topic} came")

    def ack(self, sequence: int, epoch: int | None = None) -> None:
        of = self.outbox.life()[0] if epoch is None else epoch
        body = messages.encode("ack", messages.Ack(of, sequence), source="/sono/fleet", event_id="a", at=AT)
        self.fleet.publish(messages.topic_of(self.site, self.device, "ack"), body)

    def until_depth(self, depth: int) -> None:
        for _ in range(400):
            if self.outbox.depth() == depth:
                return
            self.fleet.turn(0.0)
            self.uplink.step()
        raise AssertionError(f"the depth stays {self.outbox.depth()}")


@contextmanager
def bench(broker: EmbeddedBroker, folder: Path, device: str, key: str = "", **uplink: Any) -> Iterator[Bench]:
    config = with_(
        AgentConfig(),
        device={"id": device},
        broker={"port": broker.port},
        state={"folder": str(folder)},
        update={"desired_key": key},
        uplink=uplink,
    )
    with Link(Endpoint(port=broker.port), f"fleet-{device}", subscribe=[f"sono/v1/demo/{device}/+"]) as fleet:
        made = Bench(config, folder, fleet)
        with made.outbox, made.uplink:
            yield made


def test_it_is_born_and_alerts_go_until_the_fleet_has_them(broker: EmbeddedBroker, tmp_path: Path) -> None:
    with bench(broker, tmp_path, "b-life") as at:
        at.outbox.put_vitals(some_vitals())
        (state,) = at.came("state")
        assert (state.online, state.reason, state.bundle) == (True, "connected", "breast-0.1.0")
        (health,) = at.came("health")
        assert health.vitals == some_vitals()
        assert health.outbox_depth == 0
        for track in range(3):
            at.outbox.add(an_alert(track), AT)
        came = at.came("alert", 3)
        assert [alert.sequence for alert in came] == [1, 2, 3]
        assert at.outbox.depth() == 3
        at.ack(2)
        at.until_depth(1)
        at.ack(3, epoch=12345)
        at.ack(3)
        at.until_depth(0)


def test_no_more_than_the_window_is_in_flight(broker: EmbeddedBroker, tmp_path: Path) -> None:
    with bench(broker, tmp_path, "b-window", window=4) as at:
        for track in range(10):
            at.outbox.add(an_alert(track), AT)
        assert [alert.sequence for alert in at.came("alert", 4)] == [1, 2, 3, 4]
        at.ack(3)
        assert [alert.sequence for alert in at.came("alert", 3)] == [5, 6, 7]


def test_a_desired_document_reaches_the_disk_and_reports_come_back(broker: EmbeddedBroker, tmp_path: Path) -> None:
    key = str(public_key(tmp_path))
    with Link(Endpoint(port=broker.port), "fleet-early") as early:
        early.publish("sono/v1/demo/b-wanted/desired", an_event(a_document(3, "b-wanted")), retain=True)
        assert early.flush(10.0)
    file = tmp_path / "desired.json"
    with bench(broker, tmp_path, "b-wanted", key) as at:
        at.came("state")
        for _ in range(400):
            if file.exists():
                break
            at.uplink.step()
        kept = file.read_bytes()
        assert opened(kept, Path(key), site="demo", device="b-wanted").serial == 3
        at.outbox.report(a_report("downloading", 3))
        (report,) = at.came("update")
        assert (report.phase, report.serial, report.sequence) == ("downloading", 3, 1)
        at.ack(1)
        at.until_depth(0)


def test_a_forged_document_is_refused_aloud_and_once(
    broker: EmbeddedBroker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with bench(broker, tmp_path, "b-forged", str(public_key(tmp_path))) as at:
        at.came("state")
        for _ in range(3):
            at.fleet.publish("sono/v1/demo/b-forged/desired", an_event(a_document(3, "b-forged"), OTHERS))
        (report,) = at.came("update")
        assert (report.phase, report.code) == ("refused", "desired-refused")
        assert "not signed by desired.pub" in report.reason
        at.ack(1)
        at.until_depth(0)
        for lie in range(20):
            at.fleet.publish("sono/v1/demo/b-forged/desired", an_event(a_document(9, f"other-{lie}")))
        assert at.fleet.flush(10.0)
        said = at.came("update", 4)
        assert all(report.phase == "refused" for report in said)
        assert at.outbox.life()[1] == 5
    assert not (tmp_path / "desired.json").exists()
    assert caplog.text.count("not signed by desired.pub") == 1


def test_a_silent_fleet_is_asked_with_the_oldest(broker: EmbeddedBroker, tmp_path: Path) -> None:
    with bench(broker, tmp_path, "b-silent") as at:
        for track in range(3):
            at.outbox.add(an_alert(track), AT)
        at.came("alert", 3)
        at.clock.now += 1.5
        assert [alert.sequence for alert in at.came("alert")] == [1]
        at.ack(1)
        assert [alert.sequence for alert in at.came("alert", 2)] == [2, 3]


def test_a_fleet_that_lost_its_database_gets_a_new_epoch(broker: EmbeddedBroker, tmp_path: Path) -> None:
    with bench(broker, tmp_path, "b-forgotten") as at:
        for track in range(3):
            at.outbox.add(an_alert(track), AT)
        before, _ = at.outbox.life()
        at.came("alert", 3)
        at.ack(2)
        at.until_depth(1)
        at.ack(0)  # late or wrong: not asked for
        at.clock.now += 1.5
        at.came("alert")
        assert at.outbox.life()[0] == before
        at.ack(0)
        (again,) = at.came("alert")
        assert (again.track, again.sequence) == (2, 1)
        assert again.epoch == at.outbox.life()[0] != before


def test_a_changed_bundle_is_a_new_state(broker: EmbeddedBroker, tmp_path: Path) -> None:
    with bench(broker, tmp_path, "b-bundle") as at:
        at.came("state")
        at.outbox.put_vitals(some_vitals())
        at.clock.now += 31.0
        (state,) = at.came("state")
        assert (state.reason, state.bundle) == ("bundle changed", "breast-0.1.0")


def test_its_slot_and_why_it_judges_are_told(broker: EmbeddedBroker, tmp_path: Path) -> None:
    slots = Slots(tmp_path / "slots")
    slots.settle_on(Slot("breast", "0.1.0", "0" * 64, "good", "x.tar", boot_reason="rolled back from 0.1.1: hang"))
    with bench(broker, tmp_path, "b-slot") as at:
        at.uplink._slots = slots
        at.outbox.put_vitals(some_vitals())
        (state,) = at.came("state")
        assert (state.slot, state.boot_reason) == ("good", "rolled back from 0.1.1: hang")
        slots.settle_on(Slot("breast", "0.1.0", "0" * 64, "shipped"))
        at.clock.now += 31.0
        (state,) = at.came("state")
        assert (state.reason, state.slot, state.boot_reason) == ("slot changed", "shipped", "")


def retained_state(broker: EmbeddedBroker, device: str) -> Any:
    topic = f"sono/v1/demo/{device}/state"
    with Link(Endpoint(port=broker.port), f"look-{device}", subscribe=[topic]) as link:
        for _ in range(100):
            for message in link.turn(0.1):
                return messages.decode("state", message.body).data
    raise AssertionError("no retained state")


def test_a_clean_end_says_stopped(broker: EmbeddedBroker, tmp_path: Path) -> None:
    with bench(broker, tmp_path, "b-stop") as at:
        at.came("state")
    state = retained_state(broker, "b-stop")
    assert (state.online, state.reason) == (False, "stopped")


def test_a_dead_link_leaves_the_will_and_is_made_anew(
    broker: EmbeddedBroker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with bench(broker, tmp_path, "b-will") as at:
        at.came("state")
        at.outbox.add(an_alert(), AT)
        at.came("alert")
        link = at.uplink._link
        assert link is not None
        stream = link._client.socket()
        assert isinstance(stream, socket.socket)
        stream.shutdown(socket.SHUT_RDWR)
        while at.uplink._link is not None:
            at.uplink.step()
        (state,) = at.came("state")
        assert (state.online, state.reason) == (False, "lost")
        at.clock.now += 2.0
        (state,) = at.came("state")
        assert state.online
        assert [alert.sequence for alert in at.came("alert")] == [1]
    assert caplog.text.count("no broker") == 1


def test_without_a_broker_it_warns_once_and_alerts_wait(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        config = with_(AgentConfig(), broker={"port": closed.getsockname()[1]})
        clock, stop = Clock(), threading.Event()
        outbox = Outbox(tmp_path / "outbox.sqlite", "demo", "board-1")
        with outbox, Uplink(config, outbox, Board(tmp_path), stop, clock=clock) as uplink:
            outbox.add(an_alert(), AT)
            for _ in range(5):
                uplink.step()
                clock.now += 60.0
            assert outbox.depth() == 1
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "alerts wait in the outbox" in warnings[0].message


def test_rubbish_on_the_ack_topic_is_ignored(broker: EmbeddedBroker, tmp_path: Path) -> None:
    with bench(broker, tmp_path, "b-rubbish") as at:
        at.outbox.add(an_alert(), AT)
        at.came("alert")
        for body in (b"", b"{}", b"\xff\xff", b" " * 5000, b'{"data": {"epoch": 1, "sequence": 1}}'):
            at.fleet.publish("sono/v1/demo/b-rubbish/ack", body)
        assert at.fleet.flush(5.0)
        at.ack(1)
        at.until_depth(0)


def test_a_server_that_does_not_speak_mqtt_is_no_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "ANSWER_S", 0.2)
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        where = Endpoint(port=deaf.getsockname()[1])
        with pytest.raises(BrokerLost, match="no answer to the handshake"), Link(where, "x"):
            pass


def test_a_broker_that_stops_acknowledging_is_lost(broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "SILENCES", 0)
    with Link(Endpoint(port=broker.port), "silence") as link:
        link.publish("sono/v1/a/b/alert", b"x")
        link._client.on_publish = None
        with pytest.raises(BrokerLost, match="does not acknowledge"):
            turn_often(link)


def turn_often(link: Link) -> None:
    for _ in range(50):
        link.turn(0.1)


def test_certificates_that_are_not_there_are_a_mistake_in_the_settings() -> None:
    config = with_(AgentConfig(), broker={"tls_ca": "/nowhere/ca.pem"})
    with pytest.raises(BadConfig, match=r"Mend broker\.tls_ca"), Link(endpoint(config.broker), "x"):
        pass
