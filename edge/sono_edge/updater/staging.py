"""The seam to the slots, where a verified bundle waits for the agent; behind it stands `slots.folder.Slots`."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from sono_edge.slots.records import Slot, Staged


class StagingArea(Protocol):
    """The agent's side of the hand-over."""

    def current(self) -> Slot | None:
        """What judges frames now; None: no update was ever taken."""
        ...

    def file_of(self, slot: Slot) -> Path:
        """Where a slot's bundle lies."""
        ...

    def staged(self) -> Staged | None:
        """What waits, or is being tried; None: nothing."""
        ...

    def unstage(self, order: Staged) -> None:
        """It is not to be tried any more; nothing where another waits."""
        ...

    def stage(self, bundle: Path | None, order: Staged, profile: Path | None = None) -> None:
        """Take a copy. Whole or not at all. `bundle` None: it is here. Raises Refused for what may not run here."""
        ...

    def refused(self, name: str, version: str, sha256: str = "-", profile_sha256: str = "") -> str | None:
        """Why this version, or this profile on it, may not run here again; None: it may."""
        ...
