"""The engine against a real database and a real broker; two of them never double a wave."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa

import sono_fleet.rollout.engine as engine_module
from sono_edge.embedded import EmbeddedBroker
from sono_fleet.database import Database
from sono_fleet.rollout import audit, desk, law
from sono_fleet.rollout.course import Key, State
from sono_fleet.rollout.engine import Engine
from sono_fleet.rollout.moves import Moment
from sono_fleet.rollout.orders import Publisher, Signing
from sono_fleet.rollout.plan import Scope
from sono_fleet.rollout.records import Records
from sono_fleet.store import Store
from sono_fleet.tables import audit as log_table
from sono_fleet.tables import desired as desired_table
from sono_models import messages
from sono_models.desired import Desired, opened
from sono_models.envelope import text_of
from sono_models.errors import Unavailable
from sono_models.link import Endpoint, Link
from tests.support.orders import KEYS, public_key
from tests.support.postgres import postgres
from tests.support.rollouts import NEW, OLD, Fleet, plan_of

SIGNING = Signing(KEYS.private)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(tmp_path_factory.mktemp("broker")) as running:
        yield running


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with Store(f"sqlite:///{tmp_path / 'fleet.sqlite'}") as store:
        yield Fleet(store, 20)


class Bench:
    def __init__(self, fleet: Fleet, engine: Engine, listener: Link, key: Path) -> None:
        self.fleet, self.engine, self._listener, self._key = fleet, engine, listener, key
        self.records = Records(fleet.database)
        self.got: list[Desired] = []

    def step(self, seconds: float = 5.0) -> list[Desired]:
        """Time passes, the engine looks; the documents that reached the broker, each verified."""
        self.fleet.passes(seconds)
        self.engine.step()
        fresh: list[Desired] = []
        for _ in range(5):
            for message in self._listener.turn(0.05, most=100):
                site, device = message.topic.split("/")[2:4]
                raw = text_of(messages.decode("desired", message.body).data)
                fresh.append(opened(raw, self._key, site=site, device=device))
        self.got += fresh
        return fresh

    def state(self, name: str = "r1") -> State:
        return self.records.one(name).course.state


@contextmanager
def bench(broker: EmbeddedBroker, fleet: Fleet, folder: Path) -> Iterator[Bench]:
    where = Endpoint(port=broker.port)
    site = f"s{abs(hash(folder)) % 10**8}"
    fleet.site = site
    fleet.alive()
    with (
        Link(where, f"listener-{site}", subscribe=[f"sono/v1/{site}/+/desired"]) as listener,
        Engine(fleet.database, where, SIGNING, threading.Event(), name=f"e-{site}", now=fleet.clock) as engine,
    ):
        engine.step()
        yield Bench(fleet, engine, listener, public_key(folder))


def scoped(fleet: Fleet, *shares: float, name: str = "r1", **values: float) -> None:
    plan = plan_of(*shares, name=name, scope=Scope(sites=(fleet.site,)), **values)
    records = Records(fleet.database)
    desk.create(records, plan, fleet.now)
    desk.say(records, name, "approve", fleet.now, by="ben")


def test_orders_reach_the_devices_signed_and_a_good_release_goes_through(
    broker: EmbeddedBroker, fleet: Fleet, tmp_path: Path
) -> None:
    with bench(broker, fleet, tmp_path) as at:
        scoped(fleet, 10, 100)
        runs = {}
        for _ in range(60):
            for order in at.step():
                assert (order.version, order.target, order.cancelled) == (NEW.version, NEW.target, False)
                fleet.report(order.device, "r1", order.serial, "active")
                fleet.report(order.device, "r1", order.serial, "good", shift=0.0)
                runs[order.device] = NEW
            fleet.alive(runs)
            if at.state() is State.DONE:
                break
        assert at.state() is State.DONE
        assert Counter(order.device for order in at.got) == dict.fromkeys(fleet.names, 1)
        with fleet.database.reading() as connection:
            assert audit.verify(connection).broken == ""


def test_a_bad_release_is_taken_back(broker: EmbeddedBroker, fleet: Fleet, tmp_path: Path) -> None:
    with bench(broker, fleet, tmp_path) as at:
        scoped(fleet, 10, 100)
        first = at.step()
        assert len(first) == 2
        for order in first:
            fleet.report(order.device, "r1", order.serial, "good", shift=0.5)
        back = at.step()
        assert {order.device for order in back} == {order.device for order in first}
        assert {order.version for order in back} == {OLD.version}
        assert at.state() is State.GOING_BACK
        for order in back:
            fleet.report(order.device, "r1", order.serial, "good")
        at.step()
        assert at.state() is State.BACK
        assert len(at.got) == 4


def test_an_engine_that_starts_again_goes_on_where_it_was(broker: EmbeddedBroker, fleet: Fleet, tmp_path: Path) -> None:
    with bench(broker, fleet, tmp_path) as at:
        scoped(fleet, 10, 100)
        orders = at.step()
    for order in orders:
        fleet.report(order.device, "r1", order.serial, "good")
    with bench(broker, fleet, tmp_path) as at:
        at.step()
        assert at.records.one("r1").course.settled_at is not None
        at.step(70)
        again = {order.device for order in at.got if order.serial in {one.serial for one in orders}}
        assert again == {order.device for order in orders}  # a new connection sends again what is under way


def test_a_step_on_an_old_revision_is_not_written(fleet: Fleet) -> None:
    scoped(fleet, 10, 100)
    first, second = Records(fleet.database), Records(fleet.database)
    one, two = first.one("r1"), second.one("r1")
    step = law.look(one.plan, one.course, Moment(fleet.now, first.serial(fleet.now), first.fleet()))
    assert len(step.orders) == 2
    assert first.write(one, step, heard=0, at=fleet.now, actor="one") is not None
    before = fleet.database.rows(sa.select(desired_table))
    other = law.look(two.plan, two.course, Moment(fleet.now, second.serial(fleet.now), second.fleet()))
    assert second.write(two, other, heard=0, at=fleet.now, actor="two") is None
    assert fleet.database.rows(sa.select(desired_table)) == before
    assert not [row for row in fleet.database.rows(sa.select(log_table)) if row["actor"] == "two"]


def race(url: str, broker: EmbeddedBroker, count: int, engines: int) -> tuple[list[Key], int, str]:
    """So many engines at once on one roll-out of everyone; who was ordered, races lost, the log's verdict."""
    with Store(url) as store, ExitStack() as stack:
        fleet = Fleet(store, count, site=f"race{engines}")
        scoped(fleet, 25, 100)
        stop = threading.Event()
        running = []
        for number in range(engines):
            database = stack.enter_context(Database(url))
            name = f"race-{abs(hash(url)) % 10**6}-{number}"
            made = Engine(database, Endpoint(port=broker.port), SIGNING, stop, name=name, now=fleet.clock)
            running.append(stack.enter_context(made))
        threads = [threading.Thread(target=_steps, args=(engine, 12)) for engine in running]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        rows = fleet.database.rows(sa.select(log_table).where(log_table.c.action == "orders"))
        ordered = [name for row in rows for name in msgspec.json.decode(row["body"])["devices"]]
        with fleet.database.reading() as connection:
            verdict = audit.verify(connection).broken
        keys = [(name.split("/")[0], name.split("/")[1]) for name in ordered]
        return keys, sum(engine.tally.lost_races for engine in running), verdict


