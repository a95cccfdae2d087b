"""The kill test: alerts through random `kill -9` of every program on their way. None may be lost.

Writer, uplink, broker and ingest are real processes; each is killed without warning and started again. What
the fleet's database holds at the end is compared with what the writer's disk promised.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Protocol, Self

from sono_edge.embedded import EmbeddedBroker
from sono_edge.outbox import Outbox
from sono_models.errors import BrokerLost
from sono_models.inputs import Box
from sono_models.messages import Alert, Interval, ModelUsed, Support, Timings

SITE, DEVICE = "bench", "board-1"
GAP_S = 0.7
"""Between two kills, on average: long enough that a program is at work again, short enough that one is amid it."""
SETTLE_S = 120.0
"""How long delivery may go on after the last kill."""
SONO = (sys.executable, "-m", "sono_models.command")
CONFIG = """\
[device]
site = "{site}"
id = "{device}"
[broker]
host = "{host}"
port = {port}
[state]
folder = "{folder}"
[uplink]
retry_first_s = 0.2
retry_longest_s = 2.0
"""


class Broker(Protocol):
    """A broker that can be killed and started again on its port. EmbeddedBroker is one."""

    host: str
    port: int

    def __enter__(self) -> Self: ...
    def __exit__(self, *exc: object) -> None: ...
    def start(self) -> None: ...
    def kill(self) -> None: ...


@dataclass(slots=True)
class Program:
    """A child of ours. A context manager: leaving it ends it. `until_done`: it may end by itself."""

    command: Sequence[str]
    output: Path
    until_done: bool = False
    _child: subprocess.Popen[bytes] | None = None
    _file: IO[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._child is not None and self._child.poll() is None:
            self._child.terminate()
            try:
                self._child.wait(10)
            except subprocess.TimeoutExpired:
                self._child.kill()
        self._gone()

    def start(self) -> None:
        self._file = self.output.open("ab")
        self._child = subprocess.Popen(  # noqa: S603  (our own programs)
            self.command, stdin=subprocess.DEVNULL, stdout=self._file, stderr=self._file
        )

    def kill(self) -> None:
        if self._child is not None:
            self._child.kill()
        self._gone()

    def is_at_work(self) -> bool:
        """Raises BrokerLost when a program that should run has ended by itself."""
        assert self._child is not None
        status = self._child.poll()
        if status is not None and not (self.until_done and status == 0):
            raise BrokerLost(self.output.stem, f"it ended with status {status}", f"See {self.output}")
        return status is None

    def _gone(self) -> None:
        if self._child is not None:
            self._child.wait(10)
            self._child = None
        if self._file is not None:
            self._file.close()
            self._file = None


@dataclass(slots=True)
class Course:
    """One kill test: the children and what is done to them."""

    folder: Path
    broker: Broker
    alerts: int
    kills: int
    chance: random.Random
    programs: dict[str, Program] = field(default_factory=dict)
    killed: dict[str, int] = field(default_factory=dict)

    def start(self, stack: ExitStack) -> None:
        stack.enter_context(self.broker)
        config = self.folder / "agent.toml"
        place = {"host": self.broker.host, "port": self.broker.port, "folder": self.folder / "state"}
        config.write_text(CONFIG.format(site=SITE, device=DEVICE, **place), encoding="utf-8")
        pause_s = self.kills * GAP_S / self.alerts
        writer = (sys.executable, "-m", "sono_edge.bench.outbox", str(self.folder), str(self.alerts), str(pause_s))
        address = f"{self.broker.host}:{self.broker.port}"
        commands: dict[str, Sequence[str]] = {
            "ingest": (*SONO, "fleet", "ingest", "--broker", address, "--database", self.database),
            "uplink": (*SONO, "uplink", "--config", str(config)),
            "writer": writer,
        }
        for name, command in commands.items():
            program = Program(command, self.folder / f"{name}.log", until_done=name == "writer")
            self.programs[name] = stack.enter_context(program)

    @property
    def database(self) -> str:
        return f"sqlite:///{self.folder / 'fleet.sqlite'}"

    def strike(self) -> None:
        """Kill one after the other, in random order at random times, and start each again."""
        beat = threading.Event()
        while sum(self.killed.values()) < self.kills:
            names = ["broker", *self.programs]
            self.chance.shuffle(names)
            for name in names:
                beat.wait(self.chance.uniform(0.2, 1.8) * GAP_S)
                if name != "broker" and not self.programs[name].is_at_work():
                    continue
                if sum(self.killed.values()) < self.kills:
                    self.fell(name)

    def fell(self, name: str) -> None:
        victim = self.broker if name == "broker" else self.programs[name]
        victim.kill()
        victim.start()
        self.killed[name] = self.killed.get(name, 0) + 1

    def settle(self, outbox: Outbox) -> None:
        """Until everything is raised and the outbox is empty, or the time is over."""
        deadline = time.monotonic() + SETTLE_S
        beat = threading.Event()
        while time.monotonic() < deadline:
            _, last = outbox.life()
            if last >= self.alerts and outbox.depth() == 0:
                return
            for program in self.programs.values():
                program.is_at_work()
            beat.wait(0.05)

    def verdict(self, outbox: Outbox) -> dict[str, Any]:
        """What the fleet has, against what the writer was promised and the outbox counted."""
        epoch, raised = outbox.life()
        rows = _fleet(self.database, "alerts", "--newest", str(10 * self.alerts))
        there = {row["sequence"]: row["body"]["data"]["track"] for row in rows if row["epoch"] == epoch}
        promised = [line.split() for line in (self.folder / "promised").read_text(encoding="utf-8").splitlines()]
        broken = sum(there.get(int(number)) != int(track) for number, track in promised)
        missing = sum(number not in there for number in range(1, raised + 1))
        (tally,) = _fleet(self.database, "tally")
        return {
            "raised": raised,
            "committed": len(there),
            "lost": max(broken, missing),
            "duplicates": tally["duplicates"],
            "kills": sum(self.killed.values()),
            "killed": dict(sorted(self.killed.items())),
        }


def run(
    *, alerts: int = 1000, kills: int = 25, seed: int = 7, broker: Broker | None = None, folder: Path | None = None
) -> dict[str, Any]:
    """The figures: raised, committed, lost, duplicates, kills, seconds. `broker` is the embedded one by default."""
    began = time.monotonic()
    with ExitStack() as stack:
        place = folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sono-outbox-")))
        course = Course(place, broker or EmbeddedBroker(place / "broker"), alerts, kills, random.Random(seed))  # noqa: S311
        with Outbox(place / "state" / "outbox.sqlite", SITE, DEVICE) as outbox:
            with ExitStack() as children:
                course.start(children)
                course.strike()
                course.settle(outbox)
            return {**course.verdict(outbox), "seconds": round(time.monotonic() - began, 1)}


def write(folder: Path, alerts: int, pause_s: float) -> None:
    """The writer child: add alerts until there are so many, and note each that the disk has promised."""
    chance = random.Random()  # noqa: S311  (times, not secrets)
    beat = threading.Event()
    outbox = Outbox(folder / "state" / "outbox.sqlite", SITE, DEVICE)
    with outbox, (folder / "promised").open("a", encoding="utf-8") as promised:
        while outbox.life()[1] < alerts:
            track = chance.randrange(2**31)
            sequence = outbox.add(an_alert(track), datetime.now(UTC))
            promised.write(f"{sequence} {track}\n")
            promised.flush()
            beat.wait(chance.uniform(0, 2 * pause_s))


def an_alert(track: int) -> Alert:
    return Alert(
        kind="raised",
        alert=f"bench-{track}",
        track=track,
        score=Interval(0.7, 0.6, 0.8),
        band="look-again",
        box=Box(0.4, 0.4, 0.6, 0.6),
        frames=Support(6, 9),
        quality=1.0,
        gates=(),
        profile="bench",
        model=ModelUsed("bench", "0.0.0", "0" * 64, "int8", "none"),
        timings=Timings(captured_s=0.0, first_seen_s=0.0),
        source="phantom",
    )


def _fleet(database: str, *words: str) -> list[dict[str, Any]]:
    """What a command of the fleet's side says, an object a line."""
    said = subprocess.run(  # noqa: S603  (our own command)
        [*SONO, "fleet", *words, "--json", "--database", database], check=True, capture_output=True, text=True
    )
    return [json.loads(line) for line in said.stdout.splitlines()]


if __name__ == "__main__":
    write(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
