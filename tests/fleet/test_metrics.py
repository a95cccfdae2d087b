"""What Prometheus reads: right, never growing with the fleet; a database that is away is said."""

from __future__ import annotations

import re
import sqlite3
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

import httpx
import pytest
import sqlalchemy as sa
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families as parsed
from typer.testing import CliRunner

from sono_edge.embedded import EmbeddedBroker
from sono_edge.updater.refusal import Code
from sono_fleet import gauges, tables
from sono_fleet.commands import app
from sono_fleet.database import Database
from sono_fleet.gauges import FleetGauges
from sono_fleet.ingest import Ingest
from sono_fleet.metrics import CODES, EngineMetrics, IngestMetrics, serving
from sono_fleet.rollout import desk
from sono_fleet.rollout.records import Records
from sono_fleet.store import Report, Store
from sono_models import messages
from sono_models.errors import BadConfig
from sono_models.link import Endpoint, Link
from sono_models.updates import UpdateReport
from tests.support.alerts import AT, an_alert
from tests.support.bundles import ROOT
from tests.support.ports import free_port
from tests.support.postgres import postgres
from tests.support.rollouts import NEW, OLD, START, Fleet, plan_of

Series = dict[tuple[str, ...], float]


def read(registry: CollectorRegistry) -> Series:
    """Every sample: its name and its labels' values."""
    found: Series = {}
    for family in registry.collect():
        for sample in family.samples:
            found[(sample.name.removeprefix("sono_fleet_"), *sample.labels.values())] = sample.value
    return found


def gauges_of(database: Database, now: datetime = START) -> Series:
    registry = CollectorRegistry()
    registry.register(FleetGauges(database, now=lambda: now))
    return read(registry)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(f"sqlite:///{tmp_path / 'fleet.sqlite'}") as opened:
        yield opened


def say_health(store: Store, device: str, body: str) -> None:
    said = {"online": True, "bundle": "x-1", "bundle_sha256": "9" * 64, "profile": "bundle"}
    store.commit([], [Report("demo", device, "health", body, said, START)], START)


def health(depth: int) -> str:
    return messages.encode("health", messages.Health(depth, None), source="/x", event_id="x", at=START).decode()


def test_an_empty_fleet_has_all_its_numbers(store: Store) -> None:
    found = gauges_of(store.database)
    assert found["database_up",] == 1
    assert found["devices", "online"] == found["rollouts", "running"] == found["undelivered_alerts",] == 0
    assert found["certificates_ending", "7d"] == found["stopped",] == 0


def test_devices_are_counted_by_what_they_are(store: Store) -> None:
    fleet = Fleet(store, 4)
    gone = {"d1": (False, True), "d2": (False, False)}
    for name, (online, stopped) in gone.items():
        store.commit([], [Report("demo", name, "state", "{}", {"online": online, "stopped": stopped})], START)
    later = START + timedelta(minutes=16)
    fresh = Report("demo", "d3", "health", health(0), {"online": True}, later)
    store.commit([], [fresh], later)
    found = gauges_of(store.database, later)
    states = {state: found["devices", state] for state in gauges.STATES}
    assert states == {"online": 1, "stale": 1, "offline": 1, "stopped": 1}
    assert found["devices_by_bundle", "breast-0.3.0"] == 4
    assert found["devices_by_bundle", "unregistered"] == 0
    assert len(fleet.names) == 4


HOSTILE = (
    '{"data":{"outbox_depth":"many"}}',
    '{"data":{"outbox_depth":99999999999999999999999}}',
    '{"data":{"outbox_depth":-7}}',
    '{"data":{"outbox_depth":1e30}}',
    '{"data":7,"x":"\\u0000"}',
    "not json at all",
    '{"data":{"outbox_depth":[1,2]}}',
)


def check_undelivered(store: Store) -> None:
    for number, depth in enumerate((0, 5, 11, 150, 2000)):
        say_health(store, f"d{number}", health(depth))
    for number, body in enumerate(HOSTILE):
        say_health(store, f"liar{number}", body)
    found = gauges_of(store.database)
    assert found["database_up",] == 1
    assert found["undelivered_alerts",] == 2166
    assert [found["devices_undelivered_over", str(limit)] for limit in gauges.LIMITS] == [3, 2, 1]


def test_undelivered_alerts_whatever_a_device_says(store: Store) -> None:
    check_undelivered(store)


@pytest.mark.peer
def test_the_same_on_postgresql() -> None:
    with postgres() as url, Store(url) as store:
        check_undelivered(store)
        fleet = Fleet(store, 20)
        desk.create(Records(store.database), plan_of(), fleet.now)
        found = gauges_of(store.database, fleet.now)
        assert found["rollouts", "waiting"] == 1
        assert found["devices_by_bundle", "breast-0.3.0"] == 20
        assert found["certificates_ending", "30d"] == 0


