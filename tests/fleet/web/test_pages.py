"""The pages on a real database: roles, paging by the database, hostile text, what is not there, a database away."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from sono_fleet.database import Database
from sono_fleet.rollout import desk, releases
from sono_fleet.rollout.course import State
from sono_fleet.rollout.fleet import Release
from sono_fleet.rollout.plan import Scope
from sono_fleet.store import Report, Store
from sono_fleet.tables import audit, drift_hours
from sono_fleet.web import devices as lines
from sono_fleet.web.accounts import Accounts
from sono_fleet.web.app import build_app
from sono_fleet.web.burden import burdens
from sono_fleet.web.devices import TROUBLES, Trouble, Wanted, listed
from sono_fleet.web.door import Door
from sono_fleet.web.house import build_house
from sono_fleet.web.shelf import Shelf
from sono_models import bundle
from tests.fleet.web.conftest import Served
from tests.support.bundles import BREAST
from tests.support.fleet_page import PEOPLE, QUICK, Board, Visitor, certified, drifts, page, people, settle, tree, warns
from tests.support.postgres import postgres
from tests.support.rollouts import OLD, START, Fleet, plan_of

ROOT = Path(__file__).parents[3]
HOSTILE = '"><script>alert(1)</script><b style=x>'
ALLOWED = {
    ("vera", "say"): 403,
    ("vera", "make"): 403,
    ("vera", "stop"): 403,
    ("vera", "release"): 403,
    ("otto", "say"): 403,
    ("otto", "make"): 200,
    ("otto", "stop"): 303,
    ("otto", "release"): 403,
    ("anna", "say"): 303,
    ("anna", "make"): 200,
    ("anna", "stop"): 303,
    ("anna", "release"): 303,
}


def test_what_each_role_may_do(served: Served) -> None:
    records, now = served.house.records, served.fleet.now
    desk.say(records, "r1", "abort", now, by="test")
    for number, name in enumerate(PEOPLE):
        plan = plan_of(100, name=name, scope=Scope(devices=(f"demo/d{number}",)))
        desk.create(records, plan, now)
        with served.visitor(name) as visitor:
            assert visitor.post(f"/rollouts/{name}/say", word="approve").status_code == ALLOWED[name, "say"]
            look = visitor.post("/new-rollout", action="look", name="r2", release="bundle breast-0.3.1", waves="100%")
            assert look.status_code == ALLOWED[name, "make"]
            assert visitor.post("/stop-all", reason="look").status_code == ALLOWED[name, "stop"]
            assert visitor.post("/stop-all/release").status_code == ALLOWED[name, "release"]
            shown = visitor.get("/rollouts/r1").text
            assert ("Stop everything now" in shown or "Everything is stopped" in shown) == (name != "vera")
        if records.stopped():
            desk.release(records, now, by="test")
    rows = served.house.database.rows(sa.select(audit.c.actor, audit.c.action))
    assert {"actor": "anna", "action": "approve"} in rows
    assert {"actor": "otto", "action": "stop-all"} in rows
    assert not [row for row in rows if row["actor"] == "vera"]


def test_words_go_to_the_desk_and_its_refusals_come_back_with_reason_and_next_step(served: Served) -> None:
    records = served.house.records
    with served.visitor("anna") as visitor:
        refused = visitor.post("/rollouts/r1/say", word="resume", reason="no")
        assert refused.status_code == 409
        assert "it is waiting: resume means nothing" in refused.text
        for word, state in (("approve", State.RUNNING), ("pause", State.PAUSED), ("resume", State.RUNNING)):
            assert visitor.post("/rollouts/r1/say", word=word, reason="as planned").status_code == 303
            assert records.one("r1").course.state is state
        assert "resume by anna: as planned" in visitor.get("/rollouts/r1").text
        assert visitor.post("/rollouts/r1/say", word="close").status_code == 422
        assert visitor.post("/rollouts/nope/say", word="pause").status_code == 404
        assert visitor.post("/stop-all", reason="", to="/devices?q=x").headers["location"] == "/devices?q=x"
        assert records.one("r1").course.state is State.PAUSED
        assert "Everything is stopped" in visitor.get("/devices").text
        assert visitor.post("/rollouts/r1/say", word="resume").status_code == 409
        assert visitor.post("/stop-all/release", to="//evil.example").headers["location"] == "/"
        assert visitor.post("/rollouts/r1/say", word="abort").status_code == 303


def test_a_new_roll_out_is_looked_at_first_and_who_made_it_does_not_approve_it(served: Served) -> None:
    fields: dict[str, Any] = {
        "name": "r2",
        "release": "bundle breast-0.3.1",
        "waves": "50%\n100%",
        "devices": "demo/d1, demo/d2",
    }
    with served.visitor("anna") as visitor:
        visitor.post("/rollouts/r1/say", word="abort")
        look = visitor.post("/new-rollout", action="look", four_eyes="on", **fields)
        assert look.status_code == 200
        assert "Dry run: 2 devices in scope" in look.text
        assert 'value="r2"' in look.text
        assert visitor.get("/rollouts/r2").status_code == 404
        made = visitor.post("/new-rollout", action="make", four_eyes="on", **fields)
        assert made.headers["location"] == "/rollouts/r2"
        plan = served.house.records.one("r2").plan
        assert (plan.by, plan.four_eyes, plan.scope.devices) == ("anna", True, ("demo/d1", "demo/d2"))
        assert "another has to approve it" in visitor.post("/rollouts/r2/say", word="approve").text
        again = visitor.post("/new-rollout", action="make", **{**fields, "devices": "demo/d5"})
        assert "there is one of this name" in again.text


@pytest.mark.parametrize(
    ("field", "text", "words"),
    [
        ("release", "", "name at least one of"),
        ("release", "bundle none-1.0.0", "not registered"),
        ("name", "a b", "not 1 to 64"),
        ("waves", "much", "neither a share nor a tag"),
        ("waves", "50%\n10%", "do not grow"),
        ("soak", "long", "not a time"),
        ("sample", "-1", "not a number of devices"),
        ("max_failures", "x" * 400, "not a number of devices"),
        ("devices", "no/where", "no device that is known"),
    ],
)
def test_a_form_that_cannot_be_says_the_thing_the_reason_and_the_next_step(
    served: Served, field: str, text: str, words: str
) -> None:
    fields: dict[str, Any] = {"name": "r2", "release": "bundle breast-0.3.1", "waves": "100%", field: text}
    with served.visitor("otto") as visitor:
        answer = visitor.post("/new-rollout", action="make", **fields)
    assert answer.status_code == 422
    assert words in answer.text
    assert 'role="alert"' in answer.text
    assert [record.plan.rollout for record in served.house.records.all()] == ["r1"]


def test_devices_are_found_filtered_and_paged_by_the_database(served: Served) -> None:
    database, now = served.house.database, served.fleet.now
    settle(served.fleet.store, [Board("many", f"m{number:03}") for number in range(120)], now)
    with served.visitor("vera") as visitor:
        first = visitor.get("/devices?site=many").text
        assert "1 to 50 of 120" in first
        assert "many/m049" in first
        assert "many/m050" not in first
        assert "101 to 120 of 120" in visitor.get("/devices?site=many&page=3").text
        assert "101 to 120 of 120" in visitor.get("/devices?site=many&page=99").text
        found = tree(visitor.get("/api/v1/devices?q=many+m11"))
        assert [line["device"] for line in found["lines"]] == [f"m11{number}" for number in range(10)]
        assert tree(visitor.get("/api/v1/devices?q=%25"))["page"]["total"] == 0, "a percent sign is a percent sign"
        for bad in ("page=0", "page=x", "show=everything", "sort=colour", "q=" + "x" * 200):
            assert visitor.get(f"/devices?{bad}").status_code == 422
    assert listed(database, Wanted(), now).counts["all"] == 132


def troubled(store: Store) -> None:
    boards = [
        Board("t", "fine"),
        Board("t", "offline", online=False),
        Board("t", "stale", heard_s=900),
        Board("t", "undelivered", outbox=3),
        Board("t", "certificate", days=3.0),
        Board("t", "disk", disk_mb=50.0),
        Board("t", "hot", temperature=91.0),
        Board("t", "drifting"),
        Board("u", "site"),
        Board("t", "issued", days=None, temperature=None, disk_mb=None),
    ]
    settle(store, boards, START)
    drifts(store.database, "t", "drifting", "drifting", START)
    drifts(store.database, "u", "", "drifting", START)
    certified(store.database, "t", "issued", "aa", START, 2.0)
    certified(store.database, "t", "fine", "ab", START, 2.0)
    certified(store.database, "t", "fine", "ac", START, 200.0)


def check_troubles(database: Database) -> None:
    """Every trouble is found by the database, and the line that was read says the same."""
    wanted: dict[Trouble, set[str]] = {trouble: {str(trouble)} for trouble in TROUBLES}
    wanted["drifting"] = {"drifting", "site"}
    wanted["certificate"] = {"certificate", "issued"}
    everything = listed(database, Wanted(), START)
    for trouble in TROUBLES:
        found = listed(database, Wanted(trouble=trouble), START)
        assert {line.device for line in found.lines} == wanted[trouble], trouble
        assert everything.counts[trouble] == len(wanted[trouble])
        assert all(trouble in line.troubles for line in found.lines)
        assert {line.device for line in everything.lines if trouble in line.troubles} == wanted[trouble]
    assert listed(database, Wanted(sort="waiting"), START).lines[0].device == "undelivered"
    assert lines.one(database, "t", "fine", START).troubles == ()  # type: ignore[union-attr]


def test_troubles_on_sqlite(tmp_path: Path) -> None:
    with Store(f"sqlite:///{tmp_path / 'fleet.sqlite'}") as store:
        troubled(store)
        check_troubles(store.database)


@pytest.mark.peer
def test_the_same_on_postgresql_and_every_page_opens_there() -> None:
    with postgres() as url, Store(url) as store:
        troubled(store)
        settle(store, [Board("t", "fine", alerts=3)], START)
        check_troubles(store.database)
        people(store.database, START)
        with page(store.database, lambda: START) as (address, _), Visitor(address) as visitor:
            visitor.log_in("anna")
            for path in ("/devices?q=t", "/devices/t/fine", "/rollouts", "/burden", "/alerts", "/audit", "/releases"):
                assert visitor.get(path).status_code == 200, path
        assert {line.device: line.alerts for line in burdens(store.database, 24, START)}["fine"] == 3


def test_a_list_costs_as_many_queries_for_fifty_devices_as_for_one(served: Served) -> None:
    asked: list[str] = []
    engine = served.house.database._engine
    sa.event.listen(engine, "before_cursor_execute", lambda *of: asked.append(of[2]))
    settle(served.fleet.store, [Board("many", f"m{number}") for number in range(60)], served.fleet.now)
    counts = []
    for wanted in (Wanted(text="demo/d1"), Wanted()):
        asked.clear()
        listed(served.house.database, wanted, served.fleet.now)
        counts.append(len(asked))
    assert counts[0] == counts[1] <= 5


def test_hostile_text_of_a_device_is_shown_as_text(served: Served) -> None:
    board = Board("demo", "d1", reason=HOSTILE, agent=HOSTILE, bundle=HOSTILE[:160], alerts=1)
    settle(served.fleet.store, [board], served.fleet.now)
    warns(served.house.database, "demo", "drift", HOSTILE, served.fleet.now, device="d1")
    served.fleet.report("d2", "r1", 1, "refused")
    desk.say(served.house.records, "r1", "pause", served.fleet.now, by="anna", reason=HOSTILE)
    paths = ("/devices", "/devices/demo/d1", "/alerts", "/rollouts", "/rollouts/r1", "/audit", "/rollouts/r1/actions")
    with served.visitor("anna") as visitor:
        texts = [visitor.get(path).text for path in paths]
        texts.append(visitor.get("/devices?q=%22%3E%3Cscript%3E").text)
        texts.append(visitor.get("/devices/%3Cscript%3E/x").text)
        texts.append(visitor.post("/new-rollout", action="look", name=HOSTILE, release=HOSTILE).text)
    for text in texts:
        assert "<script>" not in text
        assert "<b style" not in text
    assert sum("&lt;script&gt;" in text for text in texts) >= 8


def test_one_device_tells_all_that_is_known(served: Served) -> None:
    settle(served.fleet.store, [Board("demo", "d1", alerts=2, days=40.0)], served.fleet.now)
    drifts(served.house.database, "demo", "", "watch", served.fleet.now)
    certified(served.house.database, "demo", "d1", "5f01c2", served.fleet.now, 40.0)
    served.fleet.report("d1", "r1", 7, "verified")
    with served.visitor("vera") as visitor:
        text = visitor.get("/devices/demo/d1").text
        for words in ("look-again", "verified", "52 °C", "5f01c2", "The whole site", "0.70"):
            assert words in text
        for path in ("/devices/demo/none", "/devices/none/d1"):
            answer = visitor.get(path)
            assert answer.status_code == 404
            assert "it never said anything" in answer.text
        assert [one["band"] for one in tree(visitor.get("/api/v1/devices/demo/d1/alerts"))] == ["look-again"] * 2


def test_alert_burden_is_against_the_devices_own_site(tmp_path: Path) -> None:
    with Store(f"sqlite:///{tmp_path / 'fleet.sqlite'}") as store:
        boards = [
            Board("a", "quiet"),
            Board("a", "one", alerts=2),
            Board("a", "loud", alerts=24),
            Board("b", "x", alerts=9),
        ]
        settle(store, boards, START)
        settle(store, [Board("a", "old", alerts=5)], START - timedelta(days=3))
        hour = {"site": "a", "device": "one", "bundle_sha256": OLD.sha256, "frames": 9, "body": "{}"}
        with store.database.writing() as connection:
            for number in range(3):
                at = (START - timedelta(hours=number)).isoformat(timespec="milliseconds")
                connection.execute(drift_hours.insert().values(**hour, hour=f"h{number}", received_at=at))
        found = {line.device: line for line in burdens(store.database, 24, START)}
        assert {name: line.alerts for name, line in found.items()} == {
            "quiet": 0,
            "one": 2,
            "loud": 24,
            "x": 9,
            "old": 0,
        }
        assert (found["loud"].per_hour, found["loud"].times, found["loud"].many) == (1.0, 24.0, True)
        assert found["x"].times == 1.0, "its site is its own"
        assert found["one"].scanning_h == 3
        assert {line.device: line.alerts for line in burdens(store.database, 168, START)}["old"] == 5


def test_a_card_is_shown_only_of_a_bundle_that_was_verified(tmp_path: Path) -> None:
    with Store(f"sqlite:///{tmp_path / 'fleet.sqlite'}") as store:
        path = bundle.find(BREAST)
        release = releases.of_bundle(path)
        releases.add(store.database, release, START, by="test")
        releases.add(store.database, OLD, START, by="test")
        file = tmp_path / "updates" / "targets" / "breast" / "stable" / f"{release.sha256}.{path.name}"
        file.parent.mkdir(parents=True)
        file.write_bytes(path.read_bytes())
        people(store.database, START)
        with page(store.database, lambda: START, repository=tmp_path / "updates") as (url, _), Visitor(url) as visitor:
            visitor.log_in("vera")
            shown = visitor.get(f"/releases/{release.sha256}").text
            assert '<article class="card"' in shown
            assert "<table>" in shown
            assert "was verified, every byte" in shown
            assert "not in the repository" in visitor.get(f"/releases/{OLD.sha256}").text
            assert visitor.get("/releases/nope").status_code == 404
        damaged = bytearray(file.read_bytes())
        damaged[5000] ^= 1
        file.write_bytes(damaged)
        found = Shelf(store.database, tmp_path / "updates").one(release.sha256)
        assert found is not None
        assert "cannot be used" in found[1].missing
        outside = Release("bundle", "x", "1.0.0", "../../../etc/passwd", "3" * 64, 1)
        releases.add(store.database, outside, START, by="test")
        found = Shelf(store.database, tmp_path / "updates").one("3" * 64)
        assert found is not None
        assert "not in the repository" in found[1].missing


def test_an_audit_log_that_was_changed_says_so(served: Served) -> None:
    with served.visitor("vera") as visitor:
        assert "the chain is unbroken" in visitor.get("/audit").text
        assert tree(visitor.get("/api/v1/audit?rollout=r1"))[0]["action"] == "create"
        with served.house.database.writing() as connection:
            connection.exec_driver_sql("DROP TRIGGER audit_no_update")
            connection.execute(audit.update().where(audit.c.sequence == 2).values(actor="nobody"))
        served.fleet.passes(61)
        text = visitor.get("/audit").text
        assert "The log was tampered with" in text
        assert "entry 2 was changed" in text


def test_while_the_database_is_away_the_page_says_so_and_comes_back(served: Served) -> None:
    away = served.folder.with_name("away")
    with served.visitor("vera") as visitor:
        served.house.database._engine.dispose()
        served.folder.rename(away)
        answer = visitor.get("/devices")
        assert answer.status_code == 503
        assert answer.headers["retry-after"]
        assert 'http-equiv="refresh"' in answer.text
        assert "unable to open database file" in answer.text
        assert "Research prototype, not a medical device" in answer.text
        assert visitor.post("/stop-all", reason="x").status_code == 503
        assert tree(visitor.get("/api/v1/devices"))["next_step"] == "It is tried again"
        assert visitor.get("/healthz").status_code == 503
        assert visitor.get("/static/fleet.css").status_code == 200
        away.rename(served.folder)
        assert visitor.get("/devices").status_code == 200


def test_the_published_openapi_document_is_in_step(tmp_path: Path) -> None:
    with Store(f"sqlite:///{tmp_path / 'fleet.sqlite'}") as store:
        house = build_house(
            store.database, Door(local_only=True, secure=False), identity=Accounts(store.database, QUICK)
        )
        document = build_app(house).openapi()
    published = msgspec.json.decode((ROOT / "docs" / "fleet-openapi.json").read_bytes())
    assert published == msgspec.json.decode(msgspec.json.encode(document))
    assert "/api/v1/devices" in published["paths"]


def test_a_fleet_that_said_nothing_yet(tmp_path: Path) -> None:
    with Store(f"sqlite:///{tmp_path / 'fleet.sqlite'}") as store:
        people(store.database, START)
        with page(store.database, lambda: START) as (url, _), Visitor(url) as visitor:
            visitor.log_in("anna")
            assert "No device has said anything yet" in visitor.get("/devices").text
            for path in ("/rollouts", "/releases", "/burden", "/alerts", "/audit", "/new-rollout"):
                assert visitor.get(path).status_code == 200


def test_a_device_whose_health_says_little(served: Served) -> None:
    assert isinstance(served.fleet, Fleet)
    body = '{"id":"x","source":"/sono/demo/d3","type":"t","time":"t","data":{"outbox_depth":0,"vitals":null}}'
    report = Report("demo", "d3", "health", body, {"online": True, "stopped": False})
    served.fleet.store.commit([], [report], served.fleet.now)
    with served.visitor("vera") as visitor:
        assert visitor.get("/devices/demo/d3").status_code == 200
