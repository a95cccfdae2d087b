"""The enrolment service as it is shipped, on loopback, in a thread of its own."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sono_fleet.identity import service
from sono_fleet.identity.pace import Pace
from sono_fleet.identity.registry import Registry
from tests.support.identities import HOST, Fleet, now
from tests.support.waiting import until


@dataclass
class Office:
    """`now` may be moved: it is the service's clock."""

    fleet: Fleet
    url: str
    desk: service.Desk
    paths: list[str]

    def code(self, device: str = "b1", hours: float = 1) -> str:
        from sono_fleet.identity.names import a_device  # noqa: PLC0415

        return self.fleet.registry.code(a_device("ward", device), hours, "a test")


@contextmanager
def office(
    fleet: Fleet,
    *,
    days: float = 30,
    pace: Pace | None = None,
    clock: Callable[[], datetime] = now,
    ca: Path | None = None,
) -> Iterator[Office]:
    registry = Registry(fleet.database, clock)
    desk = service.Desk(registry, fleet.authority, service.Terms(days), clock, pace=pace or Pace(burst=1000))
    server, paths = fleet.server(), []
    app = desk.app()

    async def noted(scope: object, receive: object, send: object) -> None:
        paths.append(scope["path"])  # type: ignore[index]
        await app(scope, receive, send)  # type: ignore[arg-type]

    running = service.server(noted, ca or fleet.folder / "ca", server, server)  # type: ignore[arg-type]
    with socket.create_server((HOST, 0)) as listener:
        url = f"https://{HOST}:{listener.getsockname()[1]}"
        serving = threading.Thread(target=lambda: asyncio.run(service.serve(running, listener, desk)), name="enrolment")
        serving.start()
        try:
            until(lambda: running.started)
            yield Office(fleet, url, desk, paths)
        finally:
            running.should_exit = True
            serving.join(20)
