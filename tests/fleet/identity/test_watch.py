"""A revoked board that is heard all the same: one alert to the fleet's people, until it is silent or enrolled anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from sono_fleet.database import as_text
from sono_fleet.identity.names import a_device
from sono_fleet.identity.watch import EVERY, GRACE, Watch
from sono_fleet.rollout.audit import verify
from sono_fleet.tables import STALE, audit, devices, fleet_alerts
from tests.support.identities import Fleet, now

BOARD = a_device("ward", "board-7")
LATER = GRACE + timedelta(seconds=10)


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with Fleet(tmp_path) as opened:
        opened.device("board-7")
        opened.device("board-8")
        with opened.database.writing() as connection:
            rows = [{"site": "ward", "device": name, "online": True} for name in ("board-7", "board-8")]
            connection.execute(devices.insert(), rows)
        yield opened


@pytest.fixture
def speaks(fleet: Fleet) -> Callable[[str, datetime], None]:
    def heard(device: str, at: datetime) -> None:
        with fleet.database.writing() as connection:
            change = devices.update().where(devices.c.device == device)
            connection.execute(change.values(seen_at=as_text(at)))

    return heard


def alerts(fleet: Fleet) -> list[tuple[str, bool]]:
    rows = fleet.database.rows(sa.select(fleet_alerts).order_by(fleet_alerts.c.id))
    return [(str(row["device"]), row["cleared_at"] is None) for row in rows if row["kind"] == "revoked"]


def test_one_alert_while_a_revoked_board_speaks(fleet: Fleet, speaks: Callable[[str, datetime], None]) -> None:
    fleet.revoke(BOARD)
    revoked, watch = now(), Watch(fleet.database)
    for name in ("board-7", "board-8"):
        speaks(name, revoked + GRACE / 2)
    assert watch.step(revoked + GRACE / 2) == [], "brokers may need so long"
    for name in ("board-7", "board-8"):
        speaks(name, revoked + LATER)
    (found,) = watch.step(revoked + LATER)
    assert "ward/board-7 was revoked at" in found.words
    assert "(stolen) and still speaks" in found.words
    assert watch.step(revoked + LATER) == [], "it looked just now"
    Watch(fleet.database).step(revoked + LATER + EVERY)
    assert alerts(fleet) == [("board-7", True)]
    watch.step(revoked + LATER + STALE + EVERY)
    assert alerts(fleet) == [("board-7", False)]
    actions = [row["action"] for row in fleet.database.rows(sa.select(audit).order_by(audit.c.sequence))]
    assert actions[-2:] == ["revoked-speaks", "revoked-silent"]
    with fleet.database.reading() as connection:
        assert not verify(connection).broken


def test_it_may_speak_again_once_it_is_enrolled_anew(fleet: Fleet, speaks: Callable[[str, datetime], None]) -> None:
    fleet.revoke(BOARD)
    revoked, watch = now(), Watch(fleet.database)
    speaks("board-7", revoked + LATER)
    assert watch.step(revoked + LATER)
    fleet.device("board-7")
    speaks("board-7", revoked + LATER + EVERY)
    assert watch.step(revoked + LATER + EVERY) == []
    assert alerts(fleet) == [("board-7", False)]
