"""A fleet of some hundred boards at four sites with a roll-out half-way: for the page's pictures and browser tests.

The engine is the real one, on a real broker; time is the scene's own.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import sqlalchemy as sa

from sono_edge.embedded import EmbeddedBroker
from sono_fleet.rollout import desk, releases
from sono_fleet.rollout.engine import Engine
from sono_fleet.rollout.fleet import Release
from sono_fleet.rollout.orders import Signing
from sono_fleet.rollout.plan import Scope
from sono_fleet.rollout.records import Records
from sono_fleet.store import Store
from sono_fleet.tables import desired
from sono_models.desired import Desired
from sono_models.link import Endpoint
from tests.support.fleet_page import Board, certified, drifts, people, settle, warns
from tests.support.orders import KEYS
from tests.support.rollouts import NEW, Fleet, plan_of

SITES = {"clinic-mitte": 120, "clinic-north": 90, "mobile-unit-3": 24, "ward-7b": 66}
PHASES = ("offered", "downloading", "verified", "self-test", "shadow", "active", "good")
FINE = {"golden_difference": 0.002, "agreement": 0.968, "shift": 0.012, "alert_ratio": 1.08, "latency_ratio": 1.03}


def boards() -> list[Board]:
    made = [
        Board(
            site, f"cart-{number:03}", 4.0 + number % 25, temperature=48.0 + number % 13, disk_mb=18_000 + 37 * number
        )
        for site, count in SITES.items()
        for number in range(1, count + 1)
    ]
    troubles: dict[tuple[str, str], dict[str, object]] = {
        ("clinic-mitte", "cart-004"): {"temperature": 86.0},
        ("clinic-mitte", "cart-007"): {"online": False, "heard_s": 8200.0, "reason": "stopped"},
        ("clinic-mitte", "cart-011"): {"outbox": 42, "heard_s": 900.0},
        ("clinic-mitte", "cart-015"): {"days": 6.0},
        ("clinic-mitte", "cart-018"): {"disk_mb": 412.0, "outbox": 3},
        ("clinic-north", "cart-002"): {"outbox": 117, "heard_s": 5400.0},
        ("clinic-north", "cart-030"): {"online": False, "heard_s": 190_000.0, "reason": "connection lost"},
        ("ward-7b", "cart-060"): {"alerts": 24},
    }
    return [replace(board, **troubles.get((board.site, board.name), {"alerts": 2})) for board in made]  # type: ignore[arg-type]


class Scene:
    """`step` lets time pass, the engine look and the boards behave."""

    def __init__(self, store: Store, engine: Engine, fleet: Fleet, all_boards: list[Board]) -> None:
        self.store, self.engine, self.fleet = store, engine, fleet
        self.records = Records(store.database)
        self._boards = {(board.site, board.name): board for board in all_boards}
        self._orders: dict[tuple[str, str], tuple[int, int]] = {}

    def begin(self, name: str, *shares: float, **values: float) -> None:
        plan = plan_of(*shares, name=name, scope=Scope(), **values)
        desk.create(self.records, plan, self.fleet.now)

    def step(self, seconds: float = 20.0, *, slow: int = 0, bad: int = 0) -> None:
        """Every `slow`-th board under way stays in its phase; every `bad`-th is taken back by its own trial."""
        self.fleet.passes(seconds)
        settle(self.store, [board for board in self._boards.values() if board.online], self.fleet.now)
        self.engine.step()
        rows = self.store.database.rows(sa.select(desired).order_by(desired.c.site, desired.c.device))
        for place, row in enumerate(rows):
            document = msgspec.json.decode(row["body"], type=Desired)
            key = (row["site"], row["device"])
            serial, phase = self._orders.get(key, (0, 0))
            phase = phase if serial == row["serial"] else 0
            if phase >= len(PHASES) or document.cancelled or (slow and place % slow == 0 and phase > place % 4):
                continue
            self._orders[key] = (row["serial"], self._report(key, document, phase, place, bad))

    def _report(self, key: tuple[str, str], document: Desired, phase: int, place: int, bad: int) -> int:
        self.fleet.site = key[0]
        fails = bad and place % bad == bad - 1 and document.version == NEW.version and PHASES[phase] == "active"
        said = "rolled-back" if fails else PHASES[phase]
        evidence = {**FINE, "shift": 0.012 + place % 5 / 500} if said == "good" else {}
        self.fleet.report(key[1], document.rollout, document.serial, said, **evidence)
        if said == "active":
            board = self._boards[key]
            self._boards[key] = replace(board, bundle=f"breast-{document.version}", sha256=document.sha256)
        return len(PHASES) if said in {"rolled-back", "good"} else phase + 1


@contextmanager
def scene(folder: Path, url: str | None = None) -> Iterator[Scene]:
    with (
        EmbeddedBroker(folder / "broker") as broker,
        Store(url or f"sqlite:///{folder / 'fleet.sqlite'}") as store,
    ):
        fleet = Fleet(store, 0)
        fleet.now = datetime.now(UTC)
        database, at, signing = store.database, fleet.now, Signing(KEYS.private)
        with Engine(
            database, Endpoint(port=broker.port), signing, threading.Event(), name="engine", now=fleet.clock
        ) as engine:
            engine.step()
            people(database, at)
            all_boards = boards()
            settle(store, all_boards, at)
            drifts(database, "clinic-north", "", "drifting", at)
            drifts(database, "ward-7b", "cart-012", "watch", at)
            words = "its quality histogram moved (PSI 0.31 over 24,000 frames): no wave opens there"
            warns(database, "clinic-north", "drifting", words, at)
            certified(database, "clinic-mitte", "cart-015", "5f01c2", at, 6.0)
            old = Release("bundle", "lung", "0.1.0", "lung/stable/lung-0.1.0.tar", "2" * 64, 900)
            releases.add(database, old, at, by="test")
            settled = [replace(board, alerts=0) for board in all_boards]
            yield Scene(store, engine, fleet, settled)
