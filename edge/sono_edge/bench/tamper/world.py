"""A genuine repository at several moments, made by the fleet's own commands; devices that have followed it; a thief.

The commands run as children: this side may not import the fleet's.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import FetcherInterface

from sono_edge.bench.tamper.stand_in import stand_in
from sono_edge.delivery import BackOff
from sono_edge.slots.folder import Slots
from sono_edge.updater.order import Order
from sono_edge.updater.repository import METADATA, TARGETS, Stream
from sono_edge.updater.retries import Retries
from sono_edge.updater.run import Here, Outcome, Update, Ways
from sono_models.release import Place
from sono_models.updates import UpdateReport

SONO = (sys.executable, "-m", "sono_models.command")
Files: TypeAlias = Mapping[str, bytes]
"""A repository's public files by name: `metadata/timestamp.json` …"""


class MemoryRepository:
    """Hands out files from memory, and notes which were asked for."""

    def __init__(self, files: Files) -> None:
        self.files, self.asked = files, set[str]()
        self.metadata_url = f"memory:///{METADATA}/"
        self.fetcher: FetcherInterface = _MemoryFetcher(self)

    def content(self, name: str) -> bytes:
        self.asked.add(name)
        if name not in self.files:
            raise DownloadHTTPError(f"no {name}", 404)
        return self.files[name]

    @contextmanager
    def open(self, file: str, offset: int, length: int) -> Iterator[Stream]:
        del length
        yield Stream(offset, iter([self.content(f"{TARGETS}/{file}")[offset:]]))


class _MemoryFetcher(FetcherInterface):
    def __init__(self, repository: MemoryRepository) -> None:
        self._repository = repository

    def _fetch(self, url: str) -> Iterator[bytes]:
        yield self._repository.content(url.removeprefix("memory:///"))


@dataclass(frozen=True, slots=True)
class Fixed:
    """An order that stands, as the fleet signed it; None: a stick, where the newest that is signed for is wanted."""

    order: Order | None

    def current(self) -> Order | None:
        return self.order

    def changed(self) -> bool:
        return False


class Deaf:
    """Hears no report."""

    def report(self, report: UpdateReport) -> None:
        pass


@dataclass(slots=True)
class World:
    """`moments`: the repository's files after each step; `devices`: state folders of devices that followed so far."""

    folder: Path
    moments: dict[str, Files] = field(default_factory=dict)
    foreign: Files = field(default_factory=dict)
    devices: dict[str, Path] = field(default_factory=dict)

    @property
    def now(self) -> Files:
        return self.moments["now"]

    @property
    def root(self) -> Path:
        return self.folder / "root.json"

    def keys(self, moment: str) -> Path:
        """The keys as they were then."""
        return self.folder / f"keys-{moment}"


def build(folder: Path) -> World:
    """Three releases with changes of keys between, a second model, a repository of a stranger."""
    world = World(folder)
    _fleet(folder, "init", "--model", "breast", "--model", "lung")
    shutil.copy(folder / "repository" / METADATA / "1.root.json", world.root)
    for moment, version in (("first", "1.0.0"), ("second", "1.1.0"), ("now", "1.2.0")):
        _publish(folder, version)
        if moment == "now":
            for role in ("root", "timestamp"):
                _fleet(folder, "keys", "rotate", role)
        world.moments[moment] = _files(folder / "repository")
        shutil.copytree(folder / "keys", world.keys(moment))
        _follow(world, moment)
    world.devices["new"] = folder / "device-new"
    world.devices["new"].mkdir()
    wiped = folder / "device-wiped"
    shutil.copytree(world.devices["now"], wiped, symlinks=True)
    shutil.rmtree(wiped / "tuf")
    world.devices["wiped"] = wiped
    _stranger(world)
    return world


def order_for(files: Files, version: str) -> Order:
    """What the fleet would order of these files."""
    place = Place("breast", "stable", version)
    (name,) = (name for name in files if name.endswith(f".breast-{version}.tar"))
    sha256 = hashlib.sha256(files[name]).hexdigest()
    return Order("bench", 1, "breast", version, place.path, sha256, len(files[name]))


def attempt(
    world: World, device: Path, files: Files, order: Order | None, *, now: datetime | None = None
) -> tuple[Outcome, MemoryRepository]:
    """One run of the updater on this device's state, which it changes. Raises what the updater raises."""
    repository = MemoryRepository(files)
    retries = Retries(0, BackOff(1, 1, lambda: 0.5), lambda _: None)
    ways = Ways(repository, Fixed(order), retries)
    here = Here("breast", "stable", "", device, device / "slots", world.root)
    at = now or datetime.now(UTC)
    update = Update(here, ways, Slots(here.slots), Deaf(), stop=threading.Event(), now=lambda: at)
    return update.run(), repository


def _follow(world: World, moment: str) -> None:
    """A device that has seen everything up to here."""
    device = world.folder / f"device-{moment}"
    device.mkdir()
    attempt(world, device, world.moments[moment], None)
    for left in ("update-stick.json", "slots"):
        path = device / left
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    world.devices[moment] = device


def _publish(folder: Path, version: str, *, name: str = "breast", seed: int = 0) -> None:
    tar = folder / f"{name}-{version}.tar"
    tar.write_bytes(stand_in(version, name=name, seed=seed))
    _fleet(folder, "publish", str(tar))


def _stranger(world: World) -> None:
    """Someone else's repository: whole, well signed, with a bundle that claims to be the next one."""
    folder = world.folder / "stranger"
    folder.mkdir()
    _fleet(folder, "init", "--model", "breast")
    for version in ("1.0.0", "1.1.0", "1.2.0"):
        _publish(folder, version, seed=666)
    for role in ("root", "timestamp"):
        _fleet(folder, "keys", "rotate", role)
    world.foreign = _files(folder / "repository")


def _files(repository: Path) -> dict[str, bytes]:
    public = (repository / METADATA, repository / TARGETS)
    return {
        str(path.relative_to(repository)): path.read_bytes()
        for folder in public
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _fleet(folder: Path, *words: str) -> None:
    places = ("--repository", str(folder / "repository"), "--keys", str(folder / "keys"))
    subprocess.run([*SONO, "fleet", *words, *places], check=True, capture_output=True)  # noqa: S603  (our own command)