def _steps(engine: Engine, count: int) -> None:
    for _ in range(count):
        engine.step()


def test_engines_side_by_side_do_not_double_a_wave(broker: EmbeddedBroker, tmp_path: Path) -> None:
    ordered, _, verdict = race(f"sqlite:///{tmp_path / 'fleet.sqlite'}", broker, 40, 3)
    assert len(ordered) == 10
    assert len(set(ordered)) == 10
    assert verdict == ""


@pytest.mark.peer
def test_engines_side_by_side_do_not_double_a_wave_on_postgresql(broker: EmbeddedBroker) -> None:
    with postgres() as url:
        ordered, _, verdict = race(url, broker, 40, 4)
    assert len(ordered) == 10
    assert len(set(ordered)) == 10
    assert verdict == ""


def test_an_order_that_was_overtaken_goes_out_again(broker: EmbeddedBroker, fleet: Fleet, tmp_path: Path) -> None:
    """An engine that was slow puts an older document over a newer one; it notices and the newer goes out again."""
    scoped(fleet, 10, 100)
    records = Records(fleet.database)
    record = records.one("r1")
    step = law.look(record.plan, record.course, Moment(fleet.now, records.serial(fleet.now), records.fleet()))
    record = records.write(record, step, heard=0, at=fleet.now, actor="one") or record
    publisher = Publisher(fleet.database, SIGNING)
    old = fleet.database.rows(sa.select(desired_table))
    fleet.passes(5)
    desk.say(records, "r1", "back", fleet.now, by="ana")
    with Link(Endpoint(port=broker.port), "overtaken") as link:
        assert publisher.send(link, fleet.now) == 2
        assert publisher.send(link, fleet.now) == 0
        publisher._tick_off(old)
        assert publisher.send(link, fleet.now) == 2


class Away(Database):
    """A database that is away while `is_away`."""

    is_away = False

    def rows(self, query: sa.Select[tuple[object, ...]]) -> list[dict[str, object]]:
        self._ask()
        return super().rows(query)

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        self._ask()
        with super().reading() as connection:
            yield connection

    def _ask(self) -> None:
        if self.is_away:
            raise Unavailable("the database", "it is away", "It is tried again")


def test_a_database_that_goes_away_pauses_nothing_but_long_absence_does(
    broker: EmbeddedBroker,
    fleet: Fleet,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine_module, "RETRY_S", 0.0)
    scoped(fleet, 10, 100)
    with (
        Away(f"sqlite:///{tmp_path / 'fleet.sqlite'}") as database,
        Engine(
            database, Endpoint(port=broker.port), SIGNING, threading.Event(), name="away", now=fleet.clock
        ) as engine,
    ):
        engine.step()
        engine.step()
        database.is_away = True
        for _ in range(5):
            fleet.passes(200)
            engine.step()
        database.is_away = False
        fleet.alive()
        engine.step()
    course = Records(fleet.database).one("r1").course
    assert course.state is State.PAUSED
    assert "nobody watched" in course.reason
    assert [record.levelno for record in caplog.records].count(logging.WARNING) == 1


def test_without_a_broker_it_does_not_look(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "RETRY_S", 0.0)
    scoped(fleet, 10, 100)
    with Engine(fleet.database, Endpoint(port=1), SIGNING, threading.Event(), now=fleet.clock) as engine:
        for _ in range(3):
            engine.step()
    assert not Records(fleet.database).one("r1").course.members
