"""Rules and dashboard, read by a real Prometheus that scrapes a real ingest and engine; the fleet is simulated."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from sono_fleet import tables
from sono_fleet.database import Database
from sono_fleet.rollout import releases
from sono_fleet.simulate import peers
from sono_fleet.simulate.device import Log, World
from sono_fleet.simulate.run import BAD, GOOD, OLD, SITE, Wanted, _Simulation
from sono_models.envelope import make_keys
from sono_models.link import Endpoint, Link
from sono_models.messages import rfc3339
from tests.support.ports import free_port
from tests.support.prometheus import DASHBOARD, FOLDER, Prometheus, dashboard_queries, prometheus
from tests.support.waiting import until

pytestmark = pytest.mark.peer
DEVICES = 24
INGEST, ENGINE = "127.0.0.1:9108", "127.0.0.1:9109"


def test_promtool_takes_configuration_and_rules_and_the_rules_say_what_they_should() -> None:
    for command in (("check", "config", "prometheus.yml"), ("test", "rules", "rules_test.yml")):
        done = subprocess.run(["promtool", *command], cwd=FOLDER, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_test_of_its_own() -> None:
    rules = (FOLDER / "rules.yml").read_text("utf-8").split("- alert: ")[1:]
    tests = (FOLDER / "rules_test.yml").read_text("utf-8")
    names = [rule.splitlines()[0] for rule in rules]
    assert len(names) >= 10
    for name in names:
        assert f"alertname: {name}\n        exp_alerts:\n" in tests, name


def test_grafanas_own_types_take_the_dashboard_whole() -> None:
    """Nothing in it that they do not know, and nothing that they lose."""
    encoder: Any = pytest.importorskip("grafana_foundation_sdk.cog.encoder", reason="the extra `peers`")
    from grafana_foundation_sdk.cog import plugins  # noqa: PLC0415
    from grafana_foundation_sdk.models.dashboard import Dashboard  # noqa: PLC0415

    plugins.register_default_plugins()

    def through(tree: Any) -> Any:
        return json.loads(encoder.JSONEncoder(sort_keys=True).encode(Dashboard.from_json(tree)))

    there = json.loads(DASHBOARD.read_text("utf-8"))
    assert not lost(there, through(there))
    there["panels"][1]["unheard_of"] = 1
    assert lost(there, through(there)) == ["/panels/1/unheard_of"]


def lost(before: Any, after: Any, path: str = "") -> list[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        gone = [f"{path}/{key}" for key in before if key not in after]
        both = [key for key in before if key in after]
        return gone + [found for key in both for found in lost(before[key], after[key], f"{path}/{key}")]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        pairs = enumerate(zip(before, after, strict=True))
        return [found for number, (one, other) in pairs for found in lost(one, other, f"{path}/{number}")]
    return [] if before == after else [path]


@dataclass(frozen=True, slots=True)
class Watched:
    """A fleet that has lived through a good and a bad roll-out, and the Prometheus that watched it."""

    prometheus: Prometheus
    begin: float
    end: float
    devices: list[str]
    pages: list[str]

    def series(self, query: str) -> list[dict[str, Any]]:
        return self.prometheus.series(query, self.begin, self.end)


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("fleet")
    ports = {INGEST: free_port(), ENGINE: free_port()}
    with ExitStack() as stack:
        where = stack.enter_context(peers.broker(folder))
        url = f"sqlite:///{folder / 'fleet.sqlite'}"
        database = stack.enter_context(Database(url))
        keys = make_keys()
        (folder / "orders").write_bytes(keys.private)
        (folder / "orders.pub").write_bytes(keys.public)
        for release in (OLD, GOOD, BAD):
            releases.add(database, release, datetime.now(UTC), by="test")
        trouble_of_all_kinds(database)
        programs = []
        for name, address, rest in (
            ("ingest", INGEST, ()),
            ("engine", ENGINE, ("--key", str(folder / "orders"), "--every", "0.25")),
        ):
            at = ("--broker", f"{where[0]}:{where[1]}", "--database", url, "--metrics", f"127.0.0.1:{ports[address]}")
            command = (*peers.SONO, "fleet", name, *at, *rest)
            programs.append(stack.enter_context(peers.child(name, *command, folder=folder)))
        watching = stack.enter_context(prometheus(folder / "prometheus", ports))
        until(lambda: is_read(watching, "sum(up)", "2"), seconds=60.0)
        begin = time.time()
        world = World(
            SITE, folder / "orders.pub", (f"{OLD.name}-{OLD.version}", OLD.sha256), {BAD.sha256: "crash"}, Log()
        )
        wanted = Wanted(DEVICES, where, "crash", waves=(5.0, 100.0), soak_s=6.0, spread_s=1.0, longest_s=280.0)
        asyncio.run(_Simulation(wanted, where, database, world, programs).run())
        with Link(Endpoint(*where), "stranger") as stranger:
            for name in ("d00000", "intruder"):
                stranger.publish(f"sono/v1/{SITE}/{name}/alert", b"what is this")
            assert stranger.flush(10.0)
        until(lambda: is_read(watching, "sum(sono_fleet_rejected_total) > bool 1", "1"), seconds=60.0)
        until(lambda: is_read(watching, "count(rate(sono_fleet_rejected_total[5m])) > bool 0", "1"), seconds=60.0)
        # the fleet's figures are kept for five seconds
        until(lambda: is_read(watching, 'max(sono_fleet_rollouts{state="back"})', "1"), seconds=60.0)
        pages = [httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=10.0).text for port in ports.values()]
        end = time.time() + 2.0  # a range is read in whole seconds: what came in the last one belongs to it
        yield Watched(watching, begin, end, [f"d{number:05}" for number in range(DEVICES)], pages)


def is_read(watching: Prometheus, query: str, value: str) -> bool:
    found = watching.get("query", query=query)["result"]
    return bool(found) and found[0]["value"][1] == value


def trouble_of_all_kinds(database: Database) -> None:
    """What a simulated fleet does not do by itself: a certificate that ends, a site that drifts."""
    now = datetime.now(UTC)
    soon = rfc3339(now + timedelta(days=3))
    with database.writing() as connection:
        row = {"serial": "1", "site": SITE, "device": "d00000", "line": "1", "fingerprint": "f", "reason": ""}
        connection.execute(sa.insert(tables.identities).values(**row, issued_at=soon, ends_at=soon))
        place = {
            "site": "elsewhere",
            "device": "",
            "bundle_sha256": OLD.sha256,
            "standing": "drifting",
            "measure": "score",
        }
        values = {"value": 0.4, "frames": 9000, "since": soon, "at": soon, "body": "{}"}
        connection.execute(sa.insert(tables.drift_standings).values(**place, **values))
        alert = {"site": SITE, "device": "", "kind": "drift", "words": "it drifts", "raised_at": soon}
        connection.execute(sa.insert(tables.fleet_alerts).values(**alert))


@pytest.mark.timeout(420)
@pytest.mark.parametrize("query", dashboard_queries())
def test_every_panel_shows_something(watched: Watched, query: str) -> None:
    assert watched.series(query)


@pytest.mark.timeout(420)
def test_every_rule_works_and_finds_what_it_asks_for(watched: Watched) -> None:
    """What an alert rule asks for is there; that it fires when it should, promtool's tests say."""
    groups = watched.prometheus.get("rules")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) >= 20
    for rule in rules:
        assert rule["health"] == "ok", rule
        assert not rule.get("lastError"), rule
        if rule["type"] == "recording":
            assert watched.series(rule["name"]), rule["name"]
        else:
            watched.series(rule["query"])  # it parses
            for name in {word for word in names_in(rule["query"]) if word.startswith(("sono", "up"))}:
                assert watched.series(name), f"{rule['name']} asks for {name}"
    firing = {rule["name"] for rule in rules if rule["type"] == "alerting" and rule["state"] in {"firing", "pending"}}
    assert {"SonoDrift", "SonoCertificatesEnd"} <= firing
    assert not {"SonoIngestDown", "SonoEngineDown", "SonoBrokerLost", "SonoDatabaseAway"} & firing


