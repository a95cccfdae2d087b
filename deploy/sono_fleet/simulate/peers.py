"""The real peers of a simulation: a broker, and our own ingest and engine as children."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from sono_models.errors import BadConfig, BrokerLost, Stopped

SONO = (sys.executable, "-m", "sono_models.command")
READY_S, STOP_S = 20.0, 15.0
SETTINGS = """\
listener {port} 127.0.0.1
allow_anonymous true
persistence false
max_queued_messages 100000
max_inflight_messages 2000
user {user}
"""


@dataclass(frozen=True, slots=True)
class Child:
    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def check(self) -> None:
        """Raises Stopped when it ended."""
        if self.process.poll() is not None:
            raise Stopped(self.name, f"ended early with status {self.process.returncode}", f"See {self.log}")

    def memory_kb(self) -> int:
        """Resident, now."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text("utf-8").splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        return 0

    def cpu_s(self) -> float:
        """Processor time so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text("utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def child(name: str, *command: str, folder: Path) -> Iterator[Child]:
    """A program of ours or a broker; asked to end, then made to."""
    log = folder / f"{name}.log"
    with log.open("ab") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, start_new_session=True)  # noqa: S603
    try:
        yield Child(name, process, log)
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def broker(folder: Path) -> Iterator[tuple[str, int]]:
    """Mosquitto on a free port of this machine. Raises BadConfig when it is not installed."""
    found = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    if found is None:
        raise BadConfig("the simulation", "mosquitto is not installed", "apt-get install mosquitto, or give --broker")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    settings = folder / "mosquitto.conf"
    settings.write_text(SETTINGS.format(port=port, user=folder.owner()), "utf-8")
    with child("mosquitto", found, "-c", str(settings), folder=folder) as running:
        until = time.monotonic() + READY_S
        while not _answers(port):
            running.check()
            if time.monotonic() > until:
                raise BrokerLost("mosquitto", f"no answer in {READY_S:g} s", f"See {running.log}")
            time.sleep(0.05)
        yield "127.0.0.1", port


@contextmanager
def programs(where: tuple[str, int], database: str, key: Path, folder: Path, engines: int) -> Iterator[list[Child]]:
    """One ingest, then so many engines."""
    at = ("--broker", f"{where[0]}:{where[1]}", "--database", database)
    with ExitStack() as stack:
        taker = stack.enter_context(child("ingest", *SONO, "fleet", "ingest", *at, folder=folder))
        running = [taker]
        for number in range(engines):
            name = f"engine-{number + 1}"
            command = (*SONO, "fleet", "engine", *at, "--key", str(key), "--every", "0.25", "--name", name)
            running.append(stack.enter_context(child(name, *command, folder=folder)))
        yield running


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0):
            return True
    except OSError:
        return False