def test_versions_are_the_registered_ones_and_few(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = Fleet(store, 6)
    fleet.alive({"d0": NEW})
    for number in range(50):  # a device may say what it likes
        said = {"online": True, "bundle": f"evil-{number}", "bundle_sha256": f"{number:064}"}
        store.commit([], [Report("demo", f"liar{number}", "state", "{}", said, START)], START)
    found = gauges_of(store.database)
    versions = {key[1]: value for key, value in found.items() if key[0] == "devices_by_bundle"}
    # the sha256 of one liar is that of a registered release: it runs that, as far as anybody can tell
    assert versions == {"breast-0.3.0": 6, "breast-0.3.1": 1, "other": 0, "unregistered": 49}
    monkeypatch.setattr(gauges, "VERSIONS_MOST", 1)
    assert gauges_of(store.database)["devices_by_bundle", "other"] == 1
    assert OLD.sha256 == "0" * 64


def test_certificates_that_end(store: Store) -> None:
    rows = [
        ("a", 20, None),
        ("a", 200, None),  # renewed
        ("b", 5, None),
        ("c", 5, START.isoformat()),  # revoked
        ("d", 29, None),
        ("e", -1, None),
    ]
    with store.database.writing() as connection:
        for number, (device, days, revoked_at) in enumerate(rows):
            ends_at = messages.rfc3339(START + timedelta(days=days))
            made = {"site": "demo", "issued_at": ends_at, "line": "l", "fingerprint": "f", "reason": ""}
            row = {"serial": str(number), "device": device, "ends_at": ends_at, "revoked_at": revoked_at, **made}
            connection.execute(sa.insert(tables.identities).values(**row))
    found = gauges_of(store.database)
    assert [found["certificates_ending", within] for within in ("expired", "7d", "30d")] == [1, 2, 3]


def test_open_roll_outs_and_their_members(store: Store) -> None:
    fleet = Fleet(store, 20)
    records = Records(store.database)
    desk.create(records, plan_of(10, 100), fleet.now)
    desk.say(records, "r1", "approve", fleet.now, by="bo")
    found = gauges_of(store.database, fleet.now)
    assert found["rollouts", "running"] == 1
    assert found["rollout_members", "r1", "ordered"] == 0 == found["orders_waiting",]
    with store.database.writing() as connection:
        for number, standing in enumerate(("ordered", "good", "failed:crash", "failed:silence")):
            row = {"rollout": "r1", "site": "demo", "device": f"d{number}", "wave": 0, "standing": standing, "body": ""}
            connection.execute(sa.insert(tables.members).values(**row))
    found = gauges_of(store.database, fleet.now)
    assert [found["rollout_members", "r1", one] for one in ("ordered", "good", "failed", "back")] == [1, 1, 2, 0]
    with store.database.writing() as connection:
        connection.execute(tables.rollouts.update().values(state="done"))
    assert not [key for key in gauges_of(store.database) if key[0] == "rollout_members"]


def test_what_is_open_and_what_drifts(store: Store) -> None:
    with store.database.writing() as connection:
        for kind, cleared_at in (("drift", None), ("drift", None), ("revoked", "2026"), ("revoked", None)):
            row = {"site": "demo", "device": "", "kind": kind, "words": "", "raised_at": "2026"}
            connection.execute(sa.insert(tables.fleet_alerts).values(**row, cleared_at=cleared_at))
        for device, standing in (("", "drifting"), ("a", "drifting"), ("b", "steady")):
            row = {"site": "demo", "device": device, "bundle_sha256": "", "standing": standing, "measure": "score"}
            values = {"value": 0.3, "frames": 1000, "since": "2026", "at": "2026", "body": ""}
            connection.execute(sa.insert(tables.drift_standings).values(**row, **values))
    found = gauges_of(store.database)
    assert found["open_alerts", "drift"] == 2
    assert found["open_alerts", "revoked"] == 1
    assert [found["drift", "site", "drifting"], found["drift", "device", "steady"]] == [1, 1]
    assert found["drift", "device", "watch"] == 0


def test_a_database_that_is_away_is_said_once(store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clock = iter(range(0, 1000, 10))
    registry = CollectorRegistry()
    registry.register(FleetGauges(store.database, now=lambda: START, clock=lambda: float(next(clock))))
    assert read(registry)["database_up",] == 1
    with sqlite3.connect(tmp_path / "fleet.sqlite") as connection:
        connection.execute("ALTER TABLE devices RENAME TO hidden")
    assert read(registry) == {("database_up",): 0.0}
    assert read(registry) == {("database_up",): 0.0}
    assert caplog.text.count("the database is away") == 1
    with sqlite3.connect(tmp_path / "fleet.sqlite") as connection:
        connection.execute("ALTER TABLE hidden RENAME TO devices")
    connection.close()
    assert read(registry)["devices", "online"] == 0


def test_two_who_ask_at_once_get_one_answer(store: Store) -> None:
    registry = CollectorRegistry()
    registry.register(FleetGauges(store.database, now=lambda: START, clock=lambda: 1.0))
    assert read(registry)["devices", "online"] == 0
    Fleet(store, 3)
    assert read(registry)["devices", "online"] == 0  # kept


def test_every_code_that_a_device_reports_has_a_name_here() -> None:
    slots = "".join(path.read_text("utf-8") for path in (ROOT / "edge" / "sono_edge" / "slots").glob("*.py"))
    found = set(re.findall(r'Finding\(\s*"([a-z-]+)"', slots))
    assert {"golden", "crash"} < found
    assert found | {str(code) for code in Code} <= CODES


class World:
    """A real broker, an ingest that is watched, and one connection that speaks in anybody's name."""

    def __init__(self, broker: EmbeddedBroker, store: Store) -> None:
        where = Endpoint(port=broker.port)
        self.store, self.registry = store, CollectorRegistry()
        self.counts = IngestMetrics(self.registry)
        self.ingest = Ingest(store, where, threading.Event(), watch=self.counts, client_id="ingest-metrics")
        self.counts.watches(lambda: self.ingest.is_connected, lambda: self.ingest.acks_owed)
        self.voice = Link(where, "anybody")

    def came(self) -> float:
        return sum(value for key, value in read(self.registry).items() if key[0] == "messages_total")

    def series(self) -> Series:
        return read(self.registry) | gauges_of(self.store.database)

    def say(self, *sent: tuple[str, bytes]) -> None:
        """And take it in between: the broker sends again what nobody acknowledges for two seconds."""
        until = self.came() + len(sent)
        for number, (topic, body) in enumerate(sent):
            self.voice.publish(topic, body)
            if number % 20 == 19:
                self.voice.turn(0.0)
                self.ingest.step()
        assert self.voice.flush(60.0)
        for _ in range(2000):
            if self.came() >= until:
                return
            self.ingest.step()
        raise AssertionError("not all came")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with (
        EmbeddedBroker(tmp_path / "broker") as broker,
        Store(f"sqlite:///{tmp_path / 'fleet.sqlite'}") as store,
    ):
        made = World(broker, store)
        with made.ingest, made.voice:
            made.ingest.step()
            yield made


def alert(site: str, device: str, sequence: int, kind: str = "raised") -> tuple[str, bytes]:
    values = {name: getattr(an_alert(), name) for name in messages.Alert.__struct_fields__} | {"kind": kind}
    data = messages.AlertData(**values, device=device, epoch=5, sequence=sequence)
    body = messages.encode("alert", data, source=f"/sono/{site}/{device}", event_id="x", at=AT)
    return f"sono/v1/{site}/{device}/alert", body


def refusal(site: str, device: str, sequence: int, code: str) -> tuple[str, bytes]:
    report = UpdateReport("r1", 1, "breast", "0.3.1", "a" * 64, "refused", messages.rfc3339(AT), code, "words")
    values = {name: getattr(report, name) for name in UpdateReport.__struct_fields__}
    data = messages.UpdateData(**values, device=device, epoch=5, sequence=sequence)
    body = messages.encode("update", data, source=f"/sono/{site}/{device}", event_id="x", at=AT)
    return f"sono/v1/{site}/{device}/update", body


def vitals(site: str, device: str) -> tuple[str, bytes]:
    state = messages.DeviceState(online=True, reason="x", bundle=f"evil-{device}", bundle_sha256=device.rjust(64, "0"))
    body = messages.encode("state", state, source=f"/sono/{site}/{device}", event_id="x", at=AT)
    return f"sono/v1/{site}/{device}/state", body


def test_what_an_ingest_counts(world: World) -> None:
    world.say(alert("demo", "b", 1), alert("demo", "b", 2, "cleared"), alert("demo", "b", 1))
    world.say(refusal("demo", "b", 3, "golden"), refusal("demo", "b", 4, "what is this"), vitals("demo", "b"))
    world.say(("sono/v1/demo/b/alert", b"{"), ("sono/v1/demo/b/state", b"x" * 70_000))
    unread = alert("demo", "b", 5)
    world.say((unread[0], unread[1].replace(b'"kind":"raised"', b'"kind":"whispered"')))
    found = read(world.registry)
    assert found["messages_total", "alert", "new"] == 2
    assert found["messages_total", "alert", "duplicate"] == 1
    assert found["messages_total", "alert", "unreadable"] == 1
    assert found["messages_total", "update", "new"] == 2
    assert found["messages_total", "state", "new"] == 1
    assert found["messages_total", "alert", "left-out"] == 1
    assert found["rejected_total", "not an alert event"] == 1
    assert found["rejected_total", "too large"] == 1
    assert found["alerts_total", "raised"] == found["alerts_total", "cleared"] == 1
    assert found["update_failures_total", "refused", "golden"] == 1
    assert found["update_failures_total", "refused", "other"] == 1
    assert found["broker_connected",] == 1
    assert found["batch_messages_sum",] == 7
    assert found["commit_seconds_count",] == found["batch_messages_count",]


ALPHABET = "ABCXYZabcxyz0189_-"


@pytest.mark.timeout(400)
def test_a_thousand_hostile_devices_add_no_series(world: World) -> None:
    """Names, sites, versions, codes and topics of their own: everything that a device may choose."""
    chance = Random(7)

    def everything(number: int) -> list[tuple[str, bytes]]:
        site, device = ("".join(chance.choices(ALPHABET, k=chance.randrange(1, 65))) for _ in range(2))
        topic, body = alert(site, device, 1)
        said = [(topic, body), vitals(site, device)]
        if number % 10:
            return said
        return [
            *said,
            refusal(site, device, 2, f"code-{number}"),
            (topic, body),
            (f"sono/v1/{site}/{device}/alert", body.replace(b'"kind":"raised"', b'"kind":"%d"' % number)),
            (f"sono/v1/{site}/{device}/health", f"not ours {number}".encode()),
        ]

    for number in range(10):
        world.say(*everything(number))
    before = set(world.series())
    for number in range(10, 1000, 30):
        world.say(*(one for step in range(30) for one in everything(number + step)))
    while len(world.store.devices()) < 1000:  # what came twice was counted twice
        world.ingest.step()
    after = world.series()
    assert len(world.store.devices()) == 1000
    assert after["messages_total", "alert", "new"] == 1000
    assert after["devices_by_bundle", "unregistered"] == 1000
    assert after["update_failures_total", "refused", "other"] == 100
    assert set(after) == before
    assert len(after) < 400


def test_what_an_engine_counts() -> None:
    registry = CollectorRegistry()
    counts = EngineMetrics(registry)
    counts.watches(lambda: False, lambda: {"steps": 3, "lost_races": 1, "published": 2})
    counts.looked(0.3)
    found = read(registry)
    assert found["engine_steps_total",] == 3
    assert found["broker_connected",] == 0
    assert found["engine_look_seconds_count",] == 1


def test_the_commands_serve_it(tmp_path: Path) -> None:
    """Through the real option, over HTTP, without a broker: that is said, and the rest is there."""
    database = ["--database", f"sqlite:///{tmp_path / 'fleet.sqlite'}"]
    key = tmp_path / "orders"
    assert CliRunner().invoke(app, ["rollout", "key", str(key)]).exit_code == 0
    port = free_port()
    options = ["--metrics", f"127.0.0.1:{port}", "--broker", f"127.0.0.1:{free_port()}", *database]
    found: dict[str, float] = {}

    def ask() -> None:
        for _ in range(400):
            try:
                answer = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=5.0)
            except httpx.TransportError:
                threading.Event().wait(0.05)
                continue
            for family in parsed(answer.text):
                found.update({sample.name: sample.value for sample in family.samples})
            return

    asking = threading.Thread(target=ask)
    asking.start()
    outcome = CliRunner().invoke(app, ["ingest", *options, "--once-seconds", "3"])
    asking.join()
    assert outcome.exit_code == 0, outcome.output
    assert found["sono_fleet_broker_connected"] == 0
    assert found["sono_fleet_database_up"] == 1
    assert found["process_resident_memory_bytes"] > 1e6


@pytest.mark.parametrize(("address", "words"), [("nowhere", "not HOST:PORT"), ("127.0.0.1:99999", "not HOST:PORT")])
def test_an_address_that_is_none(address: str, words: str, tmp_path: Path) -> None:
    outcome = CliRunner().invoke(
        app, ["ingest", "--metrics", address, "--database", f"sqlite:///{tmp_path / 'f.sqlite'}"]
    )
    assert outcome.exit_code == 2
    assert words in outcome.output


def test_a_port_that_is_taken(store: Store) -> None:
    with (
        serving(("127.0.0.1", (port := free_port())), store.database),
        pytest.raises(BadConfig, match=f"--metrics 127.0.0.1:{port}"),
        serving(("127.0.0.1", port), store.database),
    ):
        pass
