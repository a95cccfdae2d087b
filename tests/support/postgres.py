"""PostgreSQL as a real peer: a cluster of its own in a folder of its own, on a free port of this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from tests.support.ports import free_port

USER = "postgres"


def _binaries() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    assert found, "Debian's postgresql is not installed"
    return found[-1].parent


class Postgres:
    """A context manager: inside it the server answers on `url` (for SQLAlchemy)."""

    def __init__(self) -> None:
        self._binaries = _binaries()
        self._folder = Path(tempfile.mkdtemp(prefix="sono-postgres-"))
        as_root = os.geteuid() == 0  # it refuses to run as root
        if as_root:
            shutil.chown(self._folder, USER, USER)
        self._who = ("runuser", "-u", USER, "--") if as_root else ()
        self._port = free_port()
        self.url = f"postgresql+psycopg://{USER}@127.0.0.1:{self._port}/postgres"

    def __enter__(self) -> Self:
        try:
            made = (str(self._binaries / "initdb"), "-D", str(self._data), "-A", "trust", "-U", USER, "--no-sync")
            self._run(*made)
            self.start()
        except BaseException:
            shutil.rmtree(self._folder)
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        try:
            self.crash()
        finally:
            shutil.rmtree(self._folder)

    def start(self) -> None:
        options = f"-c listen_addresses=127.0.0.1 -c port={self._port} -c unix_socket_directories={self._folder}"
        self._control("-l", str(self._folder / "log"), "-o", options, "start")

    def crash(self) -> None:
        """No shutdown: the next start recovers from its log of writes."""
        self._control("-m", "immediate", "stop")

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def _control(self, *arguments: str) -> None:
        self._run(str(self._binaries / "pg_ctl"), "-D", str(self._data), "-w", "-t", "120", *arguments)

    def _run(self, *command: str) -> None:
        subprocess.run((*self._who, *command), check=True, capture_output=True, cwd=self._folder)


@contextmanager
def postgres() -> Iterator[str]:
    """Its URL for SQLAlchemy."""
    with Postgres() as server:
        yield server.url
