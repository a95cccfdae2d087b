"""The campaign: every forgery, drawn until there are enough, before devices that had followed to different points."""

from __future__ import annotations

import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sono_edge.bench.tamper import line, stolen
from sono_edge.bench.tamper.scene import Scene, keys_of
from sono_edge.bench.tamper.world import Files, World, attempt, build, order_for
from sono_edge.updater.order import Order
from sono_edge.updater.refusal import UpdateRefused
from sono_edge.updater.run import Outcome
from sono_models.errors import BadConfig

FORGERIES = (*line.FORGERIES, *stolen.FORGERIES)
MEMORY = Path("/dev/shm")  # noqa: S108  (a few megabytes; the campaign's fsyncs would else be most of it)


@dataclass(frozen=True, slots=True)
class Case:
    """An altered repository before one device. `order` None: a stick, and the newest on it is wanted."""

    forgery: str
    device: str
    files: Files
    order: Order | None


@dataclass(slots=True)
class Tally:
    genuine: int = 0
    tampered: int = 0
    accepted: list[str] = field(default_factory=list)
    crashed: list[str] = field(default_factory=list)
    refused_by: Counter[str] = field(default_factory=Counter)
    forgeries: Counter[str] = field(default_factory=Counter)


def run(*, count: int = 1000, seed: int = 1) -> dict[str, Any]:
    """The figures: tampered, accepted, refused_by … `genuine`: untouched updates that were taken, as they must be."""
    began = time.monotonic()
    place = str(MEMORY) if MEMORY.is_dir() else None
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="sono-tamper-", dir=place) as folder:
        world = build(Path(folder))
        _drawn(world, count, random.Random(seed), tally)  # noqa: S311  (cases, not secrets)
        _replayed(world, tally)
    return {
        "tampered": tally.tampered,
        "accepted": len(tally.accepted),
        "accepted_what": tally.accepted[:10],
        "crashed": len(tally.crashed),
        "crashed_what": tally.crashed[:10],
        "refused_by": dict(tally.refused_by.most_common()),
        "forgeries": dict(sorted(tally.forgeries.items())),
        "genuine": tally.genuine,
        "seed": seed,
        "seconds": round(time.monotonic() - began, 1),
    }


def _drawn(world: World, count: int, chance: random.Random, tally: Tally) -> None:
    keys, order = keys_of(world.keys("now")), order_for(world.now, "1.2.0")
    asked = {name: _genuine(world, state, order) for name, state in world.devices.items()}
    tally.genuine = len(asked)
    names = sorted(asked)
    while tally.tampered < count:
        forgery, name = chance.choice(FORGERIES), chance.choice(names)
        files = forgery(Scene(world, name, asked[name], chance, keys))
        if files is not None:
            case = Case(forgery.__name__, name, files, chance.choice([order, None]))
            _judge(world, case, tally)


def _replayed(world: World, tally: Tally) -> None:
    """Whole old moments, genuine and unexpired, before devices that have seen newer ones."""
    for moment, version, seen in (
        ("first", "1.0.0", ("second", "now", "wiped")),
        ("second", "1.1.0", ("now", "wiped")),
    ):
        files = world.moments[moment]
        for name in seen:
            for order in (order_for(files, version), None):
                _judge(world, Case("whole_old_moment", name, files, order), tally)


def _genuine(world: World, state: Path, order: Order) -> tuple[str, ...]:
    """The untouched update must be taken; the files that this device asked for."""
    with _copy(state) as device:
        outcome, repository = attempt(world, device, world.now, order)
    if outcome is not Outcome.STAGED:
        raise BadConfig("bench tamper", f"{state.name} did not take the genuine update", "See the log")
    return tuple(sorted(repository.asked & set(world.now)))


def _judge(world: World, case: Case, tally: Tally) -> None:
    tally.tampered += 1
    tally.forgeries[case.forgery] += 1
    what = f"{case.forgery} before device {case.device}"
    with _copy(world.devices[case.device]) as device:
        try:
            outcome, _ = attempt(world, device, case.files, case.order)
        except UpdateRefused as refusal:
            tally.refused_by[refusal.code.value] += 1
        except Exception as error:  # noqa: BLE001  (a campaign's outermost loop: a crash is its finding)
            tally.crashed.append(f"{what}: {type(error).__name__}: {error}")
        else:
            tally.accepted.append(f"{what}: {outcome}")


@contextmanager
def _copy(state: Path) -> Iterator[Path]:
    """A device of this case's own."""
    place = state.with_name("device")
    shutil.copytree(state, place, symlinks=True)
    try:
        yield place
    finally:
        shutil.rmtree(place)
