"""Three engines as real programs on one PostgreSQL; one is killed with SIGKILL while its step is half written."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from sono_edge.embedded import EmbeddedBroker
from sono_fleet.rollout import audit, desk
from sono_fleet.rollout.course import State
from sono_fleet.rollout.plan import Scope
from sono_fleet.rollout.records import Records
from sono_fleet.simulate.peers import SONO, Child, child
from sono_fleet.store import Store
from sono_fleet.tables import audit as log_table
from sono_fleet.tables import members
from tests.support.orders import KEYS
from tests.support.postgres import postgres
from tests.support.rollouts import NEW, OLD, Fleet, plan_of
from tests.support.waiting import until

pytestmark = pytest.mark.peer

WAIT_S = 90.0
COUNT = 20


class Bench:
    def __init__(self, fleet: Fleet, engines: dict[str, Child]) -> None:
        self.fleet, self.engines = fleet, engines
        self.records = Records(fleet.database)

    def members(self) -> list[dict[str, Any]]:
        return self.fleet.database.rows(sa.select(members))

    def report_good(self) -> None:
        """Every device that has an order and has not said so is good now."""
        self.fleet.now = datetime.now(UTC)
        mine = [row for row in self.members() if row["standing"] == "ordered"]
        for row in mine:
            serial = msgspec.json.decode(row["body"])["serial"]
            self.fleet.report(row["device"], "r1", serial, "good", shift=0.0)
        named = {row["device"] for row in self.members()}
        self.fleet.alive({name: NEW if name in named else OLD for name in self.fleet.names})

    @contextmanager
    def log_held(self) -> Iterator[None]:
        """Nobody can end a step meanwhile: its last statement waits for the audit log."""
        with self.fleet.database.writing() as connection:
            connection.exec_driver_sql("LOCK TABLE audit IN EXCLUSIVE MODE")
            yield

    def half_written(self) -> str:
        """The engine whose step has changed its rows and waits for the log; empty: none yet."""
        query = sa.text(
            "SELECT application_name FROM pg_stat_activity JOIN pg_locks USING (pid)"
            " WHERE NOT granted AND relation = 'audit'::regclass AND application_name LIKE 'engine-%'"
        )
        with self.fleet.database.reading() as connection:
            return str(connection.execute(query).scalar() or "")

    def kill_in_the_middle(self) -> str:
        until(self.half_written, seconds=WAIT_S)
        name = self.half_written()
        process = self.engines.pop(name).process
        os.kill(process.pid, signal.SIGKILL)
        process.wait(10)
        return name


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    key = tmp_path / "orders"
    key.write_bytes(KEYS.private)
    with postgres() as url, EmbeddedBroker(tmp_path / "broker") as broker, Store(url) as store, ExitStack() as stack:
        fleet = Fleet(store, COUNT, site="kills")
        fleet.now = datetime.now(UTC)
        fleet.alive()
        engines: dict[str, Child] = {}
        made = Bench(fleet, engines)
        plan = plan_of(25, 100, scope=Scope(sites=("kills",)), soak_s=0.5)
        desk.create(made.records, plan, fleet.now)
        desk.say(made.records, "r1", "approve", fleet.now, by="ben")
        at = ("--broker", f"{broker.host}:{broker.port}", "--key", str(key), "--every", "0.2")
        with made.log_held():
            for number in (1, 2, 3):
                name = f"engine-{number}"
                command = (*SONO, "fleet", "engine", *at, "--name", name)
                whose = ("--database", f"{url}?application_name={name}")
                engines[name] = stack.enter_context(child(name, *command, *whose, folder=tmp_path))
            killed = made.kill_in_the_middle()
        assert killed not in engines
        yield made


@pytest.mark.timeout(300)
def test_no_device_is_in_two_waves_when_engines_are_killed_in_the_middle_of_a_step(bench: Bench) -> None:
    until(lambda: len(bench.members()) == COUNT // 4, seconds=WAIT_S)
    with bench.log_held():
        bench.report_good()
        bench.kill_in_the_middle()
        assert len(bench.members()) == COUNT // 4, "a half of a step is not there"
    assert len(bench.engines) == 1
    until(lambda: _all_good(bench), seconds=WAIT_S)
    until(lambda: bench.records.one("r1").course.state is State.DONE, seconds=WAIT_S)
    rows = bench.fleet.database.rows(sa.select(log_table).where(log_table.c.action == "orders"))
    ordered = Counter(name for row in rows for name in msgspec.json.decode(row["body"])["devices"])
    assert ordered == {f"kills/{name}": 1 for name in bench.fleet.names}
    with bench.fleet.database.reading() as connection:
        assert audit.verify(connection).broken == ""
    for engine in bench.engines.values():
        engine.check()


def _all_good(bench: Bench) -> bool:
    bench.report_good()
    good = [row for row in bench.members() if row["standing"] == "good"]
    return len(good) == COUNT
