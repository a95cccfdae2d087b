"""Bundles on a device: the committed one under other versions, staged as the updater does."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from sono_edge.bench.candidates import Fault, repacked
from sono_edge.slots.records import SiteProfile, Slot, Staged
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


def alone(folder: Path, slot: Slot, text: str | None) -> tuple[Path, Staged]:
    """A site profile's file for the bundle that judges, and the order that stages it; None: it is taken off."""
    path = folder / "site.profile.json"
    path.write_text(text or "", "utf-8")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    profile = SiteProfile("clinic-a", "1.0.0", digest, path.stat().st_size) if text else None
    mine = (slot.name, slot.version, slot.sha256, shipped().path.stat().st_size)
    return path, Staged("r2", *mine, "2026-03-01T10:30:00Z", 8, profile, alone=True)


def shipped_as_slot() -> Slot:
    return Slot("breast", shipped().manifest.version, shipped().sha256, "shipped")
