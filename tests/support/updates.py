"""A fleet that publishes and a device that updates, both real, with clocks of their own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import msgspec

from sono_edge.bench.tamper.stand_in import stand_in
from sono_edge.config import AgentConfig, with_
from sono_edge.updater.compose import Clocks, updating
from sono_edge.updater.run import Outcome, Update
from sono_fleet.publish import drills, releases
from sono_fleet.publish.keys import KeyFolder
from sono_fleet.publish.repository import Days, Settings, SignedRepository, changing
from sono_models.desired import FILE, Desired, signed
from sono_models.durable import write_durably
from sono_models.envelope import make_keys
from sono_models.release import Place
from sono_models.updates import UpdateReport

NOW = datetime.now(UTC).replace(microsecond=0)
"""python-tuf asks the machine's clock, so that tests live now."""
ORDER_KEYS = make_keys()
SITE, DEVICE = "clinic-a", "board-1"


@dataclass(slots=True)
class Fleet:
    """A repository in a folder, its keys in another."""

    folder: Path
    now: datetime = NOW

    @property
    def repository(self) -> Path:
        return self.folder / "repository"

    @property
    def keys(self) -> Path:
        return self.folder / "keys"

    def init(self, *, models: tuple[str, ...] = ("breast",), days: Days | None = None) -> Path:
        settings = Settings(days=days or Days())
        return drills.init(self.repository, self.keys, models=models, settings=settings, now=self.now)

    @contextmanager
    def change(self) -> Iterator[SignedRepository]:
        """A change that is committed when the block ends well."""
        with changing(self.repository, KeyFolder.opened(self.keys), self.now) as repository:
            yield repository
            repository.keys.save()
            repository.commit()
            repository.keys.drop_retired()

    def publish(self, content: bytes, *, channel: str = "stable", devices: tuple[str, ...] = ()) -> releases.Published:
        path = self.folder / "outgoing.tar"
        path.write_bytes(content)
        with self.change() as repository:
            return releases.publish(repository, path, channel, devices)

    def rotate(self, role: str, *, destroy: bool = False) -> None:
        with self.change() as repository:
            drills.replace_key(repository, drills.oldest_key(repository, role), destroy=destroy)

    def refresh(self) -> None:
        with self.change() as repository:
            repository.renew()


class Heard:
    """Keeps every report."""

    def __init__(self) -> None:
        self.reports: list[UpdateReport] = []

    def report(self, report: UpdateReport) -> None:
        self.reports.append(report)

    @property
    def phases(self) -> list[str]:
        return [report.phase for report in self.reports]

    @property
    def code(self) -> str:
        return self.reports[-1].code


class SteadyClock:
    """Seconds that pass only when somebody waits, or a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 0.25
        return self.now


@dataclass(slots=True)
class Device:
    """A device's state folder; each `update` is a run of its own, as of a new process."""

    folder: Path
    root: Path
    url: str = ""
    settings: dict[str, object] = field(default_factory=dict)
    now: datetime = NOW
    heard: Heard = field(default_factory=Heard)
    stop: threading.Event = field(default_factory=threading.Event)
    monotonic: SteadyClock = field(default_factory=SteadyClock)

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def config(self) -> AgentConfig:
        key = self.folder / "orders.pub"
        if not key.is_file():
            key.write_bytes(ORDER_KEYS.public)
        update = {
            "root": str(self.root),
            "url": self.url,
            "desired_key": str(key),
            "retry_first_s": 0.001,
            "retry_longest_s": 0.002,
            "timeout_s": 5.0,
            **self.settings,
        }
        place = {"folder": str(self.state)}
        return with_(AgentConfig(), device={"site": SITE, "id": DEVICE}, state=place, update=update)

    def update(self, stick: Path | None = None) -> Outcome:
        with self.run(stick) as run:
            return run.run()

    @contextmanager
    def run(self, stick: Path | None = None) -> Iterator[Update]:
        clocks = Clocks(lambda: self.now, self.monotonic, lambda: 0.5)
        with updating(self.config, self.heard, self.stop, stick=stick, clocks=clocks) as made:
            yield made

    def order(self, content: bytes, version: str, **changes: object) -> Desired:
        """The fleet's signed document, where the uplink would put it."""
        name = str(changes.pop("bundle", "breast"))
        values: dict[str, object] = {
            "site": SITE,
            "device": DEVICE,
            "serial": 1,
            "rollout": "r1",
            "bundle": name,
            "version": version,
            "target": Place(name, "stable", version).path,
            "sha256": sha256(content).hexdigest(),
            "size": len(content),
            "not_before": NOW - timedelta(hours=1),
            "deadline": NOW + timedelta(hours=6),
            **changes,
        }
        wanted = msgspec.convert(values, Desired)
        self.state.mkdir(parents=True, exist_ok=True)
        write_durably(self.state / FILE, signed(wanted, ORDER_KEYS.private))
        return wanted

    @property
    def staged(self) -> bytes | None:
        """What waits for the agent; None: nothing that counts."""
        folder = self.state / "slots" / "staged"
        if not (folder / "staged.json").is_file():
            return None
        (tar,) = folder.glob("*.tar")
        return tar.read_bytes()


BUNDLES = {version: stand_in(version, size=60_000) for version in ("1.0.0", "1.1.0", "1.2.0")}
"""Whole bundles of a quarter of a megabyte that hold no model."""
