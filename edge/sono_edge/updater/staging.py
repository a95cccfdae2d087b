"""Where a verified bundle waits for the agent: `slots/staged/NAME-VERSION.tar`, and `staged.json` last."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import msgspec

from sono_models.durable import sync_file, sync_folder, write_durably


class Staged(msgspec.Struct, frozen=True):
    """`staged.json`."""

    rollout: str
    name: str
    version: str
    sha256: str
    size: int
    staged_at: str
    """RFC 3339."""
    serial: int


class Running(Protocol):
    """The bundle that the agent runs."""

    @property
    def sha256(self) -> str: ...


class StagingArea(Protocol):
    """The agent's side of the hand-over."""

    def stage(self, bundle: Path, order: Staged) -> None:
        """Take the file over. Whole or not at all. Raises Refused for what may not run here."""

    def refused(self, name: str, version: str) -> str | None:
        """Why this version may not run here again; None: it may."""

    def current(self) -> Running | None:
        """What runs now; None: the bundle that came with the agent, or it is not known."""


class _Slot(msgspec.Struct, frozen=True):
    sha256: str


class _Refusal(msgspec.Struct, frozen=True):
    name: str
    version: str
    reason: str = "it failed"


class _Refusals(msgspec.Struct, frozen=True):
    refused: tuple[_Refusal, ...] = ()


class StagedFolder:
    """`slots/`: a bundle is staged when `staged.json` names it, and not before."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._staged = folder, folder / "staged"

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
        try:
            kept = msgspec.json.decode((self._folder / "refused.json").read_bytes(), type=_Refusals)
        except (OSError, msgspec.DecodeError):
            return None
        return next((one.reason for one in kept.refused if (one.name, one.version) == (name, version)), None)

    def current(self) -> Running | None:
        try:
            return msgspec.json.decode((self._folder / "current.json").read_bytes(), type=_Slot)
        except (OSError, msgspec.DecodeError):
            return None
