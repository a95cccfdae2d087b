"""Roll-outs of site profiles: alone or with a bundle, judged by the boards' own figures, taken back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa

from sono_fleet.rollout import desk, law, releases
from sono_fleet.rollout.course import State
from sono_fleet.rollout.fleet import Release
from sono_fleet.rollout.moves import Moment
from sono_fleet.rollout.plan import LIMITS, PROFILE_LIMITS, Plan, Scope, Wave
from sono_fleet.rollout.records import Record, Records
from sono_fleet.store import Report, Store
from sono_fleet.tables import desired
from sono_models.desired import Desired
from sono_models.errors import BadOrder
from sono_models.release import ProfilePlace
from tests.support.rollouts import OLD, Fleet

FIRST, SECOND = (
    Release(
        "profile",
        "clinic-a",
        f"1.0.{number}",
        ProfilePlace("breast", "stable", "demo", "clinic-a", f"1.0.{number}").path,
        f"{number}" * 64,
        900,
        "demo",
        "breast-0.3.0",
    )
    for number in (7, 8)
)


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with Store(f"sqlite:///{tmp_path / 'fleet.sqlite'}") as store:
        made = Fleet(store, 20)
        for release in (FIRST, SECOND):
            releases.add(store.database, release, made.now, by="ana")
        yield made


def look(records: Records, fleet: Fleet) -> Record:
    record = records.one("p1")
    course, upto = records.listened(record)
    moment = Moment(fleet.now, records.serial(fleet.now), records.fleet(), records.stopped())
    written = records.write(record, law.look(record.plan, course, moment), heard=upto, at=fleet.now, actor="test")
    assert written is not None
    return written


def orders(fleet: Fleet) -> dict[str, Desired]:
    rows = fleet.database.rows(sa.select(desired))
    return {row["device"]: msgspec.json.decode(row["body"], type=Desired) for row in rows}


def under(fleet: Fleet, said: str) -> None:
    """Every device says which profile is in force."""
    values = {"online": True, "bundle": "breast-0.3.0", "bundle_sha256": OLD.sha256, "profile": said}
    reports = [Report(fleet.site, name, "health", "{}", values, fleet.now) for name in fleet.names]
    fleet.store.commit([], reports, fleet.now)


def rolled_out(fleet: Fleet, records: Records) -> Record:
    target, made = releases.wanted(fleet.database, "", "clinic-a-1.0.8")
    assert made == SECOND
    waves = tuple(Wave(f"{share}%", share, soak_s=1.0, deadline_s=600.0) for share in (10, 100))
    desk.create(records, Plan("p1", target, waves, Scope(("demo",)), PROFILE_LIMITS, "profile", "ana"), fleet.now)
    desk.say(records, "p1", "approve", fleet.now, by="ana")
    return look(records, fleet)


def test_a_profile_goes_out_in_waves(fleet: Fleet) -> None:
    records = Records(fleet.database)
    assert len(rolled_out(fleet, records).course.members) == 2
    for name, order in orders(fleet).items():
        assert (order.sha256, order.profile_target, order.profile_sha256) == (OLD.sha256, SECOND.target, SECOND.sha256)
        # a site's profile moves the scores of its frames further than a new network may
        fleet.report(name, "p1", order.serial, "good", agreement=0.8, shift=-0.2)
    for _ in range(3):
        fleet.passes(2)
        record = look(records, fleet)
    assert len(record.course.members) == 20
    assert record.course.state is State.RUNNING


def test_a_bad_one_stops_in_its_first_wave_and_the_one_before_comes_back(fleet: Fleet) -> None:
    records = Records(fleet.database)
    under(fleet, f"clinic-a-1.0.7@{FIRST.sha256[:12]}")
    rolled_out(fleet, records)
    ordered = orders(fleet)
    assert len(ordered) == 2
    for name, order in ordered.items():
        fleet.report(name, "p1", order.serial, "good", agreement=0.55, shift=0.6)
    fleet.passes(2)
    record = look(records, fleet)
    assert record.course.state is State.GOING_BACK
    assert "clinical:agreement" in record.course.reason
    back = orders(fleet)
    assert set(back) == set(ordered)
    assert {(order.sha256, order.profile_target, order.profile_sha256) for order in back.values()} == {
        (OLD.sha256, FIRST.target, FIRST.sha256)
    }


def test_a_board_that_refuses_it_ends_it_too(fleet: Fleet) -> None:
    records = Records(fleet.database)
    rolled_out(fleet, records)
    (name, order), *_ = orders(fleet).items()
    fleet.report(name, "p1", order.serial, "refused")
    fleet.passes(2)
    assert look(records, fleet).course.state is State.GOING_BACK
    assert {one.profile_sha256 for one in orders(fleet).values()} == {""}


def test_a_profile_and_its_bundle_go_together_or_not_at_all(fleet: Fleet) -> None:
    target, made = releases.wanted(fleet.database, "breast-0.3.0", "clinic-a-1.0.7")
    assert (made, target.sha256, target.profile_sha256) == (FIRST, OLD.sha256, FIRST.sha256)
    with pytest.raises(BadOrder, match=r"it is for breast-0\.3\.0, not for breast-0\.3\.1"):
        releases.wanted(fleet.database, "breast-0.3.1", "clinic-a-1.0.7")


def test_a_profile_may_move_more_than_a_network_and_is_timed_alike() -> None:
    usual, profiles = ({limit.key: limit for limit in limits} for limits in (LIMITS, PROFILE_LIMITS))
    assert set(usual) == set(profiles)
    assert profiles["latency_ratio"] == usual["latency_ratio"]
    assert not profiles["agreement"].broken_by(0.8)
    assert usual["agreement"].broken_by(0.8)
