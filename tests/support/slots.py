"""Bundles on a device: the committed one under other versions, staged as the updater does."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from sono_edge.bench.candidates import Fault, repacked
from sono_edge.slots.law import Limits
from sono_edge.slots.records import SiteProfile, Slot, Staged
from sono_models.bundle import Bundle, read
from sono_models.updates import UpdateReport
from tests.support.bundles import BREAST

PATIENCE_S = 300.0
LIMITS = Limits(
    shadow_frames=3, probation_s=0.1, probation_frames=5, hang_s=1e6, latency_ratio=4.0, probation_ratio=1e6
)
"""This machine is slow and shared: no limit on time but where a test is about one."""


@dataclass(slots=True)
class Told:
    """Where reports go: a list."""

    reports: list[UpdateReport] = field(default_factory=list)

    def report(self, report: UpdateReport) -> None:
        self.reports.append(report)

    def phases(self) -> list[str]:
        return [report.phase for report in self.reports]


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
