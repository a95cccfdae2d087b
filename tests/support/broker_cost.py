"""What so many devices cost a broker: `python -m tests.support.broker_cost --devices 300 --nodes 3 --qos 1`.

The figures of docs/scale.md. Devices connect, subscribe to two topics of their own and then say nothing. Devices
ask for QoS 0; for a subscription at QoS 1 NATS keeps a consumer, on as many nodes as its streams have.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import ssl
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from sono_fleet.simulate import packets
from sono_fleet.simulate.client import Client
from tests.support.authority import Authority
from tests.support.brokers import Mosquitto
from tests.support.nats_cluster import NatsCluster

AT_ONCE = 25
SETTLE_S = 5.0


def main() -> None:
    asked = argparse.ArgumentParser()
    asked.add_argument("--devices", type=int, default=300)
    asked.add_argument("--nodes", type=int, default=3, help="of NATS; 0: one mosquitto")
    asked.add_argument("--qos", type=int, default=0, help="of what devices subscribe to")
    asked.add_argument("--messages", type=int, default=0, help="that each device then publishes at QoS 1")
    asked.add_argument("--sessions", type=int, default=1, help="persistent ones that take all of them")
    asked.add_argument("--tls", action="store_true", help="with client certificates, on NATS")
    wanted = asked.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted.devices + 500,) * 2)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if wanted.nodes:
            authority = Authority(folder / "tls") if wanted.tls else None
            with NatsCluster(folder, wanted.nodes, authority) as cluster:
                pids = [cluster.pid(number) for number in range(wanted.nodes)]
                said = asyncio.run(_cost(cluster.addresses, pids, wanted, cluster.client_tls))
        else:
            with Mosquitto(folder) as broker:
                assert broker._child is not None
                said = asyncio.run(_cost([(broker.host, broker.port)], [broker._child.pid], wanted))
    print(json.dumps({**vars(wanted), **said}))  # noqa: T201


async def _cost(
    addresses: list[tuple[str, int]],
    pids: list[int],
    wanted: argparse.Namespace,
    tls: ssl.SSLContext | None = None,
) -> dict[str, float]:
    count = wanted.devices
    nodes = [psutil.Process(pid) for pid in pids]
    before_kb, before_s = _memory_kb(nodes), _cpu_s(nodes)
    began = time.monotonic()
    clients: list[_Client] = []
    for begin in range(0, count, AT_ONCE):
        batch = range(begin, min(begin + AT_ONCE, count))
        clients += await asyncio.gather(*(_join(number, addresses, wanted.qos, tls) for number in batch))
    connected_s = time.monotonic() - began
    connect_cpu_s = _cpu_s(nodes) - before_s
    await asyncio.sleep(SETTLE_S)
    idle_from, cpu_from = time.monotonic(), _cpu_s(nodes)
    await asyncio.sleep(SETTLE_S)
    idle_share = (_cpu_s(nodes) - cpu_from) / (time.monotonic() - idle_from)
    grown_kb = _memory_kb(nodes) - before_kb
    a_message_ms = await _messages(clients, nodes, addresses, wanted, tls) if wanted.messages else 0.0
    for client in clients:
        client.leave()
    return {
        "connect_s": round(connected_s, 1),
        "connect_cpu_ms_a_device": round(connect_cpu_s / count * 1000, 2),
        "kb_a_device_all_nodes": round(grown_kb / count, 1),
        "idle_cores": round(idle_share, 3),
        "cpu_ms_a_message_all_nodes": round(a_message_ms, 3),
    }


async def _messages(
    clients: list[_Client],
    nodes: list[psutil.Process],
    addresses: list[tuple[str, int]],
    wanted: argparse.Namespace,
    tls: ssl.SSLContext | None,
) -> float:
    """Processor time of all nodes for a message: published, stored, acknowledged, delivered to each session."""
    takers = [await _taker(number, addresses, tls) for number in range(wanted.sessions)]
    before_s, total = _cpu_s(nodes), wanted.messages * len(clients)
    for turn in range(wanted.messages):
        for number, client in enumerate(clients):
            client.publish(f"sono/v1/cost/d{number:06}/health", b"x" * 780)
        sent = (turn + 1) * len(clients)
        await _until(lambda sent=sent: sum(client.acked for client in clients) >= sent)  # type: ignore[misc]
    await _until(lambda: all(taker.heard >= total for taker in takers))
    cost_s = _cpu_s(nodes) - before_s
    for taker in takers:
        taker.leave()
    return cost_s / total * 1000


async def _until(true: Callable[[], bool]) -> None:
    while not true():  # noqa: ASYNC110  (the clients set no event)
        await asyncio.sleep(0.02)


async def _taker(number: int, addresses: list[tuple[str, int]], tls: ssl.SSLContext | None) -> _Client:
    greeting = bytearray(packets.connect(f"taker-{number}", 600, ("sono/v1/cost/taker/state", b"{}")))
    greeting[9] &= 0b1111_1101  # 3.1.2.4: a session that stays
    host, port = addresses[number % len(addresses)]
    _, taker = await asyncio.get_running_loop().create_connection(
        lambda: _Client(bytes(greeting), ["sono/v1/cost/+/health"], 1), host, port, ssl=tls
    )
    await asyncio.wait_for(taker.ready, 60)
    return taker


async def _join(number: int, addresses: list[tuple[str, int]], qos: int, tls: ssl.SSLContext | None) -> _Client:
    host, port = addresses[number % len(addresses)]
    name = f"d{number:06}"
    greeting = packets.connect(f"cost-{name}", 600, (f"sono/v1/cost/{name}/state", b"{}"))
    topics = [f"sono/v1/cost/{name}/{topic}" for topic in ("ack", "desired")]
    loop = asyncio.get_running_loop()
    _, client = await loop.create_connection(lambda: _Client(greeting, topics, qos), host, port, ssl=tls)
    await asyncio.wait_for(client.ready, 60)
    return client


class _Client(Client):
    def __init__(self, greeting: bytes, topics: list[str], qos: int) -> None:
        super().__init__(greeting, topics, self._note)
        self._qos, self.acked, self.heard = qos, 0, 0

    def _note(self, _message: packets.Publish) -> None:
        self.heard += 1

    def _take(self, packet: packets.Packet) -> None:
        self.acked += packet.kind == packets.PUBACK
        super()._take(packet)

    def _write(self, data: bytes) -> None:
        if data[:1] == b"\x82" and self._qos:
            for name in (b"/ack", b"/desired", b"/health"):
                data = data.replace(name + b"\x00", name + b"\x01")
        super()._write(data)


def _memory_kb(nodes: list[psutil.Process]) -> float:
    return sum(node.memory_info().rss for node in nodes) / 1024


def _cpu_s(nodes: list[psutil.Process]) -> float:
    return sum(node.cpu_times().user + node.cpu_times().system for node in nodes)


if __name__ == "__main__":
    main()
