"""What the updater is to fetch: the fleet's signed order as the uplink left it, or the newest on a stick."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from sono_models import desired
from sono_models.desired import Desired
from sono_models.errors import BadConfig

OFFLINE = "offline"
"""The roll-out that an update from a stick belongs to."""


@dataclass(frozen=True, slots=True)
class Order:
    """One bundle to have. `deadline` None: none (a stick)."""

    rollout: str
    serial: int
    name: str
    version: str
    target: str
    sha256: str
    size: int
    not_before: datetime | None = None
    deadline: datetime | None = None
    cancelled: bool = False
    profile: str = ""
    """The path of the site profile that goes with it; empty: the bundle's own threshold and limits."""
    profile_sha256: str = ""

    @property
    def pair(self) -> tuple[str, str]:
        """What is to judge: the bundle's sha256 and the profile's."""
        return self.sha256, self.profile_sha256

    @property
    def key(self) -> str:
        """The same for the same order told twice."""
        return f"{self.rollout}/{self.serial}/{self.sha256}"


class Orders(Protocol):
    """Where orders come from."""

    def current(self) -> Order | None:
        """The order that stands; None: there is none. Raises BadOrder for one that is forged or another's."""

    def changed(self) -> bool:
        """Whether to look again. Cheap: asked for every piece that arrives."""


class DesiredFile:
    """`desired.json` in the state folder: verified here once more, since a file can be written by others."""

    def __init__(self, path: Path, public: Path, *, site: str, device: str) -> None:
        self._path, self._public, self._site, self._device = path, public, site, device
        self._seen = self._mark()

    def current(self) -> Order | None:
        self._seen = self._mark()
        try:
            with self._path.open("rb") as file:
                raw = file.read(desired.MAX_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            reason = error.strerror or "it cannot be read"
            raise BadConfig(str(self._path), reason, "Make it readable to the user that runs sono") from error
        return _order(desired.opened(raw, self._public, site=self._site, device=self._device))

    def changed(self) -> bool:
        return self._mark() != self._seen

    def _mark(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size


class NoOrders:
    """A stick has no order: what is on it stands."""

    def current(self) -> Order | None:
        return None

    def changed(self) -> bool:
        return False


def _order(wanted: Desired) -> Order:
    return Order(
        wanted.rollout,
        wanted.serial,
        wanted.bundle,
        wanted.version,
        wanted.target,
        wanted.sha256,
        wanted.size,
        wanted.not_before,
        wanted.deadline,
        wanted.cancelled,
        wanted.profile_target,
        wanted.profile_sha256,
    )
