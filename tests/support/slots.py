"""Bundles on a device: the committed one under other versions, staged as the updater does."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from sono_edge.bench.candidates import Fault, repacked
from sono_edge.slots.records import Slot, Staged
from sono_models.bundle import Bundle, read
from tests.support.bundles import BREAST


@cache
def shipped() -> Bundle:
    return read(BREAST)


def made(folder: Path, version: str, fault: Fault = "none") -> tuple[Path, Staged]:
    """A bundle's file, and the order that stages it."""
    path = folder / f"breast-{version}.tar"
    path.write_bytes(repacked(shipped(), version, fault))
    bundle = read(path)
    order = Staged("r1", "breast", version, bundle.sha256, path.stat().st_size, "2026-03-01T09:30:00Z", 7)
    return path, order


def shipped_as_slot() -> Slot:
    return Slot("breast", shipped().manifest.version, shipped().sha256, "shipped")
