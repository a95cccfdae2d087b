"""The page's server: one process, one loop; what waits for the database waits on threads beside it."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from sono_fleet.web.app import build_app
from sono_fleet.web.house import House
from sono_models.address import is_loopback
from sono_models.errors import BadConfig
from sono_models.serving import Server, bind, settings


@dataclass(frozen=True, slots=True)
class Listening:
    """Where, and how browsers get here. `behind_proxy`: a proxy on this machine ends TLS."""

    host: str = "127.0.0.1"
    port: int = 8790
    certificate: Path | None = None
    key: Path | None = None
    behind_proxy: bool = False

    @property
    def local_only(self) -> bool:
        return is_loopback(self.host) and not self.behind_proxy

    @property
    def secure(self) -> bool:
        return self.certificate is not None or self.behind_proxy

    def check(self) -> None:
        """Raises BadConfig: a password in clear on a network is no log-in."""
        if (self.certificate is None) != (self.key is None):
            raise BadConfig("--tls-cert and --tls-key", "one without the other", "Give both, or none")
        for option, path in (("--tls-cert", self.certificate), ("--tls-key", self.key)):
            if path is not None and not path.is_file():
                raise BadConfig(f"{option} {path}", "there is no such file", "See `sono fleet ca`")
        if not is_loopback(self.host) and not self.secure:
            reason = "off loopback, passwords and sessions would go in clear"
            step = "Give --tls-cert and --tls-key, or --behind-proxy when a proxy ends TLS"
            raise BadConfig(f"--host {self.host}", reason, step)


class PageServer(Server):
    """Streams have no end of their own: they are ended before connections are waited for."""

    def __init__(self, config: uvicorn.Config, house: House, told: Callable[[str], None]) -> None:
        super().__init__(config)
        self._house, self._told = house, told

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and sockets:
            self._told(address(sockets[0], secure=self.config.is_ssl))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._house.live.close()
        await super().shutdown(sockets)


def serve(house: House, where: Listening, told: Callable[[str], None] = lambda _url: None) -> None:
    """Until a signal ends it. `told` hears the address as soon as it answers."""
    with bind(where.host, where.port) as listener:
        server = make_server(house, where, told)
        before = {number: signal.signal(number, _heard) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            server.run(sockets=[listener])
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _heard(*_: object) -> None:
    """Uvicorn ends at a signal, and then raises it once more: that one has been heard already."""


def make_server(house: House, where: Listening, told: Callable[[str], None] = lambda _url: None) -> PageServer:
    tls: dict[str, Any] = {}
    if where.certificate is not None:
        tls = {"ssl_certfile": str(where.certificate), "ssl_keyfile": str(where.key)}
    config = settings(
        build_app(house),
        log_level="warning",
        proxy_headers=where.behind_proxy,
        forwarded_allow_ips="127.0.0.1",
        timeout_graceful_shutdown=3,
        **tls,
    )
    try:
        config.load()
    except OSError as problem:  # ssl.SSLError is one
        raise BadConfig("--tls-cert and --tls-key", str(problem), "Give PEM files that belong together") from problem
    return PageServer(config, house, told)


def address(listener: socket.socket, *, secure: bool) -> str:
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    return f"{'https' if secure else 'http'}://{shown}:{port}/"
