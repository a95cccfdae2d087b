"""A whole roll-out of a good model, then of a bad one, over a simulated fleet; and what came of it.

Real: the broker, ingest, the database, the engines, signatures. Simulated: the devices (device.py).
"""

from __future__ import annotations

import asyncio
import math
import resource
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import sqlalchemy as sa

from sono_fleet.database import Database
from sono_fleet.rollout import desk, releases
from sono_fleet.rollout.course import State
from sono_fleet.rollout.fleet import Release, target_of
from sono_fleet.rollout.plan import Plan, Scope, Wave
from sono_fleet.rollout.records import Record, Records
from sono_fleet.simulate import peers
from sono_fleet.simulate.device import Fault, Log, SimulatedDevice, World
from sono_fleet.tables import alerts, audit, devices, updates
from sono_models.envelope import make_keys
from sono_models.errors import BadConfig, Stopped

SITE = "sim"
AT_ONCE = 50
BEAT_S, HEALTH_S = 0.1, 30.0
LOOKS = 10
GOOD_DEADLINE_S = 120.0
"""The machine may be slow; the boards are not to blame."""
OLD, GOOD, BAD = (
    Release("bundle", "sim", f"0.{n}.0", f"sim/stable/sim-0.{n}.0.tar", f"{n}" * 64, 1) for n in (1, 2, 3)
)


@dataclass(frozen=True, slots=True)
class Wanted:
    devices: int
    broker: tuple[str, int] | None = None
    fault: Fault = "shift"
    alerts_per_s: float = 100.0
    engines: int = 1
    waves: tuple[float, ...] = (1, 10, 50, 100)
    soak_s: float = 2.0
    deadline_s: float = 60.0
    """Of the bad model; the good one has time."""
    back_s: float = 30.0
    """So long a roll-back may take before what is missing is named."""
    spread_s: float = 8.0
    """The boards of a wave begin spread over so long."""
    longest_s: float = 600.0
    tell: Callable[[str], None] = lambda _words: None


class Result(msgspec.Struct, frozen=True):
    """`rollback_s_max`: from the gate's decision until the last device runs the version before. `commit_p99_ms`: from
    a device's first sending to its hearing that it is committed. `kb_per_device`: what the engine grew by.
    """

    devices: int
    waves: int
    bad_model_share: float
    bad_model_devices: int
    back: int
    rollback_s_max: float
    reports: int
    reports_per_s: float
    commit_p50_ms: float
    commit_p99_ms: float
    lost: int
    kb_per_device: float
    ingest_cpu_ms: float
    """Of ingest's processor time, for each report that it committed (with state and health on the way)."""
    engine_cpu_s: float
    good_share: float
    seconds: float
    why: str


def simulate(wanted: Wanted) -> Result:
    """Raises BadConfig for what cannot be, Stopped when it does not come to its end."""
    if wanted.devices < 1:
        raise BadConfig("--devices", "at least one", "Give a number")
    _raise_file_limit(wanted.devices + 500)
    with tempfile.TemporaryDirectory(prefix="sono-simulate-") as name, ExitStack() as stack:
        folder = Path(name)
        where = wanted.broker or stack.enter_context(peers.broker(folder))
        keys = make_keys()
        (folder / "desired.pem").write_bytes(keys.private)
        (folder / "desired.pub").write_bytes(keys.public)
        database = stack.enter_context(Database(f"sqlite:///{folder / 'fleet.sqlite'}"))
        for release in (OLD, GOOD, BAD):
            releases.add(database, release, datetime.now(UTC), by="simulate")
        url = f"sqlite:///{folder / 'fleet.sqlite'}"
        programs = stack.enter_context(peers.programs(where, url, folder / "desired.pem", folder, wanted.engines))
        first = (f"{OLD.name}-{OLD.version}", OLD.sha256)
        world = World(SITE, folder / "desired.pub", first, {BAD.sha256: wanted.fault}, Log())
        return asyncio.run(_Simulation(wanted, where, database, world, programs).run())


