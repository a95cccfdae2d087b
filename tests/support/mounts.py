"""Real drives of a stated size: a tmpfs that is mounted, and pulled as a drive is."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CAN_MOUNT = os.geteuid() == 0 and shutil.which("mount") is not None


@contextmanager
def drive(path: Path, size_kb: int) -> Iterator[Path]:
    """Mounted at `path` while the block runs, unless it was pulled."""
    path.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_kb}k", "sono-test", str(path)], check=True)
    try:
        yield path
    finally:
        if path.is_mount():
            pull(path)


def pull(path: Path) -> None:
    """Without asking whether somebody writes on it."""
    subprocess.run(["umount", "--lazy", str(path)], check=True)
