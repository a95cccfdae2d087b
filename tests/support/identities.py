"""A fleet with an authority of its own, its boards and services, and a real broker that is configured from them."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any, Self

from sono_fleet.database import Database
from sono_fleet.identity import applying, brokers
from sono_fleet.identity.authority import CERTIFICATE, REVOKED, Authority, Issued, a_key, pem_of
from sono_fleet.identity.lists import checked_list
from sono_fleet.identity.names import Who, a_device, a_service
from sono_fleet.identity.registry import Registry
from sono_fleet.identity.rights import holders
from sono_models.errors import BrokerLost
from sono_models.link import Endpoint, Link, Message
from tests.support.brokers import mosquitto
from tests.support.ports import free_port
from tests.support.waiting import until

HOST = "127.0.0.1"


def now() -> datetime:
    return datetime.now(UTC)


class Fleet:
    """An authority twenty days old, a database, and everybody's files. A context manager."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority.made(folder / "ca", "a test's", None, now() - timedelta(days=20))
        self.url = f"sqlite:///{folder / 'fleet.sqlite'}"
        self.database = Database(self.url)
        self.registry = Registry(self.database, now)

    def __enter__(self) -> Self:
        self.database.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self.database.__exit__(*exc)

    def device(self, device: str, site: str = "ward", **terms: Any) -> Path:
        """Its file, with certificate and key."""
        who, key = a_device(site, device), a_key()
        code = self.registry.code(who, 1, "a test")
        issued = self.registry.enrol(code, who, key.public_key(), self.authority, terms.get("days", 30))
        return self.write(f"{who.common_name}-{issued.serial[:8]}", issued, pem_of(key))

    def service(self, kind: str) -> Path:
        who, key = a_service(kind), a_key()
        issued = self.registry.serve(who, key.public_key(), self.authority, 30, "a test")
        return self.write(who.common_name, issued, pem_of(key))

    def ended(self, who: Who) -> Path:
        """A certificate that has ended; nobody recorded it."""
        key = a_key()
        issued = self.authority.client(who, key.public_key(), 1, now() - timedelta(days=10))
        return self.write(f"ended-{who.common_name}", issued, pem_of(key))

    def server(self, name: str = HOST) -> Path:
        key = a_key()
        issued = self.authority.server([name, "localhost"], key.public_key(), 30, now())
        return self.write(f"server-{name}", issued, pem_of(key))

    def write(self, name: str, issued: Issued, key: bytes) -> Path:
        path = self.folder / f"{name}.pem"
        path.write_bytes(issued.pem + key)
        path.chmod(0o600)
        return path

    def revoke(self, who: Who) -> None:
        self.registry.revoke(who, "", "stolen", "a test")
        self.authority.revoke(self.registry.revoked(), now())

    @property
    def ca(self) -> Path:
        return self.folder / "ca" / CERTIFICATE


class SecuredBroker:
    """A real broker with the files that `sono fleet broker-config` writes. A context manager."""

    def __init__(self, kind: brokers.Kind, fleet: Fleet) -> None:
        self.kind, self.fleet, self.port = kind, fleet, free_port()
        self._folder = fleet.folder / kind
        self._child: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None
        server = fleet.server()
        self.site = brokers.Site(
            folder=self._folder,
            data=self._folder / "data",
            authority=self._folder / CERTIFICATE,
            revoked=self._folder / REVOKED,
            certificate=server,
            key=server,
            host=HOST,
            port=self.port,
            inside_port=free_port(),
            user=fleet.folder.owner(),
        )

    def __enter__(self) -> Self:
        self.configure()
        (self._folder / "data").mkdir(exist_ok=True)
        self._log = (self._folder / "broker.log").open("ab")
        binary = mosquitto() if self.kind == "mosquitto" else str(Path(sys.executable).parent / "nats-server")
        assert binary is not None
        command = [binary, "-c", str(self._folder / f"{self.kind}.conf")]
        self._child = subprocess.Popen(command, stdout=self._log, stderr=self._log)
        until(self._answers)
        until((self._folder / brokers.PID).exists)
        return self

    def __exit__(self, *exc: object) -> None:
        if self._child is not None:
            self._child.terminate()
            self._child.wait(10)
        if self._log is not None:
            self._log.close()

    def configure(self) -> dict[str, str | bytes]:
        holding = holders(self.fleet.registry.all(), now())
        files: dict[str, str | bytes] = {
            **checked_list(self.fleet.folder / "ca", now()),
            **brokers.made(self.kind, self.site, holding),
        }
        applying.write(self._folder, files)
        return files

    def apply(self) -> None:
        applying.apply(self._folder, self.configure(), self._folder / brokers.PID)

    def endpoint(self, own: Path | None, **values: Any) -> Endpoint:
        path = "" if own is None else str(own)
        return Endpoint(HOST, self.port, tls_ca=str(self.fleet.ca), tls_cert=path, tls_key=path, **values)

    @contextmanager
    def link(self, own: Path, name: str, *hears: str, **values: Any) -> Iterator[Link]:
        with Link(self.endpoint(own), name, subscribe=hears, **values) as up:
            yield up

    def refuses(self, own: Path | None, name: str = "x", **values: Any) -> str:
        """Why a connection ends before anything can be said; empty: it does not."""
        try:
            with Link(self.endpoint(own, **values), name, subscribe=["sono/v1/ward/a/ack"]) as up:
                up.turn(0.3)
        except BrokerLost as problem:
            assert self._child is not None
            assert self._child.poll() is None, f"the broker is gone ({self._child.poll()}): {self.log()[-2000:]}"
            return problem.reason
        return ""

    def log(self) -> str:
        return (self._folder / "broker.log").read_text("utf-8")

    def _answers(self) -> bool:
        assert self._child is not None
        assert self._child.poll() is None, self.log()
        try:
            with socket.create_connection((HOST, self.port), timeout=1.0):
                return True
        except OSError:
            return False


def heard(link: Link, marker: bytes, *, turns: int = 500) -> list[Message]:
    """What came until the marker did, without it."""
    came: list[Message] = []
    for _ in range(turns):
        came += link.turn(0.02, most=50)
        if any(message.body == marker for message in came):
            return [message for message in came if message.body != marker]
    raise AssertionError(f"the marker did not come, but {came}")
