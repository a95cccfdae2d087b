"""The children of powercut.py: updates of every kind, one after the other, until the power goes.

`python -m sono_edge.bench.powercut_child` reads orders, a JSON line each, and forks for each: importing takes longer
than living. It says the child's id, then `over` when that one is dead. It runs no inference and so has one thread.
"""

from __future__ import annotations

import hashlib
import os
import random
import sys
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from sono_edge.bench.candidates import repacked
from sono_edge.bench.cut_disk import CutDisk
from sono_edge.slots.boot import boot, shipped_slot
from sono_edge.slots.folder import Slots
from sono_edge.slots.law import Finding
from sono_edge.slots.records import SiteProfile, Slot, Staged
from sono_models.bundle import Bundle, read
from sono_models.messages import rfc3339


class Order(msgspec.Struct, frozen=True):
    folder: str
    notes: str
    seed: int
    die_at: int | None
    shipped: str
    finished: str
    """A file that is made when a life comes to the end of its cycles alive."""


class Life:
    """A device that is updated again and again."""

    def __init__(self, order: Order, shipped: Bundle) -> None:
        self._chance = random.Random(order.seed)  # noqa: S311  (times, not secrets)
        self._slots = Slots(Path(order.folder), disk=CutDisk(Path(order.notes), order.die_at))
        self._shipped = shipped
        self._fresh, self._sheet = (Path(order.notes).with_name(name) for name in ("fresh.tar", "fresh.json"))

    def run(self, cycles: int = 6) -> None:
        slot = boot(self._slots, lambda bundle, _: bundle, self._shipped.path).slot
        for _ in range(cycles):
            slot = self._cycle(slot)

    def _cycle(self, slot: Slot) -> Slot:
        slots = self._slots
        if slot.place == "active":
            return self._probation(slot)
        order = self._stage(slot)
        if self._chance.random() < 0.2:
            order = self._stage(slot)
        slots.take(order, slots.file_of(slot) if slot.file else self._shipped.path)
        match self._chance.randrange(8):
            case 0:
                finding = Finding("golden", "differs from its golden vectors")
                slots.refuse(order, finding, alone=order.alone)
                return slot
            case 1 if slot.file:
                return slots.roll_back(slot, Finding("operator", "by hand"), shipped_slot(self._shipped))
            case _:
                return slots.activate(order, slot, before_ms=9.0)

    def _stage(self, slot: Slot) -> Staged:
        """A bundle, a bundle with a profile, or a profile on what judges, now and then taken off again."""
        profile = self._profile() if self._chance.random() < 0.6 else None
        at = rfc3339(datetime.now(UTC))
        if self._chance.random() < 0.5 and (profile is not None or slot.profile is not None):
            running = self._slots.file_of(slot) if slot.file else self._shipped.path
            mine = (slot.name, slot.version, slot.sha256, running.stat().st_size)
            order = Staged("bench", *mine, at, 1, profile, alone=True)
            self._slots.stage(None, order, self._sheet)
            return order
        version = f"1.{self._chance.randrange(10**9)}.{self._chance.randrange(10**9)}"
        self._fresh.write_bytes(repacked(self._shipped, version))
        bundle = read(self._fresh)
        size = self._fresh.stat().st_size
        order = Staged("bench", bundle.manifest.name, version, bundle.sha256, size, at, 1, profile)
        self._slots.stage(self._fresh, order, self._sheet)
        return order

    def _profile(self) -> SiteProfile:
        """A file of a profile's size. Who signed it is not asked here: a board without `cryptography` cannot sign, and
        a start that finds its bytes whole asks the same of it whatever they say.
        """
        content = self._chance.randbytes(self._chance.randint(1500, 6000))
        self._sheet.write_bytes(content)
        version = f"1.{self._chance.randrange(10**9)}.0"
        return SiteProfile("bench", version, hashlib.sha256(content).hexdigest(), len(content))

    def _probation(self, slot: Slot) -> Slot:
        slots = self._slots
        slots.begun(slot)
        slots.steady(slot)
        slot = slots.served(slot, served_s=30.0, frames=900)
        if self._chance.random() < 0.35:
            return slots.roll_back(slot, Finding("latency", "slow"), shipped_slot(self._shipped))
        return slots.good(slot)


def main() -> None:
    shipped: Bundle | None = None
    for line in sys.stdin:
        order = msgspec.json.decode(line, type=Order)
        shipped = shipped or read(Path(order.shipped))
        child = os.fork()
        if child == 0:
            Life(order, shipped).run()
            Path(order.finished).touch()
            os._exit(0)
        _say(str(child))
        os.waitpid(child, 0)
        _say("over")


def _say(word: str) -> None:
    sys.stdout.write(word + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
