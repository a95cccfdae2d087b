"""What several engines and several people do to one database at the same moment."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from sono_fleet.database import Database
from sono_fleet.rollout import desk, law
from sono_fleet.rollout.moves import Moment
from sono_fleet.rollout.records import Records
from sono_fleet.store import Store
from sono_fleet.tables import desired, rollouts
from sono_models.errors import BadOrder
from tests.support.postgres import postgres
from tests.support.rollouts import Fleet, plan_of


def test_an_order_never_goes_back_to_an_older_one(tmp_path: Path) -> None:
    """An engine that was slow writes an order for a device which another roll-out has ordered since."""
    with Store(f"sqlite:///{tmp_path / 'fleet.sqlite'}") as store:
        fleet = Fleet(store, 4)
        records = Records(store.database)
        desk.create(
            records,
            plan_of(100),
            fleet.now,
        )
        record = desk.say(records, "r1", "approve", fleet.now, by="ben")
        step = law.look(record.plan, record.course, Moment(fleet.now, 100, records.fleet()))
        assert len(step.orders) == 4
        newer = [replace(order, serial=500) for order in step.orders[:2]]
        record = (
            records.write(record, replace(step, orders=tuple(newer)), heard=0, at=fleet.now, actor="fast") or record
        )
        assert records.write(record, step, heard=0, at=fleet.now, actor="slow") is not None
        rows = store.database.rows(sa.select(desired.c.device, desired.c.serial))
        assert sorted(row["serial"] for row in rows) == [100, 100, 500, 500]
        assert {row["device"] for row in rows if row["serial"] == 500} == {order.key[1] for order in newer}


def made_at_once(url: str, fleet: Fleet, count: int) -> list[BadOrder]:
    """So many people make a roll-out of the same devices at once; what those who were refused were told."""
    refused: list[BadOrder] = []
    together = threading.Barrier(count)

    def make(number: int) -> None:
        with Database(url) as database:
            together.wait(30)
            try:
                desk.create(Records(database), plan_of(100, name=f"r{number}"), fleet.now)
            except BadOrder as problem:
                refused.append(problem)

    threads = [threading.Thread(target=make, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return refused


def check_one_of_many(url: str) -> None:
    with Store(url) as store:
        fleet = Fleet(store, 4)
        refused = made_at_once(url, fleet, 4)
        assert len(store.database.rows(sa.select(rollouts.c.id))) == 1
        assert len(refused) == 3
        assert all("are in roll-out" in str(problem) for problem in refused)


def test_of_two_roll_outs_that_are_made_at_once_one_is_refused(tmp_path: Path) -> None:
    check_one_of_many(f"sqlite:///{tmp_path / 'fleet.sqlite'}")


@pytest.mark.peer
def test_of_two_roll_outs_that_are_made_at_once_one_is_refused_on_postgresql() -> None:
    with postgres() as url:
        check_one_of_many(url)
