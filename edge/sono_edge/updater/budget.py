"""How many bytes a month the updater may take off the network: counted on the disk, and before they arrive."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Self

import msgspec

from sono_edge.updater.refusal import Code, UpdateRefused
from sono_models.durable import write_durably

FILE = "update-budget.json"
AHEAD = 1 << 20
"""So much is written down ahead: after a kill at most this much is counted too much, never too little."""


class Spent(msgspec.Struct, frozen=True):
    month: str = ""
    bytes: int = 0


class Budget:
    """A context manager: leaving it writes down what was really taken."""

    def __init__(self, path: Path, limit_bytes: int, now: datetime) -> None:
        self._path, self._limit, self._month = path, limit_bytes, f"{now:%Y-%m}"
        spent = _read(path)
        self.spent = spent.bytes if spent.month == self._month else 0
        self._written = self.spent

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._write(self.spent)

    def take(self, count: int) -> None:
        """Before so many bytes are used. Raises UpdateRefused when the month has no more."""
        if self.spent + count > self._limit:
            raise UpdateRefused(Code.BUDGET, "the download", f"{self.spent} of {self._limit} bytes in {self._month}")
        if self.spent + count > self._written:
            self._write(min(self.spent + count + AHEAD, self._limit))
        self.spent += count

    def room_for(self, count: int) -> bool:
        return self.spent + count <= self._limit

    def _write(self, count: int) -> None:
        if count != self._written:
            write_durably(self._path, msgspec.json.encode(Spent(self._month, count)))
            self._written = count


def _read(path: Path) -> Spent:
    """A damaged count is none: it costs money, not safety."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Spent)
    except (OSError, msgspec.DecodeError):
        return Spent()
