"""The updater's parts, wired: over the network for the fleet's order, or from a stick."""

from __future__ import annotations

import fcntl
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sono_edge.config import AgentConfig
from sono_edge.delivery import BackOff
from sono_edge.slots.folder import Slots
from sono_edge.updater.budget import FILE, Budget
from sono_edge.updater.order import DesiredFile, NoOrders
from sono_edge.updater.repository import FolderRepository
from sono_edge.updater.retries import Retries
from sono_edge.updater.run import Here, Reports, Update, Ways
from sono_edge.updater.web import Tls, WebRepository
from sono_models import desired
from sono_models.bundle import default_path
from sono_models.durable import is_full
from sono_models.errors import BadConfig, DiskFull, Stopped

STEP_S = 0.5
MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Clocks:
    """The wall clock, a clock that only goes forward, and chance."""

    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    monotonic: Callable[[], float] = time.monotonic
    chance: Callable[[], float] = random.random


@contextmanager
def updating(
    config: AgentConfig,
    reports: Reports,
    stop: threading.Event,
    *,
    stick: Path | None = None,
    clocks: Clocks = Clocks(),
) -> Iterator[Update]:
    """One run, ready to go; there is never more than one. Raises BadConfig, Stopped."""
    state = Path(config.state.folder)
    settings = config.update
    if not settings.root:
        raise BadConfig("update.root", "it is empty", "Name the root that `sono fleet init` made for the devices")
    if config.slots is None:
        raise BadConfig("trial.folder", "it is empty, so no staged bundle would be taken", "Name a folder")
    here = Here(
        settings.bundle,
        settings.channel,
        settings.device_class,
        state,
        config.slots,
        Path(settings.root),
        config.device.site,
        Path(config.profile_key) if config.profile_key else None,
        Path(config.model.bundle) if config.model.bundle else default_path(),
    )
    made: list[Update] = []

    def pause(seconds: float) -> None:
        end = clocks.monotonic() + seconds
        while (left := end - clocks.monotonic()) > 0:
            made[0].check()
            stop.wait(min(left, STEP_S))

    with _on_disk(state), ExitStack() as stack:
        state.mkdir(parents=True, exist_ok=True)
        stack.enter_context(_alone(state / ".updater.lock"))
        back_off = BackOff(settings.retry_first_s, settings.retry_longest_s, clocks.chance)
        retries = Retries(settings.retries, back_off, pause)
        ways = _from_stick(stick, retries) if stick else _from_network(config, retries, clocks, stack)
        made.append(Update(here, ways, Slots(here.slots), reports, stop=stop, now=clocks.now))
        yield made[0]


def _from_stick(stick: Path, retries: Retries) -> Ways:
    if not (stick / "metadata").is_dir():
        raise BadConfig(f"--from {stick}", "holds no metadata/", "Copy the whole repository onto it")
    return Ways(FolderRepository(stick), NoOrders(), retries)


def _from_network(config: AgentConfig, retries: Retries, clocks: Clocks, stack: ExitStack) -> Ways:
    settings = config.update
    for name in ("url", "desired_key"):
        if not getattr(settings, name):
            raise BadConfig(f"update.{name}", "it is empty", f"Set update.{name}, or bring a stick: --from FOLDER")
    state = Path(config.state.folder)
    budget = stack.enter_context(Budget(state / FILE, settings.budget_mb * MB, clocks.now()))
    repository = WebRepository(
        settings.url,
        retries,
        tls=Tls(settings.tls_ca, settings.tls_cert, settings.tls_key),
        proxy=settings.proxy,
        timeout_s=settings.timeout_s,
        slowest=settings.slowest_bytes_s,
        take=budget.take,
        clock=clocks.monotonic,
    )
    orders = DesiredFile(
        state / desired.FILE, Path(settings.desired_key), site=config.device.site, device=config.device.id
    )
    return Ways(repository, orders, retries, budget)


@contextmanager
def _on_disk(state: Path) -> Iterator[None]:
    """Troubles of the disk, in words; what was there stays."""
    try:
        yield
    except OSError as error:
        if is_full(error):
            raise DiskFull(str(state), "no room left on the disk", "Free some space; it goes on by itself") from error
        where = str(error.filename or state)
        raise Stopped(where, error.strerror or "it cannot be used", "Make it writable to who runs sono") from error


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise Stopped("the updater", "another one is at work", "Wait for it to end") from error
    finally:
        os.close(descriptor)
