"""The demo: every program on one machine, as children: broker, ingest, uplink, agent."""

from __future__ import annotations

import json
import logging
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from sono_edge.embedded import EmbeddedBroker
from sono_models.errors import BadConfig, Stopped

log = logging.getLogger(__name__)

SONO = (sys.executable, "-m", "sono_models.command")
READY_S = 30.0
STOP_S = 10.0
COMMITTED_S = 20.0
SITE, DEVICE = "demo", "board-1"

CONFIG = """\
[device]
site = "{site}"
id = "{device}"
[broker]
port = {port}
[state]
folder = "state"
[uplink]
retry_first_s = 0.5
retry_longest_s = 2.0
"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asked for."""

    source: str
    folder: Path
    view_port: int
    runtime: str = "onnx"
    bundle: str | None = None
    seconds: float | None = None
    loop: bool = False
    broker_away_s: tuple[float, float] | None = None
    """From when to when, since everything is up, the broker is gone."""


class Broker(Protocol):
    """What an outage needs of a broker."""

    def start(self) -> None: ...
    def kill(self) -> None: ...


@dataclass(slots=True)
class Child:
    """One program and the JSON lines it prints. `lines` ends with None when its output closes."""

    name: str
    process: subprocess.Popen[str]
    lines: queue.SimpleQueue[dict[str, Any] | None] = field(default_factory=queue.SimpleQueue)
    reader: threading.Thread | None = None

    def alive(self) -> bool:
        return self.process.poll() is None

    def stop(self) -> None:
        """Ask, wait, insist; then read what it said last."""
        if self.alive():
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                log.warning("%s did not end within %g s and is killed", self.name, STOP_S)
                self.process.kill()
                self.process.wait()
        if self.reader is not None:
            self.reader.join(STOP_S)
            self.reader = None


@contextmanager
def child(name: str, *arguments: str, errors: Path) -> Iterator[Child]:
    """`sono ARGUMENTS` as a process of its own group, so that Ctrl-C reaches us first; stopped at the end."""
    with errors.open("ab") as log_file:
        process = subprocess.Popen(  # noqa: S603  (our own command)
            [*SONO, *arguments], stdout=subprocess.PIPE, stderr=log_file, text=True, start_new_session=True
        )
    started = Child(name, process)
    started.reader = threading.Thread(target=_read_lines, args=(started,), name=f"{name}-lines")
    started.reader.start()
    try:
        yield started
    finally:
        started.stop()


def _read_lines(of: Child) -> None:
    assert of.process.stdout is not None
    with of.process.stdout as lines:
        for line in lines:
            if line.startswith("{"):
                of.lines.put(json.loads(line))
    of.lines.put(None)


class Outage:
    """The broker goes as by a power cut, and comes back on its port. Nothing without `away_s`."""

    def __init__(self, broker: Broker, away_s: tuple[float, float] | None, clock: Callable[[], float]) -> None:
        self._broker, self._away_s, self._clock = broker, away_s, clock
        self._began_s = clock()
        self.over = away_s is None
        self.on = False

    def step(self) -> None:
        """Do what is due."""
        if self.over or self._away_s is None:
            return
        at_s = self._clock() - self._began_s
        if not self.on and at_s >= self._away_s[0]:
            self._broker.kill()
            self.on = True
        if at_s >= self._away_s[1]:
            self.end()

    def end(self) -> None:
        """Bring it back, if it is gone; it goes no more."""
        if self.on:
            self._broker.start()
        self.on, self.over = False, True


@dataclass(frozen=True, slots=True)
class Running:
    """The demo's programs, all ready."""

    agent: Child
    uplink: Child
    ingest: Child
    view_url: str
    folder: Path
    outage: Outage