def names_in(query: str) -> list[str]:
    return re.findall(r"\b(?:sono:[a-z0-9_:]+|sono_fleet_[a-z_]+|up)\b(?=[{\[ )]|$)", query)


@pytest.mark.timeout(420)
def test_what_it_shows_is_what_happened(watched: Watched) -> None:
    def most(query: str) -> float:
        return max(float(value) for one in watched.series(query) for _at, value in one["values"])

    assert most('sum(sono:devices:count{state="online"})') == DEVICES
    assert most(f'sono_fleet_devices_by_bundle{{bundle="{GOOD.name}-{GOOD.version}"}}') == DEVICES
    assert 1 <= most('sono_fleet_rollout_members{rollout="good"}') <= DEVICES
    assert most('sono_fleet_rollouts{state="back"}') == 1
    assert most('sum(sono_fleet_update_failures_total{phase="rolled-back", code="crash"})') >= 1
    assert most("sum(sono_fleet_engine_published_total)") >= DEVICES
    assert most("sum(sono_fleet_alerts_total)") > 0


@pytest.mark.timeout(420)
def test_no_series_knows_a_device(watched: Watched) -> None:
    everything = watched.prometheus.get("series", **{"match[]": '{job=~"sono-.*"}', "start": str(watched.begin)})
    assert len(everything) > 100
    for series in everything:
        assert not {"device", "site", "id"} & set(series)
        assert not {SITE, "intruder", *watched.devices} & set(series.values())
    for page in watched.pages:
        assert "d000" not in page
        assert "intruder" not in page
