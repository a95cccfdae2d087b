"""A store whose disk answers only when it is let go, and one that takes nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from sono_edge.scan.store import Store
from sono_models.errors import DiskFull


class BlockedStore(Store):
    """Every write waits for `free`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, 100)
        self.free = threading.Event()
        self.entered = threading.Event()

    def put_by(self, scan: str, name: str, write: Callable[[Path], object]) -> bool:
        self.entered.set()
        self.free.wait(60)
        return super().put_by(scan, name, write)


class FullStore(Store):
    """A disk without room while `full` is set."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, 100)
        self.full = True

    def put_by(self, scan: str, name: str, write: Callable[[Path], object]) -> bool:
        if self.full:
            raise DiskFull(scan, "no room left on the disk", "Free some space")
        return super().put_by(scan, name, write)
