"""What the updates thread works with, and who else has to do with a change."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from sono_edge.engine import Engine
from sono_edge.slots.boot import Load
from sono_edge.slots.folder import Slots
from sono_edge.slots.law import Limits
from sono_edge.slots.records import Slot, Staged
from sono_edge.slots.reports import Logged, Reports
from sono_edge.slots.trial import TrialOrder

HUNG_STATUS = 70
"""The agent's exit status after a hang that it ended itself."""


def end_process() -> None:
    """The loop hangs in foreign code: nothing but the end of the process gets it out. systemd starts it again."""
    logging.shutdown()
    os._exit(HUNG_STATUS)


@dataclass(frozen=True, slots=True)
class Means:
    """What the thread works with. `engine_of` verifies a bundle and raises Refused where it is not fit."""

    slots: Slots
    limits: Limits
    engine_of: Load[Engine]
    shipped: Path
    trial: TrialOrder
    """Its bundles are filled in for each candidate."""
    shadow_per_s: float = 2.0
    quiet_s: float = 60.0
    clock: Callable[[], float] = time.monotonic
    die: Callable[[], None] = end_process
    profile_key: str = ""
    """Of the profiles that the fleet rolls out; empty: none is taken."""

    def trial_of(self, order: Staged, running: Slot, bundle: Path, current: Path) -> TrialOrder:
        """Of a candidate at `bundle`, under the profile that came with it, else under model.profile."""
        profile = self.slots.profile_of(order)
        usual = self.trial
        sealed = (usual.profile, usual.profile_key) if profile is None else (str(profile), self.profile_key)
        whose = (str(bundle), str(current), running.name, order.version)
        bare = order.profile is not None or running.profile is not None
        return TrialOrder(*whose, usual.runtime, usual.threads, *sealed, usual.site, bare)


@dataclass(frozen=True, slots=True)
class Around:
    """Who else has to do with a change."""

    reports: Reports = field(default_factory=Logged)
    changed: Callable[[Engine], None] = lambda _: None
    """Called by the loop with the engine that judges from here on; returns at once."""
    scan_runs: Callable[[], bool] = lambda: False
    tidy: Callable[[], None] = lambda: None
    """Hands freed memory back to the system."""
