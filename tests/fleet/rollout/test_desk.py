"""What a manager asks for, and what is refused with a reason."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa

from sono_fleet.rollout import desk, law, releases, tags
from sono_fleet.rollout.course import State
from sono_fleet.rollout.fleet import Release, target_of
from sono_fleet.rollout.moves import Moment
from sono_fleet.rollout.plan import Plan, Scope, Wave
from sono_fleet.rollout.records import Record, Records
from sono_fleet.store import Report, Store
from sono_fleet.tables import desired
from sono_models.errors import BadConfig, BadOrder
from tests.support.rollouts import NEW, OLD, START, Fleet, plan_of


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with Store(f"sqlite:///{tmp_path / 'fleet.sqlite'}") as store:
        yield Fleet(store, 20)


@pytest.fixture
def records(fleet: Fleet) -> Records:
    return Records(fleet.database)


def look(records: Records, fleet: Fleet, name: str = "r1") -> Record:
    record = records.one(name)
    course, upto = records.listened(record)
    moment = Moment(fleet.now, records.serial(fleet.now), records.fleet(), records.stopped())
    step = law.look(record.plan, course, moment)
    written = records.write(record, step, heard=upto, at=fleet.now, actor="test")
    assert written is not None
    return written


def test_a_plan_says_who_gets_what_when(records: Records, fleet: Fleet) -> None:
    tags.set_hours(fleet.database, "demo", "Europe/Berlin", ["Mon-Fri 19:00-06:00"], at=START, by="ana")
    rows = desk.create(records, plan_of(10, 50, 100, soak_s=86_400), fleet.now)
    assert [row.wave for row in rows] == ["10%"] * 2 + ["50%"] * 8 + ["100%"] * 10
    assert {row.not_before.isoformat() for row in rows[:2] if row.not_before} == {"2026-03-02T18:00:00+00:00"}
    assert rows[2].not_before is not None
    assert rows[2].not_before - START > timedelta(days=1)
    assert not fleet.database.rows(sa.select(desired))


def test_a_roll_out_that_names_no_device_is_refused(records: Records, fleet: Fleet) -> None:
    with pytest.raises(BadOrder, match="names no device"):
        desk.create(records, plan_of(scope=Scope(sites=("nowhere",))), fleet.now)
    with pytest.raises(BadOrder, match=r"none of its 20 devices may get it: .*it runs this already"):
        desk.create(records, msgspec.structs.replace(plan_of(), target=target_of(OLD)), fleet.now)
    assert records.all() == []


def test_two_at_once_for_a_device_are_refused(records: Records, fleet: Fleet) -> None:
    desk.create(records, plan_of(), fleet.now)
    with pytest.raises(BadOrder, match=r"20 of its devices .* are in roll-out r1, which is waiting"):
        desk.create(records, plan_of(name="r2"), fleet.now)
    with pytest.raises(BadOrder, match="there is one of this name"):
        records.create(plan_of(), law.begun(fleet.now), fleet.now, {})
    desk.say(records, "r1", "abort", fleet.now, by="ana")
    desk.create(records, plan_of(name="r2"), fleet.now)


def test_what_is_not_registered_is_refused_and_named(records: Records, fleet: Fleet) -> None:
    with pytest.raises(
        BadOrder, match=r"bundle 'breast-9.9.9': not registered \(known: breast-0\.3\.0, breast-0\.3\.1\)"
    ):
        releases.wanted(fleet.database, "breast-9.9.9", "")
    with pytest.raises(BadOrder, match=r"profile 'x-1\.0\.0': not registered"):
        releases.wanted(fleet.database, "", "x-1.0.0")
    with pytest.raises(BadOrder, match="profile 'b': not registered"):
        releases.wanted(fleet.database, "a", "b")
    with pytest.raises(BadOrder, match="another sha256"):
        releases.add(fleet.database, Release("bundle", "breast", "0.3.1", "x", "f" * 64, 1), fleet.now, by="ana")
    with pytest.raises(BadOrder, match="there is none"):
        records.one("nothing")


def test_a_device_without_a_way_back_gets_no_order(records: Records, fleet: Fleet) -> None:
    unknown = Release("bundle", "breast", "0.1.0", "x", "e" * 64, 1)
    fleet.alive({"d3": unknown})
    rows = desk.create(records, plan_of(100), fleet.now)
    (held,) = [row for row in rows if not row.wave]
    assert held.device == "d3"
    assert "no way back" in held.why_not
    desk.say(records, "r1", "approve", fleet.now, by="ana")
    assert ("demo", "d3") not in look(records, fleet).course.members


def test_stop_all_withdraws_everything_at_once_and_holds(records: Records, fleet: Fleet) -> None:
    fleet.store.commit(
        [],
        [
            Report("ward", f"w{n}", "health", "{}", {"online": True, "bundle_sha256": OLD.sha256}, fleet.now)
            for n in range(4)
        ],
        fleet.now,
    )
    for name, site in (("r1", "demo"), ("r2", "ward")):
        desk.create(records, plan_of(100, name=name, scope=Scope(sites=(site,))), fleet.now)
        desk.say(records, name, "approve", fleet.now, by="ana")
        look(records, fleet, name)
    fleet.passes(1)
    halted = desk.stop_all(records, fleet.now, by="ana", reason="ghosts")
    assert {record.course.state for record in halted} == {State.PAUSED}
    rows = fleet.database.rows(sa.select(desired))
    assert len(rows) == 24
    assert all(msgspec.json.decode(row["body"])["cancelled"] for row in rows)
    with pytest.raises(BadOrder, match=r"everything is stopped \(ghosts\)"):
        desk.say(records, "r1", "resume", fleet.now, by="ana")
    desk.release(records, fleet.now, by="ana")
    with pytest.raises(BadOrder, match="nothing is stopped"):
        desk.release(records, fleet.now, by="ana")
    fleet.passes(1)
    assert desk.say(records, "r1", "resume", fleet.now, by="ana").course.state is State.RUNNING
    rows = fleet.database.rows(sa.select(desired).where(desired.c.rollout == "r1"))
    assert not any(msgspec.json.decode(row["body"])["cancelled"] for row in rows)


def test_a_newer_roll_out_closes_the_one_that_ended(records: Records, fleet: Fleet) -> None:
    desk.create(records, plan_of(100, soak_s=0), fleet.now)
    desk.say(records, "r1", "approve", fleet.now, by="ana")
    course = look(records, fleet).course
    for key, member in course.members.items():
        fleet.report(key[1], "r1", member.serial, "good")
    fleet.alive(dict.fromkeys(fleet.names, NEW))
    fleet.passes(5)
    assert look(records, fleet).course.state is State.DONE
    third = Release("bundle", "breast", "0.3.2", "x", "2" * 64, 1)
    releases.add(fleet.database, third, fleet.now, by="ana")
    desk.create(records, Plan("r2", target_of(third), (Wave("100%", 100),), by="ana"), fleet.now)
    desk.say(records, "r2", "approve", fleet.now, by="ana")
    assert records.one("r1").course.state is State.CLOSED
    assert records.one("r2").course.state is State.RUNNING


def test_a_profile_rolls_out_to_its_site_on_its_bundle(records: Records, fleet: Fleet) -> None:
    made = Release("profile", "demo", "1.0.0", "profiles/demo/a.json", "a" * 64, 500, "demo", "breast-0.3.0")
    releases.add(fleet.database, made, fleet.now, by="ana")
    target, found = releases.wanted(fleet.database, "", "demo-1.0.0")
    assert found == made
    fleet.alive({"d1": NEW})
    plan = Plan("p1", target, (Wave("100%", 100),), Scope(sites=("demo",)), kind="profile", by="ana")
    rows = desk.create(records, plan, fleet.now)
    assert [row.why_not for row in rows if row.device == "d1"] == [
        "it does not run breast 0.3.0, for which the profile is"
    ]
    desk.say(records, "p1", "approve", fleet.now, by="ana")
    look(records, fleet, "p1")
    body = msgspec.json.decode(fleet.database.rows(sa.select(desired))[0]["body"])
    assert (body["version"], body["profile_target"], body["profile_sha256"]) == ("0.3.0", made.target, made.sha256)
    fleet.passes(1)
    desk.say(records, "p1", "back", fleet.now, by="ana")
    body = msgspec.json.decode(fleet.database.rows(sa.select(desired))[0]["body"])
    assert (body["version"], body["profile_target"], body["profile_sha256"]) == ("0.3.0", "", "")


def test_tags_and_hours(records: Records, fleet: Fleet) -> None:
    assert tags.change(fleet.database, "demo/d1", ["ward", "b"], remove=False, at=START, by="ana") == {"ward", "b"}
    assert tags.change(fleet.database, "demo/d1", ["b"], remove=True, at=START, by="ana") == {"ward"}
    assert records.fleet()["demo", "d1"].tags == {"ward"}
    with pytest.raises(BadOrder, match="never said anything"):
        tags.change(fleet.database, "demo/none", ["x"], remove=False, at=START, by="ana")
    with pytest.raises(BadConfig, match="tag 'a b'"):
        tags.change(fleet.database, "demo/d1", ["a b"], remove=False, at=START, by="ana")
    with pytest.raises(BadConfig, match="not a window"):
        tags.set_hours(fleet.database, "demo", "UTC", ["late"], at=START, by="ana")
    tags.set_hours(fleet.database, "demo", "Asia/Kolkata", ["Sun 01:00-02:00"], at=START, by="ana")
    assert tags.hours(fleet.database) == [{"site": "demo", "timezone": "Asia/Kolkata", "windows": ["Sun 01:00-02:00"]}]
