"""Mosquitto as a real peer: a second broker, whose acknowledgement is not a promise of durability."""

from __future__ import annotations

import shutil
import socket
import subprocess
from pathlib import Path
from typing import IO, Self

from tests.support.waiting import until

SETTINGS = """\
listener {port} 127.0.0.1
allow_anonymous true
persistence true
persistence_location {folder}/
autosave_interval 1
user {user}
"""


def mosquitto() -> str | None:
    """Where it is installed; Debian has it beside the servers."""
    return shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin") or shutil.which("mosquitto")


class Mosquitto:
    """The same seam as EmbeddedBroker."""

    def __init__(self, folder: Path) -> None:
        self.host, self.port = "127.0.0.1", 0
        self._folder = folder
        self._child: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        with socket.socket() as probe:
            probe.bind((self.host, 0))
            self.port = probe.getsockname()[1]
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.kill()

    def start(self) -> None:
        binary = mosquitto()
        assert binary is not None
        settings = self._folder / "mosquitto.conf"
        user = self._folder.owner()  # started as root it would become another, who may not write here
        settings.write_text(SETTINGS.format(port=self.port, folder=self._folder, user=user), encoding="utf-8")
        self._log = (self._folder / "mosquitto.log").open("ab")
        self._child = subprocess.Popen([binary, "-c", str(settings)], stdout=self._log, stderr=self._log)
        until(self._answers)

    def kill(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.wait(10)
            self._child = None
        if self._log is not None:
            self._log.close()
            self._log = None

    def _answers(self) -> bool:
        try:
            with socket.create_connection((self.host, self.port), timeout=1.0):
                return True
        except OSError:
            return False
