"""Beyond one machine, killed all over: `python -m tests.support.fleet_cluster --devices 40` prints what came of it.

Real: three nodes of NATS JetStream, PostgreSQL, two ingesters with half of the devices each, two engines, all as
children. Simulated: the boards. A good model goes out, then a bad one, while alerts flow; meanwhile a node, an
engine, an ingester and another node are killed with SIGKILL, and PostgreSQL crashes and comes back.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import sqlalchemy as sa

from sono_fleet.database import Database
from sono_fleet.rollout import audit, desk, releases
from sono_fleet.rollout.course import State
from sono_fleet.rollout.fleet import Release, target_of
from sono_fleet.rollout.plan import Plan, Scope, Wave
from sono_fleet.rollout.records import Records
from sono_fleet.simulate.device import Log, World
from sono_fleet.simulate.peers import SONO, Child, child
from sono_fleet.simulate.run import BAD, GOOD, OLD
from sono_fleet.tables import alerts, members, updates
from sono_fleet.tables import audit as log_table
from sono_models.envelope import make_keys
from sono_models.errors import Unavailable
from tests.support.boards import Board
from tests.support.nats_cluster import NatsCluster
from tests.support.postgres import Postgres

SITES = ("north", "south")
WAVES = (10.0, 50.0, 100.0)
SOAK_S, SPREAD_S = 1.0, 2.0
DEADLINE_S = 300.0
"""No device is to fail by silence because this machine is slow; the bad model fails by its figures."""
LONGEST_S = 900.0
BEAT_S = 0.1


class Result(msgspec.Struct, frozen=True):
    """`lost`: raised by devices and not in the database. `twice`: there more than once. `two_waves`: devices that
    any roll-out ordered in more than one wave, or more than once.
    """

    devices: int
    alerts: int
    reports: int
    lost: int
    twice: int
    two_waves: int
    good: int
    bad_model_devices: int
    back: int
    bad_state: str
    why: str
    audit: str
    kills: list[str]
    reconnects: int
    seconds: float


@dataclass
class Programs:
    """Our own children, by name; killed ones may be started again under the same name."""

    stack: ExitStack
    folder: Path
    commands: dict[str, tuple[str, ...]] = field(default_factory=dict)
    running: dict[str, Child] = field(default_factory=dict)

    def start(self, name: str) -> None:
        command = (*SONO, "fleet", *self.commands[name])
        self.running[name] = self.stack.enter_context(child(name, *command, folder=self.folder))

    def kill(self, name: str) -> None:
        process = self.running.pop(name).process
        process.kill()
        process.wait(10)

    def check(self) -> None:
        for one in self.running.values():
            one.check()


class Campaign:
    def __init__(
        self,
        nodes: NatsCluster,
        server: Postgres,
        database: Database,
        programs: Programs,
        worlds: list[World],
        count: int,
        tell: Callable[[str], None],
    ) -> None:
        self._nodes, self._server, self._database, self._programs = nodes, server, database, programs
        self._records, self._log = Records(database), worlds[0].log
        self._boards = [Board(f"d{number:03}", worlds[number % len(worlds)]) for number in range(count)]
        self._alerts, self._kills, self._tell = 0, list[str](), tell
        self._is_raising = True
        self._end_by = time.monotonic() + LONGEST_S

    async def run(self) -> Result:
        began = time.monotonic()
        life = asyncio.create_task(self._live())
        tasks = [asyncio.create_task(board.stay(self._nodes.addresses)) for board in self._boards]
        try:
            await self._until(self._all_known, "every device in the database")
            self._tell("every device is known")
            await self._good()
            await self._bad()
            await self._until(self._all_back, "every device off the bad model")
            self._is_raising = False
            await self._until(lambda: not any(board.waiting for board in self._boards), "every report committed")
        finally:
            for task in (life, *tasks):
                task.cancel()
            for task in (life, *tasks):
                with suppress(asyncio.CancelledError):
                    await task
            for board in self._boards:
                board.leave()
            await asyncio.sleep(BEAT_S)
        return self._result(time.monotonic() - began)

    async def _good(self) -> None:
        self._roll_out("good", GOOD)
        await self._until(lambda: self._ordered("good") > 0, "the first wave of the good model")
        self._nodes.kill(0)
        self._killed("nats node 0")
        await self._until(lambda: self._ordered("good") >= len(self._boards) / 2, "the second wave")
        self._programs.kill("engine-1")
        self._killed("engine 1")
        await self._until(lambda: self._state("good") is State.DONE, "the good model everywhere")
        self._nodes.start(0)
        await asyncio.to_thread(self._nodes.wait, 0)
        self._tell("the good model is everywhere, node 0 is back")

    async def _bad(self) -> None:
        self._programs.kill("ingest-1")
        self._killed("ingester 1")
        self._roll_out("bad", BAD)
        await self._until(lambda: self._ordered("bad") > 0, "the first wave of the bad model")
        self._killed("postgresql")
        await asyncio.to_thread(self._server.crash)
        raised = self._alerts
        await self._until(lambda: self._alerts >= raised + 20, "alerts while the database is away")
        await asyncio.to_thread(self._server.start)
        self._programs.start("ingest-1")
        self._nodes.kill(1)
        self._killed("nats node 1")
        await self._until(lambda: self._state("bad") is State.BACK, "the bad model taken back")

    async def _live(self) -> None:
        """Alerts, health, pings and repeats of a working fleet."""
        turn = 0
        while True:
            await asyncio.sleep(BEAT_S)
            board = self._boards[turn % len(self._boards)]
            turn += 1
            if self._is_raising:
                board.alert()
                self._alerts += 1
            board.say_health()
            board.ping()
            for one in self._boards:
                one.send_again(time.monotonic())

    def _roll_out(self, name: str, release: Release) -> None:
        waves = tuple(Wave(f"{share:g}%", share, soak_s=SOAK_S, deadline_s=DEADLINE_S) for share in WAVES)
        plan = Plan(
            name,
            target_of(release),
            waves,
            Scope(sites=SITES),
            by="cluster",
            silence_s=DEADLINE_S,
            back_s=DEADLINE_S,
            spread_s=SPREAD_S,
        )
        desk.create(self._records, plan, datetime.now(UTC))
        desk.say(self._records, name, "approve", datetime.now(UTC), by="cluster")

    def _ordered(self, name: str) -> int:
        mine = sa.select(sa.func.count()).select_from(members).where(members.c.rollout == name)
        with self._database.reading() as connection:
            return int(connection.execute(mine).scalar_one())

    def _state(self, name: str) -> State:
        course = self._records.one(name).course
        if course.state is State.PAUSED:
            raise AssertionError(f"{name} is paused: {course.reason}")
        return course.state

    def _all_known(self) -> bool:
        known = [device for device in self._records.fleet().values() if device.runs is not None]
        return len(known) >= len(self._boards)

    def _all_back(self) -> bool:
        """One that had lost its node when the order came reads it, retained, once it has another."""
        return self._log.ran.get(BAD.sha256, set()) <= set(self._log.back)

    def _killed(self, what: str) -> None:
        self._kills.append(what)
        self._tell(f"killed: {what}")

    async def _until(self, true: Callable[[], object], what: str) -> None:
        """A database that is away answers nothing; any of our programs that ended by itself is a fault."""
        while True:
            self._programs.check()
            with suppress(Unavailable):
                if true():
                    return
            if time.monotonic() > self._end_by:
                raise AssertionError(f"{what}: it did not come in {LONGEST_S:g} s")
            await asyncio.sleep(0.2)

    def _result(self, seconds: float) -> Result:
        rows = self._database.rows(sa.select(alerts.c.site, alerts.c.device, alerts.c.epoch, alerts.c.sequence))
        rows += self._database.rows(sa.select(updates.c.site, updates.c.device, updates.c.epoch, updates.c.sequence))
        places = Counter(tuple(row.values()) for row in rows)
        raised = {(board.site, board.name, board.epoch, n + 1) for board in self._boards for n in range(board.raised)}
        bad = self._records.one("bad").course
        ran_bad = self._log.ran.get(BAD.sha256, set())
        with self._database.reading() as connection:
            broken = audit.verify(connection).broken
        return Result(
            devices=len(self._boards),
            alerts=self._alerts,
            reports=len(raised),
            lost=len(raised - set(places)),
            twice=sum(count > 1 for count in places.values()),
            two_waves=len(self._in_two_waves()),
            good=len(self._log.ran.get(GOOD.sha256, set())),
            bad_model_devices=len(ran_bad),
            back=len(ran_bad & set(self._log.back)),
            bad_state=str(bad.state),
            why=bad.reason,
            audit=broken or "whole",
            kills=self._kills,
            reconnects=sum(board.connects - 1 for board in self._boards),
            seconds=round(seconds, 1),
        )

    def _in_two_waves(self) -> set[str]:
        """By the log's word, and by the devices' own: one order forward for each roll-out."""
        counted: Counter[tuple[str, str]] = Counter()
        for row in self._database.rows(sa.select(log_table).where(log_table.c.action == "orders")):
            counted.update((row["rollout"], name) for name in msgspec.json.decode(row["body"])["devices"])
        twice = {name for (_, name), count in counted.items() if count > 1}
        for board in self._boards:
            forward = Counter((order.rollout, order.sha256) for order in board.orders if not order.cancelled)
            if any(count > 1 for count in forward.values()):
                twice.add(f"{board.site}/{board.name}")
        return twice


def campaign(devices: int, tell: Callable[[str], None] = lambda _words: None) -> Result:
    with tempfile.TemporaryDirectory(prefix="sono-cluster-") as name, ExitStack() as stack:
        folder = Path(name)
        nodes = stack.enter_context(NatsCluster(folder / "nats"))
        server = stack.enter_context(Postgres())
        keys = make_keys()
        (folder / "desired.pem").write_bytes(keys.private)
        (folder / "desired.pub").write_bytes(keys.public)
        database = stack.enter_context(Database(server.url))
        for release in (OLD, GOOD, BAD):
            releases.add(database, release, datetime.now(UTC), by="cluster")
        programs = stack.enter_context(ExitStack())
        ours = Programs(programs, folder)
        at = ("--broker", nodes.said, "--database", server.url)
        for number in (1, 2):
            ours.commands[f"ingest-{number}"] = ("ingest", *at, "--name", f"{number}", "--share", f"{number}/2")
            key = ("--key", str(folder / "desired.pem"), "--every", "0.3", "--name", f"engine-{number}")
            ours.commands[f"engine-{number}"] = ("engine", *at, *key)
        for command in ours.commands:
            ours.start(command)
        log, first = Log(), (f"{OLD.name}-{OLD.version}", OLD.sha256)
        worlds = [World(site, folder / "desired.pub", first, {BAD.sha256: "shift"}, log) for site in SITES]
        try:
            return asyncio.run(Campaign(nodes, server, database, ours, worlds, devices, tell).run())
        except BaseException:
            for path in sorted(folder.glob("*.log")):
                tell(f"--- {path.name}\n{path.read_text('utf-8')[-3000:]}")
            raise


def main() -> None:
    asked = argparse.ArgumentParser()
    asked.add_argument("--devices", type=int, default=40)
    result = campaign(asked.parse_args().devices, lambda words: print(words, file=sys.stderr, flush=True))  # noqa: T201
    print(json.dumps(msgspec.to_builtins(result), indent=1))  # noqa: T201


if __name__ == "__main__":
    main()