class _Simulation:
    def __init__(
        self, wanted: Wanted, where: tuple[str, int], database: Database, world: World, programs: list[peers.Child]
    ) -> None:
        self._wanted, self._where, self._world, self._programs = wanted, where, world, programs
        self._database, self._records = database, Records(database)
        self._devices = [SimulatedDevice(f"d{number:05}", world) for number in range(wanted.devices)]
        self._by_name = {device.name: device for device in self._devices}
        self._end_by = time.monotonic() + wanted.longest_s
        self._engine_kb: list[int] = []

    async def run(self) -> Result:
        await self._until(self._engine_ready, "the engine")
        self._note_memory()
        began = time.monotonic()
        life = asyncio.create_task(self._live())
        try:
            await self._connect()
            self._wanted.tell(f"{len(self._devices)} devices are connected")
            await self._until(self._all_known, "every device in the database")
            good = await self._roll_out("good", GOOD, {State.DONE})
            bad = await self._roll_out("bad", BAD, {State.BACK})
        finally:
            life.cancel()
            with suppress(asyncio.CancelledError):
                await life
        await self._until(lambda: not self._waiting(), "every report committed")
        seconds = time.monotonic() - began
        for device in self._devices:
            device.leave()
        await asyncio.sleep(BEAT_S)
        return self._result(good, bad, seconds)

    async def _connect(self) -> None:
        for begin in range(0, len(self._devices), AT_ONCE):
            batch = self._devices[begin : begin + AT_ONCE]
            await asyncio.gather(*(device.connect(*self._where) for device in batch))

    async def _live(self) -> None:
        """Health, pings, repeats, and the alerts of a working fleet."""
        count, turn, well, owed, beat = len(self._devices), 0, 0, 0.0, 0
        last = time.monotonic()
        while True:
            await asyncio.sleep(BEAT_S)
            now = time.monotonic()
            owed += (now - last) * self._wanted.alerts_per_s
            share = (now - last) / HEALTH_S * count
            last = now
            up = [device for device in self._devices if device.is_up]
            for _ in range(int(owed)):
                if up:
                    up[turn % len(up)].alert()
                    turn += 1
            owed -= int(owed)
            for _ in range(math.ceil(share)):  # in turn: one that says nothing for long is hung up on
                if up:
                    device, well = up[well % len(up)], well + 1
                    device.say_health()
                    device.ping()
            # each board looks once a second at what it still owes: of ten thousand, every tenth at a beat
            for device in self._devices[beat % LOOKS :: LOOKS]:
                if device.is_up:
                    device.send_again(now)
            beat += 1
            self._note_memory()

    async def _roll_out(self, name: str, release: Release, ends: set[State]) -> Record:
        wanted = self._wanted
        deadline_s = max(GOOD_DEADLINE_S, wanted.deadline_s) if release is GOOD else wanted.deadline_s
        waves = tuple(Wave(f"{share:g}%", share, soak_s=wanted.soak_s, deadline_s=deadline_s) for share in wanted.waves)
        # silence is judged slowly: a simulated health comes every 30 s, on a machine that is shared
        target, scope = target_of(release), Scope(sites=(SITE,))
        plan = Plan(
            name,
            target,
            waves,
            scope,
            by="simulate",
            silence_s=180.0,
            back_s=wanted.back_s,
            spread_s=wanted.spread_s,
        )
        desk.create(self._records, plan, datetime.now(UTC))
        desk.say(self._records, name, "approve", datetime.now(UTC), by="simulate")
        ended = {*ends, State.DONE, State.BACK, State.PAUSED}
        await self._until(lambda: self._records.one(name).course.state in ended, f"the {name} roll-out's end")
        record = self._records.one(name)
        self._wanted.tell(f"the {name} model: {record.course.state} ({record.course.reason})")
        if record.course.state not in ends:
            raise Stopped(
                f"the {name} roll-out", f"is {record.course.state}: {record.course.reason}", "This is a fault"
            )
        return record

    def _result(self, good: Record, bad: Record, seconds: float) -> Result:
        log = self._world.log
        ran_bad = log.ran.get(BAD.sha256, set())
        gate_at = self._gate_at(bad)
        back = [log.back[name] for name in ran_bad if name in log.back]
        latencies = sorted(log.latencies_s)
        committed = self._committed()
        grown = max(self._engine_kb) - self._engine_kb[0]
        return Result(
            devices=len(self._devices),
            waves=len(good.plan.waves),
            bad_model_share=len(ran_bad) / len(self._devices),
            bad_model_devices=len(ran_bad),
            back=len(back),
            rollback_s_max=round(max([0.0, *(at - gate_at for at in back)]), 2),
            reports=log.sent,
            reports_per_s=round(committed / seconds, 1),
            commit_p50_ms=round(_percentile(latencies, 0.5) * 1000, 1),
            commit_p99_ms=round(_percentile(latencies, 0.99) * 1000, 1),
            lost=max(0, log.sent - committed - self._kept()),
            kb_per_device=round(grown / len(self._devices), 2),
            ingest_cpu_ms=round(self._programs[0].cpu_s() / max(1, committed) * 1000, 2),
            engine_cpu_s=round(self._programs[1].cpu_s(), 1),
            good_share=len(log.ran.get(GOOD.sha256, set())) / len(self._devices),
            seconds=round(seconds, 1),
            why=bad.course.reason,
        )

    def _gate_at(self, bad: Record) -> float:
        mine = (audit.c.rollout == bad.plan.rollout, audit.c.action == "roll-back")
        (row,) = self._database.rows(sa.select(audit.c.at).where(*mine))
        return datetime.fromisoformat(row["at"]).timestamp()

    def _committed(self) -> int:
        """Of this fleet, in the database, once each."""
        with self._database.reading() as connection:
            count = sa.func.count()
            tables = (alerts, updates)
            mine = (sa.select(count).select_from(table).where(table.c.site == SITE) for table in tables)
            return sum(int(connection.execute(query).scalar_one()) for query in mine)

    def _all_known(self) -> bool:
        with self._database.reading() as connection:
            known = sa.select(sa.func.count()).select_from(devices).where(devices.c.bundle_sha256.is_not(None))
            return int(connection.execute(known).scalar_one()) >= len(self._devices)

    def _waiting(self) -> int:
        return sum(device.waiting for device in self._devices if device.is_up)

    def _kept(self) -> int:
        """Still in the outbox of a device that is down: not lost, only not there yet."""
        return sum(device.waiting for device in self._devices if not device.is_up)

    def _engine_ready(self) -> bool:
        return all("connected to" in child.log.read_text("utf-8") for child in self._programs)

    def _note_memory(self) -> None:
        self._engine_kb.append(self._programs[1].memory_kb())

    async def _until(self, true: Callable[[], object], what: str) -> None:
        """Raises Stopped when it does not come, or a program ended."""
        while not true():
            for program in self._programs:
                program.check()
            if time.monotonic() > self._end_by:
                said = {program.name: program.log.read_text("utf-8")[-500:] for program in self._programs}
                raise Stopped("the simulation", f"{what} did not come in {self._wanted.longest_s:g} s", f"{said}")
            await asyncio.sleep(0.25)


def _percentile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def _raise_file_limit(wanted: int) -> None:
    """Raises BadConfig when this machine allows fewer open files than so many devices need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= wanted:
        return
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise BadConfig(
            "--devices", f"needs {wanted} open files, {hard} are allowed", "Raise `ulimit -n`, or take fewer"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
