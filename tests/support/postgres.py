"""PostgreSQL as a real peer: a cluster of its own in a folder of its own, on a free port of this machine."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

USER = "postgres"


def _binaries() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    assert found, "Debian's postgresql is not installed"
    return found[-1].parent


@contextmanager
def postgres() -> Iterator[str]:
    """Its URL for SQLAlchemy."""
    binaries = _binaries()
    folder = Path(tempfile.mkdtemp(prefix="sono-postgres-"))
    as_root = os.geteuid() == 0  # it refuses to run as root
    if as_root:
        shutil.chown(folder, USER, USER)
    who = ("runuser", "-u", USER, "--") if as_root else ()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data, log = folder / "data", folder / "log"
    options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder}"
    control = (*who, str(binaries / "pg_ctl"), "-D", str(data), "-w", "-t", "60")
    made = (*who, str(binaries / "initdb"), "-D", str(data), "-A", "trust", "-U", USER, "--no-sync")
    try:
        subprocess.run(made, check=True, capture_output=True, cwd=folder)
        subprocess.run((*control, "-l", str(log), "-o", options, "start"), check=True, capture_output=True, cwd=folder)
        try:
            yield f"postgresql+psycopg://{USER}@127.0.0.1:{port}/postgres"
        finally:
            subprocess.run((*control, "-m", "immediate", "stop"), check=True, capture_output=True, cwd=folder)
    finally:
        shutil.rmtree(folder)
