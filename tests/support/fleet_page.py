"""The fleet's page as its tests meet it: a real server on a free port, people with accounts, a fleet with troubles."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import httpx
import msgspec
import sqlalchemy as sa
from argon2 import PasswordHasher

from sono_fleet.database import Database
from sono_fleet.store import Delivered, Line, Report, Store
from sono_fleet.tables import drift_standings, fleet_alerts, identities
from sono_fleet.web.accounts import Accounts
from sono_fleet.web.door import Door
from sono_fleet.web.house import House, build_house
from sono_fleet.web.identity import Identity, Role
from sono_fleet.web.server import Listening, make_server
from sono_models import messages
from sono_models.inputs import Box
from sono_models.serving import bind
from tests.support.rollouts import OLD
from tests.support.waiting import until

QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
"""The same algorithm, so cheap that a test that logs in often ends."""
PASSWORD = "an ordinary long password"
PEOPLE = {"vera": Role.VIEWER, "otto": Role.OPERATOR, "anna": Role.APPROVER}
FORM = re.compile(r'name="form" value="([0-9a-f]{64})"')
STATE = re.compile(r'name="state" value="([0-9a-f]{64})"')


@contextmanager
def page(
    database: Database,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    *,
    repository: Path | None = None,
    identity: Identity | None = None,
    secure: bool = False,
) -> Iterator[tuple[str, House]]:
    """Its address, and the house behind it; the server ends with the block."""
    accounts = identity or Accounts(database, QUICK)
    house = build_house(
        database, Door(local_only=True, secure=secure), repository=repository, identity=accounts, now=now
    )
    where = Listening(port=0)
    told: list[str] = []
    before = set(threading.enumerate())
    with bind(where.host, where.port) as listener:
        server = make_server(house, where, told.append)
        thread = threading.Thread(target=lambda: server.run(sockets=[listener]), name="page")
        thread.start()
        try:
            until(lambda: told or not thread.is_alive(), seconds=60)
            yield told[0].rstrip("/"), house
        finally:
            server.should_exit = True
            thread.join(30)
            assert not thread.is_alive()
            # its workers were told to end with the loop; one may still be in the database
            until(lambda: set(threading.enumerate()) <= before, seconds=30)


def people(database: Database, at: datetime) -> Accounts:
    accounts = Accounts(database, QUICK)
    for name, role in PEOPLE.items():
        accounts.add(name, role, PASSWORD, at, by="test")
    return accounts


class Visitor:
    """A browser without a screen: it keeps cookies and sends back what forms carry."""

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url, timeout=60.0)
        self.form = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._client.close()

    def get(self, path: str, **headers: str) -> httpx.Response:
        answer = self._client.get(path, headers=headers)
        found = FORM.search(answer.text)
        self.form = found[1] if found else self.form
        return answer

    def post(self, path: str, headers: dict[str, str] | None = None, **fields: Any) -> httpx.Response:
        return self._client.post(path, data={"form": self.form, **fields}, headers=headers)

    def log_in(self, name: str, password: str = PASSWORD, to: str = "/devices") -> httpx.Response:
        found = STATE.search(self._client.get("/login").text)
        assert found
        answer = self._client.post("/login", data={"name": name, "password": password, "state": found[1], "to": to})
        if answer.status_code == 303:
            self.get("/rollouts")
        return answer

    @property
    def cookies(self) -> httpx.Cookies:
        return self._client.cookies


@dataclass(frozen=True, slots=True)
class Board:
    """A device and what is the matter with it."""

    site: str
    name: str
    heard_s: float = 10.0
    online: bool = True
    outbox: int = 0
    temperature: float | None = 52.0
    disk_mb: float | None = 21_000.0
    days: float | None = 63.0
    bundle: str = f"{OLD.name}-{OLD.version}"
    sha256: str = OLD.sha256
    reason: str = "started"
    agent: str = "0.1.0"
    alerts: int = 0


def settle(store: Store, boards: list[Board], at: datetime) -> None:
    """Boards as ingest would have committed them."""
    for heard_s in sorted({board.heard_s for board in boards}, reverse=True):
        when = at - timedelta(seconds=heard_s)
        mine = [board for board in boards if board.heard_s == heard_s]
        reports = [report for board in mine for report in _reports(board, when)]
        alerts = [_alert(board, number, when) for board in mine for number in range(board.alerts)]
        store.commit(alerts, reports, when)
        store.commit([], [_gone(board, when) for board in mine if not board.online], when)


def _reports(board: Board, at: datetime) -> Iterator[Report]:
    said: dict[str, Any] = {"bundle": board.bundle, "bundle_sha256": board.sha256, "profile": "bundle"}
    state = messages.DeviceState(board.online, board.reason, agent=board.agent, slot="current", **said)
    values = {"online": True, "stopped": False, **said}
    yield Report(board.site, board.name, "state", _event(board, "state", state, at), values, at)
    vitals = messages.Vitals(
        capture="scanning",
        fps_in=30.0,
        fps_scored=29.9,
        frames_in=10_000,
        frames_scored=9_900,
        frames_reused=90,
        frames_dropped=10,
        latency_ms=messages.LatencyMs(22.0, 31.0, 39.0),
        alerts_raised=4,
        memory_mb=152.0,
        at=messages.rfc3339(at),
        **said,
    )
    health = messages.Health(
        board.outbox, vitals, 0.4, 512.0, board.temperature, False, board.disk_mb, 0.02, board.days
    )
    yield Report(board.site, board.name, "health", _event(board, "health", health, at), values, at)


def _gone(board: Board, at: datetime) -> Report:
    """The will, or a goodbye: it comes after all else."""
    gone = messages.DeviceState(online=False, reason=board.reason)
    values = {"online": False, "stopped": board.reason == "stopped"}
    return Report(board.site, board.name, "state", _event(board, "state", gone, at), values, at)


def _alert(board: Board, number: int, at: datetime) -> Delivered:
    model = messages.ModelUsed("breast", "0.3.1", "a" * 64, "int8", "onnx")
    data = messages.AlertData(
        "raised",
        f"{board.name}/1/{number + 1}",
        1,
        messages.Interval(0.7, 0.6, 0.8),
        "look-again",
        Box(0.1, 0.1, 0.3, 0.3),
        messages.Support(6, 9),
        0.9,
        (),
        "bundle",
        model,
        messages.Timings(3.0, 2.5),
        device=board.name,
        epoch=1,
        sequence=number + 1,
    )
    body = _event(board, "alert", data, at)
    return Delivered(Line(board.site, board.name, 1), number + 1, body)


def _event(board: Board, topic: messages.Topic, data: object, at: datetime) -> str:
    source = f"/sono/{board.site}/{board.name}"
    return messages.encode(topic, data, source=source, event_id=f"{board.name}/{topic}", at=at).decode()


def drifts(database: Database, site: str, device: str, standing: str, at: datetime) -> None:
    row = {"site": site, "device": device, "bundle_sha256": OLD.sha256, "standing": standing, "measure": "score"}
    moments = {"since": messages.rfc3339(at), "at": messages.rfc3339(at)}
    with database.writing() as connection:
        connection.execute(drift_standings.insert().values(**row, value=0.31, frames=24_000, body="{}", **moments))


def warns(database: Database, site: str, kind: str, words: str, at: datetime, *, device: str = "") -> None:
    row = {"site": site, "device": device, "kind": kind, "words": words, "raised_at": messages.rfc3339(at)}
    with database.writing() as connection:
        connection.execute(fleet_alerts.insert().values(**row))


def certified(database: Database, site: str, device: str, serial: str, at: datetime, days: float) -> None:
    ends = messages.rfc3339(at + timedelta(days=days))
    row = {"serial": serial, "site": site, "device": device, "line": serial, "fingerprint": "f" * 64}
    with database.writing() as connection:
        connection.execute(identities.insert().values(**row, issued_at=messages.rfc3339(at), ends_at=ends))


def count(database: Database, table: sa.Table) -> int:
    with database.reading() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())


def tree(answer: httpx.Response) -> Any:
    return msgspec.json.decode(answer.content)
