"""What so many devices cost a broker: `python -m tests.support.broker_cost --devices 300 --nodes 3 --qos 1`.

The figures of docs/scale.md. Devices connect, subscribe to two topics of their own and then say nothing. Devices
ask for QoS 0; for a subscription at QoS 1 NATS keeps a consumer, on as many nodes as its streams have.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import tempfile
import time
from pathlib import Path

import psutil

from sono_fleet.simulate import packets
from sono_fleet.simulate.client import Client
from tests.support.brokers import Mosquitto
from tests.support.nats_cluster import NatsCluster

AT_ONCE = 25
SETTLE_S = 5.0


def main() -> None:
    asked = argparse.ArgumentParser()
    asked.add_argument("--devices", type=int, default=300)
    asked.add_argument("--nodes", type=int, default=3, help="of NATS; 0: one mosquitto")
    asked.add_argument("--qos", type=int, default=0, help="of what devices subscribe to")
    wanted = asked.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted.devices + 500,) * 2)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if wanted.nodes:
            with NatsCluster(folder, wanted.nodes) as cluster:
                pids = [cluster.pid(number) for number in range(wanted.nodes)]
                said = asyncio.run(_cost(cluster.addresses, pids, wanted.devices, wanted.qos))
        else:
            with Mosquitto(folder) as broker:
                assert broker._child is not None
                said = asyncio.run(_cost([(broker.host, broker.port)], [broker._child.pid], wanted.devices, wanted.qos))
    print(json.dumps({"nodes": wanted.nodes, "devices": wanted.devices, "qos": wanted.qos, **said}))  # noqa: T201


async def _cost(addresses: list[tuple[str, int]], pids: list[int], count: int, qos: int) -> dict[str, float]:
    nodes = [psutil.Process(pid) for pid in pids]
    before_kb, before_s = _memory_kb(nodes), _cpu_s(nodes)
    began = time.monotonic()
    clients: list[Client] = []
    for begin in range(0, count, AT_ONCE):
        batch = range(begin, min(begin + AT_ONCE, count))
        clients += await asyncio.gather(*(_join(number, *addresses[number % len(addresses)], qos) for number in batch))
    connected_s = time.monotonic() - began
    connect_cpu_s = _cpu_s(nodes) - before_s
    await asyncio.sleep(SETTLE_S)
    idle_from, cpu_from = time.monotonic(), _cpu_s(nodes)
    await asyncio.sleep(SETTLE_S)
    idle_share = (_cpu_s(nodes) - cpu_from) / (time.monotonic() - idle_from)
    grown_kb = _memory_kb(nodes) - before_kb
    for client in clients:
        client.leave()
    return {
        "connect_s": round(connected_s, 1),
        "connect_cpu_ms_a_device": round(connect_cpu_s / count * 1000, 2),
        "kb_a_device_all_nodes": round(grown_kb / count, 1),
        "idle_cores": round(idle_share, 3),
    }


async def _join(number: int, host: str, port: int, qos: int) -> Client:
    name = f"d{number:06}"
    greeting = packets.connect(f"cost-{name}", 600, (f"sono/v1/cost/{name}/state", b"{}"))
    topics = [f"sono/v1/cost/{name}/{topic}" for topic in ("ack", "desired")]
    loop = asyncio.get_running_loop()
    _, client = await loop.create_connection(lambda: _Client(greeting, topics, lambda _message: None, qos), host, port)
    await asyncio.wait_for(client.ready, 60)
    return client


class _Client(Client):
    def __init__(self, greeting: bytes, topics: list[str], heard: object, qos: int) -> None:
        super().__init__(greeting, topics, heard)  # type: ignore[arg-type]
        self._qos = qos

    def _write(self, data: bytes) -> None:
        if data[:1] == b"\x82" and self._qos:
            data = data.replace(b"/ack\x00", b"/ack\x01").replace(b"/desired\x00", b"/desired\x01")
        super()._write(data)


def _memory_kb(nodes: list[psutil.Process]) -> float:
    return sum(node.memory_info().rss for node in nodes) / 1024


def _cpu_s(nodes: list[psutil.Process]) -> float:
    return sum(node.cpu_times().user + node.cpu_times().system for node in nodes)


if __name__ == "__main__":
    main()
