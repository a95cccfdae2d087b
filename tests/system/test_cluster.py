"""More than one machine: NATS JetStream of three nodes, PostgreSQL, two ingesters, two engines, and kills all over."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sono_edge.board import Board
from sono_edge.config import AgentConfig, with_
from sono_edge.outbox import Outbox
from sono_edge.uplink import Uplink
from sono_fleet.ingest import Ingest
from sono_fleet.store import Store
from sono_models.link import Endpoint, Link
from tests.support.alerts import AT, an_alert
from tests.support.fleet_cluster import campaign
from tests.support.nats_cluster import NatsCluster
from tests.support.waiting import until

WAIT_S = 120.0
pytestmark = pytest.mark.peer


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsCluster]:
    with NatsCluster(tmp_path_factory.mktemp("nats")) as running:
        yield running


@pytest.mark.timeout(900)
def test_nothing_is_lost_or_doubled_when_nodes_programs_and_the_database_die_in_a_roll_out() -> None:
    result = campaign(40)
    assert result.kills == ["nats node 0", "engine 1", "ingester 1", "postgresql", "nats node 1"]
    assert result.reconnects >= 10, "boards were on the nodes that died"
    assert result.alerts >= 40
    assert (result.lost, result.twice, result.two_waves) == (0, 0, 0)
    assert result.good == result.devices == 40
    assert result.bad_state == "back"
    assert 1 <= result.bad_model_devices == result.back <= 4, "the first wave, and no more"
    assert "clinical:shift" in result.why
    assert result.audit == "whole"


@pytest.mark.timeout(300)
def test_an_uplink_moves_to_another_node_and_the_ingester_gets_what_it_missed(
    cluster: NatsCluster, tmp_path: Path
) -> None:
    """A real uplink and a real ingester, each of which loses its node; the ingester is away while alerts come."""
    config = with_(_config(cluster), state={"folder": str(tmp_path)})
    with (
        Store(f"sqlite:///{tmp_path / 'fleet.sqlite'}") as store,
        Outbox(config.state.outbox, "north", "board-1") as outbox,
        Uplink(config, outbox, Board(tmp_path), threading.Event()) as uplink,
    ):
        with Ingest(store, cluster.endpoint, threading.Event()) as ingest:
            _both(store.devices, uplink, ingest)
            outbox.add(an_alert(1), AT)
            _both(lambda: outbox.depth() == 0, uplink, ingest)
        at = _node_of(uplink, cluster)
        with Link(_other(cluster, at), "watcher", subscribe=["sono/v1/north/board-1/alert"], qos=0) as watcher:
            seen: list[str] = []
            cluster.kill(at)
            for track in range(2, 7):
                outbox.add(an_alert(track), AT)
            _both(lambda: _heard(watcher, seen) >= 5, uplink)
        assert _node_of(uplink, cluster) != at
        assert store.count() == 1, "nobody took them yet"
        assert outbox.depth() == 5, "and so none was forgotten"
        with Ingest(store, cluster.endpoint, threading.Event()) as ingest:
            # from its session; what a node took with it the uplink says again
            _both(lambda: store.count() == 6 and outbox.depth() == 0, uplink, ingest)
        assert store.count() == 6
        cluster.start(at)
        cluster.wait(at)


def _config(cluster: NatsCluster) -> AgentConfig:
    (host, port), *others = cluster.addresses
    also = [f"{name}:{number}" for name, number in others]
    return with_(
        AgentConfig(),
        device={"site": "north", "id": "board-1"},
        broker={"host": host, "port": port, "also": also},
        uplink={"retry_first_s": 0.2, "retry_longest_s": 1.0},
    )


def _node_of(uplink: Uplink, cluster: NatsCluster) -> int:
    now = uplink.node
    return cluster.addresses.index((now.host, now.port))


def _other(cluster: NatsCluster, at: int) -> Endpoint:
    host, port = cluster.addresses[(at + 1) % len(cluster.addresses)]
    return Endpoint(host, port)


def _both(true: Callable[[], object], *programs: Uplink | Ingest) -> None:
    until(lambda: [_stepped(program) for program in programs] and true(), seconds=WAIT_S)


def _stepped(program: Uplink | Ingest) -> bool:
    program.step()
    return True


def _heard(watcher: Link, seen: list[str]) -> int:
    seen += [message.topic for message in watcher.turn(0.0, most=100)]
    return len(seen)
