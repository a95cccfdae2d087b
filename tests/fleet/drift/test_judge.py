"""Drift in the fleet's database: the same standing however the reports came, and one alert a site until it passes."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from sono_edge.bench.candidates import repacked
from sono_fleet.commands import app
from sono_fleet.database import Database
from sono_fleet.drift import hours, references, standings
from sono_fleet.drift.hours import Reported, why_not
from sono_fleet.drift.judge import Judge, accept
from sono_fleet.drift.judgement import Standing
from sono_fleet.drift.references import made_of, read
from sono_fleet.rollout.audit import verify
from sono_fleet.store import Store
from sono_fleet.tables import audit, drift_hours, fleet_alerts
from sono_models.drift import DriftData, Histogram, Reference
from sono_models.errors import BadBundle, BadOrder, SonoError
from tests.support.drift_reports import NO_SHIFT, Shift, a_report
from tests.support.postgres import postgres
from tests.support.slots import shipped

AT = datetime(2026, 3, 20, 9, tzinfo=UTC)
SHA = "1" * 64
DARK = Shift(grey=-30)


@pytest.fixture(scope="module")
def usual() -> Reference:
    rng = np.random.default_rng(3)
    return made_of([(f"s{n % 4}", a_report(rng, AT)) for n in range(120)], "made up")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(f"sqlite:///{tmp_path / 'fleet.sqlite'}") as opened:
        yield opened


def reported(
    site: str, *, seed: int = 1, days: float = 6, shift: Shift = NO_SHIFT, until: datetime = AT, device: str = "a"
) -> list[Reported]:
    """Five scans every six hours, up to now."""
    rng = np.random.default_rng(seed)
    count = int(days * 4)
    return [
        Reported(site, device, a_report(rng, until - timedelta(hours=6 * (count - number)), shift=shift))
        for number in range(count)
    ]


def keep(database: Database, reference: Reference) -> None:
    with database.writing() as connection:
        references.put(connection, SHA, "bundle", reference, AT)


def stands(database: Database) -> dict[tuple[str, str], Standing]:
    with database.reading() as connection:
        return {(one.site, one.device): one.verdict.standing for one in standings.of(connection)}


def alerts(database: Database) -> list[dict[str, object]]:
    return database.rows(sa.select(fleet_alerts).order_by(fleet_alerts.c.id))


def test_a_site_and_its_devices_are_judged_and_the_site_raises_one_alert(store: Store, usual: Reference) -> None:
    keep(store.database, usual)
    drift = [
        *reported("clinic"),
        *reported("clinic", seed=2, device="b"),
        *reported("ward", seed=3, shift=DARK),
        *reported("ward", seed=4, device="b", shift=DARK),
        *reported("hut", seed=5, days=0.5),
    ]
    store.commit([], [], AT, drift)
    judge = Judge(store.database)
    judge.all(AT)
    found = stands(store.database)
    assert found["clinic", ""] is found["clinic", "a"] is found["clinic", "b"] is Standing.STEADY
    assert found["ward", ""] is found["ward", "a"] is found["ward", "b"] is Standing.DRIFTING
    assert found["hut", ""] is Standing.TOO_FEW
    judge.all(AT + timedelta(hours=1))
    (alert,) = alerts(store.database)
    assert (alert["site"], alert["device"], alert["kind"], alert["cleared_at"]) == ("ward", "", "drift", None)
    assert "site ward drifts: brightness PSI" in str(alert["words"])
    with store.database.reading() as connection:
        assert list(standings.drifting(connection)) == ["ward"]
        assert standings.drifting(connection)["ward"].startswith("site drifts: brightness PSI ")


def test_it_passes_and_the_alert_is_cleared(store: Store, usual: Reference) -> None:
    keep(store.database, usual)
    store.commit([], [], AT, reported("ward", shift=DARK))
    judge = Judge(store.database)
    judge.all(AT)
    later = AT + timedelta(days=8)
    store.commit([], [], later, reported("ward", seed=9, until=later))
    judge.all(later)
    assert stands(store.database)["ward", ""] is Standing.STEADY
    (alert,) = alerts(store.database)
    assert str(alert["cleared_at"]).startswith("2026-03-28")
    actions = [row["action"] for row in store.database.rows(sa.select(audit).order_by(audit.c.sequence))]
    assert actions == ["site-drifts", "site-drifts-no-more"]
    with store.database.reading() as connection:
        assert not verify(connection).broken


@settings(deadline=None, max_examples=12)
@given(st.randoms(use_true_random=False))
def test_late_repeated_and_reordered_reports_give_the_same(chance: random.Random) -> None:
    rng = np.random.default_rng(3)
    usual = made_of([("s", a_report(rng, AT)) for n in range(60)], "made up")
    told = [*reported("ward", shift=DARK), *reported("ward", device="b")]
    mixed = told + chance.sample(told, 10)
    chance.shuffle(mixed)
    cut = chance.randrange(len(mixed))
    kept = []
    for batches in ([told], [mixed[:cut], mixed[cut:], mixed[:3]]):
        with Store("sqlite://") as store:
            keep(store.database, usual)
            for number, batch in enumerate(batches):
                store.commit([], [], AT - timedelta(hours=number), batch)
            Judge(store.database).all(AT)
            with store.database.reading() as connection:
                kept.append(standings.of(connection))
    assert kept[0] == kept[1]


def test_of_two_for_one_hour_the_fuller_is_kept_in_any_order(store: Store) -> None:
    rng = np.random.default_rng(1)
    small, large = a_report(rng, AT), a_report(rng, AT, scans=9)
    for batch in ([large, small], [small, large], [small], [large]):
        store.commit([], [], AT, [Reported("ward", "a", one) for one in batch])
        (row,) = store.database.rows(sa.select(drift_hours))
        assert msgspec.json.decode(row["body"], type=DriftData) == large


def test_a_report_that_cannot_be_is_left_out() -> None:
    rng = np.random.default_rng(1)
    good = a_report(rng, AT)
    assert why_not(good, AT) == ""
    assert "hour" in why_not(good, AT - timedelta(days=30))
    assert "hour" in why_not(good, AT + timedelta(days=100))
    frames = list(good.score.frames)
    frames[0] = 7
    assert "too small" in why_not(_with(good, score=Histogram(tuple(frames), good.score.scans)), AT)
    assert "size" in why_not(_with(good, gates=Histogram((50,), (5.0,))), AT)
    assert "bins" in why_not(_with(good, bins=2), AT)
    many = tuple(2 * one for one in good.score.scans)
    assert "fit" in why_not(_with(good, score=Histogram(good.score.frames, many)), AT)


def test_the_fleet_makes_its_own_reference_once(store: Store) -> None:
    database = store.database
    judge = Judge(database)
    first = AT - timedelta(days=15)
    for number in range(4):
        told = reported(f"s{number}", seed=number, days=14, until=first + timedelta(days=14))
        store.commit([], [], AT, told[:20] if number == 3 else told)
    judge.all(first + timedelta(days=13))
    with database.reading() as connection:
        assert references.known(connection) == {}
    judge.all(AT)
    with database.reading() as connection:
        made = references.known(connection)[SHA]
    assert made.kind == "fleet"
    assert "4 sites" in made.reference.said
    assert sum(made.reference.scans["gates"]) == pytest.approx((3 * 56 + 20) * 5, rel=0.01)
    later = AT + timedelta(days=10)
    store.commit([], [], later, reported("s0", seed=77, until=later, shift=DARK))
    judge.all(later)
    with database.reading() as connection:
        assert references.known(connection)[SHA] == made
        references.put(connection, SHA, "fleet", Reference({"score": made.reference.scans["score"]}), later)
        assert references.known(connection)[SHA] == made
    assert stands(database)["s0", ""] is Standing.DRIFTING


def test_a_fleet_of_one_site_waits_longer(store: Store) -> None:
    first = AT - timedelta(days=29)
    store.commit([], [], AT, reported("s", days=14, until=first + timedelta(days=14)))
    Judge(store.database).all(first + timedelta(days=20))
    with store.database.reading() as connection:
        assert references.known(connection) == {}
    Judge(store.database).all(AT)
    with store.database.reading() as connection:
        assert "1 sites" in references.known(connection)[SHA].reference.said


def test_old_reports_are_forgotten(store: Store) -> None:
    store.commit([], [], AT, reported("s", days=2))
    Judge(store.database).all(AT + timedelta(days=100))
    with store.database.reading() as connection:
        assert hours.sites(connection) == []


def test_a_step_judges_one_site_and_each_once_an_hour(store: Store, usual: Reference) -> None:
    keep(store.database, usual)
    store.commit([], [], AT, [*reported("a", days=1), *reported("b", days=1)])
    judge = Judge(store.database)
    assert [row.site for row in judge.step(AT)] == ["a", "a"]
    assert [row.site for row in judge.step(AT)] == ["b", "b"]
    assert judge.step(AT + timedelta(minutes=59)) == []
    assert [row.site for row in judge.step(AT + timedelta(hours=1))] == ["a", "a"]


def test_an_accepted_drift_holds_nobody_back_until_it_comes_again(store: Store, usual: Reference) -> None:
    database = store.database
    keep(database, usual)
    with pytest.raises(BadOrder, match="nothing is known"):
        accept(database, "ward", "", AT, by="ana")
    store.commit([], [], AT, reported("ward", shift=DARK))
    judge = Judge(database)
    judge.all(AT)
    accept(database, "ward", "new probe", AT, by="ana")
    judge.all(AT + timedelta(hours=1))
    with database.reading() as connection:
        assert standings.drifting(connection) == {}
        (row,) = [one for one in standings.of(connection) if not one.device]
    assert (row.verdict.standing, row.rests.accepted) == (Standing.DRIFTING, "by ana: new probe")
    for days, shift in ((8, NO_SHIFT), (16, DARK)):
        at = AT + timedelta(days=days)
        store.commit([], [], at, reported("ward", seed=days, until=at, shift=shift))
        judge.all(at)
    with database.reading() as connection:
        assert list(standings.drifting(connection)) == ["ward"]
    assert len(alerts(database)) == 2
    later = AT + timedelta(days=24)
    store.commit([], [], later, reported("ward", seed=24, until=later))
    judge.all(later)
    with pytest.raises(BadOrder, match="it is steady"):
        accept(database, "ward", "", AT, by="ana")


def test_a_bundle_may_bring_its_own_reference(usual: Reference) -> None:
    plain = shipped()
    assert references.of_bundle(plain) is None
    assert read(msgspec.json.encode(usual), "x") == usual
    for raw in (b"{}", b"[", b'{"scans": {"score": [1, 2]}}', b'{"scans": {}}'):
        with pytest.raises(BadBundle):
            read(raw, "evidence/drift.json")
    other = msgspec.json.encode({"scans": {"score": [1] * 11}, "bins": 2})
    with pytest.raises(BadBundle, match="set 2"):
        read(other, "x")


def run(*words: str) -> str:
    result = CliRunner().invoke(app, ["drift", *words])
    if isinstance(result.exception, SonoError):
        raise result.exception
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


def test_the_commands(tmp_path: Path, usual: Reference) -> None:
    database = f"sqlite:///{tmp_path / 'fleet.sqlite'}"
    now = datetime.now(UTC)
    with Store(database) as store:
        keep(store.database, usual)
        store.commit([], [], now, [*reported("ward", until=now, shift=DARK), *reported("clinic", until=now)])
    assert "0 standings" in run("show", "--database", database)
    shown = run("judge", "--database", database)
    assert "4 standings, 1 sites are held back" in shown
    rows = [json.loads(line) for line in run("show", "--site", "ward", "--json", "--database", database).splitlines()]
    assert [(row["device"], row["standing"], row["blocks"]) for row in rows] == [
        ("", "drifting", True),
        ("a", "drifting", False),
    ]
    assert rows[0]["psi"] > rows[0]["figures"]["brightness"]["drifting"] >= 0.25
    assert rows[0]["alerts_per_min"] == pytest.approx(3 / 25)
    said = run("accept", "ward", "--reason", "new probe", "--by", "ana", "--database", database)
    assert "accepted by ana: new probe" in said
    assert "made up" in run("reference", "--database", database)
    out = run("reference", "--of", SHA[:8], "--database", database)
    assert read(out.encode(), "drift.json") == usual
    with pytest.raises(BadOrder, match="0 references"):
        run("reference", "--of", "ff", "--database", database)
    bundle = tmp_path / "breast.tar"
    bundle.write_bytes(repacked(shipped(), "0.9.0", "none"))
    with pytest.raises(BadBundle, match=r"has no evidence/drift\.json"):
        run("reference", str(bundle), "--database", database)


@pytest.mark.peer
def test_on_postgresql(usual: Reference) -> None:
    with postgres() as url, Store(url) as store:
        keep(store.database, usual)
        told = [*reported("ward", shift=DARK), *reported("clinic")]
        store.commit([], [], AT, told + told[:5])
        store.commit([], [], AT, told[::-1])
        judge = Judge(store.database)
        judge.all(AT)
        judge.all(AT + timedelta(hours=1))
        assert stands(store.database)["ward", ""] is Standing.DRIFTING
        assert len(alerts(store.database)) == 1


def _with(report: DriftData, **values: object) -> DriftData:
    return msgspec.structs.replace(report, **values)
