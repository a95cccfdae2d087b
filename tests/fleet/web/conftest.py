"""A page on a small fleet, served for real on loopback; time is the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sono_fleet.rollout import desk
from sono_fleet.rollout.records import Records
from sono_fleet.store import Store
from sono_fleet.web.house import House
from tests.support.fleet_page import Visitor, page, people
from tests.support.rollouts import Fleet, plan_of


@dataclass(frozen=True, slots=True)
class Served:
    url: str
    house: House
    fleet: Fleet
    folder: Path

    def visitor(self, name: str = "") -> Visitor:
        made = Visitor(self.url)
        if name:
            assert made.log_in(name).status_code == 303
        return made


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    folder = tmp_path / "data"
    folder.mkdir()
    with Store(f"sqlite:///{folder / 'fleet.sqlite'}") as store:
        fleet = Fleet(store, 12)
        people(store.database, fleet.now)
        desk.create(Records(store.database), plan_of(10, 100), fleet.now)
        with page(store.database, fleet.clock) as (url, house):
            yield Served(url, house, fleet, folder)
