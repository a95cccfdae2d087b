"""Where a verified bundle waits for the agent: `slots/staged/NAME-VERSION.tar`, and `staged.json` last."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import msgspec

from sono_models.durable import sync_file, sync_folder, write_durably


class Staged(msgspec.Struct, frozen=True):
    """`staged.json`."""

    rollout: str
    name: str
    version: str
    sha256: str
    size: int
    staged_at: datetime
    serial: int


class StagingArea(Protocol):
    """The agent's side of the hand-over."""

    def stage(self, bundle: Path, order: Staged) -> None:
        """Take the file over. Whole or not at all. Raises Refused for what may not run here."""

    def refused(self, name: str, version: str) -> str | None:
        """Why this version may not run here again; None: it may."""


class StagedFolder:
    """`slots/`: a bundle is staged when `staged.json` names it, and not before."""

    def __init__(self, folder: Path) -> None:
        self._staged = folder / "staged"
        self._refused = folder / "refused.json"

    def stage(self, bundle: Path, order: Staged) -> None:
        self._staged.mkdir(parents=True, exist_ok=True)
        record = self._staged / "staged.json"
        record.unlink(missing_ok=True)
        sync_folder(self._staged)
        for old in self._staged.glob("*.tar"):
            old.unlink()
        place = self._staged / f"{order.name}-{order.version}.tar"
        sync_file(bundle)
        bundle.replace(place)
        sync_folder(self._staged)
        write_durably(record, msgspec.json.encode(order))

    def refused(self, name: str, version: str) -> str | None:
        """Reads what the slots keep: {"NAME-VERSION": reason} or [{name, version, reason}, …]."""
        try:
            kept: Any = msgspec.json.decode(self._refused.read_bytes())
        except (OSError, msgspec.DecodeError):
            return None
        if isinstance(kept, dict):
            found = kept.get(f"{name}-{version}")
            return str(found) if found is not None else None
        for one in kept if isinstance(kept, list) else ():
            if isinstance(one, dict) and (one.get("name"), one.get("version")) == (name, version):
                return str(one.get("reason", "it failed"))
        return None