@contextmanager
def running(wanted: Wanted) -> Iterator[Running]:
    """Everything up, in the order in which each can meet the one before. Raises SonoError."""
    folder = wanted.folder
    folder.mkdir(parents=True, exist_ok=True)
    errors = folder / "programs.log"
    with ExitStack() as stack:
        broker = stack.enter_context(EmbeddedBroker(folder / "broker"))
        config = folder / "agent.toml"
        config.write_text(CONFIG.format(site=SITE, device=DEVICE, port=broker.port), "utf-8")
        database = f"sqlite:///{folder / 'fleet.sqlite'}"
        where = ("--broker", f"127.0.0.1:{broker.port}", "--database", database)
        ingest = stack.enter_context(child("ingest", "fleet", "ingest", *where, "--json", errors=errors))
        uplink = stack.enter_context(child("uplink", "uplink", "--config", str(config), errors=errors))
        agent = stack.enter_context(child("agent", *_agent_arguments(wanted, config), errors=errors))
        ready = _first_line(agent, errors)
        outage = Outage(broker, wanted.broker_away_s, time.monotonic)
        yield Running(agent, uplink, ingest, str(ready["view_url"]), folder, outage)


def _agent_arguments(wanted: Wanted, config: Path) -> list[str]:
    arguments = ["run", "--config", str(config), "--source", wanted.source, "--port", str(wanted.view_port)]
    arguments += ["--runtime", wanted.runtime, "--json"]
    if wanted.bundle:
        arguments += ["--bundle", wanted.bundle]
    if wanted.seconds:
        arguments += ["--seconds", str(wanted.seconds)]
    if wanted.loop:
        arguments += ["--loop"]
    return arguments


def _first_line(agent: Child, errors: Path) -> dict[str, Any]:
    try:
        line = agent.lines.get(timeout=READY_S)
    except queue.Empty:
        line = None
    if line is None:
        raise BadConfig("demo", _last_error(errors), f"All that was said is in {errors}")
    return line


def _last_error(errors: Path) -> str:
    """What the child that failed said: its own one line, without its `error: `."""
    lines = [line for line in errors.read_text("utf-8", "replace").splitlines() if line.strip()]
    said = [line.removeprefix("error: ").rstrip(". ") for line in lines if line.startswith("error: ")]
    return said[-1] if said else "the agent ended before it was ready"


def watch(demo: Running, stop: threading.Event, tell: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Pass each committed alert to `tell` until the agent ends or `stop`; the totals.

    After the agent's end it waits until every recorded alert is committed. Raises Stopped when one is not,
    or when a program died.
    """
    committed: list[dict[str, Any]] = []
    while demo.agent.alive() and not stop.is_set():
        _check_alive(demo)
        demo.outage.step()
        _pass_on(demo.ingest, committed, tell, 0.2)
    demo.outage.end()
    demo.agent.stop()
    totals = _last_line(demo.agent, demo.folder / "programs.log")
    until = time.monotonic() + COMMITTED_S
    while len(committed) < totals["events_recorded"] and time.monotonic() < until:
        _check_alive(demo)
        _pass_on(demo.ingest, committed, tell, 0.2)
    if len(committed) < totals["events_recorded"]:
        reason = f"{len(committed)} of {totals['events_recorded']} alert messages were committed"
        raise Stopped("demo", reason, f"They wait in {demo.folder / 'state'}; see {demo.folder / 'programs.log'}")
    raised = sum(line["kind"] == "raised" for line in committed)
    return {**totals, "alerts_committed": raised, "messages_committed": len(committed)}


def _pass_on(
    ingest: Child, committed: list[dict[str, Any]], tell: Callable[[dict[str, Any]], None], wait_s: float
) -> None:
    try:
        line = ingest.lines.get(timeout=wait_s)
    except queue.Empty:
        return
    if line is not None:
        committed.append(line)
        tell(line)


def _check_alive(demo: Running) -> None:
    for program in (demo.ingest, demo.uplink):
        if not program.alive():
            raise Stopped(program.name, "ended early", f"See {demo.folder / 'programs.log'}")


def _last_line(agent: Child, errors: Path) -> dict[str, Any]:
    last: dict[str, Any] | None = None
    while not agent.lines.empty():
        last = agent.lines.get() or last
    if last is None or "frames_in" not in last:
        raise Stopped("agent", _last_error(errors), f"All that was said is in {errors}")
    return last
